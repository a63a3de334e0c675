//! The page's tables: faults and their evidence, availability, operations, checkers, environment, files.

use maud::{Markup, html};
use schism_checkers::Outcome;
use schism_history::FaultWindow;
use serde_json::Value as Json;

use super::Page;
use crate::figures::{ClassFigures, Window};
use crate::words::{self, count};
use crate::{sentence, terminal};

/// Faults that are listed.
const FAULTS_MAX: usize = 400;
/// Bytes of evidence on the page; what does not fit stands in the run folder.
const EVIDENCE_BYTES_MAX: usize = 400_000;
/// Bytes of one measurement.
const MEASURED_BYTES_MAX: usize = 8_000;
/// Nodes up to which a measurement of links is shown as a matrix.
const MATRIX_NODES_MAX: usize = 9;

pub(super) fn faults(page: &Page<'_>) -> Markup {
    let figures = &page.measured.figures;
    if figures.classes.is_empty() {
        return html! {};
    }
    let mut room = EVIDENCE_BYTES_MAX;
    html! {
        section id="faults" {
            h2 { "Faults" }
            @if figures.windows.is_empty() { p { "Faults were asked for, but none was ever injected." } } @else {
                p class="dim" {
                    "A fault counts only when it was seen to take effect. What was measured is under Evidence."
                }
                (table("Every fault of the run", html! {
                    (head(&["#No", "Class", "What", "#Began", "#Lasted", "Took effect", "Healed"]))
                    tbody {
                        @for window in figures.windows.iter().take(FAULTS_MAX) { (fault(page, window, &mut room)) }
                    }
                }))
                @if figures.windows.len() > FAULTS_MAX {
                    p {
                        "The first " (FAULTS_MAX) " of " (count(figures.windows.len() as u64))
                        " faults are listed; all are in " code { "faults.jsonl" } "."
                    }
                }
            }
        }
    }
}

fn fault(page: &Page<'_>, window: &Window, room: &mut usize) -> Markup {
    let Some(fault) = page.story.facts.faults.get(window.fault) else { return html! {} };
    let after = |from: u64, to: u64| words::span(to.saturating_sub(from));
    html! {
        tr class="fault-row" {
            td class="number" { (fault.fault_id) }
            th scope="row" {
                (class_name(page, &fault.class))
            }
            td { (words::cut(&fault.label, 200)) }
            td class="number" { (words::moment(fault.start_ns, 1)) }
            td class="number" { (after(window.start_ns, window.end_ns)) }
            td { @match fault.landed_ns {
                Some(landed) => { span class="yes" { "✓ proven" } " after " (after(fault.start_ns, landed)) },
                None => span class="no" { "✕ never seen" },
            } }
            td { @match (fault.healed_ns, fault.heal_start_ns) {
                (Some(_), _) if fault.landed_ns.is_none() => "nothing left",
                (Some(healed), Some(start)) => { span class="yes" { "✓ proven" } " in " (after(start, healed)) },
                (Some(_), None) => span class="yes" { "✓ proven" },
                (None, start) => {
                    span class="no" { @if start.is_some() { "✕ not proven" } @else { "✕ not healed" } }
                    @match sentence::afterwards(fault) {
                        Some((true, end)) => { " in the run, " span class="yes" { "✓ " (end) } },
                        Some((false, end)) => { " in the run, " (end) },
                        None => "",
                    }
                },
            } }
        }
        tr class="evidence" { td {} td colspan="6" { (evidence(fault, room)) } }
    }
}

/// A class of fault with its colour.
fn class_name(page: &Page<'_>, class: &str) -> Markup {
    html! {
        span class={ "swatch k" (page.class_place(class) % 6) } aria-hidden="true" {}
        (words::cut(class, 40))
    }
}

