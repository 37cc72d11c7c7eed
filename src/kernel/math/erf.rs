//! The error function.

use super::coefficients::ERF_CUT;
use super::exp::brief_exp;
use super::real::{Real, fma, long_poly, pick};
use crate::kernel::simd::Arch;

/// erf x = x + x·P(x²) near zero, and 1 − exp(−Q(|x|)) with the sign of x further out, where Q approximates
/// −log(erfc x) (the scheme of N. Juffa's single precision `erff`; coefficients our own). Within 1.8 ulp.
#[inline(always)]
pub fn erf<T: Real, A: Arch>(x: T) -> T {
    let a = x.abs();
    let z = a * a;
    let near = fma::<T, A>(a, long_poly::<T, A>(z, T::ERF_NEAR), a);
    let held = pick(a > T::ERF_CLAMP, T::ERF_CLAMP, a);
    let far = T::lit(1.0) - brief_exp::<T, A>(-long_poly::<T, A>(held, T::ERF_FAR));
    pick(a < T::lit(ERF_CUT), near, far).copysign(x)
}
