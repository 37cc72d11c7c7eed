//! The buffer pool: blocks of 64-byte aligned memory in size classes, kept for reuse.
//!
//! Small blocks are cached per thread, large ones in one shared list. The system provides zeroed memory, but blocks are handed out
//! uninitialised: a reused block holds old values.
#![allow(unsafe_code, reason = "raw memory is this file's only business")]

use std::alloc::{Layout, alloc, dealloc};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lock::{AtFork, ShortMutex, at_fork};

/// Alignment of every block: a cache line, and enough for any vector register.
pub const ALIGN: usize = 64;
/// Blocks of this size or more use huge pages and are aligned to them.
const HUGE: usize = 2 << 20;
/// Blocks of this size or more start at different page offsets. In a loop over three arrays with equal offsets, the cache lines compete for
/// the same few sets: adding 100,000 floats took 1.4 times as long.
const SPREAD: usize = 16 << 10;
/// Bytes of a page.
const PAGE: usize = 4 << 10;
/// Difference of the page offsets of consecutive blocks: eight offsets, any two of them at least 512 bytes apart.
const SHIFT: usize = 3 * 512;
/// Blocks up to this size are cached by the thread that frees them.
pub(super) const LOCAL_MAX: usize = 64 << 10;
/// Bytes per class that a thread caches before it returns blocks to the shared list.
const LOCAL_BYTES: usize = 1 << 20;
/// Bytes that the shared lists hold before blocks are returned to the system.
const SHARED_BYTES: usize = 1 << 30;
/// Classes: 64 bytes, then four steps for each doubling, up to 2^47.
const CLASSES: usize = 4 * 42;

/// A block of the pool. It is two words, which stay in registers.
pub(super) struct Block {
    pub(super) start: NonNull<u8>,
    /// The class, which determines the size, plus 256 times the distance from the system's allocation to `start`, in cache lines.
    mark: usize,
}

impl Block {
    #[inline]
    fn class(&self) -> usize {
        self.mark & 0xff
    }

    fn shift(&self) -> usize {
        self.mark >> 8
    }
}

// SAFETY: a block is exclusively owned memory; nothing in it is tied to a thread.
unsafe impl Send for Block {}

struct Shared {
    free: Vec<Vec<Block>>,
    bytes: usize,
}

static SHARED: ShortMutex<Shared> = ShortMutex::new(Shared { free: Vec::new(), bytes: 0 });
static SYSTEM_BYTES: AtomicUsize = AtomicUsize::new(0);
static SYSTEM_CALLS: AtomicUsize = AtomicUsize::new(0);
/// Number of system calls for blocks with shifted page offsets.
static SPREAD_CALLS: AtomicUsize = AtomicUsize::new(0);

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
fn class_of(bytes: usize) -> usize {
    let units = bytes.max(1).div_ceil(ALIGN);
    if units <= 4 {
        return units - 1;
    }
    // Units in (2^k, 2^(k+1)] are divided into four classes of 2^(k-2).
    let k = (usize::BITS - 1 - (units - 1).leading_zeros()) as usize;
    let step = (units - 1 - (1 << k)) >> (k - 2);
    4 * (k - 1) + step
}

/// Bytes of a block of `class`.
fn class_bytes(class: usize) -> usize {
    let c = class;
    let units = if c < 4 { c + 1 } else { ((c % 4) + 5) << (c / 4 - 1) };
    units * ALIGN
}

/// The system allocation for a block of a class of this many bytes.
fn block_layout(bytes: usize) -> Option<Layout> {
    let align = if bytes >= HUGE { HUGE } else { ALIGN };
    let room = if bytes >= SPREAD { PAGE } else { 0 };
    Layout::from_size_align(bytes.checked_add(room)?, align).ok()
}

/// A block from the system; `None` when the system has no memory.
fn from_system(class: usize) -> Option<Block> {
    let bytes = class_bytes(class);
    let layout = block_layout(bytes)?;
    // SAFETY: the size is not zero.
    let memory = NonNull::new(unsafe { alloc(layout) })?;
    SYSTEM_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
    SYSTEM_CALLS.fetch_add(1, Ordering::Relaxed);
    #[cfg(target_os = "linux")]
    if bytes >= HUGE {
        // SAFETY: the range is a live allocation of ours; the call is advice and may fail without harm.
        unsafe { libc::madvise(memory.as_ptr().cast(), layout.size(), libc::MADV_HUGEPAGE) };
    }
    // SAFETY: the memory is that long. After the advice: what has been touched before it keeps its small pages.
    unsafe { memory.write_bytes(0, layout.size()) };
    let shift = if bytes >= SPREAD { SPREAD_CALLS.fetch_add(1, Ordering::Relaxed).wrapping_mul(SHIFT) % PAGE / ALIGN } else { 0 };
    // SAFETY: less than a page, which the layout has room for.
    let start = unsafe { memory.add(shift * ALIGN) };
    Some(Block { start, mark: class | shift << 8 })
}

