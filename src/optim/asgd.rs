//! Averaged stochastic gradient descent.

use super::formulas::{decayed, sign};
use super::{Method, State, not_negative};
use crate::array::Array;
use crate::error::Result;
use crate::kernel::math::{Real, pick};
use crate::kernel::optimizer_update::Update;

/// Averaged stochastic gradient descent (Polyak & Juditsky 1992).
#[derive(Debug)]
pub enum Asgd {}

/// Options of [`Asgd`]; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct AsgdOptions {
    /// Learning rate.
    pub lr: f64,
    /// The decay of parameters.
    pub lambd: f64,
    /// The exponent with which the learning rate decreases.
    pub alpha: f64,
    /// The step from which parameters are averaged.
    pub t0: f64,
    /// The parameter times this is added to the gradient.
    pub weight_decay: f64,
    /// Ascend instead of descending.
    pub maximize: bool,
}

impl Default for AsgdOptions {
    fn default() -> Self {
        Self { lr: 1e-2, lambd: 1e-4, alpha: 0.75, t0: 1e6, weight_decay: 0.0, maximize: false }
    }
}

/// The numbers of one step of [`Asgd`].
#[derive(Clone, Copy, Debug)]
pub struct AsgdStep {
    rate: f64,
    share: f64,
    lambd: f64,
    weight_decay: f64,
    sign: f64,
}

impl Update<1> for AsgdStep {
    const COST: f64 = 0.6;
    const WIDE: bool = false;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [average]: [T; 1]) -> (T, [T; 1]) {
        let g = decayed(T::lit(self.sign) * g, p, self.weight_decay);
        let p = p * T::lit(1.0 - self.lambd * self.rate) - T::lit(self.rate) * g;
        let average = pick(self.share >= 1.0, p, average + T::lit(self.share) * (p - average));
        (p, [average])
    }
}

impl Method for Asgd {
    const NAME: &'static str = "ASGD";
    const SLOTS: &'static [&'static str] = &["ax"];
    const COUNTS: bool = true;
    const DERIVED: &'static [&'static str] = &["eta", "mu"];
    type Options = AsgdOptions;

    fn check(o: &AsgdOptions) -> Result<()> {
        not_negative(Self::NAME, "lr", o.lr)?;
        not_negative(Self::NAME, "weight_decay", o.weight_decay)
    }

    type Step = AsgdStep;

    fn prepare(o: &AsgdOptions, t: f64, scale: f64) -> AsgdStep {
        let before = t - 1.0;
        let rate = o.lr / (1.0 + o.lambd * o.lr * before).powf(o.alpha);
        let share = 1.0 / (before - o.t0).max(1.0);
        AsgdStep { rate, share, lambd: o.lambd, weight_decay: o.weight_decay, sign: sign(o.maximize, scale) }
    }

    fn update(step: AsgdStep, state: &mut State, p: &mut Array, g: &Array) {
        state.sweep(step, [0], p, g);
    }
}
