//! Sums and products against the machine: bytes and floating point operations a second.
//!
//! `cargo bench --bench kernels`; set `TAPEGRAD_NUM_THREADS` to compare thread counts.

use divan::counter::{BytesCount, ItemsCount};
use tapegrad::array::Array;
use tapegrad::kernel::matmul::{MatMut, MatRef, matmul};
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

#[divan::bench(args = [16, 64, 256, 512, 1024])]
fn sgemm(bencher: divan::Bencher<'_, '_>, n: usize) {
    let a = vec![0.5_f32; n * n];
    let mut c = vec![0.0_f32; n * n];
    let stride = n.cast_signed();
    bencher.counter(ItemsCount::new(2 * n * n * n)).bench_local(move || {
        let m = MatRef::new(&a, 0, n, n, stride, 1);
        matmul(m, m, MatMut::new(&mut c, 0, n, n, stride, 1), false);
        divan::black_box(c[0])
    });
}
