//! Recording what a thread evaluates as a flat program: primitives, gradient rules, and changes of places.
//!
//! While a thread captures, the gate and the backward pass report each evaluation. Values are identified by their storages. The capture
//! holds these, so no storage is overwritten or reused, and every value is assigned once. A value that the capture has not seen is an
//! input, the content of a [`Place`] before the call, or a constant.
//!
//! Code that reads elements of a value outside the gate, and may branch on them, reports it by
//! [`Variable::values`](super::Variable::values) or [`refuse`]: such a call cannot be replayed.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;

use super::leaf::Leaf;
use super::mode;
use super::node::Attrs;
use super::primitive::{AttrSet, Operand, Primitive};
use super::rule_call::RuleCall;
use super::variable::Edge;
use crate::array::{Array, DType, Layout, Scalar};
use crate::error::{Error, Result, show_shape};

/// The number of a value of a program.
pub type Slot = usize;

/// The kind of a place, in [`Place::id`], that is a handle of the caller and not a leaf or its gradient.
pub const HANDLE: u8 = 2;

/// The kind of a place that is the gradient of a leaf.
pub const GRADIENT: u8 = 1;

/// The state of the gradient of a leaf that requires gradients, has collected none, and has no hooks.
pub const NEW_LEAF: u64 = 1;

/// A variable location that holds a value from call to call: a parameter, a gradient, a buffer.
pub trait Place: Send + Sync {
    /// The present value; `None` for a gradient that does not exist.
    fn load(&self) -> Option<Array>;
    /// Replaces the value.
    ///
    /// # Errors
    /// Those of the place.
    fn store(&self, value: Option<Array>) -> Result<()>;
    /// Distinguishes it from other places.
    fn id(&self) -> (u8, u64);
    /// A program fits only while this is as it was: whether there is a gradient, whether a leaf requires one.
    fn state(&self) -> u64 {
        0
    }
    /// Whether two states differ in more than what steps of a program change.
    fn is_changed_state(&self, was: u64, now: u64) -> bool {
        was != now
    }
    /// What is different from this state, in words.
    fn difference(&self, _was: u64) -> String {
        "a value is in another state".to_owned()
    }
    /// Whether the value is laid out as in the recording. A strided value whose recording was row-major, or the other way round, needs a
    /// recording of its own, because sums take its elements in another order.
    fn has_layout(&self, layout: &Layout) -> bool {
        self.load().is_none_or(|a| layout.is_like(a.layout()))
    }
    /// Whether a call that replaces the value may drop the old one early.
    fn may_drop(&self) -> bool {
        false
    }
    /// The number of the leaf that holds the value, if the place may get another leaf: that of a gradient. Otherwise 0.
    fn holder(&self) -> u64 {
        0
    }
    /// The same place, for a program that changes the value of its holder and does not replace the holder.
    fn with_holder(&self) -> Option<Arc<dyn Place>> {
        None
    }
}

/// A step that is not a pure function of arrays: it changes places, draws random numbers, or checks elements.
pub trait Effect: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;
    /// A text that is compared between two recordings.
    fn describe(&self) -> String;
    /// Runs it; the results are values of the program.
    ///
    /// # Errors
    /// Those of what it does.
    fn run(&self, inputs: &[Array]) -> Result<Arrays>;
    /// The fields that a file needs to run it again, by name; `None` if no file can hold it.
    fn to_json(&self) -> Option<serde_json::Result<serde_json::Value>> {
        None
    }
    /// The places that it may change, in addition to returning results.
    fn touches(&self) -> Vec<Arc<dyn Place>> {
        Vec::new()
    }
    /// Whether it changes anything besides its results.
    fn is_state(&self) -> bool {
        true
    }
    /// Whether it may fail because of the values of its operands, as a check of elements does.
    fn refuses(&self) -> bool {
        false
    }
    /// Copies the state that it changes and that is in no place. Calling the result restores that state.
    fn backup(&self) -> Option<Box<dyn FnOnce() + Send>> {
        None
    }
}

/// What a step does.
#[derive(Clone)]
pub enum Op {
    /// Evaluates a primitive.
    Eval {
        /// The primitive.
        primitive: &'static Primitive,
        /// Its attributes.
        attrs: Attrs,
        /// Whether hidden results are computed.
        recorded: bool,
        /// Whether operand 0 may be overwritten by the result.
        update: bool,
    },
    /// Runs a gradient rule.
    Rule(Arc<RuleCall>),
    /// A view: its layout, and the distance of its first element from that of the operand.
    View(Layout, isize),
    /// A row-major copy.
    Copy,
    /// Changes places or draws random numbers.
    Effect(Arc<dyn Effect>),
    /// Stores the operand in the place of that number.
    Store(usize),
    /// Empties the place of that number.
    Clear(usize),
}

/// An operand of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arg {
    /// Nothing: a cotangent or a sum that is zero.
    None,
    /// A value.
    Slot(Slot),
    /// A number.
    Number(Scalar),
}

impl Arg {
    /// The value's number.
    #[must_use]
    pub fn slot(self) -> Option<Slot> {
        if let Self::Slot(s) = self { Some(s) } else { None }
    }
}

