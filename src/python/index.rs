//! Converts what is between square brackets to the core's index items.

use pyo3::exceptions::{PyIndexError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyFloat, PyInt, PyList, PySlice, PyString, PyTuple};

use super::convert::{self, Value};
use super::describe::describe;
use super::error::DTypeError;
use super::numpy;
use super::variable::PyVariable;
use crate::array::{Array, DType, Scalar, alloc_check};
use crate::ops::index::IndexItem;

/// The items of an index: those of a tuple, or a single one.
pub fn items(key: &Bound<'_, PyAny>) -> PyResult<Vec<IndexItem>> {
    match key.cast::<PyTuple>() {
        Ok(t) => alloc_check::try_collect(t.iter().map(|k| item(&k))),
        Err(_) => Ok(vec![item(key)?]),
    }
}

/// Whether the memory of an index array is lent: then its owner may write it whenever a Python thread runs.
pub fn is_lent(items: &[IndexItem]) -> bool {
    items.iter().any(|item| if let IndexItem::Array(v) = item { v.array().is_lent() } else { false })
}

fn item(key: &Bound<'_, PyAny>) -> PyResult<IndexItem> {
    if let Some(i) = plain(key) {
        return Ok(IndexItem::Int(i));
    }
    if key.is_none() {
        return Ok(IndexItem::NewAxis);
    }
    if let Ok(b) = key.cast::<PyBool>() {
        return Ok(IndexItem::Array(Array::scalar(b.is_true()).into()));
    }
    if key.cast::<PyInt>().is_ok() {
        return position(key);
    }
    if let Ok(v) = key.cast::<PyVariable>()
        && let v = v.get().snapshot()
        && v.ndim() == 0
        && v.dtype().is_integer()
        && !v.is_lifted()
    {
        // A 0-d integer array counts as an int, as NumPy's scalars do.
        let at = if let Scalar::Int(i) = v.values("index")?.item()? { i } else { 0 };
        return Ok(IndexItem::Int(isize::try_from(at).unwrap_or(isize::MAX)));
    }
    if let Ok(s) = key.cast::<PySlice>() {
        let part = |name| bound(&s.getattr(name)?);
        let py = key.py();
        return Ok(IndexItem::Slice(part(intern!(py, "start"))?, part(intern!(py, "stop"))?, part(intern!(py, "step"))?));
    }
    if key.cast::<PyEllipsis>().is_ok() {
        return Ok(IndexItem::Ellipsis);
    }
    if key.cast::<PyFloat>().is_ok() || key.cast::<PyString>().is_ok() {
        return Err(no_index(key));
    }
    let listed = key.cast::<PyList>().is_ok() || key.cast::<PyTuple>().is_ok();
    match convert::operand(key) {
        // An empty list counts as a list of ints.
        Ok(Some(Value::Variable(v))) if listed && v.array().size() == 0 => Ok(IndexItem::Array(Array::empty(v.shape(), DType::I64).into())),
        Ok(Some(Value::Variable(v))) => Ok(IndexItem::Array(v)),
        Ok(_) if key.hasattr("__index__")? => position(key),
        Ok(_) => Err(no_index(key)),
        Err(e) if listed && misfit(&e, key.py()) => {
            let error = PyIndexError::new_err(format!("a list in an index must hold ints or bools: {}", e.value(key.py())));
            error.set_cause(key.py(), Some(e));
            Err(error)
        }
        Err(_) if numpy::as_ndarray(key).is_some() => Err(no_index(key)),
        // NumPy has integers without a corresponding dtype here.
        Err(e) if e.is_instance_of::<DTypeError>(key.py()) && key.hasattr("__index__")? => position(key),
        Err(e) => Err(e),
    }
}

/// Whether an error says that something cannot be converted to an array.
fn misfit(e: &PyErr, py: Python<'_>) -> bool {
    e.is_instance_of::<PyTypeError>(py) || e.is_instance_of::<PyValueError>(py) || e.is_instance_of::<PyOverflowError>(py)
}

fn no_index(key: &Bound<'_, PyAny>) -> PyErr {
    PyIndexError::new_err(format!("an index must be made of ints, slices, ..., None, integer or bool arrays, got {}", describe(key)))
}

/// The value of a plain int; `None` for other classes, or if it is larger than any position.
fn plain(o: &Bound<'_, PyAny>) -> Option<isize> {
    o.cast_exact::<PyInt>().ok()?.extract().ok()
}

/// An int, or an object with `__index__`, as a position.
fn position(o: &Bound<'_, PyAny>) -> PyResult<IndexItem> {
    let i = o.call_method0(intern!(o.py(), "__index__"))?;
    match i.extract::<isize>() {
        Ok(i) => Ok(IndexItem::Int(i)),
        Err(_) => Err(PyIndexError::new_err(format!("index {} is out of bounds for any axis", i.str()?))),
    }
}

/// One of the three numbers of a slice. Numbers beyond the address space are clamped.
fn bound(o: &Bound<'_, PyAny>) -> PyResult<Option<isize>> {
    if o.is_none() {
        return Ok(None);
    }
    if let Some(i) = plain(o) {
        return Ok(Some(i));
    }
    let name = intern!(o.py(), "__index__");
    if !o.hasattr(name)? {
        let got = o.get_type().name()?;
        return Err(PyTypeError::new_err(format!("slice indices must be integers or None or have an __index__ method, got {got}")));
    }
    let i = o.call_method0(name)?;
    match i.extract::<isize>() {
        Ok(i) => Ok(Some(i)),
        Err(_) => Ok(Some(if i.lt(0)? { isize::MIN / 2 } else { isize::MAX / 2 })),
    }
}

/// An index item as a Python object.
pub fn python<'py>(py: Python<'py>, item: &IndexItem) -> PyResult<Bound<'py, PyAny>> {
    Ok(match item {
        IndexItem::Int(i) => i.into_pyobject(py)?.into_any(),
        IndexItem::Slice(start, stop, step) => py.import("builtins")?.getattr("slice")?.call1((*start, *stop, *step))?,
        IndexItem::Ellipsis => PyEllipsis::get(py).to_owned().into_any(),
        IndexItem::NewAxis => py.None().into_bound(py),
        IndexItem::Array(v) => super::variable::wrap(py, v.clone())?.into_bound(py),
    })
}
