//! Python's garbage collector and the tape.
//!
//! CPython finds garbage in two passes. The first subtracts from each object's reference count the references that `tp_traverse` of other
//! objects reports; an object with references left is reachable from outside. The second pass traverses from those objects and marks what
//! they reach; the rest is cleared. So:
//! - A reference that is not reported merely keeps an object alive.
//! - A reference that is reported twice in the first pass, or in the first pass and not in the second, clears an object in use.
//!
//! So a handle reports the same in both passes. While a picture of the tape is true (see `tape/gc.rs`), it reports one reference to the
//! stand-in of its node, else nothing. A picture is not shown while a thread runs without the GIL. So nothing changes between the passes: a
//! thread needs the GIL to begin, and the collector does not release it in between. The lock of a handle is acquired and released with the
//! GIL, or while such a thread runs. So if it is held in one pass, it is held in the other.
//!
//! Pictures are taken for full collections only, because they take time in proportion to the number of nodes.

use std::cell::Cell;
use std::sync::Arc;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::error::guard;
use super::function::{FunctionRule, PyHook};
use super::{compile, looped, release};
use crate::array::alloc_check;
use crate::lock::{self, ShortMutex};
use crate::tape::gc::{self, Object, Picture};
use crate::tape::{Edge, Leaf};

type Traversed = Result<(), PyTraverseError>;

/// A picture, and one stand-in object for each of its entries.
struct Shown {
    picture: Picture,
    /// The stand-ins. Each has as many references as its node or leaf.
    stand_ins: Vec<Py<StandIn>>,
    more: Vec<Py<StandIn>>,
}

static SHOWN: ShortMutex<Option<Arc<Shown>>> = ShortMutex::new(None);

/// The present picture, if it is true.
fn shown() -> Option<Arc<Shown>> {
    if gc::is_true() { SHOWN.lock().clone() } else { None }
}

/// Represents a node or a leaf during one collection.
#[pyclass(frozen, name = "_StandIn", module = "tapegrad")]
struct StandIn(usize);

impl Shown {
    fn visit(&self, entry: Option<usize>, visit: &PyVisit<'_>) -> Traversed {
        entry.map_or(Ok(()), |i| visit.call(&self.stand_ins[i]))
    }

    /// Whether `it` belongs to this picture, and not to an older one.
    fn is_own(&self, it: &StandIn) -> bool {
        self.stand_ins.get(it.0).is_some_and(|own| std::ptr::eq(own.get(), it))
    }
}

#[pymethods]
impl StandIn {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Traversed {
        let Some(shown) = shown().filter(|shown| shown.is_own(self)) else { return Ok(()) };
        let entry = &shown.picture.entries()[self.0];
        entry.targets.iter().try_for_each(|&t| shown.visit(Some(t), &visit))?;
        entry.objects.iter().try_for_each(|object| match object {
            Object::Rule(rule) => match rule.as_any().downcast_ref::<FunctionRule>() {
                Some(rule) => rule.traverse(&visit),
                None => compile::traverse(&**rule, &visit),
            },
            Object::Attrs(attrs) => looped::traverse(&**attrs, &visit),
            Object::Hook(hook) => hook.as_any().downcast_ref::<PyHook>().map_or(Ok(()), |hook| hook.traverse(&visit)),
        })
    }

    fn __clear__(&self) {
        // What the collector clears was garbage when it looked. Clearing invalidates the picture, which is kept until the collection ends.
        let shown = SHOWN.lock().clone();
        if let Some(shown) = shown.filter(|shown| shown.is_own(self)) {
            shown.picture.entries()[self.0].clear();
        }
    }
}

/// Reports the references of a handle at `edge` to the tape.
pub fn traverse(edge: &Edge, visit: &PyVisit<'_>) -> Traversed {
    shown().map_or(Ok(()), |shown| shown.visit(shown.picture.of_edge(edge), visit))
}

