//! Convolution and correlation of vectors.

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::conv::save_other;
use super::products::{pairs, together};
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::shape::reshape_to;
use super::spatial::{join_first, split_first};
use super::{conj, flip};
use crate::array::check_memory;
use crate::error::{Error, Result, show_shape};
use crate::kernel::convolve as kernel;
use crate::tape::{Batch, Jvp, Primitive, Variable, Vjp, VjpContext, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&CONVOLVE];

/// Which sums of a convolution are computed: `count` of them, from position `first` on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    first: isize,
    count: usize,
}
crate::attributes!(Part);

/// The sums of a[first + k - j] · v[j] over j, for rows of vectors. It is bilinear, and its gradients are convolutions.
static CONVOLVE: Primitive = Primitive {
    name: "convolve",
    eval: |call| {
        let (part, a) = (call.attrs::<Part>(), call.array(0));
        check_memory(call.name(), &[a.shape()[0], part.count], a.dtype())?;
        let out = kernel::convolve(a, call.array(1), part.first, part.count);
        call.give(out);
        Ok(())
    },
    saves: save_other,
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        back(ctx, &g, 0, 1)?;
        back(ctx, &g, 1, 0)
    }),
    jvp: Jvp::Multilinear,
    batch: Batch::Rule(|ctx| {
        let [a, v] = [join_first(&ctx.batched_input(0)?)?, join_first(&ctx.batched_input(1)?)?];
        Ok(smallvec![split_first(&part_of(&a, &v, ctx.attrs())?, ctx.size)?])
    }),
    ..Primitive::BASE
};

/// The gradient of factor `i`: the convolution of the cotangent with the other factor, reversed.
fn back(ctx: &mut VjpContext<'_>, g: &Variable, i: usize, other: u8) -> Result<()> {
    if !ctx.needs(i) {
        return Ok(());
    }
    let other = conj(&ctx.input(other))?;
    let last = other.shape()[1].cast_signed() - 1;
    let part = Part { first: last - ctx.attrs::<Part>().first, count: ctx.meta(i).shape[1] };
    ctx.add(i, part_of(g, &flip(&other, Some(&[1]))?, &part)?)
}

fn part_of(a: &Variable, v: &Variable, part: &Part) -> Result<Variable> {
    apply(&CONVOLVE, &[a.into(), v.into()], part)
}

/// Which part of a convolution is returned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// All of it.
    Full,
    /// The middle part, as long as the longer array.
    Same,
    /// The positions at which the shorter array is completely inside the longer one.
    Valid,
}

fn length(op: &str, x: &Variable) -> Result<usize> {
    match x.shape() {
        [n] if *n > 0 => Ok(*n),
        s => Err(Error::Shape(format!("{op}: arrays of 1 dimension that are not empty are expected, got shape {}", show_shape(s)))),
    }
}

/// The convolution of two vectors: the coefficients of the product of two polynomials.
///
/// # Errors
/// `Shape` when one does not have one axis or is empty.
pub fn convolve(a: &Variable, v: &Variable, overlap: Overlap) -> Result<Variable> {
    let (n, m) = (length("convolve", a)?, length("convolve", v)?);
    let [a, v] = together(a, v)?;
    let (long, short) = (n.max(m), n.min(m));
    let (first, count) = match overlap {
        Overlap::Full => (0, n + m - 1),
        Overlap::Same => ((short - 1) / 2, long),
        Overlap::Valid => (short - 1, long - short + 1),
    };
    let part = Part { first: first.cast_signed(), count };
    let rows = part_of(&reshape_to(&a, &[1, n])?, &reshape_to(&v, &[1, m])?, &part)?;
    reshape_to(&rows, &[count])
}

fn overlap(a: &Args<'_>) -> Result<Overlap> {
    match a.text(2)? {
        "full" => Ok(Overlap::Full),
        "same" => Ok(Overlap::Same),
        "valid" => Ok(Overlap::Valid),
        other => Err(Error::Value(format!("{}: mode is '{other}', expected 'full', 'same' or 'valid'", a.name()))),
    }
}

fn call_correlate(a: &Args<'_>) -> Result<Value> {
    let (x, v, mode) = (a.variable(0)?, conj(&a.variable(1)?)?, overlap(a)?);
    let (n, m) = (length("correlate", &x)?, length("correlate", &v)?);
    if m > n {
        return Ok(flip(&convolve(&v, &flip(&x, None)?, mode)?, None)?.into());
    }
    Ok(convolve(&x, &flip(&v, None)?, mode)?.into())
}

const fn params(mode: &'static str) -> [Param; 3] {
    [Param::array("a"), Param::array("v"), Param::new("mode", Kind::Text).or(Default::Text(mode))]
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "convolve",
        doc: "The convolution of two vectors: all of it ('full'), as long as the longer one ('same'), or where the shorter lies within it ('valid').\n\n>>> tg.convolve(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 10.0]))\nVariable([ 1., 12., 20.])\n",
        params: &params("full"),
        call: |a| Ok(convolve(&a.variable(0)?, &a.variable(1)?, overlap(a)?)?.into()),
        cost: 10.0,
        gradient: Gradient::Rule("the correlation of g with the other vector"),
        samples,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "correlate",
        doc: "The correlation of two vectors: sums of products at every shift; where the shorter lies within the longer ('valid'), 'same' or 'full'.\n\n>>> tg.correlate(tg.Variable([1.0, 2.0, 3.0]), tg.Variable([1.0, 10.0]))\nVariable([21., 32.])\n",
        params: &params("valid"),
        call: call_correlate,
        cost: 10.0,
        gradient: Gradient::Composite("the convolution of g with the other vector"),
        samples,
        ..Entry::BASE
    }
    .no_method(),
];

fn samples() -> Vec<Sample> {
    let shapes: [(&[usize], &[usize]); 3] = [(&[5], &[3]), (&[2], &[4]), (&[3], &[3])];
    ["full", "same", "valid"].map(|mode| pairs(&shapes, &[Arg::Text(mode.to_owned())])).concat()
}
