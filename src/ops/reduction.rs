//! Sums, means and products over axes, and what all reductions share.

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::define::undefined;
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::samples::{Domain, Draw, REAL};
use super::shape::astype;
use super::{annihilate, divide};
use crate::array::{Array, DType, Layout, Shape, default_float, normalize_axis};
use crate::error::{Error, Result};
use crate::kernel::moments;
use crate::kernel::reduce::prod_grad;
use crate::kernel::reduce::{self, ReducePlan};
use crate::tape::{AttrSet, Attrs, Batch, BatchContext, Jvp, JvpContext, Operand, Outputs, Primitive, Variable, Vjp, VjpContext, apply};

/// Axes counted from the front, in ascending order.
pub(crate) type Axes = SmallVec<[usize; 4]>;

/// `axes` counted from the front, in ascending order; all axes for `None`.
///
/// # Errors
/// `Axis` when one is out of range or named twice.
pub(crate) fn normalize_axes(op: &str, axes: Option<&[isize]>, ndim: usize) -> Result<Axes> {
    let Some(named) = axes else { return Ok((0..ndim).collect()) };
    // As in NumPy, a single number may be reduced along axis 0 or -1, as a vector of one element.
    if let (0, [0 | -1]) = (ndim, named) {
        return Ok(Axes::new());
    }
    let mut out = named.iter().map(|&a| normalize_axis(op, a, ndim)).collect::<Result<Axes>>()?;
    out.sort_unstable();
    if let Some((twice, _)) = out.iter().zip(&out[1.min(out.len())..]).find(|(a, b)| a == b) {
        return Err(Error::Axis(format!("{op}: axis {twice} is named twice in {named:?}")));
    }
    Ok(out)
}

/// `shape` after a reduction over `axes`.
pub(crate) fn reduced_shape(shape: &[usize], axes: &[usize], keepdims: bool) -> Shape {
    let plan = ReducePlan::new(shape, axes);
    if keepdims { plan.keepdims } else { plan.kept }
}

/// The result of a fold, which has the kept axes only, in the shape that `keepdims` requires.
pub(crate) fn finish(out: Array, shape: &[usize], axes: &[usize], keepdims: bool) -> Array {
    if keepdims { out.with_layout(Layout::contiguous(&reduced_shape(shape, axes, true))) } else { out }
}

/// Number of elements that are reduced to one.
#[allow(clippy::cast_precision_loss, reason = "a count")]
pub(crate) fn count(shape: &[usize], axes: &[usize]) -> f64 {
    ReducePlan::new(shape, axes).count as f64
}

/// The axes of an operation, counted from the front.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OverAxes {
    pub(crate) axes: Axes,
}

/// The axes of a reduction, and whether they are kept with size one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reduced {
    pub(crate) axes: Axes,
    pub(crate) keepdims: bool,
}

/// The axes that a reduction removed, and the shape that it had before.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Expanded {
    axes: Axes,
    shape: Shape,
}
crate::attributes!(OverAxes, Reduced, Expanded);

/// The axes after a batch axis was added in front.
pub(crate) fn behind_batch(axes: &[usize]) -> Axes {
    axes.iter().map(|a| a + 1).collect()
}

/// The batch of an operation over axes of its inputs.
pub(crate) fn batch_over_axes(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let axes = behind_batch(&ctx.attrs::<OverAxes>().axes);
    ctx.apply_spread(&OverAxes { axes })
}

/// The batch of a reduction.
pub(crate) fn batch_reduction(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let a: &Reduced = ctx.attrs();
    Ok(smallvec![apply(ctx.primitive, ctx.inputs, &Reduced { axes: behind_batch(&a.axes), keepdims: a.keepdims })?])
}

/// The axes of a recorded reduction.
fn axes_of(ctx: &VjpContext<'_>) -> Axes {
    ctx.attrs::<Reduced>().axes.clone()
}

