//! Gradients inside of other transformations.
//!
//! The tape lies below duals and batches. So the vjp of a function of lifted values is worked out piece by piece: with a dual
//! result y + ε ẏ and a dual cotangent c + ε ċ the gradient is ∇⟨c, y⟩ + ε (∇⟨c, ẏ⟩ + ∇⟨ċ, y⟩), each ∇ a pass over the tape.

use super::Function;
use super::batching::{example, mapped};
use crate::error::{Error, Result};
use crate::ops;
use crate::tape::{self, BackwardOptions, Edge, Lift, Lifted, Variable};

/// The gradients of a scalar function.
///
/// # Errors
/// Those of `f`; `Grad` unless it has one result of one element.
pub fn grad(f: Function<'_>, inputs: &[Variable]) -> Result<Vec<Variable>> {
    let one = |y: &Variable| match y.ndim() {
        _ if y.dtype().is_complex() => Err(Error::Grad(format!(
            "grad: the function returned {}, expected a real number; take .real or abs() of it, or use vjp()",
            y.dtype()
        ))),
        0 if y.dtype().is_float() => Ok(ops::scalar(1.0, y.dtype())),
        _ => Err(Error::Grad("grad: the function must return one floating number (a 0-d array)".to_owned())),
    };
    let (_, pull) = vjp(f, inputs)?;
    pull(&one)
}

/// What turns a cotangent, made of the result, into gradients.
type Pullback = Box<dyn Fn(&dyn Fn(&Variable) -> Result<Variable>) -> Result<Vec<Variable>>>;

/// The result of `f`, and its pullback.
///
/// # Errors
/// Those of `f`.
pub fn vjp(f: Function<'_>, inputs: &[Variable]) -> Result<(Variable, Pullback)> {
    let recording = tape::recording(true);
    let inputs = inputs.iter().map(mapped).collect::<Result<Vec<_>>>()?;
    let roots: Vec<Variable> = inputs.iter().map(root).collect::<Result<_>>()?;
    let wrapped: Vec<Variable> = inputs.iter().zip(&roots).map(|(x, r)| rewrap(x, r)).collect();
    let y = f(&wrapped)?.pop().ok_or_else(|| Error::Grad("vjp: the function returned nothing".to_owned()))?;
    drop(recording);
    let out = y.clone();
    let pull = move |cotangent: &dyn Fn(&Variable) -> Result<Variable>| {
        let c = cotangent(&out)?;
        roots.iter().map(|r| pull(&out, &c, r)).collect()
    };
    Ok((y, Box::new(pull)))
}

/// The innermost value, at a place of the tape of its own.
fn root(x: &Variable) -> Result<Variable> {
    let mut v = x;
    while let Edge::Lifted(l) = v.edge() {
        v = &l.value;
    }
    if v.is_tracked() { ops::positive(v) } else { Variable::parameter(v.array().clone()) }
}

/// `x` with another innermost value.
fn rewrap(x: &Variable, root: &Variable) -> Variable {
    let Edge::Lifted(l) = x.edge() else { return root.clone() };
    let value = rewrap(&l.value, root);
    Variable::lifted(x.array().clone(), Lifted { level: l.level, run: l.run, value, kind: l.kind.clone() })
}

/// The gradient of ⟨c, y⟩ by a root, in the form of `y`.
fn pull(y: &Variable, c: &Variable, root: &Variable) -> Result<Variable> {
    let Edge::Lifted(l) = y.edge() else { return plain(y, c, root) };
    let lifted = c.at_level(l.level);
    let c_value = lifted.map_or(c, |c| &c.value);
    let wrap = |value: Variable, kind: Lift| {
        let example = if matches!(kind, Lift::Batched) { example(&value.shape()[1..], value.dtype()) } else { value.array().clone() };
        Variable::lifted(example, Lifted { level: l.level, run: l.run, value, kind })
    };
    let Lift::Dual(tangent) = &l.kind else {
        // Samples are independent: the gradient of the sum of all is that of each.
        let c = ops::broadcast_to(c_value, l.value.shape())?;
        return Ok(wrap(pull(&l.value, &c, root)?, Lift::Batched));
    };
    let value = pull(&l.value, c_value, root)?;
    let terms =
        [(tangent.as_ref(), c_value), (lifted.and_then(|c| c.tangent()).map(|_| &l.value), lifted.and_then(|c| c.tangent()).unwrap_or(c_value))];
    let mut sum: Option<Variable> = None;
    for (y, c) in terms {
        let Some(y) = y else { continue };
        let g = pull(y, c, root)?;
        sum = Some(match sum {
            Some(s) => ops::add(&s, &g)?,
            None => g,
        });
    }
    Ok(wrap(value, Lift::Dual(sum)))
}

fn plain(y: &Variable, c: &Variable, root: &Variable) -> Result<Variable> {
    let zero = || Ok(crate::array::Array::zeros(root.shape(), root.dtype()).into());
    if !y.is_tracked() {
        return zero();
    }
    let options = BackwardOptions { retain_graph: true, create_graph: tape::is_recording() };
    match tape::grad(&[(y.clone(), Some(c.clone()))], std::slice::from_ref(root), options)?.pop().flatten() {
        Some(g) => Ok(g),
        None => zero(),
    }
}
