//! Elementwise operations on one array: forward, backward, and their row.

use std::marker::PhantomData;

use super::complex::{Complex1, eval_unary as eval_complex, undefined};
use super::{Cotangent, Integer, Saves, pull};
use crate::array::Array;
use crate::array::{DType, default_float};
use crate::dispatch;
use crate::error::{Error, Result};
use crate::kernel::blocks::{self, Input};
use crate::kernel::field::Field;
use crate::kernel::map::{self, Formulas, Pointwise};
use crate::ops::half;
use crate::ops::norm::tip_gradient;
use crate::ops::registry::{Args, Entry, Gradient, Operand, Param, Value};
use crate::ops::samples::Domain;
use crate::ops::shape::astype;
use crate::ops::traced::{Trace, Traced};
use crate::ops::{add, multiply};
use crate::tape::{Batch, Blocks, Call, Factor, Jvp, JvpContext, Place, Primitive, Saver, Variable, Vjp, VjpContext, apply, apply_native};

/// An operation on one array, element by element.
pub trait Unary: 'static {
    /// Its name.
    const NAME: &'static str;
    /// Its doc.
    const DOC: &'static str;
    /// Its gradient, as text.
    const GRADIENT: &'static str;
    /// The array and its numeric parameters.
    const PARAMS: &'static [Param];
    /// The values that its factor needs.
    const SAVES: Saves;
    /// Whether its factor is equal to the one value that is saved.
    const FACTOR_IS_SAVED: bool;
    /// Whether its factor is [cheap](Pointwise::CHEAP).
    const CHEAP_FACTOR: bool;
    /// The domain of the samples.
    const DOMAIN: Domain;
    /// Whether it is defined on integers.
    const INTEGERS: bool = false;
    /// Whether it is defined on bools, if it is defined on integers.
    const BOOLS: bool = true;
    /// Evaluation for complex dtypes; `None` where it is undefined.
    const COMPLEX: Option<Complex1> = None;
    /// Whether a formula has a function with a fast range (sin, cos, tan).
    const RANGED: bool = false;
    /// Whether y is |x|, the Euclidean norm of a vector of one element.
    const LENGTH: bool = false;
    /// Nanoseconds per element.
    const COST: f64 = 0.5;
    /// y of x.
    fn forward<F: Field>(x: F, p: [F; 2]) -> F;
    /// dy/dx.
    fn factor<F: Field>(x: F, y: F, p: [F; 2]) -> F;
    /// y of an integer x.
    fn integer<I: Integer>(x: I, _p: [f64; 2]) -> I {
        x
    }
    /// The primitive for integers, which has no derivative.
    const OF_INTEGERS: &'static Primitive =
        &Primitive { name: Self::NAME, eval: eval_integers::<Self>, batch: Batch::Elementwise, ..Primitive::BASE };
    /// The primitive.
    const PRIMITIVE: &'static Primitive = &Primitive {
        name: Self::NAME,
        eval: eval_unary::<Self>,
        saves: saves_unary::<Self>,
        vjp: Vjp::Rule(unary_vjp::<Self>),
        jvp: Jvp::Factor(unary_tangent::<Self>),
        batch: Batch::Elementwise,
        blocks: Some(Self::BLOCKS),
        ..Primitive::BASE
    };
    /// Its loops.
    const BLOCKS: &'static Blocks = &Blocks {
        forward: Formulas::one::<Forward<Self>>(),
        arrays: 1,
        factors: [
            Some(match Self::SAVES {
                Saves { a: true, y: true, .. } => gradient(Formulas::three::<Backward<Self>>(), &[Place::Input(0), Place::Output]),
                Saves { a: true, .. } => gradient(Formulas::two::<Backward<Self>>(), &[Place::Input(0)]),
                Saves { y: true, .. } => gradient(Formulas::two::<Backward<Self>>(), &[Place::Output]),
                _ => gradient(Formulas::one::<Backward<Self>>(), &[]),
            }),
            None,
        ],
    };
    /// Its row.
    const ENTRY: Entry = Entry {
        name: Self::NAME,
        primitive: Some(Self::PRIMITIVE),
        integers: Some(Self::OF_INTEGERS),
        doc: Self::DOC,
        params: Self::PARAMS,
        call: call_unary::<Self>,
        cost: Self::COST,
        gradient: Gradient::Rule(Self::GRADIENT),
        samples: || Self::DOMAIN.unary_samples(Self::PARAMS),
        ..Entry::BASE
    };
}

