//! Loops over slices and views: SIMD, threads, matrix products. This room knows no differentiation.

pub mod arithmetic;
pub mod blocks;
pub mod classes;
pub mod columns;
pub mod contract;
pub mod field;
pub mod folds;
pub mod gather;
pub mod logits;
pub mod map;
pub mod math;
pub mod matmul;
pub mod moments;
pub mod parallel;
pub mod positions;
pub mod products;
pub mod random;
pub mod reduce;
pub mod region;
pub mod rows;
pub mod select;
pub mod simd;
pub mod softmax;
pub mod spread;
pub mod sweep;
