//! Dense linear algebra on row-major matrices: factorisations, solves, matrix functions. Each call processes one matrix.
//!
//! Small matrices use loops of our own, which allocate nothing but the result. Larger ones use `faer`; this file scales matrices whose
//! elements faer would overflow or underflow on. Everything is generic over [`Number`]; single precision is computed in double.
//!
//! Working memory comes from `array::alloc_check` and is passed to faer's in-place functions, because faer's own solver types abort the
//! process when an allocation fails. One exception remains: faer's matrix product allocates a packing buffer on its first use in a thread.
#![allow(clippy::float_cmp, reason = "exact zeros")]
#![allow(clippy::assign_op_pattern, clippy::needless_for_each, reason = "formulas of generic numbers")]
#![allow(clippy::excessive_precision, reason = "coefficients as published")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "dimensions are small"
)]
#![allow(clippy::needless_range_loop, reason = "loops over rows and columns read best by their numbers")]
#![allow(clippy::neg_cmp_op_on_partial_ord, reason = "NaN takes the other branch")]
#![allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools, reason = "as in LAPACK")]

pub mod eigen;
pub mod functions;
pub mod lu;
pub mod principal;
pub mod qr;
pub mod svd;
pub mod triangular;

use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use faer::dyn_stack::{MemBuffer, StackReq};
use faer::traits::ComplexField;
use faer::{Mat, MatMut, MatRef};
use num_complex::Complex;

use crate::array::alloc_check;

/// Matrices up to this size use our own loops.
pub const SMALL: usize = 16;

/// The elements of matrices: real or complex doubles.
pub trait Number:
    ComplexField
    + Copy
    + Default
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Send
    + Sync
    + 'static
{
    /// A real number.
    fn real(v: f64) -> Self;
    /// The real part.
    fn re(self) -> f64;
    /// The complex conjugate.
    #[must_use]
    fn conjugate(self) -> Self;
    /// The absolute value.
    fn modulus(self) -> f64;
    /// Whether it is neither infinite nor NaN.
    fn finite(self) -> bool;
    /// The eigenvalues and eigenvectors of a matrix, before normalisation.
    ///
    /// # Errors
    /// `NoConvergence`.
    fn eigen(a: &[Self], n: usize, w: &mut [Complex<f64>], v: &mut [Complex<f64>]) -> Result<(), Failure>;
}

impl Number for f64 {
    fn real(v: f64) -> Self {
        v
    }
    fn re(self) -> f64 {
        self
    }
    fn conjugate(self) -> Self {
        self
    }
    fn modulus(self) -> f64 {
        self.abs()
    }
    fn finite(self) -> bool {
        self.is_finite()
    }
    fn eigen(a: &[Self], n: usize, w: &mut [Complex<f64>], v: &mut [Complex<f64>]) -> Result<(), Failure> {
        eigen::real(a, n, w, v)
    }
}

impl Number for Complex<f64> {
    fn real(v: f64) -> Self {
        v.into()
    }
    fn re(self) -> f64 {
        self.re
    }
    fn conjugate(self) -> Self {
        self.conj()
    }
    fn modulus(self) -> f64 {
        self.norm()
    }
    fn finite(self) -> bool {
        self.is_finite()
    }
    fn eigen(a: &[Self], n: usize, w: &mut [Self], v: &mut [Self]) -> Result<(), Failure> {
        eigen::complex(a, n, w, v)
    }
}

/// Why a factorisation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The pivot of this number is zero or NaN.
    Singular(usize),
    /// The leading minor of this order is not positive.
    NotPositive(usize),
    /// An element is infinite or NaN.
    NotFinite,
    /// An iteration did not converge.
    NoConvergence,
    /// The matrix has no real logarithm or square root, or none at all.
    NotReal,
}

/// A row-major matrix as a view for faer.
pub(super) fn view<T: Number>(a: &[T], m: usize, n: usize) -> MatRef<'_, T> {
    MatRef::from_row_major_slice(a, m, n)
}

/// A row-major matrix as a mutable view for faer.
pub(super) fn view_mut<T: Number>(a: &mut [T], m: usize, n: usize) -> MatMut<'_, T> {
    MatMut::from_row_major_slice_mut(a, m, n)
}

/// Copies a matrix from faer to a row-major one.
pub(super) fn read<T: Number>(from: MatRef<'_, T>, to: &mut [T]) {
    let n = from.ncols();
    for j in 0..n {
        for i in 0..from.nrows() {
            to[i * n + j] = from[(i, j)];
        }
    }
}

/// A column-major matrix for faer; unwinds as `alloc_check::with_capacity`.
pub(super) fn matrix<T: Number>(m: usize, n: usize, f: impl Fn(usize, usize) -> T) -> Mat<T> {
    let mut out = Mat::new();
    if out.try_reserve(m, n).is_err() {
        alloc_check::raise(alloc_check::exhausted(""));
    }
    out.resize_with(m, n, f);
    out
}

/// A column-major copy, which faer's factorisations read fastest.
pub(super) fn columns<T: Number>(a: &[T], m: usize, n: usize) -> Mat<T> {
    matrix(m, n, |i, j| a[i * n + j])
}

/// A column-major matrix of zeros.
pub(super) fn zero_columns<T: Number>(m: usize, n: usize) -> Mat<T> {
    matrix(m, n, |_, _| T::real(0.0))
}

/// Working memory for one of faer's functions; unwinds as [`matrix`].
pub(super) fn scratch(need: StackReq) -> MemBuffer {
    MemBuffer::try_new(need).unwrap_or_else(|_| alloc_check::raise(alloc_check::exhausted("")))
}

