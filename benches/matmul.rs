//! Matrix products against the machine: shares of the FMA peak and of the read bandwidth, and the crate `gemm` beside.
//!
//! `cargo bench --bench matmul [-- 256x]`; set `TAPEGRAD_NUM_THREADS` to compare thread counts. A row takes all its
//! contenders in turn and keeps the best time of each, so that a busy machine disturbs them alike. The peak is that of
//! one core times the threads. No table of `divan`: it knows no shares.

use std::hint::black_box;
use std::time::Instant;

use tapegrad::kernel::matmul::{BatchOffsets, MatElement, ProductShape, matmul_batch};
use tapegrad::kernel::parallel::num_threads;
use tapegrad::kernel::simd::{Arch, Kernel, dispatch, isa};

/// Sizes, and which operands are given by columns.
struct Case {
    name: &'static str,
    batch: usize,
    m: usize,
    k: usize,
    n: usize,
}

const fn case(name: &'static str, batch: usize, [m, k, n]: [usize; 3]) -> Case {
    Case { name, batch, m, k, n }
}

const CASES: [Case; 24] = [
    case("nn", 1, [16, 16, 16]),
    case("nn", 1, [64, 64, 64]),
    case("nt", 1, [64, 64, 64]),
    case("tn", 1, [64, 64, 64]),
    case("nn", 64, [64, 64, 64]),
    case("nt", 64, [64, 64, 64]),
    case("tn", 64, [64, 64, 64]),
    case("nn", 1, [256, 256, 256]),
    case("nt", 1, [256, 256, 256]),
    case("tn", 1, [256, 256, 256]),
    case("nn", 1, [512, 512, 512]),
    case("nn", 1, [1024, 1024, 1024]),
    case("nt", 1, [1024, 1024, 1024]),
    case("tn", 1, [1024, 1024, 1024]),
    case("nn", 1, [128, 784, 512]),
    case("tn", 1, [784, 128, 512]),
    case("nn", 1, [64, 256, 10]),
    case("nn", 1, [8, 512, 512]),
    case("nn", 1, [1, 1024, 1024]),
    case("nt", 1, [1, 1024, 1024]),
    case("nn", 1, [1024, 1024, 1]),
    case("tn", 1, [1024, 1024, 1]),
    case("nn", 1, [1, 4096, 4096]),
    case("nn", 1, [4096, 4096, 1]),
];

/// Multiplications and additions of f32 in twelve vectors of sums, as in the microkernel, without loads.
struct Peak(usize);

impl Peak {
    const FLOPS: usize = 2 * 6 * 16;
}

impl Kernel for Peak {
    type Output = [[f32; 16]; 6];

    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "indices are constants once unrolled: else the sums would lie in memory")]
    fn run<A: Arch>(self) -> [[f32; 16]; 6] {
        // The values differ for the compiler; it would compute equal ones once.
        let (x, y, mut sums) = black_box((0.5_f32, [0.5_f32; 16], [[0.0_f32; 16]; 6]));
        for _ in 0..self.0 {
            for i in 0..6 {
                for j in 0..16 {
                    sums[i][j] = if A::FMA { x.mul_add(y[j], sums[i][j]) } else { x * y[j] + sums[i][j] };
                }
            }
        }
        sums
    }
}

/// The fastest way to read: sums in eight vectors.
struct Read<'a>(&'a [f32]);

impl Kernel for Read<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<A: Arch>(self) -> f32 {
        let mut sums = [0.0; 64];
        for part in self.0.as_chunks::<64>().0 {
            for j in 0..64 {
                sums[j] += part[j];
            }
        }
        sums.iter().sum()
    }
}

/// Seconds of one call; the best of all so far.
fn best(least: &mut f64, calls: usize, mut f: impl FnMut()) {
    let start = Instant::now();
    (0..calls).for_each(|_| f());
    #[allow(clippy::cast_precision_loss, reason = "a small count")]
    let seconds = start.elapsed().as_secs_f64() / calls as f64;
    *least = least.min(seconds);
}

