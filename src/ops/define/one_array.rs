//! Elementwise operations on one array: forward, backward, and their row.

use std::marker::PhantomData;

use super::{Cotangent, Integer, Saves, pull};
use crate::array::{DType, default_float};
use crate::dispatch;
use crate::error::{Error, Result};
use crate::kernel::blocks::{self, Input};
use crate::kernel::field::Field;
use crate::kernel::map::{self, Pointwise};
use crate::ops::norm::tip_gradient;
use crate::ops::registry::{Args, Entry, Gradient, Operand, Param, Value};
use crate::ops::samples::Domain;
use crate::ops::shape::astype;
use crate::ops::traced::{Trace, Traced};
use crate::ops::{add, multiply};
use crate::tape::{Attrs, Grads, Op, Rule, Step, Variable, one_gradient, record};

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
    /// Whether its factor is the one value that is saved.
    const FACTOR_IS_SAVED: bool;
    /// Whether its factor is [cheap](Pointwise::CHEAP).
    const CHEAP_FACTOR: bool;
    /// Where samples come from.
    const DOMAIN: Domain;
    /// Whether it is defined on integers.
    const INTEGERS: bool = false;
    /// Whether it is defined on bools, where it is on integers.
    const BOOLS: bool = true;
    /// Whether a formula has a function with a fast range (sin, cos, tan).
    const RANGED: bool = false;
    /// Whether y is |x|, the length of a vector of one element.
    const LENGTH: bool = false;
    /// Nanoseconds an element.
    const COST: f64 = 0.5;
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
        cost: Self::COST,
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
    match a.operand(0)? {
        Operand::Variable(x) => Ok(apply_unary::<U>(x, p)?.into()),
        Operand::Scalar(_) => Ok(apply_unary::<U>(&a.variable(0)?, p)?.into()),
    }
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
        if dtype == DType::Bool && !U::BOOLS {
            return Err(Error::dtype(U::NAME, dtype, "numbers; astype(int64) the operand, or use ~ for the opposite truth value"));
        }
        let out = dispatch!(integer dtype, T => blocks::map([Input::from(x.array())], x.shape(), |[x]: [T; 1]| U::integer(x, p)),
            else return apply_unary::<U>(&astype(x, DType::U8)?, p).and_then(|y| astype(&y, DType::Bool)));
        return Ok(out.into());
    }
    apply_unary::<U>(&astype(x, default_float())?, p)
}

fn unary_vjp<U: Unary + ?Sized>(step: &mut Step<'_>) -> Result<Grads> {
    let p = step.attrs().scalars();
    if step.create_graph() {
        let g = step.take_g();
        let trace = Trace::new(g.dtype());
        let x = if U::SAVES.a { trace.value(step.input(0)) } else { Traced::Lit(0.0) };
        let y = if U::SAVES.y { trace.value(step.output(0)) } else { Traced::Lit(0.0) };
        let factor = U::factor(x, y, p.map(Traced::Lit));
        let out = trace.value(g.clone()).annihilate(factor);
        let out = trace.finish(out)?;
        if U::LENGTH {
            let (x, y) = (step.input(0), apply_unary::<U>(&step.input_array(0).clone().into(), p)?);
            if let Some(tip) = tip_gradient(step, &g, y.array(), |curvature| multiply(curvature, &x))? {
                return Ok(one_gradient(add(&out, &tip)?));
            }
        }
        return Ok(one_gradient(out));
    }
    let g = step.take_array();
    let g = if step.collects(0, g.shape()) { Cotangent::Lent(&g) } else { Cotangent::Given(g) };
    pull_back::<U>(step, g, p)?;
    Ok(Grads::new())
}

/// g ⊗ the factor.
fn pull_back<U: Unary + ?Sized>(step: &mut Step<'_>, g: Cotangent<'_>, p: [f64; 2]) -> Result<()> {
    // Known when it is compiled, and asked so that the loops of one way alone are.
    if const { U::SAVES.a && U::SAVES.y } {
        let [x, y] = [step.input_array(0), step.output_array(0)];
        pull::<Backward<U>, 2, 3>(step, 0, g, [x.into(), y.into()], p)
    } else if const { U::SAVES.a } {
        let x = step.input_array(0);
        pull::<Backward<U>, 1, 2>(step, 0, g, [x.into()], p)
    } else if const { U::SAVES.y } {
        let y = step.output_array(0);
        pull::<Backward<U>, 1, 2>(step, 0, g, [y.into()], p)
    } else {
        pull::<Backward<U>, 0, 1>(step, 0, g, [], p)
    }
}
