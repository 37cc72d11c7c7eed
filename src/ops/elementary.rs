//! Elementwise functions that are simple variants of others: powers of two, angles, signs, replacement of NaN, closeness.

use super::arithmetic::power;
use super::define::{Binary, Unary, binary, unary};
use super::inverse::is_signed;
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Operand, Param, Sample, Value};
use super::samples::{Domain, Draw, NONZERO, POSITIVE, REAL, call_with};
use super::shape::{astype, scalar};
use super::{add, all, equal, isfinite, isnan, less_equal, logical_and, logical_or, multiply, subtract, where_};
use crate::array::{Array, DType, broadcast_shapes, default_float};
use crate::error::{Error, Result};
use crate::kernel::blocks::{self, Input};
use crate::kernel::complex::functions;
use crate::kernel::field::Field;
use crate::tape::{Batch, Primitive, Variable, apply};

unary! {
    /// 2ˣ, element by element.
    ///
    /// >>> tg.exp2(tg.Variable([3.0, -1.0]))
    /// Variable([8. , 0.5])
    fn exp2(x) -> y { F::lit(2.0).powf(x) }
    gradient(y) { y * F::lit(std::f64::consts::LN_2) }
    complex Holomorphic(functions::exp2);
    domain REAL;
}

unary! {
    /// The cube root, element by element, negative of negative numbers.
    ///
    /// >>> tg.cbrt(tg.Variable([27.0, -8.0]))
    /// Variable([ 3., -2.])
    fn cbrt(x) -> y {
        let (a, zero) = (x.abs(), F::lit(0.0));
        let r = a.powf(F::lit(1.0 / 3.0));
        // A Newton step: for large arguments the rounding of 1/3 matters.
        let root = r - (r * r * r - a) / (F::lit(3.0) * r * r);
        let root = F::select(F::or(a.eq(zero), a.eq(F::lit(f64::INFINITY))), a, root);
        F::select(x.eq(zero), x, F::select(x.lt(zero), -root, root))
    }
    gradient(y) { F::lit(1.0) / (F::lit(3.0) * y * y) }
    domain NONZERO;
}

unary! {
    /// Degrees as radians, element by element.
    ///
    /// >>> tg.deg2rad(tg.Variable([180.0]))
    /// Variable([3.1415927])
    fn deg2rad(x) -> y { x * F::lit(std::f64::consts::PI / 180.0) }
    gradient() { F::lit(std::f64::consts::PI / 180.0) }
    domain REAL;
}

unary! {
    /// Radians as degrees, element by element.
    ///
    /// >>> tg.rad2deg(tg.Variable([3.14159265]))
    /// Variable([180.])
    fn rad2deg(x) -> y { x * F::lit(180.0 / std::f64::consts::PI) }
    gradient() { F::lit(180.0 / std::f64::consts::PI) }
    domain REAL;
}

unary! {
    /// One over the square root, element by element.
    ///
    /// >>> tg.rsqrt(tg.Variable([4.0, 0.25]))
    /// Variable([0.5, 2. ])
    fn rsqrt(x) -> y { x.sqrt().recip() }
    gradient(y) { F::lit(-0.5) * y * y * y }
    complex Holomorphic(functions::rsqrt);
    domain POSITIVE;
}

/// The derivative of sin(t) / t: near zero the quotient loses its digits, so the series is used.
#[inline(always)]
fn sinc_slope<F: Field>(t: F) -> F {
    let z = t * t;
    let series = [1.0 / 518_918_400.0, -1.0 / 3_991_680.0, 1.0 / 45_360.0, -1.0 / 840.0, 1.0 / 30.0, -1.0 / 3.0];
    let mut sum = F::lit(0.0);
    for c in series {
        sum = sum * z + F::lit(c);
    }
    F::select(t.abs().lt(F::lit(0.5)), t * sum, (t.cos() - t.sin() / t) / t)
}

