//! Powers.
//!
//! xʸ = 2^(y·log2 |x|). The logarithm is a head and a tail, because its error is multiplied by the exponent of the result: it must be below
//! some 2^−10 (`f64`) or 2^−7 (`f32`) of an ulp.

use super::real::{Real, fma, is_nan, pick, poly};
use crate::kernel::simd::Arch;

/// An unevaluated sum, the tail below an ulp of the head.
#[derive(Clone, Copy)]
pub(super) struct Pair<T> {
    pub(super) head: T,
    pub(super) tail: T,
}

/// a · b exactly: by FMA, else by Dekker's product of halves.
#[inline(always)]
pub(super) fn product<T: Real, A: Arch>(a: T, b: T) -> Pair<T> {
    let head = a * b;
    if A::FMA {
        return Pair { head, tail: a.mul_add(b, -head) };
    }
    let (c, d) = (a.head(), b.head());
    let (e, f) = (a - c, b - d);
    Pair { head, tail: ((c * d - head) + c * f + e * d) + e * f }
}

/// (a.head + a.tail) · b to twice the precision.
#[inline(always)]
fn times<T: Real, A: Arch>(a: Pair<T>, b: Pair<T>) -> Pair<T> {
    let Pair { head, tail } = product::<T, A>(a.head, b.head);
    Pair { head, tail: fma::<T, A>(a.head, b.tail, fma::<T, A>(a.tail, b.head, tail)) }
}

/// a + b for |a| ≥ |b.head| or a = 0.
#[inline(always)]
fn plus<T: Real>(a: T, b: Pair<T>) -> Pair<T> {
    let head = a + b.head;
    Pair { head, tail: ((a - head) + b.head) + b.tail }
}

/// log2 x for positive finite x.
///
/// As in [`log`](super::log()): with s = (m − 1)/(m + 1), log2 m = s·(2/ln 2 + s²·(2/3)/ln 2 + s⁴·P(s²)), the
/// first two terms in pairs.
#[inline(always)]
fn log2_pair<T: Real, A: Arch>(x: T) -> Pair<T> {
    let one = T::lit(1.0);
    let (m, k) = x.split_exponent();
    let (f, d) = (m - one, m + one);
    let inverse = one / d;
    let head = f * inverse;
    let Pair { head: p, tail: q } = product::<T, A>(head, d);
    let rest = ((f - p) - q) - head * (m - (d - one));
    let s = Pair { head, tail: rest * inverse };
    let z = times::<T, A>(s, s);
    let [head, tail] = T::POW_THIRD;
    let mut sum = times::<T, A>(z, Pair { head, tail });
    sum.tail = fma::<T, A>(z.head * z.head, poly::<T, A>(z.head, T::POW), sum.tail);
    let [head, tail] = T::POW_FIRST;
    sum.tail = sum.tail + tail;
    let Pair { head, tail } = plus(k, times::<T, A>(s, plus(head, sum)));
    plus(head, Pair { head: tail, tail: T::lit(0.0) })
}

/// 2 to the power x.head + x.tail.
#[inline(always)]
fn exp2_pair<T: Real, A: Arch>(x: Pair<T>) -> T {
    let limit = T::EXP2_CLAMP;
    let inside = x.head.abs() < limit;
    let head = pick(inside, x.head, limit.copysign(x.head));
    let tail = pick(inside, x.tail, T::lit(0.0));
    let t = head + T::MAGIC;
    let r = ((head - (t - T::MAGIC)) + tail) * T::lit(std::f64::consts::LN_2);
    let p = fma::<T, A>(r * r, poly::<T, A>(r, T::EXP), r) + T::lit(1.0);
    let (a, b) = T::pow2_halves(t);
    p * a * b
}

/// x to the power y within 1.5 ulp, with the special cases of IEEE 754's `pow`.
#[inline(always)]
pub fn pow<T: Real, A: Arch>(x: T, y: T) -> T {
    let (zero, one, infinity) = (T::lit(0.0), T::lit(1.0), T::lit(f64::INFINITY));
    let a = x.abs();
    // A larger exponent gives the same result (0, 1 or ∞), and here products stay finite.
    let held = pick(y.abs() < T::POW_CLAMP, y, T::POW_CLAMP.copysign(y));
    let log = log2_pair::<T, A>(a);
    let power = exp2_pair::<T, A>(times::<T, A>(log, Pair { head: held, tail: zero }));

    let rising = y > zero;
    let power = pick(a == zero, pick(rising, zero, infinity), power);
    let power = pick(a == infinity, pick(rising, infinity, zero), power);
    let half = y * T::lit(0.5);
    let integer = y.floor() == y;
    let odd = integer & (half.floor() != half);
    let power = pick(odd, power.copysign(x), power);
    let power = pick((x < zero) & (a != infinity) & !integer, T::lit(f64::NAN), power);
    let power = pick(is_nan(x) | is_nan(y), x + y, power);
    pick((x == one) | (y == zero), one, power)
}
