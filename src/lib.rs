//! draft
#![deny(unsafe_code)]
pub mod array;
pub mod error;
pub mod kernel;
pub mod tape;
pub mod ops;
pub mod registry;
pub use error::{Error, Result};
