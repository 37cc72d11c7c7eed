//! DLPack, both ways: zero-copy exchange with any library that speaks it.
//! Structures as in the DLPack specification, version 1.0 (unversioned form).
#![allow(unsafe_code, reason = "a C protocol")]

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;

use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::error::{DTypeError, guard};
use crate::array::{Array, DType, Handle, Layout, Lender, Shape, Storage, Strides};

/// (device type, number) of main memory.
pub const CPU: (i32, i32) = (1, 0);
const NAME: &CStr = c"dltensor";
const USED: &CStr = c"used_dltensor";

#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    device_type: i32,
    device_id: i32,
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

#[repr(C)]
struct Managed {
    tensor: DlTensor,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Managed)>,
}

/// What an exported tensor points into.
struct Exported {
    _storage: Handle,
    _shape: Box<[i64]>,
    _strides: Box<[i64]>,
}

unsafe extern "C" fn delete(managed: *mut Managed) {
    // SAFETY: `managed` and its context came from `Box::into_raw` in `export`, and the consumer calls this once.
    unsafe {
        drop(Box::from_raw((*managed).context.cast::<Exported>()));
        drop(Box::from_raw(managed));
    }
}

unsafe extern "C" fn end_capsule(capsule: *mut ffi::PyObject) {
    // SAFETY: a capsule that still has its first name was not consumed: its tensor is ours to delete.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, NAME.as_ptr()) == 1 {
            delete(ffi::PyCapsule_GetPointer(capsule, NAME.as_ptr()).cast());
        }
    }
}

/// `a` as a capsule. DLPack's first version has no read-only flag: consumers that write get a copy by asking for one.
#[allow(clippy::cast_possible_wrap, reason = "sizes of memory fit into i64")]
pub fn export<'py>(py: Python<'py>, a: &Array, options: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
    let mut a = a.clone();
    if let Some(o) = options {
        if o.get_item("stream")?.is_some_and(|s| !s.is_none()) {
            return Err(PyBufferError::new_err("__dlpack__: arrays in main memory have no stream, pass None"));
        }
        if o.get_item("dl_device")?.is_some_and(|d| !d.is_none() && d.extract::<(i32, i32)>().is_ok_and(|d| d != CPU)) {
            return Err(PyBufferError::new_err("__dlpack__: only the CPU is supported"));
        }
        if o.get_item("copy")?.is_some_and(|c| c.is_truthy().unwrap_or(false)) {
            a = guard("__dlpack__", || Ok(a.copy()))?;
        }
    }
    let mut shape: Box<[i64]> = a.shape().iter().map(|&n| n as i64).collect();
    let mut strides: Box<[i64]> = a.layout().strides().iter().map(|&s| s as i64).collect();
    let (code, bits) = match a.dtype() {
        DType::Bool => (6, 8),
        DType::U8 => (1, 8),
        DType::I32 => (0, 32),
        DType::I64 => (0, 64),
        DType::F32 => (2, 32),
        DType::F64 => (2, 64),
    };
    let offset = if a.size() == 0 { 0 } else { a.layout().offset() * a.dtype().size() };
    let tensor = DlTensor {
        data: a.storage().as_ptr().cast_mut().cast(),
        device_type: CPU.0,
        device_id: CPU.1,
        ndim: i32::try_from(a.ndim()).unwrap_or(i32::MAX),
        code,
        bits,
        lanes: 1,
        shape: shape.as_mut_ptr(),
        strides: strides.as_mut_ptr(),
        byte_offset: offset as u64,
    };
    let context = Box::into_raw(Box::new(Exported { _storage: a.storage().clone(), _shape: shape, _strides: strides })).cast();
    let managed = Box::into_raw(Box::new(Managed { tensor, context, deleter: Some(delete) }));
    // SAFETY: the pointer is not null, the name is static, and `end_capsule` frees the tensor unless it was consumed.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyCapsule_New(managed.cast(), NAME.as_ptr(), Some(end_capsule))) }
}

/// Another library's tensor that lends its memory.
struct DlLender(NonNull<Managed>);

// SAFETY: a DLPack tensor may be deleted on any thread; its memory is only read.
unsafe impl Send for DlLender {}
// SAFETY: as above.
unsafe impl Sync for DlLender {}

