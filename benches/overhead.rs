//! The cost of the tape in a training step: the same kernels are called by hand and through the tape.
//!
//! A network inputs -> hidden -> hidden -> 10 (inputs = hidden) with relu and the mean squared error, in float32. By hand
//! means: recording off, every gradient written out with the kernel that the rule would call. Both must agree before
//! anything is timed; then their windows alternate, so that a disturbance of the machine meets both.
//!
//! `cargo bench --bench overhead`; set `TAPEGRAD_NUM_THREADS=1` for the figures of one core.

use std::time::Instant;

use tapegrad::Result;
use tapegrad::array::{Array, DType};
use tapegrad::kernel::blocks::Input;
use tapegrad::kernel::field::Field;
use tapegrad::kernel::map::{Pointwise, update};
use tapegrad::kernel::parallel::num_threads;
use tapegrad::loss::{Reduction, mse_loss};
use tapegrad::ops;
use tapegrad::tape::{Edge, Variable, backward, recording};

const OUTPUTS: usize = 10;
const WINDOWS: usize = 60;
/// Seconds of a window.
const WINDOW: f64 = 3e-3;
/// The largest relative difference between the gradients of the two ways.
const TOLERANCE: f32 = 1e-5;

/// Gradient of relu from its result, in the buffer of the gradient: the loop that the rule of `ops::relu` is made of.
struct ReluGradient;

impl Pointwise<2> for ReluGradient {
    #[inline(always)]
    fn eval<F: Field>([g, y]: [F; 2], _: [F; 2]) -> F {
        g.annihilate(F::select(y.gt(F::lit(0.0)), F::lit(1.0), F::lit(0.0)))
    }
}

/// Weights and biases, layer by layer, and a batch.
struct Problem {
    parameters: Vec<Variable>,
    x: Variable,
    t: Variable,
}

/// Numbers between -scale and scale, the same ones in every run.
#[allow(clippy::cast_precision_loss, reason = "24 bits are exact in f32")]
fn numbers(state: &mut u32, shape: &[usize], scale: f32) -> Array {
    let mut next = || {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((*state >> 8) as f32 / 8_388_608.0 - 1.0) * scale
    };
    let data: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Array::from_slice(&data, shape)
}

#[allow(clippy::cast_precision_loss, reason = "layers are small")]
fn problem(hidden: usize, batch: usize) -> Result<Problem> {
    let state = &mut 1;
    let scale = (3.0 / hidden as f32).sqrt();
    let mut parameters = Vec::new();
    for outputs in [hidden, hidden, OUTPUTS] {
        parameters.push(Variable::parameter(numbers(state, &[outputs, hidden], scale))?);
        parameters.push(Variable::parameter(numbers(state, &[outputs], scale))?);
    }
    let (x, t) = (numbers(state, &[batch, hidden], 1.0), numbers(state, &[batch, OUTPUTS], 1.0));
    Ok(Problem { parameters, x: x.into(), t: t.into() })
}

/// The gradient of a parameter-shaped layer: weight and bias.
fn layer_gradients(g: &Variable, input: &Variable) -> Result<[Variable; 2]> {
    Ok([ops::matmul(&ops::matrix_transpose(g)?, input)?, ops::sum(g, Some(&[0]), false)?])
}

fn through_relu(g: Variable, y: &Variable) -> Variable {
    let mut g = g.into_array();
    update::<ReluGradient, 1, 2>(&mut g, [Input::from(y.array())], [0.0; 2]);
    g.into()
}

/// Loss and gradients of plain `parameters`, without a tape.
fn by_hand(parameters: &[Variable], x: &Variable, t: &Variable) -> Result<(Variable, [Variable; 6])> {
    let [w1, b1, w2, b2, w3, b3] = parameters else { unreachable!("three layers") };
    let h1 = ops::relu(&ops::linear(x, w1, Some(b1))?)?;
    let h2 = ops::relu(&ops::linear(&h1, w2, Some(b2))?)?;
    let y = ops::linear(&h2, w3, Some(b3))?;
    let difference = ops::subtract(&y, t)?;
    let loss = ops::mean(&ops::square(&difference)?, None, false)?;

    #[allow(clippy::cast_precision_loss, reason = "batches are small")]
    let g = ops::multiply(&difference, 2.0 / y.array().size() as f64)?;
    let [gw3, gb3] = layer_gradients(&g, &h2)?;
    let g = through_relu(ops::matmul(&g, w3)?, &h2);
    let [gw2, gb2] = layer_gradients(&g, &h1)?;
    let g = through_relu(ops::matmul(&g, w2)?, &h1);
    let [gw1, gb1] = layer_gradients(&g, x)?;
    Ok((loss, [gw1, gb1, gw2, gb2, gw3, gb3]))
}

