//! Runs all tests of the kernel rooms again under every instruction set.
//!
//! A process has one set, so each set gets a process of its own: this test program, with `TAPEGRAD_SIMD`. The set that is in use is not run
//! twice.

use std::io::Write;
use std::process::Command;

use super::{Set, VARIABLE};

/// The rooms whose loops depend on the set.
const ROOMS: [&str; 3] = ["kernel::", "optim::", "loss::"];

fn every_kernel_test(set: Set) {
    // Not captured: sets that cannot run here must be visible in the output.
    let say = |text: &str| _ = writeln!(std::io::stderr(), "kernel tests under {set}: {text}");
    if !set.is_here() {
        return say("not run, this processor lacks it");
    }
    if set == Set::current() {
        return say("run by this process");
    }
    let program = std::env::current_exe().expect("the path of this test program");
    let done =
        Command::new(program).args(ROOMS).args(["--skip", "simd::sets::"]).env(VARIABLE, set.name()).output().expect("this test program runs again");
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "under {set}:\n{text}\n{}", String::from_utf8_lossy(&done.stderr));
    let summary = text.lines().find(|line| line.starts_with("test result")).expect("a summary line from the test harness");
    assert!(!summary.contains(" 0 passed"), "under {set}: {summary}");
    say(summary);
}

#[test]
fn every_kernel_test_under_avx512() {
    every_kernel_test(Set::Avx512);
}

#[test]
fn every_kernel_test_under_avx2() {
    every_kernel_test(Set::Avx2);
}

#[test]
fn every_kernel_test_under_baseline() {
    every_kernel_test(Set::Baseline);
}
