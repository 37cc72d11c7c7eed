//! Medians and quantiles: elements of given ranks, and interpolation between them.

use super::along::at_positions;
use super::minmax::check_empty;
use super::permute::permute;
use super::reduction::{Axes, floating, normalize_axes, reduced_shape, sum_over};
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Operand, Param, Sample, Value};
use super::samples::{Draw, REAL, call_with, ints};
use super::shape::{astype, flatten, reshape_to, scalar};
use super::sorting::{ranked, sort};
use super::window::{Cut, GETITEM, Window, view};
use super::{
    add, broadcast_to, ceil, clip, divide, equal, floor, greater_equal, isfinite, isnan, logical_and, logical_not, logical_or, maximum, moveaxis,
    multiply, rint, subtract, where_,
};
use crate::array::{Array, DType, Shape};
use crate::error::{Error, Result};
use crate::tape::Variable;

/// `x` with the reduced axes merged into a new last axis.
pub(super) fn rows(x: &Variable, axes: &[usize]) -> Result<Variable> {
    let kept: Axes = (0..x.ndim()).filter(|a| !axes.contains(a)).collect();
    let order: Axes = kept.iter().chain(axes).copied().collect();
    let count = axes.iter().map(|&a| x.shape()[a]).product();
    let shape: Shape = kept.iter().map(|&a| x.shape()[a]).chain([count]).collect();
    reshape_to(&permute(x, &order)?, &shape)
}

/// Position `i` of the last axis.
pub(super) fn at_last(x: &Variable, i: usize) -> Result<Variable> {
    let axis = x.ndim() - 1;
    let cut = view(&GETITEM, x, &Window::along(x.shape(), axis, Cut::one(i)))?;
    reshape_to(&cut, &x.shape()[..axis])
}

/// The median over `axes` (`None`: all). It is NaN if there is a NaN or no element, and the mean of the middle two for an even count.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn median(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    let axes = normalize_axes("median", axes, x.ndim())?;
    let x = floating("median", x)?;
    let lines = rows(&x, &axes)?;
    let n = lines.shape()[lines.ndim() - 1];
    if n == 0 {
        return super::mean(&x, Some(&axes.iter().map(|a| a.cast_signed()).collect::<Vec<_>>()), keepdims);
    }
    let (low, high) = ((n - 1) / 2, n / 2);
    let mut ranks = vec![low, high, n - 1];
    ranks.dedup();
    let found = ranked(&lines, &ranks)?;
    let [a, b, last] = [low, high, n - 1].map(|rank| at_last(&found, ranks.iter().position(|&r| r == rank).unwrap_or(0)));
    let middle = if low == high { a? } else { multiply(&add(&a?, &b?)?, 0.5)? };
    let out = where_(&isnan(&last?)?, f64::NAN, &middle)?;
    reshape_to(&out, &reduced_shape(x.shape(), &axes, keepdims))
}

/// [`median`], ignoring NaN.
///
/// # Errors
/// As [`median`].
pub fn nanmedian(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    let half = scalar(0.5, DType::F64);
    let q = Quantile { op: "nanmedian", method: "midpoint", skip_nan: true, keepdims };
    if x.array().size() == 0 { median(x, axes, keepdims) } else { q.of(x, &half, axes) }
}

/// The parameters of a quantile.
struct Quantile<'a> {
    op: &'static str,
    method: &'a str,
    skip_nan: bool,
    keepdims: bool,
}

/// NumPy's methods.
const METHODS: [&str; 13] = [
    "linear",
    "lower",
    "higher",
    "midpoint",
    "nearest",
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "interpolated_inverted_cdf",
    "hazen",
    "weibull",
    "median_unbiased",
    "normal_unbiased",
];

