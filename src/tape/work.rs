//! A node's turn in a backward pass: what it needs from the arena, its rule, its end.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::accumulate;
use super::arena::{self, NodeRef};
use super::leaf::{Hook, Leaf};
use super::mode;
use super::node::{Attrs, Grads, Input, Meta, Node, Op, Rule, Saved, Step, freed_error};
use super::sweep::Cotangents;
use super::variable::Edge;
use crate::error::{Error, Result};

/// What a node's turn needs, taken or copied out of the arena.
pub(super) struct Work {
    op: &'static Op,
    attrs: Attrs,
    pub(super) inputs: SmallVec<[Input; 2]>,
    pub(super) metas: SmallVec<[Option<Meta>; 2]>,
    saved: SmallVec<[Saved; 2]>,
    pub(super) outs: SmallVec<[Meta; 1]>,
    pub(super) hooks: Vec<(u32, u64, Hook)>,
    pub(super) retained: Vec<(u32, Arc<Leaf>)>,
    source: Option<Arc<str>>,
}

impl Work {
    /// What node `id` has.
    ///
    /// # Errors
    /// `Freed` when another thread's pass has come first since this one began.
    pub(super) fn take(id: u64, keep: bool) -> Result<Self> {
        let mut arena = arena::lock();
        let node: &mut Node = arena.node_mut(id);
        if node.freed {
            return Err(freed_error(node.name(), node.source()));
        }
        let source = node.source().cloned();
        let (hooks, retained) = node.extra.as_ref().map_or_else(Default::default, |e| (e.hooks.clone(), e.retained.clone()));
        let (op, outs) = (node.op, node.outs.clone());
        let (attrs, inputs, saved) = if keep {
            (node.attrs.clone(), node.inputs.clone(), node.saved.clone())
        } else {
            // Nothing in this pass can fail: the node is freed now, and stays as a name for messages.
            node.freed = true;
            (node.attrs.take(), std::mem::take(&mut node.inputs), std::mem::take(&mut node.saved))
        };
        let meta = |input: &Input| match input {
            Input::None => None,
            Input::Leaf(leaf) => Some(leaf.meta().clone()),
            Input::Node { id, output } => Some(arena.node(*id).outs[*output as usize].clone()),
        };
        let metas = inputs.iter().map(meta).collect();
        Ok(Self { op, attrs, inputs, metas, saved, outs, hooks, retained, source })
    }

    pub(super) fn name(&self) -> &str {
        self.attrs.name().unwrap_or(self.op.name)
    }

    /// The nodes it consumed.
    pub(super) fn consumed(&self) -> SmallVec<[u64; 2]> {
        self.inputs.iter().filter_map(|input| if let Input::Node { id, .. } = input { Some(*id) } else { None }).collect()
    }

    /// Runs its rule.
    pub(super) fn apply(&self, id: u64, cotangents: Cotangents, metas: &[Option<Meta>], create_graph: bool) -> Result<Grads> {
        let clean = mode::is_anomaly() && !cotangents.iter().flatten().any(|g| accumulate::has_nan(g.array()));
        let edges: SmallVec<[Edge; 2]> = if create_graph { self.inputs.iter().map(edge_of).collect() } else { smallvec![] };
        let outputs = |output: u8| edge_of(&Input::Node { id, output: u32::from(output) });
        let mut step = Step {
            op: self.op,
            attrs: &self.attrs,
            saved: &self.saved,
            inputs: &edges,
            metas,
            outs: &self.outs,
            outputs: &outputs,
            cotangents,
            create_graph,
        };
        let grads = match (&self.attrs, self.op.rule) {
            (Attrs::Custom(rule), _) => rule.vjp(&mut step)?,
            (_, Rule::Vjp(vjp)) => vjp(&mut step)?,
            _ => unreachable!("{}: only differentiable operations are recorded", self.op.name),
        };
        if clean && let Some(i) = grads.iter().position(|g| g.as_ref().is_some_and(|g| accumulate::has_nan(g.array()))) {
            let line = self.source.as_ref().map(|s| format!(", recorded at {s}")).unwrap_or_default();
            return Err(Error::Grad(format!("detect_anomaly: the gradient of `{}` with respect to its input {i} is NaN{line}", self.name())));
        }
        Ok(grads)
    }
}

/// A counted edge to a living node.
fn edge_of(input: &Input) -> Edge {
    match input {
        Input::None => Edge::None,
        Input::Leaf(leaf) => Edge::Leaf(Arc::clone(leaf)),
        Input::Node { id, output } => {
            arena::lock().node_mut(*id).refs += 1;
            Edge::Node { node: NodeRef::from_counted(*id), output: *output }
        }
    }
}

/// Drops what a node saved and whom it consumes; it stays, as a name for messages, while somebody holds it.
fn free(id: u64) {
    let mut arena = arena::lock();
    let node = arena.node_mut(id);
    let before = node.is_fallible();
    node.freed = true;
    let inputs = std::mem::take(&mut node.inputs);
    let saved = std::mem::take(&mut node.saved);
    let attrs = node.attrs.take();
    let hooks = node.extra.as_mut().map(|e| std::mem::take(&mut e.hooks));
    arena.count_fallible(before, false);
    drop(arena);
    drop((saved, attrs, hooks));
    arena::release(inputs.iter().filter_map(|input| if let Input::Node { id, .. } = input { Some(*id) } else { None }));
}

/// As [`free`], unless the node is gone already.
pub(super) fn free_if_alive(id: u64) {
    let alive = arena::lock().is_alive(id);
    if alive {
        free(id);
    }
}
