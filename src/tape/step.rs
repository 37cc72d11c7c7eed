//! What a gradient rule sees: the saver while the forward is at hand, the step while it runs backward.

use smallvec::SmallVec;

use super::cotangent::Cotangents;
use super::node::{Attrs, Input, Meta};
use super::primitive::Operand;
use super::saved::{Role, Roles, Saved};
use super::variable::Variable;
use super::work::{Work, edge_of};
use crate::array::{Array, same};
use crate::error::Result;

/// Gradients of a node's inputs, from the first on; `None` where none is needed, it is zero, or it was handed over before.
pub type Grads = SmallVec<[Option<Variable>; 2]>;

/// The gradient of an only input.
#[must_use]
pub fn one_gradient(g: Variable) -> Grads {
    Grads::from_buf_and_len([Some(g), None], 1)
}

/// Where gradients on their way are collected.
pub(super) trait Sink {
    /// What input `i` has collected, if that can be added to.
    fn sum(&mut self, i: usize) -> Option<&mut Array>;
    /// Takes it.
    fn take(&mut self, i: usize) -> Option<Array>;
    /// As [`Sink::take`], with its history, in a pass that is recorded.
    fn take_recorded(&mut self, i: usize) -> Option<Variable>;
    /// A gradient reaches input `i`.
    fn arrive(&mut self, i: usize, g: Array);
}

/// One step of a backward pass: what a gradient rule gets to see.
pub struct Step<'a> {
    pub(super) id: u64,
    pub(super) work: &'a Work,
    pub(super) cotangents: &'a mut Cotangents,
    pub(super) create_graph: bool,
    /// Whether NaN is looked for.
    pub(super) watched: bool,
    pub(super) sink: &'a mut dyn Sink,
}

