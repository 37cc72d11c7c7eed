//! Eigenvalues and eigenvectors of Hermitian and of general matrices.

use faer::dyn_stack::MemStack;
use faer::linalg::evd::{ComputeEigenvectors, evd_cplx, evd_real, evd_scratch, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{ColMut, Par, Spec};
use num_complex::Complex;

use super::{Failure, Number, columns, largest, matrix, phase, power_of_two, scratch, zero_columns, zeros};
use crate::array::alloc_check::{copied, filled};

/// The eigenvalues (smallest first) and eigenvectors (columns) of the Hermitian matrix whose lower or upper triangle is that of `a`.
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
pub fn eigh<T: Number>(a: &[T], n: usize, lower: bool, w: &mut [f64], v: &mut [T]) -> Result<(), Failure> {
    if n == 0 {
        return Ok(());
    }
    let scale = power_of_two(largest(a)?);
    // Only the lower triangle is read. A Hermitian matrix has a real diagonal, so imaginary parts there do not count, as in LAPACK.
    let mut work = matrix(n, n, |i, j| match (i == j, lower) {
        (true, _) => T::real(a[i * n + i].re()),
        (false, true) => a[i * n + j],
        (false, false) => a[j * n + i].conjugate(),
    });
    if scale != 1.0 {
        work *= faer::Scale(T::real(scale));
    }
    let (mut vectors, mut values) = (zero_columns::<T>(n, n), zeros::<T>(n));
    let mut memory = scratch(self_adjoint_evd_scratch::<T>(n, ComputeEigenvectors::Yes, Par::Seq, Spec::default()));
    self_adjoint_evd(
        work.as_ref(),
        ColMut::from_slice_mut(&mut values).as_diagonal_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut memory),
        Spec::default(),
    )
    .map_err(|_| Failure::NoConvergence)?;
    super::read(vectors.as_ref(), v);
    for j in 0..n {
        let turn = phase(v.iter().skip(j).step_by(n).copied()).conjugate();
        v.iter_mut().skip(j).step_by(n).for_each(|x| *x *= turn);
    }
    for (i, w) in w.iter_mut().enumerate() {
        *w = values[i].re() / scale;
    }
    Ok(())
}

/// The eigenvalues and eigenvectors of a general matrix. Eigenvectors are columns of length 1 whose largest element is real, as in LAPACK.
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
pub fn eig<T: Number>(a: &[T], n: usize, w: &mut [Complex<f64>], v: &mut [Complex<f64>]) -> Result<(), Failure> {
    if n == 0 {
        return Ok(());
    }
    let scale = power_of_two(largest(a)?);
    let mut work = copied(a);
    work.iter_mut().for_each(|x| *x *= T::real(scale));
    let balance = balance(&mut work, n);
    T::eigen(&work, n, w, v)?;
    w.iter_mut().for_each(|w| *w = *w / scale);
    for (row, d) in v.chunks_exact_mut(n).zip(&balance) {
        row.iter_mut().for_each(|x| *x *= d);
    }
    for j in 0..n {
        let column = || v.iter().skip(j).step_by(n).copied();
        let largest = column().fold(0.0_f64, |m, x| m.max(x.modulus()));
        let length = largest * column().map(|x| (x / largest).norm_sqr()).sum::<f64>().sqrt();
        // Real vectors of real matrices keep their sign.
        let turn = if column().all(|x| x.im == 0.0) { Complex::new(1.0, 0.0) } else { phase(column()).conj() };
        v.iter_mut().skip(j).step_by(n).for_each(|x| *x = *x * turn / length);
        if turn.im != 0.0 {
            make_real(v, n, j, largest / length);
        }
    }
    Ok(())
}

/// Sets the imaginary part of the element that was made real to exactly zero.
fn make_real(v: &mut [Complex<f64>], n: usize, j: usize, largest: f64) {
    if let Some(x) = v.iter_mut().skip(j).step_by(n).find(|x| x.norm() > 0.9 * largest) {
        x.im = 0.0;
    }
}

