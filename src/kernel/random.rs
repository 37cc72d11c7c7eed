//! Random numbers from a counter: number i is a function of the seed and of i alone, so any thread can make any part
//! of a stream, and the stream is the same for any number of threads.
//!
//! The bits are those of Philox4x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3",
//! 2011): a block of four 32-bit words for each value of the counter. Uniform numbers are the top bits of one word
//! (f32) or two (f64); normal ones come in pairs by Box and Muller's method.

use crate::array::Element;
use crate::kernel::field::{Field, Lane};
use crate::kernel::math::Real;
use crate::kernel::parallel;
use crate::kernel::simd::{Arch, Kernel, dispatch};

/// Words of a block.
const WORDS: usize = 4;
/// Elements that are made at a time. Every range of a parallel loop begins at a multiple of it.
const BLOCK: usize = 512;
/// Blocks of words that are computed side by side: what vector registers hold.
const LANES: usize = 8;
/// How often words are mixed.
const ROUNDS: usize = 10;

const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const KEY_STEPS: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];

#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "the halves of a word")]
fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// The keys of the rounds.
fn schedule(seed: u64) -> [[u64; 2]; ROUNDS] {
    let mut key = halves(seed);
    std::array::from_fn(|_| {
        let now = key.map(u64::from);
        key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
        now
    })
}

/// Ten rounds of Philox on `N` counters at once: word `w` of counter `l` is the lower half of `x[w][l]`. What stands in
/// the upper halves does not matter: so products stay whole, and one instruction makes each.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "a lane is a column of the array")]
fn rounds<const N: usize>(mut x: [[u64; N]; WORDS], keys: &[[u64; 2]; ROUNDS]) -> [[u64; N]; WORDS] {
    let product = |x: u64, i: usize| (x & u64::from(u32::MAX)) * u64::from(MULTIPLIERS[i]);
    for key in keys {
        let [a, b, c, d] = x;
        for l in 0..N {
            let (p, q) = (product(a[l], 0), product(c[l], 1));
            (x[0][l], x[1][l], x[2][l], x[3][l]) = ((q >> 32) ^ b[l] ^ key[0], q, (p >> 32) ^ d[l] ^ key[1], p);
        }
    }
    x
}

/// Philox4x32-10 of one counter.
#[must_use]
pub fn philox(counter: [u32; WORDS], key: [u32; 2]) -> [u32; WORDS] {
    let key = u64::from(key[0]) | u64::from(key[1]) << 32;
    rounds(counter.map(|word| [u64::from(word)]), &schedule(key)).map(|[word]| halves(word)[0])
}

/// A part of the stream of a seed: its blocks from number `start` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The seed.
    pub seed: u64,
    /// Its first block.
    pub start: u64,
}

/// Blocks that `count` elements of `words` words take.
#[must_use]
pub fn blocks(count: usize, words: usize) -> u64 {
    u64::try_from(count.div_ceil(WORDS) * words).unwrap_or(u64::MAX)
}

impl Stream {
    /// Block `index`; there are 2³² independent ones, numbered by `attempt`.
    fn block(self, index: u64, attempt: u32) -> [u32; WORDS] {
        let [low, high] = halves(self.start.wrapping_add(index));
        philox([low, high, attempt, 0], halves(self.seed))
    }

    /// The words from block `first` on; `out` takes whole blocks.
    fn words(self, first: u64, out: &mut [u32]) {
        dispatch(Words { first: self.start.wrapping_add(first), keys: schedule(self.seed), out });
    }

    /// Calls `f` with the words for each part of `out`, `width` words an element.
    fn fill<T: Send>(self, out: &mut [T], width: usize, cost: f64, f: impl Fn(usize, &[u32], &mut [T]) + Sync) {
        let grain = parallel::grain(out.len(), cost).next_multiple_of(BLOCK);
        parallel::for_each_chunk_mut(out, grain, |start, chunk| {
            let mut words = [0; 2 * BLOCK];
            for (k, part) in chunk.chunks_mut(BLOCK).enumerate() {
                let at = start + k * BLOCK;
                let words = &mut words[..part.len().next_multiple_of(WORDS) * width];
                self.words(blocks(at, width), words);
                f(at, words, part);
            }
        });
    }

    /// Numbers of [0, 1), changed by `f`.
    pub fn uniform<T: Unit, O: Send>(self, out: &mut [O], f: impl Fn(T) -> O + Sync) {
        self.fill(out, T::WIDTH, 2.0, |_, words, part| {
            dispatch(Units { words, out: part, f: &f, unit: std::marker::PhantomData::<T> });
        });
    }

    /// Numbers of the normal distribution with this mean and standard deviation.
    pub fn normal<T: Unit>(self, out: &mut [T], mean: T, deviation: T) {
        self.fill(out, T::WIDTH, 6.0, |_, words, part| {
            dispatch(Normals { words, out: part, scale: [mean, deviation] });
        });
    }

