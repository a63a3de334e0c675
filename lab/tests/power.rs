//! Disks and power of labs for real, through [`Ground`]: what a power cut loses and keeps, a disk that is full or fails,
//! freezing, rebooting, undos that the holder does by itself. Needs what `tests/lab.rs` needs, loop devices, ext4 and
//! e2fsprogs; says so where they are missing.

// Clippy allows these in tests, but does not know a test program without the harness for one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::fs;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use schism_cluster::{Ability, DATA_DISK, Ground, GroundAction, GroundError, GroundLease};
use schism_history::Node;
use schism_lab::{Lab, LabGround, LabSpec, find, holder_main_if_asked};
use serde_json::Value as Json;
use support::{CHILD, Own, SOON, eventually, ground_is_missing, machine, networks, on, processes_of, spec, ssh};

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("a_power_cut_loses_what_was_not_synced", a_power_cut_loses_what_was_not_synced),
    ("what_was_promised_to_be_synced_survives", what_was_promised_to_be_synced_survives),
    ("all_nodes_at_once_again_and_again", all_nodes_at_once_again_and_again),
    ("what_is_off_is_told_so_and_comes_again", what_is_off_is_told_so_and_comes_again),
    ("a_full_data_disk_is_full", a_full_data_disk_is_full),
    ("a_data_disk_fails_and_comes_back", a_data_disk_fails_and_comes_back),
    ("a_frozen_node_stands_still", a_frozen_node_stands_still),
    ("a_reboot_keeps_everything", a_reboot_keeps_everything),
    ("silence_switches_a_node_on_again", silence_switches_a_node_on_again),
    ("sigkill_of_the_holder_leaves_no_disk", sigkill_of_the_holder_leaves_no_disk),
    ("limits_hold_and_groups_go_with_the_lab", limits_hold_and_groups_go_with_the_lab),
    ("a_lab_without_disks_says_so", a_lab_without_disks_says_so),
];

fn main() -> ExitCode {
    holder_main_if_asked();
    let mut args = std::env::args();
    if args.next().as_deref() == Some(CHILD) {
        return network(&args.collect::<Vec<_>>());
    }
    let filters: Vec<String> = args.filter(|arg| !arg.starts_with('-')).collect();
    if let Some(reason) = ground_is_missing().or_else(disks_are_missing) {
        println!("power tests skipped: {reason}");
        return ExitCode::SUCCESS;
    }
    let chosen = TESTS.iter().filter(|(name, _)| filters.is_empty() || filters.iter().any(|part| name.contains(part)));
    let mut failed = 0;
    for (name, test) in chosen {
        let start = Instant::now();
        let passed = catch_unwind(test).is_ok();
        println!("test {name} ... {} ({:?})", if passed { "ok" } else { "FAILED" }, start.elapsed());
        failed += usize::from(!passed);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Why nodes of this machine have no disks, if they have none.
fn disks_are_missing() -> Option<String> {
    let lab = Own::up(&spec(1));
    on_ground(&lab, async |ground| ground.can(Ability::DataDisk).await).err().map(|error| error.to_string())
}

/// Enters a lab's network in a process of its own and runs a command there.
fn network(args: &[String]) -> ExitCode {
    let [role, id, program, rest @ ..] = args else { return ExitCode::FAILURE };
    assert_eq!(role, "network");
    schism_lab::enter(&find(id).unwrap()).unwrap();
    let status = std::process::Command::new(program).args(rest).status().unwrap();
    ExitCode::from(u8::try_from(status.code().unwrap_or(99)).unwrap_or(98))
}

fn on_ground<T>(lab: &Lab, work: impl AsyncFnOnce(&dyn Ground) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { work(&LabGround::new(lab.clone())).await })
}

fn act(lab: &Lab, action: &GroundAction) -> Result<Json, GroundError> {
    on_ground(lab, async |ground| ground.act(action).await)
}

fn done(lab: &Lab, action: &GroundAction) -> Json {
    let start = Instant::now();
    let answer = act(lab, action).unwrap();
    println!("  {action}: {:?} {answer}", start.elapsed());
    answer
}

fn n1() -> Node {
    Node::new("n1")
}

/// The lab as it is now: nodes get another init at each boot.
fn now(lab: &Lab) -> Lab {
    find(&lab.id).unwrap()
}

/// Runs a script on n1 as it is now, and what it said.
fn said(lab: &Lab, script: &str) -> String {
    let (code, said) = on(&now(lab), "n1", script);
    assert_eq!(code, 0, "{script}: {said}");
    said
}

fn answers_ssh(lab: &Lab, node: &str) -> bool {
    logs_in(lab, node, "ConnectTimeout=20")
}

/// Whether it gives no answer for a while.
fn is_silent(lab: &Lab, node: &str) -> bool {
    !logs_in(lab, node, "ConnectTimeout=2")
}

fn logs_in(lab: &Lab, node: &str, timeout: &str) -> bool {
    let address = lab.nodes.iter().find(|its| its.name == node).unwrap().address.clone();
    ssh(lab, &format!("root@{address}"), &["-o", timeout], "true").status.success()
}

/// Loop devices that hold an image of this lab.
fn loops_of(id: &str) -> Vec<String> {
    let devices = fs::read_dir("/sys/block").unwrap().flatten();
    let files = devices.filter_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok());
    files.filter(|file| file.contains(&format!("/{id}-"))).collect()
}

