//! Shapes and messages of functions; tests/rules.rs checks their gradients.

use tapegrad::Error;
use tapegrad::array::{Array, DType, size_of};
use tapegrad::ops::{self, Sections};
use tapegrad::tape::{Edge, Variable, backward};

fn arange(shape: &[usize]) -> Variable {
    Array::from_slice(&(0_i32..).take(size_of(shape)).map(f64::from).collect::<Vec<_>>(), shape).into()
}

fn values(v: &Variable) -> Vec<i32> {
    ops::astype(v, DType::I32).unwrap().array().to_vec()
}

fn shares(a: &Variable, b: &Variable) -> bool {
    a.array().storage().as_ptr() == b.array().storage().as_ptr()
}

#[test]
fn views_copy_nothing() {
    let x = arange(&[2, 3, 4]);
    let views = [
        ops::reshape(&x, &[6, -1]).unwrap(),
        ops::transpose(&x, None).unwrap(),
        ops::flip(&x, None).unwrap(),
        ops::expand_dims(&x, &[0, -1]).unwrap(),
        ops::broadcast_to(&x, &[5, 2, 3, 4]).unwrap(),
        ops::diagonal(&x, 0, [0, 1]).unwrap(),
        ops::split(&x, Sections::Count(2), 2).unwrap().remove(1),
        ops::unstack(&x, 1).unwrap().remove(2),
        ops::rot90(&x, 3, &[0, 2]).unwrap(),
    ];
    for v in &views {
        assert!(shares(&x, v), "{:?} is a copy", v.shape());
    }
    assert!(!shares(&x, &ops::reshape(&views[1], &[24]).unwrap()));
}

#[test]
fn moves_are_numpys() {
    let x = arange(&[2, 3, 4]);
    assert_eq!(ops::moveaxis(&x, &[0, -1], &[-1, 0]).unwrap().shape(), [4, 3, 2]);
    assert_eq!(ops::moveaxis(&x, &[2], &[0]).unwrap().shape(), [4, 2, 3]);
    assert_eq!(ops::swapaxes(&x, 0, -1).unwrap().shape(), [4, 3, 2]);
    let m = arange(&[2, 3]);
    assert_eq!(values(&ops::rot90(&m, 1, &[0, 1]).unwrap()), [2, 5, 1, 4, 0, 3]);
    assert_eq!(values(&ops::rot90(&m, -1, &[0, 1]).unwrap()), [3, 0, 4, 1, 5, 2]);
    assert_eq!(values(&ops::roll(&m, &[1], Some(&[1])).unwrap()), [2, 0, 1, 5, 3, 4]);
    assert_eq!(values(&ops::roll(&m, &[1, 2], None).unwrap()), [3, 4, 5, 0, 1, 2]);
    assert_eq!(values(&ops::roll(&m, &[isize::MIN], Some(&[0])).unwrap()), values(&m));
    assert_eq!(values(&ops::tile(&arange(&[2]), &[2, 2]).unwrap()), [0, 1, 0, 1, 0, 1, 0, 1]);
    assert_eq!(values(&ops::repeat(&m, &[2, 0, 1], Some(1)).unwrap()), [0, 0, 2, 3, 3, 5]);
    assert_eq!(values(&ops::tril(&arange(&[3]), 0).unwrap()), [0, 0, 0, 0, 1, 0, 0, 1, 2]);
    assert_eq!(values(&ops::triu(&m, 1).unwrap()), [0, 1, 2, 0, 0, 5]);
    assert_eq!(values(&ops::diag(&arange(&[2]), -1).unwrap()), [0, 0, 0, 0, 0, 0, 0, 1, 0]);
}

#[test]
fn pieces_are_numpys() {
    let sizes = |v: Vec<Variable>| v.iter().map(|p| p.shape()[0]).collect::<Vec<_>>();
    let x = arange(&[5]);
    assert_eq!(sizes(ops::array_split(&x, Sections::Count(3), 0).unwrap()), [2, 2, 1]);
    assert_eq!(sizes(ops::array_split(&x, Sections::Count(7), 0).unwrap()), [1, 1, 1, 1, 1, 0, 0]);
    assert_eq!(sizes(ops::split(&x, Sections::At(&[3, 2, 9]), 0).unwrap()), [3, 0, 3, 0]);
    assert_eq!(sizes(ops::split(&x, Sections::At(&[-2]), 0).unwrap()), [3, 2]);
    let error = ops::split(&x, Sections::Count(2), 0).unwrap_err();
    assert!(error.to_string().starts_with("split: axis 0 of size 5 cannot be cut into 2 equal sections"));
    assert!(matches!(ops::split(&x, Sections::Count(0), 0), Err(Error::Value(_))));
    assert!(matches!(ops::unstack(&arange(&[]), 0), Err(Error::Axis(_))));
}

