//! Named ways to break the question of conflicts, for tests alone; see [`crate::linear`]'s.

use crate::linear::mutant::Mutation as Of;

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(in crate::txn) enum Mutant {
    /// Nothing is asked of reads of keys that the reader wrote.
    OwnKeysFree,
    /// Cursor stability is asked of all reads.
    OtherKeysAsked,
    /// Update atomicity: every writer of the key counts.
    EveryoneVisible,
    /// Update atomicity: only those count whom the reader read something from.
    ReadFromOnly,
    /// Update atomicity: only those count with whom the reader wrote a key in common.
    SharedOnly,
    /// Update atomicity: of those whom the reader read from only those count that it had read from before.
    ReadBefore,
    /// Update atomicity: those count too whom somebody read from that the reader read from.
    Transitive,
    /// Update atomicity: only the first of the writers that count.
    FirstVisible,
    /// A made key was not written by the one who was read.
    ReadLeftOut,
    /// Known orders of versions say nothing.
    KnownForgotten,
    /// Known orders of versions point back.
    KnownTurned,
    /// Reads of the initial state say nothing.
    InitialForgotten,
    /// Whoever was read need not come before the reader where nothing is asked of the read.
    ReadsUnordered,
    /// Those in doubt wrote nothing.
    DoubtLeftOut,
}

/// Which is chosen.
pub(in crate::txn) type Mutation = Of<Mutant>;
