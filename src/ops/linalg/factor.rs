//! Factorisations: Cholesky, LU, QR.
#![allow(clippy::comparison_chain, reason = "two of three cases")]

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::solve::{Triangle, solve_adjoint, solve_triangular, triangular_solve};
use super::{
    batched, complex_samples, cubic, give, h, hermitian, join, matrices, minus, mm, one, part, phi, plus, regular_samples, run, sides, squares,
    strict_lower, upper, weigh,
};
use crate::array::alloc_check::{collect, copied, filled};
use crate::array::{Array, DType, Shape};
use crate::error::{Error, Result};
use crate::kernel::linalg::{Number, cholesky as kernel_cholesky, lu as kernel_lu, qr as kernel_qr};
use crate::ops::registry::{Arg, Default, Entry, Gradient, Kind, Param, Sample, Value};
use crate::ops::samples::{Domain, Draw, REAL, call_with};
use crate::ops::{add, matrix_transpose, take, take_along_axis, tril};
use crate::tape::{Batch, Jvp, JvpContext, Outputs, Primitive, Variable, Vjp, VjpContext, apply, apply_all};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&CHOLESKY, &LU, &QR];

const LOWER: Triangle = Triangle { lower: true, unit: false, adjoint: false };
const UPPER: Triangle = Triangle { lower: false, unit: false, adjoint: false };

/// op(T)⁻¹ · x.
fn left(triangle: &Variable, x: &Variable, how: Triangle) -> Result<Variable> {
    triangular_solve(triangle, x, how)
}

/// x · op(T)⁻¹, from the conjugate transpose of the system.
fn right(x: &Variable, triangle: &Variable, how: Triangle) -> Result<Variable> {
    h(&triangular_solve(triangle, &h(x)?, Triangle { adjoint: !how.adjoint, ..how })?)
}

fn adjoint(how: Triangle) -> Triangle {
    Triangle { adjoint: true, ..how }
}

static CHOLESKY: Primitive = Primitive {
    name: "cholesky",
    eval: |call| {
        let a = call.array(0);
        let n = sides(a)[0];
        let cores: [(&[usize], DType); 1] = [(&[n, n], a.dtype())];
        let [l] = number!(a.dtype(), T => run::<T, _, _>("cholesky", [(a, 2)], cores, 0.5 * cubic(n), &|[a], [l]| kernel_cholesky(a, n, l)))?;
        call.give(l);
        Ok(())
    },
    saves: |s| s.output(0),
    // Murray: gA = L⁻ᴴ (P + Pᴴ) L⁻¹ / 2, P = Φ(Lᴴ gL). The gradient is Hermitian, because only Hermitian matrices have a factor.
    vjp: Vjp::Rule(|ctx| {
        let (g, l) = (ctx.cotangent(), ctx.output(0));
        let p = hermitian(&phi(&mm(&h(&l)?, &g)?)?)?;
        ctx.add(0, right(&left(&l, &p, adjoint(LOWER))?, &l, LOWER)?)
    }),
    // dL = L Φ(L⁻¹ dA L⁻ᴴ)
    jvp: Jvp::Rule(|ctx| {
        let Some(da) = &ctx.tangents[0] else { return Ok(Outputs::new()) };
        let l = &ctx.outputs[0];
        let inner = right(&left(l, &hermitian(da)?, LOWER)?, l, adjoint(LOWER))?;
        Ok(one(mm(l, &phi(&inner)?)?))
    }),
    batch: Batch::Rule(batched),
    ..Primitive::BASE
};

/// The lower triangular L with A = L·Lᴴ, or with `upper` its conjugate transpose, for Hermitian positive definite matrices. Only the lower
/// (or the upper) triangle is read.
///
/// # Errors
/// `LinAlg` when a matrix is not positive definite.
pub fn cholesky(a: &Variable, upper: bool) -> Result<Variable> {
    let a = squares("cholesky", a)?;
    if upper { h(&apply(&CHOLESKY, &[(&h(&a)?).into()], &())?) } else { apply(&CHOLESKY, &[(&a).into()], &()) }
}

/// Solves A·x = b, given the Cholesky factor of A, lower or upper.
///
/// # Errors
/// As `solve_triangular`.
pub fn cho_solve(c: &Variable, b: &Variable, lower: bool) -> Result<Variable> {
    let half = |b: &Variable, adjoint: bool| solve_adjoint(c, b, Triangle { lower, unit: false, adjoint });
    half(&half(b, !lower)?, lower)
}

