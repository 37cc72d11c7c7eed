//! The one error type. Every message names the operation, what was given and what was expected.

use std::fmt;

/// What went wrong; the variant decides the Python exception class.
#[derive(Debug)]
pub enum Error {
    /// Shapes that do not fit each other or the operation (`ShapeError`, a `ValueError`).
    Shape(String),
    /// A dtype that the operation does not take (`DTypeError`, a `TypeError`).
    DType(String),
    /// An axis out of range or named twice (`AxisError`, both `ValueError` and `IndexError`).
    Axis(String),
    /// An index out of bounds (`IndexError`).
    Index(String),
    /// A value outside an argument's domain (`ValueError`).
    Value(String),
    /// More memory than there is (`MemoryError`).
    Memory(String),
    /// A number that a dtype cannot hold (`OverflowError`).
    Overflow(String),
    /// An argument of the wrong kind (`TypeError`).
    Type(String),
    /// Misuse of differentiation (`GradError`, a `RuntimeError`).
    Grad(String),
    /// A backward through a graph that an earlier backward has freed (`FreedError`, a `GradError`).
    Freed(String),
    /// A matrix that a factorisation cannot take: singular, not positive definite (`LinAlgError`, a `ValueError`).
    LinAlg(String),
    /// A name that does not exist (`KeyError`).
    Key(String),
    /// An error that a caller's own code raised, passed through unchanged.
    External(Box<dyn std::error::Error + Send + Sync>),
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(m)
            | Self::DType(m)
            | Self::Axis(m)
            | Self::Index(m)
            | Self::Value(m)
            | Self::Memory(m)
            | Self::Overflow(m)
            | Self::Type(m)
            | Self::Grad(m)
            | Self::Freed(m)
            | Self::LinAlg(m)
            | Self::Key(m) => f.write_str(m),
            Self::External(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// A shape as Python prints a tuple: `()`, `(3,)`, `(2, 3)`.
#[must_use]
pub fn show_shape(shape: &[usize]) -> String {
    if let [n] = shape {
        return format!("({n},)");
    }
    let inner: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("({})", inner.join(", "))
}

impl Error {
    /// Two shapes that `op` cannot broadcast together, with the first axis that differs.
    #[cold]
    #[must_use]
    pub fn broadcast(op: &str, a: &[usize], b: &[usize]) -> Self {
        let (n, m) = (a.len(), b.len());
        let clash = (1..=n.min(m))
            .find(|&i| a[n - i] != b[m - i] && a[n - i] != 1 && b[m - i] != 1)
            .map(|i| format!(": axis -{i} is {} on the left and {} on the right; sizes must be equal or 1", a[n - i], b[m - i]))
            .unwrap_or_default();
        Self::Shape(format!("{op}: shapes {} and {} do not broadcast together{clash}", show_shape(a), show_shape(b)))
    }

    /// `op` does not take `got`.
    #[cold]
    #[must_use]
    pub fn dtype(op: &str, got: impl fmt::Display, expected: &str) -> Self {
        Self::DType(format!("{op}: dtype {got} is not supported, expected {expected}"))
    }

    /// `axis` is not an axis of an array of `ndim` dimensions.
    #[cold]
    #[must_use]
    pub fn axis(op: &str, axis: isize, ndim: usize) -> Self {
        Self::Axis(format!("{op}: axis {axis} is out of bounds for an array of {ndim} dimension{}", if ndim == 1 { "" } else { "s" }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_names_the_axis() {
        let e = Error::broadcast("add", &[2, 3], &[4]);
        assert_eq!(
            e.to_string(),
            "add: shapes (2, 3) and (4,) do not broadcast together: axis -1 is 3 on the left and 4 on the right; sizes must be equal or 1"
        );
    }
}
