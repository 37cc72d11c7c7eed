//! Cross-entropy over rows of classes: Σ w q (L - x) for logits x, with L = log Σ eˣ; without L for log-probabilities.
//!
//! The loss and its gradient with respect to the logits are fused kernels. Both are primitives with a definition, which second orders,
//! tangents, batches, and gradients of probability targets and weights use.

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::stretched;
use crate::array::{Array, DType, Element, Layout, Scalar, Shape};
use crate::dispatch;
use crate::error::Result;
use crate::kernel::cross_entropy::{self as kernel, Classes, Targets};
use crate::ops::{add, annihilate, arange, astype, equal, expand_dims, greater_equal, log_softmax, multiply, negative, softmax, subtract, sum};
use crate::tape::{Batch, Call, Jvp, Operand, Primitive, Variable, Vjp, VjpContext, apply};

/// Checked targets.
pub(super) enum Target {
    /// int64, one per sample; -1 if it is ignored.
    Indices(Variable),
    /// In the shape of the input.
    Probabilities(Variable),
}

/// The attributes. The inputs are x, the targets, and the class weights if there are any.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Spec {
    /// Whether the input holds log-probabilities.
    normalized: bool,
    smoothing: f64,
}
crate::attributes!(Spec);

const ENTROPY: Primitive = Primitive {
    eval: eval_loss,
    saves: |s| (0..s.input_count()).for_each(|i| s.input(u8::try_from(i).unwrap_or(u8::MAX))),
    vjp: Vjp::Rule(entropy_vjp),
    jvp: Jvp::Definition,
    batch: Batch::Definition,
    definition: Some(|inputs, attrs| {
        let (x, spec) = (&inputs[0], attrs.get::<Spec>());
        let axis = class_axis(x.ndim()).cast_signed();
        let cost = negative(&if spec.normalized { x.clone() } else { log_softmax(x, axis)? })?;
        Ok(smallvec![sum(&annihilate(&shares(inputs, spec)?, &cost)?, Some(&[axis]), true)?])
    }),
    ..Primitive::BASE
};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&CROSS_ENTROPY, &NLL_LOSS, &GRADIENT];

/// For logits. The sums L are a hidden result, which the gradient reads.
pub(super) static CROSS_ENTROPY: Primitive = Primitive { name: "cross_entropy", hidden: 1, ..ENTROPY };
/// For log-probabilities.
pub(super) static NLL_LOSS: Primitive = Primitive { name: "nll_loss", ..ENTROPY };

/// The gradient with respect to x. The inputs are those of the loss, the cotangent, and L for logits.
static GRADIENT: Primitive = Primitive {
    name: "cross_entropy_gradient",
    eval: eval_gradient,
    saves: ENTROPY.saves,
    vjp: Vjp::Definition,
    jvp: Jvp::Definition,
    batch: Batch::Definition,
    definition: Some(|inputs, attrs| {
        let (x, spec) = (&inputs[0], attrs.get::<Spec>());
        let g = &inputs[inputs.len() - if spec.normalized { 1 } else { 2 }];
        let axis = class_axis(x.ndim()).cast_signed();
        let share = shares(&inputs[..inputs.len() - if spec.normalized { 1 } else { 2 }], spec)?;
        let by_x =
            if spec.normalized { negative(&share)? } else { subtract(&annihilate(&sum(&share, Some(&[axis]), true)?, &softmax(x, axis)?)?, &share)? };
        Ok(smallvec![annihilate(g, &by_x)?])
    }),
    ..Primitive::BASE
};

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

