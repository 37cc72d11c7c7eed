//! A loop as one primitive: `scan` runs a recorded body once for each row of the stacked arrays.
//!
//! The operands are the carries, the stacked arrays, and all values that the body reads from outside the loop. The results are the last
//! carries and the stacked results of all steps. A recorded call has hidden results, too: the values of each step that its pullback reads,
//! in one stack per dtype with one row per step. So a gradient takes memory in proportion to the number of steps. Since the rule reads
//! arrays only, a program that contains a scan replays its rule like that of any other primitive.
//!
//! Steps that depend only on values from outside the loop run once, before the loop.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use serde::ser::Error as _;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::compare::hash_bits;
use super::plan::{drop_dead, is_pure};
use super::run::{Table, clear, laid_out, result};
use super::{Instr, Program};
use crate::array::{Array, DType, Layout, alloc_check};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::tape::capture::{self, Op, Slot, Source, Step, Trace};
use crate::tape::{self, AttrSet, Attrs, BackwardOptions, Jvp, Meta, Primitive, Saver, Variable, Vjp, VjpContext, accumulate};

/// Steps of the loop from one call of [`TICK`] to the next.
const TICKS: usize = 64;

/// The most operands, and the most results: a rule numbers them in one byte.
const MOST: usize = 200;

/// Called regularly by long loops, for instance to check for an interrupt. An error ends the loop.
static TICK: OnceLock<fn() -> Result<()>> = OnceLock::new();

/// Sets the function that long loops call regularly. An error that it returns ends the loop.
pub fn set_tick(tick: fn() -> Result<()>) {
    let _ = TICK.set(tick);
}

/// Runs the function of a loop step by step, for gradients of gradients and for cotangents inside transformations.
pub trait Again: Send + Sync {
    /// Returns the last carries and the stacked results, recorded step by step.
    ///
    /// # Errors
    /// Those of the function.
    fn run(&self, carries: &[Variable], xs: &[Variable], length: usize) -> Result<Vec<Variable>>;
    /// For a downcast by its maker.
    fn as_any(&self) -> &dyn Any;
}

/// A value of a step that its pullback reads, and where its elements are in the row of its stack.
struct Kept {
    slot: Slot,
    stack: usize,
    at: usize,
    /// The layout of the value within the row.
    layout: Layout,
    /// Number of elements that it takes in the row.
    len: usize,
}

/// Where the pullback of a body is in its recording, for [`Body::new`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gradients {
    /// The number of the first step of the pullback.
    pub split: usize,
    /// The results that have cotangents. The cotangents are the last inputs of the recording.
    pub live: Vec<usize>,
    /// For each operand, the number of its gradient among the outputs that follow the results.
    pub of: Vec<Option<usize>>,
}

impl Gradients {
    /// Whether these numbers fit a recording with so many operands, carries and stacked arrays.
    fn fit(&self, trace: &Trace, operands: usize, [carries, xs]: [usize; 2]) -> bool {
        let count = self.of.iter().flatten().count();
        let Some(results) = trace.outputs.len().checked_sub(count) else { return false };
        carries <= results
            && carries.checked_add(xs).is_some_and(|n| n <= operands)
            && self.of.len() == operands
            && (0..count).all(|k| self.of.contains(&Some(k)))
            && self.split <= trace.steps.len()
            && self.live.iter().all(|k| *k < results)
            && trace.inputs == operands + self.live.len()
    }
}

/// The body of a loop: a program of one step.
pub struct Body {
    /// The recording that it was made of, for files.
    pub(super) trace: Trace,
    program: Program,
    /// The steps that run once, before the first step. Its inputs are the values from outside.
    before: Option<Program>,
    pub(super) carries: usize,
    pub(super) xs: usize,
    hoisted: usize,
    pub(super) gradients: Gradients,
    /// For each operand, the results whose cotangents its gradient depends on.
    reached_from: Vec<HashSet<usize>>,
    /// The shape and dtype of each result.
    results: Vec<Meta>,
    /// Layout and dtype of each operand when the body was recorded.
    pub(super) operands: Vec<(Layout, DType)>,
    kept: Vec<Kept>,
    /// Dtype and row length of each stack.
    stacks: Vec<(DType, usize)>,
    /// Distinguishes this body from others.
    id: u64,
}

