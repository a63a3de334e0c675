//! The holder's part: its files and network, and the machines in them.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};

use super::VmSpec;
use super::cpio::Archive;
use super::hands::VmHands;
use super::image::Image;
use super::machine::Machine;
use super::qcow2;
use super::qemu::{MachinePlan, Qemu};
use crate::control::Control;
use crate::error::{Failure, Step};
use crate::holder::{STATE, state, write_lab};
use crate::lab::{Lab, LabNode};
use crate::net;
use crate::node::hosts;
use crate::spec::{LabSpec, NetworkKind};
use crate::sshd::{KeyPair, Keys};

/// How long machines have to come up, all of them; a little less than whoever asked for them waits.
pub(crate) const UP_MAX: Duration = Duration::from_secs(170);

/// Where the controller's `lab exec` finds the key and the known hosts, in the holder's state.
pub(crate) const KEY_FILE: &str = "login-key";
pub(crate) const KNOWN_FILE: &str = "known-hosts";

fn of_node(failure: Failure, name: &str) -> Failure {
    Failure { node: Some(name.to_owned()), ..failure }
}

/// Brings all machines up and listens for controllers.
pub(crate) fn bring_up(spec: &LabSpec) -> Result<UnixListener, Failure> {
    let deadline = Instant::now() + UP_MAX;
    let parts = spec.vms.as_ref().ok_or_else(|| Failure::new("planning the machines", "nothing says of what"))?;
    own_files(parts)?;
    // A kernel that shares processors among sessions would give all machines together what one shell gets.
    let _ = fs::write("/proc/self/autogroup", fair_nice(spec.nodes.len()).to_string());
    let image = Image::read(Path::new(&state("image")))
        .ok_or_else(|| Failure::new("reading the image", "it is not whole").hint("Remove it from the cache"))?;
    let qemu = Qemu::find(Path::new(&state("tree")))
        .ok_or_else(|| Failure::new("looking for QEMU", "it is neither in its tree nor on this machine"))?;
    net::bridge_in_a_hurry()
        .map_err(|error| error.hint("The kernel needs bridge (module `bridge`); iproute2 must be on this machine"))?;
    taps(spec.nodes.len())?;
    let keys = Keys::make(&spec.nodes)?;
    let hosts = hosts(&spec.nodes);
    let mut machines = Vec::new();
    for (at, (name, key)) in spec.nodes.iter().zip(&keys.hosts).enumerate() {
        let plan = plan(spec, parts, at, name);
        let made = prepare(&plan, &image, &hosts, key, &keys.login.public).and_then(|()| {
            let mut machine = Machine::new(qemu.clone(), plan);
            machine.start().map(|()| machine)
        });
        machines.push(made.map_err(|failure| of_node(failure, name))?);
    }
    for machine in &machines {
        machine.await_login(deadline).map_err(|failure| of_node(failure, &machine.plan.name))?;
    }
    net::settled(NetworkKind::Cables);
    let listener = UnixListener::bind(state("attach")).step("listening for controllers")?;
    listener.set_nonblocking(true).step("listening for controllers")?;
    let node = |machine: &Machine| LabNode {
        name: machine.plan.name.clone(),
        address: machine.plan.address.to_string(),
        init_pid: 0,
    };
    let lab = Lab::new(spec, machines.iter().map(node).collect(), &keys);
    for (name, text) in [(KEY_FILE, &lab.private_key_openssh), (KNOWN_FILE, &lab.known_hosts)] {
        write_private(&state(name), text.as_bytes()).step("writing down the lab's key")?;
    }
    let hands = VmHands::new(machines);
    hands.look_after().step("looking after the machines")?;
    let control = Control::new(Box::new(hands));
    control.start(Path::new(&state("control"))).step("listening for orders")?;
    write_lab(&lab).step("writing down the lab")?;
    Ok(listener)
}

/// The nice value with which one session of so many busy processes gets the share of as many sessions: each step is a quarter
/// more. Best effort: where the kernel knows no groups of sessions, or has its limits, machines are slower.
fn fair_nice(machines_count: usize) -> i32 {
    -((machines_count.max(1) as f64).ln() / 1.25_f64.ln()).round().min(19.0) as i32
}

