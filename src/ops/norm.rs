//! Vector norms over axes.

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::minmax::{check_empty, fold};
use super::reduction::{Axes, behind_batch, expand_reduced, expand_reduced_array, finish, floating, normalize_axes, reduction_samples, sum_over};
use super::registry::{Arg, Default, Entry, Gradient, Kind, Param, Sample};
use super::samples::{Domain, NONZERO};
use super::shape::astype;
use super::{abs, add, annihilate, divide, equal, isnan, logical_or, multiply, power, sign, sqrt, square, stack, unstack, where_};
use crate::array::Array;
use crate::dispatch;
use crate::error::{Error, Result};
use crate::kernel::reduce::ops::{CountNonzero, Max, Min, SumAbs, SumSquares};
use crate::kernel::reduce::{ReducePlan, Sum, reduce};
use crate::tape::{BackwardOptions, Batch, Edge, Jvp, Lift, Lifted, Primitive, Variable, Vjp, VjpContext, apply, grad};

/// The axes and the order of a norm.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Length {
    axes: Axes,
    keepdims: bool,
    #[serde(with = "crate::array::number_text")]
    ord: f64,
}
crate::attributes!(Length);

/// How a norm is computed.
enum Power {
    Count,
    Absolute,
    Square,
    Extreme,
    Other(f64),
}

impl From<f64> for Power {
    #[allow(clippy::float_cmp, reason = "exactly these powers have formulas of their own")]
    fn from(ord: f64) -> Self {
        match ord {
            _ if ord == 0.0 => Self::Count,
            _ if ord == 1.0 => Self::Absolute,
            _ if ord == 2.0 => Self::Square,
            p if p.is_infinite() => Self::Extreme,
            p => Self::Other(p),
        }
    }
}

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&NORM];

static NORM: Primitive = Primitive {
    name: "vector_norm",
    eval: |call| {
        let (x, a) = (call.array(0), call.attrs::<Length>());
        let out = norm(x, &a.axes, a.ord)?;
        call.give(finish(out, x.shape(), &a.axes, a.keepdims));
        Ok(())
    },
    saves: |s| {
        s.input(0);
        s.output(0);
    },
    vjp: Vjp::Rule(norm_vjp),
    jvp: Jvp::Rule(|ctx| {
        let Some(t) = &ctx.tangents[0] else { return Ok(smallvec![]) };
        let a: &Length = ctx.attrs();
        let slope = slope(&ctx.input(0), &ctx.outputs[0], a)?;
        Ok(smallvec![sum_over(&annihilate(t, &slope)?, &a.axes, a.keepdims)?])
    }),
    batch: Batch::Rule(|ctx| {
        let a: &Length = ctx.attrs();
        ctx.apply_spread(&Length { axes: behind_batch(&a.axes), ..a.clone() })
    }),
    ..Primitive::BASE
};

fn norm_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let (g, x, y, a) = (ctx.cotangent(), ctx.input(0), ctx.output(0), ctx.attrs::<Length>());
    let wide = |v: &Variable| expand_reduced(v, &a.axes, x.shape());
    let regular = annihilate(&wide(&g)?, &slope(&x, &y, a)?)?;
    if matches!(Power::from(a.ord), Power::Count) {
        return ctx.add(0, regular);
    }
    // For negative orders, elements that are not zero do not influence a norm of zero.
    let own = |curvature: &Variable| multiply(&wide(curvature)?, &where_(&equal(&x, 0.0)?, &x, 0.0)?);
    match tip_gradient(ctx, &g, ctx.output_array(0), own)? {
        Some(tip) => ctx.add(0, add(&regular, &tip)?),
        None => ctx.add(0, regular),
    }
}

/// dy/dx, with the shape of x.
fn slope(x: &Variable, y: &Variable, a: &Length) -> Result<Variable> {
    match Power::from(a.ord) {
        // A count is constant wherever it is continuous.
        Power::Count => multiply(&x.detach(), 0.0),
        Power::Absolute => sign(x),
        Power::Square => direction(x, y, &a.axes),
        Power::Extreme => extreme_slope(x, y, &a.axes),
        Power::Other(p) => power_slope(x, y, &a.axes, p),
    }
}

