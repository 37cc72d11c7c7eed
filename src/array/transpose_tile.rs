//! Transposing a panel: columns that are rows in memory become rows.
#![allow(
    unsafe_code,
    reason = "vector registers are loaded and stored through pointers; `turn` checks their range once; and cache lines are asked for ahead"
)]

/// Bytes of a cache line.
pub const LINE: usize = 64;

/// Prefetches the cache line at `at`, whether the address is valid or not.
#[inline(always)]
#[allow(clippy::inline_always, reason = "it is one instruction, in the innermost loops")]
pub fn prefetch_line<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, for any address; SSE is always there.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Prefetches the elements from `at` on, `n` at most.
#[inline]
pub(super) fn prefetch<T>(data: &[T], at: usize, n: usize) {
    for x in data.get(at..data.len().min(at + n)).unwrap_or_default().iter().step_by((LINE / size_of::<T>()).max(1)) {
        prefetch_line(x);
    }
}

/// `to[r · pitch + c] = from[first + c · step + r]` for `rows` values of r and `columns` of c.
///
/// # Panics
/// When a place is out of range.
pub(super) fn transpose_tile<T: Copy>(from: &[T], first: isize, step: isize, to: &mut [T], pitch: usize, (rows, columns): (usize, usize)) {
    if rows == 0 || columns == 0 {
        return;
    }
    let last = first + (columns.cast_signed() - 1) * step;
    assert!(first.min(last) >= 0 && first.max(last).cast_unsigned() + rows <= from.len(), "a panel lies inside its storage");
    assert!(columns <= pitch && (rows - 1) * pitch + columns <= to.len(), "a panel fits its buffer");
    // SAFETY: the assertions are what `squares` requires.
    let (r, c) = unsafe { squares(from.as_ptr().offset(first), step, to.as_mut_ptr(), pitch, (rows, columns)) };
    let mut place = |r: usize, c: usize| to[r * pitch + c] = from[(first + c.cast_signed() * step).cast_unsigned() + r];
    for j in 0..columns {
        (if j < c { r } else { 0 }..rows).for_each(|i| place(i, j));
    }
}

/// Transposes all whole squares that fit registers. Returns how many rows, and of how many columns, these cover.
///
/// # Safety
/// `from[c · step + r]` can be read and `to[r · pitch + c]` written for all r and c in range.
#[cfg(target_arch = "x86_64")]
unsafe fn squares<T>(from: *const T, step: isize, to: *mut T, pitch: usize, (rows, columns): (usize, usize)) -> (usize, usize) {
    if !is_x86_feature_detected!("avx") {
        // SAFETY: as the caller vouches.
        return unsafe { small_squares(from, step, to, pitch, (rows, columns)) };
    }
    // SAFETY: as the caller vouches, and the processor has AVX; the rows that are left lie in range, too.
    unsafe {
        let (r, c) = large_squares(from, step, to, pitch, (rows, columns));
        let (more, _) = small_squares(from.add(r), step, to.add(r * pitch), pitch, (rows - r, c));
        (r + more, c)
    }
}

/// [`squares`] in registers of 16 bytes.
///
/// # Safety
/// As for [`squares`].
#[cfg(target_arch = "x86_64")]
unsafe fn small_squares<T>(from: *const T, step: isize, to: *mut T, pitch: usize, (rows, columns): (usize, usize)) -> (usize, usize) {
    let side = match size_of::<T>() {
        4 => 4,
        8 => 2,
        _ => return (0, 0),
    };
    let (rows, columns) = (rows / side * side, columns / side * side);
    for c in (0..columns).step_by(side) {
        for r in (0..rows).step_by(side) {
            // SAFETY: the square lies in the range that the caller vouches for, and T has 4 or 8 bytes.
            unsafe {
                let (from, to) = (from.offset(c.cast_signed() * step).add(r), to.add(r * pitch + c));
                if side == 4 { four(from.cast(), step, to.cast(), pitch) } else { two(from.cast(), step, to.cast(), pitch) }
            }
        }
    }
    (rows, columns)
}

/// [`squares`] in registers of 32 bytes.
///
/// # Safety
/// As for [`squares`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn large_squares<T>(from: *const T, step: isize, to: *mut T, pitch: usize, (rows, columns): (usize, usize)) -> (usize, usize) {
    let side = match size_of::<T>() {
        4 => 8,
        8 => 4,
        _ => return (0, 0),
    };
    let (rows, columns) = (rows / side * side, columns / side * side);
    for c in (0..columns).step_by(side) {
        for r in (0..rows).step_by(side) {
            // SAFETY: as in `small_squares`.
            unsafe {
                let (from, to) = (from.offset(c.cast_signed() * step).add(r), to.add(r * pitch + c));
                if side == 8 { eight(from.cast(), step, to.cast(), pitch) } else { wide_four(from.cast(), step, to.cast(), pitch) }
            }
        }
    }
    (rows, columns)
}

