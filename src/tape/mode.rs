//! The modes of a thread: whether it records, whether it looks for anomalies.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, OnceLock};

use super::inspect::NodeInfo;
use crate::array::alloc_check;

/// Operations are recorded.
const RECORDING: u8 = 1;
/// Gradients are checked for NaN.
const ANOMALY: u8 = 2;
/// Observers collect descriptions of nodes.
const WATCHED: u8 = 4;
/// Calls are kept with their values.
const TRACED: u8 = 8;

thread_local! {
    /// All modes that an operation checks, in one place: each read of a thread-local is a function call.
    static FLAGS: Cell<u8> = const { Cell::new(RECORDING) };
    static WATCHERS: RefCell<Vec<Watcher>> = const { RefCell::new(Vec::new()) };
}

fn has(flag: u8) -> bool {
    FLAGS.get() & flag != 0
}

/// Sets a flag and returns its old value.
fn switch(flag: u8, on: bool) -> bool {
    let old = FLAGS.get();
    FLAGS.set(if on { old | flag } else { old & !flag });
    old & flag != 0
}

static SOURCE: OnceLock<fn() -> Option<Arc<str>>> = OnceLock::new();

/// Whether operations on tracked values are recorded in this thread.
#[must_use]
#[inline]
pub fn is_recording() -> bool {
    has(RECORDING)
}

/// Turns recording on or off in this thread and returns whether it was on.
#[allow(clippy::must_use_candidate, reason = "it is called for its effect")]
pub fn set_recording(on: bool) -> bool {
    switch(RECORDING, on)
}

/// Whether this thread checks gradients for NaN.
#[must_use]
pub fn is_anomaly() -> bool {
    has(ANOMALY)
}

/// Turns the check of gradients for NaN on or off and returns whether it was on.
#[allow(clippy::must_use_candidate, reason = "it is called for its effect")]
pub fn set_anomaly(on: bool) -> bool {
    switch(ANOMALY, on)
}

/// Restores recording to what it was when it is dropped.
#[derive(Debug)]
pub struct RecordingGuard(bool);

/// Recording is `on` while the guard lives.
///
/// ```
/// use tapegrad::tape::{is_recording, recording};
/// let guard = recording(false);
/// assert!(!is_recording());
/// drop(guard);
/// assert!(is_recording());
/// ```
#[must_use]
pub fn recording(on: bool) -> RecordingGuard {
    RecordingGuard(set_recording(on))
}

impl Drop for RecordingGuard {
    fn drop(&mut self) {
        set_recording(self.0);
    }
}

/// Sets the function that finds the line of user code that is running.
pub fn set_source_provider(provider: fn() -> Option<Arc<str>>) {
    // A second instance of the module in the same process sets the same function.
    let _ = SOURCE.set(provider);
}

/// Whether the line that records is needed: finding it runs Python code.
#[must_use]
#[inline]
pub fn is_observed() -> bool {
    has(ANOMALY | WATCHED | TRACED)
}

/// The line of user code that is running.
#[cold]
pub(super) fn source() -> Option<Arc<str>> {
    SOURCE.get().and_then(|provider| provider())
}

/// What an [`observe`] has collected, and whether it includes values.
struct Watcher {
    seen: Vec<NodeInfo>,
    values: bool,
}

/// Begins to collect descriptions of the nodes that this thread records, with values if asked for.
pub fn observe(values: bool) {
    WATCHERS.with_borrow_mut(|w| w.push(Watcher { seen: Vec::new(), values }));
    switch(WATCHED, true);
}

/// Ends the innermost [`observe`] and returns what it collected.
pub fn unobserve() -> Vec<NodeInfo> {
    let seen = WATCHERS.with_borrow_mut(Vec::pop).map(|w| w.seen).unwrap_or_default();
    switch(WATCHED, WATCHERS.with_borrow(|w| !w.is_empty()));
    seen
}

/// [`is_recording`] and [`is_observed`] in one read.
#[inline]
pub(super) fn recording_and_observed() -> (bool, bool) {
    let flags = FLAGS.get();
    (flags & RECORDING != 0, flags & (ANOMALY | WATCHED | TRACED) != 0)
}

pub(super) fn is_traced() -> bool {
    has(TRACED)
}

pub(super) fn set_traced(on: bool) {
    switch(TRACED, on);
}

pub(super) fn is_observing() -> bool {
    has(WATCHED)
}

pub(super) fn notify_observers(info: &NodeInfo) {
    WATCHERS.with_borrow_mut(|all| {
        for w in all.iter_mut() {
            let (values, leaves) = if w.values { (info.values.clone(), info.leaves.clone()) } else { (Vec::new(), Vec::new()) };
            alloc_check::push(&mut w.seen, NodeInfo { values, leaves, ..info.clone() });
        }
    });
}

/// Whether an observer of this thread wants values.
pub(super) fn is_asked_for_values() -> bool {
    WATCHERS.with_borrow(|all| all.iter().any(|w| w.values))
}
