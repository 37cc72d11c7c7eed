//! Predicates of single numbers: finite, infinite, signed. They have no derivatives.

use super::define::carrier;
use super::registry::{Arg, Entry, Param, Sample};
use super::samples::{Draw, REAL};
use crate::array::Array;
use crate::dispatch;
use crate::error::{Error, Result};
use crate::kernel::blocks::{self, Input};
use crate::kernel::complex;
use crate::tape::{Batch, Primitive, Variable, apply};

macro_rules! predicate {
    ($(#[doc = $doc:literal])+ fn $name:ident($x:ident) { $float:expr } integer { $integer:expr } complex { $complex:expr }) => {
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// None in practice.
        pub fn $name(x: &Variable) -> Result<Variable> {
            apply($name::PRIMITIVE, &[x.into()], &())
        }

        carrier! {
            $name = Primitive {
                name: stringify!($name),
                eval: |call| {
                    let x = call.array(0);
                    let input = [Input::from(x)];
                    let out = dispatch!(float x.dtype(), T => blocks::map(input, x.shape(), |[$x]: [T; 1]| $float), else {
                        dispatch!(real x.dtype(), T => blocks::map(input, x.shape(), |[$x]: [T; 1]| $integer($x < T::default())), else {
                            let of_parts: Option<fn(bool, bool) -> bool> = $complex;
                            let Some(of_parts) = of_parts else { return Err(Error::dtype(call.name(), x.dtype(), "real numbers")) };
                            complex::test(x, |$x| $float, of_parts)
                        })
                    });
                    call.give(out);
                    Ok(())
                },
                batch: Batch::Elementwise,
                ..Primitive::BASE
            }
        }
    };
}

predicate! {
    /// Whether x is a number, neither infinite nor NaN.
    fn isfinite(x) { x.is_finite() }
    integer { |_| true }
    complex { Some(|re, im| re && im) }
}
predicate! {
    /// Whether x is positive or negative infinity.
    fn isinf(x) { x.is_infinite() }
    integer { |_| false }
    complex { Some(|re, im| re || im) }
}
predicate! {
    /// Whether x is positive infinity.
    fn isposinf(x) { x.is_infinite() && x > 0.0 }
    integer { |_| false }
    complex { None }
}
predicate! {
    /// Whether x is negative infinity.
    fn isneginf(x) { x.is_infinite() && x < 0.0 }
    integer { |_| false }
    complex { None }
}
predicate! {
    /// Whether the sign bit of x is set: x < 0, or x is -0.0.
    fn signbit(x) { x.is_sign_negative() }
    integer { |negative| negative }
    complex { None }
}

fn samples() -> Vec<Sample> {
    let special: Variable = Array::from_slice(&[0.0, -0.0, 1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN], &[2, 3]).into();
    [special, REAL.strided(&mut Draw::new(6), &[2, 3])].map(|x| Sample { args: vec![Arg::Variable(x)] }).to_vec()
}

macro_rules! entry {
    ($f:ident, $doc:literal) => {
        Entry { name: stringify!($f), doc: $doc, params: &[Param::array("x")], call: |a| Ok($f(&a.variable(0)?)?.into()), samples, ..Entry::BASE }
            .no_method()
    };
}

/// Primitives of functions that have no derivative.
pub const WITHOUT_RULES: &[&Primitive] = &[isfinite::PRIMITIVE, isinf::PRIMITIVE, isposinf::PRIMITIVE, isneginf::PRIMITIVE, signbit::PRIMITIVE];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    entry!(
        isfinite,
        "Whether x is a number, neither infinite nor NaN, element by element.\n\n>>> tg.isfinite(tg.Variable([1.0, float(\"inf\")]))\nVariable([ True, False])\n"
    ),
    entry!(isinf, "Whether x is infinite, element by element.\n\n>>> tg.isinf(tg.Variable([1.0, float(\"-inf\")]))\nVariable([False,  True])\n"),
    entry!(
        isposinf,
        "Whether x is positive infinity, element by element.\n\n>>> tg.isposinf(tg.Variable([float(\"inf\"), float(\"-inf\")]))\nVariable([ True, False])\n"
    ),
    entry!(
        isneginf,
        "Whether x is negative infinity, element by element.\n\n>>> tg.isneginf(tg.Variable([float(\"inf\"), float(\"-inf\")]))\nVariable([False,  True])\n"
    ),
    entry!(
        signbit,
        "Whether the sign bit of x is set, element by element: x < 0, or x is -0.0.\n\n>>> tg.signbit(tg.Variable([2.0, -0.0]))\nVariable([False,  True])\n"
    ),
];
