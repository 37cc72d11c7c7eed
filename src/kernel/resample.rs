//! Sparse linear maps along single axes: interpolation, sums over windows, padding, and their transposes.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]

use crate::array::{Array, Element, Shape, alloc_check, size_of};
use crate::dispatch;
use crate::kernel::math::{Real, fma};
use crate::kernel::parallel;
use crate::kernel::simd::{Arch, Kernel, dispatch};
use serde::{Deserialize, Serialize};

/// A sparse matrix: row o says of which elements of an axis output o is a weighted sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Size of the input axis.
    size: usize,
    /// Where the entries of each row begin, and the end of the last.
    starts: Vec<usize>,
    /// Positions in the input axis, and weights.
    entries: Vec<(usize, f64)>,
}

impl Table {
    /// A table of rows, each a list of positions below `size` and weights.
    ///
    /// # Panics
    /// When a position is not below `size`: a bug of the caller.
    #[must_use]
    pub fn new<R: IntoIterator<Item = (usize, f64)>>(size: usize, rows: impl IntoIterator<Item = R>) -> Self {
        let (mut starts, mut entries) = (vec![0], Vec::new());
        for row in rows {
            for entry in row {
                alloc_check::push(&mut entries, entry);
            }
            alloc_check::push(&mut starts, entries.len());
        }
        assert!(entries.iter().all(|(i, _)| *i < size), "a table reads inside its axis");
        Self { size, starts, entries }
    }

    /// Each output is the element at its position, or zero.
    #[must_use]
    pub fn of_places(size: usize, places: impl IntoIterator<Item = Option<usize>>) -> Self {
        Self::new(size, places.into_iter().map(|p| p.map(|i| (i, 1.0))))
    }

    /// Size of the input axis.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.size
    }

    /// Size of the output axis.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.starts.len() - 1
    }

    /// The positions and weights of output `o`.
    #[inline]
    #[must_use]
    pub fn row(&self, o: usize) -> &[(usize, f64)] {
        &self.entries[self.starts[o]..self.starts[o + 1]]
    }

    /// The transpose. The entries of each row are in the order of the outputs.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let mut starts = alloc_check::filled(0, self.size + 1);
        for (i, _) in &self.entries {
            starts[i + 1] += 1;
        }
        (0..self.size).for_each(|i| starts[i + 1] += starts[i]);
        let (mut next, mut entries) = (starts.clone(), alloc_check::filled((0, 0.0), self.entries.len()));
        for o in 0..self.outputs() {
            for (i, w) in self.row(o) {
                entries[next[*i]] = (o, *w);
                next[*i] += 1;
            }
        }
        Self { size: self.outputs(), starts, entries }
    }
}

/// Applies a table along each of the last axes of `x`.
///
/// # Panics
/// When a table does not fit its axis or the dtype is not floating: bugs of the caller.
#[must_use]
pub fn resample(x: &Array, tables: &[Table]) -> Array {
    let first = x.ndim() - tables.len();
    // Axes that become shorter come first, so that later axes have less work. Among equals, the first axis comes first.
    #[allow(clippy::cast_precision_loss, reason = "a ratio to sort by")]
    let growth = |i: &usize| tables[*i].outputs() as f64 / tables[*i].inputs().max(1) as f64;
    let mut order: Vec<usize> = (0..tables.len()).collect();
    order.sort_by(|a, b| growth(a).total_cmp(&growth(b)));
    let mut out = x.contiguous();
    for i in order {
        out = along(&out, first + i, &tables[i]);
    }
    out
}

fn along(x: &Array, axis: usize, table: &Table) -> Array {
    let mut shape = Shape::from_slice(x.shape());
    assert_eq!(shape[axis], table.inputs(), "a table fits its axis");
    let inner = size_of(&shape[axis + 1..]);
    shape[axis] = table.outputs();
    let mut out = Array::empty(&shape, x.dtype());
    dispatch!(float x.dtype(), T => planes::<T>(x.as_slice().unwrap_or_default(), table, inner, out.data_mut()),
        else unreachable!("tables are applied to floating dtypes"));
    out
}

#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn planes<T: Real + Element>(x: &[T], table: &Table, inner: usize, out: &mut [T]) {
    let (read, write) = (table.inputs() * inner, table.outputs() * inner);
    if write == 0 {
        return;
    }
    let cost = (table.entries.len() * inner) as f64 * if inner > 1 { 0.2 } else { 1.0 } + (table.outputs() + write) as f64;
    parallel::for_each_chunk_mut(out, parallel::grain(out.len() / write, cost) * write, |start, chunk| {
        let first = start / write;
        dispatch(Planes { x: &x[first * read..], table, inner, out: chunk });
    });
}

