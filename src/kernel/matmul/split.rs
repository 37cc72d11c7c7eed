//! How matrix products are cut into parts for the threads.
//!
//! Into tiles of the output, each computed whole by one thread. Strips of columns first: each packs its own
//! part of `b`, and `a` is read as it is. `a` given by columns is copied to rows once, else every strip would
//! pack it again. Only when the output is too small to be cut, the sums are, and the parts added in order.

#![allow(unsafe_code, reason = "the parts are written by several threads: see `product`")]

use super::product::{Entry, Product, Strided};
use super::{BatchOffsets, ProductShape};
use crate::kernel::parallel;

/// The cost (`f32` multiplications) from which a product is worth two threads: some 50 µs.
const SPLIT: usize = 1 << 22;
/// The cost from which a batch is worth two threads, and what one range of it should cost at least.
const BATCH: usize = 1 << 21;
const RANGE: usize = 1 << 19;
/// The elements of `a` that are copied to rows at a time.
const BAND: usize = 1 << 22;

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
    let cost = cost::<T>(m, k, n);
    if offsets.c.len() == 1 && is_deep(&first, parts_of(cost)) {
        let only = first.starting_at(offsets.a[0], offsets.b[0], offsets.c[0]);
        // SAFETY: the caller's promise.
        return unsafe { run_by_depth(&only, parts_of(cost)) };
    }
    let rows_given = !T::WANTS_ROWS || first.a.cs == 1;
    let strips = rows_given || m < 64 || n >= 512;
    let tiles = Tiles::new::<T>(m, k, n, strips);
    if !rows_given && m > 1 && tiles.across > 1 {
        for i in 0..offsets.c.len() {
            // SAFETY: the caller's promise.
            unsafe { run_by_rows(&first.starting_at(offsets.a[i], offsets.b[i], offsets.c[i])) };
        }
        return;
    }
    let count = offsets.c.len() * tiles.count();
    let cost = cost / tiles.count();
    let grain = if cost.saturating_mul(count) < BATCH { count } else { RANGE.div_ceil(cost.max(1)) };
    parallel::for_each_range(count, grain, |range| {
        for i in range {
            let (at, tile) = (i / tiles.count(), i % tiles.count());
            let whole = first.starting_at(offsets.a[at], offsets.b[at], offsets.c[at]);
            // SAFETY: the caller's promise, and tiles are disjoint.
            unsafe { T::product(&tiles.of(&whole, tile)) }
        }
    });
}

/// Sums over parts of `k`, for an output too small to be cut. The parts depend on the sizes alone.
///
/// # Safety
/// As for [`Entry::product`].
unsafe fn run_by_depth<T: Entry>(p: &Product<T>, parts: usize) {
    let p = if p.n < p.m { &p.t() } else { p }; // few long rows
    let (size, depth) = (p.m * p.n, p.k.div_ceil(parts));
    let mut sums = vec![T::ZERO; size * parts];
    parallel::for_each_chunk_mut(&mut sums, size, |start, out| {
        let i = start / size;
        let part = p.part(p.k.min(i * depth)..p.k.min((i + 1) * depth), out);
        // SAFETY: the caller's promise, and `out` is this thread's own.
        unsafe { T::product(&part) }
    });
    // The sum of the parts, in their order, is a product as well.
    let ones = vec![T::ONE; parts];
    for i in 0..p.m {
        let mut row = p.block(i..i + 1, 0..p.n);
        row.k = parts;
        (row.a.ptr, row.a.cs) = (ones.as_ptr(), 1);
        row.b = Strided { ptr: sums[i * p.n..].as_ptr(), rs: size.cast_signed(), cs: 1 };
        // SAFETY: the caller's promise for `c`, and each part has `size` elements.
        unsafe { T::product(&row) }
    }
}

/// Copies `a` to rows, a band at a time, and multiplies the band.
///
/// # Safety
/// As for [`Entry::product`].
unsafe fn run_by_rows<T: Entry>(p: &Product<T>) {
    let band = (BAND / p.k).clamp(64, p.m.max(64));
    let mut rows = vec![T::ZERO; band.min(p.m) * p.k];
    for top in (0..p.m).step_by(band) {
        let mut part = p.block(top..p.m.min(top + band), 0..p.n);
        parallel::for_each_chunk_mut(&mut rows[..part.m * p.k], 32 * p.k, |start, chunk| {
            let i = start / p.k;
            // SAFETY: the caller's promise; these are rows of the band.
            unsafe { part.block(i..i + chunk.len() / p.k, 0..p.n).copy_a(chunk) }
        });
        part.a = Strided { ptr: rows.as_ptr(), rs: p.k.cast_signed(), cs: 1 };
        let tiles = Tiles::new::<T>(part.m, p.k, p.n, true);
        parallel::for_each_range(tiles.count(), 1, |range| {
            // SAFETY: the caller's promise, and tiles are disjoint.
            range.for_each(|i| unsafe { T::product(&tiles.of(&part, i)) });
        });
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
    /// Depends on the sizes and the type alone. Cuts into `strips` of columns first, or rows only.
    fn new<T: Entry>(m: usize, k: usize, n: usize, strips: bool) -> Self {
        let cost = cost::<T>(m, k, n);
        let wanted = parts_of(cost);
        let part = |size: usize, parts: usize, unit, least| {
            let part = size.div_ceil(parts).next_multiple_of(unit);
            part.max(least).min(size)
        };
        let cols = if strips { part(n, wanted, 16, 32) } else { n };
        let across = n.div_ceil(cols);
        let rows = part(m, wanted.div_ceil(across), 8, if strips { 32 } else { 64 });
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
fn cost<T: Entry>(m: usize, k: usize, n: usize) -> usize {
    let each = if m.min(n) < 4 { 4 * T::COST } else { T::COST };
    m.saturating_mul(n).saturating_mul(k).saturating_mul(each)
}
