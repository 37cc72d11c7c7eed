//! Folds other than sums and products: extrema, logic, counts, squares.
#![allow(clippy::inline_always, reason = "a function that is not inlined is compiled for the wrong instruction set")]

use crate::array::Element;
use crate::kernel::reduce::Fold;

macro_rules! fold {
    ($name:ident: $($t:ty),+ => $acc:ty, $start:expr, $lift:expr, $join:expr) => {
        fold!(false, $name: $($t),+ => $acc, $start, $lift, $join);
    };
    ($wide:literal, $name:ident: $($t:ty),+ => $acc:ty, $start:expr, $lift:expr, $join:expr) => {
        $(impl Fold<$t> for $name {
            type Acc = $acc;
            const TUNED: bool = $wide;
            const WIDE: bool = $wide;
            #[inline(always)]
            fn start() -> $acc {
                $start
            }
            #[inline(always)]
            fn lift(x: $t) -> $acc {
                let f: fn($t) -> $acc = $lift;
                f(x)
            }
            #[inline(always)]
            fn join(a: $acc, b: $acc) -> $acc {
                let f: fn($acc, $acc) -> $acc = $join;
                f(a, b)
            }
        })+
    };
}

/// An extremum of `$t`, where NaN wins over every number. A running NaN is kept (`a != a`), and a new one is taken because the comparison
/// with it is false. Among eight elements, the extremum is found as if there were no NaN, and NaN is checked for in pairs: that takes two
/// thirds of the instructions.
macro_rules! extremum {
    ($name:ident, $better:tt, $limit:ident, $infinity:ident, $bool_start:expr, $bool:tt) => {
        extremum!(@float $name, $better, $infinity, f32, f64);
        extremum!(@integer $name, $better, $limit, u8, i32, i64);
        fold!($name: bool => bool, $bool_start, |x| x, |a, b| a $bool b);
    };
    (@float $name:ident, $better:tt, $infinity:ident, $($t:ident),+) => {
        $(impl Fold<$t> for $name {
            type Acc = $t;
            const TUNED: bool = true;
            #[inline(always)]
            fn start() -> $t {
                $t::$infinity
            }
            #[inline(always)]
            fn lift(x: $t) -> $t {
                x
            }
            #[inline(always)]
            fn join(a: $t, b: $t) -> $t {
                if (a $better b) | a.is_nan() { a } else { b }
            }
            #[inline(always)]
            fn eight(acc: $t, [a, b, c, d, e, f, g, h]: [$t; 8]) -> $t {
                let better = |x, y| if x $better y { x } else { y };
                let unordered = |x: $t, y: $t| x.is_nan() | y.is_nan();
                let best = better(better(better(a, b), better(c, d)), better(better(e, f), better(g, h)));
                let nan = unordered(a, b) | unordered(c, d) | unordered(e, f) | unordered(g, h);
                <Self as Fold<$t>>::join(acc, if nan { $t::NAN } else { best })
            }
        })+
    };
    (@integer $name:ident, $better:tt, $limit:ident, $($t:ident),+) => {
        $(fold!($name: $t => $t, $t::$limit, |x| x, |a, b| if a $better b { a } else { b });)+
    };
}

/// The largest element; NaN if there is one.
#[derive(Debug)]
pub enum Max {}
extremum!(Max, >, MIN, NEG_INFINITY, false, |);

/// The smallest element; NaN if there is one.
#[derive(Debug)]
pub enum Min {}
extremum!(Min, <, MAX, INFINITY, true, &);

/// The sum of squares.
#[derive(Debug)]
pub enum SumSquares {}
fold!(true, SumSquares: f32 => f32, 0.0, |x| x * x, |a, b| a + b);
fold!(true, SumSquares: f64 => f64, 0.0, |x| x * x, |a, b| a + b);

/// The sum of absolute values.
#[derive(Debug)]
pub enum SumAbs {}
fold!(true, SumAbs: f32 => f32, 0.0, f32::abs, |a, b| a + b);
fold!(true, SumAbs: f64 => f64, 0.0, f64::abs, |a, b| a + b);

/// The sum of squares in double precision.
#[derive(Debug)]
pub enum WideSquares {}
fold!(true, WideSquares: f32 => f64, 0.0, |x| f64::from(x) * f64::from(x), |a, b| a + b);
fold!(true, WideSquares: f64 => f64, 0.0, |x| x * x, |a, b| a + b);

