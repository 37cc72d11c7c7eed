//! One formula, many instantiations.
//!
//! An elementwise rule is a formula over [`Field`]: `x.tanh()` forward, `F::lit(1.0) - y * y` for its derivative. With `F =` [`Lane`] the
//! formula becomes the body of a SIMD loop. With a recorded value it becomes operations on the tape, so that the derivative can be
//! differentiated. So formulas have no branches (they use [`Field::select`]) and make constants only by [`Field::lit`].
//!
//! # The loop around a rule
//! `sin`, `cos` and `tan` of huge arguments need another algorithm. A [`Lane`] carries a flag that such an argument was used
//! ([`Lane::out_of_range`]). A loop works in blocks, collects the flags, and repeats a block with a flag using
//! [`Careful`](crate::kernel::simd::Careful) lanes, which agree bit for bit where no flag is set. In a formula without these functions the
//! flag is constant, and the compiler removes the repetition.
//! ```ignore
//! fn pass<R: Rule, T: Real, A: Arch>(x: &[T], y: &mut [T]) -> bool {
//!     let mut out_of_range = false;
//!     for (x, y) in x.iter().zip(y) {
//!         let lane = R::forward(Lane::<T, A>::new(*x));
//!         *y = lane.value();
//!         out_of_range |= lane.out_of_range();
//!     }
//!     out_of_range
//! }
//! // per block: if pass::<R, T, A>(x, y) { pass::<R, T, Careful<A>>(x, y); }
//! ```
#![allow(clippy::needless_bitwise_bool, reason = "`||` is a branch")]

use std::marker::PhantomData;
use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::kernel::math::{self, Real, is_nan, pick};
use crate::kernel::simd::Arch;

