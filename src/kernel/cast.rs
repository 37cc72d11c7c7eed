//! Elements of one dtype as another.

use crate::array::{Array, DType, Element};
use crate::dispatch;
use crate::kernel::blocks::{self, Input};

/// `x` in `dtype`, converted as NumPy's `astype` does: integers wrap around, floats lose what follows the point, complex numbers
/// lose their imaginary part.
#[must_use]
pub fn cast(x: &Array, dtype: DType) -> Array {
    if x.dtype() == dtype {
        return x.clone();
    }
    let input = [Input::from(x)];
    dispatch!(x.dtype(), S => dispatch!(dtype, T => blocks::map(input, x.shape(), |[v]: [S; 1]| T::from_scalar(v.to_scalar()))))
}

/// Elements of a dtype without loops of its own as one that has them, in the same order: extrema are found and compared there.
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

/// Elements that [`to_core`] made, as `dtype` again.
#[must_use]
pub fn from_core(x: &Array, dtype: DType) -> Array {
    if dtype == DType::U64 && x.dtype() == DType::I64 { flip(x).turned_into(DType::U64) } else { cast(x, dtype) }
}

/// The order of uint64, by the order of int64: the sign is the highest bit, turned round.
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
