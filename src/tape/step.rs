//! What a gradient rule sees: the saver while the forward is at hand, the step while it runs backward.

use smallvec::SmallVec;

use super::node::{Attrs, Meta, Op, Role, Saved};
use super::variable::{Edge, Variable};
use crate::array::Array;

/// Gradients of a node's inputs, one for each; `None` where none is needed or it is zero.
pub type Grads = SmallVec<[Option<Variable>; 2]>;

/// The gradient of an only input.
#[must_use]
pub fn one_gradient(g: Variable) -> Grads {
    Grads::from_buf_and_len([Some(g), None], 1)
}

/// One step of a backward pass: what a gradient rule gets to see.
pub struct Step<'a> {
    pub(super) op: &'static Op,
    pub(super) attrs: &'a Attrs,
    pub(super) saved: &'a [Saved],
    pub(super) inputs: &'a [Edge],
    pub(super) metas: &'a [Option<Meta>],
    pub(super) outs: &'a [Meta],
    pub(super) outputs: &'a dyn Fn(u8) -> Edge,
    pub(super) cotangents: SmallVec<[Option<Variable>; 1]>,
    pub(super) create_graph: bool,
    pub(super) collected: &'a mut dyn FnMut(usize) -> Option<Array>,
}

impl Step<'_> {
    /// The operation's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.op.name
    }

    /// What the operation was called with.
    #[must_use]
    pub fn attrs(&self) -> &Attrs {
        self.attrs
    }

    /// Whether the rule itself must be recorded.
    #[must_use]
    pub fn create_graph(&self) -> bool {
        self.create_graph
    }

    /// Whether the gradient of input `i` is wanted.
    #[must_use]
    pub fn needs(&self, i: usize) -> bool {
        self.metas.get(i).is_some_and(Option::is_some)
    }

    /// Takes what input `i` has collected so far, with the input's shape and dtype: the gradient that the rule returns for `i`
    /// must contain it. So a rule adds where the sum lies, instead of making an array that is then added. `None` when there
    /// is nothing yet, and while the rule is recorded.
    pub fn collected(&mut self, i: usize) -> Option<Array> {
        (self.collected)(i)
    }

    /// As [`Step::collected`], with zeros when there is nothing yet: for a gradient that is zero but for a part. What is
    /// added then costs as much as the part, so the parts of an array cost as much as the whole, and not each as much.
    pub fn collected_or_zeros(&mut self, i: usize) -> Array {
        self.collected(i).unwrap_or_else(|| Array::zeros(&self.meta(i).shape, self.meta(i).dtype))
    }

    /// Number of inputs.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.metas.len()
    }

    /// Shape and dtype of input `i`, which needs a gradient.
    #[must_use]
    pub fn meta(&self, i: usize) -> &Meta {
        match self.metas.get(i) {
            Some(Some(m)) => m,
            _ => unreachable!("{}: the rule asks for an input that needs no gradient", self.op.name),
        }
    }

    /// Shape and dtype of output `i`.
    #[must_use]
    pub fn out_meta(&self, i: usize) -> &Meta {
        &self.outs[i]
    }

    /// The cotangent of the only output, given away.
    pub fn take_g(&mut self) -> Variable {
        match self.cotangents[0].take() {
            Some(g) => g,
            None => unreachable!("{}: the engine runs a rule only when a cotangent has arrived", self.op.name),
        }
    }

    /// The cotangents of all outputs; `None` is zero.
    #[must_use]
    pub fn cotangents(&self) -> &[Option<Variable>] {
        &self.cotangents
    }

    fn saved(&self, role: Role) -> Option<&Array> {
        self.saved.iter().find(|s| s.role == role).map(|s| &s.array)
    }

    /// Saved input `i` as an array.
    #[must_use]
    pub fn input_array(&self, i: u8) -> &Array {
        self.saved(Role::input(i)).unwrap_or_else(|| unreachable!("{}: input {i} was not saved", self.op.name))
    }

    /// Saved output `i` as an array.
    #[must_use]
    pub fn output_array(&self, i: u8) -> &Array {
        self.saved(Role::output(i)).unwrap_or_else(|| unreachable!("{}: output {i} was not saved", self.op.name))
    }

    /// Saved extra value `i`.
    #[must_use]
    pub fn extra(&self, i: u8) -> &Array {
        self.saved(Role::extra(i)).unwrap_or_else(|| unreachable!("{}: extra value {i} was not saved", self.op.name))
    }

    /// Saved input `i`, on the tape when the rule is recorded.
    #[must_use]
    pub fn input(&self, i: u8) -> Variable {
        let array = self.input_array(i).clone();
        if self.create_graph { Variable::with_edge(array, self.inputs[usize::from(i)].clone()) } else { Variable::from(array) }
    }

    /// Saved output `i`, on the tape when the rule is recorded.
    #[must_use]
    pub fn output(&self, i: u8) -> Variable {
        let array = self.output_array(i).clone();
        if self.create_graph { Variable::with_edge(array, (self.outputs)(i)) } else { Variable::from(array) }
    }
}

/// Collects what a rule needs while the forward is at hand.
pub struct Saver<'a> {
    pub(super) inputs: &'a [&'a Variable],
    pub(super) outs: &'a [Array],
    pub(super) saved: SmallVec<[Saved; 2]>,
    pub(super) attrs: Attrs,
}

impl Saver<'_> {
    /// Whether input `i` is tracked.
    #[must_use]
    pub fn needs(&self, i: usize) -> bool {
        self.inputs[i].is_tracked()
    }

    /// Keeps input `i`.
    pub fn input(&mut self, i: u8) {
        self.saved.push(Saved::new(Role::input(i), self.inputs[usize::from(i)].array().clone()));
    }

    /// Keeps output `i`.
    pub fn output(&mut self, i: u8) {
        self.saved.push(Saved::new(Role::output(i), self.outs[usize::from(i)].clone()));
    }

    /// Keeps something else, number `i`.
    pub fn extra(&mut self, i: u8, array: Array) {
        self.saved.push(Saved::new(Role::extra(i), array));
    }

    /// Keeps what the operation was called with.
    pub fn attrs(&mut self, attrs: Attrs) {
        self.attrs = attrs;
    }
}
