//! Arithmetic: sums, products, quotients, powers, extrema, rounding.

use super::define::{Binary, Other, Unary, binary, unary, update_unary};
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Operand, Param, Sample, Value};
use super::samples::{BETWEEN_HALVES, BETWEEN_INTEGERS, Domain, NONZERO, POSITIVE, REAL};
use super::{equal, where_};
use crate::array::{Array, DType, Scalar, broadcast_shapes};
use crate::dispatch;
use crate::error::{Error, Result};
use crate::kernel::blocks::{self, Input};
use crate::kernel::complex::{Arithmetic, functions};
use crate::kernel::field::Field;
use crate::tape::Variable;

binary! {
    /// Sum, element by element: a + b.
    ///
    /// Shapes broadcast; dtypes promote as NumPy's; bools add as logical or.
    ///
    /// >>> tg.add(tg.Variable([1.0, 2.0]), 3.0)
    /// Variable([4., 5.])
    fn add(a, b) -> y { a + b }
    gradient_a() { F::lit(1.0) }
    gradient_b() { F::lit(1.0) }
    integer { a.add(b) }
    boolean { a | b }
    complex Basic(Arithmetic::Add);
    domain REAL, REAL;
}

binary! {
    /// Difference, element by element: a - b.
    ///
    /// >>> tg.subtract(tg.Variable([1.0, 2.0]), 3.0)
    /// Variable([-2., -1.])
    fn subtract(a, b) -> y { a - b }
    gradient_a() { F::lit(1.0) }
    gradient_b() { F::lit(-1.0) }
    integer { a.sub(b) }
    complex Basic(Arithmetic::Subtract);
    domain REAL, REAL;
}

binary! {
    /// Product, element by element: a · b. Bools multiply as logical and.
    ///
    /// >>> tg.multiply(tg.Variable([1.0, 2.0]), 3.0)
    /// Variable([3., 6.])
    fn multiply(a, b) -> y { a * b }
    gradient_a(b) { b }
    gradient_b(a) { a }
    integer { a.mul(b) }
    boolean { a & b }
    complex Basic(Arithmetic::Multiply);
    domain REAL, REAL;
}

binary! {
    /// Quotient, element by element: a / b, by IEEE's rules. Integers give the default floating dtype.
    ///
    /// >>> tg.divide(tg.Variable([1.0, 2.0]), 4.0)
    /// Variable([0.25, 0.5 ])
    fn divide(a, b) -> y { a / b }
    gradient_a(b) { F::lit(1.0) / b }
    gradient_b(b, y) { -(y / b) }
    complex Holomorphic(functions::divide);
    domain REAL, NONZERO;
}

/// Reports a read of the elements of `a`, on which control flow depends.
fn seen(a: &crate::array::Array) -> &crate::array::Array {
    crate::tape::capture::read(a, "power");
    a
}

/// As in NumPy, an integer to a negative power is an error.
fn no_negative_exponent(_: &Operand<'_>, b: &Operand<'_>) -> Result<()> {
    let negative = match b {
        Operand::Scalar(Scalar::Int(i)) => *i < 0,
        Operand::Scalar(_) => false,
        Operand::Variable(v) => dispatch!(integer v.dtype(), T => seen(v.innermost()).view::<T>().iter().any(|&x| x < T::default()), else false),
    };
    if negative {
        return Err(Error::Value(
            "power: integers to negative integer powers are not allowed; make the base floating, as in x.astype(float32)".to_owned(),
        ));
    }
    Ok(())
}

/// Squares are products, as in NumPy: correctly rounded, in a tenth of the time.
#[allow(clippy::float_cmp, reason = "two is exact")]
fn square_of(exponent: Scalar) -> Option<Other> {
    let is_two = match exponent {
        Scalar::Int(i) => i == 2,
        Scalar::Float(x) => x == 2.0,
        _ => false,
    };
    is_two.then_some(Other { apply: square, update: update_unary::<square> })
}

binary! {
    /// Power, element by element: aᵇ. The derivative of x**0 at 0 is 0.
    ///
    /// Integers stay integers; a negative integer exponent raises ValueError.
    ///
    /// >>> tg.power(tg.Variable([2.0, 3.0]), 2)
    /// Variable([4., 9.])
    fn power(a, b) -> y { a.powf(b) }
    gradient_a(a, b) { a.power_slope(b) }
    gradient_b(a, b, y) { a.power_log(b, y) }
    integer { a.power(b) }
    check no_negative_exponent;
    shortcut square_of;
    complex Holomorphic(functions::power);
    rule "dy/da = b aᵇ⁻¹, 0 where b is 0; dy/db = y log(a), 0 where a is 0 and b >= 0";
    domain POSITIVE, REAL;
}

