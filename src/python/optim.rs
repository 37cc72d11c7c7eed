//! Optimizers as classes. Users and schedulers read and change `param_groups`; a step reads them, and is then one call into the core.
#![allow(clippy::doc_markdown, reason = "the docs of methods and classes are read in Python")]
#![allow(clippy::upper_case_acronyms, reason = "PyTorch's names")]

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::error::{external, guard};
use super::gc;
use super::number::{self, names};
use super::operators::run;
use super::optim_groups::{self as groups, Dict, FromGroup};
use super::release::Held;
use super::variable::wrap;
use crate::array::{Array, alloc_check};
use crate::error::Result;
use crate::lock::{Mutex, changing};
use crate::optim::{self, Method, Optimizer, State, zero_grad};
use crate::tape::capture::{self, Arrays, Effect, LeafValue, Place};
use crate::tape::{self, Leaf};

/// The core's optimizer for each method, and `with!`, which runs a body with `$M` as the method and `$core` as the optimizer.
macro_rules! engines {
    ($d:tt $($engine:ident)*) => {
        /// The core's optimizer for one of the methods.
        enum Engine {
            $($engine(Mutex<Optimizer<optim::$engine>>),)*
        }

        macro_rules! with {
            ($d of:expr, $d M:ident, $d core:ident => $d body:expr) => {
                match $d of {
                    $(Engine::$engine($d core) => {
                        type $d M = optim::$engine;
                        $d body
                    })*
                }
            };
        }
    };
}

engines! { $ Sgd Adam RmsProp Adagrad Adadelta Adamax NAdam RAdam Asgd Rprop Lion }

/// The base of all optimizers: parameter groups, steps, and a state that can be saved.
#[pyclass(frozen, subclass, weakref, name = "Optimizer", module = "tapegrad.optim")]
pub struct PyOptimizer {
    name: &'static str,
    /// While it is locked, no Python code runs.
    engine: Engine,
    param_groups: Py<PyList>,
    defaults: Py<PyDict>,
}

/// A number of steps from a saved state: an int, a float or an array of one element.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a whole number")]
fn step_count(name: &str, o: &Bound<'_, PyAny>) -> PyResult<u64> {
    let x: f64 = number::number(name, "step", o)?;
    if x >= 0.0 && x.fract() == 0.0 && x < 9e15 {
        Ok(x as u64)
    } else {
        Err(PyValueError::new_err(format!("{name}: 'step' must count steps, not {x}")))
    }
}

/// A state as shown to users.
fn show_state<'py, M: Method>(py: Python<'py>, state: &State) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    if M::COUNTS {
        d.set_item("step", state.step())?;
    }
    for (name, array) in state.arrays::<M>() {
        d.set_item(name, wrap(py, array.clone().into())?)?;
    }
    Ok(d)
}

/// A saved state, checked against the parameter and its options.
fn read_state<M: FromGroup>(name: &str, options: &M::Options, p: &Leaf, saved: &Bound<'_, PyAny>) -> PyResult<State> {
    let saved = saved.cast::<PyDict>().map_err(|_| PyTypeError::new_err(format!("{name}: the state of a parameter must be a dict")))?;
    let (mut step, mut arrays) = (None, Vec::new());
    for (key, value) in saved {
        let key: String = key.extract()?;
        if key == "step" && M::COUNTS {
            step = Some(step_count(name, &value)?);
        } else if !value.is_none() && !M::DERIVED.contains(&key.as_str()) {
            let array = super::convert::untracked(&format!("{name}.load_state_dict: the state '{key}'"), &value, None, Some(true))?;
            arrays.push((key, array));
        }
    }
    Ok(Optimizer::<M>::read_state(options, p, step, &arrays)?)
}

