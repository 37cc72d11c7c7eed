//! Eigenvalues of Hermitian matrices.

use faer::Side;
use faer::linalg::solvers::SelfAdjointEigen;

use super::{Failure, Number, columns, largest, phase, power_of_two};

/// The eigenvalues (smallest first) and eigenvectors (columns) of the Hermitian matrix whose lower or upper triangle is `a`'s.
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
pub fn eigh<T: Number>(a: &[T], n: usize, lower: bool, w: &mut [f64], v: &mut [T]) -> Result<(), Failure> {
    if n == 0 {
        return Ok(());
    }
    let scale = power_of_two(largest(a)?);
    let mut work = columns(a, n, n);
    if scale != 1.0 {
        work *= faer::Scale(T::real(scale));
    }
    let side = if lower { Side::Lower } else { Side::Upper };
    let Ok(f) = SelfAdjointEigen::new(work.as_ref(), side) else { return Err(Failure::NoConvergence) };
    super::read(f.U(), v);
    for j in 0..n {
        let turn = phase(v.iter().skip(j).step_by(n).copied()).conjugate();
        v.iter_mut().skip(j).step_by(n).for_each(|x| *x *= turn);
    }
    let values = f.S().column_vector();
    for (i, w) in w.iter_mut().enumerate() {
        *w = values[i].re() / scale;
    }
    Ok(())
}
