//! Random numbers from a counter: number i depends only on the seed and on i. So any thread can compute any part of a stream, and the
//! stream is the same for any number of threads.
//!
//! The bits are those of Philox4x32-10: a block of four 32-bit words for each value of the counter. A uniform number uses the top bits of
//! one word (f32) or two (f64). Normal numbers come in pairs by the Box-Muller method.

mod philox;

use serde::{Deserialize, Serialize};
use std::marker::PhantomData;

use crate::array::Element;
use crate::kernel::math::{Real, log, on_circle};
use crate::kernel::parallel;
use crate::kernel::simd::Arch;

pub use philox::philox;
use philox::{GROUP, Group, Part, Sink, WORDS, halves};

/// A part of the stream of a seed, starting with block `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// The seed.
    pub seed: u64,
    /// Its first block.
    pub start: u64,
}

/// Number of blocks for `count` elements of `words` words each.
#[must_use]
pub fn blocks(count: usize, words: usize) -> u64 {
    u64::try_from(count.div_ceil(WORDS) * words).unwrap_or(u64::MAX)
}

impl Stream {
    /// Block `index`. There are 2³² independent ones, numbered by `attempt`.
    fn block(self, index: u64, attempt: u32) -> [u32; WORDS] {
        let [low, high] = halves(self.start.wrapping_add(index));
        philox([low, high, attempt, 0], halves(self.seed))
    }

    /// Fills `out` by `sink`, which takes about `cost` nanoseconds per element.
    fn fill<S: Sink<Item: Send> + Sync>(self, out: &mut [S::Item], cost: f64, sink: &S) {
        let grain = parallel::grain(out.len(), cost).next_multiple_of(GROUP);
        parallel::for_each_chunk_mut(out, grain, |at, out| {
            Part { seed: self.seed, first: self.start.wrapping_add(blocks(at, S::WIDTH)), at }.fill(out, sink);
        });
    }

    /// Uniform numbers in [0, 1), mapped by `f`.
    pub fn uniform<T: Unit, O: Send + Sync>(self, out: &mut [O], f: impl Fn(T) -> O + Sync) {
        self.fill(out, 2.0, &Units { f, kinds: PhantomData });
    }

    /// Numbers of the normal distribution with this mean and standard deviation.
    pub fn normal<T: Unit>(self, out: &mut [T], mean: T, deviation: T) {
        self.fill(out, 6.0, &Normals([mean, deviation]));
    }

    /// `yes` with probability `p`, else `no`: as if a uniform number with 53 bits were compared with `p`. The first 32 bits nearly always
    /// decide.
    pub fn draws<O: Copy + Send + Sync>(self, p: f64, [no, yes]: [O; 2], out: &mut [O]) {
        let [rest, first] = split(p);
        // 2^32, for a probability of one, is larger than any word.
        let Ok(first) = u32::try_from(first) else {
            return out.fill(yes);
        };
        self.fill(out, 1.0, &Draws { stream: self, first, rest, values: [no, yes] });
    }

    /// `x` times `scale` with probability `p` (to 32 bits), else zero. Each element uses one word.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number up to 2^32")]
    pub fn keep<T: Real + Element>(self, p: f64, scale: T, x: &[T], out: &mut [T]) {
        let limit = (p * 4_294_967_296.0) as u64;
        self.fill(out, 1.0, &Kept { x, scale, limit });
    }

    /// Integers from `low` on, `range` of them (0: all integers), each with exactly the same probability.
    pub fn integers<O: Send + Sync>(self, out: &mut [O], low: i64, range: u64, f: impl Fn(i64) -> O + Sync) {
        self.fill(out, 3.0, &Integers { stream: self, low, range, f, kind: PhantomData });
    }

    /// A number below `range` for element `place`. `first` is the first attempt.
    fn below(self, range: u64, place: usize, first: u32) -> u64 {
        let index = u64::try_from(place / 2).unwrap_or(u64::MAX);
        let drawn = (first..).find_map(|attempt| bounded(word64(&self.block(index, attempt)[place % 2 * 2..]), range));
        drawn.unwrap_or(0)
    }

