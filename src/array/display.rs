//! Printing like NumPy: aligned columns, at most eight digits, and an ellipsis in the middle of long arrays.

use super::half;
use super::{Array, DType, Element, Layout, Scalar, alloc_check};
use crate::dispatch;

/// How to print; the defaults are NumPy's.
#[derive(Clone, Copy, Debug)]
pub struct DisplayOptions {
    /// Digits after the point, at most.
    pub precision: usize,
    /// Arrays with more elements are summarized with an ellipsis.
    pub threshold: usize,
    /// Elements shown at each end of a summarized axis.
    pub edge_items: usize,
    /// Columns per line.
    pub line_width: usize,
    /// Whether exponents are never used.
    pub suppress: bool,
}

impl DisplayOptions {
    /// NumPy's options.
    pub const NUMPY: Self = Self { precision: 8, threshold: 1000, edge_items: 3, line_width: 75, suppress: false };
}

impl Default for DisplayOptions {
    fn default() -> Self {
        Self::NUMPY
    }
}

/// The elements of `a`, in brackets. `prefix` is the width of the text before it on the first line.
#[must_use]
pub fn format_array(a: &Array, options: DisplayOptions, prefix: usize) -> String {
    if a.size() == 0 && a.ndim() > 0 {
        return "[]".to_owned();
    }
    let cut = a.size() > options.threshold;
    let printer = Printer::new(a, options, cut);
    let mut out = String::new();
    printer.axis(a.layout(), 0, prefix, &mut out);
    out
}

struct Printer<'a> {
    array: &'a Array,
    options: DisplayOptions,
    cut: bool,
    style: Style,
    /// For complex numbers: the width of the real parts, and style and width of the imaginary parts.
    imag: (usize, Style, usize),
    width: usize,
}

enum Style {
    Plain,
    Fixed { digits: usize },
    Scientific { digits: usize },
}

/// The positions of an axis that are shown; `None` is the ellipsis.
fn shown(n: usize, cut: bool, edge: usize) -> Vec<Option<usize>> {
    if cut && n > 2 * edge { (0..edge).map(Some).chain([None]).chain((n - edge..n).map(Some)).collect() } else { (0..n).map(Some).collect() }
}

impl<'a> Printer<'a> {
    fn new(array: &'a Array, options: DisplayOptions, cut: bool) -> Self {
        let mut p = Self { array, options, cut, style: Style::Plain, imag: (0, Style::Plain, 0), width: 0 };
        let mut values = Vec::new();
        p.collect(array.layout(), &mut values);
        let dtype = array.dtype().real();
        if dtype.is_real_floating() {
            p.style = float_style(&values, dtype, options);
        }
        if array.dtype().is_complex() {
            let parts: Vec<Scalar> = alloc_check::collect(values.iter().map(|v| Scalar::Float(v.as_complex().im)));
            p.imag.1 = float_style(&parts, dtype, options);
            p.imag.0 = values.iter().map(|v| p.number(v.as_f64(), &p.style).len()).max().unwrap_or(0);
            p.imag.2 = parts.iter().map(|v| p.signed(v.as_f64()).len()).max().unwrap_or(0);
        }
        p.width = values.iter().map(|v| p.entry(*v).len()).max().unwrap_or(0);
        p
    }

    fn collect(&self, layout: &Layout, out: &mut Vec<Scalar>) {
        if layout.ndim() == 0 {
            alloc_check::push(out, self.at(layout));
            return;
        }
        for i in shown(layout.shape()[0], self.cut, self.options.edge_items).into_iter().flatten() {
            self.collect(&layout.select(0, i), out);
        }
    }

    fn at(&self, layout: &Layout) -> Scalar {
        let dtype = self.array.dtype();
        let value = dispatch!(dtype, T => self.array.raw::<T>()[layout.offset()].to_scalar());
        match value {
            Scalar::Float(x) if dtype.is_half() && x.is_finite() => Scalar::Float(half::shortest(x, dtype)),
            value => value,
        }
    }

