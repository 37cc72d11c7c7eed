//! Triangular systems.

use super::{Number, SMALL, view, view_mut};

/// Solves T·x = b, or Tᴴ·x = b, overwriting the n×k matrix b. T is the lower or the upper triangle of `t`, with ones on its diagonal if
/// `unit`.
pub fn solve_in_place<T: Number>(t: &[T], n: usize, b: &mut [T], k: usize, lower: bool, unit: bool, adjoint: bool) {
    if n > SMALL {
        return large(t, n, b, k, lower, unit, adjoint);
    }
    // Forward substitution if the system that is solved is lower triangular.
    let forward = lower != adjoint;
    for step in 0..n {
        let i = if forward { step } else { n - 1 - step };
        let done = if forward { 0..i } else { i + 1..n };
        for j in done {
            let f = if adjoint { t[j * n + i].conjugate() } else { t[i * n + j] };
            let (row, other) = two_rows(b, i, j, k);
            for (x, y) in row.iter_mut().zip(other) {
                *x -= f * *y;
            }
        }
        if !unit {
            let d = if adjoint { t[i * n + i].conjugate() } else { t[i * n + i] };
            for x in &mut b[i * k..(i + 1) * k] {
                *x = *x / d;
            }
        }
    }
}

/// Row `i` for writing and row `j` for reading.
fn two_rows<T>(b: &mut [T], i: usize, j: usize, k: usize) -> (&mut [T], &[T]) {
    if i < j {
        let (low, high) = b.split_at_mut(j * k);
        (&mut low[i * k..(i + 1) * k], &high[..k])
    } else {
        let (low, high) = b.split_at_mut(i * k);
        (&mut high[..k], &low[j * k..(j + 1) * k])
    }
}

fn large<T: Number>(t: &[T], n: usize, b: &mut [T], k: usize, lower: bool, unit: bool, adjoint: bool) {
    use faer::linalg::triangular_solve as tri;
    let (t, b, par) = (view(t, n, n), view_mut(b, n, k), faer::Par::Seq);
    match (lower, unit, adjoint) {
        (true, false, false) => tri::solve_lower_triangular_in_place(t, b, par),
        (true, true, false) => tri::solve_unit_lower_triangular_in_place(t, b, par),
        (false, false, false) => tri::solve_upper_triangular_in_place(t, b, par),
        (false, true, false) => tri::solve_unit_upper_triangular_in_place(t, b, par),
        (true, false, true) => tri::solve_upper_triangular_in_place(t.adjoint(), b, par),
        (true, true, true) => tri::solve_unit_upper_triangular_in_place(t.adjoint(), b, par),
        (false, false, true) => tri::solve_lower_triangular_in_place(t.adjoint(), b, par),
        (false, true, true) => tri::solve_unit_lower_triangular_in_place(t.adjoint(), b, par),
    }
}

/// The first zero on the diagonal.
pub fn first_zero<T: Number>(t: &[T], n: usize) -> Option<usize> {
    super::lu::first_zero_pivot(t, n)
}