/// `x`; integers and bools are converted to the default floating dtype.
///
/// # Errors
/// `DType` for complex numbers.
pub(crate) fn floating(op: &str, x: &Variable) -> Result<Variable> {
    match x.dtype() {
        dtype if dtype.is_float() => Ok(x.clone()),
        dtype if dtype.is_complex() => Err(undefined(op, dtype)),
        _ => astype(x, default_float()),
    }
}

/// The floating dtype to which `x` and all of `more` are converted: the promotion of all, where integers count as the default floating
/// dtype.
pub(crate) fn common_floating<'a>(op: &str, x: &Variable, more: impl IntoIterator<Item = &'a Variable>) -> Result<DType> {
    let own = if x.dtype().is_inexact() { x.dtype() } else { default_float() };
    let dtype: DType = more.into_iter().fold(own, |d, v| d.promote(v.dtype()));
    if dtype.is_complex() { Err(undefined(op, dtype)) } else { Ok(dtype) }
}

/// `x`; integers and bools are converted to the default floating dtype.
pub(crate) fn inexact(x: &Variable) -> Result<Variable> {
    if x.dtype().is_inexact() { Ok(x.clone()) } else { astype(x, default_float()) }
}

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&EXPAND_REDUCED, &SUM, &MEAN, &PROD, &PROD_EXCLUDING];

static EXPAND_REDUCED: Primitive = Primitive {
    is_view: true,
    name: "expand_reduced",
    eval: |call| {
        let a: &Expanded = call.attrs();
        let out = expand_reduced_array(call.array(0), &a.axes, &a.shape)?;
        call.give(out);
        Ok(())
    },
    vjp: Vjp::Rule(spread_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(|ctx| {
        let a: &Expanded = ctx.attrs();
        let shape = std::iter::once(ctx.size).chain(a.shape.iter().copied()).collect();
        Ok(smallvec![apply(&EXPAND_REDUCED, ctx.inputs, &Expanded { axes: behind_batch(&a.axes), shape })?])
    }),
    ..Primitive::BASE
};

fn spread_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let keepdims = ctx.meta(0).shape.len() == ctx.out_meta(0).shape.len();
    let g = ctx.cotangent();
    ctx.add(0, sum_over(&g, &ctx.attrs::<Expanded>().axes, keepdims)?)
}

/// A reduced value, broadcast to the shape from which `axes` were reduced: the transpose of a sum.
pub(crate) fn expand_reduced(g: &Variable, axes: &[usize], shape: &[usize]) -> Result<Variable> {
    apply(&EXPAND_REDUCED, &[g.into()], &Expanded { axes: axes.into(), shape: Shape::from_slice(shape) })
}

/// The view of a cotangent with `layout` that is the gradient of a sum, as a primitive, its attributes and its layout. `shape` is the shape
/// of the input.
pub(crate) fn spreading(sum: &dyn AttrSet, layout: &Layout, shape: &[usize]) -> Option<(&'static Primitive, Attrs, Layout)> {
    let axes = sum.as_any().downcast_ref::<Reduced>()?.axes.clone();
    let layout = layout.reshape(&reduced_shape(shape, &axes, true))?.broadcast_to("spread", shape).ok()?;
    Some((&EXPAND_REDUCED, Expanded { axes, shape: Shape::from_slice(shape) }.share(), layout))
}

/// [`expand_reduced`] for an array.
pub(crate) fn expand_reduced_array(a: &Array, axes: &[usize], shape: &[usize]) -> Result<Array> {
    a.reshape(&reduced_shape(shape, axes, true))?.broadcast_to("spread", shape)
}

/// The cotangent of a reduction, broadcast to the shape of the input.
pub(crate) fn spread_g(g: &Variable, ctx: &VjpContext<'_>) -> Result<Variable> {
    expand_reduced(g, &axes_of(ctx), &ctx.meta(0).shape)
}

