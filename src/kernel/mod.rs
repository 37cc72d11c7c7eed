//! Loops over slices and views: SIMD, threads, matrix products. This room knows no differentiation.

pub mod arithmetic;
pub mod blocks;
pub mod classes;
pub mod field;
pub mod map;
pub mod math;
pub mod parallel;
pub mod reduce;
pub mod simd;
pub mod sweep;