/// The targets of rows, in the form for the kernel.
struct Prepared {
    /// int64, -1 for ignored targets; or rows of probabilities.
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

/// The losses of the samples, with the class axis of size one kept.
pub(super) fn entropies(p: &'static Primitive, x: &Variable, q: &Target, w: Option<&Variable>, smoothing: f64) -> Result<Variable> {
    let (Target::Indices(q) | Target::Probabilities(q)) = q;
    let spec = Spec { normalized: p.hidden == 0, smoothing };
    match w {
        Some(w) => apply(p, &[x.into(), q.into(), w.into()], &spec),
        None => apply(p, &[x.into(), q.into()], &spec),
    }
}

/// w q: the weighted, smoothed targets, in the shape of x; zero for ignored targets.
#[allow(clippy::cast_precision_loss, reason = "a count of classes")]
fn shares(inputs: &[Variable], spec: &Spec) -> Result<Variable> {
    let (x, q) = (&inputs[0], &inputs[1]);
    let axis = class_axis(x.ndim());
    let count = x.shape()[axis];
    let (own, each) = (1.0 - spec.smoothing, spec.smoothing / count as f64);
    let q = if q.dtype().is_float() {
        add(&multiply(q, own)?, each)?
    } else {
        let target = expand_dims(q, &[axis.cast_signed()])?;
        let trailing: Vec<isize> = (1..(x.ndim() - axis).cast_signed()).collect();
        let classes = expand_dims(
            &arange(Scalar::Int(0), Scalar::Int(i64::try_from(count).unwrap_or(i64::MAX)), Scalar::Int(1), Some(DType::I64))?,
            &trailing,
        )?;
        let hit = astype(&equal(&target, &classes)?, x.dtype())?;
        let counts = astype(&greater_equal(&target, 0)?, x.dtype())?;
        add(&multiply(&hit, own)?, &multiply(&counts, each)?)?
    };
    inputs.get(2).map_or(Ok(q.clone()), |w| multiply(&q, w))
}

fn entropy_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    if (1..ctx.input_count()).any(|i| ctx.needs(i)) {
        return ctx.pull_definition();
    }
    let (g, spec) = (ctx.cotangent(), ctx.attrs::<Spec>());
    let mut inputs: Vec<Variable> = (0..ctx.input_count()).map(|i| ctx.input(u8::try_from(i).unwrap_or(u8::MAX))).collect();
    inputs.push(g);
    if !spec.normalized {
        inputs.push(ctx.saved_constant(0).clone().into());
    }
    let operands: Vec<Operand<'_>> = inputs.iter().map(Operand::from).collect();
    ctx.add(0, apply(&GRADIENT, &operands, spec)?)
}

/// The targets and the weight of a call in the form for the kernels, with the class axis last.
fn prepared(call: &Call<'_>, weighted: bool) -> Prepared {
    let x = call.array(0);
    let targets = if call.array(1).dtype() == DType::I64 { call.array(1).contiguous() } else { rows(call.array(1)) };
    let weight = weighted.then(|| call.array(2).contiguous());
    Prepared { targets, weight, count: x.shape()[class_axis(x.ndim())], smoothing: call.attrs::<Spec>().smoothing }
}

#[allow(clippy::unnecessary_wraps, reason = "the signature of an evaluation")]
fn eval_loss(call: &mut Call<'_>) -> Result<()> {
    let (x, spec) = (call.array(0), call.attrs::<Spec>());
    let prepared = prepared(call, call.inputs().len() > 2);
    let (block, shape) = (rows(x), stretched(x.shape(), class_axis(x.ndim())));
    let (mut out, mut levels) = (Array::empty(&shape, x.dtype()), None);
    dispatch!(float x.dtype(), T => {
        if !spec.normalized {
            let mut l = Array::empty(&shape, x.dtype());
            kernel::log_sums::<T>(slice(&block), prepared.count, l.data_mut());
            levels = Some(l);
        }
        kernel::losses::<T>(slice(&block), levels.as_ref().map(slice), prepared.classes(), out.data_mut());
    }, else unreachable!("logits are floating"));
    call.give(out);
    if let Some(levels) = levels.filter(|_| call.is_recorded()) {
        call.give(levels);
    }
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "the signature of an evaluation")]
fn eval_gradient(call: &mut Call<'_>) -> Result<()> {
    let (x, spec, n) = (call.array(0), call.attrs::<Spec>(), call.inputs().len());
    let last = if spec.normalized { n - 1 } else { n - 2 };
    let prepared = prepared(call, last > 2);
    let (block, g) = (rows(x), rows(call.array(last)));
    let levels = (!spec.normalized).then(|| call.array(n - 1).contiguous());
    let mut out = Array::empty(block.shape(), x.dtype());
    dispatch!(float x.dtype(), T => {
        kernel::gradients::<T>(slice(&block), levels.as_ref().map(slice), slice(&g), prepared.classes(), out.data_mut());
    }, else unreachable!("logits are floating"));
    call.give(unrows(&out, x.shape()));
    Ok(())
}
