//! Measures how fast histories are read from text, with the time of a SHA-256 pass over the same text beside it:
//! `cargo run --release -p schism-history --example read_rates [EVENTS [THREADS [TRANSACTIONS]]]`.
//!
//! Ten processes a key, 1000 operations a key, unique writes, half reads: registers as JSON Lines, as EDN with keys, as
//! EDN without, and JSON Lines as another writer spaces them. Then transactions (a million): 20 processes, 1 to 4
//! micro-operations, half reads, 10 live keys, 32 (and 256) appends a key, 5 % failed, 2 % in doubt. Of more than a million
//! the text is not held, but made while it is read: its making is measured too, and said. `cpu` is what all threads took
//! together (Linux), which is the figure to compare where the machine does other work too.

#![allow(clippy::print_stdout, reason = "its figures are its output")]

use std::fmt::Write as _;
use std::io::{self, Read};
use std::time::Instant;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use schism_history::{History, Import, Keyed, Seed, edn, jsonl};
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

/// How a transaction is written.
#[derive(Clone, Copy, PartialEq)]
enum Notation {
    Json,
    Edn,
}

/// What a process is at.
#[derive(Clone, Default)]
struct Open {
    /// Whether it reads, its key, and what is appended or how many items are read.
    micros: Vec<(bool, usize, u32)>,
    number: usize,
    is_open: bool,
}

/// A serial store: the text of its transactions, made as it is read. A transaction takes effect when it ends; in between
/// others begin and end.
struct Store {
    rng: ChaCha8Rng,
    notation: Notation,
    appends_a_key: usize,
    /// By key: what was appended, in order; of keys that are long past nothing.
    lists: Vec<Vec<u32>>,
    /// By key: how many appends were asked for.
    asked: Vec<u32>,
    live: Vec<usize>,
    processes: Vec<Open>,
    next_process: usize,
    missing: usize,
    index: usize,
    text: Vec<u8>,
    at: usize,
}

impl Store {
    fn new(transactions: usize, appends_a_key: usize, notation: Notation) -> Store {
        let processes = (0..20).map(|number| Open { number, ..Open::default() }).collect();
        Store {
            rng: Seed(5).stream("read_rates/transactions"),
            notation,
            appends_a_key,
            lists: vec![Vec::new(); 10],
            asked: vec![0; 10],
            live: (0..10).collect(),
            processes,
            next_process: 20,
            missing: transactions,
            index: 0,
            text: Vec::new(),
            at: 0,
        }
    }

    /// Adds one event to the text; whether there was one.
    fn event(&mut self) -> bool {
        let place = (self.rng.next_u32() % 20) as usize;
        if !self.processes[place].is_open {
            if self.missing == 0 {
                let Some(open) = self.processes.iter().position(|process| process.is_open) else { return false };
                self.end(open);
                return true;
            }
            self.missing -= 1;
            let count = self.rng.random_range(1..5);
            let mut open = std::mem::take(&mut self.processes[place]);
            open.micros.clear();
            for _ in 0..count {
                let slot = self.rng.random_range(0..self.live.len());
                let key = self.live[slot];
                let reads = self.rng.random_bool(0.5);
                self.asked[key] += u32::from(!reads);
                open.micros.push((reads, key, self.asked[key]));
                if self.asked[key] as usize >= self.appends_a_key {
                    self.live[slot] = self.lists.len();
                    self.lists.push(Vec::new());
                    self.asked.push(0);
                    if let Some(past) = self.lists.len().checked_sub(1000) {
                        self.lists[past] = Vec::new();
                    }
                }
            }
            open.is_open = true;
            self.write(&open, "invoke", false);
            self.processes[place] = open;
        } else {
            self.end(place);
        }
        true
    }

    fn end(&mut self, place: usize) {
        let mut open = std::mem::take(&mut self.processes[place]);
        let chance = self.rng.random_range(0..100);
        let kind = if chance < 5 {
            "fail"
        } else if chance < 7 {
            "info"
        } else {
            "ok"
        };
        // Half of what is in doubt took effect.
        let lands = kind == "ok" || kind == "info" && chance == 5;
        for &mut (reads, key, ref mut value) in &mut open.micros {
            match (reads, lands) {
                (true, _) => *value = self.lists[key].len() as u32,
                (false, true) => self.lists[key].push(*value),
                (false, false) => {}
            }
        }
        self.write(&open, kind, kind == "ok");
        open.is_open = false;
        if kind == "info" {
            open.number = self.next_process;
            self.next_process += 1;
        }
        self.processes[place] = open;
    }

