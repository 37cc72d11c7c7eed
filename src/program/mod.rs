//! Replay: a recorded call becomes a flat program that runs without Python and without a tape.
//!
//! A [`Program`] is made from a [`Trace`] (see [`tape::capture`](crate::tape::capture)): instructions over numbered values, each assigned
//! once. Making a program removes dead instructions, merges instructions that compute the same, evaluates constant ones, and finds the last
//! use of each value. The last instruction that uses a value owns it: it may overwrite the buffer, or the buffer returns to the pool at
//! once.
//!
//! Elementwise instructions and their gradient rules are lowered to formulas (`lower`). Formulas run together as groups (`group`), block by
//! block, so that intermediate values stay in the first-level cache. A group that follows a matrix product or a convolution (`product`) runs
//! as its epilogue, on rows or images as soon as they are complete.

mod choices;
mod compare;
mod file;
mod folds;
mod freeze;
mod group;
mod looped;
mod lower;
mod pairs;
mod plan;
mod product;
mod run;

use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use smallvec::SmallVec;

pub use compare::{difference, digest, digest_of, is_same_array};
pub use looped::{Again, Body, Gradients, Loop, SCAN, set_tick};
pub use run::{Rest, Tick};

use crate::array::{Array, DType, Layout};
use crate::error::show_shape;
use crate::lock::Mutex;
use crate::tape::Variable;
use crate::tape::capture::{Arg, Op, Place, Slot, Trace};

/// An instruction: a step, and which of its operands are used for the last time.
pub(crate) struct Instr {
    kind: Kind,
    inputs: SmallVec<[Arg; 4]>,
    outputs: SmallVec<[Option<Slot>; 2]>,
    /// For each operand, whether this is the last use of the value.
    last: SmallVec<[bool; 4]>,
    /// Whether an instruction that can fail comes after it.
    can_fail_later: bool,
}

/// What an instruction does.
pub(crate) enum Kind {
    /// A step by itself.
    One(Op),
    /// Formulas, block by block.
    Group(group::Group),
    /// A view whose layout is known.
    View(Box<View>),
    /// Drops the value of a place, which the call replaces.
    Drop(usize),
    /// A matrix product or a convolution, perhaps with a group behind it.
    Product(Box<product::Product>),
}

/// A step that makes a view: of an operand with layout `from` it is the one with layout `to`.
pub(crate) struct View {
    op: Op,
    from: Layout,
    to: Arc<Layout>,
}

/// A value that no instruction makes: its number, and how it lay in memory when it was recorded.
struct Given {
    slot: Slot,
    from: usize,
    layout: Layout,
    dtype: DType,
}

/// A recorded call that can be run again.
///
/// ```
/// use tapegrad::{array::Array, ops, program::Program, tape::{Variable, capture}};
/// let x = Array::from_slice(&[1.0, 2.0], &[2]);
/// let on = capture::begin(&[x.clone()], vec![]).unwrap();
/// let y = ops::multiply(&Variable::from(x), 3.0)?;
/// let program = Program::new(on.finish(&[y.into_array()]).unwrap())?;
/// let out = program.run(&[Array::from_slice(&[5.0, 7.0], &[2])])?;
/// assert_eq!(out[0].to_vec::<f64>(), [15.0, 21.0]);
/// # Ok::<(), tapegrad::Error>(())
/// ```
pub struct Program {
    instrs: Vec<Instr>,
    slots: usize,
    inputs: Vec<Given>,
    input_count: usize,
    loads: Vec<Given>,
    constants: Vec<(Slot, Array)>,
    places: Vec<Arc<dyn Place>>,
    /// What the places that it uses were like when it was recorded.
    states: Vec<(usize, u64)>,
    /// The places that it changes.
    changed: HashSet<(u8, u64)>,
    /// Places whose state the function asked for, and what it was.
    asked: Vec<(Arc<dyn Place>, u64)>,
    /// Elements that all instructions make.
    work: usize,
    outputs: Vec<Slot>,
    /// Results that belong to the second part, which follows instruction `split`: the gradients.
    split: Option<(usize, Vec<Slot>)>,
    /// What the second part reads of the first and of the inputs.
    shared: Vec<(Slot, Layout, DType)>,
    /// Tables of values of calls that have ended.
    tables: Mutex<Vec<Vec<Option<Variable>>>>,
    /// The recording.
    trace: Arc<Trace>,
    /// Where the second part of the recording begins, how many gradients it makes, and of how many cotangents.
    pullback: Option<Pullback>,
    /// Whether it came from a file: then a step that fails for a reason that no checked program has is an error of the file.
    loaded: bool,
}

