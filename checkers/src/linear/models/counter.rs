//! A counter that only grows: `add n` with n of 0 or more, `read` -> the total. 0 at first; a `read` that answers nil
//! found 0.
//!
//! Where all additions add the same, the total is a level that only goes up, and [`deadlines`] decides. With different
//! amounts it is a question of which sums there are (as hard as subset sum), left to the search; but first each read is
//! compared with what had surely been added before it, and what may have been.

use schism_history::{Call, F, History, Kind, OpIndex, Value};

use super::ModelName;
use crate::linear::model::Model;
use crate::linear::mutant::Mutation;
use crate::linear::rules::deadlines::{self, Deadlines, Mark, Move, Stuck};
use crate::linear::ruling::{Certificate, Ruling};
use crate::linear::split::{OPEN, Operation};

/// A counter that only grows, 0 at first.
#[derive(Debug, Clone, Copy)]
pub struct Counter;

/// What was done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CounterAction {
    /// Something was added, 0 or more.
    Add(i64),
    /// A read that answered this.
    Read(i128),
}

impl Model for Counter {
    type State = i128;
    type Action = CounterAction;

    fn name(&self) -> &'static str {
        ModelName::Counter.as_str()
    }

    fn initial(&self) -> i128 {
        0
    }

    fn step(&self, state: &i128, action: &CounterAction) -> Option<i128> {
        match *action {
            CounterAction::Add(amount) => Some(state + i128::from(amount)),
            CounterAction::Read(seen) => (seen == *state).then_some(*state),
        }
    }

    fn observes_only(&self, action: &CounterAction) -> bool {
        matches!(action, CounterAction::Read(_) | CounterAction::Add(0))
    }

    fn rule(&self, operations: &[Operation<CounterAction>]) -> Ruling {
        rule(operations, Mutation::default())
    }

    fn show(&self, _history: &History, state: &i128) -> String {
        state.to_string()
    }

    fn observed(&self, _history: &History, action: &CounterAction) -> String {
        match action {
            CounterAction::Add(_) => "anything".to_owned(),
            CounterAction::Read(seen) => seen.to_string(),
        }
    }

    fn action(&self, history: &History, call: Call) -> Result<Option<CounterAction>, String> {
        let answered = call.completion.filter(|_| call.outcome == Kind::Ok);
        match (history.f(call.invoke), answered) {
            (F::Read, None) => Ok(None),
            (F::Read, Some(completion)) => match &*history.value(completion) {
                Value::Nil => Ok(Some(CounterAction::Read(0))),
                Value::Int(seen) => Ok(Some(CounterAction::Read(i128::from(*seen)))),
                other => Err(format!("a counter wants integers of 64 bits, but there is {other}")),
            },
            (F::Add, _) => match &*history.value(call.invoke) {
                Value::Int(amount) if *amount >= 0 => Ok(Some(CounterAction::Add(*amount))),
                other => Err(format!("this counter only grows: add wants 0 or more, but has {other}")),
            },
            (other, _) => Err(format!("the model counter has no function {other}")),
        }
    }
}

/// Defects that the tests must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Mutant {
    /// The bounds of a read count all additions.
    BoundsOfAll,
    /// What had been added in doubt does not count.
    BoundsWithoutDoubt,
    /// A total that no number of additions makes is taken for the one below it.
    TotalsRounded,
    /// An addition of nothing counts as one.
    NothingAdds,
    /// Some defect of the levels.
    Level(deadlines::Mutant),
}

/// The defect of the levels that is wanted.
#[cfg(test)]
fn inner(mutation: Mutation<Mutant>) -> Mutation<deadlines::Mutant> {
    match mutation.mutant {
        Some(Mutant::Level(mutant)) => Mutation { mutant: Some(mutant) },
        _ => Mutation::default(),
    }
}

/// None: there are no defects outside of tests.
#[cfg(not(test))]
fn inner(_mutation: Mutation<Mutant>) -> Mutation<deadlines::Mutant> {
    Mutation::default()
}

