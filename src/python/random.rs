//! Random numbers: the class `Generator` and functions over the generator of the process.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyList, PyString, PyTuple};

use super::convert::{self, Value};
use super::describe::{describe, too_large};
use super::dtype;
use super::error::guard;
use super::number::{self, Name, Wanted, names};
use super::operators::run;
use super::variable::PyVariable;
use crate::array::DType;
use crate::error::Result;
use crate::ops;
use crate::ops::random::{Generator, Mark, default_generator};
use crate::tape::{Variable, capture};
use crate::transform;

/// The cost of a random number, in elements of an addition.
const COST: usize = 4;

/// For pickle: a class, its arguments, and the state to set.
type Reduced<'py> = (Bound<'py, PyAny>, (u64,), (u64, u64));

/// The seed of a generator that is made without one, as in PyTorch.
const DEFAULT_SEED: u64 = 67_280_421_310_721;

/// Sizes given as `rand(2, 3)` or `rand((2, 3))`.
fn shape(name: &str, given: &Bound<'_, PyTuple>) -> PyResult<Vec<isize>> {
    if given.len() == 1 { sizes(name, &given.get_item(0)?) } else { sizes(name, given.as_any()) }
}

/// Sizes given as an int or as a sequence of ints.
fn sizes(name: &str, shape: &Bound<'_, PyAny>) -> PyResult<Vec<isize>> {
    number::refuse_tracked(name, "size", shape)?;
    match number::ints(shape)? {
        Some(sizes) => Ok(sizes.into_vec()),
        None => Err(too_large(name, "size", shape).unwrap_or_else(|| {
            PyTypeError::new_err(format!("{name}(): argument 'size' must be an int or a tuple of ints, not {}", describe(shape)))
        })),
    }
}

