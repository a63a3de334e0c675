//! Registers of any values: an answer that no operation can have caused.
//!
//! Whoever needs a value (a read of it, a compare-and-set from it) needs somebody who left it: one that began before the
//! observer ended, and that was not surely overwritten, which it was if it had ended before a change to another value began
//! that had ended before the observer began. Where nobody is left there is no order, however many values return and
//! whatever is in doubt. That is not all that can be wrong, so this never says that there is an order; but a stale read,
//! the most usual anomaly, is found without a search.
//!
//! Cost: O(n log n) time, about 30 bytes an operation.

use rustc_hash::FxHashMap;
use schism_history::{OpIndex, ValueId};

use super::models::RegisterAction;
use super::mutant::Mutation;
use super::ruling::{Certificate, Ruling};
use super::split::{OPEN, Operation};

const ALGORITHM: &str = "sources";

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum SourcesMutant {
    /// What is in doubt is no source.
    DoubtIsNone,
    /// A source must have ended before the observer ends.
    OnlyEnded,
    /// What has not ended overwrites too.
    OpenOverwrites,
    /// The first value counts as one that nobody left.
    InitialForgotten,
}

/// A change that has ended: when it began, what it left, and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    begin: OpIndex,
    left: ValueId,
    place: u32,
}

/// Of those that leave a value, in order of invocation: when one began, and the latest end so far, with its place.
#[derive(Debug, Clone, Copy)]
struct Source {
    begin: OpIndex,
    end_max: OpIndex,
    place: u32,
}

fn needs(action: &RegisterAction) -> Option<ValueId> {
    match *action {
        RegisterAction::Read(value) | RegisterAction::Cas(value, _) => Some(value),
        RegisterAction::Write(_) | RegisterAction::Miss(_) => None,
    }
}

fn leaves(action: &RegisterAction) -> Option<ValueId> {
    match *action {
        RegisterAction::Write(value) => Some(value),
        RegisterAction::Cas(old, new) => (old != new).then_some(new),
        RegisterAction::Read(_) | RegisterAction::Miss(_) => None,
    }
}

/// Whether an operation observed what nobody can have left: the first such completion. `None` tells nothing.
/// Operations stand in order of invocation.
pub(crate) fn rule(operations: &[Operation<RegisterAction>], mutation: Mutation<SourcesMutant>) -> Option<Ruling> {
    let sources = sources(operations, mutation);
    let mut by_end: Vec<u32> = (0..operations.len() as u32).collect();
    by_end.retain(|&place| {
        let operation = &operations[place as usize];
        !operation.in_doubt() && leaves(&operation.action).is_some()
    });
    by_end.sort_unstable_by_key(|&place| operations[place as usize].end);
    let mut ended = by_end.into_iter().peekable();
    // Of the changes that have ended, the one that began last.
    let mut latest: Option<Change> = None;
    let mut bad: Option<(OpIndex, Certificate)> = None;
    for (place, observer) in operations.iter().enumerate() {
        let past = if mutation.is(SourcesMutant::OpenOverwrites) { observer.end } else { observer.invoke };
        while let Some(place) = ended.next_if(|&place| operations[place as usize].end < past) {
            let operation = &operations[place as usize];
            let found = leaves(&operation.action).map(|left| Change { begin: operation.invoke, left, place });
            latest = latest.max(found);
        }
        let Some(value) = needs(&observer.action).filter(|_| !observer.in_doubt()) else { continue };
        // Who left the same value is a source itself, and one that nothing overwrote which began before it.
        let overwritten = latest.filter(|latest| latest.left != value);
        if latest.is_some() && overwritten.is_none() {
            continue;
        }
        let last = sources.get(&value).and_then(|all| {
            let to = all.partition_point(|source| source.begin < observer.end);
            to.checked_sub(1).map(|last| all[last])
        });
        let initial = value == ValueId::NIL && !mutation.is(SourcesMutant::InitialForgotten);
        let explained = match (overwritten, last) {
            (None, last) => initial || last.is_some(),
            (Some(change), Some(last)) => last.end_max > change.begin,
            (Some(_), None) => false,
        };
        if !explained && bad.as_ref().is_none_or(|(at, _)| observer.end < *at) {
            let places = last.map(|last| last.place).into_iter().chain(overwritten.map(|change| change.place));
            let pattern = if last.is_some() || initial { "overwritten-value" } else { "value-of-nobody" };
            let places =
                if last.is_some() || initial { places.chain([place as u32]).collect() } else { vec![place as u32] };
            bad = Some((observer.end, Certificate { pattern, places }));
        }
    }
    bad.map(|(at, certificate)| Ruling::Bad { algorithm: ALGORITHM, at, certificate: Some(certificate) })
}

fn sources(
    operations: &[Operation<RegisterAction>],
    mutation: Mutation<SourcesMutant>,
) -> FxHashMap<ValueId, Vec<Source>> {
    let mut sources: FxHashMap<ValueId, Vec<Source>> = FxHashMap::default();
    for (place, operation) in operations.iter().enumerate() {
        let Some(left) = leaves(&operation.action) else { continue };
        if operation.end == OPEN && mutation.is(SourcesMutant::DoubtIsNone) {
            continue;
        }
        let begin = if mutation.is(SourcesMutant::OnlyEnded) { operation.end } else { operation.invoke };
        let all = sources.entry(left).or_default();
        let here = Source { begin, end_max: operation.end, place: place as u32 };
        let before = all.last().filter(|before| before.end_max > operation.end).copied();
        all.push(Source { begin, ..before.unwrap_or(here) });
    }
    sources
}
