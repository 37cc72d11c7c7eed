//! Pooling: the largest element or the mean of windows, adaptive windows, and unpooling.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::conv::flat;
use super::reduction::floating;
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::resample::{gather_places, is_places, resample, scatter_places};
use super::samples::{Draw, REAL, ints};
use super::spatial::{KEEP, Numbers, batched, numbers, unbatched};
use super::{divide, multiply, power};
use crate::array::{Array, DType, Shape, check_memory};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel::resample::Table;
use crate::kernel::windows::{Axis, Windows, maxima, places};
use crate::tape::capture::{self, Arrays, Computation, ComputationKind};
use crate::tape::{Batch, Call, Jvp, Primitive, Variable, Vjp, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&MAX_POOL, &MAX_PLACES, &LAST_PLACES, &FRACTIONAL_PLACES];

/// Windows over the last `axes` axes.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pooled {
    axes: usize,
    windows: Arc<Windows>,
}
crate::attributes!(Pooled, Count, Fractions);

impl Pooled {
    fn new(windows: &[Axis]) -> Self {
        let mut all = windows.iter().rev().cloned().chain(std::iter::repeat_with(Axis::missing));
        let [c, b, a] = [all.next(), all.next(), all.next()].map(|w| w.unwrap_or_else(Axis::missing));
        Self { axes: windows.len(), windows: Arc::new(Windows([a, b, c])) }
    }

    /// The shape of the result for an input of shape `x`.
    fn shape(&self, x: &[usize]) -> Shape {
        let counts = self.windows.0[3 - self.axes..].iter().map(|a| a.windows.len());
        x[..x.len() - self.axes].iter().copied().chain(counts).collect()
    }
}

/// The error for complex numbers, which have no order.
fn unordered(op: &str, dtype: DType) -> Error {
    Error::dtype(op, dtype, "real numbers, which have an order")
}

static MAX_POOL: Primitive = Primitive {
    name: "max_pool",
    eval: |call| {
        let (p, x) = (call.attrs::<Pooled>(), call.array(0).contiguous());
        let shape = p.shape(x.shape());
        check_memory(call.name(), &shape, x.dtype())?;
        let out = call.out(&shape, x.dtype());
        dispatch!(real x.dtype(), T => maxima::<T>(flat(&x), &p.windows, out.data_mut()), else return Err(unordered(call.name(), x.dtype())));
        Ok(())
    },
    saves: |s| s.input(0),
    vjp: Vjp::Rule(|ctx| {
        let (g, x) = (ctx.cotangent(), ctx.input(0));
        let at = places_of(&x, ctx.attrs())?;
        let plane = &x.shape()[x.ndim() - ctx.attrs::<Pooled>().axes..];
        ctx.add(0, scatter_places(&g, &at, plane)?)
    }),
    jvp: Jvp::Rule(|ctx| {
        let Some(t) = &ctx.tangents[0] else { return Ok(smallvec![]) };
        let p: &Pooled = ctx.attrs();
        Ok(smallvec![gather_places(t, &places_of(&ctx.input(0), p)?, p.axes)?])
    }),
    batch: Batch::Rule(|ctx| Ok(smallvec![apply(&MAX_POOL, ctx.inputs, ctx.attrs::<Pooled>())?])),
    ..Primitive::BASE
};

/// The position of the largest element of each window, as an index into its plane.
static MAX_PLACES: Primitive = Primitive {
    name: "max_pool_indices",
    eval: |call| {
        let (p, x) = (call.attrs::<Pooled>(), call.array(0).contiguous());
        let shape = p.shape(x.shape());
        check_memory(call.name(), &shape, DType::I64)?;
        let out = call.out(&shape, DType::I64);
        dispatch!(real x.dtype(), T => places::<T>(flat(&x), &p.windows, out.data_mut()), else return Err(unordered(call.name(), x.dtype())));
        Ok(())
    },
    batch: Batch::Rule(|ctx| Ok(smallvec![apply(&MAX_PLACES, ctx.inputs, ctx.attrs::<Pooled>())?])),
    ..Primitive::BASE
};

fn places_of(x: &Variable, p: &Pooled) -> Result<Variable> {
    apply(&MAX_PLACES, &[x.into()], p)
}

/// Positions, where all but the last of equal ones in a plane are [`SKIP`](crate::kernel::gather::SKIP).
static LAST_PLACES: Primitive = Primitive {
    name: "last_places",
    eval: |call| {
        let mut out = call.array(0).contiguous();
        let count = call.attrs::<Count>().0;
        if count > 0 {
            let mut seen = std::collections::HashSet::new();
            for plane in out.data_mut::<i64>().chunks_exact_mut(count) {
                seen.clear();
                plane.iter_mut().rev().filter(|p| !seen.insert(**p)).for_each(|p| *p = -1);
            }
        }
        call.give(out);
        Ok(())
    },
    batch: Batch::Rule(|ctx| Ok(smallvec![apply(&LAST_PLACES, ctx.inputs, ctx.attrs::<Count>())?])),
    ..Primitive::BASE
};

/// The number of positions in a plane.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Count(usize);

/// Positions of maxima in windows that are placed by random numbers (input 1, one per axis of each plane).
static FRACTIONAL_PLACES: Primitive = Primitive { name: "fractional_max_pool_indices", eval: eval_fractional, ..Primitive::BASE };

