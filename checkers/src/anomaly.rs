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

            /// The kind of that name; `None` if it is of another version of schism.
            pub fn parse(name: &str) -> Option<AnomalyKind> {
                AnomalyKind::ALL.iter().copied().find(|kind| kind.as_str() == name)
            }

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
    /// A cycle of ww (Adya).
    G0 = "G0", "a cycle of writes over writes (dirty write)";
    /// A cycle of ww (Adya), with the order of a process.
    G0Process = "G0-process", "a cycle of writes over writes (dirty write), with the order of a process";
    /// A cycle of ww (Adya), with the order of real time.
    G0Realtime = "G0-realtime", "a cycle of writes over writes (dirty write), with the order of real time";
    /// A read of what an aborted transaction wrote (Adya).
    G1a = "G1a", "a committed transaction read what an aborted one wrote";
    /// A read of a version that its transaction wrote over (Adya).
    G1b = "G1b", "a transaction read what another wrote only for a while";
    /// A cycle of ww and at least one wr (Adya).
    G1c = "G1c", "a cycle of writes over writes and reads of writes (circular information flow)";
    /// A cycle of ww and at least one wr (Adya), with the order of a process.
    G1cProcess = "G1c-process", "a cycle of writes over writes and reads of writes (circular information flow), with the order of a process";
    /// A cycle of ww and at least one wr (Adya), with the order of real time.
    G1cRealtime = "G1c-realtime", "a cycle of writes over writes and reads of writes (circular information flow), with the order of real time";
    /// A cycle with exactly one rw, none of a predicate.
    GSingleItem = "G-single-item", "a cycle with exactly one write over what was read (read skew)";
    /// A cycle with exactly one rw, none of a predicate, with the order of a process.
    GSingleItemProcess = "G-single-item-process", "a cycle with exactly one write over what was read (read skew), with the order of a process";
    /// A cycle with exactly one rw, none of a predicate, with the order of real time.
    GSingleItemRealtime = "G-single-item-realtime", "a cycle with exactly one write over what was read (read skew), with the order of real time";
    /// A cycle with exactly one rw.
    GSingle = "G-single", "a cycle with exactly one write over what was read, by predicate";
    /// A cycle with exactly one rw, with the order of a process.
    GSingleProcess = "G-single-process", "a cycle with exactly one write over what was read, by predicate, with the order of a process";
    /// A cycle with exactly one rw, with the order of real time.
    GSingleRealtime = "G-single-realtime", "a cycle with exactly one write over what was read, by predicate, with the order of real time";
    /// A cycle with two or more rw, none adjacent, none of a predicate.
    GNonadjacentItem = "G-nonadjacent-item", "a cycle with several writes over what was read, never two in a row (long fork among them)";
    /// A cycle with two or more rw, none adjacent, none of a predicate, with the order of a process.
    GNonadjacentItemProcess = "G-nonadjacent-item-process", "a cycle with several writes over what was read, never two in a row (long fork among them), with the order of a process";
    /// A cycle with two or more rw, none adjacent, none of a predicate, with the order of real time.
    GNonadjacentItemRealtime = "G-nonadjacent-item-realtime", "a cycle with several writes over what was read, never two in a row (long fork among them), with the order of real time";
    /// A cycle with two or more rw, none adjacent.
    GNonadjacent = "G-nonadjacent", "a cycle with several writes over what was read, never two in a row, by predicate";
    /// A cycle with two or more rw, none adjacent, with the order of a process.
    GNonadjacentProcess = "G-nonadjacent-process", "a cycle with several writes over what was read, never two in a row, by predicate, with the order of a process";
    /// A cycle with two or more rw, none adjacent, with the order of real time.
    GNonadjacentRealtime = "G-nonadjacent-realtime", "a cycle with several writes over what was read, never two in a row, by predicate, with the order of real time";
    /// A cycle with adjacent rw, none of a predicate.
    G2Item = "G2-item", "a cycle with two writes over what was read in a row (write skew among them)";
    /// A cycle with adjacent rw, none of a predicate, with the order of a process.
    G2ItemProcess = "G2-item-process", "a cycle with two writes over what was read in a row (write skew among them), with the order of a process";
    /// A cycle with adjacent rw, none of a predicate, with the order of real time.
    G2ItemRealtime = "G2-item-realtime", "a cycle with two writes over what was read in a row (write skew among them), with the order of real time";
    /// A cycle with adjacent rw.
    G2 = "G2", "a cycle with two writes over what was read in a row, by predicate";
    /// A cycle with adjacent rw, with the order of a process.
    G2Process = "G2-process", "a cycle with two writes over what was read in a row, by predicate, with the order of a process";
    /// A cycle with adjacent rw, with the order of real time.
    G2Realtime = "G2-realtime", "a cycle with two writes over what was read in a row, by predicate, with the order of real time";
    /// A read that contradicts its own transaction.
    Internal = "internal", "a transaction did not read what it had written or read itself";
    /// A read of a later write of its own transaction.
    FutureRead = "future-read", "a transaction read what it wrote only later";
    /// A version of a committed transaction after one of an aborted.
    DirtyUpdate = "dirty-update", "a committed write lies over an aborted one";
    /// Two committed transactions read one version of a key and wrote the key.
    LostUpdate = "lost-update", "two transactions read the same version and both wrote it";
    /// A cycle of one rw and of ww, all of one key (Adya, G-cursor).
    GCursor = "G-cursor", "a transaction read a key and wrote it, and somebody wrote it in between";
    /// Two writers of a key of which neither saw the other, or another break of update atomicity (Cerone et al.).
    NotUpdateAtomic = "not-update-atomic", "a transaction missed a write of somebody whom it had read from or written over";
    /// A cycle with one rw, which leaves a read that is not before what the cycle comes back to (Adya, G-monotonic).
    GMonotonic = "G-monotonic", "a transaction saw another, and then read something older than that, or than what that depends on";
    /// A cycle of reads' snapshots with several rw (Adya, G-MSR).
    GMsr = "G-MSR", "snapshots of single reads, none of which goes back within its transaction, have no order";
    /// A cycle of two rw between two transactions.
    WriteSkew = "write-skew", "two transactions each wrote over what the other had read";
    /// Two writers, two readers, each of which saw another writer alone.
    LongFork = "long-fork", "two readers saw two writes in opposite orders";
    /// A list that holds an element twice.
    DuplicateElements = "duplicate-elements", "an element is in a list more than once";
    /// Two reads of a list, of which neither is a prefix of the other.
    IncompatibleOrder = "incompatible-order", "two reads of a list, of which neither begins with the other";
    /// A cycle of versions of one key.
    CyclicVersions = "cyclic-versions", "the versions of a key have no order";
    /// A read of a value that nobody wrote.
    GarbageRead = "garbage-read", "a value was read that nobody wrote";
    /// A predicate's read that contradicts what its own transaction knows.
    PredicateReadMiss = "predicate-read-miss", "a predicate's read left out what it should have found";
    /// Two external reads of a key in one transaction differ.
    NonRepeatableRead = "non-repeatable-read", "a transaction read a key twice and saw two versions";
    /// Read committed by the axioms of Biswas and Enea is broken.
    NonMonotonicView = "non-monotonic-view", "a transaction saw a writer, and later something older than its writes";
    /// Read committed by the axioms of Biswas and Enea is broken, where only the order of a process makes it so.
    NonMonotonicViewProcess = "non-monotonic-view-process", "a transaction saw a writer, and later something older than its writes, with the order of a process";
    /// Read atomic by the axioms of Biswas and Enea is broken.
    FracturedRead = "fractured-read", "a transaction saw a part of another's writes";
    /// Read atomic by the axioms of Biswas and Enea is broken, where only the order of a process makes it so.
    FracturedReadProcess = "fractured-read-process", "a transaction did not see all of what another, or its own session, had written";
    /// Causal consistency by the axioms of Biswas and Enea is broken.
    StaleCausalRead = "stale-causal-read", "a transaction read something older than what it causally depends on";
    /// Causal consistency by the axioms of Biswas and Enea is broken, where only the order of a process makes it so.
    StaleCausalReadProcess = "stale-causal-read-process", "a transaction read something older than what it causally depends on, with the order of a process";
    /// Read your writes is broken.
    NotReadYourWrites = "not-read-your-writes", "a session did not see its own write";
    /// Monotonic reads is broken.
    NotMonotonicReads = "not-monotonic-reads", "a session saw something older than before";
    /// Monotonic writes is broken.
    NotMonotonicWrites = "not-monotonic-writes", "somebody saw a session's later write without its earlier one";
    /// Writes follow reads is broken.
    NotWritesFollowReads = "not-writes-follow-reads", "somebody saw a write without what its session had read before";
    /// PRAM as three guarantees of sessions is broken.
    NotPram = "not-pram", "read your writes, monotonic reads and monotonic writes do not hold together";
    /// Causal consistency as four guarantees of sessions is broken.
    NotCausal = "not-causal", "the four guarantees of sessions do not hold together";
    /// Pipelined RAM of single operations is broken (Lipton, Sandberg).
    NotPipelinedRam = "not-pipelined-ram", "a process has no order of all writes and its own reads that keeps the order of each process";
    /// Causal memory of single operations is broken (Ahamad et al.).
    NotCausalMemory = "not-causal-memory", "a process has no order of all writes and its own reads that keeps causality";
    /// Sequential consistency of single operations is broken.
    NotSequential = "not-sequential", "no order of the single operations keeps the order of each process";
    /// Linearizability of single operations is broken.
    NotLinearizable = "not-linearizable", "no order of a key's single operations keeps the order of real time";
    /// Prefix consistency is broken.
    NotPrefix = "not-prefix", "no commit order gives each transaction a prefix of it";
    /// Prefix consistency with sessions is broken.
    NotPrefixProcess = "not-prefix-process", "no such order keeps the order of each process";
    /// Parallel snapshot isolation is broken.
    NotParallelSnapshotIsolation = "not-parallel-snapshot-isolation", "causal consistency without lost updates is broken";
    /// Update serializability is broken.
    NotUpdateSerializable = "not-update-serializable", "no order of the updates explains them with each reader alone";
    /// Snapshot isolation is broken.
    NotSnapshotIsolation = "not-snapshot-isolation", "no commit order gives each transaction a snapshot and keeps writers of a key apart";
    /// Strong session snapshot isolation is broken.
    NotSnapshotIsolationProcess = "not-snapshot-isolation-process", "no such order keeps the order of each process";
    /// Strong snapshot isolation is broken.
    NotSnapshotIsolationRealtime = "not-snapshot-isolation-realtime", "no such order keeps the order of real time";
    /// Serializability is broken.
    NotSerializable = "not-serializable", "no order of the transactions explains what they read";
    /// Strong session serializability is broken.
    NotSerializableProcess = "not-serializable-process", "no such order keeps the order of each process";
    /// Strict serializability is broken.
    NotSerializableRealtime = "not-serializable-realtime", "no such order keeps the order of real time";
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
    /// Each transaction happened before the next, and the last before the first.
    Cycle {
        /// The transactions in order, each with why it was before the next.
        steps: Vec<Step>,
        /// Whether it was proven that no shorter cycle of this kind is there (among transactions that hang together).
        shortest: bool,
    },
    /// Micro-operations that contradict each other by themselves.
    Micros {
        /// Which ones, in the order in which the kind of anomaly names them.
        places: Vec<Place>,
        /// What should have been read, as text, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<String>,
        /// What was read or written, as text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<String>,
    },
    /// The transactions have no commit order that the level allows.
    NoCommitOrder {
        /// Transactions that alone have none, in order of invocation.
        transactions: Vec<OpIndex>,
        /// Whether it was proven that none can be left out.
        smallest: bool,
        /// How the contradiction follows: each line derives an order from those before it, the last two contradict each
        /// other. Empty where it was found by trying all orders.
        derivation: Vec<Derived>,
    },
    /// One process has no order of all writes and its own reads, in which each read returns the last write of its key, and which
    /// the level allows.
    NoProcessOrder {
        /// The client's process.
        process: u32,
        /// Transactions whose operations alone leave it none, in order of invocation.
        transactions: Vec<OpIndex>,
        /// Whether it was proven that none can be left out.
        smallest: bool,
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

/// A transaction of a cycle, and why it was before the next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The transaction, by its invocation.
    pub transaction: OpIndex,
    /// Why it was before the next one.
    pub because: Dependency,
}

