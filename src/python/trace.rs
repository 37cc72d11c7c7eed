//! Traces from Python: recorded calls with their values, which can be run again.

#![allow(clippy::needless_pass_by_value, reason = "arguments as Python hands them over")]

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::error::guard;
use super::objects;
use super::variable::{PyVariable, wrap};
use crate::array::alloc_check;
use crate::tape::{self, Dependence, EdgeKey, Traced, TracedInput, Variable};

/// One recorded call of a trace.
#[pyclass(frozen, module = "tapegrad", name = "_TracedCall")]
pub struct TracedCall {
    call: Traced,
}

/// The edge of a value: `("leaf", number)`, `("node", number, output)`, or None.
fn place<'py>(py: Python<'py>, v: &Variable) -> PyResult<Option<Bound<'py, PyTuple>>> {
    Ok(match v.edge().key() {
        EdgeKey::Leaf(id) => Some(("leaf", id).into_pyobject(py)?),
        EdgeKey::Node(id, output) => Some(("node", id, output).into_pyobject(py)?),
        EdgeKey::None | EdgeKey::Lifted(_) => None,
    })
}

#[pymethods]
impl TracedCall {
    /// The name of the operation.
    #[getter]
    fn name(&self) -> &str {
        self.call.name()
    }

    /// Its attributes as text.
    #[getter]
    fn attrs(&self) -> String {
        self.call.attrs()
    }

    /// The file and line that recorded it.
    #[getter]
    fn source(&self) -> Option<String> {
        self.call.source().map(|s| s.to_string())
    }

    /// How its results depend on its inputs: "elementwise", "linear", "general" or "opaque".
    #[getter]
    fn dependence(&self) -> &'static str {
        match self.call.dependence() {
            Dependence::Elementwise => "elementwise",
            Dependence::Linear => "linear",
            Dependence::General => "general",
            Dependence::Opaque => "opaque",
        }
    }

    /// The edges of the inputs; None for constants.
    fn places<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        objects::list(py, self.call.inputs.len(), |i| {
            let found = if let TracedInput::Array(v) = &self.call.inputs[i] { place(py, v)? } else { None };
            Ok(found.into_pyobject(py)?.into_any())
        })
    }

    /// The inputs: values without history, None for numbers.
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        objects::list(py, self.call.inputs.len(), |i| match &self.call.inputs[i] {
            TracedInput::Array(v) => Ok(wrap(py, v.array().clone().into())?.into_bound(py)),
            TracedInput::Number(_) => Ok(py.None().into_bound(py)),
        })
    }

    /// The results, with their edges.
    fn outputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        objects::list(py, self.call.outputs.len(), |i| Ok(wrap(py, self.call.outputs[i].clone())?.into_bound(py)))
    }

    /// Runs the same operation on other inputs; None keeps a number.
    fn run<'py>(&self, py: Python<'py>, inputs: Vec<Option<Bound<'py, PyVariable>>>) -> PyResult<Bound<'py, PyTuple>> {
        let given = inputs.iter().zip(&self.call.inputs).map(|(new, old)| match new {
            Some(v) => TracedInput::Array(v.get().snapshot()),
            None => old.clone(),
        });
        let given: Vec<TracedInput> = alloc_check::collect(given);
        guard("trace", || {
            let outputs = self.call.run(&given)?;
            objects::tuple(py, outputs.into_iter().map(|v| Ok(wrap(py, v)?.into_bound(py))))
        })
    }
}

/// Begins to keep the calls that this thread records, with their values.
#[pyfunction]
fn _begin_trace() {
    tape::begin_trace();
}

/// Ends the innermost trace and returns its calls.
#[pyfunction]
fn _end_trace(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let calls = tape::end_trace();
    objects::list(py, calls.len(), |i| Ok(Bound::new(py, TracedCall { call: calls[i].clone() })?.into_any()))
}

/// The edge of a value: `("leaf", number)`, `("node", number, output)`, or None.
#[pyfunction]
fn _place<'py>(py: Python<'py>, x: &Bound<'py, PyVariable>) -> PyResult<Option<Bound<'py, PyTuple>>> {
    place(py, &x.get().snapshot())
}

/// Adds traces to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<TracedCall>()?;
    m.add_function(wrap_pyfunction!(_begin_trace, m)?)?;
    m.add_function(wrap_pyfunction!(_end_trace, m)?)?;
    m.add_function(wrap_pyfunction!(_place, m)?)
}
