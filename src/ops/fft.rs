//! Fourier transforms of any length along any axes, with NumPy's names, lengths and norms.
//!
//! All transforms are linear, and use three primitives: complex to complex, real to half spectrum, half spectrum to real. The gradient of
//! an unscaled complex transform is the unscaled transform with the opposite sign. A half spectrum omits numbers that are conjugates of
//! others. So the gradient of `rfft` weights interior numbers half as much as `irfft` does, and the gradient of `irfft` twice as much
//! (Boeddeker et al., On the computation of complex-valued gradients, 2017).

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::join::join;
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample};
use super::samples::{Draw, REAL, call_with, ints};
use super::shape::{astype, broadcast_to, scalar};
use super::window::{Cut, GETITEM, Window, view};
use super::{complex, conj, roll};
use crate::array::{Array, DType, Shape, check_memory, default_float, normalize_axis};
use crate::error::{Error, Result};
use crate::kernel::cast::cast;
use crate::kernel::fft::{self as kernel, Line};
use crate::tape::{Batch, BatchContext, Jvp, Outputs, Primitive, Variable, Vjp, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&FFT, &TO_HALF, &FROM_HALF];

type Axes = SmallVec<[usize; 4]>;

/// The axes of a complex transform, its sign, and the factor of the result.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Full {
    axes: Axes,
    inverse: bool,
    scale: f64,
}

/// The axis of a real transform, the length of its real side, the factor of the result, and the weight of the interior numbers of the half
/// spectrum.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Half {
    axis: usize,
    n: usize,
    scale: f64,
    interior: f64,
}
crate::attributes!(Full, Half);

impl Half {
    fn line(self, inverse: bool) -> Line {
        Line { n: self.n, inverse, scale: self.scale, interior: self.interior }
    }
}

/// `f` applied to `x` with `axis` moved to the end.
fn along(x: &Array, axis: usize, f: impl Fn(&Array) -> Array) -> Array {
    let last = x.ndim() - 1;
    if axis == last {
        return f(x);
    }
    let mut axes: Axes = (0..x.ndim()).collect();
    axes.swap(axis, last);
    let out = f(&x.with_layout(x.layout().permute(&axes)));
    out.with_layout(out.layout().permute(&axes))
}

