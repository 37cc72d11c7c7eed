//! Adam with Nesterov's momentum.

use super::formulas::{decayed, lerp, mean_square, sign, split_decay};
use super::{Method, State, decay_rates, not_negative};
use crate::array::Array;
use crate::error::Result;
use crate::kernel::math::Real;
use crate::kernel::optimizer_update::Update;

/// `NAdam` (Dozat 2016): Adam with Nesterov's momentum, which increases during the first steps.
#[derive(Debug)]
pub enum NAdam {}

/// Options of [`NAdam`]; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct NAdamOptions {
    /// Learning rate.
    pub lr: f64,
    /// Decay rates of the two running values.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// The parameter times this is added to the gradient.
    pub weight_decay: f64,
    /// How fast the momentum approaches its limit.
    pub momentum_decay: f64,
    /// Whether weight decay is separate from the gradient: parameters shrink by lr · `weight_decay` in each step.
    pub decoupled_weight_decay: bool,
    /// Ascend instead of descending.
    pub maximize: bool,
}

impl Default for NAdamOptions {
    fn default() -> Self {
        Self { lr: 2e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, momentum_decay: 4e-3, decoupled_weight_decay: false, maximize: false }
    }
}

/// The product of the momenta of the steps 1 to `t`: of beta1 (1 - qⁱ / 2) with q = 0.96^`momentum_decay`.
///
/// Its logarithm is t ln(beta1) - Σₖ 2⁻ᵏ/k (qᵏ + q²ᵏ + … + qᵗᵏ), with geometric sums inside: the cost does not grow with t.
fn product_of_momenta(o: &NAdamOptions, t: f64) -> f64 {
    let slow = o.momentum_decay * 0.96_f64.ln();
    let mut log = t * o.betas[0].ln();
    let mut share = 1.0;
    for k in 1..=60 {
        share *= 0.5;
        let k = f64::from(k);
        let powers = if slow == 0.0 { t } else { (k * slow).exp() * (t * k * slow).exp_m1() / (k * slow).exp_m1() };
        log -= share / k * powers;
    }
    log.exp()
}

/// The numbers of one step of [`NAdam`].
#[derive(Clone, Copy, Debug)]
pub struct NAdamStep {
    of_gradient: f64,
    of_mean: f64,
    correction: f64,
    betas: [f64; 2],
    eps: f64,
    shrink: f64,
    weight_decay: f64,
    sign: f64,
}

impl Update<2> for NAdamStep {
    const COST: f64 = 1.4;
    #[inline(always)]
    fn eval<T: Real>(self, p: T, g: T, [mean, square]: [T; 2]) -> (T, [T; 2]) {
        let g = decayed(T::lit(self.sign) * g, p, self.weight_decay);
        let mean = lerp(mean, g, 1.0 - self.betas[0]);
        let square = mean_square(square, g, self.betas[1]);
        let denominator = (square * T::lit(self.correction)).sqrt() + T::lit(self.eps);
        let step = (T::lit(self.of_gradient) * g + T::lit(self.of_mean) * mean) / denominator;
        (p * T::lit(self.shrink) - step, [mean, square])
    }
}

impl Method for NAdam {
    const NAME: &'static str = "NAdam";
    const SLOTS: &'static [&'static str] = &["exp_avg", "exp_avg_sq"];
    const COUNTS: bool = true;
    const DERIVED: &'static [&'static str] = &["mu_product"];
    type Options = NAdamOptions;

    fn check(o: &NAdamOptions) -> Result<()> {
        not_negative(Self::NAME, "lr", o.lr)?;
        not_negative(Self::NAME, "eps", o.eps)?;
        not_negative(Self::NAME, "weight_decay", o.weight_decay)?;
        not_negative(Self::NAME, "momentum_decay", o.momentum_decay)?;
        decay_rates(Self::NAME, o.betas)
    }

    type Step = NAdamStep;

    fn prepare(o: &NAdamOptions, t: f64, scale: f64) -> NAdamStep {
        let momentum = |t: f64| o.betas[0] * (1.0 - 0.5 * 0.96_f64.powf(t * o.momentum_decay));
        let product = product_of_momenta(o, t);
        let (shrink, weight_decay) = split_decay(o.lr, o.weight_decay, o.decoupled_weight_decay);
        NAdamStep {
            of_gradient: o.lr * (1.0 - momentum(t)) / (1.0 - product),
            of_mean: o.lr * momentum(t + 1.0) / (1.0 - product * momentum(t + 1.0)),
            correction: 1.0 / (1.0 - o.betas[1].powf(t)),
            betas: o.betas,
            eps: o.eps,
            shrink,
            weight_decay,
            sign: sign(o.maximize, scale),
        }
    }

    fn update(step: NAdamStep, state: &mut State, p: &mut Array, g: &Array) {
        state.sweep(step, [0, 1], p, g);
    }
}
