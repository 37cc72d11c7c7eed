//! The exponential integrals and Lambert's function.

use super::tables::EXPI_ROOT;

/// Euler's constant.
const EULER: f64 = 0.577_215_664_901_532_9;

/// E₁(x): ∞ at 0, NaN below.
pub fn exp1(x: f64) -> f64 {
    match x {
        _ if x.is_nan() || x < 0.0 => f64::NAN,
        0.0 => f64::INFINITY,
        _ if x <= 1.0 => -EULER - x.ln() - entire(-x),
        _ if x > 740.0 => 0.0,
        _ => (-x).exp() * scaled(x),
    }
}

/// Σ xᵏ / (k k!), k = 1, 2, …
fn entire(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 0.0);
    for k in 1..200 {
        let k = f64::from(k);
        term *= x / k;
        let next = term / k;
        sum += next;
        if next.abs() < 1e-17 * f64::abs(sum) {
            break;
        }
    }
    sum
}

/// eˣ E₁(x) for x > 1 by a continued fraction, from its end.
fn scaled(x: f64) -> f64 {
    let terms = (20.0 + 80.0 / x) as u32;
    let mut f = 0.0;
    for k in (1..=terms).rev() {
        let k = f64::from(k);
        f = k / (1.0 + k / (x + f));
    }
    1.0 / (x + f)
}

/// Ei(x): -∞ at 0.
pub fn expi(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x < 0.0 {
        return -exp1(-x);
    }
    let d = (x - EXPI_ROOT[0]) - EXPI_ROOT[1];
    if d.abs() < 0.25 {
        return near_root(x, d);
    }
    if x < 40.0 {
        return EULER + x.ln() + entire(x);
    }
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..60 {
        let next: f64 = term * f64::from(k) / x;
        if next > term || next < 1e-17 {
            break;
        }
        term = next;
        sum += term;
    }
    // Multiplied by two halves of the exponential: so the result overflows a little later.
    (0.5 * x).exp() / x * sum * (0.5 * x).exp()
}

/// Ei(x₀ + d) = log(1 + d/x₀) + Σ (xᵏ - x₀ᵏ) / (k k!), where Ei(x₀) = 0.
fn near_root(x: f64, d: f64) -> f64 {
    let x0 = EXPI_ROOT[0];
    let (mut power, mut difference, mut factorial, mut sum) = (1.0, 0.0, 1.0, 0.0);
    for k in 1..30 {
        let k = f64::from(k);
        // xᵏ - x₀ᵏ = x (xᵏ⁻¹ - x₀ᵏ⁻¹) + d x₀ᵏ⁻¹
        difference = x * difference + d * power;
        power *= x0;
        factorial *= k;
        sum += difference / (k * factorial);
    }
    (d / x0).ln_1p() + sum
}

/// The real branches of Lambert's function, w eʷ = x: k = 0 (x ≥ -1/e, w ≥ -1) or k = -1 (-1/e ≤ x < 0, w ≤ -1); NaN elsewhere.
pub fn lambertw(x: f64, branch: i64) -> f64 {
    let e = std::f64::consts::E;
    if x.is_nan() || !(branch == 0 || branch == -1) {
        return f64::NAN;
    }
    if x == 0.0 {
        return if branch == 0 { x } else { f64::NEG_INFINITY };
    }
    if branch == 0 && x == f64::INFINITY {
        return x;
    }
    // 1 + e x, with the digits of e beyond its double.
    let q = x.mul_add(e, 1.0) + x * 1.445_646_891_729_250_2e-16;
    if q <= 0.0 {
        return if q > -1e-15 { -1.0 } else { f64::NAN };
    }
    if branch == -1 && x > 0.0 {
        return f64::NAN;
    }
    let p = if branch == 0 { (2.0 * q).sqrt() } else { -(2.0 * q).sqrt() };
    if q < 1e-3 {
        let c = [
            1.0,
            -1.0 / 3.0,
            11.0 / 72.0,
            -43.0 / 540.0,
            769.0 / 17280.0,
            -221.0 / 8505.0,
            680_863.0 / 43_545_600.0,
            -1963.0 / 204_120.0,
            226_287_557.0 / 37_623_398_400.0,
        ];
        return -1.0 + c.iter().rev().fold(0.0, |sum, c| (sum + c) * p);
    }
    let mut w = lambert_start(x, branch, p);
    let log = x.abs().ln();
    for _ in 0..20 {
        // Newton's method for w + log|w| = log|x| with a third-order correction; near zero for w eʷ = x.
        let step = if x.abs() > 0.5 || branch == -1 {
            let f = log - w.abs().ln() - w;
            let (u, n) = (1.0 + w, f);
            let t = 2.0 * u * (u + 2.0 / 3.0 * n);
            w * (n / u) * (t - n) / (t - 2.0 * n)
        } else {
            let ew = w.exp();
            let f = w * ew - x;
            -f / (ew * (w + 1.0) - (w + 2.0) * f / (2.0 * w + 2.0))
        };
        w += step;
        if step.abs() <= 1e-15 * w.abs() || !step.is_finite() {
            break;
        }
    }
    w
}

/// A starting value: a series at the branch point in p = ±√(2 (1 + e x)), or the leading terms for small and large x.
fn lambert_start(x: f64, branch: i64, p: f64) -> f64 {
    match (branch, x) {
        (0, _) if x < -0.25 => -1.0 + p - p * p / 3.0 + 11.0 / 72.0 * p * p * p,
        (0, _) if x < 2.0 => x.ln_1p() * (1.0 - x.ln_1p().ln_1p() / (2.0 + x.ln_1p())),
        (0, _) => x.ln() - x.ln().ln().max(0.0) * (1.0 - 1.0 / (1.0 + x.ln())),
        _ if x < -0.25 => -1.0 + p - p * p / 3.0 + 11.0 / 72.0 * p * p * p,
        _ => (-x).ln() - (-(-x).ln()).ln(),
    }
}
