//! Groups: formulas that run together, block by block.
//!
//! Formulas of one shape and dtype become one instruction. A block of every operand passes through all formulas before the next block does;
//! blocks are small enough for all that are in use to stay in the first-level cache. Values between the formulas are in registers: blocks
//! of scratch memory, which are reused after the last read of their value. The loops are those of an eager call, so the results have the
//! same bits. Operands in row-major order are read in place and numbers as numbers; any other operand is gathered into a register, one
//! block at a time.
//!
//! Inside a group bools are ones and zeros (see [`choices`](super::choices)). Sums and means of results consume the blocks as they are made
//! (see [`folds`](super::folds)). A result overwrites an operand that nothing else needs: each element is written after the last formula
//! that reads its block.
//!
//! A formula joins the last group of its shape that comes after all of its operands, and views are moved up directly behind the values that
//! they view. So formulas of the gradient rules can join groups of the forward pass.

mod epilogue;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

pub(super) use self::epilogue::{Epilogue, join};
use super::folds::{FoldStep, Folded, Folding};
use super::lower::{Item, Metas, Point};
use super::product::is_product;
use super::{Instr, Kind, View, pairs};
use crate::array::{Array, Cursor, DType, Layout, Scalar, Shape, size_of};
use crate::error::{Error, Result};
use crate::kernel::map::{BlockLoop, Floating};
use crate::kernel::reduce::parts::{self, Parts};
use crate::kernel::reduce::{Fold, Sum};
use crate::kernel::{moments, parallel};
use crate::tape::capture::{Arg, Op, Slot, Step};
use crate::tape::{self, Variable, evaluate};

/// Bytes that the blocks in use of a group may take together.
const CACHE_BYTES: usize = 1 << 15;
/// The most elements of a block. A block is a multiple of [`STEP`] elements.
const MAX_BLOCK: usize = 4096;
const STEP: usize = 256;
/// Elements between two registers, so that their starts are not a power of two apart.
const GAP: usize = 16;
/// From this number of bytes on, a result overwrites an operand.
const REUSED_BYTES: usize = 1 << 12;
/// From this number of bytes on, a group of one formula is run as the step that it was lowered from.
const LONE_BYTES: usize = 1 << 14;

/// An instruction that works on blocks.
struct Code<T: 'static> {
    what: What<T>,
    /// The number of the register or result that it writes.
    to: u16,
}

enum What<T: 'static> {
    /// A formula whose operands are reads, registers or results.
    Formula { run: BlockLoop<T>, params: [f64; 2], from: [u16; 4] },
    /// Copies a block of an operand to a register.
    Gather(u16),
    /// Writes a register as bools.
    Truth(u16),
    /// Adds the block of a register or result to a sum.
    Fold(u16),
}

/// How an operand was laid out in memory when it was recorded.
#[derive(Clone, Copy, PartialEq)]
enum How {
    /// In row-major order.
    Flat,
    /// One number.
    Number,
    /// Any other layout.
    Strided,
    /// Bools in any layout.
    Truth,
}

/// A number that a formula reads.
#[derive(Clone, Copy, PartialEq)]
enum Number {
    Literal(Scalar),
    /// The only element of an operand.
    Of(u16),
}

/// An operand of a formula that is not in a register.
#[derive(Clone, Copy, PartialEq)]
enum Read {
    /// A block of a row-major operand.
    Flat(u16),
    /// A number, and whether it is repeated to fill a block.
    Number(Number, bool),
}

struct Body<T: 'static> {
    code: Vec<Code<T>>,
    operands: SmallVec<[How; 8]>,
    reads: Vec<Read>,
    /// Operands that the group uses last, and the results that may overwrite them.
    reuses: SmallVec<[(u16, u16); 2]>,
    registers: usize,
    block: usize,
    cost: f64,
}

enum Typed {
    F32(Body<f32>),
    F64(Body<f64>),
}

/// A group of formulas.
pub(crate) struct Group {
    body: Typed,
    shape: Shape,
    size: usize,
    /// Number of results of the group's dtype; bool results follow them.
    outputs: usize,
    truths: usize,
    /// Sums and means of results, which follow the bools.
    folds: Vec<Folding>,
    names: Vec<&'static str>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group[{}]", self.names.join(", "))
    }
}

