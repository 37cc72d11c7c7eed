//! Loops whose body is recorded once and run by the core, for `tapegrad.scan`.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use smallvec::SmallVec;

use super::compile::{ids, places, reads_memory, snapshots, tick};
use super::error::{external, guard};
use super::gc;
use super::release::Held;
use super::variable::{PyVariable, State, wrap};
use crate::array::{Array, DType, Layout};
use crate::error::Result;
use crate::ops;
use crate::ops::work::LONG_CALL;
use crate::program::{Again, Body, Gradients, Loop, SCAN, difference, is_same_array, set_tick};
use crate::tape::capture::{self, Capturing, Source, Trace};
use crate::tape::{self, AttrSet, BackwardOptions, Edge, Operand, Variable, apply_all};
use crate::transform;

/// A recording of a step in progress.
struct On {
    capture: Capturing,
    /// The number of the first node that the step records.
    since: u64,
    /// The arguments before the step.
    inputs: Vec<Variable>,
}

thread_local! {
    /// The recordings in progress, innermost last.
    static ON: RefCell<Vec<On>> = const { RefCell::new(Vec::new()) };
}

/// Whether anomaly detection is on: gradients are checked for NaN, and operations must be recorded one by one.
#[pyfunction]
fn _is_anomaly() -> bool {
    tape::is_anomaly()
}

/// The same values, each with memory and a node of its own, by which a recording distinguishes its inputs.
#[pyfunction]
fn _loop_inputs<'py>(py: Python<'py>, values: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyList>> {
    guard("scan", || {
        let own = |v: Variable| -> Result<Variable> {
            let v = if v.is_tracked() { ops::positive(&v)? } else { v };
            if !v.array().is_contiguous() {
                return Ok(v);
            }
            let copy = v.array().copy();
            capture::note_copy(v.array(), &copy);
            Ok(Variable::with_edge(copy, v.edge().clone()))
        };
        let all = snapshots(values)?.into_iter().map(own).collect::<Result<Vec<_>>>()?;
        PyList::new(py, all.into_iter().map(|v| wrap(py, v)).collect::<PyResult<Vec<_>>>()?)
    })
}

/// Begins to record a step, inside other recordings in progress. `inputs` are the Variables that the step gets, `handles` all Variables
/// that it may find.
#[pyfunction]
fn _loop_begin(inputs: &Bound<'_, PyList>, handles: &Bound<'_, PyList>) -> PyResult<()> {
    let values = snapshots(inputs)?;
    let arrays = values.iter().map(|v| v.array().clone()).collect::<Vec<_>>();
    let floor = transform::fresh_level();
    transform::end_level(floor);
    let capture = capture::begin_inside(&arrays, places(handles), floor);
    capture::own_inputs(inputs.iter().map(|v| v.cast::<PyVariable>().map_or_else(|_| Vec::new(), ids)).collect());
    ON.with_borrow_mut(|all| all.push(On { capture, since: tape::next_number(), inputs: values }));
    Ok(())
}

/// The numbers of the arguments that the step has changed in place.
#[pyfunction]
fn _loop_changed(inputs: &Bound<'_, PyList>) -> PyResult<Vec<usize>> {
    let now = snapshots(inputs)?;
    let is_same = |a: &Variable, b: &Variable| a.edge().key() == b.edge().key() && is_same_array(a.array(), b.array());
    Ok(ON.with_borrow(|all| {
        let before = all.last().map_or(&[][..], |on| &on.inputs);
        (0..now.len().min(before.len())).filter(|&i| !is_same(&before[i], &now[i])).collect()
    }))
}

/// Whether this thread is recording a step of a loop.
#[pyfunction]
fn _is_in_loop() -> bool {
    ON.with_borrow(|all| !all.is_empty())
}

/// Ends the recording of a step without a result.
#[pyfunction]
fn _loop_abort() {
    let gone = ON.with_borrow_mut(Vec::pop);
    drop(gone);
}

