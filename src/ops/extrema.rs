//! The largest and smallest elements along axes, and where they stand.

use super::reduction::{axes_attr, axes_of, finish, normalize_axes, reduced_shape, reduction_samples, spread, spread_array};
use super::registry::{Args, Default, Entry, Gradient, Kind, Param, Value};
use super::samples::REAL;
use super::shape::astype;
use super::{annihilate, divide, isnan, where_};
use crate::array::{Array, DType};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel::folds::{CountNonzero, Max, Min};
use crate::kernel::positions;
use crate::kernel::reduce::{Plan, reduce};
use crate::tape::{Grads, Op, Rule, Step, Variable, record};

static MAX: Op = Op { name: "max", rule: Rule::Vjp(extremum_vjp) };
static MIN: Op = Op { name: "min", rule: Rule::Vjp(extremum_vjp) };

/// The cotangent, shared equally by all elements that are the extremum; NaN for those that are NaN.
fn extremum_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let axes = axes_of(step);
    let (x, y) = (step.input_array(0), step.output_array(0));
    let best = spread_array(y, &axes, x.shape())?;
    let mask = dispatch!(x.dtype(), T => positions::mask::<T>(x, &best));
    let ties = reduce::<CountNonzero, bool>(&mask, &axes).reshape(g.shape())?;
    let share = divide(&g, &astype(&ties.into(), g.dtype())?)?;
    let out = if step.create_graph() {
        let share = spread(&share, &axes, x.shape())?;
        let nan = isnan(&x.clone().into())?;
        where_(&mask.into(), &where_(&nan, &annihilate(&share, f64::NAN)?, &share)?, 0.0)?
    } else {
        let share = spread_array(share.array(), &axes, x.shape())?;
        dispatch!(x.dtype(), T => positions::shared::<T>(&share, x, &best)).into()
    };
    Ok(std::iter::once(Some(out)).collect())
}

/// Raises when the result would be an extremum of nothing.
pub(super) fn check_empty(op: &str, x: &Variable, axes: &[usize]) -> Result<()> {
    if Plan::new(x.shape(), axes).count == 0 {
        return Err(Error::Value(format!(
            "{op}: nothing to choose from: an array of shape {} is empty along the axes {axes:?}",
            show_shape(x.shape())
        )));
    }
    Ok(())
}

/// The largest element, or the smallest, over normalised axes, with the kept axes only.
pub(super) fn fold(x: &Array, axes: &[usize], largest: bool) -> Array {
    dispatch!(x.dtype(), T => if largest { reduce::<Max, T>(x, axes) } else { reduce::<Min, T>(x, axes) })
}

fn extremum(op: &'static Op, x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    let axes = normalize_axes(op.name, axes, x.ndim())?;
    check_empty(op.name, x, &axes)?;
    let out = fold(x.array(), &axes, std::ptr::eq(op, &raw const MAX));
    record(op, &[x], finish(out, x.shape(), &axes, keepdims), |s| {
        s.input(0);
        s.output(0);
        s.attrs(axes_attr(&axes));
    })
}

/// The largest element over `axes` (`None`: all); NaN when there is one. Ties share the gradient equally.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice, `Value` when there is nothing to choose from.
pub fn max(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    extremum(&MAX, x, axes, keepdims)
}

/// The smallest element over `axes` (`None`: all); NaN when there is one. Ties share the gradient equally.
///
/// # Errors
/// As [`max`].
pub fn min(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    extremum(&MIN, x, axes, keepdims)
}

fn position(op: &str, x: &Variable, axis: Option<isize>, keepdims: bool, largest: bool) -> Result<Variable> {
    let over = normalize_axes(op, axis.as_ref().map(std::slice::from_ref), x.ndim())?;
    check_empty(op, x, &over)?;
    if x.array().size() == 0 {
        return Ok(Array::empty(&reduced_shape(x.shape(), &over, keepdims), DType::I64).into());
    }
    // It is read twice, and both must see the same: not memory that someone else may write meanwhile.
    let x = if x.array().is_lent() { &x.detach().pooled() } else { x };
    let best = fold(x.array(), &over, largest);
    let out = dispatch!(x.dtype(), T => positions::positions::<T>(x.array(), &over, &best));
    Ok(finish(out, x.shape(), &over, keepdims).into())
}

