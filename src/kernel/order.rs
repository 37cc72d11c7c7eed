//! Order along an axis: sorting, ranks, running extrema, search in sorted arrays.
//!
//! Everything works on keys: integers in the order of the elements. NaN has the largest key, and both zeros have the same. Keys are sorted
//! together with positions, so equal elements keep their order.
#![allow(clippy::comparison_chain, clippy::needless_for_each, reason = "shorter, and as quick")]

use std::cmp::Ordering;

use smallvec::SmallVec;

use crate::array::{Array, DType, Element, Scalar, Shape, alloc_check};
use crate::dispatch;
use crate::kernel::parallel;
use crate::kernel::radix::{Scratch, Sortable};
use crate::kernel::reduce::ReducePlan;

/// The key of NaN: the largest.
const NAN: u64 = u64::MAX;

/// The key of an element. Complex numbers have no order.
#[inline]
fn key<T: Element>(x: T) -> u64 {
    const SIGN: u64 = 1 << 63;
    match x.to_scalar() {
        Scalar::Bool(b) => u64::from(b),
        Scalar::Int(i) if T::DTYPE == DType::U64 => i.cast_unsigned(),
        Scalar::Int(i) => i.cast_unsigned() ^ SIGN,
        Scalar::UInt(i) => i,
        Scalar::Float(x) if x.is_nan() => NAN,
        // Adding zero turns -0.0 into 0.0.
        Scalar::Float(x) => {
            let bits = (x + 0.0).to_bits();
            if bits & SIGN == 0 { bits ^ SIGN } else { !bits }
        }
        Scalar::Complex(_) => unreachable!("complex numbers are refused before"),
    }
}

/// The key in descending order. NaN still has the largest.
#[inline]
fn descending_key(key: u64, has_nan: bool) -> u64 {
    match () {
        () if !has_nan => !key,
        () if key == NAN => NAN,
        () => NAN - 1 - key,
    }
}

/// An element's key and position.
type Keyed = (u64, u32);

/// Computes positions from the keys of a row.
type RowBody<'a> = &'a (dyn Fn(&mut [Keyed], &mut [i64]) + Sync);

/// Calls `body` with the keyed elements of every row along `axis`. It writes `width` positions, which are along that axis of the result.
fn by_rows(x: &Array, axis: usize, width: usize, cost: f64, flip: bool, body: RowBody<'_>) -> Array {
    let plan = ReducePlan::new(x.shape(), &[axis]);
    let (rows, count, x_is_float) = (plan.rows(x), plan.count, x.dtype().is_float());
    let shape: Shape = plan.kept.iter().copied().chain([width]).collect();
    let mut out = Array::empty(&shape, DType::I64);
    if out.size() > 0 {
        dispatch!(real x.dtype(), T => {
            let Some(data) = rows.as_slice::<T>() else { unreachable!("rows are contiguous") };
            let grain = parallel::grain(data.len() / count.max(1), cost * weight(count)).max(1);
            parallel::for_each_chunk_mut(out.data_mut::<i64>(), grain * width, |start, chunk| {
                let mut keyed: Vec<Keyed> = alloc_check::with_capacity(count);
                for (i, out) in chunk.chunks_exact_mut(width).enumerate() {
                    let first = (start / width + i) * count;
                    keyed.clear();
                    keyed.extend((0_u32..).zip(&data[first..first + count]).map(|(k, &x)| {
                        let key = key(x);
                        (if flip { descending_key(key, x_is_float) } else { key }, k)
                    }));
                    body(&mut keyed, out);
                }
            });
        }, else unreachable!("complex numbers are refused before"));
    }
    last_axis_to(&out, axis)
}

#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn weight(count: usize) -> f64 {
    count as f64
}

/// The array with its last axis moved to `axis`.
#[must_use]
pub fn last_axis_to(x: &Array, axis: usize) -> Array {
    let last = x.ndim() - 1;
    let order: SmallVec<[usize; 4]> = (0..x.ndim())
        .map(|a| {
            if a < axis {
                a
            } else if a == axis {
                last
            } else {
                a - 1
            }
        })
        .collect();
    x.with_layout(x.layout().permute(&order)).contiguous()
}

