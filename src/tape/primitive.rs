//! What a primitive operation is, and [`apply`], the only way to run one.
//!
//! A primitive is data: how it is evaluated, what its gradient rule reads, its gradient, its tangent, and how it works on a
//! batch. [`apply`] evaluates it and records it. When an input is inside a transformation (a dual or a batched value), that
//! transformation decides what runs instead; see [`Lifted`].

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::node::{Attrs, Rule};
use super::step::Saver;
use super::variable::{self, Edge, Variable};
use crate::array::{Array, DType, Scalar};
use crate::error::{Error, Result};

/// An operand of a primitive: an array, or a number that stays one.
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
    /// The attributes as a node keeps them.
    fn share(&self) -> Attrs;
    /// For a typed view.
    fn as_any(&self) -> &dyn Any;
}

impl AttrSet for () {
    fn share(&self) -> Attrs {
        Attrs::None
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Attributes of a primitive: a struct whose fields are their names.
#[macro_export]
macro_rules! attributes {
    ($($name:ty),*) => {
        $(impl $crate::tape::AttrSet for $name {
            fn share(&self) -> $crate::tape::Attrs {
                $crate::tape::Attrs::Set(std::sync::Arc::new(self.clone()))
            }
            fn as_any(&self) -> &dyn std::any::Any {
                self
            }
        })*
    };
}

/// One evaluation: operands and attributes in, arrays out. No tape.
pub struct Call<'a> {
    primitive: &'static Primitive,
    inputs: &'a [Operand<'a>],
    attrs: &'a dyn AttrSet,
    outputs: SmallVec<[Array; 1]>,
}

impl<'a> Call<'a> {
    /// The name of the primitive.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.primitive.name
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
        match self.attrs.as_any().downcast_ref() {
            Some(attrs) => attrs,
            None => unreachable!("{}: called with attributes of another type", self.name()),
        }
    }

    /// A new array for the next output.
    pub fn out(&mut self, shape: &[usize], dtype: DType) -> &mut Array {
        self.outputs.push(Array::empty(shape, dtype));
        let last = self.outputs.len() - 1;
        &mut self.outputs[last]
    }

    /// The next output: a view of an input, or what a kernel made.
    #[inline]
    pub fn give(&mut self, out: Array) {
        self.outputs.push(out);
    }
}

