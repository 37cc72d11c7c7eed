//! NumPy arrays in and out without copies. NumPy is imported only when an array crosses.
#![allow(unsafe_code, reason = "NumPy's C interface")]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use numpy::npyffi::{self, NPY_ARRAY_ALIGNED, NPY_ARRAY_WRITEABLE, NPY_TYPES, NpyTypes, npy_intp};
use numpy::{PY_ARRAY_API, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::error::DTypeError;
use crate::array::{Array, DType, Handle, Layout, Lender, Storage};

/// Whether NumPy is imported: the crate's own type test would import it.
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

/// `o` as an ndarray, if it is one. Never imports NumPy: before that no array can exist.
pub fn as_ndarray<'a, 'py>(o: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, PyUntypedArray>> {
    if numpy_loaded(o.py()) { o.cast::<PyUntypedArray>().ok() } else { None }
}

/// Whether `o` has the buffer protocol.
pub fn has_buffer(o: &Bound<'_, PyAny>) -> bool {
    // SAFETY: looks at the type of a live object.
    unsafe { ffi::PyObject_CheckBuffer(o.as_ptr()) == 1 }
}

/// A NumPy array that lends its memory. It may be dropped, locked and unlocked on any thread.
struct NdarrayLender(ManuallyDrop<Py<PyUntypedArray>>);

/// Arrays that the tape relies on, by address: how often, and whether they could be written before.
static LOCKED: Mutex<BTreeMap<usize, (usize, bool)>> = Mutex::new(BTreeMap::new());

impl NdarrayLender {
    /// Calls `f` with the flags of the array and of every array whose memory it shows a part of: writing to one of them
    /// writes to it.
    fn for_each(&self, f: impl Fn(&mut BTreeMap<usize, (usize, bool)>, usize, &mut c_int)) {
        Python::try_attach(|py| {
            let mut locked = LOCKED.lock();
            let mut next = Some(self.0.bind(py).clone());
            while let Some(array) = next {
                let p = array.as_array_ptr();
                // SAFETY: the C struct of a live ndarray; the interpreter is attached, and only the flags change. A base is null
                // or an object that the array keeps alive.
                next = unsafe {
                    f(&mut locked, p as usize, &mut (*p).fields.flags);
                    Bound::from_borrowed_ptr_or_opt(py, (*p).fields.base).and_then(|base| base.cast_into().ok())
                };
            }
        });
    }
}

impl Lender for NdarrayLender {
    fn lock(&self) {
        self.for_each(|locked, at, flags| {
            let (count, _) = locked.entry(at).or_insert((0, *flags & NPY_ARRAY_WRITEABLE != 0));
            *count += 1;
            *flags &= !NPY_ARRAY_WRITEABLE;
        });
    }

    fn unlock(&self) {
        self.for_each(|locked, at, flags| {
            let Entry::Occupied(mut entry) = locked.entry(at) else { return };
            entry.get_mut().0 -= 1;
            if let (0, was_writeable) = *entry.get() {
                *flags |= if was_writeable { NPY_ARRAY_WRITEABLE } else { 0 };
                entry.remove();
            }
        });
    }
}

impl Drop for NdarrayLender {
    fn drop(&mut self) {
        // SAFETY: taken once, here.
        let array = ManuallyDrop::new(unsafe { ManuallyDrop::take(&mut self.0) });
        // Attached for the decref; after the interpreter's end the reference leaks, as it must.
        Python::try_attach(|_py| drop(ManuallyDrop::into_inner(array)));
    }
}

/// Our dtype of a NumPy array, and whether its memory can be used as it is.
pub fn dtype_of(a: &Bound<'_, PyUntypedArray>) -> PyResult<(DType, bool)> {
    let descr = a.dtype();
    let native = descr.is_native_byteorder().unwrap_or(true);
    let dtype = match (descr.kind(), descr.itemsize()) {
        (b'f', 4) => DType::F32,
        (b'f', 8) => DType::F64,
        (b'b', 1) => DType::Bool,
        (b'i', 4) => DType::I32,
        (b'i', 8) => DType::I64,
        (b'u', 1) => DType::U8,
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

/// A NumPy array as ours. Its memory is shared when it is contiguous, aligned and native; else it is copied,
/// unless `copy` is false, which raises then. `copy` true always copies.
pub fn from_ndarray(a: &Bound<'_, PyUntypedArray>, copy: Option<bool>) -> PyResult<Array> {
    let (dtype, native) = dtype_of(a)?;
    let p = a.as_array_ptr();
    // SAFETY: `a` is an ndarray, so its C struct may be read while the interpreter is attached.
    let (flags, data) = unsafe { ((*p).fields.flags, (*p).fields.data) };
    let shareable = native && flags & NPY_ARRAY_ALIGNED != 0 && a.is_c_contiguous() && (data as usize).is_multiple_of(dtype.size());
    if !shareable {
        if copy == Some(false) {
            return Err(PyValueError::new_err(
                "asarray(copy=False): this NumPy array is not contiguous, aligned and of native byte order, so it cannot be shared without a copy",
            ));
        }
        let numpy = a.py().import("numpy")?;
        // A fresh array is contiguous, native and aligned, whatever was wrong with the old one.
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
        // SAFETY: contiguous memory of `len` bytes. A view may hold bytes other than 0 and 1, which no Rust bool may.
        let bytes = unsafe { std::slice::from_raw_parts(start.as_ptr(), a.len()) };
        if copy == Some(true) || bytes.iter().any(|&b| b > 1) {
            let values: Vec<bool> = bytes.iter().map(|&b| b != 0).collect();
            return Ok(Array::from_slice(&values, a.shape()));
        }
    }
    let lender = NdarrayLender(ManuallyDrop::new(a.clone().unbind()));
    // SAFETY: aligned, contiguous, `len` initialised elements; the lender keeps the ndarray and so its memory alive (an
    // ndarray refuses to be resized while it is referenced). The tape locks it against writes while it relies on it.
    let storage = unsafe { Storage::lent(start, a.shape(), dtype, Box::new(lender)) };
    let array = Array::from_storage(Handle::of(storage), Layout::contiguous(a.shape()));
    Ok(if copy == Some(true) { array.copy() } else { array })
}

/// What keeps our storage alive under a NumPy array.
#[pyclass(frozen, name = "_Buffer", module = "tapegrad")]
struct Owner(#[allow(dead_code, reason = "held, not read")] Handle);

fn type_number(dtype: DType) -> NPY_TYPES {
    match dtype {
        DType::Bool => NPY_TYPES::NPY_BOOL,
        DType::U8 => NPY_TYPES::NPY_UBYTE,
        DType::I32 => NPY_TYPES::NPY_INT,
        DType::I64 => {
            if size_of::<std::ffi::c_long>() == 8 {
                NPY_TYPES::NPY_LONG
            } else {
                NPY_TYPES::NPY_LONGLONG
            }
        }
        DType::F32 => NPY_TYPES::NPY_FLOAT,
        DType::F64 => NPY_TYPES::NPY_DOUBLE,
    }
}

/// A read-only NumPy array over the memory of `a`, which it keeps alive.
#[allow(clippy::cast_possible_wrap, clippy::cast_possible_truncation, reason = "sizes fit, memory is addressable")]
pub fn to_ndarray<'py>(py: Python<'py>, a: &Array) -> PyResult<Bound<'py, PyAny>> {
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
    let owner = Bound::new(py, Owner(a.storage().clone()))?;
    // SAFETY: the offset is inside the storage; type, shape and byte strides describe memory that `owner` keeps alive.
    // Flags 0: not writeable; NumPy computes the others. DescrFromType gives a new reference that NewFromDescr steals.
    unsafe {
        let descr = PY_ARRAY_API.PyArray_DescrFromType(py, type_number(a.dtype()) as c_int);
        let class = npyffi::get_type_object(py, NpyTypes::PyArray_Type);
        let start = a.storage().as_ptr().add(offset).cast_mut().cast::<c_void>();
        let (dims, strides) = (dims.as_mut_ptr(), strides.as_mut_ptr());
        let array = PY_ARRAY_API.PyArray_NewFromDescr(py, class, descr, a.ndim() as c_int, dims, strides, start, 0, std::ptr::null_mut());
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        // Steals the reference to `owner`, also when it fails.
        if PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), owner.into_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(array)
    }
}