static SUM: Primitive = Primitive {
    name: "sum",
    eval: |call| {
        let (x, a) = (call.array(0), call.attrs::<Reduced>());
        let out = reduce::sum(x, &a.axes);
        call.give(finish(out, x.shape(), &a.axes, a.keepdims));
        Ok(())
    },
    vjp: Vjp::Rule(sum_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_reduction),
    ..Primitive::BASE
};

fn sum_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let g = ctx.cotangent();
    ctx.add(0, spread_g(&g, ctx)?)
}

/// [`sum`] over normalised axes.
pub(crate) fn sum_over(x: &Variable, axes: &[usize], keepdims: bool) -> Result<Variable> {
    apply(&SUM, &[x.into()], &Reduced { axes: axes.into(), keepdims })
}

/// The sum over `axes` (`None`: all). Signed integers and bools are summed in int64, unsigned ones in uint64.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn sum(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    sum_over(x, &normalize_axes("sum", axes, x.ndim())?, keepdims)
}

static MEAN: Primitive = Primitive {
    name: "mean",
    eval: |call| {
        let (x, a) = (call.array(0), call.attrs::<Reduced>());
        call.give(finish(moments::mean(x, &a.axes), x.shape(), &a.axes, a.keepdims));
        Ok(())
    },
    vjp: Vjp::Rule(mean_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_reduction),
    ..Primitive::BASE
};

fn mean_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let g = ctx.cotangent();
    let g = divide(&g, count(&ctx.meta(0).shape, &axes_of(ctx)))?;
    ctx.add(0, spread_g(&g, ctx)?)
}

/// The mean over `axes` (`None`: all); NaN for no elements. The result for integers and bools has the default floating dtype.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn mean(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    let axes = normalize_axes("mean", axes, x.ndim())?;
    let x = inexact(x)?;
    apply(&MEAN, &[(&x).into()], &Reduced { axes, keepdims })
}

static PROD: Primitive = Primitive {
    name: "prod",
    eval: |call| {
        let (x, a) = (call.array(0), call.attrs::<Reduced>());
        let out = reduce::prod(x, &a.axes);
        call.give(finish(out, x.shape(), &a.axes, a.keepdims));
        Ok(())
    },
    saves: |s| s.input(0),
    vjp: Vjp::Rule(prod_vjp),
    jvp: Jvp::Rule(|ctx| {
        let Some(t) = &ctx.tangents[0] else { return Ok(smallvec![]) };
        let a: &Reduced = ctx.attrs();
        Ok(smallvec![sum_over(&annihilate(t, &others(&[&ctx.input(0)], &a.axes)?)?, &a.axes, a.keepdims)?])
    }),
    batch: Batch::Rule(batch_reduction),
    ..Primitive::BASE
};

fn prod_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let g = ctx.cotangent();
    let others = super::conj(&others(&[&ctx.input(0)], &axes_of(ctx))?)?;
    ctx.add(0, annihilate(&spread_g(&g, ctx)?, &others)?)
}

/// For every element of x (input 0) the product of the other elements along axes, differentiated along directions (the other inputs).
static PROD_EXCLUDING: Primitive = Primitive {
    name: "prod_excluding",
    eval: |call| {
        let axes = &call.attrs::<OverAxes>().axes;
        let plan = ReducePlan::new(call.array(0).shape(), axes);
        let rows: SmallVec<[Array; 4]> = (0..call.inputs().len()).map(|i| plan.rows(call.array(i))).collect();
        let directions: SmallVec<[&Array; 4]> = rows[1..].iter().collect();
        call.give(plan.back(&prod_grad::prod_excluding(&rows[0], &directions, plan.count)));
        Ok(())
    },
    saves: |s| (0..s.input_count()).for_each(|i| s.input(u8::try_from(i).unwrap_or(u8::MAX))),
    vjp: Vjp::Rule(others_vjp),
    jvp: Jvp::Rule(others_jvp),
    batch: Batch::Rule(batch_over_axes),
    ..Primitive::BASE
};

