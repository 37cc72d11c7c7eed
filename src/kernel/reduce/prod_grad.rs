//! Derivatives of products, exact with any number of zeros and for every order.
//!
//! The derivative of a product with respect to one factor is the product of the others. The derivative of that along directions h₁ … hₖ is
//! computed from products of numbers x + Σ εᵢ hᵢ with εᵢ² = 0: it is the coefficient of ε₁ ⋯ εₖ. One pass from the left and one from the
//! right compute it for every factor, without divisions.

use std::ops::{Add, Mul};

use smallvec::SmallVec;

use crate::array::{Array, Element, alloc_check};
use crate::dispatch;
use crate::kernel::parallel;

/// For every element of each run of `count` in `x`: the product of the other elements of its run, differentiated along `directions`. All
/// arrays have the same shape and inexact dtype; the result is row-major.
///
/// # Panics
/// When shapes or dtypes differ: a bug of the caller.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
pub fn prod_excluding(x: &Array, directions: &[&Array], count: usize) -> Array {
    let mut out = Array::empty(x.shape(), x.dtype());
    let x = x.contiguous();
    let directions: SmallVec<[Array; 2]> = directions.iter().map(|h| h.contiguous()).collect();
    dispatch!(inexact x.dtype(), T => {
        let slice = |a| Array::as_slice::<T>(a).unwrap_or_else(|| unreachable!("contiguous() is contiguous"));
        let (x, directions): (&[T], SmallVec<[&[T]; 2]>) = (slice(&x), directions.iter().map(slice).collect());
        let data = out.data_mut::<T>();
        if !data.is_empty() {
            let cost = (2 + directions.len()) << directions.len();
            let rows = parallel::grain(data.len() / count, (cost * count) as f64);
            parallel::for_each_chunk_mut(data, rows * count, |start, chunk| {
                let mut prefix = alloc_check::filled(T::default(), count << directions.len());
                for (k, out) in chunk.chunks_mut(count).enumerate() {
                    let at = start + k * count;
                    let run = Run { x: &x[at..at + count], directions: directions.iter().map(|h| &h[at..at + count]).collect() };
                    run.prod_excluding(T::from_scalar(1_i64.into()), &mut prefix, out);
                }
            });
        }
    }, else unreachable!("gradients are floating"));
    out
}

struct Run<'a, T> {
    x: &'a [T],
    directions: SmallVec<[&'a [T]; 2]>,
}

impl<T: Element + Add<Output = T> + Mul<Output = T>> Run<'_, T> {
    /// `prefix` holds 2ᵏ coefficients per element. Coefficient s belongs to the product of those εᵢ whose bits are set in s.
    fn prod_excluding(&self, one: T, prefix: &mut [T], out: &mut [T]) {
        let width = 1 << self.directions.len();
        let mut product: SmallVec<[T; 8]> = SmallVec::from_elem(T::default(), width);
        product[0] = one;
        for (i, place) in prefix.chunks_mut(width).enumerate() {
            place.copy_from_slice(&product);
            self.multiply(&mut product, i);
        }
        product.fill(T::default());
        product[0] = one;
        for (i, left) in prefix.chunks(width).enumerate().rev() {
            let full = width - 1;
            out[i] =
                left.iter().enumerate().map(|(s, &a)| a * product[full ^ s]).fold(None, |sum, t| Some(sum.map_or(t, |sum| sum + t))).unwrap_or(one);
            self.multiply(&mut product, i);
        }
    }

    /// Multiplies `product` by x + Σ εᵢ hᵢ of element `i`, starting with the largest set, because each coefficient only needs smaller sets.
    fn multiply(&self, product: &mut [T], i: usize) {
        for s in (0..product.len()).rev() {
            let mut sum = product[s] * self.x[i];
            for (k, h) in self.directions.iter().enumerate() {
                if s >> k & 1 == 1 {
                    sum = sum + product[s ^ (1 << k)] * h[i];
                }
            }
            product[s] = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_the_others() {
        let x = Array::from_slice(&[2.0, 0.0, 3.0, 0.0, 0.0, 5.0, 1.0, 2.0, 4.0], &[3, 3]);
        assert_eq!(prod_excluding(&x, &[], 3).to_vec::<f64>(), [0.0, 6.0, 0.0, 0.0, 0.0, 0.0, 8.0, 4.0, 2.0]);
    }

    #[test]
    fn their_derivatives() {
        // f = xyz: the gradient (yz, xz, xy) along (1, 10, 100) is (z·10 + y·100, z + x·100, y + x·10).
        let x = Array::from_slice(&[2.0, 0.0, 3.0], &[3]);
        let h = Array::from_slice(&[1.0, 10.0, 100.0], &[3]);
        assert_eq!(prod_excluding(&x, &[&h], 3).to_vec::<f64>(), [30.0, 203.0, 20.0]);
        // Along the same direction again: twice the mixed terms.
        assert_eq!(prod_excluding(&x, &[&h, &h], 3).to_vec::<f64>(), [2000.0, 200.0, 20.0]);
        assert_eq!(prod_excluding(&x, &[&h, &h, &h], 3).to_vec::<f64>(), [0.0; 3]);
    }

    #[test]
    fn runs_of_one_and_none() {
        assert_eq!(prod_excluding(&Array::from_slice(&[7.0_f32, 8.0], &[2, 1]), &[], 1).to_vec::<f32>(), [1.0, 1.0]);
        assert_eq!(prod_excluding(&Array::from_slice::<f32>(&[], &[2, 0]), &[], 0).size(), 0);
    }
}
