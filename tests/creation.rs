//! Creation functions against NumPy's values, and requests that cannot be met.

use tapegrad::array::{Array, DType, Scalar};
use tapegrad::ops::{arange, eye, full, linspace, one_hot, ones, zeros};
use tapegrad::tape::Variable;

fn f64s(v: &Variable) -> Vec<f64> {
    assert_eq!(v.dtype(), DType::F64);
    v.array().to_vec()
}

#[test]
fn dtypes_follow_the_value() {
    assert_eq!(zeros(&[2], None).unwrap().dtype(), DType::F32);
    assert_eq!(ones(&[2], Some(DType::Bool)).unwrap().array().to_vec::<bool>(), [true, true]);
    for (value, dtype) in [(Scalar::Int(7), DType::I64), (Scalar::Float(7.0), DType::F32), (Scalar::Bool(true), DType::Bool)] {
        assert_eq!(full(&[1], value, None).unwrap().dtype(), dtype);
    }
    let message = full(&[1], Scalar::Int(300), Some(DType::U8)).unwrap_err().to_string();
    assert_eq!(message, "full: the Python int 300 is out of bounds for uint8, which holds 0 to 255");
}

#[test]
fn ranges_are_numpys() {
    let ints = |a, b, c| arange(Scalar::Int(a), Scalar::Int(b), Scalar::Int(c), None).unwrap().array().to_vec::<i64>();
    assert_eq!(ints(0, 5, 1), [0, 1, 2, 3, 4]);
    assert_eq!(ints(2, 10, 3), [2, 5, 8]);
    assert_eq!(ints(5, -2, -3), [5, 2, -1]);
    assert!(ints(5, 5, 1).is_empty());
    assert!(ints(0, 5, -1).is_empty());
    assert_eq!(ints(i64::MAX - 2, i64::MAX, 1), [i64::MAX - 2, i64::MAX - 1]);
    let floats = |a: f64, b: f64, c: f64| f64s(&arange(a.into(), b.into(), c.into(), Some(DType::F64)).unwrap());
    assert_eq!(floats(0.0, 1.0, 0.25), [0.0, 0.25, 0.5, 0.75]);
    // The bits of numpy.arange(0.1, 1.0, 0.3) and numpy.arange(1, 1.3, 0.1); the second overshoots there too.
    assert_eq!(floats(0.1, 1.0, 0.3), [0.1, 0.4, 0.700_000_000_000_000_1]);
    assert_eq!(floats(1.0, 1.3, 0.1), [1.0, 1.1, 1.200_000_000_000_000_2, 1.300_000_000_000_000_3]);
    let mixed = arange(Scalar::Int(0), Scalar::Int(3), Scalar::Float(0.5), Some(DType::I64)).unwrap();
    assert_eq!(mixed.array().to_vec::<i64>(), [0; 6]);
    assert_eq!(arange(Scalar::Int(0), Scalar::Float(2.0), Scalar::Int(1), None).unwrap().dtype(), DType::F32);
    for (stop, step, part) in [(1.0, 0.0, "step is 0"), (f64::INFINITY, 1.0, "finite"), (f64::NAN, 1.0, "finite")] {
        let e = arange(Scalar::Float(0.0), stop.into(), step.into(), None).unwrap_err().to_string();
        assert!(e.starts_with("arange: ") && e.contains(part), "{e}");
    }
}

#[test]
fn linspace_ends_where_it_should() {
    let f = |a, b, n, end| f64s(&linspace(a, b, n, end, Some(DType::F64)).unwrap());
    assert_eq!(f(0.0, 1.0, 5, true), [0.0, 0.25, 0.5, 0.75, 1.0]);
    assert_eq!(f(0.0, 1.0, 4, false), [0.0, 0.25, 0.5, 0.75]);
    assert_eq!(f(3.0, 9.0, 1, true), [3.0]);
    assert!(f(3.0, 9.0, 0, true).is_empty());
    assert_eq!(f(2.0, 2.0, 3, true), [2.0; 3]);
    assert_eq!(f(0.0, 0.1, 7, true)[6..], [0.1], "the end is exact");
    let whole = linspace(-1.0, 1.0, 4, true, Some(DType::I64)).unwrap();
    assert_eq!(whole.array().to_vec::<i64>(), [-1, -1, 0, 1]);
    assert!(linspace(0.0, 1.0, -1, true, None).unwrap_err().to_string().contains("num is -1"));
}

#[test]
fn identities_and_codes() {
    let ints = |v: Variable| v.array().to_vec::<i64>();
    let e = |n, m, k| ints(eye(n, m, k, Some(DType::I64)).unwrap());
    assert_eq!(e(2, None, 0), [1, 0, 0, 1]);
    assert_eq!(e(2, Some(3), 1), [0, 1, 0, 0, 0, 1]);
    assert_eq!(e(3, Some(2), -1), [0, 0, 1, 0, 0, 1]);
    assert_eq!(e(2, None, i64::MIN), [0; 4]);
    let x: Variable = Array::from_slice(&[1_u8, 0, 2], &[3, 1]).into();
    let hot = one_hot(&x, -1).unwrap();
    assert_eq!((hot.shape(), ints(hot.clone())), (&[3, 1, 3][..], vec![0, 1, 0, 1, 0, 0, 0, 0, 1]));
    assert!(one_hot(&x, 2).unwrap_err().to_string().contains("2 is not a class"));
    assert!(one_hot(&zeros(&[2], None).unwrap(), 2).unwrap_err().to_string().contains("float32"));
    assert_eq!(one_hot(&zeros(&[0], Some(DType::I64)).unwrap(), 4).unwrap().shape(), [0, 4]);
}

#[test]
fn what_does_not_fit_raises() {
    assert_eq!(zeros(&[2, -1], None).unwrap_err().to_string(), "zeros: shape [2, -1] has a negative size");
    for shape in [&[1_isize << 40, 1 << 40][..], &[isize::MAX], &[1 << 50], &[0, 1 << 40, 1 << 40]] {
        let e = zeros(shape, None).unwrap_err().to_string();
        assert!(e.contains("more than there is memory for"), "{e}");
    }
    assert!(eye(1 << 40, None, 0, None).is_err() && linspace(0.0, 1.0, i64::MAX, true, None).is_err());
    assert!(arange(Scalar::Int(i64::MIN), Scalar::Int(i64::MAX), Scalar::Int(1), None).is_err());
    assert_eq!(zeros(&[0, 1 << 40], None).unwrap().shape(), [0, 1 << 40]);
}