/// The mixed derivative of a power: aᵇ⁻¹ (1 + b log a).
#[inline(always)]
fn power_mixed<F: Field>(a: F, b: F) -> F {
    a.powf(b - F::lit(1.0)).annihilate(F::lit(1.0) + b.vanish(a.ln()))
}

binary! {
    /// The derivative of a power with respect to its base: b aᵇ⁻¹.
    fn power_slope(a, b) -> y { a.power_slope(b) }
    gradient_a(a, b) { b.vanish((b - F::lit(1.0)).vanish(a.powf(b - F::lit(2.0)))) }
    gradient_b(a, b) { power_mixed(a, b) }
    complex Holomorphic(functions::power_slope);
    domain POSITIVE, REAL;
}

binary! {
    /// The derivative of a power with respect to its exponent: aᵇ log a.
    fn power_log(a, b) -> y { a.power_log(b, a.powf(b)) }
    gradient_a(a, b) { power_mixed(a, b) }
    gradient_b(a, y) { y.vanish(a.ln()) }
    complex Holomorphic(functions::power_log);
    domain POSITIVE, REAL;
}

/// The gradient of maximum and minimum for NaN: NaN for the operand that is NaN, 0 for the other one.
#[inline(always)]
fn nan_or_zero<F: Field>(own: F) -> F {
    F::select(own.is_nan(), F::lit(f64::NAN), F::lit(0.0))
}

binary! {
    /// The larger of a and b, element by element; NaN where either is. Ties share the gradient equally.
    ///
    /// >>> tg.maximum(tg.Variable([1.0, 5.0]), 3.0)
    /// Variable([3., 5.])
    fn maximum(a, b) -> y { a.max(b) }
    gradient_a(a, b) { F::select(a.gt(b), F::lit(1.0), F::select(a.eq(b), F::lit(0.5), nan_or_zero(a))) }
    gradient_b(a, b) { F::select(b.gt(a), F::lit(1.0), F::select(a.eq(b), F::lit(0.5), nan_or_zero(b))) }
    integer { a.max(b) }
    boolean { a | b }
    rule "dy/da = 1 where a > b, 1/2 where a = b, NaN where a is NaN, else 0; dy/db likewise";
    domain Domain { low: 0.1, high: 1.0, avoid: &[] }, Domain { low: 1.1, high: 2.0, avoid: &[] };
}

binary! {
    /// The smaller of a and b, element by element; NaN where either is. Ties share the gradient equally.
    ///
    /// >>> tg.minimum(tg.Variable([1.0, 5.0]), 3.0)
    /// Variable([1., 3.])
    fn minimum(a, b) -> y { a.min(b) }
    gradient_a(a, b) { F::select(a.lt(b), F::lit(1.0), F::select(a.eq(b), F::lit(0.5), nan_or_zero(a))) }
    gradient_b(a, b) { F::select(b.lt(a), F::lit(1.0), F::select(a.eq(b), F::lit(0.5), nan_or_zero(b))) }
    integer { a.min(b) }
    boolean { a & b }
    rule "dy/da = 1 where a < b, 1/2 where a = b, NaN where a is NaN, else 0; dy/db likewise";
    domain Domain { low: 0.1, high: 1.0, avoid: &[] }, Domain { low: 1.1, high: 2.0, avoid: &[] };
}

binary! {
    /// The annihilating product: 0 where a is 0, whatever b is, else a · b.
    ///
    /// It is the product of every gradient rule: a gradient that does not flow stays zero through an infinite or
    /// undefined factor. Its own derivative is that of a product.
    ///
    /// >>> tg.annihilate(tg.Variable([0.0, 2.0]), tg.Variable([tg.inf, 3.0]))
    /// Variable([0., 6.])
    fn annihilate(a, b) -> y { a.annihilate(b) }
    gradient_a(b) { b }
    gradient_b(a) { a }
    complex Holomorphic(functions::annihilate);
    domain REAL, REAL;
}

