//! `schism check --checker list-append|rw-register` as a user meets it: every format, every exit code, and what is said where
//! something is wrong.

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

/// Both streams, with every run of blanks as one, so that it does not matter where lines are broken.
fn said(output: &Output) -> String {
    let text = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What two processes do at the same time: each reads key 1 and writes it. The second saw the first, or neither the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Serial,
    LostUpdate,
}

use Shows::{LostUpdate, Serial};

/// A format: its name, the file's, whether its transactions are of lists, whether it says when something happened; and
/// the bytes of its file.
struct Format {
    name: &'static str,
    file: &'static str,
    lists: bool,
    realtime: bool,
    bytes: fn(Shows) -> Vec<u8>,
}

const FORMATS: &[Format] = &[
    Format { name: "jsonl", file: "h.jsonl", lists: false, realtime: true, bytes: |shows| json(shows, false) },
    Format { name: "jsonl", file: "lists.jsonl", lists: true, realtime: true, bytes: |shows| json(shows, true) },
    Format { name: "edn", file: "h.edn", lists: false, realtime: true, bytes: |shows| edn(shows, false) },
    Format { name: "edn", file: "lists.edn", lists: true, realtime: true, bytes: |shows| edn(shows, true) },
    Format { name: "plume", file: "plume.txt", lists: false, realtime: false, bytes: plume },
    Format { name: "awdit", file: "awdit.txt", lists: false, realtime: false, bytes: awdit },
    Format { name: "dbcop", file: "dbcop.json", lists: false, realtime: false, bytes: dbcop },
    Format { name: "dbcop", file: "h.bincode", lists: false, realtime: false, bytes: bincode },
    Format { name: "hist", file: "h.hist", lists: false, realtime: false, bytes: hist },
    Format { name: "veristrong", file: "veristrong.txt", lists: true, realtime: false, bytes: veristrong },
];

/// The second transaction's read, as JSON.
fn seen(shows: Shows, lists: bool) -> &'static str {
    match (shows, lists) {
        (Serial, true) => "[1]",
        (Serial, false) => "1",
        (LostUpdate, _) => "null",
    }
}

fn json(shows: Shows, lists: bool) -> Vec<u8> {
    let write = if lists { "append" } else { "w" };
    let txn = |read: &str, value: u32| format!("[[\"r\",1,{read}],[\"{write}\",1,{value}]]");
    let event = |index: u32, process: u32, kind: &str, value: &str| {
        format!(
            "{{\"index\":{index},\"time\":{},\"process\":{process},\"type\":\"{kind}\",\"f\":\"txn\",\"value\":{value}}}\n",
            1000 * index
        )
    };
    [
        event(0, 0, "invoke", &txn("null", 1)),
        event(1, 1, "invoke", &txn("null", 2)),
        event(2, 0, "ok", &txn("null", 1)),
        event(3, 1, "ok", &txn(seen(shows, lists), 2)),
    ]
    .concat()
    .into_bytes()
}

/// As Jepsen's store writes it, the nemesis among the clients.
fn edn(shows: Shows, lists: bool) -> Vec<u8> {
    let write = if lists { ":append" } else { ":w" };
    let txn = |read: &str, value: u32| format!("[[:r 1 {read}] [{write} 1 {value}]]");
    let event = |index: u32, process: &str, kind: &str, f: &str, value: &str| {
        format!(
            "{{:type {kind}, :f {f}, :value {value}, :time {}, :process {process}, :index {index}}}\n",
            1000 * index
        )
    };
    let seen = seen(shows, lists).replace("null", "nil");
    [
        event(0, ":nemesis", ":info", ":start-partition", ":majority"),
        event(1, "0", ":invoke", ":txn", &txn("nil", 1)),
        event(2, "1", ":invoke", ":txn", &txn("nil", 2)),
        event(3, ":nemesis", ":info", ":start-partition", "[:isolated {\"n1\" #{\"n2\" \"n3\"}}]"),
        event(4, "0", ":ok", ":txn", &txn("nil", 1)),
        event(5, "1", ":ok", ":txn", &txn(&seen, 2)),
    ]
    .concat()
    .into_bytes()
}

