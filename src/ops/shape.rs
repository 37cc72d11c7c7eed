//! Shapes: casts, reshapes, permutations, joins and cuts.

use crate::array::{Array, DType, Element, Scalar};
use crate::dispatch;
use crate::error::Result;
use crate::kernel::blocks::{self, Input};
use crate::tape::{Grads, Op, Rule, Step, Variable, record};

static ASTYPE: Op = Op { name: "astype", rule: Rule::Vjp(astype_vjp) };

fn astype_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let dtype = step.meta(0).dtype;
    Ok(Grads::from_iter([Some(astype(&step.take_g(), dtype)?)]))
}

/// `x` in another dtype; itself when it has that dtype already.
///
/// # Errors
/// Those of recording.
pub fn astype(x: &Variable, dtype: DType) -> Result<Variable> {
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    let input = [Input::from(x.array())];
    let out: Array = dispatch!(x.dtype(), S => dispatch!(dtype, T => blocks::map(input, x.shape(), |[v]: [S; 1]| T::from_scalar(v.to_scalar()))));
    record(&ASTYPE, &[x], out, |_| {})
}

/// A 0-d array of a number.
#[must_use]
pub fn scalar(value: impl Into<Scalar>, dtype: DType) -> Variable {
    Array::full(&[], value.into(), dtype).into()
}
