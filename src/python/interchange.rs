//! Converts a `Variable` to NumPy arrays, DLPack tensors, Python numbers and lists, and pickles.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyString, PyTuple};

use super::convert::{self, Beside, Value};
use super::error::{GradError, guard};
use super::variable::{PyVariable, State, wrap};
use super::{dlpack, numpy, objects};
use crate::array::{Array, DType, Element, Scalar};
use crate::dispatch;
use crate::error::show_shape;
use crate::tape::{self, Edge, Variable, capture};

fn to_object(py: Python<'_>, s: Scalar) -> PyResult<Bound<'_, PyAny>> {
    match s {
        Scalar::Bool(b) => Ok(PyBool::new(py, b).to_owned().into_any()),
        Scalar::Int(i) => objects::int(py, i),
        Scalar::UInt(i) => objects::uint(py, i),
        Scalar::Float(x) => objects::float(py, x),
        Scalar::Complex(z) => objects::complex(py, z.re, z.im),
    }
}

/// Nested lists of `flat`, whose elements start at `at`. `shape` has the sizes of the remaining axes.
fn nested_list<'py, T: Element>(py: Python<'py>, shape: &[usize], flat: &[T], at: &mut usize) -> PyResult<Bound<'py, PyAny>> {
    let Some((&n, rest)) = shape.split_first() else {
        *at += 1;
        return to_object(py, flat[*at - 1].to_scalar());
    };
    Ok(objects::list(py, n, |_| nested_list(py, rest, flat, at))?.into_any())
}

impl PyVariable {
    /// The value, for reading its elements. An error inside `vmap`, where elements differ between samples.
    pub(super) fn readable(&self, op: &str) -> PyResult<Variable> {
        let v = self.snapshot();
        if v.is_lifted() || capture::is_anywhere() {
            v.values(op)?;
        }
        Ok(v)
    }

    /// Raises if a library without gradients would take a value with a graph or a tangent as data.
    pub(super) fn check_leaves(&self, to: &str) -> PyResult<()> {
        let v = self.snapshot();
        // no_grad ends the tape alone: a value inside `jvp` keeps its tangent.
        if v.is_lifted() || (v.is_tracked() && tape::is_recording()) {
            return Err(handed_over(to));
        }
        Ok(())
    }
}

/// The error for a tracked value that another library takes as data. The Python part of the package knows which function of SciPy is
/// running.
#[cold]
fn handed_over(to: &str) -> PyErr {
    let known = Python::attach(|py| py.import("tapegrad._messages")?.call_method0("counterpart")?.extract::<String>());
    let instead = known.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| {
        "Use the counterpart in tapegrad, as tg.asarray([a, b]) for np.array([a, b]) and tg.sin(x) for scipy's or math's functions".to_owned()
    });
    GradError::new_err(format!(
        "a Variable that requires gradients is handed to {to}, which cannot carry its graph. {instead}, or pass x.detach() or x.numpy() for the \
         data without gradients"
    ))
}

/// Warns if Python's code does not ask for a number in words.
fn warn_of_lost_graph(py: Python<'_>) -> PyResult<()> {
    static CHECK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    CHECK.get_or_try_init(py, || PyResult::Ok(py.import("tapegrad._float")?.getattr("check")?.unbind()))?.call0(py)?;
    Ok(())
}

impl PyVariable {
    /// The only element as a Python number.
    pub(super) fn only_item<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_object(py, self.readable("item")?.array().item()?)
    }
}

