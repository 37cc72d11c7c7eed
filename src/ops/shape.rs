//! Shapes: casts, reshapes, axes of size one, broadcasts.

use super::registry::{Arg, Args, Entry, Gradient, Kind, Param, Sample, Value, Views};
use super::samples::{Draw, REAL, call_with, ints};
use crate::array::{Array, DType, Scalar, Shape, alloc_check, broadcast_shapes, normalize_axis};
use crate::error::{Error, Result, show_shape};
use crate::tape::accumulate::{RESHAPE, RESHAPING, ToShape};
use crate::tape::{Primitive, Variable, accumulate, apply, is_recording};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&EXPAND_DIMS, &SQUEEZE];

static EXPAND_DIMS: Primitive = Primitive { name: "expand_dims", ..RESHAPING };
static SQUEEZE: Primitive = Primitive { name: "squeeze", ..RESHAPING };

/// `x` in another dtype; `x` itself if it has that dtype.
///
/// # Errors
/// `DType` for complex to a real dtype other than bool.
pub fn astype(x: &Variable, dtype: DType) -> Result<Variable> {
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    if x.dtype().is_complex() && !dtype.is_complex() && dtype != DType::Bool {
        return Err(Error::DType(format!(
            "astype: {} to {dtype} would drop the imaginary parts; take .real, .imag or abs() first, or a complex dtype",
            x.dtype()
        )));
    }
    accumulate::cast(x, dtype)
}

/// [`astype`] for a value that is stored in an array of `dtype`. The user has not asked for that dtype, so it must be able to carry
/// gradients.
///
/// # Errors
/// `Grad` when `x` requires gradients and `dtype` is neither floating nor complex.
pub(crate) fn stored_as(op: &str, x: &Variable, dtype: DType) -> Result<Variable> {
    if x.is_tracked() && !dtype.is_inexact() && is_recording() {
        return Err(Error::Grad(format!(
            "{op}: an array of {dtype} cannot hold a value that requires gradients; detach() the value, or make the array floating or complex"
        )));
    }
    astype(x, dtype)
}

/// [`astype`] without cloning the handle: a converted value is stored in `at`.
pub(crate) fn in_dtype<'a>(x: &'a Variable, dtype: DType, at: &'a mut Option<Variable>) -> Result<&'a Variable> {
    if x.dtype() == dtype { Ok(x) } else { Ok(at.insert(astype(x, dtype)?)) }
}

/// A 0-d array of a number.
#[must_use]
pub fn scalar(value: impl Into<Scalar>, dtype: DType) -> Variable {
    Array::full(&[], value.into(), dtype).into()
}

/// Axes counted from the front, in the order given.
///
/// # Errors
/// `Axis` when one is out of range or named twice.
pub(crate) fn distinct_axes(op: &str, axes: &[isize], ndim: usize) -> Result<Shape> {
    let mut out = Shape::new();
    for &a in axes {
        let axis = normalize_axis(op, a, ndim)?;
        if out.contains(&axis) {
            return Err(Error::Axis(format!("{op}: axis {a} is named twice")));
        }
        out.push(axis);
    }
    Ok(out)
}

pub(super) use crate::tape::accumulate::reshape as reshape_to;

fn shaped(op: &'static Primitive, x: &Variable, shape: &[usize]) -> Result<Variable> {
    apply(op, &[x.into()], &ToShape { shape: Shape::from_slice(shape) })
}