/// With respect to x, the result is differentiated along one more direction. In the directions it is linear.
fn others_jvp(ctx: &JvpContext<'_>) -> Result<Outputs> {
    let axes = &ctx.attrs::<OverAxes>().axes;
    let inputs: SmallVec<[Variable; 4]> = (0..ctx.inputs.len()).map(|i| ctx.input(i)).collect();
    let mut total: Option<Variable> = None;
    for (i, t) in ctx.tangents.iter().enumerate().filter_map(|(i, t)| Some((i, t.as_ref()?))) {
        let mut all: SmallVec<[&Variable; 4]> = inputs.iter().collect();
        if i == 0 {
            all.push(t);
        } else {
            all[i] = t;
        }
        let term = others(&all, axes)?;
        total = Some(match total {
            Some(sum) => super::add(&sum, &term)?,
            None => term,
        });
    }
    Ok(total.into_iter().collect())
}

/// With a cotangent c, Σ cⱼ ∂ⱼ D is D differentiated along c. With respect to x that is [`others`] with one more direction. With respect to
/// a direction, in which D is linear, it is [`others`] with c in its place.
fn others_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let g = ctx.cotangent();
    let axes = ctx.attrs::<OverAxes>().axes.clone();
    let inputs: SmallVec<[Variable; 4]> = (0..ctx.input_count()).map(|i| ctx.input(u8::try_from(i).unwrap_or(u8::MAX))).collect();
    ctx.add_each(|i| {
        let rest = inputs.iter().enumerate().filter(|&(k, _)| i == 0 || k != i).map(|(_, v)| v);
        let all: SmallVec<[&Variable; 4]> = rest.chain([&g]).collect();
        adjoint(&all, &axes)
    })
}

/// [`others`] for the conjugates of all inputs but the last, a cotangent.
fn adjoint(inputs: &[&Variable], axes: &[usize]) -> Result<Variable> {
    let Some((g, rest)) = inputs.split_last() else { return others(inputs, axes) };
    if !g.dtype().is_complex() {
        return others(inputs, axes);
    }
    let rest = rest.iter().map(|x| super::conj(x)).collect::<Result<SmallVec<[Variable; 4]>>>()?;
    let all: SmallVec<[&Variable; 4]> = rest.iter().chain([*g]).collect();
    others(&all, axes)
}

/// For every element of the first input the product of the other elements along `axes`, differentiated along the remaining inputs: see
/// [`prod_excluding`](crate::kernel::reduce::prod_grad::prod_excluding).
fn others(inputs: &[&Variable], axes: &[usize]) -> Result<Variable> {
    let operands: SmallVec<[Operand<'_>; 4]> = inputs.iter().map(|&x| x.into()).collect();
    apply(&PROD_EXCLUDING, &operands, &OverAxes { axes: axes.into() })
}

/// The product over `axes` (`None`: all). Signed integers and bools are multiplied in int64, unsigned ones in uint64. Gradients are exact
/// with any number of zeros.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn prod(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    let axes = normalize_axes("prod", axes, x.ndim())?;
    apply(&PROD, &[x.into()], &Reduced { axes, keepdims })
}

/// Casts the elements to `dtype`, if it is given, before a reduction, as in NumPy.
fn in_dtype(a: &Args<'_>, dtype: usize, f: fn(&Variable, Option<&[isize]>, bool) -> Result<Variable>) -> Result<Value> {
    let (x, axes, keepdims) = (a.variable(0)?, a.axes(1)?, a.flag(2)?);
    Ok(match a.dtype(dtype)? {
        None => f(&x, axes, keepdims)?,
        // For bools, sum means any and prod means all.
        Some(DType::Bool) => {
            let out = f(&astype(&x, DType::Bool)?, axes, keepdims)?;
            astype(&out, DType::Bool)?
        }
        Some(d) => astype(&f(&astype(&x, d)?, axes, keepdims)?, d)?,
    }
    .into())
}

