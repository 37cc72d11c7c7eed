//! The arena: chunks of nodes, addressed by sequence number.
//!
//! Every node counts its handles and its consumers. When the count reaches zero its contents go at once, through an
//! explicit work list, and a chunk goes with its last node. Plain data is dropped under the lock, everything else outside of it.

use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;

use super::inspect::{self, NodeInfo};
use super::leaf::Leaf;
use super::node::{Input, Node, freed_error};
use super::primitive::Primitive;
use super::variable::EdgeKey;
use super::{gc, mode};
use crate::array::{Array, alloc_check};
use crate::error::Result;
use crate::lock::{AtFork, ShortMutex, ShortMutexGuard, at_fork};

/// Nodes of a chunk.
const CHUNK: usize = 1024;
/// Empty chunks kept for reuse.
const SPARE: usize = 4;

struct Chunk {
    /// All of them: a node that ends leaves an empty one, to be filled in again.
    nodes: Box<[Node]>,
    live: usize,
    reached: Places,
}

impl Chunk {
    /// A chunk of empty nodes; an error when there is no memory for it.
    fn new() -> Result<Self> {
        let mut nodes = Vec::new();
        alloc_check::try_reserve("record", &mut nodes, CHUNK)?;
        nodes.resize_with(CHUNK, Node::default);
        Ok(Self { nodes: nodes.into_boxed_slice(), live: 0, reached: Places::default() })
    }
}

/// A set of places in a chunk, one bit each.
#[derive(Default)]
struct Places {
    words: [u64; CHUNK / 64],
    /// Which of the words are not zero.
    occupied: u16,
}

impl Places {
    fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// Adds a place; true when it is new.
    #[inline]
    fn insert(&mut self, at: usize) -> bool {
        let (word, bit) = (&mut self.words[at / 64], 1 << (at % 64));
        let new = *word & bit == 0;
        *word |= bit;
        self.occupied |= 1 << (at / 64);
        new
    }

    /// Takes the last place.
    #[inline]
    fn pop(&mut self) -> Option<usize> {
        let w = 15_usize.checked_sub(self.occupied.leading_zeros() as usize)?;
        let word = &mut self.words[w];
        let b = 63 - word.leading_zeros();
        *word &= !(1 << b);
        if *word == 0 {
            self.occupied &= !(1 << w);
        }
        Some(64 * w + b as usize)
    }
}

/// All nodes of the process.
pub(super) struct Arena {
    chunks: VecDeque<Option<Chunk>>,
    /// Sequence number of the first chunk's first node, in chunks.
    first: u64,
    next: u64,
    live: usize,
    fallible: usize,
    spare: Vec<Chunk>,
    /// Chunks with nodes that a backward pass has reached and not yet visited, but for the one it is at.
    reached: BinaryHeap<u64>,
    /// The chunk that the pass is at.
    current: u64,
}

static ARENA: ShortMutex<Arena> = ShortMutex::new(Arena {
    chunks: VecDeque::new(),
    first: 0,
    next: 0,
    live: 0,
    fallible: 0,
    spare: Vec::new(),
    reached: BinaryHeap::new(),
    current: u64::MAX,
});

/// The arena, locked. Its holder runs no code of the user's, waits for no other lock, and drops plain data only.
#[inline]
pub(super) fn lock() -> ShortMutexGuard<'static, Arena> {
    gc::changed();
    ARENA.lock()
}

/// The arena, locked to look at it alone.
pub(super) fn look() -> impl std::ops::Deref<Target = Arena> {
    ARENA.lock()
}

impl Arena {
    /// The number of the next node.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Makes room for the next node, with so many inputs, saved arrays and outputs.
    ///
    /// # Errors
    /// `Memory` when there is none; nothing has changed then.
    #[inline]
    pub(super) fn make_room(&mut self, inputs: usize, saved: usize, outs: usize) -> Result<()> {
        if self.place(self.next).0 == self.chunks.len() {
            self.extend()?;
        }
        if inputs > 2 || saved > 2 || outs > 1 { self.widen(inputs, saved, outs) } else { Ok(()) }
    }

