//! One operation over rows of classes: Σ wq (L - x) for logits x, with L = log Σ eˣ; without L for logarithms of
//! probabilities.
//!
//! Its gradient by the logits is one fused pass; the gradients by probability targets and weights, and all gradients
//! that are differentiated again, are written in Variables.

use std::sync::Arc;

use super::stretched;
use crate::array::{Array, DType, Element, Layout, Scalar, Shape};
use crate::dispatch;
use crate::error::Result;
use crate::kernel::classes::{self, Classes, Targets};
use crate::ops::{add, annihilate, log_softmax, multiply, negative, softmax, subtract, sum};
use crate::tape::{Attrs, Grads, Op, Rule, Step, Variable, record};

/// Checked targets.
pub(super) enum Target {
    /// int64, one for each sample in row-major order; -1 where it does not count.
    Indices(Array),
    /// In the shape of the input.
    Probabilities(Variable),
}

/// What the rule has to know besides arrays.
#[derive(Clone, Copy, Debug)]
struct Spec {
    /// Whether the input holds logarithms of probabilities already.
    normalized: bool,
    /// Which input the probability targets are, if they are.
    probabilities: Option<u8>,
    /// Which input the class weights are, if there are any.
    weight: Option<u8>,
    smoothing: f64,
}

/// Over logits.
pub(super) static CROSS_ENTROPY: Op = Op { name: "cross_entropy", rule: Rule::Vjp(vjp), ..Op::BASE };
/// Over logarithms of probabilities.
pub(super) static NLL_LOSS: Op = Op { name: "nll_loss", rule: Rule::Vjp(vjp), ..Op::BASE };

/// The axis of the classes.
pub(super) fn class_axis(ndim: usize) -> usize {
    usize::from(ndim > 1)
}

/// `x` with the class axis last, in row-major order.
fn rows(x: &Array) -> Array {
    x.with_layout(x.layout().permute(&class_last(x.ndim()))).contiguous()
}

/// The axes with the class axis last.
fn class_last(ndim: usize) -> Vec<usize> {
    let axis = class_axis(ndim);
    (0..ndim).filter(|&a| a != axis).chain([axis]).collect()
}

/// Rows of gradients, back in the input's order of axes.
fn unrows(rows: &Array, shape: &[usize]) -> Array {
    let order = class_last(shape.len());
    let mut back = vec![0; order.len()];
    for (i, &a) in order.iter().enumerate() {
        back[a] = i;
    }
    let moved: Shape = order.iter().map(|&a| shape[a]).collect();
    rows.with_layout(Layout::contiguous(&moved).permute(&back))
}

/// What a row is compared with, ready for the kernel.
struct Prepared {
    /// int64, -1 where the target does not count; or rows of probabilities.
    targets: Array,
    weight: Option<Array>,
    count: usize,
    smoothing: f64,
}

impl Prepared {
    fn classes<T: Element>(&self) -> Classes<'_, T> {
        let targets = if self.targets.dtype() == DType::I64 { Targets::Indices(slice(&self.targets)) } else { Targets::Rows(slice(&self.targets)) };
        Classes { count: self.count, targets, weight: self.weight.as_ref().map(slice), smoothing: self.smoothing }
    }
}

pub(super) fn slice<T: Element>(a: &Array) -> &[T] {
    a.as_slice().unwrap_or_else(|| unreachable!("rows are contiguous"))
}

/// The losses of the samples, with the class axis of size one kept; recorded.
pub(super) fn entropies(op: &'static Op, x: &Variable, q: &Target, w: Option<&Variable>, smoothing: f64) -> Result<Variable> {
    let count = x.shape()[class_axis(x.ndim())];
    let block = rows(x.array());
    let mut inputs = vec![x];
    let mut spec = Spec { normalized: std::ptr::eq(op, &raw const NLL_LOSS), probabilities: None, weight: None, smoothing };
    if let Target::Probabilities(q) = q {
        spec.probabilities = Some(1);
        inputs.push(q);
    }
    if let Some(w) = w {
        spec.weight = u8::try_from(inputs.len()).ok();
        inputs.push(w);
    }
    let targets = match q {
        Target::Indices(t) => t.clone(),
        Target::Probabilities(q) => rows(q.array()),
    };
    let prepared = Prepared { targets, weight: w.map(|w| w.array().contiguous()), count, smoothing };
    let shape = stretched(x.shape(), class_axis(x.ndim()));
    let (mut out, mut levels) = (Array::empty(&shape, x.dtype()), None);
    dispatch!(float x.dtype(), T => {
        if !spec.normalized {
            let mut l = Array::empty(&shape, x.dtype());
            classes::log_sums::<T>(slice(&block), count, l.data_mut());
            levels = Some(l);
        }
        classes::losses::<T>(slice(&block), levels.as_ref().map(slice), prepared.classes(), out.data_mut());
    }, else unreachable!("logits are floating"));
    record(op, &inputs, out, |s| {
        for i in 0..inputs.len() {
            s.input(u8::try_from(i).unwrap_or(u8::MAX));
        }
        if let Target::Indices(t) = q {
            s.extra(0, t.clone());
        }
        if let Some(l) = levels {
            s.extra(1, l);
        }
        s.attrs(Attrs::Data(Arc::new(spec)));
    })
}

