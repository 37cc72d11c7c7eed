//! Interpolation, integration and differentiation of sampled functions.

use super::along::at_positions;
use super::gather::take;
use super::join::join;
use super::reduction::{inexact, sum_over};
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Operand, Param, Sample, Value};
use super::samples::{Draw, REAL, call_with, indices};
use super::shape::{astype, flatten, reshape_to, scalar};
use super::sorting::{argsort, searchsorted};
use super::window::{Cut, GETITEM, Window, view};
use super::{add, concat, diff, divide, greater, less, multiply, remainder, subtract, where_};
use crate::array::{Array, DType, Shape, normalize_axis};
use crate::error::{Error, Result, show_shape};
use crate::tape::Variable;

fn piece(x: &Variable, axis: usize, start: usize, count: usize) -> Result<Variable> {
    view(&GETITEM, x, &Window::along(x.shape(), axis, Cut { start, count, step: 1 }))
}

/// The piecewise linear function through the points (xp, fp), at x; `left` and `right` are its values outside.
fn between(x: &Variable, xp: &Variable, fp: &Variable, outside: [Option<Variable>; 2]) -> Result<Variable> {
    let n = xp.shape()[0];
    let last = i64::try_from(n).unwrap_or(i64::MAX) - 1;
    let end = |v: Option<Variable>, i: i64| v.map_or_else(|| take(fp, &indices(&[i], &[]), Some(0)), Ok);
    let [left, right] = outside;
    let (left, right) = (end(left, 0)?, end(right, last)?);
    let (low, high) = (take(xp, &indices(&[0], &[]), Some(0))?, take(xp, &indices(&[last], &[]), Some(0))?);
    let inner = if n == 1 {
        add(&multiply(x, 0.0)?, &take(fp, &indices(&[0], &[]), Some(0))?)?
    } else {
        let flat = flatten(x)?;
        let at = searchsorted(xp, &flat, true, None)?;
        let at = super::clip(&at, Some(Operand::Scalar(1_i64.into())), Some(Operand::Scalar(last.into())))?;
        let before = super::add(&at, -1_i64)?;
        let point = |v: &Variable, at: &Variable| at_positions(v, at, 0);
        let (x0, x1, y0, y1) = (point(xp, &before)?, point(xp, &at)?, point(fp, &before)?, point(fp, &at)?);
        let slope = divide(&subtract(&y1, &y0)?, &subtract(&x1, &x0)?)?;
        reshape_to(&add(&y0, &multiply(&slope, &subtract(&flat, &x0)?)?)?, x.shape())?
    };
    let out = where_(&less(x, &low)?, &left, &inner)?;
    let out = where_(&greater(x, &high)?, &right, &out)?;
    where_(&super::isnan(x)?, x, &out)
}

