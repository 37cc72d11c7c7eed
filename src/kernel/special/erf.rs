//! The error functions and the normal distribution.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LN_2, PI};

use super::bessel::chebyshev;
use super::gamma::LN_SQRT_2PI;
use super::tables::ERFCX;

/// e^(x²) without the rounding of x².
fn exp_square(x: f64, sign: f64) -> f64 {
    let square = x * x;
    let lost = x.mul_add(x, -square);
    let e = (sign * square).exp();
    if lost.is_finite() { e + e * (sign * lost) } else { e }
}

/// e^(x²) erfc(x).
pub fn erfcx(x: f64) -> f64 {
    if x < 0.0 {
        return if x < -26.7 { f64::INFINITY } else { 2.0 * exp_square(x, 1.0) - erfcx(-x) };
    }
    if x > 1e8 {
        return 0.5 * FRAC_2_SQRT_PI / x;
    }
    chebyshev((x - 3.75) / (x + 3.75), &ERFCX) / (1.0 + 2.0 * x)
}

/// The inverse of erf: Giles (2010), then two steps of Halley's method.
pub fn erfinv(y: f64) -> f64 {
    let a = y.abs();
    if !(a < 1.0) {
        return if a == 1.0 { f64::INFINITY.copysign(y) } else { f64::NAN };
    }
    if a < 1e-9 {
        return y / FRAC_2_SQRT_PI;
    }
    if a > 0.5 {
        // 1 - a is exact.
        return inverse_erfc_tail(1.0 - a).copysign(y);
    }
    let mut x = start((1.0 - a) * (1.0 + a)) * a;
    for _ in 0..2 {
        let error = libm::erf(x) - a;
        let step = error / (FRAC_2_SQRT_PI * exp_square(x, -1.0));
        x -= step / (1.0 + x * step);
    }
    x.copysign(y)
}

/// Giles' approximation of erfinv(y)/y by 1 - y².
fn start(one_minus_square: f64) -> f64 {
    let w = -one_minus_square.ln();
    let c: [f64; 9];
    let t;
    if w < 5.0 {
        t = w - 2.5;
        c = [
            2.810_226_36e-8,
            3.432_739_39e-7,
            -3.523_387_7e-6,
            -4.391_506_54e-6,
            2.185_808_7e-4,
            -1.253_725_03e-3,
            -4.177_681_64e-3,
            0.246_640_727,
            1.501_409_41,
        ];
    } else {
        t = w.sqrt() - 3.0;
        c = [
            -2.002_142_57e-4,
            1.009_505_58e-4,
            1.349_343_22e-3,
            -3.673_428_44e-3,
            5.739_507_73e-3,
            -7.622_461_3e-3,
            9.438_870_47e-3,
            1.001_674_06,
            2.832_976_82,
        ];
    }
    c.iter().fold(0.0, |sum, c| sum * t + c)
}

/// x > 0 of which erfc(x) = q, 0 < q < 1/2: Newton's method for log erfc, which is nearly a parabola.
fn inverse_erfc_tail(q: f64) -> f64 {
    let target = q.ln();
    let mut x = if q > 1e-15 { start(q * (2.0 - q)) } else { (-target - 0.5 * (-target * PI).ln()).max(1.0).sqrt() };
    for _ in 0..8 {
        let scaled = erfcx(x);
        // erfc(x)/q - 1 by logarithms where erfc underflows.
        let log = scaled.ln() - x * x - target;
        let step = log / (-FRAC_2_SQRT_PI / scaled);
        x -= step;
        if step.abs() <= 1e-13 * x {
            break;
        }
    }
    if q > 1e-290 {
        // One step by values: the logarithm has lost digits of x².
        let scaled = erfcx(x);
        x += (libm::erfc(x) / q - 1.0) * scaled / FRAC_2_SQRT_PI;
    }
    x
}

/// The inverse of erfc.
pub fn erfcinv(q: f64) -> f64 {
    match q {
        _ if q.is_nan() || !(0.0..=2.0).contains(&q) => f64::NAN,
        0.0 => f64::INFINITY,
        2.0 => f64::NEG_INFINITY,
        _ if q > 1.5 => -inverse_erfc_tail(2.0 - q),
        _ if q >= 0.5 => erfinv(1.0 - q),
        _ => inverse_erfc_tail(q),
    }
}