macro_rules! declare {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $($(#[$doc])* #[must_use] fn $name(self) -> Self;)*
    };
}

/// The numbers over which elementwise formulas are written.
pub trait Field: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self> {
    /// The result of a comparison.
    type Mask: Copy;

    /// The constant `v`, rounded to the precision of the type.
    fn lit(v: f64) -> Self;

    declare! {
        /// eˣ.
        exp,
        /// eˣ − 1, accurate near zero.
        exp_m1,
        /// Natural logarithm.
        ln,
        /// ln(1 + x), accurate near zero.
        ln_1p,
        /// Binary logarithm.
        log2,
        /// Decimal logarithm.
        log10,
        /// Square root, correctly rounded.
        sqrt,
        /// 1/x.
        recip,
        /// Hyperbolic tangent.
        tanh,
        /// Hyperbolic sine.
        sinh,
        /// Hyperbolic cosine.
        cosh,
        /// Sine.
        sin,
        /// Cosine.
        cos,
        /// Tangent.
        tan,
        /// 1/(1 + e⁻ˣ).
        sigmoid,
        /// The error function.
        erf,
        /// x·Φ(x) with the normal distribution's Φ.
        gelu,
        /// Its approximation by tanh.
        gelu_tanh,
        /// x/(1 + e⁻ˣ).
        silu,
        /// The derivative of the logistic function.
        sigmoid_slope,
        /// Φ(x), the normal distribution function.
        normal_cdf,
        /// The approximation of Φ(x) by tanh.
        gelu_tanh_cdf,
        /// −1, 0 or 1; NaN for NaN.
        sign,
        /// |x|.
        abs,
        /// Largest integer not above x.
        floor,
        /// Smallest integer not below x.
        ceil,
        /// Nearest integer, ties to even.
        round_ties_even,
        /// x without its fraction.
        trunc,
    }

    /// x to the power `exponent`, with IEEE 754's special cases.
    #[must_use]
    fn powf(self, exponent: Self) -> Self;
    /// e to the power self · other, accurate where that product is large.
    #[must_use]
    fn exp_product(self, other: Self) -> Self;
    /// self · other, but zero if either is zero, even if the other is infinite or NaN. Its derivatives are those of a product.
    #[must_use]
    #[inline(always)]
    fn vanish(self, other: Self) -> Self {
        Self::select(other.eq(Self::lit(0.0)), Self::lit(0.0), self.annihilate(other))
    }
    /// The derivative of self^`exponent` with respect to self; zero for an exponent of zero.
    #[must_use]
    #[inline(always)]
    fn power_slope(self, exponent: Self) -> Self {
        exponent.vanish(self.powf(exponent - Self::lit(1.0)))
    }
    /// The derivative of self^`exponent`, whose value is `power`, with respect to the exponent; zero where self is zero and the exponent is
    /// not negative.
    #[must_use]
    #[inline(always)]
    fn power_log(self, exponent: Self, power: Self) -> Self {
        let zero = Self::lit(0.0);
        let flat = Self::and(self.eq(zero), exponent.ge(zero));
        Self::select(flat, zero, power.vanish(self.ln()))
    }
    /// The larger one; NaN if either is (`numpy.maximum`).
    #[must_use]
    fn max(self, other: Self) -> Self;
    /// The smaller one; NaN if either is (`numpy.minimum`).
    #[must_use]
    fn min(self, other: Self) -> Self;

    /// The remainder of self / other rounded towards zero: exact, with the sign of self (C's `fmod`).
    #[must_use]
    fn fmod(self, other: Self) -> Self;

    /// self > other; false if either is NaN, as in the next four.
    fn gt(self, other: Self) -> Self::Mask;
    /// self ≥ other.
    fn ge(self, other: Self) -> Self::Mask;
    /// self = other.
    fn eq(self, other: Self) -> Self::Mask;
    /// self < other.
    fn lt(self, other: Self) -> Self::Mask {
        other.gt(self)
    }
    /// self ≤ other.
    fn le(self, other: Self) -> Self::Mask {
        other.ge(self)
    }
    /// Whether this is NaN.
    fn is_nan(self) -> Self::Mask;
    /// Both.
    fn and(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Either.
    fn or(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// The negation.
    fn not(mask: Self::Mask) -> Self::Mask;
    /// `a` where the mask is true, else `b`. The operand that is not selected has no influence.
    #[must_use]
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self;
    /// The annihilating product self · factor: zero where self is zero, even if the factor is infinite or NaN. A gradient of zero stays
    /// zero, whatever the derivative is.
    #[must_use]
    fn annihilate(self, factor: Self) -> Self;
}

/// One number in a SIMD loop for the instruction set `A`.
#[derive(Clone, Copy, Debug)]
pub struct Lane<T, A> {
    value: T,
    out_of_range: bool,
    arch: PhantomData<A>,
}

/// The result of comparing two [`Lane`]s.
#[derive(Clone, Copy, Debug)]
pub struct LaneMask {
    holds: bool,
    out_of_range: bool,
}

impl<T: Real, A: Arch> Lane<T, A> {
    /// The lane with this value.
    #[inline(always)]
    pub fn new(value: T) -> Self {
        Self::with(value, false)
    }

    /// Its value; meaningless if [`Lane::out_of_range`], unless `A::CAREFUL`.
    #[inline(always)]
    pub fn value(self) -> T {
        self.value
    }

    /// Whether an argument was outside the fast range of a function.
    #[inline(always)]
    pub fn out_of_range(self) -> bool {
        self.out_of_range
    }

    #[inline(always)]
    fn with(value: T, out_of_range: bool) -> Self {
        Self { value, out_of_range, arch: PhantomData }
    }

    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(T, T) -> T) -> Self {
        Self::with(f(self.value, other.value), self.out_of_range | other.out_of_range)
    }

    #[inline(always)]
    fn compare(self, other: Self, f: impl Fn(T, T) -> bool) -> LaneMask {
        LaneMask { holds: f(self.value, other.value), out_of_range: self.out_of_range | other.out_of_range }
    }

    /// Whether this is outside the fast range of a function.
    #[inline(always)]
    fn leaves(self) -> bool {
        !A::CAREFUL && math::is_far::<T, A>(self.value)
    }
}

macro_rules! operator {
    ($($trait:ident $name:ident $op:tt),*) => {
        $(impl<T: Real, A: Arch> $trait for Lane<T, A> {
            type Output = Self;
            #[inline(always)]
            fn $name(self, other: Self) -> Self {
                self.zip(other, |a, b| a $op b)
            }
        })*
    };
}

operator!(Add add +, Sub sub -, Mul mul *, Div div /);

impl<T: Real, A: Arch> Neg for Lane<T, A> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self::with(-self.value, self.out_of_range)
    }
}

