//! The microkernel: computes a tile of the output, which stays in registers.
//!
//! Plain Rust. With `W` two vectors wide and at most [`ROWS`] rows, the sums fill twelve of the sixteen registers of AVX2 or SSE2, and the
//! compiler turns the loop into a broadcast and two multiply-adds per row. Every element is one chain of additions, from zero, in the order
//! of `k`, in tiles of any height: its bits do not depend on its position.

#![allow(unsafe_code, reason = "tiles are read and written through the pointers of `product`")]

use std::hint::black_box;
use std::mem::MaybeUninit;

use super::product::{Entry, Strided};
use crate::array::{LINE, prefetch_line};
use crate::kernel::simd::Arch;

/// The rows of the largest tile.
pub const ROWS: usize = 6;
/// Unrolled steps of `k`, which share the loop's overhead.
const UNROLLED: usize = 4;

/// From this width on, strides are constants.
const WRITTEN_OUT: usize = 16;
/// From this `k` on, a tile of `c` is prefetched before the sums: otherwise the additions at the end would wait for it.
const PREFETCH_MIN_K: usize = 128;

/// A tile of `c`, and its operands.
#[derive(Clone, Copy)]
pub struct Tile<T> {
    /// At most [`ROWS`].
    pub rows: usize,
    pub k: usize,
    /// At most the width of the tile.
    pub cols: usize,
    pub a: Strided<*const T>,
    /// A row is a whole tile wide, even if `cols` is less.
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
    // For narrower tiles the compiler makes shuffles of `a`, at half the speed (f64 with AVX2).
    let panels = W >= WRITTEN_OUT && tile.a.rs == 1 && tile.a.cs == ROWS.cast_signed() && tile.b_step == W.cast_signed();
    // SAFETY: the same promises.
    unsafe { if panels { height::<A, T, W, true>(tile) } else { height::<A, T, W, false>(tile) } }
}

/// # Safety
/// As for [`run`], and `a` and `b` are panels if `PANELS`. Then their strides are constants: computing the addresses of six rows would be a
/// chain of additions as long as the six cycles of a step.
#[inline(always)]
unsafe fn height<A: Arch, T: Entry, const W: usize, const PANELS: bool>(tile: &Tile<T>) {
    // SAFETY: the same promises, with `H == rows`.
    unsafe {
        match tile.rows {
            1 => rows::<A, T, W, 1, PANELS>(tile),
            2 => rows::<A, T, W, 2, PANELS>(tile),
            3 => rows::<A, T, W, 3, PANELS>(tile),
            4 => rows::<A, T, W, 4, PANELS>(tile),
            5 => rows::<A, T, W, 5, PANELS>(tile),
            _ => rows::<A, T, W, ROWS, PANELS>(tile),
        }
    }
}

/// # Safety
/// As for [`height`], and `rows` is `H`.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "indices that are constants once unrolled: see below")]
unsafe fn rows<A: Arch, T: Entry, const W: usize, const H: usize, const PANELS: bool>(t: &Tile<T>) {
    let mut sums = [[T::ZERO; W]; H];
    let mut at = Step { column: t.a.ptr, row: t.b };
    if t.k >= PREFETCH_MIN_K {
        for i in 0..H {
            let row = t.c.ptr.wrapping_offset(i.cast_signed() * t.c.rs);
            prefetch_line(row.cast_const());
            if W * size_of::<T>() > LINE {
                prefetch_line(row.wrapping_add(W / 2).cast_const());
            }
            prefetch_line(row.wrapping_add(W - 1).cast_const());
        }
    }
    let ([rs, cs], b_step) = if PANELS { ([1, ROWS.cast_signed()], W.cast_signed()) } else { ([t.a.rs, t.a.cs], t.b_step) };
    // SAFETY: `k` steps in all, each with a column of `a` and a row of `b`.
    unsafe {
        if PANELS {
            for _ in 0..t.k / UNROLLED {
                for _ in 0..UNROLLED {
                    at.add::<A, W, H>(&mut sums, [rs, cs], b_step);
                }
            }
        }
        for _ in 0..if PANELS { t.k % UNROLLED } else { t.k } {
            at.add::<A, W, H>(&mut sums, [rs, cs], b_step);
        }
    }
    // Whole rows are stored directly, others to a buffer first. `black_box` separates the buffer from the sums: a variable index into the
    // sums would move them from registers to memory.
    let mut edge = MaybeUninit::<[[T; W]; H]>::uninit();
    let whole = t.cols == W && t.c.cs == 1;
    let (out, step) = if whole { (t.c.ptr, t.c.rs) } else { (black_box(edge.as_mut_ptr()).cast(), W.cast_signed()) };
    for i in 0..H {
        // SAFETY: row `i` of `c`, `W` contiguous elements, or of the buffer.
        unsafe { write::<T, W>(sums[i], out.wrapping_offset(i.cast_signed() * step), whole && t.add) };
    }
    if !whole {
        // SAFETY: `c` has these elements, and the buffer has just been filled.
        unsafe { copy_edge(out, W, H, t) };
    }
}

/// The position of the microkernel in `k`.
struct Step<T> {
    column: *const T,
    row: *const T,
}

impl<T: Entry> Step<T> {
    /// Adds the products of a column of `a` and a row of `b`.
    ///
    /// # Safety
    /// There is another column and another row.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "as in `rows`")]
    unsafe fn add<A: Arch, const W: usize, const H: usize>(&mut self, sums: &mut [[T; W]; H], [rs, cs]: [isize; 2], b_step: isize) {
        // SAFETY: a row of `b` with `W` contiguous elements.
        let y = unsafe { self.row.cast::<[T; W]>().read() };
        for i in 0..H {
            // SAFETY: an element of this column of `a`.
            let x = unsafe { *self.column.wrapping_offset(i.cast_signed() * rs) };
            for j in 0..W {
                sums[i][j] = T::mul_add::<A>(sums[i][j], x, y[j]);
            }
        }
        self.column = self.column.wrapping_offset(cs);
        self.row = self.row.wrapping_offset(b_step);
    }
}

/// # Safety
/// As for [`run`], with the sums row by row in `edge`.
#[inline(never)]
unsafe fn copy_edge<T: Entry>(edge: *const T, width: usize, rows: usize, t: &Tile<T>) {
    for i in 0..rows {
        for j in 0..t.cols {
            // SAFETY: elements of the buffer, and of `c`, which is read only when adding.
            unsafe { write::<T, 1>([*edge.add(i * width + j)], t.c.at(i, j), t.add) };
        }
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
