//! The command as a user meets it, without a cluster: exit codes, error messages, judging histories from files.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn schism(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_schism"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("SCHISM_RUNS")
        .output()
        .expect("schism starts")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("schism ends by itself")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const VALID: &str = r#"{"index":0,"time":1000,"process":0,"type":"invoke","f":"write","key":1,"value":7}
{"index":1,"time":2000,"process":0,"type":"ok","f":"write","key":1,"value":7}
{"index":2,"time":3000,"process":1,"type":"invoke","f":"read","key":1,"value":null}
{"index":3,"time":4000,"process":1,"type":"ok","f":"read","key":1,"value":7}
"#;

/// The read begins after the write of 7 has ended, yet finds nothing.
const STALE: &str = r#"{"index":0,"time":1000,"process":0,"type":"invoke","f":"write","key":1,"value":7}
{"index":1,"time":2000,"process":0,"type":"ok","f":"write","key":1,"value":7}
{"index":2,"time":3000,"process":1,"type":"invoke","f":"read","key":1,"value":null}
{"index":3,"time":4000,"process":1,"type":"ok","f":"read","key":1,"value":null}
"#;

/// A write, then a read of this.
fn etcd_log(read: &str) -> String {
    let events = ["0\t:invoke\t:write\t7", "0\t:ok\t:write\t7", "1\t:invoke\t:read\tnil"];
    let lines: String = events.iter().map(|event| format!("INFO  jepsen.util - {event}\n")).collect();
    format!("INFO  jepsen.core - Starting\n{lines}INFO  jepsen.util - 1\t:ok\t:read\t{read}\n")
}

/// What a `fail` of a compare-and-set says is told by who reads it.
#[test]
fn failed_compare_and_sets_are_judged_on_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = |line: fn(&str, &str, &str) -> String| {
        let ops =
            [("write", "invoke", "7"), ("write", "ok", "7"), ("cas", "invoke", "[7 8]"), ("cas", "fail", "[7 8]")];
        ops.iter().map(|(f, kind, value)| line(f, kind, value)).collect::<String>()
    };
    let jsonl = events(|f, kind, value| {
        let value = value.replace(' ', ",");
        format!("{{\"process\":0,\"type\":\"{kind}\",\"f\":\"{f}\",\"value\":{value}}}\n")
    });
    let edn = events(|f, kind, value| format!("{{:process 0, :type :{kind}, :f :{f}, :value {value}}}\n"));
    let log = events(|f, kind, value| format!("INFO  jepsen.util - 0\t:{kind}\t:{f}\t{value}\n"));
    for (name, text) in [("h.jsonl", jsonl), ("h.edn", edn), ("h.log", log)] {
        std::fs::write(folder.path().join(name), text).expect("a file");
        let arguments = ["check", name, "--checker", "linearizable", "--model", "cas-register"];
        for (choice, expected) in [(&[][..], 0), (&["--failed-cas", "unknown"], 0), (&["--failed-cas", "observed"], 1)]
        {
            let output = schism(folder.path(), &[&arguments[..], choice].concat());
            assert_eq!(code(&output), expected, "{name} {choice:?}: {}", stderr(&output));
        }
    }
}

#[test]
fn standard_input_is_a_history_once_its_format_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let judged = |text: &str, format: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
        command.args(["check", "-", "--checker", "linearizable", "--model", "register"]).args(format);
        command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("schism starts");
        // Who asks for a format may have gone before the text came.
        let _ = child.stdin.take().expect("a pipe").write_all(text.as_bytes());
        child.wait_with_output().expect("schism ends")
    };
    for (text, format, expected, part) in [
        (VALID, &["--format", "jsonl"][..], 0, ""),
        (STALE, &["--format", "jsonl"], 1, ""),
        (&etcd_log("7"), &["--format", "etcd-log"], 0, ""),
        (VALID, &[], 64, "standard input has no name that tells its format; add --format"),
        ("{", &["--format", "edn"], 4, "standard input: line 1 (byte 0) is torn"),
        ("hello", &["--format", "edn"], 65, "standard input: line 1, column 1"),
    ] {
        let output = judged(text, format);
        assert_eq!(code(&output), expected, "{format:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{format:?}: {}", stderr(&output));
    }
}

