//! What makes an elementwise operation of a formula: the traits, and the two macros that fill them in.
//!
//! ```text
//! unary! {
//!     /// Hyperbolic tangent.
//!     fn tanh(x) -> y { x.tanh() }
//!     gradient(y) { F::lit(1.0) - y * y }
//!     domain REAL;
//! }
//! ```
//! becomes a type `tanh` that implements [`Unary`] and a function `tanh(&Variable) -> Result<Variable>`. The factor in
//! `gradient` names what it needs: `y` makes the tape save the output, `x` the input. The text is compiled three
//! times: into SIMD loops over `f32` and `f64`, and into recorded operations for gradients of gradients.

use std::marker::PhantomData;

use super::registry::{Args, Entry, Gradient, Operand, Param, Value};
use super::samples::Domain;
use super::shape::astype;
use super::traced::{Trace, Traced};
use crate::array::{Array, DType, Element, Scalar, Shape, broadcast_shapes, default_float};
use crate::dispatch;
use crate::error::{Error, Result};
use crate::kernel::blocks::{self, Input};
use crate::kernel::field::{Field, Lane};
use crate::kernel::map::{self, Pointwise};
use crate::kernel::simd::Baseline;
use crate::tape::{Attrs, Grads, Op, Rule, Step, Variable, record};

/// Which values a factor needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saves {
    /// The first input.
    pub a: bool,
    /// The second input, of a binary operation.
    pub b: bool,
    /// The output.
    pub y: bool,
}

impl Saves {
    /// Reads the names that a factor asks for.
    #[must_use]
    pub const fn of(names: &[&str], a: &str, b: &str) -> Self {
        let mut saves = Self { a: false, b: false, y: false };
        let mut i = 0;
        while i < names.len() {
            if same(names[i], a) {
                saves.a = true;
            } else if same(names[i], b) {
                saves.b = true;
            } else {
                saves.y = true;
            }
            i += 1;
        }
        saves
    }
}

/// `==` of strings, in constants.
#[must_use]
pub const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Integers with NumPy's arithmetic: it wraps around.
pub trait Integer: Element + Ord {
    /// A constant.
    fn lit(v: i64) -> Self;
    /// a + b
    #[must_use]
    fn add(self, o: Self) -> Self;
    /// a - b
    #[must_use]
    fn sub(self, o: Self) -> Self;
    /// a · b
    #[must_use]
    fn mul(self, o: Self) -> Self;
    /// |a|
    #[must_use]
    fn abs(self) -> Self;
    /// -1, 0 or 1
    #[must_use]
    fn signum(self) -> Self;
    /// The quotient rounded down; 0 when b is 0, as NumPy.
    #[must_use]
    fn floor_div(self, o: Self) -> Self;
    /// What remains of it, with the sign of b; 0 when b is 0.
    #[must_use]
    fn modulo(self, o: Self) -> Self;
    /// What remains of the quotient rounded towards zero, with the sign of a; 0 when b is 0.
    #[must_use]
    fn remainder(self, o: Self) -> Self;
    /// aᵇ for b ≥ 0.
    #[must_use]
    fn power(self, o: Self) -> Self;
}