/// The sum of absolute values in double precision.
#[derive(Debug)]
pub enum WideAbs {}
fold!(true, WideAbs: f32 => f64, 0.0, |x| f64::from(x.abs()), |a, b| a + b);
fold!(true, WideAbs: f64 => f64, 0.0, f64::abs, |a, b| a + b);

/// The largest absolute value, 0 for no elements; NaN if there is one.
#[derive(Debug)]
pub enum LargestAbs {}
fold!(LargestAbs: f32 => f32, 0.0, f32::abs, |a, b| if (a > b) | a.is_nan() { a } else { b });
fold!(LargestAbs: f64 => f64, 0.0, f64::abs, |a, b| if (a > b) | a.is_nan() { a } else { b });

macro_rules! truth {
    ($(#[$doc:meta])* $name:ident: $acc:ty, $start:expr, $lift:expr, $join:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl<T: Element> Fold<T> for $name {
            type Acc = $acc;
            #[inline(always)]
            fn start() -> $acc {
                $start
            }
            #[inline(always)]
            fn lift(x: T) -> $acc {
                let f: fn(bool) -> $acc = $lift;
                f(x != T::default())
            }
            #[inline(always)]
            fn join(a: $acc, b: $acc) -> $acc {
                let f: fn($acc, $acc) -> $acc = $join;
                f(a, b)
            }
        }
    };
}

truth!(
    /// Whether any element is not zero; NaN is not zero.
    Any: bool, false, |x| x, |a, b| a | b
);
truth!(
    /// Whether all elements are not zero.
    All: bool, true, |x| x, |a, b| a & b
);
truth!(
    /// How many elements are not zero.
    CountNonzero: i64, 0, i64::from, |a, b| a + b
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Array;
    use crate::kernel::reduce::reduce;

    #[test]
    fn nan_wins_wherever_it_stands() {
        for at in [0, 5, 31, 32, 99, 1500] {
            let mut data: Vec<f32> = (0..1501).map(|i| if i % 2 == 0 { f32::INFINITY } else { -3.0 }).collect();
            data[at] = f32::NAN;
            let x = Array::from_slice(&data, &[1501]);
            assert!(reduce::<Max, f32>(&x, &[0]).to_vec::<f32>()[0].is_nan());
            assert!(reduce::<Min, f32>(&x, &[0]).to_vec::<f32>()[0].is_nan());
            let columns = Array::from_slice(&data, &[1501, 1]);
            assert!(reduce::<Max, f32>(&columns, &[0]).to_vec::<f32>()[0].is_nan());
        }
    }

    #[test]
    fn extrema_of_every_kind() {
        let x = Array::from_slice(&[f64::NEG_INFINITY; 3], &[3]);
        assert_eq!(reduce::<Max, f64>(&x, &[0]).to_vec::<f64>(), [f64::NEG_INFINITY]);
        let x = Array::from_slice(&[3_u8, 255, 0, 7], &[2, 2]);
        assert_eq!(reduce::<Max, u8>(&x, &[0]).to_vec::<u8>(), [3, 255]);
        assert_eq!(reduce::<Min, u8>(&x, &[1]).to_vec::<u8>(), [3, 0]);
        let x = Array::from_slice(&[i64::MIN, i64::MAX], &[2]);
        assert_eq!(reduce::<Max, i64>(&x, &[0]).to_vec::<i64>(), [i64::MAX]);
        assert_eq!(reduce::<Min, i64>(&x, &[0]).to_vec::<i64>(), [i64::MIN]);
        let x = Array::from_slice(&[true, false], &[2]);
        assert_eq!((reduce::<Max, bool>(&x, &[0]).to_vec::<bool>(), reduce::<Min, bool>(&x, &[0]).to_vec::<bool>()), (vec![true], vec![false]));
    }

    #[test]
    fn truth_and_counts() {
        let x = Array::from_slice(&[0.0, f64::NAN, -0.0, 2.0], &[2, 2]);
        assert_eq!(reduce::<Any, f64>(&x, &[0]).to_vec::<bool>(), [false, true]);
        assert_eq!(reduce::<All, f64>(&x, &[0]).to_vec::<bool>(), [false, true]);
        assert_eq!(reduce::<CountNonzero, f64>(&x, &[1]).to_vec::<i64>(), [1, 1]);
        let none = Array::from_slice::<i32>(&[], &[0]);
        assert_eq!((reduce::<Any, i32>(&none, &[0]).to_vec::<bool>(), reduce::<All, i32>(&none, &[0]).to_vec::<bool>()), (vec![false], vec![true]));
    }
}