/// A recorded step.
#[pyclass(frozen, name = "_LoopTrace", module = "tapegrad")]
struct PyLoopTrace {
    /// The recording as it was made, for comparison with another one.
    recorded: Trace,
    /// The recording in which values from outside are inputs.
    trace: Trace,
    operands: Vec<(Layout, DType)>,
    carries: usize,
    xs: usize,
    gradients: Option<Gradients>,
    tracked: Vec<bool>,
    /// The Variables from outside that it reads.
    closed: Vec<Py<PyVariable>>,
}

/// The pullback of a recorded step.
struct Pulled {
    gradients: Gradients,
    /// The values from outside that gradients flow to, and the number of the gradient of each.
    others: Vec<(Variable, Option<usize>)>,
    arrays: Vec<Array>,
}

/// Records the pullback of the tracked results.
fn record_pullback(outs: &mut [Variable], inputs: &[Variable], since: u64) -> Result<Option<Pulled>> {
    for out in outs.iter_mut() {
        // A result that the step did not compute gets a node of its own.
        let made = matches!(out.edge(), Edge::Node { node, .. } if node.id() >= since && !tape::is_freed(node));
        if out.is_tracked() && !made {
            *out = ops::positive(out)?;
        }
    }
    let live: Vec<usize> = (0..outs.len()).filter(|&i| matches!(outs[i].edge(), Edge::Node { .. })).collect();
    if live.is_empty() {
        return Ok(None);
    }
    let tracked: Vec<Variable> = live.iter().map(|&i| outs[i].clone()).collect();
    let found = tape::frontier(&tracked, &[], since);
    let split = capture::step_count();
    let ones: Vec<Array> = tracked.iter().map(|v| Array::ones(v.shape(), v.dtype())).collect();
    capture::add_inputs(&ones);
    let roots: Vec<(Variable, Option<Variable>)> = tracked.into_iter().zip(ones).map(|(v, g)| (v, Some(g.into()))).collect();
    // A carry depends on the previous one, whose steps do not belong to this step.
    let options = BackwardOptions { retain_graph: true, stop_at_inputs: true, skip_hooks: true, ..BackwardOptions::default() };
    let mut out = Pulled { gradients: Gradients { split, live, of: vec![None; inputs.len()] }, others: Vec::new(), arrays: Vec::new() };
    for (v, g) in found.iter().zip(tape::grad(&roots, &found, options)?) {
        let number = g.map(|g| {
            out.arrays.push(g.into_array());
            out.arrays.len() - 1
        });
        match inputs.iter().position(|x| x.edge().key() == v.edge().key()) {
            Some(i) => out.gradients.of[i] = number,
            None => out.others.push((v.clone(), number)),
        }
    }
    Ok(Some(out))
}

/// Turns the values from outside that a recorded step reads into its inputs.
struct Closing<'a, 'py> {
    handles: &'a Bound<'py, PyList>,
    by_id: HashMap<(u8, u64), Bound<'py, PyVariable>>,
    closed: Vec<Bound<'py, PyVariable>>,
    values: Vec<Variable>,
}

impl<'a, 'py> Closing<'a, 'py> {
    fn new(handles: &'a Bound<'py, PyList>) -> Self {
        let mut by_id = HashMap::new();
        for h in handles {
            if let Ok(h) = h.cast_into::<PyVariable>() {
                for id in ids(&h).into_iter().filter(|(kind, _)| *kind != 1) {
                    by_id.entry(id).or_insert_with(|| h.clone());
                }
            }
        }
        Self { handles, by_id, closed: Vec::new(), values: Vec::new() }
    }

    fn push(&mut self, h: Bound<'py, PyVariable>, v: Variable) -> usize {
        self.closed.push(h);
        self.values.push(v);
        self.values.len() - 1
    }

