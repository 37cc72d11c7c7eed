//! Activations of neural networks.

use super::define::{Unary, unary};
use super::registry::{Arg, Entry, Gradient, Param, Sample};
use super::samples::{Draw, NONZERO, REAL};
use super::shape::reshape_to;
use crate::array::Shape;
use crate::error::{Error, Result, show_shape};
use crate::kernel::complex::functions;
use crate::kernel::field::Field;
use crate::tape::Variable;

unary! {
    /// max(x, 0), element by element. The derivative at 0 is 0.
    ///
    /// >>> tg.relu(tg.Variable([-1.0, 2.0]))
    /// Variable([0., 2.])
    fn relu(x) -> y { x.max(F::lit(0.0)) }
    gradient(y) { F::select(y.gt(F::lit(0.0)), F::lit(1.0), y) }
    integer(x) { x.max(I::lit(0)) }
    rule "dy/dx = 1 where x > 0, NaN where x is NaN, else 0";
    domain NONZERO;
}

unary! {
    /// x above 0, negative_slope · x elsewhere.
    ///
    /// >>> tg.leaky_relu(tg.Variable([-1.0, 2.0]), 0.1)
    /// Variable([-0.1,  2. ])
    fn leaky_relu(x, negative_slope = 0.01) -> y { F::select(x.gt(F::lit(0.0)), x, negative_slope * x) }
    gradient(x) { F::select(x.gt(F::lit(0.0)), F::lit(1.0), F::select(x.is_nan(), x, negative_slope)) }
    rule "dy/dx = 1 where x > 0, NaN where x is NaN, else negative_slope";
    domain NONZERO;
}

unary! {
    /// Logistic function, element by element: 1 / (1 + e⁻ˣ).
    ///
    /// >>> tg.sigmoid(tg.Variable([0.0]))
    /// Variable([0.5])
    fn sigmoid(x) -> y { x.sigmoid() }
    gradient(x) { x.sigmoid_slope() }
    complex Holomorphic(functions::sigmoid);
    rule "dy/dx = y (1 - y), computed as e^-|x| / (1 + e^-|x|)²";
    domain REAL;
}

unary! {
    /// The derivative of the logistic function: σ(x) σ(-x).
    fn sigmoid_slope(x) -> y { x.sigmoid_slope() }
    gradient(x, y) { -y * (F::lit(0.5) * x).tanh() }
    complex Holomorphic(functions::sigmoid_slope);
    domain REAL;
}

unary! {
    /// Φ(x), the normal distribution function.
    fn normal_cdf(x) -> y { x.normal_cdf() }
    gradient(x) { normal_density(x) }
    domain REAL;
}

/// φ(x), the normal density.
#[inline(always)]
fn normal_density<F: Field>(x: F) -> F {
    F::lit(0.398_942_280_401_432_7) * x.exp_product(F::lit(-0.5) * x)
}

/// x clamped to ±`limit`, for a factor that is large where the other factor is zero.
#[inline(always)]
fn within<F: Field>(x: F, limit: f64) -> F {
    x.max(F::lit(-limit)).min(F::lit(limit))
}

unary! {
    /// x · Φ(x), where Φ is the normal distribution's: the Gaussian error linear unit
    /// (Hendrycks & Gimpel, 2016).
    ///
    /// >>> tg.gelu_erf(tg.Variable([0.0]))
    /// Variable([0.])
    fn gelu_erf(x) -> y { x.gelu() }
    gradient(x) {
        // The density is zero beyond 40, even in double precision.
        let x = within(x, 40.0);
        x.normal_cdf() + x * normal_density(x)
    }
    rule "dy/dx = Φ(x) + x φ(x)";
    domain REAL;
}

unary! {
    /// The Gaussian error linear unit's approximation by tanh: x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))).
    ///
    /// >>> tg.gelu_tanh(tg.Variable([0.0]))
    /// Variable([0.])
    fn gelu_tanh(x) -> y { x.gelu_tanh() }
    gradient(x) {
        let x = within(x, 22.0);
        let p = x.gelu_tanh_cdf();
        p + x * gelu_tanh_density(x, p)
    }
    rule "dy/dx = P(x) + x P'(x), P(x) = 1/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))";
    domain REAL;
}

