//! Operands copied to where the microkernel reads them in order.
//!
//! That is panels as wide as a tile: of `b` row by row, of `a` column by column, the last one filled up with zeros.

#![allow(unsafe_code, reason = "operands are read through the pointers of `product`")]

use std::ops::Range;

use super::product::{Entry, Strided};
use super::tile::ROWS;

/// The rows that are copied at a time when they lie apart: rows a page apart share a cache set, which has eight lines.
const ROWS_AT_A_TIME: usize = 8;
/// The rows that are copied at a time when columns lie apart, of [`ROWS_AT_A_TIME`] columns.
const MANY: usize = 64;

/// Copies `k` rows of each panel: some columns of `b`, at most `W`, and where its first row goes.
///
/// # Safety
/// `b` has `k` rows of these columns, and each place has room for `k` by `W`.
#[inline(always)]
pub unsafe fn panels<T: Entry, const W: usize>(b: Strided<*const T>, k: usize, panels: &(impl Iterator<Item = (Range<usize>, *mut T)> + Clone)) {
    let chunk = if b.cs == 1 { ROWS_AT_A_TIME } else { MANY };
    for l in (0..k).step_by(chunk) {
        for (cols, out) in panels.clone() {
            // SAFETY: the caller's promise, for fewer rows.
            unsafe { panel::<T, W>(b.from(l, cols.start), chunk.min(k - l), cols.len(), out.add(l * W)) };
        }
    }
}

/// # Safety
/// As for [`panels`], for one panel.
#[inline(always)]
unsafe fn panel<T: Entry, const W: usize>(b: Strided<*const T>, k: usize, cols: usize, out: *mut T) {
    // SAFETY: the same promises, for some of the columns at a time.
    unsafe {
        if cols == W && (b.cs == 1 || W <= ROWS_AT_A_TIME) {
            columns::<T, W, W>(b, k, out);
        } else if cols == W {
            (0..W).step_by(ROWS_AT_A_TIME).for_each(|j| columns::<T, W, ROWS_AT_A_TIME>(b.from(0, j), k, out.add(j)));
        } else {
            (0..k).for_each(|l| out.add(l * W).cast::<[T; W]>().write([T::ZERO; W]));
            // Most tiles of a block that are not of `ROWS` have one row less.
            let whole = if cols == ROWS - 1 { cols } else { 0 };
            if whole > 0 {
                columns::<T, W, { ROWS - 1 }>(b, k, out);
            }
            (whole..cols).for_each(|j| columns::<T, W, 1>(b.from(0, j), k, out.add(j)));
        }
    }
}

/// # Safety
/// As for [`panels`], for the first `H` columns of one panel.
#[inline(always)]
unsafe fn columns<T: Entry, const W: usize, const H: usize>(b: Strided<*const T>, k: usize, out: *mut T) {
    if b.cs == 1 {
        // SAFETY: rows of `H` elements side by side, in `b` and in the panel.
        (0..k).for_each(|l| unsafe { out.add(l * W).cast::<[T; H]>().write(b.at(l, 0).cast::<[T; H]>().read()) });
        return;
    }
    // A loop for neighbours in columns, which the compiler turns into shuffles, and one for the rest.
    // SAFETY: the same promises.
    unsafe { if b.rs == 1 { copy::<T, W, H>(Strided { rs: 1, ..b }, k, out) } else { copy::<T, W, H>(b, k, out) } }
}

/// # Safety
/// As for [`columns`].
#[inline(always)]
unsafe fn copy<T: Entry, const W: usize, const H: usize>(b: Strided<*const T>, k: usize, out: *mut T) {
    for l in 0..k {
        for j in 0..H {
            // SAFETY: an element of `b`, and of the panel.
            unsafe { out.add(l * W + j).write(*b.at(l, j)) };
        }
    }
}
