//! Activations x·s(x): the Gaussian error linear unit, its approximation by tanh, and x·sigmoid(x). Also the sigmoid curves s.
//!
//! For negative x, s is the small left tail of 1 + erf or 1 + tanh. That sum would have no correct digits there, and the tail may be
//! subnormal where the product x·s(x) is not. So the tail itself is computed, as the exponential of a rounded head and a correction, and
//! scaled last.
//!
//! An exponential is represented as (1 + e)·f. The factor 1 + e is never rounded by itself; multiplying by it adds the product with e. That
//! saves one of the few roundings that count.

use super::exp::{Reduced, clamp, logistic, long_share, reduce, reduce_pair};
use super::power::{Pair, product};
use super::real::{Real, fma, long_poly, pick};
use crate::kernel::simd::Arch;

/// x·Φ(x) with the normal distribution's Φ, within 3 ulp (3.5 without FMA).
///
/// aΦ(−a) = ½·a/(a + c)·(1 + p)·e^(−a²/2), where p is a polynomial in a/(a + c) − ½. With the e of the exponential, (1 + p)·(1 + e) = 1 + u
/// is one factor.
#[inline(always)]
pub fn gelu<T: Real, A: Arch>(x: T) -> T {
    let half = T::lit(0.5);
    let a = held::<T>(x, T::NORMAL_CLAMP);
    let NormalEnd { y, u, f, .. } = normal_end::<T, A>(a);
    let y = y * f;
    let end = fma::<T, A>(y, u, y);
    // The tail may be subnormal; it is rounded once. Zero keeps its sign.
    fma::<T, A>(-end, half * T::EXP_LOWER, pick(x < T::lit(-0.0), T::lit(-0.0), x))
}

/// Φ(x), the normal distribution function, within 4 ulp: the small left tail keeps all digits.
#[inline(always)]
pub fn normal_cdf<T: Real, A: Arch>(x: T) -> T {
    let (half, one) = (T::lit(0.5), T::lit(1.0));
    let NormalEnd { sum, u, f, .. } = normal_end::<T, A>(held::<T>(x, T::NORMAL_CLAMP));
    let q = f / sum;
    let end = fma::<T, A>(q, u, q) * (half * T::EXP_LOWER);
    pick(x > T::lit(0.0), one - end, end)
}

/// The parts of Φ(−a) = ½·(1 + u)·f/sum, with f raised by `EXP_RAISED`; y is a/sum.
struct NormalEnd<T> {
    sum: T,
    y: T,
    u: T,
    f: T,
}

#[inline(always)]
fn normal_end<T: Real, A: Arch>(a: T) -> NormalEnd<T> {
    let (half, one) = (T::lit(0.5), T::lit(1.0));
    let sum = a + T::NORMAL_SHIFT;
    let y = a / sum;
    let p = long_poly::<T, A>(y - half, T::NORMAL);
    // The rounding error of the sum is corrected in the factor: by lost·2·Φ(−a)·e^(a²/2), for which (1 − y)² is a good approximation.
    let lost = a - (sum - T::NORMAL_SHIFT);
    let rest = one - y;
    let p = fma::<T, A>(-lost * rest, rest, p);
    let Pair { head, tail } = product::<T, A>(a, a * -half);
    let Reduced { t, r, .. } = reduce_pair::<T, A>(head, tail);
    let (e, f) = (long_share::<T, A>(r), T::pow2(t, T::EXP_RAISED));
    let u = fma::<T, A>(e, one + p, p);
    NormalEnd { sum, y, u, f }
}

/// ½x·(1 + tanh u) = x/(1 + e^(−2u)) with u = √(2/π)·(x + 0.044715·x³), within 3 ulp.
#[inline(always)]
pub fn gelu_tanh<T: Real, A: Arch>(x: T) -> T {
    let a = clamp(-x, -T::GELU_CLAMP, T::GELU_CLAMP);
    let y = a / gelu_logistic::<T, A>(a) * -T::LOGISTIC_UNIT;
    pick(x > T::GELU_CLAMP, x, y)
}