/// The second part of a recording.
#[derive(Clone, Copy)]
struct Pullback {
    split: usize,
    gradients: usize,
    cotangents: usize,
}

impl Program {
    /// Number of steps that were recorded, and of instructions that are left of them.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.trace.steps.len(), self.instrs.len())
    }

    /// Elements that all instructions make together: a measure of the time of a call.
    #[must_use]
    pub fn work(&self) -> usize {
        self.work
    }

    /// Whether its places are as they were when it was recorded: gradients there or not, leaves frozen or not, values laid out alike.
    #[must_use]
    pub fn places_fit(&self) -> bool {
        let has_layout = |given: &Given| self.places[given.from].has_layout(&given.layout);
        self.all_states().all(|(place, state)| place.state() == state) && self.loads.iter().all(has_layout)
    }

    /// Whether it changes any places.
    #[must_use]
    pub fn changes_places(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Whether it changes the place of this number: the value of a leaf, also of one that holds a gradient, or of a handle.
    #[must_use]
    pub fn changes(&self, id: (u8, u64)) -> bool {
        let is_gradient = || id.0 == 0 && self.places.iter().any(|p| p.holder() == id.1 && self.changed.contains(&p.id()));
        self.changed.contains(&id) || is_gradient()
    }

    /// The places that it depends on, and their states when it was recorded.
    fn all_states(&self) -> impl Iterator<Item = (&Arc<dyn Place>, u64)> {
        self.states.iter().map(|(at, state)| (&self.places[*at], *state)).chain(self.asked.iter().map(|(place, state)| (place, *state)))
    }

    /// Why [`Program::places_fit`] is false, in words.
    #[must_use]
    pub fn misfit(&self) -> Option<String> {
        let state = self.all_states().find(|(place, state)| place.state() != *state);
        let layout = || self.loads.iter().find(|given| !self.places[given.from].has_layout(&given.layout));
        let shape = |given: &Given| format!("a value of shape {} that it reads has another layout in memory", show_shape(given.layout.shape()));
        state.map(|(place, state)| place.difference(state)).or_else(|| layout().map(shape))
    }

    /// Whether another recording is the same program.
    #[must_use]
    pub fn is_recorded_by(&self, other: &Trace) -> bool {
        difference(&self.trace, other).is_none()
    }

    /// Number of results.
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.outputs.len()
    }

    /// Number of inputs.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.input_count
    }

    /// The instructions, a line each.
    #[must_use]
    pub fn listing(&self) -> String {
        let mut out = String::new();
        for i in &self.instrs {
            let _ = writeln!(out, "{i:?}");
        }
        out
    }

    /// A program of a recording.
    ///
    /// # Errors
    /// Those of evaluating constants.
    pub fn new(trace: Trace) -> crate::Result<Self> {
        plan::program(trace, None)
    }

    /// A program of a recording in two parts: the function, and from step `split` on its pullback, whose results are the last
    /// `gradients` outputs, and whose cotangents are the last `cotangents` inputs.
    ///
    /// # Errors
    /// Those of evaluating constants.
    pub fn with_pullback(trace: Trace, split: usize, gradients: usize, cotangents: usize) -> crate::Result<Self> {
        plan::program(trace, Some(Pullback { split, gradients, cotangents }))
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({} instructions)", self.instrs.len())
    }
}

impl fmt::Debug for Instr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, o) in self.outputs.iter().enumerate() {
            match o {
                Some(slot) => write!(f, "{}%{slot}", if i > 0 { ", " } else { "" })?,
                None => write!(f, "{}_", if i > 0 { ", " } else { "" })?,
            }
        }
        match &self.kind {
            Kind::One(op) => write!(f, " = {op:?}")?,
            Kind::View(view) => write!(f, " = {:?}", view.op)?,
            Kind::Group(group) => write!(f, " = {group:?}")?,
            Kind::Drop(at) => write!(f, " = drop({at})")?,
            Kind::Product(product) => write!(f, " = {product:?}")?,
        }
        for a in &self.inputs {
            match a {
                Arg::None => write!(f, " _")?,
                Arg::Slot(s) => write!(f, " %{s}")?,
                Arg::Number(x) => write!(f, " {x:?}")?,
            }
        }
        Ok(())
    }
}
