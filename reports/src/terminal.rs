//! A short summary for a terminal: verdict first, then what stands behind it, at most 100 columns wide.

use std::fmt::Write as _;

use schism_checkers::{AnomalyKind, Finding, Outcome};

use crate::Story;
use crate::figures::{Figures, Measured};
use crate::sentence::{self, Proof};
use crate::words::{self, count, plural};

/// Columns of the summary.
const WIDTH: usize = 96;
/// Most operations of the counterexample that are told; the page tells more.
const OPERATIONS_MAX: usize = 12;
/// Most gaps, reasons and troubles that are told, each.
const LINES_MAX: usize = 12;

/// What the summary is to look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look<'a> {
    /// Whether to use ANSI colours; without, there is no escape sequence in the text.
    pub color: bool,
    /// Where the page is, if it was written.
    pub report_path: Option<&'a str>,
}

/// The summary, with a line end at its end. Control characters of values and errors are made visible.
pub fn summary(story: &Story<'_>, look: Look<'_>) -> String {
    let figures = Measured::of(story.history, story.facts).figures;
    let mut page = Page { text: String::new(), color: look.color };
    verdict(&mut page, story, &figures);
    counterexample(&mut page, story);
    beyond(&mut page, story);
    gaps(&mut page, story);
    checkers(&mut page, story);
    operations(&mut page, &figures);
    faults(&mut page, &figures);
    if !story.info.cleanup_trouble.is_empty() {
        page.head("Not cleaned up");
        for trouble in story.info.cleanup_trouble.iter().take(LINES_MAX) {
            page.bullet("!", &words::cut(trouble, 400));
        }
        page.more(story.info.cleanup_trouble.len());
    }
    page.text.push('\n');
    if !story.info.repeat_command.is_empty() {
        let command = words::cut(&story.info.repeat_command, 2_000);
        let _ = writeln!(page.text, "Repeat   {command}");
    }
    if let Some(path) = look.report_path {
        let _ = writeln!(page.text, "Report   {}", words::cut(path, 2_000));
    }
    page.text
}

struct Page {
    text: String,
    color: bool,
}

impl Page {
    fn paint(&self, text: &str, code: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn head(&mut self, title: &str) {
        let title = self.paint(title, "1");
        let _ = writeln!(self.text, "\n{title}");
    }

    /// A mark and a text beside it, wrapped.
    fn bullet(&mut self, mark: &str, text: &str) {
        let indent = mark.chars().count() + 3;
        for (place, line) in words::wrap(text, WIDTH - indent).iter().enumerate() {
            let mark = if place == 0 { mark } else { "" };
            let _ = writeln!(self.text, "  {mark:width$} {line}", width = indent - 3);
        }
    }

    fn more(&mut self, of: usize) {
        if of > LINES_MAX {
            let _ = writeln!(self.text, "  ... and {} more", count((of - LINES_MAX) as u64));
        }
    }
}

fn code(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Valid => "1;32",
        Outcome::Unknown => "1;33",
        Outcome::Invalid => "1;31",
    }
}

fn verdict(page: &mut Page, story: &Story<'_>, figures: &Figures) {
    let outcome = story.verdict.outcome();
    let name = sentence::headline_name(story, figures).to_uppercase();
    let suite = words::cut(&story.info.suite, 60);
    let cut_off = sentence::interruption(story).map_or_else(String::new, |why| format!("{}. ", words::capital(&why)));
    let said = format!("{cut_off}{}", words::capital(&sentence::verdict(story, figures)));
    let nothing = sentence::nothing_tested(story, figures).is_some();
    let painted = page.paint(&name, code(if nothing { Outcome::Unknown } else { outcome }));
    let _ = writeln!(page.text, "{painted}{}{suite}", if suite.is_empty() { "" } else { "  " });
    for line in words::wrap(&said, WIDTH) {
        let _ = writeln!(page.text, "{line}");
    }
}

