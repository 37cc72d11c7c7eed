//! Appending, inserting, deleting, selecting and reducing elements at indices.
#![allow(clippy::cast_possible_wrap, reason = "a size of an array fits in i64")]
#![allow(clippy::needless_for_each, reason = "shorter, and as quick")]

use super::gather::{row_numbers, take};
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Operand, Param, Sample, Value, Views};
use super::samples::{Draw, REAL, call_with, indices, ints};
use super::scatter::{index_add, scatter_add};
use super::shape::{astype, broadcast_to, flatten, reshape_to, scalar};
use super::sorting::lined;
use super::{add, concat, divide, equal, floor_divide, get_item, moveaxis, multiply, where_};
use crate::array::alloc_check::{collect, try_collect, with_capacity};
use crate::array::{Array, DType, Plain, Scalar, Shape, check_memory, default_float, normalize_axis, size_of};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel::gather::nonzero as true_places;
use crate::ops::index::IndexItem;
use crate::tape::Variable;

/// `x` followed by `values` along `axis`; both are flattened if that is None.
///
/// # Errors
/// As `concat`.
pub fn append(x: &Variable, values: &Variable, axis: Option<isize>) -> Result<Variable> {
    match axis {
        Some(_) => concat(&[x.clone(), values.clone()], axis),
        None => concat(&[flatten(x)?, flatten(values)?], Some(0)),
    }
}

/// Positions along an axis of size `n`, from ints, the positions of a slice, or a mask.
fn places(op: &str, at: &Variable, axis: usize, n: usize, end: bool) -> Result<Vec<i64>> {
    if at.dtype() == DType::Bool {
        if at.shape() != [n] {
            return Err(Error::Shape(format!("{op}: the mask has shape {}, expected ({n},), the size of axis {axis}", show_shape(at.shape()))));
        }
        return Ok(true_places(at.values(op)?));
    }
    if at.array().size() == 0 {
        return Ok(Vec::new());
    }
    if !at.dtype().is_integer() {
        return Err(Error::dtype(op, at.dtype(), "indices of ints, or a mask"));
    }
    let (size, most) = (n as i64, n as i64 + i64::from(end));
    let all: Vec<i64> = astype(&at.detach(), DType::I64)?.values(op)?.to_vec();
    try_collect(all.into_iter().map(|i| {
        let k = if i < 0 { i + size } else { i };
        let inside = (0..most).contains(&k);
        if inside { Ok(k) } else { Err(Error::Index(format!("{op}: index {i} is out of bounds for axis {axis} with size {n}"))) }
    }))
}

fn gathered(x: &Variable, axis: usize, at: &[i64]) -> Result<Variable> {
    take(x, &indices(at, &[at.len()]), Some(axis.cast_signed()))
}

/// `x` without the positions `at` along `axis` (`None`: flattened).
///
/// # Errors
/// `Index` when a position is out of bounds, `Axis` when the axis is.
pub fn delete(x: &Variable, at: &Variable, axis: Option<isize>) -> Result<Variable> {
    let (x, axis) = lined("delete", x, axis)?;
    let n = x.shape()[axis];
    let gone = places("delete", at, axis, n, false)?;
    let mut kept = Array::ones(&[n], DType::Bool);
    let mask = kept.data_mut::<bool>();
    gone.iter().filter_map(|&i| usize::try_from(i).ok()).for_each(|i| mask[i] = false);
    gathered(&x, axis, &true_places(&kept))
}

