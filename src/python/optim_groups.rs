//! Parameter groups: the dicts in which users and schedulers read and change the options of an optimizer.

use std::fmt::Write as _;
use std::sync::Arc;

use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyString, PyTuple};

use super::describe::{describe, type_name};
use super::number::refuse_tracked;
use super::variable::{PyVariable, State};
use crate::optim::{
    Adadelta, AdadeltaOptions, Adagrad, AdagradOptions, Adam, AdamOptions, Adamax, AdamaxOptions, Asgd, AsgdOptions, Group, Lion, LionOptions,
    Method, NAdam, NAdamOptions, RAdam, RAdamOptions, RmsProp, RmsPropOptions, Rprop, RpropOptions, Sgd, SgdOptions, leaf_of,
};
use crate::tape::Leaf;

/// The options in a group's dict.
pub struct Dict<'a, 'py> {
    /// The optimizer, for messages.
    pub name: &'static str,
    /// The dict.
    pub dict: &'a Bound<'py, PyDict>,
}

impl<'py> Dict<'_, 'py> {
    fn get(&self, key: &str) -> PyResult<Bound<'py, PyAny>> {
        let Some(found) = self.dict.get_item(key)? else {
            return Err(PyKeyError::new_err(format!("{}: a parameter group lacks '{key}'", self.name)));
        };
        refuse_tracked(self.name, key, &found)?;
        Ok(found)
    }

    fn wrong(&self, key: &str, value: &Bound<'_, PyAny>, expected: &str) -> PyErr {
        let got = value.get_type().name().map_or_else(|_| "?".to_owned(), |n| n.to_string());
        PyTypeError::new_err(format!("{}: {key} must be {expected}, not {got}", self.name))
    }

    fn float(&self, key: &str) -> PyResult<f64> {
        let value = self.get(key)?;
        value.extract().map_err(|_| self.wrong(key, &value, "a number"))
    }

    fn flag(&self, key: &str) -> PyResult<bool> {
        self.get(key)?.is_truthy()
    }

    fn pair(&self, key: &str) -> PyResult<[f64; 2]> {
        let value = self.get(key)?;
        let wrong = || self.wrong(key, &value, "two numbers");
        let items = value.try_iter().map_err(|_| wrong())?.collect::<PyResult<Vec<_>>>()?;
        let numbers = items.iter().map(|x| x.extract().map_err(|_| wrong())).collect::<PyResult<Vec<f64>>>()?;
        numbers.try_into().map_err(|_| PyValueError::new_err(format!("{}: {key} must be two numbers, not {}", self.name, items.len())))
    }
}

/// A method whose options can be read from a dict.
pub trait FromGroup: Method {
    /// The options in `group`.
    fn from_group(group: &Dict<'_, '_>) -> PyResult<Self::Options>;
}

/// How the options of methods are read: each with the function for its kind.
macro_rules! from_group {
    ($($method:ident = $options:ident { $($option:ident: $kind:ident),* })*) => {
        $(impl FromGroup for $method {
            fn from_group(g: &Dict<'_, '_>) -> PyResult<$options> {
                Ok($options { $($option: g.$kind(stringify!($option))?),* })
            }
        })*
    };
}

