//! The functions of this room to some thirty digits, slowly, as the reference for the `f64` versions.
//!
//! A [`Wide`] is an unevaluated sum of two `f64`; sums and products follow Dekker and Knuth. The functions use only Taylor series and
//! Newton steps, and nothing of the code under test. `benches/accuracy.rs` includes this file, too.
#![allow(clippy::excessive_precision, clippy::unreadable_literal, clippy::approx_constant, reason = "digits as they were computed")]

use std::f64::consts::LN_2;

/// hi + lo with |lo| at most half an ulp of hi: about 106 bits.
#[derive(Clone, Copy, Debug)]
pub struct Wide {
    pub hi: f64,
    pub lo: f64,
}

/// ln 2 and π/2 to 159 bits.
const LN2: [f64; 3] = [LN_2, 2.3190468138462996e-17, 5.707708438416212e-34];
const PIO2: [f64; 3] = [1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33];
const TWO_BY_SQRT_PI: Wide = Wide { hi: 1.1283791670955126, lo: 1.533545961316588e-17 };

pub fn wide(x: f64) -> Wide {
    Wide { hi: x, lo: 0.0 }
}

fn sum(a: f64, b: f64) -> Wide {
    let hi = a + b;
    let c = hi - a;
    Wide { hi, lo: (a - (hi - c)) + (b - c) }
}

fn product(a: f64, b: f64) -> Wide {
    let hi = a * b;
    Wide { hi, lo: a.mul_add(b, -hi) }
}

impl Wide {
    pub fn plus(self, o: Wide) -> Wide {
        let (s, t) = (sum(self.hi, o.hi), sum(self.lo, o.lo));
        let u = sum(s.hi, s.lo + t.hi);
        sum(u.hi, u.lo + t.lo)
    }
    pub fn minus(self, o: Wide) -> Wide {
        self.plus(o.negative())
    }
    pub fn negative(self) -> Wide {
        Wide { hi: -self.hi, lo: -self.lo }
    }
    pub fn times(self, o: Wide) -> Wide {
        let p = product(self.hi, o.hi);
        sum(p.hi, p.lo + (self.hi * o.lo + self.lo * o.hi))
    }
    pub fn over(self, o: Wide) -> Wide {
        let q = self.hi / o.hi;
        let rest = self.minus(o.times(wide(q)));
        let q2 = rest.hi / o.hi;
        let rest = rest.minus(o.times(wide(q2)));
        sum(q, q2).plus(wide(rest.hi / o.hi))
    }
    /// The exact product with a power of two.
    fn scaled(self, s: f64) -> Wide {
        Wide { hi: self.hi * s, lo: self.lo * s }
    }
    /// self · 2^k, where k may be outside the range of one factor.
    pub fn shifted(self, k: f64) -> Wide {
        let half = (k / 2.0).floor();
        self.scaled(half.exp2()).scaled((k - half).exp2())
    }
}

/// x − n·c for a constant in three parts, n below 2^53.
fn reduced(x: Wide, n: f64, c: [f64; 3]) -> Wide {
    c.iter().fold(x, |x, &part| x.minus(product(n, part)))
}

/// Σ xⁱ/i! from i = 1, for |x| ≤ ½.
fn expm1_series(x: Wide) -> Wide {
    (1..=28).rev().fold(wide(0.0), |s, i| s.plus(wide(1.0)).times(x).over(wide(f64::from(i))))
}

/// (m − 1, k) with eˣ = m·2^k.
fn exp_parts(x: Wide) -> (Wide, f64) {
    let k = (x.hi / LN_2).round();
    (expm1_series(reduced(x, k, LN2)), k)
}

/// m and k of eˣ = m·2^k.
pub fn exp(x: Wide) -> (Wide, f64) {
    let (m, k) = exp_parts(x);
    (m.plus(wide(1.0)), k)
}

fn exp_wide(x: Wide) -> Wide {
    let (m, k) = exp(x);
    m.shifted(k)
}

pub fn expm1(x: Wide) -> Wide {
    let (m, k) = exp_parts(x);
    if k == 0.0 { m } else { m.plus(wide(1.0)).shifted(k).minus(wide(1.0)) }
}