/// Sizes of windows and of the result, for each axis.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Fractions {
    kernel: Numbers,
    output: Numbers,
}

#[allow(clippy::unnecessary_wraps, reason = "an evaluation")]
fn eval_fractional(call: &mut Call<'_>) -> Result<()> {
    let (f, x, samples) = (call.attrs::<Fractions>(), call.array(0).contiguous(), call.array(1).to_vec::<f64>());
    let axes = f.kernel.len();
    let (front, sizes) = x.shape().split_at(x.ndim() - axes);
    let shape: Shape = front.iter().chain(&f.output).copied().collect();
    let (plane, count): (usize, usize) = (sizes.iter().product(), f.output.iter().product());
    let out = call.out(&shape, DType::I64);
    if out.size() == 0 {
        return Ok(());
    }
    let data = out.data_mut::<i64>();
    dispatch!(real x.dtype(), T => for (i, out) in data.chunks_exact_mut(count).enumerate() {
        let windows: Vec<Axis> = (0..axes).map(|a| {
            // PyTorch's order: the first of two numbers is for the last axis.
            let at = if axes == 2 { 1 - a } else { a };
            fractional_axis(sizes[a], f.kernel[a], f.output[a], samples[i * axes + at])
        }).collect();
        places::<T>(&flat::<T>(&x)[i * plane..(i + 1) * plane], &Pooled::new(&windows).windows, out);
    }, else return Err(unordered(call.name(), x.dtype())));
    Ok(())
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "places in an axis")]
fn fractional_axis(size: usize, kernel: usize, outputs: usize, sample: f64) -> Axis {
    let alpha = (size - kernel) as f64 / outputs.saturating_sub(1).max(1) as f64;
    let start = |i: usize| if i + 1 == outputs { size - kernel } else { ((i as f64 + sample) * alpha) as usize - (sample * alpha) as usize };
    Axis { size, step: 1, windows: (0..outputs).map(|i| (start(i), kernel)).collect() }
}

/// Kernel, stride (empty: the kernel), padding and dilation, as given by users.
struct Options<'a> {
    kernel: &'a [isize],
    stride: &'a [isize],
    padding: &'a [isize],
    dilation: &'a [isize],
    ceil_mode: bool,
}

/// The parameters of windows along each axis.
struct Window {
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    outputs: usize,
}

impl Options<'_> {
    /// The windows along axes of these sizes.
    fn windows(&self, op: &str, sizes: &[usize]) -> Result<Vec<Window>> {
        let n = sizes.len();
        let kernel = numbers(op, "kernel_size", self.kernel, n, 1)?;
        let stride = if self.stride.is_empty() { kernel.clone() } else { numbers(op, "stride", self.stride, n, 1)? };
        let (padding, dilation) = (numbers(op, "padding", self.padding, n, 0)?, numbers(op, "dilation", self.dilation, n, 1)?);
        let one = |i: usize| {
            let mut w = Window { kernel: kernel[i], stride: stride[i], padding: padding[i], dilation: dilation[i], outputs: 0 };
            let span = w.dilation * (w.kernel - 1) + 1;
            let half = w.kernel / 2;
            if w.padding > half {
                return Err(Error::Value(format!("{op}: padding is {}, expected at most half of the kernel, which is {half}", w.padding)));
            }
            let room = (sizes[i] + 2 * w.padding + if self.ceil_mode { w.stride - 1 } else { 0 }).checked_sub(span);
            w.outputs = room.filter(|_| sizes[i] > 0).map(|r| r / w.stride + 1).ok_or_else(|| {
                let (have, s) = (sizes[i] + 2 * w.padding, show_shape(sizes));
                Error::Shape(format!("{op}: the kernel spans {span} elements of spatial axis {i}, which has {have} with its padding (sizes {s})"))
            })?;
            // The last window must not begin in the padding at the end.
            if self.ceil_mode && (w.outputs - 1) * w.stride >= sizes[i] + w.padding {
                w.outputs -= 1;
            }
            Ok(w)
        };
        (0..n).map(one).collect()
    }
}

impl Window {
    /// For each window, the elements that are inside the axis.
    fn inside(&self, op: &str, size: usize) -> Result<Axis> {
        let one = |i: usize| {
            let start = i * self.stride;
            let skipped = self.padding.saturating_sub(start).div_ceil(self.dilation);
            let first = start + skipped * self.dilation - self.padding;
            let count = size.saturating_sub(first).div_ceil(self.dilation).min(self.kernel.saturating_sub(skipped));
            if count == 0 {
                return Err(Error::Shape(format!("{op}: window {i} holds nothing but padding of an axis of {size} elements")));
            }
            Ok((first, count))
        };
        Ok(Axis { size, step: self.dilation, windows: (0..self.outputs).map(one).collect::<Result<_>>()? })
    }

    /// The divisor for the sum of each window.
    fn divisors(&self, size: usize, with_padding: bool) -> Vec<usize> {
        let one = |i: usize| {
            let start = i * self.stride;
            let end = (start + self.kernel).min(size + 2 * self.padding);
            if with_padding { end - start } else { end.min(size + self.padding) - start.max(self.padding) }
        };
        (0..self.outputs).map(one).collect()
    }
}