/// `x` with `values` inserted before the positions `at` along `axis` (`None`: flattened).
///
/// # Errors
/// `Index` when a position is out of bounds, `Shape` when the values do not broadcast.
pub fn insert(x: &Variable, at: &Variable, values: &Variable, axis: Option<isize>) -> Result<Variable> {
    let (x, axis) = lined("insert", x, axis)?;
    let n = x.shape()[axis];
    let at_places = places("insert", at, axis, n, true)?;
    // A single position takes all values. If values have as many axes as x, their first axis is that of the positions.
    let single = at.ndim() == 0;
    let mut values = astype(values, x.dtype())?;
    if single && values.ndim() > 0 {
        let wide: Shape = std::iter::repeat_n(1, x.ndim().saturating_sub(values.ndim())).chain(values.shape().iter().copied()).collect();
        values = moveaxis(&reshape_to(&values, &wide)?, &[0], &[axis.cast_signed()])?;
    }
    let count = if single { if values.ndim() == 0 { 1 } else { values.shape()[axis] } } else { at_places.len() };
    let mut shape = Shape::from_slice(x.shape());
    shape[axis] = count;
    let values = broadcast_to(&values, &shape)?;
    let start = |k: usize| if single { at_places[0] } else { at_places[k] };
    // Sorted by position, then by the order of the values, which are numbered after the elements of `x`.
    let mut order = collect((0..count).map(|k| (start(k), (n + k) as i64)));
    order.sort_unstable();
    let mut all = with_capacity(n + count);
    let mut next = order.into_iter().peekable();
    for i in 0..=n as i64 {
        while let Some((_, k)) = next.next_if(|&(at, _)| at == i) {
            all.push(k);
        }
        if i < n as i64 {
            all.push(i);
        }
    }
    gathered(&concat(&[x, values], Some(axis.cast_signed()))?, axis, &all)
}

/// The elements of `x`, flattened and repeated, in a new shape.
///
/// # Errors
/// `Value` when a size is negative, or the array is empty and the shape is not.
pub fn resize(x: &Variable, shape: &[isize]) -> Result<Variable> {
    let shape = super::creation::checked_shape("resize", shape, x.dtype())?;
    let (flat, want) = (flatten(x)?, size_of(&shape));
    let n = flat.shape()[0];
    if n == 0 {
        return Ok(Array::zeros(&shape, x.dtype()).into());
    }
    let at = collect((0..want).map(|i| (i % n) as i64));
    reshape_to(&gathered(&flat, 0, &at)?, &shape)
}

/// The choice of the first condition that is true, else the default.
///
/// # Errors
/// `Value` when there are not as many choices as conditions, or none.
pub fn select(conditions: &[Variable], choices: &[Variable], default: Operand<'_>) -> Result<Variable> {
    if conditions.len() != choices.len() || conditions.is_empty() {
        return Err(Error::Value(format!(
            "select: {} conditions and {} choices, expected as many, and at least one",
            conditions.len(),
            choices.len()
        )));
    }
    let last = choices.len() - 1;
    if let Some(c) = conditions.iter().find(|c| c.dtype() != DType::Bool) {
        return Err(Error::dtype("select", c.dtype(), "conditions of bool"));
    }
    let mut out = where_(&conditions[last], &choices[last], default)?;
    for i in (0..last).rev() {
        out = where_(&conditions[i], &choices[i], &out)?;
    }
    Ok(out)
}

/// Ones on and below diagonal `k`, zeros above.
///
/// # Errors
/// `Value` when a size is negative.
pub fn tri(n: isize, m: Option<isize>, k: i64, dtype: Option<DType>) -> Result<Variable> {
    super::tril(&super::ones(&[n, m.unwrap_or(n)], Some(dtype.unwrap_or_else(default_float)))?, k)
}

/// The sums of the rows of `data` with the same id: row i of the result is the sum for id i.
///
/// # Errors
/// `Shape` when there is not one id per row, `Index` when an id is out of range.
pub fn segment_sum(data: &Variable, ids: &Variable, segments: Option<i64>) -> Result<Variable> {
    let rows = data.shape().first().copied().unwrap_or(0);
    if data.ndim() == 0 || ids.shape() != [rows] {
        let (a, b) = (show_shape(ids.shape()), show_shape(data.shape()));
        return Err(Error::Shape(format!("segment_sum: segment ids have shape {a} and the data {b}, expected one id for each row")));
    }
    let count = match segments {
        Some(n) => n,
        None => astype(&ids.detach(), DType::I64)?.values("segment_sum")?.to_vec::<i64>().into_iter().max().map_or(0, |m| m.saturating_add(1).max(0)),
    };
    let count = usize::try_from(count).map_err(|_| Error::Value(format!("segment_sum: num_segments is {count}, expected 0 or more")))?;
    let mut shape = Shape::from_slice(data.shape());
    shape[0] = count;
    check_memory("segment_sum", &shape, data.dtype())?;
    index_add(&Array::zeros(&shape, data.dtype()).into(), 0, ids, data, 1.0)
}

