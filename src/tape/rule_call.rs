//! A gradient rule as an instruction of a program. Arrays are its operands; all other arguments of the call are stored in it.
//!
//! In a backward pass a rule finds its saved values, cotangents and sums through its node. Here they are operands: the saved values in the
//! order of their roles, then the cotangents of all results, then the sums of gradients that the inputs have so far. The results are the
//! sums with the new gradients added. Inputs that are the same value share a sum.

use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::capture;
use super::cotangent::{Cotangents, GradAccumulator};
use super::node::{Attrs, Input, Meta, Node, Vjp};
use super::node_task::NodeTask;
use super::primitive::{Place, Primitive};
use super::saved::Role;
use super::variable::Variable;
use super::vjp_context::{GradSink, VjpContext};
use crate::array::{Array, Layout};
use crate::error::{Error, Result};
use crate::lock::Mutex;

/// The sums of gradients that the inputs have so far. Several inputs may share one.
pub(super) struct Sums<'a> {
    /// The index of each input's sum, or [`Sums::NONE`] when no gradient is wanted.
    pub(super) of: &'a [u8],
    pub(super) all: &'a mut [GradAccumulator],
}

impl Sums<'_> {
    pub(super) const NONE: u8 = u8::MAX;

    fn at(&mut self, i: usize) -> Option<&mut GradAccumulator> {
        self.all.get_mut(usize::from(*self.of.get(i)?))
    }
}

impl GradSink for Sums<'_> {
    fn sum(&mut self, i: usize) -> Option<&mut Array> {
        self.at(i)?.unique()
    }

    fn take(&mut self, i: usize) -> Option<Array> {
        let sum = self.at(i)?;
        sum.unique()?;
        sum.take_array()
    }

    fn take_recorded(&mut self, _: usize) -> Option<Variable> {
        None
    }

    fn add(&mut self, i: usize, g: Array) {
        if let Some(sum) = self.at(i) {
            sum.add(g);
        }
    }

    fn add_variable(&mut self, i: usize, g: Variable) -> Result<()> {
        self.add(i, g.into_array());
        Ok(())
    }
}

/// A gradient rule, and the arguments of its call that are not arrays.
pub struct RuleCall {
    op: &'static Primitive,
    attrs: Attrs,
    parts: RuleParts,
    /// The task of a call, made once. A concurrent call makes its own.
    ready: Mutex<Option<Box<NodeTask>>>,
}

/// The arguments of a rule other than its primitive, its attributes and its arrays.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleParts {
    roles: SmallVec<[Role; 2]>,
    /// The inputs that were numbers.
    numbers: SmallVec<[Option<f64>; 2]>,
    /// Shape and dtype of the inputs whose gradients are wanted.
    wanted: SmallVec<[Option<Meta>; 2]>,
    outs: SmallVec<[Meta; 1]>,
    /// The index of the sum that each input adds to.
    sums: SmallVec<[u8; 4]>,
    sum_count: usize,
}

impl RuleCall {
    /// The part of a rule call that a file stores.
    #[must_use]
    pub fn parts(&self) -> RuleParts {
        self.parts.clone()
    }

    /// The gradient rule of `op` with these arguments.
    ///
    /// # Errors
    /// `Value` when `op` has no rule, or when the parts are inconsistent.
    pub fn from_parts(op: &'static Primitive, attrs: Attrs, parts: RuleParts) -> Result<Self> {
        let RuleParts { numbers, wanted, outs, sums, sum_count, .. } = &parts;
        let fits = wanted.len() == numbers.len() && sums.len() == numbers.len() && !outs.is_empty();
        let known = sums.iter().all(|s| *s == Sums::NONE || usize::from(*s) < *sum_count);
        if !matches!(op.vjp, Vjp::Rule(_)) || !fits || !known || *sum_count > sums.len() {
            return Err(Error::Value(format!("{}: it has no gradient rule that is called in this way", op.name)));
        }
        Ok(Self { op, attrs, parts, ready: Mutex::new(None) })
    }

