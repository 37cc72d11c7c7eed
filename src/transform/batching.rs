//! Batching: a function of one sample runs on all samples of a batch at once.

use std::cell::RefCell;

use smallvec::SmallVec;

use super::{Function, check_active, end_level, fresh_level, views};
use crate::array::{Array, DType, Scalar, Shape};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::ops;
use crate::tape::{AttrSet, Batch, BatchContext, Edge, Lift, Lifted, Operand, Outputs, Primitive, Variable, apply_all};

/// `f`, mapped over an axis of its inputs (`None`: the input is the same for all samples); the results have their batch axis
/// in front.
///
/// # Errors
/// Those of `f`; `Value` when no input is mapped; `Shape` when the sizes of the mapped axes differ; `Axis` when one is out of range.
pub fn vmap(f: Function<'_>, inputs: &[Variable], axes: &[Option<isize>]) -> Result<Vec<Variable>> {
    let level = fresh_level();
    let mut size = None;
    let mut lifted = Vec::with_capacity(inputs.len());
    for (x, axis) in inputs.iter().zip(axes) {
        let Some(axis) = axis else {
            lifted.push(x.clone());
            continue;
        };
        let front = ops::moveaxis(x, &[*axis], &[0])?;
        let n = front.shape()[0];
        if *size.get_or_insert(n) != n {
            return Err(Error::Shape(format!(
                "vmap: the mapped axes differ in size: {} and {n} (shape {})",
                size.unwrap_or(0),
                show_shape(x.shape())
            )));
        }
        lifted.push(lift(level, front));
    }
    let Some(size) = size else { return Err(Error::Value("vmap: no input is mapped, at least one axis must not be None".to_owned())) };
    let active = Active::enter(level, size, Randomness::Different);
    let outputs = f(&lifted);
    drop(active);
    end_level(level);
    let outputs = outputs?;
    outputs.into_iter().map(|y| with_batch_axis(level, size, &y)).collect()
}

/// `x` as one sample, mapped over `axis`.
///
/// # Errors
/// `Axis` when the axis is out of range.
pub fn batched(level: u64, x: &Variable, axis: isize) -> Result<Variable> {
    Ok(lift(level, if axis == 0 && x.ndim() > 0 { x.clone() } else { ops::moveaxis(x, &[axis], &[0])? }))
}

/// All samples of a value, with the batch axis at `axis`. A value that is not mapped is repeated.
///
/// # Errors
/// `Axis` when the axis is out of range.
pub fn unbatched(level: u64, size: usize, y: &Variable, axis: isize) -> Result<Variable> {
    let all = with_batch_axis(level, size, y)?;
    if axis == 0 { Ok(all) } else { ops::moveaxis(&all, &[0], &[axis]) }
}

/// The value of a batch, with its axis in front, that all samples share; `None` when they differ or cannot be compared.
///
/// # Errors
/// Those of taking a sample.
#[allow(clippy::float_cmp, clippy::eq_op, reason = "samples are the same where all their elements are, and NaN is the same as NaN")]
pub fn common(all: &Variable) -> Result<Option<Variable>> {
    if all.is_lifted() || all.shape()[0] == 0 {
        return Ok(None);
    }
    if all.array().layout().strides()[0] != 0 {
        let rows = all.values("vmap")?.contiguous();
        let size = rows.size() / rows.shape()[0];
        let is_same = dispatch!(rows.dtype(), T => {
            let (first, rest) = rows.as_slice::<T>().unwrap_or_default().split_at(size);
            rest.iter().zip(first.iter().cycle()).all(|(x, y)| x == y || (x != x && y != y))
        });
        if !is_same {
            return Ok(None);
        }
    }
    ops::get_item(all, &[ops::IndexItem::Int(0)]).map(Some)
}

/// Begins a mapping over `size` samples in this thread; [`leave`] must be called after it.
pub fn enter(level: u64, size: usize, randomness: Randomness) {
    std::mem::forget(Active::enter(level, size, randomness));
}

/// Ends the mapping of that level, and all mappings inside it.
pub fn leave(level: u64) {
    ACTIVE.with_borrow_mut(|all| all.retain(|&(l, _, _)| l < level));
}

/// Number of nested mappings of this thread.
#[must_use]
pub fn mapping_depth() -> usize {
    ACTIVE.with_borrow(Vec::len)
}

/// The number of mappings around that of a level.
#[must_use]
pub fn depth_of(level: u64) -> usize {
    ACTIVE.with_borrow(|all| all.iter().take_while(|&&(l, _, _)| l < level).count())
}

