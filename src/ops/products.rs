//! Products of arrays other than the matrix product: over given axes, Kronecker and cross products.
#![allow(clippy::cast_possible_wrap, reason = "a size of an array fits in i64")]

use super::diagonal::diagonal_for;
use super::permute::permute;
use super::reduction::sum_over;
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::samples::{Draw, REAL, call_with, indices};
use super::shape::{astype, flatten, reshape_to};
use super::{dot, expand_dims, matmul, moveaxis, multiply, power, squeeze, stack, subtract};
use crate::array::{Array, DType, Shape, alloc_check, check_memory, normalize_axis, size_of};
use crate::error::{Error, Result, show_shape};
use crate::tape::Variable;

/// Two operands in their common dtype.
pub(super) fn together(a: &Variable, b: &Variable) -> Result<[Variable; 2]> {
    let dtype = a.dtype().promote(b.dtype());
    Ok([astype(a, dtype)?, astype(b, dtype)?])
}

/// The sum of products over pairs of axes.
///
/// # Errors
/// `Axis` when an axis is out of range, `Shape` when paired axes differ in size, `Value` when axes do not pair up.
pub fn tensordot(a: &Variable, b: &Variable, of_a: &[isize], of_b: &[isize]) -> Result<Variable> {
    const NAME: &str = "tensordot";
    if of_a.len() != of_b.len() {
        return Err(Error::Value(format!("{NAME}: {} axes and {} axes do not pair up", of_a.len(), of_b.len())));
    }
    let [a, b] = together(a, b)?;
    let [ia, ib] = [super::shape::distinct_axes(NAME, of_a, a.ndim())?, super::shape::distinct_axes(NAME, of_b, b.ndim())?];
    if let Some((&i, &j)) = ia.iter().zip(&ib).find(|(i, j)| a.shape()[**i] != b.shape()[**j]) {
        let (s, t) = (show_shape(a.shape()), show_shape(b.shape()));
        return Err(Error::Shape(format!("{NAME}: axis {i} of shape {s} and axis {j} of shape {t} differ in size")));
    }
    let free = |x: &Variable, gone: &[usize]| -> Shape { (0..x.ndim()).filter(|i| !gone.contains(i)).collect() };
    let (fa, fb) = (free(&a, &ia), free(&b, &ib));
    let size = |x: &Variable, axes: &[usize]| -> Shape { axes.iter().map(|&i| x.shape()[i]).collect() };
    let (rows, columns, count) = (size(&a, &fa), size(&b, &fb), size_of(&size(&a, &ia)));
    let left = reshape_to(&permute(&a, &[&fa[..], &ia].concat())?, &[size_of(&rows), count])?;
    let right = reshape_to(&permute(&b, &[&ib[..], &fb].concat())?, &[count, size_of(&columns)])?;
    reshape_to(&matmul(&left, &right)?, &[&rows[..], &columns].concat())
}

/// The Kronecker product: every element of `a` times all of `b`, arranged in blocks.
///
/// # Errors
/// Those of recording.
pub fn kron(a: &Variable, b: &Variable) -> Result<Variable> {
    let ndim = a.ndim().max(b.ndim());
    let wide = |x: &Variable| -> Shape { std::iter::repeat_n(1, ndim - x.ndim()).chain(x.shape().iter().copied()).collect() };
    let (sa, sb) = (wide(a), wide(b));
    let (left, right): (Shape, Shape) = (sa.iter().flat_map(|&n| [n, 1]).collect(), sb.iter().flat_map(|&n| [1, n]).collect());
    let product = multiply(&reshape_to(a, &left)?, &reshape_to(b, &right)?)?;
    let out: Shape = product.shape().chunks(2).map(size_of).collect();
    reshape_to(&product, &out)
}

