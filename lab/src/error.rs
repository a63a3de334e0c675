//! Why a lab could not be made, found or entered.

use serde::{Deserialize, Serialize};

/// Why a lab could not be made, found or entered.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// Labs of machines need root.
    #[error(
        "a lab of virtual machines needs root: run it with sudo. Labs of namespaces are there for ordinary users with uid \
         maps, and machines of your own (--inventory) need no root here"
    )]
    NotRoot,
    /// This user is not root, and may not have a user namespace that is good enough.
    #[error(
        "making a lab needs root, or uid maps for this user, and here {missing}. With that there, or with sudo, try again; \
         `schism doctor` says what else is missing. Machines of your own (--inventory) need no root here"
    )]
    NoMaps {
        /// What is missing, each with what to do about it.
        missing: String,
    },
    /// A tool of this machine is missing.
    #[error("the command `{tool}` is not on this machine; install {package} (it starts no daemon)")]
    Tool {
        /// Which command.
        tool: &'static str,
        /// Which package has it.
        package: &'static str,
    },
    /// The wish is not one that can be fulfilled.
    #[error("the lab cannot be made: {what} is `{found}`, expected {expected}")]
    Spec {
        /// Which part.
        what: &'static str,
        /// What was given.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A step of bringing it up failed; everything was torn down again.
    #[error("the lab did not come up: {0}. Nothing of it is left")]
    Up(Failure),
    /// What machines are made of could not be had.
    #[error("a lab of virtual machines cannot be made here: {0}")]
    Image(Failure),
    /// A lab of that id lives already.
    #[error(
        "a lab `{id}` lives already (process {pid}); take it down with `schism lab down {id}` or choose another id"
    )]
    Exists {
        /// Its id.
        id: String,
        /// Its holder.
        pid: u32,
    },
    /// No lab of that id or run.
    #[error("no lab `{wanted}` lives on this machine; {}", living(.known))]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// Which there are.
        known: Vec<String>,
    },
    /// It ended meanwhile.
    #[error("the lab `{id}` is gone: its lease ran out or somebody took it down; make a new one with `schism lab up`")]
    Gone {
        /// Its id.
        id: String,
    },
    /// The lab has no such node.
    #[error("the lab `{id}` has no node `{node}`; it has {}", .known.join(", "))]
    NoSuchNode {
        /// The lab.
        id: String,
        /// What was asked for.
        node: String,
        /// Which there are.
        known: Vec<String>,
    },
    /// Something could not be done to a lab that lives.
    #[error("lab `{id}`: {what} failed: {reason}")]
    Failed {
        /// The lab.
        id: String,
        /// What was tried.
        what: &'static str,
        /// What happened.
        reason: String,
    },
    /// Namespaces belong to threads.
    #[error(
        "entering a lab from a process with {count} threads would move only one of them; enter before threads and \
         runtimes start"
    )]
    Threads {
        /// How many there are.
        count: usize,
    },
}

/// A step of bringing a lab up that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{step}{} failed: {reason}{}{hint}", .node.as_ref().map(|n| format!(" (node {n})")).unwrap_or_default(),
    if .hint.is_empty() { "" } else { ". " })]
pub struct Failure {
    /// What was tried.
    pub step: String,
    /// On which node, where it concerns one.
    pub node: Option<String>,
    /// What happened.
    pub reason: String,
    /// What to do next; empty where nobody can say.
    pub hint: String,
}

impl Failure {
    pub(crate) fn new(step: impl Into<String>, reason: impl ToString) -> Failure {
        // A failure travels as one line through a pipe, whole (below PIPE_BUF): no novels.
        let reason: String = reason.to_string().chars().take(1000).collect();
        Failure { step: step.into(), node: None, reason, hint: String::new() }
    }

    pub(crate) fn hint(mut self, hint: &str) -> Failure {
        self.hint = hint.to_owned();
        self
    }
}

/// Names the step of a result whose error tells only what happened.
pub(crate) trait Step<T> {
    fn step(self, step: &str) -> Result<T, Failure>;
}

impl<T, E: ToString> Step<T> for Result<T, E> {
    fn step(self, step: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(step, error))
    }
}

fn living(known: &[String]) -> String {
    if known.is_empty() { "none does".to_owned() } else { format!("there are: {}", known.join(", ")) }
}
