//! Formulas that are run together, block by block.
//!
//! Formulas of one shape and dtype are one instruction: a block of every operand, small enough for all blocks at hand to stay in the
//! first-level cache, goes through all formulas before the next block does. What is between them lies in registers, blocks of scratch
//! memory that are used again when their values have been read for the last time. The loops are those of an eager call, so results have
//! the same bits. Operands in row-major order are read where they are, numbers as numbers; any other is gathered into a register, a
//! block at a time.
//!
//! A formula joins the last group of its shape that comes after all that it reads, and views move up behind what they are views of: so
//! a gradient rule meets the forward pass when nothing but their cotangent was between them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::lower::{Item, Metas, Point};
use super::{Instr, Kind, View, pairs};
use crate::array::{Array, Cursor, DType, Layout, Scalar, Shape, size_of};
use crate::error::{Error, Result};
use crate::kernel::map::{BlockLoop, Floating};
use crate::kernel::parallel;
use crate::tape::capture::{Arg, Op, Slot, Step};
use crate::tape::{self, Variable, evaluate};

/// Bytes that the blocks at hand of a group may take together.
const CACHE_BYTES: usize = 1 << 15;
/// Elements of a block at most, and of its steps.
const MAX_BLOCK: usize = 4096;
const STEP: usize = 256;
/// Elements between the registers: not a power of two from one to the next.
const GAP: usize = 16;
/// Bytes of a result from which a formula by itself is run by the step that it came from.
const LONE_BYTES: usize = 1 << 14;

/// An instruction on blocks.
struct Code<T: 'static> {
    what: What<T>,
    /// The register or result that it writes.
    to: u16,
}

enum What<T: 'static> {
    /// A formula of operands and registers.
    Formula { run: BlockLoop<T>, params: [f64; 2], from: [u16; 4] },
    /// A block of the operand of that number.
    Gather(u16),
}

/// How an operand lies in memory, as far as it is known.
#[derive(Clone, Copy, PartialEq)]
enum How {
    /// In row-major order.
    Flat,
    /// One number.
    Number,
    /// In any other way.
    Strided,
}

/// A number that formulas read.
#[derive(Clone, Copy, PartialEq)]
enum Number {
    Literal(Scalar),
    /// The element of an operand.
    Of(u16),
}

/// What formulas read besides registers.
#[derive(Clone, Copy, PartialEq)]
enum Read {
    /// A block of an operand in row-major order.
    Flat(u16),
    /// One number, and whether it is written out.
    Number(Number, bool),
}

struct Body<T: 'static> {
    code: Vec<Code<T>>,
    operands: SmallVec<[How; 8]>,
    reads: Vec<Read>,
    registers: usize,
    block: usize,
    cost: f64,
}

enum Typed {
    F32(Body<f32>),
    F64(Body<f64>),
}

/// Formulas that are run together.
pub(crate) struct Group {
    body: Typed,
    shape: Shape,
    size: usize,
    outputs: usize,
    names: Vec<&'static str>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group[{}]", self.names.join(", "))
    }
}

/// An operand of a group as its blocks read it.
enum Operand<'a, T> {
    Flat(&'a [T]),
    Number(T),
    Strided(&'a [T], Cursor),
}

impl<'a, T: Copy + Default> Operand<'a, T> {
    fn flat(&self) -> Option<&'a [T]> {
        if let Self::Flat(data) = self { Some(data) } else { None }
    }

    fn number(&self) -> T {
        if let Self::Number(x) = self { *x } else { T::default() }
    }
}

