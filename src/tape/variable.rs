//! A variable: an array and its edge, which is its place on the tape. Only the functions `record…` write to the tape.

use std::sync::Arc;

use smallvec::SmallVec;

use super::arena::{self, NodeRef};
use super::capture;
use super::leaf::Leaf;
use super::mode;
use super::node::{Attrs, CustomRule, Input, Meta, Vjp};
use super::primitive::{AttrSet, Lifted, Operand, Outputs, Primitive};
use super::saved::Roles;
use super::trace;
use super::vjp_context::Saver;
use crate::array::{Array, DType, Shape, alloc_check, few};
use crate::error::{Error, Result};

/// The place of a value on the tape.
#[derive(Clone, Debug, Default)]
pub enum Edge {
    /// Not tracked.
    #[default]
    None,
    /// A leaf, which collects gradients.
    Leaf(Arc<Leaf>),
    /// Output `output` of a recorded operation.
    Node {
        /// The operation.
        node: NodeRef,
        /// The number of the output.
        output: u32,
    },
    /// A value inside a transformation.
    Lifted(Arc<Lifted>),
}

/// The identity of an edge. Numbers of leaves and nodes are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeKey {
    /// Not tracked.
    None,
    /// A leaf's number.
    Leaf(u64),
    /// A node's number, and which of its outputs.
    Node(u64, u32),
    /// The address of the lifted value.
    Lifted(usize),
}

impl Edge {
    /// The identity of the edge.
    #[must_use]
    pub fn key(&self) -> EdgeKey {
        match self {
            Self::None => EdgeKey::None,
            Self::Lifted(lifted) => EdgeKey::Lifted(Arc::as_ptr(lifted) as usize),
            Self::Leaf(leaf) => EdgeKey::Leaf(leaf.id()),
            Self::Node { node, output } => EdgeKey::Node(node.id(), *output),
        }
    }
}

/// An array and its edge. It is cheap to clone and never changes.
#[derive(Clone, Debug)]
pub struct Variable {
    array: Array,
    edge: Edge,
}

impl From<Array> for Variable {
    fn from(array: Array) -> Self {
        Self { array, edge: Edge::None }
    }
}

impl Variable {
    /// A value with an edge.
    #[must_use]
    #[inline]
    pub fn with_edge(array: Array, edge: Edge) -> Self {
        Self { array, edge }
    }

    /// A new leaf that collects gradients.
    ///
    /// # Errors
    /// `DType` unless the dtype is floating or complex.
    ///
    /// ```
    /// use tapegrad::{array::Array, ops, tape::{Variable, backward}};
    /// let x = Variable::parameter(Array::from_slice(&[1.0, 2.0], &[2]))?;
    /// let y = ops::sum(&ops::multiply(&x, &x)?, None, false)?;
    /// backward(&y)?;
    /// assert_eq!(x.grad().unwrap().to_vec::<f64>(), [2.0, 4.0]);
    /// # Ok::<(), tapegrad::Error>(())
    /// ```
    pub fn parameter(array: Array) -> Result<Self> {
        if !array.dtype().is_inexact() {
            return Err(Error::DType(format!("only floating and complex dtypes can require gradients, this array is {}", array.dtype())));
        }
        Ok(Leaf::new(array.into(), true).variable())
    }

    /// The value.
    #[must_use]
    #[inline]
    pub fn array(&self) -> &Array {
        &self.array
    }

    /// The array, for writing. The caller guarantees that it has no history.
    pub(crate) fn array_mut(&mut self) -> &mut Array {
        &mut self.array
    }

    /// Replaces the edge and returns the old one, which must be dropped without a lock.
    #[must_use]
    pub fn replace_edge(&mut self, edge: Edge) -> Edge {
        std::mem::replace(&mut self.edge, edge)
    }

    /// Moves the array out.
    #[must_use]
    #[inline]
    pub fn into_array(self) -> Array {
        self.array
    }

    /// The edge.
    #[must_use]
    #[inline]
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Whether gradients flow through it.
    #[must_use]
    #[inline]
    pub fn is_tracked(&self) -> bool {
        !matches!(self.edge, Edge::None)
    }

    /// Sizes of the axes.
    #[must_use]
    #[inline]
    pub fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    /// Number of axes.
    #[must_use]
    #[inline]
    pub fn ndim(&self) -> usize {
        self.array.ndim()
    }

    /// Type of the elements.
    #[must_use]
    #[inline]
    pub fn dtype(&self) -> DType {
        self.array.dtype()
    }

