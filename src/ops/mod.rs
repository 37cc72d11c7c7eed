//! Operations: one block each with forward, gradient rule, doc and samples. `crate::registry` lists them.

pub mod activation;
pub mod arithmetic;
pub mod comparison;
pub(crate) mod define;
pub mod exponential;
pub mod extrema;
pub mod index;
pub mod moments;
pub mod norm;
pub mod reduction;
pub mod registry;
pub mod samples;
pub mod shape;
pub mod softmax;
mod traced;
pub mod trigonometry;
pub mod truth;

pub use activation::{elu, erf, gelu_erf, gelu_tanh, leaky_relu, relu, sigmoid, silu, softplus};
pub use arithmetic::{
    abs, add, annihilate, ceil, clamp, clip, divide, floor, maximum, minimum, multiply, negative, positive, power, reciprocal, rint, round, sign,
    sqrt, square, subtract, trunc,
};
pub use comparison::{
    bitwise_and, bitwise_invert, bitwise_left_shift, bitwise_or, bitwise_right_shift, bitwise_xor, equal, greater, greater_equal, isnan, less,
    less_equal, logical_and, logical_not, logical_or, logical_xor, not_equal, where_,
};
pub use exponential::{exp, expm1, log, log1p, log2, log10};
pub use extrema::{argmax, argmin, max, min};
pub use moments::{std, var};
pub use norm::vector_norm;
pub use reduction::{mean, prod, sum};
pub use registry::{Arg, Args, Entry, Operand, Sample, Value};
pub use shape::{astype, scalar};
pub use softmax::{log_softmax, logsumexp, softmax};
pub use trigonometry::{cos, cosh, sin, sinh, tan, tanh};
pub use truth::{all, any, count_nonzero};