impl Lender for DlLender {
    fn lock(&self) {}
    fn unlock(&self) {}
}

impl Drop for DlLender {
    fn drop(&mut self) {
        // SAFETY: we consumed the tensor, so its deleter is ours to call, once. It may run Python code.
        Python::try_attach(|_| unsafe {
            if let Some(deleter) = (*self.0.as_ptr()).deleter {
                deleter(self.0.as_ptr());
            }
        });
    }
}

/// An array over the memory of an object with `__dlpack__`.
pub fn import(o: &Bound<'_, PyAny>) -> PyResult<Array> {
    if !o.hasattr("__dlpack__")? {
        return Err(PyTypeError::new_err(format!("from_dlpack: {} has no __dlpack__ method", o.get_type().name()?)));
    }
    if let Ok(device) = o.call_method0("__dlpack_device__")
        && device.get_item(0)?.extract::<i32>()? != CPU.0
    {
        return Err(PyBufferError::new_err("from_dlpack: only tensors in main memory (CPU) can be shared"));
    }
    let capsule = o.call_method0("__dlpack__")?;
    // SAFETY: the pointer is checked for null; a capsule of that name holds a Managed by the protocol. Renaming it
    // makes us its owner.
    let lender = unsafe {
        let p = ffi::PyCapsule_GetPointer(capsule.as_ptr(), NAME.as_ptr());
        let Some(p) = NonNull::new(p.cast::<Managed>()) else { return Err(PyErr::fetch(o.py())) };
        if ffi::PyCapsule_SetName(capsule.as_ptr(), USED.as_ptr()) != 0 {
            return Err(PyErr::fetch(o.py()));
        }
        DlLender(p)
    };
    adopt(lender)
}

fn adopt(lender: DlLender) -> PyResult<Array> {
    // SAFETY: a consumed tensor is alive until its deleter runs, and `lender` holds it.
    let t = unsafe { &(*lender.0.as_ptr()).tensor };
    let dtype = match (t.code, t.bits, t.lanes) {
        (2, 32, 1) => DType::F32,
        (2, 64, 1) => DType::F64,
        (0, 32, 1) => DType::I32,
        (0, 64, 1) => DType::I64,
        (1, 8, 1) => DType::U8,
        (6, 8, 1) => DType::Bool,
        (code, bits, lanes) => {
            return Err(DTypeError::new_err(format!("from_dlpack: elements of type code {code}, {bits} bits, {lanes} lanes are not supported")));
        }
    };
    let ndim = usize::try_from(t.ndim).unwrap_or(0);
    // SAFETY: shape has `ndim` entries by the protocol; strides has as many, or is null for a row-major tensor.
    let (shape, strides) = unsafe {
        let shape: Shape = (0..ndim).map(|i| usize::try_from(*t.shape.add(i)).unwrap_or(0)).collect();
        let strides: Option<Strides> = (!t.strides.is_null()).then(|| (0..ndim).map(|i| isize::try_from(*t.strides.add(i)).unwrap_or(0)).collect());
        (shape, strides)
    };
    let row_major = Layout::contiguous(&shape);
    let layout = strides.map_or_else(|| row_major.clone(), |s| Layout::strided(&shape, &s, 0));
    let start = t.data.cast::<u8>().wrapping_add(usize::try_from(t.byte_offset).unwrap_or(0));
    let Some((0, end)) = layout.extent() else {
        if layout.size() == 0 {
            return Ok(Array::empty(&shape, dtype));
        }
        return Err(PyBufferError::new_err("from_dlpack: tensors with negative strides cannot be shared; make it contiguous first"));
    };
    let Some(start) = NonNull::new(start).filter(|p| (p.as_ptr() as usize).is_multiple_of(dtype.size())) else {
        return Err(PyBufferError::new_err("from_dlpack: the tensor's memory is not aligned to its elements"));
    };
    // SAFETY: aligned, `end` elements from `start` by shape and strides, alive while the lender holds the tensor.
    let storage = unsafe { Storage::lent(start, &[end], dtype, Box::new(lender)) };
    let array = Array::from_storage(Handle::of(storage), layout);
    // Sharing memory that its owner can still write is what the protocol is for; bools are copied to be valid.
    Ok(if dtype == DType::Bool { array.copy() } else { array })
}
