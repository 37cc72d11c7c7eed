//! What a matrix product is, and for which elements: floats in blocks or as vectors, all others in a plain loop.

// The blocks of one output are written by several threads, so they are raw pointers into one slice. The
// views that the parent module checks are the proof that each pointer stays inside it.
#![allow(unsafe_code, reason = "see above")]

use std::ops::Range;
use std::slice::{from_raw_parts, from_raw_parts_mut};

use smallvec::SmallVec;

use super::{blocked, split, vector};
use crate::array::Element;
use crate::kernel::simd::{self, Arch, Baseline};

/// The rows of `b` that the plain loop reads at once: enough streams to use the memory bandwidth.
const TOGETHER: usize = 4;

/// A matrix: the address of element `(0, 0)` and two strides.
#[derive(Clone, Copy)]
pub struct Strided<P> {
    pub ptr: P,
    pub rs: isize,
    pub cs: isize,
}

impl<P> Strided<P> {
    /// The transpose.
    pub fn t(self) -> Self {
        Self { ptr: self.ptr, rs: self.cs, cs: self.rs }
    }
}

impl<T: Copy> Strided<*const T> {
    /// The matrix that begins at element `(i, j)`.
    #[inline(always)]
    pub fn from(self, i: usize, j: usize) -> Self {
        Self { ptr: self.ptr.wrapping_offset(i.cast_signed() * self.rs + j.cast_signed() * self.cs), ..self }
    }

    /// # Safety
    /// `(i, j)` is an element of the matrix.
    #[inline(always)]
    pub unsafe fn at(&self, i: usize, j: usize) -> *const T {
        // SAFETY: the element is in the slice that `ptr` points into, so the distances fit in `isize`.
        unsafe { self.ptr.offset(i.cast_signed() * self.rs + j.cast_signed() * self.cs) }
    }
}

impl<T: Copy> Strided<*mut T> {
    /// The matrix that begins at element `(i, j)`.
    #[inline(always)]
    pub fn from(self, i: usize, j: usize) -> Self {
        Self { ptr: self.ptr.wrapping_offset(i.cast_signed() * self.rs + j.cast_signed() * self.cs), ..self }
    }

    /// # Safety
    /// `(i, j)` is an element of the matrix.
    #[inline(always)]
    pub unsafe fn at(&self, i: usize, j: usize) -> *mut T {
        // SAFETY: as above.
        unsafe { self.ptr.offset(i.cast_signed() * self.rs + j.cast_signed() * self.cs) }
    }
}

/// `c = a @ b`, or `c += a @ b`: `m` by `k` times `k` by `n`.
///
/// The code that creates a product guarantees three things. All elements of the matrices are in memory that stays borrowed while the
/// product lives. No two elements of `c` overlap. `c` does not overlap `a` or `b`.
#[derive(Clone, Copy)]
pub struct Product<T> {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub a: Strided<*const T>,
    pub b: Strided<*const T>,
    pub c: Strided<*mut T>,
    pub accumulate: bool,
}

impl<T: Copy> Product<T> {
    /// The same product with other offsets of its matrices.
    pub fn starting_at(mut self, a: usize, b: usize, c: usize) -> Self {
        self.a.ptr = self.a.ptr.wrapping_add(a);
        self.b.ptr = self.b.ptr.wrapping_add(b);
        self.c.ptr = self.c.ptr.wrapping_add(c);
        self
    }

    /// The transposed product.
    pub fn t(&self) -> Self {
        Self { m: self.n, n: self.m, a: self.b.t(), b: self.a.t(), c: self.c.t(), ..*self }
    }

    /// The product for these rows and columns of `c`, over all of `k`.
    pub fn block(&self, rows: Range<usize>, cols: Range<usize>) -> Self {
        let (down, right) = (rows.start.cast_signed(), cols.start.cast_signed());
        let mut block = *self;
        (block.m, block.n) = (rows.len(), cols.len());
        block.a.ptr = self.a.ptr.wrapping_offset(down * self.a.rs);
        block.b.ptr = self.b.ptr.wrapping_offset(right * self.b.cs);
        let to_c = down * self.c.rs + right * self.c.cs;
        block.c.ptr = self.c.ptr.wrapping_offset(to_c);
        block
    }

