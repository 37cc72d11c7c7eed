//! Indexing and assignment against an oracle that works out every element's place by itself, on many random keys.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "sizes of a few"
)]

use tapegrad::Error;
use tapegrad::array::{Array, DType, size_of};
use tapegrad::ops::samples::Draw;
use tapegrad::ops::{IndexItem, add, assign_item, get_item, multiply, set_item, sum};
use tapegrad::tape::{BackwardOptions, Variable, grad};

/// How the coordinate along one axis of the array follows from the coordinates in the result.
enum Source {
    /// `start + step · i` of this axis of the result.
    Slice { start: isize, step: isize, axis: usize },
    /// An element of an index array, indexed by the broadcast axes.
    Array { values: Vec<i64>, shape: Vec<usize> },
}

/// Python's `range(*slice.indices(n))`, found by walking.
fn walk(start: Option<isize>, stop: Option<isize>, step: Option<isize>, n: usize) -> Vec<isize> {
    let n = n.cast_signed();
    let step = step.unwrap_or(1);
    let fix = |i: isize| if i < 0 { i + n } else { i };
    let (first, last) = if step > 0 { (0, n) } else { (n - 1, -1) };
    let bound = |i: Option<isize>, default: isize| i.map_or(default, |i| if step > 0 { fix(i).clamp(0, n) } else { fix(i).clamp(-1, n - 1) });
    let (mut i, stop, mut out) = (bound(start, first), bound(stop, last), Vec::new());
    while (step > 0 && i < stop) || (step < 0 && i > stop) {
        out.push(i);
        i += step;
    }
    out
}

/// The number of axes that an item stands for.
fn uses(item: &IndexItem) -> usize {
    match item {
        IndexItem::Ellipsis | IndexItem::NewAxis => 0,
        IndexItem::Array(v) if v.dtype() == DType::Bool => v.ndim(),
        IndexItem::Int(_) | IndexItem::Slice(..) | IndexItem::Array(_) => 1,
    }
}

/// The items, with a full slice added for every axis that no item covers.
fn complete(shape: &[usize], items: &[IndexItem]) -> Vec<IndexItem> {
    let used: usize = items.iter().map(uses).sum();
    let mut full: Vec<IndexItem> = Vec::new();
    for i in items {
        full.push(i.clone());
        if matches!(i, IndexItem::Ellipsis) {
            full.extend((used..shape.len()).map(|_| IndexItem::Slice(None, None, None)));
        }
    }
    while full.iter().map(uses).sum::<usize>() < shape.len() {
        full.push(IndexItem::Slice(None, None, None));
    }
    full
}

/// The shape of the result, and for each of its elements the position in the array.
fn oracle(shape: &[usize], items: &[IndexItem]) -> (Vec<usize>, Vec<usize>) {
    let full = complete(shape, items);
    let advanced = full.iter().any(|i| matches!(i, IndexItem::Array(_)));
    let (mut out, mut from, mut axis) = (Vec::new(), Vec::new(), 0);
    let (mut runs, mut inside, mut at) = (0, false, 0);
    for item in &full {
        let is_array = matches!(item, IndexItem::Array(_) | IndexItem::Int(_)) && advanced;
        if is_array && !inside {
            runs += 1;
            at = out.len();
        }
        inside = is_array;
        match item {
            IndexItem::Int(i) => {
                let n = shape[axis] as i64;
                from.push(Source::Array { values: vec![(*i as i64 + n) % n], shape: vec![] });
            }
            IndexItem::Slice(a, b, c) => {
                let walked = walk(*a, *b, *c, shape[axis]);
                from.push(Source::Slice { start: walked.first().copied().unwrap_or(0), step: c.unwrap_or(1), axis: out.len() });
                out.push(walked.len());
            }
            IndexItem::NewAxis => out.push(1),
            IndexItem::Ellipsis => {}
            IndexItem::Array(v) if v.dtype() == DType::Bool => {
                let hits: Vec<usize> = v.array().to_vec::<bool>().iter().enumerate().filter(|(_, b)| **b).map(|(i, _)| i).collect();
                for k in 0..v.ndim() {
                    let inner: usize = v.shape()[k + 1..].iter().product();
                    let values = hits.iter().map(|h| (h / inner % v.shape()[k]) as i64).collect();
                    from.push(Source::Array { values, shape: vec![hits.len()] });
                }
                if v.ndim() == 0 {
                    // An index array without an axis of its own: it only takes part in the broadcast.
                    from.push(Source::Array { values: vec![0; hits.len()], shape: vec![hits.len(), usize::MAX] });
                }
            }
            IndexItem::Array(v) => {
                let n = shape[axis] as i64;
                from.push(Source::Array { values: v.array().to_vec::<i64>().iter().map(|i| (i + n) % n).collect(), shape: v.shape().to_vec() });
            }
        }
        axis += uses(item);
    }
    let at = if runs > 1 { 0 } else { at };
    places(shape, &out, &from, at)
}

