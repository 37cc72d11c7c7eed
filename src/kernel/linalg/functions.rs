//! Functions of matrices: exponential, square root, logarithm.

use super::{Failure, Number, identity, lu, product, zeros};
use crate::array::alloc_check::{copied, filled};

/// The one-norm.
fn norm<T: Number>(a: &[T], n: usize) -> f64 {
    (0..n).map(|j| (0..n).map(|i| a[i * n + j].modulus()).sum()).fold(0.0, |m: f64, s: f64| if s > m || s.is_nan() { s } else { m })
}

fn times<T: Number>(a: &[T], b: &[T], n: usize) -> Vec<T> {
    let mut out = zeros(n * n);
    product(a, b, &mut out, [n, n, n]);
    out
}

/// Σ cₖ Aₖ.
fn combine<T: Number>(terms: &[(f64, &[T])]) -> Vec<T> {
    let mut out = zeros(terms[0].1.len());
    for (c, a) in terms {
        for (o, x) in out.iter_mut().zip(*a) {
            *o += T::real(*c) * *x;
        }
    }
    out
}

/// X with A·X = B.
fn divide<T: Number>(a: Vec<T>, b: &[T], n: usize) -> Result<Vec<T>, Failure> {
    let (mut factors, mut rows, mut x) = (a, filled(0, n), zeros(n * n));
    lu::factor(&mut factors, [n, n], &mut rows);
    if let Some(i) = lu::first_zero_pivot(&factors, n) {
        return Err(Failure::Singular(i));
    }
    lu::solve(&factors, &rows, n, b, n, false, &mut x);
    Ok(x)
}

/// Coefficients of the diagonal Padé approximants of the exponential, and the largest norms for them: Higham (2005).
const PADE: [(f64, &[f64]); 4] = [
    (1.495_585_217_958_292e-2, &[120.0, 60.0, 12.0, 1.0]),
    (2.539_398_330_063_230e-1, &[30240.0, 15120.0, 3360.0, 420.0, 30.0, 1.0]),
    (9.504_178_996_162_932e-1, &[17_297_280.0, 8_648_640.0, 1_995_840.0, 277_200.0, 25200.0, 1512.0, 56.0, 1.0]),
    (
        2.097_847_961_257_068,
        &[17_643_225_600.0, 8_821_612_800.0, 2_075_673_600.0, 302_702_400.0, 30_270_240.0, 2_162_160.0, 110_880.0, 3960.0, 90.0, 1.0],
    ),
];
const PADE_13: [f64; 14] = [
    64_764_752_532_480_000.0,
    32_382_376_266_240_000.0,
    7_771_770_303_897_600.0,
    1_187_353_796_428_800.0,
    129_060_195_264_000.0,
    10_559_470_521_600.0,
    670_442_572_800.0,
    33_522_128_640.0,
    1_323_241_920.0,
    40_840_800.0,
    960_960.0,
    16380.0,
    182.0,
    1.0,
];

/// The exponential, by scaling, a Padé approximant and squaring.
///
/// # Errors
/// `NotFinite`.
pub fn expm<T: Number>(a: &[T], n: usize, out: &mut [T]) -> Result<(), Failure> {
    let size = norm(a, n);
    if !size.is_finite() {
        return Err(Failure::NotFinite);
    }
    let id = identity(n);
    for (limit, c) in PADE {
        if size <= limit {
            let a2 = times(a, a, n);
            let mut power = copied(&id);
            let (mut even, mut odd) = (zeros(n * n), zeros(n * n));
            for pair in c.chunks_exact(2) {
                even = combine(&[(1.0, &even), (pair[0], &power)]);
                odd = combine(&[(1.0, &odd), (pair[1], &power)]);
                power = times(&power, &a2, n);
            }
            let odd = times(a, &odd, n);
            out.copy_from_slice(&divide(combine(&[(1.0, &even), (-1.0, &odd)]), &combine(&[(1.0, &even), (1.0, &odd)]), n)?);
            return Ok(());
        }
    }
    let squarings = (size / 5.371_920_351_148_152).log2().ceil().max(0.0) as i32;
    let scaled = combine(&[(2.0_f64.powi(-squarings), a)]);
    let mut x = pade_13(&scaled, n)?;
    for _ in 0..squarings {
        x = times(&x, &x, n);
    }
    out.copy_from_slice(&x);
    Ok(())
}

fn pade_13<T: Number>(a: &[T], n: usize) -> Result<Vec<T>, Failure> {
    let (id, b) = (identity(n), PADE_13);
    let a2 = times(a, a, n);
    let a4 = times(&a2, &a2, n);
    let a6 = times(&a4, &a2, n);
    let high = times(&a6, &combine(&[(b[13], &a6), (b[11], &a4), (b[9], &a2)]), n);
    let odd = times(a, &combine(&[(1.0, &high), (b[7], &a6), (b[5], &a4), (b[3], &a2), (b[1], &id)]), n);
    let high = times(&a6, &combine(&[(b[12], &a6), (b[10], &a4), (b[8], &a2)]), n);
    let even = combine(&[(1.0, &high), (b[6], &a6), (b[4], &a4), (b[2], &a2), (b[0], &id)]);
    divide(combine(&[(1.0, &even), (-1.0, &odd)]), &combine(&[(1.0, &even), (1.0, &odd)]), n)
}

