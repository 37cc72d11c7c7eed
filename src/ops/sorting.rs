//! Sorting along an axis, the largest elements, search in sorted arrays.
//!
//! Each function computes positions, which have no derivative, and gathers the elements at them. A sorted array is a permutation of its
//! input, so its gradient is permuted back. NaN comes last, also in descending order.

use super::along::at_positions;
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Operand, Param, Sample, Value};
use super::samples::{Draw, REAL, call_with, indices, ints};
use super::shape::{astype, flatten, reshape_to, scalar};
use super::{flip, subtract};
use crate::array::{Array, DType, normalize_axis};
use crate::error::{Error, Result, show_shape};
use crate::kernel::order as kernel;
use crate::tape::{Batch, BatchContext, Outputs, Primitive, Variable, apply, is_recording};
use serde::{Deserialize, Serialize};

/// Which positions are computed, along which axis.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Positions {
    axis: usize,
    of: Order,
}

/// The elements at the positions.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Order {
    Sorted { descending: bool },
    Top { count: usize, largest: bool },
    Partition { ranks: Vec<usize> },
    Ranks { ranks: Vec<usize> },
    Running { largest: bool },
}

/// Whether equal elements of the searched array are counted.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Side {
    right: bool,
}
crate::attributes!(Positions, Side);

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&ARGSORT, &SORTED, &SEARCHSORTED];

static ARGSORT: Primitive = Primitive {
    name: "argsort",
    eval: |call| {
        let (x, p) = (call.array(0), call.attrs::<Positions>());
        let out = match &p.of {
            Order::Sorted { descending } => kernel::argsort(x, p.axis, *descending),
            Order::Top { count, largest } => kernel::top(x, p.axis, *count, *largest),
            Order::Partition { ranks } => kernel::partitioned(x, p.axis, ranks),
            Order::Ranks { ranks } => kernel::ranked(x, p.axis, ranks),
            Order::Running { largest } => kernel::running_extremum(x, p.axis, *largest),
        };
        call.give(out);
        Ok(())
    },
    batch: Batch::Rule(batch_positions),
    ..Primitive::BASE
};

/// Sorts the elements of an array that is not tracked: without positions it takes a fraction of the time.
static SORTED: Primitive = Primitive {
    name: "sort",
    eval: |call| {
        let p = call.attrs::<Positions>();
        let Order::Sorted { descending } = p.of else { unreachable!("elements are sorted") };
        call.give(kernel::sorted(call.array(0), p.axis, descending));
        Ok(())
    },
    batch: Batch::Rule(batch_positions),
    ..Primitive::BASE
};

fn batch_positions(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let p: &Positions = ctx.attrs();
    super::along::batch_axis(ctx, &Positions { axis: p.axis + 1, of: p.of.clone() })
}

static SEARCHSORTED: Primitive = Primitive {
    name: "searchsorted",
    eval: |call| {
        let out = kernel::searchsorted(call.array(0), call.array(1), call.attrs::<Side>().right);
        call.give(out);
        Ok(())
    },
    ..Primitive::BASE
};

/// Fails for complex numbers, which have no order.
fn ordered(op: &str, x: &Variable) -> Result<()> {
    if x.dtype().is_complex() {
        return Err(Error::dtype(op, x.dtype(), "real numbers: complex ones have no order; take abs(), .real or .imag first"));
    }
    Ok(())
}

/// Whether nothing is recorded for `x`, and no transformation is active on it.
pub(super) fn is_constant(x: &Variable) -> bool {
    !(x.is_lifted() || x.is_tracked() && is_recording())
}

fn positions(x: &Variable, axis: usize, of: Order) -> Result<Variable> {
    ordered("sort", x)?;
    apply(&ARGSORT, &[(&x.detach()).into()], &Positions { axis, of })
}

/// `x` and its axis. A 0-d array becomes one element, and `None` flattens.
pub(super) fn lined(op: &str, x: &Variable, axis: Option<isize>) -> Result<(Variable, usize)> {
    match axis {
        Some(axis) if x.ndim() > 0 => Ok((x.clone(), normalize_axis(op, axis, x.ndim())?)),
        Some(axis) if !(-1..=0).contains(&axis) => normalize_axis(op, axis, 0).map(|axis| (x.clone(), axis)),
        _ => Ok((flatten(x)?, 0)),
    }
}

