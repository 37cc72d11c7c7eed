//! Converts Python values to arguments, by the kinds of the parameters; and exposes rows of the registry as Python data.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyString, PyTuple};
use smallvec::SmallVec;

use super::convert::{self, Beside, Value};
use super::describe::{describe, in_operation, too_large};
use super::dtype::{self, PyDType};
use super::number::{holds_tracked, int, ints, refuse_tracked, tracked_number};
use super::variable::{PyVariable, wrap};
use crate::array::{MAX_NDIM, Scalar, alloc_check};
use crate::ops::registry::{Arg, Default, Entry, Gradient, Kind, Param, Sample};
use crate::ops::spatial::KEEP;
use crate::registry;

#[cold]
fn wrong(entry: &Entry, p: &Param, o: &Bound<'_, PyAny>, want: &str) -> PyErr {
    let takes_numbers = !p.kind.takes_arrays() && p.kind != Kind::Text;
    if takes_numbers && holds_tracked(o) {
        return tracked_number(entry.name, p.name, want);
    }
    if takes_ints(p.kind)
        && let Some(e) = too_large(entry.name, p.name, o)
    {
        return e;
    }
    let after_arrays = entry.params.first().is_some_and(|first| first.kind == Kind::Arrays) && takes_numbers && convert::is_array(o);
    let fix = if after_arrays { format!("; the arrays are one list, as in {}([a, b])", entry.name) } else { String::new() };
    PyTypeError::new_err(format!("{}(): argument '{}' must be {want}, not {}{fix}", entry.name, p.name, describe(o)))
}

fn takes_ints(kind: Kind) -> bool {
    matches!(kind, Kind::Int | Kind::OptInt | Kind::Axes | Kind::Ints | Kind::Sections)
}

/// The error for a string that is not among the parameter's choices.
#[cold]
fn no_choice(entry: &Entry, p: &Param, text: &str) -> PyErr {
    PyValueError::new_err(format!("{}: {} is '{text}', expected {}", entry.name, p.name, show_choices(p.choices)))
}

/// `'none', 'mean' or 'sum'`.
pub fn show_choices(choices: &[&str]) -> String {
    match choices.split_last() {
        Some((last, [])) => format!("'{last}'"),
        Some((last, others)) => format!("{} or '{last}'", others.iter().map(|c| format!("'{c}'")).collect::<Vec<_>>().join(", ")),
        None => "a string".to_owned(),
    }
}

/// The argument for `p` when it is not passed.
pub fn default_argument(entry: &Entry, p: &Param) -> PyResult<Arg> {
    Ok(match p.default {
        Default::None => Arg::None,
        Default::Float(x) => Arg::Float(x),
        Default::Int(i) => Arg::Int(i),
        Default::Bool(b) => Arg::Bool(b),
        Default::Text(t) => Arg::Text(t.to_owned()),
        Default::Required => {
            return Err(PyTypeError::new_err(format!(
                "{}() missing required argument '{}'; its signature is {}",
                entry.name,
                p.name,
                signature(entry)
            )));
        }
    })
}

