//! The processing of one node in a backward pass: take what it needs from the arena, run its rule, drop it.

use std::sync::Arc;

use super::arena;
use super::cotangent::{Cotangents, GradAccumulator, fit};
use super::leaf::{Hook, Leaf};
use super::node::{Attrs, Input, Meta, Node, Vjp, freed_error};
use super::variable::{Edge, Variable};
use super::vjp_context::{GradSink, VjpContext};
use super::{accumulate, capture, rule_call};
use crate::array::{Array, Shape, alloc_check, few, same};
use crate::error::{Error, Result};

/// Whether the gradient of an input is wanted, and where shape and dtype of the input are.
#[derive(Clone)]
pub(super) enum GradTarget {
    No,
    /// In the leaf.
    Leaf,
    Node(Meta),
}

impl GradTarget {
    /// The target for the gradient of a value like `meta`. This code is repeated where nodes are pushed: sharing it through a closure made
    /// recording 4 % slower.
    #[inline(always)]
    fn be(&mut self, meta: &Meta) {
        let (shape, dtype) = (&meta.shape[..], meta.dtype);
        match few(shape) {
            Some(sizes) => *self = Self::Node(Meta { shape: Shape::from_buf_and_len(sizes, shape.len()), dtype }),
            None => *self = Self::Node(Meta { shape: Shape::from_slice(shape), dtype }),
        }
    }
}

/// What the processing of a node needs, moved or copied from the arena.
#[derive(Default)]
pub(super) struct NodeTask {
    pub(super) node: Node,
    /// One entry per input; older entries may follow. They are overwritten in place, because pushing large entries is slower.
    wants: Vec<GradTarget>,
}

impl NodeTask {
    /// Copies the contents of a node, which keeps them.
    ///
    /// # Errors
    /// As [`NodeTask::take`].
    pub(super) fn copy(&mut self, id: u64, wants: impl Fn(usize) -> bool) -> Result<()> {
        let arena = arena::lock();
        let node = arena.node(id);
        if node.freed {
            return Err(freed_error(node.name(), node.source()));
        }
        self.node = node.copy()?;
        self.make_room(self.node.inputs.len())?;
        for (i, (input, want)) in self.node.inputs.iter().zip(&mut self.wants).enumerate() {
            *want = match input {
                Input::Leaf(_) if wants(i) => GradTarget::Leaf,
                Input::Node { id, output } if wants(i) => GradTarget::Node(arena.node(*id).outs[*output as usize].clone()),
                _ => GradTarget::No,
            };
        }
        self.report(id);
        Ok(())
    }

    /// Takes the contents of a node. The node is released, or freed if it has other references; then its name stays for messages. The
    /// caller's reference is dropped; the caller owns the references to the inputs, too.
    ///
    /// # Errors
    /// `Freed` when another thread's pass has taken them since this pass began.
    pub(super) fn take(&mut self, id: u64, wants: impl Fn(usize) -> bool) -> Result<()> {
        let mut arena = arena::lock();
        self.make_room(arena.node(id).inputs.len())?;
        arena.take(id, &mut self.node)?;
        for (i, (input, want)) in self.node.inputs.iter().zip(&mut self.wants).enumerate() {
            *want = GradTarget::No;
            match input {
                Input::Leaf(_) if wants(i) => *want = GradTarget::Leaf,
                Input::None | Input::Number(_) | Input::Leaf(_) => {}
                Input::Node { id, output } => {
                    let from = arena.node_mut(*id);
                    from.refs -= 1;
                    if wants(i) {
                        want.be(&from.outs[*output as usize]);
                    }
                }
            }
        }
        self.report(id);
        Ok(())
    }

    /// Tells a recording in progress that the rule of the node runs.
    #[inline]
    fn report(&self, id: u64) {
        if capture::is_anywhere() && self.wants[..self.node.inputs.len()].iter().any(|want| !matches!(want, GradTarget::No)) {
            capture::note_node(id);
        }
    }

    /// Makes room for one entry per input.
    #[inline]
    fn make_room(&mut self, inputs: usize) -> Result<()> {
        if self.wants.len() < inputs {
            let more = inputs - self.wants.len();
            alloc_check::try_reserve("backward", &mut self.wants, more)?;
            self.wants.resize(inputs, GradTarget::No);
        }
        Ok(())
    }

