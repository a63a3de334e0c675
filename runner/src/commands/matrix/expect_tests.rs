//! Expectations as a table: what is read, of which runs it speaks, and what it makes of how they ended.

use super::*;
use crate::commands::matrix::support::{cell, end, matrix};

const GOOD: &str = "\
- {suite: etcd/stale-reads, faults: [partition], verdict: invalid, checker: linearizable, anomalies: [nonlinearizable], reason: old values}
- {suite: etcd/register, seed: 1..3, verdict: valid, reason: it holds}
- suite: etcd/register
  faults: pause,kill
  workload: register
  sequence: 7
  verdict: unknown
  reason: too short
";

#[test]
fn what_is_wrong_is_told_with_the_nearest_name() {
    assert_eq!(parse("expect.yaml", GOOD).map(|all| all.len()).expect("good"), 3);
    let cases: &[(&str, &str, &str)] = &[
        ("checker: linearizable", "checker: linearisable", "entry 1: there is no checker `linearisable`"),
        ("checker: linearizable", "checker: linearisable", "Did you mean `linearizable`?"),
        ("[nonlinearizable]", "[nonlinearisable]", "Did you mean `nonlinearizable`?"),
        ("[partition]", "[partitoin]", "Did you mean `partition`?"),
        ("pause,kill", "pause,kil", "entry 3: there is no fault `kil`"),
        ("workload: register", "workload: registr", "Did you mean `register`?"),
        ("workload: register", "worklaod: register", "Did you mean `workload`?"),
        ("verdict: unknown", "verdict: unknwon", "Did you mean `unknown`?"),
        ("seed: 1..3", "seed: 3..1", "goes down"),
        ("seed: 1..3", "seed: [1]", "a number, or a text like 1..5"),
        ("reason: it holds", "reason: ' '", "entry 2: `reason` is empty"),
        (", reason: it holds", "", "missing field `reason`"),
        ("verdict: valid", "verdict: valid, checker: linearizable", "go with `verdict: invalid`"),
        ("- {suite: etcd/stale-reads", "- {suites: etcd/stale-reads", "Did you mean `suite`?"),
    ];
    for (from, to, expected) in cases {
        assert!(GOOD.contains(from), "{from}");
        let error = parse("expect.yaml", &GOOD.replace(from, to)).expect_err(to).to_string();
        assert!(error.starts_with("expect.yaml") && error.contains(expected), "{to}: {error}");
    }
    assert!(parse("e", "suite: x").is_err(), "no list");
    assert!(parse("e", "").is_err(), "empty");
}

fn expectation(yaml: &str) -> Expectation {
    let text = format!("- {{suite: etcd/register, {yaml}, reason: because}}");
    parse("e", &text).unwrap_or_else(|error| panic!("{yaml}: {error}")).remove(0)
}

#[test]
fn an_entry_speaks_of_runs_as_far_as_it_says() {
    let mut all = cell(5);
    all.faults_asked = Some("all".to_owned());
    let mut none = cell(5);
    none.faults.clear();
    let mut sequence = cell(5);
    sequence.sequence = Some(7);
    let cases: &[(&str, &Cell, bool)] = &[
        ("verdict: valid", &cell(5), true),
        ("seed: 5, verdict: valid", &cell(5), true),
        ("seed: 1..4, verdict: valid", &cell(5), false),
        ("faults: [pause, kill], verdict: valid", &cell(5), true),
        ("faults: kill, verdict: valid", &cell(5), false),
        ("faults: all, verdict: valid", &cell(5), false),
        ("faults: all, verdict: valid", &all, true),
        ("faults: none, verdict: valid", &none, true),
        ("faults: none, verdict: valid", &cell(5), false),
        ("sequence: 1..9, verdict: valid", &sequence, true),
        ("sequence: 1..9, verdict: valid", &cell(5), false),
        ("workload: register, verdict: valid", &cell(5), true),
    ];
    for (yaml, cell, expected) in cases {
        assert_eq!(expectation(yaml).is_of(cell), *expected, "{yaml} of {cell:?}");
    }
    let mut other = cell(5);
    other.suite = "etcd/stale-reads".to_owned();
    assert!(!expectation("verdict: valid").is_of(&other));
}

