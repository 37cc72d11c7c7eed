//! Indexing and assignment in all of NumPy's forms.
//!
//! The items between the brackets become a plan: a window (ints, slices, new axes: a view), and row numbers for the axes that arrays index
//! (a copy). Reading applies first the window and then the row numbers; writing does the reverse.

use smallvec::SmallVec;

use super::gather::{self, gather, out_of_bounds, positions};
use super::registry::{Entry, Gradient, Kind, Operand, Param, Views};
use super::shape::{broadcast_to, reshape_to};
use super::window::{self, Cut, Window, fit_value, replace, view};
use super::work;
use crate::array::{Array, DType, Shape, alloc_check, broadcast_shapes, check_memory, size_of};
use crate::error::{Error, Result, show_shape};
use crate::kernel::gather::{Places, nonzero};
use crate::tape::{Recorded, Variable, capture};

/// One item between square brackets.
#[derive(Clone, Debug)]
pub enum IndexItem {
    /// An int.
    Int(isize),
    /// start:stop:step.
    Slice(Option<isize>, Option<isize>, Option<isize>),
    /// `...`
    Ellipsis,
    /// `None`
    NewAxis,
    /// An integer or bool array.
    Array(Variable),
}

/// One item, with the axes that it uses.
enum Part {
    /// A slice of the next axis.
    Cut(Cut),
    /// One position of the next axis.
    At(usize),
    /// An axis of size one.
    New,
    /// Uses no axis, but separates other parts.
    Gap,
    /// Positions, counted in row-major order over the next `axes` axes.
    Rows { axes: usize, rows: Variable },
}

impl Part {
    fn axes(&self) -> usize {
        match self {
            Self::Cut(_) | Self::At(_) => 1,
            Self::New | Self::Gap => 0,
            Self::Rows { axes, .. } => *axes,
        }
    }
}

/// How an index reads.
struct IndexPlan {
    /// What is sliced first, unless that is everything. With row numbers it keeps all axes.
    window: Option<Window>,
    /// What is gathered from it.
    rows: Option<(Places, Variable)>,
    /// The shape of the result.
    shape: Shape,
}

/// Number of axes that an item uses.
pub(super) fn axes_of(item: &IndexItem) -> usize {
    match item {
        IndexItem::Ellipsis | IndexItem::NewAxis => 0,
        IndexItem::Array(v) if v.dtype() == DType::Bool => v.ndim(),
        IndexItem::Int(_) | IndexItem::Slice(..) | IndexItem::Array(_) => 1,
    }
}

/// Converts the items to parts that together use all axes of `shape`.
fn parts(op: &str, shape: &[usize], items: &[IndexItem]) -> Result<Vec<Part>> {
    let used: usize = items.iter().map(axes_of).sum();
    if used > shape.len() {
        let n = shape.len();
        return Err(Error::Index(format!("{op}: too many indices for array: array is {n}-dimensional, but {used} were indexed")));
    }
    if items.iter().filter(|i| matches!(i, IndexItem::Ellipsis)).count() > 1 {
        return Err(Error::Index(format!("{op}: an index can only have a single ellipsis ('...')")));
    }
    let rest = shape.len() - used;
    let (mut out, mut axis, mut open) = (alloc_check::with_capacity(items.len() + rest), 0, true);
    for item in items {
        match item {
            IndexItem::Ellipsis => {
                open = false;
                out.push(Part::Gap);
                out.extend(shape[axis..axis + rest].iter().map(|&n| Part::Cut(Cut::whole(n))));
                axis += rest;
            }
            item => {
                out.push(part(op, shape, axis, item)?);
                axis += axes_of(item);
            }
        }
    }
    if open {
        out.extend(shape[axis..].iter().map(|&n| Part::Cut(Cut::whole(n))));
    }
    Ok(out)
}

