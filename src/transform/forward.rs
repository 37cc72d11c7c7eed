//! Forward mode: values carry tangents.

use smallvec::SmallVec;

use super::{Function, check_active, end_level, fresh_level, views};
use crate::array::{Array, Scalar};
use crate::error::{Error, Result, show_shape};
use crate::ops;
use crate::tape::{AttrSet, Jvp, JvpContext, Lift, Lifted, Operand, Outputs, Primitive, Variable, apply_all};

/// The values of `f` at `primals`, and the directional derivatives along `tangents`: (f(x), J(x) t), in one pass.
///
/// # Errors
/// Those of `f`; `Shape` or `DType` when a tangent does not fit its primal.
pub fn jvp(f: Function<'_>, primals: &[Variable], tangents: &[Variable]) -> Result<(Vec<Variable>, Vec<Variable>)> {
    if primals.len() != tangents.len() {
        return Err(Error::Value(format!(
            "jvp: got {} primals and {} tangents, expected one tangent for each primal",
            primals.len(),
            tangents.len()
        )));
    }
    let level = fresh_level();
    let inputs = primals.iter().zip(tangents).map(|(x, t)| dual(level, x, t)).collect::<Result<Vec<_>>>()?;
    let outputs = f(&inputs);
    end_level(level);
    let outputs = outputs?;
    Ok(outputs.into_iter().map(|y| split(level, y)).unzip())
}

/// `x` with the tangent `t`, at the given level.
///
/// # Errors
/// `Shape` or `DType` when the tangent does not fit.
pub fn dual(level: u64, x: &Variable, t: &Variable) -> Result<Variable> {
    if x.shape() != t.shape() {
        return Err(Error::Shape(format!(
            "jvp: a tangent has shape {}, its primal {}; they must be equal",
            show_shape(t.shape()),
            show_shape(x.shape())
        )));
    }
    if x.dtype() != t.dtype() || !x.dtype().is_inexact() {
        return Err(Error::DType(format!("jvp: a tangent has dtype {}, its primal {}; both must be the same floating dtype", t.dtype(), x.dtype())));
    }
    Ok(lift(level, x.clone(), Some(t.clone())))
}

fn lift(level: u64, value: Variable, tangent: Option<Variable>) -> Variable {
    Variable::lifted(value.array().clone(), Lifted { level, run, value, kind: Lift::Dual(tangent) })
}

/// A value and its tangent at a level, zeros where it has none.
#[must_use]
pub fn split(level: u64, y: Variable) -> (Variable, Variable) {
    if let Some(l) = y.at_level(level) {
        return (l.value.clone(), l.tangent().cloned().unwrap_or_else(|| zeros_like(&l.value)));
    }
    let zero = zeros_like(&y);
    (y, zero)
}

fn zeros_like(x: &Variable) -> Variable {
    Array::full(&[], Scalar::Int(0), x.dtype()).broadcast_to("jvp", x.shape()).unwrap_or_else(|_| Array::zeros(x.shape(), x.dtype())).into()
}

/// Runs a primitive on duals: its value, and its tangent by the primitive's own rule.
fn run(level: u64, p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Outputs> {
    check_active(level, p.name)?;
    if matches!(p.jvp, Jvp::Definition)
        && let Some(definition) = p.definition
    {
        let inputs: Vec<Variable> = inputs.iter().filter_map(|i| i.variable().cloned()).collect();
        return definition(&inputs, attrs);
    }
    let below: SmallVec<[Operand<'_>; 3]> = inputs.iter().map(|i| below(level, *i)).collect();
    let outputs = apply_all(p, &below, attrs)?;
    let tangents: SmallVec<[Option<Variable>; 3]> = inputs.iter().map(|i| i.variable()?.at_level(level)?.tangent().cloned()).collect();
    if tangents.iter().all(Option::is_none) {
        return Ok(outputs);
    }
    let ctx = JvpContext { primitive: p, inputs: &below, tangents: &tangents, outputs: &outputs, attrs };
    let tangents = tangents_of(p, &ctx)?;
    let mut tangents = tangents.into_iter();
    let lifted = outputs.into_iter().map(|y| if y.dtype().is_inexact() { lift(level, y, tangents.next()) } else { y });
    if !p.is_view {
        return Ok(lifted.collect());
    }
    let seen = |(y, example): (Variable, Variable)| Variable::with_edge(example.into_array(), y.edge().clone());
    Ok(lifted.zip(views(p, inputs, attrs)?).map(seen).collect())
}

/// An operand without its tangent at this level.
fn below(level: u64, input: Operand<'_>) -> Operand<'_> {
    match input.variable().and_then(|v| v.at_level(level)) {
        Some(l) => Operand::Variable(&l.value),
        None => input,
    }
}

fn tangents_of(p: &'static Primitive, ctx: &JvpContext<'_>) -> Result<Outputs> {
    match p.jvp {
        Jvp::NonDifferentiable => Ok(Outputs::new()),
        Jvp::Rule(rule) => rule(ctx),
        Jvp::Factor(factor) => {
            let shape = ctx.outputs[0].shape();
            let terms = ctx.tangents.iter().enumerate().filter_map(|(i, t)| t.as_ref().map(|t| (i, t)));
            sum(terms.map(|(i, t)| {
                let t = if t.shape() == shape { t.clone() } else { ops::broadcast_to(t, shape)? };
                Ok(std::iter::once(factor(ctx, i, t)?).collect())
            }))
        }
        Jvp::Linear => {
            let zeros: SmallVec<[Variable; 3]> =
                ctx.inputs.iter().map(|i| i.variable().map_or_else(|| ops::scalar(0.0, ctx.outputs[0].dtype()), zeros_like)).collect();
            let tangent = |i: usize, x: &Variable| if x.dtype().is_inexact() { Some(ctx.tangents[i].as_ref().unwrap_or(&zeros[i])) } else { None };
            let inputs: SmallVec<[Operand<'_>; 3]> = ctx
                .inputs
                .iter()
                .enumerate()
                .map(|(i, o)| match o {
                    Operand::Variable(x) => tangent(i, x).map_or(*o, Operand::Variable),
                    // A number is constant.
                    Operand::Scalar(_) => Operand::Scalar(Scalar::Float(0.0)),
                })
                .collect();
            apply_all(p, &inputs, ctx.attrs)
        }
        Jvp::Multilinear => sum(ctx.tangents.iter().enumerate().filter_map(|(i, t)| {
            let t = t.as_ref()?;
            let mut inputs: SmallVec<[Operand<'_>; 3]> = ctx.inputs.iter().copied().collect();
            inputs[i] = Operand::Variable(t);
            Some(apply_all(p, &inputs, ctx.attrs))
        })),
        Jvp::Definition => unreachable!("{}: its definition was run instead", p.name),
    }
}

/// The sums of tangents, output by output.
fn sum(terms: impl Iterator<Item = Result<Outputs>>) -> Result<Outputs> {
    let mut total: Option<Outputs> = None;
    for term in terms {
        let term = term?;
        total = Some(match total {
            None => term,
            Some(old) => old.iter().zip(&term).map(|(a, b)| ops::add(a, b)).collect::<Result<_>>()?,
        });
    }
    Ok(total.unwrap_or_default())
}
