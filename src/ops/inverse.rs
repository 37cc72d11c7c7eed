//! Inverses of the circular and hyperbolic functions.
//!
//! All are formulas over [`Field`], so they vectorise: the arctangent is a rational function, and the others follow from it and from the
//! logarithm.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, LN_2, PI};

use super::define::{Binary, Unary, binary, unary};
use super::registry::Entry;
use super::samples::{Domain, NONZERO, REAL};
use crate::error::Result;
use crate::kernel::complex::functions;
use crate::kernel::field::Field;
use crate::tape::Variable;

/// Inside the interval on which asin, acos and atanh are smooth.
const INNER: Domain = Domain { low: -0.9, high: 0.9, avoid: &[] };
/// Above the pole of the derivative of acosh.
const ABOVE_ONE: Domain = Domain { low: 1.2, high: 4.0, avoid: &[] };
/// From this number on, adding one to the square does not change it.
const HUGE: f64 = 1e9;

/// `x` where it is zero, so that the sign of zero is kept, else `y`, a function of |x|, with the sign of `x`.
#[inline(always)]
fn odd<F: Field>(x: F, y: F) -> F {
    let zero = F::lit(0.0);
    F::select(x.eq(zero), x, F::select(x.lt(zero), -y, y))
}

/// The arctangent of x ≥ 0, by the method of Cephes: the argument is reduced below 0.66, where a rational function approximates.
#[inline(always)]
fn positive_atan<F: Field>(x: F) -> F {
    let one = F::lit(1.0);
    let (far, middle) = (x.gt(F::lit(2.414_213_562_373_095)), x.gt(F::lit(0.66)));
    let t = F::select(far, -(one / x), F::select(middle, (x - one) / (x + one), x));
    let start = F::select(far, F::lit(FRAC_PI_2), F::select(middle, F::lit(FRAC_PI_4), F::lit(0.0)));
    // The rounding errors of π/2 and π/4.
    let rest = F::select(far, F::lit(6.123_233_995_736_766e-17), F::select(middle, F::lit(3.061_616_997_868_383e-17), F::lit(0.0)));
    let z = t * t;
    let p = [-8.750_608_600_031_904e-1, -1.615_753_718_733_365e1, -7.500_855_792_314_705e1, -1.228_866_684_490_136_1e2, -6.485_021_904_942_025e1];
    let q = [1.0, 2.485_846_490_142_306_3e1, 1.650_270_098_316_988_5e2, 4.328_810_604_912_903e2, 4.853_903_996_359_137e2, 1.945_506_571_482_614e2];
    let [p, q] = [polynomial(z, &p), polynomial(z, &q)];
    start + (t + (t * (z * p / q) + rest))
}

/// Horner's scheme, from the highest power down.
#[inline(always)]
fn polynomial<F: Field>(z: F, coefficients: &[f64]) -> F {
    let mut sum = F::lit(0.0);
    for &c in coefficients {
        sum = sum * z + F::lit(c);
    }
    sum
}

/// 1 / (1 + x²), and 0 where x² is infinite.
#[inline(always)]
fn bell<F: Field>(x: F) -> F {
    F::lit(1.0) / (F::lit(1.0) + x * x)
}

/// ln(a + √(a² ± 1)) for a beyond [`HUGE`].
#[inline(always)]
fn far_logarithm<F: Field>(a: F) -> F {
    a.ln() + F::lit(LN_2)
}

unary! {
    /// Inverse sine, element by element, in radians between -π/2 and π/2; NaN outside of -1 to 1.
    ///
    /// >>> tg.asin(tg.Variable([0.0, 1.0]))
    /// Variable([0.       , 1.5707964])
    fn asin(x) -> y {
        let (a, one) = (x.abs(), F::lit(1.0));
        let half = positive_atan(a / (one + ((one - a) * (one + a)).sqrt()));
        odd(x, half + half)
    }
    gradient(x) { (F::lit(1.0) - x).sqrt().recip() * (F::lit(1.0) + x).sqrt().recip() }
    complex Holomorphic(functions::asin);
    rule "dy/dx = 1 / sqrt(1 - x²)";
    domain INNER;
}

unary! {
    /// Inverse cosine, element by element, in radians between 0 and π; NaN outside of -1 to 1.
    ///
    /// >>> tg.acos(tg.Variable([1.0, 0.0]))
    /// Variable([0.       , 1.5707964])
    fn acos(x) -> y {
        let one = F::lit(1.0);
        let half = positive_atan(((one - x) / (one + x)).sqrt());
        half + half
    }
    gradient(x) { -((F::lit(1.0) - x).sqrt().recip() * (F::lit(1.0) + x).sqrt().recip()) }
    complex Holomorphic(functions::acos);
    rule "dy/dx = -1 / sqrt(1 - x²)";
    domain INNER;
}

unary! {
    /// Inverse tangent, element by element, in radians between -π/2 and π/2.
    ///
    /// >>> tg.atan(tg.Variable([0.0, 1.0]))
    /// Variable([0.       , 0.7853982])
    fn atan(x) -> y { odd(x, positive_atan(x.abs())) }
    gradient(x) { bell(x) }
    complex Holomorphic(functions::atan);
    rule "dy/dx = 1 / (1 + x²)";
    domain REAL;
}

