//! Eigenvalues and eigenvectors of general matrices. They are complex, also for real matrices.

use num_complex::Complex;
use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::eigen::{DEGENERATE, Gaps, check_phase, first_order_at, zero};
use super::{
    batched, complex_samples, cubic, diagonal_matrix, diagonal_of, give, h, minus, mm, mmm, plus, regular_samples, run_to, scale_columns, sides,
    squares,
};
use crate::array::DType;
use crate::error::{Error, Result};
use crate::kernel::linalg::eigen as kernel;
use crate::ops::registry::{Arg, Entry, Gradient, Param, Value};
use crate::ops::{conj, real};
use crate::tape::{Batch, Jvp, JvpContext, Outputs, Primitive, Variable, Vjp, VjpContext, apply_all};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&EIG];

/// What to do when a gradient does not exist.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct General {
    /// Whether the part of a gradient that does not exist at repeated eigenvalues counts as zero.
    zero: bool,
}
crate::attributes!(General);

static EIG: Primitive = Primitive {
    name: "eig",
    eval: |call| {
        let a = call.array(0);
        let (n, dtype) = (sides(a)[0], a.dtype().complex());
        let cores: [(&[usize], DType); 2] = [(&[n], dtype), (&[n, n], dtype)];
        let outs = number!(a.dtype(), T => run_to::<T, Complex<f64>, _, _>("eig", [(a, 2)], cores, 100.0 * cubic(n), &|[a], [w, v]| kernel::eig(a, n, w, v)))?;
        give(call, outs);
        Ok(())
    },
    saves: |s| {
        s.output(0);
        s.output(1);
    },
    vjp: Vjp::Rule(pull_eig),
    jvp: Jvp::Rule(push_eig),
    batch: Batch::Rule(batched),
    ..Primitive::BASE
};

/// The inverse of the matrix of eigenvectors; an error if there is none, because then there is no gradient.
fn inverse(v: &Variable) -> Result<Variable> {
    super::solve::inv(v).map_err(|e| {
        if let Error::LinAlg(_) = e {
            Error::LinAlg("the gradient of eig does not exist here: the matrix is defective, it has fewer eigenvectors than rows".to_owned())
        } else {
            e
        }
    })
}

/// gA = V⁻ᴴ (diag(gλ) + conj(1/E) ∘ (Vᴴ gV - Vᴴ V diag(Re(Vᴴ gV)))) Vᴴ with E_ij = λ_j - λ_i, for vectors of length 1 (Boeddeker et al.).
fn pull_eig(ctx: &mut VjpContext<'_>) -> Result<()> {
    let how = *ctx.attrs::<General>();
    let (w, v) = (ctx.output(0), ctx.output(1));
    let gaps = Gaps::new(&w, &w)?;
    let v = first_order_at(&gaps, &v)?;
    let vh = h(&v)?;
    let values = ctx.cotangent_of(0).map(|g| diagonal_matrix(&g)).transpose()?;
    let vectors = match ctx.cotangent_of(1) {
        None => None,
        Some(g) => {
            let inner = mm(&vh, &g)?;
            let diagonal = diagonal_of(&inner)?;
            check_phase("eig", &diagonal)?;
            let numerator = minus(&inner, &scale_columns(&mm(&vh, &v)?, &real(&diagonal)?)?)?;
            // conj(conj(numerator) / E) is numerator / conj(E).
            Some(conj(&gaps.quotient("eig", &conj(&numerator)?, &numerator, how.zero)?)?)
        }
    };
    let total = match (values, vectors) {
        (Some(a), Some(b)) => plus(&a, &b)?,
        (Some(a), None) | (None, Some(a)) => a,
        (None, None) => return Ok(()),
    };
    let ga = mmm(&h(&inverse(&v)?)?, &total, &vh)?;
    let is_real = !ctx.meta(0).dtype.is_complex();
    ctx.add(0, if is_real { real(&ga)? } else { ga })
}

/// dλ = diag(V⁻¹ dA V), dV = U - V diag(Re(Vᴴ U)) with U = V ((V⁻¹ dA V) / (λ_j - λ_i)).
fn push_eig(ctx: &JvpContext<'_>) -> Result<Outputs> {
    let Some(da) = &ctx.tangents[0] else { return Ok(Outputs::new()) };
    let how = *ctx.attrs::<General>();
    let (w, v) = (&ctx.outputs[0], &ctx.outputs[1]);
    let da = crate::ops::astype(da, v.dtype())?;
    let gaps = Gaps::new(w, w)?;
    let v = first_order_at(&gaps, v)?;
    let d = mmm(&inverse(&v)?, &da, &v)?;
    let u = mm(&v, &gaps.quotient("eig", &d, &d, how.zero)?)?;
    let along = real(&diagonal_of(&mm(&h(&v)?, &u)?)?)?;
    Ok(smallvec![diagonal_of(&d)?, minus(&u, &scale_columns(&v, &along)?)?])
}

/// The eigenvalues and eigenvectors (columns of length 1, whose largest element is real) of square matrices.
///
/// # Errors
/// `LinAlg` when the matrices are not square or not finite, `Value` when an option is unknown.
pub fn eig(a: &Variable, degenerate: &str) -> Result<[Variable; 2]> {
    let how = General { zero: zero("eig", degenerate)? };
    let mut outs = apply_all(&EIG, &[(&squares("eig", a)?).into()], &how)?.into_iter();
    match (outs.next(), outs.next()) {
        (Some(w), Some(v)) => Ok([w, v]),
        _ => unreachable!("eig has two results"),
    }
}

/// Matrices whose eigenvectors have no free phase: 1×1.
fn samples() -> Vec<crate::ops::registry::Sample> {
    let raise = [Arg::Text("raise".to_owned())];
    regular_samples(&[&[0, 0], &[2, 0, 0]], &raise)
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "eig",
        module: "linalg",
        doc: "Eigenvalues and eigenvectors of square matrices, which are complex.\n\n>>> tg.linalg.eig(tg.Variable([[2.0]]))[0]\nVariable([2.+0.j])\n",
        params: &[Param::array("a"), DEGENERATE],
        call: |a| Ok(Value::Many(eig(&a.variable(0)?, a.text(1)?)?.into())),
        cost: 100.0,
        gradient: Gradient::Rule("V^-H (diag(gw) + (V^H gV - V^H V diag(Re V^H gV)) / conj(w_j - w_i)) V^H"),
        method: false,
        samples,
        ..Entry::BASE
    },
    Entry {
        name: "eigvals",
        module: "linalg",
        doc: "The eigenvalues of square matrices, complex numbers in the order of the algorithm.\n\n>>> tg.linalg.eigvals(tg.Variable([[0.0, 1.0], [-1.0, 0.0]])).imag\nVariable([ 1., -1.])\n",
        params: &[Param::array("a")],
        call: |a| {
            let [w, _] = eig(&a.variable(0)?, "zero")?;
            Ok(w.into())
        },
        cost: 100.0,
        gradient: Gradient::Rule("V^-H diag(g) V^H"),
        method: false,
        samples: || [regular_samples(&[&[3, 3], &[2, 2, 2], &[1, 1], &[0, 0]], &[]), complex_samples(&[&[3, 3], &[1, 1]], &[])].concat(),
        ..Entry::BASE
    },
];
