//! Solves, inverses and determinants.

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::{
    batched, cell, complex_samples, cubic, give, h, joined, minus, mm, mmm, neg, one, regular, regular_complex, regular_samples, regular_strided,
    run, sides, squares, t, weigh,
};
use crate::array::DType;
use crate::array::alloc_check::{collect, copied, filled};
use crate::error::{Error, Result, show_shape};
use crate::kernel::linalg::{Failure, Number, lu, svd, triangular};
use crate::ops::registry::{Arg, Entry, Gradient, Param, Sample, Value};
use crate::ops::samples::{Domain, Draw, REAL};
use crate::ops::{conj, expand_dims, imag, multiply, real, squeeze, sum};
use crate::tape::{Batch, Call, Jvp, JvpContext, Outputs, Primitive, Variable, Vjp, VjpContext, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&SOLVE, &SOLVE_TRIANGULAR, &INV, &DET, &COFACTOR, &COFACTOR_DERIVATIVE, &SLOGDET];

/// Solves A·X = B. The factors of A are saved for the gradient.
static SOLVE: Primitive = Primitive {
    name: "solve",
    eval: eval_solve,
    saves: |s| {
        s.input(0);
        s.output(0);
    },
    vjp: Vjp::Rule(pull_solve),
    jvp: Jvp::Rule(|ctx| {
        // dX = A⁻¹ (dB - dA X)
        let right = right_side(ctx, |da| mm(da, &ctx.outputs[0]))?;
        Ok(one(solve_joined(&ctx.input(0), &right)?))
    }),
    batch: Batch::Rule(|ctx| batched(ctx).map(|outs| outs.into_iter().take(1).collect())),
    hidden: 2,
    ..Primitive::BASE
};

/// dB - f(dA), without the terms whose tangents are zero.
fn right_side(ctx: &JvpContext<'_>, f: impl Fn(&Variable) -> Result<Variable>) -> Result<Variable> {
    match (&ctx.tangents[0], &ctx.tangents[1]) {
        (Some(da), Some(db)) => minus(db, &f(da)?),
        (Some(da), None) => neg(&f(da)?),
        (None, Some(db)) => Ok(db.clone()),
        (None, None) => super::zeros_like(&ctx.outputs[0]),
    }
}

fn eval_solve(call: &mut Call<'_>) -> Result<()> {
    let (a, b) = (call.array(0), call.array(1));
    let (n, k) = (sides(a)[0], sides(b)[1]);
    let dtype = a.dtype();
    let cores: [(&[usize], DType); 3] = [(&[n, k], dtype), (&[n, n], dtype), (&[n], DType::F64)];
    let outs = number!(dtype, T => run::<T, _, _>("solve", [(a, 2), (b, 2)], cores, cubic(n), &|[a, b], [x, factors, rows]| {
        let mut order = filled(0, n);
        factors.copy_from_slice(a);
        lu::factor(factors, [n, n], &mut order);
        if let Some(i) = lu::first_zero_pivot(factors, n) {
            return Err(Failure::Singular(i));
        }
        lu::solve(factors, &order, n, b, k, false, x);
        for (to, from) in rows.iter_mut().zip(order) {
            *to = T::real(from as f64);
        }
        Ok(())
    }))?;
    if call.is_recorded() {
        give(call, outs);
    } else {
        let [x, ..] = outs;
        call.give(x);
    }
    Ok(())
}

/// gB = A⁻ᴴ gX, gA = -gB Xᴴ (Giles 2.3.1).
fn pull_solve(ctx: &mut VjpContext<'_>) -> Result<()> {
    let g = ctx.cotangent();
    let gb = if ctx.create_graph() {
        solve_joined(&h(&ctx.input(0))?, &g)?
    } else {
        let (factors, rows) = (ctx.saved_constant(0), ctx.saved_constant(1));
        let [n, k] = sides(g.array());
        let inputs = [(factors, 2), (rows, 1), (g.array(), 2)];
        let [x] = number!(g.dtype(), T => run::<T, _, _>("solve", inputs, [(&[n, k], g.dtype())], cubic(n), &|[f, r, g], [x]| {
            let order = collect(r.iter().map(|r| r.re() as i64));
            lu::solve(f, &order, n, g, k, true, x);
            Ok(())
        }))?;
        x.into()
    };
    if ctx.needs(0) {
        let x = ctx.output(0);
        ctx.add(0, neg(&mm(&gb, &h(&x)?)?)?)?;
    }
    ctx.add(1, gb)
}

