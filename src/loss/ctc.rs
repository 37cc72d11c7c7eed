//! Connectionist temporal classification.

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use crate::array::{Array, DType, check_memory};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel::ctc::Batch as Sequences;
use crate::ops::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use crate::ops::samples::{Draw, REAL, indices};
use crate::ops::{IndexItem, astype};
use crate::ops::{
    add, annihilate, concat, divide, equal, expand_dims, get_item, log_softmax, logaddexp, maximum, mean, negative, reshape, sum, take_along_axis,
    where_,
};
use crate::tape::capture::{self, Arrays, Computation, ComputationKind};
use crate::tape::{AttrSet, Batch, Jvp, Outputs, Primitive, Variable, Vjp, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&CTC];

/// The class of blanks.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ctc {
    blank: usize,
}
crate::attributes!(Ctc);

/// Inputs: log-probabilities (T, N, C); labels (N, S); lengths of the inputs and of the labels (N,). A hidden result is the gradient for
/// cotangents of one.
static CTC: Primitive = Primitive {
    name: "ctc_loss",
    eval: |call| {
        let (x, blank) = (call.array(0).contiguous(), call.attrs::<Ctc>().blank);
        let &[steps, count, classes] = x.shape() else { unreachable!("ctc_loss: three axes") };
        let (labels, lengths) = (labels(call.array(1), call.array(3)), numbers(call.array(2)));
        let sequences = Sequences { steps, count, classes, blank, labels: &labels, lengths: &lengths };
        check_memory(call.name(), x.shape(), x.dtype())?;
        let mut losses = Array::empty(&[count], x.dtype());
        let mut slopes = call.is_recorded().then(|| Array::empty(x.shape(), x.dtype()));
        dispatch!(float x.dtype(), T => {
            let slopes = slopes.as_mut().map(Array::data_mut::<T>);
            sequences.losses::<T>(x.as_slice().unwrap_or_default(), losses.data_mut(), slopes);
        }, else unreachable!("integers were made floating"));
        call.give(losses);
        if let Some(slopes) = slopes {
            call.give(slopes);
        }
        Ok(())
    },
    saves: |s| (0..4).for_each(|i| s.input(i)),
    vjp: Vjp::Rule(|ctx| {
        if ctx.create_graph() {
            return ctx.pull_definition();
        }
        let (g, slopes): (_, Variable) = (ctx.cotangent(), ctx.saved_constant(0).clone().into());
        ctx.add(0, annihilate(&expand_dims(&g, &[1])?, &slopes)?)
    }),
    jvp: Jvp::Definition,
    batch: Batch::Loop,
    definition: Some(definition),
    hidden: 1,
    ..Primitive::BASE
};

/// The elements of an int64 array.
fn numbers(a: &Array) -> Vec<usize> {
    a.to_vec::<i64>().into_iter().map(|n| usize::try_from(n).unwrap_or(0)).collect()
}

/// The labels of each sequence, without padding.
fn labels(all: &Array, lengths: &Array) -> Vec<Vec<usize>> {
    let (all, width) = (numbers(all), all.shape()[1]);
    numbers(lengths).into_iter().enumerate().map(|(n, l)| all[n * width..n * width + l].to_vec()).collect()
}

/// The recursion over steps, for all sequences and positions at once.
fn definition(inputs: &[Variable], attrs: &dyn AttrSet) -> Result<Outputs> {
    let (x, blank) = (&inputs[0], attrs.get::<Ctc>().blank);
    let &[steps, count, _] = x.shape() else { unreachable!("ctc_loss: three axes") };
    inputs[1..].iter().for_each(|v| capture::read(v.innermost(), "a derivative of ctc_loss"));
    let labels = labels(inputs[1].array(), inputs[3].array());
    let lengths = numbers(inputs[2].array());
    let places = 2 * labels.iter().map(Vec::len).max().unwrap_or(0) + 1;
    let label = |n: usize, s: usize| if s.is_multiple_of(2) { blank } else { labels[n].get(s / 2).copied().unwrap_or(blank) };
    let grid = || (0..count).flat_map(|n| (0..places).map(move |s| (n, s)));
    let shape = [count, places];
    let classes: Vec<i64> = grid().map(|(n, s)| i64::try_from(label(n, s)).unwrap_or(0)).collect();
    let skips: Vec<bool> = grid().map(|(n, s)| s % 2 == 1 && s > 1 && label(n, s) != label(n, s - 2)).collect();
    let first: Vec<bool> = grid().map(|(_, s)| s < 2).collect();
    let ends: Vec<bool> = grid().map(|(n, s)| s < 2 * labels[n].len() + 1 && s + 2 > 2 * labels[n].len()).collect();
    let of = |v: &[bool]| -> Variable { Array::from_slice(v, &shape).into() };
    let (classes, skips, first, ends): (Variable, _, _, _) = (Array::from_slice(&classes, &shape).into(), of(&skips), of(&first), of(&ends));
    let never = |n: usize| -> Variable { Array::full(&[count, n], f64::NEG_INFINITY.into(), x.dtype()).into() };
    let behind = |a: &Variable, by: usize| -> Result<Variable> {
        let cut = IndexItem::Slice(None, Some((places - by.min(places)).cast_signed()), None);
        concat(&[never(by.min(places)), get_item(a, &[IndexItem::Ellipsis, cut])?], Some(-1))
    };
    let mut alpha = never(places);
    for t in 0..steps {
        let emitted = take_along_axis(&get_item(x, &[IndexItem::Int(t.cast_signed())])?, &classes, Some(1))?;
        let reached = if t == 0 {
            where_(&first, 0.0, &never(places))?
        } else {
            let two = where_(&skips, &behind(&alpha, 2)?, f64::NEG_INFINITY)?;
            logaddexp(&logaddexp(&alpha, &behind(&alpha, 1)?)?, &two)?
        };
        let runs: Vec<bool> = lengths.iter().map(|l| t < *l).collect();
        let runs: Variable = Array::from_slice(&runs, &[count, 1]).into();
        alpha = where_(&runs, &add(&reached, &emitted)?, &alpha)?;
    }
    let total = crate::ops::logsumexp(&where_(&ends, &alpha, f64::NEG_INFINITY)?, Some(&[1]), false)?;
    Ok(smallvec![negative(&total)?])
}

