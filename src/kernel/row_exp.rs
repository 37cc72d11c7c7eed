//! Rows of logits: their maxima, and the exponentials of their differences from the maximum.
//!
//! Long rows are processed one by one: they stay in the first-level cache between passes. Short rows are transposed, [`LANES`] at a time,
//! so that each lane is a row, whatever its length.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]

use crate::array::Element;
use crate::kernel::math::{self, Real, is_nan, pick};
use crate::kernel::reduce::Sum;
use crate::kernel::reduce::ops::Max;
use crate::kernel::reduce::rows::fold_row;
use crate::kernel::simd::Arch;

/// Rows of a tile, and independent accumulators of a row.
pub const LANES: usize = 16;
/// Rows up to this length are short.
pub const SHORT_ROW_LEN: usize = 64;
/// Exponentials that are added up before their sum is added to the total.
const BLOCK: usize = 2048;

/// Transposed short rows: `tile[c][r]` is element c of row r.
pub type Tile<T> = [[T; LANES]; SHORT_ROW_LEN];

/// Runs a kernel that is compiled separately for long and short rows: transposing short rows is slower in wider registers.
macro_rules! by_length {
    ($is_long:expr, $kernel:ident<$t:ident> $fields:tt) => {
        if $is_long { $crate::kernel::simd::dispatch($kernel::<$t, true> $fields) } else { $crate::kernel::simd::dispatch($kernel::<$t, false> $fields) }
    };
}
pub(super) use by_length;

/// A floating dtype whose rows are folded.
pub trait Logit: Real + Element {
    /// The largest element; NaN if there is one.
    fn largest(row: &[Self]) -> Self;
    /// The sum.
    fn total(row: &[Self]) -> Self;
}

macro_rules! logit {
    ($($t:ty),*) => {
        $(impl Logit for $t {
            #[inline(always)]
            fn largest(row: &[Self]) -> Self {
                fold_row::<Max, Self>(row)
            }
            #[inline(always)]
            fn total(row: &[Self]) -> Self {
                fold_row::<Sum, Self>(row)
            }
        })*
    };
}
logit!(f32, f64);

/// Σ e^(x - top) of a long row. `visit` is called with the exponentials and the index of the first.
#[inline(always)]
pub fn exp_total<T: Logit, A: Arch>(row: &[T], top: T, mut visit: impl FnMut(usize, &[T])) -> T {
    let mut total = T::lit(0.0);
    for (b, block) in row.chunks(BLOCK).enumerate() {
        let mut acc = [T::lit(0.0); LANES];
        let (vectors, rest) = block.as_chunks::<LANES>();
        for (k, x) in vectors.iter().enumerate() {
            let e = decays::<T, A>(x, top);
            acc = std::array::from_fn(|i| acc[i] + e[i]);
            visit(b * BLOCK + k * LANES, &e);
        }
        if !rest.is_empty() {
            // The exponential of -∞ adds nothing.
            let mut x = [T::lit(f64::NEG_INFINITY); LANES];
            x[..rest.len()].copy_from_slice(rest);
            let e = decays::<T, A>(&x, top);
            acc = std::array::from_fn(|i| acc[i] + e[i]);
            visit(b * BLOCK + vectors.len() * LANES, &e[..rest.len()]);
        }
        total = total + T::total(&acc);
    }
    total
}

/// e^(x - top).
#[inline(always)]
fn decays<T: Logit, A: Arch>(x: &[T; LANES], top: T) -> [T; LANES] {
    let mut e = *x;
    for e in &mut e {
        *e = math::exp_decay::<T, A>(*e - top);
    }
    e
}

/// Calls `f(row, max, ln Σ e^(x - max))` for every row of `count`, which is more than [`SHORT_ROW_LEN`] if `LONG_ROWS`.
#[inline(always)]
pub fn log_totals<T: Logit, A: Arch, const LONG_ROWS: bool>(x: &[T], count: usize, mut f: impl FnMut(usize, T, T)) {
    if LONG_ROWS {
        for (i, row) in x.chunks_exact(count).enumerate() {
            let top = T::largest(row);
            f(i, top, math::log::<T, A>(exp_total::<T, A>(row, top, |_, _| {})));
        }
        return;
    }
    let mut tile = [[T::lit(0.0); LANES]; SHORT_ROW_LEN];
    for (k, rows) in x.chunks(LANES * count).enumerate() {
        let height = load_tile(rows, &mut tile[..count]);
        let (tops, totals) = exponentials::<T, A>(&mut tile[..count]);
        let logs: [T; LANES] = std::array::from_fn(|i| math::log::<T, A>(totals[i]));
        for r in 0..height {
            f(k * LANES + r, tops[r], logs[r]);
        }
    }
}

/// Fills a tile with rows, and returns their number.
#[inline(always)]
pub fn load_tile<T: Copy>(rows: &[T], tile: &mut [[T; LANES]]) -> usize {
    let count = tile.len();
    for (r, row) in rows.chunks_exact(count).enumerate() {
        for (place, &x) in tile.iter_mut().zip(row) {
            place[r % LANES] = x;
        }
    }
    rows.len() / count
}

/// Writes the rows of a tile.
#[inline(always)]
pub fn store_tile<T: Copy>(tile: &[[T; LANES]], rows: &mut [T]) {
    for (r, row) in rows.chunks_exact_mut(tile.len()).enumerate() {
        for (place, o) in tile.iter().zip(row) {
            *o = place[r % LANES];
        }
    }
}

/// Replaces a tile by e^(x - max), and returns the maxima and the sums of its rows.
#[inline(always)]
pub fn exponentials<T: Logit, A: Arch>(tile: &mut [[T; LANES]]) -> ([T; LANES], [T; LANES]) {
    let mut tops = [T::lit(f64::NEG_INFINITY); LANES];
    for x in tile.iter() {
        tops = std::array::from_fn(|i| pick((tops[i] > x[i]) | is_nan(tops[i]), tops[i], x[i]));
    }
    let mut totals = [T::lit(0.0); LANES];
    for x in tile {
        *x = std::array::from_fn(|i| math::exp_decay::<T, A>(x[i] - tops[i]));
        totals = std::array::from_fn(|i| totals[i] + x[i]);
    }
    (tops, totals)
}