impl PyOptimizer {
    /// An optimizer for `params`, with `defaults` for options that a group does not set.
    fn create<M: FromGroup>(
        name: &'static str,
        params: &Bound<'_, PyAny>,
        defaults: &Bound<'_, PyDict>,
        engine: fn(Mutex<Optimizer<M>>) -> Engine,
    ) -> PyResult<Self> {
        // The defaults are checked even if every group overrides them.
        M::check(&M::from_group(&Dict { name, dict: defaults })?)?;
        let list = groups::all(name, params, defaults)?;
        let read = list.iter().map(|g| groups::read::<M>(name, &g)).collect::<PyResult<Vec<_>>>()?;
        let core = guard(name, || Ok(Optimizer::<M>::new(read)?))?;
        Ok(Self { name, engine: engine(Mutex::new(core)), param_groups: list.unbind(), defaults: defaults.clone().unbind() })
    }

    /// Passes the present options and parameters of the groups to the core. Returns the number of elements of all parameters.
    fn refresh<M: FromGroup>(&self, py: Python<'_>, core: &Mutex<Optimizer<M>>) -> PyResult<usize> {
        let list = self.param_groups.bind(py);
        let now = list.iter().map(|g| groups::peek::<M>(self.name, &g)).collect::<PyResult<Vec<_>>>()?;
        {
            let mut core = core.lock();
            let known = core.groups();
            if known.len() == now.len() && known.iter().zip(&now).all(|(known, (_, params))| groups::are_at(params, &known.params)) {
                core.set_all_options(now.into_iter().map(|(options, _)| options).collect())?;
                return Ok(core.size());
            }
        }
        let read = list.iter().map(|g| groups::read::<M>(self.name, &g)).collect::<PyResult<Vec<_>>>()?;
        let (size, old) = {
            let mut core = core.lock();
            let old = core.set_groups(read)?;
            (core.size(), old)
        };
        drop(old);
        Ok(size)
    }

    /// The states of all parameters.
    fn saved(&self) -> Vec<(u64, State)> {
        with!(&self.engine, M, core => {
            let core: &Mutex<Optimizer<M>> = core;
            core.lock().saved_states()
        })
    }

    /// Restores the states of these parameters.
    fn put_back(&self, params: &[Arc<Leaf>], saved: Vec<(u64, State)>) {
        with!(&self.engine, M, core => {
            let core: &Mutex<Optimizer<M>> = core;
            core.lock().restore_states(params, saved);
        });
    }

    /// One step.
    fn advance(&self, py: Python<'_>, clip_norm: Option<f64>) -> PyResult<()> {
        guard(self.name, || {
            with!(&self.engine, M, core => {
                let size = self.refresh::<M>(py, core)?;
                run(py, size, || {
                    let _changing = changing();
                    let mut core = core.lock();
                    match clip_norm {
                        None => core.step(),
                        Some(most) => core.step_clipped(most).map(drop),
                    }
                })
            })
        })
    }

