//! Eigenvalues of Hermitian matrices.

use faer::dyn_stack::MemStack;
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{ColMut, Par, Spec};

use super::{Failure, Number, largest, matrix, phase, power_of_two, scratch, zero_columns, zeros};

/// The eigenvalues (smallest first) and eigenvectors (columns) of the Hermitian matrix whose lower or upper triangle is `a`'s.
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
pub fn eigh<T: Number>(a: &[T], n: usize, lower: bool, w: &mut [f64], v: &mut [T]) -> Result<(), Failure> {
    if n == 0 {
        return Ok(());
    }
    let scale = power_of_two(largest(a)?);
    // Only the lower triangle is read.
    let mut work = matrix(n, n, |i, j| if lower { a[i * n + j] } else { a[j * n + i].conjugate() });
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
