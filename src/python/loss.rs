//! Losses as classes: options that are kept, and a call of the function of that name.

use std::sync::LazyLock;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use smallvec::SmallVec;

use super::arguments::{Others, argument};
use super::convert::Beside;
use super::error::guard;
use super::number::{self, Number, names};
use super::operators::run_if;
use super::variable::wrap;
use crate::loss::Reduction;
use crate::ops::registry::{Arg, Args, Entry, Value};
use crate::registry;

/// The row of the function behind a class.
fn row(name: &str) -> &'static Entry {
    registry::find(name).unwrap_or_else(|| unreachable!("the registry has all losses"))
}

/// Calls the function behind a class; `options` holds all its parameters but the first two.
fn call(entry: &'static Entry, input: &Bound<'_, PyAny>, target: &Bound<'_, PyAny>, options: &Bound<'_, PyDict>) -> PyResult<Py<PyAny>> {
    let py = input.py();
    guard(entry.name, || {
        let mut values: SmallVec<[Arg; 6]> = SmallVec::new();
        let others: Others<'_> = &|o| Beside::among(o, [input, target].into_iter().cloned());
        for (k, p) in entry.params.iter().enumerate() {
            values.push(match k {
                0 => argument(entry, p, input, others)?,
                1 => argument(entry, p, target, others)?,
                _ => argument(entry, p, &options.as_any().get_item(p.name)?, others)?,
            });
        }
        let lent = values.iter().any(|a| if let Arg::Variable(v) = a { v.array().is_lent() } else { false });
        match run_if(py, !lent && entry.is_long(&values), || (entry.call)(&Args::new(entry.name, &values)))? {
            Value::One(v) => wrap(py, v),
            Value::Many(_) => unreachable!("a loss has one value"),
        }
    })
}

/// An array option: whatever can become an array, kept as a Variable.
fn kept(o: Option<Bound<'_, PyAny>>) -> PyResult<Option<Py<PyAny>>> {
    let Some(o) = o.filter(|o| !o.is_none()) else { return Ok(None) };
    Ok(Some(o.py().import("tapegrad._core")?.getattr("asarray")?.call1((o,))?.unbind()))
}

/// `Name(option=value, …)`, without arrays that are not there.
fn show(name: &str, options: &Bound<'_, PyDict>) -> PyResult<String> {
    let parts = options.iter().filter(|(_, v)| !v.is_none()).map(|(k, v)| Ok(format!("{k}={}", v.repr()?)));
    Ok(format!("{name}({})", parts.collect::<PyResult<Vec<_>>>()?.join(", ")))
}