/// The elements in row-major order with another shape: a view if strides allow it. One size may be -1, and is then inferred.
///
/// # Errors
/// `Shape` when the sizes do not fit.
pub fn reshape(x: &Variable, shape: &[isize]) -> Result<Variable> {
    let size = x.array().size();
    let known: Option<usize> = shape.iter().filter(|&&n| n != -1).try_fold(1_usize, |p, &n| p.checked_mul(usize::try_from(n).ok()?));
    let fail = |why: &str| {
        let to: Vec<String> = shape.iter().map(ToString::to_string).collect();
        let comma = if shape.len() == 1 { "," } else { "" };
        let to = format!("({}{comma})", to.join(", "));
        Error::Shape(format!("reshape: cannot reshape {} ({size} elements) to {to}{why}", show_shape(x.shape())))
    };
    let unknown = shape.iter().filter(|&&n| n == -1).count();
    let known = known.ok_or_else(|| fail(": sizes must not be negative, but for one -1"))?;
    let rest = match unknown {
        0 if known == size => 0,
        1 if known > 0 && size.is_multiple_of(known) => size / known,
        0 => return Err(fail(&format!(" ({known} elements)"))),
        1 => return Err(fail(": the -1 cannot be worked out")),
        _ => return Err(fail(": only one size can be -1")),
    };
    let shape: Shape = shape.iter().map(|&n| usize::try_from(n).unwrap_or(rest)).collect();
    shaped(&RESHAPE, x, &shape)
}

/// The elements in row-major order, as a 1-d array.
///
/// # Errors
/// Those of recording.
pub fn flatten(x: &Variable) -> Result<Variable> {
    shaped(&RESHAPE, x, &[x.array().size()])
}

/// Merges the axes from `start` to `end`, both included.
///
/// # Errors
/// `Axis` when one is out of range, or `end` comes before `start`.
pub fn flatten_dims(x: &Variable, start: isize, end: isize) -> Result<Variable> {
    let (shape, ndim) = (x.shape(), x.ndim().max(1));
    let (first, last) = (normalize_axis("flatten", start, ndim)?, normalize_axis("flatten", end, ndim)?);
    if first > last {
        return Err(Error::Axis(format!("flatten: end_dim={end} comes before start_dim={start} in {} dimensions", x.ndim())));
    }
    if first == 0 && last + 1 == ndim {
        return flatten(x);
    }
    let joined = shape[first..=last].iter().product();
    let to: Shape = shape[..first].iter().copied().chain([joined]).chain(shape[last + 1..].iter().copied()).collect();
    shaped(&RESHAPE, x, &to)
}

/// Inserts axes of size one at the given positions of the result.
///
/// # Errors
/// `Axis` when a position is out of range or named twice.
pub fn expand_dims(x: &Variable, axes: &[isize]) -> Result<Variable> {
    let ndim = x.ndim() + axes.len();
    let axes = distinct_axes("expand_dims", axes, ndim)?;
    let mut old = x.shape().iter();
    let shape: Shape = (0..ndim).map(|i| if axes.contains(&i) { 1 } else { old.next().copied().unwrap_or(1) }).collect();
    shaped(&EXPAND_DIMS, x, &shape)
}

/// Removes axes of size one: the given ones, or all.
///
/// # Errors
/// `Shape` when a given axis is longer, `Axis` when it is out of range.
pub fn squeeze(x: &Variable, axes: Option<&[isize]>) -> Result<Variable> {
    let axes = match axes {
        None => (0..x.ndim()).filter(|&a| x.shape()[a] == 1).collect(),
        Some(axes) => distinct_axes("squeeze", axes, x.ndim())?,
    };
    if let Some(&a) = axes.iter().find(|&&a| x.shape()[a] != 1) {
        return Err(Error::Shape(format!(
            "squeeze: axis {a} of shape {} has size {}, only axes of size 1 can be removed",
            show_shape(x.shape()),
            x.shape()[a]
        )));
    }
    let shape: Shape = (0..x.ndim()).filter(|a| !axes.contains(a)).map(|a| x.shape()[a]).collect();
    shaped(&SQUEEZE, x, &shape)
}

/// `x` broadcast to `shape`, as a view.
///
/// # Errors
/// `Shape` when `x` does not broadcast to `shape`, `Value` when no array can be that large.
pub fn broadcast_to(x: &Variable, shape: &[usize]) -> Result<Variable> {
    // A view takes no memory, but its number of elements must not overflow.
    let size = shape.iter().try_fold(x.dtype().size(), |size, &n| size.checked_mul(n.max(1)));
    if size.is_none_or(|bytes| isize::try_from(bytes).is_err()) {
        return Err(Error::Value(format!("broadcast_to: an array of shape {} is too large", show_shape(shape))));
    }
    accumulate::broadcast_to(x, shape)
}

