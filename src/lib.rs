//! draft
#![deny(unsafe_code)]
pub mod array;
pub mod error;
pub mod kernel;
pub mod ops;
pub mod registry;
pub mod tape;
pub use error::{Error, Result};
