//! Reading several arrays of one shape side by side, row by row, when at least one of them must be gathered.
//!
//! Axes that can be merged in all operands are merged. Along the last axis, an operand of stride 1 is passed as it is, one of stride 0 as a
//! short slice of equal numbers, and any other is gathered into a buffer. Several rows are gathered at a time, so that a transposed operand
//! is read one cache line at a time and transposed in registers. When no operand must be gathered, [`Bands`](super::Bands) are used
//! instead.

use smallvec::SmallVec;

use super::layout::Layout;
use super::row_blocks::Body;
use super::strided::read_run;
use super::transpose_tile::{prefetch, transpose_tile};
use super::{Array, Plain};

/// Shorter rows are read faster with a [`Cursor`](super::Cursor).
pub(super) const MIN_RUN: usize = 16;
/// Columns of a panel: the part of some rows that is gathered at a time. The rows of the other operands and of the result are also
/// processed in pieces of this length. A panel that exceeds the first-level cache costs less than shorter pieces: processing a piece must
/// take until the next one has been prefetched.
const WIDTH: usize = 512;
/// Elements between the rows of a panel. Not a power of two, so that rows do not share cache sets.
const PITCH: usize = WIDTH + 16;
/// Rows of a panel are far apart and no hardware prefetcher predicts the next one, so it is prefetched this many rows ahead.
const AHEAD: usize = 1;
/// The most rows of a panel: four or eight cache lines of a transposed operand. With half as many, adding 2048×2048 floats took 1.3 times
/// as long; with one line each, 1.6 times.
const HEIGHT: usize = 64;
/// A constant operand with more elements than this is passed as this many equal numbers, which are reused.
pub const PERIOD: usize = 256;

/// Aligned to a cache line, so that no vector crosses a page. A load of recently stored data that crosses a page takes more than a hundred
/// nanoseconds; with an unfortunate stack address this slowed down whole processes.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Aligned<T>(pub T);

/// One axis: its size, and each operand's stride.
pub(super) type Step<const N: usize> = (usize, [isize; N]);

/// The axes of operands of one shape, outermost first. Axes of size one are dropped, and axes that can be merged in all operands are
/// merged.
pub(super) fn joined<const N: usize>(layouts: &[Layout; N]) -> SmallVec<[Step<N>; 2]> {
    let mut axes: SmallVec<[Step<N>; 2]> = SmallVec::new();
    for (axis, &n) in layouts.first().map_or(&[][..], Layout::shape).iter().enumerate() {
        let strides = layouts.each_ref().map(|l| l.strides()[axis]);
        match axes.last_mut() {
            _ if n == 1 => {}
            Some((m, last)) if last.iter().zip(&strides).all(|(t, s)| *t == s * n.cast_signed()) => {
                *m *= n;
                *last = strides;
            }
            _ => axes.push((n, strides)),
        }
    }
    axes
}

/// The order in which `N` operands of one shape are read.
#[derive(Debug)]
pub struct Grid<const N: usize> {
    /// Axes outside that of the rows.
    outer: SmallVec<[Step<N>; 2]>,
    /// The axis along which the rows of a panel lie.
    rows: Step<N>,
    /// Axes between rows and columns.
    middle: SmallVec<[Step<N>; 2]>,
    columns: Step<N>,
    offsets: [isize; N],
    /// Elements between two rows of the result.
    pitch: usize,
}

impl<const N: usize> Grid<N> {
    /// The order for operands with these layouts, which have one shape. `None` when nothing must be gathered, rows are too short, or there
    /// is only one row.
    #[must_use]
    pub fn new(layouts: &[Layout; N]) -> Option<Self> {
        let mut outer = joined(layouts);
        let columns = outer.pop().filter(|(n, _)| *n >= MIN_RUN)?;
        let odd = columns.1.iter().position(|s| !(0..=1).contains(s))?;
        let far = columns.1[odd].unsigned_abs();
        let distance = |(_, (_, s)): &(usize, &Step<N>)| s[odd].unsigned_abs();
        let near = outer.iter().enumerate().filter(|a| (1..far).contains(&distance(a))).min_by_key(distance);
        let at = near.map_or(outer.len().checked_sub(1)?, |(at, _)| at);
        let middle: SmallVec<[Step<N>; 2]> = outer.drain(at + 1..).collect();
        let rows = outer.pop()?;
        let pitch = columns.0 * middle.iter().map(|(n, _)| n).product::<usize>();
        let offsets = layouts.each_ref().map(|l| l.offset().cast_signed());
        Some(Self { outer, rows, middle, columns, offsets, pitch })
    }

