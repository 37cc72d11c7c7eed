//! Gradients inside other transformations.
//!
//! The tape is below duals and batches. So the vjp of a function of lifted values is computed piece by piece: for a dual result y + ε ẏ and
//! a dual cotangent c + ε ċ the gradient is ∇⟨c, y⟩ + ε (∇⟨c, ẏ⟩ + ∇⟨ċ, y⟩), where each ∇ is a pass over the tape.

use super::Function;
use super::batching::{example, mapped};
use crate::array::Array;
use crate::error::{Error, Result};
use crate::ops;
use crate::tape::{self, BackwardOptions, Edge, Lift, Lifted, Variable, capture};

/// The gradients of a scalar function.
///
/// # Errors
/// Those of `f`; `Grad` unless it has one result of one element.
pub fn grad(f: Function<'_>, inputs: &[Variable]) -> Result<Vec<Variable>> {
    let (y, pull) = vjp(f, inputs)?;
    if y.dtype().is_complex() {
        return Err(Error::Grad(format!(
            "grad: the function returned {}, expected a real number; take .real or abs() of it, or use vjp()",
            y.dtype()
        )));
    }
    if y.ndim() > 0 || !y.dtype().is_real_floating() {
        return Err(Error::Grad("grad: the function must return one floating number (a 0-d array)".to_owned()));
    }
    pull(&ops::scalar(1.0, y.dtype()))
}

/// Maps a cotangent to gradients.
type Pullback = Box<dyn Fn(&Variable) -> Result<Vec<Variable>>>;

/// The result of `f`, and its pullback.
///
/// # Errors
/// Those of `f`.
pub fn vjp(f: Function<'_>, inputs: &[Variable]) -> Result<(Variable, Pullback)> {
    let (wrapped, roots) = begin(inputs)?;
    let recording = tape::recording(true);
    let y = f(&wrapped)?.pop().ok_or_else(|| Error::Grad("vjp: the function returned nothing".to_owned()))?;
    drop(recording);
    let out = y.clone();
    let pull = move |c: &Variable| pull(std::slice::from_ref(&out), std::slice::from_ref(c), &roots, true);
    Ok((y, Box::new(pull)))
}

/// The inputs of a function whose gradient will be computed, as the function gets them, and their roots, which are new nodes or leaves on
/// the tape. While recording is on, a tracked input passes the gradient on to its history.
///
/// # Errors
/// Those of recording.
pub fn begin(inputs: &[Variable]) -> Result<(Vec<Variable>, Vec<Variable>)> {
    let recording = tape::recording(true);
    let inputs = inputs.iter().map(mapped).collect::<Result<Vec<_>>>()?;
    drop(recording);
    let roots = plain_roots(&inputs)?;
    let wrapped = inputs.iter().zip(&roots).map(|(x, r)| rewrap(x, r)).collect();
    Ok((wrapped, roots))
}

/// New nodes or leaves for plain values, as [`begin`] makes them, independent of active mappings.
///
/// # Errors
/// Those of recording.
pub fn plain_roots(inputs: &[Variable]) -> Result<Vec<Variable>> {
    let outer = tape::is_recording();
    let _recording = tape::recording(true);
    inputs.iter().map(|x| root(x, outer)).collect()
}

/// The gradients of Σ ⟨cotangent, output⟩ with respect to the roots. They are recorded if recording is on and something other than the
/// roots is tracked. `retain` keeps the graph for another call.
///
/// # Errors
/// Those of the rules.
pub fn pull(outputs: &[Variable], cotangents: &[Variable], roots: &[Variable], retain: bool) -> Result<Vec<Variable>> {
    let beyond = reaches_beyond(outputs, roots);
    let create_graph = tape::is_recording() && (beyond || reaches_beyond(cotangents, &[]));
    // What the function closes over may have a graph, which others need.
    let retain_graph = retain || beyond || create_graph || outputs.iter().any(Variable::is_lifted);
    let options = BackwardOptions { retain_graph, create_graph, ..BackwardOptions::default() };
    let (lifted, plain): (Vec<_>, Vec<_>) = outputs.iter().zip(cotangents).partition(|(y, _)| y.is_lifted());
    let mut sums = pull_plain(&plain, roots, options)?;
    for (y, c) in lifted {
        sums = sum(sums, pull_lifted(y, c, roots, options)?)?;
    }
    let zero = |root: &Variable| Array::zeros(root.shape(), root.dtype()).into();
    Ok(sums.into_iter().zip(roots).map(|(g, root)| g.unwrap_or_else(|| zero(root))).collect())
}

