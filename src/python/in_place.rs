//! In-place operators and item assignment: updates of a value, which overwrite the buffer when nobody else holds it.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::convert::{self, Value};
use super::error::guard;
use super::index;
use super::operators::{BinaryFn, elements, run};
use super::variable::{PyVariable, State};
use crate::array::Array;
use crate::error::Result;
use crate::ops::{self, Operand, work};
use crate::tape;

/// Overwrites its first operand and says so, or leaves it to the operation that makes a new array.
pub type UpdateFn = fn(&mut Array, Operand<'_>) -> Result<bool>;

/// No operation in place: always a new array.
#[allow(clippy::unnecessary_wraps, reason = "one of many functions of that type")]
pub fn never(_: &mut Array, _: Operand<'_>) -> Result<bool> {
    Ok(false)
}

/// Runs `f` on the array of `v` where it lies, unless the change must be recorded; tells whether `f` did it. The handle is
/// locked meanwhile: `f` must not call Python.
fn overwrite(v: &PyVariable, other: &Value, f: impl FnOnce(&mut Array) -> Result<bool>) -> Result<bool> {
    if tape::is_recording() && matches!(other, Value::Variable(b) if b.is_tracked()) {
        return Ok(false);
    }
    match &mut *v.state.lock() {
        State::Value(v) if !v.is_tracked() => f(v.array_mut()),
        State::Value(_) => Ok(false),
        State::Leaf(leaf) => leaf.overwrite(f).unwrap_or(Ok(false)),
    }
}

/// `slf op= other`.
pub fn operate(slf: &Bound<'_, PyVariable>, other: &Bound<'_, PyAny>, name: &str, f: BinaryFn, update: UpdateFn) -> PyResult<()> {
    let v = slf.get();
    guard(name, || {
        v.check_in_place(name)?;
        let Some(other) = convert::operand_for(other, v)? else {
            let got = other.get_type().name()?;
            return Err(PyTypeError::new_err(format!("{name}: the right side must be an array or a number, got {got}")));
        };
        let size = elements(name, &v.snapshot(), &other);
        let old = run(slf.py(), size, || if overwrite(v, &other, |a| update(a, other.operand()))? { Ok(None) } else { Ok(Some(v.snapshot())) })?;
        let Some(old) = old else { return Ok(()) };
        let new = run(slf.py(), size, || f(Operand::Variable(&old), other.operand()))?;
        drop(old);
        v.replace(name, new)
    })
}

/// `slf[key] = value`.
pub fn assign(slf: &Bound<'_, PyVariable>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let v = slf.get();
    guard("assignment", || {
        v.check_in_place("assignment")?;
        let items = index::items(key)?;
        let value = match convert::operand_for(value, v)? {
            Some(value) => value,
            // A list takes the array's dtype, so what does not fit is seen here.
            None => Value::Variable(convert::array(value, Some(v.dtype_now()), None)?.into()),
        };
        let py = slf.py();
        let old = v.snapshot();
        let size = work::indexed(old.shape(), &items).max(if let Value::Variable(v) = &value { v.array().size() } else { 0 });
        // The handle is locked while it is written. Lent memory that the write replaces needs the interpreter to be given back.
        let size = if old.array().storage().is_pooled() { size } else { 0 };
        drop(old); // what is written below must be shared by nobody else
        if run(py, size, || overwrite(v, &value, |a| ops::write_item(a, &items, value.operand())))? {
            return Ok(());
        }
        let old = v.snapshot();
        let new = run(py, size.max(old.array().size()), || ops::set_item(&old, &items, value.operand()))?;
        drop(old);
        v.replace("assignment", new)
    })
}
