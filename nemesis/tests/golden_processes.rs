//! The exact commands of the faults of processes, nodes, resources and membership, against nodes and a ground that only
//! remember what they were told; and what they refuse. `SCHISM_BLESS=1` writes the golden files anew.

// Clippy allows these in tests, but does not know the helpers of an integration test for one.
#![allow(clippy::unwrap_used)]

mod support;

use schism_cluster::Ability;
use schism_cluster::script::{ended, said};
use schism_nemesis::{Evidence, FaultSpec, Leases, check_needs};
use serde_json::{Value as Json, json};
use support::bench::{Bench, told_undo};
use support::golden::{StandIn, compare};

fn bench(names: &[&str], abilities: &[Ability]) -> Bench {
    let bench = Bench::new(names, abilities, StandIn::of(2));
    // Every program is there, and every agent runs.
    bench.log.on("agent hello", said("/run/schism/agent/schism\n"));
    bench
}

/// The whole way of a fault: what it told nodes and ground, its undo, and the evidence of the injection.
async fn whole(bench: &Bench, class: &str, intention: Json) -> (String, Evidence) {
    let (fault, undo) = bench.prepared(class, intention).await.unwrap();
    fault.inject(&bench.cluster, &*bench.db).await.unwrap();
    let evidence = fault.verify_injected(&bench.cluster, &*bench.db).await.unwrap();
    let undo: String = undo.iter().map(|one| plain(&told_undo(one))).collect();
    (format!("{}{undo}", all_told(bench)), evidence)
}

/// Everything told to nodes and ground. What is told many times over stands once; what is the same in all scripts, or
/// another in every build, is named only.
fn all_told(bench: &Bench) -> String {
    let text = bench.told(|command| match command.script.contains("agent hello") {
        true => "(looks for the agent)".to_owned(),
        false => plain(&command.script),
    });
    let mut parts: Vec<&str> = text.split("=== ").collect();
    parts.dedup();
    parts.join("=== ")
}

fn plain(script: &str) -> String {
    script.replace(schism_cluster::shell::PROCESS_FUNCTIONS, "(functions: stat_of, alive, tree)\n")
}

fn golden(name: &str, found: &str) {
    compare(&format!("processes/{name}"), found);
}