/// Loss of tracked parameters; their gradients, from zero, are in `.grad` afterwards.
fn through_tape(p: &Problem) -> Result<Variable> {
    let [w1, b1, w2, b2, w3, b3] = &p.parameters[..] else { unreachable!("three layers") };
    for parameter in &p.parameters {
        if let Edge::Leaf(leaf) = parameter.edge() {
            leaf.set_grad(None);
        }
    }
    let h1 = ops::relu(&ops::linear(&p.x, w1, Some(b1))?)?;
    let h2 = ops::relu(&ops::linear(&h1, w2, Some(b2))?)?;
    let loss = mse_loss(&ops::linear(&h2, w3, Some(b3))?, &p.t, Reduction::Mean)?;
    backward(&loss)?;
    Ok(loss)
}

/// Fails unless both ways give the same gradients.
fn check(p: &Problem, plain: &[Variable]) -> Result<()> {
    let (loss, gradients) = by_hand(plain, &p.x, &p.t)?;
    let taped = through_tape(p)?;
    let mut pairs = vec![(loss.into_array(), taped.detach().into_array())];
    for (parameter, gradient) in p.parameters.iter().zip(gradients) {
        pairs.push((gradient.into_array(), parameter.grad().unwrap_or_else(|| Array::zeros(&[], DType::F32))));
    }
    for (i, (hand, tape)) in pairs.iter().enumerate() {
        assert_eq!(hand.shape(), tape.shape(), "result {i}");
        let (hand, tape) = (hand.to_vec::<f32>(), tape.to_vec::<f32>());
        let largest = hand.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let apart = hand.iter().zip(&tape).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(largest > 0.0 && apart <= TOLERANCE * largest, "result {i}: {apart} apart, where the largest is {largest}");
    }
    Ok(())
}

/// Seconds of one call, the mean of `n`.
fn window(n: u32, f: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..n {
        f();
    }
    start.elapsed().as_secs_f64() / f64::from(n)
}

/// Calls that fill a window.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 1e5")]
fn calls(f: &mut impl FnMut()) -> u32 {
    window(5, f);
    (WINDOW / window(10, f)).clamp(1.0, 1e5) as u32
}

/// Minimum and median in microseconds.
fn summary(mut times: Vec<f64>) -> [f64; 2] {
    times.sort_by(f64::total_cmp);
    [times[0] * 1e6, times[times.len() / 2] * 1e6]
}

fn measure(p: &Problem, plain: &[Variable]) -> [[f64; 2]; 2] {
    // Like `.grad`, the gradients live until the next step creates new ones.
    let mut held = None;
    let mut hand = || {
        drop(held.take());
        let _off = recording(false);
        held = by_hand(plain, &p.x, &p.t).ok();
    };
    let mut tape = || drop(through_tape(p));
    let n = calls(&mut hand);
    calls(&mut tape);
    let (mut hands, mut tapes) = (Vec::new(), Vec::new());
    for i in 0..WINDOWS {
        if i % 2 == 0 {
            hands.push(window(n, &mut hand));
            tapes.push(window(n, &mut tape));
        } else {
            tapes.push(window(n, &mut tape));
            hands.push(window(n, &mut hand));
        }
    }
    [summary(hands), summary(tapes)]
}

fn main() -> Result<()> {
    // `cargo bench` passes this flag; `cargo test --benches` only checks that the program runs.
    let timed = std::env::args().any(|a| a == "--bench");
    println!("forward and backward of a network hidden-hidden-hidden-{OUTPUTS}, {} thread(s), {WINDOWS} windows each, microseconds", num_threads());
    println!("| hidden | batch | by hand, minimum | median | tape, minimum | median | tape adds | overhead |");
    println!("|---|---|---|---|---|---|---|---|");
    for (hidden, batch) in [32, 128, 512].into_iter().flat_map(|h| [1, 32, 128].map(|b| (h, b))) {
        let p = problem(hidden, batch)?;
        let plain: Vec<Variable> = p.parameters.iter().map(Variable::detach).collect();
        check(&p, &plain)?;
        if !timed {
            continue;
        }
        let [[hand, hand_median], [tape, tape_median]] = measure(&p, &plain);
        let (adds, percent) = (tape - hand, (tape / hand - 1.0) * 100.0);
        println!("| {hidden} | {batch} | {hand:.2} | {hand_median:.2} | {tape:.2} | {tape_median:.2} | {adds:.2} | {percent:.1} % |");
    }
    Ok(())
}
