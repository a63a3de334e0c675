//! Disk faults in a real lab, under a small database that syncs what it answers: each is seen to come and to go with
//! measured values, the node is then as it was before, and nothing that was answered is lost where nothing may be.
//!
//! Needs root, FUSE and what a lab needs; says so where they are missing. The test program is the holder of its own lab and
//! the agent of its nodes, hence its own `main`.

// Clippy allows these in tests, but does not know a test program without the harness for one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/writer.rs"]
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use schism_cluster::daemon::{start_script, stop_script};
use schism_cluster::{Ability, Cluster, Command, DATA_DISK, Db, Kill, NoGround, ProcessId, packages};
use schism_generators::Invocation;
use schism_history::{F, Process, Value};
use schism_lab::{Lab, LabSpec, up};
use schism_nemesis::ledger::{self, State};
use schism_nemesis::{Leases, Ledger, Nemesis, NemesisOptions, RunTag};
use serde_json::{Value as Json, json};
use writer::{ANSWERED, Writer, afresh, daemon, folder};

/// None may take longer, so that a hanging one is named.
const CASE_MAX: Duration = Duration::from_secs(240);

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type Case = (&'static str, for<'a> fn(&'a Bench) -> Running<'a>);

macro_rules! cases {
    ($($case:ident),* $(,)?) => { &[$((stringify!($case), |bench| Box::pin($case(bench)))),*] };
}

/// Dealt to the nodes in turn, so that long ones do not meet.
const CASES: &[Case] = cases!(
    a_full_disk_by_a_file,
    a_write_torn_on_the_disk,
    slow_syncs,
    a_full_disk_by_our_file_system,
    a_read_only_disk,
    errors_of_all_and_of_some,
    lost_writes_by_our_file_system,
    lost_writes_by_the_ground,
    bit_flips_are_rebuilt,
    what_is_not_rebuilt_is_told,
    a_cut_file,
    a_write_torn_in_a_file,
    an_old_copy,
    two_disk_faults_share_the_file_system,
    the_node_heals_itself,
    the_file_system_dies,
    names_alone_heal,
);

/// One node, its database and its nemesis.
struct Bench {
    cluster: Cluster,
    folder: tempfile::TempDir,
    next_id: Mutex<u32>,
}

/// A nemesis for one class after another.
struct Work {
    nemesis: Arc<Nemesis>,
    ledger: std::path::PathBuf,
    fault_id: u32,
}

impl Bench {
    fn new(cluster: Cluster) -> Bench {
        Bench { cluster, folder: tempfile::tempdir().unwrap(), next_id: Mutex::new(0) }
    }

    fn work(&self, classes: &[&str], rebuilds: bool, margin: Duration) -> Work {
        let mut next_id = self.next_id.lock().unwrap();
        *next_id += 10;
        let ledger = self.folder.path().join(format!("{next_id}.jsonl"));
        let options = NemesisOptions { lease: margin, ..NemesisOptions::new(RunTag::new("disk")) };
        let opened = Ledger::open(&ledger).unwrap();
        let db = Arc::new(Writer { rebuilds });
        let nemesis = Nemesis::new(self.cluster.clone(), db, opened, options, classes);
        Work { nemesis, ledger, fault_id: *next_id }
    }

    async fn on(&self, script: &str) -> String {
        self.cluster.nodes[0].remote.run(&Command::new(script)).await.unwrap().text()
    }

    /// What must be as before: mounts, what we keep on the node, our processes.
    async fn snapshot(&self) -> String {
        let ours = "for name in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <\"$name\" 2>/dev/null | grep -o 'agent fault[f]s.*'; done; true";
        // Leases have files of their own, which are not of these faults.
        let files = "find /run/schism/faultfs /run/schism/read-only /run/schism/marks /var/lib/schism/copies \
                     -type f -not -name '*.lock' 2>/dev/null | sort";
        let data = format!("find {DATA_DISK} -name '.schism*'");
        self.on(&format!("cut -d ' ' -f 3- /proc/self/mountinfo | sort; {files}; {data}; {ours}")).await
    }

    async fn answered(&self) -> u64 {
        self.on(&format!("cat {ANSWERED} 2>/dev/null || echo 0")).await.parse().unwrap()
    }

    /// Waits until the database answers more than before.
    async fn await_progress(&self) {
        let (begun, before) = (Instant::now(), self.answered().await);
        while self.answered().await <= before {
            assert!(begun.elapsed() < Duration::from_secs(30), "it answers no more");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn process(&self) -> Option<ProcessId> {
        let writer = Writer { rebuilds: false };
        writer.processes(&self.cluster.nodes[0]).await.unwrap().first().copied()
    }

    /// Injects with these options, looks, heals, and compares the node with before. Answers what was measured at
    /// both ends.
    async fn whole(
        &self,
        class: &str,
        options: Json,
        rebuilds: bool,
        meanwhile: impl AsyncFnOnce(&Bench, &Json),
    ) -> (Json, Json) {
        let before = self.snapshot().await;
        let work = self.work(&[class], rebuilds, Duration::from_secs(30));
        let measured = work.inject(self, class, options).await;
        meanwhile(self, &measured).await;
        let healed = work.heal(class).await;
        assert_eq!(self.snapshot().await, before, "{class}");
        let states = ledger::read(&work.ledger).unwrap().entries.iter().map(|entry| entry.state).collect::<Vec<_>>();
        assert_eq!(states, [State::Planned, State::Injected, State::Healing, State::Healed], "{class}");
        self.await_progress().await;
        (measured, healed)
    }
}

impl Work {
    async fn invoke(&self, class: &str, f: F, value: Value, id: u32) -> Json {
        let invocation = Invocation { process: Process::nemesis(class), f, key: None, value };
        let answer = self.nemesis.actor(class).unwrap().invoke(&invocation, id).await;
        assert_eq!(answer.error, None, "{class}: {}", answer.value.to_json());
        let told = answer.value.to_json();
        assert_eq!(told["evidence"]["proven"], true, "{class}: {told:#}");
        told["evidence"]["measured"].clone()
    }

    /// With the options of the suite for this class, over its defaults.
    async fn inject(&self, bench: &Bench, class: &str, options: Json) -> Json {
        let node = bench.cluster.nodes[0].node.to_string();
        let mut all = json!({ "targets": [[node]] });
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let spec: schism_nemesis::FaultSpec = serde_json::from_value(json!({ class: all })).unwrap();
        let mut value = spec.draw(&mut schism_history::Seed(7).stream("test")).unwrap();
        value.insert("draw".to_owned(), json!(self.fault_id));
        value.insert("duration_ms".to_owned(), json!(0));
        let id = self.fault_id + u32::from(class == "disk-errors");
        self.invoke(class, F::Inject, Value::from_json(&Json::Object(value)), id).await
    }

    async fn heal(&self, class: &str) -> Json {
        let id = self.fault_id + u32::from(class == "disk-errors");
        self.invoke(class, F::Heal, Value::Nil, id).await
    }
}

fn main() -> ExitCode {
    schism_lab::holder_main_if_asked();
    schism_nemesis::agent::main_if_asked();
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if !nix::unistd::geteuid().is_root() || std::fs::File::open("/dev/fuse").is_err() {
        println!("tests of disk faults skipped: labs need root, and our file system /dev/fuse");
        return ExitCode::SUCCESS;
    }
    let tree = packages::fetch_for_nodes(&packages::default_cache(), &[], &mut |line| println!("  {line}"));
    let tree = match tree {
        Ok(tree) => tree,
        Err(error) => {
            println!("tests of disk faults skipped: {error}");
            return ExitCode::SUCCESS;
        }
    };
    let spec = LabSpec { trees: vec![tree.path], disk_bytes_max: 700 << 20, ..LabSpec::new(LabSpec::fresh_id(), 3) };
    let lab = up(&spec, &std::env::current_exe().unwrap()).unwrap();
    let guard = Down(lab.clone());
    let ready = schism::ground::enter(lab, &[], false).unwrap();
    let asked = |name: &str| filters.is_empty() || filters.iter().any(|part| name.contains(part));
    let cases: Vec<Case> = CASES.iter().filter(|(name, _)| asked(name)).copied().collect();
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (at, node) in ready.cluster.nodes.iter().enumerate() {
            let (cases, outcomes) = (&cases, &outcomes);
            let cluster = Cluster { nodes: vec![node.clone()], ground: Arc::clone(&ready.cluster.ground) };
            scope.spawn(move || {
                let mine = cases.iter().skip(at).step_by(3);
                run(Bench::new(cluster), mine.copied().collect(), outcomes);
            });
        }
    });
    drop(ready);
    drop(guard);
    let outcomes = outcomes.into_inner().unwrap();
    let failed = outcomes.iter().filter(|good| !**good).count();
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    if failed == 0 && outcomes.len() == cases.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Down(Lab);

impl Drop for Down {
    fn drop(&mut self) {
        schism_lab::down(&self.0).unwrap();
    }
}

/// Runs the cases of one node, one after another.
fn run(bench: Bench, cases: Vec<Case>, outcomes: &Mutex<Vec<bool>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, case) in cases {
        let begin = Instant::now();
        let all = async {
            let fresh = async {
                Writer { rebuilds: false }.setup(&bench.cluster, &bench.cluster.nodes[0]).await.unwrap();
                bench.await_progress().await;
                case(&bench).await;
            };
            tokio::time::timeout(CASE_MAX, fresh).await.expect("it ends in time");
        };
        let good = catch_unwind(AssertUnwindSafe(|| runtime.block_on(all))).is_ok();
        println!("test {name} ... {} ({:?})", if good { "ok" } else { "FAILED" }, begin.elapsed());
        outcomes.lock().unwrap().push(good);
    }
}

/// Whether a probe in the data's folder ends with this error, and the evidence of the injection says so.
fn saw(measured: &Json, error: i32) -> bool {
    let tried = measured["probes"][0]["tried"].as_object().unwrap();
    tried.values().any(|tried| tried["errors"].get(error.to_string()).is_some())
}

async fn nothing(_: &Bench, _: &Json) {}

async fn a_full_disk_by_a_file(bench: &Bench) {
    let before = bench.on(&format!("df -Pk {DATA_DISK} | awk 'END {{ print $4 }}'")).await;
    let (measured, healed) = bench
        .whole("disk-full", json!({}), false, async |bench, _| {
            let error =
                bench.on(&format!("head -c 100000 /dev/zero >{DATA_DISK}/x; echo $?; rm -f {DATA_DISK}/x")).await;
            assert_ne!(error, "0", "another program finds no room either");
        })
        .await;
    assert_eq!(measured["by"], "a file that fills the disk");
    assert!(saw(&measured, 28), "{measured:#}");
    assert!(measured["before"][0]["free_bytes"].as_u64().unwrap() > 100 << 20, "{measured:#}");
    // ext4 counts as free what it keeps for itself.
    assert!(measured["probes"][0]["free_bytes"].as_u64().unwrap() < 32 << 20, "{measured:#}");
    let after = bench.on(&format!("df -Pk {DATA_DISK} | awk 'END {{ print $4 }}'")).await;
    let (before, after): (f64, f64) = (before.parse().unwrap(), after.parse().unwrap());
    assert!((before - after).abs() < 20_000.0, "{before} KiB were free, and {after} are: {healed:#}");
}

async fn a_full_disk_by_our_file_system(bench: &Bench) {
    let (measured, _) = bench.whole("disk-full", json!({"most": "4KiB"}), false, nothing).await;
    assert_eq!(measured["by"], "faultfs");
    assert!(saw(&measured, 28), "{measured:#}");
}

async fn a_read_only_disk(bench: &Bench) {
    let (measured, _) = bench.whole("disk-readonly", json!({}), false, nothing).await;
    assert!(saw(&measured, 30), "{measured:#}");
    // And without our file system, by the scripts that are used then.
    use schism_nemesis::scripts::{read_only_mount, read_only_undo};
    let before = bench.snapshot().await;
    bench.on(&stop_script(&daemon(), 0)).await;
    bench.on(&read_only_mount(&folder(), "t-1")).await;
    let tried = bench.on(&format!("( : >{}/x ) 2>&1 || true", folder())).await;
    assert!(tried.contains("Read-only"), "{tried}");
    for _ in 0..2 {
        bench.on(&read_only_undo(&folder(), "t-1")).await;
        assert_eq!(bench.snapshot().await, before);
    }
}

async fn slow_syncs(bench: &Bench) {
    let (measured, healed) = bench
        .whole("disk-slow", json!({"latency": "120ms", "operations": "fsync"}), false, async |bench, _| {
            let begun = Instant::now();
            let before = bench.answered().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            let each_ms = begun.elapsed().as_millis() as u64 / (bench.answered().await - before).max(1);
            // How much longer it takes is the machine's.
            assert!(each_ms >= 115, "the database answers every {each_ms} ms");
        })
        .await;
    let ms = |measured: &Json, what: &str| measured["probes"][0]["tried"][what]["mean_ms"].as_f64().unwrap();
    assert!(ms(&measured, "fsync") >= 115.0, "{measured:#}");
    let slow_ms = ms(&measured, "fsync") - 115.0;
    assert!(
        ms(&measured, "write") < 100.0 + slow_ms && ms(&healed, "fsync") < 100.0 + slow_ms,
        "{measured:#} {healed:#}"
    );
}

async fn errors_of_all_and_of_some(bench: &Bench) {
    let (measured, _) = bench
        .whole("disk-errors", json!({"share": "100%", "operations": "write"}), false, async |bench, _| {
            assert_eq!(bench.process().await, None, "the database dies of errors");
        })
        .await;
    assert_eq!(measured["probes"][0]["tried"]["write"]["errors"]["5"], 4, "{measured:#}");
    let (measured, _) =
        bench.whole("disk-errors", json!({"share": "10%", "operations": "fsync"}), false, nothing).await;
    let fsync = &measured["probes"][0]["tried"]["fsync"];
    let (failed, count) = (fsync["errors"]["5"].as_f64().unwrap(), fsync["count"].as_f64().unwrap());
    assert!((0.005..0.4).contains(&(failed / count)), "10 % of {count}: {failed}");
}

async fn lost_writes_by_our_file_system(bench: &Bench) {
    // Whatever the ground can: as on machines that can only be logged in to.
    let bench = &Bench::new(Cluster { ground: Arc::new(NoGround), ..bench.cluster.clone() });
    let answered = AtomicU64::new(0);
    let (measured, _) = bench
        .whole("lost-writes", json!({"window": "1s"}), false, async |bench, _| {
            assert_eq!(bench.process().await, None);
            answered.store(bench.answered().await, Ordering::SeqCst);
        })
        .await;
    assert_eq!(measured["by"], "faultfs");
    assert_eq!(
        (&measured["marks"][0]["synced_left_bytes"], &measured["marks"][0]["unsynced_left_bytes"]),
        (&json!(8192), &json!(0))
    );
    let lost = measured["cut"][0]["lost"]["bytes"].as_u64().unwrap();
    assert!(lost > 8192 + 5_000, "the mark and the file that is never synced: {lost}");
    nothing_answered_is_lost(bench, answered.into_inner()).await;
}

async fn lost_writes_by_the_ground(bench: &Bench) {
    if let Err(error) = bench.cluster.ground.can(Ability::DataDisk).await {
        println!("  (not tested: {error})");
        return;
    }
    let answered = AtomicU64::new(0);
    let (measured, healed) = bench
        .whole("lost-writes", json!({}), false, async |bench, _| {
            answered.store(bench.answered().await, Ordering::SeqCst)
        })
        .await;
    assert_eq!(measured["by"], "the ground's data disk");
    assert!(saw(&measured, 5), "{measured:#}");
    let marks = &healed["marks"][0];
    assert_eq!((&marks["synced_left_bytes"], &marks["unsynced_left_bytes"]), (&json!(8192), &json!(0)));
    nothing_answered_is_lost(bench, answered.into_inner()).await;
}

/// The log holds at least what was answered before the cut.
async fn nothing_answered_is_lost(bench: &Bench, answered: u64) {
    let bytes: u64 = bench.on(&format!("wc -c <{}/wal/0.wal", folder())).await.parse().unwrap();
    assert!(answered > 0 && bytes / 3000 >= answered, "{answered} were answered, {} are there", bytes / 3000);
}

async fn a_write_torn_on_the_disk(bench: &Bench) {
    let answered = AtomicU64::new(0);
    let (measured, _) = bench
        .whole("torn-write", json!({"how": "disk"}), false, async |bench, measured| {
            answered.store(bench.answered().await, Ordering::SeqCst);
            let torn = &measured["cut"][0]["torn"];
            let size: u64 = bench.on(&format!("wc -c <{}/wal/0.wal", folder())).await.parse().unwrap();
            assert_eq!(size, torn["offset"].as_u64().unwrap() + torn["kept_bytes"].as_u64().unwrap(), "{torn}");
        })
        .await;
    let torn = &measured["cut"][0]["torn"];
    let kept = torn["kept_bytes"].as_u64().unwrap();
    assert_eq!((&torn["path"], &torn["asked_bytes"]), (&json!("wal/0.wal"), &json!(3000)));
    assert!(kept > 0 && kept < 3000 && (kept + torn["offset"].as_u64().unwrap()).is_multiple_of(512), "{torn}");
    nothing_answered_is_lost(bench, answered.into_inner()).await;
}

async fn a_write_torn_in_a_file(bench: &Bench) {
    let (measured, _) = bench.whole("torn-write", json!({"how": "file"}), true, nothing).await;
    let done = &measured["files"][0]["done"];
    assert!(done["size_after_bytes"].as_u64().unwrap().is_multiple_of(512), "{done}");
    assert_eq!(measured["seen"][0]["size_bytes"], done["size_after_bytes"]);
}

async fn bit_flips_are_rebuilt(bench: &Bench) {
    let (measured, _) = bench.whole("bit-flip", json!({"bits": 2}), true, nothing).await;
    let done = &measured["files"][0]["done"];
    assert_eq!(done["changes"].as_array().unwrap().len(), 2);
    assert_eq!(measured["seen"][0]["sha256"], done["sha256_after"]);
    let (_, live) = (0, bench.whole("bit-flip", json!({"bits": 1, "live": true}), true, nothing).await);
    assert_eq!(live.0["database"], Json::Null, "it was not stopped");
}

/// A database that cannot be rebuilt does not start on flipped bits, and the ledger says that nothing brings them back.
async fn what_is_not_rebuilt_is_told(bench: &Bench) {
    let work = bench.work(&["bit-flip"], false, Duration::from_secs(30));
    let measured = work.inject(bench, "bit-flip", json!({"files": "wal/0.wal"})).await;
    let begun = Instant::now();
    while bench.process().await.is_some() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it goes on: {measured:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let text = std::fs::read_to_string(&work.ledger).unwrap();
    assert!(text.contains("irreversible") && text.contains("is not rebuilt from its other members"), "{text}");
    // Its undo can only start it; it comes up once somebody has mended it.
    bench.on(&afresh()).await;
    work.heal("bit-flip").await;
}

async fn a_cut_file(bench: &Bench) {
    let (measured, _) = bench.whole("truncate", json!({"bytes": "4000B"}), true, nothing).await;
    let done = &measured["files"][0]["done"];
    let size = |when: &str| done[when].as_u64().unwrap();
    assert_eq!(size("size_before_bytes") - size("size_after_bytes"), 4000);
    // A log cut in the middle of a record is mended by this database, and has lost what it answered.
    assert_eq!(measured["database"][0]["started"], true, "{measured:#}");
}

async fn an_old_copy(bench: &Bench) {
    let answered = bench.answered().await;
    let (measured, _) = bench
        .whole("restore-old-copy", json!({"age": "1s"}), true, async |bench, _| {
            let first = bench.on(&format!("wc -c <{}/wal/0.wal", folder())).await.parse::<u64>().unwrap() / 3000;
            assert!(first >= answered);
        })
        .await;
    assert!(measured["copies"][0]["files_that_had_changed"].as_u64().unwrap() >= 1, "{measured:#}");
    let (measured, _) = bench.whole("restore-old-copy", json!({"age": "1s", "files": "wal/*"}), true, nothing).await;
    assert_eq!(measured["copies"][0]["files_that_had_changed"], 1, "{measured:#}");
}

async fn two_disk_faults_share_the_file_system(bench: &Bench) {
    let before = bench.snapshot().await;
    let work = bench.work(&["disk-slow", "disk-errors"], false, Duration::from_secs(30));
    work.inject(bench, "disk-slow", json!({"latency": "50ms", "operations": "fsync"})).await;
    let first = bench.process().await;
    let measured = work.inject(bench, "disk-errors", json!({"share": "100%", "operations": "read"})).await;
    assert_eq!(measured["database"], json!([]), "nothing was restarted");
    assert_eq!(bench.process().await, first);
    let healed = work.heal("disk-slow").await;
    assert_eq!(healed["of_other_faults"].as_array().unwrap().len(), 1, "{healed:#}");
    assert_eq!(bench.process().await, first, "the other fault keeps the file system");
    let tried = bench.on(&format!("cat {}/wal/0.wal 2>&1 >/dev/null || true", folder())).await;
    assert!(tried.contains("Input/output error"), "{tried}");
    work.heal("disk-errors").await;
    assert_eq!(bench.snapshot().await, before);
    bench.await_progress().await;
}

async fn the_node_heals_itself(bench: &Bench) {
    let before = bench.snapshot().await;
    let work = bench.work(&["disk-slow"], false, Duration::from_secs(15));
    work.inject(bench, "disk-slow", json!({"latency": "50ms"})).await;
    assert_ne!(bench.snapshot().await, before);
    let begun = Instant::now();
    while bench.snapshot().await != before {
        assert!(begun.elapsed() < Duration::from_secs(90), "the lease did not heal:\n{}", bench.snapshot().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bench.await_progress().await;
    work.heal("disk-slow").await;
}

/// Its process is killed: nothing hangs, nothing is lost, and the undo takes away what is left.
async fn the_file_system_dies(bench: &Bench) {
    let answered = AtomicU64::new(0);
    bench
        .whole("disk-slow", json!({"latency": "1ms"}), false, async |bench, _| {
            bench.await_progress().await;
            bench.on("set -- /run/schism/faultfs/*/server.pid; read -r pid start <$1; kill -9 $pid").await;
            answered.store(bench.answered().await, Ordering::SeqCst);
            let tried = bench.on(&format!("ls {} 2>&1 || true", folder())).await;
            assert!(["not connected", "connection abort"].iter().any(|end| tried.contains(end)), "{tried}");
        })
        .await;
    nothing_answered_is_lost(bench, answered.into_inner()).await;
}

/// What lost its leases is found by its name, and what is called a little differently stays.
async fn names_alone_heal(bench: &Bench) {
    use schism_nemesis::scripts::read_only_mount;
    let foreign = format!(
        "mkdir -p /mnt/like /mnt/own '/mnt/a b' /var/lib/schism/copies/like
mount -t tmpfs schism-faultfs-0123456789abcdef /mnt/like
mount --bind /mnt/own /mnt/own && mount -o remount,bind,ro /mnt/own
for name in full-T-1 full-x fuller-t-1 synced-t; do : >{folder}/.schism-$name; : >/mnt/like/.schism-$name; done
",
        folder = folder()
    );
    bench.on(&foreign).await;
    let before = bench.snapshot().await;
    let harms: [(&str, Json, &str); 4] = [
        ("disk-full", json!({"leave": "1MiB"}), "the file "),
        ("disk-full", json!({"most": "4KiB"}), "the faulty file system "),
        ("disk-slow", json!({"latency": "20ms"}), "the faulty file system "),
        ("disk-readonly", json!({}), "the "),
    ];
    for (class, options, what) in harms {
        let work = bench.work(&[class], false, Duration::from_secs(30));
        work.inject(bench, class, options).await;
        assert_ne!(bench.snapshot().await, before, "{class}");
        let said = lost_and_healed(bench).await;
        assert!(said.iter().any(|line| line.starts_with(what)), "{class}: {said:?}");
        assert_eq!(bench.snapshot().await, before, "{class}");
        // The database is started again by whoever knows how; and undoing what is gone does no harm.
        work.heal(class).await;
        bench.await_progress().await;
    }
    bench.on(&stop_script(&daemon(), 0)).await;
    bench.on(&read_only_mount("/mnt/a b", "t-1")).await;
    bench.on(&read_only_mount(&folder(), "t-2-n1")).await;
    bench.on(&format!("mkdir -p /var/lib/schism/copies/t-3; : >{DATA_DISK}/.schism-unsynced-t-9")).await;
    let mut said = lost_and_healed(bench).await;
    said.sort();
    let file = format!("the file {DATA_DISK}/.schism-unsynced-t-9");
    assert_eq!(said, [&file, "the old copy t-3", "the read-only mount of t-1", "the read-only mount of t-2-n1"]);
    assert_eq!(bench.snapshot().await, before);
    bench
        .on(&format!("umount /mnt/like /mnt/own; rm -rf {folder}/.schism-* /var/lib/schism/copies", folder = folder()))
        .await;
    bench.on(&start_script(&daemon())).await;
}

/// Takes every lease away, heals by names alone, twice; what was removed.
async fn lost_and_healed(bench: &Bench) -> Vec<String> {
    bench.on("rm -rf /var/lib/schism/leases").await;
    let report = Leases::default().remove_leftovers(&bench.cluster).await;
    assert_eq!(report.trouble(), Vec::<String>::new());
    let again = Leases::default().remove_leftovers(&bench.cluster).await;
    assert!(again.healed.is_empty() && again.failed.is_empty(), "{again:?}");
    let node = format!(" on {}", bench.cluster.nodes[0].node);
    report.healed.iter().map(|line| line.trim_end_matches(&node).to_owned()).collect()
}