/// `x`, where elements of `source` are reduced to the position `index` along `axis`: summed, multiplied, averaged, or their extremum. Ties share the
/// gradient. The elements of `x` are included if `include_self`.
///
/// # Errors
/// `Value` for an unknown `reduce`, else as `scatter_add`.
pub fn scatter_reduce(x: &Variable, axis: isize, index: &Variable, source: &Variable, reduce: &str, include_self: bool) -> Result<Variable> {
    let zeros: Variable = Array::zeros(x.shape(), x.dtype()).into();
    let ones: Variable = Array::ones(index.shape(), x.dtype()).into();
    let hits = scatter_add(&zeros, axis, index, &ones)?;
    let untouched = equal(&hits, 0.0)?;
    let start = if include_self { x.clone() } else { where_(&untouched, x, 0_i64)? };
    match reduce {
        "sum" => scatter_add(&start, axis, index, source),
        "mean" => {
            let own = if include_self { scalar(1.0, x.dtype()) } else { astype(&untouched, x.dtype())? };
            let (total, count) = (scatter_add(&start, axis, index, source)?, add(&hits, &own)?);
            if x.dtype().is_integer() { floor_divide(&total, &count) } else { divide(&total, &count) }
        }
        "amax" | "amin" if x.dtype().is_integer() => {
            let along = normalize_axis("scatter_reduce", axis, x.ndim())?;
            let (places, rows) = super::gather::along("scatter_reduce", x.shape(), index, along, index.shape())?;
            let part = super::scatter::inside_of(source, index)?;
            let start = if include_self { x.clone() } else { super::gather::put(x.clone(), &places, &rows, &part)? };
            Ok(best(&start, &rows, &part, reduce == "amax")?.into())
        }
        "amax" | "amin" => extremum(x, axis, index, source, reduce == "amax", include_self, &untouched),
        "prod" => {
            let start = if include_self { start } else { where_(&untouched, x, 1_i64)? };
            multiply(&start, &products(x.shape(), axis, index, source)?)
        }
        other => Err(Error::Value(format!("scatter_reduce: reduce is '{other}', expected 'sum', 'prod', 'mean', 'amax' or 'amin'"))),
    }
}

/// The products of the elements of `source` that have the same place in an array of that shape; one where there are none. Neighbours are
/// multiplied until one is left of each place, so the gradient of a zero is that of a product: the other factors.
fn products(shape: &[usize], axis: isize, index: &Variable, source: &Variable) -> Result<Variable> {
    const NAME: &str = "scatter_reduce";
    let along = normalize_axis(NAME, axis, shape.len())?;
    let (_, rows) = super::gather::along(NAME, shape, index, along, index.shape())?;
    let rows = rows.values(NAME)?.to_vec::<i64>();
    let part = flatten(&super::scatter::inside_of(source, index)?)?;
    let one: Variable = Array::ones(&[1], part.dtype()).into();
    let mut order: Vec<usize> = collect(0..rows.len());
    order.sort_unstable_by_key(|&i| (rows[i], i)); // in place: a stable sort allocates
    let mut keys: Vec<i64> = collect(order.iter().map(|&i| rows[i]));
    let mut factors = gathered(&part, 0, &numbers(&order))?;
    while keys.windows(2).any(|pair| pair[0] == pair[1]) {
        let (left, right) = pairs(&keys);
        let second = gathered(&concat(&[factors.clone(), one.clone()], Some(0))?, 0, &numbers(&right))?;
        factors = multiply(&gathered(&factors, 0, &numbers(&left))?, &second)?;
        keys = collect(left.iter().map(|&i| keys[i]));
    }
    let mut at = collect((0..size_of(shape)).map(|_| keys.len()));
    for (i, &key) in keys.iter().enumerate() {
        if let Ok(place) = usize::try_from(key) {
            at[place] = i;
        }
    }
    reshape_to(&gathered(&concat(&[factors, one], Some(0))?, 0, &numbers(&at))?, shape)
}