/// A class: its doc, its name, its function, its arrays, its other options, its signature.
macro_rules! loss {
    ($(#[doc = $doc:literal])+ $name:ident = $function:literal [$($array:ident),*] {$reduction:ident $(, $option:ident: $ty:ty)*} $signature:tt) => {
        $(#[doc = $doc])+
        #[pyclass(subclass, weakref, module = "tapegrad.nn")]
        pub struct $name {
            $(#[pyo3(get)] $array: Option<Py<PyAny>>,)*
            #[pyo3(get, set)]
            $reduction: String,
            $(#[pyo3(get, set)] $option: Number<names::$option, $ty>,)*
        }

        #[pymethods]
        impl $name {
            #[new]
            #[pyo3(signature = $signature)]
            fn new(
                $($array: Option<Bound<'_, PyAny>>,)*
                $reduction: String
                $(, #[pyo3(from_py_with = number::given::<names::$option, $ty>)] $option: $ty)*
            ) -> PyResult<Self> {
                Reduction::parse(stringify!($name), &$reduction)?;
                Ok(Self { $($array: kept($array)?,)* $reduction $(, $option: Number::new($option))* })
            }

            fn options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
                let d = PyDict::new(py);
                $(d.set_item(stringify!($array), &self.$array)?;)*
                d.set_item(stringify!($reduction), &self.$reduction)?;
                $(d.set_item(stringify!($option), &self.$option)?;)*
                Ok(d)
            }

            /// The loss of `input` against `target`.
            fn forward(&self, input: &Bound<'_, PyAny>, target: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
                static ROW: LazyLock<&Entry> = LazyLock::new(|| row($function));
                call(*ROW, input, target, &self.options(input.py())?)
            }

            fn __call__(&self, input: &Bound<'_, PyAny>, target: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
                self.forward(input, target)
            }

            fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
                let name = slf.get_type().name()?.to_string();
                show(&name, &slf.borrow().options(slf.py())?)
            }

            #[allow(unused_variables, reason = "most losses hold no arrays")]
            fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
                $(visit.call(&self.$array)?;)*
                Ok(())
            }
        }
    };
}

loss! {
    /// Mean squared error: the mean (or sum) of (input - target)², for equal shapes.
    ///
    /// >>> tg.nn.MSELoss()(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 4.0]))
    /// Variable(2.)
    MSELoss = "mse_loss" [] { reduction } (*, reduction = "mean".to_owned())
}

loss! {
    /// Mean absolute error: the mean (or sum) of |input - target|, for equal shapes.
    ///
    /// >>> tg.nn.L1Loss(reduction="sum")(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 4.0]))
    /// Variable(2.)
    L1Loss = "l1_loss" [] { reduction } (*, reduction = "mean".to_owned())
}

loss! {
    /// Huber's loss: d²/2 where |d| <= delta, delta (|d| - delta/2) elsewhere, d = input - target.
    ///
    /// >>> tg.nn.HuberLoss(reduction="none")(tg.Variable([1.0, 2.0]), tg.Variable([2.0, 5.0]))
    /// Variable([0.5, 2.5])
    HuberLoss = "huber_loss" [] { reduction, delta: f64 } (reduction = "mean".to_owned(), delta = 1.0)
}

loss! {
    /// Smooth absolute error: d²/(2 beta) where |d| < beta, |d| - beta/2 elsewhere, d = input - target.
    ///
    /// >>> tg.nn.SmoothL1Loss(reduction="none")(tg.Variable([1.0, 2.0]), tg.Variable([2.0, 5.0]))
    /// Variable([0.5, 2.5])
    SmoothL1Loss = "smooth_l1_loss" [] { reduction, beta: f64 } (*, reduction = "mean".to_owned(), beta = 1.0)
}

loss! {
    /// Cross-entropy of logits, whose classes lie on axis 1, against class indices or class probabilities.
    ///
    /// `weight` holds one weight for each class; targets equal to `ignore_index` do not count; `label_smoothing` is the
    /// share of a target that is spread over all classes. See `nn.functional.cross_entropy`.
    ///
    /// >>> tg.nn.CrossEntropyLoss(reduction="sum")(tg.Variable([[0.0, 0.0], [1e4, -1e4]]), tg.Variable([1, 0]))
    /// Variable(0.6931472)
    CrossEntropyLoss = "cross_entropy" [weight] { reduction, ignore_index: i64, label_smoothing: f64 }
        (weight = None, *, reduction = "mean".to_owned(), ignore_index = -100, label_smoothing = 0.0)
}

loss! {
    /// Negative log-likelihood of an input that holds logarithms of class probabilities on axis 1.
    ///
    /// >>> tg.nn.NLLLoss()(tg.Variable([[-0.5, -1.5], [-2.0, -0.25]]), tg.Variable([0, 1]))
    /// Variable(0.375)
    NLLLoss = "nll_loss" [weight] { reduction, ignore_index: i64 }
        (weight = None, *, reduction = "mean".to_owned(), ignore_index = -100)
}

loss! {
    /// Cross-entropy of probabilities of yes or no; `weight` broadcasts to the input.
    ///
    /// >>> tg.nn.BCELoss()(tg.Variable([0.5, 0.5]), tg.Variable([0.0, 1.0]))
    /// Variable(0.6931472)
    BCELoss = "binary_cross_entropy" [weight] { reduction } (weight = None, *, reduction = "mean".to_owned())
}

loss! {
    /// Cross-entropy of logits of yes or no, exact for any logit; `weight`, and `pos_weight` of the positive class,
    /// broadcast to the input.
    ///
    /// >>> tg.nn.BCEWithLogitsLoss(reduction="none")(tg.Variable([0.0, 100.0]), tg.Variable([1.0, 0.0]))
    /// Variable([  0.6931472, 100.       ])
    BCEWithLogitsLoss = "binary_cross_entropy_with_logits" [weight, pos_weight] { reduction }
        (weight = None, pos_weight = None, *, reduction = "mean".to_owned())
}

/// Puts the classes on the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<MSELoss>()?;
    m.add_class::<L1Loss>()?;
    m.add_class::<HuberLoss>()?;
    m.add_class::<SmoothL1Loss>()?;
    m.add_class::<CrossEntropyLoss>()?;
    m.add_class::<NLLLoss>()?;
    m.add_class::<BCELoss>()?;
    m.add_class::<BCEWithLogitsLoss>()
}