fn places(shape: &[usize], out: &[usize], from: &[Source], at: usize) -> (Vec<usize>, Vec<usize>) {
    let real = |s: &[usize]| s.iter().copied().filter(|&n| n != usize::MAX).collect::<Vec<_>>();
    let mut common: Vec<usize> = Vec::new();
    for f in from {
        if let Source::Array { shape: s, .. } = f {
            common = tapegrad::array::broadcast_shapes(&common, &real(s)).unwrap().to_vec();
        }
    }
    let mut result = out.to_vec();
    result.splice(at..at, common.iter().copied());
    let mut found = Vec::new();
    for k in 0..size_of(&result) {
        let mut left = k;
        let mut place: Vec<usize> = result.iter().rev().map(|&n| (left % n, left /= n).0).collect();
        place.reverse();
        let (mut flat, mut axis) = (0, 0);
        for f in from {
            let i = match f {
                Source::Slice { start, step, axis } => {
                    let own = if *axis < at { *axis } else { axis + common.len() };
                    start + step * place[own].cast_signed()
                }
                Source::Array { shape: s, .. } if s.contains(&usize::MAX) => continue,
                Source::Array { values, shape: s } => {
                    let own = &place[at + common.len() - s.len()..at + common.len()];
                    let flat = s.iter().zip(own).fold(0, |f, (&n, &p)| f * n + if n == 1 { 0 } else { p });
                    values[flat] as isize
                }
            };
            flat = flat * shape[axis] + i.cast_unsigned();
            axis += 1;
        }
        found.push(flat);
    }
    (result, found)
}

struct Keys(Draw);

impl Keys {
    fn below(&mut self, n: usize) -> usize {
        (self.0.unit() * n as f64) as usize
    }

    fn int(&mut self, low: isize, high: isize) -> isize {
        low + self.below((high - low).cast_unsigned()).cast_signed()
    }

    fn maybe(&mut self, low: isize, high: isize) -> Option<isize> {
        if self.below(3) == 0 { None } else { Some(self.int(low, high)) }
    }

    /// An item for some of the remaining axes, whose sizes are `left`.
    fn item(&mut self, left: &[usize], common: &[usize], arrays: bool) -> (IndexItem, usize) {
        let n = left[0].cast_signed();
        match self.below(if arrays { 10 } else { 6 }) {
            0 | 1 if n > 0 => (IndexItem::Int(self.int(-n, n)), 1),
            2 => (IndexItem::NewAxis, 0),
            6 | 7 if n > 0 => {
                // A shape that broadcasts to the common one.
                let skip = self.below(common.len() + 1);
                let shape: Vec<usize> = common[skip..].iter().map(|&m| if self.below(4) == 0 { 1 } else { m }).collect();
                let values: Vec<i64> = (0..size_of(&shape)).map(|_| self.int(-n, n) as i64).collect();
                (IndexItem::Array(Array::from_slice(&values, &shape).into()), 1)
            }
            8 if common.len() == 1 => {
                // A mask with as many hits as the common shape has elements, or with one.
                let ndim = 1 + self.below(left.len().min(2));
                let shape = &left[..ndim];
                let mut mask = vec![false; size_of(shape)];
                let hits = if self.below(3) == 0 { 1 } else { common[0] };
                if hits > mask.len() {
                    return (IndexItem::Slice(None, None, None), 1);
                }
                while mask.iter().filter(|&&b| b).count() < hits {
                    let i = self.below(mask.len());
                    mask[i] = true;
                }
                (IndexItem::Array(Array::from_slice(&mask, shape).into()), ndim)
            }
            9 if self.below(4) == 0 => (IndexItem::Array(Array::scalar(true).into()), 0),
            _ => {
                let step = self.maybe(-3, 4).map(|s| if s == 0 { 1 } else { s });
                (IndexItem::Slice(self.maybe(-n - 2, n + 3), self.maybe(-n - 2, n + 3), step), 1)
            }
        }
    }

    fn case(&mut self) -> (Vec<usize>, Vec<IndexItem>) {
        let shape: Vec<usize> = (0..self.below(5)).map(|_| if self.below(12) == 0 { 0 } else { 1 + self.below(4) }).collect();
        let common: Vec<usize> = (0..=self.below(2)).map(|_| 1 + self.below(3)).collect();
        let arrays = self.below(3) > 0;
        let (mut items, mut axis) = (Vec::new(), 0);
        let mut open = true;
        while axis < shape.len() && items.len() < 6 && self.below(8) > 0 {
            if open && self.below(6) == 0 {
                open = false;
                items.push(IndexItem::Ellipsis);
            }
            let (item, used) = self.item(&shape[axis..], &common, arrays);
            items.push(item);
            axis += used;
        }
        // After an ellipsis the items index the last axes, so sizes may not fit any more.
        if !open && axis < shape.len() {
            let _ = items.iter().position(|i| matches!(i, IndexItem::Ellipsis)).map(|i| items.remove(i));
        }
        (shape, items)
    }
}

