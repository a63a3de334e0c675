//! Named ways to break this room, for tests alone (see [`crate::linear::mutant`]).

use crate::linear::mutant;

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(super) enum Mutant {
    /// An object was always there.
    BirthForgotten,
    /// An object that was there from the start may not have been there.
    InitForgotten,
    /// What is overwritten is the first version that may have been seen.
    OverwriteOfFirst,
    /// What was read is the last version that may have been seen.
    ReadOfLast,
    /// Versions in doubt that nobody saw cannot have been seen.
    MaybeForgotten,
    /// Transactions in doubt were never committed.
    DoubtNeverSeen,
    /// What a transaction read of its own says that others happened.
    OwnCounts,
    /// A value that several left says that all of them happened.
    AnyoneCounts,
    /// A read may see a later write of its own transaction.
    OwnIsSeen,
    /// What a transaction wrote itself is not looked at.
    OwnIdle,
    /// Versions with which the answer does not change are told as well.
    EveryVersionTold,
}

/// Which defect is chosen; none outside of tests.
pub(super) type Mutation = mutant::Mutation<Mutant>;
