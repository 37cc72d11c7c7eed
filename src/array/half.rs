//! Floating-point numbers of 16 bits, for storage. They are converted to float32 for computing.
//!
//! The conversions do not branch, so that loops over them vectorize for every instruction set.

use std::fmt;

use super::bits::Bits2;
use super::dtype::{DType, Element, Plain, Scalar};

/// IEEE half precision: 5 bits of exponent, 11 bits of significand.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct F16(u16);

/// The upper half of a float32: 8 bits of exponent, 8 bits of significand.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct BF16(u16);

/// The bits of infinity in float32.
const INFINITY: u32 = 0x7f80_0000;
/// The difference of the exponent biases of float32 and half precision.
const BIAS: u32 = 112;

impl F16 {
    /// The same number; NaN stays NaN.
    #[must_use]
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        let sign = (u32::from(self.0) & 0x8000) << 16;
        let magnitude = (u32::from(self.0) & 0x7fff) << 13;
        // A product with a power of two is exact, for subnormal numbers as well.
        let finite = (f32::from_bits(magnitude) * f32::from_bits((127 + BIAS) << 23)).to_bits();
        let bits = if magnitude >= 0x1f << 23 { magnitude | INFINITY } else { finite };
        f32::from_bits(sign | bits)
    }

    /// The nearest number, ties to even. Infinity from 65520 on.
    #[must_use]
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "16 bits are left")]
    pub fn from_f32(x: f32) -> Self {
        let sign = (x.to_bits() >> 16) & 0x8000;
        let bits = x.to_bits() & 0x7fff_ffff;
        let rounded = bits.wrapping_add(0xfff + ((bits >> 13) & 1)).wrapping_sub(BIAS << 23) >> 13;
        // The last bit of 0.5 has the value of the smallest subnormal number, so the sum rounds to a multiple of it.
        let subnormal = (f32::from_bits(bits) + 0.5).to_bits().wrapping_sub(0.5_f32.to_bits());
        let small = if bits < (BIAS + 1) << 23 { subnormal } else { rounded };
        let special = if bits > INFINITY { 0x7e00 | ((bits >> 13) & 0x3ff) } else { 0x7c00 };
        let magnitude = if bits >= (BIAS + 31) << 23 { special } else { small };
        Self((sign | magnitude) as u16)
    }
}

impl BF16 {
    /// The same number.
    #[must_use]
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    /// The nearest number, ties to even.
    #[must_use]
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "16 bits are left")]
    pub fn from_f32(x: f32) -> Self {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        // NaN must stay NaN when the lower bits are cut off.
        let nan = (bits >> 16) | 0x40;
        Self(if bits & 0x7fff_ffff > INFINITY { nan } else { rounded } as u16)
    }
}

/// A float64 as a float32 that rounds to the same 16-bit number as the float64 itself (rounding to odd): a number between two float32
/// becomes the one whose last bit is odd.
#[must_use]
#[inline(always)]
#[allow(clippy::cast_possible_truncation, clippy::float_cmp, reason = "the rounding is mended where it is not exact")]
pub fn odd_f32(x: f64) -> f32 {
    let y = x as f32;
    let (wide, bits) = (f64::from(y), y.to_bits());
    if wide == x || x.is_nan() || bits & 1 == 1 {
        return y;
    }
    // The other neighbour of x. Infinity comes from a large finite number.
    f32::from_bits(if wide.abs() > x.abs() { bits - 1 } else { bits + 1 })
}

macro_rules! half {
    ($t:ident) => {
        impl $t {
            /// Its bytes in a file, in little-endian order.
            #[must_use]
            pub const fn to_le_bytes(self) -> [u8; 2] {
                self.0.to_le_bytes()
            }

            /// The number with these bytes.
            #[must_use]
            pub const fn from_le_bytes(bytes: [u8; 2]) -> Self {
                Self(u16::from_le_bytes(bytes))
            }
        }

        impl PartialEq for $t {
            fn eq(&self, other: &Self) -> bool {
                self.to_f32() == other.to_f32()
            }
        }

        impl fmt::Debug for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.to_f32(), f)
            }
        }

        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.to_f32(), f)
            }
        }

        impl Plain for $t {
            const DTYPE: DType = DType::$t;
            #[inline(always)]
            fn reads(dtype: DType) -> bool {
                dtype as u8 == DType::$t as u8
            }
        }

        impl Element for $t {
            type Bits = Bits2;
            fn from_scalar(s: Scalar) -> Self {
                Self::from_f32(odd_f32(s.as_f64()))
            }
            fn to_scalar(self) -> Scalar {
                Scalar::Float(self.to_f32().into())
            }
        }
    };
}
half!(F16);
half!(BF16);