/// Converts `o` to the argument for `p`. `others` finds the arrays of the same call.
pub fn argument(entry: &Entry, p: &Param, o: &Bound<'_, PyAny>, others: Others<'_>) -> PyResult<Arg> {
    match p.kind {
        Kind::OptArray | Kind::OptInt | Kind::OptFloat if o.is_none() => Ok(Arg::None),
        Kind::Array | Kind::OptArray => array(entry, p, o, others),
        _ if o.is_none() && p.default == Default::None => Ok(Arg::None),
        Kind::Arrays | Kind::Each => arrays(entry, p, o, others),
        Kind::Float | Kind::OptFloat => float(entry, p, o).map(Arg::Float),
        Kind::Int | Kind::OptInt => int(o)?
            .map(|i| Arg::Int(i as i64))
            .ok_or_else(|| wrong(entry, p, o, if p.kind == Kind::OptInt || p.default == Default::None { "an int or None" } else { "an int" })),
        Kind::Bool => {
            if let Ok(b) = o.cast::<PyBool>() {
                return Ok(Arg::Bool(b.is_true()));
            }
            // NumPy's bool is not a subclass of Python's.
            if o.get_type().name()?.to_string().starts_with("bool") { Ok(Arg::Bool(o.is_truthy()?)) } else { Err(wrong(entry, p, o, "a bool")) }
        }
        Kind::Axes | Kind::Ints => match ints(o)? {
            // `repeats` has one number per element; all other lists have one per axis.
            Some(all) if all.len() > MAX_NDIM && p.name != "repeats" => Err(PyValueError::new_err(format!(
                "{}(): argument '{}' has {} entries; an array has at most {MAX_NDIM} axes",
                entry.name,
                p.name,
                all.len()
            ))),
            Some(all) => Ok(Arg::Ints(all)),
            None => Err(wrong(entry, p, o, if p.kind == Kind::Axes { "None, an int or a tuple of ints" } else { "an int or a tuple of ints" })),
        },
        // A number of parts and a list of positions are different things, so an int stays an int.
        Kind::Sections => match int(o)? {
            Some(n) => Ok(Arg::Int(n as i64)),
            None => ints(o)?.map(Arg::Ints).ok_or_else(|| wrong(entry, p, o, "a number of parts or a list of places")),
        },
        Kind::Sizes => sizes(o)?.map(Arg::Ints).ok_or_else(|| wrong(entry, p, o, "an int or a tuple of ints and None")),
        Kind::Floats => floats(entry, p, o),
        Kind::Padding => match o.cast::<PyString>() {
            Ok(s) => Ok(Arg::Text(s.to_string())),
            Err(_) => ints(o)?.map(Arg::Ints).ok_or_else(|| wrong(entry, p, o, "an int, a tuple of ints or a string")),
        },
        Kind::DType => dtype::extract(o).map(Arg::DType),
        Kind::Device => dtype::check_device(entry.name, Some(o)).map(|()| Arg::None),
        Kind::Text => match o.cast::<PyString>() {
            Ok(s) => {
                let text = s.to_string();
                if p.choices.is_empty() || p.choices.contains(&&*text) { Ok(Arg::Text(text)) } else { Err(no_choice(entry, p, &text)) }
            }
            Err(_) => Err(wrong(entry, p, o, &show_choices(p.choices))),
        },
        Kind::Index => super::index::items(o).map(Arg::Index),
    }
}

/// An int or a sequence of ints, where None keeps a size.
fn sizes(o: &Bound<'_, PyAny>) -> PyResult<Option<SmallVec<[isize; 4]>>> {
    if let Some(all) = ints(o)? {
        return Ok(Some(all));
    }
    let (Ok(items), false) = (o.try_iter(), o.is_instance_of::<PyString>()) else { return Ok(None) };
    let mut out = SmallVec::new();
    for item in items {
        let item = item?;
        match if item.is_none() { Some(KEEP) } else { int(&item)? } {
            Some(n) => out.push(n),
            None => return Ok(None),
        }
    }
    Ok(Some(out))
}

/// A float or a sequence of floats.
fn floats(entry: &Entry, p: &Param, o: &Bound<'_, PyAny>) -> PyResult<Arg> {
    if o.is_instance_of::<PyTuple>() || o.is_instance_of::<PyList>() {
        return o.try_iter()?.map(|x| float(entry, p, &x?)).collect::<PyResult<SmallVec<[f64; 3]>>>().map(Arg::Floats);
    }
    float(entry, p, o).map(|x| Arg::Floats(SmallVec::from_slice(&[x])))
}

