//! Piecewise activations, and smooth ones based on the logistic function.

use super::define::{Unary, unary};
use super::registry::Entry;
use super::samples::{Domain, NONZERO, REAL};
use crate::kernel::field::Field;

/// Smooth except at the ends of the ramp of the hard functions.
const RAMP: Domain = Domain { low: -5.0, high: 5.0, avoid: &[-3.0, 3.0] };
/// Smooth except at ±1, 0, ±½ and 6.
const STEPS: Domain = Domain { low: -3.0, high: 3.0, avoid: &[-1.0, -0.5, 0.0, 0.5, 1.0] };

/// 1 inside (low, high), 0 outside, NaN for NaN.
#[inline(always)]
fn inside<F: Field>(x: F, low: F, high: F) -> F {
    let (zero, one) = (F::lit(0.0), F::lit(1.0));
    F::select(x.is_nan(), x, F::select(F::and(x.gt(low), x.lt(high)), one, zero))
}

unary! {
    /// clip((x + 3) / 6, 0, 1), element by element. The derivative at ±3 is 0.
    ///
    /// >>> tg.nn.functional.hardsigmoid(tg.Variable([-4.0, 0.0, 1.5]))
    /// Variable([0.  , 0.5 , 0.75])
    fn hardsigmoid(x) -> y { ((x + F::lit(3.0)).max(F::lit(0.0)).min(F::lit(6.0))) / F::lit(6.0) }
    gradient(x) { inside(x, F::lit(-3.0), F::lit(3.0)) / F::lit(6.0) }
    rule "dy/dx = 1/6 where |x| < 3, else 0";
    domain RAMP;
}

unary! {
    /// x hardsigmoid(x), element by element.
    ///
    /// >>> tg.nn.functional.hardswish(tg.Variable([-4.0, 0.0, 3.0]))
    /// Variable([0., 0., 3.])
    fn hardswish(x) -> y {
        let middle = x * (x + F::lit(3.0)) / F::lit(6.0);
        F::select(x.ge(F::lit(3.0)), x, F::select(x.le(F::lit(-3.0)), F::lit(0.0), middle))
    }
    gradient(x) {
        let middle = (F::lit(2.0) * x + F::lit(3.0)) / F::lit(6.0);
        F::select(x.ge(F::lit(3.0)), F::lit(1.0), F::select(x.le(F::lit(-3.0)), F::lit(0.0), middle))
    }
    rule "dy/dx = (2x + 3) / 6 where |x| < 3, 1 above, 0 below";
    domain RAMP;
}

unary! {
    /// clip(x, min_val, max_val), element by element. The derivative at both ends is 0.
    ///
    /// >>> tg.nn.functional.hardtanh(tg.Variable([-4.0, 0.25, 3.0]))
    /// Variable([-1.  ,  0.25,  1.  ])
    fn hardtanh(x, min_val = -1.0, max_val = 1.0) -> y { x.max(min_val).min(max_val) }
    gradient(x) { inside(x, min_val, max_val) }
    rule "dy/dx = 1 where min_val < x < max_val, else 0";
    domain STEPS;
}

unary! {
    /// clip(x, 0, 6), element by element. The derivative at 0 and 6 is 0.
    ///
    /// >>> tg.nn.functional.relu6(tg.Variable([-4.0, 0.25, 8.0]))
    /// Variable([0.  , 0.25, 6.  ])
    fn relu6(x) -> y { x.max(F::lit(0.0)).min(F::lit(6.0)) }
    gradient(x) { inside(x, F::lit(0.0), F::lit(6.0)) }
    rule "dy/dx = 1 where 0 < x < 6, else 0";
    domain NONZERO;
}

unary! {
    /// x tanh(log(1 + e^x)), element by element.
    ///
    /// >>> tg.nn.functional.mish(tg.Variable([0.0, 20.0]))
    /// Variable([ 0., 20.])
    fn mish(x) -> y { x * mish_gate(x) }
    gradient(x) {
        let t = mish_gate(x);
        t + x * (F::lit(1.0) - t) * (F::lit(1.0) + t) * x.sigmoid()
    }
    rule "dy/dx = t + x (1 - t²) sigmoid(x) with t = tanh(log(1 + e^x))";
    domain REAL;
}

/// tanh(log(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2).
#[inline(always)]
fn mish_gate<F: Field>(x: F) -> F {
    let e = x.min(F::lit(20.0)).exp();
    let n = e * (e + F::lit(2.0));
    n / (n + F::lit(2.0))
}

unary! {
    /// scale · x above 0, scale · alpha · (e^x - 1) elsewhere, with the numbers that keep mean 0 and variance 1 (Klambauer, 2017).
    ///
    /// >>> tg.nn.functional.selu(tg.Variable([0.0, 1.0]))
    /// Variable([0.      , 1.050701])
    fn selu(x) -> y { F::select(x.gt(F::lit(0.0)), F::lit(SELU_SCALE) * x, F::lit(SELU_SCALE * SELU_ALPHA) * x.min(F::lit(0.0)).exp_m1()) }
    gradient(x) { F::select(x.gt(F::lit(0.0)), F::lit(SELU_SCALE), F::lit(SELU_SCALE * SELU_ALPHA) * x.min(F::lit(0.0)).exp()) }
    rule "dy/dx = scale where x > 0, else scale alpha e^x";
    domain NONZERO;
}

const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

unary! {
    /// log(sigmoid(x)), element by element, exact also where the sigmoid rounds to 0.
    ///
    /// >>> tg.nn.functional.logsigmoid(tg.Variable([-1000.0, 0.0]))
    /// Variable([-1.000000e+03, -6.931472e-01])
    fn logsigmoid(x) -> y { x.min(F::lit(0.0)) - (-x.abs()).exp().ln_1p() }
    gradient(x) { (-x).sigmoid() }
    rule "dy/dx = sigmoid(-x)";
    domain REAL;
}

/// A function of `nn.functional`.
const fn functional(entry: Entry) -> Entry {
    Entry { module: "nn.functional", method: false, ..entry }
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    functional(hardsigmoid::ENTRY),
    functional(hardswish::ENTRY),
    functional(hardtanh::ENTRY),
    functional(relu6::ENTRY),
    functional(mish::ENTRY),
    functional(selu::ENTRY),
    functional(logsigmoid::ENTRY),
];
