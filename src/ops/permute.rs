//! Permuting and reversing axes: always views.

use smallvec::{SmallVec, smallvec};

use super::reduction::{Axes, OverAxes, batch_over_axes};
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value, Views};
use super::samples::{Draw, REAL, call_with, ints};
use super::shape::{distinct_axes, plain};
use crate::array::{Layout, normalize_axis};
use crate::error::{Error, Result, show_shape};
use crate::tape::{Batch, Jvp, Primitive, Variable, Vjp, VjpContext, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&PERMUTE, &FLIP];

static PERMUTE: Primitive = Primitive {
    is_view: true,
    name: "permute_dims",
    eval: |call| {
        let x = call.array(0);
        call.give(x.with_layout(x.layout().permute(&call.attrs::<OverAxes>().axes)));
        Ok(())
    },
    vjp: Vjp::Rule(permute_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(|ctx| {
        let axes = std::iter::once(0).chain(ctx.attrs::<OverAxes>().axes.iter().map(|a| a + 1)).collect();
        Ok(smallvec![apply(&PERMUTE, ctx.inputs, &OverAxes { axes })?])
    }),
    ..Primitive::BASE
};
static FLIP: Primitive = Primitive {
    is_view: true,
    name: "flip",
    eval: |call| {
        let x = call.array(0);
        call.give(x.with_layout(reversed(x.layout(), &call.attrs::<OverAxes>().axes)));
        Ok(())
    },
    vjp: Vjp::Rule(flip_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_over_axes),
    ..Primitive::BASE
};

/// The axes of `x` in the order `axes`, a permutation.
pub(super) fn permute(x: &Variable, axes: &[usize]) -> Result<Variable> {
    apply(&PERMUTE, &[x.into()], &OverAxes { axes: axes.into() })
}

fn permute_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let axes = &ctx.attrs::<OverAxes>().axes;
    let mut back: Axes = SmallVec::from_elem(0, axes.len());
    axes.iter().enumerate().for_each(|(i, &a)| back[a] = i);
    let g = ctx.cotangent();
    ctx.add(0, permute(&g, &back)?)
}

/// The axes of `x` in the order `axes`, as a view.
///
/// # Errors
/// `Axis` unless `axes` names every axis once.
pub fn permute_dims(x: &Variable, axes: &[isize]) -> Result<Variable> {
    order("permute_dims", x, axes)
}

fn order(op: &str, x: &Variable, axes: &[isize]) -> Result<Variable> {
    let order = distinct_axes(op, axes, x.ndim())?;
    if order.len() != x.ndim() {
        return Err(Error::Axis(format!("{op}: {} axes given for an array of shape {}, expected each once", order.len(), show_shape(x.shape()))));
    }
    permute(x, &order)
}

/// The axes in the order `axes`, or in reverse order.
///
/// # Errors
/// As [`permute_dims`].
pub fn transpose(x: &Variable, axes: Option<&[isize]>) -> Result<Variable> {
    match axes {
        Some(axes) => order("transpose", x, axes),
        None => permute(x, &(0..x.ndim()).rev().collect::<Axes>()),
    }
}

/// Swaps the last two axes.
///
/// # Errors
/// `Shape` when there are fewer than two.
pub fn matrix_transpose(x: &Variable) -> Result<Variable> {
    if x.ndim() < 2 {
        return Err(Error::Shape(format!("matrix_transpose: an array of at least 2 dimensions is expected, got shape {}", show_shape(x.shape()))));
    }
    swapaxes(x, -1, -2)
}

/// Swaps two axes.
///
/// # Errors
/// `Axis` when one is out of range.
pub fn swapaxes(x: &Variable, a: isize, b: isize) -> Result<Variable> {
    let mut axes: Axes = (0..x.ndim()).collect();
    axes.swap(normalize_axis("swapaxes", a, x.ndim())?, normalize_axis("swapaxes", b, x.ndim())?);
    permute(x, &axes)
}

/// Moves the axes `source` to the positions `destination`; the other axes keep their order.
///
/// # Errors
/// `Axis` when one is out of range or named twice, `Value` when the two have different lengths.
pub fn moveaxis(x: &Variable, source: &[isize], destination: &[isize]) -> Result<Variable> {
    let from = distinct_axes("moveaxis: source", source, x.ndim())?;
    let to = distinct_axes("moveaxis: destination", destination, x.ndim())?;
    if from.len() != to.len() {
        return Err(Error::Value(format!(
            "moveaxis: source has {} axes and destination {}: they must have the same number of elements",
            from.len(),
            to.len()
        )));
    }
    let mut rest = (0..x.ndim()).filter(|a| !from.contains(a));
    let axis = |i: usize| to.iter().position(|&t| t == i).map(|k| from[k]).or_else(|| rest.next());
    let axes: Axes = (0..x.ndim()).filter_map(axis).collect();
    permute(x, &axes)
}