/// The cross products of vectors of three (or two) elements along `axes` of `a`, `b` and the result.
///
/// # Errors
/// `Axis` when an axis is out of range, `Shape` when vectors have other sizes or the rest does not broadcast.
pub fn cross(a: &Variable, b: &Variable, axes: [isize; 3]) -> Result<Variable> {
    let last = |x: &Variable, axis: isize| -> Result<Variable> {
        normalize_axis("cross", axis, x.ndim())?;
        let x = moveaxis(x, &[axis], &[-1])?;
        match x.shape().last() {
            Some(2 | 3) => Ok(x),
            _ => Err(Error::Shape(format!("cross: vectors have 2 or 3 elements, got an array of shape {}", show_shape(x.shape())))),
        }
    };
    let (a, b) = (last(a, axes[0])?, last(b, axes[1])?);
    let part = |x: &Variable, i: usize| super::quantiles::at_last(x, i);
    let minor = |i: usize, j: usize| subtract(&multiply(&part(&a, i)?, &part(&b, j)?)?, &multiply(&part(&a, j)?, &part(&b, i)?)?);
    let planar = |x: &Variable| x.shape().last() == Some(&2);
    let out = match (planar(&a), planar(&b)) {
        (true, true) => return minor(0, 1),
        (false, false) => [minor(1, 2)?, minor(2, 0)?, minor(0, 1)?],
        // Missing components are zero.
        (false, true) => [super::negative(&multiply(&part(&a, 2)?, &part(&b, 1)?)?)?, multiply(&part(&a, 2)?, &part(&b, 0)?)?, minor(0, 1)?],
        (true, false) => [multiply(&part(&a, 1)?, &part(&b, 2)?)?, super::negative(&multiply(&part(&a, 0)?, &part(&b, 2)?)?)?, minor(0, 1)?],
    };
    moveaxis(&stack(&out, -1)?, &[-1], &[axes[2]])
}

/// The sums of the diagonals of two axes.
///
/// # Errors
/// As `diagonal`.
pub fn trace(x: &Variable, offset: i64, axes: [isize; 2]) -> Result<Variable> {
    let d = diagonal_for("trace", x, offset, axes)?;
    sum_over(&d, &[d.ndim() - 1], false)
}

/// The powers of the elements of `x`, one row each: from the highest to the lowest, or with `increasing` from the lowest.
///
/// # Errors
/// `Shape` when `x` does not have one axis, `Value` when `n` is negative.
pub fn vander(x: &Variable, n: Option<i64>, increasing: bool) -> Result<Variable> {
    let [size] = x.shape() else {
        return Err(Error::Shape(format!("vander: an array of 1 dimension is expected, got shape {}", show_shape(x.shape()))));
    };
    let n = n.map_or(Ok(*size), |n| usize::try_from(n).map_err(|_| Error::Value(format!("vander: N is {n}, expected 0 or more"))))?;
    check_memory("vander", &[*size, n], x.dtype())?;
    check_memory("vander", &[n], DType::I64)?;
    let exponents: Vec<i64> = alloc_check::collect((0..n as i64).map(|i| if increasing { i } else { n as i64 - 1 - i }));
    let exponents: Variable = Array::from_slice(&exponents, &[n]).into();
    let x = if x.dtype() == DType::Bool { astype(x, DType::I64)? } else { x.clone() };
    power(&expand_dims(&x, &[-1])?, &astype(&exponents, x.dtype())?)
}

fn call_tensordot(a: &Args<'_>) -> Result<Value> {
    let (x, y) = (a.variable(0)?, a.variable(1)?);
    let axes = astype(&a.variable(2)?, DType::I64)?;
    let all = axes.values("tensordot")?.to_vec::<i64>();
    let all: Vec<isize> = alloc_check::collect(all.into_iter().map(|i| isize::try_from(i).unwrap_or(isize::MAX)));
    match *axes.shape() {
        [] => {
            let n = all[0];
            let fits = n >= 0 && n.cast_unsigned() <= x.ndim().min(y.ndim());
            if !fits {
                return Err(Error::Value(format!("tensordot: axes is {n}, expected 0 to {}", x.ndim().min(y.ndim()))));
            }
            let last: Vec<isize> = (0..n).map(|i| i + x.ndim().cast_signed() - n).collect();
            Ok(tensordot(&x, &y, &last, &(0..n).collect::<Vec<_>>())?.into())
        }
        [2] => Ok(tensordot(&x, &y, &all[..1], &all[1..])?.into()),
        [2, n] => Ok(tensordot(&x, &y, &all[..n], &all[n..])?.into()),
        _ => Err(Error::Value(format!("tensordot: axes must be a number or a pair of lists, got an array of shape {}", show_shape(axes.shape())))),
    }
}

fn call_cross(a: &Args<'_>) -> Result<Value> {
    let axes = if a.is_none(5) { [a.axis(2)?, a.axis(3)?, a.axis(4)?] } else { [a.axis(5)?; 3] };
    Ok(cross(&a.variable(0)?, &a.variable(1)?, axes)?.into())
}

