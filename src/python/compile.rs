//! Recording and replay of Python functions, for `tapegrad.compile`.
#![allow(clippy::doc_markdown, reason = "the docs of classes are read in Python")]

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use pyo3::exceptions::{PyException, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyComplex, PyDict, PyFloat, PyInt, PyList, PyRange, PySlice, PyString, PyTuple};
use smallvec::SmallVec;

use super::error::{external, guard};
use super::gc;
use super::numpy;
use super::release::Held;
use super::variable::{PyVariable, State, wrap};
use crate::array::{Array, Layout, Shape};
use crate::error::{Error, Result, show_shape};
use crate::ops::require::require_all;
use crate::ops::work::LONG_CALL;
use crate::program::{Program, Rest, difference, digest, digest_of};
use crate::tape::capture::{self, Capturing, LeafGrad, LeafValue, Place, Trace};
use crate::tape::{self, BackwardOptions, CustomRule, Edge, EdgeKey, Leaf, Primitive, Variable, Vjp, VjpContext};

thread_local! {
    static ON: RefCell<Option<Begun>> = const { RefCell::new(None) };
}

/// A recording in progress, and the numbers from which on nodes and leaves are of its own.
struct Begun {
    on: Capturing,
    node: u64,
    leaf: u64,
}

/// A handle whose value a program reads or changes.
struct HandlePlace(Held<PyVariable>);

impl HandlePlace {
    /// Calls `f` with the value, unless the handle is a view.
    fn with<R>(&self, f: impl FnOnce(&Array) -> R) -> Option<R> {
        match &*self.0.get().state.lock() {
            State::Value(v) => Some(f(v.array())),
            State::Leaf(leaf) => Some(leaf.with_array(f)),
            State::View(_) => None,
        }
    }
}

impl Place for HandlePlace {
    fn load(&self) -> Option<Array> {
        self.with(Array::clone)
    }

    fn store(&self, value: Option<Array>) -> Result<()> {
        let Some(a) = value else { return Ok(()) };
        let old = match &mut *self.0.get().state.lock() {
            State::Value(v) => Some(std::mem::replace(v, a.into())),
            State::Leaf(leaf) => {
                leaf.set(a.into());
                None
            }
            State::View(_) => None,
        };
        drop(old); // after the lock
        Ok(())
    }

    fn id(&self) -> (u8, u64) {
        (capture::HANDLE, self.0.as_ptr() as u64)
    }

    fn difference(&self, was: u64) -> String {
        let shape = self.with(|a| show_shape(a.shape())).unwrap_or_default();
        match (was, self.state()) {
            (0, _) => format!("a Variable of shape {shape} requires gradients now"),
            (_, 0) => format!("a Variable of shape {shape} does not require gradients any more"),
            _ => format!("a Variable of shape {shape} is a view or a leaf, and was not, or the other way round"),
        }
    }

    fn has_layout(&self, layout: &Layout) -> bool {
        self.with(|a| layout.is_like(a.layout())).unwrap_or(true)
    }

    fn state(&self) -> u64 {
        match &*self.0.get().state.lock() {
            State::Value(v) => u64::from(v.is_tracked()),
            State::Leaf(_) => 2,
            State::View(_) => 3,
        }
    }
}

/// The places of handles and of their gradients.
pub(super) fn places(handles: &Bound<'_, PyList>) -> Vec<Arc<dyn Place>> {
    let mut out: Vec<Arc<dyn Place>> = Vec::new();
    for h in handles {
        let Ok(h) = h.cast::<PyVariable>() else { continue };
        if let Some(leaf) = h.get().leaf() {
            out.push(Arc::new(LeafValue(Arc::clone(&leaf))));
            out.push(Arc::new(LeafGrad(leaf)));
        } else if matches!(&*h.get().state.lock(), State::Value(v) if !v.is_lifted()) {
            out.push(Arc::new(HandlePlace(Held::new(h.clone().unbind()))));
        }
    }
    out
}

/// Begins to record what this thread evaluates. `inputs` are the Variables that the function gets, `handles` all Variables that it may
/// find, `new_leaves` those whose gradients are no state. False if a recording is in progress.
#[pyfunction]
fn _capture_begin(inputs: &Bound<'_, PyList>, handles: &Bound<'_, PyList>, new_leaves: &Bound<'_, PyList>) -> PyResult<bool> {
    let arrays = snapshots(inputs)?.iter().map(|v| v.array().clone()).collect::<Vec<_>>();
    let mut places = places(handles);
    let new: Vec<(u8, u64)> = new_leaves.iter().filter_map(|v| Some((capture::GRADIENT, v.cast::<PyVariable>().ok()?.get().leaf()?.id()))).collect();
    if !new.is_empty() {
        places.retain(|p| !new.contains(&p.id()));
    }
    let Some(on) = capture::begin(&arrays, places) else { return Ok(false) };
    capture::own_inputs(inputs.iter().map(|v| v.cast::<PyVariable>().map_or_else(|_| Vec::new(), ids)).collect());
    ON.with_borrow_mut(|slot| *slot = Some(Begun { on, node: tape::next_number(), leaf: tape::next_leaf() }));
    Ok(true)
}

/// Ends a recording without a result.
#[pyfunction]
fn _capture_abort() {
    let gone = ON.with_borrow_mut(Option::take);
    drop(gone);
}

/// Whether this thread is recording for a replay.
#[pyfunction]
fn _is_capturing() -> bool {
    capture::is_begun()
}

/// Raises ValueError unless all elements of the bools `ok` are true. `{}` in the message is replaced by the element of `values`, which has
/// the same shape, where the first one is false. A program checks this in each call.
#[pyfunction]
fn _require_all(ok: &Bound<'_, PyVariable>, values: &Bound<'_, PyVariable>, message: String) -> PyResult<()> {
    let (ok, values) = (ok.get().snapshot(), values.get().snapshot());
    guard("check", || Ok(require_all(ok.array(), values.array(), message)?))
}

/// Marks the call that is being recorded as not replayable, with the reason.
#[pyfunction]
fn _capture_refuse(reason: String) {
    capture::refuse(|| reason);
}

/// The Variable among `handles` whose collected gradient is `v`; None if `v` is not a gradient.
#[pyfunction]
fn _gradient_owner<'py>(v: &Bound<'py, PyVariable>, handles: &Bound<'py, PyList>) -> Option<Bound<'py, PyAny>> {
    let place = v.get().leaf().filter(|leaf| !leaf.requires_grad())?;
    let owns = |h: &Bound<'py, PyAny>| h.cast::<PyVariable>().ok().and_then(|h| h.get().leaf()?.grad()).is_some_and(|g| Arc::ptr_eq(&g, &place));
    handles.iter().find(owns)
}