    /// Shuffles `out` (Fisher & Yates).
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

/// A number below `range` from 64 random bits; `None` for bits that would favour some numbers (Lemire, 2019).
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "the halves of a word")]
fn bounded(bits: u64, range: u64) -> Option<u64> {
    if range == 0 {
        return Some(bits);
    }
    let product = u128::from(bits) * u128::from(range);
    let low = product as u64;
    // 2^64 modulo the range: only needed for the few candidates that are this low.
    (low >= range || low >= range.wrapping_neg() % range).then_some((product >> 64) as u64)
}

/// The number of 53-bit fractions below `p`: its upper 32 bits, and its last 21 bits.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number up to 2^53")]
fn split(p: f64) -> [u64; 2] {
    let below = (p * 9_007_199_254_740_992.0).ceil() as u64;
    [below & 0x1f_ffff, below >> 21]
}

/// Integers from pairs of words, mapped by a function.
struct Integers<O, F> {
    stream: Stream,
    low: i64,
    range: u64,
    f: F,
    kind: PhantomData<O>,
}

impl<O, F: Fn(i64) -> O> Sink for Integers<O, F> {
    type Item = O;
    const WIDTH: usize = 2;

    #[inline(always)]
    fn take<A: Arch>(&self, at: usize, words: &Group, out: &mut [O]) {
        for (i, (o, word)) in out.iter_mut().zip(words.chunks_exact(2)).enumerate() {
            let drawn = bounded(word64(word), self.range).unwrap_or_else(|| self.stream.below(self.range, at + i, 1));
            *o = (self.f)(self.low.wrapping_add_unsigned(drawn));
        }
    }
}

/// One value for words below a limit and another for words above it; words equal to the limit use more bits.
struct Draws<O> {
    stream: Stream,
    first: u32,
    rest: u64,
    values: [O; 2],
}

impl<O: Copy> Sink for Draws<O> {
    type Item = O;
    const WIDTH: usize = 1;

    #[inline(always)]
    fn take<A: Arch>(&self, at: usize, words: &Group, out: &mut [O]) {
        let ([no, yes], limit) = (self.values, self.first);
        let mut equal = false;
        for (o, &word) in out.iter_mut().zip(words) {
            *o = if word < limit { yes } else { no };
            equal |= word == limit;
        }
        if equal {
            self.look_closer(at, words, out);
        }
    }
}

impl<O: Copy> Draws<O> {
    #[cold]
    fn look_closer(&self, at: usize, words: &Group, out: &mut [O]) {
        for (i, o) in out.iter_mut().enumerate().filter(|(i, _)| words[*i] == self.first) {
            let block = u64::try_from((at + i) / WORDS).unwrap_or(u64::MAX);
            let more = self.stream.block(block, 1)[(at + i) % WORDS];
            *o = self.values[usize::from(u64::from(more >> 11) < self.rest)];
        }
    }
}

/// Elements that are kept and scaled if the word is below a limit.
struct Kept<'a, T> {
    x: &'a [T],
    scale: T,
    limit: u64,
}

impl<T: Real + Element> Sink for Kept<'_, T> {
    type Item = T;
    const WIDTH: usize = 1;

    #[inline(always)]
    fn take<A: Arch>(&self, at: usize, words: &Group, out: &mut [T]) {
        let zero = T::default();
        // All words are below 2^32, so the limit may not fit a word.
        let (limit, all) = (u32::try_from(self.limit).unwrap_or(u32::MAX), self.limit > u64::from(u32::MAX));
        let x = &self.x[at..at + out.len()];
        for ((o, x), &word) in out.iter_mut().zip(x).zip(words) {
            *o = if all || word < limit { *x * self.scale } else { zero };
        }
    }
}

/// Uniform numbers from words, mapped by a function.
struct Units<T, O, F> {
    f: F,
    kinds: PhantomData<(T, O)>,
}

impl<T: Unit, O, F: Fn(T) -> O> Sink for Units<T, O, F> {
    type Item = O;
    const WIDTH: usize = T::WIDTH;

    #[inline(always)]
    fn take<A: Arch>(&self, _: usize, words: &Group, out: &mut [O]) {
        for (o, word) in out.iter_mut().zip(words.chunks_exact(T::WIDTH)) {
            *o = (self.f)(T::unit(word));
        }
    }
}

