//! Cross-entropy of two classes, from probabilities and from logits.

use serde::{Deserialize, Serialize};

use super::{REDUCTION, Reduction, WEIGHT, fits, floating, reduction, same_shape, text};
use crate::array::{Array, Element};
use crate::dispatch;
use crate::error::{Error, Result};
use crate::ops::define::{Binary, binary};
use crate::ops::registry::{Arg, Default, Entry, Gradient, Kind, Param, Sample};
use crate::ops::samples::{Domain, Draw, REAL};
use crate::ops::{add, annihilate, astype, multiply, negative, softplus, subtract};
use crate::tape::capture::{Arrays, Computation, ComputationKind};
use crate::tape::{Variable, capture};

/// Between 0 and 1, not near either.
const PROBABILITY: Domain = Domain { low: 0.1, high: 0.9, avoid: &[] };
/// e^-100: below it the logarithm is clamped.
const HELD: f64 = 3.720_075_976_020_836e-44;

binary! {
    /// -t log p - (1 - t) log(1 - p), with the logarithms clamped at -100. The gradient is that of this formula.
    fn bernoulli_entropy(p, t) -> y {
        (t - F::lit(1.0)) * (-p).ln_1p().max(F::lit(-100.0)) - t * p.ln().max(F::lit(-100.0))
    }
    gradient_a(p, t) {
        // A clamped logarithm has no derivative: at 0 and 1 the derivative of the other one remains.
        let one = F::lit(1.0);
        let inside = (p - t) / (p * (one - p));
        F::select(p.le(F::lit(HELD)), one - t, F::select(p.ge(one), -t, inside))
    }
    gradient_b(p) { (-p).ln_1p().max(F::lit(-100.0)) - p.ln().max(F::lit(-100.0)) }
    rule "dy/dinput = (input - target) / (input (1 - input)), a held logarithm left out; dy/dtarget = log(1 - input) - log(input), held above -100";
    domain PROBABILITY, PROBABILITY;
}

binary! {
    /// -t log σ(x) - (1 - t) log σ(-x), as a sum of non-negative terms: nothing cancels, and a term with weight 0 is 0.
    fn logistic_entropy(x, t) -> y {
        let (zero, both) = (F::lit(0.0), (-x.abs()).exp().ln_1p());
        t.annihilate((-x).max(zero) + both) + (F::lit(1.0) - t).annihilate(x.max(zero) + both)
    }
    gradient_a(x, t) { (F::lit(1.0) - t) * x.sigmoid() - t * (-x).sigmoid() }
    gradient_b(x) { -x }
    rule "dy/dinput = sigmoid(input) - target; dy/dtarget = -input";
    domain REAL, PROBABILITY;
}

/// Fails if an element is outside [0, 1].
fn probabilities(op: &str, what: &str, x: &Array) -> Result<()> {
    if !capture::is_on() {
        return check_probabilities(op, what, x);
    }
    capture::computed(Probabilities { op: op.to_owned(), what: what.to_owned() }, &[x])?;
    Ok(())
}

/// The check that elements lie in [0, 1].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Probabilities {
    op: String,
    what: String,
}

impl Computation for Probabilities {
    const NAME: &'static str = "Probabilities";
    const INPUTS: usize = 1;
    const OUTPUTS: usize = 0;

    fn run(&self, inputs: &[Array]) -> Result<Arrays> {
        check_probabilities(&self.op, &self.what, &inputs[0])?;
        Ok(Arrays::new())
    }
}

/// The computations of this file.
pub static COMPUTATIONS: &[ComputationKind] = &[ComputationKind::of::<Probabilities>()];

fn check_probabilities(op: &str, what: &str, x: &Array) -> Result<()> {
    let first = dispatch!(float x.dtype(), T => x.view::<T>().iter().find(|v| !(0.0..=1.0).contains(*v)).map(|v| v.to_scalar().as_f64()), else None);
    let Some(value) = first else { return Ok(()) };
    let hint = if what == "input" { "; for logits use binary_cross_entropy_with_logits, or apply sigmoid first" } else { "" };
    Err(Error::Value(format!("{op}: {what} must lie between 0 and 1, it contains {value}{hint}")))
}

/// The losses of the elements, multiplied by their weights.
fn weighted(op: &str, losses: Variable, weight: Option<&Variable>) -> Result<Variable> {
    let Some(weight) = weight else { return Ok(losses) };
    fits(op, "weight", weight, losses.shape())?;
    multiply(&losses, &astype(weight, losses.dtype())?)
}