/// L (m×k), U (k×n), the rows of A in the order of L·U, and LAPACK's pivots.
static LU: Primitive = Primitive {
    name: "lu",
    eval: |call| {
        let a = call.array(0);
        let [m, n] = sides(a);
        let (k, dtype) = (m.min(n), a.dtype());
        let cores: [(&[usize], DType); 4] = [(&[m, k], dtype), (&[k, n], dtype), (&[m], DType::I64), (&[k], DType::I64)];
        let outs = number!(dtype, T => run::<T, _, _>("lu", [(a, 2)], cores, cubic(m.max(n)), &|[a], [l, u, rows, pivots]| {
            let (mut f, mut order, mut swaps) = (copied(a), filled(0, m), filled(0, k));
            kernel_lu::factor(&mut f, [m, n], &mut order);
            kernel_lu::pivots(&order, &mut swaps);
            for i in 0..m {
                for j in 0..k {
                    l[i * k + j] = if i > j { f[i * n + j] } else { T::real(f64::from(u8::from(i == j))) };
                }
            }
            for i in 0..k {
                for j in 0..n {
                    u[i * n + j] = if i <= j { f[i * n + j] } else { T::real(0.0) };
                }
            }
            rows.iter_mut().zip(order).for_each(|(to, from)| *to = T::real(from as f64));
            pivots.iter_mut().zip(swaps).for_each(|(to, from)| *to = T::real(from as f64));
            Ok(())
        }))?;
        give(call, outs);
        Ok(())
    },
    saves: |s| {
        for i in 0..3 {
            s.output(i);
        }
    },
    vjp: Vjp::Rule(pull_lu),
    jvp: Jvp::Rule(push_lu),
    batch: Batch::Rule(batched),
    ..Primitive::BASE
};

/// The rows of `x` in the order `rows`, or the inverse of that.
fn reorder(x: &Variable, rows: &Variable, back: bool) -> Result<Variable> {
    if back {
        return mm(&matrix_transpose(&permutation(rows, x.dtype())?)?, x);
    }
    let order = crate::ops::broadcast_to(&crate::ops::expand_dims(rows, &[-1])?, x.shape())?;
    take_along_axis(x, &order, Some(-2))
}

/// The permutation matrix whose row i has a one in column `rows[i]`.
fn permutation(rows: &Variable, dtype: DType) -> Result<Variable> {
    let n = rows.shape().last().copied().unwrap_or(0);
    take(&super::weights([n, n], dtype, |i, j| f64::from(u8::from(i == j))), rows, Some(0))
}

fn pull_lu(ctx: &mut VjpContext<'_>) -> Result<()> {
    let (l, u, rows) = (ctx.output(0), ctx.output(1), Variable::from(ctx.output_array(2).clone()));
    let gl = ctx.cotangent_of(0).map_or_else(|| super::zeros_like(&l), Ok)?;
    let gu = ctx.cotangent_of(1).map_or_else(|| super::zeros_like(&u), Ok)?;
    let (m, k) = (sides(l.array())[0], sides(l.array())[1]);
    let n = sides(u.array())[1];
    let (l1, u1) = (part(&l, -2, 0, k)?, part(&u, -1, 0, k)?);
    let unit = Triangle { unit: true, ..LOWER };
    // de Hoog et al.: the square part, from which the contribution of L₂ or U₂ is subtracted.
    let mut low = mm(&h(&l1)?, &part(&gl, -2, 0, k)?)?;
    let mut high = mm(&part(&gu, -1, 0, k)?, &h(&u1)?)?;
    if n > k {
        low = minus(&low, &mm(&part(&gu, -1, k, n)?, &h(&part(&u, -1, k, n)?)?)?)?;
    }
    if m > k {
        high = minus(&high, &mm(&h(&part(&l, -2, k, m)?)?, &part(&gl, -2, k, m)?)?)?;
    }
    let inner = plus(&strict_lower(&low)?, &upper(&high)?)?;
    let mut ga = right(&left(&l1, &inner, adjoint(unit))?, &u1, adjoint(UPPER))?;
    if n > k {
        ga = join(&[ga, left(&l1, &part(&gu, -1, k, n)?, adjoint(unit))?], -1)?;
    }
    if m > k {
        ga = join(&[ga, right(&part(&gl, -2, k, m)?, &u1, adjoint(UPPER))?], -2)?;
    }
    ctx.add(0, reorder(&ga, &rows, true)?)
}

