//! The entry point to threads: a loop over `0..n`, divided into ranges that several threads take.
//!
//! The calling thread takes part at once; helpers from a rayon pool join when they wake. At the end the caller waits only for helpers that
//! have *begun*. A helper that the operating system has not scheduled yet finds the job closed and leaves, so a busy machine costs the
//! caller next to nothing (`docs/decisions/0003-threads.md` has measurements).
//!
//! - Ranges depend on the size only, never on the number of threads: the same bits with 1, 2 or 64 threads.
//! - A loop inside a loop runs serially. Several threads may call at the same time.
//! - The pool is started by the first loop that needs it, and again in a forked child.

// A loop's closure borrows from its caller, and rayon only takes `'static` jobs, unless the caller waits for all of them. That wait takes
// milliseconds when the other cores are busy. So a job holds the closure as a raw pointer (`Body`).
#![allow(unsafe_code, reason = "see above")]

use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicPtr, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};
use smallvec::SmallVec;

use crate::array::alloc_check;
use crate::lock::protocol::Crew;

/// The least duration of a range, so that another thread pays.
const RANGE_NS: f64 = 20_000.0;
/// Enough to balance 64 threads; more would only add overhead.
const MAX_RANGES: usize = 1024;
/// How long a caller that has no work left spins for its helpers before it sleeps: about one range.
const SPIN: Duration = Duration::from_micros(20);
const MAX_THREADS: usize = 1024;
/// Ranges of at least so many items begin at multiples of [`ALIGNED_ITEMS`].
const ALIGNED_FROM: usize = 1024;
const ALIGNED_ITEMS: usize = 64;

static NUM_THREADS: AtomicUsize = AtomicUsize::new(0); // 0: not determined yet

thread_local! {
    /// Whether this thread is inside a range of a parallel loop.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The number of threads that a loop may use, including the caller.
///
/// The default is `TAPEGRAD_NUM_THREADS`, else the number of CPUs that the process may use (affinity and cgroup limits count).
#[must_use]
pub fn num_threads() -> usize {
    let known = NUM_THREADS.load(Relaxed);
    if known > 0 {
        return known;
    }
    let default = default_threads(std::env::var("TAPEGRAD_NUM_THREADS").ok().as_deref());
    let stored = NUM_THREADS.compare_exchange(0, default, Relaxed, Relaxed);
    stored.err().unwrap_or(default) // a concurrent `set_num_threads` wins
}

/// Sets the number of threads, including the caller, for every loop that begins after this.
///
/// 0 counts as 1, and more than 1024 as 1024.
pub fn set_num_threads(n: usize) {
    NUM_THREADS.store(n.clamp(1, MAX_THREADS), Relaxed);
}

fn default_threads(variable: Option<&str>) -> usize {
    match variable.and_then(|text| text.trim().parse().ok()) {
        Some(n) if n > 0 => n,
        _ => thread::available_parallelism().map_or(1, usize::from),
    }
    .min(MAX_THREADS)
}

/// The number of items per range so that a range takes some 20 µs. `ns_per_item` is the caller's estimate.
///
/// Depends only on its arguments, never on the number of threads. It is `n` (one range, run serially; 1 when `n` is 0) if everything takes
/// less than two such ranges. From 1024 items on, it is a multiple of 64.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate; a float to integer cast saturates, and takes NaN to 0"
)]
pub fn grain(n: usize, ns_per_item: f64) -> usize {
    let ranges = ((n as f64 * ns_per_item / RANGE_NS) as usize).min(MAX_RANGES);
    if ranges < 2 {
        return n.max(1);
    }
    match n.div_ceil(ranges) {
        few if few < ALIGNED_FROM => few,
        many => many.next_multiple_of(ALIGNED_ITEMS),
    }
}

/// Calls `f` on consecutive ranges of `grain` items (the last may be shorter) that cover `0..n`.
///
/// The ranges depend on `n` and `grain` only; the order of the calls and their threads are unspecified. It runs serially when there is one
/// range or one thread, or inside another parallel loop. A panic in `f` is passed to the caller when every call that had begun has ended. A
/// `grain` of 0 counts as 1.
pub fn for_each_range(n: usize, grain: usize, f: impl Fn(Range<usize>) + Sync) {
    let grain = grain.max(1);
    run(n.div_ceil(grain), &|i| f(range(i, n, grain)));
}

