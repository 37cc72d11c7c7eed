//! What stands between square brackets, as the core's index items.

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyInt, PyList, PySlice, PyTuple};

use super::convert;
use crate::array::Array;
use crate::ops::index::IndexItem;

/// The items of an index: a tuple's, or the one thing given.
pub fn items(key: &Bound<'_, PyAny>) -> PyResult<Vec<IndexItem>> {
    match key.cast::<PyTuple>() {
        Ok(t) => t.iter().map(|k| item(&k)).collect(),
        Err(_) => Ok(vec![item(key)?]),
    }
}

fn item(key: &Bound<'_, PyAny>) -> PyResult<IndexItem> {
    if key.is_none() {
        return Ok(IndexItem::NewAxis);
    }
    if let Ok(b) = key.cast::<PyBool>() {
        return Ok(IndexItem::Array(Array::scalar(b.is_true()).into()));
    }
    if key.cast::<PyInt>().is_ok() {
        return Ok(IndexItem::Int(bound(key)?));
    }
    if let Ok(s) = key.cast::<PySlice>() {
        let part = |name: &str| -> PyResult<Option<isize>> {
            let v = s.getattr(name)?;
            if v.is_none() { Ok(None) } else { bound(&v).map(Some) }
        };
        return Ok(IndexItem::Slice(part("start")?, part("stop")?, part("step")?));
    }
    if key.cast::<PyEllipsis>().is_ok() {
        return Ok(IndexItem::Ellipsis);
    }
    if let Ok(list) = key.cast::<PyList>()
        && list.is_empty()
    {
        return Ok(IndexItem::Array(Array::empty(&[0], crate::array::DType::I64).into()));
    }
    match convert::array(key, None, None) {
        Ok(a) => Ok(IndexItem::Array(a.into())),
        Err(_) => match bound(key) {
            Ok(i) => Ok(IndexItem::Int(i)),
            Err(_) => Err(PyIndexError::new_err(format!(
                "an index must be made of ints, slices, ..., None, integer or bool arrays, got {}",
                key.get_type().name()?
            ))),
        },
    }
}

/// An int, or whatever says that it is one. Numbers beyond the address space are as far away as any.
fn bound(o: &Bound<'_, PyAny>) -> PyResult<isize> {
    let i = o.call_method0("__index__")?;
    match i.extract::<isize>() {
        Ok(i) => Ok(i),
        Err(_) => Ok(if i.lt(0)? { isize::MIN / 2 } else { isize::MAX / 2 }),
    }
}

/// An index item as Python writes it.
pub fn python<'py>(py: Python<'py>, item: &IndexItem) -> PyResult<Bound<'py, PyAny>> {
    Ok(match item {
        IndexItem::Int(i) => i.into_pyobject(py)?.into_any(),
        IndexItem::Slice(start, stop, step) => py.import("builtins")?.getattr("slice")?.call1((*start, *stop, *step))?,
        IndexItem::Ellipsis => PyEllipsis::get(py).to_owned().into_any(),
        IndexItem::NewAxis => py.None().into_bound(py),
        IndexItem::Array(v) => super::variable::wrap(py, v.clone())?.into_bound(py),
    })
}
