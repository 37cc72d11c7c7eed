//! LSTM and GRU over whole sequences, one layer in one direction.

use smallvec::smallvec;

use super::Sections;
use super::conv::{flat, not_floating};
use super::index::{IndexItem, get_item};
use super::reduction::floating;
use super::registry::{Arg, Args, Entry, Gradient, Param, Sample, Value};
use super::samples::{Domain, Draw, REAL};
use super::shape::in_dtype;
use super::{add, concat, expand_dims, matmul, matrix_transpose, multiply, sigmoid, split, stack, subtract, sum, tanh};
use crate::array::{Array, check_memory};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel::recurrent::{self as kernel, LstmTrace, Sizes};
use crate::tape::{AttrSet, Batch, Jvp, Operand, Outputs, Primitive, Variable, Vjp, apply, apply_all};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&LSTM, &LSTM_GRADIENT, &GRU, &GRU_GRADIENT];

/// Inputs: the contribution of the inputs z (T, B, 4H), the weight (4H, H), the first state and cell (B, H). Results: the states (T, B, H)
/// and the last cell; hidden results are the cells and the gates of all steps.
static LSTM: Primitive = Primitive {
    name: "lstm",
    eval: |call| {
        let [z, w, h0, c0] = [0, 1, 2, 3].map(|i| call.array(i).contiguous());
        let s = sizes(&z, &h0);
        let shape = [s.steps, s.batch, s.hidden];
        check_memory(call.name(), z.shape(), z.dtype())?;
        let (mut gates, mut out, mut cells) = (z.copy(), Array::empty(&shape, z.dtype()), Array::empty(&shape, z.dtype()));
        dispatch!(float z.dtype(), T => {
            kernel::lstm::<T>(&s, flat(&w), [flat(&h0), flat(&c0)], gates.data_mut(), [out.data_mut(), cells.data_mut()]);
        }, else not_floating());
        call.give(out);
        call.give(last(&cells, &c0));
        if call.is_recorded() {
            call.give(cells);
            call.give(gates);
        }
        Ok(())
    },
    saves: |s| {
        (0..4).for_each(|i| s.input(i));
        s.output(0);
    },
    vjp: Vjp::Rule(|ctx| {
        let (w, h0, c0) = (ctx.input(1), ctx.input(2), ctx.input(3));
        let (out, z) = (ctx.output(0), ctx.input(0));
        let [cells, gates]: [Variable; 2] = [ctx.saved_constant(0).clone().into(), ctx.saved_constant(1).clone().into()];
        let zeros = |like: &Variable| -> Variable { Array::zeros(like.shape(), like.dtype()).into() };
        let g = ctx.cotangent_of(0).unwrap_or_else(|| zeros(&out));
        let gc = ctx.cotangent_of(1).unwrap_or_else(|| zeros(&c0));
        let all: [Operand<'_>; 9] = [&z, &w, &h0, &c0, &out, &cells, &gates, &g, &gc].map(Operand::from);
        apply_all(&LSTM_GRADIENT, &all, &())?.into_iter().enumerate().try_for_each(|(i, g)| ctx.add(i, g))
    }),
    jvp: Jvp::Definition,
    batch: Batch::Definition,
    definition: Some(|inputs, _| lstm_definition(inputs).map(|t| smallvec![t.0, t.1])),
    hidden: 2,
    ..Primitive::BASE
};

/// The gradients of z, w, h0 and c0. Inputs: those of [`LSTM`], its states, cells and gates, and the cotangents of its results.
static LSTM_GRADIENT: Primitive = Primitive {
    name: "lstm_gradient",
    eval: |call| {
        let [z, w, h0, c0, out, cells, gates, g, gc] = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|i| call.array(i).contiguous());
        let s = sizes(&z, &h0);
        let mut grads = [&z, &w, &h0, &c0].map(|a| Array::empty(a.shape(), a.dtype()));
        dispatch!(float z.dtype(), T => {
            let trace = LstmTrace::<T> {
                w: flat(&w),
                first: [flat(&h0), flat(&c0)],
                all: [flat(&out), flat(&cells), flat(&gates)],
                cotangents: [flat(&g), flat(&gc)],
            };
            kernel::lstm_backward(&s, &trace, grads.each_mut().map(Array::data_mut));
        }, else not_floating());
        for a in grads {
            call.give(a);
        }
        Ok(())
    },
    saves: |s| (0..9).for_each(|i| s.input(i)),
    vjp: Vjp::Definition,
    jvp: Jvp::Definition,
    batch: Batch::Definition,
    definition: Some(lstm_gradient_definition),
    ..Primitive::BASE
};

