//! Rolling, tiling and repeating elements.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::gather::{REPEAT, gather};
use super::permute::swapaxes;
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::samples::{Draw, REAL, call_with, ints};
use super::shape::{broadcast_to, flatten, reshape_to};
use super::work;
use crate::array::{Array, DType, Shape, alloc_check, check_growth, check_memory, normalize_axis, size_of};
use crate::error::{Error, Result, show_shape};
use crate::kernel::gather::Places;
use crate::kernel::slice_write;
use crate::tape::{Batch, Jvp, Primitive, Variable, Vjp, VjpContext, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&ROLL];

static ROLL: Primitive = Primitive {
    moves: true,
    name: "roll",
    eval: |call| {
        let out = slice_write::roll(call.array(0), &call.attrs::<Turns>().turns);
        call.give(out);
        Ok(())
    },
    vjp: Vjp::Rule(roll_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(|ctx| {
        let turns = ctx.attrs::<Turns>().turns.iter().map(|(axis, shift)| (axis + 1, *shift)).collect();
        ctx.apply_spread(&Turns { turns })
    }),
    ..Primitive::BASE
};

/// Axes, and the distances by which their elements move.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Turns {
    turns: SmallVec<[(usize, isize); 2]>,
}
crate::attributes!(Turns);

fn roll_by(x: &Variable, turns: &[(usize, isize)]) -> Result<Variable> {
    apply(&ROLL, &[x.into()], &Turns { turns: turns.into() })
}

fn roll_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let back: Vec<(usize, isize)> = ctx.attrs::<Turns>().turns.iter().map(|(axis, shift)| (*axis, shift.wrapping_neg())).collect();
    let g = ctx.cotangent();
    ctx.add(0, roll_by(&g, &back)?)
}

/// Rolls elements along axes by `shift` positions: elements that leave at one end enter at the other. Shifts and axes broadcast. Without
/// axes the array is rolled in flattened form.
///
/// # Errors
/// `Axis` when an axis is out of range, `Value` when shifts and axes do not pair up.
pub fn roll(x: &Variable, shift: &[isize], axes: Option<&[isize]>) -> Result<Variable> {
    let Some(axes) = axes else {
        let n = x.array().size().max(1).cast_signed();
        let total = shift.iter().fold(0, |s, &k| (s + k.rem_euclid(n)) % n);
        return reshape_to(&roll_by(&flatten(x)?, &[(0, total)])?, x.shape());
    };
    let count = match (shift.len(), axes.len()) {
        (a, b) if a == b => a,
        (1, n) | (n, 1) => n,
        (a, b) => return Err(Error::Value(format!("roll: {a} shifts and {b} axes do not pair up"))),
    };
    let mut turns = alloc_check::with_capacity(count);
    for i in 0..count {
        let axis = normalize_axis("roll", axes[i % axes.len()], x.ndim())?;
        // Reduced modulo the size, so that it can be negated.
        let n = x.shape()[axis].max(1).cast_signed();
        turns.push((axis, shift[i % shift.len()].rem_euclid(n)));
    }
    roll_by(x, &turns)
}

fn size(op: &str, n: isize) -> Result<usize> {
    usize::try_from(n).map_err(|_| Error::Value(format!("{op}: repetitions must not be negative, got {n}")))
}

/// Repeats `x` as a whole along each axis.
///
/// # Errors
/// `Value` when a repetition is negative.
pub fn tile(x: &Variable, reps: &[isize]) -> Result<Variable> {
    let ndim = x.ndim().max(reps.len());
    let mut shape: Shape = Shape::from_elem(1, ndim - x.ndim());
    shape.extend_from_slice(x.shape());
    let (mut apart, mut wide, mut out) = (Shape::new(), Shape::new(), Shape::new());
    for (i, &n) in shape.iter().enumerate() {
        let times = (i + reps.len()).checked_sub(ndim).map_or(Ok(1), |k| size("tile", reps[k]))?;
        apart.extend([1, n]);
        wide.extend([times, n]);
        out.push(times.saturating_mul(n));
    }
    check_growth("tile", &shape, &out, x.dtype())?;
    reshape_to(&broadcast_to(&reshape_to(x, &apart)?, &wide)?, &out)
}

