//! Disk faults by the device mapper on a virtual machine, whose data disk lies on a linear device: delays, errors and lost
//! writes are seen past the page cache to come and to go, with measured values; nodes heal themselves, and a machine that
//! reboots in mid-fault comes back without any of it. Boots a machine, so it runs only where `SCHISM_TEST_LONG=1` asks for
//! it, or on the lab of machines that `SCHISM_TEST_LAB=ID` names. The test program is the holder of its own lab and its own
//! agent, hence its own `main`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program without the harness")]

#[path = "support/writer.rs"]
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use schism::ground::{Ready, enter};
use schism_cluster::daemon::stop_script;
use schism_cluster::{Cluster, Command, DATA_DISK, Db, GroundAction, Kill, ProcessId, packages};
use schism_generators::Invocation;
use schism_history::{F, Process, Value};
use schism_lab::{LabSpec, up, vms};
use schism_nemesis::scripts::{MapperHarm, mapper_missing, mapper_start, mapper_undo};
use schism_nemesis::{Beats, FaultSpec, Leases, Ledger, Nemesis, NemesisOptions, RunTag, check_needs};
use serde_json::{Value as Json, json};
use writer::{ANSWERED, Writer, daemon, folder};

/// None may take longer, so that a hanging one is named; on a busy machine the upload of the agent alone takes a minute.
const CASE_MAX: Duration = Duration::from_secs(400);

