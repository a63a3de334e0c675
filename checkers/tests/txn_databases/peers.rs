//! What other checkers got right or wrong on the same kinds of histories: anomalies of registers planted in a store that does
//! nothing wrong, with the truth of each level (Plume, AWDIT, PolySI, VeriStrong and Elle 2023 to 2026); and short histories
//! that one of them misjudged or could not say.

use rayon::prelude::*;
use schism_checkers::txn::checker::TxnChecker;
use schism_checkers::txn::levels::Level;
use schism_checkers::txn::rw_register::VersionSources;
use schism_checkers::{Budget, Outcome};
use schism_history::{F, History, Key, Kind, Mop, Op, Process, Value, notation};

use crate::generate::planted::{Gadget, Shows};
use crate::generate::{Data, Fresh, Store, Wanted, history};
use crate::{check, check_by, checked};

/// The levels of the table, by their columns.
const LEVELS: [Level; 6] = [
    Level::AxiomaticReadCommitted,
    Level::AxiomaticReadAtomic,
    Level::AxiomaticCausal,
    Level::SnapshotIsolation,
    Level::Serializable,
    Level::StrictSerializable,
];

const fn gadget(kind: &'static str, text: &'static str) -> Gadget {
    Gadget { kind, text, shows: Shows::Registers }
}

/// What is planted, and how many of the levels, from the weakest, still hold.
const PLANTED: &[(Gadget, usize)] = &[
    // Read committed of the axioms sees one of both writes over the other; Elle, by default, none.
    (gadget("G0", "0:ax1 ay1|1:ax2 ay2;2:rx1 ry2"), 1),
    (gadget("G1a", "0!ax1|1:rx1"), 0),
    (gadget("G1c", "0:ax1 ry1|1:ay1 rx1"), 0),
    (gadget("G-single-item", "0:ax1 ay1|1:rx ry1|2:rx1 ry1"), 1),
    (gadget("lost-update", "0:rx ax1|1:rx ax2|2:rx2"), 3),
    (gadget("long-fork", "0:ax1|1:ay1|2:rx1 ry|3:rx ry1"), 3),
    (gadget("write-skew", "0:rx ry ax1|1:rx ry ay1|2:rx1 ry1"), 4),
    (gadget("G-single-item-realtime", "0:ax1;1:rx;2:rx1"), 5),
];

