//! Elementwise formulas over [`Field`] as SIMD loops.
//!
//! A formula is compiled into as few loops as it needs, for each type and instruction set. A [`CHEAP`](Pointwise::CHEAP) formula has
//! separate loops for working in place and for adding to a sum, and [some](Pointwise::BESIDE) for operands that are numbers, because there
//! each load counts. All others have one loop, over operands as long as the result. The code around the loop is shared by all formulas of a
//! type: it calls the loop through a pointer.

mod choices;
mod formulas;
mod in_place;
mod pairs;

use std::hint::black_box;
use std::marker::PhantomData;

use crate::array::{Aligned, Array, Body, ByRows, DType, Element, PERIOD, Rows, size_of as size_of_shape};
use crate::dispatch;
use crate::kernel::blocks::{self, Input};
use crate::kernel::field::{Field, Lane};
use crate::kernel::math::Real;
use crate::kernel::simd::{Arch, Careful, Kernel, PART, before_lines, dispatch as simd_dispatch, fence, load_part, store_part, stream};

pub use choices::{CHOOSE, COMPARE};
pub use formulas::{BlockLoop, Floating, Formulas};
pub use in_place::{accumulate, update};
pub use pairs::{Simple, pair};

/// Elements after which a loop checks whether an argument was outside a function's fast range.
const STRIDE: usize = PERIOD;
/// Elements that are computed before they are stored with non-temporal stores.
const LINES: usize = 256;
/// The least elements of a piece: pieces share the cache lines at their ends.
const MIN_PIECE_LEN: usize = 4096;
/// Results of this number of bytes or more bypass the caches: they exceed half of a last-level cache of 16 MB, so they would evict
/// everything, including their own beginning.
const NON_TEMPORAL_BYTES: usize = 8 << 20;

/// The panic message for a formula that leaves a fast range without being marked as `RANGED`.
const UNSAID: &str = "a formula with sin, cos or tan must say that it is RANGED";

/// A formula of `N` operands and two parameters.
pub trait Pointwise<const N: usize>: 'static {
    /// Nanoseconds per element, approximately: decides when threads pay.
    const COST: f64 = 1.0;
    /// Whether loading its operands takes longer than computing: arithmetic and comparisons.
    const CHEAP: bool = false;
    /// Whether it has loops for a number as an operand and for rows: arithmetic that users write, not gradients.
    const BESIDE: bool = false;
    /// Whether the formula contains a function with a fast range (sin, cos, tan). Then a block is repeated with
    /// [`Careful`] lanes if an argument was outside that range.
    const RANGED: bool = false;
    /// Whether the formula equals its second operand when the first is one.
    const PASSES: bool = false;
    /// The formula.
    fn eval<F: Field>(x: [F; N], p: [F; 2]) -> F;
}

/// A loop over operands as long as the result. The last argument says whether it uses non-temporal stores.
type Piece<T, const N: usize> = fn(&[&[T]; N], &mut [T], [f64; 2], bool);

