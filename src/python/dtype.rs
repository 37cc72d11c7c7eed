//! dtypes as Python objects: `tg.float32` equals `"float32"` and `np.float32`.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString, PyType};

use super::error::DTypeError;
use crate::array::{DType, default_float, set_default_float};

/// The type of an array's elements.
///
/// It equals its name and NumPy's dtype of that name.
///
/// >>> tg.float32 == "float32"
/// True
/// >>> tg.float32.itemsize
/// 4
#[pyclass(frozen, name = "DType", module = "tapegrad")]
pub struct PyDType(pub DType);

#[pymethods]
impl PyDType {
    /// NumPy's name.
    #[getter]
    fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Bytes of one element.
    #[getter]
    fn itemsize(&self) -> usize {
        self.0.size()
    }

    /// Whether arrays of it can require gradients.
    #[getter]
    fn is_floating_point(&self) -> bool {
        self.0.is_float()
    }

    fn __repr__(&self) -> String {
        format!("tapegrad.{}", self.0)
    }

    fn __str__(&self) -> &'static str {
        self.0.name()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        extract(other).is_ok_and(|d| d == self.0)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        PyString::new(py, self.0.name()).hash()
    }

    fn __reduce__(&self, py: Python<'_>) -> (Py<PyAny>, (&'static str,)) {
        (py.get_type::<Self>().into_any().unbind(), (self.0.name(),))
    }

    #[new]
    fn new(dtype: &Bound<'_, PyAny>) -> PyResult<Self> {
        extract(dtype).map(Self)
    }
}

/// A dtype from whatever users write for one: `tg.float32`, `"float32"`, `np.float32`, `np.dtype(...)`, and as in NumPy `float` for
/// float64, `int` for int64.
pub fn extract(o: &Bound<'_, PyAny>) -> PyResult<DType> {
    if let Ok(d) = o.cast::<PyDType>() {
        return Ok(d.get().0);
    }
    let py = o.py();
    if let Ok(t) = o.cast::<PyType>() {
        if t.is(py.get_type::<PyFloat>()) {
            return Ok(DType::F64);
        }
        if t.is(py.get_type::<PyInt>()) {
            return Ok(DType::I64);
        }
        if t.is(py.get_type::<PyBool>()) {
            return Ok(DType::Bool);
        }
    }
    if o.cast::<PyInt>().is_ok() {
        return Err(DTypeError::new_err(format!("{} is no dtype; the sizes of a shape go into a tuple, as in zeros((2, 3))", o.str()?)));
    }
    let name = match o.cast::<PyString>() {
        Ok(s) => s.to_string(),
        // np.dtype has `name`; np.float32 is a class whose __name__ says it.
        Err(_) => match o.getattr("name").or_else(|_| o.getattr("__name__")) {
            Ok(n) => n.to_string(),
            Err(_) => return Err(unknown(&o.repr()?.to_string())),
        },
    };
    DType::from_name(name.trim_end_matches('_')).ok_or_else(|| unknown(&name))
}

fn unknown(name: &str) -> PyErr {
    let all: Vec<&str> = DType::ALL.iter().map(|d| d.name()).collect();
    DTypeError::new_err(format!("dtype {name} is not supported; supported are {}", all.join(", ")))
}

/// The dtype of what is made from Python floats: float32 unless changed.
#[pyfunction]
fn get_default_dtype() -> PyDType {
    PyDType(default_float())
}

/// Sets the dtype of what is made from Python floats to float32 or float64.
#[pyfunction]
fn set_default_dtype(dtype: &Bound<'_, PyAny>) -> PyResult<()> {
    Ok(set_default_float(extract(dtype)?)?)
}

/// Puts dtypes on the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyDType>()?;
    for d in DType::ALL {
        m.add(d.name(), PyDType(d))?;
    }
    m.add_function(wrap_pyfunction!(get_default_dtype, m)?)?;
    m.add_function(wrap_pyfunction!(set_default_dtype, m)?)
}
