//! What a garbage collector of another language needs to know about the tape.
//!
//! Objects of that language hold nodes and leaves, and nodes and leaves hold such objects: hooks, and users' rules. Only a collector that
//! sees both can find a cycle through both. The tape's part of a cycle is shared: many handles lead to one node. So at the start of a
//! collection a [`Picture`] is taken of the nodes and leaves from which an object, or a gradient with a history, can be reached. The
//! binding represents each [`Entry`] by an object of the collector that has as many references as the node or leaf, and that refers to the
//! other such objects. A reference that the collector does not find (a variable of a running operation) counts as external, and keeps alive
//! what it leads to.
//!
//! A picture is used only while it is true. `changed` is called wherever the tape is read or changed; from then on the picture shows
//! nothing, and what it does not show is kept alive. Nothing changes the tape while the collector reads the picture: the binding takes and
//! shows no picture while a thread runs without the collector's lock ([`Running`]).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use smallvec::SmallVec;

use super::arena;
use super::leaf::{Hook, Leaf};
use super::node::{Attrs, CustomRule, Input, Node};
use super::primitive::AttrSet;
use super::variable::Edge;
use crate::array::alloc_check;
use crate::lock::{AtFork, ShortMutex, at_fork};

/// An object that the tape holds.
pub enum Object {
    /// A user's rule.
    Rule(Arc<dyn CustomRule>),
    /// Attributes that may hold a user's object.
    Attrs(Arc<dyn AttrSet>),
    /// A hook.
    Hook(Hook),
}

/// A node or a leaf.
#[derive(Default)]
pub struct Entry {
    /// Number of references to it.
    pub refs: usize,
    /// The entries that it refers to.
    pub targets: SmallVec<[usize; 2]>,
    /// The objects that it holds.
    pub objects: SmallVec<[Object; 1]>,
    leaf: Option<Weak<Leaf>>,
}

impl Entry {
    /// Breaks every cycle through this entry, which is unreachable. Every cycle within the tape contains a leaf.
    pub fn clear(&self) {
        if let Some(leaf) = self.leaf.as_ref().and_then(Weak::upgrade) {
            leaf.clear();
        }
    }
}

/// The part of the tape that a garbage collector needs to know.
#[derive(Default)]
pub struct Picture {
    entries: Vec<Entry>,
    nodes: HashMap<u64, usize>,
    leaves: HashMap<u64, usize>,
}

/// Whether a picture is in use and still true.
static TRUE: AtomicBool = AtomicBool::new(false);
/// Number of threads that run operations without the collector's lock.
static RUNNING: AtomicUsize = AtomicUsize::new(0);
/// Leaves that have had hooks, a value with a history, or a gradient with a history.
static LEAVES: ShortMutex<Leaves> = ShortMutex::new(Leaves { all: Vec::new(), limit: 64 });

struct Leaves {
    all: Vec<Weak<Leaf>>,
    /// When the list is longer than this, dead leaves are removed.
    limit: usize,
}

/// Notes that the picture may not be true any more.
#[inline]
pub(super) fn changed() {
    if TRUE.load(Ordering::Relaxed) {
        end();
    }
}

/// Ends the use of the picture.
#[cold]
pub fn end() {
    TRUE.store(false, Ordering::Release);
}

/// Whether a picture may be shown.
#[must_use]
#[inline]
pub fn is_true() -> bool {
    TRUE.load(Ordering::Acquire) && RUNNING.load(Ordering::Acquire) == 0
}

/// Marks a thread that runs without the collector's lock. It is made and dropped while this thread holds the lock, or while no other thread
/// can collect.
#[derive(Debug)]
pub struct Running(());

/// See [`Running`].
#[must_use]
#[inline]
pub fn running() -> Running {
    RUNNING.fetch_add(1, Ordering::AcqRel);
    Running(())
}

impl Drop for Running {
    #[inline]
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::AcqRel);
    }
}

/// In a forked child no other thread runs.
pub fn forget_running() {
    RUNNING.store(0, Ordering::Release);
}

/// Includes a leaf in pictures from now on.
pub(super) fn add_leaf(leaf: &Arc<Leaf>) {
    at_fork(AtFork::Leaves, &LEAVES);
    let mut leaves = LEAVES.lock();
    if leaves.all.len() >= leaves.limit {
        leaves.all.retain(|leaf| leaf.strong_count() > 0);
        leaves.limit = 64 + 2 * leaves.all.len();
    }
    alloc_check::push(&mut leaves.all, Arc::downgrade(leaf));
}

