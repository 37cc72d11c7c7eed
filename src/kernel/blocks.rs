//! The loop around every elementwise kernel: operands of any layout in, one contiguous result out.
//!
//! Contiguous operands are handed over whole; broadcast and strided ones are read a block at a time through a cursor
//! into a buffer that stays in the first-level cache. So a kernel sees nothing but slices of equal length.

use crate::array::{Array, Cursor, Element, Scalar, Shape, size_of};
use crate::kernel::parallel;

/// Elements of a block.
pub const BLOCK: usize = 512;
/// Elements of a block when there are few.
const SHORT: usize = 16;

/// An operand: an array, or a number that never becomes one.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// An array whose shape broadcasts to the result's.
    Array(&'a Array),
    /// The same number everywhere.
    Scalar(Scalar),
}

impl<'a> From<&'a Array> for Input<'a> {
    fn from(a: &'a Array) -> Self {
        Self::Array(a)
    }
}

enum Source<'a, T> {
    Slice(&'a [T]),
    Strided(Cursor, &'a [T]),
    Constant(T),
}

/// Equality of shapes: a loop of one or two steps, where `==` would call a function.
#[inline]
fn same(a: &[usize], b: &[usize]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x == y)
}

/// The elements of an array that needs no broadcasting and no gathering.
#[inline]
fn plain<'a, T: Element>(a: &'a Array, shape: &[usize]) -> Option<&'a [T]> {
    if same(a.shape(), shape) { a.as_slice() } else { None }
}

/// The operands as slices when there are few elements: what is left of [`zip`] when there is nothing to broadcast, to
/// gather or to share among threads. Numbers are written out into `room`.
#[inline]
fn few<'a, T: Element, const N: usize>(inputs: &[Input<'a>; N], shape: &[usize], room: &'a mut [[T; SHORT]; N]) -> Option<[&'a [T]; N]> {
    let n = size_of(shape);
    if n > BLOCK {
        return None;
    }
    let mut slices: [&[T]; N] = [&[]; N];
    for ((slice, input), room) in slices.iter_mut().zip(inputs).zip(room) {
        *slice = match input {
            Input::Array(a) => plain(a, shape)?,
            Input::Scalar(_) if n > SHORT => return None,
            Input::Scalar(s) => {
                room.fill(T::from_scalar(*s));
                &room[..n]
            }
        };
    }
    Some(slices)
}

impl<'a, T: Element> Source<'a, T> {
    fn new(input: Input<'a>, shape: &[usize]) -> Self {
        match input {
            Input::Scalar(s) => Self::Constant(T::from_scalar(s)),
            Input::Array(a) => {
                if let Some(data) = plain(a, shape) {
                    return Self::Slice(data);
                }
                match a.layout().broadcast_to("elementwise", shape) {
                    Ok(layout) => Self::Strided(Cursor::new(&layout), a.raw()),
                    Err(_) => unreachable!("operands are checked before a kernel runs"),
                }
            }
        }
    }

    /// The elements from `start` on, as many as `buffer` holds.
    fn block<'b>(&'b self, start: usize, buffer: &'b mut [T], fresh: bool) -> &'b [T] {
        match self {
            Self::Slice(data) => &data[start..start + buffer.len()],
            Self::Strided(cursor, data) => {
                cursor.read(data, start, buffer);
                buffer
            }
            Self::Constant(value) => {
                if fresh {
                    buffer.fill(*value);
                }
                buffer
            }
        }
    }
}

