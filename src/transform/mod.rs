//! Transformations of functions: forward mode, batching, and gradients inside of both.
//!
//! A transformation acts at the gate ([`tape::apply`](crate::tape::apply)) while the function runs. The tape lies below all
//! of them: it records plain values only. A lifted value is dual (a value and its tangent) or batched (a value and its batch
//! axis), and the value inside may be lifted again by an outer transformation.

mod batching;
mod forward;
mod reverse;

use std::sync::atomic::{AtomicU64, Ordering};

pub use batching::{
    Outside, Randomness, active_mapping, batched, common, depth_of, drawn, drawn_shape, enter, is_mapping, leave, mapping_depth, suspend, unbatched,
    vmap,
};
pub use forward::{dual, jvp, split};
pub use reverse::{begin, end, grad, plain_roots, pull, vjp};

use smallvec::SmallVec;

use crate::error::{Error, Result};
use crate::tape::{AttrSet, Operand, Outputs, Primitive, Variable, apply_all};

/// A function of arrays.
pub type Function<'f> = &'f dyn Fn(&[Variable]) -> Result<Vec<Variable>>;

/// The results of a view primitive, computed for an array with shape and dtype of the input. They share its memory, so that a handle is
/// recognised as a view inside transformations, too.
///
/// # Errors
/// Those of the primitive.
fn views(p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Outputs> {
    let plain: SmallVec<[Option<Variable>; 3]> = inputs.iter().map(|i| i.variable().map(|v| v.array().clone().into())).collect();
    let operands: SmallVec<[Operand<'_>; 3]> = inputs.iter().zip(&plain).map(|(i, v)| v.as_ref().map_or(*i, Operand::Variable)).collect();
    apply_all(p, &operands, attrs)
}

/// The levels of active transformations. A value that is used after its transformation has ended was leaked.
static ACTIVE_LEVELS: std::sync::Mutex<std::collections::BTreeSet<u64>> = std::sync::Mutex::new(std::collections::BTreeSet::new());

fn levels() -> std::sync::MutexGuard<'static, std::collections::BTreeSet<u64>> {
    ACTIVE_LEVELS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Ends a level: its values can no longer be used.
pub fn end_level(level: u64) {
    levels().remove(&level);
}

/// # Errors
/// `Grad` when the transformation of that level has ended.
fn check_active(level: u64, op: &str) -> Result<()> {
    if levels().contains(&level) {
        return Ok(());
    }
    Err(Error::Grad(format!(
        "{op}: a value of a jvp or vmap was used after the function had returned; return it from the function instead of storing it elsewhere"
    )))
}

/// A level that was never used before and is above all active levels, so that perturbations of two calls are never confused.
#[must_use]
pub fn fresh_level() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let level = NEXT.fetch_add(1, Ordering::Relaxed);
    levels().insert(level);
    level
}
