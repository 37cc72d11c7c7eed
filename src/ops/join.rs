//! Joining arrays.

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::samples::{Draw, REAL};
use super::shape::{astype, atleast_1d, atleast_2d, atleast_3d, flatten, reshape_to};
use super::window::{Cut, GETITEM, Window, view};
use crate::array::{DType, Shape, alloc_check, check_memory, normalize_axis};
use crate::error::{Error, Result, show_shape};
use crate::kernel::slice_write;
use crate::tape::{Batch, BatchContext, Jvp, Operand, Outputs, Primitive, Variable, Vjp, VjpContext, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&CONCAT, &STACK];

static CONCAT: Primitive = Primitive {
    moves: true,
    name: "concat",
    eval: |call| {
        let axis = call.attrs::<Pieces>().axis;
        let parts = alloc_check::collect((0..call.inputs().len()).map(|i| call.array(i).clone()));
        if let [first, ..] = &parts[..] {
            let mut shape = Shape::from_slice(first.shape());
            shape[axis] = parts.iter().fold(0, |n: usize, p| n.saturating_add(p.shape()[axis]));
            check_memory(call.name(), &shape, first.dtype())?;
        }
        call.give(slice_write::concat(&parts, axis));
        Ok(())
    },
    vjp: Vjp::Rule(concat_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_pieces),
    ..Primitive::BASE
};
static STACK: Primitive = Primitive {
    moves: true,
    name: "stack",
    eval: |call| {
        let axis = call.attrs::<AlongAxis>().axis;
        let parts = alloc_check::collect((0..call.inputs().len()).map(|i| call.array(i)).map(|x| x.with_layout(x.layout().insert_axis(axis))));
        call.give(slice_write::concat(&parts, axis));
        Ok(())
    },
    vjp: Vjp::Rule(stack_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_along_axis),
    ..Primitive::BASE
};

/// The new axis along which arrays are stacked or taken apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AlongAxis {
    pub(super) axis: usize,
}

/// Pieces along an axis: piece `i` is between `bounds[i]` and `bounds[i + 1]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pieces {
    pub(super) axis: usize,
    pub(super) bounds: SmallVec<[usize; 4]>,
}
crate::attributes!(AlongAxis, Pieces);

/// The batch of a primitive that works on pieces along an axis.
pub(super) fn batch_pieces(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let Pieces { axis, bounds } = ctx.attrs();
    ctx.apply_spread(&Pieces { axis: axis + 1, bounds: bounds.clone() })
}

/// The batch of a primitive that works along one axis.
pub(super) fn batch_along_axis(ctx: &BatchContext<'_>) -> Result<Outputs> {
    ctx.apply_spread(&AlongAxis { axis: ctx.attrs::<AlongAxis>().axis + 1 })
}

/// All arrays in their common dtype.
fn promoted(op: &str, arrays: &[Variable]) -> Result<Vec<Variable>> {
    let first = arrays.first().ok_or_else(|| Error::Value(format!("{op}: at least one array is needed")))?;
    let dtype = arrays.iter().fold(first.dtype(), |d: DType, x| d.promote(x.dtype()));
    alloc_check::try_collect(arrays.iter().map(|x| astype(x, dtype)))
}

/// The arrays as operands.
fn operands<'a>(arrays: &[&'a Variable]) -> Vec<Operand<'a>> {
    alloc_check::collect(arrays.iter().map(|&x| x.into()))
}

/// Joins arrays along an axis; `None` flattens them first. Dtypes promote.
///
/// # Errors
/// `Shape` when they do not fit, with the number of the array; `Axis` when the axis is out of range.
pub fn concat(arrays: &[Variable], axis: Option<isize>) -> Result<Variable> {
    let Some(axis) = axis else {
        let flat: Vec<Variable> = alloc_check::try_collect(arrays.iter().map(flatten))?;
        return concat(&flat, Some(0));
    };
    let arrays = promoted("concat", arrays)?;
    if arrays.iter().any(|x| x.shape() == [0]) && arrays.iter().any(|x| x.ndim() > 1) {
        let filled: Vec<Variable> = alloc_check::collect(arrays.iter().filter(|x| x.shape() != [0]).cloned());
        return concat(&filled, Some(axis));
    }
    let first = arrays[0].shape();
    if first.is_empty() {
        return Err(Error::Shape("concat: array 0 is 0-d, which cannot be joined along an axis; use stack or axis=None".to_owned()));
    }
    let axis = normalize_axis("concat", axis, first.len())?;
    for (i, x) in arrays.iter().enumerate() {
        let fits = x.ndim() == first.len() && (0..first.len()).all(|a| a == axis || x.shape()[a] == first[a]);
        if !fits {
            let (got, first) = (show_shape(x.shape()), show_shape(first));
            return Err(Error::Shape(format!(
                "concat: array {i} has shape {got}, which does not fit array 0 of shape {first}: all sizes but that of axis {axis} must agree"
            )));
        }
    }
    join(&alloc_check::collect(&arrays), axis)
}