fn numbers(places: &[usize]) -> Vec<i64> {
    collect(places.iter().map(|&i| i as i64))
}

/// For sorted keys, the places of the first elements of pairs of equal ones, and those of the second; the length where there is none.
fn pairs(keys: &[i64]) -> (Vec<usize>, Vec<usize>) {
    let (mut left, mut right) = (with_capacity(keys.len()), with_capacity(keys.len()));
    let mut i = 0;
    while i < keys.len() {
        let paired = keys.get(i + 1) == Some(&keys[i]);
        left.push(i);
        right.push(if paired { i + 1 } else { keys.len() });
        i += 1 + usize::from(paired);
    }
    (left, right)
}

/// The extremum as a value, then as the mean of all elements equal to it: so ties share the gradient.
fn extremum(x: &Variable, axis: isize, index: &Variable, source: &Variable, largest: bool, own: bool, untouched: &Variable) -> Result<Variable> {
    let along = normalize_axis("scatter_reduce", axis, x.ndim())?;
    let at = row_numbers("scatter_reduce", index, along, x.shape()[along])?;
    let none = if largest { f64::NEG_INFINITY } else { f64::INFINITY };
    let start = if own { x.detach() } else { where_(untouched, &x.detach(), none)? };
    let part = super::scatter::inside_of(source, index)?;
    let (_, rows) = super::gather::along("scatter_reduce", x.shape(), index, along, index.shape())?;
    let best: Variable = best(&start, &rows, &part.detach(), largest)?.into();
    let there = super::gather(&best, axis, &at)?;
    let (hit, mine) = (equal(&part, &there)?, super::logical_and(&equal(x, &best)?, &super::logical_or(untouched, own)?)?);
    let zeros: Variable = Array::zeros(x.shape(), x.dtype()).into();
    let count = add(&scatter_add(&zeros, axis, index, &astype(&hit, x.dtype())?)?, &astype(&mine, x.dtype())?)?;
    let total = scatter_add(&where_(&mine, x, 0.0)?, axis, index, &where_(&hit, &part, 0.0)?)?;
    divide(&total, &count)
}

/// The largest (or smallest) of `start` and of `part` at the elements `rows`: integers exactly, other numbers as float64, where NaN wins.
fn best(start: &Variable, rows: &Variable, part: &Variable, largest: bool) -> Result<Array> {
    let dtype = start.dtype();
    let wide = || -> Result<Array> {
        let better = |v: f64, old: f64| !old.is_nan() && (v.is_nan() || if largest { v > old } else { v < old });
        let out = best_by(&astype(start, DType::F64)?, rows, &astype(part, DType::F64)?, better)?;
        Ok(astype(&out.into(), dtype)?.into_array())
    };
    dispatch!(integer dtype, T => best_by::<T>(start, rows, part, |v, old| if largest { v > old } else { v < old }), else wide())
}

/// `start`, where elements of `part` replace the elements that they are better than.
fn best_by<T: Plain>(start: &Variable, rows: &Variable, part: &Variable, better: impl Fn(T, T) -> bool) -> Result<Array> {
    const NAME: &str = "scatter_reduce";
    let mut out = start.values(NAME)?.copy();
    let (values, rows) = (part.values(NAME)?.to_vec::<T>(), rows.values(NAME)?.to_vec::<i64>());
    let data = out.data_mut::<T>();
    for (&v, row) in values.iter().zip(rows) {
        let Ok(at) = usize::try_from(row) else { continue };
        if better(v, data[at]) {
            data[at] = v;
        }
    }
    Ok(out)
}