    fn entry(&self, value: Scalar) -> String {
        match (value, &self.style) {
            // Inside an array NumPy pads True to the width of False.
            (Scalar::Bool(true), _) => if self.array.ndim() > 0 { " True" } else { "True" }.to_owned(),
            (Scalar::Bool(false), _) => "False".to_owned(),
            (Scalar::Int(i), _) => i.to_string(),
            (Scalar::UInt(i), _) => i.to_string(),
            (Scalar::Float(x), style) => self.number(x, style),
            (Scalar::Complex(z), style) => {
                let (re, im) = (self.number(z.re, style), self.signed(z.im));
                let end = im.trim_end().len();
                format!("{re:>width$}{pad}{}j{}", &im[..end], &im[end..], width = self.imag.0, pad = " ".repeat(self.imag.2.saturating_sub(im.len())))
            }
        }
    }

    fn number(&self, x: f64, style: &Style) -> String {
        let dtype = self.array.dtype().real();
        match style {
            _ if x.is_nan() => "nan".to_owned(),
            _ if x.is_infinite() => if x > 0.0 { "inf" } else { "-inf" }.to_owned(),
            Style::Scientific { digits } => scientific(x, *digits, dtype),
            Style::Fixed { digits } => fixed(x, *digits, self.options.precision, dtype),
            Style::Plain => x.to_string(),
        }
    }

    /// An imaginary part, with its sign.
    fn signed(&self, x: f64) -> String {
        let text = self.number(x, &self.imag.1);
        if text.starts_with('-') { text } else { format!("+{text}") }
    }

    fn axis(&self, layout: &Layout, depth: usize, indent: usize, out: &mut String) {
        if layout.ndim() == 0 {
            let text = self.entry(self.at(layout));
            let pad = self.width.saturating_sub(text.len());
            alloc_check::reserve_text(out, pad + text.len() + indent + depth + layout.ndim() + 8);
            out.extend(std::iter::repeat_n(' ', pad));
            out.push_str(&text);
            return;
        }
        alloc_check::reserve_text(out, indent + depth + layout.ndim() + 8);
        out.push('[');
        let last = layout.ndim() == 1;
        let mut column = indent + depth + 1;
        for (k, place) in shown(layout.shape()[0], self.cut, self.options.edge_items).into_iter().enumerate() {
            if k > 0 {
                let wide = place.map_or(3, |_| self.width);
                if last && column + 2 + wide > self.options.line_width {
                    out.push_str(",\n");
                    out.extend(std::iter::repeat_n(' ', indent + depth + 1));
                    column = indent + depth + 1;
                } else if last {
                    out.push_str(", ");
                    column += 2;
                } else {
                    out.push(',');
                    out.extend(std::iter::repeat_n('\n', layout.ndim() - 1));
                    out.extend(std::iter::repeat_n(' ', indent + depth + 1));
                }
            }
            if let Some(i) = place {
                self.axis(&layout.select(0, i), depth + 1, indent, out);
                column += self.width;
            } else {
                out.push_str("...");
                column += 3;
            }
        }
        out.push(']');
    }
}

/// Number of digits after the point in the shortest text that reads back as the same number.
fn fraction_digits(x: f64, dtype: DType, precision: usize) -> usize {
    let text = shortest(x, dtype);
    let digits = text.split_once('.').map_or(0, |(_, f)| f.len());
    if digits <= precision {
        return digits;
    }
    let rounded = format!("{x:.precision$}");
    rounded.trim_end_matches('0').split_once('.').map_or(0, |(_, f)| f.len())
}

#[allow(clippy::cast_possible_truncation, reason = "a float32 shown with its own digits")]
fn shortest(x: f64, dtype: DType) -> String {
    if dtype == DType::F32 { (x as f32).to_string() } else { x.to_string() }
}

