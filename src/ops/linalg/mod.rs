//! Linear algebra with gradients: factorisations, solves, matrix functions, norms.
//!
//! Rules are written in Variable algebra, so they can be differentiated. Sources: Giles, An extended collection of matrix derivative
//! results (2008); Murray, Differentiation of the Cholesky decomposition (2016); Townsend, Differentiating the singular value decomposition
//! (2016); Walter & Lehmann, Algorithmic differentiation of linear algebra functions (2010); Liao et al. (2019) for QR; de Hoog et al. for
//! LU; Golub & Pereyra (1973) for the pseudoinverse; Al-Mohy & Higham (2009) for matrix functions; Boeddeker et al. (2017) for complex
//! matrices.
//!
//! The gradient of a real loss with respect to a complex z = x + iy is ∂L/∂x + i ∂L/∂y. So a rule is the adjoint of the tangent map, with
//! conjugate transposes where real matrices have transposes. Eigenvectors and singular vectors of complex matrices are determined up to a
//! phase. A loss that depends on the phase has no gradient, and its backward pass is an error.
#![allow(clippy::comparison_chain, reason = "two of three cases")]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "dimensions are small")]
#![allow(clippy::single_match_else, reason = "both cases are results")]

/// Runs code with the type in which a dtype is computed: real or complex double precision.
macro_rules! number {
    ($dtype:expr, $T:ident => $body:expr) => {
        if $dtype.is_complex() {
            type $T = num_complex::Complex<f64>;
            $body
        } else {
            type $T = f64;
            $body
        }
    };
}

mod eig;
mod eigen;
mod factor;
mod functions;
mod norms;
mod products;
mod solve;
mod svd;

use parking_lot::Mutex;
use smallvec::{SmallVec, smallvec};

use super::reduction::inexact;
use super::registry::{Arg, Entry, Sample};
use super::samples::{Domain, Draw};
use super::shape::{astype, scalar};
use super::{add, broadcast_to, conj, matmul, matrix_transpose, multiply, negative, subtract};
use crate::array::{Array, DType, Plain, Shape, alloc_check, broadcast_shapes};
use crate::error::{Error, Result, show_shape};
use crate::kernel::cast::cast;
use crate::kernel::linalg::{Failure, Number};
use crate::kernel::parallel;
use crate::tape::{AttrKind, BatchContext, Call, Outputs, Primitive, Variable};

pub use super::{kron, tensordot, trace};
pub use eig::eig;
pub use eigen::eigh;
pub use factor::{cho_solve, cholesky, lu, lu_factor, lu_solve, qr};
pub use functions::{expm, logm, matrix_power, sqrtm};
pub use norms::{cond, matrix_norm, norm};
pub use products::{block_diag, cross, matmul_toeplitz, multi_dot, tensorinv, tensorsolve, toeplitz};
pub use solve::{det, inv, slogdet, solve, solve_triangular};
pub use svd::{lstsq, matrix_rank, pinv, svd, svdvals};

/// The rows of linear algebra, one family per file.
pub const FAMILIES: [&[Entry]; 8] =
    [solve::ENTRIES, factor::ENTRIES, eigen::ENTRIES, svd::ENTRIES, functions::ENTRIES, norms::ENTRIES, products::ENTRIES, eig::ENTRIES];
/// Their primitives.
pub const FAMILIES_OF_PRIMITIVES: [&[&Primitive]; 6] =
    [solve::PRIMITIVES, factor::PRIMITIVES, eigen::PRIMITIVES, svd::PRIMITIVES, functions::PRIMITIVES, eig::PRIMITIVES];

/// Their attributes.
pub const FAMILIES_OF_ATTRIBUTES: [&[AttrKind]; 5] = [solve::ATTRIBUTES, factor::ATTRIBUTES, eigen::ATTRIBUTES, svd::ATTRIBUTES, eig::ATTRIBUTES];

/// The elements in row-major order as doubles; for complex numbers their absolute values.
fn doubles(a: &Array) -> Vec<f64> {
    let z = cast(a, if a.dtype().is_complex() { DType::C128 } else { DType::F64 });
    if z.dtype().is_complex() { alloc_check::collect(z.to_vec::<num_complex::Complex<f64>>().iter().map(|z| z.norm())) } else { z.to_vec::<f64>() }
}

