//! The counterexample as a drawing over real time: a lane for each process, a bar from invocation to completion, faults
//! behind them, doubt as an arrow without end, and the contradiction marked.

use maud::{Markup, html};
use schism_checkers::Witness;
use schism_checkers::anomaly::{Because, Path};
use schism_history::{Call, F, History, Kind, OpIndex, Process};

use super::Page;
use super::scale::Scale;
use crate::figures::Window;
use crate::phrase;
use crate::sentence::{self, Counterexample, OPERATIONS_MAX};
use crate::words::{self, letter};

const LEFT: f64 = 100.0;
const RIGHT: f64 = 44.0;
const WIDTH_LEAST: f64 = 900.0;
const BAR: f64 = 16.0;
const LABEL: f64 = 17.0;
const FAULT_ROW: f64 = 18.0;
/// Width of a character of a label; an estimate for the system's font at 13 px, on the safe side.
const CHAR: f64 = 7.1;

/// One operation as it is drawn.
struct Bar {
    call: Call,
    letter: String,
    label: String,
    lane: usize,
    from: f64,
    to: f64,
    /// Row of its label within its lane, from the bar upwards, and where it begins.
    level: usize,
    label_x: f64,
    blocked: bool,
}

struct Lane {
    process: Process,
    top: f64,
    levels: usize,
}

impl Lane {
    fn bar_y(&self) -> f64 {
        self.top + self.levels as f64 * LABEL + 4.0
    }

    fn height(&self) -> f64 {
        self.levels as f64 * LABEL + BAR + 22.0
    }
}

struct Drawing<'a> {
    history: &'a History,
    bars: Vec<Bar>,
    lanes: Vec<Lane>,
    scale: Scale,
    events: Vec<OpIndex>,
    right: f64,
    bottom: f64,
    faults_height: f64,
}

impl Drawing<'_> {
    /// Whether the history says nothing of when these operations happened.
    fn timeless(&self) -> bool {
        self.events.iter().all(|&event| self.history.time_ns(event) == 0)
    }
}

/// The drawing, or nothing for a witness that is not made of operations of this history.
pub(super) fn drawing(page: &Page<'_>, found: &Counterexample<'_>) -> Markup {
    let (operations, blocked, paths): (_, _, &[Path]) = match &found.anomaly.witness {
        Witness::Nonlinearizable { operations, blocked, paths, .. } => (operations, *blocked, paths),
        Witness::Nonsequential { operations, .. } => (operations, OpIndex::MAX, &[]),
        _ => return html! {},
    };
    let history = page.story.history;
    let calls: Vec<(usize, Call)> = operations
        .iter()
        .take(OPERATIONS_MAX)
        .enumerate()
        .filter_map(|(place, &invoke)| phrase::call_at(history, invoke).map(|call| (place, call)))
        .collect();
    if calls.is_empty() {
        return html! {};
    }
    let windows = windows(page, &calls);
    let rows: Vec<usize> = rows(page, &windows);
    let drawing = layout(history, &calls, blocked, rows.len());
    let height = drawing.bottom + 46.0;
    let width = drawing.right + RIGHT;
    html! {
        figure class="wide" {
            div class="scroll" tabindex="0" role="group" aria-label="Drawing of the counterexample" {
                svg class="drawing" viewBox={ "0 0 " (width) " " (height) } style={ "min-width:" (width * 0.72) "px" }
                    role="img" aria-labelledby="drawing-title drawing-desc" {
                    title id="drawing-title" { "The operations of the counterexample over real time" }
                    desc id="drawing-desc" {
                        @for (place, call) in &calls { (letter(*place)) ": " (phrase::deed(history, call)) ". " }
                    }
                    (faults(page, &drawing, &windows, &rows))
                    (lanes(&drawing))
                    (axis(&drawing))
                    (bars(&drawing))
                    (contradiction(&drawing, paths, blocked))
                }
            }
            figcaption { (caption(&drawing)) }
        }
    }
}

fn windows<'p>(page: &'p Page<'_>, calls: &[(usize, Call)]) -> Vec<&'p Window> {
    let history = page.story.history;
    let from = calls.iter().map(|(_, call)| history.time_ns(call.invoke)).min().unwrap_or(0);
    let ends = calls.iter().map(|(_, call)| {
        let end = if call.outcome == Kind::Info { None } else { call.completion };
        history.time_ns(end.unwrap_or(call.invoke))
    });
    sentence::overlapping(&page.measured.figures.windows, from, ends.max().unwrap_or(from)).collect()
}