    /// The same value without history.
    #[must_use]
    pub fn detach(&self) -> Self {
        match &self.edge {
            Edge::Lifted(lifted) => Self { array: self.array.clone(), edge: Edge::Lifted(Arc::new(lifted.detach())) },
            _ => self.array.clone().into(),
        }
    }

    /// The same value and history, in pool memory: copied if another owner lends the memory.
    #[must_use]
    #[inline]
    pub fn pooled(self) -> Self {
        if self.array.storage().is_pooled() {
            return self;
        }
        let array = self.array.pooled();
        capture::note_copy(&self.array, &array);
        Self { array, edge: self.edge }
    }

    /// The gradient that backward passes collected, if this is a leaf.
    #[must_use]
    pub fn grad(&self) -> Option<Array> {
        match &self.edge {
            Edge::Leaf(leaf) => leaf.grad().map(|g| g.array()),
            _ => None,
        }
    }
}

fn operands<'a>(inputs: &[&'a Variable]) -> SmallVec<[Operand<'a>; 3]> {
    inputs.iter().map(|&v| Operand::Variable(v)).collect()
}

/// Records a primitive that was evaluated under a lock, so no user code may run. [`Recorded::settle`] must be called after the lock is
/// released.
///
/// # Errors
/// `Grad` when an input is inside a transformation.
pub fn record_under_lock(op: &'static Primitive, inputs: &[&Variable], out: Array, save: impl FnOnce(&mut Saver<'_>)) -> Result<Recorded> {
    let (recording, observed) = mode::recording_and_observed();
    if !recording || !wants_record(op, inputs)? || !out.dtype().is_inexact() {
        return Ok(Recorded { edge: Edge::None, later: None });
    }
    let operands = operands(inputs);
    let outs = [out];
    let node = push(op, &operands, &outs, save)?;
    let later = observed.then(|| {
        trace::note(&node, &operands, &outs);
        node.clone()
    });
    Ok(Recorded { edge: Edge::Node { node, output: 0 }, later })
}

/// An operation that was recorded under a lock.
#[derive(Debug)]
pub struct Recorded {
    edge: Edge,
    /// The node, if something is left to do.
    later: Option<NodeRef>,
}

impl Recorded {
    /// Moves out the edge of the output.
    pub fn take_edge(&mut self) -> Edge {
        std::mem::take(&mut self.edge)
    }

    /// Does what had to wait until the lock was released.
    pub fn settle(&self) {
        if let Some(node) = &self.later {
            observe(node, &[]);
        }
    }
}

/// Records a call of a user's function, with any number of results.
///
/// # Errors
/// `Grad` when an input is inside a transformation.
pub fn record_custom(op: &'static Primitive, inputs: &[&Variable], outs: Vec<Array>, rule: Arc<dyn CustomRule>) -> Result<Vec<Variable>> {
    let (recording, observed) = mode::recording_and_observed();
    if !recording || !wants_record(op, inputs)? || !outs.iter().any(|o| o.dtype().is_inexact()) {
        return Ok(alloc_check::collect(outs.into_iter().map(Variable::from)));
    }
    let operands = operands(inputs);
    let node = push(op, &operands, &outs, |s| s.attrs(Attrs::Custom(rule)))?;
    settle(&node, observed, &operands, &outs);
    let variable = |(i, array): (usize, Array)| {
        let edge =
            if array.dtype().is_inexact() { Edge::Node { node: node.clone(), output: u32::try_from(i).unwrap_or(u32::MAX) } } else { Edge::None };
        Variable { array, edge }
    };
    Ok(alloc_check::collect(outs.into_iter().enumerate().map(variable)))
}

/// Whether a call of `op` with tracked operands is recorded by this thread.
pub(super) fn records(op: &'static Primitive) -> bool {
    mode::is_recording() && !matches!(op.vjp, Vjp::NonDifferentiable)
}

/// Records a call with one result, unless this thread does not record or the result has no gradient.
#[inline]
pub(super) fn record_one(op: &'static Primitive, inputs: &[Operand<'_>], out: Array, attrs: &dyn AttrSet) -> Result<Variable> {
    let (recording, observed) = mode::recording_and_observed();
    if !recording || matches!(op.vjp, Vjp::NonDifferentiable) || !out.dtype().is_inexact() {
        return Ok(out.into());
    }
    let outs = [out];
    let node = push(op, inputs, &outs, |s| {
        (op.saves)(s);
        s.attrs(attrs.share());
    })?;
    settle(&node, observed, inputs, &outs);
    let [out] = outs;
    Ok(Variable { array: out, edge: Edge::Node { node, output: 0 } })
}

