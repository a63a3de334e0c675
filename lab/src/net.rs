//! The lab's network: a bridge in the holder's network namespace and a cable to each node, or the lab's own switch and
//! a port for each; no way out. Addresses and names are the same with both.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use nix::sched::{CloneFlags, setns};
use schism_history::Seed;

use crate::error::{Failure, Step};
use crate::spec::{LabSpec, NetworkKind};
use crate::switch::{LinkHands, Switch, port, tap};

/// The controller's own address, on its side of the network.
pub(crate) const CONTROLLER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const CONTROLLER_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);

/// The controller's device: the bridge, or a TAP device.
const BRIDGE: &str = "br0";
const TAP: &str = "sw0";

/// A device gives up frames that the switch did not take when so many wait: as much as some TCP connections send at once.
const TAP_FRAMES_MAX: u32 = 4000;

const ASK_WHILE_COMING_UP_MS: u32 = 20;
const ASK_USUALLY_MS: u32 = 1000;

/// The address of the node at this place (0 for the first).
pub(crate) fn address(at: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, last_byte(at))
}

/// The same in the lab's IPv6 network (a unique local one).
pub(crate) fn address_v6(at: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, u16::from(last_byte(at)))
}

/// [`crate::spec`] allows 240 nodes.
fn last_byte(at: usize) -> u8 {
    u8::try_from(at).map_or(u8::MAX, |at| at.saturating_add(11))
}

/// The hardware address of the controller's device.
const CONTROLLER_HARDWARE: [u8; 6] = [0x02, 0x77, 0, 0, 0, 1];

/// The hardware address of a node. It is fixed, so that a node that comes again is known.
fn hardware(at: usize) -> [u8; 6] {
    [0x02, 0x77, 0, 0, 1, last_byte(at)]
}

fn hardware_text(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

/// Makes the controller's side of the network; what can be done to the links then.
pub(crate) fn controller_side(spec: &LabSpec) -> Result<LinkHands, Failure> {
    let hands = match spec.network {
        NetworkKind::Cables => bridge().map(|()| LinkHands::cables()).map_err(|error| {
            error.hint("The kernel needs bridge and veth (modules `bridge`, `veth`); iproute2 must be on this machine")
        }),
        NetworkKind::Switch => switch(spec).map(LinkHands::of),
    }?;
    ask_again_after(spec.network, ASK_WHILE_COMING_UP_MS);
    Ok(hands)
}

/// Makes the bridge. Without spanning tree, and without multicast snooping, which loses neighbour discovery on bridges
/// that nobody queries.
fn bridge() -> Result<(), Failure> {
    let hardware = hardware_text(CONTROLLER_HARDWARE);
    let make = format!("link add {BRIDGE} address {hardware} type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
    ip("making the lab's bridge", &controller_lines(BRIDGE, make))
}

fn controller_lines(device: &str, make: String) -> Vec<String> {
    let v6 = enable_v6();
    let mut lines = vec!["link set lo up".to_owned(), make, format!("addr add {CONTROLLER}/24 dev {device}")];
    if v6 {
        lines.push(format!("addr add {CONTROLLER_V6}/64 dev {device} nodad"));
    }
    lines.push(format!("link set {device} up"));
    lines
}

/// Starts the switch, with the controller at its first port, and gives ports to nodes from now on.
fn switch(spec: &LabSpec) -> Result<Arc<Switch>, Failure> {
    let step = "making the lab's switch";
    let nodes = (0..spec.nodes.len()).map(hardware);
    let addresses: Vec<[u8; 6]> = std::iter::once(CONTROLLER_HARDWARE).chain(nodes).collect();
    // Always the same: what happens to the n-th packet of a link is the same in every lab.
    let switch = Switch::start(&spec.nodes, &addresses, Seed(0)).step(step)?;
    let device = tap::open(TAP).map_err(|error| Failure::new(step, port::no_device(&error)))?;
    switch.attach(0, device);
    let make = format!("link set {TAP} address {} txqueuelen {TAP_FRAMES_MAX}", hardware_text(CONTROLLER_HARDWARE));
    ip(step, &controller_lines(TAP, make))?;
    port::serve(Arc::clone(&switch), spec.nodes.len()).step(step)?;
    Ok(switch)
}

/// Called in a node's network namespace by a process in the holder's pid namespace: makes `eth0` and what it leads to.
pub(crate) fn cable(at: usize) -> Result<(), Failure> {
    let hardware = hardware_text(hardware(at));
    let v6 = enable_v6();
    let mut lines = vec!["link set lo up".to_owned()];
    if port::is_here() {
        plug(at, &hardware)?;
    } else {
        // The far end goes to process 1 there, the holder.
        lines.push(format!("link add eth0 address {hardware} type veth peer name v{at} netns 1"));
    }
    lines.push(format!("addr add {}/24 dev eth0", address(at)));
    if v6 {
        lines.push(format!("addr add {}/64 dev eth0 nodad", address_v6(at)));
    }
    lines.push("link set eth0 up".to_owned());
    ip("making the node's network", &lines)
}

/// Gets the port of this node from the switch. Only from within the holder's network, where it is made, can the device
/// be moved; namespaces belong to threads, so a thread goes there.
fn plug(at: usize, hardware: &str) -> Result<(), Failure> {
    let step = "plugging the node into the switch";
    let device = port::ask(at).step(step)?;
    let lines = [
        format!("link set {device} address {hardware} txqueuelen {TAP_FRAMES_MAX}"),
        format!("link set {device} netns {} name eth0", std::process::id()),
    ];
    let holder = File::open("/proc/1/ns/net").step(step)?;
    let moved = thread::scope(|scope| {
        let there = scope.spawn(|| {
            setns(holder, CloneFlags::CLONE_NEWNET).step(step)?;
            ip(step, &lines)
        });
        there.join()
    });
    moved.unwrap_or_else(|_| Err(Failure::new(step, "the thread that does it ended")))
}

/// Puts the near ends of all cables into the bridge. They pass packets a moment later.
pub(crate) fn join(network: NetworkKind, nodes: usize) -> Result<(), Failure> {
    if network == NetworkKind::Switch {
        return Ok(());
    }
    let lines: Vec<String> = (0..nodes).map(|at| format!("link set v{at} master {BRIDGE} up")).collect();
    ip("joining the nodes to the bridge", &lines)
}

/// After what time the controller's side asks again who has an address. The kernel's second is too long while cables
/// come up (a question that was lost would cost it whole), and right afterwards, when a loaded node may answer late.
fn ask_again_after(network: NetworkKind, ms: u32) {
    let device = match network {
        NetworkKind::Cables => BRIDGE,
        NetworkKind::Switch => TAP,
    };
    let _ = fs::write(format!("/proc/sys/net/ipv4/neigh/{device}/retrans_time_ms"), ms.to_string());
}

/// Everything is there and answers.
pub(crate) fn settled(network: NetworkKind) {
    ask_again_after(network, ASK_USUALLY_MS);
}

/// Whether this kernel has IPv6; switches it on in this network namespace, where machines often have it off.
fn enable_v6() -> bool {
    for scope in ["all", "default"] {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "0");
    }
    Path::new("/proc/net/if_inet6").exists()
}

/// Runs `ip` over these lines: one process for all of them.
fn ip(step: &str, lines: &[String]) -> Result<(), Failure> {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::new(step, format!("`ip`: {error}")).hint("Install iproute2"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all((lines.join("\n") + "\n").as_bytes()).step(step)?;
    }
    let output = child.wait_with_output().step(step)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(step, format!("`ip`: {}", said.trim().replace('\n', "; "))))
}
