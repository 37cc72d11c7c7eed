//! Limits of array sizes, and how an operation ends when there is not enough memory.
//!
//! Operations whose result is larger than their operands call [`check_memory`] first and return its error. If an allocation fails deep
//! inside a kernel, the error unwinds to the entry point (`raise`): no panic message is printed, and Python's entry point raises the
//! error.
//!
//! A failed allocation of Rust's own collections aborts the process. So every list whose length depends on user data is made by the
//! functions of this file. All other lists have a bound: axes, operands of one operation, attributes, messages, the layout of one view.
//! Each of these takes at most 64 KiB, and the Python module keeps a reserve that serves them when the system has no more memory
//! ([`note_low`]).

use std::sync::atomic::{AtomicBool, Ordering};

use smallvec::SmallVec;

use super::dtype::DType;
use super::layout::Shape;
use crate::error::{Error, Result, show_shape};

/// From this size on, the system is asked whether it has the memory. A smaller request can only fail because others have used the memory
/// up.
const ASK_FROM: usize = 64 << 20;

/// The most axes of an array, as in NumPy. It also bounds lists of axes.
pub const MAX_NDIM: usize = 64;

/// Unwinds with an error when an array would have too many axes.
#[cold]
pub(super) fn check_ndim(ndim: usize) {
    if ndim > MAX_NDIM {
        raise(Error::Value(format!("an array cannot have {ndim} axes, the most is {MAX_NDIM}")));
    }
}

/// Number of elements and bytes of an array; `None` when its strides would overflow, even if another axis is empty.
#[inline]
pub(super) fn extent_of(shape: &[usize], dtype: DType) -> Option<(usize, usize)> {
    let (mut elements, mut reach) = (1_usize, dtype.size());
    for &n in shape {
        reach = reach.checked_mul(n.max(1))?;
        elements = elements.wrapping_mul(n); // not above `reach`
    }
    (reach <= isize::MAX.cast_unsigned() / 2).then_some((elements, elements * dtype.size()))
}

/// The number of bytes of [`extent_of`].
fn bytes_of(shape: &[usize], dtype: DType) -> Option<usize> {
    extent_of(shape, dtype).map(|(_, bytes)| bytes)
}

/// Fails when an array does not fit into memory.
///
/// # Errors
/// `Value` when no machine could address it, `Memory` when this machine does not have as much.
pub fn check_memory(op: &str, shape: &[usize], dtype: DType) -> Result<()> {
    let Some(bytes) = bytes_of(shape, dtype) else { return Err(too_large(op, shape, dtype)) };
    // The pool rounds up by at most a quarter. The memory is not touched, so asking costs one system call.
    if bytes >= ASK_FROM && Vec::<u8>::new().try_reserve_exact(bytes + bytes / 4).is_err() {
        return Err(no_memory(op, shape, dtype));
    }
    Ok(())
}

/// [`check_memory`] for `from` broadcast to `shape`. Equal shapes are not checked.
///
/// # Errors
/// As [`check_memory`].
#[inline]
pub fn check_growth(op: &str, from: &[usize], shape: &[usize], dtype: DType) -> Result<()> {
    if from == shape { Ok(()) } else { check_memory(op, shape, dtype) }
}

fn needs(op: &str, shape: &[usize], dtype: DType, bytes: &str) -> String {
    let op = if op.is_empty() { String::new() } else { format!("{op}: ") };
    format!("{op}an array of shape {} and dtype {dtype} needs {bytes}, more than there is memory for", show_shape(shape))
}

#[cold]
pub(super) fn too_large(op: &str, shape: &[usize], dtype: DType) -> Error {
    Error::Value(needs(op, shape, dtype, "2**62 bytes or more"))
}

#[cold]
pub(super) fn no_memory(op: &str, shape: &[usize], dtype: DType) -> Error {
    let bytes = bytes_of(shape, dtype).unwrap_or(usize::MAX);
    Error::Memory(needs(op, shape, dtype, &format!("{bytes} bytes")))
}

/// Ends the present operation with `e`, which Python's entry point raises.
#[cold]
pub(crate) fn raise(e: Error) -> ! {
    std::panic::resume_unwind(Box::new(e))
}

/// Whether the system had no memory for a small allocation since the last [`recover`].
static LOW: AtomicBool = AtomicBool::new(false);

/// Notes that a small allocation was served from the reserve. Code that makes many small allocations must stop soon.
#[cold]
pub fn note_low() {
    LOW.store(true, Ordering::Relaxed);
}

/// Whether a small allocation was served from the reserve.
#[must_use]
#[inline(always)]
pub fn is_low() -> bool {
    LOW.load(Ordering::Relaxed)
}

/// After [`note_low`]: frees unused buffers, and asks the system whether it has memory again.
///
/// # Errors
/// `Memory` when it does not.
#[cold]
pub fn recover(op: &str) -> Result<()> {
    const PROBE: usize = 1 << 20;
    super::pool::trim();
    try_reserve::<u8>(op, &mut Vec::new(), PROBE)?;
    LOW.store(false, Ordering::Relaxed);
    Ok(())
}

/// Unwinds when small allocations come from the reserve. For loops that make many of them, none of which can fail on its own.
#[inline(always)]
pub(crate) fn check_low() {
    if is_low() {
        raise_low();
    }
}

#[cold]
fn raise_low() {
    if let Err(e) = recover("") {
        raise(e);
    }
}