fn part(op: &str, shape: &[usize], axis: usize, item: &IndexItem) -> Result<Part> {
    Ok(match item {
        IndexItem::NewAxis => Part::New,
        IndexItem::Ellipsis => Part::Gap,
        IndexItem::Slice(start, stop, step) => Part::Cut(Cut::slice(*start, *stop, *step, shape[axis])?),
        IndexItem::Int(i) => {
            let n = shape[axis].cast_signed();
            let at = if *i < 0 { i.saturating_add(n) } else { *i };
            Part::At(usize::try_from(at).ok().filter(|&a| a < shape[axis]).ok_or_else(|| out_of_bounds(op, *i as i64, axis, shape[axis]))?)
        }
        IndexItem::Array(mask) if mask.dtype() == DType::Bool => {
            let sizes = &shape[axis..axis + mask.ndim()];
            // As in NumPy, an axis of size zero in a mask fits any size, because it selects nothing.
            if let Some(k) = (0..mask.ndim()).find(|&k| mask.shape()[k] != 0 && mask.shape()[k] != sizes[k]) {
                return Err(Error::Index(format!(
                    "{op}: boolean index did not match indexed array along axis {}; size of axis is {} but size of corresponding boolean axis is {}",
                    axis + k,
                    sizes[k],
                    mask.shape()[k]
                )));
            }
            let rows = nonzero(mask.values(op)?);
            Part::Rows { axes: mask.ndim(), rows: Array::from_slice(&rows, &[rows.len()]).into() }
        }
        IndexItem::Array(v) if v.is_lifted() || v.ndim() > 0 && capture::is_on() => {
            Part::Rows { axes: 1, rows: gather::row_numbers(op, v, axis, shape[axis])? }
        }
        IndexItem::Array(v) => {
            let at = positions(op, v, axis, shape[axis])?;
            match at[..] {
                [i] if v.ndim() == 0 => Part::At(usize::try_from(i).unwrap_or_default()),
                _ => Part::Rows { axes: 1, rows: Array::from_slice(&at, v.shape()).into() },
            }
        }
    })
}

fn plan(op: &str, shape: &[usize], items: &[IndexItem]) -> Result<IndexPlan> {
    let parts = parts(op, shape, items)?;
    if parts.iter().any(|p| matches!(p, Part::Rows { .. })) { mixed(op, shape, &parts) } else { Ok(basic(&parts)) }
}

/// The plan for ints, slices and new axes: a view.
fn basic(parts: &[Part]) -> IndexPlan {
    let (mut cuts, mut shape) = (SmallVec::new(), Shape::new());
    for part in parts {
        match part {
            Part::Cut(c) => {
                cuts.push(*c);
                shape.push(c.count);
            }
            Part::At(i) => cuts.push(Cut::one(*i)),
            Part::New => shape.push(1),
            Part::Gap | Part::Rows { .. } => {}
        }
    }
    IndexPlan { window: Some(Window::Region { cuts, shape: shape.clone() }), rows: None, shape }
}

/// The plan with arrays: ints count as 0-d arrays. The broadcast axes of the arrays replace the arrays if these are adjacent, else they
/// come first.
fn mixed(op: &str, shape: &[usize], parts: &[Part]) -> Result<IndexPlan> {
    let is_array = |p: &Part| matches!(p, Part::Rows { .. } | Part::At(_));
    let first = parts.iter().position(is_array).unwrap_or(0);
    let last = parts.iter().rposition(is_array).unwrap_or(0);
    let together = parts[first..=last].iter().all(is_array);

    let (mut cuts, mut kept, mut axes) = (SmallVec::<[Cut; 4]>::new(), Shape::new(), SmallVec::<[usize; 4]>::new());
    let (mut out, mut place, mut out_place, mut axis) = (Shape::new(), 0, 0, 0);
    for (i, part) in parts.iter().enumerate() {
        if together && i == first {
            (place, out_place) = (axis - axes.len(), out.len());
        }
        match part {
            Part::Cut(c) => {
                cuts.push(*c);
                kept.push(c.count);
                out.push(c.count);
            }
            Part::New => out.push(1),
            part => {
                let indexed = &shape[axis..axis + part.axes()];
                cuts.extend(indexed.iter().map(|&n| Cut::whole(n)));
                kept.extend_from_slice(indexed);
                axes.extend(axis..axis + part.axes());
            }
        }
        axis += part.axes();
    }
    let rows = row_numbers(op, shape, parts)?;
    for (i, &n) in rows.shape().iter().enumerate() {
        out.insert(out_place + i, n);
    }
    let whole = cuts.iter().zip(shape).all(|(c, &n)| *c == Cut::whole(n));
    let window = if whole { None } else { Some(Window::Region { cuts, shape: kept.clone() }) };
    Ok(IndexPlan { window, rows: Some((Places { shape: kept, axes, place }, rows)), shape: out })
}

