//! Distinct elements, membership, and positions of nonzero elements.
#![allow(clippy::needless_for_each, reason = "shorter, and as quick")]

use smallvec::SmallVec;

use super::gather::take;
use super::permute::moveaxis;
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::samples::{Draw, REAL, call_with, indices};
use super::shape::{astype, flatten, reshape_to};
use super::sorting::is_constant;
use super::sorting::sort;
use super::{concat, get_item, logical_not, not_equal, searchsorted};
use crate::array::{Array, DType, alloc_check, normalize_axis, size_of};
use crate::error::{Error, Result};
use crate::kernel::gather::nonzero as true_places;
use crate::kernel::order::{self, Groups};
use crate::ops::index::IndexItem;
use crate::tape::Variable;

/// The distinct elements of an array, in ascending order.
pub struct Unique {
    /// The elements, with gradients.
    pub values: Variable,
    /// The position of the first occurrence of each.
    pub first: Variable,
    /// For every element the index of its value, in the shape of the array.
    pub inverse: Variable,
    /// The number of occurrences of each value.
    pub counts: Variable,
}

/// The distinct elements of `x`, or with an axis its distinct slices. NaN equals NaN if `equal_nan`.
///
/// # Errors
/// `Axis` when the axis is out of range, `Grad` inside `vmap`, where the number of distinct elements differs between samples.
pub fn unique(op: &str, x: &Variable, axis: Option<isize>, equal_nan: bool) -> Result<Unique> {
    let (lines, whole) = match axis {
        None => (reshape_to(x, &[x.array().size(), 1])?, flatten(x)?),
        Some(axis) => {
            let along = normalize_axis(op, axis, x.ndim())?;
            let front = moveaxis(x, &[axis], &[0])?;
            let (n, rest) = (x.shape()[along], size_of(&front.shape()[1..]));
            (reshape_to(&front, &[n, rest])?, x.clone())
        }
    };
    let lines = if x.dtype().is_complex() {
        // Complex numbers as pairs: equal parts make equal numbers.
        let pairs = super::complex::view_as_real(&lines.detach())?;
        reshape_to(&pairs, &[lines.shape()[0], 2 * lines.shape()[1]])?
    } else {
        lines
    };
    let Groups { first, inverse, counts } = order::groups(lines.detach().values(op)?, equal_nan);
    let first: Variable = first.into();
    let values = take(&whole, &first, Some(axis.unwrap_or(0)))?;
    let inverse = if axis.is_none() { inverse.reshape(x.shape())? } else { inverse };
    Ok(Unique { values, first, inverse: inverse.into(), counts: counts.into() })
}

/// The distinct elements of `x` alone.
fn unique_values(op: &str, x: &Variable, equal_nan: bool) -> Result<Variable> {
    if is_constant(x) && !x.dtype().is_complex() {
        return Ok(order::distinct(x.values(op)?, equal_nan).into());
    }
    Ok(unique(op, x, None, equal_nan)?.values)
}

/// Which elements of `x` are in `among`; NaN never is. With `invert`, which are not.
///
/// # Errors
/// Those of comparisons.
pub fn isin(x: &Variable, among: &Variable, invert: bool) -> Result<Variable> {
    let dtype = x.dtype().promote(among.dtype());
    let (x, among) = (astype(&x.detach(), dtype)?, flatten(&astype(&among.detach(), dtype)?)?);
    if dtype.is_complex() {
        let wide = super::expand_dims(&x, &[-1])?;
        let found = super::any(&super::equal(&wide, &among)?, Some(&[-1]), false)?;
        return if invert { logical_not(&found) } else { Ok(found) };
    }
    let found = if among.array().size() == 0 {
        not_equal(&x, &x).and_then(|nan| super::logical_and(&nan, false))?
    } else {
        let sorted = sort(&among, Some(0), false)?;
        let at = searchsorted(&sorted, &x, false, None)?;
        let last = i64::try_from(sorted.array().size() - 1).unwrap_or(i64::MAX);
        let nearest = take(&sorted, &super::minimum(&at, last)?, Some(0))?;
        super::equal(&nearest, &x)?
    };
    if invert { logical_not(&found) } else { Ok(found) }
}

