//! Losses, under PyTorch's functional names and with its formulas.
//!
//! A loss never broadcasts its input and target: shapes that differ are an error. Every array argument is differentiable, including weights
//! and probability targets. The rules for class indices and the shape of `pos_weight` are PyTorch's.

pub mod binary;
pub mod classes;
pub mod ctc;
pub mod distance;
mod entropy;
#[cfg(test)]
mod tests;

pub use binary::{binary_cross_entropy, binary_cross_entropy_with_logits};
pub use classes::{ClassOptions, cross_entropy, nll_loss};
pub use distance::{huber_loss, l1_loss, mse_loss, smooth_l1_loss};
pub use entropy::{ATTRIBUTES, PRIMITIVES};

use crate::array::{Shape, broadcast_shapes, default_float};
use crate::error::{Error, Result, show_shape};
use crate::ops::registry::{Arg, Args, Default, Kind, Param, Value};
use crate::ops::{astype, mean, sum};
use crate::tape::Variable;

/// How the losses of the elements are reduced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Not at all.
    None,
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

impl Reduction {
    /// The reduction of that name.
    ///
    /// # Errors
    /// `Value` unless the name is `none`, `mean` or `sum`.
    pub fn parse(op: &str, name: &str) -> Result<Self> {
        match name {
            "none" => Ok(Self::None),
            "mean" => Ok(Self::Mean),
            "sum" => Ok(Self::Sum),
            _ => Err(Error::Value(format!("{op}: reduction is '{name}', expected 'none', 'mean' or 'sum'"))),
        }
    }

    /// The reduced losses; the mean of no elements is NaN.
    fn apply(self, losses: &Variable) -> Result<Variable> {
        match self {
            Self::None => Ok(losses.clone()),
            Self::Sum => sum(losses, None, false),
            Self::Mean => mean(losses, None, false),
        }
    }
}

/// `reduction='mean'`.
const REDUCTION: Param = Param::choice("reduction", &["none", "mean", "sum"]).or(Default::Text("mean"));
/// `weight=None`.
const WEIGHT: Param = Param::new("weight", Kind::OptArray).or(Default::None);

/// Argument `i` as a reduction.
fn reduction(op: &str, args: &Args<'_>, i: usize) -> Result<Reduction> {
    Reduction::parse(op, args.text(i)?)
}

/// A sample's reduction.
fn text(name: &str) -> Arg {
    Arg::Text(name.to_owned())
}

/// `input` and `target` in a common floating dtype: integers are converted to the other's dtype, or to the default one.
///
/// # Errors
/// `DType` for complex numbers.
fn floating(input: &Variable, target: &Variable) -> Result<(Variable, Variable)> {
    refuse_complex(input)?;
    refuse_complex(target)?;
    let dtype = match (input.dtype().is_float(), target.dtype().is_float()) {
        (true, true) => input.dtype().promote(target.dtype()),
        (true, false) => input.dtype(),
        (false, true) => target.dtype(),
        (false, false) => default_float(),
    };
    Ok((astype(input, dtype)?, astype(target, dtype)?))
}

/// Fails for complex numbers, for which losses are undefined.
fn refuse_complex(x: &Variable) -> Result<()> {
    if x.dtype().is_complex() {
        return Err(Error::dtype("loss", x.dtype(), "real numbers; pass .real and .imag, or abs()"));
    }
    Ok(())
}

/// Fails unless `input` and `target` have the same shape; the message proposes a fix.
fn same_shape(op: &str, input: &Variable, target: &Variable) -> Result<()> {
    let (a, b) = (input.shape(), target.shape());
    if a == b {
        return Ok(());
    }
    let fix = if input.array().size() == target.array().size() {
        format!("; reshape one of them, as in target.reshape({})", show_shape(a))
    } else if broadcast_shapes(a, b).is_some() {
        "; a loss does not broadcast: if that is meant, use broadcast_to".to_owned()
    } else {
        String::new()
    };
    Err(Error::Shape(format!("{op}: input has shape {} and target {}, they must be equal{fix}", show_shape(a), show_shape(b))))
}

/// Fails unless the weights `w` broadcast to `shape` without enlarging it.
fn fits(op: &str, what: &str, w: &Variable, shape: &[usize]) -> Result<()> {
    if broadcast_shapes(w.shape(), shape).is_some_and(|s| s.as_slice() == shape) {
        return Ok(());
    }
    Err(Error::Shape(format!("{op}: {what} has shape {}, it must broadcast to the input's shape {}", show_shape(w.shape()), show_shape(shape))))
}

/// `shape` with `axis` of size one.
fn stretched(shape: &[usize], axis: usize) -> Shape {
    shape.iter().enumerate().map(|(a, &n)| if a == axis { 1 } else { n }).collect()
}
