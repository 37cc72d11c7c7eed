//! The largest error of every elementary function and of the gradient of every elementwise one: all 2³² `f32`, and `f64` by samples.
//!
//! `cargo bench --bench accuracy`, or a part of it: `cargo bench --bench accuracy -- exp tanh --stride 101`; `TAPEGRAD_SIMD` names
//! the instruction set. An `f32` is judged by the same function of `f64`, which in turn is judged by thirty digits, or by a test of the library's own. Prints the tables of `docs/numerics.md`;
//! fails where a limit is passed, or NaN, an infinity or the sign of a zero is wrong.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "numbers are rounded and counted")]

use std::process::ExitCode;

use reference::{Wide, error64, wide};
use tapegrad::array::{Array, Element};
use tapegrad::kernel::simd::isa;
use tapegrad::tape::{Variable, recording};
use tapegrad::{Result, ops};

#[path = "../tests/shared/gradients.rs"]
mod gradients;
#[allow(dead_code, reason = "the tests of the library use the rest")]
#[path = "../src/kernel/math/reference.rs"]
mod reference;

/// Numbers that are judged at a time.
const CHUNK: u64 = 1 << 18;

struct Function {
    name: &'static str,
    /// The largest error that passes, in ulps, for both types.
    limit: f64,
    call: fn(&Variable) -> Result<Variable>,
    /// The interval in which `f64` is sampled, and a precise function: m, k with f(x) = m · 2^k.
    precise: Option<((f64, f64), Precise)>,
}

type Precise = fn(f64) -> (Wide, f64);

const fn function(name: &'static str, limit: f64, call: fn(&Variable) -> Result<Variable>, range: (f64, f64), precise: Precise) -> Function {
    Function { name, limit, call, precise: Some((range, precise)) }
}

const FUNCTIONS: [Function; 18] = [
    function("exp", 2.0, ops::exp, (-745.0, 709.7), |x| reference::exp(wide(x))),
    function("expm1", 2.0, ops::expm1, (-40.0, 709.7), |x| (reference::expm1(wide(x)), 0.0)),
    function("log", 2.0, ops::log, (1e-300, 10.0), |x| (reference::log(wide(x)), 0.0)),
    function("log1p", 2.0, ops::log1p, (-1.0, 10.0), |x| (reference::log1p(x), 0.0)),
    function("log2", 2.0, ops::log2, (1e-300, 10.0), |x| (reference::log2(x), 0.0)),
    function("log10", 2.0, ops::log10, (1e-300, 10.0), |x| (reference::log10(x), 0.0)),
    function("sin", 2.0, ops::sin, (-1e10, 1e10), |x| (reference::sin_cos(x).0, 0.0)),
    function("cos", 2.0, ops::cos, (-1e10, 1e10), |x| (reference::sin_cos(x).1, 0.0)),
    function("tan", 2.5, ops::tan, (-1e10, 1e10), |x| {
        let (s, c) = reference::sin_cos(x);
        (s.over(c), 0.0)
    }),
    function("sinh", 2.5, ops::sinh, (-700.0, 700.0), |x| (reference::hyperbolic(x).0, 0.0)),
    function("cosh", 2.0, ops::cosh, (-700.0, 700.0), |x| (reference::hyperbolic(x).1, 0.0)),
    function("tanh", 2.0, ops::tanh, (-20.0, 20.0), |x| (reference::tanh(x), 0.0)),
    function("erf", 2.0, ops::erf, (-6.0, 6.0), |x| (reference::erf(x), 0.0)),
    function("sigmoid", 3.0, ops::sigmoid, (-700.0, 40.0), |x| (reference::sigmoid(x), 0.0)),
    function("silu", 3.0, ops::silu, (-700.0, 40.0), |x| (wide(x).times(reference::sigmoid(x)), 0.0)),
    Function { name: "softplus", limit: 3.0, call: |x| ops::softplus(x, 1.0), precise: None },
    Function { name: "gelu", limit: 3.0, call: ops::gelu_erf, precise: None },
    Function { name: "gelu, by tanh", limit: 3.0, call: ops::gelu_tanh, precise: None },
];

fn run<T: Element>(call: fn(&Variable) -> Result<Variable>, x: &[T]) -> Vec<T> {
    let y = call(&Array::from_slice(x, &[x.len()]).into()).unwrap_or_else(|e| panic!("{e}"));
    y.array().to_vec()
}

/// The largest error so far, and its argument.
#[derive(Clone, Copy, Default)]
struct Worst {
    ulps: f64,
    at: f64,
}

impl Worst {
    fn meet(&mut self, ulps: f64, at: f64) {
        if ulps > self.ulps || ulps.is_nan() {
            *self = Self { ulps, at };
        }
    }
}

