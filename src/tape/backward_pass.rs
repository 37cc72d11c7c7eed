//! One pass: marks what the roots reach, then runs rules from the newest node to the oldest.
//!
//! Marking happens under one lock of the arena and costs time in proportion to what it reaches. It gives every reached node a number, and
//! every input of a node the place where its gradient is added, so running the rules needs no look-ups.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::arena::{self, Arena};
use super::backward::BackwardOptions;
use super::cotangent::{Cotangents, GradAccumulator, seed};
use super::hooks::{HOOK_RUNS, run_hooks};
use super::leaf::{Hook, Leaf, accumulate_all};
use super::node::{Input, freed_error};
use super::node_task::{NodeTask, free_if_alive};
use super::variable::{Edge, Variable};
use super::vjp_context::GradSink;
use super::{capture, mode};
use crate::array::{Array, alloc_check};
use crate::error::Result;

/// A value whose gradient was asked for.
pub(super) struct Target {
    edge: Edge,
    place: Place,
    /// The next target that is an output of the same node.
    next: u32,
    pub(super) gradient: GradAccumulator,
    pub(super) hooks: Vec<Hook>,
}

/// Where the gradient of a value is added.
#[derive(Clone, Copy)]
enum Place {
    /// Nowhere: no gradient is wanted.
    None,
    /// To the leaf of that number.
    Leaf(u32),
    /// To the output of the reached node of that number.
    Node { at: u32, output: u32 },
}

/// A gradient that a rule has delivered.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The node of the rule.
    pub node: u64,
    /// The number of the input, not counting numbers, as in [`NodeInfo`](super::NodeInfo).
    pub input: usize,
    /// The gradient, before the gradients of other rules are added.
    pub gradient: Variable,
}

/// A node that the roots reach. The pass holds a reference to it.
struct Reached {
    id: u64,
    /// [`SKIPPED`] or [`WAITING`]; [`FIRST`] and above are indices into the pool of cotangents.
    state: u32,
    /// The first target that is an output of the node, or [`NONE`].
    target: u32,
}

/// No gradient is wanted.
const SKIPPED: u32 = 0;
/// No gradient has arrived yet.
const WAITING: u32 = 1;
const FIRST: u32 = 2;
/// The end of a list of targets.
const NONE: u32 = u32::MAX;
/// Nodes for which room is made at first.
const ROOM: usize = 64;

/// One pass.
#[allow(clippy::struct_excessive_bools, reason = "what is asked once for a pass")]
pub(super) struct BackwardPass {
    stamp: u64,
    options: BackwardOptions,
    pub(super) targets: Vec<Target>,
    leaves: Vec<(Arc<Leaf>, GradAccumulator)>,
    retained: Vec<(Arc<Leaf>, Variable)>,
    /// In the order in which they were found.
    reached: Vec<Reached>,
    /// Indices of the reached nodes, newest first.
    order: Vec<u32>,
    done: usize,
    /// Where the gradients of inputs are added: node after node, in the order of `order`.
    places: Vec<Place>,
    /// The index in `places` of the present node's first input.
    base: usize,
    pool: Vec<Cotangents>,
    unused: Vec<u32>,
    free_late: bool,
    /// Whether rules run on Variables: the pass is recorded, or a cotangent is inside a transformation.
    in_variables: bool,
    /// Whether gradients are checked for NaN.
    check_nan: bool,
    /// The gradients that rules delivered, if they were asked for.
    told: Option<Vec<Delivery>>,
    /// Whether this thread records what it evaluates.
    captured: bool,
}

/// Appends to a list; an error when there is no memory for it.
#[inline(always)]
fn push<T>(list: &mut Vec<T>, item: T) -> Result<()> {
    if list.len() == list.capacity() {
        alloc_check::try_reserve("backward", list, 1)?;
    }
    list.push(item);
    Ok(())
}

/// The index of the next item of a list.
#[inline(always)]
fn number<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(NONE - 1)
}

