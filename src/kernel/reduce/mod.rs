//! Reductions over any axes: sums, products, extrema.
//!
//! All reductions are one of two loops: rows (the reduced elements are contiguous) and columns (the reduced elements are a stride apart,
//! and whole rows are folded into a row of accumulators). Long folds are divided into blocks whose results are combined pairwise, in an
//! order that depends on the sizes only.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]

pub mod argreduce;
pub mod columns;
pub mod ops;
pub mod parts;
pub mod prod_grad;
pub mod rows;

use smallvec::SmallVec;

use crate::array::{Array, DKind, DType, Element, Layout, Shape, alloc_check, size_of};
use crate::dispatch;
use crate::kernel::cast::cast;
use crate::kernel::complex;
use crate::kernel::parallel;
use crate::kernel::simd::{Arch, Kernel, dispatch as simd_dispatch};

use columns::{Columns, join_rows};
pub use rows::Fold;
use rows::{fold_rows, pairwise};

/// Elements of a block that one thread folds.
const BLOCK: usize = 1 << 16;
/// Columns folded at a time, so that their accumulators stay in the first-level cache.
const TILE: usize = 4096;
/// Nanoseconds per element.
const COST: f64 = 0.12;

/// The plan of a reduction: which axes are reduced and which are kept.
#[derive(Clone, Debug)]
pub struct ReducePlan {
    /// The axes of the array, kept ones first.
    order: SmallVec<[usize; 4]>,
    /// Shape of the result without the reduced axes.
    pub kept: Shape,
    /// Shape of the result with reduced axes of size one.
    pub keepdims: Shape,
    /// Number of elements that are folded into one.
    pub count: usize,
}

impl ReducePlan {
    /// The plan for reducing `axes` (normalised, distinct) of `shape`.
    #[must_use]
    pub fn new(shape: &[usize], axes: &[usize]) -> Self {
        let mut order: SmallVec<[usize; 4]> = (0..shape.len()).filter(|a| !axes.contains(a)).collect();
        let kept: Shape = order.iter().map(|&a| shape[a]).collect();
        order.extend((0..shape.len()).filter(|a| axes.contains(a)));
        let keepdims = shape.iter().enumerate().map(|(a, &n)| if axes.contains(&a) { 1 } else { n }).collect();
        let count = axes.iter().map(|&a| shape[a]).product();
        Self { order, kept, keepdims, count }
    }

    /// `x` as a row-major block (outer, count, inner). `inner` is one unless `x` is stored in that order already.
    #[must_use]
    pub fn block(&self, x: &Array) -> (Array, usize, usize) {
        let (kept, reduced) = self.order.split_at(self.kept.len());
        if self.is_adjacent() && x.is_contiguous() {
            let first = reduced.first().copied().unwrap_or(x.ndim());
            let outer = size_of(&x.shape()[..first]);
            let inner = size_of(&x.shape()[(first + reduced.len()).min(x.ndim())..]);
            return (x.clone(), outer, inner);
        }
        let columns = x.layout().permute(&[reduced, kept].concat());
        if columns.is_contiguous() {
            return (x.with_layout(columns), 1, size_of(&self.kept));
        }
        (self.rows(x), size_of(&self.kept), 1)
    }

    /// Whether the reduced axes are adjacent.
    fn is_adjacent(&self) -> bool {
        self.order[self.kept.len()..].windows(2).all(|w| w[1] == w[0] + 1)
    }

    /// `x` with the reduced axes last, row-major: each row has `count` contiguous elements.
    #[must_use]
    pub fn rows(&self, x: &Array) -> Array {
        x.with_layout(x.layout().permute(&self.order)).contiguous()
    }

    /// An array in the order of [`ReducePlan::rows`], viewed with its axes in the original order.
    #[must_use]
    pub fn back(&self, rows: &Array) -> Array {
        let mut inverse: SmallVec<[usize; 4]> = SmallVec::from_elem(0, self.order.len());
        for (i, &a) in self.order.iter().enumerate() {
            inverse[a] = i;
        }
        rows.with_layout(rows.layout().permute(&inverse))
    }
}

/// Folds `axes` of `x`; the result has the kept axes only.
#[must_use]
pub fn reduce<R: Fold<T>, T: Element>(x: &Array, axes: &[usize]) -> Array {
    let plan = ReducePlan::new(x.shape(), axes);
    let (block, outer, inner) = plan.block(x);
    fold_block::<R, T>(&block, [outer, plan.count, inner], &plan.kept)
}