pub(super) fn join(arrays: &[&Variable], axis: usize) -> Result<Variable> {
    let mut bounds: SmallVec<[usize; 4]> = smallvec![0];
    alloc_check::reserve_small(&mut bounds, arrays.len());
    for x in arrays {
        bounds.push(bounds[bounds.len() - 1].saturating_add(x.shape()[axis]));
    }
    apply(&CONCAT, &operands(arrays), &Pieces { axis, bounds })
}

fn concat_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let g = ctx.cotangent();
    let Pieces { axis, bounds } = ctx.attrs();
    let piece = |i: usize| piece(&g, *axis, bounds[i], bounds[i + 1]);
    ctx.add_each(piece)
}

fn piece(x: &Variable, axis: usize, from: usize, to: usize) -> Result<Variable> {
    view(&GETITEM, x, &Window::along(x.shape(), axis, Cut { start: from, count: to - from, step: 1 }))
}

/// Joins arrays of the same shape along a new axis.
///
/// # Errors
/// `Shape` when shapes differ, with the number of the array; `Axis` when the axis is out of range.
pub fn stack(arrays: &[Variable], axis: isize) -> Result<Variable> {
    let arrays = promoted("stack", arrays)?;
    let first = arrays[0].shape();
    if let Some((i, x)) = arrays.iter().enumerate().find(|(_, x)| x.shape() != first) {
        let (got, first) = (show_shape(x.shape()), show_shape(first));
        return Err(Error::Shape(format!("stack: array {i} has shape {got}, but array 0 has {first}: all shapes must agree")));
    }
    let axis = normalize_axis("stack", axis, first.len() + 1)?;
    join_new(&alloc_check::collect(&arrays), axis)
}

pub(super) fn join_new(arrays: &[&Variable], axis: usize) -> Result<Variable> {
    apply(&STACK, &operands(arrays), &AlongAxis { axis })
}

fn stack_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let g = ctx.cotangent();
    let axis = ctx.attrs::<AlongAxis>().axis;
    ctx.add_each(|i| view(&GETITEM, &g, &at(&g, axis, i)))
}

fn at(x: &Variable, axis: usize, i: usize) -> Window {
    let Window::Region { cuts, mut shape } = Window::along(x.shape(), axis, Cut::one(i)) else { unreachable!("a cut makes a region") };
    shape.remove(axis);
    Window::Region { cuts, shape }
}

/// Joins along the second axis; 1-d arrays along their only axis.
///
/// # Errors
/// As [`concat()`].
pub fn hstack(arrays: &[Variable]) -> Result<Variable> {
    let arrays: Vec<Variable> = alloc_check::try_collect(arrays.iter().map(atleast_1d))?;
    let axis = isize::from(arrays.first().is_some_and(|x| x.ndim() > 1));
    concat(&arrays, Some(axis))
}

/// Joins along the first axis; 1-d arrays are rows.
///
/// # Errors
/// As [`concat()`].
pub fn vstack(arrays: &[Variable]) -> Result<Variable> {
    concat(&alloc_check::try_collect(arrays.iter().map(atleast_2d))?, Some(0))
}

/// Joins along the third axis.
///
/// # Errors
/// As [`concat()`].
pub fn dstack(arrays: &[Variable]) -> Result<Variable> {
    concat(&alloc_check::try_collect(arrays.iter().map(atleast_3d))?, Some(2))
}

/// Joins along the second axis; 1-d arrays are columns.
///
/// # Errors
/// As [`concat()`].
pub fn column_stack(arrays: &[Variable]) -> Result<Variable> {
    let column = |x: &Variable| if x.ndim() < 2 { reshape_to(x, &[x.array().size(), 1]) } else { Ok(x.clone()) };
    concat(&alloc_check::try_collect(arrays.iter().map(column))?, Some(1))
}

