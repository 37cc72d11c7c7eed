//! Resizing, sampling at points, padding, and rearranging of pixels.

use smallvec::SmallVec;

use super::pool::adaptive_avg_pool;
use super::reduction::floating;
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::resample::{gather_places, pick, resample};
use super::samples::{Draw, REAL, ints};
use super::shape::reshape_to;
use super::spatial::{Numbers, numbers};
use super::{
    abs, add, astype, broadcast_to, clip, equal, expand_dims, floor, fmod, greater_equal, less, logical_and, matmul, multiply, permute_dims, rint,
    subtract, where_,
};
use crate::array::{Array, DType, Shape, check_memory};
use crate::error::{Error, Result, show_shape};
use crate::kernel::resample::Table;
use crate::tape::Variable;

/// Sizes and ratios of an interpolation along one axis.
struct Resize {
    inputs: usize,
    outputs: usize,
    /// Input elements per output element.
    ratio: f64,
    align_corners: bool,
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "places in an axis")]
impl Resize {
    /// The position of output `o`, in elements of the input.
    fn source(&self, o: usize) -> f64 {
        if self.align_corners {
            return if self.outputs > 1 { o as f64 * (self.inputs - 1) as f64 / (self.outputs - 1) as f64 } else { 0.0 };
        }
        (o as f64 + 0.5) * self.ratio - 0.5
    }

    /// The nearest element. `shift` is 0 (the lower end of a pixel) or ½ (its middle). Single precision, as in PyTorch.
    fn nearest(&self, shift: f32) -> Vec<Option<usize>> {
        let ratio = self.ratio as f32;
        (0..self.outputs).map(|o| Some((((o as f32 + shift) * ratio).floor() as usize).min(self.inputs - 1))).collect()
    }

    fn linear(&self) -> Table {
        Table::new(
            self.inputs,
            (0..self.outputs).map(|o| {
                let at = self.source(o).max(0.0);
                let low = (at as usize).min(self.inputs - 1);
                let (high, t) = ((low + 1).min(self.inputs - 1), at - low as f64);
                if high == low { vec![(low, 1.0)] } else { vec![(low, 1.0 - t), (high, t)] }
            }),
        )
    }

    fn cubic(&self) -> Table {
        let last = self.inputs.cast_signed() - 1;
        Table::new(
            self.inputs,
            (0..self.outputs).map(|o| {
                let at = self.source(o);
                let (low, t) = (at.floor(), at - at.floor());
                let place = move |k: isize| (low as isize + k).clamp(0, last).cast_unsigned();
                (-1..3).map(move |k| (place(k), keys(t - k as f64, -0.75)))
            }),
        )
    }

    /// A filter as wide as the pixels of the smaller image, which averages the elements in between.
    fn antialiased(&self, radius: f64, filter: impl Fn(f64) -> f64) -> Table {
        let ratio = if self.align_corners && self.outputs > 1 { (self.inputs - 1) as f64 / (self.outputs - 1) as f64 } else { self.ratio };
        let width = ratio.max(1.0);
        Table::new(
            self.inputs,
            (0..self.outputs).map(|o| {
                let center = ratio * (o as f64 + 0.5);
                let first = (center - radius * width + 0.5).max(0.0) as usize;
                let end = ((center + radius * width + 0.5).max(0.0) as usize).min(self.inputs).max(first);
                let weights: Vec<f64> = (first..end).map(|i| filter((i as f64 - center + 0.5) / width)).collect();
                let total: f64 = weights.iter().sum();
                (first..end).zip(weights).map(|(i, w)| (i, if total == 0.0 { w } else { w / total })).collect::<Vec<_>>()
            }),
        )
    }
}

/// Keys' cubic convolution.
fn keys(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * x * a - 4.0 * a
    } else {
        0.0
    }
}

/// The number of spatial axes that a mode is for; 0: one to three.
fn axes_of_mode(mode: &str) -> Option<usize> {
    Some(match mode {
        "nearest" | "nearest-exact" | "area" => 0,
        "linear" => 1,
        "bilinear" | "bicubic" => 2,
        "trilinear" => 3,
        _ => return None,
    })
}

