//! Splitting arrays into views. Splitting is one operation with one gradient, so it costs time in proportion to the array, however many
//! pieces there are.

use smallvec::SmallVec;

use super::join::{AlongAxis, Pieces, batch_along_axis, batch_pieces, join, join_new};
use super::registry::{Arg, Args, Entry, Gradient, Kind, Param, Sample, Views};
use super::samples::{Draw, REAL, call_with, ints};
use super::window::{Cut, GETITEM, Window, view};
use crate::array::{Array, alloc_check, normalize_axis};
use crate::error::{Error, Result, show_shape};
use crate::tape::{Batch, Jvp, Primitive, Variable, Vjp, VjpContext, apply_all};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&SPLIT, &UNSTACK];

static SPLIT: Primitive = Primitive {
    is_view: true,
    name: "split",
    eval: |call| {
        let (x, Pieces { axis, bounds }) = (call.array(0), call.attrs());
        for w in bounds.windows(2) {
            call.give(x.with_layout(x.layout().slice(*axis, w[0], w[1] - w[0], 1)));
        }
        Ok(())
    },
    vjp: Vjp::Rule(split_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_pieces),
    ..Primitive::BASE
};
static UNSTACK: Primitive = Primitive {
    is_view: true,
    name: "unstack",
    eval: |call| {
        let (x, axis) = (call.array(0), call.attrs::<AlongAxis>().axis);
        for i in 0..x.shape()[axis] {
            call.give(x.with_layout(x.layout().select(axis, i)));
        }
        Ok(())
    },
    vjp: Vjp::Rule(unstack_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_along_axis),
    ..Primitive::BASE
};

/// The cotangents of all outputs; zeros for those that nothing depends on.
fn all_cotangents(ctx: &VjpContext<'_>, count: usize) -> Vec<Variable> {
    let zeros = |i| {
        let meta = ctx.out_meta(i);
        Array::zeros(&[], meta.dtype).broadcast_to("split", &meta.shape).map(Variable::from)
    };
    alloc_check::collect((0..count).filter_map(|i| ctx.cotangent_of(i).or_else(|| zeros(i).ok())))
}

/// The pieces between neighbouring `bounds`, which increase from 0 to the size of `axis`: one operation, whose gradient is one array,
/// assembled from the gradients of the pieces.
fn cut(x: &Variable, axis: usize, bounds: &[usize]) -> Result<Vec<Variable>> {
    let mut all = SmallVec::new();
    alloc_check::reserve_small(&mut all, bounds.len());
    all.extend_from_slice(bounds);
    Ok(apply_all(&SPLIT, &[x.into()], &Pieces { axis, bounds: all })?.into_vec())
}

fn split_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let Pieces { axis, bounds } = ctx.attrs();
    let parts = all_cotangents(ctx, bounds.len() - 1);
    ctx.add(0, join(&alloc_check::collect(&parts), *axis)?)
}

/// How to split an axis.
#[derive(Clone, Copy, Debug)]
pub enum Sections<'a> {
    /// Into this number of pieces.
    Count(i64),
    /// Before these positions, which are interpreted as in slices.
    At(&'a [isize]),
}

fn cut_sections(op: &str, x: &Variable, sections: Sections<'_>, axis: isize, even: bool) -> Result<Vec<Variable>> {
    let axis = normalize_axis(op, axis, x.ndim())?;
    let n = x.shape()[axis];
    match sections {
        Sections::Count(count) => {
            let count = usize::try_from(count)
                .ok()
                .filter(|&c| c > 0)
                .ok_or_else(|| Error::Value(format!("{op}: the number of sections must be larger than 0, got {count}")))?;
            if even && !n.is_multiple_of(count) {
                return Err(Error::Value(format!(
                    "{op}: axis {axis} of size {n} cannot be cut into {count} equal sections; array_split can, and chunk or split_with_sizes cut by length"
                )));
            }
            // As in NumPy, the first n mod count pieces are longer by one.
            let (size, longer) = (n / count, n % count);
            cut(x, axis, &alloc_check::collect((0..=count).map(|i| i * size + i.min(longer))))
        }
        Sections::At(places) => {
            let ends = places.iter().map(|&p| Some(p)).chain([None]);
            let starts = std::iter::once(None).chain(places.iter().map(|&p| Some(p)));
            let cuts: Vec<Cut> = alloc_check::try_collect(starts.zip(ends).map(|(a, b)| Cut::slice(a, b, None, n)))?;
            let mut bounds = alloc_check::with_capacity(cuts.len() + 1);
            bounds.push(0);
            bounds.extend(cuts.iter().scan(0, |end, c| {
                *end += c.count;
                Some(*end)
            }));
            let in_order = bounds[bounds.len() - 1] == n && cuts.iter().zip(&bounds).all(|(c, &b)| c.count == 0 || c.start == b);
            if in_order {
                return cut(x, axis, &bounds);
            }
            alloc_check::try_collect(cuts.into_iter().map(|c| view(&GETITEM, x, &Window::along(x.shape(), axis, c))))
        }
    }
}

