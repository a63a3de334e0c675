//! Virtual machines for real: needs root, `ip`, `ssh`, TAP, the packages (from the cache or the distribution's archive), and
//! some minutes where machines are emulated; so it runs only where `SCHISM_TEST_LONG=1` asks for it. One lab serves all
//! tests, in order, as it takes long to boot. The test program is the holder of its own lab, hence its own `main`.

// Clippy allows these in tests, but does not know a test program without the harness for one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::cell::RefCell;
use std::fs;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime};

use schism_cluster::{Ability, DATA_DISK, Ground, GroundAction, GroundError, GroundLease, packages};
use schism_history::Node;
use schism_lab::{Lab, LabError, LabGround, LabKind, LabSpec, attach, down, exec, find, holder_main_if_asked, up, vms};
use serde_json::Value;

/// Name of this program where it runs a command on a node and nothing else.
const CHILD: &str = "schism-vms-test-child";

type Test = (&'static str, fn(&Bench));

const TESTS: &[Test] = &[
    ("machines_have_names_addresses_and_disks", machines_have_names_addresses_and_disks),
    ("a_clock_is_a_machines_own", a_clock_is_a_machines_own),
    ("netem_delays_and_device_mapper_is_there", netem_delays_and_device_mapper_is_there),
    ("a_power_cut_loses_what_was_not_synced", a_power_cut_loses_what_was_not_synced),
    ("a_frozen_machine_stands_still", a_frozen_machine_stands_still),
    ("a_reboot_loses_nothing", a_reboot_loses_nothing),
    ("a_lease_switches_on_by_itself", a_lease_switches_on_by_itself),
    ("what_machines_cannot_is_said", what_machines_cannot_is_said),
    ("sigkill_of_the_holder_leaves_nothing", sigkill_of_the_holder_leaves_nothing),
];

/// The lab and hands on it.
struct Bench {
    lab: Lab,
    ground: LabGround,
    runtime: tokio::runtime::Runtime,
    before: Traces,
    /// When the clock of this machine and the one that nobody sets stood side by side.
    clocks: RefCell<(SystemTime, Instant)>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        down(&self.lab).unwrap();
    }
}

fn main() -> ExitCode {
    holder_main_if_asked();
    let args: Vec<String> = std::env::args().collect();
    if args[0] == CHILD {
        let code = exec(&find(&args[1]).unwrap(), Some(&args[2]), &args[3..]).unwrap();
        return ExitCode::from(u8::try_from(code).unwrap_or(99));
    }
    if std::env::var("SCHISM_TEST_LONG").as_deref() != Ok("1") {
        println!("vm tests passed over: they boot machines for minutes; SCHISM_TEST_LONG=1 runs them");
        return ExitCode::SUCCESS;
    }
    let filters: Vec<String> = args[1..].iter().filter(|arg| !arg.starts_with('-')).cloned().collect();
    let bench = match bench() {
        Ok(bench) => bench,
        Err(reason) => {
            println!("vm tests cannot be run here: {reason}");
            return ExitCode::FAILURE;
        }
    };
    let mut failed = 0;
    for (name, test) in TESTS {
        if !filters.is_empty() && !filters.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let start = Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(|| test(&bench))).is_ok();
        println!("test {name} ... {} ({:?})", if passed { "ok" } else { "FAILED" }, start.elapsed());
        failed += usize::from(!passed);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn bench() -> Result<Bench, String> {
    let parts = vms::fetch(&packages::default_cache(), &["etcd-server"], &mut |line| println!("  {line}"))
        .map_err(|error| error.to_string())?;
    let before = Traces::now();
    println!("  machines run with {:?}", parts.accelerator);
    let spec = LabSpec { lease: None, ..LabSpec::of_machines(LabSpec::fresh_id(), 3, parts) };
    let start = Instant::now();
    let lab = up(&spec, &std::env::current_exe().unwrap()).map_err(|error| error.to_string())?;
    println!("  three machines answer SSH after {:?}", start.elapsed());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ground = LabGround::new(lab.clone());
    Ok(Bench { lab, ground, runtime, before, clocks: RefCell::new((SystemTime::now(), Instant::now())) })
}

impl Bench {
    /// Runs a script on a node; its status and what it said.
    fn on(&self, node: &str, script: &str) -> (i32, String) {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(CHILD).args([&self.lab.id, node, "sh", "-c", script]).stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
    }

    /// The same of one that must succeed, and a number at that.
    fn number(&self, node: &str, script: &str) -> f64 {
        let (code, said) = self.on(node, script);
        assert_eq!(code, 0, "{script}: {said}");
        said.trim().parse().unwrap_or_else(|_| panic!("{script}: {said}"))
    }

    fn act(&self, action: GroundAction) -> Value {
        let start = Instant::now();
        let done = self.runtime.block_on(self.ground.act(&action)).unwrap_or_else(|error| panic!("{error}"));
        println!("  {action}: {done} ({:?})", start.elapsed());
        done
    }

    fn uptime_s(&self, node: &str) -> f64 {
        self.number(node, "cut -d' ' -f1 /proc/uptime")
    }
}

fn node(name: &str) -> Node {
    Node::new(name)
}

/// What a lab might leave behind on this machine.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    links: Vec<String>,
    cache: Vec<PathBuf>,
    images_changed: Vec<SystemTime>,
    mounts: usize,
}

