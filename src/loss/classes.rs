//! Cross-entropy of many classes: from logits, and from log-probabilities.

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::entropy::{CROSS_ENTROPY, NLL_LOSS, Target, class_axis, entropies, slice};
use super::{REDUCTION, Reduction, WEIGHT, reduction, text};
use crate::array::{Array, DType, Shape, alloc_check, default_float};
use crate::error::{Error, Result, show_shape};
use crate::ops::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample};
use crate::ops::samples::{Domain, Draw, REAL};
use crate::ops::{astype, divide, equal, expand_dims, greater_equal, maximum, mean, multiply, reshape, squeeze, sum, take, where_};
use crate::tape::capture::{Arrays, Computation, ComputationKind};
use crate::tape::{Variable, capture};

/// The options of [`cross_entropy`] and [`nll_loss`]; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassOptions {
    /// The class index of targets that are ignored.
    pub ignore_index: i64,
    /// How the losses of the samples are reduced.
    pub reduction: Reduction,
    /// The share of a target that is distributed equally over all classes.
    pub label_smoothing: f64,
}

impl std::default::Default for ClassOptions {
    fn default() -> Self {
        Self { ignore_index: -100, reduction: Reduction::Mean, label_smoothing: 0.0 }
    }
}

/// Class indices, after checking that each is a class or `ignore_index`.
fn indices(op: &str, x: &Variable, target: &Variable, ignore_index: i64) -> Result<Variable> {
    let axis = class_axis(x.ndim());
    let expected: Shape = x.shape().iter().enumerate().filter(|&(a, _)| a != axis).map(|(_, &n)| n).collect();
    if target.shape() != expected.as_slice() {
        let classes = format!("class indices for an input of shape {} have shape {}", show_shape(x.shape()), show_shape(&expected));
        let fix = if target.shape() == x.shape() { "; one-hot rows must be floating, or take their argmax over the classes" } else { "" };
        return Err(Error::Shape(format!("{op}: {classes}, not {}{fix}", show_shape(target.shape()))));
    }
    let count = i64::try_from(x.shape()[axis]).unwrap_or(i64::MAX);
    // In memory that no other owner writes: a label that changes after its check would cause an access out of bounds.
    let target = astype(&target.detach(), DType::I64)?;
    if target.is_lifted() {
        check_classes(op, target.innermost(), count, ignore_index)?;
        return where_(&equal(&target, ignore_index)?, -1, &target);
    }
    if capture::is_on() {
        let checked = capture::computed(CheckedClasses { op: op.to_owned(), count, ignore_index }, &[target.array()])?;
        return Ok(checked.into_iter().next().map_or(target, Variable::from));
    }
    Ok(checked_classes(op, target.array(), count, ignore_index)?.into())
}

/// [`checked_classes`] of targets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckedClasses {
    op: String,
    count: i64,
    ignore_index: i64,
}

impl Computation for CheckedClasses {
    const NAME: &'static str = "CheckedClasses";
    const INPUTS: usize = 1;
    const OUTPUTS: usize = 1;

    fn run(&self, inputs: &[Array]) -> Result<Arrays> {
        Ok(smallvec![checked_classes(&self.op, &inputs[0], self.count, self.ignore_index)?])
    }
}

/// The number of targets over the number of those that are not ignored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareOfCounted {}

impl Computation for ShareOfCounted {
    const NAME: &'static str = "ShareOfCounted";
    const INPUTS: usize = 1;
    const OUTPUTS: usize = 1;

    fn run(&self, inputs: &[Array]) -> Result<Arrays> {
        let target = &inputs[0];
        Ok(smallvec![Array::scalar(share(target.size(), counted(target).count()))])
    }
}

/// The share of each class among the targets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SharesOfClasses {
    count: usize,
}

impl Computation for SharesOfClasses {
    const NAME: &'static str = "SharesOfClasses";
    const INPUTS: usize = 1;
    const OUTPUTS: usize = 1;

    fn run(&self, inputs: &[Array]) -> Result<Arrays> {
        let target = &inputs[0];
        let mut times = alloc_check::filled(0.0, self.count);
        counted(target).for_each(|t| times[t] += 1.0);
        let samples = share(target.size(), 1);
        for t in &mut times {
            *t /= samples;
        }
        Ok(smallvec![Array::from_slice(&times, &[self.count])])
    }
}

/// The computations of this file.
pub static COMPUTATIONS: &[ComputationKind] =
    &[ComputationKind::of::<CheckedClasses>(), ComputationKind::of::<ShareOfCounted>(), ComputationKind::of::<SharesOfClasses>()];

