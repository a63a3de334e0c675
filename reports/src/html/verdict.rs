//! The page's first screen: verdict, meaning, open questions, counterexample in words and drawing, how to repeat.

use maud::{Markup, html};
use schism_checkers::Outcome;

use super::{Page, cycle, drawing};
use crate::sentence::{self, Counterexample, OPERATIONS_MAX, Proof};
use crate::terminal;
use crate::words::{self, count, plural};

/// Further counterexamples that are told in words.
const FURTHER_MAX: usize = 20;
/// Gaps and troubles that are told.
const LINES_MAX: usize = 60;

pub(super) fn verdict(page: &Page<'_>) -> Markup {
    let story = &page.story;
    let outcome = story.verdict.outcome();
    let figures = &page.measured.figures;
    let (class, sign) = match outcome {
        _ if sentence::nothing_tested(story, figures).is_some() => ("unknown", "?"),
        Outcome::Valid => ("valid", "✓"),
        Outcome::Unknown => ("unknown", "?"),
        Outcome::Invalid => ("invalid", "✕"),
    };
    let said = words::capital(&sentence::verdict(story, &page.measured.figures));
    html! {
        section class={ "verdict " (class) } id="verdict" {
            p class="badge" { span aria-hidden="true" { (sign) } " " (sentence::headline_name(story, figures)) }
            h1 { (said) }
            p class="dim" { (words::cut(&in_short(page), 400)) }
            @if !story.info.cleanup_trouble.is_empty() {
                div class="trouble" {
                    strong { "Not cleaned up." }
                    " The verdict stands, but these nodes may still be harmed; " code { "schism heal" }
                    " on this run tries again."
                    ul {
                        @for trouble in story.info.cleanup_trouble.iter().take(LINES_MAX) {
                            li { code { (words::cut(trouble, 400)) } }
                        }
                        @if story.info.cleanup_trouble.len() > LINES_MAX {
                            li { "... and " (story.info.cleanup_trouble.len() - LINES_MAX) " more" }
                        }
                    }
                }
            }
        }
    }
}

/// `etcd 3.5.16 · 5 nodes · 9,812 operations in 60.0 s · 6 faults · seed 42`.
fn in_short(page: &Page<'_>) -> String {
    let (info, figures) = (page.story.info, &page.measured.figures);
    let mut parts = Vec::new();
    // Some databases tell their name with their version.
    let version = info.database_version.trim();
    let name = if version.starts_with(&info.database) { "" } else { info.database.as_str() };
    let database = format!("{name} {version}");
    if !database.trim().is_empty() {
        parts.push(words::cut(database.trim(), 80));
    }
    if !info.nodes.is_empty() {
        parts.push(plural(info.nodes.len() as u64, "node"));
    }
    let time = if figures.load_ns > 0 { format!(" in {}", words::span(figures.load_ns)) } else { String::new() };
    parts.push(format!("{}{time}", plural(figures.outcomes.total(), "operation")));
    let landed = figures.windows.iter().filter(|window| window.landed).count();
    if !figures.windows.is_empty() {
        parts.push(plural(landed as u64, "fault"));
    }
    if !info.repeat_command.is_empty() {
        parts.push(format!("seed {}", info.seed));
    }
    parts.join(" · ")
}

pub(super) fn meaning(page: &Page<'_>) -> Markup {
    html! {
        section id="meaning" {
            h2 { "What this means" }
            @for paragraph in sentence::meaning(&page.story, &page.measured.figures) { p { (paragraph) } }
        }
    }
}

pub(super) fn gaps(page: &Page<'_>) -> Markup {
    let gaps = sentence::story_gaps(&page.story);
    html! {
        @if !gaps.is_empty() {
            section id="gaps" {
                h2 { "What could not be said" }
                ul class="gaps" {
                    @for (checker, gap) in gaps.iter().take(LINES_MAX) {
                        li {
                            strong { (words::capital(&gap.why)) "." }
                            " " span class="dim" { "(" (words::cut(checker, 60)) ")" }
                            br;
                            (words::capital(&gap.next)) "."
                        }
                    }
                    @if gaps.len() > LINES_MAX { li { "... and " (count((gaps.len() - LINES_MAX) as u64)) " more" } }
                }
            }
        }
    }
}

