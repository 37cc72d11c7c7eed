//! Helpers for operations over spatial axes: one number per axis, and inputs without a batch axis.

use smallvec::SmallVec;

use super::shape::reshape_to;
use crate::array::Shape;
use crate::error::{Error, Result, show_shape};
use crate::tape::Variable;

/// A size that is kept: None in a list of sizes.
pub const KEEP: isize = isize::MIN;

/// The largest of such numbers, so that products of two of them do not overflow.
const MOST: usize = i32::MAX as usize;

/// One number for each spatial axis.
pub(super) type Numbers = SmallVec<[usize; 3]>;

/// `values` as one number for each of `n` axes, each at least `least`. A single value applies to all axes.
pub(super) fn numbers(op: &str, what: &str, values: &[isize], n: usize, least: usize) -> Result<Numbers> {
    if values.len() != 1 && values.len() != n {
        let expected = if n == 1 { "1 number".to_owned() } else { format!("1 or {n} numbers") };
        return Err(Error::Value(format!("{op}: {what} has {} numbers, expected {expected}", values.len())));
    }
    let one = |i: usize| {
        let v = if values.len() == 1 { values[0] } else { values[i] };
        usize::try_from(v)
            .ok()
            .filter(|v| (least..=MOST).contains(v))
            .ok_or_else(|| Error::Value(format!("{op}: {what} must be at least {least} (and at most {MOST}) along each axis, got {v}")))
    };
    (0..n).map(one).collect()
}

/// `values` for the last of three axes, and `fill` for the axes before.
pub(super) fn three<T: Copy>(values: &[T], fill: T) -> [T; 3] {
    let mut out = [fill; 3];
    out[3 - values.len()..].copy_from_slice(values);
    out
}

/// An input with a batch axis, and whether it was added. `core` is the number of axes after it.
pub(super) fn batched(op: &str, x: &Variable, core: usize) -> Result<(Variable, bool)> {
    if x.ndim() == core + 1 {
        return Ok((x.clone(), false));
    }
    if x.ndim() != core {
        let shape = show_shape(x.shape());
        return Err(Error::Shape(format!("{op}: the input has shape {shape}, expected {} axes (a batch) or {core}", core + 1)));
    }
    let shape: Shape = std::iter::once(1).chain(x.shape().iter().copied()).collect();
    Ok((reshape_to(x, &shape)?, true))
}

/// Removes a batch axis that [`batched`] has added.
pub(super) fn unbatched(y: Variable, was_added: bool) -> Result<Variable> {
    if was_added { reshape_to(&y, &Shape::from_slice(&y.shape()[1..])) } else { Ok(y) }
}

/// A shape whose first two axes are merged.
pub(super) fn joined(shape: &[usize]) -> Shape {
    std::iter::once(shape[0] * shape[1]).chain(shape[2..].iter().copied()).collect()
}

/// `x` with its first two axes merged.
pub(super) fn join_first(x: &Variable) -> Result<Variable> {
    reshape_to(x, &joined(x.shape()))
}

/// `x` with its first axis split in two, the first of them of size `n`.
pub(super) fn split_first(x: &Variable, n: usize) -> Result<Variable> {
    let shape = x.shape();
    let shape: Shape = [n, shape[0].checked_div(n).unwrap_or(0)].into_iter().chain(shape[1..].iter().copied()).collect();
    reshape_to(x, &shape)
}
