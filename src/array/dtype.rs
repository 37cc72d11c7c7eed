//! Element types: the runtime tag, the Rust types behind it, promotion, and the one dispatch macro.

use std::fmt;

use crate::error::{Error, Result};

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DType {
    /// One byte, `false` or `true`.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

impl DType {
    /// All dtypes, in the order of promotion.
    pub const ALL: [Self; 6] = [Self::Bool, Self::U8, Self::I32, Self::I64, Self::F32, Self::F64];

    /// NumPy's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "uint8",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    /// The dtype of that name, as NumPy or the array API spell it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }

    /// Bytes of one element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 => 1,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    /// Floating dtypes are the ones that can require gradients.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }

    /// Signed or unsigned integers; `bool` is not one.
    #[must_use]
    pub const fn is_integer(self) -> bool {
        matches!(self, Self::U8 | Self::I32 | Self::I64)
    }

    /// Fails unless an integer of this dtype can be `value`.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn check_integer(self, op: &str, value: i128) -> Result<()> {
        match self.bounds() {
            Some((low, high)) if !(low..=high).contains(&value) => {
                Err(Error::Overflow(format!("{op}: {value} is out of bounds for {self}, which holds {low} to {high}")))
            }
            _ => Ok(()),
        }
    }

    /// The smallest and the largest number of an integer dtype.
    const fn bounds(self) -> Option<(i128, i128)> {
        match self {
            Self::U8 => Some((0, u8::MAX as i128)),
            Self::I32 => Some((i32::MIN as i128, i32::MAX as i128)),
            Self::I64 => Some((i64::MIN as i128, i64::MAX as i128)),
            Self::Bool | Self::F32 | Self::F64 => None,
        }
    }

    /// The dtype of an operation on both, as NumPy's `result_type`.
    ///
    /// ```
    /// use tapegrad::array::DType;
    /// assert_eq!(DType::F32.promote(DType::I64), DType::F64);
    /// assert_eq!(DType::U8.promote(DType::F32), DType::F32);
    /// ```
    #[must_use]
    pub const fn promote(self, other: Self) -> Self {
        let (low, high) = if (self as u8) < (other as u8) { (self, other) } else { (other, self) };
        match (low, high) {
            // A 32-bit float cannot hold every 32-bit integer: NumPy goes to 64 bits.
            (Self::I32 | Self::I64, Self::F32) => Self::F64,
            _ => high,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A Python number: weakly typed, so that the array beside it decides the dtype (NEP 50).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// `True` or `False`.
    Bool(bool),
    /// A Python `int`.
    Int(i64),
    /// A Python `float`.
    Float(f64),
}

impl Scalar {
    /// The value as a double.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "the conversion that NumPy makes too")]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Bool(b) => f64::from(u8::from(b)),
            Self::Int(i) => i as f64,
            Self::Float(x) => x,
        }
    }

    /// Whether an array of `dtype` can hold the number; a float loses what follows the point.
    ///
    /// # Errors
    /// `Overflow` when an integer dtype's range ends before it, `Value` for NaN among integers.
    ///
    /// ```
    /// use tapegrad::array::{DType, Scalar};
    /// assert!(Scalar::Int(255).check("full", DType::U8).is_ok());
    /// assert!(Scalar::Int(256).check("full", DType::U8).is_err());
    /// ```
    #[allow(clippy::cast_possible_truncation, reason = "no integer dtype reaches the ends of i128, where the cast saturates")]
    pub fn check(self, op: &str, dtype: DType) -> Result<()> {
        let Some((low, high)) = dtype.bounds() else { return Ok(()) };
        let (value, kind) = match self {
            Self::Bool(_) => return Ok(()),
            Self::Int(i) => (i128::from(i), "int"),
            Self::Float(x) if x.is_nan() => return Err(Error::Value(format!("{op}: NaN cannot be converted to {dtype}"))),
            Self::Float(x) => (x as i128, "float"),
        };
        if (low..=high).contains(&value) {
            return Ok(());
        }
        Err(Error::Overflow(format!("{op}: the Python {kind} {self} is out of bounds for {dtype}, which holds {low} to {high}")))
    }

    /// The dtype that an array of `dtype` and this number promote to.
    #[must_use]
    pub fn promote(self, dtype: DType) -> DType {
        match self {
            Self::Int(_) if dtype == DType::Bool => DType::I64,
            Self::Bool(_) | Self::Int(_) => dtype,
            Self::Float(_) if dtype.is_float() => dtype,
            Self::Float(_) => default_float(),
        }
    }

    /// The dtype of an array made from this number alone.
    #[must_use]
    pub fn dtype(self) -> DType {
        match self {
            Self::Bool(_) => DType::Bool,
            Self::Int(_) => DType::I64,
            Self::Float(_) => default_float(),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => f.write_str(if *b { "True" } else { "False" }),
            Self::Int(i) => i.fmt(f),
            Self::Float(x) => write!(f, "{x:?}"),
        }
    }
}