/// While it lives, this thread is outside of the mappings beyond the first few.
#[must_use]
pub struct Outside(Vec<(u64, usize, Randomness)>);

impl Outside {
    /// Leaves the mappings beyond the first `depth`.
    pub fn of(depth: usize) -> Self {
        Self(suspend(depth))
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        ACTIVE.with_borrow_mut(|all| all.append(&mut self.0));
    }
}

/// Leaves the mappings beyond the first `depth` and returns level, size and randomness of each. Their values stay valid; [`enter`] restores
/// a mapping.
#[must_use]
pub fn suspend(depth: usize) -> Vec<(u64, usize, Randomness)> {
    ACTIVE.with_borrow_mut(|all| if depth < all.len() { all.split_off(depth) } else { Vec::new() })
}

thread_local! {
    /// The mappings of this thread, outermost first: level, size, randomness.
    static ACTIVE: RefCell<Vec<(u64, usize, Randomness)>> = const { RefCell::new(Vec::new()) };
}

/// How random draws inside a mapping work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Randomness {
    /// Each sample gets different numbers.
    Different,
    /// All samples get the same numbers.
    Same,
    /// A draw is an error.
    Error,
}

/// A mapping is active while it lives.
struct Active;

impl Active {
    fn enter(level: u64, size: usize, randomness: Randomness) -> Self {
        ACTIVE.with_borrow_mut(|all| all.push((level, size, randomness)));
        Self
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        ACTIVE.with_borrow_mut(Vec::pop);
    }
}

/// The number of samples of an active mapping, and the kind of its random draws.
#[must_use]
pub fn active_mapping(level: u64) -> Option<(usize, Randomness)> {
    ACTIVE.with_borrow(|all| all.iter().find(|&&(l, _, _)| l == level).map(|&(_, size, randomness)| (size, randomness)))
}

/// Whether this thread is inside a mapping.
#[must_use]
pub fn is_mapping() -> bool {
    ACTIVE.with_borrow(|all| !all.is_empty())
}

/// The shape of a random draw with the axes of all samples in front, and the levels of these axes.
///
/// # Errors
/// `Grad` if a mapping does not allow draws.
pub fn drawn_shape(op: &str, shape: &[isize]) -> Result<(Vec<isize>, Vec<u64>)> {
    let active = ACTIVE.with_borrow(Vec::clone);
    if active.iter().any(|&(_, _, r)| r == Randomness::Error) {
        return Err(Error::Grad(format!(
            "{op}: a random number was drawn inside vmap(randomness='error'); use 'different' or 'same', or draw outside of the function"
        )));
    }
    let own = active.iter().filter(|&&(_, _, r)| r == Randomness::Different);
    let sizes = own.clone().map(|&(_, size, _)| size.cast_signed());
    Ok((sizes.chain(shape.iter().copied()).collect(), own.map(|&(level, _, _)| level).collect()))
}

/// A random draw whose leading axes are those of the samples at these levels, as one sample.
#[must_use]
pub fn drawn(all: Variable, levels: &[u64]) -> Variable {
    levels.iter().fold(all, |v, &level| lift(level, v))
}

/// `x` as a value of every active mapping: a value that is not mapped is repeated, as a view. So each sample has its own gradient.
pub(super) fn mapped(x: &Variable) -> Result<Variable> {
    ACTIVE.with_borrow(Vec::clone).into_iter().try_fold(x.clone(), |x, (level, size, _)| within(&x, level, size))
}

/// `x` lifted to `level`, below the values of inner transformations.
fn within(x: &Variable, level: u64, size: usize) -> Result<Variable> {
    match x.edge() {
        Edge::Lifted(l) if l.level == level => Ok(x.clone()),
        Edge::Lifted(l) if l.level > level => {
            let value = within(&l.value, level, size)?;
            Ok(Variable::lifted(x.array().clone(), Lifted { level: l.level, run: l.run, value, kind: l.kind.clone() }))
        }
        _ => Ok(lift(level, with_batch_axis(level, size, x)?)),
    }
}

/// A batched value; its batch axis must be first.
fn lift(level: u64, value: Variable) -> Variable {
    let example = example(&value.shape()[1..], value.dtype());
    Variable::lifted(example, Lifted { level, run, value, kind: Lift::Batched })
}

