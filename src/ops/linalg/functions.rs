//! Functions of matrices: exponential, square root, logarithm, power.

use super::{batched, complex_samples, cubic, h, join, mm, one, part, regular_samples, run, sides, squares, zeros_like};
use num_complex::Complex;

use crate::array::DType;
use crate::error::Result;
use crate::kernel::linalg::{Failure, functions::expm as expm_kernel, principal};
use crate::ops::registry::{Arg, Entry, Gradient, Kind, Param, Sample};
use crate::ops::samples::{Draw, REAL, call_with};
use crate::tape::{Batch, Call, Jvp, JvpContext, Outputs, Primitive, Variable, Vjp, VjpContext, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&EXPM, &SQRTM, &LOGM];

static EXPM: Primitive = Primitive { name: "expm", eval: |call| eval(call, 30.0, expm_kernel, expm_kernel), ..FUNCTION };
static SQRTM: Primitive = Primitive { name: "sqrtm", eval: |call| eval(call, 60.0, principal::sqrtm_real, principal::sqrtm_complex), ..FUNCTION };
static LOGM: Primitive = Primitive { name: "logm", eval: |call| eval(call, 300.0, principal::logm_real, principal::logm_complex), ..FUNCTION };

/// A function of matrices that is real for real matrices, so that f(Aᴴ) = f(A)ᴴ. Its derivative along E is the upper right block of f([[A,
/// E], [0, A]]) (Higham, Functions of matrices, 3.6).
const FUNCTION: Primitive = Primitive {
    saves: |s| s.input(0),
    vjp: Vjp::Rule(|ctx| {
        // The derivative along E is a sum of terms AⁱEAʲ, symmetric in i and j. So its adjoint at G is the adjoint of the derivative along
        // Gᴴ. Unlike the function at Aᴴ, that is also right on branch cuts.
        let (g, a) = (h(&ctx.cotangent())?, ctx.input(0));
        let primitive = function(ctx);
        ctx.add(0, h(&block(primitive, &a, &g)?)?)
    }),
    jvp: Jvp::Rule(|ctx: &JvpContext<'_>| match &ctx.tangents[0] {
        Some(da) => Ok(one(block(ctx.primitive, &ctx.input(0), da)?)),
        None => Ok(Outputs::new()),
    }),
    batch: Batch::Rule(batched),
    ..Primitive::BASE
};