pub(super) fn counterexample(page: &Page<'_>) -> Markup {
    let found = sentence::counterexamples(page.story.verdict);
    let Some(first) = found.first() else { return html! {} };
    let proof = sentence::prove(page.story.history, first.anomaly);
    html! {
        section id="counterexample" {
            h2 { "The smallest counterexample" }
            p class="dim" {
                (words::capital(&proof.title)) ", found by the checker " code { (words::cut(first.checker, 60)) } "."
                @if !proof.note.is_empty() { " " (words::capital(&proof.note)) "." }
            }
            (in_words(&proof))
            (drawing::drawing(page, first))
            (cycle::drawing(page.story.history, first.anomaly, "cycle"))
            @if found.len() > 1 { (further(page, &found[1..])) }
        }
    }
}

fn in_words(proof: &Proof) -> Markup {
    html! {
        @if proof.missing_count > 0 {
            p class="trouble" { (words::capital(&terminal::missing(proof.missing_count))) "." }
        }
        @if !proof.operations.is_empty() {
            ul class="operations" {
                @for told in &proof.operations {
                    li class=[told.blocked.then_some("blocked")] {
                        b class="letter" { (told.letter) }
                        div {
                            (words::capital(&told.sentence)) "."
                            @if told.blocked { strong class="mark" { " No order explains this." } }
                            " " span class="dim" { "event " (told.invoke) }
                        }
                    }
                }
                @if proof.operations_count > proof.operations.len() + proof.missing_count {
                    li { "... and " (proof.operations_count - proof.operations.len() - proof.missing_count) " more" }
                }
            }
        }
        @if !proof.reasons.is_empty() {
            h3 { "Why this cannot be" }
            ul { @for reason in &proof.reasons { li { (words::capital(reason)) "." } } }
        }
    }
}

fn further(page: &Page<'_>, found: &[Counterexample<'_>]) -> Markup {
    html! {
        h3 { "Further anomalies: " (count(found.len() as u64)) }
        (one_by_one(page, found, "cycle-further"))
    }
}

/// What was found of promises that were not asked about.
pub(super) fn beyond(page: &Page<'_>) -> Markup {
    let found = sentence::beyond(page.story.verdict);
    html! {
        @if !found.is_empty() {
            section id="beyond" {
                h2 { "Beyond what was asked" }
                p class="dim" { "These break promises that were not asked about, and do not count for the verdict." }
                (one_by_one(page, &found, "cycle-beyond"))
            }
        }
    }
}

/// Anomalies to be unfolded, each with its proof; `id` is the beginning of what their drawings are called.
fn one_by_one(page: &Page<'_>, found: &[Counterexample<'_>], id: &str) -> Markup {
    let told: Vec<Proof> =
        found.iter().take(FURTHER_MAX).map(|found| sentence::prove(page.story.history, found.anomaly)).collect();
    html! {
        @for (place, proof) in told.iter().enumerate() {
            details {
                summary { (words::capital(&proof.title)) ": " (words::cut(&proof.headline, 300)) }
                (in_words(proof))
                (cycle::drawing(page.story.history, found[place].anomaly, &format!("{id}-{place}")))
                @if !proof.note.is_empty() { p class="dim" { (words::capital(&proof.note)) "." } }
            }
        }
        @if found.len() > told.len() {
            p { "... and " (count((found.len() - told.len()) as u64)) " more in " code { "verdict.json" } "." }
        }
        @if told.iter().any(|proof| proof.operations_count > OPERATIONS_MAX) {
            p class="dim" { "Of each, at most " (OPERATIONS_MAX) " operations are told." }
        }
    }
}

pub(super) fn repeat(page: &Page<'_>) -> Markup {
    let command = page.story.info.repeat_command.as_str();
    html! {
        @if !command.is_empty() {
            section id="repeat" {
                h2 { "How to repeat it" }
                div class="command" {
                    pre { code id="repeat-command" { (command) } }
                    button id="copy" type="button" hidden { "Copy" }
                }
                p class="dim" {
                    "The same seed ("
                    (page.story.info.seed)
                    ") gives the same operations and the same faults in intent; how they "
                    "interleave on a real cluster differs from run to run."
                }
            }
        }
    }
}
