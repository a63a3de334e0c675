//! Named ways to break the solver, for tests alone: the suite must notice each of them. In a build without tests the
//! questions compile to `false`.

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(super) enum Mutant {
    /// Reads of a transaction that was moved are not looked at again.
    MovedReadsForgotten,
    /// Snapshot isolation: writers of a key may overlap.
    WritersOverlap,
    /// Readers that stand apart are not looked at.
    PrivateReadersFree,
    /// A reader that stands apart is never looked at again.
    ChangesForgotten,
    /// The initial version is never written over.
    InitialForgotten,
    /// A transaction in doubt that nobody is certain to have read is left out, although somebody may have.
    DoubtLeftOut,
    /// Of several writers of a value the first is taken.
    FirstWriter,
    /// A transaction in doubt precedes what began after it.
    DoubtEnds,
    /// The order of processes is not kept.
    ProcessForgotten,
    /// A barrier is not after the one before it.
    BarriersApart,
    /// Orders of versions that are known are not kept.
    VersionsForgotten,
    /// Steps between versions that are known are not kept.
    KnownForgotten,
    /// A learned clause leaves out a literal.
    ClauseTooShort,
    /// What follows from a way with decisions in it is taken for certain.
    DecisionsCertain,
    /// A write over what was read need not come after the read.
    OverwriteForgotten,
}

crate::txn::mutant::chosen_for_a_thread!(pub(super));