from_group! {
    Sgd = SgdOptions { lr: float, momentum: float, dampening: float, weight_decay: float, nesterov: flag, maximize: flag }
    Adam = AdamOptions {
        lr: float, betas: pair, eps: float, weight_decay: float, amsgrad: flag, maximize: flag, decoupled_weight_decay: flag
    }
    RmsProp = RmsPropOptions { lr: float, alpha: float, eps: float, weight_decay: float, momentum: float, centered: flag, maximize: flag }
    Adagrad = AdagradOptions {
        lr: float, lr_decay: float, weight_decay: float, initial_accumulator_value: float, eps: float, maximize: flag
    }
    Adadelta = AdadeltaOptions { lr: float, rho: float, eps: float, weight_decay: float, maximize: flag }
    Adamax = AdamaxOptions { lr: float, betas: pair, eps: float, weight_decay: float, maximize: flag }
    NAdam = NAdamOptions {
        lr: float, betas: pair, eps: float, weight_decay: float, momentum_decay: float, decoupled_weight_decay: flag, maximize: flag
    }
    RAdam = RAdamOptions { lr: float, betas: pair, eps: float, weight_decay: float, decoupled_weight_decay: flag, maximize: flag }
    Asgd = AsgdOptions { lr: float, lambd: float, alpha: float, t0: float, weight_decay: float, maximize: flag }
    Rprop = RpropOptions { lr: float, etas: pair, step_sizes: pair, maximize: flag }
    Lion = LionOptions { lr: float, betas: pair, weight_decay: float, maximize: flag }
}

fn dict<'a, 'py>(name: &str, what: &str, o: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyDict>> {
    let got = || o.get_type().name().map_or_else(|_| "?".to_owned(), |n| n.to_string());
    o.cast::<PyDict>().map_err(|_| PyTypeError::new_err(format!("{name}: {what} must be a dict, not {}", got())))
}

fn list<'py>(name: &str, what: &str, o: Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyList>> {
    let o = o.ok_or_else(|| PyKeyError::new_err(format!("{name}: {what} is missing")))?;
    o.cast_into::<PyList>().map_err(|_| PyTypeError::new_err(format!("{name}: {what} must be a list")))
}

/// The parameters of a group.
pub fn params<'py>(name: &str, group: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    list(name, "'params' of a parameter group", dict(name, "a parameter group", group)?.get_item("params")?)
}

/// The error for something that is not a parameter.
#[cold]
pub fn no_parameter(name: &str, p: &Bound<'_, PyAny>) -> PyErr {
    let fix = if p.hasattr("parameters").unwrap_or(false) {
        "; pass the parameters of a module, as in net.parameters()"
    } else if p.cast::<PyVariable>().is_err() && p.try_iter().is_ok() && p.cast::<PyString>().is_err() {
        "; join several iterables into one list, as in [*a.parameters(), *b.parameters()]"
    } else {
        ""
    };
    PyTypeError::new_err(format!("{name}: a parameter must be a Variable, got {}{fix}", describe(p)))
}

/// The leaf of a parameter.
pub fn place(name: &str, p: &Bound<'_, PyAny>) -> PyResult<Arc<Leaf>> {
    // The message is only made if it is needed.
    let handle = match p.cast::<PyVariable>() {
        Ok(handle) => handle.get(),
        Err(_) => return Err(no_parameter(name, p)),
    };
    match handle.leaf() {
        Some(leaf) => Ok(leaf),
        None => Ok(leaf_of(name, &handle.snapshot())?),
    }
}

/// Fails if the argument of a step is not callable.
pub fn check_closure(name: &str, f: &Bound<'_, PyAny>) -> PyResult<()> {
    if f.is_callable() {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "{name}.step(): argument 'closure' must be a function that computes the loss, not {}; call loss.backward() first, then step()",
        type_name(f)
    )))
}

/// A group in the form that the core takes.
pub fn read<M: FromGroup>(name: &'static str, group: &Bound<'_, PyAny>) -> PyResult<Group<M::Options>> {
    let options = M::from_group(&Dict { name, dict: dict(name, "a parameter group", group)? })?;
    let params = params(name, group)?.iter().map(|p| place(name, &p)).collect::<PyResult<_>>()?;
    Ok(Group { options, params })
}

/// The options of a group, and its list of parameters.
pub fn peek<'py, M: FromGroup>(name: &'static str, group: &Bound<'py, PyAny>) -> PyResult<(M::Options, Bound<'py, PyList>)> {
    let options = M::from_group(&Dict { name, dict: dict(name, "a parameter group", group)? })?;
    Ok((options, params(name, group)?))
}

