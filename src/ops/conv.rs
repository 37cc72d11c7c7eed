//! Convolutions and transposed convolutions over one, two or three axes, and patches.
//!
//! There is one primitive for each of the three maps of a trilinear form: the convolution, the gradient of its input (the transposed
//! convolution), and the gradient of its weight. Each is bilinear, and its gradients are the other two.

use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::reduction::{common_floating, floating, sum_over};
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::samples::{Draw, REAL, ints};
use super::shape::{in_dtype, reshape_to};
use super::spatial::{Numbers, batched, join_first, numbers, split_first, three, unbatched};
use super::{add, broadcast_to, moveaxis};
use crate::array::{Array, Shape, check_memory};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel::conv::{self as kernel, Geometry, Number};
use crate::kernel::matmul::After;
use crate::tape::{Attrs, Batch, BatchContext, Call, Jvp, JvpContext, Operand, Outputs, Primitive, Saver, Variable, Vjp, VjpContext, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&CONVOLUTION, &TRANSPOSED, &WEIGHT, &UNFOLD, &FOLD];

/// The sizes of a convolution that do not follow from its arrays. If there are fewer than three spatial axes, the last entries are used.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Convolution {
    /// Number of spatial axes.
    axes: usize,
    groups: usize,
    input: [usize; 3],
    kernel: [usize; 3],
    output: [usize; 3],
    stride: [usize; 3],
    dilation: [usize; 3],
    /// Zeros before the input.
    low: [usize; 3],
}
crate::attributes!(Convolution, Patches);

impl Convolution {
    fn geometry(&self, batch: usize, inputs: usize, outputs: usize) -> Geometry {
        let Self { groups, input, kernel, output, stride, dilation, low, .. } = *self;
        Geometry { batch, groups, inputs, outputs, input, kernel, output, stride, dilation, low }
    }

    /// Sizes along the spatial axes, in the order of the fields.
    fn new(groups: usize, [input, kernel, output, stride, dilation, low]: [&[usize]; 6]) -> Self {
        Self {
            axes: input.len(),
            groups,
            input: three(input, 1),
            kernel: three(kernel, 1),
            output: three(output, 1),
            stride: three(stride, 1),
            dilation: three(dilation, 1),
            low: three(low, 0),
        }
    }

    /// A shape: `front`, followed by the spatial axes of `sizes`.
    fn shape(&self, front: [usize; 2], sizes: [usize; 3]) -> Shape {
        front.into_iter().chain(sizes[3 - self.axes..].iter().copied()).collect()
    }
}

static CONVOLUTION: Primitive = Primitive {
    name: "convolution",
    eval: |call| eval_images(call, false),
    saves: save_other,
    vjp: Vjp::Rule(|ctx| image_vjp(ctx, &TRANSPOSED, |x, g| [x, g])),
    jvp: Jvp::Rule(bilinear_jvp),
    batch: Batch::Rule(|ctx| batch_with_bias(ctx, |ctx| batch_images(ctx, &CONVOLUTION))),
    ..Primitive::BASE
};

/// The gradient of a convolution's input. Inputs: the cotangent, the weight, and optionally a bias per channel.
static TRANSPOSED: Primitive = Primitive {
    name: "conv_transpose",
    eval: |call| eval_images(call, true),
    saves: save_other,
    vjp: Vjp::Rule(|ctx| image_vjp(ctx, &CONVOLUTION, |y, g| [g, y])),
    jvp: Jvp::Rule(bilinear_jvp),
    batch: Batch::Rule(|ctx| batch_with_bias(ctx, |ctx| batch_images(ctx, &TRANSPOSED))),
    ..Primitive::BASE
};

/// The gradient of a convolution's weight. Inputs: the input and the cotangent.
static WEIGHT: Primitive = Primitive {
    name: "conv_weight",
    eval: |call| {
        let (c, x, y) = (call.attrs::<Convolution>(), call.array(0), call.array(1));
        let (inputs, outputs) = (x.shape()[1] / c.groups, y.shape()[1] / c.groups);
        let g = c.geometry(x.shape()[0], inputs, outputs);
        let shape = c.shape([y.shape()[1], inputs], c.kernel);
        run_on(call, &shape, |[x, y], _, w| {
            dispatch!(float x.dtype(), T => kernel::weight_gradient::<T>(flat(x), flat(y), w.data_mut(), &g), else not_floating());
        })
    },
    saves: save_other,
    vjp: Vjp::Rule(|ctx| {
        let w = ctx.cotangent();
        let c: &Convolution = ctx.attrs();
        if ctx.needs(0) {
            let y = ctx.input(1);
            ctx.add(0, apply(&TRANSPOSED, &[(&y).into(), (&w).into()], c)?)?;
        }
        if ctx.needs(1) {
            let x = ctx.input(0);
            ctx.add(1, apply(&CONVOLUTION, &[(&x).into(), (&w).into()], c)?)?;
        }
        Ok(())
    }),
    jvp: Jvp::Multilinear,
    batch: Batch::Rule(|ctx| {
        let (x, y) = (groups_of_batch(ctx, 0, 1)?, groups_of_batch(ctx, 1, 1)?);
        let c: &Convolution = ctx.attrs();
        let wide = Convolution { groups: c.groups * ctx.size, ..c.clone() };
        Ok(smallvec![split_first(&apply(&WEIGHT, &[(&x).into(), (&y).into()], &wide)?, ctx.size)?])
    }),
    ..Primitive::BASE
};