fn solve_joined(a: &Variable, b: &Variable) -> Result<Variable> {
    apply(&SOLVE, &[a.into(), b.into()], &())
}

/// Calls `f` with `b` as matrices. As in NumPy, `b` is a vector only if it has one axis.
fn with_columns(op: &str, a: &Variable, b: &Variable, f: impl Fn(&Variable, &Variable) -> Result<Variable>) -> Result<Variable> {
    let a = squares(op, a)?;
    if b.ndim() == 0 {
        return Err(Error::LinAlg(format!("{op}: the right side has no axes, expected a vector or matrices")));
    }
    let vector = b.ndim() == 1;
    let b = if vector { expand_dims(b, &[-1])? } else { b.clone() };
    let (n, m) = (sides(a.array())[0], sides(b.array())[0]);
    if n != m {
        let (a, b) = (show_shape(a.shape()), show_shape(b.shape()));
        return Err(Error::Shape(format!("{op}: shapes {a} and {b} do not fit: the matrices have {n} rows, the right side {m}; they must be equal")));
    }
    let (a, b) = joined(op, &a, &b)?;
    let x = f(&a, &b)?;
    if vector { squeeze(&x, Some(&[-1])) } else { Ok(x) }
}

/// Solves A·X = B, for square matrices that broadcast over leading axes. A `b` with one axis is a vector.
///
/// # Errors
/// `LinAlg` when a matrix is singular, `Shape` when the shapes do not fit.
pub fn solve(a: &Variable, b: &Variable) -> Result<Variable> {
    with_columns("solve", a, b, solve_joined)
}

/// Which triangle, whether its diagonal is taken to be ones, whether the conjugate transpose is used.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Triangle {
    pub(super) lower: bool,
    pub(super) unit: bool,
    pub(super) adjoint: bool,
}
crate::attributes!(Triangle);

static SOLVE_TRIANGULAR: Primitive = Primitive {
    name: "solve_triangular",
    eval: |call| {
        let (a, b, how) = (call.array(0), call.array(1), *call.attrs::<Triangle>());
        let [n, k] = sides(b);
        let cores: [(&[usize], DType); 1] = [(&[n, k], a.dtype())];
        let [x] = number!(a.dtype(), T => run::<T, _, _>("solve_triangular", [(a, 2), (b, 2)], cores, cubic(n), &|[a, b], [x]| {
            if !how.unit
                && let Some(i) = triangular::first_zero(a, n)
            {
                return Err(Failure::Singular(i));
            }
            x.copy_from_slice(b);
            triangular::solve_in_place(a, n, x, k, how.lower, how.unit, how.adjoint);
            Ok(())
        }))?;
        call.give(x);
        Ok(())
    },
    saves: |s| {
        s.input(0);
        s.output(0);
    },
    vjp: Vjp::Rule(|ctx| {
        let how = *ctx.attrs::<Triangle>();
        let (g, a, x) = (ctx.cotangent(), ctx.input(0), ctx.output(0));
        let gb = triangular_solve(&a, &g, Triangle { adjoint: !how.adjoint, ..how })?;
        if ctx.needs(0) {
            let ga = if how.adjoint { mm(&x, &h(&gb)?)? } else { mm(&gb, &h(&x)?)? };
            ctx.add(0, neg(&masked(&ga, how)?)?)?;
        }
        ctx.add(1, gb)
    }),
    jvp: Jvp::Rule(|ctx| {
        let how = *ctx.attrs::<Triangle>();
        let right = right_side(ctx, |da| {
            let da = masked(da, how)?;
            mm(&if how.adjoint { h(&da)? } else { da }, &ctx.outputs[0])
        })?;
        Ok(one(triangular_solve(&ctx.input(0), &right, how)?))
    }),
    batch: Batch::Rule(batched),
    ..Primitive::BASE
};

