//! Recorded programs from Rust: values, gradients, places, and errors that change nothing.

use std::sync::Arc;

use tapegrad::Result;
use tapegrad::array::{Array, DType, Layout};
use tapegrad::ops;
use tapegrad::program::{Body, Gradients, Loop, Program, SCAN, difference};
use tapegrad::tape::capture::{self, LeafGrad, LeafValue, Place, Trace};
use tapegrad::tape::{BackwardOptions, Edge, Leaf, Operand, Variable, apply_all, backward, grad};

fn array(values: &[f64]) -> Array {
    Array::from_slice(values, &[values.len()])
}

/// Runs one test at a time: a recording is refused while another thread changes parameters, as other tests do.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The recording of `f` of one array.
fn record(x: &Array, places: Vec<Arc<dyn Place>>, f: impl Fn(&Variable) -> Result<Vec<Variable>>) -> Trace {
    let on = capture::begin(std::slice::from_ref(x), places).expect("nothing captures yet");
    let outs: Vec<Array> = f(&x.clone().into()).unwrap().into_iter().map(Variable::into_array).collect();
    on.finish(&outs).unwrap()
}

fn slope(x: &Variable) -> Result<Vec<Variable>> {
    let x = Variable::parameter(x.array().clone())?;
    let y = ops::sum(&ops::multiply(&ops::tanh(&x)?, &ops::exp(&x)?)?, None, false)?;
    let g = grad(&[(y.clone(), None)], std::slice::from_ref(&x), BackwardOptions::default())?;
    Ok(std::iter::once(y).chain(g.into_iter().flatten()).collect())
}

#[test]
fn gradients_are_replayed_bit_for_bit() {
    let _alone = alone();
    let program = Program::new(record(&array(&[0.5, -1.0, 2.0]), vec![], slope)).unwrap();
    for values in [[1.0, 2.0, 3.0], [-0.25, 0.0, 1e-3]] {
        let got = program.run(&[array(&values)]).unwrap();
        let want = slope(&array(&values).into()).unwrap();
        for (a, b) in got.iter().zip(&want) {
            assert_eq!(a.to_vec::<f64>(), b.array().to_vec::<f64>());
        }
    }
}

#[test]
fn dead_steps_common_ones_and_constants_go() {
    let _alone = alone();
    let trace = record(&array(&[1.0, 2.0]), vec![], |x| {
        let unused = ops::exp(x)?;
        ops::tanh(&unused)?;
        let constant = ops::exp(&Array::scalar(0.0).into())?;
        let (a, b) = (ops::sin(x)?, ops::sin(x)?);
        Ok(vec![ops::multiply(&ops::add(&a, &b)?, &constant)?])
    });
    let program = Program::new(trace).unwrap();
    assert_eq!(program.size(), (7, 1), "{}", program.listing());
    assert!(program.listing().contains("group[sin, add, multiply]"), "{}", program.listing());
    let got = program.run(&[array(&[0.5, 1.5])]).unwrap();
    assert_eq!(got[0].to_vec::<f64>(), [0.5_f64.sin() * 2.0, 1.5_f64.sin() * 2.0]);
}

fn places(leaf: &Arc<Leaf>) -> Vec<Arc<dyn Place>> {
    vec![Arc::new(LeafValue(Arc::clone(leaf))), Arc::new(LeafGrad(Arc::clone(leaf)))]
}

#[test]
fn places_are_read_and_written_in_each_call() {
    let _alone = alone();
    let w = Variable::parameter(array(&[1.0, 2.0])).unwrap();
    let Edge::Leaf(leaf) = w.edge().clone() else { panic!("a parameter is a leaf") };
    leaf.set_grad(None);
    let step = |x: &Variable| {
        leaf.set_grad(None);
        backward(&ops::sum(&ops::multiply(&leaf.variable(), x)?, None, false)?)?;
        let g = leaf.grad().map(|g| g.array()).unwrap();
        leaf.set(ops::subtract(&leaf.variable().detach(), &g.into())?);
        Ok(vec![])
    };
    let program = Program::new(record(&array(&[1.0, 1.0]), places(&leaf), step)).unwrap();
    assert_eq!(leaf.array().to_vec::<f64>(), [0.0, 1.0]);
    program.run(&[array(&[0.5, 2.0])]).unwrap();
    assert_eq!(leaf.array().to_vec::<f64>(), [-0.5, -1.0]);
    assert_eq!(leaf.grad().unwrap().array().to_vec::<f64>(), [0.5, 2.0]);
}

#[test]
fn recordings_are_compared() {
    let _alone = alone();
    let with = |c: f64| record(&array(&[1.0]), vec![], |x| Ok(vec![ops::multiply(x, &Variable::from(array(&[c])))?]));
    assert_eq!(difference(&with(2.0), &with(2.0)), None);
    assert!(difference(&with(2.0), &with(3.0)).unwrap().contains("3.0 was 2.0"));
    let other = record(&array(&[1.0]), vec![], |x| Ok(vec![ops::add(x, 2.0)?]));
    assert!(difference(&with(2.0), &other).is_some());
}