#[test]
fn joins_promote_and_name_what_does_not_fit() {
    let ints: Variable = Array::from_slice(&[7_i32], &[1]).into();
    let halves: Variable = Array::from_slice(&[0.5_f32], &[1]).into();
    assert_eq!(ops::concat(&[ints.clone(), halves], Some(0)).unwrap().dtype(), DType::F64);
    assert_eq!(values(&ops::concat(&[arange(&[2, 2]), ints], None).unwrap()), [0, 1, 2, 3, 7]);
    let error = |r: tapegrad::Result<Variable>| r.unwrap_err().to_string();
    assert_eq!(
        error(ops::concat(&[arange(&[2, 3]), arange(&[2, 3]), arange(&[2, 4])], Some(0))),
        "concat: array 2 has shape (2, 4), which does not fit array 0 of shape (2, 3): all sizes but that of axis 0 must agree"
    );
    assert_eq!(error(ops::stack(&[arange(&[2]), arange(&[3])], 0)), "stack: array 1 has shape (3,), but array 0 has (2,): all shapes must agree");
    assert_eq!(error(ops::concat(&[], Some(0))), "concat: at least one array is needed");
    assert!(error(ops::concat(&[arange(&[])], Some(0))).contains("array 0 is 0-d"));
    assert!(matches!(ops::concat(&[arange(&[2])], Some(1)), Err(Error::Axis(_))));
}

#[test]
fn bad_shapes_say_what_is_wrong() {
    let x = arange(&[2, 3]);
    let error = |r: tapegrad::Result<Variable>| r.unwrap_err().to_string();
    assert_eq!(error(ops::reshape(&x, &[4])), "reshape: cannot reshape (2, 3) (6 elements) to (4,) (4 elements)");
    assert_eq!(error(ops::reshape(&x, &[4, -1])), "reshape: cannot reshape (2, 3) (6 elements) to (4, -1): the -1 cannot be worked out");
    assert!(error(ops::reshape(&x, &[-1, -1])).ends_with("only one size can be -1"));
    assert!(error(ops::reshape(&x, &[-2, -3])).contains("must not be negative"));
    assert!(error(ops::reshape(&arange(&[0]), &[0, -1])).contains("cannot be worked out"));
    assert!(error(ops::squeeze(&x, Some(&[0]))).contains("axis 0 of shape (2, 3) has size 2"));
    assert!(error(ops::expand_dims(&x, &[0, 0])).contains("axis 0 is named twice"));
    assert!(error(ops::transpose(&x, Some(&[0]))).contains("1 axes given"));
    assert!(matches!(ops::permute_dims(&x, &[0, 0]), Err(tapegrad::Error::Axis(_))));
    assert!(error(ops::moveaxis(&x, &[0, 1], &[0])).contains("same number of elements"));
    assert!(error(ops::matrix_transpose(&arange(&[2]))).contains("at least 2 dimensions"));
    assert!(error(ops::broadcast_to(&x, &[2])).contains("cannot be broadcast to (2,)"));
    assert!(error(ops::broadcast_to(&arange(&[]), &[1 << 40, 1 << 40])).contains("too large"));
    assert!(error(ops::tile(&x, &[isize::MAX, isize::MAX])).contains("more than there is memory for"));
    assert!(error(ops::repeat(&x, &[-1], None)).contains("must not be negative"));
    assert!(error(ops::repeat(&x, &[1, 2, 3], Some(0))).contains("3 repeats given for axis 0"));
    assert!(error(ops::roll(&x, &[1, 2, 3], Some(&[0, 1]))).contains("do not pair up"));
    assert!(error(ops::diagonal(&x, 0, [1, -1])).contains("cannot be the same"));
    assert!(matches!(ops::swapaxes(&x, 0, 2), Err(Error::Axis(_))));
}

