//! Converts Python values (numbers, nested lists, other libraries' arrays) to Variables. Variables keep their history.

use num_complex::Complex;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyComplex, PyFloat, PyInt, PyList, PyRange, PySequence, PyString, PyTuple};

use super::describe::describe;
use super::error::{GradError, ShapeError, guard};
use super::numpy;
use super::variable::PyVariable;
use crate::array::{Array, DType, Element, Scalar, Shape, alloc_check, default_float};
use crate::dispatch;
use crate::ops;
use crate::tape::{self, Variable};

/// An operand of an operator.
pub enum Value {
    /// An array.
    Variable(Variable),
    /// A number, which stays one.
    Scalar(Scalar),
}

impl Value {
    /// The array, if it is one.
    pub fn variable(&self) -> Option<&Variable> {
        if let Self::Variable(v) = self { Some(v) } else { None }
    }

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
        return match (o.extract::<i64>(), o.extract::<u64>()) {
            (Ok(i), _) => Ok(Some(Scalar::Int(i))),
            (_, Ok(i)) => Ok(Some(Scalar::UInt(i))),
            _ => Err(PyOverflowError::new_err(format!("the Python int {} does not fit into int64 or uint64", o.str()?))),
        };
    }
    if let Ok(z) = o.cast_exact::<PyComplex>() {
        return Ok(Some(complex(z)));
    }
    Ok(None)
}

fn complex(z: &Bound<'_, PyComplex>) -> Scalar {
    Scalar::Complex(Complex::new(z.real(), z.imag()))
}

/// Whether `o` is an int beyond int64. Floating dtypes can still represent it approximately.
fn is_large(o: &Bound<'_, PyAny>) -> bool {
    o.cast_exact::<PyInt>().is_ok() && o.extract::<i64>().is_err()
}

/// A Python number for an array of `dtype`, if it is one.
fn scalar_for(o: &Bound<'_, PyAny>, dtype: Option<DType>) -> PyResult<Option<Scalar>> {
    if dtype.is_some_and(DType::is_inexact) && is_large(o) { Ok(Some(Scalar::Float(o.extract()?))) } else { scalar(o) }
}

/// A Python number for comparison with the array of `v`. An int beyond int64 is compared as infinity with an integer array.
pub fn comparable<'py>(o: &Bound<'py, PyAny>, v: &PyVariable) -> PyResult<Bound<'py, PyAny>> {
    let dtype = v.dtype_now();
    if !is_large(o) || dtype.is_inexact() || (dtype == DType::U64 && o.extract::<u64>().is_ok()) {
        return Ok(o.clone());
    }
    Ok(PyFloat::new(o.py(), if o.lt(0)? { f64::NEG_INFINITY } else { f64::INFINITY }).into_any())
}

/// What is known about the arrays of a call. It decides the dtype of Python floats and `np.float64`.
#[derive(Default)]
pub struct Beside {
    /// Whether there is an array.
    any: bool,
    /// The widest floating dtype of them.
    float: Option<DType>,
}

impl Beside {
    /// One array.
    fn of(dtype: DType) -> Self {
        let mut found = Self::default();
        found.add(dtype);
        found
    }

    /// The arrays of a call, except `o`.
    #[cold]
    pub fn among<'py>(o: &Bound<'_, PyAny>, arguments: impl Iterator<Item = Bound<'py, PyAny>>) -> Self {
        Self::all(arguments.filter(|other| !other.is(o)))
    }

    /// The arrays among some values.
    #[cold]
    pub fn all<'py>(values: impl Iterator<Item = Bound<'py, PyAny>>) -> Self {
        let mut found = Self::default();
        values.for_each(|value| found.see(&value, MAX_DEPTH));
        found
    }

    /// These arrays and others.
    #[cold]
    pub fn and(mut self, others: &Self) -> Self {
        self.any |= others.any;
        others.float.into_iter().for_each(|dtype| self.add(dtype));
        self
    }

    /// A number as an array beside them.
    #[cold]
    pub fn array(&self, number: Scalar) -> Variable {
        ops::scalar(number, number.dtype_beside(self.float))
    }

    fn add(&mut self, dtype: DType) {
        self.any = true;
        if dtype.is_inexact() {
            let float = dtype.real();
            self.float = Some(self.float.map_or(float, |d| d.promote(float)));
        }
    }

    /// Takes `o` into account if it is an array, or the arrays in it if it is a list.
    fn see(&mut self, o: &Bound<'_, PyAny>, depth: usize) {
        if let Ok(v) = o.cast::<PyVariable>() {
            self.add(v.get().dtype_now());
        } else if let Some(a) = numpy::as_ndarray(o) {
            // An array of an unsupported dtype is an error when it is converted.
            if let Ok((dtype, _)) = numpy::dtype_of(a) {
                self.add(dtype);
            }
        } else if depth > 0 && is_list(o) {
            self.any = true;
            let Ok(items) = o.try_iter() else { return };
            items.flatten().for_each(|x| self.see(&x, depth - 1));
        }
    }
}