fn axis(a: &Args<'_>, i: usize) -> Result<Option<isize>> {
    if a.is_none(i) { Ok(None) } else { a.axis(i).map(Some) }
}

fn call_compress(a: &Args<'_>) -> Result<Value> {
    let (x, along) = lined("compress", &a.variable(1)?, axis(a, 2)?)?;
    let mask = astype(&a.variable(0)?.detach(), DType::Bool)?;
    let at = true_places(mask.values("compress")?);
    let n = x.shape()[along];
    if let Some(i) = at.iter().find(|&&i| i >= n as i64) {
        return Err(Error::Index(format!("compress: condition {i} is true, but axis {along} has size {n}")));
    }
    Ok(gathered(&x, along, &at)?.into())
}

fn call_extract(a: &Args<'_>) -> Result<Value> {
    let mask = flatten(&astype(&a.variable(0)?.detach(), DType::Bool)?)?;
    Ok(get_item(&flatten(&a.variable(1)?)?, &[IndexItem::Array(mask)])?.into())
}

fn call_chunk(a: &Args<'_>) -> Result<Value> {
    let (x, count, axis) = (a.variable(0)?, a.int(1)?, a.axis(2)?);
    let along = normalize_axis("chunk", axis, x.ndim())?;
    let count = usize::try_from(count).ok().filter(|&n| n > 0).ok_or_else(|| Error::Value(format!("chunk: {count} chunks, expected 1 or more")))?;
    let n = x.shape()[along];
    let size = n.div_ceil(count).max(1);
    let bounds = collect((1..n.div_ceil(size).max(1)).map(|i| (i * size).cast_signed()));
    Ok(super::split(&x, super::Sections::At(&bounds), axis)?.into())
}

