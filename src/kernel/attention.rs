//! Scaled dot-product attention in blocks: O = softmax(scale Q Kᵀ + M) V, without storing the matrix of scores.
//!
//! The scores of a block of rows and a block of keys stay in the cache. The softmax is computed online: when the largest score m grows, the
//! sums so far are scaled by e^(m - new m) (Milakov & Gimelshein 2018; Dao 2022). A row without visible keys is zero.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]

use crate::array::{Element, alloc_check};
use crate::kernel::math::{Real, exp, log};
use crate::kernel::matmul::{MatElement, MatMut, MatRef, matmul};
use crate::kernel::parallel;
use crate::kernel::simd::{Arch, Kernel, dispatch};

/// Rows of a block of scores.
const ROWS: usize = 64;
/// Keys of a block of scores.
const KEYS: usize = 256;

/// Element types of attention.
pub trait Number: Real + Element + MatElement {}
impl<T: Real + Element + MatElement> Number for T {}

/// The sizes of one head, and how its scores are computed.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Queries.
    pub queries: usize,
    /// Keys.
    pub keys: usize,
    /// Elements of a query and of a key.
    pub width: usize,
    /// Elements of a value.
    pub values: usize,
    /// The factor of the products of queries and keys.
    pub scale: f64,
    /// Whether query i sees keys up to i only.
    pub causal: bool,
}

/// A mask that is added to the scores, with strides for queries and keys. A stride is 0 where the mask is broadcast.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a, T> {
    /// All elements.
    pub data: &'a [T],
    /// The index of the first element of each head.
    pub starts: &'a [usize],
    /// The distance from one query to the next, and from one key to the next.
    pub strides: [isize; 2],
}

/// The operands, with all heads: heads by rows by columns.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, T> {
    /// Heads by queries by width.
    pub q: &'a [T],
    /// Heads by keys by width.
    pub k: &'a [T],
    /// Heads by keys by values.
    pub v: &'a [T],
    /// The mask that is added to the scores.
    pub mask: Option<Mask<'a, T>>,
}

fn rows_of<T>(all: &[T], at: usize, rows: usize, columns: usize) -> MatRef<'_, T> {
    MatRef::new(all, at * columns, rows, columns, columns.cast_signed(), 1)
}

impl Head {
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn cost(&self) -> f64 {
        (self.queries * self.keys * (self.width + self.values)) as f64 / 16.0 + (self.queries * self.keys) as f64
    }

    /// The number of keys that the queries before `end` see.
    fn seen(&self, end: usize) -> usize {
        if self.causal { self.keys.min(end) } else { self.keys }
    }

    /// The scores of a block: scaled products, plus the mask; -∞ where a query does not see a key.
    fn scores<T: Number>(&self, x: &Inputs<'_, T>, head: usize, [row, rows]: [usize; 2], [key, keys]: [usize; 2], out: &mut [T]) {
        let (q, k) = (&x.q[head * self.queries * self.width..], &x.k[head * self.keys * self.width..]);
        let product = MatMut::new(out, 0, rows, keys, keys.cast_signed(), 1);
        matmul(rows_of(q, row, rows, self.width), rows_of(k, key, keys, self.width).t(), product, false);
        let scale = T::lit(self.scale);
        for (i, line) in out[..rows * keys].chunks_exact_mut(keys).enumerate() {
            for s in &mut *line {
                *s = *s * scale;
            }
            if let Some(mask) = &x.mask {
                let at = mask.starts[head].cast_signed() + (row + i).cast_signed() * mask.strides[0] + key.cast_signed() * mask.strides[1];
                for (j, s) in line.iter_mut().enumerate() {
                    *s = *s + mask.data[(at + j.cast_signed() * mask.strides[1]).cast_unsigned()];
                }
            }
            if self.causal {
                let first = (row + i + 1).saturating_sub(key).min(keys);
                line[first..].fill(T::lit(f64::NEG_INFINITY));
            }
        }
    }
}

/// The result, heads by queries by values, and for each query the logarithm of the sum of e^score.
pub fn forward<T: Number>(x: &Inputs<'_, T>, head: &Head, out: &mut [T], logs: &mut [T]) {
    if head.queries * head.values == 0 {
        return;
    }
    let blocks = head.queries.div_ceil(ROWS);
    // One task for each block of rows of each head.
    let outs = out.chunks_mut(head.queries * head.values).flat_map(|o| o.chunks_mut(ROWS * head.values));
    let logs = logs.chunks_mut(head.queries).flat_map(|l| l.chunks_mut(ROWS));
    let mut jobs = alloc_check::collect(outs.zip(logs));
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    let grain = parallel::grain(jobs.len(), head.cost() / blocks as f64);
    parallel::for_each_chunk_mut(&mut jobs, grain, |start, jobs| {
        let mut scratch = alloc_check::filled(T::lit(0.0), ROWS * KEYS.min(head.keys.max(1)));
        for (i, (out, logs)) in jobs.iter_mut().enumerate() {
            let at = start + i;
            rows_forward(x, head, at / blocks, at % blocks * ROWS, [out, logs], &mut scratch);
        }
    });
}

