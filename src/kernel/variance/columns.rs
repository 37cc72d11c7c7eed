//! Several columns side by side: a leaf of rows is read with the sums of some columns in registers.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]
#![allow(clippy::cast_precision_loss, reason = "counts")]

use super::{Moments, add, wide};
use crate::array::{Element, LINE, alloc_check, prefetch_line};
use crate::kernel::math::{Real, pick};
use crate::kernel::simd::Arch;

/// Rows of a leaf.
const PART: usize = 64;
/// Bytes of a leaf that is read from memory: it and the next one should fit the second-level cache.
const LEAF: usize = 1 << 16;
/// Rows of such a leaf.
const FAR_ROWS: std::ops::RangeInclusive<usize> = 8..=32;
/// Rows that the first mean is estimated from.
const SOME: usize = 4;
/// Columns that are processed at a time.
pub const TILE: usize = 1024;
/// Shorter rows are combined until they have about this number of elements.
const TOGETHER: usize = 64;

/// The state of some columns: the reference of the distances, the distance of the mean from it, the squared deviations, and the two sums of
/// the present leaf.
pub struct Tile<T> {
    near: Vec<T>,
    offset: Vec<T>,
    squares: Vec<T>,
    sum: Vec<T>,
    square: Vec<T>,
    /// Number of rows so far.
    seen: usize,
    /// Whether the rows are read from memory.
    prefetch: bool,
}

/// Some columns of rows, where `times` rows are combined into one.
#[derive(Clone, Copy)]
struct Place {
    /// Elements of a row.
    width: usize,
    /// The first column.
    at: usize,
    /// Columns.
    n: usize,
    times: usize,
}

impl<T: Real + Element> Tile<T> {
    /// State for columns of rows of `width`, which are in memory or in a cache.
    pub fn new(width: usize, prefetch: bool) -> Self {
        let room = || alloc_check::filled(T::default(), width.clamp(TOGETHER, TILE));
        Self { near: room(), offset: room(), squares: room(), sum: room(), square: room(), seen: 0, prefetch }
    }

    /// Processes the `n` columns from `at` on of rows of `width`. The previous state is discarded.
    #[inline(always)]
    pub fn see<A: Arch>(&mut self, source: &[T], [width, at, n]: [usize; 3]) {
        let count = source.len() / width;
        let times = if n == width { (TOGETHER / n).min(count / SOME).max(1) } else { 1 };
        let place = Place { width, at, n, times };
        self.seen = 0;
        self.guess(source, count, place);
        self.offset[..n].fill(T::default());
        self.squares[..n].fill(T::default());
        let part = if self.prefetch { (LEAF / (width.min(TILE) * times * size_of::<T>())).clamp(*FAR_ROWS.start(), *FAR_ROWS.end()) } else { PART };
        // The first mean may be inaccurate, and the loss grows with the number of rows that are measured from it.
        let mut leaf = (part / times).max(1) * times;
        let mut rest = source;
        while !rest.is_empty() {
            let (rows, others) = rest.split_at(rest.len().min(leaf * width));
            for c in n..n * times {
                self.near[c] = self.near[c - n];
            }
            self.sums::<A>(rows, place);
            self.join(n, rows.len() / width);
            (rest, leaf) = (others, (2 * leaf).min(part * times));
        }
    }

    /// The squared deviations of each column.
    #[inline(always)]
    pub fn squares(&self, n: usize) -> &[T] {
        &self.squares[..n]
    }

    /// The moments of each column.
    #[inline(always)]
    pub fn moments(&self, out: &mut [Moments]) {
        for (c, m) in out.iter_mut().enumerate() {
            *m = Moments { n: self.seen as f64, mean: wide(self.near[c]) + wide(self.offset[c]), squares: wide(self.squares[c]) };
        }
    }

    /// The mean of some rows, or the first row. It is exact if these are equal.
    #[inline(always)]
    fn guess(&mut self, source: &[T], count: usize, Place { width, at, n, .. }: Place) {
        if count < SOME {
            return self.near[..n].copy_from_slice(&source[at..at + n]);
        }
        let [a, b, c, d]: [&[T]; SOME] = std::array::from_fn(|r| &source[r * width + at..][..n]);
        let share = T::lit(1.0 / SOME as f64);
        for (i, near) in self.near[..n].iter_mut().enumerate() {
            *near = (a[i] * share + b[i] * share) + (c[i] * share + d[i] * share);
        }
    }

