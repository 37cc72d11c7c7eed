//! Transformations of functions: forward mode, batching, and gradients inside of both.
//!
//! A transformation acts at the gate ([`tape::apply`](crate::tape::apply)) while the function runs. The tape lies below all
//! of them: it records plain values only. A lifted value is dual (a value and its tangent) or batched (a value and its batch
//! axis), and the value inside may be lifted again by an outer transformation.

mod batching;
mod forward;
mod reverse;

use std::sync::atomic::{AtomicU64, Ordering};

pub use batching::vmap;
pub use forward::jvp;
pub use reverse::{grad, vjp};

use crate::error::Result;
use crate::tape::Variable;

/// A function of arrays.
pub type Function<'f> = &'f dyn Fn(&[Variable]) -> Result<Vec<Variable>>;

/// A level that was never used before, above all that are active: perturbations of two calls are never confused.
fn fresh_level() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