impl BackwardPass {
    pub(super) fn new(roots: &[(Variable, Option<Variable>)], inputs: &[Variable], options: BackwardOptions) -> Result<Self> {
        static STAMP: AtomicU64 = AtomicU64::new(1);
        let mut seeds = alloc_check::with_capacity(roots.len());
        for (root, g) in roots {
            seeds.push(seed(root, g.as_ref())?);
        }
        let target = |x: &Variable| {
            let hooks = match x.edge() {
                Edge::Leaf(leaf) if !options.stop_at_inputs => leaf.hooks(),
                _ => Vec::new(),
            };
            Target { edge: x.edge().clone(), place: Place::None, next: NONE, gradient: GradAccumulator::default(), hooks }
        };
        let mut sweep = Self {
            stamp: STAMP.fetch_add(1, Ordering::Relaxed) << 32,
            options,
            targets: alloc_check::collect(inputs.iter().map(target)),
            leaves: Vec::new(),
            retained: Vec::new(),
            reached: alloc_check::with_capacity(ROOM),
            order: alloc_check::with_capacity(ROOM),
            done: 0,
            places: alloc_check::with_capacity(2 * ROOM),
            base: 0,
            pool: Vec::new(),
            unused: Vec::new(),
            free_late: false,
            in_variables: options.create_graph || seeds.iter().any(Variable::is_lifted),
            check_nan: mode::is_anomaly(),
            told: None,
            captured: capture::is_on(),
        };
        let mut places = alloc_check::with_capacity(roots.len());
        sweep.mark(roots, &mut places)?;
        for (place, g) in places.into_iter().zip(seeds) {
            sweep.arrive_variable(place, g)?;
        }
        Ok(sweep)
    }

    /// Finds the nodes that the roots reach and adds a reference to each. With targets, nodes that lead to no target are dropped. `places`
    /// gets the place of each root.
    fn mark(&mut self, roots: &[(Variable, Option<Variable>)], places: &mut Vec<Place>) -> Result<()> {
        let mut arena = arena::lock();
        let hooked = self.walk(&mut arena, roots, places).inspect_err(|_| arena.forget_reached())?;
        // Nothing is freed before the end if the pass can fail half-way, or if a recorded rule may refer to a node.
        let may_fail = hooked || arena.has_fallible() || self.check_nan;
        self.free_late = !self.options.retain_graph && (self.in_variables || may_fail);
        if !self.targets.is_empty() {
            self.find_node_targets(&arena);
            self.skip_side_branches(&arena);
        }
        Ok(())
    }

    /// Numbers the nodes that the roots reach, newest first. Returns true when a leaf among them has hooks.
    fn walk(&mut self, arena: &mut Arena, roots: &[(Variable, Option<Variable>)], places: &mut Vec<Place>) -> Result<bool> {
        for k in 0..self.targets.len() {
            if let Edge::Leaf(leaf) = &self.targets[k].edge {
                let leaf = Arc::clone(leaf);
                self.targets[k].place = self.add_leaf(&leaf)?;
            }
        }
        for (root, _) in roots {
            places.push(match root.edge() {
                Edge::None | Edge::Lifted(_) => Place::None,
                Edge::Leaf(leaf) => self.place_of_leaf(leaf)?,
                Edge::Node { node, output } => self.reach(arena, node.id(), *output)?,
            });
        }
        let mut hooked = false;
        while let Some(id) = arena.newest_reached() {
            let node = arena.node_mut(id);
            if node.freed {
                return Err(freed_error(node.name(), node.source()));
            }
            push(&mut self.order, node.number)?;
            node.refs += 1;
            for i in 0..node.inputs.len() {
                let place = match &arena.node(id).inputs[i] {
                    Input::None | Input::Number(_) => Place::None,
                    Input::Leaf(leaf) => {
                        hooked |= leaf.has_hooks();
                        self.place_of_leaf(leaf)?
                    }
                    &Input::Node { id, output } => self.reach(arena, id, output)?,
                };
                push(&mut self.places, place)?;
            }
        }
        Ok(hooked)
    }

    /// The place of a node's output; the node is reached now.
    #[inline]
    fn reach(&mut self, arena: &mut Arena, id: u64, output: u32) -> Result<Place> {
        let next = number(&self.reached);
        let at = arena.reach(id, next)?;
        if at == next {
            push(&mut self.reached, Reached { id, state: WAITING, target: NONE })?;
        }
        Ok(Place::Node { at, output })
    }

    /// The place of a leaf. A leaf that was frozen after recording has none. With targets, only these leaves have places.
    #[inline]
    fn place_of_leaf(&mut self, leaf: &Arc<Leaf>) -> Result<Place> {
        // Marks are written under the arena's lock, so no other pass interferes.
        let mark = leaf.mark.load(Ordering::Relaxed);
        if mark & !0xffff_ffff == self.stamp {
            return Ok(Place::Leaf((mark & 0xffff_ffff) as u32));
        }
        if self.targets.is_empty() && leaf.requires_grad() { self.add_leaf(leaf) } else { Ok(Place::None) }
    }

