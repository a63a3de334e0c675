//! The holder: the process whose life is the lab's life. It makes its namespaces, the bridge and the nodes, says that
//! all is ready, and then waits (see [`crate::serve`]).

use std::fs;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;

use crate::control::Control;
use crate::disk::{self, Disk};
use crate::error::{Failure, Step};
use crate::hands::NamespaceHands;
use crate::lab::{Lab, LabNode};
use crate::node::NodePlan;
use crate::power::Machine;
use crate::process::{HOLDER, INNER, OUTER, SELF, SWEEPER};
use crate::spec::{LabKind, LabSpec};
use crate::wire::{self, Message};
use crate::{cgroup, net, process, rootless, rootless_maps, serve, sshd, sys, tree, vms};

/// Everything that the holder keeps, on its own tmpfs in place of `/run`. Nothing is on the machine's disk: what would
/// be left there after a SIGKILL, nobody would remove.
pub(crate) const STATE: &str = "/run/schism-lab";

/// How long nodes have to come up.
const UP_MAX: Duration = Duration::from_secs(25);

/// The path of something in the holder's state.
pub(crate) fn state(name: &str) -> String {
    format!("{STATE}/{name}")
}

/// Either stage of the holder.
pub(crate) fn main(args: &[String]) -> i32 {
    let done = match args {
        [id, stage] if stage == OUTER => outer(id),
        [_, stage] if stage == INNER => return inner(),
        _ => Err(Failure::new("starting the holder", "wrong arguments")),
    };
    match done {
        Ok(()) => 0,
        Err(failure) => {
            let _ = Message::Failed(failure).send();
            1
        }
    }
}

/// Makes the namespaces and leaves the inner holder in them, as the first process of its pid namespace.
fn outer(id: &str) -> Result<(), Failure> {
    sys::keep_only_standard_files();
    // A session of its own: the terminal's Ctrl-C and hang-up are for the controller.
    let _ = nix::unistd::setsid();
    let sweeper = sweeper(id);
    rootless_maps::become_root()?;
    let all = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    unshare(all).map_err(|error| {
        Failure::new("making the lab's namespaces", error).hint(if rootless::is_mapped() {
            rootless::kernel_hint()
        } else {
            "It needs CAP_SYS_ADMIN: as root on the machine, or in a container that is privileged"
        })
    })?;
    let pid = process::hand_over(HOLDER, &[id, INNER]).step("starting the holder in its namespaces")?;
    if let Some(mut sweeper) = sweeper {
        let told = write!(sweeper, "{pid}");
        told.step("telling the holder's number")?;
    }
    Message::Pid(pid).send().step("telling the holder's number")
}

/// Starts the process that removes the lab's control groups in the end, outside of the lab; the pipe through which it is
/// to learn the holder's number. It ends at once if that closes before. Without it, the next lab removes them.
fn sweeper(id: &str) -> Option<ChildStdin> {
    if !geteuid().is_root() || !cgroup::are_there() {
        return None;
    }
    cgroup::sweep_dead();
    let mut command = Command::new(SELF);
    command.arg0(SWEEPER).arg(id).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().ok().and_then(|mut child| child.stdin.take())
}

/// Brings the lab up, says so, and waits for its end. Whatever goes wrong before, this process ends, and as it is the
/// first of its pid namespace everything ends with it.
fn inner() -> i32 {
    let _ = nix::sys::prctl::set_name(c"schism-holder");
    let spec: LabSpec = match wire::receive() {
        Ok(spec) => spec,
        Err(_) => return 1,
    };
    let lease = spec.lease;
    match bring_up(&spec) {
        Ok(listener) => {
            // A controller that died meanwhile does not hear it; then nobody wants this lab.
            if Message::Ready.send().is_err() || sys::detach_standard_files().is_err() {
                return 1;
            }
            serve::until_the_end(&listener, lease);
            0
        }
        Err(failure) => {
            let _ = Message::Failed(failure).send();
            1
        }
    }
}

fn bring_up(spec: &LabSpec) -> Result<UnixListener, Failure> {
    if spec.kind == LabKind::Vms {
        return vms::bring_up(spec);
    }
    let deadline = Instant::now() + UP_MAX;
    own_files(spec)?;
    let links = net::controller_side(spec)?;
    let keys = sshd::Keys::make(&spec.nodes)?;
    let mut machines = machines(spec, &keys)?;
    let mut children = Vec::new();
    for machine in &mut machines {
        children.push(machine.start()?);
    }
    for (machine, child) in machines.iter_mut().zip(children) {
        machine.await_built(child, deadline)?;
    }
    net::join(spec.network, machines.len())?;
    for machine in &machines {
        machine.await_banner(deadline)?;
    }
    net::settled(spec.network);
    let nodes: Vec<LabNode> = machines.iter().map(Machine::lab_node).collect();
    let listener = UnixListener::bind(state("attach")).step("listening for controllers")?;
    listener.set_nonblocking(true).step("listening for controllers")?;
    let control = Control::new(Box::new(NamespaceHands::new(machines, links)));
    control.start(Path::new(&state("control"))).step("listening for orders")?;
    write_lab(&Lab::new(spec, nodes, &keys)).step("writing down the lab")?;
    Ok(listener)
}

