//! Python values in: numbers, nested lists, arrays of others.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyRange, PyString, PyTuple};

use super::error::{ShapeError, guard};
use super::numpy;
use super::operators::run;
use super::variable::PyVariable;
use crate::array::{Array, DType, Element, Scalar, Shape, alloc_check, default_float};
use crate::dispatch;
use crate::ops;
use crate::tape::Variable;

/// One side of an operator.
pub enum Value {
    /// An array.
    Variable(Variable),
    /// A number, which stays one.
    Scalar(Scalar),
}

impl Value {
    /// As the core's operand.
    pub fn operand(&self) -> ops::Operand<'_> {
        match self {
            Self::Variable(v) => ops::Operand::Variable(v),
            Self::Scalar(s) => ops::Operand::Scalar(*s),
        }
    }
}

/// A Python number, if it is one.
pub fn scalar(o: &Bound<'_, PyAny>) -> PyResult<Option<Scalar>> {
    if let Ok(x) = o.cast_exact::<PyFloat>() {
        return Ok(Some(Scalar::Float(x.value())));
    }
    if let Ok(b) = o.cast::<PyBool>() {
        return Ok(Some(Scalar::Bool(b.is_true())));
    }
    if o.cast::<PyInt>().is_ok() {
        return match o.extract::<i64>() {
            Ok(i) => Ok(Some(Scalar::Int(i))),
            Err(_) => Err(PyOverflowError::new_err(format!("the Python int {} does not fit into int64", o.str()?))),
        };
    }
    Ok(None)
}

/// Whether `o` is an int beyond int64: a floating dtype still holds it, roughly.
fn is_large(o: &Bound<'_, PyAny>) -> bool {
    o.cast_exact::<PyInt>().is_ok() && o.extract::<i64>().is_err()
}

/// A Python number for an array of `dtype`, if it is one.
fn scalar_for(o: &Bound<'_, PyAny>, dtype: Option<DType>) -> PyResult<Option<Scalar>> {
    if dtype.is_some_and(DType::is_float) && is_large(o) { Ok(Some(Scalar::Float(o.extract()?))) } else { scalar(o) }
}

/// A Python number to compare with the array of `v`: beyond int64 there is nothing but infinity for whole numbers.
pub fn comparable<'py>(o: &Bound<'py, PyAny>, v: &PyVariable) -> PyResult<Bound<'py, PyAny>> {
    if !is_large(o) || v.dtype_now().is_float() {
        return Ok(o.clone());
    }
    Ok(PyFloat::new(o.py(), if o.lt(0)? { f64::NEG_INFINITY } else { f64::INFINITY }).into_any())
}

/// [`operand`] beside the array of `v`.
pub fn operand_for(o: &Bound<'_, PyAny>, v: &PyVariable) -> PyResult<Option<Value>> {
    match operand(o) {
        Err(_) if is_large(o) && v.dtype_now().is_float() => Ok(Some(Value::Scalar(Scalar::Float(o.extract()?)))),
        other => other,
    }
}

/// An operand of an operator, or `None` when `o` is nothing an array can meet.
/// The cheapest tests come first: our own class, then numbers.
pub fn operand(o: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
    if let Ok(v) = o.cast_exact::<PyVariable>() {
        return Ok(Some(Value::Variable(v.get().snapshot())));
    }
    if let Some(s) = scalar(o)? {
        return Ok(Some(Value::Scalar(s)));
    }
    if let Ok(v) = o.cast::<PyVariable>() {
        return Ok(Some(Value::Variable(v.get().snapshot())));
    }
    if let Some(a) = numpy::as_ndarray(o) {
        return Ok(Some(Value::Variable(numpy::from_ndarray(a, None)?.into())));
    }
    if o.cast::<PyString>().is_ok() || o.cast::<PyList>().is_ok() || o.cast::<PyTuple>().is_ok() {
        return Ok(None);
    }
    if o.hasattr("__array__")? || o.hasattr("__dlpack__")? {
        return Ok(Some(Value::Variable(array(o, None, None)?.into())));
    }
    Ok(None)
}