    fn add_leaf(&mut self, leaf: &Arc<Leaf>) -> Result<Place> {
        let mark = leaf.mark.load(Ordering::Relaxed);
        if mark & !0xffff_ffff == self.stamp {
            return Ok(Place::Leaf((mark & 0xffff_ffff) as u32));
        }
        let at = number(&self.leaves);
        push(&mut self.leaves, (Arc::clone(leaf), GradAccumulator::default()))?;
        leaf.mark.store(self.stamp | u64::from(at), Ordering::Relaxed);
        Ok(Place::Leaf(at))
    }

    /// Links each reached node to the targets that are its outputs.
    fn find_node_targets(&mut self, arena: &Arena) {
        for (k, target) in (0..).zip(&mut self.targets) {
            let Edge::Node { node, .. } = &target.edge else { continue };
            // A number that another pass left behind belongs to another node, or to none.
            let found = self.reached.get_mut(arena.node(node.id()).number as usize).filter(|reached| reached.id == node.id());
            if let Some(reached) = found {
                target.next = std::mem::replace(&mut reached.target, k);
            }
        }
    }

    /// From the oldest node to the newest: a node is needed when it is a target or one of its inputs is needed.
    fn skip_side_branches(&mut self, arena: &Arena) {
        let mut end = self.places.len();
        for &at in self.order.iter().rev() {
            let start = end - arena.node(self.reached[at as usize].id).inputs.len();
            let mut leads = false;
            if self.options.stop_at_inputs && self.reached[at as usize].target != NONE {
                self.places[start..end].fill(Place::None);
            }
            for place in &mut self.places[start..end] {
                if matches!(*place, Place::Node { at, .. } if self.reached[at as usize].state == SKIPPED) {
                    *place = Place::None;
                }
                leads |= !matches!(place, Place::None);
            }
            let reached = &mut self.reached[at as usize];
            if !leads && reached.target == NONE {
                reached.state = SKIPPED;
            }
            end = start;
        }
    }

    /// Adds a gradient that may be recorded to its place.
    fn arrive_variable(&mut self, place: Place, g: Variable) -> Result<()> {
        if !self.in_variables {
            let captured = self.captured;
            return match self.sum_at(place) {
                Some(sum) if captured => sum.add_seen(g.into_array()),
                Some(sum) => {
                    sum.add(g.into_array());
                    Ok(())
                }
                None => Ok(()),
            };
        }
        self.sum_at(place).map_or(Ok(()), |sum| sum.add_recorded(g))
    }

    /// [`GradSink::add`] through the gate, so that a capture sees it.
    #[cold]
    fn add_captured(&mut self, i: usize, g: Array) {
        if let Some(sum) = self.sum_at(self.places[self.base + i])
            && let Err(e) = sum.add_seen(g)
        {
            capture::refuse(|| e.to_string());
        }
    }

    /// The place where a rule may look for the sum that input `i` of the present node has so far.
    #[inline]
    fn collected(&mut self, i: usize) -> Option<&mut GradAccumulator> {
        // These gradients must be seen before they are added.
        if self.in_variables || self.check_nan || self.told.is_some() {
            return None;
        }
        match self.places[self.base + i] {
            Place::None => None,
            Place::Leaf(at) => Some(&mut self.leaves[at as usize].1),
            Place::Node { at, output } => match self.reached[at as usize].state {
                SKIPPED | WAITING => None,
                state => self.pool[(state - FIRST) as usize].get_mut(output as usize),
            },
        }
    }

    /// The sum at a place; `None` where no gradient is wanted.
    #[inline]
    fn sum_at(&mut self, place: Place) -> Option<&mut GradAccumulator> {
        match place {
            Place::None => None,
            Place::Leaf(at) => Some(&mut self.leaves[at as usize].1),
            Place::Node { at, output } => {
                let mut state = self.reached[at as usize].state;
                if state < FIRST {
                    if state == SKIPPED {
                        return None;
                    }
                    state = FIRST + self.unused.pop().unwrap_or_else(|| new_cotangents(&mut self.pool));
                    self.reached[at as usize].state = state;
                }
                let slots = &mut self.pool[(state - FIRST) as usize];
                make_slots(slots, output as usize + 1);
                Some(&mut slots[output as usize])
            }
        }
    }