/// The checked targets, in memory that nothing else writes; -1 for ignored ones.
fn checked_classes(op: &str, target: &Array, count: i64, ignore_index: i64) -> Result<Array> {
    let mut out = target.pooled().contiguous();
    check_classes(op, &out, count, ignore_index)?;
    if slice::<i64>(&out).contains(&ignore_index) {
        for t in out.data_mut::<i64>() {
            *t = if *t == ignore_index { -1 } else { *t };
        }
    }
    Ok(out)
}

/// Fails unless each target is a class or `ignore_index`.
fn check_classes(op: &str, targets: &Array, count: i64, ignore_index: i64) -> Result<()> {
    let targets = targets.contiguous();
    let wrong = slice::<i64>(&targets).iter().position(|&t| t != ignore_index && !(0..count).contains(&t));
    let Some(i) = wrong else { return Ok(()) };
    let t = slice::<i64>(&targets)[i];
    let ignored = if ignore_index < 0 { format!(" or ignore_index = {ignore_index}") } else { String::new() };
    Err(Error::Value(format!("{op}: target {t} (element {i}) is out of range, classes are 0 to {}{ignored}", count - 1)))
}

/// The weights of the classes, reshaped to broadcast to the input.
fn class_weight(op: &str, x: &Variable, weight: &Variable) -> Result<Variable> {
    let axis = class_axis(x.ndim());
    let count = x.shape()[axis];
    if weight.shape() != [count] {
        let expected = format!("one for each of the {count} classes, shape ({count},)");
        return Err(Error::Shape(format!("{op}: weight has shape {}, expected {expected}", show_shape(weight.shape()))));
    }
    let trailing: Vec<isize> = (1..(x.ndim() - axis).cast_signed()).collect();
    expand_dims(&astype(weight, x.dtype())?, &trailing)
}

/// The reduced loss. `mean` divides by the sum of the weights of the samples that are not ignored.
fn reduced(losses: &Variable, target: Option<&Variable>, w: Option<&Variable>, count: usize, how: Reduction) -> Result<Variable> {
    match (how, target) {
        (Reduction::None, _) => squeeze(losses, Some(&[class_axis(losses.ndim()).cast_signed()])),
        (Reduction::Mean, Some(target)) if target.is_lifted() => mean_of_counted(losses, target, w),
        (Reduction::Mean, Some(target)) => mean_over_counted(losses, target, w, count),
        _ => how.apply(losses),
    }
}

/// The mean over the samples that are not ignored: the mean of all losses times [`share`], or over the mean of the weights. Neither
/// overflows unless the result does, and when no sample is ignored the result has the bits of a plain mean.
fn mean_over_counted(losses: &Variable, target: &Variable, w: Option<&Variable>, count: usize) -> Result<Variable> {
    let mean = mean(losses, None, false)?;
    let samples = target.array().size();
    let Some(w) = w else {
        if !capture::is_on() {
            let counted = counted(target.array()).count();
            return if counted == samples { Ok(mean) } else { multiply(&mean, share(samples, counted)) };
        }
        let found = capture::computed(ShareOfCounted {}, &[target.array()])?;
        return multiply(&mean, &astype(&found[0].clone().into(), losses.dtype())?);
    };
    let found = capture::computed(SharesOfClasses { count }, &[target.array()])?;
    let shares = reshape(&found[0].clone().into(), &w.shape().iter().map(|n| n.cast_signed()).collect::<Vec<_>>())?;
    let weights = multiply(w, &astype(&shares, w.dtype())?)?;
    divide(&mean, &sum(&weights, None, false)?)
}

/// The classes of the targets that are not ignored.
fn counted(target: &Array) -> impl Iterator<Item = usize> {
    slice::<i64>(target).iter().filter_map(|&t| usize::try_from(t).ok())
}

/// The number of samples over the number of those that are not ignored.
#[allow(clippy::cast_precision_loss, reason = "a mean divides by the count")]
fn share(samples: usize, counted: usize) -> f64 {
    samples as f64 / counted as f64
}

/// The sum of the losses divided by the sum of the weights of the targets that are not ignored, if targets differ between the samples of
/// `vmap`.
fn mean_of_counted(losses: &Variable, target: &Variable, w: Option<&Variable>) -> Result<Variable> {
    let counts = greater_equal(target, 0)?;
    let weights = match w {
        Some(w) => where_(&counts, &take(&reshape(w, &[-1])?, &maximum(target, 0)?, None)?, 0.0)?,
        None => astype(&counts, losses.dtype())?,
    };
    divide(&sum(losses, None, false)?, &sum(&weights, None, false)?)
}

