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
    /// What was appended and never read has no place.
    UnreadForgotten,
    /// The order of a key is that of the longest list in the history, whoever read it.
    LengthOfAnybody,
    /// Elements of failed transactions have no special part.
    FailedFits,
    /// An element may be read that its transaction has appended to since.
    IntermediateFits,
    /// A list may hold an element twice.
    RepeatedFits,
    /// An element that nobody appended may be read.
    GarbageFits,
    /// A read that is no prefix counts as one.
    DeviantFits,
    /// Only the next element after a failed one is looked at.
    DirtyNextOnly,
    /// A transaction is before itself.
    OwnEdges,
    /// Reads of own appends are reads from others.
    OwnIsExternal,
    /// Own appends are not taken off what was read behind them.
    OwnKept,
    /// So many elements as were appended before are taken off, whatever they are.
    OwnUncompared,
    /// Reads of own appends are not compared with them.
    InternalIdle,
    /// A session's own append may be missing.
    OwnMissedIdle,
    /// Two reads of a key in one transaction may differ.
    RepeatedReadIdle,
    /// Own elements that are read are never too early.
    FutureIdle,
    /// Own elements that were appended before the read are too early as well.
    FutureAnytime,
    /// Readers of the same version who append are not counted.
    LostUpdateIdle,
    /// One transaction that reads a version twice and appends has lost an update.
    LostUpdateAlone,
    /// Of several who appended an element the first is taken.
    FirstWriterTaken,
    /// What ends in an element of which nobody can say whose it is was read from nobody.
    TailsHide,
    /// Readers of the longest list are before nobody.
    LastReadersForgotten,
    /// Readers of nothing are before nobody.
    InitialForgotten,
    /// Appends of one transaction may stand in any order.
    OwnOrderIdle,
    /// What comes after a repeated element has its place too.
    OrderGoesOn,
}

/// Which one is chosen; none outside of tests.
pub(super) type Mutation = mutant::Mutation<Mutant>;
