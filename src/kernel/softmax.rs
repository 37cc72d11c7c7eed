//! Softmax and related functions over contiguous rows.
//!
//! The row's maximum is subtracted from every exponent, so nothing overflows. [`row_exp`](super::row_exp) has the loops over rows.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]

use crate::array::{Array, Element};
use crate::dispatch;
use crate::kernel::math::{self, pick};
use crate::kernel::parallel;
use crate::kernel::row_exp::{LANES, Logit, SHORT_ROW_LEN, by_length, exp_total, exponentials, load_tile, log_totals, store_tile};
use crate::kernel::simd::{Arch, Kernel};

/// For their gradients, rows up to this length are transposed: gradients take less time than exponentials.
const SHORT_GRADIENT_ROW_LEN: usize = 16;

/// e^(x - max) / Σ e^(x - max) over rows of `count`.
///
/// # Panics
/// When the dtype is not floating: a bug of the caller. So for all functions here.
#[must_use]
pub fn softmax(x: &Array, count: usize) -> Array {
    let mut out = Array::empty(x.shape(), x.dtype());
    dispatch!(float x.dtype(), T => rows([x], &mut out, count, count, |[x], out| by_length!(count > SHORT_ROW_LEN, Softmax<T> { x, out, count })),
        else unreachable!("softmax is over floating dtypes"));
    out
}

/// x - max - ln Σ e^(x - max) over rows of `count`.
#[must_use]
pub fn log_softmax(x: &Array, count: usize) -> Array {
    let mut out = Array::empty(x.shape(), x.dtype());
    dispatch!(float x.dtype(), T => rows([x], &mut out, count, count, |[x], out| by_length!(count > SHORT_ROW_LEN, LogSoftmax<T> { x, out, count })),
        else unreachable!("log_softmax is over floating dtypes"));
    out
}

/// ln Σ eˣ over rows of `count`, as an array of `shape`; -inf for no elements, or if all are -inf.
#[must_use]
pub fn logsumexp(x: &Array, count: usize, shape: &[usize]) -> Array {
    if count == 0 {
        return Array::full(shape, f64::NEG_INFINITY.into(), x.dtype());
    }
    let mut out = Array::empty(shape, x.dtype());
    dispatch!(float x.dtype(), T => rows([x], &mut out, count, 1, |[x], out| by_length!(count > SHORT_ROW_LEN, LogSumExp<T> { x, out, count })),
        else unreachable!("logsumexp is over floating dtypes"));
    out
}

/// The gradient of softmax from its output: y (g - Σ g y).
#[must_use]
pub fn softmax_gradient(g: &Array, y: &Array, count: usize) -> Array {
    let mut out = Array::empty(y.shape(), y.dtype());
    dispatch!(float y.dtype(), T => rows([g, y], &mut out, count, count, |[g, y], out| by_length!(count > SHORT_GRADIENT_ROW_LEN, SoftmaxGradient<T> { g, y, out, count })),
        else unreachable!("softmax is over floating dtypes"));
    out
}

/// The gradient of log-softmax from its output: g - eʸ Σ g.
#[must_use]
pub fn log_softmax_gradient(g: &Array, y: &Array, count: usize) -> Array {
    let mut out = Array::empty(y.shape(), y.dtype());
    dispatch!(float y.dtype(), T => rows([g, y], &mut out, count, count, |[g, y], out| by_length!(count > SHORT_GRADIENT_ROW_LEN, LogSoftmaxGradient<T> { g, y, out, count })),
        else unreachable!("log_softmax is over floating dtypes"));
    out
}

/// Calls `f` with some whole rows of the inputs, `count` elements each, and the slice for their results, `width` each.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn rows<T: Element, const N: usize>(inputs: [&Array; N], out: &mut Array, count: usize, width: usize, f: impl Fn([&[T]; N], &mut [T]) + Sync) {
    let inputs = inputs.map(Array::contiguous);
    let inputs = inputs.each_ref().map(|a| a.as_slice::<T>().unwrap_or_else(|| unreachable!("contiguous() is contiguous")));
    let out = out.data_mut::<T>();
    if out.is_empty() {
        return;
    }
    let cost = 0.4 * (count * size_of::<T>()) as f64;
    let grain = parallel::grain(out.len() / width, cost) * width;
    parallel::for_each_chunk_mut(out, grain, |start, chunk| {
        let (first, last) = (start / width * count, (start + chunk.len()) / width * count);
        f(inputs.map(|x| &x[first..last]), chunk);
    });
}

struct Softmax<'a, T, const LONG_ROWS: bool> {
    x: &'a [T],
    out: &'a mut [T],
    count: usize,
}

