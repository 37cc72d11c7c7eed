//! The pool works in a forked child, and in the parent afterwards.
#![cfg(unix)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tapegrad::array::Array;
use tapegrad::kernel::parallel::{for_each_range, set_num_threads};
use tapegrad::ops;
use tapegrad::optim::{Group, Optimizer, Sgd, SgdOptions, leaf_of};
use tapegrad::tape::{Variable, backward};

/// Tests that fork, one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// Whether two ranges are at work at once: each waits until both have begun.
fn two_meet() -> bool {
    let (begun, start) = (AtomicUsize::new(0), Instant::now());
    for_each_range(2, 1, |_| {
        begun.fetch_add(1, Ordering::SeqCst);
        while begun.load(Ordering::SeqCst) < 2 && start.elapsed() < Duration::from_secs(20) {
            thread::yield_now();
        }
    });
    start.elapsed() < Duration::from_secs(20)
}

/// Forks; whether `work` returns true in the child within a minute.
fn child_says(work: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child only runs `work` and leaves by `_exit`; glibc keeps `malloc` usable in it.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let works = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(false);
        // SAFETY: ends the child without running anything of the test harness.
        unsafe { libc::_exit(i32::from(!works)) };
    }
    let (mut status, start) = (-1, Instant::now());
    // SAFETY: `child` is our own child, and `status` outlives the call.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        if start.elapsed() > Duration::from_secs(60) {
            // SAFETY: as above; a child that hangs must not outlive the test.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        thread::sleep(Duration::from_micros(200));
    }
    status == 0
}

#[test]
fn parent_and_child_both_work_after_a_fork() {
    let _one = ONE.lock();
    set_num_threads(2);
    assert!(two_meet());
    assert!(child_says(two_meet));
    assert!(two_meet());
}

/// One step of training on a parameter that other threads use.
fn train(x: &Variable, optimizer: &Mutex<Optimizer<Sgd>>) {
    let y = ops::sum(&ops::multiply(x, x).unwrap(), None, false).unwrap();
    backward(&y).unwrap();
    if let Ok(mut optimizer) = optimizer.try_lock() {
        optimizer.step().unwrap();
        optimizer.zero_grad(true);
    }
}

/// Threads hold the arena, the pool, a leaf and its gradient at any moment of these forks.
#[test]
fn a_child_of_a_busy_process_finds_no_lock_taken() {
    let _one = ONE.lock();
    set_num_threads(1);
    let forks = if std::env::var_os("TAPEGRAD_STRESS").is_some() { 3000 } else { 300 };
    let x = Variable::parameter(Array::full(&[20_000], tapegrad::array::Scalar::Float(1.0), tapegrad::array::DType::F64)).unwrap();
    let leaf = leaf_of("SGD", &x).unwrap();
    let options = SgdOptions { lr: 1e-6, momentum: 0.9, ..SgdOptions::default() };
    let optimizer = Mutex::new(Optimizer::<Sgd>::new(vec![Group { options, params: vec![leaf.clone()] }]).unwrap());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    train(&x, &optimizer);
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                leaf.update(|a| a.data_mut::<f64>().iter_mut().for_each(|v| *v += 1e-9));
                let _ = leaf.array();
            }
        });
        let all_work = (0..forks).all(|_| {
            child_says(|| {
                // The optimizer's own lock is the test's, and may have been left behind.
                let own = Mutex::new(Optimizer::<Sgd>::new(vec![Group { options: SgdOptions::default(), params: vec![leaf.clone()] }]).unwrap());
                (0..3).for_each(|_| train(&x, &own));
                leaf.array().to_vec::<f64>().iter().all(|v| v.is_finite())
            })
        });
        stop.store(true, Ordering::Relaxed);
        assert!(all_work);
    });
}
