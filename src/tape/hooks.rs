//! What users attach to nodes: hooks, and places for the gradients of non-leaves.

use std::sync::Arc;

use super::arena::{self, NodeRef};
use super::capture;
use super::leaf::{self, Hook, Leaf};
use super::variable::{Edge, Variable};
use crate::error::{Error, Result, show_shape};

/// The place that keeps the gradient of a non-leaf. It is made if it does not exist.
#[must_use]
pub fn retained_leaf(node: &NodeRef, output: u32, like: &Variable) -> Arc<Leaf> {
    // Copied and dropped outside the lock, because a Python object may own its memory.
    let value = like.detach().pooled();
    let mut arena = arena::lock();
    let extra = arena.node_mut(node.id()).extra.get_or_insert_default();
    if let Some((_, leaf)) = extra.retained.iter().find(|(o, _)| *o == output) {
        return Arc::clone(leaf);
    }
    let leaf = Leaf::new(value, false);
    extra.retained.push((output, Arc::clone(&leaf)));
    leaf
}

/// The place that keeps the gradient of a non-leaf, if [`retained_leaf`] has made it.
#[must_use]
pub fn find_retained(node: &NodeRef, output: u32) -> Option<Arc<Leaf>> {
    let arena = arena::lock();
    let extra = arena.node(node.id()).extra.as_ref()?;
    extra.retained.iter().find(|(o, _)| *o == output).map(|(_, leaf)| Arc::clone(leaf))
}

/// Moves a retained gradient to another edge when an in-place operation gives a handle that edge: the gradient that is kept is that of the
/// handle's present value.
pub fn move_retained(from: &Edge, to: &Edge) {
    let (Edge::Node { node: old, output: from }, Edge::Node { node: new, output: to }) = (from, to) else { return };
    let mut arena = arena::lock();
    let Some(extra) = &mut arena.node_mut(old.id()).extra else { return };
    let Some(k) = extra.retained.iter().position(|(o, _)| o == from) else { return };
    let (_, place) = extra.retained.swap_remove(k);
    arena.node_mut(new.id()).extra.get_or_insert_default().retained.push((*to, place));
}

/// Registers a hook on an output of a node.
pub fn add_node_hook(node: &NodeRef, output: u32, hook: Hook) -> u64 {
    let id = leaf::fresh_id();
    let mut arena = arena::lock();
    let n = arena.node_mut(node.id());
    let before = n.is_fallible();
    n.extra.get_or_insert_default().hooks.push((output, id, hook));
    let after = n.is_fallible();
    arena.count_fallible(before, after);
    id
}

/// Removes a hook of a node, if the node is alive.
pub fn remove_node_hook(node: u64, id: u64) {
    let mut arena = arena::lock();
    if !arena.is_alive(node) {
        return;
    }
    let n = arena.node_mut(node);
    let before = n.is_fallible();
    let hooks = n.extra.as_mut().map(|extra| &mut extra.hooks);
    let gone: Vec<_> = hooks.into_iter().flat_map(|hooks| hooks.extract_if(.., |(_, i, _)| *i == id)).collect();
    let after = n.is_fallible();
    arena.count_fallible(before, after);
    drop(arena);
    drop(gone);
}

/// The reason why a call with hooks is not replayed.
pub(super) const HOOK_RUNS: &str = "a gradient hook runs";

/// Passes a gradient through hooks. Each of them may replace it.
pub(super) fn run_hooks(hooks: &[Hook], mut g: Variable) -> Result<Variable> {
    for hook in hooks {
        capture::refuse(|| HOOK_RUNS.to_owned());
        if let Some(new) = hook.call(&g)? {
            if new.shape() != g.shape() || new.dtype() != g.dtype() {
                return Err(Error::Grad(format!(
                    "hook: the returned gradient has shape {} and dtype {}, expected {} and {}",
                    show_shape(new.shape()),
                    new.dtype(),
                    show_shape(g.shape()),
                    g.dtype()
                )));
            }
            g = new;
        }
    }
    Ok(g)
}
