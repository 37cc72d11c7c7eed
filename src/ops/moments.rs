//! Variance and standard deviation over axes.

use super::reduction::{Axes, axes_attr, axes_of, count, finish, floating, normalize_axes, reduction_samples, spread};
use super::registry::{Arg, Args, Entry, Gradient, Param, Sample, Value};
use super::samples::REAL;
use super::{annihilate, equal, multiply, reciprocal, sqrt, where_};
use crate::array::Array;
use crate::dispatch;
use crate::error::Result;
use crate::kernel::moments::centered;
use crate::kernel::spread::deviations;
use crate::tape::{AttrData, Attrs, Grads, Op, Rule, Step, Variable, record};

static CENTER: Op = Op { name: "center", rule: Rule::Vjp(center_vjp), ..Op::BASE };

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

static VAR: Op = Op { name: "var", rule: Rule::Vjp(var_vjp), ..Op::BASE };

fn var_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let x = step.input(0);
    let args: &Spread = data(step);
    let g = spread(&multiply(&g, 2.0 / args.divisor(x.shape()))?, &args.axes, x.shape())?;
    Ok(std::iter::once(Some(annihilate(&g, &center(&x, &args.axes)?)?)).collect())
}

static STD: Op = Op { name: "std", rule: Rule::Vjp(std_vjp), ..Op::BASE };

fn std_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let (x, y) = (step.input(0), step.output(0));
    let args: &Spread = data(step);
    // No direction is better than another at a constant.
    let slope = where_(&equal(&y, 0.0)?, 0.0, &reciprocal(&y)?)?;
    let g = multiply(&annihilate(&g, &slope)?, 1.0 / args.divisor(x.shape()))?;
    let g = spread(&g, &args.axes, x.shape())?;
    Ok(std::iter::once(Some(annihilate(&g, &center(&x, &args.axes)?)?)).collect())
}

/// The sum of squared deviations over the divisor, with the kept axes only.
fn variance(x: &Array, args: &Spread) -> Array {
    let n = args.divisor(x.shape());
    let mut out = deviations(x, &args.axes);
    dispatch!(float x.dtype(), T => {
        #[allow(clippy::cast_possible_truncation, trivial_numeric_casts, reason = "the divisor in the precision at hand")]
        out.data_mut::<T>().iter_mut().for_each(|v| *v /= n as T);
    }, else unreachable!("integers were made floating"));
    out
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
    let out = sqrt(&finish(variance(x.array(), &args), x.shape(), &args.axes, keepdims).into())?;
    record(&STD, &[&x], out.into_array(), |s| {
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