/// Row-major positions of the elements that are not zero.
fn places(op: &str, x: &Variable) -> Result<Vec<i64>> {
    let mask = astype(&x.detach(), DType::Bool)?;
    Ok(true_places(mask.values(op)?))
}

/// The positions of the elements that are not zero: one int64 array per axis.
///
/// # Errors
/// `Shape` when `x` is 0-d, `Grad` inside `vmap`.
pub fn nonzero(x: &Variable) -> Result<Vec<Variable>> {
    if x.ndim() == 0 {
        return Err(Error::Shape("nonzero: an array of at least 1 dimension is expected, got shape (); use atleast_1d(x)".to_owned()));
    }
    Ok(by_axis(x, places("nonzero", x)?).into_iter().map(|v| Array::from_slice(&v, &[v.len()]).into()).collect())
}

/// Converts row-major positions in `x` to positions along each axis.
fn by_axis(x: &Variable, mut rest: Vec<i64>) -> Vec<Vec<i64>> {
    let mut out: Vec<Vec<i64>> = Vec::new();
    for &n in x.shape().iter().rev() {
        let n = i64::try_from(n.max(1)).unwrap_or(i64::MAX);
        out.push(alloc_check::collect(rest.iter().map(|p| p % n)));
        rest.iter_mut().for_each(|p| *p /= n);
    }
    out.reverse();
    out
}

/// The positions of the elements that are not zero: one row of int64 positions each.
///
/// # Errors
/// `Grad` inside `vmap`.
pub fn argwhere(x: &Variable) -> Result<Variable> {
    let all = places("argwhere", x)?;
    let mut out = Array::zeros(&[all.len(), x.ndim()], DType::I64);
    let columns = by_axis(x, all);
    for (i, row) in out.data_mut::<i64>().chunks_mut(x.ndim().max(1)).enumerate() {
        row.iter_mut().zip(&columns).for_each(|(o, c)| *o = c[i]);
    }
    Ok(out.into())
}

fn flatnonzero(x: &Variable) -> Result<Variable> {
    let all = places("flatnonzero", x)?;
    Ok(Array::from_slice(&all, &[all.len()]).into())
}

/// The elements of `x` where a mask is true.
fn chosen(x: &Variable, mask: &Variable) -> Result<Variable> {
    get_item(x, &[IndexItem::Array(mask.clone())])
}

/// The distinct elements of `a` that are (or, with `out`, are not) in `b`.
fn among(op: &str, a: &Variable, b: &Variable, out: bool) -> Result<Variable> {
    let values = unique(op, a, None, true)?.values;
    chosen(&values, &isin(&values, b, out)?)
}

fn pair(a: &Args<'_>) -> Result<[Variable; 2]> {
    Ok([a.variable(0)?, a.variable(1)?])
}

fn call_union(a: &Args<'_>) -> Result<Value> {
    Ok(unique("union1d", &concat(&pair(a)?, None)?, None, true)?.values.into())
}

fn call_xor(a: &Args<'_>) -> Result<Value> {
    let [x, y] = pair(a)?;
    let parts = [among("setxor1d", &x, &y, true)?, among("setxor1d", &y, &x, true)?];
    Ok(sort(&concat(&parts, Some(0))?, Some(0), false)?.into())
}

fn call_unique(a: &Args<'_>) -> Result<Value> {
    let axis = if a.is_none(4) { None } else { Some(a.axis(4)?) };
    if axis.is_none() && !a.flag(1)? && !a.flag(2)? && !a.flag(3)? {
        return Ok(unique_values("unique", &a.variable(0)?, a.flag(5)?)?.into());
    }
    let u = unique("unique", &a.variable(0)?, axis, a.flag(5)?)?;
    a.flag(6)?;
    let wanted = [a.flag(1)?, a.flag(2)?, a.flag(3)?];
    if wanted == [false; 3] {
        return Ok(u.values.into());
    }
    let extra = [u.first, u.inverse, u.counts].into_iter().zip(wanted).filter_map(|(v, want)| want.then_some(v));
    Ok(std::iter::once(u.values).chain(extra).collect::<Vec<_>>().into())
}

