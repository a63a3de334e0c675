//! Whose an element is that was read: lists that end in one of which nobody can say it; elements and keys that are written alike. What
//! the engine tells is verified, and what it would not tell is refused.

use schism_history::{History, RunFacts, notation};

use crate::anomaly::Witness;
use crate::table::{Options, build_with};
use crate::txn::verify::verify;
use crate::{Anomaly, Budget};

/// What is told of a history, all of it verified.
fn found(data: &str, level: &str, text: &str) -> (History, Vec<Anomaly>) {
    let options = Options { model: None, consistency: Some(level), version_order: None };
    let checker = build_with(data, &options).expect("a checker");
    let history = notation::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let finding = checker.check(&history, &RunFacts::default(), &Budget::default());
    let anomalies: Vec<Anomaly> = finding.anomalies.into_iter().chain(finding.beyond).collect();
    for anomaly in &anomalies {
        assert_eq!(verify(&history, anomaly), Ok(()), "{text}\n{anomaly:#?}");
    }
    (history, anomalies)
}

fn kinds(anomalies: &[Anomaly]) -> Vec<&str> {
    anomalies.iter().map(|anomaly| anomaly.kind.as_str()).collect()
}

/// How such a list ends: what comes before all, and the kind of it.
const ENDS: &[(&str, &str)] = &[
    ("of one that failed", r#"7:txn=[["append",1,9]]!"#),
    ("of two", r#"7:txn=[["append",1,9]] 8:txn=[["append",1,9]]"#),
    ("of one, twice", r#"7:txn=[["append",1,9],["append",1,9]]"#),
    ("of nobody", ""),
];

#[test]
fn what_lies_under_an_element_of_nobody_was_read() {
    let cycles = [
        // Each read what the other appended.
        (
            "G1c",
            r#"0:txn=[["append",1,1],["r",2,null]]( 1:txn=[["append",2,5],["r",1,null]](
               0)[["append",1,1],["r",2,[5]]] 1)[["append",2,5],["r",1,[1,9]]]"#,
        ),
        // It saw the one append of the first, and not the other.
        (
            "G-single-item",
            r#"0:txn=[["append",1,1],["append",2,5]]( 1:txn=[["r",1,null],["r",2,null]](
               0) 1)[["r",1,[1,9]],["r",2,[]]]"#,
        ),
        // An element of the reader's own is under it, and one of another under that; the order of versions says nothing.
        (
            "G1c",
            r#"0:txn=[["append",1,1],["r",2,null]]( 1:txn=[["append",2,5],["r",1,null],["append",1,2]](
               2:txn=[["append",1,3]] 3:txn=[["r",1,null]]>[["r",1,[3]]]
               0)[["append",1,1],["r",2,[5]]] 1)[["append",2,5],["r",1,[1,2,9]],["append",1,2]]"#,
        ),
        // Behind an own append.
        (
            "G1c",
            r#"0:txn=[["append",1,1],["r",2,null]]( 1:txn=[["append",2,5],["append",1,2],["r",1,null]](
               2:txn=[["append",1,3]] 3:txn=[["r",1,null]]>[["r",1,[3]]]
               0)[["append",1,1],["r",2,[5]]] 1)[["append",2,5],["append",1,2],["r",1,[1,9,2]]]"#,
        ),
    ];
    for (kind, cycle) in cycles {
        for (name, end) in ENDS {
            let (_, anomalies) = found("list-append", "serializable", &format!("{end} {cycle}"));
            let is_cycle = |anomaly: &&Anomaly| matches!(anomaly.witness, Witness::Cycle { .. });
            let of_kind = anomalies.iter().filter(is_cycle).any(|anomaly| anomaly.kind == kind);
            assert!(of_kind, "{name}, {kind}: {:?}\n{end} {cycle}", kinds(&anomalies));
            // It goes through what lies under the end of that list.
            let through =
                |anomaly: &Anomaly| serde_json::to_string(&anomaly.witness).is_ok_and(|text| text.contains(",9"));
            assert!(anomalies.iter().filter(is_cycle).any(through), "{name}: {anomalies:#?}");
        }
    }
}