static FFT: Primitive = Primitive {
    name: "fft",
    eval: |call| {
        let how: &Full = call.attrs();
        let mut x = call.array(0).clone();
        for (i, &axis) in how.axes.iter().enumerate().rev() {
            let line = Line { n: x.shape()[axis], inverse: how.inverse, scale: if i == 0 { how.scale } else { 1.0 }, interior: 1.0 };
            let single = x.dtype() == DType::C64;
            x = along(&x, axis, |x| if single { kernel::complex::<f32>(x, line) } else { kernel::complex::<f64>(x, line) });
        }
        call.give(x.contiguous());
        Ok(())
    },
    vjp: Vjp::Rule(|ctx| {
        let (g, how) = (ctx.cotangent(), ctx.attrs::<Full>().clone());
        ctx.add(0, full(&g, &Full { inverse: !how.inverse, ..how })?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Rule(|ctx| {
        let how: &Full = ctx.attrs();
        ctx.apply_spread(&Full { axes: how.axes.iter().map(|a| a + 1).collect(), ..how.clone() })
    }),
    ..Primitive::BASE
};

/// From real lines to their half spectra.
static TO_HALF: Primitive = Primitive {
    name: "rfft",
    eval: |call| {
        let (x, how) = (call.array(0), *call.attrs::<Half>());
        let single = x.dtype() == DType::F32;
        let line = how.line(false);
        let out = along(x, how.axis, |x| if single { kernel::to_half::<f32>(x, line) } else { kernel::to_half::<f64>(x, line) });
        call.give(out.contiguous());
        Ok(())
    },
    vjp: Vjp::Rule(|ctx| {
        let (g, how) = (ctx.cotangent(), *ctx.attrs::<Half>());
        ctx.add(0, from_half(&g, Half { interior: 0.5 * how.interior, ..how })?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_half),
    ..Primitive::BASE
};

/// From half spectra to their real lines.
static FROM_HALF: Primitive = Primitive {
    name: "irfft",
    eval: |call| {
        let (x, how) = (call.array(0), *call.attrs::<Half>());
        let single = x.dtype() == DType::C64;
        let line = how.line(true);
        let out = along(x, how.axis, |x| if single { kernel::from_half::<f32>(x, line) } else { kernel::from_half::<f64>(x, line) });
        call.give(out.contiguous());
        Ok(())
    },
    vjp: Vjp::Rule(|ctx| {
        let (g, how) = (ctx.cotangent(), *ctx.attrs::<Half>());
        ctx.add(0, to_half(&g, Half { interior: 2.0 * how.interior, ..how })?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_half),
    ..Primitive::BASE
};

fn batch_half(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let how: &Half = ctx.attrs();
    ctx.apply_spread(&Half { axis: how.axis + 1, ..*how })
}

fn full(x: &Variable, how: &Full) -> Result<Variable> {
    if how.axes.is_empty() { Ok(x.clone()) } else { apply(&FFT, &[x.into()], how) }
}

fn to_half(x: &Variable, how: Half) -> Result<Variable> {
    apply(&TO_HALF, &[x.into()], &how)
}

fn from_half(x: &Variable, how: Half) -> Result<Variable> {
    apply(&FROM_HALF, &[x.into()], &how)
}

/// How transforms are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Backward transforms by 1/n.
    Backward,
    /// Both by 1/√n.
    Ortho,
    /// Forward transforms by 1/n.
    Forward,
}

impl Norm {
    /// The norm of that name; `None` is `backward`.
    ///
    /// # Errors
    /// `Value` for an unknown name.
    pub fn named(op: &str, name: Option<&str>) -> Result<Self> {
        match name {
            None | Some("backward") => Ok(Self::Backward),
            Some("ortho") => Ok(Self::Ortho),
            Some("forward") => Ok(Self::Forward),
            Some(other) => Err(Error::Value(format!("{op}: norm is '{other}', expected 'backward', 'ortho' or 'forward'"))),
        }
    }

    /// The factor of a transform of `n` elements.
    #[allow(clippy::cast_precision_loss, reason = "a size")]
    fn scale(self, inverse: bool, n: usize) -> f64 {
        match (self, inverse) {
            (Self::Ortho, _) => 1.0 / (n as f64).sqrt(),
            (Self::Backward, true) | (Self::Forward, false) => 1.0 / n as f64,
            (Self::Backward, false) | (Self::Forward, true) => 1.0,
        }
    }

    /// The norm with forward and backward exchanged.
    fn swapped(self) -> Self {
        match self {
            Self::Backward => Self::Forward,
            Self::Ortho => Self::Ortho,
            Self::Forward => Self::Backward,
        }
    }
}

/// `x` in a complex dtype. Integers and bools get the default one.
fn as_complex(x: &Variable) -> Result<Variable> {
    let dtype = if x.dtype().is_inexact() { x.dtype() } else { default_float() };
    astype(x, dtype.complex())
}

/// `x` in a real floating dtype.
fn as_real(op: &str, x: &Variable) -> Result<Variable> {
    match x.dtype() {
        d if d.is_complex() => Err(Error::dtype(op, d, "real numbers; use fft, or take .real first")),
        d if d.is_float() => Ok(x.clone()),
        _ => astype(x, default_float()),
    }
}

/// `x` truncated or padded with zeros, so that `axis` has `n` elements.
fn fitted(op: &str, x: &Variable, axis: usize, n: usize) -> Result<Variable> {
    let has = x.shape()[axis];
    if n == has {
        return Ok(x.clone());
    }
    if n < has {
        return view(&GETITEM, x, &Window::along(x.shape(), axis, Cut { start: 0, count: n, step: 1 }));
    }
    let mut shape = Shape::from_slice(x.shape());
    shape[axis] = n;
    check_memory(op, &shape, x.dtype())?;
    shape[axis] = n - has;
    join(&[x, &broadcast_to(&scalar(0.0, x.dtype()), &shape)?], axis)
}

/// A valid length.
fn length(op: &str, n: i64) -> Result<usize> {
    usize::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| Error::Value(format!("{op}: the length of the transform is {n}, expected at least 1")))
}

#[allow(clippy::cast_possible_wrap, reason = "a size of an array")]
fn size(x: &Variable, axis: usize) -> i64 {
    x.shape()[axis] as i64
}

/// The transform along one axis, of `n` elements: `x` is truncated or padded with zeros.
///
/// # Errors
/// `Axis` when the axis is out of range, `Value` when `n` is below 1.
pub fn fft(x: &Variable, n: Option<i64>, axis: isize, norm: Norm) -> Result<Variable> {
    complex_line("fft", x, n, axis, norm, false)
}

/// The inverse of [`fft`].
///
/// # Errors
/// As [`fft`].
pub fn ifft(x: &Variable, n: Option<i64>, axis: isize, norm: Norm) -> Result<Variable> {
    complex_line("ifft", x, n, axis, norm, true)
}

fn complex_line(op: &str, x: &Variable, n: Option<i64>, axis: isize, norm: Norm, inverse: bool) -> Result<Variable> {
    let axis = normalize_axis(op, axis, x.ndim())?;
    let n = length(op, n.unwrap_or(size(x, axis)))?;
    let x = fitted(op, &as_complex(x)?, axis, n)?;
    full(&x, &Full { axes: smallvec![axis], inverse, scale: norm.scale(inverse, n) })
}

/// The first half of the transform of real numbers: `n / 2 + 1` elements.
///
/// # Errors
/// As [`fft`]; `DType` for complex numbers.
pub fn rfft(x: &Variable, n: Option<i64>, axis: isize, norm: Norm) -> Result<Variable> {
    real_line("rfft", x, n, axis, norm)
}

fn real_line(op: &str, x: &Variable, n: Option<i64>, axis: isize, norm: Norm) -> Result<Variable> {
    let axis = normalize_axis(op, axis, x.ndim())?;
    let n = length(op, n.unwrap_or(size(x, axis)))?;
    let x = fitted(op, &as_real(op, x)?, axis, n)?;
    to_half(&x, Half { axis, n, scale: norm.scale(false, n), interior: 1.0 })
}

/// The inverse of [`rfft`], of `n` real numbers; `2 (m - 1)` without `n`.
///
/// # Errors
/// As [`fft`].
pub fn irfft(x: &Variable, n: Option<i64>, axis: isize, norm: Norm) -> Result<Variable> {
    half_line("irfft", x, n, axis, norm)
}

fn half_line(op: &str, x: &Variable, n: Option<i64>, axis: isize, norm: Norm) -> Result<Variable> {
    let axis = normalize_axis(op, axis, x.ndim())?;
    let n = length(op, n.unwrap_or(2 * (size(x, axis) - 1)))?;
    let x = fitted(op, &as_complex(x)?, axis, n / 2 + 1)?;
    from_half(&x, Half { axis, n, scale: norm.scale(true, n), interior: 1.0 })
}

/// The transform of a signal with Hermitian symmetry, given by its first half, which is real.
///
/// # Errors
/// As [`fft`].
pub fn hfft(x: &Variable, n: Option<i64>, axis: isize, norm: Norm) -> Result<Variable> {
    half_line("hfft", &conj(x)?, n, axis, norm.swapped())
}

/// The inverse of [`hfft`].
///
/// # Errors
/// As [`rfft`].
pub fn ihfft(x: &Variable, n: Option<i64>, axis: isize, norm: Norm) -> Result<Variable> {
    conj(&real_line("ihfft", x, n, axis, norm.swapped())?)
}

/// The axes of a transform over several axes, with their lengths.
struct Grid {
    axes: Axes,
    sizes: SmallVec<[i64; 4]>,
}

impl Grid {
    /// As in NumPy: all axes, or the last ones when lengths are given. A length of -1 is that of the axis.
    fn new(op: &str, x: &Variable, s: Option<&[isize]>, axes: Option<&[isize]>) -> Result<Self> {
        let ndim = x.ndim();
        let all: SmallVec<[isize; 4]> = match (s, axes) {
            (_, Some(axes)) => axes.into(),
            (Some(s), None) => (1..=s.len().cast_signed()).rev().map(|i| -i).collect(),
            (None, None) => (0..ndim.cast_signed()).collect(),
        };
        let axes = all.iter().map(|&a| normalize_axis(op, a, ndim)).collect::<Result<Axes>>()?;
        if let Some(s) = s
            && s.len() != axes.len()
        {
            return Err(Error::Value(format!("{op}: s has {} lengths for {} axes, expected one for each", s.len(), axes.len())));
        }
        let size_of = |(i, &axis): (usize, &usize)| match s {
            Some(s) if s[i] != -1 => s[i] as i64,
            _ => size(x, axis),
        };
        let sizes = axes.iter().enumerate().map(size_of).collect();
        Ok(Self { axes, sizes })
    }

    /// Removes the last axis and its length, for the real side of `op`.
    fn pop(&mut self, op: &str) -> Result<(isize, i64)> {
        match (self.axes.pop(), self.sizes.pop()) {
            (Some(axis), Some(n)) => Ok((axis.cast_signed(), n)),
            _ => Err(Error::Value(format!("{op}: no axes were given, expected at least one"))),
        }
    }

    /// The complex transforms over all axes.
    fn run(&self, op: &str, x: &Variable, norm: Norm, inverse: bool) -> Result<Variable> {
        let mut x = as_complex(x)?;
        let twice = (1..self.axes.len()).any(|i| self.axes[..i].contains(&self.axes[i]));
        if twice {
            // As in NumPy, an axis that is given twice is transformed twice.
            for (axis, n) in self.axes.iter().zip(&self.sizes).rev() {
                x = complex_line(op, &x, Some(*n), axis.cast_signed(), norm, inverse)?;
            }
            return Ok(x);
        }
        let mut scale = 1.0;
        for (&axis, &n) in self.axes.iter().zip(&self.sizes) {
            let n = length(op, n)?;
            scale *= norm.scale(inverse, n);
            x = fitted(op, &x, axis, n)?;
        }
        full(&x, &Full { axes: self.axes.clone(), inverse, scale })
    }
}

/// The transform over several axes, with the lengths `s`.
///
/// # Errors
/// As [`fft`]; `Value` when the numbers of lengths and axes differ.
pub fn fftn(x: &Variable, s: Option<&[isize]>, axes: Option<&[isize]>, norm: Norm) -> Result<Variable> {
    Grid::new("fftn", x, s, axes)?.run("fftn", x, norm, false)
}

/// The inverse of [`fftn`].
///
/// # Errors
/// As [`fftn`].
pub fn ifftn(x: &Variable, s: Option<&[isize]>, axes: Option<&[isize]>, norm: Norm) -> Result<Variable> {
    Grid::new("ifftn", x, s, axes)?.run("ifftn", x, norm, true)
}

/// The transform of real numbers over several axes: half of the spectrum along the last of them.
///
/// # Errors
/// As [`fftn`]; `DType` for complex numbers.
pub fn rfftn(x: &Variable, s: Option<&[isize]>, axes: Option<&[isize]>, norm: Norm) -> Result<Variable> {
    let mut grid = Grid::new("rfftn", x, s, axes)?;
    let (axis, n) = grid.pop("rfftn")?;
    let half = real_line("rfftn", x, Some(n), axis, norm)?;
    grid.run("rfftn", &half, norm, false)
}

/// The inverse of [`rfftn`].
///
/// # Errors
/// As [`fftn`].
pub fn irfftn(x: &Variable, s: Option<&[isize]>, axes: Option<&[isize]>, norm: Norm) -> Result<Variable> {
    let mut grid = Grid::new("irfftn", x, s, axes)?;
    let (axis, n) = grid.pop("irfftn")?;
    let n = s.map(|_| n);
    half_line("irfftn", &grid.run("irfftn", x, norm, true)?, n, axis, norm)
}

/// The frequencies of a transform of `n` samples that are `d` apart; `half` of them for real samples.
///
/// # Errors
/// `Value` when `n` is below 1 or `d` is 0, `DType` when the dtype is not floating.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_wrap, reason = "counts")]
fn frequencies(op: &str, n: i64, d: f64, dtype: Option<DType>, half: bool) -> Result<Variable> {
    let count = length(op, n)?;
    let dtype = dtype.unwrap_or_else(default_float);
    if !dtype.is_float() {
        return Err(Error::dtype(op, dtype, "float32 or float64"));
    }
    if d == 0.0 {
        return Err(Error::Value(format!("{op}: d, the sample spacing, is 0, expected another number")));
    }
    let count = if half { count / 2 + 1 } else { count };
    check_memory(op, &[count], DType::F64)?;
    let step = 1.0 / (n as f64 * d);
    let wrapped = |k: i64| if half || k < (n + 1) / 2 { k } else { k - n };
    let out = Array::build(&[count], |out: &mut [f64]| out.iter_mut().enumerate().for_each(|(k, f)| *f = wrapped(k as i64) as f64 * step));
    Ok(cast(&out, dtype).into())
}

/// The frequencies of [`fft`]: zero, the positive ones, the negative ones.
///
/// # Errors
/// `Value` when `n` is below 1 or `d` is 0, `DType` when the dtype is not floating.
pub fn fftfreq(n: i64, d: f64, dtype: Option<DType>) -> Result<Variable> {
    frequencies("fftfreq", n, d, dtype, false)
}

/// The frequencies of [`rfft`].
///
/// # Errors
/// As [`fftfreq`].
pub fn rfftfreq(n: i64, d: f64, dtype: Option<DType>) -> Result<Variable> {
    frequencies("rfftfreq", n, d, dtype, true)
}

/// `x` rolled so that frequency zero is in the middle of the axes (`None`: all); `back` reverses it.
fn shifted(op: &str, x: &Variable, axes: Option<&[isize]>, back: bool) -> Result<Variable> {
    let axes: SmallVec<[isize; 4]> = match axes {
        Some(axes) => axes.into(),
        None => (0..x.ndim().cast_signed()).collect(),
    };
    if axes.is_empty() {
        return Ok(x.clone());
    }
    let by = axes.iter().map(|&a| {
        let half = (x.shape()[normalize_axis(op, a, x.ndim())?] / 2).cast_signed();
        Ok(if back { -half } else { half })
    });
    let by = by.collect::<Result<SmallVec<[isize; 4]>>>()?;
    roll(x, &by, Some(&axes))
}

/// `x` with frequency zero in the middle of the axes; of all axes for `None`.
///
/// # Errors
/// `Axis` when an axis is out of range.
pub fn fftshift(x: &Variable, axes: Option<&[isize]>) -> Result<Variable> {
    shifted("fftshift", x, axes, false)
}

/// The inverse of [`fftshift`].
///
/// # Errors
/// As [`fftshift`].
pub fn ifftshift(x: &Variable, axes: Option<&[isize]>) -> Result<Variable> {
    shifted("ifftshift", x, axes, true)
}

// The rows.

const X: Param = Param { alias: Some("a"), ..Param::array("x") };
const N: Param = Param::new("n", Kind::OptInt).or(Default::None);
const S: Param = Param::new("s", Kind::Axes).or(Default::None);
const AXES: Param = Param { alias: Some("dim"), ..Param::new("axes", Kind::Axes).or(Default::None) };
const NORM: Param = Param { choices: &["backward", "ortho", "forward"], ..Param::new("norm", Kind::Text).or(Default::None) };

fn norm_of(a: &Args<'_>) -> Result<Norm> {
    Norm::named(a.name(), if a.is_none(3) { None } else { Some(a.text(3)?) })
}

type OneAxis = fn(&Variable, Option<i64>, isize, Norm) -> Result<Variable>;
type SeveralAxes = fn(&Variable, Option<&[isize]>, Option<&[isize]>, Norm) -> Result<Variable>;

fn call_one(a: &Args<'_>, f: OneAxis) -> Result<super::Value> {
    Ok(f(&a.variable(0)?, a.opt_int(1)?, a.axis(2)?, norm_of(a)?)?.into())
}

fn call_several(a: &Args<'_>, f: SeveralAxes) -> Result<super::Value> {
    Ok(f(&a.variable(0)?, a.axes(1)?, a.axes(2)?, norm_of(a)?)?.into())
}

/// [`call_several`] over the last two axes, if none are named.
fn call_two(a: &Args<'_>, f: SeveralAxes) -> Result<super::Value> {
    Ok(f(&a.variable(0)?, a.axes(1)?, a.axes(2)?.or(Some(&[-2, -1])), norm_of(a)?)?.into())
}

fn draw_array(draw: &mut Draw, shape: &[usize], is_complex: bool) -> Variable {
    let re = REAL.strided(draw, shape);
    if !is_complex {
        return re;
    }
    let im = REAL.array(draw, shape);
    complex(&re, &im).unwrap_or(re)
}

fn text(norm: &str) -> Arg {
    Arg::Text(norm.to_owned())
}

/// Calls along one axis: shorter, longer, other axes, norms, odd and even lengths.
fn line_samples(is_complex: bool) -> Vec<Sample> {
    let draw = &mut Draw::new(81);
    let cases: [(&[usize], Arg, i64, Arg); 7] = [
        (&[4], Arg::None, -1, Arg::None),
        (&[5], Arg::None, 0, text("ortho")),
        (&[2, 3], Arg::Int(5), 1, text("forward")),
        (&[3, 2], Arg::Int(2), 0, text("backward")),
        (&[2, 3, 2], Arg::Int(4), -2, Arg::None),
        (&[0, 3], Arg::None, 1, Arg::None),
        (&[2, 2], Arg::Int(1), -1, Arg::None),
    ];
    cases.map(|(shape, n, axis, norm)| call_with(draw_array(draw, shape, is_complex), [n, Arg::Int(axis), norm])).into()
}

/// Calls over several axes.
fn grid_samples(is_complex: bool) -> Vec<Sample> {
    let draw = &mut Draw::new(82);
    let cases: [(&[usize], Arg, Arg, Arg); 5] = [
        (&[3, 4], Arg::None, Arg::None, Arg::None),
        (&[2, 3, 4], Arg::None, ints(&[0, 1]), text("ortho")),
        (&[2, 3], ints(&[4, 5]), ints(&[0, 1]), text("forward")),
        (&[3, 2, 3], ints(&[2, 4]), ints(&[-1, 0]), Arg::None),
        (&[2, 0, 3], ints(&[2, 2]), ints(&[0, 2]), text("backward")),
    ];
    cases.map(|(shape, s, axes, norm)| call_with(draw_array(draw, shape, is_complex), [s, axes, norm])).into()
}

fn shift_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(83);
    let cases: [(&[usize], Arg); 4] = [(&[4], Arg::None), (&[5, 2], Arg::None), (&[3, 5], ints(&[1])), (&[3, 4, 2], ints(&[-1, 0]))];
    cases.map(|(shape, axes)| call_with(REAL.strided(draw, shape), [axes])).into()
}

/// A row for a transform along one axis. The others replace a few of its fields.
const LINE: Entry = Entry { module: "fft", params: &[X, N, Param::axis(-1), NORM], cost: 10.0, linear: true, method: false, ..Entry::BASE };
const GRID: Entry = Entry { params: &[X, S, AXES, NORM], ..LINE };

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "fft",
        doc: "The discrete Fourier transform along an axis, which is cut to n elements or filled up with zeros. The result is complex. norm: 'backward' (or None) scales ifft by 1/n, 'forward' fft by 1/n, 'ortho' both by 1/sqrt(n).\n\n>>> tg.fft.fft(tg.Variable([1.0, 2.0, 3.0, 4.0]))\nVariable([10.+0.j, -2.+2.j, -2.+0.j, -2.-2.j])\n",
        call: |a| call_one(a, fft),
        gradient: Gradient::Rule("the transform of g with the other sign and the same scale"),
        samples: || line_samples(true),
        ..LINE
    },
    Entry {
        name: "ifft",
        doc: "The inverse of fft.\n\n>>> tg.fft.ifft(tg.Variable([10.0, -2.0, 2.0, -2.0])).real\nVariable([2., 2., 4., 2.])\n",
        call: |a| call_one(a, ifft),
        gradient: Gradient::Rule("the transform of g with the other sign and the same scale"),
        samples: || line_samples(true),
        ..LINE
    },
    Entry {
        name: "rfft",
        doc: "The Fourier transform of real numbers: n // 2 + 1 elements, as the others are their conjugates.\n\n>>> tg.fft.rfft(tg.Variable([1.0, 2.0, 3.0, 4.0]))\nVariable([10.+0.j, -2.+2.j, -2.+0.j])\n",
        call: |a| call_one(a, rfft),
        gradient: Gradient::Rule("n irfft(w g), w = 1 at frequency 0 and n/2, else 1/2"),
        samples: || line_samples(false),
        ..LINE
    },
    Entry {
        name: "irfft",
        doc: "The inverse of rfft: n real numbers, by default 2 (m - 1) of m elements. Give n when it is odd. The imaginary parts at frequency 0 and n/2 do not count.\n\n>>> tg.fft.irfft(tg.Variable([10 + 0j, -2 + 2j, -2 + 0j]))\nVariable([1., 2., 3., 4.])\n",
        call: |a| call_one(a, irfft),
        gradient: Gradient::Rule("w rfft(g) / n, w = 1 at frequency 0 and n/2, else 2"),
        samples: || line_samples(true),
        ..LINE
    },
    Entry {
        name: "hfft",
        doc: "The Fourier transform, which is real, of a signal whose second half is the conjugate of its first one, the argument.\n\n>>> tg.fft.hfft(tg.Variable([1.0, 2.0, 3.0]))\nVariable([ 8., -2.,  0., -2.])\n",
        call: |a| call_one(a, hfft),
        gradient: Gradient::Composite("that of irfft, of the conjugate"),
        samples: || line_samples(true),
        ..LINE
    },
    Entry {
        name: "ihfft",
        doc: "The inverse of hfft.\n\n>>> tg.fft.ihfft(tg.Variable([8.0, -2.0, 0.0, -2.0])).real\nVariable([1., 2., 3.])\n",
        call: |a| call_one(a, ihfft),
        gradient: Gradient::Composite("that of rfft, conjugated"),
        samples: || line_samples(false),
        ..LINE
    },
    Entry {
        name: "fftn",
        doc: "The Fourier transform over several axes (all of them by default), each cut or filled up with zeros to its length in s.\n\n>>> tg.fft.fftn(tg.ones((2, 2))).real\nVariable([[4., 0.],\n          [0., 0.]])\n",
        call: |a| call_several(a, fftn),
        gradient: Gradient::Rule("the transform of g with the other sign and the same scale"),
        samples: || grid_samples(true),
        ..GRID
    },
    Entry {
        name: "ifftn",
        doc: "The inverse of fftn.\n\n>>> tg.fft.ifftn(tg.Variable([[4.0, 0.0], [0.0, 0.0]])).real\nVariable([[1., 1.],\n          [1., 1.]])\n",
        call: |a| call_several(a, ifftn),
        gradient: Gradient::Rule("the transform of g with the other sign and the same scale"),
        samples: || grid_samples(true),
        ..GRID
    },
    Entry {
        name: "rfftn",
        doc: "The Fourier transform of real numbers over several axes: of the last one n // 2 + 1 elements.\n\n>>> tg.fft.rfftn(tg.ones((2, 4))).shape\n(2, 3)\n",
        call: |a| call_several(a, rfftn),
        gradient: Gradient::Composite("those of rfft and fftn"),
        samples: || grid_samples(false),
        ..GRID
    },
    Entry {
        name: "irfftn",
        doc: "The inverse of rfftn. Give s when the last length is odd.\n\n>>> tg.fft.irfftn(tg.fft.rfftn(tg.ones((2, 4)))).shape\n(2, 4)\n",
        call: |a| call_several(a, irfftn),
        gradient: Gradient::Composite("those of ifftn and irfft"),
        samples: || grid_samples(true),
        ..GRID
    },
    Entry {
        name: "fft2",
        doc: "The Fourier transform over two axes, by default the last ones: see fftn.\n\n>>> tg.fft.fft2(tg.ones((2, 2))).real\nVariable([[4., 0.],\n          [0., 0.]])\n",
        call: |a| call_two(a, fftn),
        gradient: Gradient::Rule("the transform of g with the other sign and the same scale"),
        samples: || grid_samples(true),
        ..GRID
    },
    Entry {
        name: "ifft2",
        doc: "The inverse of fft2.\n\n>>> tg.fft.ifft2(tg.Variable([[4.0, 0.0], [0.0, 0.0]])).real\nVariable([[1., 1.],\n          [1., 1.]])\n",
        call: |a| call_two(a, ifftn),
        gradient: Gradient::Rule("the transform of g with the other sign and the same scale"),
        samples: || grid_samples(true),
        ..GRID
    },
    Entry {
        name: "rfft2",
        doc: "The Fourier transform of real numbers over two axes, by default the last ones: see rfftn.\n\n>>> tg.fft.rfft2(tg.ones((2, 4))).shape\n(2, 3)\n",
        call: |a| call_two(a, rfftn),
        gradient: Gradient::Composite("those of rfft and fftn"),
        samples: || grid_samples(false),
        ..GRID
    },
    Entry {
        name: "irfft2",
        doc: "The inverse of rfft2.\n\n>>> tg.fft.irfft2(tg.fft.rfft2(tg.ones((2, 4)))).shape\n(2, 4)\n",
        call: |a| call_two(a, irfftn),
        gradient: Gradient::Composite("those of ifftn and irfft"),
        samples: || grid_samples(true),
        ..GRID
    },
    Entry {
        name: "fftshift",
        doc: "The array with frequency zero in the middle of axes, by default of all.\n\n>>> tg.fft.fftshift(tg.fft.fftfreq(4))\nVariable([-0.5 , -0.25,  0.  ,  0.25])\n",
        params: &[X, AXES],
        call: |a| Ok(fftshift(&a.variable(0)?, a.axes(1)?)?.into()),
        cost: 1.0,
        gradient: Gradient::Composite("g, shifted back"),
        samples: shift_samples,
        ..LINE
    },
    Entry {
        name: "ifftshift",
        doc: "The inverse of fftshift.\n\n>>> tg.fft.ifftshift(tg.Variable([-1.0, 0.0, 1.0]))\nVariable([ 0.,  1., -1.])\n",
        params: &[X, AXES],
        call: |a| Ok(ifftshift(&a.variable(0)?, a.axes(1)?)?.into()),
        cost: 1.0,
        gradient: Gradient::Composite("g, shifted back"),
        samples: shift_samples,
        ..LINE
    },
    Entry {
        name: "fftfreq",
        doc: "The frequencies of fft of n samples that are d apart: zero, the positive ones, the negative ones.\n\n>>> tg.fft.fftfreq(4)\nVariable([ 0.  ,  0.25, -0.5 , -0.25])\n",
        params: FREQUENCIES,
        call: |a| Ok(fftfreq(a.int(0)?, a.float(1)?, a.dtype(2)?)?.into()),
        work: super::work::points,
        samples: || vec![Sample { args: vec![Arg::Int(5), Arg::Float(0.5), Arg::None] }],
        ..FREQUENCY
    },
    Entry {
        name: "rfftfreq",
        doc: "The frequencies of rfft of n samples that are d apart.\n\n>>> tg.fft.rfftfreq(4)\nVariable([0.  , 0.25, 0.5 ])\n",
        params: FREQUENCIES,
        call: |a| Ok(rfftfreq(a.int(0)?, a.float(1)?, a.dtype(2)?)?.into()),
        work: super::work::points,
        samples: || vec![Sample { args: vec![Arg::Int(5), Arg::Float(0.5), Arg::None] }],
        ..FREQUENCY
    },
];

const FREQUENCIES: &[Param] =
    &[Param::new("n", Kind::Int), Param::float("d", 1.0), Param::new("dtype", Kind::DType).or(Default::None).named(), Param::device()];
const FREQUENCY: Entry = Entry { module: "fft", method: false, ..Entry::BASE };
