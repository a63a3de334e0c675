//! A matrix of runs: one page that links their reports, and one JUnit document with a case for each run.

use std::time::Duration;

use maud::{Markup, html};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::html::frame;
use crate::html::{head, table};
use crate::junit::JunitError;
use crate::words;

/// How a run counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It passes: valid, or as expected.
    Pass,
    /// It fails: an anomaly that was not expected, or an expected one that was not found.
    Fail,
    /// It says nothing: unknown, not run, or without a verdict.
    Unsure,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatrixRow {
    /// From 1.
    pub number: usize,
    /// The suite.
    pub suite: String,
    /// The workload.
    pub workload: String,
    /// The faults, or the sequence.
    pub harm: String,
    /// The seed.
    pub seed: u64,
    /// How it counts.
    pub mark: Mark,
    /// How it ended, in a few words.
    pub result: String,
    /// What else there is to say of it: why it was expected, what went wrong.
    pub notes: Vec<String>,
    /// Faults that were seen to take effect, and that were tried.
    pub faults_landed: u64,
    /// Faults that were tried.
    pub faults_tried: u64,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
    /// Its folder, seen from the page.
    pub run: Option<String>,
    /// The command that repeats it.
    pub command: String,
}

/// A matrix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MatrixStory {
    /// When it began, UTC, RFC 3339.
    pub started_utc: String,
    /// Version of schism.
    pub schism_version: String,
    /// What all come to, in a few words.
    pub result: String,
    /// The runs, in order.
    pub rows: Vec<MatrixRow>,
}

impl MatrixStory {
    fn count(&self, mark: Mark) -> u64 {
        self.rows.iter().filter(|row| row.mark == mark).count() as u64
    }
}

/// The page, `matrix.html`. The same story gives the same page; no script, no network.
pub fn page(story: &MatrixStory) -> String {
    let (class, badge) = match (story.count(Mark::Fail), story.count(Mark::Unsure)) {
        (0, 0) => ("valid", "passed"),
        (0, _) => ("unknown", "not decided"),
        _ => ("invalid", "failed"),
    };
    let body = html! {
        section class={ "verdict " (class) } {
            span class="badge" { (badge) }
            h1 {
                (words::plural(story.rows.len() as u64, "run")) ": " (story.count(Mark::Pass)) " passed, "
                (story.count(Mark::Fail)) " failed, " (story.count(Mark::Unsure)) " without an answer"
            }
            p { "Together: " (story.result) "." }
        }
        section id="runs" {
            h2 { "Runs" }
            (table("Every run of the matrix", html! {
                (head(&["#No", "Suite", "Workload", "Faults", "#Seed", "Result", "#Faults landed", "#Took"]))
                tbody { @for row in &story.rows { (line(row)) } }
            }))
        }
        section id="repeat" {
            h2 { "Repeat" }
            @for row in story.rows.iter().filter(|row| row.mark != Mark::Pass).take(COMMANDS_MAX) {
                pre { code { (words::cut(&row.command, 2_000)) } }
            }
            @if story.count(Mark::Fail) + story.count(Mark::Unsure) == 0 { p { "Nothing failed. Each run's own page says how to repeat it." } }
        }
    };
    frame::page(
        &format!("{badge}: a matrix of runs"),
        "a matrix of runs",
        &story.started_utc,
        &story.schism_version,
        &body,
    )
}

/// Commands that are shown for runs that did not pass.
const COMMANDS_MAX: usize = 50;

fn line(row: &MatrixRow) -> Markup {
    let (class, sign) = match row.mark {
        Mark::Pass => ("yes", "✓"),
        Mark::Fail => ("no", "✕"),
        Mark::Unsure => ("dim", "?"),
    };
    html! {
        tr {
            td class="number" {
                @match &row.run {
                    Some(run) => a href={ (href(run)) "/report.html" } { (row.number) },
                    None => (row.number),
                }
            }
            th scope="row" { (words::cut(&row.suite, 120)) }
            td { (words::cut(&row.workload, 60)) }
            td { (words::cut(&row.harm, 300)) }
            td class="number" { (row.seed) }
            td {
                span class=(class) { (sign) " " (words::cut(&row.result, 300)) }
                @for note in &row.notes { div class="dim" { (words::cut(note, 600)) } }
            }
            td class="number" { @if row.faults_tried > 0 { (row.faults_landed) " of " (row.faults_tried) } }
            td class="number" { @if row.duration_ms > 0 { (words::span(row.duration_ms * 1_000_000)) } }
        }
    }
}

