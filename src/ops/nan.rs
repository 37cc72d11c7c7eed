//! Reductions that ignore NaN.

use super::minmax::{argmax, argmin, max, min};
use super::reduction::{inexact, prod, sum};
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Value};
use super::running::{cumprod, cumsum};
use super::samples::REAL;
use super::shape::astype;
use super::{add, all, any, divide, equal, imag, isnan, logical_not, real, sqrt, square, subtract, where_};
use crate::error::{Error, Result};
use crate::tape::Variable;

/// `x`, where NaN is replaced by `value`.
fn filled(x: &Variable, value: f64) -> Result<Variable> {
    if x.dtype().is_float() || x.dtype().is_complex() { where_(&isnan(x)?, value, x) } else { Ok(x.clone()) }
}

/// How many elements are not NaN, in the real dtype of `x`.
fn counted(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    astype(&sum(&logical_not(&isnan(x)?)?, axes, keepdims)?, x.dtype().real())
}

/// The sum over `axes` (`None`: all), ignoring NaN.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn nansum(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    sum(&filled(x, 0.0)?, axes, keepdims)
}

/// The product over `axes` (`None`: all), ignoring NaN.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn nanprod(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    prod(&filled(x, 1.0)?, axes, keepdims)
}

/// The mean over `axes` (`None`: all), ignoring NaN; NaN if there are no other elements.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn nanmean(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    let x = inexact(x)?;
    divide(&nansum(&x, axes, keepdims)?, &counted(&x, axes, keepdims)?)
}

/// The variance over `axes` (`None`: all), ignoring NaN.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn nanvar(x: &Variable, axes: Option<&[isize]>, keepdims: bool, correction: f64) -> Result<Variable> {
    let x = inexact(x)?;
    let away = subtract(&x, &nanmean(&x, axes, true)?)?;
    let away = where_(&isnan(&x)?, 0.0, &away)?;
    let squares = if away.dtype().is_complex() { add(&square(&real(&away)?)?, &square(&imag(&away)?)?)? } else { square(&away)? };
    let left = subtract(&counted(&x, axes, keepdims)?, correction)?;
    let left = where_(&super::greater(&left, 0.0)?, &left, f64::NAN)?;
    divide(&sum(&squares, axes, keepdims)?, &left)
}

/// The standard deviation over `axes` (`None`: all), ignoring NaN. The gradient at a constant is 0.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn nanstd(x: &Variable, axes: Option<&[isize]>, keepdims: bool, correction: f64) -> Result<Variable> {
    let variance = nanvar(x, axes, keepdims, correction)?;
    let flat = equal(&variance, 0.0)?;
    where_(&flat, 0.0, &sqrt(&where_(&flat, 1.0, &variance)?)?)
}

/// The largest (or smallest) element over `axes` (`None`: all), ignoring NaN; infinite if all elements are NaN.
fn extremum(x: &Variable, axes: Option<&[isize]>, keepdims: bool, largest: bool) -> Result<Variable> {
    if !x.dtype().is_float() {
        return if largest { max(x, axes, keepdims) } else { min(x, axes, keepdims) };
    }
    let none = if largest { f64::NEG_INFINITY } else { f64::INFINITY };
    let x = &filled(x, none)?;
    let out = if largest { max(x, axes, keepdims)? } else { min(x, axes, keepdims)? };
    Ok(out)
}

/// [`extremum`], but NaN if all elements are NaN.
fn nan_extremum(x: &Variable, axes: Option<&[isize]>, keepdims: bool, largest: bool) -> Result<Variable> {
    let out = extremum(x, axes, keepdims, largest)?;
    if x.dtype().is_float() { where_(&all(&isnan(x)?, axes, keepdims)?, f64::NAN, &out) } else { Ok(out) }
}

/// The position of the largest (or smallest) element, ignoring NaN.
fn position(op: &str, x: &Variable, axis: Option<isize>, keepdims: bool, largest: bool) -> Result<Variable> {
    if x.dtype().is_float() {
        let void = any(&all(&isnan(x)?, axis.as_ref().map(std::slice::from_ref), false)?, None, false)?;
        if void.values(op)?.to_vec::<bool>() == [true] {
            return Err(Error::Value(format!("{op}: all elements of a slice are NaN")));
        }
    }
    let none = if largest { f64::NEG_INFINITY } else { f64::INFINITY };
    let x = filled(&x.detach(), none)?;
    if largest { argmax(&x, axis, keepdims) } else { argmin(&x, axis, keepdims) }
}