/// Inputs: the contribution of the inputs z (T, B, 3H), the weight (3H, H), the bias (3H), the first state (B, H). Result: the states (T,
/// B, H); a hidden result holds the gates.
static GRU: Primitive = Primitive {
    name: "gru",
    eval: |call| {
        let [z, w, bias, h0] = [0, 1, 2, 3].map(|i| call.array(i).contiguous());
        let s = sizes(&z, &h0);
        check_memory(call.name(), z.shape(), z.dtype())?;
        let mut out = Array::empty(&[s.steps, s.batch, s.hidden], z.dtype());
        let mut gates = Array::empty(&[s.steps, s.batch, 4 * s.hidden], z.dtype());
        dispatch!(float z.dtype(), T => {
            kernel::gru::<T>(&s, [flat(&z), flat(&w), flat(&bias), flat(&h0)], gates.data_mut(), out.data_mut());
        }, else not_floating());
        call.give(out);
        if call.is_recorded() {
            call.give(gates);
        }
        Ok(())
    },
    saves: |s| {
        (0..4).for_each(|i| s.input(i));
        s.output(0);
    },
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        let (z, w, bias, h0) = (ctx.input(0), ctx.input(1), ctx.input(2), ctx.input(3));
        let (out, gates): (_, Variable) = (ctx.output(0), ctx.saved_constant(0).clone().into());
        let all: [Operand<'_>; 7] = [&z, &w, &bias, &h0, &out, &gates, &g].map(Operand::from);
        apply_all(&GRU_GRADIENT, &all, &())?.into_iter().enumerate().try_for_each(|(i, g)| ctx.add(i, g))
    }),
    jvp: Jvp::Definition,
    batch: Batch::Definition,
    definition: Some(|inputs, _| Ok(smallvec![gru_steps(inputs)?.0])),
    hidden: 1,
    ..Primitive::BASE
};

/// The gradients of z, w, bias and h0. Inputs: those of [`GRU`], its states and gates, and the cotangent.
static GRU_GRADIENT: Primitive = Primitive {
    name: "gru_gradient",
    eval: |call| {
        let [z, w, bias, h0, out, gates, g] = [0, 1, 2, 3, 4, 5, 6].map(|i| call.array(i).contiguous());
        let s = sizes(&z, &h0);
        let mut grads = [&z, &w, &bias, &h0].map(|a| Array::empty(a.shape(), a.dtype()));
        dispatch!(float z.dtype(), T => {
            let inputs = [flat::<T>(&w), flat(&h0), flat(&out), flat(&gates), flat(&g)];
            kernel::gru_backward(&s, inputs, grads.each_mut().map(Array::data_mut));
        }, else not_floating());
        for a in grads {
            call.give(a);
        }
        Ok(())
    },
    saves: |s| (0..7).for_each(|i| s.input(i)),
    vjp: Vjp::Definition,
    jvp: Jvp::Definition,
    batch: Batch::Definition,
    definition: Some(gru_gradient_definition),
    ..Primitive::BASE
};

fn sizes(z: &Array, h0: &Array) -> Sizes {
    Sizes { steps: z.shape()[0], batch: h0.shape()[0], hidden: h0.shape()[1] }
}

/// The last of the cells, or the first cell if there are no steps.
fn last(cells: &Array, first: &Array) -> Array {
    match cells.shape()[0].checked_sub(1) {
        Some(t) => cells.with_layout(cells.layout().select(0, t)).copy(),
        None => first.copy(),
    }
}