/// The attributes of a scan.
#[derive(Clone)]
pub struct Loop {
    pub(super) body: Arc<Body>,
    pub(super) length: usize,
    again: Option<Arc<dyn Again>>,
}

impl fmt::Debug for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = &self.body;
        let (steps, left) = b.program.size();
        write!(f, "{} times {steps} steps in {left} instructions, {} carries, {} stacked, ", self.length, b.carries, b.xs)?;
        write!(f, "{} from outside, body {:016x}", b.operands.len() - b.carries - b.xs, b.id)
    }
}

impl AttrSet for Loop {
    fn share(&self) -> Attrs {
        Attrs::Set(Arc::new(self.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn kind(&self) -> &'static str {
        "Loop"
    }

    fn to_json(&self) -> serde_json::Result<serde_json::Value> {
        Err(serde_json::Error::custom("its body has arrays, which are written beside it"))
    }

    fn is_plain(&self) -> bool {
        false
    }

    fn for_programs(&self) -> Attrs {
        Self { again: None, ..self.clone() }.share()
    }
}

/// The primitive: `length` steps of a body.
pub static SCAN: Primitive = Primitive {
    name: "scan",
    eval: |call| {
        let inputs: SmallVec<[&Array; 8]> = (0..call.inputs().len()).map(|i| call.array(i)).collect();
        for out in call.attrs::<Loop>().run(&inputs, call.is_recorded())? {
            call.give(out);
        }
        Ok(())
    },
    saves: |s: &mut Saver<'_>| {
        let Some((results, stacks)) = s.data::<Loop>().map(|l| (l.body.results.len(), l.body.stacks.len())) else { return };
        (0..s.input_count()).for_each(|i| s.input(small(i)));
        (results..results + stacks).for_each(|i| s.output(small(i)));
    },
    vjp: Vjp::Rule(|ctx| if ctx.create_graph() { again(ctx) } else { pull(ctx) }),
    jvp: Jvp::Rule(|_| Err(Error::Grad("scan: a recorded loop has no forward mode; run its function step by step".to_owned()))),
    moves: true,
    has_callback: true,
    ..Primitive::BASE
};

fn small(i: usize) -> u8 {
    u8::try_from(i).unwrap_or(u8::MAX)
}

// ---- the body ----

/// The steps of a recording, split into those that depend only on values from outside the loop, and the others.
struct Hoisted {
    before: Vec<Step>,
    rest: Vec<Step>,
    split: usize,
    /// The results of `before` that `rest` reads.
    needed: Vec<Slot>,
}

impl Hoisted {
    /// Splits steps, of which the first `split` are the function and the others its pullback.
    fn of(steps: Vec<Step>, split: usize, outside: &HashSet<Slot>, constants: &HashSet<Slot>, outputs: &[Slot]) -> Self {
        let (mut fixed, mut constant) = (outside.clone(), constants.clone());
        let mut out = Self { before: Vec::new(), rest: Vec::new(), split: 0, needed: Vec::new() };
        let mut made = Vec::new();
        for (k, step) in steps.into_iter().enumerate() {
            let inputs = || step.inputs.iter().filter_map(|a| a.slot());
            let is_known = |s: Slot| fixed.contains(&s) || constant.contains(&s);
            let pure = is_pure(&step.op) && inputs().all(is_known);
            let is_constant = pure && inputs().all(|s| constant.contains(&s));
            let slots = || step.outputs.iter().flatten().copied();
            if is_constant {
                // A constant step goes into both parts: each folds it.
                constant.extend(slots());
                out.before.push(step.clone());
            } else if pure {
                fixed.extend(slots());
                made.extend(slots());
                out.before.push(step);
                continue;
            }
            out.split += usize::from(k < split);
            out.rest.push(step);
        }
        let used: HashSet<Slot> = out.rest.iter().flat_map(|s| s.inputs.iter().filter_map(|a| a.slot())).chain(outputs.iter().copied()).collect();
        out.needed = made.into_iter().filter(|s| used.contains(s)).collect();
        out
    }
}

/// A hash of a recording: equal recordings have equal hashes.
fn identity(trace: &Trace, gradients: &Gradients) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{gradients:?} {:?}", trace.outputs).hash(&mut hasher);
    for step in &trace.steps {
        format!("{:?} {:?} {:?}", step.op, step.inputs, step.outputs).hash(&mut hasher);
    }
    for (slot, source) in &trace.sources {
        let (layout, dtype) = &trace.metas[*slot];
        match source {
            Source::Constant(a, _) => {
                // Memory that another owner lends may change: its address is part of the hash.
                let owner = if a.is_lent() { a.storage().as_ptr() as usize } else { 0 };
                format!("{slot} {dtype} {:?} {owner}", a.shape()).hash(&mut hasher);
                hash_bits(a, &mut hasher);
            }
            Source::Input(i) => format!("{slot} input {i} {dtype} {:?} {:?}", layout.shape(), layout.strides()).hash(&mut hasher),
            Source::Place(i) => format!("{slot} place {i}").hash(&mut hasher),
        }
    }
    hasher.finish()
}

