//! Logical reductions along axes: any, all, count_nonzero.

use super::define::carrier;
use super::reduction::{Reduced, batch_reduction, finish, normalize_axes, reduction_samples};
use super::registry::{Entry, Param};
use super::samples::REAL;
use crate::array::DType;
use crate::dispatch;
use crate::error::Result;
use crate::kernel::cast::cast;
use crate::kernel::reduce::ops::{All, Any, CountNonzero};
use crate::kernel::reduce::reduce;
use crate::tape::{Batch, Primitive, Variable, apply};

macro_rules! question {
    ($(#[doc = $doc:literal])+ $name:ident, $text:literal, $fold:ident) => {
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// `Axis` when an axis is out of range or named twice.
        pub fn $name(x: &Variable, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
            let axes = normalize_axes($text, axes, x.ndim())?;
            apply($name::PRIMITIVE, &[x.into()], &Reduced { axes, keepdims })
        }

        carrier! {
            $name = Primitive {
                name: $text,
                eval: |call| {
                    let (x, a) = (call.array(0), call.attrs::<Reduced>());
                    let out = dispatch!(core x.dtype(), T => reduce::<$fold, T>(x, &a.axes), else reduce::<$fold, bool>(&cast(x, DType::Bool), &a.axes));
                    call.give(finish(out, x.shape(), &a.axes, a.keepdims));
                    Ok(())
                },
                batch: Batch::Rule(batch_reduction),
                ..Primitive::BASE
            }
        }
    };
}

question! {
    /// Whether any element over `axes` (`None`: all) is not zero. NaN is not zero. False for no elements.
    any, "any", Any
}
question! {
    /// Whether all elements over `axes` (`None`: all) are not zero. True for no elements.
    all, "all", All
}
question! {
    /// The number of elements over `axes` (`None`: all) that are not zero, as int64.
    count_nonzero, "count_nonzero", CountNonzero
}

macro_rules! entry {
    ($name:literal, $f:path, $doc:literal) => {
        Entry {
            name: $name,
            doc: $doc,
            params: &[Param::array("x"), Param::axes(), Param::keepdims()],
            call: |a| Ok($f(&a.variable(0)?, a.axes(1)?, a.flag(2)?)?.into()),
            samples: || reduction_samples(REAL, true, &[]),
            ..Entry::BASE
        }
    };
}

/// Primitives of functions that have no derivative.
pub const WITHOUT_RULES: &[&Primitive] = &[any::PRIMITIVE, all::PRIMITIVE, count_nonzero::PRIMITIVE];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    entry!(
        "any",
        any,
        "Whether an element over axes (None: all) is not zero; NaN is not. False of nothing.\n\n>>> tg.any(tg.Variable([[0.0, 0.0], [0.0, 2.0]]), axis=0)\nVariable([False,  True])\n"
    ),
    entry!(
        "all",
        all,
        "Whether no element over axes (None: all) is zero. True of nothing.\n\n>>> tg.all(tg.Variable([[1.0, 0.0], [3.0, 2.0]]), axis=0)\nVariable([ True, False])\n"
    ),
    entry!(
        "count_nonzero",
        count_nonzero,
        "How many elements over axes (None: all) are not zero, as int64.\n\n>>> tg.count_nonzero(tg.Variable([[1.0, 0.0], [3.0, 2.0]]), axis=0)\nVariable([2, 1])\n"
    ),
];
