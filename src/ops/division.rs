//! Division with remainder, as in Python (the remainder has the sign of the divisor) and as in C.

use super::define::{Binary, binary};
use super::registry::Entry;
use super::samples::Domain;
use crate::kernel::field::Field;

/// Quotients of such numbers are between 3 and 4, or the negatives of that: away from the integers, where the functions jump.
const DIVIDEND: Domain = Domain { low: -8.3, high: -7.2, avoid: &[] };
const DIVISOR: Domain = Domain { low: 2.15, high: 2.35, avoid: &[] };

/// a / b rounded down. The exact quotient is rounded: 1.0 // 0.1 is 9, because the float 0.1 is slightly more than a tenth.
#[inline(always)]
fn floor_quotient<F: Field>(a: F, b: F) -> F {
    let zero = F::lit(0.0);
    let rest = a.fmod(b);
    // Exact up to the rounding of the last step, so it is an integer, or nearly.
    let whole = (a - rest) / b;
    let whole = F::select(opposite(rest, b), whole - F::lit(1.0), whole);
    let floor = whole.floor();
    let nearest = F::select((whole - floor).gt(F::lit(0.5)), floor + F::lit(1.0), floor);
    // A zero has the sign of the quotient; division by zero follows IEEE 754.
    let quotient = F::select(whole.eq(zero), zero * (a / b), nearest);
    F::select(b.eq(zero), a / b, quotient)
}

/// Whether a remainder and the divisor have opposite signs: then the divisor must be added.
#[inline(always)]
fn opposite<F: Field>(rest: F, b: F) -> F::Mask {
    let zero = F::lit(0.0);
    F::or(F::and(rest.gt(zero), b.lt(zero)), F::and(rest.lt(zero), b.gt(zero)))
}

binary! {
    /// The quotient rounded down, element by element: a // b, as Python's. Its derivative is 0.
    ///
    /// Floats divided by zero follow IEEE's rules; integers divided by zero give 0, as NumPy's. Of infinities it is the
    /// quotient, as the array API says: inf // 2 is inf and 1 // -inf is -0, where NumPy has NaN and -1.
    ///
    /// >>> tg.floor_divide(tg.Variable([7.0, -7.0]), 2.0)
    /// Variable([ 3., -4.])
    fn floor_divide(a, b) -> y {
        let infinity = F::lit(f64::INFINITY);
        F::select(F::or(a.abs().eq(infinity), b.abs().eq(infinity)), a / b, floor_quotient(a, b))
    }
    gradient_a() { F::lit(0.0) }
    gradient_b() { F::lit(0.0) }
    integer { a.floor_div(b) }
    domain DIVIDEND, DIVISOR;
}

binary! {
    /// What a // b leaves, with the sign of b, element by element: a % b, as Python's.
    ///
    /// Floats divided by zero leave NaN; integers divided by zero leave 0, as NumPy's.
    ///
    /// >>> tg.remainder(tg.Variable([7.0, -7.0]), 2.0)
    /// Variable([1., 1.])
    fn remainder(a, b) -> y {
        let zero = F::lit(0.0);
        let rest = a.fmod(b);
        let signed = F::select(opposite(rest, b), rest + b, rest);
        // A zero has the sign of the divisor.
        F::select(rest.eq(zero), F::select(b.lt(zero), F::lit(-0.0), zero), signed)
    }
    gradient_a() { F::lit(1.0) }
    // This is an integer: rounding does not change it and has a derivative of zero.
    gradient_b(a, b) { -floor_quotient(a, b).round_ties_even() }
    integer { a.modulo(b) }
    rule "dy/da = 1, dy/db = -floor(a / b)";
    domain DIVIDEND, DIVISOR;
}

binary! {
    /// What a division rounded towards zero leaves, with the sign of a, element by element: C's fmod.
    ///
    /// >>> tg.fmod(tg.Variable([7.0, -7.0]), 2.0)
    /// Variable([ 1., -1.])
    fn fmod(a, b) -> y { a.fmod(b) }
    gradient_a() { F::lit(1.0) }
    gradient_b(a, b, y) { -((a - y) / b).round_ties_even() }
    integer { a.remainder(b) }
    rule "dy/da = 1, dy/db = -trunc(a / b)";
    domain DIVIDEND, DIVISOR;
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[floor_divide::ENTRY, remainder::ENTRY.alias(&["mod"]), fmod::ENTRY];