fn push_lu(ctx: &JvpContext<'_>) -> Result<Outputs> {
    let Some(da) = &ctx.tangents[0] else { return Ok(Outputs::new()) };
    let (l, u) = (&ctx.outputs[0], &ctx.outputs[1]);
    let da = reorder(da, &ctx.outputs[2], false)?;
    let (m, k) = (sides(l.array())[0], sides(l.array())[1]);
    let n = sides(u.array())[1];
    let (l1, u1) = (part(l, -2, 0, k)?, part(u, -1, 0, k)?);
    let unit = Triangle { unit: true, ..LOWER };
    let square = part(&part(&da, -2, 0, k)?, -1, 0, k)?;
    let w = right(&left(&l1, &square, unit)?, &u1, UPPER)?;
    let (low, high) = (strict_lower(&w)?, upper(&w)?);
    let (mut dl, mut du) = (mm(&l1, &low)?, mm(&high, &u1)?);
    if n > k {
        let rest = minus(&left(&l1, &part(&da, -1, k, n)?, unit)?, &mm(&low, &part(u, -1, k, n)?)?)?;
        du = join(&[du, rest], -1)?;
    }
    if m > k {
        let rest = minus(&right(&part(&da, -2, k, m)?, &u1, UPPER)?, &mm(&part(l, -2, k, m)?, &high)?)?;
        dl = join(&[dl, rest], -2)?;
    }
    Ok(smallvec![dl, du])
}

/// The results of [`LU`].
fn factors(op: &str, a: &Variable) -> Result<[Variable; 4]> {
    let mut outs = apply_all(&LU, &[(&matrices(op, a)?).into()], &())?.into_iter();
    match (outs.next(), outs.next(), outs.next(), outs.next()) {
        (Some(l), Some(u), Some(rows), Some(pivots)) => Ok([l, u, rows, pivots]),
        _ => unreachable!("lu has four results"),
    }
}

/// P, L, U with A = P·L·U, by partial pivoting.
///
/// # Errors
/// `LinAlg` when there are fewer than two axes.
pub fn lu(a: &Variable) -> Result<[Variable; 3]> {
    let [l, u, rows, _] = factors("lu", a)?;
    let p = permutation(&rows, l.dtype())?;
    Ok([matrix_transpose(&p)?, l, u])
}

/// L and U in one matrix, and LAPACK's pivots.
///
/// # Errors
/// `LinAlg` when the matrices are not square.
pub fn lu_factor(a: &Variable) -> Result<[Variable; 2]> {
    let [l, u, _, pivots] = factors("lu_factor", &squares("lu_factor", a)?)?;
    Ok([add(&tril(&l, -1)?, &u)?, pivots])
}

/// Solves op(A)·x = b, given the results of [`lu_factor`].
///
/// # Errors
/// As `solve_triangular`.
pub fn lu_solve(factors: &Variable, pivots: &Variable, b: &Variable, transposed: bool) -> Result<Variable> {
    let vector = b.ndim() == 1;
    let b = if vector { crate::ops::expand_dims(b, &[-1])? } else { b.clone() };
    if b.ndim() < 2 || pivots.ndim() == 0 || !pivots.dtype().is_integer() {
        return Err(Error::Type(
            "lu_solve: expected the factors and the integer pivots of lu_factor, and a right side of at least one axis".to_owned(),
        ));
    }
    let rows: Variable = rows_of(pivots.values("lu_solve")?)?.into();
    let (f, b) = super::joined("lu_solve", &squares("lu_solve", factors)?, &b)?;
    let batch: Shape = b.shape()[..b.ndim() - 2].iter().copied().chain(rows.shape().last().copied()).collect();
    let rows = crate::ops::broadcast_to(&rows, &batch)?;
    let x = if transposed {
        let y = solve_triangular(&f, &b, false, false, true)?;
        reorder(&solve_triangular(&f, &y, true, true, true)?, &rows, true)?
    } else {
        solve_triangular(&f, &solve_triangular(&f, &reorder(&b, &rows, false)?, true, true, false)?, false, false, false)?
    };
    if vector { crate::ops::squeeze(&x, Some(&[-1])) } else { Ok(x) }
}

