//! Windows that slide over the last axes of an array: the largest element of each, and its position.

use serde::{Deserialize, Serialize};
use std::ops::Range;

use crate::array::{Element, alloc_check};
use crate::kernel::parallel;
use crate::kernel::simd::{Arch, Kernel, dispatch};

/// The windows along one axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axis {
    /// Size of the axis.
    pub size: usize,
    /// Distance between neighbouring elements of a window.
    pub step: usize,
    /// For each window, its first element and its number of elements, at least one.
    pub windows: Vec<(usize, usize)>,
}

impl Axis {
    /// A single window: the only element of a missing axis.
    #[must_use]
    pub fn missing() -> Self {
        Self { size: 1, step: 1, windows: vec![(0, 1)] }
    }

    /// The elements of a window.
    #[inline]
    fn elements(&self, (start, count): (usize, usize)) -> impl Iterator<Item = usize> + use<> {
        let step = self.step;
        (0..count).map(move |k| start + k * step)
    }

    /// The range of windows that are all alike, with their count and distance.
    fn regular(&self) -> Option<(Range<usize>, usize, usize)> {
        let most = self.windows.iter().map(|w| w.1).max()?;
        let first = self.windows.iter().position(|w| w.1 == most)?;
        let second = self.windows.get(first + 1)?;
        let stride = second.0.checked_sub(self.windows[first].0)?;
        let pairs = self.windows[first..].windows(2);
        let n = pairs.take_while(|w| w[1].1 == most && w[1].0 == w[0].0 + stride).count() + 1;
        (stride > 0).then_some((first..first + n, most, stride))
    }
}

/// Windows over three axes; a missing axis has one element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows(pub [Axis; 3]);

impl Windows {
    /// Number of elements of the array that the windows slide over.
    #[must_use]
    pub fn plane(&self) -> usize {
        self.0.iter().map(|a| a.size).product()
    }

    /// How many windows there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.iter().map(|a| a.windows.len()).product()
    }

    /// The first elements of the rows that the windows of line `i` of the result contain.
    #[inline(always)]
    fn rows(&self, i: usize) -> impl Iterator<Item = usize> + '_ {
        let [depth, height, width] = &self.0;
        let (d, h) = (depth.windows[i / height.windows.len()], height.windows[i % height.windows.len()]);
        depth.elements(d).flat_map(move |d| height.elements(h).map(move |h| (d * height.size + h) * width.size))
    }

    /// Nanoseconds per plane, approximately.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn cost(&self) -> f64 {
        let one: usize = self.0.iter().map(|a| a.windows.iter().map(|w| w.1).max().unwrap_or(1)).product();
        (self.count() * one) as f64
    }
}

/// Selects the later of two elements if it is larger or NaN, else the earlier one.
#[inline(always)]
fn wins<T: PartialOrd + Copy>(new: T, old: T) -> bool {
    #[allow(clippy::eq_op, reason = "NaN differs from itself")]
    let is_nan = new != new;
    new > old || is_nan
}

#[inline(always)]
fn larger<T: PartialOrd + Copy>(old: T, new: T) -> T {
    if wins(new, old) { new } else { old }
}

/// The largest element of each window of each plane; NaN if there is one.
pub fn maxima<T: Element + PartialOrd>(x: &[T], windows: &Windows, out: &mut [T]) {
    let (plane, count) = (windows.plane(), windows.count());
    if count == 0 {
        return;
    }
    let grain = parallel::grain(out.len() / count, windows.cost());
    parallel::for_each_chunk_mut(out, grain * count, |start, chunk| {
        let mut line = alloc_check::filled(T::default(), windows.0[2].size);
        for (i, out) in chunk.chunks_exact_mut(count).enumerate() {
            let at = (start / count + i) * plane;
            dispatch(Maxima { x: &x[at..at + plane], windows, line: &mut line, out });
        }
    });
}

struct Maxima<'a, T> {
    x: &'a [T],
    windows: &'a Windows,
    line: &'a mut [T],
    out: &'a mut [T],
}

impl<T: Element + PartialOrd> Kernel for Maxima<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, windows, line, out } = self;
        let width = &windows.0[2];
        let regular = width.regular();
        for (i, out) in out.chunks_exact_mut(width.windows.len()).enumerate() {
            let mut rows = windows.rows(i);
            let first = rows.next().unwrap_or(0);
            line.copy_from_slice(&x[first..first + width.size]);
            for row in rows {
                line.iter_mut().zip(&x[row..row + width.size]).for_each(|(o, x)| *o = larger(*o, *x));
            }
            along(line, width, regular.as_ref(), out);
        }
    }
}

