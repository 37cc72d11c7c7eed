//! Values in error messages: what a caller passed, in a few words.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::error::ShapeError;
use super::number::int;
use crate::array::alloc_check;

/// The name of the type of `o`.
pub fn type_name(o: &Bound<'_, PyAny>) -> String {
    o.get_type().name().map_or_else(|_| "?".to_owned(), |n| n.to_string())
}

/// Whether `o` is an int that does not fit 64 bits.
pub fn is_huge(o: &Bound<'_, PyAny>) -> bool {
    o.cast::<PyInt>().is_ok() && o.extract::<i64>().is_err()
}

/// The type of `o`, and its value if that is short: `float (2.5)`, `str ('a')`, `tuple whose entry 0 is float (2.5)`.
#[cold]
pub fn describe(o: &Bound<'_, PyAny>) -> String {
    let name = type_name(o);
    let shown =
        o.cast_exact::<PyFloat>().is_ok() || o.cast_exact::<PyInt>().is_ok() || o.cast_exact::<PyString>().is_ok() || o.cast::<PyBool>().is_ok();
    if shown && let Ok(text) = o.repr() {
        let text = text.to_string();
        return if text.chars().count() <= 40 { format!("{name} ({text})") } else { name };
    }
    match culprit(o) {
        Some((i, item)) => format!("{name} whose entry {i} is {}", describe(&item)),
        None => name,
    }
}

/// The first entry of a list or tuple that is not an int.
fn culprit<'py>(o: &Bound<'py, PyAny>) -> Option<(usize, Bound<'py, PyAny>)> {
    let items: Vec<Bound<'py, PyAny>> = match (o.cast::<PyList>(), o.cast::<PyTuple>()) {
        (Ok(list), _) => alloc_check::collect(list.iter()),
        (_, Ok(tuple)) => alloc_check::collect(tuple.iter()),
        _ => return None,
    };
    let at = items.iter().position(|x| !matches!(int(x), Ok(Some(_))) && x.cast::<PyList>().is_err() && x.cast::<PyTuple>().is_err())?;
    Some((at, items[at].clone()))
}

/// The error for an int beyond 64 bits: `o` itself, or an entry of it.
#[cold]
pub fn too_large(function: &str, parameter: &str, o: &Bound<'_, PyAny>) -> Option<PyErr> {
    let huge = if is_huge(o) { o.clone() } else { culprit(o).map(|(_, x)| x).filter(is_huge)? };
    let text = huge.str().map_or_else(|_| "?".to_owned(), |s| s.to_string());
    let text = if text.len() <= 40 { text } else { "a longer int".to_owned() };
    Some(PyOverflowError::new_err(format!("{function}(): argument '{parameter}' must fit into a signed integer of 64 bits, got {text}")))
}

/// `e` with the operation's name before its message.
#[cold]
pub fn in_operation(py: Python<'_>, operation: &str, e: PyErr) -> PyErr {
    let class = e.get_type(py);
    let known = [py.get_type::<PyTypeError>(), py.get_type::<PyValueError>(), py.get_type::<PyOverflowError>(), py.get_type::<ShapeError>()];
    let message = e.value(py).to_string();
    if known.iter().any(|k| class.is(k)) && !message.starts_with(operation) {
        return PyErr::from_type(class, format!("{operation}: {message}"));
    }
    e
}
