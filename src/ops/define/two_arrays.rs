//! Elementwise operations on two arrays, or an array and a number: forward, backward, and their row.

use std::marker::PhantomData;

use super::complex::{Complex2, apply_complex, eval_binary as eval_complex};
use super::{Cotangent, Integer, Saves, pull};
use crate::array::{Array, DType, Scalar, Shape, broadcast_shapes, check_growth, default_float, same};
use crate::dispatch;
use crate::error::{Error, Result};
use crate::kernel::blocks::{self, Input};
use crate::kernel::field::{Field, Lane};
use crate::kernel::map::{self, Formulas, Pointwise};
use crate::kernel::simd::Baseline;
use crate::ops::norm::tip_gradient;
use crate::ops::registry::{Entry, Gradient, Operand, Param};
use crate::ops::samples::Domain;
use crate::ops::shape::astype;
use crate::ops::traced::{Trace, Traced};
use crate::ops::{add, multiply};
use crate::tape::half::narrow;
use crate::tape::{Batch, Blocks, Call, Factor, Jvp, JvpContext, Place, Primitive, Saver, Variable, Vjp, VjpContext, apply, apply_native};

/// An operation on two arrays, element by element, with broadcasting.
pub trait Binary: 'static {
    /// Its name.
    const NAME: &'static str;
    /// Its doc.
    const DOC: &'static str;
    /// Its gradients, as text.
    const GRADIENT: &'static str;
    /// The values that the factor of the first input needs.
    const SAVES_A: Saves;
    /// The values that the factor of the second input needs.
    const SAVES_B: Saves;
    /// For each factor, whether it is equal to the one value that is saved.
    const FACTOR_IS_SAVED: [bool; 2];
    /// Whether it is [cheap](Pointwise::CHEAP).
    const CHEAP: bool;
    /// Whether these factors are [cheap](Pointwise::CHEAP).
    const CHEAP_FACTOR: [bool; 2];
    /// The domains of the samples.
    const DOMAIN: [Domain; 2];
    /// Whether it is defined on integers.
    const INTEGERS: bool = false;
    /// Whether it is defined on bools.
    const BOOLS: bool = false;
    /// Evaluation for complex dtypes; `None` where it is undefined.
    const COMPLEX: Option<Complex2> = None;
    /// Whether y is the Euclidean norm of (a, b), which has no direction where it is 0.
    const LENGTH: bool = false;
    /// Nanoseconds per element.
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
    /// A faster operation that is equivalent for certain numbers, such as the square for a power of 2.
    const SHORTCUT: Option<Shortcut> = None;
    /// Checks values of integer operands.
    ///
    /// # Errors
    /// `Value` when they are not allowed.
    fn check_integers(_a: &Operand<'_>, _b: &Operand<'_>) -> Result<()> {
        Ok(())
    }
    /// The primitive for integers and bools, which has no derivative.
    const OF_INTEGERS: &'static Primitive =
        &Primitive { name: Self::NAME, eval: eval_integers::<Self>, batch: Batch::Elementwise, ..Primitive::BASE };
    /// The primitive.
    const PRIMITIVE: &'static Primitive = &Primitive {
        name: Self::NAME,
        eval: eval_binary::<Self>,
        saves: saves_binary::<Self>,
        vjp: Vjp::Rule(binary_vjp::<Self>),
        jvp: Jvp::Factor(binary_tangent::<Self>),
        batch: Batch::Elementwise,
        blocks: Some(Self::BLOCKS),
        ..Primitive::BASE
    };
    /// Its loops.
    const BLOCKS: &'static Blocks = &Blocks {
        forward: Formulas::two::<Forward2<Self>>(),
        arrays: 2,
        factors: [Some(Backward::<Self, 0>::BLOCK), Some(Backward::<Self, 1>::BLOCK)],
    };
    /// Its row.
    const ENTRY: Entry = Entry {
        name: Self::NAME,
        primitive: Some(Self::PRIMITIVE),
        integers: Some(Self::OF_INTEGERS),
        doc: Self::DOC,
        params: &[Param::array("a"), Param::array("b")],
        call: |a| Ok(apply_binary::<Self>(a.operand(0)?, a.operand(1)?)?.into()),
        cost: Self::COST,
        gradient: Gradient::Rule(Self::GRADIENT),
        samples: || Domain::binary_samples(Self::DOMAIN),
        ..Entry::BASE
    };
}

