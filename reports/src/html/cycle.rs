//! A cycle of transactions as a drawing: a box for each, one below the other, with a row for each micro-operation, and arrows
//! along the sides of the boxes, each from the micro-operation that causes a dependency to the one that shows it.
//!
//! No arrow crosses a text: they run in lanes beside the boxes, by turns on the right and on the left, and their labels stand
//! in the gaps between boxes. The arrow back to the first has a lane of its own outside of the others. Narrow screens get
//! the whole of it, as rows are cut in their middle.

use maud::{Markup, html};
use schism_checkers::anomaly::{Dependency, Step};
use schism_checkers::{Anomaly, Witness};
use schism_history::{Call, History, Kind};

use crate::phrase::{self, Shown};
use crate::sentence::{self, OPERATIONS_MAX, cycle_step, names_of_steps, transaction_name};
use crate::words;

/// Width of a character at 12 px, of ASCII and of others; estimates for the system's font, on the safe side.
const CHAR: f64 = 6.7;
const CHAR_WIDE: f64 = 12.5;
/// Room beside the boxes, and the lanes in it, counted from the boxes.
const SIDE: f64 = 46.0;
const LANE_INNER: f64 = 18.0;
const LANE_OUTER: f64 = 34.0;
/// Heights: above the first box, of a title, a row, a row of what is left out, the end of a box, a gap between boxes.
const TOP: f64 = 6.0;
const TITLE: f64 = 24.0;
const ROW: f64 = 25.0;
const ROW_LEFT_OUT: f64 = 17.0;
const END: f64 = 6.0;
const GAP: f64 = 30.0;
/// Radius of an arrow's corners.
const CORNER: f64 = 8.0;
const WIDTH_MIN: f64 = 240.0;
/// Most characters of a key and of a value.
const KEY_CHARS_MAX: usize = 16;
const VALUE_CHARS_MAX: usize = 22;
/// Most rows of a transaction, by the number of transactions.
const ROWS_MAX: usize = 8;
const ROWS_MAX_OF_MANY: usize = 2;
const MANY: usize = 6;

struct Row {
    text: String,
    /// Its micro-operation; `None` for those that are left out.
    micro: Option<usize>,
    part: bool,
    /// Its middle.
    y: f64,
}

struct Node {
    title: String,
    top: f64,
    bottom: f64,
    rows: Vec<Row>,
}

impl Node {
    fn y_of(&self, micro: Option<u32>) -> Option<f64> {
        let micro = micro? as usize;
        self.rows.iter().find(|row| row.micro == Some(micro)).map(|row| row.y)
    }

    /// Where an arrow leaves: at the micro-operation that causes it; the order of time at the end of the transaction.
    fn start(&self, because: &Dependency) -> f64 {
        self.y_of(because.from_micro).unwrap_or(if is_order(because) {
            self.bottom - 8.0
        } else {
            self.top + TITLE / 2.0
        })
    }

    /// Where an arrow arrives: at the micro-operation that shows it; the order of time at the transaction's beginning.
    fn end(&self, because: &Dependency) -> f64 {
        self.y_of(because.to_micro).unwrap_or(self.top + TITLE / 2.0)
    }
}

