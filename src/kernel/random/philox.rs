//! Philox4x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011): a block of four
//! 32-bit words for each value of a counter.
#![allow(
    unsafe_code,
    reason = "a function compiled for AVX2 is called, and stores vector registers: left to itself, the compiler takes 1.4 times as long"
)]

use crate::kernel::simd::{Arch, Kernel, dispatch};

/// Words of a block.
pub const WORDS: usize = 4;
/// Blocks that are computed side by side.
const LANES: usize = 16;
/// Number of rounds.
const ROUNDS: usize = 10;

const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const KEY_STEPS: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];

type Keys = [[u32; 2]; ROUNDS];

#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "the halves of a word")]
pub fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// The keys of the rounds.
fn schedule(seed: u64) -> Keys {
    let mut key = halves(seed);
    std::array::from_fn(|_| {
        let now = key;
        key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
        now
    })
}

/// Ten rounds for one counter.
#[inline(always)]
fn rounds(counter: [u32; WORDS], keys: &Keys) -> [u32; WORDS] {
    keys.iter().fold(counter, |[a, b, c, d], key| {
        let [p, q] = [u64::from(a) * u64::from(MULTIPLIERS[0]), u64::from(c) * u64::from(MULTIPLIERS[1])].map(halves);
        [q[1] ^ b ^ key[0], q[0], p[1] ^ d ^ key[1], p[0]]
    })
}

/// Philox4x32-10 of one counter.
#[must_use]
pub fn philox(counter: [u32; WORDS], key: [u32; 2]) -> [u32; WORDS] {
    rounds(counter, &schedule(u64::from(key[0]) | u64::from(key[1]) << 32))
}

/// Words that are computed side by side.
pub const GROUP: usize = WORDS * LANES;
/// The words, block after block.
pub type Group = [u32; GROUP];

/// Converts words to items, one group of words at a time.
pub trait Sink {
    /// The type of the items.
    type Item;
    /// Words per item.
    const WIDTH: usize;
    /// Computes `out`, the items from number `at` on, from the first of these words. Write `#[inline(always)]` on it, as on a kernel.
    fn take<A: Arch>(&self, at: usize, words: &Group, out: &mut [Self::Item]);
}

/// A part of a stream: the seed, the first block, and the number of its first item.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The seed of the stream.
    pub seed: u64,
    /// The first block.
    pub first: u64,
    /// The first item.
    pub at: usize,
}

impl Part {
    /// Fills `out` by `sink`. Words stay in the first-level cache, and converting them overlaps with computing the next.
    pub fn fill<S: Sink>(self, out: &mut [S::Item], sink: &S) {
        dispatch(Filling { part: self, out, sink });
    }
}

struct Filling<'a, S: Sink> {
    part: Part,
    out: &'a mut [S::Item],
    sink: &'a S,
}

