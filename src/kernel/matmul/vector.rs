//! A matrix times a vector, at the speed of the memory: the matrix is read once, in the order in which it lies.
//!
//! The order of a sum depends on the length and the layout alone, so rows may be cut for the threads anywhere.

#![allow(unsafe_code, reason = "operands are read through the pointers of `product`")]

use std::array::from_fn;
use std::ops::Range;
use std::slice::from_raw_parts;

use super::product::{Entry, Product};
use super::split::{SPLIT, cost};
use crate::array::Array;
use crate::kernel::parallel;
use crate::kernel::simd::{self, Arch};

/// The outputs that are summed at a time from columns: they stay in an L1 cache.
const BLOCK: usize = 1024;
/// The columns that are read side by side.
const TOGETHER: usize = 4;

/// Computes `p` if one side of it is a vector and the other lies by rows or by columns; says whether it did.
///
/// # Safety
/// As for [`Entry::product`].
pub unsafe fn product<T: Entry>(p: &Product<T>) -> bool {
    let p = if p.n == 1 { *p } else { p.t() };
    if p.n != 1 || p.k == 0 || (p.a.cs != 1 && p.a.rs != 1) {
        return false;
    }
    let mut copy = Array::empty(&[0], T::DTYPE);
    let x = if p.b.rs == 1 {
        // SAFETY: `k` elements side by side.
        unsafe { from_raw_parts(p.b.ptr, p.k) }
    } else {
        copy = Array::empty(&[p.k], T::DTYPE);
        // SAFETY: `l < k`.
        copy.data_mut::<T>().iter_mut().enumerate().for_each(|(l, x)| *x = unsafe { *p.b.at(l, 0) });
        copy.raw()
    };
    let threads = if cost::<T>(p.m, p.k, 1) < SPLIT { 1 } else { parallel::num_threads() };
    // Of columns, pieces long enough to be read ahead.
    let least = if p.a.cs == 1 { 1 } else { 256 };
    let grain = if threads == 1 { p.m } else { p.m.div_ceil(4 * threads).max(least).next_multiple_of(4) };
    parallel::for_each_range(p.m, grain, |rows| simd::dispatch(Outputs { p: &p, x, rows }));
    drop(copy);
    true
}

/// These outputs. Made only where the promises of [`Entry::product`] hold, with the elements of the vector in `x`.
struct Outputs<'a, T> {
    p: &'a Product<T>,
    x: &'a [T],
    rows: Range<usize>,
}

impl<T: Entry> simd::Kernel for Outputs<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self) {
        if self.p.a.cs != 1 {
            return self.by_columns::<A>();
        }
        // Four vectors: as many chains of sums hide the latency of an addition.
        match 4 * A::BYTES / size_of::<T>() {
            8 => self.dots::<A, 8>(),
            16 => self.dots::<A, 16>(),
            _ => self.dots::<A, 32>(),
        }
    }
}

