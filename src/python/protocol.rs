//! NumPy's protocols: `np.sin(v)`, `np.sum(v)` and `ndarray @ v` give Variables and record.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::variable::PyVariable;

/// Reductions that NumPy spells as methods of ufuncs.
const REDUCTIONS: [(&str, &str); 6] =
    [("add", "sum"), ("multiply", "prod"), ("maximum", "max"), ("minimum", "min"), ("logical_and", "all"), ("logical_or", "any")];

/// Our function of that name.
fn function<'py>(py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    if name.starts_with('_') {
        return Ok(None);
    }
    py.import("tapegrad._core")?.getattr_opt(name)
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
        let ours = match method {
            "__call__" => function(py, &name)?,
            "reduce" => match REDUCTIONS.iter().find(|(u, _)| *u == name) {
                Some((_, f)) => function(py, f)?,
                None => None,
            },
            _ => None,
        };
        let Some(ours) = ours else {
            return Err(PyTypeError::new_err(format!(
                "numpy.{name} ({method}) is not available for Variables; use v.numpy() for its data without gradients"
            )));
        };
        if options.is_some_and(|o| o.contains("out").unwrap_or(true)) {
            return Err(PyTypeError::new_err(format!("numpy.{name}: out= cannot be combined with Variables, whose results are recorded")));
        }
        ours.call(inputs, options)
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
            None => {
                Err(PyTypeError::new_err(format!("{module}.{name} is not available for Variables; use v.numpy() for its data without gradients")))
            }
        }
    }
}