/// The largest element of each window of a row.
#[inline(always)]
fn along<T: PartialOrd + Copy>(line: &[T], axis: &Axis, regular: Option<&(Range<usize>, usize, usize)>, out: &mut [T]) {
    let one = |(start, count): (usize, usize)| {
        let rest = axis.elements((start, count)).skip(1);
        rest.fold(line[start], |best, i| larger(best, line[i]))
    };
    let Some((alike, count, stride)) = regular else {
        out.iter_mut().zip(&axis.windows).for_each(|(o, w)| *o = one(*w));
        return;
    };
    let start = axis.windows[alike.start].0;
    if *count == 2 && *stride == 2 && axis.step == 1 {
        let pairs = line[start..].as_chunks::<2>().0;
        out[alike.clone()].iter_mut().zip(pairs).for_each(|(o, [a, b])| *o = larger(*a, *b));
    } else {
        for k in 0..*count {
            let tap = line[start + k * axis.step..].iter().step_by(*stride);
            let out = out[alike.clone()].iter_mut().zip(tap);
            if k == 0 { out.for_each(|(o, x)| *o = *x) } else { out.for_each(|(o, x)| *o = larger(*o, *x)) }
        }
    }
    for i in (0..alike.start).chain(alike.end..out.len()) {
        out[i] = one(axis.windows[i]);
    }
}

/// The position within its plane of the largest element of each window: the first among equals, the last NaN if there is one.
pub fn places<T: Element + PartialOrd>(x: &[T], windows: &Windows, out: &mut [i64]) {
    let (plane, count) = (windows.plane(), windows.count());
    if count == 0 {
        return;
    }
    let grain = parallel::grain(out.len() / count, 2.0 * windows.cost());
    let width = windows.0[2].size;
    parallel::for_each_chunk_mut(out, grain * count, |start, chunk| {
        let mut numbers = alloc_check::filled(0_i64, width);
        numbers.iter_mut().zip(0..).for_each(|(n, i)| *n = i);
        let (mut best, mut at) = (alloc_check::filled(T::default(), width), alloc_check::filled(0_i64, width));
        for (i, out) in chunk.chunks_exact_mut(count).enumerate() {
            let from = (start / count + i) * plane;
            dispatch(WindowMaxima { x: &x[from..from + plane], windows, numbers: &numbers, best: &mut best, at: &mut at, out });
        }
    });
}

struct WindowMaxima<'a, T> {
    x: &'a [T],
    windows: &'a Windows,
    /// 0, 1, 2, … for each column.
    numbers: &'a [i64],
    /// The largest element of the window's rows in each column, and its position.
    best: &'a mut [T],
    at: &'a mut [i64],
    out: &'a mut [i64],
}

impl<T: Element + PartialOrd> Kernel for WindowMaxima<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, windows, numbers, best, at, out } = self;
        let width = &windows.0[2];
        let halves = width.step == 1 && width.windows.iter().zip((0..).step_by(2)).all(|(w, start)| *w == (start, 2));
        for (i, out) in out.chunks_exact_mut(width.windows.len()).enumerate() {
            let mut rows = windows.rows(i);
            let first = rows.next().unwrap_or(0);
            best.copy_from_slice(&x[first..first + width.size]);
            let base = i64::try_from(first).unwrap_or(i64::MAX);
            at.iter_mut().zip(numbers).for_each(|(at, n)| *at = base + n);
            for row in rows {
                let (base, x) = (i64::try_from(row).unwrap_or(i64::MAX), &x[row..row + width.size]);
                for (((best, at), x), n) in best.iter_mut().zip(&mut *at).zip(x).zip(numbers) {
                    let new = wins(*x, *best);
                    *best = if new { *x } else { *best };
                    *at = if new { base + n } else { *at };
                }
            }
            if halves {
                let pairs = best.as_chunks::<2>().0.iter().zip(at.as_chunks::<2>().0);
                out.iter_mut().zip(pairs).for_each(|(o, ([a, b], [i, j]))| *o = if beats((*b, *j), (*a, *i)) { *j } else { *i });
            } else {
                place_along(best, at, width, out);
            }
        }
    }
}

/// Whether a candidate comes before another one: it is larger, or equal and earlier; NaN comes before numbers and before earlier NaNs.
#[inline(always)]
#[allow(clippy::needless_bitwise_bool, reason = "no branches, so that loops over it vectorise")]
fn beats<T: PartialOrd + Copy>((new, at): (T, i64), (old, was): (T, i64)) -> bool {
    #[allow(clippy::eq_op, reason = "NaN differs from itself")]
    let (new_nan, old_nan) = (new != new, old != old);
    (new > old) | ((new == old) & (at < was)) | (new_nan & (!old_nan | (at > was)))
}

/// The position of the largest element of each window, from the largest elements of its columns.
#[inline(always)]
fn place_along<T: PartialOrd + Copy>(best: &[T], at: &[i64], axis: &Axis, out: &mut [i64]) {
    for (o, w) in out.iter_mut().zip(&axis.windows) {
        let mut candidates = axis.elements(*w).map(|i| (best[i], at[i]));
        let Some(first) = candidates.next() else { continue };
        *o = candidates.fold(first, |old, new| if beats(new, old) { new } else { old }).1;
    }
}

/// out[plane, i] = x[plane, place[plane, i]], and zero where the position is negative.
pub fn gather<T: Element>(x: &[T], plane: usize, places: &[i64], count: usize, out: &mut [T]) {
    if count == 0 {
        return;
    }
    parallel::for_each_chunk_mut(out, parallel::grain(out.len() / count, grain_cost(count)) * count, |start, chunk| {
        for (i, out) in chunk.chunks_exact_mut(count).enumerate() {
            let n = start / count + i;
            let x = &x[n * plane..(n + 1) * plane];
            out.iter_mut().zip(&places[n * count..]).for_each(|(o, p)| *o = place(*p).map_or(T::default(), |p| x[p]));
        }
    });
}