    /// Turns places into inputs, numbered from `first` on. The inputs from there on, which are cotangents, must be renumbered.
    fn close(&mut self, trace: &mut Trace, first: usize) -> std::result::Result<(), String> {
        let outside = "it reads a value that the core holds, or a gradient; pass it as a carry or an argument";
        for (_, source) in &mut trace.sources {
            match source {
                Source::Place(at) => {
                    let Some(h) = self.by_id.get(&trace.places[*at].id()).cloned() else { return Err(outside.to_owned()) };
                    let v = h.get().snapshot();
                    *source = Source::Input(first + self.push(h, v));
                }
                Source::Constant(a, _) if capture::is_seen(a) => return Err(outside.to_owned()),
                _ => {}
            }
        }
        Ok(())
    }

    /// The number of the value from outside with the edge of `v`.
    fn place(&mut self, v: &Variable) -> Option<usize> {
        let key = v.edge().key();
        if let Some(i) = self.values.iter().position(|c| c.edge().key() == key) {
            return Some(i);
        }
        let mut all = self.handles.iter().filter_map(|h| h.cast_into::<PyVariable>().ok());
        let (h, value) = all.find_map(|h| {
            let is_it = match &*h.get().state.lock() {
                State::Value(x) => x.edge().key() == key,
                State::Leaf(leaf) => leaf.variable().edge().key() == key,
                State::View(_) => false,
            };
            is_it.then(|| (h.clone(), h.get().snapshot()))
        })?;
        Some(self.push(h, value))
    }
}

/// Whether a step has stored values with a history in Variables that existed before.
fn leaves_history(handles: &Bound<'_, PyList>, since: u64) -> bool {
    handles.iter().any(|h| {
        h.cast::<PyVariable>().is_ok_and(
            |h| matches!(&*h.get().state.lock(), State::Value(v) if matches!(v.edge(), Edge::Node { node, .. } if node.id() >= since && !tape::is_freed(node))),
        )
    })
}

/// Why the core cannot run a step: because of the histories that it leaves behind.
fn left_behind(outs: &[Variable], handles: &Bound<'_, PyList>, since: u64) -> Option<String> {
    if leaves_history(handles, since) {
        return Some("it leaves a value with a history in a Variable that was there before".to_owned());
    }
    let is_freed = outs.iter().any(|v| tape::reaches_freed(v, since));
    is_freed.then(|| "a backward pass in it has freed the history of a result".to_owned())
}

/// Ends the recording of a step with these results, the first `carries` of which are the next carries. Returns the recording, or the reason
/// why the step cannot be run by the core.
fn finish(
    outputs: &Bound<'_, PyList>,
    inputs: &Bound<'_, PyList>,
    handles: &Bound<'_, PyList>,
    carries: usize,
) -> PyResult<std::result::Result<PyLoopTrace, String>> {
    let Some(On { capture: on, since, inputs: ins }) = ON.with_borrow_mut(Vec::pop) else {
        return Err(PyValueError::new_err("scan: no step is recorded in this thread"));
    };
    let mut outs = snapshots(outputs)?;
    if outs.iter().chain(&ins).any(Variable::is_lifted) {
        return Ok(Err("a value is inside a transformation".to_owned()));
    }
    if let Some(reason) = left_behind(&outs, handles, since) {
        return Ok(Err(reason));
    }
    capture::before_effect();
    let alone = capture::alone();
    let pulled = record_pullback(&mut outs, &ins, since)?;
    let gradients = pulled.iter().flat_map(|p| p.arrays.iter().cloned());
    let arrays: Vec<Array> = outs.iter().map(|v| v.array().clone()).chain(gradients).collect();
    let mut recorded = match on.finish(&arrays) {
        Ok(trace) => trace,
        Err(reason) => return Ok(Err(reason)),
    };
    drop(alone);
    let own: Vec<(u8, u64)> = inputs.iter().filter_map(|v| v.cast::<PyVariable>().ok().map(ids)).flatten().collect();
    recorded.drop_new_layouts(&own);
    if let Some(step) = recorded.changing() {
        return Ok(Err(format!("it changes state or draws random numbers ({:?})", step.op)));
    }
    if !recorded.aliased.is_empty() {
        return Ok(Err("an argument shares memory with another value that it uses".to_owned()));
    }
    let (mut trace, mut closing) = (recorded.clone(), Closing::new(handles));
    if let Err(reason) = closing.close(&mut trace, ins.len()) {
        return Ok(Err(reason));
    }
    let mut of = vec![None; closing.values.len()];
    let gradients = match pulled {
        None => None,
        Some(p) => {
            for (v, number) in &p.others {
                let Some(i) = closing.place(v) else { return Ok(Err("it uses a value with a history that no Variable holds".to_owned())) };
                of.resize(closing.values.len(), None);
                of[i] = *number;
            }
            let mut all = p.gradients;
            all.of.extend(of);
            Some(all)
        }
    };
    behind(&mut trace, &recorded, ins.len(), closing.values.len());
    let tracked = ins.iter().chain(&closing.values).map(Variable::is_tracked).collect();
    let operands = ins.iter().chain(&closing.values).map(|v| (v.array().layout().clone(), v.dtype())).collect();
    let closed = closing.closed.into_iter().map(Bound::unbind).collect();
    Ok(Ok(PyLoopTrace { recorded, trace, operands, carries, xs: ins.len() - carries, gradients, tracked, closed }))
}

