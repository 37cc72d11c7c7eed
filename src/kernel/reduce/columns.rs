//! Folds along columns: whole rows are folded into a row of accumulators.
//!
//! Eight rows are joined as a tree before they are joined with the accumulators. The accumulators of narrow rows stay in registers; those
//! of wide rows are loaded and stored once per eight elements. Rows shorter than a vector are combined into longer rows. Blocks of rows are
//! combined pairwise, in an order that depends on the sizes only.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]

use std::hint::black_box;

use crate::array::{Element, alloc_check};
use crate::kernel::reduce::rows::Fold;
use crate::kernel::simd::Arch;

/// Rows folded before pairwise combination.
const PART: usize = 256;
/// Shorter rows are combined, up to `NARROW` elements.
pub const VECTOR: usize = 8;
/// Up to this number of elements per row, accumulators stay in registers: reading such rows still uses whole pages.
const NARROW: usize = 128;
/// Wider rows are combined up to this width.
const WIDE: usize = 1024;

/// A block of rows, of which a range of columns is folded.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a, T> {
    /// The rows, contiguous.
    pub source: &'a [T],
    /// Elements of a row.
    pub inner: usize,
    /// The first column.
    pub at: usize,
}

impl<T: Element> Columns<'_, T> {
    /// Folds the columns from `at` on into `out`.
    ///
    /// There is only one copy of each loop here, because it is compiled for every fold, type and instruction set.
    #[inline(always)]
    pub fn fold<R: Fold<T>, A: Arch>(self, out: &mut [R::Acc], scratch: &mut Vec<R::Acc>) {
        let (inner, count) = (self.inner, self.source.len() / self.inner);
        let limit = match inner {
            ..VECTOR => NARROW / 2,
            VECTOR..=NARROW => inner,
            _ => WIDE,
        };
        let times = if out.len() < inner { 1 } else { (limit / inner).min(count / 8).max(1) };
        // A few narrow rows take less time than the code that follows. Rare folds are not worth a second loop.
        if const { R::TUNED && !A::PLAIN } && times == 1 && count <= PART {
            return self.fold_part::<R, A>(0, count, out);
        }
        let rest = &self.source[count / times * times * inner..];
        let wide = Columns { inner: inner * times, ..self };
        // Small folds need no buffer.
        let room = if times > 1 { inner * times } else { 0 };
        scratch.clear();
        alloc_check::reserve(scratch, room);
        scratch.resize(room, R::start());
        wide.fold_parts::<R, A>(count / times, if times > 1 { &mut *scratch } else { &mut *out });
        if times == 1 {
            return;
        }
        let mut parts = times;
        while parts > 1 {
            let half = parts / 2;
            let (left, right) = scratch[..parts * inner].split_at_mut((parts - half) * inner);
            join_rows::<R, T>(left, right);
            parts -= half;
        }
        out.copy_from_slice(&scratch[..inner]);
        for row in rest.chunks_exact(inner) {
            for (o, &x) in out.iter_mut().zip(row) {
                *o = R::step(*o, x);
            }
        }
    }

    /// Folds the first `count` rows in parts, which are combined pairwise through a binary counter.
    #[inline(always)]
    fn fold_parts<R: Fold<T>, A: Arch>(&self, count: usize, out: &mut [R::Acc]) {
        let (parts, width) = (count.div_ceil(PART), out.len());
        // One row of partial results per bit of a counter to `parts`, and one to work on.
        let levels = if parts > 1 { parts.ilog2() as usize + 2 } else { 0 };
        let mut stack = alloc_check::filled(R::start(), levels * width);
        let mut depth = 0;
        for k in 0..parts {
            let place = if parts > 1 { &mut stack[depth * width..(depth + 1) * width] } else { &mut *out };
            self.fold_part::<R, A>(k * PART, count.min((k + 1) * PART), place);
            depth += 1;
            // The last part joins all partial results.
            let joins = if k + 1 == parts { depth - 1 } else { (k + 1).trailing_zeros() as usize };
            for _ in 0..joins {
                let (left, right) = stack[(depth - 2) * width..depth * width].split_at_mut(width);
                join_rows::<R, T>(left, right);
                depth -= 1;
            }
        }
        if parts > 1 {
            out.copy_from_slice(&stack[..width]);
        }
    }

    /// Folds a few rows, eight at a time.
    #[inline(always)]
    fn fold_part<R: Fold<T>, A: Arch>(&self, first: usize, last: usize, out: &mut [R::Acc]) {
        let width = out.len();
        let rows = &self.source[first * self.inner..last * self.inner];
        let tuned = const { R::TUNED && !A::PLAIN };
        if tuned && self.inner <= NARROW && width >= VECTOR {
            return narrow::<R, T>(rows, [self.inner, self.at], out);
        }
        out.fill(R::start());
        let mut groups = rows.chunks_exact(8 * self.inner);
        for group in &mut groups {
            let row = |k: usize| &group[k * self.inner + self.at..][..width];
            let rows = [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)];
            if tuned {
                let at = tiles::<R, T, 16>(&rows, out, 0);
                let at = tiles::<R, T, 4>(&rows, out, at);
                tiles::<R, T, 1>(&rows, out, at);
            } else {
                for (i, o) in out.iter_mut().enumerate() {
                    let x = |k: usize| rows[k][i];
                    *o = plain::<_, A>(R::eight(*o, [x(0), x(1), x(2), x(3), x(4), x(5), x(6), x(7)]));
                }
            }
        }
        if tuned {
            return few::<R, T>(groups.remainder(), [self.inner, self.at], out);
        }
        for row in groups.remainder().chunks_exact(self.inner) {
            for (o, &x) in out.iter_mut().zip(&row[self.at..]) {
                *o = plain::<_, A>(R::step(*o, x));
            }
        }
    }
}