impl<'a> Step<'a> {
    /// The operation's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.work.node.op.name
    }

    /// What the operation was called with.
    #[must_use]
    #[inline]
    pub fn attrs(&self) -> &'a Attrs {
        &self.work.node.attrs
    }

    /// The typed attributes of the call.
    #[must_use]
    pub fn attrs_of<T: std::any::Any>(&self) -> &'a T {
        match self.work.node.attrs.data() {
            Some(attrs) => attrs,
            None => unreachable!("{}: recorded with attributes of another type", self.name()),
        }
    }

    /// Whether the rule itself must be recorded.
    #[must_use]
    pub fn create_graph(&self) -> bool {
        self.create_graph
    }

    /// Whether the gradient of input `i` is wanted.
    #[must_use]
    #[inline]
    pub fn needs(&self, i: usize) -> bool {
        self.work.needs(i)
    }

    /// Whether a gradient of `shape` can be added to what input `i` has collected, where that lies: there is something, of that
    /// shape, nobody else holds it, and the gradient need not be seen by itself.
    #[inline]
    pub fn collects(&mut self, i: usize, shape: &[usize]) -> bool {
        self.sink.sum(i).is_some_and(|sum| same(sum.shape(), shape))
    }

    /// What input `i` has collected, where it [can be added to](Step::collects).
    #[inline]
    pub fn sum(&mut self, i: usize) -> &mut Array {
        match self.sink.sum(i) {
            Some(sum) => sum,
            None => unreachable!("{}: what was collected is still there", self.work.node.op.name),
        }
    }

    /// Takes what input `i` has collected so far, with the input's shape and dtype: the gradient that the rule returns for `i`
    /// must contain it. So a rule adds where the sum lies, instead of making an array that is then added. `None` when there
    /// is nothing yet, and while the rule is recorded.
    pub fn collected(&mut self, i: usize) -> Option<Array> {
        self.sink.take(i)
    }

    /// As [`Step::collected_or_zeros`] in a pass that is recorded. The array may still be shared.
    pub fn recorded_or_zeros(&mut self, i: usize) -> Variable {
        self.sink.take_recorded(i).unwrap_or_else(|| {
            let meta = self.meta(i);
            Array::zeros(&meta.shape, meta.dtype).into()
        })
    }

    /// As [`Step::collected`], with zeros when there is nothing yet: for a gradient that is zero but for a part. What is
    /// added then costs as much as the part, so the parts of an array cost as much as the whole, and not each as much.
    pub fn collected_or_zeros(&mut self, i: usize) -> Array {
        self.collected(i).unwrap_or_else(|| Array::zeros(&self.meta(i).shape, self.meta(i).dtype))
    }

    /// Hands over the gradient of input `i`, which the rule then need not return; nothing happens where none is needed. Not
    /// for rules that are recorded.
    ///
    /// # Errors
    /// `Grad` when it does not belong to the input, or is NaN where that is looked for.
    #[inline]
    pub fn give(&mut self, i: usize, g: Array) -> Result<()> {
        if self.watched {
            self.work.look_for_nan(i, &g)?;
        }
        let g = match self.work.meta(i) {
            None => return Ok(()),
            Some(meta) if g.dtype() == meta.dtype && same(g.shape(), &meta.shape) => g,
            Some(_) => self.work.fit(i, g.into())?.into_array(),
        };
        self.sink.arrive(i, g);
        Ok(())
    }

    /// Number of inputs.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.work.node.inputs.len()
    }

    /// Shape and dtype of input `i`, which needs a gradient.
    #[must_use]
    pub fn meta(&self, i: usize) -> &Meta {
        match self.work.meta(i) {
            Some(meta) => meta,
            None => unreachable!("{}: the rule asks for an input that needs no gradient", self.name()),
        }
    }

    /// Shape and dtype of output `i`.
    #[must_use]
    pub fn out_meta(&self, i: usize) -> &Meta {
        &self.work.node.outs[i]
    }

    /// The cotangent of the only output, given away.
    #[inline]
    pub fn take_g(&mut self) -> Variable {
        match self.cotangents[0].take() {
            Some(g) => g,
            None => self.without_cotangent(),
        }
    }

    /// [`Step::take_g`] as an array, for a rule that is not recorded.
    #[inline]
    pub fn take_array(&mut self) -> Array {
        match self.cotangents[0].take_array() {
            Some(g) => g,
            None => self.without_cotangent(),
        }
    }

    #[cold]
    fn without_cotangent(&self) -> ! {
        unreachable!("{}: the engine runs a rule only when a cotangent has arrived", self.name())
    }

    /// The cotangent of output `i`; `None` is zero.
    #[must_use]
    pub fn cotangent(&self, i: usize) -> Option<Variable> {
        self.cotangents.get(i)?.get()
    }

    /// Number of outputs.
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.work.node.outs.len()
    }

    #[inline]
    fn saved(&self, role: Role) -> Option<&'a Array> {
        self.work.node.saved.get(role)
    }

    /// Saved input `i` as an array.
    #[must_use]
    #[inline]
    pub fn input_array(&self, i: u8) -> &'a Array {
        self.saved(Role::input(i)).unwrap_or_else(|| unreachable!("{}: input {i} was not saved", self.name()))
    }

    /// Saved output `i` as an array.
    #[must_use]
    #[inline]
    pub fn output_array(&self, i: u8) -> &'a Array {
        self.saved(Role::output(i)).unwrap_or_else(|| unreachable!("{}: output {i} was not saved", self.name()))
    }

    /// The number that was operand `i`; `None` for an array.
    #[must_use]
    #[inline]
    pub fn number(&self, i: usize) -> Option<f64> {
        if let Some(Input::Number(x)) = self.work.node.inputs.get(i) { Some(*x) } else { None }
    }

    /// Saved extra value `i`.
    #[must_use]
    pub fn extra(&self, i: u8) -> &'a Array {
        self.saved(Role::extra(i)).unwrap_or_else(|| unreachable!("{}: extra value {i} was not saved", self.name()))
    }

    /// Saved input `i`, on the tape when the rule is recorded.
    #[must_use]
    pub fn input(&self, i: u8) -> Variable {
        let array = self.input_array(i).clone();
        if self.create_graph { Variable::with_edge(array, edge_of(&self.work.node.inputs[usize::from(i)])) } else { Variable::from(array) }
    }

    /// Saved output `i`, on the tape when the rule is recorded.
    #[must_use]
    pub fn output(&self, i: u8) -> Variable {
        self.output_from(i, self.output_array(i).clone())
    }

    /// Output `i`, whose value the rule has computed again, on the tape when the rule is recorded.
    #[must_use]
    pub fn output_from(&self, i: u8, array: Array) -> Variable {
        if self.create_graph {
            Variable::with_edge(array, edge_of(&Input::Node { id: self.id, output: u32::from(i) }))
        } else {
            Variable::from(array)
        }
    }
}

