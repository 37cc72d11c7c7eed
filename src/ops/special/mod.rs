//! Special functions: elementwise primitives that share one loop, with their derivatives as formulas.
//!
//! A derivative is a formula over recorded values, so it can be differentiated: gradients of any order, tangents and batches follow. A
//! derivative that cannot be expressed by other functions (of the incomplete functions with respect to their shapes) is a function of its
//! own, with the order as an attribute.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "orders are small")]

mod bessel;
mod entropy;
mod error_function;
mod gamma;
mod incomplete;

use super::registry::{Arg, Args, Entry, Gradient, Operand, Param, Sample, Value};
use super::samples::{Domain, Draw};
use super::shape::{astype, scalar};
use super::traced::{Trace, Traced};
use crate::array::{DType, Shape, broadcast_shapes, check_memory, default_float};
use crate::error::{Error, Result};
use crate::kernel::blocks::Input;
use crate::kernel::field::Field;
use crate::kernel::special::{self as kernel, Function};
use crate::tape::{Batch, Call, Jvp, JvpContext, Primitive, Saver, Variable, Vjp, VjpContext, apply};
use serde::{Deserialize, Serialize};

pub use entropy::{expit, log_expit};

/// The integers of a call: orders of derivatives, a branch.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Orders {
    orders: [i64; 2],
}
crate::attributes!(Orders);

/// No integers.
const NONE: [i64; 2] = [0, 0];

/// A function of `N` arrays, element by element.
pub(crate) trait Special<const N: usize>: 'static {
    /// Its name.
    const NAME: &'static str;
    /// Nanoseconds per element.
    const COST: f64;
    /// Whether a derivative uses the value.
    const NEEDS_VALUE: bool = false;
    /// The function.
    const VALUE: Function<N>;
    /// Its derivative with respect to argument `i`; `y` is the value.
    fn slope<'t>(i: usize, x: [Traced<'t>; N], y: Traced<'t>, orders: [i64; 2]) -> Traced<'t>;
    /// Its primitive.
    const PRIMITIVE: &'static Primitive = &Primitive {
        name: Self::NAME,
        eval: |call| eval(call, Self::VALUE, Self::COST),
        saves: |s| saves(s, N, Self::NEEDS_VALUE),
        vjp: Vjp::Rule(pull::<Self, N>),
        jvp: Jvp::Factor(push::<Self, N>),
        batch: Batch::Elementwise,
        ..Primitive::BASE
    };
}

/// Evaluates a function over broadcast operands.
fn eval<const N: usize>(call: &mut Call<'_>, f: Function<N>, cost: f64) -> Result<()> {
    let arrays: [_; N] = std::array::from_fn(|i| call.array(i));
    let shape = arrays[1..].iter().try_fold(Shape::from_slice(arrays[0].shape()), |shape, a| {
        broadcast_shapes(&shape, a.shape()).ok_or_else(|| Error::broadcast(call.name(), &shape, a.shape()))
    })?;
    check_memory(call.name(), &shape, arrays[0].dtype())?;
    let orders = call.attrs::<Orders>().orders;
    call.give(kernel::map(f, arrays.map(Input::from), &shape, arrays[0].dtype(), orders, cost));
    Ok(())
}

fn saves(s: &mut Saver<'_>, inputs: usize, needs_value: bool) {
    for i in 0..inputs {
        s.input(u8::try_from(i).unwrap_or(u8::MAX));
    }
    if needs_value {
        s.output(0);
    }
}

/// `g` times the derivative with respect to argument `i`.
fn times_slope<S: Special<N> + ?Sized, const N: usize>(
    g: Variable,
    i: usize,
    x: [Variable; N],
    y: Option<Variable>,
    orders: [i64; 2],
) -> Result<Variable> {
    let trace = Trace::new(g.dtype());
    let x = x.map(|x| trace.value(x));
    let y = y.map_or(Traced::Lit(f64::NAN), |y| trace.value(y));
    let slope = S::slope(i, x, y, orders);
    let out = trace.value(g).annihilate(slope);
    trace.finish(out)
}

fn pull<S: Special<N> + ?Sized, const N: usize>(ctx: &mut VjpContext<'_>) -> Result<()> {
    let g = ctx.cotangent();
    let orders = ctx.attrs::<Orders>().orders;
    let x: [Variable; N] = std::array::from_fn(|i| ctx.input(u8::try_from(i).unwrap_or(u8::MAX)));
    let y = S::NEEDS_VALUE.then(|| ctx.output(0));
    ctx.add_each(|i| times_slope::<S, N>(g.clone(), i, x.clone(), y.clone(), orders))
}

fn push<S: Special<N> + ?Sized, const N: usize>(ctx: &JvpContext<'_>, i: usize, t: Variable) -> Result<Variable> {
    let y = S::NEEDS_VALUE.then(|| ctx.outputs[0].clone());
    times_slope::<S, N>(t, i, std::array::from_fn(|i| ctx.input(i)), y, ctx.attrs::<Orders>().orders)
}