/// An operand of an operation with the array of `v`.
pub fn operand_for(o: &Bound<'_, PyAny>, v: &PyVariable) -> PyResult<Option<Value>> {
    if let Ok(v) = o.cast_exact::<PyVariable>() {
        return Ok(Some(Value::Variable(v.get().snapshot())));
    }
    match scalar(o) {
        Ok(Some(s)) => Ok(Some(Value::Scalar(s))),
        Ok(None) => other_operand(o, &|| Beside::of(v.dtype_now())),
        Err(_) if is_large(o) && v.dtype_now().is_inexact() => Ok(Some(Value::Scalar(Scalar::Float(o.extract()?)))),
        Err(e) => Err(e),
    }
}

/// A number or an array, or `None` if `o` is neither. The cheapest tests come first: our own class, then numbers.
pub fn operand(o: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
    if let Ok(v) = o.cast_exact::<PyVariable>() {
        return Ok(Some(Value::Variable(v.get().snapshot())));
    }
    match scalar(o)? {
        Some(s) => Ok(Some(Value::Scalar(s))),
        None => other_operand(o, &Beside::default),
    }
}

/// The remaining kinds of operands: subclasses, `np.float64`, NumPy arrays, lists and the like. A NumPy float counts as a Python float if
/// there is an array, and numbers in lists are read in the precision of the other arrays.
#[cold]
pub fn other_operand(o: &Bound<'_, PyAny>, beside: &dyn Fn() -> Beside) -> PyResult<Option<Value>> {
    if let Ok(v) = o.cast::<PyVariable>() {
        return Ok(Some(Value::Variable(v.get().snapshot())));
    }
    if let Ok(x) = o.cast::<PyFloat>()
        && beside().any
    {
        return Ok(Some(Value::Scalar(Scalar::Float(x.value()))));
    }
    if let Ok(z) = o.cast::<PyComplex>()
        && beside().any
    {
        return Ok(Some(Value::Scalar(complex(z))));
    }
    if is_list(o) {
        return guard("asarray", || Ok(Some(Value::Variable(Nested::of(o, None)?.beside(&beside())?))));
    }
    if is_text(o) || !is_array_like(o)? {
        return Ok(None);
    }
    Ok(Some(Value::Variable(variable(o, None, None)?)))
}

/// Whether `o` is an array: a Variable, or one of NumPy's.
pub fn is_array(o: &Bound<'_, PyAny>) -> bool {
    o.cast::<PyVariable>().is_ok() || numpy::as_ndarray(o).is_some()
}

fn is_text(o: &Bound<'_, PyAny>) -> bool {
    o.cast::<PyString>().is_ok() || o.cast::<PyBytes>().is_ok() || o.cast::<PyByteArray>().is_ok()
}

fn is_list(o: &Bound<'_, PyAny>) -> bool {
    o.cast::<PyList>().is_ok() || o.cast::<PyTuple>().is_ok() || o.cast::<PyRange>().is_ok()
}

/// The elements of a sequence that is neither a list nor an array, such as a deque.
fn elements<'py>(o: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyList>>> {
    match o.cast::<PySequence>() {
        Ok(items) if !is_text(o) => items.to_list().map(Some),
        _ => Ok(None),
    }
}

/// Whether `o` has one of the protocols of arrays.
fn is_array_like(o: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(numpy::as_ndarray(o).is_some()
        || o.cast::<PyFloat>().is_ok()
        || o.cast::<PyComplex>().is_ok()
        || numpy::has_buffer(o)
        || o.hasattr("__array__")?
        || o.hasattr("__dlpack__")?)
}