/// The arguments of an interpolation other than the input.
struct Interpolation<'a> {
    size: Option<SmallVec<[isize; 4]>>,
    scale: Option<SmallVec<[f64; 3]>>,
    mode: &'a str,
    align_corners: Option<bool>,
    recompute: bool,
    antialias: bool,
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "sizes")]
impl Interpolation<'_> {
    /// Checks the mode against an input of `shape`, and returns the number of spatial axes.
    fn check(&self, shape: &[usize]) -> Result<usize> {
        const NAME: &str = "interpolate";
        let mode = self.mode;
        let Some(wanted) = axes_of_mode(mode) else {
            return Err(Error::Value(format!(
                "{NAME}: mode '{mode}' is unknown, expected 'nearest', 'nearest-exact', 'linear', 'bilinear', 'bicubic', 'trilinear' or 'area'"
            )));
        };
        let axes = shape.len().saturating_sub(2);
        if !(1..=3).contains(&axes) || (wanted > 0 && axes != wanted) {
            let want = if wanted == 0 { "3, 4 or 5".to_owned() } else { (wanted + 2).to_string() };
            return Err(Error::Shape(format!("{NAME}: mode '{mode}' needs an input of {want} axes (N, C, ...), got shape {}", show_shape(shape))));
        }
        if wanted == 0 && self.align_corners.is_some() {
            return Err(Error::Value(format!("{NAME}: align_corners is not used by mode '{mode}'; leave it out")));
        }
        if self.antialias && !matches!(mode, "bilinear" | "bicubic") {
            return Err(Error::Value(format!("{NAME}: antialias is for modes 'bilinear' and 'bicubic', got '{mode}'")));
        }
        if shape[2..].contains(&0) {
            return Err(Error::Shape(format!("{NAME}: spatial axes must not be empty, got shape {}", show_shape(shape))));
        }
        Ok(axes)
    }

    /// The resizing of each axis.
    fn resizes(&self, sizes: &[usize]) -> Result<Vec<Resize>> {
        const NAME: &str = "interpolate";
        let (n, align_corners) = (sizes.len(), self.align_corners.unwrap_or(false));
        match (&self.size, &self.scale) {
            (Some(size), None) => {
                let outputs = numbers(NAME, "size", size, n, 1)?;
                let one = |(&inputs, &outputs): (&usize, &usize)| Resize { inputs, outputs, ratio: inputs as f64 / outputs as f64, align_corners };
                Ok(sizes.iter().zip(&outputs).map(one).collect())
            }
            (None, Some(scale)) if scale.len() == 1 || scale.len() == n => {
                let factor = |i: usize| scale[if scale.len() == 1 { 0 } else { i }];
                let outputs: SmallVec<[isize; 3]> = (0..n).map(|i| (sizes[i] as f64 * factor(i)).floor() as isize).collect();
                let outputs = numbers(NAME, "size (from scale_factor)", &outputs, n, 1)?;
                let ratio = |i: usize| if self.recompute { sizes[i] as f64 / outputs[i] as f64 } else { 1.0 / factor(i) };
                Ok((0..n).map(|i| Resize { inputs: sizes[i], outputs: outputs[i], ratio: ratio(i), align_corners }).collect())
            }
            _ => Err(Error::Value(format!("{NAME}: give size or scale_factor, a number or {n} numbers, and not both"))),
        }
    }

    fn apply(&self, x: &Variable) -> Result<Variable> {
        let axes = self.check(x.shape())?;
        if self.size.is_some() && self.recompute {
            return Err(Error::Value("interpolate: recompute_scale_factor needs a scale_factor".to_owned()));
        }
        let all = self.resizes(&x.shape()[2..])?;
        let shape: Shape = x.shape()[..2].iter().copied().chain(all.iter().map(|r| r.outputs)).collect();
        check_memory("interpolate", &shape, x.dtype())?;
        // The weights of an axis need memory, too.
        all.iter().try_for_each(|r| check_memory("interpolate", &[r.outputs, 8], DType::F64))?;
        match self.mode {
            "nearest" => pick(x, all.iter().map(|r| r.nearest(0.0)).collect(), 0.0),
            "nearest-exact" => pick(x, all.iter().map(|r| r.nearest(0.5)).collect(), 0.0),
            "area" => {
                let outputs: SmallVec<[isize; 3]> = all.iter().map(|r| r.outputs.cast_signed()).collect();
                adaptive_avg_pool("interpolate", x, axes, &outputs)
            }
            "bicubic" if self.antialias => {
                resample(&floating("interpolate", x)?, all.iter().map(|r| r.antialiased(2.0, |t| keys(t, -0.5))).collect())
            }
            "bicubic" => resample(&floating("interpolate", x)?, all.iter().map(Resize::cubic).collect()),
            _ if self.antialias => {
                resample(&floating("interpolate", x)?, all.iter().map(|r| r.antialiased(1.0, |t| (1.0 - t.abs()).max(0.0))).collect())
            }
            _ => resample(&floating("interpolate", x)?, all.iter().map(Resize::linear).collect()),
        }
    }
}

fn opt_flag(a: &Args<'_>, i: usize) -> Result<Option<bool>> {
    if a.is_none(i) { Ok(None) } else { a.flag(i).map(Some) }
}

fn call_interpolate(a: &Args<'_>) -> Result<Value> {
    let it = Interpolation {
        size: a.opt_int_list(1)?,
        scale: a.opt_floats(2)?,
        mode: a.text(3)?,
        align_corners: opt_flag(a, 4)?,
        recompute: opt_flag(a, 5)?.unwrap_or(false),
        antialias: a.flag(6)?,
    };
    Ok(it.apply(&a.variable(0)?)?.into())
}

