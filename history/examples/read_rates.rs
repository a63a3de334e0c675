//! Measures how fast histories are read from text, with the time of a SHA-256 pass over the same text beside it:
//! `cargo run --release -p schism-history --example read_rates [EVENTS [THREADS]]`.
//!
//! Ten processes a key, 1000 operations a key, unique writes, half reads: registers as JSON Lines, as EDN with keys, as
//! EDN without, and JSON Lines as another writer spaces them. `cpu` is what all threads took together (Linux), which is
//! the figure to compare where the machine does other work too.

#![allow(clippy::print_stdout, reason = "its figures are its output")]

use std::fmt::Write as _;
use std::time::Instant;

use schism_history::{History, Import, Keyed, edn, jsonl};
use sha2::{Digest, Sha256};

/// The text of one event.
type Line = fn(&mut String, &Event);

struct Event {
    index: usize,
    process: usize,
    kind: &'static str,
    f: &'static str,
    key: usize,
    /// Text of nothing is that of the format.
    value: Option<usize>,
}

fn text(events: usize, line: Line) -> String {
    let mut text = String::with_capacity(events * 110);
    for call in 0..events / 2 {
        let (key, process) = (call / 1000, call % 10);
        let written = call % 20 < 10;
        let f = if written { "write" } else { "read" };
        for (kind, at) in [("invoke", 0), ("ok", 1)] {
            let value = (written || at == 1).then_some(if written { call } else { call.saturating_sub(10) });
            line(&mut text, &Event { index: call * 2 + at, process, kind, f, key, value });
        }
    }
    text
}

fn json_line(out: &mut String, event: &Event) {
    let Event { index, process, kind, f, key, value } = event;
    let time = index * 50_000;
    let _ = write!(
        out,
        "{{\"index\":{index},\"time\":{time},\"process\":{process},\"type\":\"{kind}\",\"f\":\"{f}\",\"key\":{key},"
    );
    let _ = match value {
        Some(value) => writeln!(out, "\"value\":{value},\"node\":\"n{}\"}}", process % 5),
        None => writeln!(out, "\"value\":null,\"node\":\"n{}\"}}", process % 5),
    };
}

fn spaced_line(out: &mut String, event: &Event) {
    let mut line = String::new();
    json_line(&mut line, event);
    out.push_str(&line.replace(':', ": ").replace(',', ", "));
}

fn edn_line(out: &mut String, event: &Event) {
    let Event { index, process, kind, f, key, value } = event;
    let time = index * 50_000;
    let _ = write!(out, "{{:index {index}, :time {time}, :type :{kind}, :process {process}, :f :{f}, :value ");
    let _ = match value {
        Some(value) => writeln!(out, "[{key} {value}]}}"),
        None => writeln!(out, "[{key} nil]}}"),
    };
}

fn cas_line(out: &mut String, event: &Event) {
    let Event { process, kind, value, .. } = event;
    let _ = match value {
        Some(value) if event.f == "write" => {
            writeln!(out, "{{:process {process}, :type :{kind}, :f :cas, :value [{value} {}]}}", value + 1)
        }
        Some(value) => writeln!(out, "{{:process {process}, :type :{kind}, :f :read, :value {value}}}"),
        None => writeln!(out, "{{:process {process}, :type :{kind}, :f :read, :value nil}}"),
    };
}

/// Seconds of processor time of all threads so far, in hundredths; 0 where the system does not say.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn measure(name: &str, events: usize, text: &str, read: impl Fn(&[u8]) -> History) {
    let start = Instant::now();
    let digest = Sha256::digest(text.as_bytes());
    let sha_s = start.elapsed().as_secs_f64();
    for _ in 0..2 {
        let (start, cpu) = (Instant::now(), cpu_s());
        let history = read(text.as_bytes());
        let (wall_s, cpu_s) = (start.elapsed().as_secs_f64(), cpu_s() - cpu);
        assert_eq!(history.len(), events);
        println!(
            "{name:12} {:6.2} M events/s, {:4.0} ns of cpu an event, {:4.2} of sha256 ({:02x}), {} bytes an event",
            events as f64 / wall_s / 1e6,
            cpu_s * 1e9 / events as f64,
            wall_s / sha_s,
            digest[0],
            history.memory_bytes() / history.len(),
        );
    }
}

fn main() {
    let argument = |place: usize| std::env::args().nth(place).and_then(|text| text.parse::<usize>().ok());
    let events = argument(1).unwrap_or(4_000_000) / 20 * 20;
    let import = Import { threads: argument(2), ..Import::default() };
    for (name, line) in [("json lines", json_line as Line), ("spaced", spaced_line)] {
        let lines = text(events, line);
        measure(name, events, &lines, |text| jsonl::read_with(text, &import).expect("a history").0);
    }
    for (name, line, keyed) in [("edn keyed", edn_line as Line, Keyed::Auto), ("edn", cas_line, Keyed::Auto)] {
        let lines = text(events, line);
        measure(name, events, &lines, |text| edn::read_from(text, keyed, &import).expect("a history").0);
    }
}
