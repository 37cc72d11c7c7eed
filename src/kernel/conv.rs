//! Convolution over three spatial axes, and the two maps that its gradients are.
//!
//! T(x, w, g) = Σ g · conv(x, w) is linear in the input x, the weight w and the cotangent g. Its derivative with respect to g is the
//! convolution, with respect to x the transposed convolution, and with respect to w the gradient of the weight: [`forward`],
//! [`input_gradient`] and [`weight_gradient`]. Each is a matrix product with patches of the input, one block of positions at a time, which
//! stays in the cache. Depthwise convolutions use loops over rows.
//!
//! Images are distributed over threads, and sums over images are split by sizes only: the result has the same bits with any number of
//! threads.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]

use std::ops::Range;

use smallvec::SmallVec;

use crate::array::{Element, alloc_check};
use crate::kernel::math::{Real, fma};
use crate::kernel::matmul::{After, MatElement, MatMut, MatRef, matmul};
use crate::kernel::parallel;
use crate::kernel::simd::{Arch, Kernel, dispatch};

/// Bytes of a block of patches.
const BLOCK: usize = 256 << 10;
/// The most parts of a batch whose weight gradients are summed separately.
const PARTS: usize = 16;
/// A part has at least this many multiplications.
const PART_WORK: usize = 1 << 20;

/// Sizes of a convolution. If there are fewer than three spatial axes, axes of size one are added in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Images.
    pub batch: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Input channels of a group.
    pub inputs: usize,
    /// Output channels of a group.
    pub outputs: usize,
    /// Spatial size of the input.
    pub input: [usize; 3],
    /// Spatial size of the weight.
    pub kernel: [usize; 3],
    /// Spatial size of the output.
    pub output: [usize; 3],
    /// Distance between neighbouring windows.
    pub stride: [usize; 3],
    /// Distance between neighbouring taps.
    pub dilation: [usize; 3],
    /// Zeros before the input. The number of zeros after it follows from the size of the output.
    pub low: [usize; 3],
}

/// Element types of convolutions.
pub trait Number: Real + Element + MatElement {}
impl<T: Real + Element + MatElement> Number for T {}

/// A segment of a row of patches: neighbouring positions of one row of the output, for one tap.
struct Segment {
    /// The row of the matrix of patches: a channel and a tap.
    row: usize,
    /// The first position, relative to the block.
    at: usize,
    /// Number of positions.
    len: usize,
    /// The positions that are inside the input.
    valid: Range<usize>,
    /// The index of the first of these in the image.
    source: usize,
}

impl Geometry {
    /// Number of taps of a weight.
    #[must_use]
    pub fn taps(&self) -> usize {
        self.kernel.iter().fold(1, |n, k| n.saturating_mul(*k))
    }

