//! Handles from outside of a transformation that get a value inside of it, by a write in place: what they hold when it has ended.
//!
//! After a jvp such a handle keeps the value without the tangent. After a vmap it keeps a value that is the same for all samples;
//! where the samples differ it gets back what it held before, and the vmap raises.

use std::cell::RefCell;

use pyo3::prelude::*;

use super::bind::is_held_once;
use super::release::Held;
use super::variable::PyVariable;
use crate::tape::{Edge, Lift, Variable};
use crate::transform;

/// A handle that holds a value of a level, and what it held before.
struct Write {
    level: u64,
    handle: Held<PyVariable>,
    before: Variable,
}

thread_local! {
    static WRITES: RefCell<Vec<Write>> = const { RefCell::new(Vec::new()) };
}

/// The level of a value inside of a transformation.
fn level(v: &Variable) -> Option<u64> {
    if let Edge::Lifted(l) = v.edge() { Some(l.level) } else { None }
}

/// Puts `new`, which fits, into a handle that is no view, and remembers what was there.
pub fn put(handle: &Bound<'_, PyVariable>, new: Variable) {
    let at = level(&new);
    let Some(before) = handle.get().exchange(new) else { return };
    if let Some(level) = at.filter(|_| level(&before) < at) {
        let handle = Held::new(handle.clone().unbind());
        WRITES.with_borrow_mut(|all| all.push(Write { level, handle, before }));
    }
}

/// Ends a level for the handles that were written. True when one of them, which is still in use, would differ between the samples.
pub fn end(py: Python<'_>, level: u64) -> PyResult<bool> {
    let writes = WRITES.with_borrow_mut(|all| all.extract_if(.., |w| w.level >= level).collect::<Vec<_>>());
    let mut differs = false;
    for write in writes {
        differs |= write.end(py)?;
    }
    Ok(differs)
}

impl Write {
    fn end(self, py: Python<'_>) -> PyResult<bool> {
        let handle = self.handle.bind(py);
        if is_held_once(handle) {
            return Ok(false);
        }
        let now = handle.get().snapshot();
        let Some(l) = now.at_level(self.level) else { return Ok(false) };
        if let Lift::Dual(_) = l.kind {
            let value = l.value.clone();
            handle.get().exchange(self.before);
            put(handle, value);
            return Ok(false);
        }
        let common = transform::common(&l.value)?;
        drop(now);
        let differs = common.is_none();
        handle.get().exchange(common.unwrap_or(self.before));
        if !differs {
            return Ok(false);
        }
        // A handle of the function's own may wait for the collector.
        py.import("gc")?.call_method0("collect")?;
        Ok(!is_held_once(handle))
    }
}
