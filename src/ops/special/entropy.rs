//! Logarithms and entropies of probabilities, Lambert's function, sinc.

use super::{arrays, inner, lit, of, row, special, special_function};
use crate::error::{Error, Result};
use crate::kernel::field::Field;
use crate::kernel::special::{integral, logistic as kernel};
use crate::ops::registry::{Arg, Default, Entry, Gradient, Kind, Operand, Param};
use crate::ops::samples::{Domain, NONZERO, POSITIVE, REAL};
use crate::ops::{negative, sigmoid, softplus};
use crate::tape::Variable;

special_function! {
    /// log(p / (1 - p)).
    logit(x), 12.0, |[x], _| kernel::logit(x);
    slope |_, [x], _, _| lit(1.0) / (x * (lit(1.0) - x));
}

special_function! {
    /// x log y.
    xlogy(x, y), 6.0, |[x, y], _| kernel::xlogy(x, y);
    slope |i, [x, y], _, _| if i == 0 { y.ln() } else { x.annihilate(lit(1.0) / y) };
}

special_function! {
    /// x log(1 + y).
    xlog1py(x, y), 8.0, |[x, y], _| kernel::xlog1py(x, y);
    slope |i, [x, y], _, _| if i == 0 { y.ln_1p() } else { x.annihilate(lit(1.0) / (lit(1.0) + y)) };
}

special_function! {
    /// -x log x.
    entr(x), 6.0, |[x], _| kernel::entr(x);
    slope |_, [x], _, _| lit(-1.0) - x.ln();
}

special_function! {
    /// x log(x / y).
    rel_entr(x, y), 8.0, |[x, y], _| kernel::rel_entr(x, y);
    slope |i, [x, y], _, _| if i == 0 { (x / y).ln() + lit(1.0) } else { -x.annihilate(lit(1.0) / y) };
}

special_function! {
    /// x log(x / y) - x + y.
    kl_div(x, y), 10.0, |[x, y], _| kernel::kl_div(x, y);
    slope |i, [x, y], _, _| if i == 0 { (x / y).ln() } else { lit(1.0) - x.annihilate(lit(1.0) / y) };
}

special_function! {
    /// The exponential integral E₁.
    exp1(x), 60.0, |[x], _| integral::exp1(x);
    slope |_, [x], _, _| -((-x).exp() / x);
}

special_function! {
    /// The exponential integral Ei.
    expi(x), 60.0, |[x], _| integral::expi(x);
    slope |_, [x], _, _| x.exp() / x;
}

special_function! {
    /// The inverse of w eʷ on a real branch.
    lambertw(x), 80.0, |[x], [k, _]| integral::lambertw(x, k);
    needs true;
    slope |_, _, y, _| lit(1.0) / (y.exp() * (lit(1.0) + y));
}

special_function! {
    /// The derivative of order n of sin(πx)/(πx).
    special_sinc(x), 15.0, |[x], [n, _]| if n == 0 { kernel::sinc(x) } else { kernel::sinc_derivative(x, n as u32) };
    slope |_, [x], _, [n, _]| of::<special_sinc, 1>([x], [n + 1, 0]);
}

/// 1/(1 + e⁻ˣ).
///
/// # Errors
/// Those of recording.
pub fn expit(x: &Variable) -> Result<Variable> {
    sigmoid(x)
}

/// log of [`expit`], -log(1 + e⁻ˣ).
///
/// # Errors
/// Those of recording.
pub fn log_expit(x: &Variable) -> Result<Variable> {
    negative(&softplus(&negative(x)?, 1.0)?)
}

fn lambert(x: Operand<'_>, k: i64) -> Result<Variable> {
    if k != 0 && k != -1 {
        return Err(Error::Value(format!("lambertw: k is {k}, expected 0 or -1, the branches with real values")));
    }
    special::<lambertw, 1>([x], [k, 0])
}

const UNIT: Domain = Domain { low: 0.05, high: 0.95, avoid: &[] };