/// The part of a matrix that a triangular solve reads.
fn masked(x: &Variable, how: Triangle) -> Result<Variable> {
    weigh(x, |i, j| f64::from(u8::from(if i == j { !how.unit } else { (i > j) == how.lower })))
}

/// Solves T·X = B or Tᴴ·X = B. Batches and dtypes are equal.
pub(super) fn triangular_solve(a: &Variable, b: &Variable, how: Triangle) -> Result<Variable> {
    apply(&SOLVE_TRIANGULAR, &[a.into(), b.into()], &how)
}

/// Solves op(T)·X = B for the lower or upper triangle T of `a`, which is transposed (not conjugated) if `transposed`.
///
/// # Errors
/// As [`solve`].
pub fn solve_triangular(a: &Variable, b: &Variable, lower: bool, unit: bool, transposed: bool) -> Result<Variable> {
    let how = Triangle { lower, unit, adjoint: transposed };
    if transposed { solve_adjoint(&conj(a)?, b, how) } else { solve_adjoint(a, b, how) }
}

/// [`solve_triangular`] with the conjugate transpose.
pub(super) fn solve_adjoint(a: &Variable, b: &Variable, how: Triangle) -> Result<Variable> {
    with_columns("solve_triangular", a, b, |a, b| triangular_solve(a, b, how))
}

static INV: Primitive = Primitive {
    name: "inv",
    eval: |call| {
        let a = call.array(0);
        let n = sides(a)[0];
        let cores: [(&[usize], DType); 1] = [(&[n, n], a.dtype())];
        let [y] = number!(a.dtype(), T => run::<T, _, _>("inv", [(a, 2)], cores, 2.0 * cubic(n), &|[a], [y]| lu::inverse(a, n, y)))?;
        call.give(y);
        Ok(())
    },
    saves: |s| s.output(0),
    vjp: Vjp::Rule(|ctx| {
        let (g, y) = (ctx.cotangent(), h(&ctx.output(0))?);
        ctx.add(0, neg(&mmm(&y, &g, &y)?)?)
    }),
    jvp: Jvp::Rule(|ctx| match &ctx.tangents[0] {
        Some(da) => Ok(one(neg(&mmm(&ctx.outputs[0], da, &ctx.outputs[0])?)?)),
        None => Ok(Outputs::new()),
    }),
    batch: Batch::Rule(batched),
    ..Primitive::BASE
};

/// The inverse of square matrices.
///
/// # Errors
/// `LinAlg` when one is singular.
pub fn inv(a: &Variable) -> Result<Variable> {
    apply(&INV, &[(&squares("inv", a)?).into()], &())
}

static DET: Primitive = Primitive {
    name: "det",
    eval: |call| {
        let a = call.array(0);
        let n = sides(a)[0];
        let [d] = number!(a.dtype(), T => run::<T, _, _>("det", [(a, 2)], [(&[], a.dtype())], cubic(n), &|[a], [d]| {
            let (mut f, mut rows) = (copied(a), filled(0, n));
            let sign = lu::factor(&mut f, [n, n], &mut rows);
            d[0] = (0..n).fold(T::real(sign), |d, i| d * f[i * n + i]);
            Ok(())
        }))?;
        call.give(d);
        Ok(())
    },
    saves: |s| s.input(0),
    vjp: Vjp::Rule(|ctx| {
        let (g, a) = (ctx.cotangent(), ctx.input(0));
        ctx.add(0, multiply(&cell(&g)?, &cofactor(&a)?)?)
    }),
    jvp: Jvp::Rule(|ctx| match &ctx.tangents[0] {
        Some(da) => Ok(one(inner(&cofactor(&ctx.input(0))?, da)?)),
        None => Ok(Outputs::new()),
    }),
    batch: Batch::Rule(batched),
    ..Primitive::BASE
};

