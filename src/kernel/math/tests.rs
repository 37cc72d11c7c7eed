//! Compares every function with a more precise one, through the loops that run it.

use std::marker::PhantomData;

use super::reference::{self as wide, Wide, error64};
use super::{Real, pow};
use crate::kernel::field::{Field, Lane};
use crate::kernel::simd::{Arch, Baseline, Careful, Kernel, dispatch};

/// A function, its reference, and its largest error.
trait Function {
    const NAME: &'static str;
    /// Largest error in ulp, for either type and instruction set.
    const BOUND: f64;
    /// The range of the `f64` samples.
    const RANGE: (f64, f64);
    fn eval<F: Field>(x: F) -> F;
    /// Accurate to about an ulp of `f64`: the reference for `f32`.
    fn double(x: f64) -> f64;
    /// m and k with f(x) = m · 2^k: the reference for `f64`.
    fn precise(x: f64) -> (Wide, f64);
}

macro_rules! functions {
    ($($name:ident: $bound:literal ulp on $range:expr, $eval:expr, $double:expr, $precise:expr;)*) => {
        $(#[allow(non_camel_case_types, reason = "it stands for the function of the same name")]
        struct $name;
        impl Function for $name {
            const NAME: &'static str = stringify!($name);
            const BOUND: f64 = $bound;
            const RANGE: (f64, f64) = $range;
            #[inline(always)]
            fn eval<F: Field>(x: F) -> F {
                let f: fn(F) -> F = $eval;
                f(x)
            }
            fn double(x: f64) -> f64 {
                let f: fn(f64) -> f64 = $double;
                f(x)
            }
            fn precise(x: f64) -> (Wide, f64) {
                let f: fn(f64) -> (Wide, f64) = $precise;
                f(x)
            }
        })*
        fn sweep_all(stride: u64) {
            $(sweep::<$name>(stride);)*
        }
        fn sample_all(count: u64) {
            $(sample::<$name>(count);)*
        }
    };
}

functions! {
    exp: 1.1 ulp on (-745.0, 709.7), F::exp, f64::exp, |x| wide::exp(wide::wide(x));
    expm1: 1.8 ulp on (-40.0, 709.7), F::exp_m1, f64::exp_m1, |x| (wide::expm1(wide::wide(x)), 0.0);
    log: 0.9 ulp on (1e-300, 10.0), F::ln, f64::ln, |x| (wide::log(wide::wide(x)), 0.0);
    log1p: 0.9 ulp on (-1.0, 10.0), F::ln_1p, f64::ln_1p, |x| (wide::log1p(x), 0.0);
    log2: 0.9 ulp on (1e-300, 10.0), F::log2, f64::log2, |x| (wide::log2(x), 0.0);
    log10: 0.9 ulp on (1e-300, 10.0), F::log10, f64::log10, |x| (wide::log10(x), 0.0);
    tanh: 1.9 ulp on (-20.0, 20.0), F::tanh, f64::tanh, |x| (wide::tanh(x), 0.0);
    sigmoid: 2.6 ulp on (-700.0, 40.0), F::sigmoid, logistic, |x| (wide::sigmoid(x), 0.0);
    sinh: 2.3 ulp on (-700.0, 700.0), F::sinh, f64::sinh, |x| (wide::hyperbolic(x).0, 0.0);
    cosh: 1.5 ulp on (-700.0, 700.0), F::cosh, f64::cosh, |x| (wide::hyperbolic(x).1, 0.0);
    sin: 1.6 ulp on (-1e10, 1e10), F::sin, f64::sin, |x| (wide::sin_cos(x).0, 0.0);
    cos: 1.6 ulp on (-1e10, 1e10), F::cos, f64::cos, |x| (wide::sin_cos(x).1, 0.0);
    tan: 2.5 ulp on (-1e10, 1e10), F::tan, f64::tan, |x| {
        let (s, c) = wide::sin_cos(x);
        (s.over(c), 0.0)
    };
    erf: 1.8 ulp on (-6.0, 6.0), F::erf, super::erf::<f64, Baseline>, |x| (wide::erf(x), 0.0);
}

fn logistic(x: f64) -> f64 {
    if x < -40.0 { x.exp() } else { 1.0 / (1.0 + (-x).exp()) }
}

/// The loop of an elementwise operation.
struct Map<'a, F, T>(&'a [T], &'a mut [T], PhantomData<F>);

impl<F: Function, T: Real> Kernel for Map<'_, F, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        for (x, y) in self.0.chunks(256).zip(self.1.chunks_mut(256)) {
            if pass::<F, T, A>(x, y) {
                pass::<F, T, Careful<A>>(x, y);
            }
        }
    }
}

#[inline(always)]
fn pass<F: Function, T: Real, A: Arch>(x: &[T], y: &mut [T]) -> bool {
    let mut out_of_range = false;
    for (x, y) in x.iter().zip(y) {
        let lane = F::eval(Lane::<T, A>::new(*x));
        *y = lane.value();
        out_of_range |= lane.out_of_range();
    }
    out_of_range
}

