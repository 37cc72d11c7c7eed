//! Operations: one block each, with evaluation, gradient rule, doc and samples. `crate::registry` lists them.
#![allow(clippy::doc_markdown, reason = "docs of operations are read in Python's help, which knows no backticks")]

pub mod activation;
pub mod along;
pub mod arguments;
pub mod arithmetic;
pub mod attention;
pub mod autocast;
pub mod calculus;
pub mod comparison;
pub mod complex;
pub mod conv;
pub mod convolve;
pub mod creation;
pub mod cut;
pub(crate) mod define;
pub mod diagonal;
pub mod division;
pub mod dropout;
pub mod edit;
pub mod einsum;
pub mod elementary;
pub mod exponential;
pub mod fft;
pub mod gates;
pub mod gather;
pub mod half;
pub mod index;
pub mod interpolate;
pub mod inverse;
pub mod join;
pub mod linalg;
pub mod logic_reduce;
pub mod matrix;
pub mod minmax;
pub mod nan;
pub mod norm;
pub mod normal;
pub mod pad;
pub mod pairs;
pub mod permute;
pub mod pool;
pub mod predicate;
pub mod products;
pub mod quantiles;
pub mod random;
pub mod recurrent;
pub mod reduction;
pub mod registry;
pub mod repeat;
pub mod require;
pub(crate) mod resample;
pub mod running;
pub mod samples;
pub mod scatter;
pub mod sets;
pub mod shape;
pub mod softmax;
pub mod sorting;
pub mod spatial;
pub mod special;
pub mod statistics;
mod traced;
pub mod trigonometry;
pub mod variance;
pub mod view;
pub mod where_;
pub mod window;
pub mod work;

pub use activation::{
    elu, erf, gelu, gelu_erf, gelu_tanh, gelu_tanh_cdf, leaky_relu, normal_cdf, prelu, relu, sigmoid, sigmoid_slope, silu, softplus, softsign,
};
pub use arguments::{Arg, Args, Operand, Value};
pub use arithmetic::{
    abs, add, annihilate, ceil, clamp, clip, divide, floor, maximum, minimum, multiply, negative, positive, power, power_log, power_slope,
    reciprocal, rint, round, sign, sqrt, square, subtract, trunc, vanish,
};
pub use calculus::{interp, trapezoid};
pub use comparison::{
    bitwise_and, bitwise_invert, bitwise_left_shift, bitwise_or, bitwise_right_shift, bitwise_xor, equal, greater, greater_equal, isnan, less,
    less_equal, logical_and, logical_not, logical_or, logical_xor, not_equal,
};
pub use complex::{angle, complex, conj, imag, polar, real, view_as_complex, view_as_real};
pub use convolve::convolve;
pub use creation::{arange, eye, full, linspace, one_hot, ones, zeros};
pub use cut::{Sections, array_split, dsplit, hsplit, split, unstack, vsplit};
pub use define::{apply_binary, update_binary};
pub use diagonal::{diag, diagflat, diagonal, tril, triu};
pub use division::{floor_divide, fmod, remainder};
pub use edit::{append, delete, insert, resize, scatter_reduce, segment_sum, select};
pub use einsum::einsum;
pub use elementary::{
    array_equal, cbrt, copysign, deg2rad, exp2, float_power, fmax, fmin, heaviside, isclose, ldexp, lerp, nan_to_num, nextafter, rad2deg, rsqrt, sinc,
};
pub use exponential::{exp, exp_product, expm1, log, log1p, log2, log10, logaddexp, logaddexp2};
pub use gather::{gather_rows, pick, take, take_along_axis};
pub use index::{IndexItem, assign_item, get_item, set_item};
pub use inverse::{acos, acosh, asin, asinh, atan, atan2, atanh};
pub use join::{column_stack, concat, dstack, hstack, stack, vstack};
pub use logic_reduce::{all, any, count_nonzero};
pub use matrix::{dot, inner, linear, matmul, outer, vecdot};
pub use minmax::{argmax, argmin, max, min};
pub use nan::{nanmean, nanprod, nanstd, nansum, nanvar};
pub use norm::vector_norm;
pub use permute::{flip, fliplr, flipud, matrix_transpose, moveaxis, permute_dims, rot90, swapaxes, transpose};
pub use predicate::{isfinite, isinf, isneginf, isposinf, signbit};
pub use products::{cross, kron, tensordot, trace, vander};
pub use quantiles::{median, nanmedian, quantile};
pub use reduction::{mean, prod, sum};
pub use registry::{Entry, Sample};
pub use repeat::{meshgrid, repeat, roll, tile};
pub use running::{cumprod, cumsum, diff, logcumsumexp};
pub use scatter::{gather, index_add, masked_fill, scatter_add};
pub use sets::{argwhere, isin, nonzero};
#[cfg(feature = "python")]
pub(crate) use shape::stored_as;
pub use shape::{astype, atleast_1d, atleast_2d, atleast_3d, broadcast_arrays, broadcast_to, expand_dims, flatten, reshape, scalar, squeeze};
pub use softmax::{log_softmax, logsumexp, softmax};
pub use sorting::{argpartition, argsort, digitize, partition, searchsorted, sort, topk};
pub use statistics::{average, bincount, corrcoef, cov};
pub use trigonometry::{cos, cosh, hypot, sin, sinh, tan, tanh};
pub use variance::{std, var};
pub use where_::where_;
