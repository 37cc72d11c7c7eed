//! Terms that the formulas of several methods share.

use crate::kernel::math::{Real, pick};

/// The factor of the gradient: `scale`, or its negative if the objective is maximized.
pub(super) fn sign(maximize: bool, scale: f64) -> f64 {
    if maximize { -scale } else { scale }
}

/// The factor by which decoupled decay shrinks the parameter, and the decay that is added to the gradient. One of the two is neutral.
pub(super) fn split_decay(lr: f64, weight_decay: f64, decoupled: bool) -> (f64, f64) {
    if decoupled { (1.0 - lr * weight_decay, 0.0) } else { (1.0, weight_decay) }
}

/// g + `weight_decay` · p, and exactly g without decay.
#[inline(always)]
pub(super) fn decayed<T: Real>(g: T, p: T, weight_decay: f64) -> T {
    pick(weight_decay == 0.0, g, g + T::lit(weight_decay) * p)
}

/// a + weight · (b - a), computed from the nearer end, as in PyTorch.
#[inline(always)]
pub(super) fn lerp<T: Real>(a: T, b: T, weight: f64) -> T {
    pick(weight < 0.5, a + T::lit(weight) * (b - a), b - (b - a) * T::lit(1.0 - weight))
}

/// The running mean of g², with decay rate `beta`.
#[inline(always)]
pub(super) fn mean_square<T: Real>(square: T, g: T, beta: f64) -> T {
    square * T::lit(beta) + T::lit(1.0 - beta) * g * g
}
