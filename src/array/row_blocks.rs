//! Reading several arrays of one shape side by side, in bands of rows.
//!
//! Long rows are passed as they are: all rows at once to a body that takes rows, else one by one. Short rows are combined into bands: an
//! operand with only one row, for instance a bias, is repeated as often as a band has rows. Then operands that are contiguous are processed
//! in pieces of many rows.

use smallvec::SmallVec;

use super::gathered::{MIN_RUN, PERIOD, Step, joined, position};
use super::layout::Layout;
use super::strided::{read_run, repeat};
use super::{Array, Plain};

/// Bytes of one operand's part of a band: repeated rows stay in the first-level cache beside the other operands.
const BAND: usize = 8 << 10;
/// Rows that are shorter than this may be copied to a buffer one by one.
const SHORT_ROW_LEN: usize = 64;
/// A band must have at least this many elements.
const MIN_BLOCK_LEN: usize = 64;

/// What is computed from the operands' elements.
///
/// It is called through a pointer, so that the loops around it are compiled once per element type and not once per formula.
pub trait Body<T, O, const N: usize> {
    /// Computes a piece of the result. A constant operand may have fewer elements than the result, to be reused.
    fn piece(&self, operands: &[&[T]; N], out: &mut [O]);

    /// The variant by rows, if that is faster than a call per row.
    fn by_rows(&self) -> Option<&dyn ByRows<T, O, N>> {
        None
    }
}

/// A [`Body`] that iterates over rows itself.
pub trait ByRows<T, O, const N: usize> {
    /// Computes rows of `columns` columns.
    fn rows(&self, operands: [Rows<'_, T>; N], columns: usize, out: &mut [O]);
}

impl<T, O, F: Fn(&[&[T]; N], &mut [O]), const N: usize> Body<T, O, N> for F {
    fn piece(&self, operands: &[&[T]; N], out: &mut [O]) {
        self(operands, out);
    }
}

/// Rows of an operand at equal distances: their elements, or the one number of each.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    raw: &'a [T],
    first: isize,
    stride: isize,
    len: usize,
}

impl<'a, T> Rows<'a, T> {
    /// The elements of the next row.
    #[must_use]
    #[inline(always)]
    pub fn next_row(&mut self) -> &'a [T] {
        let row = &self.raw[self.first.cast_unsigned()..][..self.len];
        self.first += self.stride;
        row
    }
}

/// How an operand's rows of a band are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// They are contiguous.
    Whole,
    /// They are all the same row, which is repeated in a buffer.
    Same,
    /// They are copied one by one.
    Each,
}

/// The order in which `N` operands of one shape are read.
#[derive(Debug)]
pub struct Bands<const N: usize> {
    /// Axes outside that of the rows.
    outer: SmallVec<[Step<N>; 2]>,
    rows: Step<N>,
    columns: Step<N>,
    offsets: [isize; N],
    ways: [Way; N],
    /// Rows per band; `None` when all rows are passed at once.
    height: Option<usize>,
}

impl<const N: usize> Bands<N> {
    /// The order for operands with elements of `size` bytes and these layouts, which have one shape, for a body that takes rows or not.
    /// `None` when there is only one row, rows are not contiguous, or they are too short.
    #[must_use]
    pub fn new(layouts: &[Layout; N], size: usize, takes_rows: bool) -> Option<Self> {
        let mut outer = joined(layouts);
        let (columns, rows) = (outer.pop()?, outer.pop()?);
        if columns.1.iter().any(|step| !(0..=1).contains(step)) {
            return None;
        }
        let way = |i: usize, alone: bool| match (columns.1[i], rows.1[i]) {
            (1, _) if alone => Way::Whole,
            (_, 0) => Way::Same,
            (1, stride) if stride == columns.0.cast_signed() => Way::Whole,
            _ => Way::Each,
        };
        let high = (BAND / size / columns.0).min(rows.0);
        let in_bands = (0..N).all(|i| way(i, false) != Way::Each);
        let worth = high > 1 && high * columns.0 >= MIN_BLOCK_LEN && (columns.0 < SHORT_ROW_LEN || in_bands);
        let height = match columns.0 >= MIN_RUN {
            true if takes_rows && (columns.0 >= SHORT_ROW_LEN || !in_bands) => None,
            _ if worth => Some(high),
            true => Some(1),
            false => return None,
        };
        let ways = std::array::from_fn(|i| way(i, height == Some(1)));
        let offsets = layouts.each_ref().map(|l| l.offset().cast_signed());
        Some(Self { outer, rows, columns, offsets, ways, height })
    }

