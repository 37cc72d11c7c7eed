//! Python numbers as parameters. Gradients do not flow through them, so a Variable that requires gradients is an error that names the
//! parameter.

use std::marker::PhantomData;

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyList, PyTuple};
use smallvec::SmallVec;

use super::describe::{describe, is_huge};
use super::error::GradError;
use super::variable::PyVariable;
use crate::array::alloc_check;
use crate::tape;

/// Whether `o` is a Variable whose history would be lost where only its value is used.
pub fn is_tracked(o: &Bound<'_, PyAny>) -> bool {
    o.cast::<PyVariable>().is_ok_and(|v| tape::is_recording() && v.get().snapshot().is_tracked())
}

/// [`is_tracked`] for `o` and anything in it: nested lists, tuples and dicts.
pub fn holds_tracked(o: &Bound<'_, PyAny>) -> bool {
    holds(o, 32)
}

fn holds(o: &Bound<'_, PyAny>, depth: u32) -> bool {
    if is_tracked(o) {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else { return false };
    if let Ok(items) = o.cast::<PyList>() {
        return items.iter().any(|x| holds(&x, depth));
    }
    if let Ok(items) = o.cast::<PyTuple>() {
        return items.iter().any(|x| holds(&x, depth));
    }
    o.cast::<PyDict>().is_ok_and(|d| d.iter().any(|(_, x)| holds(&x, depth)))
}

/// The error for a tracked Variable where a number is needed.
#[cold]
pub fn tracked_number(function: &str, parameter: &str, want: &str) -> PyErr {
    let function = if function.is_empty() { String::new() } else { format!("{function}(): ") };
    GradError::new_err(format!(
        "{function}argument '{parameter}' must be {want}, not a Variable that requires gradients: no gradient flows through this parameter. \
         Pass item() or detach() of the Variable, or write the formula with operations on Variables"
    ))
}

/// Raises when a tracked Variable is given for the number `parameter` of `function`.
pub fn refuse_tracked(function: &str, parameter: &str, o: &Bound<'_, PyAny>) -> PyResult<()> {
    if holds_tracked(o) { Err(tracked_number(function, parameter, "a Python number")) } else { Ok(()) }
}

/// A description of the values of a Rust type.
pub trait Wanted {
    /// With an article: `a float`.
    const WANTED: &'static str;
}

macro_rules! wanted {
    ($($ty:ty: $text:literal;)*) => { $(impl Wanted for $ty { const WANTED: &'static str = $text; })* };
}
wanted! {
    f64: "a float";
    i64: "an int";
    bool: "a bool";
    (f64, f64): "a pair of floats";
    Option<f64>: "a float or None";
    Option<i64>: "an int or None";
}

/// Converts `o` to the number `parameter` of `function`.
pub fn number<'a, 'py, T: FromPyObject<'a, 'py> + Wanted>(function: &str, parameter: &str, o: &'a Bound<'py, PyAny>) -> PyResult<T> {
    refuse_tracked(function, parameter, o)?;
    o.extract().map_err(|e: T::Error| not_wanted::<T>(function, parameter, o, e.into()))
}

/// The error if `o` cannot be converted to `T`. Exceptions of the object's own code are passed on.
#[cold]
fn not_wanted<T: Wanted>(function: &str, parameter: &str, o: &Bound<'_, PyAny>, e: PyErr) -> PyErr {
    if !e.is_instance_of::<PyTypeError>(o.py()) && !is_huge(o) {
        return e;
    }
    let function = if function.is_empty() { String::new() } else { format!("{function}(): ") };
    PyTypeError::new_err(format!("{function}argument '{parameter}' must be {}, not {}", T::WANTED, describe(o)))
}

/// `o` as an int, if it is one or has `__index__`; a float is not an int. Exceptions of its code are passed on, unless they say that it is
/// not an int.
pub fn int(o: &Bound<'_, PyAny>) -> PyResult<Option<isize>> {
    if o.cast::<PyFloat>().is_ok() {
        return Ok(None);
    }
    match o.extract::<isize>() {
        Ok(i) => Ok(Some(i)),
        Err(e) if e.is_instance_of::<PyTypeError>(o.py()) || e.is_instance_of::<PyOverflowError>(o.py()) => Ok(None),
        Err(e) => Err(e),
    }
}

/// `o` as ints: an int, or an iterable of ints. Its length is not used, because it may be wrong.
pub fn ints(o: &Bound<'_, PyAny>) -> PyResult<Option<SmallVec<[isize; 4]>>> {
    if let Some(i) = int(o)? {
        return Ok(Some(SmallVec::from_slice(&[i])));
    }
    let items = match o.try_iter() {
        Ok(items) => items,
        Err(e) if e.is_instance_of::<PyTypeError>(o.py()) => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut out = SmallVec::new();
    for x in items {
        let Some(i) = int(&x?)? else { return Ok(None) };
        alloc_check::reserve_small(&mut out, 1);
        out.push(i);
    }
    Ok(Some(out))
}

/// A parameter's name as a type.
pub trait Name {
    /// The name in Python.
    const NAME: &'static str;
}

macro_rules! names {
    ($($name:ident)*) => {
        /// The parameters of classes that take numbers.
        #[allow(non_camel_case_types, reason = "the names of parameters in Python")]
        pub mod names {
            $(
                #[doc = concat!("`", stringify!($name), "`.")]
                pub struct $name;
                impl super::Name for $name {
                    const NAME: &'static str = stringify!($name);
                }
            )*
        }
    };
}
names! {
    lr momentum dampening weight_decay nesterov maximize betas eps amsgrad decoupled_weight_decay alpha centered
    lr_decay initial_accumulator_value rho momentum_decay lambd t0 etas step_sizes
    max_norm norm_type error_if_nonfinite clip_value clip_norm
    low high mean std n
    randint uniform normal permutation
}

/// The converter that PyO3 calls for the number parameter `N` of a function: [`number`] with its name.
pub fn given<'a, 'py, N: Name, T: FromPyObject<'a, 'py> + Wanted>(o: &'a Bound<'py, PyAny>) -> PyResult<T> {
    number("", N::NAME, o)
}

/// A number in the attribute `N`, which can be assigned.
pub struct Number<N, T>(pub T, PhantomData<N>);

impl<N, T> Number<N, T> {
    /// The number.
    pub fn new(value: T) -> Self {
        Self(value, PhantomData)
    }
}

impl<'a, 'py, N: Name, T: FromPyObject<'a, 'py> + Wanted> FromPyObject<'a, 'py> for Number<N, T> {
    type Error = PyErr;
    fn extract(o: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if holds_tracked(&o) {
            return Err(tracked_number("", N::NAME, "a Python number"));
        }
        o.extract().map(Self::new).map_err(|e: T::Error| not_wanted::<T>("", N::NAME, &o, e.into()))
    }
}

impl<'py, N, T: Copy + IntoPyObject<'py>> IntoPyObject<'py> for &Number<N, T> {
    type Target = T::Target;
    type Output = T::Output;
    type Error = T::Error;
    fn into_pyobject(self, py: Python<'py>) -> Result<T::Output, T::Error> {
        self.0.into_pyobject(py)
    }
}

/// `value`; an error if it is a tracked Variable.
#[pyfunction]
fn _number<'py>(function: &str, parameter: &str, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    refuse_tracked(function, parameter, &value)?;
    Ok(value)
}

/// Adds the check of numbers to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_number, m)?)
}
