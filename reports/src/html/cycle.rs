//! A cycle of transactions as a drawing: a box for each, a cell for each micro-operation, and an arrow from the
//! micro-operation that causes a dependency to the one that it is about.

use maud::{Markup, html};
use schism_checkers::anomaly::Step;
use schism_checkers::{Anomaly, Witness};
use schism_history::{Call, History};

use crate::phrase;
use crate::sentence::{OPERATIONS_MAX, transaction_name};
use crate::words;

/// Width of a character of a cell; an estimate for the system's font at 13 px, on the safe side.
const CHAR: f64 = 7.1;
const LEFT: f64 = 12.0;
const HEAD: f64 = 20.0;
const CELL: f64 = 24.0;
const GAP: f64 = 46.0;
/// Room on the right for the arrow back.
const BACK: f64 = 120.0;
/// Most micro-operations of a transaction that have a cell, and most characters in one.
const CELLS_MAX: usize = 16;
const CHARS_MAX: usize = 40;

struct Cell {
    text: String,
    x: f64,
    width: f64,
    part: bool,
}

struct Node {
    title: String,
    top: f64,
    width: f64,
    cells: Vec<Cell>,
}

impl Node {
    fn bottom(&self) -> f64 {
        self.top + HEAD + CELL + 8.0
    }

    /// Where an arrow starts or ends: the middle of a cell, or of the box.
    fn x(&self, micro: Option<u32>) -> f64 {
        let cell = micro.and_then(|micro| self.cells.get(micro as usize));
        cell.map_or(LEFT + self.width.min(160.0) / 2.0, |cell| cell.x + cell.width / 2.0)
    }
}

/// The drawing of a cycle; nothing for another witness, or one of another history. `id` is the page's own.
pub(super) fn drawing(history: &History, anomaly: &Anomaly, id: &str) -> Markup {
    let Witness::Cycle { steps, .. } = &anomaly.witness else { return html! {} };
    let calls: Option<Vec<Call>> = steps.iter().map(|step| phrase::call_at(history, step.transaction)).collect();
    let Some(calls) = calls.filter(|calls| !calls.is_empty() && calls.len() <= OPERATIONS_MAX) else {
        return html! {};
    };
    let nodes = layout(history, steps, &calls);
    let widest = nodes.iter().map(|node| node.width).fold(0.0, f64::max);
    let width = LEFT + widest + BACK;
    let height = nodes.last().map_or(0.0, Node::bottom) + 14.0;
    html! {
        figure class="wide" {
            div class="scroll" tabindex="0" role="group" aria-label="Drawing of the cycle" {
                svg class="drawing" viewBox={ "0 0 " (r(width)) " " (r(height)) } style={ "max-width:" (r(width)) "px;min-width:" (r(width * 0.72)) "px" }
                    role="img" aria-labelledby={ (id) "-title" } {
                    title id={ (id) "-title" } { "The transactions of the cycle; each arrow says why one was before the other" }
                    @for node in &nodes { (boxed(node)) }
                    @for (place, step) in steps.iter().enumerate() { (arrow(&nodes, place, step, LEFT + widest)) }
                }
            }
            figcaption {
                span { "Arrows lead from the micro-operation that came first to the one that shows it: " }
                span { "ww written over, wr read what was written, rw read what was written over later; dashed: order of a process or of real time." }
            }
        }
    }
}