/// For each operand, the results whose cotangents its gradient depends on.
fn reached_from(trace: &Trace, gradients: &Gradients, results: usize) -> Vec<HashSet<usize>> {
    let operands = gradients.of.len();
    let mut of_slot: HashMap<Slot, HashSet<usize>> = HashMap::new();
    for (slot, source) in &trace.sources {
        if let Source::Input(i) = source
            && let Some(r) = i.checked_sub(operands).and_then(|j| gradients.live.get(j))
        {
            of_slot.insert(*slot, HashSet::from([*r]));
        }
    }
    for step in &trace.steps[gradients.split..] {
        // A rule adds each of its gradients to a sum of its own.
        let common =
            if let Op::Rule(call) = &step.op { (call.saved_count() + call.cotangent_count()).min(step.inputs.len()) } else { step.inputs.len() };
        let (common, sums) = step.inputs.split_at(common);
        for (i, out) in step.outputs.iter().enumerate() {
            let read = common.iter().chain(sums.get(i));
            let all: HashSet<usize> = read.filter_map(|a| of_slot.get(&a.slot()?)).flatten().copied().collect();
            if let Some(slot) = out {
                of_slot.insert(*slot, all);
            }
        }
    }
    let found = |at: &Option<usize>| at.and_then(|at| of_slot.get(&trace.outputs[results + at]).cloned()).unwrap_or_default();
    gradients.of.iter().map(found).collect()
}

