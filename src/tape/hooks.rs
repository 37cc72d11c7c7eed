//! What users hang on nodes: hooks, and places for the gradients of non-leaves.

use std::sync::Arc;

use super::arena::{self, NodeRef};
use super::leaf::{self, Hook, Leaf};
use super::variable::Variable;
use crate::error::{Error, Result, show_shape};

/// Where the gradient of a non-leaf is kept, made when it is not there yet.
#[must_use]
pub fn retained_leaf(node: &NodeRef, output: u32, like: &Variable) -> Arc<Leaf> {
    let mut arena = arena::lock();
    let extra = arena.node_mut(node.id()).extra.get_or_insert_default();
    if let Some((_, leaf)) = extra.retained.iter().find(|(o, _)| *o == output) {
        return Arc::clone(leaf);
    }
    let leaf = Leaf::new(like.detach(), false);
    extra.retained.push((output, Arc::clone(&leaf)));
    leaf
}

/// Where the gradient of a non-leaf is kept, if [`retained_leaf`] was asked for it.
#[must_use]
pub fn find_retained(node: &NodeRef, output: u32) -> Option<Arc<Leaf>> {
    let arena = arena::lock();
    let extra = arena.node(node.id()).extra.as_ref()?;
    extra.retained.iter().find(|(o, _)| *o == output).map(|(_, leaf)| Arc::clone(leaf))
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

/// Removes a hook of a node.
pub fn remove_node_hook(node: &NodeRef, id: u64) {
    let mut arena = arena::lock();
    let n = arena.node_mut(node.id());
    let before = n.is_fallible();
    let mut gone = Vec::new();
    if let Some(extra) = &mut n.extra {
        let (keep, drop) = std::mem::take(&mut extra.hooks).into_iter().partition(|(_, i, _)| *i != id);
        (extra.hooks, gone) = (keep, drop);
    }
    let after = n.is_fallible();
    arena.count_fallible(before, after);
    drop(arena);
    drop(gone);
}

/// Passes a gradient through hooks, each of which may replace it.
pub(super) fn run_hooks(hooks: &[Hook], mut g: Variable) -> Result<Variable> {
    for hook in hooks {
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
