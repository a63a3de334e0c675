//! Labs for real: needs root, iproute2 and the packages of the nodes (from the cache or the distribution's archive);
//! says so where they are missing. The test program is the holder of its own labs, hence its own `main`.

// Clippy allows these in tests, but does not know a test program without the harness for one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::panic::catch_unwind;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use schism_lab::{
    LabError, LabSpec, LabUser, Sudoers, attach, down, enter, exec, find, holder_main_if_asked, list, up,
};
use support::{
    CHILD, Own, SOON, child, eventually, ground_is_missing, machine, network_of, networks, on, processes_named,
    processes_of, spec, ssh,
};

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("five_nodes_come_up_answer_ssh_and_go", five_nodes_come_up_answer_ssh_and_go),
    ("a_node_is_itself_and_sees_nothing_private", a_node_is_itself_and_sees_nothing_private),
    ("a_node_cannot_harm_the_machine_by_accident", a_node_cannot_harm_the_machine_by_accident),
    ("nodes_reach_each_other_and_nothing_else", nodes_reach_each_other_and_nothing_else),
    ("two_labs_live_side_by_side", two_labs_live_side_by_side),
    ("sigkill_of_the_holder_leaves_nothing", sigkill_of_the_holder_leaves_nothing),
    ("a_killed_controller_is_noticed_and_the_lease_runs", a_killed_controller_is_noticed_and_the_lease_runs),
    ("attached_labs_outlive_their_lease", attached_labs_outlive_their_lease),
    ("a_lab_without_lease_holds_no_pipe_and_stays", a_lab_without_lease_holds_no_pipe_and_stays),
    (
        "a_controller_killed_while_the_lab_comes_up_leaves_nothing",
        a_controller_killed_while_the_lab_comes_up_leaves_nothing,
    ),
    ("an_ordinary_user_is_told_so", an_ordinary_user_is_told_so),
    ("commands_in_the_lab", commands_in_the_lab),
    ("a_failing_start_says_where_and_leaves_nothing", a_failing_start_says_where_and_leaves_nothing),
    ("users_with_passwords_and_sudo", users_with_passwords_and_sudo),
    ("sshd_comes_back_and_init_stays", sshd_comes_back_and_init_stays),
    ("a_full_disk_is_the_nodes_alone", a_full_disk_is_the_nodes_alone),
];

