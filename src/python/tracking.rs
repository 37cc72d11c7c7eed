//! The methods of `Variable` that concern the tape: requires_grad, grad, backward, hooks.

use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyUserWarning};
use pyo3::prelude::*;

use super::describe::describe;
use super::error::{DTypeError, GradError, ShapeError, guard};
use super::function::PyHook;
use super::grad_fn::PyNode;
use super::operators::{load, run};
use super::release;
use super::variable::{PyVariable, State, expect, require_float};
use super::view;
use crate::error::show_shape;
use crate::tape::{self, Edge, Leaf};

impl PyVariable {
    fn set_requires_grad(&self, py: Python<'_>, on: bool) -> PyResult<()> {
        if on && self.is_view() && !self.snapshot().is_tracked() && !self.part_with_base(py) {
            return Err(GradError::new_err(
                "requires_grad: this is a view of another array, which a leaf cannot be; clone() it first, or set requires_grad on the base",
            ));
        }
        let value = match &*self.state.lock() {
            State::Leaf(leaf) => {
                if on {
                    require_float(leaf.meta().dtype)?;
                }
                leaf.set_requires_grad(on);
                return Ok(());
            }
            State::Value(v) if v.is_tracked() => return check_stays_tracked(on),
            // Untracked, or it requires gradients already.
            State::View(view) => {
                let tracked = !on && !matches!(view.edge(), Edge::None);
                return if tracked { check_stays_tracked(on) } else { Ok(()) };
            }
            State::Value(_) if !on => return Ok(()),
            State::Value(v) => {
                require_float(v.dtype())?;
                v.clone()
            }
        };
        // Outside the lock: lent memory is copied, and its owner dropped.
        let leaf = State::Leaf(guard("requires_grad_", || Ok(Leaf::new(value, true)))?);
        let old = std::mem::replace(&mut *self.state.lock(), leaf);
        drop(old);
        Ok(())
    }
}

/// The value of `requires_grad`.
fn flag(on: &Bound<'_, PyAny>) -> PyResult<bool> {
    on.extract().map_err(|_| PyTypeError::new_err(format!("requires_grad must be a bool, not {}", describe(on))))
}

#[pymethods]
impl PyVariable {
    /// Whether gradients flow to it.
    #[getter]
    fn requires_grad(&self) -> bool {
        self.note_state(0);
        self.snapshot().is_tracked()
    }

    #[setter(requires_grad)]
    fn assign_requires_grad(&self, py: Python<'_>, on: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set_requires_grad(py, flag(on)?)
    }

