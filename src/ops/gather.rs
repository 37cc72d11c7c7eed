//! Elements at positions given by integer arrays: `take`, `take_along_axis`, and the primitives of advanced indexing.

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample};
use super::samples::{Draw, REAL, call_with, indices};
use super::shape::{expand_dims, squeeze};
use crate::array::{Array, Cursor, DType, Layout, Shape, alloc_check, broadcast_shapes, check_memory, normalize_axis, size_of};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel::cast::cast;
use crate::kernel::gather::{self as kernel, Places, SKIP};
use crate::tape::capture::{Arrays, Computation, ComputationKind};
use crate::tape::{
    AttrSet, Batch, BatchContext, Jvp, Outputs, Primitive, Recorded, Variable, Vjp, VjpContext, apply, apply_update, capture, record_under_lock,
};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&GETITEM, &TAKE, &ALONG, &REPEAT, &GATHER, &INDEX_ADD, &SETITEM, &POSITIONS];

pub(super) static GETITEM: Primitive = Primitive { name: "getitem", ..GATHER_BLOCKS };
static TAKE: Primitive = Primitive { name: "take", ..GATHER_BLOCKS };
static ALONG: Primitive = Primitive { name: "take_along_axis", ..GATHER_BLOCKS };
pub(super) static REPEAT: Primitive = Primitive { name: "repeat", ..GATHER_BLOCKS };
pub(super) static GATHER: Primitive = Primitive { name: "gather", ..GATHER_BLOCKS };

/// The blocks of x (input 0) at row numbers (input 1).
const GATHER_BLOCKS: Primitive = Primitive {
    moves: true,
    name: "gather",
    eval: |call| {
        let (x, rows, places) = (call.array(0), call.array(1), call.attrs::<Places>());
        check_memory(call.name(), &places.out_shape(rows.shape()), x.dtype())?;
        let out = kernel::gather(x, places, rows);
        call.give(out);
        Ok(())
    },
    saves: |s| s.input(1),
    vjp: Vjp::Rule(gather_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_blocks),
    ..Primitive::BASE
};

/// Zeros with blocks (input 0) added at row numbers (input 1): the transpose of [`GATHER_BLOCKS`].
static INDEX_ADD: Primitive = Primitive {
    name: "index_add",
    eval: |call| {
        let out = kernel::index_add(call.attrs(), call.array(1), call.array(0));
        call.give(out);
        Ok(())
    },
    saves: |s| s.input(1),
    vjp: Vjp::Rule(|ctx| {
        let (g, rows) = (ctx.cotangent(), ctx.input(1));
        ctx.add(0, gather(&GETITEM, &g, ctx.attrs::<Places>(), &rows)?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_blocks),
    ..Primitive::BASE
};

/// x (input 0), where the blocks at row numbers (input 2) are replaced by input 1.
static SETITEM: Primitive = Primitive {
    moves: true,
    name: "setitem",
    eval: |call| {
        let (value, rows, places) = (call.array(1), call.array(2), call.attrs::<Places>());
        kernel::put(call.update(), places, rows, value);
        Ok(())
    },
    saves: |s| s.input(2),
    vjp: Vjp::Rule(put_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_put),
    ..Primitive::BASE
};
crate::attributes!(Places, Bounds);

impl Places {
    /// The same positions in every array of a batch of size `n`, whose axis is first.
    fn batched(&self, n: usize) -> Self {
        Self {
            shape: std::iter::once(n).chain(self.shape.iter().copied()).collect(),
            axes: self.axes.iter().map(|a| a + 1).collect(),
            place: self.place + 1,
        }
    }
}

/// The batch, if row numbers are the same for all samples; else sample by sample.
fn batch_blocks(ctx: &BatchContext<'_>) -> Result<Outputs> {
    if ctx.mapped[1] {
        return ctx.each();
    }
    Ok(smallvec![apply(ctx.primitive, ctx.inputs, &ctx.attrs::<Places>().batched(ctx.size))?])
}

fn batch_put(ctx: &BatchContext<'_>) -> Result<Outputs> {
    if ctx.mapped[2] {
        return ctx.each();
    }
    let places = ctx.attrs::<Places>().batched(ctx.size);
    let value = ctx.aligned(1, places.out_shape(ctx.array(2).shape()).len() - 1)?;
    Ok(smallvec![apply_update(&SETITEM, ctx.batched_input(0)?, &[(&value).into(), ctx.inputs[2]], &places)?])
}

/// The blocks of `x` at row numbers that are in range.
pub(super) fn gather(op: &'static Primitive, x: &Variable, places: &Places, rows: &Variable) -> Result<Variable> {
    apply(op, &[x.into(), rows.into()], places)
}

pub(super) fn gather_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let (places, rows) = (ctx.attrs::<Places>(), ctx.input(1));
    let g = ctx.cotangent();
    if ctx.create_graph() {
        return ctx.add(0, index_add(&g, places, &rows)?);
    }
    ctx.accumulate_part(0, |sum| kernel::add(sum, places, rows.array(), g.array()))
}

/// Zeros with blocks added at row numbers: the transpose of [`gather`].
pub(super) fn index_add(g: &Variable, places: &Places, rows: &Variable) -> Result<Variable> {
    apply(&INDEX_ADD, &[g.into(), rows.into()], places)
}

/// `x` with the blocks at row numbers replaced. If row numbers are repeated, only the last value is kept and has a gradient.
pub(super) fn put(x: Variable, places: &Places, rows: &Variable, value: &Variable) -> Result<Variable> {
    put_at(x, places, &rows_to_write(rows, value)?, value)
}

/// [`put`] at the result of [`rows_to_write`].
pub(super) fn put_at(x: Variable, places: &Places, rows: &Variable, value: &Variable) -> Result<Variable> {
    apply_update(&SETITEM, x, &[value.into(), rows.into()], places)
}

/// The row numbers at which `value` is written: if it is tracked, all but the last of equal ones are [`SKIP`].
pub(super) fn rows_to_write(rows: &Variable, value: &Variable) -> Result<Variable> {
    if !value.is_tracked() || rows.is_lifted() {
        return Ok(rows.clone());
    }
    if !capture::is_on() {
        return Ok(last_of_each(rows.array()).into());
    }
    let found = capture::computed(LastOfEach {}, &[rows.array()])?;
    Ok(found[0].clone().into())
}

/// Records a [`put`] that was executed under a lock.
pub(super) fn record_put(places: &Places, rows: &Variable, old: &Variable, value: &Variable, out: Array) -> Result<Recorded> {
    record_under_lock(&SETITEM, &[old, value, rows], out, |s| {
        s.input(2);
        s.attrs(places.share());
    })
}

fn put_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let g = ctx.cotangent();
    let (places, rows) = (ctx.attrs::<Places>(), ctx.input(2));
    if ctx.needs(1) {
        ctx.add(1, gather(&GETITEM, &g, places, &rows)?)?;
    }
    let zero = Array::zeros(&[], g.dtype()).into();
    if ctx.needs(0) { ctx.add(0, put(g, places, &rows, &zero)?) } else { Ok(()) }
}

