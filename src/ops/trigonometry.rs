//! Circular and hyperbolic functions.

use super::define::{Unary, unary};
use super::registry::Entry;
use super::samples::{Domain, REAL};

unary! {
    /// Sine, element by element, of radians.
    ///
    /// >>> tg.sin(tg.Variable([0.0]))
    /// Variable([0.])
    fn sin(x) -> y { x.sin() }
    gradient(x) { x.cos() }
    ranged true;
    domain REAL;
}

unary! {
    /// Cosine, element by element, of radians.
    ///
    /// >>> tg.cos(tg.Variable([0.0]))
    /// Variable([1.])
    fn cos(x) -> y { x.cos() }
    gradient(x) { -x.sin() }
    ranged true;
    domain REAL;
}

unary! {
    /// Tangent, element by element, of radians.
    ///
    /// >>> tg.tan(tg.Variable([0.0]))
    /// Variable([0.])
    fn tan(x) -> y { x.tan() }
    gradient(y) { F::lit(1.0) + y * y }
    ranged true;
    domain Domain { low: -1.2, high: 1.2, avoid: &[] };
}

unary! {
    /// Hyperbolic tangent, element by element.
    ///
    /// >>> tg.tanh(tg.Variable([0.0]))
    /// Variable([0.])
    fn tanh(x) -> y { x.tanh() }
    gradient(y) { F::lit(1.0) - y * y }
    domain REAL;
}

unary! {
    /// Hyperbolic sine, element by element.
    ///
    /// >>> tg.sinh(tg.Variable([0.0]))
    /// Variable([0.])
    fn sinh(x) -> y { x.sinh() }
    gradient(x) { x.cosh() }
    domain REAL;
}

unary! {
    /// Hyperbolic cosine, element by element.
    ///
    /// >>> tg.cosh(tg.Variable([0.0]))
    /// Variable([1.])
    fn cosh(x) -> y { x.cosh() }
    gradient(x) { x.sinh() }
    domain REAL;
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[sin::ENTRY, cos::ENTRY, tan::ENTRY, tanh::ENTRY, sinh::ENTRY, cosh::ENTRY];
