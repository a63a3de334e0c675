//! Sequential specifications: what one operation after another may do to a state.
//!
//! A [`Model`] is a state and a step. Models whose state is one cell that every change overwrites (registers) also say
//! what each action needs and leaves ([`Model::cell`]); that lets the search look ahead and the witness be reduced.

use std::fmt;
use std::hash::Hash;

use schism_history::{Call, F, History, Kind, ValueId};
use serde::{Deserialize, Serialize};

use super::blocks;
use super::mutant::Mutation;
use super::ruling::Ruling;
use super::split::Operation;

/// The models, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelName {
    /// `register`: reads and writes.
    Register,
    /// `cas-register`: reads, writes and compare-and-set.
    CasRegister,
}

impl ModelName {
    /// The name on the command line and in witnesses.
    pub fn as_str(self) -> &'static str {
        match self {
            ModelName::Register => "register",
            ModelName::CasRegister => "cas-register",
        }
    }

    /// The model of that name.
    pub fn parse(name: &str) -> Option<ModelName> {
        [ModelName::Register, ModelName::CasRegister].into_iter().find(|model| model.as_str() == name)
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an action of a one-cell model asks of the cell and does to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cell<S> {
    /// The only state in which it is legal; `None`: in every state but [`Cell::refuses`].
    pub needs: Option<S>,
    /// The only state in which it is illegal.
    pub refuses: Option<S>,
    /// The state after it, whatever was before; `None`: the state stays.
    pub leaves: Option<S>,
}

/// A sequential specification.
///
/// `step` must be a function: the same state and action give the same answer.
pub trait Model: Sync {
    /// The state.
    type State: Clone + Eq + Hash + fmt::Debug + Send;
    /// One operation with its argument and, where it was answered, its result.
    type Action: Clone + Eq + Hash + fmt::Debug + Send + Sync;

    /// The name in witnesses.
    fn name(&self) -> &'static str;

    /// State before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after an action; `None`: illegal in that state.
    fn step(&self, state: &Self::State, action: &Self::Action) -> Option<Self::State>;

    /// The action of a call that is `ok` or in doubt. `Ok(None)`: it can be dropped, since it neither changed nor told
    /// anything (a read in doubt).
    ///
    /// # Errors
    /// What the model has no meaning for, in words.
    fn action(&self, history: &History, call: Call) -> Result<Option<Self::Action>, String>;

    /// Whether the action changes no state in which it is legal. The search places such actions at once, so this must
    /// be false for one that changes some state (a write of the value that stands is *not* such an action).
    fn observes_only(&self, _action: &Self::Action) -> bool {
        false
    }

    /// The action in terms of one cell, if every change of this model overwrites its whole state.
    /// Must be `Some` for all actions or for none.
    fn cell(&self, _action: &Self::Action) -> Option<Cell<Self::State>> {
        None
    }

    /// Decides without a search, where the history allows it. Must be exact.
    fn rule(&self, _operations: &[Operation<Self::Action>]) -> Ruling {
        Ruling::Unfit("the model has no special algorithm")
    }

    /// A state for a person.
    fn show(&self, _history: &History, state: &Self::State) -> String {
        format!("{state:?}")
    }

    /// What an action observed, for a person: why a state is illegal for it (`1`, `not 1`).
    fn observed(&self, _history: &History, action: &Self::Action) -> String {
        format!("{action:?}")
    }
}

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
        blocks::rule(operations, Mutation::default())
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
