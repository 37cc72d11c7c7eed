//! The lock protocols of the library, compiled with loom's atomics.

/// The atomics and cells that the protocols use.
mod sync {
    pub use loom::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

    /// Lets the other threads of the model run.
    pub fn pause() {
        loom::thread::yield_now();
    }
}

#[path = "../../../src/lock/protocol.rs"]
pub mod protocol;

#[cfg(test)]
mod tests {
    use std::sync::Arc as StdArc;

    use loom::cell::UnsafeCell;
    use loom::model;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
    use loom::thread;

    use super::protocol::{self, Crew, FREE, Gate};

    /// The data behind a lock: loom fails when two threads access it at once, or when one does not see a write of the other.
    struct Guarded(UnsafeCell<usize>);

    // SAFETY: loom watches the accesses.
    unsafe impl Sync for Guarded {}
    // SAFETY: as above.
    unsafe impl Send for Guarded {}

    impl Guarded {
        fn new() -> Self {
            Self(UnsafeCell::new(0))
        }

        fn add(&self) {
            // SAFETY: loom checks that no other thread is here.
            self.0.with_mut(|p| unsafe { *p += 1 });
        }

        fn get(&self) -> usize {
            // SAFETY: as above.
            self.0.with(|p| unsafe { *p })
        }
    }

