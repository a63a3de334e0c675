//! Faults of processes and resources against real processes, limits and control groups of this machine.

// Clippy allows these in tests, but does not know the helpers of an integration test for one.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use schism_cluster::Command;
use schism_history::Value;
use schism_nemesis::{Evidence, Fault, Intention, Leases, RunTag, Undo, View};
use serde_json::{Value as Json, json};
use support::programs::Programs;

/// The fault of this class and intention, prepared.
async fn prepared(db: &Programs, class: &str, intention: Json, fault_id: u32) -> (Box<dyn Fault>, Vec<Undo>) {
    let mut intention = intention;
    intention["duration_ms"] = json!(1);
    let view = View { nodes: db.cluster.names(), ..View::default() };
    let intention = Intention::from_value(class, &Value::from_json(&intention)).unwrap();
    // Another process of these tests has another tag.
    let tag = RunTag::new(&format!("r{}", std::process::id()));
    let mut fault = intention.decide(&view, &tag, fault_id).unwrap();
    let undo = fault.prepare(&db.cluster, db).await.unwrap();
    (fault, undo)
}

async fn inject(db: &Programs, fault: &dyn Fault) -> Evidence {
    fault.inject(&db.cluster, db).await.unwrap();
    fault.verify_injected(&db.cluster, db).await.unwrap()
}

/// Undoes twice, as a lease and a controller may.
async fn heal(db: &Programs, fault: &dyn Fault, undo: &[Undo]) -> Evidence {
    let leases = Leases::within(&db.folder.path().join("leases").display().to_string());
    for _ in 0..2 {
        for (node, answer) in leases.undo(&db.cluster, "x", undo).await {
            answer.unwrap_or_else(|error| panic!("{node}: {error}"));
        }
    }
    fault.verify_healed(&db.cluster, db).await.unwrap()
}

/// Until that is so: a busy machine takes its time to let a process begin, or hear a signal.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: not within 10 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the program on the first node said.
fn log(db: &Programs) -> String {
    std::fs::read_to_string(db.folder.path().join("n1.log")).unwrap()
}

fn group(controller: &str, name: &str) -> bool {
    Path::new(&format!("/sys/fs/cgroup/{controller}/schism-{name}")).exists()
        || Path::new(&format!("/sys/fs/cgroup/schism-{name}")).exists()
}

#[tokio::test]
async fn a_busy_database_gets_its_share_of_time_and_then_all_of_it() {
    let db = Programs::new(1, &["sh", "-c", "while :; do :; done"]).await;
    let missing = schism_nemesis::scripts::group_available(schism_nemesis::scripts::Controller::Cpu);
    let missing = db.cluster.nodes[0].remote.run(&Command::new(missing)).await.unwrap().text();
    if !missing.is_empty() {
        assert_eq!(missing, "no writable control group with the controller cpu");
        return;
    }
    let pid = db.pid("n1");
    let before = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let (fault, undo) = prepared(&db, "cpu-throttle", json!({ "target": ["n1"], "percent": 5 }), 1).await;
    let seen = inject(&db, &*fault).await;
    let one = &seen.measured["throttled"][0];
    assert!(seen.proven && one["held_back"] == true, "{}", seen.measured);
    let (used, most) = (one["used"]["cpu_ms"].as_f64().unwrap(), one["most_ms"].as_f64().unwrap());
    assert!(used <= most * 1.3 + 120.0 && used > 0.0, "{used} ms of {most} ms");
    assert_ne!(std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap(), before);
    let healed = heal(&db, &*fault, &undo).await;
    assert!(healed.proven, "{}", healed.measured);
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap(), before, "back where it was");
    assert!(!group("cpu", &format!("r{}-1-n1", std::process::id())));
}

#[tokio::test]
async fn without_memory_the_kernel_kills_and_counts() {
    let grow = "my @a; while (1) { push @a, 'x' x 65536; select undef, undef, undef, 0.01 }";
    let db = Programs::new(1, &["perl", "-e", grow]).await;
    let missing = schism_nemesis::scripts::group_available(schism_nemesis::scripts::Controller::Memory);
    let missing = db.cluster.nodes[0].remote.run(&Command::new(missing)).await.unwrap().text();
    if !missing.is_empty() {
        assert_eq!(missing, "no writable control group with the controller memory");
        return;
    }
    let (fault, undo) = prepared(&db, "oom-kill", json!({ "target": ["n1"] }), 2).await;
    let seen = inject(&db, &*fault).await;
    assert!(seen.proven && seen.measured["groups"][0]["counts"]["oom_kill"] == 1, "{}", seen.measured);
    let healed = heal(&db, &*fault, &undo).await;
    assert!(healed.proven && healed.measured["groups_left"] == json!([]), "{}", healed.measured);
}

