//! A node's network across its death and rebirth, seen from the holder. The node's own side is made by the one who builds
//! the node ([`crate::net::cable`]), at every boot alike.

use std::fs;
use std::sync::{Mutex, PoisonError};

use nix::net::if_::if_nametoindex;

use crate::error::Failure;
use crate::net::{address, address_v6, ip};

/// The controller's device, whichever this lab has.
const CONTROLLER_DEVICES: &[&str] = &["br0", "sw0"];

const ASK_WHILE_COMING_UP_MS: u32 = 20;
const ASK_USUALLY_MS: u32 = 1000;

/// The near end of a node's cable. A node without one (at a switch) has made its way by itself.
fn cable(at: usize) -> Option<String> {
    let name = format!("v{at}");
    if_nametoindex(name.as_str()).is_ok().then_some(name)
}

/// Pulls a node's cable: from now on nothing of it is heard.
pub(crate) fn unplug(at: usize) {
    if let Some(cable) = cable(at) {
        // One that is gone at this moment is pulled.
        let _ = ip("pulling the node's cable", &[format!("link set {cable} down")]);
    }
}

/// Takes the cable of a node that is dead away, as the kernel does that in its own time.
pub(crate) fn remove(at: usize) {
    if let Some(cable) = cable(at) {
        // One that is gone at this moment is removed.
        let _ = ip("removing the node's cable", &[format!("link del {cable}")]);
    }
}

/// Puts the near end of the cable of a node that came again into the bridge. The controller's side forgets that it asked
/// for that address in vain, or it would ask again only a second later.
///
/// # Errors
/// If it cannot be joined.
pub(crate) fn rejoin(at: usize) -> Result<(), Failure> {
    if let Some(cable) = cable(at) {
        ip("joining the node to the bridge", &[format!("link set {cable} master br0 up")])?;
    }
    for device in CONTROLLER_DEVICES.iter().filter(|device| if_nametoindex(**device).is_ok()) {
        for address in [address(at).to_string(), address_v6(at).to_string()] {
            // Fine if it had not asked.
            let _ = ip("forgetting a neighbour", &[format!("neigh del {address} dev {device}")]);
        }
    }
    Ok(())
}

/// How many nodes come up again just now.
static COMING_UP: Mutex<usize> = Mutex::new(0);

/// While this lives, the controller's side asks for addresses often, as a node that comes up may lose the first question.
pub(crate) struct Hurry(());

/// Begins to.
pub(crate) fn hurry() -> Hurry {
    let mut count = COMING_UP.lock().unwrap_or_else(PoisonError::into_inner);
    *count += 1;
    ask_again_after(ASK_WHILE_COMING_UP_MS);
    Hurry(())
}

impl Drop for Hurry {
    fn drop(&mut self) {
        let mut count = COMING_UP.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_sub(1);
        if *count == 0 {
            ask_again_after(ASK_USUALLY_MS);
        }
    }
}

fn ask_again_after(ms: u32) {
    for device in CONTROLLER_DEVICES {
        // The lab has one of them.
        let _ = fs::write(format!("/proc/sys/net/ipv4/neigh/{device}/retrans_time_ms"), ms.to_string());
    }
}