#[test]
fn histories_are_judged_with_the_right_exit() {
    let folder = tempfile::tempdir().expect("a folder");
    let torn = &VALID[..VALID.len() - 20];
    let orphan = VALID.replace("\"type\":\"invoke\",\"f\":\"read\"", "\"type\":\"ok\",\"f\":\"read\"");
    let garbage = VALID.replace("{\"index\":2", "{{{ not json ");
    let cases: &[(&str, &str, i32, &str)] = &[
        ("valid.jsonl", VALID, 0, ""),
        ("stale.jsonl", STALE, 1, ""),
        ("torn.jsonl", torn, 0, "torn"),
        ("orphan.jsonl", &orphan, 65, "no operation open"),
        ("garbage.jsonl", &garbage, 65, "line 3"),
        ("empty.jsonl", "", 4, ""),
        ("failed.jsonl", &VALID.replace("\"ok\"", "\"fail\""), 4, ""),
        // A clock that goes back, as far as it can: the order of events is what counts.
        ("back.jsonl", &VALID.replace("\"time\":1000", "\"time\":18446744073709551615"), 0, ""),
        // Without an ending that tells, the first line does.
        ("history.txt", VALID, 0, ""),
        ("stale.txt", STALE, 1, ""),
        ("history.bin", "hello\n", 64, "add --format jsonl, edn, etcd-log, kv-text"),
        ("nothing.bin", "", 64, "neither its name (.jsonl, .edn, .log, .txt, .hist, .bincode) nor its first line"),
        ("valid.log", &etcd_log("7"), 0, ""),
        ("stale.log", &etcd_log("nil"), 1, ""),
        ("broken.log", &etcd_log("seven"), 65, "line 5 (byte 143 of the file): found `seven`, expected nil"),
        (
            "valid.edn",
            "{:process 0 :type :invoke :f :write :value 1}\n{:process 0 :type :ok :f :write :value 1}\n",
            0,
            "",
        ),
        (
            "stale.edn",
            "{:process 0 :type :invoke :f :write :value 1}\n{:process 0 :type :ok :f :write :value 1}\n{:process 1 :type :invoke :f :read :value nil}\n{:process 1 :type :ok :f :read :value 2}\n",
            1,
            "",
        ),
        ("broken.edn", "{:process 0 :type :invoke ]", 65, "line 1"),
    ];
    for (name, text, expected, message) in cases {
        std::fs::write(folder.path().join(name), text).expect("a file");
        let arguments = ["check", name, "--checker", "linearizable", "--model", "cas-register"];
        let output = schism(folder.path(), &arguments);
        assert_eq!(code(&output), *expected, "{name}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{name}: {}", stderr(&output));
        let json = schism(folder.path(), &[&arguments[..], &["--json"]].concat());
        assert_eq!(code(&json), *expected, "{name} as JSON");
        if *expected < 4 {
            let verdict: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON alone on stdout");
            assert_eq!(verdict["schema_version"], 1);
            assert_eq!(verdict["valid"], *expected == 0, "{name}");
        }
        if *expected == 4 {
            let verdict: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON alone on stdout");
            assert_eq!(verdict["valid"], "unknown", "{name}: what was not tested is not valid");
        }
    }
}

