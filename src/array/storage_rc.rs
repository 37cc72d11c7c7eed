//! Reference-counted handles of storages, in pool memory.
//!
//! Like `Arc<Storage>`, with two differences that every operation benefits from: the count, the storage and the elements of a small array
//! are in one block, and that block comes from the pool and not from the system's allocator.
#![allow(unsafe_code, reason = "shared ownership of raw blocks")]

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use super::alloc_check;
use super::dtype::DType;
use super::layout::{Layout, few};
use super::pool::{self, ALIGN, Block};
use super::storage::Storage;

/// Up to this many bytes, elements are in the handle's own block.
const INLINE: usize = 8192;
/// Where the elements begin in the block.
const HEADER: usize = size_of::<Cell>().next_multiple_of(ALIGN);

struct Cell {
    count: AtomicUsize,
    block: Block,
    storage: Storage,
}

/// A counted reference to a [`Storage`].
pub struct Handle(NonNull<Cell>);

// SAFETY: the count is atomic; the storage is Send + Sync and goes with the last handle, on whatever thread that is.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// A block for the cell of a handle, and for small data after it.
#[inline]
fn header(bytes: usize) -> Block {
    pool::take(bytes).unwrap_or_else(|| alloc_check::raise(alloc_check::no_memory("", &[bytes], DType::U8)))
}

impl Handle {
    /// A new row-major buffer for `shape`, with arbitrary valid contents.
    ///
    /// Unwinds with an error when there is no memory for it. Operations that make arrays larger than their operands call
    /// [`check_memory`](super::check_memory) first.
    #[must_use]
    pub fn new(shape: &[usize], dtype: DType) -> Self {
        if shape.len() > 4 {
            alloc_check::check_ndim(shape.len());
        }
        let Some((len, bytes)) = alloc_check::extent_of(shape, dtype) else { alloc_check::raise(alloc_check::too_large("", shape, dtype)) };
        if bytes > INLINE {
            let Some(data) = pool::take(bytes) else { alloc_check::raise(alloc_check::no_memory("", shape, dtype)) };
            return Self::place(header(HEADER), Storage::pooled(len, Layout::contiguous(shape), dtype, data));
        }
        // Two branches with the same meaning: in the first, the parts stay in registers until they are written to their place.
        match few(shape) {
            Some(sizes) => Self::small(len, bytes, Layout::of_few(sizes, shape.len()), dtype),
            None => Self::small(len, bytes, Layout::contiguous(shape), dtype),
        }
    }

    /// A buffer in the handle's own block.
    #[inline(always)]
    fn small(len: usize, bytes: usize, layout: Layout, dtype: DType) -> Self {
        let block = header(HEADER + bytes);
        // SAFETY: the block is that long, aligned as every block, and lives until the storage is dropped.
        let storage = unsafe { Storage::in_handle(len, layout, dtype, block.start.add(HEADER)) };
        Self::place(block, storage)
    }

    /// A handle of `storage`.
    #[must_use]
    pub fn of(storage: Storage) -> Self {
        Self::place(header(HEADER), storage)
    }

    #[inline(always)]
    fn place(block: Block, storage: Storage) -> Self {
        let cell = block.start.cast::<Cell>();
        // SAFETY: the block is at least HEADER bytes and aligned to a cache line; it is unshared.
        unsafe { cell.write(Cell { count: AtomicUsize::new(1), block, storage }) };
        Self(cell)
    }

    /// Whether both refer to the same storage.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// The identity of its storage among all that are alive.
    #[must_use]
    #[inline]
    pub fn id(&self) -> usize {
        self.0.as_ptr() as usize
    }

    /// The present number of references to the storage.
    #[must_use]
    pub fn count(&self) -> usize {
        self.cell().count.load(Ordering::Acquire)
    }

    #[inline]
    fn cell(&self) -> &Cell {
        // SAFETY: the cell lives while a handle does.
        unsafe { self.0.as_ref() }
    }

    /// The storage, for writing, if this is the only reference.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut Storage> {
        // Acquire: reads and writes of former holders happened before.
        if self.cell().count.load(Ordering::Acquire) != 1 {
            return None;
        }
        // SAFETY: this is the only handle, borrowed exclusively, so the storage cannot be reached, nor a handle made, from elsewhere.
        Some(unsafe { &mut self.0.as_mut().storage })
    }
}

impl Deref for Handle {
    type Target = Storage;

    #[inline]
    fn deref(&self) -> &Storage {
        &self.cell().storage
    }
}

impl Clone for Handle {
    #[inline]
    fn clone(&self) -> Self {
        let old = self.cell().count.fetch_add(1, Ordering::Relaxed);
        // As in `Arc`: leaked handles must not overflow the count.
        if old > isize::MAX.cast_unsigned() {
            std::process::abort();
        }
        Self(self.0)
    }
}

impl Drop for Handle {
    #[inline]
    fn drop(&mut self) {
        let count = &self.cell().count;
        // No second handle can be made from the only one meanwhile, so the count need not be written.
        if count.load(Ordering::Acquire) != 1 {
            if count.fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            fence(Ordering::Acquire);
        }
        // SAFETY: this was the last handle. The block is read out before the storage, which lies in it, is dropped.
        unsafe {
            let cell = self.0.as_ptr();
            let block = (&raw const (*cell).block).read();
            (&raw mut (*cell).storage).drop_in_place();
            pool::give(block);
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_handle_may_write() {
        for n in [0, 3, 1000] {
            let mut a = Handle::new(&[n], DType::F64);
            a.get_mut().unwrap().as_mut_slice::<f64>().fill(1.5);
            let b = a.clone();
            assert!(a.get_mut().is_none());
            assert_eq!(b.as_slice::<f64>(), vec![1.5; n]);
            drop(a);
            let mut b = b;
            assert!(b.get_mut().is_some());
        }
    }

    #[test]
    fn handles_cross_threads() {
        let a = Handle::new(&[8], DType::I64);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let a = a.clone();
                std::thread::spawn(move || (0..1000).map(|_| a.clone()).map(|h| h.len()).sum::<usize>())
            })
            .collect();
        assert_eq!(threads.into_iter().map(|t| t.join().unwrap()).sum::<usize>(), 4 * 1000 * 8);
        let mut a = a;
        assert!(a.get_mut().is_some());
    }

    #[test]
    fn bools_are_valid() {
        let mut a = Handle::new(&[100], DType::U8);
        a.get_mut().unwrap().as_mut_slice::<u8>().fill(7);
        drop(a);
        assert!(!Handle::new(&[100], DType::Bool).as_slice::<bool>().contains(&true));
    }
}
