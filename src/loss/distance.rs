//! Losses of the difference between input and target: squared, absolute, and combinations.

use super::{REDUCTION, Reduction, floating, reduction, same_shape, text};
use crate::error::{Error, Result};
use crate::ops::define::{Unary, unary};
use crate::ops::registry::{Arg, Entry, Gradient, Param, Sample};
use crate::ops::samples::{Domain, Draw};
use crate::ops::{abs, divide, square, subtract};
use crate::tape::Variable;

unary! {
    /// d²/2 for |d| ≤ delta, delta · (|d| - delta/2) beyond: a parabola that is continued by its tangents.
    fn huber(d, delta = 1.0) -> y {
        let inner = d.max(-delta).min(delta);
        inner * (d - F::lit(0.5) * inner)
    }
    gradient(d) { d.max(-delta).min(delta) }
    domain Domain { low: -3.0, high: 3.0, avoid: &[-1.0, 1.0] };
}

/// input - target, of the same shape and floating.
fn difference(op: &str, input: &Variable, target: &Variable) -> Result<Variable> {
    same_shape(op, input, target)?;
    let (input, target) = floating(input, target)?;
    subtract(&input, &target)
}

/// Mean (or sum) of (input - target)².
///
/// # Errors
/// `Shape` when the shapes differ.
///
/// ```
/// use tapegrad::{array::Array, loss::{self, Reduction}};
/// let x = Array::from_slice(&[1.0, 2.0], &[2]).into();
/// let t = Array::from_slice(&[1.0, 4.0], &[2]).into();
/// let loss = loss::mse_loss(&x, &t, Reduction::Mean)?;
/// assert_eq!(loss.array().to_vec::<f64>(), [2.0]);
/// # Ok::<(), tapegrad::Error>(())
/// ```
pub fn mse_loss(input: &Variable, target: &Variable, reduction: Reduction) -> Result<Variable> {
    reduction.apply(&square(&difference("mse_loss", input, target)?)?)
}

/// Mean (or sum) of |input - target|; the derivative at 0 is 0.
///
/// # Errors
/// `Shape` when the shapes differ.
pub fn l1_loss(input: &Variable, target: &Variable, reduction: Reduction) -> Result<Variable> {
    reduction.apply(&abs(&difference("l1_loss", input, target)?)?)
}

/// Mean (or sum) of d²/2 where |d| ≤ delta, of delta · (|d| - delta/2) elsewhere, d = input - target.
///
/// # Errors
/// `Shape` when the shapes differ, `Value` unless delta is positive.
pub fn huber_loss(input: &Variable, target: &Variable, reduction: Reduction, delta: f64) -> Result<Variable> {
    if delta.is_nan() || delta <= 0.0 {
        return Err(Error::Value(format!("huber_loss: delta must be positive, not {delta}")));
    }
    reduction.apply(&huber(&difference("huber_loss", input, target)?, delta)?)
}

/// Mean (or sum) of d²/(2 beta) where |d| < beta, of |d| - beta/2 elsewhere, d = input - target; with beta = 0
/// that is |d|.
///
/// # Errors
/// `Shape` when the shapes differ, `Value` when beta is negative.
pub fn smooth_l1_loss(input: &Variable, target: &Variable, reduction: Reduction, beta: f64) -> Result<Variable> {
    if beta.is_nan() || beta < 0.0 {
        return Err(Error::Value(format!("smooth_l1_loss: beta must not be negative, not {beta}")));
    }
    let d = difference("smooth_l1_loss", input, target)?;
    let losses = if beta == 0.0 { abs(&d)? } else { divide(&huber(&d, beta)?, beta)? };
    reduction.apply(&losses)
}

/// Pairs whose differences are not near 0 or ±1, one for each reduction.
fn samples(more: &[f64]) -> Vec<Sample> {
    let draw = &mut Draw::new(3);
    let near = Domain { low: 0.1, high: 0.8, avoid: &[] };
    let far = Domain { low: 2.0, high: 3.0, avoid: &[] };
    let zero = Domain { low: -0.01, high: 0.01, avoid: &[] };
    let mut out = Vec::new();
    for domain in [near, far] {
        for (shape, name) in [(&[][..], "mean"), (&[5], "sum"), (&[2, 3], "mean"), (&[2, 1, 3], "none"), (&[0, 2], "sum")] {
            let pair = [domain.array(draw, shape), zero.array(draw, shape)];
            out.push(sample(pair, name, more));
        }
        let pair = [zero.strided(draw, &[3, 4]), domain.strided(draw, &[3, 4])];
        out.push(sample(pair, "none", more));
    }
    out
}

fn sample([input, target]: [Variable; 2], name: &str, more: &[f64]) -> Sample {
    let options = std::iter::once(text(name)).chain(more.iter().map(|&v| Arg::Float(v)));
    Sample { args: [Arg::Variable(input), Arg::Variable(target)].into_iter().chain(options).collect() }
}

