//! Principal square roots and logarithms: of Hermitian matrices by their eigenvalues, and of complex matrices with eigenvalues on the
//! negative real axis, which is the branch cut of both functions.
//!
//! As in NumPy's scalar functions, the value on the cut is that of the upper side: √-1 is i, and log -1 is iπ.

use std::f64::consts::PI;

use num_complex::Complex;

use super::{Failure, Number, eigen, functions, product, zeros};
use crate::array::alloc_check::{copied, filled};

type C = Complex<f64>;

/// The principal square root of a real matrix.
///
/// # Errors
/// As [`functions::sqrtm`].
pub fn sqrtm_real(a: &[f64], n: usize, out: &mut [f64]) -> Result<(), Failure> {
    let root = |w: f64, tiny: f64| if w < -tiny { Err(Failure::NotReal) } else { Ok(w.max(0.0).sqrt()) };
    if hermitian(a, n, out, root)? { Ok(()) } else { functions::sqrtm(a, n, out) }
}

/// The principal square root of a complex matrix.
///
/// # Errors
/// `NotReal` when an eigenvalue is zero and the matrix is not Hermitian; `NotFinite`, `NoConvergence`.
pub fn sqrtm_complex(a: &[C], n: usize, out: &mut [C]) -> Result<(), Failure> {
    let root = |w: f64, tiny: f64| Ok(if w < -tiny { C::new(0.0, (-w).sqrt()) } else { w.max(0.0).sqrt().into() });
    if hermitian(a, n, out, root)? {
        return Ok(());
    }
    let angle = turned(functions::sqrtm, a, n, out)?;
    if angle != 0.0 {
        let back = C::from_polar(1.0, angle / 2.0);
        out.iter_mut().for_each(|x| *x *= back);
    }
    Ok(())
}

/// The principal logarithm of a real matrix.
///
/// # Errors
/// As [`functions::logm`].
pub fn logm_real(a: &[f64], n: usize, out: &mut [f64]) -> Result<(), Failure> {
    let log = |w: f64, tiny: f64| if w <= tiny { Err(Failure::NotReal) } else { Ok(w.ln()) };
    if hermitian(a, n, out, log)? { Ok(()) } else { functions::logm(a, n, out) }
}

/// The principal logarithm of a complex matrix.
///
/// # Errors
/// `NotReal` when an eigenvalue is zero; `NotFinite`, `NoConvergence`.
pub fn logm_complex(a: &[C], n: usize, out: &mut [C]) -> Result<(), Failure> {
    let log = |w: f64, tiny: f64| if w.abs() <= tiny { Err(Failure::NotReal) } else { Ok(C::new(w, 0.0).ln()) };
    if hermitian(a, n, out, log)? {
        return Ok(());
    }
    let angle = turned(functions::logm, a, n, out)?;
    if angle != 0.0 {
        out.iter_mut().step_by(n + 1).for_each(|x| x.im += angle);
    }
    Ok(())
}

/// `f` of the matrix times e⁻ⁱᵃ, which has no eigenvalue on the negative real axis. Returns the angle a.
fn turned(f: impl Fn(&[C], usize, &mut [C]) -> Result<(), Failure>, a: &[C], n: usize, out: &mut [C]) -> Result<f64, Failure> {
    let angle = turn(a, n)?;
    if angle == 0.0 {
        f(a, n, out)?;
    } else {
        f(&scaled(a, C::from_polar(1.0, -angle)), n, out)?;
    }
    Ok(angle)
}

fn scaled(a: &[C], by: C) -> Vec<C> {
    let mut out = copied(a);
    out.iter_mut().for_each(|x| *x *= by);
    out
}

