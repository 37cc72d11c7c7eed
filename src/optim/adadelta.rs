//! Adadelta.

use super::formulas::{decayed, sign};
use super::{Method, State, not_negative};
use crate::array::Array;
use crate::error::{Error, Result};
use crate::kernel::math::Real;
use crate::kernel::optimizer_update::Update;

/// Adadelta (Zeiler 2012): steps in the units of the parameter.
#[derive(Debug)]
pub enum Adadelta {}

/// Options of [`Adadelta`]; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct AdadeltaOptions {
    /// Learning rate.
    pub lr: f64,
    /// Decay rate of the mean squares.
    pub rho: f64,
    /// Added to the mean squares.
    pub eps: f64,
    /// The parameter times this is added to the gradient.
    pub weight_decay: f64,
    /// Ascend instead of descending.
    pub maximize: bool,
}

impl Default for AdadeltaOptions {
    fn default() -> Self {
        Self { lr: 1.0, rho: 0.9, eps: 1e-6, weight_decay: 0.0, maximize: false }
    }
}

/// The numbers of one step of [`Adadelta`].
#[derive(Clone, Copy, Debug)]
pub struct AdadeltaStep {
    lr: f64,
    rho: f64,
    eps: f64,
    weight_decay: f64,
    sign: f64,
}

impl Update<2> for AdadeltaStep {
    const COST: f64 = 1.6;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [square, moved]: [T; 2]) -> (T, [T; 2]) {
        let g = decayed(T::lit(self.sign) * g, p, self.weight_decay);
        let (rho, rest, eps) = (T::lit(self.rho), T::lit(1.0 - self.rho), T::lit(self.eps));
        let square = square * rho + rest * g * g;
        let delta = (moved + eps).sqrt() / (square + eps).sqrt() * g;
        (p - T::lit(self.lr) * delta, [square, moved * rho + rest * delta * delta])
    }
}

impl Method for Adadelta {
    const NAME: &'static str = "Adadelta";
    const SLOTS: &'static [&'static str] = &["square_avg", "acc_delta"];
    const COUNTS: bool = true;
    type Options = AdadeltaOptions;

    fn check(o: &AdadeltaOptions) -> Result<()> {
        not_negative(Self::NAME, "lr", o.lr)?;
        not_negative(Self::NAME, "eps", o.eps)?;
        not_negative(Self::NAME, "weight_decay", o.weight_decay)?;
        if !(0.0..=1.0).contains(&o.rho) {
            return Err(Error::Value(format!("Adadelta: rho must lie in [0, 1], not {}", o.rho)));
        }
        Ok(())
    }

    type Step = AdadeltaStep;

    fn prepare(o: &AdadeltaOptions, _: f64, scale: f64) -> AdadeltaStep {
        AdadeltaStep { lr: o.lr, rho: o.rho, eps: o.eps, weight_decay: o.weight_decay, sign: sign(o.maximize, scale) }
    }

    fn update(step: AdadeltaStep, state: &mut State, p: &mut Array, g: &Array) {
        state.sweep(step, [0, 1], p, g);
    }
}
