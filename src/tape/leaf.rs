//! Leaves: places that keep their identity while their values change. Parameters are leaves, and so is every `.grad`.
//!
//! Leaves are not in the arena, so a parameter never keeps a chunk of nodes alive.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::cotangent::own;
use super::node::Meta;
use super::variable::{Edge, EdgeKey, Variable};
use super::{accumulate, capture, gc};
use crate::array::{Array, alloc_check};
use crate::error::Result;
use crate::lock::{Changing, Mutex, MutexGuard, changing};

/// A function that is called with a gradient during the pass and may replace it.
pub trait HookFn: Send + Sync {
    /// The gradient that replaces the given one; `None` keeps the given one.
    ///
    /// # Errors
    /// Whatever the user's code raises.
    fn call(&self, gradient: &Variable) -> Result<Option<Variable>>;
    /// For a downcast by its maker.
    fn as_any(&self) -> &dyn Any;
}

/// A shared hook.
pub type Hook = Arc<dyn HookFn>;

struct State {
    value: Variable,
    grad: Option<Arc<Leaf>>,
    hooks: Vec<(u64, Hook)>,
    /// See [`Leaf::attached`].
    attached: Option<Arc<dyn Any + Send + Sync>>,
}

/// A place with an identity, for a value, its gradient and its hooks.
pub struct Leaf {
    id: u64,
    meta: Meta,
    requires_grad: AtomicBool,
    /// Whether there are hooks, for callers that must not take the lock.
    hooked: AtomicBool,
    /// Whether a garbage collector's picture includes this leaf: see [`gc`].
    shown: AtomicBool,
    /// The number of the backward pass that touched the leaf last, and the leaf's place in its list.
    pub(super) mark: AtomicU64,
    state: Mutex<State>,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A new number.
pub(super) fn fresh_id() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The number that the next leaf gets.
#[must_use]
pub fn next_leaf() -> u64 {
    NEXT.load(Ordering::Relaxed)
}

/// To be held while a leaf changes.
fn change() -> Changing {
    capture::note_change();
    changing()
}

impl Leaf {
    /// A place that holds `value`. Gradients are collected when it requires them. Lent memory is copied, so that no write of its owner
    /// changes a leaf or a gradient.
    #[must_use]
    pub fn new(value: Variable, requires_grad: bool) -> Arc<Self> {
        let value = value.pooled();
        let leaf = Arc::new(Self {
            id: fresh_id(),
            meta: Meta::of(value.array()),
            requires_grad: AtomicBool::new(requires_grad),
            hooked: AtomicBool::new(false),
            shown: AtomicBool::new(value.is_tracked()),
            mark: AtomicU64::new(0),
            state: Mutex::new(State { value, grad: None, hooks: Vec::new(), attached: None }),
        });
        if leaf.is_shown() {
            gc::add_leaf(&leaf);
        }
        leaf
    }

    /// Locks the state. Meanwhile no user code runs and nothing of the tape is dropped. The lock may be held as long as a kernel runs.
    #[inline]
    fn state(&self) -> MutexGuard<'_, State> {
        gc::changed();
        self.state.lock()
    }

    /// Whether a garbage collector's picture includes this leaf, because it has had hooks, a value with a history, or a gradient with a
    /// history.
    #[inline]
    pub(super) fn is_shown(&self) -> bool {
        self.shown.load(Ordering::Relaxed)
    }

    fn show(self: &Arc<Self>) {
        if !self.shown.swap(true, Ordering::Relaxed) {
            gc::add_leaf(self);
        }
    }

    /// What its handle keeps along with the present data, for untracked views of it. `make` makes it if there is nothing.
    pub fn attached(&self, make: impl FnOnce() -> Arc<dyn Any + Send + Sync>) -> Arc<dyn Any + Send + Sync> {
        Arc::clone(self.state().attached.get_or_insert_with(make))
    }

    /// Removes what is [`Leaf::attached`], before other data is stored.
    pub fn take_attached(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.state().attached.take()
    }

    /// Its number, which never changes.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Shape and dtype, which never change.
    #[must_use]
    #[inline]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Whether it collects gradients.
    #[must_use]
    #[inline]
    pub fn requires_grad(&self) -> bool {
        self.requires_grad.load(Ordering::Relaxed)
    }

    /// Turns the collecting of gradients on or off.
    pub fn set_requires_grad(&self, on: bool) {
        self.requires_grad.store(on, Ordering::Relaxed);
    }

    /// The present value. It is tracked if the leaf collects gradients.
    #[must_use]
    #[inline]
    pub fn variable(self: &Arc<Self>) -> Variable {
        let state = self.state();
        let array = state.value.array().clone();
        let edge = if self.requires_grad() { Edge::Leaf(Arc::clone(self)) } else { state.value.edge().clone() };
        Variable::with_edge(array, edge)
    }

