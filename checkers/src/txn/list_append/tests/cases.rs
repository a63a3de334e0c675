//! Histories by hand, in one line.

use schism_history::notation;

use super::super::mutant::Mutation;
use super::lists;
use crate::txn::accesses::{INITIAL, UNKNOWN};
use crate::txn::txns::Txns;

/// Name, history, kinds with their numbers, edges as `0-ww-1`, how many gaps.
type Case = (&'static str, &'static str, &'static str, &'static str, usize);

const CASES: &[Case] = &[
    ("nothing", "", "", "", 0),
    ("what is no transaction is not looked at", "0:txn=[[\"append\",1,1]] 1:r1", "", "", 0),
    (
        "nil and [] are one list",
        r#"0:txn=[["r",1,null],["r",1,null]]>[["r",1,null],["r",1,[]]] 1:txn=[["append",1,1]]"#,
        "",
        "0-rw-1",
        0,
    ),
    (
        "neighbours alone",
        r#"0:txn=[["append",1,1]] 0:txn=[["append",1,2]] 0:txn=[["append",1,3]] 1:txn=[["r",1,null]]>[["r",1,[1]]]
           1:txn=[["r",1,null]]>[["r",1,[1,2,3]]]"#,
        "",
        "0-ww-1 0-wr-3 1-ww-2 2-wr-4 3-rw-1",
        0,
    ),
    (
        "what nobody read comes last",
        r#"0:txn=[["append",1,1]] 0:txn=[["append",1,2]] 0:txn=[["append",1,3]] 1:txn=[["r",1,null]]>[["r",1,[1]]]"#,
        "",
        "0-ww-1 0-ww-2 0-wr-3 3-rw-1 3-rw-2",
        0,
    ),
    (
        "in doubt, and seen: what it appended elsewhere is there as well",
        r#"0:txn=[["append",1,1],["append",2,1]]? 1:txn=[["r",1,null],["r",2,null]]>[["r",1,[1]],["r",2,[]]]"#,
        "",
        "0-rw-1 1-wr-0",
        0,
    ),
    (
        "in doubt for ever, and not seen",
        r#"0:txn=[["append",1,1],["append",2,1]]( 1:txn=[["r",1,null],["r",2,null]]>[["r",1,[]],["r",2,[]]]"#,
        "",
        "",
        0,
    ),
    (
        "what one in doubt said it read is nothing",
        r#"0:txn=[["r",1,null]]( 0?[["r",1,[9,8]]] 1:txn=[["append",1,1]] 1:txn=[["r",1,null]]>[["r",1,[1]]]"#,
        "",
        "0-wr-1",
        0,
    ),
    (
        "texts as keys and elements",
        r#"0:txn=[["append","x","a"]] 0:txn=[["append","x",-5]] 1:txn=[["r","x",null]]>[["r","x",["a",-5]]]"#,
        "",
        "0-ww-1 1-wr-2",
        0,
    ),
    (
        "own appends are read, and are no news",
        r#"0:txn=[["append",1,1]] 1:txn=[["append",1,2],["r",1,null]]>[["append",1,2],["r",1,[1,2]]]"#,
        "",
        "0-ww-1",
        0,
    ),
    (
        "own appends are not read",
        r#"0:txn=[["append",1,1]] 1:txn=[["append",1,2],["r",1,null]]>[["append",1,2],["r",1,[1]]]"#,
        "internal=1 not-read-your-writes=1",
        "0-ww-1",
        0,
    ),
    (
        "a read that changes",
        r#"0:txn=[["append",1,1]] 1:txn=[["r",1,null],["r",1,null]]>[["r",1,[]],["r",1,[1]]]"#,
        "internal=1",
        "0-wr-1 1-rw-0",
        0,
    ),
    ("too early", r#"0:txn=[["r",1,null],["append",1,1]]>[["r",1,[1]],["append",1,1]]"#, "future-read=1", "", 0),
    (
        "of a failed one",
        r#"0:txn=[["append",1,1]]! 1:txn=[["append",1,2]] 2:txn=[["r",1,null]]>[["r",1,[1,2]]]"#,
        "dirty-update=1 G1a=1",
        "0-wr-1",
        0,
    ),
    (
        "only for a while",
        r#"0:txn=[["append",1,1],["append",1,2]] 1:txn=[["r",1,null]]>[["r",1,[1]]]"#,
        "G1b=1",
        "0-wr-1 1-rw-0",
        0,
    ),
    (
        "two who knew nothing of each other",
        r#"0:txn=[["r",1,null],["append",1,1]]( 1:txn=[["r",1,null],["append",1,2]]( 0)[["r",1,[]],["append",1,1]]
           1)[["r",1,null],["append",1,2]] 2:txn=[["r",1,null]]>[["r",1,[1,2]]]"#,
        "lost-update=1",
        "0-ww-1 1-rw-0 1-wr-2",
        0,
    ),
    (
        "from nowhere",
        r#"0:txn=[["append",1,1]] 0:txn=[["append",1,2]] 1:txn=[["r",1,null]]>[["r",1,[1,7,2]]]"#,
        "garbage-read=1",
        "0-ww-1 1-wr-2",
        0,
    ),
    (
        "twice in a list",
        r#"0:txn=[["append",1,1]] 0:txn=[["append",1,2]] 1:txn=[["r",1,null]]>[["r",1,[1,2,1]]]"#,
        "duplicate-elements=1",
        "0-ww-1 0-wr-2",
        0,
    ),
    (
        "a fork: what comes after the stem has no order, but comes after it",
        r#"0:txn=[["append",1,1]] 0:txn=[["append",1,2]] 0:txn=[["append",1,3]] 1:txn=[["r",1,null]]>[["r",1,[1]]]
           1:txn=[["r",1,null]]>[["r",1,[1,2]]] 1:txn=[["r",1,null]]>[["r",1,[1,3]]]"#,
        "incompatible-order=1",
        "0-ww-1 0-ww-2 0-wr-3 1-wr-4 2-wr-5 3-rw-1 3-rw-2",
        0,
    ),
    (
        "the history's list is of one that failed",
        r#"9:txn=[["r",1,null]]( 9![["r",1,[5,6,7]]] 0:txn=[["append",1,1]] 1:txn=[["r",1,null]]>[["r",1,[1]]]
           1:txn=[["r",1,null]]>[["r",1,[]]]"#,
        "",
        "0-wr-1 2-rw-0",
        0,
    ),
    (
        "one element of two: the rest of the key is judged",
        r#"0:txn=[["append",1,1]] 0:txn=[["append",1,2]] 0:txn=[["append",1,2]] 0:txn=[["append",1,3]]
           1:txn=[["r",1,null]]>[["r",1,[1,2]]] 1:txn=[["r",1,null]]>[["r",1,[1,2,2,3]]]"#,
        "",
        "0-wr-4 0-ww-3 3-wr-5 4-rw-3",
        1,
    ),
    (
        "one element twice of one",
        r#"0:txn=[["append",1,1],["append",1,1]] 1:txn=[["r",1,null]]>[["r",1,[1,1]]]"#,
        "",
        "",
        1,
    ),
    (
        "the end is of one that failed, of two, of nobody: the reader comes after what lies under it",
        r#"0:txn=[["append",1,1]] 0:txn=[["append",2,1]] 0:txn=[["append",3,1]] 1:txn=[["append",1,9]]!
           1:txn=[["append",2,9]] 1:txn=[["append",2,9]] 2:txn=[["r",1,null],["r",2,null]]>[["r",1,[1,9]],["r",2,[1,9]]]
           2:txn=[["r",3,null]]>[["r",3,[1,9,9]]]"#,
        "G1a=1 duplicate-elements=1 garbage-read=1",
        "0-wr-5 1-wr-5 2-wr-6",
        1,
    ),
    (
        "behind an own append that has no place, the list says what the order does not",
        r#"0:txn=[["append",1,1]] 1:txn=[["append",1,9]] 2:txn=[["append",1,9],["r",1,null]]>[["append",1,9],["r",1,[1,9]]]"#,
        "",
        "0-wr-2",
        1,
    ),
    (
        "a failed one tried the same before",
        r#"0:txn=[["append",1,1]]! 0:txn=[["append",1,1]] 1:txn=[["r",1,null]]>[["r",1,[1]]]"#,
        "",
        "0-wr-1",
        0,
    ),
    (
        "a register among lists",
        r#"0:txn=[["w",1,1],["append",2,1]] 1:txn=[["r",1,null],["r",2,null]]>[["r",1,1],["r",2,[1]]]"#,
        "",
        "0-wr-1",
        2,
    ),
    (
        "another function",
        r#"0:txn=[["cas",1,[1,2]],["append",1,1],["append",2,1]] 1:txn=[["r",2,null]]>[["r",2,[1]]]"#,
        "",
        "0-wr-1",
        1,
    ),
    (
        "empty transactions",
        r#"0:txn=[] 0:txn=[["append",1,1]] 0:txn=[]! 1:txn=[["r",1,null]]>[["r",1,[1]]]"#,
        "",
        "1-wr-2",
        0,
    ),
];