/// Cross-entropy of probabilities: mean (or sum) of -w (t log p + (1 - t) log(1 - p)).
///
/// As in PyTorch, the logarithms are clamped at -100, so that the loss is finite at p = 0 and 1. The gradient is that of the clamped
/// function: a clamped logarithm has none. (PyTorch's gradient is ±1e12 there.)
///
/// # Errors
/// `Shape` when the shapes differ or the weight does not broadcast to them, `Value` for probabilities outside [0, 1].
pub fn binary_cross_entropy(input: &Variable, target: &Variable, weight: Option<&Variable>, reduction: Reduction) -> Result<Variable> {
    const OP: &str = "binary_cross_entropy";
    same_shape(OP, input, target)?;
    let (input, target) = floating(input, target)?;
    probabilities(OP, "input", input.innermost())?;
    probabilities(OP, "target", target.innermost())?;
    reduction.apply(&weighted(OP, bernoulli_entropy(&input, &target)?, weight)?)
}

/// Cross-entropy of logits: mean (or sum) of -w (q t log σ(x) + (1 - t) log σ(-x)), where q is the weight of the positive class. It neither
/// overflows nor cancels for any x.
///
/// # Errors
/// `Shape` when the shapes differ or a weight does not broadcast to them.
pub fn binary_cross_entropy_with_logits(
    input: &Variable,
    target: &Variable,
    weight: Option<&Variable>,
    reduction: Reduction,
    pos_weight: Option<&Variable>,
) -> Result<Variable> {
    const OP: &str = "binary_cross_entropy_with_logits";
    same_shape(OP, input, target)?;
    let (x, t) = floating(input, target)?;
    let losses = match pos_weight {
        None => logistic_entropy(&x, &t)?,
        Some(q) => {
            fits(OP, "pos_weight", q, x.shape())?;
            // -log σ(x) = softplus(-x): all terms are positive, so nothing cancels.
            let no = annihilate(&subtract(1.0, &t)?, &softplus(&x, 1.0)?)?;
            let yes = annihilate(&multiply(&t, &astype(q, x.dtype())?)?, &softplus(&negative(&x)?, 1.0)?)?;
            add(&no, &yes)?
        }
    };
    reduction.apply(&weighted(OP, losses, weight)?)
}

/// Pairs with and without weights. `logits` says whether there are weights of positive classes.
fn samples(inputs: Domain, logits: bool) -> Vec<Sample> {
    let draw = &mut Draw::new(4);
    let positive = Domain { low: 0.5, high: 2.0, avoid: &[] };
    let mut out = Vec::new();
    let mut push = |input: Variable, target: Variable, weight: Arg, name: &str, pos_weight: Arg| {
        let mut args = vec![Arg::Variable(input), Arg::Variable(target), weight, text(name)];
        if logits {
            args.push(pos_weight);
        }
        out.push(Sample { args });
    };
    for (shape, name) in [(&[][..], "mean"), (&[5], "sum"), (&[2, 3], "mean"), (&[2, 1, 3], "none"), (&[0, 2], "sum")] {
        push(inputs.array(draw, shape), PROBABILITY.array(draw, shape), Arg::None, name, Arg::None);
    }
    let strided = |draw: &mut Draw| (inputs.strided(draw, &[3, 4]), PROBABILITY.strided(draw, &[3, 4]));
    for (weight, name) in [(&[3, 4][..], "mean"), (&[4], "none"), (&[3, 1], "sum")] {
        let (x, t) = strided(draw);
        push(x, t, Arg::Variable(positive.array(draw, weight)), name, Arg::None);
    }
    if logits {
        let (x, t) = strided(draw);
        push(x, t, Arg::Variable(positive.array(draw, &[3, 1])), "mean", Arg::Variable(positive.array(draw, &[4])));
        let (x, t) = strided(draw);
        push(x, t, Arg::None, "none", Arg::Variable(positive.array(draw, &[])));
    }
    out
}