    /// The present value without history.
    #[must_use]
    pub fn array(&self) -> Array {
        self.state().value.array().clone()
    }

    /// Runs `f`, which must be short, on the present value.
    pub fn with_array<R>(&self, f: impl FnOnce(&Array) -> R) -> R {
        f(self.state().value.array())
    }

    /// Stores another value of the same shape and dtype; lent memory is copied.
    pub fn set(self: &Arc<Self>, value: Variable) {
        let value = value.pooled();
        debug_assert_eq!(&Meta::of(value.array()), &self.meta);
        if value.is_tracked() {
            self.show();
        }
        let old = {
            let _changing = change();
            std::mem::replace(&mut self.state().value, value)
        };
        drop(old); // outside the lock: it may be the last reference to a graph
    }

    /// Changes the value, in place if it is unshared.
    pub fn update<R>(&self, f: impl FnOnce(&mut Array) -> R) -> R {
        let _changing = change();
        f(self.state().value.array_mut())
    }

    /// Gives the value an unshared buffer, so that [`Leaf::update`] needs no memory.
    pub fn make_unique(&self) {
        self.copy_if(|a| !a.is_unique());
    }

    /// Converts a value without history to row-major order.
    pub fn make_contiguous(&self) {
        self.copy_if(|a| !a.is_contiguous());
    }

    /// Replaces the value by a copy if `f` asks for it. The copy is made and the old value dropped outside the lock.
    fn copy_if(&self, f: impl Fn(&mut Array) -> bool) {
        let old = {
            let mut state = self.state();
            if state.value.is_tracked() || !f(state.value.array_mut()) {
                return;
            }
            state.value.array().clone()
        };
        let mut copy = old.copy();
        capture::note_copy(&old, &copy);
        let _changing = change();
        let mut state = self.state();
        let value = state.value.array_mut();
        // Another thread may have stored another value.
        if value.storage().as_ptr() == old.storage().as_ptr() && value.layout() == old.layout() {
            std::mem::swap(value, &mut copy);
        }
        drop(state);
    }

    /// The present value, and the key of the edge that [`Leaf::variable`] gives to it.
    #[must_use]
    pub fn peek(&self) -> (Array, EdgeKey) {
        let state = self.state();
        let key = if self.requires_grad() { EdgeKey::Leaf(self.id) } else { state.value.edge().key() };
        (state.value.array().clone(), key)
    }

    /// Runs `f` on the value and its history. The leaf is locked, so `f` must be short, must not call user code, and must return what it
    /// removes.
    pub fn modify<R>(self: &Arc<Self>, f: impl FnOnce(&mut Variable) -> R) -> R {
        let _changing = change();
        let mut state = self.state();
        let out = f(&mut state.value);
        let tracked = state.value.is_tracked();
        drop(state);
        if tracked {
            self.show();
        }
        out
    }

    /// [`Leaf::update`] of a value without history; `None` if there is a history.
    pub fn overwrite<R>(&self, f: impl FnOnce(&mut Array) -> R) -> Option<R> {
        let _changing = change();
        let mut state = self.state();
        if state.value.is_tracked() { None } else { Some(f(state.value.array_mut())) }
    }

    /// The place of the collected gradient.
    #[must_use]
    pub fn grad(&self) -> Option<Arc<Self>> {
        self.state().grad.clone()
    }

    /// Runs `f`, which must be short, on the place of the collected gradient.
    pub fn with_grad<R>(&self, f: impl FnOnce(&Self) -> R) -> Option<R> {
        self.state().grad.as_deref().map(f)
    }

    /// Changes the value using the collected gradient, both in place; `None` when there is no gradient.
    pub fn update_by_grad<R>(&self, f: impl FnOnce(&mut Array, &Array) -> R) -> Option<R> {
        let _changing = change();
        let mut state = self.state();
        let State { value, grad, .. } = &mut *state;
        let slot = grad.as_ref()?;
        // Never wait for a leaf while holding the lock of another: the gradient may be this very leaf.
        if let Some(g) = slot.state.try_lock() {
            return Some(f(value.array_mut(), g.value.array()));
        }
        let slot = Arc::clone(slot);
        drop(state);
        let g = slot.array();
        Some(self.update(|value| f(value, &g)))
    }

    /// Replaces the collected gradient.
    pub fn set_grad(self: &Arc<Self>, grad: Option<Arc<Self>>) {
        // A program that removes no gradient because there is none fits only while there is none.
        capture::note_state((capture::GRADIENT, self.id));
        if grad.as_ref().is_some_and(|grad| grad.is_shown()) {
            self.show();
        }
        let old = {
            let _changing = change();
            std::mem::replace(&mut self.state().grad, grad)
        };
        drop(old);
    }