/// A gradient that is not the cotangent itself.
const fn gradient(formulas: Formulas, of: &'static [Place]) -> Factor {
    Factor { formulas, of, is_cotangent: || false }
}

fn call_unary<U: Unary + ?Sized>(a: &Args<'_>) -> Result<Value> {
    let mut p = [0.0; 2];
    for (i, p) in p.iter_mut().enumerate().take(U::PARAMS.len() - 1) {
        *p = a.float(i + 1)?;
    }
    match a.operand(0)? {
        Operand::Variable(x) => Ok(apply_unary::<U>(x, p)?.into()),
        Operand::Scalar(_) => Ok(apply_unary::<U>(&a.variable(0)?, p)?.into()),
    }
}

struct Forward<U: ?Sized>(PhantomData<U>);

/// Overwrites a floating array with `U` of it.
pub fn update_unary<U: Unary + ?Sized>(a: &mut Array) {
    map::update::<Forward<U>, 0, 1>(a, [], [0.0; 2]);
}

impl<U: Unary + ?Sized> Pointwise<1> for Forward<U> {
    const COST: f64 = U::COST;
    const RANGED: bool = U::RANGED;
    #[inline(always)]
    fn eval<F: Field>([x]: [F; 1], p: [F; 2]) -> F {
        U::forward(x, p)
    }
}

/// g ⊗ dy/dx, from the values that the factor needs.
struct Backward<U: ?Sized>(PhantomData<U>);

impl<U: Unary + ?Sized> Pointwise<1> for Backward<U> {
    const CHEAP: bool = true;
    #[inline(always)]
    fn eval<F: Field>([g]: [F; 1], p: [F; 2]) -> F {
        g.annihilate(U::factor(g, g, p))
    }
}

impl<U: Unary + ?Sized> Pointwise<2> for Backward<U> {
    const COST: f64 = U::COST;
    const CHEAP: bool = U::CHEAP_FACTOR && !U::RANGED;
    const PASSES: bool = U::FACTOR_IS_SAVED;
    const RANGED: bool = U::RANGED;
    #[inline(always)]
    fn eval<F: Field>([g, s]: [F; 2], p: [F; 2]) -> F {
        g.annihilate(U::factor(s, s, p))
    }
}

impl<U: Unary + ?Sized> Pointwise<3> for Backward<U> {
    const COST: f64 = U::COST;
    const CHEAP: bool = U::CHEAP_FACTOR && !U::RANGED;
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
    if dtype.is_complex() {
        return match U::COMPLEX {
            Some(Complex1::Holomorphic(_)) => apply(U::PRIMITIVE, &[x.into()], &()),
            Some(Complex1::Operation(f)) => f(x),
            None => Err(undefined(U::NAME, dtype)),
        };
    }
    if dtype.is_float() {
        return match U::PARAMS.len() {
            1 => apply_native(U::PRIMITIVE, &[x.into()], &()),
            2 => apply_native(U::PRIMITIVE, &[x.into(), p[0].into()], &()),
            _ => apply_native(U::PRIMITIVE, &[x.into(), p[0].into(), p[1].into()], &()),
        };
    }
    if dtype.is_half() {
        return half::of_one(x, |x| apply_unary::<U>(x, p));
    }
    if U::INTEGERS {
        if dtype == DType::Bool && !U::BOOLS {
            return Err(Error::dtype(U::NAME, dtype, "numbers; astype(int64) the operand, or use ~ for the opposite truth value"));
        }
        if dtype == DType::Bool {
            return apply_unary::<U>(&astype(x, DType::U8)?, p).and_then(|y| astype(&y, DType::Bool));
        }
        return apply(U::OF_INTEGERS, &[x.into(), p[0].into(), p[1].into()], &());
    }
    apply_unary::<U>(&astype(x, default_float())?, p)
}

/// Evaluates the operation on integers.
fn eval_integers<U: Unary + ?Sized>(call: &mut Call<'_>) -> Result<()> {
    let x = call.array(0);
    let number = |i: usize| if let Operand::Scalar(s) = call.input(i) { s.as_f64() } else { 0.0 };
    let p = [number(1), number(2)];
    let out = dispatch!(integer x.dtype(), T => blocks::map([Input::from(x)], x.shape(), |[x]: [T; 1]| U::integer(x, p)),
        else return Err(Error::dtype(U::NAME, x.dtype(), "integers")));
    call.give(out);
    Ok(())
}