unary! {
    /// sin(πx) / (πx), element by element, and 1 at 0.
    ///
    /// >>> tg.sinc(tg.Variable([0.0, 0.5]))
    /// Variable([1.        , 0.63661975])
    fn sinc(x) -> y {
        let t = x * F::lit(std::f64::consts::PI);
        F::select(t.eq(F::lit(0.0)), F::lit(1.0), t.sin() / t)
    }
    gradient(x) { F::lit(std::f64::consts::PI) * sinc_slope(x * F::lit(std::f64::consts::PI)) }
    complex Holomorphic(functions::sinc);
    ranged true;
    rule "dy/dx = (cos(πx) - sinc(x)) / x, by its series near 0";
    domain REAL;
}

binary! {
    /// The size of a with the sign of b, element by element. The derivative by b is 0.
    ///
    /// >>> tg.copysign(tg.Variable([1.0, -2.0]), -1.0)
    /// Variable([-1., -2.])
    fn copysign(a, b) -> y { F::select(is_signed(b), -a.abs(), a.abs()) }
    gradient_a(a, b) { F::select(is_signed(b), -a.sign(), a.sign()) }
    gradient_b() { F::lit(0.0) }
    rule "dy/da = ±1, 0 where a is 0; dy/db = 0";
    domain NONZERO, NONZERO;
}

/// The gradient of fmax and fmin: all of it if the other operand is NaN.
#[inline(always)]
fn own_share<F: Field>(own: F, other: F, wins: F::Mask) -> F {
    let half = F::select(own.eq(other), F::lit(0.5), F::lit(0.0));
    let share = F::select(wins, F::lit(1.0), half);
    F::select(own.is_nan(), F::select(other.is_nan(), F::lit(0.5), F::lit(0.0)), F::select(other.is_nan(), F::lit(1.0), share))
}

binary! {
    /// The larger of a and b, element by element, and the number where one is NaN. Ties share the gradient equally.
    ///
    /// >>> tg.fmax(tg.Variable([1.0, tg.nan]), 0.5)
    /// Variable([1. , 0.5])
    fn fmax(a, b) -> y { F::select(a.is_nan(), b, F::select(b.is_nan(), a, a.max(b))) }
    gradient_a(a, b) { own_share(a, b, a.gt(b)) }
    gradient_b(a, b) { own_share(b, a, b.gt(a)) }
    integer { a.max(b) }
    boolean { a | b }
    rule "dy/da = 1 where a > b or b is NaN, 1/2 where a = b, else 0; dy/db likewise";
    domain Domain { low: 0.1, high: 1.0, avoid: &[] }, Domain { low: 1.1, high: 2.0, avoid: &[] };
}

binary! {
    /// The smaller of a and b, element by element, and the number where one is NaN. Ties share the gradient equally.
    ///
    /// >>> tg.fmin(tg.Variable([1.0, tg.nan]), 0.5)
    /// Variable([0.5, 0.5])
    fn fmin(a, b) -> y { F::select(a.is_nan(), b, F::select(b.is_nan(), a, a.min(b))) }
    gradient_a(a, b) { own_share(a, b, a.lt(b)) }
    gradient_b(a, b) { own_share(b, a, b.lt(a)) }
    integer { a.min(b) }
    boolean { a & b }
    rule "dy/da = 1 where a < b or b is NaN, 1/2 where a = b, else 0; dy/db likewise";
    domain Domain { low: 0.1, high: 1.0, avoid: &[] }, Domain { low: 1.1, high: 2.0, avoid: &[] };
}

binary! {
    /// 0 where a is negative, b where it is 0, else 1.
    ///
    /// >>> tg.heaviside(tg.Variable([-1.0, 0.0, 2.0]), 0.5)
    /// Variable([0. , 0.5, 1. ])
    fn heaviside(a, b) -> y {
        let zero = F::lit(0.0);
        F::select(a.is_nan(), a, F::select(a.lt(zero), zero, F::select(a.eq(zero), b, F::lit(1.0))))
    }
    gradient_a() { F::lit(0.0) }
    gradient_b(a) { F::select(a.eq(F::lit(0.0)), F::lit(1.0), F::lit(0.0)) }
    rule "dy/da = 0, dy/db = 1 where a is 0, else 0";
    domain NONZERO, REAL;
}

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&NEXTAFTER];

