//! The arena: nodes in chunks, addressed by sequence number.
//!
//! Every node counts its handles and its consumers. When the count reaches zero, its contents are released at once, through an explicit
//! work list. A chunk is released with its last node. Plain data is dropped under the lock, everything else outside it.

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

/// Nodes per chunk.
const CHUNK: usize = 1024;
/// Empty chunks kept for reuse.
const SPARE: usize = 4;

struct Chunk {
    /// All slots of the chunk, live or not. A released node leaves an empty one in its slot.
    nodes: Box<[Node]>,
    live: usize,
    reached: SlotSet,
}

impl Chunk {
    /// A chunk of empty nodes; an error when there is no memory for it.
    fn new() -> Result<Self> {
        let mut nodes = Vec::new();
        alloc_check::try_reserve("record", &mut nodes, CHUNK)?;
        nodes.resize_with(CHUNK, Node::default);
        Ok(Self { nodes: nodes.into_boxed_slice(), live: 0, reached: SlotSet::default() })
    }
}

/// A set of slots of a chunk, one bit each.
#[derive(Default)]
struct SlotSet {
    words: [u64; CHUNK / 64],
    /// Which of the words are not zero.
    occupied: u16,
}

impl SlotSet {
    fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// Adds a slot; true when it was not in the set.
    #[inline]
    fn insert(&mut self, at: usize) -> bool {
        let (word, bit) = (&mut self.words[at / 64], 1 << (at % 64));
        let new = *word & bit == 0;
        *word |= bit;
        self.occupied |= 1 << (at / 64);
        new
    }

    /// Removes the last slot and returns it.
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
    /// Chunks with nodes that a backward pass has reached and not yet visited, except the current one.
    reached: BinaryHeap<u64>,
    /// The chunk whose nodes the pass visits now.
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

/// Locks the arena. The holder runs no user code, waits for no other lock, and drops plain data only.
#[inline]
pub(super) fn lock() -> ShortMutexGuard<'static, Arena> {
    gc::changed();
    ARENA.lock()
}

/// Locks the arena for reading only.
pub(super) fn look() -> impl std::ops::Deref<Target = Arena> {
    ARENA.lock()
}

impl Arena {
    /// The number of the next node.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Makes room for the next node, with these numbers of inputs, saved arrays and outputs.
    ///
    /// # Errors
    /// `Memory` when there is no memory for it; nothing has changed then.
    #[inline]
    pub(super) fn make_room(&mut self, inputs: usize, saved: usize, outs: usize) -> Result<()> {
        if self.place(self.next).0 == self.chunks.len() {
            self.extend()?;
        }
        if inputs > 2 || saved > 2 || outs > 1 { self.widen(inputs, saved, outs) } else { Ok(()) }
    }

    /// Makes room in the slot of the next node.
    #[cold]
    fn widen(&mut self, inputs: usize, saved: usize, outs: usize) -> Result<()> {
        let node = self.node_mut(self.next);
        alloc_check::try_reserve_small("record", &mut node.inputs, inputs)?;
        alloc_check::try_reserve_small("record", &mut node.outs, outs)?;
        node.saved.try_reserve(saved)
    }

    /// A new node with one handle, to be filled in within its slot: nodes are large, and moving them takes measurable time.
    /// [`Arena::make_room`] must be called before, and [`Arena::count_fallible`] after when the node holds user objects.
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

    /// A backward pass reaches a node. Returns its number in the pass, which is `next` when the node is new. The pass holds the lock until
    /// [`Arena::newest_reached`] has returned all nodes, or calls [`Arena::forget_reached`].
    ///
    /// # Errors
    /// `Memory` when there is no memory to note the node.
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

    /// Notes a chunk whose first node was reached.
    #[cold]
    fn note_chunk(&mut self, number: u64) -> Result<()> {
        if self.reached.try_reserve(1).is_err() {
            let (c, _) = self.place(number * CHUNK as u64);
            self.chunk(c).reached = SlotSet::default();
            return Err(alloc_check::exhausted("backward"));
        }
        self.reached.push(number);
        Ok(())
    }

    /// Removes the newest node that was reached, and returns it. Inputs are older than the nodes that read them, so nodes that are reached
    /// later also come later.
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

    /// Forgets all nodes that were reached and not returned yet.
    #[cold]
    pub(super) fn forget_reached(&mut self) {
        while self.newest_reached().is_some() {}
    }

    #[inline]
    fn place(&self, id: u64) -> (usize, usize) {
        let chunk = id / CHUNK as u64 - self.first;
        (usize::try_from(chunk).unwrap_or(usize::MAX), usize::try_from(id % CHUNK as u64).unwrap_or(0))
    }

    /// The chunk in slot `c`, which is alive.
    #[inline]
    fn chunk(&mut self, c: usize) -> &mut Chunk {
        match self.chunks.get_mut(c) {
            Some(Some(chunk)) => chunk,
            _ => unreachable!("a counted node's chunk is alive"),
        }
    }