/// Kinds with numbers, edges, number of gaps.
fn told(text: &str) -> (String, String, usize) {
    let history = notation::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let txns = Txns::of(&history);
    let mut lists = lists(&txns, Mutation::default());
    lists.edges.sort_unstable();
    let kinds: Vec<String> = lists.counts.iter().map(|(kind, count)| format!("{}={count}", kind.as_str())).collect();
    let edge = |edge: &crate::txn::edge::Edge| format!("{}-{}-{}", edge.from, edge.kind.as_str(), edge.to);
    let mut edges: Vec<String> = lists.edges.iter().map(edge).collect();
    edges.sort();
    let mut kinds = kinds;
    kinds.sort();
    (kinds.join(" "), edges.join(" "), lists.gaps.len())
}

#[test]
fn cases() {
    let sorted = |text: &str| {
        let mut words: Vec<&str> = text.split_whitespace().collect();
        words.sort_unstable();
        words.join(" ")
    };
    let wrong = |&&(_, text, kinds, edges, gaps): &&Case| told(text) != (sorted(kinds), sorted(edges), gaps);
    let wrong: Vec<_> = CASES.iter().filter(wrong).map(|case| (case.0, told(case.1))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn versions_are_those_of_the_last_appends() {
    let text = r#"0:txn=[["append",1,1],["append",1,2]] 0:txn=[["append",1,3]] 0:txn=[["append",1,4]]?
        1:txn=[["append",1,5]] 1:txn=[["r",1,null]]>[["r",1,[1,2,3]]] 2:txn=[["append",2,1]] 2:txn=[["append",2,2]]
        3:txn=[["r",2,null]]>[["r",2,null]] 3:txn=[["append",3,1]] 3:txn=[["append",4,7]] 3:txn=[["append",4,7]]
        3:txn=[["r",4,null]]>[["r",4,[7]]]"#;
    let history = notation::parse(text).expect("a history");
    let txns = Txns::of(&history);
    let lists = lists(&txns, Mutation::default());
    let none: Vec<u32> = Vec::new();
    assert_eq!(lists.accesses.versions, [vec![0, 1, 2], none.clone(), vec![7], none]);
    assert_eq!(lists.accesses.tails, [(1, 4), (1, 5)]);
    let writers = |id: u32| lists.accesses.reads(id).iter().map(|read| read.writer).collect::<Vec<_>>();
    assert_eq!((writers(3), writers(6), writers(10)), (vec![1], vec![INITIAL], vec![UNKNOWN]));
    assert!(!lists.accesses.committed[11] && lists.accesses.committed[0]);
}

#[test]
fn a_clash_names_both() {
    let text = r#"0:txn=[["append","x",7]] 1:txn=[["append","x",7]]? 2:txn=[["append",2,5],["append",2,5]]"#;
    let history = notation::parse(text).expect("a history");
    let txns = Txns::of(&history);
    let gaps: Vec<String> = lists(&txns, Mutation::default()).gaps.iter().map(|gap| format!("{gap:?}")).collect();
    assert_eq!(gaps.len(), 2);
    assert!(gaps[0].contains("7 was appended to key x by the transactions of events 0 and 2"), "{gaps:?}");
    assert!(gaps[1].contains("5 was appended to key 2 twice by the transaction of event 4"), "{gaps:?}");
}