/// A convolution or transposed convolution with known sizes.
pub(crate) struct Images {
    geometry: Geometry,
    is_transposed: bool,
}

impl Images {
    /// The convolution of a primitive of this file with these attributes, for images and a weight of these shapes.
    pub(crate) fn of(primitive: &Primitive, attrs: &Attrs, [x, w]: [&[usize]; 2]) -> Option<Self> {
        let Attrs::Set(set) = attrs else { return None };
        let c = set.as_any().downcast_ref().filter(|_| Self::is(primitive))?;
        Some(Self::new(c, [x, w], std::ptr::eq(primitive, &raw const TRANSPOSED)))
    }

    /// Whether a primitive is a convolution or transposed convolution.
    pub(crate) fn is(primitive: &Primitive) -> bool {
        [&CONVOLUTION, &TRANSPOSED].iter().any(|p| std::ptr::eq(primitive, *p))
    }

    fn new(c: &Convolution, [x, w]: [&[usize]; 2], is_transposed: bool) -> Self {
        Self { geometry: c.geometry(x[0], w[1], w[0] / c.groups), is_transposed }
    }

    /// Whether the images are worth several threads.
    pub(crate) fn is_split(&self) -> bool {
        self.geometry.is_split()
    }

    /// Computes `out` from arrays in row-major order. `after` sees each group of channels of an image as soon as it is complete.
    pub(crate) fn run<T: Number>(&self, [x, w]: [&Array; 2], bias: Option<&Array>, out: &mut [T], after: Option<After<'_, T>>) {
        let map = if self.is_transposed { kernel::input_gradient } else { kernel::forward };
        map(flat(x), flat(w), bias.map(flat), out, &self.geometry, after);
    }
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Geometry { stride, dilation, groups, .. } = &self.geometry;
        let name = if self.is_transposed { TRANSPOSED.name } else { CONVOLUTION.name };
        write!(f, "{name}(stride {stride:?}, dilation {dilation:?}, groups {groups})")
    }
}

fn eval_images(call: &mut Call<'_>, is_transposed: bool) -> Result<()> {
    let (c, x, w) = (call.attrs::<Convolution>(), call.array(0), call.array(1));
    let images = Images::new(c, [x.shape(), w.shape()], is_transposed);
    let (channels, size) = if is_transposed { (w.shape()[1] * c.groups, c.input) } else { (w.shape()[0], c.output) };
    let shape = c.shape([x.shape()[0], channels], size);
    run_on(call, &shape, |[x, w], bias, y| {
        dispatch!(float x.dtype(), T => images.run::<T>([x, w], bias, y.data_mut(), None), else not_floating());
    })
}

/// Runs a kernel on inputs in row-major order; the third input is the bias.
fn run_on(call: &mut Call<'_>, shape: &[usize], f: impl FnOnce([&Array; 2], Option<&Array>, &mut Array)) -> Result<()> {
    let (a, b) = (call.array(0).contiguous(), call.array(1).contiguous());
    let bias = (call.inputs().len() > 2).then(|| call.array(2).contiguous());
    check_memory(call.name(), shape, a.dtype())?;
    f([&a, &b], bias.as_ref(), call.out(shape, a.dtype()));
    Ok(())
}

/// The elements of a row-major array.
pub(super) fn flat<T: crate::array::Element>(a: &Array) -> &[T] {
    a.as_slice().unwrap_or_else(|| unreachable!("contiguous() is contiguous"))
}

/// For the `else` of a dispatch on the dtypes that [`floating`] and [`common_floating`] return.
pub(super) fn not_floating() -> ! {
    unreachable!("operands of other dtypes were converted or refused")
}

/// The gradient of each factor reads the other one.
pub(super) fn save_other(s: &mut Saver<'_>) {
    if s.needs(1) {
        s.input(0);
    }
    if s.needs(0) {
        s.input(1);
    }
}

/// The gradients of images, weight and bias. `back` maps the cotangent to the images, and `order` arranges the images and the cotangent as
/// inputs of [`WEIGHT`].
fn image_vjp(ctx: &mut VjpContext<'_>, back: &'static Primitive, order: for<'a> fn(&'a Variable, &'a Variable) -> [&'a Variable; 2]) -> Result<()> {
    let g = ctx.cotangent();
    let c: &Convolution = ctx.attrs();
    if ctx.needs(0) {
        let w = ctx.input(1);
        ctx.add(0, apply(back, &[(&g).into(), (&w).into()], c)?)?;
    }
    if ctx.needs(1) {
        let x = ctx.input(0);
        ctx.add(1, apply(&WEIGHT, &order(&x, &g).map(Operand::from), c)?)?;
    }
    bias_vjp(ctx, &g)
}

/// The sums of a cotangent over all but the channels.
fn bias_vjp(ctx: &mut VjpContext<'_>, g: &Variable) -> Result<()> {
    if ctx.input_count() < 3 || !ctx.needs(2) {
        return Ok(());
    }
    let axes: SmallVec<[usize; 4]> = (0..g.ndim()).filter(|a| *a != 1).collect();
    ctx.add(2, sum_over(g, &axes, false)?)
}