/// The positions that sort `x` along `axis`. Equal elements keep their order, and NaN comes last.
#[must_use]
pub fn argsort(x: &Array, axis: usize, descending: bool) -> Array {
    let n = x.shape()[axis];
    by_rows(x, axis, n, 30.0, descending, &|keyed, out| {
        keyed.sort_unstable();
        out.iter_mut().zip(keyed).for_each(|(o, (_, k))| *o = i64::from(*k));
    })
}

/// The elements of `x` sorted along `axis`, in the order of [`argsort`].
#[must_use]
pub fn sorted(x: &Array, axis: usize, descending: bool) -> Array {
    let plan = ReducePlan::new(x.shape(), &[axis]);
    let (rows, count) = (plan.rows(x), plan.count);
    let shape: Shape = plan.kept.iter().copied().chain([count]).collect();
    dispatch!(real x.dtype(), T => {
        let Some(data) = rows.as_slice::<T>() else { unreachable!("rows are contiguous") };
        let mut out = Array::empty(&shape, x.dtype());
        if out.size() > 0 {
            let grain = parallel::grain(data.len() / count, 10.0 * weight(count)).max(1);
            parallel::for_each_chunk_mut(out.data_mut::<T>(), grain * count, |start, chunk| {
                chunk.copy_from_slice(&data[start..start + chunk.len()]);
                let mut scratch = Scratch::new(&chunk[..count]);
                chunk.chunks_exact_mut(count).for_each(|row| scratch.sort(row, descending));
            });
        }
        last_axis_to(&out, axis)
    }, else unreachable!("complex numbers are refused before"))
}

/// The distinct elements of `x` in ascending order, as a 1-d array. NaN equals NaN if `equal_nan`.
#[must_use]
pub fn distinct(x: &Array, equal_nan: bool) -> Array {
    let (x, is_float) = (x.contiguous(), x.dtype().is_float());
    dispatch!(real x.dtype(), T => {
        let mut all: Vec<T> = alloc_check::copied(x.as_slice::<T>().unwrap_or_default());
        Scratch::new(&all).sort(&mut all, false);
        let is_nan = |v: T| is_float && key(v) == NAN;
        all.dedup_by(|next, last| next.number() == last.number() && (equal_nan || !is_nan(*next)));
        Array::from_slice(&all, &[all.len()])
    }, else unreachable!("complex numbers are seen as pairs"))
}

/// The positions along `axis` of the elements with the given `ranks`, which are sorted, distinct and in range. NaN comes last.
#[must_use]
pub fn ranked(x: &Array, axis: usize, ranks: &[usize]) -> Array {
    by_rows(x, axis, ranks.len(), 10.0, false, &|keyed, out| {
        let mut from = 0;
        for (o, &rank) in out.iter_mut().zip(ranks) {
            let (_, (_, k), _) = keyed[from..].select_nth_unstable(rank - from);
            *o = i64::from(*k);
            from = rank;
        }
    })
}

/// The positions along `axis` of the `k` largest elements in descending order, or of the smallest in ascending order. NaN counts as the
/// largest.
#[must_use]
pub fn top(x: &Array, axis: usize, k: usize, largest: bool) -> Array {
    by_rows(x, axis, k, 10.0, false, &|keyed, out| {
        if largest {
            // This cannot overflow: the largest key becomes zero.
            keyed.iter_mut().for_each(|(key, _)| *key = NAN - *key);
        }
        if k < keyed.len() {
            keyed.select_nth_unstable(k);
        }
        keyed[..k].sort_unstable();
        out.iter_mut().zip(keyed).for_each(|(o, (_, k))| *o = i64::from(*k));
    })
}

/// The positions of a partition: the elements with the given `ranks` (sorted) are where they would be in sorted order, with smaller
/// elements before and larger ones after them.
#[must_use]
pub fn partitioned(x: &Array, axis: usize, ranks: &[usize]) -> Array {
    let n = x.shape()[axis];
    by_rows(x, axis, n, 10.0, false, &|keyed, out| {
        let mut from = 0;
        for &rank in ranks {
            keyed[from..].select_nth_unstable(rank - from);
            from = rank;
        }
        out.iter_mut().zip(keyed).for_each(|(o, (_, k))| *o = i64::from(*k));
    })
}

