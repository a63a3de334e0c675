//! How much memory a check and a reader take at most, measured in a process of their own: this very program, asked for
//! one test.

use std::process::Command;

use schism_checkers::txn::checker::Data;

use crate::cost::{BUDGET, LEVELS, SHAPES, judge};
use crate::{measure, readers};

/// Set in the process that is measured.
const CHILD: &str = "SCHISM_TEST_MEASURED";

/// Runs a test of this program alone, with nothing else in its process.
fn alone(test: &str, work: fn()) {
    if std::env::var_os(CHILD).is_some() {
        return work();
    }
    let program = std::env::current_exe().expect("a test has a program");
    let output = Command::new(program)
        .args(["--exact", &format!("memory::{test}"), "--test-threads", "1", "--nocapture"])
        .env(CHILD, "1")
        .env("RAYON_NUM_THREADS", "2")
        .output()
        .expect("it starts again");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Beside what the budget allows, of which each engine has its own, one after the other: columns of the history (twice what
/// it takes itself), and what an allocator keeps.
fn bytes_max(history_bytes: u64, micros: u64) -> u64 {
    2 * BUDGET.memory_bytes_max + 4 * history_bytes + 400 * micros + (48 << 20)
}

#[test]
fn checks_keep_to_their_budget() {
    alone("checks_keep_to_their_budget", || {
        let mut wrong = Vec::new();
        for (name, data, make) in SHAPES {
            let history = make();
            let micros: usize = (0..history.len() as u32).filter_map(|index| Some(history.txn(index)?.len())).sum();
            let items: usize = (0..history.txn_keys().len() as u32).map(|key| history.txn_list(key).len()).sum();
            let most = bytes_max(history.memory_bytes() as u64, (micros + items) as u64);
            // Every other: they ask different engines, and it takes its time.
            for &level in LEVELS.iter().step_by(2) {
                let (finding, _, bytes) = measure::measured(|| judge(&history, *data, level));
                if bytes > most {
                    let mib = [bytes, most].map(|bytes| bytes >> 20);
                    wrong.push(format!(
                        "{name}: {level} {:?} took {} MiB, and not {}",
                        finding.outcome(),
                        mib[0],
                        mib[1]
                    ));
                }
            }
            assert!(*data == Data::ListAppend || items == 0 || micros > 0, "{name} says nothing");
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn readers_take_no_more_than_their_texts() {
    alone("readers_take_no_more_than_their_texts", || {
        for format in readers::FORMATS {
            // What a text says of lengths and counts is no reason to ask for memory.
            let (longest, _, bytes) = measure::measured(|| readers::harmed(format, 400));
            let most = 200 * longest as u64 + (48 << 20);
            assert!(bytes < most, "{}: {} MiB of texts of at most {longest} bytes", format.name, bytes >> 20);
        }
    });
}