/// Collects what a rule needs while the forward is at hand.
pub struct Saver<'a> {
    pub(super) inputs: &'a [Operand<'a>],
    pub(super) outs: &'a [Array],
    /// Inputs and outputs to keep as they are, in the order in which they were named.
    pub(super) roles: Roles,
    /// What is kept in another form, or is no input or output.
    pub(super) extras: SmallVec<[(Role, Array); 1]>,
    pub(super) attrs: Attrs,
}

impl<'a> Saver<'a> {
    /// Whether input `i` is tracked.
    #[must_use]
    pub fn needs(&self, i: usize) -> bool {
        self.inputs[i].variable().is_some_and(Variable::is_tracked)
    }

    /// Number of inputs.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// Whether input `i` is an array, not a number.
    #[must_use]
    #[inline]
    pub fn is_array(&self, i: usize) -> bool {
        matches!(self.inputs[i], Operand::Variable(_))
    }

    /// Keeps input `i`.
    #[inline]
    pub fn input(&mut self, i: u8) {
        self.keep(Role::input(i));
    }

    /// Keeps output `i`.
    #[inline]
    pub fn output(&mut self, i: u8) {
        self.keep(Role::output(i));
    }

    /// Keeps something else, number `i`.
    #[allow(clippy::needless_pass_by_value, reason = "a value made for the tape")]
    pub fn extra(&mut self, i: u8, array: Array) {
        let array = if array.storage().is_pooled() { array } else { array.kept() };
        self.extras.push((Role::extra(i), array));
    }

    /// Keeps what the operation was called with.
    pub fn attrs(&mut self, attrs: Attrs) {
        self.attrs = attrs;
    }

    /// How many arrays are kept.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.roles.len() + self.extras.len()
    }

    #[inline]
    fn keep(&mut self, role: Role) {
        if !self.array(role).storage().is_pooled() {
            return self.keep_lent(role);
        }
        if self.array(role).is_part()
            && let Some(compact) = self.array(role).compact_part()
        {
            self.extras.push((role, compact));
            return;
        }
        self.roles.push(role);
    }

    /// Keeps a value whose memory another owner lends. Now, and not while the arena is locked: its lender may call Python.
    #[cold]
    fn keep_lent(&mut self, role: Role) {
        let array = self.array(role).kept();
        self.extras.push((role, array));
    }

    #[inline]
    fn array(&self, role: Role) -> &'a Array {
        let (is_output, i) = role.place();
        if is_output {
            return &self.outs[i];
        }
        match self.inputs[i] {
            Operand::Variable(v) => v.array(),
            Operand::Scalar(_) => unreachable!("a number is kept without being saved"),
        }
    }

    /// Moves what was kept to `saved`, which is empty.
    #[inline]
    pub(super) fn finish(&mut self, saved: &mut Saved) {
        for role in self.roles.iter() {
            saved.push(self.array(role).clone());
        }
        saved.set_roles(&mut self.roles);
        if !self.extras.is_empty() {
            self.extras.drain(..).for_each(|(role, array)| saved.push_with(role, array));
        }
    }
}
