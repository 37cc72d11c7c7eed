//! Floating numbers of 16 bits from Rust: the gate computes with them in float32.

use tapegrad::array::{Array, BF16, DType, Element, F16, Scalar};
use tapegrad::ops;
use tapegrad::tape::{Variable, backward};

fn leaf(values: &[f64], dtype: DType) -> Variable {
    let wide: Variable = Array::from_slice(values, &[values.len()]).into();
    Variable::parameter(ops::astype(&wide, dtype).unwrap().into_array()).unwrap()
}

fn numbers(x: &Array) -> Vec<f64> {
    ops::astype(&x.clone().into(), DType::F64).unwrap().array().to_vec::<f64>()
}

#[test]
fn operations_compute_in_float32_and_round() {
    for dtype in [DType::F16, DType::BF16] {
        let (a, b) = (leaf(&[1.5, -2.0, 0.1], dtype), leaf(&[0.3, 4.0, -7.0], dtype));
        let wide = |x: &Variable| ops::astype(x, DType::F32).unwrap();
        for (got, want) in [
            (ops::add(&a, &b), ops::add(&wide(&a), &wide(&b))),
            (ops::multiply(&a, 3.0), ops::multiply(&wide(&a), 3.0)),
            (ops::exp(&a), ops::exp(&wide(&a))),
            (ops::matmul(&a, &b), ops::matmul(&wide(&a), &wide(&b))),
            (ops::sum(&a, None, false), ops::sum(&wide(&a), None, false)),
        ] {
            let (got, want) = (got.unwrap(), ops::astype(&want.unwrap(), dtype).unwrap());
            assert_eq!((got.dtype(), numbers(got.array())), (dtype, numbers(want.array())));
        }
    }
}

#[test]
fn gradients_have_the_dtype_of_their_leaf() {
    for dtype in [DType::F16, DType::BF16] {
        let x = leaf(&[1.5, -2.0, 0.25], dtype);
        let rows: Variable = Array::from_slice(&[0_i64, 0, 2], &[3]).into();
        let picked = ops::take(&x, &rows, Some(0)).unwrap();
        let y = ops::sum(&ops::multiply(&picked, &picked).unwrap(), None, false).unwrap();
        backward(&y).unwrap();
        let g = x.grad().unwrap();
        assert_eq!((g.dtype(), numbers(&g)), (dtype, vec![6.0, 0.0, 0.5]));
    }
}

#[test]
fn elements_are_read_and_shown_as_numbers() {
    let x = Array::full(&[2], Scalar::Float(0.1), DType::F16);
    assert_eq!(x.to_vec::<F16>()[0], F16::from_scalar(Scalar::Float(0.1)));
    assert_eq!(format!("{}", BF16::from_f32(1.5)), "1.5");
    assert_eq!(x.nbytes(), 4);
}