/// Whether the recording knows the value of a Variable.
#[pyfunction]
fn _capture_knows(v: &Bound<'_, PyVariable>) -> bool {
    capture::knows(v.get().snapshot().array())
}

/// Whether a recording reads memory that starts within these bytes as a Variable.
pub(super) fn reads_memory(trace: &Trace, address: usize, bytes: usize) -> bool {
    let within = |a: &Array| a.is_lent() && (address..address + bytes.max(1)).contains(&(a.storage().as_ptr() as usize));
    trace.sources.iter().any(|(_, s)| matches!(s, capture::Source::Constant(a, _) if within(a)))
}

/// The ids of the places of a handle's value and gradient.
pub(super) fn ids(v: &Bound<'_, PyVariable>) -> Vec<(u8, u64)> {
    match v.get().leaf() {
        Some(leaf) => vec![(0, leaf.id()), (1, leaf.id())],
        None => vec![(capture::HANDLE, v.as_ptr() as u64)],
    }
}

pub(super) fn snapshots(list: &Bound<'_, PyList>) -> PyResult<Vec<Variable>> {
    list.iter().map(|v| Ok(v.cast::<PyVariable>()?.get().snapshot())).collect()
}

/// A target of the gradients of a program.
#[derive(Clone)]
enum Target {
    Argument(usize),
    Leaf(Arc<Leaf>),
}

/// The pullback of a recording: which results are differentiable, and where their gradients go.
#[derive(Clone)]
struct Pullback {
    /// The number of its first step.
    split: usize,
    /// Which results are tracked.
    live: Vec<usize>,
    targets: Vec<Target>,
    /// For each target, the index of its gradient; `None` for a target that no result depends on.
    gradients: Vec<Option<usize>>,
    /// The tracked results, in groups whose graphs have no node in common: a backward pass frees one group.
    groups: Vec<Group>,
}

/// Tracked results with a common graph.
#[derive(Clone)]
struct Group {
    /// Their numbers among the tracked results.
    results: Vec<usize>,
    /// The numbers of the targets that they depend on.
    targets: Vec<usize>,
    /// For each result, the targets that it depends on itself.
    reached: Vec<HashSet<usize>>,
}

/// The groups of tracked results.
fn groups_of(tracked: &[Variable], found: &[Variable], since: u64) -> Vec<Group> {
    let of = tape::groups(tracked, since);
    let reached: Vec<HashSet<usize>> = tracked
        .iter()
        .map(|v| {
            let keys: Vec<EdgeKey> = tape::frontier(std::slice::from_ref(v), &[], since).iter().map(|t| t.edge().key()).collect();
            (0..found.len()).filter(|&t| keys.contains(&found[t].edge().key())).collect()
        })
        .collect();
    let numbers: BTreeSet<usize> = of.iter().copied().collect();
    let group = |number: usize| {
        let results: Vec<usize> = (0..tracked.len()).filter(|&j| of[j] == number).collect();
        let targets = (0..found.len()).filter(|t| results.iter().any(|&j| reached[j].contains(t))).collect();
        let reached = results.iter().map(|&j| reached[j].clone()).collect();
        Group { results, targets, reached }
    };
    numbers.into_iter().map(group).collect()
}

/// A recording.
#[pyclass(frozen, name = "_Trace", module = "tapegrad")]
struct PyTrace {
    trace: crate::lock::Mutex<Option<Trace>>,
    pullback: Option<Pullback>,
    /// The results whose graph was freed by a backward pass inside the function.
    spent: Vec<usize>,
    results: usize,
}

/// Records the pullback of the tracked results.
fn record_pullback(outs: &[Variable], inputs: &[Variable], since: u64) -> PyResult<(Option<Pullback>, Vec<Array>)> {
    let is_live = |v: &Variable| matches!(v.edge(), Edge::Node { .. }) && !tape::reaches_freed(v, since);
    let live: Vec<usize> = (0..outs.len()).filter(|&i| is_live(&outs[i])).collect();
    if live.is_empty() {
        return Ok((None, Vec::new()));
    }
    let tracked: Vec<Variable> = live.iter().map(|&i| outs[i].clone()).collect();
    let found = tape::frontier(&tracked, &[], since);
    let mut targets = Vec::new();
    for v in &found {
        let key = v.edge().key();
        match (inputs.iter().position(|x| x.edge().key() == key), v.edge()) {
            (Some(i), _) => targets.push(Target::Argument(i)),
            (None, Edge::Leaf(leaf)) => targets.push(Target::Leaf(Arc::clone(leaf))),
            _ => capture::refuse(|| "it uses a value with a history that is no argument; pass the value as an argument, or detach() it".to_owned()),
        }
    }
    if targets.len() < found.len() {
        return Ok((None, Vec::new()));
    }
    let split = capture::step_count();
    let groups = groups_of(&tracked, &found, since);
    let ones: Vec<Array> = tracked.iter().map(|v| Array::ones(v.shape(), v.dtype())).collect();
    capture::add_inputs(&ones);
    let roots: Vec<(Variable, Option<Variable>)> = tracked.into_iter().zip(ones).map(|(v, g)| (v, Some(g.into()))).collect();
    // An argument may depend on another one; gradients must not flow from one to the other.
    let options = BackwardOptions { retain_graph: true, stop_at_inputs: true, skip_hooks: true, ..BackwardOptions::default() };
    let (mut gradients, mut arrays) = (Vec::new(), Vec::new());
    for g in tape::grad(&roots, &found, options)? {
        gradients.push(g.map(|g| {
            arrays.push(g.into_array());
            arrays.len() - 1
        }));
    }
    Ok((Some(Pullback { split, live, targets, gradients, groups }), arrays))
}