/// Waits until there are so many: the kernel frees one when the last that had it open is gone, which may be one that only
/// looked at it.
fn has_loops(lab: &Lab, count: usize) {
    eventually("as many loop devices as disks", Duration::from_secs(20), || loops_of(&lab.id).len() == count);
}

fn a_power_cut_loses_what_was_not_synced() {
    let lab = Own::up(&spec(2));
    let (cut, power_on) = (GroundAction::CutPower { node: n1() }, GroundAction::PowerOn { node: n1() });
    // Before: files of both kinds on the data disk, files elsewhere, a firewall, a mount, a running writer.
    said(
        &lab,
        "mkdir -p /var/lib/schism/boot.d && printf '#!/bin/sh\\necho boot >>/etc/boots\\n' >/var/lib/schism/boot.d/count",
    );
    said(&lab, "cp /var/lib/schism/boot.d/count /var/lib/schism/boot.d/.hidden; chmod 755 /var/lib/schism/boot.d/*");
    said(&lab, "cp /bin/false /var/lib/schism/boot.d/plain && chmod 644 /var/lib/schism/boot.d/plain");
    said(&lab, &format!("cd {DATA_DISK} && echo kept >kept && sync kept && echo longer >>kept && echo lost >lost"));
    said(&lab, "echo root >/etc/mark && echo home >/root/mark && mkdir -p /home/x && echo x >/home/x/mark");
    said(&lab, "echo gone | tee /run/mark /tmp/mark /dev/shm/mark; nft add table inet t; mount -t tmpfs x /mnt");
    said(&lab, &format!("setsid sh -c 'while :; do echo . >>{DATA_DISK}/kept2; done' </dev/null >/dev/null 2>&1 &"));
    let key = said(&lab, "cat /etc/ssh/ssh_host_ed25519_key.pub; cat /sys/class/net/eth0/address");
    let before = now(&lab).nodes[0].init_pid;
    assert_eq!(done(&lab, &cut)["unsynced_lost"], true);
    // Off, and the other node is not.
    assert_eq!(now(&lab).nodes[0].init_pid, 0);
    assert!(is_silent(&lab, "n1") && answers_ssh(&lab, "n2"));
    assert_eq!(done(&lab, &cut)["was_on"], false, "cutting twice is cutting once");
    assert_eq!(done(&lab, &power_on)["was_on"], false);
    assert!(answers_ssh(&lab, "n1"), "it can be logged in to at once, under the same key");
    let after = now(&lab).nodes[0].init_pid;
    assert!(after != 0 && after != before);
    assert_eq!(done(&lab, &power_on)["was_on"], true, "switching on twice is once");
    assert_eq!(now(&lab).nodes[0].init_pid, after);
    has_booted(&lab, 1);
    for (script, wanted) in [
        (format!("cat {DATA_DISK}/kept"), "kept\n"),
        (format!("cat {DATA_DISK}/lost 2>/dev/null; true"), ""),
        (format!("cat {DATA_DISK}/kept2 2>/dev/null | head -c 1; true"), ""),
        ("cat /etc/mark /root/mark /home/x/mark".to_owned(), "root\nhome\nx\n"),
        ("cat /run/mark /tmp/mark /dev/shm/mark 2>/dev/null; true".to_owned(), ""),
        ("nft list ruleset; mountpoint -q /mnt || echo none".to_owned(), "none\n"),
        ("cat /etc/ssh/ssh_host_ed25519_key.pub; cat /sys/class/net/eth0/address".to_owned(), &key),
        ("cat /etc/boots".to_owned(), "boot\n"),
        ("hostname; getent ahostsv4 n2 | head -1 | cut -d' ' -f1".to_owned(), "n1\n10.77.0.12\n"),
        ("timeout 20 bash -c 'exec 3<>/dev/tcp/n2/22 && head -c 7 <&3'".to_owned(), "SSH-2.0"),
    ] {
        assert_eq!(said(&lab, &script), wanted, "{script}");
    }
    // The running program is there, under the agent's path, and cannot be written.
    let own = fs::metadata("/proc/self/exe").unwrap().len();
    assert_eq!(said(&lab, "stat -c %s /run/schism/agent/schism").trim(), own.to_string());
    assert_ne!(on(&now(&lab), "n1", "echo x >>/run/schism/agent/schism").0, 0);
    // Again and again: nothing piles up.
    for boots in 2..=4 {
        done(&lab, &cut);
        done(&lab, &power_on);
        has_booted(&lab, boots);
    }
    assert_eq!(said(&lab, &format!("cat {DATA_DISK}/kept; wc -l </etc/boots")), "kept\n4\n");
    has_loops(&lab, 2);
}

