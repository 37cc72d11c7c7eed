//! The end of a slice: fewer elements than a vector, loaded and stored at once.

use super::Arch;

/// Elements of a block.
pub const PART: usize = 16;

/// The first [`PART`] elements of `from`; if there are fewer, the rest is zero.
#[inline(always)]
pub fn load_part<T: Copy + Default, A: Arch>(from: &[T]) -> [T; PART] {
    if let Some(whole) = from.first_chunk::<PART>() {
        return *whole;
    }
    #[cfg(target_arch = "x86_64")]
    if A::MASKS {
        // SAFETY: `A` guarantees AVX-512.
        if let Some(block) = unsafe { x86::load(from) } {
            return block;
        }
    }
    let mut block = [T::default(); PART];
    block[..from.len()].copy_from_slice(from);
    block
}

/// Writes `block` to the first [`PART`] elements of `to`, or as many as fit.
#[inline(always)]
pub fn store_part<T: Copy, A: Arch>(block: &[T; PART], to: &mut [T]) {
    if let Some(whole) = to.first_chunk_mut::<PART>() {
        *whole = *block;
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if A::MASKS {
        // SAFETY: `A` guarantees AVX-512.
        if unsafe { x86::store(block, to) } {
            return;
        }
    }
    to.copy_from_slice(&block[..to.len()]);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![allow(unsafe_code, reason = "masked vectors are loaded and stored through pointers")]

    use std::arch::x86_64::{__m512i, _mm512_mask_storeu_epi32, _mm512_mask_storeu_epi64, _mm512_maskz_loadu_epi32, _mm512_maskz_loadu_epi64};
    use std::mem::transmute_copy;

    use super::PART;

    /// One bit for each of the first `n` elements.
    #[inline(always)]
    fn mask(n: usize) -> u16 {
        !(u16::MAX << n)
    }

    /// Fewer than [`PART`] elements of four or eight bytes, and zeros; `None` for other sizes.
    ///
    /// # Safety
    /// The processor has AVX-512.
    #[inline(always)]
    pub unsafe fn load<T: Copy>(from: &[T]) -> Option<[T; PART]> {
        let (n, ptr) = (from.len(), from.as_ptr());
        assert!(n < PART, "a part is not whole");
        let m = mask(n);
        // SAFETY: the mask has one bit per element of `from`, and other elements are not accessed. Zeros are valid numbers, and the vectors
        // have the size of the block.
        unsafe {
            match size_of::<T>() {
                4 => Some(transmute_copy::<__m512i, [T; PART]>(&_mm512_maskz_loadu_epi32(m, ptr.cast()))),
                8 => {
                    let halves = [m.to_le_bytes()[0], m.to_le_bytes()[1]];
                    let low = _mm512_maskz_loadu_epi64(halves[0], ptr.cast());
                    let high = _mm512_maskz_loadu_epi64(halves[1], ptr.wrapping_add(PART / 2).cast());
                    Some(transmute_copy::<[__m512i; 2], [T; PART]>(&[low, high]))
                }
                _ => None,
            }
        }
    }

    /// Writes fewer than [`PART`] elements. Returns whether it did.
    ///
    /// # Safety
    /// The processor has AVX-512.
    #[inline(always)]
    pub unsafe fn store<T: Copy>(block: &[T; PART], to: &mut [T]) -> bool {
        let (n, ptr) = (to.len(), to.as_mut_ptr());
        assert!(n < PART, "a part is not whole");
        let m = mask(n);
        // SAFETY: as in `load`.
        unsafe {
            match size_of::<T>() {
                4 => _mm512_mask_storeu_epi32(ptr.cast(), m, transmute_copy::<[T; PART], __m512i>(block)),
                8 => {
                    let [low, high] = transmute_copy::<[T; PART], [__m512i; 2]>(block);
                    _mm512_mask_storeu_epi64(ptr.cast(), m.to_le_bytes()[0], low);
                    _mm512_mask_storeu_epi64(ptr.wrapping_add(PART / 2).cast(), m.to_le_bytes()[1], high);
                }
                _ => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::simd::{Baseline, Kernel, dispatch};

    struct Moved<'a, T>(&'a [T], &'a mut [T]);

    impl<T: Copy + Default> Kernel for Moved<'_, T> {
        type Output = [T; PART];
        const WIDE: bool = true;
        #[inline(always)]
        fn run<A: Arch>(self) -> [T; PART] {
            let block = load_part::<T, A>(self.0);
            store_part::<T, A>(&block, self.1);
            block
        }
    }

    fn check<T: Copy + Default + PartialEq + std::fmt::Debug + From<u8>>() {
        let from: Vec<T> = (1..40).map(T::from).collect();
        for n in 0..20 {
            let mut want = [T::default(); PART];
            want[..n.min(PART)].copy_from_slice(&from[..n.min(PART)]);
            let mut to = [T::from(99); 40];
            assert_eq!(dispatch(Moved(&from[..n], &mut to[3..3 + n])), want);
            assert_eq!((&to[..3], &to[3..3 + n.min(PART)], to[3 + n]), (&[T::from(99); 3][..], &want[..n.min(PART)], T::from(99)));
            assert_eq!(Moved(&from[..n], &mut to[3..3 + n]).run::<Baseline>(), want);
        }
    }

    #[test]
    fn parts_are_what_is_there_and_zeros() {
        check::<f32>();
        check::<f64>();
        check::<u8>();
    }
}