/// The normal distribution function.
pub fn ndtr(x: f64) -> f64 {
    let z = x * FRAC_1_SQRT_2;
    if x < -2.0 {
        // By x itself: x/√2 is rounded, and its square is amplified.
        return 0.5 * erfcx(-z) * exp_half_square(x);
    }
    if z.abs() < FRAC_1_SQRT_2 { 0.5 + 0.5 * libm::erf(z) } else { 0.5 * libm::erfc(-z) }
}

/// e^(-x²/2) without the rounding of x².
fn exp_half_square(x: f64) -> f64 {
    let square = x * x;
    let lost = x.mul_add(x, -square);
    if !square.is_finite() {
        return 0.0;
    }
    (-0.5 * square).exp() * (1.0 - 0.5 * lost)
}

/// The logarithm of the normal distribution function.
pub fn log_ndtr(x: f64) -> f64 {
    let z = x * FRAC_1_SQRT_2;
    if x == f64::NEG_INFINITY {
        return x;
    }
    if x < -1.0 {
        if z < -1e150 {
            return -0.5 * x * x;
        }
        return (0.5 * erfcx(-z)).ln() - 0.5 * x * x;
    }
    (-ndtr(-x)).ln_1p()
}

/// The inverse of the normal distribution function.
pub fn ndtri(p: f64) -> f64 {
    match p {
        _ if p.is_nan() || !(0.0..=1.0).contains(&p) => f64::NAN,
        0.0 => f64::NEG_INFINITY,
        1.0 => f64::INFINITY,
        _ if p < 0.25 => -std::f64::consts::SQRT_2 * inverse_erfc_tail(2.0 * p),
        _ if p > 0.75 => std::f64::consts::SQRT_2 * inverse_erfc_tail(2.0 * (1.0 - p)),
        _ => std::f64::consts::SQRT_2 * erfinv(2.0 * (p - 0.5)),
    }
}

/// The inverse of [`log_ndtr`].
pub fn ndtri_exp(y: f64) -> f64 {
    match y {
        _ if y.is_nan() || y > 0.0 => f64::NAN,
        f64::NEG_INFINITY => f64::NEG_INFINITY,
        _ if y > -1e-2 => -ndtri(-y.exp_m1()),
        _ if y > -5.0 => ndtri(y.exp()),
        _ => {
            // Newton's method from the leading term.
            let mut x = -(-2.0 * (y + LN_2 + 0.5 * (-PI * y).max(1.0).ln())).max(1.0).sqrt();
            for _ in 0..60 {
                let ratio = (0.5 * FRAC_2_SQRT_PI * std::f64::consts::SQRT_2) / erfcx(-x * FRAC_1_SQRT_2);
                let step = (log_ndtr(x) - y) / ratio;
                x -= step;
                if step.abs() <= 1e-15 * x.abs() {
                    break;
                }
            }
            x
        }
    }
}

/// The density of the normal distribution over its distribution function: the slope of [`log_ndtr`].
pub fn log_ndtr_slope(x: f64) -> f64 {
    if x < 0.0 {
        return FRAC_2_SQRT_PI * FRAC_1_SQRT_2 / erfcx(-x * FRAC_1_SQRT_2);
    }
    exp_half_square(x) * (-LN_SQRT_2PI).exp() / ndtr(x)
}

/// The slope of [`erfcx`], 2x erfcx(x) - 2/√π, without its cancellation for large x.
pub fn erfcx_slope(x: f64) -> f64 {
    if x > 8.0 {
        // The asymptotic series of erfcx without its first term: -(1/√π) Σ …
        let z = 1.0 / (2.0 * x * x);
        let (mut term, mut sum) = (1.0, 0.0);
        for k in 1..40 {
            let next = -term * z * f64::from(2 * k - 1);
            if next.abs() > term.abs() || next.abs() < 1e-18 * (1.0_f64).min(z) {
                break;
            }
            term = next;
            sum += term;
        }
        return FRAC_2_SQRT_PI * sum;
    }
    2.0 * x * erfcx(x) - FRAC_2_SQRT_PI
}
