//! A stack: last in, first out.

use schism_history::{Call, History, ValueId};

use super::buffer::{self, BufferAction, Names};
use crate::linear::buffers::Mutation;
use crate::linear::buffers::chain::Chain;
use crate::linear::buffers::stack;
use crate::linear::model::Model;
use crate::linear::ruling::Ruling;
use crate::linear::split::Operation;

/// A stack, empty at first: `push v`, `pop` of the value that was pushed last (`ok` with nil: it was empty).
///
/// Decided without a search: values that are pushed once, or again where a guess which pop belongs to which push gives an
/// order. Not covered: looking at the top without taking it; pushing nil.
#[derive(Debug, Clone, Copy)]
pub struct Stack;

const NAMES: Names = Names { model: "stack", put: "push", get: "pop" };

impl Model for Stack {
    type State = Chain;
    type Action = BufferAction<ValueId>;

    fn name(&self) -> &'static str {
        NAMES.model
    }

    fn initial(&self) -> Chain {
        Chain::default()
    }

    fn step(&self, state: &Chain, action: &BufferAction<ValueId>) -> Option<Chain> {
        match *action {
            BufferAction::Put(value) => Some(state.pushed(value)),
            BufferAction::Got(value) if state.last() == Some(value) => state.without_last(),
            BufferAction::Got(_) => None,
            BufferAction::Empty => state.is_empty().then(|| state.clone()),
            BufferAction::Took => state.without_last(),
        }
    }

    fn action(&self, history: &History, call: Call) -> Result<Option<BufferAction<ValueId>>, String> {
        buffer::action(NAMES, history, call, |event| Ok(history.value_id(event)))
    }

    fn observes_only(&self, action: &BufferAction<ValueId>) -> bool {
        matches!(action, BufferAction::Empty)
    }

    fn rule(&self, operations: &[Operation<BufferAction<ValueId>>]) -> Ruling {
        stack::rule(operations, Mutation::default())
    }

    fn idle(&self, operations: &[Operation<BufferAction<ValueId>>]) -> Vec<u32> {
        buffer::idle(operations)
    }

    fn groups(&self, operations: &[Operation<BufferAction<ValueId>>]) -> Vec<u32> {
        buffer::groups(operations, |sure| matches!(self.rule(sure), Ruling::Bad { .. }))
    }

    fn heap_bytes(&self, _state: &Chain) -> usize {
        Chain::ITEM_BYTES
    }

    fn show(&self, history: &History, state: &Chain) -> String {
        buffer::show(state.backwards().map(|value| history.value_of(value).to_string()), state.len())
    }

    fn observed(&self, history: &History, action: &BufferAction<ValueId>) -> String {
        buffer::observed(action, |&value| history.value_of(value).to_string(), "on top")
    }
}