    /// Drops the contents.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.node.clear();
    }

    /// Shape and dtype of input `i` when its gradient is wanted.
    #[inline]
    pub(super) fn meta(&self, i: usize) -> Option<&Meta> {
        match (self.node.inputs.get(i)?, &self.wants[i]) {
            (_, GradTarget::Node(meta)) => Some(meta),
            (Input::Leaf(leaf), GradTarget::Leaf) => Some(leaf.meta()),
            _ => None,
        }
    }

    /// Whether the gradient of input `i` is wanted.
    #[inline]
    pub(super) fn needs(&self, i: usize) -> bool {
        i < self.node.inputs.len() && !matches!(self.wants[i], GradTarget::No)
    }

    /// Whether any gradient is wanted.
    #[inline]
    pub(super) fn needs_any(&self) -> bool {
        self.wants[..self.node.inputs.len()].iter().any(|want| !matches!(want, GradTarget::No))
    }

    /// The hooks on its outputs.
    #[inline]
    pub(super) fn hooks(&self) -> &[(u32, u64, Hook)] {
        self.node.extra.as_ref().map_or(&[], |e| &e.hooks)
    }

    /// The places that keep the gradients of its outputs.
    #[inline]
    pub(super) fn retained(&self) -> &[(u32, Arc<Leaf>)] {
        self.node.extra.as_ref().map_or(&[], |e| &e.retained)
    }

    /// Converts a gradient to the dtype and shape of input `i`, summed over broadcast axes.
    ///
    /// # Errors
    /// `Grad` when the gradient's dtype or shape does not fit the input.
    #[inline]
    pub(super) fn fit(&self, i: usize, g: Variable) -> Result<Variable> {
        match self.meta(i) {
            Some(meta) if g.dtype() == meta.dtype && same(g.shape(), &meta.shape) => Ok(g),
            Some(meta) => fit(&g, meta, self.node.name()),
            None => Ok(g),
        }
    }

    /// Runs its rule, which adds the gradients of the inputs to `sink`.
    pub(super) fn apply(&self, id: u64, cotangents: &mut Cotangents, create_graph: bool, check_nan: bool, sink: &mut dyn GradSink) -> Result<()> {
        let check_nan = check_nan && !cotangents.iter().filter_map(GradAccumulator::array).any(accumulate::has_nan);
        let node = &self.node;
        if !create_graph && capture::is_on() && !matches!(node.attrs, Attrs::Custom(_)) && matches!(node.op.vjp, Vjp::Rule(_)) {
            return rule_call::captured(self, id, cotangents, sink);
        }
        let mut ctx = VjpContext { id, work: self, cotangents, create_graph, check_nan, sink };
        match (&node.attrs, node.op.vjp) {
            (Attrs::Custom(rule), _) => rule.vjp(&mut ctx),
            (_, Vjp::Rule(rule)) => rule(&mut ctx),
            (_, Vjp::Definition) => super::definition::vjp(&mut ctx),
            (_, Vjp::NonDifferentiable) => unreachable!("{}: only differentiable operations are recorded", node.op.name),
        }
    }

    /// Runs its rule on arrays.
    pub(super) fn run_rule(&self, id: u64, cotangents: &mut Cotangents, sink: &mut dyn GradSink) -> Result<()> {
        let Vjp::Rule(rule) = self.node.op.vjp else { unreachable!("{}: has a rule", self.node.op.name) };
        rule(&mut VjpContext { id, work: self, cotangents, create_graph: false, check_nan: false, sink })
    }

    /// A task for a node that is not in the arena. Gradients are wanted for the inputs that have an entry in `wanted`.
    pub(super) fn with_wanted(node: Node, wanted: &[Option<Meta>]) -> Self {
        let wants = wanted.iter().map(|m| m.clone().map_or(GradTarget::No, GradTarget::Node)).collect();
        Self { node, wants }
    }

    /// Fails if the gradient of input `i` contains NaN. The cotangents contain none.
    #[cold]
    pub(super) fn look_for_nan(&self, i: usize, g: &Array) -> Result<()> {
        if !accumulate::has_nan(g) {
            return Ok(());
        }
        let line = self.node.source().map(|s| format!(", recorded at {s}")).unwrap_or_default();
        Err(Error::Grad(format!("detect_anomaly: the gradient of `{}` with respect to its input {i} is NaN{line}", self.node.name())))
    }
}

/// An edge to an input that is alive, with a reference.
pub(super) fn edge_of(input: &Input) -> Edge {
    match input {
        Input::None | Input::Number(_) => Edge::None,
        Input::Leaf(leaf) => Edge::Leaf(Arc::clone(leaf)),
        Input::Node { id, output } => Edge::Node { node: arena::lock().count(*id), output: *output },
    }
}

/// Drops what a node saved, and its inputs. The name stays for messages while there are references.
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
    for input in &inputs {
        if let Input::Node { id, .. } = input {
            arena::release(*id);
        }
    }
}

/// Makes `v` a value whose graph was freed, as after a backward pass.
pub fn forget(v: &Variable) {
    if let Edge::Node { node, .. } = v.edge() {
        free(node.id());
    }
}

/// As [`free`], unless the node was released already.
pub(super) fn free_if_alive(id: u64) {
    let alive = arena::lock().is_alive(id);
    if alive {
        free(id);
    }
}
