//! Elementwise operations on complex numbers: one loop that calls the function, and the derivative from the formula for real numbers.

use super::two_arrays::{Binary, Cast, cast, input};
use crate::array::{Array, DType, Scalar};
use crate::error::{Error, Result};
use crate::kernel::blocks::Input;
use crate::kernel::complex::{self, Arithmetic, Function, Function2};
use crate::ops::registry::Operand;
use crate::tape::{Variable, apply};

/// Evaluation of a unary operation for complex dtypes.
#[derive(Clone, Copy)]
pub enum Complex1 {
    /// A function with a complex derivative, which is the factor.
    Holomorphic(Function),
    /// Another operation.
    Operation(fn(&Variable) -> Result<Variable>),
}

/// Evaluation of a binary operation for complex dtypes.
#[derive(Clone, Copy)]
pub enum Complex2 {
    /// A sum, a difference or a product.
    Basic(Arithmetic),
    /// A function with complex derivatives, which are the factors.
    Holomorphic(Function2),
}

/// The error of an operation that is undefined on complex numbers.
#[cold]
pub fn undefined(op: &str, dtype: DType) -> Error {
    Error::dtype(op, dtype, "real numbers: it is not defined on complex ones; take .real, .imag or abs() first")
}

/// A unary operation on a complex array, evaluated.
#[cold]
pub fn eval_unary(op: &str, form: Option<Complex1>, x: &Array) -> Result<Array> {
    match form {
        Some(Complex1::Holomorphic(f)) => Ok(complex::map(x, f)),
        _ => Err(undefined(op, x.dtype())),
    }
}

/// Applies `B` to operands that meet in a complex dtype.
#[cold]
pub fn apply_complex<B: Binary + ?Sized>(a: Operand<'_>, b: Operand<'_>, dtype: DType, shape: &[usize]) -> Result<Variable> {
    if B::COMPLEX.is_none() {
        return Err(undefined(B::NAME, dtype));
    }
    let (a, b) = (operand(a, dtype)?, operand(b, dtype)?);
    if a.variable().is_none() && b.variable().is_none() {
        return Ok(eval_binary(B::NAME, B::COMPLEX, [input(&a), input(&b)], shape, dtype)?.into());
    }
    apply(B::PRIMITIVE, &[a.operand(), b.operand()], &())
}

/// An operand in the common dtype. The tape stores real numbers as numbers, and complex ones as arrays.
fn operand(o: Operand<'_>, dtype: DType) -> Result<Cast<'_>> {
    match o {
        Operand::Scalar(s @ Scalar::Complex(_)) => Ok(Cast::New(Array::full(&[], s, dtype).into())),
        _ => cast(o, dtype),
    }
}

/// A binary operation on complex operands, evaluated.
#[cold]
pub fn eval_binary(op: &str, form: Option<Complex2>, inputs: [Input<'_>; 2], shape: &[usize], dtype: DType) -> Result<Array> {
    match form {
        Some(Complex2::Basic(basic)) => Ok(complex::arithmetic(inputs, shape, dtype, basic)),
        Some(Complex2::Holomorphic(f)) => Ok(complex::map2(inputs, shape, dtype, f)),
        None => Err(undefined(op, dtype)),
    }
}