/// The classes (by their place) that have a row of faults.
fn rows(page: &Page<'_>, windows: &[&Window]) -> Vec<usize> {
    let mut rows: Vec<usize> = windows.iter().map(|window| page.class_place(&window.class)).collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}

fn layout<'h>(history: &'h History, calls: &[(usize, Call)], blocked: OpIndex, fault_rows: usize) -> Drawing<'h> {
    let ended = |call: &Call| if call.outcome == Kind::Info { None } else { call.completion };
    let mut events: Vec<OpIndex> =
        calls.iter().flat_map(|(_, call)| [Some(call.invoke), ended(call)]).flatten().collect();
    events.sort_unstable();
    events.dedup();
    let times: Vec<u64> = events.iter().map(|&event| history.time_ns(event)).collect();
    let width = WIDTH_LEAST.max(events.len() as f64 * 20.0);
    let right = LEFT + 12.0 + width;
    let scale = Scale::new(&times, LEFT + 12.0, width - 24.0, 18.0);
    let x = |event: OpIndex| scale.event(events.partition_point(|&other| other < event));
    let mut lanes: Vec<Lane> = Vec::new();
    let mut bars = Vec::new();
    for (place, call) in calls {
        let process = history.process(call.invoke);
        let lane = lanes.iter().position(|lane| lane.process == *process).unwrap_or(lanes.len());
        if lane == lanes.len() {
            lanes.push(Lane { process: process.clone(), top: 0.0, levels: 1 });
        }
        bars.push(Bar {
            call: *call,
            letter: letter(*place),
            label: bar_label(history, call),
            lane,
            from: x(call.invoke),
            to: ended(call).map_or(right, x),
            level: 0,
            label_x: 0.0,
            blocked: call.invoke == blocked,
        });
    }
    for (lane, place) in lanes.iter_mut().zip(0..) {
        lane.levels = levels(bars.iter_mut().filter(|bar| bar.lane == place), right + RIGHT - 4.0);
    }
    let faults_height = fault_rows as f64 * FAULT_ROW;
    let mut bottom = 8.0 + faults_height;
    for lane in &mut lanes {
        lane.top = bottom;
        bottom += lane.height();
    }
    Drawing { history, bars, lanes, scale, events, right, bottom, faults_height }
}

fn bar_label(history: &History, call: &Call) -> String {
    let node =
        history.node(call.invoke).map_or_else(String::new, |node| format!(" · {}", words::cut(node.as_str(), 16)));
    format!("{}{node}", phrase::label(history, call))
}

/// Gives each label of a lane the lowest row where it hits no other; returns the number of rows.
fn levels<'b>(bars: impl Iterator<Item = &'b mut Bar>, right: f64) -> usize {
    let mut ends: Vec<f64> = Vec::new();
    for bar in bars {
        let width = (bar.letter.chars().count() + 2 + bar.label.chars().count()) as f64 * CHAR;
        bar.label_x = bar.from.min(right - width).max(LEFT + 4.0);
        let free = ends.iter().position(|&end| end + 8.0 < bar.label_x);
        bar.level = free.unwrap_or(ends.len());
        let end = bar.label_x + width;
        match ends.get_mut(bar.level) {
            Some(last) => *last = end,
            None => ends.push(end),
        }
    }
    ends.len().max(1)
}

fn faults(page: &Page<'_>, drawing: &Drawing<'_>, windows: &[&Window], rows: &[usize]) -> Markup {
    let span = |window: &Window| {
        let from = drawing.scale.moment(window.start_ns);
        let first = drawing.events.first().map_or(0, |&event| drawing.history.time_ns(event));
        let last = drawing.events.last().map_or(0, |&event| drawing.history.time_ns(event));
        let from = if window.start_ns < first { LEFT } else { from };
        let to = if window.end_ns > last { drawing.right } else { drawing.scale.moment(window.end_ns) };
        (from, (to - from).max(2.0))
    };
    let one = |window: &Window, tag: bool| {
        let place = page.class_place(&window.class);
        let row = rows.iter().position(|&row| row == place).unwrap_or(0);
        let y = 4.0 + row as f64 * FAULT_ROW;
        let (x, width) = span(window);
        let name = sentence::fault_name(page.story.facts, window);
        html! {
            g class={ "fault k" (place % 6) @if !window.landed { " unproven" } } {
                title { (name) }
                @if tag {
                    rect class="tag" x=(r(x)) y=(r(y)) width=(r(width)) height=(FAULT_ROW - 3.0) {}
                    @if width > 60.0 {
                        text class="small halo" x=(r(x + 5.0)) y=(r(y + 11.5)) {
                            (words::cut(&name, (width / 6.6) as usize))
                        }
                    }
                } @else {
                    rect class="band" x=(r(x)) y=(r(y)) width=(r(width)) height=(r(drawing.bottom - y)) {}
                }
            }
        }
    };
    html! {
        @for window in windows { (one(window, false)) }
        @for window in windows { (one(window, true)) }
    }
}

