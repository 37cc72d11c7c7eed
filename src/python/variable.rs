//! The class `Variable`: the handle that users hold. It keeps its identity while values move through it.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};

use super::dtype::{self, PyDType};
use super::error::{DTypeError, GradError, ShapeError};
use super::function::PyHook;
use super::{convert, dlpack, numpy};
use crate::array::{Array, DType, DisplayOptions, Scalar, default_float, format_array};
use crate::dispatch;
use crate::error::show_shape;
use crate::tape::{self, Edge, Leaf, Variable};

/// What a handle holds: a value with its history, or a place that outlives values (a leaf, a gradient).
pub enum State {
    /// A value; another one after an in-place operation.
    Value(Variable),
    /// A place.
    Leaf(Arc<Leaf>),
}

/// An n-dimensional array that differentiates.
///
/// Variable(data, *, dtype=None, requires_grad=False)
///
/// `data` is a number, a nested list, a NumPy array (shared, not copied, when it is contiguous), or anything with
/// `__dlpack__`, `__array__` or the buffer protocol. NumPy arrays keep their dtype, Python floats become the default
/// dtype (float32). Only floating arrays can require gradients: DTypeError otherwise.
///
/// >>> x = tg.Variable([1.0, 2.0], requires_grad=True)
/// >>> (x * x).sum().backward()
/// >>> x.grad
/// Variable([2., 4.])
#[pyclass(frozen, subclass, weakref, name = "Variable", module = "tapegrad")]
pub struct PyVariable {
    state: Mutex<State>,
}

impl PyVariable {
    /// A handle of a value.
    pub fn new(v: Variable) -> Self {
        Self::with_state(State::Value(v))
    }

    /// A handle of a place.
    pub fn of_leaf(leaf: Arc<Leaf>) -> Self {
        Self::with_state(State::Leaf(leaf))
    }

    fn with_state(state: State) -> Self {
        Self { state: Mutex::new(state) }
    }

    /// The present value. Operations work on it, so no lock is held while they run.
    pub fn snapshot(&self) -> Variable {
        match &*self.state.lock() {
            State::Value(v) => v.clone(),
            State::Leaf(leaf) => leaf.variable(),
        }
    }

    /// The place, for a leaf.
    pub fn leaf(&self) -> Option<Arc<Leaf>> {
        match &*self.state.lock() {
            State::Leaf(leaf) => Some(Arc::clone(leaf)),
            State::Value(v) => match v.edge() {
                Edge::Leaf(leaf) => Some(Arc::clone(leaf)),
                _ => None,
            },
        }
    }

    /// Puts the result of an in-place operation here; every holder of the handle sees it.
    pub fn replace(&self, op: &str, new: Variable) -> PyResult<()> {
        let old = self.snapshot();
        if new.shape() != old.shape() {
            return Err(ShapeError::new_err(format!(
                "{op}: the result has shape {}, which does not fit into the array's {}",
                show_shape(new.shape()),
                show_shape(old.shape())
            )));
        }
        if new.dtype() != old.dtype() && (!old.dtype().is_float() || !new.dtype().is_float()) {
            return Err(DTypeError::new_err(format!(
                "{op}: the result has dtype {}, which cannot be put into an array of {}; write x = x {} ... instead",
                new.dtype(),
                old.dtype(),
                op.trim_end_matches('=')
            )));
        }
        let new = crate::ops::astype(&new, old.dtype())?;
        if let State::Leaf(leaf) = &*self.state.lock() {
            leaf.set(if leaf.requires_grad() { new.detach() } else { new });
            return Ok(());
        }
        let gone = std::mem::replace(&mut *self.state.lock(), State::Value(new));
        drop(gone); // after the lock: it may be the last holder of a graph
        Ok(())
    }

    /// In-place operations on a leaf that collects gradients would lose its history while recording.
    pub fn check_in_place(&self, op: &str) -> PyResult<()> {
        if let State::Leaf(leaf) = &*self.state.lock()
            && leaf.requires_grad()
            && tape::is_recording()
        {
            return Err(GradError::new_err(format!(
                "{op}: this Variable is a leaf that requires gradients, so changing it in place cannot be recorded; \
                 wrap the change in `with tg.no_grad():`, or write x = x {} ... to make a new value",
                op.trim_end_matches('=')
            )));
        }
        Ok(())
    }
}

