//! Several columns side by side: leaves of rows, and what is remembered of each column.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]
#![allow(clippy::cast_precision_loss, reason = "counts")]

use std::ops::Range;

use super::{Moments, wide};
use crate::array::Element;
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

/// Takes `range` of the columns of `source`, rows of `width`, into `moments`, over which they go round.
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
        let start = (at - range.start) % moments.len();
        let places = (start..moments.len()).chain((0..moments.len()).cycle());
        for (c, place) in (0..n).zip(places) {
            let own = Moments { n: count as f64, mean: wide(tile.near[c]) + wide(tile.offset[c]), squares: wide(tile.squares[c]) };
            moments[place].join(own);
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

    /// Joins a leaf of `rows` rows to `seen` ones, as [`Moments::take`] does.
    #[inline(always)]
    fn take(&mut self, n: usize, seen: f64, rows: f64) {
        let (each, share, zero) = (T::lit(1.0 / rows), T::lit(rows / (seen + rows)), T::lit(0.0));
        let between = T::lit(seen * (rows / (seen + rows)));
        let Self { near, offset, squares, sum, square } = self;
        let columns = near[..n].iter_mut().zip(&mut offset[..n]).zip(&mut squares[..n]).zip(sum[..n].iter().zip(&square[..n]));
        for (((near, offset), squares), (&sum, &square)) in columns {
            let distance = sum * each;
            let own = square - sum * distance;
            let step = distance - *offset;
            *squares = *squares + pick(own < zero, zero, own) + step * step * between;
            let moved = *offset + step * share;
            let next = *near + moved;
            *offset = moved - (next - *near);
            *near = next;
        }
    }
}
