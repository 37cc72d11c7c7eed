//! The gamma function, derivatives of its logarithm, beta and zeta functions.

use super::{NONE, arrays, inner, lit, of, row, special, special_function};
use crate::error::{Error, Result};
use crate::kernel::special::gamma as kernel;
use crate::ops::registry::{Arg, Args, Default, Entry, Gradient, Kind, Operand, Param, Value};
use crate::ops::samples::{Domain, POSITIVE};
use crate::ops::traced::Traced;
use crate::ops::{add, subtract};
use crate::tape::Variable;

special_function! {
    /// log |Γ(x)|.
    gammaln(x), 20.0, |[x], _| kernel::gammaln(x);
    slope |_, [x], _, _| of::<digamma, 1>([x], NONE);
}

special_function! {
    /// Γ(x).
    gamma(x), 25.0, |[x], _| kernel::gamma(x);
    needs true;
    slope |_, [x], y, _| y * of::<digamma, 1>([x], NONE);
}

special_function! {
    /// Γ'(x) / Γ(x).
    digamma(x), 15.0, |[x], _| kernel::digamma(x);
    slope |_, [x], _, _| of::<polygamma, 1>([x], [1, 0]);
}

special_function! {
    /// The derivative of order n of digamma.
    polygamma(x), 40.0, |[x], [n, _]| kernel::polygamma(n as f64, x);
    slope |_, [x], _, [n, _]| of::<polygamma, 1>([x], [n.saturating_add(1), 0]);
}

special_function! {
    /// log |B(a, b)|.
    betaln(a, b), 60.0, |[a, b], _| kernel::betaln(a, b);
    slope |i, x, _, _| of::<digamma, 1>([x[i]], NONE) - of::<digamma, 1>([x[0] + x[1]], NONE);
}

special_function! {
    /// B(a, b).
    beta(a, b), 60.0, |[a, b], _| kernel::beta(a, b);
    needs true;
    slope |i, x, y, _| y * (of::<digamma, 1>([x[i]], NONE) - of::<digamma, 1>([x[0] + x[1]], NONE));
}

special_function! {
    /// The Hurwitz zeta function, differentiated n times with respect to s.
    zeta(s, q), 80.0, |[s, q], [n, _]| if n == 0 { kernel::zeta(s, q) } else { kernel::zeta_by_s(s, q, n as usize) };
    slope |i, [s, q], _, [n, _]| zeta_slope(i, s, q, n);
}

/// ∂ⁿ⁺¹ζ/∂sⁿ⁺¹, or ∂/∂q of ∂ⁿζ/∂sⁿ by ∂ζ/∂q = -s ζ(s + 1, q).
fn zeta_slope<'t>(i: usize, s: Traced<'t>, q: Traced<'t>, n: i64) -> Traced<'t> {
    if i == 0 {
        return Traced::call([s, q], |[s, q]| zeta_by_s(s, q, n + 1));
    }
    let next = |n: i64| of::<zeta, 2>([s + lit(1.0), q], [n, 0]);
    let first = -(s * next(n));
    if n == 0 { first } else { first - lit(n as f64) * next(n - 1) }
}

fn zeta_by_s(s: &Variable, q: &Variable, n: i64) -> Result<Variable> {
    if n > 2 {
        return Err(Error::Grad("zeta: derivatives by s are known up to the second order".to_owned()));
    }
    special::<zeta, 2>([s.into(), q.into()], [n, 0])
}

special_function! {
    /// The Riemann zeta function, differentiated n times.
    riemann_zeta(s), 80.0, |[s], [n, _]| if n == 0 { kernel::riemann_zeta(s) } else { kernel::zeta_by_s(s, 1.0, n as usize) };
    slope |_, [s], _, [n, _]| Traced::call([s], |[s]| {
        if n >= 2 {
            return Err(Error::Grad("zeta: derivatives by s are known up to the second order".to_owned()));
        }
        special::<riemann_zeta, 1>([s.into()], [n + 1, 0])
    });
}

/// ψ⁽ⁿ⁾(x).
///
/// # Errors
/// `Value` when n is negative.
fn polygamma_of(n: i64, x: Operand<'_>) -> Result<Variable> {
    match n {
        0 => special::<digamma, 1>([x], NONE),
        1.. => special::<polygamma, 1>([x], [n, 0]),
        _ => Err(Error::Value(format!("polygamma: n is {n}, expected an order of at least 0"))),
    }
}

/// log Γ_d(a) = d (d - 1) log(π) / 4 + Σ log Γ(a - j/2).
fn multigammaln(a: Operand<'_>, d: i64) -> Result<Variable> {
    if !(1..=10_000).contains(&d) {
        return Err(Error::Value(format!("multigammaln: d is {d}, expected a dimension from 1 to 10000")));
    }
    let mut sum = special::<gammaln, 1>([a], NONE)?;
    for j in 1..d {
        let shifted = subtract(a, 0.5 * j as f64)?;
        sum = add(&sum, &special::<gammaln, 1>([(&shifted).into()], NONE)?)?;
    }
    add(&sum, kernel::multigammaln_constant(d as f64))
}

