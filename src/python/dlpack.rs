//! DLPack in both directions: zero-copy exchange with other libraries.
//!
//! The structures follow the DLPack specification, version 1.0, and the unversioned form before it. Only the versioned form has a flag for
//! read-only memory. Values never change here, so a consumer of the unversioned form gets a copy.
#![allow(unsafe_code, reason = "a C protocol")]

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;

use pyo3::exceptions::{PyAttributeError, PyBufferError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};

use super::error::{DTypeError, guard};
use super::lender::{PyLender, Terms};
use crate::array::{Array, DType, Handle, Layout, Shape, Storage, Strides};
use crate::ops;

/// (device type, number) of the CPU.
pub const CPU: (i32, i32) = (1, 0);
/// The newest supported version.
const VERSION: (u32, u32) = (1, 0);
const READ_ONLY: u64 = 1;
const IS_COPIED: u64 = 2;
/// The most axes that are accepted.
const MAX_NDIM: i32 = 64;

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

/// A tensor with its deleter, in one of the two forms.
trait Managed: Sized {
    /// The name of a capsule with a tensor, and of one that was consumed.
    const NAMES: [&'static CStr; 2];
    /// A tensor that is deleted with its context.
    fn of(tensor: DlTensor, flags: u64, context: *mut c_void) -> Self;
    fn context(&self) -> *mut c_void;
}

#[repr(C)]
struct Unversioned {
    tensor: DlTensor,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Self)>,
}

impl Managed for Unversioned {
    const NAMES: [&'static CStr; 2] = [c"dltensor", c"used_dltensor"];

    fn of(tensor: DlTensor, _: u64, context: *mut c_void) -> Self {
        Self { tensor, context, deleter: Some(delete) }
    }

    fn context(&self) -> *mut c_void {
        self.context
    }
}

#[repr(C)]
struct Versioned {
    major: u32,
    minor: u32,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Self)>,
    flags: u64,
    tensor: DlTensor,
}

impl Managed for Versioned {
    const NAMES: [&'static CStr; 2] = [c"dltensor_versioned", c"used_dltensor_versioned"];

    fn of(tensor: DlTensor, flags: u64, context: *mut c_void) -> Self {
        Self { major: VERSION.0, minor: VERSION.1, context, deleter: Some(delete), flags, tensor }
    }

    fn context(&self) -> *mut c_void {
        self.context
    }
}

/// What an exported tensor keeps alive.
struct Exported {
    _storage: Handle,
    _shape: Box<[i64]>,
    _strides: Box<[i64]>,
}

unsafe extern "C" fn delete<M: Managed>(managed: *mut M) {
    // SAFETY: `managed` and its context came from `Box::into_raw` in `capsule`, and the consumer calls this once.
    unsafe {
        drop(Box::from_raw((*managed).context().cast::<Exported>()));
        drop(Box::from_raw(managed));
    }
}

unsafe extern "C" fn end_capsule<M: Managed>(capsule: *mut ffi::PyObject) {
    // SAFETY: a capsule that still has its first name was not consumed: its tensor is ours to delete.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, M::NAMES[0].as_ptr()) == 1 {
            delete::<M>(ffi::PyCapsule_GetPointer(capsule, M::NAMES[0].as_ptr()).cast());
        }
    }
}

/// The arguments of `__dlpack__`.
#[derive(Default)]
pub struct Request<'a, 'py> {
    pub stream: Option<&'a Bound<'py, PyAny>>,
    pub max_version: Option<(u32, u32)>,
    pub device: Option<(i32, i32)>,
    pub copy: Option<bool>,
}

/// `a` as a capsule, read-only unless it is a copy.
pub fn export<'py>(py: Python<'py>, a: &Array, request: &Request<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    if request.stream.is_some() {
        return Err(PyBufferError::new_err("__dlpack__: arrays in main memory have no stream, pass None"));
    }
    if let Some(device) = request.device.filter(|d| *d != CPU) {
        return Err(PyBufferError::new_err(format!("__dlpack__: device {device:?} was asked for, only the CPU {CPU:?} is supported")));
    }
    let versioned = request.max_version.is_some_and(|v| v.0 >= VERSION.0);
    if request.copy == Some(false) && !versioned {
        return Err(PyBufferError::new_err(
            "__dlpack__(copy=False): the memory is read-only, which DLPack before version 1.0 cannot say; pass max_version=(1, 0), or let it copy",
        ));
    }
    let copied = request.copy == Some(true) || !versioned;
    let a = if copied { guard("__dlpack__", || Ok(a.copy()))? } else { a.clone() };
    let flags = if copied { IS_COPIED } else { READ_ONLY };
    if versioned { capsule::<Versioned>(py, &a, flags) } else { capsule::<Unversioned>(py, &a, flags) }
}