fn layout(history: &History, steps: &[Step], calls: &[Call]) -> Vec<Node> {
    let mut top = 34.0;
    let mut nodes = Vec::with_capacity(calls.len());
    for (place, call) in calls.iter().enumerate() {
        let before = &steps[(place + steps.len() - 1) % steps.len()];
        let parts = [steps[place].because.from_micro, before.because.to_micro];
        let node =
            history.node(call.invoke).map_or_else(String::new, |node| format!(" · {}", words::cut(node.as_str(), 16)));
        let who = phrase::actor(history.process(call.invoke));
        let title = format!("{} · {who}{node} · event {}", transaction_name(place), call.invoke);
        let mut x = LEFT + 8.0;
        let mut cells = Vec::new();
        for (micro, told) in phrase::micros(history, call).into_iter().enumerate().take(CELLS_MAX) {
            let text = words::cut(&told.text, CHARS_MAX);
            let width = text.chars().count() as f64 * CHAR + 12.0;
            let part = parts.contains(&u32::try_from(micro).ok());
            cells.push(Cell { text, x, width, part });
            x += width + 6.0;
        }
        let width = (x - LEFT + 2.0).max(title.chars().count() as f64 * CHAR + 16.0);
        nodes.push(Node { title, top, width, cells });
        top += HEAD + CELL + 8.0 + GAP;
    }
    nodes
}

fn boxed(node: &Node) -> Markup {
    html! {
        rect class="txn" x=(LEFT) y=(r(node.top)) width=(r(node.width)) height=(HEAD + CELL + 8.0) rx="4" {}
        text class="small" x=(LEFT + 8.0) y=(r(node.top + 14.5)) { (node.title) }
        @for cell in &node.cells {
            rect class={ "micro" @if cell.part { " part" } } x=(r(cell.x)) y=(r(node.top + HEAD)) width=(r(cell.width)) height=(CELL) rx="3" {}
            text class="small" x=(r(cell.x + 6.0)) y=(r(node.top + HEAD + 16.0)) { (cell.text) }
        }
    }
}

fn arrow(nodes: &[Node], place: usize, step: &Step, right: f64) -> Markup {
    let next = (place + 1) % nodes.len();
    let (from, to) = (&nodes[place], &nodes[next]);
    let (x0, x1) = (from.x(step.because.from_micro), to.x(step.because.to_micro));
    let kind = step.because.kind.as_str();
    let class = match kind {
        "ww" | "wwp" => "ww",
        "wr" | "wrp" => "wr",
        "rw" | "rwp" => "rw",
        _ => "order",
    };
    let key = step.because.key.as_deref().map_or_else(String::new, |key| format!(" {}", words::cut(key, 16)));
    let label = format!("{}{key}", words::cut(kind, 16));
    if next == place + 1 {
        let (y0, y1) = (from.top + HEAD + CELL, to.top + HEAD);
        let bend = GAP * 0.75;
        return html! {
            path class={ "edge " (class) } d={
                "M" (r(x0)) " " (r(y0)) "C" (r(x0)) " " (r(y0 + bend)) " " (r(x1)) " " (r(y1 - bend)) " " (r(x1)) " " (r(y1 - 7.0))
            } {}
            path class={ "edge-head " (class) } d={ "M" (r(x1)) " " (r(y1)) "l-4.5 -9h9z" } {}
            text class={ "small halo " (class) } x=(r(f64::midpoint(x0, x1) + 8.0)) y=(r(f64::midpoint(y0, y1) + 8.0)) { (label) }
        };
    }
    // Back to an earlier one, around the right side.
    let (y0, y1) = (from.top + HEAD + CELL, to.top + HEAD);
    let out = right + BACK * 0.45;
    html! {
        path class={ "edge " (class) } d={
            "M" (r(x0)) " " (r(y0)) "C" (r(x0)) " " (r(y0 + 26.0)) " " (r(out)) " " (r(y0 + 26.0)) " " (r(out)) " " (r(y0 - 20.0))
            "L" (r(out)) " " (r(y1 + 10.0))
            "C" (r(out)) " " (r(y1 - 34.0)) " " (r(x1)) " " (r(y1 - 34.0)) " " (r(x1)) " " (r(y1 - 7.0))
        } {}
        path class={ "edge-head " (class) } d={ "M" (r(x1)) " " (r(y1)) "l-4.5 -9h9z" } {}
        text class={ "small halo " (class) } x=(r(out + 6.0)) y=(r(f64::midpoint(y0, y1))) { (label) }
    }
}

/// A coordinate with one decimal.
fn r(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}