/// Pairs of normal numbers by Box and Muller: a radius √(−2 ln u) and an angle 2πv. The array holds mean and standard deviation.
struct Normals<T>([T; 2]);

impl<T: Unit> Sink for Normals<T> {
    type Item = T;
    const WIDTH: usize = T::WIDTH;

    #[inline(always)]
    fn take<A: Arch>(&self, _: usize, words: &Group, out: &mut [T]) {
        let n = GROUP / (2 * T::WIDTH);
        let mut units = [[T::default(); GROUP / 2]; 2];
        for (i, word) in words.chunks_exact(2 * T::WIDTH).enumerate() {
            units[0][i] = T::above_zero(&word[..T::WIDTH]);
            units[1][i] = T::unit(&word[T::WIDTH..]);
        }
        let ([mean, deviation], [radius, turn]) = (self.0, &mut units);
        // Two separate loops: a processor overlaps more iterations of shorter loops.
        for u in &mut radius[..n] {
            *u = (T::lit(-2.0) * log::<T, A>(*u)).sqrt() * deviation;
        }
        let (whole, last) = out.as_chunks_mut::<2>();
        for ((r, v), o) in radius.iter().zip(&*turn).zip(whole.iter_mut()) {
            let [cos, sin] = on_circle::<T, A>(*v);
            *o = [mean + *r * cos, mean + *r * sin];
        }
        if let [last] = last {
            let i = whole.len();
            *last = mean + radius[i] * on_circle::<T, A>(turn[i])[0];
        }
    }
}

/// A floating type that random words are converted to.
pub trait Unit: Real + Element {
    /// Words per number.
    const WIDTH: usize;
    /// In [0, 1), a multiple of the distance between the numbers just below 1.
    fn unit(words: &[u32]) -> Self;
    /// In (0, 1], finer near 0, so that the tails of the normal distribution are reached.
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
    fn a_number_depends_on_its_place_alone() {
        let stream = Stream { seed: 7, start: 0 };
        let normals = |n: usize| {
            let mut out = vec![0.0_f32; n];
            stream.normal(&mut out, 1.0, 2.0);
            out
        };
        let alone = parallel::with_threads(1, || normals(100_000));
        assert!(parallel::with_threads(4, || normals(100_000)) == alone, "threads do not change a stream");
        assert_eq!(normals(1001), alone[..1001]);
        let mut wide = vec![0.0_f64; 5000];
        stream.uniform(&mut wide, |u: f64| u);
        let mut few = vec![0.0_f64; 7];
        stream.uniform(&mut few, |u: f64| u);
        assert_eq!(few, wide[..7]);
    }

    #[test]
    fn draws_are_decided_by_all_53_bits() {
        let stream = Stream { seed: 11, start: 5 };
        let bits = |i: usize| {
            let block = |attempt| u64::from(stream.block(i as u64 / 4, attempt)[i % 4]);
            block(0) << 21 | block(1) >> 11
        };
        let n = 1003;
        for near in [bits(0), bits(700), bits(n - 1)] {
            for limit in [near >> 21 << 21, near, near + 1, ((near >> 21) + 1) << 21] {
                let mut out = vec![2_u8; n];
                #[allow(clippy::cast_precision_loss, reason = "at most 53 bits")]
                stream.draws(limit as f64 / 9_007_199_254_740_992.0, [0, 1], &mut out);
                for (i, drawn) in out.into_iter().enumerate() {
                    assert_eq!(drawn == 1, bits(i) < limit, "{limit}: {i}");
                }
            }
        }
        for (p, all) in [(0.0, 0), (1.0, 1)] {
            let mut out = [2_u8; 77];
            stream.draws(p, [0, 1], &mut out);
            assert_eq!(out, [all; 77]);
        }
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
        // 2^64 = 3 · k + 1: one of the 2^64 bit patterns must be rejected.
        assert_eq!(bounded(0, 3), None);
        assert_eq!((bounded(1, 3), bounded(u64::MAX, 3)), (Some(0), Some(2)));
        let range = (1 << 63) + 1;
        let mut out = [0_i64; 2000];
        Stream { seed: 1, start: 0 }.integers(&mut out, i64::MIN, range, |x| x);
        assert!(out.iter().all(|&x| x <= 0) && out.iter().any(|&x| x > i64::MIN / 8));
    }
}
