//! From a recording to a program: dead code, common subexpressions, constants, last uses, groups.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use smallvec::SmallVec;

use super::lower::{Item, Lowering, Metas};
use super::run::TICKS;
use super::{Given, Instr, Kind, Program, Pullback, group, looped, product};
use crate::array::{Array, Scalar};
use crate::error::Result;
use crate::lock::Mutex;
use crate::ops::linalg::FAMILIES_OF_PRIMITIVES;
use crate::tape::capture::{Arg, Op, Slot, Source, Step, Trace};
use crate::tape::{Attrs, Primitive, Variable, evaluate};

/// Results of constant steps are stored in the program up to this number of bytes.
const FOLDED_BYTES: usize = 1 << 16;

/// Whether a step is a function of its operands and nothing more.
pub(super) fn is_pure(op: &Op) -> bool {
    matches!(op, Op::Eval { .. } | Op::Rule(_) | Op::View(..) | Op::Copy)
}

/// Whether a step is not needed when nothing reads its results.
fn is_droppable(op: &Op) -> bool {
    is_pure(op) || matches!(op, Op::Effect(e) if !e.is_state() && !e.refuses())
}

/// Whether a step can fail: all but moving values to their places.
fn can_fail(op: &Op) -> bool {
    !matches!(op, Op::Store(_) | Op::Clear(_))
}

/// The program of a recording.
pub(super) fn program(trace: Trace, pullback: Option<Pullback>) -> Result<Program> {
    let whole = Arc::new(trace.clone());
    let touched: HashSet<usize> = trace.stores().collect();
    let Trace { mut steps, mut sources, places, states, asked, outputs, metas, inputs, .. } = trace;
    let mut split = pullback.map(|p| p.split);
    let mut outputs = outputs;
    fold(&mut steps, &mut sources, &mut split, FOLDED_BYTES)?;
    merge(&mut steps, &mut outputs);
    drop_dead(&mut steps, &outputs, &mut split);
    let gradients = pullback.map_or(0, |p| p.gradients);
    let gradients = outputs.split_off(outputs.len() - gradients);
    let mut lowering = Lowering::new(metas, &steps, known_constants(&sources));
    let second = steps.split_off(split.unwrap_or(steps.len()));
    let (first, second) = (lowering.lower(steps), lowering.lower(second));
    let outputs: Vec<Slot> = outputs.into_iter().map(|s| lowering.of(s)).collect();
    let gradients: Vec<Slot> = gradients.into_iter().map(|s| lowering.of(s)).collect();
    sources.extend(lowering.made.drain(..).map(|(slot, a)| (slot, Source::Constant(a, None))));
    let mut metas = lowering.metas;
    let split = split.map(|_| gradients);
    let mut out = Program {
        instrs: Vec::new(),
        slots: metas.len(),
        inputs: Vec::new(),
        input_count: inputs,
        loads: Vec::new(),
        constants: Vec::new(),
        places,
        states: Vec::new(),
        changed: HashSet::new(),
        asked,
        work: 0,
        outputs,
        split: None,
        shared: Vec::new(),
        tables: Mutex::new(Vec::new()),
        trace: whole,
        pullback,
        loaded: false,
    };
    let used: HashSet<Slot> = uses(&first).chain(uses(&second)).chain(out.outputs.iter().copied()).chain(split.iter().flatten().copied()).collect();
    give(&mut out, sources, &used, &metas);
    // What the second part uses and the results of the first outlive the first.
    let kept: Vec<Slot> = out.outputs.iter().copied().chain(uses(&second)).chain(split.iter().flatten().copied()).collect();
    let mut instrs = product::form(group::form(first, &metas, &kept), &metas, &kept);
    let at = instrs.len();
    let kept = split.as_deref().unwrap_or_default();
    instrs.extend(product::form(group::form(second, &metas, kept), &metas, kept));
    out.instrs = instrs;
    out.split = split.map(|gradients| (at, gradients));
    product::pack_constants(&mut out, &mut metas);
    drop_early(&mut out, &metas);
    last_uses(&mut out);
    out.shared = looped::shared(&out, &metas);
    let read: HashSet<usize> = out.loads.iter().map(|g| g.from).collect();
    out.changed = touched.iter().map(|&at| out.places[at].id()).collect();
    out.states = states.into_iter().enumerate().filter(|(at, _)| read.contains(at) || touched.contains(at)).collect();
    out.work = out.instrs.iter().flat_map(|i| i.outputs.iter().flatten()).map(|s| metas[*s].0.size()).sum();
    Ok(out)
}

/// Adds the sources that are used to a program.
fn give(out: &mut Program, sources: Vec<(Slot, Source)>, used: &HashSet<Slot>, metas: &Metas) {
    for (slot, source) in sources {
        if !used.contains(&slot) {
            continue;
        }
        let given = |from| Given { slot, from, layout: metas[slot].0.clone(), dtype: metas[slot].1 };
        match source {
            Source::Input(i) => out.inputs.push(given(i)),
            Source::Place(i) => out.loads.push(given(i)),
            Source::Constant(a, _) => out.constants.push((slot, a)),
        }
    }
}

