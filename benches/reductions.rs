//! Reductions, softmax, cross-entropy and optimizers against the memory: bytes a second, and what share that is of
//! reading the same array once in the same run.
//!
//! `cargo bench --bench reductions`; set `TAPEGRAD_NUM_THREADS` to compare thread counts. divan shows the rates; the
//! table of shares before it takes turns between the reading and the work, so that both see the same machine.

use std::hint::black_box;
use std::time::Instant;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use tapegrad::array::Array;
use tapegrad::kernel::simd::{Arch, Kernel, dispatch};
use tapegrad::loss::{ClassOptions, cross_entropy};
use tapegrad::ops;
use tapegrad::optim::{Adam, AdamOptions, Group, Method, Optimizer, Sgd, SgdOptions, leaf_of};
use tapegrad::tape::{Variable, backward};

/// In the second-level cache, in the third, in memory: a matrix and a cube of as many elements.
const SIZES: [([usize; 2], [usize; 3]); 3] = [([250, 400], [100, 50, 20]), ([1000, 1000], [100, 100, 100]), ([2500, 4000], [200, 250, 200])];
/// Rows and classes.
const LOGITS: [[usize; 2]; 3] = [[4096, 1000], [1024, 1024], [4096, 10]];
/// Tensors and their elements.
const TENSORS: [[usize; 2]; 2] = [[200, 50_000], [200, 10]];

fn main() {
    shares();
    divan::main();
}

#[allow(clippy::cast_precision_loss, reason = "any values do")]
fn ramp(shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    Array::from_slice(&(0..n).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect::<Vec<_>>(), shape)
}

/// The least work that reads all elements: four vectors at a time.
struct Read<'a>(&'a [f32]);

impl Kernel for Read<'_> {
    type Output = f32;
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]
    fn run<A: Arch>(self) -> f32 {
        let mut sums = [0.0; 32];
        for x in self.0.as_chunks::<32>().0 {
            for (s, x) in sums.iter_mut().zip(x) {
                *s += x;
            }
        }
        sums.iter().sum()
    }
}

type Reduce = fn(&Variable, Option<&[isize]>) -> tapegrad::Result<Variable>;

const REDUCTIONS: [(&str, Reduce); 4] = [
    ("sum", |x, axes| ops::sum(x, axes, false)),
    ("mean", |x, axes| ops::mean(x, axes, false)),
    ("max", |x, axes| ops::max(x, axes, false)),
    ("var", |x, axes| ops::var(x, axes, false, 0.0)),
];
const AXES: [(&str, Option<&[isize]>); 4] = [("all", None), ("last", Some(&[-1])), ("first", Some(&[0])), ("middle", Some(&[1]))];

/// The input of a reduction over that place of axes.
fn input((matrix, cube): ([usize; 2], [usize; 3]), place: &str) -> Variable {
    if place == "middle" { ramp(&cube).into() } else { ramp(&matrix).into() }
}

