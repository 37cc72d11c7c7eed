//! Singular values, pseudoinverse, least squares, rank.

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::eigen::{DEGENERATE, Gaps, check_phase, epsilon, first_order_at, zero};
use super::{
    batched, complex_samples, cubic, diagonal_of, give, h, matrices, minus, mm, mmm, multiply, neg, one, part, plus, regular_samples, run,
    scale_columns, scale_rows, sides,
};
use crate::array::alloc_check::filled;
use crate::array::{Array, DType};
use crate::error::{Error, Result, show_shape};
use crate::kernel::linalg::{Number, svd as kernel};
use crate::ops::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use crate::ops::samples::{Draw, REAL, call_with};
use crate::ops::{abs, annihilate, astype, complex, divide, equal, expand_dims, greater, imag, max, real, reciprocal, square, sum, where_};
use crate::tape::{Batch, Jvp, JvpContext, Outputs, Primitive, Variable, Vjp, VjpContext, apply, apply_all};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&SVD, &PINV];

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Parts {
    full: bool,
    zero: bool,
}
crate::attributes!(Parts, Cut);

static SVD: Primitive = Primitive {
    name: "svd",
    eval: |call| {
        let (a, how) = (call.array(0), *call.attrs::<Parts>());
        let [m, n] = sides(a);
        let k = m.min(n);
        let (p, q) = if how.full { (m, n) } else { (k, k) };
        let cores: [(&[usize], DType); 3] = [(&[m, p], a.dtype()), (&[k], a.dtype().real()), (&[q, n], a.dtype())];
        let outs = number!(a.dtype(), T => run::<T, _, _>("svd", [(a, 2)], cores, 30.0 * cubic(m.max(n)), &|[a], [u, s, vh]| {
            let mut values = filled(0.0, k);
            kernel::svd(a, [m, n], how.full, u, &mut values, vh)?;
            s.iter_mut().zip(values).for_each(|(to, from)| *to = T::real(from));
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
    vjp: Vjp::Rule(pull_svd),
    jvp: Jvp::Rule(push_svd),
    batch: Batch::Rule(batched),
    ..Primitive::BASE
};

/// The first `k` vectors of a cotangent. The vectors beyond are not determined.
fn determined(g: Option<Variable>, axis: isize, k: usize) -> Result<Option<Variable>> {
    let Some(g) = g else { return Ok(None) };
    let all = sides(g.array())[usize::from(axis == -1)];
    if all == k {
        return Ok(Some(g));
    }
    let rest = part(&g, axis, k, all)?;
    if !rest.is_lifted() && super::doubles(rest.values("svd")?).iter().any(|x| *x != 0.0) {
        return Err(Error::Grad(
            "svd: the gradient does not exist: full_matrices=True adds vectors that are not determined, and the result depends on them. \
             Pass full_matrices=False"
                .to_owned(),
        ));
    }
    part(&g, axis, 0, k).map(Some)
}

/// 1/σ, or 0 for values that are zero up to rounding.
fn inverse_values(s: &Variable, like: [usize; 2]) -> Result<Variable> {
    let small = negligible(s, like)?;
    where_(&small, 0.0, &reciprocal(&where_(&small, 1.0, s)?)?)
}

/// Which singular values are zero up to rounding.
fn negligible(s: &Variable, [m, n]: [usize; 2]) -> Result<Variable> {
    if s.shape().last() == Some(&0) {
        return equal(s, 0.0);
    }
    let limit = multiply(&max(&s.detach(), Some(&[-1]), true)?, m.max(n) as f64 * epsilon(s.dtype()))?;
    crate::ops::less_equal(&s.detach(), &limit)
}

/// Townsend, Wan & Zhang: the part in the spaces of U and V with 1/(σ_j² - σ_i²), and the parts orthogonal to them with 1/σ. For complex
/// matrices the phases of U and V change together, so only the difference of the imaginary diagonals matters, with 1/σ.
fn pull_svd(ctx: &mut VjpContext<'_>) -> Result<()> {
    let how = *ctx.attrs::<Parts>();
    let (u, s, vh) = (ctx.output(0), ctx.output(1), ctx.output(2));
    let k = s.shape().last().copied().unwrap_or(0);
    let (u, vh) = (part(&u, -1, 0, k)?, part(&vh, -2, 0, k)?);
    let (m, n) = (sides(u.array())[0], sides(vh.array())[1]);
    let gu = determined(ctx.cotangent_of(0), -1, k)?;
    let gv = determined(ctx.cotangent_of(2), -2, k)?.map(|g| h(&g)).transpose()?;
    let gs = ctx.cotangent_of(1);
    if gu.is_none() && gv.is_none() {
        let Some(gs) = gs else { return Ok(()) };
        let gaps = Gaps::new(&s, &s)?;
        let u = first_order_at(&gaps, &u)?;
        return ctx.add(0, mm(&scale_columns(&u, &gs)?, &vh)?);
    }
    let gaps = Gaps::new(&s, &square(&s)?)?;
    let (u, vh) = (first_order_at(&gaps, &u)?, first_order_at(&gaps, &vh)?);
    let v = h(&vh)?;
    let inside = |x: &Variable, g: &Option<Variable>| -> Result<Variable> {
        g.as_ref().map_or_else(|| super::diagonal_matrix(&super::zeros_like(&s)?), |g| mm(&h(x)?, g))
    };
    let odd = |inner: &Variable| -> Result<Variable> { minus(inner, &h(inner)?) };
    let mut inner = match &gs {
        Some(g) => super::diagonal_matrix(g)?,
        None => super::diagonal_matrix(&super::zeros_like(&s)?)?,
    };
    let (a, b) = (inside(&u, &gu)?, inside(&v, &gv)?);
    if u.dtype().is_complex() {
        inner = plus(&inner, &phases(&a, &b, &inverse_values(&s, [m, n])?)?)?;
    }
    let together = plus(&scale_columns(&odd(&a)?, &s)?, &scale_rows(&s, &odd(&b)?)?)?;
    let witness = plus(&crate::ops::abs(&a.detach())?, &crate::ops::abs(&b.detach())?)?;
    inner = plus(&inner, &gaps.quotient("svd", &together, &witness, how.zero)?)?;
    let mut ga = mmm(&u, &inner, &vh)?;
    let inverse = inverse_values(&s, [m, n])?;
    if let Some(g) = &gu
        && m > k
    {
        let beyond = minus(g, &mmm(&u, &h(&u)?, g)?)?;
        ga = plus(&ga, &mm(&scale_columns(&beyond, &inverse)?, &vh)?)?;
    }
    if let Some(g) = &gv
        && n > k
    {
        let beyond = minus(g, &mmm(&v, &vh, g)?)?;
        ga = plus(&ga, &mm(&scale_columns(&u, &inverse)?, &h(&beyond)?)?)?;
    }
    ctx.add(0, ga)
}

/// The part of the gradient due to the phases, i Im(diag(Uᴴ gU))/σ. Those of U and V must cancel.
fn phases(a: &Variable, b: &Variable, inverse: &Variable) -> Result<Variable> {
    let (a, b) = (diagonal_of(a)?, diagonal_of(b)?);
    check_phase("svd", &plus(&a, &b)?)?;
    if !a.dtype().is_complex() {
        return super::diagonal_matrix(&super::zeros_like(inverse)?);
    }
    let turn = multiply(&imag(&a)?, inverse)?;
    super::diagonal_matrix(&complex(&super::zeros_like(&turn)?, &turn)?)
}

/// dU, dσ, dVᴴ of thin factors. The imaginary diagonal of Uᴴ dA V is split equally between U and V.
fn push_svd(ctx: &JvpContext<'_>) -> Result<Outputs> {
    let Some(da) = &ctx.tangents[0] else { return Ok(Outputs::new()) };
    let how = *ctx.attrs::<Parts>();
    let (u, s, vh) = (&ctx.outputs[0], &ctx.outputs[1], &ctx.outputs[2]);
    let ([m, p], [q, n]) = (sides(u.array()), sides(vh.array()));
    let k = m.min(n);
    if p > k || q > k {
        return Err(Error::Grad(
            "svd: full_matrices=True adds vectors that are not determined and have no tangent; pass full_matrices=False".to_owned(),
        ));
    }
    let gaps = Gaps::new(s, &square(s)?)?;
    let (u, vh) = (first_order_at(&gaps, u)?, first_order_at(&gaps, vh)?);
    let v = h(&vh)?;
    let d = mmm(&h(&u)?, da, &v)?;
    let dt = h(&d)?;
    // (D S + S Dᴴ)/(σ_j² - σ_i²) and (S D + Dᴴ S)/(σ_j² - σ_i²)
    let mut left = gaps.quotient("svd", &plus(&scale_columns(&d, s)?, &scale_rows(s, &dt)?)?, &d, how.zero)?;
    let mut right = gaps.quotient("svd", &plus(&scale_rows(s, &d)?, &scale_columns(&dt, s)?)?, &d, how.zero)?;
    let inverse = inverse_values(s, [m, n])?;
    if d.dtype().is_complex() {
        let turn = multiply(&multiply(&imag(&diagonal_of(&d)?)?, &inverse)?, 0.5)?;
        let turn = super::diagonal_matrix(&complex(&super::zeros_like(&turn)?, &turn)?)?;
        (left, right) = (plus(&left, &turn)?, minus(&right, &turn)?);
    }
    let (mut du, mut dv) = (mm(&u, &left)?, mm(&v, &right)?);
    if m > k {
        let image = mm(da, &v)?;
        du = plus(&du, &scale_columns(&minus(&image, &mmm(&u, &h(&u)?, &image)?)?, &inverse)?)?;
    }
    if n > k {
        let image = mm(&h(da)?, &u)?;
        dv = plus(&dv, &scale_columns(&minus(&image, &mmm(&v, &vh, &image)?)?, &inverse)?)?;
    }
    Ok(smallvec![du, real(&diagonal_of(&d)?)?, h(&dv)?])
}

/// U, the singular values (largest first) and Vᴴ.
///
/// # Errors
/// `LinAlg` when a matrix is not finite, `Value` when an option is unknown.
pub fn svd(a: &Variable, full: bool, degenerate: &str) -> Result<[Variable; 3]> {
    let how = Parts { full, zero: zero("svd", degenerate)? };
    let mut outs = apply_all(&SVD, &[(&matrices("svd", a)?).into()], &how)?.into_iter();
    match (outs.next(), outs.next(), outs.next()) {
        (Some(u), Some(s), Some(vh)) => Ok([u, s, vh]),
        _ => unreachable!("svd has three results"),
    }
}

/// The singular values, largest first.
///
/// # Errors
/// As [`svd`].
pub fn svdvals(a: &Variable) -> Result<Variable> {
    let [_, s, _] = svd(a, false, "zero")?;
    Ok(s)
}

/// The threshold, relative to the largest singular value: singular values up to it count as zero.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Cut {
    share: f64,
}

static PINV: Primitive = Primitive {
    name: "pinv",
    eval: |call| {
        let (a, cut) = (call.array(0), call.attrs::<Cut>().share);
        let [m, n] = sides(a);
        let (cores, cost): ([(&[usize], DType); 1], f64) = ([(&[n, m], a.dtype())], 30.0 * cubic(m.max(n)));
        let [y] = number!(a.dtype(), T => run::<T, _, _>("pinv", [(a, 2)], cores, cost, &|[a], [y]| kernel::pinv(a, [m, n], cut, y)))?;
        call.give(y);
        Ok(())
    },
    saves: |s| {
        s.input(0);
        s.output(0);
    },
    // Golub & Pereyra: right as long as the rank does not change.
    vjp: Vjp::Rule(|ctx| {
        let (g, a, y) = (ctx.cotangent(), ctx.input(0), ctx.output(0));
        let (yh, gh) = (h(&y)?, h(&g)?);
        let mut ga = neg(&mmm(&yh, &g, &yh)?)?;
        let lead = mmm(&gh, &y, &yh)?;
        ga = plus(&ga, &minus(&lead, &mmm(&a, &y, &lead)?)?)?;
        let tail = mmm(&yh, &y, &gh)?;
        ga = plus(&ga, &minus(&tail, &mmm(&tail, &y, &a)?)?)?;
        ctx.add(0, ga)
    }),
    jvp: Jvp::Rule(|ctx| {
        let Some(da) = &ctx.tangents[0] else { return Ok(Outputs::new()) };
        let (a, y, dah) = (ctx.input(0), &ctx.outputs[0], h(da)?);
        let yh = h(y)?;
        let mut dy = neg(&mmm(y, da, y)?)?;
        let lead = mmm(y, &yh, &dah)?;
        dy = plus(&dy, &minus(&lead, &mmm(&lead, &a, y)?)?)?;
        let tail = mmm(&dah, &yh, y)?;
        dy = plus(&dy, &minus(&tail, &mmm(y, &a, &tail)?)?)?;
        Ok(one(dy))
    }),
    batch: Batch::Rule(batched),
    ..Primitive::BASE
};

fn default_cut(a: &Variable, given: Option<f64>) -> f64 {
    let [m, n] = sides(a.array());
    given.filter(|r| *r >= 0.0).unwrap_or_else(|| m.max(n) as f64 * epsilon(a.dtype()))
}

/// The Moore-Penrose inverse; singular values up to `rtol` times the largest count as zero (`None`: max(m, n) ε).
///
/// # Errors
/// As [`svd`].
pub fn pinv(a: &Variable, rtol: Option<f64>) -> Result<Variable> {
    let a = matrices("pinv", a)?;
    let share = default_cut(&a, rtol);
    apply(&PINV, &[(&a).into()], &Cut { share })
}

/// The number of singular values above a threshold: `tol`, or `rtol` times the largest one.
///
/// # Errors
/// As [`svd`].
pub fn matrix_rank(a: &Variable, tol: Option<f64>, rtol: Option<f64>) -> Result<Variable> {
    if a.ndim() < 2 {
        let any = crate::ops::any(&crate::ops::not_equal(&a.detach(), 0.0)?, None, false)?;
        return astype(&any, DType::I64);
    }
    let a = matrices("matrix_rank", &a.detach())?;
    let s = svdvals(&a)?;
    if s.shape().last() == Some(&0) {
        return Ok(Array::zeros(&s.shape()[..s.ndim() - 1], DType::I64).into());
    }
    let above = match tol {
        Some(tol) => greater(&s, tol)?,
        None => greater(&s, &multiply(&max(&s, Some(&[-1]), true)?, default_cut(&a, rtol))?)?,
    };
    sum(&astype(&above, DType::I64)?, Some(&[-1]), false)
}

/// The x of smallest norm that minimises |A·x - b|, with the squared residuals, the rank and the singular values, as in NumPy.
///
/// # Errors
/// `Shape` when the shapes do not fit; as [`svd`].
pub fn lstsq(a: &Variable, b: &Variable, rcond: Option<f64>) -> Result<[Variable; 4]> {
    let a = matrices("lstsq", a)?;
    let vector = b.ndim() == 1;
    let b = if vector { expand_dims(b, &[-1])? } else { matrices("lstsq", b)? };
    let ([m, n], [rows, _]) = (sides(a.array()), sides(b.array()));
    if m != rows {
        let (a, b) = (show_shape(a.shape()), show_shape(b.shape()));
        return Err(Error::Shape(format!("lstsq: shapes {a} and {b} do not fit: {m} rows on the left, {rows} on the right; they must be equal")));
    }
    let (a, b) = super::joined("lstsq", &a, &b)?;
    let x = mm(&pinv(&a, rcond)?, &b)?;
    let rank = matrix_rank(&a, None, rcond)?;
    let full = rank.is_lifted() || rank.values("lstsq")?.to_vec::<i64>().iter().all(|r| *r == n as i64);
    let residuals = if m > n && full {
        sum(&square(&abs(&minus(&b, &mm(&a, &x)?)?)?)?, Some(&[-2]), false)?
    } else {
        Array::zeros(&[0], a.dtype().real()).into()
    };
    let s = svdvals(&a)?;
    let x = if vector { crate::ops::squeeze(&x, Some(&[-1]))? } else { x };
    Ok([x, residuals, rank, s])
}

/// The ratio of the largest and the smallest singular value, or for p = -2 (`inverse`) its inverse.
pub(super) fn spectral_condition(a: &Variable, inverse: bool) -> Result<Variable> {
    let s = svdvals(a)?;
    let (large, small) = (max(&s, Some(&[-1]), false)?, crate::ops::min(&s, Some(&[-1]), false)?);
    if inverse { divide(&small, &large) } else { divide(&large, &small) }
}

/// The sum of the singular values. Singular values of zero have no gradient.
pub(super) fn nuclear(a: &Variable) -> Result<Variable> {
    let s = svdvals(a)?;
    let small = negligible(&s, sides(a.array()))?;
    sum(&annihilate(&s, &where_(&small, &crate::ops::scalar(0.0, s.dtype()), 1.0)?)?, Some(&[-1]), false)
}

fn call_svd(a: &Args<'_>) -> Result<Value> {
    Ok(Value::Many(svd(&a.variable(0)?, a.flag(1)?, a.text(2)?)?.into()))
}

const SHAPES: &[&[usize]] = &[&[3, 3], &[2, 2, 2], &[4, 2], &[2, 4], &[1, 1], &[0, 0], &[2, 0]];

fn lstsq_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(69);
    let cases: [(&[usize], &[usize]); 4] = [(&[4, 2], &[4]), (&[4, 2], &[4, 3]), (&[2, 3], &[2]), (&[2, 3, 2], &[3, 1])];
    cases.map(|(a, b)| call_with(super::regular(draw, a), [Arg::Variable(REAL.array(draw, b)), Arg::None])).into()
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "svd",
        module: "linalg",
        doc: "U, the singular values and V^H.\n\n>>> tg.linalg.svd(tg.Variable([[2.0]]))[1]\nVariable([2.])\n",
        params: &[Param::array("a"), Param::flag("full_matrices", true), DEGENERATE],
        call: call_svd,
        cost: 30.0,
        gradient: Gradient::Rule(
            "U (F ∘ (U^H gU - gU^H U) S + S (F ∘ (V^H gV - gV^H V)) + diag(gS)) V^H and what is beyond U and V, F = 1/(s_j² - s_i²)",
        ),
        method: false,
        samples: || {
            let raise = Arg::Text("raise".to_owned());
            let mut all = regular_samples(SHAPES, &[Arg::Bool(false), raise.clone()]);
            all.extend(regular_samples(&[&[3, 3]], &[Arg::Bool(true), raise]));
            all
        },
        ..Entry::BASE
    },
    Entry {
        name: "svdvals",
        module: "linalg",
        doc: "The singular values, largest first.\n\n>>> tg.linalg.svdvals(tg.Variable([[0.0, 3.0], [1.0, 0.0]])).round(5)\nVariable([3., 1.])\n",
        params: &[Param::array("x")],
        call: |a| Ok(svdvals(&a.variable(0)?)?.into()),
        cost: 20.0,
        gradient: Gradient::Rule("U diag(g) V^H"),
        method: false,
        samples: || [regular_samples(SHAPES, &[]), complex_samples(SHAPES, &[])].concat(),
        ..Entry::BASE
    },
    Entry {
        name: "pinv",
        module: "linalg",
        doc: "The Moore-Penrose inverse.\n\n>>> tg.linalg.pinv(tg.Variable([[2.0]]))\nVariable([[0.5]])\n",
        params: &[Param::array("a"), Param::new("rtol", Kind::OptFloat).or(Default::None)],
        call: |a| Ok(pinv(&a.variable(0)?, a.opt_float(1)?)?.into()),
        cost: 30.0,
        gradient: Gradient::Rule("-y^H g y^H + (I - a y) g^H y y^H + y^H y g^H (I - y a)"),
        method: false,
        samples: || {
            let shapes: &[&[usize]] = &[&[3, 3], &[4, 2], &[2, 4], &[2, 2, 3], &[0, 2]];
            [regular_samples(shapes, &[Arg::None]), complex_samples(&shapes[..3], &[Arg::None])].concat()
        },
        ..Entry::BASE
    },
    Entry {
        name: "matrix_rank",
        module: "linalg",
        doc: "The number of singular values that are not zero.\n\n>>> tg.linalg.matrix_rank(tg.Variable([[2.0]]))\nVariable(1)\n",
        params: &[Param::array("a"), Param::new("tol", Kind::OptFloat).or(Default::None), Param::new("rtol", Kind::OptFloat).or(Default::None)],
        call: |a| Ok(matrix_rank(&a.variable(0)?, a.opt_float(1)?, a.opt_float(2)?)?.into()),
        cost: 20.0,
        gradient: Gradient::None,
        method: false,
        samples: || regular_samples(&[&[3, 3], &[2, 2, 3], &[0, 2]], &[Arg::None, Arg::None]),
        ..Entry::BASE
    },
    Entry {
        name: "lstsq",
        module: "linalg",
        doc: "The least-squares solution, its residuals, the rank and the singular values.\n\n>>> tg.linalg.lstsq(tg.Variable([[2.0]]), tg.Variable([4.0]))[0]\nVariable([2.])\n",
        params: &[Param::array("a"), Param::array("b"), Param::new("rcond", Kind::OptFloat).or(Default::None)],
        call: |a| Ok(Value::Many(lstsq(&a.variable(0)?, &a.variable(1)?, a.opt_float(2)?)?.into())),
        cost: 30.0,
        gradient: Gradient::Composite("that of pinv(a) @ b, right while the rank stays the same"),
        method: false,
        samples: lstsq_samples,
        ..Entry::BASE
    },
];