/// Takes a picture, which is true until something changes. `None` when no cycle can lead through the tape, or while a thread runs without
/// the collector's lock.
#[must_use]
pub fn picture() -> Option<Picture> {
    // From here on every change is noticed, by whichever thread.
    TRUE.store(true, Ordering::SeqCst);
    let known: Vec<Arc<Leaf>> = alloc_check::collect(LEAVES.lock().all.iter().filter_map(Weak::upgrade));
    let mut picture = Picture::default();
    // Leaves and the numbers of their entries; the leaves are held until their entries are filled in.
    let mut leaves = alloc_check::with_capacity(known.len());
    for leaf in known {
        picture.insert_leaf(leaf, &mut leaves);
    }
    {
        let arena = arena::look();
        if leaves.is_empty() && !arena.has_fallible() {
            end();
            return None;
        }
        for (id, node) in arena.nodes() {
            picture.add_node(id, node, &mut leaves);
        }
    }
    for (at, leaf) in &leaves {
        picture.fill_leaf(*at, leaf);
    }
    drop(leaves);
    is_true().then_some(picture)
}

/// Inserts into a map; unwinds with an error when there is no memory for it.
fn insert(map: &mut HashMap<u64, usize>, key: u64, value: usize) {
    if map.try_reserve(1).is_err() {
        alloc_check::raise(alloc_check::exhausted("gc"));
    }
    map.insert(key, value);
}

impl Picture {
    /// All nodes and leaves of the picture.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of a value's edge, if the picture has it.
    #[must_use]
    pub fn of_edge(&self, edge: &Edge) -> Option<usize> {
        match edge {
            Edge::None | Edge::Lifted(_) => None,
            Edge::Leaf(leaf) => self.of_leaf(leaf),
            Edge::Node { node, .. } => self.nodes.get(&node.id()).copied(),
        }
    }

    /// The entry of a leaf, if the picture has it.
    #[must_use]
    pub fn of_leaf(&self, leaf: &Leaf) -> Option<usize> {
        self.leaves.get(&leaf.id()).copied()
    }

    fn insert_leaf(&mut self, leaf: Arc<Leaf>, leaves: &mut Vec<(usize, Arc<Leaf>)>) -> usize {
        let at = self.entries.len();
        insert(&mut self.leaves, leaf.id(), at);
        alloc_check::push(&mut self.entries, Entry { leaf: Some(Arc::downgrade(&leaf)), ..Entry::default() });
        alloc_check::push(leaves, (at, leaf));
        at
    }

    /// The entry of an input. A leaf gets one here if its gradient has got a history meanwhile.
    fn of_input(&mut self, leaf: &Arc<Leaf>, leaves: &mut Vec<(usize, Arc<Leaf>)>) -> Option<usize> {
        self.of_leaf(leaf).or_else(|| {
            let mut leads = false;
            leaf.show_to(|_, grad, _| leads = grad.is_some_and(|grad| grad.is_shown()));
            leads.then(|| self.insert_leaf(Arc::clone(leaf), leaves))
        })
    }

    /// Adds a node that holds objects or refers to an entry. Its inputs are older, so they were added before.
    fn add_node(&mut self, id: u64, node: &Node, leaves: &mut Vec<(usize, Arc<Leaf>)>) {
        let mut entry = Entry { refs: node.refs as usize, ..Entry::default() };
        if node.inputs.len() > 2 {
            alloc_check::reserve_small(&mut entry.targets, node.inputs.len());
        }
        for input in &node.inputs {
            entry.targets.extend(match input {
                Input::None | Input::Number(_) => None,
                Input::Leaf(leaf) => self.of_input(leaf, leaves),
                Input::Node { id, .. } => self.nodes.get(id).copied(),
            });
        }
        match &node.attrs {
            Attrs::Custom(rule) => entry.objects.push(Object::Rule(Arc::clone(rule))),
            Attrs::Set(set) if node.op.has_callback => entry.objects.push(Object::Attrs(Arc::clone(set))),
            Attrs::None | Attrs::Set(_) | Attrs::Freed(_) => {}
        }
        if let Some(extra) = &node.extra {
            entry.targets.extend(extra.retained.iter().filter_map(|(_, leaf)| self.of_leaf(leaf)));
            entry.objects.extend(extra.hooks.iter().map(|(_, _, hook)| Object::Hook(Arc::clone(hook))));
        }
        if !(entry.targets.is_empty() && entry.objects.is_empty()) {
            insert(&mut self.nodes, id, self.entries.len());
            alloc_check::push(&mut self.entries, entry);
        }
    }

    /// Fills in the entry of a leaf. The caller holds one reference.
    fn fill_leaf(&mut self, at: usize, leaf: &Arc<Leaf>) {
        let mut entry = Entry { refs: Arc::strong_count(leaf) - 1, ..Entry::default() };
        let seen = leaf.show_to(|edge, grad, hooks| {
            entry.targets.extend(self.of_edge(edge));
            entry.targets.extend(grad.and_then(|grad| self.of_leaf(grad)));
            entry.objects.extend(hooks.map(|hook| Object::Hook(Arc::clone(hook))));
        });
        // Another thread holds the leaf's lock: count an external reference, which keeps the leaf alive.
        entry.refs += usize::from(!seen);
        entry.leaf = self.entries[at].leaf.take();
        self.entries[at] = entry;
    }
}
