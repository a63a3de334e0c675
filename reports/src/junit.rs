//! `junit.xml`: one suite, a test case for each checker. An anomaly is a `failure`, an unknown verdict an `error`, and so
//! is cleanup that is not proven; names are stable and unique, so that a CI system can follow a case over runs.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use schism_checkers::{Finding, Outcome};

use crate::Story;
use crate::figures::Measured;
use crate::sentence;
use crate::terminal;
use crate::words;

/// Most anomalies of one checker that are told; the file stays far below what CI systems accept.
const ANOMALIES_MAX: usize = 50;

/// Why the document could not be made.
#[derive(Debug, thiserror::Error)]
#[error("junit.xml could not be made of this run: {0}; its verdict is in verdict.json")]
pub struct JunitError(#[from] quick_junit::SerializeError);

/// The document. Characters that XML cannot carry are left out of it.
///
/// # Errors
/// When the XML writer refuses; no text is known for which it does.
pub fn junit(story: &Story<'_>) -> Result<String, JunitError> {
    let name = if story.info.suite.is_empty() { "schism" } else { story.info.suite.as_str() };
    let classname = name.replace('/', ".");
    let mut suite = TestSuite::new(name);
    suite.set_time(Duration::from_nanos(story.facts.load_ns));
    for (property, value) in properties(story) {
        suite.add_property((property, value.as_str()));
    }
    for (checker, finding) in &story.verdict.checkers {
        suite.add_test_case(of_checker(story, checker, finding, &classname));
    }
    if story.verdict.checkers.is_empty() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("nothing-judged").set_message("no checker judged this history");
        suite.add_test_case(case("verdict", status, &classname));
    }
    let figures = Measured::of(story.history, story.facts).figures;
    if let Some(nothing) = sentence::nothing_tested(story, &figures) {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("nothing-tested").set_message(words::capital(&nothing));
        suite.add_test_case(case("verdict", status, &classname));
    }
    let was_run = !story.facts.plan_digest.is_empty();
    if was_run || !story.info.cleanup_trouble.is_empty() {
        suite.add_test_case(cleanup(story, &classname));
    }
    let mut report = Report::new("schism");
    report.add_test_suite(suite);
    Ok(report.to_string()?)
}

fn properties(story: &Story<'_>) -> Vec<(&'static str, String)> {
    let info = story.info;
    let all = [
        ("seed", info.seed.to_string()),
        ("database", info.database.clone()),
        ("database_version", info.database_version.clone()),
        ("workload", info.workload.clone()),
        ("ground", info.ground.clone()),
        ("plan_digest", story.facts.plan_digest.clone()),
        ("schism_version", info.schism_version.clone()),
        ("run", info.run.clone()),
        ("repeat", info.repeat_command.clone()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn case(name: &str, status: TestCaseStatus, classname: &str) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(classname);
    case
}

fn of_checker(story: &Story<'_>, checker: &str, finding: &Finding, classname: &str) -> TestCase {
    let cut_off = sentence::interruption(story).map_or_else(String::new, |why| format!("{}.\n", words::capital(&why)));
    let (status, text) = match finding.outcome() {
        Outcome::Valid => (TestCaseStatus::success(), format!("{cut_off}Valid.\n")),
        Outcome::Invalid => {
            let text = format!("{cut_off}{}", anomalies(story, finding));
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let kinds = finding.anomalies.first().map_or("anomaly", |anomaly| anomaly.kind.as_str());
            let message = finding.anomalies.first().map(|anomaly| sentence::prove(story.history, anomaly).headline);
            status.set_type(kinds).set_message(words::capital(&message.unwrap_or_default())).set_description(&text);
            (status, text)
        }
        Outcome::Unknown => {
            let text = format!("{cut_off}{}", gaps(story, finding));
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            let first = finding.gaps.first().map(|gap| sentence::explain(gap, Some(story.facts)).why);
            let message = format!("{}{}", cut_off.replace('\n', " "), words::capital(&first.unwrap_or_default()));
            status.set_type("unknown").set_message(message).set_description(&text);
            (status, text)
        }
    };
    let mut case = case(checker, status, classname);
    case.set_system_out(text);
    case
}

fn anomalies(story: &Story<'_>, finding: &Finding) -> String {
    let mut text = String::new();
    for anomaly in finding.anomalies.iter().take(ANOMALIES_MAX) {
        let proof = sentence::prove(story.history, anomaly);
        text.push_str(&format!("{}: {}.\n", words::capital(&proof.title), proof.headline));
        for told in &proof.operations {
            text.push_str(&format!("  {}  {}.\n", told.letter, words::capital(&told.sentence)));
        }
        for reason in proof.reasons.iter().chain([&proof.note]).filter(|reason| !reason.is_empty()) {
            text.push_str(&format!("  - {}.\n", words::capital(reason)));
        }
        if proof.missing_count > 0 {
            text.push_str(&format!("  ! {}.\n", terminal::missing(proof.missing_count)));
        }
    }
    if finding.anomalies.len() > ANOMALIES_MAX {
        text.push_str(&format!("... and {} more.\n", finding.anomalies.len() - ANOMALIES_MAX));
    }
    text.push_str(&gaps(story, finding));
    text
}

fn gaps(story: &Story<'_>, finding: &Finding) -> String {
    let explained = sentence::explain_all(&finding.gaps, Some(story.facts)).into_iter();
    explained.map(|gap| format!("? {}.\n  -> {}.\n", words::capital(&gap.why), words::capital(&gap.next))).collect()
}

fn cleanup(story: &Story<'_>, classname: &str) -> TestCase {
    let trouble = &story.info.cleanup_trouble;
    if trouble.is_empty() {
        return case("cleanup", TestCaseStatus::success(), classname);
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type("cleanup").set_message(trouble[0].as_str()).set_description(trouble.join("\n"));
    case("cleanup", status, classname)
}
