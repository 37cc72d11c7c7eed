//! Python code on the tape: hooks, and custom functions. Only these hold Python objects, and they take part in garbage
//! collection: a collector that finds a handle finds what its nodes hold alone.

use std::any::Any;
use std::sync::{Arc, Weak};

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use super::error::{GradError, external, guard};
use super::number::holds_tracked;
use super::variable::{PyVariable, expect, wrap};
use crate::array::Array;
use crate::error::{Result, show_shape};
use crate::tape::{self, Attrs, CustomRule, Edge, Grads, Hook, HookFn, Leaf, NodeRef, Op, Owned, Rule, Step, Variable};

/// A Python callable that sees a gradient.
pub struct PyHook(Py<PyAny>);

impl PyHook {
    /// A hook that calls `f`.
    pub fn new(f: Py<PyAny>) -> Self {
        Self(f)
    }
}

impl HookFn for PyHook {
    fn call(&self, gradient: &Variable) -> Result<Option<Variable>> {
        Python::attach(|py| {
            let out = self.0.call1(py, (wrap(py, gradient.clone())?,))?;
            if out.is_none(py) {
                return Ok(None);
            }
            // Lent memory is copied: no later write to it changes the gradient.
            Ok(Some(expect(out.bind(py), "what a gradient hook returns")?.get().snapshot().pooled()))
        })
        .map_err(external)
    }

