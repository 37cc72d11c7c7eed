//! Products of matrices in arrays of any layout, over batches, with sums over batch axes: the one loop for `matmul`, `linear`, `vecdot`,
//! `outer` and all their gradients.
//!
//! Nothing is copied: transposes, broadcasts and slices are passed to the kernel as strides. Batch axes that continue the rows, the columns
//! or the summed axis of a product are folded into it. So a stack of matrices times one matrix is a single large product, and so is the
//! gradient of that one matrix.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::array::{Array, DType, Layout, Scalar, Shape, Strides, alloc_check, broadcast_shapes};
use crate::dispatch;
use crate::kernel::blocks::{self, Input};
use crate::kernel::cast::cast;
use crate::kernel::complex;
use crate::kernel::matmul::{self, After, BatchOffsets, MatElement, MatMut, MatRef, ProductShape, Right, matmul, matmul_batch, matmul_then};

/// Which axes of an array form a matrix. All axes before them are batch axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// The last two axes are rows and columns.
    Matrix,
    /// The last two axes are columns and rows.
    Transposed,
    /// The last axis is the only row.
    Row,
    /// The last axis is the only column.
    Column,
    /// One number.
    Single,
}

impl Form {
    /// How many axes the matrix takes.
    #[must_use]
    pub fn axes(self) -> usize {
        match self {
            Self::Matrix | Self::Transposed => 2,
            Self::Row | Self::Column => 1,
            Self::Single => 0,
        }
    }

    /// The same axes as the transposed matrix.
    #[must_use]
    pub fn t(self) -> Self {
        match self {
            Self::Matrix => Self::Transposed,
            Self::Transposed => Self::Matrix,
            Self::Row => Self::Column,
            Self::Column => Self::Row,
            Self::Single => Self::Single,
        }
    }

    /// The axes before the matrix.
    #[must_use]
    pub fn batch(self, shape: &[usize]) -> &[usize] {
        &shape[..shape.len() - self.axes()]
    }

    /// Rows and columns.
    #[must_use]
    pub fn matrix(self, shape: &[usize]) -> (usize, usize) {
        match (self, &shape[shape.len() - self.axes()..]) {
            (Self::Matrix, &[m, n]) | (Self::Transposed, &[n, m]) => (m, n),
            (Self::Row, &[n]) => (1, n),
            (Self::Column, &[m]) => (m, 1),
            _ => (1, 1),
        }
    }

    /// The shape of a batch of `rows` by `cols` matrices.
    #[must_use]
    pub fn shape(self, batch: &[usize], rows: usize, cols: usize) -> Shape {
        let mut shape = Shape::from_slice(batch);
        match self {
            Self::Matrix => shape.extend([rows, cols]),
            Self::Transposed => shape.extend([cols, rows]),
            Self::Row => shape.push(cols),
            Self::Column => shape.push(rows),
            Self::Single => {}
        }
        shape
    }

    /// Row and column strides; 0 for a missing axis.
    fn strides(self, strides: &[isize]) -> (isize, isize) {
        match (self, &strides[strides.len() - self.axes()..]) {
            (Self::Matrix, &[r, c]) | (Self::Transposed, &[c, r]) => (r, c),
            (Self::Row, &[c]) => (0, c),
            (Self::Column, &[r]) => (r, 0),
            _ => (0, 0),
        }
    }
}

/// A batch axis that remains after folding: its size, and the strides of a, b and c along it. The stride of c is 0 if the axis is summed.
#[derive(Clone, Copy, Debug)]
struct Axis {
    size: usize,
    a: isize,
    b: isize,
    c: isize,
}

/// One product of the batch, and the remaining axes of the batch.
#[derive(Debug)]
struct Plan {
    m: usize,
    k: usize,
    n: usize,
    a: (isize, isize),
    b: (isize, isize),
    kept: SmallVec<[Axis; 4]>,
    summed: SmallVec<[Axis; 4]>,
}

/// The strides along the axes of `full`; 0 where the batch of the array is broadcast.
fn batch_strides(layout: &Layout, form: Form, full: &[usize]) -> Strides {
    let batch = form.batch(layout.shape());
    let lead = full.len() - batch.len();
    let mut out: Strides = SmallVec::from_elem(0, full.len());
    for (i, (&n, &s)) in batch.iter().zip(layout.strides()).enumerate() {
        if n != 1 {
            out[lead + i] = s;
        }
    }
    out
}

