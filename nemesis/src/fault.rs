//! The waist [`Fault`].

use async_trait::async_trait;
use schism_cluster::{Cluster, Db, DbError, GroundAction, GroundError, RemoteError};
use schism_history::Node;
use serde::{Deserialize, Serialize};

/// How harm is undone, written to the ledger before the harm. A second process can do it from the ledger alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Undo {
    /// Run this script as root on that node; running it twice does no harm.
    OnNode {
        /// Where.
        node: Node,
        /// What.
        script: String,
    },
    /// Let the ground do this.
    OnGround {
        /// What.
        #[serde(flatten)]
        action: GroundAction,
    },
    /// Nothing brings it back.
    Irreversible {
        /// Why.
        reason: String,
    },
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Whether the measurement shows what it should (harm after injecting, none after healing).
    pub proven: bool,
    /// The measurement itself: `{"probes": [{"from": "n1", "to": "n2", "sent": 5, "received": 0}, ...]}`.
    pub measured: serde_json::Value,
}

/// Why a fault could not be injected, seen or healed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// A node did not obey.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The database did not obey.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The ground did not obey.
    #[error(transparent)]
    Ground(#[from] GroundError),
    /// There was nobody to harm.
    #[error("{class}: no target: {reason}")]
    NoTarget {
        /// Which class.
        class: String,
        /// Why not.
        reason: String,
    },
    /// The ledger could not be written, so nothing was harmed.
    #[error("the ledger {path} cannot be written: {reason}; nothing was harmed")]
    Ledger {
        /// Its path.
        path: String,
        /// What happened.
        reason: String,
    },
    /// The ledger could not be read.
    #[error("the ledger {path} cannot be read: {reason}. Heal from the nodes' leases instead")]
    LedgerUnread {
        /// Its path.
        path: String,
        /// What happened.
        reason: String,
    },
    /// The harm would reach what must not be harmed, or cannot be done here; nothing was harmed.
    #[error("{class} on node {node}: refused, nothing was harmed: {reason}. {hint}")]
    Refused {
        /// Which class.
        class: String,
        /// Where.
        node: Node,
        /// Why.
        reason: String,
        /// What to do next.
        hint: String,
    },
    /// What was asked of the nemesis makes no sense.
    #[error("{class}: this cannot be done: {reason}")]
    Intention {
        /// Which class.
        class: String,
        /// Why.
        reason: String,
    },
}

impl FaultError {
    /// One word for the kind of trouble, the first element of an operation's error.
    pub fn word(&self) -> &'static str {
        match self {
            FaultError::Remote(_) => "remote",
            FaultError::Db(_) => "db",
            FaultError::Ground(_) => "ground",
            FaultError::NoTarget { .. } => "no-target",
            FaultError::Ledger { .. } | FaultError::LedgerUnread { .. } => "ledger",
            FaultError::Refused { .. } => "refused",
            FaultError::Intention { .. } => "intention",
        }
    }
}

/// One harm, fully decided: concrete nodes, no chance left in it.
#[async_trait]
pub trait Fault: Send + Sync {
    /// Class (`partition`, `kill`, `pause`).
    fn class(&self) -> &'static str;

    /// One line for a person.
    fn label(&self) -> String;

    /// Nodes that it harms.
    fn nodes(&self) -> Vec<Node>;

    /// What it adds to the value of its operation in the history: the grudge, the processes.
    fn details(&self) -> serde_json::Map<String, serde_json::Value>;

    /// How it is undone, in this order: neighbouring undos on nodes run at once (one node's in order), then what the ground
    /// does, and so on. Asked, and written to the ledger, before [`Fault::inject`]. May look at the nodes (which
    /// processes are there), but changes nothing.
    ///
    /// # Errors
    /// When there is nobody to harm or a node does not answer.
    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError>;

    /// Does the harm.
    ///
    /// # Errors
    /// When a node did not obey; the harm may then be there in part, and is healed all the same.
    async fn inject(&self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError>;

    /// Measures whether the harm is there.
    ///
    /// # Errors
    /// When it cannot be measured.
    async fn verify_injected(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError>;

    /// Measures whether the harm is gone, after its undo was run.
    ///
    /// # Errors
    /// When it cannot be measured.
    async fn verify_healed(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError>;
}
