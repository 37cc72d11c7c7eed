//! Arrays put together and cut apart.

use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::samples::{Draw, REAL, call_with, ints};
use super::shape::{astype, atleast_1d, atleast_2d, atleast_3d, flatten, reshape_to};
use super::window::{Cut, GETITEM, Window, view};
use crate::array::{Array, DType, normalize_axis};
use crate::error::{Error, Result, show_shape};
use crate::kernel::region;
use crate::tape::{Attrs, Grads, Op, Rule, Step, Variable, record, record_many};

static CONCAT: Op = Op { name: "concat", rule: Rule::Vjp(concat_vjp) };
static STACK: Op = Op { name: "stack", rule: Rule::Vjp(stack_vjp) };
static SPLIT: Op = Op { name: "split", rule: Rule::Vjp(split_vjp) };
static UNSTACK: Op = Op { name: "unstack", rule: Rule::Vjp(unstack_vjp) };

/// All in one dtype.
fn promoted(op: &str, arrays: &[Variable]) -> Result<Vec<Variable>> {
    let first = arrays.first().ok_or_else(|| Error::Value(format!("{op}: at least one array is needed")))?;
    let dtype = arrays.iter().fold(first.dtype(), |d: DType, x| d.promote(x.dtype()));
    arrays.iter().map(|x| astype(x, dtype)).collect()
}

fn int(n: usize) -> isize {
    n.cast_signed()
}

/// The axis, and where each piece begins; the last number is the end.
fn bounds(step: &Step<'_>) -> (usize, Vec<usize>) {
    let ints = step.attrs().ints();
    (ints[0].cast_unsigned(), ints[1..].iter().map(|i| i.cast_unsigned()).collect())
}

fn bounds_attrs(axis: usize, bounds: &[usize]) -> Attrs {
    Attrs::Ints(std::iter::once(axis).chain(bounds.iter().copied()).map(int).collect())
}

/// Arrays side by side along an axis; `None` flattens them first. Dtypes promote.
///
/// # Errors
/// `Shape` when they do not fit, naming the one that does not; `Axis` when the axis is out of range.
pub fn concat(arrays: &[Variable], axis: Option<isize>) -> Result<Variable> {
    let Some(axis) = axis else {
        let flat: Vec<Variable> = arrays.iter().map(flatten).collect::<Result<_>>()?;
        return concat(&flat, Some(0));
    };
    let arrays = promoted("concat", arrays)?;
    let first = arrays[0].shape();
    if first.is_empty() {
        return Err(Error::Shape("concat: array 0 is 0-d, which cannot be joined along an axis; use stack or axis=None".to_owned()));
    }
    let axis = normalize_axis("concat", axis, first.len())?;
    for (i, x) in arrays.iter().enumerate() {
        let fits = x.ndim() == first.len() && (0..first.len()).all(|a| a == axis || x.shape()[a] == first[a]);
        if !fits {
            let (got, first) = (show_shape(x.shape()), show_shape(first));
            return Err(Error::Shape(format!(
                "concat: array {i} has shape {got}, which does not fit array 0 of shape {first}: all sizes but that of axis {axis} must agree"
            )));
        }
    }
    join(&arrays.iter().collect::<Vec<_>>(), axis)
}

fn join(arrays: &[&Variable], axis: usize) -> Result<Variable> {
    let parts: Vec<Array> = arrays.iter().map(|x| x.array().clone()).collect();
    record(&CONCAT, arrays, region::concat(&parts, axis), |s| {
        let mut bounds = vec![0];
        for p in &parts {
            bounds.push(bounds[bounds.len() - 1] + p.shape()[axis]);
        }
        s.attrs(bounds_attrs(axis, &bounds));
    })
}

fn concat_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let (axis, bounds) = bounds(step);
    let piece = |i: usize| piece(&g, axis, bounds[i], bounds[i + 1]);
    (0..bounds.len() - 1).map(|i| if step.needs(i) { piece(i).map(Some) } else { Ok(None) }).collect()
}

fn piece(x: &Variable, axis: usize, from: usize, to: usize) -> Result<Variable> {
    view(&GETITEM, x, Window::along(x.shape(), axis, Cut { start: from, count: to - from, step: 1 }))
}

