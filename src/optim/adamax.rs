//! Adamax.

use super::formulas::{decayed, lerp, sign};
use super::{Method, State, decay_rates, not_negative};
use crate::array::Array;
use crate::error::Result;
use crate::kernel::math::{Real, pick};
use crate::kernel::optimizer_update::Update;

/// Adamax (Kingma & Ba 2015): Adam with the largest gradient in place of the mean square.
#[derive(Debug)]
pub enum Adamax {}

/// Options of [`Adamax`]; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamaxOptions {
    /// Learning rate.
    pub lr: f64,
    /// Decay rates of the two running values.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// The parameter times this is added to the gradient.
    pub weight_decay: f64,
    /// Ascend instead of descending.
    pub maximize: bool,
}

impl Default for AdamaxOptions {
    fn default() -> Self {
        Self { lr: 2e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, maximize: false }
    }
}

/// The numbers of one step of [`Adamax`].
#[derive(Clone, Copy, Debug)]
pub struct AdamaxStep {
    size: f64,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
    sign: f64,
}

impl Update<2> for AdamaxStep {
    const COST: f64 = 1.0;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [mean, most]: [T; 2]) -> (T, [T; 2]) {
        let g = decayed(T::lit(self.sign) * g, p, self.weight_decay);
        let mean = lerp(mean, g, 1.0 - self.betas[0]);
        let (old, new) = (most * T::lit(self.betas[1]), g.abs() + T::lit(self.eps));
        // NaN must be preserved.
        let most = pick(old > new, old, new);
        (p - T::lit(self.size) * mean / most, [mean, most])
    }
}

impl Method for Adamax {
    const NAME: &'static str = "Adamax";
    const SLOTS: &'static [&'static str] = &["exp_avg", "exp_inf"];
    const COUNTS: bool = true;
    type Options = AdamaxOptions;

    fn check(o: &AdamaxOptions) -> Result<()> {
        not_negative(Self::NAME, "lr", o.lr)?;
        not_negative(Self::NAME, "eps", o.eps)?;
        not_negative(Self::NAME, "weight_decay", o.weight_decay)?;
        decay_rates(Self::NAME, o.betas)
    }

    type Step = AdamaxStep;

    fn prepare(o: &AdamaxOptions, t: f64, scale: f64) -> AdamaxStep {
        let size = o.lr / (1.0 - o.betas[0].powf(t));
        AdamaxStep { size, betas: o.betas, eps: o.eps, weight_decay: o.weight_decay, sign: sign(o.maximize, scale) }
    }

    fn update(step: AdamaxStep, state: &mut State, p: &mut Array, g: &Array) {
        state.sweep(step, [0, 1], p, g);
    }
}