    /// `SpinLock::lock`.
    fn lock(word: &AtomicU32, epoch: u32) {
        if !protocol::try_acquire(word, epoch) {
            while !protocol::acquire_or_take_over(word, epoch) {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn a_lock_lets_one_thread_in() {
        model(|| {
            let shared = Arc::new((AtomicU32::new(FREE), Guarded::new()));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        lock(&shared.0, 1);
                        shared.1.add();
                        protocol::release(&shared.0);
                    })
                })
                .collect();
            threads.into_iter().for_each(|t| t.join().unwrap());
            lock(&shared.0, 1);
            assert_eq!(shared.1.get(), 2);
        });
    }

    #[test]
    fn a_lock_of_a_process_that_is_gone_is_taken_over_once() {
        model(|| {
            let shared = Arc::new((AtomicU32::new(1), Guarded::new()));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        lock(&shared.0, 2);
                        shared.1.add();
                        protocol::release(&shared.0);
                    })
                })
                .collect();
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert!(protocol::try_acquire(&shared.0, 2));
            assert_eq!(shared.1.get(), 2);
        });
    }

    /// Threads release the GIL while they wait, and acquire it together with the lock. The first thread holds the lock and needs the GIL to
    /// continue.
    #[test]
    fn a_waiter_that_gives_up_the_gil_does_not_block_the_holder() {
        model(|| {
            let shared = Arc::new((AtomicU32::new(FREE), AtomicU32::new(FREE), Guarded::new()));
            let other = Arc::clone(&shared);
            let holder = thread::spawn(move || {
                let (word, gil, data) = &*other;
                lock(word, 1);
                data.add();
                lock(gil, 1); // a hook, or the end of a kernel
                protocol::release(gil);
                protocol::release(word);
            });
            let (word, gil, data) = &*shared;
            lock(gil, 1);
            while !protocol::acquire_or_take_over(word, 1) {
                protocol::release(gil);
                while protocol::is_held(word, 1) {
                    thread::yield_now();
                }
                lock(gil, 1);
            }
            data.add();
            protocol::release(word);
            protocol::release(gil);
            holder.join().unwrap();
        });
    }

    #[test]
    fn a_fork_waits_for_changes_and_changes_for_a_fork() {
        model(|| {
            let shared = Arc::new((Gate(AtomicUsize::new(0)), Guarded::new()));
            let other = Arc::clone(&shared);
            let changes = thread::spawn(move || {
                let (gate, data) = &*other;
                gate.enter();
                gate.enter(); // within another change
                data.add();
                gate.leave();
                data.add();
                gate.leave();
            });
            let (gate, data) = &*shared;
            gate.close();
            assert_eq!(data.get() % 2, 0, "nothing is changed by halves");
            gate.open();
            changes.join().unwrap();
        });
    }

    #[test]
    fn one_fork_at_a_time() {
        model(|| {
            let shared = Arc::new((Gate(AtomicUsize::new(0)), Guarded::new()));
            let other = Arc::clone(&shared);
            let fork = move |shared: &(Gate, Guarded)| {
                shared.0.close();
                shared.1.add();
                shared.0.open();
            };
            let second = thread::spawn(move || fork(&other));
            fork(&shared);
            second.join().unwrap();
            assert_eq!(shared.1.get(), 2);
        });
    }

    /// A helper of a parallel loop reads data that the caller lends; it must not read after the caller has returned.
    #[test]
    fn a_late_helper_does_not_touch_the_loop() {
        model(|| {
            let shared = Arc::new((Crew(AtomicUsize::new(0)), Guarded::new()));
            let helpers: Vec<_> = (0..2)
                .map(|_| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        let (crew, lent) = &*shared;
                        if crew.begin() {
                            let _ = lent.get();
                            let _ = crew.end();
                        }
                    })
                })
                .collect();
            let (crew, lent) = &*shared;
            crew.close();
            while !crew.is_done() {
                thread::yield_now();
            }
            lent.add(); // the caller has returned: the lent data are gone
            helpers.into_iter().for_each(|t| t.join().unwrap());
        });
    }

    #[test]
    fn the_last_helper_wakes_the_caller() {
        model(|| {
            let crew = Arc::new((Crew(AtomicUsize::new(0)), AtomicBool::new(false)));
            assert!(crew.0.begin());
            assert!(crew.0.begin());
            let helpers: Vec<_> = (0..2)
                .map(|_| {
                    let crew = Arc::clone(&crew);
                    thread::spawn(move || {
                        if crew.0.end() {
                            crew.1.store(true, Ordering::Release); // unpark
                        }
                    })
                })
                .collect();
            crew.0.close();
            let waited = !crew.0.is_done();
            helpers.into_iter().for_each(|t| t.join().unwrap());
            assert!(crew.0.is_done());
            assert!(!waited || crew.1.load(Ordering::Acquire), "a caller that waits is woken");
        });
    }

    /// `tape::gc`: a collector reads the tape twice; both times it must see the same state, or nothing the first time.
    #[test]
    fn a_picture_that_is_shown_first_is_shown_again() {
        model(|| {
            // (true, threads without the GIL, the GIL)
            let shared = Arc::new((AtomicBool::new(true), AtomicUsize::new(0), AtomicU32::new(FREE)));
            let other = Arc::clone(&shared);
            let worker = thread::spawn(move || {
                let (is_true, running, gil) = &*other;
                lock(gil, 1);
                running.fetch_add(1, Ordering::AcqRel);
                protocol::release(gil);
                is_true.store(false, Ordering::Release); // `changed`
                lock(gil, 1);
                running.fetch_sub(1, Ordering::AcqRel);
                protocol::release(gil);
            });
            let (is_true, running, gil) = &*shared;
            let shown = || is_true.load(Ordering::Acquire) && running.load(Ordering::Acquire) == 0;
            lock(gil, 1);
            let first = shown();
            let second = shown();
            assert!(!first || second);
            protocol::release(gil);
            worker.join().unwrap();
        });
    }

    /// `python/release.rs`: objects that are queued while another thread empties the queue are released later.
    #[test]
    fn nothing_stays_in_the_queue() {
        model(|| {
            let shared = StdArc::new((AtomicU32::new(FREE), AtomicBool::new(false), UnsafeCell::new(0_usize), AtomicUsize::new(0)));
            struct Queue(StdArc<(AtomicU32, AtomicBool, UnsafeCell<usize>, AtomicUsize)>);
            // SAFETY: loom watches the accesses.
            unsafe impl Send for Queue {}
            impl Queue {
                fn release(&self) {
                    let (word, any, items, _) = &*self.0;
                    lock(word, 1);
                    // SAFETY: under the lock.
                    items.with_mut(|p| unsafe { *p += 1 });
                    any.store(true, Ordering::Relaxed);
                    protocol::release(word);
                }
                fn empty(&self) {
                    let (word, any, items, dropped) = &*self.0;
                    if !any.load(Ordering::Relaxed) {
                        return;
                    }
                    loop {
                        lock(word, 1);
                        any.store(false, Ordering::Relaxed);
                        // SAFETY: under the lock.
                        let taken = items.with_mut(|p| unsafe { std::mem::take(&mut *p) });
                        protocol::release(word);
                        if taken == 0 {
                            return;
                        }
                        dropped.fetch_add(taken, Ordering::Relaxed);
                    }
                }
            }
            let other = Queue(StdArc::clone(&shared));
            let second = thread::spawn(move || {
                let queue = other;
                queue.release();
                queue.empty();
            });
            let queue = Queue(StdArc::clone(&shared));
            queue.release();
            second.join().unwrap();
            queue.empty();
            assert_eq!(shared.3.load(Ordering::Relaxed), 2);
        });
    }
}