    /// Number of positions of an output.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.output.iter().fold(1, |n, k| n.saturating_mul(*k))
    }

    /// Number of rows of the matrix of patches: channels times taps of a group.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.inputs.saturating_mul(self.taps())
    }

    /// Number of elements of the input of a group of an image.
    fn plane(&self) -> usize {
        self.inputs * self.input.iter().product::<usize>()
    }

    /// Whether the matrix of patches is the image itself.
    fn is_pointwise(&self) -> bool {
        self.kernel == [1; 3] && self.stride == [1; 3] && self.low == [0; 3] && self.input == self.output
    }

    /// Whether loops over rows are faster than matrix products: few channels in and out.
    fn is_depthwise(&self) -> bool {
        self.inputs == 1 && self.outputs <= 2
    }

    /// The offset of tap `k` of window 0, along an axis.
    #[inline]
    fn tap(&self, axis: usize, k: usize) -> isize {
        (k * self.dilation[axis]).cast_signed() - self.low[axis].cast_signed()
    }

    /// The windows whose tap at `offset` is inside the input, along an axis.
    #[inline]
    fn valid(&self, axis: usize, offset: isize) -> Range<usize> {
        let (n, s, out) = (self.input[axis].cast_signed(), self.stride[axis], self.output[axis]);
        let first = (-offset).max(0).cast_unsigned().div_ceil(s).min(out);
        let end = (n - offset).max(0).cast_unsigned().div_ceil(s).min(out);
        first..end.max(first)
    }

    /// The input position of window `o` for a tap at `offset`, if it is inside the input.
    #[inline]
    fn source(&self, axis: usize, o: usize, offset: isize) -> Option<usize> {
        let at = (o * self.stride[axis]).cast_signed() + offset;
        (0..self.input[axis].cast_signed()).contains(&at).then_some(at.cast_unsigned())
    }

    /// Positions per block: whole rows of the output if possible.
    fn block<T>(&self) -> usize {
        let positions = (BLOCK / (self.depth().max(1) * size_of::<T>())).max(64);
        let row = self.output[2].max(1);
        if positions >= row { positions / row * row } else { positions.next_multiple_of(16) }
    }

    /// The blocks of positions.
    fn blocks<T>(&self) -> impl Iterator<Item = Range<usize>> + use<T> {
        let (n, step) = (self.positions(), self.block::<T>());
        (0..n).step_by(step).map(move |at| at..n.min(at + step))
    }

    /// Visits the segments of a block of patches.
    #[inline(always)]
    fn walk(&self, block: &Range<usize>, mut f: impl FnMut(Segment)) {
        let ([_, height, width], [kd, kh, kw]) = (self.input, self.kernel);
        let [_, rows, columns] = self.output;
        let taps = (0..self.inputs).flat_map(|c| (0..kd).flat_map(move |a| (0..kh).flat_map(move |b| (0..kw).map(move |k| [c, a, b, k]))));
        for (row, [c, a, b, k]) in taps.enumerate() {
            let offset = self.tap(2, k);
            let whole = self.valid(2, offset);
            let mut at = block.start;
            while at < block.end {
                let (line, first) = (at / columns, at % columns);
                let last = columns.min(first + block.end - at);
                let inside = self.source(0, line / rows, self.tap(0, a)).zip(self.source(1, line % rows, self.tap(1, b)));
                let (start, end) = (whole.start.clamp(first, last), whole.end.clamp(first, last));
                let (valid, source) = match inside {
                    Some((d, h)) if start < end => {
                        let w = (start * self.stride[2]).cast_signed() + offset;
                        (start - first..end - first, ((c * self.input[0] + d) * height + h) * width + w.cast_unsigned())
                    }
                    _ => (0..0, 0),
                };
                f(Segment { row, at: at - block.start, len: last - first, valid, source });
                at += last - first;
            }
        }
    }

    /// Whether the work is worth several threads.
    #[must_use]
    pub fn is_split(&self) -> bool {
        let count = self.batch * self.groups;
        parallel::grain(count, self.cost()) < count
    }

    /// Nanoseconds for the products of one group of an image, roughly.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn cost(&self) -> f64 {
        (self.outputs * self.depth() * self.positions()) as f64 / 24.0 + (self.depth() * self.positions()) as f64 / 4.0
    }
}

/// Reads a block of patches: one row for each channel and tap, one column for each position.
pub fn read_patches<T: Number>(image: &[T], g: &Geometry, block: &Range<usize>, out: &mut [T]) {
    let (width, stride) = (block.len(), g.stride[2]);
    g.walk(block, |s| {
        let line = &mut out[s.row * width + s.at..][..s.len];
        line[..s.valid.start].fill(T::lit(0.0));
        line[s.valid.end..].fill(T::lit(0.0));
        let (inside, source) = (&mut line[s.valid], &image[s.source..]);
        if stride == 1 {
            inside.copy_from_slice(&source[..inside.len()]);
        } else {
            inside.iter_mut().zip(source.iter().step_by(stride)).for_each(|(o, x)| *o = *x);
        }
    });
}

/// Adds a block of patches to the places in the image that they were read from.
pub fn add_patches<T: Number>(image: &mut [T], g: &Geometry, block: &Range<usize>, patches: &[T]) {
    dispatch(AddPatches { image, g, block, patches });
}

struct AddPatches<'a, T> {
    image: &'a mut [T],
    g: &'a Geometry,
    block: &'a Range<usize>,
    patches: &'a [T],
}

