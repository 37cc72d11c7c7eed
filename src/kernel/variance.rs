//! Sums of squared deviations from the mean, in one pass over memory.
//!
//! Elements near the mean of earlier ones are summed relative to it, so that nothing cancels. With k that mean and d = x - k, a leaf of n
//! elements has the mean k + Σd/n and the squared deviations Σd² - (Σd)²/n. The distance of the leaf from k, which is lost in that
//! difference, is itself part of the result, so the error is a few roundings only (Chan and others 1983). For a constant, d and the result
//! are zero.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]
#![allow(clippy::cast_precision_loss, reason = "counts, and estimates")]

mod columns;

use columns::{TILE, Tile};

use crate::array::{Array, Element, Scalar, alloc_check};
use crate::dispatch;
use crate::kernel::math::{Real, fma};
use crate::kernel::parallel;
use crate::kernel::reduce::ReducePlan;
use crate::kernel::reduce::rows::halved;
use crate::kernel::simd::{Arch, Kernel, dispatch as simd_dispatch, prefetch_behind};

/// Elements of a block that one thread reads.
const BLOCK: usize = 1 << 16;
/// The least number of rows of a block.
const MIN_BLOCK_ROWS: usize = 512;
/// Elements of a leaf of a row, of the first leaf, and of the sample that the first mean is estimated from.
const LEAF: usize = 4096;
const FIRST: usize = 1024;
const GUESS: usize = 16;
/// Arrays of this number of bytes or more are read from memory, not from a cache.
const PREFETCH_BYTES: usize = 4 << 20;
/// Nanoseconds per element.
const COST: f64 = 0.2;

/// Number of elements so far, their mean, and the sum of their squared deviations from it.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Joins those of more elements, of which there is at least one.
    #[inline(always)]
    fn join(&mut self, other: Self) {
        let (share, step) = (other.n / (self.n + other.n), other.mean - self.mean);
        self.squares += other.squares + step * step * self.n * share;
        self.mean += step * share;
        self.n += other.n;
    }
}

/// What is returned for each column.
#[inline(always)]
fn squares<T: Real>(moments: &[Moments], out: &mut [T]) {
    out.iter_mut().zip(moments).for_each(|(o, m)| *o = T::lit(m.squares));
}

/// The number as a double.
#[inline(always)]
fn wide<T: Element>(x: T) -> f64 {
    if let Scalar::Float(x) = x.to_scalar() { x } else { f64::NAN }
}

/// The sums of squared deviations from the mean over `axes`, with the kept axes only; zero for no elements.
///
/// # Panics
/// When the dtype is not floating: a bug of the caller.
#[must_use]
pub fn deviations(x: &Array, axes: &[usize]) -> Array {
    let plan = ReducePlan::new(x.shape(), axes);
    let (block, outer, inner) = plan.block(x);
    dispatch!(float x.dtype(), T => {
        let Some(source) = block.as_slice::<T>() else { unreachable!("blocks are contiguous") };
        Array::build(&plan.kept, |out: &mut [T]| fold(source, [outer, plan.count, inner], out))
    }, else unreachable!("variances are floating"))
}

fn fold<T: Real + Element>(source: &[T], [outer, count, inner]: [usize; 3], out: &mut [T]) {
    if count == 0 {
        return out.fill(T::default());
    }
    let prefetch = size_of_val(source) > PREFETCH_BYTES;
    if count * inner > 2 * BLOCK && inner <= TILE {
        for (rows, out) in source.chunks_exact(count * inner).zip(out.chunks_exact_mut(inner)) {
            tall(rows, out, prefetch);
        }
        return;
    }
    if outer == 1 && inner > TILE {
        let columns = parallel::grain(inner, COST * count as f64).max(TILE);
        parallel::for_each_chunk_mut(out, columns, |start, out| simd_dispatch(Wide { source, inner, start, prefetch, out }));
        return;
    }
    let groups = parallel::grain(outer, COST * (count * inner) as f64);
    parallel::for_each_chunk_mut(out, groups * inner, |start, out| {
        let source = &source[start * count..(start + out.len()) * count];
        simd_dispatch(Groups { source, count, inner, prefetch, out });
    });
}