fn uses(items: &[Item]) -> impl Iterator<Item = Slot> + '_ {
    items.iter().flat_map(|i| i.inputs().iter().filter_map(|a| a.slot()))
}

/// Constants in memory that no other owner can change.
fn known_constants(sources: &[(Slot, Source)]) -> HashMap<Slot, Array> {
    let constant = |(slot, source): &(Slot, Source)| match source {
        Source::Constant(a, _) if !a.is_lent() => Some((*slot, a.clone())),
        _ => None,
    };
    sources.iter().filter_map(constant).collect()
}

/// Evaluates steps whose operands are constants, as long as their results take at most `most` bytes.
pub(super) fn fold(steps: &mut Vec<Step>, sources: &mut Vec<(Slot, Source)>, split: &mut Option<usize>, most: usize) -> Result<()> {
    let mut known = known_constants(sources);
    let mut keep = vec![true; steps.len()];
    for (step, keep) in steps.iter().zip(&mut keep) {
        let constant = step.inputs.iter().all(|a| match a {
            Arg::Slot(s) => known.contains_key(s),
            Arg::Number(_) => true,
            Arg::None => false,
        });
        if constant && let Some(outs) = constant_results(step, &known, most)? {
            *keep = false;
            for (slot, a) in step.outputs.iter().zip(outs) {
                if let Some(slot) = slot {
                    sources.push((*slot, Source::Constant(a.clone(), None)));
                    known.insert(*slot, a);
                }
            }
        }
    }
    retain(steps, &keep, split);
    Ok(())
}

/// Removes the steps that `keep` does not mark, and moves `split` with them.
fn retain(steps: &mut Vec<Step>, keep: &[bool], split: &mut Option<usize>) {
    if let Some(at) = split {
        *at = keep[..*at].iter().filter(|k| **k).count();
    }
    let mut keep = keep.iter();
    steps.retain(|_| keep.next().is_none_or(|k| *k));
}

fn constant_results(step: &Step, known: &HashMap<Slot, Array>, most: usize) -> Result<Option<SmallVec<[Array; 1]>>> {
    let arrays = || step.inputs.iter().filter_map(|a| known.get(&a.slot()?));
    let outs: SmallVec<[Array; 1]> = match &step.op {
        Op::Eval { primitive, attrs, recorded, .. } => {
            let all: Vec<Option<Variable>> = step.inputs.iter().map(|a| a.slot().and_then(|s| known.get(&s)).map(|a| a.clone().into())).collect();
            let operands: SmallVec<[_; 4]> = step
                .inputs
                .iter()
                .zip(&all)
                .filter_map(|(a, v)| match a {
                    Arg::Number(x) => Some((*x).into()),
                    _ => v.as_ref().map(crate::tape::Operand::Variable),
                })
                .collect();
            if operands.is_empty() {
                return Ok(None);
            }
            evaluate(primitive, &operands, attrs, *recorded, None)?
        }
        Op::Copy => arrays().map(Array::copy).collect(),
        _ => return Ok(None),
    };
    Ok(if outs.iter().map(Array::nbytes).sum::<usize>() <= most { Some(outs) } else { None })
}

/// Two steps with equal keys compute the same: primitive, whether hidden results are computed, attributes, operands.
type StepKey = (usize, bool, String, SmallVec<[(u8, u64); 4]>);

/// An operand as a key: numbers count by their bits.
fn operand_key(a: &Arg) -> (u8, u64) {
    match a {
        Arg::None => (0, 0),
        Arg::Slot(s) => (1, *s as u64),
        Arg::Number(Scalar::Bool(b)) => (2, u64::from(*b)),
        Arg::Number(Scalar::Int(i)) => (3, i.cast_unsigned()),
        Arg::Number(Scalar::UInt(i)) => (4, *i),
        Arg::Number(Scalar::Float(x)) => (5, x.to_bits()),
        // Steps with complex numbers are not merged.
        Arg::Number(Scalar::Complex(_)) => (6, 0),
    }
}

/// Merges steps that compute the same.
pub(super) fn merge(steps: &mut [Step], outputs: &mut [Slot]) {
    let mut seen: HashMap<StepKey, SmallVec<[Option<Slot>; 2]>> = HashMap::new();
    let mut same: HashMap<Slot, Slot> = HashMap::new();
    for step in steps.iter_mut() {
        for a in &mut step.inputs {
            if let Arg::Slot(s) = a
                && let Some(other) = same.get(s)
            {
                *s = *other;
            }
        }
        let Op::Eval { primitive, attrs, recorded, .. } = &step.op else { continue };
        if step.inputs.iter().any(|a| matches!(a, Arg::Number(Scalar::Complex(_)))) {
            continue;
        }
        let text = if matches!(attrs, Attrs::None) { String::new() } else { format!("{attrs:?}") };
        let id = (std::ptr::from_ref::<crate::tape::Primitive>(primitive) as usize, *recorded, text, step.inputs.iter().map(operand_key).collect());
        match seen.get(&id) {
            Some(outs) => {
                for (mine, theirs) in step.outputs.iter().zip(outs) {
                    if let (Some(mine), Some(theirs)) = (mine, theirs) {
                        same.insert(*mine, *theirs);
                    }
                }
            }
            None => {
                seen.insert(id, step.outputs.clone());
            }
        }
    }
    for o in outputs {
        if let Some(other) = same.get(o) {
            *o = *other;
        }
    }
}

