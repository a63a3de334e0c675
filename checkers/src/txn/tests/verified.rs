//! Witnesses that are right, and the same with something in them that is not.

use schism_history::notation;

use crate::Anomaly;
use crate::txn::verify::verify;

/// A history, and anomalies as JSON: the first is there, and none of the others.
struct Row {
    history: &'static str,
    right: &'static str,
    wrong: &'static [(&'static str, &'static str)],
}

/// In `wrong`: a part of the text of `right`, and what it is replaced by.
const ROWS: &[Row] = &[
    Row {
        history: r#"0:txn=[["w","x",1],["r","y",null]]( 1:txn=[["w","y",1],["r","x",null]]( 0)[["w","x",1],["r","y",1]] 1)[["w","y",1],["r","x",1]]"#,
        right: r#"{"type":"G1c","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":0,"because":{"kind":"wr","key":"x","from_micro":0,"to_micro":1}},
            {"transaction":1,"because":{"kind":"wr","key":"y"}}]}}"#,
        wrong: &[
            ("G1c", "G0"),
            ("G1c", "G-single"),
            ("G1c", "G1c-process"),
            (r#""key":"x""#, r#""key":"y""#),
            (r#""from_micro":0"#, r#""from_micro":1"#),
            (r#""to_micro":1"#, r#""to_micro":7"#),
            (r#""transaction":1"#, r#""transaction":0"#),
            (r#""transaction":1"#, r#""transaction":2"#),
            (r#""transaction":1"#, r#""transaction":99"#),
            (r#""wr","key":"y""#, r#""process""#),
            (r#""wr","key":"y""#, r#""realtime""#),
            (r#""wr","key":"y""#, r#""rw""#),
            (r#""wr","key":"y""#, r#""wrp""#),
        ],
    },
    Row {
        history: r#"0:txn=[["append",1,1],["append",2,2]]( 1:txn=[["append",1,2],["append",2,1]]( 2:txn=[["r",1,null],["r",2,null]]( 0) 1) 2)[["r",1,[1,2]],["r",2,[1,2]]]"#,
        right: r#"{"type":"G0","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":0,"because":{"kind":"ww","key":"1"}},{"transaction":1,"because":{"kind":"ww","key":"2"}}]}}"#,
        wrong: &[("G0", "G1c"), (r#""key":"1""#, r#""key":"2""#), (r#""key":"1""#, r#""key":"3""#), ("ww", "rw")],
    },
    Row {
        history: r#"0:txn=[["append",1,1]] 1:txn=[["r",1,null]] 2:txn=[["r",1,null]]>[["r",1,[1]]]"#,
        right: r#"{"type":"G-single-item-realtime","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":2,"because":{"kind":"rw","key":"1","from_micro":0,"to_micro":0}},
            {"transaction":0,"because":{"kind":"realtime"}}]}}"#,
        wrong: &[
            ("-item-realtime", "-item"),
            ("-item-realtime", "-item-process"),
            (r#""realtime""#, r#""process""#),
            (r#""transaction":2"#, r#""transaction":4"#),
            ("G-single-item-realtime", "G-nonadjacent-item-realtime"),
        ],
    },
    Row {
        history: r#"0:txn=[["r",1,null],["r",2,null],["w",1,1]]( 1:txn=[["r",1,null],["r",2,null],["w",2,1]]( 0) 1)"#,
        right: r#"{"type":"G2-item","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":0,"because":{"kind":"rw","key":"2"}},{"transaction":1,"because":{"kind":"rw","key":"1"}}]}}"#,
        wrong: &[("G2-item", "G-nonadjacent-item"), ("G2-item", "G-single-item"), (r#""key":"2""#, r#""key":"1""#)],
    },
    Row {
        history: r#"0:txn=[["w",1,5]]! 1:txn=[["r",1,null]]>[["r",1,5]] 2:txn=[["w",1,6]]"#,
        right: r#"{"type":"G1a","witness":{"witness":"micros","places":[
            {"transaction":2,"micro":0,"role":"read"},{"transaction":0,"micro":0,"role":"aborted-write"}]}}"#,
        wrong: &[
            ("G1a", "G1b"),
            ("G1a", "garbage-read"),
            (r#""transaction":0"#, r#""transaction":4"#),
            ("aborted-write", "write"),
            (r#""micro":0,"role":"read""#, r#""micro":1,"role":"read""#),
        ],
    },
    Row {
        history: r#"0:txn=[["w",1,5],["w",1,6]]( 1:txn=[["r",1,null],["r",1,null]]( 0) 1)[["r",1,5],["r",1,6]]"#,
        right: r#"{"type":"G1b","witness":{"witness":"micros","places":[
            {"transaction":1,"micro":0,"role":"read"},{"transaction":0,"micro":0,"role":"write"}]}}"#,
        wrong: &[
            ("G1b", "G1a"),
            ("G1b", "internal"),
            (r#""micro":0,"role":"read""#, r#""micro":1,"role":"read""#),
            (r#""micro":0,"role":"write""#, r#""micro":1,"role":"write""#),
        ],
    },
    Row {
        history: r#"0:txn=[["r",1,null],["append",1,1],["r",1,null],["r",1,null]]>[["r",1,[3]],["append",1,1],["r",1,[3]],["r",1,[3]]] 1:txn=[["append",1,3]]"#,
        right: r#"{"type":"internal","witness":{"witness":"micros","places":[{"transaction":0,"micro":2,"role":"read"}]}}"#,
        wrong: &[(r#""micro":2"#, r#""micro":0"#), (r#""micro":2"#, r#""micro":3"#), (r#""micro":2"#, r#""micro":1"#)],
    },
    Row {
        history: r#"0:txn=[["r",1,null],["append",1,1]]>[["r",1,[1]],["append",1,1]] 1:txn=[["r",1,null]]>[["r",1,[1]]]"#,
        right: r#"{"type":"future-read","witness":{"witness":"micros","places":[
            {"transaction":0,"micro":0,"role":"read"},{"transaction":0,"micro":1,"role":"write"}]}}"#,
        wrong: &[(r#"0,"micro":0"#, r#"2,"micro":0"#), ("future-read", "garbage-read")],
    },
    Row {
        history: r#"0:txn=[["append",1,1]]! 1:txn=[["append",1,2]] 2:txn=[["r",1,null]]>[["r",1,[1,2]]]"#,
        right: r#"{"type":"dirty-update","witness":{"witness":"micros","places":[
            {"transaction":0,"micro":0,"role":"aborted-write"},{"transaction":2,"micro":0,"role":"over-write"}]}}"#,
        wrong: &[(r#""transaction":0"#, r#""transaction":2"#), (r#""transaction":2"#, r#""transaction":4"#)],
    },
    Row {
        history: r#"0:txn=[["r",1,null],["w",1,1]]( 1:txn=[["r",1,null],["w",1,2]]( 0) 1) 2:txn=[["r",1,null]]>[["r",1,2]]"#,
        right: r#"{"type":"lost-update","witness":{"witness":"micros","places":[
            {"transaction":0,"micro":0,"role":"read"},{"transaction":1,"micro":0,"role":"other-read"}]}}"#,
        wrong: &[(r#""transaction":1"#, r#""transaction":4"#), (r#""transaction":1"#, r#""transaction":0"#)],
    },
    Row {
        history: r#"0:txn=[["append",1,1]] 1:txn=[["r",1,null]]>[["r",1,[1,1]]] 2:txn=[["r",1,null]]>[["r",1,[2]]]"#,
        right: r#"{"type":"duplicate-elements","witness":{"witness":"micros","places":[{"transaction":2,"micro":0,"role":"read"}]}}"#,
        wrong: &[(r#""transaction":2"#, r#""transaction":4"#), ("duplicate-elements", "garbage-read")],
    },
    Row {
        history: r#"0:txn=[["r",1,null]]>[["r",1,[1,2]]] 0:txn=[["r",1,null]]>[["r",1,[2]]] 0:txn=[["r",1,null]]>[["r",1,[1]]]"#,
        right: r#"{"type":"incompatible-order","witness":{"witness":"micros","places":[
            {"transaction":0,"micro":0,"role":"read"},{"transaction":2,"micro":0,"role":"other-read"}]}}"#,
        wrong: &[(r#""transaction":2"#, r#""transaction":4"#), ("incompatible-order", "non-repeatable-read")],
    },
    Row {
        history: r#"0:txn=[["r",1,null],["r",1,null]]>[["r",1,9],["r",1,8]] 1:txn=[["w",1,8]]!"#,
        right: r#"{"type":"garbage-read","witness":{"witness":"micros","places":[{"transaction":0,"micro":0,"role":"read"}]}}"#,
        wrong: &[(r#""micro":0"#, r#""micro":1"#)],
    },
    Row {
        history: r#"0:txn=[["w",1,1]]( 1:txn=[["r",1,null],["r",1,null]]( 0) 1)[["r",1,null],["r",1,1]]"#,
        right: r#"{"type":"non-repeatable-read","witness":{"witness":"micros","places":[
            {"transaction":1,"micro":1,"role":"read"},{"transaction":1,"micro":0,"role":"other-read"}]}}"#,
        wrong: &[(r#""micro":1"#, r#""micro":0"#), (r#"1,"micro":1"#, r#"0,"micro":0"#)],
    },
    Row {
        history: r#"0:txn=[["r",1,null],["w",1,2]]( 1:txn=[["r",1,null],["w",1,1]]( 0)[["r",1,1],["w",1,2]] 1)[["r",1,2],["w",1,1]] 2:txn=[["w",1,7]]"#,
        right: r#"{"type":"cyclic-versions","witness":{"witness":"micros","places":[
            {"transaction":0,"micro":1,"role":"write"},{"transaction":1,"micro":1,"role":"write"}]}}"#,
        wrong: &[(r#"1,"micro":1"#, r#"4,"micro":0"#)],
    },
    Row {
        history: r#"0:txn=[["r",1,null],["w",1,1]]( 1:txn=[["r",1,null],["w",1,2]]( 0) 1) 2:txn=[["r",1,null]]>[["r",1,2]]"#,
        right: r#"{"type":"not-serializable","witness":{"witness":"no-commit-order","transactions":[0,1],"smallest":true,"derivation":[
            {"from":0,"to":1,"key":"1","rule":"written-after-read"},{"from":1,"to":0,"key":"1","rule":"written-after-read"}]}}"#,
        wrong: &[
            ("[0,1]", "[0]"),
            (r#""from":1,"to":0,"key":"1","rule":"written-after-read""#, r#""from":1,"to":4,"rule":"reads-from""#),
            (r#""to":0,"key":"1""#, r#""to":0,"key":"2""#),
            (r#""to":0,"key":"1","rule":"written-after-read""#, r#""to":0,"rule":"assumed""#),
            (r#""to":0,"key":"1","rule":"written-after-read""#, r#""to":0,"rule":"process""#),
            (r#""to":0,"key":"1","rule":"written-after-read""#, r#""to":0,"rule":"realtime""#),
            (r#""to":0,"key":"1","rule":"written-after-read""#, r#""to":0,"rule":"otherwise""#),
            (r#""to":0,"key":"1","rule":"written-after-read""#, r#""to":0,"rule":"overwritten-before","other":4"#),
        ],
    },
    Row {
        history: r#"0:txn=[["w",1,1]]( 1:txn=[["r",1,null],["w",2,1]]( 2:txn=[["r",2,null],["r",1,null]]( 0) 1)[["r",1,1],["w",2,1]] 2)[["r",2,1],["r",1,null]]"#,
        right: r#"{"type":"stale-causal-read","witness":{"witness":"no-commit-order","transactions":[0,1,2],"smallest":true,"derivation":[
            {"from":0,"to":1,"key":"1","rule":"reads-from"},{"from":1,"to":2,"key":"2","rule":"reads-from"},
            {"from":2,"to":0,"key":"1","rule":"written-after-read","rests_on":[0,1]}]}}"#,
        wrong: &[
            (r#""from":0,"to":1"#, r#""from":1,"to":0"#),
            ("[0,1,2]", "[0,1]"),
            (r#""rests_on":[0,1]"#, r#""rests_on":[0,7]"#),
        ],
    },
    Row {
        history: r#"0:txn=[["r",1,null],["w",1,1]]( 1:txn=[["r",1,null],["w",1,2]]( 0) 1)"#,
        right: r#"{"type":"not-snapshot-isolation","witness":{"witness":"no-commit-order","transactions":[0,1],"smallest":true,"derivation":[]}}"#,
        wrong: &[
            ("not-snapshot-isolation", "not-prefix"),
            ("not-snapshot-isolation", "stale-causal-read"),
            ("not-snapshot-isolation", "G0"),
            ("[0,1]", "[0]"),
            ("[0,1]", "[0,2]"),
        ],
    },
    Row {
        history: r#"0:txn=[["w",1,1]] 0:txn=[["r",1,null]] 1:txn=[["r",1,null]]>[["r",1,1]]"#,
        right: r#"{"type":"not-serializable-process","witness":{"witness":"no-commit-order","transactions":[0,2],"smallest":true,"derivation":[]}}"#,
        wrong: &[("-process", ""), ("[0,2]", "[0,4]")],
    },
    Row {
        history: r#"0:txn=[["w",1,1]]( 1:txn=[["w",2,1]]( 2:txn=[["r",1,null],["r",2,null]]( 3:txn=[["r",1,null],["r",2,null]]( 0) 1) 2)[["r",1,1],["r",2,null]] 3)[["r",1,null],["r",2,1]]"#,
        right: r#"{"type":"not-prefix","witness":{"witness":"no-commit-order","transactions":[0,1,2,3],"smallest":true,"derivation":[]}}"#,
        wrong: &[
            ("not-prefix", "not-parallel-snapshot-isolation"),
            ("not-prefix", "not-update-serializable"),
            ("0,1,2,3", "0,1,2"),
        ],
    },
    Row {
        history: r#"0:txn=[["r",1,null],["w",2,1]]( 1:txn=[["r",2,null],["w",1,1]]( 0) 1)"#,
        right: r#"{"type":"not-update-serializable","witness":{"witness":"no-commit-order","transactions":[0,1],"smallest":true,"derivation":[]}}"#,
        wrong: &[("not-update-serializable", "not-snapshot-isolation")],
    },
    Row {
        history: r#"0:txn=[["w",1,1]] 0:txn=[["r",1,null]] 1:txn=[["r",1,null]] 1:txn=[["r",1,null]]>[["r",1,1]]"#,
        right: r#"{"type":"not-sequential","witness":{"witness":"no-commit-order","transactions":[0,2],"smallest":true,"derivation":[]}}"#,
        wrong: &[("[0,2]", "[0,4]"), ("[0,2]", "[2]"), ("[0,2]", "[0,6]")],
    },
    Row {
        history: r#"0:txn=[["w",1,1]] 0:txn=[["r",1,null]] 1:txn=[["r",1,null]] 1:txn=[["r",1,null]]>[["r",1,1]]"#,
        right: r#"{"type":"not-linearizable","witness":{"witness":"no-commit-order","transactions":[0,4],"smallest":true,"derivation":[]}}"#,
        wrong: &[("linearizable", "sequential"), ("[0,4]", "[0,6]")],
    },
];

#[test]
fn right_witnesses_are_verified_and_wrong_ones_are_not() {
    for row in ROWS {
        let history = notation::parse(row.history).expect("a history");
        let anomaly =
            |text: &str| serde_json::from_str::<Anomaly>(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(verify(&history, &anomaly(row.right)), Ok(()), "{}", row.right);
        for (part, other) in row.wrong {
            let text = row.right.replacen(part, other, 1);
            assert_ne!(text, row.right, "{part} is no part of it");
            assert!(verify(&history, &anomaly(&text)).is_err(), "verified, but it is wrong: {text}");
        }
    }
}
