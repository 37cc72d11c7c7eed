//! The gamma function, its logarithm, and the logarithm's derivatives; beta and zeta.

use std::f64::consts::PI;

use super::num::{Jet, Num};
use super::tables::{BERNOULLI, DIGAMMA_AT_NEGATIVE_ROOT, DIGAMMA_AT_ROOT, DIGAMMA_NEGATIVE_ROOT, DIGAMMA_ROOT};

/// log √(2π).
pub const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_8;

/// Whether x is 0, -1, -2, …, where Γ has poles.
fn is_pole(x: f64) -> bool {
    x <= 0.0 && x.floor() == x
}

/// log |Γ(x)|, from musl, which is accurate near 1 and 2.
pub fn gammaln(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { f64::INFINITY } else { libm::lgamma(x) }
}

/// The sign of Γ(x): 0 where it is not defined.
pub fn gammasgn(x: f64) -> f64 {
    if x.is_nan() {
        x
    } else if x > 0.0 || x.is_sign_positive() {
        1.0
    } else if x == 0.0 {
        -1.0
    } else if is_pole(x) || x.is_infinite() {
        0.0
    } else if x.floor() % 2.0 == 0.0 {
        1.0
    } else {
        -1.0
    }
}

/// Γ(x); NaN at negative integers.
pub fn gamma(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY.copysign(x);
    }
    if is_pole(x) { f64::NAN } else { libm::tgamma(x) }
}

/// sin(πx), exact at integers.
fn sinpi(x: f64) -> f64 {
    let r = x - 2.0 * (0.5 * x).round();
    match r {
        _ if r.abs() == 1.0 => 0.0,
        _ if r > 0.5 => (PI * (1.0 - r)).sin(),
        _ if r < -0.5 => -(PI * (1.0 + r)).sin(),
        _ => (PI * r).sin(),
    }
}

/// cos(πx).
fn cospi(x: f64) -> f64 {
    sinpi(x + 0.5)
}

/// c₀ d + c₁ d² + …
fn series(d: f64, c: &[f64]) -> f64 {
    c.iter().rev().fold(0.0, |sum, c| (sum + c) * d)
}

/// ψ(x) = Γ'(x)/Γ(x); NaN at negative integers, ∓∞ at ±0.
pub fn digamma(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY.copysign(-x);
    }
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if is_pole(x) || x == f64::NEG_INFINITY {
        return f64::NAN;
    }
    let d = (x - DIGAMMA_NEGATIVE_ROOT[0]) - DIGAMMA_NEGATIVE_ROOT[1];
    if d.abs() < 0.1 {
        return series(d, &DIGAMMA_AT_NEGATIVE_ROOT);
    }
    if x < 0.0 {
        // Reflection. The cotangent is evaluated where the sine is exact.
        let r = x - x.round();
        return digamma(1.0 - x) - PI * cospi(r) / sinpi(r);
    }
    let (mut x, mut low) = (x, 0.0);
    while x < 1.15 {
        low -= 1.0 / x;
        x += 1.0;
    }
    let d = (x - DIGAMMA_ROOT[0]) - DIGAMMA_ROOT[1];
    if d.abs() < 0.35 {
        return series(d, &DIGAMMA_AT_ROOT) + low;
    }
    while x < 10.0 {
        low -= 1.0 / x;
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    let tail = [1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0, 1.0 / 132.0, -691.0 / 32760.0, 1.0 / 12.0, -3617.0 / 8160.0];
    x.ln() - 0.5 / x - series(z, &tail) + low
}

/// The derivative of order n of ψ, n = 0, 1, 2, …; NaN for other n.
pub fn polygamma(n: f64, x: f64) -> f64 {
    if n == 0.0 {
        return digamma(x);
    }
    if n < 0.0 || n.floor() != n || x.is_nan() {
        return f64::NAN;
    }
    let odd = n % 2.0 == 1.0;
    if x == f64::INFINITY {
        return 0.0;
    }
    if is_pole(x) || x == f64::NEG_INFINITY {
        return if odd && x.is_finite() { f64::INFINITY } else { f64::NAN };
    }
    let sign = if odd { 1.0 } else { -1.0 };
    // n! alone overflows beyond 170.
    let (factorial, z) = (libm::tgamma(n + 1.0), zeta_integer(n + 1.0, x));
    if factorial.is_finite() { sign * factorial * z } else { sign * z.signum() * (gammaln(n + 1.0) + z.abs().ln()).exp() }
}

