//! Element types: the runtime tag, the Rust types behind it, promotion, and the one dispatch macro.

use std::fmt;

use num_complex::Complex;
use serde::{Deserialize, Serialize};

use super::bits::{Bits1, Bits2, Bits4, Bits8, Bits16};
use crate::error::{Error, Result};

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "&str", try_from = "String")]
#[repr(u8)]
pub enum DType {
    /// One byte, `false` or `true`.
    Bool,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// IEEE half precision, for storage: operations are made in single precision.
    F16,
    /// The upper half of a number of single precision, for storage.
    BF16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// A pair of single precision: real and imaginary part.
    C64,
    /// A pair of double precision: real and imaginary part.
    C128,
}

/// The kinds of dtypes, as in `isdtype` and NumPy's `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DKind {
    /// Truth values.
    Bool,
    /// Integers with a sign.
    Signed,
    /// Integers without a sign.
    Unsigned,
    /// Real floating point.
    Float,
    /// Complex floating point.
    Complex,
}

impl From<DType> for &'static str {
    fn from(d: DType) -> Self {
        d.name()
    }
}

impl TryFrom<String> for DType {
    type Error = String;

    fn try_from(name: String) -> std::result::Result<Self, String> {
        Self::from_name(&name).ok_or_else(|| format!("there is no dtype {name:?}"))
    }
}

impl DType {
    /// All dtypes, by kind, narrow ones first.
    pub const ALL: [Self; 15] = [
        Self::Bool,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::F16,
        Self::BF16,
        Self::F32,
        Self::F64,
        Self::C64,
        Self::C128,
    ];

