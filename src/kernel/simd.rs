//! One loop, several instruction sets.
//!
//! A [`Kernel`] is plain generic Rust. [`dispatch`] runs it inside a function compiled for the best
//! instruction set of this CPU; everything the kernel calls is `#[inline(always)]`, so the compiler
//! vectorises the loop there with that set. The only `unsafe` is the call into that function.
//!
//! | set | where | fused multiply-add |
//! |---|---|---|
//! | [`Avx2`] | x86-64 with AVX2 and FMA, found at run time | yes |
//! | [`Baseline`] | everywhere else (SSE2, NEON) | where the target always has it |
//!
//! `TAPEGRAD_ISA=baseline` in the environment forces the second, for tests and bug reports.
#![allow(unsafe_code, reason = "calling a `#[target_feature]` function needs it; the one call is in `dispatch`")]

use std::marker::PhantomData;
use std::sync::OnceLock;

/// What a kernel may know of the instruction set it is compiled for.
pub trait Arch: Copy + 'static {
    /// `mul_add` is one instruction. Where this is false it would be a call into libm: never use it there.
    const FMA: bool;
    /// Functions with a fast range leave it when an argument asks for it, at the price of a branch.
    const CAREFUL: bool = false;
}

/// x86-64 with AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Avx2;

impl Arch for Avx2 {
    const FMA: bool = true;
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
    fn careful_keeps_the_instruction_set() {
        assert_eq!(Careful::<Avx2>::FMA, Avx2::FMA);
        const { assert!(Careful::<Baseline>::CAREFUL && !Baseline::CAREFUL) };
    }
}