/// Waits until the boot script has counted so often: nobody else waits for boot scripts.
fn has_booted(lab: &Lab, times: usize) {
    let counted = format!("test $(wc -l </etc/boots) = {times}");
    eventually("the boot is counted", SOON, || on(&now(lab), "n1", &counted).0 == 0);
}

/// What a database does: append, sync, say so. Whatever the controller heard is there after the cut.
fn what_was_promised_to_be_synced_survives() {
    let lab = Own::up(&spec(1));
    for round in 0..3 {
        let script = format!(
            "cd {DATA_DISK}; i=0; while :; do i=$((i+1)); echo $i >>log{round}; sync log{round} && echo $i; done"
        );
        let alive = ["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=1"];
        let heard = std::thread::scope(|scope| {
            let heard = scope.spawn(|| ssh(&lab, "root@10.77.0.11", &alive, &script).stdout);
            let log = format!("/proc/{}/root{DATA_DISK}/log{round}", now(&lab).nodes[0].init_pid);
            // So much that what was on its way when the power went is the smaller part.
            let wrote = || fs::metadata(&log).is_ok_and(|log| log.len() > 1000);
            eventually("it writes", Duration::from_secs(60), wrote);
            done(&lab, &GroundAction::CutPower { node: n1() });
            heard.join().unwrap()
        });
        done(&lab, &GroundAction::PowerOn { node: n1() });
        let numbers = |text: &str| -> Vec<u64> { text.lines().map(|line| line.parse().unwrap()).collect() };
        let heard = numbers(&String::from_utf8(heard).unwrap());
        // The last line may be torn: nobody was told that it is there.
        let there = said(&lab, &format!("head -n {} {DATA_DISK}/log{round}", heard.len()));
        assert_eq!(numbers(&there), heard);
        println!("  {} synced lines were promised, all are there", heard.len());
        assert!(heard.len() > 10);
    }
}

