//! Linearizability of registers, key by key: exact, with operations in doubt, at any concurrency.
//!
//! A history is linearizable if there is one order of its operations that the model allows and in which no operation
//! stands before one that had ended before it began (Herlihy, Wing 1990). It is so if it is for each key alone. An
//! operation that ended `fail` did not happen; one in doubt (`info`, or never answered) may happen at any time after its
//! invocation, or never.
//!
//! | file | what |
//! |---|---|
//! | `model` | sequential specifications: [`Model`], registers |
//! | `split` | a history's operations by key |
//! | `blocks`, `ruling` | registers whose values are unique: decided without a search |
//! | `problem` | operations made ready: classes, events |
//! | `search`, `window`, `frontier`, `lookahead` | is there an order? |
//! | `reduce` | the smallest set of operations without one |
//! | `paths` | how far orders of these get, and why not further |
//! | `verify` | proves a witness again by plain means |
//! | `mutant` | defects that the tests must notice |

pub(crate) mod blocks;
pub(crate) mod frontier;
pub(crate) mod lookahead;
pub mod model;
pub(crate) mod mutant;
pub(crate) mod paths;
pub(crate) mod problem;
pub(crate) mod reduce;
mod ruling;
pub(crate) mod search;
pub(crate) mod split;
#[cfg(test)]
mod tests;
mod verify;
pub(crate) mod window;

use std::collections::BTreeMap;

use rayon::prelude::*;
use schism_history::{History, OpIndex, RunFacts};
use serde_json::json;

pub use model::{Model, ModelName};
pub use ruling::Ruling;
pub use split::Operation;
pub use verify::verify_witness;

use crate::anomaly::{Anomaly, AnomalyKind, Witness};
use crate::checker::{Budget, Checker};
use crate::verdict::{Finding, Gap};
use model::Register;
use mutant::Mutation;
use problem::{Event, Problem};
use search::{Cost, Decision, decide};
use split::KeyEvents;

/// Failing keys that get a witness; the others are counted and named in the stats.
const WITNESSES_MAX: usize = 32;
/// Failing keys named in the stats.
const NAMES_MAX: usize = 100;

/// Checks that each key behaved like one register, in one place, one operation after another.
///
/// Stats: `model`, `algorithm` (how many keys each algorithm decided: `{"blocks": 9, "frontier": 1}`), `searched_because`
/// (why keys went to the search: `{"an observed value was written twice": 1}`), `keys_count`, `operations_count` (judged: `ok`, and in doubt
/// unless it can be dropped), `in_doubt_count` (of these), `failing_keys_count`, `failing_keys` (the first 100),
/// `unknown_keys_count`, `steps` (all keys), `memory_bytes_peak` and `configurations_peak` (the worst key), `steps_max`
/// and `memory_bytes_max` (the budget, per key).
///
/// Not covered: several keys in one operation. Keys are searched in parallel; the finding does not depend on it.
#[derive(Debug, Clone, Copy)]
pub struct Linearizable {
    /// What a key is.
    pub model: ModelName,
}

/// What was found for one key.
struct KeyFinding {
    operations_count: u64,
    in_doubt_count: u64,
    /// What decided, and why nothing cheaper did.
    algorithm: &'static str,
    unfit: Option<&'static str>,
    cost: Cost,
    answer: Answer,
}

enum Answer {
    Good,
    /// Found at this completion.
    Bad(OpIndex),
    Gap(Gap),
}

impl Checker for Linearizable {
    fn name(&self) -> &str {
        "linearizable"
    }

    fn check(&self, history: &History, _facts: &RunFacts, budget: &Budget) -> Finding {
        let model = Register::from(self.model);
        let keys = split::by_key(history);
        let found: Vec<KeyFinding> = keys.par_iter().map(|key| check_key(&model, history, key, *budget)).collect();
        let failing: Vec<(&KeyEvents, OpIndex)> = keys
            .iter()
            .zip(&found)
            .filter_map(|(key, found)| match found.answer {
                Answer::Bad(at) => Some((key, at)),
                Answer::Good | Answer::Gap(_) => None,
            })
            .collect();
        let told = &failing[..failing.len().min(WITNESSES_MAX)];
        let anomalies = told.par_iter().map(|&(key, at)| explain(&model, history, key, at, *budget)).collect();
        let mut finding = Finding { anomalies, ..Finding::default() };
        self.tell(&mut finding, history, &failing, &found, *budget);
        finding.gaps = found
            .into_iter()
            .filter_map(|found| match found.answer {
                Answer::Gap(gap) => Some(gap),
                Answer::Good | Answer::Bad(_) => None,
            })
            .collect();
        finding
    }
}