/// The pieces of `x` along an axis: equal sections, or cut before given positions. Views.
///
/// # Errors
/// `Value` when the axis cannot be cut into equal sections, `Axis` when it is out of range.
pub fn split(x: &Variable, sections: Sections<'_>, axis: isize) -> Result<Vec<Variable>> {
    cut_sections("split", x, sections, axis, true)
}

/// As [`split`], but sections may differ by one.
///
/// # Errors
/// `Value` unless there are sections, `Axis` when the axis is out of range.
pub fn array_split(x: &Variable, sections: Sections<'_>, axis: isize) -> Result<Vec<Variable>> {
    cut_sections("array_split", x, sections, axis, false)
}

/// The parts of `x` at each position of an axis, without that axis. Views.
///
/// # Errors
/// `Axis` when the axis is out of range.
pub fn unstack(x: &Variable, axis: isize) -> Result<Vec<Variable>> {
    let axis = normalize_axis("unstack", axis, x.ndim())?;
    Ok(apply_all(&UNSTACK, &[x.into()], &AlongAxis { axis })?.into_vec())
}

fn unstack_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let axis = ctx.attrs::<AlongAxis>().axis;
    let count = ctx.meta(0).shape[axis];
    let parts = all_cotangents(ctx, count);
    ctx.add(0, join_new(&alloc_check::collect(&parts), axis)?)
}

/// Fails unless `x` has at least `ndim` axes.
fn need(op: &str, x: &Variable, ndim: usize) -> Result<()> {
    if x.ndim() >= ndim {
        return Ok(());
    }
    Err(Error::Shape(format!("{op}: an array of {ndim} or more dimensions is expected, got shape {}", show_shape(x.shape()))))
}

/// The pieces along the second axis, or along the only one.
///
/// # Errors
/// As [`split`].
pub fn hsplit(x: &Variable, sections: Sections<'_>) -> Result<Vec<Variable>> {
    need("hsplit", x, 1)?;
    split(x, sections, isize::from(x.ndim() > 1))
}

/// The pieces along the first axis of two or more.
///
/// # Errors
/// As [`split`].
pub fn vsplit(x: &Variable, sections: Sections<'_>) -> Result<Vec<Variable>> {
    need("vsplit", x, 2)?;
    split(x, sections, 0)
}

/// The pieces along the third axis.
///
/// # Errors
/// As [`split`].
pub fn dsplit(x: &Variable, sections: Sections<'_>) -> Result<Vec<Variable>> {
    need("dsplit", x, 3)?;
    split(x, sections, 2)
}

