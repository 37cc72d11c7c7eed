//! Reading and writing at positions given by an array of indices.
//!
//! Some axes of an array are indexed together: a row number is the row-major index of a cell of these axes, and each row number selects a
//! block of the remaining axes. Loops process row numbers in order, so repeated row numbers add up (or overwrite each other) in the same
//! order for any number of threads.

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

use smallvec::SmallVec;

use crate::array::{Array, Cursor, Layout, Plain, Shape, alloc_check, size_of};
use crate::dispatch;
use crate::kernel::cast::in_single;
use crate::kernel::parallel;

/// The row number of no cell: reading gives zero, and writing does nothing.
pub const SKIP: i64 = -1;
/// The most chunks of a target that are written in parallel. Each looks through all row numbers, so there is one for each thread; the order
/// of the additions to an element does not depend on their number.
const CHUNKS: usize = 16;

/// Which axes are indexed, and where the axes of the row numbers are inserted among the remaining axes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// Shape of the array.
    pub shape: Shape,
    /// The indexed axes, distinct, in the order in which row numbers count them.
    pub axes: SmallVec<[usize; 4]>,
    /// How many of the remaining axes come before those of the row numbers.
    pub place: usize,
}

impl Places {
    /// The axes that are not indexed.
    #[must_use]
    pub fn kept(&self) -> SmallVec<[usize; 4]> {
        (0..self.shape.len()).filter(|a| !self.axes.contains(a)).collect()
    }

    /// Number of cells of the indexed axes.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.axes.iter().map(|&a| self.shape[a]).product()
    }

    /// Shape of the blocks at row numbers of shape `rows`.
    #[must_use]
    pub fn out_shape(&self, rows: &[usize]) -> Shape {
        let kept = self.kept();
        let (before, after) = kept.split_at(self.place);
        let size = |&a: &usize| self.shape[a];
        before.iter().map(size).chain(rows.iter().copied()).chain(after.iter().map(size)).collect()
    }

    /// The axes in the order: before the row numbers, indexed, after.
    fn order(&self) -> SmallVec<[usize; 4]> {
        let kept = self.kept();
        let (before, after) = kept.split_at(self.place);
        before.iter().chain(&self.axes).chain(after).copied().collect()
    }
}

/// Where the blocks of a layout are.
struct Blocks {
    base: isize,
    before: Vec<isize>,
    indexed: SmallVec<[(usize, isize); 4]>,
    after: Vec<isize>,
    /// Whether the elements of a block are contiguous.
    dense: bool,
}

impl Blocks {
    fn new(layout: &Layout, places: &Places) -> Self {
        let kept = places.kept();
        let (before, after) = kept.split_at(places.place);
        let part = |axes: &[usize]| {
            let axes = axes.iter();
            let (shape, strides): (Shape, SmallVec<[isize; 4]>) = axes.map(|&a| (layout.shape()[a], layout.strides()[a])).unzip();
            Layout::strided(&shape, &strides, 0)
        };
        let after_layout = part(after);
        Self {
            base: layout.offset().cast_signed(),
            before: offsets(&part(before)),
            indexed: part(&places.axes).coalesced(),
            after: offsets(&after_layout),
            dense: after_layout.is_contiguous(),
        }
    }

    /// Distance of a row from the base of the block.
    #[inline]
    fn row(&self, row: i64) -> isize {
        let row = place(row);
        match self.indexed.as_slice() {
            [] => 0,
            [(_, step)] => row * step,
            [rest @ .., (n, step)] => {
                let mut at = (row % n.cast_signed()) * step;
                let mut left = row / n.cast_signed();
                for (n, step) in rest.iter().rev() {
                    at += (left % n.cast_signed()) * step;
                    left /= n.cast_signed();
                }
                at
            }
        }
    }
}

/// A row number as a number of elements.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "row numbers are in range, which is checked when they are made")]
fn place(row: i64) -> isize {
    row as isize
}

/// Indices of all elements relative to the first.
fn offsets(layout: &Layout) -> Vec<isize> {
    let mut out = alloc_check::collect([0_isize]);
    for (&n, &s) in layout.shape().iter().zip(layout.strides()) {
        let mut next = alloc_check::with_capacity(out.len() * n);
        next.extend(out.iter().flat_map(|&o| (0..n.cast_signed()).map(move |i| o + i * s)));
        out = next;
    }
    out
}

/// The blocks of `x` at the row numbers `rows`, in an array of [`Places::out_shape`].
///
/// # Panics
/// When a row number is out of range: row numbers are checked when they are made.
#[must_use]
pub fn gather(x: &Array, places: &Places, rows: &Array) -> Array {
    let mut out = Array::empty(&places.out_shape(rows.shape()), x.dtype());
    if out.size() > 0 {
        let rows = rows.contiguous();
        dispatch!(bits x.dtype(), T => read::<T>(x, &Blocks::new(x.layout(), places), numbers(&rows), out.data_mut()));
    }
    out
}

