//! What a primitive operation is, and [`apply`], the only way to run one.
//!
//! A primitive is data: how it is evaluated, what its gradient rule reads, its vjp, its jvp, and how it works on a batch. [`apply`]
//! evaluates and records it. When an input is inside a transformation (a dual or a batched value), that transformation decides what runs
//! instead; see [`Lifted`].

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::capture;
use super::half;
use super::node::{Attrs, Vjp};
use super::variable::{self, Edge, Variable};
use super::vjp_context::Saver;
use crate::array::{Array, DType, Scalar, Shape, alloc_check};
use crate::error::{Error, Result};
use crate::kernel::map::Formulas;

/// An operand of a primitive: an array, or a number that is not converted to one.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// An array.
    Variable(&'a Variable),
    /// A number, weakly typed. It carries no gradient.
    Scalar(Scalar),
}

impl<'a> From<&'a Variable> for Operand<'a> {
    fn from(v: &'a Variable) -> Self {
        Self::Variable(v)
    }
}

impl<T: Into<Scalar>> From<T> for Operand<'_> {
    fn from(s: T) -> Self {
        Self::Scalar(s.into())
    }
}

impl<'a> Operand<'a> {
    /// The array, unless it is a number.
    #[must_use]
    #[inline]
    pub fn variable(self) -> Option<&'a Variable> {
        if let Self::Variable(v) = self { Some(v) } else { None }
    }
}

/// The results of a primitive.
pub type Outputs = SmallVec<[Variable; 1]>;

/// Named, typed attributes of a call: axes, shapes, flags. Numbers that are values are operands.
pub trait AttrSet: Any + fmt::Debug + Send + Sync {
    /// The attributes in the form that a node stores.
    fn share(&self) -> Attrs;
    /// For downcasts to the struct.
    fn as_any(&self) -> &dyn Any;
    /// The name of the struct.
    fn kind(&self) -> &'static str;
    /// The attributes by name, as files have them.
    ///
    /// # Errors
    /// Those of the serializer.
    fn to_json(&self) -> serde_json::Result<serde_json::Value>;
    /// Whether they own only plain data, and so may be dropped under the arena's lock.
    fn is_plain(&self) -> bool {
        true
    }
    /// The attributes for a program, without what only the tape needs.
    fn for_programs(&self) -> Attrs {
        self.share()
    }
}

/// A struct of attributes, as it is found when files are read.
pub struct AttrKind {
    /// Its name.
    pub name: &'static str,
    /// Reads attributes by name.
    pub read: fn(serde_json::Value) -> serde_json::Result<Attrs>,
}

impl dyn AttrSet {
    /// The attributes as the struct that the primitive is called with.
    #[must_use]
    pub fn get<T: Any>(&self) -> &T {
        match self.as_any().downcast_ref() {
            Some(attrs) => attrs,
            None => unreachable!("the attributes {self:?} are of another type"),
        }
    }
}

impl AttrSet for () {
    fn share(&self) -> Attrs {
        Attrs::None
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> &'static str {
        ""
    }
    fn to_json(&self) -> serde_json::Result<serde_json::Value> {
        Ok(serde_json::Value::Null)
    }
}

/// Declares the attributes of the primitives of a file: structs whose fields are the names of attributes. `ATTRIBUTES` lists them for the
/// registry.
#[macro_export]
macro_rules! attributes {
    ($($name:ident),*) => {
        /// The attributes of this file.
        pub const ATTRIBUTES: &[$crate::tape::AttrKind] = &[$($crate::tape::AttrKind {
            name: stringify!($name),
            read: |v| Ok($crate::tape::AttrSet::share(&serde_json::from_value::<$name>(v)?)),
        }),*];
        $(impl $crate::tape::AttrSet for $name {
            fn share(&self) -> $crate::tape::Attrs {
                $crate::tape::Attrs::Set(std::sync::Arc::new(self.clone()))
            }
            fn as_any(&self) -> &dyn std::any::Any {
                self
            }
            fn kind(&self) -> &'static str {
                stringify!($name)
            }
            fn to_json(&self) -> serde_json::Result<serde_json::Value> {
                serde_json::to_value(self)
            }
        })*
    };
}

