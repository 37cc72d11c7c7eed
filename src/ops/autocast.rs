//! Mixed precision: inside `autocast`, products of float32 arrays store their results in 16 bits.
//!
//! The lists are PyTorch's: matrix products, convolutions and attention round their operands and results; functions that are sensitive to
//! rounding return float32; all others follow the usual dtype promotion.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::registry::Entry;
use crate::array::DType;

/// Number of `autocast` blocks that are open in the process. While it is zero, this is all that is checked.
static OPEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static DTYPE: Cell<Option<DType>> = const { Cell::new(None) };
}

/// Sets the dtype to which this thread rounds products, and returns the old one.
#[allow(clippy::must_use_candidate, reason = "it is called for its effect")]
pub fn set(dtype: Option<DType>) -> Option<DType> {
    let old = DTYPE.replace(dtype);
    if dtype.is_some() {
        OPEN.fetch_add(1, Ordering::Relaxed);
    }
    if old.is_some() {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
    old
}

/// The dtype to which this thread rounds products, if any.
#[must_use]
#[inline]
pub fn dtype() -> Option<DType> {
    if OPEN.load(Ordering::Relaxed) == 0 { None } else { DTYPE.get() }
}

/// What a function does inside `autocast`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// The usual dtype promotion.
    Promote,
    /// Its operands and results are rounded to this dtype.
    Round(DType),
    /// Operands are converted to float32, and the result is float32.
    Single,
}

const PRODUCTS: &[&str] = &[
    "matmul",
    "linear",
    "bmm",
    "dot",
    "inner",
    "outer",
    "vecdot",
    "vdot",
    "matvec",
    "vecmat",
    "tensordot",
    "einsum",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "scaled_dot_product_attention",
    "multi_dot",
];
const SENSITIVE: &[&str] = &[
    "acos",
    "asin",
    "cosh",
    "cumprod",
    "cumsum",
    "erfinv",
    "exp",
    "expm1",
    "group_norm",
    "huber_loss",
    "l1_loss",
    "layer_norm",
    "log",
    "log10",
    "log1p",
    "log2",
    "log_softmax",
    "logsumexp",
    "mse_loss",
    "nll_loss",
    "cross_entropy",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "ctc_loss",
    "norm",
    "vector_norm",
    "power",
    "prod",
    "reciprocal",
    "rms_norm",
    "rsqrt",
    "sinh",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "sum",
    "tan",
    "var",
    "std",
];

/// What an operation does in this thread now.
pub(super) fn policy(entry: &Entry) -> Policy {
    match dtype() {
        Some(dtype) if PRODUCTS.contains(&entry.name) => Policy::Round(dtype),
        Some(_) if SENSITIVE.contains(&entry.name) => Policy::Single,
        _ => Policy::Promote,
    }
}
