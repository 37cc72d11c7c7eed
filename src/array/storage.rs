//! Storage: a buffer of the pool, or memory lent by another owner.
#![allow(unsafe_code, reason = "typed access to raw buffers lives here and nowhere else")]

use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::dtype::{DType, Plain};
use super::layout::Layout;
use super::pool;
use super::storage_rc::Handle;

/// Memory of another owner (a NumPy array, a DLPack tensor). It is never written through an array.
pub trait Lender: Send + Sync {
    /// How the tape may save the present contents.
    fn keep(&self) -> Keep;
}

/// How the tape saves the contents of lent memory.
pub enum Keep {
    /// As a copy: the owner may write at any time.
    Copy,
    /// In place: only the lender can access the memory, now and later.
    InPlace,
    /// In place: the owner promises not to write. The returned lender lends the same memory and is dropped when the tape no longer needs
    /// the contents.
    Promised(Box<dyn Lender>),
}

enum Owner {
    /// The block of the handle, after the storage itself.
    Handle,
    Pool(ManuallyDrop<pool::Block>),
    Lent(Box<Lent>),
}

/// Memory of another owner, and its copy.
struct Lent {
    lender: Box<dyn Lender>,
    /// The copy that every reader uses since the tape first needed the contents.
    copy: OnceLock<Handle>,
    /// Whether the memory can no longer be written.
    constant: AtomicBool,
}

/// Raw elements of one dtype, with the shape they were created with. Arrays share it through a [`Handle`]. Only a sole
/// holder may write.
pub struct Storage {
    /// The first element. It changes at most once, when lent memory is copied; the old memory lives as long as the storage.
    start: AtomicPtr<u8>,
    len: usize,
    /// Row-major, over all elements: the layout of most arrays.
    layout: Layout,
    dtype: DType,
    /// Whether this is the copy of a storage that was shared when it had to be written.
    copied_to_write: bool,
    owner: Owner,
}