/// One step of a program.
#[derive(Clone)]
pub struct Step {
    /// What is done.
    pub op: Op,
    /// To what.
    pub inputs: SmallVec<[Arg; 4]>,
    /// The results; `None` where there is none.
    pub outputs: SmallVec<[Option<Slot>; 2]>,
}

/// The origin of a value that no step makes.
#[derive(Clone)]
pub enum Source {
    /// An input of the call.
    Input(usize),
    /// The place of that number, before the call.
    Place(usize),
    /// A constant, and the line of user code that used it first.
    Constant(Array, Option<Arc<str>>),
}

/// A finished recording.
#[derive(Clone)]
pub struct Trace {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Values that no step makes.
    pub sources: Vec<(Slot, Source)>,
    /// Places that are read or written.
    pub places: Vec<Arc<dyn Place>>,
    /// The states of the places before the call.
    pub states: Vec<u64>,
    /// Places whose state the function asked for, and what it was before the call.
    pub asked: Vec<(Arc<dyn Place>, u64)>,
    /// Number of values.
    pub slots: usize,
    /// The results of the call.
    pub outputs: Vec<Slot>,
    /// Layout and dtype of each value when it was recorded.
    pub metas: Vec<(Layout, DType)>,
    /// Number of inputs.
    pub inputs: usize,
    /// Numbers of the inputs that share memory with another input or place that is used.
    pub aliased: Vec<usize>,
}

impl Trace {
    /// The same recording with the present values of all places as constants. `op` asks for it, and begins the messages of errors.
    ///
    /// # Errors
    /// `Value` for a program that changes places or draws random numbers, or that reads a gradient that does not exist.
    pub fn frozen(&self, op: &str) -> Result<Self> {
        if let Some(step) = self.changing() {
            let what = match &step.op {
                Op::Effect(e) => e.name(),
                _ => "a parameter, buffer or gradient gets a value",
            };
            return Err(Error::Value(format!(
                "{op}: the program draws random numbers or changes state ({what}); {op} a function that computes results alone, as a model in \
                 eval mode"
            )));
        }
        let mut out = self.clone();
        for (_, source) in &mut out.sources {
            if let Source::Place(at) = source {
                let value = self.places[*at].load();
                let Some(a) = value else {
                    return Err(Error::Value(format!("{op}: the program reads the gradient of a parameter, which is None now; run backward first")));
                };
                *source = Source::Constant(a.pooled(), None);
            }
        }
        Ok(out)
    }

    /// Removes steps that only gave these inputs another layout of the same elements.
    pub fn drop_new_layouts(&mut self, own: &[(u8, u64)]) {
        let inputs: HashSet<Slot> = self.sources.iter().filter(|(_, s)| matches!(s, Source::Input(_))).map(|(slot, _)| *slot).collect();
        let is_copy = |s: &Step| matches!(s.op, Op::Copy) && s.inputs.iter().all(|a| a.slot().is_some_and(|slot| inputs.contains(&slot)));
        let copies: HashSet<Slot> = self.steps.iter().filter(|s| is_copy(s)).flat_map(|s| s.outputs.iter().flatten().copied()).collect();
        let places = &self.places;
        self.steps.retain(|s| {
            let Op::Store(at) = s.op else { return true };
            !(own.contains(&places[at].id()) && s.inputs.iter().all(|a| a.slot().is_some_and(|slot| copies.contains(&slot))))
        });
        self.drop_unused_places();
    }

    /// Removes places that are neither read nor changed: a capture begins with all that exist.
    fn drop_unused_places(&mut self) {
        let mut used: HashSet<usize> = self.stores().collect();
        used.extend(self.sources.iter().filter_map(|(_, s)| if let Source::Place(at) = s { Some(*at) } else { None }));
        let mut new = vec![usize::MAX; self.places.len()];
        let mut count = 0;
        for (at, new) in new.iter_mut().enumerate().filter(|(at, _)| used.contains(at)) {
            self.places.swap(count, at);
            self.states.swap(count, at);
            *new = count;
            count += 1;
        }
        self.places.truncate(count);
        self.states.truncate(count);
        for step in &mut self.steps {
            if let Op::Store(at) | Op::Clear(at) = &mut step.op {
                *at = new[*at];
            }
        }
        for (_, source) in &mut self.sources {
            if let Source::Place(at) = source {
                *at = new[*at];
            }
        }
    }

    /// The first step that changes places or draws random numbers.
    #[must_use]
    pub fn changing(&self) -> Option<&Step> {
        let changes = |s: &&Step| matches!(&s.op, Op::Store(_) | Op::Clear(_)) || matches!(&s.op, Op::Effect(e) if e.is_state());
        self.steps.iter().find(changes)
    }

    /// The numbers of the places that the recording changes.
    pub fn stores(&self) -> impl Iterator<Item = usize> + '_ {
        let touched = move |s: &Step| match &s.op {
            Op::Store(at) | Op::Clear(at) => vec![*at],
            Op::Effect(e) => {
                let ids: Vec<_> = e.touches().iter().map(|p| p.id()).collect();
                (0..self.places.len()).filter(|&i| ids.contains(&self.places[i].id())).collect()
            }
            _ => Vec::new(),
        };
        self.steps.iter().flat_map(touched)
    }
}

