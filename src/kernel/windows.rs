//! Windows that slide over the last axes of an array: the largest element of each, and where it is.

use std::ops::Range;

use crate::array::{Element, alloc_check};
use crate::kernel::parallel;
use crate::kernel::simd::{Arch, Kernel, dispatch};

/// The windows along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Size of the axis.
    pub size: usize,
    /// Distance between neighbouring elements of a window.
    pub step: usize,
    /// The first element of each window and how many it has: at least one.
    pub windows: Vec<(usize, usize)>,
}

impl Axis {
    /// One window: the only element of an axis that is not there.
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

    /// The count and the distance of windows that are all alike, as far as they are: the range of those, and both.
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

/// Windows over three axes; an axis that is not there has one element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows(pub [Axis; 3]);

impl Windows {
    /// Elements of what the windows slide over.
    #[must_use]
    pub fn plane(&self) -> usize {
        self.0.iter().map(|a| a.size).product()
    }

    /// How many windows there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.iter().map(|a| a.windows.len()).product()
    }

    /// Nanoseconds for a plane, roughly.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn cost(&self) -> f64 {
        let one: usize = self.0.iter().map(|a| a.windows.iter().map(|w| w.1).max().unwrap_or(1)).product();
        (self.count() * one) as f64
    }
}

/// Which of two elements stays: a later one when it is larger, or NaN.
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

/// The largest element of each window of each plane; NaN where there is one.
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
        let [depth, height, width] = &windows.0;
        let regular = width.regular();
        let columns = width.windows.len();
        for (i, out) in out.chunks_exact_mut(columns).enumerate() {
            let (d, h) = (depth.windows[i / height.windows.len()], height.windows[i % height.windows.len()]);
            let mut rows = depth.elements(d).flat_map(|d| height.elements(h).map(move |h| (d * height.size + h) * width.size));
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

/// Where the largest element of each window is, counted in its plane: the first of equals, the last NaN if there is one.
pub fn places<T: Element + PartialOrd>(x: &[T], windows: &Windows, out: &mut [i64]) {
    let (plane, count) = (windows.plane(), windows.count());
    if count == 0 {
        return;
    }
    let grain = parallel::grain(out.len() / count, 2.0 * windows.cost());
    parallel::for_each_chunk_mut(out, grain * count, |start, chunk| {
        for (i, out) in chunk.chunks_exact_mut(count).enumerate() {
            let at = (start / count + i) * plane;
            places_of_plane(&x[at..at + plane], windows, out);
        }
    });
}

fn places_of_plane<T: Element + PartialOrd>(x: &[T], windows: &Windows, out: &mut [i64]) {
    let [depth, height, width] = &windows.0;
    let columns = width.windows.len();
    for (i, out) in out.chunks_exact_mut(columns).enumerate() {
        let (d, h) = (depth.windows[i / height.windows.len()], height.windows[i % height.windows.len()]);
        for (o, &w) in out.iter_mut().zip(&width.windows) {
            let mut best = (d.0 * height.size + h.0) * width.size + w.0;
            for row in depth.elements(d).flat_map(|d| height.elements(h).map(move |h| (d * height.size + h) * width.size)) {
                for at in width.elements(w).map(|w| row + w) {
                    best = if wins(x[at], x[best]) { at } else { best };
                }
            }
            *o = i64::try_from(best).unwrap_or(i64::MAX);
        }
    }
}

/// out[plane, i] = x[plane, place[plane, i]], and zero where the place is negative.
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