/// Fields that the stacks along a fixed axis share.
const STACKS: Entry = Entry {
    params: &[Param::new("arrays", Kind::Arrays)],
    gradient: Gradient::Composite("split(g)"),
    linear: true,
    method: false,
    samples: stacks,
    ..Entry::BASE
};

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        moves: true,
        name: "concat",
        aliases: &["concatenate", "cat"],
        doc: "Arrays side by side along an axis; axis=None flattens them first. Dtypes promote. Vectors without elements, as tg.tensor([]), are left out beside arrays of more axes.\n\n>>> tg.concat([tg.Variable([1.0, 2.0]), tg.Variable([3.0])])\nVariable([1., 2., 3.])\n",
        params: &[Param::new("arrays", Kind::Arrays), Param { alias: Some("dim"), ..Param::new("axis", Kind::OptInt).or(Default::Int(0)) }],
        call: call_concat,
        gradient: Gradient::Rule("split(g)"),
        linear: true,
        method: false,
        samples: concat_samples,
        ..Entry::BASE
    },
    Entry {
        moves: true,
        name: "stack",
        doc: "Arrays of one shape along a new axis.\n\n>>> tg.stack([tg.Variable([1.0, 2.0]), tg.Variable([3.0, 4.0])], axis=1)\nVariable([[1., 3.],\n          [2., 4.]])\n",
        params: &[Param::new("arrays", Kind::Arrays), Param::axis(0)],
        call: |a| Ok(stack(a.variables(0)?, a.axis(1)?)?.into()),
        gradient: Gradient::Rule("unstack(g, axis)"),
        linear: true,
        method: false,
        samples: stack_samples,
        ..Entry::BASE
    },
    Entry {
        moves: true,
        name: "hstack",
        doc: "Arrays side by side along the second axis; 1-d ones one behind the other.\n\n>>> tg.hstack([tg.Variable([1.0]), tg.Variable([2.0])])\nVariable([1., 2.])\n",
        call: |a| Ok(hstack(a.variables(0)?)?.into()),
        ..STACKS
    },
    Entry {
        moves: true,
        name: "vstack",
        doc: "Arrays one below the other; 1-d ones are rows.\n\n>>> tg.vstack([tg.Variable([1.0, 2.0]), tg.Variable([3.0, 4.0])])\nVariable([[1., 2.],\n          [3., 4.]])\n",
        call: |a| Ok(vstack(a.variables(0)?)?.into()),
        ..STACKS
    },
    Entry {
        moves: true,
        name: "dstack",
        doc: "Arrays one behind the other along the third axis.\n\n>>> tg.dstack([tg.Variable([1.0]), tg.Variable([2.0])]).shape\n(1, 1, 2)\n",
        call: |a| Ok(dstack(a.variables(0)?)?.into()),
        ..STACKS
    },
    Entry {
        moves: true,
        name: "column_stack",
        doc: "Arrays side by side along the second axis; 1-d ones are columns.\n\n>>> tg.column_stack([tg.Variable([1.0, 2.0]), tg.Variable([3.0, 4.0])])\nVariable([[1., 3.],\n          [2., 4.]])\n",
        call: |a| Ok(column_stack(a.variables(0)?)?.into()),
        ..STACKS
    },
];

fn call_concat(a: &Args<'_>) -> Result<Value> {
    let axis = if a.is_none(1) { None } else { Some(a.axis(1)?) };
    Ok(concat(a.variables(0)?, axis)?.into())
}

fn many(shapes: &[&[usize]], rest: &[Arg]) -> Sample {
    let draw = &mut Draw::new(51);
    Sample { args: std::iter::once(Arg::Variables(shapes.iter().map(|s| REAL.strided(draw, s)).collect())).chain(rest.iter().cloned()).collect() }
}

fn concat_samples() -> Vec<Sample> {
    vec![
        many(&[&[2, 3], &[1, 3]], &[Arg::Int(0)]),
        many(&[&[2, 3], &[2, 0], &[2, 2]], &[Arg::Int(-1)]),
        many(&[&[2, 1, 3], &[2, 2, 3]], &[Arg::Int(1)]),
        many(&[&[], &[2, 2]], &[Arg::None]),
        many(&[&[4]], &[Arg::Int(0)]),
        many(&[&[0], &[3]], &[Arg::Int(0)]),
    ]
}

fn stack_samples() -> Vec<Sample> {
    vec![
        many(&[&[], &[]], &[Arg::Int(0)]),
        many(&[&[2, 3], &[2, 3], &[2, 3]], &[Arg::Int(1)]),
        many(&[&[2, 3], &[2, 3]], &[Arg::Int(-1)]),
        many(&[&[0], &[0]], &[Arg::Int(0)]),
    ]
}

fn stacks() -> Vec<Sample> {
    vec![many(&[&[2], &[2]], &[]), many(&[&[2, 3], &[2, 3]], &[]), many(&[&[2, 3, 1]], &[])]
}
