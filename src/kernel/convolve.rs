//! Convolutions of vectors, in memory that grows with their lengths.
//!
//! A position at which one vector lies within the other is a row of a product of a matrix and a vector. The rows of that matrix overlap, so
//! it is a view. A position at the edge is one dot product of the parts that meet: no zeros are added, so that infinities stay themselves.

use std::ops::Range;

use crate::array::{Array, DType, Layout};
use crate::kernel::cast::cast;
use crate::kernel::contract::{Addend, Form, contract};
use crate::kernel::slice_write;

/// The sums of `a[.., first + k - j] · v[.., j]` over j for every k below `count`. Elements outside the vectors count as zeros.
///
/// `a` has shape (rows, n), `v` (rows, m), and the result (rows, `count`).
///
/// # Panics
/// When the rows or the dtypes differ: bugs of the caller.
#[must_use]
pub fn convolve(a: &Array, v: &Array, first: isize, count: usize) -> Array {
    let dtype = a.dtype();
    let [long, short] = if a.shape()[1] < v.shape()[1] { [v, a] } else { [a, v] };
    let wide = dtype_of_sums(dtype);
    let pair = Pair { long: in_dtype(long, wide), short: in_dtype(short, wide), first };
    let mut out = Array::zeros(&[a.shape()[0], count], wide);
    let inner = pair.inner(count);
    if !inner.is_empty() {
        let sums = pair.windows(inner.clone());
        slice_write::write(&mut out, |l| l.slice(1, inner.start, inner.len(), 1), &sums);
    }
    for k in (0..inner.start).chain(inner.end..count) {
        if let Some(sum) = pair.edge(k) {
            slice_write::write(&mut out, |l| l.select(1, k), &sum);
        }
    }
    cast(&out, dtype)
}

/// The dtype in which products are summed: that of a kernel for matrix products.
fn dtype_of_sums(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        DType::I8 | DType::I16 | DType::U16 | DType::U32 | DType::U64 => DType::I64,
        other => other,
    }
}

/// The elements in rows of memory of the pool, so that views of them are never copied.
fn in_dtype(x: &Array, dtype: DType) -> Array {
    let x = if x.dtype() == dtype { x.clone() } else { cast(x, dtype) };
    x.contiguous().pooled()
}

/// Rows of vectors, the second of which are not longer than the first, and the position of the first sum.
struct Pair {
    long: Array,
    short: Array,
    first: isize,
}

impl Pair {
    fn lengths(&self) -> [usize; 2] {
        [self.long.shape()[1], self.short.shape()[1]]
    }

    /// The results, of `count`, for which all of the short vector meets elements of the long one.
    fn inner(&self, count: usize) -> Range<usize> {
        let [n, m] = self.lengths().map(usize::cast_signed);
        let within = |k: isize| k.clamp(0, count.cast_signed()).cast_unsigned();
        let (start, end) = (within(m - 1 - self.first), within(n - self.first));
        if m == 0 { 0..0 } else { start..end.max(start) }
    }

    /// The `inner` results.
    fn windows(&self, inner: Range<usize>) -> Array {
        let ([n, m], rows) = (self.lengths(), self.long.shape()[0]);
        let start = (self.first + inner.start.cast_signed()).cast_unsigned() + 1 - m;
        let layout = self.long.layout();
        let windows = Layout::strided(&[rows, inner.len(), m], &[n.cast_signed(), 1, 1], layout.offset() + start);
        let turned = self.short.with_layout(self.short.layout().slice(1, m - 1, m, -1));
        contract((&self.long.with_layout(windows), Form::Matrix), (&turned, Form::Column), &[rows, inner.len()], Form::Column, Addend::Nothing)
    }

    /// Result `k` of each row, from the parts that meet there.
    fn edge(&self, k: usize) -> Option<Array> {
        let [n, m] = self.lengths().map(usize::cast_signed);
        let at = self.first + k.cast_signed();
        let (low, high) = ((at - (m - 1)).max(0), at.min(n - 1));
        if m == 0 || low > high {
            return None;
        }
        let count = (high - low + 1).cast_unsigned();
        let long = self.long.with_layout(self.long.layout().slice(1, low.cast_unsigned(), count, 1));
        let short = self.short.with_layout(self.short.layout().slice(1, (at - low).cast_unsigned(), count, -1));
        Some(contract((&long, Form::Row), (&short, Form::Column), &[self.long.shape()[0]], Form::Single, Addend::Nothing))
    }
}