/// A new handle of `v`.
pub fn wrap(py: Python<'_>, v: Variable) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, PyVariable::new(v))?.into_any())
}

/// The handle behind a Python object.
pub fn expect<'a, 'py>(o: &'a Bound<'py, PyAny>, what: &str) -> PyResult<&'a Bound<'py, PyVariable>> {
    o.cast::<PyVariable>().map_err(|_| {
        let name = o.get_type().name().map_or_else(|_| "?".to_owned(), |n| n.to_string());
        PyTypeError::new_err(format!("{what} must be a Variable, got {name}"))
    })
}

fn to_object<'py>(py: Python<'py>, s: Scalar) -> Bound<'py, PyAny> {
    match s {
        Scalar::Bool(b) => PyBool::new(py, b).to_owned().into_any(),
        Scalar::Int(i) => i.into_pyobject(py).map_or_else(|e| match e {}, Bound::into_any),
        Scalar::Float(x) => x.into_pyobject(py).map_or_else(|e| match e {}, Bound::into_any),
    }
}

fn nested_list<'py>(py: Python<'py>, a: &Array, flat: &[Scalar], axis: usize, at: &mut usize) -> PyResult<Bound<'py, PyAny>> {
    if axis == a.ndim() {
        *at += 1;
        return Ok(to_object(py, flat[*at - 1]));
    }
    let items: Vec<Bound<'py, PyAny>> = (0..a.shape()[axis]).map(|_| nested_list(py, a, flat, axis + 1, at)).collect::<PyResult<_>>()?;
    Ok(pyo3::types::PyList::new(py, items)?.into_any())
}

#[pymethods]
impl PyVariable {
    #[new]
    #[pyo3(signature = (data, *, dtype = None, requires_grad = false))]
    fn py_new(data: &Bound<'_, PyAny>, dtype: Option<&Bound<'_, PyAny>>, requires_grad: bool) -> PyResult<Self> {
        let dtype = dtype.map(dtype::extract).transpose()?;
        let a = convert::array(data, dtype, None)?;
        if !requires_grad {
            return Ok(Self::new(a.into()));
        }
        require_float(a.dtype())?;
        Ok(Self::of_leaf(Leaf::new(a.into(), true)))
    }