/// Ends the recording of a function with these results and arguments. Returns the recording, or the reason why the call cannot be replayed.
#[pyfunction]
fn _capture_finish<'py>(
    py: Python<'py>,
    outputs: &Bound<'py, PyList>,
    inputs: &Bound<'py, PyList>,
    handles: &Bound<'py, PyList>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(Begun { on, node: since, leaf: first_leaf }) = ON.with_borrow_mut(Option::take) else {
        return Err(PyValueError::new_err("compile: no recording is on in this thread"));
    };
    guard("compile", || {
        let (outs, ins) = (snapshots(outputs)?, snapshots(inputs)?);
        let mut leaves = HashSet::new();
        for out in outputs {
            // The gradient of a leaf that was made in the call is new, unless there is another name of it.
            if matches!(&*out.cast::<PyVariable>()?.get().state.lock(), State::Leaf(leaf)
                if !leaf.requires_grad() && (leaf.id() < first_leaf || !leaves.insert(leaf.id())))
            {
                capture::refuse(|| "it returns another name of a value that was there before the call; return a copy (clone())".to_owned());
            }
        }
        if outs.iter().any(Variable::is_lifted) {
            capture::refuse(|| "a result is inside a transformation".to_owned());
        }
        for h in handles {
            if let Ok(h) = h.cast::<PyVariable>()
                && let State::Value(v) = &*h.get().state.lock()
                && let Edge::Node { node, .. } = v.edge()
                && node.id() >= since
                && !tape::is_freed(node)
            {
                capture::refuse(|| "it leaves a value with a history in a Variable that was there before; detach() what is kept".to_owned());
            }
        }
        if outs.iter().any(|v| matches!(v.edge(), Edge::Leaf(_))) {
            capture::refuse(|| {
                "it returns a new leaf (requires_grad_() was called on it); return it as it was before, or make it outside".to_owned()
            });
        }
        if outs.iter().any(|v| matches!(v.edge(), Edge::Node { node, output } if tape::find_retained(node, *output).is_some())) {
            capture::refuse(|| "it calls retain_grad() on a result; call it on what the compiled function returns".to_owned());
        }
        let spent = (0..outs.len()).filter(|&i| tape::reaches_freed(&outs[i], since)).collect();
        if capture::is_refused() {
            let reason = on.finish(&[]).err().unwrap_or_default();
            return Ok(PyString::new(py, &reason).into_any());
        }
        capture::before_effect();
        let (pullback, gradients) = record_pullback(&outs, &ins, since)?;
        let arrays: Vec<Array> = outs.iter().map(|v| v.array().clone()).chain(gradients).collect();
        match on.finish(&arrays) {
            Err(reason) => Ok(PyString::new(py, &reason).into_any()),
            Ok(trace) => {
                let out = PyTrace { trace: crate::lock::Mutex::new(Some(trace)), pullback, spent, results: outs.len() };
                Ok(Bound::new(py, out)?.into_any())
            }
        }
    })
}

#[pymethods]
impl PyTrace {
    /// Why another recording is not the same program; None if it is.
    fn difference(&self, other: &Bound<'_, Self>) -> Option<String> {
        let other = other.get();
        let (a, b) = (self.trace.lock(), other.trace.lock());
        match (&*a, &*b) {
            (Some(a), Some(b)) => difference(a, b),
            _ => Some("a recording was used up".to_owned()),
        }
    }

    /// Whether this is a recording of a program that is known.
    fn is_recording_of(&self, known: &Bound<'_, PyProgram>) -> bool {
        self.trace.lock().as_ref().is_some_and(|t| known.get().program.is_recorded_by(t))
    }

    /// Numbers of the arguments that must be the same objects in each call, because they are changed or share memory.
    fn fixed(&self) -> Vec<usize> {
        self.trace.lock().as_ref().map_or_else(Vec::new, |t| t.aliased.clone())
    }

    /// Whether the value or the gradient of a Variable is changed.
    fn changes(&self, v: &Bound<'_, PyVariable>) -> bool {
        let ids = ids(v);
        self.trace.lock().as_ref().is_some_and(|t| t.stores().any(|at| ids.contains(&t.places[at].id())))
    }

    /// Whether it reads memory that starts within these bytes as a Variable, so that the memory is read again in each call.
    fn reads(&self, address: usize, bytes: usize) -> bool {
        self.trace.lock().as_ref().is_some_and(|t| reads_memory(t, address, bytes))
    }

    /// Whether it only computes results: no state changes, and no random numbers are drawn.
    fn is_pure(&self) -> bool {
        self.trace.lock().as_ref().is_some_and(|t| t.changing().is_none())
    }

    /// The program.
    fn program(&self) -> PyResult<PyProgram> {
        let Some(trace) = self.trace.lock().take() else { return Err(PyValueError::new_err("compile: the recording was used up")) };
        let program = guard("compile", || {
            Ok(match &self.pullback {
                None => Program::new(trace)?,
                Some(p) => Program::with_pullback(trace, p.split, p.gradients.iter().flatten().count(), p.live.len())?,
            })
        })?;
        let pullback = self.pullback.clone().map(Arc::new);
        Ok(PyProgram { program: Arc::new(program), pullback, spent: self.spent.clone(), results: self.results })
    }
}

/// A program as text, and its constants by number.
type Described = (String, Vec<(usize, Py<PyAny>)>);

/// A recorded function that runs without Python.
#[pyclass(frozen, name = "_Program", module = "tapegrad")]
pub struct PyProgram {
    pub program: Arc<Program>,
    pullback: Option<Arc<Pullback>>,
    /// The results whose graph was freed by a backward pass inside the function. They are tracked, and a backward pass from them fails.
    spent: Vec<usize>,
    results: usize,
}

static COMPILED: Primitive = Primitive { name: "compiled", vjp: Vjp::Rule(|_| Ok(())), ..Primitive::BASE };

/// The rule of gradients that cannot be differentiated.
struct Once;

