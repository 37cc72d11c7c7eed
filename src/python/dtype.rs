//! dtypes as Python objects: `tg.float32` equals `"float32"` and `np.float32`.

use pyo3::exceptions::{PyAttributeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyComplex, PyFloat, PyInt, PyString, PyTuple, PyType};

use super::convert;
use super::error::DTypeError;
use super::variable::PyVariable;
use crate::array::{DKind, DType, Scalar, default_float, set_default_float};
use crate::ops::autocast;

/// The type of an array's elements.
///
/// It equals its name and NumPy's dtype of that name.
///
/// >>> tg.float32 == "float32"
/// True
/// >>> tg.float32.itemsize
/// 4
#[pyclass(frozen, name = "DType", module = "tapegrad")]
pub struct PyDType(pub DType);

#[pymethods]
impl PyDType {
    /// NumPy's name.
    #[getter]
    fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Bytes of one element.
    #[getter]
    fn itemsize(&self) -> usize {
        self.0.size()
    }

    /// Whether it holds real floating-point numbers, also of 16 bits.
    #[getter]
    fn is_floating_point(&self) -> bool {
        self.0.is_real_floating()
    }

    /// Whether it holds complex numbers.
    #[getter]
    fn is_complex(&self) -> bool {
        self.0.is_complex()
    }

    /// Whether it holds real or complex floating-point numbers: only then can arrays of it require gradients.
    #[getter]
    fn is_inexact(&self) -> bool {
        self.0.is_inexact()
    }

    /// Whether it holds negative numbers.
    #[getter]
    fn is_signed(&self) -> bool {
        !matches!(self.0.kind(), DKind::Bool | DKind::Unsigned)
    }

    /// NumPy's letter of the kind: b, i, u, f or c.
    #[getter]
    fn kind(&self) -> char {
        kind(self.0)
    }

    /// NumPy's letter of the dtype: f for float32, d for float64 and so on.
    #[getter]
    fn char<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.0 == DType::BF16 {
            return Ok(PyString::new(py, "E").into_any());
        }
        self.dtype(py)?.getattr("char")
    }

    /// NumPy's short name, as <f4.
    #[getter]
    fn str<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.0 == DType::BF16 {
            return Ok(PyString::new(py, "<V2").into_any());
        }
        self.dtype(py)?.getattr("str")
    }

    /// NumPy's class of scalars.
    #[getter(r#type)]
    fn scalar_type<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let dtype = self.dtype(py).map_err(|e| if self.0 == DType::BF16 { PyAttributeError::new_err(e.to_string()) } else { e })?;
        dtype.getattr("type")
    }

    /// NumPy's dtype: so np.zeros(3, tg.float32) and np.finfo(x.dtype) work.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.0 == DType::BF16 {
            return super::numpy::bfloat16(py);
        }
        py.import("numpy")?.getattr("dtype")?.call1((self.0.name(),))
    }

    #[getter]
    fn __numpy_dtype__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.dtype(py)
    }

    /// The dtype of the real and imaginary parts; of a real dtype itself.
    fn to_real(&self) -> Self {
        Self(self.0.real())
    }

    /// The complex dtype with parts of this dtype.
    fn to_complex(&self) -> Self {
        Self(self.0.complex())
    }

    /// The smallest and the largest number, for integers; None otherwise.
    #[getter]
    fn _bounds(&self) -> Option<(i128, i128)> {
        self.0.bounds()
    }

    fn __repr__(&self) -> String {
        format!("tapegrad.{}", self.0)
    }

    fn __str__(&self) -> &'static str {
        self.0.name()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        extract(other).is_ok_and(|d| d == self.0)
    }

    /// A number or an array as one of this dtype, as NumPy's scalar types: `tg.float32(0.5)`.
    #[pyo3(signature = (data, /))]
    fn __call__(&self, data: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        super::variable::wrap(data.py(), super::convert::variable(data, Some(self.0), None)?)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        PyString::new(py, self.0.name()).hash()
    }

    fn __reduce__(&self, py: Python<'_>) -> (Py<PyAny>, (&'static str,)) {
        (py.get_type::<Self>().into_any().unbind(), (self.0.name(),))
    }

    #[new]
    fn new(dtype: &Bound<'_, PyAny>) -> PyResult<Self> {
        extract(dtype).map(Self)
    }
}

