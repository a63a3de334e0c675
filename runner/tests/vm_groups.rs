//! Control groups of version 2 with their controllers, for real: a virtual machine's kernel hands them on, as namespaces of a
//! machine with version 1 cannot. Boots a machine, so it runs only where `SCHISM_TEST_LONG=1` asks for it. The test program
//! is the holder of its own lab, hence its own `main`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program without the harness")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use schism::ground::{Ready, enter};
use schism_cluster::{Command, ProcessId, packages};
use schism_lab::{LabSpec, up, vms};
use schism_nemesis::scripts::{self, Controller};
use schism_nemesis::{Leases, measure};

fn main() -> ExitCode {
    schism_lab::holder_main_if_asked();
    schism_nemesis::agent::main_if_asked();
    if std::env::var("SCHISM_TEST_LONG").as_deref() != Ok("1") {
        println!("tests of control groups passed over: they boot a machine; SCHISM_TEST_LONG=1 runs them");
        return ExitCode::SUCCESS;
    }
    let parts = match vms::fetch(&packages::default_cache(), &[], &mut |line| println!("  {line}")) {
        Ok(parts) => parts,
        Err(error) => {
            println!("tests of control groups cannot be run here: {error}");
            return ExitCode::FAILURE;
        }
    };
    let spec = LabSpec { lease: None, ..LabSpec::of_machines(LabSpec::fresh_id(), 1, parts) };
    let lab = up(&spec, &std::env::current_exe().unwrap()).unwrap();
    let bench = Bench(enter(lab, &[], true).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        bench.controllers().await;
        bench.processors().await;
        bench.memory().await;
        bench.by_name().await;
    });
    println!("control groups of version 2: 4 passed");
    ExitCode::SUCCESS
}

/// Lines `NAME NUMBER`.
fn numbers(text: &str) -> BTreeMap<String, i64> {
    let one = |line: &str| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    text.lines().filter_map(one).collect()
}

/// The lab goes with this.
struct Bench(Ready);

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(lab) = &self.0.lab {
            schism_lab::down(lab).unwrap();
        }
    }
}

/// The share of all processors' time, in millionths, that a throttled process may have.
const SHARE_PPM: u64 = 100_000;

impl Bench {
    async fn on(&self, script: &str) -> String {
        let command = Command::new(script).deadline(Duration::from_secs(60));
        self.0.cluster.nodes[0].remote.run(&command).await.unwrap().text()
    }

    /// A process that goes on, in a group of its own beside ours.
    async fn start(&self, command: &str) -> ProcessId {
        let script = format!(
            "mkdir -p /sys/fs/cgroup/origin; setsid {command} >/dev/null 2>&1 </dev/null & sleep 0.2
echo $! >/sys/fs/cgroup/origin/cgroup.procs; echo $!; cut -d ' ' -f 22 /proc/$!/stat"
        );
        let said = self.on(&script).await;
        let (pid, start_ticks) = said.split_once('\n').unwrap();
        ProcessId { pid: pid.parse().unwrap(), start_ticks: start_ticks.parse().unwrap() }
    }

    async fn group_of(&self, process: ProcessId) -> String {
        self.on(&format!("cat /proc/{}/cgroup", process.pid)).await
    }

    /// Milliseconds that a process had of a second.
    async fn used(&self, process: ProcessId) -> f64 {
        let used = measure::cpu_use(&self.0.cluster.nodes[0], &[process], 3000).await.unwrap();
        assert_eq!(used.processes, 1);
        used.cpu_ms * 1000.0 / used.span_ms
    }

    /// What a systemd machine has; and that what is not handed on is told.
    async fn controllers(&self) {
        let mount = "grep -q ' /sys/fs/cgroup cgroup2 ' /proc/mounts || mount -t cgroup2 none /sys/fs/cgroup
for one in cpu memory; do echo \"-$one\" >/sys/fs/cgroup/cgroup.subtree_control; done; cat /sys/fs/cgroup/cgroup.controllers";
        println!("  the kernel's controllers: {}", self.on(mount).await);
        for controller in [Controller::Cpu, Controller::Memory] {
            let told = self.on(&scripts::group_available(controller)).await;
            assert!(told.contains("no writable control group"), "{told}");
        }
        self.on("echo '+cpu +memory' >/sys/fs/cgroup/cgroup.subtree_control").await;
        for controller in [Controller::Cpu, Controller::Memory] {
            assert_eq!(self.on(&scripts::group_available(controller)).await, "");
        }
    }