/// [`last_of_each`] of row numbers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastOfEach {}

impl Computation for LastOfEach {
    const NAME: &'static str = "LastOfEach";
    const INPUTS: usize = 1;
    const OUTPUTS: usize = 1;

    fn run(&self, inputs: &[Array]) -> Result<Arrays> {
        Ok(smallvec![last_of_each(&inputs[0])])
    }
}

/// The computations of this file.
pub static COMPUTATIONS: &[ComputationKind] = &[ComputationKind::of::<LastOfEach>()];

/// Row numbers, where all but the last of equal ones are [`SKIP`].
fn last_of_each(rows: &Array) -> Array {
    let mut all = rows.to_vec::<i64>();
    let mut seen = std::collections::HashSet::new();
    if seen.try_reserve(all.len()).is_err() {
        alloc_check::raise(alloc_check::exhausted("setitem"));
    }
    for r in all.iter_mut().rev() {
        if *r != SKIP && !seen.insert(*r) {
            *r = SKIP;
        }
    }
    Array::from_slice(&all, rows.shape())
}

/// An integer array as positions along an axis of size `n`: counted from the front, checked to be in range.
pub(super) fn positions(op: &str, index: &Variable, axis: usize, n: usize) -> Result<Vec<i64>> {
    positions_of(op, index.values(op)?, axis, n)
}

/// The range of valid indices.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Bounds {
    op: Box<str>,
    axis: usize,
    size: usize,
    /// Whether negative indices count from the end.
    from_end: bool,
}

/// [`positions`] as a step of a program, which checks the indices in every call.
static POSITIONS: Primitive = Primitive {
    name: "positions",
    eval: |call| {
        let (index, to) = (call.array(0), call.attrs::<Bounds>());
        if !to.from_end {
            refuse_negative(&to.op, index, to.size)?;
        }
        let all = positions_of(&to.op, index, to.axis, to.size)?;
        call.give(Array::from_slice(&all, index.shape()));
        Ok(())
    },
    ..Primitive::BASE
};

/// Rejects negative indices where they do not count from the end.
pub(super) fn refuse_negative(op: &str, index: &Array, count: usize) -> Result<()> {
    let negative =
        dispatch!(integer index.dtype(), T => index.contiguous().as_slice::<T>().unwrap_or_default().iter().any(|i| *i < T::default()), else false);
    if negative {
        return Err(Error::Index(format!("{op}: an index is negative, expected 0 to {}", count.saturating_sub(1))));
    }
    Ok(())
}

/// Indices that may not be negative, as row numbers. This is a step of a program, which checks the indices in every call.
pub(super) fn rows_from_start(op: &str, index: &Variable, count: usize) -> Result<Variable> {
    apply(&POSITIONS, &[(&index.detach()).into()], &Bounds { op: op.into(), axis: 0, size: count, from_end: false })
}

