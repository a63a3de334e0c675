//! What is known of a run beside its history: what was asked for, which faults landed, when they were on.

use serde::{Deserialize, Serialize};

use crate::op::Node;

/// One fault from its injection to its healing, as the history and the ledger tell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultWindow {
    /// Joins it with the history's `fault_id` and the ledger.
    pub fault_id: u32,
    /// `partition`, `kill`, `pause`.
    pub class: String,
    /// One line for a person: `one node: n3 | n1 n2 n4 n5`.
    pub label: String,
    /// Nodes that were harmed.
    pub nodes: Vec<Node>,
    /// When the harm began (its invocation), nanoseconds since the start of the run.
    pub start_ns: u64,
    /// When it was proven to be on; `None`: never seen to take effect.
    pub landed_ns: Option<u64>,
    /// When healing began.
    pub heal_start_ns: Option<u64>,
    /// When it was proven gone; `None`: never seen to be gone.
    pub healed_ns: Option<u64>,
    /// What was measured when it was injected and when it was healed.
    pub evidence: Vec<serde_json::Value>,
}

/// Facts for checkers that judge the run itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct RunFacts {
    /// SHA-256 of the plan, in hexadecimal; empty for a history without a run.
    pub plan_digest: String,
    /// Classes of fault that were asked for.
    pub fault_classes_asked: Vec<String>,
    /// Every fault of the run.
    pub faults: Vec<FaultWindow>,
    /// Functions that the workload was to invoke (`read`, `write`, `cas`).
    pub functions_asked: Vec<String>,
    /// Whether the load was stopped before its time (Ctrl-C).
    pub interrupted: bool,
    /// How long the load ran, nanoseconds; 0 if unknown.
    pub load_ns: u64,
}
