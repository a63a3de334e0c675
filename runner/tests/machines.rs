//! Machines that are not ours to make: Vagrant's, and clusters that clients reach without any login.

#![allow(clippy::print_stderr, reason = "clippy does not know that helpers of an integration test are test")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// `schism LINE` in a folder, with a folder of programs before all others in the path.
fn schism(folder: &Path, line: &str) -> Output {
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
    command.args(line.split_whitespace()).current_dir(folder).stdin(Stdio::null());
    command.env("PATH", path).env_remove("SCHISM_RUNS").env_remove("VAGRANT_CWD").output().expect("schism starts")
}

fn told(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A folder with a Vagrantfile and a `vagrant` that does this.
fn with_vagrant(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("bin")).expect("a folder");
    std::fs::write(folder.path().join("Vagrantfile"), "").expect("a file");
    let program = folder.path().join("bin/vagrant");
    // By another process: what this one has open for writing its children have open too until they exec, and then nobody may
    // run it.
    let mut write = Command::new("sh");
    write.args(["-c", "printf '#!/bin/sh\n%s\n' \"$1\" >\"$0\" && chmod 755 \"$0\""]).arg(program).arg(script);
    assert!(write.status().expect("sh starts").success());
    folder
}

#[test]
fn vagrants_machines_are_an_inventory() {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster/tests/vagrant/libvirt.txt");
    let folder = with_vagrant(&format!(
        "echo \"vagrant $*\" >>calls\n[ \"$1\" != up ] || {{ echo 'Bringing machine up'; exit 0; }}\n[ \"$1\" = ssh-config ] && cat '{recorded}'"
    ));
    let output = schism(folder.path(), "plan etcd/register --inventory vagrant --vagrant-up --nodes 3 --seed 1");
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("Bringing"), "what vagrant says is no result");
    assert!(told(&output).contains("n3"), "{}", told(&output));
    let calls = std::fs::read_to_string(folder.path().join("calls")).expect("calls");
    assert_eq!(calls, "vagrant up\nvagrant ssh-config\n");
}

#[test]
fn vagrants_trouble_is_told() {
    let cases = [
        (
            "echo 'n1 is not created' >&2; exit 1",
            "plan etcd/register --inventory vagrant",
            "--vagrant-up brings them up",
        ),
        ("echo", "plan etcd/register --inventory vagrant", "names no machine"),
        ("echo 'no space left' >&2; exit 3", "plan etcd/register --inventory vagrant --vagrant-up", "`vagrant up`"),
        ("echo", "plan etcd/register --inventory x.yaml --vagrant-up", "goes with --inventory vagrant"),
        ("echo", "doctor --inventory vagrant", "names no machine"),
    ];
    for (script, line, expected) in cases {
        let folder = with_vagrant(script);
        let output = schism(folder.path(), line);
        assert_eq!(output.status.code(), Some(64), "{line}: {}", told(&output));
        assert!(told(&output).contains(expected), "{line}: {}", told(&output));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let output = schism(folder.path(), "plan etcd/register --inventory vagrant");
    assert!(told(&output).contains("needs a Vagrantfile"), "{}", told(&output));
}

/// An etcd of one node on this machine's loopback, ended when dropped.
struct Etcd(Child);

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn a_cluster_that_runs_is_tested_by_clients_alone() {
    let folder = with_vagrant("exit 1");
    if !nix::unistd::geteuid().is_root() {
        eprintln!("passed over: the binary of etcd comes with the lab's packages, which need root");
        return;
    }
    let packages = schism(folder.path(), "packages etcd-server");
    assert!(packages.status.success(), "{}", told(&packages));
    let tree = String::from_utf8_lossy(&packages.stdout).trim().to_owned();
    let (client, peer, ssh) = (free_port(), free_port(), free_port());
    let at = |port: u16| format!("http://127.0.0.1:{port}");
    let etcd = Command::new(format!("{tree}/usr/bin/etcd"))
        .args(["--name", "n1", "--data-dir", &folder.path().join("data").display().to_string()])
        .args(["--listen-client-urls", &at(client), "--advertise-client-urls", &at(client)])
        .args(["--listen-peer-urls", &at(peer), "--initial-advertise-peer-urls", &at(peer)])
        .args(["--initial-cluster", &format!("n1={}", at(peer))])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _etcd = Etcd(etcd.expect("etcd starts"));
    // Nobody listens at the port for logins: whoever logs in fails.
    let inventory = format!("nodes:\n  - {{ name: n1, address: 127.0.0.1, port: {ssh} }}\n");
    std::fs::write(folder.path().join("mine.yaml"), inventory).expect("a file");
    let line = format!(
        "run etcd/register --inventory mine.yaml --no-setup --nodes 1 --faults none --time-limit 6s --rate 100 --set schedule.recovery=0s --set database.etcd.operation_timeout_ms=5000 --set database.etcd.client_port={client}"
    );
    let output = schism(folder.path(), &line);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let harmed = line.replace("--faults none", "--faults restart --set schedule.quiet_start=0s");
    let harmed = schism(folder.path(), &harmed);
    assert_eq!(harmed.status.code(), Some(69), "faults need a login: {}", told(&harmed));
}
