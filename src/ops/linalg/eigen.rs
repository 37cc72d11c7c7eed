//! Eigenvalues and eigenvectors of Hermitian matrices.

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::{batched, cubic, diagonal_of, give, h, hermitian, minus, mm, mmm, plus, run, scale_columns, sides, squares};
use crate::array::alloc_check::{self, filled};
use crate::array::{Array, DType};
use crate::error::{Error, Result};
use crate::kernel::linalg::Number;
use crate::kernel::linalg::eigen as kernel;
use crate::ops::registry::{Arg, Default, Entry, Gradient, Kind, Param, Sample, Value};
use crate::ops::samples::{Draw, REAL, call_with};
use crate::ops::{abs, annihilate, expand_dims, imag, less_equal, max, multiply, real, where_};
use crate::tape::{Batch, Jvp, JvpContext, Outputs, Primitive, Variable, Vjp, VjpContext, apply, apply_all};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&EIGH, &WITHOUT_SECOND];

/// Which triangle is read, and what to do when a gradient does not exist.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Symmetric {
    lower: bool,
    /// Whether the part of a gradient that does not exist at repeated eigenvalues counts as zero.
    zero: bool,
}
crate::attributes!(Symmetric);

static EIGH: Primitive = Primitive {
    name: "eigh",
    eval: |call| {
        let (a, how) = (call.array(0), *call.attrs::<Symmetric>());
        let n = sides(a)[0];
        let cores: [(&[usize], DType); 2] = [(&[n], a.dtype().real()), (&[n, n], a.dtype())];
        let outs = number!(a.dtype(), T => run::<T, _, _>("eigh", [(a, 2)], cores, 20.0 * cubic(n), &|[a], [w, v]| {
            let mut values = filled(0.0, n);
            kernel::eigh(a, n, how.lower, &mut values, v)?;
            w.iter_mut().zip(values).for_each(|(to, from)| *to = T::real(from));
            Ok(())
        }))?;
        give(call, outs);
        Ok(())
    },
    saves: |s| {
        s.output(0);
        s.output(1);
    },
    vjp: Vjp::Rule(pull_eigh),
    jvp: Jvp::Rule(push_eigh),
    batch: Batch::Rule(batched),
    ..Primitive::BASE
};

/// Values whose differences are divisors, and which of them are equal up to rounding.
pub(super) struct Gaps {
    /// 1/(λ_j - λ_i), 0 at pairs of equal values.
    inverse: Variable,
    /// 1 at pairs of different values that are equal up to rounding.
    ties: Option<Variable>,
}

impl Gaps {
    /// For a function x of the values w: the differences are x_j - x_i.
    pub(super) fn new(w: &Variable, x: &Variable) -> Result<Self> {
        let differences = |x: &Variable| minus(&expand_dims(x, &[-2])?, &expand_dims(x, &[-1])?);
        let blocked = equal_pairs(&w.detach())?;
        let safe = where_(&blocked, 1.0, &differences(x)?)?;
        let inverse = where_(&blocked, 0.0, &crate::ops::reciprocal(&safe)?)?;
        let ties = if blocked.is_lifted() { None } else { off_diagonal(blocked.array()).map(Into::into) };
        Ok(Self { inverse, ties })
    }

    /// `numerator` divided by the differences, 0 at equal values. There the true limit depends on more than the numerator, so 0 is only
    /// right if nothing depends on the single vectors, that is, if `witness` is zero.
    pub(super) fn quotient(&self, op: &str, numerator: &Variable, witness: &Variable, zero: bool) -> Result<Variable> {
        if let Some(ties) = &self.ties
            && !zero
            && !witness.is_lifted()
        {
            check_ties(op, ties.array(), witness.array())?;
        }
        annihilate(numerator, &self.inverse)
    }
}

/// The distance from 1 to the next number.
pub(super) fn epsilon(dtype: DType) -> f64 {
    if dtype.real() == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) }
}

/// The pairs (i, j) of values that are equal up to rounding, including i = j.
fn equal_pairs(w: &Variable) -> Result<Variable> {
    let n = w.shape().last().copied().unwrap_or(0);
    let epsilon = epsilon(w.dtype());
    let difference = abs(&minus(&expand_dims(w, &[-2])?, &expand_dims(w, &[-1])?)?)?;
    if n == 0 {
        return less_equal(&difference, 0.0);
    }
    let limit = multiply(&max(&abs(w)?, Some(&[-1]), true)?, 4.0 * n as f64 * epsilon)?;
    less_equal(&difference, &expand_dims(&limit, &[-1])?)
}

/// The pairs without i = j, as numbers; `None` if there are none.
fn off_diagonal(pairs: &Array) -> Option<Array> {
    crate::tape::capture::read(pairs, "the gradient of eigenvectors");
    let n = pairs.shape().last().copied().unwrap_or(0).max(1);
    let apart = |(k, same)| f64::from(u8::from(same && k / n % n != k % n));
    let marks = alloc_check::collect(pairs.to_vec::<bool>().into_iter().enumerate().map(apart));
    marks.contains(&1.0).then(|| Array::from_slice(&marks, pairs.shape()))
}