const AXIS: Param = Param { alias: Some("dim"), ..Param::new("axis", Kind::OptInt).or(Default::None) };

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "append",
        doc: "values behind x along an axis; both flattened without one.\n\n>>> tg.append(tg.Variable([1.0, 2.0]), 3.0)\nVariable([1., 2., 3.])\n",
        params: &[Param::array("x"), Param::array("values"), AXIS],
        call: |a| Ok(append(&a.variable(0)?, &a.variable(1)?, axis(a, 2)?)?.into()),
        gradient: Gradient::Composite("the parts of g"),
        samples: append_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "insert",
        doc: "x with values in front of places along an axis (None: flattened).\n\n>>> tg.insert(tg.Variable([1.0, 2.0]), 1, 9.0)\nVariable([1., 9., 2.])\n",
        params: &[Param::array("x"), Param::array("obj"), Param::array("values"), AXIS],
        call: |a| Ok(insert(&a.variable(0)?, &a.variable(1)?, &a.variable(2)?, axis(a, 3)?)?.into()),
        gradient: Gradient::Composite("the parts of g"),
        samples: insert_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "delete",
        doc: "x without places along an axis (None: flattened): ints or a mask.\n\n>>> tg.delete(tg.Variable([1.0, 2.0, 3.0]), 1)\nVariable([1., 3.])\n",
        params: &[Param::array("x"), Param::array("obj"), AXIS],
        call: |a| Ok(delete(&a.variable(0)?, &a.variable(1)?, axis(a, 2)?)?.into()),
        gradient: Gradient::Composite("zeros with g at the places that are left"),
        samples: delete_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "resize",
        doc: "The elements of x, flattened and repeated as often as needed, in a new shape.\n\n>>> tg.resize(tg.Variable([1.0, 2.0]), (2, 2))\nVariable([[1., 2.],\n          [1., 2.]])\n",
        params: &[Param::array("x"), Param { alias: Some("new_shape"), ..Param::new("shape", Kind::Ints) }],
        call: |a| Ok(resize(&a.variable(0)?, a.ints(1)?)?.into()),
        gradient: Gradient::Composite("g, summed over the repetitions"),
        samples: || vec![call_with(REAL.strided(&mut Draw::new(411), &[2, 3]), [ints(&[4, 2])]), call_with(REAL.array(&mut Draw::new(412), &[4]), [ints(&[3])])],
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "select",
        doc: "Where the first of several conditions holds, its choice; where none does, the default.\n\n>>> x = tg.Variable([1.0, 2.0, 3.0])\n>>> tg.select([x < 1.5, x > 2.5], [x, 10.0 * x], 0.0)\nVariable([ 1.,  0., 30.])\n",
        params: &[Param::new("condlist", Kind::Arrays), Param::new("choicelist", Kind::Arrays), Param::array("default").or(Default::Int(0))],
        call: |a| Ok(select(a.variables(0)?, a.variables(1)?, a.operand(2)?)?.into()),
        gradient: Gradient::Composite("g to the choice that was taken"),
        samples: select_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "compress",
        doc: "The places along an axis (None: flattened) where a condition holds.\n\n>>> tg.compress([True, False, True], tg.Variable([1.0, 2.0, 3.0]))\nVariable([1., 3.])\n",
        params: &[Param::array("condition"), Param::array("a"), AXIS],
        call: call_compress,
        gradient: Gradient::Composite("zeros with g at the chosen places"),
        samples: compress_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "extract",
        doc: "The elements where a condition of the same size holds, in one axis.\n\n>>> tg.extract([True, False, True], tg.Variable([1.0, 2.0, 3.0]))\nVariable([1., 3.])\n",
        params: &[Param::array("condition"), Param::array("arr")],
        call: call_extract,
        gradient: Gradient::Composite("zeros with g at the chosen places"),
        samples: || compress_samples().into_iter().take(1).map(|s| Sample { args: s.args[..2].to_vec() }).collect(),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "tri",
        doc: "Ones on and below diagonal k of an N by M matrix, zeros above.\n\n>>> tg.tri(2)\nVariable([[1., 0.],\n          [1., 1.]])\n",
        params: &[
            Param::new("N", Kind::Int),
            Param::new("M", Kind::OptInt).or(Default::None),
            Param::new("k", Kind::Int).or(Default::Int(0)),
            Param::new("dtype", Kind::DType).or(Default::None),
        ],
        call: |a| Ok(tri(a.axis(0)?, axis(a, 1)?, a.int(2)?, a.dtype(3)?)?.into()),
        method: false,
        ..Entry::BASE
    },
    Entry {
        name: "segment_sum",
        doc: "The sums of the rows of data that have one number: row i of the result is that of number i, of num_segments (None: one more than the largest).\n\n>>> tg.segment_sum(tg.Variable([1.0, 2.0, 4.0]), tg.Variable([0, 1, 0]))\nVariable([5., 2.])\n",
        params: &[Param::array("data"), Param::array("segment_ids"), Param::new("num_segments", Kind::OptInt).or(Default::None)],
        call: |a| Ok(segment_sum(&a.variable(0)?, &a.variable(1)?, a.opt_int(2)?)?.into()),
        gradient: Gradient::Composite("g at the number of each row"),
        samples: segment_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "scatter_reduce",
        doc: "x with what source has for the same place at index along an axis reduced: 'sum', 'prod', 'mean', 'amax' or 'amin'. Ties share the gradient. x itself counts, unless include_self=False.\n\n>>> tg.scatter_reduce(tg.zeros(2), 0, tg.Variable([0, 0, 1]), tg.Variable([1.0, 2.0, 3.0]), \"sum\")\nVariable([3., 3.])\n",
        params: &[
            Param::array("x"),
            Param { alias: Some("dim"), ..Param::new("axis", Kind::Int) },
            Param::array("index"),
            Param { alias: Some("src"), ..Param::array("source") },
            Param::new("reduce", Kind::Text).or(Default::Text("sum")),
            Param::flag("include_self", true).named(),
        ],
        call: |a| Ok(scatter_reduce(&a.variable(0)?, a.axis(1)?, &a.variable(2)?, &a.variable(3)?, a.text(4)?, a.flag(5)?)?.into()),
        gradient: Gradient::Composite("g at the places that each element was put to, by its share"),
        samples: scatter_samples,
        ..Entry::BASE
    },
    Entry {
        name: "chunk",
        doc: "x cut along an axis into parts of one size, at most so many; the last may be smaller.\n\n>>> tg.chunk(tg.Variable([1.0, 2.0, 3.0]), 2)\n(Variable([1., 2.]), Variable([3.]))\n",
        params: &[Param::array("x"), Param::new("chunks", Kind::Int), Param::axis(0)],
        call: call_chunk,
        gradient: Gradient::Composite("concat(g, axis)"),
        linear: true,
        views: Views::Writable,
        samples: || vec![call_with(REAL.strided(&mut Draw::new(413), &[5, 2]), [Arg::Int(3), Arg::Int(0)])],
        ..Entry::BASE
    },
];