fn arange(shape: &[usize]) -> Variable {
    Array::from_slice(&(0..size_of(shape)).map(|i| i as f64 + 1.0).collect::<Vec<_>>(), shape).into()
}

/// The same values through a transposed layout.
fn turned(x: &Variable) -> Variable {
    let back: Vec<usize> = (0..x.ndim()).rev().collect();
    let a = x.array();
    let moved = a.with_layout(a.layout().permute(&back)).copy();
    moved.with_layout(moved.layout().permute(&back)).into()
}

fn values(v: &Variable) -> Vec<f64> {
    v.array().to_vec()
}

#[test]
fn reading_agrees_with_the_oracle() {
    let mut keys = Keys(Draw::new(5));
    for _ in 0..4000 {
        let (shape, key) = keys.case();
        let (want_shape, places) = oracle(&shape, &key);
        let x = arange(&shape);
        for x in [turned(&x), x] {
            let got = get_item(&x, &key).unwrap_or_else(|e| panic!("{shape:?} {key:?}: {e}"));
            assert_eq!(got.shape(), want_shape, "{shape:?} {key:?}");
            assert_eq!(values(&got), places.iter().map(|&p| p as f64 + 1.0).collect::<Vec<_>>(), "{shape:?} {key:?}");
        }
    }
}

#[test]
fn writing_agrees_with_the_oracle() {
    let mut keys = Keys(Draw::new(6));
    for round in 0..4000 {
        let (shape, key) = keys.case();
        let (part, places) = oracle(&shape, &key);
        let x = arange(&shape);
        // Values of a shape that broadcasts to the part.
        let skip = keys.below(part.len() + 1);
        let small: Vec<usize> = part[skip..].iter().map(|&n| if keys.below(4) == 0 { 1 } else { n }).collect();
        let value: Variable = multiply(&arange(&small), -1.0).unwrap();
        let wide = value.array().broadcast_to("test", &part).unwrap().to_vec::<f64>();
        let mut want = values(&x);
        places.iter().zip(&wide).for_each(|(&p, &v)| want[p] = v);
        let x = if round % 2 == 0 { turned(&x) } else { x };
        let got = set_item(&x, &key, &value).unwrap_or_else(|e| panic!("{shape:?} {key:?}: {e}"));
        assert_eq!(values(&got), want, "{shape:?} {key:?}");
        assert_eq!(values(&x), values(&arange(&shape)), "the old value stays");
        assert_eq!(values(&assign_item(x, &key, &value).unwrap()), want);
    }
}

#[test]
fn gradients_agree_with_the_oracle() {
    let mut keys = Keys(Draw::new(7));
    for _ in 0..2000 {
        let (shape, key) = keys.case();
        let (part, places) = oracle(&shape, &key);
        let x = Variable::parameter(arange(&shape).into_array()).unwrap();
        let g = arange(&part);
        let y = get_item(&x, &key).unwrap();
        let read = grad(&[(y, Some(g.clone()))], std::slice::from_ref(&x), BackwardOptions::default()).unwrap();
        let mut want = vec![0.0; size_of(&shape)];
        places.iter().zip(values(&g)).for_each(|(&p, g)| want[p] += g);
        assert_eq!(values(read[0].as_ref().unwrap()), want, "{shape:?} {key:?}");

        let v = Variable::parameter(arange(&part).into_array()).unwrap();
        let (y, g) = (set_item(&x, &key, &v).unwrap(), arange(&shape));
        let back = grad(&[(y, Some(g.clone()))], &[x, v], BackwardOptions::default()).unwrap();
        let all = values(&g);
        let kept: Vec<f64> = all.iter().enumerate().map(|(i, &g)| if places.contains(&i) { 0.0 } else { g }).collect();
        assert_eq!(values(back[0].as_ref().unwrap()), kept, "{shape:?} {key:?}");
        // Only the last of several values written to one position has a gradient.
        let written: Vec<f64> = (0..places.len()).map(|k| if places[k + 1..].contains(&places[k]) { 0.0 } else { all[places[k]] }).collect();
        assert_eq!(values(back[1].as_ref().unwrap()), written, "{shape:?} {key:?}");
    }
}

