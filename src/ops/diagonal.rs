//! Diagonals and triangles.

use super::registry::{Arg, Default, Entry, Gradient, Kind, Param, Sample, Views};
use super::samples::{Draw, REAL, call_with};
use super::window::{DIAGONAL, Window, replace, view};
use super::work;
use crate::array::{Array, DType, Scalar, normalize_axis};
use crate::error::{Error, Result, show_shape};
use crate::tape::Variable;

/// The diagonal of two axes, `offset` above the main one, as the last axis; a view.
///
/// # Errors
/// `Shape` when there are fewer than two axes, `Axis` when one is out of range or the two are the same.
pub fn diagonal(x: &Variable, offset: i64, axes: [isize; 2]) -> Result<Variable> {
    diagonal_for("diagonal", x, offset, axes)
}

/// [`diagonal`], which a function is made of that errors name.
pub(super) fn diagonal_for(op: &str, x: &Variable, offset: i64, axes: [isize; 2]) -> Result<Variable> {
    if x.ndim() < 2 {
        return Err(Error::Shape(format!("{op}: an array of at least 2 dimensions is expected, got shape {}", show_shape(x.shape()))));
    }
    let [a, b] = [normalize_axis(op, axes[0], x.ndim())?, normalize_axis(op, axes[1], x.ndim())?];
    if a == b {
        return Err(Error::Axis(format!("{op}: axis1 and axis2 cannot be the same, got {} and {}", axes[0], axes[1])));
    }
    view(&DIAGONAL, x, &Window::Diagonal { offset: isize::try_from(offset).unwrap_or(isize::MAX), axes: [a, b] })
}

/// The diagonal of a matrix, or the matrix with a 1-d array as its diagonal.
///
/// # Errors
/// `Shape` unless there are one or two axes.
pub fn diag(x: &Variable, k: i64) -> Result<Variable> {
    match x.shape() {
        [n] => {
            let side = n + usize::try_from(k.unsigned_abs()).unwrap_or(usize::MAX);
            let zeros = Array::zeros(&[side, side], x.dtype()).into();
            replace(zeros, &Window::Diagonal { offset: isize::try_from(k).unwrap_or(isize::MAX), axes: [0, 1] }, x)
        }
        [_, _] => diagonal(x, k, [0, 1]),
        s => Err(Error::Shape(format!("diag: an array of 1 or 2 dimensions is expected, got shape {}", show_shape(s)))),
    }
}

/// The matrix with the elements of `x`, flattened, as its diagonal `k`.
///
/// # Errors
/// Those of recording.
pub fn diagflat(x: &Variable, k: i64) -> Result<Variable> {
    diag(&super::flatten(x)?, k)
}

/// `x` with zeros where `keep(row, column)` is false. A 1-d array is used for every row.
fn triangle(op: &str, x: &Variable, keep: impl Fn(i64, i64) -> bool) -> Result<Variable> {
    let (rows, columns) = match *x.shape() {
        [] => return Err(Error::Shape(format!("{op}: an array of at least 1 dimension is expected, got shape ()"))),
        [n] => (n, n),
        [.., rows, columns] => (rows, columns),
    };
    let mut mask = Array::empty(&[rows, columns], DType::Bool);
    for (i, row) in (0_i64..).zip(mask.data_mut::<bool>().chunks_mut(columns.max(1))) {
        (0_i64..).zip(row).for_each(|(j, m)| *m = keep(i, j));
    }
    let zero = if x.dtype() == DType::Bool { Scalar::Bool(false) } else { Scalar::Int(0) };
    super::where_(&mask.into(), x, zero)
}

/// `x` with zeros above diagonal `k` of its last two axes.
///
/// # Errors
/// `Shape` when `x` is 0-d.
pub fn tril(x: &Variable, k: i64) -> Result<Variable> {
    triangle("tril", x, |i, j| j - i <= k)
}