    /// The parameters of all groups, in order: the objects and their leaves.
    fn params<'py>(&self, py: Python<'py>) -> PyResult<Vec<(Bound<'py, PyAny>, Arc<Leaf>)>> {
        let mut out = Vec::new();
        for g in self.param_groups.bind(py).iter() {
            for p in groups::params(self.name, &g)?.iter() {
                let leaf = groups::place(self.name, &p)?;
                alloc_check::push(&mut out, (p, leaf));
            }
        }
        Ok(out)
    }

    /// The states of all parameters that have one. `key` makes the key from the parameter's number and object.
    fn states<'py>(&self, py: Python<'py>, key: impl Fn(usize, Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        for (i, (p, leaf)) in self.params(py)?.into_iter().enumerate() {
            let shown = with!(&self.engine, M, core => {
                let state = core.lock().state(&leaf).cloned();
                state.map(|s| show_state::<M>(py, &s)).transpose()?
            });
            if let Some(shown) = shown {
                out.set_item(key(i, p)?, shown)?;
            }
        }
        Ok(out)
    }

    /// Checks a saved dict completely, and only then replaces options and states.
    fn load<M: FromGroup>(&self, core: &Mutex<Optimizer<M>>, saved: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = saved.py();
        let (states, saved_groups) = groups::parts(self.name, saved)?;
        let current = self.param_groups.bind(py);
        if saved_groups.len() != current.len() {
            let counts = format!("the state_dict has {} parameter groups, the optimizer {}", saved_groups.len(), current.len());
            return Err(PyValueError::new_err(format!("{}: {counts}", self.name)));
        }
        let mut places: HashMap<usize, (M::Options, Arc<Leaf>)> = HashMap::new();
        let mut fresh = Vec::new();
        for (i, (mine, theirs)) in current.iter().zip(saved_groups.iter()).enumerate() {
            let (group, numbers) = groups::merged(self.name, i, &mine, &theirs, self.defaults.bind(py))?;
            let read = groups::read::<M>(self.name, group.as_any())?;
            M::check(&read.options)?;
            for (n, leaf) in numbers.into_iter().zip(read.params) {
                if places.insert(n, (read.options.clone(), leaf)).is_some() {
                    return Err(PyValueError::new_err(format!("{}: the state_dict gives parameter {n} twice", self.name)));
                }
            }
            fresh.push(group);
        }
        let mut loaded = Vec::new();
        for (key, state) in &states {
            let number: usize =
                key.extract().map_err(|_| PyKeyError::new_err(format!("{}: state keys are numbers of parameters, not {key}", self.name)))?;
            let Some((options, leaf)) = places.get(&number) else {
                return Err(PyKeyError::new_err(format!("{}: the state_dict has a state for parameter {number}, which is in no group", self.name)));
            };
            loaded.push((Arc::clone(leaf), read_state::<M>(self.name, options, leaf, &state)?));
        }
        for (mine, new) in current.iter().zip(fresh) {
            let mine = mine.cast_into::<PyDict>()?;
            mine.clear();
            mine.update(new.as_mapping())?;
        }
        let old = core.lock().set_states(loaded)?;
        drop(old);
        Ok(())
    }
}

/// A step of an optimizer as a step of a program. It reads the groups in each call.
struct Stepping {
    optimizer: Held<PyOptimizer>,
    clip_norm: Option<f64>,
    params: Vec<Arc<Leaf>>,
}

impl Effect for Stepping {
    fn name(&self) -> &str {
        self.optimizer.get().name
    }

    fn describe(&self) -> String {
        let ids: Vec<u64> = self.params.iter().map(|p| p.id()).collect();
        format!("step of {} {:p} clipped {:?} {ids:?}", self.name(), self.optimizer.as_ptr(), self.clip_norm)
    }

    fn run(&self, _: &[Array]) -> Result<Arrays> {
        Python::attach(|py| self.optimizer.get().advance(py, self.clip_norm)).map_err(external)?;
        Ok(Arrays::new())
    }

    fn touches(&self) -> Vec<Arc<dyn Place>> {
        self.params.iter().map(|p| Arc::new(LeafValue(Arc::clone(p))) as Arc<dyn Place>).collect()
    }

    fn backup(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let (saved, params) = (self.optimizer.get().saved(), self.params.clone());
        let optimizer = Python::attach(|py| Held::new(self.optimizer.clone_ref(py)));
        Some(Box::new(move || optimizer.get().put_back(&params, saved)))
    }
}

/// Runs a step, recorded as an effect while a capture is active.
#[cold]
fn seen(optimizer: &Bound<'_, PyOptimizer>, clip_norm: Option<f64>) -> PyResult<()> {
    let py = optimizer.py();
    let params = optimizer.get().params(py)?.into_iter().map(|(_, leaf)| leaf).collect();
    capture::before_effect();
    {
        let _mute = capture::mute();
        optimizer.get().advance(py, clip_norm)?;
    }
    capture::note_effect(|| Arc::new(Stepping { optimizer: Held::new(optimizer.clone().unbind()), clip_norm, params }), &[], &[]);
    Ok(())
}