/// Σ conj(a) b over matrices.
fn inner(a: &Variable, b: &Variable) -> Result<Variable> {
    sum(&multiply(&conj(a)?, b)?, Some(&[-2, -1]), false)
}

/// The matrix of conjugated cofactors, which is the gradient of det. For regular A it is conj(det(A)) A⁻ᴴ; it is right for singular A, too.
static COFACTOR: Primitive = Primitive {
    name: "cofactor",
    eval: |call| {
        let a = call.array(0);
        let n = sides(a)[0];
        let cores: [(&[usize], DType); 1] = [(&[n, n], a.dtype())];
        let [c] = number!(a.dtype(), T => run::<T, _, _>("det", [(a, 2)], cores, 20.0 * cubic(n), &|[a], [c]| cofactors(a, n, c)))?;
        call.give(c);
        Ok(())
    },
    saves: |s| s.input(0),
    vjp: Vjp::Rule(|ctx| {
        let (g, a) = (ctx.cotangent(), ctx.input(0));
        ctx.add(0, cofactor_derivative(&a, &g)?)
    }),
    jvp: Jvp::Rule(|ctx| match &ctx.tangents[0] {
        Some(da) => Ok(one(cofactor_derivative(&ctx.input(0), da)?)),
        None => Ok(Outputs::new()),
    }),
    batch: Batch::Rule(batched),
    ..Primitive::BASE
};

/// From the inverse if no pivot is small, else from singular values.
fn cofactors<T: Number>(a: &[T], n: usize, c: &mut [T]) -> std::result::Result<(), Failure> {
    let (mut f, mut rows) = (copied(a), filled(0, n));
    let sign = lu::factor(&mut f, [n, n], &mut rows);
    let largest = a.iter().fold(0.0_f64, |m, x| m.max(x.modulus()));
    let regular = (0..n).all(|i| f[i * n + i].modulus() > 1e-6 * largest);
    if !regular {
        return svd::cofactor(a, n, c);
    }
    let mut y = filled(T::real(0.0), n * n);
    lu::solve(&f, &rows, n, &crate::kernel::linalg::identity(n), n, false, &mut y);
    let det = (0..n).fold(T::real(sign), |d, i| d * f[i * n + i]);
    for i in 0..n {
        for j in 0..n {
            c[i * n + j] = (det * y[j * n + i]).conjugate();
        }
    }
    Ok(())
}

fn cofactor(a: &Variable) -> Result<Variable> {
    apply(&COFACTOR, &[a.into()], &())
}

/// The conjugated derivative of the cofactors along E: the Hessian of det. It is symmetric, so this primitive is its own gradient.
static COFACTOR_DERIVATIVE: Primitive = Primitive {
    name: "cofactor_derivative",
    eval: |call| {
        let (a, e) = (call.array(0), call.array(1));
        let n = sides(a)[0];
        let cores: [(&[usize], DType); 1] = [(&[n, n], a.dtype())];
        let [d] = number!(a.dtype(), T => {
            run::<T, _, _>("det", [(a, 2), (e, 2)], cores, 30.0 * cubic(n), &|[a, e], [d]| svd::cofactor_derivative(a, e, n, d))
        })?;
        call.give(d);
        Ok(())
    },
    saves: |s| {
        s.input(0);
        s.input(1);
    },
    vjp: Vjp::Rule(|ctx| {
        if ctx.needs(0) {
            return ctx.pull_definition();
        }
        let (g, a) = (ctx.cotangent(), ctx.input(0));
        ctx.add(1, cofactor_derivative(&a, &g)?)
    }),
    jvp: Jvp::Definition,
    batch: Batch::Rule(batched),
    definition: Some(|inputs, _| {
        // The conjugate of det(A) (tr(A⁻¹E) A⁻ᵀ - A⁻ᵀ Eᵀ A⁻ᵀ), for regular matrices.
        let (a, e) = (&inputs[0], &inputs[1]);
        let y = t(&inv(a)?)?;
        let trace = sum(&multiply(&y, e)?, Some(&[-2, -1]), true)?;
        let inner = minus(&multiply(&trace, &y)?, &mmm(&y, &t(e)?, &y)?)?;
        Ok(smallvec![conj(&multiply(&cell(&det(a)?)?, &inner)?)?])
    }),
    ..Primitive::BASE
};

