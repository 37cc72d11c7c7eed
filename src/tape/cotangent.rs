//! Cotangents on their way: what a root starts with, how one fits its value, and how two meet.

use smallvec::SmallVec;

use super::accumulate;
use super::node::Meta;
use super::variable::Variable;
use crate::array::{Array, Scalar};
use crate::error::{Error, Result, show_shape};

/// The cotangents of a node's outputs.
pub(super) type Cotangents = SmallVec<[Option<Variable>; 1]>;

/// The cotangent a root starts with.
pub(super) fn seed(root: &Variable, given: Option<&Variable>) -> Result<Variable> {
    if !root.is_tracked() {
        return Err(Error::Grad(
            "backward: this value has no graph: nothing it was computed from requires gradients, or it was computed under no_grad() or from detach()ed values".to_owned(),
        ));
    }
    match given {
        None if root.array().size() == 1 => Ok(Array::full(root.shape(), Scalar::Int(1), root.dtype()).into()),
        None => Err(Error::Grad(format!(
            "backward: only a single element can start a backward by itself, this value has shape {}; sum() or mean() it, or pass gradient= of that shape",
            show_shape(root.shape())
        ))),
        Some(g) if g.shape() != root.shape() => Err(Error::Shape(format!(
            "backward: the gradient passed has shape {}, expected {} like the value",
            show_shape(g.shape()),
            show_shape(root.shape())
        ))),
        Some(g) if g.dtype() != root.dtype() => {
            Err(Error::DType(format!("backward: the gradient passed has dtype {}, expected {} like the value", g.dtype(), root.dtype())))
        }
        Some(g) => Ok(g.clone()),
    }
}

/// A recorded gradient is added by a recorded operation; the first one is moved.
pub(super) fn add_recorded(sum: &mut Option<Variable>, g: Variable) -> Result<()> {
    *sum = Some(match sum.take() {
        None => g,
        Some(old) => accumulate::add(&old, &g)?,
    });
    Ok(())
}

/// The first gradient is moved, later ones are added: in place when nobody else holds the sum.
#[inline]
pub(super) fn add_to(sum: &mut Option<Variable>, mut g: Array) {
    match sum {
        None => *sum = Some(g.into()),
        Some(old) => {
            let old = old.array_mut();
            if !old.is_unique() && g.is_unique() {
                std::mem::swap(old, &mut g);
            }
            accumulate::add_in_place(old, &g);
        }
    }
}

/// A gradient as its value, which is like `meta`, needs it: broadcasting undone.
#[cold]
pub(super) fn fit(g: Variable, meta: &Meta, op: &str) -> Result<Variable> {
    if g.dtype() != meta.dtype {
        return Err(Error::Grad(format!("{op}: its gradient rule returned dtype {} for an input of {}", g.dtype(), meta.dtype)));
    }
    accumulate::sum_to(&g, &meta.shape, op)
}

/// A gradient in a buffer of its own, in row-major order, as `.grad` keeps it.
pub(super) fn own(g: Variable) -> Variable {
    if g.array().is_contiguous() || g.is_tracked() { g } else { g.array().copy().into() }
}