/// ½·(1 + tanh u) with the same u: the approximation of Φ(x), within 3 ulp.
#[inline(always)]
pub fn gelu_tanh_cdf<T: Real, A: Arch>(x: T) -> T {
    let a = clamp(-x, -T::GELU_CLAMP, T::GELU_CLAMP);
    T::LOGISTIC_UNIT / gelu_logistic::<T, A>(a)
}

/// [`logistic`] of −2u for x = −a.
#[inline(always)]
fn gelu_logistic<T: Real, A: Arch>(a: T) -> T {
    let square = product::<T, A>(a, a);
    // −2u/a = c + d·a². Up to a = 4.7, c is larger than the other term; beyond, the error does not matter.
    let [[c, c_low], [d, d_low]] = T::GELU;
    let term = product::<T, A>(d, square.head);
    let head = c + term.head;
    let (large, small) = (pick(c > term.head, c, term.head), pick(c > term.head, term.head, c));
    let low = fma::<T, A>(d, square.tail, fma::<T, A>(d_low, square.head, ((large - head) + small) + (term.tail + c_low)));
    let Pair { head: v, tail } = product::<T, A>(a, head);
    let v = pick(v < -T::LOGISTIC_MAX, -T::LOGISTIC_MAX, v);
    logistic::<T, A>(reduce_pair::<T, A>(v, fma::<T, A>(a, low, tail)))
}

/// x/(1 + e^(−x)), within 3 ulp.
#[inline(always)]
pub fn silu<T: Real, A: Arch>(x: T) -> T {
    // Slightly further than where e^x is zero, because the product with x is larger.
    let v = clamp(-x, -T::LOGISTIC_MAX, T::EXP_CLAMP + T::lit(8.0));
    // The tail may be subnormal; it is scaled last.
    pick(x > T::LOGISTIC_MAX, x, v / logistic::<T, A>(reduce::<T, A>(v)) * -T::LOGISTIC_UNIT)
}

/// |x|, clamped to where the function is zero or x already.
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

    /// Multiply-adds by the library's function if the test's processor has no FMA: the same bits.
    fn all<T: Real>() -> [[One<T>; 2]; 3] {
        [[gelu::<T, Avx2>, gelu::<T, Baseline>], [gelu_tanh::<T, Avx2>, gelu_tanh::<T, Baseline>], [silu::<T, Avx2>, silu::<T, Baseline>]]
    }

    /// The left tail of Φ, by a continued fraction.
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
    fn the_gates_keep_their_digits() {
        let pairs: [(One<f64>, One<f32>, One<f64>); 2] = [
            (normal_cdf::<f64, Baseline>, normal_cdf::<f32, Baseline>, gelu::<f64, Baseline>),
            (gelu_tanh_cdf::<f64, Baseline>, gelu_tanh_cdf::<f32, Baseline>, gelu_tanh::<f64, Baseline>),
        ];
        for (wide, single, product) in pairs {
            for i in (-10_000..10_000).filter(|i| *i != 0) {
                let x = f64::from((f64::from(i) * 1.3e-3) as f32);
                let want = product(x) / x;
                assert!((wide(x) - want).abs() <= 1e-14 * want, "{x}: {:e}, not {want:e}", wide(x));
                let y = f64::from(single(x as f32));
                assert!((y - want).abs() <= 4.0 * f64::from(f32::EPSILON) * want + 3e-45, "{x}: {y:e}, not {want:e}");
            }
            let exact = |x: f64, y: f64| wide(x).to_bits() == y.to_bits() && single(x as f32).to_bits() == (y as f32).to_bits();
            assert!(exact(0.0, 0.5) && exact(1e30, 1.0) && exact(-1e30, 0.0) && exact(f64::INFINITY, 1.0) && exact(f64::NEG_INFINITY, 0.0));
            assert!(wide(f64::NAN).is_nan() && single(f32::NAN).is_nan());
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