/// A bias, reshaped so that it broadcasts to `ndim` axes, the second of which is that of the channels.
pub(super) fn as_channels(bias: &Variable, ndim: usize) -> Result<Variable> {
    let mut shape = Shape::from_elem(1, ndim);
    shape[1] = bias.array().size();
    reshape_to(bias, &shape)
}

/// The tangent of a product with a bias.
fn bilinear_jvp(ctx: &JvpContext<'_>) -> Result<Outputs> {
    let c: &Convolution = ctx.attrs();
    let (a, b) = (ctx.input(0), ctx.input(1));
    let mut terms: SmallVec<[Variable; 3]> = SmallVec::new();
    if let Some(t) = &ctx.tangents[0] {
        terms.push(apply(ctx.primitive, &[t.into(), (&b).into()], c)?);
    }
    if let Some(t) = &ctx.tangents[1] {
        terms.push(apply(ctx.primitive, &[(&a).into(), t.into()], c)?);
    }
    if let Some(Some(t)) = ctx.tangents.get(2) {
        let y = &ctx.outputs[0];
        terms.push(broadcast_to(&as_channels(t, y.ndim())?, y.shape())?);
    }
    let mut terms = terms.into_iter();
    let Some(first) = terms.next() else { return Ok(smallvec![]) };
    Ok(smallvec![terms.try_fold(first, |sum, t| add(&sum, &t))?])
}

/// Input `i` of a batch, with the batch axis merged into axis `at`, as groups.
fn groups_of_batch(ctx: &BatchContext<'_>, i: usize, at: usize) -> Result<Variable> {
    let x = ctx.batched_input(i)?;
    if at == 0 {
        return join_first(&x);
    }
    let x = moveaxis(&x, &[0], &[1])?;
    let mut shape = Shape::from_slice(x.shape());
    let n = shape.remove(1);
    shape[1] *= n;
    reshape_to(&x, &shape)
}

/// A batch of convolutions without the bias: as more images if the weight is the same for all samples, else as more groups.
fn batch_images(ctx: &BatchContext<'_>, p: &'static Primitive) -> Result<Variable> {
    let c: &Convolution = ctx.attrs();
    if !ctx.mapped[0] && !ctx.mapped[1] {
        // Only the bias differs between samples.
        return super::expand_dims(&apply(p, &ctx.inputs[..2], c)?, &[0]);
    }
    if !ctx.mapped[1] {
        let x = join_first(ctx.array(0))?;
        return split_first(&apply(p, &[(&x).into(), ctx.array(1).into()], c)?, ctx.size);
    }
    let (x, w) = (groups_of_batch(ctx, 0, 1)?, groups_of_batch(ctx, 1, 0)?);
    let wide = Convolution { groups: c.groups * ctx.size, ..c.clone() };
    let y = apply(p, &[(&x).into(), (&w).into()], &wide)?;
    let mut shape = Shape::from_slice(y.shape());
    shape[1] /= ctx.size.max(1);
    shape.insert(1, ctx.size);
    moveaxis(&reshape_to(&y, &shape)?, &[1], &[0])
}

/// A batched product plus the bias of each sample.
fn batch_with_bias(ctx: &BatchContext<'_>, product: fn(&BatchContext<'_>) -> Result<Variable>) -> Result<Outputs> {
    let y = product(ctx)?;
    if ctx.inputs.len() < 3 {
        return Ok(smallvec![y]);
    }
    let bias = ctx.array(2);
    let mut shape = Shape::from_elem(1, y.ndim());
    (shape[0], shape[2]) = if ctx.mapped[2] { (ctx.size, bias.shape()[1]) } else { (1, bias.shape()[0]) };
    Ok(smallvec![add(&y, &reshape_to(bias, &shape)?)?])
}

/// The padding, as given by the caller.
#[derive(Clone, Debug)]
pub enum Padding {
    /// Zeros on both sides, a number for each axis or one for all.
    Zeros(SmallVec<[isize; 4]>),
    /// As many zeros as needed for an output of the size of the input.
    Same,
    /// None.
    Valid,
}

impl Padding {
    fn of(op: &str, a: &Args<'_>, i: usize) -> Result<Self> {
        match a.text(i) {
            Ok("same") => Ok(Self::Same),
            Ok("valid") => Ok(Self::Valid),
            Ok(other) => Err(Error::Value(format!("{op}: padding '{other}' is unknown, expected 'same', 'valid' or numbers"))),
            Err(_) => a.int_list(i).map(Self::Zeros),
        }
    }
}

/// The numbers of a convolution, as users give them.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// Distance between neighbouring windows.
    pub stride: &'a [isize],
    /// Zeros around the input.
    pub padding: Padding,
    /// Distance between neighbouring taps.
    pub dilation: &'a [isize],
    /// Groups of channels that are convolved separately.
    pub groups: i64,
}

/// Operands in one floating dtype.
fn together(op: &str, x: &Variable, w: &Variable, bias: Option<&Variable>) -> Result<(Variable, Variable, Option<Variable>)> {
    let dtype = common_floating(op, x, std::iter::once(w).chain(bias))?;
    let cast = |v: &Variable| in_dtype(v, dtype, &mut None).cloned();
    Ok((cast(x)?, cast(w)?, bias.map(cast).transpose()?))
}

