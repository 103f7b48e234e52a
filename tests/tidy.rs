//! What no compiler checks: who may import whom, where drivers are named, how files begin and how long they are.
//!
//! Owns: the import table of ARCHITECTURE.md, as data. Does not own: style that rustfmt and clippy hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Module of the crate -> modules it may import. A module may always import itself and `error`.
const IMPORTS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("model", &[]),
    ("logic", &["model"]),
    ("config", &["model"]),
    ("ports", &["model"]),
    ("ops", &["model", "ports"]),
    ("reading", &["model", "logic", "ports"]),
    ("assembling", &["model", "logic"]),
    ("backfill", &["model", "logic", "config", "ports", "ops", "reading", "assembling"]),
    ("stream", &["model", "logic", "config", "ports", "ops", "reading", "assembling"]),
    ("engine", &["model", "logic", "config", "ports", "ops", "reading", "assembling", "backfill", "stream"]),
    ("edge", &["model", "ports", "config", "ops"]),
    (
        "cli",
        &["model", "logic", "config", "ports", "ops", "reading", "assembling", "backfill", "stream", "engine", "edge"],
    ),
    ("main", &["cli", "ops"]),
    ("lib", &[]),
];

/// Crates that talk to servers: only `edge` may name them.
const DRIVERS: &[&str] = &["mysql_async", "mysql_common", "mongodb", "redis"];

/// Lines of a file, tests included. One that is longer says why in its header: "Longer than most because".
const LINES_MAX: usize = 400;

/// Words that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc", "base", "manager"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<(String, String)> {
    fn walk(path: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(path).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    assert!(!found.is_empty(), "no Rust files under {folder}");
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a readable file");
            (path.strip_prefix(root()).expect("inside the repository").display().to_string(), text)
        })
        .collect()
}

/// `src/edge/mysql/rows.rs` -> `edge`, `src/main.rs` -> `main`.
fn module_of(file: &str) -> String {
    let inner = file.strip_prefix("src/").expect("a file of the crate");
    inner.split('/').next().expect("a name").trim_end_matches(".rs").to_string()
}

/// Code without comments and string literals, good enough to find names in.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Modules named as `crate::<module>` or, in the binary, `rowfold::<module>`, one level of braces resolved.
fn imports_of(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for prefix in ["crate::", "rowfold::"] {
        for (at, _) in text.match_indices(prefix) {
            let rest = &text[at + prefix.len()..];
            let names = match rest.strip_prefix('{') {
                Some(inner) => inner.split('}').next().unwrap_or_default(),
                None => rest.split([';', '\n', ' ', ')', '>', ',']).next().unwrap_or_default(),
            };
            for name in names.split(',') {
                let name = name.trim().split("::").next().unwrap_or_default();
                if name.chars().next().is_some_and(char::is_lowercase) {
                    found.insert(name.to_string());
                }
            }
        }
    }
    found
}

#[test]
fn imports_follow_the_table() {
    let table: BTreeMap<&str, &[&str]> = IMPORTS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (file, text) in rust_files("src") {
        let module = module_of(&file);
        let Some(allowed) = table.get(module.as_str()) else {
            wrong.push(format!("{file}: module {module} is not in the import table"));
            continue;
        };
        for import in imports_of(&code(&text)) {
            let known = table.contains_key(import.as_str());
            if known && import != module && import != "error" && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{file}: {module} may not import {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_edge_names_drivers() {
    let mut wrong = Vec::new();
    for (file, text) in rust_files("src") {
        let module = module_of(&file);
        let code = code(&text);
        for driver in DRIVERS {
            // Our own module of that name is no driver.
            let code = code.replace(&format!("edge::{driver}::"), "");
            if code.contains(&format!("{driver}::")) && module != "edge" {
                wrong.push(format!("{file}: names {driver}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn decisions_do_no_input_or_output() {
    let mut wrong = Vec::new();
    for (file, text) in rust_files("src") {
        if !matches!(module_of(&file).as_str(), "model" | "logic") {
            continue;
        }
        for word in ["tokio::", "std::fs", "std::net", "std::env", "async fn", ".await"] {
            if code(&text).contains(word) {
                wrong.push(format!("{file}: {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_say_what_they_own_and_stay_small() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches"].into_iter().filter(|folder| root().join(folder).exists()) {
        for (file, text) in rust_files(folder) {
            if !text.starts_with("//!") {
                wrong.push(format!("{file}: begins without a header"));
            }
            let lines = text.lines().count();
            if lines > LINES_MAX && !text.contains("Longer than most because") {
                wrong.push(format!("{file}: {lines} lines, at most {LINES_MAX} without a reason in its header"));
            }
            let stem = Path::new(&file).file_stem().map(|stem| stem.to_string_lossy().to_string()).unwrap_or_default();
            if EMPTY_NAMES.contains(&stem.as_str()) {
                wrong.push(format!("{file}: a name that says nothing"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tests_run_and_wait_for_conditions() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests"] {
        for (file, text) in rust_files(folder) {
            let code = code(&text);
            // Written in two pieces, so that this file does not find itself.
            for word in [concat!("#[", "ignore"), concat!("todo", "!("), concat!("unimplemented", "!(")] {
                if code.contains(word) {
                    wrong.push(format!("{file}: {word}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_names_a_machine_path() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches"].into_iter().filter(|folder| root().join(folder).exists()) {
        for (file, text) in rust_files(folder) {
            for word in [concat!("/ro", "ot/"), concat!("/wo", "rk/")] {
                if text.contains(word) {
                    wrong.push(format!("{file}: {word}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_architecture_page_is_short_and_true() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    assert!(page.lines().count() <= 150, "ARCHITECTURE.md has more than 150 lines");
    let mut wrong = Vec::new();
    for name in page.split('`').skip(1).step_by(2) {
        let is_path = name.contains('/')
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && !name.contains([' ', '<', '*', '{']);
        if is_path && !root().join(name).exists() && !root().join("src").join(name).exists() {
            wrong.push(name.to_string());
        }
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md names files that do not exist: {}", wrong.join(", "));
}
