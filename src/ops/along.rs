//! Elements at computed positions along an axis, for sorting and order statistics.
//!
//! Unlike indices from users, positions are in range and may be mapped by `vmap`. So this is one primitive and its transpose.

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use crate::array::Shape;
use crate::error::Result;
use crate::kernel::along as kernel;
use crate::tape::{Batch, BatchContext, Jvp, Outputs, Primitive, Variable, Vjp, apply};

/// The axis of the positions, and the size of that axis in the array that they index.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Axis {
    axis: usize,
    size: usize,
}
crate::attributes!(Axis);

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&AT_POSITIONS, &ADD_AT_POSITIONS];

/// x (input 0) at positions (input 1).
static AT_POSITIONS: Primitive = Primitive {
    name: "at_positions",
    eval: |call| {
        let out = kernel::take(call.array(0), call.array(1), call.attrs::<Axis>().axis);
        call.give(out);
        Ok(())
    },
    saves: |s| s.input(1),
    vjp: Vjp::Rule(|ctx| {
        let (g, at) = (ctx.cotangent(), ctx.input(1));
        ctx.add(0, apply(&ADD_AT_POSITIONS, &[(&g).into(), (&at).into()], ctx.attrs::<Axis>())?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch),
    ..Primitive::BASE
};

/// Zeros with g (input 0) added at positions (input 1).
static ADD_AT_POSITIONS: Primitive = Primitive {
    name: "add_at_positions",
    eval: |call| {
        let a: &Axis = call.attrs();
        let out = kernel::add(call.array(0), call.array(1), a.axis, a.size);
        call.give(out);
        Ok(())
    },
    saves: |s| s.input(1),
    vjp: Vjp::Rule(|ctx| {
        let (g, at) = (ctx.cotangent(), ctx.input(1));
        ctx.add(0, apply(&AT_POSITIONS, &[(&g).into(), (&at).into()], ctx.attrs::<Axis>())?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch),
    ..Primitive::BASE
};

fn batch(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let a: &Axis = ctx.attrs();
    ctx.apply_spread(&Axis { axis: a.axis + 1, size: a.size })
}

/// The elements of `x` at `positions` along `axis`. Positions are int64 and in range; apart from that axis, their shape is that of `x`.
pub(super) fn at_positions(x: &Variable, positions: &Variable, axis: usize) -> Result<Variable> {
    let mut shape = Shape::from_slice(x.shape());
    shape[axis] = positions.shape()[axis];
    let positions = super::broadcast_to(positions, &shape)?;
    apply(&AT_POSITIONS, &[x.into(), (&positions).into()], &Axis { axis, size: x.shape()[axis] })
}

/// Batches an operation whose only attribute is an axis; `shifted` is that attribute for the batch.
pub(super) fn batch_axis<A: crate::tape::AttrSet>(ctx: &BatchContext<'_>, shifted: &A) -> Result<Outputs> {
    Ok(smallvec![apply(ctx.primitive, &[ctx.inputs[0]], shifted)?])
}