/// Repeats each element along an axis: the same number of times, or with one number per position. `None` flattens.
///
/// # Errors
/// `Value` when a number is negative or there is a wrong number of them, `Axis` when the axis is out of range.
pub fn repeat(x: &Variable, repeats: &[isize], axis: Option<isize>) -> Result<Variable> {
    let Some(axis) = axis else { return repeat(&flatten(x)?, repeats, Some(0)) };
    let hint = |e: Error| Error::Axis(format!("{e}; to tile the array, as PyTorch's repeat does, write x.tile(repeats)"));
    let axis = normalize_axis("repeat", axis, x.ndim()).map_err(hint)?;
    let n = x.shape()[axis];
    let times: Vec<usize> = alloc_check::try_collect(repeats.iter().map(|&r| size("repeat", r)))?;
    if let [times] = times[..] {
        let (mut apart, mut out) = (Shape::from_slice(x.shape()), Shape::from_slice(x.shape()));
        apart.insert(axis + 1, 1);
        let mut wide = apart.clone();
        wide[axis + 1] = times;
        out[axis] = n.saturating_mul(times);
        check_growth("repeat", x.shape(), &out, x.dtype())?;
        return reshape_to(&broadcast_to(&reshape_to(x, &apart)?, &wide)?, &out);
    }
    if times.len() != n {
        let shape = show_shape(x.shape());
        return Err(Error::Value(format!("repeat: {} repeats given for axis {axis} of shape {shape}, expected 1 or {n}", times.len())));
    }
    let total = times.iter().fold(0, |n: usize, &t| n.saturating_add(t));
    check_memory("repeat", &[total], DType::I64)?;
    let rows = Array::build(&[total], |rows: &mut [i64]| {
        let all = (0_i64..).zip(&times).flat_map(|(i, &t)| std::iter::repeat_n(i, t));
        rows.iter_mut().zip(all).for_each(|(o, i)| *o = i);
    });
    let places = Places { shape: Shape::from_slice(x.shape()), axes: [axis].into_iter().collect(), place: axis };
    gather(&REPEAT, x, &places, &rows.into())
}

/// Each array along its own axis, broadcast over the axes of the others. With `xy` the first two axes are swapped.
///
/// # Errors
/// `Shape` when an array has more than one axis.
pub fn meshgrid(arrays: &[Variable], xy: bool) -> Result<Vec<Variable>> {
    if let Some((i, x)) = arrays.iter().enumerate().find(|(_, x)| x.ndim() > 1) {
        return Err(Error::Shape(format!("meshgrid: array {i} has shape {}, expected one axis at most", show_shape(x.shape()))));
    }
    let grid: Shape = arrays.iter().map(|x| size_of(x.shape())).collect();
    let along = |(i, x): (usize, &Variable)| {
        let mut shape: Shape = Shape::from_elem(1, grid.len());
        shape[i] = grid[i];
        let out = broadcast_to(&reshape_to(x, &shape)?, &grid)?;
        if xy && grid.len() > 1 { swapaxes(&out, 0, 1) } else { Ok(out) }
    };
    alloc_check::try_collect(arrays.iter().enumerate().map(along))
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        moves: true,
        name: "roll",
        doc: "Elements moved along axes; what leaves at one end comes in at the other. Without an axis the array is flattened for it.\n\n>>> tg.roll(tg.Variable([1.0, 2.0, 3.0]), 1)\nVariable([3., 1., 2.])\n",
        params: &[Param::array("x"), Param::new("shift", Kind::Ints), Param::axes()],
        call: |a| Ok(roll(&a.variable(0)?, a.ints(1)?, a.axes(2)?)?.into()),
        gradient: Gradient::Rule("roll(g, -shift, axis)"),
        linear: true,
        samples: roll_samples,
        ..Entry::BASE
    },
    Entry {
        moves: true,
        name: "tile",
        work: work::repeated,
        doc: "x repeated as a whole along each axis.\n\n>>> tg.tile(tg.Variable([1.0, 2.0]), 2)\nVariable([1., 2., 1., 2.])\n",
        params: &[Param::array("x"), Param { alias: Some("reps"), ..Param::new("repetitions", Kind::Ints) }],
        call: |a| Ok(tile(&a.variable(0)?, a.ints(1)?)?.into()),
        gradient: Gradient::Composite("g, summed over the repetitions"),
        linear: true,
        samples: tile_samples,
        ..Entry::BASE
    },
    Entry {
        moves: true,
        name: "repeat",
        work: work::repeated,
        doc: "Every element repeated along an axis: the same number of times, or a number for each position. Without an axis the array is flattened.\n\n>>> tg.repeat(tg.Variable([1.0, 2.0]), 2)\nVariable([1., 1., 2., 2.])\n",
        params: &[
            Param::array("x"),
            Param::new("repeats", Kind::Ints),
            Param { alias: Some("dim"), ..Param::new("axis", Kind::OptInt).or(Default::None) },
        ],
        call: call_repeat,
        gradient: Gradient::Rule("g, summed over the repetitions"),
        linear: true,
        samples: repeat_samples,
        ..Entry::BASE
    },
    Entry {
        name: "meshgrid",
        work: work::combined,
        doc: "Every array along an axis of its own, stretched over the axes of the others. With indexing='xy' the first two axes are exchanged. Views.\n\n>>> tg.meshgrid([tg.Variable([1.0, 2.0]), tg.Variable([3.0])])\n(Variable([[1., 2.]]), Variable([[3., 3.]]))\n",
        params: &[Param::new("arrays", Kind::Each), Param::choice("indexing", &["xy", "ij"]).named()],
        call: call_meshgrid,
        gradient: Gradient::Composite("g, summed over the axes of the others"),
        linear: true,
        method: false,
        samples: meshgrid_samples,
        ..Entry::BASE
    },
];

