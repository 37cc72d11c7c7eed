//! A `Variable` as something else: NumPy arrays, DLPack tensors, Python numbers and lists, pickles.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};

use super::error::{GradError, guard};
use super::variable::PyVariable;
use super::{dlpack, numpy, objects};
use crate::array::{Element, Scalar};
use crate::dispatch;
use crate::error::show_shape;
use crate::tape::Edge;

fn to_object(py: Python<'_>, s: Scalar) -> PyResult<Bound<'_, PyAny>> {
    match s {
        Scalar::Bool(b) => Ok(PyBool::new(py, b).to_owned().into_any()),
        Scalar::Int(i) => objects::int(py, i),
        Scalar::Float(x) => objects::float(py, x),
    }
}

/// Nested lists of `flat`, which holds the elements from place `at` on; `shape` is that of the axes to come.
fn nested_list<'py, T: Element>(py: Python<'py>, shape: &[usize], flat: &[T], at: &mut usize) -> PyResult<Bound<'py, PyAny>> {
    let Some((&n, rest)) = shape.split_first() else {
        *at += 1;
        return to_object(py, flat[*at - 1].to_scalar());
    };
    Ok(objects::list(py, n, |_| nested_list(py, rest, flat, at))?.into_any())
}

#[pymethods]
impl PyVariable {
    /// The elements as a NumPy array: a read-only view without a copy, or a writable copy.
    #[pyo3(signature = (*, copy = false))]
    fn numpy<'py>(&self, py: Python<'py>, copy: bool) -> PyResult<Bound<'py, PyAny>> {
        let view = numpy::to_ndarray(py, self.snapshot().array())?;
        if copy { view.call_method0("copy") } else { Ok(view) }
    }

    #[pyo3(signature = (dtype = None, copy = None))]
    fn __array__<'py>(&self, py: Python<'py>, dtype: Option<&Bound<'py, PyAny>>, copy: Option<bool>) -> PyResult<Bound<'py, PyAny>> {
        let view = self.numpy(py, copy == Some(true))?;
        match dtype {
            Some(d) if !d.is_none() => {
                let options = PyDict::new(py);
                options.set_item("copy", false)?;
                view.call_method("astype", (d,), Some(&options))
            }
            _ => Ok(view),
        }
    }

    #[pyo3(signature = (**options))]
    fn __dlpack__<'py>(&self, py: Python<'py>, options: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        dlpack::export(py, self.snapshot().array(), options)
    }

    #[allow(clippy::unused_self, reason = "a method of the protocol")]
    fn __dlpack_device__(&self) -> (i32, i32) {
        dlpack::CPU
    }

    /// The only element as a Python number; ValueError when there is not exactly one.
    pub(super) fn item<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_object(py, self.snapshot().array().item()?)
    }

    /// The elements as nested lists of Python numbers.
    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let v = self.snapshot();
        guard("tolist", || {
            let a = v.array().contiguous();
            dispatch!(a.dtype(), T => match a.as_slice::<T>() {
                Some(flat) => nested_list(py, a.shape(), flat, &mut 0),
                None => unreachable!("contiguous() is contiguous"),
            })
        })
    }

    fn __float__(&self) -> PyResult<f64> {
        Ok(self.snapshot().array().item()?.as_f64())
    }

    fn __int__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.item(py)?.call_method0("__int__")
    }

    fn __index__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let v = self.snapshot();
        if v.ndim() == 0 && v.dtype().is_integer() {
            self.item(py)
        } else {
            Err(PyTypeError::new_err("only 0-d integer arrays can be used as an index"))
        }
    }

    fn __bool__(&self) -> PyResult<bool> {
        let v = self.snapshot();
        if v.array().size() != 1 {
            return Err(pyo3::exceptions::PyValueError::new_err(format!(
                "the truth value of an array of shape {} is ambiguous; use any() or all()",
                show_shape(v.shape())
            )));
        }
        Ok(v.array().item()?.as_f64() != 0.0)
    }

    #[pyo3(signature = (api_version = None))]
    #[allow(clippy::unused_self, reason = "a method of the protocol")]
    fn __array_namespace__<'py>(&self, py: Python<'py>, api_version: Option<&str>) -> PyResult<Bound<'py, PyModule>> {
        match api_version {
            None | Some("2024.12" | "2023.12" | "2022.12" | "2021.12") => py.import("tapegrad"),
            Some(v) => Err(pyo3::exceptions::PyValueError::new_err(format!("array API version {v} is not supported, the newest here is 2024.12"))),
        }
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let v = slf.get().snapshot();
        if matches!(v.edge(), Edge::Node { .. }) {
            return Err(GradError::new_err("a Variable with a graph cannot be pickled or deep-copied; detach() it first"));
        }
        let data = slf.get().numpy(py, true)?;
        let rebuild = py.import("tapegrad._core")?.getattr("_rebuild")?;
        let args = PyTuple::new(py, [slf.get_type().into_any(), data, PyBool::new(py, v.is_tracked()).to_owned().into_any()])?;
        Ok((rebuild, args))
    }
}

/// A Variable from its parts, for pickle and copy.
#[pyfunction]
fn _rebuild<'py>(class: &Bound<'py, PyAny>, data: &Bound<'py, PyAny>, requires_grad: bool) -> PyResult<Bound<'py, PyAny>> {
    let options = PyDict::new(class.py());
    options.set_item("requires_grad", requires_grad)?;
    class.call((data,), Some(&options))
}

/// Puts the rebuilding of pickles on the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_rebuild, m)?)
}