unary! {
    /// The approximation of Φ(x) by tanh: 1/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))).
    fn gelu_tanh_cdf(x) -> y { x.gelu_tanh_cdf() }
    gradient(x, y) { gelu_tanh_density(within(x, 22.0), y) }
    domain REAL;
}

/// The derivative of the approximation p of Φ(x), for |x| up to 22, beyond which it is zero.
#[inline(always)]
fn gelu_tanh_density<F: Field>(x: F, p: F) -> F {
    let slope = F::lit(2.0 * 0.797_884_560_802_865_4) * (F::lit(1.0) + F::lit(3.0 * 0.044_715) * x * x);
    p * (-x).gelu_tanh_cdf() * slope
}

unary! {
    /// x · sigmoid(x), element by element; also called swish.
    ///
    /// >>> tg.silu(tg.Variable([0.0]))
    /// Variable([0.])
    fn silu(x) -> y { x.silu() }
    gradient(x) {
        // The slope is zero beyond 800, even in double precision.
        x.sigmoid() + within(x, 800.0) * x.sigmoid_slope()
    }
    rule "dy/dx = s + x s (1 - s), s = sigmoid(x)";
    domain REAL;
}

unary! {
    /// log(1 + e^(beta x)) / beta, element by element, without overflow.
    ///
    /// >>> tg.softplus(tg.Variable([100.0]))
    /// Variable([100.])
    fn softplus(x, beta = 1.0) -> y {
        let t = beta * x;
        (t.max(F::lit(0.0)) + (-t.abs()).exp().ln_1p()) / beta
    }
    gradient(x) { (beta * x).sigmoid() }
    domain REAL;
}

unary! {
    /// x above 0, alpha · (eˣ - 1) elsewhere.
    ///
    /// >>> tg.elu(tg.Variable([2.0]))
    /// Variable([2.])
    fn elu(x, alpha = 1.0) -> y { F::select(x.gt(F::lit(0.0)), x, alpha * x.exp_m1()) }
    gradient(x) { F::select(x.gt(F::lit(0.0)), F::lit(1.0), alpha * x.exp()) }
    domain NONZERO;
}

unary! {
    /// x / (1 + |x|), element by element: an S between -1 and 1 that is cheaper than tanh.
    ///
    /// >>> tg.softsign(tg.Variable([-1.0, 0.0, 3.0]))
    /// Variable([-0.5 ,  0.  ,  0.75])
    fn softsign(x) -> y {
        let x = within(x, 1e30);
        x / (F::lit(1.0) + x.abs())
    }
    gradient(x) {
        let r = F::lit(1.0) / (F::lit(1.0) + x.abs());
        r * r
    }
    rule "dy/dx = 1/(1 + |x|)²";
    domain NONZERO;
}

unary! {
    /// Error function, element by element: 2/√π ∫₀ˣ e^(-t²) dt.
    ///
    /// >>> tg.erf(tg.Variable([0.0]))
    /// Variable([0.])
    fn erf(x) -> y { x.erf() }
    gradient(x) { F::lit(std::f64::consts::FRAC_2_SQRT_PI) * x.exp_product(-x) }
    rule "dy/dx = 2/√π e^(-x²)";
    domain REAL;
}

/// The Gaussian error linear unit by the error function (`"none"`) or its approximation by tanh (`"tanh"`).
///
/// # Errors
/// `Value` for another `approximate`.
pub fn gelu(x: &Variable, approximate: &str) -> Result<Variable> {
    match approximate {
        "none" => gelu_erf(x),
        "tanh" => gelu_tanh(x),
        other => Err(Error::Value(format!("gelu: approximate is '{other}', expected 'none' or 'tanh'"))),
    }
}

mod pointwise {
    use crate::ops::define::binary;
    use crate::ops::samples::{NONZERO, REAL};

