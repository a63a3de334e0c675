//! Clock functions of live processes: of this machine's own children, which are the only ones that are touched. This
//! machine's real clock is never set, and that it is refused is tested here. The test binary is its own agent, hence its
//! own `main`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program without the harness")]

use std::io::{BufRead, BufReader, Write};
use std::panic::catch_unwind;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use schism_cluster::ProcessId;
use schism_nemesis::agent::clock::Reading;
use schism_nemesis::agent::family;
use schism_nemesis::agent::skew_state::State;
use schism_nemesis::agent::vdso::{Condition, Image};
use schism_nemesis::agent::vdso_patch::{Mapped, own_image};
use serde_json::{Value as Json, json};

const SECOND_NS: i64 = 1_000_000_000;
/// What a reading may be off by on a busy machine: a process may be interrupted between two questions.
const NEAR_NS: i64 = 3_000_000;
/// The same of what is asked for once only.
const NEAR_ONCE_NS: i64 = 40_000_000;

const CASES: &[(&str, fn())] = &[
    ("an_offset_comes_and_goes", an_offset_comes_and_goes),
    ("drift_grows", drift_grows),
    ("a_strobe_swings", a_strobe_swings),
    ("terms_add_up_and_go_one_by_one", terms_add_up_and_go_one_by_one),
    ("new_processes_are_caught", new_processes_are_caught),
    ("every_thread_of_a_busy_process_goes_on", every_thread_of_a_busy_process_goes_on),
    ("a_paused_process_is_skewed_and_restored", a_paused_process_is_skewed_and_restored),
    ("other_languages_see_it", other_languages_see_it),
    ("a_killed_keeper_is_no_trouble", a_killed_keeper_is_no_trouble),
    ("this_machines_real_clock_is_refused", this_machines_real_clock_is_refused),
    ("nonsense_is_told", nonsense_is_told),
];

