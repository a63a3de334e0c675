//! The whole way on a real cluster: etcd in a lab, load, faults, verdict, report; and what happens when things go wrong.
//!
//! Needs root and what a lab needs; says so and passes without where that is missing.

#![allow(clippy::print_stderr, reason = "clippy does not know that helpers of an integration test are test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One cluster at a time: they share two processors or so.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Ground {
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A folder to run in, or `None` (said) where no lab can be made.
fn ground() -> Option<Ground> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: a lab needs root");
        return None;
    }
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    Some(Ground { folder: tempfile::tempdir().expect("a folder"), _turn: turn })
}

impl Ground {
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
        command.args(line.split_whitespace()).current_dir(self.folder.path()).env_remove("SCHISM_RUNS");
        command.stdin(Stdio::null());
        command
    }

    fn schism(&self, line: &str) -> Output {
        self.command(line).output().expect("schism starts")
    }

    fn spawn(&self, line: &str) -> Child {
        self.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("schism starts")
    }

    fn latest(&self) -> PathBuf {
        self.folder.path().join("runs/latest")
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.latest().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn verdict(&self) -> serde_json::Value {
        serde_json::from_str(&self.read("verdict.json")).expect("a verdict is JSON")
    }

    /// Ids of labs that were made for the latest run.
    fn labs(&self) -> Vec<String> {
        let name = std::fs::canonicalize(self.latest()).expect("a run");
        let name = name.file_name().expect("a name").to_string_lossy().into_owned();
        let output = self.schism("lab list --json");
        let list: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let labs = list["labs"].as_array().expect("labs").clone();
        let ours = labs.into_iter().filter(|lab| lab["run"] == name.as_str());
        ours.map(|lab| lab["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Waits until the history has a line with all these words.
    fn await_line(&self, words: &[&str], within: Duration) -> String {
        let end = Instant::now() + within;
        while Instant::now() < end {
            let history = std::fs::read_to_string(self.latest().join("history.jsonl")).unwrap_or_default();
            if let Some(line) = history.lines().find(|line| words.iter().all(|word| line.contains(word))) {
                return line.to_owned();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no line of the history has {words:?} within {within:?}");
    }
}

fn told(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn gap_names(verdict: &serde_json::Value) -> Vec<String> {
    let gaps = verdict["checkers"]["run"]["gaps"].as_array().cloned().unwrap_or_default();
    gaps.iter().filter_map(|gap| gap["gap"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_run_under_partition_kill_and_pause_is_valid_and_leaves_a_whole_folder_and_no_lab() {
    let Some(ground) = ground() else { return };
    let suite = "database:\n  etcd: {}\nworkload:\n  register: {}\nnodes: 5\nrate_hz: 300\ntime_limit: 40s\nfaults:\n  \
                 - partition: {shapes: [halves, one, bridge, leader]}\n  - kill: {targets: [one]}\n  - pause: {targets: [one]}\n\
                 schedule: {quiet_start: 2s, interval: 6s, duration: 4s, recovery: 6s}\n";
    std::fs::write(ground.folder.path().join("suite.yaml"), suite).expect("a file");
    let output = ground.schism("run suite.yaml --seed 5");
    assert_eq!(code(&output), Some(0), "{}", told(&output));
    let verdict = ground.verdict();
    assert_eq!(verdict["valid"], true);
    let history = ground.read("history.jsonl");
    assert!(history.matches("\"type\":\"ok\"").count() > 1_000, "thousands of operations succeed");
    for class in ["partition", "kill", "pause"] {
        let process = format!("\"process\":\"nemesis/{class}\"");
        let proven = history.lines().filter(|line| line.contains(&process) && line.contains("\"proven\":true"));
        assert!(proven.count() >= 2, "a {class} is proven to be there and to be gone");
    }
    for name in ["plan.json", "run.json", "faults.jsonl", "report.html", "junit.xml", "schism.log"] {
        assert!(!ground.read(name).is_empty() || name == "schism.log", "{name} is there");
    }
    assert!(std::fs::read_dir(ground.latest().join("nodes/n1")).expect("logs of n1").count() > 0);
    assert_eq!(ground.labs(), Vec::<String>::new(), "the lab is gone");
    let again = ground.schism("check runs/latest --json");
    assert_eq!(code(&again), Some(0), "{}", told(&again));
    let again: serde_json::Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(again, verdict, "judging again gives the same verdict");
    assert_eq!(code(&ground.schism("report runs/latest")), Some(0));
}

#[test]
fn serializable_reads_under_partition_are_found_stale() {
    let Some(ground) = ground() else { return };
    // A stale read is likely in each run, not certain.
    let is_found = |seed: u32| {
        let output = ground.schism(&format!("run etcd/stale-reads --seed {seed}"));
        assert!(matches!(code(&output), Some(0..=2)), "{}", told(&output));
        code(&output) == Some(1)
    };
    assert!((1..=3).any(is_found), "three runs found nothing");
    let verdict = ground.verdict();
    assert_eq!(verdict["checkers"]["linearizable"]["valid"], false);
    let page = ground.read("report.html");
    assert!(page.contains("<svg") && page.contains("read"), "the page shows the stale read");
}

#[test]
fn a_run_without_any_fault_landed_or_without_writes_is_unknown() {
    let Some(ground) = ground() else { return };
    let late = "run etcd/register --seed 2 --time-limit 5s --faults partition --set schedule.quiet_start=4900ms \
                --set schedule.interval=1h --set schedule.recovery=1s";
    let output = ground.schism(late);
    assert_eq!(code(&output), Some(2), "{}", told(&output));
    assert!(gap_names(&ground.verdict()).contains(&"fault-never-landed".to_owned()), "{}", ground.read("verdict.json"));
    let reads = |number: u32| {
        let event = |index: u32, kind: &str| {
            let time = index * 1_000_000;
            format!(
                "{{\"index\":{index},\"time\":{time},\"process\":0,\"type\":\"{kind}\",\"f\":\"read\",\"key\":1,\"value\":null}}\n"
            )
        };
        event(2 * number, "invoke") + &event(2 * number + 1, "ok")
    };
    let without_writes: String = (0..100).map(reads).collect();
    std::fs::write(ground.latest().join("history.jsonl"), without_writes).expect("a file");
    let output = ground.schism("check runs/latest");
    assert_eq!(code(&output), Some(2), "{}", told(&output));
    let gaps = gap_names(&ground.verdict());
    assert!(gaps.contains(&"function-never-succeeded".to_owned()), "{gaps:?}");
}

#[test]
fn a_controller_killed_during_a_partition_leaves_a_history_and_nodes_that_heal() {
    let Some(ground) = ground() else { return };
    let line = "run etcd/register --seed 3 --faults partition --time-limit 60s --lease 30s \
                --set schedule.quiet_start=1s --set schedule.interval=1s --set schedule.duration=50s";
    let mut child = ground.spawn(line);
    ground.await_line(&["nemesis/partition", "\"type\":\"info\"", "\"proven\":true"], Duration::from_secs(180));
    child.kill().expect("the controller is killed");
    child.wait().expect("it is gone");
    let labs = ground.labs();
    assert_eq!(labs.len(), 1, "the holder outlives the controller");
    let rules = |node: &str| {
        let output = ground.schism(&format!("lab exec {} --node {node} -- nft list tables", labs[0]));
        assert_eq!(code(&output), Some(0), "{}", told(&output));
        String::from_utf8_lossy(&output.stdout).matches("schism").count()
    };
    let cut: usize = ["n1", "n2", "n3", "n4", "n5"].into_iter().map(rules).sum();
    assert!(cut > 0, "some node is cut");
    let checked = ground.schism("check runs/latest");
    assert!(matches!(code(&checked), Some(0 | 2)), "the history can be read: {}", told(&checked));
    let healed = ground.schism("heal runs/latest");
    assert_eq!(code(&healed), Some(0), "{}", told(&healed));
    assert!(told(&healed).contains("healed"), "{}", told(&healed));
    // What was done after the run is told with it from now on; the verdict is the same, as nothing was seen of that time.
    let before = (gap_names(&ground.verdict()), ground.read("report.html"));
    assert!(!before.1.contains("ended by schism heal"));
    let again = ground.schism("check runs/latest");
    assert_eq!((code(&again), gap_names(&ground.verdict())), (code(&checked), before.0));
    assert!(told(&again).contains("(ended by schism heal "), "{}", told(&again));
    assert_eq!(code(&ground.schism("report runs/latest")), Some(0));
    assert!(ground.read("report.html").contains("✓ ended by schism heal "), "the page tells it");
    let cut: usize = ["n1", "n2", "n3", "n4", "n5"].into_iter().map(rules).sum();
    assert_eq!(cut, 0, "no node is cut any more");
    let end = Instant::now() + Duration::from_secs(150);
    while !ground.labs().is_empty() {
        assert!(Instant::now() < end, "the holder ends with its lease");
        std::thread::sleep(Duration::from_millis(200));
    }
    let gone = ground.schism("heal runs/latest");
    assert_eq!(code(&gone), Some(0), "{}", told(&gone));
    assert!(told(&gone).contains("the lab of this run is gone"), "{}", told(&gone));
    let ledger = ground.read("faults.jsonl");
    assert!(ledger.contains("\"by\":\"heal\"") && !ledger.contains("lab-gone"), "it ended before its lab: {ledger}");
}

#[test]
fn ctrl_c_stops_the_load_and_still_heals_judges_and_reports() {
    let Some(ground) = ground() else { return };
    let line = "run etcd/register --seed 4 --faults partition --time-limit 120s --set schedule.quiet_start=1s \
                --set schedule.interval=1s --set schedule.duration=60s";
    let child = ground.spawn(line);
    ground.await_line(&["nemesis/partition", "\"type\":\"info\"", "\"proven\":true"], Duration::from_secs(180));
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("the signal is sent");
    let output = child.wait_with_output().expect("it ends");
    assert!(matches!(code(&output), Some(0 | 2)), "it ends with its verdict: {}", told(&output));
    let healed = ground.read("history.jsonl");
    assert!(healed.lines().any(|line| line.contains("\"f\":\"heal\"") && line.contains("\"proven\":true")));
    assert!(ground.read("report.html").contains("<svg"));
    assert_eq!(ground.labs(), Vec::<String>::new());
}

#[test]
fn a_database_that_does_not_come_up_is_told_with_its_log_and_leaves_nothing() {
    let Some(ground) = ground() else { return };
    let broken = ground.folder.path().join("broken-etcd");
    std::fs::write(&broken, "#!/bin/sh\necho the disk is on fire >&2\nexit 1\n").expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&broken, mode).expect("a mode");
    let line = format!("run etcd/register --nodes 3 --set database.etcd.binary={}", broken.display());
    let output = ground.schism(&line);
    assert_eq!(code(&output), Some(69), "{}", told(&output));
    assert!(told(&output).contains("the disk is on fire"), "{}", told(&output));
    assert_eq!(ground.labs(), Vec::<String>::new());
}

#[test]
fn a_full_disk_ends_the_run_with_73_and_leaves_nothing() {
    let Some(ground) = ground() else { return };
    let small = ground.folder.path().join("runs");
    std::fs::create_dir(&small).expect("a folder");
    let script = format!(
        "mount -t tmpfs -o size=300k tmpfs {} && exec {} run etcd/register --nodes 3 --time-limit 60s --faults none",
        small.display(),
        env!("CARGO_BIN_EXE_schism")
    );
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .current_dir(ground.folder.path())
        .output()
        .expect("unshare starts");
    assert_eq!(code(&output), Some(73), "{}", told(&output));
    assert!(told(&output).contains("disk is full"), "{}", told(&output));
    let text = told(&output);
    let run = text.split(", in ").nth(1).and_then(|rest| rest.lines().next()).expect("the run's folder is told");
    let run = Path::new(run).file_name().expect("a name").to_string_lossy().into_owned();
    let labs = String::from_utf8_lossy(&ground.schism("lab list --json").stdout).into_owned();
    assert!(!labs.contains(&run), "no lab of {run} is left: {labs}");
}

#[test]
fn a_node_that_cannot_be_reached_is_named_with_the_next_step() {
    let Some(ground) = ground() else { return };
    let inventory = "defaults: {user: root}\nnodes:\n  - {name: far, address: 127.0.0.1, port: 1}\n";
    std::fs::write(ground.folder.path().join("inventory.yaml"), inventory).expect("a file");
    let output = ground.schism("run etcd/register --inventory inventory.yaml --nodes 1 --faults none");
    assert_eq!(code(&output), Some(69), "{}", told(&output));
    assert!(told(&output).contains("node far (127.0.0.1"), "{}", told(&output));
    let doctor = ground.schism("doctor --inventory inventory.yaml");
    assert_eq!(code(&doctor), Some(69), "{}", told(&doctor));
}

#[test]
fn labs_live_side_by_side_and_leave_the_host_as_it_was() {
    let Some(ground) = ground() else { return };
    let links = || Command::new("ip").args(["-o", "link"]).output().map(|output| output.stdout).unwrap_or_default();
    let before = links();
    let up = || {
        let output = ground.schism("lab up --nodes 2 --json");
        assert_eq!(code(&output), Some(0), "{}", told(&output));
        let lab: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        lab["id"].as_str().expect("an id").to_owned()
    };
    let (first, second) = (up(), up());
    assert_eq!(links(), before, "nothing reaches the host's network");
    for id in [&first, &second] {
        let output = ground.schism(&format!("lab exec {id} --node n2 -- hostname"));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "n2", "{}", told(&output));
        let failing = ground.schism(&format!("lab exec {id} -- false"));
        assert_eq!(code(&failing), Some(1), "the command's own status is the answer");
    }
    assert_eq!(code(&ground.schism(&format!("lab down {first}"))), Some(0));
    assert_eq!(code(&ground.schism(&format!("status --lab {second}"))), Some(0));
    assert_eq!(code(&ground.schism(&format!("lab down {second}"))), Some(0));
    assert_eq!(code(&ground.schism(&format!("lab down {second}"))), Some(64), "it is gone, and that is said");
    assert!(Path::new("/proc/self").exists());
}
