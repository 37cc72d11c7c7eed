//! Logarithms and entropies of probabilities.

/// log(p / (1 - p)).
pub fn logit(p: f64) -> f64 {
    if p > 0.3 && p < 0.65 {
        let s = 2.0 * (p - 0.5);
        return s.ln_1p() - (-s).ln_1p();
    }
    (p / (1.0 - p)).ln()
}

/// x log y; 0 if x is 0 and y is not NaN.
pub fn xlogy(x: f64, y: f64) -> f64 {
    if x == 0.0 && !y.is_nan() { 0.0 } else { x * y.ln() }
}

/// x log(1 + y); 0 if x is 0 and y is not NaN.
pub fn xlog1py(x: f64, y: f64) -> f64 {
    if x == 0.0 && !y.is_nan() { 0.0 } else { x * y.ln_1p() }
}

/// -x log x, 0 at 0, -∞ below.
pub fn entr(x: f64) -> f64 {
    match x {
        _ if x > 0.0 => -x * x.ln(),
        _ if x == 0.0 => 0.0,
        _ if x < 0.0 => f64::NEG_INFINITY,
        _ => x,
    }
}

/// x log(x / y); 0 if x is 0 and y is not negative; ∞ outside the domain.
pub fn rel_entr(x: f64, y: f64) -> f64 {
    match (x, y) {
        _ if x.is_nan() || y.is_nan() => f64::NAN,
        _ if x > 0.0 && y > 0.0 => x * log_ratio(x, y),
        _ if x == 0.0 && y >= 0.0 => 0.0,
        _ => f64::INFINITY,
    }
}

/// x log(x / y) - x + y.
pub fn kl_div(x: f64, y: f64) -> f64 {
    match (x, y) {
        _ if x.is_nan() || y.is_nan() => f64::NAN,
        _ if x > 0.0 && y > 0.0 => {
            let d = (y - x) / x;
            // x (d - log(1 + d)): near x = y the three terms cancel.
            if d.abs() < 0.5 { x * small_difference(d) } else { x * log_ratio(x, y) - x + y }
        }
        _ if x == 0.0 && y >= 0.0 => y,
        _ => f64::INFINITY,
    }
}

/// log(x / y), also if the quotient overflows or underflows.
fn log_ratio(x: f64, y: f64) -> f64 {
    let ratio = x / y;
    if ratio > 0.5 && ratio < 2.0 {
        return ((x - y) / y).ln_1p();
    }
    if ratio.is_finite() && ratio > f64::MIN_POSITIVE { ratio.ln() } else { x.ln() - y.ln() }
}

/// d - log(1 + d) for small d.
fn small_difference(d: f64) -> f64 {
    let (mut power, mut sum) = (d, 0.0);
    for k in 2..60 {
        power *= -d;
        let term = -power / f64::from(k);
        sum += term;
        if term.abs() < 1e-18 * f64::abs(sum) {
            break;
        }
    }
    sum
}

/// sin(πx)/(πx), 1 at 0.
pub fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let r = x - 2.0 * (0.5 * x).round();
    let s = match r {
        _ if r.abs() == 1.0 => 0.0,
        _ if r > 0.5 => (std::f64::consts::PI * (1.0 - r)).sin(),
        _ if r < -0.5 => -(std::f64::consts::PI * (1.0 + r)).sin(),
        _ => (std::f64::consts::PI * r).sin(),
    };
    s / (std::f64::consts::PI * x)
}

/// The derivative of order n of [`sinc`], n ≥ 0, by its recurrence, or near 0 by its power series.
pub fn sinc_derivative(x: f64, n: u32) -> f64 {
    let pi = std::f64::consts::PI;
    let z = pi * x;
    if z.abs() < 1.0 + f64::from(n) {
        return pi.powi(i32::try_from(n).unwrap_or(0)) * sinc_series(z, n);
    }
    // (z s)⁽ⁿ⁾ = sin⁽ⁿ⁾(z), so s⁽ⁿ⁾ = (sin⁽ⁿ⁾(z) - n s⁽ⁿ⁻¹⁾) / z.
    let (sin, cos) = (sinc(x) * z, sinc_cos(x));
    let mut s = sinc(x);
    for k in 1..=n {
        let d = match k % 4 {
            0 => sin,
            1 => cos,
            2 => -sin,
            _ => -cos,
        };
        s = (d - f64::from(k) * s) / z;
    }
    s * pi.powi(i32::try_from(n).unwrap_or(0))
}

fn sinc_cos(x: f64) -> f64 {
    let h = x + 0.5;
    sinc(h) * std::f64::consts::PI * h
}

/// Σ (-1)^k z^(2k-n) (2k)!/((2k-n)! (2k+1)!), the derivative of order n of sin(z)/z.
fn sinc_series(z: f64, n: u32) -> f64 {
    let mut sum = 0.0;
    let first = n.div_ceil(2);
    for k in first..first + 30 {
        let (m, n) = (f64::from(2 * k), f64::from(n));
        // 1/((2k+1) (2k-n)!)
        let size = 1.0 / ((m + 1.0) * libm::tgamma(m - n + 1.0));
        let term = size * z.powf(m - n) * if k % 2 == 0 { 1.0 } else { -1.0 };
        let power = if z < 0.0 && (2 * k - n as u32) % 2 == 1 { -1.0 } else { 1.0 };
        let term = if z < 0.0 { size * (-z).powf(m - n) * power * if k % 2 == 0 { 1.0 } else { -1.0 } } else { term };
        sum += term;
    }
    sum
}
