//! Fourier transforms along the last axis, by `rustfft` and `realfft`, and a cache of their plans.
//!
//! No transform is scaled by its length; the caller gives a factor. The half spectrum of a real line of `n` elements has `n / 2 + 1`
//! numbers. Each interior number represents two, the first (and for even `n` the last) represents one. So interior numbers have a separate
//! weight, with which the two real transforms are each other's adjoint.
//!
//! Results and scratch memory come from `array::alloc_check`. The plans are allocated by the crates, which abort the process when there is
//! no memory: a test allocation comes before each new plan.
#![allow(clippy::float_cmp, reason = "a factor of exactly one")]

use std::any::Any;
use std::sync::Arc;

use num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftDirection, FftNum, FftPlanner};

use crate::array::alloc_check::{filled, with_capacity};
use crate::array::{Array, DType, Plain, Shape};
use crate::kernel::parallel;
use crate::lock::{AtFork, ShortMutex, at_fork};

/// The real types of transforms: f32 or f64.
pub trait Part: FftNum + Plain {}
impl Part for f32 {}
impl Part for f64 {}

/// What a plan computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Forward,
    Inverse,
    ToHalf,
    FromHalf,
}

type Key = (Kind, DType, usize);
type Plan = Arc<dyn Any + Send + Sync>;

/// The most plans that are kept, and the most elements of their lines together: 4 million are some 100 MB.
const MAX_PLANS: usize = 64;
const MAX_ELEMENTS: usize = 1 << 22;

/// Plans, most recently used first.
static PLANS: ShortMutex<Vec<(Key, Plan)>> = ShortMutex::new(Vec::new());

/// The plan with that key, made by `make` if it is new.
fn plan<P: Clone + Send + Sync + 'static>(key: Key, make: impl FnOnce() -> P) -> P {
    at_fork(AtFork::Plans, &PLANS);
    let known = {
        let mut plans = PLANS.lock();
        plans.iter().position(|(k, _)| *k == key).map(|i| {
            plans[..=i].rotate_right(1);
            Arc::clone(&plans[0].1)
        })
    };
    if let Some(p) = known.and_then(|p| p.downcast_ref::<P>().cloned()) {
        return p;
    }
    // The crates' plans hold factors of a few times the length, of up to 16 bytes each. This unwinds when there is no memory for them.
    drop(with_capacity::<Complex<f64>>(key.2.saturating_mul(8)));
    let made = make();
    keep(key, Arc::new(made.clone()));
    made
}

/// Puts a plan in front, and drops plans beyond the limit.
fn keep(key: Key, plan: Plan) {
    if key.2 > MAX_ELEMENTS {
        return;
    }
    let mut dropped = with_capacity(MAX_PLANS + 1);
    {
        let mut plans = PLANS.lock();
        if plans.capacity() <= MAX_PLANS {
            // Room for all plans, allocated once.
            let mut all = with_capacity(MAX_PLANS + 1);
            all.append(&mut plans);
            *plans = all;
        }
        plans.insert(0, (key, plan));
        let mut elements = 0;
        let fits = plans.iter().take(MAX_PLANS).take_while(|(k, _)| {
            elements += k.2;
            elements <= MAX_ELEMENTS
        });
        let count = fits.count();
        dropped.extend(plans.drain(count..));
    }
    drop(dropped);
}

/// How a line of `n` elements is transformed and scaled.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Its length in the real or complex domain.
    pub n: usize,
    /// Whether the exponent is positive.
    pub inverse: bool,
    /// The factor of all results.
    pub scale: f64,
    /// The factor of the interior numbers of a half spectrum.
    pub interior: f64,
}

/// Nanoseconds for a line of `n` elements.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn cost(n: usize) -> f64 {
    let n = n as f64;
    20.0 + n * (n + 1.0).log2() * 0.3
}

/// The shape with another size of the last axis.
fn resized(shape: &[usize], n: usize) -> Shape {
    let mut out = Shape::from_slice(shape);
    if let Some(last) = out.last_mut() {
        *last = n;
    }
    out
}

/// Rows per range of work, and the elements of these.
fn rows_at_once(rows: usize, n: usize) -> usize {
    parallel::grain(rows, cost(n)).max(1)
}

#[allow(clippy::cast_possible_truncation, reason = "rounded once")]
fn part<T: Part>(x: f64) -> T {
    T::from_f64(x).unwrap_or_else(T::zero)
}