    /// Every start is a multiple of this number of elements.
    #[must_use]
    pub fn pitch(&self) -> usize {
        self.columns.0
    }

    /// Calls `body` with the operands and `out`, the result from element `start` on, until all is done.
    pub fn run<T: Plain, O>(&self, data: [&[T]; N], start: usize, out: &mut [O], body: &dyn Body<T, O, N>) {
        let ((columns, steps), (n, strides)) = (self.columns, self.rows);
        let array = |room: usize| (room > 0).then(|| Array::empty(&[room], T::DTYPE));
        let mut written = Written { arrays: std::array::from_fn(|i| array(self.room(i))), last: [None; N] };
        let by_rows = match (self.height, body.by_rows()) {
            (None, None) => unreachable!("these bands were made for a body that takes rows"),
            (None, by_rows) => by_rows,
            (Some(_), _) => None,
        };
        let (mut at, mut rest) = (start / columns, out);
        while rest.len() >= columns {
            let height = self.height.unwrap_or(usize::MAX).min(n - at % n).min(rest.len() / columns);
            let (band, tail) = rest.split_at_mut(height * columns);
            let (outer, place) = (position(&self.outer, at / n), (at % n).cast_signed());
            let firsts = std::array::from_fn(|i| self.offsets[i] + outer[i] + place * strides[i]);
            if let Some(body) = by_rows {
                let len = |i: usize| if steps[i] == 0 { 1 } else { columns };
                body.rows(std::array::from_fn(|i| Rows { raw: data[i], first: firsts[i], stride: strides[i], len: len(i) }), columns, band);
            } else {
                self.write(data, &firsts, height, &mut written);
                let pieces = std::array::from_fn(|i| match &written.arrays[i] {
                    None => &data[i][firsts[i].cast_unsigned()..][..band.len()],
                    Some(array) => &array.raw()[..band.len().min(self.room(i))],
                });
                body.piece(&pieces, band);
            }
            (at, rest) = (at + height, tail);
        }
    }

    /// Elements of operand `i` that are written to a buffer.
    fn room(&self, i: usize) -> usize {
        match self.height {
            None => 0,
            _ if self.ways[i] == Way::Whole => 0,
            // A number, or a row of equal numbers, to be reused.
            Some(1) => self.columns.0.min(PERIOD),
            Some(height) => height * self.columns.0,
        }
    }

    /// Writes the operands that cannot be passed as they are to buffers.
    fn write<T: Plain>(&self, data: [&[T]; N], firsts: &[isize; N], height: usize, written: &mut Written<N>) {
        let (columns, steps) = self.columns;
        for (i, array) in written.arrays.iter_mut().enumerate() {
            let Some(array) = array else { continue };
            let (to, first) = (array.fresh().as_mut_slice(), firsts[i]);
            if self.ways[i] == Way::Each {
                for (row, to) in to.chunks_mut(columns).take(height).enumerate() {
                    read_run(data[i], first + row.cast_signed() * self.rows.1[i], steps[i], to);
                }
            } else if written.last[i].replace(first) != Some(first) {
                repeat(data[i], first, steps[i], columns, to);
            }
        }
    }
}

/// Buffers of the operands that need one, and the row from which each is valid.
struct Written<const N: usize> {
    arrays: [Option<Array>; N],
    last: [Option<isize>; N],
}

#[cfg(test)]
mod tests {
    use super::super::Cursor;
    use super::*;

    /// Puts the two operands side by side, by rows where it is asked to.
    struct Pairs(bool);

    impl<T: Plain> Body<T, (T, T), 2> for Pairs {
        fn piece(&self, [a, b]: &[&[T]; 2], out: &mut [(T, T)]) {
            for (i, o) in out.iter_mut().enumerate() {
                *o = (a[i % a.len()], b[i % b.len()]);
            }
        }

