//! Gathering and adding at indices along one axis, under PyTorch's names.

use super::gather::{GATHER, along, gather as gather_at, index_add as add_at, row_numbers};
use super::registry::{Arg, Entry, Gradient, Kind, Operand, Param, Sample};
use super::samples::{Draw, REAL, call_with, indices};
use super::shape::stored_as;
use super::window::{Cut, GETITEM, Window, view};
use crate::array::{Array, DType, Shape, broadcast_shapes, normalize_axis};
use crate::error::{Error, Result, show_shape};
use crate::kernel::gather::Places;
use crate::tape::Variable;

/// Checks that `index` is not larger than `shape` along any axis but `axis`.
fn inside(op: &str, what: &str, shape: &[usize], index: &Variable, axis: Option<usize>) -> Result<()> {
    let fits = index.ndim() == shape.len() && (0..shape.len()).all(|a| Some(a) == axis || index.shape()[a] <= shape[a]);
    if fits {
        return Ok(());
    }
    let (i, s) = (show_shape(index.shape()), show_shape(shape));
    Err(Error::Shape(format!("{op}: the index has shape {i}, which is larger than {s}, the shape of the {what}")))
}

/// The elements of `x` at `index` along `axis`, each at its own position along the other axes.
///
/// # Errors
/// `Shape` when `index` is larger than `x` along other axes, `Index` when an index is out of bounds or not an integer.
pub fn gather(x: &Variable, axis: isize, index: &Variable) -> Result<Variable> {
    let axis = normalize_axis("gather", axis, x.ndim())?;
    inside("gather", "array", x.shape(), index, Some(axis))?;
    let (places, rows) = along("gather", x.shape(), index, axis, index.shape())?;
    gather_at(&GATHER, x, &places, &rows)
}

/// The part of `source` that corresponds to `index`, which may be smaller.
///
/// # Errors
/// `Shape` when the index is larger.
pub(super) fn inside_of(source: &Variable, index: &Variable) -> Result<Variable> {
    inside("scatter", "source", source.shape(), index, None)?;
    let cuts = index.shape().iter().map(|&n| Cut::whole(n)).collect();
    view(&GETITEM, source, &Window::Region { cuts, shape: Shape::from_slice(index.shape()) })
}

/// `x` with the elements of `source` added at `index` along `axis`; elements with equal positions add up.
///
/// # Errors
/// `Shape` when `index` is larger than one of the arrays, `Index` when an index is out of bounds or not an integer, `DType` unless both
/// arrays have the same dtype, which is not bool.
pub fn scatter_add(x: &Variable, axis: isize, index: &Variable, source: &Variable) -> Result<Variable> {
    const NAME: &str = "scatter_add";
    same_number(NAME, x, source)?;
    let axis = normalize_axis(NAME, axis, x.ndim())?;
    inside(NAME, "array", x.shape(), index, Some(axis))?;
    inside(NAME, "source", source.shape(), index, None)?;
    let (places, rows) = along(NAME, x.shape(), index, axis, index.shape())?;
    let cuts = index.shape().iter().map(|&n| Cut::whole(n)).collect();
    let part = view(&GETITEM, source, &Window::Region { cuts, shape: Shape::from_slice(index.shape()) })?;
    super::add(x, &add_at(&part, &places, &rows)?)
}

