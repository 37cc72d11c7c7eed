//! Vector norms over axes.

use super::extrema::{max, min};
use super::reduction::{Axes, finish, floating, normalize_axes, reduction_samples, spread, spread_array};
use super::registry::{Arg, Default, Entry, Gradient, Kind, Param, Sample};
use super::samples::{Domain, NONZERO};
use super::shape::{astype, scalar};
use super::{abs, annihilate, divide, equal, logical_or, multiply, power, sign, sqrt, square, where_};
use crate::array::Array;
use crate::dispatch;
use crate::error::{Error, Result};
use crate::kernel::folds::{CountNonzero, Max, Min, SumAbs, SumSquares};
use crate::kernel::reduce::{Plan, Sum, reduce};
use crate::tape::{Attrs, Grads, Op, Rule, Step, Variable, record};

/// Over which axes, and of which power.
#[derive(Debug)]
struct Length {
    axes: Axes,
    ord: f64,
}

/// What a norm is made of.
enum Power {
    Count,
    Absolute,
    Square,
    Other(f64),
}

impl From<f64> for Power {
    #[allow(clippy::float_cmp, reason = "exactly these powers have formulas of their own")]
    fn from(ord: f64) -> Self {
        match ord {
            _ if ord == 0.0 => Self::Count,
            _ if ord == 1.0 => Self::Absolute,
            _ if ord == 2.0 => Self::Square,
            p => Self::Other(p),
        }
    }
}

static NORM: Op = Op { name: "vector_norm", rule: Rule::Vjp(norm_vjp), ..Op::BASE };

fn norm_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let args: &Length = step.attrs().data().unwrap_or_else(|| unreachable!("vector_norm: recorded without its arguments"));
    let slope = match Power::from(args.ord) {
        // A count is flat wherever it is continuous.
        Power::Count => scalar(0.0, g.dtype()),
        Power::Absolute => sign(&step.input(0))?,
        Power::Square => divide(&step.input(0), &unit(step, &args.axes)?)?,
        Power::Other(p) => power_slope(step, &args.axes, p)?,
    };
    let g = spread(&g, &args.axes, &step.meta(0).shape)?;
    Ok(std::iter::once(Some(annihilate(&g, &slope)?)).collect())
}

/// The norm, seen with the shape of the input; one instead of zero, since a norm of zero has no direction.
fn unit(step: &Step<'_>, axes: &[usize]) -> Result<Variable> {
    let y = step.output(0);
    spread(&where_(&equal(&y, 0.0)?, 1.0, &y)?, axes, &step.meta(0).shape)
}

/// sign x · (|x| / y)^(p - 1); zero at the kinks of p ≤ 1.
fn power_slope(step: &Step<'_>, axes: &[usize], p: f64) -> Result<Variable> {
    let x = step.input(0);
    let slope = multiply(&sign(&x)?, &power(&divide(&abs(&x)?, &unit(step, axes)?)?, p - 1.0)?)?;
    if p > 1.0 {
        return Ok(slope);
    }
    let y = spread_array(step.output_array(0), axes, x.shape())?.into();
    where_(&logical_or(&equal(&x, 0.0)?, &equal(&y, 0.0)?)?, 0.0, &slope)
}

/// The element of x ≥ 0 that dominates a sum of powers, to measure the others in: nothing overflows on the way. One
/// where there is no such element.
fn scale(x: &Array, axes: &[usize], largest: bool) -> Array {
    let plan = Plan::new(x.shape(), axes);
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
    let ratio = divide(&x, &spread_array(&scale, axes, x.shape())?.into())?;
    let ratio = if p == 2.0 { square(&ratio)? } else { power(&ratio, p)? };
    let total = dispatch!(float x.dtype(), T => reduce::<Sum, T>(ratio.array(), axes), else unreachable!("integers were made floating")).into();
    let root = if p == 2.0 { sqrt(&total)? } else { power(&total, 1.0 / p)? };
    Ok(multiply(&root, &scale.into())?.into_array())
}

/// The length; of numbers whose squares are out of range by way of [`power_norm`].
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

/// The vector norm over `axes` (`None`: all): (Σ |x|ᵖ)^(1/p) for p = `ord`; the largest and the smallest absolute value
/// for ±∞, the number of elements that are not zero for 0. The gradient at 0 is 0.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice, `Value` when `ord` is NaN or an infinite norm has nothing to
/// choose from.
pub fn vector_norm(x: &Variable, axes: Option<&[isize]>, keepdims: bool, ord: f64) -> Result<Variable> {
    if ord.is_nan() {
        return Err(Error::Value("vector_norm: ord is NaN, expected a number".to_owned()));
    }
    let named = axes;
    let axes = normalize_axes("vector_norm", axes, x.ndim())?;
    let x = floating(x)?;
    if ord.is_infinite() {
        let x = abs(&x)?;
        return if ord > 0.0 { max(&x, named, keepdims) } else { min(&x, named, keepdims) };
    }
    let out = match Power::from(ord) {
        Power::Count => {
            let count = dispatch!(x.dtype(), T => reduce::<CountNonzero, T>(x.array(), &axes));
            astype(&count.into(), x.dtype())?.into_array()
        }
        Power::Absolute => dispatch!(float x.dtype(), T => reduce::<SumAbs, T>(x.array(), &axes), else unreachable!("integers were made floating")),
        Power::Square => length(x.array(), &axes)?,
        Power::Other(p) => power_norm(x.array(), &axes, p)?,
    };
    record(&NORM, &[&x], finish(out, x.shape(), &axes, keepdims), |s| {
        s.input(0);
        s.output(0);
        s.attrs(Attrs::Data(std::sync::Arc::new(Length { axes, ord })));
    })
}

/// Norms of several powers, away from zero, where those up to 1 have kinks.
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