#[pymethods]
impl PyVariable {
    /// The elements as a NumPy array: a read-only view without a copy, or a writable copy.
    #[pyo3(signature = (*, copy = false))]
    fn numpy<'py>(&self, py: Python<'py>, copy: bool) -> PyResult<Bound<'py, PyAny>> {
        let view = numpy::to_ndarray(py, self.readable("numpy")?.array())?;
        if copy { view.call_method0("copy") } else { Ok(view) }
    }

    /// The elements as a read-only NumPy array over the memory; of bfloat16, which NumPy does not have, their bits as uint16.
    #[pyo3(name = "_memory")]
    fn memory<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        numpy::memory_of(py, self.readable("numpy")?.array())
    }

    #[pyo3(signature = (dtype = None, copy = None))]
    fn __array__<'py>(&self, py: Python<'py>, dtype: Option<&Bound<'py, PyAny>>, copy: Option<bool>) -> PyResult<Bound<'py, PyAny>> {
        self.check_leaves("NumPy (__array__)")?;
        let view = match dtype {
            // NumPy is asked for a dtype that differs from bfloat16: float32 represents all its numbers.
            Some(d) if !d.is_none() && self.dtype_now() == DType::BF16 => {
                let wide = crate::ops::astype(&self.readable("numpy")?.detach(), DType::F32)?;
                numpy::to_ndarray(py, wide.array())?
            }
            _ => self.numpy(py, copy == Some(true))?,
        };
        match dtype {
            Some(d) if !d.is_none() => {
                let options = PyDict::new(py);
                options.set_item("copy", false)?;
                view.call_method("astype", (d,), Some(&options))
            }
            _ => Ok(view),
        }
    }

    /// A DLPack capsule: shared and read-only with max_version=(1, 0) or newer, else a copy.
    #[pyo3(signature = (*, stream = None, max_version = None, dl_device = None, copy = None))]
    fn __dlpack__<'py>(
        &self,
        py: Python<'py>,
        stream: Option<&Bound<'py, PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.check_leaves("DLPack (__dlpack__)")?;
        dlpack::export(py, self.readable("__dlpack__")?.array(), &dlpack::Request { stream, max_version, device: dl_device, copy })
    }

    #[allow(clippy::unused_self, reason = "a method of the protocol")]
    fn __dlpack_device__(&self) -> (i32, i32) {
        dlpack::CPU
    }

    /// The only element as a Python number; ValueError when there is not exactly one. Of a larger array the element at an index, as
    /// in item(3), which counts in row-major order, or item(1, 0).
    #[pyo3(signature = (*args))]
    fn item<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        if args.is_empty() {
            return self.only_item(py);
        }
        let v = self.readable("item")?;
        let wide = if v.dtype().is_half() { crate::ops::astype(&v.detach(), DType::F32)? } else { v };
        numpy::to_ndarray(py, wide.array())?.call_method1("item", args)
    }

    /// The elements as nested lists of Python numbers.
    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let v = self.readable("tolist")?;
        guard("tolist", || {
            let a = v.array().contiguous();
            dispatch!(a.dtype(), T => match a.as_slice::<T>() {
                Some(flat) => nested_list(py, a.shape(), flat, &mut 0),
                None => unreachable!("contiguous() is contiguous"),
            })
        })
    }

    fn __float__(&self, py: Python<'_>) -> PyResult<f64> {
        let v = self.readable("float")?;
        if v.is_lifted() || (v.is_tracked() && tape::is_recording()) {
            warn_of_lost_graph(py)?;
        }
        match v.array().item()? {
            Scalar::Complex(z) => Err(PyTypeError::new_err(format!("float() of the complex number {z}: take .real, .imag or abs() first"))),
            s => Ok(s.as_f64()),
        }
    }

    fn __complex__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let z = self.readable("complex")?.array().item()?.as_complex();
        objects::complex(py, z.re, z.im)
    }

    fn __int__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.dtype_now().is_complex() {
            return Err(PyTypeError::new_err("int() of a complex number: take .real, .imag or abs() first"));
        }
        self.only_item(py)?.call_method0("__int__")
    }

    fn __index__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let v = self.snapshot();
        if v.ndim() == 0 && v.dtype().is_integer() {
            self.only_item(py)
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
        v.values("bool")?;
        Ok(v.array().item()?.is_true())
    }

    #[pyo3(signature = (api_version = None))]
    #[allow(clippy::unused_self, reason = "a method of the protocol")]
    fn __array_namespace__<'py>(&self, py: Python<'py>, api_version: Option<&str>) -> PyResult<Bound<'py, PyModule>> {
        match api_version {
            None | Some("2025.12" | "2024.12" | "2023.12" | "2022.12" | "2021.12") => py.import("tapegrad"),
            Some(v) => Err(pyo3::exceptions::PyValueError::new_err(format!("array API version {v} is not supported, the newest here is 2025.12"))),
        }
    }

    /// A copy that keeps the graph, the class and the attributes.
    fn __copy__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let value = guard("copy", || Ok(crate::ops::positive(&slf.get().snapshot())?))?;
        if slf.get_type().is(py.get_type::<Self>()) {
            return Ok(Bound::new(py, Self::new(value))?.into_any());
        }
        let out = py.get_type::<Self>().call_method1("__new__", (slf.get_type(), 0.0))?;
        let empty = std::mem::replace(&mut *out.cast::<Self>()?.get().state.lock(), State::Value(value));
        drop(empty); // after the lock
        set_attributes(&out, &attributes(slf.as_any())?)?;
        Ok(out)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let v = slf.get().snapshot();
        if matches!(v.edge(), Edge::Node { .. }) {
            return Err(GradError::new_err("a Variable with a graph cannot be pickled or deep-copied; detach() it first"));
        }
        let data = slf.get().memory(py)?.call_method0("copy")?;
        let rebuild = py.import("tapegrad._core")?.getattr("_rebuild")?;
        let grad = slf.getattr(intern!(py, "grad"))?;
        let mut args = vec![slf.get_type().into_any(), data, PyBool::new(py, v.is_tracked()).to_owned().into_any(), grad];
        if v.dtype() == DType::BF16 {
            args.push(PyString::new(py, v.dtype().name()).into_any());
        }
        let args = PyTuple::new(py, args)?;
        PyTuple::new(py, [rebuild, args.into_any(), attributes(slf.as_any())?])
    }
}

