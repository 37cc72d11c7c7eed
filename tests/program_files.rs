//! Files of programs: one that Python saved, and one for each sample of the registry's rows.

use std::path::PathBuf;

use tapegrad::array::{Array, DType, Layout, Scalar};
use tapegrad::ops::registry::{Arg, Args, Entry, Gradient, Value};
use tapegrad::program::Program;
use tapegrad::registry::entries;
use tapegrad::tape::{BackwardOptions, Variable, capture, grad};
use tapegrad::{Error, Result, dispatch};

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

/// The arrays among the arguments, to read or to replace.
fn variables(args: &mut [Arg]) -> impl Iterator<Item = &mut Variable> {
    args.iter_mut().flat_map(|a| match a {
        Arg::Variable(v) => std::slice::from_mut(v).iter_mut(),
        Arg::Variables(all) => all.iter_mut(),
        _ => [].iter_mut(),
    })
}

/// The results of a row for these arrays, and the gradients of the sum of its floating results if it has any; an error of the call.
fn results(entry: &Entry, args: &[Arg], inputs: &[Array]) -> Result<Vec<Array>> {
    let wanted = entry.gradient != Gradient::None;
    let lift = |a: &Array| if wanted && a.dtype().is_inexact() { Variable::parameter(a.clone()) } else { Ok(a.clone().into()) };
    let xs: Vec<Variable> = inputs.iter().map(lift).collect::<Result<_>>()?;
    let mut args = args.to_vec();
    variables(&mut args).zip(&xs).for_each(|(v, x)| *v = x.clone());
    let outs = match (entry.call)(&Args::new(entry.name, &args))? {
        Value::One(v) => vec![v],
        Value::Many(v) => v,
    };
    let tops: Vec<(Variable, Option<Variable>)> = outs.iter().filter(|v| v.is_tracked()).map(|v| (v.clone(), Some(ones(v)))).collect();
    let leaves: Vec<Variable> = xs.into_iter().filter(Variable::is_tracked).collect();
    let grads = if tops.is_empty() { Vec::new() } else { grad(&tops, &leaves, BackwardOptions::default())? };
    Ok(outs.into_iter().chain(grads.into_iter().flatten()).map(Variable::into_array).collect())
}

fn ones(v: &Variable) -> Variable {
    Array::full(v.shape(), Scalar::Float(1.0), v.dtype()).into()
}

/// Dtypes, shapes and elements of all results, or the error.
fn shown(outcome: Result<Vec<Array>>) -> String {
    let elements = |a: &Array| dispatch!(a.dtype(), T => format!("{:?}", a.to_vec::<T>()));
    match outcome {
        Ok(all) => all.iter().map(|a| format!("{} {:?} {}", a.dtype(), a.shape(), elements(a))).collect::<Vec<_>>().join("\n"),
        Err(e) => e.to_string(),
    }
}

/// The memory of an array in reverse order, in the same layout.
fn reversed(a: &Array) -> Array {
    let count = a.layout().extent().map_or(0, |(_, end)| end);
    let whole = a.with_layout(Layout::contiguous(&[count]));
    dispatch!(a.dtype(), T => {
        let mut all = whole.to_vec::<T>();
        all.reverse();
        Array::from_slice(&all, &[count]).with_layout(a.layout().clone())
    })
}

#[test]
fn rows_and_their_rules_run_as_recorded_and_as_read_from_files() {
    let (mut files, mut others) = (0, Vec::new());
    for entry in entries() {
        for (i, mut sample) in (entry.samples)().into_iter().enumerate() {
            let name = format!("{} sample {i}", entry.path());
            let inputs: Vec<Array> = variables(&mut sample.args).map(|v| v.array().clone()).collect();
            let on = capture::begin(&inputs, vec![]).expect("nothing captures yet");
            let outs = results(entry, &sample.args, &inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
            // A row that reads elements or draws random numbers has no file.
            let Ok(trace) = on.finish(&outs) else {
                others.push(name);
                continue;
            };
            let program = Program::new(trace).unwrap();
            let bytes = match program.to_bytes(None) {
                Ok(bytes) => bytes,
                Err(e) => {
                    assert!(e.to_string().contains("draws random numbers or changes state"), "{name}: {e}");
                    others.push(name);
                    continue;
                }
            };
            let (loaded, _) = Program::from_bytes(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
            // Other elements in each array: what a recording took from them must be a step of the program.
            let new: Vec<Array> = inputs.iter().map(reversed).collect();
            for inputs in [&inputs, &new] {
                let want = shown(results(entry, &sample.args, inputs));
                assert_eq!(shown(program.run(inputs)), want, "{name}: the program");
                assert_eq!(shown(loaded.run(inputs)), want, "{name}: the file");
            }
            files += 1;
        }
    }
    assert!(files > 10 * others.len(), "{files} files, none for {others:?}");
}
