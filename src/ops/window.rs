//! Parts of an array that a layout can describe: read as a view, written as a copy with that part replaced.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::array::{Array, DType, Layout, Scalar, Shape};
use crate::error::{Error, Result, show_shape};
use crate::kernel::region;
use crate::tape::{Attrs, Grads, Op, Recorded, Rule, Step, Variable, one_gradient, record, record_under_lock};

use super::shape::stored_as;

/// `count` positions of an axis from `start` on, `step` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The first position.
    pub start: usize,
    /// How many.
    pub count: usize,
    /// The distance between neighbours; never 0.
    pub step: isize,
}

impl Cut {
    /// All of an axis of size `n`.
    #[must_use]
    pub const fn whole(n: usize) -> Self {
        Self { start: 0, count: n, step: 1 }
    }

    /// One position.
    #[must_use]
    pub const fn one(i: usize) -> Self {
        Self { start: i, count: 1, step: 1 }
    }

    /// Python's start:stop:step of an axis of size `n`.
    ///
    /// # Errors
    /// `Value` when the step is zero.
    pub fn slice(start: Option<isize>, stop: Option<isize>, step: Option<isize>, n: usize) -> Result<Self> {
        let step = step.unwrap_or(1);
        if step == 0 {
            return Err(Error::Value("slice step cannot be zero".to_owned()));
        }
        let n = n.cast_signed();
        let back = step < 0;
        let (low, high) = if back { (-1, n - 1) } else { (0, n) };
        let clamp = |i: isize| if i < 0 { (i + n).max(low) } else { i.min(high) };
        let start = start.map_or(if back { high } else { low }, clamp);
        let stop = stop.map_or(if back { low } else { high }, clamp);
        let distance = if back { start - stop } else { stop - start };
        let count = usize::try_from(distance).map_or(0, |d| d.div_ceil(step.unsigned_abs()));
        // A step that is never taken may be too large to multiply with a stride.
        let step = if count < 2 { 1 } else { step };
        Ok(Self { start: if count == 0 { 0 } else { start.cast_unsigned() }, count, step })
    }
}

/// A part of an array in which no element appears twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Window {
    /// A cut along every axis, seen with axes of size one added or left out.
    Region {
        /// One for each axis.
        cuts: SmallVec<[Cut; 4]>,
        /// The shape it is seen with.
        shape: Shape,
    },
    /// A diagonal of two axes, as the last axis.
    Diagonal {
        /// How far above the main one.
        offset: isize,
        /// Rows and columns.
        axes: [usize; 2],
    },
}

impl Window {
    /// One cut along `axis` of an array of `shape`.
    #[must_use]
    pub fn along(shape: &[usize], axis: usize, cut: Cut) -> Self {
        let mut cuts: SmallVec<[Cut; 4]> = shape.iter().map(|&n| Cut::whole(n)).collect();
        cuts[axis] = cut;
        let mut shape = Shape::from_slice(shape);
        shape[axis] = cut.count;
        Self::Region { cuts, shape }
    }

    /// The part of `whole`.
    #[must_use]
    pub fn layout(&self, whole: &Layout) -> Layout {
        match self {
            Self::Region { cuts, shape } => {
                let mut part = whole.clone();
                for (axis, c) in cuts.iter().enumerate() {
                    part = part.slice(axis, c.start, c.count, c.step);
                }
                part.reshape(shape).unwrap_or_else(|| unreachable!("axes of size one never need a copy"))
            }
            Self::Diagonal { offset, axes } => region::diagonal(whole, *offset, *axes),
        }
    }

    /// Writes `value`, broadcast, over the part of `x`.
    pub(super) fn put(&self, x: &mut Array, value: &Array) {
        region::write(x, |whole| self.layout(whole), value);
    }

    /// The part of `x`, without history.
    #[must_use]
    pub fn of(&self, x: &Array) -> Array {
        x.with_layout(self.layout(x.layout()))
    }
}

pub(super) static GETITEM: Op = Op { name: "getitem", rule: Rule::Vjp(view_vjp) };
pub(super) static DIAGONAL: Op = Op { name: "diagonal", rule: Rule::Vjp(view_vjp) };
static SETITEM: Op = Op { name: "setitem", rule: Rule::Vjp(replace_vjp) };

fn window_of(step: &Step<'_>) -> Window {
    step.attrs().data::<Window>().unwrap_or_else(|| unreachable!("{}: recorded without its window", step.name())).clone()
}

/// The part of `x` that a window shows, as a view.
pub(super) fn view(op: &'static Op, x: &Variable, window: Window) -> Result<Variable> {
    let out = window.of(x.array());
    record(op, &[x], out, |s| s.attrs(Attrs::Data(Arc::new(window))))
}

fn view_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let (g, window) = (step.take_g(), window_of(step));
    if step.create_graph() {
        let map = Arc::new(window.layout(&Layout::contiguous(&step.meta(0).shape)));
        return Ok(one_gradient(super::view::view_add(step.recorded_or_zeros(0), &map, &g)?));
    }
    let mut sum = step.collected_or_zeros(0);
    region::add(&mut sum, |whole| window.layout(whole), g.array());
    Ok(one_gradient(sum.into()))
}

/// `value` as it can be written to a place of `shape`: in the dtype of the target, without leading axes of size one
/// that are too many.
pub(super) fn fit_value(value: &Variable, dtype: DType, shape: &[usize], advanced: bool) -> Result<Variable> {
    let extra = value.ndim().saturating_sub(shape.len());
    let fits = value.shape()[..extra].iter().all(|&n| n == 1)
        && value.shape()[extra..].iter().rev().zip(shape.iter().rev()).all(|(&v, &n)| v == n || v == 1);
    if !fits {
        let (from, to) = (show_shape(value.shape()), show_shape(shape));
        return Err(Error::Shape(if advanced {
            format!("setitem: a value of shape {from} cannot be broadcast to the indexing result of shape {to}")
        } else {
            format!("setitem: could not broadcast a value of shape {from} into shape {to}")
        }));
    }
    let value = stored_as("setitem", value, dtype)?;
    if extra == 0 { Ok(value) } else { super::shape::reshape_to(&value, &value.shape()[extra..]) }
}

/// `x` with `value`, broadcast, in a window. `x` is overwritten when nobody else holds it.
pub(super) fn replace(x: Variable, window: Window, value: &Variable) -> Result<Variable> {
    let edge = x.edge().clone();
    let mut out = x.into_array();
    window.put(&mut out, value.array());
    let old = Variable::with_edge(out.clone(), edge); // only its place on the tape is looked at
    record(&SETITEM, &[&old, value], out, |s| s.attrs(Attrs::Data(Arc::new(window))))
}

/// Records a [`replace`] that was done under a lock.
pub(super) fn record_replace(window: &Window, old: &Variable, value: &Variable, out: Array) -> Result<Recorded> {
    record_under_lock(&SETITEM, &[old, value], out, |s| s.attrs(Attrs::Data(Arc::new(window.clone()))))
}

fn replace_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let (g, window) = (step.take_g(), window_of(step));
    let value = if step.needs(1) {
        // A copy of the part: sharing the buffer would keep it from being overwritten below.
        Some(record(&GETITEM, &[&g], window.of(g.array()).copy(), |s| s.attrs(Attrs::Data(Arc::new(window.clone()))))?)
    } else {
        None
    };
    let x = if step.needs(0) {
        let zero = Array::full(&[], Scalar::Int(0), g.dtype()).into();
        Some(replace(g, window, &zero)?)
    } else {
        None
    };
    Ok(Grads::from_iter([x, value]))
}