/// The order of rows that results from pivots.
fn rows_of(pivots: &Array) -> Result<Array> {
    let n = pivots.shape().last().copied().unwrap_or(0);
    let data = crate::ops::astype(&pivots.clone().into(), DType::I64)?.array().to_vec::<i64>();
    let mut out = collect((0..data.len()).map(|k| (k % n.max(1)) as i64));
    for (k, p) in data.iter().enumerate() {
        let start = k / n * n;
        let Some(j) = usize::try_from(*p).ok().filter(|j| *j < n) else {
            return Err(Error::Index(format!("lu_solve: pivot {p} is out of bounds for matrices of {n} rows")));
        };
        out.swap(k, start + j);
    }
    Ok(Array::from_slice(&out, pivots.shape()))
}

/// Whether Q has all of its columns.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Mode {
    complete: bool,
}
crate::attributes!(Mode);

static QR: Primitive = Primitive {
    name: "qr",
    eval: |call| {
        let (a, mode) = (call.array(0), *call.attrs::<Mode>());
        let [m, n] = sides(a);
        let p = if mode.complete { m } else { m.min(n) };
        let cores: [(&[usize], DType); 2] = [(&[m, p], a.dtype()), (&[p, n], a.dtype())];
        let outs = number!(a.dtype(), T => run::<T, _, _>("qr", [(a, 2)], cores, 3.0 * cubic(m.max(n)), &|[a], [q, r]| {
            kernel_qr::qr(a, [m, n], p, q, r);
            Ok(())
        }))?;
        give(call, outs);
        Ok(())
    },
    saves: |s| {
        s.output(0);
        s.output(1);
    },
    vjp: Vjp::Rule(pull_qr),
    jvp: Jvp::Rule(push_qr),
    batch: Batch::Rule(batched),
    ..Primitive::BASE
};

fn check_qr(q: &Variable, r: &Variable) -> Result<()> {
    let ([m, p], [_, n]) = (sides(q.array()), sides(r.array()));
    if p > n {
        return Err(Error::Grad(format!(
            "qr: mode 'complete' of {m}×{n} matrices has no gradient, since the last columns of Q are not determined; use mode 'reduced'"
        )));
    }
    Ok(())
}

/// Liao et al. and Walter & Lehmann: gA = (gQ + Q C) R⁻ᴴ with C the upper triangle of gR Rᴴ - Qᴴ gQ, mirrored; its diagonal is real.
fn pull_qr(ctx: &mut VjpContext<'_>) -> Result<()> {
    let (q, r) = (ctx.output(0), ctx.output(1));
    check_qr(&q, &r)?;
    let gq = ctx.cotangent_of(0).map_or_else(|| super::zeros_like(&q), Ok)?;
    let gr = ctx.cotangent_of(1).map_or_else(|| super::zeros_like(&r), Ok)?;
    let [k, n] = sides(r.array());
    if n <= k {
        let ga = pull_square(&q, &r, &gq, &gr)?;
        return ctx.add(0, ga);
    }
    // A = [A₁ A₂] = Q [R₁ R₂]: A₂ = Q R₂ belongs to Q.
    let (r1, r2) = (part(&r, -1, 0, k)?, part(&r, -1, k, n)?);
    let (g1, g2) = (part(&gr, -1, 0, k)?, part(&gr, -1, k, n)?);
    let a2 = mm(&q, &r2)?;
    let gq = plus(&gq, &mm(&a2, &h(&g2)?)?)?;
    let ga1 = pull_square(&q, &r1, &gq, &g1)?;
    ctx.add(0, join(&[ga1, mm(&q, &g2)?], -1)?)
}

fn pull_square(q: &Variable, r: &Variable, gq: &Variable, gr: &Variable) -> Result<Variable> {
    let m = minus(&mm(gr, &h(r)?)?, &mm(&h(q)?, gq)?)?;
    let half = weigh(&m, |i, j| {
        if i < j {
            1.0
        } else if i == j {
            0.5
        } else {
            0.0
        }
    })?;
    let mirrored = plus(&half, &h(&half)?)?;
    right(&plus(gq, &mm(q, &mirrored)?)?, r, adjoint(UPPER))
}