fn plume(shows: Shows) -> Vec<u8> {
    let read = if shows == Serial { 1 } else { 0 };
    format!("r(1,0,0,0)\nw(1,1,0,0)\nr(1,{read},1,1)\nw(1,2,1,1)\n").into_bytes()
}

fn awdit(shows: Shows) -> Vec<u8> {
    let read = if shows == Serial { 1 } else { 0 };
    format!("r 1 0\nw 1 1\n=====\nr 1 {read}\nw 1 2\n").into_bytes()
}

fn dbcop(shows: Shows) -> Vec<u8> {
    let read = if shows == Serial { "1" } else { "null" };
    let txn = |read: &str, write: u32| {
        format!(
            "[{{\"events\":[{{\"Read\":{{\"variable\":1,\"version\":{read}}}}},{{\"Write\":{{\"variable\":1,\"version\":{write}}}}}],\"committed\":true}}]"
        )
    };
    let params = "{\"id\":0,\"n_node\":2,\"n_variable\":1,\"n_transaction\":1,\"n_event\":2}";
    let data = format!("[{},{}]", txn("null", 1), txn(read, 2));
    format!(
        "{{\"params\":{params},\"info\":\"x\",\"start\":\"2026-01-01T00:00:00Z\",\"end\":\"2026-01-01T00:00:01Z\",\"data\":{data}}}"
    )
    .into_bytes()
}

fn bincode(shows: Shows) -> Vec<u8> {
    let mut out = Vec::new();
    let numbers = |out: &mut Vec<u8>, all: &[u64]| all.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
    // The counts, three texts of no letters, two sessions.
    numbers(&mut out, &[0, 2, 1, 1, 2, 0, 0, 0, 2]);
    for (read, write) in [(0, 1), (u64::from(shows == Serial), 2)] {
        numbers(&mut out, &[1, 2]);
        for (writes, value) in [(0, read), (1, write)] {
            out.push(writes);
            numbers(&mut out, &[1, value]);
            out.push(1);
        }
        out.push(1);
    }
    out
}

fn hist(shows: Shows) -> Vec<u8> {
    let read = if shows == Serial { "1" } else { "?" };
    format!("// two sessions\n[x==? x:=1]\n---\n[x=={read} x:=2]\n").into_bytes()
}

fn veristrong(shows: Shows) -> Vec<u8> {
    let read = if shows == Serial { "1 1" } else { "0" };
    format!("4\n0 0 R 1 0\n0 0 A 1 1\n1 0 R 1 {read}\n1 0 A 1 2\n").into_bytes()
}

/// Cobra's logs, one a session.
fn cobra(folder: &Path, shows: Shows) {
    let record = |letter: u8, numbers: &[i64]| {
        let mut out = vec![letter];
        numbers.iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
        out
    };
    let read = |write: i64| record(b'R', &[0, write, 1, 0]);
    let initial = 0xbebe_ebee;
    let second = if shows == Serial { 11 } else { initial };
    for (name, txn, read, write) in [("T1.log", 1, read(initial), 11), ("T2.log", 2, read(second), 12)] {
        let log = [record(b'S', &[txn]), read, record(b'W', &[write, 1, 0]), record(b'C', &[txn])].concat();
        std::fs::write(folder.join(name), log).expect("a log");
    }
}