/// The sizes of the spatial axes. The axes before them are channels and optionally a batch.
fn spatial<'a>(op: &str, x: &'a Variable, axes: usize) -> Result<&'a [usize]> {
    if x.ndim() == axes + 1 || x.ndim() == axes + 2 {
        return Ok(&x.shape()[x.ndim() - axes..]);
    }
    let shape = show_shape(x.shape());
    Err(Error::Shape(format!("{op}: the input has shape {shape}, expected {} axes or {} (with a batch)", axes + 1, axes + 2)))
}

/// The maxima of windows, and their positions if requested.
fn pool_maxima(x: &Variable, windows: &[Axis], with_places: bool) -> Result<Value> {
    let attrs = Pooled::new(windows);
    let y = apply(&MAX_POOL, &[x.into()], &attrs)?;
    Ok(if with_places { Value::Many(vec![y, places_of(x, &attrs)?]) } else { y.into() })
}

fn call_max_pool(a: &Args<'_>, axes: usize) -> Result<Value> {
    let (op, x) = (a.name(), a.variable(0)?);
    let sizes = spatial(op, &x, axes)?;
    let stride = a.opt_int_list(2)?.unwrap_or_default();
    let options = Options { kernel: &a.int_list(1)?, stride: &stride, padding: &a.int_list(3)?, dilation: &a.int_list(4)?, ceil_mode: a.flag(5)? };
    let windows = options.windows(op, sizes)?;
    let inside = windows.iter().zip(sizes).map(|(w, n)| w.inside(op, *n)).collect::<Result<Vec<_>>>()?;
    pool_maxima(&x, &inside, a.flag(6)?)
}

/// Sums over windows.
fn window_sums(x: &Variable, windows: &[Axis]) -> Result<Variable> {
    let table = |a: &Axis| Table::new(a.size, a.windows.iter().map(|(start, count)| (0..*count).map(move |k| (start + k * a.step, 1.0))));
    resample(x, windows.iter().map(table).collect())
}

/// `sums` divided by the product of the divisors of each axis.
#[allow(clippy::cast_precision_loss, reason = "a number of elements")]
fn divided(sums: &Variable, divisors: &[Vec<usize>]) -> Result<Variable> {
    if divisors.iter().all(|d| d.windows(2).all(|w| w[0] == w[1])) {
        let all: usize = divisors.iter().map(|d| d.first().copied().unwrap_or(1)).product();
        return divide(sums, all as f64);
    }
    let mut all = vec![1.0];
    for axis in divisors {
        all = all.iter().flat_map(|d| axis.iter().map(move |n| d * *n as f64)).collect();
    }
    let shape: Shape = divisors.iter().map(Vec::len).collect();
    let by = super::astype(&Array::from_slice(&all, &shape).into(), sums.dtype())?;
    divide(sums, &by)
}

/// The means of windows.
fn pool_means(op: &str, x: &Variable, options: &Options<'_>, axes: usize, with_padding: bool, divisor: Option<i64>) -> Result<Variable> {
    let x = floating(op, x)?;
    let sizes = spatial(op, &x, axes)?;
    let windows = options.windows(op, sizes)?;
    let inside = windows.iter().zip(sizes).map(|(w, n)| w.inside(op, *n)).collect::<Result<Vec<_>>>()?;
    let sums = window_sums(&x, &inside)?;
    match divisor {
        Some(0) => Err(Error::Value(format!("{op}: divisor_override is 0, expected another number"))),
        #[allow(clippy::cast_precision_loss, reason = "a small number")]
        Some(d) => divide(&sums, d as f64),
        None => divided(&sums, &windows.iter().zip(sizes).map(|(w, n)| w.divisors(*n, with_padding)).collect::<Vec<_>>()),
    }
}

fn call_avg_pool(a: &Args<'_>, axes: usize) -> Result<Value> {
    let stride = a.opt_int_list(2)?.unwrap_or_default();
    let options = Options { kernel: &a.int_list(1)?, stride: &stride, padding: &a.int_list(3)?, dilation: &[1], ceil_mode: a.flag(4)? };
    let divisor = if axes == 1 { None } else { a.opt_int(6)? };
    Ok(pool_means(a.name(), &a.variable(0)?, &options, axes, a.flag(5)?, divisor)?.into())
}

#[allow(clippy::cast_precision_loss, reason = "a number of elements")]
fn call_lp_pool(a: &Args<'_>, axes: usize) -> Result<Value> {
    let (p, kernel) = (a.float(1)?, a.int_list(2)?);
    let stride = a.opt_int_list(3)?.unwrap_or_default();
    let options = Options { kernel: &kernel, stride: &stride, padding: &[0], dilation: &[1], ceil_mode: a.flag(4)? };
    let powers = power(&floating(a.name(), &a.variable(0)?)?, p)?;
    let means = pool_means(a.name(), &powers, &options, axes, true, None)?;
    let count: usize = numbers(a.name(), "kernel_size", &kernel, axes, 1)?.iter().product();
    Ok(power(&multiply(&means, count as f64)?, 1.0 / p)?.into())
}