fn lanes(drawing: &Drawing<'_>) -> Markup {
    html! {
        @for lane in &drawing.lanes {
            @let y = lane.bar_y() + BAR / 2.0;
            line class="lane" x1=(LEFT) x2=(r(drawing.right)) y1=(r(y)) y2=(r(y)) {}
            text class="who" x=(LEFT - 10.0) y=(r(y + 4.5)) text-anchor="end" {
                (words::cut(&phrase::actor(&lane.process), 14))
            }
        }
    }
}

fn axis(drawing: &Drawing<'_>) -> Markup {
    let history = drawing.history;
    let decimals = sentence::decimals(history, drawing.bars.iter().map(|bar| &bar.call));
    let timeless = drawing.timeless();
    let room = (decimals as f64 + 6.0) * 6.6 + 10.0;
    let last = drawing.events.len().saturating_sub(1);
    let last_x = drawing.scale.event(last);
    let mut free_from = f64::MIN;
    let mut ticks = Vec::new();
    for (place, &event) in drawing.events.iter().enumerate() {
        let x = drawing.scale.event(place);
        let told = x >= free_from && (place == last || x + room <= last_x);
        if told {
            free_from = x + room;
        }
        ticks.push((
            x,
            told.then(|| {
                if timeless { format!("event {event}") } else { words::moment(history.time_ns(event), decimals) }
            }),
        ));
    }
    let y = drawing.bottom + 6.0;
    html! {
        @for (x, told) in &ticks {
            line class="guide" x1=(r(*x)) x2=(r(*x)) y1=(r(drawing.faults_height + 8.0)) y2=(r(y)) {}
            @if let Some(text) = told {
                line class="tick" x1=(r(*x)) x2=(r(*x)) y1=(r(y)) y2=(r(y + 5.0)) {}
                text class="small" x=(r(*x)) y=(r(y + 17.0)) text-anchor="middle" { (text) }
            }
        }
        line class="axis" x1=(LEFT) x2=(r(drawing.right)) y1=(r(y)) y2=(r(y)) {}
        @for cut in drawing.scale.breaks() {
            path class="cut" d={ "M" (r(cut.x - 6.0)) " " (r(y + 6.0)) "l4 -12m4 12l4 -12" } {}
            text class="small dim-text" x=(r(cut.x)) y=(r(y + 31.0)) text-anchor="middle" {
                (words::span(cut.length_ns))
            }
        }
    }
}

fn bars(drawing: &Drawing<'_>) -> Markup {
    let history = drawing.history;
    let decimals = sentence::decimals(history, drawing.bars.iter().map(|bar| &bar.call));
    html! {
        @for bar in &drawing.bars {
            @let lane = &drawing.lanes[bar.lane];
            @let y = lane.bar_y();
            @let doubt = bar.call.outcome == Kind::Info;
            @let class = match history.f(bar.call.invoke) { F::Read => "read", _ => "change" };
            g class={ "op " (class) @if doubt { " doubt" } @if bar.blocked { " blocked" } } {
                title { (bar.letter) ": " (phrase::sentence(history, &bar.call, decimals)) }
                @if doubt {
                    @let half = BAR / 2.0;
                    path class="bar" d={
                        "M" (r(bar.from)) " " (r(y)) "H" (r(bar.to)) "l12 " (half) "l-12 " (half) "H" (r(bar.from)) "Z"
                    } {}
                } @else {
                    @let width = r((bar.to - bar.from).max(2.0));
                    rect class="bar" x=(r(bar.from)) y=(r(y)) width=(width) height=(BAR) rx="2" {}
                }
                text class="label halo" x=(r(bar.label_x)) y=(r(y - 5.0 - bar.level as f64 * LABEL)) {
                    tspan class="strong" { (bar.letter) } " " (bar.label)
                    @if doubt { " ?" }
                }
            }
        }
    }
}

