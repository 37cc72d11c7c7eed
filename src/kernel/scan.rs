//! Running sums and products along an axis, and the linear recurrence of their gradients.

use std::ops::{Add, Mul};

use crate::array::{Array, DKind, DType, Element, Plain, Scalar, size_of};
use crate::dispatch;
use crate::kernel::cast::cast;
use crate::kernel::parallel;
use crate::kernel::reduce::{Fold, Prod, Sum};

/// A row-major block as (outer, count, inner), where `count` is the axis of the scan.
struct Lanes {
    count: usize,
    inner: usize,
}

impl Lanes {
    fn new(shape: &[usize], axis: usize) -> Self {
        Self { count: shape[axis], inner: size_of(&shape[axis + 1..]) }
    }

    /// Calls `f(start, chunk)` for pieces of `out` that consist of whole blocks of `count · inner` elements.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn blocks<T: Send>(&self, out: &mut [T], cost: f64, f: impl Fn(usize, &mut [T]) + Sync) {
        let block = self.count * self.inner;
        if out.is_empty() {
            return;
        }
        let grain = parallel::grain(out.len() / block, cost * block as f64).max(1);
        parallel::for_each_chunk_mut(out, grain * block, |start, chunk| {
            for (i, out) in chunk.chunks_exact_mut(block).enumerate() {
                f(start + i * block, out);
            }
        });
    }

    /// The first indices of the rows of a block, in the order of the scan.
    fn walk(&self, reverse: bool) -> impl Iterator<Item = usize> {
        let (count, inner) = (self.count, self.inner);
        (0..count).map(move |k| if reverse { count - 1 - k } else { k } * inner)
    }
}

/// For each element, the sum of all elements up to it along `axis`, from the end with `reverse`. Dtypes are those of
/// [`sum`](crate::kernel::reduce::sum).
#[must_use]
pub fn sums(x: &Array, axis: usize, reverse: bool) -> Array {
    let dtype = x.dtype();
    if dtype.is_complex() {
        // Complex numbers are summed as pairs of real numbers.
        return sums(&x.seen_as(dtype.real()), axis, reverse).contiguous().turned_into(dtype);
    }
    let out = dispatch!(core dtype, T => running::<Sum, T>(x, axis, reverse), else running::<Sum, i64>(&wide(x), axis, reverse));
    unsigned(out, dtype)
}

/// For each element, the product of all elements up to it along `axis`. Dtypes are those of [`sums`].
#[must_use]
pub fn products(x: &Array, axis: usize) -> Array {
    let dtype = x.dtype();
    if dtype.is_complex() {
        return dispatch!(inexact dtype, T => running_products::<T>(x, axis), else unreachable!("{dtype} is complex"));
    }
    let out = dispatch!(core dtype, T => running::<Prod, T>(x, axis, false), else running::<Prod, i64>(&wide(x), axis, false));
    unsigned(out, dtype)
}

fn running_products<T: Element + Mul<Output = T>>(x: &Array, axis: usize) -> Array {
    let (x, lanes) = (x.contiguous(), Lanes::new(x.shape(), axis));
    let Some(data) = x.as_slice::<T>() else { unreachable!("contiguous() is contiguous") };
    let mut out = Array::empty(x.shape(), T::DTYPE);
    lanes.blocks(out.data_mut::<T>(), 2.0, |start, out| {
        for at in lanes.walk(false) {
            for i in at..at + lanes.inner {
                out[i] = if at == 0 { data[start + i] } else { out[i - lanes.inner] * data[start + i] };
            }
        }
    });
    out
}

/// Integers of other dtypes, as int64: sums and products have the same bits as in uint64.
fn wide(x: &Array) -> Array {
    if x.dtype() == DType::U64 { x.seen_as(DType::I64) } else { cast(x, DType::I64) }
}

/// Converts a result for unsigned integers to uint64.
fn unsigned(out: Array, dtype: DType) -> Array {
    if dtype.kind() == DKind::Unsigned { out.turned_into(DType::U64) } else { out }
}

/// For every element, the fold of all elements up to it along `axis`, from the end with `reverse`.
#[must_use]
pub fn running<R: Fold<T>, T: Element>(x: &Array, axis: usize, reverse: bool) -> Array {
    let (x, lanes) = (x.contiguous(), Lanes::new(x.shape(), axis));
    let Some(data) = x.as_slice::<T>() else { unreachable!("contiguous() is contiguous") };
    let mut out = Array::empty(x.shape(), R::Acc::DTYPE);
    lanes.blocks(out.data_mut::<R::Acc>(), 1.0, |start, out| {
        let source = &data[start..start + out.len()];
        if lanes.inner == 1 {
            return run::<R, T>(source, out, reverse);
        }
        let mut last: Option<usize> = None;
        for at in lanes.walk(reverse) {
            row::<R, T>(&source[at..at + lanes.inner], out, last, at);
            last = Some(at);
        }
    });
    out
}

/// A scan of contiguous elements.
fn run<R: Fold<T>, T: Element>(source: &[T], out: &mut [R::Acc], reverse: bool) {
    let mut acc: Option<R::Acc> = None;
    let mut step = |x: T, o: &mut R::Acc| {
        let next = acc.map_or_else(|| R::lift(x), |a| R::step(a, x));
        acc = Some(next);
        *o = next;
    };
    if reverse {
        source.iter().zip(out).rev().for_each(|(x, o)| step(*x, o));
    } else {
        source.iter().zip(out).for_each(|(x, o)| step(*x, o));
    }
}