impl<T: Number> Kernel for AddPatches<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { image, g, block, patches } = self;
        let (width, stride) = (block.len(), g.stride[2]);
        g.walk(block, |s| {
            let inside = &patches[s.row * width + s.at..][s.valid];
            let target = &mut image[s.source..];
            if stride == 1 {
                target[..inside.len()].iter_mut().zip(inside).for_each(|(o, x)| *o = *o + *x);
            } else {
                target.iter_mut().step_by(stride).zip(inside).for_each(|(o, x)| *o = *o + *x);
            }
        });
    }
}

/// The patches of all images: for each image a matrix of channels and taps by positions. `g` has the sizes of one image.
pub fn all_patches<T: Number>(images: &[T], g: &Geometry, out: &mut [T]) {
    let (size, block) = (g.depth() * g.positions(), 0..g.positions());
    if size == 0 {
        return;
    }
    parallel::for_each_chunk_mut(out, parallel::grain(out.len() / size, copies(size)) * size, |start, chunk| {
        for (i, out) in chunk.chunks_exact_mut(size).enumerate() {
            read_patches(part(images, start / size + i, g.plane()), g, &block, out);
        }
    });
}

/// The transpose of [`all_patches`]: adds up patches in images of zeros.
pub fn sum_of_patches<T: Number>(patches: &[T], g: &Geometry, out: &mut [T]) {
    let (size, block) = (g.plane(), 0..g.positions());
    if size == 0 {
        return;
    }
    parallel::for_each_chunk_mut(out, parallel::grain(out.len() / size, copies(g.depth() * g.positions())) * size, |start, chunk| {
        for (i, out) in chunk.chunks_exact_mut(size).enumerate() {
            out.fill(T::lit(0.0));
            add_patches(out, g, &block, part(patches, start / size + i, g.depth() * g.positions()));
        }
    });
}

#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn copies(n: usize) -> f64 {
    n as f64 * 0.5
}

/// Calls `f` with the number of each group of each image and its part of `out`, and then `after` with that part.
fn each_group<T: Number>(g: &Geometry, out: &mut [T], after: Option<After<'_, T>>, f: impl Fn(usize, &mut [T], &mut Vec<T>) + Sync) {
    let count = g.batch * g.groups;
    let size = out.len() / count.max(1);
    if size == 0 {
        return;
    }
    let (others, finish) = after.map_or_else(|| (SmallVec::new(), None), |a| (a.others, Some(a.finish)));
    let grain = parallel::grain(count, g.cost());
    parallel::for_each_chunks_mut(out, others, grain * size, |start, chunk, mut others| {
        let mut scratch = Vec::new();
        for (i, part) in chunk.chunks_exact_mut(size).enumerate() {
            f(start / size + i, part, &mut scratch);
            if let Some(finish) = finish {
                finish(start + i * size, part, others.iter_mut().map(|o| &mut o[i * size..(i + 1) * size]).collect());
            }
        }
    });
}

/// A buffer for a block of patches.
fn room<'a, T: Number>(scratch: &'a mut Vec<T>, g: &Geometry) -> &'a mut [T] {
    if scratch.is_empty() {
        *scratch = alloc_check::filled(T::lit(0.0), g.depth() * g.block::<T>().min(g.positions()));
    }
    scratch
}

/// Fills each channel with its bias, or with zero.
fn begin<T: Number>(out: &mut [T], bias: Option<&[T]>, channels: usize) {
    match bias {
        Some(bias) if !out.is_empty() => {
            let size = out.len() / channels;
            out.chunks_exact_mut(size).zip(bias).for_each(|(plane, b)| plane.fill(*b));
        }
        _ => out.fill(T::lit(0.0)),
    }
}

/// Part `i` of `all`; all parts have `size` elements.
fn part<T>(all: &[T], i: usize, size: usize) -> &[T] {
    &all[i * size..(i + 1) * size]
}

