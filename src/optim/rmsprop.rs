//! `RMSprop`.

use super::formulas::{decayed, lerp, mean_square, sign};
use super::{Method, State, not_negative};
use crate::array::Array;
use crate::error::Result;
use crate::kernel::math::{Real, pick};
use crate::kernel::optimizer_update::Update;

/// `RMSprop` (Hinton 2012); the centered variant is that of Graves (2013).
#[derive(Debug)]
pub enum RmsProp {}

/// Options of [`RmsProp`]; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct RmsPropOptions {
    /// Learning rate.
    pub lr: f64,
    /// Decay rate of the mean square.
    pub alpha: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// The parameter times this is added to the gradient.
    pub weight_decay: f64,
    /// The share of the last direction that is kept.
    pub momentum: f64,
    /// Divide by the standard deviation of the gradient instead of its root mean square.
    pub centered: bool,
    /// Ascend instead of descending.
    pub maximize: bool,
}

impl Default for RmsPropOptions {
    fn default() -> Self {
        Self { lr: 1e-2, alpha: 0.99, eps: 1e-8, weight_decay: 0.0, momentum: 0.0, centered: false, maximize: false }
    }
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    lr: f64,
    alpha: f64,
    eps: f64,
    weight_decay: f64,
    momentum: f64,
    sign: f64,
    centered: bool,
}

/// A step that also keeps the mean gradient.
#[derive(Clone, Copy)]
struct Centered(Step);

/// A step that also keeps its direction.
#[derive(Clone, Copy)]
struct Moving<S>(S);

impl Step {
    /// The gradient with decay, and the mean square.
    #[inline(always)]
    fn square<T: Real>(self, p: T, g: T, square: T) -> (T, T) {
        let g = decayed(T::lit(self.sign) * g, p, self.weight_decay);
        (g, mean_square(square, g, self.alpha))
    }

    #[inline(always)]
    fn walk<T: Real>(self, p: T, g: T, denominator: T) -> T {
        p - T::lit(self.lr) * g / denominator
    }

    /// The parameter and the direction.
    #[inline(always)]
    fn drift<T: Real>(self, p: T, g: T, denominator: T, direction: T) -> (T, T) {
        let direction = T::lit(self.momentum) * direction + g / denominator;
        (p - T::lit(self.lr) * direction, direction)
    }

    #[inline(always)]
    fn root<T: Real>(self, square: T) -> T {
        square.sqrt() + T::lit(self.eps)
    }

    /// The standard deviation. If gradients are constant, rounding can give a tiny negative variance, which counts as zero.
    #[inline(always)]
    fn deviation<T: Real>(self, square: T, mean: T) -> T {
        let variance = square - mean * mean;
        self.root(pick(variance < T::lit(0.0), T::lit(0.0), variance))
    }
}

impl Update<1> for Step {
    const COST: f64 = 1.0;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [square]: [T; 1]) -> (T, [T; 1]) {
        let (g, square) = self.square(p, g, square);
        (self.walk(p, g, self.root(square)), [square])
    }
}

impl Update<2> for Moving<Step> {
    const COST: f64 = 1.2;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [square, direction]: [T; 2]) -> (T, [T; 2]) {
        let (g, square) = self.0.square(p, g, square);
        let (p, direction) = self.0.drift(p, g, self.0.root(square), direction);
        (p, [square, direction])
    }
}

impl Update<2> for Centered {
    const COST: f64 = 1.2;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [square, mean]: [T; 2]) -> (T, [T; 2]) {
        let (g, square) = self.0.square(p, g, square);
        let mean = lerp(mean, g, 1.0 - self.0.alpha);
        (self.0.walk(p, g, self.0.deviation(square, mean)), [square, mean])
    }
}

impl Update<3> for Moving<Centered> {
    const COST: f64 = 1.5;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [square, direction, mean]: [T; 3]) -> (T, [T; 3]) {
        let step = self.0.0;
        let (g, square) = step.square(p, g, square);
        let mean = lerp(mean, g, 1.0 - step.alpha);
        let (p, direction) = step.drift(p, g, step.deviation(square, mean), direction);
        (p, [square, direction, mean])
    }
}

impl Method for RmsProp {
    const NAME: &'static str = "RMSprop";
    const SLOTS: &'static [&'static str] = &["square_avg", "momentum_buffer", "grad_avg"];
    const COUNTS: bool = true;
    type Options = RmsPropOptions;

    fn check(o: &RmsPropOptions) -> Result<()> {
        not_negative(Self::NAME, "lr", o.lr)?;
        not_negative(Self::NAME, "alpha", o.alpha)?;
        not_negative(Self::NAME, "eps", o.eps)?;
        not_negative(Self::NAME, "weight_decay", o.weight_decay)?;
        not_negative(Self::NAME, "momentum", o.momentum)
    }

    fn slots(o: &RmsPropOptions) -> Vec<usize> {
        let moving = (o.momentum > 0.0).then_some(1);
        std::iter::once(0).chain(moving).chain(o.centered.then_some(2)).collect()
    }

    type Step = Step;

    fn prepare(o: &RmsPropOptions, _: f64, scale: f64) -> Step {
        let sign = sign(o.maximize, scale);
        Step { lr: o.lr, alpha: o.alpha, eps: o.eps, weight_decay: o.weight_decay, momentum: o.momentum, sign, centered: o.centered }
    }

    fn update(step: Step, state: &mut State, p: &mut Array, g: &Array) {
        match (step.centered, step.momentum > 0.0) {
            (false, false) => state.sweep(step, [0], p, g),
            (false, true) => state.sweep(Moving(step), [0, 1], p, g),
            (true, false) => state.sweep(Centered(step), [0, 2], p, g),
            (true, true) => state.sweep(Moving(Centered(step)), [0, 1, 2], p, g),
        }
    }
}