fn reversed(layout: &Layout, axes: &[usize]) -> Layout {
    axes.iter().fold(layout.clone(), |l, &a| {
        let n = l.shape()[a];
        l.slice(a, n.saturating_sub(1), n, -1)
    })
}

fn flip_axes(x: &Variable, axes: &[usize]) -> Result<Variable> {
    apply(&FLIP, &[x.into()], &OverAxes { axes: axes.into() })
}

fn flip_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let axes = &ctx.attrs::<OverAxes>().axes;
    let g = ctx.cotangent();
    ctx.add(0, flip_axes(&g, axes)?)
}

/// Reverses the order of elements along the given axes, or all, as a view.
///
/// # Errors
/// `Axis` when an axis is out of range or named twice.
pub fn flip(x: &Variable, axes: Option<&[isize]>) -> Result<Variable> {
    let axes = match axes {
        None => (0..x.ndim()).collect(),
        Some(axes) => distinct_axes("flip", axes, x.ndim())?,
    };
    flip_axes(x, &axes)
}

/// Reverses the order of rows.
///
/// # Errors
/// `Axis` when there is no axis.
pub fn flipud(x: &Variable) -> Result<Variable> {
    flip_axes(x, &[normalize_axis("flipud", 0, x.ndim())?])
}

/// Reverses the order of columns.
///
/// # Errors
/// `Axis` when there are fewer than two axes.
pub fn fliplr(x: &Variable) -> Result<Variable> {
    flip_axes(x, &[normalize_axis("fliplr", 1, x.ndim())?])
}

