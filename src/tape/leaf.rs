//! Leaves: places that outlive values. Parameters are leaves; so is every `.grad`.
//!
//! Leaves live apart from the arena: a parameter never pins a chunk of nodes.

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

/// A function that sees a gradient on its way and may replace it.
pub trait HookFn: Send + Sync {
    /// The gradient to go on with; `None` keeps the one given.
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

/// A named place for a value, its gradient and its hooks.
pub struct Leaf {
    id: u64,
    meta: Meta,
    requires_grad: AtomicBool,
    /// Whether there are hooks, for callers that must not take the lock.
    hooked: AtomicBool,
    /// Whether a garbage collector is shown this leaf: see [`gc`].
    shown: AtomicBool,
    /// (sweep, place in its list) of the backward pass that touched the leaf last.
    pub(super) mark: AtomicU64,
    state: Mutex<State>,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A number that was never given before.
pub(super) fn fresh_id() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// To be held while a leaf is changed.
fn change() -> Changing {
    capture::note_change();
    changing()
}

impl Leaf {
    /// A place that holds `value`; gradients are collected when it requires them. Lent memory is copied: no write of its owner
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

    /// The state, locked: no code of the user's runs and nothing of the tape is dropped meanwhile. The holder may take as long as a
    /// kernel.
    #[inline]
    fn state(&self) -> MutexGuard<'_, State> {
        gc::changed();
        self.state.lock()
    }

    /// Whether a garbage collector is shown this leaf: because it has had hooks, a value with a history, or such a gradient.
    #[inline]
    pub(super) fn is_shown(&self) -> bool {
        self.shown.load(Ordering::Relaxed)
    }

    fn show(self: &Arc<Self>) {
        if !self.shown.swap(true, Ordering::Relaxed) {
            gc::add_leaf(self);
        }
    }

    /// What its handle keeps with the present data, for untracked views of it; made by `make` when there is nothing yet.
    pub fn attached(&self, make: impl FnOnce() -> Arc<dyn Any + Send + Sync>) -> Arc<dyn Any + Send + Sync> {
        Arc::clone(self.state().attached.get_or_insert_with(make))
    }

    /// Takes away what is [`Leaf::attached`], before other data comes.
    pub fn take_attached(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.state().attached.take()
    }

    /// Its number, the same for its whole life.
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

    /// Whether gradients are collected here.
    #[must_use]
    #[inline]
    pub fn requires_grad(&self) -> bool {
        self.requires_grad.load(Ordering::Relaxed)
    }

    /// Switches the collecting of gradients.
    pub fn set_requires_grad(&self, on: bool) {
        self.requires_grad.store(on, Ordering::Relaxed);
    }

    /// The present value, tracked when gradients are collected here.
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

    /// Puts another value of the same shape and dtype here; lent memory is copied.
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
        drop(old); // outside the lock: it may be the last holder of a graph
    }

    /// Changes the value: in place when it is unshared.
    pub fn update<R>(&self, f: impl FnOnce(&mut Array) -> R) -> R {
        let _changing = change();
        f(self.state().value.array_mut())
    }

    /// Gives the value a buffer of its own when others hold it: [`Leaf::update`] then needs no memory.
    pub fn make_unique(&self) {
        self.copy_if(|a| !a.is_unique());
    }

    /// Puts a value without history into row-major order.
    pub fn make_contiguous(&self) {
        self.copy_if(|a| !a.is_contiguous());
    }

