//! How matrix products are cut into parts for the threads.
//!
//! A batch into its products while they are small. Floats cut one product themselves (`blocked`, `vector`), at places
//! that change no sum; everything else is cut into tiles of the output here. Only when the output is too small to be cut,
//! the sums are, at places that depend on the sizes alone, and the parts added in order.

#![allow(unsafe_code, reason = "the parts are written by several threads: see `product`")]

use super::product::{Entry, Product, Strided};
use super::{BatchOffsets, ProductShape};
use crate::array::alloc_check;
use crate::kernel::parallel;

/// The cost (`f32` multiplications) from which a product is worth two threads: some 50 µs.
pub const SPLIT: usize = 1 << 22;
/// The cost from which a batch is worth two threads, and what one range of it should cost at least.
const BATCH: usize = 1 << 21;
const RANGE: usize = 1 << 19;

/// Computes `c = a @ b`, or `c += a @ b`, for every product of a batch.
///
/// # Safety
/// Every element of every matrix is inside its slice, and no two elements of the `c`s share a place.
pub unsafe fn run<T: Entry>(a: &[T], b: &[T], c: &mut [T], shape: &ProductShape, offsets: BatchOffsets, accumulate: bool) {
    let ProductShape { m, k, n, .. } = *shape;
    if m == 0 || n == 0 || (k == 0 && accumulate) {
        return;
    }
    let input = |ptr, (rs, cs)| Strided { ptr, rs, cs };
    let first = Product {
        m,
        k,
        n,
        a: input(a.as_ptr(), shape.a_strides),
        b: input(b.as_ptr(), shape.b_strides),
        c: Strided { ptr: c.as_mut_ptr(), rs: shape.c_strides.0, cs: shape.c_strides.1 },
        accumulate,
    };
    let count = offsets.c.len();
    let each = |i: usize| first.starting_at(offsets.a[i], offsets.b[i], offsets.c[i]);
    let cost = cost::<T>(m, k, n);
    if count > 1 && cost < SPLIT {
        let grain = if cost.saturating_mul(count) < BATCH { count } else { RANGE.div_ceil(cost.max(1)) };
        // SAFETY: the caller's promise.
        parallel::for_each_range(count, grain, |range| range.for_each(|i| unsafe { T::product(&each(i)) }));
        return;
    }
    for p in (0..count).map(each) {
        // SAFETY: the caller's promise.
        unsafe {
            if is_deep(&p, parts_of(cost)) {
                run_by_depth(&p, parts_of(cost));
            } else {
                T::product(&p);
            }
        }
    }
}

/// Calls `f` on tiles of the output, on several threads if that pays.
pub fn by_tiles<T: Entry>(p: &Product<T>, f: impl Fn(&Product<T>) + Sync) {
    let tiles = Tiles::new::<T>(p.m, p.k, p.n);
    parallel::for_each_range(tiles.count(), 1, |range| range.for_each(|i| f(&tiles.of(p, i))));
}

/// Sums over parts of `k`, for an output too small to be cut. The parts depend on the sizes alone.
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
        unsafe { T::product(&part) }
    });
    // The sum of the parts, in their order, is a product as well.
    let ones = alloc_check::filled(T::ONE, parts);
    for i in 0..p.m {
        let mut row = p.block(i..i + 1, 0..p.n);
        row.k = parts;
        (row.a.ptr, row.a.cs) = (ones.as_ptr(), 1);
        row.b = Strided { ptr: sums[i * p.n..].as_ptr(), rs: size.cast_signed(), cs: 1 };
        // SAFETY: the caller's promise for `c`, and each part has `size` elements.
        unsafe { T::product(&row) }
    }
}

/// How an output is cut: `across` times `down` tiles of `rows` by `cols` (those at the edges are smaller).
struct Tiles {
    rows: usize,
    cols: usize,
    across: usize,
    down: usize,
}

impl Tiles {
    /// Depends on the sizes and the type alone. Strips of columns first.
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

/// Whether the output is so small, and the sums so long, that they should be cut instead. A vector times
/// neighbours is cut into outputs if there are enough.
fn is_deep<T>(p: &Product<T>, parts: usize) -> bool {
    let dots = (p.n == 1 && p.a.cs == 1) || (p.m == 1 && p.b.rs == 1);
    let largest = if dots { 64 } else { 8192 };
    parts > 1 && p.m * p.n <= largest && p.k / 256 >= parts
}

/// How many parts a product of this cost should have: the side of a cube of this cost, over 64.
fn parts_of(cost: usize) -> usize {
    if cost < SPLIT {
        return 1;
    }
    1 << ((cost.ilog2() - 18) / 3)
}

/// An estimate, in multiplications of `f32`. With a vector every element of the matrix is read for one use.
pub fn cost<T: Entry>(m: usize, k: usize, n: usize) -> usize {
    let each = if m.min(n) < 4 { 4 * T::COST } else { T::COST };
    m.saturating_mul(n).saturating_mul(k).saturating_mul(each)
}
