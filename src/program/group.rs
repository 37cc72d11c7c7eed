//! Elementwise instructions that are run together, block by block.
//!
//! Long elementwise steps that follow each other are one instruction: a block of some kilobytes of every operand goes through all of
//! them before the next block does, so that what is between them never leaves the caches and takes no memory of its own. A block is
//! evaluated by the primitives themselves, through the kernels that an eager call uses, so results have the same bits. Operands of
//! the result's shape are cut along their first axis, or anywhere when all are in row-major order; numbers, and arrays that broadcast
//! along the first axis, are handed over whole. Blocks are shared out among threads.

use std::collections::{HashMap, HashSet};
use std::fmt;

use smallvec::SmallVec;

use super::{Instr, Kind};
use crate::array::{Array, DType, Layout, Plain, Shape, size_of};
use crate::dispatch;
use crate::error::{Error, Result};
use crate::kernel::parallel;
use crate::lock::Mutex;
use crate::tape::capture::{Arg, Op, Slot, Step};
use crate::tape::{Attrs, Batch, Operand, Primitive, RuleCall, Variable, evaluate, recording};

/// Bytes of a block.
const BLOCK_BYTES: usize = 1 << 15;
/// Bytes of a result below which steps are run one by one.
const LEAST_BYTES: usize = 1 << 18;

/// What an operand of a step in a block is.
#[derive(Clone, Copy)]
enum Local {
    None,
    Number(crate::array::Scalar),
    /// A value of the block's table, and whether it is used for the last time.
    Value(usize, bool),
}

/// A step on blocks.
struct Node {
    what: What,
    args: SmallVec<[Local; 4]>,
    outs: SmallVec<[Option<usize>; 2]>,
}

enum What {
    Eval {
        primitive: &'static Primitive,
        attrs: Attrs,
        recorded: bool,
    },
    /// The rule for blocks of full length and for the last one.
    Rule(Box<[RuleCall; 2]>),
}

/// How an operand from outside is handed to a block.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    /// As it is.
    Whole,
    /// Its part of a row-major array.
    Flat,
    /// Some rows of its first axis.
    Rows,
}

/// Steps that are run together.
pub(crate) struct Group {
    nodes: Vec<Node>,
    cuts: SmallVec<[Cut; 8]>,
    /// The table place and the dtype of each value that is needed outside.
    exports: SmallVec<[(usize, DType); 4]>,
    shape: Shape,
    /// What is cut: elements, or rows of so many elements.
    length: usize,
    row: usize,
    block: usize,
    places: usize,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |n: &Node| match &n.what {
            What::Eval { primitive, .. } => primitive.name.to_owned(),
            What::Rule(calls) => format!("rule of {}", calls[0].primitive().name),
        };
        write!(f, "group[{}]", self.nodes.iter().map(name).collect::<Vec<_>>().join(", "))
    }
}

/// Where the blocks of a result are written.
trait Sink: Send {
    fn write(&mut self, block: &Array);
}

impl<T: Plain> Sink for &mut [T] {
    fn write(&mut self, block: &Array) {
        match block.as_slice::<T>() {
            Some(s) if s.len() == self.len() => self.copy_from_slice(s),
            // A number that a block of one row of them repeats.
            _ => {
                let all = block.to_vec::<T>();
                let n = all.len().max(1);
                for (i, x) in self.iter_mut().enumerate() {
                    *x = all[i % n];
                }
            }
        }
    }
}

/// The work of one block: its number, and where its results go.
struct Task<'a> {
    at: usize,
    sinks: SmallVec<[Box<dyn Sink + 'a>; 4]>,
}

impl Group {
    /// Runs the steps over the table of a program.
    pub(super) fn run(&self, instr: &Instr, table: &mut [Option<Variable>]) -> Result<()> {
        let mut given: SmallVec<[Array; 8]> = SmallVec::new();
        for (a, cut) in instr.inputs.iter().zip(&self.cuts) {
            let Some(a) = a.slot().and_then(|s| table[s].as_ref()) else { return Err(Error::Value("program: a group lacks an operand".to_owned())) };
            let a = if *cut == Cut::Flat { a.array().contiguous().reshape(&[self.length])? } else { a.array().clone() };
            given.push(a);
        }
        let mut results: SmallVec<[Array; 4]> = self.exports.iter().map(|(_, dtype)| Array::empty(&self.shape, *dtype)).collect();
        self.run_blocks(&given, &mut results)?;
        for (slot, a) in instr.outputs.iter().zip(results) {
            if let Some(slot) = slot {
                table[*slot] = Some(a.into());
            }
        }
        Ok(())
    }