/// The positions that padding by `before` and `after` elements reads along an axis of size `n`.
fn padded(mode: &str, n: usize, before: isize, after: isize) -> Result<Vec<Option<usize>>> {
    let size = n.cast_signed();
    // What is left after cropping; circular padding repeats this part.
    let (low, high) = ((-before).max(0), size - (-after).max(0));
    let fail = |limit: &str| {
        Err(Error::Value(format!("pad: mode '{mode}' needs a padding {limit} the size of the axis, got ({before}, {after}) for {n} elements")))
    };
    match mode {
        "reflect" if before >= size || after >= size => return fail("below"),
        "circular" if before.max(after) > 0 && before.max(after) > high - low => return fail("of at most"),
        "replicate" if n == 0 && (before > 0 || after > 0) => return fail("within"),
        _ => {}
    }
    if before.saturating_add(after) < -size {
        return Err(Error::Value(format!("pad: ({before}, {after}) removes more than the {n} elements of an axis")));
    }
    let total = size.saturating_add(before).saturating_add(after).cast_unsigned();
    check_memory("pad", &[total, 2], DType::F64)?;
    let place = |p: isize| match mode {
        "constant" => (0..size).contains(&p).then_some(p),
        "reflect" => Some(if p < 0 {
            -p
        } else if p >= size {
            2 * (size - 1) - p
        } else {
            p
        }),
        "replicate" => Some(p.clamp(0, size - 1)),
        _ => Some(low + (p - low).rem_euclid((high - low).max(1))),
    };
    Ok((-before..size + after).map(|p| place(p).map(isize::cast_unsigned)).collect())
}

/// `x` with elements added (or removed) at both ends of its last axes. `amounts` are pairs, starting with the last axis.
///
/// # Errors
/// `Value` for an unknown mode, an odd number of amounts, more pairs than axes, or more than the mode can fill.
pub fn pad(x: &Variable, amounts: &[isize], mode: &str, value: f64) -> Result<Variable> {
    if !matches!(mode, "constant" | "reflect" | "replicate" | "circular") {
        return Err(Error::Value(format!("pad: mode '{mode}' is unknown, expected 'constant', 'reflect', 'replicate' or 'circular'")));
    }
    if !amounts.len().is_multiple_of(2) || amounts.len() / 2 > x.ndim() {
        let (n, shape) = (amounts.len(), show_shape(x.shape()));
        return Err(Error::Value(format!(
            "pad: {n} amounts do not fit an input of shape {shape}, expected two for each padded axis, the last one first"
        )));
    }
    if let Some(n) = amounts.iter().find(|n| n.unsigned_abs() > 1 << 31) {
        return Err(Error::Value(format!("pad: an amount is {n}, expected at most 2147483648 elements")));
    }
    let first = x.ndim() - amounts.len() / 2;
    let one = |axis: usize| {
        let pair = 2 * (x.ndim() - 1 - axis);
        padded(mode, x.shape()[axis], amounts[pair], amounts[pair + 1])
    };
    pick(x, (first..x.ndim()).map(one).collect::<Result<_>>()?, value)
}

/// `x` with the axes from `at` on split into `sizes`, permuted by `order`, and reshaped to `shape`.
fn reorder(x: &Variable, sizes: &[usize], order: &[isize], shape: &[usize]) -> Result<Variable> {
    let at = x.ndim() - 3;
    let front = &x.shape()[..at];
    let apart = reshape_to(x, &[front, sizes].concat())?;
    let axes: SmallVec<[isize; 8]> = (0..at.cast_signed()).chain(order.iter().map(|a| a + at.cast_signed())).collect();
    reshape_to(&permute_dims(&apart, &axes)?, &[front, shape].concat())
}

fn factor(op: &str, what: &str, x: &Variable, r: i64) -> Result<usize> {
    if x.ndim() < 3 {
        return Err(Error::Shape(format!("{op}: the input has shape {}, expected (..., C, H, W)", show_shape(x.shape()))));
    }
    let fits = usize::try_from(r).ok().filter(|r| (1..1 << 16).contains(r));
    fits.ok_or_else(|| Error::Value(format!("{op}: {what} must be at least 1 (and below 65536), got {r}")))
}

/// (…, C r², H, W) as (…, C, H r, W r).
///
/// # Errors
/// `Shape` when the number of channels is not a multiple of r², `Value` when r is not positive.
pub fn pixel_shuffle(x: &Variable, r: i64) -> Result<Variable> {
    let r = factor("pixel_shuffle", "upscale_factor", x, r)?;
    let &[c, h, w] = &x.shape()[x.ndim() - 3..] else { unreachable!("three axes") };
    if !c.is_multiple_of(r * r) {
        return Err(Error::Shape(format!("pixel_shuffle: the input has {c} channels, expected a multiple of {}, the square of the factor", r * r)));
    }
    let c = c / (r * r);
    reorder(x, &[c, r, r, h, w], &[0, 3, 1, 4, 2], &[c, h * r, w * r])
}