/// Judges by text and as JSON: the exit is the same, and the kinds are those of the JSON.
fn judged(folder: &Path, arguments: &[&str], exit: i32) -> Vec<String> {
    let output = schism(folder, arguments);
    assert_eq!(code(&output), exit, "{arguments:?}: {}", said(&output));
    let json = schism(folder, &[arguments, &["--json"]].concat());
    assert_eq!(code(&json), exit, "{arguments:?} --json");
    let verdict: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let checkers = verdict["checkers"].as_object().expect("checkers");
    let found = checkers.values().next().expect("a checker");
    let valid = match exit {
        0 => serde_json::json!(true),
        1 => serde_json::json!(false),
        _ => serde_json::json!("unknown"),
    };
    assert_eq!(verdict["valid"], valid, "{arguments:?}");
    let kinds: Vec<String> = serde_json::from_value(found["anomaly_types"].clone()).expect("kinds");
    let words = said(&output);
    let word = ["VALID", "INVALID", "UNKNOWN"][exit.clamp(0, 2) as usize];
    assert!(words.starts_with(word), "{arguments:?}: {words}");
    assert!(kinds.iter().all(|kind| words.contains(kind)), "{arguments:?}: {words}");
    kinds
}

#[test]
fn every_format_is_judged_at_every_level() {
    let folder = tempfile::tempdir().expect("a folder");
    for format in FORMATS {
        let checker = if format.lists { "list-append" } else { "rw-register" };
        for shows in [Serial, LostUpdate] {
            std::fs::write(folder.path().join(format.file), (format.bytes)(shows)).expect("a file");
            // Told by the file, and by the option.
            for options in [&[][..], &["--format", format.name]] {
                let exit = |level: &str, expected: i32| {
                    let arguments = ["check", format.file, "--checker", checker, "--consistency", level];
                    judged(folder.path(), &[&arguments[..], options].concat(), expected)
                };
                let broken = i32::from(shows == LostUpdate);
                assert_eq!(exit("axiomatic-causal", 0), [""; 0]);
                assert_eq!(exit("read-committed", 0), [""; 0]);
                let kinds = exit("snapshot-isolation", broken);
                assert_eq!(kinds.contains(&"lost-update".to_owned()), shows == LostUpdate, "{kinds:?}");
                exit("strong-session-serializable", broken);
                // Real time that nobody wrote down cannot be kept, but whatever breaks more breaks it.
                let strict = if shows == Serial && !format.realtime { 2 } else { broken };
                exit("strict-serializable", strict);
            }
        }
    }
}

#[test]
fn logs_of_cobra_are_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    for (shows, broken) in [(Serial, 0), (LostUpdate, 1)] {
        cobra(folder.path(), shows);
        let arguments = ["check", ".", "--format", "cobra", "--checker", "rw-register", "--consistency"];
        judged(folder.path(), &[&arguments[..], &["serializable"]].concat(), broken);
        judged(folder.path(), &[&arguments[..], &["axiomatic-causal"]].concat(), 0);
    }
}

#[test]
fn without_a_level_it_is_strict_serializability() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("h.jsonl");
    // Stale, but one after the other in another order.
    let stale = json(Serial, false);
    let text = String::from_utf8(stale).expect("text");
    let read_only = text
        .replace("[\"r\",1,1],[\"w\",1,2]", "[\"r\",1,null]")
        .replace("[\"r\",1,null],[\"w\",1,2]", "[\"r\",1,null]");
    let lines: Vec<&str> = read_only.lines().collect();
    std::fs::write(path, [lines[0], lines[2], lines[1], lines[3], ""].join("\n")).expect("a file");
    let arguments = ["check", "h.jsonl", "--checker", "rw-register"];
    let kinds = judged(folder.path(), &arguments, 1);
    assert!(kinds.contains(&"G-single-item-realtime".to_owned()), "{kinds:?}");
    judged(folder.path(), &[&arguments[..], &["--consistency", "strong-session-serializable"]].concat(), 0);
}

/// The level's names and aliases, in any case of letters.
#[test]
fn levels_have_many_names() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("h.jsonl"), json(LostUpdate, true)).expect("a file");
    for (level, exit) in [
        ("PL-SI", 1),
        ("si", 1),
        ("Snapshot Isolation", 1),
        ("SNAPSHOT_ISOLATION", 1),
        ("psi", 1),
        ("cursor-stability", 1),
        ("PL-2", 0),
        ("causal+", 0),
        ("ryw", 0),
        ("1SR", 1),
    ] {
        judged(folder.path(), &["check", "h.jsonl", "--checker", "list-append", "--consistency", level], exit);
    }
}

