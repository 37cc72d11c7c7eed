//! Elements at places given by integer arrays: `take`, `take_along_axis`, and what indexing by arrays is made of.

use std::sync::Arc;

use smallvec::SmallVec;

use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample};
use super::samples::{Draw, REAL, call_with, indices};
use super::shape::{expand_dims, squeeze};
use crate::array::{Array, Cursor, Layout, Shape, alloc_check, broadcast_shapes, check_memory, normalize_axis, size_of};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel::gather::{self as kernel, NOWHERE, Places};
use crate::tape::{Attrs, Grads, Op, Recorded, Rule, Step, Variable, one_gradient, record, record_under_lock};

pub(super) static GETITEM: Op = Op { name: "getitem", rule: Rule::Vjp(gather_vjp) };
static TAKE: Op = Op { name: "take", rule: Rule::Vjp(gather_vjp) };
static ALONG: Op = Op { name: "take_along_axis", rule: Rule::Vjp(gather_vjp) };
pub(super) static REPEAT: Op = Op { name: "repeat", rule: Rule::Vjp(gather_vjp) };
static INDEX_ADD: Op = Op { name: "index_add", rule: Rule::Vjp(index_add_vjp) };
static SETITEM: Op = Op { name: "setitem", rule: Rule::Vjp(put_vjp) };

fn places_of(step: &Step<'_>) -> (Arc<Places>, Array) {
    let Some(places) = step.attrs().data::<Arc<Places>>() else { unreachable!("{}: recorded without its places", step.name()) };
    (Arc::clone(places), step.extra(0).clone())
}

/// The blocks of `x` at row numbers that are in range.
pub(super) fn gather(op: &'static Op, x: &Variable, places: Arc<Places>, rows: Array) -> Result<Variable> {
    check_memory(op.name, &places.out_shape(rows.shape()), x.dtype())?;
    let out = kernel::gather(x.array(), &places, &rows);
    record(op, &[x], out, |s| {
        s.extra(0, rows);
        s.attrs(Attrs::Data(Arc::new(places)));
    })
}

pub(super) fn gather_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let (places, rows) = places_of(step);
    let g = step.take_g();
    if step.create_graph() {
        return Ok(one_gradient(index_add(&g, places, rows)?));
    }
    let mut sum = step.collected_or_zeros(0);
    kernel::add(&mut sum, &places, &rows, g.array());
    Ok(one_gradient(sum.into()))
}

/// Zeros with blocks added at row numbers: the transpose of [`gather`].
pub(super) fn index_add(g: &Variable, places: Arc<Places>, rows: Array) -> Result<Variable> {
    let out = kernel::index_add(&places, &rows, g.array());
    record(&INDEX_ADD, &[g], out, |s| {
        s.extra(0, rows);
        s.attrs(Attrs::Data(Arc::new(places)));
    })
}

fn index_add_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let (places, rows) = places_of(step);
    Ok(Grads::from_iter([Some(gather(&GETITEM, &step.take_g(), places, rows)?)]))
}

/// `x` with the blocks at row numbers replaced; of repeated ones the last value stays, and it alone has a gradient.
pub(super) fn put(x: Variable, places: Arc<Places>, rows: Array, value: &Variable) -> Result<Variable> {
    let rows = if value.is_tracked() { last_of_each(&rows) } else { rows };
    let edge = x.edge().clone();
    let mut out = x.into_array();
    kernel::put(&mut out, &places, &rows, value.array());
    let old = Variable::with_edge(out.clone(), edge); // only its place on the tape is looked at
    record(&SETITEM, &[&old, value], out, |s| {
        s.extra(0, rows);
        s.attrs(Attrs::Data(Arc::new(places)));
    })
}

/// Records a [`put`] that was done under a lock.
pub(super) fn record_put(places: &Arc<Places>, rows: &Array, old: &Variable, value: &Variable, out: Array) -> Result<Recorded> {
    record_under_lock(&SETITEM, &[old, value], out, |s| {
        s.extra(0, rows.clone());
        s.attrs(Attrs::Data(Arc::new(Arc::clone(places))));
    })
}

fn put_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let (places, rows) = places_of(step);
    let value = if step.needs(1) { Some(gather(&GETITEM, &g, Arc::clone(&places), rows.clone())?) } else { None };
    let zero = Array::zeros(&[], g.dtype()).into();
    let x = if step.needs(0) { Some(put(g, places, rows, &zero)?) } else { None };
    Ok(Grads::from_iter([x, value]))
}

/// Row numbers with all but the last of equal ones put nowhere.
pub(super) fn last_of_each(rows: &Array) -> Array {
    let mut all = rows.to_vec::<i64>();
    let mut seen = std::collections::HashSet::new();
    if seen.try_reserve(all.len()).is_err() {
        alloc_check::raise(alloc_check::exhausted("setitem"));
    }
    for r in all.iter_mut().rev() {
        if *r != NOWHERE && !seen.insert(*r) {
            *r = NOWHERE;
        }
    }
    Array::from_slice(&all, rows.shape())
}