fn float_style(values: &[Scalar], dtype: DType, options: DisplayOptions) -> Style {
    let precision = options.precision;
    let finite: Vec<f64> = alloc_check::collect(values.iter().map(|v| v.as_f64()).filter(|x| x.is_finite()));
    let nonzero = || finite.iter().map(|x| x.abs()).filter(|&x| x > 0.0);
    let (low, high) = (nonzero().fold(f64::INFINITY, f64::min), nonzero().fold(0.0, f64::max));
    if !options.suppress && high > 0.0 && (high >= 1e8 || low < 1e-4 || high / low > 1e3) {
        let digits = finite.iter().map(|&x| mantissa_digits(x, dtype, precision)).max().unwrap_or(0);
        return Style::Scientific { digits };
    }
    let digits = finite.iter().map(|&x| fraction_digits(x, dtype, precision)).max().unwrap_or(0);
    Style::Fixed { digits }
}

#[allow(clippy::cast_possible_truncation, reason = "a float32 shown with its own digits")]
fn mantissa_digits(x: f64, dtype: DType, precision: usize) -> usize {
    let text = if dtype == DType::F32 { format!("{:e}", x as f32) } else { format!("{x:e}") };
    let mantissa = text.split('e').next().unwrap_or_default();
    mantissa.split_once('.').map_or(0, |(_, f)| f.len()).min(precision)
}

#[allow(clippy::cast_possible_truncation, reason = "a float32 shown with its own digits")]
fn scientific(x: f64, digits: usize, dtype: DType) -> String {
    let text = if dtype == DType::F32 { format!("{:.digits$e}", x as f32) } else { format!("{x:.digits$e}") };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let point = if mantissa.contains('.') { "" } else { "." };
    format!("{mantissa}{point}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// `x` with all its digits, padded on the right so that points align.
fn fixed(x: f64, digits: usize, precision: usize, dtype: DType) -> String {
    let own = fraction_digits(x, dtype, precision);
    let mut text = if own <= precision && shortest(x, dtype).split_once('.').map_or(0, |(_, f)| f.len()) == own {
        shortest(x, dtype)
    } else {
        format!("{x:.own$}")
    };
    if !text.contains('.') {
        text.push('.');
    }
    text.extend(std::iter::repeat_n(' ', digits - own));
    text
}

#[cfg(test)]
mod tests {
    use num_complex::Complex;

    use super::*;

    fn show(a: &Array) -> String {
        format_array(a, DisplayOptions::default(), 0)
    }

    #[test]
    fn prints_like_numpy() {
        assert_eq!(show(&Array::from_slice(&[1.0_f32, 2.5, -3.25], &[3])), "[ 1.  ,  2.5 , -3.25]");
        assert_eq!(show(&Array::from_slice(&[1_i64, 20, 3, 4], &[2, 2])), "[[ 1, 20],\n [ 3,  4]]");
        assert_eq!(show(&Array::from_slice(&[true, false], &[2])), "[ True, False]");
        assert_eq!(show(&Array::from_slice(&[true, true], &[2])), "[ True,  True]");
        assert_eq!(show(&Array::from_slice(&[0.1_f32], &[1])), "[0.1]");
        assert_eq!(show(&Array::full(&[1], Scalar::Float(0.1), DType::F16)), "[0.1]");
        assert_eq!(show(&Array::full(&[], Scalar::Float(1.0 / 3.0), DType::BF16)), "0.334");
        assert_eq!(show(&Array::from_slice(&[f64::NAN, 1.0], &[2])), "[nan,  1.]");
        assert_eq!(show(&Array::from_slice(&[1e-10_f64, 1.0], &[2])), "[1.e-10, 1.e+00]");
        assert_eq!(show(&Array::scalar(3.0_f64)), "3.");
        assert_eq!(show(&Array::zeros(&[0], DType::F32)), "[]");
        assert_eq!(show(&Array::from_slice(&[u64::MAX], &[1])), "[18446744073709551615]");
        let z = [Complex::new(1.5, 2.0), Complex::new(-0.25, -10.5)];
        assert_eq!(show(&Array::from_slice(&z, &[2])), "[ 1.5  +2.j , -0.25-10.5j]");
    }

    #[test]
    fn cuts_long_arrays() {
        let a = Array::zeros(&[2000], DType::I64);
        assert_eq!(show(&a), "[0, 0, 0, ..., 0, 0, 0]");
    }
}
