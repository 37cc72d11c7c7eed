//! The public description of an operation: name, signature, doc, samples. There is one row per operation, and everything that iterates over
//! operations (bindings, stubs, docs, gradient checks) uses these rows.

pub use super::arguments::{Arg, Args, Operand, Value};
use super::work;
use crate::error::{Error, Result};
use crate::tape::Primitive;

/// The kind of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An array, or a number, which stays a number.
    Array,
    /// An array, a number or None.
    OptArray,
    /// A sequence of arrays.
    Arrays,
    /// Arrays given one by one, or as one sequence.
    Each,
    /// A float.
    Float,
    /// A float or None.
    OptFloat,
    /// An int.
    Int,
    /// An int or None.
    OptInt,
    /// A bool.
    Bool,
    /// None, an int or a tuple of ints.
    Axes,
    /// An int or a tuple of ints; as the last parameter of a method also several ints.
    Ints,
    /// An int, which is a number of pieces, or a tuple of ints, which are positions.
    Sections,
    /// An int or a tuple of ints, where None keeps a size ([`KEEP`](super::spatial::KEEP)).
    Sizes,
    /// A float or a tuple of floats.
    Floats,
    /// An int, a tuple of ints or one of the strings.
    Padding,
    /// A dtype or None.
    DType,
    /// A device or None. There is only one device, so the value is dropped.
    Device,
    /// One of the strings in the parameter's choices.
    Text,
    /// An index between square brackets.
    Index,
}

impl Kind {
    /// Whether its arguments are arrays.
    #[must_use]
    pub const fn takes_arrays(self) -> bool {
        matches!(self, Self::Array | Self::OptArray | Self::Arrays | Self::Each)
    }
}

/// The default of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    /// There is none: the parameter is required.
    Required,
    /// None.
    None,
    /// A float.
    Float(f64),
    /// An int.
    Int(i64),
    /// A bool.
    Bool(bool),
    /// A string.
    Text(&'static str),
}

/// A parameter of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name in Python.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its default.
    pub default: Default,
    /// An alternative name (`dim` for `axis`).
    pub alias: Option<&'static str>,
    /// Whether it can only be passed by name.
    pub keyword_only: bool,
    /// The strings that it accepts; empty if it accepts any.
    pub choices: &'static [&'static str],
}

impl Param {
    /// A required parameter.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, default: Default::Required, alias: None, keyword_only: false, choices: &[] }
    }

    /// An array.
    #[must_use]
    pub const fn array(name: &'static str) -> Self {
        Self::new(name, Kind::Array)
    }

    /// One of the strings in `choices`; the first is the default.
    #[must_use]
    pub const fn choice(name: &'static str, choices: &'static [&'static str]) -> Self {
        Self { choices, ..Self::new(name, Kind::Text).or(Default::Text(choices[0])) }
    }

    /// Sets a default.
    #[must_use]
    pub const fn or(self, default: Default) -> Self {
        Self { default, ..self }
    }

    /// A float with a default.
    #[must_use]
    pub const fn float(name: &'static str, default: f64) -> Self {
        Self::new(name, Kind::Float).or(Default::Float(default))
    }

    /// A bool with a default.
    #[must_use]
    pub const fn flag(name: &'static str, default: bool) -> Self {
        Self::new(name, Kind::Bool).or(Default::Bool(default))
    }

    /// `axis=None`, an int or a tuple.
    #[must_use]
    pub const fn axes() -> Self {
        Self { alias: Some("dim"), ..Self::new("axis", Kind::Axes).or(Default::None) }
    }

    /// `axis=default`, one int.
    #[must_use]
    pub const fn axis(default: i64) -> Self {
        Self { alias: Some("dim"), ..Self::new("axis", Kind::Int).or(Default::Int(default)) }
    }

    /// `keepdims=False`.
    #[must_use]
    pub const fn keepdims() -> Self {
        Self { alias: Some("keepdim"), ..Self::flag("keepdims", false) }
    }

    /// `device=None`, passed by name. Samples do not include it.
    #[must_use]
    pub const fn device() -> Self {
        Self::new("device", Kind::Device).or(Default::None).named()
    }

    /// Makes it keyword-only.
    #[must_use]
    pub const fn named(self) -> Self {
        Self { keyword_only: true, ..self }
    }
}