/// A kernel for one matrix per input and one matrix per output.
type Kernel<'a, T, O, const N: usize, const M: usize> = &'a (dyn Fn([&[T]; N], [&mut [O]; M]) -> std::result::Result<(), Failure> + Sync);

/// Runs a kernel on each matrix of a batch. Inputs have the same leading axes, followed by `axes` axes of a matrix; outputs have the matrix
/// shapes `cores`. The kernel works in double precision on numbers `T`, which [`number`] derives from the dtype. `cost` is an estimate in
/// nanoseconds per matrix.
fn run<T: Number + Plain, const N: usize, const M: usize>(
    name: &str,
    inputs: [(&Array, usize); N],
    cores: [(&[usize], DType); M],
    cost: f64,
    kernel: Kernel<'_, T, T, N, M>,
) -> Result<[Array; M]> {
    run_to(name, inputs, cores, cost, kernel)
}

/// [`run`] with results of another type.
fn run_to<T: Number + Plain, O: Number + Plain, const N: usize, const M: usize>(
    name: &str,
    inputs: [(&Array, usize); N],
    cores: [(&[usize], DType); M],
    cost: f64,
    kernel: Kernel<'_, T, O, N, M>,
) -> Result<[Array; M]> {
    let batch = Shape::from_slice(&inputs[0].0.shape()[..inputs[0].0.ndim() - inputs[0].1]);
    let count: usize = batch.iter().product();
    let wide = inputs.map(|(a, axes)| (cast(a, T::DTYPE).contiguous(), a.shape()[a.ndim() - axes..].iter().product::<usize>()));
    let slices = wide.each_ref().map(|(a, size)| (a.as_slice::<T>().unwrap_or(&[]), *size));
    let shape = |core: &[usize]| batch.iter().chain(core).copied().collect::<Shape>();
    let mut outs = cores.map(|(core, _)| Array::empty(&shape(core), O::DTYPE));
    {
        let mut rests = outs.each_mut().map(|a| Some(a.data_mut::<O>()));
        let sizes = cores.map(|(core, _)| core.iter().product::<usize>());
        let mut tasks: Vec<[&mut [O]; M]> = alloc_check::collect((0..count).map(|_| std::array::from_fn(|j| cut(&mut rests[j], sizes[j]))));
        let failure: Mutex<Option<(usize, Failure)>> = Mutex::new(None);
        let work = |start: usize, chunk: &mut [[&mut [O]; M]]| {
            for (i, task) in chunk.iter_mut().enumerate() {
                let at = start + i;
                let done = kernel(slices.map(|(s, size)| &s[at * size..(at + 1) * size]), task.each_mut().map(|s| &mut **s));
                if let Err(f) = done {
                    let mut first = failure.lock();
                    if first.is_none_or(|(i, _)| at < i) {
                        *first = Some((at, f));
                    }
                }
            }
        };
        parallel::for_each_chunk_mut(&mut tasks, parallel::grain(count, cost).max(1), work);
        if let Some((at, f)) = failure.into_inner() {
            return Err(explain(name, f, if batch.is_empty() { None } else { Some(at) }));
        }
    }
    let mut dtypes = cores.iter().map(|(_, dtype)| *dtype);
    Ok(outs.map(|a| cast(&a, dtypes.next().unwrap_or(O::DTYPE))))
}

/// Splits off the first `n` elements.
fn cut<'a, T>(rest: &mut Option<&'a mut [T]>, n: usize) -> &'a mut [T] {
    let (first, others) = rest.take().unwrap_or(&mut []).split_at_mut(n);
    *rest = Some(others);
    first
}

#[cold]
fn explain(name: &str, failure: Failure, at: Option<usize>) -> Error {
    let which = at.map_or_else(|| "the matrix".to_owned(), |i| format!("matrix {i} of the batch"));
    Error::LinAlg(match failure {
        Failure::Singular(i) => format!("{name}: {which} is singular (pivot {i} is zero); use pinv or lstsq for a least-squares solution"),
        Failure::NotPositive(i) => {
            format!("{name}: {which} is not positive definite (its leading minor of order {i} is not positive); add a small multiple of the identity")
        }
        Failure::NotFinite => format!("{name}: {which} holds infinities or NaN, expected finite numbers"),
        Failure::NoConvergence => format!("{name}: the iteration did not converge for {which}"),
        Failure::NotReal => format!(
            "{name}: {which} has no real principal {name}: an eigenvalue is zero or on the negative real axis; pass a complex matrix for negative ones, as a.astype('complex128')"
        ),
    })
}