#[test]
fn planted_anomalies_break_their_levels_and_no_others() {
    let cases: Vec<(&'static Gadget, Level, bool)> = PLANTED
        .iter()
        .flat_map(|(gadget, holds)| LEVELS.iter().enumerate().map(move |(at, &level)| (gadget, level, at < *holds)))
        .collect();
    let wrong: Vec<String> = cases
        .par_iter()
        .filter_map(|&(gadget, level, holds)| {
            let wanted = Wanted { data: Data::Registers, transactions: 2_000, ..Wanted::default() };
            let history = history(Wanted { planted: Some(gadget), ..wanted });
            let finding = check(gadget.kind, &history, Data::Registers, level);
            let expected = if holds { Outcome::Valid } else { Outcome::Invalid };
            let kinds: Vec<&String> = finding.anomalies.iter().map(|anomaly| &anomaly.kind).collect();
            let right = finding.outcome() == expected;
            (!right)
                .then(|| format!("{}: {level} is {:?} {kinds:?} {:?}", gadget.kind, finding.outcome(), finding.gaps))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// With every source of an order of versions that holds in this store: Elle calls it invalid with linearizable keys.
#[test]
fn sources_that_hold_make_nothing_invalid() {
    let wanted = Wanted { data: Data::Registers, transactions: 3_000, ..Wanted::default() };
    let history = history(wanted);
    for (writes_follow_reads, sequential_keys, linearizable_keys) in
        [(true, false, false), (false, true, false), (false, false, true), (true, true, true)]
    {
        let sources = VersionSources { writes_follow_reads, sequential_keys, linearizable_keys, explicit: None };
        let (data, level) = (checked(Data::Registers), Level::StrictSerializable);
        let finding =
            check_by("sources", &history, &TxnChecker { data, level, sources: sources.clone() }, &Budget::default());
        assert_eq!(
            finding.outcome(),
            Outcome::Valid,
            "{sources:?}: {:?} {:?}",
            finding.anomalies.first(),
            finding.gaps
        );
    }
}

/// Elle's blind spot: without an order of versions it finds no write skew in a thousand transactions, where lists of the same
/// schedule show many.
#[test]
fn registers_of_a_snapshot_store_are_not_serializable_either() {
    for (data, level) in [(Data::Lists, Level::Serializable), (Data::Registers, Level::Serializable)] {
        let wanted = Wanted { store: Store::SnapshotIsolation, fresh: Fresh::Realtime, data, ..Wanted::default() };
        let history = history(Wanted { transactions: 1_000, ..wanted });
        let finding = check("snapshots", &history, data, level);
        assert_eq!(finding.outcome(), Outcome::Invalid, "{data:?}: {:?}", finding.gaps);
    }
}

/// Data, history, model, what is right.
const EDGES: &[(Data, &str, Level, Outcome)] = &[
    // dbcop: a read of an own write that is written over later.
    (Data::Registers, r#"0:[["w",1,11],["r",1,11],["w",1,12]]"#, Level::StrictSerializable, Outcome::Valid),
    (Data::Registers, r#"0:[["w",1,11],["r",1,11],["w",1,12]]"#, Level::AxiomaticReadAtomic, Outcome::Valid),
    (Data::Registers, r#"0:[["w",1,11],["r",1,11],["w",1,12]]"#, Level::ReadCommitted, Outcome::Valid),
    (Data::Lists, r#"0:[["append",1,1],["r",1,[1]],["append",1,2]]"#, Level::StrictSerializable, Outcome::Valid),
    // What is in doubt takes effect later than anybody thought.
    (Data::Registers, r#"0:[["w",1,1]]? 1:[["r",1,null]] 1:[["r",1,1]]"#, Level::StrictSerializable, Outcome::Valid),
    (Data::Lists, r#"0:[["append",1,1]]? 1:[["r",1,null]] 1:[["r",1,[1]]]"#, Level::StrictSerializable, Outcome::Valid),
    // But once.
    (
        Data::Registers,
        r#"0:[["w",1,1]]? 1:[["r",1,null]] 1:[["r",1,1]] 1:[["r",1,null]]"#,
        Level::Serializable,
        Outcome::Valid,
    ),
    (
        Data::Registers,
        r#"0:[["w",1,1]]? 1:[["r",1,null]] 1:[["r",1,1]] 1:[["r",1,null]]"#,
        Level::StrongSessionSerializable,
        Outcome::Invalid,
    ),
    // What one in doubt says that it read is nothing.
    (Data::Registers, r#"0:[["r",1,5]]? 1:[["r",1,null]]"#, Level::StrictSerializable, Outcome::Valid),
    (Data::Lists, r#"0:[["r",1,[5]]]? 1:[["r",1,null]]"#, Level::StrictSerializable, Outcome::Valid),
    // Nothing and an empty list are one; an answer of nothing is one.
    (
        Data::Lists,
        r#"0:[["r",1,[]]] 1:[["r",1,null]] 2:[["append",1,1]] 3:[["r",1,[1]]]"#,
        Level::StrictSerializable,
        Outcome::Valid,
    ),
    (Data::Lists, r#"2:[["append",1,1]] 3:[["r",1,[]]]"#, Level::StrictSerializable, Outcome::Invalid),
    (Data::Lists, r#"2:[["append",1,1]] 3:[["r",1,null]]"#, Level::StrictSerializable, Outcome::Invalid),
    // Keywords, texts and numbers are different keys.
    (Data::Registers, r#"0:[["w","1",1]] 1:[["r",1,null]] 2:[["r","1",1]]"#, Level::StrictSerializable, Outcome::Valid),
    // A transaction of nothing.
    (Data::Lists, r#"0:[] 1:[["append",1,1]] 0:[["r",1,[1]]]"#, Level::StrictSerializable, Outcome::Valid),
    // Values need not be numbers.
    (Data::Registers, r#"0:[["w",1,"a"]] 1:[["r",1,"a"]]"#, Level::StrictSerializable, Outcome::Valid),
    (Data::Registers, r#"0:[["w",1,"a"]] 1:[["r",1,"b"]]"#, Level::ReadCommitted, Outcome::Invalid),
    (Data::Registers, r#"0:[["w",1,[1,2,3]]] 1:[["r",1,[1,2,3]]]"#, Level::StrictSerializable, Outcome::Valid),
];

#[test]
fn short_histories_that_others_misjudged() {
    let mut wrong = Vec::new();
    for &(data, line, level, expected) in EDGES {
        let text = line.replace(":[", ":txn=[");
        let history = notation::parse(&text).unwrap_or_else(|error| panic!("{line}: {error}"));
        let finding = check(line, &history, data, level);
        if finding.outcome() != expected {
            wrong.push(format!("{line}: {level} is {:?} {:?}", finding.outcome(), finding.gaps));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The order of events counts, and not what clocks say: where all times are equal, or go back, a stale read is stale.
#[test]
fn times_that_are_equal_or_absent_change_nothing() {
    let mop = |f: &str, value: Value| Value::Txn(Box::new(vec![Mop::new(f, Key::Int(1), value)]));
    let stale = [
        (0, Kind::Invoke, mop("w", Value::Int(1))),
        (0, Kind::Ok, mop("w", Value::Int(1))),
        (1, Kind::Invoke, mop("r", Value::Nil)),
        (1, Kind::Ok, mop("r", Value::Nil)),
    ];
    for times in [[0, 0, 0, 0], [5, 5, 5, 5], [9, 7, 5, 3], [1, 2, 3, 4]] {
        let ops = stale.iter().zip(times).map(|((process, kind, value), time_ns)| {
            let op = Op::new(Process::Client(*process), *kind, F::Txn, value.clone());
            Op { time_ns, ..op }
        });
        let history = History::from_ops(ops).expect("a history");
        for (level, expected) in
            [(Level::StrictSerializable, Outcome::Invalid), (Level::StrongSessionSerializable, Outcome::Valid)]
        {
            let finding = check("times", &history, Data::Registers, level);
            assert_eq!(finding.outcome(), expected, "{times:?} {level}");
        }
    }
}
