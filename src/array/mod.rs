//! Arrays: shared immutable views of typed storage. This room knows no arithmetic.
//!
//! An [`Array`] is a reference to a [`Storage`], viewed through a [`Layout`]: the storage's own, or another one. A value never changes
//! while others hold it: [`Array::data_mut`] overwrites an unshared buffer and copies a shared one.

pub mod alloc_check;
mod bits;
mod display;
mod dtype;
mod gathered;
mod half;
mod layout;
pub(crate) mod number_text;
pub mod pool;
mod row_blocks;
mod storage;
mod storage_rc;
mod strided;
mod transpose_tile;

use std::sync::Arc;

use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn, ShapeBuilder};

pub use alloc_check::{MAX_NDIM, check_growth, check_memory};
pub use bits::{Bits1, Bits2, Bits4, Bits8, Bits16, of_bits, of_bits_mut, to_bits};
pub use display::{DisplayOptions, format_array};
pub use dtype::{DKind, DType, Element, Plain, Scalar, default_float, set_default_float};
pub use gathered::{Aligned, Grid, PERIOD};
pub use half::{BF16, F16, odd_f32};
pub use layout::{Layout, Shape, Strides, broadcast_shapes, dims, few, normalize_axis, same, size_of};
pub use row_blocks::{Bands, Body, ByRows, Rows};
pub use storage::{Keep, Lender, Storage};
pub use storage_rc::Handle;
pub use strided::Cursor;
pub use transpose_tile::{LINE, prefetch_line};

use crate::dispatch;
use crate::error::{Error, Result, show_shape};

/// Lent memory up to this size is copied as a whole, even if only a part of it is needed.
const LARGE_LENT_BYTES: usize = 16 << 20;

/// An n-dimensional array: cheap to clone, immutable, possibly a view of a part of its storage.
#[derive(Clone, Debug)]
pub struct Array {
    storage: Handle,
    /// `None` for the storage's own layout: all elements, row-major. Then cloning the array only increments a count.
    view: Option<Arc<Layout>>,
}

impl Array {
    /// A new, uninitialised array, to be filled through [`Array::data_mut`].
    #[must_use]
    pub fn empty(shape: &[usize], dtype: DType) -> Self {
        Self { storage: Handle::new(shape, dtype), view: None }
    }

    /// A new array. `fill` must write all elements.
    #[must_use]
    pub fn build<T: Plain>(shape: &[usize], fill: impl FnOnce(&mut [T])) -> Self {
        let mut out = Self::empty(shape, T::DTYPE);
        fill(out.fresh().as_mut_slice());
        out
    }

    /// An array over given storage.
    ///
    /// # Panics
    /// When the layout reaches outside the storage: a bug of the caller.
    #[must_use]
    pub fn from_storage(storage: Handle, layout: Layout) -> Self {
        if let Some((_, end)) = layout.extent() {
            assert!(end <= storage.len(), "layout reaches outside its storage");
        }
        let view = (layout != *storage.layout()).then(|| {
            alloc_check::check_low();
            if layout.ndim() > 4 {
                alloc_check::check_ndim(layout.ndim());
            }
            Arc::new(layout)
        });
        Self { storage, view }
    }

    /// The storage of a new array.
    #[inline]
    fn fresh(&mut self) -> &mut Storage {
        match self.storage.get_mut() {
            Some(storage) => storage,
            None => unreachable!("a new storage is unshared"),
        }
    }

    /// All elements equal to `value`.
    #[must_use]
    pub fn full(shape: &[usize], value: Scalar, dtype: DType) -> Self {
        let mut out = Self::empty(shape, dtype);
        dispatch!(dtype, T => out.data_mut::<T>().fill(T::from_scalar(value)));
        out
    }

    /// All elements zero.
    #[must_use]
    pub fn zeros(shape: &[usize], dtype: DType) -> Self {
        Self::full(shape, Scalar::Int(0), dtype)
    }

