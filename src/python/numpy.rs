//! NumPy arrays in and out, without copies if possible. NumPy is imported only when it is needed.
#![allow(unsafe_code, reason = "NumPy's C interface")]

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use numpy::npyffi::{self, NPY_ARRAY_ALIGNED, NPY_TYPES, NpyTypes, npy_intp};
use numpy::{PY_ARRAY_API, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::error::DTypeError;
use super::lender::{PyLender, Terms};
use super::variable::PyVariable;
use crate::array::{Array, DType, Handle, Layout, Storage};

/// Whether NumPy is imported. The crate's own type test would import it.
fn numpy_loaded(py: Python<'_>) -> bool {
    static LOADED: AtomicBool = AtomicBool::new(false);
    LOADED.load(Ordering::Relaxed) || {
        let name = pyo3::intern!(py, "numpy");
        // SAFETY: `name` is a str; the result is a new reference or null.
        let found = unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyImport_GetModule(name.as_ptr())) };
        let loaded = found.is_some();
        if !loaded {
            drop(PyErr::take(py));
        }
        LOADED.store(loaded, Ordering::Relaxed);
        loaded
    }
}

/// `o` as an ndarray, if it is one. This never imports NumPy: if it is not imported, no array exists.
pub fn as_ndarray<'a, 'py>(o: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, PyUntypedArray>> {
    if numpy_loaded(o.py()) { o.cast::<PyUntypedArray>().ok() } else { None }
}

/// Whether `o` has the buffer protocol.
pub fn has_buffer(o: &Bound<'_, PyAny>) -> bool {
    // SAFETY: looks at the type of a live object.
    unsafe { ffi::PyObject_CheckBuffer(o.as_ptr()) == 1 }
}

/// Our dtype for a NumPy array, and whether its memory can be used directly.
pub fn dtype_of(a: &Bound<'_, PyUntypedArray>) -> PyResult<(DType, bool)> {
    let descr = a.dtype();
    let native = descr.is_native_byteorder().unwrap_or(true);
    let dtype = match (descr.kind(), descr.itemsize()) {
        (b'f', 2) => DType::F16,
        (b'V', 2) if descr.getattr("name").is_ok_and(|name| name.eq("bfloat16").unwrap_or(false)) => DType::BF16,
        (b'f', 4) => DType::F32,
        (b'f', 8) => DType::F64,
        (b'c', 8) => DType::C64,
        (b'c', 16) => DType::C128,
        (b'b', 1) => DType::Bool,
        (b'i', 1) => DType::I8,
        (b'i', 2) => DType::I16,
        (b'i', 4) => DType::I32,
        (b'i', 8) => DType::I64,
        (b'u', 1) => DType::U8,
        (b'u', 2) => DType::U16,
        (b'u', 4) => DType::U32,
        (b'u', 8) => DType::U64,
        (b'O', _) => {
            return Err(DTypeError::new_err(
                "an array of Python objects cannot be converted: give it a numeric dtype, as in np.asarray(a, dtype=np.float64)",
            ));
        }
        _ => {
            let all: Vec<&str> = DType::ALL.iter().map(|d| d.name()).collect();
            return Err(DTypeError::new_err(format!(
                "NumPy dtype {descr} is not supported; supported are {}. Convert it with astype()",
                all.join(", ")
            )));
        }
    };
    Ok((dtype, native))
}

/// Raises for a masked array with masked elements: they would become data.
#[cold]
fn refuse_masked(a: &Bound<'_, PyUntypedArray>) -> PyResult<()> {
    if a.hasattr("mask")? && a.hasattr("fill_value")? && a.getattr("mask")?.call_method0("any")?.is_truthy()? {
        return Err(DTypeError::new_err(
            "a masked array hides elements, which would become data; pass a.filled(value), and use a.mask with tg.where or the where= of reductions",
        ));
    }
    Ok(())
}

/// Converts a NumPy array. Its memory is shared if it is contiguous, aligned and in native byte order; else it is copied, and so are bools.
/// `copy` true always copies. `copy` false fails if a copy is needed, and promises that the array is not written while the tape needs it.
pub fn from_ndarray(a: &Bound<'_, PyUntypedArray>, copy: Option<bool>) -> PyResult<Array> {
    if !a.is_exact_instance_of::<PyUntypedArray>() {
        refuse_masked(a)?;
    }
    let (dtype, native) = dtype_of(a)?;
    if dtype == DType::BF16 {
        if copy == Some(false) {
            return Err(PyValueError::new_err("asarray(copy=False): an array of bfloat16 cannot be shared without a copy"));
        }
        let bits = a.call_method1("view", ("uint16",))?;
        return Ok(from_ndarray(bits.cast::<PyUntypedArray>()?, Some(true))?.turned_into(dtype));
    }
    let p = a.as_array_ptr();
    // SAFETY: `a` is an ndarray, so its C struct may be read while the interpreter is attached.
    let (flags, data) = unsafe { ((*p).fields.flags, (*p).fields.data) };
    let shareable = native && flags & NPY_ARRAY_ALIGNED != 0 && a.is_c_contiguous() && (data as usize).is_multiple_of(dtype.size().min(8));
    if copy == Some(false) && (!shareable || dtype == DType::Bool) {
        let why = if shareable { "holds bools, which are checked in a copy" } else { "is not contiguous, aligned and of native byte order" };
        return Err(PyValueError::new_err(format!("asarray(copy=False): this NumPy array {why}, so it cannot be shared without a copy")));
    }
    if !shareable {
        let numpy = a.py().import("numpy")?;
        // A new array is contiguous, native and aligned, even if the old one was not.
        let options = PyDict::new(a.py());
        options.set_item("dtype", dtype.name())?;
        options.set_item("order", "C")?;
        options.set_item("copy", true)?;
        let plain = numpy.call_method("array", (a,), Some(&options))?;
        return from_ndarray(plain.cast::<PyUntypedArray>()?, None);
    }
    let Some(start) = NonNull::new(data.cast::<u8>()).filter(|_| !a.is_empty()) else {
        return Ok(Array::empty(a.shape(), dtype));
    };
    if dtype == DType::Bool {
        return Ok(Array::build(a.shape(), |out: &mut [bool]| {
            for (i, o) in out.iter_mut().enumerate() {
                // SAFETY: contiguous memory of as many bytes, read one by one: any value is a valid u8, and none but 0 is false.
                *o = unsafe { start.add(i).read() } != 0;
            }
        }));
    }
    let lender = PyLender::boxed(a.clone().into_any(), if copy == Some(false) { Terms::Promised } else { Terms::Shared });
    // SAFETY: aligned, contiguous, `len` initialised elements; the lender keeps the ndarray and so its memory alive (an
    // ndarray refuses to be resized while it is referenced). What reads it holds the GIL (see `operators::run`).
    let storage = unsafe { Storage::lent(start, a.shape(), dtype, lender) };
    let array = Array::from_storage(Handle::of(storage), Layout::contiguous(a.shape()));
    Ok(if copy == Some(true) { array.copy() } else { array })
}

/// Keeps our storage alive under a NumPy array.
#[pyclass(frozen, name = "_Buffer", module = "tapegrad")]
pub struct Buffer(Handle);

impl Buffer {
    /// Whether the memory is never written: pool memory is copied before a write as long as this refers to it.
    pub fn is_constant(&self) -> bool {
        self.0.is_pooled()
    }
}

fn type_number(dtype: DType) -> NPY_TYPES {
    match dtype {
        DType::Bool => NPY_TYPES::NPY_BOOL,
        DType::I8 => NPY_TYPES::NPY_BYTE,
        DType::I16 => NPY_TYPES::NPY_SHORT,
        DType::I32 => NPY_TYPES::NPY_INT,
        DType::I64 if size_of::<std::ffi::c_long>() == 8 => NPY_TYPES::NPY_LONG,
        DType::I64 => NPY_TYPES::NPY_LONGLONG,
        DType::U8 => NPY_TYPES::NPY_UBYTE,
        // NumPy has no bfloat16: the bits.
        DType::U16 | DType::BF16 => NPY_TYPES::NPY_USHORT,
        DType::U32 => NPY_TYPES::NPY_UINT,
        DType::U64 if size_of::<std::ffi::c_long>() == 8 => NPY_TYPES::NPY_ULONG,
        DType::U64 => NPY_TYPES::NPY_ULONGLONG,
        DType::F16 => NPY_TYPES::NPY_HALF,
        DType::F32 => NPY_TYPES::NPY_FLOAT,
        DType::F64 => NPY_TYPES::NPY_DOUBLE,
        DType::C64 => NPY_TYPES::NPY_CFLOAT,
        DType::C128 => NPY_TYPES::NPY_CDOUBLE,
    }
}

/// A read-only NumPy array over the memory of `a`, which it keeps alive. NumPy only supports bfloat16 through the package `ml_dtypes`.
pub fn to_ndarray<'py>(py: Python<'py>, a: &Array) -> PyResult<Bound<'py, PyAny>> {
    let memory = memory_of(py, a)?;
    if a.dtype() == DType::BF16 { memory.call_method1("view", (bfloat16(py)?,)) } else { Ok(memory) }
}

