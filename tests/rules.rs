//! Every rule of the registry against differences: first and second order, in float64, for all its samples.

use tapegrad::array::{Array, Scalar};
use tapegrad::ops::registry::{Arg, Args, Entry, Gradient, Value};
use tapegrad::ops::samples::{Draw, REAL};
use tapegrad::ops::{add, complex, multiply, sum};
use tapegrad::registry::entries;
use tapegrad::tape::{BackwardOptions, Variable, grad};

#[path = "shared/sampling.rs"]
mod sampling;

/// The number of samples of a row that run when a seed is set.
const SAMPLES: usize = 3;

/// Calls `entry` with arguments.
fn call(entry: &Entry, args: &[Arg]) -> Vec<Variable> {
    match (entry.call)(&Args::new(entry.name, args)) {
        Ok(Value::One(v)) => vec![v],
        Ok(Value::Many(v)) => v,
        Err(e) => panic!("{}: {e}", entry.name),
    }
}

/// The floating arrays among the arguments.
fn arrays(args: &[Arg]) -> Vec<Variable> {
    let mut out = Vec::new();
    for a in args {
        match a {
            Arg::Variable(v) if v.dtype().is_inexact() => out.push(v.clone()),
            Arg::Variables(vs) => out.extend(vs.iter().filter(|v| v.dtype().is_inexact()).cloned()),
            _ => {}
        }
    }
    out
}

/// The arguments with other floating arrays.
fn with_arrays(args: &[Arg], new: &[Variable]) -> Vec<Arg> {
    let mut new = new.iter();
    let mut swap = |v: &Variable| if v.dtype().is_inexact() { new.next().unwrap().clone() } else { v.clone() };
    args.iter()
        .map(|a| match a {
            Arg::Variable(v) => Arg::Variable(swap(v)),
            Arg::Variables(vs) => Arg::Variables(vs.iter().map(&mut swap).collect()),
            other => other.clone(),
        })
        .collect()
}

/// The numbers of a real array, or the parts of a complex one.
fn parts(v: &Variable) -> Vec<f64> {
    v.array().seen_as(v.dtype().real()).to_vec::<f64>()
}

/// The inner product of real vectors, in which a complex number is two components.
fn dot(a: &Variable, b: &Variable) -> f64 {
    parts(a).iter().zip(parts(b)).map(|(x, y)| x * y).sum()
}

fn dots(a: &[Variable], b: &[Variable]) -> f64 {
    a.iter().zip(b).map(|(a, b)| dot(a, b)).sum()
}

fn random(like: &[Variable], seed: u64) -> Vec<Variable> {
    let draw = &mut Draw::new(seed);
    let mut one = |v: &Variable| {
        if v.dtype().is_complex() {
            complex(&REAL.array(draw, v.shape()), &REAL.array(draw, v.shape())).unwrap()
        } else {
            REAL.array(draw, v.shape())
        }
    };
    like.iter().map(&mut one).collect()
}

fn moved(xs: &[Variable], d: &[Variable], h: f64) -> Vec<Variable> {
    xs.iter().zip(d).map(|(x, d)| add(x, &multiply(d, h).unwrap()).unwrap()).collect()
}

fn leaves(xs: &[Variable]) -> Vec<Variable> {
    xs.iter().map(|x| Variable::parameter(x.array().clone()).unwrap()).collect()
}

/// Gradients of Σ u · f by the arrays; zeros where nothing flows.
fn gradients(entry: &Entry, args: &[Arg], xs: &[Variable], u: &[Variable], create_graph: bool) -> Vec<Variable> {
    let outs = call(entry, &with_arrays(args, xs));
    let roots: Vec<_> = outs.into_iter().zip(u).filter(|(o, _)| o.is_tracked()).map(|(o, u)| (o, Some(u.clone()))).collect();
    if roots.is_empty() {
        return xs.iter().map(|x| Array::full(x.shape(), Scalar::Int(0), x.dtype()).into()).collect();
    }
    let grads = grad(&roots, xs, BackwardOptions { create_graph, retain_graph: create_graph, ..BackwardOptions::default() }).unwrap();
    grads.into_iter().zip(xs).map(|(g, x)| g.unwrap_or_else(|| Array::full(x.shape(), Scalar::Int(0), x.dtype()).into())).collect()
}

fn close(what: &str, analytic: f64, numeric: f64, scale: f64) {
    let tolerance = 2e-6 * (1.0 + scale + analytic.abs());
    assert!((analytic - numeric).abs() <= tolerance, "{what}: analytic {analytic}, numeric {numeric}");
}

