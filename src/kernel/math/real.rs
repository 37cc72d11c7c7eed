//! What the functions of this room need from a floating point type, and its coefficients.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_lossless, reason = "constants, and `lit`, which rounds")]
#![allow(clippy::return_self_not_must_use, clippy::must_use_candidate, reason = "arithmetic, whose results are always used")]

use std::ops::{Add, Div, Mul, Neg, Rem, Sub};

use crate::kernel::math::coefficients as c;
use crate::kernel::simd::{Arch, Opaque};

/// `f32` or `f64`, with the few bit tricks that vectorise well.
///
/// Integers are never converted: a small integer `k` is represented as `MAGIC + k`, whose lowest bits are `k`.
pub trait Real:
    Opaque
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Rem<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// 1.5 · 2^(p−1) for p bits of precision: adding it rounds to an integer, ties to even.
    const MAGIC: Self;
    /// Arguments beyond ±this overflow or underflow `exp` for certain, yet keep `k` in range.
    const EXP_CLAMP: Self;
    /// A power of two whose exponent is raised by this is a normal number. The result is scaled back last.
    const EXP_RAISED: i16;
    /// 2 to the negative of `EXP_RAISED`.
    const EXP_LOWER: Self;
    /// The logistic function is 1 for arguments of this size or more.
    const LOGISTIC_MAX: Self;
    /// With its exponent lowered by this, the largest exponential in `logistic` is finite, and that of −`LOGISTIC_MAX` normal.
    const LOGISTIC_LOWERED: i16;
    /// 2 to the negative of `LOGISTIC_LOWERED`.
    const LOGISTIC_UNIT: Self;
    /// `expm1` is −1 below and infinite above.
    const EXPM1_RANGE: [Self; 2];
    /// `sinh` and `cosh` are infinite above.
    const SINH_MAX: Self;
    /// `tanh` is 1 for arguments of this size or more.
    const TANH_MAX: Self;
    /// For |x| below this, the odd functions and `expm1` equal `x` to within far less than an ulp.
    const TINY: Self;
    /// Beyond this |x| `erf` rounds to ±1.
    const ERF_CLAMP: Self;
    /// `[head, tail]` of ln 2; products of the head with exponents are exact.
    const LN2: [Self; 2];
    /// `[head, tail]` of 1/ln 2; the head has half the bits.
    const LOG2_E: [Self; 2];
    /// `[head, tail]` of 1/ln 10; the head has half the bits.
    const LOG10_E: [Self; 2];
    /// `[head, tail]` of log10 2; products of the head with exponents are exact.
    const LOG10_2: [Self; 2];
    /// π/2 in three parts for fused reduction.
    const PIO2_FMA: [Self; 3];
    /// π/2 in four parts; products of the first three with integers up to the limit are exact.
    const PIO2_SPLIT: [Self; 4];
    /// Largest |x| for `sin`, `cos`, `tan` with (0) and without (1) FMA.
    const TRIG_LIMIT: [Self; 2];
    /// (eʳ − 1 − r)/r² for `exp`.
    const EXP: &'static [Self];
    /// The same for `expm1`: relative error where `exp` needs an absolute one.
    const EXPM1: &'static [Self];
    /// (log((1+s)/(1−s))/s − 2)/s² in s².
    const LOG: &'static [Self];
    /// (sin r / r − 1)/r² in r².
    const SIN: &'static [Self];
    /// (cos r − 1 + r²/2)/r⁴ in r².
    const COS: &'static [Self];
    /// erf x / x − 1 in x², below `ERF_CUT`.
    const ERF_NEAR: &'static [Self];
    /// `exp2` beyond ±this overflows or underflows for certain.
    const EXP2_CLAMP: Self;
    /// Exponents beyond ±this take every number but one to 0 or ∞.
    const POW_CLAMP: Self;
    /// `[head, tail]` of 2/ln 2.
    const POW_FIRST: [Self; 2];
    /// `[head, tail]` of (2/3)/ln 2.
    const POW_THIRD: [Self; 2];
    /// The rest of log2((1+s)/(1−s))/s, divided by s⁴, in s².
    const POW: &'static [Self];
    /// (tanh r / r − 1)/r² in r².
    const TANH: &'static [Self];
    /// −log(erfc x) in x, above `ERF_CUT`.
    const ERF_FAR: &'static [Self];
    /// x·Φ(x) is zero or x beyond ±this.
    const NORMAL_CLAMP: Self;
    /// c of the variable a/(a + c) − ½.
    const NORMAL_SHIFT: Self;
    /// 2·(a + `NORMAL_SHIFT`)·e^(a²/2)·Φ(−a) − 1 in that variable.
    const NORMAL: &'static [Self];
    /// `gelu_tanh` is zero or x beyond ±this.
    const GELU_CLAMP: Self;
    /// `[head, tail]` of 2·√(2/π) and of 0.044715 times that.
    const GELU: [[Self; 2]; 2];

    /// The nearest value to `v`.
    fn lit(v: f64) -> Self;
    /// |x|.
    fn abs(self) -> Self;
    /// √x, correctly rounded.
    fn sqrt(self) -> Self;
    /// Largest integer not above x.
    fn floor(self) -> Self;
    /// Smallest integer not below x.
    fn ceil(self) -> Self;
    /// x without its fraction.
    fn trunc(self) -> Self;
    /// Nearest integer, ties to even.
    fn round_ties_even(self) -> Self;
    /// |x| with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// self · a + b rounded once; see [`fma`].
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// 2^(k + `by`) for `t = MAGIC + k` while that is a normal number.
    fn pow2(t: Self, by: i16) -> Self;
    /// 2^⌊k/2⌋ and 2^⌈k/2⌉ for `t = MAGIC + k`.
    fn pow2_halves(t: Self) -> (Self, Self);
    /// `(m, k)` with x = m · 2^k and m within √½ … √2, for positive finite x.
    fn split_exponent(self) -> (Self, Self);
    /// The leading half of the bits.
    fn head(self) -> Self;
    /// Whether k is odd, for `t = MAGIC + k`.
    fn is_odd(t: Self) -> bool;
    /// −self if the second bit of k is set, for `t = MAGIC + k`.
    fn negate_by_bit1(self, t: Self) -> Self;
    /// self, negated if `x` is negative.
    fn with_sign_of(self, x: Self) -> Self;
    /// The platform's `sin`, accurate for every argument.
    fn libm_sin(self) -> Self;
    /// The platform's `cos`.
    fn libm_cos(self) -> Self;
    /// The platform's `tan`.
    fn libm_tan(self) -> Self;
}

