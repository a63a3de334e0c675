//! Named ways to break the search of unfolded graphs, for tests alone.

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Mutant {
    /// Whom a transaction saw after a read counts as seen before it.
    LaterSeen,
    /// Only what was read counts as seen, not what was written over.
    WritesUnseen,
    /// Dependencies beyond the nearest are not followed.
    OneStep,
    /// Of reads of the initial version nothing is said.
    InitialForgotten,
    /// What came between is not looked for where the version that was read has an immediate successor.
    NextIsEnough,
    /// Who was seen by reading is not visible to update atomicity.
    ReadNotVisible,
    /// Who was written over is not visible to update atomicity.
    OverwrittenNotVisible,
    /// Cycles with several anti-dependencies are not looked for.
    OneAntiDependency,
    /// A cycle may leave a transaction by a read before the one by which it came.
    LeavesEarlier,
    /// An order of versions that is not known is taken for one that says nothing.
    UnknownForgotten,
    /// The first cycle that is found is taken for the shortest.
    FirstIsShortest,
    /// Dependencies between writers that are given beside are not taken.
    GivenForgotten,
}