/// The convolution of `x` with `w`: `y[o, p] = bias[o] + Σ w[o, c, k] x[c, p · stride + k · dilation - low]`. `after` sees each group of
/// channels of an image as soon as it is complete.
pub fn forward<T: Number>(x: &[T], w: &[T], bias: Option<&[T]>, y: &mut [T], g: &Geometry, after: Option<After<'_, T>>) {
    let (outputs, depth, positions) = (g.outputs, g.depth(), g.positions());
    each_group(g, y, after, |i, y, scratch| {
        let group = i % g.groups;
        let (x, w) = (part(x, i, g.plane()), part(w, group, outputs * depth));
        begin(y, bias.map(|b| part(b, group, outputs)), outputs);
        if g.is_depthwise() {
            return dispatch(Depthwise { x, w, y, g });
        }
        let weights = MatRef::new(w, 0, outputs, depth, depth.cast_signed(), 1);
        if g.is_pointwise() {
            let x = MatRef::new(x, 0, depth, positions, positions.cast_signed(), 1);
            return matmul(weights, x, MatMut::new(y, 0, outputs, positions, positions.cast_signed(), 1), bias.is_some());
        }
        for block in g.blocks::<T>() {
            let patches = &mut room(scratch, g)[..depth * block.len()];
            read_patches(x, g, &block, patches);
            let patches = MatRef::new(patches, 0, depth, block.len(), block.len().cast_signed(), 1);
            let out = MatMut::new(y, block.start, outputs, block.len(), positions.cast_signed(), 1);
            matmul(weights, patches, out, bias.is_some());
        }
    });
}

/// The gradient of the input, which is the transposed convolution: `x[c, q] = bias[c] + Σ w[o, c, k] g[o, p]` over all (p, k)
/// with p · stride + k · dilation - low = q. `after` sees each group of channels of an image as soon as it is complete.
pub fn input_gradient<T: Number>(cotangent: &[T], w: &[T], bias: Option<&[T]>, x: &mut [T], g: &Geometry, after: Option<After<'_, T>>) {
    let (outputs, depth, positions) = (g.outputs, g.depth(), g.positions());
    each_group(g, x, after, |i, x, scratch| {
        let group = i % g.groups;
        let (y, w) = (part(cotangent, i, outputs * positions), part(w, group, outputs * depth));
        begin(x, bias.map(|b| part(b, group, g.inputs)), g.inputs);
        if g.is_depthwise() {
            return dispatch(DepthwiseInput { x, w, y, g });
        }
        let weights = MatRef::new(w, 0, depth, outputs, 1, depth.cast_signed());
        if g.is_pointwise() {
            let y = MatRef::new(y, 0, outputs, positions, positions.cast_signed(), 1);
            return matmul(weights, y, MatMut::new(x, 0, depth, positions, positions.cast_signed(), 1), bias.is_some());
        }
        for block in g.blocks::<T>() {
            let patches = &mut room(scratch, g)[..depth * block.len()];
            let y = MatRef::new(y, block.start, outputs, block.len(), positions.cast_signed(), 1);
            matmul(weights, y, MatMut::new(patches, 0, depth, block.len(), block.len().cast_signed(), 1), false);
            add_patches(x, g, &block, patches);
        }
    });
}

/// The gradient of the weight: w[o, c, k] = Σ g[o, p] x[c, p · stride + k · dilation - low] over images and positions.
pub fn weight_gradient<T: Number>(x: &[T], cotangent: &[T], w: &mut [T], g: &Geometry) {
    let size = w.len();
    if size == 0 {
        return;
    }
    let work = g.batch * g.groups * g.outputs * g.depth() * g.positions();
    let count = g.batch.min(PARTS).min(work / PART_WORK).max(1);
    let images = g.batch.div_ceil(count);
    let one = size / g.groups;
    if count == 1 {
        let grain = parallel::grain(g.groups, g.cost() * f64::from(u32::try_from(g.batch).unwrap_or(u32::MAX)));
        return parallel::for_each_chunk_mut(w, grain * one, |start, chunk| {
            for (i, w) in chunk.chunks_exact_mut(one).enumerate() {
                sum_of_images(x, cotangent, w, g, start / one + i, 0..g.batch);
            }
        });
    }
    let mut parts = alloc_check::filled(T::lit(0.0), count * size);
    parallel::for_each_chunk_mut(&mut parts, one, |start, w| {
        let (at, group) = (start / size, start % size / one);
        let first = (at * images).min(g.batch);
        sum_of_images(x, cotangent, w, g, group, first..g.batch.min(first + images));
    });
    w.copy_from_slice(&parts[..size]);
    for part in parts[size..].chunks_exact(size) {
        w.iter_mut().zip(part).for_each(|(sum, x)| *sum = *sum + *x);
    }
}

