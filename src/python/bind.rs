//! Every operation of the registry as a function of the module and a method of `Variable`, generated from data.
//!
//! A C function has no closure in CPython, so each row of the registry gets its own trampoline. `function::<I>` and `method::<I>` only pass
//! a number to [`call`]. They take their arguments by vectorcall, so no tuple and no dict is built.
#![allow(unsafe_code, reason = "C functions made for the interpreter")]

use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyTypeError;
use pyo3::ffi::{self, Py_ssize_t, PyObject};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyList, PyString, PyTuple};
use smallvec::SmallVec;

use super::arguments::{argument, default_argument, signature};
use super::convert::Beside;
use super::error::{GradError, check_memory, from_panic};
use super::objects;
use super::operators::run_if;
use super::traps;
use super::variable::{PyVariable, wrap};
use super::view;
use crate::ops::half;
use crate::ops::registry::{Arg, Args, Entry, Kind, Param, Value, Views};
use crate::registry;
use crate::tape::Variable;

type Fast = unsafe extern "C" fn(*mut PyObject, *const *mut PyObject, Py_ssize_t, *mut PyObject) -> *mut PyObject;

/// `f::<0>, f::<1>, …` sixteen per row: stable Rust cannot loop over const generics.
macro_rules! rows {
    ($f:ident; $($r:literal)*) => { [$([
        $f::<{ $r * 16 }>, $f::<{ $r * 16 + 1 }>, $f::<{ $r * 16 + 2 }>, $f::<{ $r * 16 + 3 }>,
        $f::<{ $r * 16 + 4 }>, $f::<{ $r * 16 + 5 }>, $f::<{ $r * 16 + 6 }>, $f::<{ $r * 16 + 7 }>,
        $f::<{ $r * 16 + 8 }>, $f::<{ $r * 16 + 9 }>, $f::<{ $r * 16 + 10 }>, $f::<{ $r * 16 + 11 }>,
        $f::<{ $r * 16 + 12 }>, $f::<{ $r * 16 + 13 }>, $f::<{ $r * 16 + 14 }>, $f::<{ $r * 16 + 15 }>,
    ]),*] };
}
const ROWS: usize = 48;
static FUNCTIONS: [[Fast; 16]; ROWS] = rows!(function; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
static METHODS: [[Fast; 16]; ROWS] = rows!(method; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
/// The most parameters an operation may have.
const MAX: usize = 16;

/// A row with interned parameter names. A keyword at a call site is interned, too, so that one comparison of pointers finds it.
struct Row {
    entry: &'static Entry,
    /// Each parameter's name and its alternative name, unless calls with the alternative may be refused ([`traps`]).
    names: Vec<[Option<Py<PyString>>; 2]>,
    /// Number of parameters that can be passed by position.
    positional: usize,
    /// The named tuple class for results with names.
    results: Option<Py<PyAny>>,
}

static TABLE: PyOnceLock<Vec<Row>> = PyOnceLock::new();

unsafe extern "C" fn function<const I: usize>(_: *mut PyObject, args: *const *mut PyObject, n: Py_ssize_t, names: *mut PyObject) -> *mut PyObject {
    // SAFETY: CPython calls us attached and with a valid vector of arguments.
    unsafe { call(I, std::ptr::null_mut(), args, n, names) }
}

unsafe extern "C" fn method<const I: usize>(slf: *mut PyObject, args: *const *mut PyObject, n: Py_ssize_t, names: *mut PyObject) -> *mut PyObject {
    // SAFETY: as for `function`; the method descriptor has checked that `slf` is a Variable.
    unsafe { call(I, slf, args, n, names) }
}

/// The body of all trampolines. Errors and panics become exceptions.
///
/// # Safety
/// Attached; `args` holds `n` positional values, then one for each name in the tuple `names` (or null); `slf` is null or
/// a `Variable`.
unsafe fn call(i: usize, slf: *mut PyObject, args: *const *mut PyObject, n: Py_ssize_t, names: *mut PyObject) -> *mut PyObject {
    Python::attach(|py| {
        let Some(row) = TABLE.get(py).and_then(|t| t.get(i)) else { return std::ptr::null_mut() };
        // SAFETY: passed on from the caller.
        let result = catch_unwind(AssertUnwindSafe(|| unsafe { run(py, row, slf, args, n.cast_unsigned(), names) }));
        match result.unwrap_or_else(|p| Err(from_panic(row.entry.name, p))) {
            Ok(o) => o.into_ptr(),
            Err(e) => {
                e.restore(py);
                std::ptr::null_mut()
            }
        }
    })
}

/// # Safety
/// As for [`call`].
unsafe fn run(py: Python<'_>, row: &Row, slf: *mut PyObject, args: *const *mut PyObject, n: usize, names: *mut PyObject) -> PyResult<Py<PyAny>> {
    let entry = row.entry;
    check_memory(entry.name)?;
    // SAFETY: passed on from the caller.
    let (given, tail) = match unsafe { bind(py, row, slf, args, n, names) } {
        Ok(bound) => bound,
        // SAFETY: passed on from the caller.
        Err(e) => return unsafe { in_other_form(py, row, slf, args, n, names, e) },
    };
    let others = |o: &Bound<'_, PyAny>| {
        let arrays = given.iter().zip(entry.params).filter(|(o, p)| !o.is_null() && p.kind.takes_arrays());
        // SAFETY: non-null slots are borrowed arguments that the interpreter keeps alive during the call.
        let slots = arrays.map(|(o, _)| unsafe { Bound::from_borrowed_ptr(py, *o) });
        let listed = tail.iter().filter(|(at, _)| entry.params[*at].kind.takes_arrays()).map(|(_, all)| all.clone().into_any());
        Beside::among(o, slots.chain(listed))
    };
    let mut bases = Bases::new();
    if entry.views != Views::No {
        // SAFETY: passed on from the caller; non-null slots are borrowed arguments.
        bases = unsafe { bases_of(py, entry, given[0], tail.as_ref())? };
    }
    let mut values: SmallVec<[Arg; 4]> = SmallVec::new();
    for (k, p) in entry.params.iter().enumerate() {
        // SAFETY: slots are null or borrowed arguments that the interpreter keeps alive during the call.
        let value = match (&tail, unsafe { Borrowed::from_ptr_or_opt(py, given[k]) }) {
            (Some((at, t)), _) if *at == k => argument(entry, p, t.as_any(), &others),
            (_, None) => default_argument(entry, p),
            (_, Some(o)) => argument(entry, p, &o, &others),
        };
        match value {
            Ok(value) => values.push(value),
            // SAFETY: passed on from the caller.
            Err(e) => return unsafe { in_other_form(py, row, slf, args, n, names, e) },
        }
    }
    // Lent memory is read while holding the GIL, because its owner may write it whenever another Python thread runs.
    let long = !values.iter().flat_map(variables).any(|v| v.array().is_lent()) && entry.is_long(&values);
    match run_if(
        py,
        long,
        || if half::is_met(entry, &values) { half::call(entry, &mut values) } else { (entry.call)(&Args::new(entry.name, &values)) },
    )? {
        Value::One(v) => handle(py, entry, &bases, &values, 0, v),
        Value::Many(vs) => {
            let handles = vs.into_iter().enumerate().map(|(k, v)| Ok(handle(py, entry, &bases, &values, k, v)?.into_bound(py)));
            let all = objects::tuple(py, handles)?;
            match &row.results {
                Some(class) => class.call1(py, all),
                None => Ok(all.into_any().unbind()),
            }
        }
    }
}

/// The Variables among the arguments whose memory the results may share: one for all results, or one per result.
type Bases<'py> = SmallVec<[Option<Bound<'py, PyVariable>>; 1]>;