/// The second-order term of the gradient of a Euclidean norm y at y = 0.
///
/// A function φ(y) of a norm has the gradient φ'(y) x/y. At y = 0 the direction x/y does not exist, and the gradient is taken as 0. But if
/// φ'(0) is 0, as for y², the function is smooth there, and its gradient near 0 is φ''(0) x. So the second derivative comes from `of(φ'')`,
/// whose value is 0. φ'' is the derivative of the cotangent `g` with respect to y.
///
/// `None` unless the rule is recorded, some y are 0, and `g` depends on y.
pub(super) fn tip_gradient(
    ctx: &VjpContext<'_>,
    g: &Variable,
    y: &Array,
    of: impl FnOnce(&Variable) -> Result<Variable>,
) -> Result<Option<Variable>> {
    let any = || dispatch!(float { crate::tape::capture::read(y, "the second derivative of a length"); y.dtype() }, T => y.view::<T>().iter().any(|&v| v == 0.0), else false);
    if !ctx.create_graph() || !g.is_tracked() || !any() {
        return Ok(None);
    }
    let at_tip = equal(&Variable::from(y.clone()), 0.0)?;
    let Some(curvature) = curvature(ctx, g, &at_tip, y)? else { return Ok(None) };
    of(&where_(&at_tip, &curvature, 0.0)?).map(Some)
}

/// The derivative of the cotangent `g` with respect to y where y is 0; `None` if `g` does not depend on y.
///
/// The tape holds plain values only. So a cotangent inside `jvp` or `vmap` is taken apart: into its value and its tangent, or into samples.
fn curvature(ctx: &VjpContext<'_>, g: &Variable, at_tip: &Variable, y: &Array) -> Result<Option<Variable>> {
    let Edge::Lifted(lifted) = g.edge() else {
        if !g.is_tracked() {
            return Ok(None);
        }
        // One seed for all elements that are 0: if the cotangent of one depended on another, there would be a kink.
        let seed = astype(at_tip, g.dtype())?;
        let options = BackwardOptions { retain_graph: true, create_graph: true, ..BackwardOptions::default() };
        return Ok(grad(&[(g.clone(), Some(seed))], &[ctx.output_from(0, y.clone())], options)?.pop().flatten());
    };
    let zeros = || Variable::from(Array::zeros(y.shape(), y.dtype()));
    let (value, kind) = match &lifted.kind {
        Lift::Dual(tangent) => {
            let value = curvature(ctx, &lifted.value, at_tip, y)?;
            let tangent = tangent.as_ref().map_or(Ok(None), |t| curvature(ctx, t, at_tip, y))?;
            if value.is_none() && tangent.is_none() {
                return Ok(None);
            }
            (value.unwrap_or_else(zeros), Lift::Dual(tangent))
        }
        Lift::Batched => {
            let samples = unstack(&lifted.value, 0)?.iter().map(|g| curvature(ctx, g, at_tip, y)).collect::<Result<Vec<_>>>()?;
            if samples.iter().all(Option::is_none) {
                return Ok(None);
            }
            let samples: Vec<_> = samples.into_iter().map(|s| s.unwrap_or_else(zeros)).collect();
            (stack(&samples, 0)?, Lift::Batched)
        }
    };
    let example = if matches!(kind, Lift::Batched) { y.clone() } else { value.array().clone() };
    Ok(Some(Variable::lifted(example, Lifted { level: lifted.level, run: lifted.run, value, kind })))
}

/// x divided by the norm: zero where the norm is zero, ±1 where x is infinite.
fn direction(x: &Variable, y: &Variable, axes: &[usize]) -> Result<Variable> {
    let y_wide = expand_reduced(&where_(&equal(y, 0.0)?, 1.0, y)?, axes, x.shape())?;
    let ratio = divide(x, &y_wide)?;
    let signs = sign(&x.detach())?;
    let ratio = where_(&equal(&abs(&x.detach())?, f64::INFINITY)?, &signs, &ratio)?;
    where_(&equal(&expand_reduced(&y.detach(), axes, x.shape())?, 0.0)?, 0.0, &ratio)
}

