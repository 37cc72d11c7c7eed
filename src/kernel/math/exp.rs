//! The exponential and functions derived from it.
//!
//! x = k·ln 2 + r with |r| ≤ ½ ln 2 (Cody and Waite's reduction in two parts), then a polynomial in r and an
//! exact scaling by 2^k.

use super::power::{Pair, product};
use super::real::{Real, fma, long_poly, pick, poly};
use crate::kernel::simd::Arch;

/// The reduced argument: `t = MAGIC + k`, x = k·ln 2 + r + tail, with the tail below an ulp of r.
pub(super) struct Reduced<T> {
    pub(super) t: T,
    pub(super) r: T,
    tail: T,
}

#[inline(always)]
pub(super) fn reduce<T: Real, A: Arch>(x: T) -> Reduced<T> {
    let t = fma::<T, A>(x, T::LOG2_E[0] + T::LOG2_E[1], T::MAGIC);
    let k = t - T::MAGIC;
    let a = fma::<T, A>(-k, T::LN2[0], x);
    let r = fma::<T, A>(-k, T::LN2[1], a);
    let tail = fma::<T, A>(-k, T::LN2[1], a - r);
    Reduced { t, r, tail }
}

/// x clamped to `low` … `high`; NaN is preserved.
#[inline(always)]
pub(super) fn clamp<T: Real>(x: T, low: T, high: T) -> T {
    let x = pick(x > high, high, x);
    pick(x < low, low, x)
}

/// [`reduce`] for x + low, where `low` is about an ulp of x or less; without a tail.
#[inline(always)]
pub(super) fn reduce_pair<T: Real, A: Arch>(x: T, low: T) -> Reduced<T> {
    let t = fma::<T, A>(x, T::LOG2_E[0] + T::LOG2_E[1], T::MAGIC);
    let k = t - T::MAGIC;
    let r = fma::<T, A>(-k, T::LN2[0], x) + fma::<T, A>(-k, T::LN2[1], low);
    Reduced { t, r, tail: T::lit(0.0) }
}

/// eʳ − 1 to within an ulp of 1, for a reduced r.
#[inline(always)]
pub(super) fn share<T: Real, A: Arch>(r: T) -> T {
    fma::<T, A>(r * r, poly::<T, A>(r, T::EXP), r)
}

/// [`share`] for a formula that is [long](long_poly).
#[inline(always)]
pub(super) fn long_share<T: Real, A: Arch>(r: T) -> T {
    fma::<T, A>(r * r, long_poly::<T, A>(r, T::EXP), r)
}

/// eˣ, within 1.1 ulp.
///
/// Two factors scale the result, so that it may be subnormal, and overflows only when it must.
#[inline(always)]
pub fn exp<T: Real, A: Arch>(x: T) -> T {
    let Reduced { t, r, .. } = reduce::<T, A>(clamp(x, -T::EXP_CLAMP, T::EXP_CLAMP));
    let e = share::<T, A>(r);
    let (a, b) = T::pow2_halves(t);
    fma::<T, A>(e, a, a) * b
}

/// e^(a·b), within 1.5 ulp. The product is not rounded, so that a large one does not lose digits of the result.
#[inline(always)]
pub fn exp_product<T: Real, A: Arch>(a: T, b: T) -> T {
    let Pair { head, tail } = product::<T, A>(a, b);
    let tail = pick(head.abs() < T::EXP_CLAMP, tail, T::lit(0.0));
    let Reduced { t, r, .. } = reduce_pair::<T, A>(clamp(head, -T::EXP_CLAMP, T::EXP_CLAMP), tail);
    let e = share::<T, A>(r);
    let (a, b) = T::pow2_halves(t);
    fma::<T, A>(e, a, a) * b
}

/// 2^k·2^−`shift` and eˣ/2^k − 1 for x = k·ln 2 + r; the scale must be a normal number.
#[inline(always)]
fn scale_and_expm1<T: Real, A: Arch>(x: T, shift: i16) -> (T, T) {
    let Reduced { t, r, tail } = reduce::<T, A>(x);
    let p = r + fma::<T, A>(r * r, poly::<T, A>(r, T::EXPM1), tail);
    (T::pow2(t, -shift), p)
}

/// eˣ − 1, within 1.8 ulp of a small result too: 2^k·p + (2^k − 1), as in fdlibm.
#[inline(always)]
pub fn expm1<T: Real, A: Arch>(x: T) -> T {
    let [low, high] = T::EXPM1_RANGE;
    let held = pick(x < low, low, pick(x > high, high, x));
    let (s, p) = scale_and_expm1::<T, A>(held, 1);
    let half = fma::<T, A>(s, p, s - T::lit(0.5));
    pick(x.abs() < T::TINY, x, half + half)
}