/// Decides operations in order of invocation.
pub(crate) fn rule(operations: &[Operation<CounterAction>], mutation: Mutation<Mutant>) -> Ruling {
    let amounts = || {
        operations.iter().filter_map(|operation| match operation.action {
            CounterAction::Add(0) => None,
            CounterAction::Add(amount) => Some(amount),
            CounterAction::Read(_) => None,
        })
    };
    let unit = amounts().next().unwrap_or(1);
    if amounts().any(|amount| amount != unit) {
        return match bounds(operations, mutation) {
            Some(ruling) => ruling,
            None => Ruling::Unfit("additions of different amounts"),
        };
    }
    match levels(operations, i128::from(unit), mutation) {
        Ok(marks) => match Deadlines::new(u32::MAX, inner(mutation)).decide(&marks) {
            Ok(()) => Ruling::Good { algorithm: "deadlines" },
            Err(Stuck { place, at, lacks_up, last }) => {
                let pattern = if lacks_up { "total-too-high" } else { "total-too-low" };
                let places = last.into_iter().chain([place]).collect();
                Ruling::Bad { algorithm: "deadlines", at, certificate: Some(Certificate { pattern, places }) }
            }
        },
        Err(place) => {
            let certificate = Some(Certificate { pattern: "no-such-total", places: vec![place] });
            Ruling::Bad { algorithm: "deadlines", at: operations[place as usize].end, certificate }
        }
    }
}

/// Operations in steps of `unit`. The place of a read that found what no number of steps makes is the error.
fn levels(operations: &[Operation<CounterAction>], unit: i128, mutation: Mutation<Mutant>) -> Result<Vec<Mark>, u32> {
    let mut marks = Vec::with_capacity(operations.len());
    for (place, operation) in operations.iter().enumerate() {
        let place = place as u32;
        let does = match operation.action {
            CounterAction::Add(0) if !mutation.is(Mutant::NothingAdds) => continue,
            CounterAction::Add(_) => Move::Up,
            CounterAction::Read(_) if operation.in_doubt() => continue,
            CounterAction::Read(total) if total < 0 => return Err(place),
            CounterAction::Read(total) if total % unit != 0 && !mutation.is(Mutant::TotalsRounded) => {
                return Err(place);
            }
            // Beyond all that there are additions for, all are the same.
            CounterAction::Read(total) => Move::See(u32::try_from(total / unit).unwrap_or(u32::MAX)),
        };
        marks.push(Mark { begin: operation.invoke, end: operation.end, does, place });
    }
    Ok(marks)
}

/// A read of less than had surely been added when it began, or of more than may have been when it ended. Exact for those
/// that it finds; that it finds none says nothing.
fn bounds(operations: &[Operation<CounterAction>], mutation: Mutation<Mutant>) -> Option<Ruling> {
    let mut begins: Vec<(OpIndex, i128)> = Vec::new();
    let mut ends: Vec<(OpIndex, i128)> = Vec::new();
    for operation in operations {
        let CounterAction::Add(amount) = operation.action else { continue };
        if !(operation.in_doubt() && mutation.is(Mutant::BoundsWithoutDoubt)) {
            begins.push((operation.invoke, i128::from(amount)));
        }
        if operation.end != OPEN {
            ends.push((operation.end, i128::from(amount)));
        }
    }
    ends.sort_unstable();
    for list in [&mut begins, &mut ends] {
        let mut sum = 0;
        for (_, amount) in list.iter_mut() {
            sum += *amount;
            *amount = sum;
        }
    }
    let until = |list: &[(OpIndex, i128)], event: OpIndex| {
        let count = match mutation.is(Mutant::BoundsOfAll) {
            true => list.len(),
            false => list.partition_point(|&(other, _)| other < event),
        };
        count.checked_sub(1).map_or(0, |last| list[last].1)
    };
    let reads = operations.iter().enumerate().filter(|(_, operation)| !operation.in_doubt());
    for (place, operation) in reads {
        let CounterAction::Read(total) = operation.action else { continue };
        let pattern = match () {
            () if total < until(&ends, operation.invoke) => "total-too-low",
            () if total > until(&begins, operation.end) => "total-too-high",
            () => continue,
        };
        let certificate = Some(Certificate { pattern, places: vec![place as u32] });
        return Some(Ruling::Bad { algorithm: "bounds", at: operation.end, certificate });
    }
    None
}
