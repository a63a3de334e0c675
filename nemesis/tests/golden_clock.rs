//! The exact commands of the clock faults, against nodes that only remember what they were told, by either mechanism; and
//! what is said when a node refuses. `SCHISM_BLESS=1` writes the golden files anew.

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use schism_cluster::script::{ended, said};
use schism_nemesis::agent::clock_real::boot_id;
use schism_nemesis::{FaultSpec, check_needs};
use serde_json::{Value as Json, json};
use support::bench::Bench;
use support::golden::{StandIn, compare};

const SECOND_NS: i64 = 1_000_000_000;

/// Nodes on which the agent says this for each of its verbs.
fn bench(names: &[&str], said_of: impl Fn(&str) -> Option<Json> + Send + Sync + 'static) -> Bench {
    let bench = Bench::new(names, &[], StandIn::of(1));
    bench.log.on("agent hello", said("/run/schism/agent/schism\n"));
    bench.log.with(move |_, command| {
        let script = &command.script;
        if script.starts_with("now=$(date") {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_nanos();
            return Some(Ok(said(&now.to_string())));
        }
        let verb = ["skew can", "skew state"].into_iter().find(|verb| script.contains(verb))?;
        (!script.starts_with("for path")).then(|| said_of(verb).map(|json| Ok(said(&json.to_string()))))?
    });
    bench
}

/// Everything the nodes were told; leases are named only, and what differs from machine to machine has a name.
fn all_told(bench: &Bench) -> String {
    bench.told(|command| match &command.script {
        script if script.contains("sha256sum") => "(looks for the agent)".to_owned(),
        script if script.contains("undo=$(cat)") => "(heals)".to_owned(),
        script if script.contains("schism-lease") => "(arms the lease)".to_owned(),
        script => script.replace(&boot_id(), "BOOT-ID"),
    })
}

fn golden(name: &str, found: &str) {
    compare(&format!("clock/{name}"), found);
}

fn state(canary: Json, real: Json, processes: Json, leftover: Json) -> Json {
    json!({"terms": [], "processes": processes, "leftover": leftover, "canary": canary, "real": real, "real_expected_ns": 0})
}

fn samples(shift_ns: impl Fn(i64) -> i64) -> Json {
    let sample =
        |index: i64| json!({"at_ns": index * SECOND_NS, "shift_ns": shift_ns(index), "error_ns": 100, "others_ns": 0});
    (0..5).map(sample).collect()
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_processes() {
    let bench = bench(&["n1", "n2"], |verb| match verb {
        "skew can" => Some(json!({"mechanism": "processes", "why_not_real": "CAP_SYS_TIME is not held there"})),
        _ => {
            let processes = json!([{"pid": 41, "start_ticks": 700, "shift_ns": -250_000_000, "as_wanted": true}]);
            Some(state(samples(|_| -250_000_000), json!([]), processes, json!([])))
        }
    });
    let value = json!({"target": ["n2"], "offset_ms": -250, "mechanism": "auto", "duration_ms": 1});
    let answer = bench.inject("clock-jump", value).await;
    assert_eq!(answer.error, None);
    let told = answer.value.to_json();
    assert_eq!(told["label"], "clock-jump: n2, -250 ms");
    assert_eq!(told["mechanism"], json!({"n2": "processes"}));
    assert_eq!(told["processes"], json!([{"node": "n2", "pid": 41, "start_ticks": 700}]));
    assert_eq!(told["evidence"]["proven"], true, "{told}");
    assert_eq!(bench.heal("clock-jump").await.error, None);
    golden("jump-processes.txt", &all_told(&bench));
}

#[tokio::test(start_paused = true)]
async fn a_drift_of_a_real_clock() {
    let bench = bench(&["n1"], |verb| match verb {
        "skew can" => Some(json!({"mechanism": "real", "why_not_real": null})),
        _ => Some(state(json!([]), samples(|index| index * 500_000), json!([]), json!([]))),
    });
    let value = json!({"target": ["n1"], "rate_ppm": 500, "mechanism": "real", "duration_ms": 1});
    let answer = bench.inject("clock-drift", value).await;
    assert_eq!(answer.error, None);
    let told = answer.value.to_json();
    assert_eq!((&told["label"], &told["mechanism"]), (&json!("clock-drift: n1, +500 ppm"), &json!({"n1": "real"})));
    assert_eq!(told["evidence"]["proven"], true, "{told}");
    assert_eq!(bench.heal("clock-drift").await.error, None);
    golden("drift-real.txt", &all_told(&bench));
}

#[tokio::test(start_paused = true)]
async fn a_strobe_that_is_not_seen_is_not_proven() {
    let bench = bench(&["n1"], |verb| match verb {
        "skew can" => Some(json!({"mechanism": "processes", "why_not_real": null})),
        _ => Some(state(samples(|_| 0), json!([]), json!([]), json!([{"pid": 41, "start_ticks": 700}]))),
    });
    let value = json!({"target": ["n1"], "offset_ms": 1000, "period_ms": 10, "mechanism": "auto", "duration_ms": 1});
    let answer = bench.inject("clock-strobe", value).await;
    assert_eq!((answer.error, &answer.value.to_json()["evidence"]["proven"]), (None, &json!(false)));
    let healed = bench.heal("clock-strobe").await;
    assert!(healed.error.is_some(), "a process is left skewed: {:?}", healed.value.to_json());
    golden("strobe-processes.txt", &all_told(&bench));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_refuses_is_told() {
    let bench = bench(&["n1"], |_| None);
    bench.log.on("skew can", ended(1, "schism agent skew: the real clock: this node shares the controller's kernel\n"));
    let value = json!({"target": ["n1"], "offset_ms": 1, "mechanism": "real", "duration_ms": 1});
    let answer = bench.inject("clock-jump", value).await;
    let error = answer.error.expect("it is refused").to_string();
    assert!(error.contains("shares the controller's kernel"), "{error}");
    assert!(bench.log.lines().iter().all(|line| !line.contains("skew on")), "nothing was harmed");
    for (class, value) in [
        ("clock-strobe", json!({"target": ["n1"], "offset_ms": 0, "period_ms": 10, "duration_ms": 1})),
        ("clock-strobe", json!({"target": ["n1"], "offset_ms": 5, "duration_ms": 1})),
        ("clock-drift", json!({"target": ["n1"], "rate_ppm": 0, "duration_ms": 1})),
        ("clock-jump", json!({"target": ["n1"], "duration_ms": 1})),
    ] {
        let error = bench.inject(class, value.clone()).await.error.expect("it makes no sense").to_string();
        assert!(error.contains("intention"), "{value}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn needs_are_asked_before_the_run() {
    let bench = bench(&["n1", "n2"], |_| None);
    bench.log.on_node("n2", "skew can", said("the clocks of processes: /proc/9/mem takes no writes\n"));
    let spec = |value: Json| serde_json::from_value::<FaultSpec>(value).expect("a spec");
    let unmet = check_needs(&[spec(json!("clock-jump"))], &bench.cluster, &StandIn::of(1)).await.unwrap_err();
    assert_eq!(unmet.len(), 1, "{unmet:?}");
    let text = unmet[0].to_string();
    assert!(text.contains("n2") && text.contains("takes no writes"), "{text}");
    let told: Vec<String> =
        bench.log.scripts_of("n1").into_iter().filter(|script| script.contains("skew can")).collect();
    golden("needs.txt", &told.concat().replace(&boot_id(), "BOOT-ID"));
}