/// An integer array as positions along an axis of size `n`: counted from the front, in range.
#[allow(clippy::useless_conversion, reason = "one of the dtypes is the result's")]
pub(super) fn positions(op: &str, index: &Array, axis: usize, n: usize) -> Result<Vec<i64>> {
    let dtype = index.dtype();
    let mut all: Vec<i64> = dispatch!(integer dtype, T => alloc_check::collect(index.contiguous().as_slice::<T>().into_iter().flatten().copied().map(i64::from)),
        else return Err(Error::Index(format!("{op}: arrays used as indices must be of an integer (or bool) dtype, got {dtype}"))));
    let size = i64::try_from(n).unwrap_or(i64::MAX);
    for i in &mut all {
        if *i < -size || *i >= size {
            return Err(out_of_bounds(op, *i, axis, n));
        }
        *i += if *i < 0 { size } else { 0 };
    }
    Ok(all)
}

#[cold]
pub(super) fn out_of_bounds(op: &str, i: i64, axis: usize, n: usize) -> Error {
    Error::Index(format!("{op}: index {i} is out of bounds for axis {axis} with size {n}"))
}

/// The elements of `x` at `indices` along `axis`, whose place the axes of `indices` take; `None` counts the elements of
/// `x` in row-major order.
///
/// # Errors
/// `Index` when an index is out of bounds or not an integer, `Axis` when the axis is.
pub fn take(x: &Variable, indices: &Variable, axis: Option<isize>) -> Result<Variable> {
    let axis = axis.map(|a| normalize_axis("take", a, x.ndim())).transpose()?;
    let n = axis.map_or(x.array().size(), |a| x.shape()[a]);
    let rows = Array::from_slice(&positions("take", indices.array(), axis.unwrap_or(0), n)?, indices.shape());
    let axes: SmallVec<[usize; 4]> = axis.map_or_else(|| (0..x.ndim()).collect(), |a| [a].into_iter().collect());
    let places = Places { shape: Shape::from_slice(x.shape()), axes, place: axis.unwrap_or(0) };
    gather(&TAKE, x, Arc::new(places), rows)
}

/// The element at `indices` along `axis`, for every place of the other axes, which broadcast. `None` flattens `x`.
///
/// # Errors
/// `Index` when an index is out of bounds or not an integer, `Shape` when the other axes do not broadcast.
pub fn take_along_axis(x: &Variable, indices: &Variable, axis: Option<isize>) -> Result<Variable> {
    const NAME: &str = "take_along_axis";
    let Some(axis) = axis else {
        if indices.ndim() != 1 {
            return Err(Error::Shape(format!("{NAME}: axis=None needs 1-d indices, got shape {}", show_shape(indices.shape()))));
        }
        return take(x, indices, None);
    };
    let axis = normalize_axis(NAME, axis, x.ndim())?;
    let mut around = Shape::from_slice(x.shape());
    around[axis] = indices.shape().get(axis).copied().unwrap_or(1);
    let out = broadcast_shapes(&around, indices.shape()).filter(|_| indices.ndim() == x.ndim()).ok_or_else(|| {
        let (a, b) = (show_shape(x.shape()), show_shape(indices.shape()));
        Error::Shape(format!("{NAME}: indices of shape {b} do not fit an array of shape {a}: as many axes, and all but axis {axis} broadcast"))
    })?;
    let (places, rows) = along(NAME, x.shape(), indices, axis, &out)?;
    gather(&ALONG, x, places, rows)
}

/// Row numbers of single elements: `indices`, broadcast to `out`, along `axis`, and elsewhere the place itself.
pub(super) fn along(op: &str, shape: &[usize], indices: &Variable, axis: usize, out: &[usize]) -> Result<(Arc<Places>, Array)> {
    let at = Array::from_slice(&positions(op, indices.array(), axis, shape[axis])?, indices.shape()).broadcast_to(op, out)?;
    let whole = Layout::contiguous(shape);
    let step = |a: usize| if a == axis || shape[a] == 1 { 0 } else { whole.strides()[a] };
    let others = Layout::strided(out, &(0..shape.len()).map(step).collect::<Vec<_>>(), 0);
    let mut rows = at.to_vec::<i64>();
    let (mut k, along) = (0, whole.strides()[axis] as i64);
    if size_of(out) > 0 {
        Cursor::new(&others).for_each(|p| {
            rows[k] = rows[k] * along + p.cast_signed() as i64;
            k += 1;
        });
    }
    let places = Places { shape: Shape::from_slice(shape), axes: (0..shape.len()).collect(), place: 0 };
    Ok((Arc::new(places), Array::from_slice(&rows, out)))
}