    /// NumPy's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::C64 => "complex64",
            Self::C128 => "complex128",
        }
    }

    /// The dtype of that name, spelled as in NumPy or the array API.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }

    /// Bytes of one element.
    #[must_use]
    #[inline]
    pub const fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 | Self::BF16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 | Self::C64 => 8,
            Self::C128 => 16,
        }
    }

    /// The kind of number.
    #[must_use]
    pub const fn kind(self) -> DKind {
        match self {
            Self::Bool => DKind::Bool,
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => DKind::Signed,
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => DKind::Unsigned,
            Self::F16 | Self::BF16 | Self::F32 | Self::F64 => DKind::Float,
            Self::C64 | Self::C128 => DKind::Complex,
        }
    }

    /// Floating dtypes of 16 bits: arrays store them, and operations compute in float32.
    #[must_use]
    #[inline]
    pub const fn is_half(self) -> bool {
        matches!(self, Self::F16 | Self::BF16)
    }

    /// Real floating dtypes, including those of 16 bits.
    #[must_use]
    #[inline]
    pub const fn is_real_floating(self) -> bool {
        self.is_float() || self.is_half()
    }

    /// Real floating dtypes that have arithmetic: float32 and float64.
    #[must_use]
    #[inline]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }

    /// Complex dtypes.
    #[must_use]
    #[inline]
    pub const fn is_complex(self) -> bool {
        matches!(self, Self::C64 | Self::C128)
    }

    /// Real and complex floating dtypes: those that can require gradients.
    #[must_use]
    #[inline]
    pub const fn is_inexact(self) -> bool {
        self.is_real_floating() || self.is_complex()
    }

    /// Signed or unsigned integers; `bool` is not one.
    #[must_use]
    #[inline]
    pub const fn is_integer(self) -> bool {
        matches!(self.kind(), DKind::Signed | DKind::Unsigned)
    }

    /// The dtype of the parts of a complex dtype; any other dtype is returned as it is.
    #[must_use]
    pub const fn real(self) -> Self {
        match self {
            Self::C64 => Self::F32,
            Self::C128 => Self::F64,
            other => other,
        }
    }

    /// The complex dtype whose parts hold numbers of this dtype, as NumPy promotes it with complex64.
    #[must_use]
    pub const fn complex(self) -> Self {
        match self {
            Self::C64 | Self::F16 | Self::BF16 | Self::F32 | Self::Bool | Self::I8 | Self::U8 | Self::I16 | Self::U16 => Self::C64,
            _ => Self::C128,
        }
    }

    /// Fails unless an integer of this dtype can hold `value`.
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
    #[must_use]
    pub const fn bounds(self) -> Option<(i128, i128)> {
        let bits = 8 * self.size();
        match self.kind() {
            DKind::Signed => Some((-(1 << (bits - 1)), (1 << (bits - 1)) - 1)),
            DKind::Unsigned => Some((0, (1 << bits) - 1)),
            _ => None,
        }
    }

    /// The dtype of an operation on both, as NumPy's `result_type`: the smallest that holds the numbers of both, and float64 for uint64
    /// with a signed integer. As in PyTorch, float16 with bfloat16 gives float32, and integers do not change either of them.
    ///
    /// ```
    /// use tapegrad::array::DType;
    /// assert_eq!(DType::F32.promote(DType::I64), DType::F64);
    /// assert_eq!(DType::U8.promote(DType::I8), DType::I16);
    /// assert_eq!(DType::C64.promote(DType::F64), DType::C128);
    /// ```
    #[must_use]
    #[inline]
    pub const fn promote(self, other: Self) -> Self {
        if self as u8 == other as u8 { self } else { self.promote_different(other) }
    }

    const fn promote_different(self, other: Self) -> Self {
        if self.is_complex() || other.is_complex() {
            return self.real().promote_real(other.real()).complex();
        }
        self.promote_real(other)
    }

    const fn promote_real(self, other: Self) -> Self {
        let (low, high) = if (self.kind() as u8) < (other.kind() as u8) { (self, other) } else { (other, self) };
        let (narrow, wide) = if low.size() < high.size() { (low, high) } else { (high, low) };
        match (low.kind(), high.kind()) {
            (DKind::Signed, DKind::Unsigned) => match (low.size() > high.size(), high.size()) {
                (true, _) => low,
                (_, 1) => Self::I16,
                (_, 2) => Self::I32,
                (_, 4) => Self::I64,
                _ => Self::F64,
            },
            // Neither of the two holds all numbers of the other.
            (DKind::Float, DKind::Float) if low.is_half() && high.is_half() && low as u8 != high as u8 => Self::F32,
            // As in PyTorch, integers do not change a 16-bit floating dtype.
            (DKind::Bool | DKind::Signed | DKind::Unsigned, DKind::Float) if high.is_half() => high,
            // A 32-bit float cannot hold every 32-bit integer: NumPy goes to 64 bits.
            (DKind::Signed | DKind::Unsigned, DKind::Float) if low.size() > 2 => Self::F64,
            (DKind::Bool, _) | (DKind::Signed | DKind::Unsigned, DKind::Float) => high,
            _ if narrow.size() > wide.size() => narrow,
            _ => wide,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A Python number. It is weakly typed: the dtype of the array it meets decides (NEP 50).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// `True` or `False`.
    Bool(bool),
    /// A Python `int`.
    Int(i64),
    /// A Python `int` beyond int64 that uint64 can hold.
    UInt(u64),
    /// A Python `float`.
    Float(f64),
    /// A Python `complex`.
    Complex(Complex<f64>),
}

impl Scalar {
    /// Whether two numbers are of one kind and have the same bits, so that 0.0 and -0.0 differ. NaN is the same as NaN.
    #[must_use]
    pub fn is_same(self, other: Self) -> bool {
        let same = |x: f64, y: f64| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
        match (self, other) {
            (Self::Float(x), Self::Float(y)) => same(x, y),
            (Self::Complex(x), Self::Complex(y)) => same(x.re, y.re) && same(x.im, y.im),
            _ => self == other,
        }
    }

    /// The value as a double; the real part of a complex number.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "the conversion that NumPy makes too")]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Bool(b) => f64::from(u8::from(b)),
            Self::Int(i) => i as f64,
            Self::UInt(i) => i as f64,
            Self::Float(x) => x,
            Self::Complex(z) => z.re,
        }
    }

    /// The value as a complex number.
    #[must_use]
    pub fn as_complex(self) -> Complex<f64> {
        if let Self::Complex(z) = self { z } else { Complex::new(self.as_f64(), 0.0) }
    }

    /// Whether it is not zero.
    #[must_use]
    #[allow(clippy::float_cmp, reason = "the truth of a number")]
    pub fn is_true(self) -> bool {
        self.as_complex() != Complex::new(0.0, 0.0)
    }

    /// Fails unless an array of `dtype` can hold the number. Fractions are allowed: an integer array truncates them.
    ///
    /// # Errors
    /// `Overflow` when the number is outside the range of an integer dtype, `Value` for NaN and an integer dtype, `Type` for a complex
    /// number and a real dtype.
    ///
    /// ```
    /// use tapegrad::array::{DType, Scalar};
    /// assert!(Scalar::Int(255).check("full", DType::U8).is_ok());
    /// assert!(Scalar::Int(256).check("full", DType::U8).is_err());
    /// ```
    #[allow(clippy::cast_possible_truncation, reason = "no integer dtype reaches the ends of i128, where the cast saturates")]
    pub fn check(self, op: &str, dtype: DType) -> Result<()> {
        if let Self::Complex(_) = self
            && !dtype.is_complex()
        {
            return Err(Error::Type(format!(
                "{op}: the complex number {self} does not fit into {dtype}; use a complex dtype, or the number's .real"
            )));
        }
        let Some((low, high)) = dtype.bounds() else { return Ok(()) };
        let (value, kind) = match self {
            Self::Bool(_) | Self::Complex(_) => return Ok(()),
            Self::Int(i) => (i128::from(i), "int"),
            Self::UInt(i) => (i128::from(i), "int"),
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
            Self::UInt(_) if dtype == DType::Bool => DType::U64,
            Self::Bool(_) | Self::Int(_) | Self::UInt(_) => dtype,
            Self::Float(_) if dtype.is_inexact() => dtype,
            Self::Float(_) => default_float(),
            Self::Complex(_) if dtype.is_inexact() => dtype.complex(),
            Self::Complex(_) => default_float().complex(),
        }
    }

    /// The dtype of an array of this number beside arrays whose widest real floating dtype is `floating`: floats and complex numbers keep
    /// as many digits as those have.
    #[must_use]
    pub fn dtype_beside(self, floating: Option<DType>) -> DType {
        match (self, floating) {
            (Self::Float(_), Some(dtype)) => dtype,
            (Self::Complex(_), Some(dtype)) => dtype.complex(),
            _ => self.dtype(),
        }
    }

    /// The dtype of an array made from this number alone.
    #[must_use]
    pub fn dtype(self) -> DType {
        match self {
            Self::Bool(_) => DType::Bool,
            Self::Int(_) => DType::I64,
            Self::UInt(_) => DType::U64,
            Self::Float(_) => default_float(),
            Self::Complex(_) => default_float().complex(),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => f.write_str(if *b { "True" } else { "False" }),
            Self::Int(i) => i.fmt(f),
            Self::UInt(i) => i.fmt(f),
            Self::Float(x) => write!(f, "{x:?}"),
            Self::Complex(z) => write!(f, "({}{:+}j)", z.re, z.im),
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

impl From<Complex<f64>> for Scalar {
    fn from(z: Complex<f64>) -> Self {
        Self::Complex(z)
    }
}

impl From<bool> for Scalar {
    fn from(x: bool) -> Self {
        Self::Bool(x)
    }
}

static DEFAULT_IS_F64: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// The dtype of arrays made from Python floats, and of functions of integers whose results are real.
#[must_use]
#[inline]
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

/// A Rust type that arrays are read as: an [`Element`], or the bits of one.
pub trait Plain: Copy + Default + Send + Sync + 'static {
    /// A dtype whose arrays it reads. For an element its own dtype.
    const DTYPE: DType;
    /// Whether it reads arrays of `dtype`.
    fn reads(dtype: DType) -> bool;
}

/// A Rust type that arrays hold.
pub trait Element: Plain + PartialEq + fmt::Debug + fmt::Display {
    /// The type for moving it: one for all elements of its size.
    type Bits: Plain;
    /// Converts a number to this type, truncated or wrapped as by NumPy's `astype`.
    fn from_scalar(s: Scalar) -> Self;
    /// The value as a number.
    fn to_scalar(self) -> Scalar;
}

macro_rules! plain {
    ($($t:ty, $d:ident);*) => {
        $(impl Plain for $t {
            const DTYPE: DType = DType::$d;
            #[inline(always)]
            fn reads(dtype: DType) -> bool {
                dtype as u8 == DType::$d as u8
            }
        })*
    };
}
plain!(bool, Bool; i8, I8; i16, I16; i32, I32; i64, I64; u8, U8; u16, U16; u32, U32; u64, U64; f32, F32; f64, F64);
plain!(Complex<f32>, C64; Complex<f64>, C128);

macro_rules! element {
    ($t:ty, $bits:ty, $to:expr) => {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_possible_wrap,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            clippy::cast_lossless,
            trivial_numeric_casts,
            reason = "astype's conversions"
        )]
        impl Element for $t {
            type Bits = $bits;
            fn from_scalar(s: Scalar) -> Self {
                match s {
                    Scalar::Bool(b) => u8::from(b) as Self,
                    Scalar::Int(i) => i as Self,
                    Scalar::UInt(i) => i as Self,
                    Scalar::Float(x) => x as Self,
                    Scalar::Complex(z) => z.re as Self,
                }
            }
            fn to_scalar(self) -> Scalar {
                let to: fn($t) -> Scalar = $to;
                to(self)
            }
        }
    };
}
element!(i8, Bits1, |x| Scalar::Int(x.into()));
element!(i16, Bits2, |x| Scalar::Int(x.into()));
element!(i32, Bits4, |x| Scalar::Int(x.into()));
element!(i64, Bits8, Scalar::Int);
element!(u8, Bits1, |x| Scalar::Int(x.into()));
element!(u16, Bits2, |x| Scalar::Int(x.into()));
element!(u32, Bits4, |x| Scalar::Int(x.into()));
element!(u64, Bits8, |x| i64::try_from(x).map_or(Scalar::UInt(x), Scalar::Int));
element!(f32, Bits4, |x| Scalar::Float(x.into()));
element!(f64, Bits8, Scalar::Float);