fn counterexample(page: &mut Page, story: &Story<'_>) {
    let found = sentence::counterexamples(story.verdict);
    let Some(first) = found.first() else { return };
    let Proof { title, operations, operations_count, reasons, note, missing_count, .. } =
        sentence::prove(story.history, first.anomaly);
    page.head(&format!("Counterexample: {title}"));
    let shown = &operations[..operations.len().min(OPERATIONS_MAX)];
    let letters = shown.iter().map(|told| told.letter.chars().count()).max().unwrap_or(1);
    for told in shown {
        let pad = " ".repeat(letters - told.letter.chars().count());
        let mark = if told.blocked { page.paint(&told.letter, "1;31") } else { told.letter.clone() };
        let mut lines = words::wrap(&words::capital(&told.sentence), WIDTH - 5 - letters).into_iter();
        let _ = writeln!(page.text, "  {mark}{pad}  {}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(page.text, "  {:letters$}  {line}", "");
        }
    }
    if operations_count > operations.len().min(OPERATIONS_MAX) {
        let more = operations_count - operations.len().min(OPERATIONS_MAX);
        let _ = writeln!(page.text, "     ... and {} more, see the report", count(more as u64));
    }
    // Orders are examples; the steps of a cycle are the proof, whole.
    let is_whole = sentence::is_of_transactions(&first.anomaly.witness);
    let shown = reasons.iter().take(if is_whole { LINES_MAX } else { 2 });
    if is_whole && reasons.len() > LINES_MAX {
        // The last one says what they come to.
        let left = reasons.len() - LINES_MAX + 1;
        shown.take(LINES_MAX - 2).for_each(|reason| page.bullet("-", &words::capital(reason)));
        page.bullet("-", &format!("... and {} more, see the report", count(left as u64)));
        reasons.last().into_iter().for_each(|reason| page.bullet("-", &words::capital(reason)));
    } else {
        shown.for_each(|reason| page.bullet("-", &words::capital(reason)));
    }
    if missing_count > 0 {
        page.bullet("!", &missing(missing_count));
    }
    if !note.is_empty() {
        page.bullet("-", &words::capital(&note));
    }
}

/// What was found of promises that were not asked about, a line for each kind.
fn beyond(page: &mut Page, story: &Story<'_>) {
    let found = sentence::beyond(story.verdict);
    if found.is_empty() {
        return;
    }
    let mut kinds: Vec<(&str, u64)> = Vec::new();
    for one in &found {
        match kinds.iter_mut().find(|(kind, _)| *kind == one.anomaly.kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((&one.anomaly.kind, 1)),
        }
    }
    page.head("Beyond what was asked");
    for (kind, count) in kinds.iter().take(LINES_MAX) {
        let about = AnomalyKind::parse(kind).map_or_else(String::new, |kind| format!(": {}", kind.about()));
        let times = if *count > 1 { format!(" ({} of them)", words::count(*count)) } else { String::new() };
        page.bullet("-", &format!("{}{about}{times}", words::cut(kind, 60)));
    }
    page.more(kinds.len());
}

/// What to say when a verdict names operations that its history does not have.
pub(crate) fn missing(missing_count: usize) -> String {
    format!(
        "{} of this proof not in the history: the verdict was made of another history; judge it again",
        if missing_count == 1 { "1 operation is".to_owned() } else { format!("{missing_count} operations are") }
    )
}

fn gaps(page: &mut Page, story: &Story<'_>) {
    let gaps = sentence::story_gaps(story);
    if gaps.is_empty() {
        return;
    }
    page.head("What could not be said");
    for (checker, gap) in gaps.iter().take(LINES_MAX) {
        page.bullet("?", &format!("{} ({})", words::capital(&gap.why), words::name(checker)));
        page.bullet(" ", &format!("-> {}", words::capital(&gap.next)));
    }
    page.more(gaps.len());
}

