//! Comparisons, logic, bit operations: they have no derivatives.

use super::define::{carrier, result_type};
use super::registry::{Arg, Entry, Operand, Param, Sample};
use super::samples::{Domain, REAL};
use super::shape::astype;
use crate::array::{Array, DType, Element, Shape, broadcast_shapes};
use crate::dispatch;
use crate::error::{Error, Result};
use crate::kernel::blocks::{self, Input};
use crate::tape::{Batch, Call, Primitive, Variable, apply};

/// The dtype in which two operands are compared.
fn common_dtype(op: &str, a: Operand<'_>, b: Operand<'_>) -> Result<DType> {
    let (dtype, _) = result_type(op, &a, &b)?;
    // An int outside the range of an integer dtype is still compared by value.
    let number = [a, b].into_iter().find_map(|o| if let Operand::Scalar(s) = o { Some(s) } else { None });
    Ok(match number {
        Some(s) if dtype == DType::U64 => {
            if s.check(op, dtype).is_ok() {
                dtype
            } else {
                DType::F64
            }
        }
        Some(_) if dtype.is_integer() => DType::I64,
        _ if dtype.is_half() => DType::F32,
        _ => dtype,
    })
}

/// An operand in a dtype, without history.
fn cast(o: Operand<'_>, dtype: DType) -> Result<Variable> {
    match o {
        Operand::Scalar(s) => Ok(Array::full(&[], s, dtype).into()),
        Operand::Variable(v) => astype(&v.detach(), dtype),
    }
}

/// An elementwise primitive without a derivative.
const WITHOUT_DERIVATIVE: Primitive = Primitive { batch: Batch::Elementwise, ..Primitive::BASE };

/// Runs a primitive on two operands that have one dtype.
fn pairwise(p: &'static Primitive, a: Operand<'_>, b: Operand<'_>, dtype: DType) -> Result<Variable> {
    let (a, b) = (cast(a, dtype)?, cast(b, dtype)?);
    apply(p, &[(&a).into(), (&b).into()], &())
}

