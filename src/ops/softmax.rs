//! Softmax, its logarithm, and the logarithm of a sum of exponentials: stable for logits of any size.

use super::reduction::{Axes, axes_attr, axes_of, finish, floating, normalize_axes, reduction_samples, spread, spread_array, sum_over};
use super::registry::{Arg, Entry, Gradient, Param, Sample};
use super::samples::{Draw, REAL};
use super::shape::scalar;
use super::{annihilate, equal, exp, multiply, subtract, where_};
use crate::array::{Array, Element};
use crate::dispatch;
use crate::error::Result;
use crate::kernel::reduce::Plan;
use crate::kernel::softmax as kernel;
use crate::tape::{Grads, Op, Rule, Step, Variable, record};

/// A kernel over rows, with the axes of a row moved to the end and back.
fn by_rows<const N: usize>(inputs: [&Array; N], axes: &[usize], f: impl Fn([&Array; N], usize) -> Array) -> Array {
    let plan = Plan::new(inputs[0].shape(), axes);
    let rows = inputs.map(|a| plan.rows(a));
    plan.back(&f(rows.each_ref(), plan.count))
}

/// One axis; a 0-d array counts as a row of one element.
fn one_axis(op: &str, axis: isize, ndim: usize) -> Result<Axes> {
    if ndim == 0 && (axis == 0 || axis == -1) { Ok(Axes::new()) } else { normalize_axes(op, Some(&[axis]), ndim) }
}

static SOFTMAX: Op = Op { name: "softmax", rule: Rule::Vjp(softmax_vjp) };

fn softmax_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let axes = axes_of(step);
    let out = if step.create_graph() {
        let y = step.output(0);
        multiply(&y, &subtract(&g, &sum_over(&multiply(&g, &y)?, &axes, true)?)?)?
    } else {
        by_rows([g.array(), step.output_array(0)], &axes, |[g, y], n| kernel::softmax_gradient(g, y, n)).into()
    };
    Ok(std::iter::once(Some(out)).collect())
}

/// [`softmax`] over all of some normalised axes at once.
fn softmax_over(x: &Variable, axes: &[usize]) -> Result<Variable> {
    let out = by_rows([x.array()], axes, |[x], n| kernel::softmax(x, n));
    record(&SOFTMAX, &[x], out, |s| {
        s.output(0);
        s.attrs(axes_attr(axes));
    })
}

/// eˣ over its sum along `axis`: positive numbers that add up to one.
///
/// # Errors
/// `Axis` when the axis is out of range.
pub fn softmax(x: &Variable, axis: isize) -> Result<Variable> {
    softmax_over(&floating(x)?, &one_axis("softmax", axis, x.ndim())?)
}

static LOG_SOFTMAX: Op = Op { name: "log_softmax", rule: Rule::Vjp(log_softmax_vjp) };

fn log_softmax_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let axes = axes_of(step);
    let out = if step.create_graph() {
        subtract(&g, &multiply(&exp(&step.output(0))?, &sum_over(&g, &axes, true)?)?)?
    } else {
        by_rows([g.array(), step.output_array(0)], &axes, |[g, y], n| kernel::log_softmax_gradient(g, y, n)).into()
    };
    Ok(std::iter::once(Some(out)).collect())
}

/// The logarithm of [`softmax`], exact also where that rounds to zero.
///
/// # Errors
/// `Axis` when the axis is out of range.
pub fn log_softmax(x: &Variable, axis: isize) -> Result<Variable> {
    let over = one_axis("log_softmax", axis, x.ndim())?;
    let x = floating(x)?;
    let out = by_rows([x.array()], &over, |[x], n| kernel::log_softmax(x, n));
    record(&LOG_SOFTMAX, &[&x], out, |s| {
        s.output(0);
        s.attrs(axes_attr(&over));
    })
}

static LOGSUMEXP: Op = Op { name: "logsumexp", rule: Rule::Vjp(logsumexp_vjp) };

/// g ⊗ softmax(x). A sum of nothing but e^-∞ has gradient 0, and where elements are +∞ they have all of it; such rows are
/// replaced before they can make NaN.
///
/// The softmax is taken anew: e^(x - y) would lose the digits that a large y has lost.
fn logsumexp_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let mut g = step.take_g();
    let axes = axes_of(step);
    let x = step.input(0);
    let y = step.output_array(0);
    let any = |f: fn(f64) -> bool| dispatch!(float y.dtype(), T => y.view::<T>().iter().any(|&v| f(v.to_scalar().as_f64())), else false);
    let spread_mask = |m: &Variable| spread_array(m.array(), &axes, x.shape()).map(Variable::from);
    let mut shares = x.clone();
    if any(|v| v == f64::NEG_INFINITY) {
        let void = equal(&Variable::from(y.clone()), f64::NEG_INFINITY)?;
        g = where_(&void, 0.0, &g)?;
        shares = where_(&spread_mask(&void)?, 0.0, &shares)?;
    }
    if any(|v| v == f64::INFINITY) {
        // The infinite elements share the gradient equally.
        let full = spread_mask(&equal(&Variable::from(y.clone()), f64::INFINITY)?)?;
        let limit = where_(&equal(&x, f64::INFINITY)?, &scalar(0.0, x.dtype()), f64::NEG_INFINITY)?;
        shares = where_(&full, &limit, &shares)?;
    }
    let g = spread(&g, &axes, x.shape())?;
    Ok(std::iter::once(Some(annihilate(&g, &softmax_over(&shares, &axes)?)?)).collect())
}

/// ln Σ eˣ over `axes` (`None`: all); -∞ of nothing. Where all elements are -∞ so is the result, and the gradient is 0.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn logsumexp(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    let axes = normalize_axes("logsumexp", axes, x.ndim())?;
    let x = floating(x)?;
    let plan = Plan::new(x.shape(), &axes);
    let out = kernel::logsumexp(&plan.rows(x.array()), plan.count, &plan.kept);
    record(&LOGSUMEXP, &[&x], finish(out, x.shape(), &axes, keepdims), |s| {
        s.input(0);
        s.output(0);
        s.attrs(axes_attr(&axes));
    })
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