fn main() -> ExitCode {
    holder_main_if_asked();
    let mut args = std::env::args();
    if args.next().as_deref() == Some(CHILD) {
        return play(&args.collect::<Vec<_>>());
    }
    let filters: Vec<String> = args.filter(|arg| !arg.starts_with('-')).collect();
    if let Some(reason) = ground_is_missing() {
        println!("lab tests skipped: {reason}");
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

/// Controllers in processes of their own.
fn play(args: &[String]) -> ExitCode {
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        // Makes a lab with this lease, attaches, says its id, and stays until it is killed.
        ["controller", lease_ms] => {
            let lease = Duration::from_millis(lease_ms.parse().unwrap());
            let lab = up(&LabSpec { lease: Some(lease), ..spec(1) }, &std::env::current_exe().unwrap()).unwrap();
            let _attached = attach(&lab).unwrap();
            println!("{}", lab.id);
            loop {
                std::thread::park();
            }
        }
        // Makes a lab that stays, and ends.
        ["leave", id] => {
            up(&LabSpec { id: (*id).to_owned(), lease: None, ..spec(1) }, &std::env::current_exe().unwrap()).unwrap();
            ExitCode::SUCCESS
        }
        // Tries to make a lab as an ordinary user.
        ["nobody"] => {
            nix::unistd::setuid(nix::unistd::Uid::from_raw(65534)).unwrap();
            let error = up(&LabSpec::new("nobody-s", 1), std::path::Path::new("/proc/self/exe")).unwrap_err();
            assert!(matches!(error, LabError::NoMaps { .. }));
            println!("{error}");
            ExitCode::SUCCESS
        }
        // Enters the lab's network and runs a command there.
        ["network", id, program, rest @ ..] => {
            let lab = find(id).unwrap();
            let _attached = attach(&lab).unwrap();
            enter(&lab).unwrap();
            let status = Command::new(program).args(rest).status().unwrap();
            ExitCode::from(u8::try_from(status.code().unwrap_or(99)).unwrap_or(98))
        }
        // Enters and speaks to every node itself.
        ["banners", id] => {
            let lab = find(id).unwrap();
            enter(&lab).unwrap();
            for node in &lab.nodes {
                let mut start = [0; 8];
                TcpStream::connect((node.address.as_str(), 22)).unwrap().read_exact(&mut start).unwrap();
                assert_eq!(&start, b"SSH-2.0-");
                println!("{} answers", node.name);
            }
            ExitCode::SUCCESS
        }
        other => panic!("no such role: {other:?}"),
    }
}

fn five_nodes_come_up_answer_ssh_and_go() {
    let before = machine();
    let start = Instant::now();
    let lab = up(&LabSpec { run: Some("a-run".into()), ..spec(5) }, &std::env::current_exe().unwrap()).unwrap();
    println!("  up, 5 nodes: {:?}", start.elapsed());
    let own = Own(lab);
    assert_eq!(machine(), before, "nothing of a lab may be in the machine's network or mounts");
    assert_eq!(find("a-run").unwrap(), *own);
    assert_eq!(find(&own.id).unwrap(), *own);
    let output = child("banners", &[&own.id]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.lines().count(), 5, "{said}{}", String::from_utf8_lossy(&output.stderr));
    for node in &own.nodes {
        for name in [&node.name, &node.address] {
            let login = format!("root@{}", node.address);
            let alias = format!("HostKeyAlias={name}");
            let output = ssh(&own, &login, &["-o", &alias], "hostname; id -u; echo $PATH");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let wanted = format!("{}\n0\n/usr/local/sbin:", node.name);
            assert!(said.starts_with(&wanted), "{said:?} {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let (id, start) = (own.id.clone(), Instant::now());
    drop(own);
    println!("  down, 5 nodes: {:?}", start.elapsed());
    assert!(matches!(find(&id), Err(LabError::NotFound { .. })));
    assert_eq!(machine(), before);
}

fn a_node_is_itself_and_sees_nothing_private() {
    // Secrets that this machine may not have, laid over it.
    let tree = std::env::temp_dir().join(format!("schism-secret-tree-{}", std::process::id()));
    for secret in ["etc/ssh/ssh_host_rsa_key", "root/.netrc", "home/kay/key", "run/token", "tmp/token", "etc/gshadow-"]
    {
        let path = tree.join(secret);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "secret").unwrap();
    }
    fs::write(tree.join("etc/shadow"), "root:$6$secret:19000:0:99999:7:::\n").unwrap();
    let mut spec = spec(2);
    spec.trees.push(tree.clone());
    let lab = Own::up(&spec);
    fs::remove_dir_all(tree).unwrap();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for (script, said) in [
        ("hostname", "n2\n"),
        ("cat /etc/hostname", "n2\n"),
        ("getent ahostsv4 n1 | head -1 | cut -d' ' -f1", "10.77.0.11\n"),
        ("getent ahostsv4 controller | head -1 | cut -d' ' -f1", "10.77.0.1\n"),
        ("cat /etc/resolv.conf", ""),
        ("ls -A /root", ".ssh\n"),
        ("ls -A /home", ""),
        ("ls /etc/ssh | grep host | tr '\\n' ' '", "ssh_host_ed25519_key ssh_host_ed25519_key.pub "),
        ("cut -d: -f2 /etc/shadow | sort -u", "*\n"),
        ("ls -A /tmp", ".said\n"),
        ("cat /etc/gshadow- 2>/dev/null", ""),
        ("ls -A /run | tr '\\n' ' '", "lock schism sshd "),
        ("ls -A /.schism-old-root 2>&1 | grep -c 'No such'", "1\n"),
        ("ls -A /sys/fs/cgroup/* 2>/dev/null | grep -c schism", "0\n"),
        ("ls /sys/class/net | tr '\\n' ' '", "eth0 lo "),
        ("tr '\\0' '\\n' </proc/1/environ | grep -vc -e ^PATH= -e ^LC_ALL=", "0\n"),
        ("tr '\\0' ' ' </proc/1/cmdline | cut -d' ' -f1", "schism-lab-init\n"),
        ("ls /proc | grep -c '^1$'", "1\n"),
        ("command -v nft sshd >/dev/null && echo both", "both\n"),
        ("grep -c '^sshd:' /etc/passwd", "1\n"),
        ("dd if=/dev/zero bs=1 count=3 2>/dev/null | wc -c; test -c /dev/null && test -p /dev/fd/0 || echo", "3\n\n"),
    ] {
        assert_eq!(on(&lab, "n2", script).1, said, "{script}");
    }
    // Own process numbers: a handful, and none of the machine's.
    let count: usize = on(&lab, "n1", "ls /proc | grep -c '^[0-9]'").1.trim().parse().unwrap();
    assert!(count < 10, "{count}");
    on(&lab, "n1", "echo harm >/etc/schism-lab-test; echo harm >/usr/schism-lab-test");
    assert!(
        !std::path::Path::new("/etc/schism-lab-test").exists()
            && !std::path::Path::new("/usr/schism-lab-test").exists()
    );
    assert_eq!(on(&lab, "n2", "ls /etc/schism-lab-test 2>/dev/null").1, "", "what one node writes the other sees not");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), host);
}

fn a_node_cannot_harm_the_machine_by_accident() {
    let lab = Own::up(&spec(1));
    // Not tried out, but looked at: a test that fails must not set the machine's clock.
    let bounded = |text: &str| u64::from_str_radix(text.trim(), 16).unwrap();
    for script in ["grep CapBnd /proc/self/status | cut -f2", "grep CapEff /proc/self/status | cut -f2"] {
        let by_exec = on(&lab, "n1", script).1;
        let by_ssh = ssh(&lab, "root@10.77.0.11", &[], script).stdout;
        for set in [bounded(&by_exec), bounded(&String::from_utf8_lossy(&by_ssh))] {
            for (name, bit) in [("SYS_TIME", 25), ("SYS_MODULE", 16), ("SYS_BOOT", 22), ("MKNOD", 27)] {
                assert_eq!(set >> bit & 1, 0, "{name} in {script}");
            }
            assert_eq!(set >> 12 & 1, 1, "NET_ADMIN, for firewalls, in {script}");
        }
    }
    let writable = "for f in /proc/sysrq-trigger /proc/sys/kernel/panic /sys/kernel/uevent_helper; do \
                    test -w $f && echo $f; done; true";
    assert_eq!(on(&lab, "n1", writable).1, "");
    let own = "echo 1 >/proc/sys/net/ipv4/ip_forward && cat /proc/sys/net/ipv4/ip_forward";
    let machine = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    assert_eq!(on(&lab, "n1", own), (0, "1\n".to_owned()), "the node's network is its own");
    assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(), machine);
}