/// The functions of the array API, for which every NaN is distinct.
fn call_standard(a: &Args<'_>, pick: fn(Unique) -> SmallVec<[Variable; 4]>) -> Result<Value> {
    Ok(pick(unique(a.name(), &a.variable(0)?, None, false)?).into_vec().into())
}

const ONE: &[Param] = &[Param::array("x")];
const PAIR: &[Param] = &[Param::array("a"), Param { alias: Some("ar2"), ..Param::array("b") }];
const TAKEN: Gradient = Gradient::Composite("g, put back where each value first stands");

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "unique",
        doc: "The distinct elements in ascending order, or with an axis the distinct slices. With return_index, return_inverse or return_counts a tuple: where each first stands, the position of every element's value, how often each stands.\n\n>>> tg.unique(tg.Variable([2.0, 1.0, 2.0]))\nVariable([1., 2.])\n",
        params: &[
            Param::array("x"),
            Param::flag("return_index", false),
            Param::flag("return_inverse", false),
            Param::flag("return_counts", false),
            Param { alias: Some("dim"), ..Param::new("axis", Kind::OptInt).or(Default::None) },
            Param::flag("equal_nan", true).named(),
            Param::flag("sorted", true).named(),
        ],
        call: call_unique,
        cost: 50.0,
        gradient: TAKEN,
        samples: unique_samples,
        ..Entry::BASE
    },
    Entry {
        name: "unique_all",
        doc: "The distinct elements in ascending order, where each first stands, for every element the position of its value, and how often each stands. Every NaN is distinct.\n\n>>> tg.unique_all(tg.Variable([2.0, 1.0, 2.0])).counts\nVariable([1, 2])\n",
        params: ONE,
        call: |a| call_standard(a, |u| [u.values, u.first, u.inverse, u.counts].into_iter().collect()),
        results: &["values", "indices", "inverse_indices", "counts"],
        cost: 50.0,
        gradient: TAKEN,
        samples: plain_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "unique_counts",
        doc: "The distinct elements in ascending order, and how often each stands. Every NaN is distinct.\n\n>>> tg.unique_counts(tg.Variable([2.0, 1.0, 2.0])).counts\nVariable([1, 2])\n",
        params: ONE,
        call: |a| call_standard(a, |u| [u.values, u.counts].into_iter().collect()),
        results: &["values", "counts"],
        cost: 50.0,
        gradient: TAKEN,
        samples: plain_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "unique_inverse",
        doc: "The distinct elements in ascending order, and for every element the position of its value. Every NaN is distinct.\n\n>>> tg.unique_inverse(tg.Variable([2.0, 1.0, 2.0])).inverse_indices\nVariable([1, 0, 1])\n",
        params: ONE,
        call: |a| call_standard(a, |u| [u.values, u.inverse].into_iter().collect()),
        results: &["values", "inverse_indices"],
        cost: 50.0,
        gradient: TAKEN,
        samples: plain_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "unique_values",
        doc: "The distinct elements in ascending order. Every NaN is distinct.\n\n>>> tg.unique_values(tg.Variable([2.0, 1.0, 2.0]))\nVariable([1., 2.])\n",
        params: ONE,
        call: |a| Ok(unique_values("unique_values", &a.variable(0)?, false)?.into()),
        cost: 50.0,
        gradient: TAKEN,
        samples: plain_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "isin",
        doc: "Which elements of x1 are among those of x2; with invert those that are not. NaN never is.\n\n>>> tg.isin(tg.Variable([1.0, 2.0, 3.0]), [3.0, 1.0])\nVariable([ True, False,  True])\n",
        params: &[
            Param { alias: Some("element"), ..Param::array("x1") },
            Param { alias: Some("test_elements"), ..Param::array("x2") },
            Param::flag("assume_unique", false),
            Param::flag("invert", false),
        ],
        call: |a| {
            a.flag(2)?;
            Ok(isin(&a.variable(0)?, &a.variable(1)?, a.flag(3)?)?.into())
        },
        cost: 30.0,
        samples: isin_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "nonzero",
        doc: "Where the elements that are not zero stand: a tuple of int64 arrays, one for each axis.\n\n>>> tg.nonzero(tg.Variable([0.0, 3.0, 4.0]))\n(Variable([1, 2]),)\n",
        params: ONE,
        call: |a| Ok(nonzero(&a.variable(0)?)?.into()),
        samples: zero_samples,
        ..Entry::BASE
    },
    Entry {
        name: "argwhere",
        doc: "Where the elements that are not zero stand: a row of int64 positions for each.\n\n>>> tg.argwhere(tg.Variable([[0.0, 3.0], [4.0, 0.0]]))\nVariable([[0, 1],\n          [1, 0]])\n",
        params: ONE,
        call: |a| Ok(argwhere(&a.variable(0)?)?.into()),
        samples: zero_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "flatnonzero",
        doc: "Where the elements of the flattened array stand that are not zero, as int64.\n\n>>> tg.flatnonzero(tg.Variable([0.0, 3.0, 4.0]))\nVariable([1, 2])\n",
        params: ONE,
        call: |a| Ok(flatnonzero(&a.variable(0)?)?.into()),
        samples: zero_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "union1d",
        doc: "The distinct elements of both arrays together, in ascending order.\n\n>>> tg.union1d(tg.Variable([2.0, 1.0]), [3.0, 2.0])\nVariable([1., 2., 3.])\n",
        params: PAIR,
        call: call_union,
        gradient: TAKEN,
        samples: pair_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "intersect1d",
        doc: "The distinct elements that both arrays have, in ascending order.\n\n>>> tg.intersect1d(tg.Variable([2.0, 1.0]), [3.0, 2.0])\nVariable([2.])\n",
        params: PAIR,
        call: |a| Ok(among("intersect1d", &a.variable(0)?, &a.variable(1)?, false)?.into()),
        gradient: TAKEN,
        samples: pair_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "setdiff1d",
        doc: "The distinct elements of the first array that the second does not have, in ascending order.\n\n>>> tg.setdiff1d(tg.Variable([2.0, 1.0]), [3.0, 2.0])\nVariable([1.])\n",
        params: PAIR,
        call: |a| Ok(among("setdiff1d", &a.variable(0)?, &a.variable(1)?, true)?.into()),
        gradient: TAKEN,
        samples: pair_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "setxor1d",
        doc: "The distinct elements that one of the arrays has and the other has not, in ascending order.\n\n>>> tg.setxor1d(tg.Variable([2.0, 1.0]), [3.0, 2.0])\nVariable([1., 3.])\n",
        params: PAIR,
        call: call_xor,
        gradient: TAKEN,
        samples: pair_samples,
        ..Entry::BASE
    }
    .no_method(),
];

