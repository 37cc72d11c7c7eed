//! Products of matrices and vectors.
//!
//! All of them are one contraction, C = A · B over a batch, in which each array holds its matrix in one of a few forms (as it is,
//! transposed, a row, a column, a number). The gradients are contractions, too: A' = C' · Bᵀ and B' = Aᵀ · C', summed to the batch of A and
//! B. So there is a single rule, which is closed under differentiation and never transposes an array.

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::registry::{Arg, Entry, Gradient, Kind, Param, Sample};
use super::samples::{Draw, REAL};
use super::shape::{astype, in_dtype, reshape_to};
use super::work;
use super::{flatten, moveaxis, multiply};
use crate::array::{Array, Shape, broadcast_shapes, check_memory, normalize_axis};
use crate::error::{Error, Result, show_shape};
use crate::kernel::contract::{Addend, Form, contract as product};
use crate::tape::{Attrs, Batch, BatchContext, Jvp, JvpContext, Outputs, Primitive, Variable, Vjp, VjpContext, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&MATMUL, &LINEAR, &VECDOT, &DOT, &INNER, &OUTER];

static MATMUL: Primitive = CONTRACTION;
static LINEAR: Primitive = Primitive { name: "linear", jvp: Jvp::Rule(linear_jvp), ..CONTRACTION };
static VECDOT: Primitive = Primitive { name: "vecdot", ..CONTRACTION };
static DOT: Primitive = Primitive { name: "dot", ..CONTRACTION };
static INNER: Primitive = Primitive { name: "inner", ..CONTRACTION };
static OUTER: Primitive = Primitive { name: "outer", ..CONTRACTION };

/// C = A · B over a batch, plus a bias if there is a third input.
const CONTRACTION: Primitive = Primitive {
    name: "matmul",
    eval: |call| {
        let c: &Contraction = call.attrs();
        let (a, b) = (call.array(0), call.array(1));
        let shape = c.shape(a.shape(), b.shape());
        check_memory(call.name(), &shape, a.dtype())?;
        let addend = if call.inputs().len() > 2 { Addend::Bias(call.array(2)) } else { Addend::Nothing };
        let out = product((a, c.a), (b, c.b), &shape, c.out, addend);
        call.give(out);
        Ok(())
    },
    saves: |s| {
        if s.needs(1) {
            s.input(0);
        }
        if s.needs(0) {
            s.input(1);
        }
    },
    vjp: Vjp::Rule(contract_vjp),
    jvp: Jvp::Multilinear,
    batch: Batch::Rule(batch_contraction),
    ..Primitive::BASE
};

/// The forms of the matrices in a contraction, and the batch of the result.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Contraction {
    a: Form,
    b: Form,
    out: Form,
    batch: Shape,
}
crate::attributes!(Contraction);

impl Contraction {
    /// The shape of the result.
    fn shape(&self, a: &[usize], b: &[usize]) -> Shape {
        self.out.shape(&self.batch, self.a.matrix(a).0, self.b.matrix(b).1)
    }
}

/// The forms of the operands and of the result of a contraction, for programs.
pub(crate) fn forms(attrs: &Attrs) -> Option<[Form; 3]> {
    let Attrs::Set(set) = attrs else { return None };
    set.as_any().downcast_ref::<Contraction>().map(|c| [c.a, c.b, c.out])
}

/// A product with an additional batch axis in front: axes of size one align the other operands.
fn batch_contraction(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let c: &Contraction = ctx.attrs();
    if !ctx.mapped[0] && !ctx.mapped[1] {
        // The product is the same for all samples, and only the bias differs.
        let out = apply(&MATMUL, &[ctx.inputs[0], ctx.inputs[1]], c)?;
        let bias = ctx.aligned(2, out.ndim())?;
        return Ok(smallvec![super::add(&out, &bias)?]);
    }
    let rank = |i: usize, form: Form| ctx.array(i).ndim() - form.axes() - usize::from(ctx.mapped[i]);
    let joint = rank(0, c.a).max(rank(1, c.b)).max(c.batch.len());
    let (a, b) = (ctx.aligned(0, joint + c.a.axes())?, ctx.aligned(1, joint + c.b.axes())?);
    let batch: Shape = std::iter::once(ctx.size).chain(std::iter::repeat_n(1, joint - c.batch.len())).chain(c.batch.iter().copied()).collect();
    let wide = Contraction { batch, ..c.clone() };
    let core = Shape::from_slice(&wide.shape(a.shape(), b.shape())[1 + joint..]);
    let mut out = apply(&MATMUL, &[(&a).into(), (&b).into()], &wide)?;
    if joint > c.batch.len() {
        let shape: Shape = std::iter::once(ctx.size).chain(c.batch.iter().copied()).chain(core).collect();
        out = reshape_to(&out, &shape)?;
    }
    if ctx.inputs.len() > 2 {
        out = super::add(&out, &ctx.aligned(2, out.ndim() - 1)?)?;
    }
    Ok(smallvec![out])
}