#[test]
fn unshared_values_are_overwritten_in_place() {
    let x = arange(&[4]);
    let start = x.array().storage().as_ptr();
    let x = assign_item(x, &[IndexItem::Slice(Some(1), None, Some(2))], 0.0).unwrap();
    let x = assign_item(x, &[IndexItem::Array(Array::from_slice(&[0_i64], &[1]).into())], 7.0).unwrap();
    assert_eq!(x.array().storage().as_ptr(), start);
    assert_eq!(values(&x), [7.0, 0.0, 3.0, 0.0]);
}

#[test]
fn bad_keys_say_what_is_wrong() {
    use IndexItem::{Ellipsis, Int, Slice};
    let x = arange(&[2, 3]);
    let ints = |v: &[i64]| IndexItem::Array(Array::from_slice(v, &[v.len()]).into());
    let mask = |n: usize| IndexItem::Array(Array::zeros(&[n], DType::Bool).into());
    let cases = [
        (vec![Int(2)], "getitem: index 2 is out of bounds for axis 0 with size 2"),
        (vec![Ellipsis, Int(-4)], "getitem: index -4 is out of bounds for axis 1 with size 3"),
        (vec![Int(0); 3], "getitem: too many indices for array: array is 2-dimensional, but 3 were indexed"),
        (vec![ints(&[0, 5])], "getitem: index 5 is out of bounds for axis 0 with size 2"),
        (vec![Slice(None, None, None), ints(&[-4])], "getitem: index -4 is out of bounds for axis 1 with size 3"),
        (vec![Ellipsis, Ellipsis], "getitem: an index can only have a single ellipsis ('...')"),
        (
            vec![mask(3)],
            "getitem: boolean index did not match indexed array along axis 0; size of axis is 2 but size of corresponding boolean axis is 3",
        ),
        (vec![ints(&[0, 1]), ints(&[0, 1, 2])], "getitem: shape mismatch: indexing arrays could not be broadcast together with shapes (2,) (3,)"),
        (vec![IndexItem::Array(arange(&[1]))], "getitem: arrays used as indices must be of an integer (or bool) dtype, got float64"),
    ];
    for (key, want) in cases {
        let error = get_item(&x, &key).unwrap_err();
        assert!(matches!(error, Error::Index(_)), "{want}");
        assert_eq!(error.to_string(), want);
    }
    assert!(matches!(get_item(&x, &[Slice(None, None, Some(0))]), Err(Error::Value(_))));
    let wrong = set_item(&x, &[Int(0)], &arange(&[2])).unwrap_err();
    assert_eq!(wrong.to_string(), "setitem: could not broadcast a value of shape (2,) into shape (3,)");
    let wrong = set_item(&x, &[ints(&[0, 1])], &arange(&[2])).unwrap_err();
    assert_eq!(wrong.to_string(), "setitem: a value of shape (2,) cannot be broadcast to the indexing result of shape (2, 3)");
}

/// Gradients of parts are added to the collected gradient, whatever that is: nothing, a part, or the whole.
#[test]
fn parts_of_a_gradient_add_up() {
    let x = Variable::parameter(Array::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])).unwrap();
    let doubled = multiply(&x, 2.0).unwrap();
    for (inner, want) in [(&x, [1.0, 11.0, 101.0, 1.0, 2.0, 1.0]), (&doubled, [2.0, 22.0, 202.0, 2.0, 4.0, 2.0])] {
        let row = get_item(inner, &[IndexItem::Int(1)]).unwrap(); // (3,)
        let back = get_item(&row, &[IndexItem::Slice(None, None, Some(-2))]).unwrap(); // row[2], row[0]
        let one = get_item(inner, &[IndexItem::Int(0), IndexItem::Int(2)]).unwrap();
        let other = get_item(inner, &[IndexItem::Int(0), IndexItem::Int(1)]).unwrap();
        let terms = [
            sum(inner, None, false),
            multiply(&one, 100.0),
            multiply(&other, 10.0),
            sum(&row, None, false),
            multiply(&sum(&back, None, false).unwrap(), -1.0),
        ];
        let total = terms.into_iter().map(Result::unwrap).reduce(|a, b| add(&a, &b).unwrap()).unwrap();
        let retain = BackwardOptions { retain_graph: true, ..BackwardOptions::default() };
        // One input is asked for twice, together with an intermediate value.
        let grads = grad(&[(total.clone(), None)], &[x.clone(), inner.clone(), x.clone()], retain).unwrap();
        for g in [&grads[0], &grads[2]] {
            assert_eq!(g.as_ref().unwrap().array().to_vec::<f64>(), want);
        }
        let recorded = BackwardOptions { create_graph: true, ..retain };
        let again = grad(&[(total, None)], std::slice::from_ref(&x), recorded).unwrap();
        assert_eq!(again[0].as_ref().unwrap().array().to_vec::<f64>(), want, "the recorded rules agree");
    }
}
