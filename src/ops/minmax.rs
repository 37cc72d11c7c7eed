//! The largest and smallest elements along axes, and their positions.

use smallvec::smallvec;

use super::reduction::{
    Reduced, batch_reduction, expand_reduced, expand_reduced_array, finish, normalize_axes, reduced_shape, reduction_samples, sum_over,
};
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::samples::{Draw, REAL, call_with};
use super::shape::astype;
use super::{annihilate, divide, equal, isnan, logical_and, logical_or, where_};
use crate::array::{Array, DType};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel::cast::{from_core, to_core};
use crate::kernel::reduce::argreduce;
use crate::kernel::reduce::ops::{CountNonzero, Max, Min};
use crate::kernel::reduce::{ReducePlan, reduce};
use crate::tape::{Batch, Call, Jvp, Primitive, Variable, Vjp, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&MAX, &MIN, &TIES, &ARGMAX, &ARGMIN];

static MAX: Primitive = Primitive {
    name: "max",
    eval: |call| {
        let (x, a) = (call.array(0), call.attrs::<Reduced>());
        call.give(finish(fold(x, &a.axes, true), x.shape(), &a.axes, a.keepdims));
        Ok(())
    },
    ..EXTREMUM
};
static MIN: Primitive = Primitive {
    name: "min",
    eval: |call| {
        let (x, a) = (call.array(0), call.attrs::<Reduced>());
        call.give(finish(fold(x, &a.axes, false), x.shape(), &a.axes, a.keepdims));
        Ok(())
    },
    ..EXTREMUM
};

/// The fields that [`MAX`] and [`MIN`] share.
const EXTREMUM: Primitive = Primitive {
    saves: |s| {
        s.input(0);
        s.output(0);
    },
    vjp: Vjp::Rule(|ctx| {
        let (g, x, y) = (ctx.cotangent(), ctx.input(0), ctx.output(0));
        ctx.add(0, apply(&TIES, &[(&g).into(), (&x).into(), (&y).into()], ctx.attrs::<Reduced>())?)
    }),
    jvp: Jvp::Rule(|ctx| {
        let Some(t) = &ctx.tangents[0] else { return Ok(smallvec![]) };
        let a: &Reduced = ctx.attrs();
        let (is_best, ties) = ties(&ctx.input(0), &ctx.outputs[0], a)?;
        let total = sum_over(&best_only(&ctx.input(0), &is_best, t)?, &a.axes, a.keepdims)?;
        Ok(smallvec![divide(&total, &ties)?])
    }),
    batch: Batch::Rule(batch_reduction),
    ..Primitive::BASE
};

/// Distributes the cotangent g of an extremum y of x equally over all elements of x that equal it. Inputs: g, x, y.
static TIES: Primitive = Primitive {
    name: "share_ties",
    eval: |call| {
        let (g, x, y, a) = (call.array(0), call.array(1), call.array(2), call.attrs::<Reduced>());
        let best = expand_reduced_array(y, &a.axes, x.shape())?;
        let mask = dispatch!(float x.dtype(), T => argreduce::mask::<T>(x, &best), else unreachable!("gradients are floating"));
        let ties = reduce::<CountNonzero, bool>(&mask, &a.axes).reshape(g.shape())?;
        let share = divide(&g.clone().into(), &astype(&ties.into(), g.dtype())?)?;
        let share = expand_reduced_array(share.array(), &a.axes, x.shape())?;
        call.give(dispatch!(float x.dtype(), T => argreduce::shared::<T>(&share, x, &best), else unreachable!("gradients are floating")));
        Ok(())
    },
    saves: |s| (0..3).for_each(|i| s.input(i)),
    vjp: Vjp::Definition,
    jvp: Jvp::Definition,
    batch: Batch::Rule(|ctx| {
        let a: &Reduced = ctx.attrs();
        ctx.apply_spread(&Reduced { axes: a.axes.iter().map(|axis| axis + 1).collect(), keepdims: a.keepdims })
    }),
    definition: Some(|inputs, attrs| {
        let a: &Reduced = attrs.as_any().downcast_ref().unwrap_or_else(|| unreachable!("share_ties: called with other attributes"));
        let (is_best, ties) = ties(&inputs[1], &inputs[2], a)?;
        let share = expand_reduced(&divide(&inputs[0], &ties)?, &a.axes, inputs[1].shape())?;
        Ok(smallvec![best_only(&inputs[1], &is_best, &share)?])
    }),
    ..Primitive::BASE
};