/// Folds the middle axis of a row-major block (outer, count, inner).
#[allow(clippy::cast_precision_loss, reason = "estimates")]
fn fold_block<R: Fold<T>, T: Element>(block: &Array, [outer, count, inner]: [usize; 3], shape: &[usize]) -> Array {
    let Some(source) = block.as_slice::<T>() else { unreachable!("blocks are contiguous") };
    Array::build(shape, |data: &mut [R::Acc]| {
        if count == 0 {
            data.fill(R::start());
        } else if inner == 1 && count > BLOCK {
            for (row, o) in source.chunks_exact(count).zip(data) {
                *o = long_row::<R, T>(row);
            }
        } else if inner == 1 {
            let rows = parallel::grain(outer, 2.0 + COST * count as f64);
            parallel::for_each_chunk_mut(data, rows, |start, out| {
                simd_dispatch(RowLoop::<R, T> { source: &source[start * count..], count, out });
            });
        } else if inner <= TILE && count * inner > 2 * BLOCK {
            for (rows, out) in source.chunks_exact(count * inner).zip(data.chunks_exact_mut(inner)) {
                tall::<R, T>(rows, out);
            }
        } else if inner <= TILE {
            let groups = parallel::grain(outer, COST * (count * inner) as f64);
            parallel::for_each_chunk_mut(data, groups * inner, |start, out| {
                simd_dispatch(ColumnLoop::<R, T> { source: &source[start * count..], count, inner, start: 0, out });
            });
        } else {
            let columns = parallel::grain(data.len(), COST * count as f64).max(TILE);
            parallel::for_each_chunk_mut(data, columns, |start, out| {
                simd_dispatch(ColumnLoop::<R, T> { source, count, inner, start, out });
            });
        }
    })
}

/// Folds all of `source` into one value.
#[must_use]
pub fn fold_all<R: Fold<T>, T: Element>(source: &[T]) -> R::Acc {
    if source.len() > BLOCK {
        return long_row::<R, T>(source);
    }
    let mut out = R::start();
    if !source.is_empty() {
        simd_dispatch(RowLoop::<R, T> { source, count: source.len(), out: std::slice::from_mut(&mut out) });
    }
    out
}

/// Folds one long row, in blocks on all threads.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn long_row<R: Fold<T>, T: Element>(source: &[T]) -> R::Acc {
    let blocks = source.len().div_ceil(BLOCK);
    let mut parts = alloc_check::filled(R::start(), blocks);
    parallel::for_each_chunk_mut(&mut parts, parallel::grain(blocks, COST * BLOCK as f64), |start, parts| {
        for (row, o) in source[start * BLOCK..].chunks(BLOCK).zip(parts) {
            simd_dispatch(RowLoop::<R, T> { source: row, count: row.len(), out: std::slice::from_mut(o) });
        }
    });
    pairwise::<R, T>(&mut parts)
}

/// Folds many rows of a few columns, in blocks of rows on all threads.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn tall<R: Fold<T>, T: Element>(source: &[T], out: &mut [R::Acc]) {
    let inner = out.len();
    let count = source.len() / inner;
    let rows = (BLOCK / inner).next_multiple_of(64);
    let blocks = count.div_ceil(rows);
    let mut parts = alloc_check::filled(R::start(), blocks * inner);
    let grain = parallel::grain(blocks, COST * (rows * inner) as f64);
    parallel::for_each_chunk_mut(&mut parts, grain * inner, |start, parts| {
        for (source, out) in source[start * rows..].chunks(rows * inner).zip(parts.chunks_exact_mut(inner)) {
            simd_dispatch(ColumnLoop::<R, T> { source, count: source.len() / inner, inner, start: 0, out });
        }
    });
    // Pairwise, like the parts of a block.
    let mut step = 1;
    while step < blocks {
        for k in (0..blocks - step).step_by(2 * step) {
            let (left, right) = parts.split_at_mut((k + step) * inner);
            join_rows::<R, T>(&mut left[k * inner..(k + 1) * inner], &right[..inner]);
        }
        step *= 2;
    }
    out.copy_from_slice(&parts[..inner]);
}

struct RowLoop<'a, R: Fold<T>, T> {
    source: &'a [T],
    count: usize,
    out: &'a mut [R::Acc],
}