#[test]
fn orders_of_valid_histories_are_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |name: &str, text: &str, more: &[&str]| {
        std::fs::write(folder.path().join(name), text).expect("a file");
        let output = schism(folder.path(), &[&["check", name, "--witness", "order.jsonl"], more].concat());
        let written = std::fs::read_to_string(folder.path().join("order.jsonl")).ok();
        let _ = std::fs::remove_file(folder.path().join("order.jsonl"));
        (code(&output), written, stderr(&output))
    };
    let linearizable: &[&str] = &["--checker", "linearizable"];
    let (exit, written, told) = check("valid.jsonl", VALID, linearizable);
    assert_eq!((exit, written.as_deref()), (0, Some("{\"key\":\"1\",\"order\":[0,2]}\n")), "{told}");
    assert!(told.contains("orders of 1 key replayed"), "{told}");
    let (exit, written, told) = check("stale.jsonl", STALE, linearizable);
    assert_eq!((exit, written), (1, None), "{told}");
    assert!(told.contains("no order was written"), "{told}");
    let (exit, _, told) = check("valid.jsonl", VALID, &["--checker", "stats"]);
    assert_eq!(exit, 64);
    assert!(told.contains("--witness needs --checker linearizable"), "{told}");
    let (exit, ..) = check("valid.jsonl", VALID, &["--checker", "linearizable", "--model", "register"]);
    assert_eq!(exit, 0);
}

/// A run is found by its name among the runs, whoever judges it.
#[test]
fn runs_are_judged_by_name_and_by_other_checkers() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = schism(folder.path(), &["plan", "etcd/register", "--json"]);
    assert_eq!(code(&plan), 0, "{}", stderr(&plan));
    let run = folder.path().join("runs/one");
    std::fs::create_dir_all(&run).expect("a folder");
    std::fs::write(run.join("plan.json"), &plan.stdout).expect("a plan");
    std::fs::write(run.join("history.jsonl"), STALE).expect("a history");
    std::os::unix::fs::symlink("one", folder.path().join("runs/latest")).expect("a link");
    for target in ["latest", "one", "runs/one"] {
        for (options, exit, part) in [
            (&["--checker", "linearizable"][..], 1, ""),
            (&["--checker", "linearizable", "--model", "register"], 1, ""),
            (&["--workload", "register"], 1, ""),
            (&[], 1, ""),
            (&["--model", "register"], 64, "--model needs --checker"),
            (&["--workload", "register", "--model", "register"], 64, "--model needs --checker"),
            (&["--format", "jsonl"], 64, "is the folder of a run"),
            (&["--format", "cobra", "--checker", "rw-register"], 64, ""),
            (&["--keyed", "yes", "--checker", "linearizable"], 64, "--keyed are for history files"),
            (&["--failed-cas", "observed"], 64, "is the folder of a run"),
        ] {
            let output = schism(folder.path(), &[&["check", target], options].concat());
            assert_eq!(code(&output), exit, "{target} {options:?}: {}", stderr(&output));
            assert!(stderr(&output).contains(part), "{target} {options:?}: {}", stderr(&output));
        }
    }
}

/// Opening a pipe that nobody writes to would never return.
#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["pipe.jsonl", "pipe.edn"] {
        let made = Command::new("mkfifo").arg(folder.path().join(name)).status().expect("mkfifo starts");
        assert!(made.success());
        let output = schism(folder.path(), &["check", name, "--checker", "linearizable"]);
        assert_eq!(code(&output), 64, "{name}: {}", stderr(&output));
        assert!(stderr(&output).contains("not a file"), "{name}: {}", stderr(&output));
    }
}

