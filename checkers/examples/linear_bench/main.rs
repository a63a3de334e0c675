//! Measures the linearizability checker on seeded histories:
//!
//!     cargo run --release -p schism-checkers --example linear_bench -- [--seed N] [--valid | --stale] [ROW ...]
//!     cargo run --release -p schism-checkers --example linear_bench -- --curve ROW
//!     cargo run --release -p schism-checkers --example linear_bench -- --text jsonl|edn [ROW ...]
//!
//! Rows are named by letters (without any: all); each is measured as it is and with one stale read. `--curve` measures
//! one row from 10,000 to 10 million operations. `--text` reads the history from a file of that format first, and times both. Bytes are by how much the process' resident memory grows while it checks;
//! `x sha` is the time in passes of SHA-256 over the same history as JSON Lines, made in the same run.

#![allow(clippy::print_stdout, reason = "its figures are its output")]

mod measure;
mod simulated;
mod text;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_checkers::linear::{Linearizable, ModelName};
use schism_checkers::{Budget, Checker, Gap};
use schism_history::{History, Keyed, RunFacts};
use simulated::{Wanted, history};
use text::Text;

/// A row of the table of figures.
struct Row {
    name: &'static str,
    what: &'static str,
    model: ModelName,
    wanted: Wanted,
}

const BASE: Wanted = Wanted {
    keys: 1,
    together: 1,
    operations: 1000,
    concurrency: 10,
    values: 0,
    doubts: 0,
    reads_percent: 50,
    cas_percent: 25,
    stale: false,
};

const fn row(name: &'static str, what: &'static str, wanted: Wanted) -> Row {
    Row { name, what, model: ModelName::CasRegister, wanted }
}

const ROWS: &[Row] = &[
    Row {
        model: ModelName::Register,
        ..row("a", "registers, unique writes, 10k keys", Wanted { keys: 10_000, together: 100, cas_percent: 0, ..BASE })
    },
    row(
        "b",
        "one key, unique values, 1 % in doubt",
        Wanted { operations: 1_000_000, concurrency: 50, doubts: 10_000, ..BASE },
    ),
    row(
        "c",
        "one key, 5 values, 200 in doubt",
        Wanted { operations: 100_000, concurrency: 20, values: 5, doubts: 200, ..BASE },
    ),
    row("d20", "one key, 5 values, 20 in doubt", Wanted { values: 5, doubts: 20, ..BASE }),
    row("d50", "one key, 5 values, 50 in doubt", Wanted { values: 5, doubts: 50, ..BASE }),
    row("d100", "one key, 5 values, 100 in doubt", Wanted { values: 5, doubts: 100, ..BASE }),
    row("e", "one key, 5 values, 50 processes", Wanted { values: 5, concurrency: 50, ..BASE }),
    row(
        "f",
        "300 a key, 5 values, 1 % in doubt",
        Wanted { keys: 3334, together: 10, operations: 300, values: 5, doubts: 3, ..BASE },
    ),
    row("g", "one key, unique values, 10 processes", Wanted { operations: 1_000_000, ..BASE }),
    row("h", "one key, unique values, 200 processes", Wanted { operations: 10_000, concurrency: 200, ..BASE }),
    row("i", "one key, unique values, 100 in doubt", Wanted { doubts: 100, ..BASE }),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    let after = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    let text = match after("--text").as_deref() {
        None => None,
        Some("edn") => Some(Text::Edn),
        Some("jsonl") => Some(Text::Jsonl),
        Some(other) => return println!("--text {other}: there are jsonl and edn"),
    };
    let seed = after("--seed").and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("seed {seed}, {} threads", rayon::current_num_threads());
    println!(
        "{:>5} {:<38} {:>9} {:>5} | {:>8} {:>10} {:>7} {:>9} {:>6} {:>12} {:>8}  verdict, algorithm",
        "row", "what", "ops", "stale", "s", "ops/s", "x sha", "MiB", "B/op", "steps", "configs"
    );
    if let Some(row) = after("--curve").and_then(|name| ROWS.iter().find(|row| row.name == name)) {
        for operations in [10_000, 100_000, 1_000_000, 10_000_000] {
            let keys = (operations as i64 / 1000).max(1);
            let wanted = match row.wanted.keys {
                1 => Wanted { operations, doubts: operations / 100, ..row.wanted },
                _ => Wanted { keys, ..row.wanted },
            };
            tell(row, wanted, seed, text);
        }
        return;
    }
    let named = |row: &&Row| {
        let is_any = ROWS.iter().any(|row| flag(row.name));
        !is_any || flag(row.name)
    };
    for row in ROWS.iter().filter(named) {
        for stale in [false, true] {
            if !flag(if stale { "--valid" } else { "--stale" }) {
                tell(row, Wanted { stale, ..row.wanted }, seed, text);
            }
        }
    }
}

/// Makes a history, checks it, and tells what that took.
fn tell(row: &Row, wanted: Wanted, seed: u64, text: Option<Text>) {
    let history = history(&mut ChaCha8Rng::seed_from_u64(seed), wanted);
    let (sha256_seconds, _) = measure::sha256_pass(&history);
    let checker = Linearizable { model: row.model };
    let check = |history: &History| checker.check(history, &RunFacts::default(), &Budget::default());
    let (finding, seconds, bytes) = match text {
        None => measure::measured(|| check(&history)),
        Some(text) => {
            let file = text.write(&history).expect("the folder of temporary files can be written");
            drop(history);
            measure::measured(|| check(&text.read(&file, Keyed::Yes).expect("it was written so")))
        }
    };
    let count = wanted.keys as f64 * wanted.operations as f64;
    println!(
        "{:>5} {:<38} {count:>9} {:>5} | {seconds:>8.3} {:>10.0} {:>7.2} {:>9.1} {:>6.0} {:>12} {:>8}  {:?} {}",
        row.name,
        row.what,
        wanted.stale,
        count / seconds,
        seconds / sha256_seconds,
        bytes as f64 / f64::from(1 << 20),
        bytes as f64 / count,
        finding.stats["steps"].to_string(),
        finding.stats["configurations_peak"].to_string(),
        finding.outcome(),
        finding.stats["algorithm"],
    );
    for gap in finding.gaps.iter().take(1) {
        if let Gap::BudgetSpent { steps, memory_bytes, prefix_events, .. } = gap {
            println!("      budget spent: {steps} steps, {memory_bytes} bytes, {prefix_events} events proven good");
        }
    }
}
