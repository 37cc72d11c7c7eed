//! The pool works in a forked child, and in the parent afterwards.
#![cfg(unix)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tapegrad::kernel::parallel::{for_each_range, set_num_threads};

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

#[test]
fn parent_and_child_both_work_after_a_fork() {
    set_num_threads(2);
    assert!(two_meet());
    // SAFETY: the child only runs a loop and leaves by `_exit`; glibc keeps `malloc` usable in it.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let works = std::panic::catch_unwind(two_meet).unwrap_or(false);
        // SAFETY: ends the child without running anything of the test harness.
        unsafe { libc::_exit(i32::from(!works)) };
    }
    assert!(two_meet());
    let (mut status, start) = (-1, Instant::now());
    // SAFETY: `child` is our own child, and `status` outlives the call.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        if start.elapsed() > Duration::from_secs(60) {
            // SAFETY: as above; a child that hangs must not outlive the test.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(status, 0);
}
