//! Arbitrary histories of transactions through the checkers `list-append` and `rw-register`, for as long as one likes:
//! `cargo run --release -p schism-checkers --example txn_fuzz -- SEED COUNT [small|middle|wide]`. No panic, no contradiction
//! between models, threads or sources, every witness verified.

#[path = "../tests/txn_hostile/compare.rs"]
mod compare;
#[path = "../tests/txn_hostile/generate.rs"]
mod generate;
#[path = "../tests/txn_databases/verified.rs"]
mod verified;

use std::process::ExitCode;

use compare::{Tally, case};
use generate::Size;

/// So many wrong ones are told.
const WRONG_MAX: u32 = 10;

#[allow(clippy::print_stdout, reason = "its figures are its output")]
fn main() -> ExitCode {
    let number =
        |place: usize, default: u64| std::env::args().nth(place).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seed, count) = (number(1, 1), number(2, 10_000));
    let size = match std::env::args().nth(3).as_deref() {
        Some("middle") => Size::Middle,
        Some("wide") => Size::Wide,
        _ => Size::Small,
    };
    let (mut tally, mut wrong) = (Tally::default(), 0u32);
    for place in 0..count {
        let seed = seed.wrapping_mul(1 << 40).wrapping_add(place);
        if let Err(what) = case(seed, size, &mut tally) {
            println!("{what}\n");
            wrong += 1;
            if wrong == WRONG_MAX {
                break;
            }
        }
    }
    println!("seed {seed}, {count} histories: {wrong} wrong; {tally:#?}");
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
