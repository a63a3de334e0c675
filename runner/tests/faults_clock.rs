//! Clock faults on the etcd of a lab of namespaces, whose nodes share this machine's clock: it is the clock of etcd's
//! processes that is harmed, and nobody else's. Needs root and what a lab needs; says so and passes where that is missing.
//! The test program is the holder of its own lab and its own agent, hence its own `main`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program without the harness")]

#[path = "support/clocks.rs"]
mod clocks;

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clocks::{Bench, Case};
use schism_cluster::clock::clock_offsets;
use schism_cluster::{Command, packages};
use schism_history::Node;
use schism_lab::{LabSpec, up};
use schism_nemesis::{FaultSpec, Leases, check_needs, heal_all};
use serde_json::json;

const CASES: &[Case] = &[
    ("a_lab_of_namespaces_can_and_is_told_how", |bench| Box::pin(can(bench))),
    ("jumps_come_and_go", |bench| Box::pin(jumps(bench))),
    ("a_strobe_comes_and_goes", |bench| Box::pin(strobe(bench))),
    ("a_drift_comes_and_goes", |bench| Box::pin(drift(bench))),
    ("three_classes_at_once", |bench| Box::pin(three_classes_at_once(bench))),
    ("a_database_that_is_killed_and_started_is_caught", |bench| Box::pin(killed(bench))),
    ("a_node_heals_itself", |bench| Box::pin(leases(bench))),
    ("a_second_process_heals_from_the_ledger", |bench| Box::pin(from_the_ledger(bench))),
];

fn main() -> ExitCode {
    schism_lab::holder_main_if_asked();
    schism_nemesis::agent::main_if_asked();
    if !nix::unistd::geteuid().is_root() {
        println!("tests of clock faults skipped: labs need root");
        return ExitCode::SUCCESS;
    }
    let fetched =
        packages::fetch_for_nodes(&packages::default_cache(), &["etcd-server"], &mut |line| println!("  {line}"));
    let tree = match fetched {
        Ok(tree) => tree.path,
        Err(error) => {
            println!("tests of clock faults skipped: {error}");
            return ExitCode::SUCCESS;
        }
    };
    let spec = LabSpec { trees: vec![tree], ..LabSpec::new(LabSpec::fresh_id(), 3) };
    clocks::main(up(&spec, &std::env::current_exe().unwrap()).unwrap(), CASES)
}

async fn can(bench: &Bench) {
    let spec = |text: serde_json::Value| serde_json::from_value::<FaultSpec>(text).unwrap();
    let good = [spec(json!("clock-jump")), spec(json!({"clock-drift": {"mechanism": "processes"}}))];
    check_needs(&good, bench.cluster(), &*bench.db).await.unwrap();
    // Their clock is this machine's: nothing and nobody may set it.
    let bad = [spec(json!({"clock-strobe": {"mechanism": "real"}}))];
    let unmet = check_needs(&bad, bench.cluster(), &*bench.db).await.unwrap_err();
    let text = unmet.iter().map(ToString::to_string).collect::<String>();
    assert!(text.contains("shares the controller's kernel"), "{text}");
    assert!(unmet.len() == 1, "{text}");
}

/// The real clocks of the nodes are this machine's, before, while and after.
async fn nodes_are_true(bench: &Bench) {
    for offset in clock_offsets(bench.cluster(), &bench.cluster().names(), 3).await.unwrap() {
        assert!(offset.offset_ns.abs() <= offset.error_ns + 5_000_000, "{offset:?}");
    }
}

async fn jumps(bench: &Bench) {
    for (offset_ms, target) in [(-300_000, json!("all")), (100, json!(["n2"])), (3_600_000, json!(["n1", "n3"]))] {
        let told =
            bench.inject("clock-jump", json!({"target": target, "offset_ms": offset_ms, "mechanism": "auto"})).await;
        for clock in told["evidence"]["measured"]["clocks"].as_array().unwrap() {
            assert!((clock["offset_ms"].as_f64().unwrap() - f64::from(offset_ms)).abs() < 1.0, "{clock}");
            assert_eq!(clock["mechanism"], "processes");
        }
        nodes_are_true(bench).await;
        bench.heal("clock-jump").await;
    }
    nodes_are_true(bench).await;
}

async fn strobe(bench: &Bench) {
    for (offset_ms, period_ms) in [(-4000, 10), (200, 50)] {
        let value = json!({"target": ["n1"], "offset_ms": offset_ms, "period_ms": period_ms, "mechanism": "auto"});
        bench.inject("clock-strobe", value).await;
        bench.heal("clock-strobe").await;
    }
}

