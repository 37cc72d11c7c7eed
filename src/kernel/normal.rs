//! Normalisation: rows minus their mean, divided by their standard deviation, and the gradients of that.
//!
//! The variance is a mean of squared deviations, never a difference of squares. Gradients of weights are summed in blocks of rows that
//! depend on the sizes only.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]

use crate::array::{Element, alloc_check};
use crate::kernel::math::{Real, fma};
use crate::kernel::parallel;
use crate::kernel::simd::{Arch, Kernel, dispatch};
use serde::{Deserialize, Serialize};

/// Partial sums that are computed side by side.
const LANES: usize = 16;
/// Elements that are summed in lanes before the sum is added to a float64.
const BLOCK: usize = 4096;
/// The most blocks of rows whose weight gradients are summed separately.
const PARTS: usize = 32;

/// Which elements are normalised together, and which weight each has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// Number of neighbouring elements that are normalised together.
    pub row: usize,
    /// Number of rows after which the weights repeat.
    pub groups: usize,
    /// Number of neighbouring elements that share a weight.
    pub span: usize,
    /// Whether the mean is subtracted.
    pub centered: bool,
    /// The number that is added to the variance.
    pub eps: f64,
}

impl Rows {
    /// Number of weights.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.groups * self.row / self.span.max(1)
    }

    /// The weights of row `r`.
    fn weights<'a, T>(&self, all: &'a [T], r: usize) -> &'a [T] {
        let count = self.row / self.span;
        let first = r % self.groups * count;
        &all[first..first + count]
    }
}

/// Element types of statistics.
pub trait Number: Real + Element {}
impl<T: Real + Element> Number for T {}

#[inline(always)]
fn wide<T: Number>(x: T) -> f64 {
    x.to_scalar().as_f64()
}

/// Σ f(a, b) over the elements of two slices, in lanes; long sums in blocks.
#[inline(always)]
fn sum2<T: Number>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> f64 {
    let mut total = 0.0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = [T::lit(0.0); LANES];
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for (a, b) in a.iter().zip(b) {
            for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                *lane = *lane + f(*a, *b);
            }
        }
        let rest = a_rest.iter().zip(b_rest).fold(T::lit(0.0), |s, (a, b)| s + f(*a, *b));
        total += wide(lanes.iter().fold(rest, |s, x| s + *x));
    }
    total
}

/// Σ f(x) over the elements of a slice.
#[inline(always)]
fn sum<T: Number>(x: &[T], f: impl Fn(T) -> T) -> f64 {
    sum2(x, x, |x, _| f(x))
}

/// The mean (zero if it is not subtracted) and the mean of squared deviations from it.
#[inline(always)]
#[allow(clippy::cast_precision_loss, reason = "a number of elements")]
fn statistics<T: Number>(runs: &[&[T]], centered: bool) -> [f64; 2] {
    let n = runs.iter().map(|r| r.len()).sum::<usize>() as f64;
    let mut mean = 0.0;
    if centered {
        for x in runs {
            mean += sum(x, |x| x);
        }
        mean /= n;
    }
    let middle = T::lit(mean);
    let (mut var, mut slip) = (0.0, 0.0);
    for x in runs {
        var += sum(x, |x| (x - middle) * (x - middle));
        if centered {
            slip += sum(x, |x| x - middle);
        }
    }
    // The first sum and the mean were rounded: the mean of the deviations is the error.
    (var, slip) = (var / n, slip / n);
    [wide(middle) + slip, if var.is_nan() { var } else { (var - slip * slip).max(0.0) }]
}

/// Mean and scale of a row. The rounding error of the mean is part of the shift.
#[derive(Clone, Copy)]
struct Standard<T> {
    mean: T,
    scale: T,
    shift: T,
}

impl<T: Number> Standard<T> {
    #[inline(always)]
    fn new([mean, var]: [f64; 2], eps: f64) -> Self {
        let (middle, scale) = (T::lit(mean), 1.0 / (var + eps).sqrt());
        Self { mean: middle, scale: T::lit(scale), shift: T::lit((wide(middle) - mean) * scale) }
    }

    /// (x - mean) scale.
    #[inline(always)]
    fn of<A: Arch>(self, x: T) -> T {
        fma::<T, A>(x - self.mean, self.scale, self.shift)
    }
}