fn positions_of(op: &str, index: &Array, axis: usize, n: usize) -> Result<Vec<i64>> {
    let dtype = index.dtype();
    if !dtype.is_integer() {
        return Err(Error::Index(format!("{op}: arrays used as indices must be of an integer (or bool) dtype, got {dtype}")));
    }
    // A uint64 beyond int64 becomes negative, and so is out of bounds.
    let index = cast(index, DType::I64).contiguous();
    let mut all: Vec<i64> = alloc_check::collect(index.as_slice::<i64>().into_iter().flatten().copied());
    let size = i64::try_from(n).unwrap_or(i64::MAX);
    for i in &mut all {
        if *i < -size || *i >= size {
            return Err(out_of_bounds(op, *i, axis, n));
        }
        *i += if *i < 0 { size } else { 0 };
    }
    Ok(all)
}

/// [`positions`] in the shape of `index`. Inside `vmap` they may differ between samples.
pub(super) fn row_numbers(op: &str, index: &Variable, axis: usize, n: usize) -> Result<Variable> {
    if capture::is_on() && !index.is_lifted() {
        return apply(&POSITIONS, &[(&index.detach()).into()], &Bounds { op: op.into(), axis, size: n, from_end: true });
    }
    if !index.is_lifted() {
        return Ok(Array::from_slice(&positions(op, index, axis, n)?, index.shape()).into());
    }
    positions(op, &index.innermost().clone().into(), axis, n)?;
    let index = super::shape::astype(&index.detach(), DType::I64)?;
    let from_end = super::less(&index, 0)?;
    super::where_(&from_end, &super::add(&index, i64::try_from(n).unwrap_or(i64::MAX))?, &index)
}

#[cold]
pub(super) fn out_of_bounds(op: &str, i: i64, axis: usize, n: usize) -> Error {
    Error::Index(format!("{op}: index {i} is out of bounds for axis {axis} with size {n}"))
}

/// The elements of `x` at `indices` along `axis`; the axes of `indices` replace that axis. `None` indexes the elements of `x` in row-major
/// order.
///
/// # Errors
/// `Index` when an index is out of bounds or not an integer, `Axis` when the axis is.
pub fn take(x: &Variable, indices: &Variable, axis: Option<isize>) -> Result<Variable> {
    let axis = axis.map(|a| normalize_axis("take", a, x.ndim())).transpose()?;
    let n = axis.map_or(x.array().size(), |a| x.shape()[a]);
    let rows = row_numbers("take", indices, axis.unwrap_or(0), n)?;
    let axes: SmallVec<[usize; 4]> = axis.map_or_else(|| (0..x.ndim()).collect(), |a| [a].into_iter().collect());
    let places = Places { shape: Shape::from_slice(x.shape()), axes, place: axis.unwrap_or(0) };
    gather(&TAKE, x, &places, &rows)
}

/// The element at `indices` along `axis`, for every position along the other axes, which broadcast. `None` flattens `x`.
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
    gather(&ALONG, x, &places, &rows)
}

/// Row numbers of single elements: along `axis` the `indices`, broadcast to `out`, and along other axes the position itself.
pub(super) fn along(op: &str, shape: &[usize], indices: &Variable, axis: usize, out: &[usize]) -> Result<(Places, Variable)> {
    let at = super::broadcast_to(&row_numbers(op, indices, axis, shape[axis])?, out)?;
    let whole = Layout::contiguous(shape);
    let step = |a: usize| if a == axis || shape[a] == 1 { 0 } else { whole.strides()[a] };
    let others = Layout::strided(out, &(0..shape.len()).map(step).collect::<Vec<_>>(), 0);
    let along = whole.strides()[axis] as i64;
    let places = Places { shape: Shape::from_slice(shape), axes: (0..shape.len()).collect(), place: 0 };
    if at.is_lifted() || capture::is_on() {
        let mut fixed = Vec::with_capacity(size_of(out));
        if size_of(out) > 0 {
            Cursor::new(&others).for_each(|p| fixed.push(p.cast_signed() as i64));
        }
        let fixed: Variable = Array::from_slice(&fixed, out).into();
        return Ok((places, super::add(&super::multiply(&at, along)?, &fixed)?));
    }
    let mut rows = at.array().to_vec::<i64>();
    let mut k = 0;
    if size_of(out) > 0 {
        Cursor::new(&others).for_each(|p| {
            rows[k] = rows[k] * along + p.cast_signed() as i64;
            k += 1;
        });
    }
    Ok((places, Array::from_slice(&rows, out).into()))
}

/// For every position along the other axes, the one element at `index` along `axis`. `index` has the shape without that axis.
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
    squeeze(&gather(&ALONG, x, &places, &rows)?, Some(&place))
}

/// For every row (the last axis), the element at `index`.
///
/// # Errors
/// As [`pick`].
pub fn gather_rows(x: &Variable, index: &Variable) -> Result<Variable> {
    pick(x, index, -1)
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        moves: true,
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
        moves: true,
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