    fn run_blocks(&self, given: &[Array], results: &mut [Array]) -> Result<()> {
        let count = self.length.div_ceil(self.block);
        let mut tasks: Vec<Task<'_>> = (0..count).map(|at| Task { at, sinks: SmallVec::new() }).collect();
        for a in results.iter_mut() {
            dispatch!(bits a.dtype(), T => {
                for (task, chunk) in tasks.iter_mut().zip(a.data_mut::<T>().chunks_mut(self.block * self.row)) {
                    task.sinks.push(Box::new(chunk));
                }
            });
        }
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let grain = count.div_ceil(4 * parallel::num_threads()).max(1);
        parallel::for_each_chunk_mut(&mut tasks, grain, |_, tasks| {
            let _off = recording(false);
            let mut table: Vec<Option<Variable>> = vec![None; self.places];
            for task in tasks {
                if let Err(e) = self.block(task, given, &mut table) {
                    *failed.lock() = Some(e);
                    return;
                }
            }
        });
        let failed = failed.lock().take();
        failed.map_or(Ok(()), Err)
    }

    /// Runs the steps on one block.
    fn block(&self, task: &mut Task<'_>, given: &[Array], table: &mut [Option<Variable>]) -> Result<()> {
        let start = task.at * self.block;
        let n = self.block.min(self.length - start);
        for ((a, cut), place) in given.iter().zip(&self.cuts).zip(table.iter_mut()) {
            let part = if *cut == Cut::Whole { a.clone() } else { a.with_layout(a.layout().slice(0, start, n, 1)) };
            *place = Some(part.into());
        }
        for node in &self.nodes {
            node.run(table, n == self.block)?;
        }
        for ((place, _), sink) in self.exports.iter().zip(&mut task.sinks) {
            if let Some(v) = &table[*place] {
                sink.write(v.array());
            }
        }
        table.fill(None);
        Ok(())
    }
}

impl Node {
    fn run(&self, table: &mut [Option<Variable>], full: bool) -> Result<()> {
        match &self.what {
            What::Eval { primitive, attrs, recorded } => {
                let out = {
                    let table: &[Option<Variable>] = table;
                    let operands: SmallVec<[Operand<'_>; 4]> = self
                        .args
                        .iter()
                        .map(|a| match a {
                            Local::Value(at, _) => table[*at].as_ref().map_or(Operand::Scalar(0_i64.into()), Operand::Variable),
                            Local::Number(x) => Operand::Scalar(*x),
                            Local::None => Operand::Scalar(0_i64.into()),
                        })
                        .collect();
                    evaluate(primitive, &operands, attrs, *recorded, None)?.pop()
                };
                self.put(table, out);
            }
            What::Rule(calls) => {
                let call = &calls[usize::from(!full)];
                let (saved, gs) = (call.saved_count(), call.cotangent_count());
                let mut all: SmallVec<[Option<Array>; 8]> = self.args.iter().map(|a| take(*a, table)).collect();
                let sums = all.drain(saved + gs..).collect::<SmallVec<[_; 4]>>();
                let gs = all.drain(saved..).collect::<SmallVec<[_; 4]>>();
                let outs = call.run(all.into_iter().flatten(), gs.into_iter(), sums.into_iter())?;
                for (place, a) in self.outs.iter().zip(outs) {
                    if let Some(place) = place {
                        table[*place] = a.map(Variable::from);
                    }
                }
            }
        }
        for a in &self.args {
            if let Local::Value(at, true) = a {
                table[*at] = None;
            }
        }
        Ok(())
    }

    fn put(&self, table: &mut [Option<Variable>], out: Option<Array>) {
        if let Some(Some(place)) = self.outs.first() {
            table[*place] = out.map(Variable::from);
        }
    }
}

fn take(a: Local, table: &mut [Option<Variable>]) -> Option<Array> {
    match a {
        Local::Value(at, true) => table[at].take().map(Variable::into_array),
        Local::Value(at, false) => table[at].as_ref().map(|v| v.array().clone()),
        Local::Number(_) | Local::None => None,
    }
}

/// The shape that an elementwise step of a group has; `None` for a step that is run by itself.
fn shape_of<'a>(step: &Step, metas: &'a [(Layout, DType)]) -> Option<&'a [usize]> {
    let primitive = match &step.op {
        Op::Eval { primitive, attrs, update, .. } if !update && primitive.hidden == 0 && step.outputs.len() == 1 && matches!(attrs, Attrs::None) => {
            *primitive
        }
        Op::Rule(call) if matches!(call.attrs(), Attrs::None) => call.primitive(),
        _ => return None,
    };
    if !matches!(primitive.batch, Batch::Elementwise) {
        return None;
    }
    let (layout, dtype) = &metas[step.outputs.iter().flatten().next().copied()?];
    let shape = layout.shape();
    let alike = |s: &Slot| metas[*s].0.shape() == shape && metas[*s].0.is_contiguous() && !metas[*s].1.is_complex();
    if size_of(shape) * dtype.size() < LEAST_BYTES || !step.outputs.iter().flatten().all(alike) {
        return None;
    }
    if let Op::Rule(call) = &step.op {
        // Cotangents and sums are of the shape; broadcasting is not undone in a group.
        let rest = &step.inputs[call.saved_count()..];
        if !call.is_of_shape(shape) || !rest.iter().filter_map(|a| a.slot()).all(|s| metas[s].0.shape() == shape) {
            return None;
        }
    }
    Some(shape)
}