/// The results for `x` with the best instruction set and with the baseline.
fn both<F: Function, T: Real>(x: &[T]) -> [Vec<T>; 2] {
    let mut out = [x.to_vec(), x.to_vec()];
    dispatch(Map::<F, T>(x, &mut out[0], PhantomData));
    Map::<F, T>(x, &mut out[1], PhantomData).run::<Baseline>();
    out
}

/// The ulp at a normal `x` of a format with this precision and least exponent.
fn ulp(x: f64, precision: u64, least: u64) -> f64 {
    let exponent = (x.abs().to_bits() >> 52).max(least);
    f64::from_bits((exponent + 1 - precision) << 52)
}

/// The error of an `f32` result relative to `f64`, in ulp; infinite if NaN or infinity differ, or for a zero of the wrong sign.
fn error32(y: f32, expected: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
    let nearest = expected as f32;
    if y.to_bits() == nearest.to_bits() {
        return 0.0; // at most half an ulp, which is correct rounding
    }
    if y.is_nan() || nearest.is_nan() || y.is_sign_negative() != nearest.is_sign_negative() {
        return if y.is_nan() && nearest.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if nearest.is_infinite() || y.is_infinite() {
        return if nearest.abs() >= f32::MAX && y.abs() >= f32::MAX { 1.0 } else { f64::INFINITY };
    }
    // Below the smallest f32 a result may be subnormal in f64, where the ulp has no meaning.
    let expected = if expected.abs() < 1e-60 { 1e-60 } else { expected };
    (f64::from(y.abs()) - expected.abs()).abs() / ulp(expected, 24, 1023 - 126)
}

/// Every `stride`-th `f32`.
fn sweep<F: Function>(stride: u64) {
    const CHUNK: u64 = 1 << 20;
    let mut worst = [(0.0, 0.0_f32); 2];
    let mut start = 0;
    while start < 1 << 32 {
        let end = (start + CHUNK * stride).min(1 << 32);
        #[allow(clippy::cast_possible_truncation, reason = "the range ends at 2³²")]
        let x: Vec<f32> =
            (start..end).step_by(usize::try_from(stride).expect("a stride below the address space")).map(|i| f32::from_bits(i as u32)).collect();
        let [best, base] = both::<F, f32>(&x);
        for i in 0..x.len() {
            let expected = F::double(f64::from(x[i]));
            for (worst, y) in worst.iter_mut().zip([best[i], base[i]]) {
                let off = error32(y, expected);
                if off > worst.0 {
                    *worst = (off, x[i]);
                }
            }
        }
        start = end;
    }
    report::<F, f32>(worst);
}

fn report<F: Function, T: Real + std::fmt::LowerExp>(worst: [(f64, T); 2]) {
    let kind = std::any::type_name::<T>();
    let [(a, x), (b, z)] = worst;
    println!("{:8} {kind}: {a:.3} ulp at {x:e}, baseline {b:.3} at {z:e}", F::NAME);
    assert!(a <= F::BOUND && b <= F::BOUND, "{} {kind}: {a} ulp at {x:e}, baseline {b} at {z:e}", F::NAME);
}

/// Pseudorandom numbers in [0, 1) (`SplitMix64`).
fn uniform(count: u64) -> impl Iterator<Item = f64> {
    (1..=count).map(|i| {
        let mut z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[allow(clippy::cast_precision_loss, reason = "53 bits are left")]
        let fraction = ((z ^ (z >> 31)) >> 11) as f64;
        fraction * (-53_f64).exp2()
    })
}

/// Random `f64`: a third each over the range, near zero at every scale, and within −4 … 4.
fn sample<F: Function>(count: u64) {
    let (low, high) = F::RANGE;
    let x: Vec<f64> = uniform(count)
        .zip(0..)
        .map(|(u, i)| match i % 3 {
            0 => low + u * (high - low),
            1 => (u * 60.0 - 55.0).exp2() * if i % 2 == 0 { 1.0 } else { -1.0 },
            _ => u * 8.0 - 4.0,
        })
        .filter(|x| low < *x && *x <= high)
        .collect();
    let [best, base] = both::<F, f64>(&x);
    let mut worst = [(0.0, 0.0); 2];
    for i in 0..x.len() {
        let expected = F::precise(x[i]);
        for (worst, y) in worst.iter_mut().zip([best[i], base[i]]) {
            let off = error64(y, expected);
            if off > worst.0 || off.is_nan() {
                *worst = (off, x[i]);
            }
        }
    }
    report::<F, f64>(worst);
}

#[test]
fn f32_keeps_its_bounds() {
    sweep_all(if cfg!(debug_assertions) { 50_021 } else { 997 });
}

#[test]
#[ignore = "all 2^32 numbers: half an hour"]
fn f32_keeps_its_bounds_everywhere() {
    sweep_all(1);
}

#[test]
fn f64_keeps_its_bounds() {
    sample_all(if cfg!(debug_assertions) { 3_000 } else { 30_000 });
}

macro_rules! edges {
    ($($name:ident: $double:expr),* $(,)?) => {
        #[test]
        fn f64_edges_are_those_of_the_platform() {
            let tiny = f64::from_bits(1);
            let x = [0.0, -0.0, tiny, -tiny, 1.0, -1.0, f64::MIN_POSITIVE, f64::MAX, f64::MIN, f64::INFINITY,
                f64::NEG_INFINITY, f64::NAN, -f64::NAN, 1e300, -800.0, 800.0, 709.8, -745.2, 1e22, -1.5];
            $(for y in both::<$name, f64>(&x) {
                let f: fn(f64) -> f64 = $double;
                for (x, y) in x.iter().zip(y) {
                    let off = error64(y, (wide::wide(f(*x)), 0.0));
                    assert!(off <= 2.0, "{}({x:e}) = {y:e}, not {:e}", $name::NAME, f(*x));
                }
            })*
        }
    };
}

edges! {
    exp: f64::exp, expm1: f64::exp_m1, log: f64::ln, log1p: f64::ln_1p, log2: f64::log2, log10: f64::log10,
    tanh: f64::tanh, sigmoid: logistic, sinh: f64::sinh, cosh: f64::cosh, sin: f64::sin, cos: f64::cos, tan: f64::tan,
}

#[test]
fn erf_has_its_limits() {
    let x = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, 1e300, -6.5, f64::NAN];
    for y in both::<erf, f64>(&x) {
        assert_eq!(y[0].to_bits(), 0.0_f64.to_bits());
        assert_eq!(y[1].to_bits(), (-0.0_f64).to_bits());
        assert_eq!(y[2..6], [1.0, -1.0, 1.0, -1.0]);
        assert!(y[6].is_nan());
    }
}