/// Checks the weight and the bias of a convolution of `channels`, and returns the number of groups.
fn check_weight(op: &str, axes: usize, w: &Variable, groups: i64) -> Result<usize> {
    if w.ndim() != axes + 2 {
        return Err(Error::Shape(format!("{op}: the weight has shape {}, expected {} axes", show_shape(w.shape()), axes + 2)));
    }
    if w.shape()[2..].contains(&0) {
        return Err(Error::Shape(format!(
            "{op}: the weight has shape {}, expected a kernel with at least one element along each axis",
            show_shape(w.shape())
        )));
    }
    let count = usize::try_from(groups).ok().filter(|g| *g > 0);
    let count = count.ok_or_else(|| Error::Value(format!("{op}: groups must be at least 1, got {groups}")))?;
    if !w.shape()[0].is_multiple_of(count) {
        return Err(Error::Shape(format!("{op}: {} channels of the weight (axis 0) cannot be divided into {count} groups", w.shape()[0])));
    }
    Ok(count)
}

fn check_bias(op: &str, bias: Option<&Variable>, channels: usize) -> Result<()> {
    match bias {
        Some(b) if b.shape() != [channels] => {
            Err(Error::Shape(format!("{op}: the bias has shape {}, expected ({channels},): one for each output channel", show_shape(b.shape()))))
        }
        _ => Ok(()),
    }
}

fn check_channels(op: &str, x: &Variable, expected: usize, w: &Variable, groups: usize) -> Result<()> {
    if x.shape()[1] == expected {
        return Ok(());
    }
    let (got, weight) = (show_shape(x.shape()), show_shape(w.shape()));
    Err(Error::Shape(format!(
        "{op}: an input of shape {got} has {} channels, expected {expected} for a weight of shape {weight} and {groups} groups",
        x.shape()[1]
    )))
}

/// Names of operations by the number of spatial axes.
const NAMES: [[&str; 2]; 3] = [["conv1d", "conv_transpose1d"], ["conv2d", "conv_transpose2d"], ["conv3d", "conv_transpose3d"]];

/// The zeros before the input and the size of the output.
fn sizes(op: &str, padding: &Padding, input: &[usize], kernel: &[usize], [stride, dilation]: [&[usize]; 2]) -> Result<(Numbers, Numbers)> {
    let span = |i: usize| dilation[i] * (kernel[i] - 1) + 1;
    let n = input.len();
    let padding = match padding {
        Padding::Same => {
            if stride.iter().any(|s| *s != 1) {
                return Err(Error::Value(format!("{op}: padding 'same' needs a stride of 1")));
            }
            return Ok(((0..n).map(|i| (span(i) - 1) / 2).collect(), Numbers::from_slice(input)));
        }
        Padding::Valid => Numbers::from_elem(0, n),
        Padding::Zeros(p) => numbers(op, "padding", p, n, 0)?,
    };
    let one = |i: usize| {
        let wide = input[i] + 2 * padding[i];
        let room = wide.checked_sub(span(i)).ok_or_else(|| {
            Error::Shape(format!(
                "{op}: the kernel spans {} elements of spatial axis {i}, which has {wide} with its padding; expected at most as many",
                span(i)
            ))
        })?;
        Ok(room / stride[i] + 1)
    };
    let output = (0..n).map(one).collect::<Result<Numbers>>()?;
    Ok((padding, output))
}

/// The convolution of `x`, (N, C, …) or (C, …) with `axes` spatial axes, with `w`, (O, C / groups, …).
///
/// # Errors
/// `Shape` when channels, weight and bias do not fit or the kernel is larger than the padded input, `Value` for options out of
/// range.
pub fn convolution(axes: usize, x: &Variable, w: &Variable, bias: Option<&Variable>, options: &Options<'_>) -> Result<Variable> {
    let op = NAMES[axes - 1][0];
    let groups = check_weight(op, axes, w, options.groups)?;
    let (x, was_added) = batched(op, x, axes + 1)?;
    check_channels(op, &x, w.shape()[1] * groups, w, groups)?;
    check_bias(op, bias, w.shape()[0])?;
    let (stride, dilation) = (numbers(op, "stride", options.stride, axes, 1)?, numbers(op, "dilation", options.dilation, axes, 1)?);
    let (input, kernel) = (Numbers::from_slice(&x.shape()[2..]), Numbers::from_slice(&w.shape()[2..]));
    let (low, output) = sizes(op, &options.padding, &input, &kernel, [&stride, &dilation])?;
    let attrs = Convolution::new(groups, [&input, &kernel, &output, &stride, &dilation, &low]);
    let (x, w, bias) = together(op, &x, w, bias)?;
    unbatched(run(&CONVOLUTION, &x, &w, bias.as_ref(), &attrs)?, was_added)
}