/// Operands 0 and 1, and the shape that they broadcast to.
fn both<'a>(call: &Call<'a>) -> Result<([Input<'a>; 2], Shape)> {
    let (a, b) = (call.array(0), call.array(1));
    let shape = broadcast_shapes(a.shape(), b.shape()).ok_or_else(|| Error::broadcast(call.name(), a.shape(), b.shape()))?;
    Ok(([a.into(), b.into()], shape))
}

/// Compares the elements of real arrays.
macro_rules! real {
    ($call:expr, $inputs:expr, $shape:expr, $op:tt) => {{
        let dtype = $call.array(0).dtype();
        dispatch!(real dtype, T => blocks::map($inputs, $shape, |[x, y]: [T; 2]| x $op y), else {
            return Err(Error::dtype($call.name(), dtype, "real numbers: complex ones have no order; compare abs(), .real or .imag"))
        })
    }};
}

/// Compares the elements of any arrays.
macro_rules! whole {
    ($call:expr, $inputs:expr, $shape:expr, $op:tt) => {
        dispatch!($call.array(0).dtype(), T => blocks::map($inputs, $shape, |[x, y]: [T; 2]| x $op y))
    };
}

macro_rules! comparison {
    ($(#[doc = $doc:literal])+ $name:ident, $of:ident $op:tt) => {
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// `Shape` when the operands do not broadcast.
        pub fn $name<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Variable> {
            let (a, b) = (a.into(), b.into());
            pairwise($name::PRIMITIVE, a, b, common_dtype(stringify!($name), a, b)?)
        }

        carrier! {
            #[allow(clippy::float_cmp, reason = "it is what was asked for")]
            $name = Primitive {
                name: stringify!($name),
                eval: |call| {
                    let (inputs, shape) = both(call)?;
                    let out = $of!(call, inputs, &shape, $op);
                    call.give(out);
                    Ok(())
                },
                ..WITHOUT_DERIVATIVE
            }
        }
    };
}

comparison! {
    /// Whether a > b, element by element.
    greater, real >
}
comparison! {
    /// Whether a ≥ b, element by element.
    greater_equal, real >=
}
comparison! {
    /// Whether a < b, element by element.
    less, real <
}
comparison! {
    /// Whether a ≤ b, element by element.
    less_equal, real <=
}
comparison! {
    /// Whether a = b, element by element.
    equal, whole ==
}
comparison! {
    /// Whether a ≠ b, element by element.
    not_equal, whole !=
}

macro_rules! logical {
    ($(#[doc = $doc:literal])+ $name:ident, |$x:ident, $y:ident| $formula:expr) => {
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// `Shape` when the operands do not broadcast.
        pub fn $name<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Variable> {
            let (a, b) = (a.into(), b.into());
            result_type(stringify!($name), &a, &b)?;
            pairwise($name::PRIMITIVE, a, b, DType::Bool)
        }

        carrier! {
            $name = Primitive {
                name: stringify!($name),
                eval: |call| {
                    let (inputs, shape) = both(call)?;
                    call.give(blocks::map(inputs, &shape, |[$x, $y]: [bool; 2]| $formula));
                    Ok(())
                },
                ..WITHOUT_DERIVATIVE
            }
        }
    };
}

logical! {
    /// a and b, as bools.
    logical_and, |x, y| x && y
}
logical! {
    /// a or b, as bools.
    logical_or, |x, y| x || y
}
logical! {
    /// Either a or b but not both, as bools.
    logical_xor, |x, y| x != y
}

/// The logical negation.
///
/// # Errors
/// None in practice.
pub fn logical_not<'a>(x: impl Into<Operand<'a>>) -> Result<Variable> {
    logical_xor(x, true)
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
        pub fn $name<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Variable> {
            let (a, b) = (a.into(), b.into());
            let (dtype, _) = result_type(stringify!($name), &a, &b)?;
            if dtype.is_inexact() {
                return Err(Error::dtype(stringify!($name), dtype, "integers or bool"));
            }
            for o in [a, b] {
                if let Operand::Scalar(s) = o {
                    s.check(stringify!($name), dtype)?;
                }
            }
            pairwise($name::PRIMITIVE, a, b, dtype)
        }

        carrier! {
            #[allow(clippy::unnecessary_fallible_conversions, clippy::useless_conversion, reason = "narrow unsigned dtypes always fit into the count of a shift")]
            $name = Primitive {
                name: stringify!($name),
                eval: |call| {
                    let (inputs, shape) = both(call)?;
                    let dtype = call.array(0).dtype();
                    let boolean: Option<fn(bool, bool) -> bool> = $boolean;
                    let out = dispatch!(integer dtype, T => blocks::map(inputs, &shape, |[x, y]: [T; 2]| {
                        let f: fn(T, T) -> T = $integer;
                        f(x, y)
                    }), else match boolean {
                        Some(f) => blocks::map(inputs, &shape, |[x, y]: [bool; 2]| f(x, y)),
                        None => return Err(Error::dtype(call.name(), dtype, "integers")),
                    });
                    call.give(out);
                    Ok(())
                },
                ..WITHOUT_DERIVATIVE
            }
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

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&INVERT];

static INVERT: Primitive = Primitive {
    name: "bitwise_invert",
    eval: |call| {
        let x = call.array(0);
        let input = [Input::from(x)];
        let out = dispatch!(integer x.dtype(), T => blocks::map(input, x.shape(), |[x]: [T; 1]| !x), else blocks::map(input, x.shape(), |[x]: [bool; 1]| !x));
        call.give(out);
        Ok(())
    },
    ..WITHOUT_DERIVATIVE
};

/// All bits inverted.
///
/// # Errors
/// `DType` for floating x.
pub fn bitwise_invert(x: &Variable) -> Result<Variable> {
    let dtype = x.dtype();
    if dtype.is_inexact() {
        return Err(Error::dtype("bitwise_invert", dtype, "integers or bool"));
    }
    apply(&INVERT, &[x.into()], &())
}

/// Pairs of float arrays that broadcast, for operations without a derivative.
pub(super) fn pairs() -> Vec<Sample> {
    Domain::binary_samples([REAL, REAL])
}

/// Pairs of integer arrays that broadcast; the second one is small enough to shift by.
fn integer_pairs() -> Vec<Sample> {
    let array = |values: &[i64], shape: &[usize]| Arg::Variable(Array::from_slice(values, shape).into());
    vec![
        Sample { args: vec![array(&[6, -3, 0, 9], &[4]), array(&[1, 2, 0, 3], &[4])] },
        Sample { args: vec![array(&[5, 12], &[2, 1]), array(&[1, 3], &[2])] },
        Sample { args: vec![array(&[7], &[]), array(&[2], &[])] },
    ]
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

/// Primitives of functions that have no derivative.
pub const WITHOUT_RULES: &[&Primitive] = &[
    greater::PRIMITIVE,
    greater_equal::PRIMITIVE,
    less::PRIMITIVE,
    less_equal::PRIMITIVE,
    equal::PRIMITIVE,
    not_equal::PRIMITIVE,
    logical_and::PRIMITIVE,
    logical_or::PRIMITIVE,
    logical_xor::PRIMITIVE,
    bitwise_and::PRIMITIVE,
    bitwise_or::PRIMITIVE,
    bitwise_xor::PRIMITIVE,
    bitwise_left_shift::PRIMITIVE,
    bitwise_right_shift::PRIMITIVE,
];

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
        samples: integer_pairs,
        ..entry!(
            "bitwise_and",
            bitwise_and,
            "a and b, bit by bit, of integers or bools.\n\n>>> tg.bitwise_and(tg.Variable([6, 3]), 2)\nVariable([2, 2])\n"
        )
    },
    Entry {
        samples: integer_pairs,
        ..entry!(
            "bitwise_or",
            bitwise_or,
            "a or b, bit by bit, of integers or bools.\n\n>>> tg.bitwise_or(tg.Variable([4, 3]), 2)\nVariable([6, 3])\n"
        )
    },
    Entry {
        samples: integer_pairs,
        ..entry!(
            "bitwise_xor",
            bitwise_xor,
            "Either a or b, bit by bit, of integers or bools.\n\n>>> tg.bitwise_xor(tg.Variable([6, 3]), 2)\nVariable([4, 1])\n"
        )
    },
    Entry {
        samples: integer_pairs,
        aliases: &["left_shift"],
        ..entry!(
            "bitwise_left_shift",
            bitwise_left_shift,
            "a shifted left by b bits.\n\n>>> tg.bitwise_left_shift(tg.Variable([1, 3]), 2)\nVariable([ 4, 12])\n"
        )
    },
    Entry {
        samples: integer_pairs,
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
        samples: || integer_pairs().into_iter().take(3).map(|s| Sample { args: s.args[..1].to_vec() }).collect(),
        ..Entry::BASE
    },
];
