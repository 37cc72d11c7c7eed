//! Elementary functions for loops.
#![allow(clippy::inline_always)] // a function that is not inlined is compiled for the wrong instruction set
#![allow(clippy::many_single_char_names)] // the formulas of the literature
#![allow(clippy::needless_bitwise_bool)] // `&&` is a branch

mod coefficients;
mod erf;
mod exp;
mod log;
mod power;
mod real;
mod trigonometric;

pub use erf::erf;
pub use exp::{cosh, exp, expm1, sigmoid, sinh, tanh};
pub use log::{log, log1p, log2, log10};
pub use power::pow;
pub use real::{Real, fma, is_nan, pick};
pub use trigonometric::{cos, is_far, sin, tan};

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
