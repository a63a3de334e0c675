//! Histories that are too large for brute force: made linearizable, or broken on purpose.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_history::{History, RunFacts};

use super::simulated::{Wanted, history};
use crate::anomaly::Witness;
use crate::checker::{Budget, Checker};
use crate::linear::models::ModelName;
use crate::linear::{Linearizable, verify_witness};
use crate::verdict::{Finding, Outcome};

const WANTED: Wanted = Wanted {
    model: ModelName::Queue,
    operations: 20_000,
    concurrency: 10,
    depth: 200,
    values: 0,
    doubts: 0,
    planted: false,
};

const MODELS: [ModelName; 4] = [ModelName::Queue, ModelName::Bag, ModelName::PriorityQueue, ModelName::Stack];

fn make(seed: u64, wanted: Wanted) -> History {
    history(&mut ChaCha8Rng::seed_from_u64(seed), wanted)
}

fn check(model: ModelName, history: &History) -> Finding {
    Linearizable { model }.check(history, &RunFacts::default(), &Budget::default())
}

#[test]
fn valid_ones_are_decided_without_a_search() {
    for model in MODELS {
        for wanted in [
            Wanted { model, ..WANTED },
            Wanted { model, depth: 0, ..WANTED },
            Wanted { model, depth: 0, concurrency: 50, ..WANTED },
            Wanted { model, operations: 5_000, doubts: 50, ..WANTED },
        ] {
            let finding = check(model, &make(1, wanted));
            assert_eq!(finding.outcome(), Outcome::Valid, "{wanted:?}: {:?}", finding.gaps);
            assert_eq!(finding.stats["searched_because"], serde_json::json!({}), "{wanted:?}");
        }
    }
}

#[test]
fn one_wrong_removal_is_found_and_explained() {
    for model in MODELS {
        for wanted in
            [Wanted { model, planted: true, ..WANTED }, Wanted { model, planted: true, concurrency: 40, ..WANTED }]
        {
            let history = make(2, wanted);
            let finding = check(model, &history);
            assert_eq!(finding.outcome(), Outcome::Invalid, "{wanted:?}");
            let Witness::Nonlinearizable { operations, smallest, exclusion, .. } = &finding.anomalies[0].witness else {
                panic!("another witness")
            };
            assert!(*smallest && operations.len() <= 8, "{wanted:?}: {operations:?}");
            assert!(exclusion.as_ref().is_some_and(|exclusion| exclusion.operations.len() <= 4), "{exclusion:?}");
            verify_witness(&history, &finding.anomalies[0].witness).unwrap_or_else(|wrong| panic!("{wrong}"));
        }
    }
}

/// Few values, so that nobody knows who took whose: guessed, and otherwise searched, with states that share their memory.
#[test]
fn repeated_values() {
    for model in MODELS {
        let wanted = Wanted { model, operations: 300, concurrency: 3, depth: 5, values: 6, doubts: 3, ..WANTED };
        let finding = check(model, &make(3, wanted));
        assert_eq!(finding.outcome(), Outcome::Valid, "{model}: {:?}", finding.gaps);
        // Here the guess may be wrong and the search too long, but then it says so.
        let history = make(5, Wanted { operations: 3_000, concurrency: 10, depth: 50, ..wanted });
        let budget = Budget { steps_max: 100_000, ..Budget::default() };
        let finding = Linearizable { model }.check(&history, &RunFacts::default(), &budget);
        println!("{model}: {} {:?}", finding.stats["algorithm"], finding.outcome());
        assert_ne!(finding.outcome(), Outcome::Invalid, "{model}");
    }
}

/// One process, deep: as many states as operations, and none of them a copy.
#[test]
fn deep_states_are_cheap() {
    for model in [ModelName::Queue, ModelName::Stack, ModelName::Bag, ModelName::PriorityQueue] {
        let wanted = Wanted { model, operations: 20_000, concurrency: 1, depth: 4_000, values: 50, ..WANTED };
        let finding = check(model, &make(4, wanted));
        assert_eq!(finding.outcome(), Outcome::Valid, "{model}: {:?}", finding.gaps);
    }
}
