//! Products of matrices, and matrices built from vectors or blocks.

use super::mm;
use crate::array::alloc_check::{collect, with_capacity};
use crate::array::{Array, DType, Shape, check_memory};
use crate::error::{Error, Result, show_shape};
use crate::ops::registry::{Arg, Default, Entry, Gradient, Kind, Param, Sample};
use crate::ops::samples::{Draw, REAL};
use crate::ops::{astype, concat, conj, expand_dims, flatten, flip, kron, matmul, reshape, squeeze, take, tensordot};
use crate::tape::Variable;

/// The product of two or more arrays in the cheapest order. The first and the last may be vectors.
///
/// # Errors
/// `Shape` when neighbours do not fit.
pub fn multi_dot(arrays: &[Variable]) -> Result<Variable> {
    let n = arrays.len();
    if n < 2 {
        return Err(Error::Value(format!("multi_dot: got {n} arrays, expected at least two")));
    }
    if n == 2 {
        return matmul(&arrays[0], &arrays[1]);
    }
    let (row, column) = (arrays[0].ndim() == 1, arrays[n - 1].ndim() == 1);
    let mut all: Vec<Variable> = arrays.to_vec();
    if row {
        all[0] = expand_dims(&all[0], &[0])?;
    }
    if column {
        all[n - 1] = expand_dims(&all[n - 1], &[1])?;
    }
    if let Some(bad) = all.iter().find(|a| a.ndim() != 2) {
        let shape = show_shape(bad.shape());
        return Err(Error::Shape(format!("multi_dot: an array has shape {shape}, expected matrices, and vectors at the ends only")));
    }
    let mut sizes: Vec<usize> = all.iter().map(|a| a.shape()[0]).collect();
    sizes.extend(all.last().map(|a| a.shape()[1]));
    let order = cheapest(&sizes);
    let mut out = chain(&all, &order, 0, n - 1)?;
    if column {
        out = squeeze(&out, Some(&[-1]))?;
    }
    if row { squeeze(&out, Some(&[0])) } else { Ok(out) }
}

/// Where the product of i … j is split, for the fewest multiplications (Cormen et al., 15.2).
fn cheapest(sizes: &[usize]) -> Vec<Vec<usize>> {
    let n = sizes.len() - 1;
    let (mut cost, mut split) = (vec![vec![0.0_f64; n]; n], vec![vec![0; n]; n]);
    for length in 1..n {
        for i in 0..n - length {
            let j = i + length;
            cost[i][j] = f64::INFINITY;
            for k in i..j {
                let here = cost[i][k] + cost[k + 1][j] + sizes[i] as f64 * sizes[k + 1] as f64 * sizes[j + 1] as f64;
                if here < cost[i][j] {
                    (cost[i][j], split[i][j]) = (here, k);
                }
            }
        }
    }
    split
}

fn chain(all: &[Variable], split: &[Vec<usize>], i: usize, j: usize) -> Result<Variable> {
    if i == j {
        return Ok(all[i].clone());
    }
    let k = split[i][j];
    mm(&chain(all, split, i, k)?, &chain(all, split, k + 1, j)?)
}

/// A block-diagonal matrix. A number or a vector counts as one row.
///
/// # Errors
/// `Shape` when an array has more than two axes.
pub fn block_diag(arrays: &[Variable]) -> Result<Variable> {
    let mut blocks = with_capacity(arrays.len());
    let dtype = arrays.iter().map(Variable::dtype).reduce(DType::promote).unwrap_or_else(crate::array::default_float);
    for a in arrays {
        if a.ndim() > 2 {
            return Err(Error::Shape(format!("block_diag: an array has shape {}, expected at most two axes", show_shape(a.shape()))));
        }
        let mut a = astype(a, dtype)?;
        while a.ndim() < 2 {
            a = expand_dims(&a, &[0])?;
        }
        blocks.push(a);
    }
    let columns: usize = blocks.iter().map(|b| b.shape()[1]).sum();
    let zeros = |m: usize, n: usize| Variable::from(Array::zeros(&[m, n], dtype));
    if blocks.is_empty() {
        return Ok(zeros(1, 0));
    }
    let (mut rows, mut before) = (with_capacity(blocks.len()), 0);
    for b in &blocks {
        let [m, n] = [b.shape()[0], b.shape()[1]];
        rows.push(concat(&[zeros(m, before), b.clone(), zeros(m, columns - before - n)], Some(1))?);
        before += n;
    }
    concat(&rows, Some(0))
}