impl Body {
    /// The body that `trace` recorded. Its inputs are `carries` carries, one row of each of the `xs` stacked arrays, the values from
    /// outside, and the cotangents. `operands` holds layout and dtype of all inputs but the cotangents. Its outputs are the next carries,
    /// the results of the step, and the gradients.
    ///
    /// # Errors
    /// `Value` for a recording that changes state, reads places, has other numbers of operands and results than given, or more than 200, or
    /// has a broadcast carry.
    /// `Shape` and `DType` when a carry changes its shape or dtype.
    pub fn new(mut trace: Trace, operands: Vec<(Layout, DType)>, carries: usize, xs: usize, gradients: Option<Gradients>) -> Result<Self> {
        let count = operands.len();
        let fail = |what: &str| Err(Error::Value(format!("scan: the body {what}")));
        if trace.changing().is_some() || trace.sources.iter().any(|(_, s)| matches!(s, Source::Place(_))) {
            return fail("changes state, draws random numbers, or reads places");
        }
        let mut gradients = gradients.unwrap_or_else(|| Gradients { split: trace.steps.len(), of: vec![None; count], ..Gradients::default() });
        if !gradients.fit(&trace, count, [carries, xs]) {
            return fail("has other numbers of inputs, results or gradients than it was said to have");
        }
        let results = trace.outputs.len() - gradients.of.iter().flatten().count();
        if count > MOST || results > MOST {
            return fail(&format!("has more than {MOST} operands or results"));
        }
        let is_broadcast = |(layout, _): &(Layout, DType)| layout.strides().iter().zip(layout.shape()).any(|(&s, &n)| s == 0 && n > 1);
        if operands[..carries].iter().any(is_broadcast) {
            return fail("has a broadcast carry, whose elements share memory");
        }
        let mut split = Some(gradients.split);
        drop_dead(&mut trace.steps, &trace.outputs, &mut split);
        gradients.split = split.unwrap_or(trace.steps.len());
        let (whole, id) = (trace.clone(), identity(&trace, &gradients));
        let given = |from: usize, to: usize| {
            let inside = move |s: &Source| matches!(s, Source::Input(i) if (from..to).contains(i));
            trace.sources.iter().filter(move |(_, s)| inside(s)).map(|(slot, _)| *slot).collect::<HashSet<Slot>>()
        };
        let outside = given(carries + xs, count);
        let constants = trace.sources.iter().filter(|(_, s)| matches!(s, Source::Constant(..))).map(|(slot, _)| *slot).collect();
        let parts = Hoisted::of(std::mem::take(&mut trace.steps), gradients.split, &outside, &constants, &trace.outputs);
        let mut out = Self {
            before: first(&trace, &parts, carries + xs, count)?,
            carries,
            xs,
            hoisted: parts.needed.len(),
            reached_from: reached_from(&whole, &gradients, results),
            results: trace.outputs[..results].iter().map(|s| meta(&trace, *s)).collect(),
            operands,
            kept: Vec::new(),
            stacks: Vec::new(),
            id,
            program: step_program(trace, parts, count, &gradients)?,
            gradients,
            trace: whole,
        };
        out.check()?;
        out.find_kept();
        Ok(out)
    }

    /// Checks that each carry keeps its shape and dtype.
    fn check(&self) -> Result<()> {
        for (k, ((layout, dtype), out)) in self.operands[..self.carries].iter().zip(&self.results).enumerate() {
            if layout.shape() != &out.shape[..] {
                let (was, is) = (show_shape(layout.shape()), show_shape(&out.shape));
                return Err(Error::Shape(format!("scan: carry {k} had shape {was} and got shape {is}")));
            }
            if *dtype != out.dtype {
                return Err(Error::DType(format!("scan: carry {k} had dtype {dtype} and got {}", out.dtype)));
            }
        }
        Ok(())
    }

    /// Assigns places in the stacks to the values of a step that its pullback reads. Operands other than the carries need none.
    fn find_kept(&mut self) {
        let operands: HashSet<Slot> = self.program.inputs.iter().filter(|g| g.from >= self.carries).map(|g| g.slot).collect();
        for (slot, layout, dtype) in self.program.shared.iter().filter(|(slot, ..)| !operands.contains(slot)) {
            let (low, len) = layout.extent().map_or((0, 0), |(low, high)| (low, high - low));
            let stack = self.stacks.iter().position(|(d, _)| d == dtype).unwrap_or_else(|| {
                self.stacks.push((*dtype, 0));
                self.stacks.len() - 1
            });
            let at = self.stacks[stack].1;
            self.stacks[stack].1 += len;
            self.kept.push(Kept { slot: *slot, stack, at, layout: layout.shifted_back(low), len });
        }
    }

    /// Number of results that the caller sees: the last carries and the stacked results.
    #[must_use]
    pub fn result_count(&self) -> usize {
        self.results.len()
    }

    /// Whether gradients flow to result `i`.
    #[must_use]
    pub fn is_differentiable(&self, i: usize) -> bool {
        self.gradients.live.contains(&i)
    }

    /// Elements that one step computes.
    #[must_use]
    pub fn work(&self) -> usize {
        self.program.work()
    }