#[allow(clippy::cast_possible_wrap, reason = "sizes of memory fit into i64")]
fn capsule<'py, M: Managed>(py: Python<'py>, a: &Array, flags: u64) -> PyResult<Bound<'py, PyAny>> {
    let mut shape: Box<[i64]> = a.shape().iter().map(|&n| n as i64).collect();
    let mut strides: Box<[i64]> = a.layout().strides().iter().map(|&s| s as i64).collect();
    let (code, bits) = match a.dtype() {
        DType::Bool => (6, 8),
        DType::I8 => (0, 8),
        DType::I16 => (0, 16),
        DType::I32 => (0, 32),
        DType::I64 => (0, 64),
        DType::U8 => (1, 8),
        DType::U16 => (1, 16),
        DType::U32 => (1, 32),
        DType::U64 => (1, 64),
        DType::F16 => (2, 16),
        DType::BF16 => (4, 16),
        DType::F32 => (2, 32),
        DType::F64 => (2, 64),
        DType::C64 => (5, 64),
        DType::C128 => (5, 128),
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
    let managed = Box::into_raw(Box::new(M::of(tensor, flags, context)));
    // SAFETY: the pointer is not null, the name is static, and `end_capsule` frees the tensor unless it was consumed.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyCapsule_New(managed.cast(), M::NAMES[0].as_ptr(), Some(end_capsule::<M>))) }
}

/// Another library's tensor as a Python object. Its reference count controls its life, so its deleter runs with the GIL held.
#[pyclass(frozen, name = "_Tensor", module = "tapegrad")]
struct Owner(Tensor);

/// Another library's tensor that lends its memory.
enum Tensor {
    Unversioned(Consumed<Unversioned>),
    Versioned(Consumed<Versioned>),
}

/// A tensor that was taken out of its capsule.
struct Consumed<M>(NonNull<M>);

// SAFETY: a DLPack tensor may be deleted on any thread; its memory is only read.
unsafe impl<M> Send for Consumed<M> {}
// SAFETY: as above.
unsafe impl<M> Sync for Consumed<M> {}

impl<M: Managed> Consumed<M> {
    /// Takes the tensor out of `capsule`, if it holds one of this form that was not consumed.
    fn of(capsule: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let [name, used] = M::NAMES.map(CStr::as_ptr);
        // SAFETY: `capsule` is a live object. A capsule of that name holds an `M` by the protocol; renaming it makes us its owner.
        unsafe {
            if ffi::PyCapsule_IsValid(capsule.as_ptr(), name) == 0 {
                return Ok(None);
            }
            let p = NonNull::new(ffi::PyCapsule_GetPointer(capsule.as_ptr(), name).cast::<M>());
            if ffi::PyCapsule_SetName(capsule.as_ptr(), used) != 0 {
                return Err(PyErr::fetch(capsule.py()));
            }
            Ok(p.map(Self))
        }
    }
}

impl Tensor {
    fn of(capsule: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Some(t) = Consumed::of(capsule)? {
            return Ok(Self::Versioned(t));
        }
        if let Some(t) = Consumed::of(capsule)? {
            return Ok(Self::Unversioned(t));
        }
        let got = match capsule.cast::<PyCapsule>() {
            Ok(_) => "a capsule without a DLPack tensor, or one that was consumed before".to_owned(),
            Err(_) => format!("an object of type {}", capsule.get_type().name()?),
        };
        Err(PyBufferError::new_err(format!(
            "from_dlpack: __dlpack__ returned {got}, expected a capsule named \"dltensor\" or \"dltensor_versioned\""
        )))
    }