/// The tangent of a · b + bias.
fn linear_jvp(ctx: &JvpContext<'_>) -> Result<Outputs> {
    let c: &Contraction = ctx.attrs();
    let (a, b) = (ctx.input(0), ctx.input(1));
    let mut terms: SmallVec<[Variable; 3]> = SmallVec::new();
    if let Some(t) = &ctx.tangents[0] {
        terms.push(apply(&MATMUL, &[t.into(), (&b).into()], c)?);
    }
    if let Some(t) = &ctx.tangents[1] {
        terms.push(apply(&MATMUL, &[(&a).into(), t.into()], c)?);
    }
    if let Some(Some(t)) = ctx.tangents.get(2) {
        terms.push(super::broadcast_to(t, ctx.outputs[0].shape())?);
    }
    let mut terms = terms.into_iter();
    let Some(first) = terms.next() else { return Ok(smallvec![]) };
    Ok(smallvec![terms.try_fold(first, |sum, t| super::add(&sum, &t))?])
}

fn contract_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let g = ctx.cotangent();
    let &Contraction { a: fa, b: fb, out: fc, .. } = ctx.attrs();
    let batch = |ctx: &VjpContext<'_>, i: usize, form: Form| Shape::from_slice(form.batch(&ctx.meta(i).shape));
    if ctx.needs(0) {
        let (batch, b) = (batch(ctx, 0, fa), super::conj(&ctx.input(1))?);
        ctx.accumulate(0, |sum| contract(&MATMUL, (&g, fc), (&b, fb.t()), &batch, fa, Plus::sum(sum)))?;
    }
    if ctx.needs(1) {
        let (batch, a) = (batch(ctx, 1, fb), super::conj(&ctx.input(0))?);
        ctx.accumulate(1, |sum| contract(&MATMUL, (&a, fa.t()), (&g, fc), &batch, fb, Plus::sum(sum)))?;
    }
    if ctx.input_count() > 2 { ctx.add(2, g) } else { Ok(()) }
}

/// What a contraction is added to.
enum Plus<'a> {
    Nothing,
    /// A value that broadcasts to the result.
    Bias(&'a Variable),
    /// The sum of the gradient that the contraction is part of.
    Sum(Array),
}

impl Plus<'_> {
    fn sum(collected: Option<Array>) -> Self {
        collected.map_or(Self::Nothing, Self::Sum)
    }
}

/// A · B, summed over the batch axes that are not in `batch`, the batch of the result, plus an addend. Dtypes are equal and shapes fit.
fn contract(op: &'static Primitive, a: (&Variable, Form), b: (&Variable, Form), batch: &[usize], form: Form, plus: Plus<'_>) -> Result<Variable> {
    let (rows, cols) = (a.1.matrix(a.0.shape()).0, b.1.matrix(b.0.shape()).1);
    let shape = form.shape(batch, rows, cols);
    check_memory(op.name, &shape, a.0.dtype())?;
    let attrs = Contraction { a: a.1, b: b.1, out: form, batch: Shape::from_slice(batch) };
    match plus {
        Plus::Nothing => apply(op, &[a.0.into(), b.0.into()], &attrs),
        Plus::Bias(bias) => apply(op, &[a.0.into(), b.0.into(), bias.into()], &attrs),
        Plus::Sum(sum) => Ok(product((a.0.array(), a.1), (b.0.array(), b.1), &shape, form, Addend::Sum(sum)).into()),
    }
}

fn together(a: &Variable, b: &Variable) -> Result<(Variable, Variable)> {
    let dtype = a.dtype().promote(b.dtype());
    Ok((astype(a, dtype)?, astype(b, dtype)?))
}

