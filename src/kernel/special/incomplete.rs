//! The incomplete gamma and beta functions, and their derivatives with respect to the shapes.
//!
//! Every formula is written over [`Num`]: with plain numbers it is the function, with [`Jet`] it also computes derivatives. Sources:
//! DiDonato & Morris (1986, 1992), Gil, Segura & Temme (2012) for large shapes.

use super::gamma::stirling_error;
use super::num::{Jet, Num};
use super::tables::TEMME;

/// The most terms of a series or a fraction.
const MOST: usize = 100_000;
/// From this shape on, Temme's expansion is used near the median.
const LARGE: f64 = 200.0;

/// log(1 + u) - u, accurate for small u.
fn log1pmx<T: Num>(u: T) -> T {
    if u.value().abs() > 0.4 {
        return u.ln_1p() - u;
    }
    -(u * u) * half_square(u)
}

/// (u - log(1 + u)) / u² = 1/2 - u/3 + u²/4 - … for |u| ≤ 0.5.
fn half_square<T: Num>(u: T) -> T {
    let (mut sum, mut power) = (T::lit(0.5), T::lit(1.0));
    for k in 3..80 {
        power = -(power * u);
        let term = power / T::lit(f64::from(k));
        sum = sum + term;
        if term.is_negligible(sum) {
            break;
        }
    }
    sum
}

/// x^a e^-x / Γ(a + 1).
fn density<T: Num>(a: T, x: f64) -> T {
    if a.value() < 10.0 {
        if a.value() < 1.0 && x < 1e-300 {
            return (a * T::lit(x.ln()) - T::lit(x) - (a + T::lit(1.0)).gammaln()).exp();
        }
        // The logarithm is small: three rounded parts are no worse than one.
        return (a * T::lit(x.ln()) - (a + T::lit(1.0)).gammaln()).exp() * T::lit((-x).exp());
    }
    let exponent = if (x - a.value()).abs() < 0.4 * a.value() { a * log1pmx((T::lit(x) - a) / a) } else { a * (T::lit(x) / a).ln() + a - T::lit(x) };
    (exponent - stirling_error(a)).exp() / (T::lit(std::f64::consts::TAU) * a).sqrt()
}

/// P by its power series.
fn lower_series<T: Num>(a: T, x: f64) -> T {
    let (mut term, mut sum, mut k) = (T::lit(1.0), T::lit(1.0), a);
    for _ in 0..MOST {
        k = k + T::lit(1.0);
        term = term * T::lit(x) / k;
        sum = sum + term;
        if term.is_negligible(sum) {
            break;
        }
    }
    density(a, x) * sum
}

/// Q by Legendre's continued fraction, evaluated by Lentz' method.
fn upper_fraction<T: Num>(a: T, x: f64) -> T {
    let one = T::lit(1.0);
    let mut b = T::lit(x) + one - a;
    let mut c = T::lit(1e300);
    let mut d = one / b;
    let mut h = d;
    for i in 1..MOST {
        let n = i as f64;
        let an = T::lit(-n) * (T::lit(n) - a);
        b = b + T::lit(2.0);
        d = one / (an * d + b);
        c = b + an / c;
        let factor = d * c;
        let before = h;
        h = h * factor;
        if (h - before).is_negligible(h) {
            break;
        }
    }
    density(a, x) * a * h
}

/// Q for small a and x, where P is near 1.
fn upper_series<T: Num>(a: T, x: f64) -> T {
    let one = T::lit(1.0);
    let (mut factor, mut sum) = (one, T::lit(0.0));
    for n in 1..200 {
        let n = f64::from(n);
        factor = factor * T::lit(-x / n);
        let term = factor / (a + T::lit(n));
        sum = sum + term;
        if term.is_negligible(sum) {
            break;
        }
    }
    let log = a * T::lit(x.ln()) - (a + one).gammaln();
    -log.exp_m1() - log.exp() * a * sum
}

/// P or Q by Temme's uniform expansion.
fn temme<T: Num>(a: T, x: f64, upper: bool) -> T {
    let mu = (T::lit(x) - a) / a;
    let eta = mu * (T::lit(2.0) * half_square(mu)).sqrt();
    let mut sum = T::lit(0.0);
    for row in TEMME.iter().rev() {
        let c = row.iter().rev().fold(T::lit(0.0), |s, c| s * eta + T::lit(*c));
        sum = sum / a + c;
    }
    let sign = T::lit(if upper { 1.0 } else { -1.0 });
    let rest = (-(a * eta * eta) * T::lit(0.5)).exp() / (T::lit(std::f64::consts::TAU) * a).sqrt() * sum;
    (sign * eta * (a * T::lit(0.5)).sqrt()).erfc() * T::lit(0.5) + sign * rest
}

