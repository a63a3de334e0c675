//! What an algorithm for a special kind of history answers.

use schism_history::OpIndex;

/// An answer without a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// There is an order.
    Good {
        /// The algorithm that says so.
        algorithm: &'static str,
    },
    /// There is none.
    Bad {
        /// The algorithm that says so.
        algorithm: &'static str,
        /// A completion at which it shows.
        at: OpIndex,
        /// The operations that exclude each other, where the algorithm names them.
        certificate: Option<Certificate>,
    },
    /// It is no history of that kind: why not.
    Unfit(&'static str),
}

/// The few operations that exclude each other, and how. With the operations of the whole history that are about the same
/// values, they have no order; without the other operations in between they tell why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Which pattern of contradiction it is (`two-forward-zones`), for words elsewhere.
    pub pattern: &'static str,
    /// Places of the operations among those that were judged, in the order in which the pattern names them.
    pub places: Vec<u32>,
}

/// The patterns of contradiction that certificates of registers name, with how many operations each has at least; whoever
/// observed what one in doubt left may stand behind these.
pub const PATTERNS: &[(&str, usize)] = &[
    // A value was observed that nothing wrote.
    ("value-never-written", 1),
    // An operation ended before what it depends on began: observer, writer.
    ("ended-before-its-write", 2),
    // Compare-and-sets put values into an order, and an operation that needs a later one of these had ended before one
    // that needs an earlier one began: the first, the second.
    ("chain-out-of-order", 2),
    // Two compare-and-sets took the same value away.
    ("two-cas-from-one-value", 2),
    // Each compare-and-set needs what the one before it left, and the first what the last one left.
    ("cycle-of-cas", 2),
    // The value before the first operation was observed after something else was.
    ("initial-value-returned", 2),
    // Of two values each stood at some moment before and at some moment after the other: of the first value what ended first
    // and what began last, then of the second.
    ("two-forward-zones", 3),
    // While one value stood for sure, another one was written and observed: as above, the inner one last.
    ("backward-zone-inside", 3),
];

/// The same of registers whose values return, and of all other models.
pub const PATTERNS_OF_OTHERS: &[(&str, usize)] = &[
    ("overwritten-value", 1),
    ("value-of-nobody", 1),
    // Queues, bags, stacks, priority queues.
    ("out-of-nothing", 1),
    ("out-before-in", 2),
    ("out-too-often", 2),
    ("never-empty", 1),
    ("overtaken", 2),
    ("greater-inside", 2),
    ("popped-from-below", 2),
    ("entangled", 2),
    ("more-lost-than-removals-in-doubt", 1),
    // Locks and semaphores; the operation that could not be placed is the last one.
    ("acquired-while-held", 1),
    ("released-while-free", 1),
    ("refused-while-held", 1),
    ("refused-while-free", 1),
    ("holds-overlap", 2),
    ("acquired-twice", 2),
    ("released-without-hold", 1),
    ("holder-was-refused", 1),
    ("holder-could-not-release", 1),
    ("token-did-not-grow", 2),
    // Sets; of an element, and of whole reads.
    ("element-not-there", 1),
    ("element-still-there", 1),
    ("reads-disagree", 2),
    ("never-added", 1),
    ("addition-lost", 2),
    ("added-in-another-order", 2),
    ("read-before", 2),
    // Counters.
    ("no-such-total", 1),
    ("total-too-low", 1),
    ("total-too-high", 1),
    ("two-from-one-value", 2),
    ("value-stepped-over", 2),
    ("answered-out-of-order", 2),
    ("value-never-reached", 1),
];