fn step(x: &Variable, t: usize) -> Result<Variable> {
    get_item(x, &[IndexItem::Int(t.cast_signed())])
}

/// Splits the last axis into `n` parts.
fn parts(x: &Variable, n: usize) -> Result<Vec<Variable>> {
    split(x, Sections::Count(i64::try_from(n).unwrap_or(1)), -1)
}

/// All steps as one array; an empty one of the shape of `like` if there are no steps.
fn joined(steps: &[Variable], like: &Variable) -> Result<Variable> {
    if steps.is_empty() { get_item(&expand_dims(like, &[0])?, &[IndexItem::Slice(Some(0), Some(0), None)]) } else { stack(steps, 0) }
}

/// The values of one step of an LSTM.
struct LstmStep {
    gates: Vec<Variable>,
    /// The cell before it and after it, and the tanh of that.
    cells: [Variable; 3],
    before: Variable,
}

fn lstm_steps(inputs: &[Variable]) -> Result<(Vec<Variable>, Vec<LstmStep>, Variable)> {
    let (z, w, mut h, mut c) = (&inputs[0], matrix_transpose(&inputs[1])?, inputs[2].clone(), inputs[3].clone());
    let (mut out, mut all) = (Vec::new(), Vec::new());
    for t in 0..z.shape()[0] {
        let p = parts(&add(&step(z, t)?, &matmul(&h, &w)?)?, 4)?;
        let gates = vec![sigmoid(&p[0])?, sigmoid(&p[1])?, tanh(&p[2])?, sigmoid(&p[3])?];
        let cell = add(&multiply(&gates[1], &c)?, &multiply(&gates[0], &gates[2])?)?;
        let y = tanh(&cell)?;
        let next = multiply(&gates[3], &y)?;
        all.push(LstmStep { gates, cells: [c, cell.clone(), y], before: h });
        (h, c) = (next.clone(), cell);
        out.push(next);
    }
    Ok((out, all, c))
}

fn lstm_definition(inputs: &[Variable]) -> Result<(Variable, Variable)> {
    let (out, _, c) = lstm_steps(inputs)?;
    Ok((joined(&out, &inputs[2])?, c))
}

/// The derivative of a sigmoid as a function of its result, times `g`.
fn by_sigmoid(g: &Variable, y: &Variable) -> Result<Variable> {
    multiply(g, &multiply(y, &subtract(1.0, y)?)?)
}

fn by_tanh(g: &Variable, y: &Variable) -> Result<Variable> {
    multiply(g, &subtract(1.0, &multiply(y, y)?)?)
}

/// A sum of products (4H or 3H by H); zeros if there are no steps.
fn weight_sum(sum: Option<Variable>, slopes: &Variable, before: &Variable) -> Result<Variable> {
    let one = matmul(&matrix_transpose(slopes)?, before)?;
    sum.map_or(Ok(one.clone()), |s| add(&s, &one))
}

fn lstm_gradient_definition(inputs: &[Variable], _: &dyn AttrSet) -> Result<Outputs> {
    let (_, all, _) = lstm_steps(&inputs[..4])?;
    let (w, g) = (&inputs[1], &inputs[7]);
    let (mut dh, mut dc, mut dw) = (multiply(&inputs[2], 0.0)?, inputs[8].clone(), None);
    let mut dz = Vec::new();
    for (t, s) in all.iter().enumerate().rev() {
        let [i, f, n, o] = [0, 1, 2, 3].map(|k| &s.gates[k]);
        let [before, _, y] = &s.cells;
        dh = add(&dh, &step(g, t)?)?;
        let c = add(&dc, &by_tanh(&multiply(&dh, o)?, y)?)?;
        let slopes = [
            by_sigmoid(&multiply(&c, n)?, i)?,
            by_sigmoid(&multiply(&c, before)?, f)?,
            by_tanh(&multiply(&c, i)?, n)?,
            by_sigmoid(&multiply(&dh, y)?, o)?,
        ];
        let slopes = concat(&slopes, Some(-1))?;
        dc = multiply(&c, f)?;
        dh = matmul(&slopes, w)?;
        dw = Some(weight_sum(dw, &slopes, &s.before)?);
        dz.push(slopes);
    }
    dz.reverse();
    let dw = dw.map_or_else(|| multiply(w, 0.0), Ok)?;
    let dz = if dz.is_empty() { multiply(&inputs[0], 0.0)? } else { stack(&dz, 0)? };
    Ok(smallvec![dz, dw, dh, dc])
}

