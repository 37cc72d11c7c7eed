//! Selection between two arrays by a condition.

use super::comparison::pairs;
use super::define::result_type;
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Operand, Param, Sample, Value};
use super::shape::astype;
use crate::array::{Array, DType, Scalar, Shape, broadcast_shapes, check_growth};
use crate::error::{Error, Result};
use crate::kernel::blocks::Input;
use crate::kernel::select::select;
use crate::tape::accumulate::ToDType;
use crate::tape::{Batch, Jvp, Primitive, Variable, Vjp, VjpContext, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&WHERE];

static WHERE: Primitive = Primitive {
    moves: true,
    name: "where",
    eval: |call| {
        let (condition, dtype) = (call.array(0), call.attrs::<ToDType>().dtype);
        let mut shape = Shape::from_slice(condition.shape());
        for x in call.inputs()[1..].iter().filter_map(|o| o.variable()) {
            shape = broadcast_shapes(&shape, x.shape()).ok_or_else(|| Error::broadcast("where", &shape, x.shape()))?;
        }
        let out = select(condition, side(call.input(1)), side(call.input(2)), &shape, dtype)?;
        call.give(out);
        Ok(())
    },
    saves: |s| s.input(0),
    vjp: Vjp::Rule(where_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Elementwise,
    ..Primitive::BASE
};

fn where_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let g = ctx.cotangent();
    let condition = ctx.input(0);
    if ctx.needs(1) {
        ctx.add(1, where_(&condition, &g, 0.0)?)?;
    }
    if ctx.needs(2) { ctx.add(2, where_(&condition, 0.0, &g)?) } else { Ok(()) }
}

/// `a` where `condition` is true, else `b`; each may be a number. Gradients flow to the selected side, and are exactly zero for the other
/// one.
///
/// # Errors
/// `Shape` when the three do not broadcast, `Overflow` for a number that the dtype of the other side cannot hold.
pub fn where_<'a>(condition: &Variable, a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Variable> {
    let (a, b) = (a.into(), b.into());
    let (dtype, ab) = result_type("where", &a, &b)?;
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

/// One side, as an input of the kernel.
fn side(o: Operand<'_>) -> Input<'_> {
    match o {
        Operand::Variable(v) => Input::Array(v.array()),
        Operand::Scalar(s) => Input::Scalar(s),
    }
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[Entry {
    moves: true,
    name: "where",
    doc: "a where the condition holds, else b; each of a and b is an array or a number. The gradient flows to the side that was chosen and is exactly zero on the other.\n\nWith the condition alone it is nonzero(condition), as in NumPy.\n\n>>> tg.where(tg.Variable([True, False]), 1.0, 2.0)\nVariable([1., 2.])\n",
    params: &[Param::array("condition"), Param::new("a", Kind::OptArray).or(Default::None), Param::new("b", Kind::OptArray).or(Default::None)],
    call: call_where,
    gradient: Gradient::Rule("a: g where condition, else 0; b: 0 where condition, else g"),
    method: false,
    samples: where_samples,
    ..Entry::BASE
}];

fn call_where(a: &Args<'_>) -> Result<Value> {
    match (a.is_none(1), a.is_none(2)) {
        (false, false) => Ok(where_(&a.variable(0)?, a.operand(1)?, a.operand(2)?)?.into()),
        (true, true) => Ok(super::nonzero(&a.variable(0)?)?.into()),
        _ => Err(Error::Type("where: got one value with the condition, expected two or none, as in where(condition, a, b)".to_owned())),
    }
}

fn where_samples() -> Vec<Sample> {
    let condition = || Arg::Variable(Array::from_slice(&[true, false, true], &[3]).into());
    pairs()
        .into_iter()
        .filter(|s| s.args.iter().all(|a| if let Arg::Variable(v) = a { matches!(v.shape().last(), Some(1 | 3) | None) } else { true }))
        .map(|s| Sample { args: std::iter::once(condition()).chain(s.args).collect() })
        .chain([Sample { args: vec![condition(), Arg::Scalar(Scalar::Float(1.0)), Arg::Scalar(Scalar::Float(2.0))] }])
        .collect()
}