    binary! {
        /// x above 0, slope · x elsewhere.
        fn prelu(x, slope) -> y { F::select(x.gt(F::lit(0.0)), x, slope * x) }
        gradient_a(x, slope) { F::select(x.gt(F::lit(0.0)), F::lit(1.0), F::select(x.is_nan(), x, slope)) }
        gradient_b(x) { F::select(x.gt(F::lit(0.0)), F::lit(0.0), x) }
        domain NONZERO, REAL;
    }
}

/// x above 0, weight · x elsewhere; the weight is one number, or one for each channel, which is axis 1 of `x`.
///
/// # Errors
/// `Shape` for any other weight.
pub fn prelu(x: &Variable, weight: &Variable) -> Result<Variable> {
    if weight.array().size() == 1 {
        return pointwise::prelu(x, &reshape_to(weight, &[])?);
    }
    let (&[channels], Some(true)) = (weight.shape(), x.shape().get(1).map(|n| weight.shape() == [*n])) else {
        let (got, shape) = (show_shape(weight.shape()), show_shape(x.shape()));
        return Err(Error::Shape(format!("prelu: the weight has shape {got}, expected one number or one for each channel (axis 1) of {shape}")));
    };
    let mut shape = Shape::from_elem(1, x.ndim() - 1);
    shape[0] = channels;
    pointwise::prelu(x, &reshape_to(weight, &shape)?)
}

fn prelu_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(9);
    let shapes: [(&[usize], &[usize]); 6] = [(&[2, 3], &[3]), (&[2, 3, 2], &[3]), (&[4], &[1]), (&[], &[]), (&[2, 2, 1, 2], &[]), (&[0, 3], &[3])];
    shapes.map(|(x, w)| Sample { args: vec![Arg::Variable(NONZERO.strided(draw, x)), Arg::Variable(REAL.array(draw, w))] }).to_vec()
}

fn gelu_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(7);
    ["none", "tanh"].map(|how| Sample { args: vec![Arg::Variable(REAL.strided(draw, &[2, 3])), Arg::Text(how.to_owned())] }).to_vec()
}

/// Functions that gradient rules call. Users do not see them, but files name their primitives.
pub const INNER: &[Entry] = &[sigmoid_slope::ENTRY, normal_cdf::ENTRY, gelu_tanh_cdf::ENTRY, <pointwise::prelu as super::define::Binary>::ENTRY];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    relu::ENTRY,
    leaky_relu::ENTRY.no_method(),
    sigmoid::ENTRY.costs(2.0),
    Entry {
        name: "prelu",
        doc: "x above 0, weight * x elsewhere. The weight is one number, or one for each channel, which is axis 1 of x.\n\n\
              >>> tg.prelu(tg.Variable([-4.0, 2.0]), tg.Variable(0.25))\nVariable([-1.,  2.])\n",
        params: &[Param::array("x"), Param::array("weight")],
        call: |a| Ok(prelu(&a.variable(0)?, &a.variable(1)?)?.into()),
        gradient: Gradient::Rule("dy/dx = 1 where x > 0, else weight; dy/dweight = 0 where x > 0, else x"),
        samples: prelu_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "gelu",
        cost: 2.0,
        doc: "The Gaussian error linear unit x · Φ(x) (Hendrycks & Gimpel, 2016). With approximate='tanh', Φ is approximated by tanh,\n\
              which is faster.\n\n>>> tg.gelu(tg.Variable([0.0]))\nVariable([0.])\n",
        params: &[Param::array("x"), Param::choice("approximate", &["none", "tanh"])],
        call: |a| Ok(gelu(&a.variable(0)?, a.text(1)?)?.into()),
        gradient: Gradient::Composite("gelu_erf or gelu_tanh"),
        samples: gelu_samples,
        ..Entry::BASE
    }
    .no_method(),
    gelu_erf::ENTRY.costs(2.0).no_method(),
    gelu_tanh::ENTRY.costs(2.0).no_method(),
    silu::ENTRY.costs(2.0).no_method(),
    softplus::ENTRY.costs(2.0).no_method(),
    elu::ENTRY.costs(2.0).no_method(),
    softsign::ENTRY.no_method(),
    erf::ENTRY.costs(2.0),
];