fn rows_forward<T: Number>(x: &Inputs<'_, T>, head: &Head, number: usize, row: usize, [out, logs]: [&mut [T]; 2], scratch: &mut [T]) {
    let (rows, zero) = (logs.len(), T::lit(0.0));
    let (mut most, mut sums) = (vec![T::lit(f64::NEG_INFINITY); rows], vec![zero; rows]);
    out.fill(zero);
    let v = &x.v[number * head.keys * head.values..];
    let seen = head.seen(row + rows);
    for key in (0..seen).step_by(KEYS) {
        let keys = KEYS.min(seen - key);
        let scores = &mut scratch[..rows * keys];
        head.scores(x, number, [row, rows], [key, keys], scores);
        dispatch(Online { scores, keys, most: &mut most, sums: &mut sums, out, width: head.values });
        let result = MatMut::new(out, 0, rows, head.values, head.values.cast_signed(), 1);
        matmul(rows_of(scores, 0, rows, keys), rows_of(v, key, keys, head.values), result, true);
    }
    dispatch(Finish { most: &most, sums: &sums, out, logs, width: head.values });
}

/// Turns scores into e^(score - largest), and scales the sums so far.
struct Online<'a, T> {
    scores: &'a mut [T],
    keys: usize,
    most: &'a mut [T],
    sums: &'a mut [T],
    out: &'a mut [T],
    width: usize,
}

impl<T: Number> Kernel for Online<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { scores, keys, most, sums, out, width } = self;
        let zero = T::lit(0.0);
        for (i, line) in scores.chunks_exact_mut(keys).enumerate() {
            let largest = largest(line, most[i]);
            let shift = if largest == T::lit(f64::NEG_INFINITY) { zero } else { largest };
            for s in &mut *line {
                *s = exp::<T, A>(*s - shift);
            }
            let total = total(line);
            let before = if most[i] == T::lit(f64::NEG_INFINITY) { zero } else { exp::<T, A>(most[i] - shift) };
            sums[i] = sums[i] * before + total;
            most[i] = largest;
            out[i * width..(i + 1) * width].iter_mut().for_each(|o| *o = *o * before);
        }
    }
}

const LANES: usize = 8;

/// The largest of a row and `first`; NaN if any of them is NaN.
#[inline(always)]
fn largest<T: Number>(line: &[T], first: T) -> T {
    let pick = |a: T, b: T| {
        #[allow(clippy::eq_op, reason = "NaN differs from itself")]
        let is_nan = b != b;
        if b > a || is_nan { b } else { a }
    };
    let mut lanes = [first; LANES];
    let (whole, rest) = line.as_chunks::<LANES>();
    for x in whole {
        for (m, x) in lanes.iter_mut().zip(x) {
            *m = pick(*m, *x);
        }
    }
    lanes.iter().chain(rest).fold(first, |m, x| pick(m, *x))
}

#[inline(always)]
fn total<T: Number>(line: &[T]) -> T {
    let mut lanes = [T::lit(0.0); LANES];
    let (whole, rest) = line.as_chunks::<LANES>();
    for x in whole {
        for (s, x) in lanes.iter_mut().zip(x) {
            *s = *s + *x;
        }
    }
    lanes.iter().chain(rest).fold(T::lit(0.0), |s, x| s + *x)
}

struct Finish<'a, T> {
    most: &'a [T],
    sums: &'a [T],
    out: &'a mut [T],
    logs: &'a mut [T],
    width: usize,
}

impl<T: Number> Kernel for Finish<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { most, sums, out, logs, width } = self;
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            let zero = T::lit(0.0);
            let by = if sums[i] == zero { zero } else { T::lit(1.0) / sums[i] };
            for o in out {
                *o = *o * by;
            }
            logs[i] = if sums[i] == zero { T::lit(f64::NEG_INFINITY) } else { most[i] + log::<T, A>(sums[i]) };
        }
    }
}