/// What a checker found, in half a line: `1 anomaly`, `2 open questions`.
pub(crate) fn found(finding: &Finding) -> String {
    let mut parts = Vec::new();
    let anomalies = finding.anomalies.len() as u64;
    if anomalies > 0 {
        let mut kinds: Vec<&str> = finding.anomalies.iter().map(|anomaly| anomaly.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let noun = if anomalies == 1 { "1 anomaly".to_owned() } else { format!("{} anomalies", count(anomalies)) };
        parts.push(format!("{noun} ({})", words::cut(&kinds.join(", "), 60)));
    }
    if !finding.gaps.is_empty() {
        parts.push(plural(sentence::explain_all(&finding.gaps, None).len() as u64, "open question"));
    }
    if !finding.beyond.is_empty() {
        parts.push(format!("{} beyond what was asked", count(finding.beyond.len() as u64)));
    }
    parts.join(", ")
}

fn checkers(page: &mut Page, story: &Story<'_>) {
    page.head("Checkers");
    let names = story.verdict.checkers.keys().map(|name| name.chars().count()).max().unwrap_or(0).clamp(8, 30);
    for (name, finding) in &story.verdict.checkers {
        let outcome = finding.outcome();
        let said = page.paint(&format!("{:<8}", sentence::outcome_name(outcome).to_lowercase()), code(outcome));
        let line = format!("  {:<names$}  {said}  {}", words::cut(name, 30), found(finding));
        let _ = writeln!(page.text, "{}", line.trim_end());
        if let Some(levels) = sentence::levels(finding) {
            page.bullet(" ", &words::capital(&levels));
        }
    }
    if story.verdict.checkers.is_empty() {
        let _ = writeln!(page.text, "  none");
    }
}

fn operations(page: &mut Page, figures: &Figures) {
    if figures.functions.is_empty() {
        return;
    }
    let total = figures.outcomes.total();
    let timed = figures.is_timed();
    let load = if timed {
        format!(" in {}, {}", words::span(figures.load_ns), words::rate(total, figures.load_ns))
    } else {
        ", rate -".to_owned()
    };
    page.head(&format!("Operations: {}{load}", count(total)));
    let row = |cells: [String; 8]| {
        let [f, ok, fail, info, share, p50, p99, max] = cells;
        format!("  {f:<12}{ok:>11}{fail:>10}{info:>10}{share:>10}{p50:>11}{p99:>11}{max:>11}\n")
    };
    let head = ["function", "ok", "fail", "info", "ok share", "p50", "p99", "max"];
    page.text.push_str(&row(head.map(str::to_owned)));
    for function in figures.functions.iter().take(30) {
        let outcomes = function.outcomes;
        let time = |ns: u64| if outcomes.ok == 0 || !timed { "-".to_owned() } else { words::span(ns) };
        page.text.push_str(&row([
            words::cut(&function.f, 11),
            count(outcomes.ok),
            count(outcomes.fail),
            count(outcomes.info),
            words::percent(outcomes.ok, outcomes.total()),
            time(function.latency.p50_ns),
            time(function.latency.p99_ns),
            time(function.latency.max_ns),
        ]));
    }
}

fn faults(page: &mut Page, figures: &Figures) {
    if figures.classes.is_empty() {
        return;
    }
    page.head("Faults");
    let row = |cells: [String; 7]| {
        let [class, tried, landed, healed, on, share, gap] = cells;
        format!("  {class:<14}{tried:>9}{landed:>9}{healed:>9}{on:>13}{share:>14}{gap:>18}\n")
    };
    let head = ["class", "tried", "landed", "healed", "time on", "ok meanwhile", "longest no ok"];
    page.text.push_str(&row(head.map(str::to_owned)));
    for class in &figures.classes {
        page.text.push_str(&row([
            words::cut(&class.class, 13),
            count(class.tried),
            count(class.landed),
            if class.landed == 0 { "-".to_owned() } else { count(class.healed) },
            if class.on_ns == 0 { "never".to_owned() } else { words::span(class.on_ns) },
            words::percent(class.outcomes.ok, class.outcomes.total()),
            if class.on_ns == 0 { "-".to_owned() } else { words::span(class.longest_without_ok_ns) },
        ]));
    }
}
