//! Exponentials and logarithms.

use super::define::{Binary, Unary, binary, unary};
use super::registry::Entry;
use super::samples::{Domain, POSITIVE, REAL};
use crate::kernel::complex::functions;
use crate::kernel::field::Field;

unary! {
    /// Exponential, element by element: eˣ.
    ///
    /// >>> tg.exp(tg.Variable([0.0]))
    /// Variable([1.])
    fn exp(x) -> y { x.exp() }
    gradient(y) { y }
    complex Holomorphic(functions::exp);
    domain REAL;
}

unary! {
    /// eˣ - 1, accurate near 0.
    ///
    /// >>> tg.expm1(tg.Variable([0.0]))
    /// Variable([0.])
    fn expm1(x) -> y { x.exp_m1() }
    gradient(x) { x.exp() }
    complex Holomorphic(functions::expm1);
    domain REAL;
}

unary! {
    /// Natural logarithm, element by element; -inf at 0, NaN below.
    ///
    /// >>> tg.log(tg.Variable([1.0]))
    /// Variable([0.])
    fn log(x) -> y { x.ln() }
    gradient(x) { F::lit(1.0) / x }
    complex Holomorphic(functions::log);
    domain POSITIVE;
}

unary! {
    /// log(1 + x), accurate near 0.
    ///
    /// >>> tg.log1p(tg.Variable([0.0]))
    /// Variable([0.])
    fn log1p(x) -> y { x.ln_1p() }
    gradient(x) { F::lit(1.0) / (F::lit(1.0) + x) }
    complex Holomorphic(functions::log1p);
    domain Domain { low: -0.8, high: 4.0, avoid: &[] };
}

unary! {
    /// Binary logarithm, element by element.
    ///
    /// >>> tg.log2(tg.Variable([8.0]))
    /// Variable([3.])
    fn log2(x) -> y { x.log2() }
    gradient(x) { F::lit(std::f64::consts::LOG2_E) / x }
    complex Holomorphic(functions::log2);
    domain POSITIVE;
}

unary! {
    /// Decimal logarithm, element by element.
    ///
    /// >>> tg.log10(tg.Variable([1000.0]))
    /// Variable([3.])
    fn log10(x) -> y { x.log10() }
    gradient(x) { F::lit(std::f64::consts::LOG10_E) / x }
    complex Holomorphic(functions::log10);
    domain POSITIVE;
}

/// a - b, but 0 where both are the same infinity.
#[inline(always)]
fn gap<F: Field>(a: F, b: F) -> F {
    F::select(F::and(a.eq(b), a.abs().eq(F::lit(f64::INFINITY))), F::lit(0.0), a - b)
}

/// eᵃ / (eᵃ + eᵇ): 0 where a is -inf.
#[inline(always)]
fn share<F: Field>(a: F, b: F) -> F {
    F::select(a.eq(F::lit(f64::NEG_INFINITY)), F::lit(0.0), gap(a, b).sigmoid())
}

/// 2ᵃ / (2ᵃ + 2ᵇ): 0 where a is -inf. The exponent is not converted to base e, because that would round it.
#[inline(always)]
fn share2<F: Field>(a: F, b: F) -> F {
    let (one, two, d) = (F::lit(1.0), F::lit(2.0), gap(a, b));
    let (small, large) = (two.powf(d), one / (one + two.powf(-d)));
    let ratio = F::select(d.gt(F::lit(0.0)), large, small / (one + small));
    F::select(a.eq(F::lit(f64::NEG_INFINITY)), F::lit(0.0), ratio)
}

binary! {
    /// log(eᵃ + eᵇ), element by element, without overflow; the derivative where both are -inf is 0.
    ///
    /// >>> tg.logaddexp(tg.Variable([1000.0]), -1000.0)
    /// Variable([1000.])
    fn logaddexp(a, b) -> y { a.max(b) + (-gap(a, b).abs()).exp().ln_1p() }
    gradient_a(a, b) { share(a, b) }
    gradient_b(a, b) { share(b, a) }
    rule "dy/da = sigmoid(a - b), dy/db = sigmoid(b - a), 0 where that operand is -inf";
    domain REAL, REAL;
}

binary! {
    /// log2(2ᵃ + 2ᵇ), element by element, without overflow; the derivative where both are -inf is 0.
    ///
    /// >>> tg.logaddexp2(tg.Variable([10.0]), 10.0)
    /// Variable([11.])
    fn logaddexp2(a, b) -> y {
        a.max(b) + (gap(a, b).abs() * F::lit(-std::f64::consts::LN_2)).exp().ln_1p() * F::lit(std::f64::consts::LOG2_E)
    }
    gradient_a(a, b) { share2(a, b) }
    gradient_b(a, b) { share2(b, a) }
    rule "dy/da = 1 / (1 + 2^(b - a)), dy/db = 1 / (1 + 2^(a - b)), 0 where that operand is -inf";
    domain REAL, REAL;
}

binary! {
    /// e^(a b), accurate where the product is large.
    fn exp_product(a, b) -> y { a.exp_product(b) }
    gradient_a(b, y) { y.annihilate(b) }
    gradient_b(a, y) { y.annihilate(a) }
    domain REAL, REAL;
}

/// Functions that gradient rules call. Users do not see them, but files name their primitives.
pub const INNER: &[Entry] = &[exp_product::ENTRY];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    exp::ENTRY.costs(2.0),
    expm1::ENTRY.costs(2.0),
    log::ENTRY.costs(2.0),
    log1p::ENTRY.costs(2.0),
    log2::ENTRY.costs(2.0),
    log10::ENTRY.costs(2.0),
    logaddexp::ENTRY.costs(2.0).no_method(),
    logaddexp2::ENTRY.costs(2.0).no_method(),
];