/// A loop over rows with the given number of columns.
type PieceOfRows<T, const N: usize> = fn(&[f64; 2], [Rows<'_, T>; N], usize, &mut [T]);

/// The loops of a formula, for one type.
struct Loops<T: Element, const N: usize> {
    piece: Piece<T, N>,
    /// For a formula that reads a number operand once. Then `piece` accepts such a number, too.
    rows: Option<PieceOfRows<T, N>>,
}

/// The loops of a formula, by type.
struct Of<P, T, const N: usize>(PhantomData<(P, T)>);

impl<P: Pointwise<N>, T: Real + Element, const N: usize> Of<P, T, N> {
    /// Whether a number operand is read once.
    const ONCE: bool = N == 2 && P::BESIDE;
    const LOOPS: Loops<T, N> = Loops { piece: piece::<P, T, N>, rows: if Self::ONCE { Some(by_rows::<P, T, N>) } else { None } };
}

fn piece<P: Pointwise<N>, T: Real + Element, const N: usize>(inputs: &[&[T]; N], out: &mut [T], params: [f64; 2], non_temporal: bool) {
    simd_dispatch(Loop::<P, T, N> { inputs, out, params, non_temporal, formula: PhantomData });
}

fn by_rows<P: Pointwise<N>, T: Real + Element, const N: usize>(params: &[f64; 2], inputs: [Rows<'_, T>; N], columns: usize, out: &mut [T]) {
    simd_dispatch(RowLoop::<P, T, N> { params, inputs, columns, out, formula: PhantomData });
}

struct Loop<'a, P, T, const N: usize> {
    /// By reference: they were just written in parts, and moving them as a whole is slow.
    inputs: &'a [&'a [T]; N],
    out: &'a mut [T],
    params: [f64; 2],
    /// Whether the result is written with non-temporal stores.
    non_temporal: bool,
    formula: PhantomData<P>,
}

impl<P: Pointwise<N>, T: Real + Element, const N: usize> Loop<'_, P, T, N> {
    /// A piece of the result; operands are as long, or they are numbers that are read once.
    #[inline(always)]
    fn piece<A: Arch>(inputs: &[&[T]; N], out: &mut [T], params: [f64; 2]) {
        #[allow(clippy::collapsible_if, reason = "a condition of its own: without it the loops are not even compiled")]
        if const { Of::<P, T, N>::ONCE } {
            if inputs.iter().any(|s| s.len() < out.len()) {
                return beside_number::<P, T, A, N>(inputs, out, params);
            }
        }
        if P::RANGED && A::PLAIN {
            return careful::<P, T, N>(inputs, out, params);
        }
        let careless = pass::<P, T, A, N>(*inputs, out, params);
        debug_assert!(P::RANGED || !careless, "{}", UNSAID);
        #[allow(clippy::collapsible_if, reason = "as above")]
        if const { P::RANGED } {
            if careless {
                careful::<P, T, N>(inputs, out, params);
            }
        }
    }
}

impl<P: Pointwise<N>, T: Real + Element, const N: usize> Kernel for Loop<'_, P, T, N> {
    type Output = ();
    const WIDE: bool = !P::CHEAP;

    #[inline(always)]
    fn run<A: Arch>(self) {
        let (params, whole, non_temporal) = (self.params, self.out.len(), self.non_temporal && !A::PLAIN);
        let mut room;
        let lines: &mut [T] = if non_temporal {
            room = Aligned([T::lit(0.0); LINES]);
            &mut room.0
        } else {
            &mut []
        };
        // Operands that are reused periodically are as long as a stride.
        let repeats = !Of::<P, T, N>::ONCE && self.inputs.iter().any(|s| s.len() < whole);
        let width = if non_temporal {
            LINES
        } else if P::RANGED || repeats {
            STRIDE
        } else {
            whole
        };
        let first = if non_temporal { before_lines(self.out) } else { 0 };
        let (mut done, mut rest) = (0, self.out);
        while done < whole {
            let n = if done < first { first } else { width.min(whole - done) };
            let (out, tail) = rest.split_at_mut(n);
            let inputs = each(self.inputs, &[][..], |s| match s.len() {
                1 => s,
                m if m < whole => &s[..n],
                _ => &s[done..done + n],
            });
            Self::piece::<A>(&inputs, if non_temporal { &mut lines[..n] } else { &mut *out }, params);
            if non_temporal {
                stream::<T, A>(&lines[..n], out);
            }
            (done, rest) = (done + n, tail);
        }
        if non_temporal {
            fence();
        }
    }
}

/// What [`map`] computes from its operands.
struct Formula<T: Element, const N: usize> {
    params: [f64; 2],
    /// Whether long pieces are written with non-temporal stores.
    non_temporal: bool,
    loops: &'static Loops<T, N>,
}

impl<T: Element, const N: usize> Body<T, T, N> for Formula<T, N> {
    fn piece(&self, inputs: &[&[T]; N], out: &mut [T]) {
        let non_temporal = self.non_temporal && out.len() >= MIN_PIECE_LEN;
        (self.loops.piece)(inputs, out, self.params, non_temporal);
    }

    fn by_rows(&self) -> Option<&dyn ByRows<T, T, N>> {
        if self.loops.rows.is_some() { Some(self) } else { None }
    }
}

