//! Parts of an array that a layout can describe: read as a view, written as a copy in which the part is replaced.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::array::{Array, DType, Layout, Scalar, Shape};
use crate::error::{Error, Result, show_shape};
use crate::kernel::slice_write;
use crate::tape::{AttrSet, Batch, Jvp, Primitive, Recorded, Variable, Vjp, VjpContext, apply, apply_update, record_under_lock};

use super::shape::stored_as;

/// `count` positions along an axis, `step` apart, from `start` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

    /// Python's start:stop:step for an axis of size `n`.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Window {
    /// A slice along every axis, reshaped by inserting or removing axes of size one.
    Region {
        /// One slice per axis.
        cuts: SmallVec<[Cut; 4]>,
        /// The shape of the part.
        shape: Shape,
    },
    /// The diagonal of two axes, as the last axis.
    Diagonal {
        /// The offset above the main diagonal.
        offset: isize,
        /// Rows and columns.
        axes: [usize; 2],
    },
}

impl Window {
    /// One slice along `axis` of an array of `shape`.
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
            Self::Diagonal { offset, axes } => slice_write::diagonal(whole, *offset, *axes),
        }
    }

    /// Writes `value`, broadcast, to the part of `x`.
    pub(super) fn put(&self, x: &mut Array, value: &Array) {
        slice_write::write(x, |whole| self.layout(whole), value);
    }

    /// Number of axes of the part, for an array with `axes` axes.
    fn ndim(&self, axes: usize) -> usize {
        match self {
            Self::Region { shape, .. } => shape.len(),
            Self::Diagonal { .. } => axes - 1,
        }
    }

    /// The same part of every array of a batch of size `n`, whose axis is first.
    fn batched(&self, n: usize) -> Self {
        match self {
            Self::Region { cuts, shape } => Self::Region {
                cuts: std::iter::once(Cut::whole(n)).chain(cuts.iter().copied()).collect(),
                shape: std::iter::once(n).chain(shape.iter().copied()).collect(),
            },
            Self::Diagonal { offset, axes: [a, b] } => Self::Diagonal { offset: *offset, axes: [a + 1, b + 1] },
        }
    }

    /// The part of `x`, without history.
    #[must_use]
    pub fn of(&self, x: &Array) -> Array {
        x.with_layout(self.layout(x.layout()))
    }
}

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&GETITEM, &DIAGONAL, &COPY_PART, &SETITEM];

pub(super) static GETITEM: Primitive = VIEW;
pub(super) static DIAGONAL: Primitive = Primitive { name: "diagonal", ..VIEW };

/// A part of an array as a view.
const VIEW: Primitive = Primitive {
    is_view: true,
    name: "getitem",
    eval: |call| {
        call.give(call.attrs::<Window>().of(call.array(0)));
        Ok(())
    },
    vjp: Vjp::Rule(view_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(|ctx| Ok(smallvec![apply(ctx.primitive, ctx.inputs, &ctx.attrs::<Window>().batched(ctx.size))?])),
    ..Primitive::BASE
};
crate::attributes!(Window);

/// As [`VIEW`], but copied: sharing the buffer would prevent it from being overwritten.
static COPY_PART: Primitive = Primitive {
    eval: |call| {
        call.give(call.attrs::<Window>().of(call.array(0)).copy());
        Ok(())
    },
    ..VIEW
};

/// x (input 0), where a window is replaced by a value (input 1), which broadcasts.
static SETITEM: Primitive = Primitive {
    name: "setitem",
    eval: |call| {
        let (window, value) = (call.attrs::<Window>(), call.array(1));
        window.put(call.update(), value);
        Ok(())
    },
    vjp: Vjp::Rule(replace_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(|ctx| {
        let window: &Window = ctx.attrs();
        let axes = ctx.array(0).ndim() - usize::from(ctx.mapped[0]);
        let (value, window) = (ctx.aligned(1, window.ndim(axes))?, window.batched(ctx.size));
        Ok(smallvec![apply_update(&SETITEM, ctx.batched_input(0)?, &[(&value).into()], &window)?])
    }),
    ..Primitive::BASE
};

/// The part of `x` in a window, as a view.
pub(super) fn view(op: &'static Primitive, x: &Variable, window: &Window) -> Result<Variable> {
    apply(op, &[x.into()], window)
}

fn view_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let (g, window) = (ctx.cotangent(), ctx.attrs::<Window>());
    if ctx.create_graph() {
        let map = Arc::new(window.layout(&Layout::contiguous(&ctx.meta(0).shape)));
        let sum = ctx.take_recorded(0);
        return ctx.add(0, super::view::view_add(sum, &map, &g)?);
    }
    ctx.accumulate_part(0, |sum| slice_write::add(sum, |whole| window.layout(whole), g.array()))
}

/// `value` in the form in which it is written to a part of `shape`: in the dtype of the target, without excess leading axes of size one.
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

/// `x`, where a window is replaced by `value`, which broadcasts. `x` is overwritten unless its storage is shared.
pub(super) fn replace(x: Variable, window: &Window, value: &Variable) -> Result<Variable> {
    apply_update(&SETITEM, x, &[value.into()], window)
}

/// Records a [`replace`] that was executed under a lock.
pub(super) fn record_replace(window: &Window, old: &Variable, value: &Variable, out: Array) -> Result<Recorded> {
    record_under_lock(&SETITEM, &[old, value], out, |s| s.attrs(window.share()))
}

fn replace_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let (g, window) = (ctx.cotangent(), ctx.attrs::<Window>());
    if ctx.needs(1) {
        ctx.add(1, apply(&COPY_PART, &[(&g).into()], window)?)?;
    }
    if ctx.needs(0) {
        let zero = Array::full(&[], Scalar::Int(0), g.dtype()).into();
        ctx.add(0, replace(g, window, &zero)?)?;
    }
    Ok(())
}
