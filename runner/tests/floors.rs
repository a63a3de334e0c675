//! The house rules that a machine can keep: arrows between crates go down, the pure crates stay pure, files stay small.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Floor of each crate; an arrow may only go to a lower floor.
const FLOORS: &[(&str, u32)] = &[
    ("schism", 4),
    ("schism-tests-suites", 3),
    ("schism-nemesis", 2),
    ("schism-workloads", 2),
    ("schism-reports", 2),
    ("schism-lab", 2),
    ("schism-cluster", 1),
    ("schism-generators", 1),
    ("schism-checkers", 1),
    ("schism-history", 0),
];

/// Words that the pure crates may not contain in code: files, clocks, chance, async.
const IMPURE: &[&str] = &[
    "std::fs",
    "File::open",
    "File::create",
    "std::net",
    "std::process::Command",
    "thread::sleep",
    "SystemTime",
    "Instant::now",
    "std::env",
    "tokio",
    "async fn",
    ".await",
    "rand::rng(",
    "thread_rng",
    "from_os_rng",
    "println!",
    "eprintln!",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the runner lies in the workspace").to_owned()
}

fn refused_arrows(dependencies: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let floor = |name: &str| FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor);
    let mut refused = Vec::new();
    for (from, targets) in dependencies {
        let Some(from_floor) = floor(from) else {
            refused.push(format!("{from} stands on no floor"));
            continue;
        };
        for to in targets {
            match floor(to) {
                Some(to_floor) if to_floor < from_floor => {}
                Some(_) => refused.push(format!("{from} -> {to} goes up or sideways")),
                None => {}
            }
        }
    }
    refused
}

#[test]
fn arrows_between_crates_go_down() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let mut dependencies = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let targets = package["dependencies"].as_array().expect("dependencies").iter();
        let targets = targets.map(|dependency| dependency["name"].as_str().expect("a name").to_owned()).collect();
        dependencies.insert(package["name"].as_str().expect("a name").to_owned(), targets);
    }
    assert_eq!(dependencies.len(), FLOORS.len(), "every crate stands on a floor");
    assert_eq!(refused_arrows(&dependencies), Vec::<String>::new());
}

#[test]
fn an_arrow_that_goes_up_or_sideways_is_refused() {
    let arrow = |from: &str, to: &str| BTreeMap::from([(from.to_owned(), vec![to.to_owned()])]);
    assert_eq!(refused_arrows(&arrow("schism-checkers", "schism-cluster")).len(), 1);
    assert_eq!(refused_arrows(&arrow("schism-history", "schism-nemesis")).len(), 1);
    assert_eq!(refused_arrows(&arrow("schism-nemesis", "schism-history")).len(), 0);
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') && name != "runs" {
            found.extend(sources(&path));
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Code lines of a source: without comments, and without what follows its tests.
fn impure_lines(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.filter(|line| IMPURE.iter().any(|word| line.contains(word))).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn history_and_checkers_are_pure() {
    for folder in ["history/src", "checkers/src"] {
        for path in sources(&root().join(folder)) {
            let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
            if is_test {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source is text");
            assert_eq!(impure_lines(&text), Vec::<String>::new(), "{} is not pure", path.display());
        }
    }
    assert_eq!(impure_lines("let now = Instant::now();\n").len(), 1, "the guard bites");
}

/// Lines of code that make an anomaly by hand, and so of a kind that may stand in no table.
fn anomalies_by_hand(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let made =
        |line: &&str| line.contains("Anomaly {") && !["->", "struct ", "impl "].iter().any(|word| line.contains(word));
    code.lines().filter(|line| !line.trim_start().starts_with("//")).filter(made).map(str::to_owned).collect()
}

#[test]
fn checkers_make_anomalies_of_the_kinds_of_the_table_alone() {
    let mut looked_at = 0;
    for path in sources(&root().join("checkers/src")) {
        let text = std::fs::read_to_string(&path).expect("a source is text");
        // The constructor, which takes a kind of the table.
        let of_table = if path.ends_with("src/anomaly.rs") { 1 } else { 0 };
        let found = anomalies_by_hand(&text);
        assert_eq!(found.len(), of_table, "{}: say Anomaly::new(AnomalyKind::...): {found:?}", path.display());
        looked_at += 1;
    }
    assert!(looked_at > 20, "{looked_at} sources");
    let by_hand = "finding.anomalies.push(Anomaly { kind: \"G1a\".to_owned(), key, witness });\n";
    assert_eq!(anomalies_by_hand(by_hand).len(), 1, "the guard bites");
}

#[test]
fn files_open_with_their_purpose_and_stay_small() {
    for path in sources(&root()) {
        let text = std::fs::read_to_string(&path).expect("a source is text");
        assert!(text.starts_with("//!"), "{} does not open with `//!`", path.display());
        let lines = text.lines().count();
        assert!(lines <= 650, "{} has {lines} lines; split it by purpose", path.display());
    }
}

#[test]
fn only_runner_and_tests_suites_know_yaml_and_shell_text_needs_no_host_paths() {
    for folder in ["history", "checkers", "generators", "cluster", "nemesis", "workloads", "reports", "lab"] {
        let manifest = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        assert!(!manifest.contains("yaml"), "{folder} knows YAML");
    }
}

#[test]
fn unsafe_code_stands_in_lab_and_agent_alone() {
    for path in sources(&root()) {
        let text = std::fs::read_to_string(&path).expect("a source is text");
        let allowed = ["lab", "nemesis/src/agent"].iter().any(|folder| path.starts_with(root().join(folder)));
        assert!(allowed || !text.contains(concat!("allow(unsafe", "_code)")), "{} allows unsafe code", path.display());
    }
}
