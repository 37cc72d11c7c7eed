//! NumPy's protocols: `np.sin(v)`, `np.sum(v)` and `ndarray @ v` give Variables and record.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::variable::PyVariable;

/// Our function of that name.
fn function<'py>(py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    if name.starts_with('_') {
        return Ok(None);
    }
    py.import("tapegrad._core")?.getattr_opt(name)
}

/// Whether an operand is of a class that neither NumPy nor we know and that has the protocol: then it is its turn.
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
        let name = ufunc.getattr("__name__")?.to_string();
        if method == "__call__"
            && options.is_none_or(pyo3::types::PyDictMethods::is_empty)
            && let Some(ours) = function(py, &name)?
        {
            return match ours.call1(inputs.clone()) {
                Err(e) if e.is_instance_of::<PyTypeError>(py) && has_foreign(inputs)? => Ok(py.NotImplemented().into_bound(py)),
                result => result,
            };
        }
        let apply = py.import("tapegrad._ufunc")?.getattr("apply")?;
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
        py.import("tapegrad._function")?.getattr("dispatch")?.call1((func, types, args, options))
    }
}