/// Scales rows and columns by powers of two, so that their norms are similar: the matrix becomes diag(d)⁻¹·A·diag(d). Returns d. (Parlett &
/// Reinsch, 1969, as in LAPACK's gebal.)
fn balance<T: Number>(a: &mut [T], n: usize) -> Vec<f64> {
    let mut d = filled(1.0, n);
    let mut changed = true;
    while changed {
        changed = false;
        for i in 0..n {
            let sum = |at: &dyn Fn(usize) -> usize| (0..n).filter(|j| *j != i).map(|j| a[at(j)].modulus()).sum::<f64>();
            let (mut c, r) = (sum(&|j| j * n + i), sum(&|j| i * n + j));
            if !(c > 0.0 && r > 0.0) {
                continue;
            }
            let (before, mut f) = (c + r, 1.0_f64);
            while c < 0.5 * r && f < 1e100 {
                (f, c) = (f * 2.0, c * 4.0);
            }
            while c >= 2.0 * r && f > 1e-100 {
                (f, c) = (f * 0.5, c * 0.25);
            }
            if (c + r) / f < 0.95 * before && f != 1.0 {
                changed = true;
                d[i] *= f;
                a[i * n..(i + 1) * n].iter_mut().for_each(|x| *x *= T::real(1.0 / f));
                a.iter_mut().skip(i).step_by(n).for_each(|x| *x *= T::real(f));
            }
        }
    }
    d
}

/// [`Number::eigen`] for real matrices.
pub(super) fn real(a: &[f64], n: usize, w: &mut [Complex<f64>], v: &mut [Complex<f64>]) -> Result<(), Failure> {
    let (work, mut vectors) = (columns(a, n, n), zero_columns::<f64>(n, n));
    let (mut re, mut im) = (zeros::<f64>(n), zeros::<f64>(n));
    let (no, yes) = (ComputeEigenvectors::No, ComputeEigenvectors::Yes);
    let mut memory = scratch(evd_scratch::<f64>(n, no, yes, Par::Seq, Spec::default()));
    evd_real(
        work.as_ref(),
        ColMut::from_slice_mut(&mut re).as_diagonal_mut(),
        ColMut::from_slice_mut(&mut im).as_diagonal_mut(),
        None,
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut memory),
        Spec::default(),
    )
    .map_err(|_| Failure::NoConvergence)?;
    let mut j = 0;
    while j < n {
        w[j] = Complex::new(re[j], im[j]);
        let pair = im[j] != 0.0 && j + 1 < n;
        for i in 0..n {
            let x = Complex::new(vectors[(i, j)], if pair { vectors[(i, j + 1)] } else { 0.0 });
            v[i * n + j] = x;
            if pair {
                v[i * n + j + 1] = x.conj();
            }
        }
        if pair {
            w[j + 1] = w[j].conj();
        }
        j += 1 + usize::from(pair);
    }
    Ok(())
}

/// [`Number::eigen`] for complex matrices.
pub(super) fn complex(a: &[Complex<f64>], n: usize, w: &mut [Complex<f64>], v: &mut [Complex<f64>]) -> Result<(), Failure> {
    type C = Complex<f64>;
    let (work, mut vectors) = (columns(a, n, n), zero_columns::<C>(n, n));
    let (no, yes) = (ComputeEigenvectors::No, ComputeEigenvectors::Yes);
    let mut memory = scratch(evd_scratch::<C>(n, no, yes, Par::Seq, Spec::default()));
    evd_cplx(
        work.as_ref(),
        ColMut::from_slice_mut(w).as_diagonal_mut(),
        None,
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut memory),
        Spec::default(),
    )
    .map_err(|_| Failure::NoConvergence)?;
    super::read(vectors.as_ref(), v);
    Ok(())
}