/// Broadcasts all arrays to their common shape, as views.
///
/// # Errors
/// `Shape` when they do not broadcast.
pub fn broadcast_arrays(arrays: &[Variable]) -> Result<Vec<Variable>> {
    let mut shape = Shape::new();
    for x in arrays {
        shape = broadcast_shapes(&shape, x.shape()).ok_or_else(|| Error::broadcast("broadcast_arrays", &shape, x.shape()))?;
    }
    alloc_check::try_collect(arrays.iter().map(|x| broadcast_to(x, &shape)))
}

/// Adds axes until there are `ndim`, where NumPy's `atleast_1d`, `2d` and `3d` add them.
fn at_least(x: &Variable, ndim: usize) -> Result<Variable> {
    let shape: &[usize] = match (ndim, x.shape()) {
        (_, s) if s.len() >= ndim => return Ok(x.clone()),
        (1, _) => &[1],
        (2, []) => &[1, 1],
        (2, s) => &[1, s[0]],
        (_, []) => &[1, 1, 1],
        (_, [n]) => &[1, *n, 1],
        (_, s) => &[s[0], s[1], 1],
    };
    reshape_to(x, shape)
}

/// `x` with at least one axis.
///
/// # Errors
/// Those of recording.
pub fn atleast_1d(x: &Variable) -> Result<Variable> {
    at_least(x, 1)
}

/// `x` with at least two axes: a row.
///
/// # Errors
/// Those of recording.
pub fn atleast_2d(x: &Variable) -> Result<Variable> {
    at_least(x, 2)
}

/// `x` with at least three axes.
///
/// # Errors
/// Those of recording.
pub fn atleast_3d(x: &Variable) -> Result<Variable> {
    at_least(x, 3)
}

