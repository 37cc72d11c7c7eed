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

/// The error for a function of NumPy's that has no counterpart here.
#[cold]
fn missing(py: Python<'_>, name: &str) -> PyErr {
    let text = || py.import("tapegrad._messages")?.getattr("numpy_missing")?.call1((name,))?.extract::<String>();
    text().map_or_else(|e| e, PyTypeError::new_err)
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
        if method != "__call__" || options.is_some_and(|o| !o.is_empty()) {
            let apply = py.import("tapegrad._ufunc")?.getattr("apply")?;
            let options = options.map_or_else(|| PyDict::new(py), Clone::clone);
            return apply.call1((ufunc, method, inputs, options));
        }
        match function(py, &name)? {
            Some(ours) => ours.call1(inputs.clone()),
            None => Err(missing(py, &format!("numpy.{name}"))),
        }
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
        let _ = types;
        let name = func.getattr("__name__")?.to_string();
        let module = func.getattr("__module__").map_or_else(|_| String::new(), |m| m.to_string());
        let ours = if module == "numpy" { function(py, &name)? } else { None };
        match ours {
            Some(f) => f.call(args, Some(options)),
            None => Err(missing(py, &format!("{module}.{name}"))),
        }
    }
}