/// NumPy's dtype for bfloat16 from the package `ml_dtypes`.
pub fn bfloat16(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let Ok(package) = py.import("ml_dtypes") else {
        return Err(DTypeError::new_err(
            "NumPy has no bfloat16: convert the array first, as in x.float().numpy(), or install the package ml_dtypes, which adds it",
        ));
    };
    py.import("numpy")?.getattr("dtype")?.call1((package.getattr("bfloat16")?,))
}

/// [`to_ndarray`]; for bfloat16 its bits, as uint16.
#[allow(clippy::cast_possible_wrap, clippy::cast_possible_truncation, reason = "sizes fit, memory is addressable")]
pub fn memory_of<'py>(py: Python<'py>, a: &Array) -> PyResult<Bound<'py, PyAny>> {
    if a.ndim() > 32 {
        return Err(PyValueError::new_err("numpy: arrays of more than 32 dimensions cannot be shared"));
    }
    let size = a.dtype().size() as npy_intp;
    let mut dims: [npy_intp; 32] = [0; 32];
    let mut strides: [npy_intp; 32] = [0; 32];
    for (i, (&n, &s)) in a.shape().iter().zip(a.layout().strides()).enumerate() {
        dims[i] = n as npy_intp;
        strides[i] = s * size;
    }
    let offset = if a.size() == 0 { 0 } else { a.layout().offset() * a.dtype().size() };
    let owner = Bound::new(py, Buffer(a.storage().clone()))?;
    // SAFETY: the offset is inside the storage; type, shape and byte strides describe memory that `owner` keeps alive.
    // Flags 0: not writeable; NumPy computes the others. DescrFromType gives a new reference that NewFromDescr steals.
    unsafe {
        let descr = PY_ARRAY_API.PyArray_DescrFromType(py, type_number(a.dtype()) as c_int);
        let class = npyffi::get_type_object(py, NpyTypes::PyArray_Type);
        let start = a.storage().as_ptr().add(offset).cast_mut().cast::<c_void>();
        let (dims, strides) = (dims.as_mut_ptr(), strides.as_mut_ptr());
        let array = PY_ARRAY_API.PyArray_NewFromDescr(py, class, descr, a.ndim() as c_int, dims, strides, start, 0, std::ptr::null_mut());
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        // Steals the reference to `owner`, also if it fails.
        if PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), owner.into_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(array)
    }
}

#[pymethods]
impl PyVariable {
    /// The elements as a read-only buffer: `memoryview(x)`, `bytes(x)`, hashes and writes of x to files need no copy where its layout allows.
    /// The buffer is that of a NumPy array, which it keeps alive and which releases it.
    // SAFETY: only the interpreter calls it, with a buffer that it asks to be filled.
    #[allow(clippy::needless_pass_by_value, reason = "the signature of the protocol")]
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        slf.get().check_leaves("the buffer protocol (memoryview)")?;
        if flags & ffi::PyBUF_WRITABLE != 0 {
            return Err(PyBufferError::new_err(
                "the memory of a Variable is lent read-only; let the other side write into x.numpy(copy=True), and make a Variable of that",
            ));
        }
        let array = to_ndarray(slf.py(), slf.get().readable("memoryview")?.array())?;
        // SAFETY: the interpreter's buffer, to be filled; NumPy makes its own array the owner of what it fills in.
        if unsafe { ffi::PyObject_GetBuffer(array.as_ptr(), view, flags) } < 0 { Err(PyErr::fetch(slf.py())) } else { Ok(()) }
    }
}
