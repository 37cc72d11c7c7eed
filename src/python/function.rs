//! Python code on the tape: hooks, and custom functions. Only these hold Python objects; `gc.rs` reports them to the collector.

use std::any::Any;
use std::sync::{Arc, Weak};

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use super::error::{GradError, external, guard};
use super::gc::Scope;
use super::number::holds_tracked;
use super::release::{self, Held};
use super::variable::{PyVariable, expect, wrap};
use crate::array::Array;
use crate::error::{Result, show_shape};
use crate::tape::{self, CustomRule, Edge, Hook, HookFn, Leaf, Primitive, Variable, Vjp, VjpContext};
use crate::transform::{self, Outside};

/// A Python callable that is called with a gradient.
pub struct PyHook(Held<PyAny>);

impl PyHook {
    /// A hook that calls `f`.
    pub fn new(f: Py<PyAny>) -> Self {
        Self(Held::new(f))
    }

    /// Reports the callable to a garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&*self.0)
    }
}

impl HookFn for PyHook {
    fn call(&self, gradient: &Variable) -> Result<Option<Variable>> {
        Python::attach(|py| {
            let _scope = Scope::attached();
            let out = self.0.call1(py, (wrap(py, gradient.clone())?,))?;
            if out.is_none(py) {
                return Ok(None);
            }
            // Lent memory is copied, so that later writes do not change the gradient.
            Ok(Some(expect(out.bind(py), "what a gradient hook returns")?.get().snapshot().pooled()))
        })
        .map_err(external)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The node or leaf of a hook. It is not kept alive: an object that keeps the handle of its own hook would otherwise be a cycle.
enum Place {
    Leaf(Weak<Leaf>),
    /// The number of a node, which is never reused.
    Node(u64),
}

/// Removes a hook.
#[pyclass(frozen, module = "tapegrad")]
pub struct HookHandle {
    place: Place,
    id: u64,
}

#[pymethods]
impl HookHandle {
    /// Removes the hook; calling it again has no effect.
    fn remove(&self) {
        match &self.place {
            Place::Leaf(leaf) => {
                if let Some(leaf) = leaf.upgrade() {
                    leaf.remove_hook(self.id);
                }
            }
            Place::Node(node) => tape::remove_node_hook(*node, self.id),
        }
        release::empty();
    }
}

/// Registers a hook on a tracked value.
pub fn add_hook(v: &Variable, hook: Hook) -> PyResult<HookHandle> {
    match v.edge() {
        Edge::None | Edge::Lifted(_) => Err(GradError::new_err("register_hook: this Variable does not require gradients")),
        Edge::Leaf(leaf) => Ok(HookHandle { id: leaf.add_hook(hook), place: Place::Leaf(Arc::downgrade(leaf)) }),
        Edge::Node { node, output } => Ok(HookHandle { id: tape::add_node_hook(node, *output, hook), place: Place::Node(node.id()) }),
    }
}

/// A user's `Function`: its class and the context of one call.
pub struct FunctionRule {
    name: String,
    class: Held<PyType>,
    ctx: Held<PyAny>,
    /// Number of arguments of the call, and which of them are Variables.
    count: usize,
    places: Vec<usize>,
    /// The number of mappings (vmap) that the forward ran inside.
    depth: usize,
}

static FUNCTION: Primitive = Primitive { name: "Function", vjp: Vjp::Rule(|_| Ok(())), ..Primitive::BASE };

impl CustomRule for FunctionRule {
    fn name(&self) -> &str {
        &self.name
    }

    fn vjp(&self, ctx: &mut VjpContext<'_>) -> Result<()> {
        Python::attach(|py| {
            let _scope = Scope::attached();
            let _mappings = Outside::of(self.mappings(ctx));
            self.run(py, ctx)
        })
        .map_err(external)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl FunctionRule {
    /// Reports the class and the context to a garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&*self.ctx)?;
        visit.call(&*self.class)
    }

    /// The number of mappings that the backward runs inside: those of the forward, and those of its cotangents.
    fn mappings(&self, ctx: &VjpContext<'_>) -> usize {
        let depth = |g: Variable| if let Edge::Lifted(l) = g.edge() { transform::depth_of(l.level + 1) } else { 0 };
        (0..ctx.output_count()).filter_map(|i| ctx.cotangent_of(i)).map(depth).fold(self.depth, usize::max)
    }

    fn run(&self, py: Python<'_>, ctx: &mut VjpContext<'_>) -> PyResult<()> {
        let mut args = vec![self.ctx.clone_ref(py)];
        for g in (0..ctx.output_count()).map(|i| ctx.cotangent_of(i)) {
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
        for (i, &k) in self.places.iter().enumerate() {
            if let Some(g) = self.checked(ctx, i, k, &grads[k])? {
                ctx.add(i, g).map_err(PyErr::from)?;
            }
        }
        Ok(())
    }

    /// Checks gradient `k` of `backward`, which is for input `i` of the node.
    fn checked(&self, ctx: &VjpContext<'_>, i: usize, k: usize, g: &Bound<'_, PyAny>) -> PyResult<Option<Variable>> {
        if g.is_none() || !ctx.needs(i) {
            return Ok(None);
        }
        let what = || format!("{}.backward: gradient {k}", self.name);
        let g = expect(g, &what())?.get().snapshot().pooled();
        // Only a pass over Variables can propagate a value inside a transformation.
        let g = if ctx.create_graph() { g } else { plain(g, what)? };
        let meta = ctx.meta(i);
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

/// `v`; an error if it is inside a transformation.
fn plain(v: Variable, what: impl Fn() -> String) -> PyResult<Variable> {
    if v.is_lifted() {
        return Err(GradError::new_err(format!(
            "{} is inside jvp or vmap, but no argument is: it was made of a value from around the Function; pass that to apply() as an argument",
            what()
        )));
    }
    Ok(v)
}

/// Calls `cls.forward(ctx, *args)` without recording, and records `cls.backward` on the tape.
#[pyfunction]
fn apply_function<'py>(cls: &Bound<'py, PyType>, ctx: &Bound<'py, PyAny>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    guard("Function.apply", || apply(cls, ctx, args))
}

fn apply<'py>(cls: &Bound<'py, PyType>, ctx: &Bound<'py, PyAny>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    let py = cls.py();
    if args.iter().any(|a| a.cast::<PyVariable>().is_ok_and(|v| v.get().snapshot().is_lifted())) {
        return py.import("tapegrad.autograd._lifted")?.call_method1("apply", (cls, args));
    }
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
            Ok(v) => plain(v.get().snapshot(), || format!("{name}.forward: a result")).map(Variable::into_array),
            Err(_) => Err(PyTypeError::new_err(format!("{name}.forward must return Variables, got {}", o.get_type().name()?))),
        })
        .collect::<PyResult<_>>()?;
    let refs: Vec<&Variable> = inputs.iter().collect();
    let (class, ctx_held) = (Held::new(cls.clone().unbind()), Held::new(ctx.clone().unbind()));
    let rule = FunctionRule { name, class, ctx: ctx_held, count: args.len(), places, depth: transform::mapping_depth() };
    let mut tracked = tape::record_custom(&FUNCTION, &refs, arrays, Arc::new(rule))?;
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

/// The present value of `v` and its edge in a new object, with memory as the tape would save it.
#[pyfunction]
fn _saved(v: &Bound<'_, PyVariable>) -> PyVariable {
    let v = v.get().snapshot();
    PyVariable::new(Variable::with_edge(v.array().kept(), v.edge().clone()))
}

/// Adds custom functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<HookHandle>()?;
    m.add_function(wrap_pyfunction!(_saved, m)?)?;
    m.add_function(wrap_pyfunction!(apply_function, m)?)
}
