//! The waist [`Db`]: a database as schism sees it, and its further abilities, asked for before the run.

use async_trait::async_trait;
use schism_history::Node;
use serde::{Deserialize, Serialize};

use crate::cluster::{Cluster, NodeHandle};
use crate::remote::RemoteError;

/// Why a database did not do what it was told.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// The node did not obey.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// What is needed is not there.
    #[error("{what} is not there: {reason}. {hint}")]
    Missing {
        /// What is missing.
        what: String,
        /// How we know.
        reason: String,
        /// What to do next.
        hint: String,
    },
    /// It did not come up.
    #[error("{database} did not come up within {waited_ms} ms: {reason}. {hint}")]
    NotReady {
        /// Which database.
        database: String,
        /// How long we waited.
        waited_ms: u64,
        /// What was seen last, the end of its log included.
        reason: String,
        /// What to do next.
        hint: String,
    },
}

/// A process of a node, named so that no other can be meant: pid numbers are used again, pid and start time are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number on the node.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks since boot.
    pub start_ticks: u64,
}

/// A database. All calls are idempotent.
#[async_trait]
pub trait Db: Send + Sync {
    /// Its name (`etcd`).
    fn name(&self) -> &'static str;

    /// Brings the binary and the configuration to a node and starts it. Called for all nodes at once.
    ///
    /// # Errors
    /// See [`DbError`].
    async fn setup(&self, cluster: &Cluster, on: &NodeHandle) -> Result<(), DbError>;

    /// Waits until the whole cluster serves clients and its members agree (on a leader, say).
    ///
    /// # Errors
    /// [`DbError::NotReady`] with what was seen last.
    async fn await_ready(&self, cluster: &Cluster) -> Result<(), DbError>;

    /// Stops it and wipes its data from a node.
    ///
    /// # Errors
    /// See [`DbError`].
    async fn teardown(&self, cluster: &Cluster, on: &NodeHandle) -> Result<(), DbError>;

    /// What it says of its version, for the report.
    ///
    /// # Errors
    /// See [`DbError`].
    async fn version(&self, on: &NodeHandle) -> Result<String, DbError>;

    /// Whether it can be killed and started again.
    fn kill(&self) -> Option<&dyn Kill> {
        None
    }

    /// Whether it can be paused.
    fn pause(&self) -> Option<&dyn Pause> {
        None
    }

    /// Whether it has leaders that can be asked for.
    fn primaries(&self) -> Option<&dyn Primaries> {
        None
    }

    /// Whether its nodes play further roles that can be asked for.
    fn roles(&self) -> Option<&dyn Roles> {
        None
    }

    /// Whether it keeps logs worth collecting.
    fn log_files(&self) -> Option<&dyn LogFiles> {
        None
    }

    /// Whether the files that hold its data are known, so that disk faults can reach them.
    fn data_files(&self) -> Option<&dyn DataFiles> {
        None
    }

    /// Whether nodes can leave and join.
    fn membership(&self) -> Option<&dyn Membership> {
        None
    }
}

/// Finds, kills and starts a database's processes.
#[async_trait]
pub trait Kill: Send + Sync {
    /// The processes of the database on a node, children included; empty if it does not run.
    ///
    /// # Errors
    /// See [`DbError`].
    async fn processes(&self, on: &NodeHandle) -> Result<Vec<ProcessId>, DbError>;

    /// The shell script that starts it on this node if it does not run: self-contained, because it is the undo of a
    /// kill and stands in the ledger.
    fn start_script(&self, cluster: &Cluster, on: &NodeHandle) -> String;

    /// The shell script that prints the same processes on the node itself, `PID START` (decimal numbers) a line each,
    /// nothing where it does not run; ends with status 0. Self-contained: a fault that kills again and again without the
    /// controller stands on it. `None` where only the controller can tell.
    fn processes_script(&self, _on: &NodeHandle) -> Option<String> {
        None
    }
}

/// Marks a database whose processes may be stopped and continued (found through [`Kill::processes`]).
#[async_trait]
pub trait Pause: Send + Sync {
    /// The processes to stop on a node.
    ///
    /// # Errors
    /// See [`DbError`].
    async fn processes(&self, on: &NodeHandle) -> Result<Vec<ProcessId>, DbError>;
}

/// Tells who leads.
#[async_trait]
pub trait Primaries: Send + Sync {
    /// Nodes that believe themselves leaders now; empty if none is known. Must answer in a second or so even when
    /// parts of the cluster do not.
    async fn primaries(&self, cluster: &Cluster) -> Vec<Node>;
}

/// Names the logs.
pub trait LogFiles: Send + Sync {
    /// Paths on the node, and the name each gets in the run folder.
    fn log_files(&self, on: &NodeHandle) -> Vec<(String, String)>;
}

/// Tells who plays which role, beside leading: `{"learner": [n4], "zone-a": [n1, n2]}`.
#[async_trait]
pub trait Roles: Send + Sync {
    /// Names of the roles that there are, known without asking a node.
    fn names(&self) -> Vec<String>;

    /// Who plays which now; a role that nobody plays may be missing. Must answer in a second or so even when parts of
    /// the cluster do not.
    async fn roles(&self, cluster: &Cluster) -> std::collections::BTreeMap<String, Vec<Node>>;
}

/// Names the files that hold a database's data, for disk faults.
pub trait DataFiles: Send + Sync {
    /// The folder on the node that holds everything that it must not lose. Where the ground gives nodes a data disk
    /// it lies there ([`crate::DATA_DISK`]).
    fn data_dir(&self, on: &NodeHandle) -> String;

    /// Patterns (of the shell, below that folder) of files whose content may be harmed, the most telling first:
    /// `member/wal/*.wal`.
    fn patterns(&self) -> Vec<&'static str>;

    /// The shell script that rebuilds a node whose data was harmed beyond what the database repairs: wipes it and brings
    /// it back from the others. Self-contained, as it stands in the ledger. `None` where the database knows no way.
    fn rebuild_script(&self, cluster: &Cluster, on: &NodeHandle) -> Option<String>;
}

/// Lets nodes leave the cluster and join it again.
#[async_trait]
pub trait Membership: Send + Sync {
    /// The nodes that are members now, as a majority of those that answer say: those that have a vote and have started, so
    /// that one which was only announced does not count.
    ///
    /// # Errors
    /// See [`DbError`].
    async fn members(&self, cluster: &Cluster) -> Result<Vec<Node>, DbError>;

    /// Removes a member, through any other; its process is stopped and its data wiped.
    ///
    /// # Errors
    /// See [`DbError`]; the member may then be removed or not.
    async fn remove(&self, cluster: &Cluster, node: &Node) -> Result<(), DbError>;

    /// The shell script, to be run on `through` (another node), and the one to be run on the node itself, that together make
    /// it a fresh member again: self-contained and doing nothing where it is one, as they stand in the ledger. Both are
    /// begun at once, so the second waits for what it needs of the first; the first is empty where the node alone does it.
    fn rejoin_scripts(&self, cluster: &Cluster, node: &Node, through: &Node) -> (String, String);
}
