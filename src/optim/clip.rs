//! Clipping gradients by norm or by value.

use std::collections::HashSet;
use std::sync::Arc;

use super::step::are_many;
use crate::array::{Array, DType, Element, Scalar, alloc_check, default_float};
use crate::dispatch;
use crate::error::{Error, Result};
use crate::kernel::cast::cast;
use crate::kernel::complex;
use crate::kernel::math::Real;
use crate::kernel::optimizer_update::change;
use crate::kernel::parallel;
use crate::kernel::reduce::fold_all;
use crate::kernel::reduce::ops::{LargestAbs, WideAbs, WideSquares};
use crate::ops::vector_norm;
use crate::tape::Leaf;

/// Added to the norm before dividing by it, as in `PyTorch`.
const EPS: f64 = 1e-6;

/// Scales the gradients of these parameters so that their joint norm is at most `max_norm`; returns the norm before. Gradients within the
/// limit are not changed. Parameters without a gradient are skipped, and one that is given twice counts once.
///
/// The norm is the `norm_type`-norm (infinity: the largest absolute value), and the scale `max_norm` / (norm + 1e-6).
///
/// # Errors
/// `Value` when `max_norm` is negative or NaN, `norm_type` is not above 0, or, with `error_if_nonfinite`, the norm is
/// infinite or NaN; then nothing changes.
pub fn clip_grad_norm<'a>(params: impl IntoIterator<Item = &'a Arc<Leaf>>, max_norm: f64, norm_type: f64, error_if_nonfinite: bool) -> Result<Array> {
    const NAME: &str = "clip_grad_norm_";
    check(NAME, "max_norm", max_norm)?;
    if norm_type.is_nan() || norm_type <= 0.0 {
        return Err(Error::Value(format!("{NAME}: norm_type must be above 0, not {norm_type}")));
    }
    let places = places(params);
    let gradients: Vec<Array> = alloc_check::collect(places.iter().map(|g| lengths(g.array())));
    let norm = norm_of(&gradients, norm_type);
    let dtype = if gradients.is_empty() {
        default_float()
    } else if gradients.iter().any(|g| g.dtype() == DType::F64) {
        DType::F64
    } else {
        DType::F32
    };
    drop(gradients); // dropped so that they can be scaled in place
    if error_if_nonfinite && !norm.is_finite() {
        return Err(Error::Value(format!(
            "{NAME}: the norm of the gradients is {norm}, so they cannot be clipped; pass error_if_nonfinite=False to scale them anyway"
        )));
    }
    let factor = factor(norm, max_norm);
    #[allow(clippy::float_cmp, reason = "exactly what a factor is limited to")]
    if factor != 1.0 {
        overwrite(&places, |a| {
            change_reals(a, |a| {
                dispatch!(float a.dtype(), T => scale(a.data_mut::<T>(), factor), else unreachable!("gradients are floating"));
            });
        });
    }
    Ok(Array::full(&[], Scalar::Float(norm), dtype))
}

/// Clamps every element of the gradients of these parameters, or both parts of complex elements, to [-`value`, `value`]; NaN is kept.
///
/// # Errors
/// `Value` when `value` is negative or NaN.
pub fn clip_grad_value<'a>(params: impl IntoIterator<Item = &'a Arc<Leaf>>, value: f64) -> Result<()> {
    check("clip_grad_value_", "clip_value", value)?;
    overwrite(&places(params), |a| {
        change_reals(a, |a| {
            dispatch!(float a.dtype(), T => limit(a.data_mut::<T>(), value), else unreachable!("gradients are floating"));
        });
    });
    Ok(())
}

/// The elements, or the absolute values of complex ones; 16-bit floats are converted to float32.
fn lengths(g: Array) -> Array {
    if g.dtype().is_half() {
        cast(&g, DType::F32)
    } else if g.dtype().is_complex() {
        complex::map_real(&g, complex::functions::abs)
    } else {
        g
    }
}

/// Runs `f` on the array, or on the parts of complex numbers.
fn change_reals(a: &mut Array, f: impl Fn(&mut Array)) {
    let dtype = a.dtype();
    if dtype.is_half() {
        let mut wide = cast(a, DType::F32);
        f(&mut wide);
        *a = cast(&wide, dtype);
        return;
    }
    a.turn_into(dtype.real());
    f(a);
    a.turn_into(dtype);
}

fn scale<T: Real + Element>(data: &mut [T], factor: f64) {
    let factor = T::lit(factor);
    change(data, move |x| factor * x);
}

fn limit<T: Real + Element>(data: &mut [T], value: f64) {
    let (low, high) = (T::lit(-value), T::lit(value));
    change(data, move |x| {
        let x = if x > high { high } else { x };
        if x < low { low } else { x }
    });
}