/// Converts anything that is accepted as an array. A Variable keeps its history, and lists that contain Variables are stacked by recorded
/// operations. Every function that takes an array calls this, or [`untracked`].
///
/// A dtype that cannot carry gradients is an error for tracked values: only `astype` drops the history for it. `copy`: true always copies,
/// false fails if a copy is needed, none copies if needed.
pub fn variable(o: &Bound<'_, PyAny>, dtype: Option<DType>, copy: Option<bool>) -> PyResult<Variable> {
    guard("asarray", || {
        let v = unconverted(o, dtype, copy)?;
        match dtype {
            Some(d) if d != v.dtype() => {
                if copy == Some(false) {
                    return Err(PyValueError::new_err(format!("asarray(copy=False): converting {} to {d} needs a copy", v.dtype())));
                }
                Ok(ops::stored_as("asarray", &v, d)?)
            }
            _ => Ok(v),
        }
    })
}

/// [`variable`] with a copy of the data.
pub fn fresh(o: &Bound<'_, PyAny>, dtype: Option<DType>) -> PyResult<Variable> {
    let v = variable(o, dtype, None)?;
    guard("array", || if v.array().storage().is_pooled() && o.cast::<PyVariable>().is_err() { Ok(v) } else { copied(&v) })
}

/// [`variable`] where data without history is needed: fails if a history would be lost.
pub fn untracked(what: &str, o: &Bound<'_, PyAny>, dtype: Option<DType>, copy: Option<bool>) -> PyResult<Array> {
    let v = variable(o, dtype, copy)?;
    if v.is_tracked() && tape::is_recording() {
        return Err(GradError::new_err(format!(
            "{what} takes data without a graph, but the data {} gradients; use tg.asarray(data) to keep the graph, or detach() to drop it",
            if o.cast::<PyVariable>().is_ok() { "is a Variable that requires" } else { "holds Variables that require" }
        )));
    }
    Ok(v.into_array())
}

/// [`variable`] for a value that is stored in an array of `dtype`: numbers in a list are read in that dtype.
pub fn stored(o: &Bound<'_, PyAny>, dtype: DType) -> PyResult<Variable> {
    if is_list(o) { guard("assignment", || Nested::of(o, Some(dtype))?.beside(&Beside::default())) } else { variable(o, None, None) }
}

/// A number that is stored in the array of `v`, if `o` is one.
pub fn number_for(o: &Bound<'_, PyAny>, v: &PyVariable) -> PyResult<Option<Scalar>> {
    match scalar_for(o, Some(v.dtype_now()))? {
        None => match (o.cast::<PyFloat>(), o.cast::<PyComplex>()) {
            (Ok(x), _) => Ok(Some(Scalar::Float(x.value()))),
            (_, Ok(z)) => Ok(Some(complex(z))),
            _ => Ok(None),
        },
        found => Ok(found),
    }
}

fn copied(v: &Variable) -> PyResult<Variable> {
    Ok(if v.is_tracked() || crate::tape::capture::is_on() { ops::positive(v)? } else { v.array().copy().into() })
}