fn all_nodes_at_once_again_and_again() {
    let lab = Own::up(&spec(5));
    let at_once = |action: fn(Node) -> GroundAction| {
        on_ground(&lab, async |_| {
            let mut acts = tokio::task::JoinSet::new();
            for node in lab.nodes.iter().map(|node| Node::new(&node.name)) {
                let ground = LabGround::new(lab.0.clone());
                acts.spawn(async move { ground.act(&action(node)).await });
            }
            acts.join_all().await.into_iter().for_each(|answer| drop(answer.unwrap()));
        });
    };
    for _ in 0..3 {
        let start = Instant::now();
        at_once(|node| GroundAction::CutPower { node });
        assert!(now(&lab).nodes.iter().all(|node| node.init_pid == 0));
        has_loops(&lab, 0);
        let off = start.elapsed();
        at_once(|node| GroundAction::PowerOn { node });
        println!("  five nodes off {off:?}, on again {:?}", start.elapsed() - off);
        assert!(now(&lab).nodes.iter().all(|node| node.init_pid != 0));
        has_loops(&lab, 5);
    }
    assert!(lab.nodes.iter().all(|node| answers_ssh(&lab, &node.name)));
}

fn what_is_off_is_told_so_and_comes_again() {
    let lab = Own::up(&spec(1));
    done(&lab, &GroundAction::CutPower { node: n1() });
    for action in [GroundAction::Freeze { node: n1() }, GroundAction::FailDataDisk { node: n1() }] {
        let error = act(&lab, &action).unwrap_err().to_string();
        assert!(error.contains("n1 is off"), "{error}");
    }
    // Undos are fine with it.
    for action in [GroundAction::Thaw { node: n1() }, GroundAction::RestoreDataDisk { node: n1() }] {
        done(&lab, &action);
    }
    let error = act(&lab, &GroundAction::PowerOn { node: Node::new("n7") }).unwrap_err().to_string();
    assert!(error.contains("no node `n7`") && error.contains("n1"), "{error}");
    done(&lab, &GroundAction::Reboot { node: n1() });
    assert!(answers_ssh(&lab, "n1"));
    // One whose init died by another hand is off, and can be switched on.
    // The more there is to end with it, the longer is it neither alive nor dead.
    for _ in 0..5 {
        said(&lab, "for at in $(seq 400); do setsid sleep 1000 </dev/null >/dev/null 2>&1 & done");
        let init = i32::try_from(now(&lab).nodes[0].init_pid).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(init), nix::sys::signal::Signal::SIGKILL).unwrap();
        eventually("it is off", SOON, || now(&lab).nodes[0].init_pid == 0);
        let answer = done(&lab, &GroundAction::PowerOn { node: n1() });
        assert_eq!(answer["was_on"], false, "{answer}");
        assert!(answers_ssh(&lab, "n1"));
    }
}

fn a_full_data_disk_is_full() {
    let lab = Own::up(&LabSpec { data_disk_bytes: 32 << 20, ..spec(2) });
    let fill = format!("dd if=/dev/zero of={DATA_DISK}/big bs=1M count=64 2>&1 | grep -o 'No space left'");
    assert_eq!(said(&lab, &fill), "No space left\n");
    assert_eq!(said(&lab, "dd if=/dev/zero of=/var/other bs=1M count=64 2>/dev/null; echo room"), "room\n");
    assert_eq!(on(&lab, "n2", &format!("dd if=/dev/zero of={DATA_DISK}/big bs=1M count=8 2>/dev/null")).0, 0);
    said(&lab, &format!("rm {DATA_DISK}/big && dd if=/dev/zero of={DATA_DISK}/small bs=1M count=8 2>/dev/null"));
}

