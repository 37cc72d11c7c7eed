//! Sums and products against the machine: bytes and floating point operations a second.
//!
//! `cargo bench --bench kernels`; set `TAPEGRAD_NUM_THREADS` to compare thread counts.

use divan::counter::{BytesCount, ItemsCount};
use tapegrad::array::Array;
use tapegrad::ops;
use tapegrad::tape::Variable;

const SIZES: [usize; 4] = [1_000, 100_000, 1_000_000, 10_000_000];

fn main() {
    divan::main();
}

#[allow(clippy::cast_precision_loss, reason = "any values do")]
fn ramp(n: usize) -> Variable {
    Array::from_slice(&(0..n).map(|i| (i % 1000) as f32 / 500.0 - 1.0).collect::<Vec<_>>(), &[n]).into()
}

#[divan::bench(args = SIZES)]
fn sum(bencher: divan::Bencher<'_, '_>, n: usize) {
    let x = ramp(n);
    bencher.counter(BytesCount::new(4 * n)).bench_local(|| ops::sum(&x, None, false));
}
