//! Faults of processes, nodes, resources and membership against a real etcd of three nodes in a lab: each is seen to come and
//! to go, with what was measured; they overlap; and the ledger, or the node alone, heals what a controller left.
//!
//! Needs root and what a lab needs; says so where that is missing. The test program is the holder of its own lab and the
//! agent of its nodes, hence its own `main`. Names of cases as arguments choose some of them.

// Clippy allows these in tests, but does not know a test program without the harness for one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use schism::ground::{Ready, enter};
use schism_cluster::{Cluster, Command, Db, ProcessId, packages};
use schism_generators::Invocation;
use schism_history::{F, Node, Process, Value};
use schism_lab::{Lab, LabSpec, exec, holder_main_if_asked, up};
use schism_nemesis::{
    Answer, FAULTS, LeaseInfo, Leases, Ledger, Nemesis, NemesisOptions, RunTag, Undo, agent, check_needs, heal_all,
};
use schism_tests_suites::etcd::{Etcd, EtcdOptions};
use serde_json::{Value as Json, json};

/// None may take longer, so that a hanging one is named.
const CASE_MAX: Duration = Duration::from_secs(240);

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type Case = (&'static str, for<'a> fn(&'a Place) -> Running<'a>);

const CASES: &[Case] = &[
    ("needs", |place| Box::pin(needs(place))),
    ("processes_end_and_come_back", |place| Box::pin(processes_end_and_come_back(place))),
    ("a_crash_loop_kills_until_it_is_healed", |place| Box::pin(a_crash_loop_kills_until_it_is_healed(place))),
    ("classes_overlap_on_one_node", |place| Box::pin(classes_overlap_on_one_node(place))),
    ("processors_are_taken", |place| Box::pin(processors_are_taken(place))),
    ("memory_is_taken", |place| Box::pin(memory_is_taken(place))),
    ("the_database_is_throttled", |place| Box::pin(the_database_is_throttled(place))),
    ("descriptors_run_out", |place| Box::pin(descriptors_run_out(place))),
    ("memory_runs_out", |place| Box::pin(memory_runs_out(place))),
    ("members_leave_and_join", |place| Box::pin(members_leave_and_join(place))),
    ("nodes_freeze_reboot_and_lose_power", |place| Box::pin(nodes_freeze_reboot_and_lose_power(place))),
    ("the_ledger_alone_heals", |place| Box::pin(the_ledger_alone_heals(place))),
    ("the_node_heals_itself", |place| Box::pin(the_node_heals_itself(place))),
    ("what_is_at_work_ends_with_its_lease", |place| Box::pin(what_is_at_work_ends_with_its_lease(place))),
    ("names_alone_heal", |place| Box::pin(names_alone_heal(place))),
    ("groups_and_agents_are_told_by_name", |place| Box::pin(groups_and_agents_are_told_by_name(place))),
    ("nothing_is_left", |place| Box::pin(nothing_is_left(place))),
];

fn main() -> ExitCode {
    holder_main_if_asked();
    agent::main_if_asked();
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let place = match Place::make() {
        Ok(place) => place,
        Err(reason) => {
            println!("tests of faults in the lab skipped: {reason}");
            return ExitCode::SUCCESS;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut failed = 0;
    let up = catch_unwind(AssertUnwindSafe(|| runtime.block_on(place.start()))).is_ok();
    let asked = |name: &str| up && (filters.is_empty() || filters.iter().any(|part| name.contains(part)));
    for (name, case) in CASES.iter().filter(|(name, _)| asked(name)) {
        let begin = Instant::now();
        let all = async { tokio::time::timeout(CASE_MAX, case(&place)).await.expect("it ends in time") };
        let good = catch_unwind(AssertUnwindSafe(|| runtime.block_on(all))).is_ok();
        println!("test {name} ... {} ({:?})", if good { "ok" } else { "FAILED" }, begin.elapsed());
        failed += usize::from(!good);
        if !good {
            println!("  {:?}", runtime.block_on(Leases::default().heal(place.cluster())).trouble());
        }
    }
    drop(place);
    println!("{failed} failed");
    if failed == 0 && up { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A lab with etcd on three nodes. It goes with this, or with its lease.
struct Place {
    lab: Lab,
    ready: Ready,
    db: Arc<Etcd>,
    folder: tempfile::TempDir,
    last: AtomicU32,
}

impl Drop for Place {
    fn drop(&mut self) {
        schism_lab::down(&self.lab).unwrap();
    }
}

impl Place {
    /// Makes it, or says what this machine lacks for it. The process must have one thread.
    fn make() -> Result<Place, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("labs need root".to_owned());
        }
        let cache = packages::default_cache();
        let tree = packages::fetch_for_nodes(&cache, &["etcd-server"], &mut |line| println!("  {line}"))
            .map_err(|error| error.to_string())?;
        let spec = LabSpec { trees: vec![tree.path], ..LabSpec::new(LabSpec::fresh_id(), 3) };
        let lab = up(&spec, &std::env::current_exe().unwrap()).unwrap();
        let ready = enter(lab.clone(), &[], true).unwrap();
        let db = Arc::new(Etcd::new(EtcdOptions::default()).unwrap());
        Ok(Place { lab, ready, db, folder: tempfile::tempdir().unwrap(), last: AtomicU32::new(0) })
    }

    fn cluster(&self) -> &Cluster {
        &self.ready.cluster
    }

    async fn start(&self) {
        let cluster = self.cluster();
        let each = cluster.nodes.iter().map(|handle| self.db.setup(cluster, handle));
        for setup in each.collect::<Vec<_>>() {
            setup.await.unwrap();
        }
        self.db.await_ready(cluster).await.unwrap();
    }

    /// A nemesis of all classes with a ledger of its own.
    fn nemesis(&self, name: &str) -> Arc<Nemesis> {
        let ledger = Ledger::open(&self.ledger(name)).unwrap();
        let options = NemesisOptions { lease: Duration::from_secs(60), ..NemesisOptions::new(RunTag::new("fp")) };
        let classes: Vec<&str> = FAULTS.iter().map(|entry| entry.name).collect();
        Nemesis::new(self.cluster().clone(), self.db.clone(), ledger, options, &classes)
    }

    fn ledger(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{name}.jsonl"))
    }

    async fn inject(&self, nemesis: &Arc<Nemesis>, class: &str, intention: Json) -> Json {
        let mut intention = intention;
        intention["duration_ms"] = json!(1000);
        let answer = self.invoke(nemesis, class, F::Inject, Value::from_json(&intention)).await;
        let told = answer.value.to_json();
        assert_eq!(answer.error, None, "{class}: {told}");
        assert_eq!(told["evidence"]["proven"], true, "{class} is not proven: {told}");
        println!("  {class}: {}", told["evidence"]["measured"]);
        told
    }

    async fn heal(&self, nemesis: &Arc<Nemesis>, class: &str) -> Json {
        let answer = self.invoke(nemesis, class, F::Heal, Value::Nil).await;
        let told = answer.value.to_json();
        assert_eq!(answer.error, None, "{class}: {told}");
        assert_eq!(told["evidence"]["proven"], true, "{class} is not healed: {told}");
        told
    }

    async fn invoke(&self, nemesis: &Arc<Nemesis>, class: &str, f: F, value: Value) -> Answer {
        let process = Process::nemesis(class);
        let id = match f {
            F::Inject => self.last.fetch_add(1, Ordering::Relaxed) + 1,
            _ => self.last.load(Ordering::Relaxed),
        };
        nemesis.actor(class).unwrap().invoke(&Invocation { process, f, key: None, value }, id).await
    }

    /// What a script says on a node.
    async fn on(&self, node: &str, script: &str) -> String {
        let handle = self.cluster().get(&Node::new(node)).unwrap();
        handle.remote.run(&Command::new(script)).await.unwrap().text()
    }

    async fn running(&self, node: &str) -> Vec<ProcessId> {
        self.db.kill().unwrap().processes(self.cluster().get(&Node::new(node)).unwrap()).await.unwrap()
    }
}

/// All that this lab can do is asked for, and met; what it cannot is named. (Its nodes may not reboot by themselves, but the
/// ground can.)
async fn needs(place: &Place) {
    let by_itself = place.on("n1", &schism_nemesis::scripts::can_reboot()).await;
    assert!(by_itself.contains("CAP_SYS_BOOT"), "{by_itself}");
    let ours = [
        "terminate",
        "restart",
        "crash-loop",
        "reboot",
        "power-cut",
        "freeze",
        "cpu-hog",
        "cpu-throttle",
        "memory-pressure",
        "descriptors",
        "oom-kill",
        "membership",
    ];
    for class in ours {
        let spec = schism_nemesis::FaultSpec::named(class).unwrap().resolved(3, true);
        if let Err(unmet) = check_needs(&[spec], place.cluster(), &*place.db).await {
            let texts: Vec<String> = unmet.iter().map(ToString::to_string).collect();
            println!("  {texts:?}");
            // Where the machine has no control groups, and nothing else.
            assert!(class == "oom-kill" && texts[0].contains("control group"), "{texts:?}");
        }
    }
}

async fn processes_end_and_come_back(place: &Place) {
    let nemesis = place.nemesis("ends");
    let before = place.running("n1").await;
    place.inject(&nemesis, "terminate", json!({ "target": ["n1"], "grace_ms": 10_000 })).await;
    assert_eq!(place.running("n1").await, []);
    place.heal(&nemesis, "terminate").await;
    let after = place.running("n1").await;
    assert!(!after.is_empty() && !after.iter().any(|id| before.contains(id)), "{before:?} {after:?}");
    for signal in ["term", "kill"] {
        let before = place.running("n2").await;
        place.inject(&nemesis, "restart", json!({ "target": ["n2"], "signal": signal, "grace_ms": 10_000 })).await;
        let after = place.running("n2").await;
        assert!(!after.is_empty() && !after.iter().any(|id| before.contains(id)), "{before:?} {after:?}");
        place.heal(&nemesis, "restart").await;
        assert_eq!(place.running("n2").await, after, "the heal of a restart leaves what runs");
    }
}

async fn a_crash_loop_kills_until_it_is_healed(place: &Place) {
    let nemesis = place.nemesis("loop");
    place.inject(&nemesis, "crash-loop", json!({ "target": ["n3"], "every_ms": 300 })).await;
    let seen = place.running("n3").await;
    let begin = Instant::now();
    loop {
        let now = place.running("n3").await;
        if !now.is_empty() && now != seen {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "it does not go on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    place.heal(&nemesis, "crash-loop").await;
    let after = place.running("n3").await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(place.running("n3").await, after, "it has ended");
    place.db.await_ready(place.cluster()).await.unwrap();
}

/// What one class does, another does not undo, and neither is fooled.
async fn classes_overlap_on_one_node(place: &Place) {
    let nemesis = place.nemesis("overlap");
    place.inject(&nemesis, "pause", json!({ "target": ["n1"] })).await;
    // A stopped process takes the signal to end only when it goes on: told, healed, and no time bomb left.
    let value = json!({ "target": ["n1"], "grace_ms": 300, "duration_ms": 1 });
    let told = place.invoke(&nemesis, "terminate", F::Inject, Value::from_json(&value)).await;
    assert_eq!(told.value.to_json()["evidence"]["proven"], false, "{told:?}");
    place.heal(&nemesis, "terminate").await;
    let fresh = place.running("n1").await;
    place.heal(&nemesis, "pause").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(place.running("n1").await, fresh, "the signal does not strike after all was healed");
    // Killed while throttled and short of descriptors: both heal.
    place.inject(&nemesis, "cpu-throttle", json!({ "target": ["n1"], "percent": 20 })).await;
    place.inject(&nemesis, "descriptors", json!({ "target": ["n1"], "spare": 50 })).await;
    place.inject(&nemesis, "kill", json!({ "target": ["n1"] })).await;
    place.heal(&nemesis, "cpu-throttle").await;
    place.heal(&nemesis, "descriptors").await;
    place.heal(&nemesis, "kill").await;
    place.db.await_ready(place.cluster()).await.unwrap();
}

async fn processors_are_taken(place: &Place) {
    let nemesis = place.nemesis("hog");
    let told = place.inject(&nemesis, "cpu-hog", json!({ "target": ["n2"], "percent": 30, "nice": 5 })).await;
    let used = &told["evidence"]["measured"]["hogs"][0]["used"];
    let processors = told["evidence"]["measured"]["hogs"][0]["processors"].as_f64().unwrap();
    let share = used["cpu_ms"].as_f64().unwrap() / used["span_ms"].as_f64().unwrap() / processors;
    assert!((0.05..=0.45).contains(&share), "30 % asked, {share} measured");
    place.heal(&nemesis, "cpu-hog").await;
}

async fn memory_is_taken(place: &Place) {
    let nemesis = place.nemesis("memory");
    let intention = json!({ "target": ["n2"], "percent": 1, "leave_bytes": 256 << 20 });
    let told = place.inject(&nemesis, "memory-pressure", intention).await;
    let now = &told["evidence"]["measured"]["now"][0];
    assert_eq!(now["oom_score_adj"], 1000);
    let total = place.on("n2", "while read -r k v u; do [ $k != MemTotal: ] || echo $v; done </proc/meminfo").await;
    let asked = total.parse::<f64>().unwrap() * 1024.0 / 100.0;
    let took = now["took_bytes"].as_f64().unwrap();
    assert!(took <= asked && took > asked * 0.9, "{took} bytes of {asked}");
    place.heal(&nemesis, "memory-pressure").await;
    // What must be left is more than there is: refused, nothing harmed.
    let value = json!({ "target": ["n2"], "percent": 1, "leave_bytes": 1_u64 << 50, "duration_ms": 1 });
    let told = place.invoke(&nemesis, "memory-pressure", F::Inject, Value::from_json(&value)).await;
    assert_eq!(told.error.unwrap().to_json()[0], "refused");
}

async fn the_database_is_throttled(place: &Place) {
    let nemesis = place.nemesis("throttle");
    place.inject(&nemesis, "cpu-throttle", json!({ "target": ["n1"], "percent": 10 })).await;
    place.heal(&nemesis, "cpu-throttle").await;
    // Without a group: the node's view of them is hidden, and the agent does it by signals.
    place.on("n2", "mount -t tmpfs none /sys/fs/cgroup || true").await;
    let told = place.inject(&nemesis, "cpu-throttle", json!({ "target": ["n2"], "percent": 20 })).await;
    let seen = &told["evidence"]["measured"]["throttled"][0];
    assert_eq!(seen["by"], "signals", "{seen}");
    assert!((0.6..=1.0).contains(&seen["stopped_share"].as_f64().unwrap()), "{seen}");
    place.heal(&nemesis, "cpu-throttle").await;
    place.on("n2", "umount /sys/fs/cgroup").await;
    let states = place.on("n2", "cat /proc/[0-9]*/stat").await;
    assert!(!states.lines().any(|line| line.contains("(etcd) T")), "{states}");
    place.db.await_ready(place.cluster()).await.unwrap();
}

async fn descriptors_run_out(place: &Place) {
    let nemesis = place.nemesis("descriptors");
    let pid = place.running("n3").await[0].pid;
    let limits = format!("grep '^Max open files' /proc/{pid}/limits");
    let before = place.on("n3", &limits).await;
    place.inject(&nemesis, "descriptors", json!({ "target": ["n3"], "spare": 0 })).await;
    assert_ne!(place.on("n3", &limits).await, before);
    // The effect, from outside: a new connection is not served.
    let address = &place.cluster().get(&Node::new("n3")).unwrap().address;
    // What closed since the fault counted has left its descriptor free: idle connections take those first.
    let idle = format!("(sleep 9 | curl -s -m 9 telnet://{address}:2379) >/dev/null 2>&1 &");
    let others = format!("for i in 1 2 3 4 5 6 7 8; do {idle} done; sleep 1; ");
    let ask =
        format!("{others}curl -s -m 2 http://{address}:2379/version || echo silent; kill $(jobs -p) 2>/dev/null || :");
    assert_eq!(place.on("n1", &ask).await, "silent");
    place.heal(&nemesis, "descriptors").await;
    assert_eq!(place.on("n3", &limits).await, before, "exactly as before");
    let ask = format!("curl -s -m 20 http://{address}:2379/version || echo silent");
    assert!(place.on("n1", &ask).await.contains("etcdserver"));
}

async fn memory_runs_out(place: &Place) {
    let spec = schism_nemesis::FaultSpec::named("oom-kill").unwrap().resolved(3, true);
    if check_needs(&[spec], place.cluster(), &*place.db).await.is_err() {
        println!("  without control groups nobody runs out of memory");
        return;
    }
    let nemesis = place.nemesis("oom");
    let told = place.inject(&nemesis, "oom-kill", json!({ "target": ["n2"] })).await;
    assert!(told["evidence"]["measured"]["groups"][0]["counts"]["oom_kill"].as_i64().unwrap() > 0);
    assert_eq!(place.running("n2").await, []);
    place.heal(&nemesis, "oom-kill").await;
    place.db.await_ready(place.cluster()).await.unwrap();
}

async fn members_leave_and_join(place: &Place) {
    let nemesis = place.nemesis("members");
    let told = place.inject(&nemesis, "membership", json!({ "target": ["n2"] })).await;
    assert_eq!(told["evidence"]["measured"]["members"], json!(["n1", "n3"]));
    // A further one may not leave, whatever is asked.
    let other = place.nemesis("members-more");
    let value = json!({ "target": ["n3"], "duration_ms": 1 });
    let told = place.invoke(&other, "membership", F::Inject, Value::from_json(&value)).await;
    assert_eq!(told.error.unwrap().to_json()[0], "refused");
    let told = place.heal(&nemesis, "membership").await;
    assert_eq!(told["evidence"]["measured"]["members"], json!(["n1", "n2", "n3"]));
    place.db.await_ready(place.cluster()).await.unwrap();
    // Rejoining what belongs already does nothing.
    let handle = place.cluster().get(&Node::new("n2")).unwrap();
    let before = place.running("n2").await;
    let (first, second) = place.db.membership().unwrap().rejoin_scripts(place.cluster(), &handle.node, &handle.node);
    assert_eq!(first, "");
    place.on("n2", &second).await;
    assert_eq!(place.running("n2").await, before);
    let roles = place.db.roles().unwrap().roles(place.cluster()).await;
    assert_eq!((roles["leader"].len(), roles["follower"].len()), (1, 2), "{roles:?}");
}

async fn nodes_freeze_reboot_and_lose_power(place: &Place) {
    let nemesis = place.nemesis("nodes");
    place.inject(&nemesis, "freeze", json!({ "target": ["n1"] })).await;
    place.heal(&nemesis, "freeze").await;
    let told = place.inject(&nemesis, "reboot", json!({ "target": ["n2"] })).await;
    assert_eq!(told["by"], "ground");
    place.heal(&nemesis, "reboot").await;
    place.inject(&nemesis, "power-cut", json!({ "target": ["n3", "n1"] })).await;
    let told = place.heal(&nemesis, "power-cut").await;
    assert!(told["evidence"]["measured"]["boots"].as_array().unwrap().iter().all(|boot| boot["another_boot"] == true));
    place.db.await_ready(place.cluster()).await.unwrap();
}

/// From the file and the ground alone, as a second process does after the first one died.
async fn the_ledger_alone_heals(place: &Place) {
    let nemesis = place.nemesis("ledger");
    place.inject(&nemesis, "membership", json!({ "target": ["n2"] })).await;
    place.inject(&nemesis, "crash-loop", json!({ "target": ["n1"], "every_ms": 300 })).await;
    place.inject(&nemesis, "cpu-hog", json!({ "target": ["n1"], "percent": 10, "nice": 5 })).await;
    place.inject(&nemesis, "power-cut", json!({ "target": ["n1"] })).await;
    drop(nemesis);
    let begin = Instant::now();
    let mut trouble = Vec::new();
    // The member joins again when the others are up, which they are after the first round.
    while begin.elapsed() < Duration::from_secs(150) {
        let report = heal_all(&place.ledger("ledger"), place.cluster(), &Leases::default()).await.unwrap();
        trouble = report.trouble();
        if trouble.is_empty() {
            break;
        }
    }
    assert_eq!(trouble, Vec::<String>::new());
    place.db.await_ready(place.cluster()).await.unwrap();
}

/// The very undo that stands in the ledger runs by the node's own lease.
async fn the_node_heals_itself(place: &Place) {
    let tag = RunTag::new("self");
    let db: &dyn Db = &*place.db;
    let view = schism_nemesis::View { nodes: place.cluster().names(), ..Default::default() };
    let mut open = Vec::new();
    for (class, intention) in [
        ("descriptors", json!({ "target": ["n1"], "spare": 10, "duration_ms": 1 })),
        ("cpu-throttle", json!({ "target": ["n2"], "percent": 50, "duration_ms": 1 })),
        ("memory-pressure", json!({ "target": ["n1"], "percent": 1, "leave_bytes": 1 << 20, "duration_ms": 1 })),
        ("crash-loop", json!({ "target": ["n3"], "every_ms": 200, "duration_ms": 1 })),
        ("terminate", json!({ "target": ["n2"], "grace_ms": 5000, "duration_ms": 1 })),
    ] {
        let id = place.last.fetch_add(1, Ordering::Relaxed) + 1;
        let intention = schism_nemesis::Intention::from_value(class, &Value::from_json(&intention)).unwrap();
        let mut fault = intention.decide(&view, &tag, id).unwrap();
        let undo = fault.prepare(place.cluster(), db).await.unwrap();
        let info = schism_nemesis::LeaseInfo { class: class.to_owned(), label: fault.label(), lease_s: 4 };
        Leases::default().arm(place.cluster(), &tag.lease(id), &info, &undo).await.unwrap();
        fault.inject(place.cluster(), db).await.unwrap();
        open.push((class, fault));
    }
    let begin = Instant::now();
    let left = || async {
        let (leases, errors) = Leases::default().list(place.cluster()).await;
        leases.iter().filter(|lease| lease.name.starts_with("self-")).count() + errors.len()
    };
    while left().await > 0 {
        assert!(begin.elapsed() < Duration::from_secs(90), "the nodes do not heal themselves");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (class, fault) in open {
        let healed = fault.verify_healed(place.cluster(), db).await.unwrap();
        assert!(healed.proven, "{class}: {}", healed.measured);
    }
    place.db.await_ready(place.cluster()).await.unwrap();
}

/// Harm that takes long, over SSH, of a controller that gives no sign of life: the node ends it before it undoes it.
async fn what_is_at_work_ends_with_its_lease(place: &Place) {
    let (leases, node) = (Leases::default(), Node::new("n2"));
    let harm = "trap '' TERM; i=0; while [ $i -lt 300 ]; do echo $i >>/run/slow; sleep 0.1; i=$((i + 1)); done";
    let undo = [Undo::OnNode { node: node.clone(), script: "wc -l </run/slow >/run/slow-then\n".to_owned() }];
    let info = LeaseInfo { class: "kill".to_owned(), label: "slow".to_owned(), lease_s: 2 };
    leases.arm(place.cluster(), "fp-900", &info, &undo).await.unwrap();
    let leased = leases.guarding(place.cluster(), "fp-900", &undo);
    let begun = Instant::now();
    let slow = leased.get(&node).unwrap().remote.run(&Command::new(harm)).await;
    println!("  ended after {:.1?}: {:?}", begun.elapsed(), slow.as_ref().err().map(ToString::to_string));
    assert!(slow.is_err() && begun.elapsed() < Duration::from_secs(28), "it is ended: {slow:?}");
    while !leases.list(place.cluster()).await.0.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(90), "it is undone");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let counts = place.on("n2", "wc -l </run/slow; cat /run/slow-then; rm -f /run/slow /run/slow-then").await;
    let (now, then) = counts.split_once('\n').unwrap();
    assert!(now == then && then.parse::<u32>().unwrap() > 3, "{counts}: nothing is harmed after the undo");
    let late = leased.get(&node).unwrap().remote.run(&Command::new(harm)).await.unwrap_err().to_string();
    assert!(late.contains("the lease of this fault has run out"), "{late}");
}

/// What lost its lease is found by its name: nothing but the nodes' addresses is needed.
async fn names_alone_heal(place: &Place) {
    let nemesis = place.nemesis("names");
    let classes = [
        ("partition", json!({ "shape": "halves", "direction": "both" })),
        ("bandwidth", json!({ "target": ["n1"], "direction": "out", "rate_bits_per_s": 10_000_000 })),
        ("dns", json!({ "target": ["n2"], "mode": "fail" })),
        ("clock-jump", json!({ "target": ["n3"], "offset_ms": 60_000 })),
        ("cpu-hog", json!({ "target": ["n1"], "percent": 10, "nice": 5 })),
    ];
    for (class, intention) in classes.clone() {
        let mut intention = intention;
        intention["duration_ms"] = json!(1000);
        let answer = place.invoke(&nemesis, class, F::Inject, Value::from_json(&intention)).await;
        assert_eq!(answer.error, None, "{class}: {}", answer.value);
    }
    for node in ["n1", "n2", "n3"] {
        place
            .on(
                node,
                "rm -rf /var/lib/schism/leases; nft add table inet schism_like; echo '# schism-like' >>/etc/hosts",
            )
            .await;
    }
    let report = Leases::default().remove_leftovers(place.cluster()).await;
    assert_eq!(report.trouble(), Vec::<String>::new());
    for what in ["nftables table", "queues of", "names of", "clock of", "process of"] {
        assert!(report.healed.iter().any(|healed| healed.contains(what)), "{what}: {:?}", report.healed);
    }
    let again = Leases::default().remove_leftovers(place.cluster()).await;
    assert!(again.healed.is_empty() && again.failed.is_empty(), "{again:?}");
    for node in ["n1", "n2", "n3"] {
        let left = "PATH=$PATH:/usr/sbin:/sbin; nft list tables; tc qdisc show | grep htb; grep '^# schism' /etc/hosts; ls -d /run/schism/clock/*.term /run/schism/faults/* 2>/dev/null; true";
        assert_eq!(place.on(node, left).await, "table inet schism_like\n# schism-like", "{node}: ours only");
        place.on(node, "nft delete table inet schism_like; sed '/^# schism-like$/d' /etc/hosts >/tmp/hosts && cat /tmp/hosts >/etc/hosts").await;
    }
    // What is gone already is healed once more without harm, and seen to be gone.
    for (class, _) in classes {
        place.heal(&nemesis, class).await;
    }
}

/// A throttle by a group, a throttle of the agent that was killed in mid-stop, a hog of which no file tells: all without a
/// lease. What is called a little differently stays.
async fn groups_and_agents_are_told_by_name(place: &Place) {
    let nemesis = place.nemesis("groups");
    let state = "for file in /proc/[0-9]*/stat; do
  pid=${file#/proc/} pid=${pid%/stat}
  grep -qs '(etcd) ' \"$file\" && tr '\\n' ' ' <\"/proc/$pid/cgroup\"
done; echo; ls -d /sys/fs/cgroup/*/schism-* /sys/fs/cgroup/schism-* /run/schism/groups 2>/dev/null; true";
    let foreign = "for name in T-1-n1 lab.7.n1 t-x; do
  for base in /sys/fs/cgroup/cpu /sys/fs/cgroup; do
    [ ! -w \"$base/cgroup.procs\" ] || mkdir -p \"$base/schism-$name\"
  done
done
mkdir -p /var/lib/schism/agent && cp /bin/sleep /var/lib/schism/agent/schism-0123 && cp /bin/sleep /run/agent
setsid /var/lib/schism/agent/schism-0123 100 >/dev/null 2>&1 &
setsid /run/agent 100 >/dev/null 2>&1 &
sleep 0.1";
    place.on("n2", foreign).await;
    let before = place.on("n2", state).await;
    place.inject(&nemesis, "cpu-throttle", json!({ "target": ["n2"], "percent": 50 })).await;
    assert_ne!(place.on("n2", state).await, before);
    // A throttle that dies while its victim is stopped, and a hog of which no file of ours tells.
    let path = agent::IN_LABS;
    let victim =
        place.on("n2", "setsid sleep 90 >/dev/null 2>&1 & echo $!; sleep 0.1; cut -d ' ' -f 22 /proc/$!/stat").await;
    let (pid, began) = victim.split_once('\n').unwrap();
    let throttle = format!("exec {path} agent throttle /run/schism/faults/t-9-n2 600 1 {pid}:{began}");
    place.on("n2", &schism_nemesis::scripts::detached_start("t-9-n2", &throttle)).await;
    place
        .on(
            "n2",
            &format!(
                "read -r ours began </run/schism/faults/t-9-n2.pid
# Stopped between two of its slices, it dies with its victim stopped.
while :; do
  until grep -q '(sleep) T' /proc/{pid}/stat; do sleep 0.01; done
  kill -s STOP $ours; sleep 0.1
  if grep -q '(sleep) T' /proc/{pid}/stat; then break; fi
  kill -s CONT $ours; sleep 0.01
done
kill -9 $ours; sleep 0.3; grep -q '(sleep) T' /proc/{pid}/stat || exit 1
: >/tmp/orphan.on
setsid {path} agent hog /tmp/orphan 600 1 >/dev/null 2>&1 &
sleep 0.2; rm -rf /var/lib/schism/leases"
            ),
        )
        .await;
    let report = Leases::default().remove_leftovers(place.cluster()).await;
    assert_eq!(report.trouble(), Vec::<String>::new());
    for what in ["the process of t-9-n2 on n2", "(hog) on n2", "/schism-fp-"] {
        assert!(report.healed.iter().any(|healed| healed.contains(what)), "{what}: {:?}", report.healed);
    }
    let again = Leases::default().remove_leftovers(place.cluster()).await;
    assert!(again.healed.is_empty() && again.failed.is_empty(), "{again:?}");
    assert_eq!(place.on("n2", state).await, before);
    let foreign = format!(
        "grep -o '(sleep) .' /proc/{pid}/stat; kill {pid}
for p in /proc/[0-9]*; do
  case $(readlink $p/exe) in /run/agent | /var/lib/schism/agent/schism-0123) echo stranger; kill ${{p#/proc/}} ;; esac
done
for base in /sys/fs/cgroup/cpu /sys/fs/cgroup; do rmdir $base/schism-[Tlt]* 2>/dev/null; done
rm -f /var/lib/schism/agent/schism-0123 /run/agent /tmp/orphan.on"
    );
    assert_eq!(place.on("n2", &foreign).await, "(sleep) S\nstranger\nstranger");
    place.heal(&nemesis, "cpu-throttle").await;
}

/// After all of it: no file, process or group of ours on any node.
async fn nothing_is_left(place: &Place) {
    for node in ["n1", "n2", "n3"] {
        let left = place
            .on(
                node,
                "ls -d /run/schism/faults /run/schism/*.work.* /run/schism/*.ending /run/schism/leases/* /var/lib/schism/leases/* /sys/fs/cgroup/*/schism-* \
                 /sys/fs/cgroup/schism-* 2>/dev/null
                 for p in /proc/[0-9]*; do
                   tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -e ' agent ' -e schism-lease -e 'mark=' | grep -v grep
                 done; true",
            )
            .await;
        assert_eq!(left, "", "{node}");
    }
    assert_eq!(exec(&place.lab, Some("n1"), &["true".to_owned()]).unwrap(), 0);
}