impl<T: Logit, const LONG_ROWS: bool> Kernel for Softmax<'_, T, LONG_ROWS> {
    type Output = ();
    const WIDE: bool = LONG_ROWS;
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, out, count } = self;
        let one = T::lit(1.0);
        if LONG_ROWS {
            for (x, out) in x.chunks_exact(count).zip(out.chunks_exact_mut(count)) {
                let total = exp_total::<T, A>(x, T::largest(x), |at, e| out[at..at + e.len()].copy_from_slice(e));
                let scale = one / total;
                for o in out {
                    *o = *o * scale;
                }
            }
            return;
        }
        let mut tile = [[T::lit(0.0); LANES]; SHORT_ROW_LEN];
        let tile = &mut tile[..count];
        for (x, out) in x.chunks(LANES * count).zip(out.chunks_mut(LANES * count)) {
            load_tile(x, tile);
            let (_, totals) = exponentials::<T, A>(tile);
            let scale: [T; LANES] = std::array::from_fn(|i| one / totals[i]);
            for e in tile.iter_mut() {
                *e = std::array::from_fn(|i| e[i] * scale[i]);
            }
            store_tile(tile, out);
        }
    }
}

struct LogSoftmax<'a, T, const LONG_ROWS: bool> {
    x: &'a [T],
    out: &'a mut [T],
    count: usize,
}

impl<T: Logit, const LONG_ROWS: bool> Kernel for LogSoftmax<'_, T, LONG_ROWS> {
    type Output = ();
    const WIDE: bool = LONG_ROWS;
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, out, count } = self;
        log_totals::<T, A, LONG_ROWS>(x, count, |row, top, log| {
            let at = row * count;
            for (o, &x) in out[at..at + count].iter_mut().zip(&x[at..at + count]) {
                *o = x - top - log;
            }
        });
    }
}

struct LogSumExp<'a, T, const LONG_ROWS: bool> {
    x: &'a [T],
    out: &'a mut [T],
    count: usize,
}

impl<T: Logit, const LONG_ROWS: bool> Kernel for LogSumExp<'_, T, LONG_ROWS> {
    type Output = ();
    const WIDE: bool = LONG_ROWS;
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, out, count } = self;
        let infinity = T::lit(f64::INFINITY);
        // An infinite maximum is the result; its differences are NaN.
        log_totals::<T, A, LONG_ROWS>(x, count, |row, top, log| out[row] = pick(top.abs() == infinity, top, top + log));
    }
}

struct SoftmaxGradient<'a, T, const LONG_ROWS: bool> {
    g: &'a [T],
    y: &'a [T],
    out: &'a mut [T],
    count: usize,
}

impl<T: Logit, const LONG_ROWS: bool> Kernel for SoftmaxGradient<'_, T, LONG_ROWS> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { g, y, out, count } = self;
        by_rows::<T, LONG_ROWS>(
            g,
            y,
            out,
            count,
            |g, y, out| {
                for ((o, &g), &y) in out.iter_mut().zip(g).zip(y) {
                    *o = g * y;
                }
                let dot = T::total(out);
                for ((o, &g), &y) in out.iter_mut().zip(g).zip(y) {
                    *o = y * (g - dot);
                }
            },
            |g, y| {
                let mut dot = [T::lit(0.0); LANES];
                for (g, y) in g.iter().zip(y.iter()) {
                    dot = std::array::from_fn(|i| dot[i] + g[i] * y[i]);
                }
                for (g, y) in g.iter_mut().zip(y) {
                    *g = std::array::from_fn(|i| y[i] * (g[i] - dot[i]));
                }
            },
        );
    }
}

struct LogSoftmaxGradient<'a, T, const LONG_ROWS: bool> {
    g: &'a [T],
    y: &'a [T],
    out: &'a mut [T],
    count: usize,
}

impl<T: Logit, const LONG_ROWS: bool> Kernel for LogSoftmaxGradient<'_, T, LONG_ROWS> {
    type Output = ();
    const WIDE: bool = LONG_ROWS;
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { g, y, out, count } = self;
        by_rows::<T, LONG_ROWS>(
            g,
            y,
            out,
            count,
            |g, y, out| {
                let total = T::total(g);
                for ((o, &g), &y) in out.iter_mut().zip(g).zip(y) {
                    *o = g - math::exp_decay::<T, A>(y) * total;
                }
            },
            |g, y| {
                let mut total = [T::lit(0.0); LANES];
                for g in g.iter() {
                    total = std::array::from_fn(|i| total[i] + g[i]);
                }
                for (g, y) in g.iter_mut().zip(y) {
                    *g = std::array::from_fn(|i| g[i] - math::exp_decay::<T, A>(y[i]) * total[i]);
                }
            },
        );
    }
}

