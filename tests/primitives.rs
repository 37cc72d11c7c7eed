//! Every primitive is listed, and says how it is differentiated in reverse, forward, and on a batch.

use std::collections::BTreeSet;
use std::path::Path;

use tapegrad::ops::registry::{Gradient, Kind};
use tapegrad::registry::{entries, primitive, primitives};
use tapegrad::tape::{Batch, Jvp, Vjp};

/// The Rust files below a folder.
fn sources(folder: &Path, out: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn each_static_primitive_stands_in_the_list_of_its_file() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut found = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let listed = text.split_once("const PRIMITIVES: &[&Primitive] = &[").and_then(|(_, rest)| rest.split_once(']')).map_or("", |(list, _)| list);
        for line in text.lines() {
            // Primitives inside functions and tests are indented, and need not be listed.
            let Some((head, _)) = line.split_once(": Primitive = ") else { continue };
            let Some(name) = head.rsplit_once("static ").map(|(_, name)| name) else { continue };
            // A user's Function and a compiled function come with each call. Files name loops without a list.
            if line.starts_with(' ') || ["FUNCTION", "COMPILED", "SCAN"].contains(&name) {
                continue;
            }
            found += 1;
            assert!(listed.contains(&format!("&{name}")), "{}: {name} is not in PRIMITIVES", file.display());
        }
    }
    assert!(found > 40, "the scan found only {found} primitives");
}

#[test]
fn each_primitive_that_a_macro_defines_has_a_name_in_files() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let (mut found, mut missing) = (0, Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if !["unary! {", "binary! {", "special_function! {"].contains(&line) {
                continue;
            }
            let head = lines.find(|l| !l.trim_start().starts_with("//")).unwrap_or_default().trim_start();
            let name = head.strip_prefix("fn ").unwrap_or(head).split('(').next().unwrap_or_default();
            found += 1;
            if primitive(name).is_none() {
                missing.push(format!("{name} in {}", file.display()));
            }
        }
    }
    assert!(found > 100, "the scan found only {found} primitives");
    assert!(missing.is_empty(), "in no row, and in no list INNER: {missing:#?}");
}

#[test]
fn a_primitive_with_a_gradient_has_a_tangent_and_no_other_has_one() {
    for p in primitives() {
        let (vjp, jvp) = (!matches!(p.vjp, Vjp::NonDifferentiable), !matches!(p.jvp, Jvp::NonDifferentiable));
        assert_eq!(vjp, jvp, "{}: vjp and jvp must both exist, or neither", p.name);
        let needs = matches!(p.vjp, Vjp::Definition) || matches!(p.jvp, Jvp::Definition) || matches!(p.batch, Batch::Definition);
        assert!(!needs || p.definition.is_some(), "{}: a rule goes through a definition that is missing", p.name);
    }
}

#[test]
fn a_row_has_a_doc_samples_and_a_primitive_that_agrees_with_it() {
    for e in entries() {
        let path = e.path();
        assert!(e.doc.contains(">>> "), "{path}: its doc has no example");
        let takes_arrays = e.params.iter().any(|p| matches!(p.kind, Kind::Array | Kind::Arrays | Kind::Each));
        assert!(!takes_arrays || !(e.samples)().is_empty(), "{path}: has no samples");
        if let Some(p) = e.primitive {
            assert_eq!(matches!(e.gradient, Gradient::None), matches!(p.vjp, Vjp::NonDifferentiable), "{path}: the row and its primitive disagree");
        }
    }
}

#[test]
fn names_are_unique_within_a_namespace() {
    let mut seen = BTreeSet::new();
    for e in entries() {
        for name in std::iter::once(&e.name).chain(e.aliases) {
            assert!(seen.insert((e.module, *name)), "{}.{name} stands twice in the registry", e.module);
        }
    }
}
