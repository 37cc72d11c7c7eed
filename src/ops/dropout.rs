//! Dropout, which zeroes random elements, and embedding, which looks up rows of a table.

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::conv::{flat, not_floating};
use super::gather::{positions, refuse_negative, rows_from_start};
use super::random::default_generator;
use super::reduction::floating;
use super::registry::{Arg, Default, Entry, Gradient, Kind, Param, Sample};
use super::samples::{Draw, REAL, indices};
use super::{annihilate, equal, multiply, where_};
use crate::array::{Array, Shape, check_memory};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel::gather::{self as kernel, Places, SKIP};
use crate::kernel::math::Real;
use crate::kernel::random::Stream;
use crate::tape::{Batch, Jvp, Operand, Primitive, Variable, Vjp, apply, capture};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&DROPOUT, &EMBEDDING];

/// Which elements are kept: a position in a stream of random numbers, which is saved instead of a mask.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    stream: Stream,
    probability: f64,
}
crate::attributes!(Kept);

/// The stream position that an array holds.
fn stream_at(place: &Array) -> Stream {
    let words = place.to_vec::<i64>();
    Stream { seed: words[0].cast_unsigned(), start: words[1].cast_unsigned() }
}

/// Dropout is linear and self-adjoint.
static DROPOUT: Primitive = Primitive {
    name: "dropout",
    eval: |call| {
        let (kept, x) = (call.attrs::<Kept>(), call.array(0).contiguous());
        let stream = if call.inputs().len() > 1 { stream_at(call.array(1)) } else { kept.stream };
        check_memory(call.name(), x.shape(), x.dtype())?;
        let out = call.out(x.shape(), x.dtype());
        dispatch!(float x.dtype(), T => stream.keep::<T>(kept.probability, <T as Real>::lit(1.0 / kept.probability), flat(&x), out.data_mut()),
            else not_floating());
        Ok(())
    },
    saves: |s| {
        if s.input_count() > 1 {
            s.input(1);
        }
    },
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        let place = (ctx.input_count() > 1).then(|| ctx.input(1));
        let inputs: SmallVec<[Operand<'_>; 2]> = std::iter::once(&g).chain(&place).map(Operand::from).collect();
        ctx.add(0, apply(&DROPOUT, &inputs, ctx.attrs::<Kept>())?)
    }),
    jvp: Jvp::Rule(|ctx| match &ctx.tangents[0] {
        Some(t) => {
            let inputs: SmallVec<[Operand<'_>; 2]> = std::iter::once(t.into()).chain(ctx.inputs[1..].iter().copied()).collect();
            Ok(smallvec![apply(ctx.primitive, &inputs, ctx.attrs)?])
        }
        None => Ok(smallvec![]),
    }),
    // All samples share one mask, also when the batch consists of cotangents.
    batch: Batch::Rule(|ctx| {
        let x = ctx.array(0);
        let ones: Variable = Array::ones(&x.shape()[1..], x.dtype()).into();
        let inputs: SmallVec<[Operand<'_>; 2]> = std::iter::once((&ones).into()).chain(ctx.inputs[1..].iter().copied()).collect();
        Ok(smallvec![annihilate(&apply(&DROPOUT, &inputs, ctx.attrs::<Kept>())?, x)?])
    }),
    ..Primitive::BASE
};

/// `x` where each element is zeroed with probability `p`, and all others are divided by 1 - p. With `mask_axes`, elements with the same
/// index along the first axes are kept or zeroed together.
///
/// # Errors
/// `Value` unless 0 ≤ p ≤ 1.
pub fn dropout(x: &Variable, p: f64, mask_axes: Option<i64>) -> Result<Variable> {
    if !(0.0..=1.0).contains(&p) {
        return Err(Error::Value(format!("dropout: the probability is {p}, expected 0 to 1")));
    }
    let x = floating("dropout", x)?;
    if let Some(n) = mask_axes {
        let n = usize::try_from(n).unwrap_or(0).min(x.ndim());
        let shape: Shape = x.shape()[..n].iter().copied().chain(std::iter::repeat_n(1, x.ndim() - n)).collect();
        let mask = dropout(&Array::ones(&shape, x.dtype()).into(), p, None)?;
        return multiply(&x, &mask);
    }
    if p == 0.0 {
        return Ok(x);
    }
    if capture::is_on() {
        // The stream position differs from call to call, so a step of the program draws it.
        let place = default_generator().place(x.array().size())?;
        return apply(&DROPOUT, &[(&x).into(), (&place).into()], &Kept { stream: Stream { seed: 0, start: 0 }, probability: 1.0 - p });
    }
    let stream = default_generator().part(x.array().size());
    apply(&DROPOUT, &[(&x).into()], &Kept { stream, probability: 1.0 - p })
}

/// Rows of a table (input 0) at row numbers (input 1). The gradient goes to the rows in input 2.
static EMBEDDING: Primitive = Primitive {
    name: "embedding",
    eval: |call| {
        let (table, rows, places) = (call.array(0), call.array(1), call.attrs::<Places>());
        check_memory(call.name(), &places.out_shape(rows.shape()), table.dtype())?;
        call.give(kernel::gather(table, places, rows));
        Ok(())
    },
    saves: |s| s.input(2),
    vjp: Vjp::Rule(|ctx| {
        let (places, rows) = (ctx.attrs::<Places>(), ctx.input(2));
        let g = ctx.cotangent();
        if ctx.create_graph() {
            return ctx.add(0, super::gather::index_add(&g, places, &rows)?);
        }
        ctx.accumulate_part(0, |sum| kernel::add(sum, places, rows.array(), g.array()))
    }),
    jvp: Jvp::Rule(|ctx| match &ctx.tangents[0] {
        Some(t) => {
            let rows = ctx.input(2);
            Ok(smallvec![apply(&EMBEDDING, &[t.into(), (&rows).into(), (&rows).into()], ctx.attrs::<Places>())?])
        }
        None => Ok(smallvec![]),
    }),
    batch: Batch::Loop,
    ..Primitive::BASE
};

/// Rows of `table` (rows, width) at `index`, integers of any shape. The row `padding` gets no gradient.
///
/// # Errors
/// `Index` when an index is negative, too large or not an integer; `Shape` unless the table has two axes.
pub fn embedding(index: &Variable, table: &Variable, padding: Option<i64>) -> Result<Variable> {
    const NAME: &str = "embedding";
    if table.ndim() != 2 {
        return Err(Error::Shape(format!("{NAME}: the weight has shape {}, expected (rows, width)", show_shape(table.shape()))));
    }
    let count = table.shape()[0];
    if capture::is_on() && !index.is_lifted() {
        return embedding_seen(index, table, padding, count);
    }
    let all = positions(NAME, index, 0, count)?;
    if !index.is_lifted() && index.dtype() != crate::array::DType::Bool {
        refuse_negative(NAME, index.array(), count)?;
    }
    let rows: Variable = Array::from_slice(&all, index.shape()).into();
    let touched = match padding {
        None => rows.clone(),
        Some(p) => {
            let p = padding_row(p, count)?;
            let kept: Vec<i64> = all.iter().map(|r| if *r == p { SKIP } else { *r }).collect();
            Array::from_slice(&kept, index.shape()).into()
        }
    };
    look_up(table, &rows, &touched)
}

/// [`embedding`] in a recording: the checks of the indices become steps of the program.
#[cold]
fn embedding_seen(index: &Variable, table: &Variable, padding: Option<i64>, count: usize) -> Result<Variable> {
    const NAME: &str = "embedding";
    let rows = rows_from_start(NAME, index, count)?;
    let touched = match padding {
        None => rows.clone(),
        Some(p) => where_(&equal(&rows, padding_row(p, count)?)?, SKIP, &rows)?,
    };
    look_up(table, &rows, &touched)
}

/// The row that gets no gradient.
fn padding_row(p: i64, count: usize) -> Result<i64> {
    let n = i64::try_from(count).unwrap_or(i64::MAX);
    if !(-n..n).contains(&p) {
        return Err(Error::Value(format!("embedding: padding_idx is {p}, expected a row of a weight with {count} rows")));
    }
    Ok(if p < 0 { p + n } else { p })
}

fn look_up(table: &Variable, rows: &Variable, touched: &Variable) -> Result<Variable> {
    let places = Places { shape: Shape::from_slice(table.shape()), axes: smallvec![0], place: 0 };
    apply(&EMBEDDING, &[table.into(), rows.into(), touched.into()], &places)
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "_dropout",
        module: "nn.functional",
        doc: "Each element left out with probability p, the others divided by 1 - p. With mask_axes=n, elements that share their place along\n\
              the first n axes stay or go together. The mask is a function of a place in the stream of the process's generator: it is\n\
              not stored.\n\
              \n\
              >>> tg._core._functions[\"nn.functional._dropout\"](tg.ones(3), 1.0).tolist()\n\
              [0.0, 0.0, 0.0]\n",
        params: &[Param::array("input"), Param::float("p", 0.5), Param::new("mask_axes", Kind::OptInt).or(Default::None)],
        call: |a| Ok(dropout(&a.variable(0)?, a.float(1)?, a.opt_int(2)?)?.into()),
        gradient: Gradient::Composite("g / (1 - p) where the element stays, else 0"),
        samples: || {
            // Probabilities 0 and 1, for which nothing is random.
            let draw = &mut Draw::new(62);
            let mut one = |p: f64, axes: Arg| Sample { args: vec![Arg::Variable(REAL.strided(draw, &[2, 3])), Arg::Float(p), axes] };
            vec![one(0.0, Arg::None), one(1.0, Arg::None), one(0.0, Arg::Int(1))]
        },
        method: false,
        ..Entry::BASE
    },
    Entry {
        name: "_embedding",
        module: "nn.functional",
        doc: "Rows of weight (rows, width) at the places input, integers of any shape from 0 on. The row padding_idx gets no gradient.\n\
              \n\
              >>> tg._core._functions[\"nn.functional._embedding\"](tg.Variable([1, 0]), tg.Variable([[1.0, 2.0], [3.0, 4.0]]))\n\
              Variable([[3., 4.],\n          [1., 2.]])\n",
        params: &[Param::array("input"), Param::array("weight"), Param::new("padding_idx", Kind::OptInt).or(Default::None)],
        call: |a| Ok(embedding(&a.variable(0)?, &a.variable(1)?, a.opt_int(2)?)?.into()),
        gradient: Gradient::Rule("g added to the rows that were looked up"),
        samples: || {
            let draw = &mut Draw::new(61);
            let one = |draw: &mut Draw, index: &[i64], shape: &[usize]| Sample {
                args: vec![Arg::Variable(indices(index, shape)), Arg::Variable(REAL.strided(draw, &[4, 3])), Arg::None],
            };
            vec![one(draw, &[1, 3, 1], &[3]), one(draw, &[0, 2, 2, 1], &[2, 2]), one(draw, &[2], &[]), one(draw, &[], &[0])]
        },
        method: false,
        ..Entry::BASE
    },
];