fn call_zeta(a: &Args<'_>) -> Result<Value> {
    if a.is_none(1) {
        return Ok(special::<riemann_zeta, 1>([a.operand(0)?], NONE)?.into());
    }
    Ok(special::<zeta, 2>([a.operand(0)?, a.operand(1)?], NONE)?.into())
}

/// Between poles on either side of zero.
const SHAPES: Domain = Domain { low: -2.9, high: 6.0, avoid: &[-2.0, -1.0, 0.0] };

/// Primitives of derivatives, and of rows whose arguments are not its operands.
pub const INNER: &[Entry] = &[inner::<polygamma, 1>(), inner::<zeta, 2>(), inner::<riemann_zeta, 1>()];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    row::<gammaln, 1>(
        &[Param::array("x")],
        "The logarithm of |Gamma(x)|; inf at the poles 0, -1, -2, ...\n\n>>> tg.special.gammaln(tg.Variable([1.0, 5.0]))\nVariable([0.       , 3.1780539])\n",
        "digamma(x)",
        || arrays([SHAPES], &[]),
    ).alias(&["lgamma"]),
    row::<gamma, 1>(
        &[Param::array("x")],
        "The gamma function; NaN at the poles -1, -2, ...\n\n>>> tg.special.gamma(tg.Variable([5.0]))\nVariable([24.])\n",
        "y digamma(x)",
        || arrays([SHAPES], &[]),
    ),
    row::<digamma, 1>(
        &[Param::array("x")],
        "The derivative of gammaln; NaN at the poles -1, -2, ...\n\n>>> tg.special.digamma(tg.Variable([1.0]))\nVariable([-0.5772157])\n",
        "polygamma(1, x)",
        || arrays([SHAPES], &[]),
    ).alias(&["psi"]),
    Entry {
        name: "polygamma",
        module: "special",
        doc: "The derivative of order n of digamma.\n\n>>> tg.special.polygamma(1, tg.Variable([1.0]))\nVariable([1.644934])\n",
        params: &[Param::new("n", Kind::Int), Param::array("x")],
        call: |a| Ok(polygamma_of(a.int(0)?, a.operand(1)?)?.into()),
        cost: 40.0,
        gradient: Gradient::Rule("polygamma(n + 1, x)"),
        method: false,
        samples: || {
            let order = |n: i64| arrays([SHAPES], &[]).into_iter().map(move |s| crate::ops::registry::Sample { args: vec![Arg::Int(n), s.args[0].clone()] });
            order(0).chain(order(1)).chain(arrays([POSITIVE], &[]).into_iter().map(|s| crate::ops::registry::Sample { args: vec![Arg::Int(3), s.args[0].clone()] })).collect()
        },
        ..Entry::BASE
    },
    Entry {
        name: "multigammaln",
        module: "special",
        doc: "The logarithm of the multivariate gamma function of dimension d, for a > (d - 1) / 2.\n\n>>> tg.special.multigammaln(tg.Variable([3.0]), 1)\nVariable([0.6931472])\n",
        params: &[Param::array("a"), Param::new("d", Kind::Int)],
        call: |a| Ok(multigammaln(a.operand(0)?, a.int(1)?)?.into()),
        cost: 60.0,
        gradient: Gradient::Composite("the sum of digamma(a - j/2), j = 0 ... d - 1"),
        method: false,
        samples: || arrays([Domain { low: 1.3, high: 5.0, avoid: &[] }], &[Arg::Int(3)]),
        ..Entry::BASE
    },
    row::<beta, 2>(
        &[Param::array("a"), Param::array("b")],
        "The beta function, Gamma(a) Gamma(b) / Gamma(a + b).\n\n>>> tg.special.beta(tg.Variable([2.0]), 3.0)\nVariable([0.08333334])\n",
        "dy/da = y (digamma(a) - digamma(a + b)), and so for b",
        || arrays([POSITIVE, POSITIVE], &[]),
    ),
    row::<betaln, 2>(
        &[Param::array("a"), Param::array("b")],
        "The logarithm of |beta(a, b)|, accurate for large arguments.\n\n>>> tg.special.betaln(tg.Variable([2.0]), 3.0)\nVariable([-2.4849067])\n",
        "dy/da = digamma(a) - digamma(a + b), and so for b",
        || arrays([POSITIVE, POSITIVE], &[]),
    ),
    Entry {
        name: "zeta",
        module: "special",
        doc: "The Hurwitz zeta function of x > 1 and q, the sum of (k + q)^-x, k = 0, 1, ...; without q the Riemann zeta function of any x. Derivatives by x are known up to the second order.\n\n>>> tg.special.zeta(tg.Variable([2.0]))\nVariable([1.644934])\n",
        params: &[Param::array("x"), Param::new("q", Kind::OptArray).or(Default::None)],
        call: call_zeta,
        cost: 80.0,
        gradient: Gradient::Rule("dy/dq = -x zeta(x + 1, q), dy/dx by the derivatives of the Euler-Maclaurin formula"),
        method: false,
        samples: || {
            let mut all = arrays([Domain { low: 1.5, high: 5.0, avoid: &[] }, POSITIVE], &[]);
            all.extend(arrays([Domain { low: -3.5, high: 5.0, avoid: &[1.0] }], &[Arg::None]));
            all
        },
        ..Entry::BASE
    },
];
