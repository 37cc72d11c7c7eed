//! Functions of 16-bit floats: computed in float32 throughout, with results rounded once.
//!
//! The [gate](crate::tape::apply) does this for each primitive. A function composed of several primitives loses less accuracy when its
//! intermediate values stay in float32, too.

use super::autocast::{self, Policy};
use super::registry::{Arg, Args, Entry, Value, Views};
use crate::array::DType;
use crate::error::Result;
use crate::tape::Variable;
use crate::tape::half::{narrow, rounded, widen};

/// The arrays of an argument.
fn arrays(arg: &Arg) -> &[Variable] {
    match arg {
        Arg::Variable(v) => std::slice::from_ref(v),
        Arg::Variables(all) => all,
        _ => &[],
    }
}

/// Whether calls must go through [`call`].
#[must_use]
pub fn is_met(entry: &Entry, args: &[Arg]) -> bool {
    let is_half = |arg: &Arg| match arg {
        Arg::DType(d) => d.is_half(),
        _ => arrays(arg).iter().any(|v| v.dtype().is_half()),
    };
    args.iter().any(is_half) && !entry.moves && entry.views == Views::No || autocast::dtype().is_some() && is_cast(entry, args)
}

/// Whether `autocast` changes a call: the floating arrays promote to float32 or to a 16-bit dtype.
#[cold]
fn is_cast(entry: &Entry, args: &[Arg]) -> bool {
    let met = args.iter().flat_map(arrays).map(Variable::dtype).filter(|d| d.is_inexact()).reduce(DType::promote);
    autocast::policy(entry) != Policy::Promote && met.is_some_and(|d| d == DType::F32 || d.is_half())
}

/// Calls a function with its arrays in float32. A float32 result is converted to the requested dtype, or to the promoted dtype of the
/// arrays.
///
/// # Errors
/// Those of the function.
#[cold]
pub fn call(entry: &Entry, args: &mut [Arg]) -> Result<Value> {
    let policy = if is_cast(entry, args) { autocast::policy(entry) } else { Policy::Promote };
    let to = match policy {
        Policy::Promote => target(args),
        Policy::Round(dtype) => Some(dtype),
        Policy::Single => None,
    };
    let single = |v: &mut Variable| -> Result<()> {
        if let (Policy::Round(dtype), true) = (policy, v.dtype().is_real_floating()) {
            *v = super::astype(v, dtype)?;
        }
        *v = widen(v)?;
        Ok(())
    };
    for arg in args.iter_mut() {
        match arg {
            Arg::Variable(v) => single(v)?,
            Arg::Variables(all) => all.iter_mut().try_for_each(single)?,
            Arg::DType(d) if d.is_half() => *d = DType::F32,
            _ => {}
        }
    }
    Ok(match (entry.call)(&Args::new(entry.name, args))? {
        Value::One(y) => Value::One(narrow(y, to)?),
        Value::Many(all) => Value::Many(all.into_iter().map(|y| narrow(y, to)).collect::<Result<_>>()?),
    })
}

/// The dtype that float32 results are rounded to.
fn target(args: &[Arg]) -> Option<DType> {
    if let Some(asked) = args.iter().find_map(|arg| if let Arg::DType(d) = arg { Some(*d) } else { None }) {
        return Some(asked).filter(|d| d.is_half());
    }
    rounded(args.iter().flat_map(arrays).map(Variable::dtype))
}

/// Applies `f` to `x` in float32.
///
/// # Errors
/// Those of `f`.
#[cold]
pub fn of_one(x: &Variable, f: impl FnOnce(&Variable) -> Result<Variable>) -> Result<Variable> {
    narrow(f(&widen(x)?)?, Some(x.dtype()))
}

/// A product of `a` and `b` in float32, whose operands and result are rounded to `to`.
///
/// # Errors
/// Those of `f`.
#[cold]
pub fn product(a: &Variable, b: &Variable, to: DType, f: impl FnOnce(&Variable, &Variable) -> Result<Variable>) -> Result<Variable> {
    let operand = |x: &Variable| if x.dtype() == DType::F32 { widen(&super::astype(x, to)?) } else { widen(x) };
    narrow(f(&operand(a)?, &operand(b)?)?, Some(to))
}

/// [`product`] inside `autocast`. Products of float64 and of integers are not changed.
///
/// # Errors
/// Those of `f`.
#[cold]
pub fn cast_product(a: &Variable, b: &Variable, to: DType, f: impl FnOnce(&Variable, &Variable) -> Result<Variable>) -> Result<Variable> {
    let met = a.dtype().promote(b.dtype());
    if met == DType::F32 || met.is_half() { product(a, b, to, f) } else { f(a, b) }
}