#[pymethods]
impl PyOptimizer {
    /// The groups: dicts with 'params' and the options, which may be changed and are honoured by the next step.
    #[getter]
    fn param_groups<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.param_groups.bind(py).clone()
    }

    /// The options of groups that do not say otherwise.
    #[getter]
    fn defaults<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.defaults.bind(py).clone()
    }

    /// What is remembered of each parameter: a snapshot, a dict of dicts with the parameters as keys.
    #[getter]
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.states(py, |_, p| Ok(p))
    }

    /// Updates every parameter that has a gradient, in one call into the core.
    ///
    /// `closure`, if given, is called first with recording on; it computes the loss and its gradients, and step returns
    /// the loss. With `clip_norm` the step is the one that `tg.nn.utils.clip_grad_norm_(parameters, clip_norm)` before it
    /// would give, for all parameters of the optimizer together; the gradients themselves stay as they are.
    ///
    /// >>> x = tg.Variable([3.0, 4.0], requires_grad=True)
    /// >>> sgd = tg.optim.SGD([x], lr=1.0)
    /// >>> (x * x / 2).sum().backward()
    /// >>> sgd.step(clip_norm=2.5)
    /// >>> [round(v, 3) for v in x.tolist()], x.grad.tolist()
    /// ([1.5, 2.0], [3.0, 4.0])
    #[pyo3(signature = (closure = None, *, clip_norm = None))]
    fn step<'py>(
        slf: &Bound<'py, Self>,
        py: Python<'py>,
        closure: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = number::given::<names::clip_norm, Option<f64>>)] clip_norm: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let this = slf.get();
        let loss = match closure {
            Some(f) => {
                groups::check_closure(this.name, &f)?;
                let _recording = tape::recording(true);
                Some(f.call0()?)
            }
            None => None,
        };
        if capture::is_on() {
            seen(slf, clip_norm)?;
            return Ok(loss);
        }
        this.advance(py, clip_norm)?;
        Ok(loss)
    }

    /// Forgets the gradients of all parameters, or with set_to_none=False overwrites them with zeros.
    #[pyo3(signature = (set_to_none = true))]
    fn zero_grad(&self, py: Python<'_>, set_to_none: bool) -> PyResult<()> {
        guard(self.name, || {
            let params = self.params(py)?;
            zero_grad(params.iter().map(|(_, leaf)| leaf), set_to_none);
            Ok(())
        })
    }

    /// Adds a group: a dict with 'params' and options that differ from the defaults.
    fn add_param_group(&self, py: Python<'_>, param_group: &Bound<'_, PyAny>) -> PyResult<()> {
        let group = groups::one(self.name, param_group, self.defaults.bind(py))?;
        let list = self.param_groups.bind(py);
        with!(&self.engine, M, core => {
            let old = list.iter().map(|g| groups::read::<M>(self.name, &g)).collect::<PyResult<Vec<_>>>()?;
            let new = groups::read::<M>(self.name, group.as_any())?;
            let mut core = core.lock();
            let before = core.set_groups(old)?;
            let added = core.add_group(new);
            drop(core);
            drop(before);
            added?;
        });
        list.append(group)
    }

    /// Options and state as dicts, in PyTorch's layout: {'state': {number: {...}}, 'param_groups': [...]}.
    fn state_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        out.set_item("state", self.states(py, |i, _| Ok(i.into_pyobject(py)?.into_any()))?)?;
        out.set_item("param_groups", groups::numbered(self.name, self.param_groups.bind(py))?)?;
        Ok(out)
    }

    /// Takes over what `state_dict` returned; a run that is resumed so goes on bit for bit.
    ///
    /// Raises KeyError, ValueError or ShapeError when something is missing, unknown or does not fit; then nothing
    /// changes. Unknown options of groups are kept: schedulers leave theirs there.
    fn load_state_dict(&self, state_dict: &Bound<'_, PyAny>) -> PyResult<()> {
        guard(self.name, || with!(&self.engine, M, core => self.load::<M>(core, state_dict)))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.get_type().name()?.to_string();
        groups::show(&name, slf.get().param_groups.bind(slf.py()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.param_groups)?;
        visit.call(&self.defaults)?;
        if !gc::is_shown() {
            return Ok(());
        }
        with!(&self.engine, M, core => {
            let core: &Mutex<Optimizer<M>> = core;
            // If it is locked, that is by a thread that waits for the GIL, and so in both passes of the collector.
            core.try_lock().map_or(Ok(()), |core| core.params().try_for_each(|leaf| gc::traverse_leaf(leaf, &visit)))
        })
    }
}

