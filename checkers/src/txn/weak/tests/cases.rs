//! Histories that show what each level forbids.

use super::support::judge_line;
use crate::anomaly::Witness;
use crate::txn::weak::mutant::Mutation;

/// A short form of the notation: sessions separated by nothing, each transaction `s:` and micro-operations `x=1` (write)
/// and `x1` (read; `x-` for nothing), in order.
fn expand(short: &str) -> String {
    let mut text = String::new();
    for part in short.split_whitespace() {
        let (session, micros) = part.split_once(':').expect("a session");
        let micro = |micro: &str| {
            let (key, rest) = micro.split_at(1);
            match rest.strip_prefix('=') {
                Some(value) => format!("[\"w\",\"{key}\",{value}]"),
                None => format!("[\"r\",\"{key}\",{}]", if rest == "-" { "null" } else { rest }),
            }
        };
        let micros: Vec<String> = micros.split(',').map(micro).collect();
        text += &format!(" {session}:txn=[{}]", micros.join(","));
    }
    text
}

fn kinds(short: &str) -> Vec<String> {
    let weak = judge_line(&expand(short), 1, Mutation::default());
    let mut kinds: Vec<String> = weak.anomalies.iter().map(|anomaly| anomaly.kind.clone()).collect();
    kinds.dedup();
    kinds
}

/// What is forbidden, and by what alone.
const CASES: &[(&str, &str, &[&str])] = &[
    ("serial", "0:x=1 1:x1,x=2 2:x2", &[]),
    ("write skew", "0:x-,y- 1:x-,y=1 2:y-,x=2", &[]),
    ("lost update", "0:x=1 1:x1,x=2 2:x1,x=3", &[]),
    ("long fork", "0:x=1 1:y=1 2:x1,y- 3:y1,x-", &[]),
    ("stale by real time alone", "0:x=1 0:x=2 1:x1", &[]),
    // Two writers of two keys seen the other way round by two later reads: read committed allows each.
    ("dirty write, seen", "0:x=1,y=1 1:x=2,y=2 2:x1,y2", &["fractured-read"]),
    ("read skew", "0:x=1,y=1 1:x1,y-", &["non-monotonic-view"]),
    ("read skew, the other way", "0:x=1,y=1 1:y-,x1", &["fractured-read"]),
    ("circular information", "0:x=1,y2 1:y=2,x1", &["non-monotonic-view"]),
    (
        "there and back in one",
        "0:x=1 1:x=2 2:x1,x2,x1",
        &[
            "non-repeatable-read",
            "non-monotonic-view",
            "not-monotonic-reads",
            "not-monotonic-writes",
            "not-writes-follow-reads",
        ],
    ),
    ("two versions once", "0:x=1 1:x=2 2:x1,x2", &["non-repeatable-read", "fractured-read"]),
    ("causality through two", "0:x=1 1:x1,y=1 2:y1 2:x-", &["stale-causal-read-process", "not-causal"]),
    // One guarantee each, and what includes it.
    ("own write unseen", "0:x=1 0:x-", &["fractured-read-process", "not-read-your-writes"]),
    ("back in time", "0:x=1 1:x=2 2:x1 2:x2 2:x1", &["stale-causal-read-process", "not-monotonic-reads"]),
    ("later write without the earlier", "0:x=1 0:y=1 1:y1,x-", &["stale-causal-read-process", "not-monotonic-writes"]),
    (
        "write without what was read before it",
        "0:x=1 1:x1 1:y=1 2:y1,x-",
        &["stale-causal-read-process", "not-writes-follow-reads"],
    ),
    ("writes of one session backwards", "0:x=1 0:x=2 1:x2 1:x1", &["stale-causal-read-process", "not-pram"]),
    (
        "a cause unseen in a later transaction",
        "0:x=1 1:x1 1:y=1 2:y1 2:x-",
        &["stale-causal-read-process", "not-causal"],
    ),
    // Each observer has an order of its own, so that no session is wronged; there is none for all of them.
    ("observers disagree", "0:x=1 1:x=2 2:x1 2:x2 3:x2 3:x1", &["stale-causal-read-process"]),
];

#[test]
fn each_level_forbids_what_it_alone_forbids() {
    let wrong: Vec<_> =
        CASES.iter().map(|case| (case, kinds(case.1))).filter(|(case, found)| found != case.2).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_derivation_names_each_step() {
    let weak = judge_line(&expand("0:x=1 1:x1 1:y=1 2:y1 2:x-"), 1, Mutation::default());
    let causal =
        weak.anomalies.iter().find(|anomaly| anomaly.kind == "stale-causal-read-process").expect("it is there");
    let Witness::NoCommitOrder { transactions, derivation, .. } = &causal.witness else { panic!("{causal:?}") };
    let lines: Vec<String> = derivation
        .iter()
        .map(|line| format!("{:?}>{} {:?} {:?}", line.from, line.to, line.rule, line.rests_on))
        .collect();
    let wanted = [
        "Some(0)>2 ReadsFrom []",
        "Some(2)>4 Process []",
        "Some(4)>6 ReadsFrom []",
        "Some(6)>8 Process []",
        "Some(8)>0 WrittenAfterRead [0, 1, 2, 3]",
    ];
    assert_eq!(lines, wanted);
    assert_eq!(transactions, &[0, 2, 4, 6, 8]);
}

#[test]
fn a_cycle_without_an_axiom_is_a_cycle() {
    let weak = judge_line(&expand("0:x=1,y2 1:y=2,x1"), 1, Mutation::default());
    let Witness::Cycle { steps, shortest } = &weak.anomalies[0].witness else { panic!("{weak:?}") };
    let kinds: Vec<_> =
        steps.iter().map(|step| (step.transaction, step.because.kind.as_str(), step.because.key.as_deref())).collect();
    assert!(*shortest);
    assert!(kinds.contains(&(0, "wr", Some("x"))) || kinds.contains(&(0, "wr", Some("\"x\""))), "{kinds:?}");
    assert_eq!(kinds.len(), 2);
}