/// Fields that the splits along a fixed axis share.
const ALONG_ONE: Entry = Entry {
    params: &[Param::array("x"), Param::new("indices_or_sections", Kind::Sections)],
    gradient: Gradient::Composite("concat(g)"),
    linear: true,
    views: Views::Writable,
    method: false,
    samples: even_samples,
    ..Entry::BASE
};

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "split",
        doc: "The pieces of x along an axis: so many equal sections, or cut before the given positions. Views.\n\n>>> tg.split(tg.Variable([1.0, 2.0, 3.0]), [1])\n(Variable([1.]), Variable([2., 3.]))\n",
        params: &[Param::array("x"), Param::new("indices_or_sections", Kind::Sections), Param::axis(0)],
        call: |a| Ok(split(&a.variable(0)?, sections(a)?, a.axis(2)?)?.into()),
        gradient: Gradient::Rule("concat(g, axis)"),
        linear: true,
        views: Views::Writable,
        samples: || split_samples(true),
        ..Entry::BASE
    },
    Entry {
        name: "array_split",
        doc: "As split, but sections may differ in size by one.\n\n>>> tg.array_split(tg.Variable([1.0, 2.0, 3.0]), 2)\n(Variable([1., 2.]), Variable([3.]))\n",
        params: &[Param::array("x"), Param::new("indices_or_sections", Kind::Sections), Param::axis(0)],
        call: |a| Ok(array_split(&a.variable(0)?, sections(a)?, a.axis(2)?)?.into()),
        gradient: Gradient::Rule("concat(g, axis)"),
        linear: true,
        views: Views::Writable,
        method: false,
        samples: || split_samples(false),
        ..Entry::BASE
    },
    Entry {
        name: "unstack",
        aliases: &["unbind"],
        doc: "The parts of x at each position of an axis, without that axis. Views.\n\n>>> tg.unstack(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\n(Variable([1., 2.]), Variable([3., 4.]))\n",
        params: &[Param::array("x"), Param::axis(0)],
        call: |a| Ok(unstack(&a.variable(0)?, a.axis(1)?)?.into()),
        gradient: Gradient::Rule("stack(g, axis)"),
        linear: true,
        views: Views::Writable,
        samples: unstack_samples,
        ..Entry::BASE
    },
    Entry {
        name: "hsplit",
        doc: "The pieces of x along the second axis, or the only one: as split. Views.\n\n>>> tg.hsplit(tg.Variable([1.0, 2.0]), 2)\n(Variable([1.]), Variable([2.]))\n",
        call: |a| Ok(hsplit(&a.variable(0)?, sections(a)?)?.into()),
        ..ALONG_ONE
    },
    Entry {
        name: "vsplit",
        doc: "The pieces of x along the first axis of two or more: as split. Views.\n\n>>> tg.vsplit(tg.Variable([[1.0], [2.0]]), 2)\n(Variable([[1.]]), Variable([[2.]]))\n",
        call: |a| Ok(vsplit(&a.variable(0)?, sections(a)?)?.into()),
        ..ALONG_ONE
    },
    Entry {
        name: "dsplit",
        doc: "The pieces of x along the third axis: as split. Views.\n\n>>> tg.dsplit(tg.Variable([[[1.0, 2.0]]]), 2)[1].shape\n(1, 1, 1)\n",
        call: |a| Ok(dsplit(&a.variable(0)?, sections(a)?)?.into()),
        ..ALONG_ONE
    },
];

fn sections<'a>(a: &Args<'a>) -> Result<Sections<'a>> {
    if let Ok(places) = a.ints(1) { Ok(Sections::At(places)) } else { a.int(1).map(Sections::Count) }
}

fn split_samples(even: bool) -> Vec<Sample> {
    let draw = &mut Draw::new(52);
    let n = if even { 2 } else { 4 };
    let at = |draw: &mut Draw, shape: &[usize], places: &[isize], axis| call_with(REAL.strided(draw, shape), [ints(places), Arg::Int(axis)]);
    vec![
        call_with(REAL.strided(draw, &[6, 2]), [Arg::Int(n), Arg::Int(0)]),
        call_with(REAL.array(draw, &[2, 4]), [Arg::Int(n), Arg::Int(-1)]),
        at(draw, &[5, 2], &[1, 3], 0),
        at(draw, &[2, 5], &[2, 2, 9], 1),
        at(draw, &[5], &[3, 1, -1], 0),
        at(draw, &[0, 2], &[1], 0),
        at(draw, &[3], &[], 0),
    ]
}

fn unstack_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(53);
    let cases: [(&[usize], i64); 4] = [(&[3], 0), (&[2, 3], 1), (&[2, 3, 2], -2), (&[2, 0], 0)];
    cases.into_iter().map(|(shape, axis)| call_with(REAL.strided(draw, shape), [Arg::Int(axis)])).collect()
}

fn even_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(54);
    vec![call_with(REAL.strided(draw, &[2, 4, 2]), [Arg::Int(2)]), call_with(REAL.strided(draw, &[4, 2, 5]), [ints(&[1, -1])])]
}
