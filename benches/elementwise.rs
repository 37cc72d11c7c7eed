//! Elementwise kernels against the machine: bytes or elements a second.
//!
//! `cargo bench --bench elementwise`; set `TAPEGRAD_NUM_THREADS` to compare thread counts. The rows named `limit_` are
//! plain loops on one thread between buffers that are there already: what the level of memory gives for that size. The
//! table of shares before divan's takes turns between such a loop and the work, so that both see the same machine.

use std::hint::black_box;
use std::time::Instant;

use divan::counter::{BytesCount, ItemsCount};
use tapegrad::array::Array;
use tapegrad::kernel::simd::{Arch, Kernel, dispatch};
use tapegrad::ops;
use tapegrad::ops::random::Generator;
use tapegrad::tape::Variable;

const SIZES: [usize; 4] = [1_000, 100_000, 1_000_000, 10_000_000];
/// Elements of a row where something is broadcast.
const WIDTH: usize = 1_000;

fn main() {
    shares();
    divan::main();
}

/// The least work that reads two arrays and writes one, or reads one when the other is empty.
struct Plain<'a>(&'a [f32], &'a [f32], &'a mut [f32]);

impl Kernel for Plain<'_> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        if self.1.is_empty() {
            self.2.iter_mut().zip(self.0).for_each(|(z, x)| *z = x + x);
        } else {
            self.2.iter_mut().zip(self.0).zip(self.1).for_each(|((z, x), y)| *z = x + y);
        }
    }
}

type Work = fn(&Variable, &Variable) -> tapegrad::Result<Variable>;

/// How the second operand relates to the first.
#[derive(Clone, Copy)]
enum Other {
    AsLarge,
    Row,
    Column,
    Number,
}
use Other::{AsLarge, Column, Number, Row};

/// The operation, the width of the first operand, and the second operand.
const WORK: [(&str, Work, usize, Other); 10] = [
    ("add", |x, y| ops::add(x, y), WIDTH, AsLarge),
    ("multiply", |x, y| ops::multiply(x, y), WIDTH, AsLarge),
    ("add a row", |x, y| ops::add(x, y), WIDTH, Row),
    ("add a column", |x, y| ops::add(x, y), WIDTH, Column),
    ("add a row of 100", |x, y| ops::add(x, y), 100, Row),
    ("add a column to rows of 100", |x, y| ops::add(x, y), 100, Column),
    ("add a row of 20", |x, y| ops::add(x, y), 20, Row),
    ("add a column to rows of 20", |x, y| ops::add(x, y), 20, Column),
    ("multiply by a number", |x, _| ops::multiply(x, 2.0), WIDTH, Number),
    ("relu", |x, _| ops::relu(x), WIDTH, Number),
];

/// The time of a plain loop over the same bytes divided by the time of the work, each the least of many turns.
fn shares() {
    if std::env::args().any(|a| a == "--list" || a == "--test") {
        return;
    }
    println!("share of a plain loop's speed, one thread's: {}", SIZES.map(|n| n.to_string()).join(", "));
    for (name, work, width, other) in WORK {
        let shares = SIZES.map(|n| {
            let rows = n / width;
            let shape = match other {
                AsLarge => [rows, width],
                Row => [1, width],
                Column => [rows, 1],
                Number => [1, 1],
            };
            let (x, y) = (ramp(&[rows, width]), ramp(&shape));
            let (a, b) = (x.array().as_slice::<f32>().unwrap_or(&[]), y.array().as_slice::<f32>().unwrap_or(&[]));
            let b = if b.len() == n { b } else { &[] };
            // A buffer that begins elsewhere in its page than the operands.
            let mut room = vec![0.0_f32; n + 256];
            let mut best = [f64::INFINITY; 2];
            let start = Instant::now();
            while start.elapsed().as_millis() < 150 {
                let turn = Instant::now();
                dispatch(Plain(a, b, black_box(&mut room[256..])));
                best[0] = best[0].min(turn.elapsed().as_secs_f64());
                let turn = Instant::now();
                drop(black_box(work(&x, &y)));
                best[1] = best[1].min(turn.elapsed().as_secs_f64());
            }
            format!("{:.2}", best[0] / best[1])
        });
        println!("{name}: {}", shares.join(", "));
    }
}

#[allow(clippy::cast_precision_loss, reason = "any values do")]
fn ramp(shape: &[usize]) -> Variable {
    let n: usize = shape.iter().product();
    Array::from_slice(&(0..n).map(|i| (i % 1000) as f32 / 500.0 - 1.0).collect::<Vec<_>>(), shape).into()
}

