//! Products of floats, in blocks that fit the caches.
//!
//! `k` is divided into equal parts of at most [`DEPTH`], and a tile adds one part at a time. So the order of every sum depends on `k` only,
//! and threads may divide rows and columns anywhere. `b` is packed once, by all threads. Then each thread takes blocks of rows, which it
//! packs for itself, and multiplies them with every panel of `b`.

#![allow(unsafe_code, reason = "operands are read through the pointers of `product`")]

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::pack;
use super::product::{Entry, Extras, Product, Strided, Then};
use super::split::{SPLIT, cost};
use super::tile::{self, ROWS, Tile};
use crate::array::{Aligned, Array, alloc_check};
use crate::kernel::parallel;
use crate::kernel::simd::{self, Arch};

/// The largest part of `k` for the microkernel: a panel of `b` fills half of an L1 cache.
const DEPTH: usize = 256;
/// The most rows of a block of `a`: with [`DEPTH`] it fills part of an L2 cache.
const HEIGHT: usize = 96;
/// The rows that a thread takes at a time.
const TAKEN: usize = 64;
/// Blocks per thread, so that a thread that begins late does not hold up the others.
const EACH: usize = 8;
/// The most elements of `b` that are packed at a time, and the rows that a thread packs at a time.
const PACKED: usize = 1 << 22;
const CHUNK: usize = 64;
/// From this number of elements on, several threads pack.
const SHARED: usize = 1 << 18;
/// With fewer rows than this packing `b` does not pay, unless its columns are contiguous.
const FEW_ROWS: usize = 24;
/// Up to this number of bytes, `b` stays in an L1 cache unpacked.
const SMALL: usize = 20 << 10;
/// With fewer columns than this packing `a` does not pay.
const FEW_COLUMNS: usize = 96;
/// Up to this number of elements, packed operands are on the stack instead of in a buffer of the pool.
const ON_STACK: usize = 1024;

/// Computes `p`.
///
/// # Safety
/// As for [`Entry::product`].
pub unsafe fn product<T: Entry>(p: &Product<T>, extras: &Extras<'_, T>) {
    let (width, depth) = (width_of::<T>(p.n), depth_of(p.k));
    let threads = if cost::<T>(p.m, p.k, p.n) < SPLIT { 1 } else { parallel::num_threads() };
    if let Some(panels) = extras.panels {
        let panels = Shared(panels.as_ptr().cast_mut());
        return Work { p: *p, n: p.n, width, depth, packed: 0..p.n, panels }.run(threads, extras.then.as_ref());
    }
    // Tiles are stored by rows.
    let p = if p.c.cs != 1 && p.c.rs == 1 { &p.t() } else { p };
    let width = width_of::<T>(p.n);
    let direct = p.b.cs == 1 && (p.m < FEW_ROWS || is_small::<T>(p.k, p.n));
    let cols = if direct { p.n } else { p.n.min(PACKED / depth / width * width) };
    let depths = if direct { p.k.max(1) } else { (PACKED / cols.next_multiple_of(width) / depth).max(1) * depth };
    for left in (0..p.n).step_by(cols) {
        for l in (0..p.k.max(1)).step_by(depths) {
            let part = p.block(0..p.m, left..p.n.min(left + cols)).deep(l..p.k.min(l + depths));
            let packed = if direct { part.n / width * width..part.n } else { 0..part.n };
            let mut room = Room::<T>::new();
            let panels = Shared(room.take(packed.len().next_multiple_of(width) * part.k));
            let work = Work { p: part, n: p.n, width, depth, packed, panels };
            if !work.packed.is_empty() {
                let grain = if threads == 1 { part.k } else { CHUNK };
                parallel::for_each_range(part.k, grain, |rows| work.pack(rows));
            }
            let is_last = part.n == p.n && l + depths >= p.k;
            work.run(threads, extras.then.as_ref().filter(|_| is_last));
        }
    }
    if let Some(then) = extras.then.as_ref().filter(|_| cols < p.n) {
        // SAFETY: the result is complete.
        unsafe { then.call(0..p.m * p.n) };
    }
}

/// The columns of a tile, for a product with `cols` columns.
fn width_of<T>(cols: usize) -> usize {
    let size = size_of::<T>();
    if is_wide::<T>(cols) { simd::dispatch(Width::<true>(size)) } else { simd::dispatch(Width::<false>(size)) }
}

/// Whether `b` of this size stays in an L1 cache unpacked.
fn is_small<T>(k: usize, n: usize) -> bool {
    k * n * size_of::<T>() <= SMALL
}

/// The number of elements of a packed matrix of `k` rows.
pub fn panels_len<T>(k: usize, n: usize) -> usize {
    n.next_multiple_of(width_of::<T>(n)) * k
}

/// Whether packing a constant operand pays: for all but small matrices whose rows are contiguous.
pub fn packs<T>(k: usize, n: usize, has_rows: bool) -> bool {
    !has_rows || !is_small::<T>(k, n)
}