    async fn processors(&self) {
        let burner = self.start("sh -c 'while :; do :; done'").await;
        let count: f64 = self.on("grep -c ^processor /proc/cpuinfo").await.parse().unwrap();
        let place = self.on(&scripts::group_place(Controller::Cpu, burner)).await;
        assert_eq!(place, "2 /sys/fs/cgroup /origin");
        let free_ms = self.used(burner).await;
        self.on(&scripts::group_enter(Controller::Cpu, "t-1-n1", SHARE_PPM, &[burner])).await;
        assert_eq!(self.group_of(burner).await, "0::/schism-t-1-n1");
        let slowed_ms = self.used(burner).await;
        let look = self.on(&scripts::group_look(Controller::Cpu, "t-1-n1")).await;
        let look = numbers(&look);
        println!("  {count} processors: {free_ms:.0} ms of each second, then {slowed_ms:.0} ms ({look:?})");
        let most_ms = 1000.0 * count * SHARE_PPM as f64 / 1e6;
        assert!(free_ms > 1.5 * most_ms && slowed_ms < 1.2 * most_ms, "{free_ms} {slowed_ms}");
        let quota = (look["members"], look["quota_us"], look["period_us"], look["throttled"] > 0);
        assert_eq!(quota, (1, (100_000.0 * most_ms / 1000.0) as i64, 100_000, true));
        for _ in 0..2 {
            self.on(&scripts::group_leave(Controller::Cpu, "t-1-n1", "/origin")).await;
            assert_eq!(self.group_of(burner).await, "0::/origin");
        }
        assert!(self.used(burner).await > 1.5 * most_ms);
        assert_eq!(self.on(&scripts::group_look(Controller::Cpu, "t-1-n1")).await, "");
        self.end(burner).await;
    }

    async fn memory(&self) {
        let hog =
            "perl -e 'select undef, undef, undef, 0.1 until -e \"/run/go\"; my $x = \"x\" x (96 << 20); sleep 600'";
        let hog = self.start(hog).await;
        self.on(&scripts::group_enter(Controller::Memory, "t-2-n1", 32 << 20, &[hog])).await;
        assert_eq!(self.on("cat /sys/fs/cgroup/schism-t-2-n1/memory.max").await, (32 << 20).to_string());
        self.on(": >/run/go").await;
        let begun = Instant::now();
        loop {
            let look = numbers(&self.on(&scripts::group_look(Controller::Memory, "t-2-n1")).await);
            if look["oom_kill"] > 0 && look["members"] == 0 {
                println!("  memory: {look:?}");
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{look:?}");
        }
        self.on(&scripts::group_leave(Controller::Memory, "t-2-n1", "/origin")).await;
        assert_eq!(self.on("ls -d /sys/fs/cgroup/schism-* 2>/dev/null; true").await, "");
    }

    /// Without a lease: back to where it is told that they were, and groups of other names stay.
    async fn by_name(&self) {
        let sleeper = self.start("sleep 600").await;
        self.on("mkdir /sys/fs/cgroup/schism-T-1-n1 /sys/fs/cgroup/schism-lab.7.n1").await;
        self.on(&scripts::group_enter(Controller::Cpu, "t-3-n1", SHARE_PPM, &[sleeper])).await;
        assert_eq!(self.group_of(sleeper).await, "0::/schism-t-3-n1");
        let report = Leases::default().remove_leftovers(&self.0.cluster).await;
        assert_eq!(report.healed, ["the control group /sys/fs/cgroup/schism-t-3-n1 on n1"]);
        assert_eq!(report.trouble(), Vec::<String>::new());
        assert_eq!(self.group_of(sleeper).await, "0::/origin");
        let left = self.on("cd /sys/fs/cgroup && ls -d schism-*; ls /run/schism/groups 2>/dev/null; true").await;
        assert_eq!(left, "schism-T-1-n1\nschism-lab.7.n1");
        self.end(sleeper).await;
    }

    async fn end(&self, process: ProcessId) {
        self.on(&scripts::signal("KILL", &[process])).await;
    }
}