/// (…, C, H r, W r) as (…, C r², H, W).
///
/// # Errors
/// `Shape` when height or width is not a multiple of r, `Value` when r is not positive.
pub fn pixel_unshuffle(x: &Variable, r: i64) -> Result<Variable> {
    let r = factor("pixel_unshuffle", "downscale_factor", x, r)?;
    let &[c, h, w] = &x.shape()[x.ndim() - 3..] else { unreachable!("three axes") };
    if !h.is_multiple_of(r) || !w.is_multiple_of(r) {
        return Err(Error::Shape(format!("pixel_unshuffle: {h} by {w} pixels cannot be divided by {r}")));
    }
    reorder(x, &[c, h / r, r, w / r, r], &[0, 2, 4, 1, 3], &[c.saturating_mul(r * r), h / r, w / r])
}

/// The channels of (N, C, …), interleaved across `groups` groups.
///
/// # Errors
/// `Value` when the channels cannot be divided into this number of groups.
pub fn channel_shuffle(x: &Variable, groups: i64) -> Result<Variable> {
    let shape = x.shape();
    if x.ndim() < 2 {
        return Err(Error::Shape(format!("channel_shuffle: the input has shape {}, expected (N, C, ...)", show_shape(shape))));
    }
    let g = usize::try_from(groups).ok().filter(|g| (1..=shape[1].max(1)).contains(g) && shape[1].is_multiple_of(*g));
    let g = g.ok_or_else(|| Error::Value(format!("channel_shuffle: {} channels cannot be divided into {groups} groups", shape[1])))?;
    let rest: usize = shape[2..].iter().product();
    let apart = reshape_to(x, &[shape[0], g, shape[1] / g, rest])?;
    reshape_to(&permute_dims(&apart, &[0, 2, 1, 3])?, shape)
}

/// How positions outside an image are handled.
#[derive(Clone, Copy, PartialEq)]
enum Border {
    Zeros,
    Nearest,
    Reflection,
}

/// Converts coordinates along one axis from -1 … 1 to positions in the image.
#[allow(clippy::cast_precision_loss, reason = "a size")]
fn places(grid: &Variable, n: usize, align: bool) -> Result<Variable> {
    let n = n as f64;
    if align { multiply(&add(grid, 1.0)?, (n - 1.0) / 2.0) } else { multiply(&subtract(&multiply(&add(grid, 1.0)?, n)?, 1.0)?, 0.5) }
}

/// Moves positions into an axis of size `n`, as the padding mode says.
#[allow(clippy::cast_precision_loss, reason = "a size")]
fn inside(at: &Variable, n: usize, border: Border, align: bool) -> Result<Variable> {
    let (last, zero) = (n as f64 - 1.0, 0.0);
    match border {
        Border::Zeros => Ok(at.clone()),
        Border::Nearest => clip(at, Some(zero.into()), Some(last.into())),
        Border::Reflection => {
            let (low, span) = if align { (0.0, last) } else { (-0.5, n as f64) };
            if span == 0.0 {
                return multiply(at, 0.0);
            }
            let at = abs(&subtract(at, low)?)?;
            let (rest, flips) = (fmod(&at, span)?, floor(&multiply(&at, 1.0 / span)?)?.detach());
            let is_even = equal(&fmod(&flips, 2.0)?, 0.0)?;
            let back = where_(&is_even, &rest, &subtract(span, &rest)?)?;
            clip(&add(&back, low)?, Some(zero.into()), Some(last.into()))
        }
    }
}

/// Rounded positions as int64 indices into a plane, -1 outside; (N, points).
fn plane_places(at: &[Variable], sizes: &[usize]) -> Result<Variable> {
    let mut flat: Option<(Variable, Variable)> = None;
    for (p, &n) in at.iter().zip(sizes) {
        #[allow(clippy::cast_precision_loss, reason = "a size")]
        let is_in = logical_and(&greater_equal(p, 0.0)?, &less(p, n as f64)?)?;
        // Positions outside may not be finite and must not be converted. float64 counts the elements of a plane exactly.
        let p = astype(&where_(&is_in, p, 0.0)?, DType::F64)?;
        flat = Some(match flat {
            None => (is_in, p),
            #[allow(clippy::cast_precision_loss, reason = "a size")]
            Some((all, sum)) => (logical_and(&all, &is_in)?, add(&multiply(&sum, n as f64)?, &p)?),
        });
    }
    let Some((is_in, sum)) = flat else { unreachable!("at least one axis") };
    astype(&where_(&is_in, &sum, -1.0)?.detach(), DType::I64)
}

