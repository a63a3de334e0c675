//! One event of a history.

use std::fmt;
use std::sync::Arc;

use crate::value::{Key, Value};

/// The place of an event in its history: dense, from 0, and the order of real time.
pub type OpIndex = u32;

/// What an event says of its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The operation was asked for.
    Invoke,
    /// It took effect.
    Ok,
    /// It certainly did not take effect.
    Fail,
    /// Nobody knows; it may take effect at any later time.
    Info,
}

impl Kind {
    /// The name in histories.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Invoke => "invoke",
            Kind::Ok => "ok",
            Kind::Fail => "fail",
            Kind::Info => "info",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Kind> {
        Some(match name {
            "invoke" => Kind::Invoke,
            "ok" => Kind::Ok,
            "fail" => Kind::Fail,
            "info" => Kind::Info,
            _ => return None,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who acts: a logical, single-threaded client, or the nemesis in one of its classes of fault.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Process {
    /// A client process. Retired for ever once one of its operations ends in doubt.
    Client(u32),
    /// `nemesis/<class>`; an empty class is the plain `nemesis` of Jepsen's histories.
    Nemesis(Arc<str>),
}

impl Process {
    /// The nemesis of one class of fault.
    pub fn nemesis(class: &str) -> Process {
        Process::Nemesis(Arc::from(class))
    }

    /// Whether it is the plain `nemesis` of Jepsen's histories.
    pub fn is_plain_nemesis(&self) -> bool {
        matches!(self, Process::Nemesis(class) if class.is_empty())
    }

    /// The process of that name: a number below 2^32, `nemesis`, or `nemesis/<class>`.
    pub fn parse(name: &str) -> Option<Process> {
        match name.strip_prefix("nemesis") {
            Some("") => Some(Process::nemesis("")),
            Some(rest) => rest.strip_prefix('/').filter(|class| !class.is_empty()).map(Process::nemesis),
            None if name.bytes().all(|byte| byte.is_ascii_digit()) => name.parse().ok().map(Process::Client),
            None => None,
        }
    }

    /// The number of a client process.
    pub fn client(&self) -> Option<u32> {
        match self {
            Process::Client(number) => Some(*number),
            Process::Nemesis(_) => None,
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Process::Client(number) => write!(f, "{number}"),
            Process::Nemesis(class) if class.is_empty() => f.write_str("nemesis"),
            Process::Nemesis(class) => write!(f, "nemesis/{class}"),
        }
    }
}

/// The function of an operation. The field's common names cost nothing to copy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum F {
    /// `read`
    Read,
    /// `write`
    Write,
    /// `cas`: compare and set, `[old, new]`
    Cas,
    /// `txn`: a transaction of micro-operations
    Txn,
    /// `append`
    Append,
    /// `add`
    Add,
    /// `inject`: the nemesis does harm
    Inject,
    /// `heal`: the nemesis undoes harm
    Heal,
    /// Any other name.
    Other(Arc<str>),
}

/// The function of a read that tells what the member that is asked itself holds, once it has caught up with the others:
/// its answer is about one copy, not about the object, so models of objects do not judge it.
pub const REPLICA_READ: &str = "replica-read";

impl F {
    /// The function of that name.
    pub fn parse(name: &str) -> F {
        F::common(name).unwrap_or_else(|| F::Other(Arc::from(name)))
    }

    /// The common function of that name, if it is one.
    pub(crate) fn common(name: &str) -> Option<F> {
        Some(match name {
            "read" => F::Read,
            "write" => F::Write,
            "cas" => F::Cas,
            "txn" => F::Txn,
            "append" => F::Append,
            "add" => F::Add,
            "inject" => F::Inject,
            "heal" => F::Heal,
            _ => return None,
        })
    }

    /// The name in histories.
    pub fn as_str(&self) -> &str {
        match self {
            F::Read => "read",
            F::Write => "write",
            F::Cas => "cas",
            F::Txn => "txn",
            F::Append => "append",
            F::Add => "add",
            F::Inject => "inject",
            F::Heal => "heal",
            F::Other(name) => name,
        }
    }
}

impl fmt::Display for F {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Node(Arc<str>);

impl Node {
    /// The node of that name.
    pub fn new(name: &str) -> Node {
        Node(Arc::from(name))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Named values, in the order of the text.
pub type Fields = Vec<(Arc<str>, Value)>;

/// One event: an invocation or a completion, as a row. A [`crate::History`] keeps them as columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// Place in the history; given by the one sequencer that records events.
    pub index: OpIndex,
    /// Nanoseconds since the start of the run, monotonic.
    pub time_ns: u64,
    /// Who.
    pub process: Process,
    /// Invocation or which completion.
    pub kind: Kind,
    /// Which function.
    pub f: F,
    /// The independent key, where the workload has keys.
    pub key: Option<Key>,
    /// Argument of an invocation, result of a completion.
    pub value: Value,
    /// The node the client was speaking to.
    pub node: Option<Node>,
    /// `Some(false)` on an `ok` compare-and-set that answered "no match".
    pub matched: Option<bool>,
    /// Joins the four events of one fault (inject and heal, each invoked and completed).
    pub fault_id: Option<u32>,
    /// The client session, where it outlives a connection or a process.
    pub session: Option<u32>,
    /// Why a completion is `fail` or `info`: `["timeout", {"ms": 5000}]`.
    pub error: Option<Box<Value>>,
    /// Fields of imported histories that schism has no name for, kept for the way out.
    pub extra: Option<Box<Fields>>,
}

impl Op {
    /// An event with nothing but the necessary.
    pub fn new(process: Process, kind: Kind, f: F, value: Value) -> Op {
        Op {
            index: 0,
            time_ns: 0,
            process,
            kind,
            f,
            key: None,
            value,
            node: None,
            matched: None,
            fault_id: None,
            session: None,
            error: None,
            extra: None,
        }
    }
}