#[divan::bench(args = SIZES)]
fn limit_add(bencher: divan::Bencher<'_, '_>, n: usize) {
    let (x, y, mut z) = (vec![1.0_f32; n], vec![2.0_f32; n], vec![0.0_f32; n]);
    bencher.counter(BytesCount::new(12 * n)).bench_local(|| {
        z.iter_mut().zip(&x).zip(&y).for_each(|((z, x), y)| *z = x + y);
        divan::black_box(&mut z);
    });
}

#[divan::bench(args = SIZES)]
fn limit_double(bencher: divan::Bencher<'_, '_>, n: usize) {
    let (x, mut z) = (vec![1.0_f32; n], vec![0.0_f32; n]);
    bencher.counter(BytesCount::new(8 * n)).bench_local(|| {
        z.iter_mut().zip(&x).for_each(|(z, x)| *z = x + x);
        divan::black_box(&mut z);
    });
}

#[divan::bench(args = SIZES)]
fn add(bencher: divan::Bencher<'_, '_>, n: usize) {
    let (x, y) = (ramp(&[n]), ramp(&[n]));
    bencher.counter(BytesCount::new(12 * n)).bench_local(|| ops::add(&x, &y));
}

#[divan::bench(args = SIZES)]
fn multiply_by_number(bencher: divan::Bencher<'_, '_>, n: usize) {
    let x = ramp(&[n]);
    bencher.counter(BytesCount::new(8 * n)).bench_local(|| ops::multiply(&x, 2.0));
}

#[divan::bench(args = SIZES)]
fn add_row(bencher: divan::Bencher<'_, '_>, n: usize) {
    let (x, row) = (ramp(&[n / WIDTH, WIDTH]), ramp(&[WIDTH]));
    bencher.counter(BytesCount::new(8 * n)).bench_local(|| ops::add(&x, &row));
}

#[divan::bench(args = SIZES)]
fn add_column(bencher: divan::Bencher<'_, '_>, n: usize) {
    let (x, column) = (ramp(&[n / WIDTH, WIDTH]), ramp(&[n / WIDTH, 1]));
    bencher.counter(BytesCount::new(8 * n)).bench_local(|| ops::add(&x, &column));
}

#[divan::bench(args = SIZES)]
fn relu(bencher: divan::Bencher<'_, '_>, n: usize) {
    let x = ramp(&[n]);
    bencher.counter(BytesCount::new(8 * n)).bench_local(|| ops::relu(&x));
}

/// Compare with `add` of a million.
#[divan::bench(args = [256, 1000, 1024, 2048])]
fn add_transposed(bencher: divan::Bencher<'_, '_>, n: usize) {
    let (x, y) = (ramp(&[n, n]), ramp(&[n, n]));
    let turned: Variable = y.array().with_layout(y.array().layout().permute(&[1, 0])).into();
    bencher.counter(BytesCount::new(12 * n * n)).bench_local(|| ops::add(&x, &turned));
}

#[divan::bench(args = [256, 1000, 1024, 2048])]
fn copy_transposed(bencher: divan::Bencher<'_, '_>, n: usize) {
    let y = ramp(&[n, n]);
    let turned = y.array().with_layout(y.array().layout().permute(&[1, 0]));
    bencher.counter(BytesCount::new(8 * n * n)).bench_local(|| turned.copy());
}

macro_rules! elementwise {
    ($($name:ident),*) => {
        $(#[divan::bench]
        fn $name(bencher: divan::Bencher<'_, '_>) {
            let x = ramp(&[100_000]);
            bencher.counter(ItemsCount::new(100_000_usize)).bench_local(|| ops::$name(&x));
        })*
    };
}
elementwise!(exp, log1p, sigmoid, tanh, gelu_erf, gelu_tanh, sin, cos, erf);

#[divan::bench(args = SIZES)]
fn rand(bencher: divan::Bencher<'_, '_>, n: usize) {
    let generator = Generator::new(1);
    bencher.counter(ItemsCount::new(n)).bench_local(|| generator.rand(&[n.cast_signed()], None));
}

#[divan::bench(args = SIZES)]
fn randn(bencher: divan::Bencher<'_, '_>, n: usize) {
    let generator = Generator::new(1);
    bencher.counter(ItemsCount::new(n)).bench_local(|| generator.randn(&[n.cast_signed()], None));
}

#[divan::bench(args = SIZES)]
fn mask(bencher: divan::Bencher<'_, '_>, n: usize) {
    let generator = Generator::new(1);
    bencher.counter(ItemsCount::new(n)).bench_local(|| generator.bernoulli(0.5, &[n.cast_signed()], None));
}