impl Plan {
    /// The plan for a contiguous c.
    fn new(a: (&Layout, Form), b: (&Layout, Form), c: &Layout, c_form: Form, full: &[usize]) -> Self {
        let ((m, k), (_, n)) = (a.1.matrix(a.0.shape()), b.1.matrix(b.0.shape()));
        let mut plan = Self { m, k, n, a: a.1.strides(a.0.strides()), b: b.1.strides(b.0.strides()), kept: SmallVec::new(), summed: SmallVec::new() };
        let (sa, sb, sc) = (batch_strides(a.0, a.1, full), batch_strides(b.0, b.1, full), batch_strides(c, c_form, full));
        let lead = full.len() - c_form.batch(c.shape()).len();
        for (i, &size) in full.iter().enumerate().filter(|axis| *axis.1 != 1) {
            let axis = Axis { size, a: sa[i], b: sb[i], c: sc[i] };
            let is_kept = i >= lead && c.shape()[i - lead] == size;
            if is_kept { plan.kept.push(axis) } else { plan.summed.push(axis) }
        }
        plan
    }

    /// Merges products, innermost axes first, because c has no gaps.
    fn fold(&mut self) {
        while let Some(&axis) = self.kept.last() {
            if !self.fold_rows(axis) && !self.fold_columns(axis) {
                break;
            }
            self.kept.pop();
        }
        while let Some(&axis) = self.summed.last() {
            let (along_a, along_b) = (self.a.1 * self.k.cast_signed(), self.b.0 * self.k.cast_signed());
            if self.k == 1 {
                (self.a.1, self.b.0) = (axis.a, axis.b);
            } else if axis.a != along_a || axis.b != along_b {
                break;
            }
            self.k *= axis.size;
            self.summed.pop();
        }
    }

    /// If there is one b for the whole axis, and a continues its rows along it: more rows.
    fn fold_rows(&mut self, axis: Axis) -> bool {
        let goes_on = self.m == 1 || axis.a == self.a.0 * self.m.cast_signed();
        let fits = axis.b == 0 && goes_on;
        if fits {
            if self.m == 1 {
                self.a.0 = axis.a;
            }
            self.m *= axis.size;
        }
        fits
    }

    /// If there is one a for the whole axis, and b continues its columns along it: more columns, if c has one row.
    fn fold_columns(&mut self, axis: Axis) -> bool {
        let goes_on = self.n == 1 || axis.b == self.b.1 * self.n.cast_signed();
        let fits = axis.a == 0 && self.m == 1 && goes_on;
        if fits {
            if self.n == 1 {
                self.b.1 = axis.b;
            }
            self.n *= axis.size;
        }
        fits
    }

    fn shape(&self) -> ProductShape {
        ProductShape { m: self.m, k: self.k, n: self.n, a_strides: self.a, b_strides: self.b, c_strides: (self.n.cast_signed(), 1) }
    }
}

/// The offsets of a, b and c for every index of `axes`, in row-major order.
fn places(axes: &[Axis], start: [usize; 3]) -> [SmallVec<[usize; 4]>; 3] {
    let mut out = start.map(|s| SmallVec::from_elem(s, 1));
    for axis in axes {
        for (list, step) in out.iter_mut().zip([axis.a, axis.b, axis.c]) {
            let before: SmallVec<[usize; 4]> = std::mem::take(list);
            alloc_check::reserve_small(list, before.len() * axis.size);
            list.extend(before.iter().flat_map(|&p| (0..axis.size.cast_signed()).map(move |i| (p.cast_signed() + i * step).cast_unsigned())));
        }
    }
    out
}

fn run<T: MatElement>(plan: &Plan, a: &[T], b: &[T], c: &mut [T], starts: [usize; 2], add: bool) {
    let shape = plan.shape();
    let [sa, sb, _] = places(&plan.summed, [starts[0], starts[1], 0]);
    for (i, (&ra, &rb)) in sa.iter().zip(&sb).enumerate() {
        let [oa, ob, oc] = places(&plan.kept, [ra, rb, 0]);
        matmul_batch(a, b, c, &shape, BatchOffsets { a: &oa, b: &ob, c: &oc }, add || i > 0);
    }
}