/// Reports a reference to a leaf.
pub fn traverse_leaf(leaf: &Leaf, visit: &PyVisit<'_>) -> Traversed {
    shown().map_or(Ok(()), |shown| shown.visit(shown.picture.of_leaf(leaf), visit))
}

/// Whether handles report anything.
#[inline]
pub fn is_shown() -> bool {
    gc::is_true()
}

/// Runs `f` without the GIL.
pub fn detach<T: Send>(py: Python<'_>, f: impl FnOnce() -> T + Send) -> T {
    let running = gc::running();
    let out = py.detach(|| {
        let _scope = Scope::enter(true);
        f()
    });
    drop(running); // with the GIL, so no collector is running
    release::empty();
    out
}

/// Called by Python when a collection starts and stops.
#[pyfunction]
fn _collecting(py: Python<'_>, phase: &str, info: &Bound<'_, PyDict>) -> PyResult<()> {
    stop();
    let full = info.get_item("generation")?.is_some_and(|g| g.extract().is_ok_and(|g: u32| g >= full_generation(py)));
    if phase == "start"
        && full
        // If there is no memory for a picture, nothing is shown, so nothing is collected.
        && guard("gc", || gc::picture().map_or(Ok(()), |picture| start(py, picture))).is_err()
    {
        stop();
    }
    Ok(())
}

/// From Python 3.14 on older objects are collected incrementally, which counts as generation 1.
fn full_generation(py: Python<'_>) -> u32 {
    if py.version_info() >= (3, 14) { 1 } else { 2 }
}

fn start(py: Python<'_>, picture: Picture) -> PyResult<()> {
    let stand_ins: Vec<Py<StandIn>> = alloc_check::try_collect((0..picture.entries().len()).map(|i| Py::new(py, StandIn(i))))?;
    let mut more = Vec::new();
    for (entry, it) in picture.entries().iter().zip(&stand_ins) {
        alloc_check::reserve(&mut more, entry.refs);
        more.extend((1..entry.refs).map(|_| it.clone_ref(py)));
    }
    *SHOWN.lock() = Some(Arc::new(Shown { picture, stand_ins, more }));
    Ok(())
}

fn stop() {
    gc::end();
    let old = SHOWN.lock().take();
    if let Some(old) = old {
        debug_assert!(old.more.len() >= old.picture.entries().iter().map(|e| e.refs).sum::<usize>() - old.stand_ins.len());
        drop(old);
        release::empty();
    }
}

/// Runs a wait without the GIL, if this thread holds it.
fn wait_without_gil(wait: &mut (dyn FnMut() + Send)) {
    if has_gil() {
        Python::attach(|py| py.detach(wait)); // `wait` acquires no lock
    } else {
        wait();
    }
}

/// Whether this thread holds the GIL: it is a Python thread, and is not in [`detach`]. The stable ABI has no function for this.
#[allow(unsafe_code, reason = "a question to the interpreter")]
fn has_gil() -> bool {
    // SAFETY: both may be called at any time, by any thread.
    let is_pythons = unsafe { pyo3::ffi::Py_IsInitialized() != 0 && !pyo3::ffi::PyGILState_GetThisThreadState().is_null() };
    is_pythons && !DETACHED.get()
}

thread_local! {
    /// Whether this thread has released the GIL and not acquired it again.
    static DETACHED: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, this thread is marked as having released the GIL, or as holding it.
pub struct Scope {
    before: bool,
}

impl Scope {
    fn enter(detached: bool) -> Self {
        Self { before: DETACHED.replace(detached) }
    }

    /// For a thread that acquires the GIL within [`detach`], to run Python code.
    pub fn attached() -> Self {
        Self::enter(false)
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        DETACHED.set(self.before);
    }
}

/// Registers the collector's callback, and tells locks how to wait.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    lock::set_wait(wait_without_gil);
    lock::after_fork_in_child(gc::forget_running);
    let callback = wrap_pyfunction!(_collecting, m)?;
    m.add_function(callback.clone())?;
    m.py().import("gc")?.getattr("callbacks")?.call_method1("append", (callback,))?;
    Ok(())
}