async fn drift(bench: &Bench) {
    for rate_ppm in [500, -50_000] {
        let value = json!({"target": ["n1", "n2"], "rate_ppm": rate_ppm, "mechanism": "processes"});
        let told = bench.inject("clock-drift", value).await;
        let rate = told["evidence"]["measured"]["clocks"][0]["rate_ppm"].as_f64().unwrap();
        assert!((rate - f64::from(rate_ppm)).abs() < 10.0 + f64::from(rate_ppm).abs() / 100.0, "{rate}");
        bench.heal("clock-drift").await;
    }
}

async fn three_classes_at_once(bench: &Bench) {
    bench.inject("clock-jump", json!({"target": ["n1", "n2"], "offset_ms": 10_000})).await;
    bench.inject("clock-drift", json!({"target": ["n1"], "rate_ppm": 5000})).await;
    bench.inject("clock-strobe", json!({"target": ["n1"], "offset_ms": 1000, "period_ms": 50})).await;
    bench.heal("clock-drift").await;
    bench.inject("clock-drift", json!({"target": ["n1"], "rate_ppm": -5000})).await;
    bench.heal("clock-jump").await;
    bench.heal("clock-drift").await;
    bench.heal("clock-strobe").await;
}

/// What etcd itself writes into its log is skewed, also after another class killed it and it was started again.
async fn killed(bench: &Bench) {
    bench.inject("clock-jump", json!({"target": ["n2"], "offset_ms": 7_200_000})).await;
    bench.inject("kill", json!({"target": ["n2"]})).await;
    bench.heal("kill").await;
    // A new process has the true time until it is found; then others come and go, of which it writes.
    bench.inject("kill", json!({"target": ["n1"]})).await;
    bench.heal("kill").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ahead_s = log_ahead_s(bench).await;
    assert!((7200 - 20..=7200).contains(&ahead_s), "the log of the new etcd is {ahead_s} s ahead");
    bench.heal("clock-jump").await;
    bench.inject("kill", json!({"target": ["n2"]})).await;
    bench.heal("kill").await;
    let ahead_s = log_ahead_s(bench).await;
    assert!((-20..=0).contains(&ahead_s), "{ahead_s}");
}

/// By how much the last stamp of etcd's log is ahead.
async fn log_ahead_s(bench: &Bench) -> i64 {
    // Not every line has a time.
    let script = "when='[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}'
date -u -d \"$(grep -E \"$when\" /var/log/schism-etcd.log | tail -n 1 | grep -oE \"$when\" | head -n 1 | tr T ' ')\" +%s";
    let stamp: i64 = bench.on("n2", script).await.parse().unwrap();
    stamp - i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Nobody heals: the lease of the node does, with the same script.
async fn leases(bench: &Bench) {
    let told = bench.inject("clock-jump", json!({"target": ["n3"], "offset_ms": 60_000})).await;
    let script = "set -- /var/lib/schism/leases/*.undo; sh \"$1\"";
    let agent = told["nodes"][0].as_str().unwrap().to_owned();
    let begin = Instant::now();
    // What the watcher runs when its time is up, here by hand; the renewal and the end of leases have tests of their own.
    let handle = bench.cluster().get(&Node::new(&agent)).unwrap();
    handle.remote.run(&Command::new(script)).await.unwrap();
    println!("  undone by the node in {:?}", begin.elapsed());
    bench.heal("clock-jump").await;
}

async fn from_the_ledger(bench: &Bench) {
    bench.inject("clock-jump", json!({"target": ["n1"], "offset_ms": -60_000})).await;
    bench.inject("clock-drift", json!({"target": ["n1"], "rate_ppm": 50_000})).await;
    // The process that looks for new processes is gone as well.
    bench.on("n1", "for of in /proc/[0-9]*; do tr '\\0' ' ' <$of/cmdline 2>/dev/null | grep -q 'agent skew kee[p]' && kill -9 ${of#/proc/}; done; true").await;
    let report = heal_all(&bench.ledger, bench.cluster(), &Leases::default()).await.unwrap();
    assert_eq!(report.trouble(), Vec::<String>::new());
    assert_eq!(report.healed.len(), 2, "{report:?}");
    bench.heal("clock-jump").await;
    bench.heal("clock-drift").await;
}
