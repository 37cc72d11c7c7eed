//! All operations and all primitives, a line a family. Bindings, stubs, docs and checks are made from these lists.

use crate::loss;
use crate::ops;
use crate::ops::registry::Entry;
use crate::tape::{self, Primitive};

/// The families.
pub static REGISTRY: &[&[Entry]] = &[
    ops::arithmetic::ENTRIES,
    ops::exponential::ENTRIES,
    ops::trigonometry::ENTRIES,
    ops::inverse::ENTRIES,
    ops::elementary::ENTRIES,
    ops::activation::ENTRIES,
    ops::comparison::ENTRIES,
    ops::complex::ENTRIES,
    ops::where_::ENTRIES,
    ops::matrix::ENTRIES,
    ops::conv::ENTRIES,
    ops::pool::ENTRIES,
    ops::normal::ENTRIES,
    ops::interpolate::ENTRIES,
    ops::dropout::ENTRIES,
    ops::attention::ENTRIES,
    ops::recurrent::ENTRIES,
    ops::pairs::ENTRIES,
    ops::gates::ENTRIES,
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
    loss::ctc::ENTRIES,
    ops::predicate::ENTRIES,
    ops::reduction::ENTRIES,
    ops::minmax::ENTRIES,
    ops::variance::ENTRIES,
    ops::sorting::ENTRIES,
    ops::running::ENTRIES,
    ops::quantiles::ENTRIES,
    ops::nan::ENTRIES,
    ops::sets::ENTRIES,
    ops::einsum::ENTRIES,
    ops::products::ENTRIES,
    ops::statistics::ENTRIES,
    ops::pad::ENTRIES,
    ops::calculus::ENTRIES,
    ops::edit::ENTRIES,
    ops::norm::ENTRIES,
    ops::logic_reduce::ENTRIES,
    ops::softmax::ENTRIES,
    ops::special::FAMILIES[0],
    ops::special::FAMILIES[1],
    ops::special::FAMILIES[2],
    ops::special::FAMILIES[3],
    ops::special::FAMILIES[4],
    ops::fft::ENTRIES,
    ops::linalg::FAMILIES[0],
    ops::linalg::FAMILIES[1],
    ops::linalg::FAMILIES[2],
    ops::linalg::FAMILIES[3],
    ops::linalg::FAMILIES[4],
    ops::linalg::FAMILIES[5],
    ops::linalg::FAMILIES[6],
    ops::linalg::FAMILIES[7],
];

/// The primitives that rows run, and those inside of rules, a line a family. Elementwise ones stand in their rows.
pub static PRIMITIVES: &[&[&Primitive]] = &[
    ops::minmax::PRIMITIVES,
    ops::join::PRIMITIVES,
    ops::variance::PRIMITIVES,
    ops::creation::PRIMITIVES,
    ops::view::PRIMITIVES,
    ops::permute::PRIMITIVES,
    ops::cut::PRIMITIVES,
    ops::gather::PRIMITIVES,
    ops::matrix::PRIMITIVES,
    ops::reduction::PRIMITIVES,
    ops::softmax::PRIMITIVES,
    ops::window::PRIMITIVES,
    ops::comparison::PRIMITIVES,
    ops::complex::PRIMITIVES,
    ops::shape::PRIMITIVES,
    ops::repeat::PRIMITIVES,
    ops::where_::PRIMITIVES,
    ops::norm::PRIMITIVES,
    ops::along::PRIMITIVES,
    ops::running::PRIMITIVES,
    ops::sorting::PRIMITIVES,
    ops::elementary::PRIMITIVES,
    ops::fft::PRIMITIVES,
    ops::linalg::FAMILIES_OF_PRIMITIVES[0],
    ops::linalg::FAMILIES_OF_PRIMITIVES[1],
    ops::linalg::FAMILIES_OF_PRIMITIVES[2],
    ops::linalg::FAMILIES_OF_PRIMITIVES[3],
    ops::linalg::FAMILIES_OF_PRIMITIVES[4],
    ops::linalg::FAMILIES_OF_PRIMITIVES[5],
    loss::PRIMITIVES,
    loss::ctc::PRIMITIVES,
    ops::conv::PRIMITIVES,
    ops::pool::PRIMITIVES,
    ops::resample::PRIMITIVES,
    ops::normal::PRIMITIVES,
    ops::dropout::PRIMITIVES,
    ops::attention::PRIMITIVES,
    ops::recurrent::PRIMITIVES,
    tape::accumulate::PRIMITIVES,
];

/// All primitives.
pub fn primitives() -> impl Iterator<Item = &'static Primitive> {
    entries().filter_map(|e| e.primitive).chain(PRIMITIVES.iter().flat_map(|family| family.iter().copied()))
}

/// All rows.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    REGISTRY.iter().flat_map(|family| family.iter())
}

/// The row of that name or alias, with its namespace: `linalg.solve`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    let (module, name) = name.rsplit_once('.').unwrap_or(("", name));
    entries().find(|e| e.module == module && (e.name == name || e.aliases.contains(&name)))
}
