//! Comparison with another implementation, the crate `gemm`: random sizes, layouts and values, and non-finite values.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Sub};

use super::*;
use crate::kernel::parallel;

/// What the tests need of a float.
trait Float: MatElement + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + PartialOrd + Debug + From<i16> {
    const EPSILON: Self;
    const NAN: Self;
    const INFINITY: Self;
    fn abs(self) -> Self;
    fn bits(self) -> u64;
    fn is_nan(self) -> bool;
}

macro_rules! float {
    ($($t:ident)*) => {$(impl Float for $t {
        const EPSILON: Self = $t::EPSILON;
        const NAN: Self = $t::NAN;
        const INFINITY: Self = $t::INFINITY;
        fn abs(self) -> Self {
            self.abs()
        }
        fn bits(self) -> u64 {
            self.to_bits().into()
        }
        fn is_nan(self) -> bool {
            self.is_nan()
        }
    })*};
}
float!(f32 f64);

/// A linear congruential generator.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % n as u64).unwrap()
    }

    fn values<T: Float>(&mut self, n: usize) -> Vec<T> {
        let mut whole = || T::from(i16::try_from(self.below(2001)).unwrap() - 1000);
        (0..n).map(|_| whole() / T::from(777)).collect()
    }

    /// Values, and a layout of a matrix over them: by rows or columns, with gaps, reversed, or broadcast if `repeats`.
    fn layout(&mut self, rows: usize, cols: usize, repeats: bool) -> (usize, usize, [isize; 2]) {
        let (gap, step) = (self.below(4), 1 + self.below(2) * self.below(3));
        let mut strides = [(step * cols + gap).cast_signed(), step.cast_signed()];
        if self.below(2) == 0 {
            strides = [step.cast_signed(), (step * rows + gap).cast_signed()];
        }
        for stride in &mut strides {
            match self.below(8) {
                0 => *stride = -*stride,
                1 if repeats => *stride = 0,
                _ => {}
            }
        }
        let reach = |size: usize, stride: isize| size.saturating_sub(1) * stride.unsigned_abs();
        let back = |size, stride| if stride < 0 { reach(size, stride) } else { 0 };
        let offset = back(rows, strides[0]) + back(cols, strides[1]);
        (reach(rows, strides[0]) + reach(cols, strides[1]) + 1, offset, strides)
    }
}

/// Compares one random product: the error of a sum is at most its length times that of one addition.
fn check<T: Float>(random: &mut Random, [m, k, n]: [usize; 3]) {
    let accumulate = random.below(2) == 0;
    let (layout_a, layout_b, layout_c) = (random.layout(m, k, true), random.layout(k, n, true), random.layout(m, n, false));
    let (a, b) = (random.values::<T>(layout_a.0), random.values::<T>(layout_b.0));
    let before = random.values::<T>(layout_c.0);
    let (mut after, mut expected) = (before.clone(), before);
    let ((_, at_a, [ars, acs]), (_, at_b, [brs, bcs]), (_, at_c, [crs, ccs])) = (layout_a, layout_b, layout_c);
    let (x, y) = (MatRef::new(&a, at_a, m, k, ars, acs), MatRef::new(&b, at_b, k, n, brs, bcs));
    matmul(x, y, MatMut::new(&mut after, at_c, m, n, crs, ccs), accumulate);
    if m * n > 0 && (k > 0 || !accumulate) {
        let (p, q, r) = (a.as_ptr().wrapping_add(at_a), b.as_ptr().wrapping_add(at_b), expected.as_mut_ptr().wrapping_add(at_c));
        let threads = gemm::Parallelism::None;
        // SAFETY: the views above have the same elements inside the same slices.
        unsafe { gemm::gemm(m, n, k, r, ccs, crs, accumulate, p, acs, ars, q, bcs, brs, T::ONE, T::ONE, false, false, false, threads) };
    }
    // Products are below two in magnitude, and partial sums rarely exceed a large result.
    let unit = T::EPSILON * T::from(i16::try_from(k + 2).unwrap());
    for (new, old) in after.iter().zip(&expected) {
        assert!(
            (*new - *old).abs() <= unit * (T::from(4) + old.abs()),
            "{m}x{k}x{n} {layout_a:?} {layout_b:?} {layout_c:?} {accumulate}: {new:?} for {old:?}"
        );
    }
}

