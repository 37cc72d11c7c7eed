//! The incomplete gamma and beta functions.
//!
//! Their derivatives with respect to the shapes are separate functions, up to the second order; see `kernel::special::incomplete`.

use super::gamma::{digamma, polygamma};
use super::{NONE, arrays, inner, lit, of, row, special, special_function};
use crate::error::Error;
use crate::kernel::field::Field;
use crate::kernel::special::incomplete as kernel;
use crate::ops::registry::{Entry, Param};
use crate::ops::samples::{Domain, POSITIVE};
use crate::ops::traced::Traced;

special_function! {
    /// P(a, x).
    gammainc(a, x), 150.0, |[a, x], _| kernel::gammainc(a, x);
    slope |i, [a, x], _, _| if i == 0 { of::<gammainc_by_shape, 2>([a, x], [1, 0]) } else { of::<gamma_density, 2>([a, x], NONE) };
}

special_function! {
    /// Q(a, x).
    gammaincc(a, x), 150.0, |[a, x], _| kernel::gammaincc(a, x);
    slope |i, [a, x], _, _| -(if i == 0 { of::<gammainc_by_shape, 2>([a, x], [1, 0]) } else { of::<gamma_density, 2>([a, x], NONE) });
}

special_function! {
    /// ∂ⁿP(a, x)/∂aⁿ.
    gammainc_by_shape(a, x), 900.0, |[a, x], [n, _]| kernel::gammainc_by_shape(a, x, n as usize);
    slope |i, [a, x], _, [n, _]| gamma_shape_slope(i, a, x, n);
}

special_function! {
    /// x^(a - 1) e^-x / Γ(a).
    gamma_density(a, x), 60.0, |[a, x], _| kernel::gamma_density(a, x);
    needs true;
    slope |i, [a, x], y, _| y.annihilate(if i == 0 { x.ln() - of::<digamma, 1>([a], NONE) } else { (a - lit(1.0)) / x - lit(1.0) });
}

fn gamma_shape_slope<'t>(i: usize, a: Traced<'t>, x: Traced<'t>, n: i64) -> Traced<'t> {
    if i == 0 {
        return Traced::call([a, x], |[a, x]| {
            if n >= 2 {
                return Err(third("gammainc"));
            }
            special::<gammainc_by_shape, 2>([a.into(), x.into()], [n + 1, 0])
        });
    }
    let slope = x.ln() - of::<digamma, 1>([a], NONE);
    let factor = if n == 1 { slope } else { slope * slope - of::<polygamma, 1>([a], [1, 0]) };
    of::<gamma_density, 2>([a, x], NONE).annihilate(factor)
}

#[cold]
fn third(name: &str) -> Error {
    Error::Grad(format!("{name}: derivatives by the shapes are known up to the second order, a third one was asked for"))
}

special_function! {
    /// I_x(a, b).
    betainc(a, b, x), 300.0, |[a, b, x], _| kernel::betainc(a, b, x);
    slope |i, x, _, _| beta_slope(i, x);
}

special_function! {
    /// 1 - I_x(a, b).
    betaincc(a, b, x), 300.0, |[a, b, x], _| kernel::betaincc(a, b, x);
    slope |i, x, _, _| -beta_slope(i, x);
}

fn beta_slope(i: usize, x: [Traced<'_>; 3]) -> Traced<'_> {
    match i {
        0 => of::<betainc_by_shape, 3>(x, [1, 0]),
        1 => of::<betainc_by_shape, 3>(x, [0, 1]),
        _ => of::<beta_density, 3>(x, NONE),
    }
}

special_function! {
    /// The derivative of I_x(a, b), m times with respect to a and n times with respect to b.
    betainc_by_shape(a, b, x), 1500.0, |[a, b, x], [m, n]| kernel::betainc_by_shape(a, b, x, m as usize, n as usize);
    slope |i, x, _, orders| beta_shape_slope(i, x, orders);
}

special_function! {
    /// x^(a - 1) (1 - x)^(b - 1) / B(a, b).
    beta_density(a, b, x), 80.0, |[a, b, x], _| kernel::beta_density(a, b, x);
    needs true;
    slope |i, [a, b, x], y, _| y.annihilate(match i {
        0 => by_shape(a, a + b, x.ln()),
        1 => by_shape(b, a + b, (-x).ln_1p()),
        _ => (a - lit(1.0)) / x - (b - lit(1.0)) / (lit(1.0) - x),
    });
}

/// The derivative of the logarithm of the density with respect to a shape.
fn by_shape<'t>(shape: Traced<'t>, total: Traced<'t>, log: Traced<'t>) -> Traced<'t> {
    log - of::<digamma, 1>([shape], NONE) + of::<digamma, 1>([total], NONE)
}