/// Functions that the losses call and users do not see.
pub const INNER: &[Entry] = &[bernoulli_entropy::ENTRY, logistic_entropy::ENTRY];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "binary_cross_entropy",
        doc: "Cross-entropy of probabilities: the mean (or sum) of -weight (target log input + (1 - target) log(1 - input)).\n\nThe logarithms are held above -100, so that the loss is finite at 0 and 1; a held logarithm has no gradient. Probabilities outside [0, 1] raise ValueError. The shapes of input and target must be equal; the weight broadcasts to them.\n\n>>> tg.nn.functional.binary_cross_entropy(tg.Variable([0.5, 1.0]), tg.Variable([0.0, 0.0]), reduction='none')\nVariable([  0.6931472, 100.       ])\n",
        params: &[Param::array("input"), Param::array("target"), WEIGHT, REDUCTION],
        call: |a| {
            let (input, target, weight) = (a.variable(0)?, a.variable(1)?, a.opt_variable(2)?);
            Ok(binary_cross_entropy(&input, &target, weight.as_ref(), reduction("binary_cross_entropy", a, 3)?)?.into())
        },
        gradient: Gradient::Composite(bernoulli_entropy::GRADIENT),
        samples: || samples(PROBABILITY, false),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "binary_cross_entropy_with_logits",
        doc: "Cross-entropy of logits: the mean (or sum) of -weight (pos_weight target log σ(input) + (1 - target) log σ(-input)).\n\nIt neither overflows nor cancels for any input. The shapes of input and target must be equal; both weights broadcast to them.\n\n>>> tg.nn.functional.binary_cross_entropy_with_logits(tg.Variable([0.0, 100.0]), tg.Variable([0.0, 0.0]), reduction='none')\nVariable([  0.6931472, 100.       ])\n",
        params: &[Param::array("input"), Param::array("target"), WEIGHT, REDUCTION, Param::new("pos_weight", Kind::OptArray).or(Default::None)],
        call: |a| {
            let (input, target, weight, pos_weight) = (a.variable(0)?, a.variable(1)?, a.opt_variable(2)?, a.opt_variable(4)?);
            let reduction = reduction("binary_cross_entropy_with_logits", a, 3)?;
            Ok(binary_cross_entropy_with_logits(&input, &target, weight.as_ref(), reduction, pos_weight.as_ref())?.into())
        },
        gradient: Gradient::Composite(logistic_entropy::GRADIENT),
        samples: || samples(REAL, true),
        ..Entry::BASE
    }
    .no_method(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::DType;
    use crate::tape::{BackwardOptions, grad};

    fn parameter(data: &[f64]) -> Variable {
        Variable::parameter(Array::from_slice(data, &[data.len()])).unwrap()
    }

    fn array(data: &[f64]) -> Variable {
        Array::from_slice(data, &[data.len()]).into()
    }

    fn gradient(loss: &Variable, x: &Variable) -> Vec<f64> {
        let ones: Variable = Array::ones(loss.shape(), DType::F64).into();
        let g = grad(&[(loss.clone(), Some(ones))], std::slice::from_ref(x), BackwardOptions::default()).unwrap();
        g[0].as_ref().unwrap().array().to_vec()
    }

    #[test]
    fn certain_probabilities_stay_finite() {
        let (p, t) = (parameter(&[0.0, 0.0, 1.0, 1.0, 0.25]), array(&[0.0, 1.0, 0.0, 1.0, 1.0]));
        let loss = binary_cross_entropy(&p, &t, None, Reduction::None).unwrap();
        let want = [0.0, 100.0, 100.0, 0.0, 4.0_f64.ln()];
        assert!(loss.array().to_vec::<f64>().iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-14));
        assert_eq!(gradient(&loss, &p), [1.0, 0.0, 0.0, -1.0, -4.0]);
    }

    #[test]
    fn huge_logits_stay_exact() {
        for dtype in [DType::F32, DType::F64] {
            let x = astype(&array(&[1e4, -1e4, 1e4, -1e4]), dtype).unwrap();
            let x = Variable::parameter(x.into_array()).unwrap();
            let t = array(&[1.0, 1.0, 0.0, 0.0]);
            for pos_weight in [None, Some(array(&[2.0]))] {
                let scale = if pos_weight.is_some() { 2.0 } else { 1.0 };
                let loss = binary_cross_entropy_with_logits(&x, &t, None, Reduction::None, pos_weight.as_ref()).unwrap();
                let values = astype(&loss.detach(), DType::F64).unwrap().array().to_vec::<f64>();
                assert_eq!(values, [0.0, scale * 1e4, 1e4, 0.0], "{dtype}");
                let loss = astype(&loss, DType::F64).unwrap();
                let ones: Variable = Array::ones(&[4], DType::F64).into();
                let g = grad(&[(loss, Some(ones))], std::slice::from_ref(&x), BackwardOptions::default()).unwrap();
                let g = astype(g[0].as_ref().unwrap(), DType::F64).unwrap().array().to_vec::<f64>();
                assert_eq!(g, [0.0, -scale, 1.0, 0.0], "{dtype}");
            }
        }
    }

    #[test]
    fn wrong_probabilities_and_weights_raise() {
        let t = array(&[0.0, 1.0]);
        let message = |p: &[f64]| binary_cross_entropy(&array(p), &t, None, Reduction::Mean).unwrap_err().to_string();
        assert!(message(&[0.5, 1.5]).contains("1.5"));
        assert!(message(&[f64::NAN, 0.5]).contains("NaN"));
        let p = array(&[0.5, 0.5]);
        assert!(binary_cross_entropy(&p, &array(&[0.0, -1.0]), None, Reduction::Mean).unwrap_err().to_string().contains("target"));
        let wide: Variable = Array::ones(&[3, 2], DType::F64).into();
        assert!(binary_cross_entropy(&p, &t, Some(&wide), Reduction::Mean).unwrap_err().to_string().contains("(3, 2)"));
        assert!(binary_cross_entropy_with_logits(&p, &t, None, Reduction::Mean, Some(&wide)).unwrap_err().to_string().contains("pos_weight"));
    }
}