/// The weight gradient of a group, summed over some images.
fn sum_of_images<T: Number>(x: &[T], cotangent: &[T], w: &mut [T], g: &Geometry, group: usize, images: Range<usize>) {
    let (outputs, depth, positions) = (g.outputs, g.depth(), g.positions());
    let mut scratch = Vec::new();
    w.fill(T::lit(0.0));
    for i in images.map(|n| n * g.groups + group) {
        let (x, y) = (part(x, i, g.plane()), part(cotangent, i, outputs * positions));
        if g.is_depthwise() {
            dispatch(DepthwiseWeight { x, w, y, g });
            continue;
        }
        let (rows, long) = (depth.cast_signed(), positions.cast_signed());
        if g.is_pointwise() {
            let (y, x) = (MatRef::new(y, 0, outputs, positions, long, 1), MatRef::new(x, 0, positions, depth, 1, long));
            matmul(y, x, MatMut::new(w, 0, outputs, depth, rows, 1), true);
            continue;
        }
        for block in g.blocks::<T>() {
            let patches = &mut room(&mut scratch, g)[..depth * block.len()];
            read_patches(x, g, &block, patches);
            let y = MatRef::new(y, block.start, outputs, block.len(), long, 1);
            let patches = MatRef::new(patches, 0, block.len(), depth, 1, block.len().cast_signed());
            matmul(y, patches, MatMut::new(w, 0, outputs, depth, rows, 1), true);
        }
    }
}

/// The valid positions of a row of the output for one tap of the weight.
struct Meeting {
    /// The index of the tap.
    tap: usize,
    /// Positions in the output.
    out: Range<usize>,
    /// The first position in the input; the others follow with the stride.
    source: usize,
}

/// Visits all pairs of a row and a tap of one channel.
#[inline(always)]
fn meetings(g: &Geometry, mut f: impl FnMut(Meeting)) {
    let [kd, kh, kw] = g.kernel;
    let [_, height, width] = g.input;
    let [depth, rows, columns] = g.output;
    for (d, h) in (0..depth).flat_map(|d| (0..rows).map(move |h| (d, h))) {
        let line = (d * rows + h) * columns;
        for (a, b) in (0..kd).flat_map(|a| (0..kh).map(move |b| (a, b))) {
            let (Some(sd), Some(sh)) = (g.source(0, d, g.tap(0, a)), g.source(1, h, g.tap(1, b))) else { continue };
            for k in 0..kw {
                let offset = g.tap(2, k);
                let valid = g.valid(2, offset);
                if valid.is_empty() {
                    continue;
                }
                let w = (valid.start * g.stride[2]).cast_signed() + offset;
                let source = (sd * height + sh) * width + w.cast_unsigned();
                f(Meeting { tap: (a * kh + b) * kw + k, out: line + valid.start..line + valid.end, source });
            }
        }
    }
}

struct Depthwise<'a, T> {
    x: &'a [T],
    w: &'a [T],
    y: &'a mut [T],
    g: &'a Geometry,
}

impl<T: Number> Kernel for Depthwise<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, w, y, g } = self;
        for (w, y) in w.chunks_exact(g.taps()).zip(y.chunks_exact_mut(g.positions())) {
            meetings(g, |m| {
                let (factor, out, x) = (w[m.tap], &mut y[m.out], &x[m.source..]);
                if g.stride[2] == 1 {
                    out.iter_mut().zip(x).for_each(|(o, x)| *o = fma::<T, A>(factor, *x, *o));
                } else {
                    out.iter_mut().zip(x.iter().step_by(g.stride[2])).for_each(|(o, x)| *o = fma::<T, A>(factor, *x, *o));
                }
            });
        }
    }
}

struct DepthwiseInput<'a, T> {
    x: &'a mut [T],
    w: &'a [T],
    y: &'a [T],
    g: &'a Geometry,
}