/// Processes many rows, in blocks on all threads.
fn tall<T: Real + Element>(source: &[T], out: &mut [T], prefetch: bool) {
    let inner = out.len();
    let rows = (BLOCK / inner).max(MIN_BLOCK_ROWS);
    let blocks = (source.len() / inner).div_ceil(rows);
    let mut parts = alloc_check::filled(Moments::default(), blocks * inner);
    parallel::for_each_chunk_mut(&mut parts, parallel::grain(blocks, COST * (rows * inner) as f64) * inner, |start, parts| {
        for (source, moments) in source[start * rows..].chunks(rows * inner).zip(parts.chunks_exact_mut(inner)) {
            simd_dispatch(Block { prefetch, source, moments });
        }
    });
    let (first, rest) = parts.split_at_mut(inner);
    for part in rest.chunks_exact(inner) {
        first.iter_mut().zip(part).for_each(|(m, &p)| m.join(p));
    }
    squares(first, out);
}

/// The squared deviations of the columns of each group of `count` rows.
struct Groups<'a, T> {
    source: &'a [T],
    count: usize,
    inner: usize,
    prefetch: bool,
    out: &'a mut [T],
}

impl<T: Real + Element> Kernel for Groups<'_, T> {
    type Output = ();
    const WIDE: bool = true;
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { source, count, inner, prefetch, out } = self;
        if inner == 1 {
            for (x, o) in source.chunks_exact(count).zip(out) {
                *o = T::lit(row::<T, A>(x).squares);
            }
            return;
        }
        let mut tile = Tile::new(inner, prefetch);
        for (rows, out) in source.chunks_exact(count * inner).zip(out.chunks_exact_mut(inner)) {
            columns::<T, A>(rows, [inner, 0], &mut tile, out);
        }
    }
}

/// The squared deviations of the columns from `start` on.
struct Wide<'a, T> {
    source: &'a [T],
    inner: usize,
    start: usize,
    prefetch: bool,
    out: &'a mut [T],
}

impl<T: Real + Element> Kernel for Wide<'_, T> {
    type Output = ();
    const WIDE: bool = true;
    #[inline(always)]
    fn run<A: Arch>(self) {
        columns::<T, A>(self.source, [self.inner, self.start], &mut Tile::new(self.inner, self.prefetch), self.out);
    }
}

/// The squared deviations of the columns from `start` on of rows of `width`.
#[inline(always)]
fn columns<T: Real + Element, A: Arch>(source: &[T], [width, start]: [usize; 2], tile: &mut Tile<T>, out: &mut [T]) {
    for (k, out) in out.chunks_mut(TILE).enumerate() {
        tile.see::<A>(source, [width, start + k * TILE, out.len()]);
        out.copy_from_slice(tile.squares(out.len()));
    }
}

/// The moments of each column of some rows.
struct Block<'a, T> {
    prefetch: bool,
    source: &'a [T],
    moments: &'a mut [Moments],
}

impl<T: Real + Element> Kernel for Block<'_, T> {
    type Output = ();
    const WIDE: bool = true;
    #[inline(always)]
    fn run<A: Arch>(self) {
        if let [only] = self.moments {
            *only = row::<T, A>(self.source);
        } else {
            let width = self.moments.len();
            let mut tile = Tile::new(width, self.prefetch);
            tile.see::<A>(self.source, [width, 0, width]);
            tile.moments(self.moments);
        }
    }
}