/// The matrix with constant diagonals, first column `c` and first row `r` (`None`: the conjugate of c). The first element of `r` is
/// ignored.
///
/// # Errors
/// Those of recording.
pub fn toeplitz(c: &Variable, r: Option<&Variable>) -> Result<Variable> {
    let c = flatten(c)?;
    let r = r.map_or_else(|| conj(&c), flatten)?;
    let (m, n) = (c.shape()[0], r.shape()[0]);
    if m == 0 || n == 0 {
        return reshape(&take(&c, &Array::zeros(&[0], DType::I64).into(), Some(0))?, &[m.cast_signed(), n.cast_signed()]);
    }
    let dtype = c.dtype().promote(r.dtype());
    let (c, r) = (astype(&c, dtype)?, astype(&r, dtype)?);
    // All diagonals, from the last row up: c reversed, then r without its first element.
    let line = concat(&[flip(&c, Some(&[0]))?, part_of(&r, 1)?], Some(0))?;
    check_memory("toeplitz", &[m, n], DType::I64)?;
    let places = collect((0..m * n).map(|k| (m - 1 + k % n) as i64 - (k / n) as i64));
    take(&line, &Array::from_slice(&places, &[m, n]).into(), Some(0))
}

/// A vector from element `from` on.
fn part_of(x: &Variable, from: isize) -> Result<Variable> {
    crate::ops::get_item(x, &[crate::ops::IndexItem::Slice(Some(from), None, None)])
}

/// The product of [`toeplitz`] with a vector or a matrix.
///
/// # Errors
/// `Shape` when they do not fit.
pub fn matmul_toeplitz(c: &Variable, r: Option<&Variable>, x: &Variable) -> Result<Variable> {
    matmul(&toeplitz(c, r)?, x)
}

/// The cross products of vectors of three elements along an axis; other axes broadcast.
///
/// # Errors
/// `Axis` when the axis is out of range, `Shape` when the vectors have other lengths.
pub fn cross(a: &Variable, b: &Variable, axis: isize) -> Result<Variable> {
    for x in [a, b] {
        let size = x.shape()[crate::array::normalize_axis("cross", axis, x.ndim())?];
        if size != 3 {
            let shape = show_shape(x.shape());
            return Err(Error::Shape(format!("cross: axis {axis} of shape {shape} has size {size}, expected vectors of three elements")));
        }
    }
    crate::ops::cross(a, b, [axis; 3])
}

/// The other axes, and the named ones.
fn separate(op: &str, x: &Variable, axes: &[isize]) -> Result<(Vec<usize>, Vec<usize>)> {
    let named = axes.iter().map(|&a| crate::array::normalize_axis(op, a, x.ndim())).collect::<Result<Vec<_>>>()?;
    Ok(((0..x.ndim()).filter(|i| !named.contains(i)).collect(), named))
}

/// Solves tensordot(a, x, x.ndim) = b: NumPy's `tensorsolve`, with `axes` of `a` moved to its end.
///
/// # Errors
/// `LinAlg` when `a` does not correspond to a square matrix, or is singular.
pub fn tensorsolve(a: &Variable, b: &Variable, axes: Option<&[isize]>) -> Result<Variable> {
    let a = match axes {
        None => a.clone(),
        Some(axes) => {
            let (stay, moved) = separate("tensorsolve", a, axes)?;
            let order: Vec<isize> = stay.iter().chain(&moved).map(|&i| i.cast_signed()).collect();
            crate::ops::permute_dims(a, &order)?
        }
    };
    let rest = Shape::from_slice(a.shape().get(b.ndim()..).unwrap_or(&[]));
    let (n, size) = (rest.iter().product::<usize>(), b.array().size());
    if n * size != a.array().size() || n != size {
        let (sa, sb) = (show_shape(a.shape()), show_shape(b.shape()));
        return Err(Error::LinAlg(format!(
            "tensorsolve: shapes {sa} and {sb} do not fit: the axes of a behind those of b must have as many elements as b"
        )));
    }
    let flat = reshape(&a, &[size.cast_signed(), n.cast_signed()])?;
    let x = super::solve::solve(&flat, &flatten(b)?)?;
    reshape(&x, &rest.iter().map(|s| s.cast_signed()).collect::<Vec<_>>())
}

