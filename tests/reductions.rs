//! Reductions and the softmax family in the difficult cases: NaN, ties, empty arrays, infinities, zeros, huge logits. In all other cases
//! they are compared with the definition in plain ndarray code.

use ndarray::{ArrayD, Axis};
use tapegrad::array::{Array, DType, Layout, Scalar};
use tapegrad::kernel::parallel::{num_threads, set_num_threads};
use tapegrad::ops::registry::{Arg, Args, Value};
use tapegrad::ops::{self, samples};
use tapegrad::registry::find;
use tapegrad::tape::{BackwardOptions, Variable, backward, grad};
use tapegrad::{Error, Result};

const INF: f64 = f64::INFINITY;

fn array(data: &[f64], shape: &[usize]) -> Variable {
    Array::from_slice(data, shape).into()
}

fn leaf(data: &[f64], shape: &[usize]) -> Variable {
    Variable::parameter(Array::from_slice(data, shape)).unwrap()
}

fn values(v: &Variable) -> Vec<f64> {
    v.array().to_vec()
}

/// The gradient of the sum of `f` at `data`.
fn gradient(data: &[f64], shape: &[usize], f: impl Fn(&Variable) -> Result<Variable>) -> Vec<f64> {
    let x = leaf(data, shape);
    backward(&ops::sum(&f(&x).unwrap(), None, false).unwrap()).unwrap();
    x.grad().unwrap().to_vec()
}

fn call(name: &str, args: &[Arg]) -> Variable {
    match (find(name).unwrap().call)(&Args::new("", args)) {
        Ok(Value::One(v)) => v,
        other => panic!("{name}: {other:?}"),
    }
}

fn same(got: &[f64], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (g, w) in got.iter().zip(want) {
        let close = (g - w).abs() <= 1e-12 * (1.0 + w.abs()) || (g.is_nan() && w.is_nan()) || g.to_bits() == w.to_bits();
        assert!(close, "{what}: got {got:?}, expected {want:?}");
    }
}

/// Every run of elements along `axes` of `x`, in row-major order of the rest.
fn runs(x: &Array, axes: &[usize]) -> Vec<Vec<f64>> {
    let rest: Vec<usize> = (0..x.ndim()).filter(|a| !axes.contains(a)).collect();
    let order: Vec<usize> = rest.iter().chain(axes).copied().collect();
    let moved: ArrayD<f64> = x.view::<f64>().permuted_axes(order).as_standard_layout().to_owned();
    let count: usize = axes.iter().map(|&a| x.shape()[a]).product();
    moved.into_raw_vec_and_offset().0.chunks(count.max(1)).map(<[f64]>::to_vec).collect()
}

fn layouts() -> Vec<Variable> {
    let draw = &mut samples::Draw::new(3);
    let x = samples::REAL.array(draw, &[3, 4, 5]);
    let t = x.array().with_layout(x.array().layout().permute(&[2, 0, 1]));
    let stretched = t.with_layout(Layout::strided(&[2, 5, 4], &[0, 1, 5], 0));
    vec![x, t.into(), stretched.into(), samples::REAL.strided(draw, &[4, 3, 2])]
}

type Reduction = fn(&Variable, Option<&[isize]>, bool) -> Result<Variable>;

/// The definition of a reduction, for one run of elements.
type Definition = fn(&[f64]) -> f64;

fn count(r: &[f64]) -> f64 {
    f64::from(u32::try_from(r.len()).unwrap())
}

fn mean(r: &[f64]) -> f64 {
    r.iter().sum::<f64>() / count(r)
}

fn variance(r: &[f64], correction: f64) -> f64 {
    r.iter().map(|v| (v - mean(r)).powi(2)).sum::<f64>() / (count(r) - correction)
}