/// The mark at the blocked operation, and an arrow to it from what had ended before it began and stands in its way.
fn contradiction(drawing: &Drawing<'_>, paths: &[Path], blocked: OpIndex) -> Markup {
    let Some(bar) = drawing.bars.iter().find(|bar| bar.blocked) else { return html! {} };
    let lane = &drawing.lanes[bar.lane];
    let y = lane.bar_y();
    let before = before(drawing, paths, blocked);
    let text = "✕ no order explains this";
    let width = text.chars().count() as f64 * CHAR;
    let x = bar.from.min(drawing.right + RIGHT - 4.0 - width).max(LEFT);
    html! {
        @if let Some(before) = before {
            @let y0 = drawing.lanes[before.lane].bar_y() + BAR / 2.0;
            @let (y1, bend) = (y + BAR / 2.0, 26.0);
            path class="before" d={
                "M" (r(before.to)) " " (r(y0)) "C" (r(before.to + bend)) " " (r(y0)) " "
                (r(bar.from - bend)) " " (r(y1)) " " (r(bar.from - 3.0)) " " (r(y1))
            } {}
            path class="head" d={ "M" (r(bar.from - 2.0)) " " (r(y1)) "l-9 -4.5v9z" } {}
            @let middle = (before.to + bar.from) / 2.0;
            text class="small mark halo" x=(r(middle)) y=(r(f64::midpoint(y0, y1) - 9.0)) text-anchor="middle" {
                (before.letter) " had ended before " (bar.letter) " began"
            }
        }
        text class="small mark halo" x=(r(x)) y=(r(y + BAR + 13.0)) { (text) }
    }
}

/// The operation whose end before the blocked one stands in the way: the last one placed on a longest order that ended
/// before it began, or else one that real time asks for.
fn before<'d>(drawing: &'d Drawing<'_>, paths: &[Path], blocked: OpIndex) -> Option<&'d Bar> {
    let ended_before = |invoke: OpIndex| {
        let bar = drawing.bars.iter().find(|bar| bar.call.invoke == invoke)?;
        let certain = bar.call.outcome == Kind::Ok && bar.call.completion.is_some_and(|end| end < blocked);
        (certain && invoke != blocked).then_some(bar)
    };
    let is_change = |bar: &&Bar| *drawing.history.f(bar.call.invoke) != F::Read;
    let placed = paths.iter().filter(|path| path.illegal.iter().any(|illegal| illegal.operation == blocked));
    let last_change = |path: &Path| {
        let of_path = path.placed.iter().rev().filter_map(|placed| ended_before(placed.operation));
        of_path.into_iter().find(is_change)
    };
    placed.filter_map(last_change).next().or_else(|| {
        let reasons = paths.iter().flat_map(|path| &path.illegal).filter(|illegal| illegal.operation == blocked);
        let after = reasons.filter_map(|illegal| match illegal.because {
            Because::RealTime { after } => ended_before(after),
            _ => None,
        });
        after.into_iter().next()
    })
}

fn caption(drawing: &Drawing<'_>) -> Markup {
    let doubt = drawing.bars.iter().any(|bar| bar.call.outcome == Kind::Info);
    html! {
        span class="key" {
            svg viewBox="0 0 22 12" aria-hidden="true" {
                g class="op change" { rect class="bar" x="1" y="1" width="20" height="10" rx="2" {} }
            }
            "write, compare-and-set"
        }
        span class="key" {
            svg viewBox="0 0 22 12" aria-hidden="true" {
                g class="op read" { rect class="bar" x="1" y="1" width="20" height="10" rx="2" {} }
            }
            "read"
        }
        @if doubt {
            span class="key" {
                svg viewBox="0 0 22 12" aria-hidden="true" {
                    g class="op change doubt" { path class="bar" d="M1 1H14l7 5l-7 5H1Z" {} }
                }
                "in doubt, may take effect at any later time"
            }
        }
        @if drawing.timeless() {
            span { "The history has no times; the order of events is exact." }
        } @else if drawing.scale.is_even() {
            span { "Time is to scale." }
        } @else {
            span {
                "The order of events is exact; long stretches are shortened (with their length below the axis) and \
                 very short ones widened."
            }
        }
    }
}

/// A coordinate with one decimal.
fn r(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}
