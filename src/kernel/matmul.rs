//! Matrix products: the entry points.
//!
//! [`matmul`] and [`matmul_batch`] check that every element is in its slice. `split` divides a batch; `blocked` and `vector` compute one
//! product of floats, and `product` any other. The order of every sum depends only on sizes and layouts, so the result has the same bits
//! with any number of threads. `docs/decisions/0006-gemm-kernel.md` has measurements.

#![allow(unsafe_code, reason = "to call `split::run`, whose promises are what this file checks")]

mod blocked;
#[cfg(test)]
mod oracle;
mod pack;
mod product;
mod split;
#[cfg(test)]
mod tests;
mod tile;
mod vector;
mod view;

use std::ops::Range;

use smallvec::SmallVec;

pub use self::product::Finish;
use self::product::{Entry, Extras, Strided, Then};
use self::split::run;
pub use self::view::{MatMut, MatRef};
use self::view::{Reach, assert_no_overlap};

/// An element type of matrix products: `f32`, `f64`, `i32`, `i64`, `u8` (these wrap around), and `bool`
/// (whose sum is "or" and whose product is "and").
pub trait MatElement: Entry {}
impl<T: Entry> MatElement for T {}

/// Computes `c = a @ b`, or `c += a @ b` when `accumulate`.
///
/// When not accumulating, the old values of `c` are ignored. An empty sum is zero.
///
/// # Panics
/// When the shapes do not fit.
pub fn matmul<T: MatElement>(a: MatRef<T>, b: MatRef<T>, c: MatMut<T>, accumulate: bool) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    let MatMut { data, offset, .. } = c;
    let fits = b.rows == k && c.rows == m && c.cols == n;
    let shapes = [(m, k), (b.rows, n), (c.rows, c.cols)];
    assert!(fits, "matmul: shapes of a, b and c {shapes:?}");
    let shape = ProductShape {
        m,
        k,
        n,
        a_strides: (a.row_stride, a.col_stride),
        b_strides: (b.row_stride, b.col_stride),
        c_strides: (c.row_stride, c.col_stride),
    };
    let offsets = BatchOffsets { a: &[a.offset], b: &[b.offset], c: &[offset] };
    // SAFETY: all elements of the views are in their slices, and `c` does not overlap.
    unsafe { run(a.data, b.data, data, &shape, offsets, accumulate, &Extras::NONE) }
}

/// The size of each product of a batch, `m` by `k` times `k` by `n`, and the (row, column) strides of its
/// three matrices.
#[derive(Clone, Copy, Debug)]
pub struct ProductShape {
    /// Rows of `a` and `c`.
    pub m: usize,
    /// Columns of `a`, rows of `b`.
    pub k: usize,
    /// Columns of `b` and `c`.
    pub n: usize,
    /// Strides of `a`; they may be 0 or negative.
    pub a_strides: (isize, isize),
    /// Strides of `b`; they may be 0 or negative.
    pub b_strides: (isize, isize),
    /// Strides of `c`.
    pub c_strides: (isize, isize),
}

/// Where the matrices of each product of a batch begin. The offset of a broadcast matrix is repeated.
#[derive(Clone, Copy, Debug)]
pub struct BatchOffsets<'a> {
    /// The offset of element (0, 0) of each `a`.
    pub a: &'a [usize],
    /// The offset of element (0, 0) of each `b`.
    pub b: &'a [usize],
    /// The offset of element (0, 0) of each `c`.
    pub c: &'a [usize],
}

/// Computes `c = a @ b`, or `c += a @ b` when `accumulate`, for each product of a batch.
///
/// All products and their tiles are one parallel region.
///
/// # Panics
/// When the lists differ in length, when an element lies outside its slice, or when outputs overlap: each `c`
/// must end before the next begins.
pub fn matmul_batch<T: MatElement>(a: &[T], b: &[T], c: &mut [T], shape: &ProductShape, offsets: BatchOffsets, accumulate: bool) {
    check_batch(a, Some(b), c, shape, offsets);
    if !offsets.c.is_empty() {
        // SAFETY: just checked: all elements are inside their slices, and those of `c` do not overlap.
        unsafe { run(a, b, c, shape, offsets, accumulate, &Extras::NONE) }
    }
}

