//! Hands on the nodes: the waists [`Remote`], [`Ground`] and [`Db`], and what is common to all that touches a node.
//!
//! Knows SSH, shells, packages and probes; knows no database, no fault and no workload.

pub mod clock;
pub mod cluster;
pub mod daemon;
pub mod db;
pub mod ground;
pub mod inventory;
pub mod link;
pub mod packages;
pub mod probe;
pub mod process;
pub mod remote;
pub mod script;
pub mod shell;
pub mod ssh;
pub mod vagrant;

pub use cluster::{Cluster, NodeHandle};
pub use db::{DataFiles, Db, DbError, Kill, LogFiles, Membership, Pause, Primaries, ProcessId, Roles};
pub use ground::{Ability, DATA_DISK, Ground, GroundAction, GroundError, GroundLease, NoGround};
pub use link::{Distribution, LinkRule, LinkShape};
pub use remote::{Command, Output, Remote, RemoteError, User};
pub use ssh::{Auth, HostKeys, Secret, SshRemote, SshTarget, Sudo};