/// NumPy's `tensorinv`: the inverse with respect to tensordot over `ind` axes.
///
/// # Errors
/// `LinAlg` when `a` does not correspond to a square matrix, or is singular.
pub fn tensorinv(a: &Variable, ind: i64) -> Result<Variable> {
    let split = usize::try_from(ind).ok().filter(|i| *i > 0 && *i <= a.ndim());
    let Some(split) = split else {
        return Err(Error::Value(format!("tensorinv: ind is {ind} for an array of {} axes, expected a number of its axes above 0", a.ndim())));
    };
    let (first, last) = a.shape().split_at(split);
    let (m, n) = (first.iter().product::<usize>(), last.iter().product::<usize>());
    if m != n {
        return Err(Error::LinAlg(format!(
            "tensorinv: shape {} with ind={ind} is not a square matrix: {m} rows, {n} columns",
            show_shape(a.shape())
        )));
    }
    let shape: Vec<isize> = last.iter().chain(first).map(|s| s.cast_signed()).collect();
    reshape(&super::solve::inv(&reshape(a, &[m.cast_signed(), n.cast_signed()])?)?, &shape)
}

fn vectors(draw: &mut Draw, shape: &[usize]) -> Arg {
    Arg::Variable(REAL.strided(draw, shape))
}

fn samples(cases: &[&[&[usize]]], rest: &[Arg]) -> Vec<Sample> {
    let draw = &mut Draw::new(81);
    cases.iter().map(|shapes| Sample { args: shapes.iter().map(|s| vectors(draw, s)).chain(rest.iter().cloned()).collect() }).collect()
}

fn lists(cases: &[&[&[usize]]]) -> Vec<Sample> {
    let draw = &mut Draw::new(82);
    cases.iter().map(|shapes| Sample { args: vec![Arg::Variables(shapes.iter().map(|s| REAL.strided(draw, s)).collect())] }).collect()
}

