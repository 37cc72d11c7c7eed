//! The class `Variable`: the handle that users hold. It keeps its identity while its value changes.

use std::fmt::Write as _;
use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::describe::describe;
use super::dtype::{self, PyDType};
use super::error::{DTypeError, GradError, ShapeError, guard};
use super::release::EmptyOnDrop;
use super::rows::Rows;
use super::view::{self, ViewBox};
use super::{convert, dlpack, gc, number, objects, release, written};
use crate::array::{Array, DType, DisplayOptions, default_float, format_array};
use crate::error::show_shape;
use crate::lock::Mutex;
use crate::tape::{self, Edge, Leaf, Variable, capture};

/// The content of a handle: a value with its history, a leaf, or a view.
pub enum State {
    /// A value, which in-place operations replace.
    Value(Variable),
    /// A leaf: a parameter or a gradient.
    Leaf(Arc<Leaf>),
    /// A view of a part of another handle.
    View(ViewBox),
}

impl State {
    /// The present value; that of a leaf is put into `at`. Not for views, which have no value of their own, and whose recording may run
    /// Python code.
    #[inline]
    fn value<'a>(&'a self, at: &'a mut Option<Variable>) -> Option<&'a Variable> {
        match self {
            Self::Value(v) => v.array().storage().is_pooled().then_some(v),
            Self::Leaf(leaf) => Some(at.insert(leaf.variable())),
            Self::View(_) => None,
        }
    }
}

/// An n-dimensional array that differentiates.
///
/// Variable(data, *, dtype=None, requires_grad=False)
///
/// `data` is a number, a nested list, a NumPy array (shared, not copied, when it is contiguous and no gradients are required), or
/// anything with `__dlpack__`, `__array__` or the buffer protocol. Later writes to a shared array change no gradient. A Variable that
/// requires gradients raises GradError, alone or in a list: `asarray` keeps its graph, `detach` drops it. NumPy arrays keep their
/// dtype, Python floats become the default
/// dtype (float32). Only floating arrays can require gradients: DTypeError otherwise.
///
/// >>> x = tg.Variable([1.0, 2.0], requires_grad=True)
/// >>> (x * x).sum().backward()
/// >>> x.grad
/// Variable([2., 4.])
#[pyclass(frozen, subclass, weakref, name = "Variable", module = "tapegrad")]
pub struct PyVariable {
    pub(super) state: Mutex<State>,
    _last: EmptyOnDrop,
}

impl PyVariable {
    /// A handle for a value.
    pub fn new(v: Variable) -> Self {
        Self::with_state(State::Value(v))
    }

    /// A handle for a leaf.
    pub fn of_leaf(leaf: Arc<Leaf>) -> Self {
        Self::with_state(State::Leaf(leaf))
    }

    pub(super) fn with_state(state: State) -> Self {
        Self { state: Mutex::new(state), _last: EmptyOnDrop }
    }

    /// The present value. Operations use it, so no lock is held while they run.
    pub fn snapshot(&self) -> Variable {
        let v = match &*self.state.lock() {
            State::Value(v) => Some(v.clone()),
            State::Leaf(leaf) => return leaf.variable(),
            State::View(_) => None,
        };
        match v {
            Some(v) if v.array().storage().is_pooled() => v,
            Some(v) => self.move_on(v),
            None => self.read_view(),
        }
    }

    /// Replaces `v`, the present value, by the copy of its lent memory, if there is one. The handle keeps the copy and drops its reference
    /// to the owner of the lent memory.
    #[cold]
    fn move_on(&self, v: Variable) -> Variable {
        let Some(copy) = v.array().moved() else { return v };
        let new = Variable::with_edge(copy, v.edge().clone());
        let mut old = State::Value(new.clone());
        {
            let mut state = self.state.lock();
            if matches!(&*state, State::Value(now) if now.array().storage().is(v.array().storage())) {
                std::mem::swap(&mut *state, &mut old);
            }
        }
        drop(old); // after the lock: the owner may be a Python object
        new
    }

    /// Type of the elements, which never changes.
    pub fn dtype_now(&self) -> DType {
        match &*self.state.lock() {
            State::Value(v) => return v.dtype(),
            State::Leaf(leaf) => return leaf.meta().dtype,
            State::View(_) => {}
        }
        self.read_view().dtype()
    }

