//! A node: its namespaces, its network, its root.
//!
//! Two processes make it. The builder unshares namespaces, lays the cable and starts the init, which is the first
//! process of the new pid namespace; then it ends, and the init becomes a child of the holder. The init builds
//! the root (this file) and the node's own files ([`crate::files`], [`crate::users`], [`crate::sshd`]), and stays.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use schism_cluster::DATA_DISK;
use serde::{Deserialize, Serialize};

use crate::cgroup::{Limits, Tree};
use crate::error::{Failure, Step};
use crate::holder::state;
use crate::process::{INIT, hand_over};
use crate::spec::{LabSpec, LabUser};
use crate::sshd::{KeyPair, Keys};
use crate::wire::Message;
use crate::{cgroup, disk, net, rootless, rootless_maps, sshd};

const NONE: Option<&str> = None;

/// Where the old root hangs for a moment.
const OLD: &str = "/.schism-old-root";

/// Where a node has the running program.
const AGENT: &str = "/run/schism/agent/schism";

/// Folders and file systems of the machine that may lie on disks of their own and belong into a node.
const DISKS: &[&str] = &["/usr", "/var", "/opt", "/etc", "/srv"];

/// File systems that hold a machine's files (others are views into the kernel, or not the machine's own).
const DISK_TYPES: &[&str] = &["ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay", "squashfs", "erofs"];

/// Everything that a node's processes need to know. Travels through pipes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NodePlan {
    pub(crate) lab: String,
    pub(crate) at: usize,
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) hosts: String,
    pub(crate) users: Vec<LabUser>,
    pub(crate) disk_bytes_max: u64,
    pub(crate) login_key: String,
    pub(crate) host_key: KeyPair,
    pub(crate) sshd_penalties: bool,
    pub(crate) limits: Limits,
    /// The trees in which it has control groups.
    pub(crate) groups: Vec<Tree>,
    /// Whether its files are not the machine's.
    pub(crate) own_root: bool,
    /// Whether there is a data disk to mount.
    pub(crate) data_disk: bool,
    /// Whether the node's own files are to be made: later they are what became of them.
    pub(crate) first_boot: bool,
}

impl NodePlan {
    /// One for each node.
    pub(crate) fn of(spec: &LabSpec, keys: &Keys) -> Result<Vec<NodePlan>, Failure> {
        if keys.hosts.len() != spec.nodes.len() {
            return Err(Failure::new("planning the nodes", "there is not one key for each node"));
        }
        let hosts = hosts(&spec.nodes);
        let sshd_penalties = sshd::has_penalties();
        let plan = |(at, (name, key)): (usize, (&String, &KeyPair))| NodePlan {
            lab: spec.id.clone(),
            at,
            name: name.clone(),
            address: net::address(at),
            hosts: hosts.clone(),
            users: spec.users.clone(),
            disk_bytes_max: spec.disk_bytes_max,
            login_key: keys.login.public.clone(),
            host_key: key.clone(),
            sshd_penalties,
            limits: Limits { memory_bytes: spec.memory_bytes_max, cpu_milli: spec.cpu_milli_max },
            groups: Vec::new(),
            own_root: spec.root.is_some(),
            data_disk: false,
            first_boot: true,
        };
        Ok(spec.nodes.iter().zip(&keys.hosts).enumerate().map(plan).collect())
    }
}

/// The hosts file of every node. Names stand for IPv4 addresses only, so that a firewall rule on a name means one.
pub(crate) fn hosts(names: &[String]) -> String {
    let mut text = format!("127.0.0.1 localhost\n::1 localhost ip6-localhost\n{} controller\n", net::CONTROLLER);
    for (at, name) in names.iter().enumerate() {
        text.push_str(&format!("{} {name}\n{} {name}-v6\n", net::address(at), net::address_v6(at)));
    }
    text
}

/// The builder.
pub(crate) fn main(args: &[String]) -> i32 {
    let built = match args {
        [lab, name, at] => at.parse().step("reading the node's place").and_then(|at| build(lab, name, at)),
        _ => Err(Failure::new("starting a node", "wrong arguments")),
    };
    match built {
        Ok(()) => 0,
        Err(failure) => {
            let _ = Message::Failed(failure).send();
            1
        }
    }
}

/// The plan on standard input is left for the init.
fn build(lab: &str, name: &str, at: usize) -> Result<(), Failure> {
    let step = "making the node's namespaces";
    let _ = nix::unistd::setsid();
    cgroup::enter(lab, name)?;
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC)
        .step(step)?;
    // Now, while process 1 is the holder; the next process to be started is the first of the node.
    net::cable(at)?;
    nix::unistd::sethostname(name).step("naming the node")?;
    unshare(CloneFlags::CLONE_NEWPID).step(step)?;
    let pid = hand_over(INIT, &[lab, name]).step("starting the node's init")?;
    Message::Pid(pid).send().step("telling the init's number")
}

