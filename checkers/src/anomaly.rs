//! Anomalies and their witnesses: data that a few lines of code can verify again. Words and drawings are made of them
//! elsewhere.

use schism_history::OpIndex;
use serde::{Deserialize, Serialize};

/// Makes the kinds and the list of all of them at once, so that none can be left out of it.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $about:literal;)*) => {
        /// A kind of anomaly that a checker finds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum AnomalyKind {
            $($(#[$doc])* $kind,)*
        }

        impl AnomalyKind {
            /// All of them.
            pub const ALL: &'static [AnomalyKind] = &[$(AnomalyKind::$kind),*];

            /// Its name in the field's terms.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(AnomalyKind::$kind => $name,)*
                }
            }

            /// One line for a person.
            pub fn about(self) -> &'static str {
                match self {
                    $(AnomalyKind::$kind => $about,)*
                }
            }
        }
    };
}

kinds! {
    /// See [`Witness::Nonlinearizable`].
    Nonlinearizable = "nonlinearizable", "no order of the operations explains what they answered";
    /// See [`Witness::Nonsequential`].
    Nonsequential = "nonsequential", "no order that keeps each process's own explains what the operations answered";
    /// See [`Witness::ReplicasDisagree`].
    ReplicasDisagree = "replicas-disagree", "two members hold different things for good";
}

impl Anomaly {
    /// Of this kind. Checkers make anomalies by this alone.
    pub fn new(kind: AnomalyKind, key: Option<String>, witness: Witness) -> Anomaly {
        Anomaly { kind: kind.as_str().to_owned(), key, witness }
    }
}

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Its name in the field's terms (`nonlinearizable`, `G-single`); of [`AnomalyKind`], or of another version of schism.
    #[serde(rename = "type")]
    pub kind: String,
    /// The independent key, as text, where the history has keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The proof.
    pub witness: Witness,
}

/// A proof. Operations are named by the index of their invocation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "witness", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Witness {
    /// These operations, alone, have no order that explains them.
    Nonlinearizable {
        /// `register`, `cas-register`.
        model: String,
        /// State before the first operation, as text.
        initial: String,
        /// The smallest set found, in order of invocation: without any one of them the rest is linearizable.
        operations: Vec<OpIndex>,
        /// Where it is there: these are the operations up to this event, and what had not ended then is in doubt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<OpIndex>,
        /// The few operations that exclude each other, where the algorithm that decided names them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exclusion: Option<Exclusion>,
        /// Whether that was proven (it is not where the budget ended first).
        smallest: bool,
        /// The operation that could not be placed, of `operations`.
        blocked: OpIndex,
        /// Longest orders of `operations` that are legal so far, each with the states along it and why the next
        /// operations are illegal. None where the operations are too many to walk their orders (many thousands).
        paths: Vec<Path>,
        /// The event at which the whole history of this key stopped being linearizable; where the budget ended first,
        /// one not before that.
        failed_at: OpIndex,
        /// How many operations the key's history has.
        operations_count: u64,
    },
    /// These operations have no order that keeps the order of each process, although all that may have left what they
    /// observed are among them.
    Nonsequential {
        /// The model.
        model: String,
        /// The smallest set found, in order of invocation.
        operations: Vec<OpIndex>,
        /// Whether it was proven that none can be left out.
        smallest: bool,
        /// How many operations were judged together.
        operations_count: u64,
    },
    /// Two members hold different things for good: one of them answered the same before and after the other, which had
    /// caught up, answered something else.
    ReplicasDisagree {
        /// The reads of replicas: the first and the last of one member, the one in the middle of the other.
        operations: Vec<OpIndex>,
        /// For each node that was asked, what its last answer was, as text.
        answers: Vec<(String, String)>,
    },
}

/// Operations that exclude each other, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exclusion {
    /// The pattern of contradiction, by name (`two-forward-zones`).
    pub pattern: String,
    /// The operations, in the order in which the pattern names them.
    pub operations: Vec<OpIndex>,
}

/// A legal order of some operations, and why none of the others can follow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// What was placed, in order, with the state after it.
    pub placed: Vec<Placed>,
    /// What could not be placed next, and why.
    pub illegal: Vec<Illegal>,
}

/// An operation placed, and the state after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// The operation.
    pub operation: OpIndex,
    /// The state after it, as text.
    pub state: String,
}

/// An operation that cannot be next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Illegal {
    /// The operation.
    pub operation: OpIndex,
    /// Why.
    pub because: Because,
}

/// Why an operation cannot be next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Because {
    /// The state is not what it observed.
    State {
        /// The state, as text.
        state: String,
        /// What it observed, as text.
        observed: String,
    },
    /// Another operation had ended before it began, and is not placed yet.
    RealTime {
        /// That other operation.
        after: OpIndex,
    },
}