/// The place that a value was in before the call.
#[derive(Clone, Copy)]
enum Before {
    Input(usize),
    Place(usize),
}

/// A recording in progress.
struct Capture {
    steps: Vec<Step>,
    sources: Vec<(Slot, Source)>,
    /// Values that depend only on constants.
    fixed: HashSet<Slot>,
    metas: Vec<(Layout, DType)>,
    /// Values by their storages.
    known: HashMap<usize, Vec<(Layout, Slot)>>,
    /// One array of each storage that was seen, to keep it alive.
    keep: Vec<Array>,
    kept: HashSet<usize>,
    before: HashMap<usize, Vec<(Array, Before)>>,
    places: Vec<Arc<dyn Place>>,
    states: Vec<u64>,
    /// What [`Place::holder`] was before the call.
    holders: Vec<u64>,
    /// Places whose state the function asked for.
    asked: HashSet<usize>,
    ids: HashMap<(u8, u64), usize>,
    /// The value of each place as the program knows it: its array, or `None` for an empty place.
    content: Vec<Option<Array>>,
    inputs: usize,
    /// The places that hold the inputs, where known.
    owners: Vec<Vec<(u8, u64)>>,
    /// Values that a transformation below this level has lifted come from outside the recording.
    floor: u64,
    /// Leaves from this number on were made in the call.
    first_leaf: u64,
    /// Nodes from this number on were recorded in the call.
    first_node: u64,
    refused: Option<String>,
    /// The value of [`FOREIGN`] when the capture began.
    foreign: usize,
}

/// How often leaves were changed by threads that do not capture, while another thread captured.
static FOREIGN: AtomicUsize = AtomicUsize::new(0);

/// Number of captures in the process. While it is zero, this is all that the gate looks at.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The captures of this thread, innermost last. Each sees all evaluations.
    static CAPTURES: RefCell<Vec<Capture>> = const { RefCell::new(Vec::new()) };
    /// How many of them are muted at the moment.
    static ASIDE: Cell<usize> = const { Cell::new(0) };
    static MUTED: Cell<usize> = const { Cell::new(0) };
}

/// Whether any thread captures: the first thing that the gate checks.
#[must_use]
#[inline(always)]
pub fn is_anywhere() -> bool {
    ACTIVE.load(Ordering::Relaxed) != 0
}

/// Whether this thread captures.
#[must_use]
#[inline]
pub fn is_on() -> bool {
    is_anywhere() && is_here()
}

#[cold]
fn is_here() -> bool {
    MUTED.get() == 0 && CAPTURES.with(|c| c.try_borrow().is_ok_and(|c| !c.is_empty()))
}

/// Whether this thread has begun a capture, muted or not.
#[must_use]
pub fn is_begun() -> bool {
    is_anywhere() && CAPTURES.with(|c| c.try_borrow().is_ok_and(|c| !c.is_empty()))
}

/// Mutes the captures of this thread while it lives.
#[derive(Debug)]
pub struct Mute(());

/// Mutes the captures of this thread until the guard is dropped.
#[must_use]
pub fn mute() -> Mute {
    MUTED.set(MUTED.get() + 1);
    Mute(())
}

impl Drop for Mute {
    fn drop(&mut self) {
        MUTED.set(MUTED.get() - 1);
    }
}

/// Runs `f` on each capture of this thread.
fn with(f: impl FnMut(&mut Capture)) {
    if MUTED.get() == 0 {
        CAPTURES.with(|all| {
            // Already borrowed: by code that a constant's line or a place runs, which is not part of the program.
            if let Ok(mut all) = all.try_borrow_mut() {
                all.iter_mut().skip(ASIDE.get()).for_each(f);
            }
        });
    }
}

/// Runs `f` on the innermost capture of this thread.
fn with_last(f: impl FnOnce(&mut Capture)) {
    if MUTED.get() == 0 {
        CAPTURES.with(|all| {
            if let Ok(mut all) = all.try_borrow_mut()
                && let Some(c) = all.last_mut()
            {
                f(c);
            }
        });
    }
}

/// Mutes all captures but the innermost while it lives.
#[derive(Debug)]
pub struct Alone(usize);

/// Mutes all captures of this thread but the innermost until the guard is dropped.
#[must_use]
pub fn alone() -> Alone {
    let outer = CAPTURES.with(|all| all.try_borrow().map_or(0, |all| all.len().saturating_sub(1)));
    Alone(ASIDE.replace(outer))
}

impl Drop for Alone {
    fn drop(&mut self) {
        ASIDE.set(self.0);
    }
}

/// A capture in progress, and how many captures surround it. Dropping it ends the capture without a result.
#[derive(Debug)]
pub struct Capturing(usize);

/// Begins a capture in this thread. `inputs` are the arguments of the call; `places` hold values that it may read or change. `None` when
/// this thread captures already.
#[must_use]
pub fn begin(inputs: &[Array], places: Vec<Arc<dyn Place>>) -> Option<Capturing> {
    if is_begun() { None } else { Some(begin_inside(inputs, places, 0)) }
}