/// The attributes of a subclass on `o`, in the form for pickle: None, its dict, or its dict and its slots.
fn attributes<'py>(o: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = o.py();
    if let Some(state) = o.getattr_opt(intern!(py, "__getstate__"))? {
        return state.call0();
    }
    // Before Python 3.11, objects do not have this method by default.
    let dict = o.getattr_opt(intern!(py, "__dict__"))?.unwrap_or_else(|| PyDict::new(py).into_any());
    let slots = PyDict::new(py);
    for name in py.import("copyreg")?.call_method1("_slotnames", (o.get_type(),))?.try_iter()? {
        let name = name?.cast_into::<PyString>()?;
        if let Some(value) = o.getattr_opt(&name)? {
            slots.set_item(name, value)?;
        }
    }
    Ok(if slots.is_empty() { dict } else { PyTuple::new(py, [dict, slots.into_any()])?.into_any() })
}

/// Sets the [`attributes`] of another object on `o`, as `copy.copy` does.
fn set_attributes(o: &Bound<'_, PyAny>, state: &Bound<'_, PyAny>) -> PyResult<()> {
    if state.is_none() {
        return Ok(());
    }
    if let Some(restore) = o.getattr_opt("__setstate__")? {
        return restore.call1((state,)).map(drop);
    }
    let (dict, slots) = match state.cast::<PyTuple>() {
        Ok(both) => (both.get_item(0)?, Some(both.get_item(1)?)),
        Err(_) => (state.clone(), None),
    };
    if !dict.is_none() {
        o.getattr("__dict__")?.call_method1("update", (dict,))?;
    }
    for (name, value) in slots.iter().flat_map(|s| s.cast::<PyDict>()).flatten() {
        o.setattr(name.cast::<PyString>()?, value)?;
    }
    Ok(())
}