macro_rules! integer {
    ($t:ident, $abs:expr, $signum:expr) => {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, trivial_numeric_casts, unused_comparisons, reason = "NumPy's conversions")]
        impl Integer for $t {
            fn lit(v: i64) -> Self {
                v as Self
            }
            fn add(self, o: Self) -> Self {
                self.wrapping_add(o)
            }
            fn sub(self, o: Self) -> Self {
                self.wrapping_sub(o)
            }
            fn mul(self, o: Self) -> Self {
                self.wrapping_mul(o)
            }
            fn abs(self) -> Self {
                $abs(self)
            }
            fn signum(self) -> Self {
                $signum(self)
            }
            fn floor_div(self, o: Self) -> Self {
                if o == 0 {
                    return 0;
                }
                let q = self.wrapping_div(o);
                if self.wrapping_rem(o) != 0 && (self < 0) != (o < 0) { q.wrapping_sub(1) } else { q }
            }
            fn modulo(self, o: Self) -> Self {
                if o == 0 {
                    return 0;
                }
                let r = self.wrapping_rem(o);
                if r != 0 && (r < 0) != (o < 0) { r.wrapping_add(o) } else { r }
            }
            fn remainder(self, o: Self) -> Self {
                if o == 0 { 0 } else { self.wrapping_rem(o) }
            }
            fn power(self, o: Self) -> Self {
                let (mut base, mut left, mut out) = (self, o, 1 as Self);
                while left > 0 {
                    if left & 1 == 1 {
                        out = out.wrapping_mul(base);
                    }
                    base = base.wrapping_mul(base);
                    left >>= 1;
                }
                out
            }
        }
    };
}
integer!(u8, |x| x, |x: u8| x.min(1));
integer!(i32, i32::wrapping_abs, i32::signum);
integer!(i64, i64::wrapping_abs, i64::signum);

/// An operation on one array, element by element.
pub trait Unary: 'static {
    /// Its name.
    const NAME: &'static str;
    /// Its doc.
    const DOC: &'static str;
    /// Its gradient, as text.
    const GRADIENT: &'static str;
    /// The array and the numbers it takes.
    const PARAMS: &'static [Param];
    /// What its factor needs.
    const SAVES: Saves;
    /// Where samples come from.
    const DOMAIN: Domain;
    /// Whether it is defined on integers.
    const INTEGERS: bool = false;
    /// Whether a formula has a function with a fast range (sin, cos, tan).
    const RANGED: bool = false;
    /// Nanoseconds an element.
    const COST: f64 = 1.0;
    /// y of x.
    fn forward<F: Field>(x: F, p: [F; 2]) -> F;
    /// dy/dx.
    fn factor<F: Field>(x: F, y: F, p: [F; 2]) -> F;
    /// y of an integer x.
    fn integer<I: Integer>(x: I, _p: [f64; 2]) -> I {
        x
    }
    /// The tape's view of it.
    const OP: &'static Op = &Op { name: Self::NAME, rule: Rule::Vjp(unary_vjp::<Self>) };
    /// Its row.
    const ENTRY: Entry = Entry {
        name: Self::NAME,
        doc: Self::DOC,
        params: Self::PARAMS,
        call: call_unary::<Self>,
        gradient: Gradient::Rule(Self::GRADIENT),
        samples: || Self::DOMAIN.unary_samples(Self::PARAMS),
        ..Entry::BASE
    };
}

fn call_unary<U: Unary + ?Sized>(a: &Args<'_>) -> Result<Value> {
    let mut p = [0.0; 2];
    for (i, p) in p.iter_mut().enumerate().take(U::PARAMS.len() - 1) {
        *p = a.float(i + 1)?;
    }
    Ok(apply_unary::<U>(&a.variable(0)?, p)?.into())
}

struct Forward<U: ?Sized>(PhantomData<U>);

impl<U: Unary + ?Sized> Pointwise<1> for Forward<U> {
    const COST: f64 = U::COST;
    const RANGED: bool = U::RANGED;
    #[inline(always)]
    fn eval<F: Field>([x]: [F; 1], p: [F; 2]) -> F {
        U::forward(x, p)
    }
}

/// g ⊗ dy/dx, for the values that the factor needs.
struct Backward<U: ?Sized>(PhantomData<U>);

impl<U: Unary + ?Sized> Pointwise<1> for Backward<U> {
    #[inline(always)]
    fn eval<F: Field>([g]: [F; 1], p: [F; 2]) -> F {
        g.annihilate(U::factor(g, g, p))
    }
}

impl<U: Unary + ?Sized> Pointwise<2> for Backward<U> {
    const COST: f64 = U::COST;
    const RANGED: bool = U::RANGED;
    #[inline(always)]
    fn eval<F: Field>([g, s]: [F; 2], p: [F; 2]) -> F {
        g.annihilate(U::factor(s, s, p))
    }
}