impl Linearizable {
    fn tell(
        &self,
        finding: &mut Finding,
        history: &History,
        failing: &[(&KeyEvents, OpIndex)],
        found: &[KeyFinding],
        budget: Budget,
    ) {
        let names: Vec<String> =
            failing.iter().take(NAMES_MAX).filter_map(|(key, _)| key_name(history, key.key)).collect();
        let unknown = found.iter().filter(|found| matches!(found.answer, Answer::Gap(_))).count();
        let sum = |part: fn(&KeyFinding) -> u64| found.iter().map(part).fold(0, u64::saturating_add);
        let max = |part: fn(&KeyFinding) -> u64| found.iter().map(part).max().unwrap_or(0);
        for (name, value) in [
            ("model", json!(self.model)),
            ("algorithm", count(found.iter().map(|found| found.algorithm))),
            ("searched_because", count(found.iter().filter_map(|found| found.unfit))),
            ("keys_count", json!(found.len())),
            ("operations_count", json!(sum(|found| found.operations_count))),
            ("in_doubt_count", json!(sum(|found| found.in_doubt_count))),
            ("failing_keys_count", json!(failing.len())),
            ("failing_keys", json!(names)),
            ("unknown_keys_count", json!(unknown)),
            ("steps", json!(sum(|found| found.cost.steps))),
            ("memory_bytes_peak", json!(max(|found| found.cost.bytes_peak))),
            ("configurations_peak", json!(max(|found| found.cost.configurations_peak))),
            ("steps_max", json!(budget.steps_max)),
            ("memory_bytes_max", json!(budget.memory_bytes_max)),
        ] {
            finding.stats.insert(name.to_owned(), value);
        }
    }
}

/// How often each word occurs.
fn count<'a>(words: impl Iterator<Item = &'a str>) -> serde_json::Value {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    words.for_each(|word| *counts.entry(word).or_default() += 1);
    json!(counts)
}

fn key_name(history: &History, key: Option<u32>) -> Option<String> {
    key.and_then(|key| history.keys().get(key as usize)).map(ToString::to_string)
}

fn check_key<M: Model>(model: &M, history: &History, key: &KeyEvents, budget: Budget) -> KeyFinding {
    let said = split::operations(model, history, key);
    let operations = said.operations;
    let mut found = KeyFinding {
        operations_count: operations.len() as u64,
        in_doubt_count: operations.iter().filter(|operation| operation.in_doubt()).count() as u64,
        algorithm: "none",
        unfit: None,
        cost: Cost::default(),
        answer: Answer::Good,
    };
    if let Some((index, reason)) = said.unsupported {
        found.answer = Answer::Gap(Gap::Unsupported { index, reason });
        return found;
    }
    found.unfit = match model.rule(&operations) {
        Ruling::Good { algorithm } => {
            found.algorithm = algorithm;
            return found;
        }
        Ruling::Bad { algorithm, at } => {
            (found.algorithm, found.answer) = (algorithm, Answer::Bad(at));
            return found;
        }
        Ruling::Unfit(why) => Some(why),
    };
    found.algorithm = "frontier";
    let mut problem = Problem::new(model, &operations, Mutation::default());
    let (decision, cost) = decide(&mut problem, budget, Mutation::default());
    found.cost = cost;
    found.answer = match decision {
        Decision::Linearizable => Answer::Good,
        Decision::Impossible(place) => match problem.events[place] {
            Event::Return(task) | Event::Invoke(task) => Answer::Bad(problem.tasks[task as usize].end),
        },
        Decision::Spent(place) => Answer::Gap(Gap::BudgetSpent {
            key: key_name(history, key.key),
            steps: cost.steps,
            steps_max: budget.steps_max,
            memory_bytes: cost.bytes_peak,
            memory_bytes_max: budget.memory_bytes_max,
            prefix_events: place as u64,
        }),
    };
    found
}

fn explain<M: Model>(model: &M, history: &History, key: &KeyEvents, found: OpIndex, budget: Budget) -> Anomaly {
    let operations = split::operations(model, history, key).operations;
    let reduced = reduce::reduce(model, &operations, found, budget);
    let few: Vec<Operation<M::Action>> = reduced.kept.iter().map(|&place| operations[place].clone()).collect();
    let witness = Witness::Nonlinearizable {
        model: model.name().to_owned(),
        initial: model.show(history, &model.initial()),
        operations: few.iter().map(|operation| operation.invoke).collect(),
        smallest: reduced.smallest,
        blocked: operations.get(reduced.blocked).map_or(found, |operation| operation.invoke),
        paths: paths::longest(model, history, &few),
        failed_at: reduced.failed_at,
        operations_count: operations.len() as u64,
    };
    Anomaly::new(AnomalyKind::Nonlinearizable, key_name(history, key.key), witness)
}