/// Builds the node's root and makes it the root of this process. The node's folder, with what it wrote when it was on
/// before, is the holder's.
pub(crate) fn make_root(plan: &NodePlan) -> Result<(), Failure> {
    let base = state(&format!("nodes/{}", plan.name));
    let root = format!("{base}/root");
    fs::create_dir_all(&root).step("making the node's folder")?;
    if plan.own_root {
        overlay(&base, "root", "", &state("root"), &root)?;
    } else {
        machine_layers(&base, &root)?;
    }
    let old = format!("{root}{OLD}");
    fs::create_dir_all(&old).step("making the node's folder")?;
    nix::unistd::pivot_root(root.as_str(), old.as_str()).step("changing the node's root")?;
    nix::unistd::chdir("/").step("changing the node's root")?;
    kernel_views()?;
    cgroup::show(&plan.groups)?;
    devices()?;
    private_folders(&base)?;
    data_disk(plan)?;
    program()?;
    umount2(OLD, MntFlags::MNT_DETACH).step("leaving the machine's root")?;
    fs::remove_dir(OLD).step("leaving the machine's root")
}

/// Lays a node's layers over all of the machine's folders.
fn machine_layers(base: &str, root: &str) -> Result<(), Failure> {
    overlay(base, "root", "", "/", root)?;
    for disk in disks(&fs::read_to_string("/proc/self/mountinfo").step("reading the machine's mounts")?) {
        overlay(base, &disk.replace('/', "-"), &disk, &disk, &format!("{root}{disk}"))?;
    }
    Ok(())
}

/// Lays a folder of the package trees and an upper layer of the node over a folder of the machine, or what stands for it.
fn overlay(base: &str, name: &str, of_tree: &str, lowest: &str, target: &str) -> Result<(), Failure> {
    let (upper, work) = (format!("{base}/{name}.upper"), format!("{base}/{name}.work"));
    for folder in [&upper, &work] {
        fs::create_dir_all(folder).step("making the node's folder")?;
    }
    let tree = format!("{}{of_tree}", state("tree"));
    let lower = if Path::new(&tree).is_dir() { format!("{tree}:{lowest}") } else { lowest.to_owned() };
    rootless_maps::overlay(&lower, &upper, &work, target, MsFlags::MS_NODEV).map_err(|error| {
        Failure::new(format!("laying an overlay over {lowest}"), error).hint(
            "The kernel needs overlayfs (module `overlay`), which does not stack more than twice: within a container, \
             run schism outside of it",
        )
    })
}

/// Folders of the machine that lie on file systems of their own and that an overlay of `/` would show empty: from
/// `mountinfo` (proc(5)), those at most one folder below [`DISKS`] (deeper ones are containers' and the like), outer
/// ones first.
fn disks(mountinfo: &str) -> Vec<String> {
    let mut found: Vec<String> = mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let point = left.split(' ').nth(4)?;
            let kind = right.split(' ').next()?;
            let inside =
                |disk: &&str| point.strip_prefix(*disk).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            // An escaped or odd character would need care in mount options; such a folder is left out.
            let high = point.split('/').count() <= 3;
            let plain = point.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
            let fits = plain && high && DISK_TYPES.contains(&kind) && DISKS.iter().any(inside);
            (fits && Path::new(point).is_dir()).then(|| point.to_owned())
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// `/proc` of the node's processes and a `/sys` of its network. Knobs that are the machine's are read-only;
/// those of the network are the node's own.
fn kernel_views() -> Result<(), Failure> {
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), quiet, NONE).step("mounting /proc")?;
    let sys = mount(Some("sysfs"), "/sys", Some("sysfs"), quiet | MsFlags::MS_RDONLY, NONE);
    // In a user namespace the kernel may refuse one of the node's own, where the machine's is not wholly in sight. The
    // machine's shows the lab's network devices in place of the node's; nothing else.
    match sys {
        Err(nix::Error::EPERM) if rootless::is_mapped() => {
            let from = format!("{OLD}/sys");
            mount(Some(from.as_str()), "/sys", NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE).step("mounting /sys")?;
        }
        other => other.step("mounting /sys")?,
    }
    let step = "protecting the machine's kernel settings";
    let bind = |path: &str| mount(Some(path), path, NONE, MsFlags::MS_BIND, NONE).step(step);
    bind("/proc/sys")?;
    if Path::new("/proc/sys/net").is_dir() {
        bind("/proc/sys/net")?;
    }
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | quiet;
    mount(NONE, "/proc/sys", NONE, read_only, NONE).step(step)?;
    if Path::new("/proc/sysrq-trigger").exists() {
        bind("/proc/sysrq-trigger")?;
        mount(NONE, "/proc/sysrq-trigger", NONE, read_only, NONE).step(step)?;
    }
    Ok(())
}