    /// Every start should be a multiple of this number of elements, which is as many rows as are read together.
    #[must_use]
    pub fn pitch(&self) -> usize {
        HEIGHT * self.pitch
    }

    /// Calls `body` with pieces of the operands and of `out`, until all is done. `out` is the result from element `start` on, where a row
    /// begins. A constant operand is passed as `period` equal numbers, one or [`PERIOD`], for a longer piece of the result.
    pub fn run<T: Plain, O>(&self, data: [&[T]; N], start: usize, out: &mut [O], period: usize, body: &dyn Body<T, O, N>) {
        let room = |step| if (0..=1).contains(&step) { 0 } else { HEIGHT * PITCH };
        let panels = std::array::from_fn(|i| Array::empty(&[room(self.columns.1[i])], T::DTYPE));
        let mut buffers = Buffers { equal: Aligned([[T::default(); PERIOD]; N]), period, panels };
        let mut at = start / self.pitch;
        let mut rest = out;
        while rest.len() >= self.pitch {
            let (n, strides) = self.rows;
            let rows = HEIGHT.min(n - at % n).min(rest.len() / self.pitch);
            let (part, tail) = rest.split_at_mut(rows * self.pitch);
            let place = (at % n).cast_signed();
            let outer = position(&self.outer, at / n);
            let bases: [isize; N] = std::array::from_fn(|i| self.offsets[i] + outer[i] + place * strides[i]);
            for k in 0..self.pitch / self.columns.0 {
                let middle = position(&self.middle, k);
                let bases = std::array::from_fn(|i| bases[i] + middle[i]);
                self.panel(data, bases, rows, &mut part[k * self.columns.0..], &mut buffers, body);
            }
            at += rows;
            rest = tail;
        }
    }

    /// Processes `rows` rows of all columns. The first row begins at `bases`.
    fn panel<T: Plain, O>(
        &self,
        data: [&[T]; N],
        bases: [isize; N],
        rows: usize,
        out: &mut [O],
        buffers: &mut Buffers<T, N>,
        body: &dyn Body<T, O, N>,
    ) {
        let (columns, steps) = self.columns;
        let strides = self.rows.1;
        for from in (0..columns).step_by(WIDTH) {
            let n = WIDTH.min(columns - from);
            let place = |i: usize, r: usize| bases[i] + from.cast_signed() * steps[i] + r.cast_signed() * strides[i];
            for (i, panel) in buffers.panels.iter_mut().enumerate() {
                match steps[i] {
                    0 if strides[i] == 0 => buffers.equal.0[i][..n.min(buffers.period)].fill(data[i][place(i, 0).cast_unsigned()]),
                    0 | 1 => {}
                    step if strides[i] == 1 => transpose_tile(data[i], place(i, 0), step, panel.fresh().as_mut_slice(), PITCH, (rows, n)),
                    step => (0..rows).for_each(|r| read_run(data[i], place(i, r), step, &mut panel.fresh().as_mut_slice()[r * PITCH..][..n])),
                }
            }
            for r in 0..rows {
                for (i, equal) in buffers.equal.0.iter_mut().enumerate() {
                    if steps[i] == 0 && strides[i] != 0 {
                        equal[..n.min(buffers.period)].fill(data[i][place(i, r).cast_unsigned()]);
                    } else if steps[i] == 1 && r + AHEAD < rows {
                        prefetch(data[i], place(i, r + AHEAD).cast_unsigned(), n);
                    }
                }
                let pieces = std::array::from_fn(|i| match steps[i] {
                    0 => &buffers.equal.0[i][..n.min(buffers.period)],
                    1 => &data[i][place(i, r).cast_unsigned()..][..n],
                    _ => &buffers.panels[i].raw()[r * PITCH..][..n],
                });
                body.piece(&pieces, &mut out[r * self.pitch + from..][..n]);
            }
        }
    }
}

