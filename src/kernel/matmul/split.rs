//! How matrix products are divided among threads.
//!
//! A batch of small products is divided into its products. Large products of floats are divided by `blocked` and `vector`, where no sum
//! changes; all others are divided into tiles of the output here. Only if the output is too small, the sums are divided, at positions that
//! depend on the sizes only, and the parts are added in order.

#![allow(unsafe_code, reason = "the parts are written by several threads: see `product`")]

use super::product::{Entry, Extras, Product, Strided, Then};
use super::{BatchOffsets, ProductShape};
use crate::array::alloc_check;
use crate::kernel::parallel;

/// The cost (`f32` multiplications) from which a product is worth two threads: some 50 µs.
pub const SPLIT: usize = 1 << 22;
/// The cost from which a batch is worth two threads, and the least cost of a range of it.
const BATCH: usize = 1 << 21;
const RANGE: usize = 1 << 19;
/// The most elements of an output whose sums are divided, for a product of two matrices.
const DEEP: usize = 8192;

/// Computes `c = a @ b`, or `c += a @ b`, for every product of a batch.
///
/// # Safety
/// Every element of every matrix is in its slice, and no two elements of the `c`s overlap. Panels are those of every `b`, and the sizes
/// satisfy [`reads_panels`]. With an epilogue the `c`s are contiguous, one after the other, and other arrays have their size.
pub unsafe fn run<T: Entry>(a: &[T], b: &[T], c: &mut [T], shape: &ProductShape, offsets: BatchOffsets, accumulate: bool, extras: &Extras<'_, T>) {
    let ProductShape { m, k, n, .. } = *shape;
    let (count, result) = (offsets.c.len(), c.as_mut_ptr());
    let extras = &Extras { then: extras.then.clone().map(|then| Then { c: result, ..then }), ..*extras };
    if m == 0 || n == 0 || (k == 0 && accumulate) {
        if let Some(then) = &extras.then {
            // SAFETY: there is nothing to add, so the result is complete.
            unsafe { then.call(0..count * m * n) };
        }
        return;
    }
    let input = |ptr, (rs, cs)| Strided { ptr, rs, cs };
    let first = Product {
        m,
        k,
        n,
        a: input(a.as_ptr(), shape.a_strides),
        b: input(b.as_ptr(), shape.b_strides),
        c: Strided { ptr: result, rs: shape.c_strides.0, cs: shape.c_strides.1 },
        accumulate,
    };
    let each = |i: usize| first.starting_at(offsets.a[i], offsets.b[i], offsets.c[i]);
    let cost = cost::<T>(m, k, n);
    if count > 1 && cost < SPLIT {
        let grain = if cost.saturating_mul(count) < BATCH { count } else { RANGE.div_ceil(cost.max(1)) };
        let alone = Extras { then: None, ..extras.clone() };
        // SAFETY: the caller's promise; the results of a range are contiguous.
        parallel::for_each_range(count, grain, |range| unsafe {
            range.clone().for_each(|i| T::product(&each(i), &alone));
            if let Some(then) = &extras.then {
                then.call(range.start * m * n..range.end * m * n);
            }
        });
        return;
    }
    for (i, p) in (0..count).map(each).enumerate() {
        let then = extras.then.as_ref().map(|then| then.starting_at(i * m * n));
        // SAFETY: the caller's promise.
        unsafe {
            if is_deep(&p, parts_of(cost)) {
                run_by_depth(&p, parts_of(cost));
                if let Some(then) = then {
                    then.call(0..m * n);
                }
            } else {
                T::product(&p, &Extras { then, ..*extras });
            }
        }
    }
}

/// Whether a product of these sizes, or each of a batch of them, is computed in blocks and can read packed panels of `b`.
pub fn reads_panels<T: Entry>(m: usize, k: usize, n: usize) -> bool {
    T::BLOCKED && m > 1 && n > 1 && k > 0 && !is_too_deep(m * n, k, DEEP, parts_of(cost::<T>(m, k, n)))
}

/// Calls `f` on tiles of the output, on several threads if that pays.
pub fn by_tiles<T: Entry>(p: &Product<T>, f: impl Fn(&Product<T>) + Sync) {
    let tiles = Tiles::new::<T>(p.m, p.k, p.n);
    parallel::for_each_range(tiles.count(), 1, |range| range.for_each(|i| f(&tiles.of(p, i))));
}