#[tokio::test]
async fn a_process_that_does_not_end_is_told_and_killed_when_healed() {
    let stubborn = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
    let db = Programs::new(1, &["sh", "-c", stubborn]).await;
    let first = db.pid("n1");
    until("it hears no SIGTERM", || log(&db) == "ready\n").await;
    let (fault, undo) = prepared(&db, "terminate", json!({ "target": ["n1"], "grace_ms": 300 }), 3).await;
    let seen = inject(&db, &*fault).await;
    assert!(!seen.proven && seen.measured["processes"][0]["pid"] == first, "{}", seen.measured);
    let healed = heal(&db, &*fault, &undo).await;
    assert!(healed.proven && db.pid("n1") != first, "{}", healed.measured);
    // Restarting it kills it too, after its grace, and the new one runs at once.
    let second = db.pid("n1");
    until("the new one hears none either", || log(&db) == "ready\nready\n").await;
    let intention = json!({ "target": ["n1"], "signal": "term", "grace_ms": 200 });
    let (fault, undo) = prepared(&db, "restart", intention, 4).await;
    let seen = inject(&db, &*fault).await;
    let third = db.pid("n1");
    assert!(seen.proven && third != second, "{}", seen.measured);
    assert!(heal(&db, &*fault, &undo).await.proven && db.pid("n1") == third, "what runs is left");
}

#[tokio::test]
async fn a_crash_loop_reaches_nobody_else_and_ends() {
    let db = Programs::new(2, &["sleep", "300"]).await;
    let other = db.pid("n2");
    let (fault, undo) = prepared(&db, "crash-loop", json!({ "target": ["n1"], "every_ms": 100 }), 5).await;
    let seen = inject(&db, &*fault).await;
    assert!(seen.proven && seen.measured["loops"][0]["kills"].as_u64().unwrap() >= 2, "{}", seen.measured);
    let healed = heal(&db, &*fault, &undo).await;
    assert!(healed.proven && healed.measured["loops"][0]["loop_runs"] == false, "{}", healed.measured);
    let (last, begun) = (db.pid("n1"), Instant::now());
    while begun.elapsed() < Duration::from_millis(600) {
        assert_eq!(db.pid("n1"), last, "it is killed no more");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(db.pid("n2"), other);
    let left = std::fs::read_dir(schism_nemesis::scripts::FAULT_DIR).into_iter().flatten().flatten();
    let ours = format!("r{}-5-", std::process::id());
    assert_eq!(left.filter(|file| file.file_name().to_string_lossy().starts_with(&ours)).count(), 0);
}

#[tokio::test]
async fn descriptors_run_out_and_the_old_limit_comes_back_with_the_children() {
    // Opens a file each time it is asked to (SIGUSR1), says whether it could, and has a child that began while short.
    let program = "my @f; $SIG{USR1} = sub { if (open(my $f, '<', '/dev/null')) { push @f, $f } else { print STDERR \"$!\\n\" } \
                   if (@f == 2) { fork or exec 'sleep', '300' } }; print STDERR \"ready\\n\"; \
                   while (1) { sleep 1 }";
    let db = Programs::new(1, &["perl", "-e", program]).await;
    let pid = db.pid("n1");
    let limits = |pid: u32| -> String {
        let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        text.lines().find(|line| line.starts_with("Max open files")).unwrap().to_owned()
    };
    let children = || -> Vec<u32> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        text.split_whitespace().map(|word| word.parse().unwrap()).collect()
    };
    let poke = || {
        assert!(std::process::Command::new("kill").args(["-USR1", &pid.to_string()]).status().unwrap().success());
    };
    let open = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    until("it hears its signal", || log(&db) == "ready\n").await;
    let (before, few) = (limits(pid), open());
    let (fault, undo) = prepared(&db, "descriptors", json!({ "target": ["n1"], "spare": 2 }), 6).await;
    let seen = inject(&db, &*fault).await;
    assert!(seen.proven, "{}", seen.measured);
    // The next signal only when this one was heard: two that wait are one.
    poke();
    until("one more is open", || open() == few + 1).await;
    poke();
    until("two more are open", || open() == few + 2 && children().len() == 1).await;
    assert_eq!(log(&db), "ready\n", "two are spare");
    poke();
    until("there is no third", || log(&db) == "ready\nToo many open files\n" && children().len() == 2).await;
    assert_eq!(open(), few + 2);
    let child = children()[0];
    assert_eq!(limits(child), limits(pid));
    let healed = heal(&db, &*fault, &undo).await;
    assert!(healed.proven, "{}", healed.measured);
    assert_eq!((limits(pid), limits(child)), (before.clone(), before));
    poke();
    until("it opens again", || open() == few + 3).await;
    assert_eq!(log(&db), "ready\nToo many open files\n");
    assert!(std::process::Command::new("kill").arg(child.to_string()).status().unwrap().success());
}
