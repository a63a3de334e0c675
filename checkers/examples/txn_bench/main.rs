//! Measures the engines of transactions on seeded inputs:
//!
//!     cargo run --release -p schism-checkers --example txn_bench -- [--seed N] [ROW ...]
//!
//! Without the name of a row: all. Bytes are by how much the process' resident memory grows while the engine works; `x sha` is
//! the time in passes of SHA-256 over the same history as JSON Lines, made in the same run, where a row has a history.
//!
//! To add an engine: a file with `pub const ROWS: &[Row]`, and its line in [`TABLES`].

#![allow(clippy::print_stdout, reason = "its figures are its output")]

mod graph;
mod lists;
#[path = "../linear_bench/measure.rs"]
mod measure;
mod registers;
mod solver;
#[path = "../linear_bench/text.rs"]
mod text;
mod weak;
mod whole;

/// The rows of all engines.
const TABLES: &[&[Row]] = &[lists::ROWS, registers::ROWS, graph::ROWS, weak::ROWS, solver::ROWS, whole::ROWS];

/// A row of the table of figures.
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// What is measured.
    pub what: &'static str,
    /// Makes the input from a seed, and measures.
    pub run: fn(u64) -> Line,
}

/// What was measured.
pub struct Line {
    /// Transactions.
    pub count: usize,
    /// Seconds of the engine alone.
    pub seconds: f64,
    /// By how many bytes memory grew.
    pub bytes: u64,
    /// Seconds of SHA-256 over the same as text, where there is a text.
    pub sha256_seconds: Option<f64>,
    /// What the engine answered.
    pub answer: String,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seed_at = arguments.iter().position(|argument| argument == "--seed");
    let seed = seed_at.and_then(|at| arguments.get(at + 1)).and_then(|text| text.parse().ok()).unwrap_or(1);
    let is_named = |row: &Row| arguments.iter().any(|argument| argument == row.name);
    let rows = || TABLES.iter().copied().flatten();
    let is_any = rows().any(is_named);
    println!("seed {seed}, {} threads", rayon::current_num_threads());
    println!(
        "{:>16} {:<58} {:>10} {:>9} {:>11} {:>7} {:>9} {:>6}  answer",
        "row", "what", "txns", "s", "txns/s", "x sha", "MiB", "B/txn"
    );
    for row in rows().filter(|row| !is_any || is_named(row)) {
        let line = (row.run)(seed);
        let count = line.count as f64;
        let times =
            line.sha256_seconds.map_or_else(|| "-".to_owned(), |sha256| format!("{:.2}", line.seconds / sha256));
        println!(
            "{:>16} {:<58} {:>10} {:>9.3} {:>11.0} {times:>7} {:>9.1} {:>6.0}  {}",
            row.name,
            row.what,
            line.count,
            line.seconds,
            count / line.seconds,
            line.bytes as f64 / f64::from(1 << 20),
            line.bytes as f64 / count,
            line.answer
        );
    }
}
