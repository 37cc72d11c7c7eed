//! Spin locks for critical sections of nanoseconds with little contention, and the rules that keep them safe.
//!
//! A lock whose waiters sleep must check for them on release: another atomic operation of some five nanoseconds, and an operation of the
//! tape acquires half a dozen locks. Here a waiter spins, then yields, then sleeps for fixed times.
//!
//! # The rules
//! 1. No user code runs under a lock: no callback, and no Python object is dropped. The core drops Python objects
//!    through a queue (`python/release.rs`) that is emptied where no lock is held.
//! 2. The holder of a [`Mutex`] (an optimizer, a handle, a leaf) may hold it as long as a kernel runs. So a waiter releases
//!    Python's global lock (the GIL): see [`set_wait`]. A waiter may hold such locks itself.
//! 3. The holder of a [`ShortMutex`] (the global lists of [`AtFork`]) copies or moves a few words and needs nothing else.
//!    Its waiters keep the GIL.
//! 4. The order is: an optimizer, a handle, a leaf, the arena, the other lists. A thread takes a lock only while all that
//!    it holds come before it. Two handles are taken in the order of their addresses.
//! 5. Locks survive a fork: see [`changing`] and [`at_fork`].
#![allow(unsafe_code, reason = "`RawMutex` is an unsafe trait")]

mod fork;
pub mod protocol;

use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use parking_lot::lock_api::{self, GuardNoSend, RawMutex};

pub use fork::{AtFork, Changing, after_fork_in_child, at_fork, changing};

/// The atomics of the protocols; loom has its own.
mod sync {
    pub use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

    /// Lets other threads run.
    pub fn pause() {
        std::thread::yield_now();
    }
}

/// How often a waiter checks the lock before it yields, and how often it yields before it sleeps.
const SPINS: u32 = 64;
const YIELDS: u32 = 64;
/// How often it yields before it releases the GIL: getting that back can take milliseconds.
const YIELDS_WITH_GIL: u32 = 16;
/// How long it sleeps: the holder works for long, or was descheduled.
const SLEEP: Duration = Duration::from_micros(50);

/// A spin lock; `LONG_SECTIONS` if it may be held for long.
#[derive(Debug)]
pub struct SpinLock<const LONG_SECTIONS: bool>(AtomicU32);

/// A value behind a lock that may be held for long. Waiters release the GIL.
pub type Mutex<T> = lock_api::Mutex<SpinLock<true>, T>;
/// Access to it.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, SpinLock<true>, T>;
/// A value behind a lock that is held only briefly.
pub type ShortMutex<T> = lock_api::Mutex<SpinLock<false>, T>;
/// Access to it.
pub type ShortMutexGuard<'a, T> = lock_api::MutexGuard<'a, SpinLock<false>, T>;

// SAFETY: only one caller changes the word from free to taken, and it stays so until `unlock`. A lock that `acquire_or_take_over` takes
// over has no holder in this process.
unsafe impl<const LONG_SECTIONS: bool> RawMutex for SpinLock<LONG_SECTIONS> {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait's way to begin")]
    const INIT: Self = Self(AtomicU32::new(protocol::FREE));
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        if !protocol::try_acquire(&self.0, fork::epoch()) {
            self.wait();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        protocol::try_acquire(&self.0, fork::epoch())
    }

    // SAFETY: the caller holds the lock, as the trait asks.
    #[inline]
    unsafe fn unlock(&self) {
        protocol::release(&self.0);
    }
}

/// Runs a wait without the GIL, if this thread holds it.
type Wait = fn(wait: &mut (dyn FnMut() + Send));

static WAIT: OnceLock<Wait> = OnceLock::new();

/// Sets how a thread waits for a lock: the function releases the GIL if the thread holds it, calls its argument, and acquires the GIL
/// again.
///
/// The lock itself is acquired afterwards. So a thread without the GIL never acquires a lock while it waits for the GIL, and the locks that
/// a garbage collector sees do not change while it runs.
pub fn set_wait(wait: Wait) {
    let _ = WAIT.set(wait); // a second module instance sets the same function
}

impl<const LONG_SECTIONS: bool> SpinLock<LONG_SECTIONS> {
    #[cold]
    fn wait(&self) {
        let epoch = fork::epoch();
        let mut yields = 0;
        loop {
            for _ in 0..SPINS {
                if protocol::acquire_or_take_over(&self.0, epoch) {
                    return;
                }
                std::hint::spin_loop();
            }
            if yields < YIELDS_WITH_GIL {
                yields += 1;
                std::thread::yield_now();
                continue;
            }
            let mut sleep = || self.sleep_while_held(epoch);
            match WAIT.get() {
                Some(wait) if LONG_SECTIONS => fork::outside(|| wait(&mut sleep)),
                _ if LONG_SECTIONS => fork::outside(sleep),
                _ => sleep(),
            }
        }
    }

    fn sleep_while_held(&self, epoch: u32) {
        let mut yields = 0;
        while protocol::is_held(&self.0, epoch) {
            if yields < YIELDS {
                yields += 1;
                std::thread::yield_now();
            } else {
                std::thread::sleep(SLEEP);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let sum = Mutex::new(0_u64);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let mut sum = sum.lock();
                        let old = *sum;
                        std::hint::spin_loop();
                        *sum = old + 1;
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 80_000);
    }

    #[test]
    fn a_long_wait_ends() {
        let done = Mutex::new(false);
        std::thread::scope(|scope| {
            let mut held = done.lock();
            assert!(done.try_lock().is_none());
            scope.spawn(|| assert!(*done.lock()));
            std::thread::sleep(Duration::from_millis(20));
            *held = true;
        });
    }
}
