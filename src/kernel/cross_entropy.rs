//! Rows of logits and their targets: the loops of cross-entropy, one pass each.
//!
//! A row holds the logits x of one sample; its target q is a one-hot vector or a distribution, possibly smoothed. With class weights w and
//! L = log Σ eˣ, the loss is Σ wq (L - x) and its derivative (Σ wq) eˣ⁻ᴸ - wq.

#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]

use crate::kernel::math::{self, pick};
use crate::kernel::parallel;
use crate::kernel::row_exp::{Logit, SHORT_ROW_LEN, by_length, log_totals};
use crate::kernel::simd::{Arch, Kernel};

/// The targets of the rows.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a, T> {
    /// The class of each row. A row with a negative class does not count.
    Indices(&'a [i64]),
    /// A distribution over the classes for each row.
    Rows(&'a [T]),
}

/// Targets, smoothing and weights of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Classes<'a, T> {
    /// Length of a row, not zero.
    pub count: usize,
    /// The targets of the rows.
    pub targets: Targets<'a, T>,
    /// The weight of each class.
    pub weight: Option<&'a [T]>,
    /// The share of a target that is distributed equally over all classes.
    pub smoothing: f64,
}

impl<T: Logit> Classes<'_, T> {
    #[inline(always)]
    fn weight(&self, class: usize) -> T {
        self.weight.map_or(T::lit(1.0), |w| w[class])
    }

    /// The share of a target that is not smoothed, and the part of the rest that each class gets.
    #[inline(always)]
    #[allow(clippy::cast_precision_loss, reason = "a count of classes")]
    fn shares(&self) -> (T, T) {
        (T::lit(1.0 - self.smoothing), T::lit(self.smoothing / self.count as f64))
    }

    /// Σ w.
    fn total_weight(&self) -> T {
        (0..self.count).fold(T::lit(0.0), |sum, c| sum + self.weight(c))
    }
}

/// L of each row of `x`.
pub fn log_sums<T: Logit>(x: &[T], count: usize, out: &mut [T]) {
    let grain = parallel::grain(out.len(), cost(count));
    parallel::for_each_chunk_mut(out, grain, |start, out| {
        let x = &x[start * count..(start + out.len()) * count];
        by_length!(count > SHORT_ROW_LEN, LogSums<T> { x, count, out });
    });
}

/// Nanoseconds of a pass over a row.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn cost(count: usize) -> f64 {
    4.0 + 0.6 * count as f64
}

struct LogSums<'a, T, const LONG_ROWS: bool> {
    x: &'a [T],
    count: usize,
    out: &'a mut [T],
}

impl<T: Logit, const LONG_ROWS: bool> Kernel for LogSums<'_, T, LONG_ROWS> {
    type Output = ();
    const WIDE: bool = LONG_ROWS;
    #[inline(always)]
    fn run<A: Arch>(self) {
        log_totals::<T, A, LONG_ROWS>(self.x, self.count, |row, top, log| self.out[row] = top + log);
    }
}

/// The loss of each row of `x`. Without `log_sums` the rows are log-probabilities already (L = 0).
pub fn losses<T: Logit>(x: &[T], log_sums: Option<&[T]>, classes: Classes<'_, T>, out: &mut [T]) {
    let n = classes.count;
    let whole_rows = classes.smoothing != 0.0 || matches!(classes.targets, Targets::Rows(_));
    let grain = parallel::grain(out.len(), if whole_rows { cost(n) } else { 4.0 });
    let (keep, spread) = classes.shares();
    parallel::for_each_chunk_mut(out, grain, |start, out| {
        for (i, o) in (start..).zip(out) {
            let row = &x[i * n..(i + 1) * n];
            let level = log_sums.map_or(T::lit(0.0), |l| l[i]);
            // A class whose share is zero adds nothing, even if its logarithm is infinite.
            let term = |share: T, c: usize| pick(share == T::lit(0.0), T::lit(0.0), share * (level - row[c]));
            let sum = |share: &dyn Fn(usize) -> T| (0..n).fold(T::lit(0.0), |sum, c| sum + term(share(c) * classes.weight(c), c));
            *o = match classes.targets {
                Targets::Indices(t) => match usize::try_from(t[i]) {
                    Err(_) => T::lit(0.0),
                    Ok(t) if whole_rows => term(keep * classes.weight(t), t) + sum(&|_| spread),
                    Ok(t) => term(classes.weight(t), t),
                },
                Targets::Rows(q) => sum(&|c| keep * q[i * n + c] + spread),
            };
        }
    });
}

