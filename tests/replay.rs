//! Recorded programs from Rust: values, gradients, places, and errors that change nothing.

use std::sync::Arc;

use tapegrad::Result;
use tapegrad::array::{Array, DType};
use tapegrad::ops;
use tapegrad::program::{Program, difference};
use tapegrad::tape::capture::{self, LeafGrad, LeafValue, Place, Trace};
use tapegrad::tape::{BackwardOptions, Edge, Leaf, Variable, backward, grad};

fn array(values: &[f64]) -> Array {
    Array::from_slice(values, &[values.len()])
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
    let with = |c: f64| record(&array(&[1.0]), vec![], |x| Ok(vec![ops::multiply(x, &Variable::from(array(&[c])))?]));
    assert_eq!(difference(&with(2.0), &with(2.0)), None);
    assert!(difference(&with(2.0), &with(3.0)).unwrap().contains("3.0 was 2.0"));
    let other = record(&array(&[1.0]), vec![], |x| Ok(vec![ops::add(x, 2.0)?]));
    assert!(difference(&with(2.0), &other).is_some());
}

#[test]
fn inputs_are_checked() {
    let program = Program::new(record(&array(&[1.0, 2.0]), vec![], |x| Ok(vec![ops::exp(x)?]))).unwrap();
    assert!(program.run(&[array(&[1.0])]).is_err());
    assert!(program.run(&[Array::zeros(&[2], DType::F32)]).is_err());
    assert!(program.run(&[]).is_err());
}

#[test]
fn reads_end_a_recording() {
    let x = array(&[1.0, 2.0]);
    let on = capture::begin(std::slice::from_ref(&x), vec![]).unwrap();
    assert!(capture::begin(&[], vec![]).is_none(), "one at a time");
    let y = ops::exp(&x.into()).unwrap();
    y.values("item").unwrap();
    assert!(on.finish(&[y.into_array()]).is_err_and(|reason| reason.contains("item")));
    assert!(!capture::is_begun());
}