/// Fields that the functions that add missing axes share.
const AT_LEAST: Entry = Entry {
    params: &[Param::array("x")],
    gradient: Gradient::Composite("reshape(g, x.shape)"),
    linear: true,
    views: Views::Writable,
    method: false,
    samples: || plain(&[]),
    ..Entry::BASE
};

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        moves: true,
        name: "astype",
        doc: "x in another dtype. A gradient comes back in the dtype of x, a complex one to a real x as its real part; integers and bools\nhave none. Complex numbers become real ones by .real or abs() only. With copy=False an x of that dtype is returned as it is.\n\n>>> tg.astype(tg.Variable([1.7, -1.7]), \"int64\")\nVariable([ 1, -1])\n",
        params: &[Param::array("x"), Param::new("dtype", Kind::DType), Param::flag("copy", true).named(), Param::device()],
        call: call_astype,
        gradient: Gradient::Rule("g.astype(x.dtype)"),
        linear: true,
        // A value never changes, so sharing memory with x is equivalent to a copy.
        samples: || plain(&[Arg::DType(DType::F64), Arg::Bool(true)]),
        ..Entry::BASE
    },
    Entry {
        name: "reshape",
        doc: "The elements in row-major order with another shape; one size may be -1. A view where strides allow it.\n\nThe order 'F' reads and writes in column-major order. With copy=True the result is never a view, with copy=False always, or an error.\n\n>>> tg.reshape(tg.Variable([1.0, 2.0, 3.0, 4.0]), (2, -1))\nVariable([[1., 2.],\n          [3., 4.]])\n",
        params: &[
            Param::array("x"),
            Param::new("shape", Kind::Ints),
            ORDER.named(),
            Param::new("copy", Kind::Bool).or(super::registry::Default::None).named(),
        ],
        call: call_reshape,
        gradient: Gradient::Rule("reshape(g, x.shape)"),
        linear: true,
        views: Views::Writable,
        samples: reshape_samples,
        ..Entry::BASE
    },
    Entry {
        name: "flatten",
        doc: "A copy of the elements in one axis, in row-major order; in column-major order for the order 'F'. With start_dim and end_dim one axis in place of those from the first to the last of them. The first argument may be the order, as in NumPy.\n\n>>> tg.flatten(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), 'F')\nVariable([1., 3., 2., 4.])\n>>> tg.flatten(tg.zeros((2, 3, 4)), 1).shape\n(2, 12)\n",
        params: &[
            Param::array("x"),
            Param::new("start_dim", Kind::Padding).or(super::registry::Default::Int(0)),
            Param::new("end_dim", Kind::Int).or(super::registry::Default::Int(-1)),
            ORDER.named(),
        ],
        call: call_flatten,
        gradient: Gradient::Rule("reshape(g, x.shape)"),
        linear: true,
        samples: flatten_samples,
        ..Entry::BASE
    },
    Entry {
        name: "ravel",
        doc: "The elements in one axis, in row-major order ('C', 'A', 'K') or column-major ('F'). A view where strides allow it; flatten copies.\n\n>>> tg.ravel(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\nVariable([1., 2., 3., 4.])\n",
        params: &[Param::array("x"), Param::new("order", Kind::Text).or(super::registry::Default::Text("C"))],
        call: call_ravel,
        gradient: Gradient::Rule("reshape(g, x.shape)"),
        linear: true,
        views: Views::Writable,
        samples: || ["C", "F"].iter().flat_map(|order| plain(&[Arg::Text((*order).to_owned())])).collect(),
        ..Entry::BASE
    },
    Entry {
        name: "expand_dims",
        aliases: &["unsqueeze"],
        doc: "x with new axes of size one at the given places of the result; a view.\n\n>>> tg.expand_dims(tg.Variable([1.0, 2.0]), 0)\nVariable([[1., 2.]])\n",
        params: &[Param::array("x"), Param { alias: Some("dim"), ..Param::new("axis", Kind::Ints) }],
        call: |a| Ok(expand_dims(&a.variable(0)?, a.ints(1)?)?.into()),
        gradient: Gradient::Rule("squeeze(g, axis)"),
        linear: true,
        views: Views::Writable,
        samples: || [&[0][..], &[-1], &[0, 2], &[-1, 0], &[]].into_iter().flat_map(|axes| plain(&[ints(axes)])).filter(valid_expand).collect(),
        ..Entry::BASE
    },
    Entry {
        name: "squeeze",
        doc: "x without axes of size one: the given ones, or all; a view.\n\n>>> tg.squeeze(tg.Variable([[1.0, 2.0]]))\nVariable([1., 2.])\n",
        params: &[Param::array("x"), Param::axes()],
        call: |a| Ok(squeeze(&a.variable(0)?, a.axes(1)?)?.into()),
        gradient: Gradient::Rule("reshape(g, x.shape)"),
        linear: true,
        views: Views::Writable,
        samples: squeeze_samples,
        ..Entry::BASE
    },
    Entry {
        name: "broadcast_to",
        doc: "x stretched to a shape, as a view: nothing is copied.\n\n>>> tg.broadcast_to(tg.Variable([1.0, 2.0]), (2, 2))\nVariable([[1., 2.],\n          [1., 2.]])\n",
        params: &[Param::array("x"), Param::new("shape", Kind::Ints)],
        call: call_broadcast_to,
        gradient: Gradient::Rule("g, summed down to x.shape"),
        linear: true,
        views: Views::ReadOnly,
        samples: broadcast_samples,
        ..Entry::BASE
    },
    Entry {
        name: "broadcast_arrays",
        doc: "All arrays stretched to their common shape, as views.\n\n>>> tg.broadcast_arrays([tg.Variable([1.0, 2.0]), tg.Variable([[3.0]])])\n(Variable([[1., 2.]]), Variable([[3., 3.]]))\n",
        params: &[Param::new("arrays", Kind::Each)],
        call: |a| Ok(broadcast_arrays(a.variables(0)?)?.into()),
        gradient: Gradient::Composite("g, summed down to the shape of each"),
        linear: true,
        views: Views::ReadOnly,
        method: false,
        samples: broadcast_arrays_samples,
        ..Entry::BASE
    },
    Entry {
        name: "atleast_1d",
        doc: "x with at least one axis.\n\n>>> tg.atleast_1d(tg.Variable(3.0))\nVariable([3.])\n",
        call: |a| Ok(atleast_1d(&a.variable(0)?)?.into()),
        ..AT_LEAST
    },
    Entry {
        name: "atleast_2d",
        doc: "x with at least two axes; a 1-d array is a row.\n\n>>> tg.atleast_2d(tg.Variable([1.0, 2.0]))\nVariable([[1., 2.]])\n",
        call: |a| Ok(atleast_2d(&a.variable(0)?)?.into()),
        ..AT_LEAST
    },
    Entry {
        name: "atleast_3d",
        doc: "x with at least three axes; a 1-d array is the middle one.\n\n>>> tg.atleast_3d(tg.Variable([1.0, 2.0])).shape\n(1, 2, 1)\n",
        call: |a| Ok(atleast_3d(&a.variable(0)?)?.into()),
        ..AT_LEAST
    },
];