/// The number with the fewest decimal digits that rounds to the 16-bit number `x`, for printing.
#[must_use]
#[allow(clippy::float_cmp, reason = "the same number is meant")]
pub fn shortest(x: f64, dtype: DType) -> f64 {
    let stored =
        |y: f64| if dtype == DType::F16 { F16::from_scalar(Scalar::Float(y)).to_f32() } else { BF16::from_scalar(Scalar::Float(y)).to_f32() };
    let target = stored(x);
    (0..8).filter_map(|digits| format!("{x:.digits$e}").parse().ok()).find(|&y| stored(y) == target).unwrap_or(x)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers")]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_comes_back() {
        for bits in 0..=u16::MAX {
            let (h, b) = (F16(bits), BF16(bits));
            if h.to_f32().is_nan() {
                assert!(bits & 0x7fff > 0x7c00 && F16::from_f32(h.to_f32()).0 & 0x7fff > 0x7c00);
            } else {
                assert_eq!(F16::from_f32(h.to_f32()).0, bits);
            }
            if b.to_f32().is_nan() {
                assert!(BF16::from_f32(b.to_f32()).to_f32().is_nan());
            } else {
                assert_eq!(BF16::from_f32(b.to_f32()).0, bits);
            }
        }
    }

    /// A number halfway between two neighbours rounds to the even one; any other number rounds to the nearer one.
    #[test]
    fn ties_go_to_even() {
        for bits in 0..0x7bff_u16 {
            let (low, high) = (f64::from(F16(bits).to_f32()), f64::from(F16(bits + 1).to_f32()));
            let middle = f64::midpoint(low, high);
            let even = bits + (bits & 1);
            let of = |x: f64| F16::from_scalar(Scalar::Float(x)).0;
            assert_eq!((of(middle), of(middle.next_down()), of(middle.next_up())), (even, bits, bits + 1));
            assert_eq!(of(-middle), even | 0x8000);
        }
        for bits in 0..0x7f7f_u16 {
            let middle = f64::midpoint(BF16(bits).to_f32().into(), BF16(bits + 1).to_f32().into());
            let of = |x: f64| BF16::from_scalar(Scalar::Float(x)).0;
            assert_eq!((of(middle), of(middle.next_down()), of(middle.next_up())), (bits + (bits & 1), bits, bits + 1));
        }
    }

    #[test]
    fn large_numbers_overflow() {
        let of = |x: f64| F16::from_scalar(Scalar::Float(x)).0;
        assert_eq!([of(65504.0), of(65519.999), of(65520.0), of(1e300), of(f64::NEG_INFINITY)], [0x7bff, 0x7bff, 0x7c00, 0x7c00, 0xfc00]);
        let of = |x: f64| BF16::from_scalar(Scalar::Float(x)).0;
        assert_eq!([of(f64::from(f32::MAX)), of(1e300), of(-1e300), of(3.38e38)], [0x7f80, 0x7f80, 0xff80, 0x7f7e]);
        assert!(F16::from_f32(f32::NAN).to_f32().is_nan() && BF16::from_f32(f32::from_bits(0x7f80_0001)).to_f32().is_nan());
    }

    #[test]
    fn the_shortest_text_reads_back() {
        assert_eq!(
            [0.1, 65504.0, 1.0 / 3.0].map(|x| shortest(F16::from_scalar(Scalar::Float(x)).to_f32().into(), DType::F16)),
            [0.1, 65500.0, 0.3333]
        );
    }
}
