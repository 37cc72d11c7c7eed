//! Writing a part of an array: slices, diagonals, parts of a concatenation.

use smallvec::SmallVec;

use crate::array::{Array, Cursor, Layout, Plain, Shape, alloc_check};
use crate::dispatch;
use crate::kernel::cast::in_single;

/// For shorter runs a cursor per run does not pay.
const SHORT_RUN_LEN: usize = 32;

/// Writes `value`, broadcast, to the part of `target` that `part` selects from its layout. No element may be selected twice. In place when
/// the target is unshared, else in a copy.
///
/// # Panics
/// When dtypes differ or the value does not broadcast to the part: bugs of the caller.
pub fn write(target: &mut Array, part: impl FnOnce(&Layout) -> Layout, value: &Array) {
    assert_eq!(target.dtype(), value.dtype(), "values are cast before they are written");
    dispatch!(bits target.dtype(), T => {
        let (data, whole) = target.raw_mut::<T>();
        let part = part(whole);
        write_as::<T>(data, &part, value);
    });
}

fn write_as<T: Plain>(data: &mut [T], part: &Layout, value: &Array) {
    let to = Cursor::new(part);
    if value.size() == 1 {
        let v = value.raw::<T>()[value.layout().offset()];
        return to.for_each_run(|first, step, len| store(data, first, step, std::iter::repeat_n(v, len)));
    }
    let Ok(layout) = value.layout().broadcast_to("write", part.shape()) else { unreachable!("values are checked before they are written") };
    let mut value = value.with_layout(layout);
    if to.run() < SHORT_RUN_LEN {
        value = value.contiguous();
    }
    let mut done = 0;
    if let Some(all) = value.as_slice::<T>() {
        return to.for_each_run(|first, step, len| {
            let row = &all[done..done + len];
            done += len;
            if step == 1 { data[first..first + len].copy_from_slice(row) } else { store(data, first, step, row.iter().copied()) }
        });
    }
    let (from, raw) = (Cursor::new(value.layout()), value.raw::<T>());
    let mut buffer = alloc_check::filled(T::default(), to.run());
    to.for_each_run(|first, step, len| {
        if step == 1 {
            from.read(raw, done, &mut data[first..first + len]);
        } else {
            from.read(raw, done, &mut buffer);
            store(data, first, step, buffer.iter().copied());
        }
        done += len;
    });
}

fn store<T>(data: &mut [T], first: usize, step: isize, values: impl Iterator<Item = T>) {
    let mut place = first.cast_signed();
    for v in values {
        data[place.cast_unsigned()] = v;
        place += step;
    }
}

/// Adds `value` to the part of `target` that `part` selects from its layout, as [`write()`] writes it.
///
/// # Panics
/// When dtypes differ or are not inexact, or when the shape of the value is not that of the part: bugs of the caller.
pub fn add(target: &mut Array, part: impl FnOnce(&Layout) -> Layout, value: &Array) {
    if target.dtype().is_half() {
        return in_single(target, value, |target, value| add(target, part, value));
    }
    let value = value.contiguous();
    dispatch!(inexact target.dtype(), T => {
        let Some(all) = value.as_slice::<T>() else { unreachable!("it was made contiguous") };
        let (data, whole) = target.raw_mut::<T>();
        let part = part(whole);
        assert_eq!(part.shape(), value.shape(), "a gradient has its value's shape");
        let mut done = 0;
        Cursor::new(&part).for_each_run(|first, step, len| {
            let row = &all[done..done + len];
            done += len;
            if step == 1 {
                data[first..first + len].iter_mut().zip(row).for_each(|(d, v)| *d += v);
            } else {
                row.iter().enumerate().for_each(|(k, v)| data[first.wrapping_add_signed(step * k.cast_signed())] += v);
            }
        });
    }, else unreachable!("gradients are floating"));
}