fn a_data_disk_fails_and_comes_back() {
    let lab = Own::up(&spec(2));
    let (fail, restore) = (GroundAction::FailDataDisk { node: n1() }, GroundAction::RestoreDataDisk { node: n1() });
    said(&lab, &format!("cd {DATA_DISK} && echo kept >kept && sync kept && echo lost >lost"));
    done(&lab, &restore);
    assert_eq!(said(&lab, &format!("cat {DATA_DISK}/lost")), "lost\n", "restoring what is well does nothing");
    // The second time somebody still holds a file of it.
    for holds in [false, true] {
        if holds {
            said(&lab, &format!("exec 3>>{DATA_DISK}/kept; setsid sleep 1000 </dev/null >/dev/null 2>&1 &"));
        }
        done(&lab, &fail);
        done(&lab, &fail);
        let (code, told) = on(&now(&lab), "n1", &format!("echo more >>{DATA_DISK}/kept"));
        assert!(code != 0 && told.contains("Input/output error"), "{told}");
        assert!(answers_ssh(&lab, "n1"), "the node itself lives");
        done(&lab, &restore);
        assert_eq!(said(&lab, &format!("cd {DATA_DISK}; cat kept; test -e lost || echo gone")), "kept\ngone\n");
        said(&lab, &format!("echo new >{DATA_DISK}/new && sync {DATA_DISK}/new"));
        done(&lab, &restore);
    }
    // A failed disk is well after the next boot.
    done(&lab, &fail);
    done(&lab, &GroundAction::Reboot { node: n1() });
    assert_eq!(said(&lab, &format!("cat {DATA_DISK}/new")), "new\n");
    has_loops(&lab, 2);
    assert_eq!(on(&lab, "n2", &format!("echo well >{DATA_DISK}/x")).0, 0);
}

fn a_frozen_node_stands_still() {
    let lab = Own::up(&spec(2));
    let (freeze, thaw) = (GroundAction::Freeze { node: n1() }, GroundAction::Thaw { node: n1() });
    // One that counts, one that starts others all the time, one that is stopped already.
    said(&lab, "setsid sh -c 'while :; do echo . >>/tmp/count; sleep 0.01; done' </dev/null >/dev/null 2>&1 &");
    said(&lab, "setsid sh -c 'while :; do /bin/true; done' </dev/null >/dev/null 2>&1 &");
    // A signal takes effect a moment after it was sent.
    let stopped = "until [ \"$(cut -d' ' -f3 /proc/$!/stat)\" = T ]; do sleep 0.01; done";
    let stop = "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >/tmp/asleep; kill -STOP $!";
    said(&lab, &format!("{stop}; {stopped}"));
    let init = now(&lab).nodes[0].init_pid;
    let count = || fs::metadata(format!("/proc/{init}/root/tmp/count")).unwrap().len();
    eventually("it counts", SOON, || count() > 0);
    let answer = done(&lab, &freeze);
    assert_eq!(answer["stopped_before"], 1, "{answer}");
    assert!(answer["processes"].as_u64().unwrap() >= 4, "{answer}");
    assert_eq!(done(&lab, &freeze)["processes"], answer["processes"], "freezing twice is freezing once");
    let then = count();
    assert!(is_silent(&lab, "n1") && answers_ssh(&lab, "n2"));
    assert_eq!(count(), then, "nothing happens on it");
    assert_eq!(done(&lab, &GroundAction::PowerOn { node: n1() })["was_on"], true, "frozen is not off");
    done(&lab, &thaw);
    assert!(answers_ssh(&lab, "n1"));
    eventually("it counts on", SOON, || count() > then);
    assert_eq!(said(&lab, "cut -d' ' -f3 /proc/$(cat /tmp/asleep)/stat"), "T\n", "what was stopped before stays so");
    assert_eq!(done(&lab, &thaw)["processes"], 0);
    // The power of a frozen node can be cut, and it comes back alive.
    done(&lab, &freeze);
    done(&lab, &GroundAction::CutPower { node: n1() });
    done(&lab, &GroundAction::PowerOn { node: n1() });
    assert!(answers_ssh(&lab, "n1"));
}