binary! {
    /// a · b, but 0 where either is 0, whatever the other is. Its own derivative is that of a product.
    fn vanish(a, b) -> y { a.vanish(b) }
    gradient_a(b) { b }
    gradient_b(a) { a }
    complex Holomorphic(functions::vanish);
    domain REAL, REAL;
}

unary! {
    /// Negation, element by element: -x.
    ///
    /// >>> tg.negative(tg.Variable([1.0, -2.0]))
    /// Variable([-1.,  2.])
    fn negative(x) -> y { -x }
    gradient() { F::lit(-1.0) }
    integer(x) { I::lit(0).sub(x) }
    bools false;
    complex Holomorphic(|z| -z);
    domain REAL;
}

unary! {
    /// x itself.
    ///
    /// >>> tg.positive(tg.Variable([1.0, -2.0]))
    /// Variable([ 1., -2.])
    fn positive(x) -> y { x }
    gradient() { F::lit(1.0) }
    integer(x) { x }
    complex Holomorphic(|z| z);
    domain REAL;
}

unary! {
    /// Absolute value, element by element. The derivative at 0 is 0.
    ///
    /// >>> tg.abs(tg.Variable([1.0, -2.0]))
    /// Variable([1., 2.])
    fn abs(x) -> y { x.abs() }
    gradient(x) { x.sign() }
    integer(x) { x.abs() }
    complex Operation(super::complex::abs);
    length true;
    rule "dy/dx = sign(x)";
    domain NONZERO;
}

unary! {
    /// Sign, element by element: -1, 0 or 1; NaN of NaN. Its derivative is 0.
    ///
    /// >>> tg.sign(tg.Variable([3.0, 0.0, -2.0]))
    /// Variable([ 1.,  0., -1.])
    fn sign(x) -> y { x.sign() }
    gradient() { F::lit(0.0) }
    integer(x) { x.signum() }
    bools false;
    complex Operation(super::complex::sign);
    domain NONZERO;
}

unary! {
    /// Square, element by element: x².
    ///
    /// >>> tg.square(tg.Variable([1.0, -2.0]))
    /// Variable([1., 4.])
    fn square(x) -> y { x * x }
    gradient(x) { F::lit(2.0) * x }
    integer(x) { x.mul(x) }
    complex Holomorphic(functions::square);
    domain REAL;
}

unary! {
    /// Square root, element by element; NaN below 0. The derivative at 0 is infinite.
    ///
    /// >>> tg.sqrt(tg.Variable([4.0, 9.0]))
    /// Variable([2., 3.])
    fn sqrt(x) -> y { x.sqrt() }
    gradient(y) { F::lit(0.5) / y }
    complex Holomorphic(functions::sqrt);
    domain POSITIVE;
}

unary! {
    /// Reciprocal, element by element: 1 / x.
    ///
    /// >>> tg.reciprocal(tg.Variable([4.0, 0.5]))
    /// Variable([0.25, 2.  ])
    fn reciprocal(x) -> y { x.recip() }
    gradient(y) { -(y * y) }
    complex Holomorphic(functions::reciprocal);
    domain NONZERO;
}

unary! {
    /// The largest integer not above x, element by element. Its derivative is 0.
    ///
    /// >>> tg.floor(tg.Variable([1.5, -1.5]))
    /// Variable([ 1., -2.])
    fn floor(x) -> y { x.floor() }
    gradient() { F::lit(0.0) }
    integer(x) { x }
    domain BETWEEN_INTEGERS;
}

unary! {
    /// The smallest integer not below x, element by element. Its derivative is 0.
    ///
    /// >>> tg.ceil(tg.Variable([1.5, -1.5]))
    /// Variable([ 2., -1.])
    fn ceil(x) -> y { x.ceil() }
    gradient() { F::lit(0.0) }
    integer(x) { x }
    domain BETWEEN_INTEGERS;
}

unary! {
    /// x without its fraction, element by element. Its derivative is 0.
    ///
    /// >>> tg.trunc(tg.Variable([1.5, -1.5]))
    /// Variable([ 1., -1.])
    fn trunc(x) -> y { x.trunc() }
    gradient() { F::lit(0.0) }
    integer(x) { x }
    domain BETWEEN_INTEGERS;
}

unary! {
    /// The nearest integer, halves to even, element by element. Its derivative is 0.
    ///
    /// >>> tg.rint(tg.Variable([0.5, 1.5, 2.6]))
    /// Variable([0., 2., 3.])
    fn rint(x) -> y { x.round_ties_even() }
    gradient() { F::lit(0.0) }
    integer(x) { x }
    complex Operation(super::complex::rint);
    domain BETWEEN_HALVES;
}