fn check(entry: &Entry, args: &[Arg], label: &str) {
    const H: f64 = 1e-5;
    let xs = leaves(&arrays(args));
    let outs = call(entry, &with_arrays(args, &xs));
    let floats: Vec<Variable> = outs.iter().filter(|o| o.dtype().is_inexact()).cloned().collect();
    if floats.is_empty() || xs.is_empty() {
        return;
    }
    let u: Vec<Variable> = outs
        .iter()
        .enumerate()
        .map(|(i, o)| if o.dtype().is_inexact() { random(std::slice::from_ref(o), 11 + i as u64).remove(0) } else { o.detach() })
        .collect();
    let value = |xs: &[Variable]| -> f64 {
        let outs = call(entry, &with_arrays(args, xs));
        outs.iter().zip(&u).filter(|(o, _)| o.dtype().is_inexact()).map(|(o, u)| dot(o, u)).sum()
    };
    let plain: Vec<Variable> = xs.iter().map(Variable::detach).collect();

    let g = gradients(entry, args, &xs, &u, false);
    for (g, x) in g.iter().zip(&xs) {
        assert_eq!(g.shape(), x.shape(), "{label}: a gradient has the shape of its input");
        assert_eq!(g.dtype(), x.dtype(), "{label}: a gradient has the dtype of its input");
    }
    let d = random(&plain, 23);
    let numeric = (value(&moved(&plain, &d, H)) - value(&moved(&plain, &d, -H))) / (2.0 * H);
    close(&format!("{label}, first order"), dots(&g, &d), numeric, value(&plain).abs());

    // The recorded rule is the same formula: it has the same values, and can be differentiated again.
    let recorded = gradients(entry, args, &xs, &u, true);
    for (a, b) in g.iter().zip(&recorded) {
        for (x, y) in parts(a).iter().zip(parts(b)) {
            assert!((x - y).abs() <= 1e-12 * (1.0 + x.abs()) || (x.is_nan() && y.is_nan()), "{label}: fused {x}, recorded {y}");
        }
    }
    let roots: Vec<_> = recorded.iter().zip(&d).filter(|(g, _)| g.is_tracked()).map(|(g, d)| (g.clone(), Some(d.clone()))).collect();
    let slope = |xs: &[Variable]| dots(&gradients(entry, args, &leaves(xs), &u, false), &d);
    let e = random(&plain, 37);
    let numeric = (slope(&moved(&plain, &e, H)) - slope(&moved(&plain, &e, -H))) / (2.0 * H);
    let analytic = if roots.is_empty() {
        0.0
    } else {
        let second = grad(&roots, &xs, BackwardOptions::default()).unwrap();
        second.iter().zip(&e).map(|(s, e)| s.as_ref().map_or(0.0, |s| dot(s, e))).sum()
    };
    close(&format!("{label}, second order"), analytic, numeric, slope(&plain).abs());
}

#[test]
fn every_rule_agrees_with_differences() {
    for entry in entries().filter(|e| e.gradient != Gradient::None) {
        let samples = (entry.samples)();
        for i in sampling::chosen(&entry.path(), samples.len(), SAMPLES) {
            check(entry, &samples[i].args, &format!("{} sample {i}", entry.path()));
        }
    }
}

#[test]
fn operations_without_a_derivative_never_track() {
    for entry in entries().filter(|e| e.gradient == Gradient::None) {
        for sample in (entry.samples)() {
            let xs = leaves(&arrays(&sample.args));
            for out in call(entry, &with_arrays(&sample.args, &xs)) {
                assert!(!out.is_tracked(), "{} is declared non-differentiable but its output tracks", entry.name);
            }
        }
    }
}

#[test]
fn every_row_is_complete() {
    for entry in entries() {
        assert!(entry.doc.contains(">>> "), "{}: its doc has no example", entry.name);
        let tested_elsewhere = entry.gradient == Gradient::None || matches!(entry.gradient, Gradient::Composite(_));
        assert!(tested_elsewhere || !(entry.samples)().is_empty(), "{}: it has a rule but no samples", entry.name);
    }
    let mut names: Vec<(&str, &str)> =
        entries().flat_map(|e| std::iter::once(e.name).chain(e.aliases.iter().copied()).map(|name| (e.module, name))).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|w| w[0] == w[1]);
    assert!(twice.is_none(), "two rows share the name {:?}", twice.unwrap()[0]);
}

#[test]
fn the_gradient_of_a_sum_of_products_is_the_other_factor_itself() {
    let [x, y] = [[1.5, -0.0, f64::NAN, 2.0], [0.5, f64::INFINITY, 3.0, -7.0]].map(|v| Variable::parameter(Array::from_slice(&v, &[2, 2])).unwrap());
    let total = sum(&multiply(&x, &y).unwrap(), None, false).unwrap();
    let grads = grad(&[(total, None)], &[x.clone(), y.clone()], BackwardOptions::default()).unwrap();
    for (g, other) in grads.into_iter().zip([y, x]) {
        assert_eq!(g.unwrap().array().storage().as_ptr(), other.array().storage().as_ptr());
    }
}
