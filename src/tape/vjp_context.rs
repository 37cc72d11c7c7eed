//! The arguments of gradient rules: the saver while a primitive is recorded, the context while its rule runs.

use smallvec::SmallVec;

use super::capture;
use super::cotangent::Cotangents;
use super::node::{Attrs, Input, Meta};
use super::node_task::{NodeTask, edge_of};
use super::primitive::Operand;
use super::saved::{Role, Roles, Saved};
use super::variable::Variable;
use crate::array::{Array, same};
use crate::error::Result;

/// Where the gradients of a node's inputs are summed.
pub(super) trait GradSink {
    /// The sum of input `i`, if it can be added to in place.
    fn sum(&mut self, i: usize) -> Option<&mut Array>;
    /// Moves the sum out.
    fn take(&mut self, i: usize) -> Option<Array>;
    /// As [`GradSink::take`], with the history, in a pass that is recorded.
    fn take_recorded(&mut self, i: usize) -> Option<Variable>;
    /// Adds a gradient of input `i`.
    fn add(&mut self, i: usize, g: Array);
    /// Adds a gradient that may be recorded.
    fn add_variable(&mut self, i: usize, g: Variable) -> Result<()>;
    /// The identity of the sum of input `i`, and the sum, moved out; `None` when no gradient is wanted.
    fn lend(&mut self, _: usize) -> Option<(u64, Option<Array>)> {
        None
    }
}

/// The arguments of a gradient rule: the cotangents of the results, the saved values, the attributes. The rule delivers the gradients of
/// the inputs by [`add`](VjpContext::add).
pub struct VjpContext<'a> {
    pub(super) id: u64,
    pub(super) work: &'a NodeTask,
    pub(super) cotangents: &'a mut Cotangents,
    pub(super) create_graph: bool,
    /// Whether gradients are checked for NaN.
    pub(super) check_nan: bool,
    pub(super) sink: &'a mut dyn GradSink,
}

