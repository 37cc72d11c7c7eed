//! Random arrays. A generator is a seed and a position in its stream; there is one generator for the whole process.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, LazyLock};

use smallvec::smallvec;

use super::comparison::less;
use super::creation::checked_shape;
use super::shape::astype;
use super::where_::where_;
use crate::array::{Array, DType, Element, Scalar, default_float};
use crate::dispatch;
use crate::error::{Error, Result};
use crate::kernel::random::{Stream, Unit, blocks};
use crate::lock::ShortMutex;
use crate::tape::Variable;
use crate::tape::capture::{self, Arrays, Effect};
use crate::tape::half::{narrow, widen};

/// A stream of random numbers. Threads may share it, and its numbers do not depend on the number of threads.
///
/// ```
/// use tapegrad::ops::random::Generator;
/// let (a, b) = (Generator::new(7), Generator::new(7));
/// assert_eq!(a.randn(&[3], None)?.array().to_vec::<f32>(), b.randn(&[3], None)?.array().to_vec::<f32>());
/// # Ok::<(), tapegrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Generator(Arc<ShortMutex<Stream>>);

/// The default generator. Its seed differs from process to process until [`manual_seed`] is called.
#[must_use]
pub fn default_generator() -> &'static Generator {
    static DEFAULT: LazyLock<Generator> = LazyLock::new(|| Generator::new(RandomState::new().build_hasher().finish()));
    &DEFAULT
}

/// Sets the seed of the default generator.
pub fn manual_seed(seed: u64) {
    default_generator().manual_seed(seed);
}

/// The dtype of floating random numbers.
fn float(op: &str, dtype: Option<DType>) -> Result<DType> {
    match dtype.unwrap_or_else(default_float) {
        dtype if dtype.is_float() => Ok(dtype),
        other => Err(Error::dtype(op, other, "float32 or float64")),
    }
}

/// A 16-bit dtype, for which float32 numbers are drawn and rounded.
fn half(dtype: Option<DType>) -> Option<DType> {
    dtype.filter(|d| d.is_half())
}

/// Numbers in [low, high) in a 16-bit dtype. Where rounding gives `high` the result is `low`, as in PyTorch.
fn below(x: &Variable, to: DType, low: f64, high: f64) -> Result<Variable> {
    let x = astype(x, to)?;
    if low < high { where_(&less(&x, high)?, &x, low) } else { Ok(x) }
}

/// Calls `f` with the elements of a new array.
fn filled<T: Element>(shape: &[usize], f: impl FnOnce(&mut [T])) -> Variable {
    let mut out = Array::empty(shape, T::DTYPE);
    f(out.data_mut());
    out.into()
}

fn check_probability(p: f64) -> Result<()> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::Value(format!("bernoulli: p is {p}, expected a probability from 0 to 1")))
}

/// A random draw or a change of the seed, as a step of a program.
struct Drawing<F> {
    name: String,
    generator: Generator,
    draw: F,
}

impl<F: Fn(&Generator) -> Result<Option<Array>> + Send + Sync> Effect for Drawing<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn describe(&self) -> String {
        format!("{} of {:p}", self.name, Arc::as_ptr(&self.generator.0))
    }

    fn run(&self, _: &[Array]) -> Result<Arrays> {
        Ok((self.draw)(&self.generator)?.into_iter().collect())
    }

    fn backup(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let (generator, state) = (self.generator.clone(), self.generator.state());
        Some(Box::new(move || generator.set_state(state)))
    }
}

/// A state of a generator in the course of a call. A program finds it anew in each call.
#[derive(Clone, Debug)]
pub struct Mark(Array);

/// Takes the state of a generator, as a step of a program. It changes nothing, so it is left out where no later step needs it.
struct Marking(Generator);

impl Effect for Marking {
    fn name(&self) -> &'static str {
        "mark"
    }

    fn describe(&self) -> String {
        format!("mark of {:p}", Arc::as_ptr(&self.0.0))
    }

    fn run(&self, _: &[Array]) -> Result<Arrays> {
        Ok(smallvec![self.0.state_array()])
    }

    fn is_state(&self) -> bool {
        false
    }
}

/// Returns to a state that was marked in the same call, as a step of a program.
struct Rewinding(Generator);

impl Effect for Rewinding {
    fn name(&self) -> &'static str {
        "rewind"
    }

    fn describe(&self) -> String {
        format!("rewind of {:p}", Arc::as_ptr(&self.0.0))
    }

    fn run(&self, inputs: &[Array]) -> Result<Arrays> {
        *self.0.0.lock() = marked(&inputs[0]);
        Ok(Arrays::new())
    }

    fn backup(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let (generator, state) = (self.0.clone(), self.0.state());
        Some(Box::new(move || generator.set_state(state)))
    }
}