/// Two writes whose versions the client reported the other way round.
const REPORTED: &str = r#"{"process":0,"type":"invoke","f":"txn","value":[["w","x",1]]}
{"process":0,"type":"ok","f":"txn","value":[["w","x",1]],"revision":[["x",1,2]]}
{"process":1,"type":"invoke","f":"txn","value":[["w","x",2]]}
{"process":1,"type":"ok","f":"txn","value":[["w","x",2]],"revision":[["x",2,1]]}
"#;

#[test]
fn an_order_of_versions_is_used_where_it_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("h.jsonl"), REPORTED).expect("a file");
    std::fs::write(folder.path().join("twice.jsonl"), REPORTED.replace("\"x\",2,1", "\"x\",2,2")).expect("a file");
    let check = |file: &str, order: &[&str], exit: i32| {
        let arguments = ["check", file, "--checker", "rw-register"];
        let kinds = judged(folder.path(), &[&arguments[..], order].concat(), exit);
        (kinds, said(&schism(folder.path(), &[&arguments[..], order].concat())))
    };
    check("h.jsonl", &[], 0);
    check("h.jsonl", &["--version-order", "writes-follow-reads,sequential-keys"], 0);
    let (kinds, _) = check("h.jsonl", &["--version-order", "explicit:revision"], 1);
    assert_eq!(kinds, ["G0-realtime"]);
    let arguments = ["check", "h.jsonl", "--checker", "rw-register", "--version-order", "explicit:revision", "--json"];
    let json = said(&schism(folder.path(), &arguments));
    assert!(json.contains("the versions that the client reported"), "{json}");
    // A name that is not there, and versions that make no sense, are no proof of anything.
    let (_, words) = check("h.jsonl", &["--version-order", "explicit:revison"], 2);
    assert!(words.contains("the field revison") && words.contains("there is revision"), "{words}");
    let (_, words) = check("twice.jsonl", &["--version-order", "explicit:revision"], 2);
    assert!(words.contains("two values have the version 2 of key x"), "{words}");
}