/// The function whose gradient is asked for.
fn function(ctx: &VjpContext<'_>) -> &'static Primitive {
    PRIMITIVES.iter().find(|p| p.name == ctx.name()).copied().unwrap_or(&EXPM)
}

type Function<T> = fn(&[T], usize, &mut [T]) -> std::result::Result<(), Failure>;

/// Evaluates the function for real or for complex matrices.
fn eval(call: &mut Call<'_>, cost: f64, real: Function<f64>, complex: Function<Complex<f64>>) -> Result<()> {
    let a = call.array(0);
    let n = sides(a)[0];
    let (inputs, cores, cost): (_, [(&[usize], DType); 1], f64) = ([(a, 2)], [(&[n, n], a.dtype())], cost * cubic(n));
    let [y] = if a.dtype().is_complex() {
        run(call.name(), inputs, cores, cost, &|[a], [y]| complex(a, n, y))?
    } else {
        run(call.name(), inputs, cores, cost, &|[a], [y]| real(a, n, y))?
    };
    call.give(y);
    Ok(())
}

/// The derivative of a function at A along E.
fn block(p: &'static Primitive, a: &Variable, e: &Variable) -> Result<Variable> {
    let n = sides(a.array())[0];
    let zero = zeros_like(a)?;
    let big = join(&[join(&[a.clone(), e.clone()], -1)?, join(&[zero, a.clone()], -1)?], -2)?;
    let out = apply(p, &[(&big).into()], &())?;
    part(&part(&out, -2, 0, n)?, -1, n, 2 * n)
}

/// The exponential of square matrices.
///
/// # Errors
/// `LinAlg` when a matrix is not square or not finite.
pub fn expm(a: &Variable) -> Result<Variable> {
    apply(&EXPM, &[(&squares("expm", a)?).into()], &())
}

/// The principal square root.
///
/// # Errors
/// `LinAlg` when an eigenvalue of a real matrix is negative, or one is zero and the matrix is not Hermitian.
pub fn sqrtm(a: &Variable) -> Result<Variable> {
    apply(&SQRTM, &[(&squares("sqrtm", a)?).into()], &())
}

/// The principal logarithm.
///
/// # Errors
/// `LinAlg` when an eigenvalue is zero, or one of a real matrix is negative.
pub fn logm(a: &Variable) -> Result<Variable> {
    apply(&LOGM, &[(&squares("logm", a)?).into()], &())
}

/// Aⁿ by repeated squaring; the power of the inverse for n < 0.
///
/// # Errors
/// `LinAlg` when a matrix is not square, or singular for n < 0.
pub fn matrix_power(a: &Variable, n: i64) -> Result<Variable> {
    let a = squares("matrix_power", a)?;
    let mut base = if n < 0 { super::solve::inv(&a)? } else { a };
    let mut rest = n.unsigned_abs();
    let mut out: Option<Variable> = None;
    while rest > 0 {
        if rest % 2 == 1 {
            out = Some(match out {
                None => base.clone(),
                Some(x) => mm(&x, &base)?,
            });
        }
        rest /= 2;
        if rest > 0 {
            base = mm(&base, &base)?;
        }
    }
    match out {
        Some(x) => Ok(x),
        None => {
            let k = sides(base.array())[0];
            let id = super::weights([k, k], base.dtype(), |i, j| f64::from(u8::from(i == j)));
            // The identity, with a gradient of zero.
            crate::ops::where_(&crate::array::Array::scalar(true).into(), &id, &base)
        }
    }
}

/// Matrices whose eigenvalues have positive real parts.
fn samples() -> Vec<Sample> {
    [regular_samples(&[&[3, 3], &[2, 2, 2], &[1, 1], &[0, 0]], &[]), complex_samples(&[&[3, 3], &[1, 1]], &[])].concat()
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "expm",
        module: "linalg",
        aliases: &["matrix_exp"],
        doc: "The exponential of square matrices.\n\n>>> tg.linalg.expm(tg.Variable([[0.0, 1.0], [0.0, 0.0]]))\nVariable([[1., 1.],\n          [0., 1.]])\n",
        params: &[Param::array("a")],
        call: |a| Ok(expm(&a.variable(0)?)?.into()),
        cost: 30.0,
        gradient: Gradient::Rule("the upper right block of expm([[a^H, g], [0, a^H]])"),
        method: false,
        samples: || {
            let draw = &mut Draw::new(70);
            let real = [&[3, 3][..], &[2, 2, 2], &[1, 1], &[0, 0]].map(|s| call_with(REAL.strided(draw, s), []));
            [real.to_vec(), complex_samples(&[&[3, 3]], &[])].concat()
        },
        ..Entry::BASE
    },
    Entry {
        name: "sqrtm",
        module: "linalg",
        doc: "The principal square root of square matrices. Of real matrices with eigenvalues on the negative real axis pass complex copies: the root is complex.\n\nA singular matrix has one when it is Hermitian; its gradient does not exist.\n\n>>> tg.linalg.sqrtm(tg.Variable([[4.0, 0.0], [0.0, 9.0]]))\nVariable([[2., 0.],\n          [0., 3.]])\n",
        params: &[Param::array("a")],
        call: |a| Ok(sqrtm(&a.variable(0)?)?.into()),
        cost: 60.0,
        gradient: Gradient::Rule("the conjugate transpose of the upper right block of sqrtm([[a, g^H], [0, a]])"),
        method: false,
        samples,
        ..Entry::BASE
    },
    Entry {
        name: "logm",
        module: "linalg",
        doc: "The principal logarithm of square matrices. Of real matrices with eigenvalues on the negative real axis pass complex copies: the logarithm is complex.\n\n>>> tg.linalg.logm(tg.Variable([[1.0, 0.0], [0.0, 1.0]]))\nVariable([[0., 0.],\n          [0., 0.]])\n",
        params: &[Param::array("a")],
        call: |a| Ok(logm(&a.variable(0)?)?.into()),
        cost: 300.0,
        gradient: Gradient::Rule("the conjugate transpose of the upper right block of logm([[a, g^H], [0, a]])"),
        method: false,
        samples,
        ..Entry::BASE
    },
    Entry {
        name: "matrix_power",
        module: "linalg",
        doc: "Square matrices to an integer power; of their inverses if it is negative.\n\n>>> tg.linalg.matrix_power(tg.Variable([[2.0, 0.0], [0.0, 3.0]]), 2)\nVariable([[4., 0.],\n          [0., 9.]])\n",
        params: &[Param::array("a"), Param::new("n", Kind::Int)],
        call: |a| Ok(matrix_power(&a.variable(0)?, a.int(1)?)?.into()),
        cost: 5.0,
        gradient: Gradient::Composite("of the products"),
        method: false,
        samples: || {
            [0, 1, 3, -2]
                .iter()
                .flat_map(|n| {
                    let shapes: &[&[usize]] = &[&[3, 3], &[2, 2, 2]];
                    [regular_samples(shapes, &[Arg::Int(*n)]), complex_samples(&shapes[1..], &[Arg::Int(*n)])].concat()
                })
                .collect()
        },
        ..Entry::BASE
    },
];
