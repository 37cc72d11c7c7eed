//! The error functions and the normal distribution.

use std::f64::consts::{FRAC_2_SQRT_PI, PI, SQRT_2};

use super::{NONE, arrays, inner, lit, of, row, special_function};
use crate::kernel::field::Field;
use crate::kernel::special::erf as kernel;
use crate::ops::registry::{Entry, Param};
use crate::ops::samples::{Domain, REAL};

special_function! {
    /// 1 - erf(x).
    erfc(x), 12.0, |[x], _| libm::erfc(x);
    slope |_, [x], _, _| lit(-FRAC_2_SQRT_PI) * (-(x * x)).exp();
}

special_function! {
    /// The inverse of erf.
    erfinv(x), 60.0, |[x], _| kernel::erfinv(x);
    needs true;
    slope |_, _, y, _| lit(1.0 / FRAC_2_SQRT_PI) * (y * y).exp();
}

special_function! {
    /// The inverse of erfc.
    erfcinv(x), 80.0, |[x], _| kernel::erfcinv(x);
    needs true;
    slope |_, _, y, _| lit(-1.0 / FRAC_2_SQRT_PI) * (y * y).exp();
}

special_function! {
    /// e^(x²) erfc(x).
    erfcx(x), 25.0, |[x], _| kernel::erfcx(x);
    slope |_, [x], _, _| of::<erfcx_slope, 1>([x], NONE);
}

special_function! {
    /// The derivative of erfcx.
    erfcx_slope(x), 30.0, |[x], _| kernel::erfcx_slope(x);
    needs true;
    slope |_, [x], y, _| lit(2.0) * (of::<erfcx, 1>([x], NONE) + x * y);
}

special_function! {
    /// The normal distribution function.
    ndtr(x), 20.0, |[x], _| kernel::ndtr(x);
    slope |_, [x], _, _| lit(FRAC_2_SQRT_PI / (2.0 * SQRT_2)) * (-(x * x) * lit(0.5)).exp();
}

special_function! {
    /// Its logarithm.
    log_ndtr(x), 30.0, |[x], _| kernel::log_ndtr(x);
    slope |_, [x], _, _| of::<log_ndtr_slope, 1>([x], NONE);
}

special_function! {
    /// The derivative of log_ndtr: density over distribution function.
    log_ndtr_slope(x), 40.0, |[x], _| kernel::log_ndtr_slope(x);
    needs true;
    slope |_, [x], y, _| -(y * (x + y));
}

special_function! {
    /// The inverse of the normal distribution function.
    ndtri(p), 80.0, |[p], _| kernel::ndtri(p);
    needs true;
    slope |_, _, y, _| lit((2.0 * PI).sqrt()) * (y * y * lit(0.5)).exp();
}

special_function! {
    /// The inverse of log_ndtr.
    ndtri_exp(y), 200.0, |[y], _| kernel::ndtri_exp(y);
    needs true;
    slope |_, _, y, _| lit(1.0) / of::<log_ndtr_slope, 1>([y], NONE);
}

/// The domain of inverse functions.
const OPEN: Domain = Domain { low: -0.9, high: 0.9, avoid: &[] };
const UNIT: Domain = Domain { low: 0.1, high: 0.9, avoid: &[] };

/// Primitives of derivatives, and of rows whose arguments are not its operands.
pub const INNER: &[Entry] = &[inner::<erfcx_slope, 1>(), inner::<log_ndtr_slope, 1>()];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    row::<erfc, 1>(
        &[Param::array("x")],
        "The complementary error function, 1 - erf(x), accurate where erf is near 1.\n\n>>> tg.special.erfc(tg.Variable([0.0]))\nVariable([1.])\n",
        "dy/dx = -2 exp(-x²) / sqrt(pi)",
        || arrays([REAL], &[]),
    ),
    row::<erfinv, 1>(
        &[Param::array("x")],
        "The inverse of erf on (-1, 1); ±inf at the ends, NaN beyond.\n\n>>> tg.special.erfinv(tg.Variable([0.0, 1.0]))\nVariable([ 0., inf])\n",
        "dy/dx = sqrt(pi) exp(y²) / 2",
        || arrays([OPEN], &[]),
    ),
    row::<erfcinv, 1>(
        &[Param::array("x")],
        "The inverse of erfc on (0, 2); accurate for small x.\n\n>>> tg.special.erfcinv(tg.Variable([1.0]))\nVariable([0.])\n",
        "dy/dx = -sqrt(pi) exp(y²) / 2",
        || arrays([Domain { low: 0.1, high: 1.9, avoid: &[] }], &[]),
    ),
    row::<erfcx, 1>(
        &[Param::array("x")],
        "The scaled complementary error function, exp(x²) erfc(x).\n\n>>> tg.special.erfcx(tg.Variable([0.0]))\nVariable([1.])\n",
        "dy/dx = 2 x y - 2 / sqrt(pi)",
        || arrays([REAL], &[]),
    ),
    row::<ndtr, 1>(
        &[Param::array("x")],
        "The distribution function of the standard normal distribution.\n\n>>> tg.special.ndtr(tg.Variable([0.0]))\nVariable([0.5])\n",
        "dy/dx = exp(-x²/2) / sqrt(2 pi)",
        || arrays([REAL], &[]),
    ),
    row::<log_ndtr, 1>(
        &[Param::array("x")],
        "The logarithm of the normal distribution function, accurate in both tails.\n\n>>> tg.special.log_ndtr(tg.Variable([0.0]))\nVariable([-0.6931472])\n",
        "dy/dx = exp(-x²/2 - y) / sqrt(2 pi)",
        || arrays([REAL], &[]),
    ),
    row::<ndtri, 1>(
        &[Param::array("p")],
        "The inverse of the normal distribution function on (0, 1); ±inf at the ends, NaN beyond.\n\n>>> tg.special.ndtri(tg.Variable([0.5]))\nVariable([0.])\n",
        "dy/dp = sqrt(2 pi) exp(y²/2)",
        || arrays([UNIT], &[]),
    ),
    row::<ndtri_exp, 1>(
        &[Param::array("y")],
        "The inverse of log_ndtr.\n\n>>> tg.special.ndtri_exp(tg.Variable([-0.6931471805599453], dtype=tg.float64)).round(6).abs()\nVariable([0.], dtype=float64)\n",
        "dx/dy = sqrt(2 pi) exp(x²/2 + y)",
        || arrays([Domain { low: -12.0, high: -0.1, avoid: &[] }], &[]),
    ),
];