/// # Safety
/// `first` is null or a borrowed argument.
unsafe fn bases_of<'py>(py: Python<'py>, entry: &Entry, first: *mut PyObject, tail: Option<&(usize, Bound<'py, PyTuple>)>) -> PyResult<Bases<'py>> {
    let variable = |o: &Bound<'py, PyAny>| {
        let v = o.cast::<PyVariable>().ok()?;
        v.get().lay_out();
        Some(v.clone())
    };
    // SAFETY: passed on from the caller.
    let first = unsafe { Bound::from_borrowed_ptr_or_opt(py, first) };
    if entry.params[0].kind != Kind::Each {
        return Ok(first.iter().map(variable).collect());
    }
    match tail {
        Some((_, all)) => Ok(all.iter().map(|o| variable(&o)).collect()),
        None => match first {
            Some(all) => all.try_iter()?.map(|o| Ok(variable(&o?))).collect(),
            None => Ok(Bases::new()),
        },
    }
}

/// The handle of result `k`: a view of the Variable whose memory it shares.
#[inline]
fn handle(py: Python<'_>, entry: &Entry, bases: &Bases<'_>, values: &[Arg], k: usize, v: Variable) -> PyResult<Py<PyAny>> {
    let (base, seen) = match (bases.get(if bases.len() == 1 { 0 } else { k }), values) {
        (Some(Some(base)), [Arg::Variable(seen), ..]) => (base, seen),
        (Some(Some(base)), [Arg::Variables(all)]) if k < all.len() => (base, &all[k]),
        _ => return wrap(py, own(entry, v)),
    };
    if v.is_tracked() && v.edge().key() == seen.edge().key() {
        return Ok(base.clone().into_any().unbind()); // the result is the operand itself
    }
    Ok(Py::new(py, view::link(base, seen, v, entry.views == Views::ReadOnly, false))?.into_any())
}