/// Packs all of `b`, which has `k` rows and `n` columns.
///
/// # Safety
/// `b` has this number of elements.
pub unsafe fn pack_all<T: Entry>(b: Strided<*const T>, k: usize, n: usize, out: &mut [T]) {
    let c = Strided { ptr: out.as_mut_ptr(), rs: 0, cs: 0 };
    let p = Product { m: 0, k, n, a: Strided { ptr: b.ptr, rs: 0, cs: 0 }, b, c, accumulate: false };
    let work = Work { p, n, width: width_of::<T>(n), depth: depth_of(k), packed: 0..n, panels: Shared(out.as_mut_ptr()) };
    let grain = if k * n < SHARED { k } else { CHUNK };
    parallel::for_each_range(k, grain, |rows| work.pack(rows));
}

/// The part of `k` that is added at a time.
fn depth_of(k: usize) -> usize {
    k.div_ceil(k.div_ceil(DEPTH).max(1)).next_multiple_of(4).max(4)
}

/// A buffer for packed operands: on the stack if small, else in the pool.
struct Room<T> {
    stack: MaybeUninit<Aligned<[T; ON_STACK]>>,
    pool: Option<Array>,
}

impl<T: Entry> Room<T> {
    #[inline(always)]
    fn new() -> Self {
        Self { stack: MaybeUninit::uninit(), pool: None }
    }

    /// Room for `len` elements, valid until this is moved or called again.
    #[inline(always)]
    fn take(&mut self, len: usize) -> *mut T {
        if len <= ON_STACK {
            return self.stack.as_mut_ptr().cast();
        }
        self.pool.insert(Array::empty(&[len], T::DTYPE)).data_mut::<T>().as_mut_ptr()
    }
}

/// The columns of a tile: two vectors. With `WIDE` they are vectors of the widest set, which does not pay for columns that fit one such
/// vector.
struct Width<const WIDE: bool>(usize);

impl<const WIDE: bool> simd::Kernel for Width<WIDE> {
    type Output = usize;
    const WIDE: bool = WIDE;

    #[inline(always)]
    fn run<A: Arch>(self) -> usize {
        2 * A::BYTES / self.0
    }
}

/// Whether this number of columns pays for the widest set.
fn is_wide<T>(cols: usize) -> bool {
    cols * size_of::<T>() > 96
}

/// A pointer that threads share: they write to disjoint parts, then read.
struct Shared<T>(*mut T);

// SAFETY: the code that creates a value guarantees what the comment above asks for.
unsafe impl<T: Send> Sync for Shared<T> {}

/// A product, and its packed `b`. Made only if the promises of [`Product`] hold.
struct Work<T> {
    p: Product<T>,
    /// The number of columns of the whole product.
    n: usize,
    width: usize,
    depth: usize,
    /// The columns of `b` that are packed: all of them, or those that do not fill a panel.
    packed: Range<usize>,
    panels: Shared<T>,
}

impl<T: Entry> Work<T> {
    fn panel(&self, left: usize, l: usize) -> *mut T {
        self.panels.0.wrapping_add((left - self.packed.start) * self.p.k + l * self.width)
    }

    fn pack(&self, rows: Range<usize>) {
        if is_wide::<T>(self.n) { simd::dispatch(Pack::<T, true>(self, rows)) } else { simd::dispatch(Pack::<T, false>(self, rows)) }
    }

    fn tiles(&self, rows: Range<usize>, cols: Range<usize>, then: Option<&Then<'_, T>>) {
        if is_wide::<T>(self.n) {
            simd::dispatch(Tiles::<T, true>(self, rows, cols, then));
        } else {
            simd::dispatch(Tiles::<T, false>(self, rows, cols, then));
        }
    }

    /// Calls the epilogue with complete rows.
    fn finish(&self, rows: &Range<usize>, then: &Then<'_, T>) {
        // SAFETY: these are rows of the result; their last writer calls this.
        unsafe { then.call(rows.start * self.n..rows.end * self.n) };
    }

    /// Computes the product from packed panels, and calls the epilogue with whole rows.
    fn run(&self, threads: usize, then: Option<&Then<'_, T>>) {
        let (m, n) = (self.p.m, self.p.n);
        let mut parts = [1, 1];
        if threads > 1 {
            parts[0] = m.div_ceil(TAKEN);
            parts[1] = (EACH * threads).div_ceil(parts[0]).min(n.div_ceil(4 * self.width));
        }
        let (rows, cols) = (m.div_ceil(parts[0]).next_multiple_of(ROWS), n.div_ceil(parts[1]).next_multiple_of(self.width));
        let (across, down) = (n.div_ceil(cols), m.div_ceil(rows));
        // Number of tasks of each band of rows that are not finished.
        let left_over: Vec<AtomicUsize> =
            alloc_check::collect((0..if across > 1 && then.is_some() { down } else { 0 }).map(|_| AtomicUsize::new(across)));
        parallel::for_each_range(down * across, 1, |range| {
            for i in range {
                let (top, left) = (i / across * rows, i % across * cols);
                let band = top..m.min(top + rows);
                self.tiles(band.clone(), left..n.min(left + cols), then.filter(|_| across == 1));
                if let Some(then) = then
                    && left_over.get(i / across).is_some_and(|parts| parts.fetch_sub(1, Ordering::AcqRel) == 1)
                {
                    self.finish(&band, then);
                }
            }
        });
    }
}