/// The error of an operation when there is no memory for its lists.
#[cold]
#[must_use]
pub fn exhausted(op: &str) -> Error {
    let op = if op.is_empty() { String::new() } else { format!("{op}: ") };
    Error::Memory(format!("{op}more memory is needed than there is"))
}

/// Makes room for `more` items.
///
/// # Errors
/// `Memory` when there is no memory for them.
#[inline]
pub fn try_reserve<T>(op: &str, list: &mut Vec<T>, more: usize) -> Result<()> {
    list.try_reserve(more).map_err(|_| exhausted(op))
}

/// [`try_reserve`] for small vectors.
///
/// # Errors
/// As [`try_reserve`].
#[inline]
pub fn try_reserve_small<A: smallvec::Array>(op: &str, list: &mut SmallVec<A>, more: usize) -> Result<()> {
    list.try_reserve(more).map_err(|_| exhausted(op))
}

/// [`try_reserve`], but unwinds with the error.
#[inline]
pub fn reserve<T>(list: &mut Vec<T>, more: usize) {
    if list.try_reserve(more).is_err() {
        raise(exhausted(""));
    }
}

/// [`reserve`] for small vectors.
#[inline]
pub fn reserve_small<A: smallvec::Array>(list: &mut SmallVec<A>, more: usize) {
    if list.try_reserve(more).is_err() {
        raise(exhausted(""));
    }
}

/// [`reserve`] for `more` bytes of text.
#[inline]
pub fn reserve_text(text: &mut String, more: usize) {
    if text.try_reserve(more).is_err() {
        raise(exhausted(""));
    }
}

/// An empty list with room for `n` items; unwinds with the error when there is no memory for it.
#[must_use]
#[inline]
pub fn with_capacity<T>(n: usize) -> Vec<T> {
    let mut out = Vec::new();
    if out.try_reserve_exact(n).is_err() {
        raise(exhausted(""));
    }
    out
}

/// `n` copies of `item`; unwinds as [`with_capacity`].
#[must_use]
#[inline]
pub fn filled<T: Clone>(item: T, n: usize) -> Vec<T> {
    let mut out = with_capacity(n);
    out.resize(n, item);
    out
}

/// The items of a slice; unwinds as [`with_capacity`].
#[must_use]
#[inline]
pub fn copied<T: Copy>(items: &[T]) -> Vec<T> {
    let mut out = with_capacity(items.len());
    out.extend_from_slice(items);
    out
}

/// Adds an item; unwinds as [`with_capacity`].
#[inline]
pub fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        reserve(list, 1);
    }
    list.push(item);
}

/// A list of the items of an iterator; unwinds as [`with_capacity`].
#[must_use]
pub fn collect<T>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let items = items.into_iter();
    let mut out = with_capacity(items.size_hint().0);
    for item in items {
        push(&mut out, item);
    }
    out
}

/// [`collect`], up to the first error, which is returned.
///
/// # Errors
/// The first error of the items.
pub fn try_collect<T, E>(items: impl IntoIterator<Item = std::result::Result<T, E>>) -> std::result::Result<Vec<T>, E> {
    // The size hint is not used: the iterator may be a Python object, whose hint can be wrong or raise.
    let mut out = Vec::new();
    for item in items {
        push(&mut out, item?);
    }
    Ok(out)
}

/// A vector of `len` zeros; unwinds when there is no memory for it.
pub(super) fn zeros<T: Copy + Default>(len: usize, dtype: DType) -> Vec<T> {
    let mut out = Vec::new();
    if out.try_reserve_exact(len).is_err() {
        raise(no_memory("", &Shape::from_slice(&[len]), dtype));
    }
    out.resize(len, T::default());
    out
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use super::*;
    use crate::array::Array;

    #[test]
    fn sizes_are_checked_before_they_wrap() {
        assert_eq!(bytes_of(&[2, 3], DType::F64), Some(48));
        assert_eq!(bytes_of(&[], DType::F32), Some(4));
        assert_eq!(bytes_of(&[1 << 40, 0, 5], DType::F32), Some(0));
        for shape in [&[1 << 32, 1 << 32][..], &[1 << 61], &[1 << 62, 4], &[1 << 40, 0, 1 << 40]] {
            assert_eq!(bytes_of(shape, DType::F32), None, "{shape:?}");
            assert!(matches!(check_memory("test", shape, DType::F32), Err(Error::Value(_))));
        }
        assert!(matches!(check_memory("test", &[1 << 58], DType::F32), Err(Error::Memory(_))));
        assert!(check_growth("test", &[1 << 58], &[1 << 58], DType::F32).is_ok());
    }

    #[test]
    fn what_has_no_memory_unwinds_with_its_error() {
        let small = Array::scalar(1.0_f32);
        for shape in [&[1 << 58][..], &[1 << 61], &[1 << 40, 1 << 40]] {
            let made = std::panic::catch_unwind(|| Array::empty(shape, DType::F32));
            assert!(made.err().is_some_and(|e| e.downcast_ref::<Error>().is_some()), "{shape:?}");
        }
        let wide = small.broadcast_to("test", &[1 << 58]).unwrap();
        assert!(std::panic::catch_unwind(AssertUnwindSafe(|| wide.copy())).is_err());
        assert!(std::panic::catch_unwind(AssertUnwindSafe(|| wide.to_vec::<f32>())).is_err());
    }
}