/// Whatever users put where an array is expected, as an array.
///
/// `copy`: true always copies, false raises where a copy is needed, none copies when it must.
pub fn array(o: &Bound<'_, PyAny>, dtype: Option<DType>, copy: Option<bool>) -> PyResult<Array> {
    guard("asarray", || converted(o, dtype, copy))
}

/// As [`array`], in memory of its own.
pub fn fresh(o: &Bound<'_, PyAny>, dtype: Option<DType>) -> PyResult<Array> {
    guard("array", || {
        let a = converted(o, dtype, None)?;
        let own = a.storage().is_pooled() && o.cast::<PyVariable>().is_err();
        if own { Ok(a) } else { run(o.py(), a.size(), || Ok(a.copy())) }
    })
}

fn converted(o: &Bound<'_, PyAny>, dtype: Option<DType>, copy: Option<bool>) -> PyResult<Array> {
    let a = raw_array(o, dtype, copy)?;
    match dtype {
        Some(d) if d != a.dtype() => {
            if copy == Some(false) {
                return Err(PyValueError::new_err(format!("asarray(copy=False): converting {} to {d} needs a copy", a.dtype())));
            }
            let size = a.size();
            Ok(run(o.py(), size, || ops::astype(&a.into(), d))?.into_array())
        }
        _ => Ok(a),
    }
}

fn raw_array(o: &Bound<'_, PyAny>, dtype: Option<DType>, copy: Option<bool>) -> PyResult<Array> {
    let fresh = |a: Array| if copy == Some(true) { a.copy() } else { a };
    if let Ok(v) = o.cast::<PyVariable>() {
        return Ok(fresh(v.get().snapshot().into_array()));
    }
    if let Some(s) = scalar_for(o, dtype)? {
        no_copy(copy, "a Python number")?;
        let dtype = dtype.unwrap_or_else(|| s.dtype());
        s.check("asarray", dtype)?;
        return Ok(Array::full(&[], s, dtype));
    }
    if let Some(a) = numpy::as_ndarray(o) {
        return numpy::from_ndarray(a, copy);
    }
    if let Ok(range) = o.cast::<PyRange>() {
        no_copy(copy, "a range")?;
        return nested(&o.py().get_type::<PyList>().call1((range,))?, dtype);
    }
    if o.cast::<PyList>().is_ok() || o.cast::<PyTuple>().is_ok() {
        no_copy(copy, "a nested list")?;
        return nested(o, dtype);
    }
    if o.cast::<PyString>().is_ok() {
        return Err(PyTypeError::new_err("a string cannot be converted to an array of numbers"));
    }
    if o.hasattr("__dlpack__")? && !o.hasattr("__array__")? {
        return super::dlpack::import(o).map(fresh);
    }
    let from_buffer = o.hasattr("__array__")? || pyo3::types::PyMemoryView::from(o).is_ok();
    if from_buffer {
        let a = o.py().import("numpy")?.call_method1("asarray", (o,))?;
        return match numpy::as_ndarray(&a) {
            Some(a) => numpy::from_ndarray(a, copy),
            None => Err(PyTypeError::new_err(format!("numpy.asarray gave no array for {}", o.get_type().name()?))),
        };
    }
    Err(PyTypeError::new_err(format!(
        "cannot make an array of {}: expected a number, a nested list, a NumPy array, or an object with __array__, __dlpack__ or the buffer protocol",
        o.get_type().name()?
    )))
}

fn no_copy(copy: Option<bool>, what: &str) -> PyResult<()> {
    if copy == Some(false) {
        return Err(PyValueError::new_err(format!("asarray(copy=False): {what} cannot be shared, a copy is needed")));
    }
    Ok(())
}

/// Elements of a nested list, and the shape they make.
#[derive(Default)]
struct Nested {
    shape: Shape,
    values: Vec<Scalar>,
    /// The widest dtype of arrays inside; numbers are weak beside it.
    strong: Option<DType>,
    /// The dtype asked for.
    dtype: Option<DType>,
}

