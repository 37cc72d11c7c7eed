//! Scaled dot-product attention.

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::conv::{flat, not_floating};
use super::dropout::dropout;
use super::reduction::common_floating;
use super::registry::{Arg, Args, Default, Entry, Gradient, Kind, Param, Sample, Value};
use super::samples::{Draw, REAL, indices};
use super::shape::{in_dtype, reshape_to};
use super::{add, annihilate, astype, broadcast_to, equal, matmul, matrix_transpose, max, multiply, softmax, subtract, sum, where_};
use crate::array::{Array, DType, Shape, Strides, broadcast_shapes, check_memory, size_of};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel::attention::{self as kernel, Head, Inputs, Mask};
use crate::tape::{AttrSet, Batch, Call, Jvp, Operand, Outputs, Primitive, Variable, Vjp, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&ATTENTION, &ATTENTION_GRADIENT];

/// How the scores are computed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Attention {
    scale: f64,
    causal: bool,
}
crate::attributes!(Attention);

/// Inputs: q (…, L, E), k (…, S, E), v (…, S, F) with the same leading axes, and optionally a mask that broadcasts to (…, L, S) and is
/// added to the scores. A hidden result holds the logarithm of the sum of each row.
static ATTENTION: Primitive = Primitive {
    name: "scaled_dot_product_attention",
    eval: |call| {
        let p = Prepared::new(call, 0)?;
        let shape = p.shape(call.array(2));
        check_memory(call.name(), &shape, p.q.dtype())?;
        let (mut out, mut logs) = (Array::empty(&shape, p.q.dtype()), Array::empty(&shape[..shape.len() - 1], p.q.dtype()));
        dispatch!(float p.q.dtype(), T => kernel::forward::<T>(&p.inputs(), &p.head, out.data_mut(), logs.data_mut()), else not_floating());
        call.give(out);
        if call.is_recorded() {
            call.give(logs);
        }
        Ok(())
    },
    saves: |s| {
        (0..4).take(s.input_count()).for_each(|i| s.input(i));
        s.output(0);
    },
    vjp: Vjp::Rule(|ctx| {
        let (g, out, logs): (_, _, Variable) = (ctx.cotangent(), ctx.output(0), ctx.saved_constant(0).clone().into());
        let inputs: SmallVec<[Variable; 4]> = (0..4).take(ctx.input_count()).map(|i| ctx.input(i)).collect();
        let all: SmallVec<[Operand<'_>; 7]> = [&g, &out, &logs].into_iter().chain(&inputs).map(Operand::from).collect();
        let grads = crate::tape::apply_all(&ATTENTION_GRADIENT, &all, ctx.attrs::<Attention>())?;
        grads.into_iter().enumerate().try_for_each(|(i, g)| ctx.add(i, g))
    }),
    jvp: Jvp::Definition,
    batch: Batch::Rule(|ctx| {
        let [q, k, v] = [ctx.batched_input(0)?, ctx.batched_input(1)?, ctx.batched_input(2)?];
        let mask = if ctx.inputs.len() > 3 { Some(ctx.aligned(3, q.ndim() - 1)?) } else { None };
        let all: SmallVec<[Operand<'_>; 4]> = [&q, &k, &v].into_iter().chain(&mask).map(Operand::from).collect();
        Ok(smallvec![apply(&ATTENTION, &all, ctx.attrs::<Attention>())?])
    }),
    definition: Some(|inputs, attrs| {
        let p = weights(&inputs[0], &inputs[1], inputs.get(3), attrs.get())?;
        Ok(smallvec![matmul(&p, &inputs[2])?])
    }),
    hidden: 1,
    ..Primitive::BASE
};

/// The gradients of q, k and v. Inputs: the cotangent, the result, its logarithms, and those of [`ATTENTION`].
static ATTENTION_GRADIENT: Primitive = Primitive {
    name: "attention_gradient",
    eval: |call| {
        let p = Prepared::new(call, 3)?;
        let [g, out, logs] = [0, 1, 2].map(|i| call.array(i).contiguous());
        let [mut dq, mut dk, mut dv] = [3, 4, 5].map(|i| Array::empty(call.array(i).shape(), p.q.dtype()));
        dispatch!(float p.q.dtype(), T => {
            let grads = [dq.data_mut::<T>(), dk.data_mut(), dv.data_mut()];
            kernel::backward::<T>(&p.inputs(), &p.head, [flat(&g), flat(&out), flat(&logs)], grads);
        }, else not_floating());
        for d in [dq, dk, dv] {
            call.give(d);
        }
        Ok(())
    },
    saves: |s| (0..7).take(s.input_count()).for_each(|i| s.input(i)),
    vjp: Vjp::Definition,
    jvp: Jvp::Definition,
    batch: Batch::Definition,
    definition: Some(gradient_definition),
    ..Primitive::BASE
};

/// Functions of q, k, v and g only, because the result and its logarithms are functions of these.
fn gradient_definition(inputs: &[Variable], attrs: &dyn AttrSet) -> Result<Outputs> {
    let a: &Attention = attrs.get();
    let (g, q, k, v) = (&inputs[0], &inputs[3], &inputs[4], &inputs[5]);
    let p = weights(q, k, inputs.get(6), a)?;
    let dv = matmul(&matrix_transpose(&p)?, g)?;
    let dp = matmul(g, &matrix_transpose(v)?)?;
    let along = sum(&multiply(&p, &dp)?, Some(&[-1]), true)?;
    let ds = multiply(&annihilate(&p, &subtract(&dp, &along)?)?, a.scale)?;
    Ok(smallvec![matmul(&ds, k)?, matmul(&matrix_transpose(&ds)?, q)?, dv])
}

/// softmax(scale q kᵀ + mask); rows in which all scores are -∞ are zero.
fn weights(q: &Variable, k: &Variable, mask: Option<&Variable>, a: &Attention) -> Result<Variable> {
    let mut scores = multiply(&matmul(q, &matrix_transpose(k)?)?, a.scale)?;
    if let Some(mask) = mask {
        scores = add(&scores, mask)?;
    }
    if a.causal {
        let (rows, keys) = (q.shape()[q.ndim() - 2], k.shape()[k.ndim() - 2]);
        let future: Vec<bool> = (0..rows).flat_map(|i| (0..keys).map(move |j| j > i)).collect();
        scores = where_(&Array::from_slice(&future, &[rows, keys]).into(), f64::NEG_INFINITY, &scores)?;
    }
    if mask.is_none() && !a.causal || scores.shape().contains(&0) {
        return softmax(&scores, -1);
    }
    let void = equal(&max(&scores.detach(), Some(&[-1]), true)?, f64::NEG_INFINITY)?;
    where_(&void, 0.0, &softmax(&where_(&void, 0.0, &scores)?, -1)?)
}

/// The arrays of a call in row-major order, with all heads along one axis.
struct Prepared {
    q: Array,
    k: Array,
    v: Array,
    mask: Option<(Array, Vec<usize>, [isize; 2])>,
    head: Head,
}

impl Prepared {
    /// The operands from `first` on.
    fn new(call: &Call<'_>, first: usize) -> Result<Self> {
        let a: &Attention = call.attrs();
        let [q, k, v] = [0, 1, 2].map(|i| call.array(first + i).contiguous());
        let sizes = |x: &Array| [x.shape()[x.ndim() - 2], x.shape()[x.ndim() - 1]];
        let ([queries, width], [keys, values]) = (sizes(&q), sizes(&v));
        let head = Head { queries, keys, width, values, scale: a.scale, causal: a.causal };
        let mask = if call.inputs().len() > first + 3 {
            let front = &q.shape()[..q.ndim() - 2];
            let full: Shape = front.iter().copied().chain([queries, keys]).collect();
            let mask = call.array(first + 3).broadcast_to(call.name(), &full)?;
            let (starts, strides) = starts(&mask, front);
            Some((mask, starts, strides))
        } else {
            None
        };
        Ok(Self { q, k, v, mask, head })
    }

    fn shape(&self, v: &Array) -> Shape {
        self.q.shape()[..self.q.ndim() - 1].iter().copied().chain(v.shape().last().copied()).collect()
    }

    fn inputs<T: crate::array::Element>(&self) -> Inputs<'_, T> {
        let mask = self.mask.as_ref().map(|(mask, starts, strides)| Mask { data: mask.raw::<T>(), starts, strides: *strides });
        Inputs { q: flat(&self.q), k: flat(&self.k), v: flat(&self.v), mask }
    }
}

/// The start of each head's part of a mask, and the last two strides of the mask.
fn starts(mask: &Array, front: &[usize]) -> (Vec<usize>, [isize; 2]) {
    let layout = mask.layout();
    let strides: Strides = layout.strides().iter().copied().collect();
    let n = front.len();
    let mut all = vec![layout.offset().cast_signed()];
    for (size, step) in front.iter().zip(&strides) {
        all = all.iter().flat_map(|at| (0..size.cast_signed()).map(move |i| at + i * step)).collect();
    }
    (all.into_iter().map(isize::cast_unsigned).collect(), [strides[n], strides[n + 1]])
}

/// The arguments of attention other than q, k and v.
struct Options<'a> {
    mask: Option<&'a Variable>,
    dropout: f64,
    causal: bool,
    scale: Option<f64>,
    grouped: bool,
}