/// Builds a Variable from its parts, for pickle and copy. The `__init__` of `class` is not called; attributes are set afterwards. With
/// `dtype` the data are bits.
#[pyfunction]
#[pyo3(signature = (class, data, requires_grad, grad = None, dtype = None))]
fn _rebuild<'py>(
    class: &Bound<'py, PyAny>,
    data: &Bound<'py, PyAny>,
    requires_grad: bool,
    grad: Option<&Bound<'py, PyAny>>,
    dtype: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let data = match dtype {
        Some(dtype) => of_bits(data, super::dtype::extract(dtype)?)?,
        None => super::convert::untracked("_rebuild", data, None, Some(true))?,
    };
    let value = PyVariable::new(data.into());
    let options = PyDict::new(py);
    options.set_item("requires_grad", requires_grad || grad.is_some())?;
    let v = py.get_type::<PyVariable>().call_method("__new__", (class, value), Some(&options))?;
    if let Some(grad) = grad {
        v.setattr(intern!(py, "grad"), grad)?;
        v.setattr(intern!(py, "requires_grad"), requires_grad)?;
    }
    Ok(v)
}

fn of_bits(bits: &Bound<'_, PyAny>, dtype: DType) -> PyResult<Array> {
    let bits = super::convert::untracked("_of_bits", bits, None, Some(true))?;
    if bits.dtype() != DType::U16 || !dtype.is_half() {
        return Err(PyTypeError::new_err(format!("_of_bits: expected uint16 and a floating dtype of 16 bits, got {} and {dtype}", bits.dtype())));
    }
    Ok(bits.turned_into(dtype))
}

/// An array of a 16-bit floating dtype from its bits as uint16, which are copied.
#[pyfunction]
fn _of_bits(bits: &Bound<'_, PyAny>, dtype: &Bound<'_, PyAny>) -> PyResult<PyVariable> {
    guard("_of_bits", || Ok(PyVariable::new(of_bits(bits, super::dtype::extract(dtype)?)?.into())))
}

/// The strides in elements; inside a transformation those of one sample.
#[pyfunction]
fn _strides(x: &Bound<'_, PyVariable>) -> Vec<isize> {
    x.get().snapshot().array().layout().strides().to_vec()
}

/// Whether the elements lie in row-major order. This reads the layout, not the elements.
#[pyfunction]
fn _is_contiguous(x: &Bound<'_, PyVariable>) -> bool {
    x.get().snapshot().array().is_contiguous()
}

/// Converts several values to arrays. Numbers and lists of numbers take the floating dtype of the other arrays, so that no digits are lost;
/// integers and bools keep their dtype. A Variable is returned unchanged, and so is None.
#[pyfunction]
#[pyo3(signature = (*values))]
fn _together<'py>(values: &Bound<'py, PyTuple>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let beside = std::cell::OnceCell::new();
    let beside = || beside.get_or_init(|| Beside::all(values.iter()));
    let one = |o: Bound<'py, PyAny>| {
        if o.is_none() || o.cast::<PyVariable>().is_ok() {
            return Ok(o);
        }
        let v = match convert::scalar(&o)? {
            Some(number) => beside().array(number),
            None => match convert::other_operand(&o, &|| Beside::among(&o, values.iter()))? {
                Some(Value::Variable(v)) => v,
                Some(Value::Scalar(number)) => beside().array(number),
                None => convert::variable(&o, None, None)?,
            },
        };
        Ok(wrap(o.py(), v)?.into_bound(o.py()))
    };
    values.iter().map(one).collect()
}

/// Adds the function that rebuilds pickles to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_strides, m)?)?;
    m.add_function(wrap_pyfunction!(_is_contiguous, m)?)?;
    m.add_function(wrap_pyfunction!(_of_bits, m)?)?;
    m.add_function(wrap_pyfunction!(_together, m)?)?;
    m.add_function(wrap_pyfunction!(_rebuild, m)?)
}
