//! Creates Python objects and reports a lack of memory as an error; PyO3's own constructors panic.
#![allow(unsafe_code, reason = "the C functions that report a failure")]

use pyo3::exceptions::{PyMemoryError, PyOverflowError};
use pyo3::ffi::{self, Py_ssize_t};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

fn length(n: usize) -> PyResult<Py_ssize_t> {
    Py_ssize_t::try_from(n).map_err(|_| PyOverflowError::new_err("more items than a Python list can hold"))
}

/// A float.
pub fn float(py: Python<'_>, x: f64) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyFloat_FromDouble(x)) }
}

/// An int.
pub fn int(py: Python<'_>, i: i64) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: as in `float`.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromLongLong(i)) }
}

/// An int without a sign.
pub fn uint(py: Python<'_>, i: u64) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: as in `float`.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromUnsignedLongLong(i)) }
}

/// A complex.
pub fn complex(py: Python<'_>, re: f64, im: f64) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: as in `float`.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyComplex_FromDoubles(re, im)) }
}

/// A str.
pub fn string<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyString>> {
    let n = length(text.len())?;
    // SAFETY: as in `float`; the text is that long, UTF-8, and copied. What comes back is a str.
    unsafe { Ok(Bound::from_owned_ptr_or_err(py, ffi::PyUnicode_FromStringAndSize(text.as_ptr().cast(), n))?.cast_into_unchecked()) }
}

/// A list of `n` items.
pub fn list<'py>(py: Python<'py>, n: usize, mut item: impl FnMut(usize) -> PyResult<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyList>> {
    // SAFETY: as in `float`. What comes back is a list of that length, whose items are null until they are set.
    let list: Bound<'py, PyList> = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyList_New(length(n)?))?.cast_into_unchecked() };
    for i in 0..n {
        let item = item(i)?.into_ptr();
        // SAFETY: the list is new and that long; it takes the reference over.
        unsafe { ffi::PyList_SetItem(list.as_ptr(), length(i)?, item) };
    }
    Ok(list)
}

/// A tuple of items.
pub fn tuple<'py>(py: Python<'py>, items: impl ExactSizeIterator<Item = PyResult<Bound<'py, PyAny>>>) -> PyResult<Bound<'py, PyTuple>> {
    // SAFETY: as in `list`.
    let tuple: Bound<'py, PyTuple> = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyTuple_New(length(items.len())?))?.cast_into_unchecked() };
    for (i, item) in items.enumerate().take(tuple.len()) {
        let item = item?.into_ptr();
        // SAFETY: the tuple is new, that long, and unshared; it takes the reference over.
        unsafe { ffi::PyTuple_SetItem(tuple.as_ptr(), length(i)?, item) };
    }
    Ok(tuple)
}

/// The preallocated MemoryError, because raising it needs no memory. Without a message if there is no memory for one.
pub fn memory_error(message: &str) -> PyErr {
    Python::attach(|py| {
        let class = py.get_type::<PyMemoryError>();
        let made = string(py, message).and_then(|message| class.call1((message,))).or_else(|_| class.call0());
        made.map_or_else(|e| e, PyErr::from_value)
    })
}