/// The function that the losses of Huber call.
pub const INNER: &[Entry] = &[huber::ENTRY];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "mse_loss",
        doc: "Mean squared error: the mean (or sum) of (input - target)².\n\nThe shapes must be equal.\n\n>>> tg.nn.functional.mse_loss(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 4.0]))\nVariable(2.)\n",
        params: &[Param::array("input"), Param::array("target"), REDUCTION],
        call: |a| Ok(mse_loss(&a.variable(0)?, &a.variable(1)?, reduction("mse_loss", a, 2)?)?.into()),
        gradient: Gradient::Composite("2 (input - target), and its negative"),
        samples: || samples(&[]),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "l1_loss",
        doc: "Mean absolute error: the mean (or sum) of |input - target|. The derivative at 0 is 0.\n\nThe shapes must be equal.\n\n>>> tg.nn.functional.l1_loss(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 4.0]))\nVariable(1.)\n",
        params: &[Param::array("input"), Param::array("target"), REDUCTION],
        call: |a| Ok(l1_loss(&a.variable(0)?, &a.variable(1)?, reduction("l1_loss", a, 2)?)?.into()),
        gradient: Gradient::Composite("sign(input - target), and its negative"),
        samples: || samples(&[]),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "huber_loss",
        doc: "Huber's loss: the mean (or sum) of d²/2 where |d| <= delta and of delta (|d| - delta/2) elsewhere, d = input - target.\n\nThe shapes must be equal.\n\n>>> tg.nn.functional.huber_loss(tg.Variable([1.0, 2.0]), tg.Variable([2.0, 5.0]), reduction='none')\nVariable([0.5, 2.5])\n",
        params: &[Param::array("input"), Param::array("target"), REDUCTION, Param::float("delta", 1.0)],
        call: |a| Ok(huber_loss(&a.variable(0)?, &a.variable(1)?, reduction("huber_loss", a, 2)?, a.float(3)?)?.into()),
        gradient: Gradient::Composite("clip(input - target, -delta, delta), and its negative"),
        samples: || samples(&[1.0]),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "smooth_l1_loss",
        doc: "Smooth absolute error: the mean (or sum) of d²/(2 beta) where |d| < beta and of |d| - beta/2 elsewhere, d = input - target. With beta=0 it is l1_loss.\n\nThe shapes must be equal.\n\n>>> tg.nn.functional.smooth_l1_loss(tg.Variable([1.0, 2.0]), tg.Variable([2.0, 5.0]), reduction='none')\nVariable([0.5, 2.5])\n",
        params: &[Param::array("input"), Param::array("target"), REDUCTION, Param::float("beta", 1.0)],
        call: |a| Ok(smooth_l1_loss(&a.variable(0)?, &a.variable(1)?, reduction("smooth_l1_loss", a, 2)?, a.float(3)?)?.into()),
        gradient: Gradient::Composite("clip((input - target) / beta, -1, 1), and its negative"),
        samples: || samples(&[1.0]).into_iter().chain(samples(&[0.0])).collect(),
        ..Entry::BASE
    }
    .no_method(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::{Array, DType};
    use crate::tape::backward;

    fn array(data: &[f64]) -> Variable {
        Array::from_slice(data, &[data.len()]).into()
    }

    #[test]
    fn shapes_never_broadcast() {
        let (x, t): (Variable, Variable) = (Array::zeros(&[3, 1], DType::F32).into(), Array::zeros(&[3], DType::F32).into());
        let message = mse_loss(&x, &t, Reduction::Mean).unwrap_err().to_string();
        assert_eq!(
            message,
            "mse_loss: input has shape (3, 1) and target (3,), they must be equal; reshape one of them, as in target.reshape((3, 1))"
        );
        let t: Variable = Array::zeros(&[], DType::F32).into();
        assert!(l1_loss(&x, &t, Reduction::Mean).unwrap_err().to_string().contains("broadcast_to"));
        assert!(Reduction::parse("l1_loss", "avg").unwrap_err().to_string().contains("'avg'"));
    }

    #[test]
    fn huber_meets_its_tangents() {
        let (x, t) = (array(&[0.5, 2.0, -2.0, 0.0]), array(&[0.0; 4]));
        assert_eq!(huber_loss(&x, &t, Reduction::None, 1.0).unwrap().array().to_vec::<f64>(), [0.125, 1.5, 1.5, 0.0]);
        assert_eq!(smooth_l1_loss(&x, &t, Reduction::Sum, 0.0).unwrap().array().to_vec::<f64>(), [4.5]);
        assert_eq!(smooth_l1_loss(&x, &t, Reduction::None, 0.5).unwrap().array().to_vec::<f64>(), [0.25, 1.75, 1.75, 0.0]);
        assert!(huber_loss(&x, &t, Reduction::None, 0.0).is_err());
        assert!(smooth_l1_loss(&x, &t, Reduction::None, -1.0).is_err());
    }

    #[test]
    fn integers_take_the_dtype_of_the_other() {
        let x = Variable::parameter(Array::from_slice(&[1.0_f32, 2.0], &[2])).unwrap();
        let t: Variable = Array::from_slice(&[0_i64, 4], &[2]).into();
        let loss = mse_loss(&x, &t, Reduction::Sum).unwrap();
        assert_eq!(loss.dtype(), DType::F32);
        backward(&loss).unwrap();
        assert_eq!(x.grad().unwrap().to_vec::<f32>(), [2.0, -4.0]);
    }

    #[test]
    fn the_mean_of_nothing_is_nan() {
        let x: Variable = Array::zeros(&[0], DType::F32).into();
        assert!(mse_loss(&x, &x, Reduction::Mean).unwrap().array().to_vec::<f32>()[0].is_nan());
        assert_eq!(mse_loss(&x, &x, Reduction::Sum).unwrap().array().to_vec::<f32>(), [0.0]);
    }
}
