//! LSTM and GRU over whole sequences: the part of each step that needs the step before, and its gradients.
//!
//! The contribution of the inputs is one matrix product for all steps, computed before. A step adds the product with the previous state,
//! and applies the gates. The gradient of the weight is one product for all steps, computed after the loop.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]

use crate::array::{Element, alloc_check};
use crate::kernel::math::{Real, fma, sigmoid, tanh};
use crate::kernel::matmul::{MatElement, MatMut, MatRef, matmul};
use crate::kernel::simd::{Arch, Kernel, dispatch};

/// Element types of recurrences.
pub trait Number: Real + Element + MatElement {}
impl<T: Real + Element + MatElement> Number for T {}

/// Sizes of sequences: steps by batch by hidden elements.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Steps.
    pub steps: usize,
    /// Sequences.
    pub batch: usize,
    /// Elements of a state.
    pub hidden: usize,
}

impl Sizes {
    /// Elements of the states of one step.
    #[must_use]
    pub fn state(&self) -> usize {
        self.batch * self.hidden
    }

    /// The state before step `t`.
    fn before<'a, T>(&self, first: &'a [T], all: &'a [T], t: usize) -> &'a [T] {
        if t == 0 { first } else { &all[(t - 1) * self.state()..t * self.state()] }
    }
}

fn rows<T>(all: &[T], rows: usize, columns: usize) -> MatRef<'_, T> {
    MatRef::new(all, 0, rows, columns, columns.cast_signed(), 1)
}

fn rows_mut<T>(all: &mut [T], rows: usize, columns: usize) -> MatMut<'_, T> {
    MatMut::new(all, 0, rows, columns, columns.cast_signed(), 1)
}

/// Σ over all steps of slopesᵀ · (state before): the gradient of a recurrent weight.
fn weight_gradient<T: Number>(s: &Sizes, slopes: &[T], first: &[T], states: &[T], gates: usize, out: &mut [T]) {
    if s.steps == 0 {
        return out.fill(T::lit(0.0));
    }
    let one = s.batch * gates * s.hidden;
    matmul(rows(&slopes[..one], s.batch, gates * s.hidden).t(), rows(first, s.batch, s.hidden), rows_mut(out, gates * s.hidden, s.hidden), false);
    if s.steps > 1 {
        let n = (s.steps - 1) * s.batch;
        let (slopes, states) = (&slopes[one..], &states[..n * s.hidden]);
        matmul(rows(slopes, n, gates * s.hidden).t(), rows(states, n, s.hidden), rows_mut(out, gates * s.hidden, s.hidden), true);
    }
}

/// An LSTM. `gates` is the contribution of the inputs, (T, B, 4H) in the order i f g o, and is overwritten with the gates; `w` is (4H, H).
pub fn lstm<T: Number>(s: &Sizes, w: &[T], [h0, c0]: [&[T]; 2], gates: &mut [T], [out, cells]: [&mut [T]; 2]) {
    let (n, width) = (s.state(), 4 * s.hidden);
    for t in 0..s.steps {
        let gates = &mut gates[t * 4 * n..(t + 1) * 4 * n];
        let (done, now) = out.split_at_mut(t * n);
        matmul(rows(s.before(h0, done, t), s.batch, s.hidden), rows(w, width, s.hidden).t(), rows_mut(gates, s.batch, width), true);
        let (old, cells) = cells.split_at_mut(t * n);
        let before = s.before(c0, old, t);
        dispatch(LstmGates { hidden: s.hidden, gates, before, cells: &mut cells[..n], out: &mut now[..n] });
    }
}

struct LstmGates<'a, T> {
    hidden: usize,
    gates: &'a mut [T],
    before: &'a [T],
    cells: &'a mut [T],
    out: &'a mut [T],
}

impl<T: Number> Kernel for LstmGates<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { hidden, gates, before, cells, out } = self;
        let rows = before.chunks_exact(hidden).zip(cells.chunks_exact_mut(hidden)).zip(out.chunks_exact_mut(hidden));
        for (gates, ((before, cells), out)) in gates.chunks_exact_mut(4 * hidden).zip(rows) {
            let (i, rest) = gates.split_at_mut(hidden);
            let (f, rest) = rest.split_at_mut(hidden);
            let (g, o) = rest.split_at_mut(hidden);
            for x in &mut *i {
                *x = sigmoid::<T, A>(*x);
            }
            for x in &mut *f {
                *x = sigmoid::<T, A>(*x);
            }
            for x in &mut *g {
                *x = tanh::<T, A>(*x);
            }
            for x in &mut *o {
                *x = sigmoid::<T, A>(*x);
            }
            for ((c, b), ((i, f), g)) in cells.iter_mut().zip(before).zip(i.iter().zip(f.iter()).zip(g.iter())) {
                *c = fma::<T, A>(*f, *b, *i * *g);
            }
            out.iter_mut().zip(o.iter().zip(cells.iter())).for_each(|(h, (o, c))| *h = *o * tanh::<T, A>(*c));
        }
    }
}

