//! A node's turn in a backward pass: what it needs from the arena, its rule, its end.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::accumulate;
use super::arena::{self, Arena, NodeRef};
use super::leaf::{Hook, Leaf};
use super::mode;
use super::node::{Attrs, Extra, Input, Meta, Node, Op, Rule, Saved, freed_error};
use super::step::{Grads, Step};
use super::sweep::Cotangents;
use super::variable::Edge;
use crate::array::Array;
use crate::error::{Error, Result};

/// What a node's turn needs, taken or copied out of the arena. It is filled in where it lies: it is large.
#[derive(Default)]
pub(super) struct Work {
    op: Option<&'static Op>,
    attrs: Attrs,
    pub(super) inputs: SmallVec<[Input; 2]>,
    /// What the inputs are like whose gradient is wanted.
    pub(super) metas: SmallVec<[Option<Meta>; 2]>,
    saved: SmallVec<[Saved; 2]>,
    pub(super) outs: SmallVec<[Meta; 1]>,
    extra: Option<Box<Extra>>,
}

impl Work {
    /// Copies what the node holds, which stays as it is.
    ///
    /// # Errors
    /// As [`Work::take`].
    pub(super) fn copy(&mut self, id: u64, wants: impl Fn(&Input) -> bool) -> Result<()> {
        let arena = arena::lock();
        let node = arena.node(id);
        if node.freed {
            return Err(freed_error(node.name(), node.source()));
        }
        (self.op, self.attrs, self.extra) = (Some(node.op), node.attrs.clone(), node.extra.clone());
        (self.inputs, self.saved, self.outs) = (node.inputs.clone(), node.saved.clone(), node.outs.clone());
        self.look_at_inputs(&arena, wants);
        Ok(())
    }

    /// Takes what the node holds, in exchange for nothing: it is freed, and stays as a name for messages while somebody holds it. The count of
    /// the caller, who counts the node's inputs too, is given back.
    ///
    /// # Errors
    /// `Freed` when another thread's pass has come first since this one began.
    pub(super) fn take(&mut self, id: u64, wants: impl Fn(&Input) -> bool) -> Result<()> {
        let mut arena = arena::lock();
        let node: &mut Node = arena.node_mut(id);
        if node.freed {
            return Err(freed_error(node.name(), node.source()));
        }
        node.freed = true;
        self.op = Some(node.op);
        match node.attrs.name() {
            // A name stays, for messages.
            Some(_) => self.attrs = node.attrs.take(),
            None => std::mem::swap(&mut self.attrs, &mut node.attrs),
        }
        std::mem::swap(&mut self.inputs, &mut node.inputs);
        std::mem::swap(&mut self.saved, &mut node.saved);
        if node.extra.is_some() {
            self.extra = if node.refs == 1 { node.extra.take() } else { node.extra.clone() };
        }
        for out in &node.outs {
            self.outs.push(out.clone());
        }
        self.look_at_inputs(&arena, wants);
        for input in &self.inputs {
            if let Input::Node { id, .. } = input {
                arena.node_mut(*id).refs -= 1;
            }
        }
        arena.release_empty(id);
        Ok(())
    }

    /// Notes what the inputs are like whose gradient is wanted.
    #[inline]
    fn look_at_inputs(&mut self, arena: &Arena, wants: impl Fn(&Input) -> bool) {
        for input in &self.inputs {
            match input {
                _ if !wants(input) => self.metas.push(None),
                Input::None => self.metas.push(None),
                Input::Leaf(leaf) => self.metas.push(Some(leaf.meta().clone())),
                Input::Node { id, output } => self.metas.push(Some(arena.node(*id).outs[*output as usize].clone())),
            }
        }
    }

    /// The hooks on its outputs.
    pub(super) fn hooks(&self) -> &[(u32, u64, Hook)] {
        self.extra.as_ref().map_or(&[], |e| &e.hooks)
    }

    /// Where gradients of its outputs are kept.
    pub(super) fn retained(&self) -> &[(u32, Arc<Leaf>)] {
        self.extra.as_ref().map_or(&[], |e| &e.retained)
    }

    pub(super) fn name(&self) -> &str {
        self.attrs.name().unwrap_or_else(|| self.op().name)
    }

    fn op(&self) -> &'static Op {
        match self.op {
            Some(op) => op,
            None => unreachable!("a node's turn begins with its contents"),
        }
    }

    /// Runs its rule: the gradients of its inputs. `collected` takes what an input has collected.
    pub(super) fn apply(
        &self,
        id: u64,
        cotangents: Cotangents,
        create_graph: bool,
        collected: &mut dyn FnMut(usize) -> Option<Array>,
    ) -> Result<Grads> {
        let clean = mode::is_anomaly() && !cotangents.iter().flatten().any(|g| accumulate::has_nan(g.array()));
        let edges: SmallVec<[Edge; 2]> = if create_graph { self.inputs.iter().map(edge_of).collect() } else { smallvec![] };
        let outputs = |output: u8| edge_of(&Input::Node { id, output: u32::from(output) });
        let mut step = Step {
            op: self.op(),
            attrs: &self.attrs,
            saved: &self.saved,
            inputs: &edges,
            metas: &self.metas,
            outs: &self.outs,
            outputs: &outputs,
            cotangents,
            create_graph,
            collected,
        };
        let grads = match (&self.attrs, self.op().rule) {
            (Attrs::Custom(rule), _) => rule.vjp(&mut step)?,
            (_, Rule::Vjp(vjp)) => vjp(&mut step)?,
            _ => unreachable!("{}: only differentiable operations are recorded", self.op().name),
        };
        if clean && let Some(i) = grads.iter().position(|g| g.as_ref().is_some_and(|g| accumulate::has_nan(g.array()))) {
            let line = self.extra.as_ref().and_then(|e| e.source.as_ref()).map(|s| format!(", recorded at {s}")).unwrap_or_default();
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
    let hooks = node.extra.as_mut().map(|e| (std::mem::take(&mut e.hooks), std::mem::take(&mut e.held)));
    arena.count_fallible(before, false);
    drop(arena);
    drop((saved, attrs, hooks));
    for input in &inputs {
        if let Input::Node { id, .. } = input {
            arena::release(*id);
        }
    }
}

/// As [`free`], unless the node is gone already.
pub(super) fn free_if_alive(id: u64) {
    let alive = arena::lock().is_alive(id);
    if alive {
        free(id);
    }
}
