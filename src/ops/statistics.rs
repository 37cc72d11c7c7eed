//! Averages, covariances and counts.
#![allow(clippy::type_complexity, reason = "a table of functions")]

use super::gather::take;
use super::permute::matrix_transpose;
use super::reduction::{floating, inexact, normalize_axes};
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Operand, Param, Sample, Value};
use super::samples::{Draw, POSITIVE, REAL, call_with, indices, ints};
use super::scatter::index_add;
use super::shape::{astype, atleast_2d, broadcast_to, flatten, reshape_to, scalar};
use super::sorting::searchsorted;
use super::{concat, diagonal, divide, expand_dims, matmul, max, mean, min, multiply, sqrt, squeeze, subtract, sum, where_};
use crate::array::{Array, DType, Shape};
use crate::error::{Error, Result, show_shape};
use crate::tape::Variable;

/// Σ x w / Σ w over `axes` (`None`: all), and Σ w.
///
/// # Errors
/// `Shape` when the weights have neither the shape of `x` nor that of the axes.
pub fn average(x: &Variable, axes: Option<&[isize]>, weights: Option<&Variable>, keepdims: bool) -> Result<(Variable, Variable)> {
    let x = inexact(x)?;
    let Some(w) = weights else {
        let out = mean(&x, axes, keepdims)?;
        #[allow(clippy::cast_precision_loss, reason = "a count")]
        let count = super::reduction::count(x.shape(), &normalize_axes("average", axes, x.ndim())?);
        let total = broadcast_to(&scalar(count, out.dtype()), out.shape())?;
        return Ok((out, total));
    };
    let w = if w.shape() == x.shape() { w.clone() } else { spread_weights(&x, axes, w)? };
    let w = &broadcast_to(&astype(&w, x.dtype().promote(w.dtype()))?, x.shape())?;
    let total = sum(w, axes, keepdims)?;
    Ok((divide(&sum(&multiply(&x, w)?, axes, keepdims)?, &total)?, total))
}

/// Weights of the shape of the axes, broadcast to the axes of `x`.
fn spread_weights(x: &Variable, axes: Option<&[isize]>, w: &Variable) -> Result<Variable> {
    let over = normalize_axes("average", axes, x.ndim())?;
    let sizes: Shape = over.iter().map(|&a| x.shape()[a]).collect();
    if axes.is_none() || w.shape() != sizes.as_slice() {
        let (a, b) = (show_shape(w.shape()), show_shape(x.shape()));
        return Err(Error::Shape(format!("average: weights of shape {a} fit neither an array of shape {b} nor the axes {axes:?}")));
    }
    let shape: Shape = (0..x.ndim()).map(|a| if over.contains(&a) { x.shape()[a] } else { 1 }).collect();
    reshape_to(w, &shape)
}

/// The covariance matrix of variables, one per row (without `rowvar`, one per column).
///
/// # Errors
/// `Shape` when there are more than two axes.
pub fn cov(x: &Variable, y: Option<&Variable>, rowvar: bool, correction: f64, weights: Option<&Variable>) -> Result<Variable> {
    let rows = |x: &Variable| -> Result<Variable> {
        if x.ndim() > 2 {
            return Err(Error::Shape(format!("cov: an array of at most 2 dimensions is expected, got shape {}", show_shape(x.shape()))));
        }
        let wide = inexact(&atleast_2d(x)?)?;
        if rowvar || wide.shape()[0] == 1 { Ok(wide) } else { matrix_transpose(&wide) }
    };
    let x = match y {
        None => rows(x)?,
        Some(y) => {
            let (x, y) = (rows(x)?, rows(y)?);
            if x.shape()[1] != y.shape()[1] {
                let (a, b) = (x.shape()[1], y.shape()[1]);
                return Err(Error::Shape(format!("cov: x has {a} observations and y {b}, expected as many")));
            }
            concat(&[x, y], Some(0))?
        }
    };
    let (middle, _) = average(&x, Some(&[1]), weights, true)?;
    let away = subtract(&x, &middle)?;
    let weighted = weights.map_or(Ok(away.clone()), |w| multiply(&away, w))?;
    #[allow(clippy::cast_precision_loss, reason = "a count")]
    let total = weights.map_or(Ok(scalar(x.shape()[1] as f64, x.dtype().real())), |w| sum(&astype(w, x.dtype().real())?, None, false))?;
    // With too few observations it is undefined, and so NaN.
    let freedom = super::maximum(&subtract(&total, correction)?, 0.0)?;
    let products = divide(&matmul(&weighted, &matrix_transpose(&super::conj(&away)?)?)?, &freedom)?;
    if products.shape() == [1, 1] { squeeze(&products, None) } else { Ok(products) }
}