/// Computes the row of `out` that begins at `at` from the previous row, which begins at `last`.
fn row<R: Fold<T>, T: Element>(source: &[T], out: &mut [R::Acc], last: Option<usize>, at: usize) {
    let inner = source.len();
    let Some(last) = last else {
        out[at..at + inner].iter_mut().zip(source).for_each(|(o, x)| *o = R::lift(*x));
        return;
    };
    let (low, high) = out.split_at_mut(last.max(at));
    let (before, now) = if last < at { (&low[last..last + inner], &mut high[..inner]) } else { (&high[..inner], &mut low[at..at + inner]) };
    now.iter_mut().zip(before).zip(source).for_each(|((o, a), x)| *o = R::step(*a, *x));
}

/// The linear recurrence s = b + a · (previous s) along `axis`, from the end with `reverse`; the first s is b. The product is zero where s
/// is zero. Both arrays have the same shape and floating or complex dtype.
///
/// # Panics
/// When shapes or dtypes differ: a bug of the caller.
#[must_use]
pub fn recurrence(a: &Array, b: &Array, axis: usize, reverse: bool) -> Array {
    assert_eq!(a.shape(), b.shape(), "both have one shape");
    let (a, b, lanes) = (a.contiguous(), b.contiguous(), Lanes::new(a.shape(), axis));
    let mut out = Array::empty(a.shape(), a.dtype());
    dispatch!(inexact a.dtype(), T => {
        let (Some(a), Some(b)) = (a.as_slice::<T>(), b.as_slice::<T>()) else { unreachable!("both are contiguous") };
        lanes.blocks(out.data_mut::<T>(), 2.0, |start, out| recur(&a[start..start + out.len()], &b[start..], out, &lanes, reverse));
    }, else unreachable!("gradients are floating or complex"));
    out
}

fn recur<T: Element + Add<Output = T> + Mul<Output = T>>(a: &[T], b: &[T], out: &mut [T], lanes: &Lanes, reverse: bool) {
    let (zero, mut last) = (T::from_scalar(Scalar::Float(0.0)), None);
    for at in lanes.walk(reverse) {
        for i in at..at + lanes.inner {
            let before = last.map_or(zero, |last: usize| out[last + i - at]);
            out[i] = if before == zero { b[i] } else { b[i] + a[i] * before };
        }
        last = Some(at);
    }
}

/// For every element, ln Σ eˣ of all elements up to it along `axis`.
///
/// # Panics
/// When the dtype is not floating: a bug of the caller.
#[must_use]
pub fn running_logsumexp(x: &Array, axis: usize) -> Array {
    let (x, lanes) = (x.contiguous(), Lanes::new(x.shape(), axis));
    let mut out = Array::empty(x.shape(), x.dtype());
    dispatch!(float x.dtype(), T => {
        let Some(data) = x.as_slice::<T>() else { unreachable!("contiguous() is contiguous") };
        lanes.blocks(out.data_mut::<T>(), 15.0, |start, out| {
            for column in 0..lanes.inner {
                // The sum is represented as eᵐ · s with the largest element m so far.
                let (mut m, mut s) = (f64::NEG_INFINITY, 0.0);
                for at in lanes.walk(false) {
                    let v = data[start + at + column].to_scalar().as_f64();
                    (m, s) = more(m, s, v);
                    let y = if m.is_finite() { m + s.ln() } else { m };
                    out[at + column] = T::from_scalar(Scalar::Float(y));
                }
            }
        });
    }, else unreachable!("the dtype is floating"));
    out
}

/// eᵐ · s + eᵛ in the same form. An infinite or NaN m is the result.
fn more(m: f64, s: f64, v: f64) -> (f64, f64) {
    match () {
        () if m.is_nan() || v.is_nan() => (f64::NAN, 1.0),
        () if v == f64::NEG_INFINITY || m == f64::INFINITY => (m, s),
        () if v == f64::INFINITY => (v, 1.0),
        () if v <= m => (m, s + (v - m).exp()),
        () => (v, s * (m - v).exp() + 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(shape: &[usize]) -> Array {
        Array::from_slice(&(1..).take(size_of(shape)).map(|i: u8| f64::from(i)).collect::<Vec<_>>(), shape)
    }

    #[test]
    fn running_sums_along_every_axis_and_backward() {
        let x = numbers(&[2, 3]);
        assert_eq!(running::<Sum, f64>(&x, 1, false).to_vec::<f64>(), [1.0, 3.0, 6.0, 4.0, 9.0, 15.0]);
        assert_eq!(running::<Sum, f64>(&x, 0, false).to_vec::<f64>(), [1.0, 2.0, 3.0, 5.0, 7.0, 9.0]);
        assert_eq!(running::<Sum, f64>(&x, 1, true).to_vec::<f64>(), [6.0, 5.0, 3.0, 15.0, 11.0, 6.0]);
        assert_eq!(running::<Prod, f64>(&x, 0, true).to_vec::<f64>(), [4.0, 10.0, 18.0, 4.0, 5.0, 6.0]);
        assert_eq!(running::<Sum, f64>(&numbers(&[0, 3]), 0, false).size(), 0);
    }

    #[test]
    fn a_recurrence_walks_both_ways() {
        let (a, b) = (numbers(&[3, 1]), numbers(&[3, 1]));
        assert_eq!(recurrence(&a, &b, 0, false).to_vec::<f64>(), [1.0, 4.0, 15.0]);
        assert_eq!(recurrence(&a, &b, 0, true).to_vec::<f64>(), [9.0, 8.0, 3.0]);
    }
}