/// Calls `f` with the elements converted to `dtype`, if it is given.
fn in_dtype(a: &Args<'_>, f: fn(&Variable, Option<&[isize]>, bool) -> Result<Variable>) -> Result<Value> {
    let mut x = a.variable(0)?;
    let dtype = a.dtype(3)?;
    if let Some(d) = dtype {
        x = astype(&x, d)?;
    }
    let out = f(&x, a.axes(1)?, a.flag(2)?)?;
    Ok(dtype.map_or(Ok(out.clone()), |d| astype(&out, d))?.into())
}

fn call_position(a: &Args<'_>, largest: bool) -> Result<Value> {
    let axis = if a.is_none(1) { None } else { Some(a.axis(1)?) };
    Ok(position(a.name(), &a.variable(0)?, axis, a.flag(2)?, largest)?.into())
}

fn call_running(a: &Args<'_>, neutral: f64, f: fn(&Variable, Option<isize>) -> Result<Variable>) -> Result<Value> {
    let mut x = a.variable(0)?;
    if let Some(d) = a.dtype(2)? {
        x = astype(&x, d)?;
    }
    let axis = if a.is_none(1) { None } else { Some(a.axis(1)?) };
    Ok(f(&filled(&x, neutral)?, axis)?.into())
}

const OVER: &[Param] = &[Param::array("x"), Param::axes(), Param::keepdims()];
const WITH_DTYPE: &[Param] = &[Param::array("x"), Param::axes(), Param::keepdims(), Param::new("dtype", Kind::DType).or(Default::None).named()];
const MOMENT: &[Param] =
    &[Param::array("x"), Param::axes(), Param::keepdims(), Param { alias: Some("ddof"), ..Param::float("correction", 0.0).named() }];
const AXIS: Param = Param { alias: Some("dim"), ..Param::new("axis", Kind::OptInt).or(Default::None) };
const ONE: &[Param] = &[Param::array("x"), AXIS, Param::keepdims()];
const RUNNING: &[Param] = &[Param::array("x"), AXIS, Param::new("dtype", Kind::DType).or(Default::None)];