#[test]
fn forwards_are_the_definitions() {
    let table: [(&str, Reduction, Definition); 12] = [
        ("sum", ops::sum, |r| r.iter().sum()),
        ("mean", ops::mean, mean),
        ("prod", ops::prod, |r| r.iter().product()),
        ("max", ops::max, |r| r.iter().copied().fold(-INF, f64::max)),
        ("min", ops::min, |r| r.iter().copied().fold(INF, f64::min)),
        ("var", |x, a, k| ops::var(x, a, k, 1.0), |r| variance(r, 1.0)),
        ("std", |x, a, k| ops::std(x, a, k, 0.5), |r| variance(r, 0.5).sqrt()),
        ("norm 1", |x, a, k| ops::vector_norm(x, a, k, 1.0), |r| r.iter().map(|v| v.abs()).sum()),
        ("norm 2", |x, a, k| ops::vector_norm(x, a, k, 2.0), |r| r.iter().map(|v| v * v).sum::<f64>().sqrt()),
        ("norm 3", |x, a, k| ops::vector_norm(x, a, k, 3.0), |r| r.iter().map(|v| v.abs().powi(3)).sum::<f64>().cbrt()),
        ("norm -2", |x, a, k| ops::vector_norm(x, a, k, -2.0), |r| r.iter().map(|v| v.powi(-2)).sum::<f64>().powf(-0.5)),
        ("logsumexp", ops::logsumexp, |r| r.iter().map(|v| v.exp()).sum::<f64>().ln()),
    ];
    for x in layouts() {
        for axes in [&[0][..], &[1], &[2], &[0, 1], &[1, 2], &[0, 2], &[0, 1, 2]] {
            let named: Vec<isize> = axes.iter().map(|&a: &usize| a.cast_signed() - 3).collect();
            for (name, f, definition) in table {
                let want: Vec<f64> = runs(x.array(), axes).iter().map(|r| definition(r)).collect();
                let kept = f(&x, Some(&named), true).unwrap();
                same(&values(&f(&x, Some(&named), false).unwrap()), &want, name);
                same(&values(&kept), &want, name);
                assert!((0..3).all(|a| kept.shape()[a] == if axes.contains(&a) { 1 } else { x.shape()[a] }), "{name}");
            }
        }
    }
}

#[test]
fn softmax_along_every_axis() {
    for x in layouts() {
        for axis in 0..3_usize {
            let e = x.array().view::<f64>().mapv(f64::exp);
            let total = e.sum_axis(Axis(axis)).insert_axis(Axis(axis));
            let want: Vec<f64> = (&e / &total).iter().copied().collect();
            same(&values(&ops::softmax(&x, axis.cast_signed()).unwrap()), &want, "softmax");
            let want: Vec<f64> = want.iter().map(|v| v.ln()).collect();
            same(&values(&ops::log_softmax(&x, axis.cast_signed() - 3).unwrap()), &want, "log_softmax");
        }
    }
}

#[test]
fn dtypes_of_sums_and_products() {
    let small: Variable = Array::from_slice(&[200_u8, 100], &[2]).into();
    let out = ops::sum(&small, None, false).unwrap();
    assert_eq!((out.dtype(), out.array().to_vec::<u64>()), (DType::U64, vec![300]));
    let truth: Variable = Array::from_slice(&[true, true, false], &[3]).into();
    assert_eq!(ops::sum(&truth, None, false).unwrap().array().to_vec::<i64>(), [2]);
    assert_eq!(ops::prod(&truth, None, false).unwrap().array().to_vec::<i64>(), [0]);
    assert_eq!(ops::mean(&truth, None, false).unwrap().dtype(), DType::F32);
    let typed = |name: &str, x: &Variable, d| call(name, &[Arg::Variable(x.clone()), Arg::None, Arg::Bool(false), Arg::DType(d)]);
    assert_eq!(typed("sum", &small, DType::U8).array().to_vec::<u8>(), [44]);
    assert_eq!(typed("sum", &small, DType::F64).array().to_vec::<f64>(), [300.0]);
    assert_eq!(typed("prod", &small, DType::F32).array().to_vec::<f32>(), [20_000.0]);
    assert_eq!(typed("sum", &truth, DType::Bool).array().to_vec::<bool>(), [true]);
    assert_eq!(typed("prod", &truth, DType::Bool).array().to_vec::<bool>(), [false]);
    assert_eq!(typed("mean", &small, DType::F64).array().to_vec::<f64>(), [150.0]);
    let args = [Arg::Variable(small), Arg::None, Arg::Bool(false), Arg::DType(DType::I32)];
    assert!(matches!((find("mean").unwrap().call)(&Args::new("mean", &args)), Err(Error::DType(_))));
}