    /// The call that runs the rule of the node of `task`.
    pub(super) fn of(task: &NodeTask, sums: SmallVec<[u8; 4]>, sum_count: usize) -> Self {
        let node = &task.node;
        let number = |i: &Input| if let Input::Number(x) = i { Some(*x) } else { None };
        let parts = RuleParts {
            roles: node.saved.roles().collect(),
            numbers: node.inputs.iter().map(number).collect(),
            wanted: (0..node.inputs.len()).map(|i| task.meta(i).cloned()).collect(),
            outs: node.outs.iter().cloned().collect(),
            sums,
            sum_count,
        };
        let attrs = match &node.attrs {
            Attrs::Set(set) if !set.is_plain() => set.for_programs(),
            attrs => attrs.clone(),
        };
        Self { op: node.op, attrs, parts, ready: Mutex::new(None) }
    }

    /// The primitive whose rule it is.
    #[must_use]
    pub fn primitive(&self) -> &'static Primitive {
        self.op
    }

    /// The attributes.
    #[must_use]
    pub fn attrs(&self) -> &Attrs {
        &self.attrs
    }

    /// Shape and dtype of result `i`.
    #[must_use]
    pub fn out_meta(&self, i: usize) -> &Meta {
        &self.parts.outs[i]
    }

    /// Shape and dtype of input `i` when its gradient is wanted, and the index of the sum that it is added to.
    #[must_use]
    pub fn wanted(&self, i: usize) -> Option<(&Meta, usize)> {
        let meta = self.parts.wanted.get(i)?.as_ref()?;
        self.parts.sums.get(i).filter(|&&at| at != Sums::NONE).map(|&at| (meta, usize::from(at)))
    }

    /// The number that was input `i`.
    #[must_use]
    pub fn number(&self, i: usize) -> Option<f64> {
        self.parts.numbers.get(i).copied().flatten()
    }

    /// The index of the saved value that is this value of the operation.
    #[must_use]
    pub fn saved(&self, place: Place) -> Option<usize> {
        let role = match place {
            Place::Input(i) => Role::input(i),
            Place::Output => Role::output(0),
        };
        self.parts.roles.iter().position(|r| *r == role)
    }

    /// Number of saved values, which are the first operands.
    #[must_use]
    pub fn saved_count(&self) -> usize {
        self.parts.roles.len()
    }

    /// Number of cotangents, which follow.
    #[must_use]
    pub fn cotangent_count(&self) -> usize {
        self.parts.outs.len()
    }

    /// Number of sums, which are the last operands. There are as many results.
    #[must_use]
    pub fn sum_count(&self) -> usize {
        self.parts.sum_count
    }

    fn task(&self) -> Box<NodeTask> {
        let mut node = Node { op: self.op, attrs: self.attrs.clone(), ..Node::default() };
        node.inputs.extend(self.parts.numbers.iter().map(|n| n.map_or(Input::None, Input::Number)));
        node.outs.extend(self.parts.outs.iter().cloned());
        Box::new(NodeTask::with_wanted(node, &self.parts.wanted))
    }

    /// Runs the rule on the `saved` values, the cotangents and the sums so far. Unshared sums are added to in place.
    ///
    /// # Errors
    /// Those of the rule.
    pub fn run(
        &self,
        saved: impl Iterator<Item = Array>,
        cotangents: impl Iterator<Item = Option<Array>>,
        sums: impl Iterator<Item = Option<Array>>,
    ) -> Result<SmallVec<[Option<Array>; 2]>> {
        let ready = self.ready.try_lock().and_then(|mut ready| ready.take());
        let mut task = ready.unwrap_or_else(|| self.task());
        for (role, array) in self.parts.roles.iter().zip(saved) {
            task.node.saved.push_with(*role, array);
        }
        let mut cotangents: Cotangents = cotangents.map(GradAccumulator::of).collect();
        let mut all: SmallVec<[GradAccumulator; 4]> = sums.map(GradAccumulator::of).collect();
        let done = self.call(&task, &mut cotangents, &mut all);
        task.node.saved.clear();
        if let Some(mut ready) = self.ready.try_lock() {
            *ready = Some(task);
        }
        done?;
        Ok(all.iter_mut().map(GradAccumulator::take_array).collect())
    }

    fn call(&self, task: &NodeTask, cotangents: &mut Cotangents, all: &mut [GradAccumulator]) -> Result<()> {
        let Vjp::Rule(rule) = self.op.vjp else { unreachable!("{}: has a rule", self.op.name) };
        let mut sink = Sums { of: &self.parts.sums, all };
        rule(&mut VjpContext { id: 0, work: task, cotangents, create_graph: false, check_nan: false, sink: &mut sink })
    }
}