/// Arrays of one shape along a new axis.
///
/// # Errors
/// `Shape` when shapes differ, naming the array; `Axis` when the axis is out of range.
pub fn stack(arrays: &[Variable], axis: isize) -> Result<Variable> {
    let arrays = promoted("stack", arrays)?;
    let first = arrays[0].shape();
    if let Some((i, x)) = arrays.iter().enumerate().find(|(_, x)| x.shape() != first) {
        let (got, first) = (show_shape(x.shape()), show_shape(first));
        return Err(Error::Shape(format!("stack: array {i} has shape {got}, but array 0 has {first}: all shapes must agree")));
    }
    let axis = normalize_axis("stack", axis, first.len() + 1)?;
    join_new(&arrays.iter().collect::<Vec<_>>(), axis)
}

fn join_new(arrays: &[&Variable], axis: usize) -> Result<Variable> {
    let parts: Vec<Array> = arrays.iter().map(|x| x.array().with_layout(x.array().layout().insert_axis(axis))).collect();
    record(&STACK, arrays, region::concat(&parts, axis), |s| s.attrs(Attrs::Ints([int(axis)].into_iter().collect())))
}

fn stack_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let g = step.take_g();
    let axis = step.attrs().ints()[0].cast_unsigned();
    (0..step.input_count()).map(|i| if step.needs(i) { view(&GETITEM, &g, at(&g, axis, i)).map(Some) } else { Ok(None) }).collect()
}

fn at(x: &Variable, axis: usize, i: usize) -> Window {
    let Window::Region { cuts, mut shape } = Window::along(x.shape(), axis, Cut::one(i)) else { unreachable!("a cut makes a region") };
    shape.remove(axis);
    Window::Region { cuts, shape }
}

/// The cotangents of all outputs; zeros for those that nothing depends on.
fn all_cotangents(step: &Step<'_>, count: usize) -> Vec<Variable> {
    let zeros = |i| {
        let meta = step.out_meta(i);
        Array::zeros(&[], meta.dtype).broadcast_to("split", &meta.shape).map(Variable::from)
    };
    let given = |i| step.cotangents().get(i).cloned().flatten();
    (0..count).filter_map(|i| given(i).or_else(|| zeros(i).ok())).collect()
}

/// Pieces between neighbouring `bounds`, which rise from 0 to the size of `axis`: one operation, whose gradient is one
/// array put together of all pieces' gradients.
fn cut(x: &Variable, axis: usize, bounds: &[usize]) -> Result<Vec<Variable>> {
    let piece = |w: &[usize]| x.array().with_layout(x.array().layout().slice(axis, w[0], w[1] - w[0], 1));
    record_many(&SPLIT, &[x], bounds.windows(2).map(piece).collect(), |s| s.attrs(bounds_attrs(axis, bounds)))
}

fn split_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let (axis, bounds) = bounds(step);
    let parts = all_cotangents(step, bounds.len() - 1);
    Ok(Grads::from_iter([Some(join(&parts.iter().collect::<Vec<_>>(), axis)?)]))
}

/// How to cut an axis.
#[derive(Clone, Copy, Debug)]
pub enum Sections<'a> {
    /// Into so many pieces.
    Count(i64),
    /// Before these positions, as slices understand them.
    At(&'a [isize]),
}