#[test]
fn what_the_reader_appended_later_hides_nothing() {
    let text = r#"0:txn=[["append",1,1],["r",2,null]]( 1:txn=[["append",2,5],["r",1,null],["append",1,9]](
        0)[["append",1,1],["r",2,[5]]] 1)[["append",2,5],["r",1,[1,9]],["append",1,9]]"#;
    let (_, anomalies) = found("list-append", "serializable", text);
    assert!(kinds(&anomalies).contains(&"G1c") && kinds(&anomalies).contains(&"future-read"), "{anomalies:#?}");
}

/// A history; a witness that is there; and what is replaced in the history, so that it is not, or in the witness.
struct Row {
    history: &'static str,
    witness: &'static str,
    wrong: &'static [(&'static str, &'static str)],
}

const ROWS: &[Row] = &[
    Row {
        // Of elements that lie above it nobody can say whose they are.
        history: r#"7:txn=[["append",1,9]]! 2:txn=[["append",1,3]] 0:txn=[["append",1,1],["r",2,null]]( 1:txn=[["append",2,5],["r",1,null]](
            0)[["append",1,1],["r",2,[5]]] 1)[["append",2,5],["r",1,[3,1,9]]]"#,
        witness: r#"{"type":"G1c","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":4,"because":{"kind":"wr","key":"1","from_micro":0,"to_micro":1,"before":"1"}},
            {"transaction":5,"because":{"kind":"wr","key":"2","from_micro":0,"to_micro":1}}]}}"#,
        wrong: &[
            // Somebody else is to be named.
            ("[3,1,9]", "[1,3,9]"),
            ("[3,1,9]", "[3,1,3]"),
            ("[3,1,9]", "[3,9]"),
            (r#"2:txn=[["append",1,3]]"#, r#"2:txn=[["append",1,1]]"#),
            (r#"2:txn=[["append",1,3]]"#, r#"2:txn=[["append",2,5]]"#),
            (r#"[["append",1,9]]!"#, r#"[["append",1,9]]"#),
        ],
    },
    Row {
        history: r#"0:txn=[["append",1,1]]! 1:txn=[["append",1,2]] 2:txn=[["append",1,3]]! 3:txn=[["r",1,null]]>[["r",1,[1]]]"#,
        witness: r#"{"type":"G1a","witness":{"witness":"micros","places":[
            {"transaction":6,"micro":0,"role":"read"},{"transaction":0,"micro":0,"role":"aborted-write"}]}}"#,
        wrong: &[(r#"["append",1,2]"#, r#"["append",1,1]"#)],
    },
    Row {
        history: r#"0:txn=[["w",1,1]]! 1:txn=[["w",1,2]] 2:txn=[["r",1,null]]>[["r",1,1]]"#,
        witness: r#"{"type":"G1a","witness":{"witness":"micros","places":[
            {"transaction":4,"micro":0,"role":"read"},{"transaction":0,"micro":0,"role":"aborted-write"}]}}"#,
        wrong: &[(r#"["w",1,2]"#, r#"["w",1,1]"#)],
    },
    Row {
        history: r#"0:txn=[["append",1,1],["append",1,2]] 1:txn=[["append",1,3]] 2:txn=[["r",1,null]]>[["r",1,[1]]]"#,
        witness: r#"{"type":"G1b","witness":{"witness":"micros","places":[
            {"transaction":4,"micro":0,"role":"read"},{"transaction":0,"micro":0,"role":"write"}]}}"#,
        wrong: &[(r#"["append",1,3]"#, r#"["append",1,1]"#), (r#"["append",1,2]"#, r#"["append",1,1]"#)],
    },
    Row {
        history: r#"0:txn=[["w",1,1],["w",1,2]] 1:txn=[["w",1,1],["w",1,3]] 2:txn=[["r",1,null]]>[["r",1,1]]"#,
        witness: r#"{"type":"G1b","witness":{"witness":"micros","places":[
            {"transaction":4,"micro":0,"role":"read"},{"transaction":0,"micro":0,"role":"write"}]}}"#,
        wrong: &[(r#"["w",1,3]"#, r#"["w",2,3]"#), (r#"["w",1,2]"#, r#"["w",1,1]"#)],
    },
    Row {
        history: r#"0:txn=[["r",1,null],["append",1,1]]>[["r",1,[1]],["append",1,1]] 1:txn=[["append",1,2]]"#,
        witness: r#"{"type":"future-read","witness":{"witness":"micros","places":[
            {"transaction":0,"micro":0,"role":"read"},{"transaction":0,"micro":1,"role":"write"}]}}"#,
        wrong: &[(r#"["append",1,2]"#, r#"["append",1,1]"#)],
    },
    Row {
        history: r#"0:txn=[["r",1,null],["w",1,1]]>[["r",1,1],["w",1,1]] 1:txn=[["w",1,2]]"#,
        witness: r#"{"type":"future-read","witness":{"witness":"micros","places":[
            {"transaction":0,"micro":0,"role":"read"},{"transaction":0,"micro":1,"role":"write"}]}}"#,
        wrong: &[(r#"["w",1,2]"#, r#"["w",1,1]"#)],
    },
    Row {
        // The element over it is there again, behind it.
        history: r#"0:txn=[["append",1,1]]! 1:txn=[["append",1,2]] 2:txn=[["append",1,3]] 3:txn=[["r",1,null]]>[["r",1,[2,1,2]]]"#,
        witness: r#"{"type":"dirty-update","witness":{"witness":"micros","places":[
            {"transaction":0,"micro":0,"role":"aborted-write"},{"transaction":2,"micro":0,"role":"over-write"},
            {"transaction":6,"micro":0,"role":"read"}]}}"#,
        wrong: &[(r#"["append",1,3]"#, r#"["append",1,1]"#), ("[2,1,2]", "[2,2,1]")],
    },
    Row {
        history: r#"0:txn=[["append",1,1]] 1:txn=[["append",1,2]] 2:txn=[["r",1,null]]>[["r",1,[1,1]]]"#,
        witness: r#"{"type":"duplicate-elements","witness":{"witness":"micros","places":[{"transaction":4,"micro":0,"role":"read"}]}}"#,
        wrong: &[(r#"["append",1,2]"#, r#"["append",1,1]"#)],
    },
    Row {
        history: r#"0:txn=[["append",1,1],["append",1,2]] 1:txn=[["append",1,3]] 2:txn=[["r",1,null]]>[["r",1,[2,1]]]"#,
        witness: r#"{"type":"incompatible-order","witness":{"witness":"micros","places":[{"transaction":4,"micro":0,"role":"read"},
            {"transaction":0,"micro":0,"role":"write"},{"transaction":0,"micro":1,"role":"over-write"}]}}"#,
        wrong: &[(r#"["append",1,3]"#, r#"["append",1,1]"#), (r#"["append",1,3]"#, r#"["append",1,2]"#)],
    },
    Row {
        history: r#"2:txn=[["w",1,5]] 3:txn=[["w",1,6]] 0:txn=[["r",1,null],["w",1,1]]( 1:txn=[["r",1,null],["w",1,2]](
            0)[["r",1,5],["w",1,1]] 1)[["r",1,5],["w",1,2]]"#,
        witness: r#"{"type":"lost-update","witness":{"witness":"micros","places":[
            {"transaction":4,"micro":0,"role":"read"},{"transaction":5,"micro":0,"role":"other-read"}]}}"#,
        wrong: &[(r#"["w",1,6]"#, r#"["w",1,5]"#)],
    },
    Row {
        history: r#"2:txn=[["w",1,5]] 3:txn=[["w",1,6]] 0:txn=[["r",1,null],["w",1,1]]( 1:txn=[["r",1,null],["w",1,2]](
            0)[["r",1,5],["w",1,1]] 1)[["r",1,5],["w",1,2]]"#,
        witness: r#"{"type":"lost-update","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":4,"because":{"kind":"rw","key":"1"}},{"transaction":5,"because":{"kind":"rw","key":"1"}}]}}"#,
        wrong: &[(r#"["w",1,6]"#, r#"["w",1,5]"#)],
    },
    Row {
        history: r#"2:txn=[["w","y",2]] 0:txn=[["w","x",1],["r","y",null]]( 1:txn=[["w","y",1],["r","x",null]](
            0)[["w","x",1],["r","y",1]] 1)[["w","y",1],["r","x",1]]"#,
        witness: r#"{"type":"G1c","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":2,"because":{"kind":"wr","key":"x","from_micro":0,"to_micro":1}},
            {"transaction":3,"because":{"kind":"wr","key":"y"}}]}}"#,
        wrong: &[(r#"["w","y",2]"#, r#"["w","y",1]"#), (r#"["w","y",2]"#, r#"["w","x",1]"#)],
    },
    Row {
        // Nothing that was there at first, and nothing that somebody wrote.
        history: r#"2:txn=[["w",3,null]] 0:txn=[["r",1,null],["w",2,1]]( 1:txn=[["r",2,null],["w",1,1]]( 0) 1)"#,
        witness: r#"{"type":"write-skew","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":2,"because":{"kind":"rw","key":"1"}},{"transaction":3,"because":{"kind":"rw","key":"2"}}]}}"#,
        wrong: &[(r#"["w",3,null]"#, r#"["w",1,null]"#), ("write-skew", "lost-update")],
    },
    Row {
        history: r#"0:txn=[["w",1,1]]( 1:txn=[["r",1,null],["w",2,1]]( 2:txn=[["r",2,null],["r",1,null]]( 3:txn=[["w",2,7]] 0) 1)[["r",1,1],["w",2,1]] 2)[["r",2,1],["r",1,null]]"#,
        witness: r#"{"type":"stale-causal-read","witness":{"witness":"no-commit-order","transactions":[0,1,2],"smallest":true,"derivation":[
            {"from":0,"to":1,"key":"1","rule":"reads-from"},{"from":1,"to":2,"key":"2","rule":"reads-from"},
            {"from":2,"to":0,"key":"1","rule":"written-after-read","rests_on":[0,1]}]}}"#,
        wrong: &[
            (r#"["w",2,7]"#, r#"["w",2,1]"#),
            (r#"["w",2,7]"#, r#"["w",1,1]"#),
            (r#"["w",2,7]"#, r#"["w",1,null]"#),
        ],
    },
    Row {
        // Of a key that nobody appends to.
        history: r#"0:txn=[["r",1,null],["r",1,null]]>[["r",1,[3]],["r",1,[4]]]"#,
        witness: r#"{"type":"internal","witness":{"witness":"micros","places":[{"transaction":0,"micro":1,"role":"read"}]}}"#,
        wrong: &[("[4]", "[3]")],
    },
    Row {
        // Whose order is known is the text, not the number.
        history: r#"7:txn=[["append",1,1]] 0:txn=[["append","1",1],["append",2,2]]( 1:txn=[["append","1",2],["append",2,1]](
            2:txn=[["r","1",null],["r",2,null]]( 0) 1) 2)[["r","1",[1,2]],["r",2,[1,2]]]"#,
        witness: r#"{"type":"not-serializable","witness":{"witness":"no-commit-order","transactions":[2,3],"smallest":true,"derivation":[
            {"from":2,"to":3,"key":"1","rule":"versions"},{"from":3,"to":2,"key":"2","rule":"versions"}]}}"#,
        wrong: &[(r#"["r","1",[1,2]]"#, r#"["r","1",[2,1]]"#)],
    },
    Row {
        history: r#"0:txn=[["r",1,null],["w","1",1]]( 1:txn=[["r","1",null],["w",1,1]]( 0) 1)"#,
        witness: r#"{"type":"write-skew","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":0,"because":{"kind":"rw","key":"1"}},{"transaction":1,"because":{"kind":"rw","key":"1"}}]}}"#,
        wrong: &[("write-skew", "lost-update"), (r#"["w",1,1]"#, r#"["w","1",2]"#)],
    },
    Row {
        history: r#"0:txn=[["r",1,null],["append","1",2]]( 1:txn=[["append",1,1],["append","1",1]]( 2:txn=[["r","1",null]]( 0) 1) 2)[["r","1",[1,2]]]"#,
        witness: r#"{"type":"G-single-item","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":0,"because":{"kind":"rw","key":"1"}},{"transaction":1,"because":{"kind":"ww","key":"1"}}]}}"#,
        wrong: &[("G-single-item", "G-cursor"), ("G-single-item", "lost-update")],
    },
    Row {
        history: r#"0:txn=[["r",1,null],["append",1,2]]( 1:txn=[["append","1",1],["append",1,1]]( 2:txn=[["r",1,null]]( 0) 1) 2)[["r",1,[1,2]]]"#,
        witness: r#"{"type":"G-cursor","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":0,"because":{"kind":"rw","key":"1"}},{"transaction":1,"because":{"kind":"ww","key":"1"}}]}}"#,
        wrong: &[(r#"["append",1,2]"#, r#"["append","1",2]"#)],
    },
];

#[test]
fn witnesses_name_what_is_certain() {
    for row in ROWS {
        let told = |history: &str, witness: &str| {
            let history = notation::parse(history).unwrap_or_else(|error| panic!("{error}: {history}"));
            let anomaly: Anomaly = serde_json::from_str(witness).unwrap_or_else(|error| panic!("{error}: {witness}"));
            verify(&history, &anomaly)
        };
        assert_eq!(told(row.history, row.witness), Ok(()), "{}\n{}", row.history, row.witness);
        for (part, other) in row.wrong {
            let [history, witness] = [row.history, row.witness].map(|text| text.replace(part, other));
            assert!((&*history, &*witness) != (row.history, row.witness), "{part} is no part of it");
            assert!(told(&history, &witness).is_err(), "verified, but it is wrong: {history}\n{witness}");
        }
    }
}

#[test]
fn what_is_told_where_elements_and_keys_are_written_alike_is_verified() {
    let cases = [
        (
            "list-append",
            "dirty-update",
            r#"0:txn=[["append",1,1]]! 1:txn=[["append",1,2]] 2:txn=[["r",1,null]]>[["r",1,[2,1,2]]]"#,
        ),
        ("list-append", "internal", r#"0:txn=[["r",1,null],["r",1,null]]>[["r",1,[3]],["r",1,[4]]]"#),
        ("rw-register", "write-skew", r#"0:txn=[["r",1,null],["w","1",1]]( 1:txn=[["r","1",null],["w",1,1]]( 0) 1)"#),
        (
            "list-append",
            "write-skew",
            r#"0:txn=[["r",1,null],["append","1",1]]( 1:txn=[["r","1",null],["append",1,1]]( 0) 1)"#,
        ),
        (
            "rw-register",
            "lost-update",
            r#"2:txn=[["w",1,[5,6]]] 0:txn=[["r",1,null],["w",1,[5]]]( 1:txn=[["r",1,null],["w",1,[6,7,8]]](
               0)[["r",1,[5,6]],["w",1,[5]]] 1)[["r",1,[5,6]],["w",1,[6,7,8]]]"#,
        ),
        (
            "rw-register",
            "G1c",
            r#"0:txn=[["w",1,[5,6]],["r",2,null]]( 1:txn=[["w",2,[]],["r",1,null]](
               0)[["w",1,[5,6]],["r",2,[]]] 1)[["w",2,[]],["r",1,[5,6]]]"#,
        ),
        (
            "list-append",
            "G0",
            r#"7:txn=[["append",1,1]] 0:txn=[["append","1",1],["append",2,2]]( 1:txn=[["append","1",2],["append",2,1]](
               2:txn=[["r","1",null],["r",2,null]]( 0) 1) 2)[["r","1",[1,2]],["r",2,[1,2]]]"#,
        ),
    ];
    for (data, kind, text) in cases {
        let (_, anomalies) = found(data, "serializable", text);
        assert!(kinds(&anomalies).contains(&kind), "{kind}: {:?}\n{text}", kinds(&anomalies));
    }
}