/// Functions of one lane. They are called by name: a function that is passed as a value is called through a function of the standard
/// library, which the compiler may compile without the instruction set, and then every `mul_add` is a call.
macro_rules! lanewise {
    ($($name:ident = $how:ident $f:expr),* $(,)?) => {
        $(#[inline(always)]
        fn $name(self) -> Self {
            lanewise!(@$how self, $f)
        })*
    };
    (@map $x:ident, $f:expr) => {
        Self::with($f($x.value), $x.out_of_range)
    };
    (@ranged $x:ident, $f:expr) => {
        Self::with($f($x.value), $x.out_of_range | $x.leaves())
    };
}

/// −1, 0 or 1; NaN for NaN.
#[inline(always)]
fn sign<T: Real>(x: T) -> T {
    let (zero, one) = (T::lit(0.0), T::lit(1.0));
    pick(x > zero, one, pick(x < zero, -one, pick(x == zero, zero, x)))
}

impl<T: Real, A: Arch> Field for Lane<T, A> {
    type Mask = LaneMask;

    #[inline(always)]
    fn lit(v: f64) -> Self {
        Self::new(T::lit(v))
    }

    lanewise! {
        exp = map math::exp::<T, A>,
        exp_m1 = map math::expm1::<T, A>,
        ln = map math::log::<T, A>,
        ln_1p = map math::log1p::<T, A>,
        log2 = map math::log2::<T, A>,
        log10 = map math::log10::<T, A>,
        sqrt = map T::sqrt,
        tanh = map math::tanh::<T, A>,
        sinh = map math::sinh::<T, A>,
        cosh = map math::cosh::<T, A>,
        sin = ranged math::sin::<T, A>,
        cos = ranged math::cos::<T, A>,
        tan = ranged math::tan::<T, A>,
        sigmoid = map math::sigmoid::<T, A>,
        erf = map math::erf::<T, A>,
        gelu = map math::gelu::<T, A>,
        gelu_tanh = map math::gelu_tanh::<T, A>,
        silu = map math::silu::<T, A>,
        sigmoid_slope = map math::sigmoid_slope::<T, A>,
        normal_cdf = map math::normal_cdf::<T, A>,
        gelu_tanh_cdf = map math::gelu_tanh_cdf::<T, A>,
        sign = map sign,
        abs = map T::abs,
        floor = map T::floor,
        ceil = map T::ceil,
        round_ties_even = map T::round_ties_even,
        trunc = map T::trunc,
    }