impl<U: Unary + ?Sized> Pointwise<3> for Backward<U> {
    const COST: f64 = U::COST;
    const RANGED: bool = U::RANGED;
    #[inline(always)]
    fn eval<F: Field>([g, x, y]: [F; 3], p: [F; 2]) -> F {
        g.annihilate(U::factor(x, y, p))
    }
}

/// Applies `U`.
///
/// # Errors
/// Those of recording.
pub fn apply_unary<U: Unary + ?Sized>(x: &Variable, p: [f64; 2]) -> Result<Variable> {
    let dtype = x.dtype();
    if dtype.is_float() {
        let out = map::map::<Forward<U>, 1>([Input::from(x.array())], x.shape(), dtype, p);
        return record(U::OP, &[x], out, |s| {
            if U::SAVES.a {
                s.input(0);
            }
            if U::SAVES.y {
                s.output(0);
            }
            if U::PARAMS.len() > 1 {
                s.attrs(Attrs::Scalars(p));
            }
        });
    }
    if U::INTEGERS {
        let out = dispatch!(integer dtype, T => blocks::map([Input::from(x.array())], x.shape(), |[x]: [T; 1]| U::integer(x, p)),
            else return apply_unary::<U>(&astype(x, DType::U8)?, p).and_then(|y| astype(&y, DType::Bool)));
        return Ok(out.into());
    }
    apply_unary::<U>(&astype(x, default_float())?, p)
}

fn unary_vjp<U: Unary + ?Sized>(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let p = step.attrs().scalars();
    if step.create_graph() {
        let trace = Trace::new(g.dtype());
        let x = if U::SAVES.a { trace.value(step.input(0)) } else { Traced::Lit(0.0) };
        let y = if U::SAVES.y { trace.value(step.output(0)) } else { Traced::Lit(0.0) };
        let factor = U::factor(x, y, p.map(Traced::Lit));
        let out = trace.value(g).annihilate(factor);
        return Ok(Grads::from_iter([Some(trace.finish(out)?)]));
    }
    let mut g = g.into_array();
    match (U::SAVES.a, U::SAVES.y) {
        (false, false) => apply::<Backward<U>, 0, 1>(&mut g, [], p),
        (true, false) => apply::<Backward<U>, 1, 2>(&mut g, [Input::from(step.input_array(0))], p),
        (false, true) => apply::<Backward<U>, 1, 2>(&mut g, [Input::from(step.output_array(0))], p),
        (true, true) => apply::<Backward<U>, 2, 3>(&mut g, [Input::from(step.input_array(0)), Input::from(step.output_array(0))], p),
    }
    Ok(Grads::from_iter([Some(g.into())]))
}

