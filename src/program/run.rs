//! Runs programs: instruction after instruction over a table of values.

use smallvec::SmallVec;

use super::{Given, Instr, Kind, Program};
use crate::array::{Array, Layout};
use crate::error::{Error, Result};
use crate::kernel::slice_write;
use crate::tape::capture::{Arg, Op, Slot};
use crate::tape::{self, Operand, Variable, evaluate};

/// Called between instructions until the first place has changed. An error ends the call, and nothing has changed.
pub type Tick<'a> = Option<&'a (dyn Fn() -> Result<()> + 'a)>;

/// Instructions between two ticks.
pub(super) const TICKS: usize = 64;

/// A program keeps at most so many tables for later calls: calls of several threads, and nested ones, need more than one.
const KEPT_TABLES: usize = 8;

pub(super) type Table = Vec<Option<Variable>>;

/// The values that the function of a program keeps for its pullback.
pub struct Rest {
    table: Table,
}

/// The changes of a call that is not finished. They are undone if it fails.
#[derive(Default)]
struct Undo {
    places: Vec<(usize, Option<Array>)>,
    others: Vec<Box<dyn FnOnce() + Send>>,
    changed: bool,
}

impl Undo {
    fn put_back(self, p: &Program) {
        for back in self.others {
            back();
        }
        for (at, old) in self.places.into_iter().rev() {
            // A place accepts a value that it has held before.
            let _ = p.places[at].store(old);
        }
    }
}

impl Program {
    /// Runs the program on `inputs`, which have the shapes and dtypes of the recording.
    ///
    /// # Errors
    /// `Shape` or `DType` when an input differs from the recording, and those of the instructions; then nothing has changed.
    pub fn run(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let (out, rest) = self.run_first(inputs, None)?;
        self.recycle(rest.table);
        Ok(out)
    }

    /// [`Program::run`] with a tick; also returns the values that the pullback needs.
    ///
    /// # Errors
    /// As [`Program::run`], and those of the tick.
    pub fn run_first(&self, inputs: &[Array], tick: Tick<'_>) -> Result<(Vec<Array>, Rest)> {
        let mut table = self.table();
        let done = if self.loaded {
            super::file::guarded("program", || self.run_part(&mut table, inputs, tick))
        } else {
            self.run_part(&mut table, inputs, tick)
        };
        match done {
            Ok(out) => Ok((out, Rest { table })),
            Err(e) => {
                self.recycle(table);
                Err(e)
            }
        }
    }

    fn run_part(&self, table: &mut Table, inputs: &[Array], tick: Tick<'_>) -> Result<Vec<Array>> {
        self.fill(table, inputs)?;
        let end = self.split.as_ref().map_or(self.instrs.len(), |(at, _)| *at);
        self.execute(&self.instrs[..end], table, tick)?;
        Ok(self.outputs.iter().map(|s| result(table, *s)).collect())
    }

    /// Runs the pullback: returns the gradients for the cotangents of the results.
    ///
    /// # Errors
    /// `Value` for another number of cotangents than recorded, `Shape` or `DType` when one differs from the recording, and those of the
    /// instructions.
    pub fn pull(&self, rest: &Rest, cotangents: &[Array]) -> Result<Vec<Array>> {
        let Some((at, gradients)) = &self.split else { return Ok(Vec::new()) };
        let first = self.own_inputs();
        if cotangents.len() != self.input_count - first {
            return Err(Error::Value(format!("program: got {} cotangents, expected {}", cotangents.len(), self.input_count - first)));
        }
        let mut table = rest.table.clone();
        for given in self.inputs.iter().filter(|g| g.from >= first) {
            if let Some(g) = cotangents.get(given.from - first) {
                table[given.slot] = Some(fitted(given, g.clone())?.into());
            }
        }
        self.execute(&self.instrs[*at..], &mut table, None)?;
        let out = gradients.iter().map(|s| result(&table, *s)).collect();
        self.recycle(table);
        Ok(out)
    }

    /// Ends a call whose pullback is not needed any more.
    pub fn finish(&self, rest: Rest) {
        self.recycle(rest.table);
    }

    pub(super) fn table(&self) -> Table {
        let used = self.tables.try_lock().and_then(|mut tables| tables.pop());
        used.unwrap_or_else(|| vec![None; self.slots])
    }

    pub(super) fn recycle(&self, mut table: Table) {
        clear(&mut table);
        if let Some(mut tables) = self.tables.try_lock()
            && tables.len() < KEPT_TABLES
        {
            tables.push(table);
        }
    }

    /// Number of inputs other than cotangents, which are given later, to the pullback.
    fn own_inputs(&self) -> usize {
        self.input_count - self.pullback.map_or(0, |p| p.cotangents)
    }

    /// Puts inputs, constants and the values of places into the table.
    fn fill(&self, table: &mut Table, inputs: &[Array]) -> Result<()> {
        let expected = self.own_inputs();
        let lacks = self.inputs.iter().any(|given| (inputs.len()..expected).contains(&given.from));
        if lacks || inputs.len() > expected {
            return Err(Error::Value(format!("program: got {} inputs, expected {expected}", inputs.len())));
        }
        self.enter(table, |i| inputs.get(i).cloned())?;
        for given in &self.loads {
            match self.places[given.from].load() {
                Some(a) => table[given.slot] = Some(fitted(given, a)?.into()),
                None => return Err(Error::Value("program: it reads the gradient of a parameter, which is None now; run backward first".to_owned())),
            }
        }
        Ok(())
    }

    /// Puts constants, and the inputs that are given, into a table.
    pub(super) fn enter(&self, table: &mut Table, mut input: impl FnMut(usize) -> Option<Array>) -> Result<()> {
        for (slot, a) in &self.constants {
            table[*slot] = Some(a.clone().into());
        }
        for given in &self.inputs {
            if let Some(a) = input(given.from) {
                table[given.slot] = Some(fitted(given, a)?.into());
            }
        }
        Ok(())
    }

    /// Runs the function, or its pullback, on a table.
    pub(super) fn execute_part(&self, second: bool, table: &mut Table) -> Result<()> {
        let at = self.split.as_ref().map_or(self.instrs.len(), |(at, _)| *at);
        let (function, pullback) = self.instrs.split_at(at);
        self.execute(if second { pullback } else { function }, table, None)
    }

    fn execute(&self, instrs: &[Instr], table: &mut Table, tick: Tick<'_>) -> Result<()> {
        let _off = tape::recording(false);
        let mut undo = Undo::default();
        for (k, instr) in instrs.iter().enumerate() {
            if k % TICKS == TICKS - 1
                && !undo.changed
                && let Some(tick) = tick
            {
                tick()?;
            }
            if let Err(e) = self.step(instr, table, &mut undo) {
                undo.put_back(self);
                return Err(e);
            }
        }
        Ok(())
    }

    #[inline]
    fn step(&self, instr: &Instr, table: &mut Table, undo: &mut Undo) -> Result<()> {
        match &instr.kind {
            Kind::One(op @ Op::Eval { .. }) => evaluated(op, instr, table)?,
            Kind::View(view) => match &table[instr.inputs[0].slot().unwrap_or(0)] {
                Some(v) if *v.array().layout() == view.from => {
                    let out = v.array().with_shared_layout(&view.to);
                    put(instr, table, std::iter::once(Some(out)));
                }
                _ => evaluated(&view.op, instr, table)?,
            },
            Kind::One(Op::Rule(call)) => {
                let (saved, gs) = (call.saved_count(), call.cotangent_count());
                let mut all: SmallVec<[Option<Array>; 8]> = (0..instr.inputs.len()).map(|i| take(instr, i, table)).collect();
                let sums = all.drain(saved + gs..).collect::<SmallVec<[_; 4]>>();
                let gs = all.drain(saved..).collect::<SmallVec<[_; 4]>>();
                let outs = call.run(all.into_iter().flatten(), gs.into_iter(), sums.into_iter())?;
                put(instr, table, outs.into_iter());
            }
            Kind::One(Op::View(layout, delta)) => {
                let Some(a) = take(instr, 0, table) else { return Err(missing()) };
                let offset = a.layout().offset().cast_signed() + delta;
                let at = layout.shifted_back(layout.offset()).shifted(usize::try_from(offset).unwrap_or(0));
                put(instr, table, std::iter::once(Some(a.with_layout(at))));
            }
            Kind::One(Op::Copy) => {
                let Some(a) = take(instr, 0, table) else { return Err(missing()) };
                put(instr, table, std::iter::once(Some(a.copy())));
            }
            Kind::One(op) => self.change(op, instr, table, undo)?,
            Kind::Group(group) => group.run(instr, table)?,
            Kind::Drop(at) => {
                undo.changed = true;
                self.places[*at].store(None)?;
            }
            Kind::Product(product) => product.run(instr, table)?,
        }
        drop_last(instr, table);
        Ok(())
    }

    /// Runs a step that changes places or draws random numbers.
    fn change(&self, op: &Op, instr: &Instr, table: &mut Table, undo: &mut Undo) -> Result<()> {
        undo.changed |= !matches!(op, Op::Effect(e) if !e.is_state());
        let mut remember = |at: usize| {
            if instr.can_fail_later {
                undo.places.push((at, self.places[at].load()));
            }
        };
        match op {
            Op::Store(at) => {
                remember(*at);
                let value = take(instr, 0, table);
                self.places[*at].store(value)
            }
            Op::Clear(at) => {
                remember(*at);
                self.places[*at].store(None)
            }
            Op::Effect(effect) => {
                let is_asked = instr.can_fail_later || instr.outputs.iter().any(Option::is_some);
                let touched = if is_asked { effect.touches() } else { Vec::new() };
                if instr.can_fail_later {
                    for place in &touched {
                        if let Some(at) = self.places.iter().position(|p| p.id() == place.id()) {
                            remember(at);
                        }
                    }
                    undo.others.extend(effect.backup());
                }
                let inputs: SmallVec<[Array; 2]> = (0..instr.inputs.len()).filter_map(|i| take(instr, i, table)).collect();
                let outs = effect.run(&inputs)?;
                let count = outs.len();
                put(instr, table, outs.into_iter().map(Some));
                for (slot, place) in instr.outputs[count..].iter().zip(&touched) {
                    if let Some(slot) = slot {
                        table[*slot] = place.load().map(|a| a.contiguous().into());
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Evaluates a primitive.
#[inline]
fn evaluated(op: &Op, instr: &Instr, table: &mut Table) -> Result<()> {
    let Op::Eval { primitive, attrs, recorded, update } = op else { return Ok(()) };
    let owned = if *update { take_if_last(instr, 0, table) } else { None };
    let outs = {
        let table: &Table = table;
        let operands: SmallVec<[Operand<'_>; 4]> = instr.inputs.iter().map(|a| operand(*a, table)).collect();
        evaluate(primitive, &operands, attrs, *recorded, owned)?
    };
    put(instr, table, outs.into_iter().map(Some));
    Ok(())
}

#[cold]
fn missing() -> Error {
    Error::Value("program: an instruction reads a value that no instruction has computed".to_owned())
}

pub(super) fn result(table: &Table, slot: Slot) -> Array {
    match &table[slot] {
        Some(v) => v.array().clone(),
        None => unreachable!("a program makes its results"),
    }
}

/// Empties a table.
pub(super) fn clear(table: &mut Table) {
    for v in table {
        if v.is_some() {
            *v = None;
        }
    }
}

/// Brings a value into the layout of the recording.
fn fitted(given: &Given, a: Array) -> Result<Array> {
    if a.dtype() != given.dtype && a.shape() == given.layout.shape() {
        return Err(Error::DType(format!("program: a value has dtype {}, it was recorded with {}", a.dtype(), given.dtype)));
    }
    ordered(a, &given.layout)?.or_else(|a| rearranged(&a, &given.layout))
}

/// The elements of `a` in memory with the given layout.
pub(super) fn laid_out(a: &Array, layout: &Layout) -> Result<Array> {
    ordered(a.clone(), layout)?.or_else(|a| rearranged(&a, layout))
}

/// A copy of `a` with the given layout.
#[cold]
fn rearranged(a: &Array, layout: &Layout) -> Result<Array> {
    let Some((low, high)) = layout.extent() else { return Ok(a.contiguous()) };
    if layout.strides().iter().zip(layout.shape()).any(|(&s, &n)| s == 0 && n > 1) {
        return Err(Error::Shape(format!(
            "program: a value has strides {:?}, it was recorded with {:?}, which show elements several times; record with a clone() of it",
            a.layout().strides(),
            layout.strides()
        )));
    }
    let mut whole = Array::empty(&[high - low], a.dtype());
    let part = layout.shifted_back(low);
    slice_write::write(&mut whole, |_| part.clone(), a);
    Ok(whole.with_layout(part))
}

/// `a` itself if its layout is the given one, a row-major copy if that is row-major, else `Err(a)`.
fn ordered(a: Array, layout: &Layout) -> Result<std::result::Result<Array, Array>> {
    if a.shape() != layout.shape() {
        return Err(Error::Shape(format!("program: a value has shape {:?}, it was recorded with {:?}", a.shape(), layout.shape())));
    }
    Ok(if a.layout().strides() == layout.strides() {
        Ok(a)
    } else if layout.is_contiguous() {
        Ok(a.contiguous())
    } else {
        Err(a)
    })
}

#[inline]
fn operand(a: Arg, table: &Table) -> Operand<'_> {
    match a {
        Arg::Slot(s) => match &table[s] {
            Some(v) => Operand::Variable(v),
            // The value was moved out, to be updated in place.
            None => Operand::Scalar(crate::array::Scalar::Int(0)),
        },
        Arg::Number(x) => Operand::Scalar(x),
        Arg::None => Operand::Scalar(crate::array::Scalar::Int(0)),
    }
}

/// Operand `i`: moved out at its last use, shared before.
#[inline]
fn take(instr: &Instr, i: usize, table: &mut Table) -> Option<Array> {
    let slot = instr.inputs[i].slot()?;
    if instr.last[i] { table[slot].take().map(Variable::into_array) } else { table[slot].as_ref().map(|v| v.array().clone()) }
}

/// Operand `i`, moved out, if this is its last use.
fn take_if_last(instr: &Instr, i: usize, table: &mut Table) -> Option<Array> {
    if instr.last[i] { take(instr, i, table) } else { None }
}

#[inline]
pub(super) fn put(instr: &Instr, table: &mut Table, outs: impl Iterator<Item = Option<Array>>) {
    for (slot, a) in instr.outputs.iter().zip(outs) {
        if let Some(slot) = slot {
            table[*slot] = a.map(Variable::from);
        }
    }
}

/// Drops the operands whose last use this was.
#[inline]
fn drop_last(instr: &Instr, table: &mut Table) {
    for (a, last) in instr.inputs.iter().zip(&instr.last) {
        if let (true, Arg::Slot(s)) = (*last, a) {
            table[*s] = None;
        }
    }
}
