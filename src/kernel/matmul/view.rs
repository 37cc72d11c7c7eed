//! Strided matrix views, all of whose elements are known to be in their slice.

use std::ops::Range;

/// A strided read-only matrix. Strides count elements and may be 0 (broadcast) or negative.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a, T> {
    pub(super) data: &'a [T],
    pub(super) offset: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: isize,
    pub(super) col_stride: isize,
}

impl<'a, T> MatRef<'a, T> {
    /// The matrix whose element `(i, j)` is `data[offset + i * row_stride + j * col_stride]`.
    ///
    /// # Panics
    /// When an element is outside `data`.
    #[must_use]
    pub fn new(data: &'a [T], offset: usize, rows: usize, cols: usize, row_stride: isize, col_stride: isize) -> Self {
        let reach = Reach::new([rows, cols], [row_stride, col_stride]);
        reach.assert_inside("matrix", offset..offset, data.len());
        Self { data, offset, rows, cols, row_stride, col_stride }
    }

    /// The transpose: the same elements, no copy.
    #[must_use]
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }
}

/// A strided matrix for writing. No two of its elements overlap.
#[derive(Debug)]
pub struct MatMut<'a, T> {
    pub(super) data: &'a mut [T],
    pub(super) offset: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: isize,
    pub(super) col_stride: isize,
}

impl<'a, T> MatMut<'a, T> {
    /// The matrix whose element `(i, j)` is `data[offset + i * row_stride + j * col_stride]`.
    ///
    /// # Panics
    /// When an element is outside `data`, or when elements could overlap because one stride is less than the extent of the other axis.
    #[must_use]
    pub fn new(data: &'a mut [T], offset: usize, rows: usize, cols: usize, row_stride: isize, col_stride: isize) -> Self {
        let reach = Reach::new([rows, cols], [row_stride, col_stride]);
        reach.assert_inside("output matrix", offset..offset, data.len());
        assert_no_overlap([rows, cols], [row_stride, col_stride]);
        Self { data, offset, rows, cols, row_stride, col_stride }
    }
}

/// The extent of a matrix before and after its first element; `None` when it is empty.
#[derive(Clone, Copy)]
pub(super) struct Reach(Option<(i128, i128)>);

impl Reach {
    pub(super) fn new(shape: [usize; 2], strides: [isize; 2]) -> Self {
        if shape.contains(&0) {
            return Self(None);
        }
        // |size * stride| < 2^127: no overflow.
        let ends = [0, 1].map(|d| (shape[d] as i128 - 1) * strides[d] as i128);
        let backward = ends[0].min(0) + ends[1].min(0);
        let forward = ends[0].max(0) + ends[1].max(0);
        Self(Some((backward, forward)))
    }

    /// Asserts that matrices whose first elements are within `offsets` (end included) are inside a slice of `len` elements.
    pub(super) fn assert_inside(self, name: &str, offsets: Range<usize>, len: usize) {
        if let Some((backward, forward)) = self.0 {
            assert!(
                offsets.start as i128 + backward >= 0 && offsets.end as i128 + forward < len as i128,
                "matmul: the {name} leaves its slice of {len} elements"
            );
        }
    }

    /// The distance from the first to the last element.
    pub(super) fn span(self) -> i128 {
        self.0.map_or(0, |(backward, forward)| forward - backward + 1)
    }
}

pub(super) fn assert_no_overlap(shape: [usize; 2], strides: [isize; 2]) {
    let mut axes = [0, 1].map(|d| (strides[d].unsigned_abs() as i128, shape[d] as i128));
    // An axis of one element overlaps nothing, whatever its stride.
    axes.sort_by_key(|&(stride, size)| if size > 1 { stride } else { 0 });
    let mut spanned = 1;
    for (stride, size) in axes.into_iter().filter(|axis| axis.1 > 1) {
        assert!(stride >= spanned || shape.contains(&0), "matmul: elements of the output matrix may overlap (shape {shape:?}, strides {strides:?})");
        spanned += (size - 1) * stride;
    }
}