impl fmt::Debug for RuleCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, attrs) = (self.op.name, &self.attrs);
        write!(f, "{name}({attrs:?}) {:?} {:?} {:?} {:?}", self.parts.numbers, self.parts.wanted, self.parts.roles, self.parts.sums)
    }
}

/// A copy with the same layout, in a storage of its own.
fn in_own_storage(a: &Array) -> Array {
    let Some((low, high)) = a.layout().extent() else { return a.clone() };
    let all = a.with_layout(Layout::contiguous(&[high - low]).shifted(low));
    all.copy().with_layout(a.layout().shifted_back(low))
}

/// Runs the rule of the node of `task` while this thread captures, and reports it to the capture.
#[cold]
pub(super) fn captured(task: &NodeTask, id: u64, cotangents: &mut Cotangents, sink: &mut dyn GradSink) -> Result<()> {
    let count = task.node.inputs.len();
    let (mut keys, mut of) = (Vec::new(), SmallVec::<[u8; 4]>::new());
    let mut all: Vec<GradAccumulator> = Vec::new();
    let mut first = Vec::new();
    for i in 0..count {
        let Some((key, sum)) = sink.lend(i).filter(|_| task.needs(i)) else {
            of.push(Sums::NONE);
            continue;
        };
        let at = keys.iter().position(|k| *k == key).unwrap_or_else(|| {
            keys.push(key);
            first.push(i);
            all.push(GradAccumulator::of(sum));
            keys.len() - 1
        });
        of.push(u8::try_from(at).unwrap_or(Sums::NONE - 1));
    }
    let call = RuleCall::of(task, of.clone(), all.len());
    let saved: Vec<Array> = task.node.saved.arrays().to_vec();
    // The list is reused for all nodes, so it may be longer than the node's list of results.
    let gradients: Vec<Option<Array>> = cotangents.iter().take(task.node.outs.len()).map(|g| g.array().cloned()).collect();
    let sums: Vec<Option<Array>> = all.iter().map(|g| g.array().cloned()).collect();
    // The capture holds every value. So the rule gets copies of what it may overwrite in an eager pass.
    for (given, copy) in sums.iter().zip(&mut all).chain(gradients.iter().zip(cotangents.iter_mut())) {
        if let Some(given) = given {
            copy.clear();
            let free = capture::is_unique_but_for_capture(given);
            copy.add(if free { given.copy() } else { given.clone() });
        }
    }
    {
        let _mute = capture::mute();
        task.run_rule(id, cotangents, &mut Sums { of: &of, all: &mut all })?;
    }
    // When a factor happens to be one, a rule may return its other operand. A recording identifies values by their storages, so such a
    // result is copied.
    let given = || saved.iter().chain(gradients.iter().flatten());
    let own = |a: Array| if given().any(|b| b.storage().is(a.storage())) { in_own_storage(&a) } else { a };
    let outs: Vec<Option<Array>> = all.iter_mut().map(|sum| sum.take_array().map(own)).collect();
    let inputs: Vec<Option<&Array>> = saved.iter().map(Some).chain(gradients.iter().chain(&sums).map(Option::as_ref)).collect();
    capture::note_rule(call, &inputs, &outs);
    for (i, sum) in first.into_iter().zip(outs) {
        if let Some(sum) = sum {
            sink.add(i, sum);
        }
    }
    Ok(())
}