impl CustomRule for Once {
    fn name(&self) -> &'static str {
        "the gradient of compiled"
    }

    fn vjp(&self, _: &mut VjpContext<'_>) -> Result<()> {
        Err(Error::Grad(
            "compile: gradients of gradients go through a compiled function only if it changes nothing and draws no random numbers; take them \
             inside of the function that is compiled"
                .to_owned(),
        ))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The rule of a node that is freed before it can run.
struct Gone;

impl CustomRule for Gone {
    fn name(&self) -> &'static str {
        "compiled"
    }

    fn vjp(&self, _: &mut VjpContext<'_>) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The pullback of a group of results of one call.
struct Pull {
    program: Arc<Program>,
    pullback: Arc<Pullback>,
    /// The number of the group.
    group: usize,
    rest: Arc<Rest>,
    /// Shape and dtype of all tracked results.
    outs: Vec<(Shape, crate::array::DType)>,
    args: Vec<Variable>,
    /// The targets of the group.
    targets: Vec<Variable>,
    /// The Python object that can run the function again.
    owner: Option<Held<PyAny>>,
}

/// Reports the Python objects that a rule holds to a garbage collector, if it is the rule of a compiled function.
pub fn traverse(rule: &dyn CustomRule, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
    let owner = rule.as_any().downcast_ref::<Pull>().and_then(|pull| pull.owner.as_ref());
    owner.map_or(Ok(()), |owner| visit.call(&**owner))
}

impl Pull {
    fn group(&self) -> &Group {
        &self.pullback.groups[self.group]
    }

    /// Whether the function may run once more: it changes nothing and draws no random numbers.
    fn is_pure(&self) -> bool {
        let is_pure = |owner: &Held<PyAny>| Python::attach(|py| owner.bind(py).getattr("pure")?.extract::<bool>());
        self.owner.as_ref().is_some_and(|owner| is_pure(owner).unwrap_or(false))
    }

    /// These gradients with a history, through which no backward pass runs.
    fn once(&self, cotangents: &[Option<Variable>], gradients: Vec<Array>) -> Result<Vec<Variable>> {
        let inputs: Vec<&Variable> = self.targets.iter().chain(cotangents.iter().flatten()).collect();
        tape::record_custom(&COMPILED, &inputs, gradients, Arc::new(Once))
    }

    /// The gradients, recorded: the function runs again and is recorded.
    #[cold]
    fn again(&self, ctx: &mut VjpContext<'_>) -> Result<()> {
        let Some(owner) = &self.owner else {
            return Err(Error::Grad("compile: gradients of gradients through this program are not recorded".to_owned()));
        };
        let run = |py: Python<'_>| {
            let handles = self.args.iter().map(|v| wrap(py, v.clone())).collect::<PyResult<Vec<_>>>()?;
            let outs = owner.bind(py).call_method1("again", (PyList::new(py, handles)?,))?;
            snapshots(outs.cast::<PyList>()?)
        };
        // A pass with cotangents inside a transformation also comes here, and is not recorded.
        let create_graph = tape::is_recording();
        let recording = tape::recording(true);
        let outs = Python::attach(run).map_err(external)?;
        drop(recording);
        let mut roots = Vec::new();
        for (k, &j) in self.group().results.iter().enumerate() {
            let (Some(g), Some(out)) = (ctx.cotangent_of(k), outs.get(self.pullback.live[j])) else { continue };
            if out.is_tracked() {
                roots.push((out.clone(), Some(g)));
            }
        }
        // An argument may depend on another one; gradients must not flow from one to the other.
        let options = BackwardOptions { retain_graph: true, create_graph, stop_at_inputs: true, skip_hooks: false };
        let gradients = tape::grad(&roots, &self.targets, options)?;
        for (i, g) in gradients.into_iter().enumerate() {
            if let Some(g) = g.filter(|_| ctx.needs(i)) {
                ctx.add(i, g)?;
            }
        }
        Ok(())
    }
}

impl CustomRule for Pull {
    fn name(&self) -> &'static str {
        "compiled"
    }

    fn vjp(&self, ctx: &mut VjpContext<'_>) -> Result<()> {
        let group = self.group();
        let given: Vec<Option<Variable>> = (0..group.results.len()).map(|k| ctx.cotangent_of(k)).collect();
        if ctx.create_graph() && (self.is_pure() || given.iter().flatten().any(Variable::is_lifted)) {
            return self.again(ctx);
        }
        let mut cotangents: Vec<Array> = self.outs.iter().map(|(shape, dtype)| Array::zeros(shape, *dtype)).collect();
        let mut reached: HashSet<usize> = HashSet::new();
        for ((g, &j), from) in given.iter().zip(&group.results).zip(&group.reached) {
            if let Some(g) = g {
                cotangents[j] = g.array().clone();
                reached.extend(from);
            }
        }
        let gradients = self.program.pull(&self.rest, &cotangents)?;
        // What no result with a cotangent depends on gets no gradient, not even zeros.
        let (mut at, mut found) = (Vec::new(), Vec::new());
        for (i, t) in group.targets.iter().enumerate() {
            if let Some(k) = self.pullback.gradients[*t]
                && reached.contains(t)
                && ctx.needs(i)
            {
                at.push(i);
                found.push(gradients[k].clone());
            }
        }
        let found = if ctx.create_graph() { self.once(&given, found)? } else { found.into_iter().map(Variable::from).collect() };
        at.into_iter().zip(found).try_for_each(|(i, g)| ctx.add(i, g))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Lets Ctrl-C interrupt a replay.
pub(super) fn tick() -> Result<()> {
    #[allow(clippy::redundant_closure_for_method_calls, clippy::redundant_closure, reason = "the method by itself is not general enough")]
    let done = Python::attach(|py| py.check_signals());
    done.map_err(external)
}

/// The number of the place that a handle shows: that of its base, if it is a view.
fn shown_place(py: Python<'_>, v: &Bound<'_, PyVariable>) -> (u8, u64) {
    let base = v.get().link(py).map(|link| link.base.into_bound(py));
    let v = base.as_ref().unwrap_or(v);
    v.get().leaf().map_or((capture::HANDLE, v.as_ptr() as u64), |leaf| (0, leaf.id()))
}

impl PyProgram {
    /// The number of an argument that shows a place which the program changes, other than the arguments that must be the same in each call.
    fn overlap(&self, py: Python<'_>, args: &[Bound<'_, PyVariable>], is_fixed: impl Fn(usize) -> bool) -> Option<usize> {
        if !self.program.changes_places() {
            return None;
        }
        (0..args.len()).find(|&i| !is_fixed(i) && self.program.changes(shown_place(py, &args[i])))
    }

    /// The results for these arguments. `owner` can run the function again.
    fn run(&self, py: Python<'_>, args: &[Variable], owner: Option<&Py<PyAny>>) -> PyResult<Vec<Variable>> {
        let arrays: SmallVec<[Array; 4]> = args.iter().map(|v| v.array().clone()).collect();
        let lent = arrays.iter().any(Array::is_lent);
        let go = || self.program.run_first(&arrays, Some(&tick));
        let (outs, rest) = if self.program.work() >= LONG_CALL && !lent { gc::detach(py, go)? } else { go()? };
        let Some(p) = &self.pullback else {
            self.program.finish(rest);
            return self.with_spent(outs.into_iter().map(Variable::from).collect());
        };
        // The mode is part of the signature. If recording is off now, tracked results were computed under enable_grad().
        let _on = tape::recording(true);
        let targets: Vec<Variable> = p
            .targets
            .iter()
            .map(|t| match t {
                Target::Argument(i) => args[*i].clone(),
                Target::Leaf(leaf) => leaf.variable(),
            })
            .collect();
        let shapes: Vec<_> = p.live.iter().map(|&i| (Shape::from_slice(outs[i].shape()), outs[i].dtype())).collect();
        let rest = Arc::new(rest);
        let mut out: Vec<Variable> = outs.iter().cloned().map(Variable::from).collect();
        for (number, group) in p.groups.iter().enumerate() {
            let own: Vec<Variable> = group.targets.iter().map(|&t| targets[t].clone()).collect();
            let pull = Pull {
                program: Arc::clone(&self.program),
                pullback: Arc::clone(p),
                group: number,
                rest: Arc::clone(&rest),
                outs: shapes.clone(),
                args: args.to_vec(),
                targets: own.clone(),
                owner: owner.map(|o| Held::new(o.clone_ref(py))),
            };
            let live = group.results.iter().map(|&j| outs[p.live[j]].clone()).collect();
            let refs: Vec<&Variable> = own.iter().collect();
            let tracked = tape::record_custom(&COMPILED, &refs, live, Arc::new(pull))?;
            for (&j, v) in group.results.iter().zip(tracked) {
                out[p.live[j]] = v;
            }
        }
        self.with_spent(out)
    }

    /// Replaces the edges of results whose graph was freed by a node that is freed.
    fn with_spent(&self, mut outs: Vec<Variable>) -> PyResult<Vec<Variable>> {
        if self.spent.is_empty() {
            return Ok(outs);
        }
        let _on = tape::recording(true);
        let gone: Vec<Array> = self.spent.iter().map(|&i| outs[i].array().clone()).collect();
        let input = Variable::parameter(Array::zeros(&[], gone[0].dtype()))?;
        let tracked = tape::record_custom(&COMPILED, &[&input], gone, Arc::new(Gone))?;
        tracked.first().into_iter().for_each(tape::forget);
        for (&i, v) in self.spent.iter().zip(tracked) {
            outs[i] = v;
        }
        Ok(outs)
    }
}

#[pymethods]
impl PyProgram {
    /// Runs the program with a list of Variables and returns a list of results. `owner.again(arguments)` runs the function itself.
    #[pyo3(signature = (args, owner=None))]
    fn call<'py>(&self, py: Python<'py>, args: &Bound<'py, PyList>, owner: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyList>> {
        guard("compile", || {
            let outs = self.run(py, &snapshots(args)?, owner.map(Bound::as_unbound))?;
            PyList::new(py, outs.into_iter().map(|v| wrap(py, v)).collect::<PyResult<Vec<_>>>()?)
        })
    }

    /// Why it does not fit these arguments and the present states of parameters and gradients; None when it fits. Arguments with the numbers
    /// in `fixed` are the same in each call.
    #[allow(clippy::needless_pass_by_value, reason = "lists of Python are converted to vectors")]
    fn misfit(&self, py: Python<'_>, args: Vec<Bound<'_, PyVariable>>, fixed: Vec<usize>) -> Option<String> {
        let overlap = self.overlap(py, &args, |i| fixed.contains(&i));
        let shares = |i| format!("argument {i} shares memory with a Variable that is changed, and did not before");
        overlap.map(shares).or_else(|| self.program.misfit())
    }

    /// The program for inference. The present values of parameters and buffers become constants, and there is no pullback.
    fn freeze(&self) -> PyResult<Self> {
        guard("freeze", || Ok(Self { program: Arc::new(self.program.freeze()?), pullback: None, spent: Vec::new(), results: self.results }))
    }

    /// The program as the bytes of a file, with notes of its owner.
    fn to_bytes<'py>(&self, py: Python<'py>, notes: Option<String>) -> PyResult<Bound<'py, PyBytes>> {
        guard("save", || Ok(PyBytes::new(py, &self.program.to_bytes(notes)?)))
    }

    /// Reads a program, and the notes of its owner, from the bytes of a file.
    #[staticmethod]
    fn from_bytes(bytes: &[u8]) -> PyResult<(Self, Option<String>)> {
        guard("load_program", || {
            let (program, notes) = Program::from_bytes(bytes)?;
            let results = program.output_count();
            Ok((Self { program: Arc::new(program), pullback: None, spent: Vec::new(), results }, notes))
        })
    }

    /// The program as JSON text, and its constants by number.
    fn describe(&self, py: Python<'_>) -> PyResult<Described> {
        guard("describe", || {
            let (text, constants) = self.program.describe()?;
            let constants = constants.into_iter().map(|(slot, a)| Ok((slot, wrap(py, a.into())?.into_any()))).collect::<PyResult<Vec<_>>>()?;
            Ok((text, constants))
        })
    }

    /// Number of recorded steps, and of instructions that are left of them.
    fn size(&self) -> (usize, usize) {
        self.program.size()
    }

    /// Number of results.
    fn result_count(&self) -> usize {
        self.results
    }

    /// The instructions, one per line.
    fn listing(&self) -> String {
        self.program.listing()
    }
}