/// Results when they leave the transformation: without a history that depends only on the roots.
#[must_use]
pub fn end(outputs: &[Variable], roots: &[Variable]) -> Vec<Variable> {
    // One walk for all of them is mostly sufficient to find that none reaches beyond the roots.
    if !tape::is_recording() || !reaches_beyond(outputs, roots) {
        return outputs.iter().map(without_history).collect();
    }
    outputs.iter().map(|y| if reaches_beyond(std::slice::from_ref(y), roots) { y.clone() } else { without_history(y) }).collect()
}

/// The same value and the same lifts, without history.
fn without_history(y: &Variable) -> Variable {
    let Edge::Lifted(l) = y.edge() else { return y.array().clone().into() };
    let kind = match &l.kind {
        Lift::Dual(t) => Lift::Dual(t.as_ref().map(without_history)),
        Lift::Batched => Lift::Batched,
    };
    Variable::lifted(y.array().clone(), Lifted { level: l.level, run: l.run, value: without_history(&l.value), kind })
}

/// Whether one of the values depends on something tracked other than the roots.
fn reaches_beyond(values: &[Variable], roots: &[Variable]) -> bool {
    let mut pieces = Vec::new();
    for v in values {
        each_piece(v, &mut |piece| pieces.push(piece.clone()));
    }
    tape::reaches_beyond(&pieces, roots)
}

/// Calls `f` for each plain value inside a lifted one.
fn each_piece(v: &Variable, f: &mut impl FnMut(&Variable)) {
    match v.edge() {
        Edge::Lifted(l) => {
            each_piece(&l.value, f);
            if let Some(t) = l.tangent() {
                each_piece(t, f);
            }
        }
        _ => f(v),
    }
}

/// The innermost value, with a new node or leaf.
fn root(x: &Variable, outer: bool) -> Result<Variable> {
    let mut v = x;
    while let Edge::Lifted(l) = v.edge() {
        v = &l.value;
    }
    if v.is_tracked() && outer {
        return ops::positive(v);
    }
    // A recording for a replay must see the copy that a parameter makes of lent memory.
    Variable::parameter(if capture::is_on() { v.array().clone() } else { v.array().pooled_broadcast() })
}

/// `x` with its innermost value replaced by `root`.
fn rewrap(x: &Variable, root: &Variable) -> Variable {
    let Edge::Lifted(l) = x.edge() else { return root.clone() };
    let value = rewrap(&l.value, root);
    Variable::lifted(x.array().clone(), Lifted { level: l.level, run: l.run, value, kind: l.kind.clone() })
}

type Sums = Vec<Option<Variable>>;

fn sum(a: Sums, b: Sums) -> Result<Sums> {
    let add = |(a, b): (Option<Variable>, Option<Variable>)| match (a, b) {
        (Some(a), Some(b)) => ops::add(&a, &b).map(Some),
        (a, b) => Ok(a.or(b)),
    };
    a.into_iter().zip(b).map(add).collect()
}