impl Quantile<'_> {
    /// The quantiles `q` of `x`. The axes of `q` come first.
    fn of(&self, x: &Variable, q: &Variable, axes: Option<&[isize]>) -> Result<Variable> {
        let axes = normalize_axes(self.op, axes, x.ndim())?;
        check_empty(self.op, x, &axes)?;
        let x = floating(self.op, x)?;
        let lines = sort(&rows(&x, &axes)?, Some(-1), false)?;
        let (last, n) = (lines.ndim() - 1, lines.shape()[lines.ndim() - 1]);
        let count = if self.skip_nan {
            astype(&sum_over(&logical_not(&isnan(&lines)?)?, &[last], true)?, DType::F64)?
        } else {
            #[allow(clippy::cast_precision_loss, reason = "a count")]
            scalar(n as f64, DType::F64)
        };
        let top = maximum(&subtract(&count, 1.0)?, 0.0)?;
        let place = self.place(&flatten(&astype(q, DType::F64)?)?, &count)?;
        let low = floor(&place.detach())?;
        let shape: Shape = lines.shape()[..last].iter().copied().chain([q.array().size()]).collect();
        let at = |rank: &Variable| -> Result<Variable> {
            let rank = clip(rank, Some(0.0.into()), Some(Operand::Variable(&top)))?;
            at_positions(&lines, &broadcast_to(&astype(&rank, DType::I64)?, &shape)?, last)
        };
        let (a, b) = (at(&low)?, at(&add(&low, 1.0)?)?);
        let t = astype(&subtract(&place, &low)?, x.dtype())?;
        let step = subtract(&b, &a)?;
        // From the nearer end, as in NumPy, so that both ends are exact.
        let (up, down) = (add(&a, &multiply(&step, &t)?)?, subtract(&b, &multiply(&step, &subtract(1.0, &t)?)?)?);
        let mut out = where_(&greater_equal(&t, 0.5)?, &down, &up)?;
        // Between infinities the step is undefined, but it is not needed at an element or between equal elements.
        let at_element = logical_or(&equal(&t, 0.0)?, &equal(&a, &b)?)?;
        out = where_(&logical_and(&logical_not(&isfinite(&step)?)?, &at_element)?, &a, &out)?;
        if !self.skip_nan {
            let worst = super::expand_dims(&at_last(&lines, n - 1)?, &[-1])?;
            out = where_(&isnan(&worst)?, f64::NAN, &out)?;
        }
        let kept = reduced_shape(x.shape(), &axes, self.keepdims);
        let shape: Shape = q.shape().iter().copied().chain(kept).collect();
        reshape_to(&moveaxis(&out, &[-1], &[0])?, &shape)
    }

    /// The rank of each quantile, which may have a fraction.
    fn place(&self, q: &Variable, count: &Variable) -> Result<Variable> {
        let linear = multiply(&subtract(count, 1.0)?, q)?;
        let scaled = multiply(count, q)?;
        let between = |alpha: f64, beta: f64| subtract(&add(&scaled, &add(&multiply(q, 1.0 - alpha - beta)?, alpha)?)?, 1.0);
        Ok(match self.method {
            "linear" => linear,
            "lower" => floor(&linear)?,
            "higher" => ceil(&linear)?,
            "midpoint" => multiply(&add(&floor(&linear)?, &ceil(&linear)?)?, 0.5)?,
            "nearest" => rint(&linear)?,
            "inverted_cdf" => ceil(&subtract(&scaled, 1.0)?)?,
            "averaged_inverted_cdf" => {
                let t = subtract(&scaled, 1.0)?.detach();
                where_(&equal(&t, &floor(&t)?)?, &add(&t, 0.5)?, &ceil(&t)?)?
            }
            "closest_observation" => {
                let t = subtract(&scaled, 1.5)?.detach();
                let low = floor(&t)?;
                // Ranks count from one, so even ranks are odd here.
                let even = equal(&super::remainder(&low, 2.0)?, 1.0)?;
                where_(&super::logical_and(&equal(&t, &low)?, &even)?, &low, &add(&low, 1.0)?)?
            }
            "interpolated_inverted_cdf" => subtract(&scaled, 1.0)?,
            "hazen" => between(0.5, 0.5)?,
            "weibull" => between(0.0, 0.0)?,
            "median_unbiased" => between(1.0 / 3.0, 1.0 / 3.0)?,
            "normal_unbiased" => between(3.0 / 8.0, 3.0 / 8.0)?,
            other => return Err(Error::Value(format!("{}: method is '{other}', expected one of {}", self.op, METHODS.join(", ")))),
        })
    }
}

/// The quantiles `q` (between 0 and 1) over `axes` (`None`: all), by one of NumPy's methods. The axes of `q` come first.
///
/// # Errors
/// `Value` when a `q` is not between 0 and 1, the method is unknown or there are no elements; `Axis` when an axis is out of range.
pub fn quantile(x: &Variable, q: &Variable, axes: Option<&[isize]>, keepdims: bool, method: &str) -> Result<Variable> {
    check_range("quantile", q, 1.0)?;
    Quantile { op: "quantile", method, skip_nan: false, keepdims }.of(x, q, axes)
}

fn check_range(op: &str, q: &Variable, most: f64) -> Result<()> {
    let q = astype(&q.detach(), DType::F64)?;
    let wrong = q.values(op)?.to_vec::<f64>().into_iter().find(|q| !(0.0..=most).contains(q));
    wrong.map_or(Ok(()), |q| Err(Error::Value(format!("{op}: q is {q}, expected 0 to {most}"))))
}

/// The requested quantiles as an array, in double precision unless it is floating.
fn asked(a: &Args<'_>) -> Result<Variable> {
    match a.operand(1)? {
        Operand::Variable(v) => Ok(v.clone()),
        Operand::Scalar(s) => Ok(scalar(s, DType::F64)),
    }
}

fn call(a: &Args<'_>, op: &'static str, skip_nan: bool, percent: bool) -> Result<Value> {
    let mut q = asked(a)?;
    check_range(op, &q, if percent { 100.0 } else { 1.0 })?;
    if percent {
        q = divide(&astype(&q, DType::F64)?, 100.0)?;
    }
    Ok(Quantile { op, method: a.text(3)?, skip_nan, keepdims: a.flag(4)? }.of(&a.variable(0)?, &q, a.axes(2)?)?.into())
}