    /// Sizes of the axes, a tuple.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.snapshot().shape())
    }

    /// Number of axes.
    #[getter]
    fn ndim(&self) -> usize {
        self.snapshot().ndim()
    }

    /// Number of elements.
    #[getter]
    fn size(&self) -> usize {
        self.snapshot().array().size()
    }

    /// Type of the elements.
    #[getter]
    fn dtype(&self) -> PyDType {
        PyDType(self.snapshot().dtype())
    }

    /// Where the elements are: always "cpu".
    #[getter]
    #[allow(clippy::unused_self, reason = "a property of the array API")]
    fn device(&self) -> &'static str {
        "cpu"
    }

    /// Bytes of the elements.
    #[getter]
    fn nbytes(&self) -> usize {
        self.snapshot().array().nbytes()
    }

    /// Bytes of one element.
    #[getter]
    fn itemsize(&self) -> usize {
        self.snapshot().dtype().size()
    }

    /// Whether gradients flow to it.
    #[getter]
    fn requires_grad(&self) -> bool {
        self.snapshot().is_tracked()
    }

    #[setter(requires_grad)]
    fn set_requires_grad(&self, on: bool) -> PyResult<()> {
        let mut state = self.state.lock();
        match &*state {
            State::Leaf(leaf) => {
                if on {
                    require_float(leaf.meta().dtype)?;
                }
                leaf.set_requires_grad(on);
            }
            State::Value(v) if v.is_tracked() => {
                if !on {
                    return Err(GradError::new_err(
                        "requires_grad can only be switched off on leaves; use detach() to get this value without its history",
                    ));
                }
            }
            State::Value(v) => {
                if on {
                    require_float(v.dtype())?;
                    let leaf = Leaf::new(v.clone(), true);
                    *state = State::Leaf(leaf);
                }
            }
        }
        Ok(())
    }

    /// Switches requires_grad and returns the Variable itself.
    #[pyo3(signature = (requires_grad = true))]
    fn requires_grad_<'py>(slf: &Bound<'py, Self>, requires_grad: bool) -> PyResult<Bound<'py, Self>> {
        slf.get().set_requires_grad(requires_grad)?;
        Ok(slf.clone())
    }

    /// Whether it is no recorded result: gradients of leaves are collected in `.grad`.
    #[getter]
    fn is_leaf(&self) -> bool {
        !matches!(self.snapshot().edge(), Edge::Node { .. })
    }

    /// Name of the operation that made it, None for a leaf.
    #[getter]
    fn grad_fn(&self) -> Option<String> {
        if let Edge::Node { node, .. } = self.snapshot().edge() { Some(tape::op_name(node)) } else { None }
    }

    /// The gradient that backward passes collected here, or None.
    #[getter]
    fn grad(&self) -> Option<Self> {
        let place = match &*self.state.lock() {
            State::Leaf(leaf) => Some(Arc::clone(leaf)),
            State::Value(v) => place_of(v),
        };
        place.and_then(|p| p.grad()).map(Self::of_leaf)
    }

    #[setter(grad)]
    fn set_grad(&self, grad: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let Some(leaf) = self.leaf().filter(|l| l.requires_grad()) else {
            return Err(GradError::new_err("grad can only be set on a leaf that requires gradients"));
        };
        let Some(grad) = grad else {
            leaf.set_grad(None);
            return Ok(());
        };
        let g = expect(grad, "grad")?.get();
        let v = g.snapshot();
        let meta = leaf.meta();
        if v.shape() != meta.shape.as_slice() {
            return Err(ShapeError::new_err(format!("grad: shape {} does not fit the Variable's {}", show_shape(v.shape()), show_shape(&meta.shape))));
        }
        if v.dtype() != meta.dtype {
            return Err(DTypeError::new_err(format!("grad: dtype {} does not fit the Variable's {}", v.dtype(), meta.dtype)));
        }
        let place = match &*g.state.lock() {
            State::Leaf(l) if !l.requires_grad() => Arc::clone(l),
            _ => Leaf::new(v.detach(), false),
        };
        leaf.set_grad(Some(place));
        Ok(())
    }

    /// Gradients of everything it was computed from, added to the leaves' `.grad`.
    ///
    /// backward(gradient=None, *, retain_graph=None, create_graph=False, inputs=None)
    ///
    /// `gradient` has this value's shape and dtype; a single element needs none. The graph is freed unless
    /// `retain_graph`. `create_graph` records the pass, for gradients of gradients. With `inputs` only those collect.
    /// Raises GradError without a graph or for more than one element without `gradient`, FreedError the second time.
    ///
    /// >>> x = tg.Variable(3.0, requires_grad=True)
    /// >>> (x ** 2).backward()
    /// >>> x.grad
    /// Variable(6.)
    #[pyo3(signature = (gradient = None, *, retain_graph = None, create_graph = false, inputs = None))]
    fn backward(
        slf: &Bound<'_, Self>,
        gradient: Option<&Bound<'_, PyAny>>,
        retain_graph: Option<bool>,
        create_graph: bool,
        inputs: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let inputs = match inputs {
            None => None,
            Some(i) if i.cast::<Self>().is_ok() => Some(vec![expect(i, "backward: inputs")?.get().snapshot()]),
            Some(i) => {
                Some(i.try_iter()?.map(|x| x.and_then(|x| Ok(expect(&x, "backward: every input")?.get().snapshot()))).collect::<PyResult<_>>()?)
            }
        };
        let gradient = gradient.map(|g| super::grad::cotangent(g, &slf.get().snapshot())).transpose()?;
        super::grad::run_backward(slf.py(), vec![(slf.get().snapshot(), gradient)], inputs, retain_graph, create_graph)
    }

    /// The same value without history.
    fn detach(&self) -> Self {
        Self::new(self.snapshot().detach())
    }

    /// A copy of the value in memory of its own; gradients flow through it.
    fn clone(&self) -> PyResult<Self> {
        Ok(Self::new(crate::ops::positive(&self.snapshot())?))
    }

    /// Keeps the gradient of this non-leaf in its `.grad`, too.
    fn retain_grad(&self) -> PyResult<()> {
        let v = self.snapshot();
        match v.edge() {
            Edge::Node { node, output } => {
                let _ = tape::retained_leaf(node, *output, &v);
                Ok(())
            }
            Edge::Leaf(_) => Ok(()),
            Edge::None => Err(GradError::new_err("retain_grad: this Variable does not require gradients")),
        }
    }

    /// Forgets the collected gradient.
    fn zero_grad(&self) {
        let place = match &*self.state.lock() {
            State::Leaf(leaf) => Some(Arc::clone(leaf)),
            State::Value(v) => place_of(v),
        };
        if let Some(p) = place {
            p.set_grad(None);
        }
    }

    /// Calls `hook(gradient)` whenever this Variable's gradient has been computed; what it returns, if not None,
    /// replaces the gradient. Returns a handle with `remove()`.
    ///
    /// >>> x = tg.Variable(3.0, requires_grad=True)
    /// >>> handle = x.register_hook(lambda g: g * 2)
    /// >>> (x * x).backward()
    /// >>> x.grad
    /// Variable(12.)
    /// >>> handle.remove()
    fn register_hook(&self, hook: Py<PyAny>, py: Python<'_>) -> PyResult<super::function::HookHandle> {
        if !hook.bind(py).is_callable() {
            return Err(PyTypeError::new_err("register_hook: the hook must be callable"));
        }
        let v = self.snapshot();
        super::function::add_hook(&v, Arc::new(PyHook::new(hook)))
    }

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
    fn item<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(to_object(py, self.snapshot().array().item()?))
    }

    /// The elements as nested lists of Python numbers.
    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let v = self.snapshot();
        let flat: Vec<Scalar> =
            dispatch!(v.dtype(), T => v.array().to_vec::<T>().into_iter().map(crate::array::Element::to_scalar).collect());
        nested_list(py, v.array(), &flat, 0, &mut 0)
    }

    fn __float__(&self) -> PyResult<f64> {
        Ok(self.snapshot().array().item()?.as_f64())
    }

    fn __int__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.item(py)?.call_method0("__int__")
    }

    fn __index__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let v = self.snapshot();
        if v.ndim() == 0 && v.dtype().is_integer() { self.item(py) } else { Err(PyTypeError::new_err("only 0-d integer arrays can be used as an index")) }
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

    fn __len__(&self) -> PyResult<usize> {
        self.snapshot().shape().first().copied().ok_or_else(|| PyTypeError::new_err("len() of a 0-d array"))
    }

    fn __hash__(slf: &Bound<'_, Self>) -> usize {
        slf.as_ptr() as usize >> 4
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let v = slf.get().snapshot();
        let name = slf.get_type().name()?.to_string();
        let mut out = format!("{name}({}", format_array(v.array(), DisplayOptions::default(), name.len() + 1));
        if v.array().size() == 0 && v.ndim() != 1 {
            out.push_str(&format!(", shape={}", show_shape(v.shape())));
        }
        let implied = match v.dtype() {
            d if d.is_float() => default_float() == d && v.array().size() > 0,
            DType::I64 | DType::Bool => v.array().size() > 0,
            _ => false,
        };
        if !implied {
            out.push_str(&format!(", dtype={}", v.dtype()));
        }
        match v.edge() {
            Edge::None => {}
            Edge::Leaf(_) => out.push_str(", requires_grad=True"),
            Edge::Node { node, .. } => out.push_str(&format!(", grad_fn=<{}>", tape::op_name(node))),
        }
        out.push(')');
        Ok(out)
    }

    fn __str__(&self) -> String {
        format_array(self.snapshot().array(), DisplayOptions::default(), 0).replace(',', "")
    }

    fn __format__(slf: &Bound<'_, Self>, spec: &str) -> PyResult<String> {
        if spec.is_empty() || slf.get().snapshot().ndim() > 0 {
            return if spec.is_empty() { Ok(slf.get().__str__()) } else { Err(PyTypeError::new_err("only 0-d arrays take a format; use item() or tolist()")) };
        }
        slf.get().item(slf.py())?.call_method1("__format__", (spec,))?.extract()
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

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // A collector may run while this thread holds the lock: then nothing is visited, which is safe.
        match self.state.try_lock().as_deref() {
            Some(State::Value(v)) => super::function::traverse(v, &visit),
            Some(State::Leaf(leaf)) if Arc::strong_count(leaf) == 1 => super::function::traverse_leaf(leaf, &visit),
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        let empty = State::Value(Array::empty(&[0], DType::F32).into());
        let old = std::mem::replace(&mut *self.state.lock(), empty);
        if let State::Leaf(leaf) = &old
            && Arc::strong_count(leaf) == 1
        {
            leaf.clear_hooks();
        }
        drop(old);
    }
}