/// (x - mean) / √(variance + eps), times the weight and plus the bias if given.
pub fn forward<T: Number>(x: &[T], weight: Option<&[T]>, bias: Option<&[T]>, out: &mut [T], rows: &Rows) {
    let n = rows.row;
    if out.is_empty() {
        return;
    }
    let grain = parallel::grain(out.len() / n, cost(n)) * n;
    parallel::for_each_chunk_mut(out, grain, |start, out| {
        dispatch(Forward { x: &x[start..start + out.len()], weight, bias, out, rows, first: start / n });
    });
}

#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn cost(n: usize) -> f64 {
    0.4 * n as f64
}

struct Forward<'a, T> {
    x: &'a [T],
    weight: Option<&'a [T]>,
    bias: Option<&'a [T]>,
    out: &'a mut [T],
    rows: &'a Rows,
    first: usize,
}

impl<T: Number> Kernel for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, weight, bias, out, rows, first } = self;
        for (i, (x, out)) in x.chunks_exact(rows.row).zip(out.chunks_exact_mut(rows.row)).enumerate() {
            let standard = Standard::<T>::new(statistics(&[x], rows.centered), rows.eps);
            let of = |all: &'_ [T], k: usize| rows.weights(all, first + i)[k];
            match (weight, bias) {
                (None, _) => out.iter_mut().zip(x).for_each(|(o, x)| *o = standard.of::<A>(*x)),
                (Some(w), None) if rows.span == 1 => {
                    let w = rows.weights(w, first + i);
                    out.iter_mut().zip(x.iter().zip(w)).for_each(|(o, (x, w))| *o = standard.of::<A>(*x) * *w);
                }
                (Some(w), Some(b)) if rows.span == 1 => {
                    let (w, b) = (rows.weights(w, first + i), rows.weights(b, first + i));
                    out.iter_mut().zip(x.iter().zip(w.iter().zip(b))).for_each(|(o, (x, (w, b)))| *o = fma::<T, A>(standard.of::<A>(*x), *w, *b));
                }
                (Some(w), bias) => {
                    for (k, (x, out)) in x.chunks_exact(rows.span).zip(out.chunks_exact_mut(rows.span)).enumerate() {
                        let (w, b) = (of(w, k), bias.map_or(T::lit(0.0), |b| of(b, k)));
                        let (scale, shift) = (standard.scale * w, fma::<T, A>(standard.shift, w, b));
                        out.iter_mut().zip(x).for_each(|(o, x)| *o = fma::<T, A>(*x - standard.mean, scale, shift));
                    }
                }
            }
        }
    }
}

/// The gradient of x, and those of the weight and the bias if there is a weight.
pub fn backward<T: Number>(g: &[T], x: &[T], weight: Option<&[T]>, dx: &mut [T], mut sums: Option<(&mut [T], &mut [T])>, rows: &Rows) {
    let n = rows.row;
    let channels = rows.channels();
    if dx.is_empty() {
        if let Some((dw, db)) = &mut sums {
            dw.fill(T::lit(0.0));
            db.fill(T::lit(0.0));
        }
        return;
    }
    let count = dx.len() / n;
    let per_part = parallel::grain(count, 2.0 * cost(n)).max(count.div_ceil(PARTS));
    let width = if sums.is_some() { 2 * channels } else { 0 };
    let mut parts = alloc_check::filled(T::lit(0.0), count.div_ceil(per_part) * width);
    let mut rest = parts.as_mut_slice();
    let chunks = dx.chunks_mut(per_part * n).map(|dx| {
        let (part, behind) = std::mem::take(&mut rest).split_at_mut(width);
        rest = behind;
        (dx, part)
    });
    let mut jobs = alloc_check::collect(chunks);
    parallel::for_each_chunk_mut(&mut jobs, 1, |at, jobs| {
        for (dx, part) in jobs {
            let (first, start) = (at * per_part, at * per_part * n);
            let range = start..start + dx.len();
            dispatch(Backward { g: &g[range.clone()], x: &x[range], weight, dx, part, rows, first });
        }
    });
    if let Some((dw, db)) = sums {
        dw.copy_from_slice(&parts[..channels]);
        db.copy_from_slice(&parts[channels..width]);
        for part in parts[width..].chunks_exact(width) {
            dw.iter_mut().zip(&part[..channels]).for_each(|(s, x)| *s = *s + *x);
            db.iter_mut().zip(&part[channels..]).for_each(|(s, x)| *s = *s + *x);
        }
    }
}

