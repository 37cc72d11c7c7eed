//! The position of an extremum: the first among equals, and the first NaN if there is one.

use crate::array::{Array, Element};
use crate::kernel::blocks::{self, Input};
use crate::kernel::parallel;
use crate::kernel::reduce::ReducePlan;

/// Elements searched at a time: first a block is checked for any match, which vectorises.
const BLOCK: usize = 256;

/// For each element of `best`, the extremum over `axes`: the row-major position among the elements along `axes` of the first one equal to
/// it.
///
/// # Panics
/// When `best` does not hold the kept axes, or an extremum is not among its elements: bugs of the caller.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
pub fn positions<T: Element>(x: &Array, axes: &[usize], best: &Array) -> Array {
    let plan = ReducePlan::new(x.shape(), axes);
    let (block, _, inner) = plan.block(x);
    let mut out = Array::empty(&plan.kept, crate::array::DType::I64);
    let (Some(source), Some(best)) = (block.as_slice::<T>(), best.as_slice::<T>()) else { unreachable!("blocks and folds are contiguous") };
    let count = plan.count;
    let data = out.data_mut::<i64>();
    if data.is_empty() {
        return out;
    }
    let groups = parallel::grain(data.len() / inner, 0.5 * (count * inner) as f64) * inner;
    parallel::for_each_chunk_mut(data, groups, |start, chunk| {
        for (k, row) in chunk.chunks_mut(inner).enumerate() {
            let at = start + k * inner;
            let source = &source[at * count..(at + inner) * count];
            if inner == 1 {
                row[0] = position(first(source, best[at]));
            } else {
                columns(source, &best[at..at + inner], row);
            }
        }
    });
    out
}

/// Equal, or both NaN: if an element is NaN, so is the extremum, and no element equals it.
#[inline]
#[allow(clippy::eq_op, clippy::needless_bitwise_bool, reason = "only NaN differs from itself; `||` is a branch")]
fn matches<T: Element>(x: T, best: T) -> bool {
    (x == best) | (x != x)
}

/// Marks the elements of `x` that equal the extremum `best`, which is broadcast to their shape.
#[must_use]
pub fn mask<T: Element>(x: &Array, best: &Array) -> Array {
    blocks::map([Input::from(x), Input::from(best)], x.shape(), |[x, b]: [T; 2]| matches(x, b))
}

/// `share` where `x` equals the extremum `best`, else zero; both are broadcast to the shape of `x`. A NaN element gets NaN, unless the
/// share is zero.
#[must_use]
#[allow(clippy::eq_op, reason = "only NaN differs from itself")]
pub fn shared<T: Element>(share: &Array, x: &Array, best: &Array) -> Array {
    blocks::map([Input::from(share), Input::from(x), Input::from(best)], x.shape(), |[s, x, b]: [T; 3]| {
        let own = if x != x && s != T::default() { x } else { s };
        if matches(x, b) { own } else { T::default() }
    })
}

fn first<T: Element>(row: &[T], best: T) -> usize {
    for (k, block) in row.chunks(BLOCK).enumerate() {
        if block.iter().fold(false, |any, &x| any | matches(x, best))
            && let Some(at) = block.iter().position(|&x| matches(x, best))
        {
            return k * BLOCK + at;
        }
    }
    unreachable!("an extremum is one of its elements")
}

/// From the last row to the first, so that the first match is written last.
fn columns<T: Element>(source: &[T], best: &[T], out: &mut [i64]) {
    for (k, row) in source.chunks(out.len()).enumerate().rev() {
        let k = position(k);
        for ((o, &x), &b) in out.iter_mut().zip(row).zip(best) {
            *o = if matches(x, b) { k } else { *o };
        }
    }
}

fn position(k: usize) -> i64 {
    i64::try_from(k).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::reduce::ops::Max;
    use crate::kernel::reduce::reduce;

    fn argmax(x: &Array, axes: &[usize]) -> Vec<i64> {
        positions::<f64>(x, axes, &reduce::<Max, f64>(x, axes)).to_vec()
    }

    #[test]
    fn the_first_of_equals_and_the_first_nan() {
        let x = Array::from_slice(&[2.0, 1.0, 2.0, f64::NAN, f64::NAN, f64::INFINITY], &[2, 3]);
        assert_eq!(argmax(&x, &[1]), [0, 0]);
        assert_eq!(argmax(&x, &[0]), [1, 1, 1]);
        assert_eq!(argmax(&x, &[0, 1]), [3]);
        assert_eq!(argmax(&Array::from_slice(&[f64::NEG_INFINITY; 4], &[2, 2]), &[0]), [0, 0]);
    }

    #[test]
    fn every_axis_and_layout() {
        let x = Array::from_slice(&(0..3000).map(|i| f64::from(i * 7919 % 1009)).collect::<Vec<_>>(), &[10, 15, 20]);
        let t = x.with_layout(x.layout().permute(&[2, 0, 1]));
        for x in [&x, &t] {
            for axis in 0..3 {
                let mut want = Vec::new();
                for lane in x.view::<f64>().lanes(ndarray::Axis(axis)) {
                    let max = lane.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    want.push(i64::try_from(lane.iter().position(|&v| v >= max).unwrap()).unwrap());
                }
                assert_eq!(argmax(x, &[axis]), want);
            }
        }
    }
}