/// The operation that replaces this one for a certain number.
pub type Shortcut = fn(Scalar) -> Option<Other>;

/// An operation on one array that replaces an operation on an array and a number.
pub struct Other {
    /// Its result.
    pub apply: fn(&Variable) -> Result<Variable>,
    /// Overwrites a floating array with it.
    pub update: fn(&mut Array),
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

    /// Number of values that the factor needs.
    const COUNT: u8 = Self::SAVES.a as u8 + Self::SAVES.b as u8 + Self::SAVES.y as u8;

    /// Its loop and the operands of that, as [`side`] calls it.
    const BLOCK: Factor = Factor {
        formulas: match Self::COUNT {
            0 => Formulas::one::<Self>(),
            1 => Formulas::two::<Self>(),
            _ => Formulas::four::<Self>(),
        },
        of: match Self::SAVES {
            Saves { a: false, b: false, y: false } => &[],
            Saves { a: true, b: false, y: false } => &[Place::Input(0)],
            Saves { a: false, b: true, y: false } => &[Place::Input(1)],
            Saves { a: false, b: false, y: true } => &[Place::Output],
            Saves { a: true, b: true, y: false } => &[Place::Input(0), Place::Input(1), Place::Input(0)],
            Saves { a: true, b: false, y: true } => &[Place::Input(0), Place::Input(0), Place::Output],
            Saves { a: false, b: true, y: true } => &[Place::Input(1), Place::Input(1), Place::Output],
            Saves { a: true, b: true, y: true } => &[Place::Input(0), Place::Input(1), Place::Output],
        },
        is_cotangent: Self::is_one,
    };

    /// Whether the factor is one: then no multiplication is needed.
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

/// The dtype and shape of the result of two operands.
///
/// # Errors
/// `Shape` when they do not broadcast, `Memory` or `Value` when the result is too large.
pub fn result_type(op: &str, a: &Operand<'_>, b: &Operand<'_>) -> Result<(DType, Shape)> {
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
    // The most frequent case: nothing to promote, nothing to broadcast.
    match (a, b) {
        (Operand::Variable(x), Operand::Variable(y)) if x.dtype() == y.dtype() && x.dtype().is_float() && same(x.shape(), y.shape()) => {
            return apply_native(B::PRIMITIVE, &[a, b], &());
        }
        (Operand::Variable(x), Operand::Scalar(s)) | (Operand::Scalar(s), Operand::Variable(x))
            if x.dtype().is_float() && !matches!(s, Scalar::Complex(_)) =>
        {
            if let (Some(shortcut), Operand::Scalar(s)) = (B::SHORTCUT, b)
                && let Some(other) = shortcut(s)
            {
                return (other.apply)(x);
            }
            return apply_native(B::PRIMITIVE, &[a, b], &());
        }
        _ => {}
    }
    let (dtype, shape) = result_type(B::NAME, &a, &b)?;
    if dtype.is_float() {
        return float_binary::<B>(a, b, dtype, &shape);
    }
    if dtype.is_complex() {
        return apply_complex::<B>(a, b, dtype, &shape);
    }
    if dtype.is_half() {
        let (a, b) = (cast(a, DType::F32)?, cast(b, DType::F32)?);
        return narrow(apply_binary::<B>(a.operand(), b.operand())?, Some(dtype));
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
        return apply(B::OF_INTEGERS, &[a.operand(), b.operand()], &());
    }
    if !B::INTEGERS {
        return float_binary::<B>(a, b, default_float(), &shape);
    }
    B::check_integers(&a, &b)?;
    let (a, b) = (cast(a, dtype)?, cast(b, dtype)?);
    for i in [input(&a), input(&b)] {
        if let Input::Scalar(s) = i {
            s.check(B::NAME, dtype)?;
        }
    }
    apply(B::OF_INTEGERS, &[a.operand(), b.operand()], &())
}

/// Evaluates the operation on integers and bools.
fn eval_integers<B: Binary + ?Sized>(call: &mut Call<'_>) -> Result<()> {
    let shape = |i: usize| call.input(i).variable().map_or(&[][..], Variable::shape);
    let out_shape = broadcast_shapes(shape(0), shape(1)).ok_or_else(|| Error::broadcast(B::NAME, shape(0), shape(1)))?;
    let input = |i: usize| match call.input(i) {
        Operand::Variable(v) => Input::Array(v.array()),
        Operand::Scalar(s) => Input::Scalar(s),
    };
    let dtype = (0..2).find_map(|i| call.input(i).variable().map(Variable::dtype)).unwrap_or(DType::I64);
    let inputs = [input(0), input(1)];
    let out = dispatch!(integer dtype, T => blocks::map(inputs, &out_shape, |[x, y]: [T; 2]| B::integer(x, y)),
        else blocks::map(inputs, &out_shape, |[x, y]: [bool; 2]| B::boolean(x, y)));
    call.give(out);
    Ok(())
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
    pub(super) fn operand(&self) -> Operand<'_> {
        match self {
            Self::Same(v) => Operand::Variable(v),
            Self::New(v) => Operand::Variable(v),
            Self::Scalar(s) => Operand::Scalar(*s),
        }
    }

