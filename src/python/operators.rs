//! Number slots: `a + b` and the like, with reflected and in-place forms. They parse no keywords.
#![allow(unsafe_op_in_unsafe_fn, reason = "PyO3 hides its own unsafe calls by spans, which a macro around it loses")]

use pyo3::basic::CompareOp;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use super::convert::{self, Value};
use super::describe::in_operation;
use super::error::guard;
use super::variable::{PyVariable, wrap};
use super::{gc, in_place, index, view};
use crate::array::same;
use crate::error::Result;
use crate::ops::work::{self, LONG_CALL};
use crate::ops::{self, IndexItem, Operand, apply_binary, update_binary};
use crate::tape::{self, Variable};

pub type BinaryFn = fn(Operand<'_>, Operand<'_>) -> Result<Variable>;

/// Operations on fewer elements are so short that cloning handles takes a measurable part of the time.
const SMALL_OPERAND_LEN: usize = 1 << 10;

/// Runs `f`, without the GIL if it processes many elements.
#[inline]
pub fn run<T: Send>(py: Python<'_>, elements: usize, f: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    run_if(py, elements >= LONG_CALL, f)
}

/// Runs `f`, without the GIL if it is `long`.
#[inline]
pub fn run_if<T: Send>(py: Python<'_>, long: bool, f: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    if long { Ok(gc::detach(py, f)?) } else { Ok(f()?) }
}

/// The number of elements of a value; zero if its memory is lent, as for [`elements`].
pub fn load(v: &Variable) -> usize {
    if v.array().is_lent() { 0 } else { v.array().size() }
}

/// The number of elements that an operator makes or reads; for a matrix product, an equivalent cost. Zero if the memory of an operand is
/// lent: its owner may write it whenever a Python thread runs, so the GIL must be held while it is read.
pub fn elements(name: &str, a: &Variable, b: &Value) -> usize {
    let lent = |v: &Variable| v.array().is_lent();
    if lent(a) || b.variable().is_some_and(lent) {
        return 0;
    }
    let Value::Variable(b) = b else { return a.array().size() };
    if name.starts_with('@') { work::matmul(a.shape(), b.shape()) } else { work::broadcast(&[a.shape(), b.shape()].into_iter()) }
}

/// Whether both operands and the result have few elements.
#[inline(always)]
fn is_short(x: &Variable, y: &Variable) -> bool {
    let (n, m) = (x.array().size(), y.array().size());
    n.max(m) < SMALL_OPERAND_LEN && (n * m < LONG_CALL || same(x.shape(), y.shape()))
}

/// The operation on few elements, without cloning handles; `None` if it is not such an operation.
#[inline(always)]
fn short(a: &PyVariable, other: &Bound<'_, PyAny>, f: BinaryFn, reflected: bool) -> Option<Result<Variable>> {
    // Floats first: their type test is one comparison, while a failed cast creates an error object.
    if other.is_exact_instance_of::<PyFloat>() {
        let number = other.cast_exact::<PyFloat>().ok()?.value().into();
        return a.with(|x| (x.array().size() < SMALL_OPERAND_LEN).then(|| if reflected { f(number, x.into()) } else { f(x.into(), number) }));
    }
    let b = other.cast_exact::<PyVariable>().ok()?;
    a.with_both(b.get(), |x, y| is_short(x, y).then(|| if reflected { f(y.into(), x.into()) } else { f(x.into(), y.into()) }))
}

#[inline(always)]
fn binary(slf: &Bound<'_, PyVariable>, other: &Bound<'_, PyAny>, name: &str, f: BinaryFn, reflected: bool) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    guard(name, || {
        if !tape::is_observed()
            && let Some(out) = short(slf.get(), other, f, reflected)
        {
            return wrap(py, out?);
        }
        let Some(other) = convert::operand_for(other, slf.get()).map_err(|e| in_operation(py, name, e))? else { return Ok(py.NotImplemented()) };
        let a = slf.get().snapshot();
        let out = run(py, elements(name, &a, &other), || {
            let (x, y) = (Operand::Variable(&a), other.operand());
            if reflected { f(y, x) } else { f(x, y) }
        })?;
        wrap(py, out)
    })
}

#[inline(always)]
fn unary(slf: &Bound<'_, PyVariable>, name: &str, f: fn(&Variable) -> Result<Variable>) -> PyResult<Py<PyAny>> {
    guard(name, || {
        let a = slf.get().snapshot();
        let out = run(slf.py(), load(&a), || f(&a))?;
        wrap(slf.py(), out)
    })
}

fn matmul(a: Operand<'_>, b: Operand<'_>) -> Result<Variable> {
    match (a, b) {
        (Operand::Variable(a), Operand::Variable(b)) => match ops::autocast::dtype() {
            Some(to) => ops::half::cast_product(a, b, to, ops::matmul),
            None => ops::matmul(a, b),
        },
        _ => Err(crate::error::Error::Shape("matmul: an operand is a number, expected arrays of at least one dimension; use * to scale".to_owned())),
    }
}

