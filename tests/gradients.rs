//! Gradients of elementwise functions keep their digits: float32 against float64, over numbers of every size.

#[path = "shared/gradients.rs"]
mod gradients;

use gradients::{FUNCTIONS, worst};

/// A prime: the samples meet every exponent, with varying digits.
const STRIDE: usize = 65_521;

#[test]
fn gradients_do_not_cancel() {
    let near = (0..8000_u16).map(|i| (f32::from(i) - 4000.0) * 0.0042);
    let x: Vec<f32> = (0..=u32::MAX).step_by(STRIDE).map(f32::from_bits).chain(near).chain([f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0]).collect();
    let mut complaints = Vec::new();
    for f in FUNCTIONS {
        let (ulps, at) = worst(f, &x);
        // Without fused multiply-adds every product is rounded, too.
        if ulps > f.limit + 1.5 {
            complaints.push(format!("{}: {ulps:.2} ulp at {at:e}, expected {} at most", f.name, f.limit));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}
