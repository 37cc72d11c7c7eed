//! A matrix times a vector, at memory bandwidth: the matrix is read once, in memory order.
//!
//! The order of a sum depends only on the sizes and the layout, so rows may be divided among threads anywhere.

#![allow(unsafe_code, reason = "operands are read through the pointers of `product`")]

use std::array::from_fn;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::slice::{from_raw_parts, from_raw_parts_mut};

use super::product::{Entry, Product};
use super::split::{SPLIT, cost};
use crate::array::Array;
use crate::kernel::parallel;
use crate::kernel::simd::{self, Arch};

/// The outputs that are summed at a time from columns: they stay in an L1 cache.
const BLOCK: usize = 2048;
/// The columns that are read at once.
const TOGETHER: usize = 8;
/// Shorter rows are summed in one chain each, several rows at a time: vectors of partial sums would only have to be added up.
const SHORT_ROW_LEN: usize = 32;

/// Computes `p` if one operand is a vector and the other is contiguous by rows or by columns. Returns whether it did.
///
/// # Safety
/// As for [`Entry::product`].
pub unsafe fn product<T: Entry>(p: &Product<T>) -> bool {
    let p = if p.n == 1 { *p } else { p.t() };
    if p.n != 1 || p.k == 0 || (p.a.cs != 1 && p.a.rs != 1) {
        return false;
    }
    let mut copy = None;
    let x = if p.b.rs == 1 {
        // SAFETY: `k` contiguous elements.
        unsafe { from_raw_parts(p.b.ptr, p.k) }
    } else {
        let copy = copy.insert(Array::empty(&[p.k], T::DTYPE));
        // SAFETY: `l < k`.
        copy.data_mut::<T>().iter_mut().enumerate().for_each(|(l, x)| *x = unsafe { *p.b.at(l, 0) });
        copy.raw()
    };
    let threads = if cost::<T>(p.m, p.k, 1) < SPLIT { 1 } else { parallel::num_threads() };
    // Pieces of columns must be long enough for the hardware prefetcher.
    let least = if p.a.cs == 1 { 1 } else { 256 };
    let grain = if threads == 1 { p.m } else { p.m.div_ceil(4 * threads).max(least).next_multiple_of(4) };
    parallel::for_each_range(p.m, grain, |rows| simd::dispatch(Outputs { p: &p, x, rows }));
    drop(copy);
    true
}

/// The outputs. Made only if the promises of [`Entry::product`] hold, with the elements of the vector in `x`.
struct Outputs<'a, T> {
    p: &'a Product<T>,
    x: &'a [T],
    rows: Range<usize>,
}

impl<T: Entry> simd::Kernel for Outputs<'_, T> {
    type Output = ();
    const WIDE: bool = true;

    #[inline(always)]
    fn run<A: Arch>(self) {
        if self.p.a.cs != 1 {
            return self.by_columns::<A>();
        }
        // Eight vectors of sums: eight chains hide the latency of additions, and eight rows the latency of memory.
        match (self.p.m < 4, A::BYTES / size_of::<T>()) {
            (true, 16) => self.dots::<A, 64>(),
            (true, 8) => self.dots::<A, 32>(),
            (true, 4) | (false, 8 | 16) => self.dots::<A, 16>(),
            _ => self.dots::<A, 8>(),
        }
    }
}

impl<T: Entry> Outputs<'_, T> {
    #[inline(always)]
    fn dots<A: Arch, const W: usize>(&self) {
        let mut i = self.rows.start;
        if self.x.len() < SHORT_ROW_LEN {
            while i + 8 <= self.rows.end {
                self.write::<8>(i, self.short::<A, 8>(i));
                i += 8;
            }
            while i < self.rows.end {
                self.write::<1>(i, self.short::<A, 1>(i));
                i += 1;
            }
            return;
        }
        while i + 4 <= self.rows.end {
            self.write::<4>(i, self.dot::<A, W, 4>(i));
            i += 4;
        }
        while i + 2 <= self.rows.end {
            self.write::<2>(i, self.dot::<A, W, 2>(i));
            i += 2;
        }
        if i < self.rows.end {
            self.write::<1>(i, self.dot::<A, W, 1>(i));
        }
    }

    /// The products of `H` short rows, from row `i` on, with the vector: one chain of additions each.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "indices that are constants once unrolled")]
    fn short<A: Arch, const H: usize>(&self, i: usize) -> [T; H] {
        let mut sums = [T::ZERO; H];
        for (l, &x) in self.x.iter().enumerate() {
            for q in 0..H {
                // SAFETY: a row below `m`, `l < k`.
                sums[q] = T::mul_add::<A>(sums[q], unsafe { *self.p.a.at(i + q, l) }, x);
            }
        }
        sums
    }

    /// The products of `H` rows, from row `i` on, with the vector: `W` partial sums each, which are added by halves.
    #[inline(always)]
    fn dot<A: Arch, const W: usize, const H: usize>(&self, i: usize) -> [T; H] {
        let mut sums = [[T::ZERO; W]; H];
        // SAFETY: rows below `m`, each of `k` contiguous elements.
        let rows: [&[T]; H] = from_fn(|q| unsafe { from_raw_parts(self.p.a.at(i + q, 0), self.x.len()) });
        let (whole, rest) = self.x.as_chunks::<W>();
        for (l, x) in whole.iter().enumerate() {
            add::<A, T, W, H>(&mut sums, rows.map(|row| &row[l * W..]), x);
        }
        // The rest: a vector at a time, then one by one.
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

    /// Neighbouring outputs, as sums of columns.
    #[inline(always)]
    fn by_columns<A: Arch>(&self) {
        let mut buffer = MaybeUninit::<[T; BLOCK]>::uninit();
        for top in self.rows.clone().step_by(BLOCK) {
            let (start, len) = (buffer.as_mut_ptr().cast::<T>(), BLOCK.min(self.rows.end - top));
            for i in 0..len {
                // SAFETY: inside the buffer.
                unsafe { start.add(i).write(T::ZERO) };
            }
            // SAFETY: these have just been written.
            let sums = unsafe { from_raw_parts_mut(start, len) };
            let (wholes, rest) = self.x.as_chunks::<TOGETHER>();
            for (l, &x) in wholes.iter().enumerate() {
                self.add_columns::<A, TOGETHER>(sums, top, l * TOGETHER, x);
            }
            for (l, &x) in rest.iter().enumerate() {
                self.add_columns::<A, 1>(sums, top, wholes.len() * TOGETHER + l, [x]);
            }
            if self.p.c.rs == 1 && !self.p.accumulate {
                // SAFETY: contiguous elements of `c` that belong to this thread.
                unsafe { self.p.c.at(top, 0).copy_from_nonoverlapping(sums.as_ptr(), sums.len()) };
                continue;
            }
            for (i, &sum) in sums.iter().enumerate() {
                self.write(top + i, [sum]);
            }
        }
    }

    /// Adds `N` columns, from column `l` on, rows from `top` on, times `x`.
    #[inline(always)]
    fn add_columns<A: Arch, const N: usize>(&self, sums: &mut [T], top: usize, l: usize, x: [T; N]) {
        // SAFETY: columns below `k`, in which these rows are contiguous.
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

/// The sum of all elements: of vectors first, then by halves. Every index is a constant, otherwise the sums would not stay in registers.
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
