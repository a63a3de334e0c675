//! The lab's own switch, in this program: every frame between two nodes goes through it, and what is done to it there
//! (delayed, lost, doubled, reordered, corrupted, slowed, held, cut) needs neither netem in the kernel nor anything on
//! the nodes.
//!
//! Each node's `eth0` is a TAP device whose other end the holder has; one thread moves the frames. What is done to
//! them is decided by [`engine`], which is pure: frames and times in, frames and times out. Rules come with a tag each and
//! add up ([`shape`], [`rules`]). The controller's port is never shaped, as no rule can name it.
//!
//! **Not shaped**: the neighbour protocols (ARP, IPv6 neighbour discovery). They carry no data, but without them a cut
//! in one direction becomes one in both after a minute, and a corrupted one poisons a table for longer than the fault.
//! Rules so mean what a rule in a node's firewall would.
//!
//! **Not covered**: frames are whole Ethernet frames of at most the MTU, without offloads, so that losses and checksums are
//! as on a wire; this costs throughput (some Gbit/s for all links together, on one core).

mod chance;
mod engine;
mod hands;
pub(crate) mod port;
mod rules;
mod run;
mod shape;
pub(crate) mod tap;

#[cfg(test)]
mod engine_tests;

pub(crate) use hands::LinkHands;
pub(crate) use run::Switch;