/// An operand of a group, as blocks are read from it.
enum Operand<'a, T> {
    Flat(&'a [T]),
    Number(T),
    Strided(&'a [T], Cursor),
    /// Overwritten by the result of that number.
    Taken(usize),
    Truth(&'a [bool], Cursor),
    /// The rows of a matrix product that have just been computed.
    Rows,
}

impl<'a, T: Copy + Default> Operand<'a, T> {
    fn flat(&self) -> Option<&'a [T]> {
        if let Self::Flat(data) = self { Some(data) } else { None }
    }

    fn number(&self) -> T {
        if let Self::Number(x) = self { *x } else { T::default() }
    }

    fn taken(&self) -> usize {
        if let Self::Taken(k) = self { *k } else { 0 }
    }
}

/// Where a formula reads an operand while it runs.
enum Source<'a, T> {
    /// The next block each time.
    Moving(&'a [T]),
    Fixed(&'a [T]),
    /// A result that has not been written yet: the block holds the operand.
    Result(usize),
    /// The next block each time, from rows whose first element is that of the range.
    Rows(&'a [T]),
}

/// The results of a group, as slices to write.
struct Outs<'a, T> {
    values: SmallVec<[&'a mut [T]; 4]>,
    truths: SmallVec<[&'a mut [bool]; 2]>,
    /// Sums to write, and which elements each adds up.
    sums: SmallVec<[(Folded, &'a mut [T]); 2]>,
}

impl<T> Default for Outs<'_, T> {
    fn default() -> Self {
        Self { values: SmallVec::new(), truths: SmallVec::new(), sums: SmallVec::new() }
    }
}

impl<T> Outs<'_, T> {
    /// Splits off the part for the first `n` elements.
    fn split_off(&mut self, n: usize) -> Self {
        Self {
            values: self.values.iter_mut().map(|out| front(out, n)).collect(),
            truths: self.truths.iter_mut().map(|out| front(out, n)).collect(),
            sums: self.sums.iter_mut().map(|(of, out)| (*of, front(out, of.places(n)))).collect(),
        }
    }
}

/// Outputs of blocks other than results of the group's dtype.
struct Sinks<'a, 'b, T> {
    truths: &'a mut [&'b mut [bool]],
    sums: &'a mut [Parts<'b, T>],
    /// Factors of the elements before they are added up, for means whose sums overflow.
    factors: &'a [T],
}

/// Splits off the first `n` elements.
#[allow(clippy::mut_mut, reason = "the slice itself moves on")]
fn front<'a, T>(rest: &mut &'a mut [T], n: usize) -> &'a mut [T] {
    let (head, tail) = std::mem::take(rest).split_at_mut(n);
    *rest = tail;
    head
}

/// Arrays that results overwrite: number of the operand, number of the result, array.
type Taken = SmallVec<[(usize, usize, Array); 2]>;

impl Group {
    fn dtype(&self) -> DType {
        if matches!(self.body, Typed::F64(_)) { DType::F64 } else { DType::F32 }
    }

    /// Runs the group on the values of a table.
    pub(super) fn run(&self, instr: &Instr, table: &mut [Option<Variable>]) -> Result<()> {
        let taken = match &self.body {
            Typed::F32(body) => body.take(self.size, instr, table),
            Typed::F64(body) => body.take(self.size, instr, table),
        };
        let mut given: SmallVec<[Option<&Array>; 8]> = SmallVec::new();
        for (i, a) in instr.inputs.iter().enumerate() {
            let found = a.slot().and_then(|s| table[s].as_ref());
            if found.is_none() && taken.iter().all(|t| t.0 != i) {
                return Err(Error::Value("program: a group of formulas reads a value that no instruction has computed".to_owned()));
            }
            given.push(found.map(Variable::array));
        }
        let results = match &self.body {
            Typed::F32(body) => body.run(self, &given, taken)?,
            Typed::F64(body) => body.run(self, &given, taken)?,
        };
        drop(given);
        for (slot, a) in instr.outputs.iter().zip(results) {
            if let Some(slot) = slot {
                table[*slot] = Some(a.into());
            }
        }
        Ok(())
    }
}

