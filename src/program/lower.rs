//! Lowers elementwise steps to formulas.
//!
//! A formula over operands of one floating dtype has loops that run on slices ([`Blocks`]). A step of such a primitive becomes one
//! [`Point`]. A step of its gradient rule becomes one `Point` for each wanted gradient, followed by a sum over broadcast axes and the
//! addition to the gradient so far, in the same order as in the eager rule. All other steps stay as they are.

use std::collections::{HashMap, HashSet};

use smallvec::{SmallVec, smallvec};

use crate::array::{Array, DType, Layout, Scalar, Shape, size_of};
use crate::kernel::map::{Formulas, Simple};
use crate::ops::define::Binary;
use crate::ops::{self, add, divide, reduction};
use crate::tape::accumulate::{SUM_TO, ToShape};
use crate::tape::capture::{Arg, Op, Slot, Step};
use crate::tape::{AttrSet, Attrs, Blocks, Place, Primitive, RuleCall, Variable};

/// Layout and dtype of each value.
pub(super) type Metas = Vec<(Layout, DType)>;

/// A formula and its operands, which are values and numbers and broadcast to the result's shape.
pub(super) struct Point {
    pub(super) name: &'static str,
    /// The name of the second formula of a pair.
    pub(super) and: Option<&'static str>,
    /// The arithmetic operation, for formulas that can be fused with another one.
    pub(super) op: Option<Simple>,
    pub(super) formulas: Formulas,
    pub(super) params: [f64; 2],
    pub(super) inputs: SmallVec<[Arg; 4]>,
    pub(super) output: Slot,
    /// The dtype that it computes in. It differs from the dtype of the result when that is bool.
    pub(super) dtype: DType,
    /// The step that it replaces, when it replaces a whole step.
    pub(super) step: Option<Box<Step>>,
}

impl Point {
    /// Whether a truth value is an operand or the result.
    pub(super) fn reads_or_makes_truth(&self, metas: &Metas) -> bool {
        std::iter::once(self.output).chain(self.inputs.iter().filter_map(|a| a.slot())).any(|s| metas[s].1 == DType::Bool)
    }
}

/// A step of a program that is being made.
pub(super) enum Item {
    Step(Step),
    Point(Point),
}

impl Item {
    /// The operands.
    pub(super) fn inputs(&self) -> &[Arg] {
        match self {
            Self::Step(step) => &step.inputs,
            Self::Point(point) => &point.inputs,
        }
    }
}

/// What lowering knows of the values of a program.
pub(super) struct Lowering {
    pub(super) metas: Metas,
    /// Values of which views are taken, so that their layouts must not change.
    viewed: HashSet<Slot>,
    /// Values that are replaced by other values.
    same: HashMap<Slot, Slot>,
    /// Bool values that formulas make, and the dtype of those formulas.
    pub(super) truths: HashMap<Slot, DType>,
    constants: HashMap<Slot, Array>,
    /// Constants that lowering has computed.
    pub(super) made: Vec<(Slot, Array)>,
}