/// For every place of the other axes the one element at `index` along `axis`; `index` has the shape without that axis.
///
/// # Errors
/// `Shape` when `index` has another shape, `Index` when one is out of bounds or not an integer.
pub fn pick(x: &Variable, index: &Variable, axis: isize) -> Result<Variable> {
    let axis = normalize_axis("pick", axis, x.ndim())?;
    let mut shape = Shape::from_slice(x.shape());
    shape.remove(axis);
    if index.shape() != shape.as_slice() {
        let (a, b) = (show_shape(index.shape()), show_shape(&shape));
        return Err(Error::Shape(format!("pick: the index has shape {a}, expected {b}: that of the array without axis {axis}")));
    }
    let place = [axis.cast_signed()];
    let (index, mut around) = (expand_dims(index, &place)?, shape);
    around.insert(axis, 1);
    let (places, rows) = along("pick", x.shape(), &index, axis, &around)?;
    squeeze(&gather(&ALONG, x, places, rows)?, Some(&place))
}

/// Of every row (the last axis) the element at `index`.
///
/// # Errors
/// As [`pick`].
pub fn gather_rows(x: &Variable, index: &Variable) -> Result<Variable> {
    pick(x, index, -1)
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "take",
        doc: "The elements at indices along an axis, whose place the axes of the indices take. Without an axis x is counted in row-major order. Negative indices count from the end; one that is out of bounds raises IndexError.\n\n>>> tg.take(tg.Variable([1.0, 2.0, 3.0]), [2, 0, -1])\nVariable([3., 1., 3.])\n",
        params: &[Param::array("x"), Param::array("indices"), Param { alias: Some("dim"), ..Param::new("axis", Kind::OptInt).or(Default::None) }],
        call: |a| Ok(take(&a.variable(0)?, &a.variable(1)?, opt_axis(a, 2)?)?.into()),
        gradient: Gradient::Rule("zeros with g added at the indices"),
        linear: true,
        samples: take_samples,
        ..Entry::BASE
    },
    Entry {
        name: "take_along_axis",
        doc: "The element at indices along an axis, for every place of the other axes, which broadcast.\n\n>>> tg.take_along_axis(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), [[1], [0]], axis=1)\nVariable([[2.],\n          [3.]])\n",
        params: &[Param::array("x"), Param::array("indices"), Param { alias: Some("dim"), ..Param::new("axis", Kind::OptInt).or(Default::Int(-1)) }],
        call: |a| Ok(take_along_axis(&a.variable(0)?, &a.variable(1)?, opt_axis(a, 2)?)?.into()),
        gradient: Gradient::Rule("zeros with g added at the indices"),
        linear: true,
        method: false,
        samples: along_samples,
        ..Entry::BASE
    },
];

fn opt_axis(a: &Args<'_>, i: usize) -> Result<Option<isize>> {
    if a.is_none(i) { Ok(None) } else { a.axis(i).map(Some) }
}

fn take_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(81);
    let cases: [(&[usize], Variable, Arg); 7] = [
        (&[4], indices(&[3, 0, -1, 3], &[4]), Arg::None),
        (&[2, 3], indices(&[5, 0, -1, 5], &[2, 2]), Arg::None),
        (&[2, 3], indices(&[1, 1, -1], &[3]), Arg::Int(0)),
        (&[2, 3, 2], indices(&[2, 0, 2, 1], &[2, 2]), Arg::Int(1)),
        (&[2, 3], indices(&[1], &[]), Arg::Int(-1)),
        (&[2, 3], indices(&[], &[0]), Arg::Int(0)),
        (&[3, 0], indices(&[2, 0], &[2]), Arg::Int(0)),
    ];
    cases.into_iter().map(|(shape, at, axis)| call_with(REAL.strided(draw, shape), [Arg::Variable(at), axis])).collect()
}

fn along_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(82);
    let cases: [(&[usize], Variable, Arg); 6] = [
        (&[4], indices(&[3, 0, -1, 3], &[4]), Arg::Int(-1)),
        (&[2, 3], indices(&[2, 2, 0, 1], &[2, 2]), Arg::Int(1)),
        (&[2, 3], indices(&[1, 0, -1], &[1, 3]), Arg::Int(0)),
        (&[1, 3], indices(&[1, 0], &[2, 1]), Arg::Int(-1)),
        (&[2, 3], indices(&[5, 0], &[2]), Arg::None),
        (&[2, 3], indices(&[], &[2, 0]), Arg::Int(1)),
    ];
    cases.into_iter().map(|(shape, at, axis)| call_with(REAL.strided(draw, shape), [Arg::Variable(at), axis])).collect()
}