        fn by_rows(&self) -> Option<&dyn ByRows<T, (T, T), 2>> {
            if self.0 { Some(self) } else { None }
        }
    }

    impl<T: Plain> ByRows<T, (T, T), 2> for Pairs {
        fn rows(&self, mut operands: [Rows<'_, T>; 2], columns: usize, out: &mut [(T, T)]) {
            for out in out.chunks_exact_mut(columns) {
                self.piece(&operands.each_mut().map(Rows::next_row), out);
            }
        }
    }

    fn check<T: Plain + PartialEq>(layouts: &[Layout; 2], data: &[T]) {
        let wanted = layouts.each_ref().map(|l| {
            let mut all = Vec::new();
            Cursor::new(l).for_each(|p| all.push(data[p]));
            all
        });
        let size = layouts[0].size();
        for takes_rows in [false, true] {
            let Some(bands) = Bands::new(layouts, size_of::<T>(), takes_rows) else { panic!("{layouts:?} has bands") };
            for unit in [size, bands.pitch(), 7 * bands.pitch()] {
                for start in (0..size).step_by(unit) {
                    let mut out = vec![(T::default(), T::default()); unit.min(size - start)];
                    bands.run([data, data], start, &mut out, &Pairs(takes_rows));
                    let right = |(i, o): (usize, &(T, T))| *o == (wanted[0][start + i], wanted[1][start + i]);
                    assert!(out.iter().enumerate().all(right), "{layouts:?} from {start}");
                }
            }
        }
    }

    #[test]
    fn operands_of_any_layout_come_in_order() {
        let data: Vec<f32> = (0_u16..20_000).map(f32::from).collect();
        let bytes: Vec<bool> = (0..20_000).map(|i| i % 7 < 3).collect();
        let (tall, deep) = (Layout::contiguous(&[900, 3]), Layout::contiguous(&[5, 40, 20]));
        let pairs = [
            [tall.clone(), Layout::strided(&[900, 3], &[0, 1], 5)],
            [tall.clone(), Layout::strided(&[900, 3], &[1, 0], 5)],
            [tall, Layout::contiguous(&[900, 8]).slice(1, 2, 3, 1)],
            [Layout::contiguous(&[40, 300]), Layout::strided(&[40, 300], &[0, 1], 0)],
            [Layout::strided(&[5, 40, 20], &[20, 0, 1], 2), deep.clone()],
            [Layout::strided(&[5, 40, 20], &[1, 0, 0], 2), deep.clone()],
            [Layout::strided(&[5, 40, 20], &[40, 1, 0], 2), deep.clone()],
            [Layout::strided(&[5, 40, 20], &[0, 20, 1], 2), Layout::strided(&[5, 40, 20], &[20, 0, 1], 0)],
            [Layout::contiguous(&[40, 5, 20]).permute(&[1, 0, 2]), deep],
            [Layout::contiguous(&[3, 20]), Layout::strided(&[3, 20], &[0, 1], 2)],
            [Layout::strided(&[3, 20], &[1, 0], 2), Layout::strided(&[3, 20], &[0, 1], 2)],
            [Layout::contiguous(&[4, 3000]), Layout::strided(&[4, 3000], &[0, 1], 2)],
            [Layout::contiguous(&[40, 300]), Layout::strided(&[40, 300], &[1, 0], 3)],
            [Layout::contiguous(&[40, 300]), Layout::contiguous(&[40, 310]).slice(1, 4, 300, 1)],
            [Layout::contiguous(&[40, 300]), Layout::contiguous(&[40, 300]).slice(0, 39, 40, -1)],
        ];
        for pair in &pairs {
            check(pair, &data);
            check(pair, &bytes);
        }
    }

    #[test]
    fn what_has_no_rows_is_left_to_others() {
        let none = |a: Layout, b: Layout| assert!([false, true].iter().all(|&rows| Bands::new(&[a.clone(), b.clone()], 4, rows).is_none()));
        none(Layout::contiguous(&[40, 30]), Layout::contiguous(&[30, 40]).permute(&[1, 0]));
        none(Layout::contiguous(&[4, 3]), Layout::strided(&[4, 3], &[0, 1], 0));
        none(Layout::contiguous(&[40]), Layout::strided(&[40], &[0], 0));
    }
}
