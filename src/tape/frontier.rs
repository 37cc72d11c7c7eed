//! Where a part of the tape begins: what it depends on outside of itself.

use std::collections::HashSet;
use std::sync::Arc;

use super::arena;
use super::leaf::Leaf;
use super::node::Input;
use super::node_task::edge_of;
use super::variable::{Edge, Variable};
use crate::array::{Array, Scalar};

/// Walks from values to what they were made of. Each node is seen once.
struct Walk {
    seen: HashSet<u64>,
    open: Vec<u64>,
}

impl Walk {
    fn from(values: &[Variable]) -> (Self, Vec<Arc<Leaf>>) {
        let (mut walk, mut leaves) = (Self { seen: HashSet::new(), open: Vec::new() }, Vec::new());
        for v in values {
            match v.edge() {
                Edge::Leaf(leaf) => leaves.push(Arc::clone(leaf)),
                Edge::Node { node, .. } => walk.add(node.id()),
                Edge::None | Edge::Lifted(_) => {}
            }
        }
        (walk, leaves)
    }

    fn add(&mut self, id: u64) {
        if self.seen.insert(id) {
            self.open.push(id);
        }
    }
}

/// Whether one of the plain values depends on a leaf that requires gradients and is none of the roots.
#[must_use]
pub fn reaches_beyond(values: &[Variable], roots: &[Variable]) -> bool {
    let own = |leaf: &Leaf| roots.iter().any(|r| matches!(r.edge(), Edge::Leaf(l) if l.id() == leaf.id()));
    let (mut walk, leaves) = Walk::from(values);
    if leaves.iter().any(|leaf| leaf.requires_grad() && !own(leaf)) {
        return true;
    }
    let arena = arena::lock();
    while let Some(id) = walk.open.pop() {
        for input in &arena.node(id).inputs {
            match input {
                Input::Leaf(leaf) if leaf.requires_grad() && !own(leaf) => return true,
                Input::None | Input::Number(_) | Input::Leaf(_) => {}
                Input::Node { id, .. } => walk.add(*id),
            }
        }
    }
    false
}

/// The number that the next recorded node gets.
#[must_use]
pub fn next_number() -> u64 {
    arena::lock().next()
}

/// What the plain values depend on besides the roots: leaves, and results of nodes that were recorded before number `since`.
/// Only the place on the tape, the shape and the dtype of such a Variable count; its elements are zeros.
#[must_use]
pub fn frontier(values: &[Variable], roots: &[Variable], since: u64) -> Vec<Variable> {
    let (mut walk, leaves) = (Walk { seen: HashSet::new(), open: Vec::new() }, Vec::new());
    let mut found = Found { roots, leaves, nodes: HashSet::new(), out: Vec::new() };
    for v in values {
        match v.edge() {
            Edge::Leaf(leaf) => found.leaf(leaf),
            Edge::Node { node, output } if node.id() < since => found.node(node.id(), *output),
            Edge::Node { node, .. } => walk.add(node.id()),
            Edge::None | Edge::Lifted(_) => {}
        }
    }
    while let Some(id) = walk.open.pop() {
        let inputs = arena::lock().node(id).inputs.clone();
        for input in &inputs {
            match input {
                Input::None | Input::Number(_) => {}
                Input::Leaf(leaf) => found.leaf(leaf),
                Input::Node { id, output } if *id < since => found.node(*id, *output),
                Input::Node { id, .. } => walk.add(*id),
            }
        }
    }
    found.out
}

/// Places outside of a part of the tape, each once.
struct Found<'a> {
    roots: &'a [Variable],
    leaves: Vec<u64>,
    nodes: HashSet<(u64, u32)>,
    out: Vec<Variable>,
}

impl Found<'_> {
    fn leaf(&mut self, leaf: &Arc<Leaf>) {
        let own = self.roots.iter().any(|r| matches!(r.edge(), Edge::Leaf(l) if l.id() == leaf.id()));
        if leaf.requires_grad() && !own && !self.leaves.contains(&leaf.id()) {
            self.leaves.push(leaf.id());
            self.out.push(leaf.variable());
        }
    }

    fn node(&mut self, id: u64, output: u32) {
        let own = self.roots.iter().any(|r| matches!(r.edge(), Edge::Node { node, output: o } if node.id() == id && *o == output));
        if own || !self.nodes.insert((id, output)) {
            return;
        }
        let meta = arena::lock().node(id).outs[output as usize].clone();
        let zero = Array::full(&[], Scalar::Int(0), meta.dtype);
        let example = zero.broadcast_to("frontier", &meta.shape).unwrap_or_else(|_| Array::zeros(&meta.shape, meta.dtype));
        self.out.push(Variable::with_edge(example, edge_of(&Input::Node { id, output })));
    }
}