/// A function of two rows: `long(a, b, out)` for one pair of rows, `short(a, b)` for tiles of rows, which replaces `a` by the result.
#[inline(always)]
fn by_rows<T: Logit, const LONG_ROWS: bool>(
    a: &[T],
    b: &[T],
    out: &mut [T],
    count: usize,
    long: impl Fn(&[T], &[T], &mut [T]),
    short: impl Fn(&mut [[T; LANES]], &[[T; LANES]]),
) {
    if LONG_ROWS {
        for ((a, b), out) in a.chunks_exact(count).zip(b.chunks_exact(count)).zip(out.chunks_exact_mut(count)) {
            long(a, b, out);
        }
        return;
    }
    let mut tiles = [[[T::lit(0.0); LANES]; SHORT_GRADIENT_ROW_LEN]; 2];
    let [left, right] = &mut tiles;
    let (left, right) = (&mut left[..count], &mut right[..count]);
    let step = LANES * count;
    for ((a, b), out) in a.chunks(step).zip(b.chunks(step)).zip(out.chunks_mut(step)) {
        load_tile(a, left);
        load_tile(b, right);
        short(left, right);
        store_tile(left, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares rows of one length with the definition.
    fn check(count: usize) {
        let data: Vec<f64> =
            (0..5 * count).map(|i| f64::from(u16::try_from(i * 7919 % 613).unwrap()) / 50.0 - 6.0 + if i < count { 1e4 } else { 0.0 }).collect();
        let x = Array::from_slice(&data, &[5, count]);
        let (y, logs, sums) =
            (softmax(&x, count).to_vec::<f64>(), log_softmax(&x, count).to_vec::<f64>(), logsumexp(&x, count, &[5]).to_vec::<f64>());
        for (r, row) in data.chunks(count).enumerate() {
            let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = row.iter().map(|v| (v - top).exp()).sum();
            assert!((sums[r] - top - total.ln()).abs() < 1e-11 * (1.0 + top.abs()));
            for (k, v) in row.iter().enumerate() {
                let want = (v - top).exp() / total;
                assert!((y[r * count + k] - want).abs() < 1e-14 && (logs[r * count + k] - (v - top - total.ln())).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn rows_of_all_lengths() {
        for count in [1, 2, 10, 16, 17, 100, 1000, 2048, 2049, 5000] {
            check(count);
        }
    }

    #[test]
    fn infinities_and_nan() {
        let inf = f64::INFINITY;
        let x = Array::from_slice(&[-inf, -inf, inf, 1.0, f64::NAN, 1.0, -inf, 0.0], &[4, 2]);
        let sums = logsumexp(&x, 2, &[4]).to_vec::<f64>();
        assert!(sums[..2] == [-inf, inf] && sums[2].is_nan() && sums[3].abs() < 1e-300);
        let y = softmax(&x, 2).to_vec::<f64>();
        assert!(y[0].is_nan() && y[4].is_nan() && y[6].abs() < 1e-300 && (y[7] - 1.0).abs() < 1e-15);
        let logs = log_softmax(&x, 2).to_vec::<f64>();
        assert!(logs[6..7] == [-inf] && logs[7].abs() < 1e-300);
        let g = log_softmax_gradient(&Array::ones(&[4, 2], x.dtype()), &Array::from(last_row(&logs)), 2).to_vec::<f64>();
        assert!((g[0] - 1.0).abs() < 1e-15 && (g[1] + 1.0).abs() < 1e-15);
    }

    fn last_row(l: &[f64]) -> ndarray::ArrayD<f64> {
        ndarray::ArrayD::from_shape_vec(ndarray::IxDyn(&[4, 2]), [&l[6..], &l[6..], &l[6..], &l[6..]].concat()).unwrap()
    }

    #[test]
    fn gradients_are_the_formulas() {
        let y = softmax(&Array::from_slice(&[0.5, -1.0, 2.0, 3.0, 3.0, 3.0], &[2, 3]), 3);
        let g = Array::from_slice(&[1.0, -2.0, 0.5, 1.0, 0.0, 0.0], &[2, 3]);
        let (yv, gv) = (y.to_vec::<f64>(), g.to_vec::<f64>());
        let got = softmax_gradient(&g, &y, 3).to_vec::<f64>();
        let logs = Array::from_slice(&yv.iter().map(|v| v.ln()).collect::<Vec<_>>(), &[2, 3]);
        let log_got = log_softmax_gradient(&g, &logs, 3).to_vec::<f64>();
        for i in 0..6 {
            let row = i / 3 * 3..i / 3 * 3 + 3;
            let dot: f64 = row.clone().map(|k| yv[k] * gv[k]).sum();
            let total: f64 = row.map(|k| gv[k]).sum();
            assert!((got[i] - yv[i] * (gv[i] - dot)).abs() < 1e-15);
            assert!((log_got[i] - (gv[i] - yv[i] * total)).abs() < 1e-15);
        }
    }

    #[test]
    fn nothing_in_a_row() {
        let x = Array::zeros(&[2, 0], crate::array::DType::F32);
        assert_eq!(softmax(&x, 0).size(), 0);
        assert_eq!(logsumexp(&x, 0, &[2]).to_vec::<f32>(), [f32::NEG_INFINITY; 2]);
    }
}