/// Packs these rows of `b`.
struct Pack<'a, T, const WIDE: bool>(&'a Work<T>, Range<usize>);

impl<T: Entry, const WIDE: bool> simd::Kernel for Pack<'_, T, WIDE> {
    type Output = ();
    const WIDE: bool = WIDE;

    #[inline(always)]
    fn run<A: Arch>(self) {
        match 2 * A::BYTES / size_of::<T>() {
            4 => self.copy::<4>(),
            8 => self.copy::<8>(),
            16 => self.copy::<16>(),
            _ => self.copy::<32>(),
        }
    }
}

impl<T: Entry, const WIDE: bool> Pack<'_, T, WIDE> {
    #[inline(always)]
    fn copy<const W: usize>(self) {
        let Self(work, rows) = self;
        let left = work.packed.clone().step_by(W);
        let panels = left.map(|j| (j..work.p.n.min(j + W), work.panel(j, rows.start)));
        // SAFETY: inside `b`; a panel has room for all rows of `b`, and these rows belong to this thread.
        unsafe { pack::panels::<T, W>(work.p.b.from(rows.start, 0), rows.len(), &panels) };
    }
}

/// Computes these rows and columns of `c`. With an epilogue these are all columns.
struct Tiles<'a, T, const WIDE: bool>(&'a Work<T>, Range<usize>, Range<usize>, Option<&'a Then<'a, T>>);

impl<T: Entry, const WIDE: bool> simd::Kernel for Tiles<'_, T, WIDE> {
    type Output = ();
    const WIDE: bool = WIDE;

    #[inline(always)]
    fn run<A: Arch>(self) {
        match 2 * A::BYTES / size_of::<T>() {
            4 => self.blocks::<A, 4>(),
            8 => self.blocks::<A, 8>(),
            16 => self.blocks::<A, 16>(),
            _ => self.blocks::<A, 32>(),
        }
    }
}

impl<T: Entry, const WIDE: bool> Tiles<'_, T, WIDE> {
    #[inline(always)]
    fn blocks<A: Arch, const W: usize>(self) {
        let Self(work @ Work { p, depth, .. }, rows, cols, then) = &self;
        // Equal blocks of whole tiles.
        let tiles_of = rows.len().div_ceil(ROWS);
        let height = tiles_of.div_ceil(tiles_of.div_ceil(HEIGHT / ROWS)) * ROWS;
        let copies = cols.len() >= FEW_COLUMNS;
        let mut room = Room::<T>::new();
        let copy = room.take(if copies { height * depth } else { 0 });
        for start in rows.clone().step_by(height) {
            let block = start..rows.end.min(start + height);
            for l in (0..p.k.max(1)).step_by(*depth) {
                let part = l..p.k.min(l + *depth);
                let mut panels = None;
                if copies {
                    let place = |(i, tile)| (tile, copy.wrapping_add(i * ROWS * part.len()));
                    let each = tiles(block.clone()).enumerate().map(place);
                    // SAFETY: inside `a`; the buffer has room for a panel per tile.
                    unsafe { pack::panels::<T, ROWS>(p.a.from(0, l).t(), part.len(), &each) };
                    panels = Some(copy.cast_const());
                }
                self.block::<A, W>(panels, block.clone(), part);
            }
            if let Some(then) = then {
                work.finish(&block, then);
            }
        }
    }

    /// Adds the products of these rows and this part of `k`, with `a` packed or in memory.
    #[inline(always)]
    fn block<A: Arch, const W: usize>(&self, panels: Option<*const T>, rows: Range<usize>, part: Range<usize>) {
        let Self(work @ Work { p, packed, .. }, _, cols, _) = self;
        for left in cols.clone().step_by(W) {
            let (b, b_step) = if packed.contains(&left) {
                (work.panel(left, part.start).cast_const(), W.cast_signed())
            } else {
                (p.b.from(part.start, left).ptr, p.b.rs)
            };
            for (i, tile) in tiles(rows.clone()).enumerate() {
                let a = match panels {
                    Some(ptr) => Strided { ptr: ptr.wrapping_add(i * ROWS * part.len()), rs: 1, cs: ROWS.cast_signed() },
                    None => p.a.from(tile.start, part.start),
                };
                let tile = Tile {
                    rows: tile.len(),
                    k: part.len(),
                    cols: W.min(cols.end - left),
                    a,
                    b,
                    b_step,
                    c: p.c.from(tile.start, left),
                    add: p.accumulate || part.start > 0,
                };
                // SAFETY: inside `a`, `b` and `c` by the promises of `Work`; a panel is `W` wide.
                unsafe { tile::run::<A, T, W>(&tile) };
            }
        }
    }
}

/// The rows of each tile, as equal as possible: two tiles of four are faster than one of six and one of two.
#[inline(always)]
fn tiles(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> + Clone {
    let (count, len) = (rows.len().div_ceil(ROWS), rows.len());
    let at = move |i: usize| rows.start + i * len / count;
    (0..count).map(move |i| at(i)..at(i + 1))
}
