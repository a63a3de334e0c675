//! Linearizability, key by key: exact, with operations in doubt, at any concurrency.
//!
//! A history is linearizable if there is one order of its operations that the model allows and in which no operation
//! stands before one that had ended before it began (Herlihy, Wing 1990). It is so if it is for each key alone. An
//! operation that ended `fail` did not happen; one in doubt (`info`, or never answered) may happen at any time after its
//! invocation, or never.
//!
//! | file | what |
//! |---|---|
//! | `model`, `models` | sequential specifications: [`Model`]; those that there are, each in a file |
//! | `split` | a history's operations by key |
//! | `blocks`, `ruling` | registers whose values are unique: decided without a search |
//! | `buffers` | queues, bags, priority queues, stacks: decided without a search, and their states |
//! | `rules` | other models: what decides them without a search |
//! | `problem` | operations made ready: classes, events |
//! | `sources` | registers: an answer that nobody can have caused |
//! | `search`, `window`, `frontier`, `lookahead` | is there an order? |
//! | `cells` | the same for registers whose values return |
//! | `reduce` | the smallest set of operations without one |
//! | `paths` | how far orders of these get, and why not further |
//! | `verify` | proves a witness again by plain means |
//! | `order`, `replay` | an order of a valid history; and whether it is one |
//! | `staleness` | how stale answers of registers were |
//! | `mutant` | defects that the tests must notice |

pub(crate) mod blocks;
pub mod buffers;
pub(crate) mod cells;
pub(crate) mod frontier;
pub(crate) mod lookahead;
pub mod model;
pub mod models;
pub(crate) mod mutant;
pub mod order;
pub(crate) mod paths;
pub(crate) mod problem;
pub(crate) mod reduce;
pub mod replay;
pub(crate) mod rules;
mod ruling;
pub(crate) mod search;
pub(crate) mod sources;
pub(crate) mod split;
pub(crate) mod staleness;
#[cfg(test)]
pub(crate) mod tests;
mod verify;
pub(crate) mod window;

use std::collections::BTreeMap;

use rayon::prelude::*;
use schism_history::{History, OpIndex, RunFacts};
use serde_json::json;

pub use model::{Cell, Model};
pub use models::ModelName;
pub use ruling::{Certificate, PATTERNS, PATTERNS_OF_OTHERS, Ruling};
pub use split::Operation;
pub use verify::{verify_witness, verify_witness_of};

use crate::anomaly::{Anomaly, AnomalyKind, Exclusion, Witness};
use crate::checker::{Budget, Checker};
use crate::verdict::{Finding, Gap};
use models::WithModel;
use mutant::Mutation;
use problem::{Event, Problem};
use search::{Cost, Decision, decide};
use split::KeyEvents;
use staleness::Staleness;

/// Failing keys that get a witness; the others are counted and named in the stats.
const WITNESSES_MAX: usize = 32;
/// Failing keys named in the stats.
const NAMES_MAX: usize = 100;

/// Checks that each key behaved like one register, in one place, one operation after another.
///
/// Stats: `model`, `algorithm` (how many keys each algorithm decided: `{"blocks": 9, "frontier": 1}`), `searched_because`
/// (why keys went to the search: `{"an observed value was written twice": 1}`), `keys_count`, `operations_count` (judged: `ok`, and in doubt
/// unless it can be dropped), `in_doubt_count` (of these), `failing_keys_count`, `failing_keys` (the first 100),
/// `unknown_keys_count`, `steps` (all keys), `memory_bytes_peak` and `configurations_peak` (the worst key), `steps_max` (per
/// key) and `memory_bytes_max` (of all keys that are searched at the same time). Where a register failed: `staleness`
/// (`k_max`, `reads_by_k`, `delta_ms`; see `staleness.rs`).
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
    Bad(Failure),
    Gap(Gap),
}

/// Where a key failed.
struct Failure {
    /// The completion at which it was found.
    at: OpIndex,
    /// The part of the key that failed, where it was searched by parts.
    part: Option<u32>,
    /// What excludes each other, by places among the key's operations.
    certificate: Option<Certificate>,
}

impl Checker for Linearizable {
    fn name(&self) -> &str {
        "linearizable"
    }

    fn check(&self, history: &History, _facts: &RunFacts, budget: &Budget) -> Finding {
        self.model.with(Judging { name: self.model.to_string(), history, budget: *budget, is_shared: false })
    }
}

/// Judges a history by any model, each key by itself: what [`Linearizable`] does with those that have a name.
pub fn check_model<M: Model>(model: &M, history: &History, budget: &Budget) -> Finding {
    Judging { name: model.name().to_owned(), history, budget: *budget, is_shared: false }.with(model)
}

/// As [`Linearizable`], but the budget is for all keys together, one after another.
pub(crate) fn check_shared(model: ModelName, history: &History, budget: &Budget) -> Finding {
    model.with(Judging { name: model.to_string(), history, budget: *budget, is_shared: true })
}