fn nodes_reach_each_other_and_nothing_else() {
    let lab = Own::up(&spec(2));
    let within = |s: u32, to: &str| format!("timeout {s} bash -c 'exec 3<>/dev/tcp/{to}/22 && head -c 7 <&3'");
    let reach = |to: &str| within(20, to);
    for to in ["n2", "n2-v6", "10.77.0.12"] {
        assert_eq!(on(&lab, "n1", &reach(to)), (0, "SSH-2.0".to_owned()), "{to}");
    }
    // A firewall of the node's own, unseen by the others and by the machine.
    let cut = "nft add table inet t && nft 'add chain inet t c { type filter hook input priority 0; }' && \
               nft add rule inet t c ip saddr 10.77.0.12 drop";
    assert_eq!(on(&lab, "n1", cut), (0, String::new()));
    assert_ne!(on(&lab, "n1", &within(2, "n2")).0, 0);
    assert_eq!(on(&lab, "n2", "nft list ruleset"), (0, String::new()));
    assert_eq!(on(&lab, "n1", "nft delete table inet t").0, 0);
    assert_eq!(on(&lab, "n1", &reach("n2")).0, 0);
    // No route out, from nodes and from the controller's side.
    for script in ["ip route show default", "ip -6 route show default"] {
        assert_eq!(on(&lab, "n1", script), (0, String::new()));
    }
    for family in ["-4", "-6"] {
        let output = child("network", &[&lab.id, "ip", family, "route", "show", "default"]).output().unwrap();
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    }
    assert_ne!(on(&lab, "n1", "ip route get 192.0.2.1").0, 0);
    let output = child("network", &[&lab.id, "ip", "route", "get", "192.0.2.1"]).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
}

