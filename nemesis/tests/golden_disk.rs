//! The exact commands of each disk fault, against nodes that only remember what they were told, and a ground that does.
//! `SCHISM_BLESS=1` writes the golden files anew.

mod support;

use std::sync::Arc;

use schism_cluster::Ability;
use schism_cluster::script::{ended, said};
use schism_nemesis::{Answer, FaultSpec, check_needs};
use serde_json::{Value as Json, json};
use support::bench::Bench;
use support::golden::{StandIn, compare};

/// How the search for a device of the device mapper ends.
const NO_DEVICE: &str = "find_device && may && try";

const AGENT: &str = "/run/schism/agent/schism";

fn bench(with_ground: bool, rebuilds: bool) -> Bench {
    bench_on(with_ground, rebuilds, false)
}

/// `device`: whether the data lies on a device of the device mapper.
fn bench_on(with_ground: bool, rebuilds: bool, device: bool) -> Bench {
    let abilities: &[Ability] = if with_ground { &[Ability::DataDisk] } else { &[] };
    let bench = Bench::new(&["n1", "n2", "n3"], abilities, StandIn { rebuilds, ..StandIn::of(1) });
    let runs = Arc::clone(&bench.db);
    bench.log.with(move |_, command| {
        let text = format!("{}{}", command.script, String::from_utf8_lossy(&command.stdin));
        // A lease holds the undo, but does not do it.
        let armed = command.script.contains("setsid sh -c");
        let mut down = runs.down();
        *down = (*down || command.script.starts_with("failed=0")) && (armed || !text.contains("start-scripted"));
        None
    });
    bench.log.on("agent hello", said(AGENT));
    if !device {
        bench.log.on(NO_DEVICE, said("/var/lib/schism/data/db lies on no device of the device mapper (7:3)\n"));
    }
    bench
}

async fn inject(bench: &Bench, class: &str, options: Json) -> Answer {
    let spec: FaultSpec = serde_json::from_value(json!({ class: options })).expect("the set-up of a test");
    let mut value = spec.draw(&mut schism_history::Seed(1).stream("t")).expect("the set-up of a test");
    value.insert("draw".to_owned(), json!(9));
    value.insert("duration_ms".to_owned(), json!(8000));
    bench.inject(class, Json::Object(value)).await
}

/// Everything the nodes and the ground were told; probes are named only, and a search for a device where there is none.
fn all_told(bench: &Bench, device: bool) -> String {
    const NAMED: &[(&str, &str)] = &[
        // How leases are kept and undos run is not of these faults.
        ("/var/lib/schism/leases", "(lease or undo)"),
        ("O_DIRECT", "(probe past the page cache)"),
        (NO_DEVICE, "(search for a device of the device mapper)"),
        ("agent hello", "(search for the agent)"),
        ("db/.schism-probe-", "(probe of the disk)"),
        ("my ($folder, $name) = @ARGV", "(marks on the disk)"),
    ];
    bench.told(|command| {
        let script = &command.script;
        let named = |(part, _): &&(&str, &str)| script.contains(part) && (*part != NO_DEVICE || !device);
        NAMED.iter().find(named).map_or_else(|| script.clone(), |(_, name)| (*name).to_owned())
    })
}

fn golden(name: &str, found: &str) {
    compare(&format!("disk/{name}.txt"), found);
}

const WELL: &str = "free 5000000 0\nopen 0 100\nwrite 0 100\nfsync 0 100\nread 0 100\nunlink 0 100\n";

fn probe(what: &str, error: i32, micros: u64) -> String {
    WELL.replace(&format!("{what} 0 100"), &format!("{what} {error} {micros}"))
}

/// An answer of our file system.
fn status(torn: bool, failed: u64) -> String {
    let count = json!({"ops": 9, "delayed": 0, "failed": failed});
    let torn = torn.then(|| json!({"path": "wal/0.wal", "offset": 0, "asked_bytes": 1000, "kept_bytes": 512}));
    let status = json!({
        "rules": ["k3f9-3"], "dead": torn.is_some(), "counts": {"write": count}, "torn": torn,
        "unsynced": {"files": 1, "bytes": 5}, "forced_syncs": 0,
    });
    json!({"status": status, "lost": {"files": 1, "bytes": 5}}).to_string()
}

fn done(changes: Json) -> String {
    json!({
        "path": "/d/wal/0.wal", "of_files": 2, "size_before_bytes": 900, "size_after_bytes": 900,
        "data_before_bytes": 900, "sha256_before": "aa", "sha256_after": "bb", "changes": changes,
    })
    .to_string()
}