unary! {
    /// x clamped to two bounds. The bounds count as inside: the derivative is 1 where min ≤ x ≤ max, else 0.
    fn clamp(x, min = -1.0, max = 1.0) -> y { x.max(min).min(max) }
    gradient(x) { F::select(F::and(x.ge(min), x.le(max)), F::lit(1.0), nan_or_zero(x)) }
    rule "dy/dx = 1 where min <= x <= max, NaN where x is NaN, else 0; a bound has the rest";
    domain Domain { low: -2.0, high: 2.0, avoid: &[-1.0, 1.0] };
}

binary! {
    /// The larger of x and a bound. At the bound the gradient flows to x.
    fn clip_below(x, bound) -> y { x.max(bound) }
    gradient_a(x, bound) { F::select(x.ge(bound), F::lit(1.0), nan_or_zero(x)) }
    gradient_b(x, bound) { F::select(x.lt(bound), F::lit(1.0), nan_or_zero(bound)) }
    integer { x.max(bound) }
    boolean { x | bound }
    domain Domain { low: 0.1, high: 1.0, avoid: &[] }, Domain { low: 1.1, high: 2.0, avoid: &[] };
}

binary! {
    /// The smaller of x and a bound. At the bound the gradient flows to x.
    fn clip_above(x, bound) -> y { x.min(bound) }
    gradient_a(x, bound) { F::select(x.le(bound), F::lit(1.0), nan_or_zero(x)) }
    gradient_b(x, bound) { F::select(x.gt(bound), F::lit(1.0), nan_or_zero(bound)) }
    integer { x.min(bound) }
    boolean { x & bound }
    domain Domain { low: 0.1, high: 1.0, avoid: &[] }, Domain { low: 1.1, high: 2.0, avoid: &[] };
}

/// `x` clamped to `min` and `max`, each an array, a number or none. At a bound the gradient flows to x. NaN bounds give NaN.
///
/// # Errors
/// `Shape` when the bounds do not broadcast with `x`.
pub fn clip(x: &Variable, min: Option<Operand<'_>>, max: Option<Operand<'_>>) -> Result<Variable> {
    if x.dtype().is_complex() {
        return Err(super::define::undefined("clip", x.dtype()));
    }
    let number = |o: &Option<Operand<'_>>, none: f64| match o {
        None => Some(none),
        Some(Operand::Scalar(s)) => Some(s.as_f64()),
        Some(Operand::Variable(_)) => None,
    };
    if x.dtype().is_float()
        && let (Some(low), Some(high)) = (number(&min, f64::NEG_INFINITY), number(&max, f64::INFINITY))
    {
        return clamp(x, low, high);
    }
    for bound in [&min, &max] {
        if let Some(Operand::Variable(v)) = bound
            && broadcast_shapes(x.shape(), v.shape()).is_none()
        {
            return Err(Error::broadcast("clip", x.shape(), v.shape()));
        }
    }
    // A bound outside the range of an integer dtype has no effect.
    let beyond = |o: &Operand<'_>, side: f64| matches!(o, Operand::Scalar(s) if s.as_f64() * side > 0.0 && s.check("clip", x.dtype()).is_err());
    let mut out = x.clone();
    if let Some(low) = min.filter(|o| !beyond(o, -1.0)) {
        out = clip_below(&out, low)?;
    }
    if let Some(high) = max.filter(|o| !beyond(o, 1.0)) {
        out = clip_above(&out, high)?;
    }
    Ok(out)
}

fn call_clip(a: &Args<'_>) -> Result<Value> {
    let bound = |i| if a.is_none(i) { Ok(None) } else { a.operand(i).map(Some) };
    Ok(clip(&a.variable(0)?, bound(1)?, bound(2)?)?.into())
}

fn clip_samples() -> Vec<Sample> {
    clamp::DOMAIN.unary_samples(clamp::PARAMS)
}