/// A result that is not a view is copied if its memory is lent: an operation may return its operand, and the owner of lent memory may write
/// it later.
#[inline]
fn own(entry: &Entry, v: Variable) -> Variable {
    if v.array().is_lent() && entry.views == Views::No { v.pooled() } else { v }
}

/// The arrays of an argument.
fn variables(arg: &Arg) -> &[Variable] {
    match arg {
        Arg::Variable(v) => std::slice::from_ref(v),
        Arg::Variables(vs) => vs,
        _ => &[],
    }
}

type Tail<'py> = Option<(usize, Bound<'py, PyTuple>)>;

/// Assigns arguments to parameters: borrowed pointers, null for missing ones. Ints beyond the last parameter, as in `x.reshape(2, 3)`, are
/// collected in a tuple for it.
///
/// # Safety
/// As for [`call`].
unsafe fn bind<'py>(
    py: Python<'py>,
    row: &Row,
    slf: *mut PyObject,
    args: *const *mut PyObject,
    n: usize,
    names: *mut PyObject,
) -> PyResult<([*mut PyObject; MAX], Tail<'py>)> {
    let entry = row.entry;
    let mut given = [std::ptr::null_mut(); MAX];
    let first = usize::from(!slf.is_null());
    given[0] = slf;
    let mut tail = None;
    let mut taken = n;
    let each = entry.params.iter().position(|p| p.kind == Kind::Each);
    // SAFETY: `n` positional arguments.
    let argument = |k: usize| unsafe { Bound::from_borrowed_ptr(py, *args.add(k)) };
    let is_listed = |at: usize| n == at + 1 && (argument(at).cast::<PyList>().is_ok() || argument(at).cast::<PyTuple>().is_ok());
    if let Some(at) = each.filter(|&at| n >= at && !is_listed(at)) {
        tail = Some((at, PyTuple::new(py, (at..n).map(argument))?));
        taken = at;
    } else if first + n > row.positional {
        let last = row.positional.saturating_sub(1);
        let variadic = first == 1 && last >= 1 && matches!(entry.params[last].kind, Kind::Ints | Kind::Axes);
        if !variadic {
            return Err(too_many(entry, row.positional - first, n));
        }
        // SAFETY: positional arguments from `last` on.
        let rest: Vec<Bound<'py, PyAny>> = (last - first..n).map(|k| unsafe { Bound::from_borrowed_ptr(py, *args.add(k)) }).collect();
        if !rest.iter().all(|o| o.cast::<PyInt>().is_ok()) {
            return Err(too_many(entry, row.positional - first, n));
        }
        tail = Some((last, PyTuple::new(py, rest)?));
        taken = last - first;
    }
    for k in 0..taken {
        // SAFETY: k < n positional arguments.
        given[first + k] = unsafe { *args.add(k) };
    }
    if !names.is_null() {
        // SAFETY: `names` is null or a tuple of str.
        let names = unsafe { Borrowed::from_ptr(py, names).cast_unchecked::<PyTuple>() };
        for (j, key) in names.iter_borrowed().enumerate() {
            let k = position(row, &key, names)?;
            if !given[k].is_null() || tail.as_ref().is_some_and(|(at, _)| *at == k) {
                return Err(PyTypeError::new_err(format!("{}() got multiple values for argument '{}'", entry.name, entry.params[k].name)));
            }
            // SAFETY: a value follows the positional ones for every name.
            given[k] = unsafe { *args.add(n + j) };
        }
    }
    Ok((given, tail))
}