/// The error for an operand of `op` without axes.
fn no_axes(op: &str, a: &Variable, b: &Variable) -> Error {
    let (which, a, b) = (if a.ndim() == 0 { "left" } else { "right" }, show_shape(a.shape()), show_shape(b.shape()));
    Error::Shape(format!("{op}: the {which} operand has no axes (shapes {a} and {b}); multiply() takes numbers"))
}

/// The size of the summed axes, after checking that they agree.
fn check_sum(op: &str, a: (&Variable, isize), b: (&Variable, isize)) -> Result<()> {
    let size = |(x, axis): (&Variable, isize)| x.shape()[(x.ndim().cast_signed() + axis).cast_unsigned()];
    if size(a) == size(b) {
        return Ok(());
    }
    Err(Error::Shape(format!(
        "{op}: shapes {} and {} do not fit: axis {} of the left is {}, axis {} of the right is {}; they must be equal",
        show_shape(a.0.shape()),
        show_shape(b.0.shape()),
        a.1,
        size(a),
        b.1,
        size(b)
    )))
}

/// The common batch of operands whose last `core` axes are matrices or vectors.
fn common_batch(op: &str, a: (&Variable, Form), b: (&Variable, Form)) -> Result<Shape> {
    let (left, right) = (a.1.batch(a.0.shape()), b.1.batch(b.0.shape()));
    broadcast_shapes(left, right).ok_or_else(|| {
        let (n, m) = (left.len(), right.len());
        let clash = (1..=n.min(m)).find(|&i| left[n - i] != right[m - i] && left[n - i] != 1 && right[m - i] != 1).unwrap_or(1);
        Error::Shape(format!(
            "{op}: the batches of shapes {} and {} do not broadcast: axis -{} of the left is {}, axis -{} of the right is {}; \
             sizes must be equal or 1",
            show_shape(a.0.shape()),
            show_shape(b.0.shape()),
            clash + a.1.axes(),
            left[n - clash],
            clash + b.1.axes(),
            right[m - clash]
        ))
    })
}

/// The matrix product, as in NumPy's `matmul`. Axes before the last two are batch axes that broadcast. A vector on the left is a row, on
/// the right a column.
///
/// # Errors
/// `Shape` when an operand has no axes, when the summed axes differ, or when the batches do not broadcast.
///
/// ```
/// use tapegrad::{array::Array, ops, tape::Variable};
/// let a: Variable = Array::from_slice(&[1.0, 2.0, 3.0, 4.0], &[2, 2]).into();
/// let v: Variable = Array::from_slice(&[1.0, 10.0], &[2]).into();
/// assert_eq!(ops::matmul(&a, &v)?.array().to_vec::<f64>(), [21.0, 43.0]);
/// # Ok::<(), tapegrad::Error>(())
/// ```
pub fn matmul(a: &Variable, b: &Variable) -> Result<Variable> {
    let (fa, fb, form) = match (a.ndim(), b.ndim()) {
        (0, _) | (_, 0) => return Err(no_axes("matmul", a, b)),
        (1, 1) => (Form::Row, Form::Column, Form::Single),
        (1, _) => (Form::Row, Form::Matrix, Form::Row),
        (_, 1) => (Form::Matrix, Form::Column, Form::Column),
        _ => (Form::Matrix, Form::Matrix, Form::Matrix),
    };
    check_sum("matmul", (a, -1), (b, if fb == Form::Column { -1 } else { -2 }))?;
    let batch = common_batch("matmul", (a, fa), (b, fb))?;
    let dtype = a.dtype().promote(b.dtype());
    if dtype.is_half() {
        return super::half::product(a, b, dtype, matmul);
    }
    let (mut at_a, mut at_b) = (None, None);
    let (a, b) = (in_dtype(a, dtype, &mut at_a)?, in_dtype(b, dtype, &mut at_b)?);
    contract(&MATMUL, (a, fa), (b, fb), &batch, form, Plus::Nothing)
}