macro_rules! slots {
    ($($slot:ident $reflected:ident $inplace:ident $symbol:literal $op:expr, $update:expr;)*) => {
        #[pymethods]
        impl PyVariable {
            $(
                fn $slot(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
                    binary(slf, other, $symbol, $op, false)
                }
                fn $reflected(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
                    binary(slf, other, $symbol, $op, true)
                }
                fn $inplace(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
                    in_place::operate(slf, other, concat!($symbol, "="), $op, $update)
                }
            )*
        }
    };
}

slots! {
    __add__ __radd__ __iadd__ "+" apply_binary::<ops::arithmetic::add>, update_binary::<ops::arithmetic::add>;
    __sub__ __rsub__ __isub__ "-" apply_binary::<ops::arithmetic::subtract>, update_binary::<ops::arithmetic::subtract>;
    __mul__ __rmul__ __imul__ "*" apply_binary::<ops::arithmetic::multiply>, update_binary::<ops::arithmetic::multiply>;
    __truediv__ __rtruediv__ __itruediv__ "/" apply_binary::<ops::arithmetic::divide>, update_binary::<ops::arithmetic::divide>;
    __floordiv__ __rfloordiv__ __ifloordiv__ "//" apply_binary::<ops::division::floor_divide>, update_binary::<ops::division::floor_divide>;
    __mod__ __rmod__ __imod__ "%" apply_binary::<ops::division::remainder>, update_binary::<ops::division::remainder>;
    __matmul__ __rmatmul__ __imatmul__ "@" matmul, in_place::never;
    __and__ __rand__ __iand__ "&" |a, b| ops::bitwise_and(a, b), in_place::never;
    __or__ __ror__ __ior__ "|" |a, b| ops::bitwise_or(a, b), in_place::never;
    __xor__ __rxor__ __ixor__ "^" |a, b| ops::bitwise_xor(a, b), in_place::never;
    __lshift__ __rlshift__ __ilshift__ "<<" |a, b| ops::bitwise_left_shift(a, b), in_place::never;
    __rshift__ __rrshift__ __irshift__ ">>" |a, b| ops::bitwise_right_shift(a, b), in_place::never;
}

/// `pow(x, y)` takes two arguments only.
fn no_modulus(modulus: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    if modulus.is_some_and(|m| !m.is_none()) { Err(PyTypeError::new_err("pow() with a modulus is not supported for arrays")) } else { Ok(()) }
}

#[pymethods]
impl PyVariable {
    fn __pow__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>, modulus: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        no_modulus(modulus)?;
        binary(slf, other, "**", |a, b| ops::power(a, b), false)
    }
    fn __rpow__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>, modulus: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        no_modulus(modulus)?;
        binary(slf, other, "**", |a, b| ops::power(a, b), true)
    }
    fn __ipow__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>, modulus: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        no_modulus(modulus)?;
        in_place::operate(slf, other, "**=", |a, b| ops::power(a, b), update_binary::<ops::arithmetic::power>)
    }
    fn __neg__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        unary(slf, "negative", ops::negative)
    }
    fn __pos__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        unary(slf, "positive", ops::positive)
    }
    fn __abs__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        unary(slf, "abs", ops::abs)
    }
    fn __invert__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        unary(slf, "bitwise_invert", ops::bitwise_invert)
    }
    #[pyo3(signature = (ndigits = None))]
    fn __round__(slf: &Bound<'_, Self>, ndigits: Option<i64>) -> PyResult<Py<PyAny>> {
        guard("round", || {
            let a = slf.get().snapshot();
            wrap(slf.py(), run(slf.py(), load(&a), || ops::round(&a, ndigits.unwrap_or(0)))?)
        })
    }

    fn __richcmp__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let (name, f): (_, BinaryFn) = match op {
            CompareOp::Lt => ("<", |a, b| ops::less(a, b)),
            CompareOp::Le => ("<=", |a, b| ops::less_equal(a, b)),
            CompareOp::Gt => (">", |a, b| ops::greater(a, b)),
            CompareOp::Ge => (">=", |a, b| ops::greater_equal(a, b)),
            CompareOp::Eq => ("==", |a, b| ops::equal(a, b)),
            CompareOp::Ne => ("!=", |a, b| ops::not_equal(a, b)),
        };
        binary(slf, &convert::comparable(other, slf.get())?, name, f, false)
    }

    fn __getitem__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        guard("indexing", || {
            let items = index::items(key)?;
            let v = slf.get().source();
            if items.iter().any(|item| matches!(item, IndexItem::Array(_))) {
                let lent = v.array().is_lent() || index::is_lent(&items);
                let size = if lent { 0 } else { work::indexed(v.shape(), &items) };
                return wrap(slf.py(), run(slf.py(), size, || ops::get_item(&v, &items))?);
            }
            let out = ops::get_item(&v, &items)?;
            let element = ops::index::is_element(&items, v.ndim());
            Ok(Py::new(slf.py(), view::link(slf, &v, out, false, element))?.into_any())
        })
    }

    #[allow(clippy::unused_self, reason = "a slot of the protocol")]
    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = key;
        Err(PyTypeError::new_err("elements of an array cannot be deleted; take those that stay, as in x[mask]"))
    }

    fn __setitem__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place::assign(slf, key, value)
    }
}
