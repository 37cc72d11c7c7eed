//! A node: a primitive, its inputs, and the values that its gradient rule needs. A node is data that can be inspected.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::leaf::{Hook, Leaf};
use super::primitive::{AttrSet, Primitive};
use super::saved::Saved;
use super::vjp_context::VjpContext;
use crate::array::{Array, DType, Shape, alloc_check, dims};
use crate::error::{Error, Result};

/// How a primitive is differentiated in reverse mode. Every primitive must choose one.
#[derive(Clone, Copy)]
pub enum Vjp {
    /// A rule: it reads the cotangents and delivers the gradients of the inputs by [`VjpContext::add`].
    Rule(fn(&mut VjpContext<'_>) -> Result<()>),
    /// The vjp of the definition. The primitive saves all its inputs.
    Definition,
    /// The derivative is zero or undefined everywhere: outputs are never tracked.
    NonDifferentiable,
}

/// A gradient rule that a user defines (a Python `Function`).
pub trait CustomRule: Send + Sync {
    /// The name for messages.
    fn name(&self) -> &str;
    /// Delivers the gradients of the inputs.
    ///
    /// # Errors
    /// Whatever the user's code raises.
    fn vjp(&self, ctx: &mut VjpContext<'_>) -> Result<()>;
    /// For a downcast by its maker.
    fn as_any(&self) -> &dyn Any;
}

/// The arguments of a primitive other than arrays and numbers.
#[derive(Clone, Default)]
pub enum Attrs {
    /// There are none.
    #[default]
    None,
    /// Named and typed attributes.
    Set(Arc<dyn AttrSet>),
    /// A user's rule.
    Custom(Arc<dyn CustomRule>),
    /// The name of a user's rule that was dropped with the graph.
    Freed(Box<str>),
}

impl Attrs {
    /// The name of a user's rule.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Custom(rule) => Some(rule.name()),
            Self::Freed(name) => Some(name),
            Self::None | Self::Set(_) => None,
        }
    }

    /// Moves the attributes out, but leaves the name of a user's rule for messages.
    pub(super) fn take(&mut self) -> Self {
        let rest = self.name().map_or(Self::None, |name| Self::Freed(name.into()));
        std::mem::replace(self, rest)
    }

    /// The attributes as type `T`, if they are of that type.
    #[must_use]
    pub fn data<T: Any>(&self) -> Option<&T> {
        if let Self::Set(set) = self { set.as_any().downcast_ref() } else { None }
    }
}

impl fmt::Debug for Attrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Set(s) => s.fmt(f),
            Self::Custom(c) => f.write_str(c.name()),
            Self::Freed(name) => f.write_str(name),
        }
    }
}

/// Shape and dtype of a value.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Shape and dtype of `array`.
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
    /// A number, which carries no gradient.
    Number(f64),
}

/// Data that only few nodes have.
#[derive(Clone, Default)]
pub(super) struct NodeExtras {
    /// The line of user code that recorded it.
    pub(super) source: Option<Arc<str>>,
    /// Functions that are called with the gradient of an output.
    pub(super) hooks: Vec<(u32, u64, Hook)>,
    /// Places that keep the gradient of an output.
    pub(super) retained: Vec<(u32, Arc<Leaf>)>,
}

/// One recorded operation, or an empty slot. An empty slot keeps the name of its last operation.
pub(super) struct Node {
    pub(super) op: &'static Primitive,
    pub(super) attrs: Attrs,
    pub(super) inputs: SmallVec<[Input; 2]>,
    pub(super) saved: Saved,
    pub(super) outs: SmallVec<[Meta; 1]>,
    pub(super) extra: Option<Box<NodeExtras>>,
    /// Number of handles and consumers. At zero the slot is free.
    pub(super) refs: u32,
    /// Its number in the last backward pass that reached it, written while that pass marks nodes.
    pub(super) number: u32,
    pub(super) freed: bool,
}

impl Default for Node {
    /// An empty slot.
    #[inline]
    fn default() -> Self {
        static NONE: Primitive = Primitive { name: "nothing", vjp: Vjp::NonDifferentiable, ..Primitive::BASE };
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
    /// Drops all contents.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        // A check is faster than dropping nothing.
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

    /// Moves out what a pass needs and drops one reference. The node counts as freed afterwards; its name stays for messages.
    ///
    /// # Errors
    /// `Memory` when there is no memory for a copy of what stays; then nothing changes.
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

    /// A copy of what a pass needs.
    ///
    /// # Errors
    /// `Memory` when there is no memory for it.
    pub(super) fn copy(&self) -> Result<Self> {
        Ok(Self {
            op: self.op,
            attrs: self.attrs.clone(),
            inputs: try_clone(&self.inputs)?,
            saved: self.saved.try_clone()?,
            outs: try_clone(&self.outs)?,
            extra: self.extra.clone(),
            ..Self::default()
        })
    }

    /// The name for messages.
    pub(super) fn name(&self) -> &str {
        self.attrs.name().unwrap_or(self.op.name)
    }

    pub(super) fn source(&self) -> Option<&Arc<str>> {
        self.extra.as_ref().and_then(|e| e.source.as_ref())
    }

    /// Whether it holds user objects, whose code can raise an error.
    #[inline]
    pub(super) fn is_fallible(&self) -> bool {
        let attrs = match self.attrs {
            Attrs::Custom(_) => true,
            Attrs::Set(_) => self.op.has_callback,
            Attrs::None | Attrs::Freed(_) => false,
        };
        attrs || self.extra.as_ref().is_some_and(|e| !e.hooks.is_empty())
    }

    /// Whether it owns, besides its inputs, only plain data and buffers that go to this thread's cache. Such a node may be dropped under
    /// the arena's lock.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        let attrs = match &self.attrs {
            Attrs::None => true,
            Attrs::Set(set) => set.is_plain(),
            Attrs::Custom(_) | Attrs::Freed(_) => false,
        };
        attrs && self.extra.is_none() && self.saved.arrays().iter().all(|array| array.storage().is_small())
    }

    /// The nodes whose outputs are its inputs.
    pub(super) fn consumed(&self) -> impl Iterator<Item = u64> + '_ {
        self.inputs.iter().filter_map(|input| if let Input::Node { id, .. } = input { Some(*id) } else { None })
    }

    pub(super) fn saved_bytes(&self) -> usize {
        self.saved.arrays().iter().map(Array::nbytes).sum()
    }
}

/// A copy of a list, or an error when there is no memory for it.
pub(super) fn try_clone<T: Clone, const N: usize>(list: &SmallVec<[T; N]>) -> Result<SmallVec<[T; N]>> {
    let mut out = SmallVec::new();
    alloc_check::try_reserve_small("backward", &mut out, list.len())?;
    out.extend(list.iter().cloned());
    Ok(out)
}

/// The error of a second pass through a freed graph.
pub(super) fn freed_error(name: &str, source: Option<&Arc<str>>) -> Error {
    let line = source.map(|s| format!(" (recorded at {s})")).unwrap_or_default();
    Error::Freed(format!(
        "backward: the graph behind `{name}`{line} was already freed by an earlier backward. Pass retain_graph=True to the first \
         backward to walk it again; if values of an earlier step are reused on purpose (a hidden state, a running loss), detach() them"
    ))
}
