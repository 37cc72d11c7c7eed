//! Folds along rows: the innermost loops of every reduction of contiguous elements.
//!
//! A run is read in groups of eight vectors, which are joined as a tree before they are joined with the accumulators: few dependent
//! operations, and rounding errors that grow with the logarithm of the length. Long rows are divided into leaves whose results are combined
//! pairwise. The order depends on the length only.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]

use crate::array::Element;
use crate::kernel::simd::prefetch_behind;

/// A fold with a neutral element that may be split anywhere.
pub trait Fold<T>: Send + Sync + 'static {
    /// The accumulator, and the type of the result.
    type Acc: Element;
    /// Whether its loops are unrolled into registers for every shape: sums and extrema of floats. Others are rare: they have one loop for
    /// rows and one for columns.
    const TUNED: bool = false;
    /// Whether it gains by [wide](crate::kernel::simd::Kernel::WIDE) registers, as sums of floats do. Comparisons with NaN take longer
    /// there, and integers are rare.
    const WIDE: bool = false;
    /// The neutral element.
    fn start() -> Self::Acc;
    /// The accumulator of one element.
    fn lift(x: T) -> Self::Acc;
    /// Joins two partial results; the elements of `a` come before those of `b`.
    fn join(a: Self::Acc, b: Self::Acc) -> Self::Acc;
    /// Adds one element.
    #[inline(always)]
    fn step(acc: Self::Acc, x: T) -> Self::Acc {
        Self::join(acc, Self::lift(x))
    }
    /// Adds eight elements.
    #[inline(always)]
    fn eight(acc: Self::Acc, [a, b, c, d, e, f, g, h]: [T; 8]) -> Self::Acc {
        let pair = |x, y| Self::join(Self::lift(x), Self::lift(y));
        Self::join(acc, Self::join(Self::join(pair(a, b), pair(c, d)), Self::join(pair(e, f), pair(g, h))))
    }
}

/// Independent accumulators of a row.
pub(super) const LANES: usize = 16;
/// Elements that are added to the accumulators at a time.
pub(super) const GROUP: usize = 8 * LANES;
/// Elements folded before pairwise combination.
pub(super) const LEAF: usize = 4096;
/// Shorter rows are folded several at a time.
pub(super) const SHORT_ROW_LEN: usize = LANES;

/// Folds every row of `count` elements of `source` into its element of `out`.
#[inline(always)]
pub fn fold_rows<R: Fold<T>, T: Element>(source: &[T], count: usize, out: &mut [R::Acc]) {
    if const { !R::TUNED } {
        for (row, o) in source.chunks_exact(count).zip(out) {
            // Rare folds need no parts. They are exact, except products, where each factor adds its error in any order.
            *o = fold_simply::<R, T>(row);
        }
        return;
    }
    if count >= SHORT_ROW_LEN {
        for (row, o) in source.chunks_exact(count).zip(out) {
            *o = fold_row::<R, T>(row);
        }
        return;
    }
    // One lane per row, element by element: the loop over rows vectorises.
    let (groups, rest) = out.as_chunks_mut::<LANES>();
    let last = &source[groups.len() * LANES * count..];
    for (rows, o) in source.chunks_exact(LANES * count).zip(groups) {
        let mut acc = [R::start(); LANES];
        for c in 0..count {
            for (i, a) in acc.iter_mut().enumerate() {
                *a = R::step(*a, rows[i * count + c]);
            }
        }
        *o = acc;
    }
    for (row, o) in last.chunks_exact(count).zip(rest) {
        *o = row.iter().fold(R::start(), |a, &x| R::step(a, x));
    }
}

/// Folds a row: leaves are combined pairwise through a binary counter.
#[inline(always)]
pub fn fold_row<R: Fold<T>, T: Element>(row: &[T]) -> R::Acc {
    if row.len() <= LEAF {
        return fold_leaf::<R, T>(row);
    }
    let mut stack = [R::start(); 48];
    let mut depth = 0;
    let leaves = row.len().div_ceil(LEAF);
    for k in 0..leaves {
        let mut value = fold_leaf::<R, T>(&row[k * LEAF..row.len().min((k + 1) * LEAF)]);
        for _ in 0..(k + 1).trailing_zeros() {
            depth -= 1;
            value = R::join(stack[depth], value);
        }
        stack[depth] = value;
        depth += 1;
    }
    stack[..depth].iter().rev().copied().reduce(|right, left| R::join(left, right)).unwrap_or_else(R::start)
}

/// Folds a row by one loop.
#[inline(always)]
fn fold_simply<R: Fold<T>, T: Element>(row: &[T]) -> R::Acc {
    let mut acc = [R::start(); LANES];
    let rest = step_by::<R, T, LANES>(&mut acc, row);
    let end = rest.iter().fold(R::start(), |a, &x| R::step(a, x));
    R::join(halved(acc, R::join), end)
}

#[inline(always)]
fn fold_leaf<R: Fold<T>, T: Element>(row: &[T]) -> R::Acc {
    let mut acc = [R::start(); LANES];
    let rest = step_leaf::<R, T>(&mut acc, row);
    end_leaf::<R, T>(acc, rest)
}

/// Adds all whole groups to the accumulators; returns the rest.
#[inline(always)]
pub(super) fn step_leaf<'a, R: Fold<T>, T: Element>(acc: &mut [R::Acc; LANES], row: &'a [T]) -> &'a [T] {
    let (groups, rest) = row.as_chunks::<GROUP>();
    for x in groups {
        prefetch_behind(x);
        for (i, a) in acc.iter_mut().enumerate() {
            let x = |k: usize| x[k * LANES + i];
            *a = R::eight(*a, [x(0), x(1), x(2), x(3), x(4), x(5), x(6), x(7)]);
        }
    }
    rest
}

/// Joins the accumulators and the elements after the last group.
#[inline(always)]
pub(super) fn end_leaf<R: Fold<T>, T: Element>(mut acc: [R::Acc; LANES], rest: &[T]) -> R::Acc {
    let rest = step_by::<R, T, LANES>(&mut acc, rest);
    let rest = step_by::<R, T, { LANES / 2 }>(&mut acc, rest);
    // Accumulators that are indexed by a variable would have to be in memory.
    let end = rest.iter().fold(R::start(), |a, &x| R::step(a, x));
    R::join(halved(acc, R::join), end)
}

/// Joins all lanes: the upper half with the lower one until one is left.
#[inline(always)]
pub fn halved<A: Copy, const N: usize>(mut lanes: [A; N], join: impl Fn(A, A) -> A) -> A {
    let mut width = N;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] = join(lanes[i], lanes[i + width]);
        }
    }
    lanes[0]
}

/// Adds `N` elements at a time to the first `N` accumulators; returns the rest.
#[inline(always)]
fn step_by<'a, R: Fold<T>, T: Element, const N: usize>(acc: &mut [R::Acc; LANES], row: &'a [T]) -> &'a [T] {
    let (vectors, rest) = row.as_chunks::<N>();
    for x in vectors {
        for (i, &x) in x.iter().enumerate() {
            acc[i] = R::step(acc[i], x);
        }
    }
    rest
}

/// Joins all parts, pairwise.
pub fn pairwise<R: Fold<T>, T>(parts: &mut Vec<R::Acc>) -> R::Acc {
    while parts.len() > 1 {
        let half = parts.len().div_ceil(2);
        for i in 0..half {
            parts[i] = if let [a, b] = parts[2 * i..parts.len().min(2 * i + 2)] { R::join(a, b) } else { parts[2 * i] };
        }
        parts.truncate(half);
    }
    parts.first().copied().unwrap_or_else(R::start)
}
