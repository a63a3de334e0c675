//! A counter that says what it was: `fetch-add n` answers the total before it, `read` the total. 0 at first.
//!
//! Amounts are any 64-bit integers. A `read` that answers nil found 0.

use schism_history::{Call, F, History, Kind, Value};

use super::ModelName;
use crate::linear::model::Model;
use crate::linear::mutant::Mutation;
use crate::linear::rules::totals;
use crate::linear::ruling::Ruling;
use crate::linear::split::Operation;

/// A counter with `fetch-add` and `read`, 0 at first.
#[derive(Debug, Clone, Copy)]
pub struct FetchAdd;

/// What was done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FetchAddAction {
    /// Something was added.
    FetchAdd {
        /// How much.
        amount: i64,
        /// The total before, if that was said.
        before: Option<i128>,
    },
    /// A read that answered this.
    Read(i128),
}

impl Model for FetchAdd {
    type State = i128;
    type Action = FetchAddAction;

    fn name(&self) -> &'static str {
        ModelName::FetchAndAdd.as_str()
    }

    fn initial(&self) -> i128 {
        0
    }

    fn step(&self, state: &i128, action: &FetchAddAction) -> Option<i128> {
        match *action {
            FetchAddAction::FetchAdd { amount, before } => {
                before.is_none_or(|before| before == *state).then(|| state + i128::from(amount))
            }
            FetchAddAction::Read(seen) => (seen == *state).then_some(*state),
        }
    }

    fn observes_only(&self, action: &FetchAddAction) -> bool {
        matches!(action, FetchAddAction::Read(_) | FetchAddAction::FetchAdd { amount: 0, .. })
    }

    fn rule(&self, operations: &[Operation<FetchAddAction>]) -> Ruling {
        totals::rule(operations, Mutation::default())
    }

    fn show(&self, _history: &History, state: &i128) -> String {
        state.to_string()
    }

    fn observed(&self, _history: &History, action: &FetchAddAction) -> String {
        match action {
            FetchAddAction::FetchAdd { before: Some(seen), .. } | FetchAddAction::Read(seen) => seen.to_string(),
            FetchAddAction::FetchAdd { before: None, .. } => "anything".to_owned(),
        }
    }

    fn action(&self, history: &History, call: Call) -> Result<Option<FetchAddAction>, String> {
        let answered = call.completion.filter(|_| call.outcome == Kind::Ok);
        match (history.f(call.invoke), answered) {
            (F::Read, None) => Ok(None),
            (F::Read, Some(completion)) => match &*history.value(completion) {
                Value::Nil => Ok(Some(FetchAddAction::Read(0))),
                other => number(other).map(|seen| Some(FetchAddAction::Read(i128::from(seen)))),
            },
            (other, _) if other.as_str() == "fetch-add" => {
                let amount = number(&history.value(call.invoke))?;
                let before = answered.map(|completion| number(&history.value(completion))).transpose()?;
                Ok(Some(FetchAddAction::FetchAdd { amount, before: before.map(i128::from) }))
            }
            (other, _) => Err(format!("the model fetch-and-add has no function {other}")),
        }
    }
}

fn number(value: &Value) -> Result<i64, String> {
    value.as_int().ok_or_else(|| format!("a counter wants integers of 64 bits, but there is {value}"))
}
