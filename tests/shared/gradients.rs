//! The gradients of elementwise functions in float32, judged by the same gradients in float64.
//!
//! A formula that subtracts two nearly equal numbers is right in float64 to half of its digits, so its error in float32 shows.

use tapegrad::array::{Array, Element, Scalar};
use tapegrad::loss::{self, Reduction};
use tapegrad::ops;
use tapegrad::tape::{BackwardOptions, Variable, grad};
use tapegrad::{Error, Result};

/// A function of one array whose gradient is measured.
pub struct Function {
    /// The name in the table.
    pub name: &'static str,
    /// The largest error that passes, in ulps.
    pub limit: f64,
    /// The function.
    pub call: fn(&Variable) -> Result<Variable>,
    /// The interval on which the function is defined.
    pub range: (f64, f64),
    /// The size of the terms of the gradient at x, whose value is y: the unit of the error where the gradient has a zero.
    pub terms: fn(f64, f64) -> f64,
}

const ALL: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

const fn function(name: &'static str, limit: f64, call: fn(&Variable) -> Result<Variable>) -> Function {
    Function { name, limit, call, range: ALL, terms: |_, _| 0.0 }
}

/// The gradient of x·s(x) is s(x) + x s'(x), which has a zero: errors count in units of s(x) there.
const fn gated(name: &'static str, limit: f64, call: fn(&Variable) -> Result<Variable>) -> Function {
    Function { terms: |x, y| y / x, ..function(name, limit, call) }
}

/// The second operand of every pair, on the side of the array.
fn beside(x: &Variable, value: f64) -> Variable {
    Array::full(x.shape(), Scalar::Float(value), x.dtype()).into()
}

fn entropy(x: &Variable, target: f64) -> Result<Variable> {
    loss::binary_cross_entropy_with_logits(x, &beside(x, target), None, Reduction::Sum, None)
}

/// Every elementwise function whose gradient is not a constant or a choice between constants.
pub const FUNCTIONS: &[Function] = &[
    function("exp", 2.0, ops::exp),
    function("expm1", 2.0, ops::expm1),
    function("log", 1.0, ops::log),
    Function { range: (-1.0, f64::INFINITY), ..function("log1p", 2.0, ops::log1p) },
    function("log2", 1.5, ops::log2),
    function("log10", 1.5, ops::log10),
    function("sin", 2.0, ops::sin),
    function("cos", 2.0, ops::cos),
    function("tan", 5.0, ops::tan),
    function("sinh", 2.0, ops::sinh),
    function("cosh", 2.5, ops::cosh),
    function("tanh", 4.0, ops::tanh),
    function("erf", 3.0, ops::erf),
    function("sigmoid", 4.0, ops::sigmoid),
    gated("silu", 8.0, ops::silu),
    gated("gelu", 8.0, ops::gelu_erf),
    gated("gelu, by tanh", 8.0, ops::gelu_tanh),
    function("softplus", 3.0, |x| ops::softplus(x, 1.0)),
    function("softplus, beta 2", 3.0, |x| ops::softplus(x, 2.0)),
    function("elu", 2.0, |x| ops::elu(x, 1.0)),
    function("softsign", 3.0, ops::softsign),
    function("square", 1.0, ops::square),
    function("sqrt", 2.0, ops::sqrt),
    function("reciprocal", 2.0, ops::reciprocal),
    function("x ** 2.5", 3.0, |x| ops::power(x, 2.5)),
    function("x ** -1.5", 3.0, |x| ops::power(x, -1.5)),
    function("3 ** x", 4.0, |x| ops::power(3.0, x)),
    function("3 / x", 2.0, |x| ops::divide(3.0, x)),
    function("hypot(x, 3)", 3.0, |x| ops::hypot(x, 3.0)),
    function("logaddexp(x, 1000)", 3.0, |x| ops::logaddexp(x, 1000.0)),
    function("logaddexp2(x, 1000)", 4.0, |x| ops::logaddexp2(x, 1000.0)),
    function("remainder(7, x)", 1.0, |x| ops::remainder(7.0, x)),
    function("huber loss", 1.0, |x| loss::huber_loss(x, &beside(x, 0.0), Reduction::Sum, 1.0)),
    function("logit loss, target 0", 3.0, |x| entropy(x, 0.0)),
    function("logit loss, target 1", 3.0, |x| entropy(x, 1.0)),
    Function { terms: |_, _| 0.25, ..function("logit loss, target 1/4", 4.0, |x| entropy(x, 0.25)) },
    Function {
        range: (0.0, 1.0),
        ..function("probability loss, target 1/4", 3.0, |x| loss::binary_cross_entropy(x, &beside(x, 0.25), None, Reduction::Sum))
    },
];

/// The values and the gradients of the sum of `f`.
fn run<T: Element>(f: &Function, x: &[T]) -> Result<(Vec<T>, Vec<T>)> {
    let x = Variable::parameter(Array::from_slice(x, &[x.len()]))?;
    let y = (f.call)(&x)?;
    let one: Variable = Array::full(y.shape(), Scalar::Float(1.0), x.dtype()).into();
    let g = grad(&[(y.clone(), Some(one))], &[x], BackwardOptions::default())?;
    let [Some(g)] = &g[..] else { return Err(Error::Value(format!("{}: no gradient", f.name))) };
    Ok((y.array().to_vec(), g.array().to_vec()))
}

/// Numbers below this exponent count as if they had it, because one of their factors may be subnormal and have fewer digits.
const LEAST: u64 = 1023 - 119;

/// |g - expected| in ulp of float32 at the larger of |expected| and `terms`; infinite for a wrong kind of value.
#[allow(clippy::cast_possible_truncation, reason = "whether it rounds to infinity")]
fn error(g: f32, expected: f64, terms: f64) -> f64 {
    if g.is_nan() || expected.is_nan() {
        return if g.is_nan() && expected.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if g.is_infinite() {
        let same = g.is_sign_negative() == expected.is_sign_negative();
        return if same && (expected as f32).abs() >= f32::MAX { 0.0 } else { f64::INFINITY };
    }
    let unit = if terms.is_finite() && terms.abs() > expected.abs() { terms } else { expected };
    let exponent = ((unit.to_bits() >> 52) & 0x7ff).clamp(LEAST, 1023 + 127);
    (f64::from(g) - expected).abs() / f64::from_bits((exponent - 23) << 52)
}

/// The largest error of a gradient at these numbers, and where it is.
///
/// # Panics
/// When a function refuses its argument.
pub fn worst(f: &Function, x: &[f32]) -> (f64, f32) {
    let x: Vec<f32> = x.iter().copied().filter(|&x| x.is_nan() && f.range == ALL || f.range.0 <= f64::from(x) && f64::from(x) <= f.range.1).collect();
    let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let (_, single) = run(f, &x).unwrap_or_else(|e| panic!("{e}"));
    let (values, double) = run(f, &wide).unwrap_or_else(|e| panic!("{e}"));
    let mut worst = (0.0, 0.0);
    for (i, &g) in single.iter().enumerate() {
        let y = if values.len() == double.len() { values[i] } else { 0.0 };
        let off = error(g, double[i], (f.terms)(wide[i], y));
        if off > worst.0 {
            worst = (off, x[i]);
        }
    }
    worst
}