/// A path as a relative link: what is no plain character of a path is escaped, so that it cannot be another scheme.
fn href(path: &str) -> String {
    let mut text = String::from("./");
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_./".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The JUnit document: a suite for each suite of the matrix, a case for each run, by `faults/seed N`. What fails is a `failure`,
/// what says nothing an `error`. Names are stable over matrices, and unique within one.
///
/// # Errors
/// When the XML writer refuses; no text is known for which it does.
pub fn junit(story: &MatrixStory) -> Result<String, JunitError> {
    let mut report = Report::new("schism matrix");
    let mut names: Vec<&str> = Vec::new();
    for row in &story.rows {
        if !names.contains(&row.suite.as_str()) {
            names.push(&row.suite);
        }
    }
    for name in names {
        let mut suite = TestSuite::new(name);
        let rows = story.rows.iter().filter(|row| row.suite == name);
        let took_ms = rows.clone().map(|row| row.duration_ms).fold(0, u64::saturating_add);
        suite.set_time(Duration::from_millis(took_ms));
        let mut names = std::collections::BTreeSet::new();
        for row in rows {
            // Some readers keep only the first of a name.
            let name = format!("{}/seed {}", row.harm, row.seed);
            let is_new = names.insert((row.workload.as_str(), name.clone()));
            let name = if is_new { name } else { format!("{name} (run {})", row.number) };
            suite.add_test_case(case(row, name));
        }
        report.add_test_suite(suite);
    }
    Ok(report.to_string()?)
}

fn case(row: &MatrixRow, name: String) -> TestCase {
    let notes = row.notes.join("\n");
    let kind = match row.mark {
        Mark::Pass => None,
        Mark::Fail => Some((NonSuccessKind::Failure, "failed")),
        Mark::Unsure => Some((NonSuccessKind::Error, "no-answer")),
    };
    let status = match kind {
        None => TestCaseStatus::success(),
        Some((kind, name)) => {
            let mut status = TestCaseStatus::non_success(kind);
            status.set_type(name).set_message(row.result.as_str()).set_description(notes.as_str());
            status
        }
    };
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("{}.{}", row.suite.replace('/', "."), row.workload));
    case.set_time(Duration::from_millis(row.duration_ms));
    let run = row.run.as_deref().map_or_else(String::new, |run| format!("Run {run}\n"));
    let more = if notes.is_empty() { String::new() } else { format!("{notes}\n") };
    case.set_system_out(format!("{}\n{more}Repeat {}\n{run}", words::capital(&row.result), row.command));
    case
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: usize, mark: Mark, result: &str) -> MatrixRow {
        MatrixRow {
            number,
            suite: "etcd/register".to_owned(),
            workload: "register".to_owned(),
            harm: "kill,pause".to_owned(),
            seed: number as u64,
            mark,
            result: result.to_owned(),
            notes: vec!["a <b>note</b>".to_owned()],
            faults_landed: 3,
            faults_tried: 4,
            duration_ms: 61_000,
            run: Some(format!("00{number}/20260101T000000Z-a b\"><script>")),
            command: format!("schism run etcd/register --seed {number}"),
        }
    }

    fn story(marks: &[Mark]) -> MatrixStory {
        let rows = marks.iter().enumerate().map(|(place, mark)| row(place + 1, *mark, "as it was")).collect();
        MatrixStory { result: "unknown (exit 2)".to_owned(), rows, ..MatrixStory::default() }
    }

    #[test]
    fn the_page_tells_each_run_and_escapes_all() {
        let cases: &[(&[Mark], &str)] = &[
            (&[Mark::Pass, Mark::Pass], "2 passed, 0 failed, 0 without an answer"),
            (&[Mark::Pass, Mark::Unsure], "not decided"),
            (&[Mark::Fail, Mark::Unsure], "failed: a matrix of runs"),
            (&[], "0 passed"),
        ];
        for (marks, expected) in cases {
            let page = page(&story(marks));
            assert!(page.contains(expected), "{expected}");
            assert!(!page.contains("<script") && !page.contains("<b>note"), "nothing of a row is markup");
            assert_eq!(page.matches("/report.html\"").count(), marks.len(), "each run is linked");
            let failed = marks.iter().filter(|mark| **mark != Mark::Pass).count();
            assert_eq!(
                page.matches("<pre><code>schism run").count(),
                failed,
                "the commands of those that did not pass"
            );
        }
        let linked = page(&story(&[Mark::Pass]));
        assert!(linked.contains("href=\"./001/20260101T000000Z-a%20b%22%3E%3Cscript%3E/report.html\""), "{linked}");
    }

    #[test]
    fn junit_has_a_case_for_each_run() {
        let mut story = story(&[Mark::Pass, Mark::Fail, Mark::Unsure]);
        story.rows[2].suite = "etcd/stale-reads".to_owned();
        story.rows.push(MatrixRow { number: 4, ..story.rows[0].clone() });
        let text = junit(&story).unwrap();
        assert_eq!((text.matches("<testsuite ").count(), text.matches("<testcase ").count()), (2, 4));
        assert!(text.contains("name=\"kill,pause/seed 1 (run 4)\""), "names are unique: {text}");
        assert_eq!((text.matches("<failure ").count(), text.matches("<error ").count()), (1, 1));
        assert!(text.contains("name=\"kill,pause/seed 2\"") && text.contains("classname=\"etcd.register.register\""));
        assert!(text.contains("time=\"61.000\""), "{text}");
    }
}
