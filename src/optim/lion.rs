//! Lion.

use super::formulas::sign;
use super::{Method, State, decay_rates, not_negative};
use crate::array::Array;
use crate::error::Result;
use crate::kernel::math::{Real, pick};
use crate::kernel::optimizer_update::Update;

/// Lion (Chen et al. 2023): steps along the sign of a mean of gradients.
#[derive(Debug)]
pub enum Lion {}

/// Options of [`Lion`]; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct LionOptions {
    /// Learning rate.
    pub lr: f64,
    /// Decay rates of the two running values.
    pub betas: [f64; 2],
    /// Parameters shrink by lr · `weight_decay` in each step.
    pub weight_decay: f64,
    /// Ascend instead of descending.
    pub maximize: bool,
}

impl Default for LionOptions {
    fn default() -> Self {
        Self { lr: 1e-4, betas: [0.9, 0.99], weight_decay: 0.0, maximize: false }
    }
}

/// The numbers of one step of [`Lion`].
#[derive(Clone, Copy, Debug)]
pub struct LionStep {
    lr: f64,
    betas: [f64; 2],
    shrink: f64,
    sign: f64,
}

impl Update<1> for LionStep {
    const COST: f64 = 0.8;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [mean]: [T; 1]) -> (T, [T; 1]) {
        let (zero, g) = (T::lit(0.0), T::lit(self.sign) * g);
        let mix = mean * T::lit(self.betas[0]) + g * T::lit(1.0 - self.betas[0]);
        let direction = pick(mix > zero, T::lit(1.0), pick(mix < zero, T::lit(-1.0), mix));
        let mean = mean * T::lit(self.betas[1]) + g * T::lit(1.0 - self.betas[1]);
        (p * T::lit(self.shrink) - T::lit(self.lr) * direction, [mean])
    }
}

impl Method for Lion {
    const NAME: &'static str = "Lion";
    const SLOTS: &'static [&'static str] = &["exp_avg"];
    const COUNTS: bool = false;
    type Options = LionOptions;

    fn check(o: &LionOptions) -> Result<()> {
        not_negative(Self::NAME, "lr", o.lr)?;
        not_negative(Self::NAME, "weight_decay", o.weight_decay)?;
        decay_rates(Self::NAME, o.betas)
    }

    type Step = LionStep;

    fn prepare(o: &LionOptions, _: f64, scale: f64) -> LionStep {
        LionStep { lr: o.lr, betas: o.betas, shrink: 1.0 - o.lr * o.weight_decay, sign: sign(o.maximize, scale) }
    }

    fn update(step: LionStep, state: &mut State, p: &mut Array, g: &Array) {
        state.sweep(step, [0], p, g);
    }
}
