//! The holder: the process whose life is the lab's life. It makes its namespaces, the bridge and the nodes, says that
//! all is ready, and then waits (see [`crate::serve`]).

use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::control::Control;
use crate::error::{Failure, Step};
use crate::hands::NamespaceHands;
use crate::lab::{Lab, LabNode};
use crate::node::NodePlan;
use crate::process::{HOLDER, INNER, NODE, OUTER, SELF};
use crate::spec::LabSpec;
use crate::wire::{self, Message, Reader};
use crate::{net, process, serve, sshd, sys, tree};

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
    let all = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    unshare(all).map_err(|error| {
        Failure::new("making the lab's namespaces", error)
            .hint("It needs CAP_SYS_ADMIN: as root on the machine, or in a container that is privileged")
    })?;
    let pid = process::hand_over(HOLDER, &[id, INNER]).step("starting the holder in its namespaces")?;
    Message::Pid(pid).send().step("telling the holder's number")
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
    let deadline = Instant::now() + UP_MAX;
    own_files(spec)?;
    let links = net::controller_side(spec)?;
    let keys = sshd::Keys::make(&spec.nodes)?;
    let plans = NodePlan::of(spec, &keys)?;
    let mut children = Vec::new();
    for plan in &plans {
        let child = process::start(Path::new(SELF), NODE, &[&spec.id, &plan.name, &plan.at.to_string()], plan);
        children.push(child.step("starting a node").map_err(|failure| of_node(failure, &plan.name))?);
    }
    let mut nodes = Vec::new();
    for (plan, child) in plans.iter().zip(children) {
        let init_pid = await_node(child, deadline).map_err(|failure| of_node(failure, &plan.name))?;
        nodes.push(LabNode { name: plan.name.clone(), address: plan.address.to_string(), init_pid });
    }
    net::join(spec.network, plans.len())?;
    for node in &nodes {
        await_banner(node, deadline).map_err(|failure| of_node(failure, &node.name))?;
    }
    net::settled(spec.network);
    let listener = UnixListener::bind(state("attach")).step("listening for controllers")?;
    listener.set_nonblocking(true).step("listening for controllers")?;
    let control = Control::new(Box::new(NamespaceHands::new(links)));
    control.start(Path::new(&state("control"))).step("listening for orders")?;
    write_lab(&Lab::new(spec, nodes, &keys)).step("writing down the lab")?;
    Ok(listener)
}

fn of_node(failure: Failure, name: &str) -> Failure {
    Failure { node: Some(name.to_owned()), ..failure }
}

/// Own mounts: nothing goes out to the machine, a tmpfs for what the lab keeps, a `/proc` that shows its processes.
fn own_files(spec: &LabSpec) -> Result<(), Failure> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).step("making mounts private")?;
    // Opened first, as the tmpfs may hide them.
    let trees: Vec<fs::File> =
        spec.trees.iter().map(fs::File::open).collect::<Result<_, _>>().step("opening the package trees")?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("lab"), "/run", Some("tmpfs"), MsFlags::MS_NODEV, Some("mode=755")).step("mounting a tmpfs")?;
    mount(Some("proc"), "/proc", Some("proc"), quiet | MsFlags::MS_NOEXEC, none).step("mounting /proc")?;
    fs::DirBuilder::new().mode(0o700).create(STATE).step("making the lab's folder")?;
    for folder in ["tree", "nodes", "keys"] {
        fs::create_dir(state(folder)).step("making the lab's folders")?;
    }
    // overlayfs refuses layers that lie within one another on one file system, and the cache lies within `/`: so the
    // trees go to the tmpfs. From the last to the first, so that the first is on top.
    for opened in trees.iter().rev() {
        tree::copy(opened, Path::new(&state("tree"))).step("copying the package trees")?;
    }
    // The upper folder of the layers must be like the machine's own root, which it stands for.
    fs::set_permissions(state("tree"), fs::Permissions::from_mode(0o755)).step("copying the package trees")
}

/// Waits until a node's files, network and sshd are made; the answer is its init, as the holder sees it. Builder and init
/// speak through one pipe, in no certain order.
fn await_node(mut child: Child, deadline: Instant) -> Result<u32, Failure> {
    let pipe = child.stdout.take().ok_or_else(|| Failure::new("starting a node", "no pipe"))?;
    let mut reader = Reader::new(pipe);
    let (mut pid, mut ready) = (None, false);
    let pid = loop {
        match (reader.next(deadline).step("bringing up a node")?, pid) {
            (Message::Failed(failure), _) => return Err(failure),
            (Message::Pid(number), _) if ready => break number,
            (Message::Ready, Some(number)) => break number,
            (Message::Pid(number), _) => pid = Some(number),
            (Message::Ready, None) => ready = true,
        }
    };
    let _ = child.wait();
    Ok(pid)
}

/// Waits until a node's sshd says who it is.
fn await_banner(node: &LabNode, deadline: Instant) -> Result<(), Failure> {
    let failed = |reason: String| {
        let log = fs::read(format!("/proc/{}/root{}", node.init_pid, sshd::LOG)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let tail = log.trim().lines().rev().take(3).collect::<Vec<_>>();
        Failure::new("waiting for its sshd", reason + "; its log ends: " + &tail.join(" | "))
            .hint("The package openssh-server may not fit this machine: try another package tree")
    };
    let address: IpAddr = node.address.parse().step("reading a node's address")?;
    let mut last = "it did not answer".to_owned();
    while Instant::now() < deadline {
        match banner(SocketAddr::new(address, 22)) {
            Ok(banner) if banner == *b"SSH-2.0" => return Ok(()),
            Ok(other) => return Err(failed(format!("it says `{}`", String::from_utf8_lossy(&other)))),
            Err(error) => last = error.to_string(),
        }
        thread::sleep(Duration::from_millis(3));
    }
    Err(failed(last))
}

fn banner(address: SocketAddr) -> io::Result<[u8; 7]> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut start = [0; 7];
    stream.read_exact(&mut start)?;
    Ok(start)
}

/// Where others read what this lab is. It holds the private key: for root only.
fn write_lab(lab: &Lab) -> io::Result<()> {
    let fresh = state("lab.new");
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&fresh)?;
    serde_json::to_writer(file, lab).map_err(io::Error::other)?;
    fs::rename(fresh, state("lab.json"))
}