    /// All elements one.
    #[must_use]
    pub fn ones(shape: &[usize], dtype: DType) -> Self {
        Self::full(shape, Scalar::Int(1), dtype)
    }

    /// A 0-d array.
    #[must_use]
    pub fn scalar<T: Element>(value: T) -> Self {
        Self::from_slice(&[value], &[])
    }

    /// A copy of `data` with `shape`.
    ///
    /// # Panics
    /// When the number of elements is not the shape's: a bug of the caller.
    #[must_use]
    pub fn from_slice<T: Plain>(data: &[T], shape: &[usize]) -> Self {
        let mut out = Self::empty(shape, T::DTYPE);
        out.data_mut::<T>().copy_from_slice(data);
        out
    }

    /// Type of the elements.
    #[must_use]
    #[inline]
    pub fn dtype(&self) -> DType {
        self.storage.dtype()
    }

    /// Sizes of the axes.
    #[must_use]
    #[inline]
    pub fn shape(&self) -> &[usize] {
        self.layout().shape()
    }

    /// Number of axes.
    #[must_use]
    #[inline]
    pub fn ndim(&self) -> usize {
        self.layout().ndim()
    }

    /// Number of elements.
    #[must_use]
    #[inline]
    pub fn size(&self) -> usize {
        self.view.as_ref().map_or_else(|| self.storage.len(), |view| view.size())
    }

    /// Bytes that the elements would take without sharing.
    #[must_use]
    #[inline]
    pub fn nbytes(&self) -> usize {
        self.size() * self.dtype().size()
    }

    /// Where the elements are in the storage.
    #[must_use]
    #[inline]
    pub fn layout(&self) -> &Layout {
        match &self.view {
            None => self.storage.layout(),
            Some(view) => view,
        }
    }