fn numbers(rows: &Array) -> &[i64] {
    rows.as_slice().unwrap_or_else(|| unreachable!("row numbers are contiguous"))
}

fn read<T: Plain>(x: &Array, blocks: &Blocks, rows: &[i64], out: &mut [T]) {
    let (data, width) = (x.raw::<T>(), blocks.after.len());
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    let grain = parallel::grain(out.len() / width, 3.0 + 0.3 * width as f64);
    parallel::for_each_chunk_mut(out, grain * width, |start, chunk| {
        let (mut i, mut j) = (start / width / rows.len(), start / width % rows.len());
        for out in chunk.chunks_exact_mut(width) {
            let at = blocks.base + blocks.before[i] + blocks.row(rows[j].max(0));
            match out {
                out if rows[j] == SKIP => out.fill(T::default()),
                [out] => *out = data[at.cast_unsigned()],
                out if blocks.dense => out.copy_from_slice(&data[at.cast_unsigned()..at.cast_unsigned() + width]),
                out => out.iter_mut().zip(&blocks.after).for_each(|(o, p)| *o = data[(at + p).cast_unsigned()]),
            }
            j += 1;
            if j == rows.len() {
                (i, j) = (i + 1, 0);
            }
        }
    });
}

/// Values to write: one per element of each block, or one for all.
enum Values<'a, T> {
    All(&'a [T]),
    One(T),
}

/// Overwrites the blocks of `target` at `rows` with `values`, broadcast to [`Places::out_shape`]. If rows are repeated, the last value is
/// kept. In place when the target is unshared.
///
/// # Panics
/// When dtypes differ, values do not broadcast or a row is out of range: bugs of the caller.
pub fn put(target: &mut Array, places: &Places, rows: &Array, values: &Array) {
    dispatch!(bits target.dtype(), T => update::<T>(target, places, rows, values, |old, new| *old = new));
}

/// Adds `values`, broadcast to [`Places::out_shape`], to the blocks of `target` at `rows`. Repeated rows add up; integers wrap around.
///
/// # Panics
/// As [`put`], and when the dtype is bool.
pub fn add(target: &mut Array, places: &Places, rows: &Array, values: &Array) {
    dispatch!(inexact target.dtype(), T => update::<T>(target, places, rows, values, T::add_assign),
        else dispatch!(integer target.dtype(), T => update::<T>(target, places, rows, values, |sum, v| *sum = sum.wrapping_add(v)),
            else in_single(target, values, |target, values| add(target, places, rows, values))));
}

/// Zeros of the shape of `places`, to which `values` are added at `rows`: the transpose of [`gather`].
#[must_use]
pub fn index_add(places: &Places, rows: &Array, values: &Array) -> Array {
    // With the indexed axes in front, every block is contiguous. A view restores the order of axes.
    let order = places.order();
    let shape: Shape = order.iter().map(|&a| places.shape[a]).collect();
    let axes = (places.place..places.place + places.axes.len()).collect();
    let mut out = Array::zeros(&shape, values.dtype());
    add(&mut out, &Places { shape, axes, place: places.place }, rows, values);
    let mut back: SmallVec<[usize; 4]> = SmallVec::from_elem(0, order.len());
    order.iter().enumerate().for_each(|(i, &a)| back[a] = i);
    out.with_layout(out.layout().permute(&back))
}

fn update<T: Plain>(target: &mut Array, places: &Places, rows: &Array, values: &Array, f: impl Fn(&mut T, T) + Sync) {
    assert_eq!(target.dtype(), values.dtype(), "values are cast before they are written");
    let shape = places.out_shape(rows.shape());
    if size_of(&shape) == 0 {
        return;
    }
    let Ok(layout) = values.layout().broadcast_to("write", &shape) else { unreachable!("values are checked before they are written") };
    let (rows, one) = (rows.contiguous(), values.size() == 1);
    let all = if one { values.clone() } else { values.with_layout(layout).contiguous() };
    let values = match all.as_slice::<T>() {
        Some(data) if !one => Values::All(data),
        _ => Values::One(all.raw::<T>()[all.layout().offset()]),
    };
    let (data, layout) = target.raw_mut::<T>();
    let in_order = places.order().iter().enumerate().all(|(i, &a)| i == a);
    if in_order && layout.is_contiguous() {
        let n = layout.size();
        let data = &mut data[layout.offset()..layout.offset() + n];
        return update_dense(data, places, numbers(&rows), &values, f);
    }
    update_any(data, &Blocks::new(layout, places), numbers(&rows), &values, f);
}

