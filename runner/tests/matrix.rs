//! A matrix on a real cluster: a process a run, expectations, an interruption.
//!
//! Needs root and what a lab needs; says so and passes without where that is missing.

#![allow(clippy::print_stderr, reason = "clippy does not know that helpers of an integration test are test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A pause outlasts the election of another leader, so that something succeeds in it.
const SUITE: &str = "database: {etcd: {}}\nworkload: {register: {}}\nnodes: 3\nrate_hz: 100\nschedule:\n  kind: phases\n  \
                     recovery: 5s\n  interval: 500ms\n  duration: 4s\n  phases:\n    - {for: 1s, quiet: true}\n    \
                     - {for: 12s, name: storm, faults: [{pause: {targets: one}}]}\n    - {for: 1s, quiet: true}\n";

/// One test at a time: they share two processors or so.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A folder to run in, or `None` (said) where no lab can be made.
fn ground() -> Option<(tempfile::TempDir, MutexGuard<'static, ()>)> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: a lab needs root");
        return None;
    }
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("suite.yaml"), SUITE).expect("a file");
    Some((folder, turn))
}

fn command(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
    command.args(line.split_whitespace()).current_dir(folder).env_remove("SCHISM_RUNS").stdin(Stdio::null());
    command
}

fn told(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn matrix_folder(folder: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(folder.join("runs")).expect("runs").filter_map(Result::ok);
    entries.find(|entry| entry.file_name().to_string_lossy().contains("-matrix-")).expect("a matrix").path()
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
}

/// Labs that were made for runs of this matrix.
fn labs(folder: &Path) -> usize {
    let output = command(folder, "lab list --json").output().expect("schism starts");
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let is_ours = |name: &str| {
        let mut cells = std::fs::read_dir(matrix_folder(folder)).expect("cells").filter_map(Result::ok);
        cells.any(|cell| cell.path().join(name).exists())
    };
    list["labs"].as_array().expect("labs").iter().filter(|lab| lab["run"].as_str().is_some_and(is_ours)).count()
}

#[test]
fn runs_in_phases_are_told_with_what_was_expected_of_them() {
    let Some((ground, _turn)) = ground() else { return };
    let folder = ground.path();
    let expect = "- {suite: suite.yaml, seed: 1, faults: pause, verdict: valid, reason: etcd holds}\n\
                  - {suite: suite.yaml, seed: 2, verdict: invalid, checker: linearizable, reason: its absence must fail}\n";
    std::fs::write(folder.join("expect.yaml"), expect).expect("a file");
    let line = "matrix suite.yaml --seeds 1..2 --jobs 2 --expect expect.yaml --junit out.xml";
    let output = command(folder, line).output().expect("schism starts");
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let rows = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["seed 1  valid, as expected", "seed 2  valid, NOT as expected", "Together anomaly found (exit 1)"] {
        assert!(rows.contains(part), "{part}: {}", told(&output));
    }
    let matrix = matrix_folder(folder);
    let kept = json(&matrix.join("matrix.json"));
    assert_eq!((&kept["exit"], kept["runs"].as_array().map(Vec::len)), (&1.into(), Some(2)));
    let page = std::fs::read_to_string(matrix.join("matrix.html")).expect("a page");
    for run in kept["runs"].as_array().expect("runs") {
        let name = run["end"]["run"].as_str().expect("a folder");
        assert!(page.contains(&format!("href=\"./{name}/report.html\"")), "{name} is linked");
        assert!(run["end"]["faults_landed"].as_u64() > Some(0), "{run}");
        let report = std::fs::read_to_string(matrix.join(name).join("report.html")).expect("a report");
        assert!(report.contains("id=\"phases\"") && report.contains("storm"), "the report tells of the phases");
        let history = std::fs::read_to_string(matrix.join(name).join("history.jsonl")).expect("a history");
        let injections =
            history.lines().filter(|line| line.contains("\"f\":\"inject\"") && line.contains("\"invoke\""));
        let in_storm = |line: &str| {
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let time_ms = event["time"].as_u64().expect("a time") / 1_000_000;
            event["value"]["phase"] == "storm" && (1_000..13_000).contains(&time_ms)
        };
        assert!(injections.clone().count() > 0 && injections.clone().all(in_storm), "faults come in the storm alone");
    }
    let junit = std::fs::read_to_string(folder.join("out.xml")).expect("JUnit");
    assert_eq!(junit.matches("<failure ").count(), 1, "{junit}");
    assert_eq!(labs(folder), 0);
}

#[test]
fn an_interrupted_matrix_heals_judges_and_tells_what_was_not_run() {
    let Some((ground, _turn)) = ground() else { return };
    let folder = ground.path();
    let line = "matrix suite.yaml --seeds 1..3 --time-limit 600s";
    let long = SUITE.replace("for: 12s", "for: 500s").replace("duration: 4s", "duration: 400s");
    std::fs::write(folder.join("suite.yaml"), long).expect("a file");
    let child = command(folder, line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("schism starts");
    let end = Instant::now() + Duration::from_secs(180);
    let history = || {
        let runs = std::fs::read_dir(folder.join("runs")).ok()?.filter_map(Result::ok).next()?.path();
        std::fs::read_to_string(runs.join("001/latest/history.jsonl")).ok()
    };
    while !history().is_some_and(|text| text.contains("\"proven\":true")) {
        assert!(Instant::now() < end, "a fault is proven within three minutes");
        std::thread::sleep(Duration::from_millis(50));
    }
    // To the matrix alone, which passes it on.
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("the signal is sent");
    let output = child.wait_with_output().expect("it ends");
    assert!(matches!(output.status.code(), Some(2 | 130)), "{}", told(&output));
    let kept = json(&matrix_folder(folder).join("matrix.json"));
    assert_eq!(kept["runs"][0]["end"]["was_interrupted"], true, "{kept}");
    assert!(kept["runs"][0]["end"]["valid"] != serde_json::Value::Null, "what there was is judged: {kept}");
    assert_eq!(kept["runs"][0]["end"]["cleanup_is_proven"], true, "{kept}");
    for place in [1, 2] {
        assert_eq!(kept["runs"][place]["end"], serde_json::Value::Null, "it was not begun");
        assert_eq!(kept["runs"][place]["counts_as"]["exit"], 130);
    }
    assert!(told(&output).contains("schism matrix --resume"), "{}", told(&output));
    let healed = history().expect("a history");
    assert!(healed.lines().any(|line| line.contains("\"f\":\"heal\"") && line.contains("\"proven\":true")), "{healed}");
    assert_eq!(labs(folder), 0);
}
