//! Special functions: scalar formulas in double precision, and the one loop that runs them.
//!
//! The functions are rare and slow, so they share one loop. It handles blocks, layouts and dtypes of the operands, and calls the function
//! for each element. Single precision is computed in double and rounded once.
#![allow(clippy::float_cmp, reason = "exact special cases")]
#![allow(clippy::doc_markdown, reason = "mathematics, not code")]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of terms and orders are small")]
#![allow(
    clippy::unreadable_literal,
    clippy::excessive_precision,
    clippy::suboptimal_flops,
    reason = "formulas and coefficients stand as in their sources"
)]
#![allow(clippy::neg_cmp_op_on_partial_ord, reason = "NaN takes the other branch")]

pub mod bessel;
pub mod erf;
pub mod gamma;
pub mod incomplete;
pub mod integral;
pub mod logistic;
mod num;
mod tables;

use crate::array::{Array, DType, Element, Scalar};
use crate::dispatch;
use crate::kernel::blocks::{self, Input};

/// A function of `N` numbers and two integers (orders of derivatives, a branch).
pub type Function<const N: usize> = fn([f64; N], [i64; 2]) -> f64;

/// Applies the function element by element to arrays of one floating dtype that broadcast to `shape`. `cost` is an estimate in nanoseconds
/// per element.
///
/// # Panics
/// When the dtype is not floating or the shapes do not broadcast: bugs of the caller.
pub fn map<const N: usize>(f: Function<N>, inputs: [Input<'_>; N], shape: &[usize], dtype: DType, orders: [i64; 2], cost: f64) -> Array {
    dispatch!(float dtype, T => run::<T, N>(f, inputs, shape, orders, cost), else unreachable!("special functions are over floating dtypes"))
}

fn run<T: Element, const N: usize>(f: Function<N>, inputs: [Input<'_>; N], shape: &[usize], orders: [i64; 2], cost: f64) -> Array {
    let block = |pieces: &[&[T]; N], out: &mut [T]| {
        for (i, y) in out.iter_mut().enumerate() {
            *y = T::from_scalar(Scalar::Float(f(pieces.map(|s| s[i].to_scalar().as_f64()), orders)));
        }
    };
    blocks::zip::<T, T, N>(inputs, shape, cost, false, &|pieces: &[&[T]; N], out: &mut [T]| blocks::in_step(pieces, out, block))
}