fn evidence(fault: &FaultWindow, room: &mut usize) -> Markup {
    let measured: Vec<&Json> = fault.evidence.iter().filter(|evidence| !evidence.is_null()).collect();
    if measured.is_empty() {
        return html! { span class="dim" { "No evidence" } };
    }
    let size: usize = measured.iter().map(|json| json.to_string().len().min(MEASURED_BYTES_MAX) * 2).sum();
    let Some(left) = room.checked_sub(size) else {
        return html! { span class="dim" { "Evidence is in " code { "faults.jsonl" } } };
    };
    *room = left;
    html! {
        details {
            summary { "Evidence" }
            @for json in measured { div class="measured" { (one_measurement(json)) } }
        }
    }
}

/// One measurement: when it was made, what it proves, what was measured (`{"when", "proven", "error", "measured"}`; any
/// other shape is shown as it is).
fn one_measurement(json: &Json) -> Markup {
    let text = |field: &str| {
        let found = json.get(field)?;
        Some(words::cut(&found.as_str().map_or_else(|| found.to_string(), str::to_owned), 400))
    };
    let measured = json.get("measured").unwrap_or(json);
    let matrix = matrix(measured);
    let rest = match (measured.as_object(), &matrix) {
        (Some(fields), Some(_)) => Json::Object(
            fields.iter().filter(|(name, _)| *name != "probes").map(|(n, v)| (n.clone(), v.clone())).collect(),
        ),
        (None, Some(_)) => Json::Null,
        (_, None) => measured.clone(),
    };
    let empty = rest.is_null() || rest.as_object().is_some_and(serde_json::Map::is_empty);
    html! {
        p class="dim" {
            @if let Some(when) = text("when") { "When " (when) ": " }
            @match json.get("proven").and_then(Json::as_bool) {
                Some(true) => span class="yes" { "✓ proven" },
                Some(false) => span class="no" { "✕ not proven" },
                None => "measured",
            }
        }
        @if let Some(error) = text("error") { p class="no" { (error) } }
        @if let Some(matrix) = matrix { (matrix) }
        @if !empty { pre { (visible(&serde_json::to_string_pretty(&rest).unwrap_or_default())) } }
    }
}

/// A text of several lines, cut, with its other control characters made visible.
fn visible(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(MEASURED_BYTES_MAX)
        .map(|char| if char.is_control() && char != '\n' { '\u{fffd}' } else { char })
        .collect();
    if text.chars().nth(MEASURED_BYTES_MAX).is_some() {
        out.push_str("\n...");
    }
    out
}

/// Probes between nodes (`{"from", "to", "sent", "received"}`) as a matrix: who heard whom.
fn matrix(measured: &Json) -> Option<Markup> {
    let probes = measured.get("probes").unwrap_or(measured).as_array()?;
    let mut cells: Vec<(&str, &str, u64, u64)> = Vec::new();
    for probe in probes {
        let text = |field: &str| probe.get(field)?.as_str();
        let number = |field: &str| probe.get(field)?.as_u64();
        cells.push((text("from")?, text("to")?, number("sent")?, number("received")?));
    }
    let mut nodes: Vec<&str> = cells.iter().flat_map(|cell| [cell.0, cell.1]).collect();
    nodes.sort_unstable();
    nodes.dedup();
    if nodes.is_empty() || nodes.len() > MATRIX_NODES_MAX {
        return None;
    }
    let cell = |from: &str, to: &str| cells.iter().find(|cell| cell.0 == from && cell.1 == to);
    Some(html! {
        table class="matrix" {
            caption { "Probes received of those sent" }
            thead { tr {
                th scope="col" { "from \\ to" }
                @for to in &nodes { th scope="col" { (words::cut(to, 24)) } }
            } }
            tbody { @for from in &nodes { tr {
                th scope="row" { (words::cut(from, 24)) }
                @for to in &nodes {
                    @match cell(from, to) {
                        Some((_, _, sent, 0)) => td class="cut" { "✕ 0/" (sent) },
                        Some((_, _, sent, received)) => td { (received) "/" (sent) },
                        None => td class="dim" { "·" },
                    }
                }
            } } }
        }
    })
}