    /// Runs `f` on the value without cloning it; `None` for a view. The handle is locked, so `f` must be short and must not call Python.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(&Variable) -> Option<R>) -> Option<R> {
        let mut at = None; // declared first, so dropped after the lock is released
        let state = self.state.lock();
        if let State::Value(v) = &*state {
            return f(v);
        }
        f(state.value(&mut at)?)
    }

    /// Runs `f` on the values of two handles without cloning them; `None` if one is a view. Both handles are locked, in the order of their
    /// addresses, so `f` must be short and must not call Python.
    #[inline(always)]
    pub fn with_both<R>(&self, other: &Self, f: impl FnOnce(&Variable, &Variable) -> Option<R>) -> Option<R> {
        let (here, there) = (std::ptr::from_ref(self), std::ptr::from_ref(other));
        if here == there {
            let v = self.snapshot();
            return f(&v, &v);
        }
        // Declared first, so dropped after the locks are released.
        let (mut at_a, mut at_b) = (None, None);
        let (a, b) = if here < there {
            let a = self.state.lock();
            (a, other.state.lock())
        } else {
            let b = other.state.lock();
            (self.state.lock(), b)
        };
        if let (State::Value(x), State::Value(y)) = (&*a, &*b) {
            return f(x, y);
        }
        f(a.value(&mut at_a)?, b.value(&mut at_b)?)
    }

    /// Tells a recording that the function asks for the state of a leaf (`kind` 0) or of its gradient (1).
    pub fn note_state(&self, kind: u8) {
        if capture::is_anywhere()
            && let Some(leaf) = self.leaf()
        {
            capture::note_state((kind, leaf.id()));
        }
    }

    /// The leaf, if it is one.
    pub fn leaf(&self) -> Option<Arc<Leaf>> {
        match &*self.state.lock() {
            State::Leaf(leaf) => Some(Arc::clone(leaf)),
            State::Value(v) => match v.edge() {
                Edge::Leaf(leaf) => Some(Arc::clone(leaf)),
                _ => None,
            },
            State::View(_) => None,
        }
    }

    /// The result of an in-place operation, converted to the shape and dtype of `old`.
    pub fn fit_in_place(op: &str, old: &Array, new: &Variable) -> PyResult<Variable> {
        if new.shape() != old.shape() {
            return Err(ShapeError::new_err(format!(
                "{op}: the result has shape {}, an array that is changed in place keeps its shape {}",
                show_shape(new.shape()),
                show_shape(old.shape())
            )));
        }
        let fits = old.dtype().is_inexact() && new.dtype().is_inexact() && (old.dtype().is_complex() || !new.dtype().is_complex());
        if new.dtype() != old.dtype() && !fits {
            return Err(DTypeError::new_err(format!(
                "{op}: the result has dtype {}, which an array of {} cannot hold; write x = x {} ... to make a new value",
                new.dtype(),
                old.dtype(),
                op.trim_end_matches('=')
            )));
        }
        Ok(crate::ops::astype(new, old.dtype())?)
    }

    /// Stores the result of an in-place operation in a handle that is not a view. All references to the handle see the new value. If
    /// recording is off, the data changes and the history stays.
    #[allow(clippy::needless_pass_by_value, reason = "the result of an operation, which ends here")]
    pub fn replace(slf: &Bound<'_, Self>, op: &str, new: Variable) -> PyResult<()> {
        let v = slf.get();
        let old = v.snapshot();
        let mut new = Self::fit_in_place(op, old.array(), &new)?;
        let leaf = if let State::Leaf(leaf) = &*v.state.lock() { Some(Arc::clone(leaf)) } else { None };
        if new.is_lifted() && leaf.as_ref().is_none_or(|leaf| !leaf.requires_grad()) {
            written::put(slf, new);
            return Ok(());
        }
        if let Some(leaf) = leaf {
            if new.is_lifted() {
                return Err(GradError::new_err(format!(
                    "{op}: a value inside jvp, vmap or another transformation cannot be stored in a leaf; return it from the function instead"
                )));
            }
            leaf.set(if leaf.requires_grad() { new.detach() } else { new });
            return Ok(());
        }
        if tape::is_recording() {
            tape::move_retained(old.edge(), new.edge());
        } else if old.is_tracked() && !old.is_lifted() {
            new = Variable::with_edge(new.into_array(), old.edge().clone());
        }
        let gone = std::mem::replace(&mut *v.state.lock(), State::Value(new));
        drop(gone); // after the lock: it may be the last reference to a graph
        Ok(())
    }

    /// Fails for an in-place operation on a leaf that collects gradients, while recording: the leaf would lose its history.
    pub fn check_in_place(&self, op: &str) -> PyResult<()> {
        self.check_leaf(op, false)
    }

    /// [`PyVariable::check_in_place`], possibly through a view of the leaf.
    pub fn check_leaf(&self, op: &str, through_view: bool) -> PyResult<()> {
        if let State::Leaf(leaf) = &*self.state.lock()
            && leaf.requires_grad()
            && tape::is_recording()
        {
            if through_view {
                return Err(GradError::new_err(format!(
                    "{op}: this is a view of a leaf that requires gradients, so changing it in place cannot be recorded; \
                     wrap the change in `with tg.no_grad():`, or work on a copy of the leaf, as in y = x.clone()"
                )));
            }
            let instead = match op.strip_suffix('=') {
                Some(symbol) => format!("write x = x {symbol} ... to make a new value"),
                None => "assign into a value made from it, as in y = x.clone()".to_owned(),
            };
            return Err(GradError::new_err(format!(
                "{op}: this Variable is a leaf that requires gradients, so changing it in place cannot be recorded; \
                 wrap the change in `with tg.no_grad():`, or {instead}"
            )));
        }
        Ok(())
    }
}

