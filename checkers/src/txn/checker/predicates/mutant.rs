//! Named ways to break this room, for tests alone (see [`crate::linear::mutant`]).

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(super) enum Mutant {
    /// What those in doubt left, and nobody saw for certain, cannot have been read.
    MaybeNotRead,
    /// An object that is not there yet cannot have been read as not being there.
    InitialNotRead,
    /// What a predicate left out was not there.
    LeftOutIsNotThere,
    /// Behind a write of its own a read is still one of what others wrote.
    OwnNotSeen,
    /// The order of an object's versions is not kept.
    VersionsForgotten,
    /// Those in doubt of whom nobody knows whether they happened have a place in the order of versions.
    DoubtIsThere,
}

crate::txn::mutant::chosen_for_a_thread!(pub(super));