    fn write(&mut self, open: &Open, kind: &str, answered: bool) {
        use std::io::Write as _;
        let (out, index) = (&mut self.text, self.index);
        let (time, process) = (index * 50_000, open.number);
        let json = self.notation == Notation::Json;
        let (comma, nothing) = if json { (",", "null") } else { (" ", "nil") };
        let _ = match self.notation {
            Notation::Json => write!(
                out,
                "{{\"index\":{index},\"time\":{time},\"process\":{process},\"type\":\"{kind}\",\"f\":\"txn\",\"value\":["
            ),
            Notation::Edn => {
                write!(out, "{{:index {index}, :time {time}, :type :{kind}, :process {process}, :f :txn, :value [")
            }
        };
        for (place, &(reads, key, value)) in open.micros.iter().enumerate() {
            let name = match (json, reads) {
                (true, true) => "\"r\"",
                (true, false) => "\"append\"",
                (false, true) => ":r",
                (false, false) => ":append",
            };
            let _ = write!(out, "{}[{name}{comma}{key}{comma}", if place > 0 { comma } else { "" });
            let _ = match (reads, answered) {
                (false, _) => write!(out, "{value}]"),
                (true, false) => write!(out, "{nothing}]"),
                (true, true) => {
                    out.push(b'[');
                    for (place, item) in self.lists[key].iter().take(value as usize).enumerate() {
                        let _ = write!(out, "{}{item}", if place > 0 { comma } else { "" });
                    }
                    write!(out, "]]")
                }
            };
        }
        let _ = writeln!(out, "]}}");
        self.index += 1;
    }
}

impl Read for Store {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.text.len() {
            self.text.clear();
            self.at = 0;
            while self.text.len() < 1 << 16 && self.event() {}
        }
        let count = buffer.len().min(self.text.len() - self.at);
        buffer[..count].copy_from_slice(&self.text[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// The most memory that was in use so far, in megabytes; 0 where the system does not say.
fn peak_mb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<usize>().ok()).unwrap_or(0) / 1024
}

fn measure_transactions(transactions: usize, appends_a_key: usize, notation: Notation, import: &Import) {
    let name = if notation == Notation::Json { "json" } else { "edn" };
    let held = transactions <= 1_000_000;
    let mut text = Vec::new();
    let start = Instant::now();
    let bytes = if held {
        Store::new(transactions, appends_a_key, notation).read_to_end(&mut text).unwrap_or(0)
    } else {
        io::copy(&mut Store::new(transactions, appends_a_key, notation), &mut io::sink()).unwrap_or(0) as usize
    };
    let made_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let digest = Sha256::digest(&text);
    let sha_s = start.elapsed().as_secs_f64();
    let (start, cpu) = (Instant::now(), cpu_s());
    let store = Store::new(if held { 0 } else { transactions }, appends_a_key, notation);
    let reader = io::BufReader::with_capacity(1 << 20, io::Cursor::new(text).chain(store));
    let history = match notation {
        Notation::Json => jsonl::read_with(reader, import).expect("a history").0,
        Notation::Edn => edn::read_from(reader, Keyed::Auto, import).expect("a history").0,
    };
    let (wall_s, cpu_s) = (start.elapsed().as_secs_f64(), cpu_s() - cpu);
    let calls = history.client_calls().count();
    assert_eq!(calls, transactions);
    println!(
        "{transactions} transactions in {name}, {appends_a_key} appends a key: {wall_s:.2} s ({cpu_s:.2} s of cpu), {:.2} M transactions/s, \
         {} MB of text (made in {made_s:.1} s, sha256 {sha_s:.2} s, {:02x}), {} bytes a transaction, peak {} MB",
        transactions as f64 / wall_s / 1e6,
        bytes / 1_000_000,
        digest[0],
        history.memory_bytes() / calls.max(1),
        peak_mb(),
    );
}

fn main() {
    let argument = |place: usize| std::env::args().nth(place).and_then(|text| text.parse::<usize>().ok());
    // 0 leaves them out.
    let events = argument(1).unwrap_or(4_000_000) / 20 * 20;
    let import = Import { threads: argument(2), ..Import::default() };
    for (name, line) in [("json lines", json_line as Line), ("spaced", spaced_line)] {
        if events == 0 {
            break;
        }
        let lines = text(events, line);
        measure(name, events, &lines, |text| jsonl::read_with(text, &import).expect("a history").0);
    }
    for (name, line, keyed) in [("edn keyed", edn_line as Line, Keyed::Auto), ("edn", cas_line, Keyed::Auto)] {
        if events == 0 {
            break;
        }
        let lines = text(events, line);
        measure(name, events, &lines, |text| edn::read_from(text, keyed, &import).expect("a history").0);
    }
    let transactions = argument(3).unwrap_or(1_000_000);
    for (appends_a_key, notation) in
        [(32, Notation::Json), (32, Notation::Edn), (256, Notation::Json), (256, Notation::Edn)]
    {
        measure_transactions(transactions, appends_a_key, notation, &import);
    }
}