/// How arrays are printed.
static DISPLAY: Mutex<DisplayOptions> = Mutex::new(DisplayOptions::NUMPY);

/// The options for printing arrays: precision, threshold, edge items, line width, and whether exponents are suppressed.
#[pyfunction]
fn _display_options() -> (usize, usize, usize, usize, bool) {
    let o = *DISPLAY.lock();
    (o.precision, o.threshold, o.edge_items, o.line_width, o.suppress)
}

/// Sets the options that [`_display_options`] returns.
#[pyfunction]
fn _set_display_options(precision: usize, threshold: usize, edge_items: usize, line_width: usize, suppress: bool) {
    // No float has more digits than this.
    let precision = precision.min(1100);
    *DISPLAY.lock() = DisplayOptions { precision, threshold, edge_items, line_width, suppress };
}

impl PyVariable {
    /// The text for `repr`.
    fn text(slf: &Bound<'_, Self>) -> PyResult<String> {
        let v = slf.get().snapshot();
        let name = slf.get_type().name()?.to_string();
        if v.values("repr").is_err() {
            return Ok(format!("{name}(<one sample of a mapped value>, shape={}, dtype={})", show_shape(v.shape()), v.dtype()));
        }
        let mut out = format!("{name}({}", format_array(v.array(), *DISPLAY.lock(), name.len() + 1));
        if v.array().size() == 0 && v.ndim() != 1 {
            let _ = write!(out, ", shape={}", show_shape(v.shape()));
        }
        let implied = match v.dtype() {
            d if d.is_inexact() => default_float() == d.real() && v.array().size() > 0,
            DType::I64 | DType::Bool => v.array().size() > 0,
            _ => false,
        };
        if !implied {
            let _ = write!(out, ", dtype={}", v.dtype());
        }
        match v.edge() {
            Edge::None | Edge::Lifted(_) => {}
            Edge::Leaf(_) => out.push_str(", requires_grad=True"),
            Edge::Node { node, .. } => {
                let _ = write!(out, ", grad_fn=<{}>", tape::op_name(node));
            }
        }
        out.push(')');
        Ok(out)
    }
}

/// A new handle of `v`.
#[inline]
pub fn wrap(py: Python<'_>, v: Variable) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, PyVariable::new(v))?.into_any())
}

/// The handle behind a Python object.
pub fn expect<'a, 'py>(o: &'a Bound<'py, PyAny>, what: &str) -> PyResult<&'a Bound<'py, PyVariable>> {
    o.cast::<PyVariable>().map_err(|_| PyTypeError::new_err(format!("{what} must be a Variable, got {}", describe(o))))
}

#[pymethods]
impl PyVariable {
    #[new]
    #[pyo3(signature = (data, *more, dtype = None, requires_grad = None), text_signature = "(data, *, dtype=None, requires_grad=False)")]
    fn py_new(
        data: &Bound<'_, PyAny>,
        more: &Bound<'_, PyTuple>,
        dtype: Option<&Bound<'_, PyAny>>,
        requires_grad: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        if !more.is_empty() {
            return Err(too_many(more.len() + 1));
        }
        let requires_grad = requires_grad.map_or(Ok(false), |on| number::number("Variable", "requires_grad", on))?;
        let dtype = dtype.map(dtype::extract).transpose()?;
        let a = convert::untracked("Variable(data)", data, dtype, None)?;
        if !requires_grad {
            return Ok(Self::new(a.into()));
        }
        require_float(a.dtype())?;
        Ok(Self::of_leaf(guard("Variable", || Ok(Leaf::new(a.into(), true)))?))
    }