    /// The tensor, and its flags.
    fn parts(&self) -> PyResult<(&DlTensor, u64)> {
        match self {
            // SAFETY: a consumed tensor is alive until its deleter runs, which `drop` calls.
            Self::Unversioned(t) => Ok((unsafe { &t.0.as_ref().tensor }, 0)),
            Self::Versioned(t) => {
                // SAFETY: as above; the version comes first in every version of the structure.
                let (major, minor) = unsafe { ((*t.0.as_ptr()).major, (*t.0.as_ptr()).minor) };
                if major != VERSION.0 {
                    return Err(PyBufferError::new_err(format!(
                        "from_dlpack: DLPack version {major}.{minor} is not supported, expected {}.x",
                        VERSION.0
                    )));
                }
                // SAFETY: as above; minor versions do not change the layout.
                let t = unsafe { t.0.as_ref() };
                Ok((&t.tensor, t.flags))
            }
        }
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        // SAFETY: we consumed the tensor, so its deleter is ours to call, once. Its place is the same in every version.
        unsafe {
            match self {
                Self::Unversioned(t) => (*t.0.as_ptr()).deleter.map_or((), |f| f(t.0.as_ptr())),
                Self::Versioned(t) => (*t.0.as_ptr()).deleter.map_or((), |f| f(t.0.as_ptr())),
            }
        }
    }
}

/// An array over the memory of an object with `__dlpack__`: shared, unless it holds bools or `copy` is true.
pub fn import(o: &Bound<'_, PyAny>, copy: Option<bool>) -> PyResult<Array> {
    if !o.hasattr("__dlpack__")? {
        return Err(PyTypeError::new_err(format!("from_dlpack: {} has no __dlpack__ method", o.get_type().name()?)));
    }
    match o.call_method0("__dlpack_device__") {
        Ok(device) => check_device(device.get_item(0)?.extract::<i64>()?)?,
        Err(e) if e.is_instance_of::<PyAttributeError>(o.py()) => {} // the capsule contains the device, too
        Err(e) => return Err(e),
    }
    let options = PyDict::new(o.py());
    options.set_item("max_version", VERSION)?;
    let capsule = match o.call_method("__dlpack__", (), Some(&options)) {
        Err(e) if e.is_instance_of::<PyTypeError>(o.py()) => o.call_method0("__dlpack__")?, // a producer from before version 1.0
        other => other?,
    };
    let tensor = Bound::new(o.py(), Owner(Tensor::of(&capsule)?))?;
    guard("from_dlpack", || adopt(&tensor, copy))
}

fn check_device(kind: i64) -> PyResult<()> {
    if kind == i64::from(CPU.0) {
        return Ok(());
    }
    Err(PyBufferError::new_err(format!(
        "from_dlpack: the tensor is on a device of type {kind}; only main memory (CPU, type 1) can be shared, copy it there first"
    )))
}

/// The dtype of a tensor's elements; bools are read as bytes.
fn dtype_of(t: &DlTensor) -> PyResult<DType> {
    Ok(match (t.code, t.bits, t.lanes) {
        (0, 8, 1) => DType::I8,
        (0, 16, 1) => DType::I16,
        (0, 32, 1) => DType::I32,
        (0, 64, 1) => DType::I64,
        (1 | 6, 8, 1) => DType::U8,
        (1, 16, 1) => DType::U16,
        (1, 32, 1) => DType::U32,
        (1, 64, 1) => DType::U64,
        (2, 16, 1) => DType::F16,
        (4, 16, 1) => DType::BF16,
        (2, 32, 1) => DType::F32,
        (2, 64, 1) => DType::F64,
        (5, 64, 1) => DType::C64,
        (5, 128, 1) => DType::C128,
        (code, bits, lanes) => {
            return Err(DTypeError::new_err(format!("from_dlpack: elements of type code {code}, {bits} bits, {lanes} lanes are not supported")));
        }
    })
}

/// Sizes and strides of a tensor, and the range of elements that they reach, relative to the first element.
struct Extent {
    shape: Shape,
    strides: Strides,
    low: isize,
    high: isize,
}