/// Defines a class: its doc, its name, the engine, its options with their types, its signature.
macro_rules! optimizer {
    ($(#[doc = $doc:literal])+ $name:ident = $engine:ident { $($option:ident: $ty:ty),* $(; $fixed:ident = $value:literal)? } $signature:tt) => {
        $(#[doc = $doc])+
        #[pyclass(frozen, subclass, extends = PyOptimizer, module = "tapegrad.optim")]
        pub struct $name;

        #[pymethods]
        impl $name {
            #[new]
            #[pyo3(signature = $signature)]
            #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools, reason = "PyTorch's arguments")]
            fn new(
                params: &Bound<'_, PyAny>,
                $(#[pyo3(from_py_with = number::given::<names::$option, $ty>)] $option: $ty),*
            ) -> PyResult<PyClassInitializer<Self>> {
                let defaults = PyDict::new(params.py());
                $(defaults.set_item(stringify!($option), $option)?;)*
                $(defaults.set_item(stringify!($fixed), $value)?;)?
                let base = PyOptimizer::create(stringify!($name), params, &defaults, Engine::$engine)?;
                Ok(PyClassInitializer::from(base).add_subclass(Self))
            }
        }
    };
}

optimizer! {
    /// Stochastic gradient descent with momentum (Polyak 1964; Sutskever et al. 2013 for nesterov).
    ///
    /// `params` is an iterable of Variables that require gradients, of (name, Variable) pairs, or of dicts with 'params'
    /// and options of their own. State belongs to the parameter, and a step is one call into the core.
    ///
    /// >>> x = tg.Variable(3.0, requires_grad=True)
    /// >>> sgd = tg.optim.SGD([x], lr=0.5)
    /// >>> (x ** 2).backward()
    /// >>> sgd.step()
    /// >>> x.item()
    /// 0.0
    SGD = Sgd { lr: f64, momentum: f64, dampening: f64, weight_decay: f64, nesterov: bool, maximize: bool }
        (params, lr = 1e-3, momentum = 0.0, dampening = 0.0, weight_decay = 0.0, nesterov = false, *, maximize = false)
}

optimizer! {
    /// Adam (Kingma & Ba 2015); with amsgrad as Reddi et al. (2018) have it.
    ///
    /// `weight_decay` is part of the gradient, unless `decoupled_weight_decay` makes this AdamW.
    ///
    /// >>> x = tg.Variable(3.0, requires_grad=True)
    /// >>> adam = tg.optim.Adam([x], lr=0.5)
    /// >>> (x ** 2).backward()
    /// >>> adam.step()
    /// >>> x.item()
    /// 2.5
    Adam = Adam {
        lr: f64, betas: (f64, f64), eps: f64, weight_decay: f64, amsgrad: bool, maximize: bool, decoupled_weight_decay: bool
    } (
        params, lr = 1e-3, betas = (0.9, 0.999), eps = 1e-8, weight_decay = 0.0, amsgrad = false, *, maximize = false,
        decoupled_weight_decay = false
    )
}

optimizer! {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019): parameters shrink by lr * weight_decay in each step.
    ///
    /// >>> x = tg.Variable(3.0, requires_grad=True)
    /// >>> adamw = tg.optim.AdamW([x], lr=0.5, weight_decay=0.0)
    /// >>> (x ** 2).backward()
    /// >>> adamw.step()
    /// >>> x.item()
    /// 2.5
    AdamW = Adam {
        lr: f64, betas: (f64, f64), eps: f64, weight_decay: f64, amsgrad: bool, maximize: bool; decoupled_weight_decay = true
    } (params, lr = 1e-3, betas = (0.9, 0.999), eps = 1e-8, weight_decay = 1e-2, amsgrad = false, *, maximize = false)
}

optimizer! {
    /// RMSprop (Hinton 2012); centered as Graves (2013) has it.
    ///
    /// >>> x = tg.Variable(3.0, requires_grad=True)
    /// >>> rmsprop = tg.optim.RMSprop([x], lr=0.5, alpha=0.0)
    /// >>> (x ** 2).backward()
    /// >>> rmsprop.step()
    /// >>> x.item()
    /// 2.5
    RMSprop = RmsProp { lr: f64, alpha: f64, eps: f64, weight_decay: f64, momentum: f64, centered: bool, maximize: bool }
        (params, lr = 1e-2, alpha = 0.99, eps = 1e-8, weight_decay = 0.0, momentum = 0.0, centered = false, *, maximize = false)
}

optimizer! {
    /// The core of `tg.optim.Adagrad`.
    Adagrad = Adagrad { lr: f64, lr_decay: f64, weight_decay: f64, initial_accumulator_value: f64, eps: f64, maximize: bool }
        (params, lr = 1e-2, lr_decay = 0.0, weight_decay = 0.0, initial_accumulator_value = 0.0, eps = 1e-10, *, maximize = false)
}

optimizer! {
    /// The core of `tg.optim.Adadelta`.
    Adadelta = Adadelta { lr: f64, rho: f64, eps: f64, weight_decay: f64, maximize: bool }
        (params, lr = 1.0, rho = 0.9, eps = 1e-6, weight_decay = 0.0, *, maximize = false)
}

optimizer! {
    /// The core of `tg.optim.Adamax`.
    Adamax = Adamax { lr: f64, betas: (f64, f64), eps: f64, weight_decay: f64, maximize: bool }
        (params, lr = 2e-3, betas = (0.9, 0.999), eps = 1e-8, weight_decay = 0.0, *, maximize = false)
}

optimizer! {
    /// The core of `tg.optim.NAdam`.
    NAdam = NAdam {
        lr: f64, betas: (f64, f64), eps: f64, weight_decay: f64, momentum_decay: f64, decoupled_weight_decay: bool, maximize: bool
    } (
        params, lr = 2e-3, betas = (0.9, 0.999), eps = 1e-8, weight_decay = 0.0, momentum_decay = 4e-3, decoupled_weight_decay = false,
        *, maximize = false
    )
}

optimizer! {
    /// The core of `tg.optim.RAdam`.
    RAdam = RAdam { lr: f64, betas: (f64, f64), eps: f64, weight_decay: f64, decoupled_weight_decay: bool, maximize: bool }
        (params, lr = 1e-3, betas = (0.9, 0.999), eps = 1e-8, weight_decay = 0.0, decoupled_weight_decay = false, *, maximize = false)
}

optimizer! {
    /// The core of `tg.optim.ASGD`.
    ASGD = Asgd { lr: f64, lambd: f64, alpha: f64, t0: f64, weight_decay: f64, maximize: bool }
        (params, lr = 1e-2, lambd = 1e-4, alpha = 0.75, t0 = 1e6, weight_decay = 0.0, *, maximize = false)
}

optimizer! {
    /// The core of `tg.optim.Rprop`.
    Rprop = Rprop { lr: f64, etas: (f64, f64), step_sizes: (f64, f64), maximize: bool }
        (params, lr = 1e-2, etas = (0.5, 1.2), step_sizes = (1e-6, 50.0), *, maximize = false)
}

optimizer! {
    /// The core of `tg.optim.Lion`.
    Lion = Lion { lr: f64, betas: (f64, f64), weight_decay: f64, maximize: bool }
        (params, lr = 1e-4, betas = (0.9, 0.99), weight_decay = 0.0, *, maximize = false)
}

/// Adds the classes to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyOptimizer>()?;
    m.add_class::<SGD>()?;
    m.add_class::<Adam>()?;
    m.add_class::<AdamW>()?;
    m.add_class::<RMSprop>()?;
    m.add_class::<Adagrad>()?;
    m.add_class::<Adadelta>()?;
    m.add_class::<Adamax>()?;
    m.add_class::<NAdam>()?;
    m.add_class::<RAdam>()?;
    m.add_class::<ASGD>()?;
    m.add_class::<Rprop>()?;
    m.add_class::<Lion>()
}
