//! Inspection: what is on the tape, and how much memory it takes.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::arena;
use super::node::{Input, Node};
use super::{Edge, Leaf, Variable};
use crate::array::{Array, DType, Shape, alloc_check, pool};
use crate::error::show_shape;

/// A description of a recorded operation, taken when it was recorded.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// Sequence number.
    pub id: u64,
    /// Name of the operation.
    pub op: String,
    /// The arguments of the call that are not arrays.
    pub attrs: String,
    /// Where its inputs came from.
    pub inputs: Vec<Source>,
    /// Shapes and dtypes of the outputs.
    pub outputs: Vec<(Shape, DType)>,
    /// Bytes that it saves for its gradient rule.
    pub saved_bytes: usize,
    /// The line of user code that recorded it.
    pub source: Option<Arc<str>>,
    /// Its results, if they were asked for.
    pub values: Vec<Array>,
    /// The values of leaves among its inputs, with their numbers, if they were asked for.
    pub leaves: Vec<(u64, Array)>,
}

/// A text that may be long. It unwinds with an error when there is no memory for it.
#[derive(Default)]
struct Text(String);

impl fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        alloc_check::reserve_text(&mut self.0, s.len());
        self.0.push_str(s);
        Ok(())
    }
}

impl Text {
    fn of(arguments: fmt::Arguments<'_>) -> String {
        let mut out = Self::default();
        // Writing to a `String` cannot fail.
        let _ = out.write_fmt(arguments);
        out.0
    }
}

/// Where an input came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A value that is not tracked.
    Constant,
    /// The leaf of that number, with its shape.
    Leaf(u64, Shape),
    /// The node of that number.
    Node(u64),
}

impl NodeInfo {
    pub(super) fn of(node: &Node) -> Self {
        let source = |input: &Input| match input {
            Input::None => Some(Source::Constant),
            Input::Number(_) => None,
            Input::Leaf(leaf) => Some(Source::Leaf(leaf.id(), leaf.meta().shape.clone())),
            Input::Node { id, .. } => Some(Source::Node(*id)),
        };
        let numbers: Vec<f64> = node.inputs.iter().filter_map(|i| if let Input::Number(x) = i { Some(*x) } else { None }).collect();
        let attrs = if numbers.is_empty() {
            Text::of(format_args!("{:?}", node.attrs))
        } else {
            let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
            Text::of(format_args!("{} {:?}", numbers.join(", "), node.attrs))
        };
        Self {
            id: 0,
            op: node.name().to_owned(),
            attrs,
            inputs: alloc_check::collect(node.inputs.iter().filter_map(source)),
            outputs: alloc_check::collect(node.outs.iter().map(|m| (m.shape.clone(), m.dtype))),
            saved_bytes: node.saved_bytes(),
            source: node.source().cloned(),
            values: Vec::new(),
            leaves: Vec::new(),
        }
    }
}

/// The leaves among the inputs of a node. Their values are read once the arena is unlocked.
pub(super) fn leaves_of(node: &Node) -> Vec<Arc<Leaf>> {
    alloc_check::collect(node.inputs.iter().filter_map(|input| if let Input::Leaf(leaf) = input { Some(Arc::clone(leaf)) } else { None }))
}

pub(super) fn values_of(leaves: &[Arc<Leaf>]) -> Vec<(u64, Array)> {
    alloc_check::collect(leaves.iter().map(|leaf| (leaf.id(), leaf.array())))
}

/// What the tape and the pool hold at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapeStats {
    /// Number of live nodes.
    pub live_nodes: usize,
    /// Bytes of the arrays that they save. Shared arrays are counted each time.
    pub saved_bytes: usize,
    /// Bytes that the buffer pool has allocated.
    pub pool_bytes: usize,
}

/// Counts live nodes and their memory. It walks all nodes, so it is for inspection, not for loops.
#[must_use]
pub fn tape_stats() -> TapeStats {
    let (live_nodes, saved_bytes) = arena::lock().totals();
    TapeStats { live_nodes, saved_bytes, pool_bytes: pool::stats().system_bytes }
}

/// The name of the operation at `id`, which is alive.
#[must_use]
pub fn op_name(node: &super::NodeRef) -> String {
    arena::lock().node(node.id()).name().to_owned()
}

