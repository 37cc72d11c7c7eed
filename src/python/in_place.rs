//! In-place operators, item assignment and methods such as `add_`. They update a value, and overwrite the buffer if it is unshared. For a
//! view they update a part of its base.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::convert::{self, Value};
use super::error::{DTypeError, GradError, ShapeError, guard};
use super::index;
use super::operators::{BinaryFn, elements, run};
use super::variable::{PyVariable, State};
use super::view::{self, Link};
use crate::array::Array;
use crate::error::{Result, show_shape};
use crate::lock::changing;
use crate::ops::index::Assignment;
use crate::ops::view::Part;
use crate::ops::{self, IndexItem, Operand, apply_binary, update_binary, work};
use crate::tape::{self, capture};

/// Overwrites its first operand and returns true, or returns false: then the operation must make a new array.
pub type UpdateFn = fn(&mut Array, Operand<'_>) -> Result<bool>;

/// An operation that cannot work in place: it always makes a new array.
#[allow(clippy::unnecessary_wraps, reason = "one of many functions of that type")]
pub fn never(_: &mut Array, _: Operand<'_>) -> Result<bool> {
    Ok(false)
}

/// Runs `f` on the array of `v` in place, unless the change must be recorded. Returns whether `f` has changed it. The handle is locked
/// meanwhile, so `f` must not call Python.
fn overwrite(v: &PyVariable, other: &Value, f: impl FnOnce(&mut Array) -> Result<bool>) -> Result<bool> {
    if matches!(other, Value::Variable(b) if b.is_lifted() || b.is_tracked() && tape::is_recording()) {
        return Ok(false);
    }
    if capture::is_on() {
        return Ok(false);
    }
    let _changing = changing();
    match &mut *v.state.lock() {
        State::Value(v) if !v.is_tracked() => f(v.array_mut()),
        State::Value(_) | State::View(_) => Ok(false),
        State::Leaf(leaf) => leaf.overwrite(f).unwrap_or(Ok(false)),
    }
}

/// Whether a value is tracked.
fn is_tracked(value: &Value) -> bool {
    matches!(value, Value::Variable(v) if v.is_tracked())
}

/// `slf op= other`. An element becomes a separate value, as NumPy's scalars do.
pub fn operate(slf: &Bound<'_, PyVariable>, other: &Bound<'_, PyAny>, name: &str, f: BinaryFn, update: UpdateFn) -> PyResult<()> {
    slf.get().let_go();
    change(slf, other, name, f, update)
}

/// [`operate`] that also writes through an element.
fn change(slf: &Bound<'_, PyVariable>, other: &Bound<'_, PyAny>, name: &str, f: BinaryFn, update: UpdateFn) -> PyResult<()> {
    let v = slf.get();
    guard(name, || {
        v.check_in_place(name)?;
        let Some(other) = convert::operand_for(other, v)? else {
            let got = other.get_type().name()?;
            return Err(PyTypeError::new_err(format!("{name}: the right side must be an array or a number, got {got}")));
        };
        if let Some(link) = v.link(slf.py()) {
            return change_view(slf, &link, other, name, f, update);
        }
        let size = elements(name, &v.snapshot(), &other);
        let old = run(slf.py(), size, || if overwrite(v, &other, |a| update(a, other.operand()))? { Ok(None) } else { Ok(Some(v.snapshot())) })?;
        let Some(old) = old else { return Ok(()) };
        let new = run(slf.py(), size, || f(Operand::Variable(&old), other.operand()))?;
        drop(old);
        PyVariable::replace(slf, name, new)
    })
}

/// [`change`] for a view: computes the new part and writes it to the base.
fn change_view(slf: &Bound<'_, PyVariable>, link: &Link, other: Value, name: &str, f: BinaryFn, update: UpdateFn) -> PyResult<()> {
    let (py, v) = (slf.py(), slf.get());
    link.check(name, is_tracked(&other))?;
    let old = v.snapshot();
    let size = elements(name, &old, &other);
    let is_lifted = matches!(&other, Value::Variable(b) if b.is_lifted());
    if !is_lifted && run(py, size, || link.update(|a| update(a, other.operand())))? {
        return Ok(());
    }
    let new = run(py, size, || f(Operand::Variable(&old), other.operand()))?;
    let new = PyVariable::fit_in_place(name, old.array(), &new)?;
    // Both may share the base's buffer, which can be overwritten once they are dropped.
    drop((old, other));
    link.put(py, new)?;
    v.reload(link)
}

/// `slf[key] = value`.
pub fn assign(slf: &Bound<'_, PyVariable>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let v = slf.get();
    guard("assignment", || {
        v.check_in_place("assignment")?;
        let items = index::items(key)?;
        let link = v.link(slf.py());
        if is_written(slf, link.as_ref(), &items, value)? {
            return Ok(());
        }
        let value = match convert::number_for(value, v)? {
            Some(number) => Value::Scalar(number),
            None => Value::Variable(convert::stored(value, v.dtype_now())?),
        };
        match link {
            Some(link) => assign_view(slf, &link, &items, value),
            None => assign_value(slf, &items, value),
        }
    })
}

/// Whether `value` is the part that is assigned to: the last step of `x[i] += y`, which has been written already.
fn is_written(slf: &Bound<'_, PyVariable>, link: Option<&Link>, items: &[IndexItem], value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let Ok(value) = value.cast::<PyVariable>() else { return Ok(false) };
    let Some(part) = value.get().as_link(slf.py()) else { return Ok(false) };
    let own = view::whole(slf);
    let target = link.unwrap_or(&own);
    if !part.base.is(&target.base) {
        return Ok(false);
    }
    let map = target.layout();
    Ok(match ops::index::window_of(map.shape(), items)? {
        Some(window) => part.is_same(&target.clone_ref(slf.py()).with_map(window.layout(&map))),
        None => false,
    })
}

/// [`assign`] for a handle that is not a view.
fn assign_value(slf: &Bound<'_, PyVariable>, items: &[IndexItem], value: Value) -> PyResult<()> {
    let v = slf.get();
    let (shape, dtype) = v.with_meta();
    let Some((place, fitted)) = Assignment::new(&shape, dtype, items, value.operand())? else {
        let old = v.snapshot();
        let lent = old.array().is_lent() || value.variable().is_some_and(|v| v.array().is_lent()) || index::is_lent(items);
        let size = if lent { 0 } else { old.array().size().max(work::indexed(&shape, items)) };
        let new = run(slf.py(), size, || ops::set_item(&old, items, value.operand()))?;
        drop(old);
        return PyVariable::replace(slf, "assignment", new);
    };
    drop(value);
    view::put(slf, &Part::Item(place), fitted, tape::is_recording())
}

/// [`assign`] for a view.
fn assign_view(slf: &Bound<'_, PyVariable>, link: &Link, items: &[IndexItem], value: Value) -> PyResult<()> {
    let (py, v) = (slf.py(), slf.get());
    link.check("assignment", is_tracked(&value))?;
    let (map, dtype) = (link.layout(), v.dtype_now());
    if let Some(window) = ops::index::window_of(map.shape(), items)? {
        let part = window.layout(&map);
        let fitted = ops::index::assigned(value.operand(), dtype, part.shape(), false)?;
        drop(value);
        link.clone_ref(py).with_map(part).put(py, fitted)?;
    } else {
        let old = v.snapshot();
        let new = ops::set_item(&old, items, value.operand())?;
        drop((old, value));
        link.put(py, new)?;
    }
    v.reload(link)
}

/// The operand of `add_` and `sub_`, times `alpha` if that is given.
fn scaled<'py>(other: &Bound<'py, PyAny>, alpha: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    alpha.map_or_else(|| Ok(other.clone()), |alpha| other.mul(alpha))
}

