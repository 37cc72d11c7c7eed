//! `floor_divide`, `remainder` and fmod against the rules of Python and of the array API, with every special value.

use tapegrad::array::{Array, DType, Scalar};
use tapegrad::ops::{floor_divide, fmod, remainder};
use tapegrad::tape::Variable;

/// Python's `divmod` of floats by cases, where the library selects; quotients of infinities are those of the array API.
fn divmod(a: f64, b: f64) -> (f64, f64) {
    let mut rest = a % b;
    if b.is_infinite() || a.is_infinite() {
        let wraps = a.is_finite() && a != 0.0 && (a < 0.0) != (b < 0.0);
        let zero = if a == 0.0 { 0.0_f64.copysign(b) } else { rest };
        return (a / b, if wraps { b } else { zero });
    }
    if b == 0.0 {
        return (a / b, rest);
    }
    let mut quotient = (a - rest) / b;
    if rest == 0.0 {
        rest = 0.0_f64.copysign(b);
    } else if (b < 0.0) != (rest < 0.0) {
        rest += b;
        quotient -= 1.0;
    }
    if quotient == 0.0 {
        return (0.0_f64.copysign(a / b), rest);
    }
    let floor = quotient.floor();
    (if quotient - floor > 0.5 { floor + 1.0 } else { floor }, rest)
}

fn same(what: &str, got: f64, want: f64, a: f64, b: f64) {
    assert!(got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()), "{what}({a}, {b}) is {got}, expected {want}");
}

#[test]
fn floats_follow_the_rules_at_every_special_value() {
    let inf = f64::INFINITY;
    let values =
        [0.0, -0.0, 1.0, -1.0, 0.1, -0.1, 0.3, 2.5, -2.5, 7.0, -7.0, 2.0, -2.0, 1e300, -1e300, 1e-300, -1e-300, 5e-324, -5e-324, inf, -inf, f64::NAN];
    for (a, b) in values.iter().flat_map(|&a| values.iter().map(move |&b| (a, b))) {
        let (x, y): (Variable, Variable) = (Array::scalar(a).into(), Array::scalar(b).into());
        let value = |v: Variable| v.array().to_vec::<f64>()[0];
        let (quotient, rest) = divmod(a, b);
        same("floor_divide", value(floor_divide(&x, &y).unwrap()), quotient, a, b);
        same("remainder", value(remainder(&x, &y).unwrap()), rest, a, b);
        same("fmod", value(fmod(&x, &y).unwrap()), a % b, a, b);
    }
}

#[test]
fn a_tenth_goes_nine_times_into_one() {
    let one: Variable = Array::scalar(1.0_f64).into();
    assert_eq!(floor_divide(&one, 0.1).unwrap().array().to_vec::<f64>(), [9.0]);
    assert!((remainder(&one, 0.1).unwrap().array().to_vec::<f64>()[0] - 0.1).abs() < 1e-15);
}

#[test]
fn integers_round_down_and_zero_divides_to_zero() {
    let a: Variable = Array::from_slice(&[7_i64, -7, 7, -7, -4, 5, i64::MIN], &[7]).into();
    let b: Variable = Array::from_slice(&[2_i64, 2, -2, -2, 2, 0, -1], &[7]).into();
    assert_eq!(floor_divide(&a, &b).unwrap().array().to_vec::<i64>(), [3, -4, -4, 3, -2, 0, i64::MIN]);
    assert_eq!(remainder(&a, &b).unwrap().array().to_vec::<i64>(), [1, 1, -1, -1, 0, 0, 0]);
    assert_eq!(fmod(&a, &b).unwrap().array().to_vec::<i64>(), [1, -1, 1, -1, 0, 0, 0]);
    let bytes: Variable = Array::from_slice(&[200_u8, 7], &[2]).into();
    assert_eq!(floor_divide(&bytes, 7_i64).unwrap().array().to_vec::<u8>(), [28, 1]);
    let truth: Variable = Array::full(&[2], Scalar::Bool(true), DType::Bool).into();
    assert!(floor_divide(&truth, &truth).unwrap_err().to_string().starts_with("floor_divide: dtype bool"));
}