    /// Runs the rules.
    pub(super) fn run(&mut self) -> Result<()> {
        let _mode = mode::recording(self.options.create_graph);
        // One for all nodes, because it is large.
        let mut work = NodeTask::default();
        while self.done < self.order.len() {
            self.visit(self.order[self.done], &mut work)?;
            self.base += work.node.inputs.len();
            work.clear();
        }
        Ok(())
    }

    /// Runs the rules and returns what each of them delivered. Nothing is freed, and no `.grad` changes.
    pub(super) fn run_and_tell(mut self) -> Result<Vec<Delivery>> {
        self.options.retain_graph = true;
        self.told = Some(Vec::new());
        self.run()?;
        let mut told = self.told.take().unwrap_or_default();
        let arena = arena::lock();
        for one in &mut told {
            let before = arena.node(one.node).inputs.iter().take(one.input);
            one.input = before.filter(|input| !matches!(input, Input::Number(_))).count();
        }
        drop(arena);
        Ok(told)
    }

    /// Notes a gradient for input `i` of the present node.
    #[cold]
    fn tell(&mut self, i: usize, gradient: Variable) {
        // With `retain_graph`, a node counts as done after its rule.
        let at_work = self.order.get(self.done).and_then(|&at| self.reached.get(at as usize));
        let node = at_work.filter(|_| self.wants(i)).map(|reached| reached.id);
        if let (Some(node), Some(told)) = (node, &mut self.told) {
            alloc_check::push(told, Delivery { node, input: i, gradient });
        }
    }

    /// Frees the nodes that could not be freed during the pass, when user code can no longer fail. `run` has dropped the references of the
    /// pass; handles keep what is still needed.
    pub(super) fn finish(&self) {
        if self.free_late {
            let used = self.order.iter().map(|&at| &self.reached[at as usize]).filter(|reached| reached.state != SKIPPED);
            used.for_each(|reached| free_if_alive(reached.id));
        }
    }

    /// Runs the rule of the reached node `at`, and drops the pass's reference to it.
    fn visit(&mut self, at: u32, work: &mut NodeTask) -> Result<()> {
        let id = self.reached[at as usize].id;
        // With targets, a node whose rule does not run stays as it is: other results may need it.
        let unused = !self.options.retain_graph && !self.targets.is_empty() && !self.leads_on(id);
        if !(self.options.retain_graph || self.free_late || unused) {
            work.take(id, |i| self.wants(i))?;
            self.done += 1;
            return self.work(at, work);
        }
        work.copy(id, |i| self.wants(i))?;
        self.work(at, work)?;
        if unused {
            self.reached[at as usize].state = SKIPPED;
        }
        self.done += 1;
        arena::release(id);
        Ok(())
    }

    /// Whether the gradient of an input of the present node, which is `id`, is wanted.
    fn leads_on(&self, id: u64) -> bool {
        let inputs = arena::lock().node(id).inputs.len();
        (0..inputs).any(|i| self.wants(i))
    }

    /// Whether the gradient of input `i` of the present node is wanted.
    #[inline]
    fn wants(&self, i: usize) -> bool {
        !matches!(self.places[self.base + i], Place::None)
    }

    fn work(&mut self, at: u32, work: &NodeTask) -> Result<()> {
        let Reached { id, state, target } = self.reached[at as usize];
        if state < FIRST {
            return Ok(()); // reached, but no cotangent arrived
        }
        // Their slot is reused, with its memory, when they have been read.
        let mut cotangents = std::mem::take(&mut self.pool[(state - FIRST) as usize]);
        make_slots(&mut cotangents, work.node.outs.len());
        for (output, _, hook) in work.hooks() {
            if self.options.skip_hooks {
                capture::refuse(|| HOOK_RUNS.to_owned());
                break;
            }
            if let Some(g) = cotangents[*output as usize].take() {
                cotangents[*output as usize] = run_hooks(std::slice::from_ref(hook), g)?.into();
            }
        }
        for (output, leaf) in work.retained() {
            if let Some(g) = cotangents[*output as usize].get() {
                push(&mut self.retained, (Arc::clone(leaf), g))?;
            }
        }
        if target != NONE {
            self.catch(target, &cotangents);
        }
        if work.needs_any() {
            work.apply(id, &mut cotangents, self.in_variables, self.check_nan, self)?;
        }
        cotangents.iter_mut().for_each(GradAccumulator::clear);
        self.pool[(state - FIRST) as usize] = cotangents;
        push(&mut self.unused, state - FIRST)
    }

