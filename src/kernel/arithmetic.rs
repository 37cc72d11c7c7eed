//! Sums of whole arrays, for the backward pass.

use crate::array::Array;
use crate::dispatch;
use crate::kernel::blocks::{self, Input};
use crate::kernel::cast::in_single;

/// `a + b` of one shape and dtype.
///
/// # Panics
/// When shapes or dtypes differ or the dtype is not inexact: bugs of the caller.
#[must_use]
pub fn add(a: &Array, b: &Array) -> Array {
    dispatch!(inexact a.dtype(), T => blocks::map([Input::from(a), Input::from(b)], a.shape(), |[x, y]: [T; 2]| x + y), else {
        let mut sum = a.clone();
        in_single(&mut sum, b, add_in_place);
        sum
    })
}

/// `a += b`, in place when `a` is unshared.
///
/// # Panics
/// As [`add`].
pub fn add_in_place(a: &mut Array, b: &Array) {
    if a.dtype().is_complex() {
        return dispatch!(inexact a.dtype(), T => blocks::update_with(a, [Input::from(b)], |o: &mut T, [x]: [T; 1]| *o += x),
            else unreachable!("complex dtypes are inexact"));
    }
    dispatch!(float a.dtype(), T => blocks::update(a, [Input::from(b)], 1.0, |inputs: &[&[T]; 1], out: &mut [T]| {
        blocks::in_step(inputs, out, |[x], out| out.iter_mut().zip(*x).for_each(|(o, x)| *o += x));
    }), else in_single(a, b, add_in_place));
}