/// `x`. For the [plain](Arch::PLAIN) set it is hidden from the compiler, so that no second, wide loop is made.
#[inline(always)]
fn plain<X, A: Arch>(x: X) -> X {
    if A::PLAIN { black_box(x) } else { x }
}

/// Starts of tiles that cover at least `VECTOR` columns, and whether they are two vectors wide. The last tile may overlap the one before
/// it: both give the same results.
#[inline(always)]
pub fn cover(width: usize) -> impl Iterator<Item = (usize, bool)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= width {
            return None;
        }
        let double = width >= 2 * VECTOR && width - done > VECTOR;
        let tile = if double { 2 * VECTOR } else { VECTOR };
        let at = done.min(width - tile);
        done = at + tile;
        Some((at, double))
    })
}

/// Folds rows of `inner` elements into `out`, from column `at` on.
#[inline(always)]
fn narrow<R: Fold<T>, T: Element>(rows: &[T], [inner, at]: [usize; 2], out: &mut [R::Acc]) {
    const DOUBLE: usize = 2 * VECTOR;
    for (tile, double) in cover(out.len()) {
        if double {
            out[tile..tile + DOUBLE].copy_from_slice(&down::<R, T, DOUBLE>(rows, [inner, at + tile]));
        } else {
            out[tile..tile + VECTOR].copy_from_slice(&down::<R, T, VECTOR>(rows, [inner, at + tile]));
        }
    }
}

/// Folds `N` columns from `at` on, in registers.
#[inline(always)]
fn down<R: Fold<T>, T: Element, const N: usize>(rows: &[T], [inner, at]: [usize; 2]) -> [R::Acc; N] {
    let mut acc = [R::start(); N];
    let mut groups = rows.chunks_exact(8 * inner);
    for group in &mut groups {
        let row = |k: usize| &group[k * inner + at..][..N];
        let x = [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)];
        for j in 0..N {
            acc[j] = R::eight(acc[j], [x[0][j], x[1][j], x[2][j], x[3][j], x[4][j], x[5][j], x[6][j], x[7][j]]);
        }
    }
    for row in groups.remainder().chunks_exact(inner) {
        for (a, &x) in acc.iter_mut().zip(&row[at..at + N]) {
            *a = R::step(*a, x);
        }
    }
    acc
}

/// Folds eight rows into `out`, from column `at` on, `N` columns at a time in registers. Returns the column where it stopped.
#[inline(always)]
fn tiles<R: Fold<T>, T: Element, const N: usize>(rows: &[&[T]; 8], out: &mut [R::Acc], at: usize) -> usize {
    let end = at + (out.len() - at) / N * N;
    let (tiles, _) = out[at..end].as_chunks_mut::<N>();
    let n = tiles.len();
    let row = |k: usize| &rows[k][at..end].as_chunks::<N>().0[..n];
    let rows = [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)];
    for (i, o) in tiles.iter_mut().enumerate() {
        let mut acc = *o;
        for (j, a) in acc.iter_mut().enumerate() {
            let x = |k: usize| rows[k][i][j];
            *a = R::eight(*a, [x(0), x(1), x(2), x(3), x(4), x(5), x(6), x(7)]);
        }
        *o = acc;
    }
    end
}

/// Folds a few rows of `inner` elements into `out`, from column `at` on: row by row, one tile of columns at a time.
#[inline(always)]
fn few<R: Fold<T>, T: Element>(rows: &[T], [inner, at]: [usize; 2], out: &mut [R::Acc]) {
    if rows.is_empty() {
        return;
    }
    let (tiles, rest) = out.as_chunks_mut::<16>();
    let end = at + 16 * tiles.len();
    for (i, o) in tiles.iter_mut().enumerate() {
        let mut acc = *o;
        for row in rows.chunks_exact(inner) {
            for (a, &x) in acc.iter_mut().zip(&row[at + 16 * i..at + 16 * i + 16]) {
                *a = R::step(*a, x);
            }
        }
        *o = acc;
    }
    for row in rows.chunks_exact(inner) {
        for (o, &x) in rest.iter_mut().zip(&row[end..]) {
            *o = R::step(*o, x);
        }
    }
}

/// Folds one row into `out`, one tile of columns at a time in registers.
#[inline(always)]
fn one_row<A: Copy, T: Copy>(out: &mut [A], row: &[T], step: impl Fn(A, T) -> A) {
    let (tiles, rest) = out.as_chunks_mut::<16>();
    let (row, end) = row.as_chunks::<16>();
    for (o, x) in tiles.iter_mut().zip(row) {
        let mut acc = *o;
        for (a, &x) in acc.iter_mut().zip(x) {
            *a = step(*a, x);
        }
        *o = acc;
    }
    for (o, &x) in rest.iter_mut().zip(end) {
        *o = step(*o, x);
    }
}

/// Joins `part`, whose rows come later, to `out`. The shorter slice determines the length.
#[inline(always)]
pub fn join_rows<R: Fold<T>, T: Element>(out: &mut [R::Acc], part: &[R::Acc]) {
    let n = out.len().min(part.len());
    one_row(&mut out[..n], &part[..n], R::join);
}