/// sign x, divided by the number of elements whose absolute value equals the norm; NaN where an element is NaN.
fn extreme_slope(x: &Variable, y: &Variable, axes: &[usize]) -> Result<Variable> {
    let (x, y) = (x.detach(), expand_reduced(&y.detach(), axes, x.shape())?);
    let is_extreme = logical_or(&equal(&abs(&x)?, &y)?, &isnan(&x)?)?;
    let ties = sum_over(&astype(&is_extreme, x.dtype())?, axes, false)?;
    let share = divide(&sign(&x)?, &expand_reduced(&ties, axes, x.shape())?)?;
    where_(&is_extreme, &share, 0.0)
}

/// sign x · (|x| / y)^(p - 1); zero at the kinks of p ≤ 1.
fn power_slope(x: &Variable, y: &Variable, axes: &[usize], p: f64) -> Result<Variable> {
    let slope = multiply(&sign(x)?, &power(&direction(&abs(x)?, y, axes)?, p - 1.0)?)?;
    if p > 1.0 {
        return Ok(slope);
    }
    let y = expand_reduced(&y.detach(), axes, x.shape())?;
    where_(&logical_or(&equal(x, 0.0)?, &equal(&y, 0.0)?)?, 0.0, &slope)
}

/// The largest (or for negative orders the smallest) element of x ≥ 0. Dividing by it prevents overflow in a sum of powers. It is one if it
/// is zero or infinite.
fn scale(x: &Array, axes: &[usize], largest: bool) -> Array {
    let plan = ReducePlan::new(x.shape(), axes);
    if plan.count == 0 {
        return Array::ones(&plan.kept, x.dtype());
    }
    dispatch!(float x.dtype(), T => {
        let mut scale = if largest { reduce::<Max, T>(x, axes) } else { reduce::<Min, T>(x, axes) };
        scale.data_mut::<T>().iter_mut().filter(|s| !(s.is_finite() && **s > 0.0)).for_each(|s| *s = 1.0);
        scale
    }, else unreachable!("integers were made floating"))
}

/// (Σ |x|ᵖ)^(1/p).
#[allow(clippy::float_cmp, reason = "exactly squares have functions of their own")]
fn power_norm(x: &Array, axes: &[usize], p: f64) -> Result<Array> {
    let x = abs(&x.clone().into())?;
    let scale = scale(x.array(), axes, p > 0.0);
    let ratio = divide(&x, &expand_reduced_array(&scale, axes, x.shape())?.into())?;
    let ratio = if p == 2.0 { square(&ratio)? } else { power(&ratio, p)? };
    let total = dispatch!(float x.dtype(), T => reduce::<Sum, T>(ratio.array(), axes), else unreachable!("integers were made floating")).into();
    let root = if p == 2.0 { sqrt(&total)? } else { power(&total, 1.0 / p)? };
    Ok(multiply(&root, &scale.into())?.into_array())
}

/// The Euclidean norm. [`power_norm`] is used if squares overflow or underflow.
fn length(x: &Array, axes: &[usize]) -> Result<Array> {
    dispatch!(float x.dtype(), T => {
        let mut out = reduce::<SumSquares, T>(x, axes);
        let safe = T::MIN_POSITIVE / T::EPSILON;
        if out.data_mut::<T>().iter().any(|&s| s.is_infinite() || s < safe) {
            return power_norm(x, axes, 2.0);
        }
        out.data_mut::<T>().iter_mut().for_each(|s| *s = s.sqrt());
        Ok(out)
    }, else unreachable!("integers were made floating"))
}

/// The vector norm over `axes` (`None`: all): (Σ |x|ᵖ)^(1/p) for p = `ord`; the largest or the smallest absolute value for ±∞; the number
/// of nonzero elements for 0. The gradient at 0 is 0.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice, `Value` when `ord` is NaN, or infinite and there are no elements.
pub fn vector_norm(x: &Variable, axes: Option<&[isize]>, keepdims: bool, ord: f64) -> Result<Variable> {
    if ord.is_nan() {
        return Err(Error::Value("vector_norm: ord is NaN, expected a number".to_owned()));
    }
    let axes = normalize_axes("vector_norm", axes, x.ndim())?;
    if x.dtype().is_complex() {
        return apply(&NORM, &[(&abs(x)?).into()], &Length { axes, keepdims, ord });
    }
    let x = floating("vector_norm", x)?;
    apply(&NORM, &[(&x).into()], &Length { axes, keepdims, ord })
}