fn check_input(op: &str, x: &Variable) -> Result<Variable> {
    if x.ndim() == 0 {
        return Err(Error::Shape(format!("{op}: the input needs an axis of classes, a 0-d array has none")));
    }
    super::refuse_complex(x)?;
    if x.dtype().is_float() { Ok(x.clone()) } else { astype(x, default_float()) }
}

/// Cross-entropy of logits.
///
/// The axis of the classes is axis 1, or axis 0 for a 1-d input. Targets are class indices (an integer dtype, the input's shape without
/// that axis) or probabilities (floating, the input's shape). `mean` divides by the number of samples, or for class indices by the sum of
/// the weights of targets that are not ignored: if all are ignored it is NaN, as in PyTorch.
///
/// # Errors
/// `Shape` when the shapes do not fit, `Value` for an index that is not a class.
///
/// ```
/// use tapegrad::{array::Array, loss};
/// let logits = Array::from_slice(&[1e4, -1e4, 0.0, 0.0], &[2, 2]).into();
/// let classes = Array::from_slice(&[0_i64, 1], &[2]).into();
/// let loss = loss::cross_entropy(&logits, &classes, None, loss::ClassOptions::default())?;
/// assert!((loss.array().to_vec::<f64>()[0] - 0.5 * 2.0_f64.ln()).abs() < 1e-15);
/// # Ok::<(), tapegrad::Error>(())
/// ```
pub fn cross_entropy(input: &Variable, target: &Variable, weight: Option<&Variable>, options: ClassOptions) -> Result<Variable> {
    const OP: &str = "cross_entropy";
    let smoothing = options.label_smoothing;
    if !(0.0..=1.0).contains(&smoothing) {
        return Err(Error::Value(format!("{OP}: label_smoothing must lie between 0 and 1, not {smoothing}")));
    }
    let x = check_input(OP, input)?;
    let w = weight.map(|w| class_weight(OP, &x, w)).transpose()?;
    let count = x.shape()[class_axis(x.ndim())];
    if !target.dtype().is_float() {
        let t = check_indices(OP, &x, target, options.ignore_index)?;
        let losses = entropies(&CROSS_ENTROPY, &x, &Target::Indices(t.clone()), w.as_ref(), smoothing)?;
        return reduced(&losses, Some(&t), w.as_ref(), count, options.reduction);
    }
    if target.shape() != x.shape() {
        let shapes = format!("an input of shape {} needs them in the same shape, not {}", show_shape(x.shape()), show_shape(target.shape()));
        let fix = "; class indices must be integers, as in target.astype('int64')";
        return Err(Error::Shape(format!("{OP}: floating targets are probabilities: {shapes}{fix}")));
    }
    if options.ignore_index >= 0 {
        return Err(Error::Value(format!("{OP}: ignore_index = {} has no meaning for probability targets", options.ignore_index)));
    }
    let q = astype(target, x.dtype())?;
    let losses = entropies(&CROSS_ENTROPY, &x, &Target::Probabilities(q), w.as_ref(), smoothing)?;
    reduced(&losses, None, w.as_ref(), count, options.reduction)
}

/// Checks integer targets; all others are an error.
fn check_indices(op: &str, x: &Variable, target: &Variable, ignore_index: i64) -> Result<Variable> {
    if !target.dtype().is_integer() {
        return Err(Error::dtype(op, format!("{} of the target", target.dtype()), "an integer dtype (class indices)"));
    }
    indices(op, x, target, ignore_index)
}

/// Negative log-likelihood: -w x at the target's class, for an input of log-probabilities.
///
/// # Errors
/// `Shape` when the shapes do not fit, `DType` unless the targets are integers, `Value` for an index that is not a class.
pub fn nll_loss(input: &Variable, target: &Variable, weight: Option<&Variable>, ignore_index: i64, reduction: Reduction) -> Result<Variable> {
    const OP: &str = "nll_loss";
    let x = check_input(OP, input)?;
    let w = weight.map(|w| class_weight(OP, &x, w)).transpose()?;
    let t = check_indices(OP, &x, target, ignore_index)?;
    let losses = entropies(&NLL_LOSS, &x, &Target::Indices(t.clone()), w.as_ref(), 0.0)?;
    reduced(&losses, Some(&t), w.as_ref(), x.shape()[class_axis(x.ndim())], reduction)
}

const IGNORE_INDEX: Param = Param::new("ignore_index", Kind::Int).or(Default::Int(-100));

fn call_cross_entropy(a: &Args<'_>) -> Result<super::Value> {
    let (input, target, weight) = (a.variable(0)?, a.variable(1)?, a.opt_variable(2)?);
    let options = ClassOptions { ignore_index: a.int(3)?, reduction: reduction("cross_entropy", a, 4)?, label_smoothing: a.float(5)? };
    Ok(cross_entropy(&input, &target, weight.as_ref(), options)?.into())
}