/// The positions that sort `x` along `axis` (`None`: flattened), as int64. Equal elements keep their order, NaN comes last.
///
/// # Errors
/// `Axis` when the axis is out of range.
pub fn argsort(x: &Variable, axis: Option<isize>, descending: bool) -> Result<Variable> {
    let (x, axis) = lined("argsort", x, axis)?;
    positions(&x, axis, Order::Sorted { descending })
}

/// `x` sorted along `axis` (`None`: flattened). Equal elements keep their order, NaN comes last.
///
/// # Errors
/// `Axis` when the axis is out of range.
pub fn sort(x: &Variable, axis: Option<isize>, descending: bool) -> Result<Variable> {
    if x.ndim() == 0 && axis.is_some() {
        return reshape_to(&sort(&flatten(x)?, axis, descending)?, &[]);
    }
    let (x, axis) = lined("sort", x, axis)?;
    if x.ndim() > 0 && is_constant(&x) {
        ordered("sort", &x)?;
        return apply(&SORTED, &[(&x).into()], &Positions { axis, of: Order::Sorted { descending } });
    }
    at_positions(&x, &positions(&x, axis, Order::Sorted { descending })?, axis)
}

/// The `k` largest elements along `axis` in descending order (or the smallest, in ascending order), and their positions. NaN counts as the
/// largest.
///
/// # Errors
/// `Axis` when the axis is out of range, `Value` when there are fewer than `k` elements.
pub fn topk(x: &Variable, k: i64, axis: isize, largest: bool) -> Result<(Variable, Variable)> {
    let (lines, axis) = lined("topk", x, Some(axis))?;
    let n = lines.shape()[axis];
    let count = usize::try_from(k).ok().filter(|&k| k <= n);
    let count = count
        .ok_or_else(|| Error::Value(format!("topk: k is {k}, expected 0 to {n}: the size of axis {axis} of shape {}", show_shape(x.shape()))))?;
    let at = positions(&lines, axis, Order::Top { count, largest })?;
    let values = at_positions(&lines, &at, axis)?;
    if x.ndim() == 0 && count == 1 {
        return Ok((reshape_to(&values, &[])?, reshape_to(&at, &[])?));
    }
    Ok((values, at))
}

/// The positions of a partition: see [`partition`].
///
/// # Errors
/// As [`partition`].
pub fn argpartition(x: &Variable, kth: &[isize], axis: Option<isize>) -> Result<Variable> {
    let (x, axis) = lined("partition", x, axis)?;
    let n = x.shape()[axis].cast_signed();
    let mut ranks = Vec::new();
    for &k in kth {
        if x.array().size() == 0 {
            continue;
        }
        let at = usize::try_from(if k < 0 { k + n } else { k }).ok().filter(|&r| r < n.cast_unsigned());
        ranks.push(at.ok_or_else(|| Error::Value(format!("partition: kth is {k}, out of bounds for axis {axis} with size {n}")))?);
    }
    ranks.sort_unstable();
    ranks.dedup();
    positions(&x, axis, Order::Partition { ranks })
}

/// `x` with the elements of the ranks `kth` at their sorted positions: smaller elements before, larger ones after them.
///
/// # Errors
/// `Axis` when the axis is out of range, `Value` when a rank is.
pub fn partition(x: &Variable, kth: &[isize], axis: Option<isize>) -> Result<Variable> {
    if x.ndim() == 0 && axis.is_some() {
        return reshape_to(&partition(&flatten(x)?, kth, axis)?, &[]);
    }
    let at = argpartition(x, kth, axis)?;
    let (x, axis) = lined("partition", x, axis)?;
    at_positions(&x, &at, axis)
}

/// The elements of `ranks` (ascending, distinct, in range) along the last axis.
///
/// # Errors
/// Those of recording.
pub(super) fn ranked(x: &Variable, ranks: &[usize]) -> Result<Variable> {
    let axis = x.ndim() - 1;
    at_positions(x, &positions(x, axis, Order::Ranks { ranks: ranks.to_vec() })?, axis)
}

/// For each element, the largest (or smallest) element up to it along `axis`. The last among equals gets the gradient.
///
/// # Errors
/// `Axis` when the axis is out of range.
pub fn running_extremum(op: &str, x: &Variable, axis: Option<isize>, largest: bool) -> Result<Variable> {
    let (lines, along) = lined(op, x, axis)?;
    let out = at_positions(&lines, &positions(&lines, along, Order::Running { largest })?, along)?;
    if axis.is_some() && x.ndim() == 0 { reshape_to(&out, &[]) } else { Ok(out) }
}