#[test]
fn wrong_axes_are_named() {
    let x = array(&[0.0; 6], &[2, 3]);
    let twice = ops::sum(&x, Some(&[1, -1]), false).unwrap_err();
    assert!(matches!(twice, Error::Axis(_)) && twice.to_string() == "sum: axis 1 is named twice in [1, -1]", "{twice}");
    assert!(matches!(ops::mean(&x, Some(&[2]), false), Err(Error::Axis(_))));
    assert!(matches!(ops::argmax(&x, Some(-3), false), Err(Error::Axis(_))));
    assert!(matches!(ops::softmax(&x, 2), Err(Error::Axis(_))));
    assert!(matches!(ops::log_softmax(&array(&[1.0], &[]), 1), Err(Error::Axis(_))));
    assert!(matches!(ops::vector_norm(&x, None, false, f64::NAN), Err(Error::Value(_))));
}

#[test]
fn nothing_to_reduce() {
    let x = array(&[], &[0, 3]);
    assert_eq!(values(&ops::sum(&x, Some(&[0]), false).unwrap()), [0.0; 3]);
    assert_eq!(values(&ops::prod(&x, None, false).unwrap()), [1.0]);
    assert!(values(&ops::mean(&x, None, false).unwrap())[0].is_nan());
    assert!(values(&ops::var(&x, None, false, 0.0).unwrap())[0].is_nan());
    assert_eq!(values(&ops::logsumexp(&x, Some(&[0]), false).unwrap()), [-INF; 3]);
    assert_eq!(values(&ops::vector_norm(&x, None, false, 2.0).unwrap()), [0.0]);
    assert_eq!(values(&ops::vector_norm(&x, None, false, 3.0).unwrap()), [0.0]);
    for f in [ops::max as Reduction, ops::min, |x, a, k| ops::vector_norm(x, a, k, INF)] {
        assert!(matches!(f(&x, Some(&[0]), false), Err(Error::Value(_))));
        assert!(matches!(f(&x, None, false), Err(Error::Value(_))));
        assert_eq!(f(&x, Some(&[1]), true).unwrap().shape(), &[0, 1]);
    }
    assert!(ops::argmax(&x, Some(0), false).unwrap_err().to_string().starts_with("argmax: nothing to choose from"));
    assert_eq!(ops::argmin(&x, Some(1), true).unwrap().shape(), &[0, 1]);
    assert_eq!(ops::any(&x, None, false).unwrap().array().to_vec::<bool>(), [false]);
    assert_eq!(ops::all(&x, Some(&[0]), false).unwrap().array().to_vec::<bool>(), [true; 3]);
    assert_eq!(gradient(&[], &[0, 3], |x| ops::mean(x, Some(&[0]), false)), [0.0; 0]);
}

#[test]
fn extrema_share_their_gradient() {
    same(&gradient(&[1.0, 3.0, 3.0], &[3], |x| ops::max(x, None, false)), &[0.0, 0.5, 0.5], "max");
    same(&gradient(&[2.0; 4], &[4], |x| ops::min(x, None, true)), &[0.25; 4], "min");
    same(&gradient(&[1.0, 1.0, 0.0, 2.0, 3.0, 3.0], &[3, 2], |x| ops::max(x, Some(&[1]), false)), &[0.5, 0.5, 0.0, 1.0, 0.5, 0.5], "rows");
    same(&gradient(&[INF, INF, 0.0], &[3], |x| ops::max(x, None, false)), &[0.5, 0.5, 0.0], "infinite");
    same(&gradient(&[1.0, f64::NAN, 3.0], &[3], |x| ops::max(x, None, false)), &[0.0, f64::NAN, 0.0], "NaN");
    assert!(values(&ops::min(&array(&[1.0, f64::NAN], &[2]), None, false).unwrap())[0].is_nan());
    same(&gradient(&[0.0; 3], &[3], |x| ops::vector_norm(x, None, false, INF)), &[0.0; 3], "norm at 0");
}

