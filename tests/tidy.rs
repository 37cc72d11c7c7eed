//! Rules of this repository that the compiler does not check: rooms, sizes, docs, unsafe code, complete rows.
//!
//! A failure lists every place, so that one run shows everything to mend.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tapegrad::ops::registry::{Default, Entry, Gradient, Kind};
use tapegrad::registry::entries;

/// The largest number of lines of a function.
const MAX_FUNCTION: usize = 60;

/// Functions above the limit, each with its reason. A row that is no longer needed fails the test.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// Files that a generator writes, or that are copies of other files.
const NOT_BY_HAND: &[&str] =
    &["Cargo.lock", "tests/loom/Cargo.lock", "python/tapegrad/_core.pyi", "docs/reference/", "docs/benches.md", "tests/golden/"];

/// The files that may contain `unsafe`, and the reason. Everywhere else `#![deny(unsafe_code)]` holds.
const UNSAFE_FILES: &[(&str, &str)] = &[
    ("src/array/pool.rs", "allocation"),
    ("src/array/storage_rc.rs", "shared ownership of blocks"),
    ("src/array/bits.rs", "elements moved by their bits"),
    ("src/array/storage.rs", "buffers seen as slices of their dtype"),
    ("src/array/transpose_tile.rs", "panels turned in vector registers"),
    ("src/lock/", "the trait of locks, and handlers of forks"),
    ("src/kernel/blocks.rs", "pieces of bits seen as elements"),
    ("src/kernel/simd.rs", "calls of functions compiled for a CPU feature"),
    ("src/kernel/simd/part.rs", "parts of vectors, loaded and stored by a mask"),
    ("src/kernel/random/philox.rs", "blocks mixed in vector registers"),
    ("src/kernel/parallel.rs", "the pool's thread that takes part"),
    ("src/kernel/matmul.rs", "the doors of the matrix product"),
    ("src/kernel/matmul/", "its packed panels"),
    ("src/python/", "NumPy's and DLPack's C structures"),
];

/// The rooms from the lowest to the highest: a file may name its own room and lower ones only.
const ROOMS: &[(&str, u8)] = &[
    ("error", 0),
    ("lock", 0),
    ("array", 1),
    ("kernel", 2),
    ("tape", 3),
    ("ops", 4),
    ("loss", 5),
    ("optim", 5),
    ("transform", 5),
    ("registry", 6),
    ("program", 7),
    ("python", 8),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            if !["target", "dist", "coverage", "output", "__pycache__"].contains(&name.as_str()) && (!name.starts_with('.') || name == ".ci") {
                collect(&path, out);
            }
        } else {
            out.push(path);
        }
    }
}

/// Every text file of the repository: its name from the root, and its text.
fn files() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    collect(root(), &mut paths);
    paths.sort();
    let mut out = Vec::new();
    for path in paths {
        if let Ok(text) = fs::read_to_string(&path) {
            out.push((path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/"), text));
        }
    }
    assert!(out.len() > 50, "only {} files were found in {}", out.len(), root().display());
    out
}

fn by_hand(name: &str) -> bool {
    !NOT_BY_HAND.iter().any(|other| name.starts_with(other))
}

fn is(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == extension)
}

/// Fails with all complaints at once.
fn report(complaints: &[String]) {
    let mut text = String::new();
    for c in complaints {
        let _ = write!(text, "\n  {c}");
    }
    assert!(complaints.is_empty(), "{} to mend:{text}", complaints.len());
}

/// The code of a line, without a comment that fills it.
fn code(line: &str) -> &str {
    let line = line.trim_start();
    if line.starts_with("//") { "" } else { line }
}

fn height(room: &str) -> Option<u8> {
    ROOMS.iter().find(|(name, _)| *name == room).map(|(_, h)| *h)
}

