//! Brute force agrees with itself: what a level implies, holds where it holds; and what simulated stores promise, they keep.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_history::notation;

use super::generate::{Data, Fresh, Store, Wanted, history};
use super::orders::{LEVELS, Level, judge};
use super::plain::Plain;
use super::small::small;
use super::stores::STORES;

/// Which level implies which others.
const IMPLIES: &[(Level, &[Level])] = {
    use Level::*;
    &[
        (Pl2, &[Pl1]),
        (CursorStability, &[Pl2]),
        (MonotonicView, &[Pl2, MonotonicAtomicView]),
        (MonotonicSnapshotRead, &[MonotonicView]),
        (ConsistentView, &[CursorStability, MonotonicView, ParallelSnapshotIsolation]),
        (ParallelSnapshotIsolation, &[ConsistentView]),
        (ForwardConsistentView, &[ConsistentView]),
        (UpdateSerializable, &[ForwardConsistentView]),
        (RepeatableRead, &[CursorStability, ForwardConsistentView, Prefix, MonotonicSnapshotRead]),
        (MonotonicAtomicView, &[Pl2]),
        (ReadAtomic, &[MonotonicAtomicView]),
        (UpdateAtomic, &[ReadAtomic, CursorStability]),
        (CausalCerone, &[ReadAtomic]),
        (ParallelSnapshotIsolation, &[CausalCerone, UpdateAtomic]),
        (Prefix, &[CausalCerone]),
        (SnapshotIsolation, &[ForwardConsistentView, ParallelSnapshotIsolation, Prefix, MonotonicSnapshotRead]),
        (Serializable, &[RepeatableRead, UpdateSerializable, SnapshotIsolation]),
        (SessionPl1, &[Pl1]),
        (SessionPl2, &[Pl2, SessionPl1]),
        (StrongPl1, &[SessionPl1]),
        (StrongPl2, &[SessionPl2, StrongPl1]),
        (SessionSnapshotIsolation, &[SnapshotIsolation, SessionPl2, SessionPrefix, SessionParallelSnapshotIsolation]),
        (StrongSnapshotIsolation, &[SessionSnapshotIsolation, StrongPl2]),
        (SessionSerializable, &[Serializable, SessionSnapshotIsolation, SessionUpdateSerializable, Sequential]),
        (StrictSerializable, &[SessionSerializable, StrongSnapshotIsolation, Linearizable]),
        (AxiomaticReadCommitted, &[MonotonicAtomicView, SessionPl2]),
        (AxiomaticReadAtomic, &[ReadAtomic, AxiomaticReadCommitted]),
        (AxiomaticCausal, &[CausalCerone, AxiomaticReadAtomic]),
        (SessionParallelSnapshotIsolation, &[ParallelSnapshotIsolation, AxiomaticCausal]),
        (SessionPrefix, &[Prefix, AxiomaticCausal]),
        (SessionUpdateSerializable, &[UpdateSerializable]),
        (Linearizable, &[Sequential]),
        (Sequential, &[CausalMemory]),
        (CausalMemory, &[PipelinedRam]),
    ]
};

#[test]
fn a_level_holds_where_one_that_implies_it_holds() {
    let mut random = ChaCha8Rng::seed_from_u64(51);
    let mut verdicts = vec![[0usize; 2]; LEVELS.len()];
    for round in 0..2_000 {
        let data = if round % 2 == 0 { Data::Lists } else { Data::Registers };
        let history = small(&mut random, data, if round % 6 == 0 { 6 } else { 5 });
        let Some(column) = judge(&Plain::of(&history)) else { continue };
        for (place, verdict) in column.0.iter().enumerate() {
            if let Some(holds) = verdict {
                verdicts[place][usize::from(*holds)] += 1;
            }
        }
        for &(strong, weaker) in IMPLIES {
            for &weak in weaker {
                let broken = column.get(strong) == Some(true) && column.get(weak) == Some(false);
                assert!(!broken, "{strong:?} and not {weak:?}: {}", notation::write(&history));
            }
        }
        if column.get(Level::Serializable) != column.get(Level::RepeatableRead)
            && column.get(Level::RepeatableRead).is_some()
        {
            panic!("without predicates these are the same: {}", notation::write(&history));
        }
    }
    for (verdicts, (_, name)) in verdicts.iter().zip(LEVELS) {
        println!("{name}: {verdicts:?}");
        assert!(verdicts[1] > 100 && verdicts[0] >= 5, "{name}: {verdicts:?}");
    }
}