/// How a primitive is differentiated forward: its tangent from the tangents of its inputs.
#[derive(Clone, Copy)]
pub enum Jvp {
    /// Elementwise: the tangent of input `i`, times the factor of the gradient rule.
    Factor(fn(ctx: &JvpContext<'_>, i: usize, tangent: Variable) -> Result<Variable>),
    /// Linear in all differentiable inputs together: the primitive, applied to the tangents.
    Linear,
    /// Linear in each differentiable input: a sum of the primitive with one input exchanged by its tangent.
    Multilinear,
    /// The tangent of the definition.
    Definition,
    /// A rule of its own.
    Rule(fn(&JvpContext<'_>) -> Result<Outputs>),
    /// The output has no tangent.
    NonDifferentiable,
}

/// What a tangent rule sees.
pub struct JvpContext<'a> {
    /// The inputs.
    pub inputs: &'a [Operand<'a>],
    /// Their tangents; `None` is zero.
    pub tangents: &'a [Option<Variable>],
    /// The results.
    pub outputs: &'a [Variable],
    /// The attributes.
    pub attrs: &'a dyn AttrSet,
}

/// How a primitive works on a batch: inputs with one more axis.
#[derive(Clone, Copy)]
pub enum Batch {
    /// Elementwise with broadcasting: the batch axis goes to the front of every operand.
    Elementwise,
    /// A rule: mapped inputs have their batch axis in front, and so have all results.
    Rule(fn(&BatchContext<'_>) -> Result<Outputs>),
    /// The batch is taken apart, and the results are stacked.
    Loop,
}

/// What a batching rule sees.
pub struct BatchContext<'a> {
    /// The primitive.
    pub primitive: &'static Primitive,
    /// The inputs, mapped ones with their batch axis in front.
    pub inputs: &'a [Operand<'a>],
    /// Which of them are mapped.
    pub mapped: &'a [bool],
    /// Size of the batch axis.
    pub size: usize,
    /// The attributes.
    pub attrs: &'a dyn AttrSet,
}

/// The same function written with other operations: for second orders, tangents and batches of a fused primitive.
pub type Definition = fn(&[Variable], &dyn AttrSet) -> Result<Outputs>;

/// A primitive operation.
pub struct Primitive {
    /// The name under which users call it.
    pub name: &'static str,
    /// Evaluates it.
    pub eval: fn(&mut Call<'_>) -> Result<()>,
    /// Names what the gradient rule reads.
    pub saves: fn(&mut Saver<'_>),
    /// The vector-Jacobian product.
    pub rule: Rule,
    /// The tangent.
    pub jvp: Jvp,
    /// The batching rule.
    pub batch: Batch,
    /// The definition of a fused primitive.
    pub definition: Option<Definition>,
}

impl Primitive {
    /// A primitive to fill in.
    pub const BASE: Self = Self {
        name: "",
        eval: |call| Err(Error::Type(format!("{}: has no evaluation", call.name()))),
        saves: |_| {},
        rule: Rule::NonDifferentiable,
        jvp: Jvp::NonDifferentiable,
        batch: Batch::Loop,
        definition: None,
    };
}

impl fmt::Debug for Primitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Runs a primitive with another set of operands while a transformation is active.
pub type Transformation = fn(level: u64, p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Outputs>;

/// A value inside a transformation: dual (with a tangent) or batched (with an axis).
pub struct Lifted {
    /// Unique for each call of a transformation, and larger for inner ones.
    pub level: u64,
    /// What runs a primitive that meets this value.
    pub run: Transformation,
    /// The value one level below.
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

/// Runs a primitive: evaluates it, and records it when an input is tracked. One result.
///
/// # Errors
/// Those of the evaluation; `Grad` when an input is tracked and there is no gradient rule.
#[inline(always)]
pub fn apply(p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Variable> {
    let tracked = inputs.iter().any(|i| i.variable().is_some_and(Variable::is_tracked));
    if tracked && is_lifted(inputs) {
        return first(p, transformed(p, inputs, attrs)?);
    }
    let mut call = Call { primitive: p, inputs, attrs, outputs: SmallVec::new() };
    (p.eval)(&mut call)?;
    let Some(out) = call.outputs.pop() else { return Err(no_result(p)) };
    if !tracked {
        return Ok(out.into());
    }
    variable::record_call(p, inputs, out, attrs)
}

#[cold]
fn no_result(p: &'static Primitive) -> Error {
    unreachable!("{}: an evaluation has a result", p.name)
}

fn first(p: &'static Primitive, mut outs: Outputs) -> Result<Variable> {
    outs.pop().ok_or_else(|| no_result(p))
}

/// Whether an operand is inside a transformation.
#[inline]
fn is_lifted(inputs: &[Operand<'_>]) -> bool {
    inputs.iter().any(|i| i.variable().is_some_and(|v| matches!(v.edge(), Edge::Lifted(_))))
}

/// Hands the call to the innermost transformation among its operands.
#[cold]
fn transformed(p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Outputs> {
    let lifted = inputs.iter().filter_map(|i| if let Edge::Lifted(l) = i.variable()?.edge() { Some(l) } else { None });
    match lifted.max_by_key(|l| l.level).map(|l| (l.level, l.run)) {
        Some((level, run)) => run(level, p, inputs, attrs),
        None => unreachable!("{}: an operand is lifted", p.name),
    }
}

/// [`apply`] for a primitive with several results, or for a caller that knows nothing of them.
///
/// # Errors
/// As [`apply`].
pub fn apply_all(p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Outputs> {
    Ok(std::iter::once(apply(p, inputs, attrs)?).collect())
}

impl JvpContext<'_> {
    /// Input `i` as an array.
    #[must_use]
    pub fn input(&self, i: usize) -> Variable {
        match self.inputs[i] {
            Operand::Variable(v) => v.clone(),
            Operand::Scalar(s) => Array::full(&[], s, s.dtype()).into(),
        }
    }

    /// The attributes.
    #[must_use]
    pub fn attrs<T: Any>(&self) -> &T {
        match self.attrs.as_any().downcast_ref() {
            Some(attrs) => attrs,
            None => unreachable!("called with attributes of another type"),
        }
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

    /// The attributes.
    #[must_use]
    pub fn attrs<T: Any>(&self) -> &T {
        match self.attrs.as_any().downcast_ref() {
            Some(attrs) => attrs,
            None => unreachable!("{}: called with attributes of another type", self.primitive.name),
        }
    }
}

impl Variable {
    /// A value inside a transformation, which looks like `example` (its shape and dtype).
    #[must_use]
    pub fn lifted(example: Array, lifted: Lifted) -> Self {
        Self::with_edge(example, Edge::Lifted(Arc::new(lifted)))
    }

    /// The value behind it at `level`, if it is lifted there.
    #[must_use]
    pub fn at_level(&self, level: u64) -> Option<&Lifted> {
        match self.edge() {
            Edge::Lifted(l) if l.level == level => Some(l),
            _ => None,
        }
    }
}
