//! Witnesses that are right, and the same with something in them that is not.

use schism_history::{History, RunFacts, notation};

use crate::anomaly::{AnomalyKind, Derived, Role, Witness};
use crate::table::{Options, build_with};
use crate::txn::levels::{EXAMPLES, KindSet};
use crate::txn::verify::verify;
use crate::{Anomaly, Budget};

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
            {"transaction":0,"micro":0,"role":"aborted-write"},{"transaction":2,"micro":0,"role":"over-write"},
            {"transaction":4,"micro":0,"role":"read"}]}}"#,
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
            {"transaction":0,"micro":0,"role":"read"},{"transaction":0,"micro":1,"role":"write"},
            {"transaction":1,"micro":0,"role":"read"},{"transaction":1,"micro":1,"role":"write"}]}}"#,
        wrong: &[(r#"1,"micro":1"#, r#"4,"micro":0"#), (r#"0,"micro":0"#, r#"0,"micro":1"#)],
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
    Row {
        // What nobody read comes after all that was read.
        history: r#"0:txn=[["append",1,1]] 0:txn=[["append",1,2]] 1:txn=[["r",1,null]]>[["r",1,[1]]]"#,
        right: r#"{"type":"G-single-item-realtime","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":4,"because":{"kind":"rw","key":"1","from_micro":0,"to_micro":0}},
            {"transaction":2,"because":{"kind":"realtime"}}]}}"#,
        wrong: &[(r#""transaction":2"#, r#""transaction":0"#), ("-realtime", ""), ("rw", "ww"), ("rw", "wr")],
    },
    Row {
        // In doubt, and seen on one list: what it appended to the other comes after all that was read there.
        history: r#"0:txn=[["append",1,1]] 9:txn=[["append",1,2],["append",2,1],["append",3,1]]? 1:txn=[["r",2,null],["r",1,null],["r",3,null]]>[["r",2,[1]],["r",1,[1]],["r",3,null]]"#,
        right: r#"{"type":"G-single-item","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":2,"because":{"kind":"wr","key":"2","from_micro":1,"to_micro":0}},
            {"transaction":4,"because":{"kind":"rw","key":"1","from_micro":1,"to_micro":0}}]}}"#,
        wrong: &[
            (r#""from_micro":1,"to_micro":0"#, r#""from_micro":2,"to_micro":0"#),
            (r#""from_micro":1,"to_micro":0"#, r#""from_micro":1,"to_micro":1"#),
            (r#""key":"1","from_micro":1"#, r#""key":"1","from_micro":2"#),
            (r#""transaction":2"#, r#""transaction":0"#),
        ],
    },
    Row {
        // Between two elements one of a transaction that failed.
        history: r#"0:txn=[["append",1,3]] 1:txn=[["append",1,2]]! 2:txn=[["append",1,1]] 3:txn=[["r",1,null]]>[["r",1,[1,2,3]]]"#,
        right: r#"{"type":"G0-realtime","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":4,"because":{"kind":"ww","key":"1"}},{"transaction":0,"because":{"kind":"realtime"}}]}}"#,
        wrong: &[
            (r#""transaction":4"#, r#""transaction":2"#),
            ("-realtime", "-process"),
            ("G0-realtime", "G1c"),
            ("ww", "rw"),
        ],
    },
    Row {
        // Behind its own append a transaction read what others wrote without that.
        history: r#"0:txn=[["append",1,1]] 0:txn=[["append",1,2],["r",1,null]]>[["append",1,2],["r",1,[2]]]"#,
        right: r#"{"type":"not-read-your-writes","witness":{"witness":"no-commit-order","transactions":[0,2],"smallest":false,"derivation":[
            {"from":0,"to":2,"rule":"process"},{"from":2,"to":0,"key":"1","rule":"written-after-read","rests_on":[0]}]}}"#,
        wrong: &[
            ("not-read-your-writes", "not-monotonic-reads"),
            ("not-read-your-writes", "not-writes-follow-reads"),
            ("not-read-your-writes", "fractured-read"),
            ("[0,2]", "[2]"),
            (r#""from":0,"to":2"#, r#""from":2,"to":0"#),
            (r#""rule":"process""#, r#""rule":"reads-from""#),
            ("[0]}", "[7]}"),
        ],
    },
    Row {
        // Behind its own write a transaction read the initial state.
        history: r#"0:txn=[["w",1,1],["r",1,null]] 1:txn=[["r",2,null],["w",2,1]]"#,
        right: r#"{"type":"not-read-your-writes","witness":{"witness":"micros","places":[
            {"transaction":0,"micro":1,"role":"read"},{"transaction":0,"micro":0,"role":"write"}]}}"#,
        wrong: &[
            ("not-read-your-writes", "future-read"),
            (r#""transaction":0,"micro":1"#, r#""transaction":2,"micro":0"#),
            (r#""micro":1,"role":"read""#, r#""micro":0,"role":"read""#),
        ],
    },
    Row {
        // A causal path of two steps makes no fractured read.
        history: r#"0:txn=[["w",1,1]]( 1:txn=[["r",1,null],["w",2,1]]( 2:txn=[["r",2,null],["r",1,null]]( 0) 1)[["r",1,1],["w",2,1]] 2)[["r",2,1],["r",1,null]]"#,
        right: r#"{"type":"stale-causal-read","witness":{"witness":"no-commit-order","transactions":[0,1,2],"smallest":false,"derivation":[
            {"from":0,"to":1,"key":"1","rule":"reads-from"},{"from":1,"to":2,"key":"2","rule":"reads-from"},
            {"from":2,"to":0,"key":"1","rule":"written-after-read","rests_on":[0,1]}]}}"#,
        wrong: &[
            ("stale-causal-read", "fractured-read"),
            ("stale-causal-read", "non-monotonic-view"),
            ("[0,1]}", "[1]}"),
        ],
    },
    Row {
        // Process 2 saw x of 3, and then not yet y of 0; then z of 0, and so what 0 wrote to x before, which is newer than that of 3.
        history: r#"3:txn=[["w","x",2]]( 0:txn=[["w","y",1]] 0:txn=[["w","x",1]] 0:txn=[["w","z",1]] 2:txn=[["r","x",2]] 2:txn=[["r","y",null]] 2:txn=[["r","z",1]] 2:txn=[["r","x",2]] 3)"#,
        right: r#"{"type":"not-pipelined-ram","witness":{"witness":"no-process-order","process":2,"transactions":[0,1,3,5,7,9,11,13],"smallest":true}}"#,
        wrong: &[
            ("pipelined-ram", "sequential"),
            (r#""process":2"#, r#""process":3"#),
            (r#""process":2"#, r#""process":0"#),
            (r#""process":2"#, r#""process":7"#),
            ("[0,1,3", "[0,3"),
            ("[0,1,3", "[0,1"),
            (",13]", "]"),
            (",13]", ",14]"),
            (",13]", ",99]"),
        ],
    },
    Row {
        // z of 0 leads to x of 3, which process 1 has before its own, and so before it reads z.
        history: r#"0:txn=[["w","z",1]]( 1:txn=[["w","x",2]]( 3:txn=[["r","z",1]] 3:txn=[["w","x",1]] 3:txn=[["w","y",1]] 1) 1:txn=[["r","z",null]] 1:txn=[["r","y",1]] 1:txn=[["r","x",2]] 0)"#,
        right: r#"{"type":"not-causal-memory","witness":{"witness":"no-process-order","process":1,"transactions":[0,1,2,4,6,9,11,13],"smallest":true}}"#,
        wrong: &[
            ("causal-memory", "pipelined-ram"),
            (r#""process":1"#, r#""process":3"#),
            ("[0,1,2,4", "[0,1,4"),
            ("[0,1,2,4", "[1,2,4"),
            ("6,9,11", "6,11"),
        ],
    },
    Row {
        // A write in doubt that somebody read happened; one that nobody read may come last.
        history: r#"0:txn=[["w","x",1]]? 1:txn=[["r","x",1]] 1:txn=[["r","x",null]] 2:txn=[["w","y",1]]? 3:txn=[["r","y",null]]"#,
        right: r#"{"type":"not-pipelined-ram","witness":{"witness":"no-process-order","process":1,"transactions":[0,2,4],"smallest":true}}"#,
        wrong: &[
            ("[0,2,4]", "[0,4]"),
            ("[0,2,4]", "[2,4]"),
            ("[0,2,4]", "[6,8]"),
            (r#"1,"transactions":[0,2"#, r#"3,"transactions":[6,8"#),
        ],
    },
    Row {
        // A phantom: it found b and not a, which the same transaction had made.
        history: r#"0:txn=[["insert","a",1],["insert","b",1]]( 1:txn=[["rp","true",null]]( 0) 1)[["rp","true",{"b":1}]]"#,
        right: r#"{"type":"G-single","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":0,"because":{"kind":"wr","key":"b","from_micro":1,"to_micro":0}},
            {"transaction":1,"because":{"kind":"rwp","key":"a","from_micro":0,"to_micro":0}}]}}"#,
        wrong: &[
            ("G-single", "G-single-item"),
            ("G-single", "G1c"),
            ("rwp", "rw"),
            ("rwp", "wrp"),
            ("rwp", "wwp"),
            (r#""wr""#, r#""wrp""#),
            (r#""wr""#, r#""ww""#),
            (r#""key":"b""#, r#""key":"a""#),
            (r#""key":"a""#, r#""key":"b""#),
            (r#""from_micro":1"#, r#""from_micro":0"#),
            (r#""from_micro":0,"to_micro":0"#, r#""from_micro":0,"to_micro":1"#),
        ],
    },
    Row {
        // It saw that a is 1 no more, and b, which the same transaction removed.
        history: r#"2:txn=[["init","a",1],["init","b",5]] 0:txn=[["w","a",2],["delete","b",null]]( 1:txn=[["rp","= 1",null],["r","b",null]]( 0) 1)[["rp","= 1",{}],["r","b",5]]"#,
        right: r#"{"type":"G-single-item","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":2,"because":{"kind":"wrp","key":"a","from_micro":0,"to_micro":0,"before":"2"}},
            {"transaction":3,"because":{"kind":"rw","key":"b","from_micro":1,"to_micro":1,"before":"5"}}]}}"#,
        wrong: &[
            ("wrp", "wr"),
            ("wrp", "rwp"),
            (r#""rw""#, r#""rwp""#),
            (r#""transaction":2"#, r#""transaction":0"#),
            (r#""key":"a""#, r#""key":"b""#),
            (r#""before":"2""#, r#""before":"1""#),
            (r#""before":"5""#, r#""before":"6""#),
            (r#""from_micro":0,"to_micro":0"#, r#""from_micro":0,"to_micro":1"#),
        ],
    },
    Row {
        // Two of the universe's versions, and one of a register.
        history: r#"0:txn=[["insert","a",1],["w","r",1]]( 1:txn=[["delete","a",null],["r","r",null]]( 0) 1)"#,
        right: r#"{"type":"G-single-item","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":0,"because":{"kind":"ww","key":"a","from_micro":0,"to_micro":0}},
            {"transaction":1,"because":{"kind":"rw","key":"r","from_micro":1,"to_micro":1}}]}}"#,
        wrong: &[
            ("ww", "wwp"),
            ("ww", "wr"),
            (r#""key":"a""#, r#""key":"r""#),
            (r#""key":"r""#, r#""key":"a""#),
            ("ww", "rw"),
        ],
    },
    Row {
        // That the first is found by none is no matter of the second, whose version nobody may have seen: one in doubt is like it.
        history: r#"0:txn=[["insert","a",1],["insert","b",1]]( 1:txn=[["rp","true",null]]( 2:txn=[["delete","b",null]]? 0) 1)[["rp","true",{"b":1}]]"#,
        right: r#"{"type":"G-single","witness":{"witness":"cycle","shortest":true,"steps":[
            {"transaction":0,"because":{"kind":"wr","key":"b"}},{"transaction":1,"because":{"kind":"rwp","key":"a"}}]}}"#,
        wrong: &[(r#""wr","key":"b""#, r#""wr","key":"a""#)],
    },
];

/// Dependencies of predicates that are not there, as what was seen may be what one in doubt left, or as versions have no order.
#[test]
fn what_is_not_known_of_objects_is_refused() {
    let cycle = r#"{"type":"G-single","witness":{"witness":"cycle","shortest":true,"steps":[
        {"transaction":0,"because":{"kind":"wr","key":"b"}},{"transaction":1,"because":{"kind":"rwp","key":"a"}}]}}"#;
    let made = r#"0:txn=[["insert","a",1],["insert","b",1]]( 1:txn=[["rp","true",null]]( "#;
    let anomaly: Anomaly = serde_json::from_str(cycle).expect("an anomaly");
    for (more, refused) in [
        ("", false),
        // Removed by one in doubt, perhaps before it was looked for.
        (r#"2:txn=[["delete","a",null]]? "#, true),
        (r#"2:txn=[["delete","b",null]]? "#, false),
        (r#"2:txn=[["insert","b",1]]! "#, false),
        // Found of two.
        (r#"2:txn=[["insert","b",1]] "#, true),
        (r#"2:txn=[["w","a",3]] 3:txn=[["w","a",4]] "#, true),
    ] {
        let history = notation::parse(&format!(r#"{made}{more}0) 1)[["rp","true",{{"b":1}}]]"#)).expect("a history");
        assert_eq!(verify(&history, &anomaly).is_err(), refused, "{more}: {:?}", verify(&history, &anomaly));
    }
}

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

/// What is found in each example: the history, all kinds, and the anomalies.
fn found() -> Vec<(History, KindSet, Vec<Anomaly>)> {
    let of = |example: &crate::txn::levels::Example| {
        let sources = (!example.version_order.is_empty()).then_some(example.version_order);
        let options = Options { model: None, consistency: Some(example.level.usual_name()), version_order: sources };
        let checker = build_with(example.data.as_str(), &options).expect("a checker");
        let history = notation::parse(&example.history()).expect("a history");
        let finding = checker.check(&history, &RunFacts::default(), &Budget::default());
        let anomalies: Vec<Anomaly> = finding.anomalies.into_iter().chain(finding.beyond).collect();
        let kinds = anomalies.iter().filter_map(|anomaly| AnomalyKind::parse(&anomaly.kind)).collect::<KindSet>();
        (history, kinds.with_what_it_implies(), anomalies)
    };
    EXAMPLES.iter().map(of).collect()
}

/// Tries variants of each witness of each example, all of which must be refused; how many there were.
fn all_are_refused(variants: impl Fn(&Anomaly, KindSet) -> Vec<Anomaly>) -> usize {
    let (mut count, mut accepted) = (0, Vec::new());
    for (history, kinds, anomalies) in found() {
        for anomaly in anomalies.iter().filter(|anomaly| verify(&history, anomaly).is_ok()) {
            for variant in variants(anomaly, kinds) {
                count += 1;
                if verify(&history, &variant).is_ok() {
                    accepted.push(format!("{}: {anomaly:?}\n  as {variant:?}", notation::write(&history)));
                }
            }
        }
    }
    assert!(accepted.is_empty(), "{} of {count} are accepted:\n{}", accepted.len(), accepted.join("\n"));
    count
}

fn with(anomaly: &Anomaly, witness: Witness) -> Anomaly {
    let mut other = anomaly.clone();
    other.witness = witness;
    other
}

#[test]
fn every_example_is_verified() {
    let (mut refused, mut of_predicates) = (Vec::new(), 0);
    for (history, _, anomalies) in found() {
        for anomaly in anomalies {
            match verify(&history, &anomaly) {
                Ok(()) => {}
                Err(wrong) if wrong.contains("of predicates") => of_predicates += 1,
                Err(wrong) => refused.push(format!("{wrong}: {}\n{anomaly:#?}", notation::write(&history))),
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(of_predicates < 20, "{of_predicates}");
}

#[test]
fn a_transaction_that_is_dropped_is_missed() {
    let count = all_are_refused(|anomaly, _| match &anomaly.witness {
        Witness::Cycle { steps, shortest: true } => {
            let without = |place: usize| {
                let steps = steps.iter().enumerate().filter(|(at, _)| *at != place).map(|(_, step)| step.clone());
                with(anomaly, Witness::Cycle { steps: steps.collect(), shortest: true })
            };
            (0..steps.len()).map(without).collect()
        }
        Witness::NoCommitOrder { transactions, derivation, smallest } if *smallest || !derivation.is_empty() => {
            let without = |&dropped: &u32| {
                let transactions = transactions.iter().copied().filter(|&other| other != dropped).collect();
                with(
                    anomaly,
                    Witness::NoCommitOrder { transactions, derivation: derivation.clone(), smallest: *smallest },
                )
            };
            transactions.iter().map(without).collect()
        }
        Witness::NoProcessOrder { process, transactions, smallest: true } => {
            let without = |&dropped: &u32| {
                let transactions = transactions.iter().copied().filter(|&other| other != dropped).collect();
                with(anomaly, Witness::NoProcessOrder { process: *process, transactions, smallest: true })
            };
            transactions.iter().map(without).collect()
        }
        Witness::Micros { places, expected, found } => {
            let places: Vec<_> = places.iter().filter(|place| place.role != Role::Read).cloned().collect();
            vec![with(anomaly, Witness::Micros { places, expected: expected.clone(), found: found.clone() })]
        }
        _ => Vec::new(),
    });
    assert!(count > 150, "{count}");
}

#[test]
fn a_kind_that_is_not_there_is_refused() {
    let count = all_are_refused(|anomaly, kinds| {
        // What no engine was asked for may be there without having been found.
        let is_inside = |kind: &AnomalyKind| ["G-cursor", "G-monotonic", "G-MSR"].contains(&kind.as_str());
        let is_of_search = |kind: &AnomalyKind| kind.as_str().starts_with("not-") || is_inside(kind);
        let wrong = AnomalyKind::ALL.iter().filter(|&&kind| !kinds.contains(kind) && !is_of_search(&kind));
        let renamed = |kind: &AnomalyKind| {
            let mut other = anomaly.clone();
            other.kind = kind.as_str().to_owned();
            other
        };
        wrong.map(renamed).collect()
    });
    assert!(count > 2_000, "{count}");
}

#[test]
fn an_edge_the_other_way_round_is_refused() {
    let count = all_are_refused(|anomaly, _| match &anomaly.witness {
        Witness::Cycle { steps, shortest } => {
            let swapped = |place: usize| {
                let mut steps = steps.clone();
                let next = (place + 1) % steps.len();
                let because = std::mem::take(&mut steps[place].because);
                steps[place].because = std::mem::replace(&mut steps[next].because, because);
                with(anomaly, Witness::Cycle { steps, shortest: *shortest })
            };
            let kind = |place: usize| &steps[place].because;
            let differ = |place: &usize| kind(*place) != kind((place + 1) % steps.len());
            (0..steps.len() - 1).filter(differ).map(swapped).collect()
        }
        Witness::NoCommitOrder { transactions, derivation, smallest } => {
            let turned = |place: usize| {
                let mut lines = derivation.clone();
                let Derived { from, to, .. } = lines[place];
                let from = from?;
                (lines[place].from, lines[place].to) = (Some(to), from);
                let transactions = transactions.clone();
                Some(with(anomaly, Witness::NoCommitOrder { transactions, derivation: lines, smallest: *smallest }))
            };
            (0..derivation.len()).filter_map(turned).collect()
        }
        _ => Vec::new(),
    });
    assert!(count > 60, "{count}");
}

#[test]
fn a_micro_operation_elsewhere_is_refused() {
    let count = all_are_refused(|anomaly, _| match &anomaly.witness {
        Witness::Cycle { steps, shortest } => {
            let moved = |place: usize| {
                [true, false].into_iter().filter_map(move |is_from| {
                    let mut steps = steps.clone();
                    let because = &mut steps[place].because;
                    let micro = if is_from { &mut because.from_micro } else { &mut because.to_micro };
                    *micro.as_mut()? += 1;
                    Some(with(anomaly, Witness::Cycle { steps, shortest: *shortest }))
                })
            };
            (0..steps.len()).flat_map(moved).collect()
        }
        Witness::Micros { places, expected, found } => {
            let moved = |place: usize| {
                let mut places = places.clone();
                places[place].micro += 1;
                with(anomaly, Witness::Micros { places, expected: expected.clone(), found: found.clone() })
            };
            (0..places.len()).filter(|&place| places[place].role == Role::Read).map(moved).collect()
        }
        _ => Vec::new(),
    });
    assert!(count > 100, "{count}");
}
