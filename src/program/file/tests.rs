//! Files of programs: written and read, cut, changed, and changed with a checksum that fits.

use super::*;
use crate::ops;
use crate::tape::capture;

/// A program with attributes, views, numbers, a constant and a gradient rule.
fn program() -> Program {
    // A recording is refused when another thread changes a parameter meanwhile, as other tests do.
    let trace = (0..1000).find_map(|_| recorded().ok()).expect("no other test runs all the time");
    Program::new(trace).unwrap()
}

fn recorded() -> std::result::Result<capture::Trace, String> {
    let x = Array::from_slice(&[0.5, -1.0, 2.0, 1.0, 0.0, 3.0], &[2, 3]);
    let on = capture::begin(std::slice::from_ref(&x), vec![]).unwrap();
    let x = Variable::parameter(x).unwrap();
    let c = Variable::from(Array::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2]));
    let y = ops::softmax(&ops::matmul(&x, &c).unwrap(), 1).unwrap();
    let z = ops::multiply(&ops::sum(&ops::tanh(&x).unwrap(), Some(&[1]), true).unwrap(), f64::NEG_INFINITY).unwrap();
    let s = ops::sum(&y, None, false).unwrap();
    let g = crate::tape::grad(&[(s, None)], std::slice::from_ref(&x), crate::tape::BackwardOptions::default()).unwrap();
    let outs: Vec<Array> = [y, z].into_iter().chain(g.into_iter().flatten()).map(Variable::into_array).collect();
    on.finish(&outs)
}