/// The correlation matrix: covariances divided by the products of standard deviations.
///
/// # Errors
/// As [`cov`].
pub fn corrcoef(x: &Variable, y: Option<&Variable>, rowvar: bool) -> Result<Variable> {
    let c = cov(x, y, rowvar, 1.0, None)?;
    if c.ndim() == 0 {
        return divide(&c, &c);
    }
    let spread = sqrt(&super::real(&diagonal(&c, 0, [0, 1])?)?)?;
    divide(&divide(&c, &expand_dims(&spread, &[1])?)?, &expand_dims(&spread, &[0])?)
}

/// The number of occurrences of 0, 1, … in `x`, or the sums of their weights.
///
/// # Errors
/// `DType` when `x` is not of an integer dtype, `Value` for a negative number, `Shape` when there is more than one axis.
pub fn bincount(x: &Variable, weights: Option<&Variable>, minlength: i64) -> Result<Variable> {
    const NAME: &str = "bincount";
    if x.ndim() != 1 {
        return Err(Error::Shape(format!("{NAME}: an array of 1 dimension is expected, got shape {}", show_shape(x.shape()))));
    }
    if !x.dtype().is_integer() && x.dtype() != DType::Bool && x.array().size() > 0 {
        return Err(Error::dtype(NAME, x.dtype(), "integers"));
    }
    let least = usize::try_from(minlength).map_err(|_| Error::Value(format!("{NAME}: minlength is {minlength}, expected 0 or more")))?;
    let all: Vec<i64> = astype(&x.detach(), DType::I64)?.values(NAME)?.to_vec();
    if let Some(wrong) = all.iter().find(|i| **i < 0) {
        return Err(Error::Value(format!("{NAME}: numbers must not be negative, got {wrong}")));
    }
    let size = all.iter().max().map_or(0, |m| usize::try_from(*m).unwrap_or(usize::MAX).saturating_add(1)).max(least);
    crate::array::check_memory(NAME, &[size], DType::I64)?;
    let Some(w) = weights else { return Ok(tally(&all, size).into()) };
    if w.shape() != x.shape() {
        return Err(Error::Shape(format!("{NAME}: weights have shape {}, expected {} like x", show_shape(w.shape()), show_shape(x.shape()))));
    }
    let w = floating(NAME, w)?;
    index_add(&Array::zeros(&[size], w.dtype()).into(), 0, &Array::from_slice(&all, &[all.len()]).into(), &w, 1.0)
}

fn tally(all: &[i64], size: usize) -> Array {
    let mut out = Array::zeros(&[size], DType::I64);
    let counts = out.data_mut::<i64>();
    for &i in all {
        if let Some(c) = usize::try_from(i).ok().and_then(|i| counts.get_mut(i)) {
            *c += 1;
        }
    }
    out
}