#[test]
fn what_cannot_be_said_is_told_with_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).expect("a file");
    write("lists.jsonl", &json(Serial, true));
    write("registers.jsonl", &json(Serial, false));
    let mixed = String::from_utf8(json(Serial, false)).expect("text").replace("[\"w\",1,2]", "[\"append\",1,2]");
    write("mixed.jsonl", mixed.as_bytes());
    write("plume.txt", &plume(Serial));
    let plain = r#"{"process":0,"type":"invoke","f":"write","value":1}"#;
    write("plain.jsonl", format!("{plain}\n{}\n", plain.replace("invoke", "ok")).as_bytes());
    let failed = String::from_utf8(json(Serial, false)).expect("text").replace("\"ok\"", "\"fail\"");
    write("failed.jsonl", failed.as_bytes());
    for (file, checker, options, exit, parts) in [
        (
            "lists.jsonl",
            "rw-register",
            &[][..],
            2,
            &["append to key 1", "registers are read (`r`) and written (`w`)"][..],
        ),
        ("registers.jsonl", "list-append", &[], 2, &["key 1 is written by w, as a register is", "a list is needed"]),
        ("mixed.jsonl", "rw-register", &[], 2, &["append to key 1"]),
        ("mixed.jsonl", "list-append", &[], 2, &["key 1 is written by w"]),
        ("plain.jsonl", "rw-register", &[], 2, &["write is no transaction", "[function, key, value]"]),
        (
            "plume.txt",
            "rw-register",
            &["--consistency", "strict-serializable"],
            2,
            &["does not say when anything happened", "strong-session-serializable"],
        ),
        (
            "registers.jsonl",
            "rw-register",
            &["--consistency", "serializable", "--max-steps", "0"],
            2,
            &["went past its budget", "--max-steps"],
        ),
        ("failed.jsonl", "rw-register", &[], 4, &["None of 2 operations succeeded", "nothing was tested"]),
    ] {
        let arguments = ["check", file, "--checker", checker];
        let output = schism(folder.path(), &[&arguments[..], options].concat());
        let words = said(&output);
        assert_eq!(code(&output), exit, "{file} {checker} {options:?}: {words}");
        for part in parts {
            assert!(words.contains(part), "{file} {checker} {options:?} should say {part}: {words}");
        }
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).expect("a file");
    write("h.jsonl", &json(Serial, true));
    write("h.edn", &edn(Serial, true));
    write("plume.txt", &plume(Serial));
    write("cut.txt", &plume(Serial)[..20]);
    write("zero.txt", b"w(1,0,0,0)\nw(1,1,0,0)");
    write("cut.json", &dbcop(Serial)[..200]);
    write("cut.bincode", &bincode(Serial)[..100]);
    write("cut.hist", b"[x:=1] [y:=2");
    write("cut-veristrong.txt", b"3\n0 0 A 1 1\n");
    std::fs::create_dir(folder.path().join("empty")).expect("a folder");
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["h.jsonl", "--format", "plume"], 65, &["h.jsonl: line 1 (byte 0 of the file)", "expected an operation"]),
        (&["h.edn", "--format", "jsonl"], 65, &["h.edn: line 1, column 2 (byte 1 of the file)", "expected a string"]),
        (&["h.jsonl", "--format", "edn"], 65, &["h.jsonl: line 1"]),
        (&["plume.txt", "--format", "awdit"], 65, &["plume.txt: line 1 (byte 0 of the file): found `r(1,0,0,0)`"]),
        (&["plume.txt", "--format", "hist"], 65, &["plume.txt: line 1", "expected a transaction, `[x:=1 y==2]`"]),
        (&["plume.txt", "--format", "veristrong"], 65, &["plume.txt: line 1", "how many operations there are"]),
        (&["plume.txt", "--format", "dbcop"], 65, &["plume.txt: line 1", "a JSON object with the sessions in `data`"]),
        (&["plume.txt", "--format", "cobra"], 64, &["not a folder", "give the folder they are in"]),
        (&["empty", "--format", "cobra"], 64, &["no file in it ends in .log"]),
        (&["cut.txt"], 65, &["cut.txt: line 2 (byte 11 of the file): the file ends where", "get the whole file"]),
        (&["cut.json"], 65, &["cut.json: line 1", "the file ends where", "get the whole file"]),
        (&["cut.bincode"], 65, &["cut.bincode: byte 100 of the file: the file ends where"]),
        (&["cut.hist"], 65, &["cut.hist: line 1", "the file ends where"]),
        (&["cut-veristrong.txt"], 65, &["2 more of the operations that the first line counts"]),
        (
            &["zero.txt"],
            65,
            &["zero.txt: line 1 (byte 4 of the file)", "a value that is not 0", "number the values from 1"],
        ),
        (&["-", "--format", "cobra"], 64, &["standard input cannot be Cobra's logs", "give the folder they are in"]),
        (&["h.jsonl", "--keyed", "yes"], 64, &["h.jsonl: --keyed is for Jepsen's EDN", "--format edn"]),
        (&["plume.txt", "--keyed", "no"], 64, &["plume.txt: --keyed is for Jepsen's EDN"]),
        (&["empty", "--format", "cobra", "--keyed", "yes"], 64, &["empty: --keyed is for Jepsen's EDN"]),
        (&["plume.txt", "--failed-cas", "observed"], 64, &["plume.txt: --failed-cas", "no compare-and-set"]),
        (&["empty", "--format", "cobra", "--failed-cas", "observed"], 64, &["empty: --failed-cas"]),
        (&["-", "--format", "hist", "--failed-cas", "observed"], 64, &["standard input: --failed-cas"]),
        (&["h.jsonl", "--format", "json"], 64, &["invalid value 'json'", "jsonl"]),
        (
            &["h.jsonl", "--consistency", "serialisable"],
            64,
            &["no consistency model is called serialisable", "Did you mean `serializable`?"],
        ),
        (&["h.jsonl", "--consistency", ""], 64, &["no consistency model is called"]),
        (&["h.jsonl", "--version-order", "sequential-keys"], 64, &["takes no order of versions; rw-register do"]),
        (&["h.jsonl", "--model", "register"], 64, &["cannot judge the model register; it knows no model"]),
        (&["h.jsonl", "--witness", "order.jsonl"], 64, &["--witness", "linearizable"]),
        (&["nowhere.txt"], 64, &["there is no such file"]),
    ];
    for (arguments, exit, parts) in cases {
        let output = schism(folder.path(), &[&["check"], *arguments, &["--checker", "list-append"]].concat());
        let words = said(&output);
        assert_eq!(code(&output), *exit, "{arguments:?}: {words}");
        assert!(output.stdout.is_empty(), "{arguments:?}: the result alone goes to standard output: {words}");
        for part in *parts {
            assert!(words.contains(part), "{arguments:?} should say {part}: {words}");
        }
    }
}

