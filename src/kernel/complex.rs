//! Loops over complex numbers: parts, arithmetic, and elementwise functions.
//!
//! Functions are computed in double precision for complex64, too: one body each, and results are rounded once.

use num_complex::Complex;

use crate::array::{Array, DType, Element};
use crate::dispatch;
use crate::kernel::blocks::{self, Input};

pub use crate::kernel::math::complex as functions;

/// A function of one complex number.
pub type Function = fn(Complex<f64>) -> Complex<f64>;
/// A function of two complex numbers.
pub type Function2 = fn(Complex<f64>, Complex<f64>) -> Complex<f64>;

/// Runs code for a complex dtype, given the type of its parts.
macro_rules! complex_dispatch {
    ($d:expr, $T:ident => $body:expr) => {
        match $d {
            DType::C64 => {
                type $T = f32;
                $body
            }
            DType::C128 => {
                type $T = f64;
                $body
            }
            other => unreachable!("{other} is not complex"),
        }
    };
}

/// Conversions between a complex type and complex128.
trait Wide: Copy {
    fn wide(z: Complex<Self>) -> Complex<f64>;
    fn narrow(z: Complex<f64>) -> Complex<Self>;
}

impl Wide for f32 {
    #[inline(always)]
    fn wide(z: Complex<Self>) -> Complex<f64> {
        Complex::new(z.re.into(), z.im.into())
    }
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "rounded once")]
    fn narrow(z: Complex<f64>) -> Complex<Self> {
        Complex::new(z.re as Self, z.im as Self)
    }
}

impl Wide for f64 {
    #[inline(always)]
    fn wide(z: Complex<Self>) -> Complex<f64> {
        z
    }
    #[inline(always)]
    fn narrow(z: Complex<f64>) -> Complex<Self> {
        z
    }
}

/// `f` of each element.
///
/// # Panics
/// When the dtype is not complex: a bug of the caller, as in all functions here.
#[must_use]
pub fn map(x: &Array, f: Function) -> Array {
    complex_dispatch!(x.dtype(), T => blocks::map([Input::from(x)], x.shape(), |[z]: [Complex<T>; 1]| T::narrow(f(T::wide(z)))))
}

/// A real-valued function of each element.
#[must_use]
pub fn map_real(x: &Array, f: fn(Complex<f64>) -> f64) -> Array {
    complex_dispatch!(x.dtype(), T => blocks::map([Input::from(x)], x.shape(), |[z]: [Complex<T>; 1]| T::narrow(f(T::wide(z)).into()).re))
}

/// A predicate of each element: `of_parts` applied to the predicate `part` of the real part and of the imaginary part.
#[must_use]
pub fn test(x: &Array, part: fn(f64) -> bool, of_parts: fn(bool, bool) -> bool) -> Array {
    complex_dispatch!(x.dtype(), T => blocks::map([Input::from(x)], x.shape(), |[z]: [Complex<T>; 1]| {
        let z = T::wide(z);
        of_parts(part(z.re), part(z.im))
    }))
}

/// `f` of each pair of elements, broadcast to `shape`.
#[must_use]
pub fn map2(inputs: [Input<'_>; 2], shape: &[usize], dtype: DType, f: Function2) -> Array {
    complex_dispatch!(dtype, T => blocks::map(inputs, shape, |[a, b]: [Complex<T>; 2]| T::narrow(f(T::wide(a), T::wide(b)))))
}

/// Arithmetic that the compiler vectorises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// a + b
    Add,
    /// a - b
    Subtract,
    /// a · b
    Multiply,
}

/// Arithmetic on each pair of elements, broadcast to `shape`.
#[must_use]
pub fn arithmetic(inputs: [Input<'_>; 2], shape: &[usize], dtype: DType, op: Arithmetic) -> Array {
    complex_dispatch!(dtype, T => match op {
        Arithmetic::Add => blocks::map(inputs, shape, |[a, b]: [Complex<T>; 2]| a + b),
        Arithmetic::Subtract => blocks::map(inputs, shape, |[a, b]: [Complex<T>; 2]| a - b),
        Arithmetic::Multiply => blocks::map(inputs, shape, |[a, b]: [Complex<T>; 2]| a * b),
    })
}

/// The complex conjugates.
#[must_use]
pub fn conj(x: &Array) -> Array {
    complex_dispatch!(x.dtype(), T => blocks::map([Input::from(x)], x.shape(), |[z]: [Complex<T>; 1]| z.conj()))
}

/// The real parts.
#[must_use]
pub fn real(x: &Array) -> Array {
    complex_dispatch!(x.dtype(), T => blocks::map([Input::from(x)], x.shape(), |[z]: [Complex<T>; 1]| z.re))
}

/// The imaginary parts.
#[must_use]
pub fn imag(x: &Array) -> Array {
    complex_dispatch!(x.dtype(), T => blocks::map([Input::from(x)], x.shape(), |[z]: [Complex<T>; 1]| z.im))
}

/// Complex numbers from their parts, which have the same floating dtype, and shapes that broadcast to `shape`.
#[must_use]
pub fn from_parts(re: &Array, im: &Array, shape: &[usize]) -> Array {
    dispatch!(float re.dtype(), T => blocks::map([Input::from(re), Input::from(im)], shape, |[re, im]: [T; 2]| Complex::new(re, im)),
        else unreachable!("parts are floating"))
}

/// The products of runs of `count` elements of a row-major array, in `shape`.
#[must_use]
pub fn products(x: &Array, count: usize, shape: &[usize]) -> Array {
    complex_dispatch!(x.dtype(), T => {
        let one = <Complex<T> as Element>::from_scalar(1_i64.into());
        let x = x.contiguous();
        let data = x.as_slice::<Complex<T>>().unwrap_or_default();
        Array::build(shape, |out: &mut [Complex<T>]| {
            for (i, o) in out.iter_mut().enumerate() {
                *o = data[i * count..(i + 1) * count].iter().fold(one, |a, b| a * b);
            }
        })
    })
}
