//! Sequential consistency: one order of all operations that the model allows and in which each process finds its own
//! operations in the order in which it made them. Real time does not matter (Lamport 1979).
//!
//! A history that is linearizable is sequentially consistent, so that is asked first, and cheap. A key that is not is
//! searched by itself: if it alone has no order, neither has the whole. Only if each key has one it is asked whether all
//! have one together: unlike linearizability, sequential consistency of each object is not that of all.
//!
//! An operation that failed did not happen. One in doubt may have happened, behind all that its process did before, or not;
//! as a process ends with its doubt, nothing follows it.

mod reduce;
mod saturate;
mod search;
#[cfg(test)]
mod tests;
mod verify;

use rayon::prelude::*;
use rustc_hash::FxHashMap;
use schism_history::{History, RunFacts};
use serde_json::json;

pub(crate) use verify::verify;

use crate::anomaly::{Anomaly, AnomalyKind, Witness};
use crate::checker::{Budget, Checker};
use crate::linear::models::WithModel;
use crate::linear::mutant::Mutation;
use crate::linear::split::{self, KeyEvents};
use crate::linear::{self, Model, ModelName};
use crate::verdict::{Finding, Gap};
use search::{Cost, Decision, Deed, decide};

/// Failing keys that get a witness; the others are counted.
const WITNESSES_MAX: usize = 32;

/// Named defects of the search, which the tests must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum SequentialMutant {
    /// What is in doubt never happened.
    NoDoubt,
    /// Writes are placed as soon as they are legal, without alternatives.
    WritesGreedy,
    /// A state that is needed is never left, even if it can come again.
    DoomedTooEager,
    /// Where one has been is remembered without the state.
    StateForgotten,
    /// What every order respects: a value that was written twice is taken for that of the first write.
    AmbiguousAsUnique,
    /// The same: what is in doubt has happened.
    DoubtIsCertain,
    /// The same: every change stands behind every read.
    NewerWithoutProof,
}

/// Checks that one order of all operations explains the answers and keeps the order of each process.
///
/// Stats: `model`, `algorithm` (how many keys were decided by `linearizable`, and how many by `search`), `together` (what the search over
/// all keys at once said, if it was made), `keys_count`, `operations_count`, `failing_keys_count`, `steps` (all searches).
///
/// Not covered: several keys in one operation. The budget is for each key, and once more for all keys together.
#[derive(Debug, Clone, Copy)]
pub struct Sequential {
    /// What a key is.
    pub model: ModelName,
}

impl Checker for Sequential {
    fn name(&self) -> &str {
        "sequential"
    }

    fn check(&self, history: &History, _facts: &RunFacts, budget: &Budget) -> Finding {
        self.model.with(Judging { name: self.model.to_string(), history, budget: *budget, is_shared: false })
    }
}

/// Judges by any model: what [`Sequential`] does with those that have a name.
pub fn check_model<M: Model>(model: &M, history: &History, budget: &Budget) -> Finding {
    Judging { name: model.name().to_owned(), history, budget: *budget, is_shared: false }.with(model)
}

/// As [`Sequential`], but the budget is for all searches together, one after another.
pub(crate) fn check_shared(model: ModelName, history: &History, budget: &Budget) -> Finding {
    model.with(Judging { name: model.to_string(), history, budget: *budget, is_shared: true })
}

struct Judging<'h> {
    name: String,
    history: &'h History,
    budget: Budget,
    /// Whether the steps are for all searches together, and not for each.
    is_shared: bool,
}

/// What was found for one key.
enum KeyFinding {
    Linearizable,
    Searched(Decision, Cost),
    Unsupported(Gap),
}

/// What was found for one key, and the steps of all that was asked about it.
type Checked = (KeyFinding, u64);