/// Calls `f` with blocks of the operands, broadcast to the shape of the result, and the place for their results.
/// `cost` is an estimate of nanoseconds an element.
pub fn zip<T: Element, O: Element, const N: usize>(
    inputs: [Input<'_>; N],
    shape: &[usize],
    cost: f64,
    f: impl Fn([&[T]; N], &mut [O]) + Sync,
) -> Array {
    if let Some(slices) = few(&inputs, shape, &mut [[T::default(); SHORT]; N]) {
        return Array::build(shape, |data: &mut [O]| f(slices, data));
    }
    let sources = inputs.map(|i| Source::<T>::new(i, shape));
    Array::build(shape, |data: &mut [O]| spread(&sources, data, cost, &f))
}

/// The whole result, on several threads when there is enough to do.
fn spread<T: Element, O: Send, const N: usize>(sources: &[Source<'_, T>; N], data: &mut [O], cost: f64, f: &(impl Fn([&[T]; N], &mut [O]) + Sync)) {
    if data.len() <= BLOCK {
        return run(sources, 0, data, f);
    }
    let grain = parallel::grain(data.len(), cost);
    parallel::for_each_chunk_mut(data, grain, |start, chunk| run(sources, start, chunk, f));
}

/// [`zip`] onto `target`, which is an operand as well as the result: `f` sees its old values in the last argument.
/// It is overwritten in place when nobody else holds it.
pub fn update<T: Element, const N: usize>(target: &mut Array, inputs: [Input<'_>; N], cost: f64, f: impl Fn([&[T]; N], &mut [T]) + Sync) {
    if let Some(slices) = few(&inputs, target.shape(), &mut [[T::default(); SHORT]; N]) {
        return f(slices, target.data_mut());
    }
    let shape = Shape::from_slice(target.shape());
    let sources = inputs.map(|i| Source::<T>::new(i, &shape));
    spread(&sources, target.data_mut::<T>(), cost, &f);
}

fn run<T: Element, O, const N: usize>(sources: &[Source<'_, T>; N], start: usize, out: &mut [O], f: &impl Fn([&[T]; N], &mut [O])) {
    if let Some(slices) = whole(sources, start, out.len()) {
        return f(slices, out);
    }
    // Clearing buffers costs more than a short loop does.
    if out.len() <= SHORT { by_blocks::<_, _, _, SHORT>(sources, start, out, f) } else { by_blocks::<_, _, _, BLOCK>(sources, start, out, f) }
}

fn by_blocks<T: Element, O, const N: usize, const B: usize>(
    sources: &[Source<'_, T>; N],
    start: usize,
    out: &mut [O],
    f: &impl Fn([&[T]; N], &mut [O]),
) {
    let mut buffers = [[T::default(); B]; N];
    for (k, chunk) in out.chunks_mut(B).enumerate() {
        let n = chunk.len();
        let mut i = 0;
        let blocks = buffers.each_mut().map(|buffer| {
            let block = sources[i].block(start + k * B, &mut buffer[..n], k == 0);
            i += 1;
            block
        });
        f(blocks, chunk);
    }
}

/// All operands as slices, when all are contiguous.
#[inline]
fn whole<'a, T, const N: usize>(sources: &[Source<'a, T>; N], start: usize, n: usize) -> Option<[&'a [T]; N]> {
    let mut slices: [&[T]; N] = [&[]; N];
    for (s, source) in slices.iter_mut().zip(sources) {
        match source {
            Source::Slice(data) => *s = &data[start..start + n],
            _ => return None,
        }
    }
    Some(slices)
}

/// Elementwise over any elements with a plain closure; the compiler vectorises what it can.
pub fn map<T: Element, O: Element, const N: usize>(inputs: [Input<'_>; N], shape: &[usize], f: impl Fn([T; N]) -> O + Sync) -> Array {
    zip(inputs, shape, 1.0, |inputs: [&[T]; N], out: &mut [O]| {
        let n = out.len();
        let inputs = inputs.map(|s| &s[..n]);
        for (i, o) in out.iter_mut().enumerate() {
            *o = f(inputs.map(|s| s[i]));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_of_any_layout_meet() {
        let a = Array::from_slice(&(0..1200).map(f64::from).collect::<Vec<_>>(), &[40, 30]);
        let t = a.with_layout(a.layout().permute(&[1, 0]));
        let row = Array::from_slice(&(0..40).map(f64::from).collect::<Vec<_>>(), &[40]);
        let out = map([Input::from(&t), Input::from(&row), Input::Scalar(Scalar::Float(0.5))], &[30, 40], |[x, y, c]: [f64; 3]| x + 10.0 * y + c);
        let want: Vec<f64> = t.to_vec::<f64>().iter().zip((0..40).cycle()).map(|(x, i)| x + 10.0 * f64::from(i) + 0.5).collect();
        assert_eq!(out.to_vec::<f64>(), want);
    }

    #[test]
    fn updating_keeps_other_holders() {
        let mut a = Array::from_slice(&[1.0_f32, 2.0], &[2]);
        let old = a.clone();
        update(&mut a, [Input::Scalar(Scalar::Float(3.0))], 1.0, |[s]: [&[f32]; 1], out| {
            out.iter_mut().zip(s).for_each(|(o, s)| *o *= s);
        });
        assert_eq!(a.to_vec::<f32>(), [3.0, 6.0]);
        assert_eq!(old.to_vec::<f32>(), [1.0, 2.0]);
        assert_eq!(size_of(&[]), 1);
    }
}
