//! NumPy's protocols: `np.sin(v)`, `np.sum(v)` and `ndarray @ v` give Variables and record.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

use super::variable::PyVariable;

/// Our functions for NumPy's ufuncs, as objects; None for ufuncs without one. Every `np.sin(v)` looks here.
static FUNCTIONS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
static APPLY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static DISPATCH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Our function for a ufunc.
fn function<'py>(py: Python<'py>, ufunc: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let known = FUNCTIONS.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    if let Some(found) = known.get_item(ufunc)? {
        return Ok(if found.is_none() { None } else { Some(found) });
    }
    let name = ufunc.getattr("__name__")?.to_string();
    let found = if name.starts_with('_') { None } else { py.import("tapegrad._core")?.getattr_opt(name.as_str())? };
    known.set_item(ufunc, &found)?;
    Ok(found)
}

/// A function of a module of the package, which is looked up once.
fn found<'py>(py: Python<'py>, cell: &'static PyOnceLock<Py<PyAny>>, module: &str, name: &str) -> PyResult<&'py Bound<'py, PyAny>> {
    Ok(cell.get_or_try_init(py, || PyResult::Ok(py.import(module)?.getattr(name)?.unbind()))?.bind(py))
}

/// Whether an operand has the protocol and its class is neither NumPy's nor ours: then its method must be called.
#[cold]
fn has_foreign(inputs: &Bound<'_, PyTuple>) -> PyResult<bool> {
    for o in inputs {
        let module = o.get_type().module().map_or_else(|_| String::new(), |m| m.to_string());
        let known = o.cast::<PyVariable>().is_ok() || module == "numpy" || module == "builtins";
        if !known && o.get_type().getattr_opt("__array_ufunc__")?.is_some_and(|f| !f.is_none()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[pymethods]
impl PyVariable {
    #[pyo3(signature = (ufunc, method, *inputs, **options))]
    #[allow(clippy::unused_self, reason = "a method of the protocol")]
    fn __array_ufunc__<'py>(
        &self,
        py: Python<'py>,
        ufunc: &Bound<'py, PyAny>,
        method: &str,
        inputs: &Bound<'py, PyTuple>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if method == "__call__"
            && options.is_none_or(pyo3::types::PyDictMethods::is_empty)
            && let Some(ours) = function(py, ufunc)?
        {
            return match ours.call1(inputs.clone()) {
                Err(e) if e.is_instance_of::<PyTypeError>(py) && has_foreign(inputs)? => Ok(py.NotImplemented().into_bound(py)),
                result => result,
            };
        }
        let apply = found(py, &APPLY, "tapegrad._ufunc", "apply")?;
        let options = options.map_or_else(|| PyDict::new(py), Clone::clone);
        apply.call1((ufunc, method, inputs, options))
    }

    #[allow(clippy::unused_self, reason = "a method of the protocol")]
    fn __array_function__<'py>(
        &self,
        py: Python<'py>,
        func: &Bound<'py, PyAny>,
        types: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        found(py, &DISPATCH, "tapegrad._function", "dispatch")?.call1((func, types, args, options))
    }
}