impl Extent {
    fn of(t: &DlTensor, item: usize) -> PyResult<Self> {
        let wrong = |what: String| PyBufferError::new_err(format!("from_dlpack: {what}"));
        let ndim = usize::try_from(t.ndim).ok().filter(|_| t.ndim <= MAX_NDIM);
        let ndim = ndim.ok_or_else(|| wrong(format!("a tensor of {} axes, expected 0 to {MAX_NDIM}", t.ndim)))?;
        if ndim > 0 && t.shape.is_null() {
            return Err(wrong(format!("a tensor of {ndim} axes without a shape")));
        }
        // SAFETY: shape has `ndim` entries by the protocol; strides has as many, or is null for a row-major tensor.
        let at = |p: *mut i64, i: usize| unsafe { p.add(i).read() };
        let shape: Shape = (0..ndim)
            .map(|i| usize::try_from(at(t.shape, i)).map_err(|_| wrong(format!("axis {i} has the size {}", at(t.shape, i)))))
            .collect::<PyResult<_>>()?;
        let most = isize::MAX.cast_unsigned() / 2 / item;
        let too_large = || wrong(format!("a tensor of shape {:?} is larger than any memory", &shape[..]));
        if shape.iter().try_fold(1_usize, |all, &n| all.checked_mul(n.max(1))).is_none_or(|all| all > most) {
            return Err(too_large());
        }
        let strides: Strides = if t.strides.is_null() {
            Strides::from_slice(Layout::contiguous(&shape).strides())
        } else {
            (0..ndim).map(|i| isize::try_from(at(t.strides, i)).map_err(|_| too_large())).collect::<PyResult<_>>()?
        };
        let (mut low, mut high) = (0_isize, 0_isize);
        for (&n, &s) in shape.iter().zip(&strides) {
            let reach = (n.max(1) - 1).cast_signed().checked_mul(s).ok_or_else(too_large)?;
            let end = if reach < 0 { &mut low } else { &mut high };
            *end = end.checked_add(reach).filter(|e| e.unsigned_abs() < most / 2).ok_or_else(too_large)?;
        }
        Ok(Self { shape, strides, low, high: high + 1 })
    }
}

fn adopt(tensor: &Bound<'_, Owner>, copy: Option<bool>) -> PyResult<Array> {
    let (t, flags) = tensor.get().0.parts()?;
    check_device(i64::from(t.device_type))?;
    let dtype = dtype_of(t)?;
    let is_bool = t.code == 6;
    if is_bool && copy == Some(false) {
        return Err(PyValueError::new_err("from_dlpack(copy=False): bools are checked in a copy, so they cannot be shared"));
    }
    let Extent { shape, strides, low, high } = Extent::of(t, dtype.size())?;
    if shape.contains(&0) {
        return Ok(Array::empty(&shape, if is_bool { DType::Bool } else { dtype }));
    }
    let first = t.data.cast::<u8>().wrapping_add(usize::try_from(t.byte_offset).unwrap_or(usize::MAX));
    let start = first.wrapping_offset(low * dtype.size().cast_signed());
    let aligned = !t.data.is_null() && (start as usize).is_multiple_of(dtype.size().min(8));
    let Some(start) = NonNull::new(start).filter(|_| aligned) else {
        return Err(PyBufferError::new_err("from_dlpack: the tensor's memory is missing or not aligned to its elements"));
    };
    let layout = Layout::strided(&shape, &strides, low.unsigned_abs());
    let all = [(high - low).unsigned_abs()];
    let whole: &[usize] = if layout.is_contiguous() { &shape } else { &all };
    let terms = match copy {
        _ if flags & IS_COPIED != 0 => Terms::Constant,
        Some(false) => Terms::Promised,
        _ => Terms::Shared,
    };
    let lender = PyLender::boxed(tensor.clone().into_any(), terms);
    // SAFETY: aligned, initialised elements from `start` by shape and strides, alive while the lender holds the tensor. What
    // reads them holds the GIL (see `operators::run`).
    let storage = unsafe { Storage::lent(start, whole, dtype, lender) };
    let array = Array::from_storage(Handle::of(storage), layout);
    if is_bool {
        return Ok(ops::astype(&array.into(), DType::Bool)?.into_array());
    }
    Ok(if copy == Some(true) { array.copy() } else { array })
}