fn cut_sections(op: &str, x: &Variable, sections: Sections<'_>, axis: isize, even: bool) -> Result<Vec<Variable>> {
    let axis = normalize_axis(op, axis, x.ndim())?;
    let n = x.shape()[axis];
    match sections {
        Sections::Count(count) => {
            let count = usize::try_from(count)
                .ok()
                .filter(|&c| c > 0)
                .ok_or_else(|| Error::Value(format!("{op}: the number of sections must be larger than 0, got {count}")))?;
            if even && !n.is_multiple_of(count) {
                return Err(Error::Value(format!("{op}: axis {axis} of size {n} cannot be cut into {count} equal sections; array_split can")));
            }
            // NumPy's: the first n mod count pieces are one longer.
            let (size, longer) = (n / count, n % count);
            cut(x, axis, &(0..=count).map(|i| i * size + i.min(longer)).collect::<Vec<_>>())
        }
        Sections::At(places) => {
            let ends = places.iter().map(|&p| Some(p)).chain([None]);
            let starts = std::iter::once(None).chain(places.iter().map(|&p| Some(p)));
            let cuts: Vec<Cut> = starts.zip(ends).map(|(a, b)| Cut::slice(a, b, None, n)).collect::<Result<_>>()?;
            let mut bounds = vec![0];
            bounds.extend(cuts.iter().scan(0, |end, c| {
                *end += c.count;
                Some(*end)
            }));
            let in_order = bounds[bounds.len() - 1] == n && cuts.iter().zip(&bounds).all(|(c, &b)| c.count == 0 || c.start == b);
            if in_order { cut(x, axis, &bounds) } else { cuts.into_iter().map(|c| view(&GETITEM, x, Window::along(x.shape(), axis, c))).collect() }
        }
    }
}

/// The pieces of `x` along an axis: equal sections, or cut before given positions. Views.
///
/// # Errors
/// `Value` when the axis cannot be cut into equal sections, `Axis` when it is out of range.
pub fn split(x: &Variable, sections: Sections<'_>, axis: isize) -> Result<Vec<Variable>> {
    cut_sections("split", x, sections, axis, true)
}

/// As [`split`], but sections may differ by one.
///
/// # Errors
/// `Value` unless there are sections, `Axis` when the axis is out of range.
pub fn array_split(x: &Variable, sections: Sections<'_>, axis: isize) -> Result<Vec<Variable>> {
    cut_sections("array_split", x, sections, axis, false)
}

/// The parts of `x` at each position of an axis, without that axis. Views.
///
/// # Errors
/// `Axis` when the axis is out of range.
pub fn unstack(x: &Variable, axis: isize) -> Result<Vec<Variable>> {
    let axis = normalize_axis("unstack", axis, x.ndim())?;
    let outs = (0..x.shape()[axis]).map(|i| x.array().with_layout(x.array().layout().select(axis, i))).collect();
    record_many(&UNSTACK, &[x], outs, |s| s.attrs(Attrs::Ints([int(axis)].into_iter().collect())))
}

fn unstack_vjp(step: &mut Step<'_>) -> Result<Grads> {
    let axis = step.attrs().ints()[0].cast_unsigned();
    let count = step.meta(0).shape[axis];
    let parts = all_cotangents(step, count);
    Ok(Grads::from_iter([Some(join_new(&parts.iter().collect::<Vec<_>>(), axis)?)]))
}

/// Side by side along the second axis; 1-d arrays one behind the other.
///
/// # Errors
/// As [`concat`].
pub fn hstack(arrays: &[Variable]) -> Result<Variable> {
    let arrays: Vec<Variable> = arrays.iter().map(atleast_1d).collect::<Result<_>>()?;
    let axis = isize::from(arrays.first().is_some_and(|x| x.ndim() > 1));
    concat(&arrays, Some(axis))
}

/// One below the other; 1-d arrays are rows.
///
/// # Errors
/// As [`concat`].
pub fn vstack(arrays: &[Variable]) -> Result<Variable> {
    concat(&arrays.iter().map(atleast_2d).collect::<Result<Vec<_>>>()?, Some(0))
}

/// Along the third axis.
///
/// # Errors
/// As [`concat`].
pub fn dstack(arrays: &[Variable]) -> Result<Variable> {
    concat(&arrays.iter().map(atleast_3d).collect::<Result<Vec<_>>>()?, Some(2))
}