/// The arrays of an index, broadcast together, as row numbers.
fn row_numbers(op: &str, shape: &[usize], parts: &[Part]) -> Result<Variable> {
    let arrays: Vec<&Variable> = parts.iter().filter_map(|p| if let Part::Rows { rows, .. } = p { Some(rows) } else { None }).collect();
    let mut common = Shape::new();
    for a in &arrays {
        common = broadcast_shapes(&common, a.shape()).ok_or_else(|| {
            let all: Vec<String> = arrays.iter().map(|a| show_shape(a.shape())).collect();
            Error::Index(format!("{op}: shape mismatch: indexing arrays could not be broadcast together with shapes {}", all.join(" ")))
        })?;
    }
    if let [one] = arrays[..]
        && !parts.iter().any(|p| matches!(p, Part::At(_)))
    {
        return Ok(one.clone());
    }
    if arrays.iter().any(|a| a.is_lifted()) || capture::is_on() {
        return mapped_row_numbers(shape, parts, &common);
    }
    check_memory(op, &common, DType::I64)?;
    let mut numbers = alloc_check::filled(0_i64, size_of(&common));
    let mut axis = 0;
    for part in parts {
        let size: usize = shape[axis..axis + part.axes()].iter().product();
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        axis += part.axes();
        match part {
            Part::At(i) => numbers.iter_mut().for_each(|n| *n = *n * size + i64::try_from(*i).unwrap_or_default()),
            Part::Rows { rows, .. } => {
                let rows = rows.array().broadcast_to(op, &common)?.to_vec::<i64>();
                numbers.iter_mut().zip(rows).for_each(|(n, r)| *n = *n * size + r);
            }
            Part::Cut(_) | Part::New | Part::Gap => {}
        }
    }
    Ok(Array::from_slice(&numbers, &common).into())
}

/// [`row_numbers`] inside `vmap`, where indices may differ between samples.
fn mapped_row_numbers(shape: &[usize], parts: &[Part], common: &[usize]) -> Result<Variable> {
    let mut numbers: Variable = Array::zeros(common, DType::I64).into();
    let mut axis = 0;
    for part in parts {
        let size = shape[axis..axis + part.axes()].iter().fold(1_i64, |n, &m| n.saturating_mul(i64::try_from(m).unwrap_or(i64::MAX)));
        axis += part.axes();
        let at = match part {
            Part::At(i) => Operand::from(i64::try_from(*i).unwrap_or_default()),
            Part::Rows { rows, .. } => rows.into(),
            Part::Cut(_) | Part::New | Part::Gap => continue,
        };
        numbers = super::add(&super::multiply(&numbers, size)?, at)?;
    }
    Ok(numbers)
}

