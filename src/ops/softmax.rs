//! Softmax, its logarithm, and the logarithm of a sum of exponentials: stable for logits of any size.

use super::reduction::{
    Axes, OverAxes, Reduced, batch_over_axes, batch_reduction, expand_reduced, finish, floating, normalize_axes, reduction_samples, sum_over,
};
use smallvec::smallvec;

use super::registry::{Arg, Entry, Gradient, Param, Sample};
use super::samples::{Draw, REAL};
use super::shape::scalar;
use super::{annihilate, equal, exp, multiply, subtract, where_};
use crate::array::Array;
use crate::dispatch;
use crate::error::Result;
use crate::kernel::reduce::ReducePlan;
use crate::kernel::softmax as kernel;
use crate::tape::{Batch, Jvp, Primitive, Variable, Vjp, apply};

/// Runs a kernel over rows: the axes of a row are moved to the end and back.
fn by_rows<const N: usize>(inputs: [&Array; N], axes: &[usize], f: impl Fn([&Array; N], usize) -> Array) -> Array {
    let plan = ReducePlan::new(inputs[0].shape(), axes);
    let rows = inputs.map(|a| plan.rows(a));
    plan.back(&f(rows.each_ref(), plan.count))
}

/// A single axis. A 0-d array counts as a row of one element.
fn one_axis(op: &str, axis: isize, ndim: usize) -> Result<Axes> {
    if ndim == 0 && (axis == 0 || axis == -1) { Ok(Axes::new()) } else { normalize_axes(op, Some(&[axis]), ndim) }
}

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&SOFTMAX, &SOFTMAX_GRADIENT, &LOG_SOFTMAX, &LOG_SOFTMAX_GRADIENT, &LOGSUMEXP];

static SOFTMAX: Primitive = Primitive {
    name: "softmax",
    eval: |call| {
        let out = by_rows([call.array(0)], &call.attrs::<OverAxes>().axes, |[x], n| kernel::softmax(x, n));
        call.give(out);
        Ok(())
    },
    saves: |s| s.output(0),
    vjp: Vjp::Rule(|ctx| {
        let (g, y) = (ctx.cotangent(), ctx.output(0));
        ctx.add(0, softmax_gradient(&g, &y, ctx.attrs())?)
    }),
    // The Jacobian of softmax is symmetric.
    jvp: Jvp::Rule(|ctx| match &ctx.tangents[0] {
        Some(t) => Ok(smallvec![softmax_gradient(t, &ctx.outputs[0], ctx.attrs())?]),
        None => Ok(smallvec![]),
    }),
    batch: Batch::Rule(batch_over_axes),
    ..Primitive::BASE
};

/// The vjp of softmax by its result y: y (g - sum(g y)).
static SOFTMAX_GRADIENT: Primitive = Primitive {
    name: "softmax_gradient",
    eval: |call| {
        let out = by_rows([call.array(0), call.array(1)], &call.attrs::<OverAxes>().axes, |[g, y], n| kernel::softmax_gradient(g, y, n));
        call.give(out);
        Ok(())
    },
    saves: |s| {
        s.input(0);
        s.input(1);
    },
    vjp: Vjp::Definition,
    jvp: Jvp::Definition,
    batch: Batch::Rule(batch_over_axes),
    definition: Some(|inputs, attrs| {
        let (g, y) = (&inputs[0], &inputs[1]);
        let total = sum_over(&multiply(g, y)?, &attrs.get::<OverAxes>().axes, true)?;
        Ok(smallvec![multiply(y, &subtract(g, &total)?)?])
    }),
    ..Primitive::BASE
};

fn softmax_gradient(g: &Variable, y: &Variable, over: &OverAxes) -> Result<Variable> {
    apply(&SOFTMAX_GRADIENT, &[g.into(), y.into()], over)
}

/// [`softmax`] over all of some normalised axes at once.
fn softmax_over(x: &Variable, axes: &[usize]) -> Result<Variable> {
    apply(&SOFTMAX, &[x.into()], &OverAxes { axes: axes.into() })
}

/// eˣ over its sum along `axis`: positive numbers that add up to one.
///
/// # Errors
/// `Axis` when the axis is out of range.
pub fn softmax(x: &Variable, axis: isize) -> Result<Variable> {
    softmax_over(&floating("softmax", x)?, &one_axis("softmax", axis, x.ndim())?)
}

