//! The three linear operations that the engine itself needs: adding gradients, summing one down to the shape of a
//! broadcast input, and its transpose. The tape records them like any other; `ops` builds on them.

use super::node::{Op, Rule};
use super::step::{Grads, Step};
use super::variable::{Variable, record};
use crate::array::Array;
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel;

/// `a + b` of one shape and dtype.
pub(crate) static ADD: Op = Op { name: "add", rule: Rule::Vjp(add_vjp) };

#[allow(clippy::unnecessary_wraps, reason = "the signature of a rule")]
fn add_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let b = step.needs(1).then(|| g.clone());
    Ok(Grads::from_buf([step.needs(0).then_some(g), b]))
}

/// The sum over axes that broadcasting added or stretched.
pub(crate) static SUM_TO: Op = Op { name: "sum_to", rule: Rule::Vjp(sum_to_vjp) };

fn sum_to_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let shape = step.meta(0).shape.clone();
    Ok(std::iter::once(Some(broadcast_to(&step.take_g(), &shape, "sum_to")?)).collect())
}

/// A view with stretched axes.
pub(crate) static BROADCAST_TO: Op = Op { name: "broadcast_to", rule: Rule::Vjp(broadcast_to_vjp) };

#[allow(clippy::unnecessary_wraps, reason = "the signature of a rule")]
fn broadcast_to_vjp(step: &mut Step<'_>) -> Result<Grads> {
    // The engine sums a gradient down to its input's shape: that is all there is to do.
    Ok(std::iter::once(Some(step.take_g())).collect())
}

/// The sum of two gradients, recorded when they are tracked.
pub(crate) fn add(a: &Variable, b: &Variable) -> Result<Variable> {
    let out = kernel::arithmetic::add(a.array(), b.array());
    record(&ADD, &[a, b], out, |_| {})
}

/// `a += b` for arrays of one shape and dtype.
pub(crate) fn add_in_place(a: &mut Array, b: &Array) {
    kernel::arithmetic::add_in_place(a, b);
}

/// `x` summed down to `shape`, which broadcasts to `x`'s.
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
    let out = kernel::reduce::sum_to(x.array(), shape);
    record(&SUM_TO, &[x], out, |_| {})
}

/// `x` broadcast to `shape`.
pub(crate) fn broadcast_to(x: &Variable, shape: &[usize], op: &str) -> Result<Variable> {
    record(&BROADCAST_TO, &[x], x.array().broadcast_to(op, shape)?, |_| {})
}

/// Whether any element is NaN.
pub(crate) fn has_nan(a: &Array) -> bool {
    dispatch!(float a.dtype(), T => a.view::<T>().iter().any(|x| x.is_nan()), else false)
}