/// The transforms of complex lines.
#[must_use]
pub fn complex<T: Part>(x: &Array, line: Line) -> Array
where
    Complex<T>: Plain,
{
    let n = line.n;
    let (kind, direction) = if line.inverse { (Kind::Inverse, FftDirection::Inverse) } else { (Kind::Forward, FftDirection::Forward) };
    let plan: Arc<dyn Fft<T>> = plan((kind, T::DTYPE, n), || FftPlanner::new().plan_fft(n, direction));
    let x = x.contiguous();
    let data = x.as_slice::<Complex<T>>().unwrap_or(&[]);
    let scale = part::<T>(line.scale);
    Array::build(x.shape(), |out: &mut [Complex<T>]| {
        let grain = rows_at_once(out.len() / n, n) * n;
        parallel::for_each_chunk_mut(out, grain, |start, chunk| {
            let mut scratch = filled(Complex::new(T::zero(), T::zero()), plan.get_immutable_scratch_len());
            plan.process_immutable_with_scratch(&data[start..start + chunk.len()], chunk, &mut scratch);
            if line.scale != 1.0 {
                for z in chunk {
                    *z = *z * scale;
                }
            }
        });
    })
}

/// The half spectra of real lines.
#[must_use]
pub fn to_half<T: Part>(x: &Array, line: Line) -> Array
where
    Complex<T>: Plain,
{
    let (n, half) = (line.n, line.n / 2 + 1);
    let plan: Arc<dyn RealToComplex<T>> = plan((Kind::ToHalf, T::DTYPE, n), || RealFftPlanner::new().plan_fft_forward(n));
    let x = x.contiguous();
    let data = x.as_slice::<T>().unwrap_or(&[]);
    let (scale, interior) = (part::<T>(line.scale), part::<T>(line.scale * line.interior));
    Array::build(&resized(x.shape(), half), |out: &mut [Complex<T>]| {
        let grain = rows_at_once(out.len() / half, n) * half;
        parallel::for_each_chunk_mut(out, grain, |start, chunk| {
            let mut scratch = filled(Complex::new(T::zero(), T::zero()), plan.get_scratch_len());
            let mut row = filled(T::zero(), n);
            for (i, spectrum) in chunk.chunks_exact_mut(half).enumerate() {
                let from = (start / half + i) * n;
                row.copy_from_slice(&data[from..from + n]);
                // Lengths fit, so there is no error.
                let _ = plan.process_with_scratch(&mut row, spectrum, &mut scratch);
                weigh(spectrum, n, scale, interior);
            }
        });
    })
}

/// Scales the ends and the interior of a half spectrum.
fn weigh<T: Part>(spectrum: &mut [Complex<T>], n: usize, ends: T, interior: T) {
    if ends == T::one() && interior == T::one() {
        return;
    }
    for (k, z) in spectrum.iter_mut().enumerate() {
        *z = *z * if k == 0 || 2 * k == n { ends } else { interior };
    }
}

/// The real lines of half spectra. The imaginary parts of the ends are ignored.
#[must_use]
pub fn from_half<T: Part>(x: &Array, line: Line) -> Array
where
    Complex<T>: Plain,
{
    let (n, half) = (line.n, line.n / 2 + 1);
    let plan: Arc<dyn ComplexToReal<T>> = plan((Kind::FromHalf, T::DTYPE, n), || RealFftPlanner::new().plan_fft_inverse(n));
    let x = x.contiguous();
    let data = x.as_slice::<Complex<T>>().unwrap_or(&[]);
    let (scale, interior) = (part::<T>(line.scale), part::<T>(line.scale * line.interior));
    Array::build(&resized(x.shape(), n), |out: &mut [T]| {
        let grain = rows_at_once(out.len() / n, n) * n;
        parallel::for_each_chunk_mut(out, grain, |start, chunk| {
            let zero = Complex::new(T::zero(), T::zero());
            let (mut scratch, mut spectrum) = (filled(zero, plan.get_scratch_len()), filled(zero, half));
            for (i, row) in chunk.chunks_exact_mut(n).enumerate() {
                let from = (start / n + i) * half;
                spectrum.copy_from_slice(&data[from..from + half]);
                weigh(&mut spectrum, n, scale, interior);
                spectrum[0].im = T::zero();
                if n % 2 == 0 {
                    spectrum[half - 1].im = T::zero();
                }
                // Lengths fit and the ends are real, so there is no error.
                let _ = plan.process_with_scratch(&mut spectrum, row, &mut scratch);
            }
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_keeps_what_was_used_last() {
        for n in 1..200 {
            let x = Array::zeros(&[n], DType::C128);
            let _ = complex::<f64>(&x, Line { n, inverse: false, scale: 1.0, interior: 1.0 });
        }
        let plans = PLANS.lock();
        assert!(plans.len() <= MAX_PLANS);
        assert!(plans.iter().any(|((_, _, n), _)| *n == 199));
    }
}