/// # Safety
/// Eight columns of eight can be read from `from`, and eight rows of eight written to `to`.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx")]
unsafe fn eight(from: *const f32, step: isize, to: *mut f32, pitch: usize) {
    use std::arch::x86_64::{
        _mm_loadu_ps, _mm256_castps128_ps256, _mm256_insertf128_ps, _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };
    for half in [0, 4] {
        // SAFETY: as the caller vouches; unaligned access is what these instructions are for.
        unsafe {
            // Column i, and column i + 4 in the upper half.
            let [a, b, c, d] = [0, 1, 2, 3].map(|i| {
                let (low, high) = (from.offset(i * step).add(half), from.offset((i + 4) * step).add(half));
                _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high))
            });
            let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
            let (ab2, cd2) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
            let to = to.add(half * pitch);
            _mm256_storeu_ps(to, _mm256_shuffle_ps::<0x44>(ab, cd));
            _mm256_storeu_ps(to.add(pitch), _mm256_shuffle_ps::<0xEE>(ab, cd));
            _mm256_storeu_ps(to.add(2 * pitch), _mm256_shuffle_ps::<0x44>(ab2, cd2));
            _mm256_storeu_ps(to.add(3 * pitch), _mm256_shuffle_ps::<0xEE>(ab2, cd2));
        }
    }
}

/// # Safety
/// Four columns of four can be read from `from`, and four rows of four written to `to`.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx")]
unsafe fn wide_four(from: *const f64, step: isize, to: *mut f64, pitch: usize) {
    use std::arch::x86_64::{_mm_loadu_pd, _mm256_castpd128_pd256, _mm256_insertf128_pd, _mm256_storeu_pd, _mm256_unpackhi_pd, _mm256_unpacklo_pd};
    for half in [0, 2] {
        // SAFETY: as the caller vouches; unaligned access is what these instructions are for.
        unsafe {
            // Column i, and column i + 2 in the upper half.
            let [a, b] = [0, 1].map(|i| {
                let (low, high) = (from.offset(i * step).add(half), from.offset((i + 2) * step).add(half));
                _mm256_insertf128_pd::<1>(_mm256_castpd128_pd256(_mm_loadu_pd(low)), _mm_loadu_pd(high))
            });
            _mm256_storeu_pd(to.add(half * pitch), _mm256_unpacklo_pd(a, b));
            _mm256_storeu_pd(to.add((half + 1) * pitch), _mm256_unpackhi_pd(a, b));
        }
    }
}

/// # Safety
/// None is needed: it does nothing.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn squares<T>(_: *const T, _: isize, _: *mut T, _: usize, _: (usize, usize)) -> (usize, usize) {
    (0, 0)
}

/// # Safety
/// Four columns of four can be read from `from`, and four rows of four written to `to`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn four(from: *const f32, step: isize, to: *mut f32, pitch: usize) {
    use std::arch::x86_64::{_mm_loadu_ps, _mm_movehl_ps, _mm_movelh_ps, _mm_storeu_ps, _mm_unpackhi_ps, _mm_unpacklo_ps};
    // SAFETY: as the caller vouches; unaligned access is what these instructions are for.
    unsafe {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| _mm_loadu_ps(from.offset(i * step)));
        let (ab, cd) = (_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(c, d));
        let (ab2, cd2) = (_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(c, d));
        _mm_storeu_ps(to, _mm_movelh_ps(ab, cd));
        _mm_storeu_ps(to.add(pitch), _mm_movehl_ps(cd, ab));
        _mm_storeu_ps(to.add(2 * pitch), _mm_movelh_ps(ab2, cd2));
        _mm_storeu_ps(to.add(3 * pitch), _mm_movehl_ps(cd2, ab2));
    }
}

/// # Safety
/// Two columns of two can be read from `from`, and two rows of two written to `to`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn two(from: *const f64, step: isize, to: *mut f64, pitch: usize) {
    use std::arch::x86_64::{_mm_loadu_pd, _mm_storeu_pd, _mm_unpackhi_pd, _mm_unpacklo_pd};
    // SAFETY: as the caller vouches; unaligned access is what these instructions are for.
    unsafe {
        let (a, b) = (_mm_loadu_pd(from), _mm_loadu_pd(from.offset(step)));
        _mm_storeu_pd(to, _mm_unpacklo_pd(a, b));
        _mm_storeu_pd(to.add(pitch), _mm_unpackhi_pd(a, b));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Copy + Default + PartialEq + std::fmt::Debug>(from: &[T]) {
        for (rows, columns) in [(1, 1), (3, 5), (4, 8), (16, 13), (7, 2), (2, 17), (8, 8), (14, 17), (17, 16)] {
            for (first, step) in [(0, 20_isize), (1, 17), (19 * 17, -20)] {
                let mut to = vec![T::default(); rows * 20];
                transpose_tile(from, first, step, &mut to, 20, (rows, columns));
                for r in 0..rows {
                    for c in 0..columns {
                        let place = first + c.cast_signed() * step + r.cast_signed();
                        assert_eq!(to[r * 20 + c], from[place.cast_unsigned()], "{rows} {columns} {step}: {r} {c}");
                    }
                    assert!(to[r * 20 + columns..(r + 1) * 20].iter().all(|x| *x == T::default()), "nothing else is written");
                }
            }
        }
    }

    #[test]
    fn panels_of_any_size_are_turned() {
        check(&(1_u16..401).map(f32::from).collect::<Vec<_>>());
        check(&(1_i64..401).collect::<Vec<_>>());
        check(&(0_u16..400).map(|i| i.to_le_bytes()[0] % 251).collect::<Vec<_>>());
    }

    #[test]
    #[should_panic(expected = "inside its storage")]
    fn nothing_outside_the_storage_is_read() {
        transpose_tile(&[0.0_f32; 15], 0, 4, &mut [0.0; 16], 4, (4, 4));
    }
}
