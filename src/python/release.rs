//! Python objects that the core holds are not dropped where the core drops them. That may be under a lock, or without the GIL, and dropping
//! a Python object may run Python code. Instead they are added to a queue, which is emptied where this crate returns to Python and when a
//! thread acquires the GIL again. So a drop in the core never waits for the GIL and never runs foreign code.

#![allow(unsafe_code, reason = "`Held` takes its object out when it is dropped")]

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use crate::lock::{AtFork, ShortMutex, at_fork};

/// A Python object that the core holds. When the core drops it, it is added to the queue.
pub struct Held<T>(ManuallyDrop<Py<T>>);

impl<T> Held<T> {
    /// Holds `o`.
    pub fn new(o: Py<T>) -> Self {
        Self(ManuallyDrop::new(o))
    }
}

impl<T> Deref for Held<T> {
    type Target = Py<T>;

    fn deref(&self) -> &Py<T> {
        &self.0
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        // SAFETY: taken once, here.
        release(unsafe { ManuallyDrop::take(&mut self.0) }.into_any());
    }
}

/// Objects per part of the queue. A drop cannot report a lack of memory, so a part is small enough for the module's reserve.
const PART: usize = 1024;

static QUEUE: ShortMutex<Vec<Vec<Py<PyAny>>>> = ShortMutex::new(Vec::new());
static ANY: AtomicBool = AtomicBool::new(false);

thread_local! {
    static EMPTYING: Cell<bool> = const { Cell::new(false) };
}

/// Drops `item` later, with the GIL and without a lock.
fn release(item: Py<PyAny>) {
    at_fork(AtFork::Released, &QUEUE);
    let mut queue = QUEUE.lock();
    match queue.last_mut() {
        Some(part) if part.len() < PART => part.push(item),
        _ => {
            let mut part = Vec::with_capacity(PART);
            part.push(item);
            queue.push(part);
        }
    }
    ANY.store(true, Ordering::Relaxed);
}

/// Drops the objects in the queue. To be called with the GIL and without a lock.
#[inline]
pub fn empty() {
    if ANY.load(Ordering::Relaxed) {
        empty_now();
    }
}

/// An object that is dropped may add others to the queue, so a long chain of objects does not recurse.
#[cold]
fn empty_now() {
    if EMPTYING.replace(true) {
        return;
    }
    loop {
        let items = {
            let mut queue = QUEUE.lock();
            ANY.store(false, Ordering::Relaxed);
            std::mem::take(&mut *queue)
        };
        if items.is_empty() {
            break;
        }
        drop(items);
    }
    EMPTYING.set(false);
}

/// Empties the queue when it is dropped. It is the last field of a Python class that owns parts of the tape.
pub struct EmptyOnDrop;

impl Drop for EmptyOnDrop {
    #[inline]
    fn drop(&mut self) {
        empty();
    }
}
