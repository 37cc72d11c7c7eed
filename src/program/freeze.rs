//! Programs for inference: values of places become constants, and everything that depends only on constants is computed once.
//!
//! Additions, subtractions, multiplications and divisions by constants that follow a convolution or a linear map, with one number per
//! channel, are folded into its weight and bias. Batch normalisation in evaluation mode is such a chain.

use std::collections::{HashMap, HashSet};

use smallvec::SmallVec;

use super::Program;
use super::plan::{drop_dead, fold, merge};
use crate::array::{Array, DType};
use crate::error::{Error, Result};
use crate::ops;
use crate::registry;
use crate::tape::capture::{Arg, Op, Slot, Source, Step, Trace};
use crate::tape::{Attrs, Primitive, Variable, recording};

impl Program {
    /// The recording of the function without its pullback, with the values of places as constants. `op` begins the messages of errors.
    pub(super) fn inference(&self, op: &str) -> Result<Trace> {
        let mut trace = Trace::clone(&self.trace);
        if let Some(p) = self.pullback {
            trace.steps.truncate(p.split);
            trace.outputs.truncate(trace.outputs.len() - p.gradients);
            trace.inputs -= p.cotangents;
            let inputs = trace.inputs;
            trace.sources.retain(|(_, s)| !matches!(s, Source::Input(i) if *i >= inputs));
        }
        let mut trace = trace.frozen(op)?;
        (trace.places, trace.states, trace.asked) = (Vec::new(), Vec::new(), Vec::new());
        tidy(&mut trace);
        Ok(trace)
    }

    /// The program for inference. The present values of places become constants, steps of constants are evaluated, and chains behind
    /// convolutions and linear maps that multiply and add per-channel numbers, such as batch normalisation in evaluation mode, are folded
    /// into their weights. There is no pullback.
    ///
    /// # Errors
    /// `Value` for a program that changes places or draws random numbers.
    pub fn freeze(&self) -> Result<Self> {
        let mut trace = self.inference("freeze")?;
        let _off = recording(false);
        fold(&mut trace.steps, &mut trace.sources, &mut None, usize::MAX)?;
        merge(&mut trace.steps, &mut trace.outputs);
        fold_channels(&mut trace)?;
        tidy(&mut trace);
        Self::new(trace)
    }
}

/// Removes steps and sources that no result needs.
fn tidy(trace: &mut Trace) {
    drop_dead(&mut trace.steps, &trace.outputs, &mut None);
    let mut used: HashSet<Slot> = trace.outputs.iter().copied().collect();
    used.extend(trace.steps.iter().flat_map(|s| s.inputs.iter().filter_map(|a| a.slot())));
    trace.sources.retain(|(slot, _)| used.contains(slot));
}

/// A linear map, and the chain that follows it, channel by channel: `y * scale + shift`, in float64.
struct Channels {
    /// The number of the map's step.
    at: usize,
    count: usize,
    scale: Vec<f64>,
    shift: Vec<f64>,
    /// The number of the step that makes the last value of the chain.
    last: usize,
}

/// How often each value is used.
fn uses(trace: &Trace) -> HashMap<Slot, usize> {
    let mut out: HashMap<Slot, usize> = HashMap::new();
    let read = trace.steps.iter().flat_map(|s| s.inputs.iter().filter_map(|a| a.slot()));
    for slot in read.chain(trace.outputs.iter().copied()) {
        *out.entry(slot).or_default() += 1;
    }
    out
}

fn is(p: &Primitive, names: &[&str]) -> bool {
    registry::name_of(p).is_some_and(|name| names.contains(&name))
}

/// Folds chains into the weights of the maps before them.
fn fold_channels(trace: &mut Trace) -> Result<()> {
    let used = uses(trace);
    let mut constants: HashMap<Slot, Array> = HashMap::new();
    for (slot, source) in &trace.sources {
        if let Source::Constant(a, _) = source {
            constants.insert(*slot, a.clone());
        }
    }
    let chains: Vec<Channels> = (0..trace.steps.len()).filter_map(|at| chain(trace, at, &used, &constants)).collect();
    for c in chains {
        rewrite(trace, &c, &constants)?;
    }
    Ok(())
}

/// For a map with a constant weight: the axis of the channels in its result, and their number.
fn channel_axis(step: &Step, trace: &Trace, constants: &HashMap<Slot, Array>) -> Option<(usize, usize)> {
    let Op::Eval { primitive, attrs, .. } = &step.op else { return None };
    let weight = constants.get(&step.inputs.get(1)?.slot()?)?;
    let out = trace.metas[step.outputs.first().copied()??].0.shape();
    let axis = if is(primitive, &["convolution"]) {
        1
    } else if is(primitive, &["linear"]) && weight.ndim() == 2 && has_rows_of_channels(attrs) {
        out.len().checked_sub(1)?
    } else {
        return None;
    };
    let bias = step.inputs.get(2).is_none_or(|b| b.slot().is_some_and(|b| constants.get(&b).is_some_and(|b| *b.shape() == weight.shape()[..1])));
    let floating = matches!(weight.dtype(), DType::F32 | DType::F64);
    (bias && floating && out.get(axis) == weight.shape().first()).then_some((axis, weight.shape()[0]))
}

/// Whether the second operand of a product has a row for each channel of the result.
fn has_rows_of_channels(attrs: &Attrs) -> bool {
    let Attrs::Set(set) = attrs else { return false };
    set.to_json().is_ok_and(|named| named["b"] == "Transposed")
}