impl Traces {
    fn now() -> Traces {
        let names = |folder: &Path| -> Vec<PathBuf> {
            fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
        };
        let vms = packages::default_cache().join("vms");
        let mut cache: Vec<PathBuf> = names(&vms);
        for image in names(&vms.join("images")) {
            cache.extend(names(&image));
        }
        cache.sort();
        let images_changed =
            cache.iter().filter(|path| path.is_file()).map(|path| fs::metadata(path).unwrap().modified().unwrap());
        let links = names(Path::new("/sys/class/net")).into_iter();
        let links = links.map(|link| link.file_name().unwrap().to_string_lossy().into_owned());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        Traces {
            links: links.filter(|link| link == "br0" || link.trim_start_matches('v').parse::<u8>().is_ok()).collect(),
            images_changed: images_changed.collect(),
            cache,
            mounts: mounts.lines().filter(|line| line.contains("schism-lab")).count(),
        }
    }
}

fn machines_have_names_addresses_and_disks(bench: &Bench) {
    assert_eq!(bench.lab.kind, LabKind::Vms);
    assert_eq!(bench.ground.name(), "vms");
    assert_eq!(Traces::now(), bench.before, "nothing of a lab may be in the machine's network, mounts or cache");
    drop(attach(&bench.lab).unwrap());
    for (at, machine) in bench.lab.nodes.iter().enumerate() {
        assert_eq!(
            (machine.name.as_str(), machine.address.as_str()),
            (["n1", "n2", "n3"][at], ["10.77.0.11", "10.77.0.12", "10.77.0.13"][at])
        );
        for (script, wanted) in [
            ("hostname", format!("{}\n", machine.name)),
            ("id -u", "0\n".to_owned()),
            ("getent ahostsv4 n2 | head -n 1 | cut -d' ' -f1", "10.77.0.12\n".to_owned()),
            ("ip route show default; ip -6 route show default", String::new()),
            (&format!("grep ' {DATA_DISK} ' /proc/mounts | cut -d' ' -f1,3") as &str, "/dev/vdb ext4\n".to_owned()),
            ("ps -o comm= -p 1", "init\n".to_owned()),
            (
                "for tool in nft iptables tc perl dmsetup etcd adjtimex; do command -v $tool || echo $tool; done | wc -l",
                "7\n".to_owned(),
            ),
            ("nft list ruleset && iptables -S INPUT", "-P INPUT ACCEPT\n".to_owned()),
            ("cut -d: -f2 /etc/shadow | sort -u", "*\n".to_owned()),
            (
                "ping -q -c 1 -W 5 n1 >/dev/null && ping -6 -q -c 1 -W 5 n3-v6 >/dev/null && echo reached",
                "reached\n".to_owned(),
            ),
            ("exit 7", String::new()),
        ] {
            let (code, said) = bench.on(&machine.name, script);
            assert_eq!((code, said), (if script == "exit 7" { 7 } else { 0 }, wanted), "{script} on {}", machine.name);
        }
    }
    let kernel = bench.on("n1", "uname -r").1;
    println!("  kernel {}", kernel.trim());
    assert_ne!(kernel, fs::read_to_string("/proc/sys/kernel/osrelease").unwrap());
    assert!(matches!(exec(&bench.lab, Some("n9"), &["true".to_owned()]), Err(LabError::NoSuchNode { .. })));
}