/// A contraction that is planned once, for operands with fixed layouts. Its result is contiguous.
#[derive(Debug)]
pub struct Planned {
    plan: Plan,
    shape: ProductShape,
    /// `None` unless all products share one right matrix; else whether the rows of that matrix are contiguous.
    right: Option<bool>,
}

impl Planned {
    /// The plan for operands with these layouts. `None` when shapes do not fit, when it sums over a batch in parts, when there is nothing
    /// to multiply, or when the result is transposed.
    #[must_use]
    pub fn new(a: (&Layout, Form), b: (&Layout, Form), shape: &[usize], form: Form) -> Option<Self> {
        if a.0.ndim() < a.1.axes() || b.0.ndim() < b.1.axes() || shape.len() < form.axes() || form == Form::Transposed {
            return None;
        }
        let full = broadcast_shapes(a.1.batch(a.0.shape()), b.1.batch(b.0.shape()))?;
        let ((m, k), (depth, n)) = (a.1.matrix(a.0.shape()), b.1.matrix(b.0.shape()));
        let batch = form.batch(shape);
        let is_part = batch.len() <= full.len() && batch.iter().rev().zip(full.iter().rev()).all(|(part, all)| part == all || *part == 1);
        if k != depth || !is_part || form.shape(batch, m, n) != Shape::from_slice(shape) || k == 0 || shape.contains(&0) || full.contains(&0) {
            return None;
        }
        let mut plan = Plan::new(a, b, &Layout::contiguous(shape), form, &full);
        let sums = !plan.summed.is_empty();
        plan.fold();
        // Not when a batch of right matrices was folded into columns.
        let is_single = !sums && plan.b != (0, 0) && plan.n == n && plan.kept.iter().all(|axis| axis.b == 0);
        let (shape, right) = (plan.shape(), is_single.then_some(plan.b.1 == 1));
        plan.summed.is_empty().then_some(Self { plan, shape, right })
    }

    /// Whether it is worth several threads.
    #[must_use]
    pub fn is_split(&self) -> bool {
        let count = self.plan.kept.iter().map(|axis| axis.size).product::<usize>();
        matmul::is_split(count, self.shape.m, self.shape.k, self.shape.n)
    }

    /// The number of elements of the packed right operand, if it pays to pack a constant operand.
    #[must_use]
    pub fn panels<T: MatElement>(&self) -> Option<usize> {
        let ProductShape { m, k, n, .. } = self.shape;
        let has_rows = self.right?;
        let worth = matmul::reads_panels::<T>(m, k, n) && matmul::packs::<T>(k, n, has_rows);
        worth.then(|| matmul::panels_len::<T>(k, n))
    }

    /// The layout of the packed right operand: rows, columns, strides.
    #[must_use]
    pub fn right(&self) -> (usize, usize, (isize, isize)) {
        (self.shape.k, self.shape.n, self.shape.b_strides)
    }

    /// Writes the products to `c`, or adds them. `b` is the operand itself or `packed`. `after` is called with rows as soon as they are
    /// complete.
    ///
    /// # Panics
    /// When the layouts of the operands differ from the plan.
    pub fn run<T: MatElement>(&self, a: &Array, b: &Array, packed: bool, c: &mut [T], add: bool, after: Option<After<'_, T>>) {
        let right = if packed { 0 } else { b.layout().offset() };
        let [oa, ob, oc] = places(&self.plan.kept, [a.layout().offset(), right, 0]);
        let b = if packed { Right::Panels(b.raw()) } else { Right::Plain(b.raw()) };
        matmul_then(a.raw(), b, c, &self.shape, BatchOffsets { a: &oa, b: &ob, c: &oc }, add, after);
    }
}

/// A right operand, which is one matrix, packed into panels.
#[must_use]
pub fn pack<T: MatElement>(b: &Array, form: Form) -> Array {
    let ((k, n), (down, right)) = (form.matrix(b.shape()), form.strides(b.layout().strides()));
    let mut out = Array::empty(&[matmul::panels_len::<T>(k, n)], T::DTYPE);
    matmul::pack(MatRef::new(b.raw(), b.layout().offset(), k, n, down, right), out.data_mut::<T>());
    out
}

