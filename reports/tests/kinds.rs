//! Every kind of anomaly of transactions as it is told: on the terminal, as JSON and on the page, with the drawing of its cycle.
//! The histories are the examples of `schism explain`. `SCHISM_BLESS=1` writes the files anew.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy does not know that helpers of an integration test are test"
)]

mod common;

use std::collections::BTreeSet;

use common::transactions::{checked, judged, section};
use common::{Told, golden};
use schism_checkers::txn::levels::{EXAMPLES, Example};
use schism_checkers::{AnomalyKind, Witness};
use schism_history::{History, Op, Value, notation};
use schism_reports::sentence::Counterexample;
use schism_reports::terminal::Look;
use schism_reports::words::wrap;
use schism_reports::{html, sentence, terminal};

/// The example of a kind with what was found of that kind alone. Figures are left out: which levels are possible and how
/// much was searched is told elsewhere.
fn told(example: &Example) -> Told {
    let line = example.history();
    let mut told =
        checked(example.kind.as_str(), &line, example.data.as_str(), example.level.usual_name(), example.version_order);
    for finding in told.verdict.checkers.values_mut() {
        let all = finding.anomalies.drain(..).chain(finding.beyond.drain(..));
        let first = all.filter(|anomaly| anomaly.kind == example.kind.as_str()).take(1).collect();
        (finding.anomalies, finding.gaps, finding.stats) = (first, Vec::new(), serde_json::Map::default());
    }
    told
}

#[test]
fn every_kind_is_told() {
    let plain = Look { color: false, report_path: None };
    for example in EXAMPLES {
        let kind = example.kind.as_str();
        let told = told(example);
        let found = sentence::counterexamples(&told.verdict);
        let [found] = found.as_slice() else { panic!("{kind}: {} were found", found.len()) };
        let asked =
            format!("{} --consistency {} {}", example.data.as_str(), example.level.usual_name(), example.version_order);
        let json = serde_json::to_string_pretty(found.anomaly).unwrap();
        let text = terminal::summary(&told.story(), plain);
        let (text, _) = text.split_once("\nOperations:").unwrap();
        golden(
            &format!("kinds/{kind}.txt"),
            &format!("{}\n--checker {}\n\n{text}\n{json}\n", example.history(), asked.trim()),
        );
        golden(&format!("kinds/{kind}.html"), &section(&html::page(&told.story()), "counterexample"));
    }
    let shown: BTreeSet<&str> = EXAMPLES.iter().map(|example| example.kind.as_str()).collect();
    let others = ["nonlinearizable", "nonsequential", "replicas-disagree"];
    for kind in AnomalyKind::ALL {
        assert!(shown.contains(kind.as_str()) != others.contains(&kind.as_str()), "{}", kind.as_str());
    }
}

/// What the files cannot say of themselves: every cycle is told and drawn whole, every arrow begins and ends at the
/// micro-operation that it is about, and what a proof rests on is said.
#[test]
fn proofs_are_whole() {
    for example in EXAMPLES {
        let kind = example.kind.as_str();
        let told = told(example);
        let found = sentence::counterexamples(&told.verdict);
        let proof = sentence::prove(&told.history, found[0].anomaly);
        assert_eq!((proof.missing_count, proof.operations.len()), (0, proof.operations_count), "{kind}");
        let reasons = proof.reasons.join("\n");
        match &found[0].anomaly.witness {
            Witness::Cycle { steps, shortest } => {
                assert_eq!(proof.reasons.len(), steps.len(), "{kind}");
                assert!(proof.reasons[steps.len() - 1].starts_with("yet T"), "{kind}: {reasons}");
                assert_eq!(proof.note.contains("not proven"), !shortest, "{kind}: {}", proof.note);
                for (step, reason) in steps.iter().zip(&proof.reasons) {
                    let because = &step.because;
                    for text in [&because.key, &because.source].into_iter().flatten() {
                        assert!(reason.contains(text.as_str()), "{kind}: {text} is not in {reason}");
                    }
                }
                let page = section(&html::page(&told.story()), "counterexample");
                assert_eq!(page.matches("text-anchor").count(), steps.len(), "{kind}: an arrow for each step");
            }
            Witness::Micros { .. } => {
                assert!(proof.reasons.len() == 2 && reasons.contains("\nyet "), "{kind}: {reasons}")
            }
            Witness::NoCommitOrder { derivation, .. } => {
                let is_told = derivation.is_empty() || reasons.contains("\nyet ");
                assert!(is_told, "{kind}: {reasons}");
                let page = section(&html::page(&told.story()), "counterexample");
                assert_eq!(
                    page.matches("text-anchor").count() >= 2,
                    !derivation.is_empty(),
                    "{kind}: its circle is drawn"
                );
            }
            Witness::NoProcessOrder { process, smallest, .. } => {
                assert!(reasons.contains(&format!("process {process} read")), "{kind}: {reasons}");
                assert_eq!(proof.note.contains("not proven"), !smallest, "{kind}: {}", proof.note);
            }
            other => panic!("{kind}: {other:?}"),
        }
    }
}