/// dQ = dA R⁻¹ - Q (B - Ω), dR = (B - Ω) R with B = Qᴴ dA R⁻¹ and Ω the anti-Hermitian matrix with the part of B below the diagonal, and with
/// its imaginary diagonal, since that of R stays real.
fn push_qr(ctx: &JvpContext<'_>) -> Result<Outputs> {
    let Some(da) = &ctx.tangents[0] else { return Ok(Outputs::new()) };
    let (q, r) = (&ctx.outputs[0], &ctx.outputs[1]);
    check_qr(q, r)?;
    let [k, n] = sides(r.array());
    let r1 = part(r, -1, 0, k)?;
    let c = right(&part(da, -1, 0, k)?, &r1, UPPER)?;
    let b = mm(&h(q)?, &c)?;
    let low = strict_lower(&b)?;
    let mut omega = minus(&low, &h(&low)?)?;
    if b.dtype().is_complex() {
        let diagonal = weigh(&b, |i, j| f64::from(u8::from(i == j)))?;
        omega = plus(&omega, &super::multiply(&minus(&diagonal, &h(&diagonal)?)?, 0.5)?)?;
    }
    let triangle = minus(&b, &omega)?;
    let dq = minus(&c, &mm(q, &triangle)?)?;
    let dr = mm(&triangle, &r1)?;
    if n <= k {
        return Ok(smallvec![dq, dr]);
    }
    let rest = mm(&h(q)?, &minus(&part(da, -1, k, n)?, &mm(&dq, &part(r, -1, k, n)?)?)?)?;
    Ok(smallvec![dq, join(&[dr, rest], -1)?])
}

/// Q and R with A = Q·R; mode 'r' gives R alone.
///
/// # Errors
/// `Value` when the mode is unknown.
pub fn qr(a: &Variable, mode: &str) -> Result<Vec<Variable>> {
    let complete = match mode {
        "reduced" | "r" => false,
        "complete" => true,
        _ => return Err(Error::Value(format!("qr: mode is '{mode}', expected 'reduced', 'complete' or 'r'"))),
    };
    let outs: Vec<Variable> = apply_all(&QR, &[(&matrices("qr", a)?).into()], &Mode { complete })?.into_iter().collect();
    let from = usize::from(mode == "r");
    Ok(outs.into_iter().skip(from).collect())
}

/// 1×1 matrices: only their diagonal does not depend on the choice of a triangle, so that differences can check the rule. Tests check
/// larger matrices through x·xᵀ.
fn positive(rest: &[Arg]) -> Vec<Sample> {
    let draw = &mut Draw::new(65);
    let positive = Domain { low: 0.5, high: 4.0, avoid: &[] };
    [&[1, 1][..], &[3, 1, 1], &[0, 0]].map(|s| call_with(positive.array(draw, s), rest.iter().cloned())).into()
}