impl<'a> VjpContext<'a> {
    /// The operation's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.work.node.op.name
    }

    /// The attributes as the node stores them.
    pub(super) fn raw_attrs(&self) -> &'a Attrs {
        &self.work.node.attrs
    }

    /// The typed attributes of the call.
    #[must_use]
    pub fn attrs<T: std::any::Any>(&self) -> &'a T {
        match self.work.node.attrs.data() {
            Some(attrs) => attrs,
            None => unreachable!("{}: recorded with attributes of another type", self.name()),
        }
    }

    /// Whether the rule itself is recorded.
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

    /// Adds `g` to the gradient of input `i`, summed over broadcast axes. Nothing happens if no gradient is wanted.
    ///
    /// # Errors
    /// `Grad` when the dtype or shape does not fit the input, or when gradients are checked and contain NaN.
    pub fn add(&mut self, i: usize, g: Variable) -> Result<()> {
        if !self.create_graph {
            return self.add_array(i, g.into_array());
        }
        if !self.needs(i) {
            return Ok(());
        }
        if self.check_nan {
            self.work.look_for_nan(i, g.array())?;
        }
        self.sink.add_variable(i, self.work.fit(i, g)?)
    }

    /// [`VjpContext::add`] of an array, in a pass that is not recorded.
    ///
    /// # Errors
    /// As [`VjpContext::add`].
    #[inline]
    pub fn add_array(&mut self, i: usize, g: Array) -> Result<()> {
        let Some(meta) = self.work.meta(i) else { return Ok(()) };
        if self.check_nan {
            self.work.look_for_nan(i, &g)?;
        }
        let g = if g.dtype() == meta.dtype && same(g.shape(), &meta.shape) { g } else { self.work.fit(i, g.into())?.into_array() };
        self.sink.add(i, g);
        Ok(())
    }

    /// Adds `f(i)` for each input whose gradient is wanted.
    ///
    /// # Errors
    /// Those of `f`, and as [`VjpContext::add`].
    pub fn add_each(&mut self, f: impl Fn(usize) -> Result<Variable>) -> Result<()> {
        (0..self.input_count()).try_for_each(|i| if self.needs(i) { self.add(i, f(i)?) } else { Ok(()) })
    }

    /// Adds a gradient with a kernel that can add in place: `f` gets the sum of input `i` so far and returns the sum with the gradient
    /// added. The sum is `None` when there is none yet, and in a pass that is recorded.
    ///
    /// # Errors
    /// Those of `f`, and as [`VjpContext::add`].
    pub fn accumulate(&mut self, i: usize, f: impl FnOnce(Option<Array>) -> Result<Variable>) -> Result<()> {
        let sum = self.sink.take(i);
        let g = f(sum)?;
        self.add(i, g)
    }

    /// [`VjpContext::accumulate`] of a gradient that is zero except for a part: `f` adds the part to the sum, which starts as zeros. So all
    /// parts of an array together cost as much as the array. Not for a pass that is recorded.
    ///
    /// # Errors
    /// As [`VjpContext::add`].
    pub fn accumulate_part(&mut self, i: usize, f: impl FnOnce(&mut Array)) -> Result<()> {
        let mut sum = self.sink.take(i).unwrap_or_else(|| Array::zeros(&self.meta(i).shape, self.meta(i).dtype));
        f(&mut sum);
        self.add_array(i, sum)
    }

    /// Adds the gradients of all inputs, computed by the definition of the primitive. All inputs must be saved.
    ///
    /// # Errors
    /// Those of the definition.
    pub fn pull_definition(&mut self) -> Result<()> {
        super::definition::vjp(self)
    }

    /// Moves out the sum of input `i` in a pass that is recorded, or zeros when there is none. The gradient that the rule adds afterwards
    /// must include it. Its array may still be shared.
    pub fn take_recorded(&mut self, i: usize) -> Variable {
        self.sink.take_recorded(i).unwrap_or_else(|| {
            let meta = self.meta(i);
            Array::zeros(&meta.shape, meta.dtype).into()
        })
    }

    /// Whether a gradient of `shape` can be added in place to the sum of input `i`: the sum exists, has that shape, and is unshared.
    #[inline]
    pub fn has_sum(&mut self, i: usize, shape: &[usize]) -> bool {
        self.sink.sum(i).is_some_and(|sum| same(sum.shape(), shape))
    }

    /// The sum of input `i`, which [can be added to in place](VjpContext::has_sum).
    #[inline]
    pub fn sum(&mut self, i: usize) -> &mut Array {
        match self.sink.sum(i) {
            Some(sum) => sum,
            None => unreachable!("{}: the sum is still there", self.work.node.op.name),
        }
    }

    /// Number of inputs.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.work.node.inputs.len()
    }

    /// Shape and dtype of input `i`, whose gradient is wanted.
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

    /// The cotangent of the only output, moved out.
    #[inline]
    pub fn cotangent(&mut self) -> Variable {
        match self.cotangents[0].take() {
            Some(g) => g,
            None => self.without_cotangent(),
        }
    }

    /// [`VjpContext::cotangent`] as an array, for a rule that is not recorded.
    #[inline]
    pub fn cotangent_array(&mut self) -> Array {
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
    pub fn cotangent_of(&self, i: usize) -> Option<Variable> {
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
    pub fn saved_constant(&self, i: u8) -> &'a Array {
        self.saved(Role::saved_constant(i)).unwrap_or_else(|| unreachable!("{}: extra value {i} was not saved", self.name()))
    }

    /// Saved input `i`, with its edge when the rule is recorded.
    #[must_use]
    pub fn input(&self, i: u8) -> Variable {
        let array = self.input_array(i).clone();
        if self.create_graph { Variable::with_edge(array, edge_of(&self.work.node.inputs[usize::from(i)])) } else { Variable::from(array) }
    }

    /// Saved output `i`, with its edge when the rule is recorded.
    #[must_use]
    pub fn output(&self, i: u8) -> Variable {
        self.output_from(i, self.output_array(i).clone())
    }

    /// Output `i` with a value that the rule has recomputed, and with its edge when the rule is recorded.
    #[must_use]
    pub fn output_from(&self, i: u8, array: Array) -> Variable {
        if self.create_graph {
            Variable::with_edge(array, edge_of(&Input::Node { id: self.id, output: u32::from(i) }))
        } else {
            Variable::from(array)
        }
    }
}

/// Declares what a gradient rule needs, while the operands and results of the forward pass are available.
pub struct Saver<'a> {
    pub(super) inputs: &'a [Operand<'a>],
    pub(super) outs: &'a [Array],
    /// Inputs and outputs to save as they are, in the order of declaration.
    pub(super) roles: Roles,
    /// What is saved in another form, or is neither input nor output.
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

    /// Saves input `i`.
    #[inline]
    pub fn input(&mut self, i: u8) {
        self.keep(Role::input(i));
    }

    /// Saves output `i`.
    #[inline]
    pub fn output(&mut self, i: u8) {
        self.keep(Role::output(i));
    }

    /// Saves extra value `i`.
    #[allow(clippy::needless_pass_by_value, reason = "a value made for the tape")]
    pub fn saved_constant(&mut self, i: u8, array: Array) {
        let array = if array.storage().is_pooled() { array } else { array.kept() };
        self.extras.push((Role::saved_constant(i), array));
    }

    /// Saves the attributes of the call.
    pub fn attrs(&mut self, attrs: Attrs) {
        self.attrs = attrs;
    }

    /// The attributes of a call with several results, if they are of that type.
    #[must_use]
    pub fn data<T: std::any::Any>(&self) -> Option<&T> {
        self.attrs.data()
    }

    /// Number of arrays that are saved.
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
            && !capture::is_on()
            && let Some(compact) = self.array(role).compact_part()
        {
            self.extras.push((role, compact));
            return;
        }
        self.roles.push(role);
    }

    /// Copies a value whose memory another owner lends. This happens before the arena is locked, because the owner may call Python.
    #[cold]
    fn keep_lent(&mut self, role: Role) {
        let array = self.array(role).kept();
        capture::note_copy(self.array(role), &array);
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

    /// Moves what was saved to `saved`, which is empty.
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
