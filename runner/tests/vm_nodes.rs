//! Whole virtual machines are booted again, lose their power and stand still, by the nemesis: with what was measured, with what
//! was not synced lost and nothing else, and with leases that go on after a restart of the node.
//!
//! Boots machines, so it runs only where `SCHISM_TEST_LONG=1` asks for it. The test program is the holder of its own lab,
//! hence its own `main`. Names of cases as arguments choose some of them.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program without the harness")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use schism::ground::{Ready, enter};
use schism_cluster::{Cluster, Command, DATA_DISK, Db, packages};
use schism_generators::Invocation;
use schism_history::{F, Node, Process, Value};
use schism_lab::{Lab, LabSpec, up, vms};
use schism_nemesis::{
    FAULTS, FaultSpec, Lease, Leases, Ledger, Nemesis, NemesisOptions, RunTag, check_needs, heal_all,
};
use schism_tests_suites::DatabaseSpec;
use schism_tests_suites::etcd::EtcdOptions;
use serde_json::{Value as Json, json};

/// None may take longer, so that a hanging one is named.
const CASE_MAX: Duration = Duration::from_secs(420);
/// How long a node and its database may take to be back by themselves: a lease, a boot, the lease again, a start; each
/// takes minutes where the host has more to do.
const BACK_MAX: Duration = Duration::from_secs(300);
/// A lease that outlasts every injection here, and a case.
const LONG: Duration = Duration::from_secs(600);
/// One that outlasts an injection.
const SHORT: Duration = Duration::from_secs(25);

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type Case = (&'static str, for<'a> fn(&'a Place) -> Running<'a>);

const CASES: &[Case] = &[
    ("all_is_met", |place| Box::pin(all_is_met(place))),
    ("a_reboot_loses_nothing_and_its_lease_goes_on", |place| Box::pin(a_reboot_loses_nothing(place))),
    ("a_power_cut_loses_what_was_not_synced", |place| Box::pin(a_power_cut_loses_what_was_not_synced(place))),
    ("a_frozen_machine_stands_still", |place| Box::pin(a_frozen_machine_stands_still(place))),
    ("after_a_reboot_the_node_heals_itself", |place| Box::pin(after_a_reboot_the_node_heals_itself(place))),
    ("holder_and_node_heal_a_power_cut", |place| Box::pin(holder_and_node_heal_a_power_cut(place))),
    ("the_holder_lets_a_frozen_machine_go_on", |place| Box::pin(the_holder_thaws(place))),
    ("the_ledger_alone_heals", |place| Box::pin(the_ledger_alone_heals(place))),
];

fn main() -> ExitCode {
    schism_lab::holder_main_if_asked();
    schism_nemesis::agent::main_if_asked();
    if std::env::var("SCHISM_TEST_LONG").as_deref() != Ok("1") {
        println!("tests of whole machines passed over: they boot machines for minutes; SCHISM_TEST_LONG=1 runs them");
        return ExitCode::SUCCESS;
    }
    let fetched = vms::fetch(&packages::default_cache(), &["etcd-server"], &mut |line| println!("  {line}"));
    let parts = match fetched {
        Ok(parts) => parts,
        Err(error) => {
            println!("tests of whole machines cannot be run here: {error}");
            return ExitCode::FAILURE;
        }
    };
    let spec = LabSpec { lease: None, ..LabSpec::of_machines(LabSpec::fresh_id(), 3, parts) };
    let place = Place::of(up(&spec, &std::env::current_exe().unwrap()).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let asked = |name: &str| filters.is_empty() || filters.iter().any(|part| name.contains(part));
    let up = catch_unwind(AssertUnwindSafe(|| runtime.block_on(place.start()))).is_ok();
    let mut failed = usize::from(!up);
    for (name, case) in CASES.iter().filter(|(name, _)| up && asked(name)) {
        let begin = Instant::now();
        let all = async { tokio::time::timeout(CASE_MAX, case(&place)).await.expect("it ends in time") };
        let good = catch_unwind(AssertUnwindSafe(|| runtime.block_on(all))).is_ok();
        println!("test {name} ... {} ({:?})", if good { "ok" } else { "FAILED" }, begin.elapsed());
        failed += usize::from(!good);
    }
    println!("{failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Three machines with etcd. They go with this.
struct Place {
    lab: Lab,
    ready: Ready,
    db: Arc<dyn Db>,
    folder: tempfile::TempDir,
    last: AtomicU32,
}

impl Drop for Place {
    fn drop(&mut self) {
        schism_lab::down(&self.lab).unwrap();
    }
}

impl Place {
    /// The process must have one thread.
    fn of(lab: Lab) -> Place {
        let ready = enter(lab.clone(), &[], true).unwrap();
        let database = schism_tests_suites::build(&DatabaseSpec::Etcd(EtcdOptions::default()).patient()).unwrap();
        Place { lab, ready, db: database.db, folder: tempfile::tempdir().unwrap(), last: AtomicU32::new(0) }
    }

    fn cluster(&self) -> &Cluster {
        &self.ready.cluster
    }

    async fn start(&self) {
        for handle in &self.cluster().nodes {
            self.db.setup(self.cluster(), handle).await.unwrap();
        }
        self.serves().await;
    }

    /// All members serve.
    async fn serves(&self) {
        self.db.await_ready(self.cluster()).await.unwrap();
    }

    fn ledger(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.jsonl"))
    }

    /// A nemesis that gives no signs of life, so that its faults last as long as the lease.
    fn nemesis(&self, name: &str, lease: Duration) -> Arc<Nemesis> {
        let ledger = Ledger::open(&self.ledger(name)).unwrap();
        let options = NemesisOptions { lease, ..NemesisOptions::new(RunTag::new(name)) };
        let classes: Vec<&str> = FAULTS.iter().map(|entry| entry.name).collect();
        Nemesis::new(self.cluster().clone(), self.db.clone(), ledger, options, &classes)
    }

    async fn invoke(&self, nemesis: &Arc<Nemesis>, class: &str, f: F, value: Value) -> Json {
        let (process, begin) = (Process::nemesis(class), Instant::now());
        let id = match f {
            F::Inject => self.last.fetch_add(1, Ordering::Relaxed) + 1,
            _ => self.last.load(Ordering::Relaxed),
        };
        let words = format!("{class} {f:?}");
        let answer = nemesis.actor(class).unwrap().invoke(&Invocation { process, f, key: None, value }, id).await;
        let told = answer.value.to_json();
        assert_eq!(answer.error, None, "{words}: {told}");
        println!("  {words} ({:?}): {}", begin.elapsed(), told["evidence"]);
        assert_eq!(told["evidence"]["proven"], true, "{words} is not proven");
        told
    }

    async fn inject(&self, nemesis: &Arc<Nemesis>, class: &str, node: &str) -> Json {
        let intention = json!({ "target": [node], "duration_ms": 1000 });
        self.invoke(nemesis, class, F::Inject, Value::from_json(&intention)).await
    }

    async fn heal(&self, nemesis: &Arc<Nemesis>, class: &str) -> Json {
        self.invoke(nemesis, class, F::Heal, Value::Nil).await
    }

    /// What a script says on a node.
    async fn on(&self, node: &str, script: &str) -> String {
        let handle = self.cluster().get(&Node::new(node)).unwrap();
        handle.remote.run(&Command::new(script)).await.unwrap().text()
    }

    async fn uptime_s(&self, node: &str) -> f64 {
        self.on(node, "cut -d' ' -f1 /proc/uptime").await.parse().unwrap()
    }

    /// Whether the database has processes on a node that can be logged in to.
    async fn runs(&self, node: &str) -> bool {
        let handle = self.cluster().get(&Node::new(node)).unwrap();
        self.db.kill().unwrap().processes(handle).await.is_ok_and(|processes| !processes.is_empty())
    }

    /// Leases of these machines; a node that is silent has none that could be seen.
    async fn leases(&self) -> Vec<Lease> {
        Leases::default().list(self.cluster()).await.0
    }

    /// Waits until a node has its database again and no lease is kept, which nobody but machines and holder see to.
    async fn heals_itself(&self, node: &str) {
        let begin = Instant::now();
        loop {
            if self.runs(node).await && self.leases().await.is_empty() {
                let kept = self.cluster().ground.leases().await.unwrap();
                if kept.is_empty() {
                    println!("  {node} has its database again after {:?}", begin.elapsed());
                    return;
                }
            }
            let (leases, silent) = Leases::default().list(self.cluster()).await;
            assert!(begin.elapsed() < BACK_MAX, "it does not heal: {leases:?} {silent:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

async fn all_is_met(place: &Place) {
    let specs = ["reboot", "power-cut", "freeze", "oom-kill", "cpu-throttle"];
    let specs: Vec<FaultSpec> = specs.iter().map(|name| FaultSpec::named(name).unwrap().resolved(3, true)).collect();
    assert_eq!(check_needs(&specs, place.cluster(), &*place.db).await, Ok(()));
    // A machine may also reboot itself, and its control groups are those of version 2.
    assert_eq!(place.on("n1", &schism_nemesis::scripts::can_reboot()).await, "");
    let controllers = place.on("n1", "cat /sys/fs/cgroup/cgroup.subtree_control").await;
    assert_eq!(controllers, "cpu memory");
}

/// Files on both disks, of which some bytes are on disk and some are not; answers how many bytes each has.
async fn write_half_synced(place: &Place, node: &str) -> String {
    let script = format!(
        "for at in {DATA_DISK}/half /root/half; do head -c 1000 /dev/zero | tr '\\0' k >$at; done; sync
for at in {DATA_DISK}/half /root/half; do head -c 5000 /dev/zero | tr '\\0' l >>$at; done; stat -c %s {DATA_DISK}/half /root/half"
    );
    place.on(node, &script).await
}

/// How many bytes of each kind such files have, and in what they were written.
async fn look_at_halves(place: &Place, node: &str) -> String {
    let count = "tr -dc \"$kind\" <$at | wc -c";
    place.on(node, &format!("for at in {DATA_DISK}/half /root/half; do for kind in k l; do {count}; done; done")).await
}

async fn a_reboot_loses_nothing(place: &Place) {
    let nemesis = place.nemesis("rb1", LONG);
    assert_eq!(write_half_synced(place, "n2").await, "6000\n6000");
    place.on("n2", "touch /run/gone-with-memory").await;
    let told = place.inject(&nemesis, "reboot", "n2").await;
    assert_eq!(told["by"], "ground");
    let boot = &told["evidence"]["measured"]["boots"][0];
    assert_ne!(boot["before"]["boot_id"], boot["now"]["boot_id"], "{boot}");
    assert!(boot["now"]["uptime_s"].as_f64().unwrap() < boot["before"]["uptime_s"].as_f64().unwrap(), "{boot}");
    assert_eq!(look_at_halves(place, "n2").await, "1000\n5000\n1000\n5000", "an orderly end syncs");
    assert_eq!(place.on("n2", "ls /run/gone-with-memory 2>/dev/null; true").await, "");
    assert!(!place.runs("n2").await, "the database is down until it is healed");
    let leases = place.leases().await;
    let [lease] = &leases[..] else { panic!("{leases:?}") };
    assert_eq!(lease.restarts_by.as_deref(), Some("lab"), "{lease:?}");
    assert!(lease.left_s.is_some_and(|left_s| left_s > 0), "somebody waits for silence again: {lease:?}");
    place.heal(&nemesis, "reboot").await;
    assert_eq!(place.leases().await, []);
    place.serves().await;
}

async fn a_power_cut_loses_what_was_not_synced(place: &Place) {
    let nemesis = place.nemesis("pc1", LONG);
    assert_eq!(write_half_synced(place, "n3").await, "6000\n6000");
    let told = place.inject(&nemesis, "power-cut", "n3").await;
    let asked = told["evidence"]["measured"]["asked"].as_array().unwrap();
    assert!(asked.len() == 1 && asked[0]["answers"] == false, "{told}");
    let told = place.heal(&nemesis, "power-cut").await;
    assert_eq!(told["evidence"]["measured"]["boots"][0]["another_boot"], true, "{told}");
    assert_eq!(look_at_halves(place, "n3").await, "1000\n0\n1000\n0", "bytes that were not synced are lost, no other");
    assert_eq!((place.leases().await, place.cluster().ground.leases().await.unwrap()), (vec![], vec![]));
    place.serves().await;
}

async fn a_frozen_machine_stands_still(place: &Place) {
    let nemesis = place.nemesis("fr1", LONG);
    let (before_s, begin) = (place.uptime_s("n1").await, Instant::now());
    let told = place.inject(&nemesis, "freeze", "n1").await;
    assert_eq!(told["evidence"]["measured"]["asked"][0]["answers"], false, "{told}");
    let frozen = Instant::now();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let stood_s = frozen.elapsed().as_secs_f64();
    place.heal(&nemesis, "freeze").await;
    let (lived_s, passed_s) = (place.uptime_s("n1").await - before_s, begin.elapsed().as_secs_f64());
    println!("  {lived_s:.1} s of {passed_s:.1} s were lived, of which it stood still for at least {stood_s:.1} s");
    assert!(lived_s > 0.0 && lived_s <= passed_s - stood_s + 1.0, "it is in the same boot, and stood still");
    place.serves().await;
}

/// The controller is gone: after the restart the machine waits for its sign of life, and then starts the database.
async fn after_a_reboot_the_node_heals_itself(place: &Place) {
    let nemesis = place.nemesis("rb2", SHORT);
    place.inject(&nemesis, "reboot", "n1").await;
    place.heals_itself("n1").await;
    let told = place.heal(&nemesis, "reboot").await;
    assert_eq!(told["evidence"]["measured"]["healed_by_its_lease_before"], json!(["n1"]), "{told}");
    place.serves().await;
}

/// The same without power: the holder switches the machine on, and the machine starts the database.
async fn holder_and_node_heal_a_power_cut(place: &Place) {
    let nemesis = place.nemesis("pc2", SHORT);
    place.inject(&nemesis, "power-cut", "n2").await;
    let kept = place.cluster().ground.leases().await.unwrap();
    assert!(kept.iter().any(|(lease, _)| lease.class == "power-cut"), "{kept:?}");
    place.heals_itself("n2").await;
    place.heal(&nemesis, "power-cut").await;
    place.serves().await;
}

async fn the_holder_thaws(place: &Place) {
    let nemesis = place.nemesis("fr2", SHORT);
    place.inject(&nemesis, "freeze", "n3").await;
    place.heals_itself("n3").await;
    place.heal(&nemesis, "freeze").await;
    place.serves().await;
}

/// From the file and the ground alone, as a second process does after the first one died: one machine is without power,
/// another frozen.
async fn the_ledger_alone_heals(place: &Place) {
    let nemesis = place.nemesis("led", LONG);
    place.inject(&nemesis, "power-cut", "n1").await;
    place.inject(&nemesis, "freeze", "n2").await;
    drop(nemesis);
    let report = heal_all(&place.ledger("led"), place.cluster(), &Leases::default()).await.unwrap();
    assert_eq!(report.trouble(), Vec::<String>::new());
    assert_eq!((place.leases().await, place.cluster().ground.leases().await.unwrap()), (vec![], vec![]));
    place.serves().await;
}