/// Runs a call with arguments that NumPy's or PyTorch's function of this name accepts and ours does not, such as `where=`, `out=`, `add(x,
/// y, alpha=2)` or `max(x, y)`. Any other call fails with the error `e`.
///
/// # Safety
/// As for [`call`].
#[cold]
unsafe fn in_other_form(
    py: Python<'_>,
    row: &Row,
    slf: *mut PyObject,
    args: *const *mut PyObject,
    n: usize,
    names: *mut PyObject,
    e: PyErr,
) -> PyResult<Py<PyAny>> {
    let is_error_of_a_call = e.is_instance_of::<PyTypeError>(py) || e.is_instance_of::<GradError>(py);
    if !is_error_of_a_call {
        return Err(e);
    }
    // SAFETY: null or a borrowed tuple of str.
    let names = unsafe { Bound::from_borrowed_ptr_or_opt(py, names) };
    let names = names.and_then(|names| names.cast_into::<PyTuple>().ok()).unwrap_or_else(|| PyTuple::empty(py));
    let keys: Vec<String> = names.iter().map(|k| k.to_string()).collect();
    let is_known = |key: &String| row.entry.params.iter().any(|p| p.name == *key || p.alias == Some(key.as_str()));
    if keys.iter().all(is_known) && !traps::has_form_by_position(row.entry.name)
        || keys.iter().any(|key| traps::advice(row.entry.name, key, &keys).is_some())
    {
        return Err(e);
    }
    // SAFETY: `n` positional arguments, and one for each name behind them.
    let argument = |k: usize| unsafe { Bound::from_borrowed_ptr(py, *args.add(k)) };
    // SAFETY: null or a Variable.
    let first = unsafe { Bound::from_borrowed_ptr_or_opt(py, slf) };
    let all: Vec<Bound<'_, PyAny>> = first.into_iter().chain((0..n).map(argument)).collect();
    let options = PyDict::new(py);
    for (j, key) in names.iter().enumerate() {
        options.set_item(key, argument(n + j))?;
    }
    let found = py.import("tapegrad._function")?.call_method1("with_keywords", (row.entry.path(), PyTuple::new(py, all)?, options))?;
    if found.is(py.NotImplemented()) { Err(e) } else { Ok(found.unbind()) }
}

/// The index of the parameter `key`; `all` are the keywords of the call.
fn position(row: &Row, key: &Bound<'_, PyAny>, all: Borrowed<'_, '_, PyTuple>) -> PyResult<usize> {
    let same = |n: &Option<Py<PyString>>| n.as_ref().is_some_and(|n| n.as_ptr() == key.as_ptr());
    if let Some(k) = row.names.iter().position(|names| names.iter().any(same)) {
        return Ok(k);
    }
    // Names that are made at run time are not interned, and some names mean something else in PyTorch.
    let text = key.str()?.to_string();
    let keys: Vec<String> = all.iter().map(|k| k.to_string()).collect();
    if let Some(advice) = traps::advice(row.entry.name, &text, &keys) {
        return Err(PyTypeError::new_err(format!("{}({text}=): {advice}", row.entry.name)));
    }
    let found = row.entry.params.iter().position(|p| p.name == text || p.alias == Some(text.as_str()));
    found.ok_or_else(|| {
        PyTypeError::new_err(format!("{}() got an unexpected keyword argument '{text}'; its signature is {}", row.entry.name, signature(row.entry)))
    })
}

#[cold]
fn too_many(entry: &Entry, most: usize, n: usize) -> PyErr {
    PyTypeError::new_err(format!("{}() takes at most {most} positional arguments, {n} were given; its signature is {}", entry.name, signature(entry)))
}

/// `name(x, axis=None)\n--\n\ndoc`: CPython cuts the first line off into `__text_signature__`, which `help` reads.
fn doc(name: &str, entry: &Entry, method: bool) -> CString {
    let mut parts: Vec<String> = vec![if method { "$self" } else { "$module" }.to_owned(), "/".to_owned()];
    let mut star = false;
    for p in &entry.params[usize::from(method)..] {
        if p.keyword_only && !star {
            parts.push("*".to_owned());
        }
        star |= p.keyword_only || p.kind == Kind::Each;
        parts.push(super::arguments::show_param(p));
    }
    // An optional parameter's alternative name is keyword-only.
    let aliases: Vec<String> = entry.params[usize::from(method)..].iter().filter_map(super::arguments::show_alias).collect();
    if !aliases.is_empty() && !star {
        parts.push("*".to_owned());
    }
    parts.extend(aliases);
    let text = format!("{name}({})\n--\n\n{}", parts.join(", "), entry.doc);
    CString::new(text.replace('\0', "")).unwrap_or_default()
}