/// The positions at which `values` would be inserted into `sorted` to keep its order: before equal elements, or after them with `right`. If
/// there are more axes, rows are searched separately.
///
/// # Errors
/// `Shape` when `sorted` has no axis, or its leading axes are not those of `values`.
pub fn searchsorted(sorted: &Variable, values: &Variable, right: bool, sorter: Option<&Variable>) -> Result<Variable> {
    const NAME: &str = "searchsorted";
    let batch = sorted.ndim().saturating_sub(1);
    let fits = sorted.ndim() == 1 || (sorted.ndim() == values.ndim() && sorted.shape()[..batch] == values.shape()[..batch]);
    if sorted.ndim() == 0 || !fits {
        let (a, b) = (show_shape(sorted.shape()), show_shape(values.shape()));
        return Err(Error::Shape(format!("{NAME}: a sorted array of shape {a} and values of shape {b}: expected one axis, or equal leading axes")));
    }
    let sorted = match sorter {
        None => sorted.clone(),
        Some(order) => super::take_along_axis(&sorted.detach(), order, Some(-1))?,
    };
    let dtype = sorted.dtype().promote(values.dtype());
    ordered(NAME, &sorted)?;
    ordered(NAME, values)?;
    let (a, b) = (astype(&sorted.detach(), dtype)?, astype(&values.detach(), dtype)?);
    apply(&SEARCHSORTED, &[(&a).into(), (&b).into()], &Side { right })
}

/// The bin of each element: the number of edges that are less than or equal to it (less than it with `right`). Edges may be descending.
///
/// # Errors
/// `Value` when the edges neither ascend nor descend, `Shape` when they do not have one axis.
pub fn digitize(x: &Variable, bins: &Variable, right: bool) -> Result<Variable> {
    if bins.ndim() != 1 {
        return Err(Error::Shape(format!("digitize: bins have shape {}, expected one axis", show_shape(bins.shape()))));
    }
    let edges: Vec<f64> = astype(&bins.detach(), DType::F64)?.values("digitize")?.to_vec();
    if edges.windows(2).all(|w| w[0] <= w[1]) {
        return searchsorted(bins, x, !right, None);
    }
    if edges.windows(2).all(|w| w[0] >= w[1]) {
        let count = i64::try_from(edges.len()).unwrap_or(i64::MAX);
        return subtract(count, &searchsorted(&flip(bins, None)?, x, right, None)?);
    }
    Err(Error::Value("digitize: bins must ascend or descend".to_owned()))
}

/// The side by name.
fn side(a: &Args<'_>, i: usize) -> Result<bool> {
    match a.text(i)? {
        "left" => Ok(false),
        "right" => Ok(true),
        other => Err(Error::Value(format!("{}: side must be 'left' or 'right', got '{other}'", a.name()))),
    }
}

fn axis(a: &Args<'_>, i: usize) -> Result<Option<isize>> {
    if a.is_none(i) { Ok(None) } else { a.axis(i).map(Some) }
}

fn call_topk(a: &Args<'_>) -> Result<Value> {
    a.flag(4)?;
    let (values, at) = topk(&a.variable(0)?, a.int(1)?, a.axis(2)?, a.flag(3)?)?;
    Ok(vec![values, at].into())
}

fn call_searchsorted(a: &Args<'_>) -> Result<Value> {
    let sorter = a.opt_variable(3)?;
    let sorted = a.variable(0)?;
    // A number has the precision of the array beside it.
    let values = match a.operand(1)? {
        Operand::Variable(v) => v.clone(),
        Operand::Scalar(s) => scalar(s, s.promote(sorted.dtype())),
    };
    Ok(searchsorted(&sorted, &values, side(a, 2)?, sorter.as_ref())?.into())
}

/// `axis=default` that may be None.
const fn opt_axis(default: Default) -> Param {
    Param { alias: Some("dim"), ..Param::new("axis", Kind::OptInt).or(default) }
}

