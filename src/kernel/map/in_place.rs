//! Formulas whose results replace an operand, or are added to a sum, in place.

use std::marker::PhantomData;

use super::{Piece, Pointwise, STRIDE, UNSAID, each, piece, plain, width};
use crate::array::{Aligned, Array, Element};
use crate::dispatch;
use crate::kernel::blocks::{self, Input};
use crate::kernel::field::{Field, Lane};
use crate::kernel::math::Real;
use crate::kernel::simd::{Arch, Kernel, PART, dispatch as simd_dispatch};

/// Elements of a block: large enough for few calls, small enough for the first-level cache.
const BLOCK: usize = 1024;

/// A loop whose result is also its first operand, with `N` other operands.
type Onto<T, const N: usize> = fn(&[&[T]; N], &mut [T], [f64; 2]);

/// Computes the formula with `target` as its first operand and its result; in place when it is unshared.
///
/// # Panics
/// As [`map`](super::map()).
pub fn update<P: Pointwise<M>, const N: usize, const M: usize>(target: &mut Array, inputs: [Input<'_>; N], params: [f64; 2]) {
    const { assert!(M == N + 1) };
    dispatch!(float target.dtype(), T => if const { P::CHEAP } {
        run_onto::<T, N>(target, inputs, P::COST, params, in_place::<First<P, M>, T, N>);
    } else {
        run_old::<T, N, M>(target, inputs, P::COST, params, piece::<P, T, M>);
    }, else unreachable!("formulas are over floating dtypes"));
}

/// Calls `f` on pieces of `target` until all is done.
fn run_onto<T: Element, const N: usize>(target: &mut Array, inputs: [Input<'_>; N], cost: f64, params: [f64; 2], f: Onto<T, N>) {
    blocks::update(target, inputs, cost * width::<T>(), |inputs: &[&[T]; N], out: &mut [T]| f(inputs, out, params));
}

fn run_old<T: Element, const N: usize, const M: usize>(target: &mut Array, inputs: [Input<'_>; N], cost: f64, params: [f64; 2], f: Piece<T, M>) {
    blocks::update(target, inputs, cost * width::<T>(), |inputs: &[&[T]; N], out: &mut [T]| onto_old(inputs, out, params, f));
}

fn run_added<T: Real + Element, const N: usize>(sum: &mut Array, inputs: [Input<'_>; N], cost: f64, params: [f64; 2], f: Piece<T, N>) {
    blocks::update(sum, inputs, cost * width::<T>(), |inputs: &[&[T]; N], out: &mut [T]| add_written(inputs, out, params, f));
}

fn in_place<S: Step<N>, T: Real, const N: usize>(inputs: &[&[T]; N], out: &mut [T], params: [f64; 2]) {
    simd_dispatch(InPlace::<S, T, N> { inputs, out, params, step: PhantomData });
}

/// The new value of an element, from its old value and `N` operands.
trait Step<const N: usize> {
    fn next<F: Field>(old: F, x: [F; N], p: [F; 2]) -> F;
}

/// The formula with the element as its first operand.
struct First<P, const M: usize>(PhantomData<P>);

impl<P: Pointwise<M>, const N: usize, const M: usize> Step<N> for First<P, M> {
    #[inline(always)]
    fn next<F: Field>(old: F, x: [F; N], p: [F; 2]) -> F {
        let mut all = [old; M];
        all[1..].copy_from_slice(&x);
        P::eval(all, p)
    }
}

/// The element plus the formula.
struct Added<P>(PhantomData<P>);

impl<P: Pointwise<N>, const N: usize> Step<N> for Added<P> {
    #[inline(always)]
    fn next<F: Field>(old: F, x: [F; N], p: [F; 2]) -> F {
        old + P::eval(x, p)
    }
}

/// Applies a step to each element of `out`, in place.
struct InPlace<'a, S, T, const N: usize> {
    inputs: &'a [&'a [T]; N],
    out: &'a mut [T],
    params: [f64; 2],
    step: PhantomData<S>,
}

impl<S: Step<N>, T: Real, const N: usize> Kernel for InPlace<'_, S, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self) {
        let (out, p) = (self.out, self.params.map(Lane::<T, A>::lit));
        let n = out.len();
        let inputs = each(self.inputs, &[][..], |s| &s[..n]);
        for i in 0..n {
            let lane = S::next(Lane::<T, A>::new(out[i]), each(&inputs, Lane::lit(0.0), |s| Lane::<T, A>::new(s[i])), p);
            debug_assert!(!lane.out_of_range(), "{}", UNSAID);
            out[i] = plain::<T, A>(lane.value());
        }
    }
}