/// How operands of these layouts are cut for results of `shape`; `None` when they cannot be.
fn cuts(slots: &[Slot], shape: &[usize], metas: &[(Layout, DType)]) -> Option<(SmallVec<[Cut; 8]>, bool)> {
    let layout = |s: &Slot| &metas[*s].0;
    let flat = |s: &Slot| {
        let l = layout(s);
        if l.shape() == shape && l.is_contiguous() {
            Some(Cut::Flat)
        } else if l.size() == 1 && l.ndim() <= 1 {
            Some(Cut::Whole)
        } else {
            None
        }
    };
    if let Some(all) = slots.iter().map(flat).collect::<Option<SmallVec<_>>>() {
        return Some((all, true));
    }
    let (&first, rest) = shape.split_first()?;
    if first < 8 || size_of(rest) * 8 > BLOCK_BYTES {
        return None;
    }
    let rows = |s: &Slot| {
        let l = layout(s);
        if l.ndim() == shape.len() && l.shape()[0] == first {
            Some(Cut::Rows)
        } else if l.ndim() < shape.len() || l.shape()[0] == 1 {
            Some(Cut::Whole)
        } else {
            None
        }
    };
    slots.iter().map(rows).collect::<Option<SmallVec<_>>>().map(|all| (all, false))
}

/// The values that steps take from outside of themselves.
fn externals(steps: &[Step]) -> Vec<Slot> {
    let made: HashSet<Slot> = steps.iter().flat_map(|s| s.outputs.iter().flatten().copied()).collect();
    let mut seen = HashSet::new();
    let used = steps.iter().flat_map(|s| s.inputs.iter().filter_map(|a| a.slot()));
    used.filter(|s| !made.contains(s) && seen.insert(*s)).collect()
}

/// Instructions of steps, long elementwise ones in groups. `kept` are values that are needed after all steps.
pub(super) fn form(steps: &[Step], metas: &[(Layout, DType)], kept: &[Slot]) -> Vec<Instr> {
    let mut uses: HashMap<Slot, usize> = HashMap::new();
    for s in steps.iter().flat_map(|s| s.inputs.iter().filter_map(|a| a.slot())).chain(kept.iter().copied()) {
        *uses.entry(s).or_default() += 1;
    }
    let mut out = Vec::new();
    let mut at = 0;
    while at < steps.len() {
        let n = run_length(&steps[at..], metas);
        if n >= 2
            && let Some(instr) = group(&steps[at..at + n], metas, &uses)
        {
            out.push(instr);
            at += n;
            continue;
        }
        out.push(instr(Kind::One(steps[at].op.clone()), steps[at].inputs.clone(), steps[at].outputs.clone()));
        at += 1;
    }
    out
}

