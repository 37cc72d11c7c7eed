//! The singular value decomposition, and what follows from it.

use faer::dyn_stack::MemStack;
use faer::linalg::svd::{ComputeSvdVectors, svd as faer_svd, svd_scratch};
use faer::{ColMut, Par, Spec};

use super::{Failure, Number, columns, largest, phase, power_of_two, scratch, zero_columns, zeros};
use crate::array::alloc_check::{collect, copied, filled};

/// U (m×p), the singular values (largest first) and Vᴴ (q×n) of an m×n matrix: p = m and q = n if `full`, else min(m, n).
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
pub fn svd<T: Number>(a: &[T], [m, n]: [usize; 2], full: bool, u: &mut [T], s: &mut [f64], vh: &mut [T]) -> Result<(), Failure> {
    let k = m.min(n);
    let (p, q) = if full { (m, n) } else { (k, k) };
    if k == 0 {
        unit(u, m, p);
        unit(vh, q, n);
        return Ok(());
    }
    let scale = power_of_two(largest(a)?);
    let mut work = columns(a, m, n);
    if scale != 1.0 {
        work *= faer::Scale(T::real(scale));
    }
    let (mut left, mut v, mut values) = (zero_columns::<T>(m, p), zero_columns::<T>(n, q), zeros::<T>(k));
    let vectors = if full { ComputeSvdVectors::Full } else { ComputeSvdVectors::Thin };
    let mut memory = scratch(svd_scratch::<T>(m, n, vectors, vectors, Par::Seq, Spec::default()));
    faer_svd(
        work.as_ref(),
        ColMut::from_slice_mut(&mut values).as_diagonal_mut(),
        Some(left.as_mut()),
        Some(v.as_mut()),
        Par::Seq,
        MemStack::new(&mut memory),
        Spec::default(),
    )
    .map_err(|_| Failure::NoConvergence)?;
    super::read(left.as_ref(), u);
    for j in 0..q {
        for i in 0..n {
            vh[j * n + i] = v[(i, j)].conjugate();
        }
    }
    for j in 0..k {
        let turn = phase(u.iter().skip(j).step_by(p).copied());
        u.iter_mut().skip(j).step_by(p).for_each(|x| *x *= turn.conjugate());
        vh[j * n..(j + 1) * n].iter_mut().for_each(|x| *x *= turn);
    }
    for (i, s) in s.iter_mut().enumerate() {
        *s = values[i].re() / scale;
    }
    Ok(())
}

fn unit<T: Number>(a: &mut [T], m: usize, n: usize) {
    a.fill(T::real(0.0));
    for i in 0..m.min(n) {
        a[i * n + i] = T::real(1.0);
    }
}

/// The conjugated cofactors of a square matrix of any rank. With A = U·S·Vᴴ they are conj(det(U) det(Vᴴ)) U·C·Vᴴ, where C is diagonal and
/// holds the products of the other singular values.
///
/// # Errors
/// As [`svd`].
pub fn cofactor<T: Number>(a: &[T], n: usize, out: &mut [T]) -> Result<(), Failure> {
    let basis = Basis::new(a, n)?;
    let c = vec_of(n, |i| basis.others(i, i));
    let mut scaled = copied(&basis.u);
    for i in 0..n {
        for j in 0..n {
            scaled[i * n + j] = scaled[i * n + j] * T::real(c[j]);
        }
    }
    super::product(&scaled, &basis.vh, out, [n, n, n]);
    out.iter_mut().for_each(|x| *x = *x * basis.sign);
    Ok(())
}

fn vec_of(n: usize, f: impl Fn(usize) -> f64) -> Vec<f64> {
    collect((0..n).map(f))
}

/// A square matrix in the basis of its singular vectors.
struct Basis<T> {
    u: Vec<T>,
    s: Vec<f64>,
    vh: Vec<T>,
    /// The conjugate of det(U) det(Vᴴ), of modulus 1.
    sign: T,
}

impl<T: Number> Basis<T> {
    fn new(a: &[T], n: usize) -> Result<Self, Failure> {
        let (mut u, mut s, mut vh) = (zeros(n * n), zeros(n), zeros(n * n));
        svd(a, [n, n], false, &mut u, &mut s, &mut vh)?;
        let sign = (unit_determinant(&u, n) * unit_determinant(&vh, n)).conjugate();
        Ok(Self { u, s, vh, sign })
    }

    /// The product of all singular values except two (or one, if i is j).
    fn others(&self, i: usize, j: usize) -> f64 {
        self.s.iter().enumerate().filter(|(k, _)| *k != i && *k != j).map(|(_, s)| s).product()
    }
}

fn unit_determinant<T: Number>(q: &[T], n: usize) -> T {
    let (mut lu, mut rows) = (copied(q), filled(0, n));
    let sign = super::lu::factor(&mut lu, [n, n], &mut rows);
    let d = (0..n).fold(T::real(sign), |d, i| d * lu[i * n + i]);
    d / T::real(d.modulus())
}

/// The conjugated derivative of the cofactors along `e`, which is the Hessian of the determinant applied to `e`.
///
/// # Errors
/// As [`svd`].
pub fn cofactor_derivative<T: Number>(a: &[T], e: &[T], n: usize, out: &mut [T]) -> Result<(), Failure> {
    let basis = Basis::new(a, n)?;
    let (ut, v) = (super::adjoint(&basis.u, n, n), super::adjoint(&basis.vh, n, n));
    let (mut left, mut f) = (zeros(n * n), zeros(n * n));
    super::product(&ut, e, &mut left, [n, n, n]);
    super::product(&left, &v, &mut f, [n, n, n]);
    let mut d = zeros::<T>(n * n);
    for i in 0..n {
        for j in 0..n {
            if i != j {
                let p = T::real(basis.others(i, j));
                d[i * n + i] += f[j * n + j].conjugate() * p;
                d[i * n + j] = -f[j * n + i].conjugate() * p;
            }
        }
    }
    super::product(&basis.u, &d, &mut left, [n, n, n]);
    super::product(&left, &basis.vh, out, [n, n, n]);
    out.iter_mut().for_each(|x| *x = *x * basis.sign);
    Ok(())
}

/// The Moore-Penrose inverse (n×m); singular values up to `cut` times the largest count as zero.
///
/// # Errors
/// As [`svd`].
pub fn pinv<T: Number>(a: &[T], [m, n]: [usize; 2], cut: f64, out: &mut [T]) -> Result<(), Failure> {
    let k = m.min(n);
    let (mut u, mut s, mut vh) = (zeros(m * k), zeros(k), zeros(k * n));
    svd(a, [m, n], false, &mut u, &mut s, &mut vh)?;
    let least = cut * s.first().copied().unwrap_or(0.0);
    let mut v = super::adjoint(&vh, k, n);
    for row in v.chunks_exact_mut(k.max(1)) {
        for (x, s) in row.iter_mut().zip(&s) {
            *x = if *s > least { *x / T::real(*s) } else { T::real(0.0) };
        }
    }
    super::product(&v, &super::adjoint(&u, m, k), out, [n, k, m]);
    Ok(())
}