/// What a formula reads, while it runs.
enum Source<'a, T> {
    /// Another block each time.
    Moving(&'a [T]),
    Fixed(&'a [T]),
}

impl Group {
    /// Runs the formulas over the table of a program.
    pub(super) fn run(&self, instr: &Instr, table: &mut [Option<Variable>]) -> Result<()> {
        let mut given: SmallVec<[&Array; 8]> = SmallVec::new();
        for a in &instr.inputs {
            let Some(v) = a.slot().and_then(|s| table[s].as_ref()) else { return Err(Error::Value("program: a group lacks an operand".to_owned())) };
            given.push(v.array());
        }
        let results = match &self.body {
            Typed::F32(body) => body.run(self, &given)?,
            Typed::F64(body) => body.run(self, &given)?,
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

impl<T: Floating> Body<T> {
    fn run(&self, group: &Group, given: &[&Array]) -> Result<SmallVec<[Array; 4]>> {
        let n = group.size;
        let mut copies: Vec<(usize, Array)> = Vec::new();
        for (i, (a, how)) in given.iter().zip(&self.operands).enumerate() {
            // A value may lie in another way than when it was recorded.
            let fits = match how {
                How::Flat => a.slice_of::<T>(n).is_some(),
                How::Number => a.layout().is_number(),
                How::Strided => true,
            };
            if !fits {
                copies.push((i, a.broadcast_to("program", &group.shape)?.copy()));
            }
        }
        let mut operands: SmallVec<[Operand<'_, T>; 8]> = SmallVec::new();
        for (i, (a, how)) in given.iter().zip(&self.operands).enumerate() {
            let a = if copies.is_empty() { a } else { copies.iter().find(|c| c.0 == i).map_or(*a, |c| &c.1) };
            operands.push(match (how, a.slice_of::<T>(n)) {
                (How::Number, _) if a.layout().is_number() => Operand::Number(a.raw::<T>()[a.layout().offset()]),
                (_, Some(data)) => Operand::Flat(data),
                (_, None) => Operand::Strided(a.raw(), Cursor::new(&a.layout().broadcast_to("program", &group.shape)?)),
            });
        }
        let mut results: SmallVec<[Array; 4]> = (0..group.outputs).map(|_| Array::empty(&group.shape, T::DTYPE)).collect();
        let outs: SmallVec<[&mut [T]; 4]> = results.iter_mut().map(Array::data_mut).collect();
        let grain = parallel::grain(n, self.cost);
        if grain >= n || parallel::num_threads() == 1 {
            self.range(&operands, 0, n, outs);
        } else {
            self.shared_out(&operands, n, grain.next_multiple_of(self.block), outs);
        }
        Ok(results)
    }

    /// All blocks, by several threads.
    fn shared_out(&self, operands: &[Operand<'_, T>], n: usize, grain: usize, outs: SmallVec<[&mut [T]; 4]>) {
        let mut tasks: Vec<(usize, SmallVec<[&mut [T]; 4]>)> = (0..n).step_by(grain).map(|at| (at, SmallVec::new())).collect();
        for out in outs {
            for (task, chunk) in tasks.iter_mut().zip(out.chunks_mut(grain)) {
                task.1.push(chunk);
            }
        }
        parallel::for_each_chunk_mut(&mut tasks, 1, |_, tasks| {
            for (at, outs) in tasks {
                self.range(operands, *at, grain.min(n - *at), std::mem::take(outs));
            }
        });
    }

    /// The elements from `start` on, `len` of them.
    fn range(&self, operands: &[Operand<'_, T>], start: usize, len: usize, mut rest: SmallVec<[&mut [T]; 4]>) {
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
                Read::Flat(_) => Source::Fixed(&[]),
            });
        }
        let mut work: SmallVec<[&mut [T]; 24]> = registers.chunks_mut(pitch.max(1)).collect();
        let count = work.len();
        work.extend(rest.iter_mut().map(|_| &mut [][..]));
        let mut done = 0;
        while done < len {
            let n = block.min(len - done);
            for (k, out) in rest.iter_mut().enumerate() {
                let (head, tail) = std::mem::take(out).split_at_mut(n);
                work[count + k] = head;
                *out = tail;
            }
            self.block(operands, &sources, start + done, n, &mut work);
            done += n;
        }
    }

    /// One block.
    #[inline]
    fn block(&self, operands: &[Operand<'_, T>], sources: &[Source<'_, T>], at: usize, n: usize, work: &mut [&mut [T]]) {
        for code in &self.code {
            let to = usize::from(code.to);
            let whole = std::mem::take(&mut work[to]);
            let out = &mut whole[..n];
            match &code.what {
                What::Formula { run, params, from } => {
                    let find = |i: usize| {
                        let i = usize::from(from[i]);
                        match sources.get(i) {
                            Some(Source::Moving(data)) => &data[at..at + n],
                            Some(Source::Fixed(data)) if data.len() > n => &data[..n],
                            Some(Source::Fixed(data)) => data,
                            None => &work[i - sources.len()][..n],
                        }
                    };
                    run.run(find, out, *params);
                }
                What::Gather(i) => match &operands[usize::from(*i)] {
                    Operand::Flat(data) => out.copy_from_slice(&data[at..at + n]),
                    Operand::Number(x) => out.fill(*x),
                    Operand::Strided(data, cursor) => cursor.read(data, at, out),
                },
            }
            work[to] = whole;
        }
    }
}

/// Instructions in the making: steps and groups in order, and views behind what they are views of.
#[derive(Default)]
struct Schedule {
    main: Vec<Main>,
    /// Views that follow the instruction before; the first ones come before all.
    views: Vec<Vec<Step>>,
    /// When each value is there: odd for an instruction, even for views.
    times: HashMap<Slot, usize>,
    /// The last group of each shape and dtype.
    groups: HashMap<(Shape, DType), usize>,
}

enum Main {
    Step(Box<Step>),
    Group(Vec<Point>),
}

impl Schedule {
    /// When all operands are there.
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
                let outputs = step.outputs.clone();
                let at = self.push(Main::Step(Box::new(step)));
                self.define(&outputs, 2 * at + 1);
            }
            Item::Point(point) => {
                let (layout, dtype) = &metas[point.output];
                let key = (Shape::from_slice(layout.shape()), *dtype);
                let after = self.after(&point.inputs);
                let at = match self.groups.get(&key) {
                    Some(&at) if 2 * at + 1 >= after => at,
                    _ => self.push(Main::Group(Vec::new())),
                };
                self.groups.insert(key, at);
                self.times.insert(point.output, 2 * at + 1);
                if let Main::Group(points) = &mut self.main[at] {
                    points.push(point);
                }
            }
        }
    }

    fn define(&mut self, outputs: &[Option<Slot>], time: usize) {
        for s in outputs.iter().flatten() {
            self.times.insert(*s, time);
        }
    }
}

/// Whether a step does little but follow its operand: another layout, or a copy.
fn is_view(op: &Op) -> bool {
    match op {
        Op::View(..) | Op::Copy => true,
        // A sum over broadcast axes follows what it sums as well.
        Op::Eval { primitive, update, .. } => (primitive.is_view || primitive.name == "sum_to") && !update,
        _ => false,
    }
}

/// Instructions of these items, formulas in groups. `kept` are values that are needed after all of them.
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
            Main::Group(points) => points.iter().for_each(|p| count(&p.inputs)),
        }
    }
    schedule.views.iter().flatten().for_each(|step| count(&step.inputs));
    for s in kept {
        *uses.entry(*s).or_default() += 1;
    }
    let mut out = Vec::new();
    let mut views = schedule.views.into_iter();
    out.extend(views.next().into_iter().flatten().map(|step| view(step, metas)));
    for (main, views) in schedule.main.into_iter().zip(views) {
        match main {
            Main::Step(step) => out.push(one(*step)),
            Main::Group(points) => group(points, metas, &uses, &mut out),
        }
        out.extend(views.into_iter().map(|step| view(step, metas)));
    }
    out
}

