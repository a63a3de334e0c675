//! `report.html`: one self-contained page. No network, no font, no script is needed for what it says: the verdict, the
//! counterexample, the plots and the tables are HTML and SVG; a small script adds a light/dark switch, a copy button and
//! figures under the pointer. A content security policy forbids everything else, so that a hostile value in a history can
//! neither run nor fetch anything even if it got past the escaping.
//!
//! The page is ordered by what a reader asks first: what happened, what it means, the proof, how to repeat it, what it
//! looked like over time, what was done to the cluster, and where it ran.

mod coverage;
mod cycle;
mod drawing;
pub(crate) mod frame;
mod plots;
mod scale;
mod stretches;
mod tables;
pub(crate) use tables::{head, table};
mod verdict;

use base64::Engine as _;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use schism_checkers::Outcome;
use sha2::{Digest as _, Sha256};

use crate::Story;
use crate::figures::Measured;
use crate::sentence;
use crate::words;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Everything that the parts of a page read.
struct Page<'a> {
    story: Story<'a>,
    measured: Measured,
    /// Classes of fault in order of their name; a class's place is its colour and hatching.
    classes: Vec<String>,
}

impl Page<'_> {
    /// The place of a class, for its colour and hatching.
    fn class_place(&self, class: &str) -> usize {
        self.classes.iter().position(|other| other == class).unwrap_or(0)
    }
}

/// The page. The same story gives the same page. Costs a few passes over the history; at most some 3 MB of text for any
/// history: the latency plot draws a sample, and long lists are cut and say so.
pub fn page(story: &Story<'_>) -> String {
    let measured = Measured::of(story.history, story.facts);
    let classes = measured.figures.classes.iter().map(|class| class.class.clone()).collect();
    let page = Page { story: *story, measured, classes };
    let series = page.measured.series();
    let outcome = story.verdict.outcome();
    let suite = if story.info.suite.is_empty() { "a history" } else { story.info.suite.as_str() };
    let title = format!("{}: {suite}", sentence::headline_name(story, &page.measured.figures));
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "schism " (story.info.schism_version) };
                title { (words::cut(&title, 200)) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                (plots::hatchings())
                (top(&page))
                main {
                    (verdict::verdict(&page))
                    (navigation(&page))
                    (verdict::meaning(&page))
                    @if outcome != Outcome::Invalid { (verdict::gaps(&page)) }
                    (verdict::counterexample(&page))
                    (verdict::beyond(&page))
                    (verdict::repeat(&page))
                    @if outcome == Outcome::Invalid { (verdict::gaps(&page)) }
                    (plots::plots(&page, &series))
                    (tables::faults(&page))
                    (stretches::section(&page))
                    (coverage::section(&page))
                    (tables::availability(&page))
                    (tables::operations(&page))
                    (tables::checkers(&page))
                    (tables::environment(&page))
                    (tables::files(&page))
                }
                footer {
                    "Made by schism" @if !story.info.schism_version.is_empty() { " " (story.info.schism_version) }
                    ". This page needs no network and asks for none."
                }
                (plots::hover_data(&page, &series))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    visible(&markup.into_string())
}

/// The text with the replacement character for every control character but the line end: HTML has no way to say them.
fn visible(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() && char != '\n' { char::REPLACEMENT_CHARACTER } else { char })
        .collect()
}

/// Own styles, the one own script by its digest, and nothing else.
fn policy() -> String {
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'; base-uri 'none'; \
         form-action 'none'"
    )
}

fn top(page: &Page<'_>) -> Markup {
    let info = page.story.info;
    html! {
        header class="top" {
            span class="brand" { "schism" }
            span class="suite" { (words::cut(&info.suite, 200)) }
            @if !info.started_utc.is_empty() { span class="dim when" { (words::cut(&info.started_utc, 60)) } }
            button id="theme" type="button" hidden { "Theme: auto" }
        }
    }
}

fn navigation(page: &Page<'_>) -> Markup {
    let outcome = page.story.verdict.outcome();
    html! {
        nav aria-label="Sections" {
            a href="#meaning" { "Meaning" }
            @if outcome == Outcome::Invalid { a href="#counterexample" { "Counterexample" } }
            @if !sentence::beyond(page.story.verdict).is_empty() { a href="#beyond" { "Beyond" } }
            @if !sentence::story_gaps(&page.story).is_empty() { a href="#gaps" { "Open questions" } }
            @if !page.story.info.repeat_command.is_empty() { a href="#repeat" { "Repeat" } }
            a href="#plots" { "Over time" }
            @if !page.measured.figures.classes.is_empty() { a href="#faults" { "Faults" } }
            @if coverage::is_told(page) { a href="#coverage" { "Coverage" } }
            a href="#operations" { "Operations" }
            a href="#checkers" { "Checkers" }
            a href="#environment" { "Environment" }
        }
    }
}
