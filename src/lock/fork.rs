//! Locks and `fork`. A forked child has a copy of all memory but only the thread that forked. A lock that another thread held at that
//! moment would never be released, and the data under it may be half changed.
//!
//! - The few global locks ([`AtFork`]) are acquired before a fork and released after it, in the parent and in the child.
//! - A fork waits for threads that change a leaf, a handle or an optimizer ([`changing`]). These threads never need the GIL meanwhile.
//! - Other locks are held for reading only. In the child, a lock that was acquired before the fork has no holder, and can be taken over.

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use parking_lot::lock_api::RawMutex;

use super::protocol::Gate;
use super::{ShortMutex, SpinLock};

/// The global locks, in the order in which they may be acquired.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub enum AtFork {
    /// The arena of the tape's nodes.
    Arena,
    /// Leaves that pictures for a garbage collector include.
    Leaves,
    /// Python objects that wait to be dropped.
    Released,
    /// The shared lists of the buffer pool.
    Pool,
    /// The plans of Fourier transforms.
    Plans,
}

const LOCKS: usize = AtFork::Plans as usize + 1;
static GLOBAL: [AtomicPtr<SpinLock<false>>; LOCKS] = [const { AtomicPtr::new(std::ptr::null_mut()) }; LOCKS];
static CHILD: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
static GATE: Gate = Gate(AtomicUsize::new(0));
/// Number of forks between the first process and this one, plus one.
static EPOCH: AtomicU32 = AtomicU32::new(1);

#[inline]
pub(super) fn epoch() -> u32 {
    EPOCH.load(Ordering::Relaxed)
}

/// Forks acquire this lock from now on. Fast when it is registered already.
#[inline]
pub fn at_fork<T>(place: AtFork, mutex: &'static ShortMutex<T>) {
    if GLOBAL[place as usize].load(Ordering::Relaxed).is_null() {
        // SAFETY: the raw lock is used as a lock only, by the handlers below, which pair acquire and release.
        let lock = unsafe { mutex.raw() };
        GLOBAL[place as usize].store(std::ptr::from_ref(lock).cast_mut(), Ordering::Release);
        install();
    }
}

/// Calls `f` in a child after each fork.
pub fn after_fork_in_child(f: fn()) {
    CHILD.store(f as *mut (), Ordering::Release);
    install();
}

#[cold]
fn install() {
    static ONCE: Once = Once::new();
    #[cfg(unix)]
    ONCE.call_once(|| {
        // SAFETY: the handlers are functions of this library, which is never unloaded. Failing (no memory) leaves forks as they were.
        unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    });
    #[cfg(not(unix))]
    ONCE.call_once(|| {});
}

/// The global locks that the fork in progress has acquired: others may be registered meanwhile.
#[cfg(unix)]
static TAKEN: AtomicUsize = AtomicUsize::new(0);

#[cfg(unix)]
extern "C" fn prepare() {
    GATE.close();
    let mut taken = 0;
    for (i, lock) in GLOBAL.iter().enumerate() {
        // SAFETY: null, or a lock that lives as long as the process.
        let Some(lock) = (unsafe { lock.load(Ordering::Acquire).as_ref() }) else { continue };
        // The GIL is kept, so that no other Python thread runs before the fork. Holders of these locks never need the GIL.
        while !lock.try_lock() {
            std::thread::yield_now();
        }
        taken |= 1 << i;
    }
    TAKEN.store(taken, Ordering::Relaxed);
}

#[cfg(unix)]
extern "C" fn parent() {
    let taken = TAKEN.swap(0, Ordering::Relaxed);
    for (_, lock) in GLOBAL.iter().enumerate().rev().filter(|(i, _)| taken >> i & 1 == 1) {
        // SAFETY: `prepare` found the lock here and took it, on this thread.
        unsafe { (*lock.load(Ordering::Acquire)).unlock() };
    }
    GATE.open();
}

#[cfg(unix)]
extern "C" fn child() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
    parent();
    let f = CHILD.load(Ordering::Acquire);
    if !f.is_null() {
        // SAFETY: stored by `after_fork_in_child`, from a function of this type.
        unsafe { std::mem::transmute::<*mut (), fn()>(f)() };
    }
}

thread_local! {
    /// Number of [`Changing`] values of this thread.
    static INSIDE: Cell<u32> = const { Cell::new(0) };
}

/// A fork waits while this lives, unless its thread waits for a lock.
#[derive(Debug)]
pub struct Changing(());

/// Announces a change of a leaf, a handle or an optimizer, before their locks are acquired. The thread may run without the GIL, and must
/// not ask for it while this lives, because the forking thread holds it.
#[inline]
#[must_use]
pub fn changing() -> Changing {
    GATE.enter();
    INSIDE.set(INSIDE.get() + 1);
    Changing(())
}

impl Drop for Changing {
    #[inline]
    fn drop(&mut self) {
        INSIDE.set(INSIDE.get() - 1);
        GATE.leave();
    }
}

/// Runs `wait` while forks need not wait for this thread, which must not have changed anything partially. The holder of the lock that it
/// waits for may need the GIL, which the forking thread holds.
#[cold]
pub(super) fn outside(wait: impl FnOnce()) {
    let inside = INSIDE.get();
    (0..inside).for_each(|_| GATE.leave());
    wait();
    (0..inside).for_each(|_| GATE.enter());
}