/// A method definition that lives as long as the process, as CPython requires.
fn leak(name: &str, entry: &Entry, f: Fast, method: bool) -> *mut ffi::PyMethodDef {
    Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: CString::new(name).unwrap_or_default().into_raw(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: f },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: doc(name, entry, method).into_raw(),
    }))
}

/// A named tuple for the results of an operation, if they have names: `UniqueAllResult`. It is an attribute of the module, so that it can
/// be pickled.
fn named_results(m: &Bound<'_, PyModule>, entry: &Entry) -> PyResult<Option<Py<PyAny>>> {
    if entry.results.is_empty() {
        return Ok(None);
    }
    let words = entry.name.split('_').map(|w| w.chars().take(1).flat_map(char::to_uppercase).chain(w.chars().skip(1)).collect::<String>());
    let name = format!("{}Result", words.collect::<String>());
    let class = m.py().import("collections")?.call_method1("namedtuple", (&name, entry.results.to_vec()))?;
    class.setattr("__module__", "tapegrad._core")?;
    m.setattr(name.as_str(), &class)?;
    Ok(Some(class.unbind()))
}

/// Whether the caller has the only reference to an object.
pub fn is_held_once<T>(o: &Bound<'_, T>) -> bool {
    // SAFETY: attached, as there is a `Bound`, whose object is alive.
    unsafe { ffi::Py_REFCNT(o.as_ptr()) == 1 }
}

/// Adds every operation to the module and to the class.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    let table = TABLE.get_or_init(py, || {
        let intern = |name: &str| PyString::intern(py, name).unbind();
        let second = |entry: &Entry, p: &Param| p.alias.filter(|name| traps::advice(entry.name, name, &[]).is_none()).map(intern);
        registry::entries()
            .map(|entry| Row {
                entry,
                names: entry.params.iter().map(|p| [Some(intern(p.name)), second(entry, p)]).collect(),
                positional: entry.params.iter().filter(|p| !p.keyword_only).count(),
                results: named_results(m, entry).ok().flatten(),
            })
            .collect()
    });
    let class = py.get_type::<PyVariable>();
    let functions = PyDict::new(py);
    m.add("_functions", &functions)?;
    for (i, row) in table.iter().enumerate() {
        let entry = row.entry;
        let (Some(function), Some(method)) = (FUNCTIONS.get(i / 16), METHODS.get(i / 16)) else {
            return Err(PyTypeError::new_err("more operations than trampolines: add a row in bind.rs"));
        };
        if entry.params.len() > MAX {
            return Err(PyTypeError::new_err(format!("{}: more than {MAX} parameters", entry.name)));
        }
        let home = PyString::new(py, &if entry.module.is_empty() { "tapegrad".to_owned() } else { format!("tapegrad.{}", entry.module) });
        for name in std::iter::once(&entry.name).chain(entry.aliases) {
            if entry.function {
                // SAFETY: the definition is leaked, so it outlives the function; its type is what its flags say.
                let f = unsafe {
                    let d = leak(name, entry, function[i % 16], false);
                    Bound::from_owned_ptr_or_err(py, ffi::PyCFunction_NewEx(d, m.as_ptr(), home.as_ptr()))?
                };
                functions.set_item(Entry { name, ..*entry }.path(), &f)?;
                if entry.module.is_empty() {
                    m.add(*name, f)?;
                }
            }
            if entry.method && !class.hasattr(*name)? {
                // SAFETY: as above; `class` is a ready type, so the descriptor may refer to it.
                let d = unsafe {
                    let d = leak(name, entry, method[i % 16], true);
                    Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class.as_type_ptr(), d))?
                };
                class.setattr(*name, d)?;
            }
        }
    }
    m.add_function(wrap_pyfunction!(super::arguments::registry_rows, m)?)?;
    m.add_function(wrap_pyfunction!(super::arguments::samples, m)?)?;
    Ok(())
}
