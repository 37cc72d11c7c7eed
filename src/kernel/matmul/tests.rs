//! Comparison with a triple loop: shapes, strides, accumulation, element types, thread counts.

use std::fmt::Debug;

use super::*;
use crate::kernel::parallel;
use crate::kernel::simd::Baseline;

/// What the tests need of an element: small values, and equality up to rounding.
trait Sample: MatElement + PartialEq + Debug {
    fn sample(i: usize) -> Self;
}

/// Multiples of 1/8 below 2 in magnitude: sums of thousands of products are exact, so any order gives the same result.
macro_rules! float_sample {
    ($($t:ty)*) => {$(impl Sample for $t {
        fn sample(i: usize) -> Self {
            <$t>::from(u8::try_from(i * 37 % 31).unwrap()) / 8.0 - 1.875
        }
    })*};
}
macro_rules! integer_sample {
    ($($t:ty)*) => {$(impl Sample for $t {
        fn sample(i: usize) -> Self {
            <$t>::MAX / <$t>::try_from(i * 37 % 31 + 1).unwrap()
        }
    })*};
}
float_sample!(f32 f64);
integer_sample!(i32 i64 u8);

impl Sample for bool {
    fn sample(i: usize) -> Self {
        i.is_multiple_of(5)
    }
}

fn samples<T: Sample>(len: usize, seed: usize) -> Vec<T> {
    (seed..seed + len).map(T::sample).collect()
}

/// A layout of `rows` by `cols`: (length, offset, strides).
type Layout = fn(usize, usize) -> (usize, usize, [isize; 2]);

fn signed(x: usize) -> isize {
    x.cast_signed()
}

/// By rows, by columns, with gaps, reversed, every second element.
const LAYOUTS: [Layout; 5] = [
    |r, c| (r * c, 0, [signed(c), 1]),
    |r, c| (r * c, 0, [1, signed(r)]),
    |r, c| (r * (c + 3) + 5, 5, [signed(c) + 3, 1]),
    |r, c| (r * c + 1, r * c, [-signed(c), -1]),
    |r, c| (2 * r * c + 1, 1, [2, 2 * signed(r)]),
];

/// For inputs also: a repeated row, a repeated column, one element for all.
const BROADCAST: [Layout; 3] = [|_, c| (c, 0, [0, 1]), |r, _| (2 * r, 0, [2, 0]), |_, _| (1, 0, [0, 0])];

fn view<T>(data: &[T], layout: Layout, rows: usize, cols: usize) -> MatRef<'_, T> {
    let (_, offset, [rs, cs]) = layout(rows, cols);
    MatRef::new(data, offset, rows, cols, rs, cs)
}

fn get<T: Copy>(v: MatRef<T>, i: usize, j: usize) -> T {
    let at = signed(v.offset) + signed(i) * v.row_stride + signed(j) * v.col_stride;
    v.data[at.cast_unsigned()]
}

fn check<T: Sample>([m, k, n]: [usize; 3], [a, b, c]: [Layout; 3], accumulate: bool) {
    let a_data = samples::<T>(a(m, k).0.max(2), 3);
    let b_data = samples::<T>(b(k, n).0.max(2), 11);
    let before = samples::<T>(c(m, n).0, 23);
    let mut after = before.clone();
    let (x, y) = (view(&a_data, a, m, k), view(&b_data, b, k, n));
    let (_, offset, [rs, cs]) = c(m, n);
    matmul(x, y, MatMut::new(&mut after, offset, m, n, rs, cs), accumulate);
    let mut expected = before;
    for i in 0..m {
        for j in 0..n {
            let at = signed(offset) + signed(i) * rs + signed(j) * cs;
            let sum = &mut expected[at.cast_unsigned()];
            let zero = if accumulate { *sum } else { T::ZERO };
            *sum = (0..k).fold(zero, |s, l| T::mul_add::<Baseline>(s, get(x, i, l), get(y, l, j)));
        }
    }
    let what = std::any::type_name::<T>();
    assert!(expected == after, "{what} {m}x{k}x{n}"); // also the elements between those of `c`
}

