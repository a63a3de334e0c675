//! Locks that know who holds them: owner-mutex, reentrant-mutex, fenced-lock.
//!
//! Functions: `acquire` and `release`. Who acts is the process of the operation; a process in doubt does nothing more, so
//! what it holds is held for ever. An `ok` with `matched` false is an answer: `acquire`: somebody has the lock (of a
//! reentrant one: somebody else); `release`: you do not have it. A fenced lock answers `acquire` with its token, an integer;
//! tokens grow along the holds. The token of an acquisition that did not say it is not known, and not looked at.
//!
//! Not covered: leases that run out, a fenced lock that is reentrant, a limit to how often a lock may be reentered.

use schism_history::{Call, History, Kind, Value};

use super::ModelName;
use crate::linear::model::Model;
use crate::linear::mutant::Mutation;
use crate::linear::rules::holds;
use crate::linear::ruling::Ruling;
use crate::linear::split::Operation;

/// Which lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Who holds it cannot acquire it again.
    Owned,
    /// Who holds it can; as many releases free it.
    Reentrant,
    /// As owned; acquisitions answer with tokens that grow.
    Fenced,
}

/// A lock with owners, free at first.
#[derive(Debug, Clone, Copy)]
pub struct Lock {
    /// Which.
    pub kind: LockKind,
}

/// What was done to a lock, and by which process (its dense number).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockAction {
    /// Acquired, with the token if that was said; in doubt, may have been.
    Acquire(u32, Option<i64>),
    /// Released.
    Release(u32),
    /// Could not be acquired: it was held (a reentrant one: by another process).
    RefusedAcquire(u32),
    /// Could not be released: the process did not hold it.
    RefusedRelease(u32),
}

impl LockAction {
    /// Who did it.
    pub fn process(self) -> u32 {
        match self {
            LockAction::Acquire(process, _)
            | LockAction::Release(process)
            | LockAction::RefusedAcquire(process)
            | LockAction::RefusedRelease(process) => process,
        }
    }
}

/// A lock's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LockState {
    /// Who holds it, and how often.
    pub holder: Option<(u32, u32)>,
    /// The last token that was given, of a fenced lock.
    pub token: Option<i64>,
}

impl Model for Lock {
    type State = LockState;
    type Action = LockAction;

    fn name(&self) -> &'static str {
        match self.kind {
            LockKind::Owned => ModelName::OwnerMutex.as_str(),
            LockKind::Reentrant => ModelName::ReentrantMutex.as_str(),
            LockKind::Fenced => ModelName::FencedLock.as_str(),
        }
    }

    fn initial(&self) -> LockState {
        LockState::default()
    }

    fn step(&self, state: &LockState, action: &LockAction) -> Option<LockState> {
        let reentrant = self.kind == LockKind::Reentrant;
        match (*action, state.holder) {
            (LockAction::Acquire(process, token), None) => {
                let token = token.filter(|_| self.kind == LockKind::Fenced);
                let grows = token.is_none_or(|new| state.token.is_none_or(|last| new > last));
                grows.then_some(LockState { holder: Some((process, 1)), token: token.or(state.token) })
            }
            (LockAction::Acquire(process, _), Some((holder, depth))) if reentrant && holder == process => {
                Some(LockState { holder: Some((process, depth.checked_add(1)?)), ..*state })
            }
            (LockAction::Release(process), Some((holder, depth))) if holder == process => {
                let holder = (depth > 1).then_some((process, depth - 1));
                Some(LockState { holder, ..*state })
            }
            (LockAction::RefusedAcquire(process), Some((holder, _))) if !(reentrant && holder == process) => {
                Some(*state)
            }
            (LockAction::RefusedRelease(process), holder) => {
                holder.is_none_or(|(holder, _)| holder != process).then_some(*state)
            }
            (LockAction::Acquire(..) | LockAction::Release(_) | LockAction::RefusedAcquire(_), _) => None,
        }
    }

    fn observes_only(&self, action: &LockAction) -> bool {
        matches!(action, LockAction::RefusedAcquire(_) | LockAction::RefusedRelease(_))
    }

    fn rule(&self, operations: &[Operation<LockAction>]) -> Ruling {
        holds::rule(operations, self.kind, Mutation::default())
    }

    fn groups(&self, operations: &[Operation<LockAction>]) -> Vec<u32> {
        holds::groups(operations, self.kind)
    }

    fn show(&self, history: &History, state: &LockState) -> String {
        let token = state.token.map(|token| format!(", token {token}")).unwrap_or_default();
        match state.holder {
            None => format!("free{token}"),
            Some((process, 1)) => format!("held by {}{token}", name(history, process)),
            Some((process, depth)) => format!("held {depth} times by {}{token}", name(history, process)),
        }
    }

    fn observed(&self, history: &History, action: &LockAction) -> String {
        match *action {
            LockAction::Acquire(_, Some(token)) if self.kind == LockKind::Fenced => {
                format!("free, with a token below {token}")
            }
            LockAction::Acquire(process, _) if self.kind == LockKind::Reentrant => {
                format!("free or held by {}", name(history, process))
            }
            LockAction::Acquire(..) => "free".to_owned(),
            LockAction::Release(process) => format!("held by {}", name(history, process)),
            LockAction::RefusedAcquire(process) if self.kind == LockKind::Reentrant => {
                format!("held, not by {}", name(history, process))
            }
            LockAction::RefusedAcquire(_) => "held".to_owned(),
            LockAction::RefusedRelease(process) => format!("not held by {}", name(history, process)),
        }
    }

    fn action(&self, history: &History, call: Call) -> Result<Option<LockAction>, String> {
        let answered = call.completion.filter(|_| call.outcome == Kind::Ok);
        let refused = answered.is_some_and(|completion| history.matched(completion) == Some(false));
        let process = history.process_id(call.invoke);
        match history.f(call.invoke).as_str() {
            "acquire" if refused => Ok(Some(LockAction::RefusedAcquire(process))),
            "acquire" if self.kind == LockKind::Fenced => {
                let token = answered.map(|completion| token(history, completion)).transpose()?;
                Ok(Some(LockAction::Acquire(process, token.flatten())))
            }
            "acquire" => Ok(Some(LockAction::Acquire(process, None))),
            "release" if refused => Ok(Some(LockAction::RefusedRelease(process))),
            "release" => Ok(Some(LockAction::Release(process))),
            other => Err(format!("the model {} has no function {other}", self.name())),
        }
    }
}

fn name(history: &History, process: u32) -> String {
    history.processes().get(process as usize).map_or_else(|| process.to_string(), ToString::to_string)
}

fn token(history: &History, completion: u32) -> Result<Option<i64>, String> {
    match &*history.value(completion) {
        Value::Nil => Ok(None),
        Value::Int(token) => Ok(Some(*token)),
        other => Err(format!("acquire of a fenced lock answers with an integer, but here with {other}")),
    }
}
