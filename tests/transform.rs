//! Transformations against each other and against loops.

use tapegrad::Result;
use tapegrad::array::Array;
use tapegrad::ops::{IndexItem, add, get_item, matmul, multiply, sin, softmax, sum, tanh};
use tapegrad::tape::Variable;
use tapegrad::transform::{grad, jvp, vmap};

fn array(data: &[f64], shape: &[usize]) -> Variable {
    Array::from_slice(data, shape).into()
}

fn numbers(v: &Variable) -> Vec<f64> {
    v.array().to_vec::<f64>()
}

fn close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() < 1e-9 * (1.0 + y.abs()), "{a:?} != {b:?}");
    }
}

/// A function through elementwise operations, a product, softmax, a view and sums.
fn network(x: &Variable, w: &Variable) -> Result<Variable> {
    let h = tanh(&matmul(w, x)?)?;
    let p = softmax(&multiply(&h, &sin(&h)?)?, -1)?;
    let part = get_item(&p, &[IndexItem::Slice(Some(1), None, None)])?;
    sum(&multiply(&part, &add(&part, 1.5)?)?, None, false)
}

fn weights() -> Variable {
    array(&[0.3, -0.2, 0.5, 0.7, 0.1, -0.4, -0.6, 0.2, 0.9, 0.4, -0.8, 0.25], &[4, 3])
}

#[test]
fn perturbations_are_not_confused() -> Result<()> {
    let one = array(&[1.0], &[]);
    let f = |x: &[Variable]| {
        let inner = |y: &[Variable]| Ok(vec![add(&x[0], &y[0])?]);
        let (_, t) = jvp(&inner, std::slice::from_ref(&one), std::slice::from_ref(&one))?;
        Ok(vec![multiply(&x[0], &t[0])?])
    };
    let (_, t) = jvp(&f, std::slice::from_ref(&one), std::slice::from_ref(&one))?;
    close(&numbers(&t[0]), &[1.0]);
    Ok(())
}

#[test]
fn forward_agrees_with_reverse() -> Result<()> {
    let (x, w) = (array(&[0.2, -0.5, 0.9], &[3]), weights());
    let v = array(&[0.4, 0.1, -0.3], &[3]);
    let f = |x: &[Variable]| Ok(vec![network(&x[0], &w)?]);
    let (_, t) = jvp(&f, std::slice::from_ref(&x), std::slice::from_ref(&v))?;
    let g = grad(&f, &[x])?;
    let dot: f64 = numbers(&g[0]).iter().zip(numbers(&v)).map(|(a, b)| a * b).sum();
    close(&numbers(&t[0]), &[dot]);
    Ok(())
}

#[test]
fn a_hessian_vector_product_is_the_tangent_of_a_gradient() -> Result<()> {
    let (x, w) = (array(&[0.2, -0.5, 0.9], &[3]), weights());
    let v = array(&[0.4, 0.1, -0.3], &[3]);
    let f = |x: &[Variable]| Ok(vec![network(&x[0], &w)?]);
    let gradient = |x: &[Variable]| grad(&f, x);
    let (_, hv) = jvp(&gradient, std::slice::from_ref(&x), std::slice::from_ref(&v))?;
    // The gradient of the tangent, and a difference of gradients.
    let tangent = |x: &[Variable]| Ok(jvp(&f, x, std::slice::from_ref(&v))?.1);
    close(&numbers(&hv[0]), &numbers(&grad(&tangent, std::slice::from_ref(&x))?[0]));
    let h = 1e-5;
    let at = |s: f64| -> Result<Vec<f64>> { Ok(numbers(&grad(&f, &[add(&x, &multiply(&v, s)?)?])?[0])) };
    let difference: Vec<f64> = at(h)?.iter().zip(at(-h)?).map(|(a, b)| (a - b) / (2.0 * h)).collect();
    assert!(numbers(&hv[0]).iter().zip(&difference).all(|(a, b)| (a - b).abs() < 1e-8), "{hv:?} {difference:?}");
    Ok(())
}

#[test]
fn gradients_of_samples_are_those_of_a_loop() -> Result<()> {
    let (x, w) = (array(&[0.2, -0.5, 0.9, 0.3, 0.8, -0.1], &[2, 3]), weights());
    let per_sample = |a: &[Variable]| grad(&|b: &[Variable]| Ok(vec![network(&b[0], &b[1])?]), a);
    let all = vmap(&per_sample, &[x.clone(), w.clone()], &[Some(0), None])?;
    assert_eq!(all[1].shape(), [2, 4, 3]);
    for i in 0..2 {
        let one = per_sample(&[get_item(&x, &[IndexItem::Int(i)])?, w.clone()])?;
        for k in 0..2 {
            close(&numbers(&get_item(&all[k], &[IndexItem::Int(i)])?), &numbers(&one[k]));
        }
    }
    Ok(())
}
