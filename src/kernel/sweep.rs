//! One pass over a parameter, its gradient and its state: what an optimizer's step is made of.

use std::sync::{Mutex, PoisonError};

use crate::array::Element;
use crate::kernel::math::Real;
use crate::kernel::parallel;
use crate::kernel::simd::{Arch, Kernel, dispatch as simd_dispatch};

/// Elements of a block.
const LANES: usize = 16;

/// What happens to one element of a parameter `p` with gradient `g` and `S` numbers of state.
pub trait Update<const S: usize>: Copy + Sync {
    /// Nanoseconds an element, roughly.
    const COST: f64;
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
    /// The first `count` elements, which no longer belong to this one.
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
    update: U,
    piece: Piece<'a, T, S>,
}

impl<U: Update<S>, T: Real, const S: usize> Kernel for Loop<'_, U, T, S> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Piece { p, g, state } = self.piece;
        let (blocks, tail) = p.as_chunks_mut::<LANES>();
        let (gradients, rest) = g.as_chunks::<LANES>();
        let mut state = state.map(|s| s.as_chunks_mut::<LANES>());
        for (i, (p, g)) in blocks.iter_mut().zip(gradients).enumerate() {
            let old = std::array::from_fn(|k| state[k].0[i]);
            let (new, kept) = block(self.update, p, g, old);
            *p = new;
            for (k, kept) in kept.into_iter().enumerate() {
                state[k].0[i] = kept;
            }
        }
        if rest.is_empty() {
            return;
        }
        let n = tail.len();
        let fill = |s: &[T]| -> [T; LANES] { std::array::from_fn(|i| if i < s.len() { s[i] } else { T::lit(0.0) }) };
        let old = std::array::from_fn(|k| fill(state[k].1));
        let (new, kept) = block(self.update, &fill(tail), &fill(rest), old);
        tail.copy_from_slice(&new[..n]);
        for (s, kept) in state.iter_mut().zip(&kept) {
            s.1.copy_from_slice(&kept[..n]);
        }
    }
}

/// A block of elements, in registers.
#[inline(always)]
fn block<U: Update<S>, T: Real, const S: usize>(
    update: U,
    p: &[T; LANES],
    g: &[T; LANES],
    mut state: [[T; LANES]; S],
) -> ([T; LANES], [[T; LANES]; S]) {
    let mut new = *p;
    for i in 0..LANES {
        let (p, kept) = update.eval(p[i], g[i], std::array::from_fn(|k| state[k][i]));
        new[i] = p;
        for k in 0..S {
            state[k][i] = kept[k];
        }
    }
    (new, state)
}

/// Applies `update` to all elements, on all threads when that pays.
///
/// # Panics
/// When the lengths differ: a bug of the caller.
pub fn sweep<U: Update<S>, T: Real + Element, const S: usize>(update: U, p: &mut [T], g: &[T], state: [&mut [T]; S]) {
    let n = p.len();
    assert!(g.len() == n && state.iter().all(|s| s.len() == n), "a parameter, its gradient and its state have one size");
    #[allow(clippy::cast_precision_loss, reason = "a size of 4 or 8")]
    let grain = parallel::grain(n, U::COST * size_of::<T>() as f64 / 4.0);
    if grain >= n {
        return simd_dispatch(Loop { update, piece: Piece { p, g, state } });
    }
    let mut rest = Piece { p, g, state };
    let pieces = std::iter::from_fn(move || (!rest.p.is_empty()).then(|| rest.split_off(grain)));
    let pieces = Mutex::new(pieces);
    parallel::for_each_range(n.div_ceil(grain), 1, |_| {
        let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
        if let Some(piece) = next {
            simd_dispatch(Loop { update, piece });
        }
    });
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