/// `n` zeros, row-major; unwinds as [`matrix`].
pub(super) fn zeros<T: Number>(n: usize) -> Vec<T> {
    alloc_check::filled(T::real(0.0), n)
}

/// out = a · b, of m×k and k×n.
pub fn product<T: Number>(a: &[T], b: &[T], out: &mut [T], [m, k, n]: [usize; 3]) {
    if m.max(k).max(n) > SMALL {
        let (a, b) = (view(a, m, k), view(b, k, n));
        faer::linalg::matmul::matmul(view_mut(out, m, n), faer::Accum::Replace, a, b, T::real(1.0), faer::Par::Seq);
        return;
    }
    out.fill(T::real(0.0));
    for i in 0..m {
        for p in 0..k {
            let x = a[i * k + p];
            for (o, y) in out[i * n..(i + 1) * n].iter_mut().zip(&b[p * n..(p + 1) * n]) {
                *o += x * *y;
            }
        }
    }
}

/// The conjugate transpose of an m×n matrix.
pub fn adjoint<T: Number>(a: &[T], m: usize, n: usize) -> Vec<T> {
    let mut out = zeros(m * n);
    for i in 0..m {
        for j in 0..n {
            out[j * m + i] = a[i * n + j].conjugate();
        }
    }
    out
}

/// The identity.
pub fn identity<T: Number>(n: usize) -> Vec<T> {
    let mut out = zeros(n * n);
    for i in 0..n {
        out[i * n + i] = T::real(1.0);
    }
    out
}

/// The largest absolute value. An error when an element is not finite.
pub(super) fn largest<T: Number>(a: &[T]) -> Result<f64, Failure> {
    if !a.iter().all(|x| x.finite()) {
        return Err(Failure::NotFinite);
    }
    Ok(a.iter().fold(0.0, |m, x| x.modulus().max(m)))
}

/// The sign (or phase) of the first of a vector's largest elements. Vectors are divided by it, because the iterations that compute them
/// leave it undetermined.
pub(super) fn phase<T: Number>(mut vector: impl Iterator<Item = T> + Clone) -> T {
    let most = vector.clone().fold(0.0_f64, |m, x| m.max(x.modulus()));
    match vector.find(|x| x.modulus() > 0.9 * most) {
        Some(x) => x / T::real(x.modulus()),
        None => T::real(1.0),
    }
}

/// A power of two that scales the largest element to about 1, if it is far from 1: faer's iterations do not scale by themselves.
pub(super) fn power_of_two(largest: f64) -> f64 {
    if largest == 0.0 || (1e-100..1e100).contains(&largest) { 1.0 } else { 2.0_f64.powi(-(largest.log2().floor().clamp(-1020.0, 1020.0) as i32)) }
}

/// The Cholesky factor L of the Hermitian matrix whose lower triangle is that of `a`: A = L·Lᴴ.
///
/// # Errors
/// `NotPositive`, or `NotFinite`.
pub fn cholesky<T: Number>(a: &[T], n: usize, out: &mut [T]) -> Result<(), Failure> {
    out.copy_from_slice(a);
    if n > SMALL {
        // As in LAPACK, imaginary parts on the diagonal do not count.
        let mut lower = matrix(n, n, |i, j| if i == j { T::real(a[i * n + i].re()) } else { a[i * n + j] });
        let need = faer::linalg::cholesky::llt::factor::cholesky_in_place_scratch::<T>(n, faer::Par::Seq, faer::Spec::default());
        let mut memory = scratch(need);
        let done = faer::linalg::cholesky::llt::factor::cholesky_in_place(
            lower.as_mut(),
            faer::linalg::cholesky::llt::factor::LltRegularization::default(),
            faer::Par::Seq,
            faer::dyn_stack::MemStack::new(&mut memory),
            faer::Spec::default(),
        );
        if done.is_err() {
            return small_cholesky(out, n);
        }
        read(lower.as_ref(), out);
        clear_above(out, n);
        // faer does not report NaN.
        return match (0..n).find(|&i| !(out[i * n + i].re() > 0.0 && out[i * n + i].re().is_finite())) {
            Some(i) => Err(if a.iter().all(|x| x.finite()) { Failure::NotPositive(i + 1) } else { Failure::NotFinite }),
            None => Ok(()),
        };
    }
    small_cholesky(out, n)
}

fn clear_above<T: Number>(a: &mut [T], n: usize) {
    for i in 0..n {
        a[i * n + i + 1..(i + 1) * n].fill(T::real(0.0));
    }
}

/// [`cholesky`] in place, row by row.
fn small_cholesky<T: Number>(a: &mut [T], n: usize) -> Result<(), Failure> {
    for i in 0..n {
        let (done, rest) = a.split_at_mut(i * n);
        let row = &mut rest[..n];
        for j in 0..i {
            let other = &done[(j * n)..=(j * n + j)];
            let sum = row[..j].iter().zip(other).fold(row[j], |sum, (x, y)| sum - *x * y.conjugate());
            row[j] = sum / other[j];
        }
        let square = row[..i].iter().fold(row[i].re(), |sum, x| sum - (*x * x.conjugate()).re());
        if !(square > 0.0) || !square.is_finite() {
            return Err(if square.is_finite() { Failure::NotPositive(i + 1) } else { Failure::NotFinite });
        }
        row[i] = T::real(square.sqrt());
    }
    clear_above(a, n);
    Ok(())
}