/// [`vector_norm`] of order 2 over normalised axes.
pub(super) fn euclidean_norm(x: &Variable, axes: &[usize], keepdims: bool) -> Result<Variable> {
    apply(&NORM, &[x.into()], &Length { axes: axes.into(), keepdims, ord: 2.0 })
}

/// The norm, with the kept axes only.
fn norm(x: &Array, axes: &[usize], ord: f64) -> Result<Array> {
    Ok(match Power::from(ord) {
        Power::Count => {
            let count = dispatch!(float x.dtype(), T => reduce::<CountNonzero, T>(x, axes), else unreachable!("integers were made floating"));
            astype(&count.into(), x.dtype())?.into_array()
        }
        Power::Absolute => dispatch!(float x.dtype(), T => reduce::<SumAbs, T>(x, axes), else unreachable!("integers were made floating")),
        Power::Square => length(x, axes)?,
        Power::Extreme => {
            let x = abs(&x.clone().into())?;
            check_empty("vector_norm", &x, axes)?;
            fold(x.array(), axes, ord > 0.0)
        }
        Power::Other(p) => power_norm(x, axes, p)?,
    })
}

/// Norms of several orders, away from zero, where those up to 1 have kinks.
fn samples() -> Vec<Sample> {
    let apart = Domain { low: 0.3, ..NONZERO };
    let orders = [2.0, 1.0, f64::INFINITY, f64::NEG_INFINITY, 0.0, 3.0, 1.5, 0.5, -2.0];
    orders
        .iter()
        .flat_map(|&ord| reduction_samples(if ord < 0.6 { apart } else { NONZERO }, ord.is_finite() && ord > 0.0, &[Arg::Float(ord)]))
        .collect()
}

/// The same with the parameters of `norm`.
fn norm_samples() -> Vec<Sample> {
    let reorder = |s: Sample| {
        let [x, axes, keepdims, ord] = [0, 1, 2, 3].map(|i| s.args[i].clone());
        Sample { args: vec![x, ord, axes, keepdims] }
    };
    samples().into_iter().step_by(5).map(reorder).collect()
}

/// The gradient of both rows.
const GRADIENT: Gradient = Gradient::Rule("g sign(x) (|x| / y)^(ord - 1), 0 where y is 0");

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "vector_norm",
        doc: "The vector norm over axes (None: all): the ord-th root of the sum of the ord-th powers of |x|; the largest |x| for inf, the smallest for -inf, the number of elements that are not zero for 0. The gradient at 0 is 0.\n\n>>> tg.vector_norm(tg.Variable([3.0, -4.0]))\nVariable(5.)\n",
        params: &[Param::array("x"), Param::axes(), Param::keepdims(), Param::float("ord", 2.0)],
        call: |a| Ok(vector_norm(&a.variable(0)?, a.axes(1)?, a.flag(2)?, a.float(3)?)?.into()),
        gradient: GRADIENT,
        samples,
        method: false,
        ..Entry::BASE
    },
    Entry {
        name: "norm",
        doc: "The norm of all elements along axes (None: all) as one long vector: vector_norm with ord in NumPy's place. The gradient at 0 is 0.\n\n>>> tg.norm(tg.Variable([[1.0, 2.0], [2.0, 4.0]]))\nVariable(5.)\n",
        params: &[Param::array("x"), Param::new("ord", Kind::OptFloat).or(Default::None), Param::axes(), Param::keepdims()],
        call: |a| Ok(vector_norm(&a.variable(0)?, a.axes(2)?, a.flag(3)?, a.opt_float(1)?.unwrap_or(2.0))?.into()),
        gradient: GRADIENT,
        samples: norm_samples,
        ..Entry::BASE
    },
];