#[test]
fn positions_and_counts() {
    let x = array(&[1.0, f64::NAN, -2.0, 4.0, 5.0, -INF], &[2, 3]);
    let at = |v: Result<Variable>| v.unwrap().array().to_vec::<i64>();
    assert_eq!(at(ops::argmax(&x, Some(1), false)), [1, 1]);
    assert_eq!(at(ops::argmin(&x, Some(-1), true)), [1, 2]);
    assert_eq!(at(ops::argmin(&x, None, false)), [1]);
    assert_eq!(ops::argmax(&x, None, true).unwrap().shape(), &[1, 1]);
    assert_eq!(at(ops::argmax(&array(&[2.0, 1.0, 2.0], &[3]), None, false)), [0]);
    assert_eq!(at(ops::argmax(&Variable::from(Array::from_slice(&[false, true, true], &[3])), None, false)), [1]);
    assert_eq!(at(ops::count_nonzero(&x, Some(&[0]), true)), [2, 2, 2]);
}

#[test]
fn products_with_zeros() {
    same(&gradient(&[2.0, 0.0, 3.0], &[3], |x| ops::prod(x, None, false)), &[0.0, 6.0, 0.0], "one zero");
    same(&gradient(&[0.0, 0.0, 3.0], &[3], |x| ops::prod(x, None, false)), &[0.0; 3], "two zeros");
    // The Hessian of xyz at (2, 0, 0), third derivatives, and again through the same rule.
    let x = leaf(&[2.0, 0.0, 0.0], &[3]);
    let options = BackwardOptions { create_graph: true, retain_graph: true, ..BackwardOptions::default() };
    let along = |y: &Variable, d: &[f64]| grad(&[(y.clone(), Some(array(d, &[3])))], std::slice::from_ref(&x), options).unwrap().remove(0).unwrap();
    let first = grad(&[(ops::prod(&x, None, false).unwrap(), None)], std::slice::from_ref(&x), options).unwrap().remove(0).unwrap();
    same(&values(&first), &[0.0; 3], "first");
    let second = along(&first, &[0.0, 1.0, 0.0]);
    same(&values(&second), &[0.0, 0.0, 2.0], "second");
    let third = along(&second, &[0.0, 0.0, 1.0]);
    same(&values(&third), &[1.0, 0.0, 0.0], "third");
    same(&values(&along(&third, &[1.0, 0.0, 0.0])), &[0.0; 3], "fourth");
}

#[test]
fn constants_have_no_spread() {
    for c in [2.0, 0.1, 1e10 / 3.0, -1e-12] {
        let f = |x: &Variable| ops::std(x, None, false, 1.0);
        same(&values(&f(&array(&[c; 7], &[7])).unwrap()), &[0.0], "std");
        same(&gradient(&[c; 7], &[7], f), &[0.0; 7], "gradient");
    }
    same(&gradient(&[1.0, 1.0, 1.0, 3.0], &[2, 2], |x| ops::std(x, Some(&[1]), false, 0.0)), &[0.0, 0.0, -0.5, 0.5], "one constant row");
    // A large mean does not cost digits of the variance.
    let far = array(&[1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0], &[3]);
    same(&values(&ops::var(&far, None, false, 1.0).unwrap()), &[1.0], "far away");
    assert!(values(&ops::var(&far, None, false, 3.0).unwrap())[0].is_infinite());
    let named = call("var", &[Arg::Variable(far), Arg::None, Arg::Bool(true), Arg::Float(0.0)]);
    same(&values(&named), &[2.0 / 3.0], "by name");
}