/// Side by side along the second axis; 1-d arrays are columns.
///
/// # Errors
/// As [`concat`].
pub fn column_stack(arrays: &[Variable]) -> Result<Variable> {
    let column = |x: &Variable| if x.ndim() < 2 { reshape_to(x, &[x.array().size(), 1]) } else { Ok(x.clone()) };
    concat(&arrays.iter().map(column).collect::<Result<Vec<_>>>()?, Some(1))
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "concat",
        aliases: &["concatenate", "cat"],
        doc: "Arrays side by side along an axis; axis=None flattens them first. Dtypes promote.\n\n>>> tg.concat([tg.Variable([1.0, 2.0]), tg.Variable([3.0])])\nVariable([1., 2., 3.])\n",
        params: &[Param::new("arrays", Kind::Arrays), Param { alias: Some("dim"), ..Param::new("axis", Kind::OptInt).or(Default::Int(0)) }],
        call: call_concat,
        gradient: Gradient::Rule("split(g)"),
        linear: true,
        method: false,
        samples: concat_samples,
        ..Entry::BASE
    },
    Entry {
        name: "stack",
        doc: "Arrays of one shape along a new axis.\n\n>>> tg.stack([tg.Variable([1.0, 2.0]), tg.Variable([3.0, 4.0])], axis=1)\nVariable([[1., 3.],\n          [2., 4.]])\n",
        params: &[Param::new("arrays", Kind::Arrays), Param::axis(0)],
        call: |a| Ok(stack(a.variables(0)?, a.axis(1)?)?.into()),
        gradient: Gradient::Rule("unstack(g, axis)"),
        linear: true,
        method: false,
        samples: stack_samples,
        ..Entry::BASE
    },
    Entry {
        name: "split",
        doc: "The pieces of x along an axis: so many equal sections, or cut before the given positions. Views.\n\n>>> tg.split(tg.Variable([1.0, 2.0, 3.0]), [1])\n[Variable([1.]), Variable([2., 3.])]\n",
        params: &[Param::array("x"), Param::new("indices_or_sections", Kind::Sections), Param::axis(0)],
        call: |a| Ok(split(&a.variable(0)?, sections(a)?, a.axis(2)?)?.into()),
        gradient: Gradient::Rule("concat(g, axis)"),
        linear: true,
        samples: || split_samples(true),
        ..Entry::BASE
    },
    Entry {
        name: "array_split",
        doc: "As split, but sections may differ in size by one.\n\n>>> tg.array_split(tg.Variable([1.0, 2.0, 3.0]), 2)\n[Variable([1., 2.]), Variable([3.])]\n",
        params: &[Param::array("x"), Param::new("indices_or_sections", Kind::Sections), Param::axis(0)],
        call: |a| Ok(array_split(&a.variable(0)?, sections(a)?, a.axis(2)?)?.into()),
        gradient: Gradient::Rule("concat(g, axis)"),
        linear: true,
        method: false,
        samples: || split_samples(false),
        ..Entry::BASE
    },
    Entry {
        name: "unstack",
        aliases: &["unbind"],
        doc: "The parts of x at each position of an axis, without that axis. Views.\n\n>>> tg.unstack(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\n[Variable([1., 2.]), Variable([3., 4.])]\n",
        params: &[Param::array("x"), Param::axis(0)],
        call: |a| Ok(unstack(&a.variable(0)?, a.axis(1)?)?.into()),
        gradient: Gradient::Rule("stack(g, axis)"),
        linear: true,
        samples: unstack_samples,
        ..Entry::BASE
    },
    Entry {
        name: "hstack",
        doc: "Arrays side by side along the second axis; 1-d ones one behind the other.\n\n>>> tg.hstack([tg.Variable([1.0]), tg.Variable([2.0])])\nVariable([1., 2.])\n",
        params: &[Param::new("arrays", Kind::Arrays)],
        call: |a| Ok(hstack(a.variables(0)?)?.into()),
        gradient: Gradient::Composite("split(g)"),
        linear: true,
        method: false,
        samples: stacks,
        ..Entry::BASE
    },
    Entry {
        name: "vstack",
        doc: "Arrays one below the other; 1-d ones are rows.\n\n>>> tg.vstack([tg.Variable([1.0, 2.0]), tg.Variable([3.0, 4.0])])\nVariable([[1., 2.],\n          [3., 4.]])\n",
        params: &[Param::new("arrays", Kind::Arrays)],
        call: |a| Ok(vstack(a.variables(0)?)?.into()),
        gradient: Gradient::Composite("split(g)"),
        linear: true,
        method: false,
        samples: stacks,
        ..Entry::BASE
    },
    Entry {
        name: "dstack",
        doc: "Arrays one behind the other along the third axis.\n\n>>> tg.dstack([tg.Variable([1.0]), tg.Variable([2.0])]).shape\n(1, 1, 2)\n",
        params: &[Param::new("arrays", Kind::Arrays)],
        call: |a| Ok(dstack(a.variables(0)?)?.into()),
        gradient: Gradient::Composite("split(g)"),
        linear: true,
        method: false,
        samples: stacks,
        ..Entry::BASE
    },
    Entry {
        name: "column_stack",
        doc: "Arrays side by side along the second axis; 1-d ones are columns.\n\n>>> tg.column_stack([tg.Variable([1.0, 2.0]), tg.Variable([3.0, 4.0])])\nVariable([[1., 3.],\n          [2., 4.]])\n",
        params: &[Param::new("arrays", Kind::Arrays)],
        call: |a| Ok(column_stack(a.variables(0)?)?.into()),
        gradient: Gradient::Composite("split(g)"),
        linear: true,
        method: false,
        samples: stacks,
        ..Entry::BASE
    },
];