/// The loops of a primitive.
fn blocks(p: &'static Primitive) -> Option<&'static Blocks> {
    // The tape's own `add` has another evaluation, which gives the same bits.
    if p.name == "add" && p.blocks.is_none() { add::PRIMITIVE.blocks } else { p.blocks }
}

/// Whether the gradient of operand `i` has a formula, all values of which are saved or numbers.
fn is_known(blocks: &Blocks, call: &RuleCall, i: usize) -> bool {
    let found = |place: &Place| matches!(place, Place::Input(k) if call.number(usize::from(*k)).is_some()) || call.saved(*place).is_some();
    blocks.factors[i].as_ref().is_some_and(|factor| factor.of.iter().all(found))
}

/// The arithmetic operation of that name, if it can be fused with another one.
fn simple(name: &str) -> Option<Simple> {
    match name {
        "add" => Some(Simple::Add),
        "subtract" => Some(Simple::Subtract),
        "multiply" => Some(Simple::Multiply),
        "annihilate" => Some(Simple::Annihilate),
        _ => None,
    }
}

impl Lowering {
    pub(super) fn new(metas: Metas, steps: &[Step], constants: HashMap<Slot, Array>) -> Self {
        let viewed = steps.iter().filter(|s| matches!(s.op, Op::View(..))).flat_map(|s| s.inputs.iter().filter_map(|a| a.slot())).collect();
        Self { metas, viewed, same: HashMap::new(), truths: HashMap::new(), constants, made: Vec::new() }
    }

    /// The value that replaces `slot`, or `slot` itself.
    pub(super) fn of(&self, slot: Slot) -> Slot {
        self.same.get(&slot).copied().unwrap_or(slot)
    }

    /// Steps as formulas and other steps.
    pub(super) fn lower(&mut self, steps: Vec<Step>) -> Vec<Item> {
        let mut out = Vec::with_capacity(steps.len());
        for mut step in steps {
            for a in &mut step.inputs {
                if let Arg::Slot(s) = a {
                    *s = self.of(*s);
                }
            }
            let done = match &step.op {
                Op::Eval { .. } => self.evaluation(&step).map(|p| out.push(Item::Point(p))).or_else(|| self.truth(&step, &mut out)),
                Op::Rule(call) => self
                    .rule(call, &step, &mut out)
                    .or_else(|| self.choice_rule(call, &step, &mut out))
                    .or_else(|| self.spread(call, &step, &mut out)),
                _ => None,
            };
            if done.is_none() {
                out.push(Item::Step(step));
            }
        }
        out
    }

    pub(super) fn shape(&self, slot: Slot) -> &[usize] {
        self.metas[slot].0.shape()
    }

    /// Whether `dtype` is floating and all arrays among the operands have it.
    pub(super) fn are(&self, inputs: &[Arg], dtype: DType) -> bool {
        dtype.is_float() && inputs.iter().all(|a| a.slot().is_none_or(|s| self.metas[s].1 == dtype))
    }

    /// The formula of an evaluation.
    fn evaluation(&self, step: &Step) -> Option<Point> {
        let Op::Eval { primitive, attrs: Attrs::None, update: false, .. } = &step.op else { return None };
        let (blocks, &[Some(output)]) = (blocks(primitive)?, &step.outputs[..]) else { return None };
        let (layout, dtype) = &self.metas[output];
        let plain = layout.is_contiguous() && layout.size() > 0 && self.are(&step.inputs, *dtype);
        if !plain || !step.inputs.iter().any(|a| a.slot().is_some()) || step.inputs.contains(&Arg::None) {
            return None;
        }
        let (arrays, numbers) = step.inputs.split_at(blocks.arrays.min(step.inputs.len()));
        let mut params = [0.0; 2];
        for (p, number) in params.iter_mut().zip(numbers) {
            let Arg::Number(x) = number else { return None };
            *p = x.as_f64();
        }
        let is_real = |a: &Arg| !matches!(a, Arg::Number(Scalar::Complex(_)));
        arrays.iter().all(is_real).then(|| Point {
            name: primitive.name,
            and: None,
            op: simple(primitive.name),
            formulas: blocks.forward,
            params,
            inputs: arrays.iter().copied().collect(),
            output,
            dtype: *dtype,
            step: Some(Box::new(step.clone())),
        })
    }

    /// Lowers a gradient rule; `None`, with nothing written, when it has no formulas.
    fn rule(&mut self, call: &RuleCall, step: &Step, out: &mut Vec<Item>) -> Option<()> {
        let blocks = blocks(call.primitive()).filter(|_| matches!(call.attrs(), Attrs::None) && call.cotangent_count() == 1)?;
        let meta = call.out_meta(0).clone();
        let (saved, rest) = step.inputs.split_at(call.saved_count());
        let (cotangent, sums) = (rest[0], &rest[1..]);
        let g = cotangent.slot()?;
        if !self.are(&step.inputs, meta.dtype) || size_of(&meta.shape) == 0 || self.shape(g) != &meta.shape[..] {
            return None;
        }
        let sides = [0, 1].map(|i| call.wanted(i).filter(|(_, at)| step.outputs[*at].is_some()));
        let known = |i: usize| sides[i].is_none_or(|(wanted, _)| wanted.dtype == meta.dtype && is_known(blocks, call, i));
        if !known(0) || !known(1) || self.are_viewed(step) {
            return None;
        }
        let before = out.len();
        let params = if blocks.arrays == 1 { [1, 2].map(|i| call.number(i).unwrap_or(0.0)) } else { [0.0; 2] };
        // As in the eager rule: when the first gradient is the cotangent itself and is added to a sum, it comes last.
        let is_cotangent = |i: usize| blocks.factors[i].as_ref().is_some_and(|f| (f.is_cotangent)());
        let first_has_sum = matches!(sides[0], Some((_, at)) if sums[at] != Arg::None);
        let order = if first_has_sum && is_cotangent(0) && !is_cotangent(1) { [1, 0] } else { [0, 1] };
        let mut so_far: SmallVec<[Arg; 2]> = SmallVec::from_slice(sums);
        for i in order {
            let (Some((wanted, at)), Some(factor)) = (&sides[i], &blocks.factors[i]) else { continue };
            let value = |place: &Place| match (place, call.saved(*place)) {
                (_, Some(k)) => saved[k],
                (Place::Input(k), None) => Arg::Number(Scalar::Float(call.number(usize::from(*k)).unwrap_or(0.0))),
                (Place::Output, None) => Arg::None,
            };
            let mut gradient = g;
            if !is_cotangent(i) {
                gradient = self.value(&meta.shape, meta.dtype);
                let inputs = std::iter::once(Arg::Slot(g)).chain(factor.of.iter().map(value)).collect();
                let name = call.primitive().name;
                // The factors of a product are its operands.
                let op = (name == "multiply").then_some(Simple::Annihilate);
                out.push(Item::Point(Point {
                    name,
                    and: None,
                    op,
                    formulas: factor.formulas,
                    params,
                    inputs,
                    output: gradient,
                    dtype: meta.dtype,
                    step: None,
                }));
            }
            self.collect(gradient, &wanted.shape, &mut so_far[*at], out);
        }
        self.close(step, so_far, before, out);
        Some(())
    }

    /// Whether a result of the step is read through views.
    pub(super) fn are_viewed(&self, step: &Step) -> bool {
        step.outputs.iter().flatten().any(|s| self.viewed.contains(s))
    }

    /// Replaces the results of a rule by the sums. The formulas of the rule begin at `before`.
    pub(super) fn close(&mut self, step: &Step, sums: SmallVec<[Arg; 2]>, before: usize, out: &mut [Item]) {
        for (output, sum) in step.outputs.iter().zip(sums) {
            if let (Some(output), Arg::Slot(s)) = (output, sum) {
                self.same.insert(*output, s);
            }
        }
        self.keep_step(step, &mut out[before..]);
    }

    /// A rule that is a single formula keeps its step: run alone, the step can write to the cotangent's buffer.
    fn keep_step(&self, step: &Step, items: &mut [Item]) {
        if let [Item::Point(p)] = items
            && let [Some(output)] = step.outputs.iter().filter(|o| o.is_some()).collect::<SmallVec<[_; 2]>>()[..]
            && self.of(*output) == p.output
        {
            let mut step = step.clone();
            for o in &mut step.outputs {
                *o = o.map(|_| p.output);
            }
            p.step = Some(Box::new(step));
        }
    }

    /// The gradient of a sum or a mean: a broadcast view of the cotangent, which a mean divides first.
    fn spread(&mut self, call: &RuleCall, step: &Step, out: &mut Vec<Item>) -> Option<()> {
        let is_mean = call.primitive().name == "mean";
        let (Attrs::Set(attrs), true) = (call.attrs(), is_mean || call.primitive().name == "sum") else { return None };
        let (&[cotangent, sum], &[Some(output)]) = (&step.inputs[..], &step.outputs[..]) else { return None };
        let (meta, _) = call.wanted(0)?;
        let g = cotangent.slot()?;
        let dtype = self.metas[g].1;
        let count = size_of(&meta.shape) / self.metas[g].0.size().max(1);
        if !self.are(&step.inputs, dtype) || meta.dtype != dtype || count == 0 || self.viewed.contains(&output) {
            return None;
        }
        let g = if is_mean { self.divided(g, count, out)? } else { g };
        let (primitive, attrs, layout) = reduction::spreading(&**attrs, &self.metas[g].0, &meta.shape)?;
        self.metas.push((layout, dtype));
        let view = self.metas.len() - 1;
        let op = Op::Eval { primitive, attrs, recorded: false, update: false };
        out.push(Item::Step(Step { op, inputs: smallvec![Arg::Slot(g)], outputs: smallvec![Some(view)] }));
        let sum = match sum {
            Arg::Slot(sum) => self.sum(sum, view, out),
            _ => view,
        };
        self.same.insert(output, sum);
        Some(())
    }

    /// A cotangent divided by a number, now if the cotangent is constant.
    #[allow(clippy::cast_precision_loss, reason = "a count, as the rule has it")]
    fn divided(&mut self, g: Slot, count: usize, out: &mut Vec<Item>) -> Option<Slot> {
        let (shape, dtype) = (Shape::from_slice(self.shape(g)), self.metas[g].1);
        let number = Scalar::Float(count as f64);
        if let Some(known) = self.constants.get(&g) {
            let quotient = ops::divide(&Variable::from(known.clone()), number).ok()?.into_array();
            let output = self.value(&shape, dtype);
            self.constants.insert(output, quotient.clone());
            self.made.push((output, quotient));
            return Some(output);
        }
        let output = self.value(&shape, dtype);
        let (formulas, inputs) = (divide::BLOCKS.forward, smallvec![Arg::Slot(g), Arg::Number(number)]);
        out.push(Item::Point(Point { name: "divide", and: None, op: None, formulas, params: [0.0; 2], inputs, output, dtype, step: None }));
        Some(output)
    }

    /// A new value.
    pub(super) fn value(&mut self, shape: &[usize], dtype: DType) -> Slot {
        self.metas.push((Layout::contiguous(shape), dtype));
        self.metas.len() - 1
    }

    /// Sums a gradient over the axes that broadcasting added, and adds it to the gradient so far.
    pub(super) fn collect(&mut self, gradient: Slot, shape: &Shape, so_far: &mut Arg, out: &mut Vec<Item>) {
        let gradient = self.fitted(gradient, shape, out);
        *so_far = Arg::Slot(match *so_far {
            Arg::Slot(sum) => self.sum(sum, gradient, out),
            _ => gradient,
        });
    }

    /// A gradient summed over the axes that broadcasting added.
    fn fitted(&mut self, g: Slot, shape: &Shape, out: &mut Vec<Item>) -> Slot {
        if self.shape(g) == &shape[..] {
            return g;
        }
        let sum = self.value(shape, self.metas[g].1);
        let op = Op::Eval { primitive: &SUM_TO, attrs: ToShape { shape: shape.clone() }.share(), recorded: false, update: false };
        out.push(Item::Step(Step { op, inputs: smallvec![Arg::Slot(g)], outputs: smallvec![Some(sum)] }));
        sum
    }

    fn sum(&mut self, sum: Slot, g: Slot, out: &mut Vec<Item>) -> Slot {
        let (shape, dtype) = (Shape::from_slice(self.shape(g)), self.metas[g].1);
        let output = self.value(&shape, dtype);
        let formulas = add::BLOCKS.forward;
        out.push(Item::Point(Point {
            name: "add",
            and: None,
            op: Some(Simple::Add),
            formulas,
            params: [0.0; 2],
            inputs: smallvec![Arg::Slot(sum), Arg::Slot(g)],
            output,
            dtype,
            step: None,
        }));
        output
    }
}