/// The principal square root, by the product form of the Denman-Beavers iteration with scaling by the determinant: Higham (2008), 6.3.
///
/// # Errors
/// `NotReal` when an eigenvalue is on the negative real axis or zero, so that there is no principal root; `NotFinite`.
pub fn sqrtm<T: Number>(a: &[T], n: usize, out: &mut [T]) -> Result<(), Failure> {
    super::largest(a)?;
    if n == 0 {
        return Ok(());
    }
    let id = identity(n);
    let (mut m, mut x) = (copied(a), copied(a));
    let mut scaling = true;
    for _ in 0..60 {
        let inverse = divide(copied(&m), &id, n).map_err(|_| Failure::NotReal)?;
        let mu = if scaling { scale_of(&m, n) } else { 1.0 };
        // M ← (I + (μ²M + μ⁻²M⁻¹)/2)/2, X ← μX(I + μ⁻²M⁻¹)/2
        let factor = combine(&[(0.5 * mu, &id), (0.5 / mu, &inverse)]);
        let next_x = times(&x, &factor, n);
        m = combine(&[(0.5, &id), (0.25 * mu * mu, &m), (0.25 / (mu * mu), &inverse)]);
        let change = norm(&combine(&[(1.0, &next_x), (-1.0, &x)]), n) / norm(&next_x, n).max(f64::MIN_POSITIVE);
        x = next_x;
        let error = norm(&combine(&[(1.0, &m), (-1.0, &id)]), n);
        scaling = scaling && change > 1e-2;
        if !error.is_finite() {
            break;
        }
        if error <= f64::EPSILON * n as f64 {
            out.copy_from_slice(&x);
            return check_root(a, &x, n);
        }
    }
    check_root(a, &x, n)?;
    out.copy_from_slice(&x);
    Ok(())
}

/// |det M|^(-1/2n).
fn scale_of<T: Number>(m: &[T], n: usize) -> f64 {
    let (mut factors, mut rows) = (copied(m), filled(0, n));
    lu::factor(&mut factors, [n, n], &mut rows);
    let log: f64 = (0..n).map(|i| factors[i * n + i].modulus().ln()).sum();
    (-log / (2.0 * n as f64)).exp().clamp(1e-150, 1e150)
}

/// Fails unless X² is A: for a matrix without a principal root the iteration does not converge.
fn check_root<T: Number>(a: &[T], x: &[T], n: usize) -> Result<(), Failure> {
    let error = norm(&combine(&[(1.0, &times(x, x, n)), (-1.0, a)]), n);
    let size = norm(x, n);
    if error <= 1e-7 * size * size { Ok(()) } else { Err(Failure::NotReal) }
}

/// Nodes and weights of Gauss-Legendre quadrature over [0, 1] with 8 points, half of them: the others mirror them.
const GAUSS: [(f64, f64); 4] = [
    (0.019_855_071_751_231_884, 0.050_614_268_145_188_13),
    (0.101_666_761_293_186_63, 0.111_190_517_226_687_23),
    (0.237_233_795_041_835_5, 0.156_853_322_938_943_64),
    (0.408_282_678_752_175_1, 0.181_341_891_689_180_98),
];

/// The principal logarithm: square roots until the matrix is near the identity, then a Padé approximant as partial fractions. Higham
/// (2008), 11.4.
///
/// # Errors
/// As [`sqrtm`].
pub fn logm<T: Number>(a: &[T], n: usize, out: &mut [T]) -> Result<(), Failure> {
    super::largest(a)?;
    let id = identity(n);
    let mut x = copied(a);
    let mut roots = 0;
    while norm(&combine(&[(1.0, &x), (-1.0, &id)]), n) > 0.25 {
        if roots > 60 {
            return Err(Failure::NotReal);
        }
        let mut next = zeros(n * n);
        sqrtm(&x, n, &mut next)?;
        x = next;
        roots += 1;
    }
    let e = combine(&[(1.0, &x), (-1.0, &id)]);
    // log(I + E) = ∫ E (I + tE)⁻¹ dt over [0, 1]
    let mut sum = zeros(n * n);
    for (node, weight) in GAUSS {
        for t in [node, 1.0 - node] {
            let part = divide(combine(&[(1.0, &id), (t, &e)]), &e, n)?;
            sum = combine(&[(1.0, &sum), (weight, &part)]);
        }
    }
    out.copy_from_slice(&combine(&[(2.0_f64.powi(roots), &sum)]));
    Ok(())
}
