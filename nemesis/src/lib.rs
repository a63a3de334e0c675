//! Faults: harm that is chosen purely, written down before it is done, proven, undone, and proven to be gone.
//!
//! - [`grudge`], [`target`]: who ignores whom, and which nodes: pure choices from a recorded [`View`].
//! - [`class`]: the table of all faults ([`FAULTS`]); [`mod@option`]: their options as data; [`spec`]: faults as suites ask
//!   for them ([`FaultSpec`]); [`need`]: what they need ([`check_needs`]).
//! - [`schedule`]: when which fault, by seed ([`Faults`], [`FinalHeal`], [`preview`]); [`timetable`]: by a script, or in a
//!   cycle; [`stretch`]: quiet and faulty stretches; [`systematic`]: every sequence of faults on roles.
//! - [`intention`]: what is wanted, in the history before the nodes were asked.
//! - [`fault`]: the waist [`Fault`]; [`faults`]: one harm a file.
//! - [`ledger`], [`lease`], [`mod@heal`]: undo on disk before the harm, a dead man's switch on the node, healing by a second
//!   process; [`beat`]: signs of life; [`claim`]: one controller at a time.
//! - [`nemesis`]: all of it at work ([`Nemesis`], [`Actor`]).
//!
//! - [`links`], [`observe`], [`measure`]: what proves a fault.
//! - [`agent`]: what schism itself does on a node.
//!
//! What runs on nodes is in [`scripts`] alone, and what looks at them in `schism_cluster::probe`.

pub mod agent;
pub mod beat;
pub mod claim;
pub mod class;
pub mod docs;
pub mod draw;
pub mod fanout;
pub mod fault;
pub mod faults;
pub mod grudge;
mod guarded;
pub mod heal;
pub mod intention;
pub mod lease;
pub mod ledger;
pub mod links;
pub mod measure;
pub mod need;
pub mod nemesis;
pub mod observe;
pub mod option;
pub mod schedule;
pub mod scripts;
pub mod span;
pub mod spec;
pub mod stretch;
pub mod systematic;
pub mod tag;
pub mod target;
pub mod timetable;

pub use beat::Beats;
pub use claim::{Claim, ClaimError, Controller, FoundClaim};
pub use class::{Ask, FAULTS, Family, FaultEntry};
pub use fault::{Evidence, Fault, FaultError, Undo};
pub use faults::disk_mapper::way_in_words as disk_way;
pub use grudge::{Direction, Grudge, Shape};
pub use heal::{ended_with_lab, heal_all};
pub use intention::Intention;
pub use lease::{HealReport, Lease, LeaseInfo, Leases, heal_from_leases, list_leases};
pub use ledger::Ledger;
pub use need::{Need, Unmet, check_needs};
pub use nemesis::{Actor, Answer, Nemesis, NemesisOptions};
pub use option::{OptionEntry, OptionKind};
pub use schedule::{Faults, FinalHeal, OpenFaults, Planned, Schedule, preview, preview_of};
pub use span::DurationText;
pub use spec::FaultSpec;
pub use stretch::{Mixing, Stretch, Stretches};
pub use systematic::{Alphabet, FaultSequence, Systematic};
pub use tag::RunTag;
pub use target::{Target, View};
pub use timetable::{Step, Timetable};
