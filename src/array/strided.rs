//! Reading a strided array in row-major order, block by block.
//!
//! Every loop that has a broadcast, transposed or sliced operand reads it through a cursor, so kernels only see contiguous slices.

use smallvec::SmallVec;

use super::layout::Layout;

/// A layout with merged axes, for fast iteration.
#[derive(Clone, Debug)]
pub struct Cursor {
    /// Size and stride of the outer axes, outermost first.
    outer: SmallVec<[(usize, isize); 4]>,
    /// Length and stride of the innermost run.
    run: usize,
    step: isize,
    offset: usize,
}

impl Cursor {
    /// A cursor over all elements of `layout`.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        let mut outer = layout.coalesced();
        let (run, step) = outer.pop().unwrap_or((1, 1));
        Self { outer, run, step, offset: layout.offset() }
    }

    /// Copies the elements from row-major position `start` on to `out`. `data` is the whole storage; the range must be within the array.
    pub fn read<T: Copy>(&self, data: &[T], start: usize, out: &mut [T]) {
        if out.is_empty() {
            return;
        }
        let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, self.outer.len());
        let mut column = start % self.run;
        if column == 0 && self.run < out.len() && self.outer.iter().all(|&(_, s)| s == 0) {
            return repeat(data, self.offset.cast_signed(), self.step, self.run, out);
        }
        let mut rest = start / self.run;
        let mut base = self.offset.cast_signed();
        for (i, &(n, s)) in index.iter_mut().zip(&self.outer).rev() {
            *i = rest % n;
            rest /= n;
            base += i.cast_signed() * s;
        }
        let mut done = 0;
        loop {
            if column == 0
                && self.run <= SHORT_RUN_LEN
                && let (Some(&(n, s)), Some(i)) = (self.outer.last(), index.last_mut())
            {
                let rows = (n - *i).min((out.len() - done) / self.run);
                read_rows(data, [base, s, self.step], self.run, &mut out[done..done + rows * self.run]);
                done += rows * self.run;
                if done == out.len() {
                    return;
                }
                // No rows when the rest is part of a row.
                if rows > 0 {
                    *i += rows - 1;
                    base += (rows - 1).cast_signed() * s;
                    next(&mut index, &self.outer, &mut base);
                    continue;
                }
            }
            let count = (self.run - column).min(out.len() - done);
            let first = base + column.cast_signed() * self.step;
            read_run(data, first, self.step, &mut out[done..done + count]);
            done += count;
            if done == out.len() {
                return;
            }
            column = 0;
            next(&mut index, &self.outer, &mut base);
        }
    }

    /// Calls `f` with the storage index of every element in row-major order.
    pub fn for_each(&self, mut f: impl FnMut(usize)) {
        self.for_each_run(|first, step, len| {
            for c in 0..len.cast_signed() {
                f((first.cast_signed() + c * step).cast_unsigned());
            }
        });
    }

    /// Calls `f` with first index, stride and length of every innermost run, in row-major order.
    pub fn for_each_run(&self, mut f: impl FnMut(usize, isize, usize)) {
        let rows: usize = self.outer.iter().map(|&(n, _)| n).product();
        if rows == 0 || self.run == 0 {
            return;
        }
        let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, self.outer.len());
        let mut base = self.offset.cast_signed();
        for _ in 0..rows {
            f(base.cast_unsigned(), self.step, self.run);
            for (i, &(n, s)) in index.iter_mut().zip(&self.outer).rev() {
                *i += 1;
                base += s;
                if *i < n {
                    break;
                }
                *i = 0;
                base -= n.cast_signed() * s;
            }
        }
    }

    /// Length of the innermost runs.
    #[must_use]
    pub fn run(&self) -> usize {
        self.run
    }
}

/// Runs of at most this many elements are read several rows at a time.
const SHORT_RUN_LEN: usize = 8;

/// The next row.
#[inline]
fn next(index: &mut [usize], outer: &[(usize, isize)], base: &mut isize) {
    for (i, &(n, s)) in index.iter_mut().zip(outer).rev() {
        *i += 1;
        *base += s;
        if *i < n {
            return;
        }
        *i = 0;
        *base -= n.cast_signed() * s;
    }
}

/// Reads whole rows of `run` elements, `step` apart. The first row begins at `first`, and rows are `pitch` apart.
fn read_rows<T: Copy>(data: &[T], [first, pitch, step]: [isize; 3], run: usize, out: &mut [T]) {
    if pitch == 0 {
        return repeat(data, first, step, run, out);
    }
    match run {
        1 => read_run(data, first, pitch, out),
        2 => rows_of::<T, 2>(data, [first, pitch, step], out),
        3 => rows_of::<T, 3>(data, [first, pitch, step], out),
        4 => rows_of::<T, 4>(data, [first, pitch, step], out),
        _ => {
            for (k, row) in out.chunks_exact_mut(run).enumerate() {
                read_run(data, first + k.cast_signed() * pitch, step, row);
            }
        }
    }
}

/// [`read_rows`] with a length that is known at compile time.
#[inline(always)]
fn rows_of<T: Copy, const N: usize>(data: &[T], [first, pitch, step]: [isize; 3], out: &mut [T]) {
    let (rows, _) = out.as_chunks_mut::<N>();
    for (k, row) in rows.iter_mut().enumerate() {
        let at = first + k.cast_signed() * pitch;
        for (j, o) in row.iter_mut().enumerate() {
            *o = data[(at + j.cast_signed() * step).cast_unsigned()];
        }
    }
}

/// Repeats a run of `len` elements, `step` apart from `first` on, until `out` is full. Each copy doubles what is there.
pub(super) fn repeat<T: Copy>(data: &[T], first: isize, step: isize, len: usize, out: &mut [T]) {
    let mut done = len.min(out.len());
    read_run(data, first, step, &mut out[..done]);
    while done < out.len() {
        let n = done.min(out.len() - done);
        out.copy_within(..n, done);
        done += n;
    }
}

/// `out.len()` elements from `first`, `step` apart.
#[inline]
pub(super) fn read_run<T: Copy>(data: &[T], first: isize, step: isize, out: &mut [T]) {
    let start = first.cast_unsigned();
    match step {
        1 => out.copy_from_slice(&data[start..start + out.len()]),
        0 => out.fill(data[start]),
        _ if step > 0 => {
            for (o, x) in out.iter_mut().zip(data[start..].iter().step_by(step.cast_unsigned())) {
                *o = *x;
            }
        }
        _ => {
            for (o, x) in out.iter_mut().zip(data[..=start].iter().rev().step_by(step.unsigned_abs())) {
                *o = *x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_any_layout_from_any_place() {
        let data: Vec<usize> = (0..60).collect();
        let base = Layout::contiguous(&[3, 4, 5]);
        let layouts = [
            base.clone(),
            base.permute(&[2, 0, 1]),
            base.permute(&[1, 2, 0]).slice(0, 3, 2, -2),
            base.slice(2, 4, 5, -1),
            Layout::strided(&[2, 7], &[3, 0], 5),
            Layout::strided(&[7, 2], &[0, -3], 5),
            Layout::contiguous(&[]),
        ];
        for layout in layouts {
            let cursor = Cursor::new(&layout);
            let mut all = Vec::new();
            cursor.for_each(|p| all.push(data[p]));
            assert_eq!(all.len(), layout.size());
            for start in 0..layout.size() {
                let mut out = vec![0; (layout.size() - start).min(11)];
                cursor.read(&data, start, &mut out);
                assert_eq!(out, all[start..start + out.len()]);
            }
        }
    }
}
