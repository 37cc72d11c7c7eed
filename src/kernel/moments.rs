//! Means, and deviations from them.

use crate::array::{Array, Element};
use crate::dispatch;
use crate::kernel::blocks::{self, Input};
use crate::kernel::math::Real;
use crate::kernel::reduce::{Fold, ReducePlan, Sum, reduce};

/// The mean over `axes`, with the kept axes only; NaN for no elements.
///
/// # Panics
/// When the dtype is not floating: a bug of the caller. This holds for both functions here.
#[must_use]
pub fn mean(x: &Array, axes: &[usize]) -> Array {
    if x.dtype().is_complex() {
        return mean(&x.seen_as(x.dtype().real()), axes).turned_into(x.dtype());
    }
    dispatch!(float x.dtype(), T => mean_of::<T>(x, axes), else unreachable!("means are floating"))
}

fn mean_of<T: Real + Element>(x: &Array, axes: &[usize]) -> Array
where
    Sum: Fold<T, Acc = T>,
{
    let count = ReducePlan::new(x.shape(), axes).count;
    let mut out = reduce::<Sum, T>(x, axes);
    if !sums_to_means(out.data_mut::<T>(), count) {
        mend_means::<T>(x, axes, &mut out);
    }
    out
}

/// Divides sums of `count` elements by `count`. Returns whether all means are finite.
#[allow(clippy::cast_precision_loss, reason = "a count")]
pub fn sums_to_means<T: Real>(sums: &mut [T], count: usize) -> bool {
    let n = T::lit(count as f64);
    let mut overflow = false;
    for m in sums {
        *m = *m / n;
        overflow |= !is_finite(*m);
    }
    !overflow
}

/// The factor for elements whose sum may overflow while the mean of `count` of them does not.
#[must_use]
pub fn small_factor(count: usize) -> f64 {
    (-shift(count)).exp2()
}

fn shift(count: usize) -> f64 {
    f64::from(usize::BITS - count.leading_zeros())
}

/// Replaces means that are not finite, by means of elements that were multiplied by [`small_factor`] before.
#[allow(clippy::cast_precision_loss, reason = "a count")]
pub fn mend<T: Real>(means: &mut [T], sums: &[T], count: usize) {
    let unit = T::lit(shift(count).exp2() / count as f64);
    for (m, &s) in means.iter_mut().zip(sums) {
        if !is_finite(*m) {
            *m = s * unit;
        }
    }
}

/// Computes means that are not finite again, from scaled elements: a sum may overflow while the mean does not.
#[cold]
fn mend_means<T: Real + Element>(x: &Array, axes: &[usize], out: &mut Array)
where
    Sum: Fold<T, Acc = T>,
{
    let count = ReducePlan::new(x.shape(), axes).count;
    let sums = reduce::<Sum, T>(&scaled::<T>(x, small_factor(count)), axes);
    mend(out.data_mut(), sums.as_slice::<T>().unwrap_or_default(), count);
}

/// `x` times a factor that is a power of two, so the product is exact.
#[must_use]
pub fn scaled<T: Real + Element>(x: &Array, factor: f64) -> Array {
    let factor = T::lit(factor);
    blocks::map([Input::from(x)], x.shape(), |[x]: [T; 1]| x * factor)
}

/// Whether a number is neither infinite nor NaN.
pub fn is_finite<T: Real>(x: T) -> bool {
    x.abs() < T::lit(f64::INFINITY)
}

/// x minus its mean over `axes`.
///
/// The mean is rounded, so the differences have a small mean of their own, which is subtracted as well. So for constant input the result is
/// exactly zero.
#[must_use]
pub fn centered(x: &Array, axes: &[usize]) -> Array {
    let keepdims = ReducePlan::new(x.shape(), axes).keepdims;
    let expand_reduced = |m: Array| match m.reshape(&keepdims).and_then(|m| m.broadcast_to("centered", x.shape())) {
        Ok(m) => m,
        Err(_) => unreachable!("a mean broadcasts to what it is the mean of"),
    };
    dispatch!(float x.dtype(), T => {
        let first = expand_reduced(mean(x, axes));
        let mut out = blocks::map([Input::from(x), Input::from(&first)], x.shape(), |[x, m]: [T; 2]| x - m);
        let second = expand_reduced(mean(&out, axes));
        blocks::update(&mut out, [Input::from(&second)], 1.0, |inputs: &[&[T]; 1], out: &mut [T]| {
            blocks::in_step(inputs, out, |[m], out| out.iter_mut().zip(*m).for_each(|(o, m)| *o -= m));
        });
        out
    }, else unreachable!("means are floating"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Scalar;

    #[test]
    fn nothing_is_left_of_a_constant() {
        for n in [3, 7, 1000, 65_537] {
            let x = Array::full(&[n, 2], Scalar::Float(0.1), crate::array::DType::F32);
            assert!(centered(&x, &[0]).to_vec::<f32>().iter().all(|&d| d == 0.0), "{n}");
            let x = Array::full(&[n], Scalar::Float(1e10 / 3.0), crate::array::DType::F64);
            assert!(centered(&x, &[0]).to_vec::<f64>().iter().all(|&d| d == 0.0), "{n}");
        }
    }

    #[test]
    fn a_sum_that_overflows_has_a_mean() {
        let x = Array::from_slice(&[3e38_f32, 3e38, 1.0, 3.0, f32::INFINITY, 1.0, -3e38, -3e38], &[4, 2]);
        let got = mean(&x, &[1]).to_vec::<f32>();
        assert_eq!(got, [3e38, 2.0, f32::INFINITY, -3e38]);
        let x = Array::from_slice(&[1.5e308_f64; 7], &[7]);
        assert_eq!(mean(&x, &[0]).to_vec::<f64>(), [1.5e308]);
        assert_eq!(centered(&x, &[0]).to_vec::<f64>(), [0.0; 7]);
    }

    #[test]
    fn means_of_some_axes() {
        let x = Array::from_slice(&[1.0, 2.0, 3.0, 5.0, 7.0, 9.0], &[2, 3]);
        assert_eq!(mean(&x, &[1]).to_vec::<f64>(), [2.0, 7.0]);
        assert_eq!(centered(&x, &[1]).to_vec::<f64>(), [-1.0, 0.0, 1.0, -2.0, 0.0, 2.0]);
        assert!(mean(&Array::zeros(&[0], x.dtype()), &[0]).to_vec::<f64>()[0].is_nan());
    }
}