pub(super) fn availability(page: &Page<'_>) -> Markup {
    let figures = &page.measured.figures;
    if figures.classes.is_empty() || figures.outcomes.total() == 0 {
        return html! {};
    }
    html! {
        section id="availability" {
            h2 { "Availability" }
            p class="dim" {
                "Of the operations that were begun while a class of fault was surely on, how many succeeded. Clients wait \
                 for an answer before they ask again, so slow times count fewer operations: read the share together with \
                 the rate."
            }
            (table("Availability by class of fault", html! {
                (head(&[
                    "While", "#Time on", "#Operations", "#Succeeded", "#Rate ok", "#p50", "#p99", "#Longest without ok",
                    "#First ok after healing",
                ]))
                tbody {
                    (class_row(page, &figures.quiet))
                    @for class in &figures.classes { (class_row(page, class)) }
                }
            }))
        }
    }
}

fn class_row(page: &Page<'_>, class: &ClassFigures) -> Markup {
    let outcomes = class.outcomes;
    let share = words::percent(outcomes.ok, outcomes.total());
    let time = |ns: u64| if outcomes.ok == 0 { "-".to_owned() } else { words::span(ns) };
    html! {
        tr {
            th scope="row" {
                @if class.class.is_empty() { "no fault" } @else {
                    (class_name(page, &class.class))
                }
            }
            td class="number" { @if class.on_ns == 0 { "never" } @else { (words::span(class.on_ns)) } }
            td class="number" { (count(outcomes.total())) }
            td class="number" {
                @if outcomes.total() > 0 {
                    span class="share" aria-hidden="true" {
                        span style={ "width:" (outcomes.ok * 100 / outcomes.total()) "%" } {}
                    }
                }
                (share)
            }
            td class="number" { (words::rate(outcomes.ok, class.on_ns)) }
            td class="number" { (time(class.latency.p50_ns)) }
            td class="number" { (time(class.latency.p99_ns)) }
            td class="number" { @if class.on_ns == 0 { "-" } @else { (words::span(class.longest_without_ok_ns)) } }
            td class="number" {
                @match class.recovery_max_ns {
                    Some(recovery) => { (words::span(recovery)) @if class.healed > 1 { " at most" } },
                    None => "-",
                }
            }
        }
    }
}

pub(super) fn operations(page: &Page<'_>) -> Markup {
    let figures = &page.measured.figures;
    html! {
        section id="operations" {
            h2 { "Operations" }
            @if figures.functions.is_empty() { p { "The history has no operation of a client." } } @else {
                (table("Operations by function", html! {
                    (head(&["Function", "#All", "#ok", "#fail", "#info", "#Succeeded", "#p50", "#p95", "#p99", "#Slowest"]))
                    tbody { @for function in figures.functions.iter().take(100) {
                        @let (outcomes, latency) = (function.outcomes, function.latency);
                        tr {
                            th scope="row" { code { (words::cut(&function.f, 60)) } }
                            @for number in [outcomes.total(), outcomes.ok, outcomes.fail, outcomes.info] {
                                td class="number" { (count(number)) }
                            }
                            td class="number" { (words::percent(outcomes.ok, outcomes.total())) }
                            @for ns in [latency.p50_ns, latency.p95_ns, latency.p99_ns, latency.max_ns] {
                                td class="number" { @if outcomes.ok == 0 { "-" } @else { (words::span(ns)) } }
                            }
                        }
                    } }
                }))
                p class="dim" {
                    "ok: took effect. fail: certainly did not. info: nobody knows, it may take effect at any later \
                     time. Latency is that of ok. "
                    @if figures.load_ns > 0 {
                        "All together " (words::rate(figures.outcomes.total(), figures.load_ns))
                        " over " (words::span(figures.load_ns)) "."
                    }
                }
            }
        }
    }
}