fn cofactor_derivative(a: &Variable, e: &Variable) -> Result<Variable> {
    apply(&COFACTOR_DERIVATIVE, &[a.into(), e.into()], &())
}

/// The determinants of square matrices. The gradient is the matrix of cofactors, for any rank.
///
/// # Errors
/// `LinAlg` when the matrices are not square.
pub fn det(a: &Variable) -> Result<Variable> {
    apply(&DET, &[(&squares("det", a)?).into()], &())
}

static SLOGDET: Primitive = Primitive {
    name: "slogdet",
    eval: |call| {
        let a = call.array(0);
        let n = sides(a)[0];
        let cores: [(&[usize], DType); 2] = [(&[], a.dtype()), (&[], a.dtype().real())];
        let outs = number!(a.dtype(), T => run::<T, _, _>("slogdet", [(a, 2)], cores, cubic(n), &|[a], [sign, log]| {
            let (mut f, mut rows) = (copied(a), filled(0, n));
            let first = lu::factor(&mut f, [n, n], &mut rows);
            let (s, l) = (0..n).fold((T::real(first), 0.0), |(s, l), i| {
                let (d, size) = (f[i * n + i], f[i * n + i].modulus());
                (if size == 0.0 { T::real(0.0) } else { s * (d / T::real(size)) }, l + size.ln())
            });
            (sign[0], log[0]) = (s, T::real(l));
            Ok(())
        }))?;
        give(call, outs);
        Ok(())
    },
    saves: |s| {
        s.input(0);
        s.output(0);
    },
    // (g_log - i Im(conj(g_s) s)) A⁻ᴴ. The sign of a real determinant is constant where there is a gradient.
    vjp: Vjp::Rule(|ctx| {
        let log = ctx.cotangent_of(1);
        let turn = match ctx.cotangent_of(0) {
            Some(g) if g.dtype().is_complex() => Some(imag(&multiply(&conj(&g)?, &ctx.output(0))?)?),
            _ => None,
        };
        let factor = match (log, turn) {
            (log, Some(turn)) => {
                let re = log.map_or_else(|| super::zeros_like(&turn), Ok)?;
                crate::ops::complex(&re, &neg(&turn)?)?
            }
            (Some(log), None) => log,
            (None, None) => return Ok(()),
        };
        let y = h(&regular_inverse("slogdet", &ctx.input(0))?)?;
        ctx.add(0, multiply(&cell(&factor)?, &y)?)
    }),
    // dlog = Re tr(A⁻¹ dA), ds = i s Im tr(A⁻¹ dA)
    jvp: Jvp::Rule(|ctx| {
        let Some(da) = &ctx.tangents[0] else { return Ok(Outputs::new()) };
        let y = h(&regular_inverse("slogdet", &ctx.input(0))?)?;
        let trace = inner(&y, da)?;
        let sign = &ctx.outputs[0];
        if !sign.dtype().is_complex() {
            return Ok(smallvec![super::zeros_like(sign)?, trace]);
        }
        let turn = imag(&trace)?;
        let ds = multiply(sign, &crate::ops::complex(&super::zeros_like(&turn)?, &turn)?)?;
        Ok(smallvec![ds, real(&trace)?])
    }),
    batch: Batch::Rule(batched),
    ..Primitive::BASE
};