/// Files as AWDIT and PolySI write them, with the initial state as a transaction.
#[test]
fn initial_states_of_other_checkers_are_understood() {
    let folder = tempfile::tempdir().expect("a folder");
    for (shows, exit) in [(Serial, 0), (LostUpdate, 1)] {
        let awdit = [plume(shows).as_slice(), b"w(1,0,2,2)\n"].concat();
        std::fs::write(folder.path().join("awdit.txt"), awdit).expect("a file");
        let mut polysi = bincode(shows);
        // Three sessions, of which the first has one transaction of one event.
        let (sessions_at, one) = (8 * 8, 1_u64.to_le_bytes());
        let initial = [&3_u64.to_le_bytes()[..], &one, &one, &[1], &one, &[0; 8], &[1, 1]].concat();
        polysi.splice(sessions_at..sessions_at + 8, initial);
        std::fs::write(folder.path().join("polysi.bincode"), polysi).expect("a file");
        for file in ["awdit.txt", "polysi.bincode"] {
            let arguments = ["check", file, "--checker", "rw-register", "--consistency", "serializable"];
            judged(folder.path(), &arguments, exit);
        }
    }
}

#[test]
fn sessions_come_by_standard_input_too() {
    let folder = tempfile::tempdir().expect("a folder");
    for format in FORMATS {
        let checker = if format.lists { "list-append" } else { "rw-register" };
        let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
        command.args(["check", "-", "--format", format.name, "--checker", checker, "--consistency", "SI"]);
        command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("schism starts");
        child.stdin.take().expect("a pipe").write_all(&(format.bytes)(LostUpdate)).expect("it reads");
        let output = child.wait_with_output().expect("schism ends");
        assert_eq!(code(&output), 1, "{}: {}", format.file, said(&output));
    }
}

/// The verdict is the same, byte by byte, for any number of threads.
#[test]
fn threads_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    for (file, lists) in [("h.jsonl", false), ("lists.jsonl", true)] {
        std::fs::write(folder.path().join(file), json(LostUpdate, lists)).expect("a file");
        let checker = if lists { "list-append" } else { "rw-register" };
        let verdict = |jobs: &str| {
            let arguments = ["check", file, "--checker", checker, "--json", "--jobs", jobs];
            String::from_utf8(schism(folder.path(), &arguments).stdout).expect("text")
        };
        let one = verdict("1");
        assert!(one.contains("lost-update"), "{one}");
        assert_eq!(verdict("2"), one);
        assert_eq!(verdict("7"), one);
    }
}
