//! One loop, several instruction sets.
//!
//! A [`Kernel`] is plain generic Rust. [`dispatch`] runs it inside a function compiled for the best
//! instruction set of this CPU; everything the kernel calls is `#[inline(always)]`, so the compiler
//! vectorises the loop there with that set. The `unsafe` is the call into that function, and stores past the caches.
//!
//! | set | where | fused multiply-add |
//! |---|---|---|
//! | [`Avx2`] | x86-64 with AVX2 and FMA, found at run time | yes |
//! | [`Baseline`] | everywhere else (SSE2, NEON) | where the target always has it |
//!
//! `TAPEGRAD_ISA=baseline` in the environment forces the second, for tests and bug reports.
#![allow(
    unsafe_code,
    reason = "calling a `#[target_feature]` function needs it; the one call is in `dispatch`; and stores past the caches go through pointers"
)]

use std::marker::PhantomData;
use std::sync::OnceLock;

/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// What a kernel may know of the instruction set it is compiled for.
pub trait Arch: Copy + 'static {
    /// `mul_add` is one instruction. Where this is false it would be a call into libm: never use it there.
    const FMA: bool;
    /// The bytes of a vector register.
    const BYTES: usize = 16;
    /// Functions with a fast range leave it when an argument asks for it, at the price of a branch.
    const CAREFUL: bool = false;
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
}

/// The same instruction set as `A`, but right for every argument, one lane at a time.
///
/// Arguments within the fast range give the same bits as with `A`.
#[derive(Clone, Copy, Debug)]
pub struct Careful<A>(PhantomData<A>);

impl<A: Arch> Arch for Careful<A> {
    const FMA: bool = A::FMA;
    const BYTES: usize = A::BYTES;
    const CAREFUL: bool = true;
}

/// Work that is compiled once per instruction set. Write `#[inline(always)]` on `run`: without it the body
/// is compiled for the baseline, whatever [`dispatch`] does.
pub trait Kernel {
    /// What the work returns.
    type Output;
    /// Does the work.
    fn run<A: Arch>(self) -> Self::Output;
}

/// Runs `kernel` with the best instruction set of this CPU.
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: `has_avx2` is true only if this CPU has AVX2 and FMA, all that `run_avx2` requires.
        return unsafe { run_avx2(kernel) };
    }
    kernel.run::<Baseline>()
}

/// The name of the instruction set in use, for bug reports and benchmark tables.
#[must_use]
pub fn isa() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        return "avx2";
    }
    "baseline"
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

/// Copies `from` to `to`, past the caches: for results that are too many to be kept there. [`fence`] must follow before
/// another thread reads them.
///
/// # Panics
/// When the lengths differ.
pub fn stream<T: Copy>(from: &[T], to: &mut [T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};
        assert_eq!(from.len(), to.len(), "a copy has one length");
        let head = to.as_ptr().align_offset(LINE).min(to.len());
        let ((before, from), (to_before, to)) = (from.split_at(head), to.split_at_mut(head));
        to_before.copy_from_slice(before);
        let whole = size_of_val(to) / LINE * LINE;
        let (a, b) = (from.as_ptr().cast::<__m128i>(), to.as_mut_ptr().cast::<__m128i>());
        for i in 0..whole / size_of::<__m128i>() {
            // SAFETY: both slices hold `whole` bytes; `to` begins at a cache line when there are any; SSE2 is always there.
            unsafe { _mm_stream_si128(b.add(i), _mm_loadu_si128(a.add(i))) };
        }
        let rest = whole / size_of::<T>();
        to[rest..].copy_from_slice(&from[rest..]);
    }
    #[cfg(not(target_arch = "x86_64"))]
    to.copy_from_slice(from);
}

/// Makes what [`stream`] wrote visible to whoever is told of it after this.
pub fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is always there.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn has_avx2() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let forced = std::env::var_os("TAPEGRAD_ISA").is_some_and(|isa| isa == "baseline");
        !forced && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sum<'a>(&'a [f32]);

    impl Kernel for Sum<'_> {
        type Output = (f32, bool);
        #[inline(always)]
        fn run<A: Arch>(self) -> (f32, bool) {
            (self.0.iter().sum(), A::FMA)
        }
    }

    #[test]
    fn a_kernel_runs_with_the_set_that_isa_names() {
        let (sum, fma) = dispatch(Sum(&[1.0, 2.0, 3.5]));
        assert!((sum - 6.5).abs() < f32::EPSILON);
        assert_eq!(fma, isa() == "avx2" || Baseline::FMA);
    }

    #[test]
    fn streams_of_any_length_to_any_place() {
        let from: Vec<u16> = (0..500).collect();
        for n in [0, 1, 31, 32, 33, 100, 470] {
            for start in [0, 1, 7, 29] {
                let mut to = vec![u16::MAX; 500];
                stream(&from[..n], &mut to[start..start + n]);
                fence();
                assert_eq!(to[start..start + n], from[..n]);
                assert_eq!(to.iter().filter(|x| **x == u16::MAX).count(), 500 - n);
            }
        }
    }

    #[test]
    fn careful_keeps_the_instruction_set() {
        assert_eq!(Careful::<Avx2>::FMA, Avx2::FMA);
        const { assert!(Careful::<Baseline>::CAREFUL && !Baseline::CAREFUL) };
    }
}
