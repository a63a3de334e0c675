//! Named ways to break the weak levels, for tests alone; see [`crate::linear`]'s.

use crate::linear::mutant::Mutation as Of;

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Mutant {
    /// Only writers before the one that was read are looked at.
    NewerIgnored,
    /// What is seen before the initial state was read says nothing.
    InitialForgotten,
    /// Any unit that was read counts for read committed, also one that was read later.
    OrderOfReadsIgnored,
    /// For read atomic the session does not count.
    SessionNotVisible,
    /// Orders that lead forward are never kept.
    ForwardForgotten,
    /// A chain goes on with any session.
    ChainsMerged,
    /// A horizon is where all but one chain was seen.
    HorizonTooHigh,
    /// Rows are not joined.
    NotJoined,
    /// Chains are cut back behind what somebody has seen.
    CutTooFar,
    /// What was cut off a chain is taken for seen by who sees what came in its place.
    CutStillSeen,
    /// Chains are never cut, nor emptied: no defect, but what they are compared with.
    NeverCut,
    /// Who may ask about a writer: nobody.
    NobodyAsks,
    /// Who may ask about a writer: not those who read what came soon after it.
    NearForgotten,
    /// Guarantees of sessions: all operations are compared with all. No defect, but what components are compared with.
    EverythingCompared,
    /// Windows of sessions: who read what is on a cycle does not belong to it.
    ReadersOutside,
    /// Windows of sessions: reads of the initial state need none.
    InitialOutside,
    /// What is forced without sessions is found by clocks: no defect, but what rows of bits are compared with.
    AloneByClocks,
    /// Without sessions no order that points forward is found.
    AloneForwardForgotten,
    /// Without sessions only those count as seen that were read at once.
    AloneNotJoined,
    /// Without sessions whatever points back with them does so.
    AloneBackAssumed,
    /// Guarantees of sessions: reads of own writes are left out.
    OwnReadsPassed,
    /// Guarantees of sessions: writes that their own transaction wrote over are left out.
    OverwrittenPassed,
    /// Read your writes: nothing is seen of what the session wrote.
    OwnUnseen,
    /// Monotonic reads: only reads of the same transaction count.
    ReadsOfTransactionOnly,
    /// Monotonic writes: the order of a session's writes is not kept.
    WritesUnordered,
    /// Monotonic writes: what was read earlier in the transaction does not count.
    WritesUnseen,
    /// Writes follow reads: what the writer had read is not seen.
    ReadsNotFollowed,
    /// Writes follow reads: a write is not ordered after what its session had read.
    ReadsUnordered,
    /// Known orders of versions say nothing.
    VersionsForgotten,
    /// Writers whom no list has are not after all others.
    LateForgotten,
    /// Behind own appends, these count as seen by what was read of others.
    OwnAppendsSeen,
    /// What one in doubt wrote happened if it would be the last version, read or not.
    LastHappened,
    /// All observers must agree.
    ObserversAgree,
    /// Ranks do not follow reads.
    ReadsUnranked,
    /// Ranks do not follow sessions.
    SessionsUnranked,
    /// Ranks that follow versions do not follow reads.
    ReadsUnrankedAgain,
    /// Ranks that follow versions do not follow sessions.
    SessionsUnrankedAgain,
    /// Of those that follow each other in a circle the order of sessions points back.
    CirclesTurned,
    /// It is not told that some read from what follows them.
    CirclesUntold,
    /// Those in a circle have not seen each other.
    CircleUnseen,
    /// What is done already counts as open, so that a circle takes in what leads to it.
    DoneStaysOpen,
    /// Versions whose order points back span no window.
    VersionsSpanNothing,
    /// Guarantees of sessions: circles, and versions whose order points back, span no window.
    BackSpansNothing,
    /// Guarantees of sessions: that observers agree is not looked at where they are many.
    AgreementAssumed,
    /// Guarantees of sessions: orders of transactions that point back say nothing about where to look.
    BackUnwatched,
    /// Guarantees of sessions: the last read of what an order that points back spans is not looked at.
    WindowsEndEarly,
    /// Windows that share a unit are not joined.
    WindowsApart,
    /// One in doubt follows nobody in its session.
    DoubtFirst,
}

/// Which is chosen.
pub(crate) type Mutation = Of<Mutant>;