fn a_reboot_keeps_everything() {
    let lab = Own::up(&spec(1));
    said(&lab, &format!("cd {DATA_DISK} && echo unsynced >file && echo more >/etc/mark"));
    // A daemon that writes when it is asked to end, and one that does not listen.
    let daemon = |trap: &str| {
        let script = format!("trap '{trap}' TERM; echo >/run/ready; while :; do sleep 0.05; done");
        fs::write(format!("/proc/{}/root/tmp/daemon", now(&lab).nodes[0].init_pid), script).unwrap();
        said(&lab, "setsid sh /tmp/daemon </dev/null >/dev/null 2>&1 &");
        eventually("it listens", SOON, || on(&now(&lab), "n1", "test -e /run/ready").0 == 0);
    };
    daemon(&format!("echo ended >{DATA_DISK}/last; exit"));
    assert_eq!(done(&lab, &GroundAction::Reboot { node: n1() })["killed_after_grace"], 0);
    assert!(answers_ssh(&lab, "n1"));
    assert_eq!(said(&lab, &format!("cd {DATA_DISK} && cat file last /etc/mark")), "unsynced\nended\nmore\n");
    daemon("");
    let killed = done(&lab, &GroundAction::Reboot { node: n1() })["killed_after_grace"].as_u64().unwrap();
    assert!((1..=2).contains(&killed), "{killed}");
    done(&lab, &GroundAction::Freeze { node: n1() });
    done(&lab, &GroundAction::Reboot { node: n1() });
    assert!(answers_ssh(&lab, "n1"));
}

fn silence_switches_a_node_on_again() {
    let lab = Own::up(&spec(2));
    let lease = |name: &str, node: &str| GroundLease {
        name: name.to_owned(),
        class: "power".to_owned(),
        label: format!("power: {node}"),
        lease_s: 6,
        undo: vec![GroundAction::PowerOn { node: Node::new(node) }],
    };
    let silent_since = on_ground(&lab, async |ground| {
        ground.arm(&lease("t1-1", "n1")).await.unwrap();
        ground.arm(&lease("t1-2", "n2")).await.unwrap();
        ground.act(&GroundAction::CutPower { node: n1() }).await.unwrap();
        ground.act(&GroundAction::CutPower { node: Node::new("n2") }).await.unwrap();
        // Signs of life put it off, for longer than the lease.
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            ground.beat("t1").await.unwrap();
        }
        assert_eq!(ground.leases().await.unwrap().len(), 2);
        Instant::now()
    });
    assert!(now(&lab).nodes.iter().all(|node| node.init_pid == 0));
    let long = Duration::from_secs(60);
    eventually("both are on again", long, || now(&lab).nodes.iter().all(|node| node.init_pid != 0));
    eventually("and answer", long, || answers_ssh(&lab, "n1") && answers_ssh(&lab, "n2"));
    println!("  both on {:?} after the last sign of life (lease 6 s)", silent_since.elapsed());
    eventually("the leases are done", long, || {
        on_ground(&lab, async |ground| ground.leases().await.unwrap().is_empty())
    });
}

fn sigkill_of_the_holder_leaves_no_disk() {
    let before = machine();
    let lab = Own::up(&spec(3));
    // One off, one failed and restored, one in use.
    done(&lab, &GroundAction::CutPower { node: n1() });
    let n2 = Node::new("n2");
    done(&lab, &GroundAction::FailDataDisk { node: n2.clone() });
    done(&lab, &GroundAction::RestoreDataDisk { node: n2 });
    assert_eq!(on(&lab, "n3", &format!("dd if=/dev/zero of={DATA_DISK}/big bs=1M count=64 2>/dev/null")).0, 0);
    has_loops(&lab, 2);
    let inits = now(&lab).nodes.into_iter().filter(|node| node.init_pid != 0).collect();
    let namespaces = networks(&Lab { nodes: inits, ..lab.0.clone() });
    assert_eq!(namespaces.len(), 3);
    let holder = nix::unistd::Pid::from_raw(i32::try_from(lab.holder.pid).unwrap());
    nix::sys::signal::kill(holder, nix::sys::signal::Signal::SIGKILL).unwrap();
    eventually("no process is left", SOON, || processes_of(&namespaces).is_empty());
    let took = eventually("no loop device is left", SOON, || loops_of(&lab.id).is_empty());
    println!("  all loop devices free {took:?} after the processes");
    assert_eq!(machine(), before);
}

