//! The loop of an optimizer's step: one pass over a parameter, its gradient and its state.

use std::sync::{Mutex, PoisonError};

use crate::array::Element;
use crate::kernel::math::Real;
use crate::kernel::parallel;
use crate::kernel::simd::{Arch, Kernel, dispatch as simd_dispatch};

/// Elements of a block.
const LANES: usize = 16;
/// Fewer elements than this are processed by one thread without an estimate.
const SMALL: usize = 4096;

/// What happens to one element of a parameter `p` with gradient `g` and `S` numbers of state.
pub trait Update<const S: usize>: Copy + Sync {
    /// Nanoseconds per element, approximately.
    const COST: f64;
    /// Whether the loop is compiled for AVX-512, too. Not if it is limited by memory. For short formulas with a condition the compiler
    /// would also produce scalar code there, ten times slower than with AVX2.
    const WIDE: bool = true;
    /// The new parameter and the new state.
    fn eval<T: Real>(self, p: T, g: T, state: [T; S]) -> (T, [T; S]);
}

/// Slices of one piece of the work.
struct Piece<'a, T, const S: usize> {
    p: &'a mut [T],
    g: &'a [T],
    state: [&'a mut [T]; S],
}

impl<T, const S: usize> Piece<'_, T, S> {
    /// Splits off the first `count` elements.
    fn split_off(&mut self, count: usize) -> Self {
        let count = count.min(self.p.len());
        Self {
            p: self.p.split_off_mut(..count).unwrap_or_default(),
            g: self.g.split_off(..count).unwrap_or_default(),
            state: self.state.each_mut().map(|s| s.split_off_mut(..count).unwrap_or_default()),
        }
    }
}

struct Loop<'a, U, T, const S: usize> {
    /// A reference, because a kernel is moved a few times.
    update: &'a U,
    piece: Piece<'a, T, S>,
}

impl<U: Update<S>, T: Real, const S: usize> Kernel for Loop<'_, U, T, S> {
    type Output = ();
    const WIDE: bool = U::WIDE;
    #[inline(always)]
    fn run<A: Arch>(self) {
        let (update, mut rest) = (*self.update, self.piece);
        if const { !A::PLAIN } {
            rest = blocks::<U, T, A, S, LANES>(update, rest);
            rest = blocks::<U, T, A, S, 4>(update, rest);
        }
        blocks::<U, T, A, S, 1>(update, rest);
    }
}

/// Processes blocks of `N` elements in registers and returns the rest. For the [plain](Arch::PLAIN) set the compiler is kept from making
/// wide loops.
#[inline(always)]
fn blocks<U: Update<S>, T: Real, A: Arch, const S: usize, const N: usize>(update: U, piece: Piece<'_, T, S>) -> Piece<'_, T, S> {
    let (blocks, p) = piece.p.as_chunks_mut::<N>();
    let (gradients, g) = piece.g.as_chunks::<N>();
    let state = piece.state.map(|s| s.as_chunks_mut::<N>());
    for (i, (p, g)) in blocks.iter_mut().zip(gradients).enumerate() {
        let old = std::array::from_fn(|k| state[k].0[i]);
        let (new, kept) = block(update, p, g, old);
        *p = if A::PLAIN { new.map(T::opaque) } else { new };
        for (k, kept) in kept.into_iter().enumerate() {
            state[k].0[i] = kept;
        }
    }
    Piece { p, g, state: state.map(|s| s.1) }
}

/// A block of elements.
#[inline(always)]
fn block<U: Update<S>, T: Real, const S: usize, const N: usize>(update: U, p: &[T; N], g: &[T; N], mut state: [[T; N]; S]) -> ([T; N], [[T; N]; S]) {
    let mut new = *p;
    for i in 0..N {
        let (p, kept) = update.eval(p[i], g[i], std::array::from_fn(|k| state[k][i]));
        new[i] = p;
        for k in 0..S {
            state[k][i] = kept[k];
        }
    }
    (new, state)
}

/// Applies `update` to all elements, on several threads if that pays.
///
/// # Panics
/// When the lengths differ: a bug of the caller.
pub fn sweep<U: Update<S>, T: Real + Element, const S: usize>(update: U, p: &mut [T], g: &[T], state: [&mut [T]; S]) {
    let n = p.len();
    assert!(g.len() == n && state.iter().all(|s| s.len() == n), "a parameter, its gradient and its state have one size");
    if n <= SMALL {
        return simd_dispatch(Loop { update: &update, piece: Piece { p, g, state } });
    }
    #[allow(clippy::cast_precision_loss, reason = "a size of 4 or 8")]
    let grain = parallel::grain(n, U::COST * size_of::<T>() as f64 / 4.0);
    if grain >= n {
        return simd_dispatch(Loop { update: &update, piece: Piece { p, g, state } });
    }
    let mut rest = Piece { p, g, state };
    let pieces = std::iter::from_fn(move || (!rest.p.is_empty()).then(|| rest.split_off(grain)));
    let pieces = Mutex::new(pieces);
    parallel::for_each_range(n.div_ceil(grain), 1, |_| {
        let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
        if let Some(piece) = next {
            simd_dispatch(Loop { update: &update, piece });
        }
    });
}

struct Each<'a, T, F> {
    data: &'a mut [T],
    f: F,
}

impl<T: Copy, F: Fn(T) -> T> Kernel for Each<'_, T, F> {
    type Output = ();
    const WIDE: bool = true;
    #[inline(always)]
    fn run<A: Arch>(self) {
        for x in self.data {
            *x = (self.f)(*x);
        }
    }
}

/// Applies `f` to all elements, on several threads if that pays.
pub fn change<T: Real + Element>(data: &mut [T], f: impl Fn(T) -> T + Copy + Sync) {
    parallel::for_each_chunk_mut(data, parallel::grain(data.len(), 0.2), |_, data| simd_dispatch(Each { data, f }));
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    struct Sum;
    impl Update<2> for Sum {
        const COST: f64 = 100.0;
        fn eval<T: Real>(self, p: T, g: T, [a, b]: [T; 2]) -> (T, [T; 2]) {
            (p + g, [a + g, b - p])
        }
    }

    #[test]
    fn every_element_is_visited_once() {
        for n in [0, 1, 7, 100_003] {
            let g: Vec<f32> = (0..n).map(|i| f32::from(u8::try_from(i % 251).unwrap())).collect();
            let (mut p, mut a, mut b) = (vec![1.0; n], vec![2.0; n], vec![3.0; n]);
            sweep(Sum, &mut p, &g, [&mut a, &mut b]);
            assert!(p.iter().zip(&g).all(|(p, g)| *p == 1.0 + g));
            assert!(a.iter().zip(&g).all(|(a, g)| *a == 2.0 + g));
            assert!(b.iter().all(|b| *b == 2.0));
        }
    }
}
