//! Formulas whose values replace an operand, or are added to a sum, where it lies.

use std::marker::PhantomData;

use super::{Loop, Pointwise, STRIDE, UNSAID, each, width};
use crate::array::{Aligned, Array, Element};
use crate::dispatch;
use crate::kernel::blocks::{self, Input};
use crate::kernel::field::{Field, Lane};
use crate::kernel::math::Real;
use crate::kernel::simd::{Arch, Kernel, dispatch as simd_dispatch};

/// The formula with `target` as its first operand and its result; in place when nobody else holds it.
///
/// # Panics
/// As [`map`](super::map()).
pub fn update<P: Pointwise<M>, const N: usize, const M: usize>(target: &mut Array, inputs: [Input<'_>; N], params: [f64; 2]) {
    const { assert!(M == N + 1) };
    dispatch!(float target.dtype(), T => blocks::update(target, inputs, P::COST * width::<T>(), |inputs: &[&[T]; N], out: &mut [T]| {
        if P::RANGED {
            onto_old::<P, T, N, M>(inputs, out, params);
        } else {
            simd_dispatch(InPlace::<First<P, M>, T, N> { inputs, out, params, step: PhantomData });
        }
    }), else unreachable!("formulas are over floating dtypes"));
}

/// What an element becomes of itself and of `N` operands.
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

/// A step for each element of `out`, where it lies.
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
            debug_assert!(!lane.far(), "{}", UNSAID);
            out[i] = lane.value();
        }
    }
}

/// The formula with `out` as its first operand, block by block: old values are copied out of the way, as they may be needed twice.
fn onto_old<P: Pointwise<M>, T: Real + Element, const N: usize, const M: usize>(inputs: &[&[T]; N], out: &mut [T], params: [f64; 2]) {
    let Aligned(old) = &mut Aligned([T::default(); STRIDE]);
    for (k, out) in out.chunks_mut(STRIDE).enumerate() {
        let n = out.len();
        old[..n].copy_from_slice(out);
        let at = k * STRIDE;
        let all: [&[T]; M] = std::array::from_fn(|i| if i == 0 { &old[..n] } else { &inputs[i - 1][at..at + n] });
        simd_dispatch(Loop::<P, T, M> { inputs: &all, out, params, far: false, formula: PhantomData });
    }
}

/// The formula's values added to `sum`, in place when nobody else holds it. A product is rounded before it is added, as if
/// it had been written first.
///
/// # Panics
/// As [`map`](super::map()).
pub fn accumulate<P: Pointwise<N>, const N: usize>(sum: &mut Array, inputs: [Input<'_>; N], params: [f64; 2]) {
    dispatch!(float sum.dtype(), T => blocks::update(sum, inputs, P::COST * width::<T>(), |inputs: &[&[T]; N], out: &mut [T]| {
        if P::RANGED {
            add_written::<P, T, N>(inputs, out, params);
        } else {
            simd_dispatch(InPlace::<Added<P>, T, N> { inputs, out, params, step: PhantomData });
        }
    }), else unreachable!("formulas are over floating dtypes"));
}

/// `out` plus the formula, block by block: its values are written first, as they may have to be written twice.
fn add_written<P: Pointwise<N>, T: Real + Element, const N: usize>(inputs: &[&[T]; N], out: &mut [T], params: [f64; 2]) {
    let Aligned(values) = &mut Aligned([T::default(); STRIDE]);
    for (k, out) in out.chunks_mut(STRIDE).enumerate() {
        let (at, n) = (k * STRIDE, out.len());
        let inputs = inputs.map(|s| &s[at..at + n]);
        simd_dispatch(Loop::<P, T, N> { inputs: &inputs, out: &mut values[..n], params, far: false, formula: PhantomData });
        simd_dispatch(InPlace::<Added<Same>, T, 1> { inputs: &[&values[..n]], out, params, step: PhantomData });
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