/// What the products are added to.
#[derive(Debug)]
pub enum Addend<'a> {
    /// Nothing: the result is overwritten.
    Nothing,
    /// To an array that broadcasts to the result.
    Bias(&'a Array),
    /// To an array of the result's shape, in place when it is unshared.
    Sum(Array),
}

/// The products of the matrices of `a` and `b`, plus `addend`.
///
/// The result has shape `shape`, in which the matrix has the form `form`. The batch of the result broadcasts to that of the
/// operands; where it is smaller, products are summed.
///
/// # Panics
/// When shapes or dtypes do not fit: a bug of the caller.
#[must_use]
pub fn contract(a: (&Array, Form), b: (&Array, Form), shape: &[usize], form: Form, addend: Addend<'_>) -> Array {
    let core = dispatch!(core a.0.dtype(), T => size_of::<T>() > 0, else false);
    if core { contract_core(a, b, shape, form, addend) } else { contract_other(a, b, shape, form, addend) }
}

/// [`contract`] for the dtypes without loops of their own. A complex product is four real ones, and integers are multiplied as int64, whose
/// low bits are the result.
#[cold]
fn contract_other(a: (&Array, Form), b: (&Array, Form), shape: &[usize], form: Form, addend: Addend<'_>) -> Array {
    let dtype = a.0.dtype();
    let products = if dtype.is_complex() {
        let ([ar, ai], [br, bi]) = (parts(a.0), parts(b.0));
        let real = |x: &Array, y: &Array, addend| contract_core((x, a.1), (y, b.1), shape, form, addend);
        let re = subtract(&real(&ar, &br, Addend::Nothing), &real(&ai, &bi, Addend::Nothing));
        let im = real(&ai, &br, Addend::Sum(real(&ar, &bi, Addend::Nothing)));
        complex::from_parts(&re, &im, re.shape())
    } else {
        let [x, y] = [a.0, b.0].map(|x| cast(x, DType::I64));
        cast(&contract_core((&x, a.1), (&y, b.1), shape, form, Addend::Nothing), dtype)
    };
    match addend {
        Addend::Nothing => products,
        Addend::Bias(other) => add(&products, other),
        Addend::Sum(other) => add(&products, &other),
    }
}

/// Real and imaginary part of a complex array, as views.
fn parts(x: &Array) -> [Array; 2] {
    let pairs = x.seen_as(x.dtype().real());
    [0, 1].map(|i| pairs.with_layout(pairs.layout().select(x.ndim(), i)))
}

fn subtract(a: &Array, b: &Array) -> Array {
    dispatch!(float a.dtype(), T => blocks::map([Input::from(a), Input::from(b)], a.shape(), |[x, y]: [T; 2]| x - y),
        else unreachable!("parts are floating"))
}

/// `products + other`, where `other` broadcasts to the shape of the products.
#[allow(clippy::redundant_closure_call, reason = "integers wrap, the others do not")]
fn add(products: &Array, other: &Array) -> Array {
    let inputs = [Input::from(products), Input::from(other)];
    dispatch!(integer products.dtype(), T => blocks::map(inputs, products.shape(), |[x, y]: [T; 2]| x.wrapping_add(y)),
        else dispatch!(inexact products.dtype(), T => blocks::map(inputs, products.shape(), |[x, y]: [T; 2]| x + y),
            else unreachable!("bools have loops of their own")))
}

/// [`contract`] for the dtypes with loops of their own.
fn contract_core(a: (&Array, Form), b: (&Array, Form), shape: &[usize], form: Form, addend: Addend<'_>) -> Array {
    // A product with a transposed result is the product of the transposed operands in reverse order.
    if form == Form::Transposed {
        return contract_core((b.0, b.1.t()), (a.0, a.1.t()), shape, Form::Matrix, addend);
    }
    let dtype = a.0.dtype();
    let (mut out, add) = match addend {
        Addend::Bias(bias) => (broadcast(bias, shape), true),
        Addend::Sum(sum) => (sum, true),
        Addend::Nothing => (Array::empty(shape, dtype), false),
    };
    if a.0.ndim() == a.1.axes() && b.0.ndim() == b.1.axes() {
        dispatch!(core dtype, T => one::<T>(a, b, out.data_mut(), add), else no_loop(dtype));
        return out;
    }
    let Some(full) = broadcast_shapes(a.1.batch(a.0.shape()), b.1.batch(b.0.shape())) else { unreachable!("batches are checked before") };
    let mut plan = Plan::new((a.0.layout(), a.1), (b.0.layout(), b.1), &Layout::contiguous(shape), form, &full);
    if plan.k == 0 || full.contains(&0) || out.size() == 0 {
        return if add { out } else { Array::full(shape, Scalar::Int(0), dtype) };
    }
    plan.fold();
    let starts = [a.0.layout().offset(), b.0.layout().offset()];
    dispatch!(core dtype, T => run::<T>(&plan, a.0.raw(), b.0.raw(), out.data_mut(), starts, add), else no_loop(dtype));
    out
}

