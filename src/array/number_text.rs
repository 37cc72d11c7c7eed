//! Numbers in files: finite ones as JSON numbers, which round-trip exactly; infinities and NaN, which JSON lacks, by name.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number in a file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Name(String),
}

/// Writes a number.
///
/// # Errors
/// Those of the serializer.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
pub fn serialize<S: Serializer>(x: &f64, to: S) -> Result<S::Ok, S::Error> {
    let x = *x;
    if x.is_finite() { Number::Finite(x) } else { Number::Name(x.to_string()) }.serialize(to)
}

/// Reads a number.
///
/// # Errors
/// For anything that is not a number.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    match Number::deserialize(from)? {
        Number::Finite(x) => Ok(x),
        Number::Name(name) => name.parse().map_err(serde::de::Error::custom),
    }
}