    /// Makes room in the next node.
    #[cold]
    fn widen(&mut self, inputs: usize, saved: usize, outs: usize) -> Result<()> {
        let node = self.node_mut(self.next);
        alloc_check::try_reserve_small("record", &mut node.inputs, inputs)?;
        alloc_check::try_reserve_small("record", &mut node.outs, outs)?;
        node.saved.try_reserve(saved)
    }

    /// A new node with one handle, to be filled in where it stays: nodes are large, and moving them shows.
    /// [`Arena::make_room`] has come before, and [`Arena::count_fallible`] must follow when it holds user objects.
    #[inline]
    pub(super) fn vacant(&mut self, op: &'static Primitive) -> (u64, &mut Node) {
        let id = self.next;
        self.next += 1;
        self.live += 1;
        let (place, at) = self.place(id);
        let chunk = self.chunk(place);
        chunk.live += 1;
        let node = &mut chunk.nodes[at];
        (node.op, node.refs, node.freed) = (op, 1, false);
        (id, node)
    }

    #[cold]
    fn extend(&mut self) -> Result<()> {
        at_fork(AtFork::Arena, &ARENA);
        self.chunks.try_reserve(1).map_err(|_| alloc_check::exhausted("record"))?;
        let chunk = self.spare.pop().map_or_else(Chunk::new, Ok)?;
        self.chunks.push_back(Some(chunk));
        Ok(())
    }

    /// A backward pass reaches a node: its number in the pass, which is `next` when it is new. The pass holds the lock until
    /// [`Arena::newest_reached`] has returned all, or calls [`Arena::forget_reached`].
    ///
    /// # Errors
    /// `Memory` when the place cannot be noted.
    #[inline]
    pub(super) fn reach(&mut self, id: u64, next: u32) -> Result<u32> {
        let (c, i) = self.place(id);
        let number = id / CHUNK as u64;
        let current = self.current;
        let chunk = self.chunk(c);
        let first = chunk.reached.is_empty();
        if chunk.reached.insert(i) {
            chunk.nodes[i].number = next;
            if first && number != current {
                self.note_chunk(number)?;
            }
            return Ok(next);
        }
        Ok(chunk.nodes[i].number)
    }

    /// Notes a chunk of which the first node was reached.
    #[cold]
    fn note_chunk(&mut self, number: u64) -> Result<()> {
        if self.reached.try_reserve(1).is_err() {
            let (c, _) = self.place(number * CHUNK as u64);
            self.chunk(c).reached = Places::default();
            return Err(alloc_check::exhausted("backward"));
        }
        self.reached.push(number);
        Ok(())
    }

    /// Takes the newest of the nodes that were reached and not taken yet. Inputs are older than what was made of them: what is
    /// reached later comes later.
    #[inline]
    pub(super) fn newest_reached(&mut self) -> Option<u64> {
        loop {
            if self.current != u64::MAX {
                let (c, _) = self.place(self.current * CHUNK as u64);
                if let Some(i) = self.chunk(c).reached.pop() {
                    return Some(self.current * CHUNK as u64 + i as u64);
                }
            }
            let Some(next) = self.reached.pop() else {
                self.current = u64::MAX;
                return None;
            };
            self.current = next;
        }
    }

    /// Forgets all nodes that were reached and not taken yet.
    #[cold]
    pub(super) fn forget_reached(&mut self) {
        while self.newest_reached().is_some() {}
    }

    #[inline]
    fn place(&self, id: u64) -> (usize, usize) {
        let chunk = id / CHUNK as u64 - self.first;
        (usize::try_from(chunk).unwrap_or(usize::MAX), usize::try_from(id % CHUNK as u64).unwrap_or(0))
    }

    /// The chunk at place `c`, which lives.
    #[inline]
    fn chunk(&mut self, c: usize) -> &mut Chunk {
        match self.chunks.get_mut(c) {
            Some(Some(chunk)) => chunk,
            _ => unreachable!("a counted node's chunk is alive"),
        }
    }