/// The elements of each channel of x (N, C, pixels) at integer positions (N, points), times weights (N, points).
fn read(x: &Variable, at: &[Variable], sizes: &[usize], weight: Option<&Variable>) -> Result<Variable> {
    let places = expand_dims(&plane_places(at, sizes)?, &[1])?;
    let wide = [x.shape()[0], x.shape()[1], places.shape()[2]];
    let values = gather_places(x, &broadcast_to(&places, &wide)?, 1)?;
    weight.map_or(Ok(values.clone()), |w| multiply(&values, &expand_dims(w, &[1])?))
}

/// Σ over the corners of a cell, with their weights.
fn corners(x: &Variable, at: &[Variable], sizes: &[usize]) -> Result<Variable> {
    let low = at.iter().map(|p| floor(p).map(|f| f.detach())).collect::<Result<Vec<_>>>()?;
    let mut total: Option<Variable> = None;
    for corner in 0..1_usize << at.len() {
        let (mut place, mut weight) = (Vec::new(), None::<Variable>);
        for (i, (p, l)) in at.iter().zip(&low).enumerate() {
            let t = subtract(p, l)?;
            let is_high = corner >> i & 1 == 1;
            place.push(if is_high { add(l, 1.0)? } else { l.clone() });
            let w = if is_high { t } else { subtract(1.0, &t)? };
            weight = Some(weight.map_or(Ok(w.clone()), |o| multiply(&o, &w))?);
        }
        let term = read(x, &place, sizes, weight.as_ref())?;
        total = Some(total.map_or(Ok(term.clone()), |t| add(&t, &term))?);
    }
    Ok(total.unwrap_or_else(|| x.clone()))
}

/// Keys' weights of the four neighbours of a position that is `t` after the second neighbour.
fn cubic_weights(t: &Variable) -> Result<[Variable; 4]> {
    const A: f64 = -0.75;
    let near = |t: &Variable| add(&multiply(&multiply(&subtract(&multiply(t, A + 2.0)?, A + 3.0)?, t)?, t)?, 1.0);
    let far = |t: &Variable| subtract(&multiply(&multiply(&add(&multiply(&subtract(t, 5.0)?, t)?, 8.0)?, t)?, A)?, 4.0 * A);
    let rest = subtract(1.0, t)?;
    Ok([far(&add(t, 1.0)?)?, near(t)?, near(&rest)?, far(&add(&rest, 1.0)?)?])
}

fn cubic(x: &Variable, at: &[Variable], sizes: &[usize], border: Border, align: bool) -> Result<Variable> {
    let low = at.iter().map(|p| floor(p).map(|f| f.detach())).collect::<Result<Vec<_>>>()?;
    let weights = at.iter().zip(&low).map(|(p, l)| cubic_weights(&subtract(p, l)?)).collect::<Result<Vec<_>>>()?;
    let mut total: Option<Variable> = None;
    for (i, j) in (0..4_usize).flat_map(|i| (0..4_usize).map(move |j| (i, j))) {
        let step = |axis: usize, k: usize| {
            let shift = f64::from(u8::try_from(k).unwrap_or(0)) - 1.0;
            floor(&add(&inside(&add(&low[axis], shift)?, sizes[axis], border, align)?, 1e-9)?)
        };
        let weight = multiply(&weights[0][i], &weights[1][j])?;
        let term = read(x, &[step(0, i)?, step(1, j)?], sizes, Some(&weight))?;
        total = Some(total.map_or(Ok(term.clone()), |t| add(&t, &term))?);
    }
    Ok(total.unwrap_or_else(|| x.clone()))
}