fn unconverted(o: &Bound<'_, PyAny>, dtype: Option<DType>, copy: Option<bool>) -> PyResult<Variable> {
    let fresh = |v: Variable| if copy == Some(true) { copied(&v) } else { Ok(v) };
    if let Ok(v) = o.cast::<PyVariable>() {
        return fresh(v.get().snapshot());
    }
    if let Some(s) = scalar_for(o, dtype)? {
        no_copy(copy, "a Python number")?;
        let dtype = dtype.unwrap_or_else(|| s.dtype());
        s.check("asarray", dtype)?;
        return Ok(Array::full(&[], s, dtype).into());
    }
    if let Some(a) = numpy::as_ndarray(o) {
        return Ok(numpy::from_ndarray(a, copy)?.into());
    }
    if let Ok(x) = o.cast::<PyFloat>() {
        // np.float64 keeps its precision; other subclasses are Python floats.
        no_copy(copy, "a number")?;
        return Ok(if o.hasattr("dtype")? { Array::scalar(x.value()) } else { Array::full(&[], x.value().into(), default_float()) }.into());
    }
    if let Ok(z) = o.cast::<PyComplex>() {
        // As np.float64: np.complex128 keeps its precision.
        no_copy(copy, "a number")?;
        let s = complex(z);
        let dtype = if o.hasattr("dtype")? { DType::C128 } else { s.dtype() };
        return Ok(Array::full(&[], s, dtype).into());
    }
    if is_list(o) {
        no_copy(copy, "a nested list")?;
        return Nested::of(o, dtype)?.beside(&Beside::default());
    }
    if o.cast::<PyString>().is_ok() {
        return Err(PyTypeError::new_err(format!("a string cannot be converted to an array of numbers, got {}", describe(o))));
    }
    let (has_array, has_buffer) = (o.hasattr("__array__")?, numpy::has_buffer(o));
    if !has_array && o.hasattr("__dlpack__")? {
        return Ok(super::dlpack::import(o, copy)?.into());
    }
    if has_array || has_buffer {
        // The buffer is opened here, because NumPy ignores exceptions of its owner.
        let o = if has_array || is_text(o) { o.clone() } else { pyo3::types::PyMemoryView::from(o)?.into_any() };
        let a = o.py().import("numpy")?.call_method1("asarray", (&o,))?;
        return match numpy::as_ndarray(&a) {
            Some(a) => Ok(numpy::from_ndarray(a, copy)?.into()),
            None => Err(PyTypeError::new_err(format!("numpy.asarray gave no array for {}", o.get_type().name()?))),
        };
    }
    if let Some(items) = elements(o)? {
        return unconverted(&items, dtype, copy);
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

/// Writes numbers to the elements.
fn fill(out: &mut Array, numbers: &[Scalar]) {
    dispatch!(out.dtype(), T => {
        for (o, s) in out.data_mut::<T>().iter_mut().zip(numbers) {
            *o = T::from_scalar(*s);
        }
    });
}

/// Lists that are nested deeper are an error.
const MAX_DEPTH: usize = 32;

/// The elements of a nested list in row-major order, and its shape.
#[derive(Default)]
struct Nested {
    shape: Shape,
    /// Python's numbers.
    numbers: Vec<Scalar>,
    /// The arrays, each with the number of `numbers` before it.
    arrays: Vec<(usize, Variable)>,
    /// The requested dtype.
    dtype: Option<DType>,
}

/// The dtype of a list of Python numbers, some of dtype `a` and some of dtype `b`. Floats with ints give the default floating dtype,
/// complex numbers the default complex one. Ints beyond int64 give uint64, or a floating dtype if there are negative ints.
pub fn numbers_dtype(a: DType, b: DType) -> DType {
    if a.is_complex() || b.is_complex() {
        default_float().complex()
    } else if a.is_real_floating() || b.is_real_floating() {
        default_float()
    } else if a == DType::U64 || b == DType::U64 {
        DType::U64
    } else {
        a.promote(b)
    }
}

impl Nested {
    /// Reads a list, a tuple or a range.
    fn of(o: &Bound<'_, PyAny>, dtype: Option<DType>) -> PyResult<Self> {
        let mut found = Self { dtype, ..Self::default() };
        found.visit(o, 0, &mut Vec::new())?;
        Ok(found)
    }

    /// The requested dtype; else the dtype of the arrays, to which numbers adapt; else that of the numbers. A floating dtype is at least as
    /// wide as the other arrays of the call, so that numbers lose no digits.
    fn dtype(&self, beside: &Beside) -> DType {
        if let Some(dtype) = self.dtype {
            return dtype;
        }
        let strong = self.arrays.iter().map(|(_, v)| v.dtype()).reduce(DType::promote);
        let inferred = match strong {
            Some(strong) => self.numbers.iter().fold(strong, |d, v| v.promote(d)),
            None => self.numbers.iter().map(|s| s.dtype()).reduce(numbers_dtype).unwrap_or_else(default_float),
        };
        match beside.float {
            // A list of numbers takes the dtype of the other arrays; a list with arrays is at least as wide as they are.
            Some(float) if strong.is_none() && inferred.is_real_floating() => float,
            Some(float) if strong.is_none() && inferred.is_complex() => float.complex(),
            Some(float) if inferred.is_inexact() => inferred.promote(float),
            _ => inferred,
        }
    }

    /// The array.
    fn beside(&self, beside: &Beside) -> PyResult<Variable> {
        let dtype = self.dtype(beside);
        self.numbers.iter().try_for_each(|s| s.check("asarray", dtype))?;
        if self.arrays.is_empty() {
            let mut out = Array::empty(&self.shape, dtype);
            fill(&mut out, &self.numbers);
            return Ok(out.into());
        }
        let arrays = alloc_check::try_collect(self.arrays.iter().map(|(_, v)| ops::stored_as("asarray", v, dtype)))?;
        let first = arrays[0].shape();
        let alike = arrays.iter().all(|v| v.shape() == first) && (self.numbers.is_empty() || first.is_empty());
        let parts = self.parts(&arrays, dtype, alike)?;
        let joined = if alike { ops::stack(&parts, 0)? } else { ops::concat(&parts, Some(0))? };
        let shape: Vec<isize> = self.shape.iter().map(|n| n.cast_signed()).collect();
        Ok(if joined.shape() == &self.shape[..] { joined } else { ops::reshape(&joined, &shape)? })
    }

    /// All elements in order: arrays and numbers separately, to be stacked; or everything flattened, to be joined.
    fn parts(&self, arrays: &[Variable], dtype: DType, alike: bool) -> PyResult<Vec<Variable>> {
        let (mut parts, mut done) = (alloc_check::with_capacity(arrays.len()), 0);
        let numbers = |from: usize, to: usize, parts: &mut Vec<Variable>| {
            let numbers = &self.numbers[from..to];
            if alike {
                for s in numbers {
                    alloc_check::push(parts, Array::full(&[], *s, dtype).into());
                }
            } else if !numbers.is_empty() {
                let mut run = Array::empty(&[numbers.len()], dtype);
                fill(&mut run, numbers);
                alloc_check::push(parts, run.into());
            }
        };
        for ((at, _), v) in self.arrays.iter().zip(arrays) {
            numbers(done, *at, &mut parts);
            alloc_check::push(&mut parts, if alike { v.clone() } else { ops::flatten(v)? });
            done = *at;
        }
        numbers(done, self.numbers.len(), &mut parts);
        Ok(parts)
    }

    /// Adds the element at `path`. The first visit of a depth determines its size.
    fn visit(&mut self, o: &Bound<'_, PyAny>, depth: usize, path: &mut Vec<usize>) -> PyResult<()> {
        if let Some(s) = scalar_for(o, self.dtype)? {
            alloc_check::push(&mut self.numbers, s);
            return self.expect_leaf(depth, path);
        }
        if let Ok(items) = o.cast::<PyList>() {
            return self.visit_all(items.iter().map(Ok), items.len(), depth, path);
        }
        if let Ok(items) = o.cast::<PyTuple>() {
            return self.visit_all(items.iter().map(Ok), items.len(), depth, path);
        }
        if let Ok(items) = o.cast::<PyRange>() {
            // Unlike a list a range holds no memory, whatever its length.
            let n = items.len()?;
            alloc_check::check_memory("", &[n], DType::I64)?;
            return self.visit_all(items.try_iter()?, n, depth, path);
        }
        if is_text(o) || !(o.cast::<PyVariable>().is_ok() || is_array_like(o)?) {
            if let Some(items) = elements(o)? {
                return self.visit_all(items.iter().map(Ok), items.len(), depth, path);
            }
            return Err(PyTypeError::new_err(format!(
                "cannot make an array: the element at {path:?} is {}, expected numbers or nested lists of them",
                describe(o)
            )));
        }
        let v = unconverted(o, None, None)?;
        for (k, &n) in v.shape().iter().enumerate() {
            self.expect_size(depth + k, n, path)?;
        }
        let ndim = v.ndim();
        alloc_check::push(&mut self.arrays, (self.numbers.len(), v));
        self.expect_leaf(depth + ndim, path)
    }

    fn visit_all<'py>(
        &mut self,
        items: impl Iterator<Item = PyResult<Bound<'py, PyAny>>>,
        n: usize,
        depth: usize,
        path: &mut Vec<usize>,
    ) -> PyResult<()> {
        if depth > MAX_DEPTH {
            return Err(PyValueError::new_err(format!("cannot make an array: lists are nested deeper than {MAX_DEPTH}")));
        }
        self.expect_size(depth, n, path)?;
        for (i, item) in items.enumerate() {
            path.push(i);
            self.visit(&item?, depth + 1, path)?;
            path.pop();
        }
        Ok(())
    }

    fn expect_size(&mut self, depth: usize, n: usize, path: &[usize]) -> PyResult<()> {
        if depth == self.shape.len() && self.numbers.is_empty() && self.arrays.is_empty() {
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