/// The right operand of products.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a, T> {
    /// The operand in memory.
    Plain(&'a [T]),
    /// One matrix for all products, packed by [`pack()`]. Strides and offsets are ignored.
    Panels(&'a [T]),
}

/// The epilogue of a product: a function of rows of the result, and other arrays of the same size.
pub struct After<'a, T> {
    /// The other arrays.
    pub others: SmallVec<[&'a mut [T]; 4]>,
    /// Called, possibly by several threads, with parts that together cover every element once.
    pub finish: &'a Finish<'a, T>,
}

/// [`matmul_batch`] for contiguous results, with `b` possibly packed, and with an epilogue that is called with rows as soon as they are
/// complete, while they are in the cache.
///
/// # Panics
/// As [`matmul_batch`]; also when `b` is packed and [`reads_panels`] is false, and when other arrays differ in size.
pub fn matmul_then<T: MatElement>(
    a: &[T],
    b: Right<'_, T>,
    c: &mut [T],
    shape: &ProductShape,
    offsets: BatchOffsets,
    accumulate: bool,
    after: Option<After<'_, T>>,
) {
    let ProductShape { m, k, n, .. } = *shape;
    let (plain, panels) = match b {
        Right::Plain(b) => (Some(b), None),
        Right::Panels(b) => (None, Some(b)),
    };
    check_batch(a, plain, c, shape, offsets);
    assert!(panels.is_none_or(|b| reads_panels::<T>(m, k, n) && b.len() == panels_len::<T>(k, n)), "matmul: panels of {m}, {k}, {n}");
    let is_dense = shape.c_strides == (n.cast_signed(), 1) && offsets.c.iter().enumerate().all(|(i, at)| *at == i * m * n);
    assert!(is_dense && c.len() == offsets.c.len() * m * n, "matmul: results with gaps");
    let size = c.len();
    let first = |other: &mut [T]| {
        assert!(other.len() == size, "matmul: another array of {} elements", other.len());
        other.as_mut_ptr()
    };
    let then = after.map(|after| {
        let others = after.others.into_iter().map(first).collect();
        Then { finish: after.finish, c: std::ptr::null_mut(), others, start: 0 }
    });
    if c.is_empty() {
        return;
    }
    // SAFETY: just checked: all elements are in their slices, those of `c` do not overlap, and panels have the right length.
    unsafe { run(a, plain.unwrap_or_default(), c, shape, offsets, accumulate, &Extras { panels, then }) }
}

/// Whether products of these sizes can read a packed right operand.
#[must_use]
pub fn reads_panels<T: MatElement>(m: usize, k: usize, n: usize) -> bool {
    split::reads_panels::<T>(m, k, n)
}

/// Whether this number of products of these sizes is worth several threads.
#[must_use]
pub fn is_split(count: usize, m: usize, k: usize, n: usize) -> bool {
    split::is_split(count, m, k, n)
}

/// The number of elements of a packed matrix of `k` rows and `n` columns. It depends on the instruction set, as the panels do.
#[must_use]
pub fn panels_len<T: MatElement>(k: usize, n: usize) -> usize {
    blocked::panels_len::<T>(k, n)
}

/// Whether it pays to pack a constant right operand.
#[must_use]
pub fn packs<T: MatElement>(k: usize, n: usize, has_rows: bool) -> bool {
    blocked::packs::<T>(k, n, has_rows)
}

/// Packs a right operand.
///
/// # Panics
/// When `out` does not have [`panels_len`] elements.
pub fn pack<T: MatElement>(b: MatRef<T>, out: &mut [T]) {
    assert!(out.len() == panels_len::<T>(b.rows, b.cols), "matmul: panels of {} elements", out.len());
    if !out.is_empty() {
        let first = Strided { ptr: b.data[b.offset..].as_ptr(), rs: b.row_stride, cs: b.col_stride };
        // SAFETY: the view holds only elements inside its slice, and there is room for all panels.
        unsafe { blocked::pack_all(first, b.rows, b.cols, out) }
    }
}

/// Asserts what [`matmul_batch`] documents.
fn check_batch<T>(a: &[T], b: Option<&[T]>, c: &[T], shape: &ProductShape, offsets: BatchOffsets) {
    let ProductShape { m, k, n, .. } = *shape;
    let lengths = [offsets.a.len(), offsets.b.len(), offsets.c.len()];
    let same = lengths[0] == lengths[2] && lengths[1] == lengths[2];
    assert!(same, "matmul: lists of {lengths:?} offsets");
    if lengths == [0; 3] {
        return;
    }
    let reach = |shape, (rs, cs)| Reach::new(shape, [rs, cs]);
    let c_reach = reach([m, n], shape.c_strides);
    let of_a = reach([m, k], shape.a_strides);
    of_a.assert_inside("batch of a", bounds(offsets.a), a.len());
    if let Some(b) = b {
        reach([k, n], shape.b_strides).assert_inside("batch of b", bounds(offsets.b), b.len());
    }
    c_reach.assert_inside("batch of c", bounds(offsets.c), c.len());
    assert_no_overlap([m, n], [shape.c_strides.0, shape.c_strides.1]);
    assert_apart(offsets.c, c_reach);
}

fn bounds(offsets: &[usize]) -> Range<usize> {
    let (min, max) = (offsets.iter().min(), offsets.iter().max());
    *min.unwrap_or(&0)..*max.unwrap_or(&0)
}

fn assert_apart(offsets: &[usize], reach: Reach) {
    let apart = |list: &[usize]| {
        let mut pairs = list.windows(2);
        pairs.all(|pair| pair[1] as i128 - pair[0] as i128 >= reach.span())
    };
    if reach.span() > 0 && !apart(offsets) {
        let mut sorted = offsets.to_vec();
        sorted.sort_unstable();
        assert!(apart(&sorted), "matmul: outputs of a batch overlap");
    }
}