/// Own mounts: nothing goes out to the machine; a tmpfs for what the lab keeps, with QEMU's tree and the image in sight
/// there (read-only) wherever the cache is; a `/proc` that shows the lab's processes.
fn own_files(parts: &VmSpec) -> Result<(), Failure> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).step("making mounts private")?;
    // Opened first, as the tmpfs may hide them.
    let tree = fs::File::open(&parts.tree).step("opening QEMU's tree")?;
    let image = fs::File::open(&parts.image).step("opening the image")?;
    mount(Some("lab"), "/run", Some("tmpfs"), MsFlags::MS_NODEV, Some("mode=755")).step("mounting a tmpfs")?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    fs::DirBuilder::new().mode(0o700).create(STATE).step("making the lab's folder")?;
    for folder in ["tree", "image", "nodes", "keys"] {
        fs::create_dir(state(folder)).step("making the lab's folders")?;
    }
    for (opened, name) in [(tree, "tree"), (image, "image")] {
        let (from, to) = (format!("/proc/self/fd/{}", opened.as_raw_fd()), state(name));
        mount(Some(from.as_str()), to.as_str(), none, MsFlags::MS_BIND, none).step("showing the packages")?;
        let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | quiet;
        mount(none, to.as_str(), none, read_only, none).step("showing the packages")?;
    }
    mount(Some("proc"), "/proc", Some("proc"), quiet | MsFlags::MS_NOEXEC, none).step("mounting /proc")
}

/// Network devices of the machines. They belong to the holder's network, so they go with it.
fn taps(count: usize) -> Result<(), Failure> {
    let lines: Vec<String> = (0..count)
        .flat_map(|at| [format!("tuntap add dev v{at} mode tap"), format!("link set v{at} master br0 up")])
        .collect();
    net::ip("making the machines' network devices", &lines)
        .map_err(|error| error.hint("The kernel needs TAP (module `tun`, device /dev/net/tun)"))
}

fn plan(spec: &LabSpec, parts: &VmSpec, at: usize, name: &str) -> MachinePlan {
    MachinePlan {
        lab: spec.id.clone(),
        name: name.to_owned(),
        at,
        address: net::address(at),
        mac: net::mac(at),
        folder: state(&format!("nodes/{name}")),
        image: state("image"),
        accelerator: parts.accelerator,
        memory_mib: parts.memory_mib,
        cpus: parts.cpus,
    }
}

/// A machine's folder: its disks over the image's, and its first root with the node's own files.
fn prepare(plan: &MachinePlan, image: &Image, hosts: &str, key: &KeyPair, login: &str) -> Result<(), Failure> {
    let step = "making the machine's disks";
    fs::DirBuilder::new().mode(0o700).create(&plan.folder).step(step)?;
    for (name, bytes) in [("root", image.root_bytes), ("data", image.data_bytes)] {
        let disk = qcow2::over(&format!("{}/{name}.img", plan.image), bytes).step(step)?;
        fs::write(plan.file(&format!("{name}.qcow2")), disk).step(step)?;
    }
    let mut first_root = fs::read(format!("{}/initrd", plan.image)).step(step)?;
    first_root.extend(own_part(plan, hosts, key, login).finish());
    write_private(&plan.file("initrd"), &first_root).step(step)
}

/// The files by which one machine differs from another; the guest's first program copies them to the root disk.
fn own_part(plan: &MachinePlan, hosts: &str, key: &KeyPair, login: &str) -> Archive {
    let network = net::guest_lines(plan.at).join("\n") + "\n";
    let mut archive = Archive::default();
    archive.folder("node", 0o755);
    archive.folder("node/root", 0o700);
    archive.folder("node/root/.ssh", 0o700);
    for (path, mode, text) in [
        ("etc/hostname", 0o644, format!("{}\n", plan.name)),
        ("etc/hosts", 0o644, hosts.to_owned()),
        ("etc/resolv.conf", 0o644, String::new()),
        ("etc/schism/network", 0o644, network),
        ("etc/ssh/ssh_host_ed25519_key", 0o600, key.private.clone()),
        ("etc/ssh/ssh_host_ed25519_key.pub", 0o644, format!("{}\n", key.public)),
        ("root/.ssh/authorized_keys", 0o600, format!("{login} schism-lab\n")),
    ] {
        archive.file(&format!("node/{path}"), mode, text.as_bytes());
    }
    archive
}

fn write_private(path: &str, content: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
    std::io::Write::write_all(&mut file, content)
}

#[cfg(test)]
mod tests {
    use super::fair_nice;

    #[test]
    fn machines_share_like_sessions_of_their_own() {
        assert_eq!([0, 1, 3, 4, 32, 1000].map(fair_nice), [0, 0, -5, -6, -16, -19]);
    }
}