/// A linear layer, x · weightᵀ + bias, in PyTorch's layout: the weight has the shape (outputs, inputs), or (inputs,) for a single output
/// without an axis.
///
/// # Errors
/// `Shape` when the last axes of `x` and `weight` differ, or when `bias` is not one number for each output.
pub fn linear(x: &Variable, weight: &Variable, bias: Option<&Variable>) -> Result<Variable> {
    if x.ndim() == 0 || weight.ndim() == 0 {
        return Err(no_axes("linear", x, weight));
    }
    if weight.ndim() > 2 {
        let shape = show_shape(weight.shape());
        return Err(Error::Shape(format!("linear: the weight has shape {shape}, expected (outputs, inputs) or (inputs,)")));
    }
    check_sum("linear", (x, -1), (weight, -1))?;
    let outputs = &weight.shape()[..weight.ndim() - 1];
    if let Some(bias) = bias
        && bias.shape() != outputs
    {
        let (got, weight, want) = (show_shape(bias.shape()), show_shape(weight.shape()), show_shape(outputs));
        return Err(Error::Shape(format!("linear: the bias has shape {got}, expected {want} for a weight of shape {weight}")));
    }
    let fx = if x.ndim() == 1 { Form::Row } else { Form::Matrix };
    let (fw, form) = match (weight.ndim(), fx) {
        (1, Form::Row) => (Form::Column, Form::Single),
        (1, _) => (Form::Column, Form::Column),
        _ => (Form::Transposed, fx),
    };
    let mut dtype = x.dtype().promote(weight.dtype());
    if let Some(bias) = bias {
        dtype = dtype.promote(bias.dtype());
    }
    let (mut at_x, mut at_weight, mut at_bias) = (None, None, None);
    let (x, weight) = (in_dtype(x, dtype, &mut at_x)?, in_dtype(weight, dtype, &mut at_weight)?);
    let bias = bias.map(|b| in_dtype(b, dtype, &mut at_bias)).transpose()?;
    contract(&LINEAR, (x, fx), (weight, fw), fx.batch(x.shape()), form, bias.map_or(Plus::Nothing, Plus::Bias))
}

/// The products of all pairs of elements of `a` and `b`, both flattened: one row per element of `a`.
///
/// # Errors
/// Those of recording.
pub fn outer(a: &Variable, b: &Variable) -> Result<Variable> {
    let (a, b) = together(&flatten(a)?, &flatten(b)?)?;
    contract(&OUTER, (&a, Form::Column), (&b, Form::Row), &[], Form::Matrix, Plus::Nothing)
}

/// The dot products of the vectors along `axis`; the other axes broadcast. Complex vectors of `a` are conjugated.
///
/// # Errors
/// `Axis` when an operand does not have the axis, `Shape` when the vectors differ in length or the other axes do not broadcast.
pub fn vecdot(a: &Variable, b: &Variable, axis: isize) -> Result<Variable> {
    if a.ndim() == 0 || b.ndim() == 0 {
        return Err(no_axes("vecdot", a, b));
    }
    let last = |x: &Variable| -> Result<Variable> {
        let place = normalize_axis("vecdot", axis, x.ndim())?;
        if place + 1 == x.ndim() { Ok(x.clone()) } else { moveaxis(x, &[axis], &[-1]) }
    };
    let (a, b) = (last(a)?, last(b)?);
    check_sum("vecdot", (&a, -1), (&b, -1))?;
    let batch = common_batch("vecdot", (&a, Form::Row), (&b, Form::Column))?;
    let (a, b) = together(&super::conj(&a)?, &b)?;
    contract(&VECDOT, (&a, Form::Row), (&b, Form::Column), &batch, Form::Single, Plus::Nothing)
}

/// The dot products of all vectors along the last axis of `a` with all vectors of `b`, which are along its last axis (`Column`) or the one
/// before it (`Matrix`). The axes of `a` come first.
fn all_pairs(op: &'static Primitive, a: &Variable, b: (&Variable, Form)) -> Result<Variable> {
    check_sum(op.name, (a, -1), (b.0, if b.1 == Form::Column { -1 } else { -2 }))?;
    let (left, right) = (Form::Row.batch(a.shape()), b.1.batch(b.0.shape()));
    let batch: Shape = left.iter().chain(right).copied().collect();
    // Every vector of a is combined with every matrix of b: a gets an axis of size one for each axis of b.
    let apart: Shape = left.iter().copied().chain(right.iter().map(|_| 1)).chain(a.shape().last().copied()).collect();
    let (a, b_cast) = together(a, b.0)?;
    let form = if b.1 == Form::Column { Form::Single } else { Form::Row };
    contract(op, (&reshape_to(&a, &apart)?, Form::Row), (&b_cast, b.1), &batch, form, Plus::Nothing)
}