#[test]
fn rooms_import_downward_only() {
    let mut complaints = Vec::new();
    for (name, text) in files() {
        let Some(inner) = name.strip_prefix("src/") else { continue };
        let room = inner.split('/').next().unwrap().trim_end_matches(".rs");
        if room == "lib" || room == "bin" {
            continue;
        }
        let Some(mine) = height(room) else {
            complaints.push(format!("{name}: the room `{room}` has no height in tests/tidy.rs"));
            continue;
        };
        for (i, line) in text.lines().enumerate() {
            for path in code(line).split("crate::").skip(1) {
                let other: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if height(&other).is_some_and(|theirs| other != room && theirs >= mine) {
                    complaints.push(format!("{name}:{}: `{room}` names `crate::{other}`, which is not below it", i + 1));
                }
            }
        }
    }
    report(&complaints);
}

/// The name of the function that starts on this line.
fn function(line: &str, python: bool) -> Option<&str> {
    let mut words = line.split_whitespace().peekable();
    let keyword = if python { "def" } else { "fn" };
    while let Some(word) = words.next() {
        let modifier = matches!(word, "pub" | "const" | "async" | "unsafe" | "extern" | "\"C\"") || word.starts_with("pub(");
        if word == keyword {
            return words.next().map(|w| w.split(['(', '<']).next().unwrap_or(w));
        }
        if !modifier {
            return None;
        }
    }
    None
}

/// Name, first line and number of lines of each function, found by indentation, which the formatters guarantee.
fn functions(text: &str, python: bool) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function(line, python) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closes = |l: &str| {
            let (inner, depth) = (l.trim_start(), l.len() - l.trim_start().len());
            if python { !inner.is_empty() && depth <= indent && !inner.starts_with([')', ']']) } else { depth == indent && inner.starts_with('}') }
        };
        // A body on the same line, or generated by a macro, has no length.
        if !python && !line.ends_with(['{', '(', '<']) && lines.get(start + 1).is_none_or(|next| next.trim() != "where") {
            continue;
        }
        let rest = &lines[start + 1..];
        let length = rest.iter().position(|l| closes(l)).map_or(rest.len() + 1, |n| n + if python { 1 } else { 2 });
        out.push((name.to_owned(), start + 1, length));
    }
    out
}

#[test]
fn functions_are_short() {
    let mut complaints = Vec::new();
    let mut needed = vec![false; LONG_FUNCTIONS.len()];
    for (name, text) in files().into_iter().filter(|(name, _)| by_hand(name) && (is(name, "rs") || is(name, "py"))) {
        for (function, line, length) in functions(&text, is(&name, "py")) {
            if length <= MAX_FUNCTION {
                continue;
            }
            match LONG_FUNCTIONS.iter().position(|(file, f, _)| *file == name && *f == function) {
                Some(i) => needed[i] = true,
                None => complaints.push(format!("{name}:{line}: {function} has {length} lines, more than {MAX_FUNCTION}")),
            }
        }
    }
    for ((file, function, _), _) in LONG_FUNCTIONS.iter().zip(needed).filter(|(_, needed)| !needed) {
        complaints.push(format!("{file}: {function} is short now: strike it from LONG_FUNCTIONS"));
    }
    report(&complaints);
}

#[test]
fn unsafe_code_is_listed_and_justified() {
    let mut complaints = Vec::new();
    for (name, text) in files().into_iter().filter(|(name, _)| name.starts_with("src/")) {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let line = code(line);
            let found = ["unsafe {", "unsafe impl", "unsafe fn", "unsafe extern"].iter().any(|word| line.contains(word));
            let names_a_type = line.contains("type ") || line.contains("fn(");
            if !found || names_a_type {
                continue;
            }
            if !UNSAFE_FILES.iter().any(|(place, _)| name.starts_with(place)) {
                complaints.push(format!("{name}:{}: unsafe code in a file that is not listed for it", i + 1));
            }
            let near = &lines[i.saturating_sub(12)..(i + 3).min(lines.len())];
            if !near.iter().any(|l| l.contains("SAFETY:") || l.contains("# Safety")) {
                complaints.push(format!("{name}:{}: unsafe code without a `// SAFETY:` beside it", i + 1));
            }
        }
    }
    report(&complaints);
}