    /// Number of recorded steps, and of instructions that are left of them.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.program.size()
    }

    /// Whether operands fit the recording. The stacked arrays are given with all rows.
    #[must_use]
    pub fn fits(&self, operands: &[&Array]) -> bool {
        let one = |(k, (a, (layout, dtype))): (usize, (&&Array, &(Layout, DType)))| {
            let is_stacked = (self.carries..self.carries + self.xs).contains(&k);
            if is_stacked && a.ndim() == 0 {
                return false;
            }
            let from = usize::from(is_stacked);
            let (shape, strides) = (&a.layout().shape()[from..], &a.layout().strides()[from..]);
            shape == layout.shape() && a.dtype() == *dtype && (k < self.carries || layout.is_contiguous() || strides == layout.strides())
        };
        operands.len() == self.operands.len() && operands.iter().zip(&self.operands).enumerate().all(one)
    }
}

fn meta(trace: &Trace, slot: Slot) -> Meta {
    Meta { shape: trace.metas[slot].0.shape().into(), dtype: trace.metas[slot].1 }
}

/// The values that the pullback of a program reads from the function or the inputs, with layout and dtype.
pub(super) fn shared(p: &Program, metas: &[(Layout, DType)]) -> Vec<(Slot, Layout, DType)> {
    let Some((at, found)) = &p.split else { return Vec::new() };
    let (first, second) = p.instrs.split_at(*at);
    let made = |instrs: &[Instr]| instrs.iter().flat_map(|i| i.outputs.iter().flatten().copied()).collect::<HashSet<Slot>>();
    let (mut before, after) = (made(first), made(second));
    before.extend(p.inputs.iter().map(|g| g.slot));
    let read = second.iter().flat_map(|i| i.inputs.iter().filter_map(|a| a.slot())).chain(found.iter().copied());
    let mut seen = HashSet::new();
    let slots = read.filter(|s| before.contains(s) && !after.contains(s) && seen.insert(*s));
    slots.map(|s| (s, metas[s].0.clone(), metas[s].1)).collect()
}

/// The program of the steps that run once, before the loop.
fn first(trace: &Trace, parts: &Hoisted, from: usize, to: usize) -> Result<Option<Program>> {
    if parts.needed.is_empty() {
        return Ok(None);
    }
    let source = |(slot, source): &(Slot, Source)| match source {
        Source::Input(i) => (from..to).contains(i).then(|| (*slot, Source::Input(i - from))),
        other => Some((*slot, other.clone())),
    };
    let sources = trace.sources.iter().filter_map(source).collect();
    let once = Trace { steps: parts.before.clone(), sources, outputs: parts.needed.clone(), inputs: to - from, ..trace.clone() };
    Program::new(once).map(Some)
}

/// The program of one step.
fn step_program(mut trace: Trace, parts: Hoisted, operands: usize, gradients: &Gradients) -> Result<Program> {
    for (_, source) in &mut trace.sources {
        if let Source::Input(i) = source
            && *i >= operands
        {
            *i += parts.needed.len();
        }
    }
    trace.sources.extend(parts.needed.iter().enumerate().map(|(j, slot)| (*slot, Source::Input(operands + j))));
    trace.inputs += parts.needed.len();
    trace.steps = parts.rest;
    if gradients.live.is_empty() {
        return Program::new(trace);
    }
    let count = gradients.of.iter().flatten().count();
    Program::with_pullback(trace, parts.split, count, gradients.live.len())
}

// ---- running ----

/// An uninitialised array for `rows` rows of this shape.
fn stack(rows: usize, shape: &[usize], dtype: DType) -> Result<Array> {
    let shape: SmallVec<[usize; 4]> = std::iter::once(rows).chain(shape.iter().copied()).collect();
    alloc_check::check_memory("scan", &shape, dtype)?;
    Ok(Array::empty(&shape, dtype))
}

/// Writes the elements of `a` in row-major order, starting at element `at`.
fn write(to: &mut Array, at: usize, a: &Array) {
    let a = a.contiguous();
    dispatch!(bits to.dtype(), T => {
        if let Some(from) = a.as_slice::<T>() {
            to.data_mut::<T>()[at..at + from.len()].copy_from_slice(from);
        }
    });
}