/// Applies a special function: operands are promoted to one floating dtype and broadcast.
///
/// # Errors
/// `Shape` when the operands do not broadcast.
pub(crate) fn special<S: Special<N> + ?Sized, const N: usize>(args: [Operand<'_>; N], orders: [i64; 2]) -> Result<Variable> {
    let dtype = args.iter().fold(None::<DType>, |dtype, a| match (dtype, a) {
        (None, Operand::Variable(v)) => Some(v.dtype()),
        (Some(d), Operand::Variable(v)) => Some(d.promote(v.dtype())),
        (dtype, Operand::Scalar(_)) => dtype,
    });
    let dtype = args.iter().fold(dtype.unwrap_or(DType::Bool), |d, a| if let Operand::Scalar(s) = a { s.promote(d) } else { d });
    if dtype.is_complex() {
        return Err(Error::dtype(S::NAME, dtype, "a real one"));
    }
    let dtype = if dtype.is_float() { dtype } else { default_float() };
    let mut arrays = Vec::with_capacity(N);
    for a in args {
        arrays.push(match a {
            Operand::Variable(v) => astype(v, dtype)?,
            Operand::Scalar(s) => scalar(s, dtype),
        });
    }
    let operands: [Operand<'_>; N] = std::array::from_fn(|i| Operand::Variable(&arrays[i]));
    apply(S::PRIMITIVE, &operands, &Orders { orders })
}

/// A special function within a derivative.
fn of<S: Special<N> + ?Sized, const N: usize>(args: [Traced<'_>; N], orders: [i64; 2]) -> Traced<'_> {
    Traced::call(args, |x| special::<S, N>(x.map(Operand::from), orders))
}

/// A constant.
fn lit<'t>(v: f64) -> Traced<'t> {
    Traced::Lit(v)
}

/// A call from a row whose parameters are the arrays.
fn call<S: Special<N> + ?Sized, const N: usize>(a: &Args<'_>) -> Result<Value> {
    let mut operands = [Operand::Scalar(0.0.into()); N];
    for (i, o) in operands.iter_mut().enumerate() {
        *o = a.operand(i)?;
    }
    Ok(special::<S, N>(operands, NONE)?.into())
}

/// A row of a function of `N` arrays.
const fn row<S: Special<N> + ?Sized, const N: usize>(
    params: &'static [Param],
    doc: &'static str,
    gradient: &'static str,
    samples: fn() -> Vec<Sample>,
) -> Entry {
    Entry {
        name: S::NAME,
        module: "special",
        primitive: Some(S::PRIMITIVE),
        doc,
        params,
        call: call::<S, N>,
        cost: S::COST,
        gradient: Gradient::Rule(gradient),
        method: false,
        samples,
        ..Entry::BASE
    }
}

/// A function of `N` arrays that has no row of its own.
const fn inner<S: Special<N> + ?Sized, const N: usize>() -> Entry {
    Entry { name: S::NAME, primitive: Some(S::PRIMITIVE), ..Entry::BASE }
}

/// Arrays of three shapes and layouts for a function of `N` arrays, then `rest`.
fn arrays<const N: usize>(domains: [Domain; N], rest: &[Arg]) -> Vec<Sample> {
    let draw = &mut Draw::new(31);
    let mut out = Vec::new();
    let shapes: [&[usize]; 3] = [&[5], &[2, 3], &[0, 2]];
    for shape in shapes {
        let args = domains.iter().map(|d| Arg::Variable(d.strided(draw, shape))).chain(rest.iter().cloned());
        out.push(Sample { args: args.collect() });
    }
    let args = domains.iter().enumerate().map(|(i, d)| Arg::Variable(d.array(draw, if i == 0 { &[3, 1][..] } else { &[2][..] })));
    out.push(Sample { args: args.chain(rest.iter().cloned()).collect() });
    out
}

/// A special function from its parts.
macro_rules! special_function {
    (
        $(#[doc = $doc:literal])+
        $name:ident($($x:ident),+), $cost:literal, |$args:pat_param, $o:pat_param| $value:expr;
        $(needs $needs:literal;)?
        slope |$i:pat_param, $sx:pat_param, $y:pat_param, $so:pat_param| $slope:expr;
    ) => {
        $(#[doc = $doc])+
        #[allow(non_camel_case_types, reason = "the name of a function")]
        #[derive(Debug)]
        pub enum $name {}
        impl $crate::ops::special::Special<{ [$(stringify!($x)),+].len() }> for $name {
            const NAME: &'static str = stringify!($name);
            const COST: f64 = $cost;
            $(const NEEDS_VALUE: bool = $needs;)?
            const VALUE: $crate::kernel::special::Function<{ [$(stringify!($x)),+].len() }> = |$args, $o| $value;
            fn slope<'t>(
                $i: usize,
                $sx: [$crate::ops::traced::Traced<'t>; [$(stringify!($x)),+].len()],
                $y: $crate::ops::traced::Traced<'t>,
                $so: [i64; 2],
            ) -> $crate::ops::traced::Traced<'t> {
                $slope
            }
        }
    };
}
use special_function;

/// The families of rows.
pub const FAMILIES: [&[Entry]; 5] = [gamma::ENTRIES, error_function::ENTRIES, bessel::ENTRIES, entropy::ENTRIES, incomplete::ENTRIES];
/// The families of functions without a row.
pub const INNER: [&[Entry]; 5] = [gamma::INNER, error_function::INNER, bessel::INNER, entropy::INNER, incomplete::INNER];
