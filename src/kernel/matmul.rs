//! Matrix products: the one door to them.
//!
//! [`matmul`] and [`matmul_batch`] check that every element lies in its slice; `split` divides a batch; `blocked` and
//! `vector` compute one product of floats and `product` any other. The order of every sum depends on sizes and layouts
//! alone, so that the result has the same bits with any number of threads. `docs/decisions/0006-gemm-kernel.md` has the
//! numbers.

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

use self::product::Entry;
use self::split::run;
pub use self::view::{MatMut, MatRef};
use self::view::{Reach, assert_no_overlap};

/// An element type of matrix products: `f32`, `f64`, `i32`, `i64`, `u8` (these wrap around), and `bool`
/// (whose sum is "or" and whose product is "and").
pub trait MatElement: Entry {}
impl<T: Entry> MatElement for T {}

/// Computes `c = a @ b`, or `c += a @ b` when `accumulate`.
///
/// When not accumulating, the old values of `c` do not matter. An empty sum is zero.
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
    // SAFETY: the views hold only elements inside their slices, and `c` does not overlap.
    unsafe { run(a.data, b.data, data, &shape, offsets, accumulate) }
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

/// Where the matrices of each product of a batch begin. A broadcast matrix repeats its offset.
#[derive(Clone, Copy, Debug)]
pub struct BatchOffsets<'a> {
    /// The place of element (0, 0) of each `a`.
    pub a: &'a [usize],
    /// The place of element (0, 0) of each `b`.
    pub b: &'a [usize],
    /// The place of element (0, 0) of each `c`.
    pub c: &'a [usize],
}

/// Computes `c = a @ b`, or `c += a @ b` when `accumulate`, for each product of a batch.
///
/// One parallel region over all products and their tiles.
///
/// # Panics
/// When the lists differ in length, when an element lies outside its slice, or when outputs overlap: each `c`
/// must end before the next begins.
pub fn matmul_batch<T: MatElement>(a: &[T], b: &[T], c: &mut [T], shape: &ProductShape, offsets: BatchOffsets, accumulate: bool) {
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
    let of_b = reach([k, n], shape.b_strides);
    of_b.assert_inside("batch of b", bounds(offsets.b), b.len());
    c_reach.assert_inside("batch of c", bounds(offsets.c), c.len());
    assert_no_overlap([m, n], [shape.c_strides.0, shape.c_strides.1]);
    assert_apart(offsets.c, c_reach);
    // SAFETY: just checked: all elements are inside their slices, and those of `c` do not overlap.
    unsafe { run(a, b, c, shape, offsets, accumulate) }
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
