//! Packing: operands are copied into the order in which the microkernel reads them.
//!
//! Panels are as wide as a tile: rows of `b`, or columns of `a`. The last panel is padded with zeros.

#![allow(unsafe_code, reason = "operands are read through the pointers of `product`")]

use std::ops::Range;

use super::product::{Entry, Strided};
use super::tile::ROWS;

/// Rows that are copied at a time if they are not contiguous: rows that are a page apart share a cache set, which has eight lines.
const ROWS_AT_A_TIME: usize = 8;
/// Rows of [`ROWS_AT_A_TIME`] columns that are copied at a time if columns are not contiguous.
const MANY: usize = 64;

/// Copies `k` rows of each panel: some columns of `b`, at most `W`, and the destination of the first row.
///
/// # Safety
/// `b` has `k` rows of these columns, and each destination has room for `k` by `W` elements.
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
            // Most tiles that do not have `ROWS` rows have one row less.
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
        // SAFETY: rows of `H` contiguous elements, in `b` and in the panel.
        (0..k).for_each(|l| unsafe { out.add(l * W).cast::<[T; H]>().write(b.at(l, 0).cast::<[T; H]>().read()) });
        return;
    }
    // One loop for contiguous columns, which the compiler turns into shuffles, and one for others.
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
