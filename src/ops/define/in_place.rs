//! A binary operation that overwrites its first operand.

use super::two_arrays::{Binary, Forward2, cast, input, result_type};
use crate::array::{Array, DType};
use crate::dispatch;
use crate::error::Result;
use crate::kernel::blocks::{self, Input};
use crate::kernel::map;
use crate::ops::registry::Operand;
use crate::tape::Variable;

/// Overwrites `a` with `B` of `a` and `b`, without history. Returns `false`, without doing anything, when the buffer is shared or the
/// result has another shape or dtype.
///
/// # Errors
/// As [`apply_binary`](super::apply_binary).
pub fn update_binary<B: Binary + ?Sized>(a: &mut Array, b: Operand<'_>) -> Result<bool> {
    let dtype = a.dtype();
    let is_known = dtype.is_float() || (B::INTEGERS && dtype.is_integer());
    if !is_known || !a.is_unique() {
        return Ok(false);
    }
    if let (Some(shortcut), Operand::Scalar(s)) = (B::SHORTCUT, b)
        && dtype.is_float()
        && let Some(other) = shortcut(s)
    {
        (other.update)(a);
        return Ok(true);
    }
    let (to, shape) = result_type(B::NAME, &Operand::Variable(&Variable::from(a.clone())), &b)?;
    if to != dtype || shape.as_slice() != a.shape() {
        return Ok(false);
    }
    if dtype.is_float() {
        let b = cast(b, dtype)?;
        map::update::<Forward2<B>, 1, 2>(a, [input(&b)], [0.0; 2]);
        return Ok(true);
    }
    B::check_integers(&b, &b)?;
    let b = cast(b, dtype)?;
    let operand = input(&b);
    if let Input::Scalar(s) = operand {
        s.check(B::NAME, dtype)?;
    }
    dispatch!(integer dtype, T => blocks::update_with(a, [operand], |x: &mut T, [y]: [T; 1]| *x = B::integer(*x, y)), else unreachable!("{dtype} is {}", DType::I64));
    Ok(true)
}