impl<R: Fold<T>, T: Element> Kernel for RowLoop<'_, R, T> {
    type Output = ();
    const WIDE: bool = R::WIDE;
    #[inline(always)]
    fn run<A: Arch>(self) {
        fold_rows::<R, T>(&self.source[..self.out.len() * self.count], self.count, self.out);
    }
}

/// Columns from `start` on of the blocks of `count` rows in `source`. Columns are numbered through all blocks.
struct ColumnLoop<'a, R: Fold<T>, T> {
    source: &'a [T],
    count: usize,
    inner: usize,
    start: usize,
    out: &'a mut [R::Acc],
}

impl<R: Fold<T>, T: Element> Kernel for ColumnLoop<'_, R, T> {
    type Output = ();
    const WIDE: bool = R::WIDE;
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { source, count, inner, mut start, mut out } = self;
        let mut scratch = Vec::new();
        while !out.is_empty() {
            let (block, at) = (start / inner, start % inner);
            let (columns, rest) = out.split_at_mut((inner - at).min(TILE).min(out.len()));
            let source = &source[block * count * inner..(block + 1) * count * inner];
            start += columns.len();
            Columns { source, inner, at }.fold::<R, A>(columns, &mut scratch);
            out = rest;
        }
    }
}

macro_rules! fold {
    ($(#[$doc:meta])* $name:ident, tuned $tuned:literal, $start:expr, $op:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        fold!(@impl $name, tuned $tuned, f32, f32, $start, $op);
        fold!(@impl $name, tuned $tuned, f64, f64, $start, $op);
    };
    (@impl $name:ident, tuned $tuned:literal, $t:ty, $acc:ty, $start:expr, $op:expr) => {
        impl Fold<$t> for $name {
            type Acc = $acc;
            const TUNED: bool = $tuned;
            const WIDE: bool = $tuned;
            #[inline(always)]
            fn start() -> $acc {
                $start
            }
            #[inline(always)]
            fn lift(x: $t) -> $acc {
                <$acc>::from(x)
            }
            #[inline(always)]
            fn join(a: $acc, b: $acc) -> $acc {
                let f: fn($acc, $acc) -> $acc = $op;
                f(a, b)
            }
        }
    };
}

fold!(
    /// Sums. Integers and bools are summed in 64 bits.
    Sum, tuned true, 0.0, |a, b| a + b
);
fold!(@impl Sum, tuned false, i64, i64, 0, |a, b| a.wrapping_add(b));
fold!(@impl Sum, tuned false, i32, i64, 0, |a, b| a.wrapping_add(b));
fold!(@impl Sum, tuned false, u8, i64, 0, |a, b| a.wrapping_add(b));
fold!(@impl Sum, tuned false, bool, i64, 0, |a, b| a.wrapping_add(b));
fold!(
    /// Products. Integers and bools are multiplied in 64 bits.
    Prod, tuned false, 1.0, |a, b| a * b
);
fold!(@impl Prod, tuned false, i64, i64, 1, |a, b| a.wrapping_mul(b));
fold!(@impl Prod, tuned false, i32, i64, 1, |a, b| a.wrapping_mul(b));
fold!(@impl Prod, tuned false, u8, i64, 1, |a, b| a.wrapping_mul(b));
fold!(@impl Prod, tuned false, bool, i64, 1, |a, b| a.wrapping_mul(b));

/// The sum over `axes`. Signed integers and bools are summed in int64, unsigned integers in uint64.
#[must_use]
pub fn sum(x: &Array, axes: &[usize]) -> Array {
    let dtype = x.dtype();
    if dtype.is_complex() {
        // A complex number is summed as a pair of real numbers, which form a last axis that is kept.
        return sum(&x.seen_as(dtype.real()), axes).turned_into(dtype);
    }
    let out = dispatch!(core dtype, T => reduce::<Sum, T>(x, axes), else reduce_wide::<Sum>(x, axes));
    unsigned(out, dtype)
}

/// The product over `axes`, with the dtypes of [`sum`].
#[must_use]
pub fn prod(x: &Array, axes: &[usize]) -> Array {
    let dtype = x.dtype();
    if dtype.is_complex() {
        let plan = ReducePlan::new(x.shape(), axes);
        return complex::products(&plan.rows(x), plan.count, &plan.kept);
    }
    let out = dispatch!(core dtype, T => reduce::<Prod, T>(x, axes), else reduce_wide::<Prod>(x, axes));
    unsigned(out, dtype)
}

/// Integers of other dtypes, as int64: sums and products have the same bits as in uint64.
fn reduce_wide<R: Fold<i64>>(x: &Array, axes: &[usize]) -> Array {
    let wide = if x.dtype() == DType::U64 { x.seen_as(DType::I64) } else { cast(x, DType::I64) };
    reduce::<R, i64>(&wide, axes)
}

/// Converts the sum or product of unsigned integers to uint64.
fn unsigned(out: Array, dtype: DType) -> Array {
    if dtype.kind() == DKind::Unsigned { out.turned_into(DType::U64) } else { out }
}

/// `x` summed to `shape`, which broadcasts to the shape of `x`.
#[must_use]
pub fn sum_to(x: &Array, shape: &[usize]) -> Array {
    let lead = x.ndim() - shape.len();
    let axes: SmallVec<[usize; 4]> = (0..x.ndim()).filter(|&a| a < lead || (shape[a - lead] == 1 && x.shape()[a] != 1)).collect();
    sum(x, &axes).with_layout(Layout::contiguous(shape))
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "small numbers")]
mod tests {
    use super::*;