#[test]
fn norms_at_zero_and_out_of_range() {
    for ord in [2.0, 1.0, 3.0, 1.5, 0.5, 0.0, -1.0, INF, -INF] {
        let f = |x: &Variable| ops::vector_norm(x, None, false, ord);
        same(&gradient(&[0.0; 3], &[3], f), &[0.0; 3], "norm at 0");
        same(&values(&f(&array(&[0.0; 3], &[3])).unwrap()), &[0.0], "norm of 0");
    }
    for scale in [1e200, 1e-200] {
        let x = [3.0 * scale, -4.0 * scale];
        let norm = values(&ops::vector_norm(&array(&x, &[2]), None, false, 2.0).unwrap())[0];
        assert!((norm / scale - 5.0).abs() < 1e-12);
        same(&gradient(&x, &[2], |x| ops::vector_norm(x, None, false, 2.0)), &[0.6, -0.8], "gradient");
    }
    let counted = array(&[0.0, f64::NAN, 2.0], &[3]);
    same(&values(&ops::vector_norm(&counted, None, false, 0.0).unwrap()), &[2.0], "ord 0");
    same(&values(&ops::vector_norm(&array(&[1.0, 0.0], &[2]), None, false, -2.0).unwrap()), &[0.0], "ord -2");
    let ints: Variable = Array::from_slice(&[3_i64, 4], &[2]).into();
    assert_eq!(ops::vector_norm(&ints, None, false, 2.0).unwrap().array().to_vec::<f32>(), [5.0]);
}

#[test]
fn huge_logits() {
    let x = [1e4, -1e4, 9999.0];
    let e = (-1.0_f64).exp();
    let p = [1.0 / (1.0 + e), 0.0, e / (1.0 + e)];
    same(&values(&ops::softmax(&array(&x, &[3]), -1).unwrap()), &p, "softmax");
    same(&values(&ops::log_softmax(&array(&x, &[3]), 0).unwrap()), &[p[0].ln(), -2e4 + p[0].ln(), p[2].ln()], "log_softmax");
    same(&values(&ops::logsumexp(&array(&x, &[3]), None, false).unwrap()), &[1e4 + e.ln_1p()], "logsumexp");
    same(&gradient(&x, &[3], |x| ops::logsumexp(x, None, false)), &p, "gradient");
    // Single precision keeps its digits too: the result has lost those below 1e-3.
    let x = Variable::parameter(Array::from_slice(&[1e4_f32, 9999.0], &[2])).unwrap();
    backward(&ops::logsumexp(&x, None, false).unwrap()).unwrap();
    assert!((f64::from(x.grad().unwrap().to_vec::<f32>()[0]) - 1.0 / (1.0 + e)).abs() < 1e-7);
}

#[test]
fn infinite_logits() {
    let x = [-INF, -INF, 1.0, -INF];
    let f = |x: &Variable| ops::logsumexp(x, Some(&[1]), false);
    same(&values(&f(&array(&x, &[2, 2])).unwrap()), &[-INF, 1.0], "value");
    same(&gradient(&x, &[2, 2], f), &[0.0, 0.0, 1.0, 0.0], "gradient");
    // The gradient of the gradient has no NaN either.
    let x = leaf(&x, &[2, 2]);
    let options = BackwardOptions { create_graph: true, retain_graph: true, ..BackwardOptions::default() };
    let root = ops::sum(&f(&x).unwrap(), None, false).unwrap();
    let first = grad(&[(root, None)], std::slice::from_ref(&x), options).unwrap().remove(0).unwrap();
    let ones = Array::full(&[2, 2], Scalar::Float(1.0), DType::F64).into();
    let second = grad(&[(first, Some(ones))], &[x], BackwardOptions::default()).unwrap().remove(0).unwrap();
    same(&values(&second), &[0.0; 4], "second");
    same(&values(&ops::softmax(&array(&[-INF, 0.0, 0.0], &[3]), 0).unwrap()), &[0.0, 0.5, 0.5], "masked");
    same(&gradient(&[-INF, 0.0, 0.0], &[3], |x| ops::multiply(&ops::softmax(x, 0)?, &array(&[5.0, 1.0, 0.0], &[3]))), &[0.0, 0.25, -0.25], "masked");
    same(&values(&ops::softmax(&array(&[3.0], &[]), -1).unwrap()), &[1.0], "one number");
}

