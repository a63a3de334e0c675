//! The waist between schism and a database's interface.

use async_trait::async_trait;
use schism_generators::Invocation;
use schism_history::{Node, Process, Value};

/// How an operation ended. There is no `Result`: an `Err` would not say whether the write may exist.
#[derive(Debug, Clone, PartialEq)]
pub enum Completion {
    /// It took effect. `matched` is `Some(false)` for a compare-and-set that answered "no match".
    Ok {
        /// What was read, or the argument again.
        value: Value,
        /// Whether a compare-and-set matched; `None` for all else.
        matched: Option<bool>,
    },
    /// It certainly did not take effect (or has none: a read).
    Fail(Value),
    /// Nobody knows. Whoever cannot prove that nothing happened answers this.
    Info(Value),
}

impl Completion {
    /// It took effect, with this value.
    pub fn ok(value: Value) -> Completion {
        Completion::Ok { value, matched: None }
    }
}

/// Why a client could not be opened; nothing was sent, so the operation that needed it fails.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("no client for node {node}: {reason}")]
pub struct OpenError {
    /// Which node.
    pub node: Node,
    /// What happened.
    pub reason: String,
}

/// Opens clients.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Prepares what all clients need (tables, users); called once, when the database is ready.
    ///
    /// # Errors
    /// When the database does not answer.
    async fn prepare(&self) -> Result<(), OpenError> {
        Ok(())
    }

    /// A client of one process, pinned to one node.
    ///
    /// # Errors
    /// When no client can be made; nothing was sent.
    async fn open(&self, node: &Node, process: &Process) -> Result<Box<dyn Client>, OpenError>;
}

/// One process' connection to one node. Closing is dropping.
#[async_trait]
pub trait Client: Send {
    /// Does one operation and says how it ended. Its own time limit applies; it never retries, never follows redirects
    /// and never speaks to another node.
    async fn invoke(&mut self, operation: &Invocation) -> Completion;
}