    pub(super) fn variable(&self) -> Option<&Variable> {
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
    if a.variable().is_none() && b.variable().is_none() || !crate::tape::capture::is_on() && (a.variable().is_none() || b.variable().is_none()) {
        // Two numbers, or an integer array and a number: there is no gradient.
        return Ok(map::map::<Forward2<B>, 2>([input(&a), input(&b)], shape, dtype, [0.0; 2]).into());
    }
    apply(B::PRIMITIVE, &[a.operand(), b.operand()], &())
}

#[inline(always)]
fn eval_binary<B: Binary + ?Sized>(call: &mut Call<'_>) -> Result<()> {
    if [call.input(0), call.input(1)].iter().any(|o| o.variable().is_some_and(|v| v.dtype().is_complex())) {
        let out = eval_complex_call::<B>(call)?;
        call.give(out);
        return Ok(());
    }
    let out = match (call.input(0), call.input(1)) {
        (Operand::Variable(x), Operand::Variable(y)) if same(x.shape(), y.shape()) => {
            map::map::<Forward2<B>, 2>([x.array().into(), y.array().into()], x.shape(), x.dtype(), [0.0; 2])
        }
        (Operand::Variable(x), Operand::Variable(y)) => {
            let shape = broadcast_shapes(x.shape(), y.shape()).ok_or_else(|| Error::broadcast(B::NAME, x.shape(), y.shape()))?;
            map::map::<Forward2<B>, 2>([x.array().into(), y.array().into()], &shape, x.dtype(), [0.0; 2])
        }
        (Operand::Variable(x), Operand::Scalar(s)) => {
            map::map::<Forward2<B>, 2>([x.array().into(), Input::Scalar(s)], x.shape(), x.dtype(), [0.0; 2])
        }
        (Operand::Scalar(s), Operand::Variable(x)) => {
            map::map::<Forward2<B>, 2>([Input::Scalar(s), x.array().into()], x.shape(), x.dtype(), [0.0; 2])
        }
        (Operand::Scalar(_), Operand::Scalar(_)) => unreachable!("{}: one operand is an array", B::NAME),
    };
    call.give(out);
    Ok(())
}

/// [`eval_binary`] for complex operands.
#[cold]
fn eval_complex_call<B: Binary + ?Sized>(call: &Call<'_>) -> Result<Array> {
    let (a, b) = (call.input(0), call.input(1));
    let (dtype, shape) = result_type(B::NAME, &a, &b)?;
    let inputs = [a, b].map(|o| match o {
        Operand::Variable(v) => Input::Array(v.array()),
        Operand::Scalar(s) => Input::Scalar(s),
    });
    eval_complex(B::NAME, B::COMPLEX, inputs, &shape, dtype)
}

fn saves_binary<B: Binary + ?Sized>(s: &mut Saver<'_>) {
    let (na, nb) = (s.needs(0), s.needs(1));
    let wants = |f: fn(Saves) -> bool| (na && f(B::SAVES_A)) || (nb && f(B::SAVES_B));
    if wants(|s| s.a) && s.is_array(0) {
        s.input(0);
    }
    if wants(|s| s.b) && s.is_array(1) {
        s.input(1);
    }
    if wants(|s| s.y) {
        s.output(0);
    }
}

fn binary_tangent<B: Binary + ?Sized>(ctx: &JvpContext<'_>, i: usize, t: Variable) -> Result<Variable> {
    let operand = |k: usize| match ctx.inputs[k] {
        Operand::Variable(v) => Ok(v.clone()),
        Operand::Scalar(s) => Err(s.as_f64()),
    };
    let y = || ctx.outputs[0].clone();
    if i == 0 { times_factor::<B, 0>(t, operand, y, false) } else { times_factor::<B, 1>(t, operand, y, false) }
}

fn binary_vjp<B: Binary + ?Sized>(ctx: &mut VjpContext<'_>) -> Result<()> {
    if ctx.create_graph() || ctx.out_meta(0).dtype.is_complex() {
        return recorded_vjp::<B>(ctx);
    }
    let g = ctx.cotangent_array();
    match (ctx.needs(0), ctx.needs(1)) {
        (true, false) => one_side::<B, 0>(ctx, g),
        (false, _) => one_side::<B, 1>(ctx, g),
        (true, true) => both_sides::<B>(ctx, g),
    }
}

fn recorded_vjp<B: Binary + ?Sized>(ctx: &mut VjpContext<'_>) -> Result<()> {
    let g = ctx.cotangent();
    if ctx.needs(0) {
        ctx.add(0, recorded::<B, 0>(ctx, g.clone())?)?;
    }
    if ctx.needs(1) { ctx.add(1, recorded::<B, 1>(ctx, g)?) } else { Ok(()) }
}

/// The gradients of both operands. First the one that is added to a sum, because it leaves the cotangent intact; then the other one can use
/// the cotangent's buffer.
fn both_sides<B: Binary + ?Sized>(ctx: &mut VjpContext<'_>, g: Array) -> Result<()> {
    let added = (adds::<B, 0>(ctx, 0, &g), adds::<B, 1>(ctx, 1, &g));
    if added.0 {
        side::<B, 0>(ctx, 0, Cotangent::Lent(&g))?;
    }
    if added.1 {
        side::<B, 1>(ctx, 1, Cotangent::Lent(&g))?;
    }
    match added {
        (true, true) => Ok(()),
        (false, true) => side::<B, 0>(ctx, 0, Cotangent::Given(g)),
        (true, false) => side::<B, 1>(ctx, 1, Cotangent::Given(g)),
        (false, false) => {
            side::<B, 0>(ctx, 0, Cotangent::Given(g.clone()))?;
            // If both operands are the same value, it has a sum by now.
            one_side::<B, 1>(ctx, g)
        }
    }
}

/// The gradient of one operand.
fn one_side<B: Binary + ?Sized, const SIDE: usize>(ctx: &mut VjpContext<'_>, g: Array) -> Result<()> {
    let g = if adds::<B, SIDE>(ctx, SIDE, &g) { Cotangent::Lent(&g) } else { Cotangent::Given(g) };
    side::<B, SIDE>(ctx, SIDE, g)
}

/// Whether the gradient of operand `i` is added to its sum in place. If it is the cotangent itself, there is nothing to compute.
fn adds<B: Binary + ?Sized, const SIDE: usize>(ctx: &mut VjpContext<'_>, i: usize, g: &Array) -> bool {
    !Backward::<B, SIDE>::is_one() && ctx.has_sum(i, g.shape())
}

/// `g` times the factor of one side, recorded.
#[allow(clippy::needless_pass_by_value, reason = "given away by the last of two callers")]
fn recorded<B: Binary + ?Sized, const SIDE: usize>(ctx: &VjpContext<'_>, g: Variable) -> Result<Variable> {
    let operand = |k: usize| match ctx.number(k) {
        Some(value) => Err(value),
        None => Ok(ctx.input(u8::from(k == 1))),
    };
    let out = times_factor::<B, SIDE>(g.clone(), operand, || ctx.output(0), true)?;
    if B::LENGTH
        && ctx.number(SIDE).is_none()
        && let Some(tip) = tip_gradient(ctx, &g, ctx.output_array(0), |curvature| multiply(curvature, &ctx.input(u8::from(SIDE == 1))))?
    {
        return add(&out, &tip);
    }
    Ok(out)
}

/// `g` times the factor of one side, or its conjugate for a gradient, in Variable algebra. Operands are arrays, or numbers as errors.
fn times_factor<B: Binary + ?Sized, const SIDE: usize>(
    g: Variable,
    operand: impl Fn(usize) -> std::result::Result<Variable, f64>,
    y: impl FnOnce() -> Variable,
    conjugate: bool,
) -> Result<Variable> {
    if Backward::<B, SIDE>::is_one() {
        return Ok(g);
    }
    let saves = Backward::<B, SIDE>::SAVES;
    let trace = Trace::new(g.dtype());
    let value = |wanted: bool, k: usize| if wanted { operand(k).map_or_else(Traced::Lit, |v| trace.value(v)) } else { Traced::Lit(0.0) };
    let (a, b) = (value(saves.a, 0), value(saves.b, 1));
    let y = if saves.y { trace.value(y()) } else { Traced::Lit(0.0) };
    let factor = Backward::<B, SIDE>::factor(a, b, y);
    let out = trace.value(g).annihilate(if conjugate { factor.conj() } else { factor });
    trace.finish(out)
}

/// g ⊗ the factor of one side, whose operand is input `i`.
fn side<B: Binary + ?Sized, const SIDE: usize>(ctx: &mut VjpContext<'_>, i: usize, g: Cotangent<'_>) -> Result<()> {
    let saves = Backward::<B, SIDE>::SAVES;
    let operand = |k: u8| match ctx.number(usize::from(k)) {
        Some(value) => Input::Scalar(Scalar::Float(value)),
        None => Input::Array(ctx.input_array(k)),
    };
    let y = || Input::Array(ctx.output_array(0));
    let a = || match saves {
        Saves { a: true, .. } => operand(0),
        Saves { b: true, .. } => operand(1),
        _ => y(),
    };
    // Known at compile time, and tested with `const` so that only the loops of one branch are compiled. Values that the factor does not use
    // may be anything.
    if const { Backward::<B, SIDE>::COUNT == 0 } {
        match g {
            Cotangent::Given(g) if Backward::<B, SIDE>::is_one() => ctx.add_array(i, g),
            g => pull::<Backward<B, SIDE>, 0, 1>(ctx, i, g, [], [0.0; 2]),
        }
    } else if const { Backward::<B, SIDE>::COUNT == 1 } {
        pull::<Backward<B, SIDE>, 1, 2>(ctx, i, g, [a()], [0.0; 2])
    } else {
        let all = [a(), if saves.b { operand(1) } else { a() }, if saves.y { y() } else { a() }];
        pull::<Backward<B, SIDE>, 3, 4>(ctx, i, g, all, [0.0; 2])
    }
}