/// `g` becomes the formula of `g` and `inputs`, in its own buffer when nobody else holds it.
fn apply<P: Pointwise<M>, const N: usize, const M: usize>(g: &mut Array, inputs: [Input<'_>; N], p: [f64; 2]) {
    if g.is_unique() {
        return map::update::<P, N, M>(g, inputs, p);
    }
    let all: [Input<'_>; M] = std::array::from_fn(|i| if i == 0 { Input::Array(g) } else { inputs[i - 1] });
    *g = map::map::<P, M>(all, g.shape(), g.dtype(), p);
}

/// An operation on two arrays, element by element, with broadcasting.
pub trait Binary: 'static {
    /// Its name.
    const NAME: &'static str;
    /// Its doc.
    const DOC: &'static str;
    /// Its gradients, as text.
    const GRADIENT: &'static str;
    /// What the factor of the first input needs.
    const SAVES_A: Saves;
    /// What the factor of the second input needs.
    const SAVES_B: Saves;
    /// Where samples of the two come from.
    const DOMAIN: [Domain; 2];
    /// Whether it is defined on integers.
    const INTEGERS: bool = false;
    /// Whether it is defined on bools.
    const BOOLS: bool = false;
    /// Nanoseconds an element.
    const COST: f64 = 1.0;
    /// y of a and b.
    fn forward<F: Field>(a: F, b: F) -> F;
    /// dy/da.
    fn factor_a<F: Field>(a: F, b: F, y: F) -> F;
    /// dy/db.
    fn factor_b<F: Field>(a: F, b: F, y: F) -> F;
    /// y of integers.
    fn integer<I: Integer>(a: I, _b: I) -> I {
        a
    }
    /// y of bools.
    fn boolean(a: bool, _b: bool) -> bool {
        a
    }
    /// What integers must satisfy beyond their dtype.
    ///
    /// # Errors
    /// `Value` when they do not.
    fn check_integers(_a: &Operand<'_>, _b: &Operand<'_>) -> Result<()> {
        Ok(())
    }
    /// The tape's view of it.
    const OP: &'static Op = &Op { name: Self::NAME, rule: Rule::Vjp(binary_vjp::<Self>) };
    /// Its row.
    const ENTRY: Entry = Entry {
        name: Self::NAME,
        doc: Self::DOC,
        params: &[Param::array("a"), Param::array("b")],
        call: |a| Ok(apply_binary::<Self>(a.operand(0)?, a.operand(1)?)?.into()),
        gradient: Gradient::Rule(Self::GRADIENT),
        samples: || Domain::binary_samples(Self::DOMAIN),
        ..Entry::BASE
    };
}

struct Forward2<B: ?Sized>(PhantomData<B>);

impl<B: Binary + ?Sized> Pointwise<2> for Forward2<B> {
    const COST: f64 = B::COST;
    #[inline(always)]
    fn eval<F: Field>([a, b]: [F; 2], _: [F; 2]) -> F {
        B::forward(a, b)
    }
}

struct BackwardA<B: ?Sized>(PhantomData<B>);

/// The factor is a constant.
impl<B: Binary + ?Sized> Pointwise<1> for BackwardA<B> {
    #[inline(always)]
    fn eval<F: Field>([g]: [F; 1], _: [F; 2]) -> F {
        g.annihilate(B::factor_a(g, g, g))
    }
}

/// The factor needs one value.
impl<B: Binary + ?Sized> Pointwise<2> for BackwardA<B> {
    const COST: f64 = B::COST;
    #[inline(always)]
    fn eval<F: Field>([g, s]: [F; 2], _: [F; 2]) -> F {
        g.annihilate(B::factor_a(s, s, s))
    }
}

impl<B: Binary + ?Sized> Pointwise<4> for BackwardA<B> {
    const COST: f64 = B::COST;
    #[inline(always)]
    fn eval<F: Field>([g, a, b, y]: [F; 4], _: [F; 2]) -> F {
        g.annihilate(B::factor_a(a, b, y))
    }
}

struct BackwardB<B: ?Sized>(PhantomData<B>);

/// The factor is a constant.
impl<B: Binary + ?Sized> Pointwise<1> for BackwardB<B> {
    #[inline(always)]
    fn eval<F: Field>([g]: [F; 1], _: [F; 2]) -> F {
        g.annihilate(B::factor_b(g, g, g))
    }
}

/// The factor needs one value.
impl<B: Binary + ?Sized> Pointwise<2> for BackwardB<B> {
    const COST: f64 = B::COST;
    #[inline(always)]
    fn eval<F: Field>([g, s]: [F; 2], _: [F; 2]) -> F {
        g.annihilate(B::factor_b(s, s, s))
    }
}

impl<B: Binary + ?Sized> Pointwise<4> for BackwardB<B> {
    const COST: f64 = B::COST;
    #[inline(always)]
    fn eval<F: Field>([g, a, b, y]: [F; 4], _: [F; 2]) -> F {
        g.annihilate(B::factor_b(a, b, y))
    }
}

/// The dtype and shape that two operands meet in.
///
/// # Errors
/// `Shape` when they do not broadcast.
pub fn meet(op: &str, a: &Operand<'_>, b: &Operand<'_>) -> Result<(DType, Shape)> {
    Ok(match (a, b) {
        (Operand::Variable(a), Operand::Variable(b)) => {
            let shape = if a.shape() == b.shape() { Some(Shape::from_slice(a.shape())) } else { broadcast_shapes(a.shape(), b.shape()) };
            (a.dtype().promote(b.dtype()), shape.ok_or_else(|| Error::broadcast(op, a.shape(), b.shape()))?)
        }
        (Operand::Variable(v), Operand::Scalar(s)) | (Operand::Scalar(s), Operand::Variable(v)) => {
            (s.promote(v.dtype()), Shape::from_slice(v.shape()))
        }
        (Operand::Scalar(a), Operand::Scalar(b)) => (a.dtype().promote(b.dtype()), Shape::new()),
    })
}

/// Applies `B`.
///
/// # Errors
/// `Shape` when the operands do not broadcast, `DType` when the operation is not defined on theirs.
pub fn apply_binary<B: Binary + ?Sized>(a: Operand<'_>, b: Operand<'_>) -> Result<Variable> {
    if let (Operand::Variable(x), Operand::Variable(y)) = (a, b)
        && x.dtype() == y.dtype()
        && x.shape() == y.shape()
        && let Some(out) = map::map_alike::<Forward2<B>, 2>([x.array(), y.array()], [0.0; 2])
    {
        return record_pair::<B>(x, y, out);
    }
    let (dtype, shape) = meet(B::NAME, &a, &b)?;
    if dtype.is_float() {
        return float_binary::<B>(a, b, dtype, &shape);
    }
    if dtype == DType::Bool {
        if !B::BOOLS {
            return if B::INTEGERS {
                Err(Error::dtype(B::NAME, dtype, "numbers; astype(int64) the operands, or use the logical operators ^ & |"))
            } else {
                float_binary::<B>(a, b, default_float(), &shape)
            };
        }
        let (a, b) = (cast(a, dtype)?, cast(b, dtype)?);
        return Ok(blocks::map([input(&a), input(&b)], &shape, |[x, y]: [bool; 2]| B::boolean(x, y)).into());
    }
    if !B::INTEGERS {
        return float_binary::<B>(a, b, default_float(), &shape);
    }
    B::check_integers(&a, &b)?;
    let (a, b) = (cast(a, dtype)?, cast(b, dtype)?);
    let inputs = [input(&a), input(&b)];
    Ok(dispatch!(integer dtype, T => {
        check_range::<T>(B::NAME, &inputs)?;
        blocks::map(inputs, &shape, |[x, y]: [T; 2]| B::integer(x, y))
    }, else unreachable!("bool and float were handled"))
    .into())
}

/// A Python int that the integer dtype cannot hold raises, as in NumPy.
fn check_range<T: Element>(op: &str, inputs: &[Input<'_>]) -> Result<()> {
    for i in inputs {
        if let Input::Scalar(Scalar::Int(v)) = i
            && T::from_scalar(Scalar::Int(*v)).to_scalar() != Scalar::Int(*v)
        {
            return Err(Error::Value(format!("{op}: the Python int {v} is out of bounds for {}", T::DTYPE)));
        }
    }
    Ok(())
}

fn input<'a>(o: &'a Cast<'_>) -> Input<'a> {
    match o {
        Cast::Same(v) => Input::Array(v.array()),
        Cast::New(v) => Input::Array(v.array()),
        Cast::Scalar(s) => Input::Scalar(*s),
    }
}

/// An operand in the common dtype.
enum Cast<'a> {
    Same(&'a Variable),
    New(Variable),
    Scalar(Scalar),
}

impl Cast<'_> {
    fn variable(&self) -> Option<&Variable> {
        match self {
            Self::Same(v) => Some(v),
            Self::New(v) => Some(v),
            Self::Scalar(_) => None,
        }
    }
}

fn cast(o: Operand<'_>, dtype: DType) -> Result<Cast<'_>> {
    Ok(match o {
        Operand::Scalar(s) => Cast::Scalar(s),
        Operand::Variable(v) if v.dtype() == dtype => Cast::Same(v),
        Operand::Variable(v) => Cast::New(astype(v, dtype)?),
    })
}

fn float_binary<B: Binary + ?Sized>(a: Operand<'_>, b: Operand<'_>, dtype: DType, shape: &[usize]) -> Result<Variable> {
    let (a, b) = (cast(a, dtype)?, cast(b, dtype)?);
    let out = map::map::<Forward2<B>, 2>([input(&a), input(&b)], shape, dtype, [0.0; 2]);
    match (a.variable(), b.variable()) {
        (Some(x), Some(y)) => record_pair::<B>(x, y, out),
        (Some(x), None) => record_scalar::<B>(x, &b, out, false),
        (None, Some(y)) => record_scalar::<B>(y, &a, out, true),
        (None, None) => Ok(out.into()),
    }
}

/// An operation of two arrays: keeps what the wanted factors need.
fn record_pair<B: Binary + ?Sized>(x: &Variable, y: &Variable, out: Array) -> Result<Variable> {
    record(B::OP, &[x, y], out, |s| {
        let (na, nb) = (s.needs(0), s.needs(1));
        let wants = |f: fn(Saves) -> bool| (na && f(B::SAVES_A)) || (nb && f(B::SAVES_B));
        if wants(|s| s.a) {
            s.input(0);
        }
        if wants(|s| s.b) {
            s.input(1);
        }
        if wants(|s| s.y) {
            s.output(0);
        }
    })
}

/// An operation of an array and a number: one input, the number in the attributes.
fn record_scalar<B: Binary + ?Sized>(x: &Variable, scalar: &Cast<'_>, out: Array, scalar_first: bool) -> Result<Variable> {
    let Cast::Scalar(value) = scalar else { unreachable!("one operand is a number") };
    let saves = if scalar_first { B::SAVES_B } else { B::SAVES_A };
    record(B::OP, &[x], out, |s| {
        if if scalar_first { saves.b } else { saves.a } {
            s.input(0);
        }
        if saves.y {
            s.output(0);
        }
        s.attrs(Attrs::Scalars([value.as_f64(), f64::from(u8::from(scalar_first))]));
    })
}

fn binary_vjp<B: Binary + ?Sized>(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    if let Attrs::Scalars([value, first]) = *step.attrs() {
        let side = usize::from(first != 0.0);
        return Ok(Grads::from_iter([Some(one_side::<B>(step, g, side, Some(value))?)]));
    }
    let (na, nb) = (step.needs(0), step.needs(1));
    let ga = if na { Some(one_side::<B>(step, g.clone(), 0, None)?) } else { None };
    let gb = if nb { Some(one_side::<B>(step, g, 1, None)?) } else { None };
    Ok(Grads::from_iter([ga, gb]))
}

/// g ⊗ dy/da (side 0) or g ⊗ dy/db (side 1); with a number on the other side, the array is input 0.
#[allow(clippy::float_cmp, reason = "the constant factor one needs no product")]
fn one_side<B: Binary + ?Sized>(step: &Step<'_>, g: Variable, side: usize, scalar: Option<f64>) -> Result<Variable> {
    let saves = if side == 0 { B::SAVES_A } else { B::SAVES_B };
    if saves == (Saves { a: false, b: false, y: false }) {
        let any = Lane::<f64, Baseline>::lit(0.0);
        let factor = if side == 0 { B::factor_a(any, any, any) } else { B::factor_b(any, any, any) };
        if factor.value() == 1.0 {
            return Ok(g);
        }
    }
    // Which input holds operand k, or the number that stands for it.
    let place = |k: usize| match scalar {
        Some(_) if k == side => Ok(0),
        Some(value) => Err(value),
        None => Ok(u8::from(k == 1)),
    };
    if step.create_graph() {
        let trace = Trace::new(g.dtype());
        let operand = |wanted: bool, k: usize| match place(k) {
            Err(value) => Traced::Lit(value),
            Ok(i) if wanted => trace.value(step.input(i)),
            Ok(_) => Traced::Lit(0.0),
        };
        let (a, b) = (operand(saves.a, 0), operand(saves.b, 1));
        let y = if saves.y { trace.value(step.output(0)) } else { Traced::Lit(0.0) };
        let factor = if side == 0 { B::factor_a(a, b, y) } else { B::factor_b(a, b, y) };
        let out = trace.value(g).annihilate(factor);
        return trace.finish(out);
    }
    let mut g = g.into_array();
    let operand = |wanted: bool, k: usize| match place(k) {
        _ if !wanted => None,
        Err(value) => Some(Input::Scalar(Scalar::Float(value))),
        Ok(i) => Some(Input::Array(step.input_array(i))),
    };
    let y = saves.y.then(|| Input::Array(step.output_array(0)));
    let needed = [operand(saves.a, 0), operand(saves.b, 1), y];
    // What a factor does not name may be anything: the first thing it does name costs nothing more.
    let mut named = needed.iter().flatten();
    match (named.next().copied(), named.next().is_some(), side) {
        (None, _, 0) => apply::<BackwardA<B>, 0, 1>(&mut g, [], [0.0; 2]),
        (None, ..) => apply::<BackwardB<B>, 0, 1>(&mut g, [], [0.0; 2]),
        (Some(one), false, 0) => apply::<BackwardA<B>, 1, 2>(&mut g, [one], [0.0; 2]),
        (Some(one), false, _) => apply::<BackwardB<B>, 1, 2>(&mut g, [one], [0.0; 2]),
        (Some(any), true, 0) => apply::<BackwardA<B>, 3, 4>(&mut g, needed.map(|i| i.unwrap_or(any)), [0.0; 2]),
        (Some(any), true, _) => apply::<BackwardB<B>, 3, 4>(&mut g, needed.map(|i| i.unwrap_or(any)), [0.0; 2]),
    }
    Ok(g.into())
}

/// A unary operation from its formulas; see the top of this file.
macro_rules! unary {
    (
        $(#[doc = $doc:literal])+
        fn $name:ident($x:ident $(, $param:ident = $default:literal)*) -> $y:ident $forward:block
        gradient($($saved:ident),*) $factor:block
        $(integer($i:ident) $integer:block)?
        $(ranged $ranged:literal;)?
        domain $domain:expr;
    ) => {
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "it stands for the function of the same name")]
        #[derive(Debug)]
        pub enum $name {}
        impl $crate::ops::define::Unary for $name {
            const NAME: &'static str = stringify!($name);
            const DOC: &'static str = concat!($($doc, "\n"),+);
            const GRADIENT: &'static str = concat!("dy/dx = ", stringify!($factor));
            const PARAMS: &'static [$crate::ops::registry::Param] =
                &[$crate::ops::registry::Param::array("x") $(, $crate::ops::registry::Param::float(stringify!($param), $default))*];
            const SAVES: $crate::ops::define::Saves = $crate::ops::define::Saves::of(&[$(stringify!($saved)),*], stringify!($x), "");
            const DOMAIN: $crate::ops::samples::Domain = $domain;
            $(const RANGED: bool = $ranged;)?
            #[inline(always)]
            #[allow(unused_variables, clippy::unused_unit, reason = "a formula names what it uses")]
            fn forward<F: $crate::kernel::field::Field>($x: F, p: [F; 2]) -> F {
                let [$($param,)* ..] = p;
                $forward
            }
            #[inline(always)]
            #[allow(unused_variables, reason = "a formula names what it uses")]
            fn factor<F: $crate::kernel::field::Field>(x: F, y: F, p: [F; 2]) -> F {
                let [$($param,)* ..] = p;
                $(let $saved = if const { $crate::ops::define::same(stringify!($saved), stringify!($x)) } { x } else { y };)*
                $factor
            }
            $(
                const INTEGERS: bool = true;
                fn integer<I: $crate::ops::define::Integer>($i: I, _: [f64; 2]) -> I $integer
            )?
        }
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// Those of recording.
        pub fn $name(x: &$crate::tape::Variable $(, $param: f64)*) -> $crate::error::Result<$crate::tape::Variable> {
            #[allow(unused_mut, unused_assignments, unused_variables, reason = "most operations take no numbers")]
            let p = {
                let mut p = [0.0; 2];
                let mut i = 0;
                $(p[i] = $param; i += 1;)*
                p
            };
            $crate::ops::define::apply_unary::<$name>(x, p)
        }
    };
}

/// A binary operation from its formulas.
macro_rules! binary {
    (
        $(#[doc = $doc:literal])+
        fn $name:ident($a:ident, $b:ident) -> $y:ident $forward:block
        gradient_a($($sa:ident),*) $fa:block
        gradient_b($($sb:ident),*) $fb:block
        $(integer $integer:block)?
        $(check $check:expr;)?
        $(boolean $boolean:block)?
        domain $da:expr, $db:expr;
    ) => {
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "it stands for the function of the same name")]
        #[derive(Debug)]
        pub enum $name {}
        impl $crate::ops::define::Binary for $name {
            const NAME: &'static str = stringify!($name);
            const DOC: &'static str = concat!($($doc, "\n"),+);
            const GRADIENT: &'static str = concat!("dy/da = ", stringify!($fa), ", dy/db = ", stringify!($fb));
            const SAVES_A: $crate::ops::define::Saves = $crate::ops::define::Saves::of(&[$(stringify!($sa)),*], stringify!($a), stringify!($b));
            const SAVES_B: $crate::ops::define::Saves = $crate::ops::define::Saves::of(&[$(stringify!($sb)),*], stringify!($a), stringify!($b));
            const DOMAIN: [$crate::ops::samples::Domain; 2] = [$da, $db];
            #[inline(always)]
            fn forward<F: $crate::kernel::field::Field>($a: F, $b: F) -> F $forward
            #[inline(always)]
            #[allow(unused_variables, reason = "a formula names what it uses")]
            fn factor_a<F: $crate::kernel::field::Field>(a: F, b: F, y: F) -> F {
                binary!(@bind [$($sa),*] $a $b a b y);
                $fa
            }
            #[inline(always)]
            #[allow(unused_variables, reason = "a formula names what it uses")]
            fn factor_b<F: $crate::kernel::field::Field>(a: F, b: F, y: F) -> F {
                binary!(@bind [$($sb),*] $a $b a b y);
                $fb
            }
            $(
                const INTEGERS: bool = true;
                fn integer<I: $crate::ops::define::Integer>($a: I, $b: I) -> I $integer
            )?
            $(
                fn check_integers(a: &$crate::ops::registry::Operand<'_>, b: &$crate::ops::registry::Operand<'_>) -> $crate::error::Result<()> {
                    $check(a, b)
                }
            )?
            $(
                const BOOLS: bool = true;
                fn boolean($a: bool, $b: bool) -> bool $boolean
            )?
        }
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// `Shape` when the operands do not broadcast, `DType` when the operation is not defined on theirs.
        pub fn $name<'a, 'b>(
            a: impl Into<$crate::ops::registry::Operand<'a>>,
            b: impl Into<$crate::ops::registry::Operand<'b>>,
        ) -> $crate::error::Result<$crate::tape::Variable> {
            $crate::ops::define::apply_binary::<$name>(a.into(), b.into())
        }
    };
    (@bind [$($s:ident),*] $an:ident $bn:ident $a:ident $b:ident $y:ident) => {
        $(let $s = if const { $crate::ops::define::same(stringify!($s), stringify!($an)) } {
            $a
        } else if const { $crate::ops::define::same(stringify!($s), stringify!($bn)) } {
            $b
        } else {
            $y
        };)*
    };
}

pub(crate) use {binary, unary};