/// The inverse for a gradient rule; for a singular matrix there is no gradient.
fn regular_inverse(op: &str, a: &Variable) -> Result<Variable> {
    inv(a).map_err(|e| if let Error::LinAlg(m) = e { Error::LinAlg(format!("the gradient of {op} does not exist here: {m}")) } else { e })
}

/// The sign of the determinant and the logarithm of its absolute value: 0 and -∞ for a singular matrix.
///
/// # Errors
/// `LinAlg` when the matrices are not square.
pub fn slogdet(a: &Variable) -> Result<[Variable; 2]> {
    let mut outs = crate::tape::apply_all(&SLOGDET, &[(&squares("slogdet", a)?).into()], &())?.into_iter();
    match (outs.next(), outs.next()) {
        (Some(sign), Some(log)) => Ok([sign, log]),
        _ => unreachable!("slogdet has two results"),
    }
}

fn pair_samples(shapes: &[(&[usize], &[usize])], rest: &[Arg]) -> Vec<Sample> {
    let draw = &mut Draw::new(62);
    let pair = |draw: &mut Draw, a: &[usize], b: &[usize]| vec![Arg::Variable(regular_strided(draw, a)), Arg::Variable(REAL.strided(draw, b))];
    shapes.iter().map(|(a, b)| Sample { args: pair(draw, a, b).into_iter().chain(rest.iter().cloned()).collect() }).collect()
}

/// Systems of complex matrices, and of a real matrix with a complex right side.
fn complex_pairs(rest: &[Arg]) -> Vec<Sample> {
    let draw = &mut Draw::new(72);
    let (a, b) = (regular_complex(draw, &[3, 3]), regular_complex(draw, &[3, 2]));
    let (c, d) = (regular(draw, &[2, 2, 2]), regular_complex(draw, &[2, 2]));
    let call = |a: Variable, b: Variable| Sample { args: [Arg::Variable(a), Arg::Variable(b)].into_iter().chain(rest.iter().cloned()).collect() };
    vec![call(a, b), call(c, d)]
}

const SYSTEMS: &[(&[usize], &[usize])] = &[
    (&[3, 3], &[3]),
    (&[3, 3], &[3, 2]),
    (&[2, 2, 2], &[2, 2, 1]),
    (&[2, 2], &[3, 2, 2]),
    (&[2, 1, 3, 3], &[2, 3, 1]),
    (&[1, 1], &[1]),
    (&[0, 0], &[0, 2]),
];
const SQUARE: &[&[usize]] = &[&[3, 3], &[2, 2, 2], &[1, 1], &[0, 0], &[0, 2, 2]];

