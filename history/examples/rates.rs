//! Measures how fast histories are read, written and built, and what they take in memory:
//! `cargo run --release -p schism-history --example rates`.

#![allow(clippy::print_stdout, reason = "its figures are its output")]

use schism_history::jsonl::{JsonlWriter, read};
use schism_history::{HistoryBuilder, Op};

fn main() {
    let mut lines = String::new();
    let count = 2_000_000;
    for index in 0..count / 2 {
        let (process, key, value) = (index % 10, index / 1000, index % 5);
        let f = ["read", "write"][index % 2];
        for (kind, at) in [("invoke", 0), ("ok", 1)] {
            use std::fmt::Write as _;
            let (index, time) = (index * 2 + at, index * 100_000 + at);
            let _ = writeln!(
                lines,
                "{{\"index\":{index},\"time\":{time},\"process\":{process},\"type\":\"{kind}\",\"f\":\"{f}\",\"key\":{key},\"value\":{value},\"node\":\"n{}\"}}",
                process % 5
            );
        }
    }
    for _ in 0..3 {
        let start = std::time::Instant::now();
        let (history, _) = read(lines.as_bytes()).expect("a history");
        println!("read {:.2} M events/s", f64::from(count as u32) / start.elapsed().as_secs_f64() / 1e6);
        println!("memory {} bytes an event", history.memory_bytes() / history.len());
        let ops: Vec<Op> = history.ops().collect();
        let start = std::time::Instant::now();
        let mut writer = JsonlWriter::new(Vec::with_capacity(lines.len()));
        ops.iter().for_each(|op| writer.write(op).expect("memory takes all"));
        let out = writer.into_inner().expect("memory takes all");
        println!("write {:.2} M events/s", f64::from(count as u32) / start.elapsed().as_secs_f64() / 1e6);
        assert!(out == lines.as_bytes());
        let start = std::time::Instant::now();
        let mut builder = HistoryBuilder::default();
        ops.into_iter().for_each(|op| builder.push(op).expect("a history"));
        println!("build {:.2} M events/s", f64::from(count as u32) / start.elapsed().as_secs_f64() / 1e6);
    }
}
