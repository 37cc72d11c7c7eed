//! Activations x·s(x): the Gaussian error linear unit, its approximation by tanh, and x·sigmoid(x).
//!
//! They are x·s(x) for an S-shaped s, which far to the left is the small end of 1 + erf or 1 + tanh: their sum has no digit
//! left there, and the end may be subnormal where the product is not. So the end itself is computed, as an exponential of a
//! rounded head and its tail, and scaled last.
//!
//! An exponential comes as (1 + e)·f: a factor 1 + e that is never rounded by itself, but added to what it multiplies as its
//! share e, saves one of the few roundings that count.

use super::exp::{Reduced, clamp, logistic, long_share, reduce, reduce_pair};
use super::power::{Pair, product};
use super::real::{Real, fma, long_poly, pick};
use crate::kernel::simd::Arch;

/// x·Φ(x) with the normal distribution's Φ, within 3 ulp (3.5 without FMA).
///
/// aΦ(−a) = ½·a/(a + c)·(1 + p)·e^(−a²/2), where p is a polynomial in a/(a + c) − ½. With the exponential's share e, too,
/// (1 + p)·(1 + e) = 1 + u is one factor.
#[inline(always)]
pub fn gelu<T: Real, A: Arch>(x: T) -> T {
    let (half, one) = (T::lit(0.5), T::lit(1.0));
    let a = held::<T>(x, T::NORMAL_CLAMP);
    let sum = a + T::NORMAL_SHIFT;
    let y = a / sum;
    let p = long_poly::<T, A>(y - half, T::NORMAL);
    // What the sum lost belongs to the factor: its share is lost·2·Φ(−a)·e^(a²/2), which (1 − y)² is near.
    let lost = a - (sum - T::NORMAL_SHIFT);
    let rest = one - y;
    let p = fma::<T, A>(-lost * rest, rest, p);
    let Pair { head, tail } = product::<T, A>(a, a * -half);
    let Reduced { t, r, .. } = reduce_pair::<T, A>(head, tail);
    let (e, f) = (long_share::<T, A>(r), T::pow2(t, T::EXP_RAISED));
    let u = fma::<T, A>(e, one + p, p);
    let y = y * f;
    let end = fma::<T, A>(y, u, y);
    // The end may be subnormal; it is rounded once. Zero keeps its sign.
    fma::<T, A>(-end, half * T::EXP_LOWER, pick(x < T::lit(-0.0), T::lit(-0.0), x))
}

/// ½x·(1 + tanh u) = x/(1 + e^(−2u)) with u = √(2/π)·(x + 0.044715·x³), within 3 ulp.
#[inline(always)]
pub fn gelu_tanh<T: Real, A: Arch>(x: T) -> T {
    let a = clamp(-x, -T::GELU_CLAMP, T::GELU_CLAMP);
    let square = product::<T, A>(a, a);
    // −2u/a = c + d·a², where c is larger than the other term up to a = 4.7, and nothing is lost that counts beyond.
    let [[c, c_low], [d, d_low]] = T::GELU;
    let term = product::<T, A>(d, square.head);
    let head = c + term.head;
    let (large, small) = (pick(c > term.head, c, term.head), pick(c > term.head, term.head, c));
    let low = fma::<T, A>(d, square.tail, fma::<T, A>(d_low, square.head, ((large - head) + small) + (term.tail + c_low)));
    let Pair { head: v, tail } = product::<T, A>(a, head);
    let v = pick(v < -T::LOGISTIC_MAX, -T::LOGISTIC_MAX, v);
    let y = a / logistic::<T, A>(reduce_pair::<T, A>(v, fma::<T, A>(a, low, tail))) * -T::LOGISTIC_UNIT;
    pick(x > T::GELU_CLAMP, x, y)
}

