//! Elementwise operations on two arrays, or an array and a number: forward, backward, and their row.

use std::marker::PhantomData;

use super::{Cotangent, Integer, Saves, pull};
use crate::array::{Array, DType, Scalar, Shape, broadcast_shapes, check_growth, default_float, same};
use crate::dispatch;
use crate::error::{Error, Result};
use crate::kernel::blocks::{self, Input};
use crate::kernel::field::{Field, Lane};
use crate::kernel::map::{self, Pointwise};
use crate::kernel::simd::Baseline;
use crate::ops::norm::tip_gradient;
use crate::ops::registry::{Entry, Gradient, Operand, Param};
use crate::ops::samples::Domain;
use crate::ops::shape::astype;
use crate::ops::traced::{Trace, Traced};
use crate::ops::{add, multiply};
use crate::tape::{Attrs, Grads, Op, Rule, Step, Variable, one_gradient, record};

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
    /// Whether these factors are the one value that is saved.
    const FACTOR_IS_SAVED: [bool; 2];
    /// Whether it is [cheap](Pointwise::CHEAP).
    const CHEAP: bool;
    /// Whether these factors are.
    const CHEAP_FACTOR: [bool; 2];
    /// Where samples of the two come from.
    const DOMAIN: [Domain; 2];
    /// Whether it is defined on integers.
    const INTEGERS: bool = false;
    /// Whether it is defined on bools.
    const BOOLS: bool = false;
    /// Whether y is the length of (a, b), which has no direction where it is 0.
    const LENGTH: bool = false;
    /// Nanoseconds an element.
    const COST: f64 = 0.5;
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
        cost: Self::COST,
        gradient: Gradient::Rule(Self::GRADIENT),
        samples: || Domain::binary_samples(Self::DOMAIN),
        ..Entry::BASE
    };
}

pub(super) struct Forward2<B: ?Sized>(PhantomData<B>);

impl<B: Binary + ?Sized> Pointwise<2> for Forward2<B> {
    const COST: f64 = B::COST;
    const CHEAP: bool = B::CHEAP;
    const BESIDE: bool = B::CHEAP;
    #[inline(always)]
    fn eval<F: Field>([a, b]: [F; 2], _: [F; 2]) -> F {
        B::forward(a, b)
    }
}

/// g ⊗ dy/da (`SIDE` 0) or g ⊗ dy/db (`SIDE` 1).
struct Backward<B: ?Sized, const SIDE: usize>(PhantomData<B>);

impl<B: Binary + ?Sized, const SIDE: usize> Backward<B, SIDE> {
    const SAVES: Saves = if SIDE == 0 { B::SAVES_A } else { B::SAVES_B };

    #[inline(always)]
    fn factor<F: Field>(a: F, b: F, y: F) -> F {
        if SIDE == 0 { B::factor_a(a, b, y) } else { B::factor_b(a, b, y) }
    }

    /// How many values the factor needs.
    const COUNT: u8 = Self::SAVES.a as u8 + Self::SAVES.b as u8 + Self::SAVES.y as u8;

    /// Whether the factor is the number one: then there is nothing to multiply.
    #[inline]
    #[allow(clippy::float_cmp, reason = "a constant of the formula")]
    fn is_one() -> bool {
        let any = Lane::<f64, Baseline>::lit(0.0);
        Self::SAVES == (Saves { a: false, b: false, y: false }) && Self::factor(any, any, any).value() == 1.0
    }
}

/// The factor is a constant.
impl<B: Binary + ?Sized, const SIDE: usize> Pointwise<1> for Backward<B, SIDE> {
    const CHEAP: bool = true;
    #[inline(always)]
    fn eval<F: Field>([g]: [F; 1], _: [F; 2]) -> F {
        g.annihilate(Self::factor(g, g, g))
    }
}

/// The factor needs one value.
impl<B: Binary + ?Sized, const SIDE: usize> Pointwise<2> for Backward<B, SIDE> {
    const COST: f64 = B::COST;
    const CHEAP: bool = B::CHEAP_FACTOR[SIDE];
    const PASSES: bool = B::FACTOR_IS_SAVED[SIDE];
    #[inline(always)]
    fn eval<F: Field>([g, s]: [F; 2], _: [F; 2]) -> F {
        g.annihilate(Self::factor(s, s, s))
    }
}

impl<B: Binary + ?Sized, const SIDE: usize> Pointwise<4> for Backward<B, SIDE> {
    const COST: f64 = B::COST;
    const CHEAP: bool = B::CHEAP_FACTOR[SIDE];
    #[inline(always)]
    fn eval<F: Field>([g, a, b, y]: [F; 4], _: [F; 2]) -> F {
        g.annihilate(Self::factor(a, b, y))
    }
}