/// ζ(s, q) for an integer s ≥ 2 and any q that is no pole.
fn zeta_integer(s: f64, q: f64) -> f64 {
    if q > 0.0 {
        return hurwitz(s, q);
    }
    // The terms below zero are a finite part of another zeta function.
    let f = q - q.floor();
    let sign = if s % 2.0 == 0.0 { 1.0 } else { -1.0 };
    let below = if q < -60.0 { hurwitz(s, 1.0 - f) - hurwitz(s, 1.0 - q) } else { finite(s, 1.0 - f, 1.0 - q) };
    hurwitz(s, f) + sign * below
}

/// Σ k^-s over k = from, from + 1, … below `to`.
fn finite(s: f64, from: f64, to: f64) -> f64 {
    let (mut sum, mut k) = (0.0, from);
    while k < to - 0.5 {
        sum += k.powf(-s);
        k += 1.0;
    }
    sum
}

/// The Hurwitz zeta function for s > 1, q > 0 (or s < 1 as its continuation, q near 1) by the Euler-Maclaurin formula.
pub fn hurwitz<T: Num>(s: T, q: f64) -> T {
    let (mut sum, mut w) = (T::lit(0.0), q);
    // The asymptotic series needs a base above the exponent.
    while w < 10.0_f64.max(s.value()) {
        let term = T::power(w, -s);
        sum = sum + term;
        if s.value() > 1.0 && term.value() <= 1e-18 * sum.value() {
            return sum;
        }
        w += 1.0;
    }
    let first = T::power(w, -s);
    sum = sum + first * T::lit(w) / (s - T::lit(1.0)) + first * T::lit(0.5);
    let mut factor = first / T::lit(w) * s;
    for (j, b) in BERNOULLI.iter().enumerate() {
        let term = factor * T::lit(*b);
        sum = sum + term;
        if term.is_negligible(sum) {
            break;
        }
        let k = 2.0 * j as f64 + 1.0;
        factor = factor * (s + T::lit(k)) * (s + T::lit(k + 1.0)) / T::lit(w * w);
    }
    sum
}

/// The Hurwitz zeta function ζ(s, q): NaN for s < 1 and where q^-s is not defined, ∞ at poles.
pub fn zeta(s: f64, q: f64) -> f64 {
    match (s, q) {
        _ if s.is_nan() || q.is_nan() => f64::NAN,
        _ if s == 1.0 => f64::INFINITY,
        _ if s < 1.0 => f64::NAN,
        _ if is_pole(q) => f64::INFINITY,
        _ if q == f64::INFINITY => 0.0,
        _ if q < 0.0 && s.floor() != s => f64::NAN,
        _ if q < 0.0 => zeta_integer(s, q),
        _ if s == f64::INFINITY => match q {
            _ if q < 1.0 => f64::INFINITY,
            _ if q == 1.0 => 1.0,
            _ => 0.0,
        },
        // As w^(1-s)/(s - 1) + w^-s/2 with a single power: otherwise the rounding of 1 - s would matter.
        _ if q > 1e8 => (1.0 / (s - 1.0) + 0.5 / q) * q.powf(1.0 - s),
        _ => hurwitz(s, q),
    }
}

/// The Riemann zeta function for every real s.
pub fn riemann_zeta(s: f64) -> f64 {
    if s >= 1.0 || s.is_nan() {
        return zeta(s, 1.0);
    }
    if s > -1.0 {
        return hurwitz(s, 1.0);
    }
    if s % 2.0 == 0.0 {
        return 0.0;
    }
    let (scale, z) = ((s * (2.0 * PI).ln() - PI.ln() + gammaln(1.0 - s)).exp(), zeta(1.0 - s, 1.0));
    if s > -150.0 {
        return (2.0 * PI).powf(s) / PI * sinpi(0.5 * s) * libm::tgamma(1.0 - s) * z;
    }
    scale * sinpi(0.5 * s) * z
}

