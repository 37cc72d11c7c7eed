//! A trace: all calls that a thread recorded, with their values, so that each call can be run again on other values.
//!
//! A node keeps only what its gradient rule reads. A trace keeps the inputs and results of every call, to answer questions about a whole
//! program: which inputs a result depends on, and where a value became wrong.

use std::cell::RefCell;
use std::sync::Arc;

use super::arena::{self, NodeRef};
use super::mode;
use super::node::{Attrs, Vjp};
use super::primitive::{Batch, Jvp, Operand, Outputs, Primitive, apply_all};
use super::variable::{Edge, Variable};
use crate::array::{Array, Scalar, alloc_check};
use crate::error::{Error, Result};

/// One recorded call.
#[derive(Clone, Debug)]
pub struct Traced {
    node: NodeRef,
    op: &'static Primitive,
    attrs: Attrs,
    /// The inputs.
    pub inputs: Vec<TracedInput>,
    /// The results, with their edges.
    pub outputs: Vec<Variable>,
}

/// An input of a recorded call.
#[derive(Clone, Debug)]
pub enum TracedInput {
    /// An array, and where it came from.
    Array(Variable),
    /// A number.
    Number(Scalar),
}

/// How the elements of a result depend on those of the inputs, as far as the primitive tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependence {
    /// Element by element, with broadcasting.
    Elementwise,
    /// Linear in all inputs together, so that it can be probed with chosen values.
    Linear,
    /// Any other.
    General,
    /// A user's rule, which cannot be run again.
    Opaque,
}

thread_local! {
    static TRACES: RefCell<Vec<Vec<Traced>>> = const { RefCell::new(Vec::new()) };
}

/// Begins to keep the calls that this thread records.
///
/// ```
/// use tapegrad::{array::Array, ops, tape::{self, TracedInput, Variable}};
/// let x = Variable::parameter(Array::from_slice(&[1.0, 2.0], &[2]))?;
/// tape::begin_trace();
/// let _ = ops::multiply(&x, &x)?;
/// let calls = tape::end_trace();
/// assert_eq!(calls[0].name(), "multiply");
/// let three = TracedInput::Array(Array::from_slice(&[3.0, 3.0], &[2]).into());
/// assert_eq!(calls[0].run(&[three.clone(), three])?[0].array().to_vec::<f64>(), [9.0, 9.0]);
/// # Ok::<(), tapegrad::Error>(())
/// ```
pub fn begin_trace() {
    TRACES.with_borrow_mut(|all| all.push(Vec::new()));
    mode::set_traced(true);
}

/// Ends the innermost trace and returns its calls.
#[must_use]
pub fn end_trace() -> Vec<Traced> {
    let trace = TRACES.with_borrow_mut(Vec::pop).unwrap_or_default();
    mode::set_traced(TRACES.with_borrow(|all| !all.is_empty()));
    trace
}

/// Keeps a call that was recorded as `node`.
#[cold]
pub(super) fn note(node: &NodeRef, inputs: &[Operand<'_>], outs: &[Array]) {
    if !mode::is_traced() {
        return;
    }
    let (op, attrs) = {
        let arena = arena::lock();
        let node = arena.node(node.id());
        (node.op, node.attrs.clone())
    };
    let input = |operand: &Operand<'_>| match operand {
        Operand::Variable(v) => TracedInput::Array((*v).clone()),
        Operand::Scalar(s) => TracedInput::Number(*s),
    };
    let output = |(i, array): (usize, &Array)| {
        let output = u32::try_from(i).unwrap_or(u32::MAX);
        Variable::with_edge(array.clone(), Edge::Node { node: node.clone(), output })
    };
    let call = Traced {
        node: node.clone(),
        op,
        attrs,
        inputs: alloc_check::collect(inputs.iter().map(input)),
        outputs: alloc_check::collect(outs.iter().enumerate().map(output)),
    };
    TRACES.with_borrow_mut(|all| all.iter_mut().for_each(|trace| alloc_check::push(trace, call.clone())));
}

impl Traced {
    /// The name of the operation.
    #[must_use]
    pub fn name(&self) -> &str {
        self.attrs.name().unwrap_or(self.op.name)
    }

    /// Its attributes as text.
    #[must_use]
    pub fn attrs(&self) -> String {
        format!("{:?}", self.attrs)
    }

    /// The line of user code that recorded it.
    #[must_use]
    pub fn source(&self) -> Option<Arc<str>> {
        arena::lock().node(self.node.id()).source().cloned()
    }

    /// How its results depend on its inputs.
    #[must_use]
    pub fn dependence(&self) -> Dependence {
        match (&self.attrs, self.op.batch, self.op.jvp, self.op.vjp) {
            (Attrs::Custom(_) | Attrs::Freed(_), ..) => Dependence::Opaque,
            (_, Batch::Elementwise, ..) => Dependence::Elementwise,
            (_, _, Jvp::Linear, Vjp::Rule(_) | Vjp::Definition) => Dependence::Linear,
            _ => Dependence::General,
        }
    }

    /// Runs the same operation on other inputs.
    ///
    /// # Errors
    /// Those of the operation; `Grad` for a rule of the user's.
    pub fn run(&self, inputs: &[TracedInput]) -> Result<Outputs> {
        let operands: Vec<Operand<'_>> = alloc_check::collect(inputs.iter().map(|i| match i {
            TracedInput::Array(v) => Operand::Variable(v),
            TracedInput::Number(s) => Operand::Scalar(*s),
        }));
        let mut outputs = match &self.attrs {
            Attrs::Set(attrs) => apply_all(self.op, &operands, &**attrs)?,
            Attrs::None => apply_all(self.op, &operands, &())?,
            Attrs::Custom(_) | Attrs::Freed(_) => {
                return Err(Error::Grad(format!("{}: a function with a rule of its own cannot be run again", self.name())));
            }
        };
        outputs.truncate(self.outputs.len());
        Ok(outputs)
    }
}