/// `x` with `alpha` times the slices of `source` added at `index`, a 1-d array, along `axis`.
///
/// # Errors
/// `Shape` unless `source` has the shape of `x` with one slice per index, `Index` when an index is out of bounds or not an integer, `DType`
/// unless both have the same dtype, which is not bool; for integers, `alpha` is a whole number.
pub fn index_add(x: &Variable, axis: isize, index: &Variable, source: &Variable, alpha: f64) -> Result<Variable> {
    const NAME: &str = "index_add";
    same_number(NAME, x, source)?;
    let axis = normalize_axis(NAME, axis, x.ndim())?;
    let count = index.array().size();
    let mut shape = Shape::from_slice(x.shape());
    shape[axis] = count;
    if index.ndim() > 1 || source.shape() != shape.as_slice() {
        let (i, s) = (show_shape(index.shape()), show_shape(source.shape()));
        return Err(Error::Shape(format!(
            "{NAME}: an index of shape {i} and a source of shape {s} were given, expected 1-d and {}",
            show_shape(&shape)
        )));
    }
    let rows = super::reshape(&row_numbers(NAME, index, axis, x.shape()[axis])?, &[count.cast_signed()])?;
    let places = Places { shape: Shape::from_slice(x.shape()), axes: [axis].into_iter().collect(), place: axis };
    let sum = add_at(source, &places, &rows)?;
    super::add(x, &scaled(NAME, &sum, alpha)?)
}

/// `alpha` times `sum`, in the dtype of `sum`.
#[allow(clippy::cast_possible_truncation, clippy::float_cmp, reason = "whole numbers of this size are exact")]
fn scaled(op: &str, sum: &Variable, alpha: f64) -> Result<Variable> {
    if sum.dtype().is_inexact() {
        return super::multiply(sum, alpha);
    }
    if alpha.trunc() != alpha || alpha.abs() > 2_f64.powi(53) {
        return Err(Error::DType(format!("{op}: alpha is {alpha} for arrays of {}, expected a whole number", sum.dtype())));
    }
    if alpha == 1.0 { Ok(sum.clone()) } else { super::multiply(sum, alpha as i64) }
}

fn same_number(op: &str, x: &Variable, source: &Variable) -> Result<()> {
    if x.dtype() != DType::Bool && x.dtype() == source.dtype() {
        return Ok(());
    }
    Err(Error::DType(format!(
        "{op}: an array of {} and a source of {} were given, expected one dtype of numbers; convert one with astype()",
        x.dtype(),
        source.dtype()
    )))
}

/// `x`, where the elements at which the mask is true are replaced by `value`, a number or a 0-d array.
///
/// # Errors
/// `Shape` when the mask and `x` do not broadcast or `value` is not a single number, `Overflow` when the dtype cannot hold it.
pub fn masked_fill<'a>(x: &Variable, mask: &Variable, value: impl Into<Operand<'a>>) -> Result<Variable> {
    if broadcast_shapes(mask.shape(), x.shape()).is_none() {
        let (m, x) = (show_shape(mask.shape()), show_shape(x.shape()));
        return Err(Error::Shape(format!("masked_fill: a mask of shape {m} does not broadcast with an array of shape {x}")));
    }
    match value.into() {
        Operand::Variable(v) if v.ndim() == 0 => super::where_(mask, &stored_as("masked_fill", v, x.dtype())?, x),
        Operand::Variable(v) => Err(Error::Shape(format!("masked_fill: the value has shape {}, expected a single number", show_shape(v.shape())))),
        Operand::Scalar(s) => {
            s.check("masked_fill", x.dtype())?;
            super::where_(mask, &Array::full(&[], s, x.dtype()).into(), x)
        }
    }
}