impl<T: Floating> Body<T>
where
    Sum: Fold<T, Acc = T>,
{
    /// Takes the operands that results overwrite out of the table: those that no other value shares.
    fn take(&self, n: usize, instr: &Instr, table: &mut [Option<Variable>]) -> Taken {
        let mut out = Taken::new();
        for &(operand, result) in &self.reuses {
            let (i, k) = (usize::from(operand), usize::from(result));
            if let Arg::Slot(s) = instr.inputs[i]
                && instr.last[i]
                && let Some(v) = table[s].take()
            {
                let mut a = v.into_array();
                if a.is_unique() && a.storage().len() == n {
                    out.push((i, k, a));
                } else {
                    table[s] = Some(a.into());
                }
            }
        }
        out
    }

    fn run(&self, group: &Group, given: &[Option<&Array>], taken: Taken) -> Result<SmallVec<[Array; 4]>> {
        let n = group.size;
        let mut copies: Vec<(usize, Array)> = Vec::new();
        for (i, (a, how)) in given.iter().zip(&self.operands).enumerate() {
            if let Some(a) = a
                && !Self::fits(*how, a, n)
            {
                copies.push((i, a.broadcast_to("program", &group.shape)?.copy()));
            }
        }
        let mut operands: SmallVec<[Operand<'_, T>; 8]> = SmallVec::new();
        for (i, (a, how)) in given.iter().zip(&self.operands).enumerate() {
            let Some(a) = *a else {
                operands.push(Operand::Taken(taken.iter().find(|t| t.0 == i).map_or(0, |t| t.1)));
                continue;
            };
            let a = if copies.is_empty() { a } else { copies.iter().find(|c| c.0 == i).map_or(a, |c| &c.1) };
            operands.push(Self::operand(*how, a, group)?);
        }
        let mut results: SmallVec<[Array; 4]> = SmallVec::new();
        let mut taken = taken;
        for k in 0..group.outputs {
            let used = taken.iter().position(|t| t.1 == k).map(|at| taken.swap_remove(at).2);
            results.push(used.map_or_else(|| Array::empty(&group.shape, T::DTYPE), |a| a.with_layout(Layout::contiguous(&group.shape))));
        }
        let mut truths: SmallVec<[Array; 2]> = (0..group.truths).map(|_| Array::empty(&group.shape, DType::Bool)).collect();
        let mut sums = self.all(group, &operands, &mut results, &mut truths, &[]);
        let finite = |(f, sums): (&Folding, &mut Array)| f.mean.is_none_or(|count| moments::sums_to_means(sums.data_mut::<T>(), count));
        // No short circuit: every mean must be divided.
        if group.folds.iter().zip(&mut sums).map(finite).filter(|finite| !finite).count() > 0 {
            let factors: SmallVec<[T; 2]> = group.folds.iter().map(|f| T::lit(f.mean.map_or(1.0, moments::small_factor))).collect();
            let small = self.all(group, &operands, &mut results, &mut truths, &factors);
            for ((f, sums), small) in group.folds.iter().zip(&mut sums).zip(&small) {
                if let Some(count) = f.mean {
                    moments::mend(sums.data_mut::<T>(), small.raw(), count);
                }
            }
        }
        results.extend(truths.into_iter().chain(sums));
        Ok(results)
    }

    /// Whether the layout of an operand is as it was when it was recorded.
    fn fits(how: How, a: &Array, n: usize) -> bool {
        match how {
            How::Flat => a.slice_of::<T>(n).is_some(),
            How::Number => a.layout().is_number(),
            How::Strided | How::Truth => true,
        }
    }

    /// An operand, as blocks are read from it.
    fn operand<'a>(how: How, a: &'a Array, group: &Group) -> Result<Operand<'a, T>> {
        let cursor = || Ok::<_, Error>(Cursor::new(&a.layout().broadcast_to("program", &group.shape)?));
        if how == How::Truth {
            return Ok(Operand::Truth(a.raw(), cursor()?));
        }
        Ok(match (how, a.slice_of::<T>(group.size)) {
            (How::Number, _) if a.layout().is_number() => Operand::Number(a.raw::<T>()[a.layout().offset()]),
            (_, Some(data)) => Operand::Flat(data),
            (_, None) => Operand::Strided(a.raw(), cursor()?),
        })
    }

    /// Computes all results; returns the sums.
    fn all(&self, group: &Group, operands: &[Operand<'_, T>], values: &mut [Array], truths: &mut [Array], factors: &[T]) -> SmallVec<[Array; 2]> {
        let n = group.size;
        let empty = |f: &Folding| match f.of {
            Folded::Rows(_) => Array::empty(&f.shape, T::DTYPE),
            Folded::All => Array::empty(&[f.of.places(n)], T::DTYPE),
        };
        let mut sums: SmallVec<[Array; 2]> = group.folds.iter().map(empty).collect();
        let outs = Outs {
            values: values.iter_mut().map(Array::data_mut).collect(),
            truths: truths.iter_mut().map(Array::data_mut).collect(),
            sums: group.folds.iter().zip(&mut sums).map(|(f, a)| (f.of, a.data_mut())).collect(),
        };
        let grain = parallel::grain(n, self.cost);
        if grain >= n || parallel::num_threads() == 1 {
            self.range(operands, [0, n], &[], outs, factors);
        } else {
            let step = if group.folds.iter().any(|f| f.of == Folded::All) { parts::SHARED } else { self.block };
            self.shared_out(operands, n, grain.next_multiple_of(step), outs, factors);
        }
        for (f, sum) in group.folds.iter().zip(&mut sums) {
            if f.of == Folded::All {
                *sum = Array::from_slice(&[parts::total(sum.raw::<T>())], &f.shape);
            }
        }
        sums
    }

    /// Computes all blocks on several threads.
    fn shared_out(&self, operands: &[Operand<'_, T>], n: usize, grain: usize, mut outs: Outs<'_, T>, factors: &[T]) {
        let mut tasks: Vec<(usize, Outs<'_, T>)> = (0..n).step_by(grain).map(|at| (at, outs.split_off(grain.min(n - at)))).collect();
        parallel::for_each_chunk_mut(&mut tasks, 1, |_, tasks| {
            for (at, outs) in tasks {
                self.range(operands, [*at, grain.min(n - *at)], &[], std::mem::take(outs), factors);
            }
        });
    }

    /// Computes `len` elements from `start` on. `rows` are the rows of a matrix product.
    fn range(&self, operands: &[Operand<'_, T>], [start, len]: [usize; 2], rows: &[T], mut rest: Outs<'_, T>, factors: &[T]) {
        let block = self.block.min(len);
        let numbers = self.reads.iter().map(|r| if let Read::Number(_, true) = r { block } else { 1 }).sum::<usize>();
        let pitch = if block < GAP { block } else { block + GAP };
        let mut scratch = Array::empty(&[numbers + self.registers * pitch], T::DTYPE);
        let (registers, mut numbers) = scratch.data_mut::<T>().split_at_mut(self.registers * pitch);
        let mut sources: SmallVec<[Source<'_, T>; 16]> = SmallVec::new();
        for read in &self.reads {
            sources.push(match read {
                Read::Flat(i) | Read::Number(Number::Of(i), _) if operands[usize::from(*i)].flat().is_some() => {
                    Source::Moving(operands[usize::from(*i)].flat().unwrap_or_default())
                }
                Read::Flat(i) if matches!(operands[usize::from(*i)], Operand::Rows) => Source::Rows(rows),
                Read::Number(x, wide) => {
                    let x = match x {
                        Number::Literal(x) => T::from_scalar(*x),
                        Number::Of(i) => operands[usize::from(*i)].number(),
                    };
                    let (place, others) = numbers.split_at_mut(if *wide { block } else { 1 });
                    place.fill(x);
                    numbers = others;
                    Source::Fixed(place)
                }
                Read::Flat(i) => Source::Result(self.registers + operands[usize::from(*i)].taken()),
            });
        }
        let mut work: SmallVec<[&mut [T]; 24]> = registers.chunks_mut(pitch.max(1)).collect();
        let count = work.len();
        let mut sums: SmallVec<[Parts<'_, T>; 2]> = std::mem::take(&mut rest.sums).into_iter().map(|(of, out)| of.parts(out)).collect();
        work.extend(rest.values.iter_mut().map(|_| &mut [][..]));
        let mut done = 0;
        while done < len {
            let n = block.min(len - done);
            let mut outs = rest.split_off(n);
            for (place, out) in work[count..].iter_mut().zip(outs.values) {
                *place = out;
            }
            let mut sinks = Sinks { truths: &mut outs.truths, sums: &mut sums, factors };
            self.block(operands, &sources, [start, start + done], n, &mut work, &mut sinks);
            done += n;
        }
    }

    /// Computes one block, of the range that begins at `start`.
    #[inline]
    fn block(
        &self,
        operands: &[Operand<'_, T>],
        sources: &[Source<'_, T>],
        [start, at]: [usize; 2],
        n: usize,
        work: &mut [&mut [T]],
        sinks: &mut Sinks<'_, '_, T>,
    ) {
        for code in &self.code {
            let to = usize::from(code.to);
            match &code.what {
                What::Truth(from) => {
                    let zero = T::default();
                    sinks.truths[to].iter_mut().zip(&work[usize::from(*from)][..n]).for_each(|(out, x)| *out = *x != zero);
                    continue;
                }
                What::Fold(from) => {
                    let block = &work[usize::from(*from)][..n];
                    match sinks.factors.get(to) {
                        Some(factor) => sinks.sums[to].feed(&block.iter().map(|x| *x * *factor).collect::<Vec<T>>()),
                        None => sinks.sums[to].feed(block),
                    }
                    continue;
                }
                What::Formula { .. } | What::Gather(_) => {}
            }
            let whole = std::mem::take(&mut work[to]);
            let out = &mut whole[..n];
            match &code.what {
                What::Formula { run, params, from } => {
                    let find = |i: usize| {
                        let i = usize::from(from[i]);
                        match sources.get(i) {
                            Some(Source::Moving(data)) => &data[at..at + n],
                            Some(Source::Rows(data)) => &data[at - start..at - start + n],
                            Some(Source::Fixed(data)) if data.len() > n => &data[..n],
                            Some(Source::Fixed(data)) => data,
                            Some(Source::Result(k)) => &work[*k][..n],
                            None => &work[i - sources.len()][..n],
                        }
                    };
                    run.run(find, out, *params);
                }
                What::Gather(i) => match &operands[usize::from(*i)] {
                    Operand::Flat(data) => out.copy_from_slice(&data[at..at + n]),
                    Operand::Number(x) => out.fill(*x),
                    Operand::Strided(data, cursor) => cursor.read(data, at, out),
                    Operand::Truth(data, cursor) => read_truths(data, cursor, at, out),
                    Operand::Taken(k) => out.copy_from_slice(&work[self.registers + k][..n]),
                    Operand::Rows => {}
                },
                What::Truth(_) | What::Fold(_) => {}
            }
            work[to] = whole;
        }
    }
}

/// Reads bools as ones and zeros.
fn read_truths<T: Floating>(data: &[bool], cursor: &Cursor, at: usize, out: &mut [T]) {
    let (zero, one, mut room) = (T::lit(0.0), T::lit(1.0), [false; STEP]);
    for (k, out) in out.chunks_mut(STEP).enumerate() {
        let truths = &mut room[..out.len()];
        cursor.read(data, at + k * STEP, truths);
        out.iter_mut().zip(truths).for_each(|(out, truth)| *out = if *truth { one } else { zero });
    }
}

/// The order of instructions while groups are formed: steps and groups, and views directly behind the values that they view.
#[derive(Default)]
struct Schedule {
    main: Vec<Main>,
    /// The views that follow each instruction; the first list comes before all instructions.
    views: Vec<Vec<Step>>,
    /// When each value is available: odd times are instructions, even times the views after them.
    times: HashMap<Slot, usize>,
    /// The last group of each shape and dtype.
    groups: HashMap<(Shape, DType), usize>,
}

enum Main {
    Step(Box<Step>),
    Group(Vec<Point>, Vec<FoldStep>),
}

impl Schedule {
    /// When all operands are available.
    fn after(&self, inputs: &[Arg]) -> usize {
        inputs.iter().filter_map(|a| self.times.get(&a.slot()?)).copied().max().unwrap_or(0)
    }

    fn push(&mut self, main: Main) -> usize {
        self.main.push(main);
        self.views.push(Vec::new());
        self.main.len() - 1
    }

    fn add(&mut self, item: Item, metas: &Metas) {
        match item {
            Item::Step(step) if is_view(&step.op) => {
                let bucket = self.after(&step.inputs).div_ceil(2);
                self.define(&step.outputs, 2 * bucket);
                self.views[bucket].push(step);
            }
            Item::Step(step) => {
                if let Some((at, fold)) = self.fold(&step, metas)
                    && let Main::Group(_, folds) = &mut self.main[at]
                {
                    folds.push(fold);
                    return self.define(&step.outputs, 2 * at + 2);
                }
                let outputs = step.outputs.clone();
                let at = self.push(Main::Step(Box::new(step)));
                self.define(&outputs, 2 * at + 1);
            }
            Item::Point(point) => {
                let key = (Shape::from_slice(metas[point.output].0.shape()), point.dtype);
                let after = self.after(&point.inputs);
                let at = match self.groups.get(&key) {
                    Some(&at) if 2 * at + 1 >= after => at,
                    _ => self.push(Main::Group(Vec::new(), Vec::new())),
                };
                self.groups.insert(key, at);
                self.times.insert(point.output, 2 * at + 1);
                if let Main::Group(points, _) = &mut self.main[at] {
                    points.push(point);
                }
            }
        }
    }

    /// The group that makes the operand of `step`, if `step` is a sum or mean that the group can compute as well.
    fn fold(&self, step: &Step, metas: &Metas) -> Option<(usize, FoldStep)> {
        let (fold, of) = FoldStep::of(step, metas)?;
        let at = self.times.get(&of).filter(|time| *time % 2 == 1)? / 2;
        let Main::Group(points, folds) = &self.main[at] else { return None };
        let is_made = points.last().is_some_and(|p| p.dtype == metas[of].1);
        (is_made && folds.iter().all(|f| f.folding.of == fold.folding.of)).then_some((at, fold))
    }

    fn define(&mut self, outputs: &[Option<Slot>], time: usize) {
        for s in outputs.iter().flatten() {
            self.times.insert(*s, time);
        }
    }
}

/// Whether a step is moved up behind its operand: a view or a copy.
fn is_view(op: &Op) -> bool {
    match op {
        Op::View(..) | Op::Copy => true,
        // A sum over broadcast axes is moved up, too.
        Op::Eval { primitive, update, .. } => (primitive.is_view || primitive.name == "sum_to") && !update,
        _ => false,
    }
}

/// Turns items into instructions, with formulas in groups. `kept` are values that are needed after all instructions.
pub(super) fn form(items: Vec<Item>, metas: &Metas, kept: &[Slot]) -> Vec<Instr> {
    let mut schedule = Schedule { views: vec![Vec::new()], ..Schedule::default() };
    for item in items {
        schedule.add(item, metas);
    }
    let mut uses: HashMap<Slot, usize> = HashMap::new();
    let mut count = |inputs: &[Arg]| inputs.iter().filter_map(|a| a.slot()).for_each(|s| *uses.entry(s).or_default() += 1);
    for main in &schedule.main {
        match main {
            Main::Step(step) => count(&step.inputs),
            Main::Group(points, folds) => {
                for p in points {
                    count(&p.inputs);
                }
                for f in folds {
                    count(&f.step.inputs);
                }
            }
        }
    }
    schedule.views.iter().flatten().for_each(|step| count(&step.inputs));
    for s in kept {
        *uses.entry(*s).or_default() += 1;
    }
    let fresh: HashSet<Slot> = schedule.times.keys().copied().collect();
    let made = |main: &Main| match main {
        Main::Step(step) if is_product(&step.op) => step.outputs.first().copied().flatten(),
        _ => None,
    };
    let products: HashSet<Slot> = schedule.main.iter().filter_map(made).collect();
    let known = Known { metas, uses: &uses, fresh: &fresh, products: &products };
    let mut out = Vec::new();
    let mut views = schedule.views.into_iter();
    out.extend(views.next().into_iter().flatten().map(|step| view(step, metas)));
    for (main, views) in schedule.main.into_iter().zip(views) {
        match main {
            Main::Step(step) => out.push(one(*step)),
            Main::Group(points, folds) => group(points, folds, &known, &mut out),
        }
        out.extend(views.into_iter().map(|step| view(step, metas)));
    }
    out
}

fn one(step: Step) -> Instr {
    instr(Kind::One(step.op), step.inputs, step.outputs)
}

/// The instruction of a view. If the layout of the operand is known, that of the result is computed now.
fn view(step: Step, metas: &Metas) -> Instr {
    match known_view(&step, metas) {
        Some((from, to)) => instr(Kind::View(Box::new(View { op: step.op, from, to })), step.inputs, step.outputs),
        None => one(step),
    }
}

fn known_view(step: &Step, metas: &Metas) -> Option<(Layout, Arc<Layout>)> {
    /// Extent of an operand, in elements, up to which it pays to compute the layout of a view in advance.
    const MOST: usize = 1 << 16;
    let (Op::Eval { primitive, attrs, recorded, .. }, &[Arg::Slot(from)]) = (&step.op, &step.inputs[..]) else { return None };
    if !primitive.is_view {
        return None;
    }
    let (layout, dtype) = &metas[from];
    let end = layout.extent().filter(|(_, end)| *end <= MOST)?.1;
    let example = Array::empty(&[end], *dtype).with_layout(layout.clone());
    let out = evaluate(primitive, &[tape::Operand::from(&Variable::from(example.clone()))], attrs, *recorded, None).ok()?;
    let [out] = &out[..] else { return None };
    out.storage().is(example.storage()).then(|| (layout.clone(), Arc::new(out.layout().clone())))
}

pub(super) fn instr(kind: Kind, inputs: SmallVec<[Arg; 4]>, outputs: SmallVec<[Option<Slot>; 2]>) -> Instr {
    Instr { kind, inputs, outputs, last: SmallVec::new(), can_fail_later: false }
}

/// What is known about the values of a program.
struct Known<'a> {
    metas: &'a Metas,
    uses: &'a HashMap<Slot, usize>,
    /// Values that instructions make, and those among them that matrix products and convolutions make.
    fresh: &'a HashSet<Slot>,
    products: &'a HashSet<Slot>,
}

/// Adds the instruction of a group, or several when it is large.
fn group(mut points: Vec<Point>, mut folds: Vec<FoldStep>, known: &Known<'_>, out: &mut Vec<Instr>) {
    /// The most formulas of a group: registers are numbered in 16 bits.
    const MOST: usize = 8192;
    let Some(first) = points.first() else { return };
    let metas = known.metas;
    let (layout, dtype) = (&metas[first.output].0, first.dtype);
    let is_long = layout.size() * dtype.size() >= LONE_BYTES || first.reads_or_makes_truth(metas);
    // Behind a matrix product it can run as the epilogue, on rows.
    let is_behind = || first.inputs.iter().any(|a| a.slot().is_some_and(|s| known.products.contains(&s) && metas[s].0.shape() == layout.shape()));
    if points.len() == 1 && folds.is_empty() && is_long && first.step.is_some() && (first.reads_or_makes_truth(metas) || !is_behind()) {
        out.extend(points.pop().and_then(|p| p.step).map(|step| one(*step)));
        return;
    }
    let shape = Shape::from_slice(layout.shape());
    let mut rest = pairs::join(points, known.uses);
    while !rest.is_empty() {
        let tail = if rest.len() > MOST { rest.split_off(MOST) } else { Vec::new() };
        let (now, later): (Vec<FoldStep>, Vec<FoldStep>) =
            folds.into_iter().partition(|f| rest.iter().any(|p| Arg::Slot(p.output) == f.step.inputs[0]));
        out.push(Builder::new(&shape, known).instruction(&rest, &now, dtype));
        folds = later;
        rest = tail;
    }
}

/// Builds the instruction of a group.
struct Builder<'a> {
    shape: &'a [usize],
    metas: &'a Metas,
    uses: &'a HashMap<Slot, usize>,
    /// Values that instructions make: their buffers may be overwritten.
    fresh: &'a HashSet<Slot>,
    inputs: SmallVec<[Arg; 4]>,
    operands: SmallVec<[How; 8]>,
    reads: Vec<Read>,
    /// Places of values other than reads: registers count from 0, results from [`RESULTS`].
    places: HashMap<Slot, u16>,
    /// How often each value is still to be read within the group.
    left: HashMap<Slot, usize>,
    free: Vec<u16>,
    registers: u16,
    outputs: SmallVec<[Option<Slot>; 2]>,
    /// The bool results.
    truths: SmallVec<[Option<Slot>; 2]>,
    reuses: SmallVec<[(u16, u16); 2]>,
}

/// The number of the first result, until the number of registers is known.
const RESULTS: u16 = 1 << 14;
/// The number of the first register among a formula's operands, until the number of reads is known.
const WORK: u16 = 1 << 15;

/// An instruction on blocks, before registers and results have their final numbers.
struct Draft {
    what: DraftOf,
    to: u16,
}

/// An operand that nothing needs after the group.
struct Dying {
    operand: u16,
    /// The number under which formulas read it.
    read: u16,
    /// The last instruction that reads it.
    last: usize,
}

enum DraftOf {
    /// The formula of that number, and its operands.
    Point(usize, SmallVec<[u16; 4]>),
    /// Copies a block of that operand to a register.
    Gather(u16),
    /// Writes a register as bools.
    Truth(u16),
    /// Adds the block of a register or result to a sum.
    Fold(u16),
}

impl<'a> Builder<'a> {
    fn new(shape: &'a [usize], known: &Known<'a>) -> Self {
        Self {
            shape,
            metas: known.metas,
            uses: known.uses,
            fresh: known.fresh,
            inputs: SmallVec::new(),
            operands: SmallVec::new(),
            reads: Vec::new(),
            places: HashMap::new(),
            left: HashMap::new(),
            free: Vec::new(),
            registers: 0,
            outputs: SmallVec::new(),
            truths: SmallVec::new(),
            reuses: SmallVec::new(),
        }
    }

    fn instruction(mut self, points: &[Point], folds: &[FoldStep], dtype: DType) -> Instr {
        for inputs in points.iter().map(|p| &p.inputs).chain(folds.iter().map(|f| &f.step.inputs)) {
            inputs.iter().filter_map(|a| a.slot()).for_each(|s| *self.left.entry(s).or_default() += 1);
        }
        let inside = self.left.clone();
        let mut drafts = Vec::new();
        for (k, p) in points.iter().enumerate() {
            let from: SmallVec<[u16; 4]> = p.inputs.iter().map(|a| self.read(*a, p.formulas.takes_numbers, &mut drafts)).collect();
            // The result gets its register before operands release theirs, so it never overwrites its own operand.
            let here = inside.get(&p.output).copied().unwrap_or(0);
            let is_needed = self.uses.get(&p.output).copied().unwrap_or(0) > here;
            let is_truth = self.metas[p.output].1 == DType::Bool;
            let to = if is_needed && !is_truth {
                self.outputs.push(Some(p.output));
                RESULTS + u16::try_from(self.outputs.len() - 1).unwrap_or(0)
            } else {
                self.register()
            };
            self.places.insert(p.output, to);
            for s in p.inputs.iter().filter_map(|a| a.slot()) {
                self.release(s);
            }
            drafts.push(Draft { what: DraftOf::Point(k, from), to });
            if is_needed && is_truth {
                self.truths.push(Some(p.output));
                drafts.push(Draft { what: DraftOf::Truth(to), to: u16::try_from(self.truths.len() - 1).unwrap_or(0) });
                if here == 0 {
                    self.free.push(to);
                }
            }
            for (at, _) in folds.iter().enumerate().filter(|(_, f)| f.step.inputs[0] == Arg::Slot(p.output)) {
                drafts.push(Draft { what: DraftOf::Fold(to), to: u16::try_from(at).unwrap_or(0) });
                self.release(p.output);
            }
        }
        // When its sum overflows, a mean is computed again: no operand may be overwritten before.
        if folds.iter().all(|f| f.folding.mean.is_none()) {
            self.reuse(&inside, dtype, &mut drafts);
        }
        let reduction = |f: &FoldStep| if f.folding.mean.is_some() { "mean" } else { "sum" };
        let names = points.iter().flat_map(|p| std::iter::once(p.name).chain(p.and)).chain(folds.iter().map(reduction)).collect();
        let cost = points.iter().map(|p| p.formulas.cost).sum::<f64>();
        let (size, outputs, truths) = (size_of(self.shape), self.outputs.len(), self.truths.len());
        let row = folds.iter().find_map(|f| if let Folded::Rows(count) = f.folding.of { Some(count) } else { None });
        let body = match dtype {
            DType::F64 => Typed::F64(self.body(points, &drafts, row, 2.0 * cost)),
            _ => Typed::F32(self.body(points, &drafts, row, cost)),
        };
        let group = Group {
            body,
            shape: Shape::from_slice(self.shape),
            size,
            outputs,
            truths,
            folds: folds.iter().map(|f| f.folding.clone()).collect(),
            names,
        };
        self.outputs.extend(self.truths.into_iter().chain(folds.iter().map(|f| f.step.outputs[0])));
        instr(Kind::Group(group), self.inputs, self.outputs)
    }

    /// Finds for each result an operand that it can overwrite: nothing reads it after the group, nor in the group after the formula that
    /// writes the result. If that formula reads it, too, its block is copied to a spare register first; an operand whose last use is earlier
    /// is preferred.
    fn reuse(&mut self, inside: &HashMap<Slot, usize>, dtype: DType, drafts: &mut Vec<Draft>) {
        if size_of(self.shape) * dtype.size() < REUSED_BYTES {
            return;
        }
        let mut dying = self.dying(inside, drafts);
        let mut spare = None;
        let mut out = Vec::with_capacity(drafts.len());
        for (at, mut draft) in drafts.drain(..).enumerate() {
            let to = draft.to;
            if let DraftOf::Point(_, from) = &mut draft.what
                && to >= RESULTS
                && let Some(k) = dying.iter().position(|d| d.last < at).or_else(|| dying.iter().rposition(|d| d.last == at))
            {
                let Dying { operand, read, last } = dying.remove(k);
                self.reuses.push((operand, to - RESULTS));
                if last == at {
                    let spare = *spare.get_or_insert_with(|| {
                        self.registers += 1;
                        self.registers - 1
                    });
                    from.iter_mut().filter(|f| **f == read).for_each(|f| *f = WORK + spare);
                    out.push(Draft { what: DraftOf::Gather(operand), to: spare });
                }
            }
            out.push(draft);
        }
        *drafts = out;
    }

    /// The operands that nothing needs after the group, in order.
    fn dying(&self, inside: &HashMap<Slot, usize>, drafts: &[Draft]) -> Vec<Dying> {
        let mut last: HashMap<u16, usize> = HashMap::new();
        for (k, draft) in drafts.iter().enumerate() {
            if let DraftOf::Point(_, from) = &draft.what {
                last.extend(from.iter().map(|read| (*read, k)));
            }
        }
        let mut out = Vec::new();
        for (read, of) in (0..).zip(&self.reads) {
            let &Read::Flat(operand) = of else { continue };
            let Some(s) = self.inputs[usize::from(operand)].slot() else { continue };
            if self.fresh.contains(&s)
                && self.uses.get(&s) == inside.get(&s)
                && let Some(&last) = last.get(&read)
            {
                out.push(Dying { operand, read, last });
            }
        }
        out
    }

    fn register(&mut self) -> u16 {
        self.free.pop().unwrap_or_else(|| {
            self.registers += 1;
            self.registers - 1
        })
    }

    /// Counts one read of a value; the last one frees its register.
    fn release(&mut self, s: Slot) {
        let left = self.left.entry(s).or_insert(1);
        *left -= 1;
        if *left == 0
            && let Some(&place) = self.places.get(&s)
            && place < RESULTS
        {
            self.free.push(place);
        }
    }

    /// The number under which a formula reads an operand.
    fn read(&mut self, a: Arg, takes_numbers: bool, drafts: &mut Vec<Draft>) -> u16 {
        match a {
            Arg::Slot(s) => self.value(s, takes_numbers, drafts),
            Arg::Number(x) => self.known(Read::Number(Number::Literal(x), !takes_numbers)),
            Arg::None => 0,
        }
    }

    fn value(&mut self, s: Slot, takes_numbers: bool, drafts: &mut Vec<Draft>) -> u16 {
        if let Some(place) = self.places.get(&s) {
            return WORK + place;
        }
        let input = self.inputs.iter().position(|a| *a == Arg::Slot(s)).unwrap_or_else(|| {
            self.inputs.push(Arg::Slot(s));
            self.operands.push(how(&self.metas[s], self.shape));
            self.inputs.len() - 1
        });
        let i = u16::try_from(input).unwrap_or(0);
        match self.operands[input] {
            How::Flat => self.known(Read::Flat(i)),
            How::Number => self.known(Read::Number(Number::Of(i), !takes_numbers)),
            How::Strided | How::Truth => {
                let to = self.register();
                self.places.insert(s, to);
                drafts.push(Draft { what: DraftOf::Gather(i), to });
                WORK + to
            }
        }
    }

    fn known(&mut self, read: Read) -> u16 {
        let same = |r: &Read| match (r, &read) {
            // 0 and -0 differ.
            (Read::Number(Number::Literal(x), a), Read::Number(Number::Literal(y), b)) => a == b && x.is_same(*y),
            _ => *r == read,
        };
        let at = self.reads.iter().position(same).unwrap_or_else(|| {
            self.reads.push(read);
            self.reads.len() - 1
        });
        u16::try_from(at).unwrap_or(0)
    }

    fn body<T: Floating>(&self, points: &[Point], drafts: &[Draft], row: Option<usize>, cost: f64) -> Body<T> {
        let reads = u16::try_from(self.reads.len()).unwrap_or(0);
        let place = |to: u16| if to >= RESULTS { to - RESULTS + self.registers } else { to };
        let find = |from: u16| if from >= WORK { reads + place(from - WORK) } else { from };
        let code = |d: &Draft| {
            let what = match &d.what {
                DraftOf::Point(k, from) => {
                    let mut all = [0; 4];
                    all.iter_mut().zip(from).for_each(|(a, f)| *a = find(*f));
                    What::Formula { run: T::of(&points[*k].formulas), params: points[*k].params, from: all }
                }
                DraftOf::Gather(i) => What::Gather(*i),
                DraftOf::Truth(from) => What::Truth(*from),
                DraftOf::Fold(from) => What::Fold(place(*from)),
            };
            Code { what, to: place(d.to) }
        };
        let wide = self.reads.iter().filter(|r| matches!(r, Read::Flat(_) | Read::Number(_, true))).count();
        let live = usize::from(self.registers) + self.outputs.len() + wide;
        let block = (CACHE_BYTES / (live.max(1) * T::DTYPE.size())).clamp(STEP, MAX_BLOCK) / STEP * STEP;
        // When rows are added up, a block holds whole rows.
        let block = row.map_or(block, |count| (block / count).max(1) * count);
        Body {
            code: drafts.iter().map(code).collect(),
            operands: self.operands.clone(),
            reads: self.reads.clone(),
            reuses: self.reuses.clone(),
            registers: self.registers.into(),
            block,
            cost,
        }
    }
}

/// How results of `shape` read an operand of this layout and dtype.
fn how((layout, dtype): &(Layout, DType), shape: &[usize]) -> How {
    if *dtype == DType::Bool {
        How::Truth
    } else if layout.is_number() {
        How::Number
    } else if layout.size() == size_of(shape) && layout.is_contiguous() {
        How::Flat
    } else {
        How::Strided
    }
}
