//! Kernels under every instruction set of this processor, each beside the limit that was measured for that set in the same run.
//!
//! `cargo bench --bench sets [-- softmax]`, one thread. A row takes all sets and their limits in turn and keeps the least
//! time of each, so that a busy machine disturbs them alike. The limit of products is the peak of fused multiply-adds, that
//! of all else is the memory: reading, or reading and writing, as many bytes in a plain loop.

use std::hint::black_box;
use std::time::Instant;

use tapegrad::array::Array;
use tapegrad::kernel::parallel::set_num_threads;
use tapegrad::kernel::simd::{Arch, Kernel, Set, dispatch, use_set};
use tapegrad::loss::{ClassOptions, cross_entropy};
use tapegrad::ops;
use tapegrad::ops::random::Generator;
use tapegrad::optim::{Adam, AdamOptions, Group, Optimizer, leaf_of};
use tapegrad::tape::{Leaf, Variable, backward};

/// Milliseconds that a row takes for each set.
const BUDGET: u128 = 250;

/// Turns that it takes at least.
const LEAST: usize = 10;

/// Multiplications and additions of f32 in twelve vectors of sums, and nothing to load.
struct Peak(usize);

/// Sums of a tile as wide as the set's.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "indices are constants once unrolled: else the sums would lie in memory")]
fn multiply_add<A: Arch, const W: usize>(times: usize) -> f32 {
    // All differ as far as the compiler knows: what is equal it would compute once.
    let (x, y, mut sums) = black_box((0.5_f32, [0.5_f32; W], [[0.0_f32; W]; 6]));
    for _ in 0..times {
        for i in 0..6 {
            for j in 0..W {
                sums[i][j] = if A::FMA { x.mul_add(y[j], sums[i][j]) } else { x * y[j] + sums[i][j] };
            }
        }
    }
    black_box(sums)[0][0]
}

impl Kernel for Peak {
    /// Operations.
    type Output = usize;
    const WIDE: bool = true;

    #[inline(always)]
    fn run<A: Arch>(self) -> usize {
        match A::BYTES {
            64 => _ = multiply_add::<A, 32>(self.0),
            32 => _ = multiply_add::<A, 16>(self.0),
            _ => _ = multiply_add::<A, 8>(self.0),
        }
        self.0 * 2 * 6 * 2 * A::BYTES / size_of::<f32>()
    }
}

/// The least work that reads all elements, and writes as many as there is room for.
struct Memory<'a>(&'a [f32], &'a mut [f32]);

impl Kernel for Memory<'_> {
    type Output = f32;
    const WIDE: bool = true;

    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "indices are constants once unrolled: else the sums would lie in memory")]
    fn run<A: Arch>(self) -> f32 {
        if !self.1.is_empty() {
            self.1.iter_mut().zip(self.0).for_each(|(y, x)| *y = x + x);
            return 0.0;
        }
        let mut sums = [0.0; 64];
        for x in self.0.as_chunks::<64>().0 {
            for j in 0..64 {
                sums[j] += x[j];
            }
        }
        sums.iter().sum()
    }
}

/// The limit that a row is compared with.
#[derive(Clone, Copy)]
enum Limit {
    /// So many operations on elements of so many bytes.
    Flops(usize, usize),
    /// Reading so many bytes.
    Read(usize),
    /// Reading and writing so many bytes each.
    Write(usize),
}

struct Row {
    name: String,
    limit: Limit,
    work: Box<dyn FnMut()>,
}

fn row(name: impl Into<String>, limit: Limit, work: impl FnMut() + 'static) -> Row {
    Row { name: name.into(), limit, work: Box::new(work) }
}

#[allow(clippy::cast_precision_loss, reason = "any values do")]
fn ramp(shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    Array::from_slice(&(0..n).map(|i| (i * 7919 % 1000) as f32 / 500.0 + 0.001).collect::<Vec<_>>(), shape)
}

