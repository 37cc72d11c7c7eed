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

/// Wichura's approximation of the quantile function of the normal distribution (algorithm AS 241, 1988), PPND16: from the distance to 1/2
/// near 1/2, else from the probability of the smaller side. The caller gives both exactly.
fn quantile(from_half: f64, tail: f64) -> f64 {
    let ratio = |x: f64, above: &[f64; 8], below: &[f64; 8]| {
        let sum = |c: &[f64; 8]| c.iter().rev().fold(0.0, |sum: f64, c| sum.mul_add(x, *c));
        sum(above) / sum(below)
    };
    if from_half.abs() <= 0.425 {
        return from_half * ratio(from_half.mul_add(-from_half, 0.180_625), &CENTRE[0], &CENTRE[1]);
    }
    let r = (-tail.ln()).sqrt();
    let x = if r <= 5.0 { ratio(r - 1.6, &SIDE[0], &SIDE[1]) } else { ratio(r - 5.0, &FAR[0], &FAR[1]) };
    x.copysign(from_half)
}

/// Coefficients of numerators and denominators, the constant first.
const CENTRE: [[f64; 8]; 2] = [
    [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_854,
    ],
];
const SIDE: [[f64; 8]; 2] = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        0.000_774_545_014_278_341_4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        0.000_547_593_808_499_534_5,
        1.050_750_071_644_416_9e-9,
    ],
];
const FAR: [[f64; 8]; 2] = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        0.000_786_869_131_145_613_3,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];

/// The inverse of erf.
pub fn erfinv(y: f64) -> f64 {
    let a = y.abs();
    if !(a < 1.0) {
        return if a == 1.0 { f64::INFINITY.copysign(y) } else { f64::NAN };
    }
    // 1 - a is exact wherever it is used.
    FRAC_1_SQRT_2 * quantile(0.5 * y, 0.5 * (1.0 - a))
}

/// The inverse of erfc.
pub fn erfcinv(q: f64) -> f64 {
    match q {
        _ if q.is_nan() || !(0.0..=2.0).contains(&q) => f64::NAN,
        0.0 => f64::INFINITY,
        2.0 => f64::NEG_INFINITY,
        _ => FRAC_1_SQRT_2 * quantile(0.5 * (1.0 - q), 0.5 * q.min(2.0 - q)),
    }
}

/// The normal distribution function.
pub fn ndtr(x: f64) -> f64 {
    let z = x * FRAC_1_SQRT_2;
    if x < -2.0 {
        // From x itself: x/√2 is rounded, and squaring it would amplify the error.
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
        _ => quantile(p - 0.5, p.min(1.0 - p)),
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

/// The density of the normal distribution over its distribution function: the derivative of [`log_ndtr`].
pub fn log_ndtr_slope(x: f64) -> f64 {
    if x < 0.0 {
        return FRAC_2_SQRT_PI * FRAC_1_SQRT_2 / erfcx(-x * FRAC_1_SQRT_2);
    }
    exp_half_square(x) * (-LN_SQRT_2PI).exp() / ndtr(x)
}

/// The derivative of [`erfcx`], 2x erfcx(x) - 2/√π, without its cancellation for large x.
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
