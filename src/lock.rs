//! Locks that are held for a moment, and hardly ever by two.
//!
//! A lock that puts its waiters to sleep must look for them when it is given back: an atomic operation more, of some five
//! nanoseconds, and an operation of the tape takes half a dozen locks. Here who waits looks again, and lets others run.
#![allow(unsafe_code, reason = "`RawMutex` is an unsafe trait")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::lock_api::{self, GuardNoSend, RawMutex};

/// How often a waiter looks before it lets others run, and how often it does that before it sleeps in between.
const LOOKS: u32 = 64;
const TURNS: u32 = 64;
/// What a waiter sleeps: the holder has lost its processor.
const NAP: Duration = Duration::from_micros(50);

/// Whether somebody holds the lock.
#[derive(Debug)]
pub struct Latch(AtomicBool);

/// A value behind a [`Latch`].
pub type Mutex<T> = lock_api::Mutex<Latch, T>;
/// Access to it.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, Latch, T>;

// SAFETY: `swap` gives the lock to one caller alone, from whom it stays until `unlock` stores what the next `swap` finds.
unsafe impl RawMutex for Latch {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait's way to begin")]
    const INIT: Self = Self(AtomicBool::new(false));
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        if self.0.swap(true, Ordering::Acquire) {
            self.wait();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        !self.0.swap(true, Ordering::Acquire)
    }

    // SAFETY: whoever calls it holds the lock, as the trait asks.
    #[inline]
    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Latch {
    #[cold]
    fn wait(&self) {
        let mut turns = 0;
        loop {
            for _ in 0..LOOKS {
                if !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::Acquire) {
                    return;
                }
                std::hint::spin_loop();
            }
            if turns < TURNS {
                turns += 1;
                std::thread::yield_now();
            } else {
                std::thread::sleep(NAP);
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
