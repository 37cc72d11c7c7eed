//! Arrays from constants, ranges, identities and one-hot codes. Gradients flow to the value that fills an array, and to the ends of
//! `linspace`.

use super::registry::{Arg, Args, Default, Entry, Kind, Operand, Param, Sample};
use super::samples::{Draw, REAL};
use super::shape::{astype, broadcast_to, stored_as};
use super::work;
use crate::array::{Array, DType, Element, Scalar, Shape, alloc_check, check_memory, default_float};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::tape::capture::{Arrays, Computation, ComputationKind};
use crate::tape::{Jvp, Primitive, Variable, Vjp, apply, capture, is_recording};
use serde::{Deserialize, Serialize};
use smallvec::smallvec;

/// `shape` as sizes, if an array of that shape fits into memory.
///
/// # Errors
/// `Value` for a negative size, and as [`check_memory`].
pub fn checked_shape(op: &str, shape: &[isize], dtype: DType) -> Result<Shape> {
    let sizes: Option<Shape> = shape.iter().map(|&n| usize::try_from(n).ok()).collect();
    let Some(sizes) = sizes else {
        return Err(Error::Value(format!("{op}: shape {shape:?} has a negative size")));
    };
    check_memory(op, &sizes, dtype)?;
    Ok(sizes)
}

/// All elements `value`. The dtype defaults to `int64`, the default floating dtype, or `bool`.
///
/// # Errors
/// `Value` for a negative or too large shape, `Overflow` for a number that the dtype cannot hold.
pub fn full(shape: &[isize], value: Scalar, dtype: Option<DType>) -> Result<Variable> {
    full_as("full", shape, value, dtype)
}

fn full_as(op: &str, shape: &[isize], value: Scalar, dtype: Option<DType>) -> Result<Variable> {
    let dtype = dtype.unwrap_or_else(|| value.dtype());
    let shape = checked_shape(op, shape, dtype)?;
    value.check(op, dtype)?;
    Ok(Array::full(&shape, value, dtype).into())
}

/// [`full`] with an array, which is broadcast, and to which gradients flow. The dtype defaults to that of the array.
///
/// # Errors
/// As [`full`], and `Shape` when it does not broadcast.
pub fn full_of(shape: &[isize], value: &Variable, dtype: Option<DType>) -> Result<Variable> {
    filled("full", shape, Operand::Variable(value), dtype)
}

fn filled(op: &str, shape: &[isize], value: Operand<'_>, dtype: Option<DType>) -> Result<Variable> {
    match value {
        Operand::Scalar(s) => full_as(op, shape, s, dtype),
        Operand::Variable(v) if v.ndim() == 0 && !v.is_tracked() && !capture::is_on() => {
            full_as(op, shape, v.array().item()?, Some(dtype.unwrap_or_else(|| v.dtype())))
        }
        Operand::Variable(v) => {
            let dtype = dtype.unwrap_or_else(|| v.dtype());
            let sizes = checked_shape(op, shape, dtype)?;
            let view = broadcast_to(&stored_as(op, v, dtype)?, &sizes)?;
            if view.is_tracked() || capture::is_on() { super::positive(&view) } else { Ok(view.array().copy().into()) }
        }
    }
}

/// All elements 0.
///
/// # Errors
/// `Value` for a negative or too large shape.
pub fn zeros(shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
    full_as("zeros", shape, Scalar::Int(0), Some(dtype.unwrap_or_else(default_float)))
}

/// All elements 1.
///
/// # Errors
/// `Value` for a negative or too large shape.
pub fn ones(shape: &[isize], dtype: Option<DType>) -> Result<Variable> {
    full_as("ones", shape, Scalar::Int(1), Some(dtype.unwrap_or_else(default_float)))
}

/// An array of `size` elements, each `f` of its position.
fn tabulate<T: Element>(size: usize, f: impl Fn(usize) -> T) -> Array {
    let mut out = Array::empty(&[size], T::DTYPE);
    out.data_mut::<T>().iter_mut().enumerate().for_each(|(i, o)| *o = f(i));
    out
}

