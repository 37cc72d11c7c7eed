//! Rectified Adam.

use super::formulas::{decayed, lerp, mean_square, sign, split_decay};
use super::{Method, State, decay_rates, not_negative};
use crate::array::Array;
use crate::error::Result;
use crate::kernel::math::{Real, pick};
use crate::kernel::optimizer_update::Update;

/// `RAdam` (Liu et al. 2019): Adam that does not use the mean square until its variance is small enough.
#[derive(Debug)]
pub enum RAdam {}

/// Options of [`RAdam`]; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct RAdamOptions {
    /// Learning rate.
    pub lr: f64,
    /// Decay rates of the two running values.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// The parameter times this is added to the gradient.
    pub weight_decay: f64,
    /// Whether weight decay is separate from the gradient: parameters shrink by lr · `weight_decay` in each step.
    pub decoupled_weight_decay: bool,
    /// Ascend instead of descending.
    pub maximize: bool,
}

impl Default for RAdamOptions {
    fn default() -> Self {
        Self { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, decoupled_weight_decay: false, maximize: false }
    }
}

/// The numbers of one step of [`RAdam`].
#[derive(Clone, Copy, Debug)]
pub struct RAdamStep {
    size: f64,
    rectified: f64,
    betas: [f64; 2],
    eps: f64,
    shrink: f64,
    weight_decay: f64,
    sign: f64,
}

impl Update<2> for RAdamStep {
    const COST: f64 = 1.3;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [mean, square]: [T; 2]) -> (T, [T; 2]) {
        let g = decayed(T::lit(self.sign) * g, p, self.weight_decay);
        let mean = lerp(mean, g, 1.0 - self.betas[0]);
        let square = mean_square(square, g, self.betas[1]);
        let adapted = T::lit(self.rectified) / (square.sqrt() + T::lit(self.eps));
        let step = T::lit(self.size) * mean * pick(self.rectified > 0.0, adapted, T::lit(1.0));
        (p * T::lit(self.shrink) - step, [mean, square])
    }
}

impl Method for RAdam {
    const NAME: &'static str = "RAdam";
    const SLOTS: &'static [&'static str] = &["exp_avg", "exp_avg_sq"];
    const COUNTS: bool = true;
    type Options = RAdamOptions;

    fn check(o: &RAdamOptions) -> Result<()> {
        not_negative(Self::NAME, "lr", o.lr)?;
        not_negative(Self::NAME, "eps", o.eps)?;
        not_negative(Self::NAME, "weight_decay", o.weight_decay)?;
        decay_rates(Self::NAME, o.betas)
    }

    type Step = RAdamStep;

    fn prepare(o: &RAdamOptions, t: f64, scale: f64) -> RAdamStep {
        let rest = 1.0 - o.betas[1].powf(t);
        let most = 2.0 / (1.0 - o.betas[1]) - 1.0;
        let length = most - 2.0 * t * o.betas[1].powf(t) / rest;
        let rectified = if length > 5.0 {
            let share = (length - 4.0) * (length - 2.0) * most / ((most - 4.0) * (most - 2.0) * length);
            share.sqrt() * rest.sqrt()
        } else {
            0.0
        };
        let (shrink, weight_decay) = split_decay(o.lr, o.weight_decay, o.decoupled_weight_decay);
        RAdamStep {
            size: o.lr / (1.0 - o.betas[0].powf(t)),
            rectified,
            betas: o.betas,
            eps: o.eps,
            shrink,
            weight_decay,
            sign: sign(o.maximize, scale),
        }
    }

    fn update(step: RAdamStep, state: &mut State, p: &mut Array, g: &Array) {
        state.sweep(step, [0, 1], p, g);
    }
}