#[allow(clippy::needless_pass_by_value, reason = "the block ends here")]
fn to_system(block: Block) {
    let Some(layout) = block_layout(class_bytes(block.class())) else { return };
    SYSTEM_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
    // SAFETY: the block came from `from_system` with the same layout, begins so far into it, and is unshared.
    unsafe { dealloc(block.start.sub(block.shift() * ALIGN).as_ptr(), layout) };
}

fn give_shared(block: Block) {
    let bytes = class_bytes(block.class());
    let mut shared = SHARED.lock();
    if shared.bytes + bytes > SHARED_BYTES {
        drop(shared);
        return to_system(block);
    }
    if shared.free.is_empty() {
        shared.free.resize_with(CLASSES, Vec::new);
    }
    let list = &mut shared.free[block.class()];
    if list.try_reserve(1).is_err() {
        drop(shared);
        return to_system(block);
    }
    list.push(block);
    shared.bytes += bytes;
}

fn take_shared(class: usize) -> Option<Block> {
    let mut shared = SHARED.lock();
    let block = shared.free.get_mut(class)?.pop()?;
    shared.bytes -= class_bytes(class);
    Some(block)
}

/// A block of at least `bytes` bytes, uninitialised. `None` when there is no memory for it, even after unused blocks were returned to the
/// system.
pub(super) fn take(bytes: usize) -> Option<Block> {
    let class = class_of(bytes);
    let local = LOCAL.try_with(|l| l.borrow_mut().0.get_mut(class).and_then(Vec::pop));
    if let Ok(Some(block)) = local { Some(block) } else { take_elsewhere(class) }
}

#[cold]
fn take_elsewhere(class: usize) -> Option<Block> {
    at_fork(AtFork::Pool, &SHARED);
    take_shared(class).or_else(|| from_system(class)).or_else(|| {
        trim();
        from_system(class)
    })
}

/// Gives a block back for reuse.
#[inline]
pub(super) fn give(block: Block) {
    let (class, bytes) = (block.class(), class_bytes(block.class()));
    let mut left = Some(block);
    if bytes <= LOCAL_MAX {
        // A thread that is ending has no cache any more.
        let _ = LOCAL.try_with(|l| {
            if let Some(list) = l.borrow_mut().0.get_mut(class)
                && list.len() * bytes < LOCAL_BYTES
                && list.try_reserve(1).is_ok()
            {
                list.extend(left.take());
            }
        });
    }
    if let Some(block) = left {
        give_elsewhere(block);
    }
}

/// Puts a block into the cache of a thread that has none yet, or into the shared list.
#[cold]
fn give_elsewhere(block: Block) {
    let (class, bytes) = (block.class(), class_bytes(block.class()));
    let mut left = Some(block);
    if bytes <= LOCAL_MAX {
        let _ = LOCAL.try_with(|l| {
            let mut l = l.borrow_mut();
            if l.0.is_empty() {
                l.0.resize_with(CLASSES, Vec::new);
                l.0[class].extend(left.take());
            }
        });
    }
    if let Some(block) = left {
        give_shared(block);
    }
}

/// State of the pool, for `memory_stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes that the pool has from the system, used or not.
    pub system_bytes: usize,
    /// Bytes of these that are unused, in the shared lists and in this thread's cache.
    pub free_bytes: usize,
    /// How often the system was asked for a block since the start.
    pub system_calls: usize,
}

/// Statistics of the pool.
#[must_use]
pub fn stats() -> PoolStats {
    let count = |lists: &Vec<Vec<Block>>| -> usize { lists.iter().flatten().map(|b| class_bytes(b.class())).sum() };
    let local = LOCAL.try_with(|l| count(&l.borrow().0)).unwrap_or(0);
    PoolStats {
        system_bytes: SYSTEM_BYTES.load(Ordering::Relaxed),
        free_bytes: local + count(&SHARED.lock().free),
        system_calls: SYSTEM_CALLS.load(Ordering::Relaxed),
    }
}

/// Returns all unused blocks of the shared lists and of this thread's cache to the system.
pub fn trim() {
    // One list at a time: a list of all blocks would need memory.
    for class in 0..CLASSES {
        let local = LOCAL.try_with(|l| l.borrow_mut().0.get_mut(class).map(std::mem::take)).ok().flatten();
        let shared = {
            let mut shared = SHARED.lock();
            let list = shared.free.get_mut(class).map(std::mem::take).unwrap_or_default();
            shared.bytes -= list.len() * class_bytes(class);
            list
        };
        local.into_iter().flatten().chain(shared).for_each(to_system);
    }
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
        assert!(last < CLASSES);
    }

    #[test]
    fn large_blocks_begin_at_different_places_of_a_page() {
        // Other threads may take blocks at the same time, so not all eight need different offsets.
        let blocks: Vec<Block> = (0..8).filter_map(|_| from_system(class_of(100_000))).collect();
        let mut places: Vec<usize> = blocks.iter().map(|b| b.start.as_ptr() as usize / 512 % 8).collect();
        places.sort_unstable();
        places.dedup();
        assert!(places.len() >= 4, "{places:?}");
        blocks.into_iter().for_each(to_system);
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
