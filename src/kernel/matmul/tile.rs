//! The microkernel: a tile of the output, held in registers while the sums run.
//!
//! Plain Rust. With `W` two vectors wide and at most [`ROWS`] rows, the sums fill twelve of the sixteen registers of
//! AVX2 or SSE2, and the compiler turns the loop into a broadcast and two multiply-adds a row. Every element is one
//! chain of sums from zero, in the order of `k`, in a tile of any height: its bits do not depend on where it lies.

#![allow(unsafe_code, reason = "tiles are read and written through the pointers of `product`")]

use std::hint::black_box;
use std::mem::MaybeUninit;

use super::product::{Entry, Strided};
use crate::kernel::simd::Arch;

/// The rows of the largest tile.
pub const ROWS: usize = 6;

/// A tile of `c` and what it is the product of.
#[derive(Clone, Copy)]
pub struct Tile<T> {
    /// At most [`ROWS`].
    pub rows: usize,
    pub k: usize,
    /// At most the width of the tile.
    pub cols: usize,
    pub a: Strided<*const T>,
    /// A whole tile wide, even where `cols` is less.
    pub b: *const T,
    pub b_step: isize,
    pub c: Strided<*mut T>,
    /// Add to `c` instead of writing it.
    pub add: bool,
}

/// Computes a tile `W` wide.
///
/// # Safety
/// `a` has `rows` by `k` elements, `c` has `rows` by `cols`, and each of the `k` rows of `b` has `W`.
#[inline(always)]
pub unsafe fn run<A: Arch, T: Entry, const W: usize>(tile: &Tile<T>) {
    // SAFETY: the same promises, with `H == rows`.
    unsafe {
        match tile.rows {
            1 => rows::<A, T, W, 1>(tile),
            2 => rows::<A, T, W, 2>(tile),
            3 => rows::<A, T, W, 3>(tile),
            4 => rows::<A, T, W, 4>(tile),
            5 => rows::<A, T, W, 5>(tile),
            _ => rows::<A, T, W, ROWS>(tile),
        }
    }
}

/// # Safety
/// As for [`run`], and `rows` is `H`.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "indices that are constants once unrolled: see below")]
unsafe fn rows<A: Arch, T: Entry, const W: usize, const H: usize>(t: &Tile<T>) {
    let mut sums = [[T::ZERO; W]; H];
    let (mut column, mut row) = (t.a.ptr, t.b);
    for _ in 0..t.k {
        // SAFETY: row `l` of `b`, with `W` elements side by side.
        let y = unsafe { row.cast::<[T; W]>().read() };
        for i in 0..H {
            // SAFETY: element `(i, l)` of `a`.
            let x = unsafe { *column.wrapping_offset(i.cast_signed() * t.a.rs) };
            for j in 0..W {
                sums[i][j] = T::mul_add::<A>(sums[i][j], x, y[j]);
            }
        }
        column = column.wrapping_offset(t.a.cs);
        row = row.wrapping_offset(t.b_step);
    }
    // By whole rows, at the edges to a buffer first. That it escapes keeps it apart from the sums: an index into them that
    // is not a constant would move them from registers to memory.
    let mut edge = MaybeUninit::<[[T; W]; H]>::uninit();
    let whole = t.cols == W && t.c.cs == 1;
    let (out, step) = if whole { (t.c.ptr, t.c.rs) } else { (black_box(edge.as_mut_ptr()).cast(), W.cast_signed()) };
    for i in 0..H {
        // SAFETY: row `i` of `c`, `W` elements side by side, or of the buffer.
        unsafe { write::<T, W>(sums[i], out.wrapping_offset(i.cast_signed() * step), whole && t.add) };
    }
    if !whole {
        // SAFETY: `c` has these elements, and the buffer has just been filled.
        unsafe { copy_edge(out, W, H, t) };
    }
}

/// # Safety
/// As for [`run`], with the sums row by row in `edge`.
#[inline(never)]
unsafe fn copy_edge<T: Entry>(edge: *const T, width: usize, rows: usize, t: &Tile<T>) {
    for (i, j) in (0..rows).flat_map(|i| (0..t.cols).map(move |j| (i, j))) {
        // SAFETY: elements of the buffer, and of `c`, which is read only when adding.
        unsafe { write::<T, 1>([*edge.add(i * width + j)], t.c.at(i, j), t.add) };
    }
}

/// # Safety
/// `out` may be written, and read when adding.
#[inline(always)]
unsafe fn write<T: Entry, const W: usize>(mut sums: [T; W], out: *mut T, add: bool) {
    let out = out.cast::<[T; W]>();
    if add {
        // SAFETY: the caller's promise.
        let old = unsafe { out.read() };
        for j in 0..W {
            sums[j] = old[j].plus(sums[j]);
        }
    }
    // SAFETY: the caller's promise.
    unsafe { out.write(sums) }
}