fn call_nll_loss(a: &Args<'_>) -> Result<super::Value> {
    let (input, target, weight) = (a.variable(0)?, a.variable(1)?, a.opt_variable(2)?);
    Ok(nll_loss(&input, &target, weight.as_ref(), a.int(3)?, reduction("nll_loss", a, 4)?)?.into())
}

/// Logits of several ranks and layouts with class indices, one of which is ignored.
fn index_samples(smoothing: &[f64]) -> Vec<Sample> {
    let draw = &mut Draw::new(5);
    let positive = Domain { low: 0.5, high: 2.0, avoid: &[] };
    let mut out = Vec::new();
    let cases = [
        (&[3][..], &[1_i64][..], "mean", false),
        (&[4, 3], &[0, 2, -100, 1], "mean", true),
        (&[4, 3], &[0, 2, 2, 1], "sum", false),
        (&[2, 3, 2], &[0, 2, -100, 1], "none", true),
        (&[2, 3, 1, 2], &[0, 2, 1, 1], "mean", false),
        (&[0, 3], &[], "sum", true),
    ];
    for (k, (shape, classes, name, weighted)) in cases.into_iter().enumerate() {
        let input = if k % 2 == 0 { REAL.array(draw, shape) } else { REAL.strided(draw, shape) };
        let axis = class_axis(shape.len());
        let rest: Shape = shape.iter().enumerate().filter(|&(a, _)| a != axis).map(|(_, &n)| n).collect();
        let weight = if weighted { Arg::Variable(positive.array(draw, &[3])) } else { Arg::None };
        let mut args = vec![Arg::Variable(input), Arg::Variable(Array::from_slice(classes, &rest).into()), weight, Arg::Int(-100), text(name)];
        args.extend(smoothing.iter().map(|&s| Arg::Float(s)));
        out.push(Sample { args });
    }
    out
}

/// Logits with probability targets.
fn probability_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(6);
    let positive = Domain { low: 0.1, high: 1.0, avoid: &[] };
    let cases = [(&[3][..], "mean", 0.0, false), (&[4, 3], "mean", 0.1, true), (&[2, 3, 2], "none", 0.0, true), (&[2, 3], "sum", 0.2, false)];
    cases
        .into_iter()
        .map(|(shape, name, smoothing, weighted)| {
            let weight = if weighted { Arg::Variable(positive.array(draw, &[3])) } else { Arg::None };
            let (input, target) = (Arg::Variable(REAL.strided(draw, shape)), Arg::Variable(positive.array(draw, shape)));
            Sample { args: vec![input, target, weight, Arg::Int(-100), text(name), Arg::Float(smoothing)] }
        })
        .collect()
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "cross_entropy",
        doc: "Cross-entropy of logits: -weight log softmax(input) at the target, its mean, sum or neither.\n\nThe classes lie on axis 1 (axis 0 of a 1-D input). The target holds class indices (an integer dtype, the input's shape without that axis) or probabilities (floating, the input's shape). Targets equal to ignore_index do not count; indices that are no class raise ValueError. The mean of class indices divides by the sum of the weights of the targets that count: when none counts it is NaN. label_smoothing is the share of a target that is spread over all classes.\n\n>>> tg.nn.functional.cross_entropy(tg.Variable([[0.0, 0.0], [1e4, -1e4]]), tg.Variable([1, 0]), reduction='none')\nVariable([0.6931472, 0.       ])\n",
        params: &[Param::array("input"), Param::array("target"), WEIGHT, IGNORE_INDEX, REDUCTION, Param::float("label_smoothing", 0.0)],
        call: call_cross_entropy,
        gradient: Gradient::Rule("g (softmax(input) - target), for weights of one"),
        samples: || [index_samples(&[0.0]), index_samples(&[0.2]), probability_samples()].concat(),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "nll_loss",
        doc: "Negative log-likelihood: -weight input at the target's class, its mean, sum or neither, for an input that holds logarithms of probabilities.\n\nAxes, targets, ignore_index and the mean are those of cross_entropy; targets are class indices.\n\n>>> tg.nn.functional.nll_loss(tg.Variable([[-0.5, -1.5], [-2.0, -0.25]]), tg.Variable([0, 1]))\nVariable(0.375)\n",
        params: &[Param::array("input"), Param::array("target"), WEIGHT, IGNORE_INDEX, REDUCTION],
        call: call_nll_loss,
        gradient: Gradient::Rule("-g at the target's class"),
        samples: || index_samples(&[]),
        ..Entry::BASE
    }
    .no_method(),
];
