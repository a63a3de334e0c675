//! Sets of kinds of anomaly, and which kind means that another is there too.

use crate::anomaly::AnomalyKind::{self, *};

/// A set of kinds of anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct KindSet(u128);

// A bit for each kind.
const _: () = assert!(AnomalyKind::ALL.len() <= 128);

impl KindSet {
    /// Of these.
    pub fn of(kinds: &[AnomalyKind]) -> KindSet {
        kinds.iter().copied().collect()
    }

    /// Adds one.
    pub fn insert(&mut self, kind: AnomalyKind) {
        self.0 |= 1 << kind as u32;
    }

    /// Whether it is there.
    pub fn contains(self, kind: AnomalyKind) -> bool {
        self.0 >> kind as u32 & 1 == 1
    }

    /// What is in one or the other.
    #[must_use]
    pub fn union(self, other: KindSet) -> KindSet {
        KindSet(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: KindSet) -> KindSet {
        KindSet(self.0 & other.0)
    }

    /// Whether all of it is in another.
    pub fn is_subset(self, other: KindSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// One after the other, in order of [`AnomalyKind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = AnomalyKind> {
        AnomalyKind::ALL.iter().copied().filter(move |kind| self.contains(*kind))
    }

    /// With every kind that means that one of these is there too.
    #[must_use]
    pub fn with_what_implies_it(self) -> KindSet {
        self.grown(|(kind, implied)| (implied, kind))
    }

    /// With every kind that must be there too.
    #[must_use]
    pub fn with_what_it_implies(self) -> KindSet {
        self.grown(|(kind, implied)| (kind, implied))
    }

    fn grown(self, turn: impl Fn((AnomalyKind, AnomalyKind)) -> (AnomalyKind, AnomalyKind)) -> KindSet {
        let mut all = self;
        loop {
            let before = all;
            for (from, to) in IMPLICATIONS.iter().map(|&pair| turn(pair)) {
                if all.contains(from) {
                    all.insert(to);
                }
            }
            if all == before {
                return all;
            }
        }
    }
}

impl FromIterator<AnomalyKind> for KindSet {
    fn from_iter<T: IntoIterator<Item = AnomalyKind>>(kinds: T) -> KindSet {
        let mut set = KindSet::default();
        kinds.into_iter().for_each(|kind| set.insert(kind));
        set
    }
}

/// Where the first is there, so is the second, though it need not be told. Cycles: by their definition (Adya 1999; Elle),
/// a class without the order of a process is one with it, and one with that is one with real time. Levels by orders: a weaker
/// level that has no order leaves none to the stronger. The others have their argument in `docs/isolation.md`.
pub const IMPLICATIONS: &[(AnomalyKind, AnomalyKind)] = &[
    (G0, G1c),
    (GSingleItem, GSingle),
    (GSingleItem, GNonadjacentItem),
    (GSingle, GNonadjacent),
    (GNonadjacentItem, GNonadjacent),
    (GNonadjacentItem, G2Item),
    (GNonadjacent, G2),
    (G2Item, G2),
    (G0Process, G1cProcess),
    (GSingleItemProcess, GSingleProcess),
    (GSingleItemProcess, GNonadjacentItemProcess),
    (GSingleProcess, GNonadjacentProcess),
    (GNonadjacentItemProcess, GNonadjacentProcess),
    (GNonadjacentItemProcess, G2ItemProcess),
    (GNonadjacentProcess, G2Process),
    (G2ItemProcess, G2Process),
    (G0Realtime, G1cRealtime),
    (GSingleItemRealtime, GSingleRealtime),
    (GSingleItemRealtime, GNonadjacentItemRealtime),
    (GSingleRealtime, GNonadjacentRealtime),
    (GNonadjacentItemRealtime, GNonadjacentRealtime),
    (GNonadjacentItemRealtime, G2ItemRealtime),
    (GNonadjacentRealtime, G2Realtime),
    (G2ItemRealtime, G2Realtime),
    (G0, G0Process),
    (G0Process, G0Realtime),
    (G1c, G1cProcess),
    (G1cProcess, G1cRealtime),
    (GSingleItem, GSingleItemProcess),
    (GSingleItemProcess, GSingleItemRealtime),
    (GSingle, GSingleProcess),
    (GSingleProcess, GSingleRealtime),
    (GNonadjacentItem, GNonadjacentItemProcess),
    (GNonadjacentItemProcess, GNonadjacentItemRealtime),
    (GNonadjacent, GNonadjacentProcess),
    (GNonadjacentProcess, GNonadjacentRealtime),
    (G2Item, G2ItemProcess),
    (G2ItemProcess, G2ItemRealtime),
    (G2, G2Process),
    (G2Process, G2Realtime),
    // Direct ones.
    (IncompatibleOrder, G1a),
    (DirtyUpdate, G1a),
    (FutureRead, G1c),
    (LostUpdate, GSingleItem),
    (LostUpdate, GCursor),
    (GCursor, NotUpdateAtomic),
    (NotUpdateAtomic, NotParallelSnapshotIsolation),
    (GMonotonic, GSingleItem),
    (GMsr, GNonadjacentItem),
    (GMsr, NotPrefix),
    (WriteSkew, G2Item),
    (WriteSkew, NotUpdateSerializable),
    (LongFork, GNonadjacentItem),
    (LongFork, NotPrefix),
    // By axioms.
    (NonRepeatableRead, FracturedRead),
    (NonMonotonicView, FracturedRead),
    (FracturedRead, StaleCausalRead),
    (StaleCausalRead, NotPrefix),
    (StaleCausalRead, NotParallelSnapshotIsolation),
    (NonMonotonicView, NonMonotonicViewProcess),
    (FracturedRead, FracturedReadProcess),
    (StaleCausalRead, StaleCausalReadProcess),
    (NonMonotonicViewProcess, FracturedReadProcess),
    (FracturedReadProcess, StaleCausalReadProcess),
    (StaleCausalReadProcess, NotPrefixProcess),
    // Of sessions.
    (NotReadYourWrites, NotPram),
    (NotMonotonicReads, NotPram),
    (NotMonotonicWrites, NotPram),
    (NotWritesFollowReads, NotCausal),
    (NotPram, NotCausal),
    (NotPram, NotPipelinedRam),
    (NotCausal, NotCausalMemory),
    (NotPipelinedRam, NotCausalMemory),
    (NotCausalMemory, NotSequential),
    (NotCausal, StaleCausalReadProcess),
    (NotSequential, NotLinearizable),
    (NotSequential, NotSerializableProcess),
    (NotLinearizable, NotSerializableRealtime),
    // By orders.
    (NotPrefix, NotPrefixProcess),
    (NotPrefix, NotSnapshotIsolation),
    (NotPrefixProcess, NotSnapshotIsolationProcess),
    (NotParallelSnapshotIsolation, NotSnapshotIsolation),
    (NotParallelSnapshotIsolation, NotUpdateSerializable),
    (NotUpdateSerializable, NotSerializable),
    (NotSnapshotIsolation, NotSnapshotIsolationProcess),
    (NotSnapshotIsolationProcess, NotSnapshotIsolationRealtime),
    (NotSnapshotIsolation, NotSerializable),
    (NotSnapshotIsolationProcess, NotSerializableProcess),
    (NotSnapshotIsolationRealtime, NotSerializableRealtime),
    (NotSerializable, NotSerializableProcess),
    (NotSerializableProcess, NotSerializableRealtime),
];