#[test]
fn random_products() {
    let sizes = [0, 1, 2, 3, 5, 7, 13, 16, 17, 24, 31, 64, 97, 128, 131];
    let mut random = Random(1);
    for round in 0..600 {
        let shape = [(); 3].map(|()| sizes[random.below(if round % 2 == 0 { 9 } else { sizes.len() })]);
        check::<f32>(&mut random, shape);
        check::<f64>(&mut random, shape);
    }
    // Several parts of `k`; panels and tiles of every size; many threads' worth.
    for shape in [[100, 300, 100], [30, 1031, 50], [97, 513, 130], [257, 259, 263], [1, 2000, 3000], [3000, 2000, 1], [2, 5000, 9]] {
        check::<f32>(&mut random, shape);
        check::<f64>(&mut random, shape);
    }
}

/// A non-finite element affects its row or column of the output, and nothing else.
fn spreads<T: Float>([m, k, n]: [usize; 3]) {
    for (value, by_columns) in [(T::NAN, false), (T::INFINITY, false), (T::NAN, true), (T::INFINITY, true)] {
        let (mut a, b) = (vec![T::ONE; m * k], vec![T::ONE; k * n]);
        let (row, l) = (m - 1, k / 2);
        let strides = if by_columns { [1, m] } else { [k, 1] };
        a[row * strides[0] + l * strides[1]] = value;
        let mut c = vec![T::NAN; m * n];
        let [rs, cs] = strides.map(usize::cast_signed);
        let x = MatRef::new(&a, 0, m, k, rs, cs);
        let y = if by_columns { MatRef::new(&b, 0, k, n, 1, k.cast_signed()) } else { MatRef::new(&b, 0, k, n, n.cast_signed(), 1) };
        matmul(x, y, MatMut::new(&mut c, 0, m, n, n.cast_signed(), 1), false);
        let length = T::from(i16::try_from(k).unwrap());
        for (i, &sum) in c.iter().enumerate() {
            let right = if i / n == row { sum.bits() == value.bits() || (value.is_nan() && sum.is_nan()) } else { sum == length };
            assert!(right, "{m}x{k}x{n}, {value:?}: {sum:?} at {i}");
        }
    }
}

#[test]
fn what_is_not_finite_spreads_as_it_should() {
    for shape in [[1, 9, 1], [1, 70, 33], [33, 70, 1], [3, 4, 5], [7, 40, 10], [65, 300, 50]] {
        spreads::<f32>(shape);
        spreads::<f64>(shape);
    }
}

/// The bits of an element depend on its row, its column and the layout, and neither on the other elements nor on threads.
fn same_alone<T: Float>(threads: usize) {
    let (m, k, n) = (130, 700, 210);
    let mut random = Random(7);
    let (a, b) = (random.values::<T>(m * k), random.values::<T>(k * n));
    let stride = n.cast_signed();
    let product = |rows: usize, cols: usize| {
        let mut c = vec![T::ZERO; m * n];
        let (x, y) = (MatRef::new(&a, 0, rows, k, k.cast_signed(), 1), MatRef::new(&b, 0, k, cols, stride, 1));
        matmul(x, y, MatMut::new(&mut c, 0, rows, cols, stride, 1), false);
        c
    };
    let whole = product(m, n);
    for (rows, cols) in [(2, 2), (7, 5), (64, 130), (130, 17), (3, 210)] {
        let part = product(rows, cols);
        let equal = (0..rows).all(|i| (0..cols).all(|j| part[i * n + j].bits() == whole[i * n + j].bits()));
        assert!(equal, "{rows} rows and {cols} columns, {threads} threads");
    }
}