fn float(entry: &Entry, p: &Param, o: &Bound<'_, PyAny>) -> PyResult<f64> {
    if let Ok(x) = o.cast_exact::<PyFloat>() {
        return Ok(x.value());
    }
    refuse_tracked(entry.name, p.name, o)?;
    match o.extract::<f64>() {
        Ok(x) => Ok(x),
        Err(e) if e.is_instance_of::<PyTypeError>(o.py()) => Err(wrong(entry, p, o, "a float")),
        Err(e) => Err(e),
    }
}

/// Finds the arrays of a call other than one of its arguments.
pub type Others<'a> = &'a dyn Fn(&Bound<'_, PyAny>) -> Beside;

fn array(entry: &Entry, p: &Param, o: &Bound<'_, PyAny>, others: Others<'_>) -> PyResult<Arg> {
    if let Ok(v) = o.cast_exact::<PyVariable>() {
        return Ok(Arg::Variable(v.get().snapshot()));
    }
    if let Some(s) = convert::scalar(o)? {
        return Ok(Arg::Scalar(s));
    }
    match convert::other_operand(o, &|| others(o)).map_err(|e| in_operation(o.py(), &format!("{}(): argument '{}'", entry.name, p.name), e))? {
        Some(Value::Variable(v)) => Ok(Arg::Variable(v)),
        Some(Value::Scalar(s)) => Ok(Arg::Scalar(s)),
        None => Err(wrong(entry, p, o, "an array or a number")),
    }
}

fn arrays(entry: &Entry, p: &Param, o: &Bound<'_, PyAny>, others: Others<'_>) -> PyResult<Arg> {
    if let Ok(v) = o.cast::<PyVariable>()
        && v.get().snapshot().ndim() == 0
    {
        return Err(wrong(entry, p, o, "a sequence of arrays"));
    }
    let items = match o.try_iter() {
        Ok(items) => alloc_check::try_collect(items)?,
        Err(e) if e.is_instance_of::<PyTypeError>(o.py()) => return Err(wrong(entry, p, o, "a sequence of arrays")),
        Err(e) => return Err(e),
    };
    let beside = std::cell::OnceCell::new();
    let all = items.iter().map(|x| {
        Ok::<_, PyErr>(match array(entry, p, x, &|x| others(o).and(&Beside::among(x, items.iter().cloned())))? {
            Arg::Variable(v) => v,
            Arg::Scalar(s) => beside.get_or_init(|| others(o).and(&Beside::all(items.iter().cloned()))).array(s),
            _ => unreachable!("array() gives an array or a number"),
        })
    });
    Ok(Arg::Variables(alloc_check::try_collect(all)?))
}

fn show_float(x: f64) -> String {
    if x.is_infinite() { format!("float(\"{}inf\")", if x < 0.0 { "-" } else { "" }) } else { format!("{x:?}") }
}

fn show_default(d: Default) -> Option<String> {
    Some(match d {
        Default::Required => return None,
        Default::None => "None".to_owned(),
        Default::Float(x) => show_float(x),
        Default::Int(i) => i.to_string(),
        Default::Bool(b) => if b { "True" } else { "False" }.to_owned(),
        Default::Text(t) => format!("'{t}'"),
    })
}

/// A parameter as written in a signature.
pub fn show_param(p: &Param) -> String {
    if p.kind == Kind::Each {
        return format!("*{}", p.name);
    }
    show_default(p.default).map_or_else(|| p.name.to_owned(), |d| format!("{}={d}", p.name))
}

/// The alternative name of an optional parameter, as written in a signature.
pub fn show_alias(p: &Param) -> Option<String> {
    Some(format!("{}={}", p.alias?, show_default(p.default)?))
}

/// The signature of an operation, for messages.
pub fn signature(entry: &Entry) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (i, p) in entry.params.iter().enumerate() {
        if p.keyword_only && (i == 0 || !(entry.params[i - 1].keyword_only || entry.params[i - 1].kind == Kind::Each)) {
            parts.push("*".to_owned());
        }
        parts.push(show_param(p));
    }
    format!("{}({})", entry.name, parts.join(", "))
}