/// The values of images x (N, C, …) at points grid (N, …, axes), whose coordinates (last axis first) are between -1 and 1.
///
/// # Errors
/// `Shape` when the grid does not fit the images, `Value` for an unknown mode.
pub fn grid_sample(x: &Variable, grid: &Variable, mode: &str, padding: &str, align: bool) -> Result<Variable> {
    const NAME: &str = "grid_sample";
    let axes = x.ndim().saturating_sub(2);
    let fits = (2..=3).contains(&axes) && grid.ndim() == x.ndim() && grid.shape()[0] == x.shape()[0] && grid.shape()[axes + 1] == axes;
    if !fits || x.shape()[2..].contains(&0) {
        let (a, b) = (show_shape(x.shape()), show_shape(grid.shape()));
        return Err(Error::Shape(format!(
            "{NAME}: an input of shape {a} and a grid of shape {b}, expected (N, C, H, W) and (N, H', W', 2), or with depth"
        )));
    }
    let border = match padding {
        "zeros" => Border::Zeros,
        "border" => Border::Nearest,
        "reflection" => Border::Reflection,
        other => return Err(Error::Value(format!("{NAME}: padding_mode '{other}' is unknown, expected 'zeros', 'border' or 'reflection'"))),
    };
    let (x, grid) = (floating(NAME, x)?, floating(NAME, grid)?);
    let sizes = &x.shape()[2..];
    let points: usize = grid.shape()[1..=axes].iter().product();
    let (pixels, flat) = (reshape_to(&x, &[x.shape()[0], x.shape()[1], sizes.iter().product()])?, reshape_to(&grid, &[x.shape()[0], points, axes])?);
    let coordinate = |i: usize| {
        let all = super::take(&flat, &Array::scalar(i64::try_from(axes - 1 - i).unwrap_or(0)).into(), Some(2))?;
        places(&all, sizes[i], align)
    };
    let raw = (0..axes).map(coordinate).collect::<Result<Vec<_>>>()?;
    let at = || raw.iter().zip(sizes).map(|(p, n)| inside(p, *n, border, align)).collect::<Result<Vec<_>>>();
    let y = match mode {
        "bilinear" => corners(&pixels, &at()?, sizes)?,
        "nearest" => read(&pixels, &at()?.iter().map(rint).collect::<Result<Vec<_>>>()?, sizes, None)?,
        "bicubic" if axes == 2 => cubic(&pixels, &raw, sizes, border, align)?,
        other => return Err(Error::Value(format!("{NAME}: mode '{other}' is unknown, expected 'bilinear', 'nearest' or (in 2-d) 'bicubic'"))),
    };
    let shape: Shape = x.shape()[..2].iter().chain(&grid.shape()[1..=axes]).copied().collect();
    reshape_to(&y, &shape)
}

/// A grid for [`grid_sample`] of affine maps theta (N, axes, axes + 1) for images of `size` (N, C, …).
///
/// # Errors
/// `Shape` when theta does not fit the size.
#[allow(clippy::cast_precision_loss, reason = "sizes")]
pub fn affine_grid(theta: &Variable, size: &[isize], align: bool) -> Result<Variable> {
    let axes = size.len().saturating_sub(2);
    let sizes: Numbers = size.iter().map(|n| usize::try_from(*n).unwrap_or(0)).collect();
    if !(2..=3).contains(&axes) || theta.shape() != [sizes[0], axes, axes + 1] {
        let shape = show_shape(theta.shape());
        return Err(Error::Shape(format!(
            "affine_grid: theta has shape {shape}, expected (N, 2, 3) for a size (N, C, H, W), or (N, 3, 4) with depth; size is {size:?}"
        )));
    }
    let theta = floating("affine_grid", theta)?;
    let spatial = &sizes[2..];
    check_memory("affine_grid", &[&[sizes[0].max(1)], spatial, &[8]].concat(), DType::F64)?;
    let points: usize = spatial.iter().product();
    let along = |n: usize, i: usize| {
        let end = if align { 1.0 } else { (n as f64 - 1.0) / n as f64 };
        if n > 1 { -end + 2.0 * end * i as f64 / (n - 1) as f64 } else { 0.0 }
    };
    let mut base = Vec::with_capacity(points * (axes + 1));
    for p in 0..points {
        // The last axis comes first, followed by a one.
        let mut rest = p;
        for &n in spatial.iter().rev() {
            base.push(along(n, rest % n));
            rest /= n;
        }
        base.push(1.0);
    }
    let base = astype(&Array::from_slice(&base, &[points, axes + 1]).into(), theta.dtype())?;
    let grid = matmul(&base, &super::matrix_transpose(&theta)?)?;
    let shape: Shape = std::iter::once(sizes[0]).chain(spatial.iter().copied()).chain([axes]).collect();
    reshape_to(&grid, &shape)
}

const ALIGN: Param = Param::flag("align_corners", false);

const INTERPOLATE: &[Param] = &[
    Param::array("input"),
    Param::new("size", Kind::Ints).or(Default::None),
    Param::new("scale_factor", Kind::Floats).or(Default::None),
    Param::new("mode", Kind::Text).or(Default::Text("nearest")),
    Param::new("align_corners", Kind::Bool).or(Default::None),
    Param::new("recompute_scale_factor", Kind::Bool).or(Default::None),
    Param::flag("antialias", false),
];

