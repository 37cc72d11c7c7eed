//! The bits of elements: one type per size, so that code that only moves elements is compiled once per size and not once per dtype. Also
//! views of memory as another dtype.
#![allow(unsafe_code, reason = "memory of one dtype seen as another of the same size")]

use std::ptr::NonNull;

use super::Array;
use super::dtype::{DType, Element, Plain};
use super::layout::{Layout, Shape, Strides};
use super::storage::{Keep, Lender, Storage};
use super::storage_rc::Handle;

macro_rules! bits {
    ($($(#[$doc:meta])* $name:ident($of:ty), $example:ident);* $(;)?) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(transparent)]
        pub struct $name($of);

        impl Plain for $name {
            const DTYPE: DType = DType::$example;
            #[inline(always)]
            fn reads(dtype: DType) -> bool {
                dtype.size() == size_of::<Self>()
            }
        })*
    };
}
bits! {
    /// An element of one byte.
    Bits1(u8), U8;
    /// An element of two bytes.
    Bits2(u16), U16;
    /// An element of four bytes.
    Bits4(u32), U32;
    /// An element of eight bytes.
    Bits8(u64), U64;
    /// An element of sixteen bytes.
    Bits16([u64; 2]), C128;
}

/// The bits of an element.
#[inline(always)]
pub fn to_bits<T: Element>(x: T) -> T::Bits {
    const { assert!(size_of::<T>() == size_of::<T::Bits>()) };
    // SAFETY: both have one size, and any bits are valid bits.
    unsafe { std::mem::transmute_copy(&x) }
}

/// The bits, seen as elements.
///
/// # Safety
/// The bits are those of valid elements: of an array of `T`'s dtype. Only `bool` has bits that are none.
#[inline(always)]
pub unsafe fn of_bits<T: Element>(bits: &[T::Bits]) -> &[T] {
    const { assert!(size_of::<T>() == size_of::<T::Bits>() && align_of::<T>() <= align_of::<T::Bits>()) };
    // SAFETY: size and alignment fit, and the caller vouches for the contents.
    unsafe { std::slice::from_raw_parts(bits.as_ptr().cast(), bits.len()) }
}

/// [`of_bits`], to write.
///
/// # Safety
/// As [`of_bits`].
#[inline(always)]
pub unsafe fn of_bits_mut<T: Element>(bits: &mut [T::Bits]) -> &mut [T] {
    const { assert!(size_of::<T>() == size_of::<T::Bits>() && align_of::<T>() <= align_of::<T::Bits>()) };
    // SAFETY: as above; the borrow is exclusive, and what is written are valid elements, which are valid bits.
    unsafe { std::slice::from_raw_parts_mut(bits.as_mut_ptr().cast(), bits.len()) }
}

/// Keeps memory alive that is viewed as another dtype.
struct Same(Handle);

impl Lender for Same {
    fn keep(&self) -> Keep {
        debug_assert!(self.0.is_pooled());
        Keep::InPlace
    }
}

impl Array {
    /// A view of the same memory as `dtype`, without a copy: of elements of the same size, or of complex numbers as their real and
    /// imaginary parts, which form a new last axis. It is read, never written.
    ///
    /// # Panics
    /// When the dtypes do not fit, or `dtype` is bool: bugs of the caller.
    #[must_use]
    pub fn seen_as(&self, dtype: DType) -> Self {
        if dtype == self.dtype() {
            return self.clone();
        }
        let array = self.pooled();
        let parts = array.dtype().size() / dtype.size();
        assert!(parts == 1 || array.dtype().real() == dtype, "{} is not made of {dtype}", array.dtype());
        let split = parts == 2;
        let mut whole = Shape::from_slice(array.storage().layout().shape());
        let (mut shape, mut strides) = (Shape::from_slice(array.shape()), Strides::from_slice(array.layout().strides()));
        if split {
            whole.push(2);
            shape.push(2);
            strides.iter_mut().for_each(|s| *s *= 2);
            strides.push(1);
        }
        let offset = array.layout().offset() * parts;
        let Some(start) = NonNull::new(array.storage().as_ptr().cast_mut()) else { unreachable!("storage has an address") };
        // SAFETY: memory of the pool is aligned for every dtype; it holds that many elements of `dtype`, of which any bits are valid,
        // and lives as long as the lender's handle, which shares it, so it is not written meanwhile.
        let storage = unsafe { Storage::lent(start, &whole, dtype, Box::new(Same(array.storage().clone()))) };
        Self::from_storage(Handle::of(storage), Layout::strided(&shape, &strides, offset))
    }

    /// Reinterprets the bits as `dtype`: elements of the same size, pairs along the last axis as complex numbers, or complex numbers as
    /// such pairs. In place when the storage is unshared.
    ///
    /// # Panics
    /// When the dtypes do not fit, or `dtype` is bool: bugs of the caller.
    pub fn turn_into(&mut self, dtype: DType) {
        if dtype == self.dtype() {
            return;
        }
        let (old, mut shape) = (self.dtype(), Shape::from_slice(self.shape()));
        if old == dtype.real() {
            assert_eq!(shape.pop(), Some(2), "a complex number has two parts");
        } else if old.real() == dtype {
            shape.push(2);
        } else {
            assert!(dtype != DType::Bool && old.size() == dtype.size(), "{old} does not become {dtype}");
        }
        if !self.is_unique() || self.is_part() {
            *self = self.copy();
        }
        let Some(storage) = self.storage.get_mut() else { unreachable!("a copy is unshared") };
        storage.turn_into(dtype, Layout::contiguous(&shape));
        self.view = None;
    }

    /// [`Array::turn_into`], for a result.
    ///
    /// # Panics
    /// As [`Array::turn_into`].
    #[must_use]
    pub fn turned_into(mut self, dtype: DType) -> Self {
        self.turn_into(dtype);
        self
    }
}

#[cfg(test)]
mod tests {
    use num_complex::Complex;

    use super::*;

    #[test]
    fn complex_numbers_are_pairs() {
        let z = Array::from_slice(&[Complex::new(1.0_f32, 2.0), Complex::new(3.0, 4.0)], &[2]);
        let parts = z.seen_as(DType::F32);
        assert_eq!((parts.shape(), parts.to_vec::<f32>()), (&[2, 2][..], vec![1.0, 2.0, 3.0, 4.0]));
        let second = z.with_layout(z.layout().slice(0, 1, 1, 1)).seen_as(DType::F32);
        assert_eq!(second.to_vec::<f32>(), [3.0, 4.0]);
        let back = parts.turned_into(DType::C64);
        assert_eq!(back.to_vec::<Complex<f32>>(), z.to_vec::<Complex<f32>>());
        let mut fresh = Array::from_slice(&[1.0_f64, 2.0, 3.0, 4.0], &[2, 2]);
        let address = fresh.storage().as_ptr();
        fresh = fresh.turned_into(DType::C128);
        assert_eq!((fresh.storage().as_ptr(), fresh.shape(), fresh.size()), (address, &[2][..], 2));
        assert_eq!(fresh.to_vec::<Complex<f64>>()[1], Complex::new(3.0, 4.0));
    }

    #[test]
    fn bits_move_every_dtype_of_their_size() {
        let x = Array::from_slice(&[-1_i64, 5], &[2]);
        assert_eq!(x.seen_as(DType::U64).to_vec::<u64>(), [u64::MAX, 5]);
        assert_eq!(x.turned_into(DType::U64).to_vec::<u64>(), [u64::MAX, 5]);
    }
}
