//! The loop around every elementwise kernel: operands of any layout in, one contiguous result out.
//!
//! Contiguous operands are passed whole, other operands row by row where rows are contiguous. All others are read block by block into a
//! buffer that stays in the first-level cache. So a kernel only sees slices.
//!
//! Formulas over floats have a loop of their own (`zip`). Code that must exist for every dtype shares one loop per element size: [`map`]
//! and [`update_with`] pass it a function of pieces.

#![allow(unsafe_code, reason = "pieces of bits seen as elements")]

use std::marker::PhantomData;

use crate::array::{
    Aligned, Array, Bands, Body, Cursor, DType, Element, Grid, Layout, PERIOD, Plain, Scalar, Shape, Strides, of_bits, of_bits_mut, same,
    size_of as size_of_shape, to_bits,
};
use crate::kernel::parallel;

/// Fewer elements than this are never shared among threads, whatever they cost.
const MIN_SHARED_LEN: usize = 512;
/// Elements of a small block.
const SMALL_BLOCK_LEN: usize = 16;

/// An operand: an array, or a number that is not converted to one.
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
    /// Any other layout.
    Strided(&'a Array),
    Constant(T),
}

/// The elements of an array that needs neither broadcasting nor gathering.
#[inline]
fn plain<'a, T: Plain>(a: &'a Array, shape: &[usize]) -> Option<&'a [T]> {
    if same(a.shape(), shape) { a.as_slice() } else { None }
}

/// Converts a number to an element.
type Number<T> = fn(Scalar) -> T;

/// Numbers repeated in a buffer, as far as a short loop reads them.
type Room<T, const N: usize> = Option<[[T; SMALL_BLOCK_LEN]; N]>;

/// The operands as slices if there are few elements for their `cost`: a shortcut of [`zip`] when there is nothing to broadcast, to gather
/// or to share among threads. Numbers are repeated in `room`, or written as one element if they are read `once`. Without numbers `room` is
/// not touched.
#[inline(always)]
fn few<'a, T: Plain, const N: usize>(
    inputs: &[Input<'a>; N],
    n: usize,
    cost: f64,
    once: bool,
    number: Number<T>,
    room: &'a mut Room<T, N>,
) -> Option<[&'a [T]; N]> {
    if n > MIN_SHARED_LEN && parallel::grain(n, cost) < n {
        return None;
    }
    let mut slices = [&[][..]; N];
    let mut numbers = false;
    for (slice, input) in slices.iter_mut().zip(inputs) {
        match input {
            // Shapes with the same number of elements that broadcast can only differ by axes of size one.
            Input::Array(a) => *slice = a.slice_of(n)?,
            Input::Scalar(_) => numbers = true,
        }
    }
    if numbers {
        let n = if once { 1 } else { n };
        if n > SMALL_BLOCK_LEN {
            return None;
        }
        let room = room.insert([[T::default(); SMALL_BLOCK_LEN]; N]);
        for ((slice, input), room) in slices.iter_mut().zip(inputs).zip(room) {
            if let Input::Scalar(s) = input {
                room.fill(number(*s));
                *slice = &room[..n];
            }
        }
    }
    Some(slices)
}

impl<'a, T: Plain> Source<'a, T> {
    fn new(input: Input<'a>, shape: &[usize], number: Number<T>) -> Self {
        match input {
            Input::Scalar(s) => Self::Constant(number(s)),
            Input::Array(a) => {
                if let Some(data) = plain(a, shape) {
                    return Self::Slice(data);
                }
                if a.size() == size_of_shape(shape)
                    && let Some(data) = a.as_slice()
                {
                    // Shapes with the same number of elements can only differ by axes of size one.
                    return Self::Slice(data);
                }
                if a.layout().is_number() { Self::Constant(a.raw()[a.layout().offset()]) } else { Self::Strided(a) }
            }
        }
    }

    /// The layout of the elements of [`Source::raw`].
    fn layout(&self, shape: &[usize]) -> Layout {
        match self {
            Self::Slice(_) => Layout::contiguous(shape),
            Self::Strided(a) => broadcast(a, shape),
            Self::Constant(_) => Layout::strided(shape, &Strides::from_elem(0, shape.len()), 0),
        }
    }

    fn raw(&self) -> &[T] {
        match self {
            Self::Slice(data) => data,
            Self::Strided(a) => a.raw(),
            Self::Constant(value) => std::slice::from_ref(value),
        }
    }
}

fn broadcast(a: &Array, shape: &[usize]) -> Layout {
    match a.layout().broadcast_to("elementwise", shape) {
        Ok(layout) => layout,
        Err(_) => unreachable!("operands are checked before a kernel runs"),
    }
}