/// The dtype and shape that two operands meet in.
///
/// # Errors
/// `Shape` when they do not broadcast, `Memory` or `Value` when the result is too large.
pub fn meet(op: &str, a: &Operand<'_>, b: &Operand<'_>) -> Result<(DType, Shape)> {
    Ok(match (a, b) {
        (Operand::Variable(a), Operand::Variable(b)) => {
            let dtype = a.dtype().promote(b.dtype());
            if a.shape() == b.shape() {
                return Ok((dtype, Shape::from_slice(a.shape())));
            }
            let shape = broadcast_shapes(a.shape(), b.shape()).ok_or_else(|| Error::broadcast(op, a.shape(), b.shape()))?;
            if shape.as_slice() != a.shape() {
                check_growth(op, b.shape(), &shape, dtype)?;
            }
            (dtype, shape)
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
    // What is met most: nothing to promote, nothing to broadcast.
    match (a, b) {
        (Operand::Variable(x), Operand::Variable(y)) if x.dtype() == y.dtype() && x.dtype().is_float() && same(x.shape(), y.shape()) => {
            let out = map::map::<Forward2<B>, 2>([x.array().into(), y.array().into()], x.shape(), x.dtype(), [0.0; 2]);
            return record_pair::<B>(x, y, out);
        }
        (Operand::Variable(x), Operand::Scalar(s)) if x.dtype().is_float() => {
            let out = map::map::<Forward2<B>, 2>([x.array().into(), Input::Scalar(s)], x.shape(), x.dtype(), [0.0; 2]);
            return record_scalar::<B>(x, s, out, false);
        }
        (Operand::Scalar(s), Operand::Variable(x)) if x.dtype().is_float() => {
            let out = map::map::<Forward2<B>, 2>([Input::Scalar(s), x.array().into()], x.shape(), x.dtype(), [0.0; 2]);
            return record_scalar::<B>(x, s, out, true);
        }
        _ => {}
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
    for i in &inputs {
        if let Input::Scalar(s) = i {
            s.check(B::NAME, dtype)?;
        }
    }
    Ok(dispatch!(integer dtype, T => {
        blocks::map(inputs, &shape, |[x, y]: [T; 2]| B::integer(x, y))
    }, else unreachable!("bool and float were handled"))
    .into())
}

pub(super) fn input<'a>(o: &'a Cast<'_>) -> Input<'a> {
    match o {
        Cast::Same(v) => Input::Array(v.array()),
        Cast::New(v) => Input::Array(v.array()),
        Cast::Scalar(s) => Input::Scalar(*s),
    }
}

/// An operand in the common dtype.
pub(super) enum Cast<'a> {
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

pub(super) fn cast(o: Operand<'_>, dtype: DType) -> Result<Cast<'_>> {
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
        // Two numbers, or an integer array and a number: nothing that a gradient could flow to.
        _ => Ok(out.into()),
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
fn record_scalar<B: Binary + ?Sized>(x: &Variable, value: Scalar, out: Array, scalar_first: bool) -> Result<Variable> {
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
    let scalar = if let Attrs::Scalars([value, first]) = *step.attrs() { Some((value, first != 0.0)) } else { None };
    if step.create_graph() {
        return recorded_vjp::<B>(step, scalar);
    }
    let g = step.take_array();
    match scalar {
        Some((value, false)) => one_side::<B, 0>(step, g, Some(value))?,
        Some((value, true)) => one_side::<B, 1>(step, g, Some(value))?,
        None => match (step.needs(0), step.needs(1)) {
            (true, false) => one_side::<B, 0>(step, g, None)?,
            (false, _) => one_side::<B, 1>(step, g, None)?,
            (true, true) => both_sides::<B>(step, g)?,
        },
    }
    Ok(Grads::new())
}

fn recorded_vjp<B: Binary + ?Sized>(step: &mut Step<'_>, scalar: Option<(f64, bool)>) -> Result<Grads> {
    let g = step.take_g();
    match scalar {
        Some((value, false)) => recorded::<B, 0>(step, g, Some(value)).map(one_gradient),
        Some((value, true)) => recorded::<B, 1>(step, g, Some(value)).map(one_gradient),
        None => {
            let ga = if step.needs(0) { Some(recorded::<B, 0>(step, g.clone(), None)?) } else { None };
            let gb = if step.needs(1) { Some(recorded::<B, 1>(step, g, None)?) } else { None };
            Ok(Grads::from_buf([ga, gb]))
        }
    }
}

/// The gradients of both operands. One that is added to what was collected leaves the cotangent as it is, and the other can
/// have its buffer.
fn both_sides<B: Binary + ?Sized>(step: &mut Step<'_>, g: Array) -> Result<()> {
    let added = (adds::<B, 0>(step, 0, &g), adds::<B, 1>(step, 1, &g));
    if added.0 {
        side::<B, 0>(step, 0, Cotangent::Lent(&g), None)?;
    }
    if added.1 {
        side::<B, 1>(step, 1, Cotangent::Lent(&g), None)?;
    }
    match added {
        (true, true) => Ok(()),
        (false, true) => side::<B, 0>(step, 0, Cotangent::Given(g), None),
        (true, false) => side::<B, 1>(step, 1, Cotangent::Given(g), None),
        (false, false) => {
            side::<B, 0>(step, 0, Cotangent::Given(g.clone()), None)?;
            // Both operands may be one value, which has collected something by now.
            one_side::<B, 1>(step, g, None)
        }
    }
}

/// The gradient of one operand.
fn one_side<B: Binary + ?Sized, const SIDE: usize>(step: &mut Step<'_>, g: Array, scalar: Option<f64>) -> Result<()> {
    let i = if scalar.is_some() { 0 } else { SIDE };
    let g = if adds::<B, SIDE>(step, i, &g) { Cotangent::Lent(&g) } else { Cotangent::Given(g) };
    side::<B, SIDE>(step, i, g, scalar)
}

/// Whether the gradient of one operand, input `i`, is added where its sum lies. Where it is the cotangent itself there
/// is nothing to compute on the way.
fn adds<B: Binary + ?Sized, const SIDE: usize>(step: &mut Step<'_>, i: usize, g: &Array) -> bool {
    !Backward::<B, SIDE>::is_one() && step.collects(i, g.shape())
}

/// Which input holds operand `k`, or the number that stands for it: with a number on one side the array is input 0.
fn place<const SIDE: usize>(k: usize, scalar: Option<f64>) -> std::result::Result<u8, f64> {
    match scalar {
        Some(_) if k == SIDE => Ok(0),
        Some(value) => Err(value),
        None => Ok(u8::from(k == 1)),
    }
}

/// g ⊗ the factor of one side, recorded.
fn recorded<B: Binary + ?Sized, const SIDE: usize>(step: &Step<'_>, g: Variable, scalar: Option<f64>) -> Result<Variable> {
    if Backward::<B, SIDE>::is_one() {
        return Ok(g);
    }
    let saves = Backward::<B, SIDE>::SAVES;
    let trace = Trace::new(g.dtype());
    let operand = |wanted: bool, k: usize| match place::<SIDE>(k, scalar) {
        Err(value) => Traced::Lit(value),
        Ok(i) if wanted => trace.value(step.input(i)),
        Ok(_) => Traced::Lit(0.0),
    };
    let (a, b) = (operand(saves.a, 0), operand(saves.b, 1));
    let y = if saves.y { trace.value(step.output(0)) } else { Traced::Lit(0.0) };
    let out = trace.value(g.clone()).annihilate(Backward::<B, SIDE>::factor(a, b, y));
    let out = trace.finish(out)?;
    if B::LENGTH
        && let Ok(i) = place::<SIDE>(SIDE, scalar)
        && let Some(tip) = tip_gradient(step, &g, step.output_array(0), |curvature| multiply(curvature, &step.input(i)))?
    {
        return add(&out, &tip);
    }
    Ok(out)
}

/// g ⊗ the factor of one side, whose operand is input `i`; see [`pull`].
fn side<B: Binary + ?Sized, const SIDE: usize>(step: &mut Step<'_>, i: usize, g: Cotangent<'_>, scalar: Option<f64>) -> Result<()> {
    let operand = |k: usize| match place::<SIDE>(k, scalar) {
        Err(value) => Input::Scalar(Scalar::Float(value)),
        Ok(i) => Input::Array(step.input_array(i)),
    };
    let saves = Backward::<B, SIDE>::SAVES;
    let y = || Input::Array(step.output_array(0));
    let a = || match saves {
        Saves { a: true, .. } => operand(0),
        Saves { b: true, .. } => operand(1),
        _ => y(),
    };
    // Known when it is compiled, and asked so that the loops of one way alone are. What a factor does not name may be anything:
    // what it does name costs nothing more.
    if const { Backward::<B, SIDE>::COUNT == 0 } {
        match g {
            Cotangent::Given(g) if Backward::<B, SIDE>::is_one() => step.give(i, g),
            g => pull::<Backward<B, SIDE>, 0, 1>(step, i, g, [], [0.0; 2]),
        }
    } else if const { Backward::<B, SIDE>::COUNT == 1 } {
        pull::<Backward<B, SIDE>, 1, 2>(step, i, g, [a()], [0.0; 2])
    } else {
        let all = [a(), if saves.b { operand(1) } else { a() }, if saves.y { y() } else { a() }];
        pull::<Backward<B, SIDE>, 3, 4>(step, i, g, all, [0.0; 2])
    }
}
