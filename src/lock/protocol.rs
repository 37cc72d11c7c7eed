//! The protocols of the locks, as operations on atomics.
//!
//! The atomics come from `super::sync`: from the standard library here, and from loom in `tests/loom.rs`, which compiles this same file and
//! tries every interleaving of two or three threads.

use super::sync::{AtomicU32, AtomicUsize, Ordering, pause};

/// The word of a spin lock: `FREE`, or the epoch in which it was acquired.
///
/// A fork begins a new epoch in the child. The child has only the thread that forked, so a lock of an older epoch has no holder there, and
/// the next waiter takes it over.
pub const FREE: u32 = 0;

/// Acquires a free lock.
#[inline]
pub fn try_acquire(word: &AtomicU32, epoch: u32) -> bool {
    word.compare_exchange(FREE, epoch, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

/// Whether a thread of this process holds the lock.
#[inline]
pub fn is_held(word: &AtomicU32, epoch: u32) -> bool {
    word.load(Ordering::Relaxed) == epoch
}

/// Acquires a lock that is free, or whose holder does not exist since a fork.
#[inline]
pub fn acquire_or_take_over(word: &AtomicU32, epoch: u32) -> bool {
    let found = word.load(Ordering::Relaxed);
    found != epoch && word.compare_exchange(found, epoch, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

/// Releases a lock.
#[inline]
pub fn release(word: &AtomicU32) {
    word.store(FREE, Ordering::Release);
}

/// Counts threads that are changing data that a forked child needs. A fork closes the gate: it waits until no thread is inside, and no
/// thread enters until the fork is over.
///
/// The gate closes only while no thread is inside, so a thread that is inside may enter again, and so may its helpers.
#[derive(Debug)]
pub struct Gate(pub AtomicUsize);

const CLOSED_GATE: usize = 1 << (usize::BITS - 1);

impl Gate {
    /// Enters, after a fork that is in progress.
    #[inline]
    pub fn enter(&self) {
        loop {
            let inside = self.0.load(Ordering::Relaxed);
            if inside == CLOSED_GATE {
                pause();
            } else if self.0.compare_exchange(inside, inside + 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// Leaves.
    #[inline]
    pub fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Waits until no thread is inside, and closes.
    pub fn close(&self) {
        while self.0.compare_exchange(0, CLOSED_GATE, Ordering::Acquire, Ordering::Relaxed).is_err() {
            pause();
        }
    }

    /// Opens again.
    pub fn open(&self) {
        self.0.store(0, Ordering::Release);
    }
}

/// Counts the helpers of a parallel loop. The caller closes the counter and waits for the helpers that have begun. A helper that comes
/// later finds it closed and must not touch what the loop borrows.
#[derive(Debug)]
pub struct Crew(pub AtomicUsize);

const CLOSED: usize = 1;
const HELPER: usize = 2;

impl Crew {
    /// A helper begins; false when the loop is over.
    pub fn begin(&self) -> bool {
        let begin = |state| (state & CLOSED == 0).then_some(state + HELPER);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, begin).is_ok()
    }

    /// A helper ends; true when it was the last one that the caller may be waiting for.
    pub fn end(&self) -> bool {
        self.0.fetch_sub(HELPER, Ordering::AcqRel) == CLOSED + HELPER
    }

    /// No helper begins after this.
    pub fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Whether it is closed and all helpers have ended.
    pub fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) == CLOSED
    }
}