/// |y − expected| in ulp of `f32`; infinite for a wrong kind of value or a zero of the wrong sign.
fn error32(y: f32, expected: f64) -> f64 {
    let exponent = ((expected.to_bits() >> 52) & 0x7ff).max(1023 - 126);
    let off = (f64::from(y) - expected).abs() / f64::from_bits((exponent - 23) << 52);
    if off < f64::INFINITY && y != 0.0 {
        return off;
    }
    let nearest = expected as f32;
    match () {
        () if y.is_nan() || nearest.is_nan() => f64::from(u8::from(y.is_nan() && nearest.is_nan())) - 1.0,
        () if y.to_bits() == nearest.to_bits() => 0.0,
        () if y.is_sign_negative() != expected.is_sign_negative() => -1.0,
        // The largest number and infinity count as neighbours.
        () if y.is_infinite() || nearest.is_infinite() => f64::from(u8::from(nearest.abs() >= f32::MAX && y.abs() >= f32::MAX)) * 2.0 - 1.0,
        () => off,
    }
}

/// Every `stride`-th `f32`.
fn sweep(f: &Function, stride: u64) -> Worst {
    let mut worst = Worst::default();
    for start in (0..1 << 32).step_by((CHUNK * stride) as usize) {
        let end = (start + CHUNK * stride).min(1 << 32);
        let x: Vec<f32> = (start..end).step_by(stride as usize).map(|i| f32::from_bits(i as u32)).collect();
        let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        for ((y, expected), x) in run(f.call, &x).into_iter().zip(run(f.call, &wide)).zip(wide) {
            let off = error32(y, expected);
            worst.meet(if off < 0.0 { f64::INFINITY } else { off }, x);
        }
    }
    worst
}

/// Random `f64`: a third each over the range, near zero at every scale, and around −4 … 4.
fn sample(f: &Function, count: u64) -> Option<Worst> {
    let ((low, high), precise) = f.precise?;
    let mut worst = Worst::default();
    let x: Vec<f64> = (1..=count)
        .map(|i| {
            let z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let u = ((z ^ (z >> 31)) >> 11) as f64 * (-53_f64).exp2();
            match i % 3 {
                0 => low + u * (high - low),
                1 => (u * 60.0 - 55.0).exp2() * if i % 2 == 0 { 1.0 } else { -1.0 },
                _ => u * 8.0 - 4.0,
            }
        })
        .filter(|x| low < *x && *x <= high)
        .collect();
    for (y, x) in run(f.call, &x).into_iter().zip(x) {
        worst.meet(error64(y, precise(x)), x);
    }
    Some(worst)
}

/// Every `stride`-th `f32` through the gradient of `f`.
fn sweep_gradient(f: &gradients::Function, stride: u64) -> Worst {
    let mut worst = Worst::default();
    for start in (0..1 << 32).step_by((CHUNK * stride) as usize) {
        let end = (start + CHUNK * stride).min(1 << 32);
        let x: Vec<f32> = (start..end).step_by(stride as usize).map(|i| f32::from_bits(i as u32)).collect();
        let (ulps, at) = gradients::worst(f, &x);
        worst.meet(ulps, at.into());
    }
    worst
}

/// The table of gradients; whether all are within their limits.
fn print_gradients(chosen: impl Fn(&str) -> bool, stride: u64, without_fma: f64) -> bool {
    println!("\n| gradient of | limit | float32 | at |\n|---|---|---|---|");
    let mut passed = true;
    for f in gradients::FUNCTIONS.iter().filter(|f| chosen(f.name)) {
        let worst = sweep_gradient(f, stride);
        let limit = f.limit + without_fma;
        passed &= worst.ulps <= limit;
        println!("| {} | {} | {:.2} | {:e} |", f.name, limit, worst.ulps, worst.at);
    }
    passed
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    let (mut names, mut stride) = (Vec::new(), 1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.size_hint()) {
            ("--stride", _) => match arguments.next().map(|n| n.parse()) {
                Some(Ok(n)) if n > 0 => stride = n,
                _ => panic!("--stride takes a whole number above zero"),
            },
            _ => names.push(argument),
        }
    }
    eprintln!("under {}", isa());
    println!("| function | limit | float32 | at | float64 | at |\n|---|---|---|---|---|---|");
    // Without fused multiply-adds products are rounded, too.
    let without_fma = if isa() == "baseline" { 0.5 } else { 0.0 };
    let mut passed = true;
    let chosen = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
    for f in FUNCTIONS.iter().filter(|f| chosen(f.name)) {
        let _off = recording(false);
        let (single, double) = (sweep(f, stride), sample(f, 1_500_000 / stride.min(100)));
        let limit = f.limit + without_fma;
        passed &= single.ulps <= limit && double.is_none_or(|w| w.ulps <= limit);
        let [ulps, at] = double.map_or_else(Default::default, |w| [format!("{:.2}", w.ulps), format!("{:e}", w.at)]);
        println!("| {} | {} | {:.2} | {:e} | {ulps} | {at} |", f.name, limit, single.ulps, single.at);
    }
    passed &= print_gradients(chosen, stride, 3.0 * without_fma);
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