/// Operands that cannot be passed as they are: equal numbers, and gathered rows.
struct Buffers<T, const N: usize> {
    equal: Aligned<[[T; PERIOD]; N]>,
    period: usize,
    panels: [Array; N],
}

/// The distance of row-major position `at` from the first element, for each operand.
pub(super) fn position<const N: usize>(axes: &[Step<N>], mut at: usize) -> [isize; N] {
    let mut out = [0; N];
    for (n, strides) in axes.iter().rev() {
        let k = (at % n).cast_signed();
        at /= n;
        out.iter_mut().zip(strides).for_each(|(o, s)| *o += k * s);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::Cursor;
    use super::*;

    fn check<T: Plain + PartialEq>(layouts: &[Layout; 2], data: &[T]) {
        let Some(grid) = Grid::new(layouts) else { panic!("{layouts:?} has rows") };
        let wanted = layouts.each_ref().map(|l| {
            let mut all = Vec::new();
            Cursor::new(l).for_each(|p| all.push(data[p]));
            all
        });
        let size = layouts[0].size();
        for unit in [size, grid.pitch, 3 * grid.pitch] {
            for start in (0..size).step_by(unit) {
                for period in [1, PERIOD] {
                    let mut out = vec![(T::default(), T::default()); unit.min(size - start)];
                    grid.run([data, data], start, &mut out, period, &|[a, b]: &[&[T]; 2], out: &mut [(T, T)]| {
                        for (i, o) in out.iter_mut().enumerate() {
                            *o = (a[i % a.len()], b[i % b.len()]);
                        }
                    });
                    assert!(out.iter().enumerate().all(|(i, o)| *o == (wanted[0][start + i], wanted[1][start + i])), "{layouts:?} from {start}");
                }
            }
        }
    }

    #[test]
    fn operands_of_any_layout_come_in_order() {
        let data: Vec<f32> = (0_u16..60_000).map(f32::from).collect();
        let wide: Vec<f64> = data.iter().map(|x| f64::from(*x)).collect();
        let bytes: Vec<bool> = (0..60_000).map(|i| i % 7 < 3).collect();
        let square = Layout::contiguous(&[170, 290]);
        let turned = Layout::contiguous(&[290, 170]).permute(&[1, 0]);
        let row = Layout::strided(&[170, 290], &[0, 1], 5);
        let column = Layout::strided(&[170, 290], &[1, 0], 0);
        let backwards = Layout::contiguous(&[290, 170]).slice(1, 169, 170, -1).permute(&[1, 0]);
        let cut = Layout::contiguous(&[170, 350]).slice(1, 3, 290, 1);
        let halved = Layout::strided(&[17, 290], &[600, 2], 1);
        let deep = Layout::contiguous(&[9, 11, 20, 23]);
        let swapped = Layout::contiguous(&[11, 9, 20, 23]).permute(&[1, 0, 2, 3]);
        let mixed = Layout::contiguous(&[20, 9, 23, 11]).permute(&[1, 3, 0, 2]);
        let reversed = Layout::contiguous(&[23, 20, 11, 9]).permute(&[3, 2, 1, 0]);
        let pairs = [
            [square, turned.clone()],
            [turned.clone(), row.clone()],
            [column, backwards],
            [cut, turned.clone()],
            [halved, Layout::strided(&[17, 290], &[0, 0], 9)],
            [reversed.clone(), deep.clone()],
            [swapped, mixed.clone()],
            [mixed, reversed],
            [deep, Layout::strided(&[9, 11, 20, 23], &[0, 1, 0, 11], 3)],
            [row, turned],
            [Layout::contiguous(&[40, 700]), Layout::contiguous(&[700, 40]).permute(&[1, 0])],
        ];
        for pair in &pairs {
            check(pair, &data);
            check(pair, &wide);
            check(pair, &bytes);
        }
    }

    #[test]
    fn short_rows_are_left_to_others() {
        assert!(Grid::new(&[Layout::strided(&[100, 3], &[0, 1], 0)]).is_none());
        assert!(Grid::new(&[Layout::contiguous(&[100, 30])]).is_none());
    }
}
