//! A node: what was done, to what, and what its gradient rule needs. Data only, nothing opaque.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::leaf::{Hook, Leaf};
use super::saved::Saved;
use super::step::{Grads, Step};
use crate::array::{Array, DType, Shape, alloc_check, dims};
use crate::error::{Error, Result};

pub use super::primitive::Primitive as Op;

/// How an operation is differentiated. There is no fourth, silent state.
#[derive(Clone, Copy)]
pub enum Rule {
    /// The vector-Jacobian product.
    Vjp(fn(&mut Step<'_>) -> Result<Grads>),
    /// The vjp of the definition. The primitive saves all its inputs.
    Definition,
    /// Its derivative is zero or undefined everywhere: the output never tracks.
    NonDifferentiable,
    /// Not written yet: recording it raises, and says why.
    Missing(&'static str),
}

/// A gradient rule that a user brings (a Python `Function`).
pub trait CustomRule: Send + Sync {
    /// Name for messages.
    fn name(&self) -> &str;
    /// The gradients of the inputs.
    ///
    /// # Errors
    /// Whatever the user's code raises.
    fn vjp(&self, step: &mut Step<'_>) -> Result<Grads>;
    /// For whoever made it.
    fn as_any(&self) -> &dyn Any;
}

/// What an operation was called with, besides arrays.
#[derive(Clone, Default)]
pub enum Attrs {
    /// Nothing.
    #[default]
    None,
    /// Numbers of a formula: a slope, bounds, …
    Scalars([f64; 2]),
    /// Axes, shapes, places.
    Ints(Box<[isize]>),
    /// Anything larger that can be printed.
    Data(Arc<dyn AttrData>),
    /// Named and typed attributes.
    Set(Arc<dyn super::primitive::AttrSet>),
    /// A user's rule.
    Custom(Arc<dyn CustomRule>),
    /// The name of a user's rule that was freed.
    Freed(Box<str>),
}

/// An attribute too large to be inline.
pub trait AttrData: Any + fmt::Debug + Send + Sync {
    /// For the operation that made it.
    fn as_any(&self) -> &dyn Any;
}

impl<T: Any + fmt::Debug + Send + Sync> AttrData for T {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Attrs {
    /// The name of a user's rule.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Custom(rule) => Some(rule.name()),
            Self::Freed(name) => Some(name),
            Self::None | Self::Scalars(_) | Self::Ints(_) | Self::Data(_) | Self::Set(_) => None,
        }
    }

    /// A copy; a list of numbers may be long.
    fn try_clone(&self) -> Result<Self> {
        let Self::Ints(ints) = self else { return Ok(self.clone()) };
        let mut out = Vec::new();
        alloc_check::try_reserve("backward", &mut out, ints.len())?;
        out.extend_from_slice(ints);
        Ok(Self::Ints(out.into_boxed_slice()))
    }

    /// Takes all but a user's name for messages.
    pub(super) fn take(&mut self) -> Self {
        let rest = self.name().map_or(Self::None, |name| Self::Freed(name.into()));
        std::mem::replace(self, rest)
    }

    /// The integers, or none.
    #[must_use]
    pub fn ints(&self) -> &[isize] {
        if let Self::Ints(v) = self { v } else { &[] }
    }

    /// The numbers, zeros when there are none.
    #[must_use]
    pub fn scalars(&self) -> [f64; 2] {
        if let Self::Scalars(v) = self { *v } else { [0.0; 2] }
    }

    /// The data of type `T`, if that is what is there.
    #[must_use]
    pub fn data<T: Any>(&self) -> Option<&T> {
        match self {
            Self::Data(d) => (**d).as_any().downcast_ref(),
            Self::Set(s) => (**s).as_any().downcast_ref(),
            _ => None,
        }
    }
}

impl fmt::Debug for Attrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Scalars(v) => write!(f, "{}, {}", v[0], v[1]),
            Self::Ints(v) => write!(f, "{v:?}"),
            Self::Data(d) => d.fmt(f),
            Self::Set(s) => s.fmt(f),
            Self::Custom(c) => f.write_str(c.name()),
            Self::Freed(name) => f.write_str(name),
        }
    }
}

/// Shape and dtype of a value.
#[derive(Debug, PartialEq, Eq)]
pub struct Meta {
    /// Sizes of the axes.
    pub shape: Shape,
    /// Type of the elements.
    pub dtype: DType,
}

impl Clone for Meta {
    #[inline]
    fn clone(&self) -> Self {
        Self { shape: dims(&self.shape), dtype: self.dtype }
    }
}

impl Meta {
    /// What `array` is like.
    #[must_use]
    pub fn of(array: &Array) -> Self {
        Self { shape: dims(array.shape()), dtype: array.dtype() }
    }
}

/// Where an input came from.
#[derive(Clone)]
pub(super) enum Input {
    /// Not tracked.
    None,
    Leaf(Arc<Leaf>),
    Node {
        id: u64,
        output: u32,
    },
    /// A number: it carries no gradient.
    Number(f64),
}