/// The number of steps from `start` to just before `stop`.
#[allow(clippy::cast_possible_truncation, reason = "checked against the range of i64 before")]
fn steps(start: Scalar, stop: Scalar, step: Scalar) -> Result<isize> {
    let value = |s: Scalar| match s {
        Scalar::Float(_) | Scalar::Complex(_) => None,
        Scalar::Int(i) => Some(i128::from(i)),
        Scalar::UInt(i) => Some(i128::from(i)),
        Scalar::Bool(b) => Some(i128::from(b)),
    };
    if step.as_f64() == 0.0 {
        return Err(Error::Value("arange: step is 0, expected another number".to_owned()));
    }
    if let (Some(start), Some(stop), Some(step)) = (value(start), value(stop), value(step)) {
        let way = stop - start;
        let count = if (way > 0) == (step > 0) { way / step + i128::from(way % step != 0) } else { 0 };
        return isize::try_from(count).map_err(|_| Error::Value(format!("arange: {count} elements are more than there is memory for")));
    }
    let count = ((stop.as_f64() - start.as_f64()) / step.as_f64()).ceil();
    if count.is_nan() || count > 9e18 {
        let (start, stop, step) = (start.as_f64(), stop.as_f64(), step.as_f64());
        return Err(Error::Value(format!("arange: from {start} to {stop} in steps of {step} there are {count} elements, expected a finite number")));
    }
    Ok(count.max(0.0) as isize)
}

/// `start`, `start + step`, …, excluding `stop`.
///
/// # Errors
/// `Value` when `step` is 0, or when the number of elements is not finite or too large; `DType` for bools; `Overflow` for a
/// number that an integer dtype cannot hold.
pub fn arange(start: Scalar, stop: Scalar, step: Scalar, dtype: Option<DType>) -> Result<Variable> {
    if [start, stop, step].iter().any(|s| matches!(s, Scalar::Complex(_))) || dtype.is_some_and(DType::is_complex) {
        return Err(Error::Type("arange: complex numbers have no order; expected real numbers and a real dtype".to_owned()));
    }
    let is_float = [start, stop, step].iter().any(|s| matches!(s, Scalar::Float(_)));
    let dtype = dtype.unwrap_or(if is_float { default_float() } else { DType::I64 });
    let count = steps(start, stop, step)?;
    let size = checked_shape("arange", &[count], dtype)?[0];
    if dtype.is_float() {
        let (first, second) = (start.as_f64(), start.as_f64() + step.as_f64());
        let delta = second - first; // as NumPy, so that the bits agree
        return Ok(dispatch!(float dtype, T => tabulate(size, |i| T::from_scalar(Scalar::Float(index(i) * delta + first))),
            else unreachable!("just checked"))
        .into());
    }
    let whole = |s: Scalar| i64::from_scalar(s);
    let second = if is_float { whole(Scalar::Float(start.as_f64() + step.as_f64())) } else { whole(start).wrapping_add(whole(step)) };
    let delta = second.wrapping_sub(whole(start));
    let at = |i: usize| whole(start).wrapping_add(i64::try_from(i).unwrap_or(i64::MAX).wrapping_mul(delta));
    if size > 0 {
        start.check("arange", dtype)?;
        let last = i128::from(whole(start)) + (size as i128 - 1) * (i128::from(second) - i128::from(whole(start)));
        dtype.check_integer("arange", last)?;
    }
    Ok(dispatch!(integer dtype, T => tabulate(size, |i| T::from_scalar(Scalar::Int(at(i)))),
        else return Err(Error::dtype("arange", dtype, "an integer or floating dtype")))
    .into())
}

#[allow(clippy::cast_precision_loss, reason = "positions are far below 2**53")]
fn index(i: usize) -> f64 {
    i as f64
}