const QUANTILE: &[Param] = &[
    Param::array("x"),
    Param::array("q"),
    Param::axes(),
    Param { alias: Some("interpolation"), ..Param::new("method", Kind::Text).or(Default::Text("linear")) }.named(),
    Param::keepdims().named(),
];
const MEDIAN: &[Param] = &[Param::array("x"), Param::axes(), Param::keepdims()];
const WEIGHTS: Gradient = Gradient::Composite("g to the two neighbours of each quantile, by their weights");

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "median",
        doc: "The median over axes (None: all); NaN where there is one. Of an even count it is the mean of the middle two, which have half the gradient each.\n\n>>> tg.median(tg.Variable([3.0, 1.0, 2.0, 10.0]))\nVariable(2.5)\n",
        params: MEDIAN,
        call: |a| Ok(median(&a.variable(0)?, a.axes(1)?, a.flag(2)?)?.into()),
        cost: 10.0,
        gradient: Gradient::Composite("g to the middle element, or half to each of two"),
        samples: || super::reduction::reduction_samples(REAL, false, &[]),
        ..Entry::BASE
    },
    Entry {
        name: "nanmedian",
        doc: "The median over axes (None: all) of what is not NaN.\n\n>>> tg.nanmedian(tg.Variable([3.0, float(\"nan\"), 1.0]))\nVariable(2.)\n",
        params: MEDIAN,
        call: |a| Ok(nanmedian(&a.variable(0)?, a.axes(1)?, a.flag(2)?)?.into()),
        cost: 30.0,
        gradient: Gradient::Composite("g to the middle element, or half to each of two"),
        samples: || super::reduction::reduction_samples(REAL, false, &[]),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "quantile",
        doc: "The quantiles q (between 0 and 1) over axes (None: all); the axes of q come first. NaN where there is one. The method is one of NumPy's, such as 'linear', 'lower', 'higher', 'midpoint', 'nearest' or 'median_unbiased'.\n\n>>> tg.quantile(tg.Variable([3.0, 1.0, 2.0]), 0.25)\nVariable(1.5)\n",
        params: QUANTILE,
        call: |a| call(a, "quantile", false, false),
        cost: 30.0,
        gradient: WEIGHTS,
        samples: || samples(1.0),
        ..Entry::BASE
    },
    Entry {
        name: "percentile",
        doc: "The percentiles q (between 0 and 100) over axes (None: all): see quantile.\n\n>>> tg.percentile(tg.Variable([3.0, 1.0, 2.0]), 25)\nVariable(1.5)\n",
        params: QUANTILE,
        call: |a| call(a, "percentile", false, true),
        cost: 30.0,
        gradient: WEIGHTS,
        samples: || samples(100.0),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "nanquantile",
        doc: "The quantiles q (between 0 and 1) over axes (None: all) of what is not NaN: see quantile.\n\n>>> tg.nanquantile(tg.Variable([3.0, float(\"nan\"), 1.0]), 0.25)\nVariable(1.5)\n",
        params: QUANTILE,
        call: |a| call(a, "nanquantile", true, false),
        cost: 30.0,
        gradient: WEIGHTS,
        samples: || samples(1.0),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "nanpercentile",
        doc: "The percentiles q (between 0 and 100) over axes (None: all) of what is not NaN: see quantile.\n\n>>> tg.nanpercentile(tg.Variable([3.0, float(\"nan\"), 1.0]), 25)\nVariable(1.5)\n",
        params: QUANTILE,
        call: |a| call(a, "nanpercentile", true, true),
        cost: 30.0,
        gradient: WEIGHTS,
        samples: || samples(100.0),
        ..Entry::BASE
    }
    .no_method(),
];

fn samples(whole: f64) -> Vec<Sample> {
    let draw = &mut Draw::new(331);
    let q = |values: &[f64], shape: &[usize]| Arg::Variable(Array::from_slice(&values.iter().map(|q| q * whole).collect::<Vec<_>>(), shape).into());
    let cases: [(&[usize], Arg, Arg, &str); 6] = [
        (&[5], Arg::Scalar((0.3 * whole).into()), Arg::None, "linear"),
        (&[3, 4], q(&[0.1, 0.55, 0.9], &[3]), ints(&[0]), "linear"),
        (&[3, 4], q(&[0.37], &[]), ints(&[-1]), "hazen"),
        (&[2, 3, 2], q(&[0.37, 0.81, 0.12, 0.41], &[2, 2]), ints(&[0, 2]), "median_unbiased"),
        (&[4], q(&[0.37], &[]), Arg::None, "midpoint"),
        (&[4], q(&[0.37], &[]), Arg::None, "nearest"),
    ];
    cases
        .into_iter()
        .map(|(shape, q, axes, method)| call_with(REAL.strided(draw, shape), [q, axes, Arg::Text(method.to_owned()), Arg::Bool(shape.len() == 2)]))
        .collect()
}