fn kind(dtype: DType) -> char {
    match dtype.kind() {
        DKind::Bool => 'b',
        DKind::Signed => 'i',
        DKind::Unsigned => 'u',
        DKind::Float => 'f',
        DKind::Complex => 'c',
    }
}

/// A dtype from NumPy's name, from the name of a Python type, or from NumPy's kind letter and size: `float32`, `float`, `f4`.
fn named(name: &str) -> Option<DType> {
    let name = name.trim_end_matches('_');
    let by_code = |code: &str| DType::ALL.into_iter().find(|&d| code == format!("{}{}", kind(d), d.size()));
    match name {
        "float" => Some(DType::F64),
        "int" => Some(DType::I64),
        "complex" => Some(DType::C128),
        _ => DType::from_name(name).or_else(|| by_code(name.trim_start_matches(['<', '=', '|']))),
    }
}

/// A dtype from any accepted form: `tg.float32`, `"float32"`, `np.float32`, `np.dtype(...)`, and as in NumPy `float` for float64, `int` for
/// int64, `complex` for complex128. Other strings and classes have NumPy's meaning: `"f8"`, `"double"`, `"?"`.
pub fn extract(o: &Bound<'_, PyAny>) -> PyResult<DType> {
    if let Ok(d) = o.cast::<PyDType>() {
        return Ok(d.get().0);
    }
    let py = o.py();
    if let Ok(t) = o.cast::<PyType>() {
        if t.is(py.get_type::<PyFloat>()) {
            return Ok(DType::F64);
        }
        if t.is(py.get_type::<PyInt>()) {
            return Ok(DType::I64);
        }
        if t.is(py.get_type::<PyBool>()) {
            return Ok(DType::Bool);
        }
        if t.is(py.get_type::<PyComplex>()) {
            return Ok(DType::C128);
        }
    }
    if o.cast::<PyInt>().is_ok() {
        return Err(DTypeError::new_err(format!("{} is not a dtype; the sizes of a shape go into a tuple, as in zeros((2, 3))", o.str()?)));
    }
    let name = match o.cast::<PyString>() {
        Ok(s) => s.to_string(),
        // np.dtype has `name`; np.float32 is a class whose __name__ says it.
        Err(_) => match o.getattr("name").or_else(|_| o.getattr("__name__")) {
            Ok(n) => n.to_string(),
            Err(_) => return Err(unknown(&o.repr()?.to_string())),
        },
    };
    named(&name).or_else(|| numpys(o)).ok_or_else(|| unknown(&name))
}

/// What NumPy takes a string or a class for, if it is one of our dtypes.
#[cold]
fn numpys(o: &Bound<'_, PyAny>) -> Option<DType> {
    if o.cast::<PyString>().is_err() && o.cast::<PyType>().is_err() {
        return None;
    }
    let found = o.py().import("numpy").and_then(|numpy| numpy.call_method1("dtype", (o,))).and_then(|d| d.getattr("name"));
    named(&found.ok()?.to_string())
}

fn unknown(name: &str) -> PyErr {
    let all: Vec<&str> = DType::ALL.iter().map(|d| d.name()).collect();
    DTypeError::new_err(format!("dtype {name} is not supported; supported are {}", all.join(", ")))
}

/// The Python object of a dtype. There is one per dtype, so `x.dtype is tg.float32` holds.
pub fn object(py: Python<'_>, dtype: DType) -> PyResult<Py<PyDType>> {
    static OBJECTS: PyOnceLock<Vec<(DType, Py<PyDType>)>> = PyOnceLock::new();
    let all = OBJECTS.get_or_try_init(py, || DType::ALL.iter().map(|&d| Ok::<_, PyErr>((d, Py::new(py, PyDType(d))?))).collect())?;
    match all.iter().find(|(d, _)| *d == dtype) {
        Some((_, found)) => Ok(found.clone_ref(py)),
        None => Py::new(py, PyDType(dtype)),
    }
}

/// The dtype of what is made from Python floats: float32 unless changed.
#[pyfunction]
fn get_default_dtype(py: Python<'_>) -> PyResult<Py<PyDType>> {
    object(py, default_float())
}

/// Sets the dtype of what is made from Python floats to float32 or float64.
#[pyfunction]
fn set_default_dtype(dtype: &Bound<'_, PyAny>) -> PyResult<()> {
    Ok(set_default_float(extract(dtype)?)?)
}

