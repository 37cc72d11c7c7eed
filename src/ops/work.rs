//! Estimates of the cost of a call before it runs: elements that are read or written, times the cost of an element.
//!
//! Python's entry points release the GIL when the estimate is large ([`LONG_CALL`]). It may be wrong by a small factor: then some hundred
//! nanoseconds are wasted, or other threads wait some ten microseconds.

use super::index::IndexItem;
use super::registry::Arg;
use crate::array::DType;
use crate::tape::Variable;

/// A call with this cost or more is long: some 20 microseconds.
pub const LONG_CALL: usize = 1 << 16;
/// This number of multiplications in a matrix product costs as much as an addition of one element.
const PRODUCTS: usize = 16;

fn product(sizes: impl IntoIterator<Item = usize>) -> usize {
    sizes.into_iter().fold(1, usize::saturating_mul)
}

fn arrays(args: &[Arg]) -> impl Iterator<Item = &Variable> {
    args.iter().flat_map(|arg| match arg {
        Arg::Variable(v) => std::slice::from_ref(v),
        Arg::Variables(vs) => vs,
        _ => &[],
    })
}

/// Number of elements of all arrays.
fn inputs(args: &[Arg]) -> usize {
    arrays(args).fold(0, |n, v| n.saturating_add(v.array().size()))
}

/// Number of elements of arrays after broadcasting; more if they do not broadcast.
#[must_use]
pub fn broadcast<'a>(arrays: &(impl Iterator<Item = &'a [usize]> + Clone)) -> usize {
    let ndim = arrays.clone().map(<[usize]>::len).max().unwrap_or(0);
    let size =
        |axis: usize| arrays.clone().filter_map(|shape| shape.len().checked_sub(axis).map(|i| shape[i])).filter(|&n| n != 1).max().unwrap_or(1);
    product((1..=ndim).map(size))
}

/// One operation per element of the inputs or, after broadcasting, of the output.
#[must_use]
pub fn elementwise(args: &[Arg]) -> usize {
    let each = args.iter().filter_map(|arg| if let Arg::Variable(v) = arg { Some(v.shape()) } else { None });
    inputs(args).max(if each.clone().count() > 1 { broadcast(&each) } else { 0 })
}

/// A product of matrices or vectors, or of stacks of them.
#[must_use]
pub fn matmul(a: &[usize], b: &[usize]) -> usize {
    let split = |shape: &[usize]| shape.split_at(shape.len().saturating_sub(2)).0.to_owned();
    let last = |shape: &[usize], k: usize| if shape.len() >= k { shape[shape.len() - k] } else { 1 };
    let (left, right) = (split(a), split(b));
    let batch = broadcast(&[&left[..], &right[..]].into_iter());
    let columns = if b.len() >= 2 { last(b, 1) } else { 1 };
    let out = product([batch, last(a, 2), columns]);
    let all = product(a.iter().copied()).saturating_add(product(b.iter().copied()));
    (out.saturating_mul(last(a, 1)) / PRODUCTS).max(out).max(all)
}

/// [`matmul`] of the first two arguments.
#[must_use]
pub fn contraction(args: &[Arg]) -> usize {
    match args {
        [Arg::Variable(a), Arg::Variable(b), ..] => matmul(a.shape(), b.shape()),
        _ => inputs(args),
    }
}

/// Sums of products over the last axis of both arrays, for all pairs of what is left.
#[must_use]
pub fn inner(args: &[Arg]) -> usize {
    match args {
        [Arg::Variable(a), Arg::Variable(b), ..] => {
            let rows = b.array().size() / b.shape().last().copied().unwrap_or(1).max(1);
            (a.array().size().saturating_mul(rows) / PRODUCTS).max(inputs(args))
        }
        _ => inputs(args),
    }
}

/// One element for every combination of elements, in as many results as there are arrays.
#[must_use]
pub fn combined(args: &[Arg]) -> usize {
    product(arrays(args).map(|v| v.array().size())).saturating_mul(arrays(args).count().max(1))
}

/// The shape is an argument.
#[must_use]
pub fn filled(args: &[Arg]) -> usize {
    let shape = args.iter().find_map(|arg| if let Arg::Ints(shape) = arg { Some(shape) } else { None });
    shape.map_or(0, |shape| product(shape.iter().map(|n| n.unsigned_abs())))
}

/// Every element is repeated as often as the ints say.
#[must_use]
pub fn repeated(args: &[Arg]) -> usize {
    inputs(args).saturating_mul(filled(args).max(1))
}

/// As many elements as the product of the ints, in addition to those of the array. A missing second int equals the first.
#[must_use]
pub fn counted(args: &[Arg]) -> usize {
    let count = |arg: &Arg| if let Arg::Int(n) = arg { usize::try_from(*n).unwrap_or(1) } else { 1 };
    let beside = args.iter().take(2).map(count).fold(1, usize::saturating_mul);
    let twice = if matches!(args, [Arg::Int(_), Arg::None, ..]) { beside } else { 1 };
    product([inputs(args).max(1), beside, twice])
}