/// Divides the sums over `k` into parts, for an output that is too small to be divided. The parts depend on the sizes only.
///
/// # Safety
/// As for [`Entry::product`].
unsafe fn run_by_depth<T: Entry>(p: &Product<T>, parts: usize) {
    let p = if p.n < p.m { &p.t() } else { p }; // few long rows
    let (size, depth) = (p.m * p.n, p.k.div_ceil(parts));
    let mut sums = alloc_check::filled(T::ZERO, size * parts);
    parallel::for_each_chunk_mut(&mut sums, size, |start, out| {
        let i = start / size;
        let part = p.part(p.k.min(i * depth)..p.k.min((i + 1) * depth), out);
        // SAFETY: the caller's promise, and `out` is this thread's own.
        unsafe { T::product(&part, &Extras::NONE) }
    });
    // The sum of the parts, in order, is a product with ones.
    let ones = alloc_check::filled(T::ONE, parts);
    for i in 0..p.m {
        let mut row = p.block(i..i + 1, 0..p.n);
        row.k = parts;
        (row.a.ptr, row.a.cs) = (ones.as_ptr(), 1);
        row.b = Strided { ptr: sums[i * p.n..].as_ptr(), rs: size.cast_signed(), cs: 1 };
        // SAFETY: the caller's promise for `c`, and each part has `size` elements.
        unsafe { T::product(&row, &Extras::NONE) }
    }
}

/// How an output is divided: `across` times `down` tiles of `rows` by `cols`; tiles at the edges are smaller.
struct Tiles {
    rows: usize,
    cols: usize,
    across: usize,
    down: usize,
}

impl Tiles {
    /// Depends on the sizes and the type only. Strips of columns are preferred.
    fn new<T: Entry>(m: usize, k: usize, n: usize) -> Self {
        let cost = cost::<T>(m, k, n);
        let wanted = parts_of(cost);
        let part = |size: usize, parts: usize, unit, least| {
            let part = size.div_ceil(parts).next_multiple_of(unit);
            part.max(least).min(size)
        };
        let cols = part(n, wanted, 16, 32);
        let across = n.div_ceil(cols);
        let rows = part(m, wanted.div_ceil(across), 8, 32);
        Self { rows, cols, across, down: m.div_ceil(rows) }
    }

    fn count(&self) -> usize {
        self.across * self.down
    }

    fn of<T: Copy>(&self, p: &Product<T>, i: usize) -> Product<T> {
        let (top, left) = (i / self.across * self.rows, i % self.across * self.cols);
        p.block(top..p.m.min(top + self.rows), left..p.n.min(left + self.cols))
    }
}

/// Whether this number of `f32` products is divided among threads.
pub fn is_split(count: usize, m: usize, k: usize, n: usize) -> bool {
    let one = cost::<f32>(m, k, n);
    if count > 1 && one < SPLIT { one.saturating_mul(count) >= BATCH } else { one >= SPLIT }
}

/// Whether the output is so small, and the sums are so long, that the sums should be divided. A product of a vector with a contiguous
/// matrix is divided by outputs if there are enough.
fn is_deep<T>(p: &Product<T>, parts: usize) -> bool {
    let dots = (p.n == 1 && p.a.cs == 1) || (p.m == 1 && p.b.rs == 1);
    is_too_deep(p.m * p.n, p.k, if dots { 64 } else { DEEP }, parts)
}

/// Whether the sums of this number of outputs, at most `largest`, are divided.
fn is_too_deep(outputs: usize, k: usize, largest: usize, parts: usize) -> bool {
    parts > 1 && outputs <= largest && k / 256 >= parts
}

/// The number of parts of a product of this cost: the side of a cube of this cost, over 64.
fn parts_of(cost: usize) -> usize {
    if cost < SPLIT {
        return 1;
    }
    1 << ((cost.ilog2() - 18) / 3)
}

/// An estimate of the cost, in multiplications of `f32`. With a vector every element of the matrix is loaded for a single use.
pub fn cost<T: Entry>(m: usize, k: usize, n: usize) -> usize {
    let each = if m.min(n) < 4 { 4 * T::COST } else { T::COST };
    m.saturating_mul(n).saturating_mul(k).saturating_mul(each)
}
