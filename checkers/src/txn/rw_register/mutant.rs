//! Named ways to break this room, for tests alone (see [`crate::linear::mutant`]).

use crate::linear::mutant;

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(super) enum Mutant {
    /// A transaction in doubt was never committed.
    DoubtNeverSeen,
    /// Every transaction in doubt was committed.
    DoubtAlwaysSeen,
    /// A value that was written over in its transaction may be read.
    IntermediateFits,
    /// A value of a failed transaction may be read.
    FailedFits,
    /// Of several writers of a value the first is taken.
    FirstWriterTaken,
    /// Nothing is nothing, even if somebody wrote it.
    NilAlwaysInitial,
    /// Reads of own writes are not looked at.
    InternalIdle,
    /// The initial state behind an own write is taken for somebody's.
    InitialBehindOwn,
    /// Reads of own writes are reads from others.
    OwnIsExternal,
    /// Two readers of one version are told apart by their writes' values.
    LostUpdateOfInitialForgotten,
    /// Readers of nothing come before no writer.
    InitialForgotten,
    /// A reader comes before its own write.
    OwnRw,
    /// All processes are one.
    SessionsMixed,
    /// What never ended, ended at once.
    DoubtEndsAtOnce,
    /// What is in doubt stands before what had ended before it began.
    TimeGoesBack,
    /// Only the first reader of a version is looked at.
    FirstReaderOnly,
    /// A source that contradicts itself is kept.
    CyclesKept,
}

/// Which defect is chosen; none outside of tests.
pub(super) type Mutation = mutant::Mutation<Mutant>;
