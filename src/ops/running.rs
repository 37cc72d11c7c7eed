//! Running sums and products along an axis, and differences of neighbours.
//!
//! The gradients of running products and of running log-sums are linear recurrences, s = b + a · (previous s), and so are the gradients of
//! a recurrence. This one primitive is closed under differentiation, needs no division, and is exact with zeros.
#![allow(clippy::type_complexity, reason = "a table of functions")]

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::along::batch_axis;
use super::join::join;
use super::reduction::floating;
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::samples::{Draw, REAL, call_with};
use super::shape::{astype, reshape_to};
use super::sorting::lined;
use super::window::{Cut, GETITEM, Window, view};
use super::{add, annihilate, conj, equal, exp, subtract, where_};
use crate::array::{Array, DType, Scalar, Shape, normalize_axis};
use crate::error::{Error, Result, show_shape};
use crate::kernel::scan;
use crate::tape::{Batch, BatchContext, Jvp, JvpContext, Outputs, Primitive, Variable, Vjp, apply};

/// The axis of the scan, and whether it starts at the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Walk {
    axis: usize,
    reverse: bool,
}
crate::attributes!(Walk);

impl Walk {
    fn back(&self) -> Self {
        Self { axis: self.axis, reverse: !self.reverse }
    }
}

fn batch(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let w: &Walk = ctx.attrs();
    let shifted = Walk { axis: w.axis + 1, reverse: w.reverse };
    if ctx.inputs.len() == 1 { batch_axis(ctx, &shifted) } else { ctx.apply_spread(&shifted) }
}

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&CUMSUM, &RECURRENCE, &CUMPROD, &LOGCUMSUMEXP];

static CUMSUM: Primitive = Primitive {
    name: "cumsum",
    eval: |call| {
        let (x, w) = (call.array(0), call.attrs::<Walk>());
        call.give(scan::sums(x, w.axis, w.reverse));
        Ok(())
    },
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        ctx.add(0, apply(&CUMSUM, &[(&g).into()], &ctx.attrs::<Walk>().back())?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch),
    ..Primitive::BASE
};

/// s = b + a · (previous s), for a (input 0) and b (input 1).
static RECURRENCE: Primitive = Primitive {
    name: "recurrence",
    eval: |call| {
        let w: &Walk = call.attrs();
        let out = scan::recurrence(call.array(0), call.array(1), w.axis, w.reverse);
        call.give(out);
        Ok(())
    },
    saves: |s| {
        s.input(0);
        s.output(0);
    },
    // Backward, λ = g + (next a) · (next λ) is the gradient of b; the gradient of a is λ times the factor of a.
    vjp: Vjp::Rule(|ctx| {
        let (g, a, s, w) = (ctx.cotangent(), ctx.input(0), ctx.output(0), ctx.attrs::<Walk>().clone());
        let flow = recurrence(&conj(&before(&a, &w.back(), 0.0)?)?, &g, &w.back())?;
        if ctx.needs(0) {
            ctx.add(0, annihilate(&flow, &conj(&before(&s, &w, 0.0)?)?)?)?;
        }
        ctx.add(1, flow)
    }),
    jvp: Jvp::Rule(|ctx| {
        let w: &Walk = ctx.attrs();
        let of_a = ctx.tangents[0].as_ref().map(|t| annihilate(t, &before(&ctx.outputs[0], w, 0.0)?)).transpose()?;
        along_recurrence(ctx, of_a, ctx.tangents[1].clone(), &ctx.input(0))
    }),
    batch: Batch::Rule(batch),
    ..Primitive::BASE
};

/// The tangent of a recurrence with factors `a`: the recurrence of the terms, some of which may be zero.
fn along_recurrence(ctx: &JvpContext<'_>, one: Option<Variable>, two: Option<Variable>, a: &Variable) -> Result<Outputs> {
    let sum = match (one, two) {
        (Some(one), Some(two)) => add(&one, &two)?,
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return Ok(smallvec![]),
    };
    Ok(smallvec![recurrence(a, &sum, ctx.attrs::<Walk>())?])
}

fn recurrence(a: &Variable, b: &Variable, walk: &Walk) -> Result<Variable> {
    apply(&RECURRENCE, &[a.into(), b.into()], walk)
}

/// For every element the previous one in the scan, and `first` for the first.
fn before(x: &Variable, walk: &Walk, first: f64) -> Result<Variable> {
    let (axis, n) = (walk.axis, x.shape()[walk.axis]);
    if n == 0 {
        return Ok(x.clone());
    }
    let mut shape = Shape::from_slice(x.shape());
    shape[axis] = 1;
    let edge: Variable = Array::full(&shape, Scalar::Float(first), x.dtype()).into();
    let rest = piece(x, axis, usize::from(walk.reverse), n - 1)?;
    if walk.reverse { join(&[&rest, &edge], axis) } else { join(&[&edge, &rest], axis) }
}

