//! Exponentials and logarithms.

use super::define::{Unary, unary};
use super::registry::Entry;
use super::samples::{Domain, POSITIVE, REAL};

unary! {
    /// Exponential, element by element: eˣ.
    ///
    /// >>> tg.exp(tg.Variable([0.0]))
    /// Variable([1.])
    fn exp(x) -> y { x.exp() }
    gradient(y) { y }
    domain REAL;
}

unary! {
    /// eˣ - 1, accurate near 0.
    ///
    /// >>> tg.expm1(tg.Variable([0.0]))
    /// Variable([0.])
    fn expm1(x) -> y { x.exp_m1() }
    gradient(y) { y + F::lit(1.0) }
    domain REAL;
}

unary! {
    /// Natural logarithm, element by element; -inf at 0, NaN below.
    ///
    /// >>> tg.log(tg.Variable([1.0]))
    /// Variable([0.])
    fn log(x) -> y { x.ln() }
    gradient(x) { F::lit(1.0) / x }
    domain POSITIVE;
}

unary! {
    /// log(1 + x), accurate near 0.
    ///
    /// >>> tg.log1p(tg.Variable([0.0]))
    /// Variable([0.])
    fn log1p(x) -> y { x.ln_1p() }
    gradient(x) { F::lit(1.0) / (F::lit(1.0) + x) }
    domain Domain { low: -0.8, high: 4.0, avoid: &[] };
}

unary! {
    /// Binary logarithm, element by element.
    ///
    /// >>> tg.log2(tg.Variable([8.0]))
    /// Variable([3.])
    fn log2(x) -> y { x.log2() }
    gradient(x) { F::lit(std::f64::consts::LOG2_E) / x }
    domain POSITIVE;
}

unary! {
    /// Decimal logarithm, element by element.
    ///
    /// >>> tg.log10(tg.Variable([1000.0]))
    /// Variable([3.])
    fn log10(x) -> y { x.log10() }
    gradient(x) { F::lit(std::f64::consts::LOG10_E) / x }
    domain POSITIVE;
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[exp::ENTRY, expm1::ENTRY, log::ENTRY, log1p::ENTRY, log2::ENTRY, log10::ENTRY];