#[pymethods]
impl PyVariable {
    /// Adds `other`, times `alpha`, in place: to the base, if this is a view.
    #[pyo3(signature = (other, *, alpha = None))]
    fn add_<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>, alpha: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, Self>> {
        let other = scaled(other, alpha)?;
        change(slf, &other, "add_", apply_binary::<ops::arithmetic::add>, update_binary::<ops::arithmetic::add>)?;
        Ok(slf.clone())
    }

    /// Subtracts `other`, times `alpha`, in place: from the base, if this is a view.
    #[pyo3(signature = (other, *, alpha = None))]
    fn sub_<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>, alpha: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, Self>> {
        let other = scaled(other, alpha)?;
        change(slf, &other, "sub_", apply_binary::<ops::arithmetic::subtract>, update_binary::<ops::arithmetic::subtract>)?;
        Ok(slf.clone())
    }

    /// Multiplies by `other` in place: the base, if this is a view.
    fn mul_<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        change(slf, other, "mul_", apply_binary::<ops::arithmetic::multiply>, update_binary::<ops::arithmetic::multiply>)?;
        Ok(slf.clone())
    }

    /// Divides by `other` in place: the base, if this is a view.
    fn div_<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        change(slf, other, "div_", apply_binary::<ops::arithmetic::divide>, update_binary::<ops::arithmetic::divide>)?;
        Ok(slf.clone())
    }

    /// Sets all elements to those of `source`, which is broadcast and converted.
    fn copy_<'py>(slf: &Bound<'py, Self>, source: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        assign(slf, pyo3::types::PyEllipsis::get(slf.py()).as_any(), source)?;
        Ok(slf.clone())
    }

    /// Sets all elements to one number.
    fn fill_<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        Self::copy_(slf, value)
    }

    /// Sets all elements to zero.
    fn zero_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        Self::copy_(slf, 0_i32.into_pyobject(slf.py())?.as_any())
    }

    /// Drops the history of this handle: it becomes a value that nothing was recorded for, and a leaf stops collecting gradients.
    /// A view of a tracked array raises GradError.
    fn detach_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let v = slf.get();
        if v.link(slf.py()).is_some() {
            if v.snapshot().is_tracked() {
                return Err(GradError::new_err("detach_: this is a view, whose history is that of its base; use detach() to get an untracked view"));
            }
        } else if v.leaf().is_some() {
            slf.setattr("requires_grad", false)?;
        } else {
            let new = State::Value(v.snapshot().detach());
            let old = std::mem::replace(&mut *v.state.lock(), new);
            drop(old); // after the lock: it may be the last reference to a graph
        }
        Ok(slf.clone())
    }

    /// The data without history: an untracked view. Writing through it changes the data alone, also of a leaf, and is not recorded; what
    /// the tape saved keeps its values. It can be assigned: ``x.data = y`` gives ``x`` the data of ``y``, of the same shape and dtype.
    #[getter]
    fn data(slf: &Bound<'_, Self>) -> PyResult<Self> {
        guard("data", || {
            view::make_place(slf.get());
            Ok(view::detached(slf))
        })
    }

    #[setter(data)]
    fn set_data(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let v = slf.get();
        guard("data", || {
            let (shape, dtype) = v.with_meta();
            let new = convert::variable(value, None, None)?.detach();
            if new.shape() != shape.as_slice() {
                let (have, got) = (show_shape(&shape), show_shape(new.shape()));
                return Err(ShapeError::new_err(format!("data: the array has shape {have}, so it cannot take data of shape {got}")));
            }
            if new.dtype() != dtype {
                let got = new.dtype();
                return Err(DTypeError::new_err(format!(
                    "data: the array has dtype {dtype}, so it cannot take data of {got}; convert it with astype()"
                )));
            }
            let _off = tape::recording(false);
            match v.link(slf.py()) {
                Some(link) => {
                    link.put(slf.py(), new)?;
                    v.reload(&link)
                }
                None => view::replace_data(slf, new),
            }
        })
    }
}