/// P (`upper` false) or Q for a > 0, 0 < x < ∞.
fn incomplete_gamma<T: Num>(a: T, x: f64, upper: bool) -> T {
    let one = T::lit(1.0);
    let v = a.value();
    let distance = (x - v).abs() / v;
    if v > LARGE && (distance < 4.5 / v.sqrt() || (distance < 0.4 && v > 1e4)) {
        return temme(a, x, upper);
    }
    let (value, is_upper) = if x <= 1.1 {
        let lower = if x <= 0.5 { -0.4 / x.ln() < v } else { x * 1.1 < v };
        if lower { (lower_series(a, x), false) } else { (upper_series(a, x), true) }
    } else if x > v {
        (upper_fraction(a, x), true)
    } else {
        (lower_series(a, x), false)
    };
    if is_upper == upper { value } else { one - value }
}

/// The regularised lower incomplete gamma function P(a, x).
pub fn gammainc(a: f64, x: f64) -> f64 {
    gamma_edges(a, x, false).unwrap_or_else(|| incomplete_gamma(a, x, false))
}

/// The regularised upper incomplete gamma function Q(a, x) = 1 - P(a, x).
pub fn gammaincc(a: f64, x: f64) -> f64 {
    gamma_edges(a, x, true).unwrap_or_else(|| incomplete_gamma(a, x, true))
}

/// Values at the edges of the domain.
fn gamma_edges(a: f64, x: f64, upper: bool) -> Option<f64> {
    let lower = |p: f64| Some(if upper { 1.0 - p } else { p });
    if a.is_nan() || x.is_nan() || a < 0.0 || x < 0.0 {
        return Some(f64::NAN);
    }
    if a == 0.0 {
        return if x > 0.0 { lower(1.0) } else { Some(f64::NAN) };
    }
    if x == 0.0 {
        return lower(0.0);
    }
    if a.is_infinite() {
        return if x.is_infinite() { Some(f64::NAN) } else { lower(0.0) };
    }
    if x.is_infinite() {
        return lower(1.0);
    }
    None
}

/// The derivative of order n = 0, 1, 2 of P(a, x) with respect to a; that of Q is its negative.
pub fn gammainc_by_shape(a: f64, x: f64, n: usize) -> f64 {
    if let Some(p) = gamma_edges(a, x, false) {
        return if n == 0 {
            p
        } else if p.is_nan() {
            f64::NAN
        } else {
            0.0
        };
    }
    // The smaller one of P and Q, whose derivative keeps its digits.
    if x > a { -incomplete_gamma(Jet::first(a), x, true).derivative(n, 0) } else { incomplete_gamma(Jet::first(a), x, false).derivative(n, 0) }
}

/// log of x^a (1 - x)^b / B(a, b), which `y` = 1 - x makes accurate at both ends.
fn log_beta_density<T: Num>(a: T, b: T, x: f64, y: f64) -> T {
    let (lx, ly) = (if x < 0.7 { x.ln() } else { (-y).ln_1p() }, if y < 0.7 { y.ln() } else { (-x).ln_1p() });
    if a.value() < 10.0 || b.value() < 10.0 {
        return a * T::lit(lx) + b * T::lit(ly) - log_beta(a, b);
    }
    let s = a + b;
    let distance = b * T::lit(x) - a * T::lit(y);
    let part = |shape: T, d: T, z: f64, lz: f64| {
        let u = d / shape;
        if u.value().abs() < 0.4 {
            shape * log1pmx(u)
        } else {
            shape * ((s / shape).ln() + T::lit(lz)) - shape * (s * T::lit(z) / shape - T::lit(1.0))
        }
    };
    let exponent = part(a, distance, x, lx) + part(b, -distance, y, ly);
    let corrections = stirling_error(s) - stirling_error(a) - stirling_error(b);
    exponent + corrections + T::lit(0.5) * (a * b / (T::lit(std::f64::consts::TAU) * s)).ln()
}

/// log B(a, b) for a, b > 0 of which one at least is below 10.
fn log_beta<T: Num>(a: T, b: T) -> T {
    let (p, q) = if a.value() < b.value() { (a, b) } else { (b, a) };
    if q.value() < 10.0 {
        return p.gammaln() + (q.gammaln() - (p + q).gammaln());
    }
    let corr = stirling_error(q) - stirling_error(p + q);
    p.gammaln() + corr + p - p * (p + q).ln() + (q - T::lit(0.5)) * (-(p / (p + q))).ln_1p()
}

/// The power series by x, for small b x.
fn beta_series<T: Num>(a: T, b: T, x: f64, y: f64) -> T {
    let (mut factor, mut sum) = (T::lit(1.0), T::lit(0.0));
    for n in 1..MOST {
        let n = T::lit(n as f64);
        factor = factor * (n - b) * T::lit(x) / n;
        let term = factor / (a + n);
        sum = sum + term;
        if term.is_negligible(sum) {
            break;
        }
    }
    let lx = if x < 0.7 { x.ln() } else { (-y).ln_1p() };
    let front = if a.value() < 10.0 || b.value() < 10.0 {
        (a * T::lit(lx) - log_beta(a, b)).exp()
    } else {
        let ly = if y < 0.7 { y.ln() } else { (-x).ln_1p() };
        (log_beta_density(a, b, x, y) - b * T::lit(ly)).exp()
    };
    front * (T::lit(1.0) / a + sum)
}