/// Whether these are the parameters with these leaves. Runs no Python code.
pub fn are_at(list: &Bound<'_, PyList>, places: &[Arc<Leaf>]) -> bool {
    let is_at = |p: Bound<'_, PyAny>, place: &Arc<Leaf>| {
        p.cast::<PyVariable>().is_ok_and(|p| match &*p.get().state.lock() {
            State::Leaf(leaf) => Arc::ptr_eq(leaf, place),
            State::Value(_) | State::View(_) => false,
        })
    };
    list.len() == places.len() && list.iter().zip(places).all(|(p, place)| is_at(p, place))
}

/// The items of the argument for parameters, in a fixed order.
pub fn items<'py>(name: &str, o: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    if o.cast::<PySet>().is_ok() {
        return Err(PyTypeError::new_err(format!("{name}: parameters must be in a fixed order, and a set has none; pass a list")));
    }
    if let Ok(parameters) = o.getattr("parameters")
        && parameters.is_callable()
    {
        let got = type_name(o);
        return Err(PyTypeError::new_err(format!(
            "{name}: expected an iterable of parameters, not the module {got}; pass its parameters, as in {name}(net.parameters(), ...)"
        )));
    }
    o.try_iter().map_err(|_| PyTypeError::new_err(format!("{name}: expected an iterable of parameters, not {}", describe(o))))?.collect()
}

/// Adds parameters, and their names if they are given as pairs, to a group.
fn fill<'py>(name: &str, group: &Bound<'py, PyDict>, given: Vec<Bound<'py, PyAny>>) -> PyResult<()> {
    let py = group.py();
    let (params, names) = (PyList::empty(py), PyList::empty(py));
    for item in given {
        let pair = item.cast::<PyTuple>().ok().filter(|t| t.len() == 2 && t.get_item(0).is_ok_and(|n| n.cast::<PyString>().is_ok()));
        match pair {
            Some(pair) => {
                names.append(pair.get_item(0)?)?;
                params.append(pair.get_item(1)?)?;
            }
            None => params.append(item)?,
        }
    }
    if !names.is_empty() && names.len() != params.len() {
        return Err(PyValueError::new_err(format!("{name}: either all parameters of a group have names or none")));
    }
    for p in &params {
        place(name, &p)?;
    }
    group.set_item("params", params)?;
    if !names.is_empty() {
        group.set_item("param_names", names)?;
    }
    Ok(())
}

/// Makes a group from what a user has passed; options that are missing get their defaults.
pub fn one<'py>(name: &str, given: &Bound<'py, PyAny>, defaults: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    let given = dict(name, "a parameter group", given)?;
    let Some(params) = given.get_item("params")? else {
        return Err(PyKeyError::new_err(format!("{name}: a parameter group lacks 'params'")));
    };
    let group = PyDict::new(given.py());
    let params = if params.cast::<PyVariable>().is_ok() { vec![params] } else { items(name, &params)? };
    fill(name, &group, params)?;
    group.update(defaults.as_mapping())?;
    for (key, value) in given.iter().filter(|(key, _)| !key.eq("params").unwrap_or(false)) {
        group.set_item(key, value)?;
    }
    Ok(group)
}

/// All groups, from the first argument of an optimizer.
pub fn all<'py>(name: &str, given: &Bound<'py, PyAny>, defaults: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyList>> {
    let py = given.py();
    if given.cast::<PyVariable>().is_ok() || given.cast::<PyDict>().is_ok() {
        let got = given.get_type().name()?;
        return Err(PyTypeError::new_err(format!("{name}: parameters must be an iterable of Variables or of dicts, not one {got}; pass [{got}]")));
    }
    let found = items(name, given)?;
    if found.is_empty() {
        return Err(PyValueError::new_err(format!(
            "{name}: there are no parameters to optimize; a module has those of its attributes, of nn.ModuleList and nn.ModuleDict, \
             not those of layers in plain lists and dicts"
        )));
    }
    if found[0].cast::<PyDict>().is_ok() {
        return PyList::new(py, found.iter().map(|g| one(name, g, defaults)).collect::<PyResult<Vec<_>>>()?);
    }
    let group = PyDict::new(py);
    fill(name, &group, found)?;
    group.update(defaults.as_mapping())?;
    PyList::new(py, [group])
}