#[test]
fn taking_checks_every_index() {
    let x = arange(&[2, 3]);
    let at = |v: &[i64], shape: &[usize]| Variable::from(Array::from_slice(v, shape));
    assert_eq!(values(&ops::take(&x, &at(&[5, -6], &[2]), None).unwrap()), [5, 0]);
    assert_eq!(ops::take(&x, &at(&[0, 2, 1, 1], &[2, 2]), Some(1)).unwrap().shape(), [2, 2, 2]);
    assert_eq!(values(&ops::take_along_axis(&x, &at(&[2, 0], &[2, 1]), Some(1)).unwrap()), [2, 3]);
    assert_eq!(values(&ops::pick(&x, &at(&[1, 0, 1], &[3]), 0).unwrap()), [3, 1, 5]);
    assert_eq!(values(&ops::gather_rows(&x, &at(&[2, -3], &[2])).unwrap()), [2, 3]);
    let error = |r: tapegrad::Result<Variable>| r.unwrap_err().to_string();
    assert_eq!(error(ops::take(&x, &at(&[6], &[1]), None)), "take: index 6 is out of bounds for axis 0 with size 6");
    assert_eq!(error(ops::pick(&x, &at(&[0, 3], &[2]), 1)), "pick: index 3 is out of bounds for axis 1 with size 3");
    assert!(error(ops::take(&arange(&[0, 3]), &at(&[0], &[1]), Some(0))).contains("index 0 is out of bounds for axis 0 with size 0"));
    assert!(error(ops::take(&x, &x, None)).contains("integer"));
    assert!(error(ops::pick(&x, &at(&[0], &[1]), 1)).contains("expected (2,)"));
    assert!(error(ops::take_along_axis(&x, &at(&[0], &[1]), Some(0))).contains("do not fit"));
}

#[test]
fn adding_at_indices_checks_what_it_is_given() {
    let x = arange(&[2, 3]);
    let at = |v: &[i64], shape: &[usize]| Variable::from(Array::from_slice(v, shape));
    assert_eq!(values(&ops::gather(&x, 0, &at(&[1, 0], &[1, 2])).unwrap()), [3, 1]);
    assert_eq!(values(&ops::scatter_add(&x, 1, &at(&[0, 0], &[1, 2]), &x).unwrap()), [1, 1, 2, 3, 4, 5]);
    assert_eq!(values(&ops::index_add(&x, 0, &at(&[1, 1], &[2]), &x, 2.0).unwrap()), [0, 1, 2, 9, 14, 19]);
    assert_eq!(values(&ops::masked_fill(&x, &ops::greater(&x, 2.0).unwrap(), 9.0).unwrap()), [0, 1, 2, 9, 9, 9]);
    let error = |r: tapegrad::Result<Variable>| r.unwrap_err().to_string();
    assert!(error(ops::gather(&x, 0, &at(&[0; 4], &[1, 4]))).contains("larger than (2, 3)"));
    assert_eq!(error(ops::gather(&x, 0, &at(&[2], &[1, 1]))), "gather: index 2 is out of bounds for axis 0 with size 2");
    assert!(error(ops::index_add(&x, 0, &at(&[1], &[1]), &x, 1.0)).contains("expected 1-d and (1, 3)"));
    assert!(error(ops::scatter_add(&x, 0, &at(&[0], &[1, 1]), &at(&[0], &[1, 1]))).contains("expected one dtype of numbers"));
    let whole = ops::scatter_add(&at(&[5, 7], &[2]), 0, &at(&[1, 1], &[2]), &at(&[i64::MAX, 1], &[2])).unwrap();
    assert_eq!(whole.array().to_vec::<i64>(), [5, 7_i64.wrapping_add(i64::MAX).wrapping_add(1)]);
    assert!(error(ops::masked_fill(&x, &at(&[1, 0], &[2]), 0.0)).contains("does not broadcast"));
}

#[test]
fn casting_back_keeps_the_dtype_of_the_gradient() {
    let x = Variable::parameter(Array::from_slice(&[1.5_f32, -2.5], &[2])).unwrap();
    let y = ops::astype(&x, DType::F64).unwrap();
    let picked = ops::take(&y, &Array::from_slice(&[1_i64], &[]).into(), None).unwrap();
    backward(&ops::multiply(&picked, &picked).unwrap()).unwrap();
    assert_eq!(x.grad().unwrap().to_vec::<f32>(), [0.0, -5.0]);
    assert!(!ops::astype(&x, DType::I64).unwrap().is_tracked());
}

#[test]
fn pieces_of_a_split_are_one_node() {
    let x = Variable::parameter(arange(&[100, 2]).into_array()).unwrap();
    let parts = ops::unstack(&x, 0).unwrap();
    let node = |v: &Variable| if let Edge::Node { node, .. } = v.edge() { node.id() } else { panic!("not recorded") };
    assert_eq!(node(&parts[0]), node(&parts[99]));
    let y = ops::add(&parts[3], &parts[99]).unwrap();
    backward(&ops::take(&y, &Array::scalar(0_i64).into(), None).unwrap()).unwrap();
    let g = x.grad().unwrap().to_vec::<f64>();
    assert_eq!((g[6], g[198], g.iter().filter(|v| **v != 0.0).count()), (1.0, 1.0, 2));
}