/// Windows that divide each axis into the given number of parts, which may overlap.
fn adaptive(op: &str, sizes: &[usize], output: &[isize]) -> Result<Vec<Axis>> {
    let sized: SmallVec<[isize; 3]> = (0..sizes.len())
        .map(|i| match output.get(if output.len() == 1 { 0 } else { i }) {
            Some(&KEEP) => sizes[i].cast_signed(),
            Some(&n) => n,
            None => -1,
        })
        .collect();
    if output.len() != 1 && output.len() != sizes.len() {
        let (got, want) = (output.len(), sizes.len());
        return Err(Error::Value(format!("{op}: output_size has {got} numbers, expected 1 or {want}")));
    }
    let counts = numbers(op, "output_size", &sized, sizes.len(), 0)?;
    counts.iter().try_for_each(|n| check_memory(op, &[*n, 4], DType::I64))?;
    let one = |(&n, &m): (&usize, &usize)| {
        if n == 0 && m > 0 {
            return Err(Error::Shape(format!("{op}: an empty spatial axis cannot be divided into {m} windows (sizes {})", show_shape(sizes))));
        }
        let windows = (0..m).map(|i| (i * n / m, ((i + 1) * n).div_ceil(m) - i * n / m)).collect();
        Ok(Axis { size: n, step: 1, windows })
    };
    sizes.iter().zip(&counts).map(one).collect()
}

fn call_adaptive_avg(a: &Args<'_>, axes: usize) -> Result<Value> {
    Ok(adaptive_avg_pool(a.name(), &a.variable(0)?, axes, &a.int_list(1)?)?.into())
}

/// The means of windows, with `output` windows along the axes.
pub(super) fn adaptive_avg_pool(op: &str, x: &Variable, axes: usize, output: &[isize]) -> Result<Variable> {
    let x = floating(op, x)?;
    let windows = adaptive(op, spatial(op, &x, axes)?, output)?;
    let divisors: Vec<Vec<usize>> = windows.iter().map(|a| a.windows.iter().map(|w| w.1).collect()).collect();
    divided(&window_sums(&x, &windows)?, &divisors)
}

fn call_adaptive_max(a: &Args<'_>, axes: usize) -> Result<Value> {
    let (op, x) = (a.name(), a.variable(0)?);
    pool_maxima(&x, &adaptive(op, spatial(op, &x, axes)?, &a.int_list(1)?)?, a.flag(2)?)
}

/// The spatial sizes of the result of an unpooling: the requested ones, or those that follow from the parameters of the pooling.
fn unpooled(a: &Args<'_>, op: &str, sizes: &[usize]) -> Result<Numbers> {
    let n = sizes.len();
    let kernel = numbers(op, "kernel_size", &a.int_list(2)?, n, 1)?;
    let stride = a.opt_int_list(3)?.map_or(Ok(kernel.clone()), |s| numbers(op, "stride", &s, n, 1))?;
    let padding = numbers(op, "padding", &a.int_list(4)?, n, 0)?;
    let usual = |i: usize| (sizes[i].saturating_sub(1) * stride[i] + kernel[i]).saturating_sub(2 * padding[i]);
    let Some(asked) = a.opt_int_list(5)? else { return Ok((0..n).map(usual).collect()) };
    let last = &asked[asked.len().saturating_sub(n)..];
    let out = numbers(op, "output_size", last, n, 0)?;
    match (0..n).find(|&i| out[i].abs_diff(usual(i)) >= stride[i]) {
        Some(i) => {
            Err(Error::Value(format!("{op}: output_size is {} along spatial axis {i}, expected within {} of {}", out[i], stride[i], usual(i))))
        }
        None => Ok(out),
    }
}

fn call_unpool(a: &Args<'_>, axes: usize) -> Result<Value> {
    let (op, x, at) = (a.name(), floating(a.name(), &a.variable(0)?)?, a.variable(1)?);
    let plane = unpooled(a, op, spatial(op, &x, axes)?)?;
    if at.shape() != x.shape() || !is_places(&at) {
        let (got, want) = (show_shape(at.shape()), show_shape(x.shape()));
        return Err(Error::Shape(format!("{op}: indices are {} of shape {got}, expected int64 of shape {want}", at.dtype())));
    }
    let size = plane.iter().fold(1_usize, |n, k| n.saturating_mul(*k));
    capture::computed(InsidePlane { op: op.to_owned(), size }, &[at.innermost()])?;
    let count = x.shape()[x.ndim() - axes..].iter().product();
    Ok(scatter_places(&x, &apply(&LAST_PLACES, &[(&at).into()], &Count(count))?, &plane)?.into())
}

/// The check that places lie in a plane of `size` elements.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InsidePlane {
    op: String,
    size: usize,
}

impl Computation for InsidePlane {
    const NAME: &'static str = "InsidePlane";
    const INPUTS: usize = 1;
    const OUTPUTS: usize = 0;

    fn run(&self, inputs: &[Array]) -> Result<Arrays> {
        let (op, size) = (&self.op, self.size);
        let outside = |i: &i64| usize::try_from(*i).map_or(true, |i| i >= size);
        match inputs[0].to_vec::<i64>().into_iter().find(outside) {
            Some(i) => Err(Error::Index(format!("{op}: index {i} is out of bounds for an output of {size} elements a channel"))),
            None => Ok(Arrays::new()),
        }
    }
}

/// The computations of this file.
pub static COMPUTATIONS: &[ComputationKind] = &[ComputationKind::of::<InsidePlane>()];

