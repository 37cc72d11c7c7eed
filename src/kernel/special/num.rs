//! Numbers with their first and second derivatives with respect to two parameters.
//!
//! A series or a continued fraction over [`Jet`] is differentiated term by term. So the derivatives of the incomplete gamma and beta
//! functions with respect to their shapes come from the same formulas as the functions.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::gamma::{digamma, gammaln, polygamma};

/// The numbers over which the series are written.
pub trait Num: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self> {
    /// A constant.
    fn lit(v: f64) -> Self;
    /// The value without derivatives.
    fn value(self) -> f64;
    /// f(self), from the value and the first and second derivatives of f.
    #[must_use]
    fn map(self, f: impl Fn(f64) -> f64, slopes: impl Fn(f64, f64) -> [f64; 2]) -> Self;
    /// Whether a term that is added to `sum` is negligible, together with its derivatives.
    fn is_negligible(self, sum: Self) -> bool;

    /// A positive number to this power.
    #[must_use]
    fn power(base: f64, exponent: Self) -> Self {
        let log = base.ln();
        exponent.map(|e| base.powf(e), |_, y| [log * y, log * log * y])
    }
    /// eˣ.
    #[must_use]
    fn exp(self) -> Self {
        self.map(f64::exp, |_, y| [y, y])
    }
    /// eˣ - 1.
    #[must_use]
    fn exp_m1(self) -> Self {
        self.map(f64::exp_m1, |x, _| [x.exp(); 2])
    }
    /// The natural logarithm.
    #[must_use]
    fn ln(self) -> Self {
        self.map(f64::ln, |x, _| [1.0 / x, -1.0 / (x * x)])
    }
    /// log(1 + x).
    #[must_use]
    fn ln_1p(self) -> Self {
        self.map(f64::ln_1p, |x, _| [1.0 / (1.0 + x), -1.0 / ((1.0 + x) * (1.0 + x))])
    }
    /// The square root.
    #[must_use]
    fn sqrt(self) -> Self {
        self.map(f64::sqrt, |x, y| [0.5 / y, -0.25 / (x * y)])
    }
    /// The complementary error function.
    #[must_use]
    fn erfc(self) -> Self {
        self.map(libm::erfc, |x, _| {
            let slope = -std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp();
            [slope, -2.0 * x * slope]
        })
    }
    /// The logarithm of |Γ|.
    #[must_use]
    fn gammaln(self) -> Self {
        self.map(gammaln, |x, _| [digamma(x), polygamma(1.0, x)])
    }
}

impl Num for f64 {
    fn lit(v: f64) -> Self {
        v
    }
    fn value(self) -> f64 {
        self
    }
    fn map(self, f: impl Fn(f64) -> f64, _: impl Fn(f64, f64) -> [f64; 2]) -> Self {
        f(self)
    }
    fn is_negligible(self, sum: Self) -> bool {
        self.abs() <= f64::EPSILON * 0.25 * sum.abs()
    }
}

/// f, its first derivatives with respect to a and b, and its second ones for aa, ab and bb.
#[derive(Clone, Copy, Debug)]
pub struct Jet(pub [f64; 6]);

impl Jet {
    /// The first parameter.
    #[must_use]
    pub fn first(v: f64) -> Self {
        Self([v, 1.0, 0.0, 0.0, 0.0, 0.0])
    }

    /// The second parameter.
    #[must_use]
    pub fn second(v: f64) -> Self {
        Self([v, 0.0, 1.0, 0.0, 0.0, 0.0])
    }

    /// The derivative of order `m` with respect to the first and `n` with respect to the second parameter; NaN beyond the second order.
    #[must_use]
    pub fn derivative(self, m: usize, n: usize) -> f64 {
        match (m, n) {
            (0, 0) => self.0[0],
            (1, 0) => self.0[1],
            (0, 1) => self.0[2],
            (2, 0) => self.0[3],
            (1, 1) => self.0[4],
            (0, 2) => self.0[5],
            _ => f64::NAN,
        }
    }

    fn zip(self, o: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], o.0[i])))
    }
}

impl Add for Jet {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        self.zip(o, |x, y| x + y)
    }
}

impl Sub for Jet {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        self.zip(o, |x, y| x - y)
    }
}

impl Neg for Jet {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.map(|x| -x))
    }
}

impl Mul for Jet {
    type Output = Self;
    fn mul(self, o: Self) -> Self {
        let ([x, xa, xb, xaa, xab, xbb], [y, ya, yb, yaa, yab, ybb]) = (self.0, o.0);
        Self([
            x * y,
            xa * y + x * ya,
            xb * y + x * yb,
            xaa * y + 2.0 * xa * ya + x * yaa,
            xab * y + xa * yb + xb * ya + x * yab,
            xbb * y + 2.0 * xb * yb + x * ybb,
        ])
    }
}

impl Div for Jet {
    type Output = Self;
    #[allow(clippy::suspicious_arithmetic_impl, reason = "the product with the reciprocal, whose value is the correctly rounded quotient")]
    fn div(self, o: Self) -> Self {
        let mut out = self * o.map(|x| 1.0 / x, |_, y| [-y * y, 2.0 * y * y * y]);
        out.0[0] = self.0[0] / o.0[0];
        out
    }
}

impl Num for Jet {
    fn lit(v: f64) -> Self {
        Self([v, 0.0, 0.0, 0.0, 0.0, 0.0])
    }
    fn value(self) -> f64 {
        self.0[0]
    }
    fn map(self, f: impl Fn(f64) -> f64, slopes: impl Fn(f64, f64) -> [f64; 2]) -> Self {
        let [x, a, b, aa, ab, bb] = self.0;
        let y = f(x);
        let [d, dd] = slopes(x, y);
        Self([y, d * a, d * b, d * aa + dd * a * a, d * ab + dd * a * b, d * bb + dd * b * b])
    }
    fn is_negligible(self, sum: Self) -> bool {
        self.0.iter().zip(sum.0).all(|(term, sum)| term.abs() <= f64::EPSILON * 0.25 * sum.abs())
    }
}
