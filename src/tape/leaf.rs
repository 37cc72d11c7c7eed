//! Leaves: places that outlive values. Parameters are leaves; so is every `.grad`.
//!
//! Leaves live apart from the arena: a parameter never pins a chunk of nodes.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::accumulate;
use super::cotangent::own;
use super::node::Meta;
use super::variable::{Edge, EdgeKey, Variable};
use crate::array::{Array, alloc_check};
use crate::error::Result;
use crate::lock::Mutex;

/// A function that sees a gradient on its way and may replace it.
pub trait HookFn: Send + Sync {
    /// The gradient to go on with; `None` keeps the one given.
    ///
    /// # Errors
    /// Whatever the user's code raises.
    fn call(&self, gradient: &Variable) -> Result<Option<Variable>>;
    /// The same function, with a reference of its own to whatever a garbage collector counts.
    fn again(&self) -> Hook;
    /// For whoever made it.
    fn as_any(&self) -> &dyn Any;
}

/// A shared hook.
pub type Hook = Arc<dyn HookFn>;

struct State {
    value: Variable,
    grad: Option<Arc<Leaf>>,
    hooks: Vec<(u64, Hook)>,
}

/// A named place for a value, its gradient and its hooks.
pub struct Leaf {
    id: u64,
    meta: Meta,
    requires_grad: AtomicBool,
    /// Whether there are hooks, for whoever must not take the lock.
    hooked: AtomicBool,
    /// How many of the shares of this leaf are a node's with [`Held`] hooks.
    held: AtomicUsize,
    /// Which of these answers for the leaf, when no handle is left.
    speaker: AtomicU64,
    /// (sweep, place in its list) of the backward pass that touched the leaf last.
    pub(super) mark: AtomicU64,
    state: Mutex<State>,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A number that was never given before.
pub(super) fn fresh_id() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Leaf {
    /// A place that holds `value`; gradients are collected when it requires them. Lent memory is copied: no write of its owner
    /// changes a leaf or a gradient.
    #[must_use]
    pub fn new(value: Variable, requires_grad: bool) -> Arc<Self> {
        let value = value.pooled();
        Arc::new(Self {
            id: fresh_id(),
            meta: Meta::of(value.array()),
            requires_grad: AtomicBool::new(requires_grad),
            hooked: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            speaker: AtomicU64::new(0),
            mark: AtomicU64::new(0),
            state: Mutex::new(State { value, grad: None, hooks: Vec::new() }),
        })
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
        let state = self.state.lock();
        let array = state.value.array().clone();
        let edge = if self.requires_grad() { Edge::Leaf(Arc::clone(self)) } else { state.value.edge().clone() };
        Variable::with_edge(array, edge)
    }

    /// The present value without history.
    #[must_use]
    pub fn array(&self) -> Array {
        self.state.lock().value.array().clone()
    }

    /// Puts another value of the same shape and dtype here; lent memory is copied.
    pub fn set(&self, value: Variable) {
        let value = value.pooled();
        debug_assert_eq!(&Meta::of(value.array()), &self.meta);
        let old = std::mem::replace(&mut self.state.lock().value, value);
        drop(old); // outside the lock: it may be the last holder of a graph
    }

    /// Changes the value where it lies: in place when nobody else holds it.
    pub fn update<R>(&self, f: impl FnOnce(&mut Array) -> R) -> R {
        f(self.state.lock().value.array_mut())
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
            let mut state = self.state.lock();
            if state.value.is_tracked() || !f(state.value.array_mut()) {
                return;
            }
            state.value.array().clone()
        };
        let mut copy = old.copy();
        let mut state = self.state.lock();
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
        let state = self.state.lock();
        let key = if self.requires_grad() { EdgeKey::Leaf(self.id) } else { state.value.edge().key() };
        (state.value.array().clone(), key)
    }

    /// Runs `f` on the value and its history. The leaf is locked: `f` must be short, call nothing of the user's, and return what
    /// it takes away.
    pub fn modify<R>(&self, f: impl FnOnce(&mut Variable) -> R) -> R {
        f(&mut self.state.lock().value)
    }

    /// [`Leaf::update`] of a value without history; `None` for one with.
    pub fn overwrite<R>(&self, f: impl FnOnce(&mut Array) -> R) -> Option<R> {
        let mut state = self.state.lock();
        if state.value.is_tracked() { None } else { Some(f(state.value.array_mut())) }
    }

    /// The collected gradient's place.
    #[must_use]
    pub fn grad(&self) -> Option<Arc<Self>> {
        self.state.lock().grad.clone()
    }

    /// Runs `f`, which must be short, on the collected gradient's place.
    pub fn with_grad<R>(&self, f: impl FnOnce(&Self) -> R) -> Option<R> {
        self.state.lock().grad.as_deref().map(f)
    }

    /// Changes the value by the collected gradient, both where they lie; `None` when there is no gradient.
    pub fn update_by_grad<R>(&self, f: impl FnOnce(&mut Array, &Array) -> R) -> Option<R> {
        let mut state = self.state.lock();
        let State { value, grad, .. } = &mut *state;
        let slot = grad.as_ref()?;
        // Not to wait for one lock with another in hand: the gradient may be this very leaf.
        if let Some(g) = slot.state.try_lock() {
            return Some(f(value.array_mut(), g.value.array()));
        }
        let slot = Arc::clone(slot);
        drop(state);
        let g = slot.array();
        Some(self.update(|value| f(value, &g)))
    }

