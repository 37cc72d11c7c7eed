//! All operations, a line a family. Whatever walks operations (bindings, stubs, docs, checks) walks this.

use crate::loss;
use crate::ops;
use crate::ops::registry::Entry;

/// The families.
pub static REGISTRY: &[&[Entry]] = &[
    ops::arithmetic::ENTRIES,
    ops::exponential::ENTRIES,
    ops::trigonometry::ENTRIES,
    ops::activation::ENTRIES,
    ops::comparison::ENTRIES,
    ops::choice::ENTRIES,
    ops::matrix::ENTRIES,
    ops::creation::ENTRIES,
    ops::division::ENTRIES,
    ops::shape::ENTRIES,
    ops::permute::ENTRIES,
    ops::join::ENTRIES,
    ops::cut::ENTRIES,
    ops::repeat::ENTRIES,
    ops::diagonal::ENTRIES,
    ops::gather::ENTRIES,
    ops::scatter::ENTRIES,
    ops::index::ENTRIES,
    loss::distance::ENTRIES,
    loss::binary::ENTRIES,
    loss::classes::ENTRIES,
    ops::predicate::ENTRIES,
    ops::reduction::ENTRIES,
    ops::extrema::ENTRIES,
    ops::moments::ENTRIES,
    ops::norm::ENTRIES,
    ops::truth::ENTRIES,
    ops::softmax::ENTRIES,
];

/// All rows.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    REGISTRY.iter().flat_map(|family| family.iter())
}

/// The row of that name or alias.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    entries().find(|e| e.name == name || e.aliases.contains(&name))
}