#[test]
fn an_element_has_the_same_bits_in_a_product_of_any_size() {
    for threads in [1, 3] {
        parallel::with_threads(threads, || {
            same_alone::<f32>(threads);
            same_alone::<f64>(threads);
        });
    }
}

/// Products with packed `b` have the same bits, and the epilogue gets every row once, complete.
fn panels_and_rows<T: Float>([count, m, k, n]: [usize; 4], by_columns: bool, accumulate: bool) {
    let mut random = Random(5);
    let (a, b, old) = (random.values::<T>(count * m * k), random.values::<T>(k * n), random.values::<T>(count * m * n));
    let (k_step, n_step) = (k.cast_signed(), n.cast_signed());
    let b_strides = if by_columns { (1, k_step) } else { (n_step, 1) };
    let shape = ProductShape { m, k, n, a_strides: (k_step, 1), b_strides, c_strides: (n_step, 1) };
    let (of_a, of_b): (Vec<usize>, Vec<usize>) = ((0..count).map(|i| i * m * k).collect(), vec![0; count]);
    let of_c: Vec<usize> = (0..count).map(|i| i * m * n).collect();
    let offsets = BatchOffsets { a: &of_a, b: &of_b, c: &of_c };
    let mut want = old.clone();
    matmul_batch(&a, &b, &mut want, &shape, offsets, accumulate);
    let mut panels = vec![T::ZERO; panels_len::<T>(k, n)];
    pack(MatRef::new(&b, 0, k, n, b_strides.0, b_strides.1), &mut panels);
    let ways = [Some(Right::Plain(&b[..])), reads_panels::<T>(m, k, n).then_some(Right::Panels(&panels[..]))];
    for right in ways.into_iter().flatten() {
        let (mut got, mut seen) = (old.clone(), vec![T::ZERO; old.len()]);
        let finish = |start: usize, rows: &mut [T], mut others: SmallVec<[&mut [T]; 4]>| {
            for (i, (x, other)) in rows.iter_mut().zip(others[0].iter_mut()).enumerate() {
                assert!(x.bits() == want[start + i].bits(), "{m}x{k}x{n}: {x:?} at {}", start + i);
                assert!(*other == T::ZERO, "{m}x{k}x{n}: element {} was seen before", start + i);
                *other = T::ONE;
                *x = x.plus(T::ONE);
            }
        };
        let after = After { others: SmallVec::from_iter([&mut seen[..]]), finish: &finish };
        matmul_then(&a, right, &mut got, &shape, offsets, accumulate, Some(after));
        assert!(seen.iter().all(|x| *x == T::ONE), "{m}x{k}x{n}: not all rows were seen");
        assert!(got.iter().zip(&want).all(|(x, y)| x.bits() == y.plus(T::ONE).bits()), "{m}x{k}x{n}");
        got.copy_from_slice(&old);
        matmul_then(&a, right, &mut got, &shape, offsets, accumulate, None);
        assert!(got.iter().zip(&want).all(|(x, y)| x.bits() == y.bits()), "{m}x{k}x{n}");
    }
}

#[test]
fn panels_that_are_given_and_rows_that_are_complete() {
    let shapes = [
        [1, 1, 5, 7],
        [1, 7, 5, 1],
        [1, 3, 0, 4],
        [0, 3, 2, 4],
        [1, 2, 3, 4],
        [1, 6, 300, 16],
        [1, 8, 700, 33],
        [1, 100, 20, 97],
        [1, 97, 513, 130],
        [1, 257, 259, 263],
        [1, 2, 5000, 9],
        [5, 4, 9, 3],
        [40, 33, 64, 40],
        [2, 131, 300, 140],
    ];
    for threads in [1, 3] {
        parallel::with_threads(threads, || {
            for shape in shapes {
                for (by_columns, accumulate) in [(false, false), (true, false), (false, true), (true, true)] {
                    panels_and_rows::<f32>(shape, by_columns, accumulate);
                    panels_and_rows::<f64>(shape, by_columns, accumulate);
                }
            }
        });
    }
}
