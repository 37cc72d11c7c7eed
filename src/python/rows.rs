//! Iteration over a `Variable`: the entries along its first axis.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::error::guard;
use super::variable::PyVariable;
use super::view;
use crate::ops::{self, IndexItem};

/// Iterates over the entries along an array's first axis: views, or elements if there is only one axis.
#[pyclass(frozen, module = "tapegrad")]
pub struct Rows {
    array: Py<PyVariable>,
    next: AtomicUsize,
}

impl Rows {
    /// Starts at the first entry.
    pub fn of(array: &Bound<'_, PyVariable>) -> Self {
        Self { array: array.clone().unbind(), next: AtomicUsize::new(0) }
    }
}

#[pymethods]
impl Rows {
    fn __iter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<PyVariable>> {
        let i = self.next.fetch_add(1, Ordering::Relaxed);
        let array = self.array.bind(py);
        let v = array.get().source();
        if v.shape().first().is_none_or(|&n| i >= n) {
            return Ok(None);
        }
        guard("iteration", || {
            let row = ops::get_item(&v, &[IndexItem::Int(i.cast_signed())])?;
            Ok(Some(view::link(array, &v, row, false, v.ndim() == 1)))
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.array)
    }
}