/// `num` numbers at equal distances from `start` to `stop`, including `stop` if `endpoint`.
///
/// # Errors
/// `Value` when `num` is negative or too large, or for NaN as an integer; `Overflow` for a number that an integer dtype cannot hold.
pub fn linspace(start: f64, stop: f64, num: i64, endpoint: bool, dtype: Option<DType>) -> Result<Variable> {
    let dtype = dtype.unwrap_or_else(default_float);
    if num < 0 {
        return Err(Error::Value(format!("linspace: num is {num}, expected 0 or more")));
    }
    let size = checked_shape("linspace", &[isize::try_from(num).unwrap_or(isize::MAX)], dtype)?[0];
    let gaps = index(if endpoint { size.saturating_sub(1) } else { size }).max(1.0);
    let (way, step) = (stop - start, (stop - start) / gaps);
    let too_far = way.is_infinite() && start.is_finite() && stop.is_finite();
    let at = |i: usize| match i {
        _ if endpoint && i + 1 == size && size > 1 => stop,
        // The difference of the ends overflows; half of it does not.
        _ if too_far => {
            let half = index(i) / gaps * (stop / 2.0 - start / 2.0);
            start + half + half
        }
        // A step that underflows to 0 would make all numbers equal.
        _ if step == 0.0 => index(i) / gaps * way + start,
        _ => index(i) * step + start,
    };
    // Integers are rounded down, as in NumPy, and clamped to the range of the first and the last.
    for i in [0, size.saturating_sub(1)].into_iter().filter(|_| size > 0) {
        Scalar::Float(at(i).floor()).check("linspace", dtype)?;
    }
    Ok(dispatch!(integer dtype, T => tabulate(size, |i| T::from_scalar(Scalar::Float(at(i).floor()))), else {
        dispatch!(dtype, T => tabulate(size, |i| T::from_scalar(Scalar::Float(at(i)))))
    })
    .into())
}

/// The attributes of [`linspace_between`].
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Spacing {
    num: i64,
    endpoint: bool,
    dtype: DType,
}
crate::attributes!(Spacing);

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&LINSPACE];

static LINSPACE: Primitive = Primitive {
    name: "linspace",
    eval: |call| {
        let &Spacing { num, endpoint, dtype } = call.attrs();
        let out = linspace(call.array(0).item()?.as_f64(), call.array(1).item()?.as_f64(), num, endpoint, Some(dtype))?;
        call.give(out.into_array());
        Ok(())
    },
    // Element i is start + t[i] (stop - start).
    vjp: Vjp::Rule(|ctx| {
        let (g, a) = (ctx.cotangent(), ctx.attrs::<Spacing>());
        let t = linspace(0.0, 1.0, a.num, a.endpoint, Some(g.dtype()))?;
        let rest = super::subtract(1.0, &t)?;
        ctx.add_each(|i| super::sum(&super::multiply(&g, if i == 0 { &rest } else { &t })?, None, false))
    }),
    jvp: Jvp::Linear,
    ..Primitive::BASE
};

/// [`linspace`] between two 0-d arrays, to which gradients flow. The dtype defaults to their floating dtype.
///
/// # Errors
/// As [`linspace`], and `Shape` unless both ends are 0-d.
pub fn linspace_between(start: &Variable, stop: &Variable, num: i64, endpoint: bool, dtype: Option<DType>) -> Result<Variable> {
    for (name, end) in [("start", start), ("stop", stop)] {
        if end.ndim() > 0 {
            return Err(Error::Shape(format!("linspace: {name} has shape {}, expected a number or a 0-d array", show_shape(end.shape()))));
        }
    }
    let floats = [start, stop].into_iter().map(Variable::dtype).filter(|d| d.is_float());
    let dtype = dtype.or_else(|| floats.reduce(DType::promote)).unwrap_or_else(default_float);
    let ends = if dtype.is_float() { dtype } else { DType::F64 };
    apply(&LINSPACE, &[(&astype(start, ends)?).into(), (&astype(stop, ends)?).into()], &Spacing { num, endpoint, dtype })
}