fn is_order(because: &Dependency) -> bool {
    matches!(because.kind.as_str(), "process" | "realtime")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// An arrow: where it runs, and where its label stands.
struct Arrow {
    side: Side,
    lane: f64,
    from: f64,
    to: f64,
    label_y: f64,
}

/// The drawing of a cycle, or of the circle in which a derivation ends; nothing for another witness, or one of another
/// history. `id` is the page's own.
pub(super) fn drawing(history: &History, anomaly: &Anomaly, id: &str) -> Markup {
    match &anomaly.witness {
        Witness::Cycle { steps, .. } => {
            let names = names_of_steps(steps);
            let told = |place| words::capital(&cycle_step(history, steps, &names, place));
            let told = (0..steps.len()).map(told).collect();
            drawing_of(history, steps, &names, told, id)
        }
        Witness::NoCommitOrder { transactions, derivation, .. } => {
            let Some(circle) = sentence::circle(history, derivation) else { return html! {} };
            let steps: Vec<Step> = circle.into_iter().map(|(step, _)| step).collect();
            let name = |step: &Step| {
                let place = transactions.iter().position(|&transaction| transaction == step.transaction);
                place.map(transaction_name)
            };
            let Some(names) = steps.iter().map(name).collect::<Option<Vec<String>>>() else { return html! {} };
            let told = (0..steps.len())
                .map(|place| format!("{} happened before {}", names[place], names[(place + 1) % names.len()]));
            drawing_of(history, &steps, &names, told.collect(), id)
        }
        _ => html! {},
    }
}

/// The drawing of steps; `names` and `told` are of each.
fn drawing_of(history: &History, steps: &[Step], names: &[String], told: Vec<String>, id: &str) -> Markup {
    let calls: Option<Vec<Call>> = steps.iter().map(|step| phrase::call_at(history, step.transaction)).collect();
    let Some(calls) = calls.filter(|calls| !calls.is_empty() && calls.len() <= OPERATIONS_MAX) else {
        return html! {};
    };
    let nodes = layout(history, steps, &calls, names);
    let inside = nodes.iter().map(width).fold(WIDTH_MIN, f64::max);
    let arrows = arrows(&nodes, steps);
    let (width, height) = (inside + 2.0 * SIDE, nodes.last().map_or(0.0, |last| last.bottom) + TOP + below(&arrows));
    html! {
        figure class="wide" {
            div class="scroll" tabindex="0" role="group" aria-label="Drawing of the cycle" {
                svg class="drawing" viewBox={ "0 0 " (r(width)) " " (r(height)) } style={ "max-width:" (r(width)) "px;min-width:" (r(width * 0.75)) "px" }
                    role="img" aria-labelledby={ (id) "-title" } aria-describedby={ (id) "-desc" } {
                    title id={ (id) "-title" } { "A cycle of " (words::plural(steps.len() as u64, "transaction")) }
                    desc id={ (id) "-desc" } { @for line in &told { (line) ". " } }
                    @for node in &nodes { (boxed(node, inside)) }
                    @for (place, arrow) in arrows.iter().enumerate() {
                        (drawn(arrow, &steps[place].because, &told[place], inside))
                    }
                }
            }
            (legend(steps))
        }
    }
}

/// What the kinds of arrows mean that are there.
fn legend(steps: &[Step]) -> Markup {
    const MEANINGS: [(&[&str], &str, &str); 4] = [
        (&["ww", "wwp"], "ww", "A wrote, and B wrote over it"),
        (&["wr", "wrp"], "wr", "A wrote, and B read it"),
        (&["rw", "rwp"], "rw", "A read, and B wrote over it"),
        (&["process", "realtime"], "order", "A had ended before B began, in a process or in real time"),
    ];
    let is_there = |kinds: &[&str]| steps.iter().any(|step| kinds.contains(&step.because.kind.as_str()));
    html! {
        figcaption {
            span { "An arrow leads from A, which came first, to B, which shows it." }
            @for (kinds, class, meaning) in MEANINGS.iter().filter(|(kinds, ..)| is_there(kinds)) {
                span class="key wrap" {
                    svg viewBox="0 0 26 12" aria-hidden="true" {
                        path class={ "edge " (class) } d="M1 6H17" {}
                        path class={ "edge-head " (class) } d="M25 6l-9 -4.5v9z" {}
                    }
                    @if *class != "order" { b { (kinds[0]) } } (meaning)
                }
            }
        }
    }
}

fn layout(history: &History, steps: &[Step], calls: &[Call], names: &[String]) -> Vec<Node> {
    let rows_max = if calls.len() > MANY { ROWS_MAX_OF_MANY } else { ROWS_MAX };
    let mut top = TOP;
    let mut nodes = Vec::with_capacity(calls.len());
    for (place, call) in calls.iter().enumerate() {
        let before = &steps[(place + steps.len() - 1) % steps.len()];
        let parts: Vec<u32> =
            [steps[place].because.from_micro, before.because.to_micro].into_iter().flatten().collect();
        let micros = phrase::micros_within(history, call, KEY_CHARS_MAX, VALUE_CHARS_MAX);
        let mut y = top + TITLE;
        let mut rows = Vec::new();
        for shown in phrase::shown(micros.len(), rows_max, &parts) {
            let (text, micro, height) = match shown {
                Shown::One(micro) => (micros[micro].text.clone(), Some(micro), ROW),
                Shown::LeftOut(count) => (format!("… {} more", words::count(count as u64)), None, ROW_LEFT_OUT),
            };
            let part = micro.is_some_and(|micro| parts.contains(&(micro as u32)));
            rows.push(Row { text, micro, part, y: y + height / 2.0 });
            y += height;
        }
        let bottom = y + END;
        nodes.push(Node {
            title: title(history, names.get(place).map_or("", String::as_str), call),
            top,
            bottom,
            rows,
        });
        top = bottom + GAP;
    }
    nodes
}

fn title(history: &History, name: &str, call: &Call) -> String {
    let on =
        history.node(call.invoke).map_or_else(String::new, |node| format!(" on {}", words::cut(node.as_str(), 12)));
    let who = phrase::actor(history.process(call.invoke));
    let doubt = if call.outcome == Kind::Info { " · in doubt" } else { "" };
    format!("{name} · {who}{on} · event {}{doubt}", call.invoke)
}

/// How wide the box of a transaction must be.
fn width(node: &Node) -> f64 {
    let rows = node.rows.iter().map(|row| text_width(&row.text) + 28.0);
    rows.fold(text_width(&node.title) + 18.0, f64::max)
}

fn text_width(text: &str) -> f64 {
    text.chars().map(|char| if char.is_ascii() { CHAR } else { CHAR_WIDE }).sum()
}

/// The arrows, the last of which leads back to the first transaction.
fn arrows(nodes: &[Node], steps: &[Step]) -> Vec<Arrow> {
    let last = nodes.len() - 1;
    let gap = |place: usize| nodes[place].bottom + GAP / 2.0 + 4.0;
    let mut arrows: Vec<Arrow> = (0..last)
        .map(|place| Arrow {
            side: if place % 2 == 0 { Side::Right } else { Side::Left },
            lane: LANE_INNER,
            from: nodes[place].start(&steps[place].because),
            to: nodes[place + 1].end(&steps[place].because),
            label_y: gap(place),
        })
        .collect();
    let because = &steps[last].because;
    // Beside another arrow at the same row.
    let (from, to) = (nodes[last].start(because) + 5.0, nodes[0].end(because) - 5.0);
    // With an even number of boxes the left is free at both ends. Else either side has an arrow at one end, which is
    // crossed only if it reaches beyond.
    let crosses_left = last.is_multiple_of(2) && arrows.last().is_some_and(|before| from < before.to);
    let crosses_right = arrows.first().is_none_or(|first| to > first.from) || !last.is_multiple_of(2);
    let side = if crosses_left && !crosses_right { Side::Right } else { Side::Left };
    let label_y = match (side, last) {
        (_, 0) => nodes[0].bottom + 16.0,
        (Side::Left, _) => gap(0),
        // Beside the first gap there is another arrow's label.
        (Side::Right, _) => gap(1),
    };
    arrows.push(Arrow { side, lane: LANE_OUTER, from, to, label_y });
    arrows
}

/// Room below the last box: for the label of an arrow from a transaction to itself.
fn below(arrows: &[Arrow]) -> f64 {
    if arrows.len() == 1 { GAP } else { 0.0 }
}

fn boxed(node: &Node, inside: f64) -> Markup {
    html! {
        rect class="txn" x=(SIDE) y=(r(node.top)) width=(r(inside)) height=(r(node.bottom - node.top)) rx="5" {}
        text class="strong" x=(SIDE + 9.0) y=(r(node.top + TITLE / 2.0 + 4.0)) { (node.title) }
        @for row in &node.rows {
            @if row.micro.is_some() {
                rect class={ "micro" @if row.part { " part" } } x=(SIDE + 6.0) y=(r(row.y - 10.5)) width=(r(inside - 12.0)) height="21" rx="3" {}
                text x=(SIDE + 14.0) y=(r(row.y + 4.0)) { (row.text) }
            } @else {
                text class="small dim-text" x=(SIDE + 14.0) y=(r(row.y + 3.5)) { (row.text) }
            }
        }
    }
}

fn drawn(arrow: &Arrow, because: &Dependency, told: &str, inside: f64) -> Markup {
    let class = match because.kind.as_str() {
        "ww" | "wwp" => "ww",
        "wr" | "wrp" => "wr",
        "rw" | "rwp" => "rw",
        _ => "order",
    };
    // Away from the box.
    let (edge, out, anchor) = match arrow.side {
        Side::Left => (SIDE, -1.0, "start"),
        Side::Right => (SIDE + inside, 1.0, "end"),
    };
    let lane = edge + out * arrow.lane;
    let down = if arrow.to >= arrow.from { 1.0 } else { -1.0 };
    let corner = CORNER.min((arrow.to - arrow.from).abs() / 2.0);
    let bend = lane - out * corner;
    html! {
        g {
            title { (told) }
            path class={ "edge " (class) } d={
                "M" (r(edge)) " " (r(arrow.from)) "H" (r(bend))
                "Q" (r(lane)) " " (r(arrow.from)) " " (r(lane)) " " (r(arrow.from + down * corner))
                "V" (r(arrow.to - down * corner))
                "Q" (r(lane)) " " (r(arrow.to)) " " (r(bend)) " " (r(arrow.to))
                "H" (r(edge + out * 7.0))
            } {}
            path class={ "edge-head " (class) } d={ "M" (r(edge)) " " (r(arrow.to)) "l" (r(out * 9.0)) " -4.5v9z" } {}
            text class={ "strong halo " (class) } text-anchor=(anchor) x=(r(lane - out * 7.0)) y=(r(arrow.label_y)) { (label(because)) }
        }
    }
}

fn label(because: &Dependency) -> String {
    let key = because.key.as_deref().map_or_else(String::new, |key| format!(" {}", words::cut_middle(key, 12)));
    match because.kind.as_str() {
        "realtime" => "real time".to_owned(),
        kind => format!("{}{key}", words::cut(kind, 12)),
    }
}

/// A coordinate with one decimal.
fn r(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use schism_checkers::AnomalyKind;
    use schism_history::notation;

    use super::*;

    fn step(transaction: u32, kind: &str, micros: Option<(u32, u32)>) -> Step {
        let because = Dependency {
            kind: kind.to_owned(),
            key: micros.map(|_| "x".to_owned()),
            from_micro: micros.map(|(from, _)| from),
            to_micro: micros.map(|(_, to)| to),
            ..Dependency::default()
        };
        Step { transaction, because }
    }

    /// Five transactions of three micro-operations each, the events of which are 0, 2, 4, 6 and 8.
    fn history() -> History {
        let one = |process: u32| format!(r#"{process}:txn=[["r","x",1],["w","y",{process}],["w","z",{process}]]"#);
        notation::parse(&(0..5).map(one).collect::<Vec<_>>().join(" ")).expect("a history")
    }

    fn drawn_of(count: usize, micros: impl Fn(usize) -> (u32, u32)) -> (Vec<Node>, Vec<Arrow>, Vec<Step>) {
        let history = history();
        let steps: Vec<Step> = (0..count).map(|place| step(2 * place as u32, "rw", Some(micros(place)))).collect();
        let calls: Vec<Call> = steps.iter().map(|step| history.call(step.transaction)).collect();
        let nodes = layout(&history, &steps, &calls, &[]);
        let arrows = arrows(&nodes, &steps);
        (nodes, arrows, steps)
    }

    /// Each arrow begins and ends within the row of its micro-operation.
    #[test]
    fn arrows_join_micro_operations() {
        for count in 2..=5 {
            for choice in 0..9_usize.pow(2) {
                let micros = |place: usize| {
                    let choice = if place + 1 == count { choice / 9 } else { choice % 9 };
                    ((choice / 3) as u32, (choice % 3) as u32)
                };
                let (nodes, arrows, steps) = drawn_of(count, micros);
                for (place, (arrow, step)) in arrows.iter().zip(&steps).enumerate() {
                    let row = |node: usize, micro: Option<u32>| nodes[node].rows[micro.unwrap_or(9) as usize].y;
                    let from = row(place, step.because.from_micro);
                    let to = row((place + 1) % count, step.because.to_micro);
                    assert!((arrow.from - from).abs() < 10.0 && (arrow.to - to).abs() < 10.0, "{count} {choice}");
                }
            }
        }
    }

    /// No two labels stand on one side of one gap, and no two arrows share a stretch of a lane.
    #[test]
    fn arrows_and_labels_keep_apart() {
        for count in 2..=5 {
            let (_, arrows, _) = drawn_of(count, |_| (2, 0));
            for (place, one) in arrows.iter().enumerate() {
                for other in &arrows[..place] {
                    let same_lane = one.side == other.side && one.lane.total_cmp(&other.lane).is_eq();
                    let apart = one.from.max(one.to) < other.from.min(other.to)
                        || other.from.max(other.to) < one.from.min(one.to);
                    assert!(!same_lane || apart, "{count}");
                    assert!(one.side != other.side || (one.label_y - other.label_y).abs() > 10.0, "{count}");
                }
            }
        }
    }

    /// An arrow back is on the side where it crosses none, if there is one: with three transactions that is the right
    /// where the first is left below where it is reached.
    #[test]
    fn the_way_back_crosses_where_it_must_only() {
        let (_, arrows, _) = drawn_of(3, |place| [(2, 0), (0, 2), (0, 0)][place]);
        assert_eq!(arrows[2].side, Side::Right);
        let (_, arrows, _) = drawn_of(3, |place| [(2, 0), (0, 0), (2, 0)][place]);
        assert_eq!(arrows[2].side, Side::Left);
        let (_, arrows, _) = drawn_of(4, |_| (0, 2));
        assert_eq!(arrows[3].side, Side::Left);
    }

    #[test]
    fn the_order_of_time_leads_from_end_to_beginning() {
        let history = history();
        let steps = [step(0, "realtime", None), step(2, "process", None)];
        let calls: Vec<Call> = steps.iter().map(|step| history.call(step.transaction)).collect();
        let nodes = layout(&history, &steps, &calls, &[]);
        let arrows = arrows(&nodes, &steps);
        let last_row = nodes[0].rows.last().map_or(0.0, |row| row.y);
        assert!(arrows[0].from > last_row && arrows[0].to < nodes[1].rows[0].y);
        let witness = Witness::Cycle { steps: steps.to_vec(), shortest: true };
        let text = drawing(&history, &Anomaly::new(AnomalyKind::G0, None, witness), "a").into_string();
        assert!(text.contains(">real time<") && text.contains(">process<") && text.contains("id=\"a-desc\""), "{text}");
    }

    /// Of a long transaction the rows that play a part are there; strange witnesses draw nothing or what they can.
    #[test]
    fn long_and_strange_ones_are_drawn_too() {
        let many: Vec<String> = (0..40).map(|key| format!(r#"["w",{key},1]"#)).collect();
        let line = format!("0:txn=[{0}] 1:txn=[{0}]", many.join(","));
        let history = notation::parse(&line).expect("a history");
        let draw = |steps: Vec<Step>| {
            let witness = Witness::Cycle { steps, shortest: false };
            drawing(&history, &Anomaly::new(AnomalyKind::G0, None, witness), "a").into_string()
        };
        let text = draw(vec![step(0, "ww", Some((37, 20))), step(2, "ww", Some((20, 37)))]);
        assert!(
            text.contains("write 1 to 37") && text.contains("write 1 to 20") && text.contains("… 30 more"),
            "{text}"
        );
        assert!(draw(vec![step(0, "odd", Some((99, 99)))]).contains(">odd x<"));
        assert!(draw(vec![step(77, "ww", None), step(0, "ww", None)]).is_empty());
        assert!(draw(Vec::new()).is_empty());
    }
}