/// The values that an LSTM has computed, and the cotangents of its results.
#[derive(Clone, Copy, Debug)]
pub struct LstmTrace<'a, T> {
    /// (4H, H).
    pub w: &'a [T],
    /// The first state and cell.
    pub first: [&'a [T]; 2],
    /// States, cells and gates of all steps.
    pub all: [&'a [T]; 3],
    /// Cotangents of the states and of the last cell.
    pub cotangents: [&'a [T]; 2],
}

/// The gradients of an LSTM: with respect to the contribution of the inputs, the weight, the first state and the first cell.
pub fn lstm_backward<T: Number>(s: &Sizes, x: &LstmTrace<'_, T>, [dz, dw, dh, dc]: [&mut [T]; 4]) {
    let (n, width) = (s.state(), 4 * s.hidden);
    let [out, cells, gates] = x.all;
    dh.fill(T::lit(0.0));
    dc.copy_from_slice(x.cotangents[1]);
    for t in (0..s.steps).rev() {
        dh.iter_mut().zip(&x.cotangents[0][t * n..]).for_each(|(a, b)| *a = *a + *b);
        let slopes = &mut dz[t * 4 * n..(t + 1) * 4 * n];
        let (gates, cells) = (&gates[t * 4 * n..(t + 1) * 4 * n], [s.before(x.first[1], cells, t), &cells[t * n..(t + 1) * n]]);
        dispatch(LstmSlopes { hidden: s.hidden, gates, cells, slopes, dh, dc });
        matmul(rows(slopes, s.batch, width), rows(x.w, width, s.hidden), rows_mut(dh, s.batch, s.hidden), false);
    }
    weight_gradient(s, dz, x.first[0], out, 4, dw);
}

struct LstmSlopes<'a, T> {
    hidden: usize,
    gates: &'a [T],
    /// The cells before the step and after it.
    cells: [&'a [T]; 2],
    slopes: &'a mut [T],
    dh: &'a [T],
    dc: &'a mut [T],
}

impl<T: Number> Kernel for LstmSlopes<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { hidden: n, gates, cells: [before, after], slopes, dh, dc } = self;
        let one = T::lit(1.0);
        for b in 0..before.len() / n.max(1) {
            let (gates, slopes) = (&gates[b * 4 * n..(b + 1) * 4 * n], &mut slopes[b * 4 * n..(b + 1) * 4 * n]);
            let (before, after, dh, dc) = (&before[b * n..][..n], &after[b * n..][..n], &dh[b * n..][..n], &mut dc[b * n..][..n]);
            for k in 0..n {
                let [i, f, g, o] = [gates[k], gates[n + k], gates[2 * n + k], gates[3 * n + k]];
                let y = tanh::<T, A>(after[k]);
                let c = dc[k] + dh[k] * o * (one - y * y);
                slopes[k] = c * g * i * (one - i);
                slopes[n + k] = c * before[k] * f * (one - f);
                slopes[2 * n + k] = c * i * (one - g * g);
                slopes[3 * n + k] = dh[k] * y * o * (one - o);
                dc[k] = c * f;
            }
        }
    }
}

/// A GRU. `z` is the contribution of the inputs, (T, B, 3H) in the order r z n; `w` is (3H, H), `bias` (3H). `gates` (T, B, 4H) is set to
/// r, z, n and the part of n that r scales.
pub fn gru<T: Number>(s: &Sizes, [z, w, bias, h0]: [&[T]; 4], gates: &mut [T], out: &mut [T]) {
    let (n, width) = (s.state(), 3 * s.hidden);
    let mut product = alloc_check::filled(T::lit(0.0), 3 * n);
    for t in 0..s.steps {
        product.chunks_exact_mut(width.max(1)).for_each(|row| row.copy_from_slice(bias));
        let (done, now) = out.split_at_mut(t * n);
        let before = s.before(h0, done, t);
        matmul(rows(before, s.batch, s.hidden), rows(w, width, s.hidden).t(), rows_mut(&mut product, s.batch, width), true);
        let gates = &mut gates[t * 4 * n..(t + 1) * 4 * n];
        dispatch(GruGates { hidden: s.hidden, z: &z[t * 3 * n..(t + 1) * 3 * n], product: &product, before, gates, out: &mut now[..n] });
    }
}

