//! Automatic differentiation: a tape in an arena, SIMD kernels and gradient rules in one crate.
//!
//! # The rooms
//! Each room names only rooms below it.
//!
//! | room | what it knows |
//! |---|---|
//! | [`python`](self) | the Python module (feature `python`): conversions and bindings, no arithmetic |
//! | [`transform`] | forward mode and batching, at the gate, while a function runs: no primitive by name |
//! | [`registry`] | every operation and every primitive, a line a family |
//! | [`loss`], [`optim`] | losses, and whole-step fused updates of parameters |
//! | [`program`] | recorded calls as flat programs, run again without a tape or Python |
//! | [`ops`] | one block an operation: evaluation, gradient, tangent, batch, doc, samples |
//! | [`tape`] | [`Variable`](tape::Variable), [`Primitive`](tape::Primitive) and [`apply`](tape::apply), the arena of nodes, the backward pass: no operation by name |
//! | [`kernel`] | loops over slices: SIMD, threads, matrix products: no differentiation |
//! | [`array`](mod@array) | shapes, strides, dtypes, storage, the buffer pool: no arithmetic |
//! | [`error`], [`lock`] | what every room may name |
//!
//! # One backward pass
//! 1. `ops::multiply(&x, &w)` checks shapes and calls [`tape::apply`], the only gate, with the primitive `multiply`. Its evaluation
//!    writes the product into a pooled buffer.
//! 2. If an input is tracked, the gate appends a node: the primitive, its inputs' places, its attributes, and what its rule reads.
//!    If an input is dual or batched, its transformation runs the primitive instead.
//! 3. [`tape::backward`] marks from the root what it reaches; ids are in topological order, so nothing is sorted.
//! 4. From the newest node to the oldest, the operation's rule turns the cotangent into its inputs' gradients.
//! 5. An elementwise rule is one fused SIMD loop, in the cotangent's own buffer when that is unshared, or added to what
//!    its input has collected; the products of a matrix product are added there, too.
//! 6. A gradient of broadcast shape is summed down once, by the engine.
//! 7. The first gradient to arrive is moved, later ones of other rules are added in place.
//! 8. What a node saved goes back to the pool as soon as its rule has run.
//! 9. When all rules and hooks have run, leaves add what arrived to their `.grad`.
//! 10. With `create_graph` the same rule text runs on recorded values, so gradients have gradients.
//! 11. Parameters are unshared now: an optimizer overwrites them in place.
#![deny(unsafe_code)]

pub mod array;
pub mod error;
pub mod kernel;
pub mod lock;
pub mod loss;
pub mod ops;
pub mod optim;
pub mod program;
#[cfg(feature = "python")]
mod python;
pub mod registry;
pub mod tape;
pub mod transform;

pub use error::{Error, Result};
