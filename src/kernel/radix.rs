//! Radix sort of elements without positions: stable, in a few passes over memory, independent of the order of the input.

use crate::array::{Element, alloc_check};

/// A type whose elements are sorted by an integer key.
pub trait Sortable: Element {
    /// The number of bits of the key.
    const BITS: u32;
    /// The key of an element: in the order of the elements, with equal zeros and NaN last.
    fn number(self) -> u64;
}

macro_rules! integers {
    ($($t:ty, $unsigned:ty);*) => { $(
        impl Sortable for $t {
            const BITS: u32 = <$t>::BITS;
            #[inline(always)]
            #[allow(clippy::cast_sign_loss, clippy::cast_lossless, reason = "the bits are meant")]
            fn number(self) -> u64 {
                // The smallest integer gets the smallest key.
                (self as $unsigned ^ <$t>::MIN as $unsigned) as u64
            }
        }
    )* };
}
integers!(i8, u8; i16, u16; i32, u32; i64, u64; u8, u8; u16, u16; u32, u32; u64, u64);

macro_rules! floats {
    ($($t:ty, $unsigned:ty, $bits:literal);*) => { $(
        impl Sortable for $t {
            const BITS: u32 = $bits;
            #[inline(always)]
            #[allow(clippy::cast_lossless, reason = "one text for two types")]
            fn number(self) -> u64 {
                const SIGN: $unsigned = 1 << ($bits - 1);
                if self.is_nan() {
                    return <$unsigned>::MAX as u64;
                }
                // Adding zero turns -0.0 into 0.0.
                let bits = (self + 0.0).to_bits();
                (if bits & SIGN == 0 { bits ^ SIGN } else { !bits }) as u64
            }
        }
    )* };
}
floats!(f32, u32, 32; f64, u64, 64);

impl Sortable for bool {
    const BITS: u32 = 8;
    #[inline(always)]
    fn number(self) -> u64 {
        u64::from(self)
    }
}

/// The largest key of a type, which is that of NaN.
#[inline(always)]
const fn largest<T: Sortable>() -> u64 {
    u64::MAX >> (64 - T::BITS)
}

/// The key for the requested order. NaN still has the largest.
#[inline(always)]
fn ordered<T: Sortable>(x: T, descending: bool) -> u64 {
    let number = x.number();
    match () {
        () if !descending => number,
        () if !T::DTYPE.is_float() => largest::<T>() - number,
        () if number == largest::<T>() => number,
        () => largest::<T>() - 1 - number,
    }
}

/// Buffers for sorting rows of one length.
#[derive(Debug)]
pub struct Scratch<T> {
    spare: Vec<T>,
    counts: Vec<u32>,
}

impl<T: Sortable> Scratch<T> {
    /// Bits per pass.
    const DIGIT: u32 = if T::BITS == 64 { 11 } else { 8 };
    const PASSES: usize = T::BITS.div_ceil(Self::DIGIT) as usize;

    /// Buffers for rows like `row`.
    #[must_use]
    pub fn new(row: &[T]) -> Self {
        Self { spare: alloc_check::copied(row), counts: alloc_check::filled(0, Self::PASSES << Self::DIGIT) }
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "a digit")]
    fn digit(number: u64, pass: usize) -> usize {
        (number >> (pass as u32 * Self::DIGIT)) as usize & ((1 << Self::DIGIT) - 1)
    }

    /// Sorts `row`. Equal elements keep their order.
    #[allow(clippy::cast_possible_truncation, reason = "rows are shorter than 2^32, as positions in them")]
    pub fn sort(&mut self, row: &mut [T], descending: bool) {
        let Some(&first) = row.first() else { return };
        let (size, length) = (1 << Self::DIGIT, row.len() as u32);
        self.counts.fill(0);
        for &x in &*row {
            let number = ordered(x, descending);
            for (pass, counts) in self.counts.chunks_exact_mut(size).enumerate() {
                counts[Self::digit(number, pass)] += 1;
            }
        }
        let first = ordered(first, descending);
        let (mut from, mut to) = (&mut *row, &mut self.spare[..]);
        let mut swapped = false;
        for (pass, counts) in self.counts.chunks_exact_mut(size).enumerate() {
            if counts[Self::digit(first, pass)] == length {
                continue; // all elements have this digit
            }
            let mut place = 0;
            for count in counts.iter_mut() {
                place += std::mem::replace(count, place);
            }
            for &x in &*from {
                let place = &mut counts[Self::digit(ordered(x, descending), pass)];
                to[*place as usize] = x;
                *place += 1;
            }
            std::mem::swap(&mut from, &mut to);
            swapped = !swapped;
        }
        if swapped {
            to.copy_from_slice(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted<T: Sortable>(x: &[T], descending: bool) -> Vec<T> {
        let mut row = x.to_vec();
        Scratch::new(x).sort(&mut row, descending);
        row
    }

    #[test]
    fn every_type_is_sorted_both_ways() {
        assert_eq!(sorted(&[3_i64, -5, i64::MIN, i64::MAX, 0, -5], false), [i64::MIN, -5, -5, 0, 3, i64::MAX]);
        assert_eq!(sorted(&[3_i8, -128, 127, 0], true), [127, 3, 0, -128]);
        assert_eq!(sorted(&[3_u64, u64::MAX, 0], false), [0, 3, u64::MAX]);
        assert_eq!(sorted(&[true, false, true], true), [true, true, false]);
        assert_eq!(sorted::<f64>(&[], false), [0.0; 0]);
        let x: Vec<u32> = (0..5000_u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
        let mut want = x.clone();
        want.sort_unstable();
        assert_eq!(sorted(&x, false), want);
    }

    #[test]
    fn nan_is_last_both_ways_and_zeros_stay_in_order() {
        for descending in [false, true] {
            let x = sorted(&[f32::NAN, 0.0, f32::INFINITY, -0.0, f32::NEG_INFINITY, -1e-40], descending);
            assert!(x[5].is_nan());
            let zeros: Vec<bool> = x[..5].iter().filter(|v| **v == 0.0).map(|v| v.is_sign_negative()).collect();
            assert_eq!(zeros, [false, true]);
            assert!(x[..5].windows(2).all(|w| if descending { w[0] >= w[1] } else { w[0] <= w[1] }));
        }
    }
}