/// `g` for the elements of x that are the extremum, NaN for elements that are NaN, and zero for others.
fn best_only(x: &Variable, is_best: &Variable, g: &Variable) -> Result<Variable> {
    where_(is_best, &where_(&isnan(x)?, &annihilate(g, f64::NAN)?, g)?, 0.0)
}

/// Which elements of x equal the extremum y, and how many do so for each element of y. NaN counts as equal to NaN.
fn ties(x: &Variable, y: &Variable, a: &Reduced) -> Result<(Variable, Variable)> {
    let best = expand_reduced(y, &a.axes, x.shape())?;
    let both_nan = logical_and(&isnan(x)?, &isnan(&best)?)?;
    let is_best = logical_or(&equal(x, &best)?, &both_nan)?;
    let count = sum_over(&is_best, &a.axes, a.keepdims)?;
    Ok((is_best, astype(&count, x.dtype())?))
}

/// An error if the extremum would be over no elements, or over numbers without an order.
pub(super) fn check_empty(op: &str, x: &Variable, axes: &[usize]) -> Result<()> {
    if x.dtype().is_complex() {
        return Err(Error::dtype(op, x.dtype(), "real numbers: complex ones have no order; take abs(), .real or .imag first"));
    }
    if ReducePlan::new(x.shape(), axes).count == 0 {
        return Err(Error::Value(format!(
            "{op}: nothing to choose from: an array of shape {} is empty along the axes {axes:?}",
            show_shape(x.shape())
        )));
    }
    Ok(())
}

/// The largest or smallest element over normalised axes, with the kept axes only.
pub(super) fn fold(x: &Array, axes: &[usize], largest: bool) -> Array {
    dispatch!(core x.dtype(), T => if largest { reduce::<Max, T>(x, axes) } else { reduce::<Min, T>(x, axes) },
        else from_core(&fold(&to_core(x), axes, largest), x.dtype()))
}

fn extremum(op: &'static Primitive, x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    let axes = normalize_axes(op.name, axes, x.ndim())?;
    check_empty(op.name, x, &axes)?;
    apply(op, &[x.into()], &Reduced { axes, keepdims })
}

/// The largest element over `axes` (`None`: all); NaN if there is one. Ties share the gradient equally.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice, `Value` when there are no elements.
pub fn max(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    extremum(&MAX, x, axes, keepdims)
}

/// The smallest element over `axes` (`None`: all); NaN if there is one. Ties share the gradient equally.
///
/// # Errors
/// As [`max`].
pub fn min(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    extremum(&MIN, x, axes, keepdims)
}

static ARGMAX: Primitive = Primitive {
    name: "argmax",
    eval: |call| {
        eval_position(call, true);
        Ok(())
    },
    ..POSITION
};
static ARGMIN: Primitive = Primitive {
    name: "argmin",
    eval: |call| {
        eval_position(call, false);
        Ok(())
    },
    ..POSITION
};

const POSITION: Primitive = Primitive { batch: Batch::Rule(batch_reduction), ..Primitive::BASE };

fn eval_position(call: &mut Call<'_>, largest: bool) {
    let (x, a) = (call.array(0), call.attrs::<Reduced>());
    if x.size() == 0 {
        call.out(&reduced_shape(x.shape(), &a.axes, a.keepdims), DType::I64);
        return;
    }
    // The elements are read twice and must not change in between, as lent memory may.
    let x = to_core(&if x.is_lent() { x.pooled() } else { x.clone() });
    let x = &x;
    let best = fold(x, &a.axes, largest);
    let out = dispatch!(core x.dtype(), T => argreduce::positions::<T>(x, &a.axes, &best), else unreachable!("to_core() was called"));
    call.give(finish(out, x.shape(), &a.axes, a.keepdims));
}

fn position(op: &str, x: &Variable, axis: Option<isize>, keepdims: bool, largest: bool) -> Result<Variable> {
    let over = normalize_axes(op, axis.as_ref().map(std::slice::from_ref), x.ndim())?;
    check_empty(op, x, &over)?;
    apply(if largest { &ARGMAX } else { &ARGMIN }, &[x.into()], &Reduced { axes: over, keepdims })
}