fn row<'py>(py: Python<'py>, e: &Entry) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    d.set_item("name", e.name)?;
    d.set_item("aliases", e.aliases.to_vec())?;
    d.set_item("doc", e.doc)?;
    let params: Vec<Bound<'py, PyDict>> = e
        .params
        .iter()
        .map(|p| {
            let d = PyDict::new(py);
            d.set_item("name", p.name)?;
            d.set_item("kind", format!("{:?}", p.kind))?;
            d.set_item("default", show_default(p.default))?;
            d.set_item("alias", p.alias)?;
            d.set_item("keyword_only", p.keyword_only)?;
            d.set_item("choices", p.choices.to_vec())?;
            Ok(d)
        })
        .collect::<PyResult<_>>()?;
    d.set_item("params", params)?;
    let (kind, text) = match e.gradient {
        Gradient::Rule(t) => ("rule", t),
        Gradient::Composite(t) => ("composite", t),
        Gradient::None => ("none", ""),
    };
    d.set_item("differentiable", kind)?;
    d.set_item("gradient", text)?;
    d.set_item("linear", e.linear)?;
    d.set_item("results", e.results.to_vec())?;
    d.set_item("module", e.module)?;
    d.set_item("path", e.path())?;
    d.set_item("function", e.function)?;
    d.set_item("method", e.method)?;
    Ok(d)
}

/// The rows of the registry as dicts, from which stubs, docs and tests are made.
#[pyfunction]
#[pyo3(name = "registry")]
pub fn registry_rows(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    registry::entries().map(|e| row(py, e)).collect()
}

/// The sample calls of an operation: a list of tuples with one value per parameter.
#[pyfunction]
pub fn samples<'py>(py: Python<'py>, name: &str) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    let entry = registry::find(name).ok_or_else(|| PyValueError::new_err(format!("there is no operation {name}")))?;
    let one = |sample: &Sample| {
        let mut args = sample.args.iter().map(|a| python(py, a)).collect::<PyResult<Vec<_>>>()?;
        // Samples do not include the device.
        args.resize_with(entry.params.len().max(args.len()), || py.None());
        PyTuple::new(py, args)
    };
    (entry.samples)().iter().map(one).collect()
}

fn python(py: Python<'_>, a: &Arg) -> PyResult<Py<PyAny>> {
    let any = |o: Bound<'_, PyAny>| o.unbind();
    Ok(match a {
        Arg::None => py.None(),
        Arg::Variable(v) => wrap(py, v.clone())?,
        Arg::Scalar(Scalar::Float(x)) | Arg::Float(x) => any(PyFloat::new(py, *x).into_any()),
        Arg::Scalar(Scalar::Int(i)) | Arg::Int(i) => any(i.into_pyobject(py)?.into_any()),
        Arg::Scalar(Scalar::UInt(i)) => any(i.into_pyobject(py)?.into_any()),
        Arg::Scalar(Scalar::Complex(z)) => any(super::objects::complex(py, z.re, z.im)?),
        Arg::Scalar(Scalar::Bool(b)) | Arg::Bool(b) => any(PyBool::new(py, *b).to_owned().into_any()),
        Arg::Variables(vs) => {
            let items: Vec<Py<PyAny>> = vs.iter().map(|v| wrap(py, v.clone())).collect::<PyResult<_>>()?;
            any(PyList::new(py, items)?.into_any())
        }
        Arg::Ints(v) if v.len() == 1 => any(v[0].into_pyobject(py)?.into_any()),
        Arg::Ints(v) => any(PyTuple::new(py, v.iter())?.into_any()),
        Arg::Floats(v) => any(PyTuple::new(py, v.iter())?.into_any()),
        Arg::DType(d) => any(Bound::new(py, PyDType(*d))?.into_any()),
        Arg::Text(t) => any(PyString::new(py, t).into_any()),
        Arg::Index(items) => any(PyTuple::new(py, items.iter().map(|i| super::index::python(py, i)).collect::<PyResult<Vec<_>>>()?)?.into_any()),
    })
}
