//! What GitHub Actions shows: one annotation a run, and a step summary in Markdown. Both stay far below the limits beyond
//! which GitHub drops them (10 annotations a step, 1 MiB a summary), so one run writes one annotation.

use std::fmt::Write as _;

use schism_checkers::Outcome;

use crate::Story;
use crate::figures::Measured;
use crate::sentence;
use crate::words::{self, count};

/// The annotation: an `::error` for an invalid run, a `::warning` for an unknown one and one that tested nothing, nothing
/// for a valid one. One line, with a line end.
pub fn annotation(story: &Story<'_>) -> Option<String> {
    let figures = Measured::of(story.history, story.facts).figures;
    let level = match story.verdict.outcome() {
        Outcome::Invalid => "error",
        Outcome::Valid if sentence::nothing_tested(story, &figures).is_none() => return None,
        Outcome::Valid | Outcome::Unknown => "warning",
    };
    let title = format!("{}: {}", sentence::headline_name(story, &figures), story.info.suite);
    let said = words::capital(&sentence::verdict(story, &figures));
    Some(format!("::{level} title={}::{}\n", escaped(&title, true), escaped(&said, false)))
}

/// GitHub's own escaping of workflow commands; `:` and `,` matter in properties alone.
fn escaped(text: &str, property: bool) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    if property { text.replace(':', "%3A").replace(',', "%2C") } else { text }
}

/// The step summary: verdict, counterexample in words, gaps, operations, how to repeat. At most some 60 kB.
pub fn step_summary(story: &Story<'_>) -> String {
    let figures = Measured::of(story.history, story.facts).figures;
    let mut text = String::new();
    let headline = sentence::headline_name(story, &figures);
    let _ = writeln!(text, "### {headline}: {}\n", markdown(&story.info.suite));
    if let Some(interruption) = sentence::interruption(story) {
        let _ = writeln!(text, "{}.\n", markdown(&words::capital(&interruption)));
    }
    let _ = writeln!(text, "{}\n", markdown(&words::capital(&sentence::verdict(story, &figures))));
    if let Some(first) = sentence::counterexamples(story.verdict).first() {
        let proof = sentence::prove(story.history, first.anomaly);
        for told in &proof.operations {
            let _ = writeln!(text, "- **{}** {}", told.letter, markdown(&words::capital(&told.sentence)));
        }
        for reason in proof.reasons.iter().take(2) {
            let _ = writeln!(text, "- {}", markdown(&words::capital(reason)));
        }
        text.push('\n');
    }
    for (_, gap) in sentence::story_gaps(story).iter().take(20) {
        let _ = writeln!(text, "- {}. {}.", markdown(&words::capital(&gap.why)), markdown(&words::capital(&gap.next)));
    }
    text.push_str("\n| function | ok | fail | info | p50 | p99 |\n|---|--:|--:|--:|--:|--:|\n");
    for function in figures.functions.iter().take(30) {
        let (outcomes, latency) = (function.outcomes, function.latency);
        let timed = figures.is_timed() && outcomes.ok > 0;
        let time = |ns: u64| if timed { words::span(ns) } else { "-".to_owned() };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            markdown(&words::cut(&function.f, 40)),
            count(outcomes.ok),
            count(outcomes.fail),
            count(outcomes.info),
            time(latency.p50_ns),
            time(latency.p99_ns),
        );
    }
    for trouble in story.info.cleanup_trouble.iter().take(20) {
        let _ = writeln!(text, "\nNot cleaned up: {}", markdown(&words::cut(trouble, 400)));
    }
    if !story.info.repeat_command.is_empty() {
        let command = words::cut(&story.info.repeat_command, 2_000).replace('`', "'");
        let _ = writeln!(text, "\nRepeat: `{command}`");
    }
    text
}

/// A text that Markdown and HTML leave alone.
fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\n' | '\r' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '@' => {
                out.push('\\');
                out.push(char);
            }
            other => out.push(other),
        }
    }
    out
}