fn check_layouts<T: Sample>(shape: [usize; 3]) {
    for (i, c) in LAYOUTS.into_iter().enumerate() {
        for a in LAYOUTS.into_iter().chain(BROADCAST) {
            for b in LAYOUTS.into_iter().chain(BROADCAST) {
                check::<T>(shape, [a, b, c], i % 2 == 0);
                check::<T>(shape, [a, b, c], i % 2 == 1);
            }
        }
    }
}

#[test]
fn every_layout() {
    let shapes = [
        [1, 1, 1],
        [2, 3, 4],
        [1, 40, 33],
        [33, 40, 1],
        [1, 300, 1],
        [17, 1, 19],
        [17, 2, 19],
        [5, 70, 9],
        [25, 33, 29],
        [19, 10, 1],
        [1, 31, 9],
        [7, 32, 1],
        [3, 65, 1],
    ];
    for shape in shapes {
        check_layouts::<f32>(shape);
        check_layouts::<f64>(shape);
    }
    for shape in [[1, 1, 1], [3, 4, 5], [1, 9, 7], [7, 9, 1]] {
        check_layouts::<i32>(shape);
        check_layouts::<i64>(shape);
        check_layouts::<u8>(shape);
        check_layouts::<bool>(shape);
    }
}

#[test]
fn empty_dimensions() {
    for shape in [[0, 3, 4], [2, 0, 4], [2, 3, 0], [0, 0, 0], [1, 0, 1]] {
        for accumulate in [false, true] {
            let by_rows = LAYOUTS[0];
            check::<f32>(shape, [by_rows; 3], accumulate);
            check::<i64>(shape, [by_rows; 3], accumulate);
            check::<bool>(shape, [LAYOUTS[1]; 3], accumulate);
        }
    }
}

#[test]
fn many_sizes() {
    let [rows, columns, ..] = LAYOUTS;
    let sizes = [1, 7, 8, 16, 31, 65];
    for m in sizes {
        for k in sizes {
            for n in sizes {
                check::<f32>([m, k, n], [rows; 3], false);
                check::<f64>([m, k, n], [rows, columns, rows], true);
                check::<f32>([m, k, n], [columns, rows, rows], true);
                check::<f64>([m, k, n], [columns, columns, rows], false);
            }
        }
    }
    // Tiles: strips, bands, both; copied rows; vectors.
    let split = [[130, 257, 200], [2000, 64, 40], [40, 64, 2000], [64, 1500, 64], [5, 15000, 70]];
    for shape in split.into_iter().chain([[1, 900, 1300], [1300, 900, 1], [1, 9, 2100], [2051, 10, 1]]) {
        for a in [rows, columns, LAYOUTS[3]] {
            check::<f32>(shape, [a, rows, rows], false);
        }
        check::<f64>(shape, [columns, columns, LAYOUTS[2]], true);
    }
    check::<i32>([90, 80, 100], [rows; 3], true);
}

#[test]
fn the_old_values_do_not_matter() {
    for size in [2, 9, 40] {
        let ones = vec![1.0_f32; size * size];
        let mut c = vec![f32::NAN; size * size];
        let side = signed(size);
        let one = MatRef::new(&ones, 0, size, size, side, 1);
        matmul(one, one.t(), MatMut::new(&mut c, 0, size, size, side, 1), false);
        assert!(c.iter().all(|&x| (0.0..50.0).contains(&x)));
    }
}

/// Not exact, so that another order of additions would show.
fn uneven<T: Sample + std::ops::Div<Output = T>>(len: usize) -> Vec<T> {
    let divisor = |i: usize| T::sample(i % 7 * 5 + 2);
    (0..len).map(|i| T::sample(i) / divisor(i)).collect()
}

fn bits_with_any_thread_count<T: Sample + std::ops::Div<Output = T>>() {
    let run = |[m, k, n]: [usize; 3], layouts: [Layout; 2]| {
        let (a, b) = (uneven::<T>(m * k), uneven::<T>(k * n));
        let mut c = uneven::<T>(m * n);
        let (x, y) = (view(&a, layouts[0], m, k), view(&b, layouts[1], k, n));
        matmul(x, y, MatMut::new(&mut c, 0, m, n, signed(n), 1), true);
        c
    };
    for shape in [[130, 257, 200], [1, 900, 1300], [1300, 900, 1], [2000, 64, 40], [40, 64, 2000], [48, 2000, 48], [120_000, 10, 1], [1, 10, 120_000]]
    {
        for a in [LAYOUTS[0], LAYOUTS[1]] {
            let results = [1, 2, 3, 4].map(|threads| parallel::with_threads(threads, || run(shape, [a, a])));
            assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{shape:?}");
        }
    }
}