/// The mask, if the only item is a mask whose true positions are unknown, so that a write uses `where`: it differs between the samples of
/// `vmap`, or a program computes it anew in each call and one number is written.
fn unknown_mask<'a>(shape: &[usize], items: &'a [IndexItem], value: &Operand<'_>) -> Option<&'a Variable> {
    let [IndexItem::Array(mask)] = items else { return None };
    let is_number = || match value {
        Operand::Scalar(_) => true,
        // The gradient of a tracked number is a sum, whose order would differ.
        Operand::Variable(v) => v.ndim() == 0 && !v.is_tracked(),
    };
    let is_computed = || mask.ndim() > 0 && shape.starts_with(mask.shape()) && is_number() && capture::is_seen(mask.array());
    (mask.dtype() == DType::Bool && (mask.is_lifted() || (capture::is_on() && is_computed()))).then_some(mask)
}

/// `x[items]`: a view if there are only ints, slices, ellipses and new axes, else a copy.
///
/// # Errors
/// `Index` when an index is out of bounds, an array is not of integers or bools, or a mask has another shape.
pub fn get_item(x: &Variable, items: &[IndexItem]) -> Result<Variable> {
    let plan = plan("getitem", x.shape(), items)?;
    let mut out = match plan.window {
        Some(window) => view(&window::GETITEM, x, &window)?,
        None => x.clone(),
    };
    if let Some((places, rows)) = plan.rows {
        out = gather(&gather::GETITEM, &out, &places, &rows)?;
    }
    reshape_to(&out, &plan.shape)
}

/// `x` after `x[items] = value`: a new value, with gradients for both. The dtype is kept, and `value` broadcasts.
///
/// # Errors
/// As [`get_item`], `Shape` when `value` does not broadcast to the selected part, and `Overflow` for a number that the dtype cannot hold.
pub fn set_item<'a>(x: &Variable, items: &[IndexItem], value: impl Into<Operand<'a>>) -> Result<Variable> {
    assign_item(x.clone(), items, value)
}

/// [`set_item`] for an owned `x`: overwritten in place if its storage is unshared.
///
/// # Errors
/// As [`set_item`].
pub fn assign_item<'a>(x: Variable, items: &[IndexItem], value: impl Into<Operand<'a>>) -> Result<Variable> {
    let value = value.into();
    if let Some(mask) = unknown_mask(x.shape(), items, &value) {
        let value = assigned(value, x.dtype(), &x.shape()[mask.ndim().min(x.ndim())..], false)?;
        let trailing: Vec<isize> = (0..x.ndim().saturating_sub(mask.ndim())).map(|_| -1).collect();
        let wide = trailing.iter().try_fold(mask.clone(), |m, &a| super::expand_dims(&m, &[a]))?;
        return super::where_(&wide, &value, &x);
    }
    let plan = plan("setitem", x.shape(), items)?;
    let value = assigned(value, x.dtype(), &plan.shape, plan.rows.is_some())?;
    let Some((places, rows)) = plan.rows else {
        return match plan.window {
            Some(window) => replace(x, &window, &value),
            None => Ok(x),
        };
    };
    let shape = places.out_shape(rows.shape());
    let value = if shape == plan.shape { value } else { reshape_to(&broadcast_to(&value, &plan.shape)?, &shape)? };
    match plan.window {
        None => gather::put(x, &places, &rows, &value),
        Some(window) => {
            let part = view(&window::GETITEM, &x, &window)?;
            let part = gather::put(part, &places, &rows, &value)?;
            replace(x, &window, &part)
        }
    }
}

/// The value to assign to a part of `shape`, in the dtype of the target.
///
/// # Errors
/// `Shape` when it does not broadcast to that part, `Overflow` for a number that the dtype cannot hold.
pub fn assigned(value: Operand<'_>, dtype: DType, shape: &[usize], advanced: bool) -> Result<Variable> {
    match value {
        Operand::Scalar(s) => {
            s.check("setitem", dtype)?;
            Ok(Array::full(&[], s, dtype).into())
        }
        Operand::Variable(v) => fit_value(v, dtype, shape, advanced),
    }
}