macro_rules! real {
    ($t:ident, $bits:ident, mantissa $p:literal, bias $bias:literal, tail $tail:literal) => {
        impl Real for $t {
            const MAGIC: Self = 1.5 * (1u64 << $p) as $t;
            const EXP_CLAMP: Self = c::$t::EXP_CLAMP;
            const EXP_RAISED: i16 = c::$t::EXP_RAISED;
            const EXP_LOWER: Self = c::$t::EXP_LOWER;
            const LOGISTIC_MAX: Self = c::$t::LOGISTIC_MAX;
            const LOGISTIC_LOWERED: i16 = c::$t::LOGISTIC_LOWERED;
            const LOGISTIC_UNIT: Self = c::$t::LOGISTIC_UNIT;
            const EXPM1_RANGE: [Self; 2] = c::$t::EXPM1_RANGE;
            const SINH_MAX: Self = c::$t::SINH_MAX;
            const TANH_MAX: Self = c::$t::TANH_MAX;
            const TINY: Self = c::$t::TINY;
            const ERF_CLAMP: Self = c::$t::ERF_CLAMP;
            const LN2: [Self; 2] = c::$t::LN2;
            const LOG2_E: [Self; 2] = c::$t::LOG2_E;
            const LOG10_E: [Self; 2] = c::$t::LOG10_E;
            const LOG10_2: [Self; 2] = c::$t::LOG10_2;
            const PIO2_FMA: [Self; 3] = c::$t::PIO2_FMA;
            const PIO2_SPLIT: [Self; 4] = c::$t::PIO2_SPLIT;
            const TRIG_LIMIT: [Self; 2] = c::$t::TRIG_LIMIT;
            const EXP: &'static [Self] = &c::$t::EXP;
            const EXPM1: &'static [Self] = &c::$t::EXPM1;
            const LOG: &'static [Self] = &c::$t::LOG;
            const SIN: &'static [Self] = &c::$t::SIN;
            const COS: &'static [Self] = &c::$t::COS;
            const ERF_NEAR: &'static [Self] = &c::$t::ERF_NEAR;
            const EXP2_CLAMP: Self = c::$t::EXP2_CLAMP;
            const POW_CLAMP: Self = c::$t::POW_CLAMP;
            const POW_FIRST: [Self; 2] = c::$t::POW_FIRST;
            const POW_THIRD: [Self; 2] = c::$t::POW_THIRD;
            const POW: &'static [Self] = &c::$t::POW;
            const TANH: &'static [Self] = &c::$t::TANH;
            const ERF_FAR: &'static [Self] = &c::$t::ERF_FAR;
            const NORMAL_CLAMP: Self = c::$t::NORMAL_CLAMP;
            const NORMAL_SHIFT: Self = c::$t::NORMAL_SHIFT;
            const NORMAL: &'static [Self] = &c::$t::NORMAL;
            const GELU_CLAMP: Self = c::$t::GELU_CLAMP;
            const GELU: [[Self; 2]; 2] = c::$t::GELU;

            #[inline(always)]
            fn lit(v: f64) -> Self {
                v as $t
            }
            #[inline(always)]
            fn pow2(t: Self, by: i16) -> Self {
                // The bits of MAGIC above the integer are shifted out.
                $t::from_bits(t.to_bits().wrapping_add($bits::from(by.cast_unsigned()).wrapping_add($bias)) << $p)
            }
            #[inline(always)]
            fn pow2_halves(t: Self) -> (Self, Self) {
                // Each half has the bias added, so that the sum is positive.
                let k = t.to_bits().wrapping_sub(Self::MAGIC.to_bits()).wrapping_add(2 * $bias);
                let half = k >> 1;
                ($t::from_bits(half << $p), $t::from_bits(k.wrapping_sub(half) << $p))
            }
            #[inline(always)]
            fn split_exponent(self) -> (Self, Self) {
                const SCALE: $t = 2.0 / $t::EPSILON; // 2^MANTISSA_DIGITS
                const LOW: $bits = (std::f64::consts::FRAC_1_SQRT_2 as $t).to_bits();
                const ONE: $bits = (1.0 as $t).to_bits();
                const FRACTION: $bits = (1 << $p) - 1;
                // 2^p in bits: or-ing a small integer into it makes the float 2^p + integer.
                const POWER: $bits = ((1u64 << $p) as $t).to_bits();
                let subnormal = self < $t::MIN_POSITIVE;
                let x = if subnormal { self * SCALE } else { self };
                let shift = if subnormal { $t::MANTISSA_DIGITS as $t } else { 0.0 };
                let bits = x.to_bits().wrapping_add(ONE - LOW);
                let m = $t::from_bits((bits & FRACTION).wrapping_add(LOW));
                let k = $t::from_bits((bits >> $p) | POWER) - ((1u64 << $p) + $bias) as $t;
                (m, k - shift)
            }
            #[inline(always)]
            fn head(self) -> Self {
                $t::from_bits(self.to_bits() & ($bits::MAX << $tail))
            }
            #[inline(always)]
            fn is_odd(t: Self) -> bool {
                t.to_bits() & 1 == 1
            }
            #[inline(always)]
            fn negate_by_bit1(self, t: Self) -> Self {
                $t::from_bits(self.to_bits() ^ ((t.to_bits() & 2) << ($bits::BITS - 2)))
            }
            #[inline(always)]
            fn with_sign_of(self, x: Self) -> Self {
                $t::from_bits(self.to_bits() ^ (x.to_bits() & (1 << ($bits::BITS - 1))))
            }
            real!(@std $t: abs, sqrt, floor, ceil, trunc, round_ties_even);
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                $t::copysign(self, sign)
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                $t::mul_add(self, a, b)
            }
            #[inline(always)]
            fn libm_sin(self) -> Self {
                $t::sin(self)
            }
            #[inline(always)]
            fn libm_cos(self) -> Self {
                $t::cos(self)
            }
            #[inline(always)]
            fn libm_tan(self) -> Self {
                $t::tan(self)
            }
        }
    };
    (@std $t:ident: $($name:ident),*) => {
        $(#[inline(always)]
        fn $name(self) -> Self {
            $t::$name(self)
        })*
    };
}