impl<T: Number> Kernel for DepthwiseInput<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, w, y, g } = self;
        for (w, y) in w.chunks_exact(g.taps()).zip(y.chunks_exact(g.positions())) {
            meetings(g, |m| {
                let (factor, from, x) = (w[m.tap], &y[m.out], &mut x[m.source..]);
                if g.stride[2] == 1 {
                    x.iter_mut().zip(from).for_each(|(o, y)| *o = fma::<T, A>(factor, *y, *o));
                } else {
                    x.iter_mut().step_by(g.stride[2]).zip(from).for_each(|(o, y)| *o = fma::<T, A>(factor, *y, *o));
                }
            });
        }
    }
}

struct DepthwiseWeight<'a, T> {
    x: &'a [T],
    w: &'a mut [T],
    y: &'a [T],
    g: &'a Geometry,
}

impl<T: Number> Kernel for DepthwiseWeight<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, w, y, g } = self;
        for (w, y) in w.chunks_exact_mut(g.taps()).zip(y.chunks_exact(g.positions())) {
            meetings(g, |m| w[m.tap] = w[m.tap] + dot::<T, A>(&y[m.out], &x[m.source..], g.stride[2]));
        }
    }
}

/// Σ a · b, where neighbours in `b` are a stride apart.
#[inline(always)]
fn dot<T: Number, A: Arch>(a: &[T], b: &[T], stride: usize) -> T {
    const LANES: usize = 8;
    if stride != 1 {
        return a.iter().zip(b.iter().step_by(stride)).fold(T::lit(0.0), |sum, (a, b)| fma::<T, A>(*a, *b, sum));
    }
    let b = &b[..a.len()];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [T::lit(0.0); LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *sum = fma::<T, A>(*a, *b, *sum);
        }
    }
    let rest = a_rest.iter().zip(b_rest).fold(T::lit(0.0), |sum, (a, b)| fma::<T, A>(*a, *b, sum));
    lanes.iter().fold(rest, |sum, x| sum + *x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pseudorandom numbers.
    fn numbers(n: usize, seed: u32) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 23) - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    /// Σ over all combinations, by the definition.
    fn for_each_product(g: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
        let all = |n: [usize; 3]| (0..n[0]).flat_map(move |a| (0..n[1]).flat_map(move |b| (0..n[2]).map(move |c| [a, b, c])));
        let flat = |i: [usize; 3], n: [usize; 3]| (i[0] * n[1] + i[1]) * n[2] + i[2];
        for n in 0..g.batch * g.groups {
            for (o, c) in (0..g.outputs).flat_map(|o| (0..g.inputs).map(move |c| (o, c))) {
                for (p, k) in all(g.output).flat_map(|p| all(g.kernel).map(move |k| (p, k))) {
                    let q = [0, 1, 2].map(|a| (p[a] * g.stride[a] + k[a] * g.dilation[a]).cast_signed() - g.low[a].cast_signed());
                    if (0..3).any(|a| q[a] < 0 || q[a] >= g.input[a].cast_signed()) {
                        continue;
                    }
                    let x = (n * g.inputs + c) * g.input.iter().product::<usize>() + flat(q.map(isize::cast_unsigned), g.input);
                    let w = ((n % g.groups * g.outputs + o) * g.inputs + c) * g.taps() + flat(k, g.kernel);
                    f(x, w, (n * g.outputs + o) * g.positions() + flat(p, g.output));
                }
            }
        }
    }

    fn geometries() -> Vec<Geometry> {
        let base = Geometry {
            batch: 2,
            groups: 1,
            inputs: 3,
            outputs: 4,
            input: [1, 6, 7],
            kernel: [1, 3, 3],
            output: [1, 6, 7],
            stride: [1; 3],
            dilation: [1; 3],
            low: [0, 1, 1],
        };
        vec![
            base.clone(),
            Geometry { stride: [1, 2, 3], output: [1, 3, 3], ..base.clone() },
            Geometry { dilation: [1, 2, 2], output: [1, 4, 5], ..base.clone() },
            Geometry { groups: 3, inputs: 1, outputs: 1, ..base.clone() },
            Geometry { groups: 3, inputs: 1, outputs: 2, stride: [1, 2, 2], output: [1, 3, 4], ..base.clone() },
            Geometry { groups: 2, inputs: 2, outputs: 3, ..base.clone() },
            Geometry { kernel: [1; 3], low: [0; 3], ..base.clone() },
            Geometry { kernel: [2, 1, 2], input: [3, 4, 5], output: [2, 4, 2], stride: [1, 1, 2], low: [0; 3], ..base.clone() },
            Geometry { batch: 3, input: [1, 1, 900], kernel: [1, 1, 5], output: [1, 1, 900], low: [0, 0, 2], inputs: 40, ..base.clone() },
            Geometry { batch: 0, ..base },
        ]
    }

    #[test]
    fn the_three_maps_are_their_definitions() {
        for g in geometries() {
            let sizes = [g.batch * g.groups * g.plane(), g.groups * g.outputs * g.depth(), g.batch * g.groups * g.outputs * g.positions()];
            let (x, w, y) = (numbers(sizes[0], 1), numbers(sizes[1], 2), numbers(sizes[2], 3));
            let mut want = [vec![0.0; sizes[0]], vec![0.0; sizes[1]], vec![0.0; sizes[2]]];
            for_each_product(&g, |i, j, k| {
                want[0][i] += w[j] * y[k];
                want[1][j] += x[i] * y[k];
                want[2][k] += x[i] * w[j];
            });
            for threads in [1, 3] {
                let mut got = [vec![7.0; sizes[0]], vec![7.0; sizes[1]], vec![7.0; sizes[2]]];
                parallel::with_threads(threads, || {
                    input_gradient(&y, &w, None, &mut got[0], &g, None);
                    weight_gradient(&x, &y, &mut got[1], &g);
                    forward(&x, &w, None, &mut got[2], &g, None);
                });
                for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
                    assert!((got - want).abs() < 1e-11 * (1.0 + want.abs()), "{g:?}: {got}, not {want}");
                }
            }
        }
    }

    #[test]
    fn what_comes_after_sees_every_part_once_when_it_is_complete() {
        for g in geometries() {
            let sizes = [g.batch * g.groups * g.plane(), g.groups * g.outputs * g.depth(), g.batch * g.groups * g.outputs * g.positions()];
            let (x, w) = (numbers(sizes[0], 1), numbers(sizes[1], 2));
            let mut want = vec![0.0; sizes[2]];
            forward(&x, &w, None, &mut want, &g, None);
            for threads in [1, 3] {
                let (mut y, mut twice, mut places) = (vec![7.0; sizes[2]], vec![7.0; sizes[2]], vec![0.0; sizes[2]]);
                let finish = |start: usize, rows: &mut [f64], mut others: SmallVec<[&mut [f64]; 4]>| {
                    for (i, row) in rows.iter_mut().enumerate() {
                        others[0][i] = *row * 2.0;
                        others[1][i] += f64::from(u32::try_from(start + i).expect("a small place"));
                        *row += 1.0;
                    }
                };
                let after = After { others: SmallVec::from_iter([&mut twice[..], &mut places[..]]), finish: &finish };
                parallel::with_threads(threads, || forward(&x, &w, None, &mut y, &g, Some(after)));
                assert!(y.iter().zip(&want).all(|(y, want)| y.to_bits() == (want + 1.0).to_bits()), "{g:?}");
                assert!(twice.iter().zip(&want).all(|(t, want)| t.to_bits() == (want * 2.0).to_bits()), "{g:?}");
                assert!((0_u32..).zip(&places).all(|(i, p)| p.to_bits() == f64::from(i).to_bits()), "{g:?}");
            }
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let g = &geometries()[8];
        let (x, w) = (numbers(g.batch * g.plane(), 1), numbers(g.outputs * g.depth(), 2));
        let run = |threads| {
            let (mut y, mut dw) = (vec![0.0; g.batch * g.outputs * g.positions()], vec![0.0; w.len()]);
            parallel::with_threads(threads, || {
                forward(&x, &w, Some(&[1.0, 2.0, 3.0, 4.0]), &mut y, g, None);
                weight_gradient(&x, &y, &mut dw, g);
            });
            (y, dw)
        };
        assert!(run(1) == run(2) && run(1) == run(7));
    }
}