    /// Gives a node's cotangents to its targets, starting with the first.
    #[cold]
    fn catch(&mut self, first: u32, cotangents: &Cotangents) {
        let mut next = first;
        while let Some(target) = self.targets.get_mut(next as usize) {
            if let Edge::Node { output, .. } = &target.edge {
                target.gradient = cotangents[*output as usize].get().map(GradAccumulator::from).unwrap_or_default();
            }
            next = target.next;
        }
    }

    /// The targets, with their gradients.
    pub(super) fn take_targets(&mut self) -> Vec<Target> {
        for target in &mut self.targets {
            if let Place::Leaf(at) = target.place {
                target.gradient = self.leaves[at as usize].1.get().map(GradAccumulator::from).unwrap_or_default();
            }
        }
        self.leaves.clear();
        std::mem::take(&mut self.targets)
    }

    /// The gradients of results that keep theirs, with their places.
    pub(super) fn take_retained(&mut self) -> Vec<(Arc<Leaf>, Variable)> {
        std::mem::take(&mut self.retained)
    }

    /// Runs the hooks of leaves. When all have run, adds the gradients and frees the graph.
    pub(super) fn commit(mut self) -> Result<()> {
        let mut ready = alloc_check::with_capacity(self.leaves.len() + self.retained.len());
        let mode = mode::recording(self.options.create_graph);
        for (leaf, mut g) in std::mem::take(&mut self.leaves) {
            // The leaf may have been frozen after recording.
            let Some(g) = g.take().filter(|_| leaf.requires_grad()) else { continue };
            let g = if leaf.has_hooks() { run_hooks(&leaf.hooks(), g)? } else { g };
            ready.push((leaf, g));
        }
        drop(mode);
        ready.append(&mut self.retained);
        accumulate_all(ready, || self.finish())
    }
}

/// A new slot in the pool of cotangents.
#[cold]
fn new_cotangents(pool: &mut Vec<Cotangents>) -> u32 {
    let at = number(pool);
    alloc_check::push(pool, Cotangents::new());
    at
}

/// Makes room for the gradients of this number of outputs.
#[inline]
fn make_slots(slots: &mut Cotangents, count: usize) {
    if slots.len() < count {
        if count > 1 {
            alloc_check::reserve_small(slots, count);
        }
        while slots.len() < count {
            slots.push(GradAccumulator::default());
        }
    }
}

impl GradSink for BackwardPass {
    fn sum(&mut self, i: usize) -> Option<&mut Array> {
        self.collected(i)?.unique()
    }

    fn take(&mut self, i: usize) -> Option<Array> {
        let sum = self.collected(i)?;
        sum.unique()?;
        sum.take_array()
    }

    fn take_recorded(&mut self, i: usize) -> Option<Variable> {
        if !self.in_variables || self.check_nan || self.told.is_some() {
            return None;
        }
        match self.places[self.base + i] {
            Place::None | Place::Leaf(_) => None,
            Place::Node { at, output } => match self.reached[at as usize].state {
                SKIPPED | WAITING => None,
                state => self.pool[(state - FIRST) as usize].get_mut(output as usize)?.take(),
            },
        }
    }

    #[inline]
    fn add(&mut self, i: usize, g: Array) {
        if self.captured {
            return self.add_captured(i, g);
        }
        if self.told.is_some() {
            self.tell(i, Variable::from(g.clone()));
        }
        if let Some(sum) = self.sum_at(self.places[self.base + i]) {
            sum.add(g);
        }
    }

    fn lend(&mut self, i: usize) -> Option<(u64, Option<Array>)> {
        let key = match self.places[self.base + i] {
            Place::None => return None,
            Place::Leaf(at) => u64::from(at) << 1,
            Place::Node { at, output } => (u64::from(at) << 32 | u64::from(output) << 1) | 1,
        };
        Some((key, self.collected(i).and_then(GradAccumulator::take_array)))
    }

    fn add_variable(&mut self, i: usize, g: Variable) -> Result<()> {
        if self.told.is_some() {
            self.tell(i, g.detach());
        }
        self.arrive_variable(self.places[self.base + i], g)
    }
}

impl Drop for BackwardPass {
    fn drop(&mut self) {
        for &at in self.order.iter().skip(self.done) {
            arena::release(self.reached[at as usize].id);
        }
    }
}