/// A constant with one number per channel, or one for all channels.
fn per_channel(a: Arg, axis: usize, count: usize, ndim: usize, constants: &HashMap<Slot, Array>) -> Option<Vec<f64>> {
    let a = match a {
        Arg::Number(x) => return Some(vec![x.as_f64(); count]),
        Arg::Slot(s) => constants.get(&s)?,
        Arg::None => return None,
    };
    if a.ndim() > ndim || a.dtype().is_complex() {
        return None;
    }
    let lead = ndim - a.ndim();
    let fits = a.shape().iter().enumerate().all(|(i, &n)| n == 1 || (lead + i == axis && n == count));
    let all = crate::kernel::cast::cast(a, DType::F64).to_vec::<f64>();
    match all.len() {
        1 => Some(vec![all[0]; count]),
        n if fits && n == count => Some(all),
        _ => None,
    }
}

fn chain(trace: &Trace, at: usize, used: &HashMap<Slot, usize>, constants: &HashMap<Slot, Array>) -> Option<Channels> {
    let (axis, count) = channel_axis(&trace.steps[at], trace, constants)?;
    let mut slot = trace.steps[at].outputs[0]?;
    let (shape, dtype) = (trace.metas[slot].0.shape(), trace.metas[slot].1);
    let mut c = Channels { at, count, scale: vec![1.0; count], shift: vec![0.0; count], last: at };
    for (k, step) in trace.steps.iter().enumerate().skip(at + 1) {
        let Some(place) = step.inputs.iter().position(|a| a.slot() == Some(slot)) else { continue };
        let (Op::Eval { primitive, .. }, Some(Some(out))) = (&step.op, step.outputs.first()) else { break };
        let (alike, single) = (trace.metas[*out].0.shape() == shape && trace.metas[*out].1 == dtype, used.get(&slot) == Some(&1));
        if !alike || !single || step.inputs.len() != 2 {
            break;
        }
        let Some(by) = per_channel(step.inputs[1 - place], axis, count, shape.len(), constants) else { break };
        if !apply(primitive, place, &by, &mut c) {
            break;
        }
        (c.last, slot) = (k, *out);
    }
    let finite = c.scale.iter().chain(&c.shift).all(|x| x.is_finite());
    (c.last > at && finite).then_some(c)
}

/// Adds one step to a chain; false when it neither multiplies nor adds.
fn apply(p: &Primitive, place: usize, by: &[f64], c: &mut Channels) -> bool {
    let step: fn(f64, f64, f64) -> (f64, f64) = if is(p, &["add"]) {
        |s, t, x| (s, t + x)
    } else if is(p, &["subtract"]) && place == 0 {
        |s, t, x| (s, t - x)
    } else if is(p, &["subtract"]) {
        |s, t, x| (-s, x - t)
    } else if is(p, &["multiply"]) {
        |s, t, x| (s * x, t * x)
    } else if is(p, &["divide"]) && place == 0 {
        |s, t, x| (s / x, t / x)
    } else {
        return false;
    };
    for ((s, t), x) in c.scale.iter_mut().zip(&mut c.shift).zip(by) {
        (*s, *t) = step(*s, *t, *x);
    }
    true
}

/// Makes the map compute the last value of the chain, with new weights.
fn rewrite(trace: &mut Trace, c: &Channels, constants: &HashMap<Slot, Array>) -> Result<()> {
    let gone = || Error::Value("freeze: the weight of a linear map is not constant".to_owned());
    let step = &trace.steps[c.at];
    let constant = |i: usize| step.inputs.get(i).and_then(|a| constants.get(&a.slot()?));
    let weight = constant(1).ok_or_else(gone)?;
    let dtype = weight.dtype();
    let wide = |a: &Array| Variable::from(crate::kernel::cast::cast(a, DType::F64));
    let column: SmallVec<[isize; 4]> = (0..weight.ndim()).map(|i| if i == 0 { c.count.cast_signed() } else { 1 }).collect();
    let (scale, shift) = (Variable::from(Array::from_slice(&c.scale, &[c.count])), Variable::from(Array::from_slice(&c.shift, &[c.count])));
    let scaled = ops::multiply(&wide(weight), &ops::reshape(&scale, &column)?)?;
    let bias = match constant(2) {
        Some(b) => ops::add(&ops::multiply(&wide(b), &scale)?, &shift)?,
        None => shift,
    };
    let mut inputs: SmallVec<[Arg; 4]> = std::iter::once(step.inputs[0]).collect();
    for v in [scaled, bias] {
        let a = crate::kernel::cast::cast(v.array(), dtype).contiguous();
        trace.metas.push((a.layout().clone(), dtype));
        trace.sources.push((trace.slots, Source::Constant(a, None)));
        inputs.push(Arg::Slot(trace.slots));
        trace.slots += 1;
    }
    let last = trace.steps[c.last].outputs[0];
    let map = &mut trace.steps[c.at];
    (map.inputs, map.outputs) = (inputs, std::iter::once(last).collect());
    // The chain's last step now makes a new value that nothing reads.
    trace.metas.push(trace.metas[last.unwrap_or(0)].clone());
    trace.steps[c.last].outputs = std::iter::once(Some(trace.slots)).collect();
    trace.slots += 1;
    Ok(())
}