fn one(step: Step) -> Instr {
    instr(Kind::One(step.op), step.inputs, step.outputs)
}

/// The instruction of a view: one of a known layout when it shares the memory of an operand that lies as it was recorded.
fn view(step: Step, metas: &Metas) -> Instr {
    match known_view(&step, metas) {
        Some((from, to)) => instr(Kind::View(Box::new(View { op: step.op, from, to })), step.inputs, step.outputs),
        None => one(step),
    }
}

fn known_view(step: &Step, metas: &Metas) -> Option<(Layout, Arc<Layout>)> {
    /// Elements of an operand beyond which the time of making a view does not count.
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

/// The instruction of a group; several when registers cannot be numbered.
fn group(mut points: Vec<Point>, metas: &Metas, uses: &HashMap<Slot, usize>, out: &mut Vec<Instr>) {
    /// Formulas of a group at most.
    const MOST: usize = 8192;
    let Some(first) = points.first() else { return };
    let (layout, dtype) = &metas[first.output];
    if points.len() == 1 && layout.size() * dtype.size() >= LONE_BYTES && first.step.is_some() {
        out.extend(points.pop().and_then(|p| p.step).map(|step| one(*step)));
        return;
    }
    let shape = Shape::from_slice(layout.shape());
    let mut rest = pairs::join(points, uses);
    while !rest.is_empty() {
        let tail = if rest.len() > MOST { rest.split_off(MOST) } else { Vec::new() };
        out.push(Builder::new(&shape, metas, uses).instruction(&rest, *dtype));
        rest = tail;
    }
}

/// A group in the making.
struct Builder<'a> {
    shape: &'a [usize],
    metas: &'a Metas,
    uses: &'a HashMap<Slot, usize>,
    inputs: SmallVec<[Arg; 4]>,
    operands: SmallVec<[How; 8]>,
    reads: Vec<Read>,
    /// Where values are that are no reads: registers count from 0, results from [`RESULTS`].
    places: HashMap<Slot, u16>,
    /// How often each value of the group is still to be read in it.
    left: HashMap<Slot, usize>,
    free: Vec<u16>,
    registers: u16,
    outputs: SmallVec<[Option<Slot>; 2]>,
}

/// The place of the first result, until the number of registers is known.
const RESULTS: u16 = 1 << 14;
/// The number of the first register or result among what formulas read, until that of other reads is known.
const WORK: u16 = 1 << 15;

/// A formula of a group in the making.
struct Draft {
    what: std::result::Result<(usize, SmallVec<[u16; 4]>), u16>,
    to: u16,
}

impl<'a> Builder<'a> {
    fn new(shape: &'a [usize], metas: &'a Metas, uses: &'a HashMap<Slot, usize>) -> Self {
        Self {
            shape,
            metas,
            uses,
            inputs: SmallVec::new(),
            operands: SmallVec::new(),
            reads: Vec::new(),
            places: HashMap::new(),
            left: HashMap::new(),
            free: Vec::new(),
            registers: 0,
            outputs: SmallVec::new(),
        }
    }