/// Where the inputs of an operation came from, numbers excepted. A freed operation has none.
#[must_use]
pub fn inputs(node: &super::NodeRef) -> Vec<Edge> {
    let mut arena = arena::lock();
    let inputs = arena.node(node.id()).inputs.clone();
    let edge = |input: &Input| match input {
        Input::None => Some(Edge::None),
        Input::Number(_) => None,
        Input::Leaf(leaf) => Some(Edge::Leaf(Arc::clone(leaf))),
        Input::Node { id, output } => Some(Edge::Node { node: arena.count(*id), output: *output }),
    };
    alloc_check::collect(inputs.iter().filter_map(edge))
}

/// Descriptions of the operations that the results were recorded from, oldest first. An operation that a backward pass has freed has no
/// inputs. With `values`, the values of results and of leaves are included.
#[must_use]
pub fn history(results: &[Variable], values: bool) -> Vec<NodeInfo> {
    let mut found = BTreeMap::new();
    let roots = results.iter().filter_map(|v| if let Edge::Node { node, .. } = v.edge() { Some(node.id()) } else { None });
    let mut waiting: Vec<u64> = alloc_check::collect(roots);
    while let Some(id) = waiting.pop() {
        if found.contains_key(&id) {
            continue;
        }
        // The arena is locked for one node at a time, so another thread may free the rest meanwhile.
        let info = {
            let arena = arena::lock();
            arena.is_alive(id).then(|| (NodeInfo::of(arena.node(id)), if values { leaves_of(arena.node(id)) } else { Vec::new() }))
        };
        let Some((mut info, leaves)) = info else { continue };
        info.leaves = values_of(&leaves);
        if values && info.outputs.len() == 1 {
            let is_result = |v: &&Variable| matches!(v.edge(), Edge::Node { node, .. } if node.id() == id);
            info.values = results.iter().find(is_result).map(|v| v.array().clone()).into_iter().collect();
        }
        for input in &info.inputs {
            if let Source::Node(from) = input {
                alloc_check::push(&mut waiting, *from);
            }
        }
        found.insert(id, NodeInfo { id, ..info });
    }
    alloc_check::collect(found.into_values())
}

/// Recorded operations as text, one per line.
#[must_use]
pub fn listing(nodes: &[NodeInfo]) -> String {
    let mut out = Text::default();
    for n in nodes {
        let inputs: Vec<String> = alloc_check::collect(n.inputs.iter().map(show_source));
        let shapes: Vec<String> = alloc_check::collect(n.outputs.iter().map(|(s, d)| format!("{d}{}", show_shape(s))));
        let line = n.source.as_ref().map(|s| format!("  {s}")).unwrap_or_default();
        let _ = writeln!(out, "%{} = {}({}) -> {}  saves {} B{line}", n.id, n.op, inputs.join(", "), shapes.join(", "), n.saved_bytes);
    }
    out.0
}

fn show_source(s: &Source) -> String {
    match s {
        Source::Constant => "const".to_owned(),
        Source::Leaf(id, _) => format!("leaf{id}"),
        Source::Node(id) => format!("%{id}"),
    }
}

/// Recorded operations in Graphviz's DOT language.
#[must_use]
pub fn to_dot(nodes: &[NodeInfo]) -> String {
    let mut out = Text::default();
    let _ = out.write_str("digraph tape {\n  rankdir=TB;\n  node [shape=box, fontname=\"Helvetica\"];\n");
    let mut leaves: Vec<u64> = Vec::new();
    for n in nodes {
        let shape = n.outputs.first().map(|(s, _)| show_shape(s)).unwrap_or_default();
        let _ = writeln!(out, "  n{} [label=\"{}\\n{shape}\"];", n.id, n.op.replace('"', "\\\""));
        for input in &n.inputs {
            match input {
                Source::Constant => {}
                Source::Node(id) => {
                    let _ = writeln!(out, "  n{id} -> n{};", n.id);
                }
                Source::Leaf(id, shape) => {
                    if !leaves.contains(id) {
                        alloc_check::push(&mut leaves, *id);
                        let _ = writeln!(
                            out,
                            "  leaf{id} [shape=ellipse, style=filled, fillcolor=lightblue, label=\"leaf {id}\\n{}\"];",
                            show_shape(shape)
                        );
                    }
                    let _ = writeln!(out, "  leaf{id} -> n{};", n.id);
                }
            }
        }
    }
    let _ = out.write_str("}\n");
    out.0
}