/// Sizes at which the loops switch: short and long rows, leaves, narrow and wide columns, blocks for threads.
const SHAPES: [[usize; 3]; 9] =
    [[3, 70, 1], [1, 4097, 2], [2, 150, 20], [5, 40, 33], [1, 300, 1000], [2, 3, 9001], [40, 9, 5], [1, 140_000, 1], [1, 60_000, 3]];

#[test]
fn long_runs_are_the_definitions() {
    for shape in SHAPES {
        let x = samples::REAL.array(&mut samples::Draw::new(11), &shape);
        for axes in [&[0][..], &[1], &[2], &[0, 2], &[0, 1, 2]] {
            let named: Vec<isize> = axes.iter().map(|&a: &usize| a.cast_signed()).collect();
            let runs = runs(x.array(), axes);
            let check = |what: &str, got: &Variable, f: &dyn Fn(&[f64]) -> f64| {
                for (got, run) in values(got).iter().zip(&runs) {
                    let want = f(run);
                    assert!((got - want).abs() <= 1e-9 * (1.0 + want.abs()), "{what} of {shape:?} over {axes:?}: {got} {want}");
                }
            };
            check("sum", &ops::sum(&x, Some(&named), false).unwrap(), &|r| r.iter().sum());
            check("max", &ops::max(&x, Some(&named), false).unwrap(), &|r| r.iter().copied().fold(-INF, f64::max));
            check("min", &ops::min(&x, Some(&named), false).unwrap(), &|r| r.iter().copied().fold(INF, f64::min));
            check("var", &ops::var(&x, Some(&named), false, 0.0).unwrap(), &|r| {
                let mean = mean(r);
                r.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count(r)
            });
        }
    }
}

#[test]
fn one_nan_is_found_in_every_loop() {
    for shape in SHAPES {
        let data = samples::REAL.array(&mut samples::Draw::new(12), &shape);
        let mut data = values(&data);
        for at in [0, data.len() / 3, data.len() - 1] {
            let old = std::mem::replace(&mut data[at], f64::NAN);
            let single: Vec<f32> = Array::from_slice(&data, &shape).view::<f64>().iter().map(|&v| v.to_string().parse().unwrap()).collect();
            for x in [array(&data, &shape), Array::from_slice(&single, &shape).into()] {
                for axis in 0..3 {
                    for f in [ops::max, ops::min] {
                        let out = ops::astype(&f(&x, Some(&[axis]), false).unwrap(), DType::F64).unwrap();
                        assert_eq!(values(&out).iter().filter(|v| v.is_nan()).count(), 1, "{shape:?} axis {axis} at {at}");
                    }
                }
            }
            data[at] = old;
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let places: [Option<&[isize]>; 5] = [None, Some(&[0]), Some(&[1]), Some(&[2]), Some(&[0, 2])];
    let results = || {
        let mut out = Vec::new();
        for shape in [[1000, 700, 1], [3, 400, 500], [200_000, 1, 3], [2, 9, 40_000], [5000, 10, 4]] {
            let x = ops::astype(&samples::REAL.array(&mut samples::Draw::new(13), &shape), DType::F32).unwrap();
            for axes in places {
                out.push(ops::sum(&x, axes, false).unwrap());
                out.push(ops::var(&x, axes, false, 0.0).unwrap());
                out.push(ops::max(&x, axes, false).unwrap());
            }
            out.push(ops::softmax(&x, 1).unwrap());
            out.push(ops::logsumexp(&x, Some(&[1]), false).unwrap());
        }
        out.iter().flat_map(|v| v.array().to_vec::<f32>()).map(f32::to_bits).collect::<Vec<_>>()
    };
    let before = num_threads();
    set_num_threads(1);
    let one = results();
    for threads in [2, 3, 4] {
        set_num_threads(threads);
        assert!(results() == one, "{threads} threads");
    }
    set_num_threads(before);
}
