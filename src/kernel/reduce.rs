//! Reductions over any axes: sums, products, extrema.
//!
//! Whatever the axes, the work is one of two loops: rows (the reduced elements lie side by side) and columns (they lie
//! a step apart and whole rows are folded into a row of accumulators). Long folds are cut into blocks whose results
//! are combined pairwise, in an order that depends on the size alone.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]

use smallvec::SmallVec;

use crate::array::{Array, Element, Layout, Shape, size_of};
use crate::dispatch;
use crate::kernel::parallel;
use crate::kernel::simd::{Arch, Kernel, dispatch as simd_dispatch};

/// A fold with a neutral start that may be split anywhere.
pub trait Fold<T>: Send + Sync + 'static {
    /// The running value, and the type of the result.
    type Acc: Element;
    /// Where it starts.
    fn start() -> Self::Acc;
    /// One element more.
    fn step(acc: Self::Acc, x: T) -> Self::Acc;
    /// Two partial results; `a` stands before `b`.
    fn join(a: Self::Acc, b: Self::Acc) -> Self::Acc;
}

/// Independent accumulators of a row fold: enough for four vector registers of single precision.
const LANES: usize = 32;
/// Elements folded before pairwise combination.
const LEAF: usize = 1024;
/// Rows folded into a row of accumulators before pairwise combination.
const ROWS: usize = 16;

/// The shape of a reduction: which axes go and which stay.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The array's axes, those that stay first.
    order: SmallVec<[usize; 4]>,
    /// Shape of the result without the reduced axes.
    pub kept: Shape,
    /// Shape of the result with reduced axes of size one.
    pub keepdims: Shape,
    /// Number of elements that are folded into one.
    pub count: usize,
}

impl Plan {
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

    /// `x` as a row-major block (outer, count, inner): inner is one unless `x` already lies so.
    #[must_use]
    pub fn block(&self, x: &Array) -> (Array, usize, usize) {
        let split = self.kept.len();
        let reduced = &self.order[split..];
        let adjacent = reduced.windows(2).all(|w| w[1] == w[0] + 1);
        if adjacent && x.is_contiguous() {
            let first = reduced.first().copied().unwrap_or(x.ndim());
            let outer = size_of(&x.shape()[..first]);
            let inner = size_of(&x.shape()[(first + reduced.len()).min(x.ndim())..]);
            return (x.clone(), outer, inner);
        }
        let moved = x.with_layout(x.layout().permute(&self.order)).contiguous();
        (moved, size_of(&self.kept), 1)
    }

    /// `x` with the reduced axes last, row-major: `count` elements side by side make a row.
    #[must_use]
    pub fn rows(&self, x: &Array) -> Array {
        x.with_layout(x.layout().permute(&self.order)).contiguous()
    }

