//! Transformations from Python: the building blocks from which `tapegrad/_transforms.py` makes transformations of functions on nested
//! containers.

#![allow(clippy::needless_pass_by_value, reason = "arguments as Python hands them over")]

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::error::guard;
use super::variable::{PyVariable, wrap};
use super::{gc, objects, written};
use crate::tape::{self, BackwardOptions, Edge, Variable};
use crate::transform::{self, Randomness};

fn values(all: &[Bound<'_, PyVariable>]) -> Vec<Variable> {
    all.iter().map(|v| v.get().snapshot()).collect()
}

fn handles(py: Python<'_>, all: Vec<Variable>) -> PyResult<Bound<'_, PyTuple>> {
    objects::tuple(py, all.into_iter().map(|v| Ok(wrap(py, v)?.into_bound(py))))
}

/// A new level for one call of a transformation, above all active levels.
#[pyfunction]
fn _fresh_level() -> u64 {
    transform::fresh_level()
}

/// Ends a level: its values can no longer be used. Handles from outside that were written keep their values, without tangents.
#[pyfunction]
fn _end_level(py: Python<'_>, level: u64) -> PyResult<()> {
    let done = written::end(py, level);
    transform::end_level(level);
    done.map(|_| ())
}

/// A value with a tangent.
#[pyfunction]
fn _dual(level: u64, x: &Bound<'_, PyVariable>, tangent: &Bound<'_, PyVariable>) -> PyResult<PyVariable> {
    guard("jvp", || Ok(PyVariable::new(transform::dual(level, &x.get().snapshot(), &tangent.get().snapshot())?)))
}

/// The value and the tangent at a level.
#[pyfunction]
fn _split_dual(level: u64, y: &Bound<'_, PyVariable>) -> (PyVariable, PyVariable) {
    let (value, tangent) = transform::split(level, y.get().snapshot());
    (PyVariable::new(value), PyVariable::new(tangent))
}

/// One sample of `x`, mapped over `axis`.
#[pyfunction]
fn _batched(level: u64, x: &Bound<'_, PyVariable>, axis: isize) -> PyResult<PyVariable> {
    guard("vmap", || Ok(PyVariable::new(transform::batched(level, &x.get().snapshot(), axis)?)))
}

/// All samples of `y`.
#[pyfunction]
fn _unbatched(level: u64, size: usize, y: &Bound<'_, PyVariable>, axis: isize) -> PyResult<PyVariable> {
    guard("vmap", || Ok(PyVariable::new(transform::unbatched(level, size, &y.get().snapshot(), axis)?)))
}

/// Begins a `vmap` over `size` samples.
#[pyfunction]
fn _enter_mapping(level: u64, size: usize, randomness: &str) {
    let randomness = match randomness {
        "same" => Randomness::Same,
        "error" => Randomness::Error,
        _ => Randomness::Different,
    };
    transform::enter(level, size, randomness);
}

/// Whether this thread is inside `vmap`.
#[pyfunction]
fn _is_mapping() -> bool {
    transform::is_mapping()
}

/// The number of samples of an active `vmap`, and the kind of its random draws: `(3, "same")`, or None.
#[pyfunction]
fn _active_mapping(level: u64) -> Option<(usize, &'static str)> {
    let (size, randomness) = transform::active_mapping(level)?;
    Some((size, name_of(randomness)))
}

fn name_of(randomness: Randomness) -> &'static str {
    match randomness {
        Randomness::Different => "different",
        Randomness::Same => "same",
        Randomness::Error => "error",
    }
}

/// Number of nested `vmap` calls that this thread is inside, or that are around the one of a level.
#[pyfunction]
#[pyo3(signature = (level = None))]
fn _mapping_depth(level: Option<u64>) -> usize {
    level.map_or_else(transform::mapping_depth, transform::depth_of)
}

/// Leaves the mappings beyond the first `depth` temporarily. Returns the arguments with which `_enter_mapping` restores each of them.
#[pyfunction]
fn _suspend_mappings(depth: usize) -> Vec<(u64, usize, &'static str)> {
    transform::suspend(depth).into_iter().map(|(level, size, randomness)| (level, size, name_of(randomness))).collect()
}

/// The gradients of Σ ⟨cotangent, output⟩ with respect to `sources`, None for one that no output depends on. The pass is recorded if
/// `create_graph`. No gradient passes through one source to another.
#[pyfunction]
fn _pull_between<'py>(
    py: Python<'py>,
    outputs: Vec<Bound<'py, PyVariable>>,
    cotangents: Vec<Bound<'py, PyVariable>>,
    sources: Vec<Bound<'py, PyVariable>>,
    create_graph: bool,
) -> PyResult<Bound<'py, PyTuple>> {
    let options = BackwardOptions { retain_graph: create_graph, create_graph, stop_at_inputs: true, skip_hooks: false };
    let found = guard("checkpoint", || {
        let pairs: Vec<_> = values(&outputs).into_iter().zip(values(&cotangents).into_iter().map(Some)).collect();
        let sources = values(&sources);
        Ok(gc::detach(py, move || tape::grad(&pairs, &sources, options))?)
    })?;
    objects::tuple(py, found.into_iter().map(|g| Ok(g.map_or_else(|| Ok(py.None()), |g| wrap(py, g))?.into_bound(py))))
}