/// Fails if a cotangent is not zero at a pair of equal values.
fn check_ties(op: &str, ties: &Array, witness: &Array) -> Result<()> {
    crate::tape::capture::read(ties, op);
    let epsilon = if witness.dtype().real() == DType::F64 { 1e-9 } else { 1e-3 };
    let (ties, x) = (ties.to_vec::<f64>(), super::doubles(witness));
    let size = x.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    if ties.iter().zip(&x).any(|(t, x)| *t != 0.0 && x.abs() > epsilon * size) {
        return Err(Error::Grad(format!(
            "{op}: the gradient cannot be found from the vectors of a repeated value, which are not determined. Use expm, logm, sqrtm, inv \
             or pinv for functions of the matrix; or pass degenerate='zero' to leave this part out"
        )));
    }
    Ok(())
}

/// Fails if a loss depends on the phase of complex vectors. `part` is the diagonal of Vᴴ gV, whose imaginary part is the derivative with
/// respect to the phase.
pub(super) fn check_phase(op: &str, part: &Variable) -> Result<()> {
    if !part.dtype().is_complex() || part.is_lifted() {
        return Ok(());
    }
    let limit = if part.dtype() == DType::C128 { 1e-6 } else { 1e-2 };
    let (all, turn) = (super::doubles(part.array()), super::doubles(imag(&part.detach())?.array()));
    let size = all.iter().fold(1.0_f64, |m, x| m.max(*x));
    if turn.iter().any(|x| x.abs() > limit * size) {
        return Err(Error::Grad(format!(
            "{op}: the loss depends on the phase of complex vectors, which is not determined. Use a function of them that has none, as abs(v) or \
             v @ v.mH"
        )));
    }
    Ok(())
}

/// The identity, whose gradient does not exist: at repeated values the rule is right, but its derivative would not be.
static WITHOUT_SECOND: Primitive = Primitive {
    name: "first_order",
    eval: |call| {
        let x = call.array(0).clone();
        call.give(x);
        Ok(())
    },
    vjp: Vjp::Rule(|_| Err(second_order())),
    jvp: Jvp::Rule(|_| Err(second_order())),
    batch: Batch::Elementwise,
    ..Primitive::BASE
};

#[cold]
fn second_order() -> Error {
    Error::Grad(
        "the second derivative at repeated eigenvalues or singular values is not known: the first one was taken as a limit. \
         Write the function without a decomposition, as expm, inv, solve, det or slogdet"
            .to_owned(),
    )
}

/// `x`, whose gradient is an error if there are equal values.
pub(super) fn first_order_at(ties: &Gaps, x: &Variable) -> Result<Variable> {
    if ties.ties.is_some() && x.is_tracked() { apply(&WITHOUT_SECOND, &[x.into()], &()) } else { Ok(x.clone()) }
}

/// gA = V (diag(gλ) + (Vᴴ gV) / (λ_j - λ_i)) Vᴴ, made Hermitian (Giles 3.1).
fn pull_eigh(ctx: &mut VjpContext<'_>) -> Result<()> {
    let how = *ctx.attrs::<Symmetric>();
    let (w, v) = (ctx.output(0), ctx.output(1));
    let gaps = Gaps::new(&w, &w)?;
    let v = first_order_at(&gaps, &v)?;
    let values = ctx.cotangent_of(0).map(|g| scale_columns(&v, &g)).transpose()?;
    let vectors = match ctx.cotangent_of(1) {
        None => None,
        Some(g) => {
            let inner = mm(&h(&v)?, &g)?;
            check_phase("eigh", &diagonal_of(&inner)?)?;
            // Only the anti-Hermitian part matters.
            let odd = multiply(&minus(&inner, &h(&inner)?)?, 0.5)?;
            Some(mm(&v, &gaps.quotient("eigh", &odd, &inner, how.zero)?)?)
        }
    };
    let total = match (values, vectors) {
        (Some(a), Some(b)) => plus(&a, &b)?,
        (Some(a), None) | (None, Some(a)) => a,
        (None, None) => return Ok(()),
    };
    ctx.add(0, hermitian(&mm(&total, &h(&v)?)?)?)
}

/// dλ = diag(Vᴴ dA V), dV = V ((Vᴴ dA V) / (λ_j - λ_i)).
fn push_eigh(ctx: &JvpContext<'_>) -> Result<Outputs> {
    let Some(da) = &ctx.tangents[0] else { return Ok(Outputs::new()) };
    let how = *ctx.attrs::<Symmetric>();
    let (w, v) = (&ctx.outputs[0], &ctx.outputs[1]);
    let gaps = Gaps::new(w, w)?;
    let v = first_order_at(&gaps, v)?;
    let inner = mmm(&h(&v)?, &hermitian(da)?, &v)?;
    Ok(smallvec![real(&diagonal_of(&inner)?)?, mm(&v, &gaps.quotient("eigh", &inner, &inner, how.zero)?)?])
}

