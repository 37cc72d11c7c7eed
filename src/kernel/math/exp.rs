//! The exponential and what is made of it.
//!
//! x = k·ln 2 + r with |r| ≤ ½ ln 2 (Cody and Waite's reduction in two parts), then a polynomial in r and an
//! exact scaling by 2^k.

use super::coefficients::TANH_CUT;
use super::real::{Real, fma, pick, poly};
use crate::kernel::simd::Arch;

/// x reduced: `t = MAGIC + k`, x = k·ln 2 + r + tail, the tail below an ulp of r.
struct Reduced<T> {
    t: T,
    r: T,
    tail: T,
}

#[inline(always)]
fn reduce<T: Real, A: Arch>(x: T) -> Reduced<T> {
    let t = fma::<T, A>(x, T::LOG2_E[0] + T::LOG2_E[1], T::MAGIC);
    let k = t - T::MAGIC;
    let a = fma::<T, A>(-k, T::LN2[0], x);
    let r = fma::<T, A>(-k, T::LN2[1], a);
    let tail = fma::<T, A>(-k, T::LN2[1], a - r);
    Reduced { t, r, tail }
}

/// x held within ±`limit`; NaN stays.
#[inline(always)]
fn clamp<T: Real>(x: T, limit: T) -> T {
    let x = pick(x > limit, limit, x);
    pick(x < -limit, -limit, x)
}

/// eˣ, within 1.1 ulp.
///
/// Two factors scale the result, so that it may be subnormal, or overflow by itself.
#[inline(always)]
pub fn exp<T: Real, A: Arch>(x: T) -> T {
    let Reduced { t, r, .. } = reduce::<T, A>(clamp(x, T::EXP_CLAMP));
    let p = fma::<T, A>(r * r, poly::<T, A>(r, T::EXP), r) + T::lit(1.0);
    let (a, b) = T::pow2_halves(t);
    p * a * b
}

/// `(e, f)` with e^(x + low) = (1 + e)·f·g, the power of two f and g = `EXP_SHIFT[1]`, for an x that is not positive and
/// a `low` below an ulp of it or so. Scaling by g last may give a subnormal number, rounded once.
#[inline(always)]
pub(super) fn exp_parts<T: Real, A: Arch>(x: T, low: T) -> (T, T) {
    let Reduced { t, r, .. } = reduce::<T, A>(x);
    let r = r + low;
    (fma::<T, A>(r * r, poly::<T, A>(r, T::EXP), r), T::pow2(t + T::EXP_SHIFT[0]))
}

/// 2^k·2^−`shift` and eˣ/2^k − 1 for x = k·ln 2 + r; the scale must be a normal number.
#[inline(always)]
fn scale_and_expm1<T: Real, A: Arch>(x: T, shift: T) -> (T, T) {
    let Reduced { t, r, tail } = reduce::<T, A>(x);
    let p = r + fma::<T, A>(r * r, poly::<T, A>(r, T::EXPM1), tail);
    (T::pow2(t - shift), p)
}

/// eˣ − 1, within 1.8 ulp of a small result too: 2^k·p + (2^k − 1), as in fdlibm.
#[inline(always)]
pub fn expm1<T: Real, A: Arch>(x: T) -> T {
    let [low, high] = T::EXPM1_RANGE;
    let held = pick(x < low, low, pick(x > high, high, x));
    let (s, p) = scale_and_expm1::<T, A>(held, T::lit(1.0));
    let half = fma::<T, A>(s, p, s - T::lit(0.5));
    pick(x.abs() < T::TINY, x, half + half)
}

/// eˣ for moderate x where the last bit does not matter: nothing is clamped, and with FMA one step reduces.
#[inline(always)]
pub(super) fn brief_exp<T: Real, A: Arch>(x: T) -> T {
    let t = fma::<T, A>(x, T::LOG2_E[0] + T::LOG2_E[1], T::MAGIC);
    let k = t - T::MAGIC;
    let r = if A::FMA { k.mul_add(-(T::LN2[0] + T::LN2[1]), x) } else { x - k * T::LN2[0] - k * T::LN2[1] };
    let p = fma::<T, A>(r * r, poly::<T, A>(r, T::EXP), r);
    let s = T::pow2(t);
    fma::<T, A>(s, p, s)
}

/// tanh x = x + x³·P(x²) near zero, 1 − 2/(exp(2|x|) + 1) with the sign of x further out (the two ranges of
/// Cody and Waite), within 1.8 ulp.
#[inline(always)]
pub fn tanh<T: Real, A: Arch>(x: T) -> T {
    let (one, a) = (T::lit(1.0), x.abs());
    let z = x * x;
    let near = fma::<T, A>(a * z, poly::<T, A>(z, T::TANH_NEAR), a);
    let held = pick(a > T::TANH_MAX, T::TANH_MAX, a);
    let far = one - T::lit(2.0) / (brief_exp::<T, A>(held + held) + one);
    pick(a < T::lit(TANH_CUT), near, far).copysign(x)
}

/// 1/(1 + e⁻ˣ), through e = exp(−|x|), which cannot overflow. Within 2.6 ulp.
#[inline(always)]
pub fn sigmoid<T: Real, A: Arch>(x: T) -> T {
    let one = T::lit(1.0);
    let e = exp::<T, A>(-x.abs());
    pick(x < T::lit(0.0), e, one) / (one + e)
}

/// sinh x = (e + e/(e + 1))/2 for e = expm1(|x|), with the sign of x; carried as e/4 so
/// that it overflows last. Within 2.3 ulp.
#[inline(always)]
pub fn sinh<T: Real, A: Arch>(x: T) -> T {
    let a = x.abs();
    let (s, p) = scale_and_expm1::<T, A>(pick(a > T::SINH_MAX, T::SINH_MAX, a), T::lit(2.0));
    let q = fma::<T, A>(s, p, s - T::lit(0.25));
    let y = (q + q / fma::<T, A>(q, T::lit(4.0), T::lit(1.0))) * T::lit(2.0);
    pick(a < T::TINY, x, y.copysign(x))
}

/// cosh x = (e + 1/e)/2 for e = exp(|x|), carried as e/4. Within 1.5 ulp.
#[inline(always)]
pub fn cosh<T: Real, A: Arch>(x: T) -> T {
    let a = x.abs();
    let (s, p) = scale_and_expm1::<T, A>(pick(a > T::SINH_MAX, T::SINH_MAX, a), T::lit(2.0));
    let q = fma::<T, A>(s, p, s);
    (q + T::lit(1.0 / 16.0) / q) * T::lit(2.0)
}