fn call_concat(a: &Args<'_>) -> Result<Value> {
    let axis = if a.is_none(1) { None } else { Some(a.axis(1)?) };
    Ok(concat(a.variables(0)?, axis)?.into())
}

fn sections<'a>(a: &Args<'a>) -> Result<Sections<'a>> {
    if let Ok(places) = a.ints(1) { Ok(Sections::At(places)) } else { a.int(1).map(Sections::Count) }
}

fn many(shapes: &[&[usize]], rest: &[Arg]) -> Sample {
    let draw = &mut Draw::new(51);
    Sample { args: std::iter::once(Arg::Variables(shapes.iter().map(|s| REAL.strided(draw, s)).collect())).chain(rest.iter().cloned()).collect() }
}

fn concat_samples() -> Vec<Sample> {
    vec![
        many(&[&[2, 3], &[1, 3]], &[Arg::Int(0)]),
        many(&[&[2, 3], &[2, 0], &[2, 2]], &[Arg::Int(-1)]),
        many(&[&[2, 1, 3], &[2, 2, 3]], &[Arg::Int(1)]),
        many(&[&[], &[2, 2]], &[Arg::None]),
        many(&[&[4]], &[Arg::Int(0)]),
        many(&[&[0], &[3]], &[Arg::Int(0)]),
    ]
}

fn stack_samples() -> Vec<Sample> {
    vec![
        many(&[&[], &[]], &[Arg::Int(0)]),
        many(&[&[2, 3], &[2, 3], &[2, 3]], &[Arg::Int(1)]),
        many(&[&[2, 3], &[2, 3]], &[Arg::Int(-1)]),
        many(&[&[0], &[0]], &[Arg::Int(0)]),
    ]
}

fn stacks() -> Vec<Sample> {
    vec![many(&[&[2], &[2]], &[]), many(&[&[2, 3], &[2, 3]], &[]), many(&[&[2, 3, 1]], &[])]
}

fn split_samples(even: bool) -> Vec<Sample> {
    let draw = &mut Draw::new(52);
    let n = if even { 2 } else { 4 };
    let at = |draw: &mut Draw, shape: &[usize], places: &[isize], axis| call_with(REAL.strided(draw, shape), [ints(places), Arg::Int(axis)]);
    vec![
        call_with(REAL.strided(draw, &[6, 2]), [Arg::Int(n), Arg::Int(0)]),
        call_with(REAL.array(draw, &[2, 4]), [Arg::Int(n), Arg::Int(-1)]),
        at(draw, &[5, 2], &[1, 3], 0),
        at(draw, &[2, 5], &[2, 2, 9], 1),
        at(draw, &[5], &[3, 1, -1], 0),
        at(draw, &[0, 2], &[1], 0),
        at(draw, &[3], &[], 0),
    ]
}

fn unstack_samples() -> Vec<Sample> {
    let draw = &mut Draw::new(53);
    let cases: [(&[usize], i64); 4] = [(&[3], 0), (&[2, 3], 1), (&[2, 3, 2], -2), (&[2, 0], 0)];
    cases.into_iter().map(|(shape, axis)| call_with(REAL.strided(draw, shape), [Arg::Int(axis)])).collect()
}
