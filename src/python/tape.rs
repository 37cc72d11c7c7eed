//! Inspection of the tape, the pool and the threads from Python.

use std::sync::Arc;

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::error::guard;
use super::gc::Scope;
use super::objects;
use super::variable::{PyVariable, wrap};
use crate::array::pool;
use crate::kernel::{parallel, simd};
use crate::tape::{self, NodeInfo, Source};

/// Live nodes, the bytes they save, and the bytes that the buffer pool has from the system.
///
/// >>> sorted(tg.tape_stats())
/// ['live_nodes', 'pool_bytes', 'saved_bytes']
#[pyfunction]
fn tape_stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let s = tape::tape_stats();
    let d = PyDict::new(py);
    d.set_item("live_nodes", s.live_nodes)?;
    d.set_item("saved_bytes", s.saved_bytes)?;
    d.set_item("pool_bytes", s.pool_bytes)?;
    Ok(d)
}

/// Bytes that the buffer pool has from the system, how many of them are unused, and how often it asked.
///
/// >>> sorted(tg.memory_stats())
/// ['free_bytes', 'system_bytes', 'system_calls']
#[pyfunction]
fn memory_stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let s = pool::stats();
    let d = PyDict::new(py);
    d.set_item("system_bytes", s.system_bytes)?;
    d.set_item("free_bytes", s.free_bytes)?;
    d.set_item("system_calls", s.system_calls)?;
    Ok(d)
}

/// Gives unused buffers back to the system.
///
/// >>> tg.empty_cache()
#[pyfunction]
fn empty_cache() {
    pool::trim();
}

/// How many threads long operations may use.
///
/// >>> tg.get_num_threads() >= 1
/// True
#[pyfunction]
fn get_num_threads() -> usize {
    parallel::num_threads()
}

/// Sets how many threads long operations may use. The environment variable TAPEGRAD_NUM_THREADS sets it at the start.
#[pyfunction]
fn set_num_threads(n: &Bound<'_, PyAny>) -> PyResult<()> {
    let threads = match n.extract::<i64>() {
        Ok(threads) => usize::try_from(threads).unwrap_or(0),
        Err(e) if !e.is_instance_of::<PyOverflowError>(n.py()) => return Err(e),
        Err(_) => usize::from(n.gt(0)?) * usize::MAX,
    };
    if threads == 0 {
        return Err(PyValueError::new_err(format!("set_num_threads: expected at least 1 thread, got {}", n.str()?)));
    }
    parallel::set_num_threads(threads);
    Ok(())
}

/// Begins to collect descriptions of the operations that this thread records, with values if asked for.
#[pyfunction]
#[pyo3(signature = (values = false))]
fn observe(values: bool) {
    tape::observe(values);
}

fn describe<'py>(py: Python<'py>, n: &NodeInfo) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    let inputs: Vec<Bound<'py, PyTuple>> = n
        .inputs
        .iter()
        .map(|s| match s {
            Source::Constant => PyTuple::new(py, ["const"]),
            Source::Leaf(id, shape) => {
                let shape = PyTuple::new(py, shape.iter())?;
                PyTuple::new(py, ["leaf".into_pyobject(py)?.into_any(), id.into_pyobject(py)?.into_any(), shape.into_any()])
            }
            Source::Node(id) => PyTuple::new(py, ["node".into_pyobject(py)?.into_any(), id.into_pyobject(py)?.into_any()]),
        })
        .collect::<PyResult<_>>()?;
    let shapes: Vec<Bound<'py, PyTuple>> = n.outputs.iter().map(|(s, _)| PyTuple::new(py, s.iter())).collect::<PyResult<_>>()?;
    d.set_item("id", n.id)?;
    d.set_item("op", &n.op)?;
    d.set_item("attrs", &n.attrs)?;
    d.set_item("inputs", inputs)?;
    d.set_item("shapes", shapes)?;
    d.set_item("dtypes", n.outputs.iter().map(|(_, t)| t.name()).collect::<Vec<_>>())?;
    d.set_item("saved_bytes", n.saved_bytes)?;
    d.set_item("source", n.source.as_deref())?;
    d.set_item("values", n.values.iter().map(|a| wrap(py, a.clone().into())).collect::<PyResult<Vec<_>>>()?)?;
    d.set_item("leaves", n.leaves.iter().map(|(id, a)| Ok((*id, wrap(py, a.clone().into())?))).collect::<PyResult<Vec<_>>>()?)?;
    Ok(d)
}

/// Ends the innermost `observe` and returns (nodes as dicts, a listing, DOT).
#[pyfunction]
fn unobserve(py: Python<'_>) -> PyResult<(Bound<'_, PyList>, String, String)> {
    shown(py, &tape::unobserve())
}

/// The operations that the results were recorded from, in the form of `unobserve`.
#[pyfunction]
#[pyo3(signature = (results, values = false))]
#[allow(clippy::needless_pass_by_value, reason = "arguments of Python")]
fn history<'py>(py: Python<'py>, results: Vec<Bound<'py, PyVariable>>, values: bool) -> PyResult<(Bound<'py, PyList>, String, String)> {
    let results: Vec<tape::Variable> = results.iter().map(|v| v.get().snapshot()).collect();
    let nodes = guard("Tape.of", || Ok(tape::history(&results, values)))?;
    shown(py, &nodes)
}

fn shown<'py>(py: Python<'py>, nodes: &[NodeInfo]) -> PyResult<(Bound<'py, PyList>, String, String)> {
    guard("Tape", || {
        let dicts = objects::list(py, nodes.len(), |i| Ok(describe(py, &nodes[i])?.into_any()))?;
        Ok((dicts, tape::listing(nodes), tape::to_dot(nodes)))
    })
}

/// The line of user code that is running: the innermost frame outside the package.
fn source() -> Option<Arc<str>> {
    Python::attach(|py| {
        let _scope = Scope::attached();
        let package = py.import("tapegrad").ok()?.filename().ok()?.to_string();
        let folder = package.rsplit_once('/').or_else(|| package.rsplit_once('\\')).map_or(String::new(), |(f, _)| f.to_owned());
        let mut frame = py.import("sys").ok()?.call_method1("_getframe", (0,)).ok()?;
        while !frame.is_none() {
            let file = frame.getattr("f_code").ok()?.getattr("co_filename").ok()?.to_string();
            if folder.is_empty() || !file.starts_with(&folder) {
                return Some(format!("{file}:{}", frame.getattr("f_lineno").ok()?).into());
            }
            frame = frame.getattr("f_back").ok()?;
        }
        None
    })
}

/// Adds inspection to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    tape::set_source_provider(source);
    simd::check()?;
    m.add("_isa", simd::isa())?;
    m.add_function(wrap_pyfunction!(tape_stats, m)?)?;
    m.add_function(wrap_pyfunction!(memory_stats, m)?)?;
    m.add_function(wrap_pyfunction!(empty_cache, m)?)?;
    m.add_function(wrap_pyfunction!(get_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(set_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(observe, m)?)?;
    m.add_function(wrap_pyfunction!(history, m)?)?;
    m.add_function(wrap_pyfunction!(unobserve, m)?)
}
