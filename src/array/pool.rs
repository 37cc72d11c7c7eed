//! The buffer pool: blocks of 64-byte aligned memory in size classes, kept for reuse.
//!
//! Small blocks are cached per thread, large ones in one shared list. Memory comes zeroed from the system and is
//! handed out as it is: a reused block holds old values.
#![allow(unsafe_code, reason = "raw memory is this file's only business")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Alignment of every block: a cache line, and enough for any vector register.
pub const ALIGN: usize = 64;
/// Blocks from this size on ask the system for huge pages and are aligned to them.
const HUGE: usize = 2 << 20;
/// Blocks up to this size are cached by the thread that frees them.
const LOCAL_MAX: usize = 64 << 10;
/// Bytes that a thread caches of one class before it gives blocks back to the shared list.
const LOCAL_BYTES: usize = 1 << 20;
/// Bytes that the shared lists keep before blocks go back to the system.
const SHARED_BYTES: usize = 1 << 30;
/// Classes: 64 bytes, then four steps for each doubling, up to 2^47.
const CLASSES: usize = 4 * 42;

/// A block of the pool; `class` tells its size.
pub(super) struct Block {
    pub(super) start: NonNull<u8>,
    class: u8,
}

// SAFETY: a block is exclusively owned memory; nothing in it is tied to a thread.
unsafe impl Send for Block {}

struct Shared {
    free: Vec<Vec<Block>>,
    bytes: usize,
}

static SHARED: Mutex<Shared> = Mutex::new(Shared { free: Vec::new(), bytes: 0 });
static SYSTEM_BYTES: AtomicUsize = AtomicUsize::new(0);
static SYSTEM_CALLS: AtomicUsize = AtomicUsize::new(0);

struct Local(Vec<Vec<Block>>);

impl Drop for Local {
    fn drop(&mut self) {
        for block in self.0.drain(..).flatten() {
            give_shared(block);
        }
    }
}

thread_local! {
    static LOCAL: RefCell<Local> = const { RefCell::new(Local(Vec::new())) };
}

/// The smallest class that holds `bytes`.
fn class_of(bytes: usize) -> u8 {
    let units = bytes.max(1).div_ceil(ALIGN);
    if units <= 4 {
        return u8::try_from(units - 1).unwrap_or(0);
    }
    // units in (2^k, 2^(k+1)] are cut in four steps of 2^(k-2).
    let k = (usize::BITS - 1 - (units - 1).leading_zeros()) as usize;
    let step = (units - 1 - (1 << k)) >> (k - 2);
    u8::try_from(4 * (k - 1) + step).unwrap_or(u8::MAX)
}

/// Bytes of a block of `class`.
fn class_bytes(class: u8) -> usize {
    let c = usize::from(class);
    let units = if c < 4 { c + 1 } else { ((c % 4) + 5) << (c / 4 - 1) };
    units * ALIGN
}

fn block_layout(bytes: usize) -> Option<Layout> {
    let align = if bytes >= HUGE { HUGE } else { ALIGN };
    Layout::from_size_align(bytes, align).ok()
}

/// A block from the system; `None` when it has no more.
fn from_system(class: u8) -> Option<Block> {
    let bytes = class_bytes(class);
    let layout = block_layout(bytes)?;
    // SAFETY: the size is not zero.
    let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
    SYSTEM_BYTES.fetch_add(bytes, Ordering::Relaxed);
    SYSTEM_CALLS.fetch_add(1, Ordering::Relaxed);
    #[cfg(target_os = "linux")]
    if bytes >= HUGE {
        // SAFETY: the range is a live allocation of ours; the call is advice and may fail without harm.
        unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
    }
    Some(Block { start, class })
}

#[allow(clippy::needless_pass_by_value, reason = "the block ends here")]
fn to_system(block: Block) {
    let bytes = class_bytes(block.class);
    SYSTEM_BYTES.fetch_sub(bytes, Ordering::Relaxed);
    if let Some(layout) = block_layout(bytes) {
        // SAFETY: the block came from `from_system` with the same layout and nobody else holds it.
        unsafe { dealloc(block.start.as_ptr(), layout) };
    }
}

