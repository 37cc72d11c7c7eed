//! One loop, several instruction sets.
//!
//! A [`Kernel`] is plain generic Rust. [`dispatch`] runs it in a function that is compiled for the best instruction set of this CPU.
//! Everything that the kernel calls is `#[inline(always)]`, so the compiler vectorises the loop for that set. `unsafe` is needed to call
//! that function, for non-temporal stores, and to hide constants from the compiler.
//!
//! | set | where | fused multiply-add |
//! |---|---|---|
//! | [`Avx512`] | x86-64 with AVX-512 (F, BW, CD, DQ, VL), for kernels that are [`WIDE`](Kernel::WIDE) | yes |
//! | [`Avx2`] | x86-64 with AVX2 and FMA | yes |
//! | [`Baseline`] | everywhere else (SSE2, NEON) | where the target always has it |
//!
//! The widest set of the processor is chosen at start-up ([`Set`]). The environment variable `TAPEGRAD_SIMD=avx512`, `avx2` or `baseline`
//! chooses another, for tests, comparisons and bug reports.
#![allow(
    unsafe_code,
    reason = "calling a `#[target_feature]` function needs it; the calls are in `dispatch`; stores past the caches and parts of vectors go through pointers; and `asm!` hides a constant"
)]

mod part;
mod set;
#[cfg(test)]
mod sets;

use std::marker::PhantomData;

use crate::array::{LINE, prefetch_line};

pub use part::{PART, load_part, store_part};
pub use set::{Set, VARIABLE, check, use_set};

/// What a kernel knows about the instruction set that it is compiled for.
pub trait Arch: Copy + 'static {
    /// Whether `mul_add` is one instruction. If not, it would be a call into libm: never use it then.
    const FMA: bool;
    /// The bytes of a vector register.
    const BYTES: usize = 16;
    /// Whether parts of a vector can be loaded and stored by one instruction, so that the end of a slice needs no scalar loop.
    const MASKS: bool = false;
    /// Whether this is the set of old x86-64 processors. Loops over formulas are compiled for it one element at a time: correct and small.
    const PLAIN: bool = false;
    /// Whether functions with a fast range handle arguments outside it, at the price of a branch.
    const CAREFUL: bool = false;
}

/// x86-64 with AVX-512: F, BW, CD, DQ and VL.
#[derive(Clone, Copy, Debug)]
pub struct Avx512;

impl Arch for Avx512 {
    const FMA: bool = true;
    const BYTES: usize = 64;
    const MASKS: bool = true;
}

/// x86-64 with AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Avx2;

impl Arch for Avx2 {
    const FMA: bool = true;
    const BYTES: usize = 32;
}

/// Whatever the compilation target guarantees.
#[derive(Clone, Copy, Debug)]
pub struct Baseline;

impl Arch for Baseline {
    const FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
    const PLAIN: bool = cfg!(target_arch = "x86_64");
}

/// The same instruction set as `A`, but accurate for every argument, one lane at a time.
///
/// Arguments within the fast range give the same bits as with `A`.
#[derive(Clone, Copy, Debug)]
pub struct Careful<A>(PhantomData<A>);

impl<A: Arch> Arch for Careful<A> {
    const FMA: bool = A::FMA;
    const BYTES: usize = A::BYTES;
    const MASKS: bool = A::MASKS;
    const PLAIN: bool = A::PLAIN;
    const CAREFUL: bool = true;
}

/// Work that is compiled once per instruction set. Write `#[inline(always)]` on `run`: without it the body is compiled for the baseline,
/// whatever [`dispatch`] does.
pub trait Kernel {
    /// The result of the work.
    type Output;
    /// Whether the work is compiled for AVX-512, too. If not, AVX2 is used there: a third copy of a loop that is limited by memory is not
    /// worth its size.
    const WIDE: bool = false;
    /// Does the work.
    fn run<A: Arch>(self) -> Self::Output;
}

/// Runs `kernel` with the instruction set [in use](Set::current).
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        let set = Set::current();
        #[allow(clippy::collapsible_if, reason = "a condition of its own: what is not wide is not even compiled")]
        if const { K::WIDE } {
            if set == Set::Avx512 {
                // SAFETY: a set is in use only if this processor supports it.
                return unsafe { run_avx512(kernel) };
            }
        }
        if set >= Set::Avx2 {
            // SAFETY: a set is in use only if this processor supports it, and every processor with AVX-512 has AVX2 and FMA.
            return unsafe { run_avx2(kernel) };
        }
    }
    kernel.run::<Baseline>()
}

/// Runs `kernel` with `set`, whatever is in use.
///
/// # Panics
/// When this processor lacks it.
#[cfg(all(test, target_arch = "x86_64"))]
pub fn dispatch_with<K: Kernel>(set: Set, kernel: K) -> K::Output {
    assert!(set.is_here(), "{set} is not here");
    match set {
        // SAFETY: just asserted, in both cases.
        Set::Avx512 => unsafe { run_avx512(kernel) },
        // SAFETY: as above.
        Set::Avx2 => unsafe { run_avx2(kernel) },
        Set::Baseline => kernel.run::<Baseline>(),
    }
}

/// The name of the instruction set in use, for bug reports and benchmark tables.
#[must_use]
pub fn isa() -> &'static str {
    Set::current().name()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