/// `x`, or zero if rounding made it negative. NaN is kept; `max` would replace it by zero.
#[inline(always)]
fn not_below_zero(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

/// The moments of one row.
#[inline(always)]
fn row<T: Real + Element, A: Arch>(row: &[T]) -> Moments {
    let (first, rest) = row.split_at(row.len().min(FIRST));
    let mut near = guess(first);
    let mut all = moments::<T, A>(first, near);
    let off = all.mean - wide(near);
    if off * off * all.n > all.squares {
        // The estimate was far off, and digits were lost.
        near = T::lit(all.mean);
        all = moments::<T, A>(first, near);
    }
    near = T::lit(all.mean);
    for leaf in rest.chunks(LEAF) {
        // Relative to the mean before the previous leaf: so a leaf need not wait for the one before it.
        let own = moments::<T, A>(leaf, near);
        near = T::lit(all.mean);
        all.join(own);
    }
    all
}

/// The moments of a leaf, from distances to a number near its mean.
#[inline(always)]
fn moments<T: Real + Element, A: Arch>(leaf: &[T], near: T) -> Moments {
    let (sum, squares) = distances::<T, A>(leaf, near);
    let (n, sum) = (leaf.len() as f64, wide(sum));
    let step = sum / n;
    Moments { n, mean: wide(near) + step, squares: not_below_zero(wide(squares) - sum * step) }
}

/// An estimate of the mean of a row: the mean of some elements. It is exact if these are equal.
#[inline(always)]
fn guess<T: Real + Element>(row: &[T]) -> T {
    let Some(some) = row.first_chunk::<GUESS>() else { return row[0] };
    halved(some.map(|x| x * T::lit(1.0 / GUESS as f64)), |a, b| a + b)
}

/// Adds one distance to a sum and to a sum of squares.
#[inline(always)]
fn add<T: Real, A: Arch>([sum, square]: [&mut T; 2], d: T) {
    *sum = *sum + d;
    *square = fma::<T, A>(d, d, *square);
}

/// Σ (x - k) and Σ (x - k)².
#[inline(always)]
fn distances<T: Real + Element, A: Arch>(leaf: &[T], k: T) -> (T, T) {
    // Four vectors of each sum: with fewer, additions wait for each other.
    if size_of::<T>() == 4 { lanes::<T, A, 32>(leaf, k) } else { lanes::<T, A, 16>(leaf, k) }
}

#[inline(always)]
fn lanes<T: Real + Element, A: Arch, const N: usize>(leaf: &[T], k: T) -> (T, T) {
    let [mut sums, mut squares] = [[T::lit(0.0); N]; 2];
    let (groups, rest) = leaf.as_chunks::<N>();
    for x in groups {
        prefetch_behind(x);
        for i in 0..N {
            add::<T, A>([&mut sums[i], &mut squares[i]], x[i] - k);
        }
    }
    let (vectors, rest) = rest.as_chunks::<8>();
    for x in vectors {
        for i in 0..8 {
            add::<T, A>([&mut sums[i], &mut squares[i]], x[i] - k);
        }
    }
    let (mut sum, mut square) = (T::lit(0.0), T::lit(0.0));
    for &x in rest {
        add::<T, A>([&mut sum, &mut square], x - k);
    }
    (halved(sums, |a, b| a + b) + sum, halved(squares, |a, b| a + b) + square)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::DType;

    fn exact(x: &[f64]) -> f64 {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        x.iter().map(|v| (v - mean) * (v - mean)).sum()
    }

    fn noise(n: usize) -> Vec<f64> {
        let mut s = 1_u32;
        std::iter::repeat_with(|| {
            s = s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(s >> 8) / f64::from(1 << 23) - 1.0
        })
        .take(n)
        .collect()
    }

    #[test]
    fn nothing_is_left_of_a_constant() {
        for shape in [[3, 1], [1000, 2], [65_537, 1], [300_000, 3], [70, 700]] {
            for axis in [0, 1] {
                let x = Array::full(&shape, Scalar::Float(0.1), DType::F32);
                assert!(deviations(&x, &[axis]).to_vec::<f32>().iter().all(|&d| d == 0.0), "{shape:?}");
                let x = Array::full(&shape, Scalar::Float(1e10 / 3.0), DType::F64);
                assert!(deviations(&x, &[axis]).to_vec::<f64>().iter().all(|&d| d == 0.0), "{shape:?}");
            }
        }
    }

    #[test]
    fn columns_of_any_width_are_seen_once() {
        for width in (1..40).chain([63, 64, 100, 127, 128, 129, 200, 1030]) {
            for count in [1, 2, 7, 16, 50, 130, 300] {
                let data = noise(2 * count * width);
                let found = deviations(&Array::from_slice(&data, &[2, count, width]), &[1]).to_vec::<f64>();
                for (i, found) in found.into_iter().enumerate() {
                    let (group, column) = (i / width * width * count, i % width);
                    let want = exact(&data[group + column..][..=(count - 1) * width].iter().step_by(width).copied().collect::<Vec<_>>());
                    assert!((found - want).abs() <= 1e-13 * want + 1e-30, "{count} x {width}, {i}: {found} {want}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_not_lost() {
        for n in [1, 3, 64, 65, 400, 1024, 1025, 5121] {
            for (at, bad) in [0, n / 2, n - 1].into_iter().flat_map(|at| [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(|bad| (at, bad))) {
                let mut data = noise(n);
                data[at] = bad;
                let single: Vec<f32> = data.iter().map(|&v| f32::from_scalar(Scalar::Float(v))).collect();
                for width in [1, 3, 20, 200] {
                    let repeat = |x: &[f32]| x.iter().flat_map(|&v| vec![v; width]).collect::<Vec<_>>();
                    let found = deviations(&Array::from_slice(&repeat(&single), &[n, width]), &[0]).to_vec::<f32>();
                    assert!(found.iter().all(|v| v.is_nan()), "{bad} at {at} of {n} x {width}: {found:?}");
                }
                let found = deviations(&Array::from_slice(&data, &[1, n]), &[1]).to_vec::<f64>();
                assert!(found[0].is_nan(), "{bad} at {at} of {n}: {found:?}");
            }
        }
    }

    #[test]
    fn threads_change_no_bit() {
        for shape in [[1, 300, 5000], [40, 130, 260], [1, 300_000, 5], [300, 4001, 1]] {
            let data: Vec<f32> = noise(shape.iter().product()).into_iter().map(|v| f32::from_scalar(Scalar::Float(v))).collect();
            let x = Array::from_slice(&data, &shape);
            let found = [1, 2, 3, 4].map(|threads| parallel::with_threads(threads, || deviations(&x, &[1]).to_vec::<f32>()));
            assert!(found.windows(2).all(|w| w[0] == w[1]), "{shape:?}");
            let width = shape[2];
            for (i, &got) in found[0].iter().enumerate().step_by(97) {
                let column = data[i / width * width * shape[1] + i % width..].iter().step_by(width).take(shape[1]);
                let want = exact(&column.copied().map(f64::from).collect::<Vec<_>>());
                assert!((f64::from(got) - want).abs() < 2e-6 * want, "{shape:?}, {i}: {got} {want}");
            }
        }
    }

    /// Far from zero, drifting, with an outlier in front: input for which other one-pass algorithms lose digits.
    #[test]
    fn no_digits_are_lost() {
        for n in [5_usize, 100, 130, 5000, 200_001] {
            let noise = noise(n);
            let far: Vec<f64> = noise.iter().map(|v| v + 1000.0).collect();
            let drift: Vec<f64> = noise.iter().enumerate().map(|(i, v)| v + 50.0 * i as f64 / n as f64).collect();
            let mut outlier = noise.clone();
            outlier[0] = 1e4;
            let shift: Vec<f64> = noise.iter().enumerate().map(|(i, v)| if i < GUESS { *v } else { v + 100.0 }).collect();
            for data in [noise, far, drift, outlier, shift] {
                let single: Vec<f32> = data.iter().map(|&v| f32::from_scalar(Scalar::Float(v))).collect();
                let want = exact(&single.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
                for (shape, axis) in [([n, 1], 0), ([1, n], 1)] {
                    let got = deviations(&Array::from_slice(&single, &shape), &[axis]).to_vec::<f32>()[0];
                    assert!((f64::from(got) - want).abs() < 2e-6 * want, "{n}: {got} {want}");
                    let got = deviations(&Array::from_slice(&data, &shape), &[axis]).to_vec::<f64>()[0];
                    assert!((got - exact(&data)).abs() < 1e-12 * exact(&data), "{n}: {got}");
                }
                let pairs: Vec<f32> = single.iter().flat_map(|&v| [v, -v, v]).collect();
                for got in deviations(&Array::from_slice(&pairs, &[n, 3]), &[0]).to_vec::<f32>() {
                    assert!((f64::from(got) - want).abs() < 5e-6 * want, "{n} columns: {got} {want}");
                }
            }
        }
    }
}