fn call_fractional(a: &Args<'_>, axes: usize) -> Result<Value> {
    let op = a.name();
    let (x, was_added) = batched(op, &a.variable(0)?, axes + 1)?;
    let sizes = &x.shape()[2..];
    let kernel = numbers(op, "kernel_size", &a.int_list(1)?, axes, 1)?;
    let output = fractional_output(a, op, sizes)?;
    if let Some(i) = (0..axes).find(|&i| output[i] + kernel[i] > sizes[i] + 1) {
        let (k, n, m) = (kernel[i], sizes[i], output[i]);
        return Err(Error::Value(format!("{op}: {m} windows of {k} do not fit spatial axis {i} of {n} elements")));
    }
    let want = [x.shape()[0], x.shape()[1], axes];
    let samples = match a.opt_variable(5)? {
        Some(s) if s.shape() != want => {
            return Err(Error::Shape(format!("{op}: random samples have shape {}, expected {}", show_shape(s.shape()), show_shape(&want))));
        }
        Some(s) => super::astype(&s, DType::F64)?,
        None => super::random::default_generator().rand(&want.map(usize::cast_signed), Some(DType::F64))?,
    };
    let at = apply(&FRACTIONAL_PLACES, &[(&x).into(), (&samples).into()], &Fractions { kernel, output })?;
    let y = unbatched(gather_places(&x, &at, axes)?, was_added)?;
    Ok(if a.flag(4)? { Value::Many(vec![y, unbatched(at, was_added)?]) } else { y.into() })
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a size")]
fn fractional_output(a: &Args<'_>, op: &str, sizes: &[usize]) -> Result<Numbers> {
    match (a.opt_int_list(2)?, a.opt_floats(3)?) {
        (Some(size), None) => numbers(op, "output_size", &size, sizes.len(), 1),
        (None, Some(ratio)) if ratio.len() == 1 || ratio.len() == sizes.len() => {
            let one = |i: usize| (sizes[i] as f64 * ratio[if ratio.len() == 1 { 0 } else { i }]) as isize;
            numbers(op, "output_size", &(0..sizes.len()).map(one).collect::<SmallVec<[isize; 3]>>(), sizes.len(), 1)
        }
        _ => Err(Error::Value(format!("{op}: give output_size or output_ratio, a number or one for each axis, and not both"))),
    }
}

const STRIDE: Param = Param::new("stride", Kind::Ints).or(Default::None);
const PADDING: Param = Param::new("padding", Kind::Ints).or(Default::Int(0));
const RETURN_INDICES: Param = Param::flag("return_indices", false);

const MAX_PARAMS: &[Param] = &[
    Param::array("input"),
    Param::new("kernel_size", Kind::Ints),
    STRIDE,
    PADDING,
    Param::new("dilation", Kind::Ints).or(Default::Int(1)),
    Param::flag("ceil_mode", false),
    RETURN_INDICES,
];
const AVG_PARAMS: &[Param] = &[
    Param::array("input"),
    Param::new("kernel_size", Kind::Ints),
    STRIDE,
    PADDING,
    Param::flag("ceil_mode", false),
    Param::flag("count_include_pad", true),
    Param::new("divisor_override", Kind::OptInt).or(Default::None),
];
const AVG_PARAMS_1D: &[Param] =
    &[AVG_PARAMS[0], AVG_PARAMS[1], AVG_PARAMS[2], AVG_PARAMS[3], Param::flag("ceil_mode", false), Param::flag("count_include_pad", true)];
const LP_PARAMS: &[Param] =
    &[Param::array("input"), Param::new("norm_type", Kind::Float), Param::new("kernel_size", Kind::Ints), STRIDE, Param::flag("ceil_mode", false)];
const ADAPTIVE_PARAMS: &[Param] = &[Param::array("input"), Param::new("output_size", Kind::Sizes)];
const ADAPTIVE_MAX_PARAMS: &[Param] = &[Param::array("input"), Param::new("output_size", Kind::Sizes), RETURN_INDICES];
const UNPOOL_PARAMS: &[Param] = &[
    Param::array("input"),
    Param::array("indices"),
    Param::new("kernel_size", Kind::Ints),
    STRIDE,
    PADDING,
    Param::new("output_size", Kind::Ints).or(Default::None),
];
const FRACTIONAL_PARAMS: &[Param] = &[
    Param::array("input"),
    Param::new("kernel_size", Kind::Ints),
    Param::new("output_size", Kind::Ints).or(Default::None),
    Param::new("output_ratio", Kind::Floats).or(Default::None),
    RETURN_INDICES,
    Param::new("_random_samples", Kind::OptArray).or(Default::None),
];

/// An array whose elements are well separated, so that small changes do not change the maxima.
fn distinct(draw: &mut Draw, shape: &[usize]) -> Variable {
    let n: usize = shape.iter().product();
    let mut all: Vec<f64> = (0..n).map(|i| f64::from(u32::try_from(i).unwrap_or(0)) * 0.37 - 3.0).collect();
    for i in (1..n).rev() {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place")]
        all.swap(i, (draw.unit() * (i + 1) as f64) as usize);
    }
    Array::from_slice(&all, shape).into()
}

/// Shapes of inputs with `axes` spatial axes.
fn shapes(axes: usize) -> [Vec<usize>; 3] {
    [[&[2, 2][..], &[3, 4, 6][3 - axes..]].concat(), [&[2][..], &[4, 3, 5][3 - axes..]].concat(), [&[0, 2][..], &[3, 4, 4][3 - axes..]].concat()]
}

fn max_samples(axes: usize) -> Vec<Sample> {
    let draw = &mut Draw::new(31);
    let options = [(2, Arg::None, 0, 1, false), (3, ints(&[2]), 1, 1, true), (2, ints(&[1]), 0, 2, false)];
    let all = shapes(axes).into_iter().zip(options).map(|(shape, (kernel, stride, padding, dilation, ceil))| {
        let (x, rest) = (distinct(draw, &shape), [ints(&[kernel]), stride, ints(&[padding]), ints(&[dilation]), Arg::Bool(ceil), Arg::Bool(false)]);
        Sample { args: std::iter::once(Arg::Variable(x)).chain(rest).collect() }
    });
    all.collect()
}

fn avg_samples(axes: usize) -> Vec<Sample> {
    let draw = &mut Draw::new(32);
    let options =
        [(2, Arg::None, 0, false, true, Arg::None), (3, ints(&[2]), 1, true, false, Arg::None), (2, ints(&[1]), 1, true, true, Arg::Int(3))];
    let all = shapes(axes).into_iter().zip(options).map(|(shape, (kernel, stride, padding, ceil, counted, divisor))| {
        let mut args =
            vec![Arg::Variable(REAL.strided(draw, &shape)), ints(&[kernel]), stride, ints(&[padding]), Arg::Bool(ceil), Arg::Bool(counted)];
        if axes > 1 {
            args.push(divisor);
        }
        Sample { args }
    });
    all.collect()
}

fn lp_samples(axes: usize) -> Vec<Sample> {
    let draw = &mut Draw::new(33);
    let x = super::samples::POSITIVE.array(draw, &shapes(axes)[0]);
    vec![Sample { args: vec![Arg::Variable(x), Arg::Float(3.0), ints(&[2]), Arg::None, Arg::Bool(false)] }]
}

fn adaptive_samples(axes: usize, is_max: bool) -> Vec<Sample> {
    let draw = &mut Draw::new(34);
    let outputs: SmallVec<[isize; 3]> = [KEEP, 3, 2][3 - axes..].iter().copied().collect();
    let sizes = [ints(&[2]), Arg::Ints(outputs.iter().copied().collect()), ints(&[1])];
    let all = shapes(axes).into_iter().zip(sizes).map(|(shape, size)| {
        let x = if is_max { distinct(draw, &shape) } else { REAL.strided(draw, &shape) };
        let flags = is_max.then_some(Arg::Bool(false));
        Sample { args: [Arg::Variable(x), size].into_iter().chain(flags).collect() }
    });
    all.collect()
}

fn unpool_samples(axes: usize) -> Vec<Sample> {
    let draw = &mut Draw::new(35);
    let shape = [&[2, 1][..], &[2, 2, 2][3 - axes..]].concat();
    let count: usize = 1 << axes;
    let at: Vec<i64> = (0..2).flat_map(|n| (0..count).map(move |i| i64::try_from(2 * i + n).unwrap_or(0))).collect();
    let at: Variable = Array::from_slice(&at, &shape).into();
    let rest = [ints(&[2]), Arg::None, ints(&[0]), Arg::None];
    vec![Sample { args: [Arg::Variable(REAL.strided(draw, &shape)), Arg::Variable(at)].into_iter().chain(rest).collect() }]
}

/// Windows that do not depend on the random numbers.
fn fractional_samples(axes: usize) -> Vec<Sample> {
    let x = distinct(&mut Draw::new(36), &[&[2, 1][..], &[4, 4, 4][3 - axes..]].concat());
    let rest = [ints(&[2]), ints(&[3]), Arg::None, Arg::Bool(false), Arg::None];
    vec![Sample { args: std::iter::once(Arg::Variable(x)).chain(rest).collect() }]
}

const MAX_RULE: &str = "g at the place of the maximum of each window, summed where windows overlap";
const SUM_RULE: &str = "g / divisor at each element of a window, summed where windows overlap";

/// A row of this file.
const fn entry(
    name: &'static str,
    doc: &'static str,
    params: &'static [Param],
    call: fn(&Args<'_>) -> Result<Value>,
    rule: &'static str,
    samples: fn() -> Vec<Sample>,
) -> Entry {
    Entry { name, module: "nn.functional", doc, params, call, gradient: Gradient::Rule(rule), samples, method: false, ..Entry::BASE }.costs(4.0)
}

/// A row without samples, whose gradient is that of its parts.
const fn composed(
    name: &'static str,
    doc: &'static str,
    params: &'static [Param],
    call: fn(&Args<'_>) -> Result<Value>,
    gradient: &'static str,
    samples: fn() -> Vec<Sample>,
) -> Entry {
    Entry { gradient: Gradient::Composite(gradient), ..entry(name, doc, params, call, gradient, samples) }
}

macro_rules! max_doc {
    ($shape:literal, $example:literal) => {
        concat!(
            "The largest element of each window of kernel_size elements of ",
            $shape,
            ".\nWindows are stride apart (None: kernel_size); padding is -inf on both sides, at most half of the kernel; ceil_mode keeps a\n\
             last window that is not whole. The first of equals is taken, and NaN wins. return_indices also gives the places,\n\
             counted in each channel. Any dtype.\n\n",
            $example
        )
    };
}

macro_rules! avg_doc {
    ($shape:literal, $example:literal) => {
        concat!(
            "The mean of each window of kernel_size elements of ",
            $shape,
            ".\nWindows are stride apart (None: kernel_size); padding is zeros on both sides, at most half of the kernel, and counts as\n\
             elements with count_include_pad; what ceil_mode adds behind it never does. divisor_override replaces the count (not in 1-d).\n\n",
            $example
        )
    };
}

macro_rules! lp_doc {
    ($shape:literal, $example:literal) => {
        concat!("(Σ x ** norm_type) ** (1 / norm_type) over each window of ", $shape, ", windows stride apart (None: kernel_size).\n\n", $example)
    };
}

macro_rules! adaptive_doc {
    ($what:literal, $shape:literal, $example:literal) => {
        concat!(
            "The ",
            $what,
            " of as many windows along each spatial axis of ",
            $shape,
            " as output_size says\n(None: as many as there are elements). Window i of m reaches from floor(i n / m) to ceil((i + 1) n / m).\n\n",
            $example
        )
    };
}

macro_rules! unpool_doc {
    ($shape:literal, $example:literal) => {
        concat!(
            "Zeros with the elements of ",
            $shape,
            " at the places that a max pooling with these options has given\n(return_indices); of equal places the last one counts. output_size chooses among sizes that the pooling does not tell apart.\n\n",
            $example
        )
    };
}

macro_rules! fractional_doc {
    ($shape:literal, $example:literal) => {
        concat!(
            "The largest element of each of output_size windows along each axis of ",
            $shape,
            ", or of output_ratio times\nthe size. Random numbers place the windows, so that they are evenly spaced but for one element (Graham, 2014).\n\n",
            $example
        )
    };
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    entry(
        "max_pool1d",
        max_doc!("(N, C, L) or (C, L)", ">>> tg.nn.functional.max_pool1d(tg.Variable([[1.0, 5.0, 2.0, 4.0]]), 2)\nVariable([[5., 4.]])\n"),
        MAX_PARAMS,
        |a| call_max_pool(a, 1),
        MAX_RULE,
        || max_samples(1),
    ),
    entry(
        "max_pool2d",
        max_doc!(
            "(N, C, H, W) or (C, H, W)",
            ">>> tg.nn.functional.max_pool2d(tg.reshape(tg.arange(16.0), (1, 4, 4)), 2)\nVariable([[[ 5.,  7.],\n           [13., 15.]]])\n"
        ),
        MAX_PARAMS,
        |a| call_max_pool(a, 2),
        MAX_RULE,
        || max_samples(2),
    ),
    entry(
        "max_pool3d",
        max_doc!(
            "(N, C, D, H, W) or (C, D, H, W)",
            ">>> tg.nn.functional.max_pool3d(tg.reshape(tg.arange(8.0), (1, 2, 2, 2)), 2)\nVariable([[[[7.]]]])\n"
        ),
        MAX_PARAMS,
        |a| call_max_pool(a, 3),
        MAX_RULE,
        || max_samples(3),
    ),
    entry(
        "avg_pool1d",
        avg_doc!("(N, C, L) or (C, L)", ">>> tg.nn.functional.avg_pool1d(tg.Variable([[1.0, 5.0, 2.0, 4.0]]), 2)\nVariable([[3., 3.]])\n"),
        AVG_PARAMS_1D,
        |a| call_avg_pool(a, 1),
        SUM_RULE,
        || avg_samples(1),
    ),
    entry(
        "avg_pool2d",
        avg_doc!(
            "(N, C, H, W) or (C, H, W)",
            ">>> tg.nn.functional.avg_pool2d(tg.reshape(tg.arange(16.0), (1, 4, 4)), 2)\nVariable([[[ 2.5,  4.5],\n           [10.5, 12.5]]])\n"
        ),
        AVG_PARAMS,
        |a| call_avg_pool(a, 2),
        SUM_RULE,
        || avg_samples(2),
    ),
    entry(
        "avg_pool3d",
        avg_doc!(
            "(N, C, D, H, W) or (C, D, H, W)",
            ">>> tg.nn.functional.avg_pool3d(tg.reshape(tg.arange(8.0), (1, 2, 2, 2)), 2)\nVariable([[[[3.5]]]])\n"
        ),
        AVG_PARAMS,
        |a| call_avg_pool(a, 3),
        SUM_RULE,
        || avg_samples(3),
    ),
    composed(
        "lp_pool1d",
        lp_doc!("(N, C, L) or (C, L)", ">>> tg.nn.functional.lp_pool1d(tg.Variable([[3.0, 4.0]]), 2, 2)\nVariable([[5.]])\n"),
        LP_PARAMS,
        |a| call_lp_pool(a, 1),
        "that of avg_pool and power",
        || lp_samples(1),
    ),
    composed(
        "lp_pool2d",
        lp_doc!("(N, C, H, W) or (C, H, W)", ">>> tg.nn.functional.lp_pool2d(tg.ones((1, 2, 2)), 2, 2)\nVariable([[[2.]]])\n"),
        LP_PARAMS,
        |a| call_lp_pool(a, 2),
        "that of avg_pool and power",
        || lp_samples(2),
    ),
    composed(
        "lp_pool3d",
        lp_doc!("(N, C, D, H, W) or (C, D, H, W)", ">>> tg.nn.functional.lp_pool3d(tg.ones((1, 2, 2, 4)), 1, 2)\nVariable([[[[8., 8.]]]])\n"),
        LP_PARAMS,
        |a| call_lp_pool(a, 3),
        "that of avg_pool and power",
        || lp_samples(3),
    ),
    entry(
        "adaptive_avg_pool1d",
        adaptive_doc!(
            "mean",
            "(N, C, L) or (C, L)",
            ">>> tg.nn.functional.adaptive_avg_pool1d(tg.Variable([[1.0, 2.0, 6.0]]), 2)\nVariable([[1.5, 4. ]])\n"
        ),
        ADAPTIVE_PARAMS,
        |a| call_adaptive_avg(a, 1),
        SUM_RULE,
        || adaptive_samples(1, false),
    ),
    entry(
        "adaptive_avg_pool2d",
        adaptive_doc!(
            "mean",
            "(N, C, H, W) or (C, H, W)",
            ">>> tg.nn.functional.adaptive_avg_pool2d(tg.reshape(tg.arange(16.0), (1, 4, 4)), 1)\nVariable([[[7.5]]])\n"
        ),
        ADAPTIVE_PARAMS,
        |a| call_adaptive_avg(a, 2),
        SUM_RULE,
        || adaptive_samples(2, false),
    ),
    entry(
        "adaptive_avg_pool3d",
        adaptive_doc!(
            "mean",
            "(N, C, D, H, W) or (C, D, H, W)",
            ">>> tg.nn.functional.adaptive_avg_pool3d(tg.reshape(tg.arange(8.0), (1, 2, 2, 2)), (1, 1, None))\nVariable([[[[3., 4.]]]])\n"
        ),
        ADAPTIVE_PARAMS,
        |a| call_adaptive_avg(a, 3),
        SUM_RULE,
        || adaptive_samples(3, false),
    ),
    entry(
        "adaptive_max_pool1d",
        adaptive_doc!(
            "largest element",
            "(N, C, L) or (C, L)",
            ">>> tg.nn.functional.adaptive_max_pool1d(tg.Variable([[1.0, 2.0, 6.0]]), 2)\nVariable([[2., 6.]])\n"
        ),
        ADAPTIVE_MAX_PARAMS,
        |a| call_adaptive_max(a, 1),
        MAX_RULE,
        || adaptive_samples(1, true),
    ),
    entry(
        "adaptive_max_pool2d",
        adaptive_doc!(
            "largest element",
            "(N, C, H, W) or (C, H, W)",
            ">>> tg.nn.functional.adaptive_max_pool2d(tg.reshape(tg.arange(16.0), (1, 4, 4)), 1)\nVariable([[[15.]]])\n"
        ),
        ADAPTIVE_MAX_PARAMS,
        |a| call_adaptive_max(a, 2),
        MAX_RULE,
        || adaptive_samples(2, true),
    ),
    entry(
        "adaptive_max_pool3d",
        adaptive_doc!(
            "largest element",
            "(N, C, D, H, W) or (C, D, H, W)",
            ">>> tg.nn.functional.adaptive_max_pool3d(tg.reshape(tg.arange(8.0), (1, 2, 2, 2)), (1, 1, None))\nVariable([[[[6., 7.]]]])\n"
        ),
        ADAPTIVE_MAX_PARAMS,
        |a| call_adaptive_max(a, 3),
        MAX_RULE,
        || adaptive_samples(3, true),
    ),
    entry(
        "max_unpool1d",
        unpool_doc!(
            "(N, C, L) or (C, L)",
            ">>> tg.nn.functional.max_unpool1d(tg.Variable([[5.0, 4.0]]), tg.Variable([[1, 3]]), 2)\nVariable([[0., 5., 0., 4.]])\n"
        ),
        UNPOOL_PARAMS,
        |a| call_unpool(a, 1),
        "g at the place of each element",
        || unpool_samples(1),
    ),
    entry(
        "max_unpool2d",
        unpool_doc!(
            "(N, C, H, W) or (C, H, W)",
            ">>> tg.nn.functional.max_unpool2d(tg.Variable([[[7.0]]]), tg.Variable([[[2]]]), 2)\nVariable([[[0., 0.],\n           [7., 0.]]])\n"
        ),
        UNPOOL_PARAMS,
        |a| call_unpool(a, 2),
        "g at the place of each element",
        || unpool_samples(2),
    ),
    entry(
        "max_unpool3d",
        unpool_doc!(
            "(N, C, D, H, W) or (C, D, H, W)",
            ">>> tg.nn.functional.max_unpool3d(tg.Variable([[[[7.0]]]]), tg.Variable([[[[0]]]]), (1, 1, 2))\nVariable([[[[7., 0.]]]])\n"
        ),
        UNPOOL_PARAMS,
        |a| call_unpool(a, 3),
        "g at the place of each element",
        || unpool_samples(3),
    ),
    composed(
        "fractional_max_pool2d",
        fractional_doc!(
            "(N, C, H, W) or (C, H, W)",
            ">>> tg.nn.functional.fractional_max_pool2d(tg.ones((1, 5, 5)), 2, output_size=3).shape\n(1, 3, 3)\n"
        ),
        FRACTIONAL_PARAMS,
        |a| call_fractional(a, 2),
        MAX_RULE,
        || fractional_samples(2),
    ),
    composed(
        "fractional_max_pool3d",
        fractional_doc!(
            "(N, C, D, H, W) or (C, D, H, W)",
            ">>> tg.nn.functional.fractional_max_pool3d(tg.ones((1, 5, 5, 5)), 2, output_ratio=0.5).shape\n(1, 2, 2, 2)\n"
        ),
        FRACTIONAL_PARAMS,
        |a| call_fractional(a, 3),
        MAX_RULE,
        || fractional_samples(3),
    ),
];