impl<T: Entry> Outputs<'_, T> {
    #[inline(always)]
    fn dots<A: Arch, const W: usize>(&self) {
        let mut i = self.rows.start;
        while i + 2 <= self.rows.end {
            self.write::<2>(i, self.dot::<A, W, 2>(i));
            i += 2;
        }
        if i < self.rows.end {
            self.write::<1>(i, self.dot::<A, W, 1>(i));
        }
    }

    /// The products of `H` rows from `i` with the vector: `W` sums each, then the sum of those by halves.
    #[inline(always)]
    fn dot<A: Arch, const W: usize, const H: usize>(&self, i: usize) -> [T; H] {
        let mut sums = [[T::ZERO; W]; H];
        // SAFETY: rows below `m`, each of `k` elements side by side.
        let rows: [&[T]; H] = from_fn(|q| unsafe { from_raw_parts(self.p.a.at(i + q, 0), self.x.len()) });
        let (whole, rest) = self.x.as_chunks::<W>();
        for (l, x) in whole.iter().enumerate() {
            add::<A, T, W, H>(&mut sums, rows.map(|row| &row[l * W..]), x);
        }
        // What is left: a vector at a time, then one by one.
        let (eights, ones) = rest.as_chunks::<8>();
        for (l, x) in eights.iter().enumerate() {
            let at = whole.len() * W + l * 8;
            for i in 0..H {
                let Some(y) = rows[i][at..].first_chunk::<8>() else { unreachable!("a row is as long as the vector") };
                for j in 0..8 {
                    sums[i][j] = T::mul_add::<A>(sums[i][j], y[j], x[j]);
                }
            }
        }
        let mut last = [T::ZERO; H];
        for (l, &x) in (self.x.len() - ones.len()..).zip(ones) {
            for i in 0..H {
                last[i] = T::mul_add::<A>(last[i], rows[i][l], x);
            }
        }
        // No closure: its index would not be a constant.
        for i in 0..H {
            last[i] = last[i].plus(halve(sums[i]));
        }
        last
    }

    /// Outputs that are neighbours, as sums of columns.
    #[inline(always)]
    fn by_columns<A: Arch>(&self) {
        let mut buffer = [T::ZERO; BLOCK];
        for top in self.rows.clone().step_by(BLOCK) {
            let sums = &mut buffer[..BLOCK.min(self.rows.end - top)];
            sums.fill(T::ZERO);
            let (fours, rest) = self.x.as_chunks::<TOGETHER>();
            for (l, &x) in fours.iter().enumerate() {
                self.add_columns::<A, TOGETHER>(sums, top, l * TOGETHER, x);
            }
            for (l, &x) in rest.iter().enumerate() {
                self.add_columns::<A, 1>(sums, top, fours.len() * TOGETHER + l, [x]);
            }
            for (i, &sum) in sums.iter().enumerate() {
                self.write(top + i, [sum]);
            }
        }
    }

    /// Adds `N` columns from `l`, rows from `top`, times `x`.
    #[inline(always)]
    fn add_columns<A: Arch, const N: usize>(&self, sums: &mut [T], top: usize, l: usize, x: [T; N]) {
        // SAFETY: columns below `k`, in which these rows are side by side.
        let columns: [&[T]; N] = from_fn(|q| unsafe { from_raw_parts(self.p.a.at(top, l + q), sums.len()) });
        for (i, sum) in sums.iter_mut().enumerate() {
            for q in 0..N {
                *sum = T::mul_add::<A>(*sum, columns[q][i], x[q]);
            }
        }
    }

    #[inline(always)]
    fn write<const H: usize>(&self, i: usize, sums: [T; H]) {
        for (q, sum) in sums.into_iter().enumerate() {
            // SAFETY: this thread's own element of `c`, read only when accumulating.
            unsafe {
                let out = self.p.c.at(i + q, 0);
                out.write(if self.p.accumulate { out.read().plus(sum) } else { sum });
            }
        }
    }
}

/// Adds the products of the first elements of each row with those of the vector.
#[inline(always)]
fn add<A: Arch, T: Entry, const W: usize, const H: usize>(sums: &mut [[T; W]; H], rows: [&[T]; H], x: &[T; W]) {
    for i in 0..H {
        let Some(y) = rows[i].first_chunk::<W>() else { unreachable!("a row is as long as the vector") };
        for j in 0..W {
            sums[i][j] = T::mul_add::<A>(sums[i][j], y[j], x[j]);
        }
    }
}

/// The sum of all: of vectors first, then by halves. Every index is a constant, or the sums would leave their registers.
#[inline(always)]
fn halve<T: Entry, const W: usize>(sums: [T; W]) -> T {
    let mut eight = [T::ZERO; 8];
    for part in sums.as_chunks::<8>().0 {
        for j in 0..8 {
            eight[j] = eight[j].plus(part[j]);
        }
    }
    let [a, b, c, d, e, f, g, h] = eight;
    a.plus(e).plus(c.plus(g)).plus(b.plus(f).plus(d.plus(h)))
}