#[test]
fn what_a_run_counts_as() {
    use Standing::{AsItEnded, Expected, Unexpected};
    let mut dirty = end(Exit::Anomaly);
    dirty.cleanup_is_proven = false;
    let mut two = end(Exit::Anomaly);
    two.anomalies.insert("replicas".to_owned(), vec!["replicas-disagree".to_owned()]);
    let mut cut_short = end(Exit::Valid);
    cut_short.was_interrupted = true;
    let found = |exit| end(exit);
    let invalid = "verdict: invalid";
    let exact = "verdict: invalid, checker: linearizable, anomalies: [nonlinearizable]";
    let cases: &[(&CellEnd, Option<&str>, Exit, Standing)] = &[
        (&found(Exit::Valid), None, Exit::Valid, AsItEnded),
        (&found(Exit::Anomaly), None, Exit::Anomaly, AsItEnded),
        (&found(Exit::Anomaly), Some(invalid), Exit::Valid, Expected),
        (&found(Exit::Anomaly), Some(exact), Exit::Valid, Expected),
        (&dirty, Some(exact), Exit::CleanupNotProven, Expected),
        (&two, Some(invalid), Exit::Valid, Expected),
        (&two, Some("verdict: invalid, checker: linearizable"), Exit::Anomaly, Unexpected),
        (&two, Some("verdict: invalid, anomalies: [nonlinearizable]"), Exit::Anomaly, Unexpected),
        (&two, Some("verdict: invalid, anomalies: [nonlinearizable, replicas-disagree]"), Exit::Valid, Expected),
        (&found(Exit::Anomaly), Some("verdict: invalid, checker: replicas"), Exit::Anomaly, Unexpected),
        (&found(Exit::Anomaly), Some("verdict: invalid, anomalies: [replicas-disagree]"), Exit::Anomaly, Unexpected),
        // The absence of what was expected fails.
        (&found(Exit::Valid), Some(invalid), Exit::Anomaly, Unexpected),
        (&found(Exit::Unknown), Some(invalid), Exit::Anomaly, Unexpected),
        (&cut_short, Some(invalid), Exit::Interrupted, AsItEnded),
        (&cut_short, Some("verdict: valid"), Exit::Valid, Expected),
        (&found(Exit::Valid), Some("verdict: valid"), Exit::Valid, Expected),
        (&found(Exit::Anomaly), Some("verdict: valid"), Exit::Anomaly, Unexpected),
        (&found(Exit::Unknown), Some("verdict: unknown"), Exit::Valid, Expected),
        (&found(Exit::CleanupNotProven), Some("verdict: unknown"), Exit::CleanupNotProven, Expected),
        (&found(Exit::CleanupNotProven), None, Exit::CleanupNotProven, AsItEnded),
        // Without a verdict, what prevented it is told.
        (&found(Exit::Unavailable), Some(invalid), Exit::Unavailable, AsItEnded),
        (&found(Exit::NothingTested), Some("verdict: unknown"), Exit::NothingTested, AsItEnded),
        (&found(Exit::Interrupted), Some(invalid), Exit::Interrupted, AsItEnded),
    ];
    for (end, yaml, exit, standing) in cases {
        let expected = yaml.map(expectation);
        let (found, how, text) = judge(end, expected.as_ref());
        assert_eq!((found, how), (*exit, *standing), "{yaml:?} of {end:?}");
        let told = text.is_some_and(|text| text.contains("because"));
        assert_eq!(told, *standing != AsItEnded, "the reason is told, {yaml:?}");
    }
}

#[test]
fn entries_that_speak_of_nothing_are_told() {
    let cells: Vec<Cell> = matrix(&[None, None]).runs.into_iter().map(|row| row.cell).collect();
    let of = |text: &str| of_cells("e.yaml", &parse("e.yaml", text).expect("good"), &cells);
    let first = "- {suite: etcd/register, seed: 2, verdict: unknown, reason: x}\n- {suite: etcd/register, verdict: valid, reason: y}\n";
    let (expected, notes) = of(first).expect("good");
    let verdicts: Vec<String> = expected.iter().flatten().map(|one| one.verdict.to_string()).collect();
    assert_eq!(
        (verdicts, notes),
        (vec!["valid".to_owned(), "unknown".to_owned()], Vec::new()),
        "the first entry counts"
    );
    let (expected, notes) = of("- {suite: etcd/stale-reads, verdict: invalid, reason: x}").expect("good");
    assert_eq!(expected, [None, None]);
    assert!(notes[0].contains("entry 1 (etcd/stale-reads): the suite is not in this matrix"), "{notes:?}");
    let nowhere = of("- {suite: etcd/registre, verdict: valid, reason: x}").expect_err("nowhere").to_string();
    assert!(nowhere.contains("Did you mean `etcd/register`?"), "{nowhere}");
    let nothing = of("- {suite: etcd/register, seed: 9, verdict: valid, reason: x}").expect_err("nothing").to_string();
    assert!(nothing.contains("speaks of no run of this matrix"), "{nothing}");
}