/// [`sign`] for a Variable. False if it is inside a transformation.
fn sign_variable<'py>(handle: &Bound<'py, PyVariable>, key: &mut Vec<u8>, found: &mut Found<'py>) -> bool {
    let v = handle.get().snapshot();
    let kind = match v.edge().key() {
        EdgeKey::None => b'n',
        EdgeKey::Leaf(_) => b'l',
        EdgeKey::Node(..) => b't',
        EdgeKey::Lifted(_) => return false,
    };
    key.extend([b'V', kind, v.dtype() as u8]);
    key.push(u8::try_from(v.ndim()).unwrap_or(u8::MAX));
    v.shape().iter().for_each(|n| key.extend(n.to_le_bytes()));
    // Sums of a strided array are in another order than those of a row-major one.
    let is_contiguous = v.array().is_contiguous();
    key.push(u8::from(is_contiguous));
    if !is_contiguous {
        v.array().layout().strides().iter().for_each(|s| key.extend(s.to_le_bytes()));
    }
    // The function may ask whether two arguments are one object, and writes to one are writes to the other.
    match found.handles.iter().position(|other| other.is(handle)) {
        None => key.push(0),
        Some(at) => {
            key.push(1);
            key.extend(at.to_le_bytes());
        }
    }
    found.handles.push(handle.clone());
    found.values.push(v);
    true
}

/// Appends what distinguishes `o` from other arguments to `key`, and its Variables to `found`. False if `o` must be converted first.
fn sign<'py>(o: &Bound<'py, PyAny>, key: &mut Vec<u8>, found: &mut Found<'py>, depth: usize) -> PyResult<bool> {
    if let Ok(handle) = o.cast::<PyVariable>() {
        return Ok(sign_variable(handle, key, found));
    }
    if o.is_none() {
        key.push(b'N');
    } else if let Ok(b) = o.cast::<PyBool>() {
        key.extend([b'B', u8::from(b.is_true())]);
    } else if let Ok(x) = o.cast_exact::<PyFloat>() {
        key.push(b'F');
        key.extend(x.value().to_bits().to_le_bytes());
    } else if o.cast_exact::<PyInt>().is_ok() || o.cast_exact::<PyComplex>().is_ok() {
        key.push(b'I');
        text(&o.repr()?, key)?;
    } else if let Ok(s) = o.cast_exact::<PyString>() {
        key.push(b'S');
        text(s, key)?;
    } else if let Ok(t) = o.cast_exact::<PyTuple>() {
        key.push(b'T');
        return all(t.len(), t.iter(), key, found, depth);
    } else if let Ok(l) = o.cast_exact::<PyList>() {
        key.push(b'L');
        return all(l.len(), l.iter(), key, found, depth);
    } else if let Ok(d) = o.cast_exact::<PyDict>() {
        key.push(b'D');
        let flat: Vec<Bound<'py, PyAny>> = d.iter().flat_map(|(k, v)| [k, v]).collect();
        return all(flat.len(), flat.into_iter(), key, found, depth);
    } else if let Some(known) = sign_container(o, key, found, depth)? {
        return Ok(known);
    } else if let Some(parts) = bounds(o)? {
        key.push(b'R');
        key.push(u8::from(o.cast::<PySlice>().is_ok()));
        return all(parts.len(), parts.into_iter(), key, found, depth);
    } else if is_numpy_scalar(o)? {
        key.push(b'G');
        text(&o.get_type().name()?, key)?;
        let bytes = o.call_method0("tobytes")?.extract::<Vec<u8>>()?;
        key.extend(bytes.len().to_le_bytes());
        key.extend(bytes);
    } else if numpy::as_ndarray(o).is_some() || o.hasattr("__array__")? || o.hasattr("__dlpack__")? {
        return Ok(false);
    } else {
        // By identity. The caller keeps it alive.
        key.push(b'O');
        key.extend((o.as_ptr() as usize).to_le_bytes());
        found.keep.push(o.clone());
    }
    Ok(true)
}