/// A class, its options, and what the nodes answer: each text is answered once to a command that contains the other, in
/// order.
struct Row {
    name: &'static str,
    class: &'static str,
    options: Json,
    answers: Vec<(&'static str, String)>,
    ground: bool,
    rebuilds: bool,
    device: bool,
}

fn rows() -> Vec<Row> {
    let row = |name: &'static str, class, options, answers| {
        let device = name.ends_with("-device");
        Row { name, class, options, answers, ground: false, rebuilds: true, device }
    };
    let probes = |now: String| {
        vec![("db/.schism-probe-", WELL.to_owned()), ("db/.schism-probe-", now), ("db/.schism-probe-", WELL.to_owned())]
    };
    let free = ("%f %S' /var/lib/schism/data/db)\necho", "9000000".to_owned());
    let flip = json!([{"offset": 7, "old_byte": 1, "new_byte": 3}]);
    let with = |mut first: Vec<(&'static str, String)>, more: Vec<(&'static str, String)>| {
        first.extend(more);
        first
    };
    vec![
        row("full", "disk-full", json!({}), with(probes(probe("write", 28, 5)), vec![free.clone()])),
        row(
            "full-faultfs",
            "disk-full",
            json!({"most": "1MiB"}),
            with(probes(probe("write", 28, 5)), vec![free, (" status\n", status(false, 1))]),
        ),
        row(
            "readonly-faultfs",
            "disk-readonly",
            json!({}),
            with(probes(probe("open", 30, 5)), vec![(" status\n", status(false, 1))]),
        ),
        row(
            "readonly-mount",
            "disk-readonly",
            json!({}),
            with(probes(probe("open", 30, 5)), vec![("<>/dev/fuse", "/dev/fuse cannot be opened\n".to_owned())]),
        ),
        row(
            "slow",
            "disk-slow",
            json!({"latency": "50ms", "operations": "fsync", "files": "wal/*"}),
            with(probes(probe("fsync", 0, 50_100)), vec![(" status\n", status(false, 0))]),
        ),
        row(
            "errors",
            "disk-errors",
            json!({"share": "1%", "operations": "read"}),
            with(probes(WELL.to_owned()), vec![(" status\n", status(false, 2))]),
        ),
        row(
            "slow-device",
            "disk-slow",
            json!({"latency": "50ms", "operations": "write"}),
            probes(probe("write", 0, 50_100)),
        ),
        row("errors-device", "disk-errors", json!({"share": "100%"}), probes(probe("write", 5, 100))),
        row(
            "errors-of-time-device",
            "disk-errors",
            json!({"share": "10%", "operations": "write", "way": "device-mapper"}),
            vec![
                ("db/.schism-probe-", WELL.to_owned()),
                ("db/.schism-probe-", WELL.to_owned()),
                ("db/.schism-probe-", probe("open", 30, 100)),
                ("db/.schism-probe-", WELL.to_owned()),
            ],
        ),
        row(
            "lost-writes-device",
            "lost-writes",
            json!({}),
            vec![("db/.schism-probe-", probe("fsync", 5, 100)), ("cat \"/run/schism/marks", "8192\nnone\n".to_owned())],
        ),
        row(
            "lost-writes-faultfs",
            "lost-writes",
            json!({}),
            vec![
                (" crash\n", status(false, 0)),
                (" revive\n", status(false, 0)),
                ("cat \"/run/schism/marks", "8192\n0\n".to_owned()),
            ],
        ),
        Row {
            ground: true,
            ..row(
                "lost-writes-ground",
                "lost-writes",
                json!({}),
                vec![
                    ("db/.schism-probe-", "free 0 0\nopen 5 100\n".to_owned()),
                    ("cat \"/run/schism/marks", "8192\nnone\n".to_owned()),
                ],
            )
        },
        row(
            "torn-write-faultfs",
            "torn-write",
            json!({"window": "1s"}),
            [" status\n", " crash\n", " revive\n"].map(|order| (order, status(true, 0))).to_vec(),
        ),
        row(
            "torn-write-file",
            "torn-write",
            json!({"how": "file"}),
            vec![("agent files", done(flip.clone())), ("od -An", "bb\n900\n3\n".to_owned())],
        ),
        row(
            "bit-flip",
            "bit-flip",
            json!({}),
            vec![("agent files", done(flip.clone())), ("od -An", "bb\n900\n 3\n".to_owned())],
        ),
        Row {
            rebuilds: false,
            ..row(
                "bit-flip-live",
                "bit-flip",
                json!({"live": true, "files": "db", "bits": 2}),
                vec![("agent files", done(flip.clone())), ("od -An", "cc\n900\n 3\n".to_owned())],
            )
        },
        row(
            "truncate",
            "truncate",
            json!({"bytes": "4KiB", "rebuild": false}),
            vec![
                ("agent files", done(json!([{"offset": 900, "old_byte": 1, "new_byte": 0}]))),
                ("wc -c", "bb\n900\n".to_owned()),
            ],
        ),
        row(
            "restore-old-copy",
            "restore-old-copy",
            json!({"age": "2s"}),
            vec![("find \"$kept\"", "5\n".to_owned()), ("differing", "3\n0\n".to_owned())],
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_fault_says_exactly_this_to_its_nodes() {
    for row in rows() {
        let bench = bench_on(row.ground, row.rebuilds, row.device);
        for (contains, answer) in &row.answers {
            bench.log.once(contains, said(answer));
        }
        let mut options = json!({"targets": [["n2"]]});
        options.as_object_mut().unwrap().extend(row.options.as_object().unwrap().clone());
        let answer = inject(&bench, row.class, options).await;
        assert_eq!(answer.error, None, "{}", row.name);
        let told = answer.value.to_json();
        assert_eq!(told["evidence"]["proven"], true, "{}: {told:#}", row.name);
        let text = std::fs::read_to_string(bench.ledger()).unwrap();
        let irreversible = !row.rebuilds || row.options["rebuild"] == false;
        assert_eq!(text.contains("irreversible"), irreversible, "{}: {text}", row.name);
        let healed = bench.heal(row.class).await;
        assert_eq!(healed.error, None, "{}", row.name);
        golden(row.name, &all_told(&bench, row.device));
    }
}

/// What a probe does not show is not proven, whatever the commands said.
#[tokio::test(start_paused = true)]
async fn success_of_commands_proves_nothing() {
    for row in rows() {
        let bench = bench_on(row.ground, row.rebuilds, row.device);
        // The file system answers, and the agent says that it changed something; everything else is as if nothing was.
        bench.log.on("db/.schism-probe-", said(WELL));
        bench.log.on("%f %S' /var/lib/schism/data/db)\necho", said(if row.name == "full" { "9000000" } else { "x" }));
        bench.log.on("<>/dev/fuse", said(if row.name == "readonly-mount" { "no" } else { "" }));
        bench.log.on("faultfs-ctl", said(&status(false, 0)));
        bench.log.on("agent files", said(&done(json!([{"offset": 7, "old_byte": 1, "new_byte": 3}]))));
        bench.log.on("od -An", said("aa\n900\n1\n"));
        bench.log.on("cat \"/run/schism/marks", said("8192\n8192\n"));
        bench.log.on("differing", said("0\n0\n"));
        let mut options = json!({"targets": [["n2"]]});
        options.as_object_mut().unwrap().extend(row.options.as_object().unwrap().clone());
        let answer = inject(&bench, row.class, options).await;
        let told = answer.value.to_json();
        assert_eq!((answer.error, &told["evidence"]["proven"]), (None, &json!(false)), "{}: {told:#}", row.name);
    }
}

/// A rule that is still there, or a file system without one, is not healed.
#[tokio::test(start_paused = true)]
async fn what_is_left_is_not_healed() {
    let bench = bench(false, false);
    bench.log.once("db/.schism-probe-", said(WELL));
    bench.log.once("db/.schism-probe-", said(&probe("fsync", 0, 90_000)));
    bench.log.on("db/.schism-probe-", said(WELL)).on("faultfs-ctl", said(&status(false, 0)));
    bench.log.on("echo 'the rule is there'", said("the rule is there\n"));
    let options = json!({"targets": [["n2"]], "latency": "50ms", "operations": "fsync"});
    assert_eq!(inject(&bench, "disk-slow", options).await.error, None);
    let error = bench.heal("disk-slow").await.error.unwrap().to_string();
    assert!(error.contains("not seen to be gone") && error.contains("the rule is there"), "{error}");
}

/// A table that was not put back, or is not linear, is not healed.
#[tokio::test(start_paused = true)]
async fn a_table_that_is_left_is_not_healed() {
    let bench = bench_on(false, false, true);
    bench.log.once("db/.schism-probe-", said(WELL));
    bench.log.once("db/.schism-probe-", said(&probe("fsync", 0, 90_000)));
    bench.log.on("db/.schism-probe-", said(WELL)).on("is not put back", said("the table of 253:0 is not put back\n"));
    let options = json!({"targets": [["n2"]], "latency": "50ms", "operations": "fsync"});
    assert_eq!(inject(&bench, "disk-slow", options).await.error, None);
    let error = bench.heal("disk-slow").await.error.unwrap().to_string();
    assert!(error.contains("not seen to be gone") && error.contains("is not put back"), "{error}");
}

/// Which way is taken, and what is told of the other.
#[tokio::test(start_paused = true)]
async fn the_way_is_taken_that_is_asked_for_and_possible() {
    let no_device = "lies on no device of the device mapper";
    for (class, options, device, expected) in [
        ("disk-slow", json!({}), true, Ok(("the device mapper", ""))),
        ("disk-slow", json!({}), false, Ok(("faultfs", no_device))),
        ("disk-slow", json!({"way": "fuse"}), true, Ok(("faultfs", "not asked for"))),
        ("disk-slow", json!({"files": "*.wal"}), true, Ok(("faultfs", "knows no files"))),
        ("disk-slow", json!({"way": "device-mapper"}), false, Err(no_device)),
        ("disk-slow", json!({"way": "device-mapper", "files": "*.wal"}), true, Err("knows no files")),
        ("disk-errors", json!({"share": "1%"}), true, Ok(("faultfs", "a share of time"))),
        ("disk-errors", json!({"share": "1%", "way": "device-mapper"}), true, Err("whole seconds")),
        ("lost-writes", json!({"way": "device-mapper"}), false, Err(no_device)),
        ("lost-writes", json!({"way": "image"}), true, Err("not lie on a disk of the ground")),
    ] {
        let bench = bench_on(false, false, device);
        bench.log.on("db/.schism-probe-", said(WELL)).on("faultfs-ctl", said(&status(false, 0)));
        let mut all = json!({"targets": [["n2"]]});
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let answer = inject(&bench, class, all).await;
        let told = answer.value.to_json();
        match (expected, answer.error) {
            (Ok((by, not_by)), None) => {
                assert_eq!(told["by"], by, "{class} {options}: {told:#}");
                let reason = told["not_by_device_mapper"].as_str().unwrap_or_default();
                assert!(
                    reason.contains(not_by) && not_by.is_empty() == reason.is_empty(),
                    "{class} {options}: {reason}"
                );
            }
            (Err(part), Some(error)) => {
                assert!(error.to_json().to_string().contains(part), "{class} {options}: {error}");
                let told = all_told(&bench, device);
                assert!(!told.contains("kill -s KILL") && !told.contains("alone\n"), "{told}");
            }
            (expected, error) => panic!("{class} {options}: {expected:?}, but {error:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_harmed_where_the_agent_or_fuse_is_missing() {
    let targets = json!({"targets": [["n2"]]});
    for class in ["disk-slow", "disk-errors", "lost-writes"] {
        let bench = bench(false, false);
        bench.log.on("<>/dev/fuse", said("/dev/fuse cannot be opened\n"));
        let error = inject(&bench, class, targets.clone()).await.error.unwrap().to_json();
        assert_eq!(error[0], "refused", "{class}");
        assert!(error[1].as_str().unwrap().contains("/dev/fuse cannot be opened"), "{error}");
        let told = all_told(&bench, false);
        assert!(!told.contains("kill -s KILL") && !told.contains("setsid"), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_does_not_start_on_harmed_data_is_told() {
    let bench = bench(false, true);
    bench.log.once("agent files", said(&done(json!([{"offset": 7, "old_byte": 1, "new_byte": 3}]))));
    bench.log.once("od -An", said("bb\n900\n3\n"));
    bench.log.once("start-scripted --name", ended(1, "checksum mismatch"));
    let told = inject(&bench, "bit-flip", json!({"targets": [["n2"]]})).await;
    assert_eq!(told.error, None);
    let measured = &told.value.to_json()["evidence"]["measured"];
    assert_eq!(measured["database"][0]["started"], false);
    assert!(measured["database"][0]["stderr"].as_str().unwrap().contains("checksum mismatch"), "{measured}");
}

#[tokio::test(start_paused = true)]
async fn needs_are_asked_before_the_run() {
    let specs = |text: &str| vec![serde_json::from_value::<FaultSpec>(json!(text)).unwrap()];
    let db = |rebuilds| StandIn { rebuilds, ..StandIn::of(1) };
    for (class, ground, fuse, device, unmet) in [
        ("disk-slow", false, false, false, Some("/dev/fuse cannot be opened")),
        ("disk-slow", false, true, false, None),
        ("disk-slow", false, false, true, None),
        ("disk-errors", false, false, true, Some("/dev/fuse cannot be opened")),
        ("disk-readonly", false, false, false, None),
        ("lost-writes", false, false, false, Some("the script of the test says so")),
        ("lost-writes", false, false, false, Some("lies on no device of the device mapper")),
        ("lost-writes", true, false, false, None),
        ("lost-writes", false, true, false, None),
        ("lost-writes", false, false, true, None),
        ("bit-flip", false, false, false, None),
    ] {
        let bench = bench_on(ground, false, device);
        if !fuse {
            bench.log.on("<>/dev/fuse", said("/dev/fuse cannot be opened\n"));
        }
        let found = check_needs(&specs(class), &bench.cluster, &db(false)).await;
        let text = found.err().map(|unmet| unmet.iter().map(ToString::to_string).collect::<String>());
        assert_eq!(text.is_some(), unmet.is_some(), "{class}: {text:?}");
        assert!(text.unwrap_or_default().contains(unmet.unwrap_or_default()), "{class}");
    }
}
