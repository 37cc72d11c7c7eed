//! Variance and standard deviation over axes.

use super::norm::tip_gradient;
use super::reduction::{Axes, axes_attr, axes_of, count, finish, floating, normalize_axes, reduction_samples, spread};
use super::registry::{Arg, Args, Entry, Gradient, Param, Sample, Value};
use super::samples::REAL;
use super::{add, annihilate, divide, equal, multiply, where_};
use crate::array::{Array, DType, Element};
use crate::dispatch;
use crate::error::Result;
use crate::kernel::math::Real;
use crate::kernel::moments::{centered, is_finite, scaled};
use crate::kernel::spread::deviations;
use crate::tape::{AttrData, Attrs, Grads, Op, Rule, Step, Variable, record};

static CENTER: Op = Op { name: "center", rule: Rule::Vjp(center_vjp) };

/// Taking the mean off is a projection: it is its own transpose.
fn center_vjp(step: &mut Step<'_>) -> Result<Grads> {
    Ok(std::iter::once(Some(center(&step.take_g(), &axes_of(step))?)).collect())
}

/// x minus its mean over normalised axes; exactly zero where x is constant.
pub(crate) fn center(x: &Variable, axes: &[usize]) -> Result<Variable> {
    record(&CENTER, &[x], centered(x.array(), axes), |s| s.attrs(axes_attr(axes)))
}

/// Axes, and what is taken off their number of elements.
#[derive(Debug)]
struct Spread {
    axes: Axes,
    correction: f64,
}

impl Spread {
    /// What a sum of squares is divided by.
    fn divisor(&self, shape: &[usize]) -> f64 {
        (count(shape, &self.axes) - self.correction).max(0.0)
    }
}

/// What an operation of this file keeps of its arguments.
fn data<'a, T: AttrData>(step: &'a Step<'_>) -> &'a T {
    step.attrs().data().unwrap_or_else(|| unreachable!("{}: recorded without its arguments", step.name()))
}

static VAR: Op = Op { name: "var", rule: Rule::Vjp(var_vjp) };

fn var_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let x = step.input(0);
    let args: &Spread = data(step);
    let g = spread(&multiply(&g, 2.0 / args.divisor(x.shape()))?, &args.axes, x.shape())?;
    Ok(std::iter::once(Some(annihilate(&g, &center(&x, &args.axes)?)?)).collect())
}

static STD: Op = Op { name: "std", rule: Rule::Vjp(std_vjp) };

fn std_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let (x, y) = (step.input(0), step.output(0));
    let args: &Spread = data(step);
    // No direction is better than another at a constant.
    let at_tip = equal(&y, 0.0)?;
    let center = center(&x, &args.axes)?;
    let slope = divide(&center, &spread(&where_(&at_tip, 1.0, &y)?, &args.axes, x.shape())?)?;
    let slope = where_(&spread(&at_tip, &args.axes, x.shape())?, 0.0, &slope)?;
    let g = multiply(&g, 1.0 / args.divisor(x.shape()))?;
    let regular = annihilate(&spread(&g, &args.axes, x.shape())?, &slope)?;
    let tip = tip_gradient(step, &g, step.output_array(0), |curvature| multiply(&spread(curvature, &args.axes, x.shape())?, &center))?;
    let out = if let Some(tip) = tip { add(&regular, &tip)? } else { regular };
    Ok(std::iter::once(Some(out)).collect())
}

/// How numbers are scaled whose squares are out of range, by powers of two: the squares of the results are in range.
fn scales(dtype: DType) -> (f64, f64) {
    let exponent = if dtype == DType::F64 { 600.0_f64 } else { 100.0 };
    ((-exponent).exp2(), exponent.exp2())
}

/// The sum of squared deviations over the divisor, with the kept axes only.
fn variance(x: &Array, args: &Spread) -> Array {
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

/// The square root of [`variance`]: finite where the variance overflows, and not zero where it underflows.
fn deviation(x: &Array, args: &Spread) -> Array {
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
fn quotients<T: Real + Element>(x: &Array, args: &Spread, n: f64) -> Array {
    let mut out = deviations(x, &args.axes);
    out.data_mut::<T>().iter_mut().for_each(|v| *v = *v / T::lit(n));
    out
}

/// Replaces the elements that are `bad` by `f` of those that were found from scaled numbers, where these are finite.
#[cold]
fn mend<T: Real + Element>(out: &mut Array, found: &Array, bad: impl Fn(T) -> bool, f: impl Fn(T) -> T) {
    for (v, &s) in out.data_mut::<T>().iter_mut().zip(found.as_slice::<T>().unwrap_or_default()) {
        if bad(*v) && is_finite(s) {
            *v = f(s);
        }
    }
}

/// The variance over `axes` (`None`: all): the sum of squared deviations from the mean over n - `correction`.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn var(x: &Variable, axes: Option<&[isize]>, keepdims: bool, correction: f64) -> Result<Variable> {
    let args = Spread { axes: normalize_axes("var", axes, x.ndim())?, correction };
    let x = floating(x)?;
    let out = finish(variance(x.array(), &args), x.shape(), &args.axes, keepdims);
    record(&VAR, &[&x], out, |s| {
        s.input(0);
        s.attrs(Attrs::Data(std::sync::Arc::new(args)));
    })
}

/// The square root of [`var`]. The gradient at a constant is 0.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn std(x: &Variable, axes: Option<&[isize]>, keepdims: bool, correction: f64) -> Result<Variable> {
    let args = Spread { axes: normalize_axes("std", axes, x.ndim())?, correction };
    let x = floating(x)?;
    let out = finish(deviation(x.array(), &args), x.shape(), &args.axes, keepdims);
    record(&STD, &[&x], out, |s| {
        s.input(0);
        s.output(0);
        s.attrs(Attrs::Data(std::sync::Arc::new(args)));
    })
}

/// x, axes, keepdims, correction.
type Moment = fn(&Variable, Option<&[isize]>, bool, f64) -> Result<Variable>;

fn call(a: &Args<'_>, f: Moment) -> Result<Value> {
    Ok(f(&a.variable(0)?, a.axes(1)?, a.flag(2)?, a.float(3)?)?.into())
}

/// x, axes, keepdims, correction.
const PARAMS: &[Param] =
    &[Param::array("x"), Param::axes(), Param::keepdims(), Param { alias: Some("ddof"), ..Param::float("correction", 0.0).named() }];

/// Only where more than one element is left over, as the spread of a single one is constant.
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