static LOG_SOFTMAX: Primitive = Primitive {
    name: "log_softmax",
    eval: |call| {
        let out = by_rows([call.array(0)], &call.attrs::<OverAxes>().axes, |[x], n| kernel::log_softmax(x, n));
        call.give(out);
        Ok(())
    },
    saves: |s| s.output(0),
    vjp: Vjp::Rule(|ctx| {
        let (g, y) = (ctx.cotangent(), ctx.output(0));
        ctx.add(0, apply(&LOG_SOFTMAX_GRADIENT, &[(&g).into(), (&y).into()], ctx.attrs::<OverAxes>())?)
    }),
    jvp: Jvp::Rule(|ctx| {
        let Some(t) = &ctx.tangents[0] else { return Ok(smallvec![]) };
        let total = sum_over(&multiply(&exp(&ctx.outputs[0])?, t)?, &ctx.attrs::<OverAxes>().axes, true)?;
        Ok(smallvec![subtract(t, &total)?])
    }),
    batch: Batch::Rule(batch_over_axes),
    ..Primitive::BASE
};

/// The vjp of log_softmax by its result y: g - exp(y) sum(g).
static LOG_SOFTMAX_GRADIENT: Primitive = Primitive {
    name: "log_softmax_gradient",
    eval: |call| {
        let out = by_rows([call.array(0), call.array(1)], &call.attrs::<OverAxes>().axes, |[g, y], n| kernel::log_softmax_gradient(g, y, n));
        call.give(out);
        Ok(())
    },
    saves: |s| {
        s.input(0);
        s.input(1);
    },
    vjp: Vjp::Definition,
    jvp: Jvp::Definition,
    batch: Batch::Rule(batch_over_axes),
    definition: Some(|inputs, attrs| {
        let (g, y) = (&inputs[0], &inputs[1]);
        Ok(smallvec![subtract(g, &multiply(&exp(y)?, &sum_over(g, &attrs.get::<OverAxes>().axes, true)?)?)?])
    }),
    ..Primitive::BASE
};

/// The logarithm of [`softmax`], accurate also where that rounds to zero.
///
/// # Errors
/// `Axis` when the axis is out of range.
pub fn log_softmax(x: &Variable, axis: isize) -> Result<Variable> {
    let over = one_axis("log_softmax", axis, x.ndim())?;
    let x = floating("log_softmax", x)?;
    apply(&LOG_SOFTMAX, &[(&x).into()], &OverAxes { axes: over })
}

static LOGSUMEXP: Primitive = Primitive {
    name: "logsumexp",
    eval: |call| {
        let (x, a) = (call.array(0), call.attrs::<Reduced>());
        let plan = ReducePlan::new(x.shape(), &a.axes);
        let out = kernel::logsumexp(&plan.rows(x), plan.count, &plan.kept);
        call.give(finish(out, x.shape(), &a.axes, a.keepdims));
        Ok(())
    },
    saves: |s| {
        s.input(0);
        s.output(0);
    },
    vjp: Vjp::Rule(|ctx| {
        let (g, x, y) = (ctx.cotangent(), ctx.input(0), ctx.output(0));
        ctx.add(0, pull_logsumexp(&g, &x, &y, &ctx.attrs::<Reduced>().axes)?)
    }),
    jvp: Jvp::Rule(|ctx| {
        let Some(t) = &ctx.tangents[0] else { return Ok(smallvec![]) };
        let a: &Reduced = ctx.attrs();
        // The weights of the elements, which are the gradient for a cotangent of ones.
        let ones = ones_like(&ctx.outputs[0])?;
        let weights = pull_logsumexp(&ones, &ctx.input(0), &ctx.outputs[0], &a.axes)?;
        Ok(smallvec![sum_over(&annihilate(t, &weights)?, &a.axes, a.keepdims)?])
    }),
    batch: Batch::Rule(batch_reduction),
    ..Primitive::BASE
};