/// The state that an array of [`Generator::state_array`] holds.
fn marked(a: &Array) -> Stream {
    let words = a.to_vec::<i64>();
    Stream { seed: words[0].cast_unsigned(), start: words[1].cast_unsigned() }
}

impl Generator {
    /// A generator at the start of the stream of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(ShortMutex::new(Stream { seed, start: 0 })))
    }

    /// Restarts with the stream of `seed`.
    pub fn manual_seed(&self, seed: u64) {
        self.set_state([seed, 0]);
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.0.lock().seed
    }

    /// The seed and the position in its stream.
    #[must_use]
    pub fn state(&self) -> [u64; 2] {
        let Stream { seed, start } = *self.0.lock();
        [seed, start]
    }

    /// Continues from the [`Generator::state`] of a generator.
    pub fn set_state(&self, [seed, start]: [u64; 2]) {
        *self.0.lock() = Stream { seed, start };
        if capture::is_anywhere() {
            let (generator, draw) = (self.clone(), move |g: &Self| -> Result<Option<Array>> {
                *g.0.lock() = Stream { seed, start };
                Ok(None)
            });
            capture::note_effect(|| Arc::new(Drawing { name: format!("seed {seed} {start}"), generator, draw }), &[], &[]);
        }
    }

    fn state_array(&self) -> Array {
        let [seed, start] = self.state();
        Array::from_slice(&[seed.cast_signed(), start.cast_signed()], &[2])
    }

    /// The present state, for [`Generator::rewind`].
    ///
    /// ```
    /// use tapegrad::ops::random::Generator;
    /// let generator = Generator::new(7);
    /// let mark = generator.mark();
    /// let first = generator.randn(&[3], None)?.array().to_vec::<f32>();
    /// generator.rewind(&mark);
    /// assert_eq!(generator.randn(&[3], None)?.array().to_vec::<f32>(), first);
    /// # Ok::<(), tapegrad::Error>(())
    /// ```
    #[must_use]
    pub fn mark(&self) -> Mark {
        let state = self.state_array();
        capture::note_effect(|| Arc::new(Marking(self.clone())), &[], &[&state]);
        Mark(state)
    }

    /// Whether nothing was drawn since `mark`.
    #[must_use]
    pub fn is_at(&self, mark: &Mark) -> bool {
        let Stream { seed, start } = marked(&mark.0);
        self.state() == [seed, start]
    }

    /// Returns to the state of `mark`. If nothing was drawn since, it does nothing, and programs have no step for it.
    pub fn rewind(&self, mark: &Mark) {
        if !self.is_at(mark) {
            *self.0.lock() = marked(&mark.0);
            capture::note_effect(|| Arc::new(Rewinding(self.clone())), &[&mark.0], &[]);
        }
    }

    /// The result of `draw` with this generator, recorded so that a program draws again.
    fn seen(&self, name: String, draw: impl Fn(&Self) -> Result<Option<Array>> + Send + Sync + 'static) -> Result<Variable> {
        let Some(out) = draw(self)? else { return Err(Error::Value(format!("{name}: nothing was drawn"))) };
        let generator = self.clone();
        capture::note_effect(|| Arc::new(Drawing { name, generator, draw }), &[], &[&out]);
        Ok(out.into())
    }

    /// The next part of the stream, for one word per element, as an array that holds its seed and start.
    pub(super) fn place(&self, count: usize) -> Result<Variable> {
        self.seen(format!("place {count}"), move |g| {
            let Stream { seed, start } = g.part(count);
            Ok(Some(Array::from_slice(&[seed.cast_signed(), start.cast_signed()], &[2])))
        })
    }

    /// The next part of the stream, for `count` elements of `words` words each.
    fn take(&self, count: usize, words: usize) -> Stream {
        let mut stream = self.0.lock();
        let part = *stream;
        stream.start = stream.start.wrapping_add(blocks(count, words));
        part
    }

    /// The next part of the stream, for one word per element.
    pub(super) fn part(&self, count: usize) -> Stream {
        self.take(count, 1)
    }

    fn units<T: Unit, O: Element>(&self, shape: &[usize], f: impl Fn(T) -> O + Sync) -> Variable {
        filled(shape, |out: &mut [O]| self.take(out.len(), T::WIDTH).uniform(out, f))
    }

    /// Uniform in [0, 1).
    ///
    /// # Errors
    /// `Value` for a shape that is negative or too large, `DType` unless `dtype` is floating.
    pub fn rand(&self, shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
        if capture::is_on() {
            let shape: Vec<isize> = shape.to_vec();
            return self.seen(format!("rand {shape:?} {dtype:?}"), move |g| Ok(Some(g.draw_rand(&shape, dtype)?.into_array())));
        }
        self.draw_rand(shape, dtype)
    }

    fn draw_rand(&self, shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
        if let Some(to) = half(dtype) {
            return below(&self.draw_rand(shape, Some(DType::F32))?, to, 0.0, 1.0);
        }
        let dtype = float("rand", dtype)?;
        let shape = checked_shape("rand", shape, dtype)?;
        Ok(dispatch!(float dtype, T => self.units(&shape, |u: T| u), else unreachable!("just checked")))
    }

    /// Normal with mean 0 and standard deviation 1.
    ///
    /// # Errors
    /// As [`Generator::rand`].
    pub fn randn(&self, shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
        if capture::is_on() {
            let shape: Vec<isize> = shape.to_vec();
            return self.seen(format!("randn {shape:?} {dtype:?}"), move |g| Ok(Some(g.draw_randn(&shape, dtype)?.into_array())));
        }
        self.draw_randn(shape, dtype)
    }

    fn draw_randn(&self, shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
        self.gauss("randn", 0.0, 1.0, shape, dtype)
    }

    /// Normal with this mean and standard deviation.
    ///
    /// # Errors
    /// As [`Generator::rand`], and `Value` when `std` is negative or NaN.
    pub fn normal(&self, mean: f64, std: f64, shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
        if capture::is_on() {
            let shape: Vec<isize> = shape.to_vec();
            return self
                .seen(format!("normal {mean} {std} {shape:?} {dtype:?}"), move |g| Ok(Some(g.draw_normal(mean, std, &shape, dtype)?.into_array())));
        }
        self.draw_normal(mean, std, shape, dtype)
    }

    fn draw_normal(&self, mean: f64, std: f64, shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
        if std.is_nan() || std < 0.0 {
            return Err(Error::Value(format!("normal: std is {std}, expected 0 or more")));
        }
        self.gauss("normal", mean, std, shape, dtype)
    }

    fn gauss(&self, op: &str, mean: f64, std: f64, shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
        if let Some(to) = half(dtype) {
            return astype(&self.gauss(op, mean, std, shape, Some(DType::F32))?, to);
        }
        let dtype = float(op, dtype)?;
        let shape = checked_shape(op, shape, dtype)?;
        let scale = [mean, std].map(Scalar::Float);
        Ok(dispatch!(float dtype, T => filled(&shape, |out: &mut [T]| {
            let [mean, std] = scale.map(T::from_scalar);
            self.take(out.len(), T::WIDTH).normal(out, mean, std);
        }), else unreachable!("just checked")))
    }

    /// Uniform in [low, high). If both are equal, the result is `low`.
    ///
    /// # Errors
    /// As [`Generator::rand`], and `Value` unless low ≤ high and both are finite.
    pub fn uniform(&self, low: f64, high: f64, shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
        if capture::is_on() {
            let shape: Vec<isize> = shape.to_vec();
            return self.seen(format!("uniform {low} {high} {shape:?} {dtype:?}"), move |g| {
                Ok(Some(g.draw_uniform(low, high, &shape, dtype)?.into_array()))
            });
        }
        self.draw_uniform(low, high, shape, dtype)
    }

    fn draw_uniform(&self, low: f64, high: f64, shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
        if !(low <= high && (high - low).is_finite()) {
            return Err(Error::Value(format!("uniform: low is {low} and high is {high}, expected finite numbers, low not above high")));
        }
        if let Some(to) = half(dtype) {
            return below(&self.draw_uniform(low, high, shape, Some(DType::F32))?, to, low, high);
        }
        let dtype = float("uniform", dtype)?;
        let shape = checked_shape("uniform", shape, dtype)?;
        Ok(dispatch!(float dtype, T => {
            let [low, high] = [low, high].map(|x| T::from_scalar(Scalar::Float(x)));
            // Rounding may give `high`, which is not in the interval.
            let last = high.next_down().max(low);
            self.units(&shape, |u: T| (low + (high - low) * u).min(last))
        }, else unreachable!("just checked")))
    }

    /// Integers from `low` to `high` - 1, all with exactly the same probability, in any dtype that holds them; `int64` by default.
    ///
    /// # Errors
    /// As [`Generator::rand`], and `Value` when there is no such integer or when the dtype cannot hold all of them.
    pub fn randint(&self, low: i64, high: i64, shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
        if capture::is_on() {
            let shape: Vec<isize> = shape.to_vec();
            return self.seen(format!("randint {low} {high} {shape:?} {dtype:?}"), move |g| {
                Ok(Some(g.draw_randint(low, high, &shape, dtype)?.into_array()))
            });
        }
        self.draw_randint(low, high, shape, dtype)
    }

    fn draw_randint(&self, low: i64, high: i64, shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
        let dtype = dtype.unwrap_or(DType::I64);
        if low >= high {
            return Err(Error::Value(format!("randint: low is {low} and high is {high}, expected low below high")));
        }
        let holds = |x: i64| match dtype {
            DType::Bool => (0..=1).contains(&x),
            _ => dispatch!(integer dtype, T => T::from_scalar(Scalar::Int(x)).to_scalar() == Scalar::Int(x), else true),
        };
        if !holds(low) || !holds(high - 1) {
            return Err(Error::Value(format!("randint: {dtype} cannot hold all integers from {low} to {}", high - 1)));
        }
        let shape = checked_shape("randint", shape, dtype)?;
        let range = high.wrapping_sub(low).cast_unsigned();
        Ok(dispatch!(dtype, T => filled(&shape, |out: &mut [T]| {
            self.take(out.len(), 2).integers(out, low, range, |x| T::from_scalar(Scalar::Int(x)));
        })))
    }

    /// 1 with probability `p`, else 0.
    ///
    /// # Errors
    /// As [`Generator::rand`], and `Value` unless 0 ≤ p ≤ 1.
    pub fn bernoulli(&self, p: f64, shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
        if capture::is_on() {
            let shape: Vec<isize> = shape.to_vec();
            return self.seen(format!("bernoulli {p} {shape:?} {dtype:?}"), move |g| Ok(Some(g.draw_bernoulli(p, &shape, dtype)?.into_array())));
        }
        self.draw_bernoulli(p, shape, dtype)
    }

    fn draw_bernoulli(&self, p: f64, shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
        check_probability(p)?;
        let dtype = dtype.unwrap_or_else(default_float);
        let shape = checked_shape("bernoulli", shape, dtype)?;
        // The same draws in every dtype.
        Ok(dispatch!(dtype, T => filled(&shape, |out: &mut [T]| {
            self.take(out.len(), 1).draws(p, [false, true].map(|x| T::from_scalar(Scalar::Bool(x))), out);
        })))
    }

    /// 1 with the probability given by the element of `p`, else 0; in the dtype of `p`.
    ///
    /// # Errors
    /// `DType` unless `p` is floating, `Value` unless all its elements are probabilities.
    pub fn bernoulli_of(&self, p: &Variable) -> Result<Variable> {
        capture::refuse(|| "bernoulli draws with probabilities that an array holds".to_owned());
        let dtype = p.dtype();
        if dtype.is_half() {
            return narrow(self.bernoulli_of(&widen(p)?)?, Some(dtype));
        }
        dispatch!(float dtype, T => {
            let probabilities = p.array().view::<T>();
            probabilities.iter().try_for_each(|&p| check_probability(p.to_scalar().as_f64()))?;
            // Memory is allocated before numbers are drawn, so a failure does not advance the stream.
            Ok(filled(p.shape(), |out: &mut [T]| {
                let units = self.units(p.shape(), |u: f64| u);
                let drawn = units.array().view::<f64>().into_iter().zip(&probabilities).map(|(&u, &p)| u < p.to_scalar().as_f64());
                out.iter_mut().zip(drawn).for_each(|(o, yes)| *o = T::from_scalar(Scalar::Bool(yes)));
            }))
        }, else Err(Error::dtype("bernoulli", dtype, "float32 or float64")))
    }

    /// The integers below `n` in random order, all orders equally likely (up to the 2⁶⁴ streams).
    ///
    /// # Errors
    /// `Value` when `n` is negative or too large.
    pub fn permutation(&self, n: i64) -> Result<Variable> {
        if capture::is_on() {
            return self.seen(format!("permutation {n}"), move |g| Ok(Some(g.draw_permutation(n)?.into_array())));
        }
        self.draw_permutation(n)
    }

    fn draw_permutation(&self, n: i64) -> Result<Variable> {
        let n = checked_shape("permutation", &[isize::try_from(n).unwrap_or(isize::MAX)], DType::I64)?[0];
        let stream = self.take(n, 2);
        Ok(filled(&[n], |out: &mut [i64]| {
            out.iter_mut().zip(0..).for_each(|(o, i)| *o = i);
            stream.shuffle(out);
        }))
    }
}
