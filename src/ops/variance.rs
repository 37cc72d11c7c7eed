//! Variance and standard deviation over axes.

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::norm::{euclidean_norm, tip_gradient};
use super::reduction::{
    Axes, OverAxes, batch_over_axes, behind_batch, count, expand_reduced, finish, floating, normalize_axes, reduction_samples, sum_over,
};
use super::registry::{Arg, Args, Entry, Gradient, Param, Sample, Value};
use super::samples::REAL;
use super::{add, annihilate, divide, equal, hypot, imag, multiply, real, square, where_};
use crate::array::{Array, DType, Element};
use crate::dispatch;
use crate::error::Result;
use crate::kernel::math::Real;
use crate::kernel::moments::{centered, is_finite, scaled};
use crate::kernel::variance::deviations;
use crate::tape::{Batch, BatchContext, Jvp, Outputs, Primitive, Variable, Vjp, VjpContext, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&CENTER, &VAR, &STD];

static CENTER: Primitive = Primitive {
    name: "center",
    eval: |call| {
        let out = centered(call.array(0), &call.attrs::<OverAxes>().axes);
        call.give(out);
        Ok(())
    },
    // Subtracting the mean is an orthogonal projection, so it is self-adjoint.
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        ctx.add(0, center(&g, &ctx.attrs::<OverAxes>().axes)?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_over_axes),
    ..Primitive::BASE
};

/// x minus its mean over normalised axes; exactly zero if x is constant.
pub(crate) fn center(x: &Variable, axes: &[usize]) -> Result<Variable> {
    apply(&CENTER, &[x.into()], &OverAxes { axes: axes.into() })
}

/// The attributes of a variance: the sum of squared deviations is divided by the number of elements minus `correction`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Variance {
    axes: Axes,
    keepdims: bool,
    correction: f64,
}
crate::attributes!(Variance);

impl Variance {
    fn divisor(&self, shape: &[usize]) -> f64 {
        (count(shape, &self.axes) - self.correction).max(0.0)
    }
}

fn batch_variance(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let a: &Variance = ctx.attrs();
    ctx.apply_spread(&Variance { axes: behind_batch(&a.axes), ..a.clone() })
}

static VAR: Primitive = Primitive {
    name: "var",
    eval: |call| {
        let (x, a) = (call.array(0), call.attrs::<Variance>());
        call.give(finish(variance(x, a), x.shape(), &a.axes, a.keepdims));
        Ok(())
    },
    saves: |s| s.input(0),
    vjp: Vjp::Rule(|ctx| {
        let (g, x, a) = (ctx.cotangent(), ctx.input(0), ctx.attrs::<Variance>());
        let g = expand_reduced(&multiply(&g, 2.0 / a.divisor(x.shape()))?, &a.axes, x.shape())?;
        ctx.add(0, annihilate(&g, &center(&x, &a.axes)?)?)
    }),
    jvp: Jvp::Definition,
    batch: Batch::Rule(batch_variance),
    definition: Some(|inputs, attrs| {
        let (x, a) = (&inputs[0], attrs.get::<Variance>());
        let total = sum_over(&square(&center(x, &a.axes)?)?, &a.axes, a.keepdims)?;
        Ok(smallvec![divide(&total, a.divisor(x.shape()))?])
    }),
    ..Primitive::BASE
};

static STD: Primitive = Primitive {
    name: "std",
    eval: |call| {
        let (x, a) = (call.array(0), call.attrs::<Variance>());
        call.give(finish(deviation(x, a), x.shape(), &a.axes, a.keepdims));
        Ok(())
    },
    saves: |s| {
        s.input(0);
        s.output(0);
    },
    vjp: Vjp::Rule(std_vjp),
    jvp: Jvp::Definition,
    batch: Batch::Rule(batch_variance),
    // The Euclidean norm of the deviations: its gradient at a constant is 0.
    definition: Some(|inputs, attrs| {
        let (x, a) = (&inputs[0], attrs.get::<Variance>());
        let length = euclidean_norm(&center(x, &a.axes)?, &a.axes, a.keepdims)?;
        Ok(smallvec![divide(&length, a.divisor(x.shape()).sqrt())?])
    }),
    ..Primitive::BASE
};

/// The deviations divided by n times the standard deviation; zero at a constant, where no direction is preferred.
fn std_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let (g, x, y, a) = (ctx.cotangent(), ctx.input(0), ctx.output(0), ctx.attrs::<Variance>());
    let wide = |v: &Variable| expand_reduced(v, &a.axes, x.shape());
    let at_tip = equal(&y, 0.0)?;
    let center = center(&x, &a.axes)?;
    let slope = divide(&center, &wide(&where_(&at_tip, 1.0, &y)?)?)?;
    let slope = where_(&wide(&at_tip)?, 0.0, &slope)?;
    let g = multiply(&g, 1.0 / a.divisor(x.shape()))?;
    let regular = annihilate(&wide(&g)?, &slope)?;
    match tip_gradient(ctx, &g, ctx.output_array(0), |curvature| multiply(&wide(curvature)?, &center))? {
        Some(tip) => ctx.add(0, add(&regular, &tip)?),
        None => ctx.add(0, regular),
    }
}

/// Two powers of two that scale numbers whose squares are out of range, so that the squares of the results are in range.
fn scales(dtype: DType) -> (f64, f64) {
    let exponent = if dtype == DType::F64 { 600.0_f64 } else { 100.0 };
    ((-exponent).exp2(), exponent.exp2())
}

