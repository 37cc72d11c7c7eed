//! The object behind `x.grad_fn`: a recorded operation, and how it is linked to those before it.
//!
//! Such objects are made when they are asked for, so recording costs nothing more.

use std::sync::Arc;

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyTuple};

use super::gc;
use super::release::EmptyOnDrop;
use super::variable::{PyVariable, State};
use crate::tape::{self, Edge, Leaf, NodeRef};

/// A recorded operation, as `x.grad_fn` shows it.
///
/// It keeps the operation on the tape. As long as it lives, each look at the same operation gives the same object. It equals its
/// name. A backward pass without ``retain_graph=True`` frees operations; a freed one has its name, but no inputs.
///
/// >>> x = tg.Variable([1.0, 2.0], requires_grad=True)
/// >>> y = (x * x).sum()
/// >>> y.grad_fn, y.grad_fn.name()
/// (<sum>, 'sum')
/// >>> y.grad_fn.next_functions
/// ((<multiply>, 0),)
/// >>> y.grad_fn.next_functions[0][0].next_functions[0][0].variable is x
/// True
#[pyclass(frozen, subclass, weakref, name = "Node", module = "tapegrad.autograd.graph")]
pub struct PyNode {
    /// An operation, or a leaf.
    edge: Edge,
    _last: EmptyOnDrop,
}

/// Where the gradients of a leaf are added: the end of a path through `next_functions`.
#[pyclass(frozen, extends = PyNode, name = "AccumulateGrad", module = "tapegrad.autograd.graph")]
struct PyAccumulateGrad(Arc<Leaf>);

impl PyNode {
    /// The object for an edge; `None` where no gradient flows.
    pub fn of<'py>(py: Python<'py>, edge: &Edge) -> PyResult<Option<Bound<'py, PyAny>>> {
        static LIVING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let key = match edge {
            Edge::Node { node, .. } => (node.id(), false),
            Edge::Leaf(leaf) if leaf.requires_grad() => (leaf.id(), true),
            Edge::None | Edge::Leaf(_) | Edge::Lifted(_) => return Ok(None),
        };
        let living = LIVING.get_or_try_init(py, || py.import("weakref")?.call_method0("WeakValueDictionary").map(Bound::unbind))?.bind(py);
        let known = living.call_method1("get", (key,))?;
        if !known.is_none() {
            return Ok(Some(known));
        }
        let node = Self { edge: edge.clone(), _last: EmptyOnDrop };
        let new = match edge {
            Edge::Leaf(leaf) => {
                let whole = PyClassInitializer::from(node).add_subclass(PyAccumulateGrad(Arc::clone(leaf)));
                Bound::new(py, whole)?.into_any()
            }
            _ => Bound::new(py, node)?.into_any(),
        };
        living.set_item(key, &new)?;
        Ok(Some(new))
    }

    fn node(&self) -> Option<&NodeRef> {
        if let Edge::Node { node, .. } = &self.edge { Some(node) } else { None }
    }
}

#[pymethods]
impl PyNode {
    /// The name of the operation, as in ``tg``; "AccumulateGrad" for a leaf.
    pub fn name(&self) -> String {
        self.node().map_or_else(|| "AccumulateGrad".to_owned(), tape::op_name)
    }

    /// For each input that is an array, what recorded it and the number of the result there; ``(None, 0)`` where no gradient flows.
    #[getter]
    fn next_functions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let edges = self.node().map(tape::inputs).unwrap_or_default();
        let link = |edge: &Edge| {
            let output = if let Edge::Node { output, .. } = edge { *output } else { 0 };
            Ok((Self::of(py, edge)?, output))
        };
        PyTuple::new(py, edges.iter().map(link).collect::<PyResult<Vec<_>>>()?)
    }

    fn __repr__(&self) -> String {
        format!("<{}>", self.name())
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> bool {
        slf.is(other) || other.extract::<&str>().is_ok_and(|name| slf.get().name() == name)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.name().into_pyobject(py)?.hash()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if !gc::is_shown() {
            return Ok(());
        }
        match &self.edge {
            Edge::Leaf(leaf) => gc::traverse_leaf(leaf, &visit),
            edge => gc::traverse(edge, &visit),
        }
    }
}

#[pymethods]
impl PyAccumulateGrad {
    /// The leaf: the Variable that holds it, or a new one when none is left.
    #[getter]
    fn variable<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let objects = py.import("gc")?.call_method0("get_objects")?.cast_into::<PyList>()?;
        let holds = |o: &Bound<'py, PyAny>| o.cast::<PyVariable>().is_ok_and(|v| v.get().is_handle_of(&self.0));
        match objects.iter().find(holds) {
            Some(v) => Ok(v),
            None => Ok(Bound::new(py, PyVariable::of_leaf(Arc::clone(&self.0)))?.into_any()),
        }
    }
}

impl PyVariable {
    /// Whether it is a handle of this leaf.
    fn is_handle_of(&self, leaf: &Arc<Leaf>) -> bool {
        matches!(&*self.state.lock(), State::Leaf(own) if Arc::ptr_eq(own, leaf))
    }
}

/// Adds the classes to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyNode>()?;
    m.add_class::<PyAccumulateGrad>()
}