fn interpolate_samples() -> Vec<Sample> {
    type Case<'a> = (&'a [usize], Arg, Arg, &'a str, Arg, bool);
    let draw = &mut Draw::new(51);
    let cases: [Case<'_>; 9] = [
        (&[1, 2, 3, 4], ints(&[5, 3]), Arg::None, "bilinear", Arg::Bool(false), false),
        (&[2, 1, 3, 4], ints(&[5, 7]), Arg::None, "bilinear", Arg::Bool(true), false),
        (&[1, 2, 4], Arg::None, Arg::Float(1.6), "linear", Arg::None, false),
        (&[1, 1, 2, 3, 2], ints(&[3, 2, 4]), Arg::None, "trilinear", Arg::None, false),
        (&[1, 1, 3, 4], ints(&[5, 6]), Arg::None, "bicubic", Arg::None, false),
        (&[1, 1, 6, 5], ints(&[3, 2]), Arg::None, "bicubic", Arg::None, true),
        (&[1, 1, 6, 5], ints(&[3, 2]), Arg::None, "bilinear", Arg::None, true),
        (&[1, 2, 3, 4], Arg::None, Arg::Float(2.0), "nearest", Arg::None, false),
        (&[1, 2, 5, 4], ints(&[3, 3]), Arg::None, "area", Arg::None, false),
    ];
    let all = cases.into_iter().map(|(shape, size, scale, mode, align, antialias)| Sample {
        args: vec![Arg::Variable(REAL.strided(draw, shape)), size, scale, Arg::Text(mode.to_owned()), align, Arg::None, Arg::Bool(antialias)],
    });
    all.collect()
}

fn pad_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(52);
    let cases: [(&[usize], &[isize], &str); 6] = [
        (&[2, 3], &[1, 2], "constant"),
        (&[2, 3, 4], &[-1, 1, 2, 0], "constant"),
        (&[2, 3, 4], &[2, 1, 1, 2], "reflect"),
        (&[2, 3], &[1, 4], "replicate"),
        (&[2, 3], &[3, 1], "circular"),
        (&[0, 2], &[1, 1], "constant"),
    ];
    let all = cases.into_iter().map(|(shape, amounts, mode)| Sample {
        args: vec![Arg::Variable(REAL.strided(draw, shape)), ints(amounts), Arg::Text(mode.to_owned()), Arg::Float(0.5)],
    });
    all.collect()
}

fn grid_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(53);
    let modes = [("bilinear", "zeros", false), ("bilinear", "reflection", true), ("bicubic", "border", false), ("nearest", "border", true)];
    let mut out: Vec<Sample> = Vec::new();
    for (mode, padding, align) in modes {
        let (x, grid) =
            (REAL.strided(draw, &[2, 1, 3, 4]), multiply(&REAL.array(draw, &[2, 2, 2, 2]), 0.45).unwrap_or_else(|_| REAL.array(draw, &[2, 2, 2, 2])));
        out.push(Sample { args: vec![Arg::Variable(x), Arg::Variable(grid), Arg::Text(mode.into()), Arg::Text(padding.into()), Arg::Bool(align)] });
    }
    out
}

fn call_one(a: &Args<'_>, f: fn(&Variable, i64) -> Result<Variable>) -> Result<Value> {
    Ok(f(&a.variable(0)?, a.int(1)?)?.into())
}

/// Samples of one shape and a number.
fn shuffled(shape: &[usize], n: i64) -> Vec<Sample> {
    vec![Sample { args: vec![Arg::Variable(REAL.strided(&mut Draw::new(54), shape)), Arg::Int(n)] }]
}