impl<S: Sink> Kernel for Filling<'_, S> {
    type Output = ();
    const WIDE: bool = true;

    #[inline(always)]
    fn run<A: Arch>(self) {
        let keys = schedule(self.part.seed);
        #[cfg(target_arch = "x86_64")]
        if A::BYTES == avx512::BYTES {
            // SAFETY: registers of 64 bytes are those of `Avx512`, and code for that set only runs on processors that have it.
            return unsafe { avx512::fill(self.part, &keys, self.out, self.sink) };
        }
        #[cfg(target_arch = "x86_64")]
        if A::BYTES == avx2::BYTES {
            // SAFETY: registers of 32 bytes are those of `Avx2`, and code for that set only runs on processors that have it.
            return unsafe { avx2::fill(self.part, &keys, self.out, self.sink) };
        }
        let (Part { mut first, mut at, .. }, mut words) = (self.part, [0; GROUP]);
        for out in self.out.chunks_mut(GROUP / S::WIDTH) {
            for (block, i) in words.as_chunks_mut::<WORDS>().0.iter_mut().zip(0..) {
                let [low, high] = halves(first.wrapping_add(i));
                *block = rounds([low, high, 0, 0], &keys);
            }
            self.sink.take::<A>(at, &words, out);
            (first, at) = (first.wrapping_add(LANES as u64), at + out.len());
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_blend_epi32, _mm256_cmpgt_epi32, _mm256_mul_epu32, _mm256_permute2x128_si256, _mm256_set1_epi32,
        _mm256_set1_epi64x, _mm256_setr_epi32, _mm256_setzero_si256, _mm256_slli_epi64, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_sub_epi32,
        _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
    };

    use super::{GROUP, Keys, LANES, MULTIPLIERS, Part, ROUNDS, Sink, WORDS, halves};
    use crate::kernel::simd::Avx2;

    /// Bytes of a register.
    pub const BYTES: usize = 32;
    /// Words of a register.
    const WIDTH: usize = 8;

    /// One word of each of eight blocks in each register.
    type Blocks = [__m256i; WORDS];

    /// The features of `Avx2`, which the sink may use.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub fn fill<S: Sink>(part: Part, keys: &Keys, out: &mut [S::Item], sink: &S) {
        let factors = [_mm256_set1_epi64x(MULTIPLIERS[0].into()), _mm256_set1_epi64x(MULTIPLIERS[1].into())];
        let mut wide = [[_mm256_setzero_si256(); 2]; ROUNDS];
        for (wide, key) in wide.iter_mut().zip(keys) {
            *wide = [_mm256_set1_epi32(key[0].cast_signed()), _mm256_set1_epi32(key[1].cast_signed())];
        }
        let (Part { mut first, mut at, .. }, mut words) = (part, [0; GROUP]);
        let [first_keys, later_keys @ ..] = &wide;
        for out in out.chunks_mut(GROUP / S::WIDTH) {
            // Two groups of blocks, because each product has a latency.
            let mut x = first_round(counters(first), first_keys, factors[0]);
            let mut y = first_round(counters(first.wrapping_add(WIDTH as u64)), first_keys, factors[0]);
            for keys in later_keys {
                x = round(x, keys, factors);
                y = round(y, keys, factors);
            }
            let (left, right) = words.split_at_mut(WORDS * WIDTH);
            store(x, left);
            store(y, right);
            sink.take::<Avx2>(at, &words, out);
            (first, at) = (first.wrapping_add(LANES as u64), at + out.len());
        }
    }

    /// The lower two words of the eight counters from `at` on; the upper two are zero.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn counters(at: u64) -> [__m256i; 2] {
        let [low, high] = halves(at).map(u32::cast_signed);
        let first = _mm256_set1_epi32(low);
        let low = _mm256_add_epi32(first, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        // An unsigned comparison: minus one where the lower word has overflowed.
        let sign = _mm256_set1_epi32(i32::MIN);
        let over = _mm256_cmpgt_epi32(_mm256_xor_si256(first, sign), _mm256_xor_si256(low, sign));
        [low, _mm256_sub_epi32(_mm256_set1_epi32(high), over)]
    }

    /// [`round`] on a counter whose upper two words are zero.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn first_round([a, b]: [__m256i; 2], key: &[__m256i; 2], factor: __m256i) -> Blocks {
        let [p_low, p_high] = product(a, factor);
        [_mm256_xor_si256(b, key[0]), _mm256_setzero_si256(), _mm256_xor_si256(p_high, key[1]), p_low]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn round([a, b, c, d]: Blocks, key: &[__m256i; 2], factors: [__m256i; 2]) -> Blocks {
        let ([p_low, p_high], [q_low, q_high]) = (product(a, factors[0]), product(c, factors[1]));
        [_mm256_xor_si256(_mm256_xor_si256(q_high, b), key[0]), q_low, _mm256_xor_si256(_mm256_xor_si256(p_high, d), key[1]), p_low]
    }

    /// The lower and the upper words of the products. Even and odd positions are computed separately.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn product(x: __m256i, factor: __m256i) -> [__m256i; 2] {
        const ODD: i32 = 0b1010_1010;
        let (even, odd) = (_mm256_mul_epu32(x, factor), _mm256_mul_epu32(_mm256_srli_epi64::<32>(x), factor));
        [_mm256_blend_epi32::<ODD>(even, _mm256_slli_epi64::<32>(odd)), _mm256_blend_epi32::<ODD>(_mm256_srli_epi64::<32>(even), odd)]
    }

    /// Block after block.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn store([a, b, c, d]: Blocks, out: &mut [u32]) {
        let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
        let (ab2, cd2) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
        // Blocks 0 and 4, 1 and 5, 2 and 6, 3 and 7.
        let (x, y) = (_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
        let (z, w) = (_mm256_unpacklo_epi64(ab2, cd2), _mm256_unpackhi_epi64(ab2, cd2));
        let pairs = [
            _mm256_permute2x128_si256::<0x20>(x, y),
            _mm256_permute2x128_si256::<0x20>(z, w),
            _mm256_permute2x128_si256::<0x31>(x, y),
            _mm256_permute2x128_si256::<0x31>(z, w),
        ];
        for (pair, out) in pairs.into_iter().zip(out.as_chunks_mut::<WIDTH>().0) {
            // SAFETY: `out` has the eight words that are written; the address need not be aligned.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), pair) };
        }
    }
}

