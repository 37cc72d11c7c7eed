//! Padding: an array with elements around it, in all of NumPy's modes.
#![allow(clippy::cast_possible_wrap, reason = "a size of an array fits in i64")]

use super::gather::take;
use super::join::join;
use super::quantiles::median;
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::samples::{Draw, REAL, call_with, indices};
use super::shape::{astype, broadcast_to, scalar};
use super::window::{Cut, GETITEM, Window, view};
use super::{add, max, mean, min, multiply, subtract};
use crate::array::{Array, DType, Shape, check_memory};
use crate::error::{Error, Result, show_shape};
use crate::tape::Variable;

/// For each axis, how many elements are added before and after.
type Widths = Vec<[usize; 2]>;

/// One pair per axis, from a number, a pair, or a pair for each axis.
fn pairs(op: &str, what: &str, given: &Variable, ndim: usize) -> Result<Vec<[Variable; 2]>> {
    let at = |i: usize| take(given, &indices(&[i64::try_from(i).unwrap_or(0)], &[]), None);
    let fail = || {
        let shape = show_shape(given.shape());
        Err(Error::Value(format!("{op}: {what} has shape {shape}, expected a number, a pair, or one of them for each of {ndim} axes")))
    };
    (0..ndim)
        .map(|axis| {
            let places = match *given.shape() {
                [] | [1] | [1, 1] => [0, 0],
                [2] | [1, 2] => [0, 1],
                [n, 1] if n == ndim => [axis, axis],
                [n, 2] if n == ndim => [2 * axis, 2 * axis + 1],
                _ => return fail(),
            };
            Ok([at(places[0])?, at(places[1])?])
        })
        .collect()
}

fn widths(op: &str, given: &Variable, ndim: usize) -> Result<Widths> {
    if !given.dtype().is_integer() && given.array().size() > 0 {
        return Err(Error::dtype(op, given.dtype(), "a pad_width of ints"));
    }
    let given = astype(&given.detach(), DType::I64)?;
    let count = |v: &Variable| -> Result<usize> {
        let n = v.values(op)?.to_vec::<i64>()[0];
        usize::try_from(n).map_err(|_| Error::Value(format!("{op}: pad_width must not be negative, got {n}")))
    };
    pairs(op, "pad_width", &given, ndim)?.iter().map(|[a, b]| Ok([count(a)?, count(b)?])).collect()
}

/// Maps positions outside an axis of size `n` to positions inside.
fn fold(mode: &str, i: i64, n: i64) -> i64 {
    let mirrored = |period: i64, reach: i64| {
        let k = i.rem_euclid(period);
        if k <= reach { k } else { period - k }
    };
    match mode {
        "edge" => i.clamp(0, n - 1),
        "wrap" => i.rem_euclid(n),
        "reflect" if n == 1 => 0,
        "reflect" => mirrored(2 * (n - 1), n - 1),
        _ => {
            let k = i.rem_euclid(2 * n);
            if k < n { k } else { 2 * n - 1 - k }
        }
    }
}

/// `x` with positions before and after `axis` that repeat its own.
fn repeated(x: &Variable, mode: &str, axis: usize, [before, behind]: [usize; 2]) -> Result<Variable> {
    let n = x.shape()[axis];
    if before + behind == 0 {
        return Ok(x.clone());
    }
    if n == 0 {
        return Err(empty_axis(x, axis));
    }
    let (n, low, high) = (n as i64, before as i64, behind as i64);
    let at: Vec<i64> = (-low..n + high).map(|i| fold(mode, i, n)).collect();
    take(x, &indices(&at, &[at.len()]), Some(axis.cast_signed()))
}

/// A block of `count` positions along `axis`, all of them `value`.
fn block(x: &Variable, axis: usize, count: usize, value: &Variable) -> Result<Variable> {
    let mut shape = Shape::from_slice(x.shape());
    shape[axis] = count;
    broadcast_to(&astype(value, x.dtype())?, &shape)
}

fn piece(x: &Variable, axis: usize, start: usize, count: usize) -> Result<Variable> {
    view(&GETITEM, x, &Window::along(x.shape(), axis, Cut { start, count, step: 1 }))
}

fn empty_axis(x: &Variable, axis: usize) -> Error {
    Error::Value(format!("pad: axis {axis} of shape {} is empty; only mode='constant' can pad it", show_shape(x.shape())))
}

/// A linear ramp from an end value to the edge, in `count` steps.
fn ramp(x: &Variable, axis: usize, count: usize, end: &Variable, rising: bool) -> Result<Variable> {
    let n = x.shape()[axis];
    if n == 0 {
        return Err(empty_axis(x, axis));
    }
    let edge = piece(x, axis, if rising { 0 } else { n - 1 }, 1)?;
    #[allow(clippy::cast_precision_loss, reason = "a count")]
    let share: Vec<f64> = (0..count).map(|i| if rising { i as f64 } else { (count - 1 - i) as f64 } / count as f64).collect();
    let mut shape = Shape::from_elem(1, x.ndim());
    shape[axis] = count;
    let dtype = if x.dtype().is_inexact() { x.dtype() } else { DType::F64 };
    let share = astype(&Array::from_slice(&share, &shape).into(), dtype)?;
    let end = astype(end, dtype)?;
    let out = add(&end, &multiply(&subtract(&astype(&edge, dtype)?, &end)?, &share)?)?;
    // As in NumPy, integers are rounded down.
    if x.dtype().is_inexact() { Ok(out) } else { astype(&super::floor(&out)?, x.dtype()) }
}