/// Row `i` of an array.
fn row(a: &Array, i: usize) -> Array {
    a.with_layout(a.layout().select(0, i))
}

fn tick(i: usize) -> Result<()> {
    match TICK.get() {
        Some(tick) if i % TICKS == TICKS - 1 => tick(),
        _ => Ok(()),
    }
}

impl Loop {
    /// `length` steps of `body`. `again` runs the function of the loop step by step.
    #[must_use]
    pub fn new(body: Arc<Body>, length: usize, again: Option<Arc<dyn Again>>) -> Self {
        Self { body, length, again }
    }

    /// What runs the function of the loop step by step.
    #[must_use]
    pub fn again(&self) -> Option<&dyn Again> {
        self.again.as_deref()
    }

    /// The inputs that are the same in each step: values from outside, and results of the steps that run once.
    fn outside(&self, inputs: &[&Array]) -> Result<Vec<Array>> {
        let b = &*self.body;
        let from = b.carries + b.xs;
        let closed = inputs[from..].iter().zip(&b.operands[from..]).map(|(a, (layout, _))| laid_out(a, layout));
        let mut out = closed.collect::<Result<Vec<Array>>>()?;
        if let Some(before) = &b.before {
            out.extend(before.run(&out)?);
        }
        Ok(out)
    }

    fn check(&self, inputs: &[&Array]) -> Result<()> {
        let b = &*self.body;
        if inputs.len() != b.operands.len() {
            return Err(Error::Value(format!("scan: got {} operands, expected {}", inputs.len(), b.operands.len())));
        }
        for x in &inputs[b.carries..b.carries + b.xs] {
            if x.shape().first() != Some(&self.length) {
                return Err(Error::Shape(format!("scan: expected {} rows, got an array of shape {}", self.length, show_shape(x.shape()))));
            }
        }
        Ok(())
    }

    /// The last carries, the stacked results, and for a recorded call the stacks of the values that the pullback reads.
    fn run(&self, inputs: &[&Array], recorded: bool) -> Result<Vec<Array>> {
        self.check(inputs)?;
        let (b, n) = (&*self.body, self.length);
        let _mute = capture::mute();
        let outside = self.outside(inputs)?;
        let carry = |(a, (layout, _)): (&Array, &(Layout, DType))| laid_out(a, layout).map(Some);
        let mut carries = inputs[..b.carries].iter().copied().zip(&b.operands).map(carry).collect::<Result<Vec<Option<Array>>>>()?;
        let mut ys = b.results[b.carries..].iter().map(|m| stack(n, &m.shape, m.dtype)).collect::<Result<Vec<_>>>()?;
        let stacks = if recorded { &b.stacks[..] } else { &[] };
        let mut stacks = stacks.iter().map(|(dtype, len)| stack(n, &[*len], *dtype)).collect::<Result<Vec<_>>>()?;
        let mut table = b.program.table();
        for i in 0..n {
            b.program.enter(&mut table, |k| self.input(k, i, inputs, &outside, &mut carries))?;
            b.program.execute_part(false, &mut table)?;
            for (y, slot) in ys.iter_mut().zip(&b.program.outputs[b.carries..]) {
                let a = result(&table, *slot);
                write(y, i * a.size(), &a);
            }
            if recorded {
                b.keep(&table, i, &mut stacks)?;
            }
            for ((c, slot), (layout, _)) in carries.iter_mut().zip(&b.program.outputs).zip(&b.operands) {
                *c = Some(laid_out(&result(&table, *slot), layout)?);
            }
            clear(&mut table);
            tick(i)?;
        }
        b.program.recycle(table);
        // A result must not share storage with an operand.
        let own = |c: Array| if inputs.iter().any(|a| a.storage().id() == c.storage().id()) { c.copy() } else { c.contiguous() };
        Ok(carries.into_iter().flatten().map(own).chain(ys).chain(stacks).collect())
    }