#[test]
fn nothing_is_left_unfinished() {
    let words = [["todo", "!("], ["unimplemented", "!("], ["dbg", "!("], ["#[ig", "nore]"], ["FIX", "ME"], ["TO", "DO:"]].map(|w| w.concat());
    let mut complaints = Vec::new();
    for (name, text) in files().into_iter().filter(|(name, _)| is(name, "rs") || is(name, "py")) {
        for (i, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|w| line.contains(w.as_str())) {
                complaints.push(format!("{name}:{}: {word}", i + 1));
            }
        }
    }
    report(&complaints);
}

#[test]
fn modules_say_what_they_are() {
    let mut complaints = Vec::new();
    for (name, text) in files().into_iter().filter(|(name, text)| by_hand(name) && !text.trim().is_empty()) {
        let described = match () {
            () if is(&name, "rs") => text.starts_with("//! "),
            () if is(&name, "py") => text.starts_with("\"\"\"") || text.starts_with("#!/"),
            () if is(&name, "md") => text.starts_with("# ") || text.starts_with("<!--"),
            () => true,
        };
        if !described {
            complaints.push(format!("{name}: it does not begin with what it is for"));
        }
    }
    report(&complaints);
}

#[test]
fn text_is_clean() {
    let hosts = [["crates", "io"], ["pypi", "org"], ["pythonhosted", "org"], ["debian", "org"], ["anaconda", "org"]].map(|h| h.join("."));
    let mut complaints = Vec::new();
    for (name, text) in files().into_iter().filter(|(name, _)| by_hand(name)) {
        for (i, line) in text.lines().enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                complaints.push(format!("{name}:{}: space at the end", i + 1));
            }
            if let Some(host) = hosts.iter().find(|h| line.contains(h.as_str())) {
                complaints.push(format!("{name}:{}: names the host {host}; packages are named, not where they come from", i + 1));
            }
        }
        if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
            complaints.push(format!("{name}: it must end with one newline"));
        }
    }
    report(&complaints);
}

/// The faults of a row.
fn faults(e: &Entry) -> Vec<String> {
    let mut out = Vec::new();
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            out.push(format!("{}: {what}", e.name));
        }
    };
    expect(!e.name.is_empty() && e.name.is_ascii(), "its name must be an ASCII word");
    expect(e.doc.trim_start().starts_with(|c: char| !c.is_whitespace()), "it has no doc");
    expect(e.doc.contains(">>> "), "its doc has no example");
    let brackets = e.params.iter().any(|p| p.kind == Kind::Index);
    expect(e.function || e.method || brackets, "it is neither a function nor a method, and does not stand for brackets");
    let first = e.params.first().map(|p| p.kind);
    expect(!e.method || first == Some(Kind::Array), "a method's first parameter must be an array");
    let required = |i: usize| e.params[i].default == Default::Required && !e.params[i].keyword_only;
    expect((1..e.params.len()).all(|i| required(i - 1) || !required(i)), "a required parameter comes after an optional one");
    expect((1..e.params.len()).all(|i| !e.params[i - 1].keyword_only || e.params[i].keyword_only), "a keyword-only parameter comes before others");
    let mut names: Vec<&str> = e.params.iter().flat_map(|p| std::iter::once(p.name).chain(p.alias)).collect();
    names.sort_unstable();
    expect(names.windows(2).all(|w| w[0] != w[1]), "two parameters share a name");
    let text = match e.gradient {
        Gradient::Rule(t) | Gradient::Composite(t) => t,
        Gradient::None => "none",
    };
    expect(!text.is_empty(), "it does not say what its gradient is");
    expect(!matches!(e.gradient, Gradient::Rule(_)) || !(e.samples)().is_empty(), "it has a rule but no samples");
    for sample in (e.samples)() {
        let given = e.params.iter().filter(|p| p.kind != Kind::Device).count();
        expect(sample.args.len() == given || sample.args.len() == e.params.len(), "a sample has another number of arguments than the signature");
    }
    out
}

#[test]
fn rows_are_complete() {
    report(&entries().flat_map(faults).collect::<Vec<_>>());
}