fn call_repeat(a: &Args<'_>) -> Result<Value> {
    let axis = if a.is_none(2) { None } else { Some(a.axis(2)?) };
    Ok(repeat(&a.variable(0)?, a.ints(1)?, axis)?.into())
}

fn call_meshgrid(a: &Args<'_>) -> Result<Value> {
    let xy = match a.text(1)? {
        "xy" => true,
        "ij" => false,
        other => return Err(Error::Value(format!("meshgrid: indexing must be 'xy' or 'ij', got '{other}'"))),
    };
    Ok(meshgrid(a.variables(0)?, xy)?.into())
}

fn roll_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(61);
    let cases: [(&[usize], &[isize], Arg); 8] = [
        (&[], &[3], Arg::None),
        (&[3, 4], &[-2], Arg::None),
        (&[3, 4], &[1], ints(&[0])),
        (&[3, 4], &[-5], ints(&[-1])),
        (&[3, 4], &[1, 2], ints(&[0, 1])),
        (&[3, 4], &[1, 2], ints(&[0, 0])),
        (&[2, 0], &[1], ints(&[1])),
        (&[3, 4], &[0], ints(&[0, 1])),
    ];
    cases.into_iter().map(|(shape, shift, axes)| call_with(REAL.strided(draw, shape), [ints(shift), axes])).collect()
}

fn tile_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(62);
    let cases: [(&[usize], &[isize]); 6] = [(&[], &[2]), (&[3], &[2, 2]), (&[2, 3], &[2]), (&[2, 3], &[2, 3]), (&[2, 3], &[0, 1]), (&[2], &[])];
    cases.into_iter().map(|(shape, reps)| call_with(REAL.strided(draw, shape), [ints(reps)])).collect()
}

fn repeat_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(63);
    let cases: [(&[usize], &[isize], Arg); 7] = [
        (&[], &[2], Arg::None),
        (&[2, 3], &[2], Arg::None),
        (&[2, 3], &[2], Arg::Int(0)),
        (&[2, 3], &[0, 2, 1], Arg::Int(-1)),
        (&[2, 3], &[0], Arg::Int(1)),
        (&[0, 2], &[3], Arg::Int(0)),
        (&[3, 2, 2], &[1, 0, 3], Arg::Int(0)),
    ];
    cases.into_iter().map(|(shape, n, axis)| call_with(REAL.strided(draw, shape), [ints(n), axis])).collect()
}

fn meshgrid_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(64);
    let cases: [(&[&[usize]], &str); 4] = [(&[&[2], &[3]], "xy"), (&[&[2], &[], &[3]], "xy"), (&[&[2], &[3]], "ij"), (&[&[0]], "xy")];
    let arrays = |draw: &mut Draw, shapes: &[&[usize]]| Arg::Variables(shapes.iter().map(|s| REAL.strided(draw, s)).collect());
    cases.into_iter().map(|(shapes, indexing)| Sample { args: vec![arrays(draw, shapes), Arg::Text(indexing.to_owned())] }).collect()
}