impl<T: Element, const N: usize> ByRows<T, T, N> for Formula<T, N> {
    fn rows(&self, mut inputs: [Rows<'_, T>; N], columns: usize, out: &mut [T]) {
        match self.loops.rows {
            Some(rows) if !self.non_temporal || columns < MIN_PIECE_LEN => rows(&self.params, inputs, columns, out),
            _ => out.chunks_exact_mut(columns).for_each(|out| self.piece(&inputs.each_mut().map(Rows::next_row), out)),
        }
    }
}

/// All rows in one loop: for rows of a hundred elements, one call per row would take more than half of the time.
struct RowLoop<'a, P, T, const N: usize> {
    params: &'a [f64; 2],
    inputs: [Rows<'a, T>; N],
    columns: usize,
    out: &'a mut [T],
    formula: PhantomData<P>,
}

impl<P: Pointwise<N>, T: Real + Element, const N: usize> Kernel for RowLoop<'_, P, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self) {
        // Copied to locals: otherwise the compiler must assume that writing the result changes them.
        let (mut rows, params) = (self.inputs, *self.params);
        for out in self.out.chunks_exact_mut(self.columns) {
            let mut inputs = [&[][..]; N];
            for i in 0..N {
                inputs[i] = rows[i].next_row();
            }
            if const { A::PLAIN } {
                piece::<P, T, N>(&inputs, out, params, false);
            } else {
                Loop::<P, T, N>::piece::<A>(&inputs, out, params);
            }
        }
    }
}

/// `f` of each operand, unrolled. In a loop, as in `map`, the compiler would learn the lengths too late: the loop over elements would check
/// each of them, or handle the last sixteen in a slow loop.
#[inline(always)]
fn each<S: Copy, R: Copy, const N: usize>(operands: &[S; N], none: R, f: impl Fn(S) -> R) -> [R; N] {
    const { assert!(N <= 5) };
    let mut out = [none; N];
    if N > 0 {
        out[0] = f(operands[0]);
    }
    if N > 1 {
        out[1] = f(operands[1]);
    }
    if N > 2 {
        out[2] = f(operands[2]);
    }
    if N > 3 {
        out[3] = f(operands[3]);
    }
    if N > 4 {
        out[4] = f(operands[4]);
    }
    out
}

/// Computes the formula. Returns whether an argument was outside a fast range.
#[inline(always)]
fn pass<P: Pointwise<N>, T: Real + Element, A: Arch, const N: usize>(inputs: [&[T]; N], out: &mut [T], params: [f64; 2]) -> bool {
    let n = out.len();
    let inputs = each(&inputs, &[][..], |s| &s[..n]);
    if const { !A::MASKS } {
        return strip::<P, T, A, N>(inputs, out, params);
    }
    // Whole blocks in place, then the rest in a separate block, all by the same loop.
    let whole = n / PART * PART;
    let mut out_of_range = false;
    for last in [false, true] {
        // `black_box`: for a loop over one block the compiler would unroll the formula sixteen times.
        let last = black_box(last);
        if (if last { n - whole } else { whole }) == 0 {
            continue;
        }
        let (mut blocks, mut block) = ([[T::default(); PART]; N], [T::default(); PART]);
        if last {
            blocks = each(&inputs, [T::default(); PART], |s| load_part::<T, A>(&s[whole..]));
        }
        let (from, to) =
            if last { (each(&std::array::from_fn(|i| &blocks[i][..]), &[][..], |s: &[T]| s), &mut block[..]) } else { (inputs, &mut out[..whole]) };
        out_of_range |= strip::<P, T, A, N>(from, to, params);
        if last {
            store_part::<T, A>(&block, &mut out[whole..]);
        }
    }
    out_of_range
}