fn give_shared(block: Block) {
    let bytes = class_bytes(block.class);
    let mut shared = SHARED.lock();
    if shared.bytes + bytes > SHARED_BYTES {
        drop(shared);
        return to_system(block);
    }
    if shared.free.is_empty() {
        shared.free.resize_with(CLASSES, Vec::new);
    }
    shared.bytes += bytes;
    shared.free[usize::from(block.class)].push(block);
}

fn take_shared(class: u8) -> Option<Block> {
    let mut shared = SHARED.lock();
    let block = shared.free.get_mut(usize::from(class))?.pop()?;
    shared.bytes -= class_bytes(class);
    Some(block)
}

/// A block of at least `bytes` bytes with arbitrary contents; `None` when there is no memory for it, not even after
/// unused blocks have gone back to the system.
pub(super) fn take(bytes: usize) -> Option<Block> {
    let class = class_of(bytes);
    let local = LOCAL.try_with(|l| l.borrow_mut().0.get_mut(usize::from(class)).and_then(Vec::pop)).ok().flatten();
    local.or_else(|| take_shared(class)).or_else(|| from_system(class)).or_else(|| {
        trim();
        from_system(class)
    })
}

/// Gives a block back for reuse.
pub(super) fn give(block: Block) {
    let bytes = class_bytes(block.class);
    if bytes > LOCAL_MAX {
        return give_shared(block);
    }
    let class = usize::from(block.class);
    let mut block = Some(block);
    // A thread that is ending has no cache any more.
    let _ = LOCAL.try_with(|l| {
        let mut l = l.borrow_mut();
        if l.0.is_empty() {
            l.0.resize_with(CLASSES, Vec::new);
        }
        if l.0[class].len() * bytes < LOCAL_BYTES {
            l.0[class].extend(block.take());
        }
    });
    if let Some(block) = block {
        give_shared(block);
    }
}

/// What the pool holds, for `memory_stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes that the pool has from the system, in use or not.
    pub system_bytes: usize,
    /// Bytes of these that lie unused in the shared lists and in this thread's cache.
    pub free_bytes: usize,
    /// How often the system was asked for a block since the start.
    pub system_calls: usize,
}

/// Statistics of the pool.
#[must_use]
pub fn stats() -> PoolStats {
    let count = |lists: &Vec<Vec<Block>>| -> usize { lists.iter().flatten().map(|b| class_bytes(b.class)).sum() };
    let local = LOCAL.try_with(|l| count(&l.borrow().0)).unwrap_or(0);
    PoolStats {
        system_bytes: SYSTEM_BYTES.load(Ordering::Relaxed),
        free_bytes: local + count(&SHARED.lock().free),
        system_calls: SYSTEM_CALLS.load(Ordering::Relaxed),
    }
}

/// Gives all unused blocks of the shared lists and of this thread's cache back to the system.
pub fn trim() {
    let mut blocks: Vec<Block> = LOCAL.try_with(|l| l.borrow_mut().0.iter_mut().flat_map(std::mem::take).collect()).unwrap_or_default();
    {
        let mut shared = SHARED.lock();
        shared.bytes = 0;
        blocks.extend(shared.free.iter_mut().flat_map(std::mem::take));
    }
    blocks.into_iter().for_each(to_system);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_promise() {
        let mut last = 0;
        for bytes in (1..200_000).step_by(7).chain([HUGE, HUGE + 1, 1 << 33]) {
            let class = class_of(bytes);
            assert!(class_bytes(class) >= bytes, "{bytes}");
            assert!(class == 0 || class_bytes(class - 1) < bytes, "{bytes} fits a smaller class");
            assert!(class >= last);
            last = class;
        }
        assert!(usize::from(last) < CLASSES);
    }

    #[test]
    fn a_block_comes_back() {
        let a = take(1000).unwrap();
        let p = a.start;
        assert_eq!(p.as_ptr() as usize % ALIGN, 0);
        give(a);
        let b = take(1020).unwrap();
        assert_eq!(b.start, p);
        give(b);
        let s = stats();
        assert!(s.free_bytes >= 1024 && s.system_bytes >= s.free_bytes);
    }
}
