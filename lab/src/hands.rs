//! What the holder of a lab of namespaces can do to its nodes from outside.

use std::sync::{Mutex, MutexGuard, PoisonError};

use schism_cluster::{Ability, GroundAction};
use schism_history::Node;
use serde_json::Value as Json;

use crate::control::Hands;
use crate::power::Machine;

/// The hands of a lab of namespaces. One order at a time for each node; nodes do not wait for each other.
pub(crate) struct NamespaceHands {
    machines: Vec<(String, Mutex<Machine>)>,
}

impl NamespaceHands {
    /// Over these nodes.
    pub(crate) fn new(machines: Vec<Machine>) -> NamespaceHands {
        let named = machines.into_iter().map(|machine| (machine.name().to_owned(), Mutex::new(machine)));
        NamespaceHands { machines: named.collect() }
    }

    fn on(&self, node: &Node, work: impl FnOnce(&mut Machine) -> Result<Json, String>) -> Result<Json, String> {
        let found = self.machines.iter().find(|(name, _)| name == node.as_str());
        let (_, machine) = found.ok_or_else(|| {
            let known: Vec<&str> = self.machines.iter().map(|(name, _)| name.as_str()).collect();
            format!("the lab has no node `{node}`; it has {}", known.join(", "))
        })?;
        work(&mut locked(machine))
    }

    fn have_disks(&self) -> Result<(), String> {
        self.machines.iter().try_for_each(|(_, machine)| locked(machine).has_disk())
    }
}

fn locked(machine: &Mutex<Machine>) -> MutexGuard<'_, Machine> {
    // What a thread left behind that ended early is what the next order finds, and deals with.
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hands for NamespaceHands {
    fn can(&self, ability: Ability) -> Result<(), String> {
        match ability {
            Ability::Freeze => Ok(()),
            Ability::DataDisk => self.have_disks(),
            // Without a disk that forgets, a power cut would be a kill under a grander name.
            Ability::Power => self.have_disks(),
            Ability::Links => Err(format!("a lab of namespaces cannot {ability} on this machine")),
        }
    }

    fn act(&self, action: &GroundAction) -> Result<Json, String> {
        match action {
            GroundAction::CutPower { node } => self.on(node, Machine::cut_power),
            GroundAction::PowerOn { node } => self.on(node, Machine::power_on),
            GroundAction::Reboot { node } => self.on(node, Machine::reboot),
            GroundAction::Freeze { node } => self.on(node, Machine::freeze),
            GroundAction::Thaw { node } => self.on(node, Machine::thaw),
            GroundAction::FailDataDisk { node } => self.on(node, Machine::fail_disk),
            GroundAction::RestoreDataDisk { node } => self.on(node, Machine::restore_disk),
            other => self.can(other.ability()).map(|()| Json::Null),
        }
    }
}