/// One evaluation: operands and attributes in, arrays out. It does not touch the tape.
pub struct Call<'a> {
    primitive: &'static Primitive,
    inputs: &'a [Operand<'a>],
    /// The value of operand 0, moved out to be updated in place.
    owned: Option<Array>,
    attrs: &'a dyn AttrSet,
    is_recorded: bool,
    outputs: SmallVec<[Array; 1]>,
}

impl<'a> Call<'a> {
    #[inline(always)]
    fn new(primitive: &'static Primitive, inputs: &'a [Operand<'a>], attrs: &'a dyn AttrSet, is_recorded: bool) -> Self {
        Self { primitive, inputs, owned: None, attrs, is_recorded, outputs: SmallVec::new() }
    }

    /// The name of the primitive.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.primitive.name
    }

    /// Whether the call is recorded: only then are hidden results needed.
    #[must_use]
    #[inline]
    pub fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// Operand `i`.
    #[must_use]
    #[inline]
    pub fn input(&self, i: usize) -> Operand<'a> {
        self.inputs[i]
    }

    /// All operands.
    #[must_use]
    #[inline]
    pub fn inputs(&self) -> &'a [Operand<'a>] {
        self.inputs
    }

    /// Operand `i`, which is an array.
    #[must_use]
    #[inline]
    pub fn array(&self, i: usize) -> &'a Array {
        match self.inputs[i] {
            Operand::Variable(v) => v.array(),
            Operand::Scalar(_) => unreachable!("{}: operand {i} is a number", self.name()),
        }
    }

    /// The attributes.
    #[must_use]
    #[inline]
    pub fn attrs<T: Any>(&self) -> &'a T {
        typed(self.attrs, self.primitive)
    }

    /// A new array for the next output, uninitialised.
    pub fn out(&mut self, shape: &[usize], dtype: DType) -> &mut Array {
        self.outputs.push(Array::empty(shape, dtype));
        let last = self.outputs.len() - 1;
        &mut self.outputs[last]
    }

    /// The array of operand 0 as the next output, to be changed in place. It is copied if it is shared.
    pub fn update(&mut self) -> &mut Array {
        let array = self.owned.take().unwrap_or_else(|| self.array(0).clone());
        self.outputs.push(array);
        let last = self.outputs.len() - 1;
        &mut self.outputs[last]
    }

    /// Sets the next output, for a view of an input or the result of a kernel that allocates.
    #[inline]
    pub fn give(&mut self, out: Array) {
        if self.outputs.len() == self.outputs.capacity() {
            self.make_room();
        }
        self.outputs.push(out);
    }

    /// Makes room for more than one result.
    #[cold]
    fn make_room(&mut self) {
        let more = self.outputs.len();
        alloc_check::reserve_small(&mut self.outputs, more);
    }
}

/// Attributes as the type that the primitive is called with.
#[inline]
fn typed<'a, T: Any>(attrs: &'a dyn AttrSet, p: &'static Primitive) -> &'a T {
    match attrs.as_any().downcast_ref() {
        Some(attrs) => attrs,
        None => unreachable!("{}: called with attributes of another type", p.name),
    }
}

