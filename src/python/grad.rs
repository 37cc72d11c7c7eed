//! Differentiation from Python: backward passes, gradients, grad modes.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use super::describe::describe;
use super::error::{GradError, guard};
use super::variable::{PyVariable, expect, wrap};
use super::{convert, gc, objects};
use crate::array::alloc_check;
use crate::tape::{self, BackwardOptions, Variable};

type Roots = Vec<(Variable, Option<Variable>)>;

/// Converts a gradient that a user passes: a Variable keeps its history, other values take the dtype of `root`. It may become a `.grad`, so
/// lent memory is copied: later writes to it do not change the gradient.
pub fn cotangent(g: &Bound<'_, PyAny>, root: &Variable) -> PyResult<Variable> {
    if let Ok(v) = g.cast::<PyVariable>() {
        return Ok(v.get().snapshot().pooled());
    }
    Ok(convert::variable(g, Some(root.dtype()), None)?.pooled())
}

/// A backward pass.
pub fn run_backward(py: Python<'_>, roots: Roots, inputs: Option<Vec<Variable>>, retain_graph: Option<bool>, create_graph: bool) -> PyResult<()> {
    let options = BackwardOptions { retain_graph: retain_graph.unwrap_or(create_graph), create_graph, ..BackwardOptions::default() };
    let result = guard("backward", || Ok(gc::detach(py, move || tape::backward_with(&roots, inputs.as_deref(), options))?));
    after(py, result)
}

/// Called after a backward pass: with true when it has added to `.grad`, with false when nothing was added.
static AFTER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Registers `f` to be called after each backward pass of the process.
#[pyfunction]
fn after_backward(py: Python<'_>, f: Py<PyAny>) {
    let _ = AFTER.set(py, f);
}

/// Returns `result` after calling the registered function.
fn after(py: Python<'_>, result: PyResult<()>) -> PyResult<()> {
    let Some(f) = AFTER.get(py) else { return result };
    let called = f.call1(py, (result.is_ok(),));
    result.and(called.map(drop))
}

/// One Variable or a sequence of them.
pub fn variables(o: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<Variable>> {
    if let Ok(v) = o.cast::<PyVariable>() {
        return Ok(vec![v.get().snapshot()]);
    }
    let items = o.try_iter().map_err(|e| {
        let fits = e.is_instance_of::<PyTypeError>(o.py());
        if fits { PyTypeError::new_err(format!("{what} must be a Variable, got {}", describe(o))) } else { e }
    })?;
    alloc_check::try_collect(items.map(|v| Ok(expect(&v?, what)?.get().snapshot())))
}

fn roots(outputs: &Bound<'_, PyAny>, gradients: Option<&Bound<'_, PyAny>>, op: &str) -> PyResult<Roots> {
    let outputs = variables(outputs, &format!("{op}: every output"))?;
    let Some(gradients) = gradients else { return Ok(alloc_check::collect(outputs.into_iter().map(|o| (o, None)))) };
    let given: Vec<Bound<'_, PyAny>> =
        if gradients.cast::<PyVariable>().is_ok() { vec![gradients.clone()] } else { alloc_check::try_collect(gradients.try_iter()?)? };
    if given.len() != outputs.len() {
        return Err(GradError::new_err(format!(
            "{op}: {} outputs but {} gradients; pass one for each, None for single elements",
            outputs.len(),
            given.len()
        )));
    }
    let pairs = outputs.into_iter().zip(given);
    alloc_check::try_collect(pairs.map(|(o, g)| if g.is_none() { Ok((o, None)) } else { cotangent(&g, &o).map(|g| (o, Some(g))) }))
}

/// A backward pass from several roots.
#[pyfunction]
#[pyo3(signature = (tensors, grad_tensors = None, inputs = None, retain_graph = None, create_graph = false))]
fn backward(
    py: Python<'_>,
    tensors: &Bound<'_, PyAny>,
    grad_tensors: Option<&Bound<'_, PyAny>>,
    inputs: Option<&Bound<'_, PyAny>>,
    retain_graph: Option<bool>,
    create_graph: bool,
) -> PyResult<()> {
    guard("backward", || {
        let inputs = inputs.map(|i| variables(i, "backward: every input")).transpose()?;
        run_backward(py, roots(tensors, grad_tensors, "backward")?, inputs, retain_graph, create_graph)
    })
}

/// Gradients of outputs with respect to inputs, without changing any `.grad`.
#[pyfunction]
#[pyo3(signature = (outputs, inputs, grad_outputs = None, retain_graph = None, create_graph = false, allow_unused = false))]
fn grad<'py>(
    py: Python<'py>,
    outputs: &Bound<'py, PyAny>,
    inputs: &Bound<'py, PyAny>,
    grad_outputs: Option<&Bound<'py, PyAny>>,
    retain_graph: Option<bool>,
    create_graph: bool,
    allow_unused: bool,
) -> PyResult<Bound<'py, PyTuple>> {
    let options = BackwardOptions { retain_graph: retain_graph.unwrap_or(create_graph), create_graph, ..BackwardOptions::default() };
    let grads = guard("grad", || {
        let roots = roots(outputs, grad_outputs, "grad")?;
        let inputs = variables(inputs, "grad: every input")?;
        Ok(gc::detach(py, move || tape::grad(&roots, &inputs, options))?)
    });
    if let Some(f) = AFTER.get(py) {
        f.call1(py, (false,))?;
    }
    let grads = grads?;
    if !allow_unused && let Some(i) = grads.iter().position(Option::is_none) {
        return Err(GradError::new_err(format!(
            "grad: the outputs do not depend on input {i}; pass allow_unused=True to get None for it, or check that it was used before any detach() or no_grad()"
        )));
    }
    objects::tuple(py, grads.into_iter().map(|g| Ok(g.map_or_else(|| Ok(py.None()), |g| wrap(py, g))?.into_bound(py))))
}