/// Where the gradient of a value that is no leaf handle is kept.
fn place_of(v: &Variable) -> Option<Arc<Leaf>> {
    match v.edge() {
        Edge::None => None,
        Edge::Leaf(leaf) => Some(Arc::clone(leaf)),
        Edge::Node { node, output } => tape::find_retained(node, *output),
    }
}

fn require_float(dtype: DType) -> PyResult<()> {
    if dtype.is_float() {
        return Ok(());
    }
    Err(DTypeError::new_err(format!(
        "only floating dtypes can require gradients, this array is {dtype}; convert it, as in Variable(data, dtype=tg.float32, requires_grad=True)"
    )))
}

/// A Variable from its parts, for pickle and copy.
#[pyfunction]
fn _rebuild<'py>(class: &Bound<'py, PyAny>, data: &Bound<'py, PyAny>, requires_grad: bool) -> PyResult<Bound<'py, PyAny>> {
    let options = PyDict::new(class.py());
    options.set_item("requires_grad", requires_grad)?;
    class.call((data,), Some(&options))
}

/// An array of `data`, shared with it where possible.
///
/// asarray(data, dtype=None, copy=None): copy=True always copies, copy=False raises ValueError where it must copy.
///
/// >>> tg.asarray([1, 2])
/// Variable([1, 2])
#[pyfunction]
#[pyo3(signature = (data, dtype = None, copy = None))]
fn asarray<'py>(data: &Bound<'py, PyAny>, dtype: Option<&Bound<'py, PyAny>>, copy: Option<bool>) -> PyResult<Bound<'py, PyAny>> {
    let dtype = dtype.map(dtype::extract).transpose()?;
    if let Ok(v) = data.cast::<PyVariable>()
        && copy != Some(true)
        && dtype.is_none_or(|d| d == v.get().snapshot().dtype())
    {
        return Ok(data.clone());
    }
    Ok(Bound::new(data.py(), PyVariable::new(convert::array(data, dtype, copy)?.into()))?.into_any())
}