    /// Input `k` of the program of step `i`. A carry is moved out of `carries`.
    fn input(&self, k: usize, i: usize, inputs: &[&Array], outside: &[Array], carries: &mut [Option<Array>]) -> Option<Array> {
        let (c, s) = (self.body.carries, self.body.xs);
        if k < c {
            carries[k].take()
        } else if k < c + s {
            Some(row(inputs[k], i))
        } else {
            outside.get(k - c - s).cloned()
        }
    }
}

impl Body {
    /// Writes the values of step `i` that the pullback reads to row `i` of the stacks.
    fn keep(&self, table: &Table, i: usize, stacks: &mut [Array]) -> Result<()> {
        for k in &self.kept {
            let a = laid_out(&result(table, k.slot), &k.layout)?;
            let at = i * self.stacks[k.stack].1 + k.at;
            match a.layout().extent() {
                Some((low, _)) if !a.is_contiguous() => {
                    let whole = a.with_layout(Layout::contiguous(&[k.len]).shifted(low));
                    write(&mut stacks[k.stack], at, &whole);
                }
                _ => write(&mut stacks[k.stack], at, &a),
            }
        }
        Ok(())
    }

    /// Reads the values of step `i` from the stacks into a table.
    fn restore(&self, table: &mut Table, i: usize, stacks: &[&Array]) {
        for k in &self.kept {
            let a = stacks[k.stack];
            let at = a.layout().offset() + i * self.stacks[k.stack].1 + k.at;
            table[k.slot] = Some(a.with_layout(k.layout.shifted(at)).into());
        }
    }
}

// ---- the gradient rule ----

/// The cotangents of the results, handed out step by step.
struct Cotangents {
    /// The cotangents of the carries after step `i`.
    carries: Vec<Option<Array>>,
    /// The stacked cotangents of the results of all steps; `None` is zero.
    ys: Vec<Option<Array>>,
    /// Zeros of the shape and dtype of each result.
    zeros: Vec<Array>,
}

impl Cotangents {
    fn of(ctx: &VjpContext<'_>, b: &Body) -> Self {
        let array = |i: usize| ctx.cotangent_of(i).map(Variable::into_array);
        Self {
            carries: (0..b.carries).map(array).collect(),
            ys: (b.carries..b.results.len()).map(array).collect(),
            zeros: b.results.iter().map(|m| Array::zeros(&m.shape, m.dtype)).collect(),
        }
    }

    /// The results that have a cotangent in the next step.
    fn active(&self) -> HashSet<usize> {
        let all = self.carries.iter().chain(&self.ys).enumerate();
        all.filter(|(_, g)| g.is_some()).map(|(r, _)| r).collect()
    }

    /// The cotangent of result `k` of step `i`.
    fn take(&mut self, k: usize, i: usize) -> Array {
        let found = if k < self.carries.len() { self.carries[k].take() } else { self.ys[k - self.carries.len()].as_ref().map(|g| row(g, i)) };
        found.unwrap_or_else(|| self.zeros[k].clone())
    }
}

