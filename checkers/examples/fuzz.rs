//! Hostile histories against independent judges, for as long as one likes:
//! `cargo run --release -p schism-checkers --example fuzz -- SEED COUNT [CALLS]`. CALLS up to 14: all of the checker's answers,
//! every witness; beyond: histories of that many calls on one key.

#[path = "../tests/hostile/compare.rs"]
mod compare;
#[path = "../tests/hostile/generate.rs"]
mod generate;
#[path = "../tests/hostile/oracle.rs"]
mod oracle;
#[path = "../tests/hostile/witness.rs"]
mod witness;

use std::process::ExitCode;

use compare::{Tally, case, large_case};

#[allow(clippy::print_stdout, reason = "its figures are its output")]
fn main() -> ExitCode {
    let number = |place: usize, default: u64| match std::env::args().nth(place) {
        Some(text) => text.parse().unwrap_or(default),
        None => default,
    };
    let (seed, count, calls) = (number(1, 1), number(2, 100_000), number(3, 9) as usize);
    let (mut tally, mut wrong) = (Tally::default(), 0u32);
    for place in 0..count {
        let seed = seed.wrapping_mul(1 << 40).wrapping_add(place);
        let done = if calls <= 14 { case(seed, calls, &mut tally) } else { large_case(seed, calls, &mut tally) };
        if let Err(what) = done {
            println!("{what}\n");
            wrong += 1;
            if wrong == 10 {
                break;
            }
        }
    }
    println!("seed {seed}, {count} histories of up to {calls} calls: {wrong} wrong; {tally:?}");
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