/// Records a call with any number of results. Hidden results are saved and not returned.
pub(super) fn record_all(op: &'static Primitive, inputs: &[Operand<'_>], mut outs: SmallVec<[Array; 1]>, attrs: &dyn AttrSet) -> Result<Outputs> {
    let visible = outs.len() - op.hidden;
    let hidden: SmallVec<[Array; 1]> = outs.drain(visible..).collect();
    let node = push(op, inputs, &outs, |s| {
        s.attrs(attrs.share());
        (op.saves)(s);
        for (i, h) in hidden.into_iter().enumerate() {
            s.saved_constant(u8::try_from(i).unwrap_or(u8::MAX), h);
        }
    })?;
    settle(&node, mode::is_observed(), inputs, &outs);
    let variable = |(i, array): (usize, Array)| {
        let edge =
            if array.dtype().is_inexact() { Edge::Node { node: node.clone(), output: u32::try_from(i).unwrap_or(u32::MAX) } } else { Edge::None };
        Variable { array, edge }
    };
    let mut all = Outputs::new();
    alloc_check::reserve_small(&mut all, outs.len());
    all.extend(outs.into_iter().enumerate().map(variable));
    Ok(all)
}

#[inline]
fn wants_record(op: &'static Primitive, inputs: &[&Variable]) -> Result<bool> {
    if !inputs.iter().any(|v| v.is_tracked()) {
        return Ok(false);
    }
    if inputs.iter().any(|v| v.is_lifted()) {
        return Err(Error::Grad(format!("{}: has no rule for forward mode and batching", op.name)));
    }
    match op.vjp {
        Vjp::Rule(_) | Vjp::Definition => Ok(true),
        Vjp::NonDifferentiable => Ok(false),
    }
}

/// Appends a node. [`settle`] must follow.
#[inline]
fn push(op: &'static Primitive, inputs: &[Operand<'_>], outs: &[Array], save: impl FnOnce(&mut Saver<'_>)) -> Result<NodeRef> {
    let mut saver = Saver { inputs, outs, roles: Roles::default(), extras: SmallVec::new(), attrs: Attrs::None };
    save(&mut saver);
    let mut arena = arena::lock();
    arena.make_room(inputs.len(), saver.len(), outs.len())?;
    for v in inputs {
        if let Operand::Variable(Variable { edge: Edge::Node { node, .. }, .. }) = v {
            arena.node_mut(node.id()).refs += 1;
        }
    }
    let (id, node) = arena.vacant(op);
    saver.finish(&mut node.saved);
    // A new node has no attributes, so a swap leaves nothing to drop.
    std::mem::swap(&mut node.attrs, &mut saver.attrs);
    for input in inputs {
        let v = match input {
            Operand::Variable(v) => v,
            Operand::Scalar(s) => {
                node.inputs.push(Input::Number(s.as_f64()));
                continue;
            }
        };
        match &v.edge {
            // For the tape, a value that a transformation above it holds is constant.
            Edge::None | Edge::Lifted(_) => node.inputs.push(Input::None),
            Edge::Leaf(leaf) => {
                // Written in place: a struct that is assembled elsewhere and moved is slower.
                node.inputs.push(Input::None);
                if let Some(last) = node.inputs.last_mut() {
                    *last = Input::Leaf(Arc::clone(leaf));
                }
            }
            Edge::Node { node: from, output } => node.inputs.push(Input::Node { id: from.id(), output: *output }),
        }
    }
    for out in outs {
        push_meta(&mut node.outs, out);
    }
    let fallible = node.is_fallible();
    arena.count_fallible(false, fallible);
    drop(arena);
    Ok(NodeRef::from_counted(id))
}

/// Does what may run user code once a node is recorded.
#[inline(always)]
fn settle(node: &NodeRef, observed: bool, inputs: &[Operand<'_>], outs: &[Array]) {
    if observed {
        trace::note(node, inputs, outs);
        observe(node, outs);
    }
}

/// Appends shape and dtype of `out`.
#[inline(always)]
fn push_meta(outs: &mut SmallVec<[Meta; 1]>, out: &Array) {
    let (shape, dtype) = (out.shape(), out.dtype());
    match few(shape) {
        Some(sizes) => outs.push(Meta { shape: Shape::from_buf_and_len(sizes, shape.len()), dtype }),
        None => outs.push(Meta { shape: Shape::from_slice(shape), dtype }),
    }
}

/// Notes the line of user code that recorded the node, and reports the node to observers: see [`mode::is_observed`].
#[cold]
fn observe(node: &NodeRef, outs: &[Array]) {
    if let Some(source) = mode::source() {
        arena::lock().node_mut(node.id()).extra.get_or_insert_default().source = Some(source);
    }
    if mode::is_observing() {
        arena::notify_observers(node, outs);
    }
}
