//! Several columns side by side: leaves of rows, and what is remembered of each column. Of narrow rows it stays in registers,
//! all the way down.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]
#![allow(clippy::cast_precision_loss, reason = "counts")]

use std::ops::Range;

use super::{Moments, wide};
use crate::array::Element;
use crate::kernel::columns::{VECTOR, cover};
use crate::kernel::math::{Real, fma, pick};
use crate::kernel::simd::Arch;

/// Rows of a leaf.
pub const PART: usize = 64;
/// Rows of the first one.
pub const FIRST_ROWS: usize = 8;
/// Columns that are worked on at a time.
pub const TILE: usize = 1024;

/// What a tile of columns remembers: where distances are taken from, how far the mean is from there, the squared
/// deviations, and the two sums of the leaf at hand.
pub struct Tile<T> {
    near: [T; TILE],
    offset: [T; TILE],
    squares: [T; TILE],
    sum: [T; TILE],
    square: [T; TILE],
}

/// Takes `range` of the columns of `source`, rows of `width`, into `moments`. Where these are fewer, the rows are several put
/// together, and fit a tile.
#[inline(always)]
pub fn columns<T: Real + Element, A: Arch>(source: &[T], width: usize, range: Range<usize>, tile: &mut Tile<T>, moments: &mut [Moments]) {
    let count = source.len() / width;
    for at in range.clone().step_by(TILE) {
        let n = TILE.min(range.end - at);
        // The first leaf twice: from its first row, then from its mean.
        tile.near[..n].copy_from_slice(&source[at..at + n]);
        let first = count.min(FIRST_ROWS);
        tile.leaf::<A>(&source[..first * width], [width, at, n]);
        for c in 0..n {
            tile.near[c] = tile.near[c] + tile.sum[c] / T::lit(first as f64);
        }
        tile.offset[..n].fill(T::lit(0.0));
        tile.squares[..n].fill(T::lit(0.0));
        let mut seen = 0;
        for leaf in source.chunks(PART * width) {
            tile.leaf::<A>(leaf, [width, at, n]);
            let rows = leaf.len() / width;
            tile.take(n, seen as f64, rows as f64);
            seen += rows;
        }
        let moments = &mut moments[at - range.start..];
        let parts = n.div_ceil(moments.len());
        tile.join_parts(parts, n / parts, count as f64);
        for (c, m) in moments.iter_mut().enumerate().take(n / parts) {
            let mean = wide(tile.near[c]) + wide(tile.offset[c]);
            m.join(Moments { n: (count * parts) as f64, mean, squares: wide(tile.squares[c]) });
        }
    }
}

impl<T: Real + Element> Tile<T> {
    /// Before the first row.
    pub fn new() -> Self {
        let zeros = [T::lit(0.0); TILE];
        Self { near: zeros, offset: zeros, squares: zeros, sum: zeros, square: zeros }
    }

    /// The sums of the columns `at..at + n` of some rows.
    #[inline(always)]
    fn leaf<A: Arch>(&mut self, rows: &[T], [width, at, n]: [usize; 3]) {
        self.sum[..n].fill(T::lit(0.0));
        self.square[..n].fill(T::lit(0.0));
        let mut groups = rows.chunks_exact(8 * width);
        for rows in &mut groups {
            self.add::<A, 8>(std::array::from_fn(|k| &rows[k * width + at..][..n]));
        }
        for row in groups.remainder().chunks_exact(width) {
            self.add::<A, 1>([&row[at..at + n]]);
        }
    }

    #[inline(always)]
    fn add<A: Arch, const R: usize>(&mut self, rows: [&[T]; R]) {
        let at = self.add_tiles::<A, R, 16>(&rows, 0);
        let at = self.add_tiles::<A, R, 4>(&rows, at);
        if at < rows[0].len() {
            self.add_tiles::<A, R, 1>(&rows, at);
        }
    }

    /// From column `at` on, `N` columns at a time; returns where it ends.
    #[inline(always)]
    fn add_tiles<A: Arch, const R: usize, const N: usize>(&mut self, rows: &[&[T]; R], at: usize) -> usize {
        let end = at + (rows[0].len() - at) / N * N;
        let rows: [&[[T; N]]; R] = std::array::from_fn(|k| rows[k][at..end].as_chunks::<N>().0);
        let near = self.near[at..end].as_chunks::<N>().0;
        let sums = self.sum[at..end].as_chunks_mut::<N>().0;
        let squares = self.square[at..end].as_chunks_mut::<N>().0;
        for (i, ((near, sum), square)) in near.iter().zip(sums).zip(squares).enumerate() {
            let (mut s, mut q) = (*sum, *square);
            for row in &rows {
                for c in 0..N {
                    let d = row[i][c] - near[c];
                    s[c] = s[c] + d;
                    q[c] = fma::<T, A>(d, d, q[c]);
                }
            }
            (*sum, *square) = (s, q);
        }
        end
    }

    /// Joins `parts` parts of `n` columns each, which have all seen `rows` rows, to the first.
    #[inline(always)]
    fn join_parts(&mut self, parts: usize, n: usize, rows: f64) {
        for k in 1..parts {
            let share = 1.0 / (k + 1) as f64;
            let (share, between) = (T::lit(share), T::lit(rows * k as f64 * share));
            let [(near, others), (offset, other_offsets), (squares, other_squares)] =
                [&mut self.near, &mut self.offset, &mut self.squares].map(|all| {
                    let (first, rest) = all.split_at_mut(n);
                    (first, &rest[(k - 1) * n..][..n])
                });
            let others = others.iter().zip(other_offsets).zip(other_squares);
            for (((near, offset), squares), ((&other, &other_offset), &own)) in near.iter_mut().zip(offset).zip(squares).zip(others) {
                let step = (other - *near) + (other_offset - *offset);
                *squares = *squares + own + step * step * between;
                [*near, *offset] = moved(*near, *offset + step * share);
            }
        }
    }

