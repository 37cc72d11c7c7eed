//! The choice between two arrays by a condition.

use super::comparison::pairs;
use super::define::meet;
use super::registry::{Arg, Entry, Gradient, Operand, Param, Sample};
use super::shape::{ToDType, astype};
use crate::array::{Array, DType, Scalar, Shape, broadcast_shapes, check_growth};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::tape::{Batch, Grads, Jvp, Primitive, Rule, Step, Variable, apply};

static WHERE: Primitive = Primitive {
    name: "where",
    eval: |call| {
        let (condition, dtype) = (call.array(0), call.attrs::<ToDType>().dtype);
        let (a, b) = (side(call.input(1), dtype), side(call.input(2), dtype));
        let shape = [&a, &b].iter().try_fold(Shape::from_slice(condition.shape()), |shape, x| broadcast_shapes(&shape, x.shape()));
        let shape = shape.ok_or_else(|| Error::broadcast("where", a.shape(), b.shape()))?;
        let out = choose(condition, &a, &b, &shape)?;
        call.give(out);
        Ok(())
    },
    saves: |s| s.input(0),
    rule: Rule::Vjp(where_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Elementwise,
    ..Primitive::BASE
};

fn where_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let condition = step.input(0);
    let a = if step.needs(1) { Some(where_(&condition, &g, 0.0)?) } else { None };
    let b = if step.needs(2) { Some(where_(&condition, 0.0, &g)?) } else { None };
    Ok(Grads::from_iter([None, a, b]))
}

/// `a` where `condition` holds, else `b`; each may be a number. Gradients flow to the side that was chosen and are
/// exactly zero on the other.
///
/// # Errors
/// `Shape` when the three do not broadcast, `Overflow` for a number that the dtype of the other side cannot hold.
pub fn where_<'a>(condition: &Variable, a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Variable> {
    let (a, b) = (a.into(), b.into());
    let (dtype, ab) = meet("where", &a, &b)?;
    let shape = broadcast_shapes(condition.shape(), &ab).ok_or_else(|| Error::broadcast("where", condition.shape(), &ab))?;
    check_growth("where", &ab, &shape, dtype)?;
    let condition = astype(&condition.detach(), DType::Bool)?;
    let cast = |o: Operand<'a>| -> Result<Option<Variable>> {
        match o {
            Operand::Scalar(s) => s.check("where", dtype).map(|()| None),
            Operand::Variable(v) => astype(v, dtype).map(Some),
        }
    };
    let (va, vb) = (cast(a)?, cast(b)?);
    let (a, b) = (va.as_ref().map_or(a, Operand::from), vb.as_ref().map_or(b, Operand::from));
    apply(&WHERE, &[(&condition).into(), a, b], &ToDType { dtype })
}

/// One side of the choice, in its dtype.
fn side(o: Operand<'_>, dtype: DType) -> Array {
    match o {
        Operand::Variable(v) => v.array().clone(),
        Operand::Scalar(s) => Array::full(&[], s, dtype),
    }
}

/// The choice itself: the condition picks from two arrays of one dtype.
fn choose(condition: &Array, a: &Array, b: &Array, shape: &[usize]) -> Result<Array> {
    let condition = condition.broadcast_to("where", shape)?.contiguous();
    let (a, b) = (a.broadcast_to("where", shape)?, b.broadcast_to("where", shape)?);
    let Some(mask) = condition.as_slice::<bool>() else { return Err(Error::Shape(format!("where: cannot read {}", show_shape(shape)))) };
    Ok(dispatch!(a.dtype(), T => {
        let mut out = b.copy();
        let chosen = a.contiguous();
        let Some(chosen) = chosen.as_slice::<T>() else { unreachable!("contiguous() is contiguous") };
        for ((o, &x), &m) in out.data_mut::<T>().iter_mut().zip(chosen).zip(mask) {
            *o = if m { x } else { *o };
        }
        out
    }))
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[Entry {
    name: "where",
    doc: "a where the condition holds, else b; each of a and b is an array or a number. The gradient flows to the side that was chosen and is exactly zero on the other.\n\n>>> tg.where(tg.Variable([True, False]), 1.0, 2.0)\nVariable([1., 2.])\n",
    params: &[Param::array("condition"), Param::array("a"), Param::array("b")],
    call: |a| Ok(where_(&a.variable(0)?, a.operand(1)?, a.operand(2)?)?.into()),
    gradient: Gradient::Rule("where(condition, g, 0), where(condition, 0, g)"),
    method: false,
    samples: where_samples,
    ..Entry::BASE
}];

fn where_samples() -> Vec<Sample> {
    let condition = || Arg::Variable(Array::from_slice(&[true, false, true], &[3]).into());
    pairs()
        .into_iter()
        .filter(|s| s.args.iter().all(|a| if let Arg::Variable(v) = a { matches!(v.shape().last(), Some(1 | 3) | None) } else { true }))
        .map(|s| Sample { args: std::iter::once(condition()).chain(s.args).collect() })
        .chain([Sample { args: vec![condition(), Arg::Scalar(Scalar::Float(1.0)), Arg::Scalar(Scalar::Float(2.0))] }])
        .collect()
}
