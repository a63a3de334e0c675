//! Sequential specifications: what one operation after another may do to a state.
//!
//! A [`Model`] is a state and a step. Models whose state is one cell that every change overwrites (registers) also say
//! what each action needs and leaves ([`Model::cell`]); that lets the search look ahead and the witness be reduced. The
//! models that there are stand in `models`.

use std::fmt;
use std::hash::Hash;

use schism_history::{Call, History};

use super::ruling::Ruling;
use super::split::Operation;

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
/// `step` must be a function: the same state and action give the same answer. A model of one's own needs a name, a first
/// state, a step, and what a call means:
///
/// ```
/// use schism_checkers::{Budget, Outcome};
/// use schism_checkers::linear::{Model, check_model};
/// use schism_history::{Call, History, notation};
///
/// /// A door that is opened and closed; `peek` says whether it is open.
/// struct Door;
///
/// #[derive(Debug, Clone, PartialEq, Eq, Hash)]
/// enum Deed { Open, Close, Peek(bool) }
///
/// impl Model for Door {
///     type State = bool;
///     type Action = Deed;
///     fn name(&self) -> &'static str { "door" }
///     fn initial(&self) -> bool { false }
///     fn step(&self, open: &bool, deed: &Deed) -> Option<bool> {
///         match deed {
///             Deed::Open => (!open).then_some(true),
///             Deed::Close => open.then_some(false),
///             Deed::Peek(seen) => (seen == open).then_some(*open),
///         }
///     }
///     fn action(&self, history: &History, call: Call) -> Result<Option<Deed>, String> {
///         match (history.f(call.invoke).as_str(), call.completion.and_then(|end| history.matched(end))) {
///             ("open", _) => Ok(Some(Deed::Open)),
///             ("close", _) => Ok(Some(Deed::Close)),
///             ("peek", seen) => Ok(seen.map(Deed::Peek)),
///             (other, _) => Err(format!("a door has no {other}")),
///         }
///     }
/// }
///
/// let outcome = |line| check_model(&Door, &notation::parse(line).unwrap(), &Budget::default()).outcome();
/// assert_eq!(outcome("0:open=nil 1:peek=nil+ 0:close=nil 1:peek=nil~"), Outcome::Valid);
/// assert_eq!(outcome("0:open=nil 1:open=nil?  0:close=nil 2:peek=nil+"), Outcome::Valid);
/// assert_eq!(outcome("0:open=nil 1:open=nil 0:close=nil"), Outcome::Invalid);
/// ```
///
/// The other functions make it faster, its witnesses smaller and its words better.
pub trait Model: Sync {
    /// The state.
    type State: Clone + Eq + Hash + fmt::Debug + Send;
    /// One operation with its argument and, where it was answered, its result.
    type Action: Clone + Eq + Hash + fmt::Debug + Send + Sync;

    /// The name in witnesses.
    fn name(&self) -> &'static str;

    /// The name with what the model was built with (`semaphore:3`), as witnesses tell it.
    fn full_name(&self) -> String {
        self.name().to_owned()
    }

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

    /// Decides without a search, where the history allows it. Must be exact. Operations stand in order of invocation.
    fn rule(&self, _operations: &[Operation<Self::Action>]) -> Ruling {
        Ruling::Unfit("the model has no special algorithm")
    }

    /// An order (places) without a search, for a history that has one; `None` where that is not known. What it answers is
    /// replayed before anybody relies on it.
    fn order(&self, _operations: &[Operation<Self::Action>]) -> Option<Vec<u32>> {
        None
    }

    /// The part of the state that the action is about, where the state is a product of parts that are independent of
    /// each other (the elements of a set): each part is then searched alone. `None`: it is about more than one.
    fn part(&self, _action: &Self::Action) -> Option<u32> {
        None
    }

    /// Places of operations in doubt that may as well not have happened, whatever the order: leaving them out makes no
    /// history linearizable that is not, nor the other way round (an enqueue in doubt of what nobody dequeued).
    fn idle(&self, _operations: &[Operation<Self::Action>]) -> Vec<u32> {
        Vec::new()
    }

    /// A group for each operation: a legal order stays legal when all operations of a group are left out of it, but for
    /// those of group 0, which are never left out. For witnesses of models without cells. Unless a model knows better,
    /// only what observes can be left out, each for itself.
    fn groups(&self, operations: &[Operation<Self::Action>]) -> Vec<u32> {
        let alone = |(place, operation): (usize, &Operation<Self::Action>)| match self.observes_only(&operation.action)
        {
            true => place as u32 + 1,
            false => 0,
        };
        operations.iter().enumerate().map(alone).collect()
    }

    /// About how many bytes a further state holds beyond its own size, for the budget.
    fn heap_bytes(&self, _state: &Self::State) -> usize {
        0
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