const SHAPES: &[&[usize]] = &[&[3, 3], &[2, 2, 2], &[4, 2], &[2, 4], &[2, 3, 2], &[1, 1], &[0, 0]];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "cholesky",
        module: "linalg",
        doc: "The lower triangular L with a = L @ L.mH of Hermitian positive definite matrices, or its conjugate transpose with upper, or with SciPy's lower=False. Only that triangle of a is read; the gradient is Hermitian. A matrix that is not positive definite raises LinAlgError.\n\n>>> tg.linalg.cholesky(tg.Variable([[4.0, 2.0], [2.0, 5.0]]))\nVariable([[2., 0.],\n          [1., 2.]])\n",
        params: &[Param::array("a"), Param::flag("upper", false).named(), Param::flag("lower", true).named()],
        call: |a| Ok(cholesky(&a.variable(0)?, a.flag(1)? || !a.flag(2)?)?.into()),
        cost: 2.0,
        gradient: Gradient::Rule("L^-H (P + P^H) L^-1 / 2, P the lower triangle of L^H g with half of its diagonal"),
        method: false,
        samples: || [[false, true], [true, true], [false, false]].iter().flat_map(|flags| positive(&flags.map(Arg::Bool))).collect(),
        ..Entry::BASE
    },
    Entry {
        name: "cho_solve",
        module: "linalg",
        doc: "The x with a @ x = b by the Cholesky factor of a.\n\n>>> tg.linalg.cho_solve((tg.Variable([[2.0]]), False), tg.Variable([4.0]))\nVariable([1.])\n",
        params: &[Param::array("c"), Param::array("b"), Param::flag("lower", false)],
        call: |a| Ok(cho_solve(&a.variable(0)?, &a.variable(1)?, a.flag(2)?)?.into()),
        cost: 3.0,
        gradient: Gradient::Composite("of two triangular solves"),
        method: false,
        samples: || {
            let draw = &mut Draw::new(66);
            let mut all = Vec::new();
            for lower in [false, true] {
                let rest = |b| [Arg::Variable(b), Arg::Bool(lower)];
                all.push(call_with(super::regular(draw, &[3, 3]), rest(REAL.array(draw, &[3, 2]))));
                all.push(call_with(super::regular_complex(draw, &[2, 2]), rest(super::regular_complex(draw, &[2, 2]))));
            }
            all
        },
        ..Entry::BASE
    },
    Entry {
        name: "lu",
        module: "linalg",
        doc: "P, L and U with a = P @ L @ U: a permutation by partial pivoting, a lower triangle with ones on its diagonal, an upper one.\n\n>>> p, l, u = tg.linalg.lu(tg.Variable([[2.0, 1.0], [1.0, 1.0]]))\n>>> u\nVariable([[2. , 1. ],\n          [0. , 0.5]])\n",
        params: &[Param::array("a")],
        call: |a| Ok(Value::Many(lu(&a.variable(0)?)?.into())),
        cost: 3.0,
        gradient: Gradient::Rule("P L^-H (tril(L^H gL, -1) + triu(gU U^H)) U^-H of square matrices"),
        method: false,
        samples: || [regular_samples(SHAPES, &[]), complex_samples(&SHAPES[..4], &[])].concat(),
        ..Entry::BASE
    },
    Entry {
        name: "lu_factor",
        module: "linalg",
        doc: "L and U in one matrix, and the pivots: row i was exchanged with row pivots[i].\n\n>>> lu, pivots = tg.linalg.lu_factor(tg.Variable([[1.0, 1.0], [2.0, 1.0]]))\n>>> pivots\nVariable([1, 1])\n",
        params: &[Param::array("a")],
        call: |a| Ok(Value::Many(lu_factor(&a.variable(0)?)?.into())),
        cost: 3.0,
        gradient: Gradient::Composite("as lu"),
        method: false,
        samples: || [regular_samples(&[&[3, 3], &[2, 2, 2], &[0, 0]], &[]), complex_samples(&[&[3, 3]], &[])].concat(),
        ..Entry::BASE
    },
    Entry {
        name: "lu_solve",
        module: "linalg",
        doc: "The x with a @ x = b by the factors of lu_factor.\n\n>>> tg.linalg.lu_solve(tg.linalg.lu_factor(tg.Variable([[2.0]])), tg.Variable([4.0]))\nVariable([2.])\n",
        params: &[Param::array("lu"), Param::array("pivots"), Param::array("b"), Param::flag("transposed", false)],
        call: |a| Ok(lu_solve(&a.variable(0)?, &a.variable(1)?, &a.variable(2)?, a.flag(3)?)?.into()),
        cost: 3.0,
        gradient: Gradient::Composite("of two triangular solves"),
        method: false,
        samples: || {
            let draw = &mut Draw::new(67);
            let pivots = crate::ops::samples::indices(&[2, 1, 2], &[3]);
            [false, true]
                .map(|flag| {
                    call_with(super::regular(draw, &[3, 3]), [Arg::Variable(pivots.clone()), Arg::Variable(REAL.array(draw, &[3])), Arg::Bool(flag)])
                })
                .into()
        },
        ..Entry::BASE
    },
    Entry {
        name: "qr",
        module: "linalg",
        doc: "Q and R with a = Q @ R.\n\n>>> tg.linalg.qr(tg.Variable([[2.0]]))[1]\nVariable([[2.]])\n",
        params: &[Param::array("a"), Param::new("mode", Kind::Text).or(Default::Text("reduced"))],
        call: |a| Ok(Value::Many(qr(&a.variable(0)?, a.text(1)?)?)),
        cost: 6.0,
        gradient: Gradient::Rule("(gQ + Q C) R^-H, C the upper triangle of gR R^H - Q^H gQ, mirrored"),
        method: false,
        samples: || {
            let mut all = regular_samples(SHAPES, &[Arg::Text("reduced".to_owned())]);
            all.extend(regular_samples(&[&[3, 3], &[2, 4]], &[Arg::Text("complete".to_owned())]));
            all.extend(regular_samples(&[&[3, 2]], &[Arg::Text("r".to_owned())]));
            all.extend(complex_samples(SHAPES, &[Arg::Text("reduced".to_owned())]));
            all
        },
        ..Entry::BASE
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pivots_make_the_order_of_rows() {
        let rows: Variable = Array::from_slice(&[2_i64, 0, 1, 3], &[4]).into();
        let mut pivots = vec![0; 4];
        kernel_lu::pivots(&rows.array().to_vec::<i64>(), &mut pivots);
        assert_eq!(rows_of(&Array::from_slice(&pivots, &[4])).unwrap().to_vec::<i64>(), rows.array().to_vec::<i64>());
    }
}