/// The strongest levels that a store promises.
fn promised(store: Store, fresh: Fresh) -> &'static [Level] {
    use Level::*;
    match (store, fresh) {
        (Store::Serial, Fresh::Realtime) => &[StrictSerializable],
        (Store::Serial, Fresh::Process) => &[SessionSerializable],
        (Store::Serial, Fresh::Nothing) => &[Serializable],
        (Store::SnapshotIsolation, Fresh::Realtime) => &[StrongSnapshotIsolation],
        (Store::SnapshotIsolation, Fresh::Process) => &[SessionSnapshotIsolation],
        (Store::SnapshotIsolation, Fresh::Nothing) => &[SnapshotIsolation],
        (Store::Prefix, _) => &[SessionPrefix],
        (Store::ReadCommitted, _) => &[StrongPl2, AxiomaticReadCommitted],
        (Store::ParallelSnapshotIsolation, _) => &[SessionParallelSnapshotIsolation],
        (Store::Causal, _) => &[AxiomaticCausal],
        (Store::Pram, _) => &[SessionPl2, AxiomaticReadAtomic],
    }
}

#[test]
fn stores_keep_what_they_promise_and_no_more() {
    use Level::*;
    for &(store, fresh) in STORES {
        let mut broken = vec![0usize; LEVELS.len()];
        for seed in 0..150 {
            let wanted = Wanted {
                store,
                fresh,
                data: if seed % 2 == 0 { Data::Lists } else { Data::Registers },
                seed,
                transactions: 6,
                processes: 4,
                keys_alive: 2,
                fail_percent: 0,
                info_percent: 0,
                writes_per_key: 100,
                micros: (1, 3),
                ..Wanted::default()
            };
            let history = history(wanted);
            let Some(column) = judge(&Plain::of(&history)) else { continue };
            for &level in promised(store, fresh) {
                assert_ne!(
                    column.get(level),
                    Some(false),
                    "{store:?} {fresh:?}: {level:?} {}",
                    notation::write(&history)
                );
            }
            for &(level, _) in LEVELS {
                broken[level as usize] += usize::from(column.get(level) == Some(false));
            }
        }
        let beyond: &[Level] = match (store, fresh) {
            (Store::Serial, Fresh::Realtime) => &[],
            (Store::Serial, Fresh::Process) => &[StrictSerializable, StrongSnapshotIsolation],
            (Store::Serial, Fresh::Nothing) => &[SessionSerializable, SessionSnapshotIsolation],
            (Store::SnapshotIsolation, Fresh::Realtime) => &[Serializable],
            (Store::SnapshotIsolation, Fresh::Process) => &[Serializable, StrongSnapshotIsolation],
            (Store::SnapshotIsolation, Fresh::Nothing) => &[Serializable, SessionSnapshotIsolation],
            (Store::Prefix, _) => &[SnapshotIsolation, UpdateAtomic],
            (Store::ReadCommitted, _) => &[ConsistentView, ReadAtomic],
            (Store::ParallelSnapshotIsolation, _) => &[Prefix, Serializable],
            (Store::Causal, _) => &[Prefix, UpdateAtomic],
            (Store::Pram, _) => &[CausalCerone, UpdateAtomic],
        };
        for &level in beyond {
            assert!(broken[level as usize] > 0, "{store:?} {fresh:?} never breaks {level:?}");
        }
    }
}