/// The values of one step of a GRU: r, z, n, the part that r scales, and the state before.
type GruStep = [Variable; 5];

fn gru_steps(inputs: &[Variable]) -> Result<(Variable, Vec<GruStep>)> {
    let (z, w, bias, mut h) = (&inputs[0], matrix_transpose(&inputs[1])?, &inputs[2], inputs[3].clone());
    let (mut out, mut all) = (Vec::new(), Vec::new());
    for t in 0..z.shape()[0] {
        let (x, p) = (parts(&step(z, t)?, 3)?, parts(&add(&matmul(&h, &w)?, bias)?, 3)?);
        let (r, u) = (sigmoid(&add(&x[0], &p[0])?)?, sigmoid(&add(&x[1], &p[1])?)?);
        let n = tanh(&add(&x[2], &multiply(&r, &p[2])?)?)?;
        let next = add(&n, &multiply(&u, &subtract(&h, &n)?)?)?;
        all.push([r, u, n, p[2].clone(), h]);
        h = next.clone();
        out.push(next);
    }
    Ok((joined(&out, &inputs[3])?, all))
}

fn gru_gradient_definition(inputs: &[Variable], _: &dyn AttrSet) -> Result<Outputs> {
    let (_, all) = gru_steps(&inputs[..4])?;
    let (w, g) = (&inputs[1], &inputs[6]);
    let (mut dh, mut dw, mut db) = (multiply(&inputs[3], 0.0)?, None, multiply(&inputs[2], 0.0)?);
    let mut dz = Vec::new();
    for (t, [r, u, n, a, before]) in all.iter().enumerate().rev() {
        dh = add(&dh, &step(g, t)?)?;
        let dn = by_tanh(&multiply(&dh, &subtract(1.0, u)?)?, n)?;
        let dr = by_sigmoid(&multiply(&dn, a)?, r)?;
        let du = by_sigmoid(&multiply(&dh, &subtract(before, n)?)?, u)?;
        let slopes = concat(&[dr.clone(), du.clone(), multiply(&dn, r)?], Some(-1))?;
        dh = add(&multiply(&dh, u)?, &matmul(&slopes, w)?)?;
        dw = Some(weight_sum(dw, &slopes, before)?);
        db = add(&db, &sum(&slopes, Some(&[0]), false)?)?;
        dz.push(concat(&[dr, du, dn], Some(-1))?);
    }
    dz.reverse();
    let dw = dw.map_or_else(|| multiply(w, 0.0), Ok)?;
    let dz = if dz.is_empty() { multiply(&inputs[0], 0.0)? } else { stack(&dz, 0)? };
    Ok(smallvec![dz, dw, db, dh])
}

