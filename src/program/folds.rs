//! Sums and means of the results of a group.
//!
//! They consume the blocks of the group in the same order in which the eager sum reads an array, so results have the same bits. They are
//! sums over all elements, or over the last axes when these are short enough for a block to hold whole rows.

use super::lower::Metas;
use crate::array::Element;
use crate::array::{Shape, size_of};
use crate::kernel::reduce::parts::{self, Parts};
use crate::kernel::reduce::{Fold, Sum};
use crate::ops::reduction::Reduced;
use crate::tape::Attrs;
use crate::tape::capture::{Op, Slot, Step};

/// Which elements are added up together.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Folded {
    /// All of them.
    All,
    /// Rows of that many elements.
    Rows(usize),
}

/// A sum or mean.
#[derive(Clone)]
pub(super) struct Folding {
    pub(super) of: Folded,
    /// For a mean, the number of elements that are averaged.
    pub(super) mean: Option<usize>,
    pub(super) shape: Shape,
}

/// A step that is a sum or mean.
pub(super) struct FoldStep {
    pub(super) step: Step,
    pub(super) folding: Folding,
}

impl Folded {
    /// Number of partial sums or results for `n` elements.
    pub(super) fn places(self, n: usize) -> usize {
        match self {
            Self::All => n.div_ceil(parts::PART),
            Self::Rows(count) => n / count,
        }
    }

    /// The accumulator that blocks are fed to.
    pub(super) fn parts<T: Element>(self, out: &mut [T]) -> Parts<'_, T>
    where
        Sum: Fold<T, Acc = T>,
    {
        match self {
            Self::All => parts::long(out),
            Self::Rows(count) => parts::rows(count, out),
        }
    }
}

impl FoldStep {
    /// The sum or mean that a step computes, and its operand.
    pub(super) fn of(step: &Step, metas: &Metas) -> Option<(Self, Slot)> {
        let Op::Eval { primitive, attrs: Attrs::Set(attrs), update: false, .. } = &step.op else { return None };
        let (is_mean, &[Some(output)], Some(of)) = (primitive.name == "mean", &step.outputs[..], step.inputs[0].slot()) else { return None };
        if !is_mean && primitive.name != "sum" {
            return None;
        }
        let (layout, dtype) = &metas[of];
        let shape = layout.shape();
        let axes = &attrs.as_any().downcast_ref::<Reduced>()?.axes;
        let is_last = !axes.is_empty() && axes.iter().rev().zip((0..shape.len()).rev()).all(|(a, b)| *a == b);
        if !is_last || !dtype.is_float() || layout.size() == 0 || !layout.is_contiguous() {
            return None;
        }
        let count = size_of(&shape[shape.len() - axes.len()..]);
        let folded = if count == layout.size() { Folded::All } else { Folded::Rows(count) };
        let folding = Folding { of: folded, mean: is_mean.then_some(count), shape: Shape::from_slice(metas[output].0.shape()) };
        (folded == Folded::All || count <= parts::MAX_ROW).then(|| (Self { step: step.clone(), folding }, of))
    }
}
