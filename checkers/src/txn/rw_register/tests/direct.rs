//! What registers say without an order of versions.

use super::{Mutation, VersionSources, history, inferred};
use crate::anomaly::{AnomalyKind, Role, Witness};
use crate::txn::accesses::{INITIAL, Read, UNKNOWN};
use crate::txn::edge::{Edge, EdgeKind, Reasons};
use crate::txn::txns::Txns;

/// History, kinds found.
const CASES: &[(&str, &[&str])] = &[
    (r#"0:[["w",1,2]] 1:[["r",1,2]]"#, &[]),
    (r#"0:[["r",1,null]] 0:[["w",1,2]]"#, &[]),
    (r#"0:[["w",1,2]]! 1:[["r",1,2]]"#, &["G1a"]),
    (r#"0:[["w",1,2]]! 1:[["w",1,2]] 1:[["r",1,2]]"#, &[]),
    (r#"0:[["w",1,2],["w",1,3]] 1:[["r",1,2]]"#, &["G1b"]),
    (r#"0:[["w",1,2],["w",1,3],["w",1,2]] 1:[["r",1,2]]"#, &[]),
    (r#"0:[["w",1,2],["w",1,3]]! 1:[["r",1,2]]"#, &["G1a"]),
    (r#"0:[["w",1,2],["w",1,3]]? 1:[["r",1,2]]"#, &["G1b"]),
    (r#"0:[["w",1,2],["w",1,3]]? 1:[["r",1,3]]"#, &[]),
    (r#"0:[["r",1,7]]"#, &["garbage-read"]),
    (r#"0:[["w",1,2],["r",1,2]]"#, &[]),
    (r#"0:[["w",1,2],["r",1,3]] 1:[["w",1,3]]"#, &["internal"]),
    (r#"0:[["w",1,2],["r",1,3]]"#, &["internal", "garbage-read"]),
    (r#"0:[["w",1,2],["r",1,3]] 1:[["w",1,3]]!"#, &["internal", "G1a"]),
    (r#"0:[["w",1,2],["r",1,3]] 1:[["w",1,3],["w",1,4]]"#, &["internal", "G1b"]),
    (r#"0:[["w",1,2],["w",1,3],["r",1,2]]"#, &["internal"]),
    (r#"0:[["w",1,2],["r",1,null]]"#, &["internal", "not-read-your-writes"]),
    (r#"0:[["w",1,2],["r",1,null]] 1:[["w",1,null]]"#, &["internal"]),
    (r#"0:[["w",1,2],["r",1,null]] 1:[["w",1,null]]!"#, &["internal"]),
    (r#"0:[["w",1,2],["r",1,3],["w",1,3]]"#, &["future-read"]),
    (r#"0:[["w",1,2],["r",1,3],["w",1,3]] 1:[["w",1,3]]"#, &["internal"]),
    (r#"0:[["w",1,2],["r",1,3],["w",1,3]] 1:[["w",1,3],["w",1,4]]"#, &["future-read"]),
    (r#"0:[["w",1,2],["r",1,null],["w",1,null]]"#, &["internal"]),
    (r#"0:[["r",1,3],["w",1,3]]"#, &["future-read"]),
    (r#"0:[["r",1,3],["w",1,3]] 1:[["w",1,3]]"#, &[]),
    (r#"0:[["r",1,null],["w",1,3]] 1:[["r",1,null],["w",1,4]]"#, &["lost-update"]),
    (r#"2:[["w",1,2]] 0:[["r",1,2],["w",1,3]] 1:[["r",1,2],["w",1,4]]"#, &["lost-update"]),
    (r#"2:[["w",1,2]] 0:[["r",1,2],["w",1,3]] 1:[["r",1,2],["w",2,4]]"#, &[]),
    (r#"2:[["w",1,2]] 0:[["r",1,2],["w",1,3]] 1:[["w",1,4],["r",1,4]]"#, &[]),
    (r#"0:[["r",1,2],["r",1,null],["w",1,3]] 1:[["w",1,2]] 2:[["r",1,null],["w",1,4]]"#, &["lost-update"]),
    // Values that are lists, texts and nothing.
    (r#"0:[["w",1,[1,2,3]]] 1:[["r",1,[1,2,3]]] 1:[["r",1,[1,2]]]"#, &["garbage-read"]),
    (r#"0:[["w",1,[1,2]]] 1:[["w",1,[2,1]]] 2:[["r",1,[1,2]]] 2:[["r",1,[2,1]]]"#, &[]),
    (r#"0:[["w","k",["a",[1]]]] 1:[["r","k",["a",[1]]]] 2:[["r","k",["a",[2]]]]"#, &["garbage-read"]),
    (r#"0:[["w","k",[]]] 1:[["r","k",[]]] 1:[["r","k",null]]"#, &[]),
    (r#"1:[["r","k",[]]]"#, &["garbage-read"]),
    (r#"0:[["w",1,"x"]] 1:[["r",1,"x"]] 1:[["r",1,"y"]]"#, &["garbage-read"]),
    (r#"0:[["w",1,1.0]] 1:[["r",1,1]]"#, &["garbage-read"]),
    (r#"0:[["w",1,-7]] 1:[["r",1,-7]]"#, &[]),
    (r#"0:[] 1:[["r",1,null]] 0:[["r",1,null]]?"#, &[]),
    (r#"0:[["r",1,5]]? 1:[["r",1,5]]( 2:[["r",1,5]]!"#, &[]),
];

#[test]
fn anomalies_that_need_no_cycle() {
    for (line, wanted) in CASES {
        let history = history(line);
        let txns = Txns::of(&history);
        let found = inferred(&txns, &VersionSources::default(), Mutation::default());
        let kinds: Vec<&str> = found.anomalies.iter().map(|anomaly| anomaly.kind.as_str()).collect();
        assert_eq!(&kinds, wanted, "{line}");
        assert_eq!(found.counts.len(), wanted.len(), "{line}");
    }
}

#[test]
fn a_witness_names_the_micro_operations() {
    let history = history(
        r#"0:[["w",2,1],["w",1,2],["w",1,3]] 1:[["r",2,1],["r",1,2]] 2:[["w",1,9]]! 2:[["r",1,9]]
           3:[["w",3,1],["r",3,2]]"#,
    );
    let txns = Txns::of(&history);
    let found = inferred(&txns, &VersionSources::default(), Mutation::default());
    let witness = |kind: &str| {
        let anomaly = found.anomalies.iter().find(|anomaly| anomaly.kind == kind).expect("the kind");
        let Witness::Micros { places, expected, found } = &anomaly.witness else { panic!("{anomaly:?}") };
        let places: Vec<(u32, u32, Role)> = places.iter().map(|at| (at.transaction, at.micro, at.role)).collect();
        (anomaly.key.clone().expect("a key"), places, expected.clone(), found.clone())
    };
    let text = |text: &str| Some(text.to_owned());
    let g1b = vec![(2, 1, Role::Read), (0, 1, Role::Write), (0, 2, Role::OverWrite)];
    assert_eq!(witness("G1b"), ("1".to_owned(), g1b, text("3"), text("2")));
    let g1a = vec![(6, 0, Role::Read), (4, 0, Role::AbortedWrite)];
    assert_eq!(witness("G1a"), ("1".to_owned(), g1a, None, text("9")));
    let internal = vec![(8, 1, Role::Read), (8, 0, Role::Write)];
    assert_eq!(witness("internal"), ("3".to_owned(), internal, text("1"), text("2")));
}

#[test]
fn who_read_from_whom() {
    let history = history(
        r#"0:[["w",1,2],["w",2,5],["w",1,3]] 3:[["w",1,7],["w",3,1]]? 1:[["r",1,3],["r",2,5],["r",1,7],["r",9,null]]
           2:[["w",1,3],["w",4,null]]? 4:[["r",4,null],["w",4,1],["r",4,1]]"#,
    );
    let txns = Txns::of(&history);
    let found = inferred(&txns, &VersionSources::default(), Mutation::default());
    let read = |key: u32, writer: u32, micro: u32| Read { key, writer, micro };
    // Keys in order of appearance: 1, 2, 3, 9, 4. Transactions: 0, 1, 4 (ok), 3, 2 (in doubt).
    assert_eq!(found.accesses.len(), 5);
    assert_eq!(found.accesses.reads(1), [read(0, UNKNOWN, 0), read(1, 0, 1), read(0, 3, 2), read(3, INITIAL, 3)]);
    assert_eq!(found.accesses.reads(2), [read(4, UNKNOWN, 0)]);
    let writes: Vec<(u32, u32)> = found.accesses.writes(0).iter().map(|write| (write.key, write.micro)).collect();
    assert_eq!(writes, [(0, 2), (1, 1)]);
    assert_eq!(found.accesses.committed, [true; 5]);
    let uncertain: Vec<_> = found.uncertain.iter().map(|at| (at.reader, at.micro, at.candidates.clone())).collect();
    assert_eq!(uncertain, [(1, 0, vec![0, 4]), (2, 0, vec![4, INITIAL])]);
    let wr = |from: u32, to: u32| Edge { from, to, kind: EdgeKind::Wr };
    assert_eq!(found.edges, [wr(0, 1), wr(3, 1)]);
}

#[test]
fn many_keys_in_one_transaction() {
    let writes: Vec<String> = (0..200).map(|at| format!(r#"["w",{},{at}]"#, at % 50)).collect();
    let reads: Vec<String> = (150..200).map(|at| format!(r#"["r",{},{at}]"#, at % 50)).collect();
    let line = format!("0:[{},{}] 1:[{},[\"r\",3,3]]", writes.join(","), reads.join(","), reads.join(","));
    let history = history(&line);
    let txns = Txns::of(&history);
    let found = inferred(&txns, &VersionSources::default(), Mutation::default());
    let kinds: Vec<&str> = found.anomalies.iter().map(|anomaly| anomaly.kind.as_str()).collect();
    assert_eq!(kinds, ["G1b"]);
    assert_eq!((found.accesses.writes(0).len(), found.accesses.reads(0).len()), (50, 0));
    assert!(found.accesses.writes(0).iter().all(|write| write.micro >= 150));
    assert_eq!(found.accesses.reads(1).len(), 51);
}

#[test]
fn updates_of_many_reads_are_as_of_few() {
    for count in [3, 23, 24, 25, 60] {
        let list = |of: &dyn Fn(usize) -> String| (0..count).map(of).collect::<Vec<_>>().join(",");
        // Two transactions read all keys twice, and write them; and one read what everybody had written to one key.
        let first = list(&|key| format!(r#"["w",{key},1]"#));
        let reads = list(&|key| format!(r#"["r",{key},1],["r",{key},1]"#));
        let writes = |value: usize| list(&|key| format!(r#"["w",{key},{value}]"#));
        let (one, two) = (writes(2), writes(3));
        let writers: Vec<String> = (0..count).map(|value| format!(r#"3:[["w","x",{}]]"#, value + 5)).collect();
        let (writers, seen) = (writers.join(" "), list(&|value| format!(r#"["r","x",{}]"#, value + 5)));
        let line = format!(r#"0:[{first}] 1:[{reads},{one}]( 2:[{reads},{two}] 1) {writers} 4:[{seen},["w","x",1]]"#);
        let history = history(&line);
        let txns = Txns::of(&history);
        let sources = VersionSources { writes_follow_reads: true, ..VersionSources::default() };
        let found = inferred(&txns, &sources, Mutation::default());
        let lost = found.counts.iter().find(|(kind, _)| *kind == AnomalyKind::LostUpdate).map(|(_, count)| *count);
        assert_eq!(lost, Some(count as u64), "{count}");
        let last = txns.len() as u32 - 1;
        let followed = found.order.steps.iter().filter(|step| step.to == last).count();
        assert_eq!((followed, found.order.steps.len()), (count, 3 * count), "{count}");
    }
}

#[test]
fn keys_that_are_no_registers_are_left_out_and_told() {
    for (line, name) in [
        (r#"0:[["append",1,2],["w",2,3]] 1:[["r",1,[2]],["r",2,4]]"#, "append"),
        (r#"0:[["cas",1,[2,3]],["w",2,3]] 1:[["r",1,3],["r",2,4]]"#, "cas"),
    ] {
        let history = history(line);
        let txns = Txns::of(&history);
        let found = inferred(&txns, &VersionSources::default(), Mutation::default());
        let gap = serde_json::to_string(&found.gaps).expect("gaps");
        assert!(found.gaps.len() == 1 && gap.contains(name), "{gap}");
        let kinds: Vec<&str> = found.anomalies.iter().map(|anomaly| anomaly.kind.as_str()).collect();
        assert_eq!(kinds, ["garbage-read"], "of key 2 alone");
    }
}

#[test]
fn predicates_are_taken_along() {
    let history =
        history(r#"0:[["insert",1,5],["insert",2,6],["w",3,1]] 1:[["rp","true",{}],["r",2,6],["r",3,1],["r",4,9]]"#);
    let txns = Txns::of(&history);
    let found = inferred(&txns, &VersionSources::default(), Mutation::default());
    let kinds: Vec<&str> = found.anomalies.iter().map(|anomaly| anomaly.kind.as_str()).collect();
    assert_eq!(kinds, ["garbage-read"], "of key 4; the others are as they should be");
    let edge = |from: u32, to: u32, kind: EdgeKind| Edge { from, to, kind };
    assert_eq!(found.edges, [edge(0, 1, EdgeKind::Wr), edge(0, 1, EdgeKind::Wr), edge(1, 0, EdgeKind::Rwp)]);
    let key = |edge: Edge| found.reason(edge).expect("a reason").key;
    assert_eq!(key(edge(0, 1, EdgeKind::Wr)).as_deref(), Some("3"));
    assert_eq!(key(edge(1, 0, EdgeKind::Rwp)).as_deref(), Some("1"));
    assert!(found.has_predicates && found.gaps.is_empty(), "{:?}", found.gaps);
}