struct Backward<'a, T> {
    g: &'a [T],
    x: &'a [T],
    weight: Option<&'a [T]>,
    dx: &'a mut [T],
    part: &'a mut [T],
    rows: &'a Rows,
    first: usize,
}

impl<T: Number> Kernel for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { g, x, weight, dx, part, rows, first } = self;
        let n = rows.row;
        for (i, ((g, x), dx)) in g.chunks_exact(n).zip(x.chunks_exact(n)).zip(dx.chunks_exact_mut(n)).enumerate() {
            let standard = Standard::<T>::new(statistics(&[x], rows.centered), rows.eps);
            if let Some(w) = weight {
                let channels = part.len() / 2;
                let (dw, db) = part.split_at_mut(channels);
                let at = (first + i) % rows.groups * (n / rows.span);
                let (dw, db) = (&mut dw[at..at + n / rows.span], &mut db[at..at + n / rows.span]);
                add_sums::<T, A>(g, x, standard, [dw, db], rows.span);
                weighted(g, rows.weights(w, first + i), dx, rows.span);
            } else {
                dx.copy_from_slice(g);
            }
            project::<T, A>(x, standard, rows.centered, dx);
        }
    }
}

/// Adds Σ g x̂ and Σ g to the sums of each weight.
#[inline(always)]
fn add_sums<T: Number, A: Arch>(g: &[T], x: &[T], standard: Standard<T>, [dw, db]: [&mut [T]; 2], span: usize) {
    if span == 1 {
        for ((g, x), (dw, db)) in g.iter().zip(x).zip(dw.iter_mut().zip(db)) {
            *dw = fma::<T, A>(*g, standard.of::<A>(*x), *dw);
            *db = *db + *g;
        }
        return;
    }
    for ((g, x), (dw, db)) in g.chunks_exact(span).zip(x.chunks_exact(span)).zip(dw.iter_mut().zip(db)) {
        *dw = *dw + T::lit(sum2(g, x, |g, x| g * standard.of::<A>(x)));
        *db = *db + T::lit(sum(g, |g| g));
    }
}

/// out = g w.
#[inline(always)]
fn weighted<T: Number>(g: &[T], w: &[T], out: &mut [T], span: usize) {
    if span == 1 {
        out.iter_mut().zip(g.iter().zip(w)).for_each(|(o, (g, w))| *o = *g * *w);
        return;
    }
    for ((g, w), out) in g.chunks_exact(span).zip(w).zip(out.chunks_exact_mut(span)) {
        out.iter_mut().zip(g).for_each(|(o, g)| *o = *g * *w);
    }
}

/// Replaces u in `out` by r (u - mean(u) - x̂ mean(u x̂)).
#[inline(always)]
#[allow(clippy::cast_precision_loss, reason = "a number of elements")]
fn project<T: Number, A: Arch>(x: &[T], standard: Standard<T>, centered: bool, out: &mut [T]) {
    let n = out.len();
    let u = &*out;
    let total = if centered { sum(u, |u| u) / n as f64 } else { 0.0 };
    let along = sum2(u, x, |u, x| u * standard.of::<A>(x)) / n as f64;
    let (shift, slope, scale) = (T::lit(total), T::lit(-along), standard.scale);
    out.iter_mut().zip(x).for_each(|(o, x)| *o = fma::<T, A>(standard.of::<A>(*x), slope, *o - shift) * scale);
}

/// An array of images: `batch` images with `channels` planes of `plane` elements.
#[derive(Clone, Copy, Debug)]
pub struct Images {
    /// Images.
    pub batch: usize,
    /// Channels of each.
    pub channels: usize,
    /// Elements of a channel of an image.
    pub plane: usize,
}

impl Images {
    /// The planes of a channel.
    fn planes<T>(self, all: &[T], channel: usize) -> impl Iterator<Item = &[T]> + use<'_, T> {
        (0..self.batch).map(move |n| {
            let at = (n * self.channels + channel) * self.plane;
            &all[at..at + self.plane]
        })
    }

    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn cost(self) -> f64 {
        (self.batch * self.plane) as f64 * 0.4
    }
}

/// Mean and biased variance of each channel.
#[must_use]
pub fn channel_statistics<T: Number>(x: &[T], images: Images) -> Vec<[f64; 2]> {
    let mut both = alloc_check::filled([0.0; 2], images.channels);
    parallel::for_each_chunk_mut(&mut both, parallel::grain(images.channels, images.cost()), |start, chunk| {
        for (i, out) in chunk.iter_mut().enumerate() {
            *out = dispatch(OfChannel { x, images, channel: start + i });
        }
    });
    both
}

