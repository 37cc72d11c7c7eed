//! Bessel functions of orders 0 and 1.

use super::tables::{I0E_LARGE, I0E_SMALL, I1E_LARGE, I1E_SMALL, K0_SMALL, K0E_LARGE, K1_SMALL, K1E_LARGE};

/// Σ c_k T_k(t) by Clenshaw's recurrence.
#[inline(always)]
pub fn chebyshev(t: f64, c: &[f64]) -> f64 {
    let (mut b1, mut b2) = (0.0, 0.0);
    for c in c[1..].iter().rev() {
        (b1, b2) = (2.0 * t * b1 - b2 + c, b1);
    }
    t * b1 - b2 + c[0]
}

/// I₀(x) for small x by its power series.
fn i0_series(x: f64) -> f64 {
    let z = 0.25 * x * x;
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..30 {
        let k = f64::from(k);
        term *= z / (k * k);
        sum += term;
        if term < 1e-17 * sum {
            break;
        }
    }
    sum
}

/// I₁(x) / x for small x by its power series.
fn i1_series(x: f64) -> f64 {
    let z = 0.25 * x * x;
    let (mut term, mut sum) = (0.5, 0.5);
    for k in 1..30 {
        let k = f64::from(k);
        term *= z / (k * (k + 1.0));
        sum += term;
        if term < 1e-17 * sum {
            break;
        }
    }
    sum
}

/// e^-|x| I₀(x).
pub fn i0e(x: f64) -> f64 {
    let x = x.abs();
    if x <= 8.0 { chebyshev(0.25 * x - 1.0, &I0E_SMALL) } else { chebyshev(16.0 / x - 1.0, &I0E_LARGE) / x.sqrt() }
}

/// I₀(x).
pub fn i0(x: f64) -> f64 {
    let x = x.abs();
    if x < 2.0 { i0_series(x) } else { unscaled(i0e(x), x) }
}

/// y eˣ, without overflow before the result overflows.
fn unscaled(y: f64, x: f64) -> f64 {
    if x < 700.0 { y * x.exp() } else { y * (0.5 * x).exp() * (0.5 * x).exp() }
}

/// e^-|x| I₁(x).
pub fn i1e(x: f64) -> f64 {
    let a = x.abs();
    if a <= 8.0 {
        return x * chebyshev(0.25 * a - 1.0, &I1E_SMALL);
    }
    (chebyshev(16.0 / a - 1.0, &I1E_LARGE) / a.sqrt()).copysign(x)
}

/// I₁(x).
pub fn i1(x: f64) -> f64 {
    if x.abs() < 2.0 { x * i1_series(x) } else { unscaled(i1e(x), x.abs()) }
}

/// eˣ K₀(x): ∞ at 0, NaN below.
pub fn k0e(x: f64) -> f64 {
    if x > 2.0 {
        return if x.is_infinite() { 0.0 } else { chebyshev(4.0 / x - 1.0, &K0E_LARGE) / x.sqrt() };
    }
    k0_small(x) * x.exp()
}

/// K₀(x).
pub fn k0(x: f64) -> f64 {
    if x > 2.0 { k0e(x) * (-x).exp() } else { k0_small(x) }
}

fn k0_small(x: f64) -> f64 {
    match x {
        0.0 => f64::INFINITY,
        _ if x > 0.0 => chebyshev(0.5 * x * x - 1.0, &K0_SMALL) - (0.5 * x).ln() * i0_series(x),
        _ => f64::NAN,
    }
}

/// eˣ K₁(x): ∞ at 0, NaN below.
pub fn k1e(x: f64) -> f64 {
    if x > 2.0 {
        return if x.is_infinite() { 0.0 } else { chebyshev(4.0 / x - 1.0, &K1E_LARGE) / x.sqrt() };
    }
    k1_small(x) * x.exp()
}

/// K₁(x).
pub fn k1(x: f64) -> f64 {
    if x > 2.0 { k1e(x) * (-x).exp() } else { k1_small(x) }
}

fn k1_small(x: f64) -> f64 {
    match x {
        0.0 => f64::INFINITY,
        _ if x > 0.0 => chebyshev(0.5 * x * x - 1.0, &K1_SMALL) / x + (0.5 * x).ln() * (x * i1_series(x)),
        _ => f64::NAN,
    }
}

/// J₀(x), accurate relative to the value, also near its zeros. From musl.
pub fn j0(x: f64) -> f64 {
    libm::j0(x)
}

/// J₁(x).
pub fn j1(x: f64) -> f64 {
    libm::j1(x)
}

/// Y₀(x): -∞ at 0, NaN below.
pub fn y0(x: f64) -> f64 {
    if x == 0.0 { f64::NEG_INFINITY } else { libm::y0(x) }
}

/// Y₁(x): -∞ at 0, NaN below.
pub fn y1(x: f64) -> f64 {
    if x == 0.0 { f64::NEG_INFINITY } else { libm::y1(x) }
}

/// Iₙ(x) / xⁿ, an even entire function; times e^-|x| if `scaled`.
pub fn i_ratio(n: i64, scaled: bool, x: f64) -> f64 {
    let a = x.abs();
    let scale = |y: f64| if scaled { y * (-a).exp() } else { y };
    if a <= 30.0 {
        let (z, order) = (0.25 * a * a, n as f64);
        let mut term = 0.5_f64.powi(n as i32) / libm::tgamma(order + 1.0);
        let mut sum = term;
        for k in 1..200 {
            let k = f64::from(k);
            term *= z / (k * (k + order));
            sum += term;
            if term < 1e-17 * sum {
                break;
            }
        }
        return scale(sum);
    }
    let (mut low, mut high) = (i0e(a), i1e(a));
    for k in 1..=n {
        (low, high) = (high, low - 2.0 * k as f64 / a * high);
    }
    let y = low / a.powi(n as i32);
    if scaled { y } else { unscaled(y, a) }
}

/// Jₙ(x) / xⁿ, an even entire function.
pub fn j_ratio(n: i64, x: f64) -> f64 {
    let a = x.abs();
    if a > 2.0 + n as f64 {
        let n = n as i32;
        return libm::jn(n, a) / a.powi(n);
    }
    let (z, order) = (-0.25 * a * a, n as f64);
    let mut term = 0.5_f64.powi(n as i32) / libm::tgamma(order + 1.0);
    let mut sum = term;
    for k in 1..60 {
        let k = f64::from(k);
        term *= z / (k * (k + order));
        sum += term;
        if term.abs() < 1e-18 * sum.abs() {
            break;
        }
    }
    sum
}