/// How a primitive is differentiated in forward mode: its tangent from the tangents of its inputs.
#[derive(Clone, Copy)]
pub enum Jvp {
    /// Elementwise: the tangent of input `i`, times the factor of the gradient rule.
    Factor(fn(ctx: &JvpContext<'_>, i: usize, tangent: Variable) -> Result<Variable>),
    /// Linear in all differentiable inputs together: the primitive, applied to the tangents.
    Linear,
    /// Linear in each differentiable input: a sum over inputs, in which one input at a time is replaced by its tangent.
    Multilinear,
    /// The tangent of the definition.
    Definition,
    /// A rule of its own.
    Rule(fn(&JvpContext<'_>) -> Result<Outputs>),
    /// The output has no tangent.
    NonDifferentiable,
}

/// The arguments of a jvp rule.
pub struct JvpContext<'a> {
    /// The primitive.
    pub primitive: &'static Primitive,
    /// The inputs.
    pub inputs: &'a [Operand<'a>],
    /// Their tangents; `None` is zero.
    pub tangents: &'a [Option<Variable>],
    /// The results.
    pub outputs: &'a [Variable],
    /// The attributes.
    pub attrs: &'a dyn AttrSet,
}

/// How a primitive works on a batch: some inputs have an additional axis.
#[derive(Clone, Copy)]
pub enum Batch {
    /// Elementwise with broadcasting: the batch axis goes to the front of every operand.
    Elementwise,
    /// A rule: mapped inputs have their batch axis in front, and all results must have it there.
    Rule(fn(&BatchContext<'_>) -> Result<Outputs>),
    /// The batch of the definition.
    Definition,
    /// The samples of the batch are computed one by one, and the results are stacked.
    Loop,
}

/// The arguments of a batching rule.
pub struct BatchContext<'a> {
    /// The primitive.
    pub primitive: &'static Primitive,
    /// The inputs, mapped ones with their batch axis in front.
    pub inputs: &'a [Operand<'a>],
    /// Which of them are mapped.
    pub mapped: &'a [bool],
    /// Size of the batch axis.
    pub size: usize,
    /// Runs the primitive on one sample after another.
    pub each: fn(&BatchContext<'_>) -> Result<Outputs>,
    /// The attributes.
    pub attrs: &'a dyn AttrSet,
}

/// A function that computes the same as a fused primitive, written with other operations. It is used for second orders, tangents and
/// batches.
pub type Definition = fn(&[Variable], &dyn AttrSet) -> Result<Outputs>;

/// A primitive operation.
pub struct Primitive {
    /// The name that users call.
    pub name: &'static str,
    /// Evaluates it.
    pub eval: fn(&mut Call<'_>) -> Result<()>,
    /// Declares what the gradient rule reads.
    pub saves: fn(&mut Saver<'_>),
    /// The vector-Jacobian product.
    pub vjp: Vjp,
    /// The tangent.
    pub jvp: Jvp,
    /// The batching rule.
    pub batch: Batch,
    /// The definition of a fused primitive.
    pub definition: Option<Definition>,
    /// Number of hidden results, which follow the visible ones: intermediate values that only rules read.
    pub hidden: usize,
    /// Whether the results are views of the first input where strides allow it.
    pub is_view: bool,
    /// Whether it only moves elements and does not compute with them, as views do: then it accepts 16-bit floats as they are.
    pub moves: bool,
    /// Whether its attributes may hold a user's object, whose code its rule runs.
    pub has_callback: bool,
    /// The loops of an elementwise formula, for programs.
    pub blocks: Option<&'static Blocks>,
}

/// The loops of an elementwise primitive and of its gradient rule, for elements of one floating dtype.
pub struct Blocks {
    /// The formula of the operands.
    pub forward: Formulas,
    /// How many operands may be arrays; the operands after them are parameters of the formula.
    pub arrays: usize,
    /// The gradients of the operands.
    pub factors: [Option<Factor>; 2],
}

/// The gradient of one operand, as a loop over the cotangent and values of the operation.
pub struct Factor {
    /// The formula of the cotangent and of the values in `of`.
    pub formulas: Formulas,
    /// Those values.
    pub of: &'static [Place],
    /// Whether the gradient is the cotangent itself.
    pub is_cotangent: fn() -> bool,
}

/// A value of an operation: an operand or the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Operand of that number.
    Input(u8),
    /// The result.
    Output,
}

impl Primitive {
    /// Default fields for a primitive.
    pub const BASE: Self = Self {
        name: "",
        eval: |call| unreachable!("{}: has no evaluation", call.name()),
        saves: |_| {},
        vjp: Vjp::NonDifferentiable,
        jvp: Jvp::NonDifferentiable,
        batch: Batch::Loop,
        definition: None,
        hidden: 0,
        is_view: false,
        moves: false,
        has_callback: false,
        blocks: None,
    };
}

impl fmt::Debug for Primitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Runs a primitive when an operand is inside a transformation.
pub type Transformation = fn(level: u64, p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Outputs>;

/// A value inside a transformation: dual (with a tangent) or batched (with a batch axis).
pub struct Lifted {
    /// Unique for each call of a transformation. Inner calls have larger levels.
    pub level: u64,
    /// Runs primitives that have this value as an operand.
    pub run: Transformation,
    /// The value below this level.
    pub value: Variable,
    /// What the transformation adds to it.
    pub kind: Lift,
}

/// What a transformation adds to a value.
#[derive(Clone)]
pub enum Lift {
    /// Its tangent; `None` is zero.
    Dual(Option<Variable>),
    /// A batch axis, the first axis of the value below.
    Batched,
}

impl Lifted {
    /// The same value without tangents and without history.
    pub(super) fn detach(&self) -> Self {
        let kind = match self.kind {
            Lift::Dual(_) => Lift::Dual(None),
            Lift::Batched => Lift::Batched,
        };
        Self { level: self.level, run: self.run, value: self.value.detach(), kind }
    }

    /// The tangent of a dual value.
    #[must_use]
    pub fn tangent(&self) -> Option<&Variable> {
        if let Lift::Dual(t) = &self.kind { t.as_ref() } else { None }
    }
}

impl fmt::Debug for Lifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lifted(level {})", self.level)
    }
}

/// Runs a primitive with one result: evaluates it, and records it when an input is tracked.
///
/// Floating operands of 16 bits are converted to float32, and results back, unless the primitive [moves](Primitive::moves) them. Both
/// conversions are recorded.
///
/// # Errors
/// Those of the evaluation.
#[inline(always)]
pub fn apply(p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Variable> {
    if half::is_met(p, inputs) {
        return first(p, half::apply_all(p, inputs, attrs)?);
    }
    apply_native(p, inputs, attrs)
}

/// [`apply`] to operands without 16-bit floats.
///
/// # Errors
/// As [`apply`].
#[inline(always)]
pub fn apply_native(p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Variable> {
    if is_tracked(inputs) {
        return apply_tracked(p, inputs, attrs);
    }
    if capture::is_anywhere() {
        return apply_seen(p, inputs, attrs);
    }
    let mut call = Call::new(p, inputs, attrs, false);
    (p.eval)(&mut call)?;
    match call.outputs.pop() {
        Some(out) => Ok(out.into()),
        None => no_result(p),
    }
}

/// [`apply`] with a tracked input.
#[inline(always)]
fn apply_tracked(p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Variable> {
    if is_lifted(inputs) || p.hidden > 0 || capture::is_anywhere() {
        return first(p, apply_all(p, inputs, attrs)?);
    }
    let mut call = Call::new(p, inputs, attrs, true);
    (p.eval)(&mut call)?;
    match call.outputs.pop() {
        Some(out) => variable::record_one(p, inputs, out, attrs),
        None => no_result(p),
    }
}

/// [`apply`] while a thread captures.
#[cold]
#[inline(never)]
fn apply_seen(p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Variable> {
    first(p, apply_all(p, inputs, attrs)?)
}

/// [`apply`] for a primitive with any number of results.
///
/// # Errors
/// As [`apply`].
pub fn apply_all(p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Outputs> {
    if half::is_met(p, inputs) {
        return half::apply_all(p, inputs, attrs);
    }
    let tracked = is_tracked(inputs);
    if tracked && is_lifted(inputs) {
        return transformed(p, inputs, attrs);
    }
    let mut call = Call::new(p, inputs, attrs, tracked && variable::records(p));
    (p.eval)(&mut call)?;
    if capture::is_anywhere() {
        capture::note_eval(p, inputs, &call.outputs, attrs, call.is_recorded, false);
    }
    if call.is_recorded && (p.hidden > 0 || call.outputs.iter().any(|out| out.dtype().is_inexact())) {
        return variable::record_all(p, inputs, call.outputs, attrs);
    }
    let mut outputs = Outputs::new();
    alloc_check::reserve_small(&mut outputs, call.outputs.len());
    outputs.extend(call.outputs.into_iter().map(Variable::from));
    Ok(outputs)
}

/// Evaluates a primitive and does nothing else. `owned` is the value of operand 0 when the primitive may overwrite it.
///
/// # Errors
/// Those of the evaluation.
pub fn evaluate(p: &'static Primitive, inputs: &[Operand<'_>], attrs: &Attrs, recorded: bool, owned: Option<Array>) -> Result<SmallVec<[Array; 1]>> {
    let attrs: &dyn AttrSet = if let Attrs::Set(set) = attrs { &**set } else { &() };
    let mut call = Call::new(p, inputs, attrs, recorded);
    call.owned = owned;
    (p.eval)(&mut call)?;
    Ok(call.outputs)
}

/// [`apply`] for a primitive that changes operand 0, `x`: in place, unless the storage is shared.
///
/// # Errors
/// As [`apply`].
pub fn apply_update(p: &'static Primitive, x: Variable, rest: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Variable> {
    let tracked = {
        let inputs = in_front(Operand::Variable(&x), rest);
        if half::is_met(p, &inputs) {
            return first(p, half::apply_all(p, &inputs, attrs)?);
        }
        if is_lifted(&inputs) {
            return first(p, transformed(p, &inputs, attrs)?);
        }
        if capture::is_on() {
            return first(p, apply_all(p, &inputs, attrs)?);
        }
        is_tracked(&inputs)
    };
    let edge = x.edge().clone();
    // The operand must not share the storage during the evaluation, so a number takes its place.
    let inputs = in_front(Operand::Scalar(Scalar::Int(0)), rest);
    let mut call = Call::new(p, &inputs, attrs, tracked);
    call.owned = Some(x.into_array());
    (p.eval)(&mut call)?;
    let Some(out) = call.outputs.pop() else { no_result(p) };
    if !tracked {
        return Ok(out.into());
    }
    // Recording reads only the edge of operand 0.
    let before = Variable::with_edge(out.clone(), edge);
    variable::record_one(p, &in_front(Operand::Variable(&before), rest), out, attrs)
}

fn in_front<'a>(first: Operand<'a>, rest: &[Operand<'a>]) -> SmallVec<[Operand<'a>; 3]> {
    std::iter::once(first).chain(rest.iter().copied()).collect()
}

#[inline(always)]
fn is_tracked(inputs: &[Operand<'_>]) -> bool {
    inputs.iter().any(|i| i.variable().is_some_and(Variable::is_tracked))
}

#[cold]
fn no_result(p: &'static Primitive) -> ! {
    unreachable!("{}: an evaluation has a result", p.name)
}

fn first(p: &'static Primitive, mut outs: Outputs) -> Result<Variable> {
    match outs.len() {
        0 => no_result(p),
        _ => Ok(outs.swap_remove(0)),
    }
}

/// Whether an operand is inside a transformation.
#[inline]
fn is_lifted(inputs: &[Operand<'_>]) -> bool {
    inputs.iter().any(|i| i.variable().is_some_and(|v| matches!(v.edge(), Edge::Lifted(_))))
}

/// Hands the call to the innermost transformation of an operand.
#[cold]
fn transformed(p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Outputs> {
    let lifted = inputs.iter().filter_map(|i| if let Edge::Lifted(l) = i.variable()?.edge() { Some(l) } else { None });
    if capture::is_anywhere() {
        lifted.clone().for_each(|l| capture::note_lifted(l.level));
    }
    match lifted.max_by_key(|l| l.level).map(|l| (l.level, l.run)) {
        Some((level, run)) => run(level, p, inputs, attrs),
        None => unreachable!("{}: an operand is lifted", p.name),
    }
}

impl JvpContext<'_> {
    /// Input `i` as an array.
    #[must_use]
    pub fn input(&self, i: usize) -> Variable {
        match self.inputs[i] {
            Operand::Variable(v) => v.clone(),
            Operand::Scalar(s) => {
                let floating = Some(self.outputs[0].dtype()).filter(|d| d.is_inexact()).map(DType::real);
                Array::full(&[], s, s.dtype_beside(floating)).into()
            }
        }
    }

    /// The attributes.
    #[must_use]
    pub fn attrs<T: Any>(&self) -> &T {
        typed(self.attrs, self.primitive)
    }
}

impl<'a> BatchContext<'a> {
    /// Input `i`, which is an array.
    #[must_use]
    pub fn array(&self, i: usize) -> &'a Variable {
        match self.inputs[i] {
            Operand::Variable(v) => v,
            Operand::Scalar(_) => unreachable!("{}: operand {i} is a number", self.primitive.name),
        }
    }

    /// Runs the primitive on one sample after another, and stacks the results.
    ///
    /// # Errors
    /// Those of the primitive.
    pub fn each(&self) -> Result<Outputs> {
        (self.each)(self)
    }

    /// Input `i` with its batch axis in front. An input that is not mapped is broadcast, as a view.
    ///
    /// # Errors
    /// Those of recording.
    pub fn batched_input(&self, i: usize) -> Result<Variable> {
        let x = self.array(i);
        if self.mapped[i] {
            return Ok(x.clone());
        }
        let shape: Shape = std::iter::once(self.size).chain(x.shape().iter().copied()).collect();
        super::accumulate::broadcast_to(x, &shape)
    }

    /// Input `i` for broadcasting to `ndim` axes after the batch axis: a mapped input gets axes of size one after its batch axis.
    ///
    /// # Errors
    /// Those of recording.
    pub fn aligned(&self, i: usize, ndim: usize) -> Result<Variable> {
        let x = self.array(i);
        if !self.mapped[i] || x.ndim() > ndim {
            return Ok(x.clone());
        }
        let shape: Shape = [&x.shape()[..1], &Shape::from_elem(1, ndim + 1 - x.ndim()), &x.shape()[1..]].concat().into();
        super::accumulate::reshape(x, &shape)
    }

    /// Applies the primitive with other attributes to its inputs, all with their batch axis in front.
    ///
    /// # Errors
    /// Those of the primitive.
    pub fn apply_spread(&self, attrs: &dyn AttrSet) -> Result<Outputs> {
        let inputs = (0..self.inputs.len()).map(|i| self.batched_input(i)).collect::<Result<SmallVec<[Variable; 3]>>>()?;
        let operands: SmallVec<[Operand<'_>; 3]> = inputs.iter().map(Operand::from).collect();
        apply_all(self.primitive, &operands, attrs)
    }

    /// The attributes.
    #[must_use]
    pub fn attrs<T: Any>(&self) -> &T {
        typed(self.attrs, self.primitive)
    }
}

impl Variable {
    /// A value inside a transformation. `example` has its shape and dtype.
    #[must_use]
    pub fn lifted(example: Array, lifted: Lifted) -> Self {
        Self::with_edge(example, Edge::Lifted(Arc::new(lifted)))
    }

    /// Whether it is inside a transformation. Then only the shape and dtype of its array are meaningful.
    #[must_use]
    #[inline]
    pub fn is_lifted(&self) -> bool {
        matches!(self.edge(), Edge::Lifted(_))
    }

    /// The array, for reading its elements.
    ///
    /// # Errors
    /// `Grad` inside a batch, where there is no single value.
    pub fn values(&self, op: &str) -> Result<&Array> {
        if self.is_batched() {
            return Err(Error::Grad(format!(
                "{op}: the elements of a value inside vmap were read, but they differ between the samples; choose by tg.where instead of an \
                 if, keep to tapegrad's functions, or read the value outside of the mapped function"
            )));
        }
        if capture::is_anywhere() {
            capture::note_read(self.array(), op);
        }
        Ok(self.array())
    }

    /// The array below all transformations, with the elements of all samples and all batch axes in front.
    #[must_use]
    pub fn innermost(&self) -> &Array {
        match self.edge() {
            Edge::Lifted(l) => l.value.innermost(),
            _ => self.array(),
        }
    }

    /// Whether it has a batch axis of an active `vmap`.
    fn is_batched(&self) -> bool {
        match self.edge() {
            Edge::Lifted(l) => matches!(l.kind, Lift::Batched) || l.value.is_batched(),
            _ => false,
        }
    }

    /// The value below `level`, if it is lifted at that level.
    #[must_use]
    pub fn at_level(&self, level: u64) -> Option<&Lifted> {
        match self.edge() {
            Edge::Lifted(l) if l.level == level => Some(l),
            _ => None,
        }
    }
}
