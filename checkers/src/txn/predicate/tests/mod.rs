//! Predicates by example.

mod twin;

use schism_history::notation;

use super::universe::Predicate;
use super::*;
use crate::checker::Budget;

/// History; edges as `from kind to` by numbers of transactions, then kinds of anomalies.
const CASES: &[(&str, &str)] = &[
    // Nothing of predicates.
    (r#"0:[["w",1,1]] 1:[["r",1,1]]"#, ""),
    // A phantom: the reader does not find what is inserted, and finds what the same transaction inserted elsewhere.
    (
        r#"0:[["insert",1,5],["insert",2,6]] 1:[["rp","true",null],["r",2,null]]>[["rp","true",{}],["r",2,6]]"#,
        "0 wr 1, 1 rwp 0",
    ),
    // Left out, as it was written to something else before.
    (r#"0:[["init",1,5]] 1:[["w",1,6]] 2:[["rp","= 5",{}]]"#, "0 ww 1, 1 wrp 2"),
    (r#"0:[["init",1,5]] 1:[["w",1,6]] 2:[["rp","= 6",{}]]"#, "0 ww 1, 2 rwp 1"),
    (r#"0:[["init",1,5]] 1:[["w",1,7]] 2:[["rp","mod 2 0",{}]]"#, "0 ww 1"),
    (r#"0:[["init",1,5]] 1:[["w",1,7]] 2:[["rp","mod 2 1",{"1":5}]]"#, "0 ww 1, 0 wr 2, 2 rw 1"),
    // Not there yet, or no more: both are possible.
    (r#"0:[["insert",1,5]] 1:[["delete",1,null]] 2:[["rp","true",{}]]"#, "0 ww 1"),
    (r#"0:[["init",1,5]] 1:[["delete",1,null]] 2:[["rp","true",{}]]"#, "0 ww 1, 1 wrp 2"),
    (r#"0:[["init",1,5]] 1:[["delete",1,null]] 2:[["r",1,null]]"#, "0 ww 1, 1 wr 2"),
    (r#"0:[["init",1,5]] 1:[["rp","true",{}]]"#, "1 rwp 0"),
    // A death in doubt that nobody can have seen for certain.
    (r#"0:[["init",1,5]] 1:[["delete",1,null]]? 2:[["rp","true",{}]]"#, ""),
    // An insert in doubt that was found, and one that was not.
    (r#"0:[["insert",1,5]]? 1:[["rp","true",{"1":5}]]"#, "1 wr 0"),
    (r#"0:[["insert",1,5]]? 1:[["rp","true",{}]]"#, ""),
    // A value that others left as well, or that a transaction left itself, says nothing of one in doubt.
    (r#"0:[["insert",1,2]]? 1:[["rp","true",{}],["w",1,2],["rp","true",{"1":2}]] 2:[["rp","true",{"1":2}]]"#, ""),
    (r#"0:[["insert",1,2]]? 1:[["rp","true",{"1":2}],["w",1,2]]"#, "1 ww 0, 1 wr 0"),
    (r#"0:[["insert",1,2]]? 1:[["r",1,2],["w",1,2]]"#, "1 ww 0, 1 wr 0"),
    // Own writes.
    (r#"0:[["insert",1,5],["rp","true",{"1":5}]]"#, ""),
    (r#"0:[["insert",1,5],["rp","true",{}]]"#, "predicate-read-miss"),
    (r#"0:[["insert",1,5],["rp","= 6",{"1":5}]]"#, "predicate-read-miss"),
    (r#"0:[["insert",1,5],["delete",1,null],["rp","true",{"1":5}]]"#, "predicate-read-miss"),
    (r#"0:[["rp","true",{}],["insert",1,5]]"#, ""),
    (r#"0:[["insert",1,5],["r",1,6]]"#, "internal"),
    // Found although the predicate does not find it.
    (r#"0:[["insert",1,5]] 1:[["rp","= 6",{"1":5}]]"#, "predicate-read-miss"),
    // Values from nowhere.
    (r#"0:[["insert",1,5]]! 1:[["rp","true",{"1":5}]]"#, "G1a"),
    (r#"0:[["insert",1,5],["w",1,6]] 1:[["rp","true",{"1":5}]]"#, "G1b"),
    (r#"0:[["insert",1,5]] 1:[["rp","true",{"1":7}]]"#, "garbage-read"),
    (r#"0:[["insert",1,5]] 1:[["rp","true",{"9":7,"1":5}]]"#, "0 wr 1, garbage-read"),
    (r#"0:[["rp","true",{"1":5}],["insert",1,5]]"#, "future-read"),
];

/// Something is done to the object that is not known here: nothing is said of its values, but that a predicate does not find them.
const FOREIGN: &[(&str, &str)] = &[
    (r#"0:[["append",1,2]] 1:[["rp","true",{"1": [2]}]]"#, ""),
    (r#"0:[["append",1,2]]! 1:[["rp","true",{"1": [2]}]]"#, ""),
    (r#"0:[["init",1,[]],["append",1,2],["rp","true",{"1": [2]}],["r",1,[2]]]"#, ""),
    (r#"0:[["init",1,5]] 1:[["increment",1,1]]? 2:[["rp","= 6",{"1":6}],["r",1,6]]"#, ""),
    (r#"0:[["init",1,5]] 1:[["increment",1,1]] 2:[["rp","= 6",{"1":5}]]"#, "predicate-read-miss"),
];

#[test]
fn what_is_found_and_what_is_left_out() {
    let all = CASES.iter().map(|case| (case, false)).chain(FOREIGN.iter().map(|case| (case, true)));
    for ((line, wanted), is_foreign) in all {
        let history = notation::parse(&line.replace(":[", ":txn=[")).unwrap_or_else(|error| panic!("{line}: {error}"));
        let txns = Txns::of(&history);
        let found = infer(&txns, &mut Meter::new(&Budget::default()));
        let mut all: Vec<String> = Vec::new();
        for edge in &found.edges {
            all.push(format!("{} {} {}", edge.from, edge.kind.as_str(), edge.to));
            let reason = found.reason(*edge).expect("a reason");
            assert_eq!(reason.kind, edge.kind.as_str());
            assert!(reason.before.is_some() && reason.after.is_some(), "{line}: {reason:?}");
        }
        all.extend(found.anomalies.iter().map(|anomaly| anomaly.kind.clone()));
        assert_eq!(all.join(", "), *wanted, "{line}");
        assert_eq!(found.gaps.len(), usize::from(is_foreign), "{line}: {:?}", found.gaps);
    }
}

#[test]
fn what_cannot_be_judged_is_told() {
    for (line, part) in [
        (r#"0:[["insert",1,5]] 1:[["delete",1,null]] 2:[["insert",1,6]]"#, "key 1: the order"),
        (r#"0:[["init",1,[]]] 1:[["append",1,2]] 2:[["rp","true",{"1": [2]}]]"#, "key 1: the order"),
        (r#"0:[["insert",1,5]] 1:[["rp","> 3",{}]]"#, "a read by predicate is"),
        (r#"0:[["insert",1,5]] 1:[["rp","true",null]]"#, "a read by predicate is"),
    ] {
        let history = notation::parse(&line.replace(":[", ":txn=[")).expect("a history");
        let txns = Txns::of(&history);
        let gaps = format!("{:?}", infer(&txns, &mut Meter::new(&Budget::default())).gaps);
        assert!(gaps.contains(part), "{line}: {gaps}");
    }
}

#[test]
fn predicates_as_text() {
    use schism_history::Value::Int;
    assert_eq!(Predicate::parse(":true"), Some(Predicate::All));
    assert_eq!(Predicate::parse("= 3"), Some(Predicate::Equals(Int(3))));
    assert_eq!(Predicate::parse("mod 3 -1"), Some(Predicate::Mod(3, -1)));
    for wrong in ["", "false", "mod 0 1", "mod 2", "mod 2 1 0", "=", "= x"] {
        assert_eq!(Predicate::parse(wrong), None, "{wrong}");
    }
}