/// Renumbers the cotangents: they come after the values from outside.
fn behind(trace: &mut Trace, recorded: &Trace, first: usize, closed: usize) {
    for ((_, source), (_, before)) in trace.sources.iter_mut().zip(&recorded.sources) {
        if let Source::Input(i) = before
            && *i >= first
        {
            *source = Source::Input(i + closed);
        }
    }
    trace.inputs += closed;
    (trace.places, trace.states, trace.asked) = (Vec::new(), Vec::new(), Vec::new());
}

/// Ends the recording of a step. Returns it, or the reason why the step cannot be run by the core.
#[pyfunction]
fn _loop_finish<'py>(
    py: Python<'py>,
    outputs: &Bound<'py, PyList>,
    inputs: &Bound<'py, PyList>,
    handles: &Bound<'py, PyList>,
    carries: usize,
) -> PyResult<Bound<'py, PyAny>> {
    guard("scan", || match finish(outputs, inputs, handles, carries)? {
        Ok(trace) => Ok(Bound::new(py, trace)?.into_any()),
        Err(reason) => Ok(PyString::new(py, &reason).into_any()),
    })
}

#[pymethods]
impl PyLoopTrace {
    /// Why another recording is not the same step; None if it is.
    fn difference(&self, other: &Bound<'_, Self>) -> Option<String> {
        let other = other.get();
        if self.tracked != other.tracked {
            return Some("other values require gradients than in the step before".to_owned());
        }
        difference(&self.recorded, &other.recorded)
    }

    /// Whether it reads memory that starts within these bytes as a Variable.
    fn reads(&self, address: usize, bytes: usize) -> bool {
        reads_memory(&self.recorded, address, bytes)
    }

    /// Whether each next carry that requires gradients is computed from a carry that required them.
    fn is_steady(&self, outputs: &Bound<'_, PyList>) -> PyResult<bool> {
        Ok(snapshots(outputs)?.iter().zip(&self.tracked).take(self.carries).all(|(out, tracked)| *tracked || !out.is_tracked()))
    }

    /// The body of a loop; None if the step cannot be one.
    fn body(&self) -> Option<PyLoopBody> {
        let body = Body::new(self.trace.clone(), self.operands.clone(), self.carries, self.xs, self.gradients.clone()).ok()?;
        Some(PyLoopBody { body: Arc::new(body), tracked: self.tracked.clone() })
    }

    /// The Variables from outside that it reads.
    fn closed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, &self.closed)
    }
}