/// Calls `f(start, chunk)` on the chunks of `out` that correspond to the ranges of [`for_each_range`].
pub fn for_each_chunk_mut<T: Send>(out: &mut [T], grain: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    for_each_chunks_mut(out, SmallVec::new(), grain, |start, chunk, _| f(start, chunk));
}

/// As [`for_each_chunk_mut`], with the same chunks of `others`, which have the length of `out`.
pub fn for_each_chunks_mut<T: Send>(
    out: &mut [T],
    others: SmallVec<[&mut [T]; 4]>,
    grain: usize,
    f: impl Fn(usize, &mut [T], SmallVec<[&mut [T]; 4]>) + Sync,
) {
    let grain = grain.max(1);
    if (1..=grain).contains(&out.len()) {
        return f(0, out, others);
    }
    let count = out.len().div_ceil(grain);
    let others: SmallVec<[_; 4]> = others.into_iter().map(|other| other.chunks_mut(grain)).collect();
    let chunks = Mutex::new((out.chunks_mut(grain).enumerate(), others));
    run(count, &|_| {
        // There are as many calls as chunks: each call takes the next chunk, whatever its index.
        let (next, beside) = {
            let (chunks, others) = &mut *lock(&chunks);
            (chunks.next(), others.iter_mut().filter_map(Iterator::next).collect())
        };
        if let Some((i, chunk)) = next {
            f(i * grain, chunk, beside);
        }
    });
}

/// The results of `f` on the ranges of [`for_each_range`], in the order of the ranges.
pub fn map_ranges<R: Send>(n: usize, grain: usize, f: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
    let grain = grain.max(1);
    let mut results: Vec<Option<R>> = alloc_check::with_capacity(n.div_ceil(grain));
    results.resize_with(n.div_ceil(grain), || None);
    let call = |i| Some(f(range(i, n, grain)));
    for_each_chunk_mut(&mut results, 1, |i, slot| slot.fill_with(|| call(i)));
    alloc_check::collect(results.into_iter().flatten())
}

fn range(i: usize, n: usize, grain: usize) -> Range<usize> {
    i * grain..n.min((i * grain).saturating_add(grain))
}

/// Calls `f` once with each of `0..count`.
fn run(count: usize, f: &(dyn Fn(usize) + Sync)) {
    let helpers = num_threads().min(count).saturating_sub(1);
    match (helpers > 0 && !INSIDE.get()).then(pool).flatten() {
        Some(pool) => run_with(pool, helpers, count, f),
        None => (0..count).for_each(f),
    }
}

fn run_with(pool: Arc<ThreadPool>, helpers: usize, count: usize, f: &(dyn Fn(usize) + Sync)) {
    let job = Arc::new(Job {
        body: Body::of(&f),
        count,
        next: AtomicUsize::new(0),
        crew: Crew(AtomicUsize::new(0)),
        to_recruit: AtomicUsize::new(helpers),
        panic: Mutex::new(None),
        caller: thread::current(),
        pool,
    });
    let wait = CloseAndWait(&job);
    // SAFETY: `f` is borrowed until `wait` is dropped.
    unsafe { job.work() };
    drop(wait);
    if let Some(payload) = lock(&job.panic).take() {
        resume_unwind(payload);
    }
}

/// The closure of a loop, as a pointer to the caller's reference to it. It dangles after the caller has returned.
#[derive(Clone, Copy)]
struct Body(*const ());

// SAFETY: the closure is `Sync`, so threads may share the reference. `Body::call` says when they may use it.
unsafe impl Send for Body {}
// SAFETY: as above.
unsafe impl Sync for Body {}

impl Body {
    fn of(f: &&(dyn Fn(usize) + Sync)) -> Self {
        Self(std::ptr::from_ref(f).cast())
    }

