//! Matrix products as users call them: shapes, dtypes, errors, what the tape keeps, third derivatives.

use tapegrad::array::{Array, DType, Scalar, size_of};
use tapegrad::ops::samples::{Draw, REAL};
use tapegrad::ops::{dot, inner, linear, matmul, multiply, outer, vecdot};
use tapegrad::tape::{BackwardOptions, Variable, backward, grad, observe, unobserve};

fn ints(shape: &[usize]) -> Variable {
    let data: Vec<i64> = (0..size_of(shape)).map(|i| i64::try_from(i).unwrap() - 4).collect();
    Array::from_slice(&data, shape).into()
}

fn empty(shape: &[usize]) -> Variable {
    Array::zeros(shape, DType::F64).into()
}

#[test]
fn shapes_follow_numpy() {
    let cases: [(&[usize], &[usize], &[usize]); 9] = [
        (&[3], &[3], &[]),
        (&[2, 3], &[3], &[2]),
        (&[3], &[3, 4], &[4]),
        (&[5, 2, 3], &[3], &[5, 2]),
        (&[3], &[5, 3, 4], &[5, 4]),
        (&[7, 1, 2, 3], &[5, 3, 4], &[7, 5, 2, 4]),
        (&[2, 0], &[0, 3], &[2, 3]),
        (&[0, 2, 3], &[3, 4], &[0, 2, 4]),
        (&[0, 1, 2, 3], &[5, 3, 4], &[0, 5, 2, 4]),
    ];
    for (a, b, want) in cases {
        assert_eq!(matmul(&empty(a), &empty(b)).unwrap().shape(), want, "{a:?} @ {b:?}");
    }
    // Each product of a batch, against the sum written out.
    let (a, b) = (ints(&[2, 1, 2, 3]), ints(&[4, 3, 2]));
    let (x, y, z) = (a.array().to_vec::<i64>(), b.array().to_vec::<i64>(), matmul(&a, &b).unwrap().array().to_vec::<i64>());
    for (at, &got) in z.iter().enumerate() {
        let (i, j, k, l) = (at / 16, at / 4 % 4, at / 2 % 2, at % 2);
        assert_eq!(got, (0..3).map(|m| x[i * 6 + k * 3 + m] * y[j * 6 + m * 2 + l]).sum::<i64>());
    }
}

#[test]
fn products_of_all_pairs() {
    let (a, b) = (ints(&[2, 3]), ints(&[2, 3, 2]));
    let (x, y) = (a.array().to_vec::<i64>(), b.array().to_vec::<i64>());
    let z = dot(&a, &b).unwrap();
    assert_eq!(z.shape(), [2, 2, 2]);
    for (at, &got) in z.array().to_vec::<i64>().iter().enumerate() {
        let (i, j, k) = (at / 4, at / 2 % 2, at % 2);
        assert_eq!(got, (0..3).map(|m| x[i * 3 + m] * y[j * 6 + m * 2 + k]).sum::<i64>());
    }
    let z = inner(&ints(&[2, 2, 3]), &ints(&[4, 3])).unwrap();
    assert_eq!(z.shape(), [2, 2, 4]);
    let one: i64 = (0..3).map(|m| (3 + m - 4) * (6 + m - 4)).sum();
    assert_eq!(z.array().to_vec::<i64>()[4 + 2], one);
    assert_eq!(outer(&ints(&[2, 2]), &ints(&[3])).unwrap().shape(), [4, 3]);
    assert_eq!(dot(&ints(&[]), &ints(&[3])).unwrap().array().to_vec::<i64>(), [16, 12, 8]);
}

#[test]
fn errors_name_both_shapes_and_the_axis() {
    let m = |a: &[usize], b: &[usize]| matmul(&empty(a), &empty(b)).unwrap_err().to_string();
    assert_eq!(
        m(&[2, 3], &[4, 5]),
        "matmul: shapes (2, 3) and (4, 5) do not fit: axis -1 of the left is 3, axis -2 of the right is 4; they must be equal"
    );
    assert!(m(&[2, 3], &[4]).contains("axis -1 of the left is 3, axis -1 of the right is 4"));
    assert!(m(&[], &[4]).contains("the left operand has no axes (shapes () and (4,))"));
    assert!(m(&[4], &[]).contains("the right operand has no axes"));
    assert_eq!(
        m(&[2, 4, 4], &[3, 4, 4]),
        "matmul: the batches of shapes (2, 4, 4) and (3, 4, 4) do not broadcast: axis -3 of the left is 2, axis -3 of the right is 3; \
         sizes must be equal or 1"
    );
    let l = |x: &[usize], w: &[usize], b: Option<&[usize]>| linear(&empty(x), &empty(w), b.map(empty).as_ref()).unwrap_err().to_string();
    assert!(l(&[5, 3], &[2, 4], None).contains("linear: shapes (5, 3) and (2, 4) do not fit: axis -1 of the left is 3"));
    assert!(l(&[5, 3], &[2, 3], Some(&[3])).contains("the bias has shape (3,), expected (2,)"));
    assert!(l(&[5, 3], &[1, 2, 3], None).contains("expected (outputs, inputs)"));
    let v = |a: &[usize], b: &[usize], axis| vecdot(&empty(a), &empty(b), axis).unwrap_err().to_string();
    assert!(v(&[2, 3], &[4], -1).starts_with("vecdot: shapes (2, 3) and (4,) do not fit: axis -1 of the left is 3"));
    assert!(v(&[2, 3], &[3], -2).contains("axis -2 is out of bounds"));
    assert!(v(&[2, 3], &[4, 3], -1).contains("axis -2 of the left is 2, axis -2 of the right is 4"));
}