/// For every element, the position of the largest (or smallest) element up to it along `axis`: the last among equals, and the first NaN.
#[must_use]
pub fn running_extremum(x: &Array, axis: usize, largest: bool) -> Array {
    let (n, has_nan) = (x.shape()[axis], x.dtype().is_float());
    by_rows(x, axis, n, 2.0, false, &|keyed, out| {
        let mut best: Option<Keyed> = None;
        for (o, &(key, k)) in out.iter_mut().zip(keyed.iter()) {
            let better = best.is_none_or(|(b, _)| {
                let (was, is) = (has_nan && b == NAN, has_nan && key == NAN);
                !was && (is || if largest { key >= b } else { key <= b })
            });
            if better {
                best = Some((key, k));
            }
            *o = best.map_or(0, |(_, k)| i64::from(k));
        }
    })
}

/// For each element of `x`, how many elements of the sorted rows of `sorted` (its last axis) are less than it, or not greater with `right`.
/// There is one row for all, or one for each row of `x`. Both have the same dtype.
#[must_use]
pub fn searchsorted(sorted: &Array, x: &Array, right: bool) -> Array {
    let (sorted, x) = (sorted.contiguous(), x.contiguous());
    let n = sorted.shape().last().copied().unwrap_or(0);
    let width = if sorted.ndim() > 1 { x.shape().last().copied().unwrap_or(1).max(1) } else { x.size().max(1) };
    let mut out = Array::empty(x.shape(), DType::I64);
    dispatch!(real x.dtype(), T => {
        let (Some(all), Some(values)) = (sorted.as_slice::<T>(), x.as_slice::<T>()) else { unreachable!("both are contiguous") };
        let keys: Vec<u64> = alloc_check::collect(all.iter().map(|&v| key(v)));
        let grain = parallel::grain(values.len(), 5.0 * weight(n.max(2)).log2());
        parallel::for_each_chunk_mut(out.data_mut::<i64>(), grain, |start, chunk| {
            for (i, places) in chunk.chunks_mut(SEARCHES).enumerate() {
                let first = start + i * SEARCHES;
                search(&keys, n, right, places, |j| ((first + j) / width * n, key(values[first + j])));
            }
        });
    }, else unreachable!("complex numbers are refused before"));
    out
}

/// Searches that run side by side, because each waits for memory most of the time.
const SEARCHES: usize = 8;

/// Binary searches in rows of `n` sorted keys, side by side. `wanted` returns the start of the row and the key of each search.
fn search(keys: &[u64], n: usize, right: bool, places: &mut [i64], wanted: impl Fn(usize) -> (usize, u64)) {
    let (mut base, mut key, mut start) = ([0; SEARCHES], [0; SEARCHES], [0; SEARCHES]);
    for j in 0..places.len() {
        (start[j], key[j]) = wanted(j);
        base[j] = start[j];
    }
    let is_before = |k: u64, key: u64| k < key || (right && k == key);
    let mut left = n;
    while left > 1 {
        let half = left / 2;
        for j in 0..places.len() {
            base[j] += if is_before(keys[base[j] + half - 1], key[j]) { half } else { 0 };
        }
        left -= half;
    }
    for (j, place) in places.iter_mut().enumerate() {
        let last = usize::from(n > 0 && is_before(keys[base[j]], key[j]));
        *place = number(base[j] - start[j] + last);
    }
}

/// The distinct rows of a matrix, whose rows are compared element by element.
pub struct Groups {
    /// For every distinct row, in ascending order, the index of its first occurrence.
    pub first: Array,
    /// For every row, the index of its distinct row.
    pub inverse: Array,
    /// The number of occurrences of each distinct row.
    pub counts: Array,
}