/// Checks the shapes of a recurrence with this number of gates, whose inputs are z, the weight, and others.
fn checked(op: &str, a: &Args<'_>, gates: usize) -> Result<Vec<Variable>> {
    let all = (0..4).map(|i| floating(op, &a.variable(i)?)).collect::<Result<Vec<_>>>()?;
    let state = if gates == 4 { &all[2] } else { &all[3] };
    let (z, w) = (&all[0], &all[1]);
    let hidden = state.shape().get(1).copied().unwrap_or(0);
    let fits = z.ndim() == 3 && state.ndim() == 2 && z.shape()[1] == state.shape()[0] && z.shape()[2] == gates * hidden;
    let weight_fits = w.shape() == [gates * hidden, hidden];
    if !fits || !weight_fits || hidden == 0 {
        let [z, w, h] = [z, w, state].map(|v| show_shape(v.shape()));
        return Err(Error::Shape(format!("{op}: shapes {z}, {w} and {h} do not fit, expected (T, B, {gates} H), ({gates} H, H) and a state (B, H)")));
    }
    let other = if gates == 4 { &all[3] } else { &all[2] };
    let want = if gates == 4 { state.shape().to_vec() } else { vec![gates * hidden] };
    if other.shape() != want {
        let what = if gates == 4 { "cell" } else { "bias" };
        return Err(Error::Shape(format!("{op}: the {what} has shape {}, expected {}", show_shape(other.shape()), show_shape(&want))));
    }
    let dtype = all.iter().fold(z.dtype(), |d, v| d.promote(v.dtype()));
    all.iter().map(|v| in_dtype(v, dtype, &mut None).cloned()).collect()
}

fn call_lstm(a: &Args<'_>) -> Result<Value> {
    let all = checked("_lstm", a, 4)?;
    let operands: [Operand<'_>; 4] = [&all[0], &all[1], &all[2], &all[3]].map(Operand::from);
    Ok(Value::Many(apply_all(&LSTM, &operands, &())?.into_iter().take(2).collect()))
}

fn call_gru(a: &Args<'_>) -> Result<Value> {
    let all = checked("_gru", a, 3)?;
    let operands: [Operand<'_>; 4] = [&all[0], &all[1], &all[2], &all[3]].map(Operand::from);
    Ok(apply(&GRU, &operands, &())?.into())
}

/// Weights that do not saturate the gates.
const SMALL: Domain = Domain { low: -0.7, high: 0.7, avoid: &[] };

fn recurrence(shapes: [&[usize]; 4]) -> Vec<Sample> {
    let draw = &mut Draw::new(95);
    let [z, w, a, b] = shapes;
    let arrays = [REAL.strided(draw, z), SMALL.array(draw, w), SMALL.strided(draw, a), SMALL.array(draw, b)];
    vec![Sample { args: arrays.into_iter().map(Arg::Variable).collect() }]
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "_lstm",
        module: "nn.functional",
        doc: "An LSTM over steps: z (T, B, 4H) is what comes from the inputs (in the order i f g o), weight (4H, H), hx and cx (B, H) the first\n\
              state and cell. Returns the states (T, B, H) and the last cell (B, H).\n\
              \n\
              >>> zeros = tg.zeros((1, 1))\n\
              >>> states, cell = tg._core._functions[\"nn.functional._lstm\"](tg.zeros((2, 1, 4)), tg.zeros((4, 1)), zeros, zeros)\n\
              >>> states.shape\n\
              (2, 1, 1)\n",
        params: &[Param::array("z"), Param::array("weight"), Param::array("hx"), Param::array("cx")],
        call: call_lstm,
        gradient: Gradient::Rule("back through time: dz by step, dweight = Σ dzᵀ h"),
        samples: || recurrence([&[3, 2, 8], &[8, 2], &[2, 2], &[2, 2]]),
        method: false,
        ..Entry::BASE
    },
    Entry {
        name: "_gru",
        module: "nn.functional",
        doc: "A GRU over steps: z (T, B, 3H) is what comes from the inputs (in the order r z n), weight (3H, H) and bias (3H) are those of the\n\
              state, hx (B, H) is the first state. Returns the states (T, B, H).\n\
              \n\
              >>> tg._core._functions[\"nn.functional._gru\"](tg.zeros((2, 1, 3)), tg.zeros((3, 1)), tg.zeros(3), tg.ones((1, 1))).tolist()\n\
              [[[0.5]], [[0.25]]]\n",
        params: &[Param::array("z"), Param::array("weight"), Param::array("bias"), Param::array("hx")],
        call: call_gru,
        gradient: Gradient::Rule("back through time: dz by step, dweight = Σ dzᵀ h"),
        samples: || recurrence([&[3, 2, 6], &[6, 2], &[6], &[2, 2]]),
        method: false,
        ..Entry::BASE
    },
];
