//! Comparisons, logic, bits: none of them has a derivative.

use super::define::meet;
use super::registry::{Entry, Operand, Param, Sample};
use super::samples::{Domain, REAL};
use super::shape::astype;
use crate::array::{Array, DType, Element, Shape};
use crate::dispatch;
use crate::error::{Error, Result};
use crate::kernel::blocks::{self, Input};
use crate::tape::Variable;

/// Both operands in one dtype, and the shape they broadcast to.
fn together<'a>(op: &str, a: Operand<'a>, b: Operand<'a>) -> Result<(Pair, DType, Shape)> {
    let (mut dtype, shape) = meet(op, &a, &b)?;
    // An int beyond an integer dtype still compares by value.
    if dtype.is_integer() && dtype != DType::I64 && [&a, &b].iter().any(|o| matches!(o, Operand::Scalar(_))) {
        dtype = DType::I64;
    }
    Ok((Pair::of(a, b, dtype)?, dtype, shape))
}

struct Pair(Array, Array);

impl Pair {
    fn of(a: Operand<'_>, b: Operand<'_>, dtype: DType) -> Result<Self> {
        let cast = |o: Operand<'_>| -> Result<Array> {
            Ok(match o {
                Operand::Scalar(s) => Array::full(&[], s, dtype),
                Operand::Variable(v) => astype(&v.detach(), dtype)?.into_array(),
            })
        };
        Ok(Self(cast(a)?, cast(b)?))
    }

    fn inputs(&self) -> [Input<'_>; 2] {
        [Input::from(&self.0), Input::from(&self.1)]
    }
}

macro_rules! comparison {
    ($(#[doc = $doc:literal])+ $name:ident, $op:tt) => {
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// `Shape` when the operands do not broadcast.
        #[allow(clippy::float_cmp, reason = "it is what was asked for")]
        pub fn $name<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Variable> {
            let (pair, dtype, shape) = together(stringify!($name), a.into(), b.into())?;
            Ok(dispatch!(dtype, T => blocks::map(pair.inputs(), &shape, |[x, y]: [T; 2]| x $op y)).into())
        }
    };
}

comparison! {
    /// Whether a > b, element by element.
    greater, >
}
comparison! {
    /// Whether a ≥ b, element by element.
    greater_equal, >=
}
comparison! {
    /// Whether a < b, element by element.
    less, <
}
comparison! {
    /// Whether a ≤ b, element by element.
    less_equal, <=
}
comparison! {
    /// Whether a = b, element by element.
    equal, ==
}
comparison! {
    /// Whether a ≠ b, element by element.
    not_equal, !=
}

fn truth(op: &str, a: Operand<'_>, b: Operand<'_>, f: impl Fn(bool, bool) -> bool + Sync) -> Result<Variable> {
    let (_, shape) = meet(op, &a, &b)?;
    let (a, b) = (as_bool(a)?, as_bool(b)?);
    Ok(blocks::map([Input::from(&a), Input::from(&b)], &shape, |[x, y]: [bool; 2]| f(x, y)).into())
}

pub(super) fn as_bool(o: Operand<'_>) -> Result<Array> {
    Ok(match o {
        Operand::Scalar(s) => Array::scalar(bool::from_scalar(s)),
        Operand::Variable(v) => astype(&v.detach(), DType::Bool)?.into_array(),
    })
}

/// a and b, of truth values.
///
/// # Errors
/// `Shape` when the operands do not broadcast.
pub fn logical_and<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Variable> {
    truth("logical_and", a.into(), b.into(), |x, y| x && y)
}

/// a or b, of truth values.
///
/// # Errors
/// `Shape` when the operands do not broadcast.
pub fn logical_or<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Variable> {
    truth("logical_or", a.into(), b.into(), |x, y| x || y)
}

/// Either a or b, of truth values.
///
/// # Errors
/// `Shape` when the operands do not broadcast.
pub fn logical_xor<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Variable> {
    truth("logical_xor", a.into(), b.into(), |x, y| x != y)
}

/// The opposite truth value.
///
/// # Errors
/// None in practice.
pub fn logical_not<'a>(x: impl Into<Operand<'a>>) -> Result<Variable> {
    let x = x.into();
    truth("logical_not", x, x, |x, _| !x)
}