#[test]
fn integers_wrap_bools_are_logic_and_dtypes_promote() {
    let bytes = |v: &[u8]| -> Variable { Array::from_slice(v, &[v.len()]).into() };
    assert_eq!(matmul(&bytes(&[200, 100]), &bytes(&[2, 1])).unwrap().array().to_vec::<u8>(), [244]);
    let truth: Variable = Array::from_slice(&[true, false, false, false], &[2, 2]).into();
    assert_eq!(matmul(&truth, &truth).unwrap().array().to_vec::<bool>(), [true, false, false, false]);
    let single: Variable = Array::full(&[2], Scalar::Float(0.5), DType::F32).into();
    assert_eq!(matmul(&single, &ints(&[2])).unwrap().dtype(), DType::F64);
    let doubles = linear(&ints(&[1, 2]), &single, None).unwrap();
    assert_eq!((doubles.dtype(), doubles.array().to_vec::<f64>()), (DType::F64, vec![-3.5]));
    let leaf = Variable::parameter(Array::from_slice(&[1.0_f32, 2.0], &[2])).unwrap();
    backward(&matmul(&leaf, &ints(&[2])).unwrap()).unwrap();
    assert_eq!(leaf.grad().unwrap().to_vec::<f32>(), [-4.0, -3.0], "a gradient has the dtype of its leaf");
}

#[test]
fn only_what_a_gradient_needs_is_kept() {
    let draw = &mut Draw::new(1);
    let parameter = |draw: &mut Draw, shape: &[usize]| Variable::parameter(REAL.array(draw, shape).into_array()).unwrap();
    let (x, w) = (REAL.array(draw, &[8, 16]), parameter(draw, &[4, 16]));
    let saved = |f: &dyn Fn() -> Variable| -> usize {
        observe(false);
        drop(f());
        unobserve().iter().map(|node| node.saved_bytes).sum()
    };
    // The gradient of the weight needs x; the gradient of x is not requested.
    assert_eq!(saved(&|| linear(&x, &w, None).unwrap()), 8 * 16 * 8);
    assert_eq!(saved(&|| linear(&x.detach(), &w.detach(), Some(&parameter(&mut Draw::new(3), &[4]))).unwrap()), 0);
}

#[test]
fn third_derivatives_agree_with_differences() {
    const H: f64 = 1e-4;
    let draw = &mut Draw::new(2);
    let (a, b, d) = (REAL.array(draw, &[2, 2, 3]), REAL.array(draw, &[3, 2]), REAL.array(draw, &[2, 2, 3]));
    // Σ (a @ b)⁴, which has derivatives by a up to fourth order.
    let value = |a: &Variable, order: usize| -> f64 {
        let leaf = Variable::parameter(a.array().clone()).unwrap();
        let y = matmul(&leaf, &b).unwrap();
        let square = multiply(&y, &y).unwrap();
        let mut root = multiply(&square, &square).unwrap();
        let mut seed: Variable = Array::ones(root.shape(), DType::F64).into();
        for _ in 0..order {
            let options = BackwardOptions { create_graph: true, retain_graph: true, ..BackwardOptions::default() };
            root = grad(&[(root, Some(seed))], std::slice::from_ref(&leaf), options).unwrap().remove(0).unwrap();
            seed = d.clone();
        }
        root.array().to_vec::<f64>().iter().zip(seed.array().to_vec::<f64>()).map(|(x, s)| x * s).sum()
    };
    let moved = |h: f64| -> Variable {
        let data: Vec<f64> = a.array().to_vec::<f64>().iter().zip(d.array().to_vec::<f64>()).map(|(x, d)| x + h * d).collect();
        Array::from_slice(&data, a.shape()).into()
    };
    for order in 1..4 {
        let numeric = (value(&moved(H), order - 1) - value(&moved(-H), order - 1)) / (2.0 * H);
        let analytic = value(&a, order);
        assert!((numeric - analytic).abs() < 1e-5 * analytic.abs(), "order {order}: {numeric} and {analytic}");
    }
}
