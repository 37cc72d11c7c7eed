//! Cotangents during a pass: the cotangent of a root, conversion to the shape and dtype of a value, and addition.

use smallvec::SmallVec;

use super::node::Meta;
use super::variable::{Edge, Variable};
use super::{accumulate, capture};
use crate::array::{Array, Scalar};
use crate::error::{Error, Result, show_shape};

/// The sum of a value's gradients so far. Array and edge are separate, so that taking an array moves two words.
#[derive(Debug, Default)]
pub(super) struct GradAccumulator {
    array: Option<Array>,
    edge: Edge,
}

/// The sums for a node's outputs.
pub(super) type Cotangents = SmallVec<[GradAccumulator; 1]>;

impl From<Variable> for GradAccumulator {
    fn from(g: Variable) -> Self {
        let edge = g.edge().clone();
        Self { array: Some(g.into_array()), edge }
    }
}

impl GradAccumulator {
    /// Adds a gradient: the first one is moved, later ones are added, in place when the sum is unshared.
    #[inline]
    pub(super) fn add(&mut self, mut g: Array) {
        let Some(sum) = &mut self.array else {
            self.array = Some(g);
            return;
        };
        if !sum.is_unique() && g.is_unique() {
            std::mem::swap(sum, &mut g);
        }
        accumulate::add_in_place(sum, &g);
    }

    /// A sum so far, without history.
    pub(super) fn of(array: Option<Array>) -> Self {
        Self { array, edge: Edge::None }
    }

    /// [`GradAccumulator::add`] through the gate, so that a capture sees it.
    #[cold]
    pub(super) fn add_seen(&mut self, g: Array) -> Result<()> {
        self.array = Some(match self.array.take() {
            None => g,
            Some(sum) => accumulate::add(&sum.into(), &g.into())?.into_array(),
        });
        Ok(())
    }

    /// [`GradAccumulator::add`] of a recorded gradient, as a recorded operation.
    pub(super) fn add_recorded(&mut self, g: Variable) -> Result<()> {
        *self = match self.take() {
            None => g.into(),
            Some(sum) => accumulate::add(&sum, &g)?.into(),
        };
        Ok(())
    }

    pub(super) fn array(&self) -> Option<&Array> {
        self.array.as_ref()
    }

    /// The sum, if it can be added to in place.
    #[inline]
    pub(super) fn unique(&mut self) -> Option<&mut Array> {
        let sum = self.array.as_mut()?;
        if sum.is_unique() { Some(sum) } else { None }
    }

    /// Takes the sum out, without history.
    #[inline]
    pub(super) fn take_array(&mut self) -> Option<Array> {
        self.array.take()
    }

    /// Drops the sum.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.array = None;
        // A check is faster than dropping nothing.
        if !matches!(self.edge, Edge::None) {
            self.edge = Edge::None;
        }
    }

    #[inline]
    pub(super) fn take(&mut self) -> Option<Variable> {
        let edge = std::mem::take(&mut self.edge);
        self.array.take().map(|array| Variable::with_edge(array, edge))
    }

    /// The sum, shared.
    pub(super) fn get(&self) -> Option<Variable> {
        self.array.clone().map(|array| Variable::with_edge(array, self.edge.clone()))
    }
}

/// The cotangent a root starts with.
pub(super) fn seed(root: &Variable, given: Option<&Variable>) -> Result<Variable> {
    if !root.is_tracked() {
        if !root.dtype().is_inexact() {
            return Err(Error::Grad(format!(
                "backward: this value has dtype {}, which carries no gradient, as the results of comparisons, argmax and integer arrays do; \
                 start from a floating value that was computed from Variables with requires_grad=True",
                root.dtype()
            )));
        }
        return Err(Error::Grad(
            "backward: this value has no graph: nothing it was computed from requires gradients, or it was computed under no_grad() or from detach()ed values".to_owned(),
        ));
    }
    if root.is_lifted() {
        return Err(Error::Grad(
            "backward: this value is inside jvp or vmap, whose values the tape does not hold; take the gradient there by tg.grad() or tg.vjp() \
             of a function, or call backward() on what jvp or vmap returns"
                .to_owned(),
        ));
    }
    match given {
        None if root.dtype().is_complex() => Err(Error::Grad(format!(
            "backward: a real number can start a backward by itself, this value is {}; take .real or abs(), or pass gradient= of its shape",
            root.dtype()
        ))),
        None if root.array().size() == 1 => Ok(Array::full(root.shape(), Scalar::Int(1), root.dtype()).into()),
        None => Err(Error::Grad(format!(
            "backward: only a single element can start a backward by itself, this value has shape {}; sum() or mean() it, or pass gradient= (of autograd.grad: grad_outputs=) of that shape",
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

/// Converts a gradient to the shape and dtype of its value `meta`: sums over broadcast axes.
#[cold]
pub(super) fn fit(g: &Variable, meta: &Meta, op: &str) -> Result<Variable> {
    if g.dtype() != meta.dtype && g.dtype().real() == meta.dtype.real() {
        // Where a real value was converted to complex, the gradient is the real part.
        return fit(&accumulate::cast(g, meta.dtype)?, meta, op);
    }
    if g.dtype() != meta.dtype {
        return Err(Error::Grad(format!("{op}: its gradient rule returned dtype {} for an input of {}", g.dtype(), meta.dtype)));
    }
    accumulate::sum_to(g, &meta.shape, op)
}

/// A gradient in a buffer of its own and in row-major order, as `.grad` requires.
pub(super) fn own(g: Variable) -> Variable {
    if g.array().is_contiguous() || g.is_tracked() {
        return g;
    }
    let copy = g.array().copy();
    capture::note_copy(g.array(), &copy);
    copy.into()
}