    /// Integers from `low` on, `range` of them (0: all there are), each exactly as likely as any other.
    pub fn integers<O: Send>(self, out: &mut [O], low: i64, range: u64, f: impl Fn(i64) -> O + Sync) {
        self.fill(out, 2, 3.0, |at, words, part| {
            for (i, (o, word)) in part.iter_mut().zip(words.chunks_exact(2)).enumerate() {
                let drawn = bounded(word64(word), range).unwrap_or_else(|| self.below(range, at + i, 1));
                *o = f(low.wrapping_add_unsigned(drawn));
            }
        });
    }

    /// A number below `range` for element `place`, from attempt `first` on.
    fn below(self, range: u64, place: usize, first: u32) -> u64 {
        let index = u64::try_from(place / 2).unwrap_or(u64::MAX);
        let drawn = (first..).find_map(|attempt| bounded(word64(&self.block(index, attempt)[place % 2 * 2..]), range));
        drawn.unwrap_or(0)
    }

    /// Puts `out` in random order (Fisher & Yates).
    pub fn shuffle<T>(self, out: &mut [T]) {
        for i in (1..out.len()).rev() {
            let drawn = self.below(u64::try_from(i + 1).unwrap_or(u64::MAX), i, 0);
            out.swap(i, usize::try_from(drawn).unwrap_or(0));
        }
    }
}

#[inline(always)]
fn word64(words: &[u32]) -> u64 {
    u64::from(words[0]) | u64::from(words[1]) << 32
}

/// A number below `range` from 64 random bits, or none where taking one would favour some (Lemire, 2019).
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "the halves of a word")]
fn bounded(bits: u64, range: u64) -> Option<u64> {
    if range == 0 {
        return Some(bits);
    }
    let product = u128::from(bits) * u128::from(range);
    let low = product as u64;
    // The remainder of 2^64 by the range: needed only for the few that are this low.
    (low >= range || low >= range.wrapping_neg() % range).then_some((product >> 64) as u64)
}

struct Words<'a> {
    first: u64,
    keys: [[u64; 2]; ROUNDS],
    out: &'a mut [u32],
}

impl Kernel for Words<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self) {
        let mut at = self.first;
        let (whole, rest) = self.out.as_chunks_mut::<{ WORDS * LANES }>();
        for out in whole {
            side_by_side(at, &self.keys, out);
            at = at.wrapping_add(LANES as u64);
        }
        if !rest.is_empty() {
            let mut last = [0; WORDS * LANES];
            side_by_side(at, &self.keys, &mut last);
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }
}

/// The words of the blocks from `at` on.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "a lane is a column of the array")]
fn side_by_side(at: u64, keys: &[[u64; 2]; ROUNDS], out: &mut [u32; WORDS * LANES]) {
    let mut x = [[0; LANES]; WORDS];
    for l in 0..LANES {
        x[0][l] = at.wrapping_add(l as u64);
        x[1][l] = x[0][l] >> 32;
    }
    let x = rounds(x, keys);
    for (l, block) in out.as_chunks_mut::<WORDS>().0.iter_mut().enumerate() {
        *block = x.map(|word| halves(word[l])[0]);
    }
}

/// Numbers of words, changed by a function.
struct Units<'a, T, O, F> {
    words: &'a [u32],
    out: &'a mut [O],
    f: &'a F,
    unit: std::marker::PhantomData<T>,
}

impl<T: Unit, O, F: Fn(T) -> O> Kernel for Units<'_, T, O, F> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self) {
        for (o, word) in self.out.iter_mut().zip(self.words.chunks_exact(T::WIDTH)) {
            *o = (self.f)(T::unit(word));
        }
    }
}

/// Pairs by Box and Muller: a radius √(−2 ln u) and an angle 2πv.
struct Normals<'a, T> {
    words: &'a [u32],
    out: &'a mut [T],
    scale: [T; 2],
}

impl<T: Unit> Kernel for Normals<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self) {
        let n = self.out.len().div_ceil(2);
        let (mut units, mut pairs) = ([[T::default(); BLOCK / 2]; 2], [[T::default(); BLOCK / 2]; 2]);
        for (i, word) in self.words.chunks_exact(2 * T::WIDTH).take(n).enumerate() {
            units[0][i] = T::above_zero(&word[..T::WIDTH]);
            units[1][i] = T::unit(&word[T::WIDTH..]);
        }
        let [mean, deviation] = self.scale.map(Lane::<T, A>::new);
        let ([radius, angle], [cosines, sines]) = (&units, &mut pairs);
        for ((u, v), (c, s)) in radius[..n].iter().zip(angle).zip(cosines.iter_mut().zip(sines)) {
            let angle = Lane::<T, A>::new(*v) * Lane::lit(std::f64::consts::TAU);
            let u = Lane::<T, A>::new(*u);
            let radius = (Lane::lit(-2.0) * u.ln()).sqrt() * deviation;
            *c = (mean + radius * angle.cos()).value();
            *s = (mean + radius * angle.sin()).value();
        }
        let (whole, last) = self.out.as_chunks_mut::<2>();
        for (o, (c, s)) in whole.iter_mut().zip(pairs[0].iter().zip(&pairs[1])) {
            *o = [*c, *s];
        }
        if let [last] = last {
            *last = pairs[0][n - 1];
        }
    }
}