/// Ones on the diagonal that begins `k` columns to the right (to the left when negative), zeros elsewhere.
///
/// # Errors
/// `Value` for a negative or too large shape.
pub fn eye(rows: isize, cols: Option<isize>, k: i64, dtype: Option<DType>) -> Result<Variable> {
    let dtype = dtype.unwrap_or_else(default_float);
    let shape = checked_shape("eye", &[rows, cols.unwrap_or(rows)], dtype)?;
    let mut out = Array::zeros(&shape, dtype);
    let (rows, cols) = (shape[0], shape[1]);
    dispatch!(dtype, T => {
        let data = out.data_mut::<T>();
        for i in 0..rows {
            let column = usize::try_from(i128::try_from(i).unwrap_or(i128::MAX) + i128::from(k)).ok();
            if let Some(j) = column.filter(|&j| j < cols) {
                data[i * cols + j] = T::from_scalar(Scalar::Int(1));
            }
        }
    });
    Ok(out.into())
}

/// For each integer of `x`, a row of `classes` zeros with a 1 at that position: `int64`, with one more axis. With `classes` = -1 the number
/// of classes is the largest integer plus one.
///
/// # Errors
/// `DType` unless `x` holds integers, `Value` for numbers outside the classes.
pub fn one_hot(x: &Variable, classes: i64) -> Result<Variable> {
    if !x.dtype().is_integer() {
        return Err(Error::dtype("one_hot", x.dtype(), "integers"));
    }
    if x.is_lifted() || classes == -1 {
        capture::read(x.innermost(), "one_hot");
    }
    if x.is_lifted() {
        let (_, classes) = class_codes(x.innermost(), classes)?;
        let all = arange(Scalar::Int(0), Scalar::Int(classes), Scalar::Int(1), Some(DType::I64))?;
        return astype(&super::equal(&super::expand_dims(x, &[-1])?, &all)?, DType::I64);
    }
    let made = capture::computed(OneHot { classes }, &[x.array()])?;
    Ok(made[0].clone().into())
}

/// Rows of zeros with a 1 at each class number.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OneHot {
    classes: i64,
}

impl Computation for OneHot {
    const NAME: &'static str = "OneHot";
    const INPUTS: usize = 1;
    const OUTPUTS: usize = 1;

    fn run(&self, inputs: &[Array]) -> Result<Arrays> {
        Ok(smallvec![one_hot_rows(&inputs[0], self.classes)?])
    }
}

/// The computations of this file.
pub static COMPUTATIONS: &[ComputationKind] = &[ComputationKind::of::<OneHot>()];

/// The integers of `x` and the number of classes, checked.
fn class_codes(x: &Array, classes: i64) -> Result<(Vec<i64>, i64)> {
    let codes: Vec<i64> = dispatch!(integer x.dtype(), T => alloc_check::collect(x.to_vec::<T>().into_iter().map(|c| i64::from_scalar(c.to_scalar()))), else Vec::new());
    let classes = match (classes, codes.iter().max()) {
        (-1, Some(&largest)) => largest.saturating_add(1),
        (-1, None) => return Err(Error::Value("one_hot: num_classes must be given for an empty array".to_owned())),
        (given, _) => given,
    };
    match codes.iter().find(|&&c| c < 0 || c >= classes) {
        Some(bad) => {
            Err(Error::Value(format!("one_hot: {bad} is not a class, expected 0 to {} (num_classes is {classes})", classes.saturating_sub(1))))
        }
        None => Ok((codes, classes)),
    }
}

fn one_hot_rows(x: &Array, classes: i64) -> Result<Array> {
    let (codes, classes) = class_codes(x, classes)?;
    let mut shape: Vec<isize> = x.shape().iter().map(|n| n.cast_signed()).collect();
    shape.push(isize::try_from(classes).unwrap_or(isize::MAX));
    let shape = checked_shape("one_hot", &shape, DType::I64)?;
    let mut out = Array::zeros(&shape, DType::I64);
    let width = shape[shape.len() - 1];
    let data = out.data_mut::<i64>();
    for (i, &code) in codes.iter().enumerate() {
        data[i * width + usize::try_from(code).unwrap_or(0)] = 1;
    }
    Ok(out)
}