pub(super) fn checkers(page: &Page<'_>) -> Markup {
    let checkers = &page.story.verdict.checkers;
    html! {
        section id="checkers" {
            h2 { "Checkers" }
            @if checkers.is_empty() { p { "No checker judged this history." } } @else {
                (table("What each checker found", html! {
                    (head(&["Checker", "Verdict", "Found"]))
                    tbody { @for (name, finding) in checkers {
                        tr {
                            th scope="row" { code { (words::cut(name, 60)) } }
                            td { @match finding.outcome() {
                                Outcome::Valid => span class="yes" { "✓ valid" },
                                Outcome::Unknown => span class="maybe" { "? unknown" },
                                Outcome::Invalid => span class="no" { "✕ invalid" },
                            } }
                            td { (terminal::found(finding)) }
                        }
                    } }
                }))
            }
        }
    }
}

pub(super) fn environment(page: &Page<'_>) -> Markup {
    let (info, facts) = (page.story.info, page.story.facts);
    let run = !info.repeat_command.is_empty() || !info.run.is_empty();
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            rows.push((name.to_owned(), value));
        }
    };
    row("Run", info.run.clone());
    row("Suite", info.suite.clone());
    row("Workload", info.workload.clone());
    row("Database", info.database.clone());
    row("Version", info.database_version.clone());
    row("Ground", info.ground.clone());
    row("Began (UTC)", info.started_utc.clone());
    row("Load", if facts.load_ns > 0 { words::span(facts.load_ns) } else { String::new() });
    row("Clients", if info.concurrency > 0 { count(u64::from(info.concurrency)) } else { String::new() });
    row("Sequence", info.sequence.clone());
    row("Seed", if run { info.seed.to_string() } else { String::new() });
    row("Plan (SHA-256)", facts.plan_digest.clone());
    row("schism", info.schism_version.clone());
    for (name, value) in info.environment.iter().take(60) {
        row(&words::cut(name, 60), value.clone());
    }
    html! {
        section id="environment" {
            h2 { "Environment" }
            (table("Environment of the run", html! {
                tbody {
                    @for (name, value) in &rows {
                        tr { th scope="row" { (name) } td class="value" { (words::cut(value, 400)) } }
                    }
                }
            }))
            @if !info.nodes.is_empty() {
                (table("Nodes", html! {
                    (head(&["Node", "Address"]))
                    tbody { @for (name, address) in info.nodes.iter().take(200) {
                        tr { th scope="row" { (words::cut(name, 60)) } td class="value" { (words::cut(address, 100)) } }
                    } }
                }))
            }
        }
    }
}

pub(super) fn files(page: &Page<'_>) -> Markup {
    let files = [
        ("plan.json", "what was to run, with no option left open"),
        ("history.jsonl", "every operation, in the order of real time"),
        ("faults.jsonl", "every fault with its undo, written before the harm"),
        ("verdict.json", "the verdict as data"),
        ("junit.xml", "the verdict for CI systems"),
        ("schism.log", "what schism did"),
        ("nodes/", "logs of each node"),
    ];
    html! {
        @if !page.story.info.run.is_empty() {
            section id="files" {
                h2 { "Files of this run" }
                ul class="files" {
                    @for (name, about) in files {
                        li { a href=(name) { code { (name) } } " " span class="dim" { (about) } }
                    }
                }
            }
        }
    }
}

/// A row of column names; one that begins with `#` is of numbers.
pub(crate) fn head(columns: &[&str]) -> Markup {
    html! {
        thead {
            tr {
                @for column in columns {
                    @match column.strip_prefix('#') {
                        Some(number) => th scope="col" class="number" { (number) },
                        None => th scope="col" { (column) },
                    }
                }
            }
        }
    }
}

/// A table that scrolls where the screen is narrow.
pub(crate) fn table(caption: &str, rows: Markup) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="group" aria-label=(caption) {
            table { caption class="unseen" { (caption) } (rows) }
        }
    }
}
