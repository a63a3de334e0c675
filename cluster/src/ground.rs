//! The waist [`Ground`]: what can be done to a node from outside it.
//!
//! Everything that a ground does is a plain value ([`GroundAction`]), so that it can stand in the ledger as an undo and
//! be handed to whoever keeps the ground alive, with a lease: the keeper of the ground undoes it by itself when the
//! controller has been silent for too long.

use std::fmt;

use async_trait::async_trait;
use schism_history::Node;
use serde::{Deserialize, Serialize};

use crate::link::LinkRule;

/// Why the ground did not do what it was told.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum GroundError {
    /// This ground cannot do it.
    #[error("the ground `{ground}` cannot {what}: {reason}")]
    Unsupported {
        /// Which ground.
        ground: &'static str,
        /// What was asked.
        what: String,
        /// Why not, and what to do next.
        reason: String,
    },
    /// It tried and failed.
    #[error("the ground could not {what}: {reason}")]
    Failed {
        /// What was asked.
        what: String,
        /// What happened.
        reason: String,
    },
}

/// What a ground may be able to do. Asked at plan time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// Delay, lose, double, reorder, corrupt, slow, hold and cut packets of single links from outside the nodes.
    Links,
    /// Cut a node's power and switch it on again; what was not synced is lost.
    Power,
    /// Stop a whole node, its kernel or all its processes, and let it go on.
    Freeze,
    /// Take away the disk that holds a database's data, with all that was not synced, and bring it back.
    DataDisk,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ability::Links => "shape single links from outside the nodes",
            Ability::Power => "cut a node's power",
            Ability::Freeze => "freeze a whole node",
            Ability::DataDisk => "take away the data disk of a node",
        })
    }
}

/// The folder of a node that is its data disk where the ground has [`Ability::DataDisk`]: databases keep there what
/// they must not lose. Elsewhere it is a plain folder.
pub const DATA_DISK: &str = "/var/lib/schism/data";

/// Something that a ground does. Doing it twice is doing it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GroundAction {
    /// Shapes links. Rules of another tag stay and add up (delays add, losses multiply, any cut cuts); those of this tag
    /// are replaced as a whole. The controller's links are never shaped.
    ShapeLinks {
        /// Whose rules.
        tag: String,
        /// The rules.
        links: Vec<LinkRule>,
    },
    /// Takes away the rules of a tag; what was held passes.
    ClearLinks {
        /// Whose rules.
        tag: String,
    },
    /// Cuts a node's power: its processes are gone at once, with everything that was not synced to a disk.
    CutPower {
        /// Which node.
        node: Node,
    },
    /// Switches a node on, if it is off, and waits until it can be logged in to.
    PowerOn {
        /// Which node.
        node: Node,
    },
    /// Restarts a node in an orderly way (what was written is synced) and waits until it can be logged in to.
    Reboot {
        /// Which node.
        node: Node,
    },
    /// Stops a node as a whole.
    Freeze {
        /// Which node.
        node: Node,
    },
    /// Lets a node go on.
    Thaw {
        /// Which node.
        node: Node,
    },
    /// The data disk of a node fails: every access gives an error, and what was not synced is lost.
    FailDataDisk {
        /// Which node.
        node: Node,
    },
    /// Brings the data disk back, with what was synced. Processes that hold files of it open must have ended.
    RestoreDataDisk {
        /// Which node.
        node: Node,
    },
}

impl GroundAction {
    /// The ability that it takes.
    pub fn ability(&self) -> Ability {
        match self {
            GroundAction::ShapeLinks { .. } | GroundAction::ClearLinks { .. } => Ability::Links,
            GroundAction::CutPower { .. } | GroundAction::PowerOn { .. } | GroundAction::Reboot { .. } => {
                Ability::Power
            }
            GroundAction::Freeze { .. } | GroundAction::Thaw { .. } => Ability::Freeze,
            GroundAction::FailDataDisk { .. } | GroundAction::RestoreDataDisk { .. } => Ability::DataDisk,
        }
    }
}