/// The error of Stirling's formula for log Γ(x), x ≥ 10.
pub fn stirling_error<T: Num>(x: T) -> T {
    let c = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0, 1.0 / 156.0, -3617.0 / 122_400.0];
    let z = T::lit(1.0) / (x * x);
    c.iter().rev().fold(T::lit(0.0), |sum, c| sum * z + T::lit(*c)) / x
}

/// log |B(a, b)|, without the cancellation of three log Γ for large arguments.
pub fn betaln(a: f64, b: f64) -> f64 {
    let (p, q) = if a < b { (a, b) } else { (b, a) };
    if p.is_nan() || q.is_nan() {
        return f64::NAN;
    }
    if p <= 0.0 {
        return betaln_signed(p, q).0;
    }
    if q == f64::INFINITY {
        return f64::NEG_INFINITY;
    }
    if p >= 10.0 {
        let corr = stirling_error(p) + stirling_error(q) - stirling_error(p + q);
        return -0.5 * q.ln() + LN_SQRT_2PI + corr + (p - 0.5) * (p / (p + q)).ln() + q * (-p / (p + q)).ln_1p();
    }
    if q >= 10.0 {
        let corr = stirling_error(q) - stirling_error(p + q);
        return gammaln(p) + corr + p - p * (p + q).ln() + (q - 0.5) * (-p / (p + q)).ln_1p();
    }
    if p < 1e-300 {
        return gammaln(p) + (gammaln(q) - gammaln(p + q));
    }
    (libm::tgamma(p) * (libm::tgamma(q) / libm::tgamma(p + q))).ln()
}

/// log |B| and its sign, for an argument that is not positive.
fn betaln_signed(a: f64, b: f64) -> (f64, f64) {
    // Two poles may cancel: Γ(-n) / Γ(-n + b).
    if is_pole(a) {
        if b.floor() == b && 1.0 - a - b > 0.0 {
            let sign = if b % 2.0 == 0.0 { 1.0 } else { -1.0 };
            return (betaln(1.0 - a - b, b), sign);
        }
        return (f64::INFINITY, 1.0);
    }
    if is_pole(b) {
        return betaln_signed(b, a);
    }
    (gammaln(a) + gammaln(b) - gammaln(a + b), gammasgn(a) * gammasgn(b) * gammasgn(a + b))
}

/// B(a, b) = Γ(a) Γ(b) / Γ(a + b).
pub fn beta(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    if a <= 0.0 || b <= 0.0 {
        let (log, sign) = betaln_signed(a, b);
        return sign * log.exp();
    }
    let (p, q) = if a < b { (a, b) } else { (b, a) };
    if q < 10.0 && p > 1e-300 {
        return libm::tgamma(p) * (libm::tgamma(q) / libm::tgamma(p + q));
    }
    betaln(a, b).exp()
}

/// The logarithm of the factor of the multivariate gamma function that does not depend on a: d (d - 1) log(π) / 4.
pub fn multigammaln_constant(d: f64) -> f64 {
    d * (d - 1.0) * (PI.ln() / 4.0)
}

/// The derivative of order n ≤ 2 of ζ(s, q) with respect to s, for s > 1 and q > 0, or for q = 1 and every s.
pub fn zeta_by_s(s: f64, q: f64, n: usize) -> f64 {
    if s > 1.0 || (q == 1.0 && s > -1.0 && s != 1.0) {
        return if q > 0.0 && q.is_finite() { hurwitz(Jet::first(s), q).derivative(n, 0) } else { f64::NAN };
    }
    if q != 1.0 || s == 1.0 {
        return f64::NAN;
    }
    // ζ(s) = (2π)^s / π · sin(πs/2) Γ(1 - s) ζ(1 - s)
    let (t, one) = (Jet::first(s), Jet::lit(1.0));
    let (sin, cos) = (sinpi(0.5 * s), cospi(0.5 * s));
    let wave = (t * Jet::lit(0.5 * PI)).map(|_| sin, |_, _| [cos, -sin]);
    let size = (t * Jet::lit((2.0 * PI).ln()) + (one - t).gammaln()).exp();
    (size * wave * hurwitz(one - t, 1.0) * Jet::lit(1.0 / PI)).derivative(n, 0)
}
