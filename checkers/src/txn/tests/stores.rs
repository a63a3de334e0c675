//! The simulated stores are what they say.

use super::generate::planted::GADGETS;
use super::generate::{Data, Fresh, Store, Wanted, history};
use crate::AnomalyKind;

/// All stores, in all ages of snapshots that make a difference.
pub const STORES: &[(Store, Fresh)] = &[
    (Store::Serial, Fresh::Realtime),
    (Store::Serial, Fresh::Process),
    (Store::Serial, Fresh::Nothing),
    (Store::SnapshotIsolation, Fresh::Realtime),
    (Store::SnapshotIsolation, Fresh::Process),
    (Store::SnapshotIsolation, Fresh::Nothing),
    (Store::Prefix, Fresh::Process),
    (Store::ReadCommitted, Fresh::Realtime),
    (Store::ParallelSnapshotIsolation, Fresh::Process),
    (Store::Causal, Fresh::Process),
    (Store::Pram, Fresh::Process),
];

#[test]
fn a_seed_says_all_and_twins_have_the_same_schedule() {
    for &(store, fresh) in STORES {
        let wanted = Wanted { store, fresh, transactions: 2_000, ..Wanted::default() };
        let lists = history(wanted);
        assert_eq!(lists, history(wanted), "{store:?}");
        let registers = history(Wanted { data: Data::Registers, ..wanted });
        assert_ne!(lists, history(Wanted { seed: 2, ..wanted }));
        assert_eq!(lists.len(), registers.len());
        for index in 0..lists.len() as u32 {
            assert_eq!(lists.kind(index), registers.kind(index));
            assert_eq!(lists.process(index), registers.process(index));
            let count = |history: &schism_history::History| history.txn(index).map(|txn| txn.len());
            assert_eq!(count(&lists), count(&registers));
        }
    }
}

#[test]
fn every_kind_without_predicates_can_be_planted() {
    let missing: Vec<&str> = AnomalyKind::ALL
        .iter()
        .map(|kind| kind.as_str())
        .filter(|kind| !GADGETS.iter().any(|gadget| gadget.kind == *kind))
        .collect();
    let expected = [
        "nonlinearizable",
        "nonsequential",
        "replicas-disagree",
        "G-single",
        "G-single-process",
        "G-single-realtime",
        "G-nonadjacent",
        "G-nonadjacent-process",
        "G-nonadjacent-realtime",
        "G2",
        "G2-process",
        "G2-realtime",
        "predicate-read-miss",
    ];
    assert_eq!(missing.len(), expected.len(), "{missing:?}");
    assert!(missing.iter().all(|kind| expected.contains(kind)), "{missing:?}");
    for gadget in GADGETS {
        assert!(AnomalyKind::ALL.iter().any(|kind| kind.as_str() == gadget.kind), "{}", gadget.kind);
        let planted = Wanted { transactions: 100, planted: Some(gadget), ..Wanted::default() };
        let without = history(Wanted { planted: None, ..planted });
        let with = history(planted);
        let count = gadget.text.split([';', '|']).count();
        assert_eq!(with.len(), without.len() + 2 * count, "{}", gadget.kind);
    }
}