/// Numbers that can be hidden from the compiler.
pub trait Opaque: Copy {
    /// `self`, as a number that the compiler does not know. A constant is materialised wherever it is used, unless a register is free for
    /// it. This one is made once, before the loop, and then read from the stack by the instruction that uses it.
    #[must_use]
    fn opaque(self) -> Self;
}

macro_rules! opaque {
    ($($t:ident)*) => {
        $(impl Opaque for $t {
            #[inline(always)]
            fn opaque(self) -> Self {
                #[cfg(target_arch = "x86_64")]
                {
                    let mut x = self;
                    // SAFETY: no instruction at all.
                    unsafe { std::arch::asm!("/* {} */", inlateout(xmm_reg) x, options(pure, nomem, nostack, preserves_flags)) };
                    x
                }
                #[cfg(not(target_arch = "x86_64"))]
                self
            }
        })*
    };
}

opaque!(f32 f64);

/// Number of elements of `to` before its first whole cache line, which [`stream`] copies first.
#[inline(always)]
pub fn before_lines<T>(to: &[T]) -> usize {
    #[cfg(target_arch = "x86_64")]
    return to.as_ptr().align_offset(LINE).min(to.len());
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// Copies `from` to `to` with non-temporal stores, for results that are too large for the caches. Only whole cache lines bypass the caches,
/// so `to` should begin at one. [`fence`] must be called before another thread reads the result.
///
/// # Panics
/// When the lengths differ.
#[inline(always)]
pub fn stream<T: Copy, A: Arch>(from: &[T], to: &mut [T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m128i, __m256i, _mm_loadu_si128, _mm_stream_si128, _mm256_loadu_si256, _mm256_stream_si256};
        assert_eq!(from.len(), to.len(), "a copy has one length");
        let whole = if before_lines(to) == 0 { size_of_val(to) / LINE * LINE } else { 0 };
        let (a, b) = (from.as_ptr(), to.as_mut_ptr());
        if A::BYTES >= size_of::<__m256i>() {
            for i in 0..whole / size_of::<__m256i>() {
                // SAFETY: both slices hold `whole` bytes; `to` begins at a cache line if there are any; `A` guarantees the instruction set.
                unsafe { _mm256_stream_si256(b.cast::<__m256i>().add(i), _mm256_loadu_si256(a.cast::<__m256i>().add(i))) };
            }
        } else {
            for i in 0..whole / size_of::<__m128i>() {
                // SAFETY: as above; SSE2 is always there.
                unsafe { _mm_stream_si128(b.cast::<__m128i>().add(i), _mm_loadu_si128(a.cast::<__m128i>().add(i))) };
            }
        }
        let rest = whole / size_of::<T>();
        to[rest..].copy_from_slice(&from[rest..]);
    }
    #[cfg(not(target_arch = "x86_64"))]
    to.copy_from_slice(from);
}

/// Prefetches `x` 2 KiB ahead, for long sequential reads: the hardware prefetcher is too late for loops that do more than add.
#[inline(always)]
pub fn prefetch_behind<T>(x: &[T]) {
    const AHEAD: usize = 2048;
    for line in x.chunks(LINE / size_of::<T>()) {
        prefetch_line(line.as_ptr().wrapping_add(AHEAD / size_of::<T>()));
    }
}

/// Makes the stores of [`stream`] visible to threads that later synchronize with this one.
pub fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is always there.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sum<'a>(&'a [f32]);

    impl Kernel for Sum<'_> {
        type Output = (f32, bool);
        const WIDE: bool = true;
        #[inline(always)]
        fn run<A: Arch>(self) -> (f32, bool) {
            (self.0.iter().sum(), A::FMA)
        }
    }

    #[test]
    fn a_kernel_runs_with_the_set_that_isa_names() {
        let (sum, fma) = dispatch(Sum(&[1.0, 2.0, 3.5]));
        assert!((sum - 6.5).abs() < f32::EPSILON);
        assert_eq!(fma, Set::current() >= Set::Avx2 || Baseline::FMA);
    }

    struct Copied<'a>(&'a [u16], &'a mut [u16]);

    impl Kernel for Copied<'_> {
        type Output = ();
        const WIDE: bool = true;
        #[inline(always)]
        fn run<A: Arch>(self) {
            stream::<_, A>(self.0, self.1);
            fence();
        }
    }

    #[test]
    fn streams_of_any_length_to_any_place() {
        let from: Vec<u16> = (0..500).collect();
        for n in [0, 1, 31, 32, 33, 100, 440] {
            for start in [0, 1, 7, 29] {
                for line in [false, true] {
                    let mut to = vec![u16::MAX; 500];
                    let start = if line { start + before_lines(&to[start..]) } else { start };
                    dispatch(Copied(&from[..n], &mut to[start..start + n]));
                    assert_eq!(to[start..start + n], from[..n]);
                    to[start..start + n].fill(u16::MAX);
                    Copied(&from[..n], &mut to[start..start + n]).run::<Baseline>();
                    assert_eq!(to[start..start + n], from[..n]);
                    assert_eq!(to.iter().filter(|x| **x == u16::MAX).count(), 500 - n);
                }
            }
        }
    }

    #[test]
    fn careful_keeps_the_instruction_set() {
        assert_eq!(Careful::<Avx2>::FMA, Avx2::FMA);
        const { assert!(Careful::<Baseline>::CAREFUL && !Baseline::CAREFUL) };
    }
}