/// A statistic of the elements near one end of `axis`.
fn statistic(x: &Variable, mode: &str, axis: usize, length: Option<usize>, front: bool) -> Result<Variable> {
    let n = x.shape()[axis];
    let length = length.unwrap_or(n).min(n);
    if length == 0 {
        return Err(Error::Value(format!(
            "pad: stat_length is 0, or axis {axis} of shape {} is empty; mode='{mode}' needs elements",
            show_shape(x.shape())
        )));
    }
    let part = piece(x, axis, if front { 0 } else { n - length }, length)?;
    let over = [axis.cast_signed()];
    match mode {
        "maximum" => max(&part, Some(&over), true),
        "minimum" => min(&part, Some(&over), true),
        "mean" => mean(&part, Some(&over), true),
        _ => median(&part, Some(&over), true),
    }
    .and_then(|v| if x.dtype().is_inexact() { Ok(v) } else { super::rint(&v) })
}

/// The options for each axis and end.
struct Options {
    constants: Vec<[Variable; 2]>,
    ends: Vec<[Variable; 2]>,
    lengths: Option<Widths>,
}

/// `x`, padded before and after one axis.
fn pad_axis(x: &Variable, mode: &str, axis: usize, [before, behind]: [usize; 2], o: &Options) -> Result<Variable> {
    let side = |count: usize, front: bool| -> Result<Variable> {
        let i = usize::from(!front);
        match mode {
            "constant" => block(x, axis, count, &o.constants[axis][i]),
            "empty" => block(x, axis, count, &scalar(0.0, x.dtype())),
            "linear_ramp" => ramp(x, axis, count, &o.ends[axis][i], front),
            _ => block(x, axis, count, &statistic(x, mode, axis, o.lengths.as_ref().map(|l| l[axis][i]), front)?),
        }
    };
    let mut parts = Vec::new();
    if before > 0 {
        parts.push(side(before, true)?);
    }
    parts.push(x.clone());
    if behind > 0 {
        parts.push(side(behind, false)?);
    }
    if parts.len() == 1 { Ok(x.clone()) } else { join(&parts.iter().collect::<Vec<_>>(), axis) }
}

fn call(a: &Args<'_>) -> Result<Value> {
    const MODES: [&str; 11] = ["constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "minimum", "mean", "median", "empty"];
    let (x, mode) = (a.variable(0)?, a.text(2)?);
    if !MODES.contains(&mode) {
        return Err(Error::Value(format!("pad: mode is '{mode}', expected one of {}", MODES.join(", "))));
    }
    let all = widths("pad", &a.variable(1)?, x.ndim())?;
    let shape: Shape = x.shape().iter().zip(&all).map(|(n, [a, b])| n.saturating_add(*a).saturating_add(*b)).collect();
    check_memory("pad", &shape, x.dtype())?;
    let lengths = a.opt_variable(5)?.map(|v| widths("pad", &v, x.ndim())).transpose()?;
    let options = Options {
        constants: pairs("pad", "constant_values", &a.variable(3)?, x.ndim())?,
        ends: pairs("pad", "end_values", &a.variable(4)?, x.ndim())?,
        lengths,
    };
    let folds = matches!(mode, "edge" | "wrap" | "reflect" | "symmetric");
    let mut out = x;
    for (axis, &width) in all.iter().enumerate() {
        out = if folds { repeated(&out, mode, axis, width)? } else { pad_axis(&out, mode, axis, width, &options)? };
    }
    Ok(out.into())
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[Entry {
    name: "pad",
    doc: "x with elements before and behind its axes: pad_width is a number, a pair, or a pair for each axis. The mode says which: 'constant' (constant_values), 'edge', 'reflect', 'symmetric', 'wrap', 'linear_ramp' (to end_values), 'maximum', 'minimum', 'mean', 'median' (of stat_length elements) or 'empty'.\n\n>>> tg.pad(tg.Variable([1.0, 2.0]), (1, 2))\nVariable([0., 1., 2., 0., 0.])\n",
    params: &[
        Param::array("x"),
        Param::array("pad_width"),
        Param::new("mode", Kind::Text).or(Default::Text("constant")),
        Param::array("constant_values").or(Default::Int(0)).named(),
        Param::array("end_values").or(Default::Int(0)).named(),
        Param::new("stat_length", Kind::OptArray).or(Default::None).named(),
    ],
    call,
    gradient: Gradient::Composite("g, added where each element comes from"),
    samples,
    ..Entry::BASE
}
.no_method()];

fn samples() -> Vec<Sample> {
    let draw = &mut Draw::new(391);
    let modes = ["constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "minimum", "mean", "median"];
    let mut out: Vec<Sample> = modes
        .iter()
        .map(|mode| {
            let width = Arg::Variable(indices(&[1, 2, 0, 1], &[2, 2]));
            call_with(REAL.strided(draw, &[3, 2]), [width, Arg::Text((*mode).to_owned()), Arg::Float(0.5), Arg::Float(1.5), Arg::None])
        })
        .collect();
    let rest = |mode: &str| [Arg::Text(mode.to_owned()), Arg::Int(0), Arg::Int(0), Arg::Variable(indices(&[2], &[]))];
    out.push(call_with(REAL.array(draw, &[2]), [Arg::Int(5)].into_iter().chain(rest("reflect"))));
    out.push(call_with(REAL.array(draw, &[4]), [Arg::Variable(indices(&[1, 1], &[2]))].into_iter().chain(rest("mean"))));
    out
}