/// Lengths as int64 (N,).
fn lengths(what: &str, v: &Variable, count: usize) -> Result<Variable> {
    let v = if v.ndim() == 0 && count == 1 { reshape(v, &[1])? } else { v.clone() };
    if v.shape() != [count] || v.dtype().is_float() {
        let shape = show_shape(v.shape());
        return Err(Error::Shape(format!("ctc_loss: {what} are {} of shape {shape}, expected integers of shape ({count},)", v.dtype())));
    }
    astype(&v, DType::I64)
}

/// Checks lengths and labels. The labels of all sequences as (N, S): concatenated labels are split into rows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CtcLabels {
    steps: usize,
    classes: usize,
    blank: usize,
    /// The number of columns; `None` for that of the longest sequence.
    width: Option<usize>,
}

impl Computation for CtcLabels {
    const NAME: &'static str = "CtcLabels";
    const INPUTS: usize = 3;
    const OUTPUTS: usize = 1;

    fn run(&self, inputs: &[Array]) -> Result<Arrays> {
        let [targets, steps, lengths] = inputs else { return Err(Error::Value("ctc_loss: three arrays are expected".to_owned())) };
        checked_lengths("input_lengths", steps, self.steps)?;
        checked_lengths("target_lengths", lengths, targets.size())?;
        Ok(smallvec![self.rows(targets, &numbers(lengths))?])
    }
}

/// Checks that each length is at most `most`.
fn checked_lengths(what: &str, lengths: &Array, most: usize) -> Result<()> {
    match lengths.to_vec::<i64>().into_iter().find(|n| usize::try_from(*n).map_or(true, |n| n > most)) {
        Some(n) => Err(Error::Value(format!("ctc_loss: {what} has {n}, expected 0 to {most}"))),
        None => Ok(()),
    }
}

impl CtcLabels {
    /// The labels in rows.
    fn rows(&self, targets: &Array, lengths: &[usize]) -> Result<Array> {
        let all = targets.to_vec::<i64>();
        let (count, longest) = (lengths.len(), lengths.iter().copied().max().unwrap_or(0));
        let total: usize = lengths.iter().sum();
        let rows = targets.ndim() == 2 && targets.shape()[0] == count && targets.shape()[1] >= longest;
        let width = self.width.unwrap_or(longest);
        if !(rows || targets.ndim() == 1 && all.len() == total) || width < longest {
            let shape = show_shape(targets.shape());
            return Err(Error::Shape(format!(
                "ctc_loss: targets are {} of shape {shape}, expected integers (N, S) or all {total} labels in a row",
                targets.dtype()
            )));
        }
        check_memory("ctc_loss", &[count, width], DType::I64)?;
        let mut out = vec![0; count * width];
        let mut at = 0;
        for (n, length) in lengths.iter().enumerate() {
            let start = if rows { n * targets.shape()[1] } else { at };
            out[n * width..n * width + length].copy_from_slice(&all[start..start + length]);
            at += length;
        }
        let is_wrong = |l: &&i64| usize::try_from(**l).map_or(true, |l| l >= self.classes || l == self.blank);
        let used = (0..count).flat_map(|n| &out[n * width..n * width + lengths[n]]).find(is_wrong);
        match used {
            Some(l) => {
                let last = self.classes - 1;
                Err(Error::Value(format!("ctc_loss: a target is {l}, expected a class from 0 to {last} that is not the blank")))
            }
            None => Ok(Array::from_slice(&out, &[count, width])),
        }
    }