/// The last two axes.
fn sides(x: &Array) -> [usize; 2] {
    let s = x.shape();
    [s[s.len() - 2], s[s.len() - 1]]
}

/// x³ operations of about a quarter of a nanosecond.
fn cubic(n: usize) -> f64 {
    let n = n as f64;
    n * n * n * 0.25 + 50.0
}

/// `x` in a floating or complex dtype; an error if it has fewer than two axes.
fn matrices(op: &str, x: &Variable) -> Result<Variable> {
    if x.ndim() < 2 {
        let shape = show_shape(x.shape());
        return Err(Error::LinAlg(format!("{op}: the argument has shape {shape}, expected at least two axes")));
    }
    inexact(x)
}

/// [`matrices`], which must be square.
fn squares(op: &str, x: &Variable) -> Result<Variable> {
    let x = matrices(op, x)?;
    let [m, n] = sides(x.array());
    if m != n {
        return Err(Error::LinAlg(format!("{op}: the matrices have shape {}, expected square ones", show_shape(x.shape()))));
    }
    Ok(x)
}

/// Both operands with the same batch axes and dtype. Their last two axes are not changed.
fn joined(op: &str, a: &Variable, b: &Variable) -> Result<(Variable, Variable)> {
    let (a, b) = (&inexact(a)?, &inexact(b)?);
    let dtype = a.dtype().promote(b.dtype());
    let (ba, bb) = (&a.shape()[..a.ndim() - 2], &b.shape()[..b.ndim() - 2]);
    let batch = broadcast_shapes(ba, bb).ok_or_else(|| {
        let (a, b) = (show_shape(a.shape()), show_shape(b.shape()));
        Error::Shape(format!("{op}: the leading axes of shapes {a} and {b} do not broadcast"))
    })?;
    let wide = |x: &Variable| -> Result<Variable> {
        let shape: Shape = batch.iter().chain(&x.shape()[x.ndim() - 2..]).copied().collect();
        let x = astype(x, dtype)?;
        if x.shape() == shape.as_slice() { Ok(x) } else { broadcast_to(&x, &shape) }
    };
    Ok((wide(a)?, wide(b)?))
}