    /// Whether the elements are contiguous in row-major order.
    #[must_use]
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.view.as_ref().is_none_or(|view| view.is_contiguous())
    }

    /// The address of the first element.
    #[inline]
    fn offset(&self) -> usize {
        self.view.as_ref().map_or(0, |view| view.offset())
    }

    /// The storage behind the array.
    #[must_use]
    #[inline]
    pub fn storage(&self) -> &Handle {
        &self.storage
    }

    /// Whether this array is the only holder of its storage, in row-major order, and so may overwrite it.
    #[must_use]
    #[inline]
    pub fn is_unique(&mut self) -> bool {
        self.is_contiguous() && self.storage.is_pooled() && self.storage.get_mut().is_some()
    }

    /// The whole storage. The layout says which part belongs to the array.
    #[must_use]
    #[inline]
    pub fn raw<T: Plain>(&self) -> &[T] {
        self.storage.as_slice()
    }

    /// The elements, if they are contiguous in row-major order.
    #[must_use]
    #[inline]
    pub fn as_slice<T: Plain>(&self) -> Option<&[T]> {
        let all = self.storage.as_slice();
        match &self.view {
            None => Some(all),
            Some(view) if !view.is_contiguous() => None,
            Some(view) => Some(if view.size() == 0 { &[] } else { &all[view.offset()..view.offset() + view.size()] }),
        }
    }

    /// The elements, if there are `n` and they are contiguous in row-major order.
    #[must_use]
    #[inline(always)]
    pub fn slice_of<T: Plain>(&self, n: usize) -> Option<&[T]> {
        let all = if self.view.is_none() { self.storage.as_slice() } else { self.as_slice()? };
        (all.len() == n).then_some(all)
    }

    /// The elements in row-major order, copied if they are not contiguous.
    #[must_use]
    pub fn to_vec<T: Plain>(&self) -> Vec<T> {
        let mut out = alloc_check::zeros(self.size(), self.dtype());
        self.read(&mut out);
        out
    }

    /// Copies all elements in row-major order.
    fn read<T: Plain>(&self, out: &mut [T]) {
        if out.len() > PERIOD
            && let Some(grid) = Grid::new(std::array::from_ref(self.layout()))
        {
            return grid.run([self.raw()], 0, out, 1, &|[piece]: &[&[T]; 1], out: &mut [T]| out.copy_from_slice(piece));
        }
        Cursor::new(self.layout()).read(self.raw(), 0, out);
    }

    /// The elements in row-major order, for writing: in place when the storage is unshared, else in a copy.
    ///
    /// # Panics
    /// When `T` is not the dtype: a bug of the caller.
    pub fn data_mut<T: Plain>(&mut self) -> &mut [T] {
        if !self.is_unique() {
            *self = self.copy();
        }
        let part = self.view.as_ref().map_or(0..self.storage.len(), |view| view.offset()..view.offset() + view.size());
        let all = self.fresh().as_mut_slice();
        if part.is_empty() { &mut [] } else { &mut all[part] }
    }

    /// The whole storage and the layout, for writing some elements. A shared storage is copied first.
    ///
    /// # Panics
    /// When `T` is not the dtype: a bug of the caller.
    pub fn raw_mut<T: Plain>(&mut self) -> (&mut [T], &Layout) {
        let writable = self.storage.is_pooled() && self.storage.get_mut().is_some();
        if !writable || self.layout().strides().iter().zip(self.layout().shape()).any(|(&s, &n)| s == 0 && n > 1) {
            *self = self.copy();
        }
        let Some(storage) = self.storage.get_mut() else { unreachable!("a fresh copy is unshared") };
        let (elements, whole) = storage.parts_mut();
        (elements, self.view.as_deref().unwrap_or(whole))
    }

    /// Makes this the only holder of a row-major buffer, for writing a part of it. If that takes a copy, the old array is returned: it must
    /// be dropped without locks, because its memory may belong to another owner.
    ///
    /// Small parts of such a copy that are saved later are copied (`Array::compact_part`). So writing an array part by part, while the
    /// tape saves parts of it, costs time in proportion to the parts.
    #[must_use]
    pub fn make_writable(&mut self) -> Option<Self> {
        if self.is_unique() {
            return None;
        }
        let mut new = self.copy();
        new.fresh().mark_copied_to_write();
        Some(std::mem::replace(self, new))
    }

    /// Whether it has a layout of its own, as parts of a buffer have.
    #[inline]
    pub(crate) fn is_part(&self) -> bool {
        self.view.is_some()
    }

    /// A copy of a small part of a buffer that is being written part by part. Holding the part itself would force the next write to copy
    /// the buffer. `None` for all other arrays.
    pub(crate) fn compact_part(&self) -> Option<Self> {
        /// The largest part that is copied, as a share of the buffer.
        const SHARE: usize = 8;
        (self.is_part() && self.storage.is_copied_to_write() && self.size() <= self.storage.len() / SHARE).then(|| self.copy())
    }

    /// The layout, for sharing; `None` when it is the storage's own.
    #[must_use]
    pub fn shared_layout(&self) -> Option<&Arc<Layout>> {
        self.view.as_ref()
    }

    /// The part of this row-major array at the row-major positions `map`. The layout is shared if possible.
    ///
    /// # Panics
    /// When the map reaches outside the array: a bug of the caller.
    #[must_use]
    pub(crate) fn window(&self, map: &Arc<Layout>) -> Self {
        debug_assert!(self.is_contiguous());
        let offset = self.offset();
        if offset > 0 || **map == *self.storage.layout() {
            return self.with_layout(map.shifted(offset));
        }
        assert!(map.extent().is_none_or(|(_, end)| end <= self.storage.len()), "layout reaches outside its storage");
        Self { storage: self.storage.clone(), view: Some(Arc::clone(map)) }
    }

    /// A row-major copy.
    #[must_use]
    pub fn copy(&self) -> Self {
        let mut out = Self::empty(self.shape(), self.dtype());
        let storage = out.fresh();
        dispatch!(bits self.dtype(), T => self.read::<T>(storage.as_mut_slice()));
        out
    }

    /// Whether another owner may write the memory at any time.
    #[must_use]
    #[inline]
    pub fn is_lent(&self) -> bool {
        self.storage.is_lent()
    }

    /// The elements in pool memory: a copy if another owner lends the memory.
    #[must_use]
    pub fn pooled(&self) -> Self {
        match self.storage.copied() {
            Some(copy) => Self { storage: copy.clone(), view: self.view.clone() },
            None if self.storage.is_pooled() => self.clone(),
            None => self.copy(),
        }
    }

    /// Like [`pooled`](Self::pooled), but a copy preserves axes of stride 0.
    #[must_use]
    pub fn pooled_broadcast(&self) -> Self {
        if self.storage.is_pooled() || self.storage.copied().is_some() {
            return self.pooled();
        }
        let mut once = self.layout().clone();
        for (axis, (&n, &stride)) in self.shape().iter().zip(self.layout().strides()).enumerate() {
            if n > 1 && stride == 0 {
                once = once.slice(axis, 0, 1, 1);
            }
        }
        let copy = self.with_layout(once).copy();
        copy.broadcast_to("copy", self.shape()).unwrap_or(copy)
    }

    /// This array in the copy that has replaced its lent memory, if there is one.
    #[must_use]
    pub fn moved(&self) -> Option<Self> {
        self.storage.copied().map(|copy| Self { storage: copy.clone(), view: self.view.clone() })
    }

    /// The array as the tape saves it: its elements never change.
    ///
    /// Lent memory is copied once, as a whole, and everything that shares its storage uses the copy from then on. But a small part of large
    /// memory is copied alone, each time: a batch of a data set must not double the set.
    #[must_use]
    pub fn kept(&self) -> Self {
        match self.storage.keep() {
            Keep::InPlace => self.moved().unwrap_or_else(|| self.clone()),
            Keep::Promised(lender) => Self { storage: Handle::of(self.storage.promised(lender)), view: self.view.clone() },
            Keep::Copy if self.is_small_part() => self.copy(),
            Keep::Copy => Self { storage: self.storage.move_to_copy().clone(), view: self.view.clone() },
        }
    }

    /// Whether copying the whole storage would cost much more than copying the array's elements.
    fn is_small_part(&self) -> bool {
        let whole = self.storage.len() * self.dtype().size();
        whole > LARGE_LENT_BYTES && self.nbytes() < whole / 8
    }

    /// This array, or a row-major copy.
    #[must_use]
    pub fn contiguous(&self) -> Self {
        if self.is_contiguous() { self.clone() } else { self.copy() }
    }

    /// A view of the same storage through another layout, which was derived from this array's.
    #[must_use]
    pub fn with_layout(&self, layout: Layout) -> Self {
        Self::from_storage(self.storage.clone(), layout)
    }

    /// [`with_layout`](Self::with_layout) with a layout that several arrays share.
    ///
    /// # Panics
    /// When the layout reaches outside the storage: a bug of the caller.
    #[must_use]
    pub(crate) fn with_shared_layout(&self, layout: &Arc<Layout>) -> Self {
        assert!(layout.extent().is_none_or(|(_, end)| end <= self.storage.len()), "layout reaches outside its storage");
        let view = (**layout != *self.storage.layout()).then(|| Arc::clone(layout));
        Self { storage: self.storage.clone(), view }
    }

    /// The elements in row-major order with another shape of the same size; a view where possible.
    ///
    /// # Errors
    /// `Shape` when the sizes differ.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        if size_of(shape) != self.size() {
            return Err(Error::Shape(format!(
                "reshape: cannot reshape {} ({} elements) to {} ({} elements)",
                show_shape(self.shape()),
                self.size(),
                show_shape(shape),
                size_of(shape)
            )));
        }
        Ok(match self.layout().reshape(shape) {
            Some(layout) => self.with_layout(layout),
            None => self.copy().with_layout(Layout::contiguous(shape)),
        })
    }

    /// A view with a larger shape.
    ///
    /// # Errors
    /// `Shape` when `shape` is not a broadcast of this one's.
    pub fn broadcast_to(&self, op: &str, shape: &[usize]) -> Result<Self> {
        Ok(self.with_layout(self.layout().broadcast_to(op, shape)?))
    }

    /// The only element.
    ///
    /// # Errors
    /// `Value` when there is not exactly one.
    pub fn item(&self) -> Result<Scalar> {
        if self.size() != 1 {
            return Err(Error::Value(format!("item: an array of shape {} has {} elements, expected one", show_shape(self.shape()), self.size())));
        }
        let at = self.offset();
        Ok(dispatch!(self.dtype(), T => self.raw::<T>()[at].to_scalar()))
    }

    /// An ndarray view of the elements.
    #[must_use]
    pub fn view<T: Element>(&self) -> ArrayViewD<'_, T> {
        let l = self.layout();
        let Some((low, high)) = l.extent() else {
            return match ArrayViewD::from_shape(IxDyn(l.shape()), &[][..]) {
                Ok(v) => v,
                Err(e) => unreachable!("an empty view always fits: {e}"),
            };
        };
        // ndarray takes non-negative strides here; axes are reversed afterwards.
        let strides: Vec<usize> = l.strides().iter().map(|s| s.unsigned_abs()).collect();
        let view = ArrayViewD::from_shape(IxDyn(l.shape()).strides(IxDyn(&strides)), &self.raw::<T>()[low..high]);
        let Ok(mut view) = view else { unreachable!("the extent covers the view") };
        for (axis, &s) in l.strides().iter().enumerate() {
            if s < 0 {
                view.invert_axis(Axis(axis));
            }
        }
        view
    }
}