/// A `/dev` with the harmless devices of the machine, terminals of the node's own, and shared memory.
fn devices() -> Result<(), Failure> {
    let step = "making /dev";
    tmpfs("/dev", "mode=755,size=1m", MsFlags::MS_NOSUID)?;
    for folder in ["pts", "shm", "net", "mqueue"] {
        fs::create_dir(format!("/dev/{folder}")).step(step)?;
    }
    for device in ["null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun"] {
        let (source, target) = (format!("{OLD}/dev/{device}"), format!("/dev/{device}"));
        if Path::new(&source).exists() {
            fs::write(&target, "").step(step)?;
            mount(Some(source.as_str()), target.as_str(), NONE, MsFlags::MS_BIND, NONE).step(step)?;
        }
    }
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let options = Some("newinstance,ptmxmode=0666,mode=620");
    mount(Some("devpts"), "/dev/pts", Some("devpts"), quiet, options).step(step)?;
    tmpfs("/dev/shm", "mode=1777", MsFlags::MS_NOSUID | MsFlags::MS_NODEV)?;
    let links =
        [("pts/ptmx", "ptmx"), ("/proc/self/fd", "fd"), ("fd/0", "stdin"), ("fd/1", "stdout"), ("fd/2", "stderr")];
    for (to, name) in links {
        symlink(to, format!("/dev/{name}")).step(step)?;
    }
    Ok(())
}

/// Folders in which the machine keeps what is its users' or its daemons': empty ones of the node's own, of which homes
/// outlive its power. They follow the machine's links (`/home` may be one), which is why this runs after the change of
/// root.
fn private_folders(base: &str) -> Result<(), Failure> {
    let step = "making the node's folder";
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    for (folder, mode) in [("/root", 0o700), ("/home", 0o755)] {
        let own = format!("{OLD}{base}/own{}", folder.replace('/', "-"));
        if !Path::new(&own).is_dir() {
            fs::create_dir(&own).step(step)?;
            fs::set_permissions(&own, fs::Permissions::from_mode(mode)).step(step)?;
        }
        fs::create_dir_all(folder).step(step)?;
        bind(&own, folder, flags)?;
    }
    for (folder, options) in [("/tmp", "mode=1777"), ("/run", "mode=755")] {
        fs::create_dir_all(folder).step(step)?;
        tmpfs(folder, options, flags)?;
    }
    fs::create_dir_all("/run/lock").step(step)
}

/// Mounts the data disk, which the holder has mounted; where there is none the folder is a plain one.
fn data_disk(plan: &NodePlan) -> Result<(), Failure> {
    fs::create_dir_all(DATA_DISK).step("making the folder of the data disk")?;
    if !plan.data_disk {
        return Ok(());
    }
    bind(
        &format!("{OLD}{}", disk::mount_point(&plan.name).display()),
        DATA_DISK,
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
    )
}

/// Puts this program where an agent would be brought to: nothing has to be uploaded here.
fn program() -> Result<(), Failure> {
    let (folder, file) = AGENT.rsplit_once('/').unwrap_or_default();
    fs::create_dir_all(folder).step("bringing this program to the node")?;
    fs::File::create(AGENT).step("bringing this program to the node")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_RDONLY;
    bind(&format!("{OLD}{}", state(file)), AGENT, flags)
}

/// Shows a folder or a file at another place as well, with these flags there.
fn bind(from: &str, to: &str, flags: MsFlags) -> Result<(), Failure> {
    let step = format!("mounting {to}");
    mount(Some(from), to, NONE, MsFlags::MS_BIND, NONE).step(&step)?;
    mount(NONE, to, NONE, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags, NONE).step(&step)
}

fn tmpfs(folder: &str, options: &str, flags: MsFlags) -> Result<(), Failure> {
    mount(Some("tmpfs"), folder, Some("tmpfs"), flags, Some(options)).step(&format!("mounting {folder}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_on_disks_of_their_own_are_found() {
        let line = |point: &str, kind: &str| format!("36 35 98:0 / {point} rw,noatime master:1 - {kind} /dev/x rw\n");
        let text = [
            line("/", "ext4"),
            line("/usr", "ext4"),
            line("/usr", "ext4"),
            line("/var/lib", "xfs"),
            line("/usrx", "ext4"),
            line("/usr/share/doc", "ext4"),
            line("/proc", "proc"),
            line("/etc/hostname", "ext4"),
            line("/var/tmp", "tmpfs"),
            line("/opt/a\\040b", "ext4"),
            "garbage\n".to_owned(),
        ]
        .concat();
        assert_eq!(disks(&text), ["/usr", "/var/lib"]);
    }

    #[test]
    fn every_node_is_in_the_hosts_file_under_one_address() {
        let text = hosts(&["n1".into(), "n2".into()]);
        assert!(text.contains("10.77.0.11 n1\n") && text.contains("10.77.0.12 n2\n"), "{text}");
        assert_eq!(text.lines().filter(|line| line.ends_with(" n2")).count(), 1);
    }
}