/// The continued fraction of DiDonato & Morris (1992), which converges quickly for x below a / (a + b).
fn beta_fraction<T: Num>(a: T, b: T, x: f64, y: f64) -> T {
    let one = T::lit(1.0);
    let (tx, s) = (T::lit(x), a + b);
    // λ = a - (a + b) x, without cancellation.
    let lambda = a * T::lit(y) - b * tx;
    let beta_n = |n: f64| {
        let n = T::lit(n);
        let m = a + n + n;
        n + n * (b - n) * tx / (m - one) + (a + n) / (m + one) * (lambda + one + n * (one + T::lit(y)))
    };
    let alpha = |n: f64| {
        let n = T::lit(n);
        let m = a + n + n - one;
        (a + n - one) * (s + n - one) * n * (b - n) * tx * tx / (m * m)
    };
    let mut h = beta_n(0.0);
    let (mut c, mut d) = (h, T::lit(0.0));
    for n in 1..MOST {
        let n = n as f64;
        let (an, bn) = (alpha(n), beta_n(n));
        d = one / (bn + an * d);
        c = bn + an / c;
        let before = h;
        h = h * (c * d);
        if (h - before).is_negligible(h) {
            break;
        }
    }
    log_beta_density(a, b, x, y).exp() / h
}

/// I_x(a, b), or its complement, for 0 < x < 1 and positive shapes.
fn incomplete_beta<T: Num>(a: T, b: T, x: f64, upper: bool) -> T {
    let (va, vb, y) = (a.value(), b.value(), 1.0 - x);
    // The smaller part is computed, and the fraction converges on its side of the mean.
    let (p, q, z, w, swapped) = if x <= va / (va + vb) { (a, b, x, y, false) } else { (b, a, y, x, true) };
    let value = if q.value() * z <= 1.0 && z <= 0.7 { beta_series(p, q, z, w) } else { beta_fraction(p, q, z, w) };
    if swapped == upper { value } else { T::lit(1.0) - value }
}

/// Values at the edges of the domain.
fn beta_edges(a: f64, b: f64, x: f64) -> Option<f64> {
    if a.is_nan() || b.is_nan() || x.is_nan() || a < 0.0 || b < 0.0 || !(0.0..=1.0).contains(&x) {
        return Some(f64::NAN);
    }
    match (a, b) {
        (0.0, 0.0) => return Some(f64::NAN),
        _ if a.is_infinite() && b.is_infinite() => return Some(f64::NAN),
        _ if a == 0.0 || b.is_infinite() => return Some(if x > 0.0 { 1.0 } else { 0.0 }),
        _ if b == 0.0 || a.is_infinite() => return Some(if x < 1.0 { 0.0 } else { 1.0 }),
        _ => {}
    }
    if x == 0.0 || x == 1.0 { Some(x) } else { None }
}

/// The regularised incomplete beta function I_x(a, b).
pub fn betainc(a: f64, b: f64, x: f64) -> f64 {
    beta_edges(a, b, x).unwrap_or_else(|| incomplete_beta(a, b, x, false))
}

/// 1 - I_x(a, b).
pub fn betaincc(a: f64, b: f64, x: f64) -> f64 {
    beta_edges(a, b, x).map_or_else(|| incomplete_beta(a, b, x, true), |p| 1.0 - p)
}

/// The derivative of I_x(a, b), of order m with respect to a and n with respect to b, m + n ≤ 2.
pub fn betainc_by_shape(a: f64, b: f64, x: f64, m: usize, n: usize) -> f64 {
    if let Some(p) = beta_edges(a, b, x) {
        return if m + n == 0 {
            p
        } else if p.is_nan() {
            f64::NAN
        } else {
            0.0
        };
    }
    incomplete_beta(Jet::first(a), Jet::second(b), x, false).derivative(m, n)
}

/// x^(a - 1) e^-x / Γ(a), the derivative of P(a, x) with respect to x.
pub fn gamma_density(a: f64, x: f64) -> f64 {
    match x {
        _ if a.is_nan() || x.is_nan() || a <= 0.0 || x < 0.0 => f64::NAN,
        0.0 if a == 1.0 => 1.0,
        0.0 => {
            if a < 1.0 {
                f64::INFINITY
            } else {
                0.0
            }
        }
        _ if x.is_infinite() || a.is_infinite() => 0.0,
        _ => density(a, x) * a / x,
    }
}

/// x^(a - 1) (1 - x)^(b - 1) / B(a, b), the derivative of I_x(a, b) with respect to x.
pub fn beta_density(a: f64, b: f64, x: f64) -> f64 {
    match x {
        _ if a.is_nan() || b.is_nan() || x.is_nan() || a <= 0.0 || b <= 0.0 || !(0.0..=1.0).contains(&x) => f64::NAN,
        _ if a.is_infinite() || b.is_infinite() => 0.0,
        0.0 => edge_density(a, b),
        1.0 => edge_density(b, a),
        _ => log_beta_density(a, b, x, 1.0 - x).exp() / x / (1.0 - x),
    }
}

/// The density of a beta distribution at the end of the interval that `shape` governs.
fn edge_density(shape: f64, other: f64) -> f64 {
    if shape == 1.0 {
        return other;
    }
    if shape < 1.0 { f64::INFINITY } else { 0.0 }
}