impl Element for bool {
    type Bits = Bits1;
    fn from_scalar(s: Scalar) -> Self {
        s.is_true()
    }
    fn to_scalar(self) -> Scalar {
        Scalar::Bool(self)
    }
}

impl Element for Complex<f32> {
    type Bits = Bits8;
    #[allow(clippy::cast_possible_truncation, reason = "astype's conversion")]
    fn from_scalar(s: Scalar) -> Self {
        let z = s.as_complex();
        Self::new(z.re as f32, z.im as f32)
    }
    fn to_scalar(self) -> Scalar {
        Scalar::Complex(Complex::new(self.re.into(), self.im.into()))
    }
}

impl Element for Complex<f64> {
    type Bits = Bits16;
    fn from_scalar(s: Scalar) -> Self {
        s.as_complex()
    }
    fn to_scalar(self) -> Scalar {
        Scalar::Complex(self)
    }
}

/// The one place where a runtime dtype becomes a Rust type.
///
/// `dispatch!(dtype, T => expr)` over all dtypes; with one more word over some of them, and an expression for the others:
///
/// | word | dtypes |
/// |---|---|
/// | `float` | float32, float64 |
/// | `inexact` | these and the complex ones |
/// | `integer` | the signed and unsigned integers |
/// | `real` | all but the complex ones and the floating ones of 16 bits |
/// | `number` | all but the floating ones of 16 bits |
/// | `core` | bool, uint8, int32, int64, float32, float64: the ones that reductions and matrix products are compiled for |
///
/// `dispatch!(bits dtype, B => expr)` is for code that moves elements and does not look at them: one body for all dtypes of a size.
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
    (inexact $d:expr, $T:ident => $body:expr, else $other:expr) => {
        $crate::dispatch!(@arms $d, $T => $body,
            [F32 f32, F64 f64, C64 num_complex::Complex<f32>, C128 num_complex::Complex<f64>], _ => $other)
    };
    (integer $d:expr, $T:ident => $body:expr, else $other:expr) => {
        $crate::dispatch!(@arms $d, $T => $body, [I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64], _ => $other)
    };
    (core $d:expr, $T:ident => $body:expr, else $other:expr) => {
        $crate::dispatch!(@arms $d, $T => $body, [Bool bool, U8 u8, I32 i32, I64 i64, F32 f32, F64 f64], _ => $other)
    };
    (real $d:expr, $T:ident => $body:expr, else $other:expr) => {
        $crate::dispatch!(@arms $d, $T => $body,
            [Bool bool, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64, F32 f32, F64 f64], _ => $other)
    };
    (number $d:expr, $T:ident => $body:expr, else $other:expr) => {
        $crate::dispatch!(@arms $d, $T => $body,
            [Bool bool, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64, F32 f32, F64 f64,
             C64 num_complex::Complex<f32>, C128 num_complex::Complex<f64>], _ => $other)
    };
    (bits $d:expr, $T:ident => $body:expr) => {
        match $d.size() {
            1 => { type $T = $crate::array::Bits1; $body }
            2 => { type $T = $crate::array::Bits2; $body }
            4 => { type $T = $crate::array::Bits4; $body }
            8 => { type $T = $crate::array::Bits8; $body }
            _ => { type $T = $crate::array::Bits16; $body }
        }
    };
    ($d:expr, $T:ident => $body:expr) => {
        $crate::dispatch!(@arms $d, $T => $body,
            [Bool bool, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64, F16 $crate::array::F16, BF16 $crate::array::BF16,
             F32 f32, F64 f64, C64 num_complex::Complex<f32>, C128 num_complex::Complex<f64>])
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promotion_is_numpys() {
        use DType::{BF16, Bool, C64, C128, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
        for (a, b, c) in [
            (Bool, U8, U8),
            (U8, I32, I32),
            (I32, I64, I64),
            (I32, F32, F64),
            (I64, F32, F64),
            (U8, F32, F32),
            (F32, F64, F64),
            (I8, U8, I16),
            (I8, U16, I32),
            (I32, U32, I64),
            (I64, U64, F64),
            (I8, U64, F64),
            (U64, F32, F64),
            (I16, C64, C64),
            (I32, C64, C128),
            (F64, C64, C128),
            (C64, C128, C128),
            (U8, U64, U64),
            (Bool, C64, C64),
            (F16, BF16, F32),
            (F16, F32, F32),
            (BF16, F64, F64),
            (F16, I64, F16),
            (BF16, U64, BF16),
            (Bool, F16, F16),
            (F16, C64, C64),
            (BF16, C128, C128),
        ] {
            assert_eq!(a.promote(b), c);
            assert_eq!(b.promote(a), c);
        }
        assert_eq!(Scalar::Float(1.0).promote(F32), F32);
        assert_eq!(Scalar::Int(1).promote(Bool), I64);
        assert_eq!(Scalar::Int(1).promote(U8), U8);
    }
}
