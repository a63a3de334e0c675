//! The table of all faults, and what a line of it holds.

use rand_chacha::ChaCha8Rng;
use schism_history::{Node, Seed};
use serde::Serialize;
use serde_json::Value as Json;

use crate::fault::{Fault, FaultError};
use crate::faults;
use crate::intention::Intention;
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};
use crate::spec::FaultSpec;
use crate::tag::RunTag;
use crate::target::{Target, View};

/// What a fault harms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Links between nodes, names, connections.
    Network,
    /// The database's processes.
    Process,
    /// Whole nodes.
    Node,
    /// Clocks.
    Clock,
    /// Files and disks.
    Disk,
    /// Processors, memory, descriptors.
    Resources,
    /// Who belongs to the cluster.
    Membership,
}

/// A line of the table of faults: everything that parser, help, documents and planner know of a class.
pub struct FaultEntry {
    /// Its name in suites, and its class.
    pub name: &'static str,
    /// What it harms.
    pub family: Family,
    /// One line for `schism list faults`.
    pub about: &'static str,
    /// Its options, beside `interval` and `duration`, which all have.
    pub options: &'static [OptionEntry],
    /// Where it works.
    pub works: &'static str,
    /// What proves that it is there, and that it is gone.
    pub verified: &'static str,
    /// How it is undone, and who does that when the controller is gone.
    pub undone: &'static str,
    /// What it needs, for every alternative that its options leave (the nodes of targets and shapes are added to that).
    pub needs: fn(&FaultSpec) -> Vec<Need>,
    /// The fault that an intention means.
    pub decide: fn(&Ask<'_>) -> Result<Box<dyn Fault>, FaultError>,
    /// One line for a person, before the nodes are known; [`plain_label`] for most.
    pub label: fn(&Intention) -> String,
}

impl std::fmt::Debug for FaultEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All faults, by family.
pub const FAULTS: &[&FaultEntry] = &[
    &faults::partition::ENTRY,
    &faults::packet::DELAY,
    &faults::packet::LOSS,
    &faults::packet::DUPLICATE,
    &faults::packet::REORDER,
    &faults::packet::CORRUPT,
    &faults::packet::BANDWIDTH,
    &faults::packet::HOLD,
    &faults::reset::ENTRY,
    &faults::dns::ENTRY,
    &faults::kill::ENTRY,
    &faults::pause::ENTRY,
    &faults::terminate::ENTRY,
    &faults::restart::ENTRY,
    &faults::crash_loop::ENTRY,
    &faults::reboot::ENTRY,
    &faults::power_cut::ENTRY,
    &faults::freeze::ENTRY,
    &faults::clock_jump::ENTRY,
    &faults::clock_strobe::ENTRY,
    &faults::clock_drift::ENTRY,
    &faults::disk_full::ENTRY,
    &faults::disk_readonly::ENTRY,
    &faults::disk_slow::ENTRY,
    &faults::disk_errors::ENTRY,
    &faults::lost_writes::ENTRY,
    &faults::torn_write::ENTRY,
    &faults::bit_flip::ENTRY,
    &faults::truncate::ENTRY,
    &faults::old_copy::ENTRY,
    &faults::cpu_hog::ENTRY,
    &faults::cpu_throttle::ENTRY,
    &faults::memory_pressure::ENTRY,
    &faults::descriptors::ENTRY,
    &faults::oom_kill::ENTRY,
    &faults::membership::ENTRY,
];

/// The line of that name.
pub fn entry(name: &str) -> Option<&'static FaultEntry> {
    FAULTS.iter().copied().find(|entry| entry.name == name)
}

/// Names of all faults.
pub fn names() -> Vec<&'static str> {
    FAULTS.iter().map(|entry| entry.name).collect()
}

/// What a class is asked: an intention, and the view in which it is to be decided. The answer is pure: the same
/// question gives the same fault.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The class.
    pub entry: &'static FaultEntry,
    /// What is wanted.
    pub intention: &'a Intention,
    /// What the nodes said of themselves.
    pub view: &'a View,
    /// The tag of the run.
    pub tag: &'a RunTag,
    /// The number of the fault.
    pub fault_id: u32,
}

impl Ask<'_> {
    /// The chance of this decision, the same each time.
    pub fn rng(&self) -> ChaCha8Rng {
        Seed(u64::from(self.intention.draw)).stream("nemesis/choice")
    }

    /// The target and the nodes that it means in this view.
    ///
    /// # Errors
    /// [`FaultError::NoTarget`] where there is nobody; [`FaultError::Intention`] where none was asked for.
    pub fn target(&self) -> Result<(Target, Vec<Node>), FaultError> {
        let target = self.intention.target().ok_or_else(|| self.missing("target"))?;
        let nodes = target.choose(self.view, &mut self.rng()).map_err(|reason| self.nobody(reason))?;
        Ok((target, nodes))
    }

    /// There is nobody to harm.
    pub fn nobody(&self, reason: String) -> FaultError {
        FaultError::NoTarget { class: self.entry.name.to_owned(), reason }
    }

    /// What is wanted makes no sense.
    pub fn wrong(&self, reason: String) -> FaultError {
        FaultError::Intention { class: self.entry.name.to_owned(), reason }
    }

    fn missing(&self, key: &str) -> FaultError {
        self.wrong(format!("`{}` is nothing that this class does: it has no `{key}`", self.intention.label()))
    }

    /// A whole number of the intention that must be there.
    ///
    /// # Errors
    /// [`FaultError::Intention`].
    pub fn number(&self, key: &str) -> Result<u64, FaultError> {
        self.intention.value(key).and_then(Json::as_u64).ok_or_else(|| self.missing(key))
    }

    /// A whole number with a sign that must be there.
    ///
    /// # Errors
    /// [`FaultError::Intention`].
    pub fn signed(&self, key: &str) -> Result<i64, FaultError> {
        self.intention.value(key).and_then(Json::as_i64).ok_or_else(|| self.missing(key))
    }

    /// A word that must be there.
    ///
    /// # Errors
    /// [`FaultError::Intention`].
    pub fn word(&self, key: &str) -> Result<&str, FaultError> {
        self.intention.value(key).and_then(Json::as_str).ok_or_else(|| self.missing(key))
    }

    /// Whether a flag is there and on.
    pub fn flag(&self, key: &str) -> bool {
        self.intention.value(key).and_then(Json::as_bool).unwrap_or(false)
    }
}

/// `one, delay 50ms, loss 5%`: the target and the options, as suites write them.
pub fn plain_label(intention: &Intention) -> String {
    let told = |entry: &OptionEntry| {
        let value = intention.value(entry.key)?;
        let shown = match entry.kind.show(value) {
            Json::String(text) => text,
            Json::Array(nodes) => nodes.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" "),
            other => other.to_string(),
        };
        Some(if entry.kind == OptionKind::Target { shown } else { format!("{} {shown}", entry.name) })
    };
    intention.entry().options.iter().filter_map(told).collect::<Vec<_>>().join(", ")
}
