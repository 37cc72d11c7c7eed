//! Comparisons and choices as formulas, for programs. There a bool is one or zero.

use super::{Formulas, Pointwise};
use crate::kernel::field::Field;

/// The comparison of two numbers: the first parameter if the first is larger, the second if both are equal, else zero.
enum Compare {}

impl Pointwise<2> for Compare {
    const CHEAP: bool = true;
    #[inline(always)]
    fn eval<F: Field>([x, y]: [F; 2], [larger, equal]: [F; 2]) -> F {
        F::select(x.gt(y), larger, F::select(x.eq(y), equal, F::lit(0.0)))
    }
}

/// The second operand if the first is not zero, else the third.
enum Choose {}

impl Pointwise<3> for Choose {
    const CHEAP: bool = true;
    #[inline(always)]
    fn eval<F: Field>([truth, a, b]: [F; 3], _: [F; 2]) -> F {
        F::select(truth.eq(F::lit(0.0)), b, a)
    }
}

/// The loops of a comparison.
pub const COMPARE: Formulas = Formulas::two::<Compare>();
/// The loops of a choice.
pub const CHOOSE: Formulas = Formulas::three::<Choose>();
