//! The lab's network: a bridge in the holder's network namespace, a cable to each node, no way out.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Failure, Step};

/// The controller's own address, on the bridge.
pub(crate) const CONTROLLER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const CONTROLLER_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);

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

/// Makes the bridge. Without spanning tree, and without multicast snooping, which loses neighbour discovery on bridges
/// that nobody queries.
pub(crate) fn bridge() -> Result<(), Failure> {
    let v6 = enable_v6();
    let mut lines = vec![
        "link set lo up".to_owned(),
        "link add br0 address 02:77:00:00:00:01 type bridge stp_state 0 forward_delay 0 mcast_snooping 0".to_owned(),
        format!("addr add {CONTROLLER}/24 dev br0"),
    ];
    if v6 {
        lines.push(format!("addr add {CONTROLLER_V6}/64 dev br0 nodad"));
    }
    lines.push("link set br0 up".to_owned());
    ip("making the lab's bridge", &lines)?;
    ask_again_after(ASK_WHILE_COMING_UP_MS);
    Ok(())
}

/// Called in a node's network namespace by a process in the holder's pid namespace: makes the cable, the far end of which
/// goes to process 1 there, the holder. The hardware address is fixed, so that a node that comes again is known.
pub(crate) fn cable(at: usize) -> Result<(), Failure> {
    let v6 = enable_v6();
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("link add eth0 address 02:77:00:00:01:{:02x} type veth peer name v{at} netns 1", last_byte(at)),
        format!("addr add {}/24 dev eth0", address(at)),
    ];
    if v6 {
        lines.push(format!("addr add {}/64 dev eth0 nodad", address_v6(at)));
    }
    lines.push("link set eth0 up".to_owned());
    ip("making the node's network", &lines)
}

/// Puts the near ends of all cables into the bridge. They pass packets a moment later.
pub(crate) fn join(nodes: usize) -> Result<(), Failure> {
    let lines: Vec<String> = (0..nodes).map(|at| format!("link set v{at} master br0 up")).collect();
    ip("joining the nodes to the bridge", &lines)
}

/// After what time the controller's side asks again who has an address. The kernel's second is too long while cables
/// come up (a question that was lost would cost it whole), and right afterwards, when a loaded node may answer late.
fn ask_again_after(ms: u32) {
    let _ = fs::write("/proc/sys/net/ipv4/neigh/br0/retrans_time_ms", ms.to_string());
}

/// Everything is there and answers.
pub(crate) fn settled() {
    ask_again_after(ASK_USUALLY_MS);
}

/// Whether this kernel has IPv6; switches it on in this network namespace, where machines often have it off.
fn enable_v6() -> bool {
    for scope in ["all", "default"] {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "0");
    }
    Path::new("/proc/net/if_inet6").exists()
}

/// Runs `ip` over these lines: one process for all of them.
pub(crate) fn ip(step: &str, lines: &[String]) -> Result<(), Failure> {
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
