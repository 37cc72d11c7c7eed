//! The cost of the tape: recording, backward and release of a chain, and the memory of a node.
//!
//! `cargo bench --bench tape`

use tapegrad::array::Array;
use tapegrad::ops::multiply;
use tapegrad::tape::{Variable, backward, recording, tape_stats};

const CHAIN: usize = 100;

fn parameter() -> Variable {
    match Variable::parameter(Array::from_slice(&[1.000_001_f32], &[1])) {
        Ok(v) => v,
        Err(e) => panic!("{e}"),
    }
}

fn chain(x: &Variable, n: usize) -> Variable {
    let mut y = x.clone();
    for _ in 0..n {
        y = multiply(&y, x).unwrap_or_else(|e| panic!("{e}"));
    }
    y
}

#[divan::bench]
fn multiply_without_recording(bencher: divan::Bencher<'_, '_>) {
    let x = parameter();
    let _off = recording(false);
    bencher.bench_local(|| multiply(&x, &x));
}

#[divan::bench]
fn multiply_recorded(bencher: divan::Bencher<'_, '_>) {
    let x = parameter();
    bencher.bench_local(|| multiply(&x, &x));
}

#[divan::bench]
fn chain_of_100_forward_and_backward(bencher: divan::Bencher<'_, '_>) {
    let x = parameter();
    bencher.counter(divan::counter::ItemsCount::new(CHAIN)).bench_local(|| backward(&chain(&x, CHAIN)));
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn memory() {
    let x = parameter();
    println!("memory of a chain of multiplications of one element:");
    for n in [50_000, 100_000, 200_000, 400_000] {
        let before = resident();
        let y = chain(&x, n);
        let stats = tape_stats();
        println!(
            "  {n:>7} nodes: {:>4} bytes resident a node, {:>2} bytes saved a node",
            resident().saturating_sub(before) / n,
            stats.saved_bytes / stats.live_nodes.max(1)
        );
        drop(y);
        tapegrad::array::pool::trim();
    }
}

fn main() {
    divan::main();
    memory();
}