/// As [`avx2`], with registers that hold one word of all sixteen blocks.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512i, _mm512_add_epi32, _mm512_cmplt_epu32_mask, _mm512_mask_add_epi32, _mm512_mask_mov_epi32, _mm512_mul_epu32, _mm512_set1_epi32,
        _mm512_set1_epi64, _mm512_setr_epi32, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_slli_epi64, _mm512_srli_epi64, _mm512_storeu_si512,
        _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
    };

    use super::{GROUP, Keys, LANES, MULTIPLIERS, Part, ROUNDS, Sink, WORDS, halves};
    use crate::kernel::simd::Avx512;

    /// Bytes of a register.
    pub const BYTES: usize = 64;

    /// One word of each of sixteen blocks in each register.
    type Blocks = [__m512i; WORDS];

    /// The features of `Avx512`, which the sink may use.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma")]
    pub fn fill<S: Sink>(part: Part, keys: &Keys, out: &mut [S::Item], sink: &S) {
        let factors = [_mm512_set1_epi64(MULTIPLIERS[0].into()), _mm512_set1_epi64(MULTIPLIERS[1].into())];
        let mut wide = [[_mm512_setzero_si512(); 2]; ROUNDS];
        for (wide, key) in wide.iter_mut().zip(keys) {
            *wide = [_mm512_set1_epi32(key[0].cast_signed()), _mm512_set1_epi32(key[1].cast_signed())];
        }
        let (Part { mut first, mut at, .. }, mut words) = (part, [0; GROUP]);
        for out in out.chunks_mut(GROUP / S::WIDTH) {
            let [low, high] = counters(first);
            let mut x = [low, high, _mm512_setzero_si512(), _mm512_setzero_si512()];
            for keys in &wide {
                x = round(x, keys, factors);
            }
            store(x, &mut words);
            sink.take::<Avx512>(at, &words, out);
            (first, at) = (first.wrapping_add(LANES as u64), at + out.len());
        }
    }

    /// The lower two words of the sixteen counters from `at` on; the upper two are zero.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn counters(at: u64) -> [__m512i; 2] {
        let [low, high] = halves(at).map(u32::cast_signed);
        let (first, high) = (_mm512_set1_epi32(low), _mm512_set1_epi32(high));
        let low = _mm512_add_epi32(first, _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
        // Adds one where the lower word has overflowed.
        [low, _mm512_mask_add_epi32(high, _mm512_cmplt_epu32_mask(low, first), high, _mm512_set1_epi32(1))]
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn round([a, b, c, d]: Blocks, key: &[__m512i; 2], factors: [__m512i; 2]) -> Blocks {
        let ([p_low, p_high], [q_low, q_high]) = (product(a, factors[0]), product(c, factors[1]));
        [_mm512_xor_si512(_mm512_xor_si512(q_high, b), key[0]), q_low, _mm512_xor_si512(_mm512_xor_si512(p_high, d), key[1]), p_low]
    }

    /// The lower and the upper words of the products. Even and odd positions are computed separately.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn product(x: __m512i, factor: __m512i) -> [__m512i; 2] {
        const ODD: u16 = 0b1010_1010_1010_1010;
        let (even, odd) = (_mm512_mul_epu32(x, factor), _mm512_mul_epu32(_mm512_srli_epi64::<32>(x), factor));
        [_mm512_mask_mov_epi32(even, ODD, _mm512_slli_epi64::<32>(odd)), _mm512_mask_mov_epi32(_mm512_srli_epi64::<32>(even), ODD, odd)]
    }

    /// Block after block.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store([a, b, c, d]: Blocks, out: &mut [u32; GROUP]) {
        const EVEN: i32 = 0b10_00_10_00;
        const ODD: i32 = 0b11_01_11_01;
        let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        let (ab2, cd2) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        // Blocks 0, 4, 8, 12; then 1, 5 and so on.
        let (x, y) = (_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
        let (z, w) = (_mm512_unpacklo_epi64(ab2, cd2), _mm512_unpackhi_epi64(ab2, cd2));
        let (xy, zw) = (_mm512_shuffle_i32x4::<EVEN>(x, y), _mm512_shuffle_i32x4::<EVEN>(z, w));
        let (xy2, zw2) = (_mm512_shuffle_i32x4::<ODD>(x, y), _mm512_shuffle_i32x4::<ODD>(z, w));
        let rows = [
            _mm512_shuffle_i32x4::<EVEN>(xy, zw),
            _mm512_shuffle_i32x4::<EVEN>(xy2, zw2),
            _mm512_shuffle_i32x4::<ODD>(xy, zw),
            _mm512_shuffle_i32x4::<ODD>(xy2, zw2),
        ];
        for (row, out) in rows.into_iter().zip(out.as_chunks_mut::<LANES>().0) {
            // SAFETY: `out` has the sixteen words that are written; the address need not be aligned.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), row) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::simd::Baseline;

    #[test]
    fn the_published_vectors_come_out() {
        // kat_vectors of Random123, philox 4x32 with 10 rounds.
        let ones = u32::MAX;
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([ones; 4], [ones; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        assert_eq!(philox(pi, [0xa409_3822, 0x299f_31d0]), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    struct Words;

    impl Sink for Words {
        type Item = u32;
        const WIDTH: usize = 1;
        #[inline(always)]
        fn take<A: Arch>(&self, at: usize, words: &Group, out: &mut [u32]) {
            assert_eq!(at % GROUP, 3, "places are counted on");
            out.copy_from_slice(&words[..out.len()]);
        }
    }

    #[test]
    fn words_are_those_of_single_blocks() {
        let seed = 0x0123_4567_89ab_cdef;
        let many = u64::from(u32::MAX);
        for (first, count) in [(0, 200), (many - 20, 201), (u64::MAX - 3, 64), (7, 6), (many - 8, 64), (5, 0)] {
            let part = Part { seed, first, at: 3 };
            let [mut found, mut plain] = [0, 0].map(|x| vec![x; count]);
            part.fill(&mut found, &Words);
            Filling { part, out: &mut plain, sink: &Words }.run::<Baseline>();
            assert_eq!(found, plain);
            for (i, block) in (0..).zip(found.chunks(WORDS)) {
                let [low, high] = halves(first.wrapping_add(i));
                assert_eq!(block, &philox([low, high, 0, 0], halves(seed))[..block.len()]);
            }
        }
    }
}
