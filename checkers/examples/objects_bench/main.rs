//! Measures sets, locks and counters on seeded histories of a simulated database, as it is and with one wrong answer:
//! `cargo run --release -p schism-checkers --example objects_bench [OPERATIONS...]`.

#![allow(clippy::print_stdout, reason = "its figures are its output")]

#[path = "../linear_bench/measure.rs"]
mod measure;
#[path = "../../tests/databases/others.rs"]
mod others;
#[path = "../../tests/databases/simulator.rs"]
mod simulator;

use others::{Counter, Lock, Set};
use schism_checkers::linear::{Linearizable, ModelName};
use schism_checkers::{Budget, Checker};
use schism_history::RunFacts;
use simulator::{Simulated, Wanted, simulate};

fn main() {
    let mut sizes: Vec<usize> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100_000, 1_000_000];
    }
    let base = Wanted { keys: 1, processes: 10, operations: 0, doubts_permille: 0, wrongly: false, seed: 1 };
    println!("seed {}, one key, {} processes; seconds are those of the check alone", base.seed, base.processes);
    println!(
        "{:>12} {:>8} {:>8} {:>7} | {:>7} {:>10} {:>6} {:>7} {:>5}  outcome, algorithm",
        "model", "ops", "permille", "planted", "s", "ops/s", "x sha", "MiB", "B/op"
    );
    for &operations in &sizes {
        for wrongly in [false, true] {
            let wanted = Wanted { operations, wrongly, ..base };
            // Additions in doubt make every read of a counter, and every grant of a lock, a choice.
            tell(
                ModelName::Set,
                Wanted { doubts_permille: 10, ..wanted },
                &simulate(Wanted { doubts_permille: 10, ..wanted }, Set::default),
            );
            tell(ModelName::Mutex, wanted, &simulate(wanted, Lock::default));
            tell(ModelName::OwnerMutex, wanted, &simulate(wanted, Lock::default));
            tell(ModelName::Counter, wanted, &simulate(wanted, Counter::default));
        }
    }
}

/// Checks a history, and tells what that took.
fn tell(model: ModelName, wanted: Wanted, simulated: &Simulated) {
    let history = &simulated.history;
    let (sha256_seconds, _) = measure::sha256_pass(history);
    let (finding, seconds, bytes) =
        measure::measured(|| Linearizable { model }.check(history, &RunFacts::default(), &Budget::default()));
    let count = wanted.operations as f64;
    println!(
        "{:>12} {:>8} {:>8} {:>7} | {seconds:>7.3} {:>10.0} {:>6.2} {:>7.1} {:>5.0}  {:?} {}",
        model.as_str(),
        wanted.operations,
        wanted.doubts_permille,
        simulated.proven_at.is_some(),
        count / seconds,
        seconds / sha256_seconds,
        bytes as f64 / f64::from(1 << 20),
        bytes as f64 / count,
        finding.outcome(),
        finding.stats["algorithm"],
    );
}