fn unique_samples() -> Vec<Sample> {
    let flags = |axis: Arg| [Arg::Bool(false), Arg::Bool(true), Arg::Bool(false), axis, Arg::Bool(true), Arg::Bool(true)];
    let draw = &mut Draw::new(351);
    vec![
        call_with(REAL.strided(draw, &[2, 3]), flags(Arg::None)),
        call_with(REAL.strided(draw, &[3, 2]), flags(Arg::Int(0))),
        call_with(REAL.array(draw, &[0]), flags(Arg::None)),
    ]
}

fn zero_samples() -> Vec<Sample> {
    let mask: Variable = Array::from_slice(&[true, false, true, false, false, true], &[2, 3]).into();
    vec![
        call_with(Array::from_slice(&[0.0, 2.0, -1.0], &[3]).into(), []),
        call_with(mask, []),
        call_with(REAL.array(&mut Draw::new(354), &[0, 2]), []),
    ]
}

fn plain_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(352);
    vec![call_with(REAL.strided(draw, &[2, 3]), []), call_with(REAL.array(draw, &[]), []), call_with(REAL.array(draw, &[0, 2]), [])]
}

fn pair_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(353);
    vec![call_with(REAL.strided(draw, &[2, 3]), [Arg::Variable(REAL.array(draw, &[4]))])]
}

fn isin_samples() -> Vec<Sample> {
    let call = |x: Variable, among: Variable, invert: bool| call_with(x, [Arg::Variable(among), Arg::Bool(false), Arg::Bool(invert)]);
    vec![
        call(indices(&[1, 2, 3, 2], &[2, 2]), indices(&[2, 5], &[2]), false),
        call(indices(&[1, 2, 3], &[3]), indices(&[], &[0]), true),
        call(indices(&[1], &[]), indices(&[1], &[]), false),
    ]
}