/// Argument `i` as a number, and its dtype when it is a 0-d array.
fn number(a: &Args<'_>, i: usize) -> Result<(Scalar, Option<DType>)> {
    match a.operand(i)? {
        Operand::Scalar(s) => Ok((s, None)),
        Operand::Variable(v) if v.is_tracked() && is_recording() => Err(Error::Grad(format!(
            "{}: argument {} requires gradients, but the number of elements depends on it; write start + step * arange(n), or detach() it",
            a.name(),
            i + 1
        ))),
        Operand::Variable(v) if v.ndim() == 0 => Ok((v.values(a.name())?.item()?, Some(v.dtype()))),
        Operand::Variable(v) => {
            Err(Error::Type(format!("expected a number for argument {}, got an array of shape {}", i + 1, show_shape(v.shape()))))
        }
    }
}

fn call_arange(a: &Args<'_>) -> Result<super::Value> {
    let (first, step) = (number(a, 0)?, number(a, 2)?);
    let (start, stop) = if a.is_none(1) { ((Scalar::Int(0), None), first) } else { (first, number(a, 1)?) };
    let floats = [start.1, stop.1, step.1].into_iter().flatten().filter(|d| d.is_float());
    let dtype = a.dtype(3)?.or_else(|| floats.reduce(DType::promote));
    Ok(arange(start.0, stop.0, step.0, dtype)?.into())
}

/// [`linspace_between`] for complex ends: real and imaginary parts separately.
fn complex_linspace(start: &Variable, stop: &Variable, num: i64, endpoint: bool, dtype: Option<DType>) -> Result<Variable> {
    if let Some(d) = dtype.filter(|d| !d.is_complex()) {
        return Err(Error::dtype("linspace", d, "a complex dtype between complex numbers"));
    }
    let part = |f: fn(&Variable) -> Result<Variable>| linspace_between(&f(start)?, &f(stop)?, num, endpoint, dtype.map(DType::real));
    super::complex(&part(super::real)?, &part(super::imag)?)
}

fn call_linspace(a: &Args<'_>) -> Result<super::Value> {
    let (num, endpoint, dtype) = (a.int(2)?, a.flag(3)?, a.dtype(4)?);
    let is_complex = |o: Operand<'_>| match o {
        Operand::Scalar(s) => matches!(s, Scalar::Complex(_)),
        Operand::Variable(v) => v.dtype().is_complex(),
    };
    if is_complex(a.operand(0)?) || is_complex(a.operand(1)?) {
        return Ok(complex_linspace(&a.variable(0)?, &a.variable(1)?, num, endpoint, dtype)?.into());
    }
    Ok(match (a.operand(0)?, a.operand(1)?) {
        (Operand::Scalar(start), Operand::Scalar(stop)) => linspace(start.as_f64(), stop.as_f64(), num, endpoint, dtype)?,
        _ => linspace_between(&a.variable(0)?, &a.variable(1)?, num, endpoint, dtype)?,
    }
    .into())
}

fn sizes_of(x: &Variable) -> Vec<isize> {
    x.shape().iter().map(|n| n.cast_signed()).collect()
}

fn like(op: &str, a: &Args<'_>, value: Scalar, dtype: usize) -> Result<super::Value> {
    let x = a.variable(0)?;
    let dtype = a.dtype(dtype)?.unwrap_or_else(|| x.dtype());
    Ok(full_as(op, &sizes_of(&x), value, Some(dtype))?.into())
}

fn call_full_like(a: &Args<'_>) -> Result<super::Value> {
    const NAME: &str = "full_like";
    let (x, dtype) = (a.variable(0)?, a.dtype(2)?);
    Ok(filled(NAME, &sizes_of(&x), a.operand(1)?, Some(dtype.unwrap_or_else(|| x.dtype())))?.into())
}

fn fill_samples(draw: &mut Draw, first: impl Fn(&[usize]) -> Arg) -> Vec<Sample> {
    let cases: [(&[usize], &[usize]); 4] = [(&[], &[]), (&[3], &[]), (&[2, 3], &[3]), (&[0, 2], &[2])];
    cases.iter().map(|(shape, value)| Sample { args: vec![first(shape), Arg::Variable(REAL.array(draw, value)), Arg::None] }).collect()
}