/// The sum of squared deviations divided by n - `correction`, with the kept axes only.
fn variance(x: &Array, args: &Variance) -> Array {
    let n = args.divisor(x.shape());
    dispatch!(float x.dtype(), T => {
        let mut out = quotients::<T>(x, args, n);
        if out.as_slice::<T>().unwrap_or_default().iter().any(|v| !v.is_finite()) {
            let (down, up) = scales(x.dtype());
            mend::<T>(&mut out, &quotients::<T>(&scaled::<T>(x, down), args, n), |v| !v.is_finite(), |v| v * T::lit(up) * T::lit(up));
        }
        out
    }, else unreachable!("integers were made floating"))
}

/// The square root of [`variance`]: finite where the variance overflows, and nonzero where it underflows.
fn deviation(x: &Array, args: &Variance) -> Array {
    let n = args.divisor(x.shape());
    dispatch!(float x.dtype(), T => {
        let mut out = quotients::<T>(x, args, n);
        let squares = out.clone();
        let squares = squares.as_slice::<T>().unwrap_or_default();
        out.data_mut::<T>().iter_mut().for_each(|v| *v = v.sqrt());
        let (down, up) = scales(x.dtype());
        let tiny = T::MIN_POSITIVE / T::EPSILON;
        if squares.iter().any(|v| !v.is_finite()) {
            mend::<T>(&mut out, &quotients::<T>(&scaled::<T>(x, down), args, n), |v| !v.is_finite(), |v| v.sqrt() * T::lit(up));
        }
        if squares.iter().any(|v| *v < tiny) {
            mend::<T>(&mut out, &quotients::<T>(&scaled::<T>(x, up), args, n), |v| v < tiny.sqrt(), |v| v.sqrt() * T::lit(down));
        }
        out
    }, else unreachable!("integers were made floating"))
}

/// Sums of squared deviations over `n`.
fn quotients<T: Real + Element>(x: &Array, args: &Variance, n: f64) -> Array {
    let mut out = deviations(x, &args.axes);
    out.data_mut::<T>().iter_mut().for_each(|v| *v = *v / T::lit(n));
    out
}

/// Replaces the elements that are `bad` by `f` of those computed from scaled numbers, if these are finite.
#[cold]
fn mend<T: Real + Element>(out: &mut Array, found: &Array, bad: impl Fn(T) -> bool, f: impl Fn(T) -> T) {
    for (v, &s) in out.data_mut::<T>().iter_mut().zip(found.as_slice::<T>().unwrap_or_default()) {
        if bad(*v) && is_finite(s) {
            *v = f(s);
        }
    }
}

/// The variance over `axes` (`None`: all): the sum of squared deviations from the mean divided by n - `correction`.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn var(x: &Variable, axes: Option<&[isize]>, keepdims: bool, correction: f64) -> Result<Variable> {
    if x.dtype().is_complex() {
        // For complex numbers: the sum of the variances of both parts.
        let part = |x: Variable| var(&x, axes, keepdims, correction);
        return add(&part(real(x)?)?, &part(imag(x)?)?);
    }
    let axes = normalize_axes("var", axes, x.ndim())?;
    apply(&VAR, &[(&floating("var", x)?).into()], &Variance { axes, keepdims, correction })
}

/// The square root of [`var`]. The gradient at a constant is 0.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn std(x: &Variable, axes: Option<&[isize]>, keepdims: bool, correction: f64) -> Result<Variable> {
    if x.dtype().is_complex() {
        let part = |x: Variable| std(&x, axes, keepdims, correction);
        return hypot(&part(real(x)?)?, &part(imag(x)?)?);
    }
    let axes = normalize_axes("std", axes, x.ndim())?;
    apply(&STD, &[(&floating("std", x)?).into()], &Variance { axes, keepdims, correction })
}

/// x, axes, keepdims, correction.
type Moment = fn(&Variable, Option<&[isize]>, bool, f64) -> Result<Variable>;

fn call(a: &Args<'_>, f: Moment) -> Result<Value> {
    Ok(f(&a.variable(0)?, a.axes(1)?, a.flag(2)?, a.float(3)?)?.into())
}

/// x, axes, keepdims, correction.
const PARAMS: &[Param] =
    &[Param::array("x"), Param::axes(), Param::keepdims(), Param { alias: Some("ddof"), ..Param::float("correction", 0.0).named() }];

/// Only with more than one element, because the deviation of a single one is constant.
fn samples() -> Vec<Sample> {
    let several = |s: &Sample| match (&s.args[0], &s.args[1]) {
        (Arg::Variable(x), Arg::None) => x.ndim() > 0,
        (Arg::Variable(x), Arg::Ints(axes)) => axes.iter().any(|&a| x.shape()[a.rem_euclid(x.ndim().cast_signed()).cast_unsigned()] > 1),
        _ => false,
    };
    let corrections = [0.0, 1.0, 0.5, -1.0];
    corrections.iter().flat_map(|&c| reduction_samples(REAL, false, &[Arg::Float(c)])).filter(several).collect()
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "var",
        doc: "The variance over axes (None: all): the sum of squared deviations from the mean over n - correction (ddof is another name for it).\n\n>>> tg.var(tg.Variable([1.0, 2.0, 3.0, 6.0]))\nVariable(3.5)\n",
        params: PARAMS,
        call: |a| call(a, var),
        gradient: Gradient::Rule("2 g (x - mean) / (n - correction)"),
        samples,
        ..Entry::BASE
    },
    Entry {
        name: "std",
        doc: "The standard deviation over axes (None: all): the square root of var. The gradient at a constant is 0.\n\n>>> tg.std(tg.Variable([1.0, 3.0, 5.0]), correction=1)\nVariable(2.)\n",
        params: PARAMS,
        call: |a| call(a, std),
        gradient: Gradient::Rule("g (x - mean) / (y (n - correction)), 0 where y is 0"),
        samples,
        ..Entry::BASE
    },
];
