//! Iteration over a `Variable`: the entries along its first axis.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::prelude::*;

use super::error::guard;
use super::variable::PyVariable;
use crate::tape::Variable;

/// The entries along an array's first axis, one after the other.
#[pyclass(frozen, module = "tapegrad")]
pub struct Rows {
    array: Variable,
    next: AtomicUsize,
}

impl Rows {
    /// Before the first.
    pub fn of(array: Variable) -> Self {
        Self { array, next: AtomicUsize::new(0) }
    }
}

#[pymethods]
impl Rows {
    fn __iter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __next__(&self) -> PyResult<Option<PyVariable>> {
        let i = self.next.fetch_add(1, Ordering::Relaxed);
        if i >= self.array.shape()[0] {
            return Ok(None);
        }
        let item = [crate::ops::IndexItem::Int(i.cast_signed())];
        guard("iteration", || Ok(Some(PyVariable::new(crate::ops::get_item(&self.array, &item)?))))
    }
}