real!(f32, u32, mantissa 23, bias 127, tail 12);
real!(f64, u64, mantissa 52, bias 1023, tail 27);

/// a · b + c, rounded once where the instruction set can and twice elsewhere.
#[inline(always)]
pub fn fma<T: Real, A: Arch>(a: T, b: T, c: T) -> T {
    if A::FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The polynomial with these coefficients, lowest first.
///
/// Horner's rule has the fewest operations, but each waits for the one before. A long polynomial is
/// therefore summed as two in x², or four in x⁴.
#[inline(always)]
pub fn poly<T: Real, A: Arch>(x: T, coefficients: &'static [T]) -> T {
    parts::<T, A, false>(x, coefficients)
}

/// [`poly`] for more coefficients than fit the registers: the multiply instructions read them from memory. Otherwise the compiler would
/// materialise each of them in every iteration, which costs a fifth of a long formula.
#[inline(always)]
pub fn long_poly<T: Real, A: Arch>(x: T, coefficients: &'static [T]) -> T {
    parts::<T, A, true>(x, coefficients)
}

/// The polynomial; with `FROM_MEMORY`, its coefficients are [hidden from the compiler](Opaque::opaque).
#[inline(always)]
fn parts<T: Real, A: Arch, const FROM_MEMORY: bool>(x: T, coefficients: &'static [T]) -> T {
    match coefficients.len() {
        0..=3 => horner::<T, A, FROM_MEMORY>(x, coefficients, 0, 1),
        4..=11 => halves::<T, A, FROM_MEMORY>(x, x * x, coefficients, 0, 1),
        _ => {
            let (z, even, odd) = (x * x, 0, 1);
            let even = halves::<T, A, FROM_MEMORY>(z, z * z, coefficients, even, 2);
            let odd = halves::<T, A, FROM_MEMORY>(z, z * z, coefficients, odd, 2);
            fma::<T, A>(odd, x, even)
        }
    }
}

/// Every `step`-th coefficient from `first` on, as two polynomials in z = x².
#[inline(always)]
fn halves<T: Real, A: Arch, const FROM_MEMORY: bool>(x: T, z: T, coefficients: &'static [T], first: usize, step: usize) -> T {
    let even = horner::<T, A, FROM_MEMORY>(z, coefficients, first, 2 * step);
    let odd = horner::<T, A, FROM_MEMORY>(z, coefficients, first + step, 2 * step);
    fma::<T, A>(odd, x, even)
}

/// Every `step`-th coefficient from `first` on, by Horner's rule.
#[inline(always)]
fn horner<T: Real, A: Arch, const FROM_MEMORY: bool>(x: T, coefficients: &'static [T], first: usize, step: usize) -> T {
    let last = first + (coefficients.len() - 1 - first) / step * step;
    let mut sum = hidden::<T, FROM_MEMORY>(coefficients[last]);
    let mut next = last;
    while next > first {
        next -= step;
        sum = fma::<T, A>(sum, x, hidden::<T, FROM_MEMORY>(coefficients[next]));
    }
    sum
}

/// `c`; with `FROM_MEMORY` hidden from the compiler.
#[inline(always)]
fn hidden<T: Real, const FROM_MEMORY: bool>(c: T) -> T {
    if FROM_MEMORY { c.opaque() } else { c }
}

/// `a` or `b`, both of which are computed already: a blend, not a branch.
#[inline(always)]
pub fn pick<T>(condition: bool, a: T, b: T) -> T {
    if condition { a } else { b }
}

/// Whether x is NaN.
#[inline(always)]
#[allow(clippy::eq_op, reason = "NaN alone differs from itself; the comparison vectorises")]
pub fn is_nan<T: Real>(x: T) -> bool {
    x != x
}