/// The part that an item assignment writes. All checks were made.
pub struct Assignment(Place);

enum Place {
    /// Ints, slices, new axes.
    Window(Window),
    /// Index arrays and masks, without other items.
    Rows(Places, Variable),
}

impl Assignment {
    /// `items` of an array of `shape` and `dtype`, and `value` in the form in which it is written. `None` when index arrays are combined
    /// with slices: [`set_item`] does that in steps.
    ///
    /// # Errors
    /// As [`set_item`].
    pub fn new(shape: &[usize], dtype: DType, items: &[IndexItem], value: Operand<'_>) -> Result<Option<(Self, Variable)>> {
        if unknown_mask(shape, items, &value).is_some() {
            return Ok(None);
        }
        let plan = plan("setitem", shape, items)?;
        let value = assigned(value, dtype, &plan.shape, plan.rows.is_some())?;
        Ok(match (plan.window, plan.rows) {
            (Some(window), None) => Some((Self(Place::Window(window)), value)),
            (None, Some((places, rows))) => {
                let shape = places.out_shape(rows.shape());
                let value = if shape == plan.shape { value } else { reshape_to(&broadcast_to(&value, &plan.shape)?, &shape)? };
                let rows = gather::rows_to_write(&rows, &value)?;
                Some((Self(Place::Rows(places, rows)), value))
            }
            _ => None,
        })
    }

    /// Whether the indices are inside a transformation.
    pub(super) fn is_lifted(&self) -> bool {
        matches!(&self.0, Place::Rows(_, rows) if rows.is_lifted())
    }

    /// Writes `value` to `array`.
    pub(super) fn write(&self, array: &mut Array, value: &Array) {
        match &self.0 {
            Place::Window(window) => window.put(array, value),
            Place::Rows(places, rows) => crate::kernel::gather::put(array, places, rows.array(), value),
        }
    }

    /// `x` with `value` written, as a new value.
    pub(super) fn apply(&self, x: Variable, value: &Variable) -> Result<Variable> {
        match &self.0 {
            Place::Window(window) => window::replace(x, window, value),
            Place::Rows(places, rows) => gather::put_at(x, places, rows, value),
        }
    }

    /// Records that `value` was written.
    pub(super) fn record(&self, old: &Variable, value: &Variable, out: Array) -> Result<Recorded> {
        match &self.0 {
            Place::Window(window) => window::record_replace(window, old, value, out),
            Place::Rows(places, rows) => gather::record_put(places, rows, old, value, out),
        }
    }
}

/// The window of ints, slices, ellipses and new axes; `None` if there are arrays among the items.
///
/// # Errors
/// As [`get_item`].
pub fn window_of(shape: &[usize], items: &[IndexItem]) -> Result<Option<Window>> {
    if items.iter().any(|item| matches!(item, IndexItem::Array(_))) {
        return Ok(None);
    }
    Ok(plan("setitem", shape, items)?.window)
}

/// Whether items select one element: exactly one int per axis.
#[must_use]
pub fn is_element(items: &[IndexItem], ndim: usize) -> bool {
    items.len() == ndim && items.iter().all(|item| matches!(item, IndexItem::Int(_)))
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        moves: true,
        name: "getitem",
        work: work::index,
        doc: "x[key] in all of NumPy's forms: ints, slices with any step, ..., None, integer arrays, masks, and mixes of them. A view unless arrays are used; bounds are always checked.\n\n>>> tg.Variable([1.0, 2.0, 3.0])[::-2]\nVariable([3., 1.])\n",
        params: &[Param::array("x"), Param::new("key", Kind::Index)],
        call: |a| Ok(get_item(&a.variable(0)?, a.index(1)?)?.into()),
        gradient: Gradient::Rule("zeros with g added at the key"),
        linear: true,
        views: Views::Writable,
        function: false,
        method: false,
        samples: samples::get,
        ..Entry::BASE
    },
    Entry {
        moves: true,
        name: "setitem",
        work: work::index,
        doc: "x[key] = value in all of NumPy's forms, as a new value: other holders of the old one keep it. Gradients flow to value and, where it is not overwritten, to x.\n\n>>> x = tg.Variable([1.0, 2.0, 3.0])\n>>> x[1:] = 0.0\n>>> x\nVariable([1., 0., 0.])\n",
        params: &[Param::array("x"), Param::new("key", Kind::Index), Param::array("value")],
        call: |a| Ok(set_item(&a.variable(0)?, a.index(1)?, a.operand(2)?)?.into()),
        gradient: Gradient::Rule("g with zeros at the key, g[key]"),
        linear: true,
        function: false,
        method: false,
        samples: samples::set,
        ..Entry::BASE
    },
];

