//! Clock faults on virtual machines, whose clocks are their own: the real clock is set, and put right again. Boots machines,
//! so it runs only where `SCHISM_TEST_LONG=1` asks for it. The test program is the holder of its own lab and its own agent,
//! hence its own `main`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program without the harness")]

#[path = "support/clocks.rs"]
mod clocks;

use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use clocks::{Bench, Case};
use schism_cluster::packages;
use schism_lab::{LabSpec, up, vms};
use schism_nemesis::{FaultSpec, check_needs};
use serde_json::json;

const CASES: &[Case] = &[
    ("machines_can_set_their_clocks", |bench| Box::pin(can(bench))),
    ("real_clocks_jump_and_are_put_right", |bench| Box::pin(jumps(bench))),
    ("real_clocks_drift", |bench| Box::pin(drift(bench))),
    ("real_clocks_strobe", |bench| Box::pin(strobe(bench))),
    ("classes_add_up", |bench| Box::pin(classes_add_up(bench))),
    ("time_daemons_are_stopped_and_started_again", |bench| Box::pin(time_daemons(bench))),
    ("processes_on_a_machine", |bench| Box::pin(processes(bench))),
];

fn main() -> ExitCode {
    schism_lab::holder_main_if_asked();
    schism_nemesis::agent::main_if_asked();
    if std::env::var("SCHISM_TEST_LONG").as_deref() != Ok("1") {
        println!("tests of real clocks passed over: they boot machines for minutes; SCHISM_TEST_LONG=1 runs them");
        return ExitCode::SUCCESS;
    }
    let fetched = vms::fetch(&packages::default_cache(), &["etcd-server"], &mut |line| println!("  {line}"));
    let parts = match fetched {
        Ok(parts) => parts,
        Err(error) => {
            println!("tests of real clocks cannot be run here: {error}");
            return ExitCode::FAILURE;
        }
    };
    let spec = LabSpec { lease: None, ..LabSpec::of_machines(LabSpec::fresh_id(), 3, parts) };
    let begun = (SystemTime::now(), Instant::now());
    let code = clocks::main(up(&spec, &std::env::current_exe().unwrap()).unwrap(), CASES);
    // Whatever was done in there, the clock of this machine went on by itself.
    let real = begun.0.elapsed().unwrap();
    assert!(real.abs_diff(begun.1.elapsed()).as_millis() < 50, "this machine's clock was touched");
    code
}

async fn can(bench: &Bench) {
    let spec: FaultSpec = serde_json::from_value(json!({"clock-jump": {"mechanism": ["auto", "real"]}})).unwrap();
    check_needs(&[spec], bench.cluster(), &*bench.db).await.unwrap();
}

async fn jumps(bench: &Bench) {
    for (offset_ms, target) in [(-300_000, json!("all")), (1000, json!(["n2"])), (3_600_000, json!(["n1"]))] {
        let told =
            bench.inject("clock-jump", json!({"target": target, "offset_ms": offset_ms, "mechanism": "auto"})).await;
        for clock in told["evidence"]["measured"]["clocks"].as_array().unwrap() {
            assert_eq!(clock["mechanism"], "real");
            assert!((clock["offset_ms"].as_f64().unwrap() - f64::from(offset_ms)).abs() < 25.0, "{clock}");
        }
        bench.heal("clock-jump").await;
    }
}

async fn drift(bench: &Bench) {
    for rate_ppm in [5000, -50_000] {
        bench.inject("clock-drift", json!({"target": ["n1", "n2"], "rate_ppm": rate_ppm, "mechanism": "real"})).await;
        bench.heal("clock-drift").await;
    }
}

async fn strobe(bench: &Bench) {
    bench.inject("clock-strobe", json!({"target": ["n1"], "offset_ms": -4000, "period_ms": 200})).await;
    bench.heal("clock-strobe").await;
}

async fn classes_add_up(bench: &Bench) {
    bench.inject("clock-jump", json!({"target": ["n1", "n2"], "offset_ms": 10_000})).await;
    bench.inject("clock-drift", json!({"target": ["n1"], "rate_ppm": 5000})).await;
    bench.heal("clock-jump").await;
    bench.heal("clock-drift").await;
}

/// A stand-in for systemctl, where one of two daemons runs: that one is stopped first and started at last, once, however
/// many faults there are.
async fn time_daemons(bench: &Bench) {
    let script = "command -v systemctl && exit 1
cat >/usr/bin/systemctl <<'END'
#!/bin/sh
case $1 in is-active) [ \"$3\" = ntpsec ]; exit ;; esac
echo \"$*\" >>/run/systemctl-calls
END
chmod 755 /usr/bin/systemctl; rm -f /run/systemctl-calls";
    bench.on("n1", script).await;
    bench.inject("clock-jump", json!({"target": ["n1"], "offset_ms": 10_000})).await;
    bench.inject("clock-drift", json!({"target": ["n1"], "rate_ppm": 5000})).await;
    bench.heal("clock-jump").await;
    let calls = "cat /run/systemctl-calls";
    assert_eq!(bench.on("n1", calls).await, "stop ntpsec");
    bench.heal("clock-drift").await;
    assert_eq!(bench.on("n1", calls).await, "stop ntpsec\nstart ntpsec");
    bench.on("n1", "rm /usr/bin/systemctl").await;
}

async fn processes(bench: &Bench) {
    bench.inject("clock-jump", json!({"target": ["n3"], "offset_ms": 60_000, "mechanism": "processes"})).await;
    bench.heal("clock-jump").await;
}