static NEXTAFTER: Primitive = Primitive {
    name: "nextafter",
    eval: |call| {
        let (a, b) = (call.array(0), call.array(1));
        let shape = broadcast_shapes(a.shape(), b.shape()).ok_or_else(|| Error::broadcast("nextafter", a.shape(), b.shape()))?;
        let out = match a.dtype() {
            DType::F32 => blocks::map([Input::from(a), Input::from(b)], &shape, |[a, b]: [f32; 2]| next32(a, b)),
            _ => blocks::map([Input::from(a), Input::from(b)], &shape, |[a, b]: [f64; 2]| next64(a, b)),
        };
        call.give(out);
        Ok(())
    },
    batch: Batch::Elementwise,
    ..Primitive::BASE
};

macro_rules! next {
    ($name:ident, $t:ident) => {
        /// The neighbour of a towards b.
        #[allow(clippy::float_cmp, reason = "neighbours are exact")]
        fn $name(a: $t, b: $t) -> $t {
            match () {
                () if a.is_nan() || b.is_nan() => a + b,
                () if a == b => b,
                () if b > a => a.next_up(),
                () => a.next_down(),
            }
        }
    };
}
next!(next32, f32);
next!(next64, f64);

/// The next floating number from `a` towards `b`. Its derivative by `a` is 1, by `b` 0.
///
/// # Errors
/// `Shape` when the two do not broadcast.
pub fn nextafter<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Variable> {
    let (a, b) = paired("nextafter", a.into(), b.into(), None)?;
    let y = apply(&NEXTAFTER, &[(&a.detach()).into(), (&b.detach()).into()], &())?;
    if !a.is_tracked() {
        return Ok(y);
    }
    // a - a is zero, and carries the gradient if a is finite.
    let carrier = subtract(&a, &a.detach())?;
    where_(&isfinite(&carrier)?, &add(&y, &carrier)?, &y)
}

/// Two operands as arrays of their common floating dtype (`dtype` if given).
fn paired(op: &str, a: Operand<'_>, b: Operand<'_>, dtype: Option<DType>) -> Result<(Variable, Variable)> {
    let (met, _) = super::define::result_type(op, &a, &b)?;
    let to = dtype.unwrap_or(if met.is_float() { met } else { default_float() });
    let array = |o: Operand<'_>| match o {
        Operand::Variable(v) => astype(v, to),
        Operand::Scalar(s) => Ok(scalar(s, to)),
    };
    Ok((array(a)?, array(b)?))
}

/// aᵇ in float64, or complex128.
///
/// # Errors
/// As `power`.
pub fn float_power<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Variable> {
    let (a, b) = (a.into(), b.into());
    let (met, _) = super::define::result_type("float_power", &a, &b)?;
    let (a, b) = paired("float_power", a, b, Some(if met.is_complex() { DType::C128 } else { DType::F64 }))?;
    power(&a, &b)
}