/// The node of `root` (None for a leaf), and the gradients that each rule delivers in a backward pass from it, as (node, input, gradient).
/// The graph stays, and no `.grad` changes.
#[pyfunction]
fn deliveries<'py>(py: Python<'py>, root: &Bound<'py, PyVariable>, gradient: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    let root = root.get().snapshot();
    let node = if let tape::Edge::Node { node, .. } = root.edge() { Some(node.id()) } else { None };
    let found = guard("deliveries", || {
        let seed = cotangent(gradient, &root)?;
        Ok(gc::detach(py, move || tape::deliveries(&root, &seed))?)
    })?;
    let list = objects::list(py, found.len(), |i| {
        let one = &found[i];
        let parts = [one.node.into_pyobject(py)?.into_any(), one.input.into_pyobject(py)?.into_any(), wrap(py, one.gradient.clone())?.into_bound(py)];
        Ok(PyTuple::new(py, parts)?.into_any())
    })?;
    PyTuple::new(py, [node.into_pyobject(py)?.into_any(), list.into_any()])
}

/// Whether operations on tracked values are recorded in this thread.
#[pyfunction]
fn is_grad_enabled() -> bool {
    tape::is_recording()
}

/// Turns recording on or off in this thread and returns whether it was on.
#[pyfunction]
fn set_grad_enabled_raw(on: bool) -> bool {
    tape::set_recording(on)
}

/// Turns the check of gradients for NaN on or off in this thread and returns whether it was on.
#[pyfunction]
fn set_anomaly_raw(on: bool) -> bool {
    tape::set_anomaly(on)
}

/// Adds differentiation to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(backward, m)?)?;
    m.add_function(wrap_pyfunction!(grad, m)?)?;
    m.add_function(wrap_pyfunction!(deliveries, m)?)?;
    m.add_function(wrap_pyfunction!(after_backward, m)?)?;
    m.add_function(wrap_pyfunction!(is_grad_enabled, m)?)?;
    m.add_function(wrap_pyfunction!(set_grad_enabled_raw, m)?)?;
    m.add_function(wrap_pyfunction!(set_anomaly_raw, m)?)
}