/// How long a controller may be silent.
const LEASE: Duration = Duration::from_secs(15);

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type Case = (&'static str, for<'a> fn(&'a Bench) -> Running<'a>);

macro_rules! cases {
    ($($case:ident),* $(,)?) => { &[$((stringify!($case), |bench| Box::pin($case(bench)))),*] };
}

const CASES: &[Case] = cases!(
    the_machine_can,
    every_operation_is_delayed,
    flushes_alone_are_delayed,
    all_fails_and_is_mounted_anew,
    all_fails_for_a_share_of_time,
    writes_alone_fail,
    what_was_not_synced_is_lost,
    a_cut_that_nobody_notices_is_one,
    a_second_fault_takes_the_other_way,
    the_node_heals_itself,
    what_lost_its_lease_is_found,
    a_device_of_two_segments,
    what_stands_goes_on_and_what_is_foreign_stays,
    a_reboot_in_mid_fault,
);

fn main() -> ExitCode {
    schism_lab::holder_main_if_asked();
    schism_nemesis::agent::main_if_asked();
    let ready = match std::env::var("SCHISM_TEST_LAB") {
        Ok(id) => enter(schism_lab::find(&id).unwrap(), &["n1".to_owned()], false).unwrap(),
        Err(_) if std::env::var("SCHISM_TEST_LONG").as_deref() != Ok("1") => {
            println!("tests of the device mapper passed over: they boot a machine; SCHISM_TEST_LONG=1 runs them");
            return ExitCode::SUCCESS;
        }
        Err(_) => match vms::fetch(&packages::default_cache(), &[], &mut |line| println!("  {line}")) {
            Ok(parts) => {
                let spec = LabSpec { lease: None, ..LabSpec::of_machines(LabSpec::fresh_id(), 1, parts) };
                enter(up(&spec, &std::env::current_exe().unwrap()).unwrap(), &[], true).unwrap()
            }
            Err(error) => {
                println!("tests of the device mapper cannot be run here: {error}");
                return ExitCode::FAILURE;
            }
        },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let bench = Bench { ready, folder: tempfile::tempdir().unwrap() };
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let asked = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter));
    let mut failed = 0;
    for (name, case) in CASES.iter().filter(|(name, _)| asked(name)) {
        let begin = Instant::now();
        let all = async {
            let fresh = async {
                Writer { rebuilds: false }.setup(bench.cluster(), &bench.cluster().nodes[0]).await.unwrap();
                bench.await_progress().await;
                case(&bench).await;
            };
            tokio::time::timeout(CASE_MAX, fresh).await.expect("it ends in time");
        };
        let good = catch_unwind(AssertUnwindSafe(|| runtime.block_on(all))).is_ok();
        if !good {
            // The next case begins on a machine without harm.
            let left = runtime.block_on(Leases::default().heal(bench.cluster()));
            println!("  healed afterwards: {:?} {:?}", left.healed, left.failed);
        }
        println!("test {name} ... {} ({:?})", if good { "ok" } else { "FAILED" }, begin.elapsed());
        failed += usize::from(!good);
    }
    println!("{failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One machine, and its database.
struct Bench {
    ready: Ready,
    folder: tempfile::TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(lab) = self.ready.lab.as_ref().filter(|_| self.ready.lab_is_ours) {
            schism_lab::down(lab).unwrap();
        }
    }
}

/// A nemesis for some classes, and what it was told.
struct Work {
    nemesis: Arc<Nemesis>,
}

impl Bench {
    fn cluster(&self) -> &Cluster {
        &self.ready.cluster
    }

    fn work(&self, classes: &[&str], lease: Duration) -> Work {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let ledger = self.folder.path().join(format!("{}.jsonl", NEXT.fetch_add(1, Ordering::SeqCst)));
        let options = NemesisOptions { lease, ..NemesisOptions::new(RunTag::new("mapper")) };
        let opened = Ledger::open(&ledger).unwrap();
        let db = Arc::new(Writer { rebuilds: false });
        Work { nemesis: Nemesis::new(self.cluster().clone(), db, opened, options, classes) }
    }

    /// Signs of life of its controller.
    fn beats(&self) -> Beats {
        Beats::start(self.cluster(), &Leases::default(), &RunTag::new("mapper"), LEASE, None, |_| {})
    }

    async fn on(&self, script: &str) -> String {
        self.cluster().nodes[0].remote.run(&Command::new(script)).await.unwrap().text()
    }

    /// What must be as before: tables, mounts, what we keep on the node and in the data.
    async fn snapshot(&self) -> String {
        self.on(&format!(
            "dmsetup table; cut -d ' ' -f 3- /proc/self/mountinfo | sort; find {DATA_DISK} -name '.schism*'; \
             find /run/schism/mapper /run/schism/faultfs /run/schism/marks -type f -not -name '*.lock' 2>/dev/null; true"
        ))
        .await
    }

    async fn answered(&self) -> u64 {
        self.on(&format!("cat {ANSWERED} 2>/dev/null || echo 0")).await.parse().unwrap()
    }

    async fn await_progress(&self) {
        let (begun, before) = (Instant::now(), self.answered().await);
        while self.answered().await <= before {
            assert!(begun.elapsed() < Duration::from_secs(30), "it answers no more");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the machine is as it was.
    async fn await_snapshot(&self, before: &str) {
        let begun = Instant::now();
        while self.snapshot().await != before {
            assert!(begun.elapsed() < Duration::from_secs(60), "it did not heal:\n{}", self.snapshot().await);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        println!("  healed after {:?}", begun.elapsed());
    }

    async fn process(&self) -> Option<ProcessId> {
        let writer = Writer { rebuilds: false };
        writer.processes(&self.cluster().nodes[0]).await.unwrap().first().copied()
    }

    /// Injects with these options, looks, heals, and compares the machine with before. Answers what was measured at both
    /// ends.
    async fn whole(&self, class: &str, options: Json, meanwhile: impl AsyncFnOnce(&Bench, &Json)) -> (Json, Json) {
        let before = self.snapshot().await;
        let work = self.work(&[class], Duration::from_secs(60));
        let told = work.inject(class, options).await;
        assert_eq!(told["by"], "the device mapper", "{told:#}");
        let measured = told["evidence"]["measured"].clone();
        meanwhile(self, &measured).await;
        let healed = work.heal(class).await;
        assert_eq!(self.snapshot().await, before, "{class}");
        self.await_progress().await;
        (measured, healed)
    }

    /// The log holds at least what was answered before.
    async fn nothing_answered_is_lost(&self, answered: u64) {
        let bytes: u64 = self.on(&format!("wc -c <{}/wal/0.wal", folder())).await.parse().unwrap();
        assert!(answered > 0 && bytes / 3000 >= answered, "{answered} were answered, {} are there", bytes / 3000);
    }
}

impl Work {
    async fn invoke(&self, class: &str, f: F, value: Value) -> Json {
        let invocation = Invocation { process: Process::nemesis(class), f, key: None, value };
        // One number a class, so that two of them are two faults.
        let id = 1 + u32::try_from(class.len()).unwrap();
        let answer = self.nemesis.actor(class).unwrap().invoke(&invocation, id).await;
        let told = answer.value.to_json();
        assert_eq!(answer.error, None, "{class}: {told}");
        println!("  {class} {} {}", told["by"], told["evidence"]);
        assert_eq!(told["evidence"]["proven"], true, "{class}: {told:#}");
        told
    }

    /// With the options of the suite for this class, over its defaults.
    async fn inject(&self, class: &str, options: Json) -> Json {
        let mut all = json!({ "targets": [["n1"]] });
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let spec: FaultSpec = serde_json::from_value(json!({ class: all })).unwrap();
        let mut value = spec.draw(&mut schism_history::Seed(7).stream("test")).unwrap();
        value.insert("draw".to_owned(), json!(5));
        value.insert("duration_ms".to_owned(), json!(0));
        self.invoke(class, F::Inject, Value::from_json(&Json::Object(value))).await
    }

    async fn heal(&self, class: &str) -> Json {
        self.invoke(class, F::Heal, Value::Nil).await["evidence"]["measured"].clone()
    }
}

fn mean_ms(measured: &Json, what: &str) -> f64 {
    measured["probes"][0]["tried"][what]["mean_ms"].as_f64().unwrap()
}

fn errors(measured: &Json, what: &str) -> Json {
    measured["probes"][0]["tried"][what]["errors"].clone()
}

fn slow(ms: u64) -> MapperHarm {
    MapperHarm { target: format!(r"delay \2 {ms} \2 {ms} \2 {ms}"), reads_fail: false, remount: false }
}

async fn the_machine_can(bench: &Bench) {
    let specs = json!([
        {"disk-slow": {"way": ["device-mapper", "auto"]}},
        {"disk-errors": {"way": "device-mapper", "share": ["100%", "10%"], "operations": ["all", "write"]}},
        {"lost-writes": {"way": "device-mapper"}},
    ]);
    let specs: Vec<FaultSpec> = serde_json::from_value(specs).unwrap();
    check_needs(&specs, bench.cluster(), &Writer { rebuilds: false }).await.unwrap();
    // The root disk is no such device, and a folder of it is left alone.
    let told = bench.on(&mapper_missing("/var/lib", &slow(1))).await;
    assert!(told.contains("no device of the device mapper"), "{told}");
    assert_eq!(bench.on("dmsetup ls | grep -c schism-try; true").await, "0", "what was tried is gone");
}

async fn every_operation_is_delayed(bench: &Bench) {
    let first = bench.process().await;
    let (measured, healed) = bench
        .whole("disk-slow", json!({"latency": "150ms"}), async |bench, _| {
            let (begun, before) = (Instant::now(), bench.answered().await);
            tokio::time::sleep(Duration::from_secs(5)).await;
            let each_ms = begun.elapsed().as_millis() / u128::from((bench.answered().await - before).max(1));
            println!("  the database answers every {each_ms} ms");
            assert!(each_ms > 140, "the database answers every {each_ms} ms");
        })
        .await;
    assert_eq!(bench.process().await, first, "nothing was restarted");
    for what in ["device", "write", "fsync", "read"] {
        let before = measured["before"][0]["tried"][what]["mean_ms"].as_f64().unwrap();
        let (during, after) = (mean_ms(&measured, what), mean_ms(&healed, what));
        println!("  {what}: {before:.1} ms before, {during:.1} ms with 150 ms of delay, {after:.1} ms after");
        assert!(during >= 145.0 && before < 100.0 && after < 100.0, "{what}: {measured:#} {healed:#}");
    }
    // A read of the device is one operation of it, with nothing else in its way.
    assert!(mean_ms(&measured, "device") < 400.0, "{measured:#}");
}

async fn flushes_alone_are_delayed(bench: &Bench) {
    let (measured, _) =
        bench.whole("disk-slow", json!({"latency": "200ms", "operations": "fsync"}), async |_, _| {}).await;
    assert!(mean_ms(&measured, "fsync") >= 190.0, "{measured:#}");
    assert!(mean_ms(&measured, "device") < 100.0, "{measured:#}");
}

async fn all_fails_and_is_mounted_anew(bench: &Bench) {
    let mut answered = 0;
    let (measured, _) = bench
        .whole("disk-errors", json!({"share": "100%"}), async |bench, _| {
            answered = bench.answered().await;
            let begun = Instant::now();
            while bench.process().await.is_some() {
                assert!(begun.elapsed() < Duration::from_secs(10), "the database dies of errors");
            }
        })
        .await;
    let device = &measured["probes"][0]["tried"]["device"];
    assert_eq!(device["errors"]["5"], device["count"], "{measured:#}");
    bench.nothing_answered_is_lost(answered).await;
}

async fn all_fails_for_a_share_of_time(bench: &Bench) {
    let options = json!({"share": "30%", "way": "device-mapper"});
    bench
        .whole("disk-errors", options, async |bench, measured| {
            assert!(measured["tables"]["n1"].as_str().unwrap().contains(" 7 3 "), "{measured:#}");
            // Two whole periods.
            let script = "perl -e 'use Fcntl qw(:DEFAULT); my ($b, $n, $bad, $end) = (\"\\0\" x 12288, 0, 0, time + 20);
                vec($b, 0, 8) = 1; my $at = (4096 - unpack(\"J\", pack(\"P\", $b)) % 4096) % 4096;
                while (time < $end) { sysopen(my $in, \"/dev/dm-0\", O_RDONLY | O_DIRECT) or next;
                  $n++; $bad++ unless sysread $in, $b, 4096, $at; select undef, undef, undef, 0.1 } printf \"%d %d\\n\", $n, $bad'";
            let told = bench.on(script).await;
            let (tried, bad) = told.split_once(' ').unwrap();
            let (tried, bad): (f64, f64) = (tried.parse().unwrap(), bad.parse().unwrap());
            println!("  of {tried} reads {bad} failed: {:.1} %", 100.0 * bad / tried);
            assert!(tried >= 50.0 && (0.2..0.4).contains(&(bad / tried)), "{told}");
        })
        .await;
}

async fn writes_alone_fail(bench: &Bench) {
    let options = json!({"share": "100%", "operations": "write"});
    let (measured, _) = bench
        .whole("disk-errors", options, async |bench, _| {
            let script = format!("echo 3 >/proc/sys/vm/drop_caches; cat {}/wal/0.wal | wc -c", folder());
            assert_ne!(bench.on(&script).await, "0", "what is there can be read");
        })
        .await;
    assert_eq!(errors(&measured, "write")["5"], 1, "{measured:#}");
}

async fn what_was_not_synced_is_lost(bench: &Bench) {
    let mut answered = 0;
    let (measured, healed) = bench
        .whole("lost-writes", json!({}), async |bench, _| {
            assert_eq!(bench.process().await, None);
            answered = bench.answered().await;
        })
        .await;
    let seen = measured["probes"][0]["tried"].as_object().unwrap();
    assert!(seen.values().any(|tried| tried["errors"].get("5").is_some()), "{measured:#}");
    let marks = &healed["marks"][0];
    assert_eq!(marks["synced_left_bytes"], 8192, "{marks}");
    assert!(marks["unsynced_left_bytes"].as_u64().unwrap_or(0) == 0, "{marks}");
    bench.nothing_answered_is_lost(answered).await;
}

/// Where nothing was written while the device took no writes, the file system goes on as if nothing had been: what was not
/// synced must be gone all the same.
async fn a_cut_that_nobody_notices_is_one(bench: &Bench) {
    let cut = MapperHarm { target: r"flakey \2 0 1 1 error_writes".to_owned(), reads_fail: false, remount: true };
    bench.on(&stop_script(&daemon(), 0)).await;
    let place = folder();
    bench.on(&format!("echo kept >{place}/kept && : >{place}/lost && sync && echo lost >>{place}/lost")).await;
    bench.on(&mapper_start(&place, "t-1", &cut)).await;
    bench.on(&mapper_undo("t-1")).await;
    assert_eq!(bench.on(&format!("cd {place} && wc -c <kept && wc -c <lost && rm kept lost")).await, "5\n0");
}

async fn a_second_fault_takes_the_other_way(bench: &Bench) {
    let before = bench.snapshot().await;
    let work = bench.work(&["disk-slow", "disk-errors"], Duration::from_secs(60));
    work.inject("disk-slow", json!({"latency": "50ms"})).await;
    let told = work.inject("disk-errors", json!({"share": "100%", "operations": "read"})).await;
    assert_eq!(told["by"], "faultfs");
    assert!(told["not_by_device_mapper"].as_str().unwrap().contains("is on its device"), "{told:#}");
    let healed = work.heal("disk-slow").await;
    assert_eq!(healed["of_other_faults"], json!(["n1"]), "{healed:#}");
    work.heal("disk-errors").await;
    assert_eq!(bench.snapshot().await, before);
    bench.await_progress().await;
}

async fn the_node_heals_itself(bench: &Bench) {
    let before = bench.snapshot().await;
    for (class, options) in [("disk-errors", json!({"share": "100%"})), ("disk-slow", json!({"latency": "300ms"}))] {
        let work = bench.work(&[class], LEASE);
        // An emulated machine takes seconds to be looked at.
        let beats = bench.beats();
        work.inject(class, options).await;
        assert_ne!(bench.snapshot().await, before);
        // No sign of life comes from a controller that is dead.
        beats.end().await;
        bench.await_snapshot(&before).await;
        bench.await_progress().await;
        work.heal(class).await;
    }
}

async fn what_lost_its_lease_is_found(bench: &Bench) {
    let before = bench.snapshot().await;
    for lose in ["", "rm -rf /run/schism/mapper/*;"] {
        let work = bench.work(&["disk-slow"], Duration::from_secs(600));
        work.inject("disk-slow", json!({"latency": "100ms"})).await;
        bench
            .on(&format!(
                "rm -rf /var/lib/schism/leases; {lose} dmsetup create --noudevrules --noudevsync --notable schism-try-7"
            ))
            .await;
        let report = Leases::default().remove_leftovers(bench.cluster()).await;
        assert_eq!(report.failed, vec![], "{report:?}");
        assert!(report.healed.iter().any(|what| what.contains("table of the device mapper")), "{report:?}");
        assert!(report.healed.iter().any(|what| what.contains("schism-try-7")), "{report:?}");
        assert_eq!(bench.snapshot().await, before);
        let again = Leases::default().remove_leftovers(bench.cluster()).await;
        assert!(!again.healed.iter().any(|what| what.contains("device")), "{again:?}");
        work.heal("disk-slow").await;
    }
}

/// As a logical volume is that was enlarged: every segment is harmed, and put back.
async fn a_device_of_two_segments(bench: &Bench) {
    let place = folder();
    let make = format!(
        "( {stop} ) || exit 1
modprobe loop && truncate -s 64M /root/volume && loop=$(losetup -f --show /root/volume) || exit 1
dmsetup create --noudevrules --noudevsync two-parts --table \"0 65536 linear $loop 65536
65536 65536 linear $loop 0\" && dmsetup mknodes --noudevrules --noudevsync two-parts || exit 1
mke2fs -q -t ext4 /dev/mapper/two-parts && mkdir -p {place} && mount /dev/mapper/two-parts {place}\n",
        stop = stop_script(&daemon(), 0)
    );
    bench.on(&make).await;
    let writer = Writer { rebuilds: false };
    let start = writer.start_script(bench.cluster(), &bench.cluster().nodes[0]);
    bench.on(&start).await;
    bench.await_progress().await;
    let (measured, _) = bench.whole("disk-slow", json!({"latency": "100ms"}), async |_, _| {}).await;
    assert_eq!(measured["tables"]["n1"].as_str().unwrap().lines().count(), 2, "{measured:#}");
    let answered = bench.answered().await;
    bench.whole("lost-writes", json!({}), async |_, _| {}).await;
    bench.nothing_answered_is_lost(answered).await;
    // More than linear is nothing that could be put back in parts.
    let striped = format!(
        "( {stop} ) && umount {place} && dmsetup remove --noudevrules --noudevsync two-parts || exit 1
loop=$(losetup -n -O NAME -j /root/volume)
dmsetup create --noudevrules --noudevsync stripes --table \"0 65536 striped 2 8 $loop 0 $loop 65536\" &&
dmsetup mknodes --noudevrules --noudevsync stripes && mke2fs -q -t ext4 /dev/mapper/stripes && mount /dev/mapper/stripes {place}\n",
        stop = stop_script(&daemon(), 0)
    );
    bench.on(&striped).await;
    let told = bench.on(&mapper_missing(&place, &slow(1))).await;
    assert!(told.contains("(stripes) is more than linear"), "{told}");
    let away = format!(
        "umount {place} && dmsetup remove --noudevrules --noudevsync stripes && losetup -D && rm /root/volume\n"
    );
    bench.on(&away).await;
}

/// A device that was left suspended goes on; a table that somebody else has loaded since is not touched.
async fn what_stands_goes_on_and_what_is_foreign_stays(bench: &Bench) {
    let before = bench.snapshot().await;
    bench.on(&mapper_start(&folder(), "t-1", &slow(20))).await;
    bench.on("dmsetup suspend --nolockfs --noudevsync --noudevrules schism-data").await;
    for _ in 0..2 {
        bench.on(&mapper_undo("t-1")).await;
        assert_eq!(bench.snapshot().await, before);
        assert_eq!(bench.on("cat /sys/block/dm-0/dm/suspended").await, "0");
    }
    let load = |table: &str| {
        format!(
            "dmsetup load schism-data --table \"$(dmsetup table schism-data | {table})\" && \
                 dmsetup resume --nolockfs --noudevsync --noudevrules schism-data"
        )
    };
    bench.on(&mapper_start(&folder(), "t-1", &slow(20))).await;
    bench.on(&load("sed 's/delay/flakey/; s/\\(flakey [0-9:]* 0\\).*/\\1 1 0/'")).await;
    let foreign = bench.on("dmsetup table schism-data").await;
    let told = bench.on(&format!("( {} ) 2>&1; echo \"ended $?\"", mapper_undo("t-1"))).await;
    assert!(told.contains("somebody else has changed the table") && told.contains("ended 1"), "{told}");
    assert_eq!(bench.on("dmsetup table schism-data").await, foreign);
    bench.on(&load("sed 's/flakey/linear/; s/ 1 0 .*//'")).await;
    bench.on(&mapper_undo("t-1")).await;
    assert_eq!(bench.snapshot().await, before);
}

async fn a_reboot_in_mid_fault(bench: &Bench) {
    let before = bench.snapshot().await;
    let work = bench.work(&["disk-errors"], LEASE);
    let beats = bench.beats();
    work.inject("disk-errors", json!({"share": "100%", "operations": "write"})).await;
    beats.end().await;
    let node = bench.cluster().nodes[0].node.clone();
    bench.cluster().ground.act(&GroundAction::Reboot { node }).await.unwrap();
    // Its lease is run out or kept by what starts at boot; the tables went with the boot.
    assert!(!bench.on("dmsetup table").await.contains("flakey"));
    bench.await_snapshot(&before).await;
    let begun = Instant::now();
    while bench.on("ls /var/lib/schism/leases/*.undo 2>/dev/null; true").await.contains("mapper") {
        assert!(begun.elapsed() < Duration::from_secs(60), "the lease is still kept");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    bench.await_progress().await;
    work.heal("disk-errors").await;
}