fn run(p: &'static Primitive, x: &Variable, w: &Variable, bias: Option<&Variable>, attrs: &Convolution) -> Result<Variable> {
    let inputs: SmallVec<[Operand<'_>; 3]> = [x.into(), w.into()].into_iter().chain(bias.map(Operand::from)).collect();
    apply(p, &inputs, attrs)
}

/// The transposed convolution of `x`, (N, C, …) or (C, …), with `w`, (C, O / groups, …): the gradient of a convolution by its
/// input. `output_padding` is added to the size of the output at one side.
///
/// # Errors
/// As [`convolution`], and `Value` when the output padding is not below the stride or the dilation.
pub fn conv_transpose(
    axes: usize,
    x: &Variable,
    w: &Variable,
    bias: Option<&Variable>,
    options: &Options<'_>,
    output_padding: &[isize],
) -> Result<Variable> {
    let op = NAMES[axes - 1][1];
    let groups = check_weight(op, axes, w, options.groups)?;
    let (x, was_added) = batched(op, x, axes + 1)?;
    check_channels(op, &x, w.shape()[0], w, groups)?;
    check_bias(op, bias, w.shape()[1] * groups)?;
    let (stride, dilation) = (numbers(op, "stride", options.stride, axes, 1)?, numbers(op, "dilation", options.dilation, axes, 1)?);
    let Padding::Zeros(padding) = &options.padding else {
        return Err(Error::Value(format!("{op}: padding must be numbers")));
    };
    let (low, more) = (numbers(op, "padding", padding, axes, 0)?, numbers(op, "output_padding", output_padding, axes, 0)?);
    let (output, kernel) = (Numbers::from_slice(&x.shape()[2..]), Numbers::from_slice(&w.shape()[2..]));
    let one = |i: usize| {
        if more[i] >= stride[i].max(dilation[i]) {
            let (stride, dilation) = (stride[i], dilation[i]);
            return Err(Error::Value(format!(
                "{op}: output_padding is {}, expected less than the stride {stride} or the dilation {dilation}",
                more[i]
            )));
        }
        let whole = output[i].saturating_sub(1) * stride[i] + dilation[i] * (kernel[i] - 1) + more[i] + 1;
        whole.checked_sub(2 * low[i]).filter(|n| *n > 0 && output[i] > 0).ok_or_else(|| {
            Error::Shape(format!("{op}: the output would be empty along spatial axis {i}: {whole} elements less {} of padding", 2 * low[i]))
        })
    };
    let input = (0..axes).map(one).collect::<Result<Numbers>>()?;
    let attrs = Convolution::new(groups, [&input, &kernel, &output, &stride, &dilation, &low]);
    let (x, w, bias) = together(op, &x, w, bias)?;
    unbatched(run(&TRANSPOSED, &x, &w, bias.as_ref(), &attrs)?, was_added)
}

/// The sizes of patches. Axes in front of the channels are a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Patches(Convolution);

impl Patches {
    fn geometry(&self, batch: usize, channels: usize) -> Geometry {
        self.0.geometry(batch, channels, 1)
    }

    /// The shape of patches of images of shape `x`.
    fn columns(&self, x: &[usize]) -> Shape {
        let (front, core) = x.split_at(x.len() - 3);
        let g = self.geometry(1, core[0]);
        front.iter().copied().chain([g.depth(), g.positions()]).collect()
    }

    /// The shape of images of patches of shape `x`.
    fn images(&self, x: &[usize]) -> Shape {
        let (front, core) = x.split_at(x.len() - 2);
        let taps = self.geometry(1, 1).taps();
        front.iter().copied().chain([core[0] / taps, self.0.input[1], self.0.input[2]]).collect()
    }
}

static UNFOLD: Primitive = Primitive {
    name: "unfold",
    eval: |call| {
        let (p, x) = (call.attrs::<Patches>(), call.array(0).contiguous());
        let shape = p.columns(x.shape());
        let g = p.geometry(1, x.shape()[x.ndim() - 3]);
        check_memory(call.name(), &shape, x.dtype())?;
        let out = call.out(&shape, x.dtype());
        dispatch!(float x.dtype(), T => kernel::all_patches::<T>(flat(&x), &g, out.data_mut()), else not_floating());
        Ok(())
    },
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        ctx.add(0, apply(&FOLD, &[(&g).into()], ctx.attrs::<Patches>())?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Rule(|ctx| Ok(smallvec![apply(&UNFOLD, ctx.inputs, ctx.attrs::<Patches>())?])),
    ..Primitive::BASE
};

static FOLD: Primitive = Primitive {
    name: "fold",
    eval: |call| {
        let (p, x) = (call.attrs::<Patches>(), call.array(0).contiguous());
        let shape = p.images(x.shape());
        let g = p.geometry(1, shape[shape.len() - 3]);
        check_memory(call.name(), &shape, x.dtype())?;
        let out = call.out(&shape, x.dtype());
        dispatch!(float x.dtype(), T => kernel::sum_of_patches::<T>(flat(&x), &g, out.data_mut()), else not_floating());
        Ok(())
    },
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        ctx.add(0, apply(&UNFOLD, &[(&g).into()], ctx.attrs::<Patches>())?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Rule(|ctx| Ok(smallvec![apply(&FOLD, ctx.inputs, ctx.attrs::<Patches>())?])),
    ..Primitive::BASE
};

/// Kernel size, dilation, padding and stride, as users give them.
type PatchOptions<'a> = [&'a [isize]; 4];

fn patches(op: &str, input: &[usize], [kernel, dilation, padding, stride]: PatchOptions<'_>) -> Result<Patches> {
    let (kernel, dilation) = (numbers(op, "kernel_size", kernel, 2, 1)?, numbers(op, "dilation", dilation, 2, 1)?);
    let stride = numbers(op, "stride", stride, 2, 1)?;
    let (low, output) = sizes(op, &Padding::Zeros(SmallVec::from_slice(padding)), input, &kernel, [&stride, &dilation])?;
    Ok(Patches(Convolution::new(1, [input, &kernel, &output, &stride, &dilation, &low])))
}

/// The patches of images (N, C, H, W) or (C, H, W) as columns: (N, C · taps, positions).
///
/// # Errors
/// `Shape` when the kernel is larger than the padded input, `Value` for options out of range.
pub fn unfold(x: &Variable, options: PatchOptions<'_>) -> Result<Variable> {
    let (x, was_added) = batched("unfold", x, 3)?;
    let attrs = patches("unfold", &x.shape()[2..], options)?;
    unbatched(apply(&UNFOLD, &[(&floating("unfold", &x)?).into()], &attrs)?, was_added)
}

/// Columns (N, C · taps, positions) added up where [`unfold`] reads them, in images of `output_size`: its transpose.
///
/// # Errors
/// As [`unfold`], and `Shape` when the columns do not fit the sizes.
pub fn fold(x: &Variable, output_size: &[isize], options: PatchOptions<'_>) -> Result<Variable> {
    let (x, was_added) = batched("fold", x, 2)?;
    let size = numbers("fold", "output_size", output_size, 2, 1)?;
    let attrs = patches("fold", &size, options)?;
    let (taps, positions) = (attrs.geometry(1, 1).taps(), attrs.geometry(1, 1).positions());
    if !x.shape()[1].is_multiple_of(taps) || x.shape()[2] != positions {
        let shape = show_shape(x.shape());
        return Err(Error::Shape(format!("fold: columns of shape {shape} do not fit, expected (batch, channels * {taps}, {positions})")));
    }
    unbatched(apply(&FOLD, &[(&floating("fold", &x)?).into()], &attrs)?, was_added)
}

fn call_convolution(a: &Args<'_>, axes: usize) -> Result<Value> {
    let (stride, dilation) = (a.int_list(3)?, a.int_list(5)?);
    let padding = Padding::of(NAMES[axes - 1][0], a, 4)?;
    let options = Options { stride: &stride, padding, dilation: &dilation, groups: a.int(6)? };
    Ok(convolution(axes, &a.variable(0)?, &a.variable(1)?, a.opt_variable(2)?.as_ref(), &options)?.into())
}

fn call_transposed(a: &Args<'_>, axes: usize) -> Result<Value> {
    let (stride, dilation) = (a.int_list(3)?, a.int_list(7)?);
    let options = Options { stride: &stride, padding: Padding::Zeros(a.int_list(4)?), dilation: &dilation, groups: a.int(6)? };
    Ok(conv_transpose(axes, &a.variable(0)?, &a.variable(1)?, a.opt_variable(2)?.as_ref(), &options, &a.int_list(5)?)?.into())
}

/// input, weight, bias, stride, padding, dilation, groups.
const CONV: &[Param] = &[
    Param::array("input"),
    Param::array("weight"),
    Param::new("bias", Kind::OptArray).or(Default::None),
    Param::new("stride", Kind::Ints).or(Default::Int(1)),
    Param::new("padding", Kind::Padding).or(Default::Int(0)),
    Param::new("dilation", Kind::Ints).or(Default::Int(1)),
    Param::new("groups", Kind::Int).or(Default::Int(1)),
];

/// input, weight, bias, stride, padding, output_padding, groups, dilation.
const CONV_TRANSPOSE: &[Param] = &[
    Param::array("input"),
    Param::array("weight"),
    Param::new("bias", Kind::OptArray).or(Default::None),
    Param::new("stride", Kind::Ints).or(Default::Int(1)),
    Param::new("padding", Kind::Ints).or(Default::Int(0)),
    Param::new("output_padding", Kind::Ints).or(Default::Int(0)),
    Param::new("groups", Kind::Int).or(Default::Int(1)),
    Param::new("dilation", Kind::Ints).or(Default::Int(1)),
];

const UNFOLD_PARAMS: &[Param] = &[
    Param::array("input"),
    Param::new("kernel_size", Kind::Ints),
    Param::new("dilation", Kind::Ints).or(Default::Int(1)),
    Param::new("padding", Kind::Ints).or(Default::Int(0)),
    Param::new("stride", Kind::Ints).or(Default::Int(1)),
];

const FOLD_PARAMS: &[Param] = &[
    Param::array("input"),
    Param::new("output_size", Kind::Ints),
    Param::new("kernel_size", Kind::Ints),
    Param::new("dilation", Kind::Ints).or(Default::Int(1)),
    Param::new("padding", Kind::Ints).or(Default::Int(0)),
    Param::new("stride", Kind::Ints).or(Default::Int(1)),
];

/// Multiplications of a convolution, in units of a simple operation.
fn work(args: &[Arg]) -> usize {
    let size = |i: usize| if let Some(Arg::Variable(v)) = args.get(i) { v.array().size() } else { 1 };
    let filters = if let Some(Arg::Variable(w)) = args.get(1) { w.shape().first().copied().unwrap_or(1).max(1) } else { 1 };
    size(0).saturating_mul(size(1) / filters + filters).max(size(0))
}

/// A sample: shapes of input and weight, whether there is a bias, and the other arguments.
fn sample(draw: &mut Draw, x: &[usize], w: &[usize], bias: Option<usize>, rest: Vec<Arg>) -> Sample {
    let bias = bias.map_or(Arg::None, |n| Arg::Variable(REAL.array(draw, &[n])));
    let (x, w) = (REAL.strided(draw, x), REAL.array(draw, w));
    Sample { args: [Arg::Variable(x), Arg::Variable(w), bias].into_iter().chain(rest).collect() }
}

fn conv_samples(axes: usize) -> Vec<Sample> {
    let draw = &mut Draw::new(21);
    let shape = |front: &[usize], n: &[usize]| [front, &n[n.len() - axes..]].concat();
    let (small, large) = ([2, 3, 4], [3, 4, 5]);
    let rest = |stride: isize, padding: Arg, dilation: isize, groups: i64| vec![ints(&[stride]), padding, ints(&[dilation]), Arg::Int(groups)];
    let mut out = vec![
        sample(draw, &shape(&[2, 2], &large), &shape(&[3, 2], &[2, 2, 3]), Some(3), rest(1, ints(&[1]), 1, 1)),
        sample(draw, &shape(&[2, 4], &large), &shape(&[2, 2], &[1, 2, 2]), None, rest(2, ints(&[0]), 1, 2)),
        sample(draw, &shape(&[1, 2], &large), &shape(&[2, 2], &[2, 2, 2]), Some(2), rest(1, Arg::Text("same".into()), 2, 1)),
        sample(draw, &shape(&[3], &small), &shape(&[3, 1], &[1, 2, 2]), Some(3), rest(1, Arg::Text("valid".into()), 1, 3)),
        sample(draw, &shape(&[2, 2], &small), &shape(&[3, 2], &[1, 1, 1]), Some(3), rest(1, ints(&[0]), 1, 1)),
        sample(draw, &shape(&[0, 2], &small), &shape(&[3, 2], &[1, 2, 2]), Some(3), rest(1, ints(&[0]), 1, 1)),
    ];
    if axes == 2 {
        let uneven = vec![ints(&[2, 1]), ints(&[1, 2]), ints(&[2, 1]), Arg::Int(2)];
        out.push(sample(draw, &[1, 2, 5, 4], &[4, 1, 2, 3], Some(4), uneven));
    }
    out
}

fn transposed_samples(axes: usize) -> Vec<Sample> {
    let draw = &mut Draw::new(22);
    let shape = |front: &[usize], n: &[usize]| [front, &n[n.len() - axes..]].concat();
    let rest = |stride: isize, padding: isize, more: isize, groups: i64, dilation: isize| {
        vec![ints(&[stride]), ints(&[padding]), ints(&[more]), Arg::Int(groups), ints(&[dilation])]
    };
    let small = [2, 2, 3];
    vec![
        sample(draw, &shape(&[2, 2], &small), &shape(&[2, 3], &[2, 2, 2]), Some(3), rest(1, 0, 0, 1, 1)),
        sample(draw, &shape(&[1, 4], &small), &shape(&[4, 1], &[2, 2, 3]), Some(2), rest(2, 1, 1, 2, 1)),
        sample(draw, &shape(&[2], &small), &shape(&[2, 2], &[2, 2, 2]), None, rest(2, 1, 0, 1, 2)),
    ]
}

fn patch_samples(shapes: &[&[usize]], first: &[Arg]) -> Vec<Sample> {
    let draw = &mut Draw::new(23);
    let options = [[&[2][..], &[1], &[0], &[1]], [&[2, 3], &[1, 1], &[1], &[2, 1]]];
    let all = shapes.iter().zip(options).map(|(shape, o)| {
        let rest = first.iter().cloned().chain(o.iter().map(|v| ints(v)));
        Sample { args: std::iter::once(Arg::Variable(REAL.strided(draw, shape))).chain(rest).collect() }
    });
    all.collect()
}

const CONV_RULE: &str =
    "dx is the transposed convolution of g with the weight, dw the convolution of x with g over the batch, db = Σ g over all but the channels";
const TRANSPOSED_RULE: &str =
    "dx is the convolution of g with the weight, dw the convolution of g with x over the batch, db = Σ g over all but the channels";

/// A row of a convolution.
const fn conv_entry(name: &'static str, doc: &'static str, call: fn(&Args<'_>) -> Result<Value>, samples: fn() -> Vec<Sample>) -> Entry {
    Entry { name, module: "nn.functional", doc, params: CONV, call, work, gradient: Gradient::Rule(CONV_RULE), samples, method: false, ..Entry::BASE }
}

/// A row of a transposed convolution.
const fn transposed_entry(name: &'static str, doc: &'static str, call: fn(&Args<'_>) -> Result<Value>, samples: fn() -> Vec<Sample>) -> Entry {
    Entry {
        name,
        module: "nn.functional",
        doc,
        params: CONV_TRANSPOSE,
        call,
        work,
        gradient: Gradient::Rule(TRANSPOSED_RULE),
        samples,
        method: false,
        ..Entry::BASE
    }
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    conv_entry(
        "conv1d",
        "The convolution of a sequence: input (N, C, L) or (C, L), weight (O, C / groups, K), bias (O,); the result is (N, O, L').\n\
         y[n, o, p] = bias[o] + Σ weight[o, c, k] input[n, c, p * stride + k * dilation - padding]. padding is numbers, 'valid' (none)\n\
         or 'same' (the result is as long as the input; stride 1 only). A kernel longer than the padded input raises ShapeError.\n\
         \n\
         >>> tg.nn.functional.conv1d(tg.Variable([[1.0, 2.0, 3.0]]), tg.Variable([[[1.0, 10.0]]]))\n\
         Variable([[21., 32.]])\n",
        |a| call_convolution(a, 1),
        || conv_samples(1),
    ),
    conv_entry(
        "conv2d",
        "The convolution of images: input (N, C, H, W) or (C, H, W), weight (O, C / groups, KH, KW), bias (O,); the result is\n\
         (N, O, H', W') with H' = floor((H + 2 padding - dilation (KH - 1) - 1) / stride) + 1. padding is numbers, 'valid' (none) or\n\
         'same' (the result is as large as the input; stride 1 only). With groups = C each channel has its own kernels (depthwise).\n\
         \n\
         >>> x = tg.reshape(tg.arange(9.0), (1, 3, 3))\n\
         >>> tg.nn.functional.conv2d(x, tg.ones((1, 1, 2, 2)))\n\
         Variable([[[ 8., 12.],\n           [20., 24.]]])\n",
        |a| call_convolution(a, 2),
        || conv_samples(2),
    ),
    conv_entry(
        "conv3d",
        "The convolution of volumes: input (N, C, D, H, W) or (C, D, H, W), weight (O, C / groups, KD, KH, KW), bias (O,). Options are\n\
         those of conv2d.\n\
         \n\
         >>> tg.nn.functional.conv3d(tg.ones((1, 2, 2, 2)), tg.ones((1, 1, 2, 2, 2)))\n\
         Variable([[[[8.]]]])\n",
        |a| call_convolution(a, 3),
        || conv_samples(3),
    ),
    transposed_entry(
        "conv_transpose1d",
        "The transposed convolution of a sequence: input (N, C, L) or (C, L), weight (C, O / groups, K). It is the gradient of conv1d by\n\
         its input: each element adds its multiple of the kernel. L' = (L - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1.\n\
         \n\
         >>> tg.nn.functional.conv_transpose1d(tg.Variable([[1.0, 2.0]]), tg.Variable([[[1.0, 10.0]]]))\n\
         Variable([[ 1., 12., 20.]])\n",
        |a| call_transposed(a, 1),
        || transposed_samples(1),
    ),
    transposed_entry(
        "conv_transpose2d",
        "The transposed convolution of images: input (N, C, H, W) or (C, H, W), weight (C, O / groups, KH, KW): see conv_transpose1d.\n\
         \n\
         >>> tg.nn.functional.conv_transpose2d(tg.ones((1, 1, 2)), tg.ones((1, 1, 2, 2)))\n\
         Variable([[[1., 2., 1.],\n           [1., 2., 1.]]])\n",
        |a| call_transposed(a, 2),
        || transposed_samples(2),
    ),
    transposed_entry(
        "conv_transpose3d",
        "The transposed convolution of volumes: input (N, C, D, H, W) or (C, D, H, W), weight (C, O / groups, KD, KH, KW): see\n\
         conv_transpose1d.\n\
         \n\
         >>> tg.nn.functional.conv_transpose3d(tg.ones((1, 1, 1, 1)), tg.ones((1, 1, 1, 1, 2)))\n\
         Variable([[[[1., 1.]]]])\n",
        |a| call_transposed(a, 3),
        || transposed_samples(3),
    ),
    Entry {
        name: "unfold",
        module: "nn.functional",
        primitive: Some(&UNFOLD),
        doc: "The patches of images (N, C, H, W) or (C, H, W) as columns: (N, C * KH * KW, positions). What a convolution multiplies.\n\
              \n\
              >>> x = tg.reshape(tg.arange(4.0), (1, 1, 2, 2))\n\
              >>> tg.nn.functional.unfold(x, 2)\n\
              Variable([[[0.],\n           [1.],\n           [2.],\n           [3.]]])\n",
        params: UNFOLD_PARAMS,
        call: |a| {
            let o = [a.int_list(1)?, a.int_list(2)?, a.int_list(3)?, a.int_list(4)?];
            Ok(unfold(&a.variable(0)?, [&o[0], &o[1], &o[2], &o[3]])?.into())
        },
        gradient: Gradient::Rule("fold(g)"),
        linear: true,
        method: false,
        samples: || patch_samples(&[&[2, 2, 3, 4], &[1, 3, 4]], &[]),
        ..Entry::BASE
    },
    Entry {
        name: "fold",
        module: "nn.functional",
        primitive: Some(&FOLD),
        doc: "Columns (N, C * KH * KW, positions) added up where unfold reads them, in images (N, C, H, W) of output_size: its transpose.\n\
              \n\
              >>> tg.nn.functional.fold(tg.ones((1, 4, 2)), (2, 3), 2)\n\
              Variable([[[[1., 2., 1.],\n            [1., 2., 1.]]]])\n",
        params: FOLD_PARAMS,
        call: |a| {
            let o = [a.int_list(2)?, a.int_list(3)?, a.int_list(4)?, a.int_list(5)?];
            Ok(fold(&a.variable(0)?, &a.int_list(1)?, [&o[0], &o[1], &o[2], &o[3]])?.into())
        },
        gradient: Gradient::Rule("unfold(g)"),
        linear: true,
        method: false,
        samples: || patch_samples(&[&[2, 8, 6], &[6, 8]], &[ints(&[3, 4])]),
        ..Entry::BASE
    },
];