fn results(p: &Program) -> Vec<Vec<u64>> {
    let x = Array::from_slice(&[0.25, -3.0, 1e-3, 7.0, -0.0, 0.1], &[2, 3]);
    p.run(&[x]).unwrap().iter().map(|a| a.to_vec::<f64>().iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn loaded_programs_give_the_same_bits() {
    let p = program();
    let bytes = p.to_bytes(Some("a note".to_owned())).unwrap();
    let (loaded, notes) = Program::from_bytes(&bytes).unwrap();
    assert_eq!(notes.as_deref(), Some("a note"));
    assert_eq!(results(&p), results(&loaded));
    let again = loaded.to_bytes(Some("a note".to_owned())).unwrap();
    assert_eq!(results(&p), results(&Program::from_bytes(&again).unwrap().0));
    assert_eq!(results(&p), results(&p.freeze().unwrap()));
}

#[test]
fn every_cut_and_every_changed_byte_is_found() {
    let bytes = program().to_bytes(None).unwrap();
    for n in 0..bytes.len() {
        assert!(Program::from_bytes(&bytes[..n]).is_err(), "{n} bytes of {}", bytes.len());
    }
    for i in 0..bytes.len() {
        let mut other = bytes.clone();
        other[i] ^= 1 << (i % 8);
        // A changed byte may keep the meaning of the header's JSON, in white space; then the program is the same.
        if let Ok((p, _)) = Program::from_bytes(&other) {
            assert_eq!(results(&p), results(&program()), "byte {i}");
        }
    }
}

/// The file of `p` with another text, and a checksum that fits.
fn with_text(p: &Program, change: impl Fn(&mut Json)) -> Vec<u8> {
    let (doc, tensors) = unpack(&p.to_bytes(None).unwrap()).unwrap();
    let mut json = serde_json::to_value(&doc).unwrap();
    change(&mut json);
    let text = json.to_string();
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    let header = HashMap::from([(KEY.to_owned(), text.clone()), (CHECKSUM.to_owned(), checksum(&text, &tensors).to_string())]);
    safetensors::serialize(views, Some(header)).unwrap()
}

/// The message of the error of a changed file.
fn refused(change: impl Fn(&mut Json)) -> String {
    refused_of(&program(), change)
}

fn refused_of(p: &Program, change: impl Fn(&mut Json)) -> String {
    match Program::from_bytes(&with_text(p, change)) {
        Ok(_) => panic!("the file was read"),
        Err(Error::Value(m) | Error::Memory(m)) => m,
        Err(e) => panic!("another error: {e:?}"),
    }
}

#[test]
fn changed_programs_are_refused() {
    let step = |json: &Json, name: &str| {
        let steps = json["steps"].as_array().expect("a program has steps");
        steps.iter().position(|s| s["what"]["call"]["name"] == name).expect("a step of that name")
    };
    assert!(Program::from_bytes(&with_text(&program(), |_| {})).is_ok());
    assert!(refused(|j| j["format"] = 99.into()).contains("format 99"));
    assert!(refused(|j| j["steps"][0]["what"]["call"]["name"] = "evil".into()).contains("evil"));
    assert!(refused(|j| j["steps"][0]["inputs"][0] = serde_json::json!({"value": 10_000_000})).contains("before it is made"));
    assert!(refused(|j| j["steps"][0]["inputs"] = serde_json::json!([])).contains("damaged"));
    assert!(refused(|j| j["steps"][0]["outputs"] = serde_json::json!([j["steps"][0]["outputs"][0], null])).contains("makes 1 values"));
    assert!(refused(|j| j["outputs"] = serde_json::json!([77_777])).contains("77777"));
    assert!(refused(|j| j["sources"] = serde_json::json!([])).contains("before it is made"));
    assert!(refused(|j| j["values"][0]["layout"]["shape"] = serde_json::json!([1_u64 << 40, 1_u64 << 40])).contains("no array"));
    assert!(refused(|j| j["values"][0]["layout"]["strides"] = serde_json::json!([-3, 1])).contains("no array"));
    assert!(refused(|j| j["values"][0]["dtype"] = "float8".into()).contains("float8"));
    assert!(refused(|j| j["extra"] = 1.into()).contains("extra"));
    assert!(
        refused(|j| {
            let k = step(j, "softmax");
            j["steps"][k]["what"]["call"]["attributes"] = serde_json::json!(["OverAxes", {"axes": [9]}]);
        })
        .contains("damaged")
    );
    assert!(
        refused(|j| {
            let k = step(j, "softmax");
            j["steps"][k]["what"]["call"]["attributes"] = serde_json::json!(["ToDType", {"dtype": "int8"}]);
        })
        .contains("damaged")
    );
    assert!(
        refused(|j| {
            let k = step(j, "tanh");
            j["steps"][k]["what"] = serde_json::json!({"view": [{"shape": [50], "strides": [1], "offset": 0}, 0]});
        })
        .contains("reaches outside")
    );
    assert!(
        refused(|j| {
            let k = step(j, "tanh");
            j["steps"][k]["what"] = serde_json::json!({"view": [{"shape": [2, 3], "strides": [3, 1], "offset": 0}, -1]});
        })
        .contains("reaches outside")
    );
}

#[test]
fn any_changed_number_is_survived() {
    let base = serde_json::to_value(unpack(&program().to_bytes(None).unwrap()).unwrap().0).unwrap();
    let mut places = Vec::new();
    numbers(&base, String::new(), &mut places);
    assert!(places.len() > 50);
    for place in places {
        for other in [0_i64, 1, 3, 255, -1, i64::MAX] {
            let bytes = with_text(&program(), |j| {
                if let Some(n) = j.pointer_mut(&place) {
                    *n = other.into();
                }
            });
            // Read or refused: it must not end the process, nor fail later.
            if let Ok((p, _)) = Program::from_bytes(&bytes) {
                let _ = p.run(&[Array::from_slice(&[0.25, -3.0, 1e-3, 7.0, -0.0, 0.1], &[2, 3])]);
            }
        }
    }
}

/// Where the integers of a JSON text are.
fn numbers(json: &Json, at: String, out: &mut Vec<String>) {
    match json {
        Json::Number(_) => out.push(at),
        Json::Array(all) => all.iter().enumerate().for_each(|(i, x)| numbers(x, format!("{at}/{i}"), out)),
        Json::Object(all) => all.iter().for_each(|(k, x)| numbers(x, format!("{at}/{k}"), out)),
        _ => {}
    }
}

#[test]
fn attributes_have_names_of_their_own() {
    let mut names: Vec<&str> = registry::ATTRIBUTES.iter().flat_map(|f| f.iter()).map(|a| a.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn constants_keep_their_layout() {
    let a = Array::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
    let turned = a.with_layout(a.layout().permute(&[1, 0]));
    let (tensor, layout) = constant(&turned);
    assert_eq!((tensor.shape(), layout.strides()), (&[6][..], &[1, 3][..]));
    let wide = Array::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0], &[2, 5]);
    let column = wide.with_layout(wide.layout().slice(1, 1, 1, 1));
    assert_eq!(constant(&column).0.to_vec::<f64>(), [2.0, 7.0]);
    let one = Array::from_slice(&[7.0], &[1]);
    let spread = one.with_layout(one.layout().broadcast_to("test", &[1000]).unwrap());
    assert_eq!(constant(&spread).0.size(), 1);
}

#[test]
fn bytes_are_those_of_the_elements() {
    let z = num_complex::Complex::new(1.5_f32, -2.0);
    for a in [Array::from_slice(&[z], &[1]), Array::from_slice(&[true, false], &[2]), Array::from_slice(&[u64::MAX, 1], &[2])] {
        let back = from_bytes(&to_bytes(&a), a.shape(), a.dtype());
        dispatch!(a.dtype(), T => assert_eq!(a.to_vec::<T>(), back.to_vec::<T>()));
    }
}

#[test]
fn primitives_have_names_of_their_own() {
    let mut numbered = Vec::new();
    for p in registry::primitives() {
        let name = registry::name_of(p).unwrap();
        assert!(registry::primitive(name).is_some_and(|q| q.name == p.name));
        if name.contains('.') {
            numbered.push(name);
        }
    }
    numbered.dedup();
    // In files: a name must not go over to another primitive.
    assert_eq!(numbered, ["view.2", "getitem.2", "getitem.3", "setitem.2", "abs.2", "sign.2", "add.2"]);
}

/// A program with a loop: carry and row are added to a constant, four times.
fn program_with_a_loop() -> Program {
    let trace = (0..1000).find_map(|_| recorded_loop().ok()).expect("no other test runs all the time");
    Program::new(trace).unwrap()
}

fn recorded_loop() -> std::result::Result<capture::Trace, String> {
    let (h, xs) = (Array::from_slice(&[0.5, -1.0], &[2]), Array::from_slice(&[1.0; 8], &[4, 2]));
    let row = Array::from_slice(&[1.0, 1.0], &[2]);
    let on = capture::begin(&[h.clone(), row.clone()], vec![]).unwrap();
    let c = Variable::from(Array::from_slice(&[0.25, 3.0], &[2]));
    let sum = ops::add(&ops::add(&Variable::from(h.clone()), &Variable::from(row.clone())).unwrap(), &c).unwrap();
    let y = ops::multiply(&sum, 2.0).unwrap();
    let step = on.finish(&[sum.into_array(), y.into_array()])?;
    let operands = [&h, &row].map(|a| (a.layout().clone(), a.dtype())).to_vec();
    let body = super::super::Body::new(step, operands, 1, 1, None).unwrap();
    let on = capture::begin(&[h.clone(), xs.clone()], vec![]).unwrap();
    let (h, xs) = (Variable::from(h), Variable::from(xs));
    let outs = crate::tape::apply_all(&SCAN, &[(&h).into(), (&xs).into()], &Loop::new(Arc::new(body), 4, None)).unwrap();
    let outs: Vec<Array> = outs.into_iter().map(Variable::into_array).collect();
    on.finish(&outs)
}

#[test]
fn loops_are_read_as_they_were_written_and_changed_ones_are_refused() {
    let p = program_with_a_loop();
    let (loaded, _) = Program::from_bytes(&p.to_bytes(None).unwrap()).unwrap();
    let (h, xs) = (Array::from_slice(&[0.5, -1.0], &[2]), Array::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], &[4, 2]));
    for p in [&p, &loaded] {
        let out = p.run(&[h.clone(), xs.clone()]).unwrap();
        assert_eq!(out[0].to_vec::<f64>(), [17.5, 31.0]);
        assert_eq!(out[1].to_vec::<f64>(), [3.5, 8.0, 10.0, 22.0, 20.5, 40.0, 35.0, 62.0]);
    }
    let scan = |json: &mut Json, key: &str, value: Json| json["steps"][0]["what"]["call"]["attributes"][1][key] = value;
    for (key, value) in [
        ("length", 5.into()),
        ("carries", 2.into()),
        ("carries", (1_u64 << 63).into()),
        ("xs", 0.into()),
        ("xs", 7.into()),
        ("operands", serde_json::json!([])),
        ("gradients", serde_json::json!({"split": 99, "live": [], "of": [null, null]})),
        ("gradients", serde_json::json!({"split": 3, "live": [0], "of": [null, null]})),
        ("gradients", serde_json::json!({"split": 3, "live": [], "of": [1, null]})),
        ("more", 1.into()),
    ] {
        let message = refused_of(&p, |j| scan(j, key, value.clone()));
        assert!(message.contains("damaged"), "{key}: {message}");
    }
    let body = |change: &dyn Fn(&mut Json)| refused_of(&p, |j| change(&mut j["steps"][0]["what"]["call"]["attributes"][1]["body"]));
    assert!(body(&|b| b["inputs"] = 9.into()).contains("damaged"));
    assert!(body(&|b| b["outputs"] = serde_json::json!([])).contains("damaged"));
    assert!(body(&|b| b["steps"][0]["what"]["call"]["name"] = "evil".into()).contains("evil"));
    assert!(refused_of(&p, |j| j["steps"][0]["what"]["call"]["attributes"][0] = "OverAxes".into()).contains("OverAxes"));
    assert!(refused_of(&p, |j| j["steps"][0]["what"]["call"]["attributes"] = Json::Null).contains("damaged"));
}