fn beta_shape_slope(i: usize, [a, b, x]: [Traced<'_>; 3], [m, n]: [i64; 2]) -> Traced<'_> {
    if i < 2 {
        return Traced::call([a, b, x], |args| {
            if m + n >= 2 {
                return Err(third("betainc"));
            }
            special::<betainc_by_shape, 3>(args.map(Into::into), if i == 0 { [m + 1, n] } else { [m, n + 1] })
        });
    }
    let (da, db) = (by_shape(a, a + b, x.ln()), by_shape(b, a + b, (-x).ln_1p()));
    let [ca, cb, ct] = [a, b, a + b].map(|shape| of::<polygamma, 1>([shape], [1, 0]));
    let factor = match (m, n) {
        (1, 0) => da,
        (0, 1) => db,
        (2, 0) => da * da - ca + ct,
        (0, 2) => db * db - cb + ct,
        _ => da * db + ct,
    };
    of::<beta_density, 3>([a, b, x], NONE).annihilate(factor)
}

const UNIT: Domain = Domain { low: 0.1, high: 0.9, avoid: &[] };

/// Primitives of derivatives, and of rows whose arguments are not its operands.
pub const INNER: &[Entry] =
    &[inner::<gammainc_by_shape, 2>(), inner::<gamma_density, 2>(), inner::<betainc_by_shape, 3>(), inner::<beta_density, 3>()];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    row::<gammainc, 2>(
        &[Param::array("a"), Param::array("x")],
        "The regularised lower incomplete gamma function P(a, x). Derivatives by a are known up to the second order.\n\n>>> tg.special.gammainc(tg.Variable([1.0]), 1.0)\nVariable([0.63212055])\n",
        "dy/dx = x^(a - 1) exp(-x) / Gamma(a), dy/da by the same series, differentiated term by term",
        || arrays([POSITIVE, POSITIVE], &[]),
    ),
    row::<gammaincc, 2>(
        &[Param::array("a"), Param::array("x")],
        "The regularised upper incomplete gamma function, 1 - gammainc(a, x), accurate where it is small.\n\n>>> tg.special.gammaincc(tg.Variable([1.0]), 1.0)\nVariable([0.36787945])\n",
        "the negative of that of gammainc",
        || arrays([POSITIVE, POSITIVE], &[]),
    ),
    row::<betainc, 3>(
        &[Param::array("a"), Param::array("b"), Param::array("x")],
        "The regularised incomplete beta function I_x(a, b). Derivatives by a and b are known up to the second order.\n\n>>> tg.special.betainc(tg.Variable([1.0]), 2.0, 0.5)\nVariable([0.75])\n",
        "dy/dx = x^(a - 1) (1 - x)^(b - 1) / beta(a, b), dy/da and dy/db by the same continued fraction, differentiated term by term",
        || arrays([POSITIVE, POSITIVE, UNIT], &[]),
    ),
    row::<betaincc, 3>(
        &[Param::array("a"), Param::array("b"), Param::array("x")],
        "1 - betainc(a, b, x), accurate where it is small.\n\n>>> tg.special.betaincc(tg.Variable([1.0]), 2.0, 0.5)\nVariable([0.25])\n",
        "the negative of that of betainc",
        || arrays([POSITIVE, POSITIVE, UNIT], &[]),
    ),
];
