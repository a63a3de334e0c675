//! A priority queue: the greatest comes out first.

use schism_history::{Call, History, OpIndex};

use super::buffer::{self, BufferAction, Names};
use crate::linear::buffers::multiset::Multiset;
use crate::linear::buffers::{Mutation, priority};
use crate::linear::model::Model;
use crate::linear::ruling::Ruling;
use crate::linear::split::Operation;

/// A priority queue of integers, empty at first: `enqueue v`, `dequeue` of the greatest in it (`ok` with nil: it was empty).
///
/// Decided without a search: as queues, but where removals in doubt leave several possibilities. Not covered: values that
/// are no integers of 64 bits; looking at the greatest without taking it out.
#[derive(Debug, Clone, Copy)]
pub struct PriorityQueue;

const NAMES: Names = Names { model: "priority-queue", put: "enqueue", get: "dequeue" };
impl Model for PriorityQueue {
    type State = Multiset<i64>;
    type Action = BufferAction<i64>;

    fn name(&self) -> &'static str {
        NAMES.model
    }

    fn initial(&self) -> Multiset<i64> {
        Multiset::default()
    }

    fn step(&self, state: &Multiset<i64>, action: &BufferAction<i64>) -> Option<Multiset<i64>> {
        match *action {
            BufferAction::Put(value) => Some(state.with(value)),
            BufferAction::Got(value) if state.greatest() == Some(value) => state.without(value),
            BufferAction::Got(_) => None,
            BufferAction::Empty => state.is_empty().then(|| state.clone()),
            BufferAction::Took => state.without(state.greatest()?),
        }
    }

    fn action(&self, history: &History, call: Call) -> Result<Option<BufferAction<i64>>, String> {
        let value = |event: OpIndex| {
            let value = history.value(event);
            value
                .as_int()
                .ok_or_else(|| format!("the model {} wants integers of 64 bits, but has {}", NAMES.model, *value))
        };
        buffer::action(NAMES, history, call, value)
    }

    fn observes_only(&self, action: &BufferAction<i64>) -> bool {
        matches!(action, BufferAction::Empty)
    }

    fn rule(&self, operations: &[Operation<BufferAction<i64>>]) -> Ruling {
        priority::rule(operations, Mutation::default())
    }

    fn idle(&self, operations: &[Operation<BufferAction<i64>>]) -> Vec<u32> {
        buffer::idle(operations)
    }

    fn groups(&self, operations: &[Operation<BufferAction<i64>>]) -> Vec<u32> {
        buffer::groups(operations, |sure| matches!(self.rule(sure), Ruling::Bad { .. }))
    }

    fn heap_bytes(&self, state: &Multiset<i64>) -> usize {
        state.change_bytes()
    }

    fn show(&self, _history: &History, state: &Multiset<i64>) -> String {
        buffer::show(state.descending(), state.len())
    }

    fn observed(&self, _history: &History, action: &BufferAction<i64>) -> String {
        buffer::observed(action, i64::to_string, "as the greatest")
    }
}