/// [`begin`], inside the captures that this thread has begun, which also see all evaluations. A value that a transformation of a level
/// below `floor` has lifted ends the capture, because it comes from outside and is not a plain value.
#[must_use]
pub fn begin_inside(inputs: &[Array], places: Vec<Arc<dyn Place>>, floor: u64) -> Capturing {
    let mut c = Capture {
        steps: Vec::new(),
        sources: Vec::new(),
        fixed: HashSet::new(),
        metas: Vec::new(),
        known: HashMap::new(),
        keep: Vec::new(),
        kept: HashSet::new(),
        before: HashMap::new(),
        places: Vec::new(),
        states: Vec::new(),
        holders: Vec::new(),
        asked: HashSet::new(),
        ids: HashMap::new(),
        content: Vec::new(),
        inputs: inputs.len(),
        owners: Vec::new(),
        floor,
        first_leaf: super::leaf::next_leaf(),
        first_node: super::next_number(),
        refused: None,
        foreign: FOREIGN.load(Ordering::Relaxed),
    };
    for (i, a) in inputs.iter().enumerate() {
        c.begin_with(a, Before::Input(i));
    }
    for place in places {
        c.add_place(place);
    }
    ACTIVE.fetch_add(1, Ordering::Relaxed);
    CAPTURES.with_borrow_mut(|all| {
        all.push(c);
        Capturing(all.len() - 1)
    })
}

impl Capturing {
    /// Ends the capture: the program that makes `outputs`.
    ///
    /// # Errors
    /// The reason why the call cannot be replayed.
    #[allow(clippy::missing_panics_doc, reason = "a capture is on while this lives")]
    pub fn finish(self, outputs: &[Array]) -> std::result::Result<Trace, String> {
        with_last(Capture::sync);
        let taken = CAPTURES.with_borrow_mut(|all| if all.len() == self.0 + 1 { all.pop() } else { None });
        let Some(mut c) = taken else { return Err("the recording was ended by another one".to_owned()) };
        ACTIVE.fetch_sub(1, Ordering::Relaxed);
        std::mem::forget(self);
        let outputs = outputs.iter().map(|a| c.slot_of(a, None)).collect();
        if FOREIGN.load(Ordering::Relaxed) != c.foreign {
            return Err(OTHER_THREAD.to_owned());
        }
        c.refuse_changed_states();
        if let Some(reason) = c.refused.take() {
            return Err(reason);
        }
        Ok(c.into_trace(outputs))
    }
}

impl Drop for Capturing {
    fn drop(&mut self) {
        let gone = CAPTURES.with_borrow_mut(|all| all.split_off(self.0.min(all.len())));
        ACTIVE.fetch_sub(gone.len(), Ordering::Relaxed);
        drop(gone);
    }
}

fn key(a: &Array) -> usize {
    a.storage().id()
}

impl Capture {
    fn begin_with(&mut self, a: &Array, before: Before) {
        self.before.entry(key(a)).or_default().push((a.clone(), before));
    }

    fn keep(&mut self, a: &Array) {
        if self.kept.insert(key(a)) && !self.before.contains_key(&key(a)) {
            self.keep.push(a.clone());
        }
    }

    fn add_place(&mut self, place: Arc<dyn Place>) -> usize {
        let id = place.id();
        if let Some(&at) = self.ids.get(&id) {
            return at;
        }
        let at = self.places.len();
        let content = place.load();
        if let Some(a) = &content {
            self.begin_with(a, Before::Place(at));
        }
        self.states.push(place.state());
        self.holders.push(place.holder());
        self.places.push(place);
        self.content.push(content);
        self.ids.insert(id, at);
        at
    }

    /// A new value.
    fn new_slot(&mut self, a: &Array) -> Slot {
        let slot = self.metas.len();
        self.metas.push((a.layout().clone(), a.dtype()));
        slot
    }

    /// Assigns a new value to `a`.
    fn define(&mut self, a: &Array) -> Slot {
        let slot = self.new_slot(a);
        self.keep(a);
        let all = self.known.entry(key(a)).or_default();
        match all.iter_mut().find(|(layout, _)| layout == a.layout()) {
            Some((_, s)) => *s = slot,
            None => all.push((a.layout().clone(), slot)),
        }
        slot
    }

    /// The number of the value in `a`. A value that was never seen is an input, the content of a place, or a constant.
    fn slot_of(&mut self, a: &Array, edge: Option<&Edge>) -> Slot {
        let known = self.known.get(&key(a));
        if let Some((_, slot)) = known.and_then(|all| all.iter().find(|(layout, _)| layout == a.layout())) {
            return *slot;
        }
        let base = known.map(|all| (all[0].0.clone(), all[0].1));
        if let Some(candidates) = self.before.get(&key(a)) {
            let exact = candidates.iter().find(|(b, _)| b.layout() == a.layout());
            if let Some((b, before)) = exact.or_else(|| candidates.first().filter(|_| base.is_none())).cloned() {
                self.source(&b, before);
                return self.slot_of(a, None);
            }
        }
        if let Some((layout, from)) = base {
            return self.view_of(&layout, from, a);
        }
        if let Some(Edge::Leaf(leaf)) = edge
            && leaf.id() < self.first_leaf
        {
            let at = self.add_place(Arc::new(LeafValue(Arc::clone(leaf))));
            if self.content[at].as_ref().is_some_and(|b| key(b) == key(a)) {
                self.source(a, Before::Place(at));
                return self.slot_of(a, None);
            }
        }
        let slot = self.define(a);
        self.sources.push((slot, Source::Constant(a.clone(), mode::source())));
        self.fixed.insert(slot);
        slot
    }