fn append_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(414);
    let mut call = |a: &[usize], b: &[usize], axis: Arg| call_with(REAL.strided(draw, a), [Arg::Variable(REAL.array(draw, b)), axis]);
    vec![call(&[2, 3], &[2], Arg::None), call(&[2, 3], &[1, 3], Arg::Int(0)), call(&[2, 3], &[2, 1], Arg::Int(-1))]
}

fn insert_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(415);
    let mut call = |a: &[usize], at: Variable, b: &[usize], axis: Arg| {
        call_with(REAL.strided(draw, a), [Arg::Variable(at), Arg::Variable(REAL.array(draw, b)), axis])
    };
    vec![
        call(&[4], indices(&[1], &[]), &[], Arg::None),
        call(&[4], indices(&[1], &[]), &[2], Arg::None),
        call(&[2, 3], indices(&[0, 3], &[2]), &[2, 2], Arg::Int(1)),
        call(&[2, 3], indices(&[-1], &[]), &[3], Arg::Int(0)),
    ]
}

fn delete_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(416);
    let mask: Variable = Array::from_slice(&[true, false, true], &[3]).into();
    let mut call = |a: &[usize], at: Variable, axis: Arg| call_with(REAL.strided(draw, a), [Arg::Variable(at), axis]);
    vec![call(&[4], indices(&[1], &[]), Arg::None), call(&[2, 3], indices(&[0, -1], &[2]), Arg::Int(1)), call(&[3, 2], mask, Arg::Int(0))]
}

fn select_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(418);
    let masks = [[true, false, false], [true, true, false]].map(|m| Variable::from(Array::from_slice(&m, &[3])));
    let choices = [REAL.array(draw, &[3]), REAL.array(draw, &[2, 3])];
    vec![Sample { args: vec![Arg::Variables(masks.to_vec()), Arg::Variables(choices.to_vec()), Arg::Scalar(Scalar::Float(0.5))] }]
}

fn compress_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(419);
    let mask: Variable = Array::from_slice(&[true, false, true], &[3]).into();
    vec![
        call_with(mask.clone(), [Arg::Variable(REAL.array(draw, &[3])), Arg::None]),
        call_with(mask, [Arg::Variable(REAL.strided(draw, &[2, 3])), Arg::Int(1)]),
    ]
}

fn segment_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(420);
    vec![
        call_with(REAL.array(draw, &[4]), [Arg::Variable(indices(&[0, 2, 0, 1], &[4])), Arg::None]),
        call_with(REAL.strided(draw, &[3, 2]), [Arg::Variable(indices(&[1, 1, 0], &[3])), Arg::Int(4)]),
    ]
}

fn scatter_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(421);
    ["sum", "prod", "mean", "amax", "amin"]
        .into_iter()
        .flat_map(|reduce| [true, false].map(|own| (reduce, own)))
        .map(|(reduce, own)| {
            let at = Arg::Variable(indices(&[0, 1, 0, 0, 2, 2], &[2, 3]));
            let source = Arg::Variable(REAL.array(draw, &[2, 3]));
            call_with(REAL.array(draw, &[2, 3]), [Arg::Int(1), at, source, Arg::Text(reduce.to_owned()), Arg::Bool(own)])
        })
        .collect()
}
