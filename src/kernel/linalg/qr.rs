//! QR by Householder reflections.

use faer::dyn_stack::MemStack;
use faer::linalg::householder as reflections;
use faer::linalg::qr::no_pivoting::factor;
use faer::{Conj, Par, Spec};

use super::{Number, SMALL, columns, matrix, read, scratch, zero_columns, zeros};
use crate::array::alloc_check::copied;

/// Q (m×p) and R (p×n) of an m×n matrix; p is m for the full Q, else min(m, n).
pub fn qr<T: Number>(a: &[T], [m, n]: [usize; 2], p: usize, q: &mut [T], r: &mut [T]) {
    let k = m.min(n);
    if m.max(n) > SMALL && k > 0 {
        return large(a, [m, n], p, q, r);
    }
    let mut w = copied(a);
    let mut taus = zeros(k);
    for (j, tau) in taus.iter_mut().enumerate() {
        *tau = reflect(&mut w, [m, n], j);
    }
    for i in 0..p {
        for j in 0..n {
            r[i * n + j] = if i <= j && i < k { w[i * n + j] } else { T::real(0.0) };
        }
    }
    // Q is the product of the reflections, applied to the first columns of the identity.
    q.fill(T::real(0.0));
    for i in 0..p {
        q[i * p + i] = T::real(1.0);
    }
    for j in (0..k).rev() {
        for c in 0..p {
            let mut sum = q[j * p + c];
            for i in j + 1..m {
                sum += w[i * n + j].conjugate() * q[i * p + c];
            }
            let f = taus[j] * sum;
            q[j * p + c] -= f;
            for i in j + 1..m {
                q[i * p + c] -= w[i * n + j] * f;
            }
        }
    }
}

fn large<T: Number>(a: &[T], [m, n]: [usize; 2], p: usize, q: &mut [T], r: &mut [T]) {
    let k = m.min(n);
    let block = factor::recommended_block_size::<T>(m, n);
    let (mut factors, mut coefficients) = (columns(a, m, n), zero_columns(block, k));
    let mut memory = scratch(factor::qr_in_place_scratch::<T>(m, n, block, Par::Seq, Spec::default()));
    factor::qr_in_place(factors.as_mut(), coefficients.as_mut(), Par::Seq, MemStack::new(&mut memory), Spec::default());
    let mut full = matrix(m, p, |i, j| T::real(f64::from(u8::from(i == j))));
    let mut memory = scratch(reflections::apply_block_householder_sequence_on_the_left_in_place_scratch::<T>(m, block, p));
    reflections::apply_block_householder_sequence_on_the_left_in_place_with_conj(
        factors.get(.., ..k),
        coefficients.as_ref(),
        Conj::No,
        full.as_mut(),
        Par::Seq,
        MemStack::new(&mut memory),
    );
    read(full.as_ref(), q);
    r.fill(T::real(0.0));
    for i in 0..k {
        for j in i..n {
            r[i * n + j] = factors[(i, j)];
        }
    }
    for i in 0..k {
        make_real(q, r, [p, n], i);
    }
}

/// Scales a column of Q and a row of R by a phase, so that the diagonal is real and keeps the sign of its real part.
fn make_real<T: Number>(q: &mut [T], r: &mut [T], [p, n]: [usize; 2], i: usize) {
    let d = r[i * n + i];
    let size = d.modulus();
    if !(size > d.re().abs()) {
        return;
    }
    let signed = if d.re() > 0.0 { size } else { -size };
    let turn = d / T::real(signed);
    r[i * n..(i + 1) * n].iter_mut().for_each(|x| *x *= turn.conjugate());
    r[i * n + i] = T::real(signed);
    q.iter_mut().skip(i).step_by(p).for_each(|x| *x *= turn);
}

/// Reflects column j to a multiple of a unit vector. The vector of the reflection is stored below the diagonal. Signs are those of LAPACK.
fn reflect<T: Number>(w: &mut [T], [m, n]: [usize; 2], j: usize) -> T {
    let alpha = w[j * n + j];
    let scale = (j + 1..m).fold(0.0, |s: f64, i| s.max(w[i * n + j].modulus()));
    // A complex number on the diagonal is made real even if there is nothing below it.
    if !(scale > 0.0) && !(alpha.modulus() > alpha.re().abs()) {
        return T::real(0.0);
    }
    let scale = scale.max(alpha.modulus());
    let sum = (j..m).fold(0.0, |s, i| {
        let x = w[i * n + j].modulus() / scale;
        s + x * x
    });
    let norm = scale * sum.sqrt();
    let beta = T::real(if alpha.re() > 0.0 { -norm } else { norm });
    let tau = (beta - alpha) / beta;
    let inverse = T::real(1.0) / (alpha - beta);
    for i in j + 1..m {
        w[i * n + j] = w[i * n + j] * inverse;
    }
    w[j * n + j] = beta;
    for c in j + 1..n {
        let mut sum = w[j * n + c];
        for i in j + 1..m {
            sum += w[i * n + j].conjugate() * w[i * n + c];
        }
        let f = tau.conjugate() * sum;
        w[j * n + c] -= f;
        for i in j + 1..m {
            let v = w[i * n + j];
            w[i * n + c] -= v * f;
        }
    }
    tau
}