/// out[plane, place[plane, i]] += g[plane, i], from zero: the transpose of [`gather`].
pub fn scatter<T: Element + std::ops::AddAssign>(g: &[T], plane: usize, places: &[i64], count: usize, out: &mut [T]) {
    if plane == 0 {
        return;
    }
    parallel::for_each_chunk_mut(out, parallel::grain(out.len() / plane, grain_cost(plane)) * plane, |start, chunk| {
        for (i, out) in chunk.chunks_exact_mut(plane).enumerate() {
            let at = (start / plane + i) * count;
            out.fill(T::default());
            for (g, p) in g[at..at + count].iter().zip(&places[at..]) {
                if let Some(p) = place(*p) {
                    out[p] += *g;
                }
            }
        }
    });
}

#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn grain_cost(count: usize) -> f64 {
    1.5 * count as f64
}

#[inline]
fn place(p: i64) -> Option<usize> {
    usize::try_from(p).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(size: usize, windows: &[(usize, usize)], step: usize) -> Axis {
        Axis { size, step, windows: windows.to_vec() }
    }

    #[test]
    fn maxima_are_the_elements_at_their_places() {
        let data: Vec<f32> = (0..600_u16).map(|i| f32::from(i.wrapping_mul(7919) % 101)).collect();
        let (twos, overlapping) =
            (axis(10, &[(0, 2), (2, 2), (4, 2), (6, 2), (8, 2)], 1), axis(10, &[(0, 2), (1, 3), (3, 3), (5, 3), (7, 3), (9, 1)], 1));
        let (dilated, uneven) = (axis(10, &[(0, 3), (1, 3), (5, 2)], 2), axis(10, &[(0, 4), (3, 4), (6, 4)], 1));
        for a in [&twos, &overlapping, &dilated, &uneven] {
            for b in [&twos, &overlapping, &dilated, &uneven] {
                let windows = Windows([axis(2, &[(0, 2)], 1), a.clone(), b.clone()]);
                let n = windows.count() * 3;
                let (mut values, mut at, mut there, mut back) = (vec![0.0; n], vec![0; n], vec![0.0; n], vec![1.0; 600]);
                maxima(&data, &windows, &mut values);
                places(&data, &windows, &mut at);
                gather(&data, 200, &at, n / 3, &mut there);
                assert!(values.iter().zip(&there).all(|(a, b)| a.to_bits() == b.to_bits()));
                scatter(&values, 200, &at, n / 3, &mut back);
                assert!((back.iter().sum::<f32>() - values.iter().sum::<f32>()).abs() < 0.5);
            }
        }
    }

    #[test]
    fn places_are_those_of_a_search_in_row_major_order() {
        let data: Vec<f32> = (0..600_u16).map(|i| if i % 11 == 0 { f32::NAN } else { f32::from(i.wrapping_mul(7919) % 5) }).collect();
        let (halves, overlapping) = (axis(10, &[(0, 2), (2, 2), (4, 2), (6, 2), (8, 2)], 1), axis(10, &[(0, 2), (1, 3), (3, 3), (7, 3)], 1));
        for a in [&halves, &overlapping] {
            for b in [&halves, &overlapping, &axis(10, &[(0, 3), (1, 3), (5, 2)], 2)] {
                let windows = Windows([axis(2, &[(0, 2)], 1), a.clone(), b.clone()]);
                let mut at = vec![0; windows.count() * 3];
                places(&data, &windows, &mut at);
                let want = data.chunks(200).flat_map(|x| {
                    let windows = &windows.0;
                    let outputs = a.windows.iter().flat_map(|h| b.windows.iter().map(move |w| (h, w)));
                    outputs.map(move |(h, w)| {
                        let all =
                            (0..2).flat_map(|d| a.elements(*h).flat_map(move |h| b.elements(*w).map(move |w| (d * 10 + h) * windows[2].size + w)));
                        all.reduce(|best, i| if wins(x[i], x[best]) { i } else { best }).unwrap()
                    })
                });
                assert!(at.iter().copied().eq(want.map(|i| i64::try_from(i).unwrap())));
            }
        }
    }

    #[test]
    fn the_first_of_equals_and_the_last_nan() {
        let windows = Windows([Axis::missing(), Axis::missing(), axis(4, &[(0, 4)], 1)]);
        for (data, want) in [([1.0, 3.0, 3.0, 2.0], 1), ([f64::NAN, 9.0, f64::NAN, 1.0], 2), ([f64::NEG_INFINITY; 4], 0)] {
            let (mut at, mut value) = ([9], [0.0]);
            places(&data, &windows, &mut at);
            maxima(&data, &windows, &mut value);
            assert_eq!(at, [want]);
            assert_eq!(value[0].to_bits(), data[usize::try_from(want).unwrap()].to_bits());
        }
    }
}