struct OfChannel<'a, T> {
    x: &'a [T],
    images: Images,
    channel: usize,
}

impl<T: Number> Kernel for OfChannel<'_, T> {
    type Output = [f64; 2];
    #[inline(always)]
    fn run<A: Arch>(self) -> [f64; 2] {
        let Self { x, images, channel } = self;
        if images.plane == 1 {
            // One element per plane: they are gathered first.
            let column = alloc_check::collect(images.planes(x, channel).map(|p| p[0]));
            return statistics(&[&column], true);
        }
        let runs = alloc_check::collect(images.planes(x, channel));
        statistics(&runs, true)
    }
}

/// (x - mean) scale + shift, with one number of each per channel.
pub fn normalize_channels<T: Number>(x: &[T], images: Images, [mean, scale, shift]: [&[T]; 3], out: &mut [T]) {
    each_plane(images, out, |channel, start, out| {
        let [m, s, b] = [mean[channel], scale[channel], shift[channel]];
        dispatch(Normalize { x: &x[start..start + out.len()], m, s, b, out });
    });
}

/// Calls `f` with the channel, the offset and the elements of each plane.
fn each_plane<T: Number>(images: Images, out: &mut [T], f: impl Fn(usize, usize, &mut [T]) + Sync) {
    let plane = images.plane;
    if out.is_empty() {
        return;
    }
    let grain = parallel::grain(out.len() / plane, cost(plane)) * plane;
    parallel::for_each_chunk_mut(out, grain, |start, chunk| {
        for (i, out) in chunk.chunks_exact_mut(plane).enumerate() {
            let at = start / plane + i;
            f(at % images.channels, at * plane, out);
        }
    });
}

struct Normalize<'a, T> {
    x: &'a [T],
    m: T,
    s: T,
    b: T,
    out: &'a mut [T],
}

impl<T: Number> Kernel for Normalize<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, m, s, b, out } = self;
        out.iter_mut().zip(x).for_each(|(o, x)| *o = fma::<T, A>(*x - m, s, b));
    }
}

/// Σ g and Σ g (x - mean) of each channel.
pub fn channel_sums<T: Number>(g: &[T], x: &[T], images: Images, mean: &[T]) -> Vec<[f64; 2]> {
    let mut out = alloc_check::filled([0.0; 2], images.channels);
    parallel::for_each_chunk_mut(&mut out, parallel::grain(images.channels, images.cost()), |start, chunk| {
        for (i, out) in chunk.iter_mut().enumerate() {
            *out = dispatch(Sums { g, x, images, channel: start + i, mean: mean[start + i] });
        }
    });
    out
}

struct Sums<'a, T> {
    g: &'a [T],
    x: &'a [T],
    images: Images,
    channel: usize,
    mean: T,
}

impl<T: Number> Kernel for Sums<'_, T> {
    type Output = [f64; 2];
    #[inline(always)]
    fn run<A: Arch>(self) -> [f64; 2] {
        let Self { g, x, images, channel, mean } = self;
        let mut out = [0.0; 2];
        for (g, x) in images.planes(g, channel).zip(images.planes(x, channel)) {
            out[0] += sum(g, |g| g);
            out[1] += sum2(g, x, |g, x| g * (x - mean));
        }
        out
    }
}

/// a g + b (x - mean) + c, with one number of each per channel: the gradient of x.
pub fn combine_channels<T: Number>(g: &[T], x: &[T], images: Images, [mean, a, b, c]: [&[T]; 4], out: &mut [T]) {
    each_plane(images, out, |channel, start, out| {
        let range = start..start + out.len();
        let factors = [mean, a, b, c].map(|all| all[channel]);
        dispatch(Combine { g: &g[range.clone()], x: &x[range], factors, out });
    });
}

struct Combine<'a, T> {
    g: &'a [T],
    x: &'a [T],
    factors: [T; 4],
    out: &'a mut [T],
}

impl<T: Number> Kernel for Combine<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { g, x, factors: [mean, a, b, c], out } = self;
        out.iter_mut().zip(g.iter().zip(x)).for_each(|(o, (g, x))| *o = fma::<T, A>(a, *g, fma::<T, A>(b, *x - mean, c)));
    }
}