#[test]
fn wrong_usage_says_what_to_do_and_ends_with_64() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("h.jsonl"), VALID).expect("a file");
    std::fs::write(folder.path().join("suite.yaml"), "database:\n  etcd: {}\nworkload:\n  register: {}\nfautls: []\n")
        .expect("a file");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    write("empty.yaml", "# nothing\n\n");
    write("tab.yaml", "database:\n\tetcd: {}\n");
    write("number.yaml", "database:\n  etcd: {}\nworkload:\n  register: {}\nrate_hz: fast\n");
    write("expect.yaml", "- {suite: etcd/register, verdict: unknwon, reason: x}\n");
    write("nobody.yaml", "- {suite: etcd/register, seed: 9, verdict: valid, reason: x}\n");
    let phases = "database: {etcd: {}}\nworkload: {register: {}}\nschedule: {kind: phases, phases: [";
    write("phase.yaml", &format!("{phases}{{for: 9s, falts: [kill]}}]}}\n"));
    write("phases.yaml", &format!("{phases}{{for: 9s, faults: [kill]}}, {{for: 9s}}]}}\n"));
    let cases: &[(&[&str], &[&str])] = &[
        (&["plan", "phase.yaml"], &["phase.yaml:3:", "unknown field `falts`", "Did you mean `faults`?"]),
        (&["plan", "phases.yaml"], &["stretch 2 (faults 2): it needs `faults`", "`quiet: true`"]),
        (&["plan", "etcd/register", "--set", "schedule.index=3"], &["`index` is for `kind: systematic` only"]),
        (&["plan", "etcd/register", "--set", "schedule.kind=systemtic"], &["Did you mean `systematic`?"]),
        (&["matrix", "etcd/registre"], &["Did you mean `etcd/register`?"]),
        (&["matrix", "etcd/register", "--seeds", "1-5"], &["write 7, 1..5"]),
        (&["matrix", "etcd/register", "--expect", "nowhere.yaml"], &["--expect nowhere.yaml"]),
        (&["matrix", "etcd/register", "--expect", "expect.yaml"], &["expect.yaml:1:", "Did you mean `unknown`?"]),
        (&["matrix", "etcd/register", "--expect", "nobody.yaml"], &["speaks of no run of this matrix"]),
        (&["matrix", "etcd/register", "--jobs", "2", "--inventory", "nowhere.yaml"], &["nowhere.yaml"]),
        (&["matrix", "--resume", "nowhere"], &["no folder of a matrix"]),
        (&["run", "etcd/registre"], &["Did you mean `etcd/register`?"]),
        (&["plan", "suite.yaml"], &["suite.yaml:5:1", "unknown field `fautls`", "Did you mean `faults`?"]),
        (&["plan", "etcd/register", "--faults", "partitoin"], &["Did you mean `partition`?"]),
        (&["plan", "etcd/register", "--concurrency", "many"], &["2n"]),
        (&["plan", "etcd/register", "--nodes", "n1,n1"], &["named twice"]),
        (&["plan", "etcd/register", "--rate", "0"], &["above 0"]),
        (&["plan", "etcd/register", "--time-limit", "soon"], &["--time-limit"]),
        (&["plan", "etcd/register", "--set", "noodes=3"], &["Did you mean `nodes`?"]),
        (&["plan", "etcd/register", "--no-setup"], &["--no-setup needs"]),
        (&["plan", "empty.yaml"], &["the file is empty"]),
        (&["plan", "tab.yaml"], &["tab.yaml:2:", "found a tab"]),
        (&["plan", "number.yaml"], &["number.yaml:5:", "rate_hz", "expected a number"]),
        (&["plan", "register"], &["Did you mean `etcd/register`?"]),
        (&["plan", "etcd/register", "--nodes", "2"], &["needs at least", "--nodes"]),
        (&["plan", "etcd/register", "--nodes", "A b"], &["A b"]),
        (&["plan", "etcd/register", "--lab", "no-such-lab"], &["no-such-lab"]),
        (&["check", "nowhere.jsonl", "--checker", "linearizable"], &["there is no such file"]),
        (&["check", "h.jsonl"], &["--checker"]),
        (&["check", "h.jsonl", "--checker", "linearisable"], &["Did you mean `linearizable`?"]),
        (&["check", "h.jsonl", "--checker", "linearizable", "--model", "registr"], &["Did you mean `register`?"]),
        (
            &["check", "h.jsonl", "--checker", "list-append", "--consistency", "snapshot-isolaton"],
            &["no consistency model is called snapshot-isolaton", "Did you mean `snapshot-isolation`?"],
        ),
        (
            &["check", "h.jsonl", "--checker", "rw-register", "--version-order", "sequential-key"],
            &["Did you mean `sequential-keys`?"],
        ),
        (&["check", "h.jsonl", "--checker", "linearizable", "--consistency", "PL-2"], &["list-append, rw-register do"]),
        (&["check", "h.jsonl", "--workload", "register", "--consistency", "PL-2"], &["--consistency", "--checker"]),
        (&["check", "h.jsonl", "--workload", "register", "--model", "mutex"], &["--model needs --checker"]),
        (&["check", "h.jsonl", "--model", "register"], &["--model needs --checker"]),
        (&["explain", "G-singel"], &["Did you mean `G-single`?"]),
        (&["report", "nowhere"], &["no run there"]),
        (&["heal", "nowhere"], &["no run there"]),
        (&["lab", "down", "no-such-lab"], &["no-such-lab"]),
    ];
    for (arguments, expected) in cases {
        let output = schism(folder.path(), arguments);
        let text = stderr(&output);
        assert_eq!(code(&output), 64, "{arguments:?}: {text}");
        for part in *expected {
            assert!(text.contains(part), "{arguments:?} should say {part}: {text}");
        }
    }
}

