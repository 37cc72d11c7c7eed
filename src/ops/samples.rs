//! Inputs for tests: several shapes, layouts and broadcasts, drawn from an operation's domain.

use super::registry::{Arg, Param, Sample};
use crate::array::{Array, Layout, size_of};
use crate::tape::Variable;

/// An interval, and points (kinks, poles) of it to avoid.
#[derive(Clone, Copy, Debug)]
pub struct Domain {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Points where the function is not smooth.
    pub avoid: &'static [f64],
}

/// The distance that is kept from these points: more than the step of any difference quotient.
const MARGIN: f64 = 0.05;

/// Any moderate number.
pub const REAL: Domain = Domain { low: -3.0, high: 3.0, avoid: &[] };
/// Smooth except at zero.
pub const NONZERO: Domain = Domain { low: -3.0, high: 3.0, avoid: &[0.0] };
/// Above zero.
pub const POSITIVE: Domain = Domain { low: 0.2, high: 4.0, avoid: &[] };
/// Smooth except at integers.
pub const BETWEEN_INTEGERS: Domain = Domain { low: -2.9, high: 2.9, avoid: &[-2.0, -1.0, 0.0, 1.0, 2.0] };
/// Smooth except at halves.
pub const BETWEEN_HALVES: Domain = Domain { low: -2.4, high: 2.4, avoid: &[-1.5, -0.5, 0.5, 1.5] };

/// A small generator with a fixed seed: samples are the same in every run.
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// A generator with its own stream.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in [0, 1).
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A call with `first` followed by other arguments.
#[must_use]
pub fn call_with(first: Variable, rest: impl IntoIterator<Item = Arg>) -> Sample {
    Sample { args: std::iter::once(Arg::Variable(first)).chain(rest).collect() }
}

/// Axes, a shape or positions.
#[must_use]
pub fn ints(values: &[isize]) -> Arg {
    Arg::Ints(values.into())
}

/// An array of indices.
#[must_use]
pub fn indices(values: &[i64], shape: &[usize]) -> Variable {
    Array::from_slice(values, shape).into()
}

impl Domain {
    /// A number of the domain.
    pub fn number(&self, draw: &mut Draw) -> f64 {
        loop {
            let x = self.low + (self.high - self.low) * draw.unit();
            if self.avoid.iter().all(|a| (x - a).abs() > MARGIN) {
                return x;
            }
        }
    }

    /// A float64 array of the domain.
    pub fn array(&self, draw: &mut Draw, shape: &[usize]) -> Variable {
        let data: Vec<f64> = (0..size_of(shape)).map(|_| self.number(draw)).collect();
        Array::from_slice(&data, shape).into()
    }

    /// An array of the domain with a transposed, reversed layout.
    pub fn strided(&self, draw: &mut Draw, shape: &[usize]) -> Variable {
        let back: Vec<usize> = shape.iter().rev().copied().collect();
        let a = self.array(draw, &back).into_array();
        let axes: Vec<usize> = (0..shape.len()).rev().collect();
        let mut layout: Layout = a.layout().permute(&axes);
        if let Some(&n) = shape.first()
            && n > 0
        {
            layout = layout.slice(0, n - 1, n, -1);
        }
        a.with_layout(layout).into()
    }

    /// Samples of a unary operation whose other parameters are floats with defaults.
    #[must_use]
    pub fn unary_samples(&self, params: &[Param]) -> Vec<Sample> {
        let draw = &mut Draw::new(1);
        let arrays =
            [self.array(draw, &[]), self.array(draw, &[5]), self.strided(draw, &[3, 4]), self.array(draw, &[0, 2]), self.array(draw, &[2, 1, 3])];
        let defaults = || {
            params[1..].iter().map(|p| match p.default {
                super::registry::Default::Float(v) => Arg::Float(v),
                _ => Arg::Float(0.5),
            })
        };
        arrays.into_iter().map(|x| Sample { args: std::iter::once(Arg::Variable(x)).chain(defaults()).collect() }).collect()
    }

    /// Samples of a binary operation: equal shapes, broadcasts of all kinds, numbers on either side.
    #[must_use]
    pub fn binary_samples([a, b]: [Self; 2]) -> Vec<Sample> {
        let draw = &mut Draw::new(2);
        let shapes: [(&[usize], &[usize]); 8] = [
            (&[], &[]),
            (&[4], &[4]),
            (&[3, 4], &[4]),
            (&[2, 1], &[1, 3]),
            (&[], &[2, 2]),
            (&[3, 1, 2], &[2, 1]),
            (&[0, 3], &[1, 3]),
            (&[1], &[2, 3]),
        ];
        let mut out: Vec<Sample> = Vec::new();
        for (s, t) in shapes {
            out.push(Sample { args: vec![Arg::Variable(a.array(draw, s)), Arg::Variable(b.array(draw, t))] });
        }
        out.push(Sample { args: vec![Arg::Variable(a.strided(draw, &[3, 4])), Arg::Variable(b.strided(draw, &[3, 4]))] });
        out.push(Sample { args: vec![Arg::Variable(a.array(draw, &[3])), Arg::Scalar(b.number(draw).into())] });
        out.push(Sample { args: vec![Arg::Scalar(a.number(draw).into()), Arg::Variable(b.array(draw, &[3]))] });
        out
    }
}