impl fmt::Display for GroundAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroundAction::ShapeLinks { tag, links } => write!(f, "shape {} links ({tag})", links.len()),
            GroundAction::ClearLinks { tag } => write!(f, "clear the links ({tag})"),
            GroundAction::CutPower { node } => write!(f, "cut the power of {node}"),
            GroundAction::PowerOn { node } => write!(f, "switch {node} on"),
            GroundAction::Reboot { node } => write!(f, "reboot {node}"),
            GroundAction::Freeze { node } => write!(f, "freeze {node}"),
            GroundAction::Thaw { node } => write!(f, "thaw {node}"),
            GroundAction::FailDataDisk { node } => write!(f, "fail the data disk of {node}"),
            GroundAction::RestoreDataDisk { node } => write!(f, "restore the data disk of {node}"),
        }
    }
}

/// An undo that the ground's keeper does by itself when nobody said for `lease_s` seconds of monotonic time that the
/// controller is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroundLease {
    /// `<run tag>-<fault id>`.
    pub name: String,
    /// The class of the fault.
    pub class: String,
    /// One line for a person.
    pub label: String,
    /// How long after the last sign of life.
    pub lease_s: u64,
    /// What is done then, in order.
    pub undo: Vec<GroundAction>,
}

/// What a ground is and can do.
#[async_trait]
pub trait Ground: Send + Sync {
    /// `namespaces`, `vms`, `machines`.
    fn name(&self) -> &'static str;

    /// The identity by which `heal` finds the ground again (a lab's id), if it has one.
    fn id(&self) -> Option<&str> {
        None
    }

    /// Whether it can do this here; asked before a run.
    ///
    /// # Errors
    /// [`GroundError::Unsupported`] with the reason.
    async fn can(&self, ability: Ability) -> Result<(), GroundError> {
        Err(GroundError::Unsupported {
            ground: self.name(),
            what: ability.to_string(),
            reason: "it can only be logged in to; use --lab namespaces or --lab vms".to_owned(),
        })
    }

    /// Does it, and waits until it is done. Answers what was measured, if anything (`{}` otherwise).
    ///
    /// # Errors
    /// See [`GroundError`].
    async fn act(&self, action: &GroundAction) -> Result<serde_json::Value, GroundError> {
        self.can(action.ability()).await.map(|()| serde_json::Value::Null)
    }

    /// Leaves an undo with the ground's keeper. Done before the harm.
    ///
    /// # Errors
    /// When the keeper does not take it; nothing may be harmed then.
    async fn arm(&self, lease: &GroundLease) -> Result<(), GroundError> {
        match lease.undo.first() {
            Some(action) => self.can(action.ability()).await,
            None => Ok(()),
        }
    }

    /// Forgets a lease, once its undo is done. Fine if there is none.
    ///
    /// # Errors
    /// When the keeper does not answer.
    async fn cancel(&self, _name: &str) -> Result<(), GroundError> {
        Ok(())
    }

    /// The leases that the keeper holds, with the seconds left of each.
    ///
    /// # Errors
    /// When the keeper does not answer.
    async fn leases(&self) -> Result<Vec<(GroundLease, i64)>, GroundError> {
        Ok(Vec::new())
    }

    /// A sign of life of the controller of this run (its tag): its leases count from now on again.
    ///
    /// # Errors
    /// When the keeper does not answer.
    async fn beat(&self, _run_tag: &str) -> Result<(), GroundError> {
        Ok(())
    }
}

/// Machines that we can only log in to.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoGround;

#[async_trait]
impl Ground for NoGround {
    fn name(&self) -> &'static str {
        "machines"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_and_back() {
        let node = Node::new("n1");
        let rule = LinkRule { from: node.clone(), to: Node::new("n2"), shape: crate::link::LinkShape::default() };
        for action in [
            GroundAction::ShapeLinks { tag: "t-1".to_owned(), links: vec![rule] },
            GroundAction::ClearLinks { tag: "t-1".to_owned() },
            GroundAction::CutPower { node: node.clone() },
            GroundAction::RestoreDataDisk { node },
        ] {
            let text = serde_json::to_string(&action).unwrap();
            assert_eq!(serde_json::from_str::<GroundAction>(&text).unwrap(), action, "{text}");
        }
    }
}