#[test]
fn a_plan_harms_nothing_and_is_the_same_for_the_same_seed() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = |seed: &str| schism(folder.path(), &["plan", "etcd/register", "--seed", seed]);
    let first = plan("7");
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    assert_eq!(first.stdout, plan("7").stdout);
    assert_ne!(first.stdout, plan("8").stdout);
    let text = String::from_utf8_lossy(&first.stdout).into_owned();
    for word in ["partition", "kill", "pause", "n5", "register"] {
        assert!(text.contains(word), "the plan names {word}: {text}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "a plan leaves no file");
}

#[test]
fn a_plan_for_virtual_machines_has_their_patience() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = |more: &[&str]| -> serde_json::Value {
        let output = schism(folder.path(), &[&["plan", "etcd/register", "--json"], more].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let chosen = "database.etcd.election_ms=3000";
    let vms = plan(&["--lab", "vms", "--nodes", "3", "--set", chosen]);
    assert_eq!(vms["ground"]["ground"], "vms");
    let etcd = &vms["database"]["etcd"];
    assert_eq!((&etcd["heartbeat_ms"], &etcd["election_ms"]), (&200.into(), &3000.into()));
    assert_eq!((&vms["time_limit_ms"], &vms["duration_ms_mean"]), (&180_000.into(), &30_000.into()));
    assert_eq!(plan(&["--lab", "vms", "--time-limit", "40s"])["time_limit_ms"], 40_000);
    let namespaces = plan(&["--lab", "namespaces"]);
    assert_eq!(namespaces["database"]["etcd"]["heartbeat_ms"], 100);
    assert_eq!((&namespaces["time_limit_ms"], &namespaces["duration_ms_mean"]), (&60_000.into(), &5_000.into()));
    let without = schism(folder.path(), &["run", "etcd/register", "--lab", "vms", "--no-setup"]);
    assert_eq!(code(&without), 64, "{}", stderr(&without));
}

#[test]
fn a_matrix_is_shown_without_running_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = ["matrix", "etcd/register", "etcd/stale-reads", "--faults", "kill", "--seeds", "1..2", "--dry-run"];
    let shown = schism(folder.path(), &line);
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    for part in
        ["4/4  etcd/stale-reads  register  kill    seed 2", "schism run etcd/register --faults kill --seed 1", "4 runs"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json = schism(folder.path(), &[&line[..], &["--json"]].concat());
    let matrix: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(matrix["runs"].as_array().map(Vec::len), Some(4));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is left");
}

#[test]
fn transactions_are_judged_by_level() {
    let folder = tempfile::tempdir().expect("a folder");
    // A read of what a failed transaction wrote.
    let events = [
        (0, "invoke", r#"[["w",1,1]]"#),
        (1, "invoke", r#"[["r",1,null]]"#),
        (0, "fail", r#"[["w",1,1]]"#),
        (1, "ok", r#"[["r",1,1]]"#),
    ];
    let line = |(index, (process, kind, value)): (usize, (u32, &str, &str))| {
        format!(
            "{{\"index\":{index},\"time\":{index},\"process\":{process},\"type\":\"{kind}\",\"f\":\"txn\",\"value\":{value}}}\n"
        )
    };
    let dirty: String = events.into_iter().enumerate().map(line).collect();
    std::fs::write(folder.path().join("dirty.jsonl"), dirty).expect("a file");
    for (level, exit, types) in [("read-committed", 1, "G1a"), ("PL-SI", 1, "G1a"), ("read-uncommitted", 0, "")] {
        let arguments = ["check", "dirty.jsonl", "--checker", "rw-register", "--consistency", level, "--json"];
        let output = schism(folder.path(), &arguments);
        let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let found = &verdict["checkers"]["rw-register"];
        let types: Vec<&str> = types.split_terminator(',').collect();
        assert_eq!(found["anomaly_types"], serde_json::json!(types), "{level}: {found}");
        assert_eq!(found["beyond"].as_array().map(Vec::len), Some(usize::from(types.is_empty())), "{level}: {found}");
        assert_eq!(code(&output), exit, "{level}: {}", stderr(&output));
        let because = serde_json::json!([{"consistency": "read-committed", "because": ["G1a"]}]);
        assert_eq!(found["stats"]["weakest_ruled_out"], because);
    }
}

#[test]
fn lists_come_from_the_tables() {
    let folder = tempfile::tempdir().expect("a folder");
    for (what, name) in [
        ("suites", "etcd/stale-reads"),
        ("workloads", "register"),
        ("faults", "partition"),
        ("checkers", "linearizable"),
        ("models", "cas-register"),
        ("models", "semaphore:N"),
        ("databases", "etcd"),
        ("levels", "snapshot-isolation"),
        ("anomalies", "G-single"),
    ] {
        let output = schism(folder.path(), &["list", what]);
        assert_eq!(code(&output), 0);
        assert!(String::from_utf8_lossy(&output.stdout).contains(name), "{what} has {name}");
        let json = schism(folder.path(), &["list", what, "--json"]);
        let items: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
        assert!(items["items"].as_array().expect("items").iter().any(|item| item["name"] == name));
    }
}

#[test]
fn what_the_readme_shows_is_accepted() {
    let readme = include_str!("../../README.md");
    let blocks: Vec<&str> = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [expect, suite, script, phases, inventory] = blocks[..] else { panic!("the README shows five files") };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("inventory.yaml"), inventory).expect("a file");
    std::fs::write(folder.path().join("expect.yaml"), expect).expect("a file");
    let line = ["matrix", "etcd/stale-reads", "--seeds", "1..5", "--expect", "expect.yaml", "--dry-run"];
    let matrix = schism(folder.path(), &line);
    assert_eq!(code(&matrix), 0, "{}", stderr(&matrix));
    assert_eq!(String::from_utf8_lossy(&matrix.stdout).matches("expected invalid").count(), 5);
    for suite in [suite, script, phases] {
        std::fs::write(folder.path().join("suite.yaml"), suite).expect("a file");
        let plan = schism(folder.path(), &["plan", "suite.yaml"]);
        assert_eq!(code(&plan), 0, "{}", stderr(&plan));
    }
    let secret = schism(folder.path(), &["plan", "etcd/register", "--inventory", "inventory.yaml", "--nodes", "3"]);
    assert_eq!(code(&secret), 64);
    assert!(stderr(&secret).contains("SUDO_PASSWORD"), "{}", stderr(&secret));
    let plan = Command::new(env!("CARGO_BIN_EXE_schism"))
        .args(["plan", "etcd/register", "--inventory", "inventory.yaml", "--nodes", "3", "--json"])
        .current_dir(folder.path())
        .env("SUDO_PASSWORD", "do not tell")
        .output()
        .expect("schism starts");
    assert_eq!(code(&plan), 0, "{}", stderr(&plan));
    let text = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(text.contains("10.0.0.12") && !text.contains("do not tell"), "a plan holds no secret: {text}");
}
