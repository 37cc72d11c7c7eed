//! Norms of matrices and condition numbers.

use super::svd::{nuclear, spectral_condition, svdvals};
use super::{complex_samples, matrices, regular_samples, sides};
use crate::array::normalize_axis;
use crate::error::{Error, Result, show_shape};
use crate::ops::registry::{Arg, Default, Entry, Gradient, Kind, Param, Sample};
use crate::ops::{abs, expand_dims, max, min, moveaxis, multiply, sum, vector_norm};
use crate::tape::Variable;

/// A norm of the last two axes.
fn of_matrices(op: &str, x: &Variable, ord: &str) -> Result<Variable> {
    let columns = |x: &Variable, axis: isize| sum(&abs(x)?, Some(&[axis]), false);
    match ord {
        "fro" => vector_norm(x, Some(&[-2, -1]), false, 2.0),
        "nuc" => nuclear(x),
        "1" => max(&columns(x, -2)?, Some(&[-1]), false),
        "-1" => min(&columns(x, -2)?, Some(&[-1]), false),
        "inf" => max(&columns(x, -1)?, Some(&[-1]), false),
        "-inf" => min(&columns(x, -1)?, Some(&[-1]), false),
        "2" => max(&svdvals(x)?, Some(&[-1]), false),
        "-2" => min(&svdvals(x)?, Some(&[-1]), false),
        _ => Err(Error::Value(format!("{op}: ord is {} for a matrix norm, expected 'fro', 'nuc', 1, -1, 2, -2, inf or -inf", shown(ord)))),
    }
}

/// A number as Python writes it, without a fraction of zero.
fn plain(ord: &str) -> String {
    match ord.parse::<f64>() {
        Ok(x) if x.is_infinite() => if x > 0.0 { "inf" } else { "-inf" }.to_owned(),
        Ok(x) => x.to_string(),
        Err(_) => ord.to_owned(),
    }
}

/// An order in a message: a number as it is, a name in quotes.
fn shown(ord: &str) -> String {
    if ord.parse::<f64>().is_ok() { plain(ord) } else { format!("'{ord}'") }
}

/// The norms of the matrices in two axes.
///
/// # Errors
/// `Axis` when an axis is out of range, `Value` when the norm is unknown.
pub fn matrix_norm(x: &Variable, ord: &str, axes: [isize; 2], keepdims: bool) -> Result<Variable> {
    let x = matrices("matrix_norm", x)?;
    let [row, column] = [normalize_axis("matrix_norm", axes[0], x.ndim())?, normalize_axis("matrix_norm", axes[1], x.ndim())?];
    if row == column {
        return Err(Error::Axis(format!("matrix_norm: axis {row} is named twice")));
    }
    let turned =
        if (row, column) == (x.ndim() - 2, x.ndim() - 1) { x.clone() } else { moveaxis(&x, &[row.cast_signed(), column.cast_signed()], &[-2, -1])? };
    let out = of_matrices("matrix_norm", &turned, &plain(ord))?;
    if !keepdims {
        return Ok(out);
    }
    let (low, high) = (row.min(column).cast_signed(), row.max(column).cast_signed());
    expand_dims(&expand_dims(&out, &[low])?, &[high])
}

/// NumPy's `norm`: without `ord` and `axes`, the norm of all elements as a vector; else of vectors or matrices, depending on the number of
/// axes.
///
/// # Errors
/// As [`matrix_norm`].
pub fn norm(x: &Variable, ord: &str, axes: Option<&[isize]>, keepdims: bool) -> Result<Variable> {
    let Some(axes) = axes else {
        let vector = ord.is_empty() || x.ndim() == 1;
        if !vector && x.ndim() != 2 {
            let shape = show_shape(x.shape());
            return Err(Error::Value(format!(
                "norm: ord is {} for an array of shape {shape}; name the axes of the vectors or matrices by axis=",
                shown(ord)
            )));
        }
        return if vector { vector_norm(x, None, keepdims, number(ord)?) } else { matrix_norm(x, ord, [-2, -1], keepdims) };
    };
    match axes {
        [_] => vector_norm(x, Some(axes), keepdims, number(ord)?),
        [row, column] => matrix_norm(x, if ord.is_empty() { "fro" } else { ord }, [*row, *column], keepdims),
        _ => Err(Error::Value(format!("norm: axis names {} axes, expected one for vectors or two for matrices", axes.len()))),
    }
}