    fn naive(x: &Array, axes: &[usize]) -> Vec<f64> {
        let mut v = x.view::<f64>().to_owned();
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        for &a in axes.iter().rev() {
            v = v.sum_axis(ndarray::Axis(a));
        }
        v.iter().copied().collect()
    }

    #[test]
    fn sums_over_any_axes_and_layouts() {
        let n = 7 * 150 * 33;
        let x = Array::from_slice(&(0..n).map(|i| f64::from(i % 101) - 50.0).collect::<Vec<_>>(), &[7, 150, 33]);
        let t = x.with_layout(x.layout().permute(&[2, 0, 1]));
        for x in [&x, &t] {
            for axes in [&[][..], &[0], &[1], &[2], &[0, 1], &[1, 2], &[0, 2], &[0, 1, 2]] {
                assert_eq!(reduce::<Sum, f64>(x, axes).to_vec::<f64>(), naive(x, axes), "{axes:?}");
            }
        }
    }

    #[test]
    fn columns_of_any_width_are_folded_once() {
        for width in (1..70).chain([100, 127, 128, 129, 200]) {
            for count in [1, 7, 16, 50, 300] {
                let x = Array::from_slice(&(0..2 * count * width).map(|i| (i * 7919 % 1009) as f64).collect::<Vec<_>>(), &[2, count, width]);
                assert_eq!(reduce::<Sum, f64>(&x, &[1]).to_vec::<f64>(), naive(&x, &[1]), "{count} x {width}");
            }
        }
    }

    #[test]
    fn empty_folds_are_neutral() {
        let x = Array::zeros(&[0, 3], crate::array::DType::F32);
        assert_eq!(reduce::<Sum, f32>(&x, &[0]).to_vec::<f32>(), [0.0; 3]);
        assert_eq!(reduce::<Prod, f32>(&x, &[0, 1]).to_vec::<f32>(), [1.0]);
        assert_eq!(reduce::<Sum, f32>(&x, &[1]).shape(), &[0]);
    }

    #[test]
    fn long_sums_keep_their_digits() {
        let x = Array::full(&[3_000_000], crate::array::Scalar::Float(0.1), crate::array::DType::F32);
        let s = reduce::<Sum, f32>(&x, &[0]).to_vec::<f32>()[0];
        assert!((s - 300_000.0).abs() < 0.6, "{s}");
        let x = Array::full(&[1_000_000, 3], crate::array::Scalar::Float(0.1), crate::array::DType::F32);
        let s = reduce::<Sum, f32>(&x, &[0]).to_vec::<f32>()[1];
        assert!((s - 100_000.0).abs() < 0.4, "{s}");
    }

    #[test]
    fn sums_down_to_broadcast_shapes() {
        let x = Array::ones(&[4, 2, 3], crate::array::DType::F64);
        assert_eq!(sum_to(&x, &[2, 1]).to_vec::<f64>(), [12.0, 12.0]);
        assert_eq!(sum_to(&x, &[]).to_vec::<f64>(), [24.0]);
        assert_eq!(sum_to(&x, &[4, 1, 3]).shape(), &[4, 1, 3]);
    }
}