    /// A node that is alive.
    #[inline]
    pub(super) fn node(&self, id: u64) -> &Node {
        let (c, i) = self.place(id);
        match self.chunks.get(c) {
            Some(Some(chunk)) => &chunk.nodes[i],
            _ => unreachable!("a counted node's chunk is alive"),
        }
    }

    /// A node that is alive, to change.
    #[inline]
    pub(super) fn node_mut(&mut self, id: u64) -> &mut Node {
        let (c, i) = self.place(id);
        &mut self.chunk(c).nodes[i]
    }

    /// All live nodes, oldest first.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (u64, &Node)> {
        let chunks = (self.first..).zip(&self.chunks).filter_map(|(c, chunk)| Some((c, chunk.as_ref()?)));
        let nodes = chunks.flat_map(|(c, chunk)| (c * CHUNK as u64..).zip(&chunk.nodes));
        nodes.filter(|(_, node)| node.refs > 0)
    }

    /// Whether a node still lives. Numbers are never given twice.
    pub(super) fn is_alive(&self, id: u64) -> bool {
        let chunk = id / CHUNK as u64;
        if chunk < self.first {
            return false;
        }
        let (c, i) = self.place(id);
        matches!(self.chunks.get(c), Some(Some(chunk)) if chunk.nodes[i].refs > 0)
    }

    /// A node's flag that its rule or hooks can raise is about to change or has changed.
    pub(super) fn count_fallible(&mut self, before: bool, after: bool) {
        self.fallible = self.fallible + usize::from(after) - usize::from(before);
    }

    /// Whether any live node can raise an error of the user's.
    pub(super) fn has_fallible(&self) -> bool {
        self.fallible > 0
    }

    /// Live nodes and the bytes they save.
    pub(super) fn totals(&self) -> (usize, usize) {
        let nodes = self.chunks.iter().flatten().flat_map(|c| c.nodes.iter());
        (self.live, nodes.map(Node::saved_bytes).sum())
    }

    /// Takes one count from a node. When that was the last it ends, and its inputs go to `nodes` and `leaves`; where it may hold objects
    /// of the user's it is returned, to end outside the lock.
    #[inline(always)]
    pub(super) fn release(&mut self, id: u64, nodes: &mut SmallVec<[u64; 4]>, leaves: &mut SmallVec<[Arc<Leaf>; 2]>) -> Option<Node> {
        let (c, i) = self.place(id);
        let node = &mut self.chunk(c).nodes[i];
        debug_assert!(node.refs > 0, "a counted node is alive");
        node.refs -= 1;
        if node.refs > 0 {
            return None;
        }
        let (fallible, count) = (node.is_fallible(), node.inputs.len());
        // Without memory for its inputs a node is returned, too: ending it must not fail.
        let plain = node.is_plain() && nodes.try_reserve(count).is_ok() && leaves.try_reserve(count).is_ok();
        if plain {
            for input in &mut node.inputs {
                match std::mem::replace(input, Input::None) {
                    Input::None | Input::Number(_) => {}
                    Input::Leaf(leaf) => leaves.push(leaf),
                    Input::Node { id, .. } => nodes.push(id),
                }
            }
        }
        let rest = if plain {
            node.clear();
            None
        } else {
            Some(std::mem::take(node))
        };
        self.fallible -= usize::from(fallible);
        self.leave(c);
        rest
    }

    /// Takes one count from a node, and its contents, to an empty one: whole when that was the last, else what a pass needs, and the node is freed.
    ///
    /// # Errors
    /// `Freed` when they have been taken before.
    #[inline]
    pub(super) fn take(&mut self, id: u64, to: &mut Node) -> Result<()> {
        let (c, i) = self.place(id);
        let node = &mut self.chunk(c).nodes[i];
        debug_assert!(node.refs > 0, "a counted node is alive");
        if node.freed {
            return Err(freed_error(node.name(), node.source()));
        }
        if node.refs > 1 {
            *to = node.part()?;
            return Ok(());
        }
        node.refs = 0;
        let fallible = node.is_fallible();
        std::mem::swap(to, node);
        self.fallible -= usize::from(fallible);
        self.leave(c);
        Ok(())
    }

    /// A node of chunk `c` has gone.
    #[inline]
    fn leave(&mut self, c: usize) {
        self.live -= 1;
        let chunk = self.chunk(c);
        chunk.live -= 1;
        if chunk.live == 0 && self.first + (c as u64) < self.next / CHUNK as u64 {
            self.retire(c);
        }
    }

    /// Frees chunk `c`, in which nothing lives, and what is empty at the front.
    #[cold]
    fn retire(&mut self, c: usize) {
        if let Some(chunk) = self.chunks[c].take()
            && self.spare.len() < SPARE
        {
            self.spare.push(chunk);
        }
        while matches!(self.chunks.front(), Some(None)) {
            self.chunks.pop_front();
            self.first += 1;
        }
    }
}