#[test]
fn constants_are_compared_by_their_bits() {
    let _alone = alone();
    let with = |c: &Array| record(&array(&[1.0, 2.0]), vec![], |x| Ok(vec![ops::multiply(&ops::sum(x, None, false)?, &Variable::from(c.clone()))?]));
    let differ = |a: &Array, b: &Array| difference(&with(a), &with(b));
    let nan = array(&[f64::NAN, 1.0]);
    assert_eq!(differ(&nan, &nan.copy()), None);
    let other_nan = array(&[f64::from_bits(f64::NAN.to_bits() ^ 1), 1.0]);
    assert!(differ(&nan, &other_nan).unwrap().contains("NaN was NaN"));
    assert!(differ(&array(&[0.0, 1.0]), &array(&[-0.0, 1.0])).unwrap().contains("-0.0 was 0.0"));
    // The last of many elements, in arrays whose elements do not follow each other in memory.
    let columns = |last: f64| {
        let all: Vec<f64> = (0..2000).map(|i| if i == 1999 { last } else { f64::from(i) }).collect();
        let rows = Array::from_slice(&all, &[1000, 2]);
        rows.with_layout(rows.layout().permute(&[1, 0]))
    };
    assert_eq!(differ(&columns(7.0), &columns(7.0)), None);
    assert!(differ(&columns(7.0), &columns(8.0)).unwrap().contains("8.0 was 7.0"));
    assert!(differ(&array(&[1.0]), &array(&[1.0, 2.0])).is_some());
    for dtype in [DType::Bool, DType::F16, DType::F32, DType::C128] {
        assert_eq!(differ(&Array::ones(&[3], dtype), &Array::ones(&[3], dtype)), None, "{dtype}");
        assert!(differ(&Array::ones(&[3], dtype), &Array::zeros(&[3], dtype)).is_some(), "{dtype}");
    }
}

#[test]
fn numbers_are_compared_by_their_bits() {
    let _alone = alone();
    let with = |c: f64| record(&array(&[1.0]), vec![], |x| Ok(vec![ops::multiply(x, c)?]));
    assert_eq!(difference(&with(f64::NAN), &with(f64::NAN)), None);
    assert!(difference(&with(0.0), &with(-0.0)).unwrap().contains("the number -0"));
}

#[test]
fn a_program_with_a_pullback_checks_its_inputs_and_cotangents() {
    let _alone = alone();
    let x = array(&[0.5, -1.0]);
    let on = capture::begin(std::slice::from_ref(&x), vec![]).unwrap();
    let x = Variable::parameter(x).unwrap();
    let y = ops::tanh(&x).unwrap();
    let (split, ones) = (capture::step_count(), Array::ones(&[2], DType::F64));
    capture::add_inputs(std::slice::from_ref(&ones));
    let g = grad(&[(y.clone(), Some(ones.clone().into()))], &[x], BackwardOptions::default()).unwrap().remove(0).unwrap();
    let want = y.array().to_vec::<f64>();
    let program = Program::with_pullback(on.finish(&[y.into_array(), g.into_array()]).unwrap(), split, 1, 1).unwrap();
    for inputs in [vec![], vec![ones.clone(), ones.clone()]] {
        assert!(program.run(&inputs).is_err_and(|e| e.to_string().contains("expected 1")));
    }
    let (out, rest) = program.run_first(&[array(&[0.5, -1.0])], None).unwrap();
    assert_eq!(out[0].to_vec::<f64>(), want);
    for cotangents in [vec![], vec![ones.clone(), ones.clone()]] {
        assert!(program.pull(&rest, &cotangents).is_err_and(|e| e.to_string().contains("expected 1")));
    }
    assert_eq!(program.pull(&rest, &[ones]).unwrap().len(), 1);
}

#[test]
fn inputs_are_checked() {
    let _alone = alone();
    let program = Program::new(record(&array(&[1.0, 2.0]), vec![], |x| Ok(vec![ops::exp(x)?]))).unwrap();
    assert!(program.run(&[array(&[1.0])]).is_err());
    assert!(program.run(&[Array::zeros(&[2], DType::F32)]).is_err());
    assert!(program.run(&[]).is_err());
}

#[test]
fn reads_end_a_recording() {
    let _alone = alone();
    let x = array(&[1.0, 2.0]);
    let on = capture::begin(std::slice::from_ref(&x), vec![]).unwrap();
    assert!(capture::begin(&[], vec![]).is_none(), "one at a time");
    let y = ops::exp(&x.into()).unwrap();
    y.values("item").unwrap();
    assert!(on.finish(&[y.into_array()]).is_err_and(|reason| reason.contains("item")));
    assert!(!capture::is_begun());
}

fn cell(h: &Variable, x: &Variable, w: &Variable) -> Result<Variable> {
    // The sine of w is the same in all steps.
    ops::tanh(&ops::add(&ops::multiply(&ops::sin(w)?, h)?, x)?)
}

