//! LU with partial pivoting.

use super::triangular::solve_in_place;
use super::{Failure, Number, SMALL, columns, read, scratch};
use crate::array::alloc_check::{collect, copied, filled};

/// Replaces an m×n matrix by its factors: L below the diagonal, U on and above it. Row `i` of L·U is row `rows[i]` of A. Returns the sign
/// of the permutation.
pub fn factor<T: Number>(a: &mut [T], [m, n]: [usize; 2], rows: &mut [i64]) -> f64 {
    if m.max(n) > SMALL && m.min(n) > 0 {
        return large_factor(a, [m, n], rows);
    }
    for (i, r) in rows.iter_mut().enumerate() {
        *r = i as i64;
    }
    let mut sign = 1.0;
    for k in 0..m.min(n) {
        let mut pivot = k;
        for i in k + 1..m {
            if a[i * n + k].modulus() > a[pivot * n + k].modulus() {
                pivot = i;
            }
        }
        if pivot != k {
            rows.swap(pivot, k);
            sign = -sign;
            let (low, high) = a.split_at_mut(pivot * n);
            low[k * n..(k + 1) * n].swap_with_slice(&mut high[..n]);
        }
        let d = a[k * n + k];
        if d.modulus() == 0.0 {
            continue;
        }
        let (top, below) = a.split_at_mut((k + 1) * n);
        let row = &top[k * n + k + 1..];
        for other in below.chunks_exact_mut(n) {
            let f = other[k] / d;
            other[k] = f;
            for (x, y) in other[k + 1..].iter_mut().zip(row) {
                *x -= f * *y;
            }
        }
    }
    sign
}

fn large_factor<T: Number>(a: &mut [T], [m, n]: [usize; 2], rows: &mut [i64]) -> f64 {
    let mut lu = columns(a, m, n);
    let (mut perm, mut back) = (filled(0_usize, m), filled(0_usize, m));
    let need = faer::linalg::lu::partial_pivoting::factor::lu_in_place_scratch::<usize, T>(m, n, faer::Par::Seq, faer::Spec::default());
    let mut memory = scratch(need);
    let (info, _) = faer::linalg::lu::partial_pivoting::factor::lu_in_place(
        lu.as_mut(),
        &mut perm,
        &mut back,
        faer::Par::Seq,
        faer::dyn_stack::MemStack::new(&mut memory),
        faer::Spec::default(),
    );
    read(lu.as_ref(), a);
    for (r, p) in rows.iter_mut().zip(&perm) {
        *r = *p as i64;
    }
    if info.transposition_count % 2 == 0 { 1.0 } else { -1.0 }
}

/// The number of the first pivot that is zero or NaN.
pub fn first_zero_pivot<T: Number>(lu: &[T], n: usize) -> Option<usize> {
    (0..n).find(|&i| lu[i * n + i].modulus() == 0.0)
}

/// x = A⁻¹·b, or A⁻ᴴ·b, from the factors of A.
pub fn solve<T: Number>(lu: &[T], rows: &[i64], n: usize, b: &[T], k: usize, adjoint: bool, x: &mut [T]) {
    if adjoint {
        let mut y = copied(b);
        solve_in_place(lu, n, &mut y, k, false, false, true);
        solve_in_place(lu, n, &mut y, k, true, true, true);
        for (i, &r) in rows.iter().enumerate() {
            x[r as usize * k..(r as usize + 1) * k].copy_from_slice(&y[i * k..(i + 1) * k]);
        }
        return;
    }
    for (i, &r) in rows.iter().enumerate() {
        x[i * k..(i + 1) * k].copy_from_slice(&b[r as usize * k..(r as usize + 1) * k]);
    }
    solve_in_place(lu, n, x, k, true, true, false);
    solve_in_place(lu, n, x, k, false, false, false);
}

/// The inverse.
///
/// # Errors
/// `Singular`.
pub fn inverse<T: Number>(a: &[T], n: usize, out: &mut [T]) -> Result<(), Failure> {
    let (mut lu, mut rows) = (copied(a), filled(0, n));
    factor(&mut lu, [n, n], &mut rows);
    if let Some(i) = first_zero_pivot(&lu, n) {
        return Err(Failure::Singular(i));
    }
    solve(&lu, &rows, n, &super::identity(n), n, false, out);
    Ok(())
}

/// The same permutation as LAPACK's pivots: row `i` was swapped with row `pivots[i]`, in order of i.
pub fn pivots(rows: &[i64], out: &mut [i64]) {
    let m = rows.len();
    let (mut at, mut place): (Vec<usize>, Vec<usize>) = (collect(0..m), collect(0..m));
    for (i, pivot) in out.iter_mut().enumerate() {
        let j = place[rows[i] as usize];
        *pivot = j as i64;
        at.swap(i, j);
        place[at[i]] = i;
        place[at[j]] = j;
    }
}
