//! Comparisons, logic and choices as formulas.
//!
//! Inside a group a bool is one or zero in the group's dtype. Bools that other instructions read are written as bool, and other groups
//! convert them back, block by block.

use smallvec::{SmallVec, smallvec};

use super::lower::{Item, Lowering, Point};
use crate::array::{DType, Scalar, size_of};
use crate::kernel::map::{CHOOSE, COMPARE, Formulas};
use crate::ops::define::Binary;
use crate::ops::{maximum, multiply, subtract};
use crate::tape::accumulate::ToDType;
use crate::tape::capture::{Arg, Op, Slot, Step};
use crate::tape::{Attrs, Blocks, Place, Primitive, RuleCall};

/// How a comparison is computed: whether the operands are swapped, the results where the first operand is larger and where both are equal,
/// and whether the result is negated.
fn comparison(name: &str) -> Option<(bool, [f64; 2], bool)> {
    match name {
        "greater" => Some((false, [1.0, 0.0], false)),
        "greater_equal" => Some((false, [1.0, 1.0], false)),
        "less" => Some((true, [1.0, 0.0], false)),
        "less_equal" => Some((true, [1.0, 1.0], false)),
        "equal" => Some((false, [0.0, 1.0], false)),
        "not_equal" => Some((false, [0.0, 1.0], true)),
        _ => None,
    }
}

/// The formula of an elementwise primitive.
fn loops(primitive: &Primitive) -> Option<Formulas> {
    primitive.blocks.map(|b: &Blocks| b.forward)
}

impl Lowering {
    /// Lowers an evaluation that makes or reads bools.
    pub(super) fn truth(&mut self, step: &Step, out: &mut Vec<Item>) -> Option<()> {
        let Op::Eval { primitive, attrs, update: false, .. } = &step.op else { return None };
        let &[Some(output)] = &step.outputs[..] else { return None };
        let (layout, dtype) = &self.metas[output];
        if !layout.is_contiguous() || layout.size() == 0 || step.inputs.contains(&Arg::None) {
            return None;
        }
        let (dtype, inputs) = (*dtype, &step.inputs);
        match (primitive.name, attrs) {
            ("where", _) if self.is_bool(inputs[0]) && self.are(&inputs[1..], dtype) => {
                out.push(point("where", CHOOSE, [0.0; 2], inputs.clone(), output, dtype, Some(step)));
            }
            ("astype", Attrs::Set(attrs)) if self.is_bool(inputs[0]) => {
                let to = attrs.as_any().downcast_ref::<ToDType>()?.dtype;
                // The bool as a number, times one.
                let one = Arg::Number(Scalar::Float(1.0));
                let formulas = loops(multiply::PRIMITIVE).filter(|_| to.is_float() && to == dtype)?;
                out.push(point("astype", formulas, [0.0; 2], smallvec![inputs[0], one], output, dtype, Some(step)));
            }
            (name, Attrs::None) if dtype == DType::Bool => match comparison(name) {
                Some(how) => self.compared(name, how, step, output, out)?,
                None => self.logic(name, step, output, out)?,
            },
            _ => return None,
        }
        Some(())
    }

    fn is_bool(&self, a: Arg) -> bool {
        a.slot().is_some_and(|s| self.metas[s].1 == DType::Bool)
    }

    fn compared(&mut self, name: &'static str, how: (bool, [f64; 2], bool), step: &Step, output: Slot, out: &mut Vec<Item>) -> Option<()> {
        let (turned, params, opposite) = how;
        let mut inputs = step.inputs.clone();
        let dtype = self.metas[inputs[0].slot()?].1;
        if !self.are(&inputs, dtype) {
            return None;
        }
        if turned {
            inputs.reverse();
        }
        self.truths.insert(output, dtype);
        if !opposite {
            out.push(point(name, COMPARE, params, inputs, output, dtype, Some(step)));
            return Some(());
        }
        self.metas.push(self.metas[output].clone());
        let between = self.metas.len() - 1;
        out.push(point("equal", COMPARE, params, inputs, between, dtype, None));
        out.push(point("not", loops(subtract::PRIMITIVE)?, [0.0; 2], not(Arg::Slot(between)), output, dtype, None));
        Some(())
    }

