//! One pass: marks what the roots reach, then runs rules from the newest node to the oldest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use super::arena;
use super::backward::BackwardOptions;
use super::cotangent::{Collected, Cotangents, own, seed};
use super::hooks::run_hooks;
use super::leaf::{Hook, Leaf};
use super::mode;
use super::node::{Input, freed_error};
use super::step::{Grads, Sink};
use super::variable::{Edge, Variable};
use super::work::{Work, free_if_alive};
use crate::array::Array;
use crate::error::Result;

/// A value whose gradient was asked for.
pub(super) struct Target {
    edge: Edge,
    pub(super) gradient: Collected,
    pub(super) hooks: Vec<Hook>,
}

/// States of a node in the window of marks; from `FIRST` on, a place in the pool of cotangents.
const UNSEEN: u32 = 0;
const SKIPPED: u32 = 1;
const REACHED: u32 = 2;
const FIRST: u32 = 3;
/// Nodes for which there is room at first, and by how many marks are made.
const ROOM: usize = 64;

/// One pass.
pub(super) struct Sweep {
    stamp: u64,
    options: BackwardOptions,
    pub(super) targets: Vec<Target>,
    leaves: Vec<(Arc<Leaf>, Collected)>,
    retained: Vec<(Arc<Leaf>, Variable)>,
    /// Reached nodes, newest first, each counted by this sweep.
    order: Vec<u64>,
    done: usize,
    top: u64,
    /// State of node `top - i`.
    marks: Vec<u32>,
    pool: Vec<Cotangents>,
    unused: Vec<u32>,
    free_late: bool,
    /// Whether NaN is looked for.
    watched: bool,
}

impl Sweep {
    pub(super) fn new(roots: &[(Variable, Option<Variable>)], inputs: &[Variable], options: BackwardOptions) -> Result<Self> {
        static STAMP: AtomicU64 = AtomicU64::new(1);
        let seeds: Vec<Variable> = roots.iter().map(|(root, g)| seed(root, g.as_ref())).collect::<Result<_>>()?;
        let target = |x: &Variable| {
            let hooks = if let Edge::Leaf(leaf) = x.edge() { leaf.hooks() } else { Vec::new() };
            Target { edge: x.edge().clone(), gradient: Collected::default(), hooks }
        };
        let mut sweep = Self {
            stamp: STAMP.fetch_add(1, Ordering::Relaxed) << 32,
            options,
            targets: inputs.iter().map(target).collect(),
            leaves: Vec::new(),
            retained: Vec::new(),
            order: Vec::with_capacity(ROOM),
            done: 0,
            top: 0,
            marks: Vec::new(),
            pool: Vec::new(),
            unused: Vec::new(),
            free_late: false,
            watched: mode::is_anomaly(),
        };
        sweep.mark(roots)?;
        for ((root, _), g) in roots.iter().zip(seeds) {
            let input = match root.edge() {
                Edge::None | Edge::Lifted(_) => Input::None,
                Edge::Leaf(leaf) => Input::Leaf(Arc::clone(leaf)),
                Edge::Node { node, output } => Input::Node { id: node.id(), output: *output },
            };
            sweep.arrive_variable(&input, g)?;
        }
        Ok(sweep)
    }

    /// Finds what the roots reach and counts it; with targets, drops what leads to none of them.
    fn mark(&mut self, roots: &[(Variable, Option<Variable>)]) -> Result<()> {
        let ids = roots.iter().filter_map(|(r, _)| if let Edge::Node { node, .. } = r.edge() { Some(node.id()) } else { None });
        let ids: SmallVec<[u64; 2]> = ids.collect();
        let Some(&top) = ids.iter().max() else { return Ok(()) };
        self.top = top;
        let mut arena = arena::lock();
        let (mut pending, mut hooked) = (0, false);
        for id in ids {
            pending += usize::from(self.reach(id));
        }
        let mut i = 0;
        while pending > 0 {
            if self.marks[i] == REACHED {
                pending -= 1;
                let id = top - i as u64;
                let node = arena.node_mut(id);
                if node.freed {
                    let error = freed_error(node.name(), node.source());
                    drop(arena);
                    return Err(error);
                }
                node.refs += 1;
                self.order.push(id);
                for input in &node.inputs {
                    match input {
                        Input::None | Input::Number(_) => {}
                        Input::Leaf(leaf) => hooked |= leaf.has_hooks(),
                        Input::Node { id, .. } => pending += usize::from(self.reach(*id)),
                    }
                }
            }
            i += 1;
        }
        // What may fail half-way, and what may refer to a node while its rule is recorded, frees nothing before the end.
        let may_fail = hooked || arena.has_fallible() || self.watched;
        self.free_late = !self.options.retain_graph && (self.options.create_graph || may_fail);
        if !self.targets.is_empty() {
            self.skip_side_branches(&arena);
        }
        Ok(())
    }