/// Where the largest element stands along `axis` (`None`: in the flattened array): the first of equals, and the first
/// NaN when there is one.
///
/// # Errors
/// `Axis` when the axis is out of range, `Value` when there is nothing to choose from.
pub fn argmax(x: &Variable, axis: Option<isize>, keepdims: bool) -> Result<Variable> {
    position("argmax", x, axis, keepdims, true)
}

/// Where the smallest element stands: see [`argmax`].
///
/// # Errors
/// As [`argmax`].
pub fn argmin(x: &Variable, axis: Option<isize>, keepdims: bool) -> Result<Variable> {
    position("argmin", x, axis, keepdims, false)
}

fn call_position(a: &Args<'_>, f: fn(&Variable, Option<isize>, bool) -> Result<Variable>) -> Result<Value> {
    let axis = a.opt_int(1)?.map(|axis| isize::try_from(axis).unwrap_or(isize::MAX));
    Ok(f(&a.variable(0)?, axis, a.flag(2)?)?.into())
}

/// x, axes, keepdims.
const OVER_AXES: &[Param] = &[Param::array("x"), Param::axes(), Param::keepdims()];
/// x, one axis or None, keepdims.
const ONE_AXIS: &[Param] =
    &[Param::array("x"), Param { alias: Some("dim"), ..Param::new("axis", Kind::OptInt).or(Default::None) }, Param::keepdims()];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "max",
        aliases: &["amax"],
        doc: "The largest element over axes (None: all); NaN when there is one. Ties share the gradient equally. An empty axis raises ValueError.\n\n>>> tg.max(tg.Variable([[1.0, 5.0], [4.0, 3.0]]), axis=0)\nVariable([4., 5.])\n",
        params: OVER_AXES,
        call: |a| Ok(max(&a.variable(0)?, a.axes(1)?, a.flag(2)?)?.into()),
        gradient: Gradient::Rule("g / (number of maxima) at the maxima, else 0"),
        samples: || reduction_samples(REAL, false, &[]),
        ..Entry::BASE
    },
    Entry {
        name: "min",
        aliases: &["amin"],
        doc: "The smallest element over axes (None: all); NaN when there is one. Ties share the gradient equally. An empty axis raises ValueError.\n\n>>> tg.min(tg.Variable([[1.0, 5.0], [4.0, 3.0]]), axis=1)\nVariable([1., 3.])\n",
        params: OVER_AXES,
        call: |a| Ok(min(&a.variable(0)?, a.axes(1)?, a.flag(2)?)?.into()),
        gradient: Gradient::Rule("g / (number of minima) at the minima, else 0"),
        samples: || reduction_samples(REAL, false, &[]),
        ..Entry::BASE
    },
    Entry {
        name: "argmax",
        doc: "Where the largest element stands along an axis (None: in the flattened array), as int64: the first of equals, and the first NaN when there is one.\n\n>>> tg.argmax(tg.Variable([[1.0, 5.0, 5.0], [4.0, 3.0, 2.0]]), axis=1)\nVariable([1, 0])\n",
        params: ONE_AXIS,
        call: |a| call_position(a, argmax),
        ..Entry::BASE
    },
    Entry {
        name: "argmin",
        doc: "Where the smallest element stands along an axis (None: in the flattened array), as int64: the first of equals, and the first NaN when there is one.\n\n>>> tg.argmin(tg.Variable([[1.0, 5.0, 5.0], [4.0, 3.0, 2.0]]), axis=1)\nVariable([0, 2])\n",
        params: ONE_AXIS,
        call: |a| call_position(a, argmin),
        ..Entry::BASE
    },
];