    /// Sizes of the axes, a tuple.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let v = self.snapshot();
        objects::tuple(py, v.shape().iter().map(|&n| objects::int(py, n.cast_signed() as i64)))
    }

    /// The array with its axes reversed.
    #[getter(T)]
    fn transposed(slf: &Bound<'_, Self>) -> PyResult<Self> {
        guard("T", || {
            let v = slf.get().source();
            Ok(view::link(slf, &v, crate::ops::transpose(&v, None)?, false, false))
        })
    }

    /// The array with its last two axes exchanged.
    #[getter(mT)]
    fn matrix_transposed(slf: &Bound<'_, Self>) -> PyResult<Self> {
        guard("mT", || {
            let v = slf.get().source();
            Ok(view::link(slf, &v, crate::ops::matrix_transpose(&v)?, false, false))
        })
    }

    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<Rows> {
        if slf.get().snapshot().ndim() == 0 {
            return Err(PyTypeError::new_err("iteration over a 0-d array"));
        }
        Ok(Rows::of(slf))
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
    fn dtype(&self, py: Python<'_>) -> PyResult<Py<PyDType>> {
        dtype::object(py, self.dtype_now())
    }

    /// Where the elements are: always "cpu".
    #[getter]
    #[allow(clippy::unused_self, reason = "a property of the array API")]
    fn device(&self) -> &'static str {
        "cpu"
    }

    /// x itself, as there is one device: "cpu". Another one raises ValueError.
    #[pyo3(signature = (device, /, *, stream = None))]
    fn to_device<'py>(slf: &Bound<'py, Self>, device: &Bound<'py, PyAny>, stream: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, Self>> {
        dtype::check_device("to_device", Some(device))?;
        if stream.is_some_and(|s| !s.is_none()) {
            return Err(PyValueError::new_err("to_device(): the CPU has no streams, stream must be None"));
        }
        Ok(slf.clone())
    }

    /// The real parts; of a real array itself.
    #[getter]
    fn real<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let v = slf.get().snapshot();
        if v.dtype().is_complex() { Bound::new(slf.py(), Self::new(crate::ops::real(&v)?)) } else { Ok(slf.clone()) }
    }

    /// The imaginary parts; zeros of a real array.
    #[getter]
    fn imag(&self) -> PyResult<Self> {
        Ok(Self::new(crate::ops::imag(&self.snapshot())?))
    }

    #[setter]
    fn set_real(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        set_part(slf, value, false)
    }

    #[setter]
    fn set_imag(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        set_part(slf, value, true)
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

    fn __len__(&self) -> PyResult<usize> {
        self.snapshot().shape().first().copied().ok_or_else(|| PyTypeError::new_err("len() of a 0-d array"))
    }

    fn __hash__(slf: &Bound<'_, Self>) -> usize {
        slf.as_ptr() as usize >> 4
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyString>> {
        let text = guard("repr", || Self::text(slf))?;
        objects::string(slf.py(), &text)
    }

    fn __str__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        let text = guard("str", || Ok(format_array(self.readable("str")?.array(), *DISPLAY.lock(), 0).replace(',', "")))?;
        objects::string(py, &text)
    }

    fn __format__<'py>(slf: &Bound<'py, Self>, spec: &str) -> PyResult<Bound<'py, PyAny>> {
        if spec.is_empty() {
            return Ok(slf.get().__str__(slf.py())?.into_any());
        }
        if slf.get().snapshot().ndim() > 0 {
            return Err(PyTypeError::new_err("only 0-d arrays take a format; use item() or tolist()"));
        }
        slf.get().only_item(slf.py())?.call_method1("__format__", (spec,))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // If it is locked, that is by a thread that waits for the GIL, and so in both passes of the collector. See `gc.rs`.
        match self.state.try_lock().as_deref() {
            Some(State::View(view)) => view.traverse(&visit),
            Some(_) if !gc::is_shown() => Ok(()),
            Some(State::Value(v)) => gc::traverse(v.edge(), &visit),
            Some(State::Leaf(leaf)) => gc::traverse_leaf(leaf, &visit),
            None => Ok(()),
        }
    }

    fn __clear__(&self) {
        let empty = State::Value(Array::empty(&[0], DType::F32).into());
        let old = std::mem::replace(&mut *self.state.lock(), empty);
        drop(old);
        release::empty();
    }
}