/// g ⊗ softmax(x). The gradient is 0 if all elements are -∞; elements that are +∞ get all of it. Such rows are replaced in advance, because
/// they would give NaN.
///
/// The softmax is recomputed: e^(x - y) would lack the digits that rounding of a large y has lost.
fn pull_logsumexp(g: &Variable, x: &Variable, y: &Variable, axes: &[usize]) -> Result<Variable> {
    if !y.is_lifted() && !has_infinity(y.array()) {
        return annihilate(&expand_reduced(g, axes, x.shape())?, &softmax_over(x, axes)?);
    }
    let (void, full) = (equal(y, f64::NEG_INFINITY)?, equal(y, f64::INFINITY)?);
    let g = expand_reduced(&where_(&void, 0.0, g)?, axes, x.shape())?;
    let shares = where_(&expand_reduced(&void, axes, x.shape())?, 0.0, x)?;
    // Infinite elements share the gradient equally.
    let limit = where_(&equal(x, f64::INFINITY)?, &scalar(0.0, x.dtype()), f64::NEG_INFINITY)?;
    let shares = where_(&expand_reduced(&full, axes, x.shape())?, &limit, &shares)?;
    annihilate(&g, &softmax_over(&shares, axes)?)
}

/// Whether an element is infinite.
fn has_infinity(y: &Array) -> bool {
    crate::tape::capture::read(y, "the gradient of logsumexp");
    dispatch!(float y.dtype(), T => y.view::<T>().iter().any(|v| v.is_infinite()), else false)
}

fn ones_like(x: &Variable) -> Result<Variable> {
    super::broadcast_to(&scalar(1.0, x.dtype()), x.shape())
}

/// ln Σ eˣ over `axes` (`None`: all); -∞ for no elements. If all elements are -∞, so is the result, and the gradient is 0.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn logsumexp(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    let axes = normalize_axes("logsumexp", axes, x.ndim())?;
    let x = floating("logsumexp", x)?;
    apply(&LOGSUMEXP, &[(&x).into()], &Reduced { axes, keepdims })
}

/// Samples along one axis.
fn samples() -> Vec<Sample> {
    let draw = &mut Draw::new(7);
    let cases: Vec<(Variable, i64)> = vec![
        (REAL.array(draw, &[]), -1),
        (REAL.array(draw, &[5]), 0),
        (REAL.array(draw, &[3, 4]), -1),
        (REAL.array(draw, &[3, 4]), 0),
        (REAL.strided(draw, &[3, 4]), 1),
        (REAL.strided(draw, &[2, 3, 2]), -2),
        (REAL.array(draw, &[2, 1, 3]), 1),
        (REAL.array(draw, &[0, 3]), 1),
        (REAL.array(draw, &[2, 0]), 1),
        (REAL.array(draw, &[2, 33]), 1),
    ];
    cases.into_iter().map(|(x, axis)| Sample { args: vec![Arg::Variable(x), Arg::Int(axis)] }).collect()
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "softmax",
        doc: "exp(x) over its sum along an axis: positive numbers that add up to one, for x of any size.\n\n>>> tg.softmax(tg.Variable([1000.0, 1000.0, -1000.0]))\nVariable([0.5, 0.5, 0. ])\n",
        params: &[Param::array("x"), Param::axis(-1)],
        call: |a| Ok(softmax(&a.variable(0)?, a.axis(1)?)?.into()),
        gradient: Gradient::Rule("y (g - sum(g y))"),
        samples,
        ..Entry::BASE
    },
    Entry {
        name: "log_softmax",
        doc: "The logarithm of softmax along an axis, exact also where softmax rounds to zero.\n\n>>> tg.log_softmax(tg.Variable([0.0, -1000.0]))\nVariable([    0., -1000.])\n",
        params: &[Param::array("x"), Param::axis(-1)],
        call: |a| Ok(log_softmax(&a.variable(0)?, a.axis(1)?)?.into()),
        gradient: Gradient::Rule("g - exp(y) sum(g)"),
        samples,
        ..Entry::BASE
    },
    Entry {
        name: "logsumexp",
        doc: "The logarithm of the sum of exp(x) over axes (None: all), for x of any size; -inf of nothing. Where all elements are -inf so is the result, and the gradient is 0.\n\n>>> tg.logsumexp(tg.Variable([[1000.0, -1000.0], [2.0, -1000.0]]), axis=1)\nVariable([1000.,    2.])\n",
        params: &[Param::array("x"), Param::axes(), Param::keepdims()],
        call: |a| Ok(logsumexp(&a.variable(0)?, a.axes(1)?, a.flag(2)?)?.into()),
        gradient: Gradient::Rule("g ⊗ softmax(x)"),
        samples: || reduction_samples(REAL, false, &[]),
        ..Entry::BASE
    },
];