/// Control groups of this lab.
fn groups_of(id: &str) -> Vec<String> {
    let name = format!("schism-lab.{id}.*");
    let output =
        std::process::Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", &name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn limits_hold_and_groups_go_with_the_lab() {
    let wish = LabSpec { memory_bytes_max: Some(64 << 20), cpu_milli_max: Some(200), ..spec(2) };
    let exe = std::env::current_exe().unwrap();
    let lab = match schism_lab::up(&wish, &exe) {
        Ok(lab) => Own(lab),
        Err(error) => {
            assert!(error.to_string().contains("limiting a node"), "{error}");
            return println!("  limits cannot be set here: {error}");
        }
    };
    let as_ssh = |script: &str| ssh(&lab, "root@10.77.0.11", &[], script);
    // A command that is run from outside is not limited, one that is logged in is.
    let eater = as_ssh("perl -e '$x = \"x\" x (200 << 20); print length $x'");
    assert!(!eater.status.success() && eater.stdout.is_empty(), "{eater:?}");
    assert!(as_ssh("perl -e '$x = \"x\" x (8 << 20); print length $x'").status.success());
    let burnt = as_ssh("timeout 2 sh -c 'while :; do :; done'; cut -d' ' -f16,17 /proc/$$/stat");
    let burnt = String::from_utf8(burnt.stdout).unwrap();
    let ticks: u64 = burnt.split_whitespace().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    println!("  {ticks} ticks of processor time in 2 s, of 40 that are allowed");
    // Without a limit it were 200.
    assert!((1..=100).contains(&ticks), "{ticks}");
    // Faults make groups of their own within the node's, and see nothing above them.
    assert_eq!(as_ssh("grep -v -e ':/$' -e ':/node$' /proc/self/cgroup").stdout, b"");
    let own = "cd /sys/fs/cgroup/memory 2>/dev/null || cd /sys/fs/cgroup; mkdir sub && echo 0 >sub/cgroup.procs && \
               grep -c ':/sub$' /proc/self/cgroup";
    assert_eq!(as_ssh(own).stdout, b"1\n");
    let count = groups_of(&lab.id).len();
    assert!(count >= 2, "{count}");
    done(&lab, &GroundAction::CutPower { node: n1() });
    assert!(groups_of(&lab.id).len() < count);
    done(&lab, &GroundAction::PowerOn { node: n1() });
    assert_eq!(groups_of(&lab.id).len(), count);
    let eater = as_ssh("perl -e '$x = \"x\" x (200 << 20); print length $x'");
    assert!(!eater.status.success(), "the limit holds after a boot, too");
    let holder = nix::unistd::Pid::from_raw(i32::try_from(lab.holder.pid).unwrap());
    nix::sys::signal::kill(holder, nix::sys::signal::Signal::SIGKILL).unwrap();
    let took = eventually("no group is left", SOON, || groups_of(&lab.id).is_empty());
    println!("  all groups gone {took:?} after the holder was killed");
}

fn a_lab_without_disks_says_so() {
    let lab = Own::up(&LabSpec { data_disk_bytes: 0, ..spec(1) });
    on_ground(&lab, async |ground| {
        for ability in [Ability::DataDisk, Ability::Power] {
            let error = ground.can(ability).await.unwrap_err().to_string();
            assert!(error.contains("without data disks"), "{error}");
        }
        ground.can(Ability::Freeze).await.unwrap();
        assert!(ground.can(Ability::Links).await.is_err());
    });
    assert_eq!(said(&lab, &format!("echo plain >{DATA_DISK}/x; cat {DATA_DISK}/x")), "plain\n");
    done(&lab, &GroundAction::Reboot { node: n1() });
    assert_eq!(said(&lab, &format!("cat {DATA_DISK}/x")), "plain\n");
    assert!(loops_of(&lab.id).is_empty());
}