const AXIS: Param = Param { alias: Some("dim"), ..Param::new("axis", Kind::Int) };

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "gather",
        doc: "The elements at an index along an axis, each at its own place of the other axes.\n\n>>> tg.gather(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), 1, tg.Variable([[1], [0]]))\nVariable([[2.],\n          [3.]])\n",
        params: &[Param::array("x"), AXIS, Param::array("index")],
        call: |a| Ok(gather(&a.variable(0)?, a.axis(1)?, &a.variable(2)?)?.into()),
        gradient: Gradient::Rule("zeros with g added at the index"),
        linear: true,
        samples: || samples(0),
        ..Entry::BASE
    },
    Entry {
        name: "scatter_add",
        doc: "x with the elements of source added at an index along an axis; those at one place add up.\n\n>>> tg.scatter_add(tg.Variable([0.0, 0.0]), 0, tg.Variable([1, 1]), tg.Variable([1.0, 2.0]))\nVariable([0., 3.])\n",
        params: &[Param::array("x"), AXIS, Param::array("index"), Param::array("source")],
        call: |a| Ok(scatter_add(&a.variable(0)?, a.axis(1)?, &a.variable(2)?, &a.variable(3)?)?.into()),
        gradient: Gradient::Composite("g, gather(g, axis, index)"),
        linear: true,
        samples: || samples(1),
        ..Entry::BASE
    },
    Entry {
        name: "index_add",
        doc: "x with alpha times the parts of source added at the positions of a 1-d index along an axis.\n\n>>> tg.index_add(tg.Variable([0.0, 0.0]), 0, tg.Variable([1, 1]), tg.Variable([1.0, 2.0]))\nVariable([0., 3.])\n",
        params: &[Param::array("x"), AXIS, Param::array("index"), Param::array("source"), Param::float("alpha", 1.0).named()],
        call: |a| Ok(index_add(&a.variable(0)?, a.axis(1)?, &a.variable(2)?, &a.variable(3)?, a.float(4)?)?.into()),
        gradient: Gradient::Composite("g, alpha * take(g, index, axis)"),
        linear: true,
        samples: index_add_samples,
        ..Entry::BASE
    },
    Entry {
        name: "masked_fill",
        doc: "x with a number where a mask holds.\n\n>>> tg.masked_fill(tg.Variable([1.0, 2.0]), tg.Variable([True, False]), 0.0)\nVariable([0., 2.])\n",
        params: &[Param::array("x"), Param::array("mask"), Param::array("value")],
        call: |a| Ok(masked_fill(&a.variable(0)?, &a.variable(1)?, a.operand(2)?)?.into()),
        gradient: Gradient::Composite("x: 0 where mask, else g; value: the sum of g where mask"),
        linear: true,
        samples: fill_samples,
        ..Entry::BASE
    },
];

/// Calls with an index, and a source of its shape when there are `sources`.
fn samples(sources: usize) -> Vec<Sample> {
    let draw = &mut Draw::new(95);
    let cases: [(&[usize], i64, Variable, &[usize]); 4] = [
        (&[4], 0, indices(&[3, 0, -1, 3, 1], &[5]), &[6]),
        (&[2, 3], 1, indices(&[2, 2, 0, 1], &[2, 2]), &[2, 3]),
        (&[2, 3], -2, indices(&[1, 0, 1], &[1, 3]), &[1, 3]),
        (&[2, 3], 1, indices(&[], &[2, 0]), &[2, 1]),
    ];
    let call = |(shape, axis, index, source): (&[usize], i64, Variable, &[usize])| {
        let rest = (0..sources).map(|_| Arg::Variable(REAL.strided(draw, source))).collect::<Vec<_>>();
        call_with(REAL.strided(draw, shape), [Arg::Int(axis), Arg::Variable(index)].into_iter().chain(rest))
    };
    cases.into_iter().map(call).collect()
}

fn index_add_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(96);
    let cases: [(&[usize], i64, Variable, &[usize]); 3] = [
        (&[4], 0, indices(&[3, 0, -1], &[3]), &[3]),
        (&[2, 3], 1, indices(&[2, 2], &[2]), &[2, 2]),
        (&[2, 3, 2], -2, indices(&[1], &[1]), &[2, 1, 2]),
    ];
    let call = |(shape, axis, index, source): (&[usize], i64, Variable, &[usize])| {
        let rest = [Arg::Int(axis), Arg::Variable(index), Arg::Variable(REAL.strided(draw, source)), Arg::Float(-2.0)];
        call_with(REAL.strided(draw, shape), rest)
    };
    cases.into_iter().map(call).collect()
}

fn fill_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(97);
    let mask = || Arg::Variable(Array::from_slice(&[true, false, true], &[3]).into());
    vec![
        call_with(REAL.strided(draw, &[2, 3]), [mask(), Arg::Scalar(crate::array::Scalar::Float(0.5))]),
        call_with(REAL.array(draw, &[3]), [mask(), Arg::Variable(REAL.array(draw, &[]))]),
    ]
}
