//! Storage: a buffer of the pool, or memory that somebody else owns and lends.
#![allow(unsafe_code, reason = "typed access to raw buffers lives here and nowhere else")]

use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::dtype::{DType, Element};
use super::layout::Layout;
use super::pool;

/// Memory of another owner (a NumPy array, a DLPack tensor). It is never written through an array.
pub trait Lender: Send + Sync {
    /// Called when the tape begins to rely on the contents.
    fn lock(&self);
    /// Called when the tape no longer relies on them.
    fn unlock(&self);
}

enum Owner {
    /// The handle's block, behind the storage itself.
    Handle,
    Pool(ManuallyDrop<pool::Block>),
    Lent {
        lender: Box<dyn Lender>,
        locks: AtomicUsize,
    },
}

/// Raw elements of one dtype, in the shape they were made with. Arrays share it through a [`Handle`](super::Handle);
/// whoever holds it alone may write.
pub struct Storage {
    start: NonNull<u8>,
    len: usize,
    /// Row-major, over all elements: what most arrays are.
    layout: Layout,
    dtype: DType,
    /// Whether this is the copy of a storage that had to be written while others held it.
    copied_to_write: bool,
    owner: Owner,
}

/// Old bytes need not be valid bools, zeros are. To be called with a buffer of `len` elements of `dtype`.
#[inline(always)]
fn valid(dtype: DType, start: NonNull<u8>, len: usize) {
    if dtype == DType::Bool {
        // SAFETY: the buffer holds `len` elements of one byte.
        unsafe { start.as_ptr().write_bytes(0, len) };
    }
}

// SAFETY: shared access is read-only, exclusive access goes through `&mut`; lenders are Send + Sync.
unsafe impl Send for Storage {}
// SAFETY: as above.
unsafe impl Sync for Storage {}

impl Storage {
    /// A buffer of the pool for the `len` elements of a layout, with arbitrary (valid) contents.
    #[inline(always)]
    pub(super) fn pooled(len: usize, layout: Layout, dtype: DType, block: pool::Block) -> Self {
        valid(dtype, block.start, len);
        Self { start: block.start, len, layout, dtype, copied_to_write: false, owner: Owner::Pool(ManuallyDrop::new(block)) }
    }

    /// A buffer that the handle keeps for the `len` elements of a layout, with arbitrary (valid) contents.
    ///
    /// # Safety
    /// `start` is aligned and points to as many bytes as the layout and the dtype need, which live as long as the storage.
    #[inline(always)]
    pub(super) unsafe fn in_handle(len: usize, layout: Layout, dtype: DType, start: NonNull<u8>) -> Self {
        valid(dtype, start, len);
        Self { start, len, layout, dtype, copied_to_write: false, owner: Owner::Handle }
    }

    /// Storage over memory of `lender`.
    ///
    /// # Safety
    /// `start` must be aligned for `dtype` and point to the initialised elements of a row-major array of `shape`
    /// (bytes 0 or 1 for bool) that stay alive until `lender` is dropped and are not written while the library reads them.
    #[must_use]
    pub unsafe fn lent(start: NonNull<u8>, shape: &[usize], dtype: DType, lender: Box<dyn Lender>) -> Self {
        let layout = Layout::contiguous(shape);
        Self { start, len: layout.size(), layout, dtype, copied_to_write: false, owner: Owner::Lent { lender, locks: AtomicUsize::new(0) } }
    }

    /// The row-major layout of all elements.
    #[must_use]
    #[inline]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Number of elements.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Type of the elements.
    #[must_use]
    #[inline]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Whether the memory is ours to write when unshared.
    #[must_use]
    #[inline]
    pub fn is_pooled(&self) -> bool {
        !matches!(self.owner, Owner::Lent { .. })
    }

    /// Whether [`Storage::mark_copied_to_write`] was called.
    #[must_use]
    pub(super) fn is_copied_to_write(&self) -> bool {
        self.copied_to_write
    }

    /// Notes that this is a copy made for a write, since the tape or others held the original.
    pub(super) fn mark_copied_to_write(&mut self) {
        self.copied_to_write = true;
    }

    /// Address of the first element.
    #[must_use]
    #[inline]
    pub fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// All elements.
    ///
    /// # Panics
    /// When `T` is not the dtype: a bug of the caller.
    #[must_use]
    #[inline]
    pub fn as_slice<T: Element>(&self) -> &[T] {
        assert_eq!(T::DTYPE, self.dtype, "storage read with the wrong type");
        // SAFETY: `start` is aligned and holds `len` valid elements of `T`; nobody writes while `&self` lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len) }
    }

    /// All elements, to write.
    ///
    /// # Panics
    /// When `T` is not the dtype or the memory is lent.
    #[inline]
    pub fn as_mut_slice<T: Element>(&mut self) -> &mut [T] {
        self.parts_mut().0
    }

    /// All elements, to write, and their layout.
    ///
    /// # Panics
    /// As [`Storage::as_mut_slice`].
    #[inline]
    pub fn parts_mut<T: Element>(&mut self) -> (&mut [T], &Layout) {
        assert_eq!(T::DTYPE, self.dtype, "storage written with the wrong type");
        assert!(self.is_pooled(), "lent memory is read-only");
        // SAFETY: as in `as_slice`; `&mut self` is exclusive and pool memory has no other owner.
        (unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len) }, &self.layout)
    }

    /// The tape saves these contents: a lender keeps others from writing.
    #[inline]
    pub fn lock(&self) {
        if let Owner::Lent { lender, locks } = &self.owner
            && locks.fetch_add(1, Ordering::AcqRel) == 0
        {
            lender.lock();
        }
    }

    /// Undoes one [`Storage::lock`].
    #[inline]
    pub fn unlock(&self) {
        if let Owner::Lent { lender, locks } = &self.owner
            && locks.fetch_sub(1, Ordering::AcqRel) == 1
        {
            lender.unlock();
        }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        if let Owner::Pool(block) = &mut self.owner {
            // SAFETY: the block is taken once, here.
            pool::give(unsafe { ManuallyDrop::take(block) });
        }
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage({} x {}, {})", self.len, self.dtype, if self.is_pooled() { "pooled" } else { "lent" })
    }
}