fn squares_of_both_kinds() -> Vec<Sample> {
    [regular_samples(SQUARE, &[]), complex_samples(&SQUARE[..4], &[])].concat()
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "solve",
        module: "linalg",
        doc: "The x with a @ x = b for square matrices a, over leading axes that broadcast. A b of one axis is a vector. A singular matrix raises LinAlgError.\n\n>>> tg.linalg.solve(tg.Variable([[2.0, 0.0], [0.0, 4.0]]), tg.Variable([2.0, 4.0]))\nVariable([1., 1.])\n",
        params: &[Param::array("a"), Param::array("b")],
        call: |a| Ok(solve(&a.variable(0)?, &a.variable(1)?)?.into()),
        cost: 5.0,
        gradient: Gradient::Rule("db = a^-H g, da = -db x^H"),
        method: false,
        samples: || pair_samples(SYSTEMS, &[]).into_iter().chain(complex_pairs(&[])).collect(),
        ..Entry::BASE
    },
    Entry {
        name: "solve_triangular",
        module: "linalg",
        doc: "The x with op(a) @ x = b for the lower or upper triangle of a.\n\n>>> tg.linalg.solve_triangular(tg.Variable([[2.0]]), tg.Variable([4.0]))\nVariable([2.])\n",
        params: &[
            Param::array("a"),
            Param::array("b"),
            Param::flag("lower", false),
            Param::flag("unit_diagonal", false),
            Param::flag("transposed", false),
        ],
        call: |a| Ok(solve_triangular(&a.variable(0)?, &a.variable(1)?, a.flag(2)?, a.flag(3)?, a.flag(4)?)?.into()),
        cost: 3.0,
        gradient: Gradient::Rule("db = a^-H g, da = the triangle of -db x^H"),
        method: false,
        samples: || {
            let flags = [[false, false, false], [true, false, false], [false, true, true], [true, true, false], [true, false, true]];
            flags.iter().flat_map(|f| [pair_samples(&SYSTEMS[1..5], &f.map(Arg::Bool)), complex_pairs(&f.map(Arg::Bool))].concat()).collect()
        },
        ..Entry::BASE
    },
    Entry {
        name: "inv",
        module: "linalg",
        doc: "The inverse of square matrices. A singular one raises LinAlgError.\n\n>>> tg.linalg.inv(tg.Variable([[2.0, 0.0], [0.0, 4.0]]))\nVariable([[0.5 , 0.  ],\n          [0.  , 0.25]])\n",
        params: &[Param::array("a")],
        call: |a| Ok(inv(&a.variable(0)?)?.into()),
        cost: 5.0,
        gradient: Gradient::Rule("-y^H g y^H"),
        method: false,
        samples: squares_of_both_kinds,
        ..Entry::BASE
    },
    Entry {
        name: "det",
        module: "linalg",
        doc: "The determinant of square matrices. The gradient is right for singular ones, too.\n\n>>> tg.linalg.det(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\nVariable(-2.)\n",
        params: &[Param::array("a")],
        call: |a| Ok(det(&a.variable(0)?)?.into()),
        cost: 3.0,
        gradient: Gradient::Rule("g times the conjugated matrix of cofactors"),
        method: false,
        samples: || {
            let mut all = squares_of_both_kinds();
            let draw = &mut Draw::new(63);
            let row = REAL.array(draw, &[3]);
            // Rank one, and zeros.
            if let Ok(low) = crate::ops::outer(&row, &row) {
                all.push(Sample { args: vec![Arg::Variable(low)] });
            }
            all.push(Sample { args: vec![Arg::Variable(Domain { low: 0.0, high: 0.0, avoid: &[] }.array(draw, &[3, 3]))] });
            all
        },
        ..Entry::BASE
    },
    Entry {
        name: "slogdet",
        module: "linalg",
        doc: "The sign of the determinant and the logarithm of its absolute value.\n\n>>> sign, log = tg.linalg.slogdet(tg.Variable([[0.0, 1.0], [1.0, 0.0]]))\n>>> float(sign), float(log)\n(-1.0, 0.0)\n",
        params: &[Param::array("a")],
        call: |a| Ok(Value::Many(slogdet(&a.variable(0)?)?.into())),
        cost: 3.0,
        gradient: Gradient::Rule("(g_log - i Im(conj(g_sign) sign)) a^-H"),
        method: false,
        samples: squares_of_both_kinds,
        ..Entry::BASE
    },
    Entry {
        name: "trace",
        module: "linalg",
        doc: "The sum of the diagonal of the last two axes, offset above the main one.\n\n>>> tg.linalg.trace(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\nVariable(5.)\n",
        params: &[Param::array("x"), Param::new("offset", crate::ops::registry::Kind::Int).or(crate::ops::registry::Default::Int(0)).named()],
        call: |a| Ok(crate::ops::trace(&a.variable(0)?, a.int(1)?, [-2, -1])?.into()),
        gradient: Gradient::Composite("g on the diagonal"),
        linear: true,
        method: false,
        samples: || {
            let draw = &mut Draw::new(64);
            [(&[3, 4][..], 0), (&[2, 3, 3], 1), (&[0, 2], 0)].map(|(s, k)| crate::ops::samples::call_with(regular(draw, s), [Arg::Int(k)])).into()
        },
        ..Entry::BASE
    },
];
