//! Stochastic gradient descent.

use super::formulas::{decayed, sign};
use super::{Method, State, not_negative};
use crate::array::Array;
use crate::error::{Error, Result};
use crate::kernel::math::{Real, pick};
use crate::kernel::optimizer_update::Update;

/// Stochastic gradient descent with momentum (Polyak 1964; Sutskever et al. 2013 for Nesterov's).
#[derive(Debug)]
pub enum Sgd {}

/// Options of [`Sgd`]; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct SgdOptions {
    /// Learning rate.
    pub lr: f64,
    /// The share of the last direction that is kept.
    pub momentum: f64,
    /// The share of the new gradient that is not added to the direction.
    pub dampening: f64,
    /// The parameter times this is added to the gradient.
    pub weight_decay: f64,
    /// Use Nesterov momentum.
    pub nesterov: bool,
    /// Ascend instead of descending.
    pub maximize: bool,
}

impl Default for SgdOptions {
    fn default() -> Self {
        Self { lr: 1e-3, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false, maximize: false }
    }
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    lr: f64,
    momentum: f64,
    take: f64,
    weight_decay: f64,
    sign: f64,
    nesterov: bool,
}

impl Step {
    #[inline(always)]
    fn gradient<T: Real>(self, p: T, g: T) -> T {
        decayed(T::lit(self.sign) * g, p, self.weight_decay)
    }
}

/// Without momentum.
impl Update<0> for Step {
    const COST: f64 = 0.3;
    const WIDE: bool = false;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, _: [T; 0]) -> (T, [T; 0]) {
        (p - T::lit(self.lr) * self.gradient(p, g), [])
    }
}

/// With momentum.
impl Update<1> for Step {
    const COST: f64 = 0.5;
    const WIDE: bool = false;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [buffer]: [T; 1]) -> (T, [T; 1]) {
        let g = self.gradient(p, g);
        let buffer = T::lit(self.momentum) * buffer + T::lit(self.take) * g;
        let direction = pick(self.nesterov, g + T::lit(self.momentum) * buffer, buffer);
        (p - T::lit(self.lr) * direction, [buffer])
    }
}

impl Method for Sgd {
    const NAME: &'static str = "SGD";
    const SLOTS: &'static [&'static str] = &["momentum_buffer"];
    const COUNTS: bool = false;
    type Options = SgdOptions;

    fn check(o: &SgdOptions) -> Result<()> {
        not_negative(Self::NAME, "lr", o.lr)?;
        not_negative(Self::NAME, "momentum", o.momentum)?;
        not_negative(Self::NAME, "weight_decay", o.weight_decay)?;
        if o.nesterov && (o.momentum == 0.0 || o.dampening != 0.0) {
            let got = format!("momentum is {}, dampening {}", o.momentum, o.dampening);
            return Err(Error::Value(format!("{}: nesterov needs a momentum above 0 and no dampening; {got}", Self::NAME)));
        }
        Ok(())
    }

    fn slots(_: &SgdOptions) -> Vec<usize> {
        // A parameter that was saved before its first step with momentum has no buffer.
        Vec::new()
    }

    fn written(o: &SgdOptions) -> Vec<usize> {
        if o.momentum == 0.0 { Vec::new() } else { vec![0] }
    }

    type Step = Step;

    fn prepare(o: &SgdOptions, _: f64, scale: f64) -> Step {
        let sign = sign(o.maximize, scale);
        Step { lr: o.lr, momentum: o.momentum, take: 1.0 - o.dampening, weight_decay: o.weight_decay, sign, nesterov: o.nesterov }
    }

    fn update(step: Step, state: &mut State, p: &mut Array, g: &Array) {
        if step.momentum == 0.0 {
            return state.sweep::<_, 0>(step, [], p, g);
        }
        // The first direction is the gradient itself: the buffer is initialised with zeros and takes all of it.
        let take = if state.has(0) { step.take } else { 1.0 };
        state.sweep(Step { take, ..step }, [0], p, g);
    }
}
