//! Adagrad.

use super::formulas::{decayed, sign};
use super::{Method, State, not_negative};
use crate::array::Array;
use crate::error::Result;
use crate::kernel::math::Real;
use crate::kernel::optimizer_update::Update;

/// Adagrad (Duchi et al. 2011): steps shrink with the sum of squared gradients.
#[derive(Debug)]
pub enum Adagrad {}

/// Options of [`Adagrad`]; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct AdagradOptions {
    /// Learning rate.
    pub lr: f64,
    /// How fast the learning rate falls with the number of steps.
    pub lr_decay: f64,
    /// The parameter times this is added to the gradient.
    pub weight_decay: f64,
    /// Initial value of the sum of squares.
    pub initial_accumulator_value: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Ascend instead of descending.
    pub maximize: bool,
}

impl Default for AdagradOptions {
    fn default() -> Self {
        Self { lr: 1e-2, lr_decay: 0.0, weight_decay: 0.0, initial_accumulator_value: 0.0, eps: 1e-10, maximize: false }
    }
}

/// The numbers of one step of [`Adagrad`].
#[derive(Clone, Copy, Debug)]
pub struct AdagradStep {
    rate: f64,
    weight_decay: f64,
    eps: f64,
    initial: f64,
    sign: f64,
}

impl Update<1> for AdagradStep {
    const COST: f64 = 1.0;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [sum]: [T; 1]) -> (T, [T; 1]) {
        let g = decayed(T::lit(self.sign) * g, p, self.weight_decay);
        let sum = sum + T::lit(self.initial) + g * g;
        (p - T::lit(self.rate) * g / (sum.sqrt() + T::lit(self.eps)), [sum])
    }
}

impl Method for Adagrad {
    const NAME: &'static str = "Adagrad";
    const SLOTS: &'static [&'static str] = &["sum"];
    const COUNTS: bool = true;
    type Options = AdagradOptions;

    fn check(o: &AdagradOptions) -> Result<()> {
        not_negative(Self::NAME, "lr", o.lr)?;
        not_negative(Self::NAME, "lr_decay", o.lr_decay)?;
        not_negative(Self::NAME, "weight_decay", o.weight_decay)?;
        not_negative(Self::NAME, "initial_accumulator_value", o.initial_accumulator_value)?;
        not_negative(Self::NAME, "eps", o.eps)
    }

    type Step = AdagradStep;

    fn prepare(o: &AdagradOptions, t: f64, scale: f64) -> AdagradStep {
        let rate = o.lr / (1.0 + (t - 1.0) * o.lr_decay);
        // The sum begins as zeros.
        let initial = if t > 1.0 { 0.0 } else { o.initial_accumulator_value };
        AdagradStep { rate, weight_decay: o.weight_decay, eps: o.eps, initial, sign: sign(o.maximize, scale) }
    }

    fn update(step: AdagradStep, state: &mut State, p: &mut Array, g: &Array) {
        state.sweep(step, [0], p, g);
    }
}