/// Whence the order of versions is known is said: of each source a history in which a cycle rests on it.
#[test]
fn the_source_of_a_version_order_is_said() {
    let lines = [
        (
            "writes-follow-reads",
            r#"0:txn=[["w","x",1]] 1:txn=[["r","x",1],["w","x",2],["w","y",5]]( 2:txn=[["r","x",1],["r","y",5]]( 1) 2)"#,
        ),
        (
            "sequential-keys",
            r#"0:txn=[["w","x",1],["r","y",5]]( 1:txn=[["w","x",2],["w","y",5]]( 2:txn=[["r","x",1]] 2:txn=[["r","x",2]] 0) 1)"#,
        ),
        ("linearizable-keys", r#"0:txn=[["w","x",1],["r","y",5]] 1:txn=[["w","x",2],["w","y",5]]"#),
        ("", r#"0:txn=[["w","x",1]] 1:txn=[["r","x",null]]"#),
    ];
    let history = |line: &str| notation::parse(line).unwrap();
    let mut told: Vec<String> = lines.map(|(sources, line)| source_told(line, history(line), sources)).into();
    // What the client reported stands in a field of its own, which the notation cannot say.
    let line = r#"0:txn=[["w","x",1],["r","y",5]]( 1:txn=[["w","x",2],["w","y",5]]( 0) 1)"#;
    let mut ops: Vec<Op> = history(line).ops().collect();
    for (place, revision) in [(2, 7), (3, 8)] {
        let report =
            Value::list(vec![Value::list(vec![Value::str("x"), Value::Int(revision - 6), Value::Int(revision)])]);
        ops[place].extra = Some(Box::new(vec![("revision".into(), report)]));
    }
    told.push(source_told(line, History::from_ops(ops).unwrap(), "explicit:revision"));
    for source in [
        "a write that follows a read",
        "the order of a process",
        "the order of real time",
        "the initial state",
        "the versions that the client reported",
    ] {
        let is_said = |one: &String| one.replace("\n  ", " ").contains(&format!("known from {source})"));
        assert!(told.iter().any(is_said), "{source}: {told:#?}");
    }
    golden("sources.txt", &told.join("\n"));
}

/// The first cycle that rests on a source of the order of versions, in words.
fn source_told(line: &str, history: History, sources: &str) -> String {
    let told = judged("sources", history, "rw-register", "strict-serializable", sources);
    let found = sentence::counterexamples(&told.verdict);
    let is_it = |one: &&Counterexample<'_>| match &one.anomaly.witness {
        Witness::Cycle { steps, .. } => steps.iter().any(|step| step.because.source.is_some()),
        _ => false,
    };
    let cycle = found.iter().find(is_it).unwrap_or_else(|| panic!("{sources}: no cycle: {found:?}"));
    let proof = sentence::prove(&told.history, cycle.anomaly);
    let reasons: Vec<String> =
        proof.reasons.iter().flat_map(|reason| wrap(reason, 110)).map(|line| format!("  {line}\n")).collect();
    format!("{line}\n--version-order {sources}\n{}\n{}", proof.title, reasons.concat())
}

/// Which models are possible and which are ruled out, and what was found beyond what was asked, apart.
#[test]
fn levels_and_what_is_beyond() {
    let plain = Look { color: false, report_path: None };
    let line = r#"0:txn=[["r","x",[]],["r","y",[]],["append","x",1]]( 1:txn=[["r","x",[]],["r","y",[]],["append","y",1]]( 0) 1)"#;
    let told = checked("write skew", line, "list-append", "snapshot-isolation", "");
    let text = terminal::summary(&told.story(), plain);
    golden("beyond.txt", &text);
    let page = html::page(&told.story());
    golden("beyond.html", &section(&page, "beyond"));
    assert!(page.contains("<a href=\"#beyond\">") && !page.contains("id=\"counterexample\""));
    let none = html::page(&common::stale().story());
    assert!(!none.contains("beyond"));
}

/// The worked example of the documentation is what is said today; `SCHISM_BLESS=1` writes that into it.
#[test]
fn the_worked_example_is_true() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/isolation.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let block = |language: &str| {
        let start = page.rfind(&format!("```{language}\n")).unwrap() + language.len() + 4;
        start..start + page[start..].find("```").unwrap()
    };
    let (history, _) = schism_history::jsonl::read(page[block("json")].as_bytes()).unwrap();
    let told = judged("skew.jsonl", history, "list-append", "snapshot-isolation", "");
    let text = terminal::summary(&told.story(), Look { color: false, report_path: None });
    let (said, _) = text.split_once("\nOperations:").unwrap();
    if std::env::var_os("SCHISM_BLESS").is_some() && page[block("text")] != *said {
        let mut page = page.clone();
        page.replace_range(block("text"), said);
        std::fs::write(&path, page).unwrap();
    } else {
        assert_eq!(page[block("text")], *said, "docs/isolation.md: run the test once with SCHISM_BLESS=1");
    }
}
