//! Measures queues, bags, priority queues and stacks on seeded histories:
//! `cargo run --release -p schism-checkers --example buffers_bench [OPERATIONS...]`.

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
    let mut sizes: Vec<usize> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000, 1_000_000];
    }
    println!("seed {seed}, 10 processes; seconds are those of the check alone");
    println!(
        "{:>14} {:>9} {:>6} {:>7} {:>8} | {:>8} {:>10}  outcome, algorithm",
        "model", "ops", "depth", "doubts", "planted", "s", "ops/s"
    );
    for model in [ModelName::Queue, ModelName::Bag, ModelName::PriorityQueue, ModelName::Stack] {
        for &operations in &sizes {
            for (depth, doubts, planted) in
                [(0, 0, false), (0, 100, false), (1000, 0, false), (1000, operations / 100, false), (1000, 0, true)]
            {
                let wanted = Wanted { model, operations, concurrency: 10, depth, values: 0, doubts, planted };
                let history = history(&mut ChaCha8Rng::seed_from_u64(seed), wanted);
                let start = Instant::now();
                let finding = Linearizable { model }.check(&history, &RunFacts::default(), &Budget::default());
                let seconds = start.elapsed().as_secs_f64();
                println!(
                    "{:>14} {operations:>9} {depth:>6} {doubts:>7} {planted:>8} | {seconds:>8.3} {:>10.0}  {:?} {} {}",
                    model.as_str(),
                    operations as f64 / seconds,
                    finding.outcome(),
                    finding.stats["algorithm"],
                    finding.stats["searched_because"],
                );
            }
        }
    }
}
