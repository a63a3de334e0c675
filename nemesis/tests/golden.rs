//! The exact commands of each fault, against nodes that only remember what they were told; and what happens when a
//! node does not obey. `SCHISM_BLESS=1` writes the golden files anew.

mod support;

use std::sync::{Arc, Mutex};

use schism_cluster::Output;
use schism_cluster::script::{Log, ended, said};
use schism_history::{F, Node, Value};
use schism_nemesis::{FaultSpec, LeaseInfo, Leases, RunTag, Undo, check_needs, heal_all};
use serde_json::json;
use support::bench::Bench;
use support::golden::{StandIn, compare};

fn bench(names: &[&str], primaries: &[&str]) -> Bench {
    let primaries = primaries.iter().map(|name| Node::new(name)).collect();
    Bench::new(names, &[], StandIn { primaries, ..StandIn::of(2) })
}

/// Everything the nodes were told; probes are named only.
fn all_told(bench: &Bench) -> String {
    bench.told(|command| match command.script.starts_with("exec perl") {
        true => "(probe of links)".to_owned(),
        false => command.script.clone(),
    })
}

fn golden(name: &str, found: &str) {
    compare(name, found);
}

#[test]
fn what_is_found_by_its_name() {
    let script = schism_nemesis::scripts::leftovers_remove(Leases::default().places());
    golden("leftovers.txt", &script);
}

#[tokio::test(start_paused = true)]
async fn kill() {
    let bench = bench(&["n1", "n2", "n3"], &["n2"]);
    let db = Arc::clone(&bench.db);
    bench.log.with(move |_, command| {
        let started = command.script.contains("undo=$(cat)");
        let mut down = db.down();
        *down = !started && (*down || command.script.contains("kill -s KILL"));
        None
    });
    let answer = bench.inject("kill", json!({"target": "primaries", "duration_ms": 8000})).await;
    assert_eq!(answer.error, None);
    let value = answer.value.to_json();
    assert_eq!(value["label"], "kill: n2 (primaries)");
    assert_eq!(value["view"], json!({"primaries": ["n2"]}));
    assert_eq!(bench.heal("kill").await.error, None);
    golden("kill.txt", &all_told(&bench));
}

#[tokio::test(start_paused = true)]
async fn pause() {
    let bench = bench(&["n1", "n2"], &[]);
    bench.log.once("cat /proc/41/stat", states('T', 'T'));
    let answer = bench.inject("pause", json!({"target": ["n1"], "duration_ms": 1})).await;
    assert_eq!(answer.value.to_json()["evidence"]["proven"], true);
    assert_eq!(bench.heal("pause").await.error, None);
    golden("pause.txt", &all_told(&bench));
}

/// The answer to a look at the two processes, in these states.
fn states(first: char, second: char) -> Output {
    let rest = "1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0";
    said(&format!("41 (db) {first} {rest} 700 0\n42 (db worker) {second} {rest} 701 0\n"))
}

/// Answers every probe of three nodes as if the network were whole.
fn whole(log: &Log) {
    log.on("cannot bind UDP", said("4000\n"));
    log.on("getaddrinfo", said("0 10 0\n1 10 0\n2 10 0\n"));
    log.on("sysread", said("0 10\n1 10\n2 10\n"));
}

#[tokio::test(start_paused = true)]
async fn partition_by_nft() {
    let bench = bench(&["n1", "n2", "n3"], &[]);
    bench.log.on("echo nft", said("nft\n"));
    // The whole cut of n1 and what is left of the probes: n1 hears nobody, the others hear each other.
    for heard in ["", "2 10\n", "1 10\n"] {
        bench.log.once("sysread", said(heard));
    }
    whole(&bench.log);
    let answer = bench.inject("partition", json!({"shape": "halves", "direction": "both", "duration_ms": 9001})).await;
    assert_eq!(answer.error, None);
    assert_eq!(answer.value.to_json()["evidence"]["proven"], true, "{answer:?}");
    assert_eq!(bench.heal("partition").await.error, None);
    golden("partition-nft.txt", &all_told(&bench));
}