    /// Joins a leaf of `rows` rows to `seen` ones.
    #[inline(always)]
    fn take(&mut self, n: usize, seen: f64, rows: f64) {
        let Self { near, offset, squares, sum, square } = self;
        Leaf::new(seen, rows).join([&mut near[..n], &mut offset[..n], &mut squares[..n]], [&sum[..n], &square[..n]]);
    }
}

/// Numbers of a leaf that all columns share.
#[derive(Clone, Copy)]
struct Leaf<T> {
    /// 1/n of its n rows.
    each: T,
    /// Its part of all rows seen.
    share: T,
    /// That times the rows seen before.
    between: T,
}

impl<T: Real> Leaf<T> {
    #[inline(always)]
    fn new(seen: f64, rows: f64) -> Self {
        let share = rows / (seen + rows);
        Self { each: T::lit(1.0 / rows), share: T::lit(share), between: T::lit(seen * share) }
    }

    /// Takes it into what is remembered of each column, as [`Moments::take`] does.
    #[inline(always)]
    fn join(self, [near, offset, squares]: [&mut [T]; 3], [sum, square]: [&[T]; 2]) {
        let zero = T::lit(0.0);
        for ((((near, offset), squares), &sum), &square) in near.iter_mut().zip(offset).zip(squares).zip(sum).zip(square) {
            let distance = sum * self.each;
            let own = square - sum * distance;
            let step = distance - *offset;
            *squares = *squares + pick(own < zero, zero, own) + step * step * self.between;
            [*near, *offset] = moved(*near, *offset + step * self.share);
        }
    }
}

/// The number nearest to `from + by`, and what is left of `by`.
#[inline(always)]
fn moved<T: Real>(from: T, by: T) -> [T; 2] {
    let next = from + by;
    [next, by - (next - from)]
}

/// What `keep` says of each column of narrow rows, from where its distances were taken, how far its mean is from there, and
/// its squared deviations.
#[inline(always)]
pub fn narrow<T: Real, A: Arch, O>(source: &[T], out: &mut [O], keep: impl Fn(T, T, T) -> O + Copy) {
    const DOUBLE: usize = 2 * VECTOR;
    let width = out.len();
    for (at, double) in cover(width) {
        if double {
            down::<T, A, O, DOUBLE>(source, [width, at], &mut out[at..at + DOUBLE], keep);
        } else {
            down::<T, A, O, VECTOR>(source, [width, at], &mut out[at..at + VECTOR], keep);
        }
    }
}

/// The same for `N` columns of rows of `width`, from column `at` on.
#[inline(always)]
fn down<T: Real, A: Arch, O, const N: usize>(source: &[T], [width, at]: [usize; 2], out: &mut [O], keep: impl Fn(T, T, T) -> O) {
    let count = source.len() / width;
    let first = count.min(FIRST_ROWS);
    let [mut near, mut offset, mut squares] = [[T::lit(0.0); N]; 3];
    near.copy_from_slice(&source[at..at + N]);
    // The first leaf twice, as in `columns`.
    let (sum, _) = distances::<T, A, N>(&source[..first * width], [width, at], &near);
    for c in 0..N {
        near[c] = near[c] + sum[c] / T::lit(first as f64);
    }
    for (i, rows) in source.chunks(PART * width).enumerate() {
        let (sum, square) = distances::<T, A, N>(rows, [width, at], &near);
        let leaf = Leaf::new((i * PART) as f64, (rows.len() / width) as f64);
        leaf.join([&mut near, &mut offset, &mut squares], [&sum, &square]);
    }
    for (c, o) in out.iter_mut().enumerate() {
        *o = keep(near[c], offset[c], squares[c]);
    }
}

/// Σ (x - k) and Σ (x - k)² of `N` columns of rows of `width`, from column `at` on; each has its k.
#[inline(always)]
fn distances<T: Real, A: Arch, const N: usize>(rows: &[T], [width, at]: [usize; 2], k: &[T; N]) -> ([T; N], [T; N]) {
    let [mut sums, mut squares] = [[T::lit(0.0); N]; 2];
    let mut groups = rows.chunks_exact(4 * width);
    for group in &mut groups {
        let x: [&[T]; 4] = std::array::from_fn(|r| &group[r * width + at..][..N]);
        for c in 0..N {
            let [d0, d1, d2, d3] = [x[0][c] - k[c], x[1][c] - k[c], x[2][c] - k[c], x[3][c] - k[c]];
            sums[c] = sums[c] + ((d0 + d1) + (d2 + d3));
            squares[c] = squares[c] + (fma::<T, A>(d0, d0, d1 * d1) + fma::<T, A>(d2, d2, d3 * d3));
        }
    }
    for row in groups.remainder().chunks_exact(width) {
        for (c, &x) in row[at..at + N].iter().enumerate() {
            let d = x - k[c];
            sums[c] = sums[c] + d;
            squares[c] = fma::<T, A>(d, d, squares[c]);
        }
    }
    (sums, squares)
}