/// Σ ±xⁱ/i for |x| ≤ 10⁻³.
fn log1p_series(x: Wide) -> Wide {
    (1..=14).rev().fold(wide(0.0), |s, i| wide(1.0).over(wide(f64::from(i))).minus(s).times(x))
}

/// By one Newton step of second order from the `f64` value, for x not near the edges of the range.
pub fn log(x: Wide) -> Wide {
    let y = x.hi.ln();
    let near = x.minus(wide(1.0));
    if near.hi.abs() < 1e-3 {
        return log1p_series(near); // without the cancellation of the Newton step
    }
    let (m, k) = exp(wide(y).negative());
    let e = x.shifted(k).times(m).minus(wide(1.0));
    wide(y).plus(e.minus(e.times(e).scaled(0.5)))
}

pub fn log1p(x: f64) -> Wide {
    if x.abs() < 1e-3 {
        return log1p_series(wide(x));
    }
    log(sum(1.0, x))
}

pub fn log2(x: f64) -> Wide {
    log(wide(x)).over(Wide { hi: LN2[0], lo: LN2[1] })
}

pub fn log10(x: f64) -> Wide {
    log(wide(x)).over(log(wide(10.0)))
}

pub fn tanh(x: f64) -> Wide {
    let e = expm1(wide(2.0 * x.min(100.0)));
    e.over(e.plus(wide(2.0)))
}

pub fn sigmoid(x: f64) -> Wide {
    wide(1.0).over(exp_wide(wide(-x)).plus(wide(1.0)))
}

/// sinh and cosh for |x| up to 700.
pub fn hyperbolic(x: f64) -> (Wide, Wide) {
    let (a, b) = (expm1(wide(x)), expm1(wide(-x)));
    (a.minus(b).scaled(0.5), a.plus(b).scaled(0.5).plus(wide(1.0)))
}

/// sin and cos for |x| up to 2^40 or so.
pub fn sin_cos(x: f64) -> (Wide, Wide) {
    let n = (x / PIO2[0]).round();
    let r = reduced(wide(x), n, PIO2);
    let z = r.times(r).negative();
    let series = |first: i32| {
        (0..14).rev().fold(wide(1.0), |s, i| {
            let i = f64::from(2 * i + first);
            s.times(z).over(wide(i * (i + 1.0))).plus(wide(1.0))
        })
    };
    let (s, c) = (series(2).times(r), series(1));
    match n.rem_euclid(4.0) {
        0.0 => (s, c),
        1.0 => (c, s.negative()),
        2.0 => (s.negative(), c.negative()),
        _ => (c.negative(), s),
    }
}

/// 2/√π · e^(−x²) · Σ (2x²)ⁿ x/(2n+1)!!: every term positive.
pub fn erf(x: f64) -> Wide {
    let x = wide(x.clamp(-6.5, 6.5));
    let z = x.times(x);
    let sum = (0..220).rev().fold(wide(0.0), |s, n| s.plus(wide(1.0)).times(if n == 0 { x } else { z.scaled(2.0).over(wide(f64::from(2 * n + 1))) }));
    sum.times(exp_wide(z.negative())).times(TWO_BY_SQRT_PI)
}

/// m and k of xʸ = m·2^k, for positive x.
pub fn pow(x: f64, y: f64) -> (Wide, f64) {
    exp(log(wide(x)).times(wide(y)))
}

/// |y − m·2^k| in ulp of `f64`; infinite if NaN or infinity differ, or for a zero of the wrong sign.
pub fn error64(y: f64, (m, k): (Wide, f64)) -> f64 {
    let expected = m.shifted(k).hi;
    if y.to_bits() == expected.to_bits() && !m.hi.is_normal() || y.is_nan() && expected.is_nan() {
        return 0.0;
    }
    if !m.hi.is_normal() || !y.is_finite() || y.is_sign_negative() != m.hi.is_sign_negative() {
        return if y.is_infinite() && y.to_bits() == expected.to_bits() { 0.0 } else { f64::INFINITY };
    }
    let exponent = (m.hi.abs().log2().floor() + k).max(-1022.0);
    let off = (wide(y).shifted(-k).hi - m.hi) - m.lo;
    wide(off.abs()).shifted(k - exponent).hi * 52_f64.exp2()
}
