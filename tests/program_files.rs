//! A program that Python saved, loaded and run by Rust.

use std::path::PathBuf;

use tapegrad::Error;
use tapegrad::array::{Array, DType};
use tapegrad::program::Program;

/// Written by `tests/python/test_program_files.py` (see `test_rust_reads_what_python_wrote` there): a network, the places of its
/// largest outputs, and a gradient.
fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/program.safetensors")
}

#[test]
fn rust_reads_what_python_wrote() {
    let program = Program::load(path()).unwrap();
    assert_eq!((program.input_count(), program.output_count()), (1, 3));
    let x: Vec<f32> = (0_u8..6).map(|i| f32::from(i) / 4.0 - 0.5).collect();
    let outs = program.run(&[Array::from_slice(&x, &[2, 3])]).unwrap();
    let near = |a: &Array, want: &[f32]| {
        let got = a.to_vec::<f32>();
        assert!(got.len() == want.len() && got.iter().zip(want).all(|(x, y)| (x - y).abs() < 1e-5), "{got:?} is not {want:?}");
    };
    near(&outs[0], &[0.847_962_5, 0.152_037_5, 0.621_963_14, 0.378_036_83]);
    assert_eq!(outs[1].to_vec::<i64>(), [0, 0]);
    // sin(x) + x cos(x)
    near(&outs[2], &x.iter().map(|x| x.sin() + x * x.cos()).collect::<Vec<f32>>());
}

#[test]
fn errors_are_values() {
    assert!(matches!(Program::load("no such file"), Err(Error::External(_))));
    let program = Program::load(path()).unwrap();
    assert!(matches!(program.run(&[Array::zeros(&[2, 2], DType::F32)]), Err(Error::Shape(_))));
    assert!(matches!(program.run(&[]), Err(Error::Value(_))));
    assert!(matches!(Program::from_bytes(b"nothing"), Err(Error::Value(_))));
}