/// NumPy's `order`: 'C' and 'A' are row-major, 'F' is column-major.
const ORDER: Param = Param { choices: &["C", "F", "A", "K"], ..Param::new("order", Kind::Text).or(super::registry::Default::None) };

fn is_columns(a: &Args<'_>, i: usize) -> Result<bool> {
    Ok(!a.is_none(i) && a.text(i)? == "F")
}

fn call_flatten(a: &Args<'_>) -> Result<Value> {
    let (x, end) = (a.variable(0)?, a.axis(2)?);
    let (start, by_columns) = match a.text(1) {
        Ok(order) if ORDER.choices.contains(&order) => (0, order == "F"),
        Ok(order) => return Err(Error::Value(format!("flatten: start_dim is {order:?}, expected an axis or one of the orders {:?}", ORDER.choices))),
        Err(_) => match a.int_list(1)?[..] {
            [start] => (start, is_columns(a, 3)?),
            _ => return Err(Error::Value("flatten: start_dim must be one axis".to_owned())),
        },
    };
    if !by_columns {
        return Ok(flatten_dims(&x, start, end)?.into());
    }
    if (start, end) != (0, -1) {
        return Err(Error::Value(format!("flatten: the order 'F' is for all axes, got start_dim={start}, end_dim={end}")));
    }
    Ok(flatten(&super::transpose(&x, None)?)?.into())
}

fn call_reshape(a: &Args<'_>) -> Result<Value> {
    let (x, shape) = (a.variable(0)?, a.ints(1)?);
    let out = if is_columns(a, 2)? { reshape_columns(&x, shape)? } else { reshape(&x, shape)? };
    if a.is_none(3) {
        return Ok(out.into());
    }
    let shared = out.array().storage().as_ptr() == x.array().storage().as_ptr();
    match a.flag(3)? {
        true if shared => Ok(super::positive(&out)?.into()),
        false if !shared && x.array().size() > 0 => Err(Error::Value(format!(
            "reshape: copy=False, but the elements of shape {} cannot be seen in the shape {} without a copy; leave copy out",
            show_shape(x.shape()),
            show_shape(out.shape())
        ))),
        _ => Ok(out.into()),
    }
}

/// Reshapes in column-major order.
fn reshape_columns(x: &Variable, shape: &[isize]) -> Result<Variable> {
    let turned: Vec<isize> = shape.iter().rev().copied().collect();
    super::transpose(&reshape(&super::transpose(x, None)?, &turned)?, None)
}

fn call_ravel(a: &Args<'_>) -> Result<Value> {
    match a.text(1)? {
        "C" | "A" | "K" => Ok(flatten(&a.variable(0)?)?.into()),
        "F" => Ok(flatten(&super::transpose(&a.variable(0)?, None)?)?.into()),
        other => Err(Error::Value(format!("ravel: order is '{other}', expected 'C', 'F', 'A' or 'K'"))),
    }
}