    /// # Safety
    /// The reference that this was made from is still borrowed.
    unsafe fn call(self, i: usize) {
        // SAFETY: it has this type by construction, and is alive as the caller guarantees.
        let f = unsafe { *self.0.cast::<&(dyn Fn(usize) + Sync)>() };
        f(i);
    }
}

/// One parallel loop. Helpers hold it by `Arc`, so that late ones can find that it is over.
struct Job {
    /// Borrowed from the caller: it must not be called when the crew is closed and no helper is working.
    body: Body,
    count: usize,
    /// The next index to process.
    next: AtomicUsize,
    /// The helpers that are working.
    crew: Crew,
    /// Number of helpers that were not woken yet.
    to_recruit: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    caller: Thread,
    pool: Arc<ThreadPool>,
}

impl Job {
    /// Works until no index is left. Every worker also wakes others, so that the cost of waking (some 3 µs each) is shared, and the number
    /// of workers doubles instead of growing by one.
    ///
    /// # Safety
    /// The closure is still borrowed: it is for the caller of the loop, and for a helper between `Crew::begin` and `Crew::end`, because
    /// `CloseAndWait` waits for these.
    unsafe fn work(self: &Arc<Self>) {
        let outer = INSIDE.replace(true);
        self.recruit();
        loop {
            self.recruit();
            let i = self.next.fetch_add(1, Relaxed);
            if i >= self.count {
                break;
            }
            // SAFETY: as the caller guarantees.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| unsafe { self.body.call(i) })) {
                self.next.store(self.count, Relaxed);
                lock(&self.panic).get_or_insert(payload);
            }
        }
        INSIDE.set(outer);
    }

    /// Wakes one more helper if allowed and if an index is left for it.
    fn recruit(self: &Arc<Self>) {
        let (left, one_less) = (&self.to_recruit, |n: usize| n.checked_sub(1));
        let more = self.next.load(Relaxed) < self.count;
        if more && left.fetch_update(Relaxed, Relaxed, one_less).is_ok() {
            let job = Arc::clone(self);
            self.pool.spawn(move || job.help());
        }
    }

    /// The work of a helper: nothing if the job is closed.
    fn help(self: &Arc<Self>) {
        if !self.crew.begin() {
            return;
        }
        // SAFETY: the loop was open when this helper began, so its caller waits until the helper ends.
        unsafe { self.work() };
        if self.crew.end() {
            self.caller.unpark();
        }
    }
}

/// Closes the job when dropped, also on unwinding, and waits for the helpers that are working.
struct CloseAndWait<'a>(&'a Job);

impl Drop for CloseAndWait<'_> {
    fn drop(&mut self) {
        let crew = &self.0.crew;
        crew.close();
        let start = Instant::now();
        while !crew.is_done() {
            if start.elapsed() < SPIN {
                std::hint::spin_loop();
            } else {
                thread::park();
            }
        }
    }
}

/// State of one process. A forked child has only the thread that forked, and other threads may have held locks: so it never touches its
/// parent's `Process`, and makes its own.
#[derive(Default)]
struct Process {
    id: u32,
    workers: Mutex<Workers>,
}

/// `pool` has `count` threads. It is `None` until it is needed, and if the system refuses to start that many threads.
#[derive(Default)]
struct Workers {
    count: usize,
    pool: Option<Arc<ThreadPool>>,
}

static PROCESS: AtomicPtr<Process> = AtomicPtr::new(std::ptr::null_mut());

fn process() -> &'static Process {
    let id = std::process::id();
    loop {
        let known = PROCESS.load(Acquire);
        // SAFETY: null, or the leaked box that is stored below: initialised, never freed, never mutated.
        if let Some(process) = unsafe { known.as_ref() }
            && process.id == id
        {
            return process;
        }
        let own = Process { id, ..Process::default() };
        // If another thread is faster, this small box is leaked and the other one is found in the next iteration.
        let _ = PROCESS.compare_exchange(known, Box::leak(Box::new(own)), AcqRel, Acquire);
    }
}