/// The order of a vector norm.
fn number(ord: &str) -> Result<f64> {
    if ord.is_empty() {
        return Ok(2.0);
    }
    ord.parse().map_err(|_| Error::Value(format!("norm: ord is {} for a vector norm, expected a number", shown(ord))))
}

/// The condition number: from singular values for p = 2 (or none) and -2, else the product of the norms of A and its inverse.
///
/// # Errors
/// As [`matrix_norm`]; `LinAlg` when there are no rows or columns.
pub fn cond(x: &Variable, p: &str) -> Result<Variable> {
    let x = matrices("cond", x)?;
    if sides(x.array()).contains(&0) {
        return Err(Error::LinAlg(format!("cond: the matrices have shape {}, expected at least one row and column", show_shape(x.shape()))));
    }
    match plain(p).as_str() {
        "" | "2" => spectral_condition(&x, false),
        "-2" => spectral_condition(&x, true),
        p => multiply(&matrix_norm(&x, p, [-2, -1], false)?, &matrix_norm(&super::solve::inv(&x)?, p, [-2, -1], false)?),
    }
}

const ORDERS: [&str; 8] = ["fro", "nuc", "1", "-1", "inf", "-inf", "2", "-2"];

fn samples(shapes: &[&[usize]], orders: &[&str], rest: &[Arg]) -> Vec<Sample> {
    let call = |ord: &&str| regular_samples(shapes, &[&[Arg::Text((*ord).to_owned())][..], rest].concat());
    let complex = |ord: &&str| complex_samples(&shapes[..1], &[&[Arg::Text((*ord).to_owned())][..], rest].concat());
    orders.iter().flat_map(call).chain(orders.iter().flat_map(complex)).collect()
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "matrix_norm",
        module: "linalg",
        doc: "The norm of matrices in two axes.\n\n>>> tg.linalg.matrix_norm(tg.Variable([[3.0, 4.0]]))\nVariable(5.)\n",
        params: &[
            Param::array("x"),
            Param::new("ord", Kind::Text).or(Default::Text("fro")),
            Param::new("axis", Kind::Axes).or(Default::None),
            Param::keepdims(),
        ],
        call: |a| {
            let axes = match a.axes(2)? {
                None => [-2, -1],
                Some([row, column]) => [*row, *column],
                Some(_) => return Err(Error::Value("matrix_norm: axis must name two axes".to_owned())),
            };
            Ok(matrix_norm(&a.variable(0)?, a.text(1)?, axes, a.flag(3)?)?.into())
        },
        cost: 10.0,
        gradient: Gradient::Composite("that of vector_norm, of sums, or of singular values"),
        method: false,
        samples: || samples(&[&[3, 3], &[2, 2, 3]], &ORDERS, &[Arg::None, Arg::Bool(false)]),
        ..Entry::BASE
    },
    Entry {
        name: "norm",
        module: "linalg",
        doc: "The norm of vectors or matrices.\n\n>>> tg.linalg.norm(tg.Variable([3.0, 4.0]))\nVariable(5.)\n",
        params: &[
            Param::array("x"),
            Param::new("ord", Kind::Text).or(Default::Text("")),
            Param::new("axis", Kind::Axes).or(Default::None),
            Param::keepdims(),
        ],
        call: |a| Ok(norm(&a.variable(0)?, a.text(1)?, a.axes(2)?, a.flag(3)?)?.into()),
        cost: 5.0,
        gradient: Gradient::Composite("that of vector_norm or matrix_norm"),
        method: false,
        samples: || samples(&[&[3, 3]], &["", "fro", "1"], &[Arg::None, Arg::Bool(true)]),
        ..Entry::BASE
    },
    Entry {
        name: "cond",
        module: "linalg",
        doc: "The condition number.\n\n>>> tg.linalg.cond(tg.Variable([[1.0, 0.0], [0.0, 4.0]]))\nVariable(4.)\n",
        params: &[Param::array("x"), Param::new("p", Kind::Text).or(Default::Text(""))],
        call: |a| Ok(cond(&a.variable(0)?, a.text(1)?)?.into()),
        cost: 20.0,
        gradient: Gradient::Composite("that of singular values, or of the norms of a and its inverse"),
        method: false,
        samples: || samples(&[&[3, 3]], &["", "-2", "fro", "1"], &[]),
        ..Entry::BASE
    },
];