/// The formula with `out` as its first operand, block by block. The old values of a block are copied first.
fn onto_old<T: Element, const N: usize, const M: usize>(inputs: &[&[T]; N], out: &mut [T], params: [f64; 2], f: Piece<T, M>) {
    // Clearing a large buffer takes longer than a short loop.
    match out.len() {
        0..=PART => onto_blocks::<T, N, M, PART>(inputs, out, params, f),
        n if n <= STRIDE => onto_blocks::<T, N, M, STRIDE>(inputs, out, params, f),
        _ => onto_blocks::<T, N, M, BLOCK>(inputs, out, params, f),
    }
}

fn onto_blocks<T: Element, const N: usize, const M: usize, const B: usize>(inputs: &[&[T]; N], out: &mut [T], params: [f64; 2], f: Piece<T, M>) {
    let Aligned(old) = &mut Aligned([T::default(); B]);
    for (k, out) in out.chunks_mut(B).enumerate() {
        let (at, n) = (k * B, out.len());
        old[..n].copy_from_slice(out);
        let all: [&[T]; M] = std::array::from_fn(|i| if i == 0 { &old[..n] } else { &inputs[i - 1][at..at + n] });
        f(&all, out, params, false);
    }
}

/// Adds the formula's values to `sum`, in place when it is unshared. Values are rounded before they are added, as if they had been stored
/// first.
///
/// # Panics
/// As [`map`](super::map()).
pub fn accumulate<P: Pointwise<N>, const N: usize>(sum: &mut Array, inputs: [Input<'_>; N], params: [f64; 2]) {
    dispatch!(float sum.dtype(), T => if const { P::CHEAP } {
        run_onto::<T, N>(sum, inputs, P::COST, params, in_place::<Added<P>, T, N>);
    } else {
        run_added::<T, N>(sum, inputs, P::COST, params, piece::<P, T, N>);
    }, else unreachable!("formulas are over floating dtypes"));
}

/// Adds the formula to `out`, block by block. Its values are written to a buffer first.
fn add_written<T: Real + Element, const N: usize>(inputs: &[&[T]; N], out: &mut [T], params: [f64; 2], f: Piece<T, N>) {
    match out.len() {
        0..=PART => add_blocks::<T, N, PART>(inputs, out, params, f),
        n if n <= STRIDE => add_blocks::<T, N, STRIDE>(inputs, out, params, f),
        _ => add_blocks::<T, N, BLOCK>(inputs, out, params, f),
    }
}

fn add_blocks<T: Real + Element, const N: usize, const B: usize>(inputs: &[&[T]; N], out: &mut [T], params: [f64; 2], f: Piece<T, N>) {
    let Aligned(values) = &mut Aligned([T::default(); B]);
    for (k, out) in out.chunks_mut(B).enumerate() {
        let (at, n) = (k * B, out.len());
        let inputs = inputs.map(|s| &s[at..at + n]);
        f(&inputs, &mut values[..n], params, false);
        in_place::<Added<Same>, T, 1>(&[&values[..n]], out, params);
    }
}

/// The operand itself.
enum Same {}

impl Pointwise<1> for Same {
    #[inline(always)]
    fn eval<F: Field>([x]: [F; 1], _: [F; 2]) -> F {
        x
    }
}
