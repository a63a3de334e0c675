//! Named ways to break the rules of containers, for tests alone.

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Mutant {
    /// A value may come out before it was put in.
    OutBeforeIn,
    /// A value may come out twice.
    OutTwice,
    /// A put in doubt has happened at its invocation.
    DoubtEndsAtOnce,
    /// A removal in doubt of known result never happened.
    PendingNever,
    /// A removal in doubt of known result has happened by its invocation.
    PendingSure,
    /// Values that come again are paired in any order.
    RepeatsAnyOrder,
    /// Values may have gone to somebody in doubt although the same value comes again.
    RepeatsWithTakers,
    /// Where it was guessed which of equal values came out, a contradiction is one.
    GuessTrusted,
    /// Answers "empty" are not looked at.
    EmptiesIgnored,
    /// A moment counts as covered only if one single item covers all of the answer "empty".
    CoverNotMerged,
    /// An item is surely inside until its removal has ended.
    InsideTooLong,
    /// An item is surely inside since its put began.
    InsideTooEarly,
    /// Removals of unknown result took nothing.
    TakersIgnored,
    /// One removal of unknown result may take any number of items.
    TakersUnlimited,
    /// A removal of unknown result may take something before it began.
    TakersEarly,
    /// The items that are due last go first to removals of unknown result.
    TakersLatestFirst,
    /// Queue: items may overtake.
    Overtaken,
    /// Queue: what never came out may be overtaken.
    LostOvertaken,
    /// Queue: overtaken already if the removals overlap.
    OvertakenTooEager,
    /// Priority queue: a removal may find its value before it was put in.
    FoundTooEarly,
    /// Priority queue: greater values do not matter.
    GreaterIgnored,
    /// Priority queue: a removal must be legal at its invocation.
    AtInvocationOnly,
    /// Stack: only the put of an item has to find a moment at which nothing else is surely inside.
    PutAlone,
    /// Stack: only the removal has to.
    GotAlone,
    /// Stack: items that were removed still stand in the way.
    PeeledStay,
    /// Stack: whatever is found inside at a moment is alone there.
    CountIgnored,
    /// Stack: what never came out has no removal to find a moment for.
    LastCellCovered,
}
