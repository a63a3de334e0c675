//! From data to prose: the verdict in one sentence, what it means for who uses the database, and each gap and witness
//! in plain words. Says nothing that the verdict, the history or the facts do not say.

mod gap;
mod witness;

use schism_checkers::{Outcome, Verdict, Witness};
use schism_history::RunFacts;

pub use gap::{GapWords, explain};
pub use witness::{Counterexample, OPERATIONS_MAX, Proof, Told, counterexamples, decimals, prove};

use crate::Story;
use crate::figures::{Figures, Window};
use crate::words::{self, count, plural};

/// `Valid`, `Unknown`, `Invalid`.
pub fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Valid => "Valid",
        Outcome::Unknown => "Unknown",
        Outcome::Invalid => "Invalid",
    }
}

/// The verdict in one sentence, without its outcome's name before it.
pub fn verdict(story: &Story<'_>, figures: &Figures) -> String {
    match story.verdict.outcome() {
        Outcome::Invalid => {
            let found = counterexamples(story.verdict);
            let Some(first) = found.first() else { return "a promise was broken.".to_owned() };
            let headline = prove(story.history, first.anomaly).headline;
            let others = match found.len() - 1 {
                0 => String::new(),
                1 => " There is one more anomaly.".to_owned(),
                more => format!(" There are {} more anomalies.", count(more as u64)),
            };
            format!("{headline}.{others}")
        }
        Outcome::Unknown => {
            let gaps = gaps(story.verdict);
            let Some((_, first)) = gaps.first() else {
                return "no checker judged this history, so nothing can be said.".to_owned();
            };
            let others = match gaps.len() - 1 {
                0 => String::new(),
                1 => ", and for one more reason".to_owned(),
                more => format!(", and for {} more reasons", count(more as u64)),
            };
            format!("{}{others}.", first.why)
        }
        Outcome::Valid => {
            let judged = format!("no promise was broken in {}", plural(figures.outcomes.total(), "operation"));
            format!("{judged}{}.", under_faults(figures))
        }
    }
}

fn under_faults(figures: &Figures) -> String {
    let landed: u64 = figures.classes.iter().map(|class| class.landed).sum();
    let names: Vec<String> =
        figures.classes.iter().filter(|class| class.landed > 0).map(|class| words::cut(&class.class, 40)).collect();
    match landed {
        0 if figures.classes.is_empty() => "; no fault was asked for".to_owned(),
        0 => "; no fault took effect".to_owned(),
        landed => format!(" under {} ({})", plural(landed, "fault"), words::list(&names)),
    }
}

/// Every gap of a verdict in words, with the name of its checker, in order.
pub fn gaps(verdict: &Verdict) -> Vec<(&str, GapWords)> {
    let all = verdict.checkers.iter();
    all.flat_map(|(checker, finding)| finding.gaps.iter().map(move |gap| (checker.as_str(), explain(gap)))).collect()
}

/// What the verdict means for who uses the database: a few sentences, each a paragraph.
pub fn meaning(story: &Story<'_>, figures: &Figures) -> Vec<String> {
    let mut paragraphs = match story.verdict.outcome() {
        Outcome::Invalid => meaning_invalid(story, figures),
        Outcome::Unknown => vec![
            "This run shows neither that the promises were kept nor that they were broken. What was answered is in the \
             history and can be judged again; the reasons below say what would make it a verdict."
                .to_owned(),
        ],
        Outcome::Valid => vec![
            "Every answer that clients were given can be explained by one order of operations that respects real time. \
             This holds for what happened in this run. It is no proof for other schedules of faults: run it longer and \
             with other seeds to gain trust."
                .to_owned(),
        ],
    };
    if story.facts.interrupted && story.verdict.outcome() != Outcome::Unknown {
        paragraphs.push("The load was stopped before its time; what had happened until then was judged.".to_owned());
    }
    let quiet = figures.classes.is_empty() && story.verdict.outcome() == Outcome::Valid;
    if quiet && !story.facts.plan_digest.is_empty() {
        paragraphs.push("No fault was asked for: nothing is known yet of how the database bears harm.".to_owned());
    }
    paragraphs
}

