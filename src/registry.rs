//! The registry of all operations and all primitives, one line per family. Bindings, stubs, docs and tests are made from it.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use crate::loss;
use crate::ops;
use crate::ops::registry::Entry;
use crate::tape::capture::ComputationKind;
use crate::tape::{self, AttrKind, Primitive};

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
    ops::convolve::ENTRIES,
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

/// The primitives of all families. Elementwise ones are in the rows of their operations.
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
    ops::convolve::PRIMITIVES,
    ops::pool::PRIMITIVES,
    ops::resample::PRIMITIVES,
    ops::normal::PRIMITIVES,
    ops::dropout::PRIMITIVES,
    ops::attention::PRIMITIVES,
    ops::recurrent::PRIMITIVES,
    tape::accumulate::PRIMITIVES,
];

/// Functions that gradient rules and losses call and users do not see.
static INNER: &[&[Entry]] = &[
    ops::arithmetic::INNER,
    ops::exponential::INNER,
    ops::activation::INNER,
    loss::binary::INNER,
    loss::distance::INNER,
    ops::special::INNER[0],
    ops::special::INNER[1],
    ops::special::INNER[2],
    ops::special::INNER[3],
    ops::special::INNER[4],
];

/// Primitives without a derivative that are in no row.
static WITHOUT_RULES: &[&[&Primitive]] = &[ops::comparison::WITHOUT_RULES, ops::predicate::WITHOUT_RULES, ops::logic_reduce::WITHOUT_RULES];

/// The attributes of all primitives, one line per family.
pub static ATTRIBUTES: &[&[AttrKind]] = &[
    ops::join::ATTRIBUTES,
    ops::creation::ATTRIBUTES,
    ops::view::ATTRIBUTES,
    ops::fft::ATTRIBUTES,
    ops::pool::ATTRIBUTES,
    ops::variance::ATTRIBUTES,
    ops::special::ATTRIBUTES,
    ops::gather::ATTRIBUTES,
    ops::linalg::FAMILIES_OF_ATTRIBUTES[0],
    ops::linalg::FAMILIES_OF_ATTRIBUTES[1],
    ops::linalg::FAMILIES_OF_ATTRIBUTES[2],
    ops::linalg::FAMILIES_OF_ATTRIBUTES[3],
    ops::linalg::FAMILIES_OF_ATTRIBUTES[4],
    ops::convolve::ATTRIBUTES,
    ops::matrix::ATTRIBUTES,
    ops::reduction::ATTRIBUTES,
    ops::attention::ATTRIBUTES,
    ops::running::ATTRIBUTES,
    ops::dropout::ATTRIBUTES,
    ops::resample::ATTRIBUTES,
    ops::normal::ATTRIBUTES,
    ops::window::ATTRIBUTES,
    ops::conv::ATTRIBUTES,
    ops::repeat::ATTRIBUTES,
    ops::sorting::ATTRIBUTES,
    ops::along::ATTRIBUTES,
    ops::norm::ATTRIBUTES,
    loss::ATTRIBUTES,
    loss::ctc::ATTRIBUTES,
    tape::accumulate::ATTRIBUTES,
];

/// The attributes of that name.
#[must_use]
pub fn attributes(name: &str) -> Option<&'static AttrKind> {
    ATTRIBUTES.iter().flat_map(|family| family.iter()).find(|a| a.name == name)
}

/// The computations that programs run beside their primitives.
pub static COMPUTATIONS: &[&[ComputationKind]] = &[
    ops::creation::COMPUTATIONS,
    ops::gather::COMPUTATIONS,
    ops::pool::COMPUTATIONS,
    ops::require::COMPUTATIONS,
    loss::binary::COMPUTATIONS,
    loss::classes::COMPUTATIONS,
    loss::ctc::COMPUTATIONS,
];

/// The computation of that name.
#[must_use]
pub fn computation(name: &str) -> Option<&'static ComputationKind> {
    COMPUTATIONS.iter().flat_map(|family| family.iter()).find(|c| c.name == name)
}

/// A primitive and its name in files.
struct Named {
    name: String,
    primitive: &'static Primitive,
    /// Whether it is in a row: then it is a Rust constant, which may have several addresses.
    in_row: bool,
}

/// Names of primitives in files. Most are the primitive's own name; the primitive of a row for integers has `.integers` appended. Where
/// several primitives share a name, a number is appended from the second on (`getitem.2`).
fn names() -> &'static [Named] {
    static NAMES: OnceLock<Vec<Named>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let rows = || entries().chain(INNER.iter().flat_map(|family| family.iter()));
        let of_integers = rows().filter_map(|e| e.integers).map(|p| (p, format!("{}.integers", p.name), true));
        let rows = rows().filter_map(|e| e.primitive).map(|p| (p, p.name.to_owned(), true));
        let others = PRIMITIVES.iter().chain(WITHOUT_RULES).flat_map(|family| family.iter()).map(|p| (*p, p.name.to_owned(), false));
        let mut counts: HashMap<String, usize> = HashMap::new();
        let mut seen: HashSet<*const Primitive> = HashSet::new();
        let mut out = Vec::new();
        for (primitive, name, in_row) in rows.chain(of_integers).chain(others) {
            if seen.insert(std::ptr::from_ref(primitive)) {
                let n = counts.entry(name.clone()).or_default();
                *n += 1;
                out.push(Named { name: if *n == 1 { name } else { format!("{name}.{n}") }, primitive, in_row });
            }
        }
        out
    })
}

/// The name of a primitive in files; `None` for one that is in no list.
#[must_use]
pub fn name_of(p: &Primitive) -> Option<&'static str> {
    if let Some(same) = names().iter().find(|n| std::ptr::eq(p, n.primitive)) {
        return Some(&same.name);
    }
    let alike: Vec<&Named> = names().iter().filter(|n| n.in_row && n.primitive.name == p.name).collect();
    let one = |test: &dyn Fn(&Primitive) -> bool| {
        let mut found = alike.iter().filter(|n| test(n.primitive));
        found.next().filter(|_| found.next().is_none())
    };
    let found = one(&|q| std::ptr::fn_addr_eq(p.eval, q.eval));
    found.or_else(|| one(&|q| std::mem::discriminant(&p.vjp) == std::mem::discriminant(&q.vjp))).map(|n| n.name.as_str())
}

/// The primitive of that name in files.
#[must_use]
pub fn primitive(name: &str) -> Option<&'static Primitive> {
    names().iter().find(|n| n.name == name).map(|n| n.primitive)
}

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