/// [`sign`] of a named tuple, a dict or list of another class, or a dataclass: its class, its items and its attributes. None for other
/// objects, and for Modules.
fn sign_container<'py>(o: &Bound<'py, PyAny>, key: &mut Vec<u8>, found: &mut Found<'py>, depth: usize) -> PyResult<Option<bool>> {
    let (py, kind) = (o.py(), o.get_type());
    let fields = kind.getattr_opt(pyo3::intern!(py, "__dataclass_fields__"))?;
    let mut items: Vec<Bound<'py, PyAny>> = if let Ok(t) = o.cast::<PyTuple>() {
        if !kind.hasattr(pyo3::intern!(py, "_fields"))? {
            return Ok(None);
        }
        t.iter().collect()
    } else if let Ok(d) = o.cast::<PyDict>() {
        d.iter().flat_map(|(k, v)| [k, v]).collect()
    } else if let Ok(l) = o.cast::<PyList>() {
        l.iter().collect()
    } else if fields.is_none() {
        return Ok(None);
    } else {
        Vec::new()
    };
    // A dataclass may hold itself. Then it counts by identity.
    if depth > DEEPEST_OBJECT || kind.hasattr(pyo3::intern!(py, "named_parameters"))? {
        return Ok(None);
    }
    match (o.getattr_opt(pyo3::intern!(py, "__dict__"))?, fields) {
        (Some(held), _) => items.push(held),
        (None, Some(fields)) => {
            for name in fields.try_iter()? {
                let Some(value) = o.getattr_opt(name?.cast::<PyString>()?)? else { return Ok(None) };
                items.push(value);
            }
        }
        (None, None) => {}
    }
    key.push(b'C');
    key.extend((kind.as_ptr() as usize).to_le_bytes());
    found.keep.push(kind.into_any());
    all(items.len(), items.into_iter(), key, found, depth).map(Some)
}

/// The deepest place in nested arguments at which an object counts by what it holds.
const DEEPEST_OBJECT: usize = 16;

/// The bounds of a slice or a range.
fn bounds<'py>(o: &Bound<'py, PyAny>) -> PyResult<Option<[Bound<'py, PyAny>; 3]>> {
    if o.cast::<PySlice>().is_err() && o.cast::<PyRange>().is_err() {
        return Ok(None);
    }
    let get = |name| o.getattr(name);
    Ok(Some([get("start")?, get("stop")?, get("step")?]))
}

/// Whether `o` is a NumPy scalar, which, unlike an array, cannot be written to.
fn is_numpy_scalar(o: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = o.py();
    let kind = o.get_type();
    Ok(kind.getattr(pyo3::intern!(py, "__module__"))?.eq(pyo3::intern!(py, "numpy"))?
        && o.hasattr(pyo3::intern!(py, "tobytes"))?
        && !o.hasattr(pyo3::intern!(py, "__setitem__"))?)
}

fn text(s: &Bound<'_, PyString>, key: &mut Vec<u8>) -> PyResult<()> {
    let s = s.to_cow()?;
    key.extend(s.len().to_le_bytes());
    key.extend(s.as_bytes());
    Ok(())
}

fn all<'py>(n: usize, mut items: impl Iterator<Item = Bound<'py, PyAny>>, key: &mut Vec<u8>, found: &mut Found<'py>, depth: usize) -> PyResult<bool> {
    if depth > 64 {
        return Err(PyValueError::new_err("compile: arguments are nested deeper than 64"));
    }
    key.extend(n.to_le_bytes());
    items.try_fold(true, |ok, o| Ok::<bool, PyErr>(ok && sign(&o, key, found, depth + 1)?))
}

/// The modes that a call depends on, as the start of its key.
fn start_key() -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.push(u8::from(tape::is_recording()) | u8::from(tape::is_anomaly()) << 1 | (crate::array::default_float() as u8) << 2);
    key.push(crate::ops::autocast::dtype().map_or(u8::MAX, |d| d as u8));
    key
}

/// What was found in the arguments of a call.
#[derive(Default)]
struct Found<'py> {
    handles: SmallVec<[Bound<'py, PyVariable>; 4]>,
    values: SmallVec<[Variable; 4]>,
    /// Objects that are in the key by identity.
    keep: Vec<Bound<'py, PyAny>>,
}

fn sign_all<'py>(args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>, key: &mut Vec<u8>, found: &mut Found<'py>) -> PyResult<bool> {
    let named = kwargs.filter(|k| !k.is_empty());
    Ok(sign(args.as_any(), key, found, 0)? && named.map_or(Ok(true), |k| sign(k.as_any(), key, found, 0))?)
}

/// A key, the Variables among the arguments, and the objects that are in the key by identity.
type Signature<'py> = (Bound<'py, PyBytes>, Bound<'py, PyList>, Bound<'py, PyList>);

/// The signature of a call: a key, the Variables among the arguments, and the objects that are in the key by identity. None if arguments
/// must be converted first, or are inside a transformation.
#[pyfunction]
fn _signature<'py>(args: &Bound<'py, PyTuple>, kwargs: &Bound<'py, PyDict>) -> PyResult<Option<Signature<'py>>> {
    let py = args.py();
    let (mut key, mut found) = (start_key(), Found::default());
    if !sign_all(args, Some(kwargs), &mut key, &mut found)? {
        return Ok(None);
    }
    Ok(Some((PyBytes::new(py, &key), PyList::new(py, found.handles)?, PyList::new(py, found.keep)?)))
}

/// A value, other than arguments, that a recorded function depends on.
#[pyclass(frozen, name = "_Guards", module = "tapegrad")]
struct PyGuards(Vec<Guard>);