/// x/(1 + e^(−x)), within 3 ulp.
#[inline(always)]
pub fn silu<T: Real, A: Arch>(x: T) -> T {
    // A little further than where e^x is zero: the product is larger.
    let v = clamp(-x, -T::LOGISTIC_MAX, T::EXP_CLAMP + T::lit(8.0));
    // The end may be subnormal; it is scaled last.
    pick(x > T::LOGISTIC_MAX, x, v / logistic::<T, A>(reduce::<T, A>(v)) * -T::LOGISTIC_UNIT)
}

/// |x|, or a number for which the function is zero or x already.
#[inline(always)]
fn held<T: Real>(x: T, most: T) -> T {
    let a = x.abs();
    pick(a > most, most, a)
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "arguments rounded to f32")]
mod tests {
    use super::*;
    use crate::kernel::math::{erf, sigmoid, tanh};
    use crate::kernel::simd::{Avx2, Baseline};

    type One<T> = fn(T) -> T;

    /// Multiply-adds by the library's function when the processor of the test has none: the same bits.
    fn all<T: Real>() -> [[One<T>; 2]; 3] {
        [[gelu::<T, Avx2>, gelu::<T, Baseline>], [gelu_tanh::<T, Avx2>, gelu_tanh::<T, Baseline>], [silu::<T, Avx2>, silu::<T, Baseline>]]
    }

    /// Φ's left end: a continued fraction.
    fn normal(x: f64) -> f64 {
        if x > -3.0 {
            return 0.5 * x * (1.0 + erf::<f64, Baseline>(x * std::f64::consts::FRAC_1_SQRT_2));
        }
        let tail = (1..=80).rev().fold(-x, |below, i| -x + f64::from(i) / below);
        x * (-0.5 * x * x).exp() / (tail * (2.0 * std::f64::consts::PI).sqrt())
    }

    #[test]
    fn small_ends_keep_their_digits() {
        let approximate = |x: f64| {
            let u = 0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x);
            if u < -1.0 { x * (2.0 * u).exp() / (1.0 + (2.0 * u).exp()) } else { 0.5 * x * (1.0 + tanh::<f64, Baseline>(u)) }
        };
        let judges: [One<f64>; 3] = [normal, approximate, |x| x * sigmoid::<f64, Baseline>(x)];
        for (judge, (single, double)) in judges.into_iter().zip(all::<f32>().into_iter().zip(all::<f64>())) {
            for i in -20_000..20_000 {
                let x = f64::from(i) * 4.3e-4;
                let (wide, near) = (judge(x), judge(f64::from(x as f32)));
                for f in double {
                    assert!((f(x) - wide).abs() <= 3e-14 * wide.abs(), "{x}: {:e}, not {wide:e}", f(x));
                }
                for f in single {
                    let y = f64::from(f(x as f32));
                    assert!((y - near).abs() <= 3.5 * f64::from(f32::EPSILON) * near.abs(), "{x}: {y:e}, not {near:e}");
                }
            }
        }
    }

    #[test]
    fn far_out_they_are_zero_or_the_argument() {
        for f in all::<f32>().into_iter().flatten() {
            for x in [0.0, -0.0, 1e30, f32::MAX, f32::INFINITY] {
                assert_eq!(f(x).to_bits(), x.to_bits());
            }
            for x in [-150.0, -1e30, f32::MIN, f32::NEG_INFINITY] {
                assert_eq!(f(x).to_bits(), (-0.0_f32).to_bits(), "{x}");
            }
            assert!(f(f32::NAN).is_nan());
        }
        for f in all::<f64>().into_iter().flatten() {
            assert!(f(-1e4).to_bits() == (-0.0_f64).to_bits() && f(f64::MAX).to_bits() == f64::MAX.to_bits() && f(f64::NAN).is_nan());
            assert!(f(f64::NEG_INFINITY).to_bits() == (-0.0_f64).to_bits() && f(f64::INFINITY).to_bits() == f64::INFINITY.to_bits());
        }
    }
}
