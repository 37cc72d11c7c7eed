//! The linear operations that the engine itself needs: adding gradients, casting, summing a gradient to the shape of a broadcast input, and
//! the transposes. The tape records them like any other primitive; `ops` builds on them.

use super::node::Vjp;
use super::primitive::{Batch, BatchContext, Jvp, Outputs, Primitive, apply};
use super::variable::Variable;
use super::vjp_context::VjpContext;
use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use crate::array::{Array, DType, Shape, broadcast_shapes};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel;

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&ADD, &ASTYPE, &SUM_TO, &RESHAPE, &BROADCAST_TO];

/// `a + b` of one shape and dtype. In a batch, one of them may be the same for all samples.
pub(crate) static ADD: Primitive = Primitive {
    name: "add",
    eval: |call| {
        let (a, b) = (call.array(0), call.array(1));
        let out = if a.shape() == b.shape() {
            kernel::arithmetic::add(a, b)
        } else {
            let shape = broadcast_shapes(a.shape(), b.shape()).ok_or_else(|| Error::broadcast("add", a.shape(), b.shape()))?;
            kernel::arithmetic::add(&a.broadcast_to("add", &shape)?, b)
        };
        call.give(out);
        Ok(())
    },
    vjp: Vjp::Rule(add_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Elementwise,
    ..Primitive::BASE
};

fn add_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let g = ctx.cotangent();
    ctx.add(0, g.clone())?;
    ctx.add(1, g)
}

/// Converts to another dtype. From complex to real it takes the real part: the transpose of the cast from real to complex.
pub(crate) const CAST: Primitive = Primitive {
    moves: true,
    name: "astype",
    eval: |call| {
        let out = kernel::cast::cast(call.array(0), call.attrs::<ToDType>().dtype);
        call.give(out);
        Ok(())
    },
    vjp: Vjp::Rule(cast_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Elementwise,
    ..Primitive::BASE
};
static ASTYPE: Primitive = CAST;

/// The dtype of the result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ToDType {
    pub(crate) dtype: DType,
}

fn cast_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let dtype = ctx.meta(0).dtype;
    let g = ctx.cotangent();
    ctx.add(0, cast(&g, dtype)?)
}

/// `x` in another dtype. A cast from complex to real takes the real part.
pub(crate) fn cast(x: &Variable, dtype: DType) -> Result<Variable> {
    if x.dtype() == dtype { Ok(x.clone()) } else { apply(&ASTYPE, &[x.into()], &ToDType { dtype }) }
}

/// The sum over axes that broadcasting added or stretched. The transpose of [`BROADCAST_TO`].
pub(crate) static SUM_TO: Primitive = Primitive {
    name: "sum_to",
    eval: |call| {
        let out = kernel::reduce::sum_to(call.array(0), &call.attrs::<ToShape>().shape);
        call.give(out);
        Ok(())
    },
    vjp: Vjp::Rule(sum_to_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_to_shape),
    ..Primitive::BASE
};

/// The shape of the result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ToShape {
    pub(crate) shape: Shape,
}
crate::attributes!(ToShape, ToDType);

/// The batch axis stays in front. If the input has fewer axes than the result, axes of size one are inserted after it.
fn batch_to_shape(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let x = ctx.array(0);
    let shape = &ctx.attrs::<ToShape>().shape;
    let padded = shape.len().max(x.ndim() - 1);
    let ones = |shape: &[usize]| -> Shape {
        std::iter::once(ctx.size).chain(std::iter::repeat_n(1, padded - shape.len())).chain(shape.iter().copied()).collect()
    };
    let x = reshape(x, &ones(&x.shape()[1..]))?;
    let out = apply(ctx.primitive, &[(&x).into()], &ToShape { shape: ones(shape) })?;
    let exact: Shape = std::iter::once(ctx.size).chain(shape.iter().copied()).collect();
    Ok(smallvec![reshape(&out, &exact)?])
}