    /// The product over a part of `k`, added to the parts before.
    pub fn deep(mut self, depth: Range<usize>) -> Self {
        (self.a, self.b) = (self.a.from(0, depth.start), self.b.from(depth.start, 0));
        self.k = depth.len();
        self.accumulate |= depth.start > 0;
        self
    }

    /// The product over a part of `k`, written to `out` row by row.
    pub fn part(&self, depth: Range<usize>, out: &mut [T]) -> Self {
        let start = depth.start.cast_signed();
        let mut part = *self;
        (part.k, part.accumulate) = (depth.len(), false);
        part.a.ptr = self.a.ptr.wrapping_offset(start * self.a.cs);
        part.b.ptr = self.b.ptr.wrapping_offset(start * self.b.rs);
        part.c = Strided { ptr: out.as_mut_ptr(), rs: self.n.cast_signed(), cs: 1 };
        part
    }
}

// SAFETY: it represents two shared borrows and one exclusive one; threads that share it compute disjoint blocks of `c`.
unsafe impl<T: Sync> Sync for Product<T> {}

/// An epilogue. It is called with complete rows of a result: the index of their first element, the rows, and the same part of other arrays.
pub type Finish<'a, T> = dyn Fn(usize, &mut [T], SmallVec<[&mut [T]; 4]>) + Sync + 'a;

/// An epilogue and the arrays that it is called with. The result is contiguous.
#[derive(Clone)]
pub struct Then<'a, T> {
    pub finish: &'a Finish<'a, T>,
    /// The first element of the result (set by `split::run`), and of other arrays of its size.
    pub c: *mut T,
    pub others: SmallVec<[*mut T; 4]>,
    /// The index at which this product's result begins.
    pub start: usize,
}

// SAFETY: it represents exclusive borrows; threads that share it finish disjoint parts.
unsafe impl<T: Send + Sync> Sync for Then<'_, T> {}

impl<T> Then<'_, T> {
    /// The epilogue for the product whose result begins at `start`.
    pub fn starting_at(&self, start: usize) -> Self {
        Self { start, others: self.others.clone(), ..*self }
    }

    /// Calls the epilogue with these elements.
    ///
    /// # Safety
    /// They are in the result and complete, and nothing else accesses them, here or in the other arrays.
    pub unsafe fn call(&self, elements: Range<usize>) {
        let (start, len) = (self.start + elements.start, elements.len());
        // SAFETY: the caller's promise.
        let part = |first: *mut T| unsafe { from_raw_parts_mut(first.add(start), len) };
        (self.finish)(start, part(self.c), self.others.iter().map(|first| part(*first)).collect());
    }
}

/// Options of a product.
#[derive(Clone)]
pub struct Extras<'a, T> {
    /// All of `b`, packed by [`blocked::pack_all()`]. Then `b` itself is not read.
    pub panels: Option<&'a [T]>,
    pub then: Option<Then<'a, T>>,
}

impl<T> Extras<'_, T> {
    pub const NONE: Self = Self { panels: None, then: None };
}

/// The element types of matrix products. Sealed: this module is private.
pub trait Entry: Element {
    /// The empty sum.
    const ZERO: Self;
    /// The multiplicative identity.
    const ONE: Self;
    /// The cost of a multiplication, relative to `f32`.
    const COST: usize;
    /// `sum + x * y`.
    #[must_use]
    fn mul_add<A: Arch>(sum: Self, x: Self, y: Self) -> Self;
    /// `a + b`.
    #[must_use]
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Self::mul_add::<Baseline>(self, other, Self::ONE)
    }
    /// Whether its products are computed in blocks, which can read panels.
    const BLOCKED: bool = false;
    /// Computes `p` on as many threads as pay.
    ///
    /// # Safety
    /// The promises of [`Product`] hold, and no other thread accesses the elements of `p.c` meanwhile. Panels are those of `p.b`. With an
    /// epilogue `p.c` is contiguous.
    unsafe fn product(p: &Product<Self>, extras: &Extras<'_, Self>) {
        // SAFETY: same promises, and tiles are disjoint.
        unsafe {
            split::by_tiles(p, |tile| plain(tile));
            if let Some(then) = &extras.then {
                then.call(0..p.m * p.n);
            }
        }
    }
}