/// The two parts of a saved dict.
pub fn parts<'py>(name: &str, saved: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyList>)> {
    let saved = dict(name, "a state_dict", saved)?;
    for key in saved.keys() {
        if !key.eq("state")? && !key.eq("param_groups")? {
            return Err(PyKeyError::new_err(format!("{name}: a state_dict has 'state' and 'param_groups', not {}", key.repr()?)));
        }
    }
    let Some(state) = saved.get_item("state")? else { return Err(PyKeyError::new_err(format!("{name}: the state_dict lacks 'state'"))) };
    Ok((dict(name, "'state'", &state)?.clone(), list(name, "'param_groups' of the state_dict", saved.get_item("param_groups")?)?))
}

/// A saved group with the present parameters, and the numbers that they had when it was saved.
pub fn merged<'py>(
    name: &str,
    index: usize,
    mine: &Bound<'py, PyAny>,
    theirs: &Bound<'py, PyAny>,
    defaults: &Bound<'py, PyDict>,
) -> PyResult<(Bound<'py, PyDict>, Vec<usize>)> {
    let theirs = dict(name, "a saved parameter group", theirs)?;
    let (kept, saved) = (params(name, mine)?, params(name, theirs.as_any())?);
    if kept.len() != saved.len() {
        let counts = format!("{} parameters in the state_dict, {} in the optimizer", saved.len(), kept.len());
        return Err(PyValueError::new_err(format!("{name}: parameter group {index} has {counts}")));
    }
    for key in defaults.keys() {
        if !theirs.contains(&key)? {
            return Err(PyKeyError::new_err(format!("{name}: parameter group {index} of the state_dict lacks {}", key.repr()?)));
        }
    }
    let numbers: Vec<usize> = saved.extract().map_err(|_| PyTypeError::new_err(format!("{name}: 'params' of a saved group are numbers")))?;
    let group = theirs.copy()?;
    group.set_item("params", kept)?;
    // Names belong to the present parameters.
    match dict(name, "a parameter group", mine)?.get_item("param_names")? {
        Some(names) => group.set_item("param_names", names)?,
        None if group.contains("param_names")? => group.del_item("param_names")?,
        None => {}
    }
    Ok((group, numbers))
}

/// The groups with numbers in place of parameters, for saving.
pub fn numbered<'py>(name: &str, groups: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyList>> {
    let (out, mut next) = (PyList::empty(groups.py()), 0);
    for g in groups.iter() {
        let count = params(name, &g)?.len();
        let group = dict(name, "a parameter group", &g)?.copy()?;
        group.set_item("params", (next..next + count).collect::<Vec<usize>>())?;
        next += count;
        out.append(group)?;
    }
    Ok(out)
}

/// All groups, one option per line.
pub fn show(name: &str, groups: &Bound<'_, PyList>) -> PyResult<String> {
    let mut out = format!("{name} (");
    for (i, g) in groups.iter().enumerate() {
        let group = dict(name, "a parameter group", &g)?;
        let _ = write!(out, "\nParameter Group {i}");
        let keys = group.keys();
        keys.sort()?;
        for key in keys.iter().filter(|k| !k.eq("params").unwrap_or(false)) {
            if let Some(value) = group.get_item(&key)? {
                let _ = write!(out, "\n    {}: {}", key.str()?, value.str()?);
            }
        }
        out.push('\n');
    }
    out.push(')');
    Ok(out)
}
