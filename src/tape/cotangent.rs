//! Cotangents on their way: what a root starts with, how one fits its value, and how two meet.

use super::accumulate;
use super::node::Meta;
use super::variable::Variable;
use super::work::Work;
use crate::array::{Array, Scalar, same};
use crate::error::{Error, Result, show_shape};

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

/// The first gradient is moved, later ones are added: in place when nobody else holds the sum.
#[inline]
pub(super) fn add_to(sum: &mut Option<Variable>, g: Variable, recorded: bool) -> Result<()> {
    *sum = Some(match sum.take() {
        None => g,
        Some(old) if recorded => accumulate::add(&old, &g)?,
        Some(old) => {
            let (mut old, mut new) = (old.into_array(), g.into_array());
            if !old.is_unique() && new.is_unique() {
                std::mem::swap(&mut old, &mut new);
            }
            accumulate::add_in_place(&mut old, &new);
            old.into()
        }
    });
    Ok(())
}

/// A gradient as its value needs it: broadcasting undone.
#[inline]
pub(super) fn fit(g: Variable, meta: &Meta, work: &Work) -> Result<Variable> {
    if g.dtype() != meta.dtype {
        let op = work.name();
        return Err(Error::Grad(format!("{op}: its gradient rule returned dtype {} for an input of {}", g.dtype(), meta.dtype)));
    }
    if same(g.shape(), &meta.shape) { Ok(g) } else { accumulate::sum_to(&g, &meta.shape, work.name()) }
}

/// A gradient in a buffer of its own, in row-major order, as `.grad` keeps it.
pub(super) fn own(g: Variable) -> Variable {
    if g.array().is_contiguous() || g.is_tracked() { g } else { g.array().copy().into() }
}
