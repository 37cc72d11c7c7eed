//! Elements at positions along an axis, and their transpose.

use crate::array::{Array, Element, size_of};
use crate::dispatch;
use crate::kernel::parallel;

/// The number of elements after `axis`: the array is a block of (outer, count, inner), where `count` is the size of `axis`.
fn inner(shape: &[usize], axis: usize) -> usize {
    size_of(&shape[axis + 1..])
}

#[inline]
fn place(position: i64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

fn slice<T: Element>(a: &Array) -> &[T] {
    a.as_slice().unwrap_or_else(|| unreachable!("contiguous() is contiguous"))
}

/// The elements of `x` at `positions` along `axis`. Apart from that axis, both have the same shape.
///
/// # Panics
/// When a position is out of range: a bug of the caller.
#[must_use]
pub fn take(x: &Array, positions: &Array, axis: usize) -> Array {
    let (x, positions) = (x.contiguous(), positions.contiguous());
    let (count, to, inner) = (x.shape()[axis], positions.shape()[axis], inner(x.shape(), axis));
    let mut out = Array::empty(positions.shape(), x.dtype());
    dispatch!(x.dtype(), T => {
        let (data, at) = (slice::<T>(&x), slice::<i64>(&positions));
        let grain = parallel::grain(at.len(), 3.0);
        parallel::for_each_chunk_mut(out.data_mut::<T>(), grain, |start, chunk| {
            for (i, (o, &k)) in (start..).zip(chunk.iter_mut().zip(&at[start..])) {
                let block = i / (to * inner);
                *o = data[(block * count + place(k)) * inner + i % inner];
            }
        });
    });
    out
}

/// Zeros with size `count` along `axis`, to which `g` is added at `positions`.
///
/// # Panics
/// As [`take`], and when the dtype is neither floating nor complex.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
pub fn add(g: &Array, positions: &Array, axis: usize, count: usize) -> Array {
    let (g, positions) = (g.contiguous(), positions.contiguous());
    let (from, inner) = (g.shape()[axis], inner(g.shape(), axis));
    let mut shape = crate::array::Shape::from_slice(g.shape());
    shape[axis] = count;
    let mut out = Array::zeros(&shape, g.dtype());
    let block = count * inner;
    if block == 0 || g.size() == 0 {
        return out;
    }
    dispatch!(inexact g.dtype(), T => {
        let (data, at) = (slice::<T>(&g), slice::<i64>(&positions));
        let grain = parallel::grain(out.size() / block, 3.0 * (from * inner) as f64).max(1);
        parallel::for_each_chunk_mut(out.data_mut::<T>(), grain * block, |start, chunk| {
            for (k, out) in chunk.chunks_exact_mut(block).enumerate() {
                let first = (start / block + k) * from * inner;
                for i in 0..from * inner {
                    out[place(at[first + i]) * inner + i % inner] += data[first + i];
                }
            }
        });
    }, else unreachable!("gradients are floating or complex"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_is_the_transpose_of_taking() {
        let x = Array::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2]);
        let at = Array::from_slice(&[2_i64, 0, 2, 1], &[2, 2]);
        assert_eq!(take(&x, &at, 0).to_vec::<f64>(), [5.0, 2.0, 5.0, 4.0]);
        let g = Array::from_slice(&[1.0, 10.0, 100.0, 1000.0], &[2, 2]);
        assert_eq!(add(&g, &at, 0, 3).to_vec::<f64>(), [0.0, 10.0, 0.0, 1000.0, 101.0, 0.0]);
    }
}
