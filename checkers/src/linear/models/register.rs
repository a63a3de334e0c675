//! Registers: read, write and, where wanted, compare-and-set.

use schism_history::{Call, F, History, Kind, ValueId};

use super::ModelName;
use crate::linear::blocks;
use crate::linear::model::{Cell, Model};
use crate::linear::mutant::Mutation;
use crate::linear::ruling::Ruling;
use crate::linear::sources;
use crate::linear::split::Operation;

/// What was done to a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RegisterAction {
    /// A read that answered this.
    Read(ValueId),
    /// A write.
    Write(ValueId),
    /// A compare-and-set that matched (or, in doubt, may have): from, to.
    Cas(ValueId, ValueId),
    /// A compare-and-set that answered "no match": the state was not this.
    Miss(ValueId),
}

/// A register, initially nil; with `cas`, also compare-and-set.
#[derive(Debug, Clone, Copy)]
pub struct Register {
    /// Whether `cas` has a meaning.
    pub cas: bool,
}

impl From<ModelName> for Register {
    fn from(name: ModelName) -> Register {
        Register { cas: name == ModelName::CasRegister }
    }
}

impl Model for Register {
    type State = ValueId;
    type Action = RegisterAction;

    fn name(&self) -> &'static str {
        if self.cas { ModelName::CasRegister.as_str() } else { ModelName::Register.as_str() }
    }

    fn initial(&self) -> ValueId {
        ValueId::NIL
    }

    fn step(&self, state: &ValueId, action: &RegisterAction) -> Option<ValueId> {
        match *action {
            RegisterAction::Read(value) => (*state == value).then_some(value),
            RegisterAction::Write(value) => Some(value),
            RegisterAction::Cas(old, new) => (*state == old).then_some(new),
            RegisterAction::Miss(old) => (*state != old).then_some(*state),
        }
    }

    fn observes_only(&self, action: &RegisterAction) -> bool {
        match action {
            RegisterAction::Read(_) | RegisterAction::Miss(_) => true,
            RegisterAction::Write(_) => false,
            RegisterAction::Cas(old, new) => old == new,
        }
    }

    fn cell(&self, action: &RegisterAction) -> Option<Cell<ValueId>> {
        let (needs, refuses, leaves) = match *action {
            RegisterAction::Read(value) => (Some(value), None, None),
            RegisterAction::Write(value) => (None, None, Some(value)),
            RegisterAction::Cas(old, new) => (Some(old), None, (old != new).then_some(new)),
            RegisterAction::Miss(old) => (None, Some(old), None),
        };
        Some(Cell { needs, refuses, leaves })
    }

    fn rule(&self, operations: &[Operation<RegisterAction>]) -> Ruling {
        match blocks::rule(operations, Mutation::default()) {
            Ruling::Unfit(why) => sources::rule(operations, Mutation::default()).unwrap_or(Ruling::Unfit(why)),
            ruling => ruling,
        }
    }

    fn order(&self, operations: &[Operation<RegisterAction>]) -> Option<Vec<u32>> {
        blocks::order(operations)
    }

    fn show(&self, history: &History, state: &ValueId) -> String {
        history.value_of(*state).to_string()
    }

    fn observed(&self, history: &History, action: &RegisterAction) -> String {
        match *action {
            RegisterAction::Read(value) | RegisterAction::Cas(value, _) => self.show(history, &value),
            RegisterAction::Write(_) => "anything".to_owned(),
            RegisterAction::Miss(old) => format!("not {}", self.show(history, &old)),
        }
    }

    fn action(&self, history: &History, call: Call) -> Result<Option<RegisterAction>, String> {
        let answered = call.completion.filter(|_| call.outcome == Kind::Ok);
        match history.f(call.invoke) {
            // The argument of a read means nothing; a read without an answer told nothing.
            F::Read => Ok(answered.map(|completion| RegisterAction::Read(history.value_id(completion)))),
            F::Write => Ok(Some(RegisterAction::Write(history.value_id(call.invoke)))),
            F::Cas if self.cas => {
                let argument = history.value_id(call.invoke);
                let [old, new] = history
                    .parts_of(argument)
                    .ok_or_else(|| format!("cas wants [old, new], but has {}", *history.value_of(argument)))?;
                let missed = answered.is_some_and(|completion| history.matched(completion) == Some(false));
                Ok(Some(if missed { RegisterAction::Miss(old) } else { RegisterAction::Cas(old, new) }))
            }
            other => Err(format!("the model {} has no function {other}", self.name())),
        }
    }
}