/// An array of a copy of `data`.
///
/// >>> tg.array([[1.0, 2.0]])
/// Variable([[1., 2.]])
#[pyfunction]
#[pyo3(signature = (data, dtype = None))]
fn array(data: &Bound<'_, PyAny>, dtype: Option<&Bound<'_, PyAny>>) -> PyResult<PyVariable> {
    let dtype = dtype.map(dtype::extract).transpose()?;
    let a = convert::array(data, dtype, None)?;
    Ok(PyVariable::new(if a.storage().is_pooled() && data.cast::<PyVariable>().is_err() { a } else { a.copy() }.into()))
}

/// An array that shares the memory of an object with `__dlpack__`.
///
/// >>> import numpy as np
/// >>> tg.from_dlpack(np.ones(2, dtype=np.float32))
/// Variable([1., 1.])
#[pyfunction]
fn from_dlpack(x: &Bound<'_, PyAny>) -> PyResult<PyVariable> {
    Ok(PyVariable::new(dlpack::import(x)?.into()))
}

/// Puts the class and its functions on the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyVariable>()?;
    m.add_function(wrap_pyfunction!(_rebuild, m)?)?;
    m.add_function(wrap_pyfunction!(asarray, m)?)?;
    m.add_function(wrap_pyfunction!(array, m)?)?;
    m.add_function(wrap_pyfunction!(from_dlpack, m)?)
}