    /// Replaces the value of the collected gradient. Its place is reused if nothing else refers to it.
    pub fn put_grad(self: &Arc<Self>, value: Option<Array>) {
        let Some(value) = value else { return self.set_grad(None) };
        match self.grad() {
            // Two references: that of this leaf and the local one.
            Some(slot) if Arc::strong_count(&slot) == 2 && slot.meta() == &Meta::of(&value) => slot.set(value.into()),
            _ => self.set_grad(Some(Self::new(value.into(), false))),
        }
    }

    /// Prepares the addition of `g` to the collected gradient. Everything that needs memory happens here.
    fn prepare(&self, g: Variable) -> Result<Addition> {
        let g = own(g);
        Ok(match self.grad() {
            None => Addition::First(Self::new(g, false)),
            Some(slot) if g.is_tracked() || slot.state().value.is_tracked() => {
                let sum = accumulate::add(&slot.variable(), &g)?;
                Addition::Sum(slot, sum)
            }
            Some(slot) if !capture::is_on() && slot.state().value.array_mut().is_unique() => Addition::InPlace(slot, g),
            Some(slot) => {
                let sum = accumulate::add(&slot.array().into(), &g)?;
                Addition::Sum(slot, sum)
            }
        })
    }

    /// Adds to the collected gradient: the first gradient is moved, later ones are added in place.
    fn add_prepared(self: &Arc<Self>, addition: Addition) {
        match addition {
            Addition::First(slot) => match self.grad() {
                None => self.set_grad(Some(slot)),
                // Another pass was faster.
                Some(sum) => sum.update(|a| accumulate::add_in_place(a, &slot.array())),
            },
            Addition::Sum(slot, sum) => {
                slot.set(sum);
                if slot.is_shown() {
                    self.show();
                }
            }
            Addition::InPlace(slot, g) => slot.update(|a| accumulate::add_in_place(a, g.array())),
        }
    }

    /// Registers a hook. The number that it returns removes it.
    pub fn add_hook(self: &Arc<Self>, hook: Hook) -> u64 {
        let id = fresh_id();
        self.show();
        let _changing = change();
        self.state().hooks.push((id, hook));
        self.hooked.store(true, Ordering::Relaxed);
        id
    }

    /// Removes a hook.
    pub fn remove_hook(&self, id: u64) {
        let gone: Vec<_> = {
            let _changing = change();
            let mut state = self.state();
            let gone = state.hooks.extract_if(.., |(i, _)| *i == id).collect();
            self.hooked.store(!state.hooks.is_empty(), Ordering::Relaxed);
            gone
        };
        drop(gone);
    }

    /// Whether hooks see the gradients that arrive here.
    pub(super) fn has_hooks(&self) -> bool {
        self.hooked.load(Ordering::Relaxed)
    }

    /// The hooks, in the order of registration.
    pub(super) fn hooks(&self) -> Vec<Hook> {
        self.state().hooks.iter().map(|(_, h)| Arc::clone(h)).collect()
    }

    /// Calls `f` with the history of the value, the place of the gradient and the hooks. Returns false without calling `f` while another
    /// thread holds the lock.
    pub(super) fn show_to(&self, f: impl FnOnce(&Edge, Option<&Arc<Self>>, &mut dyn Iterator<Item = &Hook>)) -> bool {
        let Some(state) = self.state.try_lock() else { return false };
        f(state.value.edge(), state.grad.as_ref(), &mut state.hooks.iter().map(|(_, hook)| hook));
        true
    }

    /// Drops the hooks, the gradient and the history of the value, any of which may be part of a cycle that a garbage collector breaks.
    pub(super) fn clear(&self) {
        let gone = {
            let _changing = change();
            let mut state = self.state();
            self.hooked.store(false, Ordering::Relaxed);
            let value = state.value.detach();
            (std::mem::replace(&mut state.value, value), state.grad.take(), std::mem::take(&mut state.hooks))
        };
        drop(gone);
    }
}

/// A gradient to be added to a leaf, with all the memory that the addition needs.
enum Addition {
    /// The first gradient, in the place that will keep it.
    First(Arc<Leaf>),
    /// A place, and the new sum for it.
    Sum(Arc<Leaf>, Variable),
    /// A place, and a gradient to add to its value in place.
    InPlace(Arc<Leaf>, Variable),
}

/// Adds gradients to the gradients of their leaves: to all leaves or, when there is not enough memory, to none. `between` runs when nothing
/// can fail any more, before the first addition.
pub(super) fn accumulate_all(gradients: Vec<(Arc<Leaf>, Variable)>, between: impl FnOnce()) -> Result<()> {
    let mut ready = alloc_check::with_capacity(gradients.len());
    for (leaf, g) in gradients {
        let addition = leaf.prepare(g)?;
        ready.push((leaf, addition));
    }
    between();
    for (leaf, addition) in ready {
        leaf.add_prepared(addition);
    }
    Ok(())
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leaf({}, {:?})", self.id, self.meta)
    }
}