/// The gradient of each row: g ((Σ wq) eˣ⁻ᴸ - wq), without the first term when there are no `log_sums`.
pub fn gradients<T: Logit>(x: &[T], log_sums: Option<&[T]>, g: &[T], classes: Classes<'_, T>, out: &mut [T]) {
    let rows = parallel::grain(g.len(), cost(classes.count));
    let total = classes.total_weight();
    parallel::for_each_chunk_mut(out, rows * classes.count, |start, out| {
        let start = start / classes.count;
        by_length!(classes.count > SHORT_ROW_LEN, Gradients<T> { x, log_sums, g, classes, total, start, out });
    });
}

struct Gradients<'a, T, const LONG_ROWS: bool> {
    x: &'a [T],
    log_sums: Option<&'a [T]>,
    g: &'a [T],
    classes: Classes<'a, T>,
    /// Σ w.
    total: T,
    start: usize,
    out: &'a mut [T],
}

impl<T: Logit, const LONG_ROWS: bool> Kernel for Gradients<'_, T, LONG_ROWS> {
    type Output = ();
    const WIDE: bool = LONG_ROWS;
    #[inline(always)]
    fn run<A: Arch>(self) {
        let (n, classes, zero) = (self.classes.count, self.classes, T::lit(0.0));
        let (keep, spread) = classes.shares();
        for (i, out) in (self.start..).zip(self.out.chunks_mut(n)) {
            let (row, g) = (&self.x[i * n..(i + 1) * n], self.g[i]);
            let class = match classes.targets {
                Targets::Indices(t) => usize::try_from(t[i]).ok(),
                Targets::Rows(_) => Some(0),
            };
            let (Some(class), false) = (class, g == zero) else {
                out.fill(zero);
                continue;
            };
            // The terms to subtract: wq, and the part of it that belongs to the target class alone.
            let (own, share) = (keep * classes.weight(class), |c: usize| spread * classes.weight(c));
            let even = classes.weight.is_none() || spread == zero;
            let sum = match classes.targets {
                Targets::Rows(q) => {
                    let mut sum = zero;
                    for ((c, o), &q) in out.iter_mut().enumerate().zip(&q[i * n..(i + 1) * n]) {
                        *o = (keep * q + spread) * classes.weight(c);
                        sum = sum + *o;
                    }
                    sum
                }
                Targets::Indices(_) if even => spread * self.total + own,
                Targets::Indices(_) => {
                    out.iter_mut().enumerate().for_each(|(c, o)| *o = share(c));
                    spread * self.total + own
                }
            };
            let level = self.log_sums.map(|l| l[i]);
            let e = |x: T| level.map_or(zero, |level| sum * math::exp_decay::<T, A>(x - level));
            if let (Targets::Indices(_), true) = (classes.targets, even) {
                for (o, &x) in out.iter_mut().zip(row) {
                    *o = g * (e(x) - spread);
                }
            } else {
                for (o, &x) in out.iter_mut().zip(row) {
                    *o = g * (e(x) - *o);
                }
            }
            if let Targets::Indices(_) = classes.targets {
                out[class] = g * (e(row[class]) - (share(class) + own));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;

    #[test]
    fn long_rows_agree_with_the_definition() {
        let n = 77;
        let x: Vec<f64> = (0..231).map(|i| f64::from((i * 37) % 101) / 20.0).collect();
        let mut l = [0.0; 3];
        log_sums(&x, n, &mut l);
        for (row, l) in x.chunks(n).zip(l) {
            assert!((row.iter().map(|v| v.exp()).sum::<f64>().ln() - l).abs() < 1e-13);
        }
        let classes = Classes { count: n, targets: Targets::Indices(&[5, -1, 70]), weight: None, smoothing: 0.0 };
        let mut out = [0.0; 3];
        losses(&x, Some(&l), classes, &mut out);
        assert_eq!(out, [l[0] - x[5], 0.0, l[2] - x[2 * 77 + 70]]);
        let mut grad = vec![1.0; x.len()];
        gradients(&x, Some(&l), &[1.0, 1.0, 2.0], classes, &mut grad);
        assert!(grad[..77].iter().sum::<f64>().abs() < 1e-13);
        assert!(grad[77..154].iter().all(|g| *g == 0.0));
        assert!((grad[2 * 77 + 70] - 2.0 * ((x[2 * 77 + 70] - l[2]).exp() - 1.0)).abs() < 1e-14);
    }

    #[test]
    fn extreme_rows_stay_finite() {
        let mut l = [0.0_f32; 3];
        log_sums(&[1e4, -1e4, -1e4, -1e4, f32::NEG_INFINITY, 0.0], 2, &mut l);
        assert!((l[0] - 1e4).abs() < 1e-2 && (l[1] - (std::f32::consts::LN_2 - 1e4)).abs() < 1e-2 && l[2] == 0.0);
        log_sums(&[f32::NAN, 0.0], 2, &mut l[..1]);
        assert!(l[0].is_nan());
    }
}
