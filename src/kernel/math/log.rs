//! Logarithms, by the method of fdlibm.
//!
//! x = 2^k·(1 + f) with 1 + f within √½ … √2, s = f/(2 + f), and
//! log(1 + f) = f − (f²/2 − s·(f²/2 + R)) with R = s²·P(s²) from the series of log((1+s)/(1−s)).

use super::real::{Real, fma, pick, poly};
use crate::kernel::simd::Arch;

/// log(1 + f) = f − half + rest, ordered from large to small.
struct Pieces<T> {
    f: T,
    half: T,
    rest: T,
}

#[inline(always)]
fn pieces<T: Real, A: Arch>(f: T) -> Pieces<T> {
    let s = f / (T::lit(2.0) + f);
    let z = s * s;
    let r = z * poly::<T, A>(z, T::LOG);
    let half = f * f * T::lit(0.5);
    Pieces { f, half, rest: s * (half + r) }
}

/// `y`, except at the edges of the domain: x itself at +∞ and NaN, −∞ where `u` is zero, NaN where it is negative.
#[inline(always)]
fn edges<T: Real>(x: T, u: T, y: T) -> T {
    let zero = T::lit(0.0);
    let y = pick(x < T::lit(f64::INFINITY), y, x);
    let y = pick(u == zero, T::lit(f64::NEG_INFINITY), y);
    pick(u < zero, T::lit(f64::NAN), y)
}

/// Natural logarithm, within 0.9 ulp.
#[inline(always)]
pub fn log<T: Real, A: Arch>(x: T) -> T {
    let (m, k) = x.split_exponent();
    let Pieces { f, half, rest } = pieces::<T, A>(m - T::lit(1.0));
    let low = fma::<T, A>(k, T::LN2[1], rest);
    let y = fma::<T, A>(k, T::LN2[0], f - (half - low));
    edges(x, x, y)
}

/// log(1 + x), within 0.9 ulp of small results, too: the rounding error of 1 + x is added back, divided by 1 + x.
#[inline(always)]
pub fn log1p<T: Real, A: Arch>(x: T) -> T {
    let one = T::lit(1.0);
    let u = one + x;
    let (m, k) = u.split_exponent();
    let Pieces { f, half, rest } = pieces::<T, A>(m - one);
    let lost = pick(u > x.abs(), x - (u - one), one - (u - x)) / u;
    let low = fma::<T, A>(k, T::LN2[1], rest) + lost;
    let y = fma::<T, A>(k, T::LN2[0], f - (half - low));
    let y = edges(x, u, y);
    pick(x.abs() < T::TINY, x, y)
}

/// Binary logarithm, within 0.9 ulp; exact at powers of two.
#[inline(always)]
pub fn log2<T: Real, A: Arch>(x: T) -> T {
    let (m, k) = x.split_exponent();
    let (head, tail) = scaled::<T, A>(m - T::lit(1.0), T::LOG2_E);
    let sum = k + head;
    let y = sum + ((k - sum) + head + tail);
    edges(x, x, y)
}

/// Decimal logarithm, within 0.9 ulp.
#[inline(always)]
pub fn log10<T: Real, A: Arch>(x: T) -> T {
    let (m, k) = x.split_exponent();
    let (head, tail) = scaled::<T, A>(m - T::lit(1.0), T::LOG10_E);
    let k_head = k * T::LOG10_2[0];
    let sum = k_head + head;
    let y = sum + ((k_head - sum) + head + fma::<T, A>(k, T::LOG10_2[1], tail));
    edges(x, x, y)
}

/// log(1 + f) times a constant given as half-width head and tail; the head of the product is exact.
#[inline(always)]
fn scaled<T: Real, A: Arch>(f: T, factor: [T; 2]) -> (T, T) {
    let Pieces { f, half, rest } = pieces::<T, A>(f);
    let head = (f - half).head();
    let tail = (f - head) - half + rest;
    (head * factor[0], fma::<T, A>(tail, factor[0], (head + tail) * factor[1]))
}