    /// Marks a node; true when it is new.
    fn reach(&mut self, id: u64) -> bool {
        let at = self.at(id);
        if at >= self.marks.len() {
            self.marks.resize(at + ROOM, UNSEEN);
        }
        let new = self.marks[at] == UNSEEN;
        if new {
            self.marks[at] = REACHED;
        }
        new
    }

    fn at(&self, id: u64) -> usize {
        usize::try_from(self.top - id).unwrap_or(usize::MAX)
    }

    /// From the oldest node up: a node is needed when it is a target or one of its inputs is needed.
    fn skip_side_branches(&mut self, arena: &arena::Arena) {
        for k in (0..self.order.len()).rev() {
            let id = self.order[k];
            let leads = arena.node(id).inputs.iter().any(|input| self.wants(input));
            let is_target = self.targets.iter().any(|t| matches!(&t.edge, Edge::Node { node, .. } if node.id() == id));
            if !leads && !is_target {
                let at = self.at(id);
                self.marks[at] = SKIPPED;
            }
        }
    }

    /// Whether the gradient of `input` is wanted.
    fn wants(&self, input: &Input) -> bool {
        match input {
            Input::None | Input::Number(_) => false,
            Input::Leaf(leaf) if self.targets.is_empty() => leaf.requires_grad(),
            Input::Leaf(leaf) => self.targets.iter().any(|t| matches!(&t.edge, Edge::Leaf(l) if Arc::ptr_eq(l, leaf))),
            Input::Node { id, .. } => self.marks[self.at(*id)] != SKIPPED,
        }
    }

    /// A gradient that may be recorded reaches a value.
    fn arrive_variable(&mut self, input: &Input, g: Variable) -> Result<()> {
        if !self.options.create_graph {
            self.arrive(input, g.into_array());
            return Ok(());
        }
        if let Input::Leaf(leaf) = input
            && !self.targets.is_empty()
        {
            return self.targets_at(leaf).try_for_each(|sum| sum.add_recorded(g.clone()));
        }
        self.place_of(input).map_or(Ok(()), |sum| sum.add_recorded(g))
    }

    /// Where a rule may look for what `input` has collected.
    #[inline]
    fn collected(&mut self, input: &Input) -> Option<&mut Collected> {
        // Such gradients must be seen by themselves.
        if self.options.create_graph || self.watched {
            return None;
        }
        match input {
            Input::None | Input::Number(_) => None,
            Input::Leaf(leaf) if !self.targets.is_empty() => {
                let mut all = self.targets_at(leaf);
                let first = all.next();
                if all.next().is_some() { None } else { first }
            }
            Input::Leaf(leaf) => Some(self.place_of_leaf(leaf)),
            Input::Node { id, output } => match self.marks[self.at(*id)] {
                UNSEEN | SKIPPED | REACHED => None,
                mark => self.pool[(mark - FIRST) as usize].get_mut(*output as usize),
            },
        }
    }

    /// Where the targets that are `leaf` collect their gradient.
    fn targets_at(&mut self, leaf: &Arc<Leaf>) -> impl Iterator<Item = &mut Collected> {
        self.targets.iter_mut().filter(move |t| matches!(&t.edge, Edge::Leaf(l) if Arc::ptr_eq(l, leaf))).map(|t| &mut t.gradient)
    }

    /// Where a value's gradient is collected: nowhere when nobody wants it.
    fn place_of(&mut self, input: &Input) -> Option<&mut Collected> {
        match input {
            Input::None | Input::Number(_) => None,
            Input::Leaf(leaf) => Some(self.place_of_leaf(leaf)),
            Input::Node { id, output } => {
                let at = self.at(*id);
                if self.marks[at] == SKIPPED {
                    return None;
                }
                if self.marks[at] == REACHED {
                    let place = self.unused.pop().unwrap_or_else(|| {
                        self.pool.push(Cotangents::new());
                        u32::try_from(self.pool.len() - 1).unwrap_or(u32::MAX)
                    });
                    self.marks[at] = FIRST + place;
                }
                let slots = &mut self.pool[(self.marks[at] - FIRST) as usize];
                let output = *output as usize;
                while slots.len() <= output {
                    slots.push(Collected::default());
                }
                Some(&mut slots[output])
            }
        }
    }

    fn place_of_leaf(&mut self, leaf: &Arc<Leaf>) -> &mut Collected {
        let mark = leaf.mark.load(Ordering::Relaxed);
        let mut place = usize::try_from(mark & 0xffff_ffff).unwrap_or(usize::MAX);
        let known = mark & !0xffff_ffff == self.stamp && self.leaves.get(place).is_some_and(|(known, _)| Arc::ptr_eq(known, leaf));
        if !known {
            place = self.leaves.len();
            leaf.mark.store(self.stamp | place as u64, Ordering::Relaxed);
            self.leaves.push((Arc::clone(leaf), Collected::default()));
        }
        &mut self.leaves[place].1
    }

    /// Runs the rules.
    pub(super) fn run(&mut self) -> Result<()> {
        let _mode = mode::recording(self.options.create_graph);
        // One for all: it is large.
        let mut work = Work::default();
        while self.done < self.order.len() {
            self.visit(self.order[self.done], &mut work)?;
            work.clear();
        }
        Ok(())
    }