fn nested(o: &Bound<'_, PyAny>, dtype: Option<DType>) -> PyResult<Array> {
    let mut found = Nested { dtype, ..Nested::default() };
    found.visit(o, 0, &mut Vec::new())?;
    let weak = found.values.iter().fold(None, |d: Option<DType>, s| {
        let own = s.dtype();
        Some(d.map_or(own, |d| if own.is_float() || d.is_float() { default_float() } else { d.promote(own) }))
    });
    let inferred = match (found.strong, weak) {
        (Some(s), _) => found.values.iter().fold(s, |d, v| v.promote(d)),
        (None, Some(w)) => w,
        (None, None) => default_float(),
    };
    let dtype = dtype.unwrap_or(inferred);
    found.values.iter().try_for_each(|s| s.check("asarray", dtype))?;
    let mut out = Array::empty(&found.shape, dtype);
    dispatch!(dtype, T => {
        for (o, s) in out.data_mut::<T>().iter_mut().zip(&found.values) {
            *o = T::from_scalar(*s);
        }
    });
    Ok(out)
}

impl Nested {
    /// Adds what is at `path`; the first visit of a depth sets the size there.
    fn visit(&mut self, o: &Bound<'_, PyAny>, depth: usize, path: &mut Vec<usize>) -> PyResult<()> {
        if let Some(s) = scalar_for(o, self.dtype)? {
            alloc_check::push(&mut self.values, s);
            return self.expect_leaf(depth, path);
        }
        if let Ok(items) = o.cast::<PyList>() {
            return self.visit_all(items.iter(), items.len(), depth, path);
        }
        if let Ok(items) = o.cast::<PyTuple>() {
            return self.visit_all(items.iter(), items.len(), depth, path);
        }
        let a = raw_array(o, None, None).map_err(|_| {
            let name = o.get_type().name().map_or_else(|_| "?".to_owned(), |n| n.to_string());
            PyTypeError::new_err(format!("cannot make an array: the element at {path:?} is {name}, expected numbers or nested lists of them"))
        })?;
        for (k, &n) in a.shape().iter().enumerate() {
            self.expect_size(depth + k, n, path)?;
        }
        self.strong = Some(self.strong.map_or(a.dtype(), |d| d.promote(a.dtype())));
        alloc_check::reserve(&mut self.values, a.size());
        dispatch!(a.dtype(), T => self.values.extend(a.contiguous().as_slice::<T>().into_iter().flatten().map(|x| x.to_scalar())));
        self.expect_leaf(depth + a.ndim(), path)
    }

    fn visit_all<'py>(&mut self, items: impl Iterator<Item = Bound<'py, PyAny>>, n: usize, depth: usize, path: &mut Vec<usize>) -> PyResult<()> {
        if depth > 32 {
            return Err(PyValueError::new_err("cannot make an array: lists are nested deeper than 32"));
        }
        self.expect_size(depth, n, path)?;
        for (i, item) in items.enumerate() {
            path.push(i);
            self.visit(&item, depth + 1, path)?;
            path.pop();
        }
        Ok(())
    }

    fn expect_size(&mut self, depth: usize, n: usize, path: &[usize]) -> PyResult<()> {
        if depth == self.shape.len() && self.values.is_empty() {
            self.shape.push(n);
            return Ok(());
        }
        match self.shape.get(depth) {
            Some(&m) if m == n => Ok(()),
            Some(&m) => Err(ShapeError::new_err(format!("cannot make an array of ragged lists: the one at {path:?} has length {n}, expected {m}"))),
            None => Err(ShapeError::new_err(format!("cannot make an array of ragged lists: the element at {path:?} is a list, expected a number"))),
        }
    }

    fn expect_leaf(&self, depth: usize, path: &[usize]) -> PyResult<()> {
        if depth < self.shape.len() {
            return Err(ShapeError::new_err(format!("cannot make an array of ragged lists: the element at {path:?} is a number, expected a list")));
        }
        Ok(())
    }
}
