//! Functions that clip gradients: each is one call into the core.
#![allow(clippy::doc_markdown, reason = "the docs of functions are read in Python")]

use std::sync::Arc;

use pyo3::prelude::*;

use super::error::guard;
use super::number::{given, names};
use super::operators::run;
use super::optim_groups as groups;
use super::variable::{PyVariable, wrap};
use crate::array::{Array, alloc_check, size_of};
use crate::error::Result;
use crate::optim::{clip_grad_norm, clip_grad_value, leaf_of};
use crate::tape::Leaf;
use crate::tape::capture::{self, Arrays, Effect, LeafGrad, Place};

/// The leaves of one Variable or of an iterable of Variables. Variables that do not collect gradients are skipped.
fn owners(name: &str, given: &Bound<'_, PyAny>) -> PyResult<Vec<Arc<Leaf>>> {
    let given = if given.cast::<PyVariable>().is_ok() { vec![given.clone()] } else { groups::items(name, given)? };
    let mut out = alloc_check::with_capacity(given.len());
    for p in &given {
        let handle = match p.cast::<PyVariable>() {
            Ok(handle) => handle.get(),
            Err(_) => return Err(groups::no_parameter(name, p)),
        };
        match handle.leaf() {
            Some(leaf) => out.push(leaf),
            None if handle.snapshot().is_tracked() => {
                leaf_of(name, &handle.snapshot())?;
            }
            None => {}
        }
    }
    Ok(out)
}

/// Clipping as a step of a program.
struct Clipping<F> {
    name: String,
    places: Vec<Arc<Leaf>>,
    /// Whether it can fail for some gradients.
    refuses: bool,
    clip: F,
}

impl<F: Fn(&[Arc<Leaf>]) -> Result<Option<Array>> + Send + Sync> Effect for Clipping<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn describe(&self) -> String {
        format!("{} {:?}", self.name, self.places.iter().map(|p| p.id()).collect::<Vec<_>>())
    }

    fn run(&self, _: &[Array]) -> Result<Arrays> {
        Ok((self.clip)(&self.places)?.into_iter().collect())
    }

    fn touches(&self) -> Vec<Arc<dyn Place>> {
        self.places.iter().map(|p| Arc::new(LeafGrad(Arc::clone(p))) as Arc<dyn Place>).collect()
    }

    fn refuses(&self) -> bool {
        self.refuses
    }
}

/// Clips gradients, recorded as an effect while a capture is active.
#[cold]
fn seen(
    name: String,
    refuses: bool,
    places: Vec<Arc<Leaf>>,
    clip: impl Fn(&[Arc<Leaf>]) -> Result<Option<Array>> + Send + Sync + 'static,
) -> Result<Option<Array>> {
    capture::before_effect();
    let out = {
        let _mute = capture::mute();
        clip(&places)?
    };
    let results: Vec<&Array> = out.iter().collect();
    capture::note_effect(|| Arc::new(Clipping { name, places, refuses, clip }), &[], &results);
    Ok(out)
}

/// Scales the gradients of `parameters` so that their norm, all taken together, is at most `max_norm`; returns what it was.
///
/// `parameters` is one Variable or an iterable of some; those without a gradient do not count. The norm is the
/// `norm_type`-norm (inf: the largest absolute value). Longer gradients are multiplied by max_norm / (norm + 1e-6), where
/// they lie and without history. With `error_if_nonfinite` an infinite or NaN norm raises ValueError before anything
/// changes. `Optimizer.step(clip_norm=...)` does the same on the way.
///
/// >>> x = tg.Variable([3.0, 4.0], requires_grad=True)
/// >>> (x * x / 2).sum().backward()
/// >>> tg.nn.utils.clip_grad_norm_([x], max_norm=1.0)
/// Variable(5.)
/// >>> [round(g, 4) for g in x.grad.tolist()]
/// [0.6, 0.8]
#[pyfunction]
#[pyo3(signature = (parameters, max_norm, norm_type = 2.0, error_if_nonfinite = false))]
fn clip_grad_norm_(
    py: Python<'_>,
    parameters: &Bound<'_, PyAny>,
    #[pyo3(from_py_with = given::<names::max_norm, f64>)] max_norm: f64,
    #[pyo3(from_py_with = given::<names::norm_type, f64>)] norm_type: f64,
    #[pyo3(from_py_with = given::<names::error_if_nonfinite, bool>)] error_if_nonfinite: bool,
) -> PyResult<Py<PyAny>> {
    guard("clip_grad_norm_", || {
        let places = owners("clip_grad_norm_", parameters)?;
        let size = places.iter().map(|p| size_of(&p.meta().shape)).sum();
        let clip = move |places: &[Arc<Leaf>]| clip_grad_norm(places, max_norm, norm_type, error_if_nonfinite).map(Some);
        let norm = if capture::is_on() {
            seen(format!("clip_grad_norm_ {max_norm} {norm_type} {error_if_nonfinite}"), error_if_nonfinite, places, clip)?
        } else {
            run(py, size, || clip(&places))?
        };
        Ok(wrap(py, norm.unwrap_or_else(|| Array::scalar(0.0)).into())?.into_any())
    })
}

/// Limits every element of the gradients of `parameters` to [-clip_value, clip_value], where they lie; NaN stays.
///
/// `parameters` is one Variable or an iterable of some; those without a gradient are skipped.
///
/// >>> x = tg.Variable([3.0, -0.5], requires_grad=True)
/// >>> (x * x / 2).sum().backward()
/// >>> tg.nn.utils.clip_grad_value_([x], 1.0)
/// >>> x.grad.tolist()
/// [1.0, -0.5]
#[pyfunction]
fn clip_grad_value_(
    py: Python<'_>,
    parameters: &Bound<'_, PyAny>,
    #[pyo3(from_py_with = given::<names::clip_value, f64>)] clip_value: f64,
) -> PyResult<()> {
    guard("clip_grad_value_", || {
        let places = owners("clip_grad_value_", parameters)?;
        let size = places.iter().map(|p| size_of(&p.meta().shape)).sum();
        if capture::is_on() {
            seen(format!("clip_grad_value_ {clip_value}"), false, places, move |places| clip_grad_value(places, clip_value).map(|()| None))?;
            return Ok(());
        }
        run(py, size, || clip_grad_value(&places, clip_value))
    })
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(clip_grad_norm_, m)?)?;
    m.add_function(wrap_pyfunction!(clip_grad_value_, m)?)
}