struct Guard {
    /// A dict, or an object whose attribute is read.
    holder: Py<PyAny>,
    key: Py<PyAny>,
    value: Py<PyAny>,
    /// Whether an equal value of the same type is accepted.
    by_value: bool,
    content: Content,
    name: String,
}

/// The content of a value that a guard compares.
enum Content {
    Any,
    /// The items of a list, a set or another container; the keys and values of a dict.
    Items(Vec<Py<PyAny>>),
    /// The bytes of a NumPy array or another buffer.
    Bytes(Py<PyBytes>),
    /// The [`digest`] of a buffer that is too large to keep its bytes.
    Digest(u64),
    /// An object whose attributes the value is, its class, and the number of its attributes.
    Attributes {
        of: Py<PyAny>,
        class: Py<PyAny>,
        count: usize,
    },
}

/// Whether two values are the same object, or equal numbers or strings of the same type. Numbers that differ in sign, or are NaN, are not
/// equal.
fn is_equal(a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>) -> PyResult<bool> {
    if a.is(b) {
        return Ok(true);
    }
    if !a.get_type().is(b.get_type()) {
        return Ok(false);
    }
    if let (Ok(a), Ok(b)) = (a.cast_exact::<PyFloat>(), b.cast_exact::<PyFloat>()) {
        return Ok(a.value().to_bits() == b.value().to_bits());
    }
    if a.cast_exact::<PyInt>().is_ok() || a.cast_exact::<PyString>().is_ok() || a.cast_exact::<PyBytes>().is_ok() {
        return a.eq(b);
    }
    Ok(false)
}

impl Guard {
    fn now<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.holder.bind(py).cast::<PyDict>() {
            Ok(d) => d.get_item(self.key.bind(py)),
            Err(_) => Ok(self.holder.bind(py).getattr(self.key.bind(py).cast::<PyString>()?).ok()),
        }
    }

    fn holds(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(now) = self.now(py)? else { return Ok(false) };
        let value = self.value.bind(py);
        if !is_equal(&now, value)? {
            // Values composed of plain values, such as tuples, and bound methods, which are new objects each time.
            let same = self.by_value && now.get_type().is(value.get_type()) && now.eq(value)?;
            let is_tuple = now.cast::<PyTuple>().is_ok();
            if !same || now.cast_exact::<PyFloat>().is_ok() || (is_tuple && now.repr()?.to_string() != value.repr()?.to_string()) {
                return Ok(false);
            }
        }
        match &self.content {
            Content::Any => Ok(true),
            Content::Items(items) => same_items(&now, items),
            Content::Bytes(bytes) => same_bytes(&now, bytes.bind(py)),
            Content::Digest(was) => Ok(digest_of_buffer(&now)? == *was),
            Content::Attributes { of, class, count } => Ok(of.bind(py).get_type().is(class) && now.len()? == *count),
        }
    }
}

/// A number that depends on all bytes of a NumPy array or another buffer.
#[pyfunction]
fn _digest(o: &Bound<'_, PyAny>) -> PyResult<u64> {
    digest_of_buffer(o)
}

fn digest_of_buffer(o: &Bound<'_, PyAny>) -> PyResult<u64> {
    if numpy::as_ndarray(o).is_some()
        && let Ok(v) = super::convert::variable(o, None, None)
    {
        return Ok(digest_of(v.array()));
    }
    let bytes = o.call_method0("tobytes").or_else(|_| o.py().get_type::<PyBytes>().call1((o,)))?;
    Ok(digest(bytes.cast::<PyBytes>()?.as_bytes()))
}

/// Whether the content of a buffer equals these bytes.
fn same_bytes(now: &Bound<'_, PyAny>, bytes: &Bound<'_, PyBytes>) -> PyResult<bool> {
    let found = now.call_method0("tobytes").or_else(|_| now.py().get_type::<PyBytes>().call1((now,)));
    found.map_or(Ok(false), |found| found.eq(bytes))
}