/// Heads of keys and values, repeated to match the number of heads of queries.
fn repeat_heads(x: &Variable, heads: usize) -> Result<Variable> {
    let at = x.ndim() - 3;
    let n = x.shape()[at];
    if n == heads {
        return Ok(x.clone());
    }
    if n == 0 || !heads.is_multiple_of(n) {
        return Err(Error::Shape(format!("{NAME}: query has {heads} heads, expected a multiple of {n}, the number of heads of key and value")));
    }
    let (front, core) = (&x.shape()[..at], &x.shape()[at + 1..]);
    let apart = reshape_to(x, &[front, &[n, 1], core].concat())?;
    let wide = broadcast_to(&apart, &[front, &[n, heads / n], core].concat())?;
    reshape_to(&wide, &[front, &[heads], core].concat())
}

const NAME: &str = "scaled_dot_product_attention";

fn check(q: &Variable, k: &Variable, v: &Variable) -> Result<()> {
    let last = |x: &Variable, i: usize| x.shape()[x.ndim() - i];
    let fits = [q, k, v].iter().all(|x| x.ndim() >= 2) && last(q, 1) == last(k, 1) && last(k, 2) == last(v, 2);
    if fits {
        return Ok(());
    }
    let [a, b, c] = [q, k, v].map(|x| show_shape(x.shape()));
    Err(Error::Shape(format!("{NAME}: shapes {a}, {b} and {c} do not fit, expected query (..., L, E), key (..., S, E) and value (..., S, F)")))
}