/// Calls `body` with pieces of the operands, broadcast to the shape of the result, and with the piece of the result. A constant operand may
/// be passed as fewer elements than the piece of the result: as one if `body` reads such a number `once`, else as [`PERIOD`] elements that
/// are reused, as in [`in_step`]. `cost` is an estimate in nanoseconds per element.
pub(super) fn zip<T: Element, O: Element, const N: usize>(
    inputs: [Input<'_>; N],
    shape: &[usize],
    cost: f64,
    once: bool,
    body: &(dyn Body<T, O, N> + Sync),
) -> Array {
    let mut room = None;
    if let Some(slices) = few(&inputs, size_of_shape(shape), cost, once, T::from_scalar, &mut room) {
        return Array::build(shape, |data: &mut [O]| body.piece(&slices, data));
    }
    let sources = inputs.map(|i| Source::<T>::new(i, shape, T::from_scalar));
    Array::build(shape, |data: &mut [O]| run_parallel(&sources, shape, data, cost, once, body))
}

/// Calls `f` with pieces of equal length of operands, some of which may be reused periodically. `f` is inlined, so there is one copy of it.
#[inline(always)]
pub(super) fn in_step<T, O, const N: usize>(inputs: &[&[T]; N], out: &mut [O], mut f: impl FnMut(&[&[T]; N], &mut [O])) {
    let n = out.len();
    let width = if inputs.iter().all(|s| s.len() >= n) { n.max(1) } else { PERIOD };
    for (k, chunk) in out.chunks_mut(width).enumerate() {
        let (at, m) = (k * width, chunk.len());
        f(&inputs.map(|s| if s.len() < n { &s[..m] } else { &s[at..at + m] }), chunk);
    }
}

/// Computes the whole result, on several threads if there is enough work.
fn run_parallel<T: Plain, O: Send, const N: usize>(
    sources: &[Source<'_, T>; N],
    shape: &[usize],
    data: &mut [O],
    cost: f64,
    once: bool,
    body: &(dyn Body<T, O, N> + Sync),
) {
    if data.len() <= MIN_SHARED_LEN {
        return run(sources, shape, 0, data, once, body);
    }
    let grain = parallel::grain(data.len(), cost);
    if sources.iter().any(|s| matches!(s, Source::Strided(..))) {
        let (raw, layouts) = (sources.each_ref().map(Source::raw), sources.each_ref().map(|s| s.layout(shape)));
        if let Some(bands) = Bands::new(&layouts, size_of::<T>(), body.by_rows().is_some()) {
            let grain = grain.next_multiple_of(bands.pitch());
            return parallel::for_each_chunk_mut(data, grain, |start, chunk| bands.run(raw, start, chunk, body));
        }
        if let Some(grid) = Grid::new(&layouts) {
            let (grain, period) = (grain.next_multiple_of(grid.pitch()), if once { 1 } else { PERIOD });
            return parallel::for_each_chunk_mut(data, grain, |start, chunk| grid.run(raw, start, chunk, period, body));
        }
    }
    parallel::for_each_chunk_mut(data, grain, |start, chunk| run(sources, shape, start, chunk, once, body));
}

/// `zip` where `target` is both an operand and the result: `f` sees its old values in the last argument. An unshared target is
/// overwritten in place.
pub fn update<T: Element, const N: usize>(target: &mut Array, inputs: [Input<'_>; N], cost: f64, f: impl Fn(&[&[T]; N], &mut [T]) + Sync) {
    let mut room = None;
    if let Some(slices) = few(&inputs, target.size(), cost, false, T::from_scalar, &mut room) {
        return f(&slices, target.data_mut());
    }
    let shape = Shape::from_slice(target.shape());
    let sources = inputs.map(|i| Source::<T>::new(i, &shape, T::from_scalar));
    run_parallel(&sources, &shape, target.data_mut::<T>(), cost, false, &|inputs: &[&[T]; N], out: &mut [T]| in_step(inputs, out, &f));
}

fn run<T: Plain, O, const N: usize>(
    sources: &[Source<'_, T>; N],
    shape: &[usize],
    start: usize,
    out: &mut [O],
    once: bool,
    body: &dyn Body<T, O, N>,
) {
    let mut slices: [&[T]; N] = [&[]; N];
    let mut whole = true;
    for (s, source) in slices.iter_mut().zip(sources) {
        match source {
            Source::Slice(data) => *s = &data[start..start + out.len()],
            Source::Constant(value) if once => *s = std::slice::from_ref(value),
            _ => whole = false,
        }
    }
    // Clearing a large buffer takes longer than a short loop.
    match out.len() {
        _ if whole => body.piece(&slices, out),
        ..=SMALL_BLOCK_LEN => by_blocks::<_, _, _, SMALL_BLOCK_LEN>(sources, shape, start, out, body),
        _ => by_blocks::<_, _, _, PERIOD>(sources, shape, start, out, body),
    }
}

fn by_blocks<T: Plain, O, const N: usize, const B: usize>(
    sources: &[Source<'_, T>; N],
    shape: &[usize],
    start: usize,
    out: &mut [O],
    body: &dyn Body<T, O, N>,
) {
    let Aligned(buffers) = &mut Aligned([[T::default(); B]; N]);
    let mut cursors: [Option<Cursor>; N] = std::array::from_fn(|_| None);
    for ((source, cursor), buffer) in sources.iter().zip(&mut cursors).zip(buffers.iter_mut()) {
        match source {
            Source::Slice(_) => {}
            Source::Strided(a) => *cursor = Some(Cursor::new(&broadcast(a, shape))),
            Source::Constant(value) => buffer[..B.min(out.len())].fill(*value),
        }
    }
    let strided = cursors.iter().any(Option::is_some);
    let width = if strided { B } else { out.len().max(1) };
    for (k, chunk) in out.chunks_mut(width).enumerate() {
        let (at, n) = (start + k * width, chunk.len());
        for (i, buffer) in buffers.iter_mut().enumerate() {
            if let Some(cursor) = &cursors[i] {
                cursor.read(sources[i].raw(), at, &mut buffer[..n]);
            }
        }
        let pieces = std::array::from_fn(|i| match sources[i] {
            Source::Slice(data) => &data[at..at + n],
            _ => &buffers[i][..n.min(B)],
        });
        body.piece(&pieces, chunk);
    }
}

/// A function of pieces of elements, called with their bits.
struct Pieces<T, O, F> {
    f: F,
    kind: PhantomData<fn(T) -> O>,
}

impl<T: Element, O: Element, F: Fn(&[&[T]; N], &mut [O]), const N: usize> Body<T::Bits, O::Bits, N> for Pieces<T, O, F> {
    fn piece(&self, inputs: &[&[T::Bits]; N], out: &mut [O::Bits]) {
        // SAFETY: only `map` and `update_with` make these, and they check that the operands have `T`'s dtype and the result `O`'s.
        let (inputs, out) = unsafe { (inputs.map(|s| of_bits::<T>(s)), of_bits_mut::<O>(out)) };
        (self.f)(&inputs, out);
    }
}

/// Asserts that arrays among the operands have the dtype of `T`.
fn check_dtypes<T: Element>(inputs: &[Input<'_>]) {
    for input in inputs {
        if let Input::Array(a) = input {
            assert_eq!(a.dtype(), T::DTYPE, "operands are cast before a kernel runs");
        }
    }
}

/// Elementwise over any elements with a plain closure; the compiler vectorises what it can.
///
/// # Panics
/// When an array is not of `T`'s dtype: a bug of the caller.
pub fn map<T: Element, O: Element, const N: usize>(inputs: [Input<'_>; N], shape: &[usize], f: impl Fn([T; N]) -> O + Sync) -> Array {
    check_dtypes::<T>(&inputs);
    let f = |inputs: &[&[T]; N], out: &mut [O]| {
        in_step(inputs, out, |inputs, out| {
            for (i, o) in out.iter_mut().enumerate() {
                *o = f(inputs.map(|s| s[i]));
            }
        });
    };
    map_bits(inputs, shape, O::DTYPE, |s| to_bits(T::from_scalar(s)), &Pieces { f, kind: PhantomData })
}

/// The part of [`map`] that elements of the same sizes share.
fn map_bits<T: Plain, O: Plain, const N: usize>(
    inputs: [Input<'_>; N],
    shape: &[usize],
    dtype: DType,
    number: Number<T>,
    body: &(dyn Body<T, O, N> + Sync),
) -> Array {
    let mut out = Array::empty(shape, dtype);
    let data = out.data_mut::<O>();
    let mut room = None;
    if let Some(slices) = few(&inputs, data.len(), 0.5, false, number, &mut room) {
        body.piece(&slices, data);
        return out;
    }
    let sources = inputs.map(|i| Source::<T>::new(i, shape, number));
    run_parallel(&sources, shape, data, 0.5, false, body);
    out
}

/// [`update`] with a loop that all dtypes of a size share: `f` changes an element, given those of the operands.
///
/// # Panics
/// When an array is not of `T`'s dtype: a bug of the caller.
pub fn update_with<T: Element, const N: usize>(target: &mut Array, inputs: [Input<'_>; N], f: impl Fn(&mut T, [T; N]) + Sync) {
    check_dtypes::<T>(&inputs);
    assert_eq!(target.dtype(), T::DTYPE, "operands are cast before a kernel runs");
    let f = |inputs: &[&[T]; N], out: &mut [T]| {
        in_step(inputs, out, |inputs, out| {
            for (i, o) in out.iter_mut().enumerate() {
                f(o, inputs.map(|s| s[i]));
            }
        });
    };
    update_bits(target, inputs, |s| to_bits(T::from_scalar(s)), &Pieces { f, kind: PhantomData });
}

fn update_bits<T: Plain, const N: usize>(target: &mut Array, inputs: [Input<'_>; N], number: Number<T>, body: &(dyn Body<T, T, N> + Sync)) {
    let mut room = None;
    if let Some(slices) = few(&inputs, target.size(), 0.5, false, number, &mut room) {
        return body.piece(&slices, target.data_mut());
    }
    let shape = Shape::from_slice(target.shape());
    let sources = inputs.map(|i| Source::<T>::new(i, &shape, number));
    run_parallel(&sources, &shape, target.data_mut::<T>(), 0.5, false, body);
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these results are exact")]
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
    fn long_rows_meet_rows_columns_and_numbers() {
        let (rows, columns) = (7_u16, 1001_u16);
        let number = |n: u16| Array::from_slice(&(0..n).map(f32::from).collect::<Vec<_>>(), &[n.into()]);
        let (row, column) = (number(columns), number(rows).reshape(&[rows.into(), 1]).unwrap());
        let shape = [rows.into(), columns.into()];
        let out = map([Input::from(&column), Input::from(&row), Input::Scalar(Scalar::Float(0.5))], &shape, |[x, y, c]: [f32; 3]| 2000.0 * x + y + c);
        let want: Vec<f32> = (0..rows).flat_map(|i| (0..columns).map(move |j| 2000.0 * f32::from(i) + f32::from(j) + 0.5)).collect();
        assert_eq!(out.to_vec::<f32>(), want);
        let mut back = out.clone();
        update(&mut back, [Input::from(&column), Input::from(&row)], 1.0, |[x, y]: &[&[f32]; 2], out| {
            assert!(x.len() == out.len() && y.len() == out.len());
            out.iter_mut().zip(x.iter().zip(*y)).for_each(|(o, (x, y))| *o -= 2000.0 * x + y);
        });
        assert!(back.to_vec::<f32>().iter().all(|x| *x == 0.5));
    }

    #[test]
    fn nothing_and_a_number_make_nothing() {
        let none = Array::zeros(&[0, 3], crate::array::DType::F64);
        let out = map([Input::from(&none), Input::Scalar(Scalar::Float(2.0))], &[0, 3], |[x, y]: [f64; 2]| x + y);
        assert_eq!(out.shape(), [0, 3]);
        let one = Array::scalar(2.0_f64);
        assert_eq!(map([Input::from(&one), Input::from(&none)], &[0, 3], |[x, y]: [f64; 2]| x + y).size(), 0);
    }

    #[test]
    fn a_view_of_one_number_is_a_constant() {
        let numbers = Array::from_slice(&[1.0_f64, 7.0, 3.0], &[3]);
        let one = numbers.with_layout(numbers.layout().slice(0, 1, 1, 1));
        for shape in [&[3, 700][..], &[1, 700], &[1], &[5, 1, 2]] {
            let wide = one.broadcast_to("test", shape).unwrap();
            assert!(
                matches!(Source::<f64>::new(Input::from(&wide), shape, f64::from_scalar), Source::Constant(7.0) | Source::Slice([7.0])),
                "{shape:?}"
            );
            let x = Array::full(shape, Scalar::Int(2), crate::array::DType::F64);
            assert!(map([Input::from(&wide), Input::from(&x)], shape, |[a, b]: [f64; 2]| a * b).to_vec::<f64>().iter().all(|v| *v == 14.0));
        }
        let row = numbers.broadcast_to("test", &[2, 3]).unwrap();
        assert!(matches!(Source::<f64>::new(Input::from(&row), &[2, 3], f64::from_scalar), Source::Strided(_)));
    }

    #[test]
    fn a_number_reaches_every_element() {
        for n in [3, 300, 513, 5000] {
            let mut a = Array::full(&[n], Scalar::Int(2), crate::array::DType::I64);
            update(&mut a, [Input::Scalar(Scalar::Int(5))], 1.0, |[x]: &[&[i64]; 1], out| {
                out.iter_mut().zip(*x).for_each(|(o, x)| *o += x);
            });
            assert!(a.to_vec::<i64>().iter().all(|x| *x == 7), "{n}");
        }
    }

    #[test]
    fn updating_keeps_other_holders() {
        let mut a = Array::from_slice(&[1.0_f32, 2.0], &[2]);
        let old = a.clone();
        update(&mut a, [Input::Scalar(Scalar::Float(3.0))], 1.0, |[s]: &[&[f32]; 1], out| {
            out.iter_mut().zip(*s).for_each(|(o, s)| *o *= s);
        });
        assert_eq!(a.to_vec::<f32>(), [3.0, 6.0]);
        assert_eq!(old.to_vec::<f32>(), [1.0, 2.0]);
        assert_eq!(size_of_shape(&[]), 1);
    }
}