fn two_labs_live_side_by_side() {
    let (one, two) = (Own::up(&spec(2)), Own::up(&spec(2)));
    let ids: Vec<String> = list().into_iter().map(|lab| lab.id).collect();
    assert!(ids.contains(&one.id) && ids.contains(&two.id), "{ids:?}");
    assert_eq!(one.nodes[0].address, two.nodes[0].address);
    on(&one, "n1", "echo one >/etc/mark");
    assert_ne!(on(&two, "n1", "cat /etc/mark").0, 0);
    // Who knows the one's keys does not get into the other.
    let mut mixed = two.0.clone();
    mixed.private_key_openssh = one.private_key_openssh.clone();
    assert!(!ssh(&mixed, "root@10.77.0.11", &["-o", "BatchMode=yes"], "true").status.success());
    match up(&LabSpec { id: two.id.clone(), ..spec(1) }, &std::env::current_exe().unwrap()) {
        Err(LabError::Exists { id, pid }) => assert_eq!((id, pid), (two.id.clone(), two.holder.pid)),
        other => panic!("{other:?}"),
    }
    drop(one);
    assert!(ssh(&two, "root@10.77.0.11", &[], "true").status.success());
}

fn sigkill_of_the_holder_leaves_nothing() {
    let before = machine();
    let lab = Own::up(&spec(3));
    let other = Own::up(&spec(1));
    // Detached daemons of a node too.
    assert_eq!(on(&lab, "n1", "setsid sleep 1000 </dev/null >/dev/null 2>&1 &").0, 0);
    let namespaces = networks(&lab);
    assert_eq!(namespaces.len(), 4);
    assert!(processes_of(&namespaces).len() >= 8);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(lab.holder.pid).unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let took = eventually("no process is left", SOON, || processes_of(&namespaces).is_empty());
    println!("  all processes gone after {took:?}");
    assert!(find(&lab.id).is_err());
    assert_eq!(machine(), before);
    assert!(attach(&lab).is_err() && exec(&lab, Some("n1"), &["true".to_owned()]).is_err());
    assert!(matches!(enter(&lab), Err(LabError::Gone { .. })));
    assert_eq!(down(&lab).map_err(|error| error.to_string()), Ok(()), "taking down what is gone is fine");
    assert_eq!(on(&other, "n1", "echo lives").1, "lives\n");
}

