//! From a history to the operations of each key.

use rustc_hash::FxHashMap;
use schism_history::{History, Kind, OpIndex, REPLICA_READ};

use super::model::Model;

/// The end of an operation that has none.
pub const OPEN: OpIndex = OpIndex::MAX;

/// One operation that is judged: `ok`, or in doubt (then `end` is [`OPEN`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation<A> {
    /// Its invocation.
    pub invoke: OpIndex,
    /// Its completion with `ok`.
    pub end: OpIndex,
    /// What it did.
    pub action: A,
}

impl<A> Operation<A> {
    /// Whether it may have happened at any time after its invocation, or never.
    pub fn in_doubt(&self) -> bool {
        self.end == OPEN
    }
}

/// The client events of one key, in order.
#[derive(Debug)]
pub(crate) struct KeyEvents {
    /// The key's number; `None`: events without a key.
    pub key: Option<u32>,
    /// The invocations.
    pub invocations: Vec<OpIndex>,
}

/// What a key's events say.
pub(crate) struct KeyOperations<A> {
    /// Operations in order of invocation.
    pub operations: Vec<Operation<A>>,
    /// The first event that the model has no meaning for, and why.
    pub unsupported: Option<(OpIndex, String)>,
}

/// Sorts invocations by key: first those without a key, if there are any, then keys in order of appearance. Linear. Reads
/// of one replica are left out: they are about a copy, not about the object.
pub(crate) fn by_key(history: &History) -> Vec<KeyEvents> {
    let any_replica_read = history.functions().iter().any(|f| f.as_str() == REPLICA_READ);
    let judged = || {
        let calls = history.client_calls().map(|call| call.invoke);
        calls.filter(|&invoke| !any_replica_read || history.f(invoke).as_str() != REPLICA_READ)
    };
    let place_of = |invoke: OpIndex| history.key_id(invoke).map_or(0, |key| key as usize + 1);
    // Counted first, so that each list has its length from the beginning.
    let mut counts = vec![0u32; history.keys().len() + 1];
    judged().for_each(|invoke| counts[place_of(invoke)] += 1);
    let names = std::iter::once(None).chain((0..history.keys().len() as u32).map(Some));
    let empty = |(key, &count): (Option<u32>, &u32)| KeyEvents { key, invocations: Vec::with_capacity(count as usize) };
    let mut keys: Vec<KeyEvents> = names.zip(&counts).map(empty).collect();
    judged().for_each(|invoke| keys[place_of(invoke)].invocations.push(invoke));
    keys.retain(|key| !key.invocations.is_empty());
    keys
}

/// The operations of a key in the model's terms. Failed calls are left out: nothing happened.
pub(crate) fn operations<M: Model>(model: &M, history: &History, key: &KeyEvents) -> KeyOperations<M::Action> {
    let mut operations = Vec::with_capacity(key.invocations.len());
    for &invoke in &key.invocations {
        let call = history.call(invoke);
        if call.outcome == Kind::Fail {
            continue;
        }
        match model.action(history, call) {
            Ok(Some(action)) => {
                let end = call.completion.filter(|_| call.outcome == Kind::Ok).unwrap_or(OPEN);
                operations.push(Operation { invoke, end, action });
            }
            Ok(None) => {}
            Err(reason) => return KeyOperations { operations, unsupported: Some((invoke, reason)) },
        }
    }
    KeyOperations { operations, unsupported: None }
}

/// The operations of a part of a key; without a number, of the whole key.
pub(crate) type Part<A> = (Option<u32>, Vec<Operation<A>>);

/// The operations of each part of a key, where the model's state is a product of parts and every action is about one;
/// otherwise all of them.
pub(crate) fn parts<M: Model>(model: &M, operations: Vec<Operation<M::Action>>) -> Vec<Part<M::Action>> {
    let part_of = |operation: &Operation<M::Action>| model.part(&operation.action);
    if operations.is_empty() || operations.iter().any(|operation| part_of(operation).is_none()) {
        return vec![(None, operations)];
    }
    let mut places: FxHashMap<Option<u32>, usize> = FxHashMap::default();
    let mut parts: Vec<Part<M::Action>> = Vec::new();
    for operation in operations {
        let part = part_of(&operation);
        let place = *places.entry(part).or_insert_with(|| {
            parts.push((part, Vec::new()));
            parts.len() - 1
        });
        parts[place].1.push(operation);
    }
    parts
}
