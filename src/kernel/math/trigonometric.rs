//! Sine, cosine and tangent.
//!
//! |x| = n·π/2 + r with |r| ≤ π/4 by Cody and Waite's reduction in three parts (four without FMA), which is accurate up to
//! [`Real::TRIG_LIMIT`]. Beyond that limit the result is meaningless, unless `A::CAREFUL`, which calls the platform's libm for these lanes.
//! A loop tests [`is_far`] for each block and repeats the block with [`Careful`](crate::kernel::simd::Careful).

use super::real::{Real, fma, pick, poly};
use crate::kernel::simd::Arch;

/// Whether x needs [`Careful`](crate::kernel::simd::Careful). False for NaN.
#[inline(always)]
pub fn is_far<T: Real, A: Arch>(x: T) -> bool {
    x.abs() > T::TRIG_LIMIT[usize::from(!A::FMA)]
}

/// The reduced |x|: `t = MAGIC + n`, |x| = n·π/2 + r + tail.
struct Reduced<T> {
    t: T,
    r: T,
    tail: T,
}

#[inline(always)]
fn reduce<T: Real, A: Arch>(x: T) -> Reduced<T> {
    let a = x.abs();
    let t = fma::<T, A>(a, T::lit(std::f64::consts::FRAC_2_PI), T::MAGIC);
    let n = -(t - T::MAGIC);
    if A::FMA {
        let [p1, p2, p3] = T::PIO2_FMA;
        let a = n.mul_add(p1, a);
        let (product, lost) = (n * p2, n.mul_add(p2, -(n * p2)));
        let r = a + product;
        let tail = ((a - r) + product) + n.mul_add(p3, lost);
        return Reduced { t, r, tail };
    }
    let [p1, p2, p3, p4] = T::PIO2_SPLIT;
    let a = a + n * p1;
    let b = a + n * p2;
    let tail = ((a - b) + n * p2) + n * p3;
    let r = b + tail;
    Reduced { t, r, tail: ((b - r) + tail) + n * p4 }
}

/// sin(r + tail) − r.
#[inline(always)]
fn sin_rest<T: Real, A: Arch>(r: T, tail: T) -> T {
    let z = r * r;
    fma::<T, A>(r * z, poly::<T, A>(z, T::SIN), tail)
}

/// cos(r + tail) − 1.
#[inline(always)]
fn cos_rest<T: Real, A: Arch>(r: T, tail: T) -> T {
    let z = r * r;
    let q = fma::<T, A>(z, poly::<T, A>(z, T::COS), T::lit(-0.5));
    fma::<T, A>(z, q, -(r * tail))
}

/// Sine, within 1.6 ulp; see [`is_far`].
#[inline(always)]
pub fn sin<T: Real, A: Arch>(x: T) -> T {
    if A::CAREFUL && is_far::<T, A>(x) {
        return x.libm_sin();
    }
    let Reduced { t, r, tail } = reduce::<T, A>(x);
    let (s, c) = (r + sin_rest::<T, A>(r, tail), T::lit(1.0) + cos_rest::<T, A>(r, tail));
    let y = pick(T::is_odd(t), c, s);
    y.negate_by_bit1(t).with_sign_of(x)
}

/// Cosine, within 1.6 ulp; see [`is_far`].
#[inline(always)]
pub fn cos<T: Real, A: Arch>(x: T) -> T {
    if A::CAREFUL && is_far::<T, A>(x) {
        return x.libm_cos();
    }
    let Reduced { t, r, tail } = reduce::<T, A>(x);
    let (s, c) = (r + sin_rest::<T, A>(r, tail), T::lit(1.0) + cos_rest::<T, A>(r, tail));
    let y = pick(T::is_odd(t), s, c);
    y.negate_by_bit1(t + T::lit(1.0))
}

/// Cosine and sine of 2πv for v in [0, 1). The remainder of v after removing quarters is exact.
#[inline(always)]
pub fn on_circle<T: Real, A: Arch>(v: T) -> [T; 2] {
    let t = fma::<T, A>(v, T::lit(4.0), T::MAGIC);
    let r = (v - (t - T::MAGIC) * T::lit(0.25)) * T::lit(std::f64::consts::TAU);
    let zero = T::lit(0.0);
    let (s, c) = (r + sin_rest::<T, A>(r, zero), T::lit(1.0) + cos_rest::<T, A>(r, zero));
    let odd = T::is_odd(t);
    [pick(odd, s, c).negate_by_bit1(t + T::lit(1.0)), pick(odd, c, s).negate_by_bit1(t)]
}

/// Tangent, within 2.5 ulp; see [`is_far`].
///
/// The rounding errors of sine, cosine and their quotient are added back.
#[inline(always)]
pub fn tan<T: Real, A: Arch>(x: T) -> T {
    if A::CAREFUL && is_far::<T, A>(x) {
        return x.libm_tan();
    }
    let one = T::lit(1.0);
    let Reduced { t, r, tail } = reduce::<T, A>(x);
    let (p, q) = (sin_rest::<T, A>(r, tail), cos_rest::<T, A>(r, tail));
    let (s, c) = (r + p, one + q);
    let (s_lost, c_lost) = ((r - s) + p, (one - c) + q);
    let odd = T::is_odd(t);
    let (above, below) = (pick(odd, -c, s), pick(odd, s, c));
    let (above_lost, below_lost) = (pick(odd, -c_lost, s_lost), pick(odd, s_lost, c_lost));
    let inverse = one / below;
    let (ratio, rest) = if A::FMA {
        let ratio = above * inverse;
        (ratio, (-ratio).mul_add(below, above))
    } else {
        (above / below, T::lit(0.0))
    };
    let rest = rest + (above_lost - ratio * below_lost);
    fma::<T, A>(rest, inverse, ratio).with_sign_of(x)
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::float_cmp, reason = "nearest floats; exact results")]
mod tests {
    use super::*;
    use crate::kernel::simd::Baseline;

    #[test]
    fn turns_are_right_and_exact_at_quarters() {
        let at = on_circle::<f64, Baseline>;
        for (v, wanted) in [(0.0, [1.0, 0.0]), (0.25, [0.0, 1.0]), (0.5, [-1.0, 0.0]), (0.75, [0.0, -1.0])] {
            let found = at(v);
            assert!(found == wanted && on_circle::<f32, Baseline>(v as f32) == wanted.map(|x| x as f32), "{v}: {found:?}");
        }
        for i in 0..10_007 {
            let v = f64::from(i) / 10_007.0;
            let (sin, cos) = (std::f64::consts::TAU * v).sin_cos();
            assert!(at(v).iter().zip([cos, sin]).all(|(x, y)| (x - y).abs() < 1e-15), "{v}: {:?}", at(v));
            let (v, narrow) = (f64::from(v as f32), on_circle::<f32, Baseline>(v as f32));
            let (sin, cos) = (std::f64::consts::TAU * v).sin_cos();
            assert!(narrow.iter().zip([cos, sin]).all(|(x, y)| (f64::from(*x) - y).abs() < 2e-7), "{v}: {narrow:?}");
        }
    }
}