#[inline(always)]
#[allow(clippy::unnecessary_wraps, reason = "the signature of an evaluation")]
fn eval_unary<U: Unary + ?Sized>(call: &mut Call<'_>) -> Result<()> {
    let x = call.array(0);
    if x.dtype().is_complex() {
        call.give(eval_complex(U::NAME, U::COMPLEX, x)?);
        return Ok(());
    }
    let mut p = [0.0; 2];
    for (i, p) in p.iter_mut().enumerate().take(U::PARAMS.len() - 1) {
        if let Operand::Scalar(s) = call.input(i + 1) {
            *p = s.as_f64();
        }
    }
    call.give(map::map::<Forward<U>, 1>([Input::from(x)], x.shape(), x.dtype(), p));
    Ok(())
}

fn saves_unary<U: Unary + ?Sized>(s: &mut Saver<'_>) {
    if U::SAVES.a {
        s.input(0);
    }
    if U::SAVES.y {
        s.output(0);
    }
}

/// `g` times dy/dx, recorded; for a gradient, times its conjugate.
fn times_factor<U: Unary + ?Sized>(
    g: Variable,
    x: impl FnOnce() -> Variable,
    y: impl FnOnce() -> Variable,
    p: [f64; 2],
    conjugate: bool,
) -> Result<Variable> {
    let trace = Trace::new(g.dtype());
    let x = if U::SAVES.a { trace.value(x()) } else { Traced::Lit(0.0) };
    let y = if U::SAVES.y { trace.value(y()) } else { Traced::Lit(0.0) };
    let factor = U::factor(x, y, p.map(Traced::Lit));
    let out = trace.value(g).annihilate(if conjugate { factor.conj() } else { factor });
    trace.finish(out)
}

fn unary_tangent<U: Unary + ?Sized>(ctx: &JvpContext<'_>, _: usize, t: Variable) -> Result<Variable> {
    let number = |i: usize| ctx.inputs.get(i).map_or(0.0, |o| if let Operand::Scalar(s) = o { s.as_f64() } else { 0.0 });
    times_factor::<U>(t, || ctx.input(0), || ctx.outputs[0].clone(), [number(1), number(2)], false)
}

fn unary_vjp<U: Unary + ?Sized>(ctx: &mut VjpContext<'_>) -> Result<()> {
    let p = [ctx.number(1).unwrap_or(0.0), ctx.number(2).unwrap_or(0.0)];
    if ctx.create_graph() || ctx.out_meta(0).dtype.is_complex() {
        let g = ctx.cotangent();
        let out = times_factor::<U>(g.clone(), || ctx.input(0), || ctx.output(0), p, true)?;
        if U::LENGTH {
            let (x, y) = (ctx.input(0), apply_unary::<U>(&ctx.input_array(0).clone().into(), p)?);
            if let Some(tip) = tip_gradient(ctx, &g, y.array(), |curvature| multiply(curvature, &x))? {
                return ctx.add(0, add(&out, &tip)?);
            }
        }
        return ctx.add(0, out);
    }
    let g = ctx.cotangent_array();
    let g = if ctx.has_sum(0, g.shape()) { Cotangent::Lent(&g) } else { Cotangent::Given(g) };
    pull_back::<U>(ctx, g, p)
}

/// g ⊗ the factor.
fn pull_back<U: Unary + ?Sized>(ctx: &mut VjpContext<'_>, g: Cotangent<'_>, p: [f64; 2]) -> Result<()> {
    // Known at compile time, and tested with `const` so that only the loops of one branch are compiled.
    if const { U::SAVES.a && U::SAVES.y } {
        let [x, y] = [ctx.input_array(0), ctx.output_array(0)];
        pull::<Backward<U>, 2, 3>(ctx, 0, g, [x.into(), y.into()], p)
    } else if const { U::SAVES.a } {
        let x = ctx.input_array(0);
        pull::<Backward<U>, 1, 2>(ctx, 0, g, [x.into()], p)
    } else if const { U::SAVES.y } {
        let y = ctx.output_array(0);
        pull::<Backward<U>, 1, 2>(ctx, 0, g, [y.into()], p)
    } else {
        pull::<Backward<U>, 0, 1>(ctx, 0, g, [], p)
    }
}
