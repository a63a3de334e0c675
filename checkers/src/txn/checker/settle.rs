//! Which engine, once it has run to its end, has found whatever there is against a model.

use crate::txn::graph::unfolded::Phenomenon;
use crate::txn::levels::{Level, LevelSet};
use crate::txn::txns::Txns;

use super::Data;
use super::evidence::{Evidence, Inferred};

/// Models that the weak engine settles from who read what from whom.
pub(super) const BY_AXIOMS: &[Level] = &[
    Level::MonotonicAtomicView,
    Level::ReadAtomic,
    Level::CausalCerone,
    Level::AxiomaticReadCommitted,
    Level::AxiomaticReadAtomic,
    Level::AxiomaticCausal,
    Level::ReadYourWrites,
    Level::MonotonicReads,
    Level::MonotonicWrites,
    Level::WritesFollowReads,
    Level::Pram,
    Level::Causal,
];

/// Those of them that ask what single operations returned, and forbid no read that is strange by itself.
pub(super) const BY_OPERATIONS: &[Level] = &[
    Level::ReadYourWrites,
    Level::MonotonicReads,
    Level::MonotonicWrites,
    Level::WritesFollowReads,
    Level::Pram,
    Level::Causal,
];

/// Models of which acyclic dependencies are proof whatever is known of the order of versions: any order of the transactions
/// that the known dependencies allow orders the unknown versions too.
const BY_WRITES: &[Level] = &[
    Level::ReadUncommitted,
    Level::ReadCommitted,
    Level::StrongSessionReadUncommitted,
    Level::StrongSessionReadCommitted,
    Level::StrongReadUncommitted,
    Level::StrongReadCommitted,
];

/// Those of them that say nothing of reads.
const BY_WRITES_ALONE: &[Level] =
    &[Level::ReadUncommitted, Level::StrongSessionReadUncommitted, Level::StrongReadUncommitted];

/// Models that forbid every cycle: of lists an order of the transactions that keeps all dependencies orders the appends that
/// nobody saw as well, as nobody saw them.
const BY_ALL_CYCLES: &[Level] = &[
    Level::RepeatableRead,
    Level::Serializable,
    Level::ViewSerializable,
    Level::OneCopySerializable,
    Level::SessionSerializable,
    Level::StrongSessionSerializable,
    Level::StrictSerializable,
];

/// Models of snapshots: who wrote a key must be ordered, so that the order of its versions must be known whole.
const BY_WHOLE_VERSIONS: &[Level] = &[
    Level::ParallelSnapshotIsolation,
    Level::ConsistentView,
    Level::ForwardConsistentView,
    Level::SnapshotIsolation,
    Level::StrongSessionSnapshotIsolation,
    Level::StrongSnapshotIsolation,
];

/// Models of what shows inside of transactions alone.
pub(super) const BY_UNFOLDED: &[Level] =
    &[Level::CursorStability, Level::UpdateAtomic, Level::MonotonicView, Level::MonotonicSnapshotRead];

/// The model that a phenomenon defines.
pub(super) fn by_unfolded(phenomenon: Phenomenon) -> Level {
    match phenomenon {
        Phenomenon::Cursor => Level::CursorStability,
        Phenomenon::Update => Level::UpdateAtomic,
        Phenomenon::Monotonic => Level::MonotonicView,
        Phenomenon::Snapshot => Level::MonotonicSnapshotRead,
    }
}

/// What cycles settle.
pub(super) fn by_cycles(data: Data, txns: &Txns<'_>, inferred: &Inferred<'_>, evidence: &Evidence) -> LevelSet {
    let mut settled = LevelSet::default();
    if evidence.is_incomplete() || !evidence.cycles_ended || !inferred.uncertain().is_empty() {
        return settled;
    }
    let by_writes = if evidence.passes_over_reads(data) { BY_WRITES_ALONE } else { BY_WRITES };
    settled = settled.union(LevelSet::of(by_writes));
    if data == Data::ListAppend {
        settled = settled.union(LevelSet::of(BY_ALL_CYCLES));
        if has_whole_versions(txns, inferred) {
            settled = settled.union(LevelSet::of(BY_WHOLE_VERSIONS));
        }
    }
    if evidence.is_timeless {
        settled = settled.iter().filter(|level| !level.needs_realtime()).collect();
    }
    settled
}

/// Whether of each key that several committed transactions wrote the order of all of them is known.
fn has_whole_versions(txns: &Txns<'_>, inferred: &Inferred<'_>) -> bool {
    let accesses = inferred.accesses();
    let mut writers = vec![0usize; accesses.keys_count as usize];
    for id in (0..txns.len().min(accesses.len()) as u32).filter(|&id| accesses.committed[id as usize]) {
        for write in accesses.writes(id) {
            if let Some(count) = writers.get_mut(write.key as usize) {
                *count += 1;
            }
        }
    }
    let known_count = |key: usize| accesses.versions.get(key).map_or(0, Vec::len);
    writers.iter().enumerate().all(|(key, &count)| count < 2 || known_count(key) >= count)
}