/// The gradients of ⟨c, y⟩ with respect to the roots, in the form of `y`.
fn pull_lifted(y: &Variable, c: &Variable, roots: &[Variable], options: BackwardOptions) -> Result<Sums> {
    let Edge::Lifted(l) = y.edge() else { return pull_plain(&[(y, c)], roots, options) };
    let lifted = c.at_level(l.level);
    let c_value = lifted.map_or(c, |c| &c.value);
    let Lift::Dual(tangent) = &l.kind else {
        // Samples are independent, so the gradient of the sum over samples contains that of each sample.
        let c = ops::broadcast_to(c_value, l.value.shape())?;
        let values = pull_lifted(&l.value, &c, roots, options)?;
        return values.into_iter().map(|v| v.map(|v| wrap(l, v, Lift::Batched)).transpose()).collect();
    };
    let values = pull_lifted(&l.value, c_value, roots, options)?;
    let mut tangents: Sums = vec![None; roots.len()];
    if let Some(tangent) = tangent {
        tangents = sum(tangents, pull_lifted(tangent, c_value, roots, options)?)?;
    }
    if let Some(c_tangent) = lifted.and_then(|c| c.tangent()) {
        tangents = sum(tangents, pull_lifted(&l.value, c_tangent, roots, options)?)?;
    }
    let pair = |((value, tangent), root): ((Option<Variable>, Option<Variable>), &Variable)| {
        if value.is_none() && tangent.is_none() {
            return Ok(None);
        }
        let value = value.unwrap_or_else(|| Array::zeros(root.shape(), root.dtype()).into());
        wrap(l, value, Lift::Dual(tangent)).map(Some)
    };
    values.into_iter().zip(tangents).zip(roots).map(pair).collect()
}

/// `value`, lifted like `l`. If the cotangent has lifted it to a higher level, it keeps that level outside.
fn wrap(l: &Lifted, value: Variable, kind: Lift) -> Result<Variable> {
    if let Edge::Lifted(m) = value.edge()
        && m.level > l.level
    {
        let (batched, inner_batched) = (matches!(kind, Lift::Batched), matches!(m.kind, Lift::Batched));
        let below = |v: &Variable| if batched && inner_batched { ops::moveaxis(v, &[1], &[0]) } else { Ok(v.clone()) };
        // The tangent at the level of l, and its component at the level of m.
        let tangent = if let Lift::Dual(t) = &kind { t.as_ref() } else { None };
        let tangent_below = tangent.map(|t| match t.at_level(m.level) {
            Some(t) => Ok(t.value.clone()),
            None if inner_batched => ops::broadcast_to(t, m.value.shape()),
            None => Ok(t.clone()),
        });
        let tangent_of_tangent = tangent.and_then(|t| t.at_level(m.level)?.tangent().cloned());
        let inner_kind = if batched { Lift::Batched } else { Lift::Dual(tangent_below.transpose()?) };
        let inner = wrap(l, below(&m.value)?, inner_kind)?;
        let m_kind = match &m.kind {
            Lift::Dual(Some(t)) => Lift::Dual(Some(wrap(l, t.clone(), if batched { Lift::Batched } else { Lift::Dual(tangent_of_tangent) })?)),
            other => other.clone(),
        };
        let shape = if inner_batched { &inner.shape()[1..] } else { inner.shape() };
        let outer = example(shape, inner.dtype());
        return Ok(Variable::lifted(outer, Lifted { level: m.level, run: m.run, value: inner, kind: m_kind }));
    }
    let example = if matches!(kind, Lift::Batched) { example(&value.shape()[1..], value.dtype()) } else { value.array().clone() };
    Ok(Variable::lifted(example, Lifted { level: l.level, run: l.run, value, kind }))
}

fn pull_plain(pairs: &[(&Variable, &Variable)], roots: &[Variable], options: BackwardOptions) -> Result<Sums> {
    let pairs: Vec<(Variable, Option<Variable>)> =
        pairs.iter().filter(|(y, _)| y.is_tracked()).map(|(y, c)| ((*y).clone(), Some((*c).clone()))).collect();
    if pairs.is_empty() {
        return Ok(vec![None; roots.len()]);
    }
    tape::grad(&pairs, roots, options)
}