/// eˣ for moderate x, where the last bit does not matter: nothing is clamped, and with FMA the reduction is one step.
#[inline(always)]
pub(super) fn brief_exp<T: Real, A: Arch>(x: T) -> T {
    let t = fma::<T, A>(x, T::LOG2_E[0] + T::LOG2_E[1], T::MAGIC);
    let k = t - T::MAGIC;
    let r = if A::FMA { k.mul_add(-(T::LN2[0] + T::LN2[1]), x) } else { x - k * T::LN2[0] - k * T::LN2[1] };
    let s = T::pow2(t, 0);
    fma::<T, A>(s, long_share::<T, A>(r), s)
}

/// tanh x = N/D = 1 − 2(1 − h)/D by the addition theorem, with |x| = k·½ ln 2 + r, s = 2^k, h = tanh r,
/// N = (s − 1) + (s + 1)·h and D = (s + 1) + (s − 1)·h. For k = 0 the result is h. Within 1.9 ulp.
#[inline(always)]
pub fn tanh<T: Real, A: Arch>(x: T) -> T {
    let (one, two, half) = (T::lit(1.0), T::lit(2.0), T::lit(0.5));
    let a = x.abs();
    let held = pick(a > T::TANH_MAX, T::TANH_MAX, a);
    // Rounded down rather than up: then k = 0 for r up to 0.273, and no quotient is rounded.
    let t = fma::<T, A>(held - T::lit(0.1), two * (T::LOG2_E[0] + T::LOG2_E[1]), T::MAGIC);
    let k = t - T::MAGIC;
    let [head, tail] = [half * T::LN2[0], half * T::LN2[1]];
    let r = if A::FMA { k.mul_add(-(head + tail), held) } else { held - k * head - k * tail };
    let z = r * r;
    let h = fma::<T, A>(r * z, poly::<T, A>(z, T::TANH), r);
    let s = T::pow2(t, 0);
    let (low, high) = (s - one, s + one);
    // From ½ on the second form is more accurate.
    let large = held > T::lit(0.549_306_144_334_054_8);
    let above = pick(large, fma::<T, A>(h, two, -two), fma::<T, A>(high, h, low));
    (pick(large, one, T::lit(0.0)) + above / fma::<T, A>(low, h, high)).with_sign_of(x)
}

/// c·(1 + eᵛ) for a reduced v, where c = `LOGISTIC_UNIT` keeps it finite.
#[inline(always)]
pub(super) fn logistic<T: Real, A: Arch>(Reduced { t, r, .. }: Reduced<T>) -> T {
    let f = T::pow2(t, -T::LOGISTIC_LOWERED);
    fma::<T, A>(f, share::<T, A>(r), f + T::LOGISTIC_UNIT)
}

/// 1/(1 + e⁻ˣ), within 2.6 ulp.
#[inline(always)]
pub fn sigmoid<T: Real, A: Arch>(x: T) -> T {
    T::LOGISTIC_UNIT / logistic::<T, A>(reduce::<T, A>(clamp(-x, -T::LOGISTIC_MAX, T::EXP_CLAMP)))
}

/// The derivative of [`sigmoid`]: e^−|x|/(1 + e^−|x|)², within 4 ulp. σ(1 − σ) would lose all digits where σ is near 1.
#[inline(always)]
pub fn sigmoid_slope<T: Real, A: Arch>(x: T) -> T {
    let e = exp::<T, A>(-x.abs());
    let d = T::lit(1.0) + e;
    e / (d * d)
}

/// sinh x = (e + e/(e + 1))/2 with e = expm1(|x|) and the sign of x. It is computed with e/4, so that no intermediate value overflows
/// before the result. Within 2.3 ulp.
#[inline(always)]
pub fn sinh<T: Real, A: Arch>(x: T) -> T {
    let a = x.abs();
    let (s, p) = scale_and_expm1::<T, A>(pick(a > T::SINH_MAX, T::SINH_MAX, a), 2);
    let q = fma::<T, A>(s, p, s - T::lit(0.25));
    let y = (q + q / fma::<T, A>(q, T::lit(4.0), T::lit(1.0))) * T::lit(2.0);
    pick(a < T::TINY, x, y.copysign(x))
}

/// cosh x = (e + 1/e)/2 with e = exp(|x|), computed with e/4. Within 1.5 ulp.
#[inline(always)]
pub fn cosh<T: Real, A: Arch>(x: T) -> T {
    let a = x.abs();
    let (s, p) = scale_and_expm1::<T, A>(pick(a > T::SINH_MAX, T::SINH_MAX, a), 2);
    let q = fma::<T, A>(s, p, s);
    (q + T::lit(1.0 / 16.0) / q) * T::lit(2.0)
}
