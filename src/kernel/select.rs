//! Selection between two operands by a condition: one pass, on several threads, with broadcasting.

use crate::array::{Array, Cursor, DType, PERIOD, Plain};
use crate::dispatch;
use crate::error::Result;
use crate::kernel::blocks::Input;
use crate::kernel::parallel;
use crate::kernel::simd::{self, Arch, Kernel};

/// Nanoseconds per element, approximately.
const COST: f64 = 0.3;

/// An operand, broadcast to the shape of the result.
enum Source<'a, T> {
    /// In row-major order.
    Slice(&'a [T]),
    /// The same everywhere.
    Number(T),
    /// Any other layout.
    Strided(Cursor, &'a [T]),
}

impl<'a, T: Plain> Source<'a, T> {
    fn of(a: &'a Array) -> Self {
        match a.as_slice() {
            Some(data) => Self::Slice(data),
            None if a.layout().is_number() => Self::Number(a.raw()[a.layout().offset()]),
            None => Self::Strided(Cursor::new(a.layout()), a.raw()),
        }
    }

    /// `n` elements from `at` on: in place, or gathered in `room`, which is filled with the number in advance.
    #[inline]
    fn piece<'b>(&'b self, at: usize, n: usize, room: &'b mut [T; PERIOD]) -> &'b [T] {
        match self {
            Self::Slice(data) => &data[at..at + n],
            Self::Number(_) => &room[..n],
            Self::Strided(cursor, data) => {
                cursor.read(data, at, &mut room[..n]);
                &room[..n]
            }
        }
    }

    /// A buffer for a piece, filled with the number.
    fn room(&self) -> [T; PERIOD] {
        if let Self::Number(x) = self { [*x; PERIOD] } else { [T::default(); PERIOD] }
    }
}

/// One piece.
struct Select<'a, T> {
    condition: &'a [bool],
    a: &'a [T],
    b: &'a [T],
    out: &'a mut [T],
}

impl<T: Plain> Kernel for Select<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self) {
        let n = self.out.len();
        let (condition, a, b, out) = (&self.condition[..n], &self.a[..n], &self.b[..n], &mut self.out[..n]);
        #[allow(clippy::needless_range_loop, reason = "with iterators the compiler makes a branch for each element")]
        for i in 0..n {
            out[i] = std::hint::select_unpredictable(condition[i], a[i], b[i]);
        }
    }
}

/// `a` where `condition` is true, else `b`. Arrays have dtype `dtype`, and all three broadcast to `shape`.
///
/// # Errors
/// `Shape` when one does not.
pub fn select(condition: &Array, a: Input<'_>, b: Input<'_>, shape: &[usize], dtype: DType) -> Result<Array> {
    let expand = |input: Input<'_>| match input {
        Input::Array(x) => x.broadcast_to("where", shape).map(Some),
        Input::Scalar(_) => Ok(None),
    };
    let condition = condition.broadcast_to("where", shape)?;
    let (wide_a, wide_b) = (expand(a)?, expand(b)?);
    let mut out = Array::empty(shape, dtype);
    dispatch!(bits dtype, T => {
        let (a, b) = (source::<T>(a, wide_a.as_ref(), dtype), source::<T>(b, wide_b.as_ref(), dtype));
        choose(&Source::of(&condition), &a, &b, out.data_mut());
    });
    Ok(out)
}

/// An operand, whose array has been broadcast.
fn source<'a, T: Plain>(input: Input<'_>, wide: Option<&'a Array>, dtype: DType) -> Source<'a, T> {
    match (input, wide) {
        (_, Some(wide)) => Source::of(wide),
        (Input::Array(a), None) => Source::Number(a.raw()[a.layout().offset()]),
        (Input::Scalar(s), None) => Source::Number(Array::full(&[], s, dtype).raw()[0]),
    }
}

fn choose<T: Plain>(condition: &Source<'_, bool>, a: &Source<'_, T>, b: &Source<'_, T>, out: &mut [T]) {
    parallel::for_each_chunk_mut(out, parallel::grain(out.len(), COST), |start, chunk| {
        let (mut room_c, mut room_a, mut room_b) = (condition.room(), a.room(), b.room());
        for (k, out) in chunk.chunks_mut(PERIOD).enumerate() {
            let (at, n) = (start + k * PERIOD, out.len());
            let (condition, a, b) = (condition.piece(at, n, &mut room_c), a.piece(at, n, &mut room_a), b.piece(at, n, &mut room_b));
            simd::dispatch(Select { condition, a, b, out });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Scalar;

    #[test]
    fn all_layouts_are_chosen_from() {
        let number = |shape: &[usize], first: i32| {
            let n = crate::array::size_of(shape);
            Array::from_slice(&(first..).take(n).collect::<Vec<_>>(), shape)
        };
        for (rows, columns) in [(0, 3), (1, 1), (3, 5), (70, 90), (300, 257)] {
            let shape = [rows, columns];
            let c = Array::from_slice(&(0..rows * columns).map(|i| i * 7 % 3 == 0).collect::<Vec<_>>(), &shape);
            let column = Array::from_slice(&(0..rows).map(|i| i % 2 == 0).collect::<Vec<_>>(), &[rows, 1]);
            let turned = number(&[columns, rows], 0);
            let turned = turned.with_layout(turned.layout().permute(&[1, 0]));
            let operands = [number(&shape, 5), number(&[columns], -9), number(&[rows, 1], 1), number(&[1, 1], 77), turned];
            for condition in [&c, &column] {
                let mask = condition.broadcast_to("test", &shape).unwrap().to_vec::<bool>();
                for (i, a) in operands.iter().enumerate() {
                    let b = &operands[(i + 3) % operands.len()];
                    let all = |x: &Array| x.broadcast_to("test", &shape).unwrap().to_vec::<i32>();
                    let want = |a: Vec<i32>, b: Vec<i32>| {
                        mask.iter().zip(a.into_iter().zip(b)).map(|(&m, (a, b))| if m { a } else { b }).collect::<Vec<_>>()
                    };
                    let got = select(condition, a.into(), b.into(), &shape, DType::I32).unwrap();
                    assert_eq!(got.to_vec::<i32>(), want(all(a), all(b)));
                    let got = select(condition, a.into(), Input::Scalar(Scalar::Int(4)), &shape, DType::I32).unwrap();
                    assert_eq!(got.to_vec::<i32>(), want(all(a), vec![4; rows * columns]));
                }
            }
        }
    }
}