#[allow(clippy::cast_precision_loss, reason = "a width")]
fn attention(q: &Variable, k: &Variable, v: &Variable, o: &Options<'_>) -> Result<Variable> {
    check(q, k, v)?;
    let dtype = common_floating(NAME, q, [k, v])?;
    let cast = |x: &Variable| in_dtype(x, dtype, &mut None).cloned();
    let (q, mut k, mut v) = (cast(q)?, cast(k)?, cast(v)?);
    if o.grouped && [&q, &k, &v].iter().all(|x| x.ndim() >= 3) {
        let heads = q.shape()[q.ndim() - 3];
        (k, v) = (repeat_heads(&k, heads)?, repeat_heads(&v, heads)?);
    }
    if o.causal && o.mask.is_some() {
        return Err(Error::Value(format!("{NAME}: give attn_mask or is_causal=True, not both")));
    }
    let front = [&q, &k, &v].map(|x| Shape::from_slice(&x.shape()[..x.ndim() - 2]));
    let joint = broadcast_shapes(&front[0], &front[1]).and_then(|s| broadcast_shapes(&s, &front[2])).ok_or_else(|| {
        let [a, b, c] = [&q, &k, &v].map(|x| show_shape(x.shape()));
        Error::Shape(format!("{NAME}: the axes in front of the last two do not broadcast: shapes {a}, {b} and {c}"))
    })?;
    let wide = |x: &Variable| broadcast_to(x, &[&joint, &x.shape()[x.ndim() - 2..]].concat());
    let (q, k, v) = (wide(&q)?, wide(&k)?, wide(&v)?);
    let mask = o.mask.map(|m| added_mask(m, &q, &k)).transpose()?;
    let scale = o.scale.unwrap_or_else(|| 1.0 / (q.shape()[q.ndim() - 1].max(1) as f64).sqrt());
    let attrs = Attention { scale, causal: o.causal };
    if o.dropout > 0.0 {
        return matmul(&dropout(&weights(&q, &k, mask.as_ref(), &attrs)?, o.dropout, None)?, &v);
    }
    if mask.as_ref().is_some_and(Variable::is_tracked) || size_of(q.shape()) == 0 || size_of(v.shape()) == 0 {
        // The kernel by blocks computes no gradient of a mask.
        return matmul(&weights(&q, &k, mask.as_ref(), &attrs)?, &v);
    }
    let all: SmallVec<[Operand<'_>; 4]> = [&q, &k, &v].into_iter().chain(&mask).map(Operand::from).collect();
    apply(&ATTENTION, &all, &attrs)
}

/// A mask as numbers that are added to the scores: False in a bool mask is -∞.
fn added_mask(mask: &Variable, q: &Variable, k: &Variable) -> Result<Variable> {
    let scores: Shape = q.shape()[..q.ndim() - 1].iter().copied().chain([k.shape()[k.ndim() - 2]]).collect();
    if broadcast_shapes(mask.shape(), &scores).is_none_or(|s| s != scores) {
        let (got, want) = (show_shape(mask.shape()), show_shape(&scores));
        return Err(Error::Shape(format!("{NAME}: attn_mask has shape {got}, expected one that broadcasts to {want}")));
    }
    match mask.dtype() {
        DType::Bool => where_(mask, &super::scalar(0.0, q.dtype()), &super::scalar(f64::NEG_INFINITY, q.dtype())),
        d if d.is_float() => astype(mask, q.dtype()),
        other => Err(Error::dtype(NAME, other, "bool (True takes part) or a floating attn_mask, which is added")),
    }
}

fn call_attention(a: &Args<'_>) -> Result<Value> {
    let (mask, dropout) = (a.opt_variable(3)?, a.float(4)?);
    let options = Options { mask: mask.as_ref(), dropout, causal: a.flag(5)?, scale: a.opt_float(6)?, grouped: a.flag(7)? };
    if !(0.0..=1.0).contains(&dropout) {
        return Err(Error::Value(format!("{NAME}: dropout_p is {dropout}, expected 0 to 1")));
    }
    Ok(attention(&a.variable(0)?, &a.variable(1)?, &a.variable(2)?, &options)?.into())
}

fn samples() -> Vec<Sample> {
    let draw = &mut Draw::new(71);
    let rest = |mask: Arg, causal: bool| [mask, Arg::Float(0.0), Arg::Bool(causal), Arg::None, Arg::Bool(false)];
    let mut one = |q: &[usize], k: &[usize], v: &[usize], mask: Arg, causal: bool| {
        let arrays = [q, k, v].map(|s| Arg::Variable(REAL.strided(draw, s)));
        Sample { args: arrays.into_iter().chain(rest(mask, causal)).collect() }
    };
    let seen: Variable = Array::from_slice(&[true, false, true, true, true, false], &[2, 3]).into();
    let float = astype(&indices(&[0, 1, -1], &[3]), DType::F64).map_or(Arg::None, Arg::Variable);
    vec![
        one(&[2, 3], &[4, 3], &[4, 2], Arg::None, false),
        one(&[2, 2, 3, 2], &[2, 2, 3, 2], &[2, 2, 3, 2], Arg::None, true),
        one(&[2, 2, 3], &[2, 3, 3], &[2, 3, 1], Arg::Variable(seen), false),
        one(&[2, 2, 3], &[1, 3, 3], &[2, 3, 2], float, false),
    ]
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[Entry {
    name: "scaled_dot_product_attention",
    module: "nn.functional",
    doc: "softmax(scale query keyᵀ + mask) value, with query (..., L, E), key (..., S, E) and value (..., S, F); scale is 1 / sqrt(E) unless\n\
          given. attn_mask broadcasts to (..., L, S): bool (True takes part) or a float that is added. is_causal lets query i see keys up\n\
          to i. A query that sees no key has the result 0. enable_gqa repeats heads (axis -3) of key and value. Memory is linear in L and\n\
          S, but for dropout_p and for the gradient of a mask.\n\
          \n\
          >>> q = tg.ones((2, 1))\n\
          >>> tg.nn.functional.scaled_dot_product_attention(q, q, tg.Variable([[1.0], [3.0]]), is_causal=True)\n\
          Variable([[1.],\n          [2.]])\n",
    params: &[
        Param::array("query"),
        Param::array("key"),
        Param::array("value"),
        Param::new("attn_mask", Kind::OptArray).or(Default::None),
        Param::float("dropout_p", 0.0),
        Param::flag("is_causal", false),
        Param::new("scale", Kind::OptFloat).or(Default::None),
        Param::flag("enable_gqa", false),
    ],
    call: call_attention,
    gradient: Gradient::Rule("with P the softmax and dS = P (g Vᵀ - Σ P g Vᵀ): dV = Pᵀ g, dQ = scale dS K, dK = scale dSᵀ Q"),
    samples,
    method: false,
    ..Entry::BASE
}
.costs(8.0)];