    /// Frees what could not be freed on the way: nothing of the user's can fail any more. Counts were given back by `run`;
    /// handles keep what is still wanted.
    pub(super) fn finish(&self) {
        if self.free_late {
            self.order.iter().for_each(|&id| free_if_alive(id));
        }
    }

    /// Runs one rule, and gives back this sweep's count of the node.
    fn visit(&mut self, id: u64, work: &mut Work) -> Result<()> {
        if !(self.options.retain_graph || self.free_late) {
            work.take(id, |input| self.wants(input))?;
            self.done += 1;
            return self.work(id, work);
        }
        work.copy(id, |input| self.wants(input))?;
        self.work(id, work)?;
        self.done += 1;
        arena::release(id);
        Ok(())
    }

    fn work(&mut self, id: u64, work: &Work) -> Result<()> {
        let mark = self.marks[self.at(id)];
        if mark < FIRST {
            return Ok(()); // reached, but no gradient came
        }
        // Their place is given back, with what they lie in, when they are used up.
        let mut cotangents = std::mem::take(&mut self.pool[(mark - FIRST) as usize]);
        while cotangents.len() < work.node.outs.len() {
            cotangents.push(Collected::default());
        }
        for (output, _, hook) in work.hooks() {
            if let Some(g) = cotangents[*output as usize].take() {
                cotangents[*output as usize] = run_hooks(std::slice::from_ref(hook), g)?.into();
            }
        }
        for (output, leaf) in work.retained() {
            if let Some(g) = cotangents[*output as usize].get() {
                self.retained.push((Arc::clone(leaf), g));
            }
        }
        self.catch(id, &cotangents);
        if work.needs_any() {
            let grads = work.apply(id, &mut cotangents, self.options.create_graph, self.watched, self)?;
            if !grads.is_empty() {
                self.arrive_all(work, grads)?;
            }
        }
        cotangents.iter_mut().for_each(Collected::clear);
        self.pool[(mark - FIRST) as usize] = cotangents;
        self.unused.push(mark - FIRST);
        Ok(())
    }

    /// The gradients that a rule returned reach its inputs. Apart: most rules hand theirs over, and moving none costs, too.
    fn arrive_all(&mut self, work: &Work, grads: Grads) -> Result<()> {
        for (i, g) in grads.into_iter().enumerate() {
            if let Some(g) = g
                && work.needs(i)
            {
                self.arrive_variable(&work.node.inputs[i], work.fit(i, g)?)?;
            }
        }
        Ok(())
    }

    /// Hands cotangents to the targets that asked for them.
    fn catch(&mut self, id: u64, cotangents: &Cotangents) {
        for t in &mut self.targets {
            if let Edge::Node { node, output } = &t.edge
                && node.id() == id
            {
                t.gradient = cotangents[*output as usize].get().map(Collected::from).unwrap_or_default();
            }
        }
    }

    /// Runs the hooks of leaves, and only when all have run adds the gradients and frees the graph.
    pub(super) fn commit(mut self) -> Result<()> {
        let leaves = std::mem::take(&mut self.leaves);
        let ready = leaves
            .into_iter()
            // Recording may have seen a leaf that was frozen since.
            .filter(|(leaf, _)| leaf.requires_grad())
            .filter_map(|(leaf, mut g)| Some((leaf, g.take()?)))
            .map(|(leaf, g)| {
                let g = if leaf.has_hooks() { run_hooks(&leaf.hooks(), g)? } else { g };
                Ok((leaf, g))
            })
            .collect::<Result<Vec<_>>>()?;
        self.finish();
        for (leaf, g) in ready.into_iter().chain(std::mem::take(&mut self.retained)) {
            leaf.accumulate(own(g))?;
        }
        Ok(())
    }
}

impl Sink for Sweep {
    fn sum(&mut self, input: &Input) -> Option<&mut Array> {
        self.collected(input)?.unique()
    }

    fn take(&mut self, input: &Input) -> Option<Array> {
        let sum = self.collected(input)?;
        sum.unique()?;
        sum.take_array()
    }

    fn take_recorded(&mut self, input: &Input) -> Option<Variable> {
        let Input::Node { id, output } = input else { return None };
        if !self.options.create_graph || self.watched {
            return None;
        }
        match self.marks[self.at(*id)] {
            UNSEEN | SKIPPED | REACHED => None,
            mark => self.pool[(mark - FIRST) as usize].get_mut(*output as usize)?.take(),
        }
    }

    #[inline]
    fn arrive(&mut self, input: &Input, g: Array) {
        if let Input::Leaf(leaf) = input
            && !self.targets.is_empty()
        {
            self.targets_at(leaf).for_each(|sum| sum.add(g.clone()));
        } else if let Some(sum) = self.place_of(input) {
            sum.add(g);
        }
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.order.drain(..).skip(self.done).for_each(arena::release);
    }
}
