//! The choice between two arrays by a condition.

use super::comparison::{as_bool, pairs};
use super::define::meet;
use super::registry::{Arg, Entry, Gradient, Operand, Param, Sample};
use super::shape::astype;
use crate::array::{Array, Scalar, broadcast_shapes, check_growth};
use crate::error::{Error, Result};
use crate::kernel::blocks::Input;
use crate::kernel::select::select;
use crate::tape::{Attrs, Grads, Op, Rule, Step, Variable, record};

static WHERE: Op = Op { name: "where", rule: Rule::Vjp(where_vjp) };

fn where_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let condition: Variable = step.extra(0).clone().into();
    // A number on one side is no input: the one input is a (0) or b (1).
    let side = step.attrs().ints().first().copied();
    let one = |first: bool, g: &Variable| if first { where_(&condition, g, 0.0) } else { where_(&condition, 0.0, g) };
    if let Some(side) = side {
        return Ok(Grads::from_iter([Some(one(side == 0, &g)?)]));
    }
    let a = if step.needs(0) { Some(one(true, &g)?) } else { None };
    let b = if step.needs(1) { Some(one(false, &g)?) } else { None };
    Ok(Grads::from_iter([a, b]))
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
    let condition = as_bool(condition.into())?;
    let cast = |o: Operand<'a>| -> Result<Option<Variable>> {
        match o {
            Operand::Scalar(s) => s.check("where", dtype).map(|()| None),
            Operand::Variable(v) => astype(v, dtype).map(Some),
        }
    };
    let (va, vb) = (cast(a)?, cast(b)?);
    let out = select(&condition, input(&a, va.as_ref()), input(&b, vb.as_ref()), &shape, dtype)?;
    match (&va, &vb) {
        (Some(x), Some(y)) => record(&WHERE, &[x, y], out, |s| s.extra(0, condition)),
        (Some(x), None) => record(&WHERE, &[x], out, |s| {
            s.extra(0, condition);
            s.attrs(Attrs::Ints([0].into_iter().collect()));
        }),
        (None, Some(y)) => record(&WHERE, &[y], out, |s| {
            s.extra(0, condition);
            s.attrs(Attrs::Ints([1].into_iter().collect()));
        }),
        (None, None) => Ok(out.into()),
    }
}

/// An operand for the kernel: the array in its final dtype, or the number.
fn input<'a>(o: &Operand<'_>, v: Option<&'a Variable>) -> Input<'a> {
    match (o, v) {
        (_, Some(v)) => Input::Array(v.array()),
        (Operand::Scalar(s), None) => Input::Scalar(*s),
        (Operand::Variable(_), None) => unreachable!("where: every array was cast"),
    }
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