/// Whether x is NaN, element by element.
///
/// # Errors
/// None in practice.
pub fn isnan(x: &Variable) -> Result<Variable> {
    not_equal(x, x)
}

macro_rules! bitwise {
    ($(#[doc = $doc:literal])+ $name:ident, $integer:expr, $boolean:expr) => {
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// `Shape` when the operands do not broadcast, `DType` for floating ones.
        #[allow(clippy::unnecessary_fallible_conversions, reason = "only u8 always fits into the count of a shift")]
        pub fn $name<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Variable> {
            let (a, b) = (a.into(), b.into());
            let (dtype, shape) = meet(stringify!($name), &a, &b)?;
            if dtype.is_float() {
                return Err(Error::dtype(stringify!($name), dtype, "integers or bool"));
            }
            for o in [a, b] {
                if let Operand::Scalar(s) = o {
                    s.check(stringify!($name), dtype)?;
                }
            }
            let pair = Pair::of(a, b, dtype)?;
            let boolean: Option<fn(bool, bool) -> bool> = $boolean;
            Ok(dispatch!(integer dtype, T => blocks::map(pair.inputs(), &shape, |[x, y]: [T; 2]| {
                let f: fn(T, T) -> T = $integer;
                f(x, y)
            }), else match boolean {
                Some(f) => blocks::map(pair.inputs(), &shape, |[x, y]: [bool; 2]| f(x, y)),
                None => return Err(Error::dtype(stringify!($name), dtype, "integers")),
            }).into())
        }
    };
}

bitwise! {
    /// a and b, bit by bit.
    bitwise_and, |x, y| x & y, Some(|x, y| x & y)
}
bitwise! {
    /// a or b, bit by bit.
    bitwise_or, |x, y| x | y, Some(|x, y| x | y)
}
bitwise! {
    /// Either a or b, bit by bit.
    bitwise_xor, |x, y| x ^ y, Some(|x, y| x ^ y)
}
bitwise! {
    /// a shifted left by b bits; 0 when b is not less than the width.
    bitwise_left_shift, |x, y| u32::try_from(y).ok().and_then(|n| x.checked_shl(n)).unwrap_or(0), None
}
bitwise! {
    /// a shifted right by b bits, with its sign.
    bitwise_right_shift, |x, y| u32::try_from(y).ok().and_then(|n| x.checked_shr(n)).unwrap_or(if x.to_scalar().as_f64() < 0.0 { !0 } else { 0 }), None
}

/// Every bit turned round.
///
/// # Errors
/// `DType` for floating x.
pub fn bitwise_invert(x: &Variable) -> Result<Variable> {
    let dtype = x.dtype();
    if dtype.is_float() {
        return Err(Error::dtype("bitwise_invert", dtype, "integers or bool"));
    }
    let input = [Input::from(x.array())];
    Ok(dispatch!(integer dtype, T => blocks::map(input, x.shape(), |[x]: [T; 1]| !x), else blocks::map(input, x.shape(), |[x]: [bool; 1]| !x)).into())
}

/// Pairs of float arrays that broadcast, for operations without a derivative.
pub(super) fn pairs() -> Vec<Sample> {
    Domain::binary_samples([REAL, REAL])
}

macro_rules! entry {
    ($name:literal, $f:path, $doc:literal) => {
        Entry {
            name: $name,
            doc: $doc,
            params: &[Param::array("a"), Param::array("b")],
            call: |a| Ok($f(a.operand(0)?, a.operand(1)?)?.into()),
            samples: pairs,
            ..Entry::BASE
        }
    };
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    entry!("greater", greater, "Whether a > b, element by element.\n\n>>> tg.greater(tg.Variable([1.0, 2.0]), 1.5)\nVariable([False,  True])\n"),
    entry!(
        "greater_equal",
        greater_equal,
        "Whether a >= b, element by element.\n\n>>> tg.greater_equal(tg.Variable([1.0, 2.0]), 2.0)\nVariable([False,  True])\n"
    ),
    entry!("less", less, "Whether a < b, element by element.\n\n>>> tg.less(tg.Variable([1.0, 2.0]), 1.5)\nVariable([ True, False])\n"),
    entry!(
        "less_equal",
        less_equal,
        "Whether a <= b, element by element.\n\n>>> tg.less_equal(tg.Variable([1.0, 2.0]), 1.0)\nVariable([ True, False])\n"
    ),
    entry!("equal", equal, "Whether a == b, element by element.\n\n>>> tg.equal(tg.Variable([1.0, 2.0]), 1.0)\nVariable([ True, False])\n"),
    entry!(
        "not_equal",
        not_equal,
        "Whether a != b, element by element.\n\n>>> tg.not_equal(tg.Variable([1.0, 2.0]), 1.0)\nVariable([False,  True])\n"
    ),
    entry!(
        "logical_and",
        logical_and,
        "a and b, of truth values.\n\n>>> tg.logical_and(tg.Variable([True, False]), True)\nVariable([ True, False])\n"
    ),
    entry!("logical_or", logical_or, "a or b, of truth values.\n\n>>> tg.logical_or(tg.Variable([True, False]), True)\nVariable([ True,  True])\n"),
    entry!(
        "logical_xor",
        logical_xor,
        "Either a or b, of truth values.\n\n>>> tg.logical_xor(tg.Variable([True, False]), True)\nVariable([False,  True])\n"
    ),
    Entry {
        name: "logical_not",
        doc: "The opposite truth value.\n\n>>> tg.logical_not(tg.Variable([True, False]))\nVariable([False,  True])\n",
        params: &[Param::array("x")],
        call: |a| Ok(logical_not(a.operand(0)?)?.into()),
        samples: || REAL.unary_samples(&[Param::array("x")]),
        ..Entry::BASE
    },
    Entry {
        name: "isnan",
        doc: "Whether x is NaN, element by element.\n\n>>> tg.isnan(tg.Variable([1.0, float(\"nan\")]))\nVariable([False,  True])\n",
        params: &[Param::array("x")],
        call: |a| Ok(isnan(&a.variable(0)?)?.into()),
        samples: || REAL.unary_samples(&[Param::array("x")]),
        ..Entry::BASE
    },
    Entry {
        samples: Vec::new,
        ..entry!(
            "bitwise_and",
            bitwise_and,
            "a and b, bit by bit, of integers or bools.\n\n>>> tg.bitwise_and(tg.Variable([6, 3]), 2)\nVariable([2, 2])\n"
        )
    },
    Entry {
        samples: Vec::new,
        ..entry!(
            "bitwise_or",
            bitwise_or,
            "a or b, bit by bit, of integers or bools.\n\n>>> tg.bitwise_or(tg.Variable([4, 3]), 2)\nVariable([6, 3])\n"
        )
    },
    Entry {
        samples: Vec::new,
        ..entry!(
            "bitwise_xor",
            bitwise_xor,
            "Either a or b, bit by bit, of integers or bools.\n\n>>> tg.bitwise_xor(tg.Variable([6, 3]), 2)\nVariable([4, 1])\n"
        )
    },
    Entry {
        samples: Vec::new,
        aliases: &["left_shift"],
        ..entry!(
            "bitwise_left_shift",
            bitwise_left_shift,
            "a shifted left by b bits.\n\n>>> tg.bitwise_left_shift(tg.Variable([1, 3]), 2)\nVariable([ 4, 12])\n"
        )
    },
    Entry {
        samples: Vec::new,
        aliases: &["right_shift"],
        ..entry!(
            "bitwise_right_shift",
            bitwise_right_shift,
            "a shifted right by b bits, with its sign.\n\n>>> tg.bitwise_right_shift(tg.Variable([4, -3]), 1)\nVariable([ 2, -2])\n"
        )
    },
    Entry {
        name: "bitwise_invert",
        aliases: &["bitwise_not", "invert"],
        doc: "Every bit turned round, of integers or bools.\n\n>>> tg.bitwise_invert(tg.Variable([0, 5]))\nVariable([-1, -6])\n",
        params: &[Param::array("x")],
        call: |a| Ok(bitwise_invert(&a.variable(0)?)?.into()),
        ..Entry::BASE
    },
];