/// A program with the loss of class numbers, which are checked in each run.
fn program_with_classes() -> Program {
    let trace = (0..1000).find_map(|_| recorded_classes().ok()).expect("no other test runs all the time");
    Program::new(trace).unwrap()
}

fn recorded_classes() -> std::result::Result<capture::Trace, String> {
    let (x, target) = (Array::from_slice(&[0.5, -1.0, 2.0, 1.0, 0.0, 3.0], &[2, 3]), Array::from_slice(&[0_i64, 2], &[2]));
    let on = capture::begin(&[x.clone(), target.clone()], vec![]).unwrap();
    let loss = crate::loss::cross_entropy(&x.into(), &target.into(), None, crate::loss::ClassOptions::default()).unwrap();
    on.finish(&[loss.into_array()])
}

#[test]
fn computations_are_read_as_they_were_written_and_changed_ones_are_refused() {
    let p = program_with_classes();
    let (loaded, _) = Program::from_bytes(&p.to_bytes(None).unwrap()).unwrap();
    let run = |p: &Program, classes: [i64; 2]| {
        let x = Array::from_slice(&[0.25, -3.0, 1e-3, 7.0, -0.0, 0.1], &[2, 3]);
        p.run(&[x, Array::from_slice(&classes, &[2])]).map(|out| out[0].to_vec::<f64>()[0].to_bits())
    };
    for classes in [[0, 2], [1, -100], [-100, -100]] {
        assert_eq!(run(&p, classes).unwrap(), run(&loaded, classes).unwrap());
    }
    assert_eq!(run(&p, [0, 3]).unwrap_err().to_string(), run(&loaded, [0, 3]).unwrap_err().to_string());
    let changed = |change: &dyn Fn(&mut Json)| {
        refused_of(&p, |j| {
            let steps = j["steps"].as_array_mut().expect("a program has steps");
            let check = steps.iter_mut().find(|s| s["what"]["compute"][0] == "CheckedClasses").expect("the classes are checked");
            change(check);
        })
    };
    assert!(changed(&|s| s["what"]["compute"][0] = "Evil".into()).contains("unknown computation \"Evil\""));
    assert!(changed(&|s| s["what"]["compute"][0] = "OneHot".into()).contains("wrong fields"));
    assert!(changed(&|s| s["what"]["compute"][1]["more"] = 1.into()).contains("wrong fields"));
    assert!(changed(&|s| s["inputs"] = serde_json::json!([])).contains("0 operands"));
    assert!(changed(&|s| s["inputs"] = serde_json::json!([{"int": 1}])).contains("reads a number"));
    assert!(changed(&|s| s["outputs"] = serde_json::json!([])).contains("damaged"));
    // Operands of another dtype or shape: the file is read or refused, and a run ends with an error.
    for source in [0, 1] {
        let file = with_text(&p, |j| {
            let other = j["sources"][source]["input"][0].clone();
            let steps = j["steps"].as_array_mut().expect("a program has steps");
            steps.iter_mut().filter(|s| !s["what"]["compute"].is_null()).for_each(|s| s["inputs"][0]["value"] = other.clone());
        });
        if let Ok((p, _)) = Program::from_bytes(&file) {
            run(&p, [0, 9]).unwrap_err();
        }
    }
}

#[test]
fn computations_have_names_of_their_own() {
    let mut names: Vec<&str> = registry::COMPUTATIONS.iter().flat_map(|f| f.iter()).map(|c| c.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
