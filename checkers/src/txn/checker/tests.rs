//! The whole way, from a history to its models.

use schism_history::{History, RunFacts, notation};
use serde_json::json;

use super::*;
use crate::anomaly::AnomalyKind;
use crate::table::{Options, build_with};
use crate::txn::levels::EXAMPLES;
use crate::txn::levels::Example;
use crate::verdict::Outcome;

fn history(line: &str) -> History {
    notation::parse(&line.replace(":[", ":txn=[")).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn judged(data: Data, level: Level, line: &str) -> Finding {
    let checker = TxnChecker { level, ..TxnChecker::new(data) };
    checker.check(&history(line), &RunFacts::default(), &Budget::default())
}

fn kinds(finding: &Finding) -> Vec<AnomalyKind> {
    let all = finding.anomalies.iter().chain(&finding.beyond);
    all.map(|anomaly| AnomalyKind::parse(&anomaly.kind).expect("a kind")).collect()
}

fn shown(example: &Example) -> Finding {
    let name = example.level.usual_name();
    let sources = (!example.version_order.is_empty()).then_some(example.version_order);
    let options = Options { model: None, consistency: Some(name), version_order: sources };
    let checker = build_with(example.data.as_str(), &options).expect("a checker");
    let history = notation::parse(&example.history()).expect("a history");
    checker.check(&history, &RunFacts::default(), &Budget::default())
}

#[test]
fn every_example_shows_its_kind_and_breaks_the_model_that_is_asked_for() {
    let mut wrong = Vec::new();
    for example in EXAMPLES {
        let finding = shown(example);
        let found = finding.outcome() == Outcome::Invalid && kinds(&finding).contains(&example.kind);
        if !found {
            wrong.push(format!("{:?}: {:?} {:?}", example.kind, kinds(&finding), finding.gaps));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_model_does_not_forbid_stands_apart() {
    let dirty = r#"0:[["w",1,1]]! 1:[["r",1,1]]"#;
    for (level, asked) in [(Level::ReadCommitted, true), (Level::ReadUncommitted, false), (Level::Pram, false)] {
        let finding = judged(Data::RwRegister, level, dirty);
        let of = |anomalies: &[crate::Anomaly]| anomalies.iter().any(|anomaly| anomaly.kind == "G1a");
        assert_eq!((of(&finding.anomalies), of(&finding.beyond)), (asked, !asked), "{level}");
        assert_eq!(finding.outcome() == Outcome::Invalid, asked, "{level}");
        assert_eq!(finding.stats["weakest_ruled_out"], json!([{"consistency": "read-committed", "because": ["G1a"]}]));
    }
}

/// Data, model, history; whether it is kept (`None`: not known).
#[test]
fn verdicts() {
    use Data::{ListAppend as L, RwRegister as R};
    let serial_lists = r#"0:[["append",1,1],["r",2,null]] 1:[["r",1,[1]],["append",1,2]] 0:[["r",1,[1,2]]]"#;
    let serial_registers = r#"0:[["w",1,1],["r",2,null]] 1:[["r",1,1],["w",1,2]] 0:[["r",1,2]]"#;
    let fork = r#"0:[["append",1,1]]( 1:[["append",2,1]]( 2:[["r",1,[1]],["r",2,[]]] 3:[["r",1,[]],["r",2,[1]]] 0) 1)"#;
    let skew = r#"0:[["r",1,[]],["append",2,1]]( 1:[["r",2,[]],["append",1,1]]( 0) 1)"#;
    // Each misses the other, and both appended to one more list, which nobody read: whoever came last overwrote the other unseen.
    let unread = r#"0:[["r",1,[]],["append",2,1],["append",3,1]]( 1:[["r",2,[]],["append",1,1],["append",3,2]]( 0) 1)"#;
    let mut wrong = Vec::new();
    for (data, level, line, kept) in [
        (L, Level::StrictSerializable, serial_lists, Some(true)),
        (R, Level::StrictSerializable, serial_registers, Some(true)),
        (R, Level::SnapshotIsolation, serial_registers, Some(true)),
        (R, Level::CausalCerone, serial_registers, Some(true)),
        (R, Level::ReadCommitted, serial_registers, Some(true)),
        (L, Level::CursorStability, serial_lists, Some(true)),
        (L, Level::Sequential, serial_lists, Some(true)),
        (L, Level::ParallelSnapshotIsolation, fork, Some(true)),
        (L, Level::SnapshotIsolation, fork, Some(false)),
        (L, Level::Prefix, fork, Some(false)),
        (L, Level::CausalCerone, fork, Some(true)),
        (L, Level::SnapshotIsolation, skew, Some(true)),
        (L, Level::UpdateSerializable, skew, Some(false)),
        (L, Level::Serializable, skew, Some(false)),
        (L, Level::SnapshotIsolation, unread, Some(false)),
        (L, Level::ReadCommitted, unread, Some(true)),
        // Nothing, and nothing that was answered.
        (L, Level::ReadCommitted, "", None),
        (L, Level::ReadCommitted, r#"0:[["append",1,1]]?"#, None),
        (R, Level::ReadCommitted, "0:w1 0:r1", None),
    ] {
        let finding = judged(data, level, line);
        let wanted = kept.map_or(Outcome::Unknown, |kept| if kept { Outcome::Valid } else { Outcome::Invalid });
        if finding.outcome() != wanted {
            wrong.push(format!("{data:?} {level} {line}: {:?} {:?}", kinds(&finding), finding.gaps));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_line_is_told() {
    let line = r#"0:[["r",1,[]],["append",2,1]]( 1:[["r",2,[]],["append",1,1]]( 0) 1)"#;
    let finding = judged(Data::ListAppend, Level::StrictSerializable, line);
    let names = |stat: &str| finding.stats[stat].as_array().cloned().unwrap_or_default();
    assert!(names("strongest_possible").contains(&json!("strong-snapshot-isolation")), "{:?}", finding.stats);
    assert!(!names("not_decided").contains(&json!("snapshot-isolation")));
    let ruled_out = names("weakest_ruled_out");
    let of = |name: &str| ruled_out.iter().find(|line| line["consistency"] == name).map(|line| line["because"].clone());
    assert_eq!(of("repeatable-read"), Some(json!(["G2-item", "write-skew"])));
    assert_eq!(finding.stats["transactions_count"], json!(2));
}

#[test]
fn a_budget_that_ends_leaves_the_verdict_open() {
    let line = r#"9:[["w",1,1]] 0:[["w",1,2]]( 1:[["r",1,1]] 2:[["r",1,2]] 0)"#;
    let checker = TxnChecker::new(Data::RwRegister);
    let none = Budget { steps_max: 0, memory_bytes_max: 0 };
    let finding = checker.check(&history(line), &RunFacts::default(), &none);
    assert_ne!(finding.outcome(), Outcome::Valid);
    assert!(!finding.gaps.is_empty() || !finding.anomalies.is_empty());
}

#[test]
fn reads_by_predicate_refute_and_prove() {
    let judged = |level, line| judged(Data::RwRegister, level, line);
    let found = r#"0:[["insert",1,5]] 1:[["rp","true",{"1":5}]]"#;
    for level in [Level::ReadCommitted, Level::Serializable, Level::StrictSerializable, Level::Causal, Level::Prefix] {
        let kept = judged(level, found);
        assert_eq!((kept.outcome(), kept.gaps.as_slice()), (Outcome::Valid, &[][..]), "{level}");
    }
    // It may have been read before it was there, or when it was there no more; then it was not the first of its time.
    let gone = r#"0:[["insert",1,5]] 0:[["delete",1,null]] 1:[["rp","true",{}]]"#;
    assert_eq!(judged(Level::StrictSerializable, gone).outcome(), Outcome::Valid);
    let early = r#"0:[["insert",1,5]] 1:[["rp","true",{}]] 0:[["delete",1,null]]"#;
    assert_eq!(judged(Level::Serializable, early).outcome(), Outcome::Valid);
    assert_eq!(judged(Level::StrictSerializable, early).outcome(), Outcome::Invalid);
    let phantom =
        r#"0:[["insert",1,5],["insert",2,6]] 1:[["rp","true",null],["r",2,null]]>[["rp","true",{}],["r",2,6]]"#;
    let broken = judged(Level::Serializable, phantom);
    assert_eq!((broken.outcome(), broken.gaps.as_slice()), (Outcome::Invalid, &[][..]));
    // What the predicate left out was not there yet, or no more: neither fits, and no dependency alone says so.
    let torn = judged(Level::Serializable, r#"0:[["w",2,1],["w",3,1]] 1:[["insert",1,5]] 2:[["delete",1,null]]"#);
    assert_eq!(torn.outcome(), Outcome::Valid);
}

#[test]
fn larger_histories_may_take_more_steps() {
    let budget = Budget { steps_max: 7, memory_bytes_max: 9 };
    let of = |count| super::budget_of(count, &budget);
    assert_eq!([0, 1, 100_000, 100_001, 1_000_000].map(|count| of(count).steps_max), [7, 7, 7, 14, 70]);
    assert_eq!(of(1_000_000).memory_bytes_max, 9);
    assert_eq!(super::budget_of(1 << 30, &Budget { steps_max: u64::MAX, ..budget }).steps_max, u64::MAX);
}

/// Levels between PL-2 and PL-2+: data, sources of the order of versions, model, history; whether it is kept, and the kind that says it is not.
#[test]
fn what_shows_inside_of_transactions_decides() {
    use Data::{ListAppend as L, RwRegister as R};
    let blind = r#"1:[["w","x",2]]( 0:[["r","x",null],["w","x",1]] 1) 1:[["r","x",1]]"#;
    // A lost update whose other write was blind, in a list whose last appends nobody read.
    let unread = r#"9:[["append","x",1]] 2:[["r","x",[1]]] 0:[["r","x",[]],["append","x",2]]( 1:[["append","x",3]] 0)"#;
    let unseen = r#"0:[["r","y",null],["w","x",2]]( 1:[["w","y",1],["w","x",1]]( 0) 1) 2:[["r","x",2]]"#;
    let missed = r#"0:[["r","y",null],["w","x",2]]( 1:[["w","y",1],["w","x",1]]( 0) 1) 1:[["r","x",1],["w","z",1]] 2:[["r","z",1],["w","x",3]]"#;
    // Who wrote y after z saw x, and is written over before x is read.
    let over = r#"0:[["append","x",1]]( 1:[["r","x",[1]],["append","y",1]]( 2:[["append","y",2],["r","x",[]]]( 3:[["r","y",[1,2]]] 0) 1) 2)"#;
    let fork =
        r#"0:[["w","x",1]]( 1:[["w","y",1]]( 2:[["r","x",1],["r","y",null]] 3:[["r","y",1],["r","x",null]] 0) 1)"#;
    let late = r#"3:[["w","x",2]]( 0:[["w","y",1]] 0:[["w","x",1]] 0:[["w","z",1]] 2:[["r","x",2]] 2:[["r","y",null]] 2:[["r","z",1]] 2:[["r","x",2]] 3)"#;
    // What the other wrote comes first, as a third shows.
    let known = r#"1:[["w","y",1],["w","x",1]] 3:[["r","x",1],["w","z",1]] 0:[["r","z",1],["r","y",null],["w","x",2]]"#;
    let own = r#"1:[["w","x",1]] 3:[["r","x",1],["w","z",1]] 0:[["r","z",1],["r","x",null],["w","x",2]]"#;
    // Of the memories: the order of processes alone does not put z before x.
    let causal = r#"0:[["w","z",1]]( 1:[["w","x",2]]( 3:[["r","z",1]] 3:[["w","x",1]] 3:[["w","y",1]] 1) 1:[["r","z",null]] 1:[["r","y",1]] 1:[["r","x",2]] 0)"#;
    let mut wrong = Vec::new();
    for (data, sources, level, line, kind) in [
        (R, None, Level::PipelinedRam, causal, None),
        (R, None, Level::CausalMemory, causal, Some(AnomalyKind::NotCausalMemory)),
        (R, None, Level::Causal, causal, None),
        (R, None, Level::UpdateAtomic, known, Some(AnomalyKind::NotUpdateAtomic)),
        (R, None, Level::CursorStability, known, None),
        (R, None, Level::CursorStability, own, Some(AnomalyKind::GCursor)),
        (R, None, Level::CursorStability, blind, None),
        (R, Some("sequential-keys"), Level::CursorStability, blind, Some(AnomalyKind::GCursor)),
        (L, None, Level::CursorStability, unread, Some(AnomalyKind::GCursor)),
        (R, None, Level::UpdateAtomic, unseen, None),
        (R, None, Level::UpdateAtomic, missed, None),
        (L, None, Level::MonotonicView, over, Some(AnomalyKind::GMonotonic)),
        (L, None, Level::CausalCerone, over, None),
        (R, None, Level::MonotonicSnapshotRead, fork, Some(AnomalyKind::GMsr)),
        (R, None, Level::MonotonicView, fork, None),
        (R, None, Level::Pram, late, None),
        (R, None, Level::PipelinedRam, late, Some(AnomalyKind::NotPipelinedRam)),
        (R, None, Level::CausalMemory, blind, None),
    ] {
        let options = Options { model: None, consistency: Some(level.usual_name()), version_order: sources };
        let checker = build_with(data.as_str(), &options).expect("a checker");
        let finding = checker.check(&history(line), &RunFacts::default(), &Budget::default());
        let wanted = if kind.is_some() { Outcome::Invalid } else { Outcome::Valid };
        if finding.outcome() != wanted || kind.is_some_and(|kind| !kinds(&finding).contains(&kind)) {
            wrong.push(format!("{data:?} {level} {line}: {:?} {:?}", kinds(&finding), finding.gaps));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Single operations of many keys are searched one after another: the budget is for all of them.
#[test]
fn searches_of_many_keys_share_a_budget() {
    use crate::linear::ModelName::Register;
    use crate::sequential::{Sequential, check_shared};
    // Of each key a stale read, so that it is searched; and one that makes an order of all impossible, so that nothing is
    // searched beyond.
    let key = |key: usize| {
        let (writer, reader) = (3 * key, 3 * key + 1);
        format!("{writer}@{key}:w1 {writer}@{key}:w2 {reader}@{key}:r2 {reader}@{key}:r1")
    };
    let line = (0..20).map(key).collect::<Vec<_>>().join(" ");
    let history = notation::parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let budget = |steps_max| Budget { steps_max, ..Budget::default() };
    let whole = check_shared(Register, &history, &budget(1 << 30));
    let steps = whole.stats["steps"].as_u64().expect("a number");
    assert_eq!((whole.anomalies.len(), whole.gaps.len()), (20, 0));
    // What all need is more than enough for each, and less is not enough for all.
    let half = check_shared(Register, &history, &budget(steps / 2));
    let each = Sequential { model: Register }.check(&history, &RunFacts::default(), &budget(steps / 2));
    assert!(half.gaps.iter().all(|gap| matches!(gap, Gap::BudgetSpent { .. })), "{:?}", half.gaps);
    assert!(!half.gaps.is_empty() && half.anomalies.len() < 20, "{} {:?}", half.anomalies.len(), half.gaps);
    assert_eq!((each.anomalies.len(), each.gaps.len()), (20, 0));
}

/// Two that wrote over each other's read of one key lost an update; that is no write skew, and rules out as much.
#[test]
fn a_lost_update_is_no_write_skew() {
    use AnomalyKind::{G2Item, LostUpdate, WriteSkew};
    let lost = r#"0:[["r",1,null],["w",1,1]]( 1:[["r",1,null],["w",1,2]]( 0) 1)"#;
    let finding = judged(Data::RwRegister, Level::Serializable, lost);
    let found = kinds(&finding);
    assert!(found.contains(&LostUpdate) && !found.contains(&WriteSkew), "{found:?}");
    let ruled_out = |finding: &Finding| finding.stats["weakest_ruled_out"].to_string();
    assert!(ruled_out(&finding).contains("cursor-stability"), "{}", ruled_out(&finding));
    let skew = r#"0:[["r",1,null],["w",2,1]]( 1:[["r",2,null],["w",1,1]]( 0) 1)"#;
    let found = kinds(&judged(Data::RwRegister, Level::Serializable, skew));
    assert!(found.contains(&G2Item) && found.contains(&WriteSkew), "{found:?}");
    // The invocation need not say what will be done.
    let late = r#"0:txn=[]( 1:txn=[]( 0)[["r",1,null],["w",2,1]] 1)[["r",2,null],["w",1,1]]"#;
    let found = kinds(&judged(Data::RwRegister, Level::Serializable, late));
    assert!(found.contains(&G2Item) && found.contains(&WriteSkew), "{found:?}");
    // One of two that appended the same is not known to be read; so there is no lost update, but one cycle, told once.
    let one_key = r#"0:[["append",1,8]] 1:[["append",1,8]] 2:[["r",1,null],["append",1,1]]( 3:[["r",1,[8]],["append",1,2]]( 2) 3)"#;
    let finding = judged(Data::ListAppend, Level::Serializable, one_key);
    assert_eq!(kinds(&finding).iter().filter(|kind| **kind == G2Item).count(), 1, "{:?}", finding.anomalies);
    assert_eq!(finding.stats["anomalies_by_kind"]["G2-item"], 1, "{:?}", finding.stats);
    assert!(!kinds(&finding).contains(&WriteSkew), "{:?}", finding.anomalies);
}