/// The body of a loop over `cell`, whose new state is also its result.
fn recorded_cell() -> Arc<Body> {
    let given = [array(&[0.1, 0.2]), array(&[0.3, 0.4]), array(&[0.5, -0.6])];
    let on = capture::begin(&given, vec![]).unwrap();
    let inputs = given.clone().map(|a| Variable::parameter(a).unwrap());
    let y = cell(&inputs[0], &inputs[1], &inputs[2]).unwrap();
    let split = capture::step_count();
    let ones = [Array::ones(&[2], DType::F64), Array::ones(&[2], DType::F64)];
    capture::add_inputs(&ones);
    let roots = ones.map(|g| (y.clone(), Some(g.into())));
    let found = grad(&roots, &inputs, BackwardOptions::default()).unwrap();
    let outputs: Vec<Array> = [y.clone(), y].into_iter().chain(found.into_iter().flatten()).map(Variable::into_array).collect();
    let trace = on.finish(&outputs).unwrap();
    let layouts = given.iter().map(|a| (a.layout().clone(), a.dtype())).collect();
    let gradients = Gradients { split, live: vec![0, 1], of: vec![Some(0), Some(1), Some(2)] };
    Arc::new(Body::new(trace, layouts, 1, 1, Some(gradients)).unwrap())
}

#[test]
fn a_loop_runs_its_body_and_its_pullbacks() {
    let _alone = alone();
    let body = recorded_cell();
    let values = (0..10).map(|i| f64::from(i).cos()).collect::<Vec<_>>();
    let inputs = [array(&[0.5, -1.0]), Array::from_slice(&values, &[5, 2]), array(&[0.75, 2.0])].map(|a| Variable::parameter(a).unwrap());
    let value = |outs: &[Variable]| ops::sum(&ops::multiply(&outs[0], &outs[1]).unwrap(), None, false).unwrap();
    let gradients = |y: Variable| {
        let found = grad(&[(y, None)], &inputs, BackwardOptions::default()).unwrap();
        found.into_iter().map(|g| g.unwrap().into_array().to_vec::<f64>()).collect::<Vec<_>>()
    };
    let operands: Vec<Operand<'_>> = inputs.iter().map(Operand::from).collect();
    let got = apply_all(&SCAN, &operands, &Loop::new(Arc::clone(&body), 5, None)).unwrap();
    let (mut h, mut ys) = (inputs[0].clone(), Vec::new());
    for i in 0..5 {
        h = cell(&h, &ops::get_item(&inputs[1], &[ops::IndexItem::Int(i)]).unwrap(), &inputs[2]).unwrap();
        ys.push(h.clone());
    }
    let want = [h, ops::stack(&ys, 0).unwrap()];
    for (a, b) in got.iter().zip(&want) {
        assert_eq!(a.array().to_vec::<f64>(), b.array().to_vec::<f64>());
    }
    let (got, want) = (gradients(value(&got)), gradients(value(&want)));
    for (a, b) in got.iter().flatten().zip(want.iter().flatten()) {
        assert!((a - b).abs() < 1e-14, "{a} {b}");
    }

    let step = || record(&array(&[1.0, 2.0]), vec![], |x| Ok(vec![ops::exp(x).unwrap()]));
    let meta = vec![(Layout::contiguous(&[2]), DType::F64)];
    for (operands, carries, xs) in [(meta.clone(), 2, 0), (meta.clone(), 1, 1), (vec![], 0, 0), (meta.clone(), 1, usize::MAX)] {
        assert!(Body::new(step(), operands, carries, xs, None).is_err_and(|e| e.to_string().contains("other numbers")));
    }
    let surplus = Gradients { split: 0, live: vec![], of: vec![Some(1)] };
    assert!(Body::new(step(), meta, 1, 0, Some(surplus)).is_err());

    let wrong = Loop::new(body, 4, None);
    assert!(apply_all(&SCAN, &operands, &wrong).is_err_and(|e| e.to_string().contains("4 rows")));
    assert!(apply_all(&SCAN, &operands[..2], &wrong).is_err());
}

#[test]
fn captures_inside_of_another_one_see_what_it_sees() {
    let _alone = alone();
    let x = array(&[1.0, 2.0]);
    let outer = capture::begin(std::slice::from_ref(&x), vec![]).unwrap();
    let y = ops::exp(&x.into()).unwrap();
    let inner = capture::begin_inside(std::slice::from_ref(y.array()), vec![], 0);
    let z = ops::sin(&y).unwrap();
    let alone = capture::alone();
    ops::cos(&z).unwrap();
    drop(alone);
    let (inner, outer) = (inner.finish(&[z.array().clone()]).unwrap(), outer.finish(&[z.into_array()]).unwrap());
    assert_eq!((inner.steps.len(), outer.steps.len()), (2, 2));
    assert!(!capture::is_begun());
    let program = Program::new(inner).unwrap();
    assert_eq!(program.run(&[array(&[0.5, 1.0])]).unwrap()[0].to_vec::<f64>(), [0.5_f64.sin(), 1.0_f64.sin()]);
}