    /// The labels in rows, for the lengths of the inputs and of the labels. A program computes them in each run.
    fn apply(mut self, targets: &Variable, steps: &Variable, lengths: &Variable) -> Result<Variable> {
        if targets.dtype().is_float() {
            let shape = show_shape(targets.shape());
            return Err(Error::Shape(format!("ctc_loss: targets are {} of shape {shape}, expected integers", targets.dtype())));
        }
        let targets = astype(targets, DType::I64)?;
        if let Some(lifted) = [&targets, steps, lengths].into_iter().find(|v| v.is_lifted()) {
            lifted.values("ctc_loss")?;
        }
        if capture::is_on() {
            // All runs of a program have the same width.
            self.width = targets.shape().last().copied();
        }
        let made = capture::computed(self, &[targets.array(), steps.array(), lengths.array()])?;
        Ok(made[0].clone().into())
    }
}

/// The computations of this file.
pub static COMPUTATIONS: &[ComputationKind] = &[ComputationKind::of::<CtcLabels>()];

/// The loss of sequences of labels: see the row.
fn call_ctc(a: &Args<'_>) -> Result<Value> {
    let x = a.variable(0)?;
    let single = x.ndim() == 2;
    let x = if single { expand_dims(&x, &[1])? } else { x };
    let &[steps, count, classes] = x.shape() else {
        return Err(Error::Shape(format!("ctc_loss: log_probs has shape {}, expected (T, N, C) or (T, C)", show_shape(x.shape()))));
    };
    let x = if x.dtype().is_float() { x } else { astype(&x, crate::array::default_float())? };
    let blank = a.int(4)?;
    let blank = usize::try_from(blank).ok().filter(|b| *b < classes);
    let blank = blank.ok_or_else(|| Error::Value(format!("ctc_loss: the blank must be a class from 0 to {}", classes.saturating_sub(1))))?;
    let inputs = lengths("input_lengths", &a.variable(2)?, count)?;
    let lengths = lengths("target_lengths", &a.variable(3)?, count)?;
    let targets = CtcLabels { steps, classes, blank, width: None }.apply(&a.variable(1)?, &inputs, &lengths)?;
    let losses = apply(&CTC, &[(&x).into(), (&targets).into(), (&inputs).into(), (&lengths).into()], &Ctc { blank })?;
    let losses = if a.flag(6)? { where_(&equal(&losses, f64::INFINITY)?, 0.0, &losses)? } else { losses };
    Ok(match a.text(5)? {
        "none" if single => reshape(&losses, &[])?,
        "none" => losses,
        "sum" => sum(&losses, None, false)?,
        "mean" => mean(&divide(&losses, &astype(&maximum(&lengths, 1_i64)?, losses.dtype())?)?, None, false)?,
        other => return Err(Error::Value(format!("ctc_loss: reduction '{other}' is unknown, expected 'none', 'mean' or 'sum'"))),
    }
    .into())
}

fn samples() -> Vec<Sample> {
    let draw = &mut Draw::new(81);
    let one = |draw: &mut Draw, targets: Variable, inputs: &[i64], lengths: &[i64], reduction: &str| {
        let x = log_softmax(&REAL.array(draw, &[5, 2, 4]), -1).unwrap_or_else(|_| REAL.array(draw, &[5, 2, 4]));
        let rest = [Arg::Variable(targets), Arg::Variable(indices(inputs, &[2])), Arg::Variable(indices(lengths, &[2]))];
        let options = [Arg::Int(0), Arg::Text(reduction.to_owned()), Arg::Bool(false)];
        Sample { args: std::iter::once(Arg::Variable(x)).chain(rest).chain(options).collect() }
    };
    vec![
        one(draw, indices(&[1, 1, 3, 2], &[2, 2]), &[5, 4], &[2, 2], "none"),
        one(draw, indices(&[2, 3, 1], &[3]), &[5, 5], &[2, 1], "mean"),
        one(draw, indices(&[2, 3], &[2]), &[5, 3], &[2, 0], "sum"),
    ]
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[Entry {
    name: "ctc_loss",
    module: "nn.functional",
    doc: "-ln of the probability that log_probs (T, N, C), or (T, C), give to the labels targets (N, S), or all labels in a row: summed over\n\
          all ways to stretch them with blanks and repetitions (Graves, 2006). input_lengths and target_lengths (N,) say how many steps and\n\
          labels count. 'mean' divides each loss by its number of labels first. A target that is too long has the loss inf, which\n\
          zero_infinity makes 0. The gradient is that by log_probs themselves: it fits any log_probs, not log_softmax alone.\n\
          \n\
          >>> x = tg.log(tg.full((2, 1, 2), 0.5))\n\
          >>> tg.nn.functional.ctc_loss(x, tg.Variable([[1]]), tg.Variable([2]), tg.Variable([1]), reduction=\"none\").exp()\n\
          Variable([1.3333334])\n",
    params: &[
        Param::array("log_probs"),
        Param::array("targets"),
        Param::array("input_lengths"),
        Param::array("target_lengths"),
        Param::new("blank", Kind::Int).or(Default::Int(0)),
        Param::new("reduction", Kind::Text).or(Default::Text("mean")),
        Param::flag("zero_infinity", false),
    ],
    call: call_ctc,
    gradient: Gradient::Rule("-g Σ e^(α + β - x + loss) over the places of each class"),
    samples,
    method: false,
    ..Entry::BASE
}];