fn a_killed_controller_is_noticed_and_the_lease_runs() {
    let mut controller = child("controller", &["5000"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut id = String::new();
    BufReader::new(controller.stdout.take().unwrap()).read_line(&mut id).unwrap();
    let lab = Own(find(id.trim()).unwrap());
    let network = network_of(lab.holder.pid).unwrap();
    // From before the kill: the lease cannot have begun earlier.
    let killed = Instant::now();
    controller.kill().unwrap();
    controller.wait().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    assert!(find(&lab.id).is_ok(), "the lease still runs");
    eventually("the lease ends the lab", SOON, || find(&lab.id).is_err());
    let lived = killed.elapsed();
    println!("  gone {lived:?} after its controller (lease 5 s)");
    assert!(lived > Duration::from_millis(4800), "{lived:?}");
    eventually("all of it", SOON, || processes_of(std::slice::from_ref(&network)).is_empty());
}

fn attached_labs_outlive_their_lease() {
    let lease = Duration::from_secs(3);
    let lab = Own::up(&LabSpec { lease: Some(lease), ..spec(1) });
    let (one, two) = (attach(&lab).unwrap(), attach(&lab).unwrap());
    std::thread::sleep(lease.mul_f64(1.5));
    drop(one);
    std::thread::sleep(lease.mul_f64(1.5));
    assert!(find(&lab.id).is_ok());
    drop(two);
    eventually("the lease ends the lab", SOON, || find(&lab.id).is_err());
    assert!(matches!(attach(&lab), Err(LabError::Gone { .. })));
}

fn a_lab_without_lease_holds_no_pipe_and_stays() {
    let id = LabSpec::fresh_id();
    let start = Instant::now();
    // Would wait for as long as the lab lives, if its processes held the pipes.
    // The shell leaves a descriptor open on purpose.
    let exe = std::env::current_exe().unwrap();
    let script = format!("exec 9>&1; exec -a {CHILD} '{}' leave {id}", exe.display());
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    println!("  its maker's output ended after {:?}", start.elapsed());
    let lab = Own(find(&id).unwrap());
    assert_eq!(lab.lease, None);
    drop(attach(&lab).unwrap());
    std::thread::sleep(Duration::from_millis(300));
    assert!(find(&id).is_ok());
    // Of a session of its own: not the terminal's.
    let session = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().to_owned()
    };
    assert_ne!(session(&lab.holder.pid.to_string()), session("self"));
}

fn a_controller_killed_while_the_lab_comes_up_leaves_nothing() {
    for _ in 0..10 {
        let id = LabSpec::fresh_id();
        let mut controller = child("leave", &[&id]).stdout(Stdio::null()).spawn().unwrap();
        eventually("the holder is there", SOON, || processes_named(&id) > 1);
        controller.kill().unwrap();
        controller.wait().unwrap();
        // Only one that was ready before lets anybody attach, and rightly stays: that was a kill too late.
        let mut late = None;
        eventually("no process of it is left", SOON, || {
            late = find(&id).ok().filter(|lab| attach(lab).is_ok());
            late.is_some() || processes_named(&id) == 0
        });
        let Some(lab) = late else { return };
        down(&lab).unwrap();
    }
    panic!("every lab was ready before its controller was killed");
}

fn an_ordinary_user_is_told_so() {
    let output = child("nobody", &[]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("needs root, or uid maps") && said.contains("no line for nobody in /etc/subuid"),
        "{output:?}"
    );
}

fn commands_in_the_lab() {
    let lab = Own::up(&spec(1));
    let run = |node: Option<&str>, argv: &[&str]| {
        exec(&lab, node, &argv.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(run(Some("n1"), &["true"]).unwrap(), 0);
    assert_eq!(run(Some("n1"), &["sh", "-c", "exit 7"]).unwrap(), 7);
    assert_eq!(run(Some("n1"), &["sh", "-c", "kill -TERM $$"]).unwrap(), 128 + 15);
    assert_eq!(run(Some("n1"), &["no-such-command"]).unwrap(), 127);
    assert_eq!(run(Some("n1"), &[]).unwrap(), 125);
    assert_eq!(run(Some("n1"), &["test", "-e", "/sys/class/net/eth0"]).unwrap(), 0);
    assert_eq!(run(None, &["sh", "-c", "ip -o link show br0 >/dev/null"]).unwrap(), 0);
    assert_eq!(run(None, &["test", "-f", "/etc/schism-lab-no-such-file"]).unwrap(), 1);
    match run(Some("n9"), &["true"]) {
        Err(LabError::NoSuchNode { node, known, .. }) => assert_eq!((node.as_str(), known.len()), ("n9", 1)),
        other => panic!("{other:?}"),
    }
    let (code, said) = on(&lab, "n1", "pwd; readlink /proc/self/ns/pid; readlink /proc/1/ns/pid");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((code, lines[0], lines[1]), (0, "/root", lines[2]));
    // Threads cannot enter.
    let threads = std::thread::scope(|scope| scope.spawn(|| enter(&lab)).join().unwrap());
    assert!(matches!(threads, Err(LabError::Threads { .. })), "{threads:?}");
}

fn a_failing_start_says_where_and_leaves_nothing() {
    let before = machine();
    let exe = std::env::current_exe().unwrap();
    // A tree whose /etc/passwd is a folder: the nodes cannot come up.
    let tree = std::env::temp_dir().join(format!("schism-bad-tree-{}", std::process::id()));
    fs::create_dir_all(tree.join("etc/passwd")).unwrap();
    let mut bad = spec(2);
    bad.trees.insert(0, tree.clone());
    let id = bad.id.clone();
    match up(&bad, &exe) {
        Err(LabError::Up(failure)) => {
            assert!(failure.step.contains("/etc/passwd") && failure.node.is_some(), "{failure}");
        }
        other => panic!("{other:?}"),
    }
    fs::remove_dir_all(tree).unwrap();
    // A program that is not one of ours.
    let none = up(&LabSpec { id: id.clone(), ..spec(1) }, std::path::Path::new("/bin/true"));
    assert!(matches!(none, Err(LabError::Up(_))), "{none:?}");
    eventually("no process of it is left", SOON, || processes_named(&id) == 0);
    assert_eq!(machine(), before);
    assert!(list().iter().all(|lab| lab.id != id));
}

fn users_with_passwords_and_sudo() {
    let user = |name: &str, password: Option<&str>, sudo| LabUser {
        name: name.to_owned(),
        password: password.map(str::to_owned),
        sudo,
    };
    let users = vec![
        user("tess", Some("s3cret: $x"), Sudoers::WithPassword),
        user("kay", None, Sudoers::WithoutPassword),
        user("plain", None, Sudoers::No),
    ];
    let lab = Own::up(&LabSpec { users, ..spec(1) });
    let said = |output: &std::process::Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let kay = ssh(&lab, "kay@10.77.0.11", &[], "id -un; sudo -n id -u; pwd");
    assert_eq!(said(&kay), "kay\n0\n/home/kay\n");
    let plain = ssh(&lab, "plain@10.77.0.11", &[], "sudo -n id -u");
    assert!(!plain.status.success(), "{}", said(&plain));
    let tess = ssh(
        &lab,
        "tess@10.77.0.11",
        &[],
        "sudo -n true 2>/dev/null || printf '%s\\n' 's3cret: $x' | sudo -S -p '' id -u",
    );
    assert_eq!(said(&tess), "0\n");
    // Passwords: the right one and a wrong one, through ssh's own way to ask.
    let ask = std::env::temp_dir().join(format!("schism-ask-{}", std::process::id()));
    for (word, good) in [("s3cret: $x", true), ("wrong", false)] {
        fs::write(&ask, format!("#!/bin/sh\nprintf '%s\\n' '{word}'\n")).unwrap();
        fs::set_permissions(&ask, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let ask = format!("SSH_ASKPASS={}", ask.display());
        let known = "StrictHostKeyChecking=no";
        let args = [&lab.id, "env", "SSH_ASKPASS_REQUIRE=force", &ask, "ssh", "-F", "/dev/null", "-o", known, "-o"];
        let rest = ["UserKnownHostsFile=/dev/null", "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"];
        let last = ["-o", "LogLevel=ERROR", "tess@10.77.0.11", "id -un"];
        let args: Vec<&str> = args.into_iter().map(|arg| arg as &str).chain(rest).chain(last).collect();
        let output = child("network", &args).output().unwrap();
        assert_eq!(output.status.success(), good, "{word}: {}", said(&output));
    }
    fs::remove_file(ask).unwrap();
    // Without users that have one, passwords are refused.
    let other = Own::up(&spec(1));
    assert_eq!(on(&other, "n1", "grep ^PasswordAuth /etc/ssh/sshd_config").1, "PasswordAuthentication no\n");
}

fn sshd_comes_back_and_init_stays() {
    let lab = Own::up(&spec(1));
    on(&lab, "n1", "kill -9 1; kill -TERM 1; kill -SEGV 1; kill -SEGV 1; true");
    assert_eq!(on(&lab, "n1", "kill -9 $(pgrep -o -x sshd)").0, 0);
    eventually("sshd answers again", SOON, || {
        ssh(&lab, "root@10.77.0.11", &["-o", "BatchMode=yes"], "true").status.success()
    });
    assert_eq!(find(&lab.id).unwrap().nodes, lab.nodes, "the same init");
    // Orphans are reaped.
    on(&lab, "n1", "sh -c '(sleep 0.05 & echo $! >/tmp/orphan) ; true'");
    // One that nobody asked for would stay in /proc as a zombie.
    eventually("it is reaped", SOON, || on(&lab, "n1", "test -e /proc/$(cat /tmp/orphan)").0 != 0);
    let zombies = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null";
    eventually("there are no zombies", SOON, || on(&lab, "n1", zombies).1.is_empty());
}

fn a_full_disk_is_the_nodes_alone() {
    let lab = Own::up(&LabSpec { disk_bytes_max: 32 << 20, ..spec(2) });
    let (code, said) = on(&lab, "n1", "dd if=/dev/zero of=/var/big bs=1M count=64 2>&1 | grep -o 'No space left'");
    assert_eq!((code, said.as_str()), (0, "No space left\n"));
    assert_eq!(on(&lab, "n2", "dd if=/dev/zero of=/var/big bs=1M count=8 2>/dev/null").0, 0);
    assert!(!std::path::Path::new("/var/big").exists());
}