/// The time of one call of `f` in seconds; `f` is called for a tenth of a millisecond, or once.
fn seconds(f: &mut dyn FnMut()) -> f64 {
    let (start, mut calls) = (Instant::now(), 0.0);
    while calls == 0.0 || start.elapsed().as_micros() < 100 {
        f();
        calls += 1.0;
    }
    start.elapsed().as_secs_f64() / calls
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn measure(row: &mut Row, sets: &[Set]) {
    let (bytes, written) = match row.limit {
        Limit::Flops(..) => (0, 0),
        Limit::Read(bytes) => (bytes, 0),
        Limit::Write(bytes) => (bytes, bytes),
    };
    // Arrays of the library, which are aligned: a vector across two cache lines is loaded twice.
    let (from, mut to) = (ramp(&[bytes / 4]), ramp(&[written / 4]));
    let (from, to) = (from.as_slice::<f32>().unwrap_or(&[]), to.data_mut::<f32>());
    let mut best = vec![[f64::INFINITY; 2]; sets.len()];
    let (start, mut turns) = (Instant::now(), 0);
    while turns < LEAST || start.elapsed().as_millis() < BUDGET * sets.len() as u128 {
        turns += 1;
        for (&set, best) in sets.iter().zip(&mut best) {
            if use_set(set).is_err() {
                return;
            }
            let limit = match row.limit {
                Limit::Flops(flops, size) => {
                    let mut done = 0;
                    let time = seconds(&mut || done = dispatch(Peak(2000)));
                    time / done as f64 * flops as f64 * size as f64 / 4.0
                }
                _ => seconds(&mut || _ = black_box(dispatch(Memory(black_box(from), black_box(&mut *to))))),
            };
            best[0] = best[0].min(seconds(&mut row.work));
            best[1] = best[1].min(limit);
        }
    }
    let cells: Vec<String> = best.iter().map(|[work, limit]| format!("{:.3} | {:.2}", work * 1e6, limit / work)).collect();
    let gain = if sets.len() > 2 { format!(" | {:.2}", best[0][0] / best[1][0]) } else { String::new() };
    println!("| {} | {}{gain} |", row.name, cells.join(" | "));
}

fn products() -> Vec<Row> {
    let mut rows = Vec::new();
    for n in [64, 256, 1024] {
        let x: Variable = ramp(&[n, n]).into();
        rows.push(row(format!("matmul f32 {n} cubed"), Limit::Flops(2 * n * n * n, 4), move || drop(black_box(ops::matmul(&x, &x)))));
        let x: Variable = Array::from_slice(&vec![0.5_f64; n * n], &[n, n]).into();
        rows.push(row(format!("matmul f64 {n} cubed"), Limit::Flops(2 * n * n * n, 8), move || drop(black_box(ops::matmul(&x, &x)))));
    }
    let (a, x): (Variable, Variable) = (ramp(&[1024, 1024]).into(), ramp(&[1024]).into());
    rows.push(row("matrix times vector, 1024 squared", Limit::Read(4 << 20), move || drop(black_box(ops::matmul(&a, &x)))));
    rows
}

type Function = fn(&Variable) -> tapegrad::Result<Variable>;

const FUNCTIONS: [(&str, Function); 8] = [
    ("exp", ops::exp),
    ("log", ops::log),
    ("tanh", ops::tanh),
    ("sigmoid", ops::sigmoid),
    ("gelu", ops::gelu_erf),
    ("sin", ops::sin),
    ("add", |x| ops::add(x, x)),
    ("relu", ops::relu),
];

fn elementwise() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, f) in FUNCTIONS {
        for n in [100, 100_000] {
            let x: Variable = ramp(&[n]).into();
            rows.push(row(format!("{name}, {n}"), Limit::Write(4 * n), move || drop(black_box(f(&x)))));
        }
    }
    for (name, f) in [("tanh", ops::tanh as Function), ("gelu", ops::gelu_erf)] {
        let x = Variable::parameter(ramp(&[100_000])).unwrap_or_else(|e| panic!("{e}"));
        rows.push(row(format!("{name} with its gradient, 100000"), Limit::Write(800_000), move || gradient(&x, f)));
    }
    rows
}

