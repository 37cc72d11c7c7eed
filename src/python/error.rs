//! The exceptions that users catch, and the only place where a core error becomes one.

use pyo3::create_exception;
use pyo3::exceptions::{PyIndexError, PyKeyError, PyOverflowError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::objects::memory_error;
use super::release;
use crate::array::alloc_check;
use crate::error::Error;

create_exception!(tapegrad, ShapeError, PyValueError, "Shapes do not fit each other or the operation.");
create_exception!(tapegrad, DTypeError, PyTypeError, "An operation does not take this dtype.");
create_exception!(tapegrad, GradError, PyRuntimeError, "Differentiation is not possible here.");
create_exception!(tapegrad, FreedError, GradError, "The graph behind this value was freed by an earlier backward.");

static AXIS_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// `AxisError` is a ValueError and an IndexError, as in NumPy. PyO3's macro allows one base only, so the class is made by hand.
fn axis_error(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    let class = AXIS_ERROR.get_or_try_init(py, || {
        let bases = PyTuple::new(py, [py.get_type::<PyValueError>(), py.get_type::<PyIndexError>()])?;
        let body = PyDict::new(py);
        body.set_item("__module__", "tapegrad")?;
        body.set_item("__doc__", "An axis is out of range or named twice.")?;
        let class = py.get_type::<PyType>().call1(("AxisError", bases, body))?;
        Ok::<_, PyErr>(class.cast_into::<PyType>()?.unbind())
    })?;
    Ok(class.bind(py))
}

impl From<Error> for PyErr {
    fn from(e: Error) -> Self {
        match e {
            Error::Shape(m) => ShapeError::new_err(m),
            Error::DType(m) => DTypeError::new_err(m),
            Error::Axis(m) => Python::attach(|py| axis_error(py).map_or_else(|e| e, |class| Self::from_type(class.clone(), m))),
            Error::Index(m) => PyIndexError::new_err(m),
            Error::Value(m) => PyValueError::new_err(m),
            Error::Memory(m) => memory_error(&m),
            Error::Overflow(m) => PyOverflowError::new_err(m),
            Error::Type(m) => PyTypeError::new_err(m),
            Error::Grad(m) => GradError::new_err(m),
            Error::Freed(m) => FreedError::new_err(m),
            Error::LinAlg(m) => Python::attach(|py| match py.import("tapegrad.linalg").and_then(|module| module.getattr("LinAlgError")) {
                Ok(class) => Self::from_value(class.call1((m.clone(),)).unwrap_or_else(|e| e.value(py).clone().into_any())),
                Err(_) => PyValueError::new_err(m),
            }),
            Error::Key(m) => PyKeyError::new_err(m),
            Error::External(e) => match e.downcast::<Self>() {
                Ok(e) => *e,
                Err(e) => PyRuntimeError::new_err(e.to_string()),
            },
        }
    }
}

/// Wraps a Python exception to pass it through the core.
pub fn external(e: PyErr) -> Error {
    Error::External(Box::new(e))
}

/// The message of PyO3's panic when the interpreter could not make an object.
const NO_OBJECT: &str = "Python API call failed";

/// Fails when a small allocation came from the reserve and the system still has no memory.
#[inline(always)]
pub fn check_memory(what: &str) -> PyResult<()> {
    if alloc_check::is_low() { Ok(alloc_check::recover(what)?) } else { Ok(()) }
}

/// A caught panic as an ordinary exception: PyO3's own one is a `BaseException`, which `except Exception` does not catch.
#[cold]
pub fn from_panic(what: &str, payload: Box<dyn std::any::Any + Send>) -> PyErr {
    let payload = match payload.downcast::<Error>() {
        Ok(e) => {
            return match *e {
                Error::Memory(m) => Error::Memory(format!("{what}: {m}")),
                Error::Value(m) => Error::Value(format!("{what}: {m}")),
                e => e,
            }
            .into();
        }
        Err(payload) => payload,
    };
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    if text == NO_OBJECT {
        return memory_error(&format!("{what}: there is no memory for a Python object"));
    }
    PyRuntimeError::new_err(format!("internal error in {what}: {text}. This is a bug in tapegrad, please report it"))
}

/// Runs `f`; a panic becomes an exception. Value and error are returned through two locals, because moving the large `Result` took 10 % of
/// a short operation. Inlined for the same reason, as are the functions that return a handle's value.
#[inline(always)]
pub fn guard<T>(what: &str, f: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    check_memory(what)?;
    let (mut value, mut error) = (None, None);
    let run = || match f() {
        Ok(v) => value = Some(v),
        Err(e) => error = Some(e),
    };
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    release::empty();
    if let Some(v) = value {
        return Ok(v);
    }
    Err(match (error, caught) {
        (Some(e), _) => e,
        (None, Err(p)) => from_panic(what, p),
        (None, Ok(())) => unreachable!("{what}: what neither fails nor panics has a value"),
    })
}

/// Adds the exceptions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    m.add("ShapeError", py.get_type::<ShapeError>())?;
    m.add("DTypeError", py.get_type::<DTypeError>())?;
    m.add("GradError", py.get_type::<GradError>())?;
    m.add("FreedError", py.get_type::<FreedError>())?;
    m.add("AxisError", axis_error(py)?)
}