/// The judgement of a history by any model.
struct Judging<'h> {
    /// The model's.
    name: String,
    history: &'h History,
    budget: Budget,
    /// Whether the steps are for all keys together, and not for each.
    is_shared: bool,
}

impl WithModel for Judging<'_> {
    type Answer = Finding;

    fn with<M: Model>(self, model: &M) -> Finding {
        let Judging { name, history, budget, is_shared } = self;
        if !history.has_realtime() {
            // The order of events of different processes is made up then; neither answer would be proof.
            let mut finding =
                Finding { gaps: vec![Gap::NoRealtime { level: "linearizable".to_owned() }], ..Finding::default() };
            finding.stats.insert("model".to_owned(), json!(name));
            return finding;
        }
        let keys = split::by_key(history);
        let found = match is_shared {
            true => check_keys_together(model, history, &keys, budget),
            false => check_keys(model, history, &keys, budget),
        };
        let failing: Vec<(&KeyEvents, &Failure)> = keys
            .iter()
            .zip(&found)
            .filter_map(|(key, found)| match &found.answer {
                Answer::Bad(failure) => Some((key, failure)),
                Answer::Good | Answer::Gap(_) => None,
            })
            .collect();
        let told = &failing[..failing.len().min(WITNESSES_MAX)];
        let anomalies = told.par_iter().map(|&(key, failure)| explain(model, history, key, failure, budget)).collect();
        let mut finding = Finding { anomalies, ..Finding::default() };
        tell(&mut finding, &name, history, (&failing, &found), budget);
        if !failing.is_empty()
            && let Some(staleness) = stale(model, history, &keys, &found)
        {
            finding.stats.insert("staleness".to_owned(), staleness.to_json());
        }
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

fn tell(
    finding: &mut Finding,
    model: &str,
    history: &History,
    (failing, found): (&[(&KeyEvents, &Failure)], &[KeyFinding]),
    budget: Budget,
) {
    let names: Vec<String> = failing.iter().take(NAMES_MAX).filter_map(|(key, _)| key_name(history, key.key)).collect();
    let unknown = found.iter().filter(|found| matches!(found.answer, Answer::Gap(_))).count();
    let sum = |part: fn(&KeyFinding) -> u64| found.iter().map(part).fold(0, u64::saturating_add);
    let max = |part: fn(&KeyFinding) -> u64| found.iter().map(part).max().unwrap_or(0);
    for (name, value) in [
        ("model", json!(model)),
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

/// How stale answers were, over all keys that were decided; `None` if the model is no register. Where every key has an order
/// nobody needs to ask.
fn stale<M: Model>(model: &M, history: &History, keys: &[KeyEvents], found: &[KeyFinding]) -> Option<Staleness> {
    let times = staleness::times(history);
    let of_key = |(key, found): (&KeyEvents, &KeyFinding)| {
        let operations = || split::operations(model, history, key).operations;
        match found.answer {
            Answer::Good => Some(Staleness::fresh(model, &operations())),
            Answer::Bad(_) => staleness::of_key(model, &times, operations()),
            Answer::Gap(_) => Some(Staleness::default()),
        }
    };
    let all: Option<Vec<Staleness>> = keys.par_iter().zip(found).map(of_key).collect();
    all.map(|all| all.into_iter().fold(Staleness::default(), Staleness::join))
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

/// Whether a key has an order; `None` where the budget ended first.
///
/// # Errors
/// What the model has no meaning for.
pub(crate) fn has_order<M: Model>(
    model: &M,
    history: &History,
    key: &KeyEvents,
    budget: Budget,
) -> Result<(Option<bool>, u64), Gap> {
    let found = check_key(model, history, key, budget, budget.memory_bytes_max);
    let steps = found.cost.steps;
    match found.answer {
        Answer::Good => Ok((Some(true), steps)),
        Answer::Bad(_) => Ok((Some(false), steps)),
        Answer::Gap(gap @ Gap::Unsupported { .. }) => Err(gap),
        Answer::Gap(_) => Ok((None, steps)),
    }
}

/// Checks keys in parallel, each with its share of the memory; then those that wanted more, one after the other, with all
/// of it. Whether a key is decided, and at what cost, depends on the whole of the memory alone: a search that stays within
/// its share is the same as it is with more.
fn check_keys<M: Model>(model: &M, history: &History, keys: &[KeyEvents], budget: Budget) -> Vec<KeyFinding> {
    let threads = rayon::current_num_threads().min(keys.len()).max(1) as u64;
    let share = budget.memory_bytes_max / threads;
    let mut found: Vec<KeyFinding> = keys.par_iter().map(|key| check_key(model, history, key, budget, share)).collect();
    for (key, found) in keys.iter().zip(&mut found) {
        if found.cost.bytes_peak > share && matches!(found.answer, Answer::Gap(Gap::BudgetSpent { .. })) {
            *found = check_key(model, history, key, budget, budget.memory_bytes_max);
        }
    }
    found
}

/// Checks keys one after another, each with the steps that those before it left.
fn check_keys_together<M: Model>(
    model: &M,
    history: &History,
    keys: &[KeyEvents],
    mut budget: Budget,
) -> Vec<KeyFinding> {
    let check = |key: &KeyEvents| {
        let found = check_key(model, history, key, budget, budget.memory_bytes_max);
        budget.steps_max = budget.steps_max.saturating_sub(found.cost.steps);
        found
    };
    keys.iter().map(check).collect()
}

/// Checks a key within a share of the memory.
fn check_key<M: Model>(model: &M, history: &History, key: &KeyEvents, budget: Budget, memory_share: u64) -> KeyFinding {
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
        Ruling::Bad { algorithm, at, certificate } => {
            let places = certificate.as_ref().and_then(|certificate| certificate.places.first());
            let part_of = |operation: &Operation<M::Action>| model.part(&operation.action);
            let is_product = operations.iter().all(|operation| part_of(operation).is_some());
            let part = places.filter(|_| is_product).and_then(|&place| part_of(operations.get(place as usize)?));
            found.algorithm = algorithm;
            found.answer = Answer::Bad(Failure { at, part, certificate });
            return found;
        }
        Ruling::Unfit(why) => Some(why),
    };
    found.algorithm = "frontier";
    for (part, operations) in split::parts(model, operations) {
        let name = || key_name(history, key.key);
        found.answer = search(model, &operations, part, (budget, memory_share), &mut found.cost, name);
        if !matches!(found.answer, Answer::Good) {
            break;
        }
    }
    found
}

/// Searches one part of a key. Adds to the cost.
fn search<M: Model>(
    model: &M,
    operations: &[Operation<M::Action>],
    part: Option<u32>,
    (budget, memory_share): (Budget, u64),
    cost: &mut Cost,
    key_name: impl Fn() -> Option<String>,
) -> Answer {
    let mut problem = Problem::new(model, operations, Mutation::default());
    let share = Budget { memory_bytes_max: memory_share, ..budget };
    let (decision, spent) = decide(&mut problem, share, Mutation::default());
    cost.steps = cost.steps.saturating_add(spent.steps);
    cost.bytes_peak = cost.bytes_peak.max(spent.bytes_peak);
    cost.configurations_peak = cost.configurations_peak.max(spent.configurations_peak);
    match decision {
        Decision::Linearizable => Answer::Good,
        Decision::Impossible(place) => match problem.events[place] {
            Event::Return(task) | Event::Invoke(task) => {
                let at = problem.tasks[task as usize].end;
                Answer::Bad(Failure { at, part, certificate: None })
            }
        },
        Decision::Spent(place) => Answer::Gap(Gap::BudgetSpent {
            key: key_name(),
            steps: spent.steps,
            steps_max: budget.steps_max,
            memory_bytes: spent.bytes_peak,
            memory_bytes_max: budget.memory_bytes_max,
            prefix_events: place as u64,
            configurations_peak: spent.configurations_peak,
            placing: problem.events.get(place).map(|event| match *event {
                Event::Return(task) | Event::Invoke(task) => problem.tasks[task as usize].begin,
            }),
        }),
    }
}

fn explain<M: Model>(model: &M, history: &History, key: &KeyEvents, failure: &Failure, budget: Budget) -> Anomaly {
    let all = split::operations(model, history, key).operations;
    let exclusion = failure.certificate.as_ref().map(|certificate| Exclusion {
        pattern: certificate.pattern.to_owned(),
        operations: certificate.places.iter().map(|&place| all[place as usize].invoke).collect(),
    });
    let operations_count = all.len() as u64;
    let mut operations = all;
    if let Some(part) = failure.part {
        operations.retain(|operation| model.part(&operation.action) == Some(part));
    }
    let certain = exclusion.as_ref().map_or(&[][..], |exclusion| exclusion.operations.as_slice());
    let reduced = reduce::reduce(model, &operations, failure.at, certain, budget);
    let few = &reduced.operations;
    let witness = Witness::Nonlinearizable {
        model: model.full_name(),
        initial: model.show(history, &model.initial()),
        operations: few.iter().map(|operation| operation.invoke).collect(),
        until: reduced.until,
        exclusion,
        smallest: reduced.smallest,
        blocked: few.get(reduced.blocked).map_or(failure.at, |operation| operation.invoke),
        paths: paths::longest(model, history, few),
        failed_at: reduced.failed_at,
        operations_count,
    };
    Anomaly::new(AnomalyKind::Nonlinearizable, key_name(history, key.key), witness)
}
