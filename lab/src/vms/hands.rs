//! What the holder of a lab of machines can do to its nodes from outside.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use schism_cluster::{Ability, GroundAction};
use schism_history::Node;

use super::machine::Machine;
use crate::control::Hands;

/// How long a machine may take to boot; below what the controller waits for an answer.
const BOOT_MAX: Duration = Duration::from_secs(80);

/// How often machines are looked after.
const LOOK: Duration = Duration::from_millis(250);

/// The hands of a lab of machines. Each machine has a lock of its own: orders to one wait for each other, orders to
/// several do not.
pub(crate) struct VmHands {
    machines: Arc<BTreeMap<String, Mutex<Machine>>>,
}

impl VmHands {
    pub(crate) fn new(machines: Vec<Machine>) -> VmHands {
        let named = |machine: Machine| (machine.plan.name.clone(), Mutex::new(machine));
        VmHands { machines: Arc::new(machines.into_iter().map(named).collect()) }
    }

    /// Starts machines again that ended by themselves, in a thread of its own, for the rest of the process's life.
    ///
    /// # Errors
    /// When no thread can be had.
    pub(crate) fn look_after(&self) -> io::Result<()> {
        let machines = Arc::clone(&self.machines);
        thread::Builder::new().name("machines".to_owned()).spawn(move || {
            loop {
                thread::sleep(LOOK);
                // Those that an order is being carried out on are left to it.
                machines.values().filter_map(|machine| machine.try_lock().ok()).for_each(|mut it| it.keep_on());
            }
        })?;
        Ok(())
    }

    fn with<T>(&self, node: &Node, act: impl FnOnce(&mut Machine) -> Result<T, String>) -> Result<T, String> {
        let machine = self.machines.get(node.as_str()).ok_or_else(|| format!("there is no node {node}"))?;
        act(&mut machine.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Hands for VmHands {
    fn can(&self, ability: Ability) -> Result<(), String> {
        match ability {
            Ability::Power | Ability::Freeze => Ok(()),
            Ability::Links => {
                Err("machines have kernels of their own: shape packets inside them (tc qdisc, netem)".into())
            }
            Ability::DataDisk => {
                Err("machines have kernels of their own: let disks fail inside them (device mapper over \
                 /dev/vdb), or cut their power"
                    .into())
            }
        }
    }

    fn act(&self, action: &GroundAction) -> Result<serde_json::Value, String> {
        match action {
            GroundAction::CutPower { node } => self.with(node, Machine::cut_power),
            GroundAction::PowerOn { node } => self.with(node, |machine| machine.power_on(BOOT_MAX)),
            GroundAction::Reboot { node } => self.with(node, |machine| machine.reboot(BOOT_MAX)),
            GroundAction::Freeze { node } => self.with(node, Machine::freeze),
            GroundAction::Thaw { node } => self.with(node, Machine::thaw),
            other => match self.can(other.ability()) {
                Err(reason) => Err(reason),
                Ok(()) => Err(format!("machines cannot {other}")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_machines_cannot_says_where_it_is_done_instead() {
        let hands = VmHands::new(Vec::new());
        assert!(hands.can(Ability::Power).is_ok() && hands.can(Ability::Freeze).is_ok());
        let node = Node::new("n1");
        let links = hands.act(&GroundAction::ClearLinks { tag: "t".into() }).unwrap_err();
        assert!(links.contains("netem"), "{links}");
        let disk = hands.act(&GroundAction::FailDataDisk { node: node.clone() }).unwrap_err();
        assert!(disk.contains("device mapper"), "{disk}");
        assert_eq!(hands.act(&GroundAction::CutPower { node }).unwrap_err(), "there is no node n1");
    }
}
