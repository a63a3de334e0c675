//! Kill, pause, ledger and leases against real processes and real shells on this machine.

mod support;

use std::sync::Arc;
use std::time::Duration;

use schism_cluster::Cluster;
use schism_generators::Invocation;
use schism_history::{F, Node, Process, Value};
use schism_nemesis::ledger::{self, State};
use schism_nemesis::{Actor, Answer, Leases, Ledger, Nemesis, NemesisOptions, RunTag, heal_all};
use serde_json::{Value as Json, json};
use support::programs::Programs;

/// A cluster of sleeping programs with a nemesis.
struct Bench {
    folder: tempfile::TempDir,
    cluster: Cluster,
    db: Arc<Programs>,
    nemesis: Arc<Nemesis>,
    leases: Leases,
}

impl Bench {
    async fn new(margin_s: u64) -> Bench {
        let folder = tempfile::tempdir().expect("the set-up of a test");
        let db = Programs::new(3, &["sleep", "600"]).await;
        let cluster = db.cluster.clone();
        let ledger = Ledger::open(&folder.path().join("faults.jsonl")).expect("the set-up of a test");
        let leases = Leases::within(&folder.path().join("leases").display().to_string());
        let options =
            NemesisOptions { tag: RunTag::new("t"), lease: Duration::from_secs(margin_s), leases: leases.clone() };
        let classes = ["kill", "pause"];
        let nemesis = Nemesis::new(cluster.clone(), Arc::clone(&db) as _, ledger, options, &classes);
        Bench { folder, cluster, db, nemesis, leases }
    }

    fn actor(&self, class: &str) -> Actor {
        self.nemesis.actor(class).expect("the set-up of a test")
    }

    fn state(&self, node: &str) -> Option<char> {
        self.db.state(node)
    }

    /// A signal takes effect a moment after it was sent, and a busy machine takes its time: until its process is in this state.
    async fn await_state(&self, node: &str, wanted: char) {
        let begun = std::time::Instant::now();
        while self.state(node) != Some(wanted) {
            assert!(begun.elapsed() < Duration::from_secs(10), "{node}: {:?}, not {wanted}", self.state(node));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn await_all_sleep(&self) {
        for node in ["n1", "n2", "n3"] {
            self.await_state(node, 'S').await;
        }
    }

    fn lease_files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.path().join("leases"));
        files
            .into_iter()
            .flatten()
            .map(|file| file.expect("the set-up of a test").file_name().into_string().expect("the set-up of a test"))
            .collect()
    }