/// NumPy's `dot`: a product of numbers, vectors or matrices. With more axes, sums over the last axis of `a` and the second to last of `b`,
/// for all pairs of the other axes.
///
/// # Errors
/// `Shape` when the summed axes differ.
pub fn dot(a: &Variable, b: &Variable) -> Result<Variable> {
    match (a.ndim(), b.ndim()) {
        (0, _) | (_, 0) => multiply(a, b),
        (1, _) | (_, 1 | 2) => matmul(a, b),
        _ => all_pairs(&DOT, a, (b, Form::Matrix)),
    }
}

/// NumPy's `inner`: the sums over the last axes, for all pairs of the other axes.
///
/// # Errors
/// `Shape` when the last axes differ.
pub fn inner(a: &Variable, b: &Variable) -> Result<Variable> {
    if a.ndim() == 0 || b.ndim() == 0 { multiply(a, b) } else { all_pairs(&INNER, a, (b, Form::Column)) }
}

/// Pairs of shapes that multiply: every combination of vectors, matrices, batches and broadcasts.
const PAIRS: &[(&[usize], &[usize])] = &[
    (&[3], &[3]),
    (&[2, 3], &[3, 4]),
    (&[3], &[3, 2]),
    (&[2, 3], &[3]),
    (&[2, 2, 3], &[2, 3, 2]),
    (&[2, 2, 3], &[3, 2]),
    (&[2, 3], &[2, 3, 2]),
    (&[2, 1, 2, 3], &[3, 3, 1]),
    (&[3], &[2, 3, 2]),
    (&[2, 2, 3], &[3]),
    (&[1, 2, 3], &[4, 3, 2]),
    (&[2, 0], &[0, 3]),
    (&[0, 3], &[3, 2]),
    (&[0, 2, 3], &[3, 2]),
    (&[0], &[0]),
];

fn pairs(shapes: &[(&[usize], &[usize])]) -> Vec<Sample> {
    let draw = &mut Draw::new(3);
    let mut out = Vec::new();
    for (a, b) in shapes {
        out.push(Sample { args: vec![Arg::Variable(REAL.array(draw, a)), Arg::Variable(REAL.array(draw, b))] });
        out.push(Sample { args: vec![Arg::Variable(REAL.strided(draw, a)), Arg::Variable(REAL.strided(draw, b))] });
    }
    out
}

fn linear_samples() -> Vec<Sample> {
    let shapes: [(&[usize], &[usize]); 7] =
        [(&[2, 3], &[4, 3]), (&[3], &[2, 3]), (&[2, 2, 3], &[2, 3]), (&[2, 3], &[3]), (&[3], &[3]), (&[0, 3], &[2, 3]), (&[2, 0], &[3, 0])];
    let draw = &mut Draw::new(4);
    let mut out = Vec::new();
    for (x, w) in shapes {
        let array = |draw: &mut Draw, shape: &[usize]| Arg::Variable(REAL.strided(draw, shape));
        let (x, weight, bias) = (array(draw, x), array(draw, w), array(draw, &w[..w.len() - 1]));
        out.push(Sample { args: vec![x.clone(), weight.clone(), Arg::None] });
        out.push(Sample { args: vec![x, weight, bias] });
    }
    out
}

fn vecdot_samples() -> Vec<Sample> {
    let shapes: [(&[usize], &[usize], i64); 5] =
        [(&[3], &[3], -1), (&[2, 3], &[3], -1), (&[3, 2], &[3, 1], 0), (&[2, 3, 2], &[3, 1], -2), (&[2, 0], &[0], -1)];
    let draw = &mut Draw::new(8);
    shapes
        .map(|(a, b, axis)| Sample { args: vec![Arg::Variable(REAL.strided(draw, a)), Arg::Variable(REAL.array(draw, b)), Arg::Int(axis)] })
        .to_vec()
}