impl WithModel for Judging<'_> {
    type Answer = Finding;

    fn with<M: Model>(self, model: &M) -> Finding {
        let Judging { name, history, mut budget, is_shared } = self;
        let keys = split::by_key(history);
        let found: Vec<Checked> = match is_shared {
            false => keys.par_iter().map(|key| check_key(model, history, key, &budget)).collect(),
            true => keys
                .iter()
                .map(|key| {
                    let found = check_key(model, history, key, &budget);
                    budget.steps_max = budget.steps_max.saturating_sub(found.1);
                    found
                })
                .collect(),
        };
        let mut finding = Finding::default();
        let (mut searched, mut steps, mut failing) = (0u64, 0u64, 0u64);
        for (key, (found, key_steps)) in keys.iter().zip(found) {
            steps = steps.saturating_add(key_steps);
            let name = key.key.and_then(|key| history.keys().get(key as usize)).map(ToString::to_string);
            match found {
                KeyFinding::Linearizable => {}
                KeyFinding::Unsupported(gap) => finding.gaps.push(gap),
                KeyFinding::Searched(decision, cost) => {
                    searched += 1;
                    match decision {
                        Decision::Ordered(_) => {}
                        Decision::Spent => finding.gaps.push(spent(name, cost, &budget)),
                        Decision::Impossible => {
                            failing += 1;
                            if finding.anomalies.len() < WITNESSES_MAX {
                                let deeds = deeds(model, history, std::slice::from_ref(key));
                                finding.anomalies.push(anomaly(model, name, &deeds, &budget));
                            }
                        }
                    }
                }
            }
        }
        let is_open = searched > 0 && keys.len() > 1 && finding.anomalies.is_empty() && finding.gaps.is_empty();
        let together = is_open.then(|| {
            let all = deeds(model, history, &keys);
            let (decision, cost) = decide(model, &all, &budget, Mutation::default());
            steps = steps.saturating_add(cost.steps);
            match decision {
                Decision::Ordered(_) => "an order",
                Decision::Impossible => {
                    finding.anomalies.push(anomaly(model, None, &all, &budget));
                    "no order"
                }
                Decision::Spent => {
                    finding.gaps.push(spent(None, cost, &budget));
                    "budget spent"
                }
            }
        });
        let operations_count: usize = keys.iter().map(|key| key.invocations.len()).sum();
        for (stat, value) in [
            ("model", json!(name)),
            ("algorithm", json!({"linearizable": keys.len() as u64 - searched, "search": searched})),
            ("together", json!(together)),
            ("keys_count", json!(keys.len())),
            ("operations_count", json!(operations_count)),
            ("failing_keys_count", json!(failing)),
            ("steps", json!(steps)),
        ] {
            finding.stats.insert(stat.to_owned(), value);
        }
        finding
    }
}

fn spent(key: Option<String>, cost: Cost, budget: &Budget) -> Gap {
    Gap::BudgetSpent {
        key,
        steps: cost.steps,
        steps_max: budget.steps_max,
        memory_bytes: cost.bytes,
        memory_bytes_max: budget.memory_bytes_max,
        prefix_events: 0,
        configurations_peak: 0,
        placing: None,
    }
}

fn check_key<M: Model>(model: &M, history: &History, key: &KeyEvents, budget: &Budget) -> Checked {
    let asked = match linear::has_order(model, history, key, *budget) {
        Err(gap) => return (KeyFinding::Unsupported(gap), 0),
        Ok((Some(true), steps)) => return (KeyFinding::Linearizable, steps),
        Ok((Some(false) | None, steps)) => steps,
    };
    let (decision, cost) =
        decide(model, &deeds(model, history, std::slice::from_ref(key)), budget, Mutation::default());
    let steps = asked.saturating_add(cost.steps);
    (KeyFinding::Searched(decision, cost), steps)
}

/// The operations of some keys, in order of invocation.
fn deeds<M: Model>(model: &M, history: &History, keys: &[KeyEvents]) -> Vec<Deed<M::Action>> {
    let mut all: Vec<Deed<M::Action>> = Vec::new();
    for (key, events) in (0..).zip(keys) {
        for operation in split::operations(model, history, events).operations {
            all.push(Deed { process: 0, key, operation });
        }
    }
    all.sort_by_key(|deed| deed.operation.invoke);
    let mut processes: FxHashMap<u32, u32> = FxHashMap::default();
    for deed in &mut all {
        let next = processes.len() as u32;
        deed.process = *processes.entry(history.process_id(deed.operation.invoke)).or_insert(next);
    }
    all
}

fn anomaly<M: Model>(model: &M, key: Option<String>, deeds: &[Deed<M::Action>], budget: &Budget) -> Anomaly {
    let (kept, smallest) = reduce::reduce(model, deeds, budget);
    let witness = Witness::Nonsequential {
        model: model.full_name(),
        operations: kept.iter().map(|&place| deeds[place].operation.invoke).collect(),
        smallest,
        operations_count: deeds.len() as u64,
    };
    Anomaly::new(AnomalyKind::Nonsequential, key, witness)
}