/// Edges of bins: given, or of `count` bins of equal width over `range` (`None`: from the smallest element to the largest).
fn edges(op: &str, x: &Variable, bins: Operand<'_>, range: Option<[f64; 2]>) -> Result<Variable> {
    let count = match bins {
        Operand::Variable(v) if v.ndim() == 1 => return floating(op, v),
        Operand::Variable(v) => v.values(op)?.item()?,
        Operand::Scalar(s) => s,
    };
    let crate::array::Scalar::Int(count @ 1..) = count else {
        return Err(Error::Value(format!("{op}: bins is {count}, expected a positive int or an array of edges")));
    };
    let x = floating(op, x)?;
    let [start, stop] = match range {
        Some(range) => range.map(|end| scalar(end, x.dtype())),
        None if x.array().size() == 0 => [0.0, 1.0].map(|end| scalar(end, x.dtype())),
        None => [min(&x, None, false)?, max(&x, None, false)?],
    };
    let value = |end: &Variable| Ok::<f64, Error>(end.values(op)?.item()?.as_f64());
    let (low, high) = (value(&start)?, value(&stop)?);
    if !(low.is_finite() && high.is_finite() && low <= high) {
        return Err(Error::Value(format!("{op}: the range from {low} to {high} is not finite and ascending")));
    }
    // If all values are equal, the bins still get a width.
    let margin = if low < high { 0.0 } else { 0.5 };
    let (start, stop) = (subtract(&start, margin)?, super::add(&stop, margin)?);
    super::creation::linspace_between(&start, &stop, count.saturating_add(1), true, Some(x.dtype()))
}

/// The number of elements (or the sum of weights) in each bin. The last bin includes both of its edges.
///
/// # Errors
/// `Value` for invalid bins or an invalid range, `Shape` when the weights do not have the shape of `x`.
fn histogram(x: &Variable, edges: &Variable, weights: Option<&Variable>) -> Result<Variable> {
    let flat = flatten(&floating("histogram", &x.detach())?)?;
    let count = edges.shape()[0].saturating_sub(1);
    let last = take(edges, &indices(&[-1], &[]), Some(0))?;
    let at = super::add(&searchsorted(edges, &flat, true, None)?, -1_i64)?;
    // Elements equal to the last edge belong to the last bin.
    let top = i64::try_from(count).unwrap_or(i64::MAX) - 1;
    let at = where_(&super::equal(&flat, &astype(&last, flat.dtype())?)?, &scalar(top, DType::I64), &at)?;
    let all: Vec<i64> = at.values("histogram")?.to_vec();
    let Some(w) = weights else { return Ok(tally(&all, count).into()) };
    if w.shape() != x.shape() {
        return Err(Error::Shape(format!("histogram: weights have shape {}, expected {} like x", show_shape(w.shape()), show_shape(x.shape()))));
    }
    let inside: Vec<bool> = all.iter().map(|i| (0..=top).contains(i)).collect();
    let mask: Variable = Array::from_slice(&inside, &[inside.len()]).into();
    let w = where_(&mask, &flatten(&floating("histogram", w)?)?, 0.0)?;
    let at = where_(&mask, &at, 0_i64)?;
    index_add(&Array::zeros(&[count], w.dtype()).into(), 0, &at, &w, 1.0)
}

fn call_average(a: &Args<'_>) -> Result<Value> {
    let (out, total) = average(&a.variable(0)?, a.axes(1)?, a.opt_variable(2)?.as_ref(), a.flag(4)?)?;
    Ok(if a.flag(3)? { vec![out, total].into() } else { out.into() })
}

fn call_ptp(a: &Args<'_>) -> Result<Value> {
    let (x, axes, keepdims) = (a.variable(0)?, a.axes(1)?, a.flag(2)?);
    Ok(subtract(&max(&x, axes, keepdims)?, &min(&x, axes, keepdims)?)?.into())
}

fn call_cov(a: &Args<'_>) -> Result<Value> {
    let (y, weights) = (a.opt_variable(1)?, a.opt_variable(5)?);
    let correction = match a.opt_float(4)? {
        Some(ddof) => ddof,
        None => f64::from(u8::from(!a.flag(3)?)),
    };
    Ok(cov(&a.variable(0)?, y.as_ref(), a.flag(2)?, correction, weights.as_ref())?.into())
}

fn call_corrcoef(a: &Args<'_>) -> Result<Value> {
    Ok(corrcoef(&a.variable(0)?, a.opt_variable(1)?.as_ref(), a.flag(2)?)?.into())
}