fn main() -> ExitCode {
    schism_nemesis::agent::main_if_asked();
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if let Err(reason) = agent(&["skew", "can", &json!({"mechanism": "processes"}).to_string()]) {
        println!("tests of skewed clocks skipped: {reason}");
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, case) in CASES.iter().filter(|(name, _)| filters.is_empty() || filters.iter().any(|f| name.contains(f)))
    {
        let begin = Instant::now();
        let good = catch_unwind(*case).is_ok();
        println!("test {name} ... {} ({:?})", if good { "ok" } else { "FAILED" }, begin.elapsed());
        failed += usize::from(!good);
    }
    println!("{failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn agent(words: &[&str]) -> Result<String, String> {
    let output = Command::new("/proc/self/exe").arg("agent").args(words).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn id_of(pid: u32) -> ProcessId {
    ProcessId { pid, start_ticks: family::start_ticks(pid).unwrap() }
}

fn condition(image: &Image, pid: u32) -> Condition {
    Mapped::of(image, id_of(pid), false).unwrap().unwrap().condition()
}

/// A process that says what time it is, and a folder of terms. Ends with this, whatever became of the test.
struct Bench {
    folder: tempfile::TempDir,
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
    image: Image,
}

impl Drop for Bench {
    fn drop(&mut self) {
        for name in ["t-1", "t-2", "t-3"] {
            let _ = agent(&["skew", "off", self.path(), name]);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bench {
    fn new() -> Bench {
        Bench::of(Command::new("/proc/self/exe").args(["agent", "clock"]))
    }

    fn of(command: &mut Command) -> Bench {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (ask, answer) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let folder = tempfile::tempdir().unwrap();
        let mut bench = Bench { folder, child, ask, answer, image: own_image().unwrap() };
        bench.line();
        bench
    }

    fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    fn line(&mut self) -> String {
        self.ask.write_all(b"\n").unwrap();
        let mut line = String::new();
        self.answer.read_line(&mut line).unwrap();
        line
    }

    fn read(&mut self) -> Reading {
        serde_json::from_str(&self.line()).unwrap()
    }

    fn on(&self, name: &str, mut order: Json) -> Result<String, String> {
        order["mechanism"] = json!("processes");
        order["processes"] = json!([id_of(self.child.id())]);
        agent(&["skew", "on", self.path(), name, &order.to_string()])
    }

    fn off(&self, name: &str) -> Result<String, String> {
        agent(&["skew", "off", self.path(), name])
    }

    fn state(&self, name: &str, samples: u32, over_ms: u32) -> State {
        let said = agent(&["skew", "state", self.path(), name, &samples.to_string(), &over_ms.to_string()]);
        serde_json::from_str(&said.unwrap()).unwrap()
    }

    fn is_pristine(&self) -> bool {
        condition(&self.image, self.child.id()) == Condition::Pristine
    }
}

fn near(found_ns: i64, expected_ns: i64) {
    assert!((found_ns - expected_ns).abs() < NEAR_NS, "{found_ns} ns found, {expected_ns} ns expected");
}

fn an_offset_comes_and_goes() {
    for offset_ns in [7200 * SECOND_NS, -300 * SECOND_NS, 250_000_000, -1, 999_999_999] {
        let mut bench = Bench::new();
        near(bench.read().shift_ns, 0);
        assert!(bench.is_pristine());
        bench.on("t-1", json!({"offset_ns": offset_ns})).unwrap();
        let seen = bench.read();
        near(seen.shift_ns, offset_ns);
        assert!((seen.gettimeofday_shift_ns - offset_ns).abs() < NEAR_ONCE_NS, "{seen:?}");
        assert!((seen.coarse_shift_ns - offset_ns + 5_000_000).abs() < NEAR_ONCE_NS, "{seen:?}");
        assert!((seen.time_shift_ns - offset_ns + SECOND_NS / 2).abs() < SECOND_NS / 2 + NEAR_ONCE_NS, "{seen:?}");
        let state = bench.state("t-1", 3, 3);
        assert_eq!(state.terms, ["t-1"]);
        assert_eq!((state.processes.len(), state.leftover.len()), (1, 0), "{state:?}");
        assert_eq!((state.processes[0].shift_ns, state.processes[0].as_wanted), (Some(offset_ns), true));
        assert_eq!(state.canary.len(), 3);
        state.canary.iter().for_each(|sample| near(sample.shift_ns, offset_ns));
        bench.off("t-1").unwrap();
        near(bench.read().shift_ns, 0);
        assert!(bench.is_pristine(), "every byte is as it was");
        bench.off("t-1").unwrap();
        assert!(bench.state("t-1", 1, 1).leftover.is_empty());
    }
}

fn drift_grows() {
    for rate_ppb in [200_000_000, -50_000_000, 500_000] {
        let mut bench = Bench::new();
        bench.on("t-1", json!({"rate_ppb": rate_ppb})).unwrap();
        let first = bench.read();
        std::thread::sleep(Duration::from_millis(400));
        let second = bench.read();
        // By the very clock that the shift is told from: another is asked for later, and the process may be interrupted before.
        let passed = (second.real_ns - first.real_ns) as f64;
        let rate = (second.shift_ns - first.shift_ns) as f64 / passed * 1e9;
        let error = (second.error_ns + first.error_ns) as f64 / passed * 1e9 + 50_000.0;
        assert!((rate - f64::from(rate_ppb)).abs() < error, "{rate} ppb, {rate_ppb} expected, give or take {error}");
        bench.off("t-1").unwrap();
        near(bench.read().shift_ns, 0);
    }
}

fn a_strobe_swings() {
    let mut bench = Bench::new();
    bench.on("t-1", json!({"strobe_ns": 40 * SECOND_NS, "half_period_ns": 20_000_000})).unwrap();
    let (mut high, mut low, mut edges, mut last) = (0, 0, 0, None);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(400) {
        let shift_ns = bench.read().shift_ns;
        let is_high = shift_ns > 20 * SECOND_NS;
        near(shift_ns, if is_high { 40 * SECOND_NS } else { 0 });
        if is_high {
            high += 1
        } else {
            low += 1
        }
        edges += u32::from(last.is_some_and(|last| last != is_high));
        last = Some(is_high);
    }
    // A busy machine may miss some; it cannot see more than there are.
    let edges_max = begin.elapsed().as_millis() / 20 + 2;
    assert!(high > 2 && low > 2 && edges >= 4, "{high} high, {low} low, {edges} edges of about 20");
    assert!(u128::from(edges) <= edges_max, "{edges} edges, {edges_max} at most");
    bench.off("t-1").unwrap();
    assert!(bench.is_pristine());
}

fn terms_add_up_and_go_one_by_one() {
    let mut bench = Bench::new();
    bench.on("t-1", json!({"offset_ns": 100 * SECOND_NS})).unwrap();
    bench.on("t-2", json!({"offset_ns": -7 * SECOND_NS})).unwrap();
    near(bench.read().shift_ns, 93 * SECOND_NS);
    let before = Instant::now();
    bench.on("t-3", json!({"rate_ppb": 100_000_000})).unwrap();
    let since = Instant::now();
    std::thread::sleep(Duration::from_millis(100));
    // A tenth of the time since it began, which was somewhere between these two.
    let tenth = |from: Instant| i64::try_from(from.elapsed().as_nanos() / 10).unwrap();
    let least = tenth(since) - NEAR_NS;
    let drifted = bench.read().shift_ns - 93 * SECOND_NS;
    assert!((least..tenth(before) + NEAR_NS).contains(&drifted), "{drifted}, {least} at least");
    bench.off("t-1").unwrap();
    let least = tenth(since) - NEAR_NS;
    let left = bench.read().shift_ns + 7 * SECOND_NS;
    assert!((least..tenth(before) + NEAR_NS).contains(&left), "{left}, {least} at least");
    bench.off("t-3").unwrap();
    near(bench.read().shift_ns, -7 * SECOND_NS);
    assert_eq!(bench.state("t-2", 1, 1).terms, ["t-2"]);
    bench.off("t-2").unwrap();
    assert!(bench.is_pristine());
}

/// One that the database forks, one that it executes, and one that is started anew after it was killed.
fn new_processes_are_caught() {
    let script = "import os, sys, time\nwhile sys.stdin.readline():\n  print(time.time(), flush=True)\n  if os.path.exists(sys.argv[1]): os.remove(sys.argv[1]); os.fork() or os.execv('/bin/sleep', ['sleep', '30'])\n";
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("flag");
    let start = || Bench::of(Command::new("python3").args(["-c", script]).arg(&flag));
    let mut bench = start();
    bench.on("t-1", json!({"offset_ns": 500 * SECOND_NS})).unwrap();
    let one = |pid: u32| bench_children(pid);
    std::fs::write(&flag, "").unwrap();
    bench.line();
    until(|| one(bench.child.id()).len() == 1);
    let sleeper = one(bench.child.id())[0];
    // A process that was born a moment ago, or executes another program right now, has no vDSO to be read: not yet.
    let is_skewed = |pid: u32| {
        let mapped = Mapped::of(&bench.image, id_of(pid), false);
        matches!(mapped.ok().flatten().map(|mapped| mapped.condition()), Some(Condition::Skewed { .. }))
    };
    let begin = Instant::now();
    until(|| is_skewed(sleeper) && std::fs::read_to_string(format!("/proc/{sleeper}/comm")).unwrap() == "sleep\n");
    println!("  a child that executed another program was caught within {:?}", begin.elapsed());
    // Another of the same program and command line, which nobody named.
    let mut again = start();
    let begin = Instant::now();
    until(|| is_skewed(again.child.id()));
    let took = begin.elapsed();
    println!("  a new process was caught within {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let said: f64 = again.line().trim().parse().unwrap();
    let true_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((said - true_s - 500.0).abs() < 1.0, "{said} {true_s}");
    bench.off("t-1").unwrap();
    assert!(
        [bench.child.id(), again.child.id(), sleeper]
            .map(|pid| condition(&bench.image, pid))
            .iter()
            .all(|one| *one == Condition::Pristine)
    );
    Command::new("kill").arg(sleeper.to_string()).status().unwrap();
}

fn bench_children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

fn until(mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Threads that do nothing but ask for the time, patched and restored many times: the worst that there is.
fn every_thread_of_a_busy_process_goes_on() {
    let script = "import sys, threading, time\ncount = [0] * 4\ndef ask(n):\n  while True:\n    time.time(); count[n] += 1\nfor n in range(4): threading.Thread(target=ask, args=(n,), daemon=True).start()\nwhile sys.stdin.readline(): print(min(count), flush=True)\n";
    let mut bench = Bench::of(Command::new("python3").args(["-c", script]));
    let rounds = 12;
    for round in 0..rounds {
        bench.on("t-1", json!({"offset_ns": round * SECOND_NS})).unwrap();
        bench.off("t-1").unwrap();
        assert!(bench.is_pristine());
    }
    let mut least = || bench.line().trim().parse::<u64>().unwrap();
    let before = least();
    // Each of them, when its turn comes.
    until(|| least() > before);
}

fn a_paused_process_is_skewed_and_restored() {
    let mut bench = Bench::new();
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &bench.child.id().to_string()]).status().unwrap().success())
    };
    let state = || family::all().into_iter().find(|seen| seen.id.pid == bench.child.id()).unwrap().state;
    signal("-STOP");
    until(|| state() == 'T');
    bench.on("t-1", json!({"offset_ns": SECOND_NS})).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    // It stays paused; who looked at it lets it stop again, which takes a moment.
    until(|| state() == 'T');
    bench.off("t-1").unwrap();
    until(|| state() == 'T');
    assert!(bench.is_pristine());
    bench.on("t-1", json!({"offset_ns": SECOND_NS})).unwrap();
    signal("-CONT");
    near(bench.read().shift_ns, SECOND_NS);
    bench.off("t-1").unwrap();
    near(bench.read().shift_ns, 0);
}

fn other_languages_see_it() {
    let perl = "use Time::HiRes; $| = 1; while (<STDIN>) { printf \"%.6f\\n\", Time::HiRes::time() }";
    let python = "import sys, time\nwhile sys.stdin.readline(): print(time.time(), flush=True)";
    for (program, script, flag) in [("perl", perl, "-e"), ("python3", python, "-c")] {
        if Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err() {
            println!("  no {program} here");
            continue;
        }
        let mut bench = Bench::of(Command::new(program).args([flag, script]));
        let true_s = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let mut ahead = || bench.line().trim().parse::<f64>().unwrap() - true_s();
        assert!(ahead().abs() < 0.5);
        bench_on_off(&mut bench);
    }
}

fn bench_on_off(bench: &mut Bench) {
    let true_s = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    bench.on("t-1", json!({"offset_ns": -86_400 * SECOND_NS})).unwrap();
    let ahead = bench.line().trim().parse::<f64>().unwrap() - true_s();
    assert!((ahead + 86_400.0).abs() < 0.5, "{ahead}");
    bench.off("t-1").unwrap();
    let ahead = bench.line().trim().parse::<f64>().unwrap() - true_s();
    assert!(ahead.abs() < 0.5, "{ahead}");
}

fn a_killed_keeper_is_no_trouble() {
    let mut bench = Bench::new();
    bench.on("t-1", json!({"offset_ns": SECOND_NS})).unwrap();
    let keeper = |folder: &Path| {
        let words = |pid: u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let is_it = |pid: &u32| {
            let words = String::from_utf8_lossy(&words(*pid)).into_owned();
            words.contains("keep") && words.contains(folder.to_str().unwrap())
        };
        family::all().into_iter().map(|seen| seen.id.pid).find(is_it)
    };
    let folder = bench.folder.path().to_owned();
    until(|| keeper(&folder).is_some());
    Command::new("kill").args(["-9", &keeper(&folder).unwrap().to_string()]).status().unwrap();
    until(|| keeper(&folder).is_none());
    near(bench.read().shift_ns, SECOND_NS);
    bench.off("t-1").unwrap();
    near(bench.read().shift_ns, 0);
    assert!(bench.is_pristine());
    // One that lives ends by itself when there is nothing to keep.
    bench.on("t-2", json!({"offset_ns": SECOND_NS})).unwrap();
    until(|| keeper(&folder).is_some());
    bench.off("t-2").unwrap();
    until(|| keeper(&folder).is_none());
}

/// The guard bites: whatever is asked, the clock of the controller's own kernel is not set.
fn this_machines_real_clock_is_refused() {
    let own = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    for guard in [
        json!({"controller_boot_id": own}),
        json!({"controller_boot_id": own, "despite_doubts": true}),
        json!({"controller_boot_id": "", "despite_doubts": true}),
    ] {
        let order = json!({"mechanism": "real", "offset_ns": 1, "guard": guard}).to_string();
        for words in [&["skew", "can", &order][..], &["skew", "on", path, "t-1", &order]] {
            let error = agent(words).unwrap_err();
            assert!(error.contains("controller's kernel"), "{error}");
        }
        assert!(std::fs::read_dir(folder.path()).unwrap().all(|file| file.unwrap().file_name() == "lock"));
        let order = json!({"guard": guard}).to_string();
        let said: Json = serde_json::from_str(&agent(&["skew", "can", &order]).unwrap()).unwrap();
        assert_eq!(said["mechanism"], "processes");
    }
}

fn nonsense_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let gone = json!({"mechanism": "processes", "processes": [{"pid": 1, "start_ticks": 0}]}).to_string();
    for (words, expected) in [
        (&["skew"][..], "on FOLDER NAME ORDER"),
        (&["skew", "on", path, "t-1", "{"], "the order cannot be read"),
        (&["skew", "on", path, "t-1", "{}"], "with which mechanism"),
        (&["skew", "on", path, "../x", "{\"mechanism\":\"processes\"}"], "no name of a term"),
        (&["skew", "on", path, "t-1", &gone], "none of the database's processes"),
        (&["skew", "state", path, "t-1", "x", "1"], "no number of samples"),
    ] {
        let error = agent(words).unwrap_err();
        assert!(error.contains(expected), "{words:?}: {error}");
    }
}
