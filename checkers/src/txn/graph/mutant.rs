//! Named ways to break the search of cycles, for tests alone.

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Mutant {
    /// Stretches are not merged: the last edge back wins.
    WindowsNotMerged,
    /// Transactions in doubt stand behind all others: right, but slow.
    DoubtAtTheEnd,
    /// The order of time is left out where components are found.
    ComponentsWithoutTime,
    /// Two anti-dependencies may meet inside a walk.
    AdjacentInside,
    /// Two anti-dependencies may meet where a walk closes.
    AdjacentAtEnd,
    /// The first cycle that is found is taken for the shortest.
    FirstIsShortest,
    /// A walk that visits a transaction twice is taken for a cycle.
    WalksAreCycles,
    /// Where no walk is a cycle nothing else is tried.
    NoSecondTry,
    /// The order of a process is used once a cycle.
    ProcessOnce,
    /// The order of real time is used once a cycle, always.
    RealtimeOnce,
    /// A vertex is left out once it was looked at, however shortly.
    DeadTooEarly,
    /// Classes that are implied are told too.
    ImpliedToo,
    /// A class with the order of real time is not looked for.
    NoRealtime,
    /// A class with the order of a process is not looked for.
    NoProcess,
    /// Of a cycle with one anti-dependency the rest may leave its component of writes and reads.
    TopologyReversed,
    /// A cycle without the anti-dependency that it must have counts.
    MustForgotten,
}