/// The body of a loop.
#[pyclass(frozen, name = "_LoopBody", module = "tapegrad")]
struct PyLoopBody {
    body: Arc<Body>,
    /// Which operands required gradients.
    tracked: Vec<bool>,
}

/// Runs the Python function of a loop, step by step.
struct PyAgain(Held<PyAny>);

impl Again for PyAgain {
    fn run(&self, carries: &[Variable], xs: &[Variable], length: usize) -> Result<Vec<Variable>> {
        let go = |py: Python<'_>| {
            let list = |all: &[Variable]| PyList::new(py, all.iter().map(|v| wrap(py, v.clone())).collect::<PyResult<Vec<_>>>()?);
            let outs = self.0.bind(py).call_method1("again", (list(carries)?, list(xs)?, length))?;
            snapshots(outs.cast::<PyList>()?)
        };
        Python::attach(go).map_err(external)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Reports the Python objects that attributes hold to a garbage collector, if they are those of a loop.
pub fn traverse(attrs: &dyn AttrSet, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
    let again = attrs.as_any().downcast_ref::<Loop>().and_then(Loop::again).and_then(|again| again.as_any().downcast_ref::<PyAgain>());
    again.map_or(Ok(()), |again| visit.call(&*again.0))
}

#[pymethods]
impl PyLoopBody {
    /// Number of recorded steps, and of instructions of one step that are left of them.
    fn size(&self) -> (usize, usize) {
        self.body.size()
    }

    /// Runs the loop. Returns the last carries and the stacked results, or None if the operands do not fit the recording.
    /// `owner.again(carries, xs, length)` runs the function step by step.
    fn run<'py>(
        &self,
        py: Python<'py>,
        operands: &Bound<'py, PyList>,
        length: usize,
        owner: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyList>>> {
        guard("scan", || {
            let values = snapshots(operands)?;
            let arrays: SmallVec<[&Array; 8]> = values.iter().map(Variable::array).collect();
            let alike = values.iter().zip(&self.tracked).all(|(v, tracked)| !v.is_lifted() && (*tracked || !v.is_tracked()));
            if !alike || !self.body.fits(&arrays) {
                return Ok(None);
            }
            let tracked = tape::is_recording() && values.iter().any(Variable::is_tracked);
            let again = tracked.then(|| Arc::new(PyAgain(Held::new(owner.clone().unbind()))) as Arc<dyn Again>);
            let attrs = Loop::new(Arc::clone(&self.body), length, again);
            let inputs: SmallVec<[Operand<'_>; 8]> = values.iter().map(Operand::Variable).collect();
            let go = || apply_all(&SCAN, &inputs, &attrs);
            let long = self.body.work().saturating_mul(length) >= LONG_CALL && !capture::is_begun() && !arrays.iter().any(|a| a.is_lent());
            let mut outs = if long { gc::detach(py, go)? } else { go()? };
            outs.truncate(self.body.result_count());
            // A primitive tracks all of its results. Here some may depend on nothing that is tracked.
            let outs = outs.into_iter().enumerate().map(|(i, v)| if self.body.is_differentiable(i) { v } else { v.detach() });
            PyList::new(py, outs.map(|v| wrap(py, v)).collect::<PyResult<Vec<_>>>()?).map(Some)
        })
    }
}

/// Adds loops to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    set_tick(tick);
    m.add_class::<PyLoopTrace>()?;
    m.add_class::<PyLoopBody>()?;
    m.add_function(wrap_pyfunction!(_is_anomaly, m)?)?;
    m.add_function(wrap_pyfunction!(_is_in_loop, m)?)?;
    m.add_function(wrap_pyfunction!(_loop_inputs, m)?)?;
    m.add_function(wrap_pyfunction!(_loop_begin, m)?)?;
    m.add_function(wrap_pyfunction!(_loop_changed, m)?)?;
    m.add_function(wrap_pyfunction!(_loop_abort, m)?)?;
    m.add_function(wrap_pyfunction!(_loop_finish, m)?)
}