/// The gradients of a scan: runs the pullbacks of all steps, from the last to the first.
fn pull(ctx: &mut VjpContext<'_>) -> Result<()> {
    let l: &Loop = &ctx.attrs::<Loop>().clone();
    let (b, n) = (&*l.body, l.length);
    let operands = b.operands.len();
    let inputs: Vec<&Array> = (0..operands).map(|i| ctx.input_array(small(i))).collect();
    let stacks: Vec<&Array> = (0..b.stacks.len()).map(|i| ctx.output_array(small(b.results.len() + i))).collect();
    let _mute = capture::mute();
    let outside = l.outside(&inputs)?;
    let mut cotangents = Cotangents::of(ctx, b);
    let mut rows = (b.carries..b.carries + b.xs).map(|k| gradient_rows(ctx, b, k, n)).collect::<Result<Vec<Option<Array>>>>()?;
    let mut table = b.program.table();
    // What no cotangent flows to gets no gradient, not even zeros.
    let mut flown = vec![n == 0; operands];
    for i in (0..n).rev() {
        let active = cotangents.active();
        let reached: Vec<bool> = b.reached_from.iter().map(|from| !from.is_disjoint(&active)).collect();
        flown.iter_mut().zip(&reached).for_each(|(flown, now)| *flown |= now);
        let given = |k: usize| match k.checked_sub(operands + b.hoisted) {
            Some(j) => b.gradients.live.get(j).map(|&r| cotangents.take(r, i)),
            None if k < b.carries => None,
            None => l.input(k, i, &inputs, &outside, &mut []),
        };
        b.program.enter(&mut table, given)?;
        b.restore(&mut table, i, &stacks);
        b.program.execute_part(true, &mut table)?;
        let Some((_, slots)) = &b.program.split else { break };
        let gradient = |k: usize| b.gradients.of[k].map(|at| result(&table, slots[at]));
        cotangents.carries = (0..b.carries).map(|k| gradient(k).filter(|_| reached[k])).collect();
        for (j, stack) in rows.iter_mut().enumerate() {
            if let (Some(stack), Some(g)) = (stack, gradient(b.carries + j)) {
                write(stack, i * g.size(), &g);
            }
        }
        let closed = (b.carries + b.xs..operands).filter(|k| reached[*k] && ctx.needs(*k)).filter_map(|k| Some((k, gradient(k)?)));
        let closed: SmallVec<[(usize, Array); 8]> = closed.collect();
        clear(&mut table);
        closed.into_iter().try_for_each(|(k, g)| ctx.add_array(k, g))?;
        tick(i)?;
    }
    b.program.recycle(table);
    let first = cotangents.carries.into_iter().chain(rows).enumerate();
    first.filter_map(|(k, g)| Some((k, g?))).try_for_each(|(k, g)| if flown[k] && ctx.needs(k) { ctx.add_array(k, g) } else { Ok(()) })
}

/// An uninitialised stack for the gradients of stacked operand `k`; `None` when no gradient is wanted, or it is zero.
fn gradient_rows(ctx: &VjpContext<'_>, b: &Body, k: usize, n: usize) -> Result<Option<Array>> {
    let wanted = ctx.needs(k) && b.gradients.of[k].is_some();
    if wanted { stack(n, b.operands[k].0.shape(), b.operands[k].1).map(Some) } else { Ok(None) }
}

/// The gradients of a scan, recorded: the function runs once more, step by step, and is differentiated.
fn again(ctx: &mut VjpContext<'_>) -> Result<()> {
    let l = ctx.attrs::<Loop>().clone();
    let b = &*l.body;
    let Some(function) = &l.again else {
        return Err(Error::Grad("scan: gradients of gradients through this loop are not recorded".to_owned()));
    };
    let create_graph = tape::is_recording();
    let recording = tape::recording(true);
    let operands = b.operands.len();
    // Carries and stacked arrays get nodes of their own. So a gradient with respect to one operand does not flow on to another operand that
    // it was computed from.
    let apart = |i: usize| {
        let x = ctx.input(small(i));
        if i < b.carries + b.xs && ctx.needs(i) { accumulate::broadcast_to(&x, x.shape()) } else { Ok(x) }
    };
    let inputs = (0..operands).map(apart).collect::<Result<Vec<Variable>>>()?;
    let outs = function.run(&inputs[..b.carries], &inputs[b.carries..b.carries + b.xs], l.length)?;
    drop(recording);
    let pairs = outs.into_iter().take(b.results.len()).enumerate().filter_map(|(i, y)| ctx.cotangent_of(i).map(|g| (y, Some(g))));
    let roots: Vec<(Variable, Option<Variable>)> = pairs.filter(|(y, _)| y.is_tracked()).collect();
    if roots.is_empty() {
        return Ok(());
    }
    let wanted: Vec<usize> = (0..operands).filter(|&i| ctx.needs(i)).collect();
    let targets: Vec<Variable> = wanted.iter().map(|&i| inputs[i].clone()).collect();
    let found = tape::grad(&roots, &targets, BackwardOptions { retain_graph: true, create_graph, stop_at_inputs: true, skip_hooks: false })?;
    wanted.into_iter().zip(found).try_for_each(|(i, g)| g.map_or(Ok(()), |g| ctx.add(i, g)))
}