impl<T: Element> From<ArrayD<T>> for Array {
    fn from(a: ArrayD<T>) -> Self {
        let shape: Shape = a.shape().into();
        match a.as_slice() {
            Some(data) => Self::from_slice(data, &shape),
            None => Self::from_slice(&alloc_check::collect(a.iter().copied()), &shape),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arange(shape: &[usize]) -> Array {
        let n = size_of(shape);
        Array::from_slice(&(0..i64::try_from(n).unwrap()).collect::<Vec<_>>(), shape)
    }

    #[test]
    fn writing_never_changes_another_holder() {
        let mut a = arange(&[4]);
        let p = a.storage().as_ptr();
        a.data_mut::<i64>()[0] = 7;
        assert_eq!(a.storage().as_ptr(), p, "unshared storage is overwritten");
        let b = a.clone();
        a.data_mut::<i64>()[0] = 9;
        assert_eq!(b.to_vec::<i64>(), [7, 1, 2, 3]);
        assert_eq!(a.to_vec::<i64>(), [9, 1, 2, 3]);
    }

    #[test]
    fn ndarray_sees_reversed_and_broadcast_axes() {
        let a = arange(&[2, 3]);
        let r = a.with_layout(a.layout().slice(1, 2, 3, -1));
        assert_eq!(r.view::<i64>().iter().copied().collect::<Vec<_>>(), [2, 1, 0, 5, 4, 3]);
        assert_eq!(Array::from(r.view::<i64>().to_owned()).to_vec::<i64>(), r.to_vec::<i64>());
        let b = a.broadcast_to("test", &[2, 2, 3]).unwrap();
        assert_eq!(b.view::<i64>().sum(), 30);
        assert_eq!(Array::zeros(&[0, 3], DType::F32).view::<f32>().shape(), &[0, 3]);
    }

    #[test]
    fn reshape_copies_only_when_it_must() {
        let a = arange(&[2, 3]);
        assert_eq!(a.reshape(&[3, 2]).unwrap().storage().as_ptr(), a.storage().as_ptr());
        let t = a.with_layout(a.layout().permute(&[1, 0]));
        assert_eq!(t.reshape(&[6]).unwrap().to_vec::<i64>(), [0, 3, 1, 4, 2, 5]);
        assert!(a.reshape(&[4]).unwrap_err().to_string().contains("(2, 3)"));
    }
}