    #[inline(always)]
    fn recip(self) -> Self {
        Self::with(T::lit(1.0) / self.value, self.out_of_range)
    }
    #[inline(always)]
    fn powf(self, exponent: Self) -> Self {
        Self::with(math::pow::<T, A>(self.value, exponent.value), self.out_of_range | exponent.out_of_range)
    }
    #[inline(always)]
    fn exp_product(self, other: Self) -> Self {
        Self::with(math::exp_product::<T, A>(self.value, other.value), self.out_of_range | other.out_of_range)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| pick((a >= b) | is_nan(a), a, b))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| pick((a <= b) | is_nan(a), a, b))
    }
    #[inline(always)]
    fn fmod(self, other: Self) -> Self {
        self.zip(other, |a, b| a % b)
    }
    #[inline(always)]
    fn gt(self, other: Self) -> LaneMask {
        self.compare(other, |a, b| a > b)
    }
    #[inline(always)]
    fn ge(self, other: Self) -> LaneMask {
        self.compare(other, |a, b| a >= b)
    }
    #[inline(always)]
    fn eq(self, other: Self) -> LaneMask {
        self.compare(other, |a, b| a == b)
    }
    #[inline(always)]
    fn is_nan(self) -> LaneMask {
        self.compare(self, |a, _| is_nan(a))
    }
    #[inline(always)]
    fn and(a: LaneMask, b: LaneMask) -> LaneMask {
        LaneMask { holds: a.holds & b.holds, out_of_range: a.out_of_range | b.out_of_range }
    }
    #[inline(always)]
    fn or(a: LaneMask, b: LaneMask) -> LaneMask {
        LaneMask { holds: a.holds | b.holds, out_of_range: a.out_of_range | b.out_of_range }
    }
    #[inline(always)]
    fn not(mask: LaneMask) -> LaneMask {
        LaneMask { holds: !mask.holds, out_of_range: mask.out_of_range }
    }
    #[inline(always)]
    fn select(mask: LaneMask, a: Self, b: Self) -> Self {
        Self::with(pick(mask.holds, a.value, b.value), mask.out_of_range | a.out_of_range | b.out_of_range)
    }
    #[inline(always)]
    fn annihilate(self, factor: Self) -> Self {
        let zero = T::lit(0.0);
        self.zip(factor, |g, f| pick(g == zero, zero, g * f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::simd::{Baseline, Careful};

    type Fast = Lane<f64, Baseline>;
    type Slow = Lane<f64, Careful<Baseline>>;

    fn lane(x: f64) -> Fast {
        Fast::new(x)
    }

    #[test]
    fn maximum_and_minimum_propagate_nan() {
        for (a, b, max, min) in [(1.0, 2.0, 2.0, 1.0), (-3.0, -4.0, -3.0, -4.0), (f64::INFINITY, 0.0, f64::INFINITY, 0.0)] {
            assert!((lane(a).max(lane(b)).value() - max).abs() < f64::MIN_POSITIVE || max.is_infinite());
            assert!((lane(b).min(lane(a)).value() - min).abs() < f64::MIN_POSITIVE);
        }
        for (a, b) in [(f64::NAN, 1.0), (1.0, f64::NAN), (f64::NAN, f64::NEG_INFINITY)] {
            assert!(lane(a).max(lane(b)).value().is_nan() && lane(a).min(lane(b)).value().is_nan());
        }
    }

    #[test]
    fn zero_annihilates() {
        for factor in [f64::INFINITY, f64::NAN, -1.0] {
            assert_eq!(lane(0.0).annihilate(lane(factor)).value().to_bits(), 0);
        }
        assert!(lane(f64::NAN).annihilate(lane(1.0)).value().is_nan());
        assert!(lane(1.0).annihilate(lane(f64::NAN)).value().is_nan());
        assert_eq!(lane(3.0).annihilate(lane(-2.0)).value().to_bits(), (-6.0_f64).to_bits());
    }

    #[test]
    fn comparisons_with_nan_are_false() {
        let (x, nan) = (lane(1.0), lane(f64::NAN));
        for mask in [x.gt(nan), x.ge(nan), x.lt(nan), x.le(nan), nan.eq(nan), x.is_nan()] {
            assert!(!mask.holds && Fast::not(mask).holds);
        }
        assert!(nan.is_nan().holds && Fast::and(x.ge(x), x.le(x)).holds && Fast::or(x.gt(x), x.eq(x)).holds);
    }

    /// A formula that loses its far argument in a comparison.
    fn hidden<F: Field>(x: F) -> F {
        F::select(x.sin().gt(F::lit(0.0)), F::lit(1.0), F::lit(-1.0))
    }

    #[test]
    fn a_far_argument_is_remembered_through_everything() {
        for x in [1e300, -1e10, f64::INFINITY] {
            assert!((lane(1.0) + lane(x).tan().annihilate(lane(0.0))).out_of_range());
            assert!(hidden(lane(x)).out_of_range());
            assert!(!hidden(Slow::new(x)).out_of_range());
        }
        assert!((hidden(Slow::new(1e300)).value() - 1e300_f64.sin().signum()).abs() < f64::EPSILON);
        assert!(!lane(1e300).exp().out_of_range() && !lane(1.0).sin().out_of_range() && !lane(f64::NAN).cos().out_of_range());
    }

    #[test]
    fn careful_lanes_agree_bit_for_bit_within_the_fast_range() {
        for i in 0..1000 {
            let x = f64::from(i) * 37.7 - 9000.0;
            assert_eq!(lane(x).sin().value().to_bits(), Slow::new(x).sin().value().to_bits());
            assert_eq!(lane(x).tan().value().to_bits(), Slow::new(x).tan().value().to_bits());
        }
    }
}
