//! Measures the linearizability checker on seeded histories: `cargo run --release -p schism-checkers --example linear_bench`.

#![allow(clippy::print_stdout, reason = "its figures are its output")]

mod simulated;

use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_checkers::linear::{Linearizable, ModelName};
use schism_checkers::{Budget, Checker};
use schism_history::RunFacts;
use simulated::{Wanted, history};

fn main() {
    let seed = 1;
    println!("seed {seed}; seconds are those of the check alone, on {} threads", rayon::current_num_threads());
    println!(
        "{:>6} {:>8} {:>5} {:>6} {:>6} {:>5} | {:>8} {:>9} {:>10} {:>8}  outcome",
        "keys", "ops/key", "conc", "values", "doubts", "stale", "s", "ops/s", "steps", "peak"
    );
    let case = |keys, operations, concurrency, values, doubts, stale| Wanted {
        cas: true,
        keys,
        operations,
        concurrency,
        values,
        doubts,
        stale,
    };
    for wanted in [
        case(4000, 300, 5, 0, 0, false),
        case(4000, 300, 10, 0, 0, false),
        case(4000, 300, 10, 5, 0, false),
        case(4000, 300, 10, 0, 5, false),
        case(4000, 300, 10, 5, 5, false),
        case(100_000, 10, 5, 0, 0, false),
        case(1, 1_000_000, 10, 0, 0, false),
        case(1, 1_000_000, 10, 0, 0, true),
        case(1, 1000, 20, 0, 0, true),
        case(1, 1000, 50, 0, 0, true),
        case(1, 10_000, 200, 0, 0, false),
        case(1, 10_000, 200, 0, 0, true),
        Wanted { cas: false, ..case(1, 10_000, 200, 0, 0, false) },
        Wanted { cas: false, ..case(1, 10_000, 200, 0, 0, true) },
        case(1, 1000, 10, 0, 20, true),
        case(1, 1000, 10, 0, 100, true),
        case(1, 1000, 10, 5, 20, true),
        case(1, 1000, 20, 5, 0, false),
        case(1, 1000, 20, 5, 0, true),
    ] {
        let history = history(&mut ChaCha8Rng::seed_from_u64(seed), wanted);
        let start = Instant::now();
        let finding =
            Linearizable { model: ModelName::CasRegister }.check(&history, &RunFacts::default(), &Budget::default());
        let seconds = start.elapsed().as_secs_f64();
        let count = wanted.keys as f64 * wanted.operations as f64;
        let Wanted { keys, operations, concurrency, values, doubts, stale, .. } = wanted;
        println!(
            "{keys:>6} {operations:>8} {concurrency:>5} {values:>6} {doubts:>6} {stale:>5} | {seconds:>8.3} {:>9.0} {:>10} {:>8}  {:?}",
            count / seconds,
            finding.stats["steps"].to_string(),
            finding.stats["configurations_peak"].to_string(),
            finding.outcome(),
        );
    }
}