/// x · 2ⁿ for whole n.
///
/// # Errors
/// `DType` when n is not of an integer dtype, `Shape` when the two do not broadcast.
pub fn ldexp<'a>(x: impl Into<Operand<'a>>, n: impl Into<Operand<'a>>) -> Result<Variable> {
    let (x, n) = (x.into(), n.into());
    let dtype = match n {
        Operand::Variable(v) => v.dtype(),
        Operand::Scalar(s) => s.dtype(),
    };
    if dtype.is_float() {
        return Err(Error::dtype("ldexp", dtype, "an exponent of whole numbers, as int64"));
    }
    let x = match x {
        Operand::Variable(v) if v.dtype().is_float() => v.clone(),
        Operand::Variable(v) => astype(v, default_float())?,
        Operand::Scalar(s) => scalar(s, default_float()),
    };
    // In three steps: 2ⁿ itself may overflow where the result does not.
    let n = match n {
        Operand::Variable(v) => astype(&v.detach(), DType::I64)?,
        Operand::Scalar(s) => scalar(s, DType::I64),
    };
    let most = if x.dtype() == DType::F64 { 3 * 1022 } else { 3 * 126_i64 };
    let n = super::clip(&n, Some((-most).into()), Some(most.into()))?;
    let third = super::floor_divide(&n, 3_i64)?;
    let rest = subtract(&n, &multiply(&third, 2_i64)?)?;
    let [third, rest] = [exp2(&astype(&third, x.dtype())?)?, exp2(&astype(&rest, x.dtype())?)?];
    multiply(&multiply(&multiply(&x, &third)?, &third)?, &rest)
}

/// a + weight · (b - a).
///
/// # Errors
/// `Shape` when the three do not broadcast.
pub fn lerp<'a>(a: &Variable, b: &Variable, weight: impl Into<Operand<'a>>) -> Result<Variable> {
    add(a, &multiply(weight, &subtract(b, a)?)?)
}

/// `x` with NaN replaced by `nan`, and the infinities by `posinf` and `neginf` (`None`: the largest and the smallest number).
///
/// # Errors
/// Those of recording.
pub fn nan_to_num(x: &Variable, nan: f64, posinf: Option<f64>, neginf: Option<f64>) -> Result<Variable> {
    if x.dtype().is_complex() {
        let part = |x: Variable| nan_to_num(&x, nan, posinf, neginf);
        return super::complex(&part(super::real(x)?)?, &part(super::imag(x)?)?);
    }
    if !x.dtype().is_float() {
        return Ok(x.clone());
    }
    let largest = if x.dtype() == DType::F32 { f64::from(f32::MAX) } else { f64::MAX };
    let x = &where_(&isnan(x)?, nan, x)?;
    let x = &where_(&equal(x, f64::INFINITY)?, posinf.unwrap_or(largest), x)?;
    where_(&equal(x, f64::NEG_INFINITY)?, neginf.unwrap_or(-largest), x)
}

/// Whether |a - b| ≤ atol + rtol · |b|, element by element.
///
/// # Errors
/// `Shape` when the two do not broadcast.
pub fn isclose<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>, rtol: f64, atol: f64, equal_nan: bool) -> Result<Variable> {
    let (a, b) = (a.into(), b.into());
    let (met, _) = super::define::result_type("isclose", &a, &b)?;
    let (a, b) = paired("isclose", a, b, met.is_complex().then_some(met))?;
    let (a, b) = (a.detach(), b.detach());
    let bound = add(&multiply(&super::abs(&b)?, rtol)?, atol)?;
    let near = less_equal(&super::abs(&subtract(&a, &b)?)?, &bound)?;
    let near = logical_or(&logical_and(&near, &logical_and(&isfinite(&a)?, &isfinite(&b)?)?)?, &equal(&a, &b)?)?;
    if equal_nan { logical_or(&near, &logical_and(&isnan(&a)?, &isnan(&b)?)?) } else { Ok(near) }
}

/// Whether two arrays have the same shape and equal elements; with `broadcast`, whether they are equal after broadcasting.
///
/// # Errors
/// Those of comparisons.
pub fn array_equal(a: &Variable, b: &Variable, equal_nan: bool, broadcast: bool) -> Result<Variable> {
    let fits = if broadcast { broadcast_shapes(a.shape(), b.shape()).is_some() } else { a.shape() == b.shape() };
    if !fits {
        return Ok(scalar(false, DType::Bool));
    }
    let mut same = equal(a, b)?;
    if equal_nan && a.dtype().is_float() && b.dtype().is_float() {
        same = logical_or(&same, &logical_and(&isnan(a)?, &isnan(b)?)?)?;
    }
    all(&same, None, false)
}