/// Whether a container has these items; for a dict its keys and values.
fn same_items(now: &Bound<'_, PyAny>, items: &[Py<PyAny>]) -> PyResult<bool> {
    let py = now.py();
    if let Ok(d) = now.cast::<PyDict>() {
        if 2 * d.len() != items.len() {
            return Ok(false);
        }
        for ((k, v), was) in d.iter().zip(items.chunks_exact(2)) {
            if !is_equal(&k, was[0].bind(py))? || !is_equal(&v, was[1].bind(py))? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if now.len()? != items.len() {
        return Ok(false);
    }
    for (a, b) in now.try_iter()?.zip(items) {
        if !is_equal(&a?, b.bind(py))? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[pymethods]
impl PyGuards {
    /// Made from tuples of: a holder (a dict, or an object with attributes), a key, the value, whether equality is sufficient, the content
    /// (a list of items, bytes, the digest of bytes, a tuple of an object and its class and the number of its attributes, or None), and a name.
    #[new]
    fn new(all: &Bound<'_, PyList>) -> PyResult<Self> {
        let one = |t: Bound<'_, PyAny>| -> PyResult<Guard> {
            let (holder, key, value, by_value, content, name): (_, _, _, _, Bound<'_, PyAny>, _) = t.extract()?;
            let content = match content.cast::<PyBytes>() {
                Ok(bytes) => Content::Bytes(bytes.clone().unbind()),
                Err(_) if content.is_none() => Content::Any,
                Err(_) if content.is_instance_of::<PyInt>() => Content::Digest(content.extract()?),
                Err(_) if content.is_instance_of::<PyTuple>() => {
                    let (of, class, count) = content.extract()?;
                    Content::Attributes { of, class, count }
                }
                Err(_) => Content::Items(content.extract()?),
            };
            Ok(Guard { holder, key, value, by_value, content, name })
        };
        Ok(Self(all.iter().map(one).collect::<PyResult<_>>()?))
    }

    /// A description of the first guard that is broken; None if all hold.
    fn broken(&self, py: Python<'_>) -> PyResult<Option<String>> {
        for g in &self.0 {
            if !g.holds(py)? {
                let short = |x: &Bound<'_, PyAny>| -> PyResult<String> {
                    let s = x.repr()?.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
                    Ok(if s.chars().count() > 60 { s.chars().take(57).collect::<String>() + "..." } else { s })
                };
                let was = g.value.bind(py);
                return Ok(Some(match g.now(py)? {
                    None => format!("{} is gone", g.name),
                    Some(now)
                        if let Content::Attributes { of, class, .. } = &g.content
                            && now.is(was) =>
                    {
                        let is_same = of.bind(py).get_type().is(class);
                        if is_same { format!("{} got or lost an attribute", g.name) } else { format!("{} has another class", g.name) }
                    }
                    Some(now) if now.cast::<PyVariable>().is_ok() && was.cast::<PyVariable>().is_ok() => {
                        format!("{} is another Variable than before", g.name)
                    }
                    Some(now) if now.is(was) => format!("the content of {} has changed", g.name),
                    Some(now) => {
                        let (now, was) = (short(&now)?, short(was)?);
                        if now == was { format!("{} is another object than before", g.name) } else { format!("{} is {now}, it was {was}", g.name) }
                    }
                }));
            }
        }
        Ok(None)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        for g in &self.0 {
            visit.call(&g.holder)?;
            visit.call(&g.key)?;
            visit.call(&g.value)?;
            match &g.content {
                Content::Items(items) => items.iter().try_for_each(|item| visit.call(item))?,
                Content::Attributes { of, class, .. } => {
                    visit.call(of)?;
                    visit.call(class)?;
                }
                Content::Any | Content::Bytes(_) | Content::Digest(_) => {}
            }
        }
        Ok(())
    }
}

/// A program and its guards.
struct Entry {
    program: Py<PyProgram>,
    guards: Py<PyGuards>,
    fixed: Vec<(usize, Py<PyAny>)>,
    /// Arguments that are leaves and get their first gradients.
    new_leaves: Vec<usize>,
    single: bool,
    /// Whether the function catches errors. Then it is called when a step fails.
    catches: bool,
    /// The Python object that rebuilds the nested results.
    variant: Py<PyAny>,
}

impl Entry {
    fn fits(&self, py: Python<'_>, found: &[Bound<'_, PyVariable>]) -> PyResult<bool> {
        if !self.fixed.iter().all(|(i, v)| found.get(*i).is_some_and(|f| f.is(v.bind(py)))) {
            return Ok(false);
        }
        let is_new = |i: &usize| found.get(*i).and_then(|v| v.get().leaf()).is_some_and(|leaf| LeafGrad(leaf).state() == capture::NEW_LEAF);
        if !self.new_leaves.iter().all(is_new) {
            return Ok(false);
        }
        let is_fixed = |i: usize| self.fixed.iter().any(|(at, _)| *at == i);
        if self.program.get().overlap(py, found, is_fixed).is_some() {
            return Ok(false);
        }
        for g in &self.guards.get().0 {
            if !g.holds(py)? {
                return Ok(false);
            }
        }
        Ok(self.program.get().program.places_fit())
    }

    fn run<'py>(&self, py: Python<'py>, found: &Found<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut outs = self.program.get().run(py, &found.values, Some(&self.variant))?;
        if self.single
            && let Some(out) = outs.pop()
        {
            return Ok(wrap(py, out)?.into_bound(py));
        }
        let values = PyList::new(py, outs.into_iter().map(|v| wrap(py, v)).collect::<PyResult<Vec<_>>>()?)?;
        self.variant.bind(py).call_method1("result", (values, PyList::new(py, &found.handles)?))
    }
}

/// The programs of a function, by signature. A call replays a program that fits, or calls `_call` of the subclass.
#[pyclass(frozen, subclass, name = "_Table", module = "tapegrad")]
struct PyTable(crate::lock::Mutex<HashMap<Vec<u8>, Entries>>);

/// The programs for a signature.
type Entries = Arc<Vec<Arc<Entry>>>;

#[pymethods]
impl PyTable {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self(crate::lock::Mutex::new(HashMap::new()))
    }

    /// Adds a program for a signature.
    fn _add(&self, py: Python<'_>, key: Vec<u8>, variant: Py<PyAny>) -> PyResult<()> {
        let get = |name: &str| variant.bind(py).getattr(name);
        let program = get("program")?.cast_into::<PyProgram>()?.unbind();
        let guards = get("guards")?.cast_into::<PyGuards>()?.unbind();
        let (fixed, single, catches) = (get("fixed")?.extract()?, get("single")?.extract()?, get("catches")?.extract()?);
        let new_leaves = get("new_leaves")?.extract()?;
        let entry = Arc::new(Entry { program, guards, fixed, new_leaves, single, catches, variant });
        Arc::make_mut(self.0.lock().entry(key).or_default()).push(entry);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        let Some(table) = self.0.try_lock() else { return Ok(()) };
        for entry in table.values().flat_map(|all| all.iter()) {
            visit.call(&entry.program)?;
            visit.call(&entry.guards)?;
            visit.call(&entry.variant)?;
            entry.fixed.iter().try_for_each(|(_, v)| visit.call(v))?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let gone = std::mem::take(&mut *self.0.lock());
        drop(gone); // after the lock
    }

    /// Runs the function, or replays its program.
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(slf: &Bound<'py, Self>, args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        match slf.get().replay(slf.py(), args, kwargs)? {
            Replay::Done(out) => Ok(out),
            Replay::None => slf.call_method("_call", args, kwargs),
            Replay::Failed => slf.call_method("_plain", args, kwargs),
        }
    }
}

/// The result of an attempt to replay a call.
enum Replay<'py> {
    /// The result.
    Done(Bound<'py, PyAny>),
    /// No program fits.
    None,
    /// A step failed. The state is as before, and the function may catch the error.
    Failed,
}

impl PyTable {
    /// Replays a program that fits the call.
    fn replay<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<Replay<'py>> {
        if capture::is_begun() {
            return Ok(Replay::None);
        }
        let (mut key, mut found) = (start_key(), Found::default());
        if !sign_all(args, kwargs, &mut key, &mut found)? {
            return Ok(Replay::None);
        }
        let Some(entries) = self.0.lock().get(&key).cloned() else { return Ok(Replay::None) };
        for entry in entries.iter() {
            if entry.fits(py, &found.handles)? {
                return match guard("compile", || entry.run(py, &found)) {
                    Err(e) if entry.catches && e.is_instance_of::<PyException>(py) => Ok(Replay::Failed),
                    done => done.map(Replay::Done),
                };
            }
        }
        Ok(Replay::None)
    }
}

/// Adds recording and replay to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyTrace>()?;
    m.add_class::<PyProgram>()?;
    m.add_class::<PyGuards>()?;
    m.add_class::<PyTable>()?;
    m.add_function(wrap_pyfunction!(_digest, m)?)?;
    m.add_function(wrap_pyfunction!(_capture_begin, m)?)?;
    m.add_function(wrap_pyfunction!(_capture_abort, m)?)?;
    m.add_function(wrap_pyfunction!(_capture_finish, m)?)?;
    m.add_function(wrap_pyfunction!(_capture_refuse, m)?)?;
    m.add_function(wrap_pyfunction!(_capture_knows, m)?)?;
    m.add_function(wrap_pyfunction!(_gradient_owner, m)?)?;
    m.add_function(wrap_pyfunction!(_is_capturing, m)?)?;
    m.add_function(wrap_pyfunction!(_require_all, m)?)?;
    m.add_function(wrap_pyfunction!(_signature, m)?)
}
