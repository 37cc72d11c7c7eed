//! Distances between all pairs of rows.

use super::reduction::floating;
use super::registry::{Arg, Entry, Gradient, Param, Sample};
use super::samples::{Draw, REAL};
use super::{expand_dims, subtract, take, vector_norm};
use crate::array::alloc_check::with_capacity;
use crate::array::{Array, DType, broadcast_shapes, check_memory};
use crate::error::{Error, Result, show_shape};
use crate::tape::Variable;

fn check_order(op: &str, p: f64) -> Result<()> {
    if p >= 0.0 { Ok(()) } else { Err(Error::Value(format!("{op}: p is {p}, expected 0 or more"))) }
}

/// The p-norms of the differences of all rows of `a` (…, P, M) and all rows of `b` (…, R, M): shape (…, P, R).
///
/// # Errors
/// `Shape` when the rows differ in length or the axes in front do not broadcast, `Value` when `p` is negative.
pub fn cdist(a: &Variable, b: &Variable, p: f64) -> Result<Variable> {
    check_order("cdist", p)?;
    let fits = a.ndim() >= 2 && b.ndim() >= 2 && a.shape().last() == b.shape().last();
    let front = |x: &Variable| x.shape()[..x.ndim().saturating_sub(2)].to_vec();
    if !fits || broadcast_shapes(&front(a), &front(b)).is_none() {
        let (a, b) = (show_shape(a.shape()), show_shape(b.shape()));
        return Err(Error::Shape(format!("cdist: shapes {a} and {b} do not fit, expected (..., P, M) and (..., R, M)")));
    }
    let (a, b) = (expand_dims(&floating("cdist", a)?, &[-2])?, expand_dims(&floating("cdist", b)?, &[-3])?);
    vector_norm(&subtract(&a, &b)?, Some(&[-1]), false, p)
}

/// The p-norms of the differences of all pairs of different rows of `x` (N, M): row 0 with all later rows, and so on.
///
/// # Errors
/// `Shape` unless `x` has two axes, `Value` when `p` is negative.
pub fn pdist(x: &Variable, p: f64) -> Result<Variable> {
    check_order("pdist", p)?;
    if x.ndim() != 2 {
        return Err(Error::Shape(format!("pdist: the input has shape {}, expected (N, M)", show_shape(x.shape()))));
    }
    check_memory("pdist", &[x.shape()[0], x.shape()[0] / 2 + 1, x.shape()[1].max(2)], DType::F64)?;
    let n = i64::try_from(x.shape()[0]).unwrap_or(0);
    let count = usize::try_from(n * (n - 1) / 2).unwrap_or(0);
    let (mut first, mut second) = (with_capacity(count), with_capacity(count));
    for i in 0..n {
        first.extend(std::iter::repeat_n(i, usize::try_from(n - 1 - i).unwrap_or(0)));
        second.extend(i + 1..n);
    }
    let rows = |at: &[i64]| take(x, &Array::from_slice(at, &[at.len()]).into(), Some(0));
    vector_norm(&floating("pdist", &subtract(&rows(&first)?, &rows(&second)?)?)?, Some(&[-1]), false, p)
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "cdist",
        doc: "The p-norms of the differences of all rows of x1 (..., P, M) and all rows of x2 (..., R, M): (..., P, R). Where two rows are\n\
              equal the gradient is 0.\n\
              \n\
              >>> tg.cdist(tg.Variable([[0.0, 0.0]]), tg.Variable([[3.0, 4.0], [0.0, 1.0]]))\n\
              Variable([[5., 1.]])\n",
        params: &[Param::array("x1"), Param::array("x2"), Param::float("p", 2.0)],
        call: |a| Ok(cdist(&a.variable(0)?, &a.variable(1)?, a.float(2)?)?.into()),
        gradient: Gradient::Composite("that of subtraction and norm"),
        method: false,
        samples: || {
            let draw = &mut Draw::new(91);
            let cases: [(&[usize], &[usize], f64); 4] =
                [(&[3, 2], &[2, 2], 2.0), (&[2, 2, 3], &[3, 3], 3.0), (&[0, 2], &[2, 2], 2.0), (&[2, 1, 2], &[1, 2, 2], 1.5)];
            let one = |(a, b, p): (&[usize], &[usize], f64)| Sample {
                args: vec![Arg::Variable(REAL.strided(draw, a)), Arg::Variable(REAL.array(draw, b)), Arg::Float(p)],
            };
            cases.map(one).to_vec()
        },
        ..Entry::BASE
    },
    Entry {
        name: "pdist",
        module: "nn.functional",
        doc: "The p-norms of the differences of the rows of input (N, M), for each pair once: row 0 with all behind it, row 1, and so on.\n\
              \n\
              >>> tg.nn.functional.pdist(tg.Variable([[0.0], [1.0], [3.0]]))\n\
              Variable([1., 3., 2.])\n",
        params: &[Param::array("input"), Param::float("p", 2.0)],
        call: |a| Ok(pdist(&a.variable(0)?, a.float(1)?)?.into()),
        gradient: Gradient::Composite("that of subtraction and norm"),
        method: false,
        samples: || {
            let draw = &mut Draw::new(92);
            [(&[4, 2], 2.0), (&[3, 3], 3.0), (&[1, 2], 2.0)]
                .map(|(s, p)| Sample { args: vec![Arg::Variable(REAL.strided(draw, s)), Arg::Float(p)] })
                .to_vec()
        },
        ..Entry::BASE
    },
];
