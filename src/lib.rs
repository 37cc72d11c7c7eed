//! draft
#![deny(unsafe_code)]
pub mod array;
pub mod error;
pub mod kernel;
pub mod loss;
pub mod ops;
pub mod optim;
pub mod registry;
pub mod tape;
pub use error::{Error, Result};
