//! Named ways to break the search, for tests alone: the suite must notice each of them. In a build without tests no
//! mutant can be chosen, and the questions compile to `false`.

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Mutant {
    /// Operations in doubt never happened.
    NoDoubt,
    /// Operations in doubt must have happened.
    DoubtMustHappen,
    /// An operation in doubt may happen only until the next completion.
    DoubtExpires,
    /// One more operation in doubt of each class than there is.
    ClassCountOffByOne,
    /// Of two configurations the one that used more is kept.
    AntichainReversed,
    /// Used operations in doubt are not counted.
    UsedNotCounted,
    /// An operation may be placed after its completion.
    RealTimeIgnored,
    /// A completion is taken before the invocations that stand before it.
    ReturnsEarly,
    /// A compare-and-set needs nothing.
    CasAlwaysMatches,
    /// A compare-and-set that answered "no match" tells nothing.
    MissTellsNothing,
    /// A compare-and-set that answered "no match" tells nothing once anything was written.
    RefusalsIdle,
    /// A state that nothing needs is taken for one that nothing refuses.
    DeadTooEager,
    /// Writes are placed as soon as they change nothing, as reads are.
    WritesGreedy,
    /// Reads are placed at once whether they are legal or not.
    ReadsAnything,
    /// Operations beyond the first two that are open share a bit.
    WindowOverflow,
    /// The bit of a completed operation stays for the next one in its place.
    SlotNotCleared,
    /// A state may be left only if nothing needs it any more, even if it can come again.
    DoomedTooEager,
    /// A pending block is placed although something in the future needs its value.
    AbsorbIgnoresFuture,
    /// A pending block is placed although a "no match" may need its value.
    AbsorbIgnoresMisses,
    /// Of two blocks the one that is due last stands first.
    BlocksLatestFirst,
    /// An operation in doubt is placed only where a read follows.
    DoubtOnlyForReads,
    /// Equal operations are placed the latest deadline first.
    LatestDeadlineFirst,
    /// Blocks: two forward zones may overlap.
    ForwardsOverlap,
    /// Blocks: a backward zone may lie inside a forward one.
    BackwardInside,
    /// Blocks: reads of a block may stand anywhere in it.
    InnerOrderIgnored,
    /// Blocks: compare-and-sets of a block may stand anywhere in it.
    InnerOrderOfCasIgnored,
    /// Blocks: reads of the first value are not looked at.
    InitialForgotten,
    /// Blocks: compare-and-sets may need each other's values.
    CyclesAllowed,
    /// Blocks: a value that was written twice is taken for the last of these.
    WritersUncounted,
    /// Blocks: "no match" never tells anything.
    MissesFit,
    /// Blocks: a value is written later for a "no match", whether those who observe it can wait or not.
    DelayUnchecked,
    /// Blocks: no write in doubt explains a "no match".
    SpareUnused,
    /// Blocks: no other zone is moved to explain a "no match".
    NothingMoved,
    /// Blocks: what a compare-and-set in doubt needed is not looked at further.
    DoubtNotFollowed,
}

/// Which mutant is chosen; none outside of tests. Each algorithm may have mutants of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mutation<M = Mutant> {
    #[cfg(test)]
    pub mutant: Option<M>,
    #[cfg(not(test))]
    none: std::marker::PhantomData<M>,
}

impl<M> Default for Mutation<M> {
    fn default() -> Mutation<M> {
        Mutation {
            #[cfg(test)]
            mutant: None,
            #[cfg(not(test))]
            none: std::marker::PhantomData,
        }
    }
}

impl<M: PartialEq> Mutation<M> {
    /// Whether that defect is wanted.
    #[cfg(test)]
    pub fn is(self, mutant: M) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether that defect is wanted: never.
    #[cfg(not(test))]
    #[inline(always)]
    pub fn is(self, _mutant: M) -> bool {
        false
    }
}
