//! Faults: harm that is chosen purely, written down before it is done, proven, undone, and proven to be gone.
//!
//! - [`grudge`], [`target`]: who ignores whom, and which nodes: pure choices from a recorded [`View`].
//! - [`package`]: faults as suites ask for them ([`FaultSpec`], [`FAULTS`]) and what they need ([`check_needs`]).
//! - [`schedule`]: when which fault, by seed ([`Faults`], [`FinalHeal`], [`preview`]).
//! - [`intention`]: what is wanted, in the history before the nodes were asked.
//! - [`fault`]: the waist [`Fault`]; [`faults`]: one harm a file.
//! - [`ledger`], [`lease`], [`mod@heal`]: undo on disk before the harm, a dead man's switch on the node, healing by a second
//!   process.
//! - [`nemesis`]: all of it at work ([`Nemesis`], [`Actor`]).
//!
//! - [`links`], [`observe`]: what proves a fault.
//!
//! What runs on nodes is in [`scripts`] alone, and what looks at them in `schism_cluster::probe`.

pub mod draw;
pub mod fanout;
pub mod fault;
pub mod faults;
pub mod grudge;
pub mod heal;
pub mod intention;
pub mod lease;
pub mod ledger;
pub mod links;
pub mod nemesis;
pub mod observe;
pub mod package;
pub mod schedule;
pub mod scripts;
pub mod span;
pub mod tag;
pub mod target;

pub use fault::{Evidence, Fault, FaultError, Undo};
pub use grudge::{Direction, Grudge, Shape};
pub use heal::heal_all;
pub use intention::{Aim, Intention};
pub use lease::{HealReport, Lease, LeaseInfo, Leases, heal_from_leases, list_leases};
pub use ledger::Ledger;
pub use nemesis::{Actor, Answer, Nemesis, NemesisOptions};
pub use package::{DirectionSpec, FAULTS, FaultEntry, FaultSpec, Need, PartitionSpec, TargetSpec, Unmet, check_needs};
pub use schedule::{Faults, FinalHeal, OpenFaults, Planned, Schedule, preview};
pub use span::DurationText;
pub use tag::RunTag;
pub use target::{Target, View};
