//! The module's allocator: the system's, with a reserve for small allocations when the system has no more memory.
//!
//! Rust's collections and boxes abort the process when an allocation fails. Possibly large data is allocated by functions that return an
//! error (`array::alloc_check`). Small allocations, such as a box or a list of axes, fall back to this reserve. The next entry point of the
//! module then raises MemoryError, so little of the reserve is ever in use.
#![allow(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;

use crate::array::alloc_check;

/// Bytes per unit of the reserve.
const UNIT: usize = 1 << 10;
/// Words of the bitmap, which has one bit per unit.
const WORDS: usize = 64;
/// The largest allocation that the reserve serves: the units of one word.
const MAX: usize = 64 * UNIT;

/// Static memory of 4 MiB. Pages that are never used cost nothing.
#[repr(align(4096))]
struct Reserve(UnsafeCell<[u8; WORDS * MAX]>);

// SAFETY: the bytes are reached only through pointers to units that `USED` has given to one owner.
unsafe impl Sync for Reserve {}

static RESERVE: Reserve = Reserve(UnsafeCell::new([0; WORDS * MAX]));
/// The units in use.
static USED: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];

/// The bits of `n` units.
fn bits(n: usize) -> u64 {
    if n == 64 { u64::MAX } else { (1 << n) - 1 }
}

/// Allocates from the reserve; null if the size is too large or the reserve is exhausted.
#[cold]
fn take(layout: Layout) -> *mut u8 {
    if layout.size() > MAX || layout.align() > UNIT {
        return std::ptr::null_mut();
    }
    alloc_check::note_low();
    let n = layout.size().div_ceil(UNIT).max(1);
    for (w, word) in USED.iter().enumerate() {
        let mut used = word.load(Ordering::Relaxed);
        while let Some(at) = (0..=64 - n).find(|at| used & (bits(n) << at) == 0) {
            match word.compare_exchange_weak(used, used | bits(n) << at, Ordering::Acquire, Ordering::Relaxed) {
                // SAFETY: the unit is inside the reserve.
                Ok(_) => return unsafe { RESERVE.0.get().cast::<u8>().add((64 * w + at) * UNIT) },
                Err(now) => used = now,
            }
        }
    }
    std::ptr::null_mut()
}

/// The offset of memory in the reserve, or `None` if it is elsewhere.
#[inline(always)]
fn place(p: *mut u8) -> Option<usize> {
    let at = (p as usize).wrapping_sub(RESERVE.0.get() as usize);
    (at < WORDS * MAX).then_some(at)
}

/// Returns memory to the reserve.
#[cold]
fn give(at: usize, layout: Layout) {
    let (unit, n) = (at / UNIT, layout.size().div_ceil(UNIT).max(1));
    USED[unit / 64].fetch_and(!(bits(n) << (unit % 64)), Ordering::Release);
}

/// The system's allocator, with the reserve as a fallback.
struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

// SAFETY: memory comes from the system or from units that are unshared, and goes back to where it came from; nothing unwinds.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if failure::is_due(layout) {
            return take(layout);
        }
        // SAFETY: passed on from the caller.
        let p = unsafe { System.alloc(layout) };
        if p.is_null() { take(layout) } else { p }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        match place(p) {
            // SAFETY: memory outside the reserve came from the system.
            None => unsafe { System.dealloc(p, layout) },
            Some(at) => give(at, layout),
        }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the rules of layouts.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if place(p).is_none() && !failure::is_due(wanted) {
            // SAFETY: passed on from the caller.
            let q = unsafe { System.realloc(p, layout, size) };
            if !q.is_null() {
                return q;
            }
        }
        // SAFETY: the new memory is as long as its layout says, the old one too, and they do not overlap.
        unsafe {
            let q = if place(p).is_some() { self.alloc(wanted) } else { take(wanted) };
            if !q.is_null() {
                q.copy_from_nonoverlapping(p, layout.size().min(size));
                self.dealloc(p, layout);
            }
            q
        }
    }
}

/// Deliberate failures of allocations, for tests.
mod failure {
    use std::alloc::Layout;
    use std::sync::atomic::{AtomicIsize, Ordering};

    /// Number of allocations of at least this size until one fails; it does not count below zero.
    static LEFT: AtomicIsize = AtomicIsize::new(-1);
    static SIZE: AtomicIsize = AtomicIsize::new(0);

    /// Whether this allocation is the one that fails.
    #[inline(always)]
    pub fn is_due(layout: Layout) -> bool {
        LEFT.load(Ordering::Relaxed) >= 0 && count(layout)
    }

    #[cold]
    fn count(layout: Layout) -> bool {
        layout.size().cast_signed() >= SIZE.load(Ordering::Relaxed) && LEFT.fetch_sub(1, Ordering::Relaxed) == 0
    }

    /// Makes the allocation fail that comes after `left` others of at least `size` bytes. Returns how many were left before.
    pub fn set(left: isize, size: isize) -> isize {
        SIZE.store(size, Ordering::Relaxed);
        LEFT.swap(left, Ordering::Relaxed)
    }
}

/// For tests: makes the allocation fail that comes after `left` others of at least `size` bytes, as if the system had no memory. Returns
/// how many were left before; less than zero if one has failed.
#[pyo3::pyfunction]
#[pyo3(signature = (left, size = 0))]
fn _fail_allocation(left: isize, size: isize) -> isize {
    failure::set(left, size)
}

/// Adds the function for tests to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_fail_allocation, m)?)
}
