//! Bessel functions of orders 0 and 1.
//!
//! I_n(x)/xⁿ and J_n(x)/xⁿ are entire, and their derivatives are ±x times the next one. So derivatives need no division by x.

use super::{NONE, arrays, inner, lit, of, row, special_function};
use crate::kernel::field::Field;
use crate::kernel::special::bessel as kernel;
use crate::ops::registry::{Entry, Param};
use crate::ops::samples::{POSITIVE, REAL};

special_function! {
    /// I₀(x).
    i0(x), 20.0, |[x], _| kernel::i0(x);
    slope |_, [x], _, _| of::<i1, 1>([x], NONE);
}

special_function! {
    /// I₁(x).
    i1(x), 20.0, |[x], _| kernel::i1(x);
    slope |_, [x], _, _| of::<i_ratio, 1>([x], [1, 0]) + x * x * of::<i_ratio, 1>([x], [2, 0]);
}

special_function! {
    /// e^-|x| I₀(x).
    i0e(x), 15.0, |[x], _| kernel::i0e(x);
    needs true;
    slope |_, [x], y, _| of::<i1e, 1>([x], NONE) - x.sign() * y;
}

special_function! {
    /// e^-|x| I₁(x).
    i1e(x), 15.0, |[x], _| kernel::i1e(x);
    needs true;
    slope |_, [x], y, _| of::<i_ratio, 1>([x], [1, 1]) + x * x * of::<i_ratio, 1>([x], [2, 1]) - x.sign() * y;
}

special_function! {
    /// Iₙ(x)/xⁿ, times e^-|x| if the second integer is 1.
    i_ratio(x), 40.0, |[x], [n, scaled]| kernel::i_ratio(n, scaled == 1, x);
    needs true;
    slope |_, [x], y, [n, scaled]| {
        let rise = x * of::<i_ratio, 1>([x], [n + 1, scaled]);
        if scaled == 1 { rise - x.sign() * y } else { rise }
    };
}

special_function! {
    /// J₀(x).
    j0(x), 25.0, |[x], _| kernel::j0(x);
    slope |_, [x], _, _| -of::<j1, 1>([x], NONE);
}

special_function! {
    /// J₁(x).
    j1(x), 25.0, |[x], _| kernel::j1(x);
    slope |_, [x], _, _| of::<j_ratio, 1>([x], [1, 0]) - x * x * of::<j_ratio, 1>([x], [2, 0]);
}

special_function! {
    /// Jₙ(x)/xⁿ.
    j_ratio(x), 60.0, |[x], [n, _]| kernel::j_ratio(n, x);
    slope |_, [x], _, [n, _]| -(x * of::<j_ratio, 1>([x], [n + 1, 0]));
}

special_function! {
    /// Y₀(x).
    y0(x), 30.0, |[x], _| kernel::y0(x);
    slope |_, [x], _, _| -of::<y1, 1>([x], NONE);
}

special_function! {
    /// Y₁(x).
    y1(x), 30.0, |[x], _| kernel::y1(x);
    needs true;
    slope |_, [x], y, _| of::<y0, 1>([x], NONE) - y / x;
}

special_function! {
    /// K₀(x).
    k0(x), 30.0, |[x], _| kernel::k0(x);
    slope |_, [x], _, _| -of::<k1, 1>([x], NONE);
}

special_function! {
    /// K₁(x).
    k1(x), 30.0, |[x], _| kernel::k1(x);
    needs true;
    slope |_, [x], y, _| -(of::<k0, 1>([x], NONE) + y / x);
}

special_function! {
    /// eˣ K₀(x).
    k0e(x), 30.0, |[x], _| kernel::k0e(x);
    needs true;
    slope |_, [x], y, _| y - of::<k1e, 1>([x], NONE);
}

