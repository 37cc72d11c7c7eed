//! Memory that Python objects lend to arrays, and how the tape may save it.
#![allow(unsafe_code, reason = "NumPy's C interface")]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use numpy::npyffi::{NPY_ARRAY_OWNDATA, NPY_ARRAY_WRITEABLE, PyArrayObject};
use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use parking_lot::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;

use super::gc::Scope;
use super::numpy::Buffer;
use super::release::Held;
use crate::array::{Keep, Lender};

/// What the owner of lent memory may do with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Terms {
    /// It may write at any time: the tape copies what it saves, unless nothing else refers to the memory.
    Shared,
    /// It does not write while the tape needs the contents: the user passed `copy=False`.
    Promised,
    /// It never writes.
    Constant,
}

/// A Python object that lends its memory. Dropping it never waits for the GIL, and runs no code of the object: see `release.rs`.
pub struct PyLender {
    owner: Held<PyAny>,
    terms: Terms,
}

impl PyLender {
    /// A lender for the memory of `owner` on these terms.
    pub fn boxed(owner: Bound<'_, PyAny>, terms: Terms) -> Box<dyn Lender> {
        Box::new(Self { owner: Held::new(owner.unbind()), terms })
    }
}

impl Lender for PyLender {
    fn keep(&self) -> Keep {
        match self.terms {
            Terms::Constant => Keep::InPlace,
            Terms::Shared => match Python::try_attach(|py| is_only_ours(self.owner.bind(py))) {
                Some(true) => Keep::InPlace,
                _ => Keep::Copy,
            },
            Terms::Promised => {
                let held = Python::try_attach(|py| {
                    let _scope = Scope::attached();
                    Py::new(py, ReadOnly::new(self.owner.bind(py))).ok()
                });
                held.flatten().map_or(Keep::Copy, |held| Keep::Promised(Box::new(Self { owner: Held::new(held.into_any()), terms: Terms::Constant })))
            }
        }
    }
}

/// Whether only we can reach the memory: each array in the chain of bases has one reference, and the last one owns the memory.
fn is_only_ours(owner: &Bound<'_, PyAny>) -> bool {
    let py = owner.py();
    let mut next = owner.as_ptr();
    loop {
        // SAFETY: `next` is the owner or an object that the array before it keeps alive; the thread is attached.
        let (object, count) = unsafe { (Borrowed::from_ptr(py, next), ffi::Py_REFCNT(next)) };
        if count != 1 {
            return false;
        }
        let Ok(array) = object.cast::<PyUntypedArray>() else {
            return object.cast::<Buffer>().is_ok_and(|buffer| buffer.get().is_constant());
        };
        let p = array.as_array_ptr();
        // SAFETY: the C struct of a live ndarray.
        let (base, flags, weak) = unsafe { ((*p).fields.base, (*p).fields.flags, (*p).fields.weakreflist) };
        if !weak.is_null() {
            return false;
        }
        if base.is_null() {
            return flags & NPY_ARRAY_OWNDATA != 0;
        }
        next = base;
    }
}

/// Arrays that are read-only while the tape needs them, by address: how often they are in use, and whether they were writable before.
static READ_ONLY: Mutex<BTreeMap<usize, (usize, bool)>> = Mutex::new(BTreeMap::new());

/// Keeps a lent object alive, and its arrays read-only. Python's reference count controls its life, so it is dropped with the GIL held.
#[pyclass(frozen, name = "_ReadOnly", module = "tapegrad")]
struct ReadOnly(Py<PyAny>);

impl ReadOnly {
    fn new(owner: &Bound<'_, PyAny>) -> Self {
        let arrays = arrays_of(owner);
        let mut all = READ_ONLY.lock();
        for p in arrays {
            // SAFETY: the C struct of a live ndarray; the thread is attached, and only the flags change.
            let flags = unsafe { &mut (*p).fields.flags };
            all.entry(p as usize).or_insert((0, *flags & NPY_ARRAY_WRITEABLE != 0)).0 += 1;
            *flags &= !NPY_ARRAY_WRITEABLE;
        }
        Self(owner.clone().unbind())
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        Python::try_attach(|py| {
            let arrays = arrays_of(self.0.bind(py));
            let mut all = READ_ONLY.lock();
            for p in arrays {
                let Entry::Occupied(mut entry) = all.entry(p as usize) else { continue };
                entry.get_mut().0 -= 1;
                if let (0, was_writeable) = *entry.get() {
                    // SAFETY: as in `new`.
                    unsafe { (*p).fields.flags |= if was_writeable { NPY_ARRAY_WRITEABLE } else { 0 } };
                    entry.remove();
                }
            }
        });
    }
}

/// An ndarray and the ndarrays that it is a view of: writing to one of them writes to it. Each keeps the next one alive.
fn arrays_of(owner: &Bound<'_, PyAny>) -> Vec<*mut PyArrayObject> {
    let mut out = Vec::new();
    let mut next = owner.as_ptr();
    while !next.is_null() {
        // SAFETY: `next` is the owner or an object that the array before it keeps alive; the thread is attached.
        let object = unsafe { Borrowed::from_ptr(owner.py(), next) };
        let Ok(array) = object.cast::<PyUntypedArray>() else { break };
        let p = array.as_array_ptr();
        out.push(p);
        // SAFETY: the C struct of a live ndarray.
        next = unsafe { (*p).fields.base };
    }
    out
}