fn a_clock_is_a_machines_own(bench: &Bench) {
    let (wall, steady) = *bench.clocks.borrow();
    let (n1, n2) = (bench.number("n1", "date +%s"), bench.number("n2", "date +%s"));
    let host = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((n1 - host).abs() < 10.0 && (n2 - host).abs() < 10.0, "{n1} {n2} {host}");
    let (code, said) = bench.on("n1", "date -s @$(($(date +%s) + 5000)) >/dev/null");
    assert_eq!((code, said.as_str()), (0, ""));
    let moved = bench.number("n1", "date +%s") - n1;
    assert!((4990.0..5120.0).contains(&moved), "{moved}");
    let other = bench.number("n2", "date +%s") - n2;
    assert!((0.0..120.0).contains(&other), "{other}");
    let drift = wall.elapsed().unwrap().abs_diff(steady.elapsed());
    assert!(drift < Duration::from_secs(5), "this machine's clock moved by {drift:?}");
}

fn netem_delays_and_device_mapper_is_there(bench: &Bench) {
    let median = "ping -c 5 -i 0.3 10.77.0.11 | sed -n 's/.*time=\\([0-9.]*\\).*/\\1/p' | sort -n | sed -n 3p";
    let before = bench.number("n2", median);
    assert_eq!(bench.on("n1", "tc qdisc add dev eth0 root netem delay 300ms").0, 0);
    let during = bench.number("n2", median);
    assert_eq!(bench.on("n1", "tc qdisc del dev eth0 root").0, 0);
    let after = bench.number("n2", median);
    println!("  ping: {before} ms, with 300 ms of netem {during} ms, then {after} ms");
    assert!((280.0..600.0).contains(&(during - before)), "{before} {during}");
    assert!(after < 200.0, "{after}");
    let (code, said) = bench.on("n1", "modprobe dm_flakey && modprobe fuse && dmsetup targets && test -c /dev/fuse");
    assert!(code == 0 && said.contains("flakey"), "{said}");
}

fn a_power_cut_loses_what_was_not_synced(bench: &Bench) {
    let script = format!(
        "cd {DATA_DISK} && echo kept >synced && echo kept >/root/synced && sync && echo lost >unsynced && \
         echo lost >/root/unsynced && cat unsynced"
    );
    assert_eq!(bench.on("n2", &script), (0, "lost\n".to_owned()));
    let cut = bench.act(GroundAction::CutPower { node: node("n2") });
    assert_eq!(cut["was_on"], true);
    assert_eq!(bench.act(GroundAction::CutPower { node: node("n2") })["was_on"], false, "twice is once");
    assert_ne!(bench.on("n1", "ping -q -c 1 -W 2 10.77.0.12 >/dev/null").0, 0);
    assert_eq!(bench.act(GroundAction::Thaw { node: node("n2") }), serde_json::json!({}));
    assert_eq!(bench.act(GroundAction::PowerOn { node: node("n2") })["was_on"], false);
    assert_eq!(bench.act(GroundAction::PowerOn { node: node("n2") })["was_on"], true, "twice is once");
    let look =
        format!("cat {DATA_DISK}/synced /root/synced; cat {DATA_DISK}/unsynced /root/unsynced 2>/dev/null; true");
    assert_eq!(bench.on("n2", &look), (0, "kept\nkept\n".to_owned()), "what was not synced is lost, and nothing else");
    let (code, said) = bench.on("n1", "ssh-keyscan -t ed25519 10.77.0.12 2>/dev/null | cut -d' ' -f2,3");
    assert!(code == 0 && bench.lab.known_hosts.contains(said.trim()), "the same machine: {said}");
}

fn a_frozen_machine_stands_still(bench: &Bench) {
    let (before, start) = (bench.uptime_s("n3"), Instant::now());
    bench.act(GroundAction::Freeze { node: node("n3") });
    bench.act(GroundAction::Freeze { node: node("n3") });
    let frozen = Instant::now();
    assert_ne!(bench.on("n1", "ping -q -c 1 -W 2 10.77.0.13 >/dev/null").0, 0);
    std::thread::sleep(Duration::from_secs(20).saturating_sub(frozen.elapsed()));
    let stood_s = frozen.elapsed().as_secs_f64();
    let thawed = bench.act(GroundAction::Thaw { node: node("n3") });
    assert!(thawed["frozen_ms"].as_f64().unwrap() >= stood_s * 1000.0, "{thawed}");
    assert_eq!(bench.act(GroundAction::Thaw { node: node("n3") }), serde_json::json!({}));
    let (went_on_s, passed_s) = (bench.uptime_s("n3") - before, start.elapsed().as_secs_f64());
    println!("  its time went on by {went_on_s:.1} s of {passed_s:.1} s, of which it stood still for {stood_s:.1} s");
    assert!(went_on_s < passed_s - stood_s + 2.0);
}