    /// An array like [`Plan::rows`], seen with its axes where they were.
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
#[allow(clippy::cast_precision_loss, reason = "estimates")]
pub fn reduce<R: Fold<T>, T: Element>(x: &Array, axes: &[usize]) -> Array {
    let plan = Plan::new(x.shape(), axes);
    let (block, outer, inner) = plan.block(x);
    let mut out = Array::empty(&plan.kept, R::Acc::DTYPE);
    let data = out.data_mut::<R::Acc>();
    if plan.count == 0 {
        data.fill(R::start());
        return out;
    }
    let Some(source) = block.as_slice::<T>() else { unreachable!("blocks are contiguous") };
    let count = plan.count;
    if inner == 1 && outer == 1 {
        data[0] = all::<R, T>(source);
    } else if inner == 1 {
        let rows = parallel::grain(outer, 0.3 * count as f64);
        parallel::for_each_chunk_mut(data, rows, |start, chunk| simd_dispatch(RowLoop::<R, T> { source, count, start, out: chunk }));
    } else if outer == 1 {
        let columns = parallel::grain(inner, 0.5 * count as f64).max(16);
        parallel::for_each_chunk_mut(data, columns, |start, chunk| {
            simd_dispatch(ColumnLoop::<R, T> { source, count, inner, start, out: chunk });
        });
    } else {
        let groups = parallel::grain(outer, 0.5 * (count * inner) as f64) * inner;
        parallel::for_each_chunk_mut(data, groups, |start, chunk| {
            for (k, row) in chunk.chunks_mut(inner).enumerate() {
                let first = (start / inner + k) * count * inner;
                simd_dispatch(ColumnLoop::<R, T> { source: &source[first..first + count * inner], count, inner, start: 0, out: row });
            }
        });
    }
    out
}

/// The fold of one long row, in blocks on all threads.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn all<R: Fold<T>, T: Element>(source: &[T]) -> R::Acc {
    const BLOCK: usize = 1 << 16;
    if source.len() <= BLOCK {
        return simd_dispatch(Row::<R, T>(source, std::marker::PhantomData));
    }
    let grain = parallel::grain(source.len().div_ceil(BLOCK), 0.3 * BLOCK as f64);
    let parts = parallel::map_ranges(source.len().div_ceil(BLOCK), grain, |blocks| {
        blocks
            .map(|b| simd_dispatch(Row::<R, T>(&source[b * BLOCK..source.len().min((b + 1) * BLOCK)], std::marker::PhantomData)))
            .collect::<Vec<_>>()
    });
    let mut parts: Vec<R::Acc> = parts.into_iter().flatten().collect();
    pairwise::<R, T>(&mut parts)
}

fn pairwise<R: Fold<T>, T>(parts: &mut Vec<R::Acc>) -> R::Acc {
    while parts.len() > 1 {
        *parts = parts.chunks(2).map(|p| if let [a, b] = p { R::join(*a, *b) } else { p[0] }).collect();
    }
    parts.first().copied().unwrap_or_else(R::start)
}

struct Row<'a, R, T>(&'a [T], std::marker::PhantomData<R>);

impl<R: Fold<T>, T: Element> Kernel for Row<'_, R, T> {
    type Output = R::Acc;
    #[inline(always)]
    fn run<A: Arch>(self) -> R::Acc {
        fold_row::<R, T>(self.0)
    }
}

struct RowLoop<'a, R: Fold<T>, T> {
    source: &'a [T],
    count: usize,
    start: usize,
    out: &'a mut [R::Acc],
}

impl<R: Fold<T>, T: Element> Kernel for RowLoop<'_, R, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        for (k, o) in self.out.iter_mut().enumerate() {
            let first = (self.start + k) * self.count;
            *o = fold_row::<R, T>(&self.source[first..first + self.count]);
        }
    }
}

/// A row: blocks of [`LEAF`] elements, combined pairwise through a binary counter.
#[inline(always)]
fn fold_row<R: Fold<T>, T: Element>(row: &[T]) -> R::Acc {
    if row.len() <= LEAF {
        return fold_leaf::<R, T>(row);
    }
    let mut stack = [R::start(); 48];
    let mut depth = 0;
    for (k, leaf) in row.chunks(LEAF).enumerate() {
        let mut value = fold_leaf::<R, T>(leaf);
        for _ in 0..(k + 1).trailing_zeros() {
            depth -= 1;
            value = R::join(stack[depth], value);
        }
        stack[depth] = value;
        depth += 1;
    }
    let mut value = stack[depth - 1];
    for &left in stack[..depth - 1].iter().rev() {
        value = R::join(left, value);
    }
    value
}

#[inline(always)]
fn fold_leaf<R: Fold<T>, T: Element>(row: &[T]) -> R::Acc {
    let mut acc = [R::start(); LANES];
    let mut chunks = row.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (a, &x) in acc.iter_mut().zip(chunk) {
            *a = R::step(*a, x);
        }
    }
    for (a, &x) in acc.iter_mut().zip(chunks.remainder()) {
        *a = R::step(*a, x);
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            acc[i] = R::join(acc[i], acc[i + width]);
        }
    }
    acc[0]
}

struct ColumnLoop<'a, R: Fold<T>, T> {
    source: &'a [T],
    count: usize,
    inner: usize,
    start: usize,
    out: &'a mut [R::Acc],
}