/// An array with the shape and dtype of one sample. Its elements are never read.
pub(super) fn example(shape: &[usize], dtype: DType) -> Array {
    Array::full(&[], Scalar::Int(0), dtype).broadcast_to("vmap", shape).unwrap_or_else(|_| Array::zeros(shape, dtype))
}

/// A value with its batch axis. A value that is not mapped is repeated, as a view.
fn with_batch_axis(level: u64, size: usize, y: &Variable) -> Result<Variable> {
    if let Some(l) = y.at_level(level) {
        return Ok(l.value.clone());
    }
    let shape: Shape = std::iter::once(size).chain(y.shape().iter().copied()).collect();
    ops::broadcast_to(y, &shape)
}

/// Runs a primitive on a batch.
fn run(level: u64, p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Outputs> {
    check_active(level, p.name)?;
    if let (Batch::Definition, Some(definition)) = (p.batch, p.definition) {
        let inputs: Vec<Variable> = inputs.iter().filter_map(|i| i.variable().cloned()).collect();
        return definition(&inputs, attrs);
    }
    let values: SmallVec<[Option<&Variable>; 3]> = inputs.iter().map(|i| Some(&i.variable()?.at_level(level)?.value)).collect();
    let size = values.iter().flatten().map(|v| v.shape()[0]).next().unwrap_or(1);
    let mapped: SmallVec<[bool; 3]> = values.iter().map(Option::is_some).collect();
    let aligned: SmallVec<[Option<Variable>; 3]>;
    let mut below: SmallVec<[Operand<'_>; 3]> = inputs.iter().zip(&values).map(|(i, v)| v.map_or(*i, Operand::Variable)).collect();
    let outputs = match p.batch {
        Batch::Elementwise => {
            let rank = inputs.iter().filter_map(|i| i.variable().map(Variable::ndim)).max().unwrap_or(0);
            aligned = inputs.iter().zip(&values).map(|(i, v)| align(*i, *v, rank)).collect::<Result<SmallVec<[Option<Variable>; 3]>>>()?;
            for (b, a) in below.iter_mut().zip(&aligned) {
                if let Some(a) = a {
                    *b = Operand::Variable(a);
                }
            }
            apply_all(p, &below, attrs)?
        }
        Batch::Rule(rule) => rule(&BatchContext { primitive: p, inputs: &below, mapped: &mapped, size, attrs, each })?,
        Batch::Definition | Batch::Loop => each(&BatchContext { primitive: p, inputs: &below, mapped: &mapped, size, attrs, each })?,
    };
    if !p.is_view {
        return Ok(outputs.into_iter().map(|y| lift(level, y)).collect());
    }
    let lifted = |(value, example): (Variable, Variable)| Variable::lifted(example.into_array(), Lifted { level, run, value, kind: Lift::Batched });
    Ok(outputs.into_iter().zip(views(p, inputs, attrs)?).map(lifted).collect())
}

/// A mapped operand of an elementwise primitive, with axes of size one after its batch axis, so that all operands have the same rank.
fn align(input: Operand<'_>, value: Option<&Variable>, rank: usize) -> Result<Option<Variable>> {
    let (Operand::Variable(sample), Some(value)) = (input, value) else { return Ok(None) };
    if sample.ndim() == rank {
        return Ok(None);
    }
    let shape = value.shape();
    let wide: Shape = shape[..1].iter().copied().chain(std::iter::repeat_n(1, rank - sample.ndim())).chain(shape[1..].iter().copied()).collect();
    crate::tape::accumulate::reshape(value, &wide).map(Some)
}

/// The primitive, sample by sample.
fn each(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let mut rows: Vec<Vec<Variable>> = Vec::new();
    for i in 0..ctx.size {
        let sample = |k: usize| if ctx.mapped[k] { ops::get_item(ctx.array(k), &[ops::IndexItem::Int(i.cast_signed())]).map(Some) } else { Ok(None) };
        let samples = (0..ctx.inputs.len()).map(sample).collect::<Result<SmallVec<[Option<Variable>; 3]>>>()?;
        let inputs: SmallVec<[Operand<'_>; 3]> = ctx.inputs.iter().zip(&samples).map(|(i, s)| s.as_ref().map_or(*i, Operand::Variable)).collect();
        for (k, y) in apply_all(ctx.primitive, &inputs, ctx.attrs)?.into_iter().enumerate() {
            if rows.len() <= k {
                rows.push(Vec::with_capacity(ctx.size));
            }
            rows[k].push(y);
        }
    }
    rows.into_iter().map(|all| ops::stack(&all, 0)).collect()
}