/// `count` positions along `axis`, from `start` on.
fn piece(x: &Variable, axis: usize, start: usize, count: usize) -> Result<Variable> {
    view(&GETITEM, x, &Window::along(x.shape(), axis, Cut { start, count, step: 1 }))
}

static CUMPROD: Primitive = Primitive {
    name: "cumprod",
    eval: |call| {
        let (x, w) = (call.array(0), call.attrs::<Walk>());
        call.give(scan::products(x, w.axis));
        Ok(())
    },
    saves: |s| {
        s.input(0);
        s.output(0);
    },
    // The product before each element, times the gradient that flows to it from later elements.
    vjp: Vjp::Rule(|ctx| {
        let (g, x, y, w) = (ctx.cotangent(), ctx.input(0), ctx.output(0), ctx.attrs::<Walk>().clone());
        let flow = recurrence(&conj(&before(&x, &w.back(), 0.0)?)?, &g, &w.back())?;
        ctx.add(0, annihilate(&flow, &conj(&before(&y, &w, 1.0)?)?)?)
    }),
    jvp: Jvp::Rule(|ctx| {
        let Some(t) = &ctx.tangents[0] else { return Ok(smallvec![]) };
        let one = annihilate(t, &before(&ctx.outputs[0], ctx.attrs(), 1.0)?)?;
        along_recurrence(ctx, Some(one), None, &ctx.input(0))
    }),
    batch: Batch::Rule(batch),
    ..Primitive::BASE
};

static LOGCUMSUMEXP: Primitive = Primitive {
    name: "logcumsumexp",
    eval: |call| {
        let out = scan::running_logsumexp(call.array(0), call.attrs::<Walk>().axis);
        call.give(out);
        Ok(())
    },
    saves: |s| {
        s.input(0);
        s.output(0);
    },
    vjp: Vjp::Rule(|ctx| {
        let (g, x, y, w) = (ctx.cotangent(), ctx.input(0), ctx.output(0), ctx.attrs::<Walk>().clone());
        let kept = share(&y, &before(&y, &w.back(), f64::INFINITY)?)?;
        ctx.add(0, annihilate(&recurrence(&kept, &g, &w.back())?, &share(&x, &y)?)?)
    }),
    jvp: Jvp::Rule(|ctx| {
        let Some(t) = &ctx.tangents[0] else { return Ok(smallvec![]) };
        let y = &ctx.outputs[0];
        let kept = share(&before(y, ctx.attrs(), f64::NEG_INFINITY)?, y)?;
        along_recurrence(ctx, Some(annihilate(t, &share(&ctx.input(0), y)?)?), None, &kept)
    }),
    batch: Batch::Rule(batch),
    ..Primitive::BASE
};

/// e^(part - whole): 0 for a part of -∞, 1 if both are +∞.
fn share(part: &Variable, whole: &Variable) -> Result<Variable> {
    let none = equal(part, f64::NEG_INFINITY)?;
    let ratio = subtract(&where_(&none, 0.0, part)?, &where_(&none, 0.0, whole)?)?;
    let all = equal(part, whole)?;
    let ratio = where_(&all, 0.0, &ratio)?;
    where_(&none, 0.0, &exp(&ratio)?)
}

/// A running fold along an axis or over all elements, optionally with a neutral first element.
fn running(op: &'static Primitive, x: &Variable, axis: Option<isize>, initial: Option<f64>) -> Result<Variable> {
    let (lines, along) = lined(op.name, x, axis)?;
    let out = apply(op, &[(&lines).into()], &Walk { axis: along, reverse: false })?;
    let Some(initial) = initial else {
        return if axis.is_some() && x.ndim() == 0 { reshape_to(&out, &[]) } else { Ok(out) };
    };
    let mut shape = Shape::from_slice(out.shape());
    shape[along] = 1;
    join(&[&Array::full(&shape, Scalar::Float(initial), out.dtype()).into(), &out], along)
}

/// For each element, the sum of all elements up to it along `axis` (`None`: flattened). Integers and bools are summed in int64.
///
/// # Errors
/// `Axis` when the axis is out of range.
pub fn cumsum(x: &Variable, axis: Option<isize>) -> Result<Variable> {
    running(&CUMSUM, x, axis, None)
}

/// For each element, the product of all elements up to it along `axis` (`None`: flattened). Gradients are exact with zeros.
///
/// # Errors
/// `Axis` when the axis is out of range.
pub fn cumprod(x: &Variable, axis: Option<isize>) -> Result<Variable> {
    running(&CUMPROD, x, axis, None)
}