impl<R: Fold<T>, T: Element> Kernel for ColumnLoop<'_, R, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { source, count, inner, start, out } = self;
        let width = out.len();
        let fold = |first: usize, last: usize, acc: &mut [R::Acc]| {
            for row in first..last {
                let at = row * inner + start;
                for (a, &x) in acc.iter_mut().zip(&source[at..at + width]) {
                    *a = R::step(*a, x);
                }
            }
        };
        out.fill(R::start());
        if count <= ROWS {
            return fold(0, count, out);
        }
        // Blocks of rows, combined pairwise through a binary counter like the leaves of a row.
        let (mut stack, mut spare) = (Vec::<Vec<R::Acc>>::new(), Vec::<Vec<R::Acc>>::new());
        for (k, first) in (0..count).step_by(ROWS).enumerate() {
            let mut part = spare.pop().unwrap_or_else(|| vec![R::start(); width]);
            part.fill(R::start());
            fold(first, (first + ROWS).min(count), &mut part);
            for mut left in stack.drain(stack.len() - (k + 1).trailing_zeros() as usize..).rev() {
                join_rows::<R, T>(&mut left, &part);
                spare.push(std::mem::replace(&mut part, left));
            }
            stack.push(part);
        }
        while let Some(part) = stack.pop() {
            let left: &mut [R::Acc] = stack.last_mut().map_or(&mut *out, |left| left);
            join_rows::<R, T>(left, &part);
        }
    }
}

#[inline(always)]
fn join_rows<R: Fold<T>, T: Element>(out: &mut [R::Acc], part: &[R::Acc]) {
    for (o, &p) in out.iter_mut().zip(part) {
        *o = R::join(*o, p);
    }
}

macro_rules! fold {
    ($(#[$doc:meta])* $name:ident, $start:expr, $op:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        fold!(@impl $name, f32, f32, $start, $op);
        fold!(@impl $name, f64, f64, $start, $op);
    };
    (@impl $name:ident, $t:ty, $acc:ty, $start:expr, $op:expr) => {
        impl Fold<$t> for $name {
            type Acc = $acc;
            #[inline(always)]
            fn start() -> $acc {
                $start
            }
            #[inline(always)]
            fn step(a: $acc, x: $t) -> $acc {
                let f: fn($acc, $acc) -> $acc = $op;
                f(a, <$acc>::from(x))
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
    /// Sums; integers and bools add up in 64 bits.
    Sum, 0.0, |a, b| a + b
);
fold!(@impl Sum, i64, i64, 0, |a, b| a.wrapping_add(b));
fold!(@impl Sum, i32, i64, 0, |a, b| a.wrapping_add(b));
fold!(@impl Sum, u8, i64, 0, |a, b| a.wrapping_add(b));
fold!(@impl Sum, bool, i64, 0, |a, b| a.wrapping_add(b));
fold!(
    /// Products; integers and bools multiply in 64 bits.
    Prod, 1.0, |a, b| a * b
);
fold!(@impl Prod, i64, i64, 1, |a, b| a.wrapping_mul(b));
fold!(@impl Prod, i32, i64, 1, |a, b| a.wrapping_mul(b));
fold!(@impl Prod, u8, i64, 1, |a, b| a.wrapping_mul(b));
fold!(@impl Prod, bool, i64, 1, |a, b| a.wrapping_mul(b));

/// `x` summed down to `shape`, which broadcasts to `x`'s.
///
/// # Panics
/// When the dtype is not floating: a bug of the caller.
#[must_use]
pub fn sum_to(x: &Array, shape: &[usize]) -> Array {
    let lead = x.ndim() - shape.len();
    let axes: SmallVec<[usize; 4]> = (0..x.ndim()).filter(|&a| a < lead || (shape[a - lead] == 1 && x.shape()[a] != 1)).collect();
    let out = dispatch!(float x.dtype(), T => reduce::<Sum, T>(x, &axes), else unreachable!("gradients are floating"));
    out.with_layout(Layout::contiguous(shape))
}

#[cfg(test)]
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