/// Takes one count from a node, and drops what ends, through a work list: no recursion along a chain.
pub(super) fn release(id: u64) {
    let mut work: SmallVec<[u64; 4]> = SmallVec::new();
    let mut next = Some(id);
    while let Some(id) = next {
        let mut leaves: SmallVec<[Arc<Leaf>; 2]> = SmallVec::new();
        // A statement of its own: what is returned ends outside the lock, and so do leaves.
        let node = lock().release(id, &mut work, &mut leaves);
        if let Some(node) = node {
            if work.try_reserve(node.inputs.len()).is_ok() {
                node.consumed().for_each(|id| work.push(id));
            } else {
                // Without memory for the list: each is released with a list of its own.
                node.consumed().for_each(release);
            }
        }
        drop(leaves);
        next = work.pop();
    }
}

/// Tells this thread's observers of a new node.
#[cold]
pub(super) fn notify_observers(node: &NodeRef, outs: &[Array]) {
    let values = mode::is_asked_for_values();
    let (info, leaves) = {
        let arena = lock();
        let node = arena.node(node.0);
        (NodeInfo::of(node), if values { inspect::leaves_of(node) } else { Vec::new() })
    };
    let outs = if values { outs.to_vec() } else { Vec::new() };
    mode::notify_observers(&NodeInfo { id: node.0, values: outs, leaves: inspect::values_of(&leaves), ..info });
}

/// A counted handle of a node.
#[derive(Debug, PartialEq, Eq)]
pub struct NodeRef(u64);

impl NodeRef {
    /// The node's sequence number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0
    }

    pub(super) fn from_counted(id: u64) -> Self {
        Self(id)
    }
}

impl NodeRef {
    /// Another handle of a node that was made of `root` by operations of one input each, unless one of them was freed.
    #[must_use]
    pub fn clone_unless_freed(&self, root: EdgeKey) -> Option<Self> {
        let mut arena = lock();
        let mut id = self.0;
        loop {
            let node = arena.node(id);
            if node.freed {
                return None;
            }
            match (node.inputs.first()?, root) {
                (Input::Node { id: from, .. }, EdgeKey::Node(end, _)) if *from == end => break,
                (Input::Node { id: from, .. }, _) => id = *from,
                (Input::Leaf(_), EdgeKey::Leaf(_)) => break,
                _ => return None,
            }
        }
        arena.node_mut(self.0).refs += 1;
        Some(Self(self.0))
    }
}

impl Clone for NodeRef {
    fn clone(&self) -> Self {
        lock().node_mut(self.0).refs += 1;
        Self(self.0)
    }
}

impl Drop for NodeRef {
    #[inline]
    fn drop(&mut self) {
        release(self.0);
    }
}
/// Whether a backward pass has used up what the node saved.
#[must_use]
pub fn is_freed(node: &NodeRef) -> bool {
    lock().node(node.id()).freed
}