    /// Switches requires_grad and returns the Variable itself.
    #[pyo3(signature = (requires_grad = true))]
    fn requires_grad_<'py>(slf: &Bound<'py, Self>, #[pyo3(from_py_with = flag)] requires_grad: bool) -> PyResult<Bound<'py, Self>> {
        slf.get().set_requires_grad(slf.py(), requires_grad)?;
        Ok(slf.clone())
    }

    /// Whether it is no recorded result: gradients of leaves are collected in `.grad`.
    #[getter]
    fn is_leaf(&self) -> bool {
        !matches!(self.snapshot().edge(), Edge::Node { .. })
    }

    /// The operation that recorded it, ``tg.autograd.graph.Node``; None for a leaf.
    ///
    /// >>> x = tg.Variable(3.0, requires_grad=True)
    /// >>> x.grad_fn is None, (x * x).grad_fn.name()
    /// (True, 'multiply')
    #[getter]
    fn grad_fn<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let v = self.snapshot();
        if matches!(v.edge(), Edge::Node { .. }) { PyNode::of(py, v.edge()) } else { Ok(None) }
    }

    /// Whether it is a result of operations that keeps its gradient, as ``retain_grad()`` asks for.
    #[getter]
    fn retains_grad(&self) -> bool {
        !self.is_leaf() && self.place().is_some()
    }

    /// The gradient that backward passes collected here, or None. Of a value that is no leaf and keeps no gradient it is None, with a warning.
    #[getter]
    fn grad(&self, py: Python<'_>) -> PyResult<Option<Self>> {
        self.note_state(1);
        match self.place() {
            Some(place) => Ok(place.grad().map(Self::of_leaf)),
            None if self.snapshot().is_tracked() => warn_of_no_leaf(py).map(|()| None),
            None => Ok(None),
        }
    }

    #[setter(grad)]
    fn set_grad(&self, grad: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let Some(leaf) = self.leaf().filter(|l| l.requires_grad()) else {
            // Assigning None is allowed if there is no gradient, as in a loop over frozen parameters.
            if grad.is_none() && !self.snapshot().is_tracked() {
                if let Some(leaf) = self.leaf() {
                    leaf.set_grad(None);
                }
                return Ok(());
            }
            return Err(GradError::new_err("grad can only be set on a leaf that requires gradients"));
        };
        let Some(grad) = grad else {
            leaf.set_grad(None);
            release::empty();
            return Ok(());
        };
        let g = expect(grad, "grad")?.get();
        let v = g.snapshot();
        if v.is_lifted() {
            return Err(GradError::new_err(
                "grad: a value inside jvp, vmap or another transformation cannot be stored as a gradient; return it from the function instead",
            ));
        }
        let meta = leaf.meta();
        if v.shape() != meta.shape.as_slice() {
            return Err(ShapeError::new_err(format!(
                "grad: shape {} does not fit the Variable's {}",
                show_shape(v.shape()),
                show_shape(&meta.shape)
            )));
        }
        if v.dtype() != meta.dtype {
            return Err(DTypeError::new_err(format!("grad: dtype {} does not fit the Variable's {}", v.dtype(), meta.dtype)));
        }
        let place = match &*g.state.lock() {
            State::Leaf(l) if !l.requires_grad() => Arc::clone(l),
            _ => Leaf::new(if tape::is_recording() { v } else { v.detach() }, false),
        };
        leaf.set_grad(Some(place));
        release::empty();
        Ok(())
    }

    /// Gradients of everything it was computed from, added to the leaves' `.grad`.
    ///
    /// backward(gradient=None, *, retain_graph=None, create_graph=False, inputs=None)
    ///
    /// `gradient` has this value's shape and dtype; a single element needs none. The graph is freed unless
    /// `retain_graph`. `create_graph` records the pass, for gradients of gradients. With `inputs` only those collect.
    /// After `create_graph` every `.grad` holds its graph, and the graph holds the leaf: a cycle, which the garbage collector
    /// frees, or at once `.grad = None` (`zero_grad()`). `tg.autograd.grad` returns gradients without such a cycle.
    /// Raises GradError without a graph or for more than one element without `gradient`, FreedError the second time.
    ///
    /// >>> x = tg.Variable(3.0, requires_grad=True)
    /// >>> (x ** 2).backward()
    /// >>> x.grad
    /// Variable(6.)
    #[pyo3(signature = (gradient = None, *, retain_graph = None, create_graph = false, inputs = None))]
    fn backward(
        slf: &Bound<'_, Self>,
        gradient: Option<&Bound<'_, PyAny>>,
        retain_graph: Option<bool>,
        create_graph: bool,
        inputs: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        guard("backward", || {
            let inputs = inputs.map(|i| super::grad::variables(i, "backward: every input")).transpose()?;
            let gradient = gradient.map(|g| super::grad::cotangent(g, &slf.get().snapshot())).transpose()?;
            super::grad::run_backward(slf.py(), vec![(slf.get().snapshot(), gradient)], inputs, retain_graph, create_graph)
        })
    }

    /// The same value without history. Of a leaf, or of a value that is not tracked, it is a view: writing to it changes the array's data,
    /// and it shows what is written there. Of a computed, tracked value it is a snapshot: a view would keep its graph alive.
    fn detach(slf: &Bound<'_, Self>) -> PyResult<Self> {
        guard("detach", || Ok(if view::is_computed(slf.get()) { Self::new(slf.get().snapshot().detach()) } else { view::detached(slf) }))
    }

    /// A copy of the value in memory of its own; gradients flow through it.
    #[pyo3(signature = (*, memory_format = None))]
    #[allow(unused_variables, reason = "how PyTorch lays a copy out")]
    fn clone(&self, py: Python<'_>, memory_format: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        guard("clone", || {
            let v = self.snapshot();
            Ok(Self::new(run(py, load(&v), || crate::ops::positive(&v))?))
        })
    }

    /// Keeps the gradient of this non-leaf in its `.grad`, too.
    fn retain_grad(&self) -> PyResult<()> {
        let v = self.snapshot();
        match v.edge() {
            Edge::Node { node, output } => {
                let _ = tape::retained_leaf(node, *output, &v);
                Ok(())
            }
            Edge::Leaf(_) => Ok(()),
            Edge::None | Edge::Lifted(_) => Err(GradError::new_err("retain_grad: this Variable does not require gradients")),
        }
    }

    /// Forgets the collected gradient.
    fn zero_grad(&self) {
        if let Some(p) = self.place() {
            p.set_grad(None);
            release::empty();
        }
    }

    /// Calls `hook(gradient)` whenever this Variable's gradient has been computed; what it returns, if not None,
    /// replaces the gradient. Returns a handle with `remove()`.
    ///
    /// >>> x = tg.Variable(3.0, requires_grad=True)
    /// >>> handle = x.register_hook(lambda g: g * 2)
    /// >>> (x * x).backward()
    /// >>> x.grad
    /// Variable(12.)
    /// >>> handle.remove()
    fn register_hook(&self, hook: Py<PyAny>, py: Python<'_>) -> PyResult<super::function::HookHandle> {
        if !hook.bind(py).is_callable() {
            return Err(PyTypeError::new_err(format!("register_hook: the hook must be callable, not {}", describe(hook.bind(py)))));
        }
        let v = self.snapshot();
        super::function::add_hook(&v, Arc::new(PyHook::new(hook)))
    }
}

impl PyVariable {
    /// The leaf that keeps its gradient.
    fn place(&self) -> Option<Arc<Leaf>> {
        match &*self.state.lock() {
            State::Leaf(leaf) => Some(Arc::clone(leaf)),
            State::Value(v) => place_of(v.edge()),
            State::View(view) => place_of(view.edge()),
        }
    }
}

/// Warns if the gradient of a computed value is read.
#[cold]
fn warn_of_no_leaf(py: Python<'_>) -> PyResult<()> {
    let text = c"grad: this Variable is a result of operations, not a leaf, so backward() keeps no gradient for it; \
        call retain_grad() on it before backward(), or read the grad of the leaf that it was computed from";
    PyErr::warn(py, &py.get_type::<PyUserWarning>(), text, 1)
}

/// The result of recorded operations cannot be made untracked.
fn check_stays_tracked(on: bool) -> PyResult<()> {
    if on {
        return Ok(());
    }
    Err(GradError::new_err("requires_grad can only be switched off on leaves; use detach() to get this value without its history"))
}

/// The leaf that keeps the gradient of a value that is not a leaf.
fn place_of(edge: &Edge) -> Option<Arc<Leaf>> {
    match edge {
        Edge::None | Edge::Lifted(_) => None,
        Edge::Leaf(leaf) => Some(Arc::clone(leaf)),
        Edge::Node { node, output } => tape::find_retained(node, *output),
    }
}