fn call_close(a: &Args<'_>) -> Result<Variable> {
    isclose(a.operand(0)?, a.operand(1)?, a.float(2)?, a.float(3)?, a.flag(4)?)
}

fn call_nan_to_num(a: &Args<'_>) -> Result<Value> {
    if !a.flag(1)? {
        return Err(Error::Value("nan_to_num: copy=False, which writes into x, is not available; use x.nan_to_num_()".to_owned()));
    }
    Ok(nan_to_num(&a.variable(0)?, a.float(2)?, a.opt_float(3)?, a.opt_float(4)?)?.into())
}

const CLOSE: &[Param] =
    &[Param::array("a"), Param::array("b"), Param::float("rtol", 1e-5), Param::float("atol", 1e-8), Param::flag("equal_nan", false)];

const PAIR: &[Param] = &[Param::array("a"), Param::array("b")];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    exp2::ENTRY.costs(3.0),
    cbrt::ENTRY.costs(5.0),
    deg2rad::ENTRY.alias(&["radians"]),
    rad2deg::ENTRY.alias(&["degrees"]),
    rsqrt::ENTRY,
    sinc::ENTRY.costs(3.0),
    copysign::ENTRY,
    fmax::ENTRY,
    fmin::ENTRY,
    heaviside::ENTRY,
    Entry {
        name: "nextafter",
        doc: "The next floating number from a towards b, element by element. Its derivative by a is 1, by b 0.\n\n>>> tg.nextafter(tg.Variable([1.0]), 2.0) > 1.0\nVariable([ True])\n",
        params: PAIR,
        call: |a| Ok(nextafter(a.operand(0)?, a.operand(1)?)?.into()),
        gradient: Gradient::Composite("g for a"),
        samples: pair_samples,
        ..Entry::BASE
    },
    Entry {
        name: "float_power",
        doc: "a to the power b in float64, element by element.\n\n>>> tg.float_power(tg.Variable([2, 3]), -1)\nVariable([0.5       , 0.33333333], dtype=float64)\n",
        params: PAIR,
        call: |a| Ok(float_power(a.operand(0)?, a.operand(1)?)?.into()),
        gradient: Gradient::Composite("that of power"),
        samples: || Domain::binary_samples([POSITIVE, REAL]),
        ..Entry::BASE
    },
    Entry {
        name: "ldexp",
        doc: "x times 2 to the power n, for whole n.\n\n>>> tg.ldexp(tg.Variable([1.0, 3.0]), tg.Variable([4, -1]))\nVariable([16. ,  1.5])\n",
        params: &[Param::array("x"), Param::array("n")],
        call: |a| Ok(ldexp(a.operand(0)?, a.operand(1)?)?.into()),
        gradient: Gradient::Composite("g 2ⁿ"),
        samples: ldexp_samples,
        ..Entry::BASE
    },
    Entry {
        name: "lerp",
        doc: "The way from a to b, walked by a weight: a + weight (b - a).\n\n>>> tg.lerp(tg.Variable([0.0, 10.0]), tg.Variable([10.0, 20.0]), 0.25)\nVariable([ 2.5, 12.5])\n",
        params: &[Param::array("a"), Param { alias: Some("end"), ..Param::array("b") }, Param::array("weight")],
        call: |a| Ok(lerp(&a.variable(0)?, &a.variable(1)?, a.operand(2)?)?.into()),
        gradient: Gradient::Composite("g (1 - weight), g weight, g (b - a)"),
        samples: lerp_samples,
        ..Entry::BASE
    },
    Entry {
        name: "nan_to_num",
        doc: "x with NaN replaced by nan, infinity by posinf (None: the largest number) and minus infinity by neginf (None: the smallest). No gradient flows to what is replaced. copy=False, which would write into x, raises ValueError: use x.nan_to_num_().\n\n>>> tg.nan_to_num(tg.Variable([1.0, float(\"nan\")]))\nVariable([1., 0.])\n",
        params: &[
            Param::array("x"),
            Param::flag("copy", true),
            Param::float("nan", 0.0),
            Param::new("posinf", Kind::OptFloat).or(Default::None),
            Param::new("neginf", Kind::OptFloat).or(Default::None),
        ],
        call: call_nan_to_num,
        gradient: Gradient::Composite("g where x is finite, else 0"),
        samples: || vec![call_with(REAL.strided(&mut Draw::new(301), &[2, 3]), [Arg::Bool(true), Arg::Float(0.0), Arg::None, Arg::None])],
        ..Entry::BASE
    },
    Entry {
        name: "isclose",
        doc: "Whether a and b are close, element by element: |a - b| <= atol + rtol |b|. NaN is close to NaN only if equal_nan.\n\n>>> tg.isclose(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 2.1]))\nVariable([ True, False])\n",
        params: CLOSE,
        call: |a| Ok(call_close(a)?.into()),
        samples: close_samples,
        ..Entry::BASE
    },
    Entry {
        name: "allclose",
        doc: "Whether all elements of a and b are close, as isclose has it.\n\n>>> tg.allclose(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 2.0]))\nVariable(True)\n",
        params: CLOSE,
        call: |a| Ok(all(&call_close(a)?, None, false)?.into()),
        samples: close_samples,
        ..Entry::BASE
    },
    Entry {
        name: "array_equal",
        doc: "Whether two arrays have one shape and equal elements; with equal_nan NaN equals NaN.\n\n>>> tg.array_equal(tg.Variable([1.0, 2.0]), [1.0, 2.0])\nVariable(True)\n",
        params: &[Param::array("a"), Param::array("b"), Param::flag("equal_nan", false)],
        call: |a| Ok(array_equal(&a.variable(0)?, &a.variable(1)?, a.flag(2)?, false)?.into()),
        samples: pair_flag_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "array_equiv",
        doc: "Whether two arrays are equal once they are broadcast to one shape.\n\n>>> tg.array_equiv(tg.Variable([1.0, 2.0]), [[1.0, 2.0], [1.0, 2.0]])\nVariable(True)\n",
        params: PAIR,
        call: |a| Ok(array_equal(&a.variable(0)?, &a.variable(1)?, false, true)?.into()),
        samples: pair_samples,
        ..Entry::BASE
    }
    .no_method(),
];