/// Primitives of derivatives, and of rows whose arguments are not its operands.
pub const INNER: &[Entry] = &[inner::<lambertw, 1>()];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "expit",
        module: "special",
        doc: "The logistic function, 1 / (1 + exp(-x)).\n\n>>> tg.special.expit(tg.Variable([0.0]))\nVariable([0.5])\n",
        params: &[Param::array("x")],
        call: |a| Ok(expit(&a.variable(0)?)?.into()),
        cost: 4.0,
        gradient: Gradient::Composite("y (1 - y)"),
        method: false,
        samples: || arrays([REAL], &[]),
        ..Entry::BASE
    },
    Entry {
        name: "log_expit",
        module: "special",
        doc: "The logarithm of the logistic function, -log(1 + exp(-x)).\n\n>>> tg.special.log_expit(tg.Variable([0.0]))\nVariable([-0.6931472])\n",
        params: &[Param::array("x")],
        call: |a| Ok(log_expit(&a.variable(0)?)?.into()),
        cost: 6.0,
        gradient: Gradient::Composite("expit(-x)"),
        method: false,
        samples: || arrays([REAL], &[]),
        ..Entry::BASE
    },
    Entry {
        module: "special",
        doc: "The error function.\n\n>>> tg.special.erf(tg.Variable([0.0]))\nVariable([0.])\n",
        method: false,
        ..<crate::ops::activation::erf as crate::ops::define::Unary>::ENTRY
    },
    row::<logit, 1>(
        &[Param::array("x")],
        "log(x / (1 - x)), the inverse of expit.\n\n>>> tg.special.logit(tg.Variable([0.5]))\nVariable([0.])\n",
        "1 / (x (1 - x))",
        || arrays([UNIT], &[]),
    ),
    row::<xlogy, 2>(
        &[Param::array("x"), Param::array("y")],
        "x log(y), 0 where x is 0.\n\n>>> tg.special.xlogy(tg.Variable([0.0, 2.0]), tg.Variable([0.0, 1.0]))\nVariable([0., 0.])\n",
        "dz/dx = log(y), dz/dy = x / y, 0 where x is 0",
        || arrays([REAL, POSITIVE], &[]),
    ),
    row::<xlog1py, 2>(
        &[Param::array("x"), Param::array("y")],
        "x log(1 + y), 0 where x is 0.\n\n>>> tg.special.xlog1py(tg.Variable([0.0]), tg.Variable([-1.0]))\nVariable([0.])\n",
        "dz/dx = log1p(y), dz/dy = x / (1 + y), 0 where x is 0",
        || arrays([REAL, POSITIVE], &[]),
    ),
    row::<entr, 1>(
        &[Param::array("x")],
        "The entropy -x log(x), 0 at 0, -inf below.\n\n>>> tg.special.entr(tg.Variable([0.0]))\nVariable([0.])\n",
        "-log(x) - 1",
        || arrays([POSITIVE], &[]),
    ),
    row::<rel_entr, 2>(
        &[Param::array("x"), Param::array("y")],
        "x log(x / y), 0 where x is 0 and y is not negative, inf outside of the domain.\n\n>>> tg.special.rel_entr(tg.Variable([1.0]), 1.0)\nVariable([0.])\n",
        "dz/dx = log(x / y) + 1, dz/dy = -x / y",
        || arrays([POSITIVE, POSITIVE], &[]),
    ),
    row::<kl_div, 2>(
        &[Param::array("x"), Param::array("y")],
        "x log(x / y) - x + y, the summand of a Kullback-Leibler divergence.\n\n>>> tg.special.kl_div(tg.Variable([1.0]), 1.0)\nVariable([0.])\n",
        "dz/dx = log(x / y), dz/dy = 1 - x / y",
        || arrays([POSITIVE, POSITIVE], &[]),
    ),
    row::<exp1, 1>(
        &[Param::array("x")],
        "The exponential integral, exp(-t)/t from x to infinity; inf at 0, NaN below.\n\n>>> tg.special.exp1(tg.Variable([1.0]))\nVariable([0.21938394])\n",
        "-exp(-x) / x",
        || arrays([POSITIVE], &[]),
    ),
    row::<expi, 1>(
        &[Param::array("x")],
        "The exponential integral, exp(t)/t from -infinity to x as a principal value; -inf at 0.\n\n>>> tg.special.expi(tg.Variable([1.0]))\nVariable([1.8951178])\n",
        "exp(x) / x",
        || arrays([NONZERO], &[]),
    ),
    Entry {
        name: "lambertw",
        module: "special",
        doc: "The w with w exp(w) = x on a real branch: k = 0 for x >= -1/e, k = -1 for -1/e <= x < 0; NaN elsewhere.\n\n>>> tg.special.lambertw(tg.Variable([0.0, 2.718281828459045]))\nVariable([0., 1.])\n",
        params: &[Param::array("x"), Param::new("k", Kind::Int).or(Default::Int(0))],
        call: |a| Ok(lambert(a.operand(0)?, a.int(1)?)?.into()),
        cost: 80.0,
        gradient: Gradient::Rule("1 / (exp(y) (1 + y))"),
        method: false,
        samples: || {
            let mut all = arrays([Domain { low: -0.3, high: 5.0, avoid: &[] }], &[Arg::Int(0)]);
            all.extend(arrays([Domain { low: -0.3, high: -0.05, avoid: &[] }], &[Arg::Int(-1)]));
            all
        },
        ..Entry::BASE
    },
    Entry {
        // The primitive of `tg.sinc` has the plain name.
        name: "sinc",
        ..row::<special_sinc, 1>(
            &[Param::array("x")],
            "sin(pi x) / (pi x), 1 at 0.\n\n>>> tg.special.sinc(tg.Variable([0.0, 1.0]))\nVariable([1., 0.])\n",
            "(cos(pi x) - y) / x, 0 at 0",
            || arrays([REAL], &[]),
        )
    },
];
