//! Replays an order: whether it is one that the model and real time allow. Uses nothing of what found it.
//!
//! Objects that are products of independent parts keep a state for each part, as each part is an object of its own.
//! O(n) and one step of the model for each operation.

use rustc_hash::FxHashMap;
use schism_history::{History, Kind, OpIndex, REPLICA_READ};

use super::model::Model;
use super::models::{ModelName, WithModel};
use super::split::{OPEN, Operation};

/// Whether the operations invoked at `order`, one after another, are all those without doubt and any of those in doubt,
/// each once, each legal, and none placed behind one that began after it had ended.
///
/// # Errors
/// The first thing that is not so.
pub fn replay<M: Model>(model: &M, operations: &[Operation<M::Action>], order: &[OpIndex]) -> Result<(), String> {
    let mut left: FxHashMap<OpIndex, &Operation<M::Action>> = operations.iter().map(|one| (one.invoke, one)).collect();
    let has_parts = operations.iter().all(|one| model.part(&one.action).is_some());
    let mut states: FxHashMap<Option<u32>, M::State> = FxHashMap::default();
    let mut began = 0;
    for invoke in order {
        let one = left.remove(invoke).ok_or_else(|| format!("{invoke} is no operation of this key, or comes twice"))?;
        let part = model.part(&one.action).filter(|_| has_parts);
        let state = states.entry(part).or_insert_with(|| model.initial());
        *state = model.step(state, &one.action).ok_or_else(|| format!("{invoke} is not legal where it stands"))?;
        if one.end < began {
            return Err(format!("{invoke} stands behind an operation that began after it had ended"));
        }
        began = began.max(one.invoke);
    }
    match left.values().filter(|one| !one.in_doubt()).map(|one| one.invoke).min() {
        Some(missing) => Err(format!("{missing} has happened, but has no place")),
        None => Ok(()),
    }
}

/// Replays an order of one key of a history (`None`: of the events without a key), reading the history anew.
///
/// # Errors
/// What [`replay`] tells, or that the model has no meaning for some operation.
pub fn replay_key(model: ModelName, history: &History, key: Option<u32>, order: &[OpIndex]) -> Result<(), String> {
    model.with(Replaying { history, key, order })
}

struct Replaying<'h> {
    history: &'h History,
    key: Option<u32>,
    order: &'h [OpIndex],
}

impl WithModel for Replaying<'_> {
    type Answer = Result<(), String>;

    fn with<M: Model>(self, model: &M) -> Result<(), String> {
        let Replaying { history, key, order } = self;
        let mut operations = Vec::new();
        let of_key = history.client_calls().filter(|call| history.key_id(call.invoke) == key);
        for call in
            of_key.filter(|call| call.outcome != Kind::Fail && *history.f(call.invoke).as_str() != *REPLICA_READ)
        {
            if let Some(action) = model.action(history, call)? {
                let end = call.completion.filter(|_| call.outcome == Kind::Ok).unwrap_or(OPEN);
                operations.push(Operation { invoke: call.invoke, end, action });
            }
        }
        replay(model, &operations, order)
    }
}
