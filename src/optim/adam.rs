//! Adam, and the variant with decoupled weight decay.

use super::formulas::{decayed, lerp, mean_square, sign, split_decay};
use super::{Method, State, decay_rates, not_negative};
use crate::array::Array;
use crate::error::Result;
use crate::kernel::math::{Real, pick};
use crate::kernel::optimizer_update::Update;

/// Adam (Kingma & Ba 2015), `AMSGrad` (Reddi et al. 2018), and `AdamW` (Loshchilov & Hutter 2019) with
/// [`AdamOptions::decoupled_weight_decay`].
#[derive(Debug)]
pub enum Adam {}

/// Options of [`Adam`]; the defaults are PyTorch's for Adam.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamOptions {
    /// Learning rate.
    pub lr: f64,
    /// Decay rates of the means of the gradient and of its square.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Divide by the largest mean square so far.
    pub amsgrad: bool,
    /// Ascend instead of descending.
    pub maximize: bool,
    /// Whether weight decay is separate from the gradient: parameters shrink by lr · `weight_decay` in each step.
    pub decoupled_weight_decay: bool,
}

impl Default for AdamOptions {
    fn default() -> Self {
        Self { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, amsgrad: false, maximize: false, decoupled_weight_decay: false }
    }
}

impl AdamOptions {
    /// The defaults of `AdamW`.
    #[must_use]
    pub fn adamw() -> Self {
        Self { weight_decay: 1e-2, decoupled_weight_decay: true, ..Self::default() }
    }
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    betas: [f64; 2],
    eps: f64,
    /// lr / (1 - beta1ᵗ)
    size: f64,
    /// 1 / √(1 - beta2ᵗ)
    correction: f64,
    /// The factor by which decay shrinks the parameter.
    shrink: f64,
    weight_decay: f64,
    sign: f64,
    amsgrad: bool,
}

impl Step {
    /// The parameter after decay, and the two means.
    #[inline(always)]
    fn means<T: Real>(self, p: T, g: T, mean: T, square: T) -> (T, T, T) {
        let g = decayed(T::lit(self.sign) * g, p, self.weight_decay);
        let mean = lerp(mean, g, 1.0 - self.betas[0]);
        let square = mean_square(square, g, self.betas[1]);
        (p * T::lit(self.shrink), mean, square)
    }

    #[inline(always)]
    fn walk<T: Real>(self, p: T, mean: T, square: T) -> T {
        let denominator = square.sqrt() * T::lit(self.correction) + T::lit(self.eps);
        p - T::lit(self.size) * mean / denominator
    }
}

impl Update<2> for Step {
    const COST: f64 = 1.2;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [mean, square]: [T; 2]) -> (T, [T; 2]) {
        let (p, mean, square) = self.means(p, g, mean, square);
        (self.walk(p, mean, square), [mean, square])
    }
}

/// With `AMSGrad`.
impl Update<3> for Step {
    const COST: f64 = 1.5;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [mean, square, most]: [T; 3]) -> (T, [T; 3]) {
        let (p, mean, square) = self.means(p, g, mean, square);
        // NaN must be preserved.
        let most = pick(most > square, most, square);
        (self.walk(p, mean, most), [mean, square, most])
    }
}

impl Method for Adam {
    const NAME: &'static str = "Adam";
    const SLOTS: &'static [&'static str] = &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];
    const COUNTS: bool = true;
    type Options = AdamOptions;

    fn name(o: &AdamOptions) -> &'static str {
        if o.decoupled_weight_decay { "AdamW" } else { Self::NAME }
    }

    fn check(o: &AdamOptions) -> Result<()> {
        let name = Self::name(o);
        not_negative(name, "lr", o.lr)?;
        not_negative(name, "eps", o.eps)?;
        not_negative(name, "weight_decay", o.weight_decay)?;
        decay_rates(name, o.betas)
    }

    fn slots(o: &AdamOptions) -> Vec<usize> {
        if o.amsgrad { vec![0, 1, 2] } else { vec![0, 1] }
    }

    type Step = Step;

    fn prepare(o: &AdamOptions, t: f64, scale: f64) -> Step {
        let (shrink, weight_decay) = split_decay(o.lr, o.weight_decay, o.decoupled_weight_decay);
        Step {
            betas: o.betas,
            eps: o.eps,
            size: o.lr / (1.0 - o.betas[0].powf(t)),
            correction: 1.0 / (1.0 - o.betas[1].powf(t)).sqrt(),
            shrink,
            weight_decay,
            sign: sign(o.maximize, scale),
            amsgrad: o.amsgrad,
        }
    }

    fn update(step: Step, state: &mut State, p: &mut Array, g: &Array) {
        if step.amsgrad {
            state.sweep(step, [0, 1, 2], p, g);
        } else {
            state.sweep(step, [0, 1], p, g);
        }
    }
}