/// The gradients of Q, K and V from the cotangent of the result, the result and its logarithms.
pub fn backward<T: Number>(x: &Inputs<'_, T>, head: &Head, [g, out, logs]: [&[T]; 3], [dq, dk, dv]: [&mut [T]; 3]) {
    for d in [&mut *dq, &mut *dk, &mut *dv] {
        d.fill(T::lit(0.0));
    }
    if head.queries * head.keys == 0 || head.values == 0 || head.width == 0 {
        return;
    }
    let of_queries = dq.chunks_mut(head.queries * head.width);
    let of_keys = dk.chunks_mut(head.keys * head.width).zip(dv.chunks_mut(head.keys * head.values));
    let mut jobs = alloc_check::collect(of_queries.zip(of_keys));
    let grain = parallel::grain(jobs.len(), 2.5 * head.cost());
    parallel::for_each_chunk_mut(&mut jobs, grain, |start, jobs| {
        let mut scratch = [(); 2].map(|()| alloc_check::filled(T::lit(0.0), ROWS * KEYS.min(head.keys)));
        for (i, (dq, (dk, dv))) in jobs.iter_mut().enumerate() {
            let number = start + i;
            for row in (0..head.queries).step_by(ROWS) {
                let rows = ROWS.min(head.queries - row);
                rows_backward(x, head, [number, row, rows], [g, out, logs], [dq, dk, dv], &mut scratch);
            }
        }
    });
}

fn rows_backward<T: Number>(
    x: &Inputs<'_, T>,
    head: &Head,
    [number, row, rows]: [usize; 3],
    [g, out, logs]: [&[T]; 3],
    [dq, dk, dv]: [&mut [T]; 3],
    [scores, slopes]: &mut [Vec<T>; 2],
) {
    let (width, values) = (head.width, head.values);
    let first = number * head.queries + row;
    let (g, out, logs) = (&g[first * values..(first + rows) * values], &out[first * values..], &logs[first..first + rows]);
    let along: Vec<T> = (0..rows).map(|i| (0..values).fold(T::lit(0.0), |s, j| s + g[i * values + j] * out[i * values + j])).collect();
    let (k, v) = (&x.k[number * head.keys * width..], &x.v[number * head.keys * values..]);
    let (q, scale) = (&x.q[first * width..], T::lit(head.scale));
    let seen = head.seen(row + rows);
    for key in (0..seen).step_by(KEYS) {
        let keys = KEYS.min(seen - key);
        let (scores, slopes) = (&mut scores[..rows * keys], &mut slopes[..rows * keys]);
        head.scores(x, number, [row, rows], [key, keys], scores);
        let product = MatMut::new(slopes, 0, rows, keys, keys.cast_signed(), 1);
        matmul(rows_of(g, 0, rows, values), rows_of(v, key, keys, values).t(), product, false);
        dispatch(ScoreSlopes { scores, cotangents: slopes, keys, logs, along: &along, scale });
        let (p, ds) = (rows_of(scores, 0, rows, keys), rows_of(slopes, 0, rows, keys));
        let into = |data, at: usize, rows, columns: usize| MatMut::new(data, at * columns, rows, columns, columns.cast_signed(), 1);
        matmul(p.t(), rows_of(g, 0, rows, values), into(&mut *dv, key, keys, values), true);
        matmul(ds.t(), rows_of(q, 0, rows, width), into(&mut *dk, key, keys, width), true);
        matmul(ds, rows_of(k, key, keys, width), into(&mut *dq, row, rows, width), true);
    }
}

/// Turns scores into P = e^(score - log), and the cotangents of P into those of the scaled products: P (dP - Σ P dP) scale.
struct ScoreSlopes<'a, T> {
    scores: &'a mut [T],
    cotangents: &'a mut [T],
    keys: usize,
    logs: &'a [T],
    along: &'a [T],
    scale: T,
}

impl<T: Number> Kernel for ScoreSlopes<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { scores, cotangents, keys, logs, along, scale } = self;
        let zero = T::lit(0.0);
        for (i, (scores, slopes)) in scores.chunks_exact_mut(keys).zip(cotangents.chunks_exact_mut(keys)).enumerate() {
            if logs[i] == T::lit(f64::NEG_INFINITY) {
                scores.fill(zero);
                slopes.fill(zero);
                continue;
            }
            for (p, s) in scores.iter_mut().zip(slopes) {
                *p = exp::<T, A>(*p - logs[i]);
                // A key that is not visible contributes nothing, whatever its value.
                *s = if *p == zero { zero } else { *p * (*s - along[i]) * scale };
            }
        }
    }
}