/// As many elements as the first int.
#[must_use]
pub fn points(args: &[Arg]) -> usize {
    args.iter().find_map(|arg| if let Arg::Int(n) = arg { Some(usize::try_from(*n).unwrap_or(0)) } else { None }).unwrap_or(0)
}

/// Equal steps from start to stop.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate; a float to integer cast saturates")]
#[must_use]
pub fn ranged(args: &[Arg]) -> usize {
    let number = |i: usize| match args.get(i) {
        Some(Arg::Scalar(s)) => Some(s.as_f64()),
        _ => None,
    };
    let (start, stop, step) = (number(0).unwrap_or(0.0), number(1), number(2).unwrap_or(1.0));
    let span = stop.map_or(start, |stop| stop - start);
    if step == 0.0 { 0 } else { (span / step).abs() as usize }
}

/// A square matrix with the array as its diagonal.
#[must_use]
pub fn squared(args: &[Arg]) -> usize {
    inputs(args).saturating_mul(inputs(args))
}

/// The elements that index arrays and masks select from an array of `shape`; zero without any.
#[must_use]
pub fn indexed(shape: &[usize], items: &[IndexItem]) -> usize {
    let (mut selected, mut read, mut axis, mut any) = (1_usize, 0_usize, 0, false);
    let axes = items.iter().map(super::index::axes_of).sum::<usize>();
    let mut common: usize = 1;
    for item in items {
        let n = if let IndexItem::Ellipsis = item { shape.len().saturating_sub(axes) } else { super::index::axes_of(item) };
        let sizes = shape.iter().skip(axis).take(n).copied();
        match item {
            IndexItem::Array(v) if v.dtype() == DType::Bool => {
                (any, read, common) = (true, read.saturating_add(v.array().size()), common.max(v.array().size()));
            }
            IndexItem::Array(v) => (any, common) = (true, broadcast_bound(common, v.array().size())),
            IndexItem::Slice(..) | IndexItem::Ellipsis => selected = selected.saturating_mul(product(sizes)),
            IndexItem::Int(_) | IndexItem::NewAxis => {}
        }
        axis += n;
    }
    let rest = product(shape.iter().skip(axis).copied());
    if any { read.saturating_add(product([selected, common, rest])) } else { 0 }
}

/// Index arrays mostly have the same shape; if one broadcasts against another, the product is a good estimate.
fn broadcast_bound(a: usize, b: usize) -> usize {
    if a == b || a == 1 || b == 1 { a.max(b) } else { a.saturating_mul(b) }
}

/// [`indexed`] of an array and a key; a value that is assigned is copied.
#[must_use]
pub fn index(args: &[Arg]) -> usize {
    match args {
        [Arg::Variable(x), Arg::Index(items), rest @ ..] => {
            let copied = if rest.is_empty() { 0 } else { x.array().size() };
            indexed(x.shape(), items).saturating_add(copied)
        }
        _ => inputs(args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Array;

    fn array(shape: &[usize]) -> Arg {
        Arg::Variable(Array::zeros(&[], DType::F32).broadcast_to("test", shape).unwrap().into())
    }

    #[test]
    fn estimates_follow_the_result() {
        assert_eq!(elementwise(&[array(&[1023, 1]), array(&[1, 1023])]), 1023 * 1023);
        assert_eq!(elementwise(&[array(&[5, 7])]), 35);
        assert_eq!(contraction(&[array(&[180, 180]), array(&[180, 180])]), 180 * 180 * 180 / 16);
        assert_eq!(contraction(&[array(&[4, 1, 10, 32]), array(&[3, 32, 20])]), 12 * 10 * 20 * 32 / 16);
        assert_eq!(combined(&[array(&[300]), array(&[400])]), 2 * 300 * 400);
        assert_eq!(filled(&[Arg::Ints([20, 30].into_iter().collect())]), 600);
        assert_eq!(counted(&[Arg::Int(50), Arg::None, Arg::Int(0)]), 2500);
        assert_eq!(ranged(&[Arg::Scalar(0_i64.into()), Arg::Scalar(1000_i64.into()), Arg::Scalar(2_i64.into())]), 500);
        let rows = |n: usize| IndexItem::Array(Array::zeros(&[n], DType::I64).into());
        assert_eq!(indexed(&[100, 70], &[rows(1000)]), 70_000);
        assert_eq!(indexed(&[100, 70], &[IndexItem::Ellipsis, rows(3)]), 300);
        assert_eq!(indexed(&[100, 70], &[IndexItem::Int(3)]), 0);
    }
}