/// Rotates the plane of two axes by `k` times 90 degrees, from the first axis to the second.
///
/// # Errors
/// `Value` unless two distinct axes are given, `Axis` when one is out of range.
pub fn rot90(x: &Variable, k: i64, axes: &[isize]) -> Result<Variable> {
    let plane = distinct_axes("rot90", axes, x.ndim())?;
    let [a, b] = plane[..] else { return Err(Error::Value(format!("rot90: two axes make a plane, got {}", plane.len()))) };
    let mut order: Axes = (0..x.ndim()).collect();
    order.swap(a, b);
    match k.rem_euclid(4) {
        0 => permute(x, &(0..x.ndim()).collect::<Axes>()),
        1 => permute(&flip_axes(x, &[b])?, &order),
        2 => flip_axes(x, &[a, b]),
        _ => flip_axes(&permute(x, &order)?, &[b]),
    }
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "permute_dims",
        doc: "The axes of x in another order, as a view.\n\n>>> tg.permute_dims(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), (1, 0))\nVariable([[1., 3.],\n          [2., 4.]])\n",
        params: &[Param::array("x"), Param::new("axes", Kind::Ints)],
        call: |a| Ok(permute_dims(&a.variable(0)?, a.ints(1)?)?.into()),
        gradient: Gradient::Rule("permute_dims(g, argsort(axes))"),
        linear: true,
        views: Views::Writable,
        samples: || samples(&[(&[], &[&[]]), (&[3], &[&[0]]), (&[2, 3, 4], &[&[2, 0, 1]]), (&[2, 3, 4], &[&[-1, 1, -3]]), (&[2, 0], &[&[1, 0]])]),
        ..Entry::BASE
    },
    Entry {
        name: "transpose",
        doc: "The axes of x in reverse, or in the order given, as a view.\n\n>>> tg.transpose(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\nVariable([[1., 3.],\n          [2., 4.]])\n",
        params: &[Param::array("x"), Param::new("axes", Kind::Ints).or(Default::None)],
        call: |a| Ok(transpose(&a.variable(0)?, a.axes(1)?)?.into()),
        gradient: Gradient::Rule("transpose(g, argsort(axes))"),
        linear: true,
        views: Views::Writable,
        samples: || [plain(&[Arg::None]), samples(&[(&[2, 3, 4], &[&[1, 2, 0]])])].concat(),
        ..Entry::BASE
    },
    Entry {
        name: "matrix_transpose",
        doc: "The last two axes exchanged, as a view.\n\n>>> tg.matrix_transpose(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\nVariable([[1., 3.],\n          [2., 4.]])\n",
        params: &[Param::array("x")],
        call: |a| Ok(matrix_transpose(&a.variable(0)?)?.into()),
        gradient: Gradient::Rule("matrix_transpose(g)"),
        linear: true,
        views: Views::Writable,
        samples: || samples(&[(&[2, 3], &[]), (&[2, 3, 4], &[]), (&[0, 3], &[])]),
        ..Entry::BASE
    },
    Entry {
        name: "swapaxes",
        doc: "Two axes exchanged, as a view.\n\n>>> tg.swapaxes(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), 0, 1)\nVariable([[1., 3.],\n          [2., 4.]])\n",
        params: &[Param::array("x"), Param::new("axis1", Kind::Int), Param::new("axis2", Kind::Int)],
        call: |a| Ok(swapaxes(&a.variable(0)?, a.axis(1)?, a.axis(2)?)?.into()),
        gradient: Gradient::Rule("swapaxes(g, axis1, axis2)"),
        linear: true,
        views: Views::Writable,
        samples: || {
            [(0, 1), (-1, 0), (1, 1)]
                .into_iter()
                .map(|(a, b)| call_with(REAL.strided(&mut Draw::new(42), &[2, 3, 4]), [Arg::Int(a), Arg::Int(b)]))
                .collect()
        },
        ..Entry::BASE
    },
    Entry {
        name: "moveaxis",
        doc: "Axes moved to other places, the others keep their order; a view.\n\n>>> tg.moveaxis(tg.Variable([[[1.0, 2.0]]]), 2, 0).shape\n(2, 1, 1)\n",
        params: &[Param::array("x"), Param::new("source", Kind::Ints), Param::new("destination", Kind::Ints)],
        call: |a| Ok(moveaxis(&a.variable(0)?, a.ints(1)?, a.ints(2)?)?.into()),
        gradient: Gradient::Rule("moveaxis(g, destination, source)"),
        linear: true,
        views: Views::Writable,
        samples: || samples(&[(&[2, 3, 4], &[&[0], &[-1]]), (&[2, 3, 4], &[&[0, 1], &[2, 0]]), (&[2, 0], &[&[-1], &[0]]), (&[3], &[&[], &[]])]),
        ..Entry::BASE
    },
    Entry {
        name: "flip",
        doc: "The order of elements turned round along the given axes, or all; a view.\n\n>>> tg.flip(tg.Variable([1.0, 2.0, 3.0]))\nVariable([3., 2., 1.])\n",
        params: &[Param::array("x"), Param::axes()],
        call: |a| Ok(flip(&a.variable(0)?, a.axes(1)?)?.into()),
        gradient: Gradient::Rule("flip(g, axis)"),
        linear: true,
        views: Views::Writable,
        samples: || {
            [
                plain(&[Arg::None]),
                samples(&[(&[3], &[&[0]]), (&[2, 3, 4], &[&[-1]]), (&[2, 3, 4], &[&[2, 0]]), (&[2, 0], &[&[1]]), (&[2, 3], &[&[]])]),
            ]
            .concat()
        },
        ..Entry::BASE
    },
    Entry {
        name: "rot90",
        doc: "The plane of two axes turned by k quarters, from the first axis to the second; a view.\n\n>>> tg.rot90(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\nVariable([[2., 4.],\n          [1., 3.]])\n",
        params: &[Param::array("x"), Param::new("k", Kind::Int).or(Default::Int(1)), Param::new("axes", Kind::Ints).or(Default::None)],
        call: call_rot90,
        gradient: Gradient::Composite("rot90(g, -k, axes)"),
        linear: true,
        views: Views::Writable,
        method: false,
        samples: || (-1..4).map(|k| call_with(REAL.strided(&mut Draw::new(43), &[2, 3, 4]), [Arg::Int(k), ints(&[-1, 0])])).collect(),
        ..Entry::BASE
    },
    Entry {
        name: "flipud",
        doc: "The order of rows turned round; a view.\n\n>>> tg.flipud(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\nVariable([[3., 4.],\n          [1., 2.]])\n",
        params: &[Param::array("x")],
        call: |a| Ok(flipud(&a.variable(0)?)?.into()),
        gradient: Gradient::Rule("flipud(g)"),
        linear: true,
        views: Views::Writable,
        method: false,
        samples: || samples(&[(&[2, 3], &[]), (&[2, 3, 2], &[])]),
        ..Entry::BASE
    },
    Entry {
        name: "fliplr",
        doc: "The order of columns turned round; a view.\n\n>>> tg.fliplr(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\nVariable([[2., 1.],\n          [4., 3.]])\n",
        params: &[Param::array("x")],
        call: |a| Ok(fliplr(&a.variable(0)?)?.into()),
        gradient: Gradient::Rule("fliplr(g)"),
        linear: true,
        views: Views::Writable,
        method: false,
        samples: || samples(&[(&[2, 3], &[]), (&[2, 3, 2], &[])]),
        ..Entry::BASE
    },
];

fn call_rot90(a: &Args<'_>) -> Result<Value> {
    Ok(rot90(&a.variable(0)?, a.int(1)?, a.axes(2)?.unwrap_or(&[0, 1]))?.into())
}

/// A shape, and arguments that are all ints.
type Case<'a> = (&'a [usize], &'a [&'a [isize]]);

fn samples(cases: &[Case<'_>]) -> Vec<Sample> {
    let draw = &mut Draw::new(41);
    cases.iter().map(|(shape, rest)| call_with(REAL.strided(draw, shape), rest.iter().map(|v| ints(v)))).collect()
}