/// Seconds of each of two functions, the least of many turns.
fn race(a: &dyn Fn(), b: &dyn Fn()) -> [f64; 2] {
    let mut best = [f64::INFINITY; 2];
    let start = Instant::now();
    while start.elapsed().as_millis() < 120 {
        for (f, best) in [a, b].into_iter().zip(&mut best) {
            let start = Instant::now();
            f();
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    best
}

/// One line a reduction and size: the time of reading over the time of the work, for each place of the axes. With
/// several threads the reading is still one thread's.
fn shares() {
    if std::env::args().any(|a| a == "--list" || a == "--test") {
        return;
    }
    println!("share of one thread's read bandwidth: {}", AXES.map(|a| a.0).join(", "));
    for size in SIZES {
        for (name, f) in REDUCTIONS {
            let shares = AXES.map(|(place, axes)| {
                let x = input(size, place);
                let data = x.array().as_slice::<f32>().unwrap_or(&[]);
                let [read, work] = race(&|| _ = black_box(dispatch(Read(data))), &|| drop(black_box(f(&x, axes))));
                format!("{:.2}", read / work)
            });
            println!("{name} of {}: {}", size.0.iter().product::<usize>(), shares.join(", "));
        }
    }
}

#[divan::bench(args = SIZES.map(|(matrix, _)| matrix.iter().product::<usize>()))]
fn read(bencher: Bencher<'_, '_>, n: usize) {
    let x = ramp(&[n]);
    let data = x.as_slice::<f32>().unwrap_or(&[]);
    bencher.counter(BytesCount::new(x.nbytes())).bench_local(|| dispatch(Read(data)));
}

#[divan::bench(args = SIZES.iter().flat_map(|&s| REDUCTIONS.iter().flat_map(move |&r| AXES.map(move |a| Case(s, r, a)))))]
fn reduction(bencher: Bencher<'_, '_>, Case(size, (_, f), (place, axes)): Case) {
    let x = input(size, place);
    bencher.counter(BytesCount::new(x.array().nbytes())).bench_local(|| f(&x, axes));
}

#[derive(Clone, Copy)]
struct Case(([usize; 2], [usize; 3]), (&'static str, Reduce), (&'static str, Option<&'static [isize]>));

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} of {}", self.1.0, self.2.0, self.0.0.iter().product::<usize>())
    }
}

macro_rules! rows {
    ($($name:ident: $form:expr),* $(,)?) => {
        $(#[divan::bench(args = LOGITS.map(|[r, c]| format!("{r}x{c}")))]
        fn $name(bencher: Bencher<'_, '_>, shape: &str) {
            let shape: Vec<usize> = shape.split('x').filter_map(|n| n.parse().ok()).collect();
            let form: fn(&Variable) -> tapegrad::Result<Variable> = $form;
            let Ok(x) = Variable::parameter(ramp(&shape)) else { return };
            bencher.counter(ItemsCount::new(x.array().size())).bench_local(|| form(&x));
        })*
    };
}

rows! {
    softmax: |x| ops::softmax(&x.detach(), -1),
    log_softmax: |x| ops::log_softmax(&x.detach(), -1),
    cross_entropy_alone: |x| loss(&x.detach()),
    softmax_with_gradient: |x| with_gradient(x, &ops::softmax(x, -1)?),
    log_softmax_with_gradient: |x| with_gradient(x, &ops::log_softmax(x, -1)?),
    cross_entropy_with_gradient: |x| with_gradient(x, &loss(x)?),
}

fn loss(x: &Variable) -> tapegrad::Result<Variable> {
    let classes: Vec<i64> = (0..).map(|i| i * 7919 % 10).take(x.shape()[0]).collect();
    cross_entropy(x, &Array::from_slice(&classes, &[classes.len()]).into(), None, ClassOptions::default())
}

fn with_gradient(x: &Variable, y: &Variable) -> tapegrad::Result<Variable> {
    leaf_of("bench", x)?.set_grad(None);
    backward(&ops::sum(y, None, false)?)?;
    Ok(x.clone())
}

fn step<M: Method>(bencher: Bencher<'_, '_>, [count, size]: [usize; 2], options: M::Options, streams: usize) {
    let params: Vec<_> = (0..count).filter_map(|_| leaf_of("bench", &Variable::parameter(ramp(&[size])).ok()?).ok()).collect();
    for p in &params {
        p.set_grad(Some(tapegrad::tape::Leaf::new(ramp(&[size]).into(), false)));
    }
    let Ok(mut optimizer) = Optimizer::<M>::new(vec![Group { options, params }]) else { return };
    bencher.counter(BytesCount::new(4 * streams * count * size)).bench_local(|| optimizer.step());
}

#[divan::bench(args = TENSORS.map(|[n, size]| format!("{n}x{size}")))]
fn sgd(bencher: Bencher<'_, '_>, tensors: &str) {
    step::<Sgd>(bencher, sizes(tensors), SgdOptions::default(), 3);
}

#[divan::bench(args = TENSORS.map(|[n, size]| format!("{n}x{size}")))]
fn sgd_momentum(bencher: Bencher<'_, '_>, tensors: &str) {
    step::<Sgd>(bencher, sizes(tensors), SgdOptions { momentum: 0.9, ..SgdOptions::default() }, 5);
}

#[divan::bench(args = TENSORS.map(|[n, size]| format!("{n}x{size}")))]
fn adam(bencher: Bencher<'_, '_>, tensors: &str) {
    step::<Adam>(bencher, sizes(tensors), AdamOptions::default(), 7);
}

#[divan::bench(args = TENSORS.map(|[n, size]| format!("{n}x{size}")))]
fn adamw(bencher: Bencher<'_, '_>, tensors: &str) {
    step::<Adam>(bencher, sizes(tensors), AdamOptions::adamw(), 7);
}

fn sizes(tensors: &str) -> [usize; 2] {
    let mut numbers = tensors.split('x').filter_map(|n| n.parse().ok());
    [numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)]
}