fn call_trace(a: &Args<'_>) -> Result<Value> {
    let x = a.variable(0)?;
    let dtype = a.dtype(4)?;
    let x = dtype.map_or(Ok(x.clone()), |d| astype(&x, d))?;
    let out = trace(&x, a.int(1)?, [a.axis(2)?, a.axis(3)?])?;
    Ok(dtype.map_or(Ok(out.clone()), |d| astype(&out, d))?.into())
}

/// A product of matrices and vectors in stacks.
fn stacked(a: &Args<'_>, first_is_vector: bool) -> Result<Value> {
    let (x, y) = (a.variable(0)?, a.variable(1)?);
    if x.ndim() == 0 || y.ndim() == 0 {
        return Err(Error::Shape(format!("{}: operands need axes, got shapes {} and {}", a.name(), show_shape(x.shape()), show_shape(y.shape()))));
    }
    let out = if first_is_vector {
        squeeze(&matmul(&expand_dims(&super::conj(&x)?, &[-2])?, &y)?, Some(&[-2]))?
    } else {
        squeeze(&matmul(&x, &expand_dims(&y, &[-1])?)?, Some(&[-1]))?
    };
    Ok(out.into())
}

fn call_bmm(a: &Args<'_>) -> Result<Value> {
    let (x, y) = (a.variable(0)?, a.variable(1)?);
    if x.ndim() != 3 || y.ndim() != 3 || x.shape()[0] != y.shape()[0] {
        let (s, t) = (show_shape(x.shape()), show_shape(y.shape()));
        return Err(Error::Shape(format!("bmm: two stacks of matrices of one length are expected, got shapes {s} and {t}; matmul broadcasts")));
    }
    Ok(matmul(&x, &y)?.into())
}

const PAIR: &[Param] = &[Param::array("a"), Param::array("b")];
const STACKS: &[Param] = &[Param::array("x1"), Param::array("x2")];
const OTHER: Gradient = Gradient::Composite("products of g with the other operand");

const fn int(name: &'static str, default: i64) -> Param {
    Param::new(name, Kind::Int).or(Default::Int(default))
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "tensordot",
        doc: "Sums of products over axes: the last of a and the first of b when axes is a number, else pairs of axes.\n\n>>> tg.tensordot(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), tg.Variable([1.0, 10.0]), axes=1)\nVariable([21., 43.])\n",
        params: &[Param::array("a"), Param::array("b"), Param { alias: Some("dims"), ..Param::array("axes").or(Default::Int(2)) }],
        call: call_tensordot,
        cost: 10.0,
        gradient: OTHER,
        samples: tensordot_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "kron",
        doc: "The Kronecker product: every element of a times all of b, laid out block by block.\n\n>>> tg.kron(tg.Variable([1.0, 10.0]), tg.Variable([1.0, 2.0]))\nVariable([ 1.,  2., 10., 20.])\n",
        params: PAIR,
        call: |a| Ok(kron(&a.variable(0)?, &a.variable(1)?)?.into()),
        cost: 10.0,
        gradient: OTHER,
        samples: || pairs(&[(&[2], &[3]), (&[2, 3], &[3, 2]), (&[2, 2], &[3]), (&[], &[2])], &[]),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "cross",
        doc: "The cross products of vectors of three elements along an axis. Vectors of two elements lie in the plane; of two such there is the third component.\n\n>>> tg.cross(tg.Variable([1.0, 0.0, 0.0]), tg.Variable([0.0, 1.0, 0.0]))\nVariable([0., 0., 1.])\n",
        params: &[
            Param::array("a"),
            Param::array("b"),
            int("axisa", -1),
            int("axisb", -1),
            int("axisc", -1),
            Param { alias: Some("dim"), ..Param::new("axis", Kind::OptInt).or(Default::None) },
        ],
        call: call_cross,
        gradient: Gradient::Composite("b × g, g × a"),
        samples: cross_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "trace",
        doc: "The sum of the diagonal of two axes, offset above the main one.\n\n>>> tg.trace(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\nVariable(5.)\n",
        params: &[
            Param::array("x"),
            int("offset", 0),
            Param { alias: Some("dim1"), ..int("axis1", 0) },
            Param { alias: Some("dim2"), ..int("axis2", 1) },
            Param::new("dtype", Kind::DType).or(Default::None),
        ],
        call: call_trace,
        gradient: Gradient::Composite("g on the diagonal"),
        linear: true,
        samples: trace_samples,
        ..Entry::BASE
    },
    Entry {
        name: "vander",
        doc: "The powers of the elements of x, one row for each: N of them (None: as many as elements) from the highest down, or up with increasing.\n\n>>> tg.vander(tg.Variable([2.0, 3.0]), 3)\nVariable([[4., 2., 1.],\n          [9., 3., 1.]])\n",
        params: &[Param::array("x"), Param::new("N", Kind::OptInt).or(Default::None), Param::flag("increasing", false)],
        call: |a| Ok(vander(&a.variable(0)?, a.opt_int(1)?, a.flag(2)?)?.into()),
        cost: 10.0,
        gradient: Gradient::Composite("sums of g n xⁿ⁻¹"),
        samples: || vec![call_with(REAL.strided(&mut Draw::new(371), &[3]), [Arg::Int(4), Arg::Bool(false)])],
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "vdot",
        doc: "The sum of the products of all elements of two arrays, both flattened; complex numbers of the first are conjugated.\n\n>>> tg.vdot(tg.Variable([1.0, 2.0]), tg.Variable([3.0, 4.0]))\nVariable(11.)\n",
        params: PAIR,
        call: |a| Ok(dot(&super::conj(&flatten(&a.variable(0)?)?)?, &flatten(&a.variable(1)?)?)?.into()),
        gradient: OTHER,
        samples: || pairs(&[(&[2, 3], &[2, 3]), (&[4], &[4])], &[]),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "matvec",
        doc: "Products of matrices (the last two axes of x1) and vectors (the last axis of x2), whose other axes broadcast.\n\n>>> tg.matvec(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), tg.Variable([1.0, 10.0]))\nVariable([21., 43.])\n",
        params: STACKS,
        call: |a| stacked(a, false),
        gradient: OTHER,
        samples: || pairs(&[(&[2, 3], &[3]), (&[2, 2, 3], &[2, 3])], &[]),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "vecmat",
        doc: "Products of vectors (the last axis of x1, conjugated) and matrices (the last two axes of x2), whose other axes broadcast.\n\n>>> tg.vecmat(tg.Variable([1.0, 10.0]), tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\nVariable([31., 42.])\n",
        params: STACKS,
        call: |a| stacked(a, true),
        gradient: OTHER,
        samples: || pairs(&[(&[2], &[2, 3]), (&[2, 3], &[2, 3, 2])], &[]),
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "bmm",
        doc: "The products of two stacks of matrices, which do not broadcast.\n\n>>> tg.bmm(tg.ones((1, 1, 2)), tg.ones((1, 2, 1)))\nVariable([[[2.]]])\n",
        params: PAIR,
        call: call_bmm,
        gradient: OTHER,
        samples: || pairs(&[(&[2, 2, 3], &[2, 3, 2])], &[]),
        ..Entry::BASE
    },
];