    fn instruction(mut self, points: &[Point], dtype: DType) -> Instr {
        for p in points {
            p.inputs.iter().filter_map(|a| a.slot()).for_each(|s| *self.left.entry(s).or_default() += 1);
        }
        let inside = self.left.clone();
        let mut drafts = Vec::new();
        for (k, p) in points.iter().enumerate() {
            let from: SmallVec<[u16; 4]> = p.inputs.iter().map(|a| self.read(*a, p.formulas.takes_numbers, &mut drafts)).collect();
            // Operands that are read for the last time give their registers away after the result has its own.
            let to = if self.uses.get(&p.output).copied().unwrap_or(0) > inside.get(&p.output).copied().unwrap_or(0) {
                self.outputs.push(Some(p.output));
                RESULTS + u16::try_from(self.outputs.len() - 1).unwrap_or(0)
            } else {
                self.register()
            };
            self.places.insert(p.output, to);
            for s in p.inputs.iter().filter_map(|a| a.slot()) {
                self.release(s);
            }
            drafts.push(Draft { what: Ok((k, from)), to });
        }
        let names = points.iter().flat_map(|p| std::iter::once(p.name).chain(p.and)).collect();
        let cost = points.iter().map(|p| p.formulas.cost).sum::<f64>();
        let (size, outputs) = (size_of(self.shape), self.outputs.len());
        let body = match dtype {
            DType::F64 => Typed::F64(self.body(points, &drafts, 2.0 * cost)),
            _ => Typed::F32(self.body(points, &drafts, cost)),
        };
        let group = Group { body, shape: Shape::from_slice(self.shape), size, outputs, names };
        instr(Kind::Group(group), self.inputs, self.outputs)
    }

    fn register(&mut self) -> u16 {
        self.free.pop().unwrap_or_else(|| {
            self.registers += 1;
            self.registers - 1
        })
    }

    /// A value has been read once more.
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

    /// Where a formula finds an operand.
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
            self.operands.push(how(&self.metas[s].0, self.shape));
            self.inputs.len() - 1
        });
        let i = u16::try_from(input).unwrap_or(0);
        match self.operands[input] {
            How::Flat => self.known(Read::Flat(i)),
            How::Number => self.known(Read::Number(Number::Of(i), !takes_numbers)),
            How::Strided => {
                let to = self.register();
                self.places.insert(s, to);
                drafts.push(Draft { what: Err(i), to });
                WORK + to
            }
        }
    }

    fn known(&mut self, read: Read) -> u16 {
        let same = |r: &Read| match (r, &read) {
            // By its bits: 0 is no -0.
            (Read::Number(Number::Literal(x), a), Read::Number(Number::Literal(y), b)) => a == b && format!("{x:?}") == format!("{y:?}"),
            _ => *r == read,
        };
        let at = self.reads.iter().position(same).unwrap_or_else(|| {
            self.reads.push(read);
            self.reads.len() - 1
        });
        u16::try_from(at).unwrap_or(0)
    }

    fn body<T: Floating>(&self, points: &[Point], drafts: &[Draft], cost: f64) -> Body<T> {
        let reads = u16::try_from(self.reads.len()).unwrap_or(0);
        let place = |to: u16| if to >= RESULTS { to - RESULTS + self.registers } else { to };
        let find = |from: u16| if from >= WORK { reads + place(from - WORK) } else { from };
        let code = |d: &Draft| {
            let what = match &d.what {
                Ok((k, from)) => {
                    let mut all = [0; 4];
                    all.iter_mut().zip(from).for_each(|(a, f)| *a = find(*f));
                    What::Formula { run: T::of(&points[*k].formulas), params: points[*k].params, from: all }
                }
                Err(i) => What::Gather(*i),
            };
            Code { what, to: place(d.to) }
        };
        let wide = self.reads.iter().filter(|r| matches!(r, Read::Flat(_) | Read::Number(_, true))).count();
        let live = usize::from(self.registers) + self.outputs.len() + wide;
        let block = (CACHE_BYTES / (live.max(1) * T::DTYPE.size())).clamp(STEP, MAX_BLOCK) / STEP * STEP;
        Body {
            code: drafts.iter().map(code).collect(),
            operands: self.operands.clone(),
            reads: self.reads.clone(),
            registers: self.registers.into(),
            block,
            cost,
        }
    }
}

/// How an operand of this layout is read for results of `shape`.
fn how(layout: &Layout, shape: &[usize]) -> How {
    if layout.is_number() {
        How::Number
    } else if layout.size() == size_of(shape) && layout.is_contiguous() {
        How::Flat
    } else {
        How::Strided
    }
}