/// V f(w) Vᴴ of a Hermitian matrix; false for any other. `f` gets an eigenvalue and a bound of its rounding error.
fn hermitian<T: Number>(a: &[T], n: usize, out: &mut [T], f: impl Fn(f64, f64) -> Result<T, Failure>) -> Result<bool, Failure> {
    if n == 0 || (0..n).any(|i| (0..=i).any(|j| a[i * n + j] != a[j * n + i].conjugate())) {
        return Ok(false);
    }
    let (mut w, mut v) = (filled(0.0, n), zeros::<T>(n * n));
    eigen::eigh(a, n, true, &mut w, &mut v)?;
    let tiny = w.iter().fold(0.0_f64, |m, w| m.max(w.abs())) * f64::EPSILON * n as f64;
    let adjoint = super::adjoint(&v, n, n);
    for (j, w) in w.iter().enumerate() {
        let y = f(*w, tiny)?;
        v.iter_mut().skip(j).step_by(n).for_each(|x| *x *= y);
    }
    out.fill(T::real(0.0));
    product(&v, &adjoint, out, [n, n, n]);
    Ok(true)
}

/// The angle by which the matrix is rotated clockwise, so that no eigenvalue is on the cut and none crosses it. It is 0 for matrices whose
/// eigenvalues are not near the cut.
fn turn(a: &[C], n: usize) -> Result<f64, Failure> {
    let (core, k) = core(a, n);
    let (mut w, mut v) = (zeros::<C>(k), zeros::<C>(k * k));
    eigen::eig(&core, k, &mut w, &mut v)?;
    let size = w.iter().fold(0.0_f64, |m, w| m.max(w.norm()));
    let rounding = 1e-13 * size * k as f64;
    let (mut near, mut gap) = (false, 1.0_f64);
    for w in w.iter().filter(|w| w.re < 0.0) {
        let above = w.im >= -rounding;
        near |= PI - w.im.atan2(w.re).abs() < 0.1;
        if !above {
            gap = gap.min(w.im.atan2(w.re) + PI);
        }
    }
    Ok(if near { gap / 2.0 } else { 0.0 })
}

/// The block A of [[A, E], [0, A]], from which derivatives are read, else the matrix itself. Repeated eigenvalues are computed to few
/// digits only.
fn core(a: &[C], n: usize) -> (Vec<C>, usize) {
    let (mut out, mut k) = (copied(a), n);
    while k > 0 && k.is_multiple_of(2) {
        let (h, at) = (k / 2, |i: usize, j: usize| out[i * k + j]);
        let is_block = (0..h).all(|i| (0..h).all(|j| at(h + i, j) == C::default() && at(i, j) == at(h + i, h + j)));
        if !is_block {
            break;
        }
        out = (0..h * h).map(|e| at(e / h, e % h)).collect();
        k = h;
    }
    (out, k)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: &[C], b: &[C]) {
        for (x, y) in a.iter().zip(b) {
            assert!((x - y).norm() < 1e-12, "{a:?} {b:?}");
        }
    }

    #[test]
    fn the_cut_has_the_values_of_its_upper_side() {
        let (i, one, zero) = (C::new(0.0, 1.0), C::new(1.0, 0.0), C::new(0.0, 0.0));
        // Not Hermitian: triangular, with eigenvalues -1 and 4.
        let a = [-one, one * 3.0, zero, one * 4.0];
        let mut out = [zero; 4];
        sqrtm_complex(&a, 2, &mut out).unwrap();
        close(&out, &[i, one * 3.0 / (one * 2.0 + i), zero, one * 2.0]);
        logm_complex(&a, 2, &mut out).unwrap();
        let (low, high) = (i * PI, one * 4.0_f64.ln());
        close(&out, &[low, (high - low) * 3.0 / 5.0, zero, high]);
    }

    #[test]
    fn singular_hermitian_matrices_have_a_root() {
        let mut out = [0.0; 4];
        sqrtm_real(&[2.0, 2.0, 2.0, 2.0], 2, &mut out).unwrap();
        out.iter().for_each(|x| assert!((x - 1.0).abs() < 1e-14));
        assert_eq!(sqrtm_real(&[-1.0, 0.0, 0.0, 1.0], 2, &mut out), Err(Failure::NotReal));
        assert_eq!(logm_real(&[1.0, 1.0, 1.0, 1.0], 2, &mut out), Err(Failure::NotReal));
    }
}