/// The gradient of an operation, for docs and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradient {
    /// A rule, given as text.
    Rule(&'static str),
    /// That of the operations that it is composed of.
    Composite(&'static str),
    /// None: the output is never tracked.
    None,
}

/// A call for tests: results are compared with NumPy, gradients with differences.
#[derive(Clone, Debug)]
pub struct Sample {
    /// One argument per parameter.
    pub args: Vec<Arg>,
}

/// Whether results share memory with the first array of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Views {
    /// They do not.
    No,
    /// They are views of it where strides allow it: writing to one writes to the array.
    Writable,
    /// They are views that repeat elements. Writing to them is an error.
    ReadOnly,
}

/// A row of the registry.
#[derive(Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "properties that have nothing to do with each other")]
pub struct Entry {
    /// The name in Python.
    pub name: &'static str,
    /// The namespace below `tapegrad` in which the function is: `"linalg"`; `""` for `tapegrad` itself.
    pub module: &'static str,
    /// The primitive that a call runs, unless it is composed of several.
    pub primitive: Option<&'static Primitive>,
    /// The primitive that a call runs on integers, if it is a different one.
    pub integers: Option<&'static Primitive>,
    /// Other names of the same function.
    pub aliases: &'static [&'static str],
    /// What it does, with an example.
    pub doc: &'static str,
    /// Its signature.
    pub params: &'static [Param],
    /// Calls it.
    pub call: fn(&Args<'_>) -> Result<Value>,
    /// The cost of a call, in elements of a simple operation.
    pub work: fn(&[Arg]) -> usize,
    /// Nanoseconds for each of these elements, if more than one.
    pub cost: f64,
    /// Its gradient.
    pub gradient: Gradient,
    /// Whether it is linear in each of its arrays.
    pub linear: bool,
    /// Whether its results are views.
    pub views: Views,
    /// Whether it only moves elements and does not compute with them, as views do: then it accepts 16-bit floats as they are.
    pub moves: bool,
    /// Whether it is a function of the module.
    pub function: bool,
    /// Whether it is a method of `Variable`.
    pub method: bool,
    /// The names of its results, where they have names.
    pub results: &'static [&'static str],
    /// Calls for tests.
    pub samples: fn() -> Vec<Sample>,
}

impl Entry {
    /// Default fields for a row.
    pub const BASE: Self = Self {
        name: "",
        module: "",
        primitive: None,
        integers: None,
        aliases: &[],
        doc: "",
        params: &[],
        call: |a| Err(Error::Type(format!("{}: not callable", a.name()))),
        work: work::elementwise,
        cost: 1.0,
        gradient: Gradient::None,
        linear: false,
        views: Views::No,
        moves: false,
        function: true,
        method: true,
        results: &[],
        samples: Vec::new,
    };

    /// The name with its namespace: `linalg.solve`.
    #[must_use]
    pub fn path(&self) -> String {
        if self.module.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.module, self.name) }
    }

    /// Whether a call with these arguments takes so long that other threads should run meanwhile.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn is_long(&self, args: &[Arg]) -> bool {
        (self.work)(args) as f64 * self.cost.max(1.0) >= work::LONG_CALL as f64
    }

    /// Sets the cost of an element, in nanoseconds.
    #[must_use]
    pub const fn costs(self, cost: f64) -> Self {
        Self { cost, ..self }
    }

    /// Sets another estimate of the cost of a call.
    #[must_use]
    pub const fn work(self, work: fn(&[Arg]) -> usize) -> Self {
        Self { work, ..self }
    }

    /// Sets other names.
    #[must_use]
    pub const fn alias(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Sets the gradient: composed of operations that have rules.
    #[must_use]
    pub const fn composite(self, gradient: &'static str) -> Self {
        Self { gradient: Gradient::Composite(gradient), ..self }
    }

    /// Sets the gradient: a rule.
    #[must_use]
    pub const fn rule(self, gradient: &'static str) -> Self {
        Self { gradient: Gradient::Rule(gradient), ..self }
    }

    /// Makes it a function only, not a method.
    #[must_use]
    pub const fn no_method(self) -> Self {
        Self { method: false, ..self }
    }
}
