//! Connectionist temporal classification (Graves et al. 2006): the probability of a sequence of labels, summed over all alignments with
//! blanks and repetitions, and its gradient.

use crate::array::{Element, alloc_check};
use crate::kernel::math::Real;
use crate::kernel::parallel;

/// The sizes of a batch of log-probabilities: steps by sequences by classes.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Steps of the longest sequence.
    pub steps: usize,
    /// Sequences.
    pub count: usize,
    /// Number of classes, including the blank.
    pub classes: usize,
    /// The class that stands for no label.
    pub blank: usize,
    /// The labels of each sequence.
    pub labels: &'a [Vec<usize>],
    /// Steps of each sequence.
    pub lengths: &'a [usize],
}

const NEVER: f64 = f64::NEG_INFINITY;

/// ln(eᵃ + eᵇ); -∞ for two of them.
fn log_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == NEVER { high } else { high + (low - high).exp().ln_1p() }
}

impl Batch<'_> {
    /// The label at position `s` of sequence `n`, with blanks between labels and around them.
    fn label(&self, n: usize, s: usize) -> usize {
        if s.is_multiple_of(2) { self.blank } else { self.labels[n][s / 2] }
    }

    /// Whether position `s` can be reached from position `s - 2`.
    fn skips(&self, n: usize, s: usize) -> bool {
        s % 2 == 1 && s > 1 && self.labels[n][s / 2] != self.labels[n][s / 2 - 1]
    }

    /// -ln p of each sequence, and the derivatives with respect to all elements of `x` if `gradient` is given.
    pub fn losses<T: Real + Element>(&self, x: &[T], losses: &mut [T], gradient: Option<&mut [T]>) {
        let mut results = alloc_check::filled((0.0, Vec::new()), self.count);
        let with_gradient = gradient.is_some();
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let cost = 40.0 * (self.steps * self.labels.iter().map(Vec::len).max().unwrap_or(0)) as f64;
        parallel::for_each_chunk_mut(&mut results, parallel::grain(self.count, cost), |start, chunk| {
            for (i, out) in chunk.iter_mut().enumerate() {
                *out = self.sequence(x, start + i, with_gradient);
            }
        });
        for (loss, r) in losses.iter_mut().zip(&results) {
            *loss = T::lit(r.0);
        }
        let Some(gradient) = gradient else { return };
        gradient.fill(T::lit(0.0));
        for (n, (_, slopes)) in results.iter().enumerate() {
            for (t, row) in slopes.chunks_exact(self.classes.max(1)).enumerate() {
                let at = (t * self.count + n) * self.classes;
                gradient[at..at + self.classes].iter_mut().zip(row).for_each(|(o, x)| *o = T::lit(*x));
            }
        }
    }

    /// The loss of one sequence, and its derivatives for each step and class.
    fn sequence<T: Real + Element>(&self, x: &[T], n: usize, with_gradient: bool) -> (f64, Vec<f64>) {
        let (steps, places) = (self.lengths[n], 2 * self.labels[n].len() + 1);
        let at = |t: usize, class: usize| x[(t * self.count + n) * self.classes + class].to_scalar().as_f64();
        if steps == 0 {
            return (if places == 1 { 0.0 } else { f64::INFINITY }, Vec::new());
        }
        let mut forward = alloc_check::filled(NEVER, steps * places);
        for t in 0..steps {
            for s in 0..places {
                let before = |back: usize| if t > 0 && s >= back { forward[(t - 1) * places + s - back] } else { NEVER };
                let reached = if t == 0 {
                    if s < 2 { 0.0 } else { NEVER }
                } else {
                    let two = if self.skips(n, s) { before(2) } else { NEVER };
                    log_add(log_add(before(0), before(1)), two)
                };
                forward[t * places + s] = reached + at(t, self.label(n, s));
            }
        }
        let last = &forward[(steps - 1) * places..];
        let loss = -log_add(last[places - 1], if places > 1 { last[places - 2] } else { NEVER });
        if !with_gradient {
            return (loss, Vec::new());
        }
        (loss, self.slopes(&at, n, loss, &forward))
    }

    /// d loss / d x = -Σ e^(forward + backward + loss) over the positions of a class, where `backward` excludes x of the step itself.
    fn slopes(&self, at: &impl Fn(usize, usize) -> f64, n: usize, loss: f64, forward: &[f64]) -> Vec<f64> {
        let (steps, places) = (self.lengths[n], 2 * self.labels[n].len() + 1);
        let mut slopes = alloc_check::filled(0.0, steps * self.classes);
        let mut next = alloc_check::filled(NEVER, places);
        for t in (0..steps).rev() {
            let own: Vec<f64> = (0..places)
                .map(|s| {
                    if t + 1 == steps {
                        return if s + 2 >= places { 0.0 } else { NEVER };
                    }
                    let to = |ahead: usize| if s + ahead < places { next[s + ahead] } else { NEVER };
                    let two = if s + 2 < places && self.skips(n, s + 2) { to(2) } else { NEVER };
                    log_add(log_add(to(0), to(1)), two)
                })
                .collect();
            for (s, own) in own.iter().enumerate() {
                let class = self.label(n, s);
                slopes[t * self.classes + class] -= (forward[t * places + s] + own + loss).exp();
                next[s] = own + at(t, class);
            }
        }
        slopes
    }
}