fn instr(kind: Kind, inputs: SmallVec<[Arg; 4]>, outputs: SmallVec<[Option<Slot>; 2]>) -> Instr {
    Instr { kind, inputs, outputs, last: SmallVec::new(), can_fail_later: false }
}

/// How many steps from the first on are elementwise, of one shape, and can be cut in one way.
fn run_length(steps: &[Step], metas: &[(Layout, DType)]) -> usize {
    let Some(shape) = steps.first().and_then(|s| shape_of(s, metas)) else { return 0 };
    let mut n = steps.iter().take_while(|s| shape_of(s, metas) == Some(shape)).count();
    while n > 1 && cuts(&externals(&steps[..n]), shape, metas).is_none() {
        n -= 1;
    }
    n
}

/// One instruction of elementwise steps.
fn group(steps: &[Step], metas: &[(Layout, DType)], uses: &HashMap<Slot, usize>) -> Option<Instr> {
    let shape = shape_of(&steps[0], metas)?;
    let inputs = externals(steps);
    let (cuts, flat) = cuts(&inputs, shape, metas)?;
    let (length, row) = if flat { (size_of(shape), 1) } else { (shape[0], size_of(&shape[1..])) };
    let widest = steps.iter().flat_map(|s| s.outputs.iter().flatten()).map(|s| metas[*s].1.size()).max().unwrap_or(8);
    let block = (BLOCK_BYTES / (widest * row.max(1))).max(1);
    let rest = if length % block == 0 { block } else { length % block };
    let block_shape =
        |n: usize| -> Shape { if flat { std::iter::once(n).collect() } else { std::iter::once(n).chain(shape[1..].iter().copied()).collect() } };
    let mut places: HashMap<Slot, usize> = inputs.iter().enumerate().map(|(i, s)| (*s, i)).collect();
    let mut inside: HashMap<Slot, usize> = HashMap::new();
    let mut nodes = Vec::new();
    for step in steps {
        let args = step.inputs.iter().map(|a| match a {
            Arg::None => Local::None,
            Arg::Number(x) => Local::Number(*x),
            Arg::Slot(s) => {
                *inside.entry(*s).or_default() += 1;
                Local::Value(places[s], false)
            }
        });
        let args = args.collect();
        let outs = step.outputs.iter().map(|o| {
            o.map(|s| {
                let at = places.len();
                places.insert(s, at);
                at
            })
        });
        let outs = outs.collect();
        let what = match &step.op {
            Op::Eval { primitive, attrs, recorded, .. } => What::Eval { primitive, attrs: attrs.clone(), recorded: *recorded },
            Op::Rule(call) => What::Rule(Box::new([block, rest].map(|n| call.resized(&block_shape(n))))),
            _ => return None,
        };
        nodes.push(Node { what, args, outs });
    }
    let made = || steps.iter().flat_map(|s| s.outputs.iter().flatten().copied());
    let outside: Vec<Slot> = made().filter(|s| uses.get(s).copied().unwrap_or(0) > inside.get(s).copied().unwrap_or(0)).collect();
    let exports: SmallVec<[(usize, DType); 4]> = outside.iter().map(|s| (places[s], metas[*s].1)).collect();
    mark_last(&mut nodes, &exports, places.len());
    let group = Group { nodes, cuts, exports, shape: Shape::from_slice(shape), length, row, block, places: places.len() };
    Some(instr(Kind::Group(group), inputs.into_iter().map(Arg::Slot).collect(), outside.into_iter().map(Some).collect()))
}

/// Marks the last use of each value in a block.
fn mark_last(nodes: &mut [Node], exports: &[(usize, DType)], places: usize) {
    let mut seen = vec![false; places];
    for (place, _) in exports {
        seen[*place] = true;
    }
    for node in nodes.iter_mut().rev() {
        for a in node.args.iter_mut().rev() {
            if let Local::Value(at, last) = a {
                *last = !std::mem::replace(&mut seen[*at], true);
            }
        }
    }
}