/// The position of the largest element along `axis` (`None`: in the flattened array): the first among equals, or the first NaN if there is
/// one.
///
/// # Errors
/// `Axis` when the axis is out of range, `Value` when there are no elements.
pub fn argmax(x: &Variable, axis: Option<isize>, keepdims: bool) -> Result<Variable> {
    position("argmax", x, axis, keepdims, true)
}

/// The position of the smallest element: see [`argmax`].
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

/// Along one axis, or over all elements.
fn position_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(7);
    let all = [(REAL.array(draw, &[5]), Arg::None), (REAL.strided(draw, &[3, 4]), Arg::Int(1)), (REAL.array(draw, &[2, 3, 2]), Arg::Int(-2))];
    all.into_iter().map(|(x, axis)| call_with(x, [axis, Arg::Bool(false)])).collect()
}

/// The row of `max`.
const MAX_ROW: Entry = Entry {
    name: "max",
    doc: "The largest element over axes (None: all); NaN when there is one. Ties share the gradient equally. An empty axis raises ValueError.\n\n>>> tg.max(tg.Variable([[1.0, 5.0], [4.0, 3.0]]), axis=0)\nVariable([4., 5.])\n",
    params: OVER_AXES,
    call: |a| Ok(max(&a.variable(0)?, a.axes(1)?, a.flag(2)?)?.into()),
    gradient: Gradient::Rule("g / (number of maxima) at the maxima, else 0"),
    samples: || reduction_samples(REAL, false, &[]),
    ..Entry::BASE
};

/// The row of `min`.
const MIN_ROW: Entry = Entry {
    name: "min",
    doc: "The smallest element over axes (None: all); NaN when there is one. Ties share the gradient equally. An empty axis raises ValueError.\n\n>>> tg.min(tg.Variable([[1.0, 5.0], [4.0, 3.0]]), axis=1)\nVariable([1., 3.])\n",
    params: OVER_AXES,
    call: |a| Ok(min(&a.variable(0)?, a.axes(1)?, a.flag(2)?)?.into()),
    gradient: Gradient::Rule("g / (number of minima) at the minima, else 0"),
    samples: || reduction_samples(REAL, false, &[]),
    ..Entry::BASE
};

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    MAX_ROW,
    // A separate row: `max(dim=)` is refused, because PyTorch's returns a pair, while `amax(dim=)` means the same in both.
    Entry {
        name: "amax",
        doc: "As max: the largest element over axes (None: all). Unlike max it takes PyTorch's dim= and keepdim=, which mean axis= and keepdims= here.\n\n>>> tg.amax(tg.Variable([[1.0, 5.0], [4.0, 3.0]]), dim=0)\nVariable([4., 5.])\n",
        ..MAX_ROW
    },
    MIN_ROW,
    // A separate row: `min(dim=)` is refused, because PyTorch's returns a pair, while `amin(dim=)` means the same in both.
    Entry {
        name: "amin",
        doc: "As min: the smallest element over axes (None: all). Unlike min it takes PyTorch's dim= and keepdim=, which mean axis= and keepdims= here.\n\n>>> tg.amin(tg.Variable([[1.0, 5.0], [4.0, 3.0]]), dim=1)\nVariable([1., 3.])\n",
        ..MIN_ROW
    },
    Entry {
        name: "argmax",
        doc: "Where the largest element stands along an axis (None: in the flattened array), as int64: the first of equals, and the first NaN when there is one.\n\n>>> tg.argmax(tg.Variable([[1.0, 5.0, 5.0], [4.0, 3.0, 2.0]]), axis=1)\nVariable([1, 0])\n",
        params: ONE_AXIS,
        call: |a| call_position(a, argmax),
        samples: position_samples,
        ..Entry::BASE
    },
    Entry {
        name: "argmin",
        doc: "Where the smallest element stands along an axis (None: in the flattened array), as int64: the first of equals, and the first NaN when there is one.\n\n>>> tg.argmin(tg.Variable([[1.0, 5.0, 5.0], [4.0, 3.0, 2.0]]), axis=1)\nVariable([0, 2])\n",
        params: ONE_AXIS,
        call: |a| call_position(a, argmin),
        samples: position_samples,
        ..Entry::BASE
    },
];
