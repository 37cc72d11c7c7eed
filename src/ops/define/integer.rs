//! Integer arithmetic for the formulas of elementwise operations.

use crate::array::Element;

/// Integers with NumPy's arithmetic: it wraps around.
pub trait Integer: Element + Ord {
    /// A constant.
    fn lit(v: i64) -> Self;
    /// a + b
    #[must_use]
    fn add(self, o: Self) -> Self;
    /// a - b
    #[must_use]
    fn sub(self, o: Self) -> Self;
    /// a · b
    #[must_use]
    fn mul(self, o: Self) -> Self;
    /// |a|
    #[must_use]
    fn abs(self) -> Self;
    /// -1, 0 or 1
    #[must_use]
    fn signum(self) -> Self;
    /// The quotient rounded down; 0 when b is 0, as in NumPy.
    #[must_use]
    fn floor_div(self, o: Self) -> Self;
    /// The remainder of it, with the sign of b; 0 when b is 0.
    #[must_use]
    fn modulo(self, o: Self) -> Self;
    /// The remainder of the quotient rounded towards zero, with the sign of a; 0 when b is 0.
    #[must_use]
    fn remainder(self, o: Self) -> Self;
    /// aᵇ for b ≥ 0.
    #[must_use]
    fn power(self, o: Self) -> Self;
}

macro_rules! integer {
    ($t:ident, $abs:expr, $signum:expr) => {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, trivial_numeric_casts, unused_comparisons, reason = "NumPy's conversions")]
        impl Integer for $t {
            fn lit(v: i64) -> Self {
                v as Self
            }
            fn add(self, o: Self) -> Self {
                self.wrapping_add(o)
            }
            fn sub(self, o: Self) -> Self {
                self.wrapping_sub(o)
            }
            fn mul(self, o: Self) -> Self {
                self.wrapping_mul(o)
            }
            fn abs(self) -> Self {
                $abs(self)
            }
            fn signum(self) -> Self {
                $signum(self)
            }
            fn floor_div(self, o: Self) -> Self {
                if o == 0 {
                    return 0;
                }
                let q = self.wrapping_div(o);
                if self.wrapping_rem(o) != 0 && (self < 0) != (o < 0) { q.wrapping_sub(1) } else { q }
            }
            fn modulo(self, o: Self) -> Self {
                if o == 0 {
                    return 0;
                }
                let r = self.wrapping_rem(o);
                if r != 0 && (r < 0) != (o < 0) { r.wrapping_add(o) } else { r }
            }
            fn remainder(self, o: Self) -> Self {
                if o == 0 { 0 } else { self.wrapping_rem(o) }
            }
            fn power(self, o: Self) -> Self {
                let (mut base, mut left, mut out) = (self, o, 1 as Self);
                while left > 0 {
                    if left & 1 == 1 {
                        out = out.wrapping_mul(base);
                    }
                    base = base.wrapping_mul(base);
                    left >>= 1;
                }
                out
            }
        }
    };
}
integer!(i8, i8::wrapping_abs, i8::signum);
integer!(i16, i16::wrapping_abs, i16::signum);
integer!(i32, i32::wrapping_abs, i32::signum);
integer!(i64, i64::wrapping_abs, i64::signum);
integer!(u8, |x| x, |x: u8| x.min(1));
integer!(u16, |x| x, |x: u16| x.min(1));
integer!(u32, |x| x, |x: u32| x.min(1));
integer!(u64, |x| x, |x: u64| x.min(1));