fn a_reboot_loses_nothing(bench: &Bench) {
    let hook = "mkdir -p /var/lib/schism/boot.d && printf '#!/bin/sh\\necho ran >>/root/hook\\n' \
                >/var/lib/schism/boot.d/test && chmod +x /var/lib/schism/boot.d/test && \
                printf '#!/bin/sh\\necho ran >>/root/hook\\n' >/var/lib/schism/boot.d/not-executable && \
                tc qdisc add dev eth0 root netem delay 1ms && touch /run/gone && \
                echo 10.1.2.3 stays >>/etc/hosts && echo kept >/root/rebooted";
    assert_eq!(bench.on("n1", hook), (0, String::new()));
    let before = bench.uptime_s("n1");
    let done = bench.act(GroundAction::Reboot { node: node("n1") });
    assert!(done["shutdown_ms"].as_u64().is_some(), "{done}");
    let after = bench.uptime_s("n1");
    assert!(after < before, "uptime {before} and {after}");
    let look = "cat /root/rebooted /root/hook; ls /run/gone 2>/dev/null; tc qdisc show dev eth0 | grep -c netem; \
                grep -c stays /etc/hosts";
    assert_eq!(bench.on("n1", look).1, "kept\nran\n0\n1\n");
    // A machine that resets by itself comes again as well.
    assert_eq!(bench.on("n1", "touch /run/once; (sleep 1; reboot -f) >/dev/null 2>&1 &").0, 0);
    let start = Instant::now();
    while bench.on("n1", "test ! -e /run/once").0 != 0 {
        assert!(start.elapsed() < Duration::from_secs(90), "it does not come again");
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("  here again {:?} after a reset of its own", start.elapsed());
    // Its clock, which was set wrong, is that of its hardware again.
    let host = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let clock = bench.number("n1", "date +%s");
    assert!((clock - host).abs() < 10.0, "{clock} {host}");
}

fn a_lease_switches_on_by_itself(bench: &Bench) {
    let lease = GroundLease {
        name: "test-1".to_owned(),
        class: "power".to_owned(),
        label: "power: n3".to_owned(),
        lease_s: 1,
        undo: vec![GroundAction::PowerOn { node: node("n3") }],
    };
    bench.runtime.block_on(bench.ground.arm(&lease)).unwrap();
    bench.act(GroundAction::CutPower { node: node("n3") });
    let start = Instant::now();
    while !bench.runtime.block_on(bench.ground.leases()).unwrap().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(90), "the lease is still kept");
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("  on again {:?} after its power was cut", start.elapsed());
    assert_eq!(bench.on("n3", "hostname"), (0, "n3\n".to_owned()));
}

fn what_machines_cannot_is_said(bench: &Bench) {
    for (ability, hint) in [(Ability::Links, "netem"), (Ability::DataDisk, "device mapper")] {
        match bench.runtime.block_on(bench.ground.can(ability)) {
            Err(GroundError::Unsupported { ground: "vms", reason, .. }) => assert!(reason.contains(hint), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(bench.runtime.block_on(bench.ground.can(Ability::Power)).is_ok());
    let nowhere = bench.runtime.block_on(bench.ground.act(&GroundAction::CutPower { node: node("n9") }));
    assert!(nowhere.is_err_and(|error| error.to_string().contains("n9")));
}

/// Last, as it takes the lab away.
fn sigkill_of_the_holder_leaves_nothing(bench: &Bench) {
    let id = bench.lab.id.clone();
    let processes = || {
        let all = fs::read_dir("/proc").unwrap().flatten();
        let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(&id)).count()
    };
    assert!(processes() >= 4, "a holder and three machines");
    let holder = nix::unistd::Pid::from_raw(i32::try_from(bench.lab.holder.pid).unwrap());
    nix::sys::signal::kill(holder, nix::sys::signal::Signal::SIGKILL).unwrap();
    let start = Instant::now();
    while processes() > 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "{} processes are left", processes());
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("  all processes gone after {:?}", start.elapsed());
    assert_eq!(Traces::now(), bench.before);
    assert!(find(&id).is_err() && attach(&bench.lab).is_err());
}
