//! Indexing.

use crate::tape::Variable;

/// One item between square brackets.
#[derive(Clone, Debug)]
pub enum IndexItem {
    /// An int.
    Int(isize),
    /// start:stop:step.
    Slice(Option<isize>, Option<isize>, Option<isize>),
    /// `...`
    Ellipsis,
    /// `None`
    NewAxis,
    /// An integer or bool array.
    Array(Variable),
}