/// The distinct rows of `x`, of shape (rows, width). NaN equals NaN if `equal_nan`.
#[must_use]
pub fn groups(x: &Array, equal_nan: bool) -> Groups {
    let (count, width) = (x.shape()[0], x.shape()[1]);
    let x = x.contiguous();
    let keys: Vec<u64> = dispatch!(real x.dtype(), T => alloc_check::collect(x.as_slice::<T>().into_iter().flatten().map(|&v| key(v))),
        else unreachable!("complex numbers are seen as pairs"));
    let equal_nan = equal_nan || !x.dtype().is_float();
    let row = |i: usize| &keys[i * width..(i + 1) * width];
    let order = sorted_rows(&keys, count, width);
    let same = |a: usize, b: usize| row(a).cmp(row(b)) == Ordering::Equal && (equal_nan || !row(a).contains(&NAN));
    let (mut first, mut counts): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
    let mut inverse: Vec<i64> = alloc_check::filled(0, count);
    for (k, &i) in order.iter().enumerate() {
        if k == 0 || !same(order[k - 1], i) {
            alloc_check::push(&mut first, number(i));
            alloc_check::push(&mut counts, 0);
        }
        inverse[i] = number(first.len() - 1);
        if let Some(c) = counts.last_mut() {
            *c += 1;
        }
    }
    let [first, counts] = [&first, &counts].map(|v| Array::from_slice(v, &[v.len()]));
    Groups { first, inverse: Array::from_slice(&inverse, &[count]), counts }
}

/// The positions that sort rows of keys.
fn sorted_rows(keys: &[u64], count: usize, width: usize) -> Vec<usize> {
    if width == 1 {
        // Keys next to positions are compared without another memory access.
        let mut keyed: Vec<(u64, usize)> = alloc_check::collect(keys.iter().copied().zip(0..count));
        keyed.sort_unstable();
        return alloc_check::collect(keyed.into_iter().map(|(_, i)| i));
    }
    let row = |i: usize| &keys[i * width..(i + 1) * width];
    let mut order: Vec<usize> = alloc_check::collect(0..count);
    order.sort_unstable_by(|&a, &b| row(a).cmp(row(b)).then(a.cmp(&b)));
    order
}

fn number(i: usize) -> i64 {
    i64::try_from(i).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_elements_stay_in_order_and_nan_is_last_both_ways() {
        let x = Array::from_slice(&[1.0, f64::NAN, -0.0, 0.0, 1.0, f64::NEG_INFINITY], &[6]);
        assert_eq!(argsort(&x, 0, false).to_vec::<i64>(), [5, 2, 3, 0, 4, 1]);
        assert_eq!(argsort(&x, 0, true).to_vec::<i64>(), [0, 4, 2, 3, 5, 1]);
    }

    #[test]
    fn ranks_are_those_of_the_sorted_rows() {
        let x = Array::from_slice(&[3_i64, 1, 2, 9, 7, 8], &[2, 3]);
        assert_eq!(ranked(&x, 1, &[0, 2]).to_vec::<i64>(), [1, 0, 1, 0]);
        assert_eq!(top(&x, 1, 2, true).to_vec::<i64>(), [0, 2, 0, 2]);
        assert_eq!(argsort(&x, 0, true).to_vec::<i64>(), [1, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn places_in_sorted_arrays() {
        let sorted = Array::from_slice(&[1.0, 2.0, 2.0, f64::NAN], &[4]);
        let x = Array::from_slice(&[0.0, 2.0, 5.0, f64::NAN], &[4]);
        assert_eq!(searchsorted(&sorted, &x, false).to_vec::<i64>(), [0, 1, 3, 3]);
        assert_eq!(searchsorted(&sorted, &x, true).to_vec::<i64>(), [0, 3, 3, 4]);
    }

    #[test]
    fn distinct_rows() {
        let x = Array::from_slice(&[2.0, f64::NAN, 1.0, f64::NAN, 2.0], &[5, 1]);
        let g = groups(&x, false);
        assert_eq!((g.first.to_vec::<i64>(), g.counts.to_vec::<i64>()), (vec![2, 0, 1, 3], vec![1, 2, 1, 1]));
        assert_eq!(groups(&x, true).inverse.to_vec::<i64>(), [1, 2, 0, 2, 1]);
    }
}
