//! Circular and hyperbolic functions.

use super::define::{Binary, Unary, binary, unary};
use super::registry::Entry;
use super::samples::{Domain, NONZERO, REAL};
use crate::kernel::complex::functions;
use crate::kernel::field::Field;

unary! {
    /// Sine, element by element, of radians.
    ///
    /// >>> tg.sin(tg.Variable([0.0]))
    /// Variable([0.])
    fn sin(x) -> y { x.sin() }
    gradient(x) { x.cos() }
    complex Holomorphic(functions::sin);
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
    complex Holomorphic(functions::cos);
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
    complex Holomorphic(functions::tan);
    ranged true;
    domain Domain { low: -1.2, high: 1.2, avoid: &[] };
}

unary! {
    /// Hyperbolic tangent, element by element.
    ///
    /// >>> tg.tanh(tg.Variable([0.0]))
    /// Variable([0.])
    fn tanh(x) -> y { x.tanh() }
    gradient(x) { F::lit(4.0) * (F::lit(2.0) * x).sigmoid_slope() }
    complex Holomorphic(functions::tanh);
    rule "dy/dx = 1 - y², computed from x without cancellation";
    domain REAL;
}

unary! {
    /// Hyperbolic sine, element by element.
    ///
    /// >>> tg.sinh(tg.Variable([0.0]))
    /// Variable([0.])
    fn sinh(x) -> y { x.sinh() }
    gradient(x) { x.cosh() }
    complex Holomorphic(functions::sinh);
    domain REAL;
}

unary! {
    /// Hyperbolic cosine, element by element.
    ///
    /// >>> tg.cosh(tg.Variable([0.0]))
    /// Variable([1.])
    fn cosh(x) -> y { x.cosh() }
    gradient(x) { x.sinh() }
    complex Holomorphic(functions::cosh);
    domain REAL;
}

/// The derivative of a Euclidean norm y with respect to one of its components: 0 where there is no direction, ±1 where it is infinite.
#[inline(always)]
fn cosine<F: Field>(component: F, y: F) -> F {
    let infinite = component.abs().eq(F::lit(f64::INFINITY));
    F::select(infinite, component.sign(), F::select(y.eq(F::lit(0.0)), F::lit(0.0), component / y))
}

binary! {
    /// √(a² + b²), element by element, without overflow; the derivative at (0, 0) is 0.
    ///
    /// >>> tg.hypot(tg.Variable([3.0]), 4.0)
    /// Variable([5.])
    fn hypot(a, b) -> y {
        let (a, b, infinity) = (a.abs(), b.abs(), F::lit(f64::INFINITY));
        let (large, small) = (a.max(b), a.min(b));
        let ratio = small / large;
        let length = F::select(large.eq(F::lit(0.0)), large, large * (F::lit(1.0) + ratio * ratio).sqrt());
        // IEEE 754: if one component is infinite, so is the result, whatever the other is.
        F::select(F::or(a.eq(infinity), b.eq(infinity)), infinity, length)
    }
    gradient_a(a, y) { cosine(a, y) }
    gradient_b(b, y) { cosine(b, y) }
    length true;
    rule "dy/da = a / y, dy/db = b / y, 0 where y is 0";
    domain NONZERO, REAL;
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    sin::ENTRY.costs(2.0),
    cos::ENTRY.costs(2.0),
    tan::ENTRY.costs(2.0),
    tanh::ENTRY.costs(2.0),
    sinh::ENTRY.costs(2.0),
    cosh::ENTRY.costs(2.0),
    hypot::ENTRY.costs(2.0).no_method(),
];