unary! {
    /// Inverse hyperbolic sine, element by element.
    ///
    /// >>> tg.asinh(tg.Variable([0.0]))
    /// Variable([0.])
    fn asinh(x) -> y {
        let (a, one) = (x.abs(), F::lit(1.0));
        let near = (a + a * a / (one + (a * a + one).sqrt())).ln_1p();
        odd(x, F::select(a.gt(F::lit(HUGE)), far_logarithm(a), near))
    }
    gradient(x) { F::select(x.abs().gt(F::lit(HUGE)), x.abs().recip(), (x * x + F::lit(1.0)).sqrt().recip()) }
    complex Operation(complex_asinh);
    rule "dy/dx = 1 / sqrt(x² + 1)";
    domain REAL;
}

/// The inverse hyperbolic sine of complex numbers: asin(i z) / i. The formula for real numbers branches on the absolute value.
fn complex_asinh(z: &Variable) -> Result<Variable> {
    let w = asin(&super::complex(&super::negative(&super::imag(z)?)?, &super::real(z)?)?)?;
    super::complex(&super::imag(&w)?, &super::negative(&super::real(&w)?)?)
}

unary! {
    /// Inverse hyperbolic cosine, element by element; NaN below 1.
    ///
    /// >>> tg.acosh(tg.Variable([1.0]))
    /// Variable([0.])
    fn acosh(x) -> y {
        let (one, t) = (F::lit(1.0), x - F::lit(1.0));
        let near = (t + (t * (t + F::lit(2.0))).sqrt()).ln_1p();
        F::select(x.lt(one), F::lit(f64::NAN), F::select(x.gt(F::lit(HUGE)), far_logarithm(x), near))
    }
    gradient(x) { (x - F::lit(1.0)).sqrt().recip() * (x + F::lit(1.0)).sqrt().recip() }
    complex Holomorphic(functions::acosh);
    rule "dy/dx = 1 / sqrt(x² - 1)";
    domain ABOVE_ONE;
}

unary! {
    /// Inverse hyperbolic tangent, element by element; infinite at -1 and 1, NaN outside.
    ///
    /// >>> tg.atanh(tg.Variable([0.0]))
    /// Variable([0.])
    fn atanh(x) -> y {
        let a = x.abs();
        odd(x, F::lit(0.5) * ((a + a) / (F::lit(1.0) - a)).ln_1p())
    }
    gradient(x) { F::lit(1.0) / ((F::lit(1.0) - x) * (F::lit(1.0) + x)) }
    complex Holomorphic(functions::atanh);
    rule "dy/dx = 1 / (1 - x²)";
    domain INNER;
}

/// Whether the sign bit is set. The result for NaN does not matter.
#[inline(always)]
pub(super) fn is_signed<F: Field>(x: F) -> F::Mask {
    let zero = F::lit(0.0);
    F::or(x.lt(zero), F::and(x.eq(zero), (F::lit(1.0) / x).lt(zero)))
}

/// The angle of the point (x, y), with C99's special cases.
#[inline(always)]
fn angle<F: Field>(y: F, x: F) -> F {
    let (zero, infinity, pi) = (F::lit(0.0), F::lit(f64::INFINITY), F::lit(PI));
    let (a, b) = (y.abs(), x.abs());
    let both = F::and(a.eq(infinity), b.eq(infinity));
    let none = F::and(a.eq(zero), b.eq(zero));
    let ratio = F::select(both, F::lit(1.0), F::select(none, zero, a / b));
    let acute = positive_atan(ratio);
    let upper = F::select(is_signed(x), pi - acute, acute);
    let nan = F::or(y.is_nan(), x.is_nan());
    F::select(nan, y + x, F::select(is_signed(y), -upper, upper))
}

/// a / (a² + b²) without overflow; 0 where both are 0.
#[inline(always)]
fn over_square<F: Field>(a: F, b: F) -> F {
    let scale = a.abs().max(b.abs());
    let (u, v) = (a / scale, b / scale);
    let slope = u / (u * u + v * v) / scale;
    F::select(scale.eq(F::lit(0.0)), F::lit(0.0), F::select(scale.eq(F::lit(f64::INFINITY)), F::lit(0.0), slope))
}

binary! {
    /// The angle of the point (b, a) in radians between -π and π, element by element; the derivative at (0, 0) is 0.
    ///
    /// >>> tg.atan2(tg.Variable([1.0, -1.0]), tg.Variable([0.0, 0.0]))
    /// Variable([ 1.5707964, -1.5707964])
    fn atan2(a, b) -> y { angle(a, b) }
    gradient_a(a, b) { over_square(b, a) }
    gradient_b(a, b) { -over_square(a, b) }
    rule "dy/da = b / (a² + b²), dy/db = -a / (a² + b²), 0 at (0, 0)";
    domain NONZERO, NONZERO;
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    asin::ENTRY.costs(3.0).alias(&["arcsin"]),
    acos::ENTRY.costs(3.0).alias(&["arccos"]),
    atan::ENTRY.costs(3.0).alias(&["arctan"]),
    asinh::ENTRY.costs(3.0).alias(&["arcsinh"]),
    acosh::ENTRY.costs(3.0).alias(&["arccosh"]),
    atanh::ENTRY.costs(3.0).alias(&["arctanh"]),
    atan2::ENTRY.costs(4.0).alias(&["arctan2"]),
];