#[test]
fn the_same_bits_with_any_thread_count() {
    bits_with_any_thread_count::<f32>();
    bits_with_any_thread_count::<f64>();
}

/// `count` products; `a` is the same matrix for all, every `b` is stored by columns, the outputs are in reverse order.
fn check_batch<T: Sample>(count: usize, [m, k, n]: [usize; 3], accumulate: bool) {
    let (a, b) = (samples::<T>(m * k, 1), samples::<T>(count * k * n, 2));
    let mut c = samples::<T>(count * m * n, 3);
    let mut expected = c.clone();
    let shape = ProductShape { m, k, n, a_strides: (signed(k), 1), b_strides: (1, signed(k)), c_strides: (signed(n), 1) };
    let (mut b_offsets, mut c_offsets) = (Vec::new(), Vec::new());
    for i in 0..count {
        b_offsets.push(i * k * n);
        c_offsets.push((count - 1 - i) * m * n);
        let x = view(&a, LAYOUTS[0], m, k);
        let y = MatRef::new(&b, b_offsets[i], k, n, 1, signed(k));
        let z = MatMut::new(&mut expected, c_offsets[i], m, n, signed(n), 1);
        matmul(x, y, z, accumulate);
    }
    let offsets = BatchOffsets { a: &vec![0; count], b: &b_offsets, c: &c_offsets };
    matmul_batch(&a, &b, &mut c, &shape, offsets, accumulate);
    assert_eq!(c, expected);
}

#[test]
fn batches() {
    for accumulate in [false, true] {
        for shape in [[2, 3, 4], [1, 5, 1], [33, 20, 17], [0, 3, 2], [2, 0, 2]] {
            for count in [0, 1, 3, 70] {
                check_batch::<f32>(count, shape, accumulate);
                check_batch::<f64>(count, shape, accumulate);
                check_batch::<i64>(count, shape, accumulate);
            }
        }
        check_batch::<f32>(300, [20, 30, 40], accumulate);
        check_batch::<f32>(3, [170, 190, 180], accumulate);
    }
}

fn panics(f: impl FnOnce() + std::panic::UnwindSafe) -> bool {
    std::panic::catch_unwind(f).is_err()
}

#[test]
fn refuses_what_is_outside_or_overlaps() {
    let data = [0_i32; 12];
    assert!(panics(move || _ = MatRef::new(&data, 0, 3, 4, 5, 1)));
    assert!(panics(move || _ = MatRef::new(&data, 0, 3, 4, -4, 1)));
    assert!(panics(move || _ = MatRef::new(&data, 0, 1, 2, 0, isize::MAX)));
    assert!(panics(move || _ = MatRef::new(&data, 12, 1, 1, 0, 0)));
    assert_eq!(MatRef::new(&data, 99, 0, 4, 4, 1).t().cols(), 0);
    let write = |rows, cols, rs, cs| panics(move || _ = MatMut::new(&mut [0_i32; 12], 0, rows, cols, rs, cs));
    assert!(write(2, 1, 0, 1) && write(2, 2, 1, 1) && write(3, 4, 3, 1));
    assert!(!write(1, 4, 0, 1) && !write(4, 3, 1, 4) && !write(2, 3, 6, 2));
    let batch = |c: [usize; 2], n| {
        panics(move || {
            let shape = ProductShape { m: 1, k: 1, n, a_strides: (1, 1), b_strides: (1, 1), c_strides: (1, 1) };
            let offsets = BatchOffsets { a: &[0, 0], b: &[0, 1], c: &c };
            matmul_batch(&[1; 6], &[1; 6], &mut [0; 6], &shape, offsets, false);
        })
    };
    assert!(batch([0, 1], 2) && batch([3, 4], 3) && batch([0, 5], 2));
    assert!(!batch([3, 0], 3) && !batch([0, 2], 2) && !batch([0, 0], 0));
}
