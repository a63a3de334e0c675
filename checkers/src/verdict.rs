//! Verdicts: lists of anomalies and of gaps. Any anomaly: invalid. Else any gap: unknown. Else valid. Joining is
//! concatenation, so nothing is lost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::anomaly::Anomaly;

/// The three outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// There was something to judge, and no promise was broken.
    Valid,
    /// It cannot be said, for the reasons in the gaps.
    Unknown,
    /// A promise was broken, for which there are witnesses.
    Invalid,
}

/// Why a verdict is not known. Data; `reports` puts it into words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "gap", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Gap {
    /// No operation at all succeeded.
    NothingSucceeded,
    /// A function that the workload was to invoke never succeeded.
    FunctionNeverSucceeded {
        /// Which function.
        f: String,
        /// How often it was invoked.
        invoked_count: u64,
    },
    /// A class of fault that was asked for never landed.
    FaultNeverLanded {
        /// Which class.
        class: String,
        /// How often it was tried.
        tried_count: u64,
    },
    /// No operation succeeded while a class of fault was on.
    NoSuccessDuringFault {
        /// Which class.
        class: String,
    },
    /// No operation of this function succeeded after the last fault of a class was healed.
    NoSuccessAfterFault {
        /// Which class.
        class: String,
        /// Which function.
        f: String,
    },
    /// Too many operations ended in doubt.
    TooMuchDoubt {
        /// How many.
        info_count: u64,
        /// Of how many.
        count: u64,
        /// How many per cent are accepted.
        percent_max: u64,
    },
    /// The load ended before its time.
    Interrupted,
    /// A fault was never proven to be healed.
    FaultNotHealed {
        /// Which fault.
        fault_id: u32,
        /// Of which class.
        class: String,
    },
    /// A search went past its budget.
    BudgetSpent {
        /// The key it was searching, if the history has keys.
        key: Option<String>,
        /// Steps made.
        steps: u64,
        /// Steps allowed.
        steps_max: u64,
        /// Bytes held at the end; more than are allowed, if so many were asked for and that ended it.
        memory_bytes: u64,
        /// Bytes allowed.
        memory_bytes_max: u64,
        /// Events of the longest prefix that was proven good.
        prefix_events: u64,
        /// The most configurations (ways to explain what was seen so far) held at a time.
        #[serde(default)]
        configurations_peak: u64,
        /// The operation that was being placed, by its invocation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        placing: Option<u32>,
    },
    /// No key was read from two members, so that nothing could be compared.
    NothingToCompare {
        /// Nodes that answered.
        nodes: Vec<String>,
    },
    /// All that was asked has been answered, and it is not enough to say that a consistency model is kept.
    Undecided {
        /// The model.
        level: String,
        /// Why.
        reason: String,
    },
    /// A promise about real time, and a history that does not say when anything happened.
    NoRealtime {
        /// The consistency model.
        level: String,
    },
    /// An event that leaves open what was done, so that nothing was judged: that may explain whatever was read.
    Unclear {
        /// The event.
        index: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// An operation that the checker has no meaning for.
    Unsupported {
        /// The event.
        index: u32,
        /// What is wrong with it.
        reason: String,
    },
}

/// What one checker found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Finding {
    /// Broken promises that were asked about.
    pub anomalies: Vec<Anomaly>,
    /// Why the verdict is not known.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    /// Broken promises beyond what was asked.
    #[serde(default)]
    pub beyond: Vec<Anomaly>,
    /// Figures.
    #[serde(default)]
    pub stats: serde_json::Map<String, serde_json::Value>,
}

impl Finding {
    /// The outcome of this checker alone.
    pub fn outcome(&self) -> Outcome {
        if !self.anomalies.is_empty() {
            Outcome::Invalid
        } else if !self.gaps.is_empty() {
            Outcome::Unknown
        } else {
            Outcome::Valid
        }
    }
}

/// What all checkers found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    /// By checker's name.
    pub checkers: BTreeMap<String, Finding>,
}

impl Verdict {
    /// The outcome of all: invalid over unknown over valid. A verdict of no checker is unknown.
    pub fn outcome(&self) -> Outcome {
        let outcomes: Vec<Outcome> = self.checkers.values().map(Finding::outcome).collect();
        if outcomes.contains(&Outcome::Invalid) {
            Outcome::Invalid
        } else if outcomes.contains(&Outcome::Unknown) || outcomes.is_empty() {
            Outcome::Unknown
        } else {
            Outcome::Valid
        }
    }
}