    /// A lease that was cancelled leaves no watcher: none names our folder any more, within a few seconds.
    async fn await_no_watcher(&self) {
        let folder = self.folder.path().display().to_string();
        let watches = |pid: &std::ffi::OsStr| {
            let words = std::fs::read(std::path::Path::new("/proc").join(pid).join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words);
            words.contains("schism-lease") && words.contains(&folder)
        };
        let begun = std::time::Instant::now();
        while std::fs::read_dir("/proc").expect("proc").flatten().any(|entry| watches(&entry.file_name())) {
            assert!(begun.elapsed() < Duration::from_secs(10), "the watcher of a cancelled lease is still there");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn ledger_states(&self) -> Vec<(u32, State)> {
        let text = ledger::read(&self.folder.path().join("faults.jsonl")).expect("the set-up of a test");
        text.entries.iter().map(|entry| (entry.fault_id, entry.state)).collect()
    }
}

async fn inject(actor: &Actor, fault_id: u32, target: Json) -> Answer {
    let value = Value::from_json(&json!({"target": target, "duration_ms": 0}));
    actor.invoke(&invocation(actor, F::Inject, value), fault_id).await
}

async fn heal(actor: &Actor, fault_id: u32) -> Answer {
    actor.invoke(&invocation(actor, F::Heal, Value::Nil), fault_id).await
}

fn invocation(actor: &Actor, f: F, value: Value) -> Invocation {
    Invocation { process: Process::nemesis(actor.class()), f, key: None, value }
}

#[tokio::test]
async fn a_kill_is_proven_undone_and_leaves_nothing() {
    let bench = Bench::new(60).await;
    let before = bench.db.running("n2").await;
    let actor = bench.actor("kill");
    let answer = inject(&actor, 7, json!(["n2"])).await;
    assert_eq!(answer.error, None, "{answer:?}");
    let told = answer.value.to_json();
    assert_eq!((&told["label"], &told["nodes"]), (&json!("kill: n2"), &json!(["n2"])));
    assert_eq!(told["evidence"]["proven"], true, "{told}");
    assert_eq!(told["processes"], json!([{"node": "n2", "pid": before[0].pid, "start_ticks": before[0].start_ticks}]));
    assert_eq!([bench.state("n1").is_some(), bench.db.running("n2").await.is_empty()], [true, true]);
    assert_eq!(bench.nemesis.open_faults().list(), [("kill".to_owned(), 7)]);
    assert_eq!(actor.nodes(), [Node::new("n2")]);
    assert!(bench.lease_files().contains(&"t-7-n2.undo".to_owned()));
    let (leases, errors) = bench.leases.list(&bench.cluster).await;
    assert!(errors.is_empty());
    assert_eq!(leases[0].info.as_ref().map(|info| info.label.as_str()), Some("kill: n2"));
    assert!((40..=60).contains(&leases[0].left_s.unwrap()), "{leases:?}");

    let answer = heal(&actor, 7).await;
    assert_eq!((answer.error, &answer.value.to_json()["evidence"]["proven"]), (None, &json!(true)));
    assert_ne!(bench.db.running("n2").await, before);
    assert_eq!(bench.lease_files(), Vec::<String>::new());
    let states = [State::Planned, State::Injected, State::Healing, State::Healed];
    assert_eq!(bench.ledger_states(), states.map(|state| (7, state)));
    assert_eq!(bench.nemesis.heal_everything().await, Vec::<String>::new());
    bench.await_no_watcher().await;
}

#[tokio::test]
async fn a_pause_is_proven_and_goes_on() {
    let bench = Bench::new(60).await;
    let actor = bench.actor("pause");
    let answer = inject(&actor, 1, json!("majority")).await;
    assert_eq!(answer.error, None);
    let told = answer.value.to_json();
    assert_eq!(told["evidence"]["proven"], true, "{told}");
    let stopped = ["n1", "n2", "n3"].iter().filter(|node| bench.state(node) == Some('T')).count();
    assert_eq!(stopped, 2);
    let answer = heal(&actor, 1).await;
    assert_eq!(answer.value.to_json()["evidence"]["proven"], true);
    bench.await_all_sleep().await;
}

#[tokio::test]
async fn classes_that_overlap_do_not_confuse_each_other() {
    let bench = Bench::new(60).await;
    let (kill, pause) = (bench.actor("kill"), bench.actor("pause"));
    // Killed while paused: the pause finds its process gone, and says healed.
    assert_eq!(inject(&pause, 1, json!(["n1"])).await.error, None);
    assert_eq!(inject(&kill, 2, json!(["n1"])).await.value.to_json()["evidence"]["proven"], true);
    let healed = heal(&pause, 1).await;
    assert_eq!((healed.error, &healed.value.to_json()["evidence"]["proven"]), (None, &json!(true)));
    // Paused while killed: nobody to pause.
    let answer = inject(&pause, 3, json!(["n1"])).await;
    let error = answer.error.clone().unwrap().to_json();
    assert_eq!(error, json!(["no-target", "pause: no target: programs does not run on n1"]));
    assert_eq!(answer.value.to_json()["evidence"]["proven"], false);
    assert_eq!(heal(&pause, 3).await.value.to_json()["evidence"]["proven"], true);
    // Some run and some do not: those that do.
    let answer = inject(&pause, 4, json!("all")).await.value.to_json();
    assert_eq!((&answer["nodes"], &answer["evidence"]["proven"]), (&json!(["n2", "n3"]), &json!(true)));
    // Restarted while others are paused: the start finds what runs and leaves it.
    assert_eq!(heal(&kill, 2).await.error, None);
    bench.await_state("n1", 'S').await;
    assert_eq!(bench.state("n2"), Some('T'));
    assert_eq!(heal(&pause, 4).await.error, None);
    bench.await_state("n2", 'S').await;
    assert_eq!(heal(&pause, 4).await.error, None, "healing nothing is no error");
}

#[tokio::test]
async fn a_process_that_took_the_number_over_is_left_alone() {
    let bench = Bench::new(60).await;
    let mut other = bench.db.running("n1").await;
    other[0].start_ticks += 1;
    let script = schism_nemesis::scripts::signal("KILL", &other);
    bench.cluster.nodes[0].remote.run(&schism_cluster::Command::new(script)).await.unwrap();
    bench.await_state("n1", 'S').await;
}

#[tokio::test]
async fn the_ledger_alone_heals_after_the_controller_died() {
    let bench = Bench::new(60).await;
    assert_eq!(inject(&bench.actor("kill"), 1, json!(["n1", "n3"])).await.error, None);
    assert_eq!(inject(&bench.actor("pause"), 2, json!(["n2"])).await.error, None);
    // From here on only the file is used.
    let path = bench.folder.path().join("faults.jsonl");
    let report = heal_all(&path, &bench.cluster, &bench.leases).await.unwrap();
    assert_eq!(report.trouble(), Vec::<String>::new());
    assert_eq!(
        report.healed,
        ["fault 2 (pause: n2) on n2", "fault 1 (kill: n1 n3) on n1", "fault 1 (kill: n1 n3) on n3"]
    );
    bench.await_all_sleep().await;
    assert_eq!(bench.lease_files(), Vec::<String>::new());
    let again = heal_all(&path, &bench.cluster, &bench.leases).await.unwrap();
    assert_eq!(again, schism_nemesis::HealReport::default());
}

#[tokio::test]
async fn the_leases_alone_heal_without_a_ledger() {
    let bench = Bench::new(60).await;
    assert_eq!(inject(&bench.actor("pause"), 2, json!("all")).await.error, None);
    let report = bench.leases.heal(&bench.cluster).await;
    assert!(report.failed.is_empty(), "{report:?}");
    // All three nodes share this machine's folder, so each lease is found by whoever looks first.
    assert!(report.healed.iter().any(|what| what.starts_with("lease t-2-n3 on ")), "{report:?}");
    bench.await_state("n3", 'S').await;
    assert_eq!(bench.lease_files(), Vec::<String>::new());
}

#[tokio::test]
async fn the_node_heals_itself_when_nobody_does() {
    let bench = Bench::new(8).await;
    let actor = bench.actor("pause");
    let begun = std::time::Instant::now();
    assert_eq!(inject(&actor, 1, json!(["n1"])).await.value.to_json()["evidence"]["proven"], true);
    assert_eq!(bench.state("n1"), Some('T'));
    while bench.state("n1") == Some('T') {
        assert!(begun.elapsed() < Duration::from_secs(40), "the lease did not heal");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It counts whole seconds, and not before the injection began.
    assert!(begun.elapsed() > Duration::from_secs(7), "it healed before its time");
    // The controller comes late, and nothing breaks.
    let answer = heal(&actor, 1).await;
    assert_eq!((answer.error, &answer.value.to_json()["evidence"]["proven"]), (None, &json!(true)));
    assert_eq!(bench.lease_files(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_harmed_when_the_ledger_cannot_be_written() {
    let bench = Bench::new(60).await;
    let full = Ledger::open(std::path::Path::new("/dev/full")).unwrap();
    let options = NemesisOptions { leases: bench.leases.clone(), ..NemesisOptions::new(RunTag::new("t")) };
    let nemesis = Nemesis::new(bench.cluster.clone(), Arc::clone(&bench.db) as _, full, options, &["kill"]);
    let answer = inject(&nemesis.actor("kill").unwrap(), 1, json!("all")).await;
    let error = answer.error.unwrap().to_json();
    assert_eq!(error[0], "ledger");
    assert!(error[1].as_str().unwrap().ends_with("; nothing was harmed"), "{error}");
    bench.await_all_sleep().await;
    assert_eq!(bench.lease_files(), Vec::<String>::new());
    assert_eq!(nemesis.open_faults().list(), []);
}

#[tokio::test]
async fn heal_everything_heals_and_lets_nothing_be_injected_any_more() {
    let bench = Bench::new(60).await;
    let actor = bench.actor("pause");
    assert_eq!(inject(&actor, 1, json!("all")).await.error, None);
    assert_eq!(bench.nemesis.heal_everything().await, Vec::<String>::new());
    bench.await_state("n1", 'S').await;
    assert_eq!(bench.nemesis.open_faults().list(), []);
    let error = inject(&actor, 2, json!("all")).await.error.unwrap().to_json();
    assert_eq!(error, json!(["intention", "pause: this cannot be done: the nemesis was halted"]));
    bench.await_state("n1", 'S').await;
}
