//! Simulated databases of known levels: at sizes far beyond brute force the checkers rule out no level that the store
//! keeps, rule out the next, and find the one anomaly that was planted.

#[path = "../../examples/txn_bench/generate.rs"]
mod generate;

use generate::planted::GADGETS;
use generate::{Data, Fresh, Store, Wanted, history};
use schism_checkers::txn::checker::{Data as Checked, TxnChecker};
use schism_checkers::txn::levels::{Level, ruled_out_by};
use schism_checkers::txn::rw_register::VersionSources;
use schism_checkers::txn::verify::verify;
use schism_checkers::{AnomalyKind, Budget, Checker, Finding, Outcome};
use schism_history::{History, RunFacts};

/// `SCHISM_TEST_LONG` asks for a million transactions, else ten thousand.
fn transactions() -> usize {
    if std::env::var_os("SCHISM_TEST_LONG").is_some() { 1_000_000 } else { 10_000 }
}

fn check(history: &History, data: Data, level: Level) -> Finding {
    let data = if data == Data::Lists { Checked::ListAppend } else { Checked::RwRegister };
    let checker = TxnChecker { data, level, sources: VersionSources::default() };
    let finding = checker.check(history, &RunFacts::default(), &Budget::default());
    for anomaly in finding.anomalies.iter().chain(&finding.beyond) {
        verify(history, anomaly).unwrap_or_else(|wrong| panic!("{wrong}: {anomaly:#?}"));
    }
    finding
}

/// A store, what it keeps, and what it soon breaks.
const STORES: &[(Store, Fresh, Level, &[Level])] = &[
    (Store::Serial, Fresh::Realtime, Level::StrictSerializable, &[]),
    (Store::Serial, Fresh::Process, Level::StrongSessionSerializable, &[Level::StrongSnapshotIsolation]),
    (Store::Serial, Fresh::Nothing, Level::Serializable, &[Level::StrongSessionSnapshotIsolation]),
    (Store::SnapshotIsolation, Fresh::Realtime, Level::StrongSnapshotIsolation, &[Level::Serializable]),
    (
        Store::SnapshotIsolation,
        Fresh::Process,
        Level::StrongSessionSnapshotIsolation,
        &[Level::Serializable, Level::StrongSnapshotIsolation],
    ),
    (
        Store::SnapshotIsolation,
        Fresh::Nothing,
        Level::SnapshotIsolation,
        &[Level::Serializable, Level::StrongSessionSnapshotIsolation],
    ),
    (Store::Prefix, Fresh::Process, Level::Prefix, &[Level::ParallelSnapshotIsolation]),
    (Store::ReadCommitted, Fresh::Realtime, Level::MonotonicAtomicView, &[Level::ReadAtomic]),
    (Store::ParallelSnapshotIsolation, Fresh::Process, Level::ParallelSnapshotIsolation, &[Level::Prefix]),
    (Store::Causal, Fresh::Process, Level::CausalCerone, &[Level::Prefix, Level::UpdateAtomic]),
    (Store::Pram, Fresh::Process, Level::ReadAtomic, &[Level::CausalCerone]),
];

#[test]
fn lists_of_each_store_break_the_next_level_and_keep_their_own() {
    for &(store, fresh, kept, broken) in STORES {
        let data = Data::Lists;
        let history = history(Wanted { store, fresh, data, transactions: transactions(), ..Wanted::default() });
        let finding = check(&history, data, kept);
        assert_ne!(finding.outcome(), Outcome::Invalid, "{store:?} {fresh:?} {kept}: {:?}", finding.anomalies.first());
        for &level in broken {
            let finding = check(&history, data, level);
            assert_eq!(finding.outcome(), Outcome::Invalid, "{store:?} {fresh:?} {level}");
        }
    }
}

#[test]
fn registers_of_each_store_keep_their_level() {
    for &(store, fresh, kept, _) in STORES {
        // The search is asked here, so it is a tenth, on more keys.
        let transactions = transactions() / 10;
        let data = Data::Registers;
        let history = history(Wanted { store, fresh, data, transactions, keys_alive: 50, ..Wanted::default() });
        let finding = check(&history, data, kept);
        assert_ne!(finding.outcome(), Outcome::Invalid, "{store:?} {fresh:?} {kept}: {:?}", finding.anomalies.first());
    }
}

#[test]
fn every_planted_kind_is_found_in_lists() {
    for gadget in GADGETS.iter().filter(|gadget| gadget.shows_in(Data::Lists)) {
        let kind = AnomalyKind::parse(gadget.kind).expect("a kind");
        let wanted = Wanted { transactions: transactions() / 4, planted: Some(gadget), ..Wanted::default() };
        let history = history(wanted);
        let finding = check(&history, Data::Lists, Level::StrictSerializable);
        assert_eq!(finding.outcome(), Outcome::Invalid, "{}", gadget.kind);
        let found: Vec<&str> = finding.anomalies.iter().map(|anomaly| anomaly.kind.as_str()).collect();
        // Whatever it is told as, the models that the kind rules out are ruled out.
        let ruled_out: Vec<Level> = finding.stats["weakest_ruled_out"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|entry| Level::parse(entry["consistency"].as_str()?))
            .collect();
        let missed: Vec<&str> = ruled_out_by(kind)
            .iter()
            .filter(|level| !ruled_out.iter().any(|weak| level.implies(*weak)))
            .map(Level::usual_name)
            .collect();
        assert!(missed.is_empty(), "{}: {missed:?} not ruled out by {found:?}", gadget.kind);
    }
}