/// A function of the crate: sizes, output and strides, whether to add, and both operands alike.
type Crate<T> = unsafe fn(
    usize,
    usize,
    usize,
    *mut T,
    isize,
    isize,
    bool,
    *const T,
    isize,
    isize,
    *const T,
    isize,
    isize,
    T,
    T,
    bool,
    bool,
    bool,
    gemm::Parallelism,
);

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn row<T: MatElement>(case: &Case, half: T, other: Crate<T>) {
    let &Case { name, batch, m, k, n } = case;
    let strides = |by_columns, rows: usize, cols: usize| if by_columns { (1, rows.cast_signed()) } else { (cols.cast_signed(), 1) };
    let (a_strides, b_strides) = (strides(name.starts_with('t'), m, k), strides(name.ends_with('t'), k, n));
    let shape = ProductShape { m, k, n, a_strides, b_strides, c_strides: strides(false, m, n) };
    let places = |size: usize| (0..batch).map(|i| i * size).collect::<Vec<_>>();
    let (pa, pb, pc) = (places(m * k), places(k * n), places(m * n));
    let (a, b, mut c) = (vec![half; batch * m * k], vec![half; batch * k * n], vec![half; batch * m * n]);
    let flops = 2 * batch * m * k * n;
    let bytes = size_of_val(&a[..]) + size_of_val(&b[..]);
    let data = vec![1.0_f32; bytes / 4];
    let [mut ours, mut theirs, mut peak, mut read] = [f64::MAX; 4];
    let calls = (40_000_000 / flops).clamp(1, 1000);
    for _ in 0..(4_000_000_000 / (calls * flops)).clamp(10, 100) {
        best(&mut peak, 1, || _ = black_box(dispatch(Peak(4000))));
        best(&mut read, calls, || _ = black_box(dispatch(Read(black_box(&data)))));
        best(&mut ours, calls, || matmul_batch(&a, &b, &mut c, &shape, BatchOffsets { a: &pa, b: &pb, c: &pc }, false));
        best(&mut theirs, calls, || {
            for i in 0..batch {
                let (x, y, z) = (a[pa[i]..].as_ptr(), b[pb[i]..].as_ptr(), c[pc[i]..].as_mut_ptr());
                let ((ars, acs), (brs, bcs)) = (a_strides, b_strides);
                let one = gemm::Parallelism::None;
                // SAFETY: the matrices of the product above.
                unsafe { other(m, n, k, z, 1, n.cast_signed(), false, x, acs, ars, y, bcs, brs, half, half, false, false, false, one) };
            }
        });
    }
    // Numbers twice as wide: half as many for each instruction.
    let limit = (4000 * Peak::FLOPS) as f64 / peak * num_threads() as f64 * size_of::<f32>() as f64 / size_of::<T>() as f64;
    let share = |seconds: f64| flops as f64 / seconds / limit * 100.0;
    let vector = m == 1 || n == 1;
    let memory = if vector { format!("{:7.1} {:5.1} %", bytes as f64 / ours / 1e9, read / ours * 100.0) } else { String::new() };
    println!(
        "f{} {name} {batch:2} x {m:4}x{k:4}x{n:4} {:9.2} us {:7.1} {:5.1} % {:5.1} % {memory}",
        size_of::<T>() * 8,
        ours * 1e6,
        flops as f64 / ours / 1e9,
        share(ours),
        share(theirs)
    );
}

fn main() {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    println!("{}, {} threads (the crate: one); GFLOP/s, share of the FMA peak, that of the crate; GB/s, share of reading", isa(), num_threads());
    for case in CASES.iter().filter(|c| format!("{} {}x{}x{}", c.name, c.m, c.k, c.n).contains(&wanted)) {
        row(case, 0.5_f32, gemm::gemm::<f32>);
        row(case, 0.5_f64, gemm::gemm::<f64>);
    }
}