/// The values at `x` of the piecewise linear function through the points (xp, fp), where xp ascends. The values may be complex.
///
/// # Errors
/// `Shape` when xp and fp are not 1-d arrays of the same size; `Value` when they are empty or the period is not positive; `DType` when x
/// or xp is complex.
pub fn interp(x: &Variable, xp: &Variable, fp: &Variable, outside: [Option<Variable>; 2], period: Option<f64>) -> Result<Variable> {
    if xp.ndim() != 1 || xp.shape() != fp.shape() || xp.shape() == [0] {
        let (a, b) = (show_shape(xp.shape()), show_shape(fp.shape()));
        return Err(Error::Shape(format!("interp: xp and fp have shapes {a} and {b}, expected 1-d arrays of the same size, at least 1")));
    }
    for places in [x, xp] {
        if places.dtype().is_complex() {
            return Err(Error::dtype("interp", places.dtype(), "real places x and xp; only the values may be complex"));
        }
    }
    let values = outside.iter().flatten().chain([fp]).map(Variable::dtype).fold(DType::Bool, DType::promote);
    let met = [x, xp, fp].into_iter().map(|v| v.dtype().real()).fold(DType::Bool, DType::promote);
    let dtype = if met.is_float() { met } else { crate::array::default_float() };
    let of_values = if values.is_complex() { dtype.complex() } else { dtype };
    let [x, xp, fp] = [astype(x, dtype)?, astype(xp, dtype)?, astype(fp, of_values)?];
    let outside = outside.map(|v| v.map(|v| astype(&v, of_values)).transpose());
    let [left, right] = outside;
    let Some(period) = period else { return between(&x, &xp, &fp, [left?, right?]) };
    let period = period.abs();
    if period == 0.0 || !period.is_finite() {
        return Err(Error::Value(format!("interp: period is {period}, expected a number that is not 0")));
    }
    let (x, xp) = (remainder(&x, period)?, remainder(&xp, period)?);
    let order = argsort(&xp, Some(0), false)?;
    let (xp, fp) = (at_positions(&xp, &order, 0)?, at_positions(&fp, &order, 0)?);
    let n = xp.shape()[0];
    let ends = |v: &Variable| -> Result<[Variable; 2]> { Ok([piece(v, 0, n - 1, 1)?, piece(v, 0, 0, 1)?]) };
    let ([xl, xf], [fl, ff]) = (ends(&xp)?, ends(&fp)?);
    let xp = concat(&[subtract(&xl, period)?, xp, add(&xf, period)?], Some(0))?;
    between(&x, &xp, &concat(&[fl, fp, ff], Some(0))?, [None, None])
}

/// The integral of y along `axis` by the trapezoidal rule, for samples at points x or `dx` apart.
///
/// # Errors
/// `Axis` when the axis is out of range, `Shape` when x does not fit.
pub fn trapezoid(y: &Variable, x: Option<&Variable>, dx: Operand<'_>, axis: isize) -> Result<Variable> {
    let y = inexact(y)?;
    let axis = normalize_axis("trapezoid", axis, y.ndim())?;
    if let Some(x) = x {
        let points = x.shape().get(if x.ndim() == 1 { 0 } else { axis });
        let (a, b) = (points.copied().unwrap_or(1), y.shape()[axis]);
        if a != b {
            return Err(Error::Shape(format!("trapezoid: x has {a} points along the axis and y {b}, expected as many")));
        }
    }
    let n = y.shape()[axis].saturating_sub(1);
    let pairs = add(&piece(&y, axis, 0, n)?, &piece(&y, axis, usize::from(n > 0), n)?)?;
    let areas = match x {
        None => multiply(&multiply(&pairs, dx)?, 0.5)?,
        Some(x) if x.ndim() == 1 => {
            let mut shape = Shape::from_elem(1, y.ndim());
            shape[axis] = x.shape()[0].saturating_sub(1);
            multiply(&multiply(&pairs, &reshape_to(&diff(x, 1, -1, None, None)?, &shape)?)?, 0.5)?
        }
        Some(x) => multiply(&multiply(&pairs, &diff(x, 1, axis.cast_signed(), None, None)?)?, 0.5)?,
    };
    sum_over(&areas, &[axis], false)
}