/// # Safety
/// As for [`Entry::product`].
unsafe fn plain<T: Entry>(p: &Product<T>) {
    for i in 0..p.m {
        if !p.accumulate {
            // SAFETY: `i < m` and `j < n`.
            (0..p.n).for_each(|j| unsafe { p.c.at(i, j).write(T::ZERO) });
        }
    }
    if p.k > 0 && p.b.cs == 1 && p.c.cs == 1 {
        simd::dispatch(Rows(p));
        return;
    }
    for (i, l) in (0..p.m).flat_map(|i| (0..p.k).map(move |l| (i, l))) {
        // SAFETY: `i < m`, `l < k` and `j < n`.
        (0..p.n).for_each(|j| unsafe {
            let sum = p.c.at(i, j);
            *sum = T::mul_add::<Baseline>(*sum, *p.a.at(i, l), *p.b.at(l, j));
        });
    }
}

/// Adds the rows of `b` to each row of `c`, several at a time. Rows are contiguous.
///
/// Made only where the promises of [`Entry::product`] hold.
struct Rows<'a, T>(&'a Product<T>);

impl<T: Entry> simd::Kernel for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self) {
        let p = self.0;
        for i in 0..p.m {
            // SAFETY: row `i` of `c`, which does not overlap `a` or `b`.
            let out = unsafe { from_raw_parts_mut(p.c.at(i, 0), p.n) };
            let whole = p.k / TOGETHER * TOGETHER;
            for l in (0..whole).step_by(TOGETHER) {
                add_rows::<A, T, TOGETHER>(p, i, l, out);
            }
            for l in whole..p.k {
                add_rows::<A, T, 1>(p, i, l, out);
            }
        }
    }
}

/// For `i < m` and `N` rows from `l` on, all below `k`, under the promises of [`Rows`].
#[inline(always)]
fn add_rows<A: Arch, T: Entry, const N: usize>(p: &Product<T>, i: usize, l: usize, out: &mut [T]) {
    let mut factors = [T::ZERO; N];
    let mut rows: [&[T]; N] = [&[]; N];
    for q in 0..N {
        // SAFETY: `l + q < k`, and a row of `b` has `n` contiguous elements.
        unsafe {
            factors[q] = *p.a.at(i, l + q);
            rows[q] = from_raw_parts(p.b.at(l + q, 0), out.len());
        }
    }
    for (j, sum) in out.iter_mut().enumerate() {
        for q in 0..N {
            *sum = T::mul_add::<A>(*sum, factors[q], rows[q][j]);
        }
    }
}

/// # Safety
/// As for [`Entry::product`].
unsafe fn float<T: Entry>(p: &Product<T>, extras: &Extras<'_, T>) {
    // SAFETY: same promises.
    unsafe {
        if p.m.min(p.n) > 1 || extras.panels.is_some() || !vector::product(p) {
            blocked::product(p, extras);
        } else if let Some(then) = &extras.then {
            then.call(0..p.m * p.n);
        }
    }
}

macro_rules! float_kernel {
    ($t:ty, $cost:literal) => {
        impl Entry for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const COST: usize = $cost;
            #[inline(always)]
            fn mul_add<A: Arch>(sum: Self, x: Self, y: Self) -> Self {
                if A::FMA { x.mul_add(y, sum) } else { sum + x * y }
            }
            const BLOCKED: bool = true;
            unsafe fn product(p: &Product<Self>, extras: &Extras<'_, Self>) {
                // SAFETY: same promises.
                unsafe { float(p, extras) }
            }
        }
    };
}

macro_rules! integer_kernel {
    ($($t:ty)*) => {$(
        impl Entry for $t {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const COST: usize = 8;
            #[inline(always)]
            fn mul_add<A: Arch>(sum: Self, x: Self, y: Self) -> Self {
                sum.wrapping_add(x.wrapping_mul(y))
            }
        }
    )*};
}

float_kernel!(f32, 1);
float_kernel!(f64, 2);
integer_kernel!(i32 i64 u8);

impl Entry for bool {
    const ZERO: Self = false;
    const ONE: Self = true;
    const COST: usize = 8;
    #[inline(always)]
    #[allow(clippy::needless_bitwise_bool, reason = "no branches")]
    fn mul_add<A: Arch>(sum: Self, x: Self, y: Self) -> Self {
        sum | (x & y)
    }
}
