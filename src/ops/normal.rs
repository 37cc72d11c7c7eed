//! Normalisation over the last axes, over groups of channels, over a batch, and over neighbouring channels.
//!
//! The kernels recompute mean and deviation instead of saving them. The definitions are functions of the input only, so that derivatives of
//! any order include the dependence of the statistics on it.

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::conv::{as_channels, flat, not_floating};
use super::reduction::{common_floating, floating, sum_over};
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::resample::resample;
use super::samples::{Draw, REAL, ints};
use super::shape::{in_dtype, reshape_to};
use super::{add, divide, mean as mean_of, moveaxis, multiply, power, sqrt, subtract};
use crate::array::{Array, DType, Shape, check_memory};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel::normal::{self as kernel, Images, Rows};
use crate::kernel::resample::Table;
use crate::tape::{AttrSet, Batch, BatchContext, Call, Jvp, Operand, Outputs, Primitive, Saver, Variable, Vjp, apply, apply_all};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&NORMALIZE, &NORMALIZE_GRADIENT, &BATCH_NORM, &BATCH_NORM_GRADIENT];

crate::attributes!(Rows, Epsilon);

/// Inputs: x, and optionally a weight and a bias with one number per weight of [`Rows`].
static NORMALIZE: Primitive = Primitive {
    name: "normalize_rows",
    eval: |call| {
        let (rows, x) = (*call.attrs::<Rows>(), call.array(0).contiguous());
        let more = [1, 2].map(|i| if i < call.inputs().len() { Some(call.array(i).contiguous()) } else { None });
        check_memory(call.name(), x.shape(), x.dtype())?;
        let out = call.out(x.shape(), x.dtype());
        dispatch!(float x.dtype(), T => {
            let [w, b] = more.each_ref().map(|a| a.as_ref().map(flat::<T>));
            kernel::forward(flat(&x), w, b, out.data_mut(), &rows);
        }, else not_floating());
        Ok(())
    },
    saves: save_all,
    vjp: Vjp::Rule(|ctx| {
        let (g, x, rows) = (ctx.cotangent(), ctx.input(0), ctx.attrs::<Rows>());
        let weight = if ctx.input_count() > 1 { Some(ctx.input(1)) } else { None };
        let inputs: SmallVec<[Operand<'_>; 3]> = [&g, &x].into_iter().chain(weight.as_ref()).map(Operand::from).collect();
        let grads = apply_all(&NORMALIZE_GRADIENT, &inputs, rows)?;
        let count = ctx.input_count();
        grads.into_iter().take(count).enumerate().try_for_each(|(i, g)| ctx.add(i, g))
    }),
    jvp: Jvp::Definition,
    batch: Batch::Rule(batch_rows),
    definition: Some(|inputs, attrs| {
        let (rows, x) = (attrs.get::<Rows>(), &inputs[0]);
        let y = reshape_to(&standardized(x, rows)?, &weighed_shape(x, rows))?;
        let y = affine(&y, inputs.get(1), inputs.get(2), &[rows.channels(), 1])?;
        Ok(smallvec![reshape_to(&y, x.shape())?])
    }),
    ..Primitive::BASE
};

/// The gradients of [`NORMALIZE`]. Inputs: g, x, and optionally the weight. Results: the gradient of x and, with a weight, those of weight
/// and bias.
static NORMALIZE_GRADIENT: Primitive = Primitive {
    name: "normalize_rows_gradient",
    eval: eval_gradient,
    saves: save_all,
    vjp: Vjp::Definition,
    jvp: Jvp::Definition,
    batch: Batch::Definition,
    definition: Some(gradient_definition),
    ..Primitive::BASE
};

fn save_all(s: &mut Saver<'_>) {
    (0..3).take(s.input_count()).for_each(|i| s.input(i));
}

/// The shape (rows, elements of a row) of x.
fn rows_shape(x: &Variable, rows: &Rows) -> [usize; 2] {
    [x.array().size().checked_div(rows.row).unwrap_or(0), rows.row]
}

/// The shape (repeats, weights, elements that share a weight) of x.
fn weighed_shape(x: &Variable, rows: &Rows) -> [usize; 3] {
    let per = rows.channels() * rows.span;
    [x.array().size().checked_div(per).unwrap_or(0), rows.channels(), rows.span]
}

/// x, centred by rows, and 1 / √(variance + eps) of each row.
fn parts(x: &Variable, rows: &Rows) -> Result<[Variable; 2]> {
    let x = reshape_to(x, &rows_shape(x, rows))?;
    let centred = if rows.centered { subtract(&x, &mean_of(&x, Some(&[1]), true)?)? } else { x };
    let var = mean_of(&multiply(&centred, &centred)?, Some(&[1]), true)?;
    let scale = divide(1.0, &sqrt(&add(&var, rows.eps)?)?)?;
    Ok([centred, scale])
}

fn standardized(x: &Variable, rows: &Rows) -> Result<Variable> {
    let [centred, scale] = parts(x, rows)?;
    multiply(&centred, &scale)
}

/// y times a weight plus a bias, each reshaped to `shape`.
fn affine(y: &Variable, weight: Option<&Variable>, bias: Option<&Variable>, shape: &[usize]) -> Result<Variable> {
    let y = weight.map_or(Ok(y.clone()), |w| multiply(y, &reshape_to(w, shape)?))?;
    bias.map_or(Ok(y.clone()), |b| add(&y, &reshape_to(b, shape)?))
}

fn gradient_definition(inputs: &[Variable], attrs: &dyn AttrSet) -> Result<Outputs> {
    let (rows, g, x) = (attrs.get::<Rows>(), &inputs[0], &inputs[1]);
    let (by_row, by_channel) = (rows_shape(x, rows), weighed_shape(x, rows));
    let [centred, scale] = parts(x, rows)?;
    let y = multiply(&centred, &scale)?;
    let g_channels = reshape_to(g, &by_channel)?;
    let u = inputs.get(2).map_or(Ok(g_channels.clone()), |w| multiply(&g_channels, &reshape_to(w, &[rows.channels(), 1])?))?;
    let u = reshape_to(&u, &by_row)?;
    let mut inner = subtract(&u, &multiply(&y, &mean_of(&multiply(&u, &y)?, Some(&[1]), true)?)?)?;
    if rows.centered {
        inner = subtract(&inner, &mean_of(&u, Some(&[1]), true)?)?;
    }
    let dx = reshape_to(&multiply(&inner, &scale)?, x.shape())?;
    let Some(w) = inputs.get(2) else { return Ok(smallvec![dx]) };
    let dw = sum_over(&multiply(&g_channels, &reshape_to(&y, &by_channel)?)?, &[0, 2], false)?;
    let db = sum_over(&g_channels, &[0, 2], false)?;
    Ok(smallvec![dx, reshape_to(&dw, w.shape())?, reshape_to(&db, w.shape())?])
}

fn eval_gradient(call: &mut Call<'_>) -> Result<()> {
    let (rows, g, x) = (*call.attrs::<Rows>(), call.array(0).contiguous(), call.array(1).contiguous());
    let weight = if call.inputs().len() > 2 { Some(call.array(2).contiguous()) } else { None };
    check_memory(call.name(), x.shape(), x.dtype())?;
    let mut dx = Array::empty(x.shape(), x.dtype());
    let mut sums = weight.as_ref().map(|w| [0, 1].map(|_| Array::empty(w.shape(), x.dtype())));
    dispatch!(float x.dtype(), T => {
        let pair = sums.as_mut().map(|[dw, db]| (dw.data_mut::<T>(), db.data_mut::<T>()));
        kernel::backward(flat(&g), flat(&x), weight.as_ref().map(flat::<T>), dx.data_mut(), pair, &rows);
    }, else not_floating());
    call.give(dx);
    sums.into_iter().flatten().for_each(|a| call.give(a));
    Ok(())
}

/// A batch has more rows. Weights that differ between samples are applied afterwards.
fn batch_rows(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let rows: &Rows = ctx.attrs();
    let x = ctx.batched_input(0)?;
    if !ctx.mapped[1..].contains(&true) {
        let inputs: SmallVec<[Operand<'_>; 3]> = std::iter::once((&x).into()).chain(ctx.inputs[1..].iter().copied()).collect();
        return Ok(smallvec![apply(&NORMALIZE, &inputs, rows)?]);
    }
    let [_, channels, span] = weighed_shape(&x, rows);
    let repeats = (x.array().size() / ctx.size.max(1)).checked_div(channels * span).unwrap_or(0);
    let y = reshape_to(&apply(&NORMALIZE, &[(&x).into()], rows)?, &[ctx.size, repeats, channels, span])?;
    let more = |i: usize| if i < ctx.inputs.len() { ctx.batched_input(i).map(Some) } else { Ok(None) };
    let y = affine(&y, more(1)?.as_ref(), more(2)?.as_ref(), &[ctx.size, 1, channels, 1])?;
    Ok(smallvec![reshape_to(&y, x.shape())?])
}

/// The number that is added to a variance.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Epsilon(f64);

/// Batch normalisation in training: x (N, C, …), and optionally weight and bias. Results: y, and mean and variance of each channel.
static BATCH_NORM: Primitive = Primitive {
    name: "batch_norm",
    eval: eval_batch_norm,
    saves: save_all,
    // The fused gradient is that of y only; mean and variance are mostly used for running statistics.
    vjp: Vjp::Rule(|ctx| {
        if ctx.cotangent_of(1).is_some() || ctx.cotangent_of(2).is_some() {
            return ctx.pull_definition();
        }
        let Some(g) = ctx.cotangent_of(0) else { return Ok(()) };
        let x = ctx.input(0);
        let weight = if ctx.input_count() > 1 { Some(ctx.input(1)) } else { None };
        let inputs: SmallVec<[Operand<'_>; 3]> = [&g, &x].into_iter().chain(weight.as_ref()).map(Operand::from).collect();
        let grads = apply_all(&BATCH_NORM_GRADIENT, &inputs, ctx.attrs::<Epsilon>())?;
        let count = ctx.input_count();
        grads.into_iter().take(count).enumerate().try_for_each(|(i, g)| ctx.add(i, g))
    }),
    jvp: Jvp::Definition,
    batch: Batch::Definition,
    definition: Some(|inputs, attrs| {
        let (x, eps) = (&inputs[0], attrs.get::<Epsilon>().0);
        let [centred, var, scale] = channel_parts(x, eps)?;
        let y = multiply(&centred, &scale)?;
        let mut shape = Shape::from_elem(1, x.ndim());
        shape[1] = x.shape()[1];
        let y = affine(&y, inputs.get(1), inputs.get(2), &shape)?;
        let mean = mean_of(x, Some(&channel_axes(x)), false)?;
        Ok(smallvec![y, mean, reshape_to(&var, &x.shape()[1..2])?])
    }),
    ..Primitive::BASE
};

static BATCH_NORM_GRADIENT: Primitive = Primitive {
    name: "batch_norm_gradient",
    eval: eval_batch_norm_gradient,
    saves: save_all,
    vjp: Vjp::Definition,
    jvp: Jvp::Definition,
    batch: Batch::Definition,
    definition: Some(batch_gradient_definition),
    ..Primitive::BASE
};

/// All axes except that of the channels.
fn channel_axes(x: &Variable) -> SmallVec<[isize; 4]> {
    (0..x.ndim().cast_signed()).filter(|a| *a != 1).collect()
}

/// x, centred by channels; the variances of channels; 1 / √(variance + eps).
fn channel_parts(x: &Variable, eps: f64) -> Result<[Variable; 3]> {
    let axes = channel_axes(x);
    let centred = subtract(x, &mean_of(x, Some(&axes), true)?)?;
    let var = mean_of(&multiply(&centred, &centred)?, Some(&axes), true)?;
    let scale = divide(1.0, &sqrt(&add(&var, eps)?)?)?;
    Ok([centred, var, scale])
}

fn batch_gradient_definition(inputs: &[Variable], attrs: &dyn AttrSet) -> Result<Outputs> {
    let (g, x) = (&inputs[0], &inputs[1]);
    let [centred, _, scale] = channel_parts(x, attrs.get::<Epsilon>().0)?;
    let (y, axes) = (multiply(&centred, &scale)?, channel_axes(x));
    let mean = |v: &Variable| mean_of(v, Some(&axes), true);
    let inner = subtract(&subtract(g, &mean(g)?)?, &multiply(&y, &mean(&multiply(g, &y)?)?)?)?;
    let dx = multiply(&inner, &scale)?;
    let Some(w) = inputs.get(2) else { return Ok(smallvec![dx]) };
    let over: SmallVec<[usize; 4]> = axes.iter().map(|a| a.cast_unsigned()).collect();
    let dw = sum_over(&multiply(g, &y)?, &over, false)?;
    Ok(smallvec![multiply(&dx, &as_channels(w, x.ndim())?)?, dw, sum_over(g, &over, false)?])
}

fn images(x: &Array) -> Images {
    let shape = x.shape();
    Images { batch: shape[0], channels: shape[1], plane: shape[2..].iter().product() }
}

fn eval_batch_norm(call: &mut Call<'_>) -> Result<()> {
    let (eps, x) = (call.attrs::<Epsilon>().0, call.array(0).contiguous());
    let more = [1, 2].map(|i| if i < call.inputs().len() { Some(call.array(i).contiguous()) } else { None });
    check_memory(call.name(), x.shape(), x.dtype())?;
    let (images, channels) = (images(&x), x.shape()[1]);
    let [mut y, mut mean, mut var] = [x.shape(), &[channels], &[channels]].map(|s| Array::empty(s, x.dtype()));
    dispatch!(float x.dtype(), T => {
        let statistics = kernel::channel_statistics::<T>(flat(&x), images);
        let [w, b] = more.each_ref().map(|a| a.as_ref().map(flat::<T>));
        let (scale, shift) = scales(&statistics, w, b, eps);
        mean.data_mut::<T>().copy_from_slice(&each::<T>(&statistics, |_, [m, _]| m));
        var.data_mut::<T>().copy_from_slice(&each::<T>(&statistics, |_, [_, v]| v));
        kernel::normalize_channels(flat(&x), images, [flat(&mean), &scale, &shift], y.data_mut());
    }, else not_floating());
    for a in [y, mean, var] {
        call.give(a);
    }
    Ok(())
}

/// One number per channel, computed from its index, mean and variance.
fn each<T: kernel::Number>(statistics: &[[f64; 2]], f: impl Fn(usize, [f64; 2]) -> f64) -> Vec<T> {
    crate::array::alloc_check::collect(statistics.iter().enumerate().map(|(c, s)| T::lit(f(c, *s))))
}

/// The rounding error of the mean.
fn left_over<T: kernel::Number>(mean: f64) -> f64 {
    mean - T::lit(mean).to_scalar().as_f64()
}

/// weight / √(variance + eps) and the bias of each channel.
fn scales<T: kernel::Number>(statistics: &[[f64; 2]], weight: Option<&[T]>, bias: Option<&[T]>, eps: f64) -> (Vec<T>, Vec<T>) {
    let of = |all: Option<&[T]>, c: usize, none: f64| all.map_or(none, |a| a[c].to_scalar().as_f64());
    let scale = |c: usize, var: f64| of(weight, c, 1.0) / (var + eps).sqrt();
    let shift = |c: usize, [mean, var]: [f64; 2]| of(bias, c, 0.0) - left_over::<T>(mean) * scale(c, var);
    (each(statistics, |c, [_, var]| scale(c, var)), each(statistics, shift))
}

#[allow(clippy::cast_precision_loss, reason = "a number of elements")]
fn eval_batch_norm_gradient(call: &mut Call<'_>) -> Result<()> {
    let (eps, g, x) = (call.attrs::<Epsilon>().0, call.array(0).contiguous(), call.array(1).contiguous());
    let weight = if call.inputs().len() > 2 { Some(call.array(2).contiguous()) } else { None };
    check_memory(call.name(), x.shape(), x.dtype())?;
    let (images, channels) = (images(&x), x.shape()[1]);
    let n = (images.batch * images.plane) as f64;
    let [mut dx, mut dw, mut db] = [x.shape(), &[channels], &[channels]].map(|s| Array::empty(s, x.dtype()));
    dispatch!(float x.dtype(), T => {
        let statistics = kernel::channel_statistics::<T>(flat(&x), images);
        let mean = each::<T>(&statistics, |_, [m, _]| m);
        let mut sums = kernel::channel_sums::<T>(flat(&g), flat(&x), images, &mean);
        sums.iter_mut().zip(&statistics).for_each(|(s, [m, _])| s[1] -= left_over::<T>(*m) * s[0]);
        let w = |c: usize| weight.as_ref().map_or(1.0, |w| crate::array::Element::to_scalar(flat::<T>(w)[c]).as_f64());
        let scale = |var: f64| 1.0 / (var + eps).sqrt();
        let slope = |c: usize, var: f64| -w(c) * scale(var).powi(3) * sums[c][1] / n;
        let a = each::<T>(&statistics, |c, [_, v]| w(c) * scale(v));
        let b = each::<T>(&statistics, |c, [_, v]| slope(c, v));
        let shift = each::<T>(&statistics, |c, [m, v]| -w(c) * scale(v) * sums[c][0] / n - slope(c, v) * left_over::<T>(m));
        kernel::combine_channels(flat(&g), flat(&x), images, [&mean, &a, &b, &shift], dx.data_mut());
        dw.data_mut::<T>().copy_from_slice(&each::<T>(&statistics, |c, [_, v]| sums[c][1] * scale(v)));
        db.data_mut::<T>().copy_from_slice(&each::<T>(&statistics, |c, _| sums[c][0]));
    }, else not_floating());
    call.give(dx);
    if weight.is_some() {
        call.give(dw);
        call.give(db);
    }
    Ok(())
}

/// All operands in their common floating dtype.
fn in_one_dtype(op: &str, x: &Variable, more: [Option<&Variable>; 2]) -> Result<(Variable, [Option<Variable>; 2])> {
    let dtype = common_floating(op, x, more.into_iter().flatten())?;
    let cast = |v: &Variable| in_dtype(v, dtype, &mut None).cloned();
    let [w, b] = more;
    Ok((cast(x)?, [w.map(cast).transpose()?, b.map(cast).transpose()?]))
}

/// [`NORMALIZE`]; a bias without a weight is added afterwards.
fn normalize(op: &str, x: &Variable, weight: Option<&Variable>, bias: Option<&Variable>, rows: Rows, seen: &[usize]) -> Result<Variable> {
    let (x, [w, b]) = in_one_dtype(op, x, [weight, bias])?;
    if x.array().size() == 0 {
        return affine(&x, w.as_ref(), b.as_ref(), seen);
    }
    if let (None, Some(b)) = (&w, &b) {
        return affine(&apply(&NORMALIZE, &[(&x).into()], &rows)?, None, Some(b), seen);
    }
    let inputs: SmallVec<[Operand<'_>; 3]> = std::iter::once(&x).chain(&w).chain(&b).map(Operand::from).collect();
    apply(&NORMALIZE, &inputs, &rows)
}

/// Checks that the shape of x ends with `shape`, and that weight and bias have that shape.
fn check_normalized(op: &str, x: &Variable, shape: &[isize], more: [(&str, Option<&Variable>); 2]) -> Result<Shape> {
    let wanted: Option<Shape> = shape.iter().map(|n| usize::try_from(*n).ok()).collect();
    let Some(shape) = wanted.filter(|s| !s.is_empty() && x.shape().ends_with(s)) else {
        let got = show_shape(x.shape());
        return Err(Error::Shape(format!("{op}: the input has shape {got}, expected one that ends with normalized_shape {shape:?}")));
    };
    for (what, v) in more {
        if let Some(v) = v.filter(|v| v.shape() != shape.as_slice()) {
            let (got, want) = (show_shape(v.shape()), show_shape(&shape));
            return Err(Error::Shape(format!("{op}: the {what} has shape {got}, expected {want}, which is normalized_shape")));
        }
    }
    Ok(shape)
}

/// (x - mean) / √(variance + eps) over the last axes, times `weight` plus `bias`.
///
/// # Errors
/// `Shape` unless `x` ends with `shape` and weight and bias have it.
pub fn layer_norm(x: &Variable, shape: &[isize], weight: Option<&Variable>, bias: Option<&Variable>, eps: f64) -> Result<Variable> {
    let shape = check_normalized("layer_norm", x, shape, [("weight", weight), ("bias", bias)])?;
    let rows = Rows { row: shape.iter().product(), groups: 1, span: 1, centered: true, eps };
    normalize("layer_norm", x, weight, bias, rows, &shape)
}

/// x / √(mean of squares + eps) over the last axes, times `weight`. `eps` is the epsilon of the dtype unless given.
///
/// # Errors
/// As [`layer_norm`].
pub fn rms_norm(x: &Variable, shape: &[isize], weight: Option<&Variable>, eps: Option<f64>) -> Result<Variable> {
    let shape = check_normalized("rms_norm", x, shape, [("weight", weight), ("bias", None)])?;
    let epsilon = if common_floating("rms_norm", x, [])? == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    let rows = Rows { row: shape.iter().product(), groups: 1, span: 1, centered: false, eps: eps.unwrap_or(epsilon) };
    normalize("rms_norm", x, weight, None, rows, &shape)
}

/// Checks that each array has one number for each of `channels` channels.
fn check_channels(op: &str, more: [(&str, Option<&Variable>); 2], channels: usize) -> Result<()> {
    for (what, v) in more {
        if let Some(v) = v.filter(|v| v.shape() != [channels]) {
            return Err(Error::Shape(format!("{op}: the {what} has shape {}, expected ({channels},): one for each channel", show_shape(v.shape()))));
        }
    }
    Ok(())
}

/// The number of channels of (N, C, …), which is the size of axis 1.
fn channels_of(op: &str, x: &Variable) -> Result<usize> {
    if x.ndim() < 2 {
        return Err(Error::Shape(format!("{op}: the input has shape {}, expected (N, C, ...)", show_shape(x.shape()))));
    }
    Ok(x.shape()[1])
}

fn refuse_one_value(op: &str, x: &Variable, count: usize) -> Result<()> {
    if count == 1 && x.array().size() > 0 {
        let shape = show_shape(x.shape());
        return Err(Error::Value(format!("{op}: each group of an input of shape {shape} has a single value, expected more than one")));
    }
    Ok(())
}

/// [`layer_norm`] over groups of channels of x (N, C, …), with a weight and a bias for each channel.
///
/// # Errors
/// `Shape` when weight or bias do not fit, `Value` when the channels cannot be divided into the groups, or when a group has a single value.
pub fn group_norm(x: &Variable, groups: i64, weight: Option<&Variable>, bias: Option<&Variable>, eps: f64) -> Result<Variable> {
    let channels = channels_of("group_norm", x)?;
    let groups = usize::try_from(groups)
        .ok()
        .filter(|g| *g > 0 && channels.is_multiple_of(*g))
        .ok_or_else(|| Error::Value(format!("group_norm: {channels} channels cannot be divided into {groups} groups")))?;
    check_channels("group_norm", [("weight", weight), ("bias", bias)], channels)?;
    grouped("group_norm", x, groups, weight, bias, eps)
}

fn grouped(op: &str, x: &Variable, groups: usize, weight: Option<&Variable>, bias: Option<&Variable>, eps: f64) -> Result<Variable> {
    let plane: usize = x.shape()[2..].iter().product();
    let row = x.shape()[1] / groups.max(1) * plane;
    refuse_one_value(op, x, row * if op == "group_norm" { x.shape()[0].max(1) } else { 1 })?;
    let mut seen = Shape::from_elem(1, x.ndim());
    seen[1] = x.shape()[1];
    normalize(op, x, weight, bias, Rows { row, groups, span: plane, centered: true, eps }, &seen)
}

/// [`layer_norm`] of each channel of each image of x (N, C, …).
///
/// # Errors
/// As [`group_norm`].
pub fn instance_norm(x: &Variable, weight: Option<&Variable>, bias: Option<&Variable>, eps: f64) -> Result<Variable> {
    let channels = channels_of("instance_norm", x)?;
    check_channels("instance_norm", [("weight", weight), ("bias", bias)], channels)?;
    grouped("instance_norm", x, channels, weight, bias, eps)
}

/// Batch normalisation in training: the result, and mean and biased variance of each channel.
///
/// # Errors
/// `Shape` when weight or bias do not fit, `Value` when a channel has a single value.
pub fn batch_norm_training(x: &Variable, weight: Option<&Variable>, bias: Option<&Variable>, eps: f64) -> Result<[Variable; 3]> {
    const NAME: &str = "batch_norm";
    let channels = channels_of(NAME, x)?;
    check_channels(NAME, [("weight", weight), ("bias", bias)], channels)?;
    refuse_one_value(NAME, x, x.array().size().checked_div(channels).unwrap_or(0))?;
    let (x, [w, b]) = in_one_dtype(NAME, x, [weight, bias])?;
    let kernel_bias = if w.is_some() { b.as_ref() } else { None };
    let inputs: SmallVec<[Operand<'_>; 3]> = std::iter::once(&x).chain(&w).chain(kernel_bias).map(Operand::from).collect();
    let mut outputs = apply_all(&BATCH_NORM, &inputs, &Epsilon(eps))?.into_iter();
    let (Some(y), Some(mean), Some(var)) = (outputs.next(), outputs.next(), outputs.next()) else { unreachable!("batch_norm: three results") };
    let y = if w.is_none() { affine(&y, None, b.as_ref(), &channel_shape(&x))? } else { y };
    Ok([y, mean, var])
}

fn channel_shape(x: &Variable) -> Shape {
    let mut shape = Shape::from_elem(1, x.ndim());
    shape[1] = x.shape()[1];
    shape
}

/// Normalisation of each channel by a given mean and variance.
///
/// # Errors
/// `Shape` when an operand is not one number for each channel.
pub fn batch_norm_evaluation(
    x: &Variable,
    mean: &Variable,
    var: &Variable,
    weight: Option<&Variable>,
    bias: Option<&Variable>,
    eps: f64,
) -> Result<Variable> {
    const NAME: &str = "batch_norm";
    let channels = channels_of(NAME, x)?;
    check_channels(NAME, [("weight", weight), ("bias", bias)], channels)?;
    check_channels(NAME, [("running mean", Some(mean)), ("running variance", Some(var))], channels)?;
    let (x, [w, b]) = in_one_dtype(NAME, x, [weight, bias])?;
    let scale = divide(1.0, &sqrt(&add(&super::astype(var, x.dtype())?, eps)?)?)?;
    let scale = w.as_ref().map_or(Ok(scale.clone()), |w| multiply(&scale, w))?;
    let n = x.ndim();
    let y = multiply(&subtract(&x, &as_channels(&super::astype(mean, x.dtype())?, n)?)?, &as_channels(&scale, n)?)?;
    b.map_or(Ok(y.clone()), |b| add(&y, &as_channels(&b, n)?))
}

/// x / (k + alpha / size · Σ x²)^beta, the sum over `size` neighbouring channels.
///
/// # Errors
/// `Value` when `size` is not positive, `Shape` when there are no channels.
#[allow(clippy::cast_precision_loss, reason = "a small number")]
pub fn local_response_norm(x: &Variable, size: i64, alpha: f64, beta: f64, k: f64) -> Result<Variable> {
    const NAME: &str = "local_response_norm";
    let x = floating(NAME, x)?;
    let channels = channels_of(NAME, &x)?;
    let size = usize::try_from(size)
        .ok()
        .filter(|s| (1..1 << 31).contains(s))
        .ok_or_else(|| Error::Value(format!("{NAME}: size must be at least 1, got {size}")))?;
    let row = |c: usize| ((c + size).saturating_sub(size + size / 2)..channels.min(c + (size - 1) / 2 + 1)).map(|i| (i, 1.0));
    let flat = reshape_to(&x, &[x.shape()[0], channels, x.shape()[2..].iter().product()])?;
    let squares = moveaxis(&multiply(&flat, &flat)?, &[1], &[-1])?;
    let sums = moveaxis(&resample(&squares, vec![Table::new(channels, (0..channels).map(row))])?, &[-1], &[1])?;
    let base = add(&multiply(&sums, alpha / size as f64)?, k)?;
    divide(&x, &reshape_to(&power(&base, beta)?, x.shape())?)
}

const WEIGHT: Param = Param::new("weight", Kind::OptArray).or(Default::None);
const BIAS: Param = Param::new("bias", Kind::OptArray).or(Default::None);

/// An array of one number per channel, or None.
fn opt(draw: &mut Draw, n: &[usize], given: bool) -> Arg {
    if given { Arg::Variable(REAL.array(draw, n)) } else { Arg::None }
}

fn layer_samples(with_bias: bool) -> Vec<Sample> {
    let draw = &mut Draw::new(41);
    let cases: [(&[usize], &[isize], bool, bool); 6] = [
        (&[3, 4], &[4], true, true),
        (&[2, 3, 4], &[3, 4], true, true),
        (&[5], &[5], false, false),
        (&[2, 3], &[3], true, false),
        (&[2, 2, 3], &[3], false, true),
        (&[0, 3], &[3], true, true),
    ];
    let all = cases.into_iter().map(|(x, shape, weight, bias)| {
        let n = &x[x.len() - shape.len()..];
        let (x, w, b) = (REAL.strided(draw, x), opt(draw, n, weight), opt(draw, n, bias));
        let more = if with_bias { vec![w, b, Arg::Float(1e-3)] } else { vec![w, Arg::Float(1e-3)] };
        Sample { args: [Arg::Variable(x), ints(shape)].into_iter().chain(more).collect() }
    });
    all.collect()
}

fn channel_samples(groups: Option<i64>) -> Vec<Sample> {
    let draw = &mut Draw::new(42);
    let cases: [(&[usize], bool, bool); 4] =
        [(&[2, 4, 3], true, true), (&[1, 2, 2, 3], false, false), (&[3, 2, 4], true, false), (&[2, 2, 3], false, true)];
    let all = cases.into_iter().map(|(shape, weight, bias)| {
        let (x, w, b) = (REAL.strided(draw, shape), opt(draw, &shape[1..2], weight), opt(draw, &shape[1..2], bias));
        Sample { args: std::iter::once(Arg::Variable(x)).chain(groups.map(Arg::Int)).chain([w, b, Arg::Float(1e-3)]).collect() }
    });
    all.collect()
}

fn running_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(43);
    let (x, mean, var) = (REAL.array(draw, &[2, 3, 2]), REAL.array(draw, &[3]), super::samples::POSITIVE.array(draw, &[3]));
    let (w, b) = (opt(draw, &[3], true), opt(draw, &[3], true));
    vec![Sample { args: vec![Arg::Variable(x), Arg::Variable(mean), Arg::Variable(var), w, b, Arg::Float(1e-3)] }]
}

const DX: &str = "dx = r (u - mean(u) - y mean(u y)) with u = weight g, y the normalised x and r = 1 / sqrt(var + eps); dweight = Σ g y, dbias = Σ g";

fn call_training(a: &Args<'_>) -> Result<Value> {
    let (w, b) = (a.opt_variable(1)?, a.opt_variable(2)?);
    Ok(Value::Many(batch_norm_training(&a.variable(0)?, w.as_ref(), b.as_ref(), a.float(3)?)?.to_vec()))
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "layer_norm",
        module: "nn.functional",
        doc: "(x - mean) / sqrt(var + eps) over the last axes, whose sizes are normalized_shape, times weight plus bias of that shape.\n\
              The variance is the biased one. A row of equal elements becomes the bias.\n\
              \n\
              >>> tg.nn.functional.layer_norm(tg.Variable([[1.0, 3.0], [5.0, 5.0]]), (2,), eps=0.0)[0]\n\
              Variable([-1.,  1.])\n",
        params: &[Param::array("input"), Param::new("normalized_shape", Kind::Ints), WEIGHT, BIAS, Param::float("eps", 1e-5)],
        call: |a| {
            let (w, b) = (a.opt_variable(2)?, a.opt_variable(3)?);
            Ok(layer_norm(&a.variable(0)?, &a.int_list(1)?, w.as_ref(), b.as_ref(), a.float(4)?)?.into())
        },
        gradient: Gradient::Rule(DX),
        samples: || layer_samples(true),
        method: false,
        ..Entry::BASE
    },
    Entry {
        name: "rms_norm",
        module: "nn.functional",
        doc: "x / sqrt(mean(x²) + eps) over the last axes, whose sizes are normalized_shape, times weight of that shape. eps is the\n\
              epsilon of the dtype unless given.\n\
              \n\
              >>> tg.nn.functional.rms_norm(tg.Variable([[3.0, -3.0]]), (2,))\n\
              Variable([[ 1., -1.]])\n",
        params: &[Param::array("input"), Param::new("normalized_shape", Kind::Ints), WEIGHT, Param::new("eps", Kind::OptFloat).or(Default::None)],
        call: |a| Ok(rms_norm(&a.variable(0)?, &a.int_list(1)?, a.opt_variable(2)?.as_ref(), a.opt_float(3)?)?.into()),
        gradient: Gradient::Rule("dx = r (u - y mean(u y)) with u = weight g, y = x r and r = 1 / sqrt(mean(x²) + eps); dweight = Σ g y"),
        samples: || layer_samples(false),
        method: false,
        ..Entry::BASE
    },
    Entry {
        name: "group_norm",
        module: "nn.functional",
        doc: "layer_norm over each of num_groups groups of channels of each image, x being (N, C, ...), with a weight and a bias for each\n\
              channel.\n\
              \n\
              >>> tg.nn.functional.group_norm(tg.Variable([[1.0, 3.0, 5.0, 7.0]]), 2, eps=0.0)\n\
              Variable([[-1.,  1., -1.,  1.]])\n",
        params: &[Param::array("input"), Param::new("num_groups", Kind::Int), WEIGHT, BIAS, Param::float("eps", 1e-5)],
        call: |a| {
            let (w, b) = (a.opt_variable(2)?, a.opt_variable(3)?);
            Ok(group_norm(&a.variable(0)?, a.int(1)?, w.as_ref(), b.as_ref(), a.float(4)?)?.into())
        },
        gradient: Gradient::Rule(DX),
        samples: || channel_samples(Some(2)),
        method: false,
        ..Entry::BASE
    },
    Entry {
        name: "_instance_norm",
        module: "nn.functional",
        doc: "layer_norm of each channel of each image, x being (N, C, ...), with a weight and a bias for each channel.\n\
              \n\
              >>> tg._core._functions[\"nn.functional._instance_norm\"](tg.Variable([[[1.0, 3.0], [5.0, 7.0]]]), eps=0.0)\n\
              Variable([[[-1.,  1.],\n           [-1.,  1.]]])\n",
        params: &[Param::array("input"), WEIGHT, BIAS, Param::float("eps", 1e-5)],
        call: |a| {
            let (w, b) = (a.opt_variable(1)?, a.opt_variable(2)?);
            Ok(instance_norm(&a.variable(0)?, w.as_ref(), b.as_ref(), a.float(3)?)?.into())
        },
        gradient: Gradient::Rule(DX),
        samples: || channel_samples(None),
        method: false,
        ..Entry::BASE
    },
    Entry {
        name: "_batch_norm_training",
        module: "nn.functional",
        doc: "(x - mean) / sqrt(var + eps) of each channel over the batch, x being (N, C, ...), times weight plus bias; and the mean and the\n\
              biased variance of each channel.\n\
              \n\
              >>> tg._core._functions[\"nn.functional._batch_norm_training\"](tg.Variable([[1.0], [3.0]]), eps=0.0)\n\
              (Variable([[-1.],\n          [ 1.]]), Variable([2.]), Variable([1.]))\n",
        params: &[Param::array("input"), WEIGHT, BIAS, Param::float("eps", 1e-5)],
        call: call_training,
        gradient: Gradient::Composite(DX),
        samples: || channel_samples(None),
        method: false,
        ..Entry::BASE
    },
    Entry {
        name: "_batch_norm_evaluation",
        module: "nn.functional",
        doc: "(x - mean) / sqrt(var + eps) of each channel with a given mean and variance, x being (N, C, ...), times weight plus bias.\n\
              \n\
              >>> tg._core._functions[\"nn.functional._batch_norm_evaluation\"](tg.Variable([[1.0], [3.0]]), tg.Variable([1.0]), tg.Variable([4.0]), eps=0.0)\n\
              Variable([[0.],\n          [1.]])\n",
        params: &[Param::array("input"), Param::array("mean"), Param::array("var"), WEIGHT, BIAS, Param::float("eps", 1e-5)],
        call: |a| {
            let (w, b) = (a.opt_variable(3)?, a.opt_variable(4)?);
            let y = batch_norm_evaluation(&a.variable(0)?, &a.variable(1)?, &a.variable(2)?, w.as_ref(), b.as_ref(), a.float(5)?)?;
            Ok(y.into())
        },
        gradient: Gradient::Composite("g weight / sqrt(var + eps)"),
        samples: running_samples,
        method: false,
        ..Entry::BASE
    },
    Entry {
        name: "local_response_norm",
        module: "nn.functional",
        doc: "x / (k + alpha mean(x²)) ** beta, the mean over size neighbouring channels, zeros beyond the first and the last (Krizhevsky, 2012).\n\
              \n\
              >>> tg.nn.functional.local_response_norm(tg.Variable([[[3.0], [4.0]]]), 2, alpha=1.0, beta=1.0, k=0.0)\n\
              Variable([[[0.6666667],\n           [0.32     ]]])\n",
        params: &[
            Param::array("input"),
            Param::new("size", Kind::Int),
            Param::float("alpha", 1e-4),
            Param::float("beta", 0.75),
            Param::float("k", 1.0),
        ],
        call: |a| Ok(local_response_norm(&a.variable(0)?, a.int(1)?, a.float(2)?, a.float(3)?, a.float(4)?)?.into()),
        gradient: Gradient::Composite("that of its parts"),
        samples: || {
            let draw = &mut Draw::new(44);
            let rest = || [Arg::Int(3), Arg::Float(0.5), Arg::Float(0.75), Arg::Float(1.0)];
            [&[2, 4, 3][..], &[1, 2, 2, 2]]
                .map(|s| Sample { args: std::iter::once(Arg::Variable(REAL.strided(draw, s))).chain(rest()).collect() })
                .to_vec()
        },
        method: false,
        ..Entry::BASE
    },
];
