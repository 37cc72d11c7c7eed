//! The lock of a handle: a flag where Python's own lock serialises already, a real one where Python has none.
//!
//! Every operator locks its operands' handles; a real lock costs two locked instructions each, a third of what is left of
//! an operation on small arrays. With the GIL only one thread at a time runs between two calls into Python, so reading
//! and setting a flag cannot be torn apart. On a free-threaded interpreter, found out when the module is imported, the
//! flag is not used.
#![allow(unsafe_code, reason = "a lock is a promise to whoever locks")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::lock_api::{self, GuardSend};
use pyo3::prelude::*;

/// Whether threads run Python code side by side.
static FREE_THREADED: AtomicBool = AtomicBool::new(true);

/// Between two looks at a lock that is held by a thread at work on a large array.
const PAUSE: Duration = Duration::from_micros(20);

/// A lock that is only taken by threads that are attached to the interpreter. It may be held while detached, and given
/// back by whomever. As large as a word: a handle is moved a few times while it is made, and what lies at odd places moves
/// slowly.
#[repr(align(8))]
pub struct RawHandleLock {
    held: AtomicBool,
    full: parking_lot::RawMutex,
}

/// A value behind a [`RawHandleLock`].
pub type HandleLock<T> = lock_api::Mutex<RawHandleLock, T>;

impl RawHandleLock {
    /// Somebody holds it who has let go of the GIL: so must we, for it to be given back.
    #[cold]
    fn wait(&self) {
        while self.held.load(Ordering::Acquire) {
            Python::attach(|py| py.detach(|| std::thread::sleep(PAUSE)));
        }
    }
}

// SAFETY: one thread holds it at a time. Free-threaded that is the full lock's doing. With the GIL, all who lock are attached:
// between the look at the flag and its setting no other thread can be here. Acquire and release order what the holders do,
// whether they give it back attached or not. `FREE_THREADED` changes once, before there is a handle.
unsafe impl lock_api::RawMutex for RawHandleLock {
    #[allow(clippy::declare_interior_mutable_const, reason = "what the trait asks for")]
    const INIT: Self = Self { held: AtomicBool::new(false), full: parking_lot::RawMutex::INIT };
    type GuardMarker = GuardSend;

    #[inline]
    fn lock(&self) {
        if FREE_THREADED.load(Ordering::Relaxed) {
            return self.full.lock();
        }
        // SAFETY: it only looks at the state of this thread.
        debug_assert!(unsafe { pyo3::ffi::PyGILState_Check() } == 1, "a handle is locked by attached threads only");
        if self.held.load(Ordering::Acquire) {
            self.wait();
        }
        self.held.store(true, Ordering::Relaxed);
    }

    #[inline]
    fn try_lock(&self) -> bool {
        if FREE_THREADED.load(Ordering::Relaxed) {
            return self.full.try_lock();
        }
        let free = !self.held.load(Ordering::Acquire);
        if free {
            self.held.store(true, Ordering::Relaxed);
        }
        free
    }

    #[inline]
    unsafe fn unlock(&self) {
        if FREE_THREADED.load(Ordering::Relaxed) {
            // SAFETY: whoever unlocks holds it, and the kind of lock does not change.
            return unsafe { self.full.unlock() };
        }
        self.held.store(false, Ordering::Release);
    }
}

/// Finds out whether there is a GIL, which then stays; the first thing that the module does.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let sys = m.py().import("sys")?;
    let gil = match sys.getattr_opt("_is_gil_enabled")? {
        Some(ask) => ask.call0()?.is_truthy()?,
        None => true, // before Python 3.13 there was no other
    };
    FREE_THREADED.store(!gil, Ordering::Relaxed);
    Ok(())
}