/// Ends a mapping. False when a handle from outside was written with a value that differs between the samples: it is as it was before.
#[pyfunction]
fn _leave_mapping(py: Python<'_>, level: u64) -> PyResult<bool> {
    transform::leave(level);
    let done = guard("vmap", || written::end(py, level));
    transform::end_level(level);
    Ok(!done?)
}

/// The inputs of a function whose gradient will be computed, as the function gets them, and their roots.
#[pyfunction]
fn _vjp_begin<'py>(py: Python<'py>, inputs: Vec<Bound<'py, PyVariable>>) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyTuple>)> {
    guard("vjp", || {
        let (wrapped, roots) = transform::begin(&values(&inputs))?;
        Ok((handles(py, wrapped)?, handles(py, roots)?))
    })
}

/// New nodes for plain values.
#[pyfunction]
fn _plain_roots<'py>(py: Python<'py>, inputs: Vec<Bound<'py, PyVariable>>) -> PyResult<Bound<'py, PyTuple>> {
    guard("vjp", || handles(py, transform::plain_roots(&values(&inputs))?))
}

/// The gradients of the roots.
#[pyfunction]
fn _vjp_pull<'py>(
    py: Python<'py>,
    outputs: Vec<Bound<'py, PyVariable>>,
    cotangents: Vec<Bound<'py, PyVariable>>,
    roots: Vec<Bound<'py, PyVariable>>,
    retain: bool,
) -> PyResult<Bound<'py, PyTuple>> {
    guard("vjp", || {
        let (outputs, cotangents, roots) = (values(&outputs), values(&cotangents), values(&roots));
        handles(py, gc::detach(py, move || transform::pull(&outputs, &cotangents, &roots, retain))?)
    })
}

/// Results when they leave the transformation: without the history that only concerns the roots.
#[pyfunction]
fn _vjp_end<'py>(py: Python<'py>, outputs: Vec<Bound<'py, PyVariable>>, roots: Vec<Bound<'py, PyVariable>>) -> PyResult<Bound<'py, PyTuple>> {
    handles(py, transform::end(&values(&outputs), &values(&roots)))
}

/// The kind of value inside the innermost transformation of `x`, and its level: `("dual", 3)`, `("batched", 4)`, or None.
#[pyfunction]
fn _lifted(x: &Bound<'_, PyVariable>) -> Option<(&'static str, u64)> {
    match x.get().snapshot().edge() {
        Edge::Lifted(l) => Some((if matches!(l.kind, tape::Lift::Batched) { "batched" } else { "dual" }, l.level)),
        _ => None,
    }
}

/// The elements below all transformations, with the axes of all batches in front. For checks, not for computing.
#[pyfunction]
fn _innermost(x: &Bound<'_, PyVariable>) -> PyVariable {
    PyVariable::new(x.get().snapshot().innermost().clone().into())
}

/// The number of the next recorded operation.
#[pyfunction]
fn _next_number() -> u64 {
    tape::next_number()
}

/// The values other than the roots that `outputs` depend on: leaves, and results that are older than number `since`.
#[pyfunction]
fn _frontier<'py>(
    py: Python<'py>,
    outputs: Vec<Bound<'py, PyVariable>>,
    roots: Vec<Bound<'py, PyVariable>>,
    since: u64,
) -> PyResult<Bound<'py, PyTuple>> {
    handles(py, tape::frontier(&values(&outputs), &values(&roots), since))
}

/// Adds these functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_fresh_level, m)?)?;
    m.add_function(wrap_pyfunction!(_end_level, m)?)?;
    m.add_function(wrap_pyfunction!(_dual, m)?)?;
    m.add_function(wrap_pyfunction!(_split_dual, m)?)?;
    m.add_function(wrap_pyfunction!(_batched, m)?)?;
    m.add_function(wrap_pyfunction!(_unbatched, m)?)?;
    m.add_function(wrap_pyfunction!(_enter_mapping, m)?)?;
    m.add_function(wrap_pyfunction!(_leave_mapping, m)?)?;
    m.add_function(wrap_pyfunction!(_is_mapping, m)?)?;
    m.add_function(wrap_pyfunction!(_active_mapping, m)?)?;
    m.add_function(wrap_pyfunction!(_mapping_depth, m)?)?;
    m.add_function(wrap_pyfunction!(_suspend_mappings, m)?)?;
    m.add_function(wrap_pyfunction!(_pull_between, m)?)?;
    m.add_function(wrap_pyfunction!(_vjp_begin, m)?)?;
    m.add_function(wrap_pyfunction!(_plain_roots, m)?)?;
    m.add_function(wrap_pyfunction!(_vjp_pull, m)?)?;
    m.add_function(wrap_pyfunction!(_vjp_end, m)?)?;
    m.add_function(wrap_pyfunction!(_lifted, m)?)?;
    m.add_function(wrap_pyfunction!(_innermost, m)?)?;
    m.add_function(wrap_pyfunction!(_next_number, m)?)?;
    m.add_function(wrap_pyfunction!(_frontier, m)?)
}