/// Old bytes need not be valid bools; zeros are. The buffer must hold `len` elements of `dtype`.
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
    /// A pool buffer for the `len` elements of a layout, with arbitrary valid contents.
    #[inline(always)]
    pub(super) fn pooled(len: usize, layout: Layout, dtype: DType, block: pool::Block) -> Self {
        valid(dtype, block.start, len);
        Self { start: AtomicPtr::new(block.start.as_ptr()), len, layout, dtype, copied_to_write: false, owner: Owner::Pool(ManuallyDrop::new(block)) }
    }

    /// A buffer that belongs to the handle, for the `len` elements of a layout, with arbitrary valid contents.
    ///
    /// # Safety
    /// `start` is aligned and points to as many bytes as the layout and the dtype need, which live as long as the storage.
    #[inline(always)]
    pub(super) unsafe fn in_handle(len: usize, layout: Layout, dtype: DType, start: NonNull<u8>) -> Self {
        valid(dtype, start, len);
        Self { start: AtomicPtr::new(start.as_ptr()), len, layout, dtype, copied_to_write: false, owner: Owner::Handle }
    }

    /// Storage over memory of `lender`.
    ///
    /// # Safety
    /// `start` must be aligned for `dtype`, which is not bool, and to the size of an element up to eight bytes, and point to the
    /// initialised elements of a row-major array of `shape` that stay alive until `lender` is dropped. A reader of the storage, while
    /// [`Storage::is_lent`], keeps its owner from writing meanwhile (for memory that Python code can reach: by holding the GIL).
    #[must_use]
    pub unsafe fn lent(start: NonNull<u8>, shape: &[usize], dtype: DType, lender: Box<dyn Lender>) -> Self {
        debug_assert_ne!(dtype, DType::Bool, "bools of others are copied: any byte but 0 and 1 is invalid");
        let layout = Layout::contiguous(shape);
        let lent = Lent { lender, copy: OnceLock::new(), constant: AtomicBool::new(false) };
        let (len, owner) = (layout.size(), Owner::Lent(Box::new(lent)));
        Self { start: AtomicPtr::new(start.as_ptr()), len, layout, dtype, copied_to_write: false, owner }
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

    /// Whether this storage owns its memory and may write it when unshared.
    #[must_use]
    #[inline]
    pub fn is_pooled(&self) -> bool {
        !matches!(self.owner, Owner::Lent(_))
    }

    /// Whether another owner may write the memory at any time.
    #[must_use]
    #[inline]
    pub fn is_lent(&self) -> bool {
        match &self.owner {
            Owner::Handle | Owner::Pool(_) => false,
            Owner::Lent(lent) => !lent.constant.load(Ordering::Acquire),
        }
    }

    /// The copy that has replaced lent memory, if there is one.
    pub(super) fn copied(&self) -> Option<&Handle> {
        if let Owner::Lent(lent) = &self.owner { lent.copy.get() } else { None }
    }

    /// Whether [`Storage::mark_copied_to_write`] was called.
    #[must_use]
    pub(super) fn is_copied_to_write(&self) -> bool {
        self.copied_to_write
    }

    /// Notes that this is a copy made for a write, because the tape or others held the original.
    pub(super) fn mark_copied_to_write(&mut self) {
        self.copied_to_write = true;
    }

    /// Whether dropping it is fast: pool memory that goes to a cache of this thread.
    #[must_use]
    #[inline]
    pub fn is_small(&self) -> bool {
        self.is_pooled() && self.len <= pool::LOCAL_MAX / size_of::<f64>()
    }

    /// Address of the first element.
    #[must_use]
    #[inline]
    pub fn as_ptr(&self) -> *const u8 {
        self.address()
    }

    /// Acquire: the copy of lent memory is complete before its address is visible.
    #[inline(always)]
    fn address(&self) -> *mut u8 {
        self.start.load(Ordering::Acquire)
    }

    /// All elements.
    ///
    /// # Panics
    /// When `T` is not the dtype: a bug of the caller.
    #[must_use]
    #[inline]
    pub fn as_slice<T: Plain>(&self) -> &[T] {
        assert!(T::reads(self.dtype), "storage of {} read with the wrong type", self.dtype);
        // SAFETY: `start` is aligned and holds `len` valid elements of `T` for as long as the storage lives. Pool memory is
        // not written while `&self` lives; see `Storage::lent` for lent memory.
        unsafe { std::slice::from_raw_parts(self.address().cast(), self.len) }
    }

    /// All elements, for writing.
    ///
    /// # Panics
    /// When `T` is not the dtype or the memory is lent.
    #[inline]
    pub fn as_mut_slice<T: Plain>(&mut self) -> &mut [T] {
        self.parts_mut().0
    }

    /// All elements, for writing, and their layout.
    ///
    /// # Panics
    /// As [`Storage::as_mut_slice`].
    #[inline]
    pub fn parts_mut<T: Plain>(&mut self) -> (&mut [T], &Layout) {
        assert!(T::reads(self.dtype), "storage of {} written with the wrong type", self.dtype);
        assert!(self.is_pooled(), "lent memory is read-only");
        // SAFETY: as in `as_slice`; `&mut self` is exclusive and pool memory has no other owner.
        (unsafe { std::slice::from_raw_parts_mut(self.address().cast(), self.len) }, &self.layout)
    }

    /// Reinterprets the bytes as elements of `dtype` in row-major `layout`.
    ///
    /// # Panics
    /// When they do not fit the bytes, or the memory is lent.
    pub(super) fn turn_into(&mut self, dtype: DType, layout: Layout) {
        assert!(self.is_pooled() && dtype != DType::Bool, "lent memory stays what it is");
        assert_eq!(self.len * self.dtype.size(), layout.size() * dtype.size(), "the bytes stay as many");
        (self.len, self.layout, self.dtype) = (layout.size(), layout, dtype);
    }

    /// How the tape may save the contents: in place for pool memory, else as the lender says.
    pub(super) fn keep(&self) -> Keep {
        let Owner::Lent(lent) = &self.owner else { return Keep::InPlace };
        if !self.is_lent() {
            return Keep::InPlace;
        }
        let keep = lent.lender.keep();
        if matches!(keep, Keep::InPlace) {
            lent.constant.store(true, Ordering::Release);
        }
        keep
    }

    /// A copy of lent memory, made once. From then on every reader of this storage uses the copy.
    ///
    /// # Panics
    /// For pool memory: a bug of the caller.
    pub(super) fn move_to_copy(&self) -> &Handle {
        let Owner::Lent(lent) = &self.owner else { unreachable!("only lent memory is replaced by a copy") };
        lent.copy.get_or_init(|| {
            let copy = Handle::new(self.layout.shape(), self.dtype);
            let to = copy.address();
            // SAFETY: both hold `len` elements of the dtype; `copy` is new, so the two do not overlap and is unshared.
            // The lent memory is read through its address alone: no reference to it exists here.
            unsafe { std::ptr::copy_nonoverlapping(self.address().cast_const(), to, self.len * self.dtype.size()) };
            self.start.store(to, Ordering::Release);
            lent.constant.store(true, Ordering::Release);
            copy
        })
    }

    /// Storage of the same memory, lent by `lender` and constant while that lives.
    pub(super) fn promised(&self, lender: Box<dyn Lender>) -> Self {
        let lent = Lent { lender, copy: OnceLock::new(), constant: AtomicBool::new(true) };
        let start = AtomicPtr::new(self.address());
        Self { start, len: self.len, layout: self.layout.clone(), dtype: self.dtype, copied_to_write: false, owner: Owner::Lent(Box::new(lent)) }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::super::Array;
    use super::*;

    /// Lends the memory of a boxed slice and counts how many lenders live.
    struct Owner {
        memory: Arc<Vec<AtomicUsize>>,
        answer: fn(&Owner) -> Keep,
        alive: Arc<()>,
    }

    impl Lender for Owner {
        fn keep(&self) -> Keep {
            (self.answer)(self)
        }
    }

    impl Owner {
        fn again(&self) -> Box<dyn Lender> {
            Box::new(Self { memory: Arc::clone(&self.memory), answer: |_| Keep::InPlace, alive: Arc::clone(&self.alive) })
        }
    }

    /// An array of 0, 1, … over memory of an owner, the memory, and what counts lenders.
    fn lent(n: usize, answer: fn(&Owner) -> Keep) -> (Array, Arc<Vec<AtomicUsize>>, Arc<()>) {
        let memory: Arc<Vec<AtomicUsize>> = Arc::new((0..n).map(AtomicUsize::new).collect());
        let alive = Arc::new(());
        let start = NonNull::from(&memory[0]).cast();
        let owner = Box::new(Owner { memory: Arc::clone(&memory), answer, alive: Arc::clone(&alive) });
        // SAFETY: `n` aligned integers of eight bytes, which the lender keeps alive. The tests write them only while nothing reads.
        let storage = unsafe { Storage::lent(start, &[n], DType::I64, owner) };
        (Array::from_storage(Handle::of(storage), Layout::contiguous(&[n])), memory, alive)
    }

    fn write(memory: &[AtomicUsize], value: usize) {
        for m in memory {
            m.store(value, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_copy_is_made_once_and_seen_by_all() {
        let (a, memory, alive) = lent(4, |_| Keep::Copy);
        let part = a.with_layout(a.layout().slice(0, 1, 2, 1));
        write(&memory, 7);
        assert_eq!(a.to_vec::<i64>(), [7; 4]);
        assert!(a.is_lent() && !a.storage().is_pooled());
        let kept = part.kept();
        write(&memory, 9);
        assert_eq!((a.to_vec::<i64>(), part.to_vec::<i64>(), kept.to_vec::<i64>()), (vec![7; 4], vec![7; 2], vec![7; 2]));
        assert!(!a.is_lent() && kept.storage().is_pooled());
        assert!(a.kept().storage().is(kept.storage()) && a.pooled().storage().is(kept.storage()));
        assert!(a.moved().is_some_and(|m| m.storage().is(kept.storage())));
        drop((a, part));
        assert_eq!(Arc::strong_count(&alive), 1, "the copy does not hold the owner");
        assert_eq!(kept.to_vec::<i64>(), [7; 2]);
    }

    #[test]
    fn threads_agree_on_the_copy() {
        for _ in 0..50 {
            let (a, ..) = lent(1000, |_| Keep::Copy);
            let copies: Vec<Array> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| a.kept())).collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            assert!(copies.iter().all(|c| c.storage().is(copies[0].storage())));
            assert_eq!(copies[0].to_vec::<i64>(), (0..1000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_no_one_else_reaches_stays() {
        let (a, ..) = lent(4, |_| Keep::InPlace);
        let kept = a.kept();
        assert!(kept.storage().is(a.storage()) && !a.is_lent() && a.moved().is_none());
        let mut mine = a.clone();
        mine.data_mut::<i64>()[0] = 9;
        assert_eq!(a.to_vec::<i64>(), [0, 1, 2, 3], "lent memory is never written");
        assert!(!a.pooled().storage().is(a.storage()));
    }

    #[test]
    fn a_promise_lasts_as_long_as_what_was_kept() {
        let (a, memory, alive) = lent(4, |owner| Keep::Promised(owner.again()));
        let kept = a.kept();
        assert_eq!(kept.storage().as_ptr(), a.storage().as_ptr());
        assert!(a.is_lent() && !kept.is_lent());
        let twice = kept.kept();
        assert_eq!(Arc::strong_count(&alive), 3);
        drop((kept, twice));
        assert_eq!(Arc::strong_count(&alive), 2);
        write(&memory, 9);
        assert_eq!(a.to_vec::<i64>(), [9; 4]);
    }

    #[test]
    fn a_small_part_of_large_memory_is_copied_alone() {
        let (a, memory, _) = lent(3 << 20, |_| Keep::Copy);
        let part = a.with_layout(a.layout().slice(0, 5, 2, 1));
        let kept = part.kept();
        write(&memory[..8], 9);
        assert_eq!((kept.to_vec::<i64>(), part.to_vec::<i64>()), (vec![5, 6], vec![9, 9]));
        assert!(a.is_lent() && kept.storage().len() == 2);
    }
}