/// Writes the real or the imaginary parts of all elements.
fn set_part(slf: &Bound<'_, PyVariable>, value: &Bound<'_, PyAny>, imaginary: bool) -> PyResult<()> {
    let (py, v) = (slf.py(), slf.get().snapshot());
    let all = py.Ellipsis().into_bound(py);
    if !v.dtype().is_complex() {
        if imaginary {
            return Err(DTypeError::new_err(format!("imag: an array of {} has no imaginary parts to write", v.dtype())));
        }
        return slf.set_item(all, value);
    }
    let part = match convert::operand_for(value, slf.get())? {
        Some(convert::Value::Variable(part)) => part,
        Some(convert::Value::Scalar(number)) => crate::ops::scalar(number, number.dtype_beside(Some(v.dtype().real()))),
        None => return Err(PyTypeError::new_err(format!("the parts of complex numbers are numbers or arrays, not {}", describe(value)))),
    };
    let whole = if imaginary { crate::ops::complex(&crate::ops::real(&v)?, &part)? } else { crate::ops::complex(&part, &crate::ops::imag(&v)?)? };
    slf.set_item(all, wrap(py, whole)?)
}

/// The error for several positional arguments of the class.
#[cold]
fn too_many(n: usize) -> PyErr {
    PyTypeError::new_err(format!(
        "Variable() takes one positional argument, data, {n} were given; put numbers into a list, as in Variable([1, 2, 3]), \
         and name the options: Variable(data, *, dtype=None, requires_grad=False)"
    ))
}

/// Fails unless the dtype is floating or complex, because only these can require gradients.
pub fn require_float(dtype: DType) -> PyResult<()> {
    if dtype.is_inexact() {
        return Ok(());
    }
    Err(DTypeError::new_err(format!(
        "only floating and complex dtypes can require gradients, this array is {dtype}; convert it, as in Variable(data, dtype=tg.float32, requires_grad=True)"
    )))
}

/// An array of `data`, shared with it where possible. A Variable keeps its graph, and nested lists that hold Variables are stacked
/// by recorded operations.
///
/// asarray(data, dtype=None, copy=None, *, device=None): copy=True always copies, copy=False raises ValueError where it must copy, and promises
/// that the array is not written while the tape needs it: it is read-only meanwhile. Otherwise the tape copies what it saves.
///
/// >>> tg.asarray([1, 2])
/// Variable([1, 2])
#[pyfunction]
#[pyo3(signature = (data, dtype = None, copy = None, *, device = None))]
fn asarray<'py>(
    data: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    copy: Option<bool>,
    device: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    dtype::check_device("asarray", device)?;
    let dtype = dtype.map(dtype::extract).transpose()?;
    if let Ok(v) = data.cast::<PyVariable>()
        && copy != Some(true)
        && dtype.is_none_or(|d| d == v.get().snapshot().dtype())
    {
        return Ok(data.clone());
    }
    Ok(Bound::new(data.py(), PyVariable::new(convert::variable(data, dtype, copy)?))?.into_any())
}

/// An array of a copy of `data`, which keeps the graph of Variables.
///
/// >>> tg.array([[1.0, 2.0]])
/// Variable([[1., 2.]])
#[pyfunction]
#[pyo3(signature = (data, dtype = None, *, device = None))]
fn array(data: &Bound<'_, PyAny>, dtype: Option<&Bound<'_, PyAny>>, device: Option<&Bound<'_, PyAny>>) -> PyResult<PyVariable> {
    dtype::check_device("array", device)?;
    let dtype = dtype.map(dtype::extract).transpose()?;
    Ok(PyVariable::new(convert::fresh(data, dtype)?))
}

/// An array that shares the memory of an object with `__dlpack__`.
///
/// from_dlpack(x, *, device=None, copy=None): copy=True always copies, copy=False raises where it must copy, and promises that
/// the memory is not written while the tape needs it. Bools are copied. The only device is "cpu".
///
/// >>> import numpy as np
/// >>> tg.from_dlpack(np.ones(2, dtype=np.float32))
/// Variable([1., 1.])
#[pyfunction]
#[pyo3(signature = (x, /, *, device = None, copy = None))]
fn from_dlpack(x: &Bound<'_, PyAny>, device: Option<&Bound<'_, PyAny>>, copy: Option<bool>) -> PyResult<PyVariable> {
    dtype::check_device("from_dlpack", device)?;
    guard("from_dlpack", || Ok(PyVariable::new(dlpack::import(x, copy)?.into())))
}

/// Adds the class and its functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_display_options, m)?)?;
    m.add_function(wrap_pyfunction!(_set_display_options, m)?)?;
    m.add_class::<PyVariable>()?;
    m.add_function(wrap_pyfunction!(asarray, m)?)?;
    m.add_function(wrap_pyfunction!(array, m)?)?;
    m.add_function(wrap_pyfunction!(from_dlpack, m)?)
}