/// Batches by adding a batch axis in front: all operands work on their last axes.
fn batched(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let inputs = (0..ctx.inputs.len()).map(|i| ctx.batched_input(i)).collect::<Result<SmallVec<[Variable; 3]>>>()?;
    let operands: SmallVec<[crate::tape::Operand<'_>; 3]> = inputs.iter().map(Into::into).collect();
    crate::tape::apply_all(ctx.primitive, &operands, ctx.attrs)
}

// The algebra of rules.

fn t(x: &Variable) -> Result<Variable> {
    matrix_transpose(x)
}

/// The conjugate transpose.
fn h(x: &Variable) -> Result<Variable> {
    conj(&matrix_transpose(x)?)
}

fn mm(a: &Variable, b: &Variable) -> Result<Variable> {
    matmul(a, b)
}

/// a · b · c.
fn mmm(a: &Variable, b: &Variable, c: &Variable) -> Result<Variable> {
    matmul(&matmul(a, b)?, c)
}

fn plus(a: &Variable, b: &Variable) -> Result<Variable> {
    add(a, b)
}

fn minus(a: &Variable, b: &Variable) -> Result<Variable> {
    subtract(a, b)
}

fn neg(a: &Variable) -> Result<Variable> {
    negative(a)
}

/// (x + xᴴ)/2.
fn hermitian(x: &Variable) -> Result<Variable> {
    multiply(&plus(x, &h(x)?)?, 0.5)
}

/// A constant matrix of weights, by row and column.
fn weights([m, n]: [usize; 2], dtype: DType, f: impl Fn(usize, usize) -> f64) -> Variable {
    let data = alloc_check::collect((0..m * n).map(|k| f(k / n, k % n)));
    cast(&Array::from_slice(&data, &[m, n]), dtype).into()
}

/// x, elementwise times weights.
fn weigh(x: &Variable, f: impl Fn(usize, usize) -> f64) -> Result<Variable> {
    multiply(x, &weights(sides(x.array()), x.dtype(), f))
}

/// The lower triangle with half of the diagonal: Murray's Φ.
fn phi(x: &Variable) -> Result<Variable> {
    weigh(x, |i, j| {
        if i > j {
            1.0
        } else if i == j {
            0.5
        } else {
            0.0
        }
    })
}

fn strict_lower(x: &Variable) -> Result<Variable> {
    super::tril(x, -1)
}

fn upper(x: &Variable) -> Result<Variable> {
    super::triu(x, 0)
}

/// x scaled by a vector along its columns: x · diag(d).
fn scale_columns(x: &Variable, d: &Variable) -> Result<Variable> {
    multiply(x, &super::expand_dims(d, &[-2])?)
}

/// diag(d) · x.
fn scale_rows(d: &Variable, x: &Variable) -> Result<Variable> {
    multiply(x, &super::expand_dims(d, &[-1])?)
}

/// A vector as the diagonal of a matrix.
fn diagonal_matrix(d: &Variable) -> Result<Variable> {
    let n = d.shape().last().copied().unwrap_or(0);
    multiply(&super::expand_dims(d, &[-1])?, &weights([n, n], d.dtype(), |i, j| f64::from(u8::from(i == j))))
}

/// The diagonal of the last two axes.
fn diagonal_of(x: &Variable) -> Result<Variable> {
    super::diagonal(x, 0, [-2, -1])
}

/// Numbers of a batch as 1×1 matrices.
fn cell(x: &Variable) -> Result<Variable> {
    super::expand_dims(x, &[-2, -1])
}

/// Columns (axis -1) or rows (axis -2) `from..to` of the matrices.
fn part(x: &Variable, axis: isize, from: usize, to: usize) -> Result<Variable> {
    use super::IndexItem::{Ellipsis, Slice};
    let range = Slice(Some(from.cast_signed()), Some(to.cast_signed()), None);
    let all = Slice(None, None, None);
    super::get_item(x, &if axis == -1 { [Ellipsis, all, range] } else { [Ellipsis, range, all] })
}

fn join(parts: &[Variable], axis: isize) -> Result<Variable> {
    super::concat(parts, Some(axis))
}

/// The results of a primitive.
fn give<const M: usize>(call: &mut Call<'_>, outs: [Array; M]) {
    for out in outs {
        call.give(out);
    }
}

/// One tangent.
fn one(t: Variable) -> Outputs {
    smallvec![t]
}

fn zeros_like(x: &Variable) -> Result<Variable> {
    broadcast_to(&scalar(0.0, x.dtype()), x.shape())
}

/// Elements around zero with a dominant diagonal, so that matrices are regular.
fn regular(draw: &mut Draw, shape: &[usize]) -> Variable {
    let x = Domain { low: -1.0, high: 1.0, avoid: &[] }.array(draw, shape);
    let [m, n] = sides(x.array());
    let shift = weights([m, n], DType::F64, |i, j| if i == j { 2.0 + i as f64 } else { 0.0 });
    add(&x, &shift).unwrap_or(x)
}

/// [`regular`] matrices with imaginary parts.
fn regular_complex(draw: &mut Draw, shape: &[usize]) -> Variable {
    let (re, im) = (regular(draw, shape), Domain { low: -1.0, high: 1.0, avoid: &[] }.array(draw, shape));
    super::complex(&re, &im).unwrap_or(re)
}

/// A strided view of [`regular`].
fn regular_strided(draw: &mut Draw, shape: &[usize]) -> Variable {
    let x = regular(draw, shape);
    let n = x.ndim();
    let mut axes: Vec<usize> = (0..n).collect();
    axes.swap(n - 1, n - 2);
    let turned = x.array().with_layout(x.array().layout().permute(&axes)).copy();
    turned.with_layout(turned.layout().permute(&axes)).into()
}

/// Calls with one array of regular matrices of each shape, then `rest`.
fn regular_samples(shapes: &[&[usize]], rest: &[Arg]) -> Vec<Sample> {
    let draw = &mut Draw::new(61);
    shapes.iter().map(|s| super::samples::call_with(regular_strided(draw, s), rest.iter().cloned())).collect()
}

/// [`regular_samples`] of complex matrices.
fn complex_samples(shapes: &[&[usize]], rest: &[Arg]) -> Vec<Sample> {
    let draw = &mut Draw::new(71);
    shapes.iter().map(|s| super::samples::call_with(regular_complex(draw, s), rest.iter().cloned())).collect()
}
