//! Single cases, with what they show.

use schism_history::notation;

use super::made::meter;
use crate::linear::mutant::Mutation;
use crate::txn::edge::{Edge, EdgeKind};
use crate::txn::graph::mutant::Mutant;
use crate::txn::graph::windows::Windows;
use crate::txn::graph::{Orders, acyclic_order, cycles, run};
use crate::txn::txns::Txns;
use EdgeKind::{Rw, Wr, Ww};

/// Times, edges (by number of transaction), and the classes with the number of edges of each.
type Case = (&'static str, &'static str, &'static [(u32, EdgeKind, u32)], &'static [(&'static str, usize)]);

/// Four transactions at the same time: so time says nothing.
const TOGETHER: &str = "0( 1( 2( 3( 0) 1) 2) 3)";

const CASES: &[Case] = &[
    ("nothing", TOGETHER, &[], &[]),
    ("one way only", TOGETHER, &[(0, Ww, 1), (1, Wr, 2), (0, Rw, 3)], &[]),
    ("an edge to itself is none", TOGETHER, &[(1, Ww, 1)], &[]),
    ("edges of unknown transactions are none", TOGETHER, &[(7, Ww, 0), (0, Ww, 7)], &[]),
    ("write skew", TOGETHER, &[(0, Rw, 1), (1, Rw, 0)], &[("G2-item", 2), ("write-skew", 2)]),
    ("lost update is no write skew", TOGETHER, &[(0, Rw, 1), (1, Rw, 0), (0, Ww, 1)], &[("G-single-item", 2)]),
    (
        "long fork",
        TOGETHER,
        &[(0, Wr, 1), (1, Rw, 2), (2, Wr, 3), (3, Rw, 0)],
        &[("G-nonadjacent-item", 4), ("long-fork", 4)],
    ),
    (
        "the read-only anomaly of Fekete, O'Neil and O'Neil",
        TOGETHER,
        &[(0, Wr, 2), (2, Rw, 1), (1, Rw, 0)],
        &[("G2-item", 3)],
    ),
    ("two components", TOGETHER, &[(0, Ww, 1), (1, Ww, 0), (2, Wr, 3), (3, Wr, 2)], &[("G0", 2), ("G1c", 2)]),
    ("a stale read", "0() 1()", &[(1, Rw, 0)], &[("G-single-item-realtime", 2)]),
    ("a stale read of the session", "0() 0()", &[(1, Rw, 0)], &[("G-single-item-process", 2)]),
    ("in doubt, it is before nothing", "0(? 1()", &[(0, Rw, 1)], &[]),
    ("in doubt, it is after what ended", "0() 1(?", &[(1, Wr, 0)], &[("G1c-realtime", 2)]),
    ("in doubt among each other", "0( 1( 0? 1? 2()", &[(1, Ww, 2), (2, Ww, 1)], &[("G0", 2)]),
    (
        "processes of two sessions in one cycle",
        "0( 1( 0) 1) 0( 1( 0) 1)",
        &[(2, Ww, 1), (3, Ww, 0)],
        &[("G0-process", 4)],
    ),
    ("real time through one that is not on the cycle", "0() 1() 2()", &[(2, Rw, 0)], &[("G-single-item-realtime", 2)]),
];

/// One cycle of ten. Through each of its two anti-dependencies goes a closed walk of seven, which visits 11 (or 15) twice: by
/// an anti-dependency, and once more around a loop of reads, to leave it by another.
const NO_WALK_IS_A_CYCLE: &[(u32, EdgeKind, u32)] = &[
    (0, Rw, 1),
    (1, Wr, 2),
    (2, Wr, 3),
    (3, Wr, 4),
    (4, Wr, 5),
    (5, Rw, 6),
    (6, Wr, 7),
    (7, Wr, 8),
    (8, Wr, 9),
    (9, Wr, 0),
    (1, Wr, 10),
    (10, Rw, 11),
    (11, Wr, 12),
    (12, Wr, 11),
    (11, Rw, 13),
    (13, Wr, 0),
    (6, Wr, 14),
    (14, Rw, 15),
    (15, Wr, 16),
    (16, Wr, 15),
    (15, Rw, 17),
    (17, Wr, 5),
];

#[test]
fn where_no_shortest_walk_is_a_cycle() {
    let begin: Vec<String> = (0..18).map(|process| format!("{process}(")).collect();
    let end: Vec<String> = (0..18).map(|process| format!("{process})")).collect();
    let history = notation::parse(&text(&[begin, end].concat().join(" "))).expect("made");
    let txns = Txns::of(&history);
    let edges: Vec<Edge> = NO_WALK_IS_A_CYCLE.iter().map(|&(from, kind, to)| Edge { from, to, kind }).collect();
    let told = |mutation| {
        let found = run(&txns, edges.clone(), Orders::ALL, &mut meter(), mutation).found;
        found.iter().map(|cycle| (cycle.class.as_str(), cycle.edges.len(), cycle.shortest)).collect::<Vec<_>>()
    };
    assert_eq!(told(Mutation::default()), [("G1c", 2, true), ("G-nonadjacent-item", 10, true)]);
    let mutation = Mutation { mutant: Some(Mutant::NoSecondTry) };
    assert!(told(mutation).iter().all(|&(class, ..)| class != "G-nonadjacent-item"));
}

/// In words of the notation: `0(` begins, `0)` and `0?` end, `0()` is both.
fn text(times: &str) -> String {
    let begin = |process: &str| format!("{process}:txn=[[\"r\",1,null]](");
    let event = |token: &str| match token.split_once('(') {
        Some((process, "")) => begin(process),
        Some((process, end)) => format!("{} {process}{end}", begin(process)),
        None => token.to_owned(),
    };
    times.split(' ').map(event).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_case() {
    for &(name, times, edges, expected) in CASES {
        let history = notation::parse(&text(times)).expect(name);
        let txns = Txns::of(&history);
        let edges = edges.iter().map(|&(from, kind, to)| Edge { from, to, kind }).collect();
        let found = cycles(&txns, edges, &mut meter());
        let mut told: Vec<(&str, usize)> =
            found.found.iter().map(|cycle| (cycle.class.as_str(), cycle.edges.len())).collect();
        let mut expected = expected.to_vec();
        told.sort();
        expected.sort();
        assert_eq!(told, expected, "{name}: {found:?}");
    }
}

/// One in doubt that was seen early, and a thousand transactions after that, one at a time.
#[test]
fn doubt_covers_little() {
    let mut times = "9(? 0()".to_owned();
    times += &" 1()".repeat(1000);
    let history = notation::parse(&text(&times)).expect("made");
    let txns = Txns::of(&history);
    let doubtful = txns.ok_count();
    let edges = [Edge { from: doubtful, to: 0, kind: Wr }, Edge { from: 5, to: doubtful, kind: Rw }];
    let covered = |edges: &[Edge], mutation| Windows::new(&txns, edges, mutation).covered;
    assert_eq!(covered(&edges[..1], Mutation::default()), [doubtful, 0]);
    assert_eq!(covered(&edges, Mutation::default()), [doubtful, 0, 1, 2, 3, 4, 5]);
    let mutation = Mutation { mutant: Some(Mutant::DoubtAtTheEnd) };
    assert_eq!(covered(&edges[..1], mutation).len(), txns.len());
}

/// Doubt behind doubt is pulled to where the last one was seen.
#[test]
fn doubt_behind_doubt() {
    let mut times = "7(? 8(? 9(? 0()".to_owned();
    times += &" 1()".repeat(100);
    let history = notation::parse(&text(&times)).expect("made");
    let txns = Txns::of(&history);
    let ok = txns.ok_count();
    let chain = [(ok, ok + 2), (ok + 2, ok + 1), (ok + 1, 3)];
    let edges: Vec<Edge> = chain.iter().map(|&(from, to)| Edge { from, to, kind: Ww }).collect();
    let windows = Windows::new(&txns, &edges, Mutation::default());
    assert_eq!(windows.covered, [ok, ok + 1, ok + 2, 3]);
}

#[test]
fn topological_orders() {
    assert_eq!(acyclic_order(0, &[]), Ok(vec![]));
    assert_eq!(acyclic_order(3, &[(2, 1), (1, 0)]), Ok(vec![2, 1, 0]));
    assert_eq!(acyclic_order(2, &[(1, 1)]), Err(vec![1]));
    assert_eq!(acyclic_order(2, &[(7, 1), (0, 7)]).map(|order| order.len()), Ok(2));
    let mut cycle = acyclic_order(5, &[(0, 1), (1, 2), (2, 3), (3, 1), (3, 4)]).expect_err("1, 2, 3");
    let least = cycle.iter().position(|&vertex| vertex == 1).expect("on it");
    cycle.rotate_left(least);
    assert_eq!(cycle, [1, 2, 3]);
}