impl From<f64> for Scalar {
    fn from(x: f64) -> Self {
        Self::Float(x)
    }
}

impl From<i64> for Scalar {
    fn from(x: i64) -> Self {
        Self::Int(x)
    }
}

impl From<bool> for Scalar {
    fn from(x: bool) -> Self {
        Self::Bool(x)
    }
}

static DEFAULT_IS_F64: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// The dtype of what is made from Python numbers, and of integers in functions over the reals.
#[must_use]
pub fn default_float() -> DType {
    if DEFAULT_IS_F64.load(std::sync::atomic::Ordering::Relaxed) { DType::F64 } else { DType::F32 }
}

/// Sets [`default_float`]; `dtype` must be floating.
///
/// # Errors
/// `DType` when `dtype` is not floating.
pub fn set_default_float(dtype: DType) -> Result<()> {
    if !dtype.is_float() {
        return Err(Error::dtype("set_default_dtype", dtype, "float32 or float64"));
    }
    DEFAULT_IS_F64.store(dtype == DType::F64, std::sync::atomic::Ordering::Relaxed);
    Ok(())
}

/// A Rust type that arrays hold.
pub trait Element: Copy + Default + PartialOrd + Send + Sync + fmt::Debug + fmt::Display + 'static {
    /// Its tag.
    const DTYPE: DType;
    /// The number as this type: truncated or wrapped as NumPy's `astype` does.
    fn from_scalar(s: Scalar) -> Self;
    /// The value as a number.
    fn to_scalar(self) -> Scalar;
}

macro_rules! element {
    ($t:ty, $d:ident, $kind:ident, $wide:ty) => {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            clippy::cast_lossless,
            trivial_numeric_casts,
            reason = "astype's conversions"
        )]
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            fn from_scalar(s: Scalar) -> Self {
                match s {
                    Scalar::Bool(b) => u8::from(b) as Self,
                    Scalar::Int(i) => i as Self,
                    Scalar::Float(x) => x as Self,
                }
            }
            fn to_scalar(self) -> Scalar {
                Scalar::$kind(self as $wide)
            }
        }
    };
}
element!(u8, U8, Int, i64);
element!(i32, I32, Int, i64);
element!(i64, I64, Int, i64);
element!(f32, F32, Float, f64);
element!(f64, F64, Float, f64);

impl Element for bool {
    const DTYPE: DType = DType::Bool;
    fn from_scalar(s: Scalar) -> Self {
        match s {
            Scalar::Bool(b) => b,
            Scalar::Int(i) => i != 0,
            Scalar::Float(x) => x != 0.0,
        }
    }
    fn to_scalar(self) -> Scalar {
        Scalar::Bool(self)
    }
}

/// The one place where a runtime dtype becomes a Rust type.
///
/// `dispatch!(dtype, T => expr)` over all dtypes; `dispatch!(float dtype, T => expr, else fallback)`
/// over float32 and float64; `dispatch!(number …)` over all but bool; `dispatch!(integer …)` over the integers.
#[macro_export]
macro_rules! dispatch {
    (@arms $d:expr, $T:ident => $body:expr, [$($tag:ident $ty:ty),*] $(, $rest:pat => $other:expr)?) => {
        match $d {
            $($crate::array::DType::$tag => { type $T = $ty; $body })*
            $($rest => $other,)?
        }
    };
    (float $d:expr, $T:ident => $body:expr, else $other:expr) => {
        $crate::dispatch!(@arms $d, $T => $body, [F32 f32, F64 f64], _ => $other)
    };
    (integer $d:expr, $T:ident => $body:expr, else $other:expr) => {
        $crate::dispatch!(@arms $d, $T => $body, [U8 u8, I32 i32, I64 i64], _ => $other)
    };
    (number $d:expr, $T:ident => $body:expr, else $other:expr) => {
        $crate::dispatch!(@arms $d, $T => $body, [U8 u8, I32 i32, I64 i64, F32 f32, F64 f64], _ => $other)
    };
    ($d:expr, $T:ident => $body:expr) => {
        $crate::dispatch!(@arms $d, $T => $body, [Bool bool, U8 u8, I32 i32, I64 i64, F32 f32, F64 f64])
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promotion_is_numpys() {
        use DType::{Bool, F32, F64, I32, I64, U8};
        for (a, b, c) in [(Bool, U8, U8), (U8, I32, I32), (I32, I64, I64), (I32, F32, F64), (I64, F32, F64), (U8, F32, F32), (F32, F64, F64)] {
            assert_eq!(a.promote(b), c);
            assert_eq!(b.promote(a), c);
        }
        assert_eq!(Scalar::Float(1.0).promote(F32), F32);
        assert_eq!(Scalar::Int(1).promote(Bool), I64);
        assert_eq!(Scalar::Int(1).promote(U8), U8);
    }
}