/// `x` rounded to `decimals` decimals, halves to even; negative decimals round to tens, hundreds and so on.
///
/// # Errors
/// Those of recording.
pub fn round(x: &Variable, decimals: i64) -> Result<Variable> {
    if x.dtype().is_complex() {
        return super::complex::by_parts(x, |part| round(part, decimals));
    }
    if x.dtype().is_half() {
        return super::half::of_one(x, |x| round(x, decimals));
    }
    if decimals == 0 || (decimals > 0 && !x.dtype().is_float()) || x.dtype() == DType::Bool {
        return rint(x);
    }
    let digits = i32::try_from(decimals.unsigned_abs()).unwrap_or(i32::MAX);
    if !x.dtype().is_float() {
        return Ok(round_integers(x.values("round")?, digits).into());
    }
    let most = if x.dtype() == DType::F64 { 308 } else { 38 };
    let scale = 10.0_f64.powi(digits.min(most));
    if decimals < 0 {
        return if digits > most { multiply(x, 0.0) } else { multiply(&rint(&divide(x, scale)?)?, scale) };
    }
    let scaled = multiply(x, scale)?;
    let rounded = divide(&rint(&scaled)?, scale)?;
    // A number that overflows here has no such decimals: it is already rounded.
    let far = equal(&abs(&scaled.detach())?, f64::INFINITY)?;
    let any = far.innermost().view::<bool>().iter().any(|&b| b);
    if any || crate::tape::capture::is_on() { where_(&far, &x.detach(), &rounded) } else { Ok(rounded) }
}

/// Integers rounded to a multiple of 10^`digits`, halves to even, in exact arithmetic. Results outside the dtype's range wrap around.
fn round_integers(x: &Array, digits: i32) -> Array {
    // For units beyond 10^19, every integer is less than half a unit.
    let unit = 10_i128.pow(digits.min(20).unsigned_abs());
    let nearest = |v: i128| {
        let (whole, rest) = (v.div_euclid(unit), v.rem_euclid(unit));
        let up = 2 * rest > unit || (2 * rest == unit && whole % 2 != 0);
        (whole + i128::from(up)) * unit
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_lossless, reason = "wraps around, as all integer arithmetic")]
    let out = dispatch!(integer x.dtype(), T => blocks::map([Input::from(x)], x.shape(), |[v]: [T; 1]| nearest(v as i128) as T),
        else unreachable!("floats and bools were handled"));
    out
}

/// Functions that gradient rules call. Users do not see them, but files name their primitives.
pub const INNER: &[Entry] = &[power_slope::ENTRY, power_log::ENTRY, vanish::ENTRY, clamp::ENTRY, clip_below::ENTRY, clip_above::ENTRY];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    add::ENTRY,
    subtract::ENTRY,
    multiply::ENTRY,
    divide::ENTRY.alias(&["true_divide"]),
    power::ENTRY.costs(2.0).alias(&["pow"]),
    maximum::ENTRY,
    minimum::ENTRY,
    annihilate::ENTRY.no_method(),
    negative::ENTRY,
    positive::ENTRY,
    abs::ENTRY.alias(&["absolute"]),
    sign::ENTRY,
    square::ENTRY,
    sqrt::ENTRY,
    reciprocal::ENTRY,
    floor::ENTRY,
    ceil::ENTRY,
    trunc::ENTRY,
    rint::ENTRY,
    Entry {
        name: "clip",
        doc: "x between two bounds, each an array, a number or None. The bounds count as inside: the derivative is 1 where min <= x <= max, else 0. A NaN bound gives NaN.\n\n>>> tg.clip(tg.Variable([-2.0, 0.5, 2.0]), -1.0, 1.0)\nVariable([-1. ,  0.5,  1. ])\n",
        params: &[Param::array("x"), Param::new("min", Kind::OptArray).or(Default::None), Param::new("max", Kind::OptArray).or(Default::None)],
        call: call_clip,
        gradient: Gradient::Rule(clamp::GRADIENT),
        samples: clip_samples,
        ..Entry::BASE
    },
    Entry {
        name: "round",
        doc: "x rounded to a number of decimals, halves to even; negative decimals round to tens, hundreds and so on. Its derivative is 0.\n\n>>> tg.round(tg.Variable([1.234, 5.678]), 1)\nVariable([1.2, 5.7])\n",
        params: &[Param::array("x"), Param::new("decimals", Kind::Int).or(Default::Int(0))],
        call: |a| Ok(round(&a.variable(0)?, a.int(1)?)?.into()),
        gradient: Gradient::Composite("zero"),
        samples: || {
            BETWEEN_HALVES.unary_samples(&[Param::array("x")]).into_iter().map(|s| Sample { args: [s.args, vec![Arg::Int(0)]].concat() }).collect()
        },
        ..Entry::BASE
    },
];