    fn source(&mut self, a: &Array, before: Before) {
        let slot = self.define(a);
        let source = match before {
            Before::Input(i) => Source::Input(i),
            Before::Place(i) => Source::Place(i),
        };
        self.sources.push((slot, source));
    }

    /// A view of a known value, made outside the gate.
    fn view_of(&mut self, base: &Layout, from: Slot, a: &Array) -> Slot {
        let delta = a.layout().offset().cast_signed() - base.offset().cast_signed();
        let layout = a.layout().clone();
        let slot = self.define(a);
        if self.fixed.contains(&from) {
            self.fixed.insert(slot);
        }
        self.steps.push(Step {
            op: Op::View(layout, delta),
            inputs: std::iter::once(Arg::Slot(from)).collect(),
            outputs: std::iter::once(Some(slot)).collect(),
        });
        slot
    }

    fn args(&mut self, inputs: &[Operand<'_>]) -> SmallVec<[Arg; 4]> {
        inputs
            .iter()
            .map(|i| match i {
                Operand::Variable(v) => Arg::Slot(self.slot_of(v.array(), Some(v.edge()))),
                Operand::Scalar(s) => Arg::Number(*s),
            })
            .collect()
    }

    /// Refuses a function that leaves parameters frozen or with hooks, or makes leaves of Variables, since a program does not. An argument
    /// that becomes a leaf is another matter: the caller of the capture sees to it.
    fn refuse_changed_states(&mut self) {
        let is_own = |at: usize| self.owners.iter().any(|own| own.contains(&self.places[at].id()));
        let changed = (0..self.places.len()).find(|&at| {
            let (was, now) = (self.states[at], self.places[at].state());
            self.places[at].is_changed_state(was, now) && !(was == 0 && self.places[at].id().0 == HANDLE && is_own(at))
        });
        if let Some(at) = changed
            && self.refused.is_none()
        {
            self.refused = Some(format!("after it {}; do that outside", self.places[at].difference(self.states[at])));
        }
    }

    /// Records how places changed since the last call, in an order that is the same for each recording.
    fn sync(&mut self) {
        let mut changed: Vec<(usize, Option<Array>)> = Vec::new();
        for at in 0..self.places.len() {
            let now = self.places[at].load();
            let same = match (&now, &self.content[at]) {
                (None, None) => true,
                (Some(a), Some(b)) => key(a) == key(b) && a.layout() == b.layout(),
                _ => false,
            };
            if !same {
                changed.push((at, now));
            }
        }
        changed.sort_by_key(|(at, _)| self.places[*at].id());
        for (at, now) in changed {
            let (op, inputs) = match &now {
                Some(a) => (Op::Store(at), std::iter::once(Arg::Slot(self.slot_of(a, None))).collect()),
                None => (Op::Clear(at), SmallVec::new()),
            };
            self.steps.push(Step { op, inputs, outputs: SmallVec::new() });
            self.content[at] = now;
        }
    }

    fn effect(&mut self, effect: Arc<dyn Effect>, inputs: &[&Array], results: &[&Array]) {
        let inputs = inputs.iter().map(|a| Arg::Slot(self.slot_of(a, None))).collect();
        let mut outputs: SmallVec<[Option<Slot>; 2]> = results.iter().map(|a| Some(self.define(a))).collect();
        // Whether an effect changes a place may depend on values. So after the effect, the content of all places that it may change counts
        // as a new value.
        for place in effect.touches() {
            let at = self.add_place(place);
            let mut now = self.places[at].load();
            if let Some(a) = now.as_ref().filter(|a| !a.is_contiguous()) {
                let rows = a.contiguous();
                if self.places[at].store(Some(rows.clone())).is_ok() {
                    now = Some(rows);
                }
            }
            outputs.push(now.as_ref().map(|a| self.define(a)));
            self.content[at] = now;
        }
        self.steps.push(Step { op: Op::Effect(effect), inputs, outputs });
    }

    /// Lets a program change gradients that the function has changed in place, so that every handle of them shows it.
    fn keep_holders(&mut self) {
        for step in &self.steps {
            let (Op::Store(at) | Op::Clear(at)) = step.op else { continue };
            let place = &self.places[at];
            if self.holders[at] != 0
                && place.holder() == self.holders[at]
                && let Some(same) = place.with_holder()
            {
                self.places[at] = same;
            }
        }
    }

    fn into_trace(mut self, outputs: Vec<Slot>) -> Trace {
        self.keep_holders();
        let mut aliased = Vec::new();
        let mut used: Vec<usize> = self.sources.iter().filter_map(|(_, s)| if let Source::Place(at) = s { Some(*at) } else { None }).collect();
        used.extend(self.steps.iter().filter_map(|s| if let Op::Store(at) | Op::Clear(at) = s.op { Some(at) } else { None }));
        for all in self.before.values().filter(|all| all.len() > 1) {
            let inputs = || all.iter().filter_map(|(_, b)| if let Before::Input(i) = b { Some(*i) } else { None });
            let foreign = |i: usize, b: &Before| match b {
                Before::Input(j) => *j != i,
                Before::Place(at) => used.contains(at) && !self.owners.get(i).is_some_and(|own| own.contains(&self.places[*at].id())),
            };
            aliased.extend(inputs().filter(|&i| all.iter().any(|(_, b)| foreign(i, b))));
        }
        aliased.sort_unstable();
        let own = |at: usize| self.owners.iter().any(|own| own.contains(&self.places[at].id()));
        let mut asked: Vec<usize> = self.asked.iter().copied().filter(|&at| !own(at)).collect();
        asked.sort_by_key(|&at| self.places[at].id());
        let asked = asked.into_iter().map(|at| (Arc::clone(&self.places[at]), self.states[at])).collect();
        let slots = self.metas.len();
        let mut trace = Trace {
            slots,
            steps: self.steps,
            sources: self.sources,
            places: self.places,
            states: self.states,
            asked,
            outputs,
            metas: self.metas,
            inputs: self.inputs,
            aliased,
        };
        trace.drop_unused_places();
        trace
    }
}

/// The reason that is given when another thread has changed parameters or gradients.
pub const OTHER_THREAD: &str = "another thread changed a parameter or a gradient meanwhile";

/// Reports a change of a leaf. If another thread captures, that thread must learn of it, because it cannot tell the change from its own.
#[inline]
pub(super) fn note_change() {
    if is_anywhere() && !is_begun() {
        FOREIGN.fetch_add(1, Ordering::Relaxed);
    }
}

/// Marks what this thread does now as not replayable, with the reason. Nothing happens while the thread does not capture.
#[inline]
pub fn refuse(reason: impl FnOnce() -> String) {
    if is_anywhere() {
        refuse_here(reason);
    }
}

#[cold]
fn refuse_here(reason: impl FnOnce() -> String) {
    let mut text = None;
    let mut reason = Some(reason);
    with(|c| {
        if let Some(reason) = reason.take() {
            let line = mode::source().map(|s| format!("{s}: ")).unwrap_or_default();
            text = Some(format!("{line}{}", reason()));
        }
        if c.refused.is_none() {
            c.refused.clone_from(&text);
        }
    });
}

/// Reports that the rule of a node runs. What the rule of an older node reads is no part of a program. The steps of a loop are recorded one
/// after the other, so their rules are not told apart.
#[inline]
pub(super) fn note_node(id: u64) {
    if is_anywhere() {
        with(|c| {
            if c.floor == 0 && id < c.first_node && c.refused.is_none() {
                c.refused = Some("a backward pass in it goes on in the history of a value from outside; detach() that value".to_owned());
            }
        });
    }
}

/// Whether this thread's innermost recording has been refused.
#[must_use]
pub fn is_refused() -> bool {
    let mut refused = false;
    with_last(|c| refused = c.refused.is_some());
    refused
}

/// Reports an operand that a transformation of this level has lifted.
#[cold]
pub(super) fn note_lifted(level: u64) {
    with(|c| {
        if level < c.floor && c.refused.is_none() {
            c.refused = Some("it reads a value that a transformation around it has lifted".to_owned());
        }
    });
}

/// Reports that the function asked for the state of a place: whether a leaf requires a gradient, whether there is one.
#[inline]
pub fn note_state(id: (u8, u64)) {
    if is_anywhere() {
        with(|c| c.asked.extend(c.ids.get(&id)));
    }
}

/// Whether a capture of this thread knows the value in `a`, and it is not constant.
#[must_use]
pub fn is_seen(a: &Array) -> bool {
    let mut seen = false;
    with(|c| {
        seen |= match c.known.get(&key(a)) {
            Some(all) => !all.iter().all(|(_, slot)| c.fixed.contains(slot)),
            None => c.before.contains_key(&key(a)),
        };
    });
    seen
}

/// Reports a read of the elements of `a` outside the gate. That is allowed for values that depend only on constants.
#[cold]
pub(super) fn note_read(a: &Array, op: &str) {
    if is_seen(a) {
        refuse_here(|| {
            format!("{op} reads the elements of a value, which only runs of the function itself do; return the value and read it outside")
        });
    }
}

/// Reports an evaluation.
#[cold]
pub(super) fn note_eval(primitive: &'static Primitive, inputs: &[Operand<'_>], outs: &[Array], attrs: &dyn AttrSet, recorded: bool, update: bool) {
    with(|c| {
        let inputs = c.args(inputs);
        let outputs: SmallVec<[Option<Slot>; 2]> = outs.iter().map(|a| Some(c.define(a))).collect();
        if !inputs.is_empty() && inputs.iter().filter_map(|a| a.slot()).all(|s| c.fixed.contains(&s)) {
            c.fixed.extend(outputs.iter().flatten());
        }
        c.steps.push(Step { op: Op::Eval { primitive, attrs: attrs.for_programs(), recorded, update }, inputs, outputs });
    });
}