    /// Replaces the value by a copy when `f` asks for it. The copy is made, and the old one dropped, outside the lock.
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
        // Another thread may have put another value here.
        if value.storage().as_ptr() == old.storage().as_ptr() && value.layout() == old.layout() {
            std::mem::swap(value, &mut copy);
        }
        drop(state);
    }

    /// The present value, and the key of the edge that [`Leaf::variable`] gives it.
    #[must_use]
    pub fn peek(&self) -> (Array, EdgeKey) {
        let state = self.state();
        let key = if self.requires_grad() { EdgeKey::Leaf(self.id) } else { state.value.edge().key() };
        (state.value.array().clone(), key)
    }

    /// Runs `f` on the value and its history. The leaf is locked: `f` must be short, call nothing of the user's, and return what
    /// it takes away.
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

    /// [`Leaf::update`] of a value without history; `None` for one with.
    pub fn overwrite<R>(&self, f: impl FnOnce(&mut Array) -> R) -> Option<R> {
        let _changing = change();
        let mut state = self.state();
        if state.value.is_tracked() { None } else { Some(f(state.value.array_mut())) }
    }

    /// The collected gradient's place.
    #[must_use]
    pub fn grad(&self) -> Option<Arc<Self>> {
        self.state().grad.clone()
    }

    /// Runs `f`, which must be short, on the collected gradient's place.
    pub fn with_grad<R>(&self, f: impl FnOnce(&Self) -> R) -> Option<R> {
        self.state().grad.as_deref().map(f)
    }

    /// Changes the value by the collected gradient, both where they lie; `None` when there is no gradient.
    pub fn update_by_grad<R>(&self, f: impl FnOnce(&mut Array, &Array) -> R) -> Option<R> {
        let _changing = change();
        let mut state = self.state();
        let State { value, grad, .. } = &mut *state;
        let slot = grad.as_ref()?;
        // Never wait for a leaf under the lock of another: the gradient may be this very leaf.
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
        if grad.as_ref().is_some_and(|grad| grad.is_shown()) {
            self.show();
        }
        let old = {
            let _changing = change();
            std::mem::replace(&mut self.state().grad, grad)
        };
        drop(old);
    }

    /// Replaces the value of the collected gradient. Its place stays when nothing else holds it.
    pub fn put_grad(self: &Arc<Self>, value: Option<Array>) {
        let Some(value) = value else { return self.set_grad(None) };
        match self.grad() {
            // Held by this leaf and here.
            Some(slot) if Arc::strong_count(&slot) == 2 && slot.meta() == &Meta::of(&value) => slot.set(value.into()),
            _ => self.set_grad(Some(Self::new(value.into(), false))),
        }
    }

    /// What must be done to add `g` to the collected gradient; all that needs memory is done here.
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

    /// Adds to the collected gradient: the first one is moved here, later ones are added in place.
    fn add_prepared(self: &Arc<Self>, addition: Addition) {
        match addition {
            Addition::First(slot) => match self.grad() {
                None => self.set_grad(Some(slot)),
                // Another pass has come first.
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

    /// Registers a hook; the number removes it again.
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

    /// Whether gradients that arrive here are seen by hooks.
    pub(super) fn has_hooks(&self) -> bool {
        self.hooked.load(Ordering::Relaxed)
    }

    /// The hooks, in the order of registration.
    pub(super) fn hooks(&self) -> Vec<Hook> {
        self.state().hooks.iter().map(|(_, h)| Arc::clone(h)).collect()
    }

    /// Shows `f` the history of the value, the place of the gradient and the hooks; false, and nothing, while another thread holds
    /// the leaf.
    pub(super) fn show_to(&self, f: impl FnOnce(&Edge, Option<&Arc<Self>>, &mut dyn Iterator<Item = &Hook>)) -> bool {
        let Some(state) = self.state.try_lock() else { return false };
        f(state.value.edge(), state.grad.as_ref(), &mut state.hooks.iter().map(|(_, hook)| hook));
        true
    }

    /// Drops the hooks, the gradient and the history of the value: what may be part of a cycle, when a garbage collector breaks one.
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

/// A gradient on its way to a leaf, with all the memory it needs.
enum Addition {
    /// The first one, in the place that keeps it.
    First(Arc<Leaf>),
    /// The new sum for that place.
    Sum(Arc<Leaf>, Variable),
    /// To be added to what is at that place.
    InPlace(Arc<Leaf>, Variable),
}

/// Adds gradients to those of their leaves: to all of them or, when there is no memory, to none. `between` runs when nothing can
/// fail any more, before the first is added.
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