/// Samples of pairs of arrays of these shapes, with the same further arguments.
pub(super) fn pairs(cases: &[(&[usize], &[usize])], rest: &[Arg]) -> Vec<Sample> {
    let draw = &mut Draw::new(372);
    let mut call = |(a, b): &(&[usize], &[usize])| {
        let second = Arg::Variable(REAL.strided(draw, b));
        call_with(REAL.strided(draw, a), std::iter::once(second).chain(rest.iter().cloned()))
    };
    cases.iter().map(&mut call).collect()
}

fn tensordot_samples() -> Vec<Sample> {
    let axes = |values: &[i64], shape: &[usize]| Arg::Variable(indices(values, shape));
    [
        pairs(&[(&[2, 3], &[3, 2])], &[Arg::Int(1)]),
        pairs(&[(&[2], &[3])], &[Arg::Int(0)]),
        pairs(&[(&[2, 3, 2], &[3, 2])], &[axes(&[1, 0, 0, 1], &[2, 2])]),
        pairs(&[(&[2, 3], &[2])], &[axes(&[0, 0], &[2])]),
    ]
    .concat()
}

fn cross_samples() -> Vec<Sample> {
    let rest = |axis: Arg| [Arg::Int(-1), Arg::Int(-1), Arg::Int(-1), axis];
    [pairs(&[(&[3], &[3]), (&[2, 3], &[3]), (&[3], &[2]), (&[2], &[2])], &rest(Arg::None)), pairs(&[(&[3, 2], &[3, 2])], &rest(Arg::Int(0)))].concat()
}

fn trace_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(373);
    let cases: [(&[usize], [i64; 3]); 3] = [(&[3, 3], [0, 0, 1]), (&[2, 3], [1, 0, 1]), (&[2, 3, 4], [-1, 2, 1])];
    cases.into_iter().map(|(s, rest)| call_with(REAL.strided(draw, s), rest.map(Arg::Int).into_iter().chain([Arg::None]))).collect()
}
