//! Compares cross-entropy with its formula; also its edge cases and invalid input.

use super::*;
use crate::array::{Array, DType};
use crate::ops::samples::{Draw, REAL};
use crate::tape::{BackwardOptions, backward, grad};

fn array(data: &[f64], shape: &[usize]) -> Variable {
    Array::from_slice(data, shape).into()
}

fn classes(data: &[i64]) -> Variable {
    Array::from_slice(data, &[data.len()]).into()
}

fn values(v: &Variable) -> Vec<f64> {
    let wide = astype(&v.detach(), DType::F64).expect("floating values have a float64 form");
    wide.array().to_vec()
}

fn log_softmax(row: &[f64]) -> Vec<f64> {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let l = top + row.iter().map(|v| (v - top).exp()).sum::<f64>().ln();
    row.iter().map(|v| v - l).collect()
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-13 * (1.0 + b.abs()), "{a} is not {b}");
}

/// PyTorch's definition: the weighted mean of nll and of the smoothed part.
#[test]
fn weights_smoothing_and_ignored_targets() -> Result<()> {
    let x = REAL.array(&mut Draw::new(9), &[4, 3]);
    let (t, w) = ([2_usize, 0, 9, 1], [0.5, 2.0, 1.5]);
    let target = classes(&[2, 0, -7, 1]);
    let (mut nll, mut smooth, mut total) = (0.0, 0.0, 0.0);
    for (row, &t) in x.array().to_vec::<f64>().chunks(3).zip(&t) {
        if t == 9 {
            continue;
        }
        let lp = log_softmax(row);
        nll -= w[t] * lp[t];
        smooth -= (0..3).map(|c| w[c] * lp[c]).sum::<f64>();
        total += w[t];
    }
    for e in [0.0, 0.1] {
        let options = ClassOptions { ignore_index: -7, label_smoothing: e, ..ClassOptions::default() };
        let loss = cross_entropy(&x, &target, Some(&array(&w, &[3])), options)?;
        close(values(&loss)[0], ((1.0 - e) * nll + e / 3.0 * smooth) / total);
    }
    Ok(())
}

#[test]
fn indices_equal_one_hot_rows_in_any_rank_and_dtype() -> Result<()> {
    let x = REAL.strided(&mut Draw::new(10), &[2, 3, 2]);
    let t = [1_i64, 0, 2, 2];
    let mut rows = vec![0.0; 12];
    for (i, &t) in t.iter().enumerate() {
        rows[(i / 2) * 6 + usize::try_from(t).expect("classes are not negative") * 2 + i % 2] = 1.0;
    }
    let options = ClassOptions { reduction: Reduction::None, ..ClassOptions::default() };
    let by_rows = cross_entropy(&x, &array(&rows, &[2, 3, 2]), None, options)?;
    assert_eq!(by_rows.shape(), [2, 2]);
    let target: Variable = Array::from_slice(&t, &[2, 2]).into();
    for dtype in [DType::U8, DType::I32, DType::I64] {
        let loss = cross_entropy(&x, &astype(&target, dtype)?, None, options)?;
        values(&loss).iter().zip(values(&by_rows)).for_each(|(a, b)| close(*a, b));
    }
    let one = cross_entropy(&array(&[1.0, 2.0], &[2]), &Array::scalar(1_i64).into(), None, options)?;
    assert_eq!(one.shape(), [0; 0]);
    close(values(&one)[0], -log_softmax(&[1.0, 2.0])[1]);
    Ok(())
}

#[test]
fn huge_logits_stay_exact() -> Result<()> {
    for dtype in [DType::F32, DType::F64] {
        let x = astype(&array(&[1e4, -1e4, 1e4, -1e4], &[2, 2]), dtype)?;
        let x = Variable::parameter(x.into_array())?;
        let options = ClassOptions { reduction: Reduction::None, ..ClassOptions::default() };
        let loss = cross_entropy(&x, &classes(&[0, 1]), None, options)?;
        assert_eq!(values(&loss), [0.0, 2e4]);
        backward(&Reduction::Sum.apply(&loss)?)?;
        assert_eq!(values(&x.grad().expect("a gradient").into()), [0.0, 0.0, 1.0, -1.0]);
    }
    Ok(())
}

#[test]
fn classes_masked_by_minus_infinity() -> Result<()> {
    let x = Variable::parameter(Array::from_slice(&[0.0, f64::NEG_INFINITY, 0.0], &[1, 3]))?;
    for target in [classes(&[0]), array(&[0.5, 0.0, 0.5], &[1, 3])] {
        let loss = cross_entropy(&x, &target, None, ClassOptions::default())?;
        close(values(&loss)[0], 2.0_f64.ln());
        let g = grad(&[(loss, None)], std::slice::from_ref(&x), BackwardOptions::default())?;
        assert!(values(g[0].as_ref().expect("a gradient")).iter().all(|v| v.is_finite()));
    }
    Ok(())
}

#[test]
fn nothing_counts() -> Result<()> {
    let x = Variable::parameter(Array::from_slice(&[f64::NAN, 0.0], &[1, 2]))?;
    let ignored = classes(&[-100]);
    let options = |reduction| ClassOptions { reduction, ..ClassOptions::default() };
    assert!(values(&cross_entropy(&x, &ignored, None, options(Reduction::Mean))?)[0].is_nan());
    let loss = cross_entropy(&x, &ignored, None, options(Reduction::Sum))?;
    assert_eq!(values(&loss), [0.0]);
    for create_graph in [false, true] {
        let options = BackwardOptions { create_graph, retain_graph: true, ..BackwardOptions::default() };
        let g = grad(&[(loss.clone(), None)], std::slice::from_ref(&x), options)?;
        assert_eq!(values(g[0].as_ref().expect("a gradient")), [0.0, 0.0]);
    }
    let empty: Variable = Array::zeros(&[0, 3], DType::F32).into();
    assert!(values(&cross_entropy(&empty, &classes(&[]), None, options(Reduction::Mean))?)[0].is_nan());
    Ok(())
}

#[test]
fn errors_say_what_came_and_what_was_expected() {
    let x = array(&[0.0; 6], &[2, 3]);
    let message = |t: &Variable, w: Option<&Variable>| cross_entropy(&x, t, w, ClassOptions::default()).unwrap_err().to_string();
    assert_eq!(message(&classes(&[0, 3]), None), "cross_entropy: target 3 (element 1) is out of range, classes are 0 to 2 or ignore_index = -100");
    assert!(message(&classes(&[-1, 0]), None).contains("target -1"));
    assert!(message(&classes(&[0, 1, 2]), None).contains("(2, 3) have shape (2,), not (3,)"));
    assert!(message(&array(&[0.0, 1.0], &[2]), None).contains("astype('int64')"));
    assert!(message(&Array::from_slice(&[true, false], &[2]).into(), None).contains("bool"));
    assert!(message(&classes(&[0, 1]), Some(&array(&[1.0; 2], &[2]))).contains("3 classes, shape (3,)"));
    let options = ClassOptions { label_smoothing: 1.5, ..ClassOptions::default() };
    assert!(cross_entropy(&x, &classes(&[0, 1]), None, options).is_err());
    let options = ClassOptions { ignore_index: 1, ..ClassOptions::default() };
    assert!(cross_entropy(&x, &x, None, options).unwrap_err().to_string().contains("probability targets"));
    assert!(nll_loss(&x, &x, None, -100, Reduction::Mean).is_err());
    assert!(cross_entropy(&Array::scalar(1.0).into(), &Array::scalar(0_i64).into(), None, ClassOptions::default()).is_err());
}