/// The nodes, not yet started, each with its data disk or the reason why there is none.
fn machines(spec: &LabSpec, keys: &sshd::Keys) -> Result<Vec<Machine>, Failure> {
    let plans = NodePlan::of(spec, keys)?;
    let mapped = rootless::is_mapped();
    let disks: Vec<Result<Disk, String>> = match spec.data_disk_bytes {
        _ if mapped => plans
            .iter()
            .map(|_| Err("this lab was made without root, and disk images (loop devices) are root's alone".to_owned()))
            .collect(),
        0 => plans.iter().map(|_| Err("this lab was made without data disks".to_owned())).collect(),
        bytes => match disk::make_all(&spec.id, &spec.nodes, bytes) {
            Ok(disks) => disks.into_iter().map(Ok).collect(),
            Err(reason) => plans.iter().map(|_| Err(format!("there are no data disks: {reason}"))).collect(),
        },
    };
    plans.into_iter().zip(disks).map(|(plan, disk)| Machine::new(plan, disk)).collect()
}

/// Pins this program's file where nodes find it, so that it stays what it is when it is built anew. The one that
/// `/proc/self/exe` names may be gone, or another by now: then it is copied.
fn own_program() -> io::Result<()> {
    let to = state("schism");
    fs::File::create_new(&to)?;
    let known = fs::metadata(SELF)?;
    let path = fs::read_link(SELF)?;
    let is_it = fs::metadata(&path).is_ok_and(|file| (file.dev(), file.ino()) == (known.dev(), known.ino()));
    let none: Option<&str> = None;
    if is_it && mount(Some(&path), to.as_str(), none, MsFlags::MS_BIND, none).is_ok() {
        return Ok(());
    }
    fs::copy(SELF, &to).map(|_| ())
}

/// Own mounts: nothing goes out to the machine, a tmpfs for what the lab keeps, a `/proc` that shows its processes.
fn own_files(spec: &LabSpec) -> Result<(), Failure> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).step("making mounts private")?;
    // Opened first, as the tmpfs may hide them.
    let root = spec.root.as_ref().map(fs::File::open).transpose().step("opening the root of the nodes")?;
    let trees: Vec<fs::File> =
        spec.trees.iter().map(fs::File::open).collect::<Result<_, _>>().step("opening the package trees")?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("lab"), "/run", Some("tmpfs"), MsFlags::MS_NODEV, Some("mode=755")).step("mounting a tmpfs")?;
    let proc = mount(Some("proc"), "/proc", Some("proc"), quiet | MsFlags::MS_NOEXEC, none);
    proc.map_err(|error| {
        let failure = Failure::new("mounting /proc", error);
        if rootless::is_mapped() { failure.hint(rootless::kernel_hint()) } else { failure }
    })?;
    fs::DirBuilder::new().mode(0o700).create(STATE).step("making the lab's folder")?;
    for folder in ["tree", "nodes", "keys"] {
        fs::create_dir(state(folder)).step("making the lab's folders")?;
    }
    own_program().step("keeping this program for the nodes")?;
    if let Some(opened) = root {
        let (from, to) = (format!("/proc/self/fd/{}", opened.as_raw_fd()), state("root"));
        fs::create_dir(&to).step("making the lab's folders")?;
        mount(Some(from.as_str()), to.as_str(), none, MsFlags::MS_BIND, none).step("mounting the root of the nodes")?;
    }
    // overlayfs refuses layers that lie within one another on one file system, and the cache lies within `/`: so the
    // trees go to the tmpfs. From the last to the first, so that the first is on top.
    for opened in trees.iter().rev() {
        tree::copy(opened, Path::new(&state("tree"))).step("copying the package trees")?;
    }
    // The upper folder of the layers must be like the machine's own root, which it stands for.
    fs::set_permissions(state("tree"), fs::Permissions::from_mode(0o755)).step("copying the package trees")
}

/// Where others read what this lab is. It holds the private key: for root only.
pub(crate) fn write_lab(lab: &Lab) -> io::Result<()> {
    let fresh = state("lab.new");
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&fresh)?;
    serde_json::to_writer(file, lab).map_err(io::Error::other)?;
    fs::rename(fresh, state("lab.json"))
}