fn call_astype(a: &Args<'_>) -> Result<Value> {
    let dtype = a.dtype(1)?.ok_or_else(|| Error::Type("astype: a dtype must be given".to_owned()))?;
    Ok(astype(&a.variable(0)?, dtype)?.into())
}

fn call_broadcast_to(a: &Args<'_>) -> Result<Value> {
    let size = |&n: &isize| usize::try_from(n).map_err(|_| Error::Value(format!("broadcast_to: sizes must not be negative, got {n}")));
    let shape: Shape = a.ints(1)?.iter().map(size).collect::<Result<_>>()?;
    Ok(broadcast_to(&a.variable(0)?, &shape)?.into())
}

/// Arrays of several shapes and layouts, each with the same other arguments.
pub(super) fn plain(rest: &[Arg]) -> Vec<Sample> {
    let draw = &mut Draw::new(31);
    let x = [REAL.array(draw, &[]), REAL.array(draw, &[4]), REAL.strided(draw, &[3, 4]), REAL.array(draw, &[2, 0]), REAL.strided(draw, &[2, 1, 3])];
    x.into_iter().map(|x| call_with(x, rest.to_vec())).collect()
}

fn valid_expand(s: &Sample) -> bool {
    matches!(&s.args[..], [Arg::Variable(x), Arg::Ints(axes)] if axes.iter().all(|&a| a < (x.ndim() + axes.len()).cast_signed()))
}

fn flatten_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(41);
    let mut samples = [plain(&[Arg::Int(0), Arg::Int(-1), Arg::None]), plain(&[Arg::Text("F".to_owned()), Arg::Int(-1), Arg::None])].concat();
    samples.extend(
        [(1, -1), (0, 1), (-2, 2), (1, 1)].map(|(from, to)| call_with(REAL.strided(draw, &[2, 3, 2]), [Arg::Int(from), Arg::Int(to), Arg::None])),
    );
    samples
}

fn reshape_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(32);
    let cases: [(&[usize], &[isize]); 6] =
        [(&[], &[1, 1]), (&[6], &[2, -1]), (&[2, 3, 2], &[-1]), (&[2, 3, 2], &[3, 4]), (&[0, 3], &[3, 0]), (&[1], &[])];
    cases
        .into_iter()
        .flat_map(|(from, to)| {
            let rest = |order: Arg| [ints(to), order, Arg::None];
            [call_with(REAL.array(draw, from), rest(Arg::None)), call_with(REAL.strided(draw, from), rest(Arg::Text("F".to_owned())))]
        })
        .collect()
}

fn squeeze_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(33);
    let cases: [(&[usize], Arg); 6] = [
        (&[], Arg::None),
        (&[1, 3, 1], Arg::None),
        (&[1, 3, 1], ints(&[0])),
        (&[1, 3, 1], ints(&[-1, 0])),
        (&[1, 0], ints(&[0])),
        (&[2, 3], ints(&[])),
    ];
    cases.into_iter().map(|(shape, axes)| call_with(REAL.strided(draw, shape), [axes])).collect()
}

fn broadcast_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(34);
    let cases: [(&[usize], &[isize]); 6] = [(&[], &[2, 3]), (&[3], &[2, 3]), (&[2, 1], &[4, 2, 3]), (&[1], &[0]), (&[2, 3], &[2, 3]), (&[], &[])];
    cases.into_iter().map(|(from, to)| call_with(REAL.strided(draw, from), [ints(to)])).collect()
}

fn broadcast_arrays_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(35);
    let cases: [&[&[usize]]; 4] = [&[&[2, 1], &[3], &[]], &[&[2, 3]], &[&[1, 0], &[4, 1]], &[&[], &[]]];
    cases.into_iter().map(|c| Sample { args: vec![Arg::Variables(c.iter().map(|s| REAL.strided(draw, s)).collect())] }).collect()
}
