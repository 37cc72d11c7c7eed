//! Fuses two arithmetic formulas into one, where the second is the only reader of the first.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::lower::Point;
use crate::array::Scalar;
use crate::kernel::map::{Simple, pair};
use crate::tape::capture::{Arg, Slot};

/// The most formulas between the two: the operands of the first stay in use as long.
const NEAR: usize = 16;

/// A number as a parameter of a formula, if float64 represents it exactly.
#[allow(clippy::cast_precision_loss, reason = "checked")]
fn parameter(a: Arg) -> Option<f64> {
    match a {
        Arg::Number(Scalar::Float(x)) => Some(x),
        Arg::Number(Scalar::Int(i)) if i.unsigned_abs() < 1 << 53 => Some(i as f64),
        _ => None,
    }
}

/// An operation with operand `first` in front: the operation for that order, the array, and the other operand.
fn with_first(op: Simple, inputs: &[Arg], first: usize) -> Option<(Simple, Arg, Arg)> {
    let (a, b) = (*inputs.get(first)?, *inputs.get(1 - first)?);
    let op = match (op, first) {
        (op, 0) => op,
        (Simple::Subtract, _) => Simple::SubtractFrom,
        (Simple::Add | Simple::Multiply, _) => op,
        _ => return None,
    };
    let known = matches!(b, Arg::Slot(_)) || parameter(b).is_some();
    (matches!(a, Arg::Slot(_)) && known).then_some((op, a, b))
}

/// Fuses formulas where possible. `uses` counts all readers of a value.
pub(super) fn join(points: Vec<Point>, uses: &HashMap<Slot, usize>) -> Vec<Point> {
    let mut made: HashMap<Slot, usize> = HashMap::new();
    let mut out: Vec<Option<Point>> = Vec::with_capacity(points.len());
    for point in points {
        let joined = joined(&point, &made, &mut out, uses);
        made.insert(point.output, out.len());
        out.push(Some(joined.unwrap_or(point)));
    }
    out.into_iter().flatten().collect()
}

fn joined(point: &Point, made: &HashMap<Slot, usize>, out: &mut [Option<Point>], uses: &HashMap<Slot, usize>) -> Option<Point> {
    let op = point.op?;
    let (at, second, z) = (0..2).find_map(|first| {
        let (second, between, z) = with_first(op, &point.inputs, first)?;
        let s = between.slot()?;
        let at = *made.get(&s)?;
        let near = out.len() - at <= NEAR && uses.get(&s) == Some(&1);
        (near && out[at].as_ref().is_some_and(|p| p.op.is_some())).then_some((at, second, z))
    })?;
    let before = out[at].as_ref()?;
    let (first, x, y) = (0..2).find_map(|first| with_first(before.op?, &before.inputs, first))?;
    let numbers = [y, z].map(|a| matches!(a, Arg::Number(_)));
    let inputs: SmallVec<[Arg; 4]> = [x, y, z].into_iter().filter(|a| !matches!(a, Arg::Number(_))).collect();
    let pair = Point {
        name: before.name,
        and: Some(point.name),
        formulas: pair(first, second, numbers),
        params: [y, z].map(|a| parameter(a).unwrap_or(0.0)),
        inputs,
        output: point.output,
        dtype: point.dtype,
        op: None,
        step: None,
    };
    out[at] = None;
    Some(pair)
}