/// For each element, the logarithm of the sum of exponentials up to it along `axis` (`None`: flattened).
///
/// # Errors
/// `Axis` when the axis is out of range.
pub fn logcumsumexp(x: &Variable, axis: Option<isize>) -> Result<Variable> {
    running(&LOGCUMSUMEXP, &floating("logcumsumexp", x)?, axis, None)
}

/// Differences of neighbours along `axis`, `n` times; for bools whether they differ.
///
/// # Errors
/// `Value` when `n` is negative, `Axis` when the axis is out of range, `Shape` when `x` is 0-d.
pub fn diff(x: &Variable, n: i64, axis: isize, prepend: Option<&Variable>, append: Option<&Variable>) -> Result<Variable> {
    if n < 0 {
        return Err(Error::Value(format!("diff: n is {n}, expected 0 or more")));
    }
    if x.ndim() == 0 {
        return Err(Error::Shape("diff: an array of at least 1 dimension is expected, got shape ()".to_owned()));
    }
    let along = normalize_axis("diff", axis, x.ndim())?;
    if n == 0 {
        return Ok(x.clone());
    }
    let side = |v: &Variable| -> Result<Variable> {
        let mut shape = Shape::from_slice(x.shape());
        shape[along] = 1;
        if v.ndim() == 0 { super::broadcast_to(v, &shape) } else { Ok(v.clone()) }
    };
    let parts = [prepend.map(side).transpose()?, Some(x.clone()), append.map(side).transpose()?];
    let parts: Vec<Variable> = parts.into_iter().flatten().collect();
    let mut out = if parts.len() == 1 { x.clone() } else { super::concat(&parts, Some(axis))? };
    // After as many steps as there are elements nothing is left to subtract.
    let steps = n.min(i64::try_from(out.shape()[along]).unwrap_or(i64::MAX).max(1));
    for _ in 0..steps {
        let count = out.shape()[along].saturating_sub(1);
        let (low, high) = (piece(&out, along, 0, count)?, piece(&out, along, usize::from(count > 0), count)?);
        out = if out.dtype() == DType::Bool { super::not_equal(&high, &low)? } else { subtract(&high, &low)? };
    }
    Ok(out)
}

/// A running fold in `dtype`, if that is given. The array API requires an axis for arrays with more than one.
fn call_running(a: &Args<'_>, op: &'static Primitive, neutral: f64, standard: bool) -> Result<Value> {
    let mut x = a.variable(0)?;
    if let Some(dtype) = a.dtype(2)? {
        x = astype(&x, dtype)?;
    }
    let axis = if a.is_none(1) { None } else { Some(a.axis(1)?) };
    if standard && axis.is_none() && x.ndim() != 1 {
        let shape = show_shape(x.shape());
        return Err(Error::Value(format!("{}: an axis is needed for an array of shape {shape}; or flatten() it first", a.name())));
    }
    let initial = if standard && a.flag(3)? { Some(neutral) } else { None };
    let out = running(op, &x, axis, initial)?;
    Ok(match a.dtype(2)? {
        Some(dtype) => astype(&out, dtype)?,
        None => out,
    }
    .into())
}

fn call_diff(a: &Args<'_>) -> Result<Value> {
    let (prepend, append) = (a.opt_variable(3)?, a.opt_variable(4)?);
    Ok(diff(&a.variable(0)?, a.int(1)?, a.axis(2)?, prepend.as_ref(), append.as_ref())?.into())
}