    /// Lowers a logical operation on bools, at least one of which was made by a formula.
    fn logic(&mut self, name: &'static str, step: &Step, output: Slot, out: &mut Vec<Item>) -> Option<()> {
        let inputs = &step.inputs;
        let dtype = *inputs.iter().find_map(|a| self.truths.get(&a.slot()?))?;
        if !inputs.iter().all(|a| self.is_bool(*a)) {
            return None;
        }
        let (formulas, params, inputs) = match name {
            "logical_and" | "bitwise_and" => (loops(multiply::PRIMITIVE)?, [0.0; 2], inputs.clone()),
            "logical_or" | "bitwise_or" => (loops(maximum::PRIMITIVE)?, [0.0; 2], inputs.clone()),
            "logical_xor" | "bitwise_xor" => {
                let different = |[a, b]: [Arg; 2]| -> SmallVec<[Arg; 4]> { smallvec![a, b] };
                self.metas.push(self.metas[output].clone());
                let same = self.metas.len() - 1;
                out.push(point("equal", COMPARE, [0.0, 1.0], different([inputs[0], inputs[1]]), same, dtype, None));
                (loops(subtract::PRIMITIVE)?, [0.0; 2], not(Arg::Slot(same)))
            }
            "bitwise_invert" => (loops(subtract::PRIMITIVE)?, [0.0; 2], not(inputs[0])),
            _ => return None,
        };
        self.truths.insert(output, dtype);
        out.push(point(name, formulas, params, inputs, output, dtype, Some(step)));
        Some(())
    }

    /// Lowers the gradient rule of `where`: the cotangent where the side was chosen, else zero.
    pub(super) fn choice_rule(&mut self, call: &RuleCall, step: &Step, out: &mut Vec<Item>) -> Option<()> {
        if call.primitive().name != "where" || call.cotangent_count() != 1 {
            return None;
        }
        let meta = call.out_meta(0).clone();
        let (saved, rest) = step.inputs.split_at(call.saved_count());
        let (cotangent, sums) = (rest[0], &rest[1..]);
        let (condition, g) = (saved[call.saved(Place::Input(0))?], cotangent.slot()?);
        let sides = [1, 2].map(|i| call.wanted(i).filter(|(_, at)| step.outputs[*at].is_some()));
        let fits = sides.iter().flatten().all(|(wanted, _)| wanted.dtype == meta.dtype);
        if !self.are(rest, meta.dtype) || !self.is_bool(condition) || size_of(&meta.shape) == 0 || self.shape(g) != &meta.shape[..] || !fits {
            return None;
        }
        if self.are_viewed(step) {
            return None;
        }
        let before = out.len();
        let mut so_far: SmallVec<[Arg; 2]> = SmallVec::from_slice(sums);
        for (k, side) in sides.iter().enumerate() {
            let Some((wanted, at)) = side else { continue };
            let gradient = self.value(&meta.shape, meta.dtype);
            let (chosen, zero) = (Arg::Slot(g), Arg::Number(Scalar::Float(0.0)));
            let inputs = if k == 0 { smallvec![condition, chosen, zero] } else { smallvec![condition, zero, chosen] };
            out.push(point("where", CHOOSE, [0.0; 2], inputs, gradient, meta.dtype, None));
            self.collect(gradient, &wanted.shape, &mut so_far[*at], out);
        }
        self.close(step, so_far, before, out);
        Some(())
    }
}

/// 1 - a.
fn not(a: Arg) -> SmallVec<[Arg; 4]> {
    smallvec![Arg::Number(Scalar::Float(1.0)), a]
}

fn point(
    name: &'static str,
    formulas: Formulas,
    params: [f64; 2],
    inputs: SmallVec<[Arg; 4]>,
    output: Slot,
    dtype: DType,
    step: Option<&Step>,
) -> Item {
    Item::Point(Point { name, and: None, op: None, formulas, params, inputs, output, dtype, step: step.map(|s| Box::new(s.clone())) })
}