/// Reports a copy to row-major order.
pub fn note_copy(from: &Array, to: &Array) {
    if is_anywhere() {
        with(|c| {
            let inputs = std::iter::once(Arg::Slot(c.slot_of(from, None))).collect();
            let outputs = std::iter::once(Some(c.define(to))).collect();
            c.steps.push(Step { op: Op::Copy, inputs, outputs });
        });
    }
}

/// Reports a gradient rule: its operands and results.
pub(super) fn note_rule(call: RuleCall, inputs: &[Option<&Array>], outs: &[Option<Array>]) {
    let call = Arc::new(call);
    with(|c| {
        let inputs = inputs.iter().map(|a| a.map_or(Arg::None, |a| Arg::Slot(c.slot_of(a, None)))).collect();
        let outputs = outs.iter().map(|a| a.as_ref().map(|a| c.define(a))).collect();
        c.steps.push(Step { op: Op::Rule(Arc::clone(&call)), inputs, outputs });
    });
}

/// Records changes of places that come before an effect. To be called before [`note_effect`].
pub fn before_effect() {
    if is_anywhere() {
        with(Capture::sync);
    }
}

/// Number of steps recorded so far.
#[must_use]
pub fn step_count() -> usize {
    let mut n = 0;
    with_last(|c| n = c.steps.len());
    n
}