/// One node, the database's two processes seen as gone or stopped or running by the answers that a case gives.
#[tokio::test(start_paused = true)]
async fn commands_of_every_class() {
    type Answers = &'static [(&'static str, &'static str)];
    const BOOT: (&str, &str) = ("boot_id", "abc 100 5.5\n");
    let cases: &[(&str, Json, &[Ability], Answers, bool)] = &[
        // The scripted database goes on running: what is told is what matters here.
        ("terminate", json!({ "target": ["n1"], "grace_ms": 400 }), &[], &[], false),
        ("restart", json!({ "target": ["n1"], "signal": "kill" }), &[], &[], false),
        ("crash-loop", json!({ "target": ["n1"], "every_ms": 1500 }), &[], &[("kills=0", "2 running")], true),
        ("reboot", json!({ "target": ["n1"] }), &[Ability::Power], &[BOOT], false),
        ("freeze", json!({ "target": ["n1"] }), &[Ability::Freeze], &[BOOT], false),
        ("power-cut", json!({ "target": ["n1", "n2"] }), &[Ability::Power], &[BOOT], false),
        (
            "cpu-hog",
            json!({ "target": ["n1"], "percent": 50, "nice": 5 }),
            &[],
            &[
                (
                    "echo \"uptime",
                    "uptime 1.00\nmachine 100 50\nprocess 9 900 0\nuptime 2.00\nmachine 300 150\nprocess 9 900 60\n",
                ),
                ("setsid", "9 900\n"),
                (".pid 2>/dev/null; :", "9 900\n"),
                ("grep -c ^processor", "2\n"),
            ],
            true,
        ),
        (
            "memory-pressure",
            json!({ "target": ["n1"], "percent": 25, "leave_bytes": 1024 }),
            &[],
            &[("MemAvailable", "available 100\nrss 100\noom_score_adj 1000\ntook 100000\n"), ("setsid", "9 900\n")],
            true,
        ),
        (
            "cpu-throttle",
            json!({ "target": ["n1"], "percent": 20 }),
            &[],
            &[("no writable control group", "none"), ("samples=0", "100 85")],
            true,
        ),
        (
            "descriptors",
            json!({ "target": ["n1"], "spare": 4 }),
            &[],
            &[("low=$((low + 1))", "41 700 20000 20000 12 16\n42 701 1024 4096 3 7\n")],
            false,
        ),
        (
            "oom-kill",
            json!({ "target": ["n1"] }),
            &[],
            &[("/proc/41/cgroup", "1 /sys/fs/cgroup/memory /a.slice\n"), ("oom_kill)", "members 0\noom_kill 1\n")],
            true,
        ),
        ("membership", json!({ "target": ["n2"] }), &[], &[], false),
    ];
    for (class, intention, abilities, answers, proven) in cases {
        let bench = bench(&["n1", "n2", "n3"], abilities);
        for (contains, answer) in *answers {
            bench.log.on(contains, said(answer));
        }
        let (told, evidence) = whole(&bench, class, intention.clone()).await;
        assert_eq!(evidence.proven, *proven, "{class}: {}", evidence.measured);
        golden(&format!("{class}.txt"), &told);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_can_make_groups_is_throttled_by_one() {
    let bench = bench(&["n1"], &[]);
    bench.log.on("no writable control group", said("")).on("/proc/41/cgroup", said("2 /sys/fs/cgroup /a b\n"));
    bench.log.on("nr_throttled)", said("members 2\nquota_us 40000\nperiod_us 100000\nthrottled 5\n"));
    bench.log.on("grep -c ^processor", said("2\n"));
    let use_of = |ticks: u32| format!("uptime 1.00\nprocess 41 700 0\nuptime 2.50\nprocess 41 700 {ticks}\n");
    // 20 % of two processors for 1.5 s are 600 ms, and a quota that has begun.
    for (ticks, proven) in [(60, true), (89, true), (100, false)] {
        bench.log.once("echo \"uptime", said(&use_of(ticks)));
        bench.log.clear();
        let (told, evidence) = whole(&bench, "cpu-throttle", json!({ "target": ["n1"], "percent": 20 })).await;
        assert_eq!(evidence.proven, proven, "{}", evidence.measured);
        golden("cpu-throttle-group.txt", &told);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_and_answers_prove_what_befell_a_node() {
    for class in ["power-cut", "freeze"] {
        let bench = bench(&["n1", "n2", "n3"], &[Ability::Power, Ability::Freeze]);
        bench.log.on("boot_id", said("abc 100 5.5\n"));
        let (fault, _) = bench.prepared(class, json!({ "target": ["n2"] })).await.unwrap();
        let seen = || fault.verify_injected(&bench.cluster, &*bench.db);
        assert!(!seen().await.unwrap().proven, "{class}: it answers");
        assert!(fault.verify_healed(&bench.cluster, &*bench.db).await.unwrap().proven, "{class}: it answers");
        bench.log.unreachable("n2");
        // Rules are asked in their order: those of the boot answer before the silence does.
        let evidence = seen().await.unwrap();
        assert!(evidence.proven, "{class}: {}", evidence.measured);
        bench.log.unreachable("n1").unreachable("n3");
        assert!(!seen().await.unwrap().proven, "{class}: nobody answers at all, which may be our own trouble");
        assert!(!fault.verify_healed(&bench.cluster, &*bench.db).await.unwrap().proven, "{class}: it is silent");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reboot_is_seen_by_the_boot_and_done_by_the_node_where_the_ground_cannot() {
    let bench = bench(&["n1"], &[]);
    bench.log.once("boot_id", said("abc 100 500.5\n"));
    let (fault, undo) = bench.prepared("reboot", json!({ "target": ["n1"] })).await.unwrap();
    assert_eq!(undo.len(), 1, "there is no ground to switch it on: {undo:?}");
    fault.inject(&bench.cluster, &*bench.db).await.unwrap();
    assert!(all_told(&bench).contains("systemctl reboot"), "{}", all_told(&bench));
    bench.log.once("boot_id", said("abc 100 501.0\n")).once("boot_id", ended(255, "gone"));
    bench.log.once("boot_id", said("abd 100 3.0\n"));
    let evidence = fault.verify_injected(&bench.cluster, &*bench.db).await.unwrap();
    assert!(evidence.proven && evidence.measured["boots"][0]["now"]["boot_id"] == "abd", "{}", evidence.measured);
}

#[tokio::test(start_paused = true)]
async fn the_undo_of_a_node_is_the_ground_first() {
    let bench = bench(&["n1", "n2"], &[Ability::Power]);
    bench.log.on("boot_id", said("abc 100 5.5\n"));
    let (_, undo) = bench.prepared("power-cut", json!({ "target": "all" })).await.unwrap();
    let told: Vec<String> = undo.iter().map(told_undo).collect();
    let expected = [
        "=== undo by the ground: switch n1 on\n",
        "=== undo by the ground: switch n2 on\n",
        "=== undo on n1\nstart-scripted --name n1\n",
        "=== undo on n2\nstart-scripted --name n2\n",
    ];
    assert_eq!(told, expected);
    for (node, answer) in Leases::default().undo(&bench.cluster, "k3f9-3", &undo).await {
        answer.unwrap_or_else(|error| panic!("{node}: {error}"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_refused_before_anything_is_done() {
    let cases: &[(&str, Json, &str, &str, &str)] = &[
        ("membership", json!({ "target": ["n1", "n2"] }), "", "", "fewer than 2 would stay"),
        (
            "memory-pressure",
            json!({ "target": ["n1"], "percent": 5, "leave_bytes": 1 << 30 }),
            "MemAvailable",
            "available 1000\n",
            "1024000 bytes are available, and 1073741824 must be left",
        ),
        (
            "descriptors",
            json!({ "target": ["n1"], "spare": 50 }),
            "low=$((low + 1))",
            "41 700 20 20 12 20\n",
            "have not 50 descriptors to spare",
        ),
        ("oom-kill", json!({ "target": ["n1"] }), "no writable control group", "none", "no control group for memory"),
    ];
    for (class, intention, contains, answer, expected) in cases {
        let bench = bench(&["n1", "n2", "n3"], &[]);
        bench.log.on(contains, said(answer));
        let error = bench.prepared(class, intention.clone()).await.err().unwrap().to_string();
        assert!(error.contains("refused, nothing was harmed") && error.contains(expected), "{error}");
    }
    let bench = bench(&["n1"], &[]);
    *bench.db.down() = true;
    for (class, intention) in [
        ("terminate", json!({ "target": ["n1"], "grace_ms": 1 })),
        ("crash-loop", json!({ "target": ["n1"], "every_ms": 100 })),
        ("cpu-throttle", json!({ "target": ["n1"], "percent": 1 })),
    ] {
        let error = bench.prepared(class, intention).await.err().unwrap();
        assert_eq!(error.word(), "no-target", "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_ground_or_node_lacks_is_told_before_the_run() {
    let bench = bench(&["n1", "n2"], &[]);
    bench.log.on_node("n2", "CAP_SYS_BOOT", said("root may not reboot it (no CAP_SYS_BOOT)\n"));
    bench.log.on("no prlimit", said("no prlimit\n"));
    bench.log.on("no writable control group", said("none of it\n"));
    for (class, expected) in [
        ("power-cut", "cannot cut a node's power"),
        ("freeze", "cannot freeze a whole node"),
        (
            "reboot",
            "cannot cut a node's power: the script of the test says so; and node n2, booting again: root may not",
        ),
        ("descriptors", "node n1, limits of descriptors: no prlimit"),
        ("oom-kill", "node n1, a control group for memory: none of it"),
        ("membership", "leaving and joining needs at least 3 nodes"),
    ] {
        let spec = FaultSpec::named(class).unwrap().resolved(2, false);
        let unmet = check_needs(&[spec], &bench.cluster, &*bench.db).await.unwrap_err();
        assert!(unmet.iter().any(|one| one.to_string().contains(expected)), "{unmet:#?}");
    }
    for class in ["terminate", "restart", "crash-loop", "cpu-throttle", "cpu-hog"] {
        let spec = FaultSpec::named(class).unwrap().resolved(2, false);
        assert_eq!(check_needs(&[spec], &bench.cluster, &*bench.db).await, Ok(()), "{class}");
    }
}