/// Why a transaction was before another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Dependency {
    /// `ww`, `wr`, `rw`, `wwp`, `wrp`, `rwp`, `process`, `realtime`.
    pub kind: String,
    /// The key, as text, where it is one of data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The micro-operation of the earlier transaction that causes it, by its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_micro: Option<u32>,
    /// That of the later transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_micro: Option<u32>,
    /// What the earlier one wrote, or what it read (`nil` for nothing), as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What the later one wrote or read, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Where it rests on an order of versions that was inferred and not seen: because of what, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A micro-operation, and what part it plays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The transaction, by its invocation.
    pub transaction: OpIndex,
    /// The micro-operation's place in it.
    pub micro: u32,
    /// What part it plays.
    pub role: Role,
}

/// What part a micro-operation plays in an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Role {
    /// It read what shows the anomaly.
    Read,
    /// It read before, or elsewhere, what the other contradicts.
    OtherRead,
    /// It wrote what was read.
    Write,
    /// It wrote over that.
    OverWrite,
    /// It wrote what was read, in a transaction that failed.
    AbortedWrite,
}

/// An order that follows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Derived {
    /// The earlier transaction, by its invocation; `None` for the initial state.
    pub from: Option<OpIndex>,
    /// The later one.
    pub to: OpIndex,
    /// The key whose versions say so, as text; `None` for the order of a process or of real time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Why.
    pub rule: Rule,
    /// The other transaction that the rule speaks of (the reader, the writer that was read).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<OpIndex>,
    /// Earlier lines, by their place, that it rests on (the path that makes the one visible to the other).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rests_on: Vec<u32>,
}

/// How an order follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rule {
    /// `to` comes after `from` in its process.
    Process,
    /// `from` had ended before `to` began.
    Realtime,
    /// `to` read what `from` wrote.
    ReadsFrom,
    /// `other` read the key from `to`, and `from`, which wrote it too, was visible to `other`: so it came before.
    OverwrittenBefore,
    /// `from` read the key from `other`, and `to`, which wrote it too, came after `other`: so after the read.
    WrittenAfterRead,
    /// `to` wrote a later version of the key than `from`, as reads of the key show.
    Versions,
    /// The lines it rests on lead there, one after the other.
    Follows,
    /// It was tried the other way round, which leads to a contradiction.
    Otherwise,
    /// It is assumed, to show that it leads to a contradiction.
    Assumed,
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