const fn row(
    name: &'static str,
    doc: &'static str,
    params: &'static [Param],
    call: fn(&Args<'_>) -> Result<Value>,
    gradient: Gradient,
    samples: fn() -> Vec<Sample>,
) -> Entry {
    Entry { name, module: "nn.functional", doc, params, call, gradient, samples, method: false, ..Entry::BASE }
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    row(
        "interpolate",
        "Images (N, C, ...) resized to size, or by scale_factor along each spatial axis. Modes: 'nearest', 'nearest-exact', 'area' (1 to 3\n\
         spatial axes), 'linear' (1), 'bilinear', 'bicubic' (2), 'trilinear' (3). With align_corners the corner elements keep their places,\n\
         else the edges of the image do. scale_factor is used as given, unless recompute_scale_factor takes that of the sizes. antialias\n\
         averages over the pixels of a larger image ('bilinear' and 'bicubic').\n\
         \n\
         >>> tg.nn.functional.interpolate(tg.Variable([[[1.0, 3.0]]]), size=4, mode=\"linear\")\n\
         Variable([[[1. , 1.5, 2.5, 3. ]]])\n",
        INTERPOLATE,
        call_interpolate,
        Gradient::Rule("the transposed map: each element collects from the results that it is part of"),
        interpolate_samples,
    ),
    row(
        "grid_sample",
        "The values of images (N, C, H, W) at the points of grid (N, H', W', 2), whose coordinates (x, y) reach from -1 to 1; or of volumes\n\
         (N, C, D, H, W) at (N, D', H', W', 3). mode is 'bilinear', 'nearest' or 'bicubic'; padding_mode is 'zeros', 'border' or 'reflection'.\n\
         With align_corners, -1 and 1 are the middles of the corner elements, else the edges of the image.\n\
         \n\
         >>> x = tg.Variable([[[[0.0, 1.0], [2.0, 3.0]]]])\n\
         >>> tg.nn.functional.grid_sample(x, tg.zeros((1, 1, 1, 2)))\n\
         Variable([[[[1.5]]]])\n",
        &[
            Param::array("input"),
            Param::array("grid"),
            Param::new("mode", Kind::Text).or(Default::Text("bilinear")),
            Param::new("padding_mode", Kind::Text).or(Default::Text("zeros")),
            ALIGN,
        ],
        |a| Ok(grid_sample(&a.variable(0)?, &a.variable(1)?, a.text(2)?, a.text(3)?, a.flag(4)?)?.into()),
        Gradient::Composite("the weights of the neighbours by the input, their slopes by the grid"),
        grid_samples,
    ),
    row(
        "affine_grid",
        "A grid for grid_sample: the points of images of size (N, C, H, W) mapped by theta (N, 2, 3); or (N, C, D, H, W) and (N, 3, 4).\n\
         \n\
         >>> tg.nn.functional.affine_grid(tg.Variable([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]), (1, 1, 1, 2))\n\
         Variable([[[[-0.5,  0. ],\n            [ 0.5,  0. ]]]])\n",
        &[Param::array("theta"), Param::new("size", Kind::Ints), ALIGN],
        |a| Ok(affine_grid(&a.variable(0)?, &a.int_list(1)?, a.flag(2)?)?.into()),
        Gradient::Composite("that of a matrix product with the points"),
        || {
            let draw = &mut Draw::new(55);
            let sample = |draw: &mut Draw, shape: &[usize], size: &[isize], align: bool| Sample {
                args: vec![Arg::Variable(REAL.array(draw, shape)), ints(size), Arg::Bool(align)],
            };
            vec![sample(draw, &[2, 2, 3], &[2, 1, 2, 3], false), sample(draw, &[1, 3, 4], &[1, 2, 2, 2, 3], true)]
        },
    ),
    row(
        "pad",
        "Elements added at both ends of the last axes, or taken away where an amount is negative. pad holds (before, after) of the last\n\
         axis, then of the one before it, and so on. mode is 'constant' (value, 0 unless given), 'reflect' (without the edge; less than the\n\
         size), 'replicate' (the edge) or 'circular' (at most the size). Any dtype.\n\
         \n\
         >>> tg.nn.functional.pad(tg.Variable([1.0, 2.0, 3.0]), (2, 1), mode=\"reflect\")\n\
         Variable([3., 2., 1., 2., 3., 2.])\n",
        &[
            Param::array("input"),
            Param::new("pad", Kind::Ints),
            Param::new("mode", Kind::Text).or(Default::Text("constant")),
            Param::new("value", Kind::OptFloat).or(Default::None),
        ],
        |a| Ok(pad(&a.variable(0)?, &a.int_list(1)?, a.text(2)?, a.opt_float(3)?.unwrap_or(0.0))?.into()),
        Gradient::Rule("g summed at the element that each result is a copy of"),
        pad_samples,
    ),
    row(
        "pixel_shuffle",
        "(..., C r², H, W) as (..., C, H r, W r): each pixel becomes r by r pixels, one from each channel.\n\
         \n\
         >>> tg.nn.functional.pixel_shuffle(tg.reshape(tg.arange(4.0), (4, 1, 1)), 2)\n\
         Variable([[[0., 1.],\n           [2., 3.]]])\n",
        &[Param::array("input"), Param::new("upscale_factor", Kind::Int)],
        |a| call_one(a, pixel_shuffle),
        Gradient::Composite("pixel_unshuffle(g)"),
        || shuffled(&[2, 4, 1, 2], 2),
    ),
    row(
        "pixel_unshuffle",
        "(..., C, H r, W r) as (..., C r², H, W): what pixel_shuffle undoes.\n\
         \n\
         >>> tg.nn.functional.pixel_unshuffle(tg.Variable([[[0.0, 1.0], [2.0, 3.0]]]), 2).shape\n\
         (4, 1, 1)\n",
        &[Param::array("input"), Param::new("downscale_factor", Kind::Int)],
        |a| call_one(a, pixel_unshuffle),
        Gradient::Composite("pixel_shuffle(g)"),
        || shuffled(&[2, 1, 2, 4], 2),
    ),
    row(
        "channel_shuffle",
        "The channels of (N, C, ...) in groups, read across the groups: C = g n channels are ordered as n rows of g.\n\
         \n\
         >>> tg.nn.functional.channel_shuffle(tg.Variable([[0.0, 1.0, 2.0, 3.0]]), 2)\n\
         Variable([[0., 2., 1., 3.]])\n",
        &[Param::array("input"), Param::new("groups", Kind::Int)],
        |a| call_one(a, channel_shuffle),
        Gradient::Composite("channel_shuffle(g, C / groups)"),
        || shuffled(&[2, 6, 2], 3),
    ),
];