/// The formula, element by element. For the [masked](Arch::MASKS) set by whole blocks, so that the compiler makes no second loop for a
/// remainder.
#[inline(always)]
fn strip<P: Pointwise<N>, T: Real, A: Arch, const N: usize>(inputs: [&[T]; N], out: &mut [T], params: [f64; 2]) -> bool {
    let p = params.map(Lane::<T, A>::lit);
    let n = if A::MASKS { out.len() / PART * PART } else { out.len() };
    let mut out_of_range = false;
    let inputs = each(&inputs, &[][..], |s| &s[..n]);
    #[allow(clippy::needless_range_loop, reason = "an iterator ends at an address, from which no bound of the others follows")]
    for i in 0..n {
        let lane = P::eval(each(&inputs, Lane::lit(0.0), |s| Lane::<T, A>::new(s[i])), p);
        out[i] = plain::<T, A>(lane.value());
        out_of_range |= lane.out_of_range();
    }
    out_of_range
}

/// `x`. For the [plain](Arch::PLAIN) set it is hidden from the compiler, so that no second, wide loop is made.
#[inline(always)]
fn plain<T: Real, A: Arch>(x: T) -> T {
    if A::PLAIN { x.opaque() } else { x }
}

/// Repeats a block in which an argument was outside a fast range.
#[cold]
#[inline(never)]
fn careful<P: Pointwise<N>, T: Real + Element, const N: usize>(inputs: &[&[T]; N], out: &mut [T], params: [f64; 2]) {
    simd_dispatch(CarefulLoop::<P, T, N> { inputs, out, params, formula: PhantomData });
}

struct CarefulLoop<'a, P, T, const N: usize> {
    inputs: &'a [&'a [T]; N],
    out: &'a mut [T],
    params: [f64; 2],
    formula: PhantomData<P>,
}

impl<P: Pointwise<N>, T: Real + Element, const N: usize> Kernel for CarefulLoop<'_, P, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self) {
        pass::<P, T, Careful<A>, N>(*self.inputs, self.out, self.params);
    }
}

/// The formula of two operands, at least one of which is a constant number that is read once.
#[inline(always)]
fn beside_number<P: Pointwise<N>, T: Real + Element, A: Arch, const N: usize>(inputs: &[&[T]; N], out: &mut [T], params: [f64; 2]) {
    let n = out.len();
    match inputs.each_ref().map(|s| s.len() < n)[..] {
        [true, false] => number_and::<P, T, A, N, 1>(inputs, out, params),
        [false, true] => number_and::<P, T, A, N, 0>(inputs, out, params),
        _ => {
            let (first, rest) = out.split_at_mut(1);
            pass::<P, T, A, N>(*inputs, first, params);
            rest.fill(first[0]);
        }
    }
}

/// The same with the other operand at position `AT`.
#[inline(always)]
fn number_and<P: Pointwise<N>, T: Real + Element, A: Arch, const N: usize, const AT: usize>(inputs: &[&[T]; N], out: &mut [T], params: [f64; 2]) {
    let p = params.map(Lane::<T, A>::lit);
    let number = Lane::<T, A>::new(inputs[1 - AT][0]);
    let n = out.len();
    let x = &inputs[AT][..n];
    for i in 0..n {
        let mut both = [number; N];
        both[AT] = Lane::new(x[i]);
        let lane = P::eval(both, p);
        debug_assert!(!lane.out_of_range(), "{}", UNSAID);
        out[i] = plain::<T, A>(lane.value());
    }
}