/// A pool with at least as many helpers as [`num_threads`] requires. It only ever grows; idle threads sleep.
fn pool() -> Option<Arc<ThreadPool>> {
    let mut workers = lock(&process().workers);
    let wanted = num_threads().max(2) - 1;
    if workers.count < wanted || (workers.pool.is_none() && workers.count != wanted) {
        let built = ThreadPoolBuilder::new().num_threads(wanted).thread_name(|i| format!("tapegrad-{i}")).build();
        workers.pool = built.ok().map(Arc::new);
        workers.count = wanted;
    }
    workers.pool.clone()
}

/// No lock of this file is held while `f` runs, so a poisoned lock guards consistent data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `test` with this number of threads. The number is global, so tests that depend on it run here, one at a time.
#[cfg(test)]
pub(crate) fn with_threads<R>(n: usize, test: impl FnOnce() -> R) -> R {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = lock(&ONE);
    let before = num_threads();
    set_num_threads(n);
    let result = test();
    set_num_threads(before);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails unless two ranges run concurrently: each waits until both have begun.
    fn two_meet() {
        let (begun, start) = (AtomicUsize::new(0), Instant::now());
        for_each_range(2, 1, |_| {
            begun.fetch_add(1, AcqRel);
            while begun.load(Acquire) < 2 {
                assert!(start.elapsed() < Duration::from_secs(30), "no helper");
                thread::yield_now();
            }
        });
    }

    #[test]
    fn the_same_ranges_cover_every_item_once_for_any_thread_count() {
        for (n, grain) in [(0, 3), (1, 1), (7, 0), (10, 3), (1001, 17), (5, usize::MAX)] {
            let check = || {
                let ranges = map_ranges(n, grain, |range| range);
                let starts = ranges.iter().map(|range| range.start);
                assert!(starts.eq((0..n).step_by(grain.max(1))), "{ranges:?}");
                assert!(ranges.into_iter().flatten().eq(0..n));
                let mut out = vec![0; n];
                for_each_chunk_mut(&mut out, grain, |start, chunk| {
                    (start + 1..).zip(chunk).for_each(|(i, x)| *x += i);
                });
                assert!(out.into_iter().eq(1..=n));
            };
            for threads in [1, 2, 7] {
                with_threads(threads, check);
            }
        }
    }

    #[test]
    fn helpers_take_part_and_a_nested_loop_is_serial() {
        with_threads(2, || {
            two_meet();
            for_each_range(8, 1, |_| {
                let me = thread::current().id();
                for_each_range(8, 1, |_| assert_eq!(thread::current().id(), me));
            });
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_next_loop_works() {
        with_threads(3, || {
            for bad in 0..9 {
                let all = || for_each_range(9, 1, |r| assert!(r.start != bad, "range {bad}"));
                let payload = catch_unwind(all).expect_err("a panic");
                assert_eq!(payload.downcast_ref(), Some(&format!("range {bad}")));
            }
            two_meet();
        });
    }

    #[test]
    fn several_callers_at_once_and_changing_thread_counts() {
        let caller = |first: usize| {
            for n in 0..400 {
                set_num_threads(1 + (n + first) % 5);
                let data: Vec<usize> = (first..first + n).collect();
                let sums = map_ranges(n, 7, |range| data[range].iter().sum::<usize>());
                assert_eq!(sums.iter().sum::<usize>(), data.iter().sum::<usize>());
            }
        };
        with_threads(4, || {
            thread::scope(|s| [1, 2, 3, 4, 5, 6].map(|i| s.spawn(move || caller(i))).len());
        });
    }

    #[test]
    fn grain_and_default_thread_count() {
        for (n, ns) in [(0, 9.0), (39_000, 1.0), (9, f64::NAN), (9, -1.0)] {
            assert_eq!(grain(n, ns), n.max(1), "{n} {ns}");
        }
        assert_eq!([grain(10, 1e6), grain(40_000, 1.0)], [1, 20_032]);
        for ignored in ["0", "-1", "x"] {
            assert_eq!(default_threads(Some(ignored)), default_threads(None));
        }
        assert_eq!(default_threads(Some(" 3 ")), 3);
    }
}
