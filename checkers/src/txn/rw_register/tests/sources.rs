//! Orders of versions by example.

use schism_history::{History, Kind, OpIndex, Value};

use super::{Mutation, VersionSources, history, inferred};
use crate::txn::edge::{Edge, EdgeKind, Reasons};
use crate::txn::rw_register::Registers;
use crate::txn::txns::Txns;

/// The steps between versions, by their writers, and the kinds of anomalies that were found.
fn told(found: &Registers<'_>) -> String {
    let mut all: Vec<String> = found.order.steps.iter().map(|step| format!("{}<{}", step.from, step.to)).collect();
    all.extend(found.anomalies.iter().map(|anomaly| anomaly.kind.clone()));
    all.join(" ")
}

/// History; what is told with writes-follow-reads, sequential keys and linearizable keys.
const CASES: &[(&str, [&str; 3])] = &[
    // A reader of a version that was written over before.
    (r#"0:[["w",1,1]] 1:[["r",1,1],["w",1,2]] 2:[["r",1,1]]"#, ["0<1", "0<1", "cyclic-versions"]),
    // The same, while the writer was at work still.
    (r#"0:[["w",1,1]] 1:[["r",1,1],["w",1,2]]( 2:[["r",1,1]] 1)"#, ["0<2"; 3]),
    // Blind writes, one after the other; another key says nothing.
    (r#"0:[["w",1,1]] 0:[["w",2,1]] 0:[["w",1,2]] 1:[["w",1,3]]"#, ["", "0<2", "0<2 2<3"]),
    // A process reads something older than it wrote, which a later writer did not see.
    (r#"1:[["w",1,1]] 0:[["w",1,2]] 0:[["r",1,1]]"#, ["", "1<0", "cyclic-versions"]),
    // Nothing is read after something was.
    (r#"0:[["w",1,1]] 1:[["r",1,1]] 1:[["r",1,null]]"#, ["", "cyclic-versions", "cyclic-versions"]),
    // A write in doubt comes after what had ended before it began, and before nothing.
    (r#"0:[["w",1,1]] 1:[["w",1,2]]? 2:[["w",1,3]] 3:[["r",1,2]]"#, ["", "", "0<1 1<3"]),
    // Readers in a circle: each process is fine by itself.
    (
        r#"0:[["w",1,1]] 1:[["w",1,2]] 2:[["r",1,1]] 2:[["r",1,2]] 3:[["r",1,2]] 3:[["r",1,1]]"#,
        ["", "cyclic-versions", "cyclic-versions"],
    ),
];

#[test]
fn each_source_gives_its_order() {
    for (line, wanted) in CASES {
        let history = history(line);
        let txns = Txns::of(&history);
        let of = |at: usize| {
            let sources = VersionSources {
                writes_follow_reads: at == 0,
                sequential_keys: at == 1,
                linearizable_keys: at == 2,
                explicit: None,
            };
            told(&inferred(&txns, &sources, Mutation::default()))
        };
        assert_eq!([of(0), of(1), of(2)], *wanted, "{line}");
    }
}

/// A history whose completions have fields, by their indices.
fn with_fields(line: &str, fields: &[(OpIndex, &str, &str)]) -> History {
    let mut ops: Vec<_> = history(line).ops().collect();
    for (index, name, value) in fields {
        let op = &mut ops[*index as usize];
        assert_ne!(op.kind, Kind::Invoke);
        let value = Value::from_json(&serde_json::from_str(value).expect("JSON"));
        op.extra = Some(Box::new(vec![((*name).into(), value)]));
    }
    History::from_ops(ops).expect("a history")
}

/// Fields of completions, by index; what is told, and a part of the gap's reason.
type Reported<'a> = (&'a [(OpIndex, &'a str, &'a str)], &'a str, &'a str);

#[test]
fn the_client_reports_versions() {
    let line = r#"0:[["w",1,1],["w",2,5]] 1:[["w",1,2]] 2:[["w",1,3]]? 3:[["r",1,3],["r",2,5],["r",1,null]]"#;
    let rev = "rev";
    // Transactions: 0, 1, the reader 2, and 3 in doubt.
    let cases: &[Reported<'_>] = &[
        (&[(1, rev, "[[1,1,7]]"), (3, rev, "[[1,2,5]]"), (7, rev, "[[1,3,9]]")], "0<3 1<0", ""),
        (&[(1, rev, r#"[[1,1,"b"]]"#), (3, rev, r#"[[1,2,"a"]]"#)], "1<0", ""),
        (
            &[(1, rev, "[[1,1,[1,9]],[2,5,[0,0]]]"), (3, rev, "[[1,2,[2,0]]]"), (7, rev, "[[1,3,[1,9,0]]]")],
            "0<3 3<1",
            "",
        ),
        (&[(1, rev, "[[1,1,7]]"), (5, rev, "[[1,3,8]]")], "0<3", ""),
        (&[(1, rev, "[[1,1,7]]"), (7, rev, "[[1,null,8]]")], "cyclic-versions", ""),
        (&[(1, rev, "[[1,1,7]]"), (3, rev, "[[1,2,7]]")], "", "two values have the version 7 of key 1"),
        (&[(5, rev, "[[1,3,7]]"), (7, rev, "[[1,3,8]]")], "", "one value has the versions 7 and 8 of key 1"),
        (&[(1, rev, "[[1,1,7]]"), (3, rev, r#"[[1,2,"a"]]"#)], "", "several types"),
        (&[(1, rev, "[[1,1,7]]"), (3, rev, "[[1,1,8]]")], "", "did not read or write that value"),
        (&[(1, rev, "[[1,1]]")], "", "no [key, value, version]"),
        (&[(1, rev, "[[9,1,1]]")], "", "whose key no transaction touches"),
        (&[(1, rev, "[[1,1,1.5]]")], "", "no integer, text or list of integers"),
        (&[(1, rev, "7")], "", "is no list of [key, value, version]"),
        (&[(1, "revision", "[[1,1,7]]")], "", "there is revision"),
        (&[], "", "there is no other field"),
    ];
    for (fields, wanted, gap) in cases {
        let history = with_fields(line, fields);
        let txns = Txns::of(&history);
        let sources = VersionSources { explicit: Some(rev.to_owned()), ..VersionSources::default() };
        let found = inferred(&txns, &sources, Mutation::default());
        let gaps = serde_json::to_string(&found.gaps).expect("gaps");
        assert!(if gap.is_empty() { found.gaps.is_empty() } else { gaps.contains(gap) }, "{fields:?}: {gaps}");
        assert_eq!(told(&found), *wanted, "{fields:?}");
    }
}

#[test]
fn a_client_may_report_what_it_wrote_over_and_what_it_read_first() {
    let line = r#"0:[["w",1,1],["w",1,2]] 1:[["w",1,3]] 2:[["r",1,3],["r",2,null],["r",1,2],["w",1,4]]"#;
    let first = (1, "rev", "[[1,1,5],[1,2,6]]");
    for (reports, wanted) in
        [("[[1,3,7],[1,4,8]]", "0<1 1<2"), ("[[1,2,6],[1,3,7],[1,4,8],[2,null,1]]", "0<1 1<2"), ("[[1,4,3]]", "2<0")]
    {
        let history = with_fields(line, &[first, (5, "rev", reports)]);
        let txns = Txns::of(&history);
        let sources = VersionSources { explicit: Some("rev".to_owned()), ..VersionSources::default() };
        let found = inferred(&txns, &sources, Mutation::default());
        let gaps = serde_json::to_string(&found.gaps).expect("gaps");
        assert_eq!((told(&found).as_str(), gaps.as_str()), (wanted, "[]"), "{reports}");
    }
}

#[test]
fn an_edge_says_from_where_its_order_is() {
    // Lost in a circle: 0 is read and written over by 1, whose write 2 read before it read what 0 had not written yet.
    let history = history(r#"0:[["w",1,1],["w",2,1]]( 1:[["r",1,1],["w",1,2]] 2:[["r",1,2],["r",2,null]] 0)"#);
    let txns = Txns::of(&history);
    let sources = VersionSources { writes_follow_reads: true, ..VersionSources::default() };
    let found = inferred(&txns, &sources, Mutation::default());
    // Transactions in order of completion: 1, 2, 0.
    let edge = |from: u32, to: u32, kind: EdgeKind| Edge { from, to, kind };
    let reason = |edge: Edge| {
        assert!(found.edges.contains(&edge), "{edge:?} of {:?}", found.edges);
        let reason = found.reason(edge).expect("a reason");
        let micros = (reason.from_micro.expect("a micro"), reason.to_micro.expect("a micro"));
        let texts = [reason.key, reason.before, reason.after, reason.source].map(Option::unwrap_or_default);
        (micros, texts.join("/"))
    };
    assert_eq!(reason(edge(2, 0, EdgeKind::Wr)), ((0, 0), "1/1/1/".to_owned()));
    assert_eq!(reason(edge(2, 0, EdgeKind::Ww)), ((0, 1), "1/1/2/a write that follows a read".to_owned()));
    assert_eq!(reason(edge(0, 1, EdgeKind::Wr)), ((1, 0), "1/2/2/".to_owned()));
    assert_eq!(reason(edge(1, 2, EdgeKind::Rw)), ((1, 1), "2/nil/1/the initial state".to_owned()));
    for none in [edge(0, 2, EdgeKind::Wr), edge(1, 0, EdgeKind::Ww), edge(0, 0, EdgeKind::Rw), edge(9, 0, EdgeKind::Wr)]
    {
        assert_eq!(found.reason(none), None);
    }
}

#[test]
fn what_cannot_be_on_a_cycle_is_no_edge() {
    // Two hundred readers of nothing, then two hundred writers: forty thousand edges forward.
    let mut line = String::new();
    (0..200).for_each(|at| line.push_str(&format!(r#"{at}:[["r",1,null]] "#)));
    (0..200).for_each(|at| line.push_str(&format!(r#"{at}:[["w",1,{at}]] "#)));
    let first = history(&line);
    let txns = Txns::of(&first);
    let sources = VersionSources::default();
    assert_eq!(inferred(&txns, &sources, Mutation::default()).edges.len(), 0);
    // One who reads nothing near the end: those after the first writer, and before it, may be on a cycle with it.
    line.push_str(r#"500:[["r",1,null]] 500:[["w",1,777]]"#);
    let second = history(&line);
    let txns = Txns::of(&second);
    assert_eq!(inferred(&txns, &sources, Mutation::default()).edges.len(), 200);
}

#[test]
fn edges_beyond_the_memory_are_told() {
    let history = history(r#"0:[["w",1,1]] 1:[["r",1,null]]"#);
    let txns = Txns::of(&history);
    let budget = crate::checker::Budget { steps_max: 10, memory_bytes_max: 8 };
    let found = super::infer_with(
        &txns,
        &VersionSources::default(),
        &mut crate::txn::meter::Meter::new(&budget),
        Mutation::default(),
    );
    assert!(matches!(found.gaps[..], [crate::verdict::Gap::BudgetSpent { .. }]), "{:?}", found.gaps);
}