mod samples {
    //! Keys of every kind.

    use super::IndexItem::{self, Array, Ellipsis, Int, NewAxis, Slice};
    use crate::ops::registry::{Arg, Sample};
    use crate::ops::samples::{Draw, REAL, call_with, indices};
    use crate::tape::Variable;

    const ALL: IndexItem = Slice(None, None, None);

    fn mask(values: &[bool], shape: &[usize]) -> IndexItem {
        Array(Variable::from(crate::array::Array::from_slice(values, shape)))
    }

    fn at(values: &[i64]) -> IndexItem {
        Array(indices(values, &[values.len()]))
    }

    fn keys() -> Vec<(&'static [usize], Vec<IndexItem>)> {
        vec![
            (&[], vec![]),
            (&[], vec![Ellipsis]),
            (&[], vec![mask(&[true], &[])]),
            (&[4], vec![Int(-2)]),
            (&[5], vec![Slice(None, None, Some(-2))]),
            (&[3, 4], vec![Int(1), NewAxis, Slice(Some(1), None, Some(2))]),
            (&[2, 3, 4], vec![Ellipsis, Slice(Some(-1), Some(0), Some(-1)), NewAxis]),
            (&[2, 3], vec![Slice(Some(2), Some(1), None)]),
            (&[0, 3], vec![Slice(None, Some(5), None)]),
            (&[4], vec![at(&[0, 3, -1, 0])]),
            (&[3, 4], vec![Array(indices(&[0, 2, 2, 1], &[2, 2])), Slice(Some(1), None, Some(2))]),
            (&[2, 3, 4], vec![Int(0), ALL, at(&[3, 1])]),
            (&[2, 3, 4], vec![ALL, at(&[2, 0]), at(&[1, 1])]),
            (&[2, 3, 4], vec![at(&[1, 0]), NewAxis, Slice(None, None, Some(-1)), at(&[1, 1])]),
            (&[3, 2], vec![mask(&[true, false, false, true, true, false], &[3, 2])]),
            (&[2, 3, 2], vec![ALL, mask(&[true, false, true], &[3]), Int(-1)]),
            (&[3], vec![mask(&[false; 3], &[3])]),
            (&[3, 0], vec![at(&[2, 0])]),
        ]
    }

    pub(super) fn get() -> Vec<Sample> {
        let draw = &mut Draw::new(91);
        keys().into_iter().map(|(shape, key)| call_with(REAL.strided(draw, shape), [Arg::Index(key)])).collect()
    }

    pub(super) fn set() -> Vec<Sample> {
        let draw = &mut Draw::new(92);
        let mut out = Vec::new();
        for (shape, key) in keys() {
            let x = REAL.strided(draw, shape);
            let Ok(part) = super::get_item(&x, &key) else { continue };
            out.push(call_with(x.clone(), [Arg::Index(key.clone()), Arg::Variable(REAL.strided(draw, part.shape()))]));
            out.push(call_with(x, [Arg::Index(key), Arg::Variable(REAL.array(draw, &[1; 5]))]));
        }
        out
    }
}
