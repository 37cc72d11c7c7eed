//! The frontier of a part of the tape: the values outside it that it depends on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::arena;
use super::leaf::Leaf;
use super::node::Input;
use super::node_task::edge_of;
use super::variable::{Edge, Variable};
use crate::array::{Array, Scalar};

/// Walks from values to the values that they were computed from. Each node is visited once.
#[derive(Default)]
struct Walk {
    seen: HashSet<u64>,
    open: Vec<u64>,
}

impl Walk {
    fn add(&mut self, id: u64) {
        if self.seen.insert(id) {
            self.open.push(id);
        }
    }
}

/// Whether one of the plain values depends on a leaf that requires gradients and is not one of the roots.
#[must_use]
pub fn reaches_beyond(values: &[Variable], roots: &[Variable]) -> bool {
    let own: HashSet<u64> = roots.iter().filter_map(|r| if let Edge::Leaf(leaf) = r.edge() { Some(leaf.id()) } else { None }).collect();
    let is_beyond = |leaf: &Leaf| leaf.requires_grad() && !own.contains(&leaf.id());
    let mut walk = Walk::default();
    for v in values {
        match v.edge() {
            Edge::Leaf(leaf) if is_beyond(leaf) => return true,
            Edge::Node { node, .. } => walk.add(node.id()),
            Edge::None | Edge::Leaf(_) | Edge::Lifted(_) => {}
        }
    }
    let arena = arena::lock();
    while let Some(id) = walk.open.pop() {
        for input in &arena.node(id).inputs {
            match input {
                Input::Leaf(leaf) if is_beyond(leaf) => return true,
                Input::None | Input::Number(_) | Input::Leaf(_) => {}
                Input::Node { id, .. } => walk.add(*id),
            }
        }
    }
    false
}

/// Whether a backward pass from a plain value fails, because an earlier one has freed a node that it reaches. Nodes that were recorded
/// before number `since` are not visited.
#[must_use]
pub fn reaches_freed(value: &Variable, since: u64) -> bool {
    let mut walk = Walk::default();
    let add = |walk: &mut Walk, id: u64| {
        if id >= since {
            walk.add(id);
        }
    };
    if let Edge::Node { node, .. } = value.edge() {
        add(&mut walk, node.id());
    }
    let arena = arena::lock();
    while let Some(id) = walk.open.pop() {
        let node = arena.node(id);
        if node.freed {
            return true;
        }
        for input in &node.inputs {
            if let Input::Node { id, .. } = input {
                add(&mut walk, *id);
            }
        }
    }
    false
}

/// For each plain value, the number of its group: values are in one group if they depend on a common node. Nodes that were recorded before
/// number `since` do not count.
#[must_use]
pub fn groups(values: &[Variable], since: u64) -> Vec<usize> {
    let mut of_value: Vec<usize> = (0..values.len()).collect();
    let mut of_node: HashMap<u64, usize> = HashMap::new();
    let arena = arena::lock();
    for (i, v) in values.iter().enumerate() {
        let mut open = if let Edge::Node { node, .. } = v.edge() { vec![node.id()] } else { Vec::new() };
        while let Some(id) = open.pop() {
            if id < since {
                continue;
            }
            if let Some(other) = of_node.get(&id).map(|k| of_value[*k]) {
                let mine = of_value[i];
                if other != mine {
                    of_value.iter_mut().filter(|g| **g == mine).for_each(|g| *g = other);
                }
                continue;
            }
            of_node.insert(id, i);
            open.extend(arena.node(id).inputs.iter().filter_map(|input| if let Input::Node { id, .. } = input { Some(*id) } else { None }));
        }
    }
    of_value
}

/// The number that the next recorded node gets.
#[must_use]
pub fn next_number() -> u64 {
    arena::lock().next()
}

/// The values outside a part of the tape that the plain values depend on, roots excepted: leaves, and results of nodes that were recorded
/// before number `since`. Only edge, shape and dtype of these Variables are meaningful; their elements are zeros.
#[must_use]
pub fn frontier(values: &[Variable], roots: &[Variable], since: u64) -> Vec<Variable> {
    let mut walk = Walk::default();
    let mut found = Found::without(roots);
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

/// The values outside a part of the tape, each once.
#[derive(Default)]
struct Found {
    leaves: HashSet<u64>,
    nodes: HashSet<(u64, u32)>,
    out: Vec<Variable>,
}

impl Found {
    /// An empty frontier. The roots count as visited.
    fn without(roots: &[Variable]) -> Self {
        let mut found = Self::default();
        for r in roots {
            match r.edge() {
                Edge::Leaf(leaf) => _ = found.leaves.insert(leaf.id()),
                Edge::Node { node, output } => _ = found.nodes.insert((node.id(), *output)),
                Edge::None | Edge::Lifted(_) => {}
            }
        }
        found
    }

    fn leaf(&mut self, leaf: &Arc<Leaf>) {
        if leaf.requires_grad() && self.leaves.insert(leaf.id()) {
            self.out.push(leaf.variable());
        }
    }

    fn node(&mut self, id: u64, output: u32) {
        if !self.nodes.insert((id, output)) {
            return;
        }
        let meta = arena::lock().node(id).outs[output as usize].clone();
        let zero = Array::full(&[], Scalar::Int(0), meta.dtype);
        let example = zero.broadcast_to("frontier", &meta.shape).unwrap_or_else(|_| Array::zeros(&meta.shape, meta.dtype));
        self.out.push(Variable::with_edge(example, edge_of(&Input::Node { id, output })));
    }
}