fn range(a: &Args<'_>, i: usize) -> Result<Option<[f64; 2]>> {
    let Some(v) = a.opt_variable(i)? else { return Ok(None) };
    match astype(&v.detach(), DType::F64)?.values(a.name())?.to_vec::<f64>()[..] {
        [low, high] => Ok(Some([low, high])),
        _ => Err(Error::Value(format!("{}: range must be two numbers, got an array of shape {}", a.name(), show_shape(v.shape())))),
    }
}

fn call_histogram(a: &Args<'_>) -> Result<Value> {
    let x = a.variable(0)?;
    let edges = edges("histogram", &x, a.operand(1)?, range(a, 2)?)?;
    let mut counts = histogram(&x, &edges, a.opt_variable(4)?.as_ref())?;
    if a.flag(3)? {
        let widths = super::diff(&edges, 1, -1, None, None)?;
        let counted = if counts.dtype().is_float() { counts } else { astype(&counts, edges.dtype())? };
        counts = divide(&divide(&counted, &widths)?, &sum(&counted, None, false)?)?;
    }
    Ok(vec![counts, edges].into())
}

const BINS: Param = Param::array("bins").or(Default::Int(10));
const RANGE: Param = Param::new("range", Kind::OptArray).or(Default::None);

const fn optional(name: &'static str) -> Param {
    Param::new(name, Kind::OptArray).or(Default::None)
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "average",
        doc: "The mean over axes (None: all) by weights, which have the shape of x or of the axes. With returned=True a pair with the sum of the weights.\n\n>>> tg.average(tg.Variable([1.0, 2.0]), weights=[3.0, 1.0])\nVariable(1.25)\n",
        params: &[Param::array("x"), Param::axes(), optional("weights"), Param::flag("returned", false), Param::keepdims().named()],
        call: call_average,
        gradient: Gradient::Composite("g weights / Σ weights"),
        samples: average_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "ptp",
        doc: "The largest less the smallest element over axes (None: all).\n\n>>> tg.ptp(tg.Variable([1.0, 4.0, 2.0]))\nVariable(3.)\n",
        params: &[Param::array("x"), Param::axes(), Param::keepdims()],
        call: call_ptp,
        gradient: Gradient::Composite("g to the maxima, -g to the minima"),
        samples: || super::reduction::reduction_samples(REAL, false, &[]),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "cov",
        doc: "The covariance matrix of variables, one a row (a column with rowvar=False), over n - ddof (None: 1, or 0 with bias=True). Observations may be counted several times (fweights).\n\n>>> tg.cov(tg.Variable([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]]))\nVariable([[ 1. , -0.5],\n          [-0.5,  1. ]])\n",
        params: &[
            Param::array("m"),
            optional("y"),
            Param::flag("rowvar", true),
            Param::flag("bias", false),
            Param { alias: Some("correction"), ..Param::new("ddof", Kind::OptFloat).or(Default::None) },
            optional("fweights"),
        ],
        call: call_cov,
        cost: 10.0,
        gradient: Gradient::Composite("products of g with the deviations"),
        samples: cov_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "corrcoef",
        doc: "The correlation matrix of variables, one a row (a column with rowvar=False).\n\n>>> tg.corrcoef(tg.Variable([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]]))\nVariable([[ 1. , -0.5],\n          [-0.5,  1. ]])\n",
        params: &[Param::array("x"), optional("y"), Param::flag("rowvar", true)],
        call: call_corrcoef,
        cost: 10.0,
        gradient: Gradient::Composite("that of cov, over the standard deviations"),
        samples: || vec![call_with(REAL.strided(&mut Draw::new(381), &[2, 4]), [Arg::None, Arg::Bool(true)])],
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "bincount",
        doc: "How often each of the numbers 0, 1, ... stands in x, as int64, at least minlength of them; with weights the sums of those.\n\n>>> tg.bincount(tg.Variable([0, 2, 2]))\nVariable([1, 0, 2])\n",
        params: &[Param::array("x"), optional("weights"), Param::new("minlength", Kind::Int).or(Default::Int(0))],
        call: |a| Ok(bincount(&a.variable(0)?, a.opt_variable(1)?.as_ref(), a.int(2)?)?.into()),
        gradient: Gradient::Composite("g at the number of each weight"),
        samples: bincount_samples,
        ..Entry::BASE
    },
    Entry {
        name: "histogram",
        doc: "How many elements each bin has, as int64, and the edges of the bins: bins of equal width over a range, or given edges. With weights the sums of those; with density=True over the total and the widths.\n\n>>> tg.histogram(tg.Variable([1.0, 2.0, 1.5]), bins=2)\n(Variable([1, 2]), Variable([1. , 1.5, 2. ]))\n",
        params: &[Param::array("a"), BINS, RANGE, Param::flag("density", false), optional("weights")],
        call: call_histogram,
        cost: 10.0,
        gradient: Gradient::Composite("g at the bin of each weight"),
        samples: histogram_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "histogram_bin_edges",
        doc: "The edges of the bins that histogram uses.\n\n>>> tg.histogram_bin_edges(tg.Variable([1.0, 2.0]), bins=2)\nVariable([1. , 1.5, 2. ])\n",
        params: &[Param::array("a"), BINS, RANGE],
        call: |a| Ok(edges("histogram_bin_edges", &a.variable(0)?, a.operand(1)?, range(a, 2)?)?.into()),
        samples: || vec![call_with(REAL.array(&mut Draw::new(386), &[5]), [Arg::Int(3), Arg::None])],
        gradient: Gradient::Composite("linear in the smallest and the largest element, or in the range"),
        ..Entry::BASE
    }
    .no_method(),
];