fn vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let Some(&spec) = step.attrs().data::<Spec>() else { unreachable!("cross_entropy: its attributes are its own") };
    if !step.create_graph() && (1..step.input_count()).all(|i| !step.needs(i)) {
        return Ok(Grads::from_iter([Some(fused(step, spec, g.array()).into())]));
    }
    written(step, spec, &g)
}

/// The gradient by the logits, in one pass.
fn fused(step: &Step<'_>, spec: Spec, g: &Array) -> Array {
    let x = step.input_array(0);
    let (block, g) = (rows(x), rows(g));
    let targets = spec.probabilities.map_or_else(|| step.extra(0).clone(), |i| rows(step.input_array(i)));
    let weight = spec.weight.map(|i| step.input_array(i).contiguous());
    let count = x.shape()[class_axis(x.ndim())];
    let prepared = Prepared { targets, weight, count, smoothing: spec.smoothing };
    let levels = (!spec.normalized).then(|| step.extra(1));
    let mut out = Array::empty(block.shape(), x.dtype());
    dispatch!(float x.dtype(), T => {
        classes::gradients::<T>(slice(&block), levels.map(slice), slice(&g), prepared.classes(), out.data_mut());
    }, else unreachable!("logits are floating"));
    unrows(&out, x.shape())
}

/// All gradients, in Variables: of Σ wq (L - x) by x, by the probabilities inside q, and by w.
#[allow(clippy::cast_precision_loss, reason = "a count of classes")]
fn written(step: &Step<'_>, spec: Spec, g: &Variable) -> Result<Grads> {
    let x = step.input(0);
    let axis = class_axis(x.ndim()).cast_signed();
    let keep = 1.0 - spec.smoothing;
    let q = match spec.probabilities {
        Some(i) => add(&multiply(&step.input(i), keep)?, spec.smoothing / x.shape()[class_axis(x.ndim())] as f64)?,
        None => one_hot(step.extra(0), x.array(), spec.smoothing).into(),
    };
    let w = spec.weight.map(|i| step.input(i));
    let times_w = |v: &Variable| if let Some(w) = &w { multiply(v, w) } else { Ok(v.clone()) };
    let mut grads = Grads::from_elem(None, step.input_count());
    if step.needs(0) {
        let share = times_w(&q)?;
        let by_x = if spec.normalized {
            negative(&share)?
        } else {
            let total = sum(&share, Some(&[axis]), true)?;
            subtract(&annihilate(&total, &softmax(&x, axis)?)?, &share)?
        };
        grads[0] = Some(annihilate(g, &by_x)?);
    }
    let wanted = |place: Option<u8>| place.filter(|&i| step.needs(i.into()));
    if wanted(spec.probabilities).or(wanted(spec.weight)).is_none() {
        return Ok(grads);
    }
    let cost = negative(&if spec.normalized { x } else { log_softmax(&x, axis)? })?;
    if let Some(i) = wanted(spec.probabilities) {
        grads[usize::from(i)] = Some(annihilate(g, &times_w(&multiply(&cost, keep)?)?)?);
    }
    if let Some(i) = wanted(spec.weight) {
        grads[usize::from(i)] = Some(annihilate(g, &annihilate(&q, &cost)?)?);
    }
    Ok(grads)
}

/// Smoothed one-hot rows in the shape of `x`; zero where a target does not count.
#[allow(clippy::cast_precision_loss, reason = "a count of classes")]
fn one_hot(targets: &Array, x: &Array, smoothing: f64) -> Array {
    let block: Shape = class_last(x.ndim()).iter().map(|&a| x.shape()[a]).collect();
    let count = x.shape()[class_axis(x.ndim())];
    let mut out = Array::zeros(&block, x.dtype());
    dispatch!(float x.dtype(), T => {
        let at = |v: f64| T::from_scalar(Scalar::Float(v));
        let (spread, own) = (at(smoothing / count as f64), at(1.0 - smoothing));
        for (row, &t) in out.data_mut::<T>().chunks_mut(count.max(1)).zip(slice::<i64>(targets)) {
            let Ok(t) = usize::try_from(t) else { continue };
            row.fill(spread);
            row[t] += own;
        }
    }, else unreachable!("logits are floating"));
    unrows(&out, x.shape())
}