/// Concatenates arrays of one dtype along `axis`; their other sizes must agree.
///
/// # Panics
/// When there is none: a bug of the caller.
#[must_use]
pub fn concat(parts: &[Array], axis: usize) -> Array {
    let mut shape = Shape::from_slice(parts[0].shape());
    shape[axis] = parts.iter().map(|p| p.shape()[axis]).sum();
    let mut out = Array::empty(&shape, parts[0].dtype());
    let mut start = 0;
    for p in parts {
        let n = p.shape()[axis];
        write(&mut out, |whole| whole.slice(axis, start, n, 1), p);
        start += n;
    }
    out
}

/// `x` rolled along each of `axes` by its shift: elements that leave at one end enter at the other.
#[must_use]
pub fn roll(x: &Array, turns: &[(usize, isize)]) -> Array {
    let mut out = x.clone();
    for &(axis, shift) in turns {
        let n = x.shape()[axis];
        if n < 2 || shift.rem_euclid(n.cast_signed()) == 0 {
            continue;
        }
        let cut = n - shift.rem_euclid(n.cast_signed()).cast_unsigned();
        let piece = |from: usize, to: usize| out.with_layout(out.layout().slice(axis, from, to - from, 1));
        out = concat(&[piece(cut, n), piece(0, cut)], axis);
    }
    out
}

/// The layout of the diagonal of the last two axes in `order`, `offset` above the main diagonal. The diagonal is the last axis.
#[must_use]
pub fn diagonal(whole: &Layout, offset: isize, axes: [usize; 2]) -> Layout {
    let [a, b] = axes;
    let (rows, columns) = (whole.shape()[a], whole.shape()[b]);
    let (down, right) = if offset < 0 { (offset.unsigned_abs(), 0) } else { (0, offset.unsigned_abs()) };
    let n = rows.saturating_sub(down).min(columns.saturating_sub(right));
    let kept: SmallVec<[usize; 4]> = (0..whole.ndim()).filter(|&i| i != a && i != b).collect();
    let shape: Shape = kept.iter().map(|&i| whole.shape()[i]).chain([n]).collect();
    let strides: SmallVec<[isize; 4]> = kept.iter().map(|&i| whole.strides()[i]).chain([whole.strides()[a] + whole.strides()[b]]).collect();
    let from = if n == 0 { whole.clone() } else { whole.slice(a, down, 1, 1).slice(b, right, 1, 1) };
    Layout::strided(&shape, &strides, from.offset())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::DType;

    fn arange(shape: &[usize]) -> Array {
        let n: usize = shape.iter().product();
        Array::from_slice(&(0_i32..).take(n).map(f64::from).collect::<Vec<_>>(), shape)
    }

    #[test]
    fn writes_any_part_from_any_layout() {
        for n in [4, 40] {
            let value = arange(&[n, 3]);
            let turned = value.with_layout(value.layout().permute(&[1, 0]));
            for step in [1_isize, -1, 2] {
                let mut out = Array::zeros(&[3, 2 * n], DType::F64);
                let part = |l: &Layout| l.slice(1, if step < 0 { n - 1 } else { 0 }, n, step);
                write(&mut out, part, &turned);
                assert_eq!(out.with_layout(part(out.layout())).to_vec::<f64>(), turned.to_vec::<f64>());
                let others = out.to_vec::<f64>().iter().filter(|x| **x != 0.0).count();
                assert_eq!(others, 3 * n - 1, "nothing else is written");
            }
        }
    }

    #[test]
    fn rolls_and_diagonals() {
        let x = arange(&[2, 3]);
        assert_eq!(roll(&x, &[(1, -1), (0, 3)]).to_vec::<f64>(), [4.0, 5.0, 3.0, 1.0, 2.0, 0.0]);
        let d = |k| x.with_layout(diagonal(x.layout(), k, [0, 1])).to_vec::<f64>();
        assert_eq!((d(0), d(1), d(-1), d(7)), (vec![0.0, 4.0], vec![1.0, 5.0], vec![3.0], vec![]));
    }
}
