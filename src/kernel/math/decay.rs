//! The exponential of numbers from which a maximum was subtracted.

use super::real::{Real, fma, pick, poly};
use crate::kernel::simd::Arch;

/// eˣ for x ≤ 0 (and a little above), within 1.1 ulp while that is a normal number, and 0 below.
///
/// It takes two thirds of the instructions of [`exp`](super::exp()): a single factor scales the result, and nothing is clamped.
#[inline(always)]
pub fn exp_decay<T: Real, A: Arch>(x: T) -> T {
    // Above the logarithm of the smallest normal number. NaN is not below the limit and is preserved.
    let limit = T::lit(if size_of::<T>() == 4 { -87.0 } else { -708.0 });
    let t = fma::<T, A>(x, T::LOG2_E[0] + T::LOG2_E[1], T::MAGIC);
    let k = t - T::MAGIC;
    let r = fma::<T, A>(-k, T::LN2[1], fma::<T, A>(-k, T::LN2[0], x));
    let p = fma::<T, A>(r * r, poly::<T, A>(r, T::EXP), r) + T::lit(1.0);
    pick(x < limit, T::lit(0.0), p * T::pow2(t, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::math::exp;
    use crate::kernel::simd::Baseline;

    /// The bits of `exp`, which has its own tests, down to where the result would be subnormal.
    #[test]
    fn agrees_with_exp() {
        for i in 0..200_000_u32 {
            let x = -f64::from(i) / 1000.0;
            let (got, want) = (exp_decay::<f64, Baseline>(x), exp::<f64, Baseline>(x));
            assert!((got - want).abs() <= want * 2.0 * f64::EPSILON, "{x}");
            #[allow(clippy::cast_possible_truncation, reason = "any numbers do")]
            let x = x as f32;
            let (got, want) = (exp_decay::<f32, Baseline>(x), exp::<f32, Baseline>(x));
            assert!(if x < -87.0 { got.to_bits() == 0 } else { (got - want).abs() <= want * 2.0 * f32::EPSILON }, "{x}");
        }
        assert!(exp_decay::<f32, Baseline>(f32::NAN).is_nan() && exp_decay::<f64, Baseline>(f64::NEG_INFINITY).to_bits() == 0);
        assert!((exp_decay::<f64, Baseline>(0.0) - 1.0).abs() < f64::EPSILON && exp_decay::<f64, Baseline>(-1e300).to_bits() == 0);
    }
}