/// Drops pure steps whose results nothing needs.
pub(super) fn drop_dead(steps: &mut Vec<Step>, outputs: &[Slot], split: &mut Option<usize>) {
    let mut live: HashSet<Slot> = outputs.iter().copied().collect();
    let mut keep = vec![false; steps.len()];
    for (k, step) in steps.iter().enumerate().rev() {
        let needed = !is_droppable(&step.op) || step.outputs.iter().flatten().any(|s| live.contains(s));
        keep[k] = needed;
        if needed {
            live.extend(step.inputs.iter().filter_map(|a| a.slot()));
        }
    }
    retain(steps, &keep, split);
    // A result that nothing reads need not be stored.
    for step in steps {
        for o in &mut step.outputs {
            if o.is_some_and(|s| !live.contains(&s)) {
                *o = None;
            }
        }
    }
}

/// Whether an instruction can fail because of the values of its operands (an index out of range, a singular matrix), or can be interrupted,
/// as loops can.
fn refuses(instr: &Instr, metas: &Metas) -> bool {
    let is_loop = |p: &'static Primitive| std::ptr::eq(p, &raw const looped::SCAN);
    match &instr.kind {
        Kind::One(Op::Effect(e)) => e.refuses(),
        Kind::One(Op::Rule(call)) => is_loop(call.primitive()),
        Kind::One(Op::Eval { primitive, .. }) => {
            let is_index = |a: &Arg| a.slot().is_some_and(|s| metas[s].1.is_integer());
            let is_linear_algebra = || FAMILIES_OF_PRIMITIVES.iter().flat_map(|f| f.iter()).any(|p| p.name == primitive.name);
            is_loop(primitive) || instr.inputs.iter().any(is_index) || is_linear_algebra()
        }
        _ => false,
    }
}

/// Drops gradients that the call replaces before new ones are computed, so that both do not take memory at the same time. The drop comes
/// after all instructions that can fail because of values and after the last tick before the backward pass: a call that fails there leaves
/// the gradients as they were.
fn drop_early(p: &mut Program, metas: &Metas) {
    let end = p.split.as_ref().map_or(p.instrs.len(), |(at, _)| *at);
    let instrs = &p.instrs[..end];
    let mut replaced: Vec<(usize, usize)> = Vec::new();
    for (k, instr) in instrs.iter().enumerate() {
        match &instr.kind {
            Kind::One(Op::Store(at)) if !replaced.iter().any(|(other, _)| other == at) => replaced.push((*at, k)),
            // An effect may read other places than those it changes.
            Kind::One(Op::Effect(e)) if !e.touches().is_empty() => break,
            _ => {}
        }
    }
    replaced.retain(|(at, _)| p.places[*at].may_drop() && p.loads.iter().all(|g| g.from != *at));
    let position = |f: fn(&Instr) -> bool| instrs.iter().position(f);
    let Some(backward) = position(|i| matches!(i.kind, Kind::One(Op::Rule(_)))).or_else(|| position(|i| matches!(i.kind, Kind::One(Op::Store(_)))))
    else {
        return;
    };
    let refused = instrs.iter().rposition(|i| refuses(i, metas)).map_or(0, |k| k + 1);
    let at = refused.max(backward / TICKS * TICKS);
    let clear = |(place, store): (usize, usize)| (store > at).then(|| group::instr(Kind::Drop(place), SmallVec::new(), SmallVec::new()));
    let clears: Vec<Instr> = replaced.into_iter().filter_map(clear).collect();
    if let Some((split, _)) = &mut p.split {
        *split += clears.len();
    }
    p.instrs.splice(at..at, clears);
}

/// Marks which operands are used for the last time, and after which instructions something can fail.
fn last_uses(p: &mut Program) {
    let mut seen = vec![false; p.slots];
    let gradients = p.split.as_ref().map_or(&[][..], |(_, g)| &g[..]);
    for slot in p.outputs.iter().chain(gradients) {
        seen[*slot] = true;
    }
    let mut fails = false;
    for instr in p.instrs.iter_mut().rev() {
        instr.can_fail_later = fails;
        fails |= match &instr.kind {
            Kind::One(op) => can_fail(op),
            Kind::Drop(_) => false,
            Kind::Group(_) | Kind::View(_) | Kind::Product(_) => true,
        };
        instr.last = SmallVec::from_elem(false, instr.inputs.len());
        for (i, a) in instr.inputs.iter().enumerate().rev() {
            if let Arg::Slot(s) = a
                && !std::mem::replace(&mut seen[*s], true)
            {
                instr.last[i] = true;
            }
        }
    }
}