struct GruGates<'a, T> {
    hidden: usize,
    z: &'a [T],
    product: &'a [T],
    before: &'a [T],
    gates: &'a mut [T],
    out: &'a mut [T],
}

impl<T: Number> Kernel for GruGates<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { hidden: n, z, product, before, gates, out } = self;
        for b in 0..before.len() / n.max(1) {
            let (z, product, gates) = (&z[b * 3 * n..][..3 * n], &product[b * 3 * n..][..3 * n], &mut gates[b * 4 * n..][..4 * n]);
            let (before, out) = (&before[b * n..][..n], &mut out[b * n..][..n]);
            for k in 0..n {
                let r = sigmoid::<T, A>(z[k] + product[k]);
                let u = sigmoid::<T, A>(z[n + k] + product[n + k]);
                let a = product[2 * n + k];
                let y = tanh::<T, A>(fma::<T, A>(r, a, z[2 * n + k]));
                (gates[k], gates[n + k], gates[2 * n + k], gates[3 * n + k]) = (r, u, y, a);
                out[k] = fma::<T, A>(u, before[k] - y, y);
            }
        }
    }
}

/// The gradients of a GRU: with respect to the contribution of the inputs, the weight, the bias and the first state.
pub fn gru_backward<T: Number>(s: &Sizes, [w, h0, out, gates, g]: [&[T]; 5], [dz, dw, db, dh]: [&mut [T]; 4]) {
    let (n, width) = (s.state(), 3 * s.hidden);
    let mut slopes = alloc_check::filled(T::lit(0.0), s.steps * 3 * n);
    dh.fill(T::lit(0.0));
    for t in (0..s.steps).rev() {
        dh.iter_mut().zip(&g[t * n..]).for_each(|(a, b)| *a = *a + *b);
        let now = &mut slopes[t * 3 * n..(t + 1) * 3 * n];
        let (gates, before, dz) = (&gates[t * 4 * n..(t + 1) * 4 * n], s.before(h0, out, t), &mut dz[t * 3 * n..(t + 1) * 3 * n]);
        dispatch(GruSlopes { hidden: s.hidden, gates, before, dz, slopes: now, dh });
        matmul(rows(now, s.batch, width), rows(w, width, s.hidden), rows_mut(dh, s.batch, s.hidden), true);
    }
    weight_gradient(s, &slopes, h0, out, 3, dw);
    db.fill(T::lit(0.0));
    for row in slopes.chunks_exact(width.max(1)) {
        db.iter_mut().zip(row).for_each(|(a, b)| *a = *a + *b);
    }
}

struct GruSlopes<'a, T> {
    hidden: usize,
    gates: &'a [T],
    before: &'a [T],
    dz: &'a mut [T],
    slopes: &'a mut [T],
    dh: &'a mut [T],
}

impl<T: Number> Kernel for GruSlopes<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { hidden: n, gates, before, dz, slopes, dh } = self;
        let one = T::lit(1.0);
        for b in 0..before.len() / n.max(1) {
            let (gates, dz, slopes) = (&gates[b * 4 * n..][..4 * n], &mut dz[b * 3 * n..][..3 * n], &mut slopes[b * 3 * n..][..3 * n]);
            let (before, dh) = (&before[b * n..][..n], &mut dh[b * n..][..n]);
            for k in 0..n {
                let [r, u, y, a] = [gates[k], gates[n + k], gates[2 * n + k], gates[3 * n + k]];
                let dn = dh[k] * (one - u) * (one - y * y);
                let dr = dn * a * r * (one - r);
                let du = dh[k] * (before[k] - y) * u * (one - u);
                (dz[k], dz[n + k], dz[2 * n + k]) = (dr, du, dn);
                (slopes[k], slopes[n + k], slopes[2 * n + k]) = (dr, du, dn * r);
                dh[k] = dh[k] * u;
            }
        }
    }
}