/// Fails unless `value` is at least zero.
pub(super) fn check(name: &str, option: &str, value: f64) -> Result<()> {
    super::not_negative(name, option, value)
}

/// The leaves that keep the gradients of these parameters, each once.
fn places<'a>(params: impl IntoIterator<Item = &'a Arc<Leaf>>) -> Vec<Arc<Leaf>> {
    let mut known: HashSet<u64, super::ById> = HashSet::default();
    alloc_check::collect(params.into_iter().filter_map(|p| p.grad()).filter(|g| {
        if known.try_reserve(1).is_err() {
            alloc_check::raise(alloc_check::exhausted("clip"));
        }
        known.insert(g.id())
    }))
}

/// The gradients of these parameters; for complex ones the absolute values, which have the same norms.
pub(super) fn gradients<'a>(params: impl IntoIterator<Item = &'a Arc<Leaf>>) -> Vec<Array> {
    alloc_check::collect(places(params).iter().map(|g| lengths(g.array())))
}

/// The factor for gradients of this norm: at most 1; NaN for NaN.
pub(super) fn factor(norm: f64, max_norm: f64) -> f64 {
    let factor = max_norm / (norm + EPS);
    if factor > 1.0 { 1.0 } else { factor }
}

/// Changes gradients in place, without history.
fn overwrite(places: &[Arc<Leaf>], f: impl Fn(&mut Array) + Sync) {
    let size = |g: &Arc<Leaf>| crate::array::size_of(&g.meta().shape);
    let change = |slot: &Arc<Leaf>| {
        if slot.overwrite(&f).is_none() {
            slot.set(slot.variable().detach());
            slot.update(&f);
        }
    };
    // Copies are made before the first gradient changes, so that nothing can fail half-way.
    for slot in places {
        slot.make_unique();
    }
    let grain = grain(places.iter().map(size));
    parallel::for_each_range(places.len(), grain, |range| places[range].iter().for_each(change));
}

/// Number of gradients per task, given their sizes: all of them, if it pays more to divide each of them among threads.
fn grain(sizes: impl ExactSizeIterator<Item = usize>) -> usize {
    let count = sizes.len();
    let (total, largest) = sizes.fold((0, 0), |(total, largest), n| (total + n, n.max(largest)));
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    if are_many(total, largest) { parallel::grain(count, 0.2 * total as f64 / count as f64) } else { count }
}

/// The norm of all gradients together, in double precision.
pub(super) fn norm_of(gradients: &[Array], p: f64) -> f64 {
    let each = |f: fn(&Array) -> f64| -> Vec<f64> {
        let part = |g: &Array| f(&g.contiguous());
        let ranges = parallel::map_ranges(gradients.len(), grain(gradients.iter().map(Array::size)), |range| {
            alloc_check::collect(gradients[range].iter().map(part))
        });
        alloc_check::collect(ranges.into_iter().flatten())
    };
    #[allow(clippy::float_cmp, reason = "exactly these have formulas of their own")]
    if p.is_infinite() {
        return largest(&each(largest_abs));
    } else if p == 1.0 {
        return each(sum_abs).iter().sum();
    } else if p == 2.0 {
        let sum: f64 = each(sum_squares).iter().sum();
        if sum.is_nan() || (sum.is_finite() && sum > f64::MIN_POSITIVE / f64::EPSILON) {
            return sum.sqrt();
        }
    }
    // A norm of norms, relative to the largest: powers of doubles may overflow or underflow.
    let norms: Vec<f64> = alloc_check::collect(gradients.iter().map(|g| length(g, p)));
    let largest = largest(&norms);
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    largest * norms.iter().map(|n| (n / largest).powf(p)).sum::<f64>().powf(1.0 / p)
}

/// The largest of these non-negative numbers; NaN if there is one.
fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |a: f64, &b| if a > b || a.is_nan() { a } else { b })
}

macro_rules! folds {
    ($($name:ident = $fold:ident;)+) => {
        $(fn $name(g: &Array) -> f64 {
            #[allow(trivial_numeric_casts, clippy::unnecessary_cast, reason = "from either precision")]
            #[allow(clippy::cast_lossless, reason = "from either precision")]
            let out = dispatch!(float g.dtype(), T => match g.as_slice::<T>() {
                Some(data) => fold_all::<$fold, T>(data) as f64,
                None => unreachable!("contiguous() is contiguous"),
            }, else unreachable!("gradients are floating"));
            out
        })+
    };
}
folds! {
    sum_squares = WideSquares;
    sum_abs = WideAbs;
    largest_abs = LargestAbs;
}

/// The norm of one gradient.
fn length(g: &Array, p: f64) -> f64 {
    match vector_norm(&g.clone().into(), None, false, p).and_then(|n| n.array().item()) {
        Ok(Scalar::Float(n)) => n,
        _ => unreachable!("any array has a norm with a power above zero"),
    }
}