/// A floating type that random words become.
pub trait Unit: Real + Element {
    /// Words for one number.
    const WIDTH: usize;
    /// In [0, 1), a multiple of the distance between the numbers just below 1.
    fn unit(words: &[u32]) -> Self;
    /// In (0, 1], finer near 0, so that the tails of the normal distribution are there.
    fn above_zero(words: &[u32]) -> Self;
}

#[allow(clippy::cast_precision_loss, reason = "rounding is what is wanted")]
impl Unit for f32 {
    const WIDTH: usize = 1;
    #[inline(always)]
    fn unit(words: &[u32]) -> Self {
        (words[0] >> 8) as Self * (1.0 / 16_777_216.0)
    }
    #[inline(always)]
    fn above_zero(words: &[u32]) -> Self {
        (words[0] as Self + 0.5) * (1.0 / 4_294_967_296.0)
    }
}

#[allow(clippy::cast_precision_loss, reason = "rounding is what is wanted")]
impl Unit for f64 {
    const WIDTH: usize = 2;
    #[inline(always)]
    fn unit(words: &[u32]) -> Self {
        (word64(words) >> 11) as Self * (1.0 / 9_007_199_254_740_992.0)
    }
    #[inline(always)]
    fn above_zero(words: &[u32]) -> Self {
        (word64(words) as Self + 0.5) * (1.0 / 18_446_744_073_709_551_616.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors_come_out() {
        // kat_vectors of Random123, philox 4x32 with 10 rounds.
        let ones = u32::MAX;
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([ones; 4], [ones; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        assert_eq!(philox(pi, [0xa409_3822, 0x299f_31d0]), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn words_are_those_of_single_blocks() {
        let stream = Stream { seed: 0x0123_4567_89ab_cdef, start: u64::from(u32::MAX) - 20 };
        let mut words = [0; 200];
        stream.words(3, &mut words);
        for (i, block) in words.chunks_exact(WORDS).enumerate() {
            assert_eq!(block, stream.block(3 + i as u64, 0));
        }
    }

    #[test]
    fn a_number_depends_on_its_place_alone() {
        let stream = Stream { seed: 7, start: 0 };
        let normals = |n: usize| {
            let mut out = vec![0.0_f32; n];
            stream.normal(&mut out, 1.0, 2.0);
            out
        };
        let before = parallel::num_threads();
        parallel::set_num_threads(1);
        let alone = normals(100_000);
        parallel::set_num_threads(4);
        assert!(normals(100_000) == alone, "threads do not change a stream");
        parallel::set_num_threads(before);
        assert_eq!(normals(1001), alone[..1001]);
        let mut wide = vec![0.0_f64; 5000];
        stream.uniform(&mut wide, |u: f64| u);
        let mut few = vec![0.0_f64; 7];
        stream.uniform(&mut few, |u: f64| u);
        assert_eq!(few, wide[..7]);
    }

    #[test]
    fn units_stay_in_their_interval() {
        for words in [[0, 0], [u32::MAX, u32::MAX]] {
            let all = [f64::from(f32::unit(&words)), f64::unit(&words)];
            assert!(all.iter().all(|u| (0.0..1.0).contains(u)));
            let all = [f64::from(f32::above_zero(&words)), f64::above_zero(&words)];
            assert!(all.iter().all(|&u| u > 0.0 && u <= 1.0));
        }
    }

    #[test]
    fn bounded_numbers_reject_what_would_favour_some() {
        assert_eq!(bounded(5, 0), Some(5));
        // 2^64 = 3 · k + 1: one of the 2^64 must go.
        assert_eq!(bounded(0, 3), None);
        assert_eq!((bounded(1, 3), bounded(u64::MAX, 3)), (Some(0), Some(2)));
        let range = (1 << 63) + 1;
        let mut out = [0_i64; 2000];
        Stream { seed: 1, start: 0 }.integers(&mut out, i64::MIN, range, |x| x);
        assert!(out.iter().all(|&x| x <= 0) && out.iter().any(|&x| x > i64::MIN / 8));
    }
}