/// Reports which places hold the inputs themselves, so that sharing memory with these is expected.
pub fn own_inputs(owners: Vec<Vec<(u8, u64)>>) {
    with_last(|c| c.owners = owners);
}

/// Adds inputs after those that the capture began with.
pub fn add_inputs(arrays: &[Array]) {
    with_last(|c| {
        for a in arrays {
            c.begin_with(a, Before::Input(c.inputs));
            c.inputs += 1;
        }
    });
}

/// Reports a read of elements on which the control flow depends.
#[inline]
pub fn read(a: &Array, op: &str) {
    if is_anywhere() {
        note_read(a, op);
    }
}

/// A function of arrays that is not a primitive: it checks elements, or computes indices from them. The struct holds everything else that
/// the results depend on. Files of programs name it by its struct.
pub trait Computation: fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name of the struct.
    const NAME: &'static str;
    /// Number of arrays that it reads.
    const INPUTS: usize;
    /// Number of its results.
    const OUTPUTS: usize;
    /// The results of the arrays. A program calls it again in each run.
    ///
    /// # Errors
    /// `Value` for elements that a check refuses.
    fn run(&self, inputs: &[Array]) -> Result<Arrays>;
}

/// The results of an [`Effect`].
pub type Arrays = SmallVec<[Array; 1]>;

/// A computation, as it is found when files are read.
pub struct ComputationKind {
    /// Its name.
    pub name: &'static str,
    /// Number of arrays that it reads.
    pub inputs: usize,
    /// Number of its results.
    pub outputs: usize,
    /// Reads its fields by name.
    pub read: fn(serde_json::Value) -> serde_json::Result<Arc<dyn Effect>>,
}

impl ComputationKind {
    /// The kind of `C`.
    #[must_use]
    pub const fn of<C: Computation>() -> Self {
        let read = |fields| Ok(Arc::new(Computed(serde_json::from_value::<C>(fields)?)) as Arc<dyn Effect>);
        Self { name: C::NAME, inputs: C::INPUTS, outputs: C::OUTPUTS, read }
    }
}

/// A computation as a step of a program.
struct Computed<C>(C);

impl<C: Computation> Effect for Computed<C> {
    fn name(&self) -> &str {
        C::NAME
    }

    fn describe(&self) -> String {
        format!("{:?}", self.0)
    }

    fn run(&self, inputs: &[Array]) -> Result<Arrays> {
        self.0.run(inputs)
    }

    fn to_json(&self) -> Option<serde_json::Result<serde_json::Value>> {
        Some(serde_json::to_value(&self.0))
    }

    fn is_state(&self) -> bool {
        false
    }

    fn refuses(&self) -> bool {
        true
    }
}

/// The results of `computation`, which reads the elements of `inputs` outside the gate. A program runs it again.
///
/// # Errors
/// Those of the computation.
pub fn computed(computation: impl Computation, inputs: &[&Array]) -> Result<Arrays> {
    let arrays: SmallVec<[Array; 2]> = inputs.iter().map(|a| (*a).clone()).collect();
    let outs = computation.run(&arrays)?;
    let results: Vec<&Array> = outs.iter().collect();
    note_effect(|| Arc::new(Computed(computation)), inputs, &results);
    Ok(outs)
}

/// Reports an effect that has run.
pub fn note_effect(effect: impl FnOnce() -> Arc<dyn Effect>, inputs: &[&Array], results: &[&Array]) {
    if is_anywhere() {
        let effect = effect();
        with(|c| c.effect(Arc::clone(&effect), inputs, results));
    }
}

/// Whether the capture has made or read the value in `a`.
#[must_use]
pub fn knows(a: &Array) -> bool {
    let mut known = false;
    with(|c| known = c.known.contains_key(&key(a)));
    known
}