    /// Computes the two sums of each column over a leaf.
    #[inline(always)]
    fn sums<A: Arch>(&mut self, leaf: &[T], place: Place) {
        let Place { width, n, times, .. } = place;
        let (whole, rest) = leaf.split_at(leaf.len() / (width * times) * width * times);
        // Four vectors of each sum: with fewer, additions wait for each other.
        match (size_of::<T>(), n * times, self.prefetch) {
            (4, 32.., true) => self.tiles::<A, 32, true>(whole, place),
            (4, 32.., false) => self.tiles::<A, 32, false>(whole, place),
            (_, 16.., true) => self.tiles::<A, 16, true>(whole, place),
            (_, 16.., false) => self.tiles::<A, 16, false>(whole, place),
            (_, 8.., _) => self.tiles::<A, 8, false>(whole, place),
            _ => self.tiles::<A, 1, false>(whole, place),
        }
        let Self { near, sum, square, .. } = self;
        for k in 1..times {
            for sums in [&mut *sum, &mut *square] {
                let (first, others) = sums.split_at_mut(k * n);
                first[..n].iter_mut().zip(&others[..n]).for_each(|(a, &b)| *a = *a + b);
            }
        }
        for row in rest.chunks_exact(n) {
            for (((&x, &near), sum), square) in row.iter().zip(&near[..n]).zip(&mut sum[..n]).zip(&mut square[..n]) {
                add::<T, A>([sum, square], x - near);
            }
        }
    }

    /// `N` columns at a time. The last ones may overlap those before: both give the same results.
    #[inline(always)]
    fn tiles<A: Arch, const N: usize, const PREFETCH: bool>(&mut self, rows: &[T], Place { width, at, n, times }: Place) {
        let (width, columns) = (width * times, n * times);
        // If the rows are in memory, the leaf after this one is prefetched in memory order.
        let (mut next, mut end) = (rows.len() + at, rows.len() + at + columns);
        for first in (0..columns).step_by(N) {
            let c = first.min(columns - N);
            let [mut s, mut q, mut k] = [[T::default(); N]; 3];
            k.copy_from_slice(&self.near[c..c + N]);
            for row in rows.chunks_exact(width) {
                let x = &row[at + c..][..N];
                for i in (0..N).step_by(LINE / size_of::<T>()) {
                    prefetch_line(x.as_ptr().wrapping_add(N + i));
                    if PREFETCH {
                        prefetch_line(rows.as_ptr().wrapping_add(next + i));
                    }
                }
                if PREFETCH {
                    next += N;
                    if next >= end {
                        (next, end) = (end - columns + width, end + width);
                    }
                }
                for i in 0..N {
                    add::<T, A>([&mut s[i], &mut q[i]], x[i] - k[i]);
                }
            }
            self.sum[c..c + N].copy_from_slice(&s);
            self.square[c..c + N].copy_from_slice(&q);
        }
    }

    /// Joins a leaf of `count` rows to the state, as [`Moments::join`] does.
    #[inline(always)]
    fn join(&mut self, n: usize, count: usize) {
        let (seen, rows) = (self.seen as f64, count as f64);
        let share = rows / (seen + rows);
        let [each, share, between] = [1.0 / rows, share, seen * share].map(T::lit);
        let zero = T::lit(0.0);
        let known = self.near[..n].iter_mut().zip(&mut self.offset[..n]).zip(&mut self.squares[..n]);
        for (((near, offset), squares), (&sum, &square)) in known.zip(self.sum[..n].iter().zip(&self.square[..n])) {
            let distance = sum * each;
            let own = square - sum * distance;
            let step = distance - *offset;
            *squares = *squares + pick(own < zero, zero, own) + step * step * between;
            // The number nearest to the mean, and the remainder.
            let by = *offset + step * share;
            let next = *near + by;
            (*near, *offset) = (next, by - (next - *near));
        }
        self.seen += count;
    }
}