/// Contiguous blocks: each thread takes a range of the target and looks for rows within it.
fn update_dense<T: Plain>(data: &mut [T], places: &Places, rows: &[i64], values: &Values<'_, T>, f: impl Fn(&mut T, T) + Sync) {
    let count = places.rows();
    let kept = places.kept();
    let width: usize = kept[places.place..].iter().map(|&a| places.shape[a]).product();
    let total = data.len() / width;
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    let cost = (3.0 + 0.5 * width as f64) * rows.len() as f64 / count as f64;
    let grain = parallel::grain(total, cost).max(total.div_ceil(parallel::num_threads().clamp(1, CHUNKS)));
    parallel::for_each_chunk_mut(data, grain * width, |start, chunk| {
        let (low, high) = (start / width, (start + chunk.len()) / width);
        for i in low / count..high.div_ceil(count) {
            for (j, &row) in rows.iter().enumerate() {
                if row == SKIP {
                    continue;
                }
                let at = i * count + place(row).cast_unsigned();
                if (low..high).contains(&at) {
                    let to = &mut chunk[(at - low) * width..(at - low + 1) * width];
                    combine(to, values, (i * rows.len() + j) * width, &f);
                }
            }
        }
    });
}

#[inline]
fn combine<T: Plain>(to: &mut [T], values: &Values<'_, T>, from: usize, f: &impl Fn(&mut T, T)) {
    match values {
        Values::One(v) => to.iter_mut().for_each(|t| f(t, *v)),
        Values::All(data) => to.iter_mut().zip(&data[from..]).for_each(|(t, v)| f(t, *v)),
    }
}

fn update_any<T: Plain>(data: &mut [T], blocks: &Blocks, rows: &[i64], values: &Values<'_, T>, f: impl Fn(&mut T, T)) {
    let mut from = 0;
    for before in &blocks.before {
        for &row in rows {
            if row != SKIP {
                let at = blocks.base + before + blocks.row(row);
                for (k, p) in blocks.after.iter().enumerate() {
                    let v = if let Values::All(all) = values { all[from + k] } else { one(values) };
                    f(&mut data[(at + p).cast_unsigned()], v);
                }
            }
            from += blocks.after.len();
        }
    }
}

fn one<T: Copy>(values: &Values<'_, T>) -> T {
    match values {
        Values::One(v) => *v,
        Values::All(all) => all[0],
    }
}

/// The row numbers of the true elements of a mask, in row-major order.
#[must_use]
pub fn nonzero(mask: &Array) -> Vec<i64> {
    let (data, mut k, mut out) = (mask.raw::<bool>(), 0_i64, Vec::new());
    Cursor::new(mask.layout()).for_each(|p| {
        if data[p] {
            alloc_check::push(&mut out, k);
        }
        k += 1;
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arange(shape: &[usize]) -> Array {
        Array::from_slice(&(0_i32..).take(size_of(shape)).map(f64::from).collect::<Vec<_>>(), shape)
    }

    fn places(shape: &[usize], axes: &[usize], place: usize) -> Places {
        Places { shape: Shape::from_slice(shape), axes: axes.iter().copied().collect(), place }
    }

    #[test]
    fn nowhere_reads_zero_and_writes_nothing() {
        let (x, at) = (arange(&[2, 3]), places(&[2, 3], &[1], 1));
        let rows = Array::from_slice(&[2, SKIP, 2], &[3]);
        assert_eq!(gather(&x, &at, &rows).to_vec::<f64>(), [2.0, 0.0, 2.0, 5.0, 0.0, 5.0]);
        assert_eq!(index_add(&at, &rows, &x).to_vec::<f64>(), [0.0, 0.0, 2.0, 0.0, 0.0, 8.0]);
        let mut y = x.clone();
        put(&mut y, &at, &rows, &arange(&[1]));
        assert_eq!(y.to_vec::<f64>(), [0.0, 1.0, 0.0, 3.0, 4.0, 0.0]);
        assert_eq!(x.to_vec::<f64>(), arange(&[2, 3]).to_vec::<f64>(), "another holder keeps its values");
    }

    #[test]
    fn reading_and_adding_are_transposes_for_any_number_of_chunks() {
        // <gather(x), g> = <x, index_add(g)>, exactly: the numbers are small integers.
        let shape = [3, 700, 2, 40];
        let x = arange(&shape);
        let dot = |a: &Array, b: &Array| a.to_vec::<f64>().iter().zip(b.to_vec::<f64>()).map(|(a, b)| a * b).sum::<f64>();
        for (axes, place) in [(&[1][..], 1), (&[1, 3], 0), (&[3, 0], 2), (&[0, 1, 2, 3], 0), (&[], 2)] {
            let at = places(&shape, axes, place);
            let count = i64::try_from(at.rows()).unwrap();
            let rows = Array::from_slice(&(0..500).map(|i| i * i % count).collect::<Vec<_>>(), &[500]);
            let y = gather(&x, &at, &rows);
            let g = crate::kernel::blocks::map([(&y).into()], y.shape(), |[v]: [f64; 1]| v % 3.0);
            let (left, right) = (dot(&y, &g), dot(&x, &index_add(&at, &rows, &g)));
            assert!((left - right).abs() < 0.5, "{axes:?} {place}: {left} {right}");
        }
    }
}