    /// A node, which is alive.
    #[inline]
    pub(super) fn node(&self, id: u64) -> &Node {
        let (c, i) = self.place(id);
        match self.chunks.get(c) {
            Some(Some(chunk)) => &chunk.nodes[i],
            _ => unreachable!("a counted node's chunk is alive"),
        }
    }

    /// A new handle to a node, which is alive.
    pub(super) fn count(&mut self, id: u64) -> NodeRef {
        self.node_mut(id).refs += 1;
        NodeRef(id)
    }

    /// A node, which is alive, to change.
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

    /// Whether a node is alive. Sequence numbers are never used twice.
    pub(super) fn is_alive(&self, id: u64) -> bool {
        let chunk = id / CHUNK as u64;
        if chunk < self.first {
            return false;
        }
        let (c, i) = self.place(id);
        matches!(self.chunks.get(c), Some(Some(chunk)) if chunk.nodes[i].refs > 0)
    }

    /// Updates the number of fallible nodes when a node's flag changes from `before` to `after`. A node is fallible when its rule or hooks
    /// run user code.
    pub(super) fn count_fallible(&mut self, before: bool, after: bool) {
        self.fallible = self.fallible + usize::from(after) - usize::from(before);
    }

    /// Whether any live node can raise an error of user code.
    pub(super) fn has_fallible(&self) -> bool {
        self.fallible > 0
    }

    /// Number of live nodes, and the bytes that they save.
    pub(super) fn totals(&self) -> (usize, usize) {
        let nodes = self.chunks.iter().flatten().flat_map(|c| c.nodes.iter());
        (self.live, nodes.map(Node::saved_bytes).sum())
    }

    /// Drops one reference to a node. If it was the last, the node is emptied and its inputs are added to `nodes` and `leaves`. A node that
    /// may hold user objects is returned instead, to be dropped outside the lock.
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
        // Also when there is no memory for its inputs: releasing a node must not fail.
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

    /// Drops one reference to a node and moves its contents to an empty node. If there are other references, only what a pass needs is
    /// moved, and the node counts as freed.
    ///
    /// # Errors
    /// `Freed` when the contents were taken before.
    #[inline]
    pub(super) fn take(&mut self, id: u64, to: &mut Node) -> Result<()> {
        let (c, i) = self.place(id);
        let node = &mut self.chunk(c).nodes[i];
        debug_assert!(node.refs > 0, "a counted node is alive");
        if node.freed {
            return Err(freed_error(node.name(), node.source()));
        }
        if node.refs > 1 {
            let before = node.is_fallible();
            *to = node.part()?;
            let after = node.is_fallible();
            self.count_fallible(before, after);
            return Ok(());
        }
        node.refs = 0;
        let fallible = node.is_fallible();
        std::mem::swap(to, node);
        self.fallible -= usize::from(fallible);
        self.leave(c);
        Ok(())
    }

    /// A node of chunk `c` was released.
    #[inline]
    fn leave(&mut self, c: usize) {
        self.live -= 1;
        let chunk = self.chunk(c);
        chunk.live -= 1;
        if chunk.live == 0 && self.first + (c as u64) < self.next / CHUNK as u64 {
            self.retire(c);
        }
    }

    /// Frees chunk `c`, which has no live nodes, and empty chunks at the front.
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

/// Drops one reference to a node. What that releases is dropped through a work list, without recursion along a chain.
pub(super) fn release(id: u64) {
    let mut work: SmallVec<[u64; 4]> = SmallVec::new();
    let mut next = Some(id);
    while let Some(id) = next {
        let mut leaves: SmallVec<[Arc<Leaf>; 2]> = SmallVec::new();
        // A statement of its own: the node and the leaves are dropped after the lock.
        let node = lock().release(id, &mut work, &mut leaves);
        if let Some(node) = node {
            if work.try_reserve(node.inputs.len()).is_ok() {
                node.consumed().for_each(|id| work.push(id));
            } else {
                // There is no memory for the list: release each input with a list of its own.
                node.consumed().for_each(release);
            }
        }
        drop(leaves);
        next = work.pop();
    }
}

/// Reports a new node to the observers of this thread.
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

/// A counted handle to a node.
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
    /// Another handle to a node that was computed from `root` by operations with one input each; `None` when one of them was freed.
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
        Some(arena.count(self.0))
    }
}

impl Clone for NodeRef {
    fn clone(&self) -> Self {
        lock().count(self.0)
    }
}

impl Drop for NodeRef {
    #[inline]
    fn drop(&mut self) {
        release(self.0);
    }
}
/// Whether a backward pass has freed what the node saved.
#[must_use]
pub fn is_freed(node: &NodeRef) -> bool {
    lock().node(node.id()).freed
}
