//! What the models of things that are put in and taken out have in common: queue, bag, priority queue, stack.
//!
//! | function | answer |
//! |---|---|
//! | `enqueue v` (stack: `push v`) | – |
//! | `dequeue` (stack: `pop`) | `ok` with the value; `ok` with nil: it was empty |
//!
//! A removal that ended `fail` removed nothing and told nothing. One in doubt may have removed whatever was next, nobody
//! knows what: [`BufferAction::Took`].

use std::fmt;
use std::hash::Hash;

use rustc_hash::FxHashMap;
use schism_history::{Call, History, Kind, OpIndex, ValueId};

use crate::linear::split::Operation;

/// What was done to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BufferAction<V> {
    /// Put in.
    Put(V),
    /// Taken out.
    Got(V),
    /// There was nothing to take out.
    Empty,
    /// Taken out, but nobody knows what, or whether at all. Always in doubt.
    Took,
}

/// How the functions are called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    pub model: &'static str,
    pub put: &'static str,
    pub get: &'static str,
}

/// What a call did, with values as they stand in the history; nil cannot be put in, since it is the answer "empty".
pub(crate) fn action<V>(
    names: Names,
    history: &History,
    call: Call,
    value: impl Fn(OpIndex) -> Result<V, String>,
) -> Result<Option<BufferAction<V>>, String> {
    let name = history.f(call.invoke).as_str();
    if name == names.put {
        if history.value_id(call.invoke) == ValueId::NIL {
            return Err(format!("{name} of nothing: nil is the answer of an empty {}", names.model));
        }
        return Ok(Some(BufferAction::Put(value(call.invoke)?)));
    }
    if name != names.get {
        return Err(format!("the model {} has no function {name}", names.model));
    }
    match call.completion.filter(|_| call.outcome == Kind::Ok) {
        None => Ok(Some(BufferAction::Took)),
        Some(completion) if history.value_id(completion) == ValueId::NIL => Ok(Some(BufferAction::Empty)),
        Some(completion) => Ok(Some(BufferAction::Got(value(completion)?))),
    }
}

/// How often a value was put in, surely or not, and surely taken out.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    puts: u32,
    gots: u32,
}

fn counts<V: Copy + Eq + Hash>(operations: &[Operation<BufferAction<V>>]) -> FxHashMap<V, Counts> {
    let mut counts: FxHashMap<V, Counts> = FxHashMap::default();
    for operation in operations {
        match operation.action {
            BufferAction::Put(value) => counts.entry(value).or_default().puts += 1,
            BufferAction::Got(value) if !operation.in_doubt() => counts.entry(value).or_default().gots += 1,
            BufferAction::Got(_) | BufferAction::Empty | BufferAction::Took => {}
        }
    }
    counts
}

/// Operations in doubt that may as well not have happened: a put of what nobody surely took out (whoever took it out is in
/// doubt too and goes with it; otherwise it stays inside for ever, and nothing that was answered came after it or was hidden
/// by it); and removals of unknown result where everything that was put in was surely taken out by somebody else.
pub(crate) fn idle<V: Copy + Eq + Hash>(operations: &[Operation<BufferAction<V>>]) -> Vec<u32> {
    if !operations.iter().any(Operation::in_doubt) {
        return Vec::new();
    }
    let counts = counts(operations);
    let unwanted = |operation: &Operation<BufferAction<V>>| match operation.action {
        BufferAction::Put(value) => operation.in_doubt() && counts.get(&value).is_none_or(|counts| counts.gots == 0),
        _ => false,
    };
    let mut left = false;
    for operation in operations.iter().filter(|operation| !unwanted(operation)) {
        if let BufferAction::Put(value) = operation.action {
            left |= counts.get(&value).is_some_and(|counts| counts.puts > counts.gots);
        }
    }
    let is_idle = |operation: &Operation<BufferAction<V>>| {
        unwanted(operation) || (!left && matches!(operation.action, BufferAction::Took))
    };
    (0..operations.len() as u32).filter(|&place| is_idle(&operations[place as usize])).collect()
}

/// What can be left out together: all that was done with a value; each answer "empty".
///
/// A removal of unknown result may have taken out anything that nobody else surely did. Where values that were surely taken
/// out (and answers "empty") exclude each other already, those removals and all values that they may have
/// taken form one group, which then is left out; otherwise they always stay. `excluded` decides the former.
pub(crate) fn groups<V: Copy + Eq + Hash>(
    operations: &[Operation<BufferAction<V>>],
    excluded: impl Fn(&[Operation<BufferAction<V>>]) -> bool,
) -> Vec<u32> {
    const TAKERS: u32 = 1;
    let mut numbers: FxHashMap<V, u32> = FxHashMap::default();
    let mut next = TAKERS;
    let mut fresh = || {
        next += 1;
        next
    };
    let mut groups: Vec<u32> = Vec::with_capacity(operations.len());
    for operation in operations {
        groups.push(match operation.action {
            BufferAction::Put(value) | BufferAction::Got(value) => *numbers.entry(value).or_insert_with(&mut fresh),
            BufferAction::Empty => fresh(),
            BufferAction::Took => 0,
        });
    }
    if !groups.contains(&0) {
        return groups;
    }
    let counts = counts(operations);
    let open_to_takers = |operation: &Operation<BufferAction<V>>| match operation.action {
        BufferAction::Put(value) | BufferAction::Got(value) => {
            counts.get(&value).is_some_and(|counts| counts.puts > counts.gots)
        }
        BufferAction::Took => true,
        BufferAction::Empty => false,
    };
    let sure: Vec<Operation<BufferAction<V>>> =
        operations.iter().filter(|operation| !open_to_takers(operation)).cloned().collect();
    if excluded(&sure) {
        for (group, operation) in groups.iter_mut().zip(operations) {
            *group = if open_to_takers(operation) { TAKERS } else { *group };
        }
    }
    groups
}

/// What an action observed, for a person.
pub(crate) fn observed<V>(action: &BufferAction<V>, show: impl Fn(&V) -> String, next: &str) -> String {
    match action {
        BufferAction::Put(_) => "anything".to_owned(),
        BufferAction::Got(value) => format!("{} {next}", show(value)),
        BufferAction::Empty => "nothing in it".to_owned(),
        BufferAction::Took => "something in it".to_owned(),
    }
}

/// What is inside, for a person: the first of them in full.
pub(crate) fn show<T: fmt::Display>(inside: impl Iterator<Item = T>, count: usize) -> String {
    const SHOWN_MAX: usize = 32;
    let mut shown: Vec<String> = inside.take(SHOWN_MAX).map(|item| item.to_string()).collect();
    if count > SHOWN_MAX {
        shown.push(format!("and {} more", count - SHOWN_MAX));
    }
    format!("[{}]", shown.join(", "))
}
