//! The contents of the crate package, and so of the source distribution: maturin starts from the same list.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The names that cargo lists, with slashes.
fn packaged() -> BTreeSet<String> {
    let options = ["package", "--list", "--allow-dirty", "--offline", "--locked", "--quiet"];
    let done = Command::new(env!("CARGO")).args(options).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().map(|name| name.replace('\\', "/")).collect()
}

/// Every file below a folder of the repository, from its root.
fn sources(folder: &Path, out: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else {
            out.push(path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_string_lossy().replace('\\', "/"));
        }
    }
}

#[test]
fn the_package_holds_every_source_file() {
    let (packaged, mut missing) = (packaged(), Vec::new());
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut missing);
    missing.extend(["Cargo.lock", "Cargo.toml", "LICENSE", "README.md"].map(str::to_owned));
    missing.retain(|name| !packaged.contains(name));
    assert!(missing.is_empty(), "the package lacks {missing:?}");
}

#[test]
fn the_package_holds_nothing_else() {
    let files = [
        ".cargo_vcs_info.json",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "Cargo.toml.orig",
        "LICENSE",
        "README.md",
        "clippy.toml",
        "rustfmt.toml",
        "tests/golden/program.safetensors",
    ];
    let is_rust = |name: &str| Path::new(name).extension().is_some_and(|e| e == "rs");
    let rust = |name: &str| name.starts_with("src/") || (["benches/", "tests/"].iter().any(|f| name.starts_with(f)) && is_rust(name));
    let strange: Vec<String> = packaged().into_iter().filter(|name| !files.contains(&name.as_str()) && !rust(name)).collect();
    // For example, a toolchain file would fail on a machine with another toolchain.
    assert!(strange.is_empty(), "the package holds {strange:?}");
}