#[tokio::test(start_paused = true)]
async fn partition_by_iptables_one_way_and_over_ipv6() {
    let bench = bench(&["n1", "n2", "n3"], &[]).with_address(1, "fd00::2");
    let cluster = bench.cluster.clone();
    let mut fault = schism_nemesis::faults::partition::Partition::new(
        serde_json::from_value(json!({"n1": ["n2", "n3"]})).unwrap(),
        "links".to_owned(),
        &RunTag::new("k3f9"),
        3,
    );
    bench.log.on("echo nft", said("iptables\n"));
    use schism_nemesis::Fault;
    let undo = fault.prepare(&cluster, &*bench.db).await.unwrap();
    fault.inject(&cluster, &*bench.db).await.unwrap();
    for (_, answer) in Leases::default().undo(&cluster, "k3f9-3", &undo).await {
        answer.unwrap();
    }
    whole(&bench.log);
    assert!(fault.verify_healed(&cluster, &*bench.db).await.unwrap().proven);
    golden("partition-iptables.txt", &all_told(&bench));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_harmed_safely_is_refused_before_anything_is_done() {
    let halves = || json!({"shape": "halves", "direction": "both", "duration_ms": 1});
    let cases: &[(&str, &str, &str)] = &[
        ("SSH_CONNECTION", "10.0.0.2", "it would drop 10.0.0.2, from where we are logged in (node n2)"),
        ("SSH_CONNECTION", "::ffff:10.0.0.2", "it would drop 10.0.0.2"),
        ("echo nft", "", "neither nft nor iptables works there as root. Install nftables"),
    ];
    for (contains, answer, expected) in cases {
        let bench = bench(&["n1", "n2"], &[]);
        bench.log.on(contains, said(answer));
        bench.log.on("echo nft", said("nft"));
        let answer = bench.inject("partition", halves()).await;
        let error = answer.error.unwrap().to_json();
        assert_eq!(error[0], "refused");
        assert!(error[1].as_str().unwrap().contains(expected), "{error}");
        assert!(!all_told(&bench).contains("lease") && !all_told(&bench).contains("nft -f"), "{}", all_told(&bench));
        assert_eq!(std::fs::read(bench.ledger()).unwrap(), b"");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_fails_in_the_middle_is_healed_at_once() {
    for step in ["setsid sh ", "kill -s STOP"] {
        let bench = bench(&["n1", "n2"], &[]);
        bench.log.on_node("n2", step, ended(1, "no space left"));
        let answer = bench.inject("pause", json!({"target": "all", "duration_ms": 1})).await;
        let error = answer.error.unwrap().to_json();
        assert_eq!(error[0], "remote");
        assert!(
            error[1].as_str().unwrap().contains("on node n2") && error[1].as_str().unwrap().contains("no space left")
        );
        let value = answer.value.to_json();
        assert_eq!((&value["evidence"]["proven"], &value["nodes"]), (&json!(false), &json!(["n1", "n2"])));
        for node in ["n1", "n2"] {
            assert!(bench.log.lines_of(node).iter().any(|line| line.contains("<<< (") && line.contains("undo=$(cat)")));
        }
        assert_eq!(bench.nemesis.open_faults().list(), []);
        // Its heal is asked for all the same, and the class goes on.
        assert_eq!(bench.heal("pause").await.value.to_json()["evidence"]["proven"], true);
        assert_eq!(bench.nemesis.heal_everything().await, Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_heal_that_fails_is_tried_again_told_and_never_forgotten() {
    let bench = bench(&["n1", "n2"], &[]);
    bench.log.once("cat /proc/41/stat", states('T', 'T'));
    assert_eq!(bench.inject("pause", json!({"target": ["n1"], "duration_ms": 1})).await.error, None);
    let broken = Arc::new(Mutex::new(true));
    let switch = Arc::clone(&broken);
    bench.log.with(move |_, command| {
        (*switch.lock().unwrap() && command.script.contains("undo=$(cat)")).then(|| Ok(ended(9, "out of order")))
    });
    bench.log.clear();
    let error = bench.heal("pause").await.error.unwrap().to_json();
    assert_eq!(error[0], "heal");
    let text = error[1].as_str().unwrap();
    assert!(text.starts_with("fault 3 (pause: n1) is not healed: the undo on n1 failed: on node n1:"), "{text}");
    assert_eq!(bench.log.lines().iter().filter(|line| line.contains("undo=$(cat)")).count(), 6, "2 rounds of 3 tries");
    // Nothing is harmed on top of it.
    let error = bench.inject("pause", json!({"target": ["n2"], "duration_ms": 1})).await.error.unwrap().to_json();
    assert!(error[1].as_str().unwrap().contains("fault 3 (pause: n1) is not healed"), "{error}");
    let trouble = bench.nemesis.heal_everything().await;
    assert!(trouble[0].starts_with("pause: fault 3 (pause: n1) is not healed"), "{trouble:?}");
    assert!(trouble[1].starts_with("fault 3 (pause: n1) on n1 could not be healed: on node n1:"), "{trouble:?}");
    *broken.lock().unwrap() = false;
    assert_eq!(bench.nemesis.heal_everything().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_seen_to_be_gone_is_not_healed() {
    let bench = bench(&["n1"], &[]);
    bench.log.on("cat /proc/41/stat", states('T', 'S'));
    let answer = bench.inject("pause", json!({"target": ["n1"], "duration_ms": 1})).await;
    assert_eq!((answer.error, &answer.value.to_json()["evidence"]["proven"]), (None, &json!(false)), "42 runs");
    let answer = bench.heal("pause").await;
    assert!(answer.error.unwrap().to_string().contains("the harm is not seen to be gone"));
    assert_eq!(answer.value.to_json()["evidence"]["proven"], false);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_or_foreign_ledger_is_told() {
    let bench = bench(&["n1"], &[]);
    let path = bench.ledger();
    assert_eq!(bench.inject("kill", json!({"target": ["n1"], "duration_ms": 1})).await.error, None);
    let text = std::fs::read_to_string(&path).unwrap().replace("\"n1\"", "\"n7\"");
    std::fs::write(&path, format!("garbage\n{text}")).unwrap();
    let report = heal_all(&path, &bench.cluster, &Leases::default()).await.unwrap();
    let trouble = report.trouble();
    assert!(
        trouble[0].contains("on n7 could not be healed") && trouble[0].contains("no node of that name"),
        "{trouble:?}"
    );
    assert!(trouble[1].starts_with("line 1 of ") && trouble[1].contains("is damaged"), "{trouble:?}");
    let undo = [Undo::Irreversible { reason: "the disk is gone".to_owned() }];
    let info = LeaseInfo { class: "kill".to_owned(), label: "x".to_owned(), lease_s: 1 };
    bench.log.clear();
    Leases::default().arm(&bench.cluster, "a", &info, &undo).await.unwrap();
    assert!(bench.log.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn needs_are_asked_before_the_run() {
    let bench = bench(&["n1", "n2"], &[]);
    bench.log.on_node("n2", "command -v \"$tool\"", said("perl\n"));
    let specs: Vec<FaultSpec> = [
        json!({"partition": {"shapes": ["leader", "bridge"]}}),
        json!({"kill": {"targets": ["minority", ["n9"]]}}),
        json!("pause"),
    ]
    .into_iter()
    .map(|spec| serde_json::from_value(spec).unwrap())
    .collect();
    let unmet = check_needs(&specs, &bench.cluster, &*bench.db).await.unwrap_err();
    let texts: Vec<String> = unmet.iter().map(ToString::to_string).collect();
    let expected = [
        "neither nft nor iptables works there as root",
        "node n2 has no perl. Install it there",
        "the database `scripted` cannot tell who leads",
        "shape `bridge` needs at least 3 nodes, there are 2",
        "target `minority` needs at least 3 nodes, there are 2",
        "there is no node `n9` (n1 n2)",
    ];
    assert_eq!(texts.len(), expected.len(), "{texts:#?}");
    for (text, expected) in texts.iter().zip(expected) {
        assert!(text.contains(expected), "{text}");
    }
    let specs = [specs[2].clone()];
    assert_eq!(check_needs(&specs, &bench.cluster, &*bench.db).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_an_answer_and_not_a_panic() {
    let bench = bench(&["n1"], &[]);
    for (class, f, value) in [
        ("kill", F::Read, Value::Nil),
        ("kill", F::Inject, Value::Nil),
        ("kill", F::Inject, Value::from_json(&json!({"shape": "halves", "direction": "in", "duration_ms": 1}))),
        ("partition", F::Inject, Value::from_json(&json!({"shape": "halves", "direction": "in", "duration_ms": 1}))),
    ] {
        assert!(bench.invoke(class, f, value).await.error.is_some());
    }
    assert!(bench.nemesis.actor("meteor").is_none());
}