fn gradient(x: &Variable, f: Function) {
    let run = || {
        leaf_of("bench", x)?.set_grad(None);
        backward(&ops::sum(&f(x)?, None, false)?)
    };
    run().unwrap_or_else(|e| panic!("{e}"));
}

fn reductions() -> Vec<Row> {
    let mut rows = Vec::new();
    for n in [100_usize, 1000] {
        let x: Variable = ramp(&[n, 1000]).into();
        let bytes = x.array().nbytes();
        for (name, f) in [
            ("sum", (|x| ops::sum(x, Some(&[-1]), false)) as Function),
            ("max", |x| ops::max(x, None, false)),
            ("var", |x| ops::var(x, None, false, 0.0)),
        ] {
            let x = x.clone();
            rows.push(row(format!("{name}, {n} x 1000"), Limit::Read(bytes), move || drop(black_box(f(&x)))));
        }
    }
    let x: Variable = ramp(&[1024, 1024]).into();
    rows.push(row("softmax, 1024 squared", Limit::Write(4 << 20), move || drop(black_box(ops::softmax(&x, -1)))));
    let x: Variable = ramp(&[4096, 10]).into();
    rows.push(row("softmax, 4096 x 10", Limit::Write(4 * 40960), move || drop(black_box(ops::softmax(&x, -1)))));
    let x = Variable::parameter(ramp(&[1024, 1000])).unwrap_or_else(|e| panic!("{e}"));
    rows.push(row("cross-entropy with its gradient, 1024 x 1000", Limit::Write(4 * 1_024_000), move || gradient(&x, loss)));
    rows
}

fn loss(x: &Variable) -> tapegrad::Result<Variable> {
    let classes: Vec<i64> = (0..).map(|i| i * 7919 % 1000).take(x.shape()[0]).collect();
    cross_entropy(x, &Array::from_slice(&classes, &[classes.len()]).into(), None, ClassOptions::default())
}

fn others() -> Vec<Row> {
    let n = 100_000;
    let mut rows = Vec::new();
    let x = Variable::parameter(ramp(&[n])).unwrap_or_else(|e| panic!("{e}"));
    if let Ok(leaf) = leaf_of("bench", &x) {
        leaf.set_grad(Some(Leaf::new(ramp(&[n]).into(), false)));
        if let Ok(mut adam) = Optimizer::<Adam>::new(vec![Group { options: AdamOptions::default(), params: vec![leaf] }]) {
            rows.push(row("Adam, 100000", Limit::Write(14 * n), move || _ = adam.step()));
        }
    }
    let generator = Generator::new(1);
    rows.push(row("rand, 100000", Limit::Write(2 * n), move || drop(black_box(generator.rand(&[n.cast_signed()], None)))));
    let generator = Generator::new(1);
    rows.push(row("randn, 100000", Limit::Write(2 * n), move || drop(black_box(generator.randn(&[n.cast_signed()], None)))));
    rows
}

fn main() {
    set_num_threads(1);
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let sets: Vec<Set> = Set::ALL.into_iter().filter(|set| set.is_here()).collect();
    let missing: Vec<&str> = Set::ALL.into_iter().filter(|set| !set.is_here()).map(Set::name).collect();
    if !missing.is_empty() {
        println!("Not on this processor: {}.\n", missing.join(", "));
    }
    let gain = if sets.len() > 2 { " | time, avx512 / avx2" } else { "" };
    println!("| kernel | {}{gain} |", sets.iter().map(|set| format!("{set} (µs) | share of limit")).collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "---|".repeat(2 * sets.len() + usize::from(sets.len() > 2)));
    for mut row in [products(), elementwise(), reductions(), others()].into_iter().flatten().filter(|row| row.name.contains(&wanted)) {
        measure(&mut row, &sets);
    }
}
