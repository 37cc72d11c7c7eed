//! Keys of every kind, and what NumPy 2.4 reads with them from an array that counts from zero.

use tapegrad::array::{Array, size_of};
use tapegrad::ops::{IndexItem, get_item};

/// Shape, key, shape of the result, its elements. An array is `i` (ints) or `b` (bools), its shape, its elements.
const TABLE: &str = "
2,3,4 | :: i[3]0,1,0 ... i[3]0,1,0 | 3,2 | 0,12,5,17,0,12
2,3,4 | :: i[3]0,1,0 i[3]0,1,0 | 2,3 | 0,5,0,12,17,12
2,3,4 | 0 :: i[3]0,1,0 | 3,3 | 0,4,8,1,5,9,0,4,8
2,3,4 | :: 0 i[3]0,1,0 | 2,3 | 0,1,0,12,13,12
2,3,4 | i[3]0,1,0 ... | 3,3,4 | 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,0,1,2,3,4,5,6,7,8,9,10,11
2,3,4 | i[2,1]0,1 ::-1 i[2]3,0 | 2,2,3 | 11,7,3,8,4,0,23,19,15,20,16,12
2,3,4 | :: i[3]0,1,0 None i[3]0,1,0 | 3,2,1 | 0,12,5,17,0,12
2,3,4 | None :: i[2]2,0 1:3: | 1,2,2,2 | 9,10,1,2,21,22,13,14
2,3,4 | b[]1 | 1,2,3,4 | 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23
2,3,4 | b[]0 | 0,2,3,4 |
2,3,4 | :: b[]1 :: i[3]0,1,0 | 3,2,3 | 0,4,8,12,16,20,1,5,9,13,17,21,0,4,8,12,16,20
2,3,4 | i[2]1,0 b[]1 | 2,3,4 | 12,13,14,15,16,17,18,19,20,21,22,23,0,1,2,3,4,5,6,7,8,9,10,11
2,3,4 | :: i[3]0,1,0 b[]1 | 2,3,4 | 0,1,2,3,4,5,6,7,0,1,2,3,12,13,14,15,16,17,18,19,12,13,14,15
2,3,4 | b[2]1,0 | 1,3,4 | 0,1,2,3,4,5,6,7,8,9,10,11
2,3,4 | :: b[3]1,0,1 i[2]0,3 | 2,2 | 0,11,12,23
2,3,4 | b[2]1,1 :: i[2]0,3 | 2,3 | 0,4,8,15,19,23
2,3,4 | b[2,3]1,0,1,0,1,1 | 4,4 | 0,1,2,3,8,9,10,11,16,17,18,19,20,21,22,23
2,3,4 | b[2,3]1,0,1,0,1,0 i[3]1,2,3 | 3 | 1,10,19
2,3,4 | ... b[3,4]1,0,1,1,0,1,0,0,1,1,1,1 | 2,8 | 0,2,3,5,8,9,10,11,12,14,15,17,20,21,22,23
2,3,4 | i[]1 ::2 | 2,4 | 12,13,14,15,20,21,22,23
2,3,4 | i[]1 :: i[2]1,1 | 2,3 | 13,17,21,13,17,21
2,3,4 | 5:0:-2 1 None -1::-3 | 1,1,2 | 19,16
2,3,4 | ... None -1 | 2,3,1 | 3,7,11,15,19,23
2,3,4 | 1:1: i[2]2,2 | 0,2,4 |
3,0 | i[2]2,0 | 2,0 |
3,0 | :: i[2,0] | 3,2,0 |
 | ... None | 1 | 0
 | b[]1 None | 1,1 | 0
5 | -2:-100:-2 | 2 | 3,1
2,3,4,2 | :: i[1,2]0,2 1::2 i[2,1]1,0 | 2,2,2,2 | 3,7,27,31,19,23,43,47,2,6,26,30,18,22,42,46
2,3,4,2 | 1 i[2]0,2 2 | 2,2 | 28,29,44,45
2,3,4,2 | :: i[2]0,2 -1 :: | 2,2,2 | 6,7,22,23,30,31,46,47
";

fn numbers<T: std::str::FromStr>(text: &str) -> Vec<T> {
    text.split(',').filter_map(|n| n.trim().parse().ok()).collect()
}

fn item(text: &str) -> IndexItem {
    match text {
        "..." => return IndexItem::Ellipsis,
        "None" => return IndexItem::NewAxis,
        _ => {}
    }
    if let Some((kind, values)) = text.split_once(']') {
        let (shape, values): (Vec<usize>, Vec<i64>) = (numbers(&kind[2..]), numbers(values));
        let bools: Vec<bool> = values.iter().map(|&v| v == 1).collect();
        let array = if kind.starts_with('i') { Array::from_slice(&values, &shape) } else { Array::from_slice(&bools, &shape) };
        return IndexItem::Array(array.into());
    }
    let parts: Vec<Option<isize>> = text.split(':').map(|n| n.parse().ok()).collect();
    match parts[..] {
        [Some(i)] => IndexItem::Int(i),
        [start, stop, step] => IndexItem::Slice(start, stop, step),
        _ => panic!("{text} is no item"),
    }
}

#[test]
fn keys_read_what_numpy_reads() {
    let rows: Vec<&str> = TABLE.trim().lines().collect();
    assert!(rows.len() > 30);
    for row in rows {
        let [shape, key, out, values] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else { panic!("{row}") };
        let (shape, out): (Vec<usize>, Vec<usize>) = (numbers(shape), numbers(out));
        let x = Array::from_slice(&(0_i64..).take(size_of(&shape)).collect::<Vec<_>>(), &shape);
        let key: Vec<IndexItem> = key.split_whitespace().map(item).collect();
        let got = get_item(&x.into(), &key).unwrap();
        assert_eq!(got.shape(), out, "{row}");
        assert_eq!(got.array().to_vec::<i64>(), numbers::<i64>(values), "{row}");
    }
}