fn average_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(382);
    let cases: [(&[usize], Arg, Option<&[usize]>); 4] =
        [(&[5], Arg::None, None), (&[2, 3], Arg::None, Some(&[2, 3])), (&[2, 3], ints(&[1]), Some(&[3])), (&[2, 3, 2], ints(&[0, 2]), Some(&[2, 2]))];
    cases
        .into_iter()
        .map(|(shape, axes, w)| {
            let w = w.map_or(Arg::None, |s| Arg::Variable(POSITIVE.array(draw, s)));
            call_with(REAL.strided(draw, shape), [axes, w, Arg::Bool(true), Arg::Bool(false)])
        })
        .collect()
}

fn cov_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(383);
    vec![
        call_with(REAL.strided(draw, &[2, 4]), [Arg::None, Arg::Bool(true), Arg::Bool(false), Arg::None, Arg::None]),
        call_with(REAL.array(draw, &[4]), [Arg::Variable(REAL.array(draw, &[4])), Arg::Bool(true), Arg::Bool(true), Arg::None, Arg::None]),
        call_with(REAL.array(draw, &[4, 2]), [Arg::None, Arg::Bool(false), Arg::Bool(false), Arg::Float(0.0), Arg::None]),
        call_with(REAL.array(draw, &[4]), [Arg::None, Arg::Bool(true), Arg::Bool(false), Arg::None, Arg::None]),
    ]
}

fn bincount_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(384);
    vec![
        call_with(indices(&[0, 2, 2, 5], &[4]), [Arg::None, Arg::Int(0)]),
        call_with(indices(&[0, 2, 2], &[3]), [Arg::Variable(REAL.array(draw, &[3])), Arg::Int(5)]),
        call_with(indices(&[], &[0]), [Arg::None, Arg::Int(2)]),
    ]
}

fn histogram_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(385);
    let edges: Variable = Array::from_slice(&[-2.0, 0.0, 1.0], &[3]).into();
    vec![
        call_with(REAL.array(draw, &[9]), [Arg::Int(3), Arg::None, Arg::Bool(false), Arg::None]),
        call_with(REAL.array(draw, &[2, 3]), [Arg::Variable(edges), Arg::None, Arg::Bool(true), Arg::None]),
        call_with(
            REAL.array(draw, &[6]),
            [Arg::Int(4), Arg::Variable(Array::from_slice(&[-3_i64, 3], &[2]).into()), Arg::Bool(false), Arg::Variable(REAL.array(draw, &[6]))],
        ),
    ]
}