macro_rules! entry {
    ($name:literal, $params:expr, $call:expr, $gradient:literal, $samples:expr, $doc:literal) => {
        Entry { name: $name, doc: $doc, params: $params, call: $call, gradient: Gradient::Composite($gradient), samples: $samples, ..Entry::BASE }
    };
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    entry!(
        "nansum",
        WITH_DTYPE,
        |a| in_dtype(a, nansum),
        "g along the axes, 0 for NaN",
        || super::reduction::reduction_samples(REAL, true, &[Arg::None]),
        "The sum over axes (None: all) of what is not NaN.\n\n>>> tg.nansum(tg.Variable([1.0, float(\"nan\"), 2.0]))\nVariable(3.)\n"
    ),
    entry!(
        "nanprod",
        WITH_DTYPE,
        |a| in_dtype(a, nanprod),
        "g times the product of the others, 0 for NaN",
        || super::reduction::reduction_samples(REAL, true, &[Arg::None]),
        "The product over axes (None: all) of what is not NaN.\n\n>>> tg.nanprod(tg.Variable([2.0, float(\"nan\"), 3.0]))\nVariable(6.)\n"
    )
    .no_method(),
    entry!(
        "nanmean",
        WITH_DTYPE,
        |a| in_dtype(a, nanmean),
        "g / count along the axes, 0 for NaN",
        || super::reduction::reduction_samples(REAL, false, &[Arg::None]),
        "The mean over axes (None: all) of what is not NaN.\n\n>>> tg.nanmean(tg.Variable([1.0, float(\"nan\"), 2.0]))\nVariable(1.5)\n"
    ),
    entry!(
        "nanvar",
        MOMENT,
        |a| Ok(nanvar(&a.variable(0)?, a.axes(1)?, a.flag(2)?, a.float(3)?)?.into()),
        "2 g (x - mean) / (count - correction), 0 for NaN",
        moment_samples,
        "The variance over axes (None: all) of what is not NaN: see var.\n\n>>> tg.nanvar(tg.Variable([1.0, float(\"nan\"), 3.0]))\nVariable(1.)\n"
    )
    .no_method(),
    entry!(
        "nanstd",
        MOMENT,
        |a| Ok(nanstd(&a.variable(0)?, a.axes(1)?, a.flag(2)?, a.float(3)?)?.into()),
        "g (x - mean) / (y (count - correction)), 0 for NaN and where y is 0",
        moment_samples,
        "The standard deviation over axes (None: all) of what is not NaN: see std.\n\n>>> tg.nanstd(tg.Variable([1.0, float(\"nan\"), 3.0]))\nVariable(1.)\n"
    )
    .no_method(),
    entry!(
        "nanmax",
        OVER,
        |a| Ok(nan_extremum(&a.variable(0)?, a.axes(1)?, a.flag(2)?, true)?.into()),
        "g / (number of maxima) at the maxima, else 0",
        || super::reduction::reduction_samples(REAL, false, &[]),
        "The largest element over axes (None: all) of what is not NaN; NaN where all are.\n\n>>> tg.nanmax(tg.Variable([1.0, float(\"nan\"), 3.0]))\nVariable(3.)\n"
    )
    .no_method(),
    entry!(
        "nanmin",
        OVER,
        |a| Ok(nan_extremum(&a.variable(0)?, a.axes(1)?, a.flag(2)?, false)?.into()),
        "g / (number of minima) at the minima, else 0",
        || super::reduction::reduction_samples(REAL, false, &[]),
        "The smallest element over axes (None: all) of what is not NaN; NaN where all are.\n\n>>> tg.nanmin(tg.Variable([1.0, float(\"nan\"), 3.0]))\nVariable(1.)\n"
    )
    .no_method(),
    Entry {
        name: "nanargmax",
        doc: "Where the largest element of what is not NaN stands along an axis (None: in the flattened array), as int64. A slice of NaN alone raises ValueError.\n\n>>> tg.nanargmax(tg.Variable([1.0, float(\"nan\"), 3.0]))\nVariable(2)\n",
        params: ONE,
        call: |a| call_position(a, true),
        samples: position_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "nanargmin",
        doc: "Where the smallest element of what is not NaN stands along an axis (None: in the flattened array), as int64. A slice of NaN alone raises ValueError.\n\n>>> tg.nanargmin(tg.Variable([1.0, float(\"nan\"), 3.0]))\nVariable(0)\n",
        params: ONE,
        call: |a| call_position(a, false),
        samples: position_samples,
        ..Entry::BASE
    }
    .no_method(),
    entry!(
        "nancumsum",
        RUNNING,
        |a| call_running(a, 0.0, cumsum),
        "that of cumsum, 0 for NaN",
        running_samples,
        "Running sums along an axis (None: flattened), in which NaN counts as 0.\n\n>>> tg.nancumsum(tg.Variable([1.0, float(\"nan\"), 2.0]))\nVariable([1., 1., 3.])\n"
    )
    .no_method(),
    entry!(
        "nancumprod",
        RUNNING,
        |a| call_running(a, 1.0, cumprod),
        "that of cumprod, 0 for NaN",
        running_samples,
        "Running products along an axis (None: flattened), in which NaN counts as 1.\n\n>>> tg.nancumprod(tg.Variable([2.0, float(\"nan\"), 3.0]))\nVariable([2., 2., 6.])\n"
    )
    .no_method(),
];

fn moment_samples() -> Vec<super::registry::Sample> {
    let several = |s: &super::registry::Sample| matches!((&s.args[0], &s.args[1]), (Arg::Variable(x), Arg::None) if x.ndim() > 0);
    super::reduction::reduction_samples(REAL, false, &[Arg::Float(1.0)]).into_iter().filter(several).collect()
}

fn position_samples() -> Vec<super::registry::Sample> {
    let draw = &mut super::samples::Draw::new(342);
    vec![
        super::samples::call_with(REAL.strided(draw, &[2, 3]), [Arg::None, Arg::Bool(false)]),
        super::samples::call_with(REAL.strided(draw, &[2, 3]), [Arg::Int(1), Arg::Bool(true)]),
    ]
}

fn running_samples() -> Vec<super::registry::Sample> {
    let draw = &mut super::samples::Draw::new(341);
    vec![
        super::samples::call_with(REAL.strided(draw, &[2, 3]), [Arg::None, Arg::None]),
        super::samples::call_with(REAL.strided(draw, &[2, 3]), [Arg::Int(0), Arg::None]),
    ]
}