struct Planes<'a, T> {
    x: &'a [T],
    table: &'a Table,
    inner: usize,
    out: &'a mut [T],
}

impl<T: Real + Element> Kernel for Planes<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, table, inner, out } = self;
        let (read, write) = (table.inputs() * inner, table.outputs() * inner);
        for (i, out) in out.chunks_exact_mut(write).enumerate() {
            let x = &x[i * read..(i + 1) * read];
            if inner == 1 {
                for (o, out) in out.iter_mut().enumerate() {
                    *out = table.row(o).iter().fold(T::lit(0.0), |sum, (i, w)| fma::<T, A>(T::lit(*w), x[*i], sum));
                }
            } else {
                for (o, out) in out.chunks_exact_mut(inner).enumerate() {
                    mix::<T, A>(x, table.row(o), out);
                }
            }
        }
    }
}

/// A weighted sum of rows.
#[inline(always)]
fn mix<T: Real, A: Arch>(x: &[T], entries: &[(usize, f64)], out: &mut [T]) {
    let n = out.len();
    let row = |i: usize| &x[i * n..(i + 1) * n];
    match entries {
        [] => out.fill(T::lit(0.0)),
        #[allow(clippy::float_cmp, reason = "a weight of exactly one")]
        [(i, w)] if *w == 1.0 => out.copy_from_slice(row(*i)),
        [(i, a), (j, b), rest @ ..] => {
            let (a, b) = (T::lit(*a), T::lit(*b));
            out.iter_mut().zip(row(*i).iter().zip(row(*j))).for_each(|(o, (x, y))| *o = fma::<T, A>(b, *y, a * *x));
            for (i, w) in rest {
                add::<T, A>(T::lit(*w), row(*i), out);
            }
        }
        [(i, w)] => {
            let w = T::lit(*w);
            out.iter_mut().zip(row(*i)).for_each(|(o, x)| *o = w * *x);
        }
    }
}

#[inline(always)]
fn add<T: Real, A: Arch>(w: T, x: &[T], out: &mut [T]) {
    out.iter_mut().zip(x).for_each(|(o, x)| *o = fma::<T, A>(w, *x, *o));
}

/// Elements at positions along each of the last axes, and `fill` where there is no position, for any dtype.
#[must_use]
pub fn pick_places<T: Element>(x: &Array, places: &[Vec<Option<usize>>], fill: T) -> Array {
    let first = x.ndim() - places.len();
    let mut out = x.contiguous();
    for (i, places) in places.iter().enumerate() {
        let (axis, old) = (first + i, out);
        let mut shape = Shape::from_slice(old.shape());
        let (n, inner) = (shape[axis], size_of(&shape[axis + 1..]));
        shape[axis] = places.len();
        out = Array::empty(&shape, x.dtype());
        let (from, row) = (old.as_slice::<T>().unwrap_or_default(), places.len() * inner);
        if row == 0 || inner == 0 {
            continue;
        }
        for (k, out) in out.data_mut::<T>().chunks_exact_mut(row).enumerate() {
            let from = &from[k * n * inner..(k + 1) * n * inner];
            for (out, place) in out.chunks_exact_mut(inner).zip(places) {
                match place {
                    Some(i) => out.copy_from_slice(&from[i * inner..(i + 1) * inner]),
                    None => out.fill(fill),
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_its_transpose() {
        let t = Table::new(3, [vec![(0, 0.5), (1, 0.5)], vec![(2, 2.0)], vec![], vec![(1, 1.0)]]);
        let x = Array::from_slice(&[1.0, 3.0, 10.0, 2.0, 4.0, 20.0], &[2, 3]);
        let y = resample(&x, std::slice::from_ref(&t));
        assert_eq!(y.to_vec::<f64>(), [2.0, 20.0, 0.0, 3.0, 3.0, 40.0, 0.0, 4.0]);
        let back = resample(&y, &[t.transposed()]);
        assert_eq!(back.to_vec::<f64>(), [1.0, 4.0, 40.0, 1.5, 5.5, 80.0]);
        assert_eq!(t.transposed().transposed(), t);
        let columns = resample(&x.with_layout(x.layout().permute(&[1, 0])), &[t.clone(), Table::of_places(2, [Some(1), None])]);
        assert_eq!(columns.to_vec::<f64>(), [3.0, 0.0, 40.0, 0.0, 0.0, 0.0, 4.0, 0.0]);
        let picked = pick_places(&Array::from_slice(&[1_i64, 2, 3, 4], &[2, 2]), &[vec![Some(1), None], vec![None, Some(0)]], 9_i64);
        assert_eq!(picked.to_vec::<i64>(), [9, 3, 9, 9]);
    }
}