/// Optional sizes; without them, one number.
fn sizes_or_none(name: &str, shape: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<isize>> {
    shape.map_or_else(|| Ok(Vec::new()), |s| sizes(name, s))
}

/// A bound or another number before the size, which users easily confuse with it.
fn bound<'a, 'py, F: Name, N: Name, T: FromPyObject<'a, 'py> + Wanted>(o: &'a Bound<'py, PyAny>) -> PyResult<T> {
    if (o.cast::<PyTuple>().is_ok() || o.cast::<PyList>().is_ok()) && !number::holds_tracked(o) {
        return Err(PyTypeError::new_err(format!(
            "{}(): argument '{}' must be {}, not {}; pass a size by name, as in size=(2, 3)",
            F::NAME,
            N::NAME,
            T::WANTED,
            describe(o)
        )));
    }
    number::number(F::NAME, N::NAME, o)
}

/// A seed: an unsigned int of 64 bits.
fn seed(o: &Bound<'_, PyAny>) -> PyResult<u64> {
    number::refuse_tracked("manual_seed", "seed", o)?;
    if o.cast::<PyFloat>().is_err()
        && let Ok(seed) = o.extract()
    {
        return Ok(seed);
    }
    let text = format!("manual_seed(): argument 'seed' must be an int from 0 to 2**64 - 1, not {}", describe(o));
    Err(if o.cast::<PyInt>().is_ok() { PyValueError::new_err(text) } else { PyTypeError::new_err(text) })
}

/// Draws numbers, without the GIL if there are many. Inside `vmap` each sample gets its own numbers, or all get the same, as `vmap` was
/// told.
fn draw(py: Python<'_>, name: &str, shape: &[isize], f: impl FnOnce(&[isize]) -> Result<Variable> + Send) -> PyResult<PyVariable> {
    guard(name, || {
        let (shape, samples) = transform::drawn_shape(name, shape)?;
        let elements = shape.iter().fold(1_usize, |n, &m| n.saturating_mul(m.unsigned_abs()));
        let all = run(py, elements.saturating_mul(COST), || f(&shape))?;
        Ok(PyVariable::new(transform::drawn(all, &samples)))
    })
}

fn dtype_of(dtype: Option<&Bound<'_, PyAny>>) -> PyResult<Option<DType>> {
    dtype.filter(|d| !d.is_none()).map(dtype::extract).transpose()
}

/// A stream of random numbers: a seed and a place. The same seed gives the same numbers for any number of threads.
///
/// >>> a, b = tg.random.Generator(7), tg.random.Generator(7)
/// >>> bool((a.rand(3) == b.rand(3)).all())
/// True
#[pyclass(frozen, name = "Generator", module = "tapegrad.random")]
struct PyGenerator(Place);

/// A separate generator, or that of the process.
enum Place {
    Own(Generator),
    Process,
}

impl PyGenerator {
    fn stream(&self) -> &Generator {
        match &self.0 {
            Place::Own(g) => g,
            Place::Process => default_generator(),
        }
    }
}

#[pymethods]
impl PyGenerator {
    #[new]
    #[pyo3(signature = (seed = None, device = None))]
    fn new(seed: Option<&Bound<'_, PyAny>>, device: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        // The first argument of PyTorch's generators is a device.
        let named = seed.filter(|s| s.cast::<PyString>().is_ok());
        for place in [named, device].into_iter().flatten() {
            if place.str()?.to_string_lossy() != "cpu" {
                return Err(PyValueError::new_err(format!("Generator: there is one device, \"cpu\", got {place}")));
            }
        }
        let seed = seed.filter(|_| named.is_none()).map_or(Ok(DEFAULT_SEED), self::seed)?;
        Ok(Self(Place::Own(Generator::new(seed))))
    }

    /// Begins the stream of `seed`, and returns the generator.
    fn manual_seed<'py>(slf: &Bound<'py, Self>, #[pyo3(from_py_with = seed)] seed: u64) -> Bound<'py, Self> {
        slf.get().stream().manual_seed(seed);
        slf.clone()
    }

    /// The seed.
    fn initial_seed(&self) -> u64 {
        self.seed()
    }

    /// Pickled and copied as a generator of its own, with the same seed and place.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> Reduced<'py> {
        let state = slf.get().get_state();
        (slf.get_type().into_any(), (state.0,), state)
    }

    fn __setstate__(&self, state: (u64, u64)) {
        self.set_state(state);
    }

    /// The seed.
    #[getter]
    fn seed(&self) -> u64 {
        self.stream().seed()
    }

    /// The present state, for `_rewind`. Unlike `get_state`, it may be used in a function that is recorded.
    fn _mark(&self) -> PyMark {
        PyMark(self.stream().mark())
    }

    /// Returns to the state of `_mark`.
    fn _rewind(&self, mark: &Bound<'_, PyMark>) {
        self.stream().rewind(&mark.get().0);
    }

    /// Whether nothing was drawn since `_mark`.
    fn _is_at(&self, mark: &Bound<'_, PyMark>) -> bool {
        self.stream().is_at(&mark.get().0)
    }

    /// (seed, place): `set_state` goes on from there.
    fn get_state(&self) -> (u64, u64) {
        capture::refuse(|| "it asks for the state of a random generator, which differs from call to call".to_owned());
        let [seed, place] = self.stream().state();
        (seed, place)
    }

    /// Goes on where `get_state` was called.
    fn set_state(&self, state: (u64, u64)) {
        self.stream().set_state([state.0, state.1]);
    }

    /// Uniform in [0, 1): `rand(2, 3)`.
    #[pyo3(signature = (*size, dtype = None))]
    fn rand(&self, py: Python<'_>, size: &Bound<'_, PyTuple>, dtype: Option<&Bound<'_, PyAny>>) -> PyResult<PyVariable> {
        let (size, dtype) = (shape("rand", size)?, dtype_of(dtype)?);
        draw(py, "rand", &size, |size| self.stream().rand(size, dtype))
    }

    /// Normal with mean 0 and standard deviation 1: `randn(2, 3)`.
    #[pyo3(signature = (*size, dtype = None))]
    fn randn(&self, py: Python<'_>, size: &Bound<'_, PyTuple>, dtype: Option<&Bound<'_, PyAny>>) -> PyResult<PyVariable> {
        let (size, dtype) = (shape("randn", size)?, dtype_of(dtype)?);
        draw(py, "randn", &size, |size| self.stream().randn(size, dtype))
    }

    /// Integers from `low` up to but without `high`; with one bound, from 0.
    #[pyo3(signature = (low, high = None, size = None, dtype = None))]
    fn randint(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = bound::<names::randint, names::low, i64>)] low: i64,
        #[pyo3(from_py_with = bound::<names::randint, names::high, Option<i64>>)] high: Option<i64>,
        size: Option<&Bound<'_, PyAny>>,
        dtype: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyVariable> {
        let (low, high) = high.map_or((0, low), |h| (low, h));
        let (size, dtype) = (sizes_or_none("randint", size)?, dtype_of(dtype)?);
        draw(py, "randint", &size, |size| self.stream().randint(low, high, size, dtype))
    }

    /// Uniform in [low, high).
    #[pyo3(signature = (low = 0.0, high = 1.0, size = None, dtype = None))]
    fn uniform(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = bound::<names::uniform, names::low, f64>)] low: f64,
        #[pyo3(from_py_with = bound::<names::uniform, names::high, f64>)] high: f64,
        size: Option<&Bound<'_, PyAny>>,
        dtype: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyVariable> {
        let (size, dtype) = (sizes_or_none("uniform", size)?, dtype_of(dtype)?);
        draw(py, "uniform", &size, |size| self.stream().uniform(low, high, size, dtype))
    }

    /// Normal with this mean and standard deviation.
    #[pyo3(signature = (mean = 0.0, std = 1.0, size = None, dtype = None))]
    fn normal(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = bound::<names::normal, names::mean, f64>)] mean: f64,
        #[pyo3(from_py_with = bound::<names::normal, names::std, f64>)] std: f64,
        size: Option<&Bound<'_, PyAny>>,
        dtype: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyVariable> {
        let (size, dtype) = (sizes_or_none("normal", size)?, dtype_of(dtype)?);
        draw(py, "normal", &size, |size| self.stream().normal(mean, std, size, dtype))
    }

    /// 1 with probability p, else 0; p is a number, or an array of probabilities. No gradient flows to p.
    #[pyo3(signature = (p, size = None, dtype = None))]
    fn bernoulli(
        &self,
        py: Python<'_>,
        p: &Bound<'_, PyAny>,
        size: Option<&Bound<'_, PyAny>>,
        dtype: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyVariable> {
        if p.cast::<PyFloat>().is_err()
            && let Some(Value::Variable(v)) = convert::operand(p)?
        {
            if size.is_some() || dtype.is_some() {
                return Err(PyTypeError::new_err("bernoulli: an array of probabilities decides size and dtype itself"));
            }
            if transform::is_mapping() {
                let shape: Vec<isize> = v.shape().iter().map(|n| n.cast_signed()).collect();
                let u = draw(py, "bernoulli", &shape, |shape| self.stream().rand(shape, Some(v.dtype())))?;
                return guard("bernoulli", || Ok(PyVariable::new(ops::astype(&ops::less(&u.snapshot(), &v)?, v.dtype())?)));
            }
            let elements = if v.array().is_lent() { 0 } else { v.array().size() };
            return guard("bernoulli", || Ok(PyVariable::new(run(py, elements.saturating_mul(COST), || self.stream().bernoulli_of(&v))?)));
        }
        let (size, dtype, p) = (sizes_or_none("bernoulli", size)?, dtype_of(dtype)?, number::number("bernoulli", "p", p)?);
        draw(py, "bernoulli", &size, |size| self.stream().bernoulli(p, size, dtype))
    }

    /// The numbers 0 to n - 1 in random order.
    fn permutation(&self, py: Python<'_>, #[pyo3(from_py_with = bound::<names::permutation, names::n, i64>)] n: i64) -> PyResult<PyVariable> {
        draw(py, "permutation", &[isize::try_from(n).unwrap_or(isize::MAX)], |shape| {
            let count = shape[..shape.len() - 1].iter().product::<isize>();
            let all = (0..count).map(|_| self.stream().permutation(n)).collect::<Result<Vec<_>>>()?;
            if shape.len() == 1 { self.stream().permutation(n) } else { ops::reshape(&ops::stack(&all, 0)?, shape) }
        })
    }

    fn __repr__(&self) -> String {
        let [seed, place] = self.stream().state();
        format!("Generator(seed={seed}, place={place})")
    }
}

/// A state of a generator in the course of a call.
#[pyclass(frozen, name = "_Mark", module = "tapegrad")]
struct PyMark(Mark);

/// Adds random numbers to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let _ = default_generator(); // made now, because a fork must not interrupt it
    m.add_class::<PyGenerator>()?;
    m.add_class::<PyMark>()?;
    let generator = Bound::new(m.py(), PyGenerator(Place::Process))?;
    for name in ["manual_seed", "rand", "randn", "randint", "uniform", "normal", "bernoulli", "permutation"] {
        m.add(name, generator.getattr(name)?)?;
    }
    Ok(())
}