/// Differences along `axis`, central inside and one-sided at the ends, for points that are `step` apart or at given positions.
fn slope(f: &Variable, axis: usize, spacing: &Variable, order: i64) -> Result<Variable> {
    let n = f.shape()[axis];
    let least = usize::try_from(order + 1).unwrap_or(2);
    if n < least {
        return Err(Error::Value(format!("gradient: axis {axis} of shape {} has {n} elements, expected at least {least}", show_shape(f.shape()))));
    }
    let at = |i: usize| piece(f, axis, i, 1);
    let steps = steps(f, axis, spacing)?;
    let step = |i: usize| if steps.ndim() == 0 { Ok(steps.clone()) } else { piece(&steps, axis, i, 1) };
    let inner = |start: usize| piece(f, axis, start, n - 2);
    // The weights of the neighbours of a point, whose distances are a and b.
    let middle = if steps.ndim() == 0 {
        divide(&subtract(&inner(2)?, &inner(0)?)?, &multiply(&steps, 2.0)?)?
    } else {
        let (a, b) = (piece(&steps, axis, 0, n - 2)?, piece(&steps, axis, 1, n - 2)?);
        let ahead = divide(&subtract(&inner(2)?, &inner(1)?)?, &b)?;
        let behind = divide(&subtract(&inner(1)?, &inner(0)?)?, &a)?;
        divide(&add(&multiply(&ahead, &a)?, &multiply(&behind, &b)?)?, &add(&a, &b)?)?
    };
    let end = |i: usize, next: usize| divide(&subtract(&at(next)?, &at(i)?)?, &step(i.min(next))?);
    let (mut first, mut last) = (end(0, 1)?, multiply(&end(n - 1, n - 2)?, -1.0)?);
    if order == 2 {
        // The derivative of the parabola through three points.
        let bend = |near: &Variable, far: Variable, a: Variable, b: Variable| -> Result<Variable> {
            let share = divide(&a, &add(&a, &b)?)?;
            subtract(near, &multiply(&subtract(&far, near)?, &share)?)
        };
        first = bend(&first, end(1, 2)?, step(0)?, step(1)?)?;
        last = bend(&last, end(n - 3, n - 2)?, step(n - 2)?, step(n - 3)?)?;
    }
    join(&[&first, &middle, &last], axis)
}

/// Distances of neighbours along `axis`: one number, or one per pair.
fn steps(f: &Variable, axis: usize, spacing: &Variable) -> Result<Variable> {
    let spacing = astype(spacing, f.dtype())?;
    match *spacing.shape() {
        [] => Ok(spacing),
        [n] if n == f.shape()[axis] => {
            let mut shape = Shape::from_elem(1, f.ndim());
            shape[axis] = n - 1;
            reshape_to(&diff(&spacing, 1, -1, None, None)?, &shape)
        }
        _ => Err(Error::Shape(format!(
            "gradient: spacing of shape {} for axis {axis} of shape {}: expected a number or a place for each element",
            show_shape(spacing.shape()),
            show_shape(f.shape())
        ))),
    }
}

fn call_gradient(a: &Args<'_>) -> Result<Value> {
    let (f, spacing, order) = (inexact(&a.variable(0)?)?, a.variables(1)?, a.int(3)?);
    if !matches!(order, 1 | 2) {
        return Err(Error::Value(format!("gradient: edge_order is {order}, expected 1 or 2")));
    }
    let axes: Vec<usize> = match a.axes(2)? {
        None => (0..f.ndim()).collect(),
        Some(axes) => super::shape::distinct_axes("gradient", axes, f.ndim())?.to_vec(),
    };
    // A list of numbers for one axis: the places of its elements.
    let places = match *axes {
        [axis] if spacing.len() > 1 && spacing.len() == f.shape()[axis] && spacing.iter().all(|s| s.ndim() == 0) => vec![super::stack(spacing, 0)?],
        _ => Vec::new(),
    };
    let spacing = if places.is_empty() { spacing } else { &places };
    if spacing.len() > 1 && spacing.len() != axes.len() {
        return Err(Error::Value(format!("gradient: {} spacings for {} axes, expected none, one or one for each", spacing.len(), axes.len())));
    }
    let one = scalar(1.0, f.dtype());
    let all = axes.iter().enumerate().map(|(k, &axis)| slope(&f, axis, spacing.get(if spacing.len() == 1 { 0 } else { k }).unwrap_or(&one), order));
    let mut all = all.collect::<Result<Vec<_>>>()?;
    Ok(if all.len() == 1 { all.remove(0).into() } else { all.into() })
}

fn call_interp(a: &Args<'_>) -> Result<Value> {
    let outside = [a.opt_variable(3)?, a.opt_variable(4)?];
    Ok(interp(&a.variable(0)?, &a.variable(1)?, &a.variable(2)?, outside, a.opt_float(5)?)?.into())
}

