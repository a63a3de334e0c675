//! A first-in-first-out queue.

use schism_history::{Call, History, ValueId};

use super::buffer::{self, BufferAction, Names};
use crate::linear::buffers::chain::Chain;
use crate::linear::buffers::{Mutation, queue};
use crate::linear::model::Model;
use crate::linear::ruling::Ruling;
use crate::linear::split::Operation;

/// A queue, empty at first: `enqueue v`, `dequeue` of the value that is in it longest (`ok` with nil: it was empty).
///
/// Decided without a search: values that are put in once; values that come again where it is clear which removal belongs to
/// which, or a guess gives an order.
/// Not covered: looking at the front without taking it out; enqueueing nil.
#[derive(Debug, Clone, Copy)]
pub struct Queue;

const NAMES: Names = Names { model: "queue", put: "enqueue", get: "dequeue" };

impl Model for Queue {
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
            BufferAction::Got(value) if state.first() == Some(value) => state.without_first(),
            BufferAction::Got(_) => None,
            BufferAction::Empty => state.is_empty().then(|| state.clone()),
            BufferAction::Took => state.without_first(),
        }
    }

    fn action(&self, history: &History, call: Call) -> Result<Option<BufferAction<ValueId>>, String> {
        buffer::action(NAMES, history, call, |event| Ok(history.value_id(event)))
    }

    fn observes_only(&self, action: &BufferAction<ValueId>) -> bool {
        matches!(action, BufferAction::Empty)
    }

    fn rule(&self, operations: &[Operation<BufferAction<ValueId>>]) -> Ruling {
        queue::rule(operations, Mutation::default())
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
        let mut inside: Vec<ValueId> = state.backwards().collect();
        inside.reverse();
        buffer::show(inside.iter().map(|&value| history.value_of(value).to_string()), state.len())
    }

    fn observed(&self, history: &History, action: &BufferAction<ValueId>) -> String {
        buffer::observed(action, |&value| history.value_of(value).to_string(), "at the front")
    }
}