/// The formula over arrays of one floating dtype, broadcast to `shape`.
///
/// # Panics
/// When the dtype is not floating or the shapes do not broadcast: bugs of the caller.
#[must_use]
pub fn map<P: Pointwise<N>, const N: usize>(inputs: [Input<'_>; N], shape: &[usize], dtype: DType, params: [f64; 2]) -> Array {
    dispatch!(float dtype, T => with_loops::<T, N>(inputs, shape, P::COST, params, &const { Of::<P, T, N>::LOOPS }),
        else unreachable!("formulas are over floating dtypes"))
}

/// [`map`] for any formula with this number of operands.
fn with_loops<T: Element, const N: usize>(
    inputs: [Input<'_>; N],
    shape: &[usize],
    cost: f64,
    params: [f64; 2],
    loops: &'static Loops<T, N>,
) -> Array {
    let non_temporal = size_of_shape(shape) * size_of::<T>() > NON_TEMPORAL_BYTES;
    blocks::zip::<T, T, N>(inputs, shape, cost * width::<T>(), loops.rows.is_some(), &Formula { params, non_temporal, loops })
}

/// The relative cost of an element: doubles take twice as long.
fn width<T: Element>() -> f64 {
    if T::DTYPE == DType::F64 { 2.0 } else { 1.0 }
}

#[cfg(test)]
#[allow(clippy::float_cmp, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "these results are exact, these numbers small")]
mod tests {
    use super::*;
    use crate::array::Scalar;
    #[cfg(target_arch = "x86_64")]
    use crate::kernel::simd::{Set, dispatch_with};

    enum Axpy {}
    impl Pointwise<2> for Axpy {
        const CHEAP: bool = true;
        const BESIDE: bool = true;
        fn eval<F: Field>([x, y]: [F; 2], [a, _]: [F; 2]) -> F {
            a * x + y
        }
    }

    impl Pointwise<1> for Axpy {
        fn eval<F: Field>([x]: [F; 1], [a, _]: [F; 2]) -> F {
            a * x
        }
    }

    enum Sine {}
    impl Pointwise<2> for Sine {
        const RANGED: bool = true;
        fn eval<F: Field>([x, y]: [F; 2], _: [F; 2]) -> F {
            x.sin() + y
        }
    }
    impl Pointwise<1> for Sine {
        const RANGED: bool = true;
        fn eval<F: Field>([x]: [F; 1], _: [F; 2]) -> F {
            x.sin()
        }
    }

    #[test]
    fn maps_and_updates_agree() {
        let x = Array::from_slice(&(0_u16..1000).map(f32::from).collect::<Vec<_>>(), &[1000]);
        let y = map::<Axpy, 2>([Input::from(&x), Input::Scalar(Scalar::Float(1.0))], &[1000], DType::F32, [2.0, 0.0]);
        let mut z = x.clone();
        update::<Axpy, 1, 2>(&mut z, [Input::Scalar(Scalar::Float(1.0))], [2.0, 0.0]);
        assert_eq!(y.to_vec::<f32>(), z.to_vec::<f32>());
        assert!((y.to_vec::<f32>()[999] - 1999.0).abs() < 1e-3);
    }

    /// Compares `update` and `accumulate` with [`map`] on ramps.
    fn in_place<P: Pointwise<1> + Pointwise<2>>(n: usize, scale: f64) {
        let ramp = |first: usize| Array::from_slice(&(first..first + n).map(|i| scale * i as f64 / 8.0).collect::<Vec<_>>(), &[n]);
        let (x, y) = (ramp(0), ramp(3));
        let both = map::<P, 2>([Input::from(&x), Input::from(&y)], &[n], DType::F64, [2.0, 0.0]);
        let mut updated = x.copy();
        update::<P, 1, 2>(&mut updated, [Input::from(&y)], [2.0, 0.0]);
        assert_eq!(updated.to_vec::<f64>(), both.to_vec::<f64>(), "{n}");
        let one = map::<P, 1>([Input::from(&y)], &[n], DType::F64, [2.0, 0.0]).to_vec::<f64>();
        let mut sum = x.copy();
        accumulate::<P, 1>(&mut sum, [Input::from(&y)], [2.0, 0.0]);
        let want: Vec<f64> = x.to_vec::<f64>().iter().zip(one).map(|(x, y)| x + y).collect();
        assert_eq!(sum.to_vec::<f64>(), want, "{n}");
    }

    #[test]
    fn in_place_is_as_written_first() {
        for n in [0, 1, 3, 16, 17, 255, 256, 257, 5000] {
            in_place::<Axpy>(n, 0.3);
            in_place::<Sine>(n, 0.3);
            // Beyond the fast range of sin, a whole block is repeated with its old values.
            in_place::<Sine>(n, 1e300);
        }
    }

    #[test]
    fn a_number_on_either_side() {
        // The last length uses non-temporal stores.
        for n in [1, 16, 17, 256, 600, 5000, 1_050_000] {
            let x = Array::from_slice(&(0..n).map(|i| f64::from(i) / 8.0).collect::<Vec<_>>(), &[n as usize]);
            let (c, shape) = (Input::Scalar(Scalar::Float(0.7)), [n as usize]);
            let right = map::<Axpy, 2>([Input::from(&x), c], &shape, DType::F64, [2.0, 0.0]).to_vec::<f64>();
            let left = map::<Axpy, 2>([c, Input::from(&x)], &shape, DType::F64, [2.0, 0.0]).to_vec::<f64>();
            let both = map::<Axpy, 2>([c, c], &shape, DType::F64, [2.0, 0.0]).to_vec::<f64>();
            for (i, x) in x.to_vec::<f64>().iter().enumerate() {
                assert_eq!((right[i], left[i], both[i]), (2.0 * x + 0.7, 2.0 * 0.7 + x, 2.0 * 0.7 + 0.7));
            }
        }
    }

    #[test]
    fn rows_and_columns_meet_rows_of_any_length() {
        // The last shape uses non-temporal stores.
        for (rows, columns) in [(200, 3), (3, 20), (40, 17), (30, 100), (7, 300), (260, 4100)] {
            let ramp = |shape: &[usize]| Array::from_slice(&(0..size_of_shape(shape)).map(|i| i as f64 / 8.0).collect::<Vec<_>>(), shape);
            let (x, row, column) = (ramp(&[rows, columns]), ramp(&[columns]), ramp(&[rows, 1]));
            let axpy =
                |a: &Array, b: &Array| map::<Axpy, 2>([Input::from(a), Input::from(b)], &[rows, columns], DType::F64, [2.0, 0.0]).to_vec::<f64>();
            let at = |r: usize, c: usize| ((r * columns + c) as f64 / 8.0, c as f64 / 8.0, r as f64 / 8.0);
            let all = |f: fn((f64, f64, f64)) -> f64| (0..rows * columns).map(|i| f(at(i / columns, i % columns))).collect::<Vec<_>>();
            assert!(axpy(&x, &row) == all(|(x, y, _)| 2.0 * x + y), "{rows} x {columns}");
            assert!(axpy(&row, &x) == all(|(x, y, _)| 2.0 * y + x), "{rows} x {columns}");
            assert!(axpy(&x, &column) == all(|(x, _, z)| 2.0 * x + z), "{rows} x {columns}");
            assert!(axpy(&column, &x) == all(|(x, _, z)| 2.0 * z + x), "{rows} x {columns}");
            assert!(axpy(&column, &row) == all(|(_, y, z)| 2.0 * z + y), "{rows} x {columns}");
        }
    }

    /// All functions that take long.
    enum Long {}
    impl Pointwise<2> for Long {
        fn eval<F: Field>([x, y]: [F; 2], _: [F; 2]) -> F {
            x.exp() + y.ln() * x.tanh() + x.gelu() * y.sigmoid() + y.powf(x) + (x.erf() + x.silu()) / y.log2()
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn wide_registers_give_the_bits_of_narrow_ones() {
        if !Set::Avx512.is_here() {
            return;
        }
        for n in (0..70).chain([255, 256, 257, 1000]) {
            let x: Vec<f32> = (0..n).map(|i| i as f32 / 50.0 - 3.0).collect();
            let y: Vec<f32> = (0..n).map(|i| (i * 7919 % 1000) as f32 / 100.0 + 0.01).collect();
            let out = [Set::Avx512, Set::Avx2].map(|set| {
                let mut out = vec![0.0_f32; n];
                let inputs = &[&x[..], &y[..]];
                dispatch_with(set, Loop::<Long, f32, 2> { inputs, out: &mut out, params: [0.0; 2], non_temporal: false, formula: PhantomData });
                out.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            });
            assert_eq!(out[0], out[1], "{n}");
        }
    }

    #[test]
    fn far_arguments_are_right() {
        let x = Array::from_slice(&[1.0_f64, 1e300, 3.0], &[3]);
        let y = map::<Sine, 1>([Input::from(&x)], &[3], DType::F64, [0.0; 2]).to_vec::<f64>();
        for (a, b) in y.iter().zip([1.0_f64, 1e300, 3.0]) {
            assert!((a - b.sin()).abs() < 1e-15);
        }
    }
}