struct Power<'a, T>(&'a [T], &'a [T], &'a mut [T]);

impl<T: Real> Kernel for Power<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        for ((x, y), out) in self.0.iter().zip(self.1).zip(self.2) {
            *out = pow::<T, A>(*x, *y);
        }
    }
}

fn powers<T: Real>(x: &[T], y: &[T]) -> [Vec<T>; 2] {
    let mut out = [x.to_vec(), x.to_vec()];
    dispatch(Power(x, y, &mut out[0]));
    Power(x, y, &mut out[1]).run::<Baseline>();
    out
}

#[test]
#[allow(clippy::cast_possible_truncation, reason = "arguments rounded to f32")]
fn powers_keep_their_bound() {
    let count = if cfg!(debug_assertions) { 3_000 } else { 100_000 };
    let u: Vec<f64> = uniform(2 * count).collect();
    let x: Vec<f64> = u.iter().step_by(2).map(|u| (u * 40.0 - 20.0).exp2()).collect();
    let y: Vec<f64> = u.iter().skip(1).step_by(2).zip(&x).map(|(u, x)| (u * 2100.0 - 1060.0) / x.log2()).collect();
    let mut worst = 0.0_f64;
    for z in powers(&x, &y) {
        for i in 0..z.len() {
            let expected = wide::pow(x[i], y[i]);
            if expected.1 < 1024.0 {
                worst = worst.max(error64(z[i], expected));
            }
        }
    }
    let x: Vec<f32> = x.iter().map(|x| *x as f32).collect();
    let y: Vec<f32> = y.iter().map(|y| (y / 7.0) as f32).collect();
    let mut worst32 = 0.0_f64;
    for z in powers(&x, &y) {
        for i in 0..z.len() {
            worst32 = worst32.max(error32(z[i], f64::from(x[i]).powf(f64::from(y[i]))));
        }
    }
    println!("pow f64 {worst:.3} ulp, f32 {worst32:.3} ulp");
    assert!(worst < 1.5 && worst32 < 1.3, "pow: {worst} ulp, f32 {worst32} ulp");
}

#[test]
fn powers_of_special_numbers_are_those_of_the_platform() {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -2.0,
        3.0,
        -3.0,
        1.5,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        -1e-310,
        f64::MAX,
        1e300,
        9_007_199_254_740_991.0,
        9_007_199_254_740_993.5,
    ];
    let (x, y): (Vec<_>, Vec<_>) = special.iter().flat_map(|x| special.iter().map(move |y| (*x, *y))).unzip();
    for z in powers(&x, &y) {
        for i in 0..z.len() {
            let off = error64(z[i], (wide::wide(x[i].powf(y[i])), 0.0));
            assert!(off <= 1.5, "{:e} to the power {:e} is {:e}", x[i], y[i], z[i]);
        }
    }
}
