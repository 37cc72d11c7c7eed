//! Sums of elements that arrive block by block, with the same tree of additions as for an array in memory.

use super::rows::{GROUP, LANES, LEAF, SHORT_ROW_LEN, end_leaf, pairwise, step_leaf};
use super::{BLOCK, Fold, RowLoop, Sum};
use crate::array::Element;
use crate::kernel::simd::{Arch, Kernel, dispatch as simd_dispatch};

/// The longest row that is summed within a block.
pub const MAX_ROW: usize = 1024;
/// Elements of a long sum that are added up in one slot of its [`Parts`].
pub const PART: usize = LEAF;
/// Threads may divide a long sum at multiples of this number of elements.
pub const SHARED: usize = BLOCK;
/// All blocks of a long sum but the last have a multiple of this number of elements.
pub const STEP: usize = GROUP;

/// Slots for sums, which are filled in order.
pub enum Parts<'a, T> {
    /// One slot for each row with this number of elements.
    Rows(usize, &'a mut [T]),
    /// One slot for each part of a long sum: the accumulators of the present part, the number of elements added, and the number of the
    /// part.
    Long(&'a mut [T], [T; LANES], usize, usize),
}

/// Sums of rows of `count` elements; blocks consist of whole rows.
pub fn rows<T>(count: usize, out: &mut [T]) -> Parts<'_, T> {
    Parts::Rows(count, out)
}

/// The parts of a long sum, for [`total`].
pub fn long<T: Element>(out: &mut [T]) -> Parts<'_, T>
where
    Sum: Fold<T, Acc = T>,
{
    Parts::Long(out, [<Sum as Fold<T>>::start(); LANES], 0, 0)
}

impl<T: Element> Parts<'_, T>
where
    Sum: Fold<T, Acc = T>,
{
    /// Adds a block.
    pub fn feed(&mut self, block: &[T]) {
        match self {
            Self::Rows(count, rest) => {
                let (out, later) = std::mem::take(rest).split_at_mut(block.len() / *count);
                simd_dispatch(RowLoop::<Sum, T> { source: block, count: *count, out });
                *rest = later;
            }
            Self::Long(out, acc, filled, at) => {
                let mut block = block;
                while !block.is_empty() {
                    let (now, later) = block.split_at((LEAF - *filled).min(block.len()));
                    *filled += now.len();
                    // A short row is added up element by element.
                    let is_short = *filled < SHORT_ROW_LEN && at.is_multiple_of(BLOCK / LEAF);
                    let sum = simd_dispatch(LeafLoop { acc, block: now, is_short });
                    out[*at] = sum;
                    if *filled == LEAF {
                        (*acc, *filled, *at) = ([<Sum as Fold<T>>::start(); LANES], 0, *at + 1);
                    }
                    block = later;
                }
            }
        }
    }
}

/// Adds whole groups of a leaf to the accumulators, and returns the sum as if the leaf ended here.
struct LeafLoop<'a, T> {
    acc: &'a mut [T; LANES],
    block: &'a [T],
    is_short: bool,
}

impl<T: Element> Kernel for LeafLoop<'_, T>
where
    Sum: Fold<T, Acc = T>,
{
    type Output = T;
    const WIDE: bool = true;

    #[inline(always)]
    fn run<A: Arch>(self) -> T {
        if self.is_short {
            return self.block.iter().fold(<Sum as Fold<T>>::start(), |a, &x| <Sum as Fold<T>>::step(a, x));
        }
        let rest = step_leaf::<Sum, T>(self.acc, self.block);
        end_leaf::<Sum, T>(*self.acc, rest)
    }
}

/// The sum of all parts of a long sum.
#[must_use]
pub fn total<T: Element>(parts: &[T]) -> T
where
    Sum: Fold<T, Acc = T>,
{
    let mut blocks: Vec<T> = parts.chunks(BLOCK / LEAF).map(leaves).collect();
    pairwise::<Sum, T>(&mut blocks)
}

/// The sum of the leaves of a block, combined through a binary counter.
fn leaves<T: Element>(parts: &[T]) -> T
where
    Sum: Fold<T, Acc = T>,
{
    let join = <Sum as Fold<T>>::join;
    let mut stack: Vec<T> = Vec::with_capacity(8);
    for (k, part) in parts.iter().enumerate() {
        let mut value = *part;
        for _ in 0..(k + 1).trailing_zeros() {
            value = stack.pop().map_or(value, |left| join(left, value));
        }
        stack.push(value);
    }
    stack.into_iter().rev().reduce(|right, left| join(left, right)).unwrap_or_else(<Sum as Fold<T>>::start)
}

#[cfg(test)]
mod tests {
    use super::super::fold_all;
    use super::*;

    #[test]
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    fn parts_add_up_to_the_bits_of_the_whole() {
        for n in [1_usize, 7, 15, 16, 17, 127, 128, 129, 300, 4095, 4096, 4097, 5000, 65_535, 65_536, 65_537, 65_551, 65_552, 70_000, 200_005] {
            let x: Vec<f32> = (0..n).map(|i| (i * 7919 % 1009) as f32 / 7.0 - 50.0).collect();
            for block in [256, 768, 4096] {
                let mut places = vec![0.0; n.div_ceil(PART)];
                let mut parts = long(&mut places);
                x.chunks(block).for_each(|b| parts.feed(b));
                assert_eq!(total(&places).to_bits(), fold_all::<Sum, f32>(&x).to_bits(), "{n} {block}");
            }
        }
        let mut zero = [1.0_f64];
        long(&mut zero).feed(&[-0.0]);
        assert_eq!(total(&zero).to_bits(), fold_all::<Sum, f64>(&[-0.0]).to_bits());
    }
}