fn call_mean(a: &Args<'_>) -> Result<Value> {
    if let Some(d) = a.dtype(3)?
        && !d.is_inexact()
    {
        return Err(Error::dtype("mean", d, "a real or complex floating dtype"));
    }
    in_dtype(a, 3, mean)
}

/// Samples of a reduction with the parameters x, axis, keepdims and `extra`; with `empty`, also over no elements.
pub(crate) fn reduction_samples(domain: Domain, empty: bool, extra: &[Arg]) -> Vec<Sample> {
    let draw = &mut Draw::new(5);
    let mut cases: Vec<(Variable, Option<&[isize]>, bool)> = vec![
        (domain.array(draw, &[]), None, false),
        (domain.array(draw, &[5]), None, false),
        (domain.array(draw, &[4]), Some(&[-1]), true),
        (domain.strided(draw, &[3, 4]), Some(&[0]), false),
        (domain.array(draw, &[3, 4]), Some(&[-1]), true),
        (domain.array(draw, &[2, 3, 2]), Some(&[0, 2]), false),
        (domain.strided(draw, &[2, 3, 2]), Some(&[1, -3]), true),
        (domain.array(draw, &[3, 2, 4]), Some(&[1]), false),
        (domain.array(draw, &[2, 3, 2]), None, true),
        (domain.array(draw, &[2, 3]), Some(&[]), false),
        (domain.array(draw, &[0, 3]), Some(&[1]), false),
        (domain.array(draw, &[2, 1, 3]), Some(&[1]), false),
    ];
    if empty {
        cases.push((domain.array(draw, &[0, 3]), Some(&[0]), true));
        cases.push((domain.array(draw, &[0]), None, false));
    }
    let axes = |a: Option<&[isize]>| a.map_or(Arg::None, |a| Arg::Ints(a.iter().copied().collect()));
    cases
        .into_iter()
        .map(|(x, a, keepdims)| Sample { args: [Arg::Variable(x), axes(a), Arg::Bool(keepdims)].into_iter().chain(extra.iter().cloned()).collect() })
        .collect()
}

/// `dtype=None`.
const DTYPE: Param = Param::new("dtype", Kind::DType).or(Default::None).named();

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "sum",
        doc: "The sum over axes (None: all). Signed integers and bools add up in int64, unsigned ones in uint64; with a dtype the elements are cast to it first.\n\n>>> tg.sum(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), axis=0)\nVariable([4., 6.])\n",
        params: &[Param::array("x"), Param::axes(), Param::keepdims(), DTYPE],
        call: |a| in_dtype(a, 3, sum),
        gradient: Gradient::Rule("g along the axes"),
        linear: true,
        samples: || reduction_samples(REAL, true, &[Arg::None]),
        ..Entry::BASE
    },
    Entry {
        name: "mean",
        doc: "The mean over axes (None: all); NaN of nothing. Integers and bools give the default floating dtype.\n\n>>> tg.mean(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), axis=1)\nVariable([1.5, 3.5])\n",
        params: &[Param::array("x"), Param::axes(), Param::keepdims(), DTYPE],
        call: call_mean,
        gradient: Gradient::Rule("g / n along the axes"),
        linear: true,
        samples: || reduction_samples(REAL, false, &[Arg::None]),
        ..Entry::BASE
    },
    Entry {
        name: "prod",
        doc: "The product over axes (None: all). Integers and bools multiply in int64; with a dtype the elements are cast to it first. Gradients of every order are exact with any number of zeros.\n\n>>> tg.prod(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), axis=0)\nVariable([3., 8.])\n",
        params: &[Param::array("x"), Param::axes(), Param::keepdims(), DTYPE],
        call: |a| in_dtype(a, 3, prod),
        gradient: Gradient::Rule("g ⊗ the product of the others"),
        samples: || reduction_samples(REAL, true, &[Arg::None]),
        ..Entry::BASE
    },
];