/// What few nodes have.
#[derive(Clone, Default)]
pub(super) struct Extra {
    /// The line of the user's program.
    pub(super) source: Option<Arc<str>>,
    /// Called with the gradient of an output.
    pub(super) hooks: Vec<(u32, u64, Hook)>,
    /// Where the gradient of an output is kept.
    pub(super) retained: Vec<(u32, Arc<Leaf>)>,
}

/// One recorded operation. A place for one that holds none is empty, but for its name.
pub(super) struct Node {
    pub(super) op: &'static Op,
    pub(super) attrs: Attrs,
    pub(super) inputs: SmallVec<[Input; 2]>,
    pub(super) saved: Saved,
    pub(super) outs: SmallVec<[Meta; 1]>,
    pub(super) extra: Option<Box<Extra>>,
    /// Handles and consumers; nobody lives here when there are none.
    pub(super) refs: u32,
    /// Its number in the backward pass that reached it last; read and written while that pass marks.
    pub(super) number: u32,
    pub(super) freed: bool,
}

impl Default for Node {
    /// A place where no operation stands.
    #[inline]
    fn default() -> Self {
        static NONE: Op = Op { name: "nothing", rule: Rule::NonDifferentiable, ..Op::BASE };
        Self {
            op: &NONE,
            attrs: Attrs::None,
            inputs: SmallVec::new(),
            saved: Saved::default(),
            outs: SmallVec::new(),
            extra: None,
            refs: 0,
            number: 0,
            freed: false,
        }
    }
}

impl Node {
    /// Drops all that it holds.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        // Asking first is shorter than ending what is not there.
        if !matches!(self.attrs, Attrs::None) {
            self.attrs = Attrs::None;
        }
        self.inputs.clear();
        self.saved.clear();
        self.outs.clear();
        if self.extra.is_some() {
            self.extra = None;
        }
    }

    /// Takes one count and what a pass needs; what stays is freed, a name for messages.
    ///
    /// # Errors
    /// `Memory` when there is none for a copy of what stays; then nothing changes.
    #[cold]
    pub(super) fn part(&mut self) -> Result<Self> {
        let outs = try_clone(&self.outs)?;
        self.refs -= 1;
        self.freed = true;
        Ok(Self {
            op: self.op,
            attrs: self.attrs.take(),
            inputs: std::mem::take(&mut self.inputs),
            saved: std::mem::take(&mut self.saved),
            outs,
            extra: self.extra.clone(),
            ..Self::default()
        })
    }

    /// What a pass needs, which stays here, too.
    ///
    /// # Errors
    /// `Memory` when there is none for it.
    pub(super) fn copy(&self) -> Result<Self> {
        Ok(Self {
            op: self.op,
            attrs: self.attrs.try_clone()?,
            inputs: try_clone(&self.inputs)?,
            saved: self.saved.try_clone()?,
            outs: try_clone(&self.outs)?,
            extra: self.extra.clone(),
            ..Self::default()
        })
    }

    /// The name that messages use.
    pub(super) fn name(&self) -> &str {
        self.attrs.name().unwrap_or(self.op.name)
    }

    pub(super) fn source(&self) -> Option<&Arc<str>> {
        self.extra.as_ref().and_then(|e| e.source.as_ref())
    }

    /// Whether it holds objects of the user's: running them can raise an error.
    #[inline]
    pub(super) fn is_fallible(&self) -> bool {
        matches!(self.attrs, Attrs::Custom(_)) || self.extra.as_ref().is_some_and(|e| !e.hooks.is_empty())
    }

    /// Whether it owns, besides its inputs, only plain data and buffers that go to this thread's cache: such a node may be dropped
    /// under the arena's lock.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        let attrs = matches!(self.attrs, Attrs::None | Attrs::Scalars(_) | Attrs::Ints(_) | Attrs::Set(_));
        attrs && self.extra.is_none() && self.saved.arrays().iter().all(|array| array.storage().is_small())
    }

    /// The nodes whose outputs it was given.
    pub(super) fn consumed(&self) -> impl Iterator<Item = u64> + '_ {
        self.inputs.iter().filter_map(|input| if let Input::Node { id, .. } = input { Some(*id) } else { None })
    }

    pub(super) fn saved_bytes(&self) -> usize {
        self.saved.arrays().iter().map(Array::nbytes).sum()
    }
}

/// A copy of a list that may be long.
pub(super) fn try_clone<T: Clone, const N: usize>(list: &SmallVec<[T; N]>) -> Result<SmallVec<[T; N]>> {
    let mut out = SmallVec::new();
    alloc_check::try_reserve_small("backward", &mut out, list.len())?;
    out.extend(list.iter().cloned());
    Ok(out)
}

/// The message for a second walk through a freed graph.
pub(super) fn freed_error(name: &str, source: Option<&Arc<str>>) -> Error {
    let line = source.map(|s| format!(" (recorded at {s})")).unwrap_or_default();
    Error::Freed(format!(
        "backward: the graph behind `{name}`{line} was already freed by an earlier backward. Pass retain_graph=True to the first \
         backward to walk it again; if values of an earlier step are reused on purpose (a hidden state, a running loss), detach() them"
    ))
}
