//! Loops over slices and views: SIMD, threads, matrix products. This room knows no differentiation.

pub mod arithmetic;
pub mod blocks;
pub mod field;
pub mod folds;
pub mod map;
pub mod math;
pub mod moments;
pub mod parallel;
pub mod positions;
pub mod products;
pub mod reduce;
pub mod simd;
pub mod softmax;