const AXES: Param = Param::new("axes", Kind::Axes).or(Default::None);

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "multi_dot",
        module: "linalg",
        doc: "The product of two or more matrices in the cheapest order; the first and the last may be vectors.\n\n>>> tg.linalg.multi_dot([tg.Variable([1.0, 2.0]), tg.Variable([[1.0], [1.0]]), tg.Variable([2.0])])\nVariable(6.)\n",
        params: &[Param::new("arrays", Kind::Arrays)],
        call: |a| Ok(multi_dot(a.variables(0)?)?.into()),
        cost: 5.0,
        gradient: Gradient::Composite("of the products"),
        method: false,
        samples: || lists(&[&[&[2, 3], &[3, 2]], &[&[2, 3], &[3, 4], &[4, 2]], &[&[3], &[3, 2], &[2, 2], &[2]]]),
        ..Entry::BASE
    },
    Entry {
        name: "block_diag",
        module: "linalg",
        doc: "Matrices along a diagonal, zeros elsewhere.\n\n>>> tg.linalg.block_diag(tg.Variable([[1.0]]), tg.Variable([[2.0, 3.0]]))\nVariable([[1., 0., 0.],\n          [0., 2., 3.]])\n",
        params: &[Param::new("arrays", Kind::Each)],
        call: |a| Ok(block_diag(a.variables(0)?)?.into()),
        gradient: Gradient::Composite("the blocks of g"),
        method: false,
        samples: || lists(&[&[&[2, 2], &[1, 3]], &[&[2], &[]], &[&[0, 2], &[1, 1]]]),
        ..Entry::BASE
    },
    Entry {
        name: "toeplitz",
        module: "linalg",
        doc: "The matrix with first column c and first row r (None: c), constant along its diagonals.\n\n>>> tg.linalg.toeplitz(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 5.0, 6.0]))\nVariable([[1., 5., 6.],\n          [2., 1., 5.]])\n",
        params: &[Param::array("c"), Param::new("r", Kind::OptArray).or(Default::None)],
        call: |a| Ok(toeplitz(&a.variable(0)?, a.opt_variable(1)?.as_ref())?.into()),
        gradient: Gradient::Composite("sums along the diagonals"),
        method: false,
        samples: || {
            let mut all = samples(&[&[&[3], &[4]], &[&[2], &[1]]], &[]);
            all.extend(samples(&[&[&[3]]], &[Arg::None]));
            all
        },
        ..Entry::BASE
    },
    Entry {
        name: "matmul_toeplitz",
        module: "linalg",
        doc: "The product of toeplitz(c, r) with a vector or a matrix.\n\n>>> tg.linalg.matmul_toeplitz(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 1.0]))\nVariable([3., 3.])\n",
        params: &[Param::array("c"), Param::array("x"), Param::new("r", Kind::OptArray).or(Default::None)],
        call: |a| Ok(matmul_toeplitz(&a.variable(0)?, a.opt_variable(2)?.as_ref(), &a.variable(1)?)?.into()),
        cost: 3.0,
        gradient: Gradient::Composite("of the product"),
        method: false,
        samples: || samples(&[&[&[3], &[4], &[4]], &[&[3], &[2, 2], &[2]]], &[]),
        ..Entry::BASE
    },
    Entry {
        name: "cross",
        module: "linalg",
        doc: "The cross product of vectors of three elements along an axis.\n\n>>> tg.linalg.cross(tg.Variable([1.0, 0.0, 0.0]), tg.Variable([0.0, 1.0, 0.0]))\nVariable([0., 0., 1.])\n",
        params: &[Param::array("x1"), Param::array("x2"), Param::axis(-1).named()],
        call: |a| Ok(cross(&a.variable(0)?, &a.variable(1)?, a.axis(2)?)?.into()),
        gradient: Gradient::Composite("dx1 = cross(x2, g), dx2 = cross(g, x1)"),
        linear: true,
        method: false,
        samples: || {
            let mut all = samples(&[&[&[3], &[3]], &[&[2, 3], &[3]], &[&[0, 3], &[1, 3]]], &[Arg::Int(-1)]);
            all.extend(samples(&[&[&[3, 2], &[3, 2]]], &[Arg::Int(0)]));
            all
        },
        ..Entry::BASE
    },
    Entry {
        name: "kron",
        module: "linalg",
        doc: "The Kronecker product: every element of a times all of b.\n\n>>> tg.linalg.kron(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 1.0]))\nVariable([1., 1., 2., 2.])\n",
        params: &[Param::array("a"), Param::array("b")],
        call: |a| Ok(kron(&a.variable(0)?, &a.variable(1)?)?.into()),
        gradient: Gradient::Composite("sums of g times the other one"),
        linear: true,
        method: false,
        samples: || samples(&[&[&[2, 3], &[3, 2]], &[&[2], &[2, 2]], &[&[], &[2]]], &[]),
        ..Entry::BASE
    },
    Entry {
        name: "tensordot",
        module: "linalg",
        doc: "Sums of products over pairs of axes.\n\n>>> tg.linalg.tensordot(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 1.0]), axes=1)\nVariable(3.)\n",
        params: &[Param::array("a"), Param::array("b"), Param::new("left", Kind::Ints), Param::new("right", Kind::Ints)],
        call: |a| Ok(tensordot(&a.variable(0)?, &a.variable(1)?, a.ints(2)?, a.ints(3)?)?.into()),
        cost: 3.0,
        gradient: Gradient::Composite("of the product"),
        linear: true,
        method: false,
        samples: || {
            let pair = |a: &[isize]| Arg::Ints(a.into());
            let mut all = samples(&[&[&[2, 3], &[3, 2]]], &[pair(&[1]), pair(&[0])]);
            all.extend(samples(&[&[&[2, 3, 2], &[2, 3]]], &[pair(&[1, 0]), pair(&[-1, 0])]));
            all.extend(samples(&[&[&[2], &[3]]], &[pair(&[]), pair(&[])]));
            all
        },
        ..Entry::BASE
    },
    Entry {
        name: "tensorsolve",
        module: "linalg",
        doc: "The x with tensordot(a, x, x.ndim) = b, with axes of a moved to its end.\n\n>>> tg.linalg.tensorsolve(tg.Variable([[2.0]]), tg.Variable([4.0]))\nVariable([2.])\n",
        params: &[Param::array("a"), Param::array("b"), AXES],
        call: |a| Ok(tensorsolve(&a.variable(0)?, &a.variable(1)?, a.axes(2)?)?.into()),
        cost: 5.0,
        gradient: Gradient::Composite("that of solve"),
        method: false,
        samples: || samples(&[&[&[2, 3, 6], &[2, 3]]], &[Arg::None]),
        ..Entry::BASE
    },
    Entry {
        name: "tensorinv",
        module: "linalg",
        doc: "The inverse with respect to tensordot over ind axes.\n\n>>> tg.linalg.tensorinv(tg.Variable([[2.0]]), ind=1)\nVariable([[0.5]])\n",
        params: &[Param::array("a"), Param::new("ind", Kind::Int).or(Default::Int(2))],
        call: |a| Ok(tensorinv(&a.variable(0)?, a.int(1)?)?.into()),
        cost: 5.0,
        gradient: Gradient::Composite("that of inv"),
        method: false,
        samples: || samples(&[&[&[2, 3, 6]]], &[Arg::Int(2)]),
        ..Entry::BASE
    },
];
