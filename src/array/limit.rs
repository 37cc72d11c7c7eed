//! How large arrays may be, and how an operation ends for which there is no memory.
//!
//! Operations whose result is larger than what they are given ask [`check_memory`] first, and return its error. Where a
//! buffer cannot be had all the same, deep inside a kernel, the error unwinds to the door by which the caller came in
//! ([`raise`]): no panic message is printed, and Python's door raises the error itself.

use super::dtype::DType;
use super::layout::Shape;
use crate::error::{Error, Result, show_shape};

/// From this size on the system is asked whether it has the memory: below, running out of it is not the request's fault.
const ASK_FROM: usize = 64 << 20;

/// Elements and bytes of an array, if its strides can be numbers at all; also where another axis is empty.
#[inline]
pub(super) fn extent_of(shape: &[usize], dtype: DType) -> Option<(usize, usize)> {
    let (mut elements, mut reach) = (1_usize, dtype.size());
    for &n in shape {
        reach = reach.checked_mul(n.max(1))?;
        elements = elements.wrapping_mul(n); // not above `reach`
    }
    (reach <= isize::MAX.cast_unsigned() / 2).then_some((elements, elements * dtype.size()))
}

/// The bytes of [`extent_of`].
fn bytes_of(shape: &[usize], dtype: DType) -> Option<usize> {
    extent_of(shape, dtype).map(|(_, bytes)| bytes)
}

/// Whether an array fits into memory.
///
/// # Errors
/// `Value` when no machine could address it, `Memory` when this one has not as much.
pub fn check_memory(op: &str, shape: &[usize], dtype: DType) -> Result<()> {
    let Some(bytes) = bytes_of(shape, dtype) else { return Err(too_large(op, shape, dtype)) };
    // The pool rounds up to a quarter more. Nothing is touched here, so asking costs a system call.
    if bytes >= ASK_FROM && Vec::<u8>::new().try_reserve_exact(bytes + bytes / 4).is_err() {
        return Err(no_memory(op, shape, dtype));
    }
    Ok(())
}

/// [`check_memory`] for a result of `shape` that comes from one of `from` by stretching: nothing to ask where it is the same.
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

/// Ends the operation at work with `e`, which Python's door raises.
#[cold]
pub(super) fn raise(e: Error) -> ! {
    std::panic::resume_unwind(Box::new(e))
}

/// A vector of `len` zeros, if there is memory for it.
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