special_function! {
    /// eˣ K₁(x).
    k1e(x), 30.0, |[x], _| kernel::k1e(x);
    needs true;
    slope |_, [x], y, _| y * (lit(1.0) - lit(1.0) / x) - of::<k0e, 1>([x], NONE);
}

const X: &[Param] = &[Param::array("x")];

/// Primitives of derivatives, and of rows whose arguments are not its operands.
pub const INNER: &[Entry] = &[inner::<i_ratio, 1>(), inner::<j_ratio, 1>()];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    row::<i0, 1>(
        X,
        "The modified Bessel function of the first kind of order 0.\n\n>>> tg.special.i0(tg.Variable([0.0]))\nVariable([1.])\n",
        "i1(x)",
        || arrays([REAL], &[]),
    ),
    row::<i0e, 1>(X, "exp(-|x|) i0(x).\n\n>>> tg.special.i0e(tg.Variable([0.0]))\nVariable([1.])\n", "i1e(x) - sign(x) y", || {
        arrays([crate::ops::samples::NONZERO], &[])
    }),
    row::<i1, 1>(
        X,
        "The modified Bessel function of the first kind of order 1.\n\n>>> tg.special.i1(tg.Variable([0.0]))\nVariable([0.])\n",
        "i0(x) - y / x, 1/2 at 0",
        || arrays([REAL], &[]),
    ),
    row::<i1e, 1>(X, "exp(-|x|) i1(x).\n\n>>> tg.special.i1e(tg.Variable([0.0]))\nVariable([0.])\n", "i0e(x) - y (sign(x) + 1/x), 1/2 at 0", || {
        arrays([crate::ops::samples::NONZERO], &[])
    }),
    row::<j0, 1>(X, "The Bessel function of the first kind of order 0.\n\n>>> tg.special.j0(tg.Variable([0.0]))\nVariable([1.])\n", "-j1(x)", || {
        arrays([REAL], &[])
    }),
    row::<j1, 1>(
        X,
        "The Bessel function of the first kind of order 1.\n\n>>> tg.special.j1(tg.Variable([0.0]))\nVariable([0.])\n",
        "j0(x) - y / x, 1/2 at 0",
        || arrays([REAL], &[]),
    ),
    row::<y0, 1>(
        X,
        "The Bessel function of the second kind of order 0; -inf at 0, NaN below.\n\n>>> tg.special.y0(tg.Variable([1.0]))\nVariable([0.08825696])\n",
        "-y1(x)",
        || arrays([POSITIVE], &[]),
    ),
    row::<y1, 1>(
        X,
        "The Bessel function of the second kind of order 1; -inf at 0, NaN below.\n\n>>> tg.special.y1(tg.Variable([1.0]))\nVariable([-0.7812128])\n",
        "y0(x) - y / x",
        || arrays([POSITIVE], &[]),
    ),
    row::<k0, 1>(
        X,
        "The modified Bessel function of the second kind of order 0; inf at 0, NaN below.\n\n>>> tg.special.k0(tg.Variable([1.0]))\nVariable([0.42102444])\n",
        "-k1(x)",
        || arrays([POSITIVE], &[]),
    ),
    row::<k0e, 1>(X, "exp(x) k0(x).\n\n>>> tg.special.k0e(tg.Variable([1.0]))\nVariable([1.1444631])\n", "y - k1e(x)", || arrays([POSITIVE], &[])),
    row::<k1, 1>(
        X,
        "The modified Bessel function of the second kind of order 1; inf at 0, NaN below.\n\n>>> tg.special.k1(tg.Variable([1.0]))\nVariable([0.60190725])\n",
        "-k0(x) - y / x",
        || arrays([POSITIVE], &[]),
    ),
    row::<k1e, 1>(X, "exp(x) k1(x).\n\n>>> tg.special.k1e(tg.Variable([1.0]))\nVariable([1.6361535])\n", "y (1 - 1/x) - k0e(x)", || {
        arrays([POSITIVE], &[])
    }),
];