/// `x` with zeros below diagonal `k` of its last two axes.
///
/// # Errors
/// `Shape` when `x` is 0-d.
pub fn triu(x: &Variable, k: i64) -> Result<Variable> {
    triangle("triu", x, |i, j| j - i >= k)
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "diagonal",
        doc: "The diagonal of the planes of two axes, offset above the main one, as the last axis; a view.\n\n>>> tg.diagonal(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\nVariable([1., 4.])\n",
        params: &[
            Param::array("x"),
            Param::new("offset", Kind::Int).or(Default::Int(0)),
            Param { alias: Some("dim1"), ..Param::new("axis1", Kind::Int).or(Default::Int(0)) },
            Param { alias: Some("dim2"), ..Param::new("axis2", Kind::Int).or(Default::Int(1)) },
        ],
        call: |a| Ok(diagonal(&a.variable(0)?, a.int(1)?, [a.axis(2)?, a.axis(3)?])?.into()),
        gradient: Gradient::Rule("zeros with g on the diagonal"),
        linear: true,
        views: Views::Writable,
        samples: diagonal_samples,
        ..Entry::BASE
    },
    Entry {
        name: "diag",
        work: work::squared,
        doc: "The diagonal of a matrix, k above the main one; of a 1-d array the matrix that has it as its diagonal.\n\n>>> tg.diag(tg.Variable([1.0, 2.0]))\nVariable([[1., 0.],\n          [0., 2.]])\n",
        params: &[Param::array("x"), Param::new("k", Kind::Int).or(Default::Int(0))],
        call: |a| Ok(diag(&a.variable(0)?, a.int(1)?)?.into()),
        gradient: Gradient::Composite("diag(g, k)"),
        linear: true,
        method: false,
        samples: diag_samples,
        ..Entry::BASE
    },
    Entry {
        name: "diagflat",
        work: work::squared,
        doc: "The matrix with the elements of x, flattened, as its diagonal k above the main one.\n\n>>> tg.diagflat(tg.Variable([[1.0], [2.0]]))\nVariable([[1., 0.],\n          [0., 2.]])\n",
        params: &[Param::array("x"), Param::new("k", Kind::Int).or(Default::Int(0))],
        call: |a| Ok(diagflat(&a.variable(0)?, a.int(1)?)?.into()),
        gradient: Gradient::Composite("diagonal(g, k)"),
        linear: true,
        method: false,
        samples: || [(&[][..], 0), (&[2, 2], -1)].map(|(shape, k)| call_with(REAL.strided(&mut Draw::new(74), shape), [Arg::Int(k)])).into(),
        ..Entry::BASE
    },
    Entry {
        name: "tril",
        doc: "x with zeros above diagonal k of its last two axes.\n\n>>> tg.tril(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\nVariable([[1., 0.],\n          [3., 4.]])\n",
        params: &[Param::array("x"), Param::new("k", Kind::Int).or(Default::Int(0))],
        call: |a| Ok(tril(&a.variable(0)?, a.int(1)?)?.into()),
        gradient: Gradient::Composite("tril(g, k)"),
        linear: true,
        method: false,
        samples: triangle_samples,
        ..Entry::BASE
    },
    Entry {
        name: "triu",
        doc: "x with zeros below diagonal k of its last two axes.\n\n>>> tg.triu(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\nVariable([[1., 2.],\n          [0., 4.]])\n",
        params: &[Param::array("x"), Param::new("k", Kind::Int).or(Default::Int(0))],
        call: |a| Ok(triu(&a.variable(0)?, a.int(1)?)?.into()),
        gradient: Gradient::Composite("triu(g, k)"),
        linear: true,
        method: false,
        samples: triangle_samples,
        ..Entry::BASE
    },
];

fn diagonal_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(71);
    let cases: [(&[usize], [i64; 3]); 6] =
        [(&[3, 4], [0, 0, 1]), (&[3, 4], [1, 0, 1]), (&[3, 4], [-1, 1, 0]), (&[2, 3, 4], [1, 0, -1]), (&[2, 3], [5, 0, 1]), (&[0, 3], [0, 0, 1])];
    cases.into_iter().map(|(shape, rest)| call_with(REAL.strided(draw, shape), rest.map(Arg::Int))).collect()
}

fn diag_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(72);
    let cases: [(&[usize], i64); 5] = [(&[3], 0), (&[3], -2), (&[2], 1), (&[3, 4], 1), (&[0], 0)];
    cases.into_iter().map(|(shape, k)| call_with(REAL.strided(draw, shape), [Arg::Int(k)])).collect()
}

fn triangle_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(73);
    let cases: [(&[usize], i64); 5] = [(&[3, 4], 0), (&[3, 4], 1), (&[2, 3, 3], -1), (&[3], 0), (&[0, 2], 0)];
    cases.into_iter().map(|(shape, k)| call_with(REAL.strided(draw, shape), [Arg::Int(k)])).collect()
}