    /// Replaces the collected gradient.
    pub fn set_grad(&self, grad: Option<Arc<Self>>) {
        let old = std::mem::replace(&mut self.state.lock().grad, grad);
        drop(old);
    }

    /// What must be done to add `g` to the collected gradient; all that needs memory is done here.
    fn prepare(&self, g: Variable) -> Result<Addition> {
        let g = own(g);
        Ok(match self.grad() {
            None => Addition::First(Self::new(g, false)),
            Some(slot) if g.is_tracked() || slot.state.lock().value.is_tracked() => {
                let sum = accumulate::add(&slot.variable(), &g)?;
                Addition::Sum(slot, sum)
            }
            Some(slot) if slot.state.lock().value.array_mut().is_unique() => Addition::InPlace(slot, g),
            Some(slot) => {
                let sum = accumulate::add(&slot.array().into(), &g)?;
                Addition::Sum(slot, sum)
            }
        })
    }

    /// Adds to the collected gradient: the first one is moved here, later ones are added in place.
    fn add_prepared(&self, addition: Addition) {
        match addition {
            Addition::First(slot) => match self.grad() {
                None => self.set_grad(Some(slot)),
                // Another pass has come first.
                Some(sum) => sum.update(|a| accumulate::add_in_place(a, &slot.array())),
            },
            Addition::Sum(slot, sum) => slot.set(sum),
            Addition::InPlace(slot, g) => slot.update(|a| accumulate::add_in_place(a, g.array())),
        }
    }

    /// Registers a hook; the number removes it again.
    pub fn add_hook(self: &Arc<Self>, hook: Hook) -> u64 {
        let (id, new) = (fresh_id(), Arc::clone(&hook));
        {
            let mut state = self.state.lock();
            state.hooks.push((id, hook));
            self.hooked.store(true, Ordering::Relaxed);
        }
        if Arc::strong_count(self) > 1 {
            super::hooks::hold_in_nodes(self, &new);
        }
        id
    }

    /// Removes a hook.
    pub fn remove_hook(&self, id: u64) {
        let mut state = self.state.lock();
        let (gone, kept): (Vec<_>, _) = std::mem::take(&mut state.hooks).into_iter().partition(|(i, _)| *i == id);
        self.hooked.store(!kept.is_empty(), Ordering::Relaxed);
        state.hooks = kept;
        drop(state);
        drop(gone); // outside the lock: its end may reach the leaf again
    }

    /// Whether gradients that arrive here are seen by hooks.
    pub(super) fn has_hooks(&self) -> bool {
        self.hooked.load(Ordering::Relaxed)
    }

    /// The hooks, in the order of registration; `None` while somebody else looks at the leaf.
    #[must_use]
    pub fn try_hooks(&self) -> Option<Vec<Hook>> {
        self.state.try_lock().map(|s| s.hooks.iter().map(|(_, h)| Arc::clone(h)).collect())
    }

    pub(super) fn hooks(&self) -> Vec<Hook> {
        self.state.lock().hooks.iter().map(|(_, h)| Arc::clone(h)).collect()
    }

    /// Whether all shares but one, a handle's, are those of nodes with `Held` hooks. Then the handle can answer for the
    /// leaf's own references to its hooks: whoever else keeps the leaf keeps the hooks as well, in the open.
    #[must_use]
    pub fn is_accounted(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1 + self.held.load(Ordering::Relaxed)
    }

    /// The hooks as a node holds them that has `shares` of this leaf.
    pub(super) fn hold(self: &Arc<Self>, shares: usize) -> Held {
        let hooks = self.hooks().iter().map(|h| h.again()).collect();
        self.held.fetch_add(shares, Ordering::Relaxed);
        Held { id: fresh_id(), leaf: Arc::downgrade(self), shares, hooks }
    }

    /// Forgets all hooks (when a garbage collector breaks a cycle).
    pub fn clear_hooks(&self) {
        self.hooked.store(false, Ordering::Relaxed);
        let old = std::mem::take(&mut self.state.lock().hooks);
        drop(old);
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
    ready.into_iter().for_each(|(leaf, addition)| leaf.add_prepared(addition));
    Ok(())
}

/// References of a node to the hooks of a leaf that is its input. They are never called: they show a garbage collector that
/// the node keeps the hooks alive.
pub(super) struct Held {
    id: u64,
    leaf: Weak<Leaf>,
    shares: usize,
    pub(super) hooks: Vec<Hook>,
}

impl Held {
    /// Whether these are hooks of `leaf`.
    pub(super) fn is_of(&self, leaf: &Arc<Leaf>) -> bool {
        std::ptr::eq(self.leaf.as_ptr(), Arc::as_ptr(leaf))
    }

    /// Whether the node can answer for the leaf's own references to its hooks: all shares are those of such nodes, and no
    /// other of them has answered before.
    pub(super) fn answers(&self, leaf: &Arc<Leaf>) -> bool {
        Arc::strong_count(leaf) == leaf.held.load(Ordering::Relaxed)
            && (leaf.speaker.load(Ordering::Relaxed) == self.id
                || leaf.speaker.compare_exchange(0, self.id, Ordering::Relaxed, Ordering::Relaxed).is_ok())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(leaf) = self.leaf.upgrade() {
            let _ = leaf.speaker.compare_exchange(self.id, 0, Ordering::Relaxed, Ordering::Relaxed);
            leaf.held.fetch_sub(self.shares, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leaf({}, {:?})", self.id, self.meta)
    }
}