fn full_samples() -> Vec<Sample> {
    fill_samples(&mut Draw::new(6), |shape| Arg::Ints(shape.iter().map(|n| n.cast_signed()).collect()))
}

fn full_like_samples() -> Vec<Sample> {
    fill_samples(&mut Draw::new(7), |shape| Arg::Variable(Array::zeros(shape, DType::F64).into()))
}

fn linspace_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(8);
    let mut end = || Arg::Variable(REAL.array(draw, &[]));
    [(5, true), (4, false), (1, true), (2, true), (0, true)]
        .map(|(num, endpoint)| Sample { args: vec![end(), end(), Arg::Int(num), Arg::Bool(endpoint), Arg::None] })
        .into()
}

fn like_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(5);
    [&[][..], &[3], &[2, 0], &[2, 3]].iter().map(|s| Sample { args: vec![Arg::Variable(REAL.array(draw, s)), Arg::None] }).collect()
}

const SHAPE: Param = Param::new("shape", Kind::Ints);
const DTYPE: Param = Param::new("dtype", Kind::DType).or(Default::None);
const X: Param = Param::array("x");

const fn row(
    name: &'static str,
    doc: &'static str,
    params: &'static [Param],
    call: fn(&Args<'_>) -> Result<super::Value>,
    samples: fn() -> Vec<Sample>,
) -> Entry {
    Entry { name, doc, params, call, samples, ..Entry::BASE }.no_method()
}

/// `device=None`.
const DEVICE: Param = Param::device();

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    row(
        "zeros",
        "An array of zeros, of the default floating dtype unless another is given.\n\n>>> tg.zeros((2, 3))\n\
         Variable([[0., 0., 0.],\n          [0., 0., 0.]])\n",
        &[SHAPE, DTYPE, DEVICE],
        |a| Ok(zeros(a.ints(0)?, a.dtype(1)?)?.into()),
        Vec::new,
    )
    .work(work::filled),
    row(
        "ones",
        "An array of ones, of the default floating dtype unless another is given.\n\n>>> tg.ones(3)\nVariable([1., 1., 1.])\n",
        &[SHAPE, DTYPE, DEVICE],
        |a| Ok(ones(a.ints(0)?, a.dtype(1)?)?.into()),
        Vec::new,
    )
    .work(work::filled),
    row(
        "empty",
        "An array to be filled in later. It holds zeros, so that a forgotten element is at least the same every time.\n\n\
         >>> tg.empty((2,)).shape\n(2,)\n",
        &[SHAPE, DTYPE, DEVICE],
        |a| Ok(full_as("empty", a.ints(0)?, Scalar::Int(0), Some(a.dtype(1)?.unwrap_or_else(default_float)))?.into()),
        Vec::new,
    )
    .work(work::filled),
    row(
        "full",
        "An array whose elements are all fill_value: a number, or an array that is broadcast and to which gradients flow. Without a\n\
         dtype an int gives int64, a float the default floating dtype, a bool bool, and an array keeps its dtype.\n\n\
         >>> tg.full((2,), 7)\nVariable([7, 7])\n",
        &[SHAPE, Param::array("fill_value"), DTYPE, DEVICE],
        |a| Ok(filled("full", a.ints(0)?, a.operand(1)?, a.dtype(2)?)?.into()),
        full_samples,
    )
    .composite("fill_value: the sum of g over the axes along which it was broadcast")
    .work(work::filled),
    row(
        "zeros_like",
        "Zeros in the shape and dtype of x.\n\n>>> tg.zeros_like(tg.Variable([1.0, 2.0]))\nVariable([0., 0.])\n",
        &[X, DTYPE, DEVICE],
        |a| like("zeros_like", a, Scalar::Int(0), 1),
        like_samples,
    ),
    row(
        "ones_like",
        "Ones in the shape and dtype of x.\n\n>>> tg.ones_like(tg.Variable([1.0, 2.0]))\nVariable([1., 1.])\n",
        &[X, DTYPE, DEVICE],
        |a| like("ones_like", a, Scalar::Int(1), 1),
        like_samples,
    ),
    row(
        "empty_like",
        "An array to be filled in later, in the shape and dtype of x; it holds zeros.\n\n>>> tg.empty_like(tg.Variable([1.0, 2.0])).shape\n(2,)\n",
        &[X, DTYPE, DEVICE],
        |a| like("empty_like", a, Scalar::Int(0), 1),
        like_samples,
    ),
    row(
        "full_like",
        "An array in the shape and dtype of x whose elements are all fill_value, a number or an array that is broadcast and to which\n\
         gradients flow.\n\n>>> tg.full_like(tg.Variable([1.0, 2.0]), 7)\nVariable([7., 7.])\n",
        &[X, Param::array("fill_value"), DTYPE, DEVICE],
        call_full_like,
        full_like_samples,
    )
    .composite("fill_value: the sum of g over the axes along which it was broadcast; x: none"),
    row(
        "arange",
        "The numbers start, start + step, ... before stop; arange(stop) begins at 0. Ints give int64, floats the default floating\n\
         dtype.\n\n>>> tg.arange(2, 10, 3)\nVariable([2, 5, 8])\n",
        &[Param::array("start"), Param::new("stop", Kind::OptArray).or(Default::None), Param::array("step").or(Default::Int(1)), DTYPE, DEVICE],
        call_arange,
        || vec![Sample { args: vec![Arg::Scalar(Scalar::Int(0)), Arg::Scalar(Scalar::Int(5)), Arg::Scalar(Scalar::Int(2)), Arg::None] }],
    )
    .work(work::ranged),
    row(
        "linspace",
        "num numbers at equal distances from start to stop, which is one of them unless endpoint is False. Gradients flow to both ends.\n\n\
         >>> tg.linspace(0, 1, 5)\nVariable([0.  , 0.25, 0.5 , 0.75, 1.  ])\n",
        &[
            Param::array("start"),
            Param::array("stop"),
            Param::new("num", Kind::Int).or(Default::Int(50)),
            Param::flag("endpoint", true),
            DTYPE,
            DEVICE,
        ],
        call_linspace,
        linspace_samples,
    )
    .rule("start: the sum of g (1 - t), stop: the sum of g t, where t runs from 0 to 1 in the same steps")
    .work(work::points),
    row(
        "eye",
        "Ones on a diagonal, zeros elsewhere; the diagonal begins k columns to the right of the first element.\n\n\
         >>> tg.eye(2, 3, k=1)\nVariable([[0., 1., 0.],\n          [0., 0., 1.]])\n",
        &[
            Param::new("n_rows", Kind::Int),
            Param::new("n_cols", Kind::OptInt).or(Default::None),
            Param::new("k", Kind::Int).or(Default::Int(0)),
            DTYPE,
            DEVICE,
        ],
        |a| {
            let cols = a.opt_int(1)?.map(|n| isize::try_from(n).unwrap_or(isize::MAX));
            Ok(eye(a.axis(0)?, cols, a.int(2)?, a.dtype(3)?)?.into())
        },
        Vec::new,
    )
    .work(work::counted),
    row(
        "one_hot",
        "For each integer of x a row of num_classes zeros with a 1 at that place, in int64. With num_classes of -1 the largest\n\
         integer is the last class.\n\n>>> tg.one_hot(tg.Variable([0, 2]), 3)\nVariable([[1, 0, 0],\n          [0, 0, 1]])\n",
        &[X, Param::new("num_classes", Kind::Int).or(Default::Int(-1))],
        |a| Ok(one_hot(&a.variable(0)?, a.int(1)?)?.into()),
        || vec![Sample { args: vec![Arg::Variable(Array::from_slice(&[0_i64, 2, 1], &[3]).into()), Arg::Int(3)] }],
    )
    .work(work::counted),
];
