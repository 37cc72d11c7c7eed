//! Python's garbage collector and the tape.
//!
//! CPython finds garbage in two passes. The first subtracts from each object's reference count the references that
//! `tp_traverse` of the other objects reports; what has some left is reachable from outside. The second reports again, from
//! those on, and marks what they reach; the rest is cleared. So:
//! - A reference that is not reported only keeps an object alive.
//! - A reference that is reported twice in the first pass, or in the first and not in the second, clears an object that is in use.
//!
//! A handle therefore reports the same in both passes: while a picture of the tape is true (see `tape/gc.rs`), one reference to the
//! stand-in of its node; else nothing. A picture is not shown while a thread runs without the GIL, so nothing changes between
//! the passes: a thread needs the GIL to begin, and a collector does not give it away in between. The lock of a handle is taken
//! and given back with the GIL, or while such a thread runs; so a handle whose lock is taken in one pass is so in the other.
//!
//! Pictures are taken for full collections alone: their cost is that of all nodes.

use std::cell::Cell;
use std::sync::Arc;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::error::guard;
use super::function::{FunctionRule, PyHook};
use super::release;
use crate::array::alloc_check;
use crate::lock::{self, ShortMutex};
use crate::tape::gc::{self, Object, Picture};
use crate::tape::{Edge, Leaf};

type Traversed = Result<(), PyTraverseError>;

/// A picture, and one Python object for each of its entries.
struct Shown {
    picture: Picture,
    /// The stand-ins, each with as many references as its node or leaf.
    stand_ins: Vec<Py<StandIn>>,
    more: Vec<Py<StandIn>>,
}

static SHOWN: ShortMutex<Option<Arc<Shown>>> = ShortMutex::new(None);

/// What is shown, while it is true.
fn shown() -> Option<Arc<Shown>> {
    if gc::is_true() { SHOWN.lock().clone() } else { None }
}

/// Stands for a node or a leaf during one collection.
#[pyclass(frozen, name = "_StandIn", module = "tapegrad")]
struct StandIn(usize);

impl Shown {
    fn visit(&self, entry: Option<usize>, visit: &PyVisit<'_>) -> Traversed {
        entry.map_or(Ok(()), |i| visit.call(&self.stand_ins[i]))
    }

    /// Whether `it` is one of these, and not of an older picture.
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
            Object::Rule(rule) => rule.as_any().downcast_ref::<FunctionRule>().map_or(Ok(()), |rule| rule.traverse(&visit)),
            Object::Hook(hook) => hook.as_any().downcast_ref::<PyHook>().map_or(Ok(()), |hook| hook.traverse(&visit)),
        })
    }

    fn __clear__(&self) {
        // What the collector clears was garbage when it looked. Clearing ends the picture, which is kept until the collection ends.
        let shown = SHOWN.lock().clone();
        if let Some(shown) = shown.filter(|shown| shown.is_own(self)) {
            shown.picture.entries()[self.0].clear();
        }
    }
}

/// Reports what a handle at `edge` holds of the tape.
pub fn traverse(edge: &Edge, visit: &PyVisit<'_>) -> Traversed {
    shown().map_or(Ok(()), |shown| shown.visit(shown.picture.of_edge(edge), visit))
}

/// Reports a share of a leaf.
pub fn traverse_leaf(leaf: &Leaf, visit: &PyVisit<'_>) -> Traversed {
    shown().map_or(Ok(()), |shown| shown.visit(shown.picture.of_leaf(leaf), visit))
}

/// Whether handles report anything at all.
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
    drop(running); // with the GIL, so not while a collector looks
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
        // Without memory for a picture nothing is shown, so nothing is collected.
        && guard("gc", || gc::picture().map_or(Ok(()), |picture| start(py, picture))).is_err()
    {
        stop();
    }
    Ok(())
}

/// From 3.14 on the older objects are collected part by part, which counts as generation 1.
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

/// Waits without the GIL, if this thread has it.
fn wait_without_gil(wait: &mut (dyn FnMut() + Send)) {
    if has_gil() {
        Python::attach(|py| py.detach(wait)); // `wait` takes no lock
    } else {
        wait();
    }
}

/// Whether this thread has the GIL: it is one of Python's, and is not in [`detach`]. The stable interface has no such question.
#[allow(unsafe_code, reason = "a question to the interpreter")]
fn has_gil() -> bool {
    // SAFETY: both may be called at any time, by any thread.
    let is_pythons = unsafe { pyo3::ffi::Py_IsInitialized() != 0 && !pyo3::ffi::PyGILState_GetThisThreadState().is_null() };
    is_pythons && !DETACHED.get()
}

thread_local! {
    /// Whether this thread has given up the GIL, and not taken it again.
    static DETACHED: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, this thread is known to have given up the GIL, or to have it.
pub struct Scope {
    before: bool,
}

impl Scope {
    fn enter(detached: bool) -> Self {
        Self { before: DETACHED.replace(detached) }
    }

    /// For a thread that takes the GIL within [`detach`], to run Python code.
    pub fn attached() -> Self {
        Self::enter(false)
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        DETACHED.set(self.before);
    }
}

/// Makes the module known to the collector, and the GIL to the locks.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    lock::set_wait(wait_without_gil);
    lock::after_fork_in_child(gc::forget_running);
    let callback = wrap_pyfunction!(_collecting, m)?;
    m.add_function(callback.clone())?;
    m.py().import("gc")?.getattr("callbacks")?.call_method1("append", (callback,))?;
    Ok(())
}
