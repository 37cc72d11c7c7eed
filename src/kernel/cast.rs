//! Conversion from one dtype to another.

use crate::array::{Array, BF16, DType, Element, F16, odd_f32};
use crate::dispatch;
use crate::kernel::blocks::{self, Input};

/// `x` in `dtype`, converted as by NumPy's `astype`: integers wrap around, floats lose their fraction, complex numbers lose their imaginary
/// part.
#[must_use]
pub fn cast(x: &Array, dtype: DType) -> Array {
    if x.dtype() == dtype {
        return x.clone();
    }
    let input = [Input::from(x)];
    let of_half = |x: &Array| cast(&from_half(x), dtype);
    dispatch!(number x.dtype(), S => {
        dispatch!(number dtype, T => blocks::map(input, x.shape(), |[v]: [S; 1]| T::from_scalar(v.to_scalar())), else to_half(x, dtype))
    }, else of_half(x))
}

/// 16-bit floats in float32.
fn from_half(x: &Array) -> Array {
    let input = [Input::from(x)];
    match x.dtype() {
        DType::F16 => blocks::map(input, x.shape(), |[v]: [F16; 1]| v.to_f32()),
        _ => blocks::map(input, x.shape(), |[v]: [BF16; 1]| v.to_f32()),
    }
}

/// `x` in a 16-bit dtype: rounded once, from float32 or float64.
fn to_half(x: &Array, dtype: DType) -> Array {
    let input = [Input::from(x)];
    match (x.dtype(), dtype) {
        (DType::F32, DType::F16) => blocks::map(input, x.shape(), |[v]: [f32; 1]| F16::from_f32(v)),
        (DType::F32, _) => blocks::map(input, x.shape(), |[v]: [f32; 1]| BF16::from_f32(v)),
        (DType::F64, DType::F16) => blocks::map(input, x.shape(), |[v]: [f64; 1]| F16::from_f32(odd_f32(v))),
        (DType::F64, _) => blocks::map(input, x.shape(), |[v]: [f64; 1]| BF16::from_f32(odd_f32(v))),
        (DType::C64, _) => cast(&cast(x, DType::F32), dtype),
        _ => cast(&cast(x, DType::F64), dtype),
    }
}

/// Runs `f` in float32 on `target` and `values`, which have a 16-bit dtype.
#[cold]
pub fn in_single(target: &mut Array, values: &Array, f: impl FnOnce(&mut Array, &Array)) {
    let mut wide = cast(target, DType::F32);
    f(&mut wide, &cast(values, DType::F32));
    *target = cast(&wide, target.dtype());
}

/// Elements of a dtype without loops of its own, in a dtype that has loops and with the same order. Extrema are found in that dtype.
/// [`from_core`] is the inverse.
#[must_use]
pub fn to_core(x: &Array) -> Array {
    match x.dtype() {
        DType::I8 | DType::I16 | DType::U16 => cast(x, DType::I32),
        DType::U32 => cast(x, DType::I64),
        DType::U64 => flip(&x.seen_as(DType::I64)),
        _ => x.clone(),
    }
}

/// Elements from [`to_core`], converted back to `dtype`.
#[must_use]
pub fn from_core(x: &Array, dtype: DType) -> Array {
    if dtype == DType::U64 && x.dtype() == DType::I64 { flip(x).turned_into(DType::U64) } else { cast(x, dtype) }
}

/// Maps uint64 to int64 so that the order is preserved: flips the highest bit.
fn flip(x: &Array) -> Array {
    blocks::map([Input::from(x)], x.shape(), |[v]: [i64; 1]| v ^ i64::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_dtypes_keep_the_order() {
        let x = Array::from_slice(&[0_u64, u64::MAX, 1 << 63, 7], &[4]);
        let core = to_core(&x).to_vec::<i64>();
        assert!(core[0] < core[3] && core[3] < core[2] && core[2] < core[1]);
        assert_eq!(from_core(&to_core(&x), DType::U64).to_vec::<u64>(), x.to_vec::<u64>());
        let y = Array::from_slice(&[-3_i8, 4], &[2]);
        assert_eq!(from_core(&to_core(&y), DType::I8).to_vec::<i8>(), [-3, 4]);
    }

    #[test]
    fn casts_wrap_and_cut() {
        let x = Array::from_slice(&[300_i64, -1], &[2]);
        assert_eq!(cast(&x, DType::U8).to_vec::<u8>(), [44, 255]);
        assert_eq!(cast(&x, DType::U64).to_vec::<u64>(), [300, u64::MAX]);
        let z = cast(&x, DType::C64);
        assert_eq!(cast(&z, DType::I16).to_vec::<i16>(), [300, -1]);
    }
}