/// The elements in row-major order with another shape of the same size.
pub(crate) static RESHAPE: Primitive = RESHAPING;

/// The part that all reshaping primitives share.
pub(crate) const RESHAPING: Primitive = Primitive {
    is_view: true,
    name: "reshape",
    eval: |call| {
        let out = call.array(0).reshape(&call.attrs::<ToShape>().shape)?;
        call.give(out);
        Ok(())
    },
    vjp: Vjp::Rule(reshape_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_reshape),
    ..Primitive::BASE
};

pub(crate) fn reshape_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let g = ctx.cotangent();
    ctx.add(0, reshape(&g, &ctx.meta(0).shape)?)
}

pub(crate) fn batch_reshape(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let shape = std::iter::once(ctx.size).chain(ctx.attrs::<ToShape>().shape.iter().copied()).collect();
    Ok(smallvec![apply(ctx.primitive, ctx.inputs, &ToShape { shape })?])
}

/// `x` with another shape of the same size.
pub(crate) fn reshape(x: &Variable, shape: &[usize]) -> Result<Variable> {
    if x.shape() == shape { Ok(x.clone()) } else { apply(&RESHAPE, &[x.into()], &ToShape { shape: Shape::from_slice(shape) }) }
}

fn sum_to_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let shape = ctx.meta(0).shape.clone();
    let g = ctx.cotangent();
    ctx.add(0, broadcast_to(&g, &shape)?)
}

/// A view with stretched axes.
pub(crate) static BROADCAST_TO: Primitive = Primitive {
    is_view: true,
    name: "broadcast_to",
    eval: |call| {
        let out = call.array(0).broadcast_to(call.name(), &call.attrs::<ToShape>().shape)?;
        call.give(out);
        Ok(())
    },
    vjp: Vjp::Rule(broadcast_to_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_to_shape),
    ..Primitive::BASE
};

#[allow(clippy::unnecessary_wraps, reason = "the signature of a rule")]
fn broadcast_to_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    // The engine sums a gradient to the shape of its input, so the rule passes the cotangent on.
    let g = ctx.cotangent();
    ctx.add(0, g)
}

/// The sum of two gradients, recorded when they are tracked.
pub(crate) fn add(a: &Variable, b: &Variable) -> Result<Variable> {
    apply(&ADD, &[a.into(), b.into()], &())
}

/// `a += b` for arrays of one shape and dtype.
pub(crate) fn add_in_place(a: &mut Array, b: &Array) {
    kernel::arithmetic::add_in_place(a, b);
}

/// `x` summed to `shape`, which broadcasts to the shape of `x`.
pub(crate) fn sum_to(x: &Variable, shape: &[usize], op: &str) -> Result<Variable> {
    let lead = x.ndim().checked_sub(shape.len());
    let fits = lead.is_some_and(|lead| shape.iter().zip(&x.shape()[lead..]).all(|(&s, &n)| s == n || s == 1));
    if !fits {
        return Err(Error::Grad(format!(
            "{op}: its gradient rule returned shape {} for an input of shape {}",
            show_shape(x.shape()),
            show_shape(shape)
        )));
    }
    apply(&SUM_TO, &[x.into()], &ToShape { shape: Shape::from_slice(shape) })
}

/// `x` broadcast to `shape`.
pub(crate) fn broadcast_to(x: &Variable, shape: &[usize]) -> Result<Variable> {
    apply(&BROADCAST_TO, &[x.into()], &ToShape { shape: Shape::from_slice(shape) })
}

/// Whether any element is NaN.
pub(crate) fn has_nan(a: &Array) -> bool {
    #[allow(clippy::eq_op, clippy::float_cmp, reason = "only NaN differs from itself")]
    let is_nan = dispatch!(inexact a.dtype(), T => a.view::<T>().iter().any(|x| x != x), else {
        a.dtype().is_half() && has_nan(&kernel::cast::cast(a, DType::F32))
    });
    is_nan
}
