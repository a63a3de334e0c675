//! Rules against the search on histories that are too large for brute force: some thirty operations, six processes.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::simulate::{Simulated, Told, Wanted, history};
use crate::checker::Budget;
use crate::linear::models::Register;
use crate::linear::models::bag::Bag;
use crate::linear::models::fetch_add::FetchAdd;
use crate::linear::models::lock::{Lock, LockKind};
use crate::linear::models::priority_queue::PriorityQueue;
use crate::linear::models::queue::Queue;
use crate::linear::models::semaphore::Semaphore;
use crate::linear::models::set::Set;
use crate::linear::models::stack::Stack;
use crate::linear::mutant::Mutation;
use crate::linear::problem::Problem;
use crate::linear::ruling::{Certificate, PATTERNS, PATTERNS_OF_OTHERS, Ruling};
use crate::linear::search::{Decision, decide};
use crate::linear::split::Operation;

const BUDGET: Budget = Budget { steps_max: 200_000, memory_bytes_max: 64 << 20 };

fn search<S: Simulated>(model: &S, operations: &[Operation<S::Action>]) -> Told {
    let mut problem = Problem::new(model, operations, Mutation::default());
    match decide(&mut problem, BUDGET, Mutation::default()).0 {
        Decision::Linearizable => Some(true),
        Decision::Impossible(_) => Some(false),
        Decision::Spent(_) => None,
    }
}

/// Where both the rule and the search decide, they say the same; and they do so often, both ways.
fn agree<S: Simulated>(model: &S, rounds: usize) {
    let shapes = [(30, 0, 0), (30, 3, 0), (24, 2, 12), (40, 0, 20)];
    let mut random = ChaCha8Rng::seed_from_u64(41);
    let (mut good, mut bad) = (0, 0);
    for round in 0..rounds {
        let (operations_max, doubts_max, values) = shapes[round % shapes.len()];
        let wanted = Wanted { operations_max, doubts_max, values, processes: 6, edited_percent: 70 };
        let operations = history(&mut random, model, wanted);
        let told = match model.rule(&operations) {
            Ruling::Good { .. } => true,
            Ruling::Bad { certificate, .. } => {
                if let Some(Certificate { pattern, places }) = certificate {
                    let mut known = PATTERNS.iter().chain(PATTERNS_OF_OTHERS);
                    let (_, least) = known.find(|(name, _)| *name == pattern).expect("a pattern that has words");
                    assert!(places.len() >= *least, "{pattern}: {places:?}: {operations:#?}");
                }
                false
            }
            Ruling::Unfit(_) => continue,
        };
        let Some(searched) = search(model, &operations) else { continue };
        assert_eq!(told, searched, "{} round {round}: {operations:#?}", model.name());
        if told { good += 1 } else { bad += 1 }
    }
    let least = rounds / 20;
    assert!(good >= least && bad >= least, "{}: {good} good, {bad} bad of {rounds}", model.name());
}

#[test]
fn registers() {
    agree(&Register { cas: true }, 3_000);
}

#[test]
fn deadlines() {
    agree(&Semaphore { permits: 1, mutex: true }, 3_000);
    agree(&Set, 3_000);
}

#[test]
fn holds() {
    for kind in [LockKind::Owned, LockKind::Reentrant, LockKind::Fenced] {
        agree(&Lock { kind }, 2_000);
    }
}

#[test]
fn totals() {
    agree(&FetchAdd, 3_000);
}

#[test]
fn buffers() {
    agree(&Queue, 2_000);
    agree(&Bag, 2_000);
    agree(&PriorityQueue, 2_000);
    agree(&Stack, 2_000);
}