/// Whether only `a` and the capture hold the storage of `a`.
pub(super) fn is_unique_but_for_capture(a: &Array) -> bool {
    let mut held = 0;
    with(|c| held += usize::from(c.kept.contains(&key(a)) || c.before.contains_key(&key(a))));
    a.is_contiguous() && a.storage().is_pooled() && a.storage().count() == 1 + held
}

fn leaf_state(leaf: &Leaf) -> u64 {
    u64::from(leaf.requires_grad()) | u64::from(leaf.has_hooks()) << 1
}

/// What is different between two states of a leaf, in words.
fn leaf_difference(leaf: &Leaf, was: u64, now: u64) -> String {
    let what = match [1, 2].map(|bit| (was & bit > 0, now & bit > 0)) {
        [(false, true), _] => "requires gradients now",
        [(true, false), _] => "was frozen",
        [_, (false, true)] => "has a hook now",
        _ => "has lost its hook",
    };
    format!("a parameter of shape {} {what}", show_shape(&leaf.meta().shape))
}

/// The value of a leaf.
pub struct LeafValue(pub Arc<Leaf>);

impl Place for LeafValue {
    fn load(&self) -> Option<Array> {
        Some(self.0.array())
    }

    fn store(&self, value: Option<Array>) -> Result<()> {
        if let Some(a) = value {
            self.0.set(a.into());
        }
        Ok(())
    }

    fn id(&self) -> (u8, u64) {
        (0, self.0.id())
    }

    fn state(&self) -> u64 {
        leaf_state(&self.0)
    }

    fn difference(&self, was: u64) -> String {
        leaf_difference(&self.0, was, self.state())
    }

    fn has_layout(&self, layout: &Layout) -> bool {
        self.0.with_array(|a| layout.is_like(a.layout()))
    }
}

/// The collected gradient of a leaf.
pub struct LeafGrad(pub Arc<Leaf>);

impl Place for LeafGrad {
    fn load(&self) -> Option<Array> {
        self.0.grad().map(|g| g.array())
    }

    fn store(&self, value: Option<Array>) -> Result<()> {
        self.0.put_grad(value);
        Ok(())
    }

    fn id(&self) -> (u8, u64) {
        (GRADIENT, self.0.id())
    }

    fn state(&self) -> u64 {
        leaf_state(&self.0) | u64::from(self.0.with_grad(|_| ()).is_some()) << 2
    }

    fn is_changed_state(&self, was: u64, now: u64) -> bool {
        (was ^ now) & 3 != 0
    }

    fn difference(&self, was: u64) -> String {
        if (was ^ self.state()) & 4 == 0 {
            return leaf_difference(&self.0, was, self.state());
        }
        let (now, before) = if was & 4 == 0 { ("there", "None") } else { ("None", "there") };
        format!("the gradient of a parameter of shape {} is {now}, it was {before}", show_shape(&self.0.meta().shape))
    }

    fn has_layout(&self, layout: &Layout) -> bool {
        self.0.with_grad(|g| g.with_array(|a| layout.is_like(a.layout()))).unwrap_or(true)
    }

    fn may_drop(&self) -> bool {
        true
    }

    fn holder(&self) -> u64 {
        self.0.with_grad(Leaf::id).unwrap_or(0)
    }

    fn with_holder(&self) -> Option<Arc<dyn Place>> {
        Some(Arc::new(KeptGrad(Self(Arc::clone(&self.0)))))
    }
}

/// The collected gradient of a leaf, whose own leaf stays the same when it changes.
struct KeptGrad(LeafGrad);

impl Place for KeptGrad {
    fn load(&self) -> Option<Array> {
        self.0.load()
    }

    fn store(&self, value: Option<Array>) -> Result<()> {
        match (self.0.0.grad(), value) {
            (Some(held), Some(a)) if held.meta().shape.as_slice() == a.shape() && held.meta().dtype == a.dtype() => {
                held.set(a.into());
                Ok(())
            }
            (_, value) => self.0.store(value),
        }
    }

    fn id(&self) -> (u8, u64) {
        self.0.id()
    }

    fn state(&self) -> u64 {
        self.0.state()
    }

    fn is_changed_state(&self, was: u64, now: u64) -> bool {
        self.0.is_changed_state(was, now)
    }

    fn difference(&self, was: u64) -> String {
        self.0.difference(was)
    }

    fn has_layout(&self, layout: &Layout) -> bool {
        self.0.has_layout(layout)
    }

    fn holder(&self) -> u64 {
        self.0.holder()
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eval { primitive, attrs, recorded, .. } => write!(f, "{}{}({attrs:?})", primitive.name, if *recorded { "*" } else { "" }),
            Self::Rule(call) => write!(f, "rule of {call:?}"),
            Self::View(layout, delta) => write!(f, "view({:?}, {:?}, {delta})", layout.shape(), layout.strides()),
            Self::Copy => f.write_str("copy"),
            Self::Effect(e) => f.write_str(&e.describe()),
            Self::Store(at) => write!(f, "store({at})"),
            Self::Clear(at) => write!(f, "clear({at})"),
        }
    }
}