const TWO: &[Param] = &[Param::array("a"), Param::array("b")];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "matmul",
        work: work::contraction,
        doc: "The matrix product a @ b. Axes before the last two are a batch that broadcasts; a vector is a row on the left and\n\
              a column on the right, and its axis is gone from the result.\n\
              \n\
              >>> tg.matmul(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), tg.Variable([1.0, 10.0]))\n\
              Variable([21., 43.])\n",
        params: TWO,
        call: |a| Ok(matmul(&a.variable(0)?, &a.variable(1)?)?.into()),
        gradient: Gradient::Rule("dA = dY @ Bᵀ, dB = Aᵀ @ dY, summed over the batch axes that A or B broadcast along"),
        linear: true,
        samples: || pairs(PAIRS),
        ..Entry::BASE
    },
    Entry {
        name: "linear",
        work: work::inner,
        doc: "A linear layer, x @ weight.T + bias, with a weight of shape (outputs, inputs), as PyTorch's.\n\
              \n\
              >>> tg.linear(tg.Variable([1.0, 2.0]), tg.Variable([[3.0, 4.0]]), tg.Variable([0.5]))\n\
              Variable([11.5])\n",
        params: &[Param::array("x"), Param::array("weight"), Param::new("bias", Kind::OptArray).or(super::registry::Default::None)],
        call: |a| Ok(linear(&a.variable(0)?, &a.variable(1)?, a.opt_variable(2)?.as_ref())?.into()),
        gradient: Gradient::Rule("dx = dy @ weight, dweight = dyᵀ @ x and dbias = Σ dy over all axes but the last"),
        samples: linear_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "outer",
        work: work::combined,
        doc: "The products of all pairs of elements of a and b, both flattened: one row for each element of a.\n\
              \n\
              >>> tg.outer(tg.Variable([1.0, 2.0]), tg.Variable([3.0, 4.0]))\n\
              Variable([[3., 4.],\n          [6., 8.]])\n",
        params: TWO,
        call: |a| Ok(outer(&a.variable(0)?, &a.variable(1)?)?.into()),
        gradient: Gradient::Rule("dA = dY @ B, dB = A @ dY"),
        linear: true,
        samples: || pairs(&[(&[2], &[3]), (&[], &[3]), (&[2, 2], &[2]), (&[0], &[2]), (&[], &[])]),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "vecdot",
        doc: "The dot products of the vectors along an axis of both, the other axes broadcasting. Complex numbers of a are conjugated.\n\
              \n\
              >>> tg.vecdot(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), tg.Variable([1.0, 10.0]))\n\
              Variable([21., 43.])\n",
        params: &[Param::array("a"), Param::array("b"), Param::axis(-1)],
        call: |a| Ok(vecdot(&a.variable(0)?, &a.variable(1)?, a.axis(2)?)?.into()),
        gradient: Gradient::Rule("dA = dY · B, dB = dY · A, each summed over the axes that it broadcasts along"),
        linear: true,
        samples: vecdot_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "dot",
        work: work::contraction,
        doc: "NumPy's dot: the product of numbers, vectors or matrices; beyond that the sums over the last axis of a and the one\n\
              before the last of b, for all pairs of their other axes.\n\
              \n\
              >>> tg.dot(tg.Variable([1.0, 2.0]), tg.Variable([3.0, 4.0]))\n\
              Variable(11.)\n",
        params: TWO,
        call: |a| Ok(dot(&a.variable(0)?, &a.variable(1)?)?.into()),
        gradient: Gradient::Rule("that of matmul, or of multiply for numbers"),
        linear: true,
        samples: || pairs(&[(&[], &[2]), (&[3], &[3]), (&[2, 3], &[3, 2]), (&[3], &[2, 3, 2]), (&[2, 2, 3], &[3]), (&[2, 3], &[2, 3, 2])]),
        ..Entry::BASE
    },
    Entry {
        name: "inner",
        work: work::inner,
        doc: "The sums of products over the last axes of a and b, for all pairs of their other axes.\n\
              \n\
              >>> tg.inner(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), tg.Variable([1.0, 10.0]))\n\
              Variable([21., 43.])\n",
        params: TWO,
        call: |a| Ok(inner(&a.variable(0)?, &a.variable(1)?)?.into()),
        gradient: Gradient::Rule("that of a matrix product with b transposed, or of multiply for numbers"),
        linear: true,
        samples: || pairs(&[(&[], &[2]), (&[3], &[3]), (&[2, 3], &[4, 3]), (&[2, 2, 3], &[3]), (&[0, 3], &[2, 3])]),
        ..Entry::BASE
    }
    .no_method(),
];