/// Sets the 16-bit dtype to which this thread rounds products, or None. Returns the old one.
#[pyfunction]
#[pyo3(signature = (dtype = None))]
fn _set_autocast(py: Python<'_>, dtype: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Py<PyDType>>> {
    let dtype = dtype.map(extract).transpose()?;
    if let Some(other) = dtype.filter(|d| !d.is_half()) {
        return Err(DTypeError::new_err(format!("autocast: expected float16 or bfloat16, got {other}")));
    }
    autocast::set(dtype).map(|d| object(py, d)).transpose()
}

/// The 16-bit dtype to which this thread rounds products.
#[pyfunction]
fn _get_autocast(py: Python<'_>) -> PyResult<Option<Py<PyDType>>> {
    autocast::dtype().map(|d| object(py, d)).transpose()
}

/// Raises unless `device` is None or the only device, `"cpu"`.
pub fn check_device(function: &str, device: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let Some(device) = device.filter(|d| !d.is_none()) else { return Ok(()) };
    let name = device.str()?;
    if matches!(name.to_string_lossy().to_ascii_lowercase().as_str(), "cpu" | "cpu:0" | "device('cpu')") {
        return Ok(());
    }
    Err(PyValueError::new_err(format!("{function}(): there is one device, \"cpu\", not {}", device.repr()?)))
}

/// An operand of a promotion: a dtype, or a number, which is weak.
enum Promoted {
    Strong(DType),
    Weak(Scalar),
}

fn promoted(o: &Bound<'_, PyAny>) -> PyResult<Promoted> {
    if let Ok(v) = o.cast::<PyVariable>() {
        return Ok(Promoted::Strong(v.get().dtype_now()));
    }
    if let Some(s) = convert::scalar(o)? {
        return Ok(Promoted::Weak(s));
    }
    if let Ok(dtype) = extract(o) {
        return Ok(Promoted::Strong(dtype));
    }
    match o.getattr("dtype") {
        Ok(dtype) => extract(&dtype).map(Promoted::Strong),
        Err(_) => Err(PyTypeError::new_err(format!("result_type(): expected arrays, dtypes and numbers, not {}", o.get_type().name()?))),
    }
}

/// The dtype of an operation on these arrays, dtypes and Python numbers; numbers are weak beside the others.
///
/// >>> tg.result_type(tg.int32, tg.float32)
/// tapegrad.float64
/// >>> tg.result_type(tg.float32, 1.0)
/// tapegrad.float32
#[pyfunction]
#[pyo3(signature = (*arrays_and_dtypes))]
fn result_type(arrays_and_dtypes: &Bound<'_, PyTuple>) -> PyResult<Py<PyDType>> {
    let (mut strong, mut weak): (Option<DType>, Vec<Scalar>) = (None, Vec::new());
    for o in arrays_and_dtypes {
        match promoted(&o)? {
            Promoted::Strong(d) => strong = Some(strong.map_or(d, |s| s.promote(d))),
            Promoted::Weak(s) => weak.push(s),
        }
    }
    let found = match strong {
        Some(strong) => Some(weak.iter().fold(strong, |d, s| s.promote(d))),
        None => weak.iter().map(|s| s.dtype()).reduce(convert::numbers_dtype),
    };
    let found = found.ok_or_else(|| PyValueError::new_err("result_type(): expected at least one array, dtype or number"))?;
    object(arrays_and_dtypes.py(), found)
}

/// Whether the numbers of `from_` fit into the dtype `to`, by the table of promotions.
///
/// >>> tg.can_cast(tg.int32, tg.float64), tg.can_cast(tg.float64, tg.float32)
/// (True, False)
#[pyfunction]
fn can_cast(from_: &Bound<'_, PyAny>, to: &Bound<'_, PyAny>) -> PyResult<bool> {
    let to = extract(to)?;
    Ok(match promoted(from_)? {
        Promoted::Strong(from) => from.promote(to) == to,
        Promoted::Weak(s) => s.promote(to) == to,
    })
}

/// Adds dtypes to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyDType>()?;
    for d in DType::ALL {
        m.add(d.name(), object(m.py(), d)?)?;
    }
    m.add_function(wrap_pyfunction!(_set_autocast, m)?)?;
    m.add_function(wrap_pyfunction!(_get_autocast, m)?)?;
    m.add_function(wrap_pyfunction!(result_type, m)?)?;
    m.add_function(wrap_pyfunction!(can_cast, m)?)?;
    m.add_function(wrap_pyfunction!(get_default_dtype, m)?)?;
    m.add_function(wrap_pyfunction!(set_default_dtype, m)?)
}