#[cold]
fn no_loop(dtype: DType) -> ! {
    unreachable!("matrix products of {dtype} are made of those of other dtypes")
}

/// A copy of `x`, broadcast to `shape`.
///
/// # Panics
/// When it does not broadcast.
#[must_use]
pub fn broadcast(x: &Array, shape: &[usize]) -> Array {
    match x.broadcast_to("matmul", shape) {
        Ok(wide) => wide.copy(),
        Err(_) => unreachable!("a bias is checked before"),
    }
}

/// A single product, without a batch to plan for.
fn one<T: MatElement>(a: (&Array, Form), b: (&Array, Form), c: &mut [T], add: bool) {
    let view = |(x, form): (&'_ Array, Form)| {
        let (layout, (rows, cols)) = (x.layout(), form.matrix(x.shape()));
        let (down, right) = form.strides(layout.strides());
        (layout.offset(), rows, cols, down, right)
    };
    let ((start_a, m, k, down_a, right_a), (start_b, _, n, down_b, right_b)) = (view(a), view(b));
    let (left, right) = (MatRef::new(a.0.raw(), start_a, m, k, down_a, right_a), MatRef::new(b.0.raw(), start_b, k, n, down_b, right_b));
    matmul(left, right, MatMut::new(c, 0, m, n, n.cast_signed(), 1), add);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::{DType, size_of};

    fn numbers(shape: &[usize], seed: usize) -> Array {
        let data: Vec<f64> = (0..size_of(shape)).map(|i| f64::from(u8::try_from((i * 37 + seed) % 31).unwrap()) - 15.0).collect();
        Array::from_slice(&data, shape)
    }

    /// The element (i, j) of matrix number `batch` of an array broadcast to `full`.
    fn at(x: &Array, form: Form, full: &[usize], batch: usize, i: usize, j: usize) -> f64 {
        let (rows, cols) = form.matrix(x.shape());
        let all = x.broadcast_to("test", &form.shape(full, rows, cols)).unwrap().to_vec::<f64>();
        all[batch * rows * cols + if form == Form::Transposed { j * rows + i } else { i * cols + j }]
    }

    fn check(a: (&Array, Form), b: (&Array, Form), target: &[usize], form: Form) {
        let full = broadcast_shapes(a.1.batch(a.0.shape()), b.1.batch(b.0.shape())).unwrap();
        let ((m, k), (_, n)) = (a.1.matrix(a.0.shape()), b.1.matrix(b.0.shape()));
        let shape = form.shape(target, m, n);
        let out = contract(a, b, &shape, form, Addend::Nothing);
        let sum = contract(a, b, &shape, form, Addend::Sum(Array::full(&shape, Scalar::Int(1000), DType::F64)));
        let less: Vec<f64> = sum.to_vec::<f64>().iter().map(|x| x - 1000.0).collect();
        assert_eq!(out.to_vec::<f64>(), less, "whole numbers are added exactly");
        let lead = full.len() - target.len();
        let mut want = vec![0.0; size_of(target) * m * n];
        for batch in 0..size_of(&full) {
            let (mut rest, mut place, mut step) = (batch, 0, 1);
            for (axis, &size) in full.iter().enumerate().rev() {
                if axis >= lead && target[axis - lead] != 1 {
                    place += rest % size * step;
                    step *= size;
                }
                rest /= size;
            }
            for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                let sum: f64 = (0..k).map(|l| at(a.0, a.1, &full, batch, i, l) * at(b.0, b.1, &full, batch, l, j)).sum();
                want[place * m * n + if form == Form::Transposed { j * m + i } else { i * n + j }] += sum;
            }
        }
        assert_eq!(out.to_vec::<f64>(), want, "{:?} {:?} to {target:?} {form:?}", (a.0.shape(), a.1), (b.0.shape(), b.1));
    }

    #[test]
    fn batches_broadcast_fold_and_sum() {
        let cases: [(&[usize], &[usize], &[usize]); 9] = [
            (&[], &[], &[]),
            (&[3], &[], &[3]),
            (&[2, 3], &[], &[2, 3]),
            (&[], &[2, 3], &[2, 3]),
            (&[2, 1], &[3], &[2, 3]),
            (&[2, 3], &[2, 3], &[]),
            (&[2, 3], &[2, 3], &[3]),
            (&[2, 3], &[2, 3], &[2, 1]),
            (&[2, 3], &[3], &[2, 3]),
        ];
        let forms = [Form::Matrix, Form::Transposed, Form::Row, Form::Column];
        for (batch_a, batch_b, target) in cases {
            for (fa, fb) in forms.iter().flat_map(|&x| forms.iter().map(move |&y| (x, y))) {
                let (m, k, n) = (if fa == Form::Row { 1 } else { 4 }, 5, if fb == Form::Column { 1 } else { 2 });
                let k = if fa == Form::Column || fb == Form::Row { 1 } else { k };
                let (a, b) = (numbers(&fa.shape(batch_a, m, k), 1), numbers(&fb.shape(batch_b, k, n), 2));
                let outs = match (m, n) {
                    (1, 1) => &[Form::Matrix, Form::Transposed, Form::Single][..],
                    (1, _) => &[Form::Matrix, Form::Transposed, Form::Row],
                    (_, 1) => &[Form::Matrix, Form::Transposed, Form::Column],
                    _ => &[Form::Matrix, Form::Transposed],
                };
                for &out in outs {
                    check((&a, fa), (&b, fb), target, out);
                }
            }
        }
    }

    #[test]
    fn views_are_read_as_they_lie() {
        let x = numbers(&[4, 3, 5], 3);
        let y = numbers(&[5, 3, 4], 4);
        let reversed = x.with_layout(x.layout().permute(&[1, 0, 2]).slice(2, 4, 5, -1));
        check((&reversed, Form::Matrix), (&y.with_layout(y.layout().permute(&[1, 0, 2])), Form::Matrix), &[3], Form::Matrix);
        let wide = x.with_layout(x.layout().slice(2, 0, 1, 1)).broadcast_to("test", &[4, 3, 5]).unwrap();
        check((&wide, Form::Matrix), (&wide, Form::Transposed), &[], Form::Matrix);
    }

    #[test]
    fn a_stack_times_one_matrix_is_one_product() {
        let (x, w) = (Layout::contiguous(&[6, 7, 5]), Layout::contiguous(&[2, 5]));
        let mut plan = Plan::new((&x, Form::Matrix), (&w, Form::Transposed), &Layout::contiguous(&[6, 7, 2]), Form::Matrix, &[6]);
        plan.fold();
        assert_eq!((plan.m, plan.k, plan.n, plan.kept.len()), (42, 5, 2, 0));
        let g = Layout::contiguous(&[6, 7, 2]);
        let mut plan = Plan::new((&g, Form::Transposed), (&x, Form::Matrix), &w, Form::Matrix, &[6]);
        plan.fold();
        assert_eq!((plan.m, plan.k, plan.n, plan.summed.len()), (2, 42, 5, 0));
    }

    #[test]
    fn empty_sums_are_zero_or_the_bias() {
        let (a, b) = (numbers(&[2, 0], 0), numbers(&[0, 3], 0));
        let bias = numbers(&[3], 5);
        assert_eq!(contract((&a, Form::Matrix), (&b, Form::Matrix), &[2, 3], Form::Matrix, Addend::Nothing).to_vec::<f64>(), [0.0; 6]);
        let out = contract((&a, Form::Matrix), (&b, Form::Matrix), &[2, 3], Form::Matrix, Addend::Bias(&bias));
        assert_eq!(out.to_vec::<f64>()[3..], bias.to_vec::<f64>());
        let none = numbers(&[0, 2, 2], 0);
        assert_eq!(contract((&none, Form::Matrix), (&none, Form::Matrix), &[2, 2], Form::Matrix, Addend::Nothing).to_vec::<f64>(), [0.0; 4]);
    }
}