/// The eigenvalues (smallest first) and eigenvectors (columns) of Hermitian matrices, of which one triangle is read.
///
/// # Errors
/// `LinAlg` when the matrices are not square or not finite, `Value` when an option is unknown.
pub fn eigh(a: &Variable, uplo: &str, degenerate: &str) -> Result<[Variable; 2]> {
    let how = Symmetric { lower: triangle("eigh", uplo)?, zero: zero("eigh", degenerate)? };
    let mut outs = apply_all(&EIGH, &[(&squares("eigh", a)?).into()], &how)?.into_iter();
    match (outs.next(), outs.next()) {
        (Some(w), Some(v)) => Ok([w, v]),
        _ => unreachable!("eigh has two results"),
    }
}

fn triangle(op: &str, uplo: &str) -> Result<bool> {
    match uplo {
        "L" | "l" => Ok(true),
        "U" | "u" => Ok(false),
        _ => Err(Error::Value(format!("{op}: UPLO is '{uplo}', expected 'L' or 'U'"))),
    }
}

/// What to do when a gradient does not exist.
pub(super) fn zero(op: &str, degenerate: &str) -> Result<bool> {
    match degenerate {
        "raise" => Ok(false),
        "zero" => Ok(true),
        _ => Err(Error::Value(format!("{op}: degenerate is '{degenerate}', expected 'raise' or 'zero'"))),
    }
}

/// 1×1 matrices, for which differences agree with the rule. Tests check larger matrices through x + xᵀ.
fn samples(rest: &[Arg]) -> Vec<Sample> {
    let draw = &mut Draw::new(68);
    [&[1, 1][..], &[3, 1, 1], &[0, 0]].map(|s| call_with(REAL.array(draw, s), rest.iter().cloned())).into()
}

const UPLO: Param = Param::new("UPLO", Kind::Text).or(Default::Text("L"));
/// The parameter that says what to do when a gradient does not exist.
pub(super) const DEGENERATE: Param = Param::new("degenerate", Kind::Text).or(Default::Text("raise")).named();

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "eigh",
        module: "linalg",
        doc: "Eigenvalues and eigenvectors of Hermitian matrices.\n\n>>> tg.linalg.eigh(tg.Variable([[2.0]]))[0]\nVariable([2.])\n",
        params: &[Param::array("a"), UPLO, DEGENERATE],
        call: |a| Ok(Value::Many(eigh(&a.variable(0)?, a.text(1)?, a.text(2)?)?.into())),
        cost: 20.0,
        gradient: Gradient::Rule("V (diag(gw) + V^H gV / (w_j - w_i)) V^H, Hermitian"),
        method: false,
        samples: || samples(&[Arg::Text("L".to_owned()), Arg::Text("raise".to_owned())]),
        ..Entry::BASE
    },
    Entry {
        name: "eigvalsh",
        module: "linalg",
        doc: "The eigenvalues of Hermitian matrices, smallest first. Only the triangle UPLO of a is read; the gradient is Hermitian.\n\n>>> tg.linalg.eigvalsh(tg.Variable([[2.0, 1.0], [1.0, 2.0]])).round(5)\nVariable([1., 3.])\n",
        params: &[Param::array("a"), UPLO],
        call: |a| {
            let [w, _] = eigh(&a.variable(0)?, a.text(1)?, "zero")?;
            Ok(w.into())
        },
        cost: 20.0,
        gradient: Gradient::Rule("V diag(g) V^H"),
        method: false,
        samples: || samples(&[Arg::Text("U".to_owned())]),
        ..Entry::BASE
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{eye, sum};
    use crate::tape::{BackwardOptions, grad};

    #[test]
    fn values_alone_have_a_gradient_where_they_are_equal_and_a_single_vector_has_none() {
        let a = Variable::parameter(eye(3, None, 0, Some(DType::F64)).unwrap().into_array()).unwrap();
        let [w, v] = eigh(&a, "L", "raise").unwrap();
        let total = sum(&multiply(&w, &w).unwrap(), None, false).unwrap();
        let options = BackwardOptions { retain_graph: true, ..BackwardOptions::default() };
        let g = grad(&[(total, None)], std::slice::from_ref(&a), options).unwrap();
        let want = [2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0];
        assert!(g[0].as_ref().unwrap().array().to_vec::<f64>().iter().zip(want).all(|(x, y): (&f64, f64)| (x - y).abs() < 1e-12));
        let weights = super::super::weights([3, 3], DType::F64, |i, j| (i + 2 * j) as f64);
        let first = sum(&multiply(&v, &weights).unwrap(), None, false).unwrap();
        assert!(matches!(grad(&[(first, None)], &[a], BackwardOptions::default()), Err(Error::Grad(_))));
    }
}