fn meaning_invalid(story: &Story<'_>, figures: &Figures) -> Vec<String> {
    let database = if story.info.database.is_empty() { "the database" } else { story.info.database.as_str() };
    let found = counterexamples(story.verdict);
    let linear = found.first().is_some_and(|first| matches!(first.anomaly.witness, Witness::Nonlinearizable { .. }));
    let database = words::name(database);
    let what = if linear {
        format!(
            "The answers that {database} gave its clients cannot have come from any single, up-to-date copy of the data. \
             Software that trusts what it reads (locks, leader election, counters, configuration) can then act on data \
             that is no longer true, or act twice."
        )
    } else {
        format!("The answers that {database} gave its clients break a promise that was asked about.")
    };
    let mut paragraphs = vec![what];
    if let Some(first) = found.first() {
        paragraphs.extend(at_the_time(story, figures, first));
    }
    let gaps = gaps(story.verdict).len() as u64;
    if gaps > 0 {
        paragraphs.push(format!(
            "Beside this, {} left open; the reasons are below.",
            match gaps {
                1 => "one question is".to_owned(),
                gaps => format!("{} questions are", count(gaps)),
            }
        ));
    }
    paragraphs
}

/// Which faults were on while the operations of a counterexample ran.
fn at_the_time(story: &Story<'_>, figures: &Figures, found: &Counterexample<'_>) -> Option<String> {
    let (from, to) = time_of(story, found)?;
    let on: Vec<&Window> = overlapping(&figures.windows, from, to).collect();
    if on.is_empty() {
        return match (story.facts.faults.is_empty(), story.facts.plan_digest.is_empty()) {
            (true, true) => None,
            (true, false) => Some("No fault was injected at all: ordinary operation is enough.".to_owned()),
            (false, _) => Some("No fault was on between the first and the last of these operations.".to_owned()),
        };
    }
    let names: Vec<String> = on.iter().take(6).map(|window| fault_name(story.facts, window)).collect();
    let more = if on.len() > names.len() { format!(" and {} more", on.len() - names.len()) } else { String::new() };
    let were = if on.len() == 1 { "this fault was" } else { "these faults were" };
    Some(format!("Between the first and the last of these operations {were} on: {}{more}.", words::list(&names)))
}

/// `partition 3 (one node: n3 | n1 n2 n4 n5)`.
pub fn fault_name(facts: &RunFacts, window: &Window) -> String {
    let landed = if window.landed { "" } else { ", never seen to take effect" };
    let label = facts.faults.get(window.fault).map_or("", |fault| fault.label.as_str());
    let (class, label) = (words::cut(&window.class, 40), words::cut(label, 120));
    if label.is_empty() {
        return format!("{class} {}{landed}", window.fault_id);
    }
    format!("{class} {} ({label}{landed})", window.fault_id)
}

/// Windows that touch a stretch of time.
pub fn overlapping(windows: &[Window], from_ns: u64, to_ns: u64) -> impl Iterator<Item = &Window> {
    windows.iter().filter(move |window| window.start_ns <= to_ns && window.end_ns >= from_ns)
}

/// From the first invocation to the last event of a counterexample's operations.
fn time_of(story: &Story<'_>, found: &Counterexample<'_>) -> Option<(u64, u64)> {
    let Witness::Nonlinearizable { operations, .. } = &found.anomaly.witness else { return None };
    let calls = || operations.iter().filter_map(|&invoke| crate::phrase::call_at(story.history, invoke));
    let from = calls().map(|call| story.history.time_ns(call.invoke)).min()?;
    let to = calls().map(|call| story.history.time_ns(call.completion.unwrap_or(call.invoke))).max()?;
    Some((from, to))
}