    fn again(&self) -> Hook {
        Python::attach(|py| Arc::new(Self(self.0.clone_ref(py))))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

enum Place {
    /// Not kept alive: a handle may be part of a cycle through the hook.
    Leaf(Weak<Leaf>),
    Node(NodeRef),
}

/// Removes a hook.
#[pyclass(frozen, module = "tapegrad")]
pub struct HookHandle {
    place: Place,
    id: u64,
}

#[pymethods]
impl HookHandle {
    /// Takes the hook off; a second call does nothing.
    fn remove(&self) {
        match &self.place {
            Place::Leaf(leaf) => {
                if let Some(leaf) = leaf.upgrade() {
                    leaf.remove_hook(self.id);
                }
            }
            Place::Node(node) => tape::remove_node_hook(node, self.id),
        }
    }
}

/// Registers a hook on a tracked value.
pub fn add_hook(v: &Variable, hook: Hook) -> PyResult<HookHandle> {
    match v.edge() {
        Edge::None => Err(GradError::new_err("register_hook: this Variable does not require gradients")),
        Edge::Leaf(leaf) => Ok(HookHandle { id: leaf.add_hook(hook), place: Place::Leaf(Arc::downgrade(leaf)) }),
        Edge::Node { node, output } => Ok(HookHandle { id: tape::add_node_hook(node, *output, hook), place: Place::Node(node.clone()) }),
    }
}

/// A user's `Function`: its class and the context of one call.
struct FunctionRule {
    name: String,
    class: Py<PyType>,
    ctx: Py<PyAny>,
    /// Number of arguments of the call, and which of them were Variables.
    count: usize,
    places: Vec<usize>,
}

static FUNCTION: Op = Op { name: "Function", rule: Rule::Vjp(|_| Ok(Grads::new())) };

impl CustomRule for FunctionRule {
    fn name(&self) -> &str {
        &self.name
    }

    fn vjp(&self, step: &mut Step<'_>) -> Result<Grads> {
        Python::attach(|py| self.run(py, step)).map_err(external)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl FunctionRule {
    fn run(&self, py: Python<'_>, step: &Step<'_>) -> PyResult<Grads> {
        let mut args = vec![self.ctx.clone_ref(py)];
        for g in (0..step.output_count()).map(|i| step.cotangent(i)) {
            args.push(match g {
                Some(g) => wrap(py, g)?,
                None => py.None(),
            });
        }
        let out = self.class.bind(py).getattr("backward")?.call1(PyTuple::new(py, args)?)?;
        let grads: Vec<Bound<'_, PyAny>> = match out.cast::<PyTuple>() {
            Ok(t) => t.iter().collect(),
            Err(_) => vec![out],
        };
        if grads.len() != self.count {
            return Err(GradError::new_err(format!(
                "{}.backward returned {} gradient{}, expected {}: one for each argument of forward (None for those without)",
                self.name,
                grads.len(),
                if grads.len() == 1 { "" } else { "s" },
                self.count
            )));
        }
        for (k, g) in grads.iter().enumerate() {
            if !self.places.contains(&k) && !g.is_none() {
                return Err(GradError::new_err(format!("{}.backward: gradient {k} must be None, argument {k} of forward is no Variable", self.name)));
            }
        }
        self.places.iter().enumerate().map(|(i, &k)| self.checked(step, i, k, &grads[k])).collect()
    }

    /// Gradient `k` of `backward` for input `i` of the node.
    fn checked(&self, step: &Step<'_>, i: usize, k: usize, g: &Bound<'_, PyAny>) -> PyResult<Option<Variable>> {
        if g.is_none() || !step.needs(i) {
            return Ok(None);
        }
        let g = expect(g, &format!("{}.backward: gradient {k}", self.name))?.get().snapshot().pooled();
        let meta = step.meta(i);
        if g.shape() != meta.shape.as_slice() || g.dtype() != meta.dtype {
            return Err(GradError::new_err(format!(
                "{}.backward: gradient {k} has shape {} and dtype {}, expected {} and {} like argument {k} of forward",
                self.name,
                show_shape(g.shape()),
                g.dtype(),
                show_shape(&meta.shape),
                meta.dtype
            )));
        }
        Ok(Some(g))
    }
}

/// Calls `cls.forward(ctx, *args)` without recording and puts `cls.backward` on the tape.
#[pyfunction]
fn apply_function<'py>(cls: &Bound<'py, PyType>, ctx: &Bound<'py, PyAny>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    guard("Function.apply", || apply(cls, ctx, args))
}

fn apply<'py>(cls: &Bound<'py, PyType>, ctx: &Bound<'py, PyAny>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    let py = cls.py();
    let name = cls.name()?.to_string();
    let mut places = Vec::new();
    let mut inputs = Vec::new();
    for (k, a) in args.iter().enumerate() {
        if let Ok(v) = a.cast::<PyVariable>() {
            places.push(k);
            inputs.push(v.get().snapshot());
        } else if holds_tracked(&a) {
            return Err(GradError::new_err(format!(
                "{name}.apply: argument {k} is a {} that holds a Variable which requires gradients; pass such Variables as arguments of \
                 their own, as in apply(*variables), or detach() them",
                a.get_type().name()?
            )));
        }
    }
    let out = {
        let _off = tape::recording(false);
        let all: Vec<Bound<'_, PyAny>> = std::iter::once(ctx.clone()).chain(args.iter()).collect();
        cls.getattr("forward")?.call1(PyTuple::new(py, all)?)?
    };
    let (outs, many): (Vec<Bound<'py, PyAny>>, bool) = match out.cast::<PyTuple>() {
        Ok(t) => (t.iter().collect(), true),
        Err(_) => (vec![out], false),
    };
    let arrays: Vec<Array> = outs
        .iter()
        .map(|o| match o.cast::<PyVariable>() {
            Ok(v) => Ok(v.get().snapshot().into_array()),
            Err(_) => Err(PyTypeError::new_err(format!("{name}.forward must return Variables, got {}", o.get_type().name()?))),
        })
        .collect::<PyResult<_>>()?;
    let refs: Vec<&Variable> = inputs.iter().collect();
    let rule = FunctionRule { name, class: cls.clone().unbind(), ctx: ctx.clone().unbind(), count: args.len(), places };
    let mut tracked = tape::record_many(&FUNCTION, &refs, arrays, |s| s.attrs(Attrs::Custom(Arc::new(rule))))?;
    if let Ok(excluded) = ctx.getattr("_non_differentiable") {
        for (o, v) in outs.iter().zip(&mut tracked) {
            if excluded.contains(o.as_ptr() as usize)? {
                *v = v.detach();
            }
        }
    }
    let handles: Vec<Py<PyAny>> = tracked.into_iter().map(|v| wrap(py, v)).collect::<PyResult<_>>()?;
    let result = PyTuple::new(py, handles)?;
    if ctx.hasattr("_set_outputs")? {
        ctx.call_method1("_set_outputs", (&result,))?;
    }
    if many { Ok(result.into_any()) } else { result.get_item(0) }
}

/// The value of `v` at present and its place on the tape, in an object that no one else changes, and as the tape would keep it.
#[pyfunction]
fn _saved(v: &Bound<'_, PyVariable>) -> PyVariable {
    let v = v.get().snapshot();
    PyVariable::new(Variable::with_edge(v.array().kept(), v.edge().clone()))
}

/// Visits the Python objects that only a handle at `edge` keeps alive through the tape.
pub fn traverse_edge(edge: &Edge, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
    let Edge::Node { node, .. } = edge else { return Ok(()) };
    let mut result = Ok(());
    tape::visit_owned(node, &mut |owned| {
        if result.is_err() {
            return;
        }
        result = match owned {
            Owned::Rule(rule) => match rule.as_any().downcast_ref::<FunctionRule>() {
                Some(f) => visit.call(&f.ctx).and_then(|()| visit.call(&f.class)),
                None => Ok(()),
            },
            Owned::Hook(hook) => visit_hook(hook, visit),
        };
    });
    result
}

/// Visits the hooks of a leaf that nobody else holds.
pub fn traverse_leaf(leaf: &Leaf, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
    leaf.try_hooks().into_iter().flatten().try_for_each(|hook| visit_hook(&*hook, visit))
}

fn visit_hook(hook: &dyn HookFn, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
    match hook.as_any().downcast_ref::<PyHook>() {
        Some(h) => visit.call(&h.0),
        None => Ok(()),
    }
}

/// Puts custom functions on the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<HookHandle>()?;
    m.add_function(wrap_pyfunction!(_saved, m)?)?;
    m.add_function(wrap_pyfunction!(apply_function, m)?)
}