/// For sort: `dim=` is a different function of PyTorch, which returns a pair.
const VALUES: &[Param] = &[
    Param::array("x"),
    Param::new("axis", Kind::OptInt).or(Default::Int(-1)),
    Param::flag("descending", false).named(),
    Param::flag("stable", true).named(),
];
const SORT: &[Param] =
    &[Param::array("x"), opt_axis(Default::Int(-1)), Param::flag("descending", false).named(), Param::flag("stable", true).named()];

const PARTITION: &[Param] = &[Param::array("x"), Param::new("kth", Kind::Ints), opt_axis(Default::Int(-1))];

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "sort",
        doc: "x sorted along an axis (None: flattened). Equal elements stay in their order, and NaN comes last. Sorting is always stable.\n\n>>> tg.sort(tg.Variable([3.0, 1.0, 2.0]))\nVariable([1., 2., 3.])\n",
        params: VALUES,
        call: |a| Ok(sort(&a.variable(0)?, axis(a, 1)?, a.flag(2)?)?.into()),
        cost: 30.0,
        gradient: Gradient::Composite("g, put back where the elements came from"),
        samples: sort_samples,
        ..Entry::BASE
    },
    Entry {
        name: "argsort",
        doc: "The positions that sort x along an axis (None: flattened), as int64. Equal elements stay in their order, and NaN comes last.\n\n>>> tg.argsort(tg.Variable([3.0, 1.0, 2.0]))\nVariable([1, 2, 0])\n",
        params: SORT,
        call: |a| Ok(argsort(&a.variable(0)?, axis(a, 1)?, a.flag(2)?)?.into()),
        cost: 30.0,
        samples: sort_samples,
        ..Entry::BASE
    },
    Entry {
        name: "topk",
        doc: "The k largest elements along an axis in descending order, or the smallest in ascending order, and their positions. NaN is the largest.\n\n>>> tg.topk(tg.Variable([3.0, 1.0, 2.0]), 2)\nTopkResult(values=Variable([3., 2.]), indices=Variable([0, 2]))\n",
        results: &["values", "indices"],
        params: &[Param::array("x"), Param::new("k", Kind::Int), Param::axis(-1), Param::flag("largest", true), Param::flag("sorted", true)],
        call: call_topk,
        cost: 10.0,
        gradient: Gradient::Composite("g, put back where the elements came from"),
        samples: topk_samples,
        ..Entry::BASE
    },
    Entry {
        name: "partition",
        doc: "x with the elements of the ranks kth where they stand in sorted order: smaller ones before, larger ones behind, along an axis (None: flattened).\n\n>>> tg.partition(tg.Variable([3.0, 1.0, 2.0]), 0)[0]\nVariable(1.)\n",
        params: PARTITION,
        call: |a| Ok(partition(&a.variable(0)?, a.ints(1)?, axis(a, 2)?)?.into()),
        cost: 10.0,
        gradient: Gradient::Composite("g, put back where the elements came from"),
        samples: partition_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "argpartition",
        doc: "The positions of a partition of x along an axis (None: flattened), as int64.\n\n>>> tg.argpartition(tg.Variable([3.0, 1.0, 2.0]), 0)[0]\nVariable(1)\n",
        params: PARTITION,
        call: |a| Ok(argpartition(&a.variable(0)?, a.ints(1)?, axis(a, 2)?)?.into()),
        cost: 10.0,
        samples: partition_samples,
        ..Entry::BASE
    },
    Entry {
        name: "searchsorted",
        doc: "Where each value would be inserted into a sorted array to keep its order, as int64: before equal elements, or behind them with side='right'. A sorter is the argsort of an array that is not sorted.\n\n>>> tg.searchsorted(tg.Variable([1.0, 2.0, 3.0]), 2.0)\nVariable(1)\n",
        params: &[
            Param::array("x1"),
            Param { alias: Some("v"), ..Param::array("x2") },
            Param::new("side", Kind::Text).or(Default::Text("left")),
            Param::new("sorter", Kind::OptArray).or(Default::None),
        ],
        call: call_searchsorted,
        cost: 10.0,
        samples: search_samples,
        ..Entry::BASE
    },
    Entry {
        name: "digitize",
        doc: "The bin of each element, as int64: how many of the edges are not above it, or below it with right=True. Edges may descend.\n\n>>> tg.digitize(tg.Variable([0.5, 1.0]), [0.0, 1.0])\nVariable([1, 2])\n",
        params: &[Param::array("x"), Param::array("bins"), Param::flag("right", false)],
        call: |a| Ok(digitize(&a.variable(0)?, &a.variable(1)?, a.flag(2)?)?.into()),
        cost: 10.0,
        samples: digitize_samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "cummax",
        doc: "The largest of the elements up to each one, along an axis. Of equals the last has the gradient; after a NaN all are NaN.\n\n>>> tg.cummax(tg.Variable([1.0, 3.0, 2.0]), axis=0)\nVariable([1., 3., 3.])\n",
        params: &[Param::array("x"), Param::axis(-1)],
        call: |a| Ok(running_extremum("cummax", &a.variable(0)?, Some(a.axis(1)?), true)?.into()),
        gradient: Gradient::Composite("g, added where the largest elements stand"),
        samples: running_samples,
        ..Entry::BASE
    },
    Entry {
        name: "cummin",
        doc: "The smallest of the elements up to each one, along an axis. Of equals the last has the gradient; after a NaN all are NaN.\n\n>>> tg.cummin(tg.Variable([2.0, 3.0, 1.0]), axis=0)\nVariable([2., 2., 1.])\n",
        params: &[Param::array("x"), Param::axis(-1)],
        call: |a| Ok(running_extremum("cummin", &a.variable(0)?, Some(a.axis(1)?), false)?.into()),
        gradient: Gradient::Composite("g, added where the smallest elements stand"),
        samples: running_samples,
        ..Entry::BASE
    },
];

