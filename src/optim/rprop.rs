//! Resilient backpropagation.

use super::formulas::sign;
use super::{Method, State, not_negative};
use crate::array::Array;
use crate::error::{Error, Result};
use crate::kernel::math::{Real, pick};
use crate::kernel::optimizer_update::Update;

/// Rprop (Riedmiller & Braun 1993): steps along the sign of the gradient, which grow while the sign does not change.
#[derive(Debug)]
pub enum Rprop {}

/// Options of [`Rprop`]; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct RpropOptions {
    /// The length of the first step.
    pub lr: f64,
    /// Factors of a step when the sign changes, and when it does not.
    pub etas: [f64; 2],
    /// The shortest and the longest step.
    pub step_sizes: [f64; 2],
    /// Ascend instead of descending.
    pub maximize: bool,
}

impl Default for RpropOptions {
    fn default() -> Self {
        Self { lr: 1e-2, etas: [0.5, 1.2], step_sizes: [1e-6, 50.0], maximize: false }
    }
}

/// The numbers of one step of [`Rprop`].
#[derive(Clone, Copy, Debug)]
pub struct RpropStep {
    first: f64,
    etas: [f64; 2],
    step_sizes: [f64; 2],
    sign: f64,
}

impl Update<2> for RpropStep {
    const COST: f64 = 0.8;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [last, size]: [T; 2]) -> (T, [T; 2]) {
        let zero = T::lit(0.0);
        let g = T::lit(self.sign) * g;
        let agree = g * last;
        let factor = pick(agree > zero, T::lit(self.etas[1]), pick(agree < zero, T::lit(self.etas[0]), T::lit(1.0)));
        let size = (size + T::lit(self.first)) * factor;
        let (least, most) = (T::lit(self.step_sizes[0]), T::lit(self.step_sizes[1]));
        let size = pick(size < least, least, pick(size > most, most, size));
        let g = pick(agree < zero, zero, g);
        let direction = pick(g > zero, T::lit(1.0), pick(g < zero, T::lit(-1.0), g));
        (p - direction * size, [g, size])
    }
}

impl Method for Rprop {
    const NAME: &'static str = "Rprop";
    const SLOTS: &'static [&'static str] = &["prev", "step_size"];
    const COUNTS: bool = true;
    type Options = RpropOptions;

    fn check(o: &RpropOptions) -> Result<()> {
        not_negative(Self::NAME, "lr", o.lr)?;
        if !(0.0 < o.etas[0] && o.etas[0] < 1.0 && 1.0 < o.etas[1]) {
            return Err(Error::Value(format!("Rprop: etas must be below and above 1, not {} and {}", o.etas[0], o.etas[1])));
        }
        Ok(())
    }

    type Step = RpropStep;

    fn prepare(o: &RpropOptions, t: f64, scale: f64) -> RpropStep {
        // Lengths are initialised with zeros.
        let first = if t > 1.0 { 0.0 } else { o.lr };
        RpropStep { first, etas: o.etas, step_sizes: o.step_sizes, sign: sign(o.maximize, scale) }
    }

    fn update(step: RpropStep, state: &mut State, p: &mut Array, g: &Array) {
        state.sweep(step, [0, 1], p, g);
    }
}
