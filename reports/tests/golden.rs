//! Texts as a whole, against files. `SCHISM_BLESS=1` writes them anew.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy does not know that helpers of an integration test are test"
)]

mod common;

use common::golden;
use schism_checkers::{Budget, check_all, table};
use schism_history::{RunFacts, notation};
use schism_reports::terminal::Look;
use schism_reports::{github, junit, sentence, terminal};

#[test]
fn terminal_summaries() {
    let look = Look { color: false, report_path: Some("runs/latest/report.html") };
    golden("stale.txt", &terminal::summary(&common::stale().story(), look));
    golden("knot.txt", &terminal::summary(&common::knot().story(), look));
    golden("valid.txt", &terminal::summary(&common::valid().story(), look));
    golden("unknown.txt", &terminal::summary(&common::unknown().story(), look));
    golden("imported.txt", &terminal::summary(&common::imported().story(), look));
    golden("empty.txt", &terminal::summary(&common::empty().story(), look));
    golden("stale-color.txt", &terminal::summary(&common::stale().story(), Look { color: true, ..look }));
}

#[test]
fn junit_documents() {
    golden("stale.xml", &junit::junit(&common::stale().story()).unwrap());
    golden("valid.xml", &junit::junit(&common::valid().story()).unwrap());
    golden("unknown.xml", &junit::junit(&common::unknown().story()).unwrap());
    golden("empty.xml", &junit::junit(&common::empty().story()).unwrap());
    golden("hostile.xml", &junit::junit(&common::hostile().story()).unwrap());
}

#[test]
fn github_texts() {
    golden("stale.md", &github::step_summary(&common::stale().story()));
    golden("stale.annotation", &github::annotation(&common::stale().story()).unwrap());
    golden("unknown.annotation", &github::annotation(&common::unknown().story()).unwrap());
    assert_eq!(github::annotation(&common::valid().story()), None);
}

/// One history a pattern of contradiction, and what is told of each.
#[test]
fn patterns_of_contradiction() {
    let lines = [
        "0:w1 0:r2",
        "0:r1 0:w1",
        "0:w1 1:c1>2 1:r2 0:r1",
        "0:w1 0:c1>2 1:c1>3",
        "0:c1>2( 1:c2>1 0)",
        "0:w1 1:rnil",
        "0:w1( 1:w2( 2:r( 3:r( 2)1 3)2 4:r( 5:r( 4)1 5)2 0) 1)",
        "0:w1 0:w2 1:r1",
        "0:w1? 1:r1 1:rnil",
    ];
    let told = lines.map(|line| {
        let history = notation::parse(line).expect(line);
        let checkers = [table::build("linearizable", None).unwrap()];
        let verdict = check_all(&checkers, &history, &RunFacts::default(), &Budget::default());
        let proofs = sentence::counterexamples(&verdict);
        let proof = sentence::prove(&history, proofs[0].anomaly);
        let operations: String =
            proof.operations.iter().map(|told| format!("  {} {}\n", told.letter, told.sentence)).collect();
        format!("{line}\n{operations}  - {}\n", proof.reasons[0])
    });
    golden("patterns.txt", &told.join("\n"));
}
