//! draft
#![deny(unsafe_code)]
pub mod array;
pub mod error;
