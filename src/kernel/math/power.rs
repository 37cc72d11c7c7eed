//! Powers.

use super::real::Real;
use crate::kernel::simd::Arch;

/// x to the power y: the platform's `pow`, one lane at a time, with all of IEEE 754's special cases.
#[inline(always)]
pub fn pow<T: Real, A: Arch>(x: T, y: T) -> T {
    x.libm_pow(y)
}