fn sort_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(311);
    let cases: [(&[usize], Arg, bool); 7] = [
        (&[5], Arg::Int(-1), false),
        (&[3, 4], Arg::Int(0), false),
        (&[3, 4], Arg::Int(1), true),
        (&[2, 3, 2], Arg::Int(1), true),
        (&[2, 3], Arg::None, false),
        (&[], Arg::Int(-1), false),
        (&[0, 3], Arg::Int(0), false),
    ];
    cases.into_iter().map(|(shape, axis, down)| call_with(REAL.strided(draw, shape), [axis, Arg::Bool(down), Arg::Bool(true)])).collect()
}

fn topk_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(312);
    let cases: [(&[usize], i64, i64, bool); 4] = [(&[5], 2, -1, true), (&[3, 4], 2, 0, false), (&[3, 4], 4, 1, true), (&[2, 3], 0, 1, true)];
    cases
        .into_iter()
        .map(|(shape, k, axis, largest)| call_with(REAL.strided(draw, shape), [Arg::Int(k), Arg::Int(axis), Arg::Bool(largest), Arg::Bool(true)]))
        .collect()
}

fn partition_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(313);
    vec![
        call_with(REAL.strided(draw, &[5]), [ints(&[2]), Arg::Int(-1)]),
        call_with(REAL.strided(draw, &[4, 3]), [ints(&[0, -1]), Arg::Int(0)]),
        call_with(REAL.strided(draw, &[2, 3]), [ints(&[3]), Arg::None]),
    ]
}

fn search_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(314);
    let sorted: Variable = Array::from_slice(&[-1.0, 0.0, 0.0, 2.0], &[4]).into();
    let rest = |values: Variable, side: &str, sorter: Arg| [Arg::Variable(values), Arg::Text(side.to_owned()), sorter];
    vec![
        call_with(sorted.clone(), rest(REAL.array(draw, &[2, 3]), "left", Arg::None)),
        call_with(sorted.clone(), rest(sorted, "right", Arg::None)),
        call_with(Array::from_slice(&[3.0, 1.0, 2.0], &[3]).into(), rest(REAL.array(draw, &[]), "left", Arg::Variable(indices(&[1, 2, 0], &[3])))),
    ]
}

fn digitize_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(315);
    let edges = |v: &[f64]| Arg::Variable(Array::from_slice(v, &[v.len()]).into());
    vec![
        call_with(REAL.array(draw, &[2, 3]), [edges(&[-1.0, 0.0, 2.0]), Arg::Bool(false)]),
        call_with(REAL.array(draw, &[4]), [edges(&[2.0, 0.0, -1.0]), Arg::Bool(true)]),
    ]
}

fn running_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(316);
    [(&[5][..], 0), (&[3, 4], 0), (&[3, 4], -1), (&[0, 2], 0), (&[], 0)]
        .map(|(shape, axis)| call_with(REAL.strided(draw, shape), [Arg::Int(axis)]))
        .into()
}