/// `axis=None`.
const AXIS: Param = Param { alias: Some("dim"), ..Param::new("axis", Kind::OptInt).or(Default::None) };
const DTYPE: Param = Param::new("dtype", Kind::DType).or(Default::None);
const NUMPY: &[Param] = &[Param::array("x"), AXIS, DTYPE];
const STANDARD: &[Param] = &[Param::array("x"), AXIS.named(), DTYPE.named(), Param::flag("include_initial", false).named()];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "cumsum",
        doc: "The sums of the elements up to each one along an axis (None: flattened). Integers and bools add up in int64; with a dtype the elements are cast to it first.\n\n>>> tg.cumsum(tg.Variable([1.0, 2.0, 3.0]))\nVariable([1., 3., 6.])\n",
        params: NUMPY,
        call: |a| call_running(a, &CUMSUM, 0.0, false),
        gradient: Gradient::Rule("the sums of g from each element to the end"),
        linear: true,
        samples: || samples(&[Arg::None], false),
        ..Entry::BASE
    },
    Entry {
        name: "cumulative_sum",
        doc: "The sums of the elements up to each one along an axis, which is needed where there are several. With include_initial a 0 stands in front.\n\n>>> tg.cumulative_sum(tg.Variable([1.0, 2.0, 3.0]), include_initial=True)\nVariable([0., 1., 3., 6.])\n",
        params: STANDARD,
        call: |a| call_running(a, &CUMSUM, 0.0, true),
        gradient: Gradient::Rule("the sums of g from each element to the end"),
        linear: true,
        samples: || samples(&[Arg::None, Arg::Bool(true)], true),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "cumprod",
        doc: "The products of the elements up to each one along an axis (None: flattened). Integers and bools multiply in int64; with a dtype the elements are cast to it first. Gradients are exact with zeros.\n\n>>> tg.cumprod(tg.Variable([1.0, 2.0, 3.0]))\nVariable([1., 2., 6.])\n",
        params: NUMPY,
        call: |a| call_running(a, &CUMPROD, 1.0, false),
        gradient: Gradient::Rule("the product before each element, times s = g + (x behind) (s behind)"),
        samples: || samples(&[Arg::None], false),
        ..Entry::BASE
    },
    Entry {
        name: "cumulative_prod",
        doc: "The products of the elements up to each one along an axis, which is needed where there are several. With include_initial a 1 stands in front.\n\n>>> tg.cumulative_prod(tg.Variable([1.0, 2.0, 3.0]), include_initial=True)\nVariable([1., 1., 2., 6.])\n",
        params: STANDARD,
        call: |a| call_running(a, &CUMPROD, 1.0, true),
        gradient: Gradient::Rule("the product before each element, times s = g + (x behind) (s behind)"),
        samples: || samples(&[Arg::None, Arg::Bool(true)], true),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "logcumsumexp",
        doc: "The logarithms of the sums of exp(x) up to each element along an axis (None: flattened), for x of any size.\n\n>>> tg.logcumsumexp(tg.Variable([1000.0, -1000.0]), axis=0)\nVariable([1000., 1000.])\n",
        params: &[Param::array("x"), AXIS],
        call: |a| {
            let axis = if a.is_none(1) { None } else { Some(a.axis(1)?) };
            Ok(logcumsumexp(&a.variable(0)?, axis)?.into())
        },
        cost: 15.0,
        gradient: Gradient::Rule("exp(x - y) s with s = g + exp(y - (y behind)) (s behind)"),
        samples: || samples(&[], false),
        ..Entry::BASE
    },
    Entry {
        name: "diff",
        doc: "Differences of neighbours along an axis, n times; of bools whether they differ. What is to stand before and behind can be given, as an array or a number.\n\n>>> tg.diff(tg.Variable([1.0, 3.0, 6.0]))\nVariable([2., 3.])\n",
        params: &[
            Param::array("x"),
            Param::new("n", Kind::Int).or(Default::Int(1)),
            Param::axis(-1),
            Param::new("prepend", Kind::OptArray).or(Default::None),
            Param::new("append", Kind::OptArray).or(Default::None),
        ],
        call: call_diff,
        gradient: Gradient::Composite("differences of g the other way round"),
        linear: true,
        samples: diff_samples,
        ..Entry::BASE
    },
];

fn samples(rest: &[Arg], axis_needed: bool) -> Vec<Sample> {
    let draw = &mut Draw::new(321);
    let mut cases: Vec<(Variable, Arg)> = vec![
        (REAL.array(draw, &[5]), Arg::None),
        (REAL.strided(draw, &[3, 4]), Arg::Int(0)),
        (REAL.strided(draw, &[3, 4]), Arg::Int(-1)),
        (REAL.array(draw, &[2, 3, 2]), Arg::Int(1)),
        (Array::from_slice(&[2.0, 0.0, -1.0, 0.0, 3.0], &[5]).into(), Arg::Int(0)),
        (REAL.array(draw, &[0, 3]), Arg::Int(0)),
        (REAL.array(draw, &[2, 0]), Arg::Int(0)),
    ];
    if !axis_needed {
        cases.push((REAL.strided(draw, &[2, 3]), Arg::None));
        cases.push((REAL.array(draw, &[]), Arg::None));
    }
    cases.into_iter().map(|(x, axis)| call_with(x, std::iter::once(axis).chain(rest.iter().cloned()))).collect()
}

fn diff_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(322);
    let cases: [(&[usize], i64, i64, Option<&[usize]>); 5] =
        [(&[5], 1, -1, None), (&[4, 3], 2, 0, None), (&[2, 3], 1, 1, Some(&[2, 1])), (&[3], 5, 0, None), (&[2, 3], 0, 1, Some(&[]))];
    let mut call = |(shape, n, axis, edge): (&[usize], i64, i64, Option<&[usize]>)| {
        let [before, behind] = [(); 2].map(|()| edge.map_or(Arg::None, |s| Arg::Variable(REAL.array(draw, s))));
        call_with(REAL.strided(&mut Draw::new(323), shape), [Arg::Int(n), Arg::Int(axis), before, behind])
    };
    cases.into_iter().map(&mut call).collect()
}