fn pair_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(302);
    vec![
        call_with(REAL.array(draw, &[2, 3]), [Arg::Variable(REAL.strided(draw, &[2, 3]))]),
        call_with(REAL.array(draw, &[]), [Arg::Variable(REAL.array(draw, &[3]))]),
        call_with(REAL.array(draw, &[0, 3]), [Arg::Variable(REAL.array(draw, &[3]))]),
    ]
}

fn pair_flag_samples() -> Vec<Sample> {
    pair_samples().into_iter().map(|s| Sample { args: s.args.into_iter().chain([Arg::Bool(false)]).collect() }).collect()
}

fn close_samples() -> Vec<Sample> {
    let rest = [Arg::Float(1e-5), Arg::Float(1e-8), Arg::Bool(false)];
    pair_samples().into_iter().map(|s| Sample { args: s.args.into_iter().chain(rest.clone()).collect() }).collect()
}

fn ldexp_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(303);
    let n: Variable = Array::from_slice(&[3_i64, -2, 0], &[3]).into();
    vec![call_with(REAL.strided(draw, &[2, 3]), [Arg::Variable(n)]), call_with(REAL.array(draw, &[]), [Arg::Scalar(4_i64.into())])]
}

fn lerp_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(304);
    vec![
        call_with(REAL.array(draw, &[2, 3]), [Arg::Variable(REAL.strided(draw, &[2, 3])), Arg::Variable(REAL.array(draw, &[3]))]),
        call_with(REAL.array(draw, &[3]), [Arg::Variable(REAL.array(draw, &[])), Arg::Scalar(0.25.into())]),
    ]
}
