//! Hostile histories of transactions: whatever the history and whatever is asked, no panic, no end of time or memory, one
//! verdict for any number of threads, and proofs that are some. `examples/txn_fuzz.rs` runs more of it; so does
//! `SCHISM_TEST_LONG`.

mod compare;
mod cost;
mod generate;
#[path = "../../examples/linear_bench/measure.rs"]
#[allow(dead_code, reason = "it hashes too")]
mod measure;
mod memory;
mod readers;
mod regressions;
#[path = "../txn_databases/verified.rs"]
mod verified;

use compare::{Tally, case};
use generate::Size;
use schism_checkers::Level;

/// How many times as many histories.
fn factor() -> u64 {
    if std::env::var_os("SCHISM_TEST_LONG").is_some() { 50 } else { 1 }
}

fn cases(seeds: std::ops::Range<u64>, size: Size) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        case(seed, size, &mut tally).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    assert!(tally.doubted.is_empty(), "witnesses that are none: {:#?}", tally.doubted);
    tally
}

#[test]
fn small_histories() {
    let tally = cases(0..1_000 * factor(), Size::Small);
    let all = tally.valid + tally.invalid + tally.unknown;
    // Each verdict, each model, most kinds.
    let enough = [tally.valid, tally.invalid, tally.unknown].iter().all(|&count| count * 20 > all);
    assert!(enough && tally.spent > 10 && tally.verified > tally.refused, "{tally:#?}");
    assert!(tally.levels.len() == Level::ALL.len() && tally.kinds.len() > 30, "{tally:#?}");
}

#[test]
fn histories_of_some_hundreds() {
    let tally = cases(10_000_000..10_000_000 + 6 * factor(), Size::Middle);
    assert!(tally.invalid > 0, "{tally:#?}");
}

#[test]
fn thousands_of_processes() {
    let tally = cases(20_000_000..20_000_000 + factor(), Size::Wide);
    assert!(tally.levels.len() > 1, "{tally:#?}");
}