const fn optional(name: &'static str) -> Param {
    Param::new(name, Kind::OptArray).or(Default::None)
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "interp",
        doc: "The piecewise linear function through the points (xp, fp), at x; xp ascends. Outside it is left and right (None: the ends of fp), or goes on with a period.\n\n>>> tg.interp(tg.Variable([0.5, 3.0]), [0.0, 1.0], [10.0, 20.0])\nVariable([15., 20.])\n",
        params: &[
            Param::array("x"),
            Param::array("xp"),
            Param::array("fp"),
            optional("left"),
            optional("right"),
            Param::new("period", Kind::OptFloat).or(Default::None),
        ],
        call: call_interp,
        cost: 20.0,
        gradient: Gradient::Composite("g slope for x, g to the two neighbours for fp"),
        samples: interp_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "trapezoid",
        doc: "The integral of y by the trapezoidal rule along an axis, over points x or steps of dx.\n\n>>> tg.trapezoid(tg.Variable([1.0, 2.0, 3.0]))\nVariable(4.)\n",
        params: &[Param::array("y"), optional("x"), Param::array("dx").or(Default::Float(1.0)), Param::axis(-1)],
        call: |a| Ok(trapezoid(&a.variable(0)?, a.opt_variable(1)?.as_ref(), a.operand(2)?, a.axis(3)?)?.into()),
        gradient: Gradient::Composite("g times the widths of the neighbours, halved"),
        samples: trapezoid_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "gradient",
        doc: "Slopes of a sampled function along axes (None: all, as a tuple): central differences inside, one-sided ones of edge_order 1 or 2 at the ends. Samples are 1 apart, or a number, or at given places.\n\n>>> tg.gradient(tg.Variable([1.0, 2.0, 4.0]))\nVariable([1. , 1.5, 2. ])\n",
        params: &[
            Param::array("f"),
            Param::new("varargs", Kind::Each),
            Param { keyword_only: true, ..Param::axes() },
            Param::new("edge_order", Kind::Int).or(Default::Int(1)).named(),
        ],
        call: call_gradient,
        cost: 5.0,
        gradient: Gradient::Composite("differences of g"),
        samples: gradient_samples,
        ..Entry::BASE
    }
    .no_method(),
];

fn interp_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(401);
    let points = |v: &[f64]| Arg::Variable(Array::from_slice(v, &[v.len()]).into());
    let (xp, fp) = (points(&[-2.0, -0.7, 0.4, 2.5]), REAL.array(draw, &[4]));
    vec![
        call_with(REAL.array(draw, &[2, 3]), [xp.clone(), Arg::Variable(fp.clone()), Arg::None, Arg::None, Arg::None]),
        call_with(REAL.array(draw, &[]), [xp.clone(), Arg::Variable(fp.clone()), Arg::Float(-1.0), Arg::Float(7.0), Arg::None]),
        call_with(REAL.array(draw, &[5]), [xp, Arg::Variable(fp), Arg::None, Arg::None, Arg::Float(6.1)]),
    ]
}

fn trapezoid_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(402);
    let y = |draw: &mut Draw| REAL.strided(draw, &[3, 4]);
    vec![
        call_with(y(draw), [Arg::None, Arg::Float(0.5), Arg::Int(-1)]),
        call_with(y(draw), [Arg::Variable(REAL.array(draw, &[3])), Arg::Float(1.0), Arg::Int(0)]),
        call_with(y(draw), [Arg::Variable(REAL.array(draw, &[3, 4])), Arg::Float(1.0), Arg::Int(1)]),
        call_with(REAL.array(draw, &[1]), [Arg::None, Arg::Float(1.0), Arg::Int(0)]),
    ]
}

fn gradient_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(403);
    let places: Variable = Array::from_slice(&[0.0, 0.5, 1.7, 2.0], &[4]).into();
    let rest = |spacing: Vec<Variable>, axes: Arg, order: i64| [Arg::Variables(spacing), axes, Arg::Int(order)];
    vec![
        call_with(REAL.array(draw, &[5]), rest(vec![], Arg::None, 1)),
        call_with(REAL.strided(draw, &[3, 4]), rest(vec![scalar(0.5, DType::F64)], Arg::None, 2)),
        call_with(REAL.strided(draw, &[3, 4]), rest(vec![places], super::samples::ints(&[1]), 2)),
    ]
}
