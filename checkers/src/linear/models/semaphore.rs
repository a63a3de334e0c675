//! Permits without owners: `acquire` takes one, `release` gives one back, whoever calls. With one permit it is a mutex.
//!
//! An `ok` with `matched` false is an answer: `acquire`: there was no permit left; `release`: all permits were there. All
//! are there at first.
//!
//! Decided by [`deadlines`]: exactly for a mutex, and for semaphores that refused nothing.

use schism_history::{Call, History, Kind};

use super::ModelName;
use crate::linear::model::Model;
use crate::linear::mutant::Mutation;
use crate::linear::rules::deadlines::{self, Deadlines, Mark, Move, Stuck};
use crate::linear::ruling::{Certificate, Ruling};
use crate::linear::split::Operation;

/// A semaphore, or a mutex without owners.
#[derive(Debug, Clone, Copy)]
pub struct Semaphore {
    /// How many permits there are; at least 1.
    pub permits: u32,
    /// Whether it is called a mutex; then there is one.
    pub mutex: bool,
}

/// What was done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PermitAction {
    /// A permit was taken.
    Acquire,
    /// One was given back.
    Release,
    /// No permit could be taken: there was none.
    RefusedAcquire,
    /// No permit could be given back: none was taken.
    RefusedRelease,
}

impl Semaphore {
    /// The operation as a move of the number of permits taken.
    fn does(&self, action: PermitAction) -> Move {
        match action {
            PermitAction::Acquire => Move::Up,
            PermitAction::Release => Move::Down,
            PermitAction::RefusedAcquire => Move::See(self.permits),
            PermitAction::RefusedRelease => Move::See(0),
        }
    }

    /// Decides operations in order of invocation.
    pub(crate) fn decide(
        &self,
        operations: &[Operation<PermitAction>],
        mutation: Mutation<deadlines::Mutant>,
    ) -> Ruling {
        let mark = |(place, operation): (usize, &Operation<PermitAction>)| Mark {
            begin: operation.invoke,
            end: operation.end,
            does: self.does(operation.action),
            place: place as u32,
        };
        let marks: Vec<Mark> = operations.iter().enumerate().map(mark).collect();
        if !Deadlines::fits(self.permits, &marks) {
            return Ruling::Unfit("a semaphore that refused something");
        }
        match Deadlines::new(self.permits, mutation).decide(&marks) {
            Ok(()) => Ruling::Good { algorithm: "deadlines" },
            Err(stuck) => Ruling::Bad {
                algorithm: "deadlines",
                at: stuck.at,
                certificate: Some(certificate(stuck, operations[stuck.place as usize].action)),
            },
        }
    }
}

/// Who completes and could not, after who made the last move.
fn certificate(stuck: Stuck, action: PermitAction) -> Certificate {
    let pattern = match action {
        PermitAction::Acquire => "acquired-while-held",
        PermitAction::Release => "released-while-free",
        PermitAction::RefusedAcquire => "refused-while-free",
        PermitAction::RefusedRelease => "refused-while-held",
    };
    Certificate { pattern, places: stuck.last.into_iter().chain([stuck.place]).collect() }
}

impl Model for Semaphore {
    /// Permits taken.
    type State = u32;
    type Action = PermitAction;

    fn name(&self) -> &'static str {
        if self.mutex { ModelName::Mutex.as_str() } else { ModelName::Semaphore(self.permits).as_str() }
    }

    fn full_name(&self) -> String {
        if self.mutex { self.name().to_owned() } else { ModelName::Semaphore(self.permits).to_string() }
    }

    fn initial(&self) -> u32 {
        0
    }

    fn step(&self, state: &u32, action: &PermitAction) -> Option<u32> {
        match action {
            PermitAction::Acquire => (*state < self.permits).then(|| state + 1),
            PermitAction::Release => state.checked_sub(1),
            PermitAction::RefusedAcquire => (*state == self.permits).then_some(*state),
            PermitAction::RefusedRelease => (*state == 0).then_some(*state),
        }
    }

    fn observes_only(&self, action: &PermitAction) -> bool {
        matches!(action, PermitAction::RefusedAcquire | PermitAction::RefusedRelease)
    }

    fn rule(&self, operations: &[Operation<PermitAction>]) -> Ruling {
        self.decide(operations, Mutation::default())
    }

    /// A stretch between two moments at which nothing is open and as many permits were given back as taken leaves
    /// everything as it found it, in every legal order: it is a group. What comes after the last of these moments, or
    /// after something in doubt, is never left out, but for refusals.
    fn groups(&self, operations: &[Operation<PermitAction>]) -> Vec<u32> {
        let mut groups = vec![0; operations.len()];
        let (mut from, mut balance, mut end_max) = (0, 0i64, 0);
        for (place, operation) in operations.iter().enumerate() {
            if place > from && balance == 0 && end_max < operation.invoke {
                groups[from..place].fill(from as u32 + 1);
                from = place;
            }
            // In doubt: open for ever.
            end_max = end_max.max(operation.end);
            balance += match operation.action {
                PermitAction::Acquire => 1,
                PermitAction::Release => -1,
                PermitAction::RefusedAcquire | PermitAction::RefusedRelease => 0,
            };
        }
        for (place, operation) in operations.iter().enumerate().skip(from) {
            if self.observes_only(&operation.action) {
                groups[place] = place as u32 + 1;
            }
        }
        groups
    }

    fn show(&self, _history: &History, state: &u32) -> String {
        match (self.mutex, state) {
            (true, 0) => "free".to_owned(),
            (true, _) => "held".to_owned(),
            (false, taken) => format!("{taken} of {} taken", self.permits),
        }
    }

    fn observed(&self, history: &History, action: &PermitAction) -> String {
        match (action, self.mutex) {
            (PermitAction::Acquire, true) => "free".to_owned(),
            (PermitAction::Release | PermitAction::RefusedAcquire, true) => "held".to_owned(),
            (PermitAction::Acquire, false) => "a permit left".to_owned(),
            (PermitAction::Release, false) => "a permit taken".to_owned(),
            (PermitAction::RefusedAcquire, false) => "no permit left".to_owned(),
            (PermitAction::RefusedRelease, _) => self.show(history, &0),
        }
    }

    fn action(&self, history: &History, call: Call) -> Result<Option<PermitAction>, String> {
        let answered = call.completion.filter(|_| call.outcome == Kind::Ok);
        let refused = answered.is_some_and(|completion| history.matched(completion) == Some(false));
        match (history.f(call.invoke).as_str(), refused) {
            ("acquire", false) => Ok(Some(PermitAction::Acquire)),
            ("acquire", true) => Ok(Some(PermitAction::RefusedAcquire)),
            ("release", false) => Ok(Some(PermitAction::Release)),
            ("release", true) => Ok(Some(PermitAction::RefusedRelease)),
            (other, _) => Err(format!("the model {} has no function {other}", self.full_name())),
        }
    }
}
